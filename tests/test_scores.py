"""Scorers of a search: what they are given, and scores that are no numbers or not finite."""

import itertools
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.metrics import get_scorer, make_scorer, max_error
from sklearn.model_selection import KFold
from small_searches import SMALL, plain

from skconvexbn import ConvexBNClassifier, ConvexBNClassifierCV, ConvexBNRegressorCV
from skconvexbn.model_selection.scores import neg_brier_score, neg_log_loss


@pytest.mark.parametrize("kind", ["name", "callable"])
def test_scorers(data, kind):
    X, y, w, _ = data
    scoring = {"name": "r2", "callable": lambda m, X, y, sample_weight: -m.n_neurons_}[kind]
    search = ConvexBNRegressorCV(**SMALL, scoring=scoring).fit(X, y, sample_weight=w)
    folds = KFold(3).split(X)
    scores = []
    for train, test in folds:
        model = plain(search).fit(X[train], y[train], sample_weight=w[train])
        scorer = get_scorer(scoring)
        scores.append(scorer(model, X[test], y[test], sample_weight=w[test]))
    if kind == "name":
        assert np.mean(scores) == pytest.approx(search.best_score_, abs=5e-3)
    else:
        assert search.best_params_["beta"] == 2.0  # of equals the first, fewest neurons


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_splitters_and_scorers_see_what_those_of_grid_search_do(data, frame, n_jobs):
    X, y, w, _ = data
    X = frame(dict(zip("abcd", X.T, strict=True)))
    y = pd.Series(y) if frame is pd.DataFrame else y

    class ByFirstColumn(KFold):
        def split(self, X, y, groups=None):
            assert type(y) is type(target)
            order = np.argsort(np.asarray(X["a"]), kind="stable")
            return ((order[train], order[test]) for train, test in super().split(X))

    def score(model, X, y, sample_weight):
        assert type(X) is frame
        assert type(y) is type(target)
        assert list(model.feature_names_in_) == list("abcd")
        return -1000 * model.beta - model.shrinkage - np.mean(np.abs(model.predict(X)))

    target = y
    params = {"cv": ByFirstColumn(3), "scoring": score, "n_jobs": n_jobs}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search = ConvexBNRegressorCV(**{**SMALL, **params}).fit(X, y, sample_weight=w)
    assert search.best_params_["beta"] == 0.5
    assert search.best_params_["shrinkage"] == 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ConvexBNRegressorCV(**SMALL, scoring="r2").fit(X, y)


@pytest.mark.parametrize("score", [{"R2": 1.0}, None, "0.5", np.ones(2)])
def test_scores_that_are_no_numbers_are_refused(data, score):
    model = ConvexBNRegressorCV(scoring=lambda model, X, y: score, **SMALL)
    with pytest.raises(ValueError, match=r"scoring must return a number, got .*; return one float"):
        model.fit(*data[:2])


@pytest.mark.parametrize("kind", [np.atleast_1d, np.float32, torch.tensor])
def test_scores_may_be_arrays_of_one_number(data, kind):
    model = ConvexBNRegressorCV(scoring=lambda model, X, y: kind(-model.beta), **SMALL)
    model.fit(*data[:2])
    assert model.best_score_ == pytest.approx(-model.best_params_["beta"])


@pytest.mark.parametrize(
    "scoring", ["neg_max_error", make_scorer(max_error), lambda model, X, y: 0.0]
)
def test_scorers_without_weights_are_refused_where_fit_has_some(data, scoring):
    X, y, w, _ = data
    search = ConvexBNRegressorCV(betas=[2.0], shrinkages=[0.0], cv=2, scoring=scoring)
    with pytest.raises(ValueError, match=r"scoring=.* takes no sample_weight.*; use one that does"):
        search.fit(X, y, sample_weight=w)
    assert np.isfinite(search.fit(X, y).best_score_)
    search.set_params(scoring=lambda *args, **params: 0.0).fit(X, y, sample_weight=w)


def test_metrics_without_a_signature_take_no_weights(data):
    X, y, w, _ = data
    with pytest.raises(ValueError, match="takes no sample_weight, which fit was given"):
        ConvexBNRegressorCV(**SMALL, scoring=make_scorer(max)).fit(X, y, sample_weight=w)


def test_scores_that_are_nan_lose(data):
    X, y, _, _ = data

    def few(model, X, y):
        return np.nan if model.beta_ == 2.0 else 1.0

    search = ConvexBNRegressorCV(**SMALL, scoring=few)
    with pytest.warns(UserWarning, match="6 of 12 scores are NaN, so 2 of 4 candidates") as found:
        search.fit(X, y)
    assert {w.filename for w in found} == {__file__}
    assert search.best_params_["beta"] == 0.5
    assert search.cv_results_["rank_test_score"].tolist() == [3, 1, 3, 1]
    with pytest.raises(ValueError, match="All scores are NaN"):
        ConvexBNRegressorCV(**SMALL, scoring=lambda m, X, y: np.nan).fit(X, y)


def test_candidates_whose_scorer_raises_come_last(data):
    """As in GridSearchCV, where the error is of predictions; other errors end the search."""
    X, y, _, _ = data
    at, error = np.array([0.5]), ArithmeticError("predictions must be positive")

    def picky(model, X, y):
        if model.beta_ in at:
            raise error
        return 1.0

    search = ConvexBNRegressorCV(**SMALL, scoring=picky)
    with pytest.warns(UserWarning, match=r"6 of 12 .* raised: predictions must be positive$"):
        search.fit(X, y)
    assert search.best_params_["beta"] == 2.0
    assert np.isnan(search.cv_results_["mean_test_score"]).sum() == 2
    at = np.array([0.5, 2.0])
    with pytest.raises(
        ValueError, match=r"All scores are NaN .* raised: predictions must be posit"
    ):
        search.fit(X, y)
    error = TypeError("no such thing")
    with pytest.raises(TypeError, match="no such thing"):
        search.fit(X, y)


def test_default_scores_are_those_of_scikit_learn():
    X, y = load_iris(return_X_y=True)
    w = np.random.default_rng(0).uniform(size=len(y))
    for loss, score, name in (
        ("log_loss", neg_log_loss, "neg_log_loss"),
        ("squared_error", neg_brier_score, "neg_brier_score"),
    ):
        model = ConvexBNClassifier(loss=loss, beta=0.5, tol=1e-2, random_state=0).fit(X, y)
        expected = get_scorer(name)(model, X, y, sample_weight=w)
        assert score(model, X, y, sample_weight=w) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("loss", "name"), [("log_loss", "neg_log_loss"), ("squared_error", "neg_brier_score")]
)
def test_searches_score_by_their_loss(loss, name):
    X, y = load_iris(return_X_y=True)
    search = ConvexBNClassifierCV(
        loss=loss, betas=[1.0], ranks=(1,), shrinkages=(0.0,), cv=2, random_state=0
    )
    score = search.fit(X, y).best_score_
    assert search.set_params(scoring=name).fit(X, y).best_score_ == pytest.approx(score)


def test_infinite_scores_are_what_they_are(data):
    X, y, _, _ = data
    for score in (-np.inf, np.nan):
        with pytest.raises(ValueError, match="All scores are NaN or -inf"):
            ConvexBNRegressorCV(**SMALL, scoring=lambda *_, score=score: score).fit(X, y)
    scores = itertools.cycle([-np.inf, -1.0])
    search = ConvexBNRegressorCV(**SMALL, scoring=lambda *_: next(scores), average=True).fit(X, y)
    assert search.best_score_ == -1.0
    assert set(search.cv_results_["mean_test_score"]) == {-1.0, -np.inf}


def test_weights_reach_a_scorer_as_they_were_given(data):
    seen = []

    def scoring(model, X, y, sample_weight):
        seen.append(type(sample_weight))
        return model.score(X, y, sample_weight)

    X, y, _, _ = data
    search = ConvexBNRegressorCV(**{**SMALL, "scoring": scoring})
    search.fit(X, y, sample_weight=pd.Series(np.ones(len(y))))
    assert set(seen) == {pd.Series}

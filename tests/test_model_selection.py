"""Cross-validated estimators against GridSearchCV, by weights and groups, and on every backend."""

import itertools
import json
import pickle
import re
import threading
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone, is_regressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning, UnsetMetadataPassedError
from sklearn.metrics import get_scorer, make_scorer, max_error, mean_absolute_error
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score

from skconvexbn import (
    ConvexBNClassifier,
    ConvexBNClassifierCV,
    ConvexBNRegressor,
    ConvexBNRegressorCV,
    convex_bn_path,
)
from skconvexbn.model_selection.candidates import _candidate_fits, fit_path
from skconvexbn.model_selection.folds import as_fold
from skconvexbn.model_selection.scores import neg_brier_score, neg_log_loss
from skconvexbn.network import Network
from skconvexbn.task import Task
from skconvexbn.whitening import Whitening

SMALL = {"betas": [2.0, 0.5], "shrinkages": [0.0, 1.0], "cv": 3, "random_state": 0}


@pytest.fixture(scope="module", name="data")
def _data():
    """Regression targets of unit variance, row weights, groups."""
    X, y = load_diabetes(return_X_y=True)
    rng = np.random.default_rng(0)
    X, y = X[:90, 2:6], (y[:90] - y[:90].mean()) / y[:90].std()
    return X, y, rng.integers(1, 4, 90).astype(float), rng.integers(0, 5, 90)


def plain(search, **params):
    """The estimator without search, at the parameters that were chosen."""
    kind = ConvexBNRegressor if is_regressor(search) else ConvexBNClassifier
    return kind(**{"random_state": 0, **search.best_params_, **params})


def matched(search, grid_search):
    """Mean scores of GridSearchCV in the order of ours."""
    results = grid_search.cv_results_
    keys = list(results["params"][0])
    table = {
        tuple(p[k] for k in keys): s
        for p, s in zip(results["params"], results["mean_test_score"], strict=True)
    }
    return np.array([table[tuple(p[k] for k in keys)] for p in search.cv_results_["params"]])


def test_an_interruption_ends_the_search(monkeypatch):
    """Not a candidate, with which the search would go on."""

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("skconvexbn.solvers.adaptive.descend", interrupted)
    X, y = load_diabetes(return_X_y=True)
    with pytest.raises(KeyboardInterrupt):
        ConvexBNRegressorCV(**SMALL).fit(X, y)


def test_regressor_equals_grid_search(data):
    X, y, _, _ = data
    # the best is ahead of all others by more than the tolerance of scores
    grid = {"beta": [4.0, 2.0, 1.0], "rank": [2, None], "shrinkage": [0.0, 1.0]}
    names = {f"{name}s": values for name, values in grid.items()}
    ours = ConvexBNRegressorCV(**names, bias_scale=1.0, cv=3, random_state=0, tol=1e-4).fit(X, y)
    theirs = GridSearchCV(
        ConvexBNRegressor(random_state=0, tol=1e-4), grid, scoring="neg_mean_squared_error", cv=3
    ).fit(X, y)
    results = ours.cv_results_
    np.testing.assert_allclose(results["mean_test_score"], matched(ours, theirs), atol=1e-3)
    chosen = {name: ours.best_params_[name] for name in grid}
    assert chosen == theirs.best_params_
    assert ours.best_score_ == results["mean_test_score"].max()
    assert results["rank_test_score"][ours.best_index_] == 1
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=0.05)
    assert abs(ours.objective_ - theirs.best_estimator_.objective_) <= 1e-4 * len(y)
    for name, values in theirs.cv_results_.items():  # the same table
        assert np.shape(results[name]) == np.shape(values), name
    splits = np.array([results[f"split{i}_test_score"] for i in range(3)])
    np.testing.assert_allclose(results["mean_test_score"], splits.mean(axis=0))
    np.testing.assert_allclose(results["std_test_score"], splits.std(axis=0))


@pytest.mark.parametrize("classes", [2, 3])
def test_classifier_equals_grid_search(classes):
    X, y = load_iris(return_X_y=True)
    X, y = X[y > 2 - classes, :3], np.array(["a", "b", "c"])[y[y > 2 - classes]]
    grid = {"beta": [1.0, 0.3], "shrinkage": [0.0, 1.0]}
    names = {f"{name}s": values for name, values in grid.items()}
    ours = ConvexBNClassifierCV(**names, bias_scale=1.0, cv=3, random_state=0, tol=1e-4)
    ours.fit(X, y)
    theirs = GridSearchCV(
        ConvexBNClassifier(random_state=0, tol=1e-4), grid, scoring="neg_log_loss", cv=3
    ).fit(X, y)
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], matched(ours, theirs), atol=1e-3
    )
    assert {name: ours.best_params_[name] for name in grid} == theirs.best_params_
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=0.02)
    assert ours.predict(X).dtype == y.dtype
    assert ours.decision_function(X).shape == ((len(y),) if classes == 2 else (len(y), 3))


def test_refit_is_a_plain_fit_with_its_certificate(data):
    X, y, _, _ = data
    search = ConvexBNRegressorCV(**SMALL).fit(X, y)
    single = plain(search).fit(X, y)
    assert search.beta_ == single.beta_ == search.best_params_["beta"]
    assert search.certificate_ == single.certificate_ == "search"
    assert search.converged_
    assert search.dual_gap_ <= search.tol * 0.5 * len(y)
    assert abs(search.objective_ - single.objective_) <= search.tol * 0.5 * len(y)
    missing = {a for a in vars(single) if a.endswith("_")} - set(vars(search))
    assert not missing
    W1, W2 = search.coefs_
    b1, b2 = search.intercepts_
    np.testing.assert_allclose(np.maximum(X @ W1 + b1, 0) @ W2[:, 0] + b2, search.predict(X))


def test_one_whitening_a_fold(data, monkeypatch):
    X, y, _, _ = data
    calls = []
    fit = Whitening.fit
    monkeypatch.setattr(Whitening, "fit", lambda *a, **k: calls.append(1) or fit(*a, **k))
    ConvexBNRegressorCV(**SMALL, ranks=(1, 2)).fit(X, y)
    assert len(calls) == 1 + 3


def test_fits_begin_beside_those_of_the_shrinkage_before(data, monkeypatch):
    """Neurons of one shrinkage are directions of the other's Q: the same activations."""
    X, y, _, _ = data
    seen, solve = [], Task.solve

    def recorded(task, beta, start=None, certify=True, beside=None):
        fit = solve(task, beta, start, certify, beside)
        seen.append((task.basis.shrinkage, task.problem.Q, fit.start, beside, certify))
        return fit

    monkeypatch.setattr(Task, "solve", recorded)
    ConvexBNRegressorCV(
        betas=[0.5, 0.2], shrinkages=(0.0, 1.0), cv=3, backend="torch", random_state=0
    ).fit(X, y)
    assert [s[0] for s in seen[:-1]] == [0.0, 0.0, 1.0, 1.0] * 3
    assert [s[-1] for s in seen] == [False] * 12 + [True]
    for (_, Q, start, none, _), (_, other_Q, _, beside, _) in zip(
        (s for s in seen[:-1] if s[0] == 0), (s for s in seen[:-1] if s[0] == 1), strict=True
    ):
        assert none is None
        np.testing.assert_allclose(other_Q @ beside[0], Q @ start[0], atol=1e-9)
        np.testing.assert_array_equal(beside[1], start[1])


def test_fits_begin_beside_those_of_the_last_shrinkage_of_several(data, monkeypatch):
    X, y, _, _ = data
    seen, solve = [], Task.solve

    def recorded(task, beta, start=None, certify=True, beside=None):
        fit = solve(task, beta, start, certify, beside)
        seen.append((task.problem.Q, fit.start, beside))
        return fit

    monkeypatch.setattr(Task, "solve", recorded)
    model = ConvexBNRegressor(rank=2, backend="torch", random_state=0)
    models = [clone(model).set_params(shrinkage=a) for a in (0.0, 0.5, 1.0)]
    training = model._training(*model._validate(X, y, None))
    assert len(list(_candidate_fits(models, training, 0, np.array([0.5])))) == 3
    for (Q, start, _), (other_Q, _, beside) in itertools.pairwise(seen):
        np.testing.assert_allclose(other_Q @ beside[0], Q @ start[0], atol=1e-9)


def test_times_are_those_of_each_candidate(data, monkeypatch):
    clock, solve = [0.0], Task.solve

    def solved(*args):
        clock[0] += 5
        return solve(*args)

    def scoring(model, X, y):
        clock[0] += 2
        return 0.0

    monkeypatch.setattr("skconvexbn.model_selection.candidates.perf_counter", lambda: clock[0])
    monkeypatch.setattr(Task, "solve", solved)
    results = ConvexBNRegressorCV(**SMALL, scoring=scoring).fit(*data[:2]).cv_results_
    assert results["mean_fit_time"].tolist() == [5.0] * 4
    assert results["mean_score_time"].tolist() == [2.0] * 4
    assert not results["std_fit_time"].any()


def test_weights_are_repetition(data):
    X, y, w, groups = data
    folds = [(np.flatnonzero(groups != g), np.flatnonzero(groups == g)) for g in range(3)]
    weighted = ConvexBNRegressorCV(**{**SMALL, "betas": "auto", "cv": folds, "ranks": (1,)})
    weighted.fit(X, y, sample_weight=w)
    index = np.arange(len(y)).repeat(w.astype(int))
    repeated_folds = [
        (np.flatnonzero(groups[index] != g), np.flatnonzero(groups[index] == g)) for g in range(3)
    ]
    repeated = clone(weighted).set_params(cv=repeated_folds).fit(X[index], y[index])
    np.testing.assert_allclose(
        repeated.cv_results_["param_beta"], weighted.cv_results_["param_beta"]
    )
    np.testing.assert_allclose(
        repeated.cv_results_["mean_test_score"], weighted.cv_results_["mean_test_score"], atol=1e-5
    )
    np.testing.assert_allclose(repeated.predict(X), weighted.predict(X), atol=1e-4)


def test_auto_betas_scale_with_the_targets(data):
    X, y, _, _ = data
    params = {"ranks": (1,), "shrinkages": (0.0,), "cv": 2, "random_state": 0}
    one = ConvexBNRegressorCV(**params).fit(X, y)
    ten = ConvexBNRegressorCV(**params).fit(X, 10 * y + 3)
    betas = one.cv_results_["param_beta"]
    np.testing.assert_allclose(betas, [8, 4, 2, 1, 0.3, 0.1, 0.03, 0.01, 0.003])
    np.testing.assert_allclose(ten.cv_results_["param_beta"], 10 * betas)
    np.testing.assert_allclose(ten.predict(X), 10 * one.predict(X) + 3, rtol=1e-4)


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_auto_betas_of_classes(loss):
    X, y = load_iris(return_X_y=True)
    search = ConvexBNClassifierCV(loss=loss)
    betas = search._betas(search._training(*search._validate(X, y, None)))
    grid = [3, 1, 0.3, 0.1, 0.03, 0.01, 0.003]
    if loss == "squared_error":
        deviation = np.sqrt(np.eye(3)[y].var(axis=0).sum())
        grid = deviation * np.array([8, 4, 2, 1, 0.3, 0.1, 0.03, 0.01, 0.003])
    np.testing.assert_allclose(betas, grid)


@pytest.mark.parametrize("kind", ["single", "search", "path"])
def test_all_fits_have_the_seed_of_random_state(data, monkeypatch, kind):
    X, y, _, _ = data
    solve, seeds = Task.solve, []
    search = {**SMALL, "ranks": (1,), "average": True}

    def fit(state):
        if kind == "path":
            convex_bn_path(X, y, betas=[2.0, 0.5], ranks=(1, 2), random_state=state)
        elif kind == "search":
            ConvexBNRegressorCV(**{**search, "random_state": state}).fit(X, y)
        else:
            ConvexBNRegressor(rank=1, random_state=state).fit(X, y)

    monkeypatch.setattr(
        Task, "solve", lambda task, *args: seeds.append(task.options.seed) or solve(task, *args)
    )
    found = []
    for state in (1, 2):
        seeds.clear()
        fit(state)
        found.append(set(seeds))
    assert [len(some) for some in found] == [1, 1]
    assert found[0] != found[1]


def test_jobs_are_as_many_as_asked_for(data):
    names = set()

    def scoring(model, X, y):
        names.add(threading.current_thread().name)
        return -model.beta

    search = ConvexBNRegressorCV(**SMALL, ranks=(1,), n_jobs=2, scoring=scoring)
    with joblib.parallel_config(backend="threading"):
        search.fit(*data[:2])
        assert "MainThread" not in names
        search.set_params(n_jobs=None).fit(*data[:2])
    assert "MainThread" in names


def test_candidates_that_are_equal_are_one(data):
    X, y, _, _ = data
    equal = {"ranks": np.array([1, 1]), "shrinkages": [0.0, 0, -0.0, np.float32(0), False]}
    search = ConvexBNRegressorCV(betas=[1.0], cv=2, **equal).fit(X, y)
    assert len(search.cv_results_["mean_test_score"]) == 1
    assert json.dumps(search.best_params_) == json.dumps(
        {"beta": 1.0, "rank": 1, "shrinkage": 0.0, "bias_scale": 1.0}
    )


def test_bias_scale_auto_is_the_paper_without_shrinkage(data):
    X, y, _, _ = data
    results = ConvexBNRegressorCV(**SMALL).fit(X, y).cv_results_
    assert results["param_bias_scale"].tolist() == [1.0, 1.0, 3.0, 3.0]
    results = ConvexBNRegressorCV(**SMALL, bias_scale=2.0).fit(X, y).cv_results_
    assert results["param_bias_scale"].tolist() == [2.0] * 4


def test_several_outputs():
    X, y = load_diabetes(return_X_y=True)
    Y = np.column_stack([y, X[:, 2] * 100])[:60]
    model = ConvexBNRegressorCV(betas=[200.0], shrinkages=(0.0,), cv=2, tol=1e-2).fit(X[:60], Y)
    assert model.predict(X[:60]).shape == Y.shape


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


@pytest.mark.parametrize("kind", [tuple, list, np.array, lambda rows: rows])
def test_folds_may_be_any_sequences(data, kind):
    X, y, _, _ = data
    n = len(y)
    folds = [(range(n // 2), range(n // 2, n)), (range(n // 2, n), range(n // 2))]
    given = [tuple(map(kind, fold)) for fold in folds]
    model = ConvexBNRegressorCV(**{**SMALL, "cv": given}).fit(X, y)
    plain = ConvexBNRegressorCV(**{**SMALL, "cv": [tuple(map(list, f)) for f in folds]}).fit(X, y)
    assert model.best_score_ == plain.best_score_


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


def test_a_function_gets_weights_with_metadata_routing_too(data):
    def scoring(model, X, y, sample_weight=None):
        return -np.average(np.square(model.predict(X) - y), weights=sample_weight)

    X, y, w, _ = data
    search = ConvexBNRegressorCV(**SMALL, scoring=scoring)
    score = search.fit(X, y, sample_weight=w).best_score_
    with config_context(enable_metadata_routing=True):
        assert search.fit(X, y, sample_weight=w).best_score_ == score
    assert search.fit(X, y).best_score_ != score


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


def test_class_weights_of_zero_take_labels_out_of_all_folds():
    X, y = load_iris(return_X_y=True)
    model = ConvexBNClassifierCV(
        betas=[1.0], shrinkages=(0.0,), cv=3, random_state=0, class_weight={1: 0}
    )
    with pytest.warns(
        UserWarning, match=r"lack classes that their test folds have: \[1\]"
    ) as caught:
        model.fit(X, y)
    assert {w.filename for w in caught} == {__file__}


def test_labels_that_a_fold_lacks():
    X, y = load_iris(return_X_y=True)
    X, y = X[::5], y[::5].copy()
    y[0] = 7  # in one fold only
    model = ConvexBNClassifierCV(betas=[1.0], shrinkages=(0.0,), cv=3, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        with pytest.warns(UserWarning, match=r"lack classes that their test folds have: \[7\]"):
            model.fit(X, y)
    assert model.classes_.tolist() == [0, 1, 2, 7]
    assert np.isfinite(model.best_score_)
    with warnings.catch_warnings():  # nor does that class count in scores
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "The least populated class")
        model.fit(X, y, sample_weight=(y != 7) * 1.0)
    assert model.classes_.tolist() == [0, 1, 2, 7]
    folds = [(np.flatnonzero(y == 0), np.flatnonzero(y == 1))]
    with pytest.raises(ValueError, match="Training fold 1 of 1 has one class"):
        ConvexBNClassifierCV(cv=folds).fit(X, y)


def test_average_is_one_network(data):
    X, y, _, _ = data
    search = ConvexBNRegressorCV(**SMALL, average=True).fit(X, y)
    assert f"average of {np.count_nonzero(search.shares_)} candidates" in search._repr_html_()
    loss = -search.cv_results_["mean_test_score"]
    shares = np.exp(-20 * (loss / loss.min() - 1))
    shares[shares < 0.01] = 0
    np.testing.assert_allclose(search.shares_, shares / shares.sum())
    assert np.count_nonzero(search.shares_) > 1
    expected = 0
    for share, params in zip(search.shares_, search.cv_results_["params"], strict=True):
        if share:
            model = ConvexBNRegressor(**params, random_state=0).fit(X, y)
            expected = expected + share * model.predict(X)
    np.testing.assert_allclose(search.predict(X), expected, atol=0.05)
    W1, W2 = search.coefs_
    b1, b2 = search.intercepts_
    assert W1.shape[1] == len(W2) == len(search.gamma_) == search.n_neurons_
    np.testing.assert_allclose(np.maximum(X @ W1 + b1, 0) @ W2[:, 0] + b2, search.predict(X))
    with pytest.raises(ValueError, match="average=True needs scores that are minus a loss"):
        ConvexBNRegressorCV(**SMALL, average=True, scoring=lambda m, X, y: 1.0).fit(X, y)
    some = iter([-1.0] * 5 + [1.0, np.nan] + [-1.0] * 5)  # their means are negative
    with pytest.raises(ValueError, match="average=True needs scores that are minus a loss, got 1"):
        ConvexBNRegressorCV(**SMALL, average=True, scoring=lambda *_: next(some)).fit(X, y)
    for gain in ("r2", get_scorer("r2")):
        with pytest.raises(ValueError, match=r"minus a loss, got scoring=.*r2"):
            ConvexBNRegressorCV(**SMALL, average=True, scoring=gain).fit(X, y)


@pytest.mark.filterwarnings("ignore:.*are NaN")
@pytest.mark.parametrize(
    ("scores", "shares"),
    [
        ({2.0: 0.0, 0.5: 0.0}, [1, 0]),
        ({2.0: -9.0, 0.5: -1.0}, [0, 1]),
        ({2.0: np.nan, 0.5: -1.0}, [0, 1]),
    ],
    ids=["perfect", "one is far worse", "one has none"],
)
def test_shares_of_an_average(data, scores, shares):
    params = {**SMALL, "shrinkages": [0.0], "average": True}
    search = ConvexBNRegressorCV(**params, scoring=lambda model, X, y: scores[model.beta])
    assert search.fit(*data[:2]).shares_.tolist() == shares


def test_the_best_of_an_average_is_the_certified_one(data, monkeypatch):
    averaged, certified = [], []
    average, solve = Network.average, Task.solve

    def spied(task, beta, start=None, certify=True, *args):
        fit = solve(task, beta, start, certify, *args)
        certified.extend([fit.network] if certify else [])
        return fit

    monkeypatch.setattr(Task, "solve", spied)
    monkeypatch.setattr(
        Network,
        "average",
        lambda networks, shares: averaged.extend(networks) or average(networks, shares),
    )
    ConvexBNRegressorCV(**SMALL, average=True).fit(*data[:2])
    assert len(certified) == 1 < len(averaged)
    assert any(network is certified[0] for network in averaged)


def test_an_average_begins_at_the_largest_beta_with_a_share(data, monkeypatch):
    betas, solve = [], Task.solve
    monkeypatch.setattr(
        Task, "solve", lambda task, beta, *args: betas.append(beta) or solve(task, beta, *args)
    )
    model = ConvexBNRegressor(random_state=0)
    training = model._training(*model._validate(*data[:2], None))
    fits = fit_path(model, training, 0, np.array([3.0, 2.0, 1.0]), np.array([0.0, 0.5, 0.5]))
    assert betas == [2.0, 1.0]
    assert {j: fit.beta for j, fit in fits.items()} == {1: 2.0, 2: 1.0}
    assert set(fit_path(model, training, 0, np.array([3.0, 2.0, 1.0]), np.eye(3)[0])) == {0}
    ends = fit_path(model, training, 0, np.array([3.0, 2.0, 1.0]), np.array([0.5, 0.0, 0.5]))
    assert {j: fit.beta for j, fit in ends.items()} == {0: 3.0, 2: 1.0}


def test_auto_betas_do_not_depend_on_the_mean_of_the_targets(data):
    X, y, _, _ = data
    search = ConvexBNRegressorCV(fit_intercept=False)
    grids = [search._betas(search._training(*search._validate(X, z, None))) for z in (y, y + 99)]
    np.testing.assert_allclose(*grids)


class WithoutIntercept(ConvexBNRegressorCV):
    """A search with one parameter."""

    def __init__(self, shrinkages=(0.0,)):
        super().__init__(**{**SMALL, "shrinkages": shrinkages}, fit_intercept=False)


def test_candidates_of_a_subclass_with_fewer_parameters_have_those_it_sets(data):
    X, y, _, _ = data
    search = WithoutIntercept().fit(X, y + 5)
    assert search.intercepts_[1] == 0
    expected = ConvexBNRegressorCV(**{**SMALL, "shrinkages": (0.0,)}, fit_intercept=False)
    assert search.best_score_ == expected.fit(X, y + 5).best_score_


def test_groups_are_routed_to_the_splitter(data):
    X, y, w, groups = data
    search = ConvexBNRegressorCV(**{**SMALL, "cv": GroupKFold(3)})
    with pytest.raises(ValueError, match="groups"):
        search.fit(X, y, groups=groups)
    with config_context(enable_metadata_routing=True):
        search.fit(X, y, sample_weight=w, groups=groups)
    folds = list(GroupKFold(3).split(X, y, groups))
    expected = ConvexBNRegressorCV(**{**SMALL, "cv": folds}).fit(X, y, sample_weight=w)
    np.testing.assert_array_equal(search.predict(X), expected.predict(X))


def test_a_generator_of_folds_is_there_still_after_routing(data):
    X, y, w, _ = data
    folds = KFold(3).split(X)
    with config_context(enable_metadata_routing=True):
        search = ConvexBNRegressorCV(**{**SMALL, "cv": folds}).set_fit_request(sample_weight=True)
        search.fit(X, y, sample_weight=w)
    expected = ConvexBNRegressorCV(**SMALL).fit(X, y, sample_weight=w)
    np.testing.assert_array_equal(search.predict(X), expected.predict(X))


def test_weights_are_routed_to_a_scorer_that_asks_for_them(data):
    X, y, w, _ = data
    scorer = make_scorer(mean_absolute_error, greater_is_better=False)
    with config_context(enable_metadata_routing=True):
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            ConvexBNRegressorCV(**SMALL, scoring=scorer).fit(X, y, sample_weight=w)
        scores = [
            ConvexBNRegressorCV(**SMALL, scoring=scorer.set_score_request(sample_weight=request))
            .fit(X, y, sample_weight=w)
            .best_score_
            for request in (True, False)
        ]
        nested = ConvexBNRegressorCV(**SMALL).set_fit_request(sample_weight=True)
        nested.set_score_request(sample_weight=True)
        cross_val_score(nested, X, y, cv=2, params={"sample_weight": w})
    assert scores[0] != scores[1]
    direct = ConvexBNRegressorCV(**SMALL, scoring=scorer).fit(X, y, sample_weight=w)
    assert direct.best_score_ == scores[0]


def test_pickle_and_clone(data):
    X, y, _, _ = data
    search = ConvexBNRegressorCV(**SMALL).fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(search)).predict(X), search.predict(X))
    assert clone(search).get_params() == search.get_params()
    assert repr(ConvexBNClassifierCV(betas=[0.5])) == "ConvexBNClassifierCV(betas=[0.5])"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"betas": "best"}, "'betas' parameter"),
        ({"betas": [-1.0]}, "betas must be a non-empty sequence of finite numbers >= 0"),
        ({"ranks": (0,)}, "'rank' parameter"),
        ({"shrinkages": ()}, "ranks and shrinkages must not be empty"),
        ({"shrinkages": np.array(0.5)}, "shrinkages must be a sequence of values to try, got arr"),
        ({"ranks": np.array(2)}, "ranks must be a sequence of values to try, got array"),
        ({"bias_scale": 0.0}, "'bias_scale' parameter"),
        ({"scoring": "none"}, "'scoring' parameter"),
        ({"n_jobs": 0.5}, "'n_jobs' parameter"),
        ({"backend": "closed_form"}, "backend='closed_form' does not apply"),
    ],
)
def test_bad_parameters(data, params, message):
    X, y, _, _ = data
    with pytest.raises(ValueError, match=message):
        ConvexBNRegressorCV(**params).fit(X, y)


@pytest.mark.parametrize("kind", ["regressor", "classifier"])
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_jobs_give_the_same_numbers(data, backend, kind):
    X, y, w, _ = data
    search = ConvexBNRegressorCV(**SMALL, average=True)
    if kind == "classifier":
        search, y = ConvexBNClassifierCV(**SMALL), np.digitize(y, [-0.5, 0.5])
    alone = clone(search).fit(X, y, sample_weight=w)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        together = clone(search).fit(X, y, sample_weight=w)
    assert_same(alone, together, X)


def assert_same(a, b, X):
    np.testing.assert_array_equal(
        a.cv_results_["mean_test_score"], b.cv_results_["mean_test_score"]
    )
    assert a.best_params_ == b.best_params_
    np.testing.assert_array_equal(a.predict(X), b.predict(X))


def test_on_a_dask_cluster(data):
    distributed = pytest.importorskip("dask.distributed")
    X, y, w, _ = data
    alone = ConvexBNRegressorCV(**SMALL).fit(X, y, sample_weight=w)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        together = ConvexBNRegressorCV(**SMALL).fit(X, y, sample_weight=w)
    assert_same(alone, together, X)


def test_one_number_is_a_weight_of_all_samples(data):
    X, y, _, _ = data
    search = ConvexBNRegressorCV(betas=[1.0], shrinkages=[0.0], cv=2, tol=1e-2, random_state=0)
    weights = 2.0, np.array(2.0), np.full(len(y), 2.0)
    scores = [search.fit(X, y, sample_weight=w).best_score_ for w in weights]
    assert scores[0] == scores[1] == scores[2]
    plain = ConvexBNRegressor(rank=1, random_state=0)
    objectives = [plain.fit(X, y, sample_weight=w).objective_ for w in weights]
    assert objectives[0] == objectives[1] == objectives[2]


def test_a_test_fold_without_weight_is_refused(data):
    X, y, _, _ = data
    weight = np.ones(len(y))
    weight[: len(y) // 2 + 1] = 0
    search = ConvexBNRegressorCV(betas=[1.0], cv=KFold(2))
    with pytest.raises(ValueError, match="Test fold 1 of 2 has no sample of positive weight"):
        search.fit(X, y, sample_weight=weight)


ROWS = np.arange(90)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([(ROWS, ROWS), (ROWS[:50], ROWS[50:])], "Training fold 2 of 2 has one class"),
        ([(ROWS, ROWS[:0])], "Test fold 1 of 1 is empty"),
        ([(ROWS, [])], "Test fold 1 of 1 is empty"),
        ([([], ROWS)], "Training fold 1 of 1 has fewer than 2 samples"),
        ([(ROWS, ROWS + 1)], f"cv has index {len(ROWS)}, X has {len(ROWS)} samples; give"),
        ([(ROWS > 20, ROWS[:70] > 20)], r"cv has a mask of shape \(70,\), X has 90 samples; give"),
        ([(ROWS / 1.0, ROWS)], r"cv has a part of shape \(90,\) and type float64; give"),
        ([(ROWS, ROWS[:, None])], r"cv has a part of shape \(90, 1\) and type int64; give"),
        ([(ROWS[:1], ROWS[1:])], "Training fold 1 of 1 has fewer than 2 samples"),
        ([(ROWS[:5], ROWS[5:])], "Training fold 1 of 1 has no sample of positive weight"),
    ],
)
def test_folds_that_cannot_be_fitted_or_scored_are_named(data, folds, message):
    X, _, weight, _ = data
    with pytest.raises(ValueError, match=message):
        ConvexBNClassifierCV(cv=folds).fit(X, ROWS > 60, sample_weight=weight * (ROWS > 4))


@pytest.mark.parametrize("bad", [-25, 24])
def test_an_index_out_of_range_is_refused(bad):
    with pytest.raises(ValueError, match=f"cv has index {bad}, X has 24 samples"):
        as_fold(([0, bad], [1]), 24)
    assert as_fold(([-24, 23], [1]), 24)[0].tolist() == [-24, 23]
    assert as_fold((np.array([0, 23], dtype=np.uint8), [1]), 24)[0].tolist() == [0, 23]


def test_a_splitter_without_folds_is_refused(data):
    X, y, _, _ = data
    with pytest.raises(ValueError, match=r"cv=\[\] has no folds"):
        ConvexBNRegressorCV(cv=[]).fit(X, y)


@pytest.mark.parametrize("limit", [{"max_iter": 1}, {"max_time": 0.0}])
def test_candidates_that_a_limit_ended_are_warned_of(data, limit):
    X, y, _, _ = data
    search = ConvexBNRegressorCV(**SMALL, **limit)
    with pytest.warns(ConvergenceWarning) as record:  # of the final fit too, if it was cut short
        search.fit(X, y)
    message = r"ended (\d+) of 12 fits of the search before they settled, (\d) of them of the best"
    ended = re.search(message, str(record[0].message))
    limited = search.cv_results_["n_limited"]
    assert limited.dtype.kind == "i"
    assert 0 < limited.sum() == int(ended[1])
    assert limited[search.best_index_] == int(ended[2])


def test_candidates_have_not_settled_where_a_round_did_little_and_the_gap_is_wide():
    rng, excess = np.random.default_rng(0), []
    for seed in range(12):
        X, y = rng.standard_normal((9, 1)), rng.standard_normal(9)
        given = {"rank": 1, "bias_scale": 3.0, "random_state": seed, "tol": 1e-4}
        models = [ConvexBNRegressor(**given, shrinkage=1.0)]
        training = models[0]._training(*models[0]._validate(X, y, None))
        for _, fit in _candidate_fits(models, training, seed, np.array([3.0, 1.0, 0.3, 0.1])):
            best = ConvexBNRegressor(**given, shrinkage=1.0, beta=fit.beta).fit(X, y)
            excess.append((fit.objective - best.objective_) / best.zero_loss_)
    assert max(excess) < 2e-4


@pytest.mark.parametrize("seed", [15, 99, 132])
def test_candidates_whose_descent_climbs_first_have_not_settled(seed):
    """From the optimum at a beta ten times as large, with repeated rows and uneven weights."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(12, 40))
    X, Y = rng.standard_normal((n, 1)).round(1), rng.standard_normal((n, 2))
    model = ConvexBNRegressor(random_state=0, arrangements="adaptive")
    training = model._training(*model._validate(X, Y, rng.uniform(1, 11, n)))
    task = model._task(training, 1)
    betas = task.units.beta * task.beta_max(60, 30, 0.01) * np.array([0.3, 0.03, 0.003, 0.0003])
    for _, fit in _candidate_fits([model], training, 1, betas):
        assert fit.objective <= task.solve(fit.beta).objective + model.tol * fit.zero_loss


def test_candidates_need_no_enumeration(data, monkeypatch):
    """On few rows the final fit enumerates, candidates settle without: the same scores."""
    X, y = data[0][:20], data[1][:20]
    settings = {"shrinkages": (0.0,), "cv": 3, "random_state": 0}
    given = ConvexBNRegressorCV(**settings, arrangements="exact", tol=1e-2).fit(X, y)
    monkeypatch.setattr("skconvexbn.single_fit.enumerate_all", pytest.fail)
    monkeypatch.setattr("skconvexbn.solvers.MAX_AUTO_EXACT", 0)  # of the final fit
    quick = ConvexBNRegressorCV(**settings, tol=1e-2).fit(X, y)
    scores = [s.cv_results_["mean_test_score"][:5] / y.var() for s in (quick, given)]
    np.testing.assert_allclose(*scores, atol=0.05)


def test_infinite_scores_are_what_they_are(data):
    X, y, _, _ = data
    for score in (-np.inf, np.nan):
        with pytest.raises(ValueError, match="All scores are NaN or -inf"):
            ConvexBNRegressorCV(**SMALL, scoring=lambda *_, score=score: score).fit(X, y)
    scores = itertools.cycle([-np.inf, -1.0])
    search = ConvexBNRegressorCV(**SMALL, scoring=lambda *_: next(scores), average=True).fit(X, y)
    assert search.best_score_ == -1.0
    assert set(search.cv_results_["mean_test_score"]) == {-1.0, -np.inf}


def test_folds_are_judged_by_the_weights_of_the_scorer(data):
    X, y, _, _ = data
    w = np.ones(len(y))
    w[: len(y) // 3] = 0.0
    with config_context(enable_metadata_routing=True):
        scorer = make_scorer(mean_absolute_error, greater_is_better=False)
        scorer.set_score_request(sample_weight="own")
        search = ConvexBNRegressorCV(**SMALL, scoring=scorer).set_fit_request(sample_weight=True)
        search.fit(X, y, sample_weight=w, own=np.ones(len(y)))
        with pytest.raises(ValueError, match="Test fold 1 of 3 has no sample of positive weight"):
            search.fit(X, y, own=w)


def test_weights_of_a_class_that_a_fold_lacks():
    X, y = load_iris(return_X_y=True)
    order = np.argsort(y, kind="stable")
    half = np.flatnonzero(y[order] == 2)[0]
    folds = [(order[:half], order[half:])]
    weights = {0: 2.0, 2: 3.0}
    search = ConvexBNClassifierCV(
        betas=[1.0], shrinkages=(0.0,), cv=folds, class_weight=weights, random_state=0
    )
    with pytest.warns(UserWarning, match=r"lack classes that their test folds have: \[2\]"):
        search.fit(X, y)
    plain = ConvexBNClassifier(beta=1.0, class_weight=weights, random_state=0).fit(X, y)
    np.testing.assert_allclose(search.objective_, plain.objective_, rtol=0.02)
    with pytest.raises(ValueError, match="not in class_weight"):
        clone(search).set_params(class_weight={5: 1.0}).fit(X, y)


def test_weights_of_classes_whose_labels_are_digits():
    """Scikit-learn looks for the integers."""
    X, y = load_iris(return_X_y=True)
    search = ConvexBNClassifierCV(betas=[1.0], shrinkages=(0.0,), cv=3, random_state=0)
    search.set_params(class_weight={0: 2.0, 2: 3.0})
    digits, numbers = (clone(search).fit(X, labels) for labels in (y.astype(str), y))
    np.testing.assert_array_equal(digits.predict_proba(X), numbers.predict_proba(X))
    assert digits.best_score_ == numbers.best_score_


def test_candidates_given_twice_are_tried_once(data):
    params = {"ranks": (2, None, 2), "shrinkages": (0.0, 1.0, 0.0)}
    search = ConvexBNRegressorCV(**{**SMALL, **params}, tol=1e-2).fit(*data[:2])
    points = [(p["rank"], p["shrinkage"], p["beta"]) for p in search.cv_results_["params"]]
    expected = itertools.product((2, None), (0.0, 1.0), (2.0, 0.5))
    assert points == list(expected)
    with pytest.raises(ValueError, match="'rank' parameter"):
        ConvexBNRegressorCV(ranks=(1, 1.0)).fit(*data[:2])
    with pytest.raises(ValueError, match="'rank' parameter"):
        ConvexBNRegressorCV(ranks=([1],)).fit(*data[:2])


def test_ranks_keep_their_types(data):
    search = ConvexBNRegressorCV(**{**SMALL, "ranks": (2, 0.5)}).fit(*data[:2])
    assert {type(rank) for rank in search.cv_results_["param_rank"]} == {int, float}


def test_candidates_that_settle_in_their_last_round_are_not_limited():
    X = np.random.default_rng(0).standard_normal((40, 80))
    search = ConvexBNClassifierCV(betas=[0.1, 1.0], shrinkages=(0.0,), cv=3, max_iter=1)
    assert search.fit(X, np.arange(40) % 3).backend_ == "closed_form"  # without a warning
    assert search.cv_results_["n_limited"].tolist() == [0, 0]


def test_the_search_has_no_parameter_names_beside_its_own():
    for search in (ConvexBNRegressorCV, ConvexBNClassifierCV):
        assert not hasattr(search, "name")
        assert set(search._parameter_constraints) == set(search().get_params())


def test_scores_do_not_depend_on_other_shrinkages_where_tol_tells_no_networks_apart():
    """A network of next to no objective would be as good for the next, and its scores the same."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((24, 30))
    y = X[:, 0] + 0.3 * rng.standard_normal(24)
    folds = KFold(3, shuffle=True, random_state=1)
    params = {"cv": folds, "random_state": 0, "betas": [1e-3, 0.0]}
    alone = ConvexBNRegressorCV(shrinkages=(1.0,), **params).fit(X, y)
    both = ConvexBNRegressorCV(shrinkages=(0.0, 1.0), **params).fit(X, y)
    np.testing.assert_allclose(
        both.cv_results_["mean_test_score"][2:], alone.cv_results_["mean_test_score"], rtol=1e-9
    )
    assert both.cv_results_["mean_test_score"][0] != both.cv_results_["mean_test_score"][2]


@pytest.mark.parametrize("item", [([0, 1, 2],), ([0, 1], [2], [3]), 5])
def test_folds_that_are_no_pairs_are_named(item):
    X, y = load_diabetes(return_X_y=True)
    with pytest.raises(ValueError, match=r"cv has .*, which is not two parts; give pairs"):
        ConvexBNRegressorCV(cv=[item], betas=[1.0]).fit(X, y)


def test_folds_of_next_to_no_weight_are_named():
    X = np.random.default_rng(0).standard_normal((60, 2))
    y = np.array(["a", "b"] * 30)
    weight = np.where(y == "b", 1e-40, 1.0)
    weight[:20] = 1
    search = ConvexBNClassifierCV(cv=[(np.arange(20, 60), np.arange(20))], betas=[1.0])
    with pytest.raises(ValueError, match="Training fold 1 of 1 has one class"):
        search.fit(X, y, weight)


def test_weights_of_a_scorer_may_be_one_number(data):
    X, y, _, _ = data
    with config_context(enable_metadata_routing=True):
        scorer = get_scorer("r2").set_score_request(sample_weight="other")
        search = ConvexBNRegressorCV(**{**SMALL, "scoring": scorer})
        score = search.fit(X, y, other=2.0).best_score_
        assert search.fit(X, y, other=np.full(len(y), 2.0)).best_score_ == score


@pytest.mark.parametrize("betas", [["1"], [True], np.array([1 + 1j])])
def test_betas_are_numbers(betas):
    with pytest.raises(ValueError, match="betas must be a non-empty sequence of finite numbers"):
        ConvexBNRegressorCV(betas=betas).fit(*load_diabetes(return_X_y=True))


def test_the_index_of_weights_does_not_matter(data):
    X, y, _, _ = data
    w = pd.Series(np.arange(90) < 45, index=np.arange(90)[::-1], dtype=float)
    search = ConvexBNRegressorCV(**{**SMALL, "cv": [(ROWS[20:], ROWS[:20])]}, ranks=(1,))
    scores = [search.fit(X, y, sample_weight=v).best_score_ for v in (w, w.to_numpy())]
    assert scores[0] == scores[1]


def test_weights_reach_a_scorer_as_they_were_given(data):
    seen = []

    def scoring(model, X, y, sample_weight):
        seen.append(type(sample_weight))
        return model.score(X, y, sample_weight)

    X, y, _, _ = data
    search = ConvexBNRegressorCV(**{**SMALL, "scoring": scoring})
    search.fit(X, y, sample_weight=pd.Series(np.ones(len(y))))
    assert set(seen) == {pd.Series}

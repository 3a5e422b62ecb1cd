"""Candidates of a search: which are tried, where their fits begin, and when these have settled."""

import itertools
import json
import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold
from small_searches import SMALL

from skconvexbn import ConvexBNClassifierCV, ConvexBNRegressor, ConvexBNRegressorCV
from skconvexbn.model_selection.candidates import (
    Job,
    _have_ended,
    fits_along_beta,
    score_paths,
)
from skconvexbn.model_selection.cross_validation import BETAS
from skconvexbn.task import Task


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
    job = Job(models, training, X, y, {}, None)
    scored, _ = score_paths(
        job, 0, np.array([0.5]), lambda *_: 0.0, [None] * 3, np.full(3, fill_value=True)
    )
    assert scored.score.shape == (3, 1)
    for (Q, start, _), (other_Q, _, beside) in itertools.pairwise(seen):
        np.testing.assert_allclose(other_Q @ beside[0], Q @ start[0], atol=1e-9)


@pytest.fixture(scope="module")
def noisy():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, 3))
    return X, X[:, 0] + 2 * rng.standard_normal(150)


def test_automatic_betas_end_where_losses_have_grown(noisy):
    X, y = noisy
    options = {"shrinkages": (1.0, 0.0), "cv": KFold(3), "random_state": 0}
    search = ConvexBNRegressorCV(**options).fit(X, y)
    given = ConvexBNRegressorCV(betas=y.std() * np.array(BETAS), **options).fit(X, y)
    found, every = search.cv_results_, given.cv_results_
    left_out = found["left_out"]
    n_fitted = len(BETAS) - left_out.reshape(2, -1).sum(axis=1)
    assert set(n_fitted) <= {6, 7, 8}  # after 0.1, 0.03 or 0.01
    np.testing.assert_array_equal(left_out, (np.arange(9) >= n_fitted[:, None]).ravel())
    assert not every["left_out"].any()
    for name in [f"split{k}_test_score" for k in range(3)] + ["mean_test_score", "mean_fit_time"]:
        np.testing.assert_array_equal(np.isnan(found[name]), left_out)
    np.testing.assert_allclose(
        found["mean_test_score"][~left_out], every["mean_test_score"][~left_out], rtol=0.02
    )
    assert set(found["rank_test_score"][left_out]) == {np.count_nonzero(~left_out) + 1}
    assert search.best_index_ == given.best_index_
    np.testing.assert_array_equal(search.shares_ > 0, np.arange(18) == search.best_index_)


LOSSES = [[4.0, 3.0, 2.0], [2.0, 1.0, 3.0], [2.0, 1.0, 1.1], [1.0, 2.0, 2.0]]


@pytest.mark.parametrize(
    ("folds", "ended"),
    [
        ((1,), True),  # 3 > 1.25
        ((2,), False),  # 1.1 is not
        ((0,), False),
        ((1, 1, 2), True),  # 7.1 / 3 > 1.25
        ((1, 1, 0), False),  # one fold goes on, as where rows are sorted
        ((3, 3), True),  # the smallest need not be the last but one
    ],
)
def test_a_path_ends_where_its_mean_loss_and_that_of_every_fold_have_grown(folds, ended):
    losses = np.array([LOSSES[k] for k in folds])
    other = np.array([[3.0, 2.0, 1.0]] * len(folds))
    found = _have_ended(np.stack([losses, other], axis=1))
    np.testing.assert_array_equal(found, [ended, False])


def test_a_path_with_losses_left_out_is_not_judged():
    losses = np.array([[[1.0, 9.0, np.nan]], [[1.0, 9.0, np.nan]]])
    assert not _have_ended(losses).any()


def test_automatic_betas_go_on_where_rows_are_sorted():
    """Test folds are beyond the rows to fit: some lose much before they gain."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (300, 3))
    X = X[X[:, 0].argsort()]
    y = np.sin(3 * X[:, 0]) + 0.1 * rng.standard_normal(300)
    options = {"shrinkages": (0.0,), "random_state": 0}
    search = ConvexBNRegressorCV(**options).fit(X, y)
    given = ConvexBNRegressorCV(betas=y.std() * np.array(BETAS), **options).fit(X, y)
    assert search.best_index_ == given.best_index_


@pytest.mark.parametrize("options", [{"scoring": "neg_mean_squared_error"}, {"betas": BETAS}])
def test_betas_do_not_end_early_elsewhere(noisy, options):
    """With a scoring, whose ratios need not mean anything, or betas as listed."""
    X, y = noisy
    search = ConvexBNRegressorCV(shrinkages=(1.0,), cv=3, random_state=0, **options).fit(X, y)
    assert not search.cv_results_["left_out"].any()
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_betas_of_classes_end_early_too(noisy):
    X, y = noisy
    search = ConvexBNClassifierCV(shrinkages=(1.0,), cv=2, random_state=0, average=True)
    results = search.fit(X, y > 1).cv_results_
    assert results["left_out"][-1]
    assert not search.shares_[results["left_out"]].any()
    assert search.shares_.max() < 1
    again = search.set_params(n_jobs=2).fit(X, y > 1).cv_results_
    np.testing.assert_array_equal(again["mean_test_score"], results["mean_test_score"])


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


def test_candidates_that_are_equal_are_one(data):
    X, y, _, _ = data
    equal = {"ranks": np.array([1, 1]), "shrinkages": [0.0, 0, -0.0, np.float32(0), False]}
    search = ConvexBNRegressorCV(betas=[1.0], cv=2, **equal).fit(X, y)
    assert len(search.cv_results_["mean_test_score"]) == 1
    assert json.dumps(search.best_params_) == json.dumps(
        {"beta": 1.0, "rank": 1, "shrinkage": 0.0, "bias_scale": 1.0}
    )


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
        model = ConvexBNRegressor(**given, shrinkage=1.0)
        training = model._training(*model._validate(X, y, None))
        for fit in fits_along_beta(model, training, seed, np.array([3.0, 1.0, 0.3, 0.1])):
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
    for fit in fits_along_beta(model, training, 1, betas):
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

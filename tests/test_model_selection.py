"""Cross-validated estimators against GridSearchCV and plain fits; their betas and parameters."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV
from small_searches import SMALL, plain

from skconvexbn import (
    ConvexBNClassifier,
    ConvexBNClassifierCV,
    ConvexBNRegressor,
    ConvexBNRegressorCV,
    convex_bn_path,
)
from skconvexbn.task import Task
from skconvexbn.whitening import Whitening


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


def test_auto_betas_do_not_depend_on_the_mean_of_the_targets(data):
    X, y, _, _ = data
    search = ConvexBNRegressorCV(fit_intercept=False)
    grids = [search._betas(search._training(*search._validate(X, z, None))) for z in (y, y + 99)]
    np.testing.assert_allclose(*grids)


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
        ({"shrinkages": np.array([[0.5, 1.0]])}, "'shrinkage' parameter"),
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


def test_one_number_is_a_weight_of_all_samples(data):
    X, y, _, _ = data
    search = ConvexBNRegressorCV(betas=[1.0], shrinkages=[0.0], cv=2, tol=1e-2, random_state=0)
    weights = 2.0, np.array(2.0), np.full(len(y), 2.0)
    scores = [search.fit(X, y, sample_weight=w).best_score_ for w in weights]
    assert scores[0] == scores[1] == scores[2]
    plain = ConvexBNRegressor(rank=1, random_state=0)
    objectives = [plain.fit(X, y, sample_weight=w).objective_ for w in weights]
    assert objectives[0] == objectives[1] == objectives[2]


def test_weights_of_classes_whose_labels_are_digits():
    """Scikit-learn looks for the integers."""
    X, y = load_iris(return_X_y=True)
    search = ConvexBNClassifierCV(betas=[1.0], shrinkages=(0.0,), cv=3, random_state=0)
    search.set_params(class_weight={0: 2.0, 2: 3.0})
    digits, numbers = (clone(search).fit(X, labels) for labels in (y.astype(str), y))
    np.testing.assert_array_equal(digits.predict_proba(X), numbers.predict_proba(X))
    assert digits.best_score_ == numbers.best_score_


def test_the_search_has_no_parameter_names_beside_its_own():
    for search in (ConvexBNRegressorCV, ConvexBNClassifierCV):
        assert not hasattr(search, "name")
        assert set(search._parameter_constraints) == set(search().get_params())


@pytest.mark.parametrize("betas", [["1"], [True], np.array([1 + 1j])])
def test_betas_are_numbers(betas):
    with pytest.raises(ValueError, match="betas must be a non-empty sequence of finite numbers"):
        ConvexBNRegressorCV(betas=betas).fit(*load_diabetes(return_X_y=True))

"""Estimators of one fit: the behaviour that users of scikit-learn count on."""

import pickle

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_problems import small

from skconvexbn import (
    ConvexBNClassifier,
    ConvexBNClassifierCV,
    ConvexBNRegressor,
    ConvexBNRegressorCV,
)
from skconvexbn.base import ConvexBNBase
from skconvexbn.model_selection.cross_validation import CrossValidated
from skconvexbn.single_fit import SingleFit


@pytest.fixture(scope="module", name="cancer")
def _cancer():
    return load_breast_cancer(return_X_y=True)


@pytest.fixture(scope="module", name="diabetes")
def _diabetes():
    return load_diabetes(return_X_y=True)


def test_grid_search_in_a_pipeline_classifier(cancer):
    X, y = cancer
    pipeline = make_pipeline(StandardScaler(), ConvexBNClassifier(random_state=0))
    grid = {"convexbnclassifier__beta": [0.3, 1.0], "convexbnclassifier__rank": [3, 5]}
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2, error_score="raise").fit(X, y)
    assert search.best_score_ > 0.93
    assert search.best_estimator_.score(X, y) > 0.93


def test_grid_search_in_a_pipeline_regressor(diabetes):
    X, y = diabetes
    pipeline = make_pipeline(StandardScaler(), ConvexBNRegressor(random_state=0))
    grid = {"convexbnregressor__beta": [100.0, 300.0], "convexbnregressor__rank": [4, 0.95]}
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2, error_score="raise").fit(X, y)
    assert search.best_score_ > 0.35


def test_defaults_learn(cancer, diabetes):
    for model, (X, y), floor in (
        (ConvexBNClassifier(random_state=0), load_iris(return_X_y=True), 0.93),
        (ConvexBNRegressor(random_state=0), diabetes, 0.30),
    ):
        assert cross_val_score(model, X, y, cv=3).mean() > floor


@pytest.mark.parametrize("kind", ["regression", "several", "column", "binary", "multiclass"])
def test_shapes(kind):
    X, y = small(kind)
    classes = {"binary": 2, "multiclass": 3}.get(kind)
    model = (ConvexBNClassifier if classes else ConvexBNRegressor)(random_state=0).fit(X, y)
    C = 1 if y.ndim == 1 and classes != 3 else (classes or y.shape[1])
    m = model.n_neurons_
    assert [a.shape for a in model.coefs_] == [(2, m), (m, C)]
    assert [a.shape for a in model.intercepts_] == [(m,), (C,)]
    assert model.gamma_.shape == model.alpha_.shape == (m,)
    assert model.hidden_directions_.shape == (2, m)
    assert model.mean_.shape == (2,)
    assert model.singular_values_.shape == (model.rank_,) == (2,)
    assert model.n_iter_ >= 1
    assert model.device_ == "cpu"
    assert model.dual_objective_ <= model.objective_
    np.testing.assert_allclose(model.dual_gap_, model.objective_ - model.dual_objective_)
    assert model.predict(X).shape == y.shape
    if classes:
        assert model.decision_function(X).shape == ((30,) if classes == 2 else (30, 3))
        probabilities = model.predict_proba(X)
        assert probabilities.shape == (30, classes)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), probabilities)
        np.testing.assert_array_equal(
            model.classes_[probabilities.argmax(axis=1)], model.predict(X)
        )


def test_predictions_have_the_shape_of_the_targets_of_the_last_fit():
    X, y = small("regression")
    model = ConvexBNRegressor(rank=1)
    for targets in (y, y[:, None], y):
        assert model.fit(X, targets).predict(X).shape == targets.shape


@pytest.mark.parametrize("dump", [pickle, joblib])
def test_pickle(dump, tmp_path):
    X, y = small("multiclass")
    model = ConvexBNClassifier(random_state=0).fit(X, y)
    path = tmp_path / "model"
    if dump is joblib:
        joblib.dump(model, path)
        loaded = joblib.load(path)
    else:
        loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("Estimator", [ConvexBNRegressor, ConvexBNClassifier])
def test_one_number_is_a_weight_of_all_samples(Estimator):
    X, y = small("binary")
    y, model = y == "yes", Estimator(rank=1, random_state=0)
    fits = [clone(model).fit(X, y, sample_weight=w).objective_ for w in (2.0, np.full(30, 2.0))]
    assert fits[0] == fits[1]


def test_what_the_estimators_share_is_none_itself():
    for base in (ConvexBNBase, SingleFit, CrossValidated):
        with pytest.raises(TypeError, match="abstract"):
            base()


def test_clone_and_repr():
    model = ConvexBNClassifier(beta=0.5, rank=3, loss="squared_error", class_weight={0: 2.0})
    assert clone(model).get_params() == model.get_params()
    assert repr(ConvexBNRegressor(beta=0.5, rank=3)) == "ConvexBNRegressor(beta=0.5, rank=3)"
    assert clone(model).set_params(beta=1.0).beta == 1.0


def test_same_random_state_same_fit_and_no_global_state():
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:80], y[:80]
    np.random.seed(7)
    state = np.random.get_state()[1].copy()
    fits = [ConvexBNRegressor(random_state=3).fit(X, y) for _ in range(2)]
    np.testing.assert_array_equal(fits[0].predict(X), fits[1].predict(X))
    np.testing.assert_array_equal(np.random.get_state()[1], state)


@pytest.mark.parametrize("activation", ["relu", "gated_relu"])
def test_predictions_and_exports_do_not_follow_edits_of_attributes(activation):
    X, y = small("regression")
    model = ConvexBNRegressor(beta=0.1, activation=activation, random_state=0).fit(X, y)
    before = model.predict(X)
    arrays = model.mean_, model.gamma_, model.alpha_, model.hidden_directions_
    for array in [*arrays, *model.coefs_, *model.intercepts_, *(model.gates_ or [])]:
        array += 1.0
    np.testing.assert_array_equal(model.predict(X), before)
    if activation == "relu":
        np.testing.assert_allclose(model.to_sklearn_mlp().predict(X), before)


BAD = [
    ({"beta": -1.0}, "'beta' parameter .*'auto'.* or a float in the range .* Got -1.0"),
    ({"beta": "best"}, "Got 'best'"),
    ({"rank": 0}, "'rank' parameter"),
    ({"rank": 1.5}, "'rank' parameter"),
    ({"shrinkage": 1.1}, "'shrinkage' parameter"),
    ({"bias_scale": 0.0}, "'bias_scale' parameter"),
    ({"bias_scale": 1e7}, "'bias_scale' parameter"),
    ({"arrangements": "all"}, "'arrangements' parameter"),
    ({"backend": "jax"}, "'backend' parameter"),
    ({"device": "gpu"}, "device must be None, 'cpu', 'cuda', 'cuda:<index>' or 'mps', got 'gpu'"),
    ({"device": "cuda:9", "backend": "torch"}, "torch sees . CUDA devices; use device=None"),
    ({"device": f"cuda:{10**20}", "backend": "torch"}, "is not present: torch sees . CUDA devices"),
    ({"device": 1}, "'device' parameter"),
    ({"max_time": -1.0}, "'max_time' parameter"),
    (
        {"backend": "cvxpy", "arrangements": "adaptive"},
        "backend='cvxpy' takes arrangements 'auto', 'exact' or 'sampled', got 'adaptive'",
    ),
    ({"max_iter": 0}, "'max_iter' parameter"),
]


@pytest.mark.parametrize(("params", "message"), BAD)
def test_bad_parameters(params, message):
    X, y = small("regression")
    with pytest.raises(ValueError, match=message):
        ConvexBNRegressor(**params).fit(X, y)


@pytest.mark.parametrize(
    ("model", "bad"),
    [
        (ConvexBNRegressor(), ({"backend": "closed_form"}, lambda y: np.column_stack([y, y]))),
        (ConvexBNClassifier(), ({}, lambda y: y[:5] * 0)),
        (
            ConvexBNRegressorCV(betas=[0.1], shrinkages=[0.0], cv=2),
            ({"shrinkages": [0.5], "scoring": lambda model, X, y: np.nan}, lambda y: y),
        ),
    ],
)
def test_a_fit_that_fails_leaves_the_fit_before(model, bad):
    X, y = small("regression")
    model.set_params(random_state=0).fit(X, y > 0.5)
    params, changed = bad
    before = {name: value for name, value in vars(model).items() if name.endswith("_")}
    predicted, y = model.predict(X), changed(y)
    with pytest.raises(ValueError, match=r"does not apply|2 classes|All scores are NaN"):
        model.set_params(**params).fit(np.column_stack([X, X])[: len(y)], y)
    assert {name: value for name, value in vars(model).items() if name.endswith("_")} == before
    np.testing.assert_array_equal(model.predict(X), predicted)


@pytest.mark.parametrize(
    "model",
    [ConvexBNRegressor(beta=0.01), ConvexBNRegressorCV(betas=[0.01], shrinkages=[0.0], cv=2)],
)
def test_convergence_warnings_point_to_the_call_of_fit(model):
    X, y = small("regression")
    with pytest.warns(ConvergenceWarning) as caught:
        model.set_params(backend="torch", max_iter=1, tol=1e-9).fit(X, y)
    assert caught[0].filename == __file__


def test_convergence_warnings_have_the_relative_gap():
    X, y = small("regression")
    with pytest.warns(ConvergenceWarning, match="The duality gap is ") as caught:
        model = ConvexBNRegressor(beta=1.0, backend="torch", max_iter=1, tol=1e-9).fit(X, 100 * y)
    gap = float(str(caught[0].message).split()[4])
    assert gap == pytest.approx(model.dual_gap_ / model.zero_loss_, rel=0.01)


@pytest.mark.parametrize("beta", [1.0, np.float32(0.1), 3, "auto", 0.0])
def test_beta_taken_is_the_number_given(beta):
    X, y = small("regression")
    taken = ConvexBNRegressor(beta=beta, random_state=0).fit(X, 7 * y).beta_
    assert type(taken) is float
    assert taken == beta or beta in ("auto", 0.0)


def test_numpy_beta_keeps_double_precision():
    X, y = small("regression")
    model = ConvexBNRegressor(beta=np.float32(0.1), random_state=0).fit(X, y)
    assert np.asarray(model.objective_).dtype == np.float64


@pytest.mark.parametrize(
    ("Estimator", "rank", "n", "backend"),
    [
        (ConvexBNRegressor, 1, 100, "cvxpy"),
        (ConvexBNClassifier, 1, 100, "torch"),
        (ConvexBNRegressor, 2, 14, "cvxpy"),
        (ConvexBNClassifier, 2, 14, "torch"),
        (ConvexBNRegressor, 3, 19, "cvxpy"),
    ],
)
def test_auto_enumerates_up_to_its_limits(Estimator, rank, n, backend):
    """200, where generated ones are proved too, and 2,000 (`arrangements.count_arrangements`)."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((n + 1, 4)), np.arange(n + 1) % 2
    model = Estimator(rank=rank)
    chosen = []
    for rows in (slice(n), slice(n + 1)):
        training = model._training(*model._validate(X[rows], y[rows], None))
        task = model._task(training, 0)
        chosen.append((task.backend, task.arrangements is not None))
    assert chosen == [(backend, True), ("torch", False)]


@pytest.mark.parametrize("limit", [{"max_iter": 1}, {"max_time": 0.0}])
@pytest.mark.parametrize("Estimator", [ConvexBNRegressor, ConvexBNClassifier])
def test_one_round_over_all_arrangements_finds_neurons(Estimator, limit):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 2))
    y = np.abs(X[:, 0]) > 0.7
    model = Estimator(arrangements="exact", tol=1e-9, **limit)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    assert model.n_iter_ == 1
    assert model.objective_ < 0.9 * model.zero_loss_
    assert model.certificate_ == "exact"
    assert model.dual_objective_ < model.objective_


def test_one_column_and_next_to_no_beta():
    """Clarabel stops at twice the optimum, after 20 s."""
    rng = np.random.default_rng(0)
    X = 10 * rng.integers(0, 3, (40, 1)) + 0.01 * rng.standard_normal((40, 1))
    model = ConvexBNClassifier(beta=0, random_state=0).fit(X, rng.integers(0, 2, 40))
    assert model.certificate_ == "exact"
    assert model.converged_


def test_the_solver_gets_the_seed():
    X, y = small("regression")
    model = ConvexBNRegressor()
    assert model._task(model._training(*model._validate(X, y, None)), 7).options.seed == 7


@pytest.mark.parametrize(
    "estimator", [ConvexBNRegressor, ConvexBNClassifier, ConvexBNRegressorCV, ConvexBNClassifierCV]
)
def test_unknown_parameters_are_refused_in_the_name_of_the_class(estimator):
    with pytest.raises(TypeError, match=rf"{estimator.__name__}\.__init__\(\) got .* 'alpha'"):
        estimator(alpha=1)


def test_constructors_of_subclasses_are_their_own():
    class Strong(ConvexBNRegressor):
        def __init__(self, strength=3.0):
            super().__init__(beta=strength)

    class Stronger(Strong):
        pass

    class Mixin:
        def __init__(self, extra=1, **params):
            super().__init__(**params)
            self.extra = extra

    class Plain(ConvexBNRegressor):
        pass

    class Mixed(Mixin, Plain):
        pass

    assert Stronger().beta == 3.0
    assert (Mixed().extra, Mixed(extra=5, beta=2.0).beta) == (1, 2.0)


@pytest.mark.parametrize(("shrinkage", "b"), [(0.0, 1.0), (0.5, 3.0)])
def test_bias_scale_auto_is_that_of_the_searches(shrinkage, b):
    X, y = small("regression")
    model = ConvexBNRegressor(beta=0.3, shrinkage=shrinkage, bias_scale=b, random_state=0)
    expected = model.fit(X, y).predict(X)
    np.testing.assert_array_equal(
        model.set_params(bias_scale="auto").fit(X, y).predict(X), expected
    )


@pytest.mark.parametrize("device", ["cpux", "cuda:", "gpu"])
def test_devices_are_named_in_full(device):
    with pytest.raises(ValueError, match=r"device must be None, 'cpu', .*, got"):
        ConvexBNRegressor(device=device).fit(*small("regression"))


def test_warm_starts_of_other_shapes_are_cold():
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:60], y[:60]
    model = ConvexBNRegressor(warm_start=True, backend="torch", random_state=0)
    for features, targets in ((3, y), (4, y), (4, np.stack([y, y**2 / 100], axis=1)), (4, y)):
        cold = clone(model).fit(X[:, :features], targets)
        assert model.fit(X[:, :features], targets).objective_ == cold.objective_

"""scikit-learn's own checks, and the behaviour that its users count on."""

import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import laplacian_kernel
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_param_validation,
    check_regressor_multioutput,
    parametrize_with_checks,
)
from sklearn.utils.validation import check_is_fitted, validate_data
from small_problems import small

from skconvexbn import (
    ConvexBNClassifier,
    ConvexBNClassifierCV,
    ConvexBNRegressor,
    ConvexBNRegressorCV,
    convex_bn_path,
)
from skconvexbn.base import ConvexBNBase
from skconvexbn.model_selection.cross_validation import CrossValidated
from skconvexbn.single_fit import SingleFit

ESTIMATORS = [
    estimator(backend=backend)
    for estimator in (ConvexBNRegressor, ConvexBNClassifier)
    for backend in ("auto", "cvxpy", "torch")
] + [
    estimator(betas=[2.0, 8.0], shrinkages=shrinkages, cv=2, tol=1e-2)
    for estimator in (ConvexBNRegressorCV, ConvexBNClassifierCV)
    for shrinkages in ([0.0], [0.5])
]
BALANCED = [
    ConvexBNClassifier(class_weight="balanced"),
    ConvexBNClassifierCV(
        class_weight="balanced", betas=[2.0, 8.0], shrinkages=[0.0], cv=2, tol=1e-2
    ),
]


@parametrize_with_checks(ESTIMATORS + BALANCED)
def test_sklearn_checks(estimator, check):
    check(estimator)


class Lifted:
    """Rows x become k(x, training rows), of full rank: the closed form on any data."""

    def _validate(self, X, y, sample_weight):
        X, y, weight = super()._validate(X, y, sample_weight)
        self.landmarks_ = np.unique(X[weight > 0], axis=0)
        spread = self.landmarks_ - self.landmarks_.mean(axis=0)
        self.width_ = np.abs(spread).sum(axis=1).max() + 1e-300
        return self._lift(X), y, weight

    def _lift(self, X):
        return laplacian_kernel(X, self.landmarks_, gamma=10 / self.width_)

    def _network_output(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self._network.output(self._lift(X))


class LiftedRegressor(Lifted, ConvexBNRegressor):
    pass


class LiftedClassifier(Lifted, ConvexBNClassifier):
    pass


# of classes of weights 1e7 apart: beside the heaviest rows the others vary by next to nothing
@pytest.mark.filterwarnings("ignore:Some columns of X are nearly combinations:UserWarning")
@parametrize_with_checks(
    [LiftedRegressor(backend="closed_form"), LiftedClassifier(backend="closed_form")]
)
def test_sklearn_checks_of_the_closed_form(estimator, check):
    if check.func is check_regressor_multioutput:
        # Several real targets have no closed form (theory.md 5: one, or one-hot rows).
        with pytest.raises(ValueError, match="11 distinct target rows for 5 outputs"):
            check(estimator)
    else:
        check(estimator)


@pytest.mark.parametrize("estimator", [ConvexBNRegressor(), ConvexBNClassifier(), *ESTIMATORS[-4:]])
def test_checks_outside_the_common_ones(estimator):
    name = type(estimator).__name__
    check_param_validation(name, estimator)
    check_dataframe_column_names_consistency(name, estimator)


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


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_of_equal_probabilities_the_first_class_is_predicted(loss):
    model = ConvexBNClassifier(beta=1.0, loss=loss).fit(np.ones((4, 2)), ["a", "b"] * 2)
    np.testing.assert_array_equal(model.predict_proba([[1, 1], [0, 5]]), 0.5)
    assert model.predict([[1, 1], [0, 5]]).tolist() == ["a", "a"]


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_probabilities_of_squared_error(kind):
    X, y = small(kind)
    model = ConvexBNClassifier(loss="squared_error", random_state=0).fit(X, y)
    far = np.concatenate([X, 5 * X, 100 * X])
    probabilities = model.predict_proba(far)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert probabilities.min() >= 0
    np.testing.assert_array_equal(model.classes_[probabilities.argmax(axis=1)], model.predict(far))
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(model.predict_log_proba(far), np.log(probabilities))


def test_a_loss_set_after_the_fit_is_for_the_next_one():
    X, y = small("multiclass")
    model = ConvexBNClassifier(random_state=0).fit(X, y)
    before = model.predict_proba(X), model.predict_log_proba(X)
    model.set_params(loss="squared_error")
    np.testing.assert_array_equal((model.predict_proba(X), model.predict_log_proba(X)), before)
    np.testing.assert_allclose(model.to_sklearn_mlp().predict_proba(X), before[0], atol=1e-8)
    model.fit(X, y).set_params(loss="log_loss")
    assert model.predict_proba(X).min() == 0.0
    with pytest.raises(ValueError, match="not those of loss='squared_error'"):
        model.to_sklearn_mlp()


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


@pytest.mark.parametrize("model", [ConvexBNRegressor(rank=1), ConvexBNClassifier(rank=1)])
def test_one_number_is_a_weight_of_all_samples(model):
    X, y = small("binary")
    y = y == "yes" if isinstance(model, ConvexBNRegressor) else y
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


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_data_frames_and_feature_names(frame):
    X, y = small("regression")
    data = frame({"a": X[:, 0], "b": X[:, 1]})
    model = ConvexBNRegressor(random_state=0).fit(data, y)
    assert list(model.feature_names_in_) == ["a", "b"]
    np.testing.assert_allclose(
        model.predict(data), ConvexBNRegressor(random_state=0).fit(X, y).predict(X)
    )
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame({"b": X[:, 1], "a": X[:, 0]}))


def test_metadata_routing_of_sample_weight():
    X, y = small("regression")
    w = np.random.default_rng(0).uniform(0, 2, 30)
    with config_context(enable_metadata_routing=True):
        model = ConvexBNRegressor(beta=0.1, random_state=0).set_fit_request(sample_weight=True)
        search = GridSearchCV(model.set_score_request(sample_weight=True), {"rank": [1, 2]}, cv=2)
        search.fit(X, y, sample_weight=w)
    direct = ConvexBNRegressor(beta=0.1, random_state=0, rank=search.best_params_["rank"])
    np.testing.assert_allclose(
        search.predict(X), direct.fit(X, y, sample_weight=w).predict(X), atol=1e-10
    )


def test_class_weight():
    X, y = small("multiclass")
    params = {"beta": 0.3, "random_state": 0}
    balanced = ConvexBNClassifier(class_weight="balanced", **params).fit(X, y)
    w = len(y) / (3 * np.bincount(y))[y]
    by_hand = ConvexBNClassifier(**params).fit(X, y, sample_weight=w)
    np.testing.assert_allclose(balanced.predict_proba(X), by_hand.predict_proba(X), atol=1e-8)
    chosen = ConvexBNClassifier(class_weight={0: 5.0}, **params).fit(X, y)
    assert chosen.predict_proba(X)[:, 0].mean() > balanced.predict_proba(X)[:, 0].mean()
    weight = 1.0 + np.arange(len(y)) % 3
    weight[y == 2] = 0.0  # neither counted nor a class
    balanced.fit(X, y, sample_weight=weight)
    w = weight.sum() / (2 * np.bincount(y, weight)[np.minimum(y, 1)])
    by_hand.fit(X, y, sample_weight=weight * w)
    np.testing.assert_allclose(balanced.predict_proba(X), by_hand.predict_proba(X), atol=1e-8)


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


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
@pytest.mark.parametrize("n_present", [2, 3])
def test_classes_of_zero_weight_have_probability_zero(loss, n_present):
    X, y = small("multiclass")
    if n_present == 3:
        y = np.where(X[:, 0] > 1, 3, y)
    kept = y != 1
    params = {"loss": loss, "beta": 0.1, "random_state": 0}
    model = ConvexBNClassifier(**params).fit(X, y, sample_weight=kept * 1.0)
    without = ConvexBNClassifier(**params).fit(X[kept], y[kept])
    assert model.classes_.tolist() == np.unique(y).tolist()
    P = model.predict_proba(X)
    assert not P[:, 1].any()
    np.testing.assert_allclose(P[:, model.classes_ != 1], without.predict_proba(X), atol=1e-9)
    np.testing.assert_array_equal(model.predict(X), without.predict(X))
    assert model.decision_function(X).shape == P.shape
    assert np.all(model.predict_log_proba(X)[:, 1] < -500)
    assert model.objective_ == without.objective_
    logits = model.to_torch()(torch.as_tensor(X)).detach().numpy()
    np.testing.assert_allclose(logits, model.decision_function(X), atol=1e-8)
    if loss == "log_loss":
        np.testing.assert_allclose(model.to_sklearn_mlp().predict_proba(X), P, atol=1e-8)


def test_one_class_of_positive_weight_is_refused():
    X, y = small("multiclass")
    with pytest.raises(ValueError, match="2 classes with positive weight, got 1 class"):
        ConvexBNClassifier().fit(X, y, sample_weight=(y == 1) * 1.0)


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
        "backend='cvxpy' takes arrangements 'auto' or 'exact' or 'sampled', got 'adaptive'",
    ),
    (
        {"backend": "torch", "arrangements": "exact"},
        "backend='torch' takes arrangements 'auto' or 'sampled' or 'adaptive', got 'exact'",
    ),
    ({"max_iter": 0}, "'max_iter' parameter"),
]


@pytest.mark.parametrize(("params", "message"), BAD)
def test_bad_parameters(params, message):
    X, y = small("regression")
    with pytest.raises(ValueError, match=message):
        ConvexBNRegressor(**params).fit(X, y)


def test_bad_data():
    X, y = small("regression")
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        ConvexBNRegressor().fit(X[:1], y[:1])
    with pytest.raises(ValueError, match="contains NaN"):
        ConvexBNRegressor().fit(np.where(X > 1, np.nan, X), y)
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        ConvexBNRegressor().fit(X, y, sample_weight=-np.ones(30))
    with pytest.raises(ValueError, match="at least one"):
        ConvexBNRegressor().fit(X, y, sample_weight=np.zeros(30))
    with pytest.raises(TypeError, match=r"y must be dense, got a sparse matrix; use y.toarray\(\)"):
        ConvexBNRegressor().fit(X, csr_array(y[:, None]))
    with pytest.raises(ValueError, match="too large: at most 200000 are allowed"):
        ConvexBNRegressor(arrangements="exact").fit(
            np.random.default_rng(0).random((80, 9)), np.arange(80)
        )


@pytest.mark.parametrize(
    "y", [["a", "b"] * 15, pd.Series(["1", 1.0, "a"] * 10), [[None], ["a"]] * 15]
)
def test_words_are_no_targets_of_a_regressor(y):
    X, _ = small("regression")
    with pytest.raises(ValueError, match=r"y has .*'a'.*, which is no number.*ConvexBNClassifier"):
        convex_bn_path(X, y)


def test_numbers_in_words_are_numbers_whatever_holds_them():
    X, y = small("regression")
    words = [str(value) for value in y.astype(np.float32)]
    model = ConvexBNRegressor(rank=1, random_state=0)
    expected = model.fit(X, np.array(words, dtype=float)).predict(X)
    for dtype in (None, object, np.dtypes.StringDType()):
        predicted = model.fit(X, np.array(words, dtype=dtype)).predict(X)
        np.testing.assert_allclose(predicted, expected, atol=1e-4)
    with pytest.raises(ValueError, match=r"y has 'a', which is no number; for class labels"):
        ConvexBNRegressor().fit(X, np.array(["1", "a"] * 15, dtype=np.dtypes.StringDType()))


@pytest.mark.parametrize(
    "y", [pd.Series([None, True, False] * 10, dtype="boolean"), np.full(30, None), [1.0, None] * 15]
)
def test_missing_targets_are_not_taken_for_words(y):
    X, _ = small("regression")
    with pytest.raises(ValueError, match="contains NaN"):
        ConvexBNRegressor().fit(X, y)


DAYS = np.arange("2020-01-01", "2020-01-31", dtype="datetime64[D]").astype("datetime64[ms]")


@pytest.mark.parametrize("times", [DAYS, DAYS - DAYS[0]], ids=["dates", "durations"])
@pytest.mark.parametrize(
    "kind",
    [pd.Series, pl.Series, np.array, list, lambda t: pd.Series(t, dtype=object), pd.Categorical],
)
def test_dates_and_durations_are_refused(kind, times):
    X, y = small("regression")
    column = kind(times)
    with pytest.raises(TypeError, match=r"y has values of type .*, which are no numbers"):
        ConvexBNRegressor().fit(X, column)
    frame = pl.DataFrame if kind is pl.Series else pd.DataFrame
    for table in (frame({"time": column}), frame({"number": y, "time": column})):
        with pytest.raises(TypeError, match=r"X has values of type .*, which are no numbers"):
            ConvexBNRegressorCV().fit(table, y)
    with pytest.raises(TypeError, match=r"X has values of type .*, which are no numbers"):
        ConvexBNRegressor(rank=1).fit(y[:, None], y).predict(np.asarray(times)[:, None])
    with pytest.raises(TypeError, match=r"sample_weight has values of type .*, which are no"):
        ConvexBNRegressor().fit(X, y, sample_weight=column)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_numbers_may_vanish_where_numpy_raises_errors():
    X, y = load_wine(return_X_y=True)
    X, y = X[::2, :4], y[::2]
    with np.errstate(all="raise"):
        for labels in (y, y > 0):
            model = ConvexBNClassifier(beta=1e-8, max_iter=3, random_state=0)
            log_proba = model.fit(X, labels).predict_log_proba(1e6 * X)
            assert np.isfinite(log_proba).all()


@pytest.mark.parametrize("when", [pd.PeriodIndex(DAYS, freq="D"), pd.DatetimeIndex(DAYS).time])
def test_periods_and_times_of_day_are_refused(when):
    _, y = small("regression")
    for column in (when, pd.Series(when, dtype=object)):
        table = pd.DataFrame({"number": y, "when": column})
        with pytest.raises(TypeError, match=r"X has values of type .*, which are no numbers"):
            ConvexBNRegressor().fit(table, y)
        with pytest.raises(TypeError, match=r"y has values of type .*, which are no numbers"):
            ConvexBNRegressor().fit(y[:, None], column)


def test_dates_may_be_labels():
    X, _ = small("regression")
    model = ConvexBNClassifier(rank=1).fit(X, np.repeat(DAYS[:2], 15))
    np.testing.assert_array_equal(model.classes_, DAYS[:2])


def test_read_only_and_single_precision_input():
    X, y = small("regression")
    X32 = X.astype(np.float32)
    X32.setflags(write=False)
    y.setflags(write=False)
    model = ConvexBNRegressor(random_state=0).fit(X32, y)
    assert model.predict(X32).dtype == np.float64
    np.testing.assert_allclose(
        model.predict(X), ConvexBNRegressor(random_state=0).fit(X, y).predict(X), atol=1e-3
    )


def test_rounding_of_single_precision_is_no_direction_of_a_fit():
    X = np.random.default_rng(0).standard_normal((50, 3))
    X = np.column_stack([X, X.sum(axis=1)]).astype(np.float32)
    assert ConvexBNRegressor(beta=1.0).fit(X, X[:, 0]).rank_ == 3


@pytest.mark.parametrize("bad", [-3.0, np.nan, np.inf])
def test_bad_class_weights_are_refused(bad):
    X, y = small("multiclass")
    with pytest.raises(ValueError, match="class_weight must be finite numbers >= 0"):
        ConvexBNClassifier(class_weight={1: bad}).fit(X, y)


def test_balanced_weights_of_too_large_a_sum_are_refused_as_such():
    X, y = small("multiclass")
    with pytest.raises(ValueError, match="Sample weights add up to inf"):
        ConvexBNClassifier(class_weight="balanced").fit(X, y, np.full(len(y), 1e308))


def test_weights_and_class_weights_whose_product_overflows_are_refused():
    X, y = small("multiclass")
    model = ConvexBNClassifier(class_weight={1: 1e200})
    with pytest.raises(ValueError, match=r"up to 1e\+200 times class weights up to 1e\+200 are"):
        model.fit(X, y, sample_weight=np.full(len(y), 1e200))


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


@pytest.mark.parametrize(("rank", "n"), [(1, 100), (2, 45)])
def test_auto_enumerates_up_to_its_limits(rank, n):
    """2 n arrangements at rank 1, 2 (1 + (n - 1) + (n - 1) (n - 2) / 2) at rank 2."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((n + 1, 4)), rng.standard_normal(n + 1)
    model = ConvexBNRegressor(rank=rank)
    chosen = []
    for rows in (slice(n), slice(n + 1)):
        training = model._training(*model._validate(X[rows], y[rows], None))
        chosen.append(model._task(training, 0).backend)
    assert chosen == ["cvxpy", "torch"]


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


def test_outputs_of_squared_error_where_a_class_has_no_weight():
    X, y = small("multiclass")
    model = ConvexBNClassifier(loss="squared_error", beta=0.1, random_state=0)
    F = model.fit(X, y, sample_weight=np.where(y == 1, 0.0, 1.0)).decision_function(X)
    np.testing.assert_allclose(F[:, [0, 2]].sum(axis=1), 1.0)


def test_rare_classes_have_true_bounds():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, 3))
    y = (np.abs(X[:, 0]) > 0.9).astype(int)
    for common in (0, 1):
        model = ConvexBNClassifier(tol=1e-5, random_state=0)
        model.fit(X, y, sample_weight=np.where(y == common, 1.0, 1e-10))
        assert 0 < model.dual_gap_ <= 1e-5 * model.zero_loss_

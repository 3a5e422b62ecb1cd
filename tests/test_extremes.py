"""Shapes and values of X and y at the edge: a right answer or a clear refusal."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor
from skconvexbn.problem import relative_gap

RNG = np.random.default_rng(7)


def test_two_samples_one_feature():
    X, y = np.array([[0.0], [1.0]]), np.array([1.0, 3.0])
    model = ConvexBNRegressor(beta=0.0).fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, atol=1e-12)
    labels = ConvexBNClassifier(beta=0.01).fit(X, ["a", "b"])
    assert labels.predict(X).tolist() == ["a", "b"]
    assert labels.backend_ == "closed_form"


@pytest.mark.parametrize("offset", [1e6, 1e9, 1e12])
def test_merged_targets_keep_their_digits(offset):
    """Sums of many equal targets round."""
    X = (np.arange(100_000) % 2)[:, None].astype(float)
    y = offset + 0.5 * X[:, 0] + 0.1
    model = ConvexBNRegressor(beta=1e-6).fit(X, y)
    np.testing.assert_allclose(model.predict(X[:2]), y[:2], rtol=1e-15, atol=1e-7)
    assert model.objective_ < 1e-2


@pytest.mark.parametrize("factor", [1e-310, 1e-306, 1e308])
@pytest.mark.parametrize("model", [ConvexBNRegressor(), ConvexBNClassifier()])
def test_features_that_float64_cannot_normalise_are_refused(model, factor):
    X = RNG.uniform(-1, 1, (20, 2))
    y = X[:, 0] > 0
    for small in (1e-300, 1e300):
        assert model.set_params(random_state=0).fit(small * X, y).score(small * X, y) > 0.5
    X[:, 1] *= factor
    with pytest.raises(ValueError, match=r"Feature 1 varies by .*; rescale X to vary by 1e-305 to"):
        model.fit(X, y)


def test_very_wide():
    X = RNG.standard_normal((50, 20_000))
    y = RNG.standard_normal(50)
    model = ConvexBNRegressor(beta=1e-3).fit(X, y)
    assert model.backend_ == "closed_form"
    assert model.rank_ == 49
    np.testing.assert_allclose(model.predict(X), y, atol=0.01)
    classifier = ConvexBNClassifier().fit(X, np.arange(50) % 3)
    assert classifier.backend_ == "closed_form"
    assert classifier.score(X, np.arange(50) % 3) == 1


def test_very_tall():
    X = RNG.standard_normal((100_000, 5))
    for model in (ConvexBNRegressor(), ConvexBNClassifier()):
        with pytest.raises(ValueError, match="use backend='torch', fewer samples or a smaller"):
            model.set_params(backend="cvxpy").fit(X, X[:, 0] > 0)
    X = X[:20_000]
    model = ConvexBNRegressor(beta=3.0).fit(X, np.abs(X[:, 0]))
    assert model.backend_ == "torch"
    assert model.converged_
    assert model.score(X, np.abs(X[:, 0])) > 0.9


def test_very_tall_with_few_distinct_rows_is_the_closed_form():
    values = RNG.standard_normal((5, 5))
    rows = RNG.integers(0, 5, 100_000)
    y = rows + RNG.standard_normal(100_000)
    model = ConvexBNRegressor(beta=0.0).fit(values[rows], y)
    assert model.backend_ == "closed_form"
    means = np.bincount(rows, y) / np.bincount(rows)
    np.testing.assert_allclose(model.predict(values), means, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
def test_huge_and_tiny_scales(scale):
    X = RNG.standard_normal((20, 2))
    y = X[:, 0] ** 2
    plain = ConvexBNRegressor(beta=0.1, random_state=0, arrangements="exact").fit(X, y)
    scaled = ConvexBNRegressor(beta=0.1, random_state=0, arrangements="exact").fit(scale * X, y)
    np.testing.assert_allclose(scaled.predict(scale * X), plain.predict(X), atol=1e-5)
    target = ConvexBNRegressor(beta=0.1 * scale, random_state=0, arrangements="exact")
    np.testing.assert_allclose(
        target.fit(X, scale * y).predict(X) / scale, plain.predict(X), atol=1e-5
    )


def test_gaps_of_tiny_targets_are_relative_all_the_same():
    X, y = RNG.standard_normal((30, 3)), RNG.standard_normal(30)
    gaps = []
    for size in (1.0, 1e-100):
        model = ConvexBNRegressor(random_state=0).fit(X, size * y)
        gaps.append(relative_gap(model.dual_gap_, model.zero_loss_))
    assert gaps[0] > 1e-6
    assert gaps[1] == pytest.approx(gaps[0], rel=1e-3)


def test_linear_targets_are_fitted_linearly():
    X = RNG.standard_normal((60, 1))
    y = 3 * X[:, 0] - 2
    model = ConvexBNRegressor(beta=1e-4, arrangements="exact").fit(X, y)
    far = np.linspace(X.min(), X.max(), 50)[:, None]
    np.testing.assert_allclose(
        model.predict(far), LinearRegression().fit(X, y).predict(far), atol=1e-2
    )


def test_duplicate_rows_with_conflicting_labels():
    X = np.repeat(RNG.standard_normal((5, 8)), 4, axis=0)
    y = np.tile([0, 0, 0, 1], 5)
    model = ConvexBNClassifier(beta=0.01).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], 0.25, atol=1e-6)


@pytest.mark.parametrize("shift", [1e4, 1e8])
@pytest.mark.parametrize("shape", [(30, 1), (6, 9)])
def test_a_large_mean_of_the_targets_keeps_the_certificate(shift, shape):
    """The bound must not lose its digits to the mean (it once exceeded the optimum)."""
    X = RNG.standard_normal(shape)
    y = np.abs(X[:, 0]) + 0.1 * RNG.standard_normal(shape[0])
    y = (y + shift) - shift  # as far as float64 keeps y beside the shift
    params = {"beta": 0.1, "arrangements": "exact", "tol": 1e-6}
    plain = ConvexBNRegressor(**params).fit(X, y)
    shifted = ConvexBNRegressor(**params).fit(X, y + shift)
    np.testing.assert_allclose(shifted.objective_, plain.objective_, rtol=1e-6)
    assert shifted.dual_objective_ <= plain.objective_ * (1 + 1e-7)
    assert shifted.converged_
    np.testing.assert_allclose(shifted.predict(X) - shift, plain.predict(X), atol=1e-3)


@pytest.mark.parametrize("scale", [1e-300, 1e160])
def test_targets_whose_square_overflows_are_refused(scale):
    X = RNG.standard_normal((10, 1))
    with pytest.raises(ValueError, match="rescale y to lie between 1e-153 and 1e153"):
        ConvexBNRegressor(beta=1.0).fit(X, scale * X[:, 0])


@pytest.mark.parametrize("size", [1e160, 1e-160, 1e-300])
@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
def test_unscaled_columns_of_extreme_size(size, shrinkage):
    rng = np.random.default_rng(11)
    X = rng.standard_normal((30, 2))
    y = X[:, 0] ** 2
    model = ConvexBNRegressor(scale=False, shrinkage=shrinkage, arrangements="exact")
    expected = model.fit(X, y).predict(X)
    np.testing.assert_allclose(model.fit(size * X, y).predict(size * X), expected, atol=1e-3)


def test_predictions_far_from_the_origin_are_those_of_the_objective():
    X = np.random.default_rng(0).integers(0, 2**10, (30, 2)) / 2.0**10 + 2.0**38
    y = X[:, 0] - X[:, 0].min()
    model = ConvexBNRegressor(beta=0.1, random_state=0).fit(X, y**2)
    penalty = np.linalg.norm(model.coefs_[1], axis=1).sum()
    value = 0.5 * np.sum((model.predict(X) - y**2) ** 2) + model.beta_ * penalty
    assert value == pytest.approx(model.objective_, rel=1e-9)


@pytest.mark.parametrize("distance", [1e-5, 1e-6, 1e-7, 1e-8])
@pytest.mark.parametrize("seed", [5, 33, 35, 40, 43])
@pytest.mark.parametrize("arrangements", ["exact", "adaptive"])
def test_nearly_equal_rows_close_the_gap(distance, seed, arrangements):
    """Cones between two nearly parallel hyperplanes, where projections are mostly rounding."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((10, 2))
    X = np.concatenate([X, X + distance * rng.standard_normal(X.shape)])
    model = ConvexBNRegressor(arrangements=arrangements, random_state=0)
    assert model.fit(X, rng.standard_normal(20)).certificate_ == "exact"
    assert model.converged_


@pytest.mark.parametrize("Estimator", [ConvexBNRegressor, ConvexBNClassifier])
@pytest.mark.parametrize(("far", "certificate"), [(1e6, "exact"), (1e13, "search")])
def test_cones_too_narrow_to_enumerate_are_not_proved(Estimator, far, certificate):
    # The other rows are so near each other that they count as one, and beta is so small that the
    # cones between them matter.
    x = np.append(np.arange(12.0), far)[:, None]
    y = np.random.default_rng(0).standard_normal(13)
    y = y > 0 if Estimator is ConvexBNClassifier else y
    model = Estimator(arrangements="exact", beta=1e-8, tol=1e-2, max_iter=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert model.fit(x, y).certificate_ == certificate


@pytest.mark.parametrize(
    ("shape", "power", "shrinkage", "seed"),
    [((40, 1), 5, 1.0, 10), ((18, 2), 3, 1.0, 0), ((18, 2), 3, 0.5, 3), ((14, 3), 3, 1.0, 15)],
)
def test_bounds_hold_where_columns_have_heavy_tails(shape, power, shrinkage, seed):
    """Most rows then lie close together, and maxima between them are narrow."""
    rng = np.random.RandomState(seed)
    X = rng.exponential(size=shape) ** power
    y = np.sin(X[:, 0]) + rng.standard_normal(len(X))
    model = ConvexBNRegressor(beta=0.01, bias_scale=3, shrinkage=shrinkage, tol=1e-3)
    optimum = model.set_params(arrangements="exact").fit(X, y).objective_
    for random_state in range(3):
        model.set_params(arrangements="adaptive", random_state=random_state).fit(X, y)
        assert model.converged_
        assert model.dual_objective_ <= optimum + 1e-5 * model.zero_loss_


def test_a_step_that_overflows_does_not_warn(recwarn):
    X = RNG.standard_normal((60, 3))
    ConvexBNClassifier(beta=0, arrangements="exact", rank=1).fit(X, X[:, 0] ** 2 > 0.3)
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


@pytest.mark.parametrize("beta", [1e40, 1e150, 1e300])
@pytest.mark.parametrize("backend", ["torch", "cvxpy"])
def test_a_huge_beta_leaves_no_neurons(backend, beta):
    """Squares of 1e80 and more overflowed in the interior point method."""
    X, y = RNG.standard_normal((30, 3)), RNG.standard_normal(30)
    options = {"arrangements": "sampled", "n_arrangements": 10, "random_state": 0}
    model = ConvexBNRegressor(beta=beta, backend=backend, **options).fit(X, y)
    assert (model.n_neurons_, model.converged_, model.beta_) == (0, True, beta)


def test_underflow_is_no_error():
    """With numpy's errors raised: probabilities far from 1 are 0."""
    X = RNG.standard_normal((40, 2))
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    weight = (y < 2).astype(float)
    with np.errstate(all="raise"):
        model = ConvexBNClassifier(beta=1e-4, random_state=0).fit(X, y)
        absent = ConvexBNClassifier(beta=1e-2, random_state=0).fit(X, y, weight)
        P, Q = model.predict_proba(X), absent.predict_proba(X)
    assert model.score(X, y) == 1.0
    np.testing.assert_allclose(P.sum(axis=1), 1.0)
    assert not Q[:, 2].any()


def test_probabilities_far_from_the_data_add_up_to_one():
    X, y = load_iris(return_X_y=True)
    model = ConvexBNClassifier(loss="squared_error", random_state=0).fit(X, y)
    for factor in (1e14, 1e18, 1e100):
        P = model.predict_proba(-factor * X)
        np.testing.assert_allclose(P.sum(axis=1), 1.0)
        assert P.min() >= 0

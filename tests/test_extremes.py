"""Shapes and values at the edge: a right answer or a clear refusal."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor
from skconvexbn.problem import relative_gap
from skconvexbn.whitening import Whitening

RNG = np.random.default_rng(7)
VARIES_BY_ROUNDING = np.where(np.arange(20) % 2, 1.0, 1.0 + 3 * 2.0**-52)


def test_two_samples_one_feature():
    X, y = np.array([[0.0], [1.0]]), np.array([1.0, 3.0])
    model = ConvexBNRegressor(beta=0.0).fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, atol=1e-12)
    labels = ConvexBNClassifier(beta=0.01).fit(X, ["a", "b"])
    assert labels.predict(X).tolist() == ["a", "b"]
    assert labels.backend_ == "closed_form"


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9])
def test_constant_features_predict_the_mean(value):
    X, y = np.full((10, 3), value), np.arange(10.0)
    model = ConvexBNRegressor().fit(X, y)
    assert model.rank_ == 0
    assert model.coefs_[0].shape[0] == 3
    np.testing.assert_allclose(model.predict(X), 4.5)
    np.testing.assert_allclose(model.predict(X + 1), 4.5)
    without = ConvexBNRegressor(fit_intercept=False, beta=0.1).fit(X, y)
    # One number p >= 0, at a price: 1/2 sum (p - y)^2 + beta sqrt(n) p.
    np.testing.assert_allclose(without.predict(X), 4.5 - 0.1 / np.sqrt(10), rtol=1e-6)
    classifier = ConvexBNClassifier().fit(X, np.arange(10) % 4 == 0)
    np.testing.assert_allclose(classifier.predict_proba(X)[:, 1], 0.3, atol=1e-6)


def test_a_constant_column_beside_others_is_ignored():
    X = RNG.standard_normal((20, 2))
    y = X[:, 0] ** 2
    one = ConvexBNRegressor(beta=0.1, random_state=0, arrangements="exact").fit(X, y)
    padded = np.column_stack([X, np.full(20, 3.3)])
    two = ConvexBNRegressor(beta=0.1, random_state=0, arrangements="exact").fit(padded, y)
    np.testing.assert_allclose(two.predict(padded), one.predict(X), atol=1e-6)
    assert not two.coefs_[0][2].any()


@pytest.mark.parametrize("n", [89, 120, 5_000])
@pytest.mark.parametrize("value", [1.0, 2.7, 1e5 / 3, -1e-8 / 3])
def test_a_constant_column_is_known_however_many_rows(n, value):
    """Sums of many rows round: their mean is not the constant."""
    w = RNG.uniform(0.1, 3.0, n)
    x = RNG.standard_normal((n, 1))
    one, two = Whitening.fit(x, w), Whitening.fit(np.column_stack([x, np.full(n, value)]), w)
    assert two.scale[1] == 1
    assert two.mean[1] == value
    np.testing.assert_allclose(two.singular_values, one.singular_values, rtol=1e-12)
    assert not two.basis().weights[1].any()


def test_a_column_that_varies_by_rounding_is_constant():
    assert Whitening.fit(VARIES_BY_ROUNDING[:, None], np.ones(20)).basis().rank == 0


def test_a_constant_column_that_changes_later_has_no_effect():
    X = np.insert(RNG.standard_normal((40, 3)), 1, 1.7e18, axis=1)
    model = ConvexBNRegressor(beta=0.5, random_state=0).fit(X, X[:, 2])
    later = X + 3e15 * np.eye(4)[1]
    np.testing.assert_array_equal(model.predict(later), model.predict(X))


def test_rounding_is_no_direction():
    """Seconds of one minute and the same in days: what they differ by is rounding."""
    t = 1.7e9 + np.sort(RNG.uniform(size=200)) * 60
    w = np.ones(200)
    assert len(Whitening.fit(np.column_stack([t, t / 86400]), w).singular_values) == 1
    later = t + RNG.uniform(size=200)
    assert len(Whitening.fit(np.column_stack([t, later]), w).singular_values) == 2
    slight = np.column_stack([t - 1.7e9, t - 1.7e9 + 1e-6 * RNG.uniform(size=200)])
    assert len(Whitening.fit(slight, w).singular_values) == 2


@pytest.mark.parametrize("offset", [1e6, 1e9, 1e12])
def test_merged_targets_keep_their_digits(offset):
    """Sums of many equal targets round."""
    X = (np.arange(100_000) % 2)[:, None].astype(float)
    y = offset + 0.5 * X[:, 0] + 0.1
    model = ConvexBNRegressor(beta=1e-6).fit(X, y)
    np.testing.assert_allclose(model.predict(X[:2]), y[:2], rtol=1e-15, atol=1e-7)
    assert model.objective_ < 1e-2


def test_the_largest_beta_is_that_of_the_zero_model():
    X, y = RNG.standard_normal((20, 2)), RNG.standard_normal(20)
    model = ConvexBNRegressor(beta=1e300).fit(X, 1e-9 * y)
    assert model.n_neurons_ == model.dual_gap_ == 0
    assert model.converged_


@pytest.mark.parametrize("weight", [1e4, 1e8, 1e18])
def test_gated_fits_with_one_heavy_row_converge(weight):
    X = RNG.standard_normal((25, 1))
    y, w = np.sin(2 * X[:, 0]), np.ones(25)
    w[4] = weight
    model = ConvexBNRegressor(activation="gated_relu", beta=0.05, random_state=0)
    assert model.fit(X, y, sample_weight=w).converged_
    assert abs(model.predict(X[4:5])[0] - y[4]) < 1e-3


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


def test_constant_targets():
    X = RNG.standard_normal((20, 2))
    model = ConvexBNRegressor().fit(X, np.full(20, 7.0))
    assert model.n_neurons_ == 0
    assert model.converged_
    np.testing.assert_allclose(model.predict(X), 7.0)


def test_targets_that_vary_by_rounding_are_constant():
    X = RNG.standard_normal((20, 2))
    model = ConvexBNRegressor(beta=1e-18, random_state=0).fit(X, VARIES_BY_ROUNDING)
    assert model.zero_loss_ == 0
    assert model.n_neurons_ == 0


@pytest.mark.parametrize("value", [0.0, 5.0, 1e8])
def test_a_constant_output_beside_another_is_predicted(value):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3))
    y = np.maximum(X[:, 0], 0) + 0.1 * rng.standard_normal(40)
    model = ConvexBNRegressor(random_state=0).fit(X, np.stack([y, np.full(40, value)], axis=1))
    assert model.backend_ == "torch"
    np.testing.assert_array_equal(model.predict(X)[:, 1], value)
    assert model.converged_


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


def test_beta_zero_interpolates_where_it_can():
    X = RNG.standard_normal((12, 1))
    y = RNG.standard_normal(12)
    model = ConvexBNRegressor(beta=0.0, arrangements="exact").fit(X, y)
    assert model.beta_ > 0  # the limit
    np.testing.assert_allclose(model.predict(X), y, atol=1e-3)
    wide = RNG.standard_normal((12, 30))
    exact = ConvexBNRegressor(beta=0.0).fit(wide, y)
    assert exact.beta_ == 0
    np.testing.assert_allclose(exact.predict(wide), y, atol=1e-10)
    labels = ConvexBNClassifier(beta=0.0).fit(X, np.arange(12) % 2)
    assert labels.score(X, np.arange(12) % 2) == 1
    assert labels.objective_ < 0.01
    wide_labels = ConvexBNClassifier(beta=0.0).fit(wide, np.arange(12) % 3)
    assert wide_labels.score(wide, np.arange(12) % 3) == 1


def test_beta_zero_where_interpolation_is_impossible():
    """Equal rows with other targets: their mean."""
    X = np.repeat(RNG.standard_normal((6, 1)), 2, axis=0)
    y = RNG.standard_normal(12)
    model = ConvexBNRegressor(beta=0.0, arrangements="exact").fit(X, y)
    means = y.reshape(6, 2).mean(axis=1).repeat(2)
    np.testing.assert_allclose(model.predict(X), means, atol=1e-3)
    np.testing.assert_allclose(model.objective_, 0.5 * np.sum((y - means) ** 2), rtol=1e-3)


@pytest.mark.parametrize("shape", [(25, 2), (8, 20)])
@pytest.mark.parametrize("kind", ["regression", "several", "binary", "multiclass"])
def test_beta_above_beta_max_is_the_zero_model(kind, shape):
    X = RNG.standard_normal(shape)
    y = {
        "regression": X[:, 0],
        "several": X[:, :2],
        "binary": X[:, 0] > np.median(X[:, 0]),
        "multiclass": np.arange(shape[0]) % 3,
    }[kind]
    estimator = ConvexBNRegressor if kind in ("regression", "several") else ConvexBNClassifier
    model = estimator(beta=100.0, random_state=0).fit(X, y)
    assert model.n_neurons_ == 0
    assert model.converged_
    assert model.dual_gap_ == pytest.approx(0, abs=1e-9 * model.objective_)
    if kind in ("regression", "several"):
        np.testing.assert_allclose(model.predict(X) - y.mean(axis=0), 0, atol=1e-12)
    else:
        frequency = np.unique(y, return_counts=True)[1] / len(y)
        np.testing.assert_allclose(model.predict_proba(X) - frequency, 0, atol=1e-9)


def test_just_below_beta_max_there_is_a_neuron():
    X = RNG.standard_normal((12, 1))
    y = RNG.standard_normal(12)
    big = ConvexBNRegressor(beta=1e3, arrangements="exact").fit(X, y)
    from skconvexbn.arrangements import enumerate_all
    from skconvexbn.oracle.cones import in_arrangements
    from skconvexbn.whitening import Whitening

    Q = Whitening.fit(X, np.ones(12)).basis().transform(X)
    beta_max = in_arrangements(Q, (y - y.mean())[:, None], enumerate_all(Q), 0.0).dual_norm
    assert big.n_neurons_ == 0
    for factor, some in ((0.99, True), (1.01, False)):
        model = ConvexBNRegressor(beta=factor * beta_max, arrangements="exact", tol=1e-7).fit(X, y)
        assert (model.n_neurons_ > 0) == some


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
    model = ConvexBNRegressor(scale=False, shrinkage=shrinkage)
    expected = model.fit(X, y).predict(X)
    np.testing.assert_allclose(model.fit(size * X, y).predict(size * X), expected, atol=1e-3)


def test_predictions_far_from_the_origin_are_those_of_the_objective():
    X = np.random.default_rng(0).integers(0, 2**10, (30, 2)) / 2.0**10 + 2.0**38
    y = X[:, 0] - X[:, 0].min()
    model = ConvexBNRegressor(beta=0.1, random_state=0).fit(X, y**2)
    penalty = np.linalg.norm(model.coefs_[1], axis=1).sum()
    value = 0.5 * np.sum((model.predict(X) - y**2) ** 2) + model.beta_ * penalty
    assert value == pytest.approx(model.objective_, rel=1e-9)


@pytest.mark.parametrize("size", [1e-12, 1e-6, 1e8, 1e14])
@pytest.mark.parametrize("estimator", [ConvexBNRegressor, ConvexBNClassifier])
def test_sample_weights_of_extreme_sum(size, estimator):
    """Weights times k and beta times sqrt(k): Q scales with 1 / sqrt(k), the objective with k."""
    rng = np.random.default_rng(12)
    X = rng.standard_normal((30, 2))
    y = (X[:, 0] ** 2 > 0.5).astype(int)
    base = estimator(beta=0.3, backend="cvxpy", tol=1e-7).fit(X, y)
    weighted = estimator(beta=0.3 * np.sqrt(size), backend="cvxpy", tol=1e-7)
    weighted.fit(X, y, sample_weight=np.full(len(X), size))
    np.testing.assert_allclose(weighted.objective_, size * base.objective_, rtol=1e-6)
    np.testing.assert_allclose(weighted._network_output(X), base._network_output(X), atol=1e-3)


@pytest.mark.parametrize("distance", [1e-5, 1e-6, 1e-7, 1e-8])
@pytest.mark.parametrize("seed", [5, 33, 35, 40, 43])
def test_nearly_equal_rows_close_the_gap(distance, seed):
    """Cones between two nearly parallel hyperplanes, where projections are mostly rounding."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((10, 2))
    X = np.concatenate([X, X + distance * rng.standard_normal(X.shape)])
    model = ConvexBNRegressor().fit(X, rng.standard_normal(20))
    assert model.certificate_ == "exact"
    assert model.converged_


@pytest.mark.parametrize(
    ("y_factor", "weight", "match"),
    [
        (1.0, 1e308, "Sample weights add up to inf, which is not between 1e-300 and the largest"),
        (1.0, 1e-302, "Sample weights add up to 4e-301, which is not between 1e-300 and the"),
        (1e150, 1e150, "outside float64; rescale sample_weight or y"),
        (1e-150, 1e-150, "outside float64; rescale sample_weight or y"),
    ],
)
def test_weights_beyond_float64_are_refused(y_factor, weight, match):
    X = RNG.standard_normal((40, 3))
    with pytest.raises(ValueError, match=match):
        ConvexBNRegressor().fit(X, y_factor * X[:, 0] ** 2, sample_weight=np.full(40, weight))


@pytest.mark.parametrize("params", [{"rank": 0.9}, {"shrinkage": 0.5}, {"scale": False}])
def test_weights_whose_singular_values_have_no_squares(params):
    X = RNG.standard_normal((30, 10)) * (1.0 if params.get("scale", True) else 1e3)
    y = np.abs(X[:, 0]) / np.abs(X[:, 0]).max()
    model = ConvexBNRegressor(beta=0.0, random_state=0, backend="torch", tol=0.1, **params)
    heavy, light = (clone(model).fit(X, y, np.full(30, w)) for w in (5e306, 1.0))
    assert heavy.rank_ == light.rank_
    np.testing.assert_allclose(heavy.predict(X), light.predict(X), rtol=1e-6)


def test_a_weight_that_vanishes_beside_the_others_is_none():
    X = RNG.standard_normal((30, 2))
    y, w = X[:, 0] ** 2, np.full(30, 1e100)
    w[0] = 1e-300
    model = ConvexBNRegressor(rank=1, random_state=0).fit(X, y, sample_weight=w)
    without = ConvexBNRegressor(rank=1, random_state=0).fit(X[1:], y[1:], sample_weight=w[1:])
    np.testing.assert_allclose(model.predict(X), without.predict(X))


@pytest.mark.parametrize("weight", [5e-324, 1e-78])
def test_a_column_that_varies_only_in_a_row_of_next_to_no_weight(weight):
    """A deviation of zero, or entries of Q beyond float32, whose search found no violation."""
    rng = np.random.default_rng(1)
    X = np.hstack([rng.standard_normal((40, 3)), np.eye(40)[:, :1]])
    y, w = X[:, 0] + np.abs(X[:, 1]) > 1, np.ones(40)
    w[0] = weight
    model = ConvexBNClassifier(beta=0.1, backend="torch", random_state=0)
    dual = model.fit(X, y, sample_weight=w).dual_objective_
    w[0] = 0
    assert dual <= model.set_params(tol=1e-4).fit(X, y, sample_weight=w).objective_


@pytest.mark.parametrize("backend", ["cvxpy", "torch"])
@pytest.mark.parametrize("weight", [1e-25, 1e-29])
def test_a_row_of_next_to_no_weight_is_on_either_side(backend, weight):
    x = np.arange(8.0)[:, None]
    y = np.maximum(3 - x[:, 0], 0.0)
    model = ConvexBNRegressor(beta=0.1, fit_intercept=False, tol=1e-5, random_state=0)
    without = model.fit(x[:7], y[:7]).objective_
    model.set_params(backend=backend, arrangements="exact" if backend == "cvxpy" else "auto")
    model.fit(x, y, np.append(np.ones(7), weight))
    assert model.certificate_ == "exact"
    assert model.objective_ == pytest.approx(without, rel=1e-5)


@pytest.mark.parametrize(("far", "certificate"), [(1e6, "exact"), (1e13, "search")])
def test_cones_too_narrow_to_enumerate_are_not_proved(far, certificate):
    # The other rows are so near each other that they count as one, and beta is so small that the
    # cones between them matter.
    x = np.append(np.arange(12.0), far)[:, None]
    y = np.random.default_rng(0).standard_normal(13)
    model = ConvexBNRegressor(arrangements="exact", beta=1e-8, tol=1e-2, max_iter=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert model.fit(x, y).certificate_ == certificate


def test_uneven_weights_close_the_gap():
    # Steps of the masses that gain next to nothing decide whether V is feasible.
    X, y = make_blobs(100, centers=2, random_state=0, cluster_std=20)
    X, _, y, _ = train_test_split(X, y, test_size=0.5, random_state=0)
    weight = np.where(y == 0, 1e3, 1e-4)
    model = ConvexBNRegressor(arrangements="adaptive", max_iter=40, random_state=0)
    model.fit(X, 2.0 * y - 1, weight)
    exact = ConvexBNRegressor(arrangements="exact", beta=model.beta_).fit(X, 2.0 * y - 1, weight)
    assert model.converged_
    assert model.dual_objective_ <= exact.objective_ * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_a_far_row_of_next_to_no_weight_hides_no_arrangement(seed):
    """Beside it the other rows of Q look parallel: 4 of 62 arrangements were left, "exact"."""
    rng = np.random.default_rng(seed)
    X, w = rng.standard_normal((31, 1)), np.ones(31)
    y = np.abs(X[:, 0]) + 0.1 * rng.standard_normal(31)
    X[-1], w[-1] = 1e10, 1e-20
    exact = ConvexBNRegressor(beta=0.05, tol=1e-5).fit(X, y, sample_weight=w)
    assert (exact.backend_, exact.certificate_) == ("cvxpy", "exact")
    exact.set_params(arrangements="adaptive", random_state=0)
    assert exact.dual_objective_ <= exact.fit(X, y, sample_weight=w).objective_ * (1 + 1e-9)


@pytest.mark.parametrize("classes", [2, 3])
def test_without_signal_beta_is_the_unit_or_the_limit(classes):
    """beta_max is rounding there, and once made beta 5e-17."""
    X, y = np.ones((10, 2)), np.arange(10) % classes
    model = ConvexBNClassifier(backend="torch").fit(X, y)
    assert model.beta_ == pytest.approx(np.sqrt(10))  # weights of mean 10 once rows are merged
    assert model.n_neurons_ == 0
    assert ConvexBNClassifier(beta=0, backend="torch").fit(X, y).beta_ < 1e-6


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("bias_scale", [1e5, 1e6])
def test_a_huge_bias_scale_is_no_better_than_its_certificate(bias_scale):
    """A larger bias scale weakens the penalty: no bound is above the objective of a smaller."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((25, 1))
    y = np.sin(3 * X[:, 0]) + 0.3 * rng.standard_normal(25)
    model = ConvexBNRegressor(beta=0.05, rank=1, bias_scale=1e4, random_state=0)
    objective = model.fit(X, y).objective_
    assert model.converged_
    huge = model.set_params(bias_scale=bias_scale).fit(X, y)
    assert huge.dual_objective_ <= objective * (1 + 1e-5)
    automatic = ConvexBNRegressor(bias_scale=1e3, random_state=0).fit(X, y)
    beta, score = automatic.beta_, automatic.score(X, y)
    automatic.set_params(bias_scale=bias_scale).fit(X, y)
    assert automatic.beta_ == pytest.approx(beta, rel=1e-3)
    assert automatic.score(X, y) == pytest.approx(score, abs=0.02)


@pytest.mark.parametrize("bias_scale", [30.0, 300.0, 1e5])
@pytest.mark.parametrize("shrinkage", [0.0, 1.0])
def test_a_large_bias_scale_reaches_the_optimum(bias_scale, shrinkage):
    x = np.linspace(0, 1, 60)[:, None]
    y = np.sin(9 * x[:, 0])
    model = ConvexBNRegressor(beta=0.1, bias_scale=bias_scale, shrinkage=shrinkage)
    model.set_params(arrangements="exact").fit(x, y)
    optimum, unit = model.objective_, model.zero_loss_
    for seed in range(3):
        model.set_params(arrangements="adaptive", tol=1e-3, random_state=seed).fit(x, y)
        assert model.converged_
        assert model.objective_ <= optimum + 1.1e-3 * unit
        assert model.dual_objective_ <= optimum + 1e-5 * unit


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


def test_a_class_of_next_to_no_weight_is_none():
    X = RNG.standard_normal((30, 2))
    y, w = np.arange(30) % 3, np.where(np.arange(30) % 3 == 2, 1e-40, 1.0)
    model = ConvexBNClassifier(random_state=0).fit(X, y, w)
    assert model.classes_.tolist() == [0, 1, 2]
    assert not model.predict_proba(X)[:, 2].any()
    kept = w > 1e-30
    without = ConvexBNClassifier(random_state=0).fit(X[kept], y[kept])
    np.testing.assert_allclose(model.predict_proba(X)[:, :2], without.predict_proba(X), atol=1e-9)


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


@pytest.mark.parametrize("little", [1e-13, 1e-16, 1e-25])
@pytest.mark.parametrize("beta", [1e-9, "auto"])
def test_the_bound_of_the_closed_form_beside_a_heavy_row(little, beta):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((3, 7)), rng.standard_normal(3)
    model = ConvexBNRegressor(beta=beta, tol=1e-3, random_state=0)
    model.fit(X, y, sample_weight=[1.0, little, little])
    assert model.backend_ == "closed_form"
    assert model.converged_
    assert model.dual_objective_ <= model.objective_


@pytest.mark.parametrize(("beta", "size"), [(1e-300, 1e60), (5e-324, 1e3), (5e-324, 1.0)])
@pytest.mark.parametrize("bias_scale", [1.0, 1e-20])
def test_betas_below_what_floats_hold_in_units_of_the_solver(beta, size, bias_scale):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 8)), size * rng.standard_normal(20)
    model = ConvexBNRegressor(beta=beta, backend="torch", bias_scale=bias_scale, random_state=0)
    model.fit(X, y)
    assert model.converged_
    assert model.beta_ == beta


def test_any_tol_is_one():
    X, y = load_iris(return_X_y=True)
    assert ConvexBNRegressor(tol=1e200, random_state=0).fit(X, X[:, 0] * y).converged_

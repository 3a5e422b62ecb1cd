"""Sample weights at the edge: tiny and huge ones, and one beside others."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.model_selection import train_test_split

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor

RNG = np.random.default_rng(7)


@pytest.mark.parametrize("weight", [1e4, 1e8, 1e18])
def test_gated_fits_with_one_heavy_row_converge(weight):
    X = RNG.standard_normal((25, 1))
    y, w = np.sin(2 * X[:, 0]), np.ones(25)
    w[4] = weight
    model = ConvexBNRegressor(activation="gated_relu", beta=0.05, random_state=0)
    assert model.fit(X, y, sample_weight=w).converged_
    assert abs(model.predict(X[4:5])[0] - y[4]) < 1e-3


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


def test_a_class_of_next_to_no_weight_is_none():
    X = RNG.standard_normal((30, 2))
    y, w = np.arange(30) % 3, np.where(np.arange(30) % 3 == 2, 1e-40, 1.0)
    model = ConvexBNClassifier(random_state=0).fit(X, y, w)
    assert model.classes_.tolist() == [0, 1, 2]
    assert not model.predict_proba(X)[:, 2].any()
    kept = w > 1e-30
    without = ConvexBNClassifier(random_state=0).fit(X[kept], y[kept])
    np.testing.assert_allclose(model.predict_proba(X)[:, :2], without.predict_proba(X), atol=1e-9)


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

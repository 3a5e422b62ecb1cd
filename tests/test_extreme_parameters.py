"""Parameters at the edge: beta from zero to beyond beta_max, a large bias scale, any tol."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor

RNG = np.random.default_rng(7)


def test_the_largest_beta_is_that_of_the_zero_model():
    X, y = RNG.standard_normal((20, 2)), RNG.standard_normal(20)
    model = ConvexBNRegressor(beta=1e300).fit(X, 1e-9 * y)
    assert model.n_neurons_ == model.dual_gap_ == 0
    assert model.converged_


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

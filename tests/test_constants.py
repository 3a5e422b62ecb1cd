"""Columns and targets that are constant, or vary by rounding alone."""

import numpy as np
import pytest

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor
from skconvexbn.whitening import Whitening

RNG = np.random.default_rng(7)
VARIES_BY_ROUNDING = np.where(np.arange(20) % 2, 1.0, 1.0 + 3 * 2.0**-52)


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


@pytest.mark.parametrize("columns", [2, 5])
@pytest.mark.parametrize("y", [np.full(20, 7.0), np.full((20, 2), 0.1)])
def test_constant_targets(columns, y):
    X = RNG.standard_normal((20, columns))
    model = ConvexBNRegressor().fit(X, y)
    assert model.n_neurons_ == 0
    assert model.converged_
    assert model.certificate_ == "exact"
    assert model.objective_ == model.dual_objective_ == 0
    np.testing.assert_allclose(model.predict(X), y)


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

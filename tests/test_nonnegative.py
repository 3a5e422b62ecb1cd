"""Quadratic programs over the nonnegative orthant, against scipy and their conditions."""

import numpy as np
import pytest
from scipy.optimize import nnls

from skconvexbn.solvers import nonnegative


@pytest.mark.parametrize("exchanges", [25, 0], ids=["many", "one"])
@pytest.mark.parametrize("seed", range(5))
def test_nonnegative_qp_equals_nnls(seed, exchanges, monkeypatch):
    monkeypatch.setattr(nonnegative, "MAX_EXCHANGES", exchanges)
    rng = np.random.default_rng(seed)
    A, y = rng.standard_normal((60, 25)), rng.standard_normal(60)
    A[:, 20:] = A[:, :5]  # singular: any split of the mass of equal columns is optimal
    start = rng.uniform(size=25) * rng.integers(0, 2, 25)
    c = nonnegative.nonnegative_qp(A.T @ A, A.T @ y, 1e-10, start)
    expected = nnls(A, y)[0]
    assert (c >= 0).all()
    np.testing.assert_allclose(A @ c, A @ expected, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_nonnegative_qp_meets_the_conditions_of_its_optimum(scale):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((200, 120)) @ np.diag(rng.uniform(0.1, 10, 120)) + 5.0
    M, a = scale * A.T @ A, scale * A.T @ (rng.standard_normal(200) + 3.0)
    tol = 1e-9 * np.abs(a).max()
    c = nonnegative.nonnegative_qp(M, a, tol, np.ones(120))
    slack = a - M @ c
    assert (c >= 0).all()
    assert (c > 0).any()
    assert (c == 0).any()
    assert slack.max() <= 2 * tol
    np.testing.assert_allclose(slack[c > 0], 0, atol=2 * tol)


@pytest.mark.parametrize("seed", range(5))
def test_nonnegative_qp_of_nearly_dependent_columns_takes_proximal_points(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    H = np.repeat(rng.standard_normal((4, 10)), 15, axis=1)
    A = np.maximum(rng.standard_normal((100, 4)) @ (H + 1e-3 * rng.standard_normal(H.shape)), 0)
    M, a, tol = A.T @ A, A.T @ rng.uniform(size=100) - 0.1, 1e-7
    one = nonnegative._exchange_one(M, a, tol, np.ones(150))
    assert nonnegative._exchange_many(M, a, tol, np.ones(150, bool)) is None
    monkeypatch.setattr(nonnegative, "_exchange_one", None)
    c = nonnegative.nonnegative_qp(M, a, tol, np.ones(150))
    assert (a - M @ c).max() <= 2 * tol
    np.testing.assert_allclose(A @ c, A @ one, atol=1e-6)


def test_nonnegative_qp_of_nothing_to_gain_is_zero():
    assert not nonnegative.nonnegative_qp(np.eye(3), -np.ones(3), 1e-9, np.ones(3)).any()


def test_nonnegative_qp_of_a_singular_matrix_stays_at_the_start():
    start = np.array([1.0, 0.0])
    c = nonnegative.nonnegative_qp(np.zeros((2, 2)), np.ones(2), 1e-9, start)
    np.testing.assert_array_equal(c, start)

"""Losses: gradient, Hessian, conjugate and inverse against definitions."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from skconvexbn.losses import BinaryLogLoss, Loss, MultinomialLogLoss, SquaredError

RNG = np.random.default_rng(0)
N = 6
W = RNG.uniform(0.5, 2, N)
CASES = {
    "squared": (SquaredError(), RNG.standard_normal((N, 2))),
    "binary": (BinaryLogLoss(), np.array([[0.0], [1], [1], [0], [0.3], [1]])),
    "multinomial": (MultinomialLogLoss(), RNG.dirichlet(np.ones(3), N)),
}


@pytest.fixture(params=CASES, name="case")
def _case(request):
    loss, Y = CASES[request.param]
    return loss, Y, RNG.standard_normal(Y.shape)


def test_intercepts_of_classes_are_best_to_rounding():
    """Their mean is free: what rounding puts there may be more than all else of a last step."""
    rng = np.random.default_rng(0)
    loss, w = MultinomialLogLoss(), np.ones(1000)
    for _ in range(100):
        Y, start = np.eye(3)[rng.integers(0, 3, 1000)], 1e-10 * rng.standard_normal(3)
        F = np.tile(loss.best_intercept(np.zeros_like(Y), Y, w) + start, (1000, 1))
        V = loss.gradient(F + loss.best_intercept(F, Y, w), Y, w)
        assert np.abs(V.sum(axis=0)).max() < 1e-11 * w.sum()


def test_values_by_formula():
    F, y = np.array([[0.3], [-1.2]]), np.array([[1.0], [0.0]])
    w = np.array([1.0, 2.0])
    expected = np.log(1 + np.exp(-0.3)) + 2 * np.log(1 + np.exp(-1.2))
    np.testing.assert_allclose(BinaryLogLoss().value(F, y, w), expected)
    F3 = np.array([[1.0, 0.0, -1.0]])
    np.testing.assert_allclose(
        MultinomialLogLoss().value(F3, np.array([[0.0, 1, 0]]), np.array([3.0])),
        3 * np.log(np.exp(F3).sum()),
    )
    np.testing.assert_allclose(SquaredError().value(F, y, w), 0.5 * (0.7**2 + 2 * 1.2**2))


def test_gradient_and_hessian(case):
    loss, Y, F = case
    eps = 1e-6
    gradient, hessian = loss.gradient(F, Y, W), loss.hessian(F, W)
    for i in range(N):
        for c in range(Y.shape[1]):
            step = np.zeros_like(F)
            step[i, c] = eps
            slope = (loss.value(F + step, Y, W) - loss.value(F - step, Y, W)) / (2 * eps)
            np.testing.assert_allclose(gradient[i, c], slope, rtol=1e-6, atol=1e-8)
            change = (loss.gradient(F + step, Y, W) - loss.gradient(F - step, Y, W)) / (2 * eps)
            np.testing.assert_allclose(hessian[i, c], change[i], rtol=1e-6, atol=1e-8)


def test_root_of_the_hessian(case):
    """Those of the losses, and what a loss inherits that has none of its own."""
    loss, _, F = case
    hessian = loss.hessian(F, W)
    for S in (loss.root(F, W), Loss.root(loss, F, W)):
        np.testing.assert_allclose(S @ S.transpose(0, 2, 1), hessian, rtol=1e-6, atol=1e-8)


def test_value_and_gradient_at_once(case):
    loss, Y, F = case
    for outputs in (F, F.astype(np.float32), 500 * F):  # exp(500) overflows
        value, gradient = loss.value_and_gradient(outputs, Y, W)
        assert value == pytest.approx(loss.value(outputs, Y, W))
        np.testing.assert_allclose(gradient, loss.gradient(outputs, Y, W), rtol=1e-5, atol=1e-7)
        assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("scale", [1.0, 40.0, 1e4])
def test_tensors_give_what_arrays_give(case, scale):
    loss, Y, F = case
    F = scale * F
    f, y, w = (torch.as_tensor(a) for a in (F, Y, W))
    value, gradient = loss.value_and_gradient(f, y, w)
    expected, expected_gradient = loss.value_and_gradient(F, Y, W)
    assert [value, loss.value(f, y, w)] == pytest.approx([expected, expected], rel=1e-14)
    np.testing.assert_allclose(gradient.numpy(), expected_gradient, rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(loss.hessian(f, w).numpy(), loss.hessian(F, W), rtol=1e-12)
    for root in (loss.root, partial(Loss.root, loss)):
        S, expected = root(f, w).numpy(), root(F, W)
        S, expected = (s @ s.transpose(0, 2, 1) for s in (S, expected))
        np.testing.assert_allclose(S, expected, rtol=1e-12, atol=1e-12)


def test_fenchel_equality_and_inequality(case):
    """Loss(F) + Loss^*(-V) >= -<V, F>, with equality at V = -grad."""
    loss, Y, F = case
    V = -loss.gradient(F, Y, W)
    np.testing.assert_allclose(loss.dual_value(V, Y, W), loss.value(F, Y, W) + np.sum(V * F))
    for _ in range(20):
        other = RNG.standard_normal(F.shape)
        assert loss.dual_value(V, Y, W) <= loss.value(other, Y, W) + np.sum(V * other) + 1e-12


def test_outside_the_domain_of_the_conjugate():
    V = np.array([[1.5]])
    assert BinaryLogLoss().dual_value(V, np.array([[1.0]]), np.ones(1)) == -np.inf


def test_as_cvxpy(case):
    loss, Y, F = case
    import cvxpy as cp

    np.testing.assert_allclose(loss.as_cvxpy(cp.Constant(F), Y, W).value, loss.value(F, Y, W))


def test_best_scale_maximises_the_dual():
    loss, Y = CASES["squared"]
    V = RNG.standard_normal(Y.shape)
    best = minimize(lambda s: -loss.dual_value(s * V, Y, W), 0.0).x[0]
    np.testing.assert_allclose(loss.best_scale(V, Y, W), max(best, 0), atol=1e-5)


def test_large_outputs_are_finite():
    F, Y, w = np.array([[1e4], [-1e4]]), np.array([[0.0], [1.0]]), np.ones(2)
    assert BinaryLogLoss().value(F, Y, w) == 2e4
    assert np.isfinite(MultinomialLogLoss().value(np.array([[1e4, -1e4]]), np.eye(2)[:1], w[:1]))


def test_curvature_of_saturated_classes_is_not_singular():
    S = MultinomialLogLoss().root(np.array([[900.0, 0.0, 0.0]]), np.ones(1))[0]
    assert np.linalg.eigvalsh(S @ S.T)[1] > 0


def test_roots_are_lower_triangular(case):
    loss, _, F = case
    for S in (loss.root(F, W), Loss.root(loss, F, W)):
        np.testing.assert_array_equal(S, np.tril(S))


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_the_conjugate_keeps_the_digits_of_a_rare_class(label):
    V = np.array([[1e-15 if label else -1e-15]])
    value = BinaryLogLoss().dual_value(V, np.array([[label]]), np.ones(1))
    np.testing.assert_allclose(value, 1e-15 * (1 + 15 * np.log(10)), rtol=1e-12)

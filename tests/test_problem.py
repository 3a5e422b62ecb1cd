"""Problem: primal, dual, intercepts, weak duality."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from skconvexbn.arrangements import enumerate_all
from skconvexbn.losses import BinaryLogLoss, MultinomialLogLoss, SquaredError
from skconvexbn.oracle.cones import in_arrangements
from skconvexbn.problem import Problem

RNG = np.random.default_rng(1)


def make_problem(name, fit_intercept=True, beta=0.3):
    n = 9
    Q = np.column_stack([RNG.standard_normal((n, 2)), np.full(n, 0.5)])
    w = RNG.uniform(0.5, 2, n)
    if name == "squared":
        return Problem(Q, RNG.standard_normal((n, 2)), w, SquaredError(), beta, fit_intercept)
    labels = np.arange(n) % (2 if name == "binary" else 3)
    if name == "binary":
        return Problem(Q, labels[:, None] * 1.0, w, BinaryLogLoss(), beta, fit_intercept)
    return Problem(Q, np.eye(3)[labels], w, MultinomialLogLoss(), beta, fit_intercept)


@pytest.mark.parametrize("gated", [False, True])
def test_outputs_come_in_blocks_of_rows(gated, monkeypatch):
    rng = np.random.default_rng(2)
    Q, H, gates = rng.standard_normal((50, 3)), *rng.standard_normal((2, 3, 4))
    G, b, gates = rng.standard_normal((4, 2)), np.array([0.5, -1.0]), gates if gated else None
    problem = Problem(Q, np.zeros((50, 2)), np.ones(50), SquaredError(), 0.3, True)
    expected = problem.features(H, gates) @ G + b
    monkeypatch.setattr("skconvexbn.problem.BLOCK_ENTRIES", 80)  # 20 rows of 4 neurons
    np.testing.assert_allclose(problem.output(H, G, b, gates), expected, rtol=1e-13)
    np.testing.assert_array_equal(problem.output(H[:, :0], G[:0], b), np.tile(b, (50, 1)))


@pytest.mark.parametrize("name", ["squared", "binary", "multinomial"])
def test_best_intercept(name):
    problem = make_problem(name)
    F = 3 * RNG.standard_normal(problem.Y.shape)
    b = problem.best_intercept(F)
    found = minimize(lambda b: problem.loss_value(F + b), np.zeros_like(b), tol=1e-12)
    assert problem.loss_value(F + b) <= found.fun + 1e-12
    np.testing.assert_allclose(problem.dual_point(F).sum(axis=0), 0, atol=1e-11)
    assert not make_problem(name, fit_intercept=False).best_intercept(F).any()


@pytest.mark.parametrize("scale", [1, 20, 160])
@pytest.mark.parametrize("name", ["squared", "binary", "multinomial"])
def test_dual_points_sum_to_zero_however_saturated(name, scale):
    problem, rng = make_problem(name), np.random.default_rng(scale)
    for _ in range(40):
        V = problem.dual_point(scale * rng.standard_normal(problem.Y.shape))
        assert np.abs(V.sum(axis=0)).max() <= 1e-9 * problem.w.sum()


@pytest.mark.parametrize("logit", [50.0, 800.0, -1e4])
def test_best_intercept_where_every_row_is_saturated(logit):
    Y = np.zeros((100, 1))
    Y[:10] = 1
    problem = Problem(np.ones((100, 1)), Y, np.ones(100), BinaryLogLoss(), 1.0, True)
    b = problem.best_intercept(np.full((100, 1), logit))
    np.testing.assert_allclose(b, -np.log(9) - logit, rtol=1e-9)


def test_a_dual_point_that_does_not_sum_to_zero_bounds_nothing():
    problem = make_problem("binary", beta=100.0)
    V = problem.dual_point(np.zeros_like(problem.Y))
    assert problem.dual(V, 1.0) > -np.inf
    V = problem.Y * problem.w[:, None]
    assert problem.dual(V, 1.0) == -np.inf
    assert replace(problem, fit_intercept=False).dual(V, 1.0) > -np.inf


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("name", ["squared", "binary", "multinomial"])
def test_weak_duality_for_any_dual_point_and_network(name, fit_intercept):
    problem = make_problem(name, fit_intercept)
    C = problem.n_outputs
    H = RNG.standard_normal((3, 20_000))
    for _ in range(5):
        V = problem.dual_point(RNG.standard_normal(problem.Y.shape))
        # With several outputs the bound by arrangement is replaced by the relaxation.
        if C == 1:
            dual_norm = in_arrangements(problem.Q, V, enumerate_all(problem.Q), 0.0).dual_norm
        else:
            masks = enumerate_all(problem.Q).masks()
            dual_norm = max(np.linalg.norm(problem.Q.T @ (m[:, None] * V), 2) for m in masks)
        sampled = np.linalg.norm(V.T @ problem.features(H / np.linalg.norm(H, axis=0)), axis=0)
        assert sampled.max() <= dual_norm * (1 + 1e-9)
        bound = problem.dual(V, dual_norm)
        assert np.isfinite(bound)
        for _ in range(20):
            m = RNG.integers(1, 5)
            h, g = RNG.standard_normal((3, m)), RNG.standard_normal((m, C))
            b = problem.best_intercept(problem.output(h, g, np.zeros(C)))
            assert bound <= problem.primal(h, g, b) + 1e-9


def test_zero_loss_is_the_loss_of_the_mean():
    problem = make_problem("squared")
    mean = problem.w @ problem.Y / problem.w.sum()
    np.testing.assert_allclose(problem.zero_intercept, mean)
    np.testing.assert_allclose(
        problem.zero_loss, 0.5 * problem.w @ ((problem.Y - mean) ** 2).sum(axis=1)
    )


@pytest.mark.parametrize("name", ["squared", "binary", "multinomial"])
def test_a_point_off_centre_is_no_bound(name):
    problem = make_problem(name)
    V = problem.dual_point(np.zeros_like(problem.Y))
    assert np.isfinite(problem.dual(V, 1.0))
    V[0] += 1e-9 * problem.w.sum()
    assert problem.dual(V, 1.0) == -np.inf


def test_a_rare_class_leaves_no_room_off_centre():
    """What is next to nothing beside all weights is not beside the loss."""
    y = np.arange(9)[:, None] % 2 * 1.0
    w = np.where(y[:, 0] == 1, 1e-9, 1.0)
    problem = replace(make_problem("binary"), Y=y, w=w)
    V = problem.dual_point(np.zeros_like(y))
    assert problem.dual(V, 1.0) <= problem.zero_loss
    V[y == 1] += 1e-4 * V[y == 1]
    assert np.abs(V.sum()) < 1e-11 * w.sum()
    assert problem.dual(V, 1.0) == -np.inf


@pytest.mark.parametrize("share", [1e-6, 1e-9])
def test_dual_points_of_rare_classes_are_centred(share):
    labels = np.arange(60) % 3
    w = np.where(labels == 2, share, 1.0)
    Q = np.ones((60, 1))
    problem = Problem(Q, np.eye(3)[labels], w, MultinomialLogLoss(), 0.3, True)
    for _ in range(20):
        F = RNG.standard_normal((60, 3)) * RNG.uniform(0, 20)
        assert np.isfinite(problem.dual(problem.dual_point(F), 1.0))

"""The oracle: exact inside arrangements, never above an upper bound, finds planted maxima."""

import cvxpy as cp
import numpy as np
import pytest

from skconvexbn.arrangements import enumerate_all, sample
from skconvexbn.oracle import cones
from skconvexbn.oracle.cones import Cuts, gated_dual_norm, in_arrangements, project_onto_cone
from skconvexbn.oracle.multi_start import multi_start, step_scale

RNG = np.random.default_rng(3)
# Of ascents, and how long the last is.
STEPS = 60, 0.01


def problem(n=12, q=3, C=1):
    X = RNG.standard_normal((n, q - 1))
    U = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)[0]
    return np.column_stack([U, np.full(n, n**-0.5)]), RNG.standard_normal((n, C))


def sampled_maximum(Q, V, n_directions=200_000):
    H = RNG.standard_normal((Q.shape[1], n_directions))
    return np.linalg.norm(V.T @ np.maximum(Q @ (H / np.linalg.norm(H, axis=0)), 0), axis=0).max()


@pytest.mark.parametrize("shape", [(6, 3), (11, 11), (40, 5), (100, 2)])
def test_projection_onto_cone(shape):
    for _ in range(10):
        A = RNG.standard_normal(shape)
        A *= np.where(A @ RNG.standard_normal(shape[1]) >= 0, 1, -1)[:, None]
        p = RNG.standard_normal(shape[1])
        h = cp.Variable(shape[1])
        cp.Problem(cp.Minimize(cp.sum_squares(h - p)), [A @ h >= 0]).solve(solver=cp.CLARABEL)
        found = project_onto_cone(A, p)
        np.testing.assert_allclose(found, h.value, atol=1e-5)
        assert (A @ found).min() >= -1e-9
        assert abs(found @ (found - p)) <= 1e-9


def test_projection_mends_wrong_multipliers(monkeypatch):
    """As scipy's nnls returns now and then: feasible, but not complementary."""
    A, p = np.eye(3), np.array([1.0, -1.0, 0.5])
    monkeypatch.setattr(cones, "nnls", lambda A, b: (np.array([0.0, 2.0, 0.0]), 0.0))
    np.testing.assert_allclose(project_onto_cone(A, p), [1.0, 0.0, 0.5], atol=1e-12)

    def cycling(A, b):
        raise RuntimeError("Maximum number of iterations reached.")

    monkeypatch.setattr(cones, "nnls", cycling)
    np.testing.assert_allclose(project_onto_cone(A, p), [1.0, 0.0, 0.5], atol=1e-12)


@pytest.mark.parametrize("C", [1, 3])
def test_exact_arrangements_bound_and_reach_the_sampled_maximum(C):
    for _ in range(5):
        Q, V = problem(C=C)
        cuts = in_arrangements(Q, V, enumerate_all(Q), 0.0)
        sampled = sampled_maximum(Q, V)
        assert sampled <= cuts.dual_norm * (1 + 1e-9)
        assert cuts.dual_norm <= sampled * 1.01
        # Every cut is the value of its direction, whatever its arrangement.
        values = np.linalg.norm(V.T @ np.maximum(Q @ cuts.H, 0), axis=0)
        np.testing.assert_allclose(values, cuts.values, rtol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(cuts.H, axis=0), 1)
        np.testing.assert_allclose(np.linalg.norm(cuts.G, axis=1), 1)


def test_sampled_arrangements_equal_the_convex_program():
    Q, V = problem(n=20, q=4)
    arrangements = sample(Q, RNG.standard_normal((4, 6)))
    best = 0.0
    for mask in arrangements.masks():
        for sign in (1.0, -1.0):
            h = cp.Variable(4)
            constraints = [cp.norm(h) <= 1, np.diag(2.0 * mask - 1) @ Q @ h >= 0]
            program = cp.Problem(cp.Maximize(sign * (Q.T @ (mask * V[:, 0])) @ h), constraints)
            best = max(best, program.solve(solver=cp.CLARABEL))
    np.testing.assert_allclose(in_arrangements(Q, V, arrangements, 0.0).dual_norm, best, atol=1e-6)


def test_maxima_know_their_arrangement_in_every_block(monkeypatch):
    Q, V = problem()
    every = enumerate_all(Q)
    gated = gated_dual_norm(Q, V, every)
    monkeypatch.setattr("skconvexbn.arrangements.BLOCK_ENTRIES", 2 * len(Q))
    assert gated_dual_norm(Q, V, every) == pytest.approx(gated, rel=1e-12)
    cuts = in_arrangements(Q, V, every, 0.0)
    signs = np.where(every.masks(cuts.index), 1.0, -1.0)
    assert (signs * (Q @ cuts.H).T).min() >= -1e-9


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_both_signs_of_singular_vectors_are_starts(sign):
    Q, V = np.eye(1), sign * np.array([[3.0, 4.0]])
    half_line = sample(Q, np.ones((1, 1)))
    cuts = in_arrangements(Q, V, half_line, 0.0, seed=None)
    assert cuts.dual_norm == pytest.approx(5.0, rel=1e-12)


def test_limit_passes_over_small_maxima_only():
    Q, V = problem()
    everything = in_arrangements(Q, V, enumerate_all(Q), 0.0)
    limit = 0.9 * everything.dual_norm
    some = in_arrangements(Q, V, enumerate_all(Q), limit)
    assert len(some.values) < len(everything.values)
    np.testing.assert_allclose(some.dual_norm, everything.dual_norm)
    assert in_arrangements(Q, V, enumerate_all(Q), 10 * limit).dual_norm <= 10 * limit


@pytest.mark.parametrize("C", [1, 2])
def test_what_is_passed_over_is_bounded_all_the_same(C):
    Q, V = problem(C=C)
    everything = in_arrangements(Q, V, enumerate_all(Q), 0.0).dual_norm
    none = in_arrangements(Q, V, enumerate_all(Q), 10 * everything)
    assert len(none) == 0
    assert everything <= none.dual_norm <= 10 * everything
    enough = in_arrangements(Q, V, enumerate_all(Q), 0.0, enough=lambda n: n >= 3)
    assert len(enough) >= 3
    assert enough.dual_norm == np.inf


@pytest.mark.parametrize("C", [1, 2])
def test_multi_start_is_near_the_exact_maximum_and_never_above(C):
    for _ in range(5):
        Q, V = problem(C=C)
        exact = in_arrangements(Q, V, enumerate_all(Q), 0.0).dual_norm
        found = multi_start(Q, V, RNG.standard_normal((3, 100)), *STEPS)
        assert 0.999 * exact <= found <= exact * (1 + 1e-9)


@pytest.mark.parametrize("C", [1, 2])
def test_multi_start_beside_a_long_column(C):
    Q, V = problem(C=C)
    Q[:, -1] *= 1e3
    exact = in_arrangements(Q, V, enumerate_all(Q), 0.0).dual_norm
    scale = step_scale(Q, np.ones(len(Q)))
    found = multi_start(Q, V, RNG.standard_normal((3, 100)), *STEPS, scale=scale)
    assert 0.999 * exact <= found <= exact * (1 + 1e-9)


def test_long_columns_alone_are_stepped_along_more_slowly():
    Q, w = np.diag([1.0, 0.25, 0.5 * (1 + 1e-12)]), np.array([16.0, 4.0, 4.0])
    np.testing.assert_array_equal(step_scale(Q, w), [[0.25], [1.0], [1.0]])


@pytest.mark.parametrize("C", [1, 2])
def test_multi_start_scales_with_V(C):
    Q, V = problem(C=C)
    starts = RNG.standard_normal((3, 50))
    expected = multi_start(Q, V, starts, *STEPS)
    for size in (1e-200, 1e150):
        assert multi_start(Q, size * V, starts, *STEPS) == pytest.approx(size * expected, rel=1e-6)
    assert multi_start(Q, 0.0 * V, starts, *STEPS) == 0.0


def test_maxima_of_nearly_equal_value_are_not_one():
    """In the positive orthant, g = 1 attains 1 at e_1 and g = -1 attains 1 + 5e-7 at e_2."""
    V = np.array([[1.0], [-1.0 - 5e-7]])
    cuts = in_arrangements(np.eye(2), V, sample(np.eye(2), np.ones((2, 1))), 0.0)
    assert len(cuts.values) == 2
    np.testing.assert_allclose(cuts.dual_norm, 1 + 5e-7, rtol=1e-12)


def test_multi_start_finds_a_planted_maximum():
    """V = Q h0 on the rows active at h0: no unit h does better than h0."""
    Q, _ = problem(n=200, q=8)
    h0 = RNG.standard_normal(8)
    h0 /= np.linalg.norm(h0)
    V = np.maximum(Q @ h0, 0)[:, None]
    V[Q @ h0 < 0] = -1.0  # any other direction pays for leaving the cone
    planted = float(V[:, 0] @ np.maximum(Q @ h0, 0))
    assert multi_start(Q, V, RNG.standard_normal((8, 300)), *STEPS) >= planted * (1 - 1e-3)


def test_directions_whose_squares_vanish_are_none():
    """At beta = 0 dual points vanish: starts were divided by their norm of 0."""
    arrangements = sample(np.eye(3), RNG.standard_normal((3, 20)))
    cuts = in_arrangements(np.eye(3), 1e-300 * RNG.standard_normal((3, 2)), arrangements, 0.0)
    assert np.isfinite(cuts.dual_norm)


def test_worst_lists_each_direction_once():
    Q, V = problem(n=9, q=9)  # a direction on many faces is the maximum of many cones
    cuts = in_arrangements(Q, V, enumerate_all(Q), 0.0)
    worst = cuts.worst(0.0, 1000)
    assert len(worst) < len(cuts)
    assert np.all(np.diff(worst.values) <= 1e-12)
    close = np.round(np.concatenate([worst.H.T, worst.G], axis=1), 6)
    assert len(np.unique(close, axis=0)) == len(worst)
    assert len(cuts.worst(0.0, 5)) == 5


def test_cuts_keep_the_bound_of_those_left_out():
    h, g = np.array([[0.6, 0.6], [0.8, 0.8]]), np.array([[1.0], [-1.0]])
    cuts = Cuts(np.array([1.0, 2.0]), np.array([3, 4]), h, g, 5.0)
    worst = cuts.worst(0.0, 10)
    assert worst.index.tolist() == [4, 3]  # the same h for another g is another direction
    assert worst.dual_norm == 5.0
    for both in (cuts.join(Cuts.none(2, 1)), Cuts.none(2, 1).join(cuts)):
        assert both.values.tolist() == [1.0, 2.0]
        assert both.dual_norm == 5.0


@pytest.mark.parametrize("size", [1e-150, 1e100])
@pytest.mark.parametrize("C", [1, 2])
def test_maxima_inside_arrangements_scale_with_V(C, size):
    Q, V = RNG.standard_normal((10, 3)), RNG.standard_normal((10, C))
    arrangements = enumerate_all(Q)
    expected = in_arrangements(Q, V, arrangements, 0.0).dual_norm
    found = in_arrangements(Q, size * V, arrangements, 0.0)
    assert found.dual_norm / size == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(np.linalg.norm(found.G, axis=1), 1.0)

"""Fewer neurons: the same function, no larger objective."""

from dataclasses import replace

import numpy as np

from skconvexbn.losses import SquaredError
from skconvexbn.problem import Problem
from skconvexbn.simplify import merge, prune, simplify

RNG = np.random.default_rng(6)


def make_problem():
    Q = np.column_stack([np.linalg.qr(RNG.standard_normal((20, 3)))[0], np.full(20, 20**-0.5)])
    return Problem(Q, RNG.standard_normal((20, 2)), np.ones(20), SquaredError(), 0.1, True)


def test_merging_parallel_neurons_keeps_the_function():
    problem = make_problem()
    h, g = RNG.standard_normal((4, 3)), RNG.standard_normal((3, 2))
    copies = np.column_stack([h, 2 * h[:, :2], 0.3 * h[:, :1]])
    weights = np.vstack([g, g[:2] / 4, -g[:1]])
    b = np.zeros(2)
    problem = replace(problem, Y=problem.output(copies, weights, b))
    H, G, b_out = simplify(problem, copies, weights, b)
    assert H.shape[1] == 3
    np.testing.assert_allclose(
        problem.output(H, G, b_out), problem.output(copies, weights, b), atol=1e-12
    )
    assert problem.primal(H, G, b_out) <= problem.primal(copies, weights, b) + 1e-12


def test_copies_are_merged_beside_close_neurons_that_differ():
    problem = make_problem().with_beta(1e-9)
    h = np.array([0.5, 0.5, 0.5, 0.5])
    near = h + 8e-5 * np.array([0.5, -0.5, 0.5, -0.5])
    H = np.column_stack([h, near / np.linalg.norm(near), np.eye(4)[:, [0, 0]]])
    G = np.array([[1e4, 0.0], [-1e4, 0.0], [1.0, 1.0], [1.0, 2.0]])
    problem = replace(problem, Y=problem.output(H, G, np.zeros(2)))
    H_out, G_out, b = simplify(problem, H, G, np.zeros(2))
    assert H_out.shape[1] == 3
    np.testing.assert_allclose(problem.output(H_out, G_out, b), problem.Y, atol=1e-9)


def test_neurons_are_merged_where_it_costs_nothing():
    problem = make_problem()
    H = RNG.standard_normal((4, 1)) + 1e-5 * RNG.standard_normal((4, 3))
    H /= np.linalg.norm(H, axis=0)
    G = RNG.uniform(1, 2, (3, 2))
    problem = replace(problem, Y=problem.output(*merge(H, G, 1e-4), np.zeros(2)))
    assert simplify(problem, H, G, np.zeros(2))[0].shape[1] == 1


def test_simplify_never_raises_the_objective():
    problem = make_problem()
    for spread in (1e-12, 1e-6, 1e-3, 1.0):
        h = RNG.standard_normal((4, 1)) + spread * RNG.standard_normal((4, 6))
        g = RNG.standard_normal((6, 2)) * [[1], [1], [1e-9], [1e-3], [0], [1]]
        b = problem.best_intercept(problem.output(h, g, np.zeros(2)))
        before = problem.primal(h, g, b)
        H, G, b = simplify(problem, h, g, b)
        assert problem.primal(H, G, b) <= before + 1e-11 * problem.zero_loss
        assert H.shape[1] <= 5


def test_simplify_prefers_no_neurons_where_they_do_not_help():
    problem = make_problem().with_beta(100.0)
    H, G, b = simplify(problem, np.ones((4, 1)), np.full((1, 2), 1e-12), np.zeros(2))
    assert H.shape == (4, 0)
    assert G.shape == (0, 2)
    np.testing.assert_allclose(b, problem.Y.mean(axis=0))


def test_neurons_that_help_little_stay():
    """Without neurons the objective would be larger by 1e-8 of the loss."""
    problem = make_problem().with_beta(0.0)
    H = np.eye(4)[:, :1]
    b = problem.best_intercept(np.zeros_like(problem.Y))
    slope = problem.features(H).T @ (problem.Y - b)
    G = slope * (1e-8 * problem.zero_loss / np.square(slope).sum())
    before = problem.primal(H, G, b)
    assert before < problem.zero_loss * (1 - 5e-9)
    H, G, b = simplify(problem, H, G, b)
    assert H.shape[1] == 1
    assert problem.primal(H, G, b) <= before + 1e-11 * problem.zero_loss


def test_outputs_of_targets_that_are_zero_are_zero():
    problem = make_problem()
    problem = replace(problem, Y=problem.Y * [1.0, 0.0])
    H = np.eye(4)
    G = np.linalg.lstsq(problem.features(H), problem.Y)[0] + [0.0, 1e-9]
    H, G, b = simplify(problem.with_beta(1e-3), H, G, np.full(2, 1e-9))
    assert H.shape[1] > 0
    assert not G[:, 1].any()
    assert b[1] == 0


def test_prune_and_merge_thresholds():
    H = np.eye(3)
    G = np.array([[1.0], [1e-7], [1e-5]])
    assert prune(H, G)[1].tolist() == [[1.0], [1e-5]]
    close = np.array([[1.0, np.cos(1e-3)], [0.0, np.sin(1e-3)]])
    assert merge(close, np.ones((2, 1)), 1e-2)[0].shape == (2, 1)
    assert merge(close, np.ones((2, 1)), 1e-4)[0].shape == (2, 2)
    assert merge(H[:, :0], G[:0], 1e-4)[1].shape == (0, 1)


def test_merging_keeps_the_mean_of_directions():
    close = np.array([[1.0, np.cos(1e-3)], [0.0, np.sin(1e-3)]])
    G = np.array([[2.0], [1.0]])
    H, merged = merge(close, G, 1e-2)
    np.testing.assert_allclose(np.linalg.norm(H), 1, rtol=1e-14)
    np.testing.assert_allclose(H @ merged, close @ G, rtol=1e-12)

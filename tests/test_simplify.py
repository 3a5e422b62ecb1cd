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


def test_prune_and_merge_thresholds():
    H = np.eye(3)
    G = np.array([[1.0], [1e-7], [1e-5]])
    assert prune(H, G)[1].tolist() == [[1.0], [1e-5]]
    close = np.array([[1.0, np.cos(1e-3)], [0.0, np.sin(1e-3)]])
    assert merge(close, np.ones((2, 1)), 1e-2)[0].shape == (2, 1)
    assert merge(close, np.ones((2, 1)), 1e-4)[0].shape == (2, 2)
    assert merge(H[:, :0], G[:0], 1e-4)[1].shape == (0, 1)

"""Parts of the interior point method: scaling, eigenvalues, corrections, steps."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from test_sampled import directions, gap, make_problem, primal

from skconvexbn.arrangements import sample
from skconvexbn.solvers import interior_point
from skconvexbn.solvers import torch as backend
from skconvexbn.solvers.interface import Options
from skconvexbn.solvers.second_order import Scaling, jordan, longest_in_cone, of_eigenvalues


def test_scaling_maps_both_points_to_one():
    rng = np.random.default_rng(0)
    s = torch.as_tensor(rng.standard_normal((2, 6, 3)))
    x, y = torch.cat([s.norm(dim=2, keepdim=True) * 1.2, s], dim=2)
    W = Scaling(x, y)
    torch.testing.assert_close(W.apply(y), W.apply(x, inverse=True))
    d = torch.as_tensor(rng.standard_normal((6, 4)))
    torch.testing.assert_close(jordan(W.point, W.divide(d)), d)
    dx, dy = W.steps(d, d[:, 1:])
    torch.testing.assert_close(jordan(W.point, W.apply(dy) + W.apply(dx, inverse=True)), d)
    change = W.force(d) - W.steps(d, d[:, 1:])[1][:, 1:]
    torch.testing.assert_close((W.curvature() @ d[:, 1:, None])[:, :, 0], change)


def test_function_of_eigenvalues():
    a = torch.as_tensor(np.random.default_rng(0).standard_normal((6, 4)))
    a[0, 1:] = 0
    torch.testing.assert_close(of_eigenvalues(torch.square, a), jordan(a, a))


def test_complementarities_are_led_back_into_the_range():
    products = torch.tensor([-5.0, 0.1, 1.0, 3.0, 100.0])
    led = interior_point._led_back(products, 1.0)
    torch.testing.assert_close(led, torch.tensor([5.5, 0.4, 0.0, -1.0, -2.0]))


def test_corrections_save_steps(monkeypatch):
    problem = make_problem(n=120, d=6)
    arrangements = sample(problem.Q, directions(problem, 60))
    corrected = backend.solve(problem, arrangements, Options(1e-8, 100))
    monkeypatch.setattr(interior_point, "MAX_CORRECTIONS", 0)
    plain = backend.solve(problem, arrangements, Options(1e-8, 100))
    assert corrected.n_iter < plain.n_iter
    assert max(gap(problem, corrected), gap(problem, plain)) <= 1e-8 * problem.zero_loss
    assert_allclose(primal(problem, corrected), primal(problem, plain), rtol=1e-7)


def test_longest_step_ends_on_the_boundary():
    x = torch.tensor([[1.0, 0.0, 0.0]])
    assert longest_in_cone(x, torch.tensor([[0.0, 2.0, 0.0]])) == pytest.approx(0.5)
    assert longest_in_cone(x, torch.tensor([[-1.0, 0.0, 0.0]])) == pytest.approx(1.0)
    assert longest_in_cone(x, torch.tensor([[1.0, 0.5, 0.0]])) == np.inf

"""The descent on smoothed kinks: its gradient by autograd, its steps, its limits."""

import numpy as np
import pytest
import torch
from small_problems import CPU, KINDS, make_problem

from skconvexbn.solvers import descent
from skconvexbn.solvers.descent import _value_and_gradient, descend
from skconvexbn.solvers.measure import Measure, Model


@pytest.mark.parametrize("n_pairs", [0, 1, 5, 2 * descent.MEMORY + 3])
def test_inverse_hessian_is_that_of_the_bfgs_updates(n_pairs):
    rng = np.random.default_rng(n_pairs)
    root = rng.standard_normal((6, 6))
    pairs, expected, kept = descent._Memory(torch.zeros(6, dtype=torch.float64)), np.eye(6), []
    for _ in range(n_pairs):
        s = rng.standard_normal(6)
        y = root @ (root.T @ s) + s
        pairs.append(torch.as_tensor(s), torch.as_tensor(y))
        kept = [*kept, (s, y)][-descent.MEMORY :]
    for k, (s, y) in enumerate(kept):
        if k == 0:
            last_s, last_y = kept[-1]
            expected = np.eye(6) * (last_s @ last_y) / (last_y @ last_y)
        left = np.eye(6) - np.outer(s, y) / (s @ y)
        expected = left @ expected @ left.T + np.outer(s, s) / (s @ y)
    v = rng.standard_normal(6)
    found = pairs.inverse_hessian(torch.as_tensor(v)).numpy()
    np.testing.assert_allclose(found, expected @ v, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("size", "curvature"), [(1.0, -1.0), (6e-23, 0.3), (1.0, float("nan"))]
)  # the square of the second is a subnormal number
def test_pairs_without_curvature_are_left_out(size, curvature):
    s, v = torch.arange(1.0, 7.0), torch.ones(6)
    pairs = descent._Memory(s)
    pairs.append(s, 2 * s)
    before = pairs.inverse_hessian(v)
    pairs.append(size * v, curvature * size * v)
    torch.testing.assert_close(pairs.inverse_hessian(v), before)


@pytest.mark.parametrize("mu", [0.0, 0.1])
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_of_the_descent(kind, mu):
    """As autograd finds it, the width taken as fixed."""
    problem = make_problem(kind)
    model = Model(problem, CPU, shrink=1 << 16)
    assert len(list(model.blocks(7))) > 1
    C, rng = problem.n_outputs, np.random.default_rng(3)
    H, G, b = (
        torch.as_tensor(rng.standard_normal(s)).requires_grad_() for s in ((3, 7), (7, C), C)
    )
    Z = model.Q @ H
    psi = (Z + (Z**2 + mu**2 * H.detach().square().sum(dim=0)).sqrt()) / 2
    F = psi @ G + b
    V = model.tensor(-problem.loss.gradient(F.detach().numpy(), problem.Y, problem.w))
    penalty = problem.beta / 2 * (H.square().sum() + G.square().sum())
    (penalty - (V * F).sum()).backward()
    weights = torch.cat([a.detach().reshape(-1) for a in (H, G, b)])
    value, gradient = _value_and_gradient(model, model.Q, mu, weights)
    loss = problem.loss_value(F.detach().numpy())
    assert value == pytest.approx(loss + penalty.item())
    slope_b = b.grad * problem.fit_intercept
    expected = torch.cat([H.grad.reshape(-1), G.grad.reshape(-1), slope_b])
    np.testing.assert_allclose(gradient, expected, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_descent_lowers_the_objective(dtype):
    problem = make_problem("squared")
    model = Model(problem, CPU)
    t = model.tensor
    rng = np.random.default_rng(4)
    H, G = rng.standard_normal((3, 20)), rng.choice([-1.0, 1.0], (20, 1))
    x = Measure.of_weights(t(H), t(G), t(np.zeros(1)))
    y = descend(model, x, 1e-3, 100, dtype=dtype)
    assert y.H.dtype == torch.float64
    assert model.objective(model.output(y), y) < 0.5 * model.objective(model.output(x), x)


@pytest.mark.parametrize("kind", KINDS)
def test_descents_of_neurons_that_vanish(kind):
    """In float32 the squares of their weights underflow."""
    problem = make_problem(kind).with_beta(1e4)
    model, rng = Model(problem, CPU), np.random.default_rng(6)
    t, C = model.tensor, problem.n_outputs
    H, G = (t(1e-23 * rng.standard_normal(shape)) for shape in ((3, 10), (10, C)))
    x = descend(model, Measure.of_weights(H, G, t(np.zeros(C))), 1e-3, 50, dtype=torch.float32)
    assert all(bool(torch.isfinite(a).all()) for a in (x.H, x.G, x.c, x.b))
    assert x.c.sum() < 1e-20


@pytest.mark.parametrize("kind", KINDS)
def test_descents_spend_their_evaluations_on_steps(monkeypatch, kind):
    """Also near a minimum, where the gradient does not tell how long the first may be."""
    problem = make_problem(kind, n=200)
    model, rng, n_evaluations, n_steps = Model(problem, CPU), np.random.default_rng(5), 0, 0

    def evaluated(*args):
        nonlocal n_evaluations
        n_evaluations += 1
        return _value_and_gradient(*args)

    class Pairs(descent._Memory):
        def append(self, s, y):
            nonlocal n_steps
            n_steps += 1
            super().append(s, y)

    t, C = model.tensor, problem.n_outputs
    x = Measure.of_weights(
        *(t(rng.standard_normal(shape)) for shape in ((3, 10), (10, C))), t(np.zeros(C))
    )
    x = descend(model, x, 1e-2, 40)
    monkeypatch.setattr(descent, "_value_and_gradient", evaluated)
    monkeypatch.setattr(descent, "_Memory", Pairs)
    descend(model, x, 1e-3, 15)
    assert n_steps == 15
    assert n_evaluations <= 1.2 * n_steps + 1

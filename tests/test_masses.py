"""Masses of given neurons: optimality, the curvature that is kept, products of blocks."""

import numpy as np
import pytest
import torch
from small_problems import CPU, DEVICES, KINDS, make_problem

from skconvexbn import ConvexBNClassifier
from skconvexbn.solvers.masses import Curvature, best_masses
from skconvexbn.solvers.measure import Activations, Measure, Model, gram


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("massless", [0, 25])  # pairs that enter only if they violate
def test_best_masses_meet_the_optimality_conditions(kind, fit_intercept, massless):
    problem = make_problem(kind, fit_intercept=fit_intercept)
    model = Model(problem, CPU)
    x = make_pairs(model, 30)
    x.c[:massless] = 0.0
    x, F = best_masses(model, x, 1e-9)
    V = -problem.loss.gradient(F.numpy(), problem.Y, problem.w)
    values = np.sum(problem.features(x.H.numpy()) * (V @ x.G.numpy().T), axis=0)
    assert values.max() <= problem.beta * (1 + 1e-5)
    np.testing.assert_allclose(values[x.c.numpy() > 1e-6], problem.beta, rtol=1e-5)
    if fit_intercept:
        np.testing.assert_allclose(V.sum(axis=0), 0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_best_masses_of_no_pairs_are_none(kind):
    model = Model(make_problem(kind), CPU)
    x = make_pairs(model, 0)
    off = Measure(x.H, x.G, x.c, x.b + 1e-3)
    for scaling in (0.0, np.inf):
        found, F = best_masses(model, off, 1e-9, enough=1e-2, scaling=scaling)
        assert len(found) == 0
        assert F.isfinite().all()


def make_pairs(model, k, seed=2):
    rng, C = np.random.default_rng(seed), model.problem.n_outputs
    G = rng.choice([-1.0, 1.0], (k, 1)) if C == 1 else rng.standard_normal((k, C))
    H = rng.standard_normal((model.Q.shape[1], k))
    return Measure.of_weights(model.tensor(H), model.tensor(G), model.tensor(np.zeros(C)))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
def test_curvature_is_kept_until_renewed_or_most_pairs_are_new(kind, device):
    model = Model(make_problem(kind), torch.device(device))
    x = make_pairs(model, 12)
    F = model.output(x)
    later, curvature = 2 * F + 0.3, Curvature(model)

    def of(x, F, curvature):
        return curvature.of(x, Activations(model, x.H), F)

    def close(found, x, F):
        np.testing.assert_allclose(found, of(x, F, Curvature(model)), rtol=1e-10, atol=1e-12)

    close(of(x[:10], F, curvature), x[:10], F)
    assert curvature.fresh
    some = x[torch.tensor([7, 10, 2, 3, 9, 0, 11, 1])]  # without a few, two of them new
    close(of(some, later, curvature), some, F)
    assert curvature.fresh == (kind in ("squared", "several"))
    close(of(x[4:9], later, curvature), x[4:9], later)
    assert curvature.fresh
    curvature.renew()
    close(of(x[4:9], F, curvature), x[4:9], F)


@pytest.mark.parametrize("kind", KINDS)
def test_best_masses_are_those_whatever_curvature_was_kept(kind):
    model, n_made = Model(make_problem(kind), CPU), []
    x = make_pairs(model, 30)
    expected, F = best_masses(model, x, 1e-9)
    curvature = Curvature(model)
    curvature.of(x, Activations(model, x.H), 5 * model.output(x))
    curvature._columns = lambda *a, made=curvature._columns: n_made.append(1) or made(*a)
    found, F_found = best_masses(model, x, 1e-9, curvature=curvature)
    value = model.objective(F, expected)
    assert model.objective(F_found, found) == pytest.approx(value, rel=1e-9)
    assert bool(n_made) == (kind in ("binary", "multinomial"))


@pytest.mark.parametrize("device", DEVICES)
def test_gram_adds_up_blocks_of_either_layout(device):
    X = torch.as_tensor(np.random.default_rng(3).standard_normal((30, 5)), device=device)
    other_layout = X[10:].T.contiguous().T
    found = gram(iter([X[:10], other_layout]), 5, X)
    np.testing.assert_allclose(found.cpu(), (X.T @ X).cpu(), rtol=1e-12)


def test_masses_go_on_where_rows_are_saturated():
    """Rare classes, uneven weights: undamped steps ended at 0.6 of the zero model's loss."""
    rng = np.random.default_rng(4)
    X, y = rng.standard_normal((17, 3)), np.r_[0, 2, 2, np.ones(14, int)]
    w = 10 ** rng.uniform(-3, 3, 17)
    model = ConvexBNClassifier(beta=3e-5, backend="torch", arrangements="sampled", random_state=0)
    assert model.set_params(max_iter=5).fit(X, y, w).converged_


def test_copies_of_copies_keep_their_mass():
    """The first is a copy of the second, which is one of the third, but the first is not."""
    angle = torch.tensor([0.0, 3.5e-5, 7e-5], dtype=torch.float64)
    H, c = torch.stack([angle.cos(), angle.sin()]), torch.tensor([1.0, 1.0, 5.0]).double()
    x = Measure(H, torch.ones(3, 1).double(), c, torch.zeros(1).double())
    joined = x.without_copies()
    assert len(joined) == 1
    assert float(joined.c.sum()) == 7.0


def test_copies_are_of_one_sign():
    H = torch.tensor([[1.0, 1.0, 2.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    G = torch.tensor([[1.0], [-1.0], [1.0]], dtype=torch.float64)
    x = Measure.of_weights(H, G, torch.zeros(1, dtype=torch.float64)).without_copies()
    assert sorted(x.G[:, 0].tolist()) == [-1.0, 1.0]

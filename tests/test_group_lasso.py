"""Output weights of given neurons: optimal; systems of neurons with one row, of many outputs."""

import numpy as np
import pytest

import skconvexbn.problem
from skconvexbn import ConvexBNClassifier
from skconvexbn.losses import BinaryLogLoss, MultinomialLogLoss, SquaredError
from skconvexbn.problem import Problem
from skconvexbn.solvers import group_lasso
from skconvexbn.solvers.group_lasso import _newton_step, _sandwich, settle_outputs

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("loss", [SquaredError(), BinaryLogLoss(), MultinomialLogLoss()])
def test_output_weights_are_optimal(loss, fit_intercept):
    """Gradients of the loss are beta g / ||g||, and of neurons without weights no larger."""
    rng = np.random.default_rng(0)
    n, m, C = 60, 12, 1 if isinstance(loss, BinaryLogLoss) else 3
    R = np.maximum(rng.standard_normal((n, m)), 0.0)
    R[:, -1] = R[:, 0] + R[:, 1]
    w, labels = rng.uniform(0.5, 2.0, n), rng.integers(max(C, 2), size=n)
    Y = labels[:, None].astype(float) if C == 1 else np.eye(C)[labels]
    Y = Y + loss.quadratic * rng.standard_normal(Y.shape)
    problem = Problem(np.eye(n), Y, w, loss, 4.0, fit_intercept)
    G, b = group_lasso.group_lasso(problem, R, 0.1 * rng.standard_normal((m, C)), np.zeros(C))
    gradient = loss.gradient(R @ G + b, Y, w)
    norms = np.linalg.norm(G, axis=1)
    used = norms > 0
    assert 0 < used.sum() < m
    unit = G[used] / norms[used, None]
    np.testing.assert_allclose((R.T @ gradient)[used], -4.0 * unit, atol=1e-7)
    assert np.linalg.norm(R.T @ gradient, axis=1).max() <= 4.0 + 1e-7
    np.testing.assert_allclose(gradient.sum(axis=0) if fit_intercept else b, 0.0, atol=1e-7)


@pytest.mark.parametrize("extra", [0, 1, 3])  # neurons and intercepts beside those of one row
@pytest.mark.parametrize("C", [1, 3])
def test_newton_step_of_neurons_with_one_row_is_that_of_the_whole_system(extra, C):
    rng = np.random.default_rng(extra)
    n, m = 5, 4 + extra // 2
    R = np.zeros((n, 4 + extra))
    R[[3, 0, 1, 1], range(4)] = [1.0, 2.0, 0.5, 0.7]  # two of one row
    R[:, 4:] = rng.standard_normal((n, extra))
    S, T = rng.standard_normal((n, C, C)), rng.standard_normal((m, C, C))
    D, curvature = S @ S.transpose(0, 2, 1), T @ T.transpose(0, 2, 1)
    gradient = rng.standard_normal((R.shape[1], C))
    system = np.einsum("kj,kcd,kl->jcld", R, D, R)
    system[range(m), :, range(m), :] += curvature
    expected = np.linalg.solve(system.reshape(gradient.size, -1), gradient.ravel())
    step = _newton_step(R, D, curvature, gradient)
    np.testing.assert_allclose(step.ravel(), expected, rtol=1e-6, atol=1e-8)


def test_no_system_grows_with_the_square_of_the_number_of_classes(monkeypatch):
    K, sizes, solve = 60, [], group_lasso._solve_positive
    monkeypatch.setattr(
        group_lasso, "_solve_positive", lambda A, a: sizes.append(len(A)) or solve(A, a)
    )
    y = np.arange(2 * K) % K
    X = np.random.default_rng(0).standard_normal((len(y), len(y) + 5))
    model = ConvexBNClassifier(random_state=0).fit(X, y)
    assert model.backend_ == "closed_form"
    assert model.dual_gap_ <= 1e-9 * model.zero_loss_
    assert max(sizes) == K  # of the intercept


def test_newton_step_where_a_neuron_of_one_row_has_no_curvature():
    R, D = np.eye(3), np.ones((3, 1, 1))
    D[1] = 0.0
    step = _newton_step(R, D, np.zeros((3, 1, 1)), np.array([[1.0], [0.0], [2.0]]))
    np.testing.assert_allclose(step, [[1.0], [0.0], [2.0]], rtol=1e-9)


def test_products_of_features_come_in_blocks_of_rows(monkeypatch):
    rng = np.random.default_rng(0)
    R, D = rng.standard_normal((7, 3)), rng.standard_normal((7, 2, 2))
    monkeypatch.setattr(group_lasso, "BLOCK_ENTRIES", 2 * 3**2)
    expected = np.einsum("kj,kcd,kl->jcld", R, D, R)
    np.testing.assert_allclose(_sandwich(R, D), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("entries", [1, 10_000])  # four blocks of rows, and one
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_settled_outputs_are_ridge_regressions_and_cost_no_more(
    fit_intercept, gated, entries, monkeypatch
):
    monkeypatch.setattr(skconvexbn.problem, "BLOCK_ENTRIES", entries)
    rng = np.random.default_rng(0)
    n, m, C = 50, 7, 3
    Q, H = rng.standard_normal((n, 4)), rng.standard_normal((4, m))
    gates = rng.standard_normal((4, m)) if gated else None
    Y = (rng.standard_normal((n, C)) + 2 * fit_intercept) * [1.0, 1e-3, 1e-9]
    w, G = rng.uniform(0.5, 2.0, n), rng.standard_normal((m, C))
    G[3] = 0.0
    problem = Problem(Q, Y, w, SquaredError(), 0.7, fit_intercept)
    b = problem.best_intercept(problem.output(H, G, np.zeros(C), gates))
    settled, intercept = settle_outputs(problem, H, G, b, gates)
    assert problem.primal(H, settled, intercept, gates) < problem.primal(H, G, b, gates)
    assert not settled[3].any()
    if not fit_intercept:
        assert not intercept.any()
    kept = np.arange(m) != 3
    R = problem.features(H, gates)[:, kept]
    ratio = np.linalg.norm(H, axis=0)[kept] / np.linalg.norm(G[kept], axis=1)
    for c in range(C):  # each in its own units
        residual = w * (R @ settled[kept, c] + intercept[c] - Y[:, c])
        scale = np.abs(residual).sum()
        slope = R.T @ residual + 0.7 * ratio * settled[kept, c]
        np.testing.assert_allclose(slope / scale, 0.0, atol=1e-9)
        assert not fit_intercept or abs(residual.sum()) < 1e-9 * scale


def test_outputs_at_the_optimum_stay():
    rng = np.random.default_rng(1)
    n, m, C = 60, 6, 2
    H, Y = np.eye(n)[:, :m] + 0.1 * rng.standard_normal((n, m)), rng.standard_normal((n, C))
    problem = Problem(np.eye(n), Y, np.ones(n), SquaredError(), 0.2, True)
    H = H / np.linalg.norm(H, axis=0)
    G, b = group_lasso.group_lasso(problem, problem.features(H), np.ones((m, C)), np.zeros(C))
    settled, intercept = settle_outputs(problem, H, G, b)
    np.testing.assert_allclose(settled, G, atol=1e-7)
    np.testing.assert_allclose(intercept, b, atol=1e-7)


def test_singular_systems_never_raise_the_objective(monkeypatch):
    rng = np.random.default_rng(2)
    H, G, b = rng.standard_normal((3, 4)), rng.standard_normal((4, 2)), np.zeros(2)
    H[:, 1], G[1] = H[:, 0], G[0]
    problem = Problem(np.eye(3), rng.standard_normal((3, 2)), np.ones(3), SquaredError(), 0.0, True)
    settled, intercept = settle_outputs(problem, H, G, b)
    assert problem.primal(H, settled, intercept) <= problem.primal(H, G, b)

    def fail(_):
        raise group_lasso.LinAlgError

    monkeypatch.setattr(group_lasso, "cho_factor", fail)
    assert settle_outputs(problem, H, G, b)[0] is G

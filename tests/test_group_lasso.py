"""Output weights of given neurons: systems of neurons with one row, and of many outputs."""

import numpy as np
import pytest

from skconvexbn import ConvexBNClassifier
from skconvexbn.solvers import group_lasso
from skconvexbn.solvers.group_lasso import _newton_step

RNG = np.random.default_rng(5)


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

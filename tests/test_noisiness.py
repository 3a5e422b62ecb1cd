"""Whether targets are all noise, which a kernel has a say in, against rows left out."""

import numpy as np
import pytest
from reference import kernel_residual
from test_auto_beta import posed

from skconvexbn import ConvexBNRegressor
from skconvexbn.auto_beta import _kernel_residual as left_by_kernel
from skconvexbn.auto_beta import _spread, noise_share, noisiness, total_variation
from skconvexbn.whitening import Whitening


@pytest.mark.parametrize("C", [1, 2])
def test_what_a_kernel_leaves_is_that_of_rows_left_out(C):
    rng = np.random.default_rng(0)
    w = rng.uniform(0.5, 3, 30)
    X = rng.standard_normal((30, 2))
    Q = Whitening.fit(X, w).basis().transform(X)
    Y = np.abs(Q[:, :C]) + 0.1 * rng.standard_normal((30, C))
    np.testing.assert_allclose(left_by_kernel(Q, Y, w), kernel_residual(Q, Y, w), rtol=1e-6)


@pytest.mark.parametrize(("signal", "noisy"), [("none", 1.0), ("squares", 0.0), ("line", 0.0)])
def test_a_kernel_tells_noise_from_signals_of_many_columns(signal, noisy):
    """Of the sum of thirty squares neither a line nor the nearest neighbours tell much."""
    rng = np.random.default_rng(0)
    X, noise = rng.standard_normal((600, 30)), rng.standard_normal(600)
    y = {"none": noise, "squares": np.square(X).sum(axis=1), "line": X[:, 0] + noise}[signal]
    problem = posed(X, y)
    assert (noise_share(problem) > 0.9) == (signal != "line")
    assert noisiness(problem, noise_share(problem)) == pytest.approx(noisy, abs=0.2)


def test_some_rows_stand_for_all(monkeypatch):
    rng = np.random.default_rng(0)
    w, X = np.arange(1.0, 31), rng.standard_normal((30, 2))
    Q = Whitening.fit(X, w).basis().transform(X)
    Y = rng.standard_normal((30, 1))
    monkeypatch.setattr("skconvexbn.auto_beta.MAX_KERNEL", 20)
    rows = _spread(Q - np.average(Q, axis=0, weights=w), 20)
    assert len(set(rows)) == 20
    expected = kernel_residual(Q[rows], Y[rows], w[rows]) * w.sum() / w[rows].sum()
    assert left_by_kernel(Q, Y, w) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("left", "expected"), [(0.8, 0.0), (0.9, 0.5), (0.96, 1.0)])
def test_noisiness_goes_from_nothing_to_all(left, expected, monkeypatch):
    y = np.random.default_rng(0).standard_normal(40)
    problem = posed(np.arange(40.0)[:, None], y)
    kernel = left * total_variation(problem)
    monkeypatch.setattr("skconvexbn.auto_beta._kernel_residual", lambda Q, Y, w: kernel)
    assert noisiness(problem, 1.0) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "weight"), [(5, 1.0), (11, 1.0), (40, 1e6)])
def test_of_few_rows_nothing_is_sure(n, weight):
    """Rows that weights leave, too: less than twice the columns of Q."""
    rng = np.random.default_rng(0)
    w = np.ones(n)
    w[0] = weight
    problem = posed(rng.standard_normal((n, 5)), rng.standard_normal(n), w)
    assert noisiness(problem, 1.0) == 0


def test_targets_of_pure_noise_get_few_neurons():
    """At a tenth of beta_max they had hundreds, and predictions worse than the mean's by 0.2."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((1500, 10)), rng.standard_normal(1500)
    model = ConvexBNRegressor(random_state=0).fit(X[:500], y[:500])
    assert model.n_neurons_ < 60
    assert model.score(X[500:], y[500:]) > -0.05

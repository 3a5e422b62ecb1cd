"""Whether targets are all noise, which a kernel has a say in, against rows left out."""

import numpy as np
import pytest
from reference import kernel_residual
from test_auto_beta import posed

from skconvexbn import ConvexBNRegressor
from skconvexbn.auto_beta import _kernel_residual as left_by_kernel
from skconvexbn.auto_beta import noise_share, noisiness
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


def test_targets_of_pure_noise_get_few_neurons():
    """At a tenth of beta_max they had hundreds, and predictions worse than the mean's by 0.2."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((1500, 10)), rng.standard_normal(1500)
    model = ConvexBNRegressor(random_state=0).fit(X[:500], y[:500])
    assert model.n_neurons_ < 60
    assert model.score(X[500:], y[500:]) > -0.05

"""Maxima on great circles against enumeration and random directions, and what rests on them."""

import numpy as np
import pytest
from reference import basis
from scipy.linalg import null_space
from sklearn.exceptions import ConvergenceWarning

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor
from skconvexbn.arrangements import enumerate_all
from skconvexbn.oracle.circles import circle_maxima, largest_on_kinks
from skconvexbn.oracle.cones import in_arrangements


def values(Q, V, H):
    return np.linalg.norm(V.T @ np.maximum(Q @ H, 0.0), axis=0)


def pulls(Q, V):
    """||v_i|| ||Q_i||."""
    return np.linalg.norm(V, axis=1) * np.linalg.norm(Q, axis=1)


def checked_gap(problem, solution, H):
    """The gap of a solution with the largest of the directions H, which may refute its bound."""
    largest = max(values(problem.Q, solution.V, H).max(), solution.dual_norm)
    primal = problem.primal(solution.H, solution.G, solution.b)
    return primal - problem.dual(solution.V, largest)


@pytest.mark.parametrize(("q", "length"), [(2, 1e-3), (2, 1.0), (2, 1e3), (3, 1e-3), (3, 1.0)])
@pytest.mark.parametrize("seed", range(4))
def test_largest_on_circles_and_between_them_is_the_maximum(q, seed, length):
    rng = np.random.default_rng(seed)
    Q, V = basis(rng, 40, q), rng.standard_normal((40, 1))
    Q[:, -1] *= length
    exact = in_arrangements(Q, V, enumerate_all(Q), limit=0.0).dual_norm
    H = circle_maxima(Q, V, pulls(Q, V))
    np.testing.assert_allclose(np.linalg.norm(H, axis=0), 1.0, rtol=1e-12)
    largest = values(Q, V, H).max()
    assert largest == pytest.approx(exact, rel=1e-10)


ROWS = {
    "normal": lambda rng, n: rng.standard_normal((n, 3)),
    "grid": lambda rng, n: np.rint(2 * rng.standard_normal((n, 3))),
    "affine grid": lambda rng, n: np.append(rng.integers(-1, 2, (n, 2)), np.ones((n, 1)), axis=1),
    "heavy tails": lambda rng, n: rng.standard_normal((n, 3)) * np.exp(3 * rng.normal(size=(n, 1))),
}


@pytest.mark.parametrize("n", [2, 3, 8, 25])
@pytest.mark.parametrize("rows", ROWS)
def test_maxima_inside_cones_and_on_circles_against_enumeration(rows, n):
    """Grids have parallel rows, rows of zero and kinks of three rows in one point."""
    inside = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        Q, V = ROWS[rows](rng, n), rng.standard_normal((n, 1))
        V[rng.uniform(size=n) < 0.2] = 0.0
        exact = in_arrangements(Q, V, enumerate_all(Q), limit=0.0).dual_norm
        largest = values(Q, V, circle_maxima(Q, V, pulls(Q, V))).max(initial=0.0)
        assert largest == pytest.approx(exact, rel=1e-9)
        pulling = np.flatnonzero(pulls(Q, V))
        on = largest_on_kinks(Q, V, pulling[:, None])
        inside += values(Q, V, on).max(initial=0.0) < exact * (1 - 1e-9)
    assert inside > 0


@pytest.mark.parametrize("q", [2, 3])
def test_no_direction_is_above_them_with_several_outputs(q):
    rng = np.random.default_rng(q)
    Q, V = rng.standard_normal((30, q)), rng.standard_normal((30, 3))
    Q[3], Q[4] = 0.0, 2 * Q[5]  # no kink, and a common one
    largest = values(Q, V, circle_maxima(Q, V, pulls(Q, V))).max()
    if q == 2:
        t = np.linspace(0, 2 * np.pi, 200_001)
        H = np.stack([np.cos(t), np.sin(t)])
    else:
        H = rng.standard_normal((3, 200_000))
        H /= np.linalg.norm(H, axis=0)
    assert 0.999 * largest < values(Q, V, H).max() <= largest * (1 + 1e-9)


def test_more_columns_have_too_many_circles():
    rng = np.random.default_rng(0)
    Q, V = rng.standard_normal((9, 4)), np.ones((9, 1))
    assert circle_maxima(Q, V, pulls(Q, V)).shape == (4, 0)


@pytest.mark.parametrize(("q", "C"), [(3, 1), (4, 1), (5, 3), (7, 2)])
def test_largest_on_the_circle_of_kinks(q, C):
    """Against a dense sweep of the same circle; twice the same row leaves a circle of more."""
    rng = np.random.default_rng(q)
    Q, V = rng.standard_normal((30, q)), rng.standard_normal((30, C))
    rows = rng.integers(0, 30, (20, q - 2))
    H = largest_on_kinks(Q, V, rows)
    assert H.shape == (q, 20)
    np.testing.assert_allclose(np.linalg.norm(H, axis=0), 1.0, rtol=1e-12)
    t = np.linspace(0, 2 * np.pi, 20_001)
    for h, some in zip(H.T, rows, strict=True):
        assert np.abs(Q[some] @ h).max() < 1e-12
        if np.linalg.matrix_rank(Q[some]) == q - 2:
            circle = null_space(Q[some]) @ np.stack([np.cos(t), np.sin(t)])
            largest = values(Q, V, h[:, None])[0]
            dense = values(Q, V, circle).max()
            assert 0.999 * largest < dense <= largest * (1 + 1e-9)


def test_of_many_rows_those_of_the_largest_kinks_have_circles(monkeypatch):
    rng = np.random.default_rng(0)
    Q, V = rng.standard_normal((50, 3)), rng.standard_normal((50, 2))
    monkeypatch.setattr("skconvexbn.oracle.circles.AT_MOST", 7 * V.size)
    monkeypatch.setattr("skconvexbn.oracle.circles.COMPLETE", 0)
    H = circle_maxima(Q, V, pulls(Q, V))
    assert H.shape == (3, 7)
    rows = np.argsort(-pulls(Q, V))[:7]
    assert np.abs((Q[rows] * H.T).sum(axis=1)).max() < 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_narrow_maxima_of_one_feature_refute_no_bound(seed):
    """Coin flips at a small beta: maxima are a hundredth wide, and 3.8 times what others reach."""
    rng = np.random.default_rng(9)
    n = int(rng.integers(12, 40))
    X, y = rng.standard_normal((n, 1)), rng.integers(0, 2, n)
    y[:2] = 0, 1
    exact = ConvexBNClassifier(beta=1.4e-4, tol=1e-4).fit(X, y)
    assert exact.certificate_ == "exact"
    model = ConvexBNClassifier(
        beta=1.4e-4, tol=1e-4, arrangements="adaptive", random_state=seed
    ).fit(X, y)
    assert model.converged_
    assert model.dual_objective_ <= exact.objective_ + 1e-6 * exact.zero_loss_
    assert model.objective_ <= exact.objective_ + 2e-4 * exact.zero_loss_


@pytest.fixture(name="solved")
def _solved(monkeypatch):
    """Problems and solutions of the adaptive solver, as it ends."""
    solved = []
    from skconvexbn.solvers import torch as backend

    solve = backend.solve_adaptive

    def keep(model, *args):
        solved.append((model.problem, solve(model, *args)))
        return solved[-1][1]

    monkeypatch.setattr(backend, "solve_adaptive", keep)
    return solved


@pytest.mark.parametrize("make", ["lognormal", "normal"])
@pytest.mark.parametrize("estimator", [ConvexBNClassifier, ConvexBNRegressor])
@pytest.mark.parametrize("swept", [True, False])
def test_narrow_maxima_of_two_features_refute_no_gap(estimator, make, swept, solved, monkeypatch):
    """The gap of the dual point that was found, with the largest over all arrangements."""
    if not swept:
        monkeypatch.setattr("skconvexbn.oracle.circles.COMPLETE", 0)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((70, 2))
    X = np.exp(2 * X) if make == "lognormal" else X
    if estimator is ConvexBNClassifier:
        model, y = estimator(beta=1e-3, random_state=0), rng.integers(0, 2, 70)
    else:
        model, y = estimator(beta=0.01, random_state=0), rng.standard_normal(70)
    model.fit(X, y)
    assert model.converged_
    assert model.certificate_ == ("exact" if swept else "search")
    problem, solution = solved[-1]
    everything = enumerate_all(problem.Q)
    exact = in_arrangements(problem.Q, solution.V, everything, problem.beta).dual_norm
    slack = 1e-9 if swept else 0.02
    assert solution.dual_norm >= exact * (1 - 1e-9) or not swept
    primal = problem.primal(solution.H, solution.G, solution.b)
    gap = primal - problem.dual(solution.V, max(exact, solution.dual_norm))
    assert gap <= (1 + slack) * model.tol * problem.zero_loss


def test_an_interrupted_sweep_proves_nothing(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("skconvexbn.oracle.search.circle_maxima", interrupted)
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 2)), rng.standard_normal(60)
    with pytest.warns(ConvergenceWarning, match="Interrupted: the"):
        model = ConvexBNRegressor(beta=3.0, tol=0.3, random_state=0).fit(X, y)
    assert model.certificate_ == "search"
    assert not model.converged_


@pytest.mark.parametrize("seed", [9, 22, 23])
def test_narrow_maxima_of_five_features_refute_no_gap(seed, solved):
    """Heavy tails and uneven weights: random circles refuted it by a third of tol and more."""
    rng = np.random.default_rng(seed)
    X = rng.standard_t(1.0, (180, 5))
    y = np.abs(X[:, 0]) + rng.standard_normal(180) > 1
    weight = 10.0 ** rng.uniform(-3, 3, 180)
    model = ConvexBNClassifier(random_state=0).fit(X, y, sample_weight=weight)
    assert model.converged_
    problem, solution = solved[-1]
    size = np.linalg.norm(solution.V, axis=1) * np.linalg.norm(problem.Q, axis=1)
    likely = np.log(size + 1e-300) + rng.gumbel(size=(5_000, len(size)))
    rows = np.argpartition(-likely, 4, axis=1)[:, :4]
    H = largest_on_kinks(problem.Q, solution.V, rows)
    assert checked_gap(problem, solution, H) <= 1.02 * model.tol * problem.zero_loss


@pytest.mark.parametrize("estimator", [ConvexBNClassifier, ConvexBNRegressor])
def test_certificates_of_one_direction_are_exact_with_any_number_of_rows(estimator):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1_500, 1))
    Y = np.hstack([np.sin(3 * X), X**2]) + rng.standard_normal((1_500, 2))
    y = Y.argmax(axis=1) + (X[:, 0] > 0) if estimator is ConvexBNClassifier else Y
    model = estimator(random_state=0).fit(X, y)
    assert (model.backend_, model.certificate_, model.converged_) == ("torch", "exact", True)
    with pytest.warns(ConvergenceWarning, match="max_time=0"):
        model.set_params(max_time=0.0, tol=1e-9).fit(X, y)
    assert not model.converged_


@pytest.mark.parametrize("C", [1, 2])
def test_certificates_are_exact_up_to_the_limit(C, monkeypatch):
    n = 40
    monkeypatch.setattr("skconvexbn.oracle.circles.COMPLETE", n * n * C)
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((n + 1, 2)), rng.standard_normal((n + 1, C))
    model = ConvexBNRegressor(beta=1.0, backend="torch", random_state=0)
    found = [model.fit(X[:k], Y[:k]).certificate_ for k in (n, n + 1)]
    assert found == ["exact", "search"]

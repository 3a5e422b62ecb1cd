"""The cvxpy backend: the literal cone program, the non-convex network, gated relaxations."""

import re
import warnings
from threading import Thread

import numpy as np
import pytest
from reference import cone_program, gated_recovered, network_objective, train_bn_network
from sklearn.exceptions import ConvergenceWarning

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor
from skconvexbn.arrangements import enumerate_all, sample
from skconvexbn.losses import MultinomialLogLoss, SquaredError
from skconvexbn.problem import Problem
from skconvexbn.solvers import cvxpy as backend
from skconvexbn.solvers.interface import Options
from skconvexbn.solvers.pricing import Pricing
from skconvexbn.whitening import Whitening


def estimator(loss, **params):
    if loss == "squared_error":
        return ConvexBNRegressor(**params)
    return ConvexBNClassifier(**params)


def tiny(seed, loss):
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(6, 15)), int(rng.integers(1, 3))
    X = rng.standard_normal((n, d))
    y = np.sin(2 * X[:, 0]) + 0.3 * rng.standard_normal(n)
    if loss == "log_loss":
        y = (y > np.median(y)).astype(float)
    return X, y, float(rng.choice([0.05, 0.2, 0.5]))


# tol is at the solver's resolution: what must hold is the certificate asserted below.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_exact_is_never_worse_than_training_the_network(loss, seed):
    X, y, beta = tiny(seed, loss)
    model = estimator(loss, beta=beta, arrangements="exact", tol=1e-7).fit(X, y)
    assert model.certificate_ == "exact"
    assert 0 <= model.dual_gap_ <= 1e-6 * model.objective_
    trained = train_bn_network(X, y, beta, loss, seed=seed)
    assert model.objective_ <= trained + 1e-6
    # The training route itself works: it comes near.
    assert trained <= 1.1 * model.objective_
    recomputed = network_objective(model, X, y[:, None], np.ones(len(y)), loss)
    np.testing.assert_allclose(recomputed, model.objective_, rtol=1e-9)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
@pytest.mark.parametrize("arrangements", ["exact", "sampled"])
def test_equals_the_literal_cone_program(loss, arrangements, fit_intercept):
    rng = np.random.default_rng(11)
    n, d = (10, 2) if arrangements == "exact" else (25, 4)
    X, w = rng.standard_normal((n, d)), rng.uniform(0.5, 2, n)
    y = np.abs(X[:, 0]) + X[:, 1]
    if loss == "log_loss":
        y = (y > np.median(y)).astype(float)
    params = {"beta": 0.3, "fit_intercept": fit_intercept, "n_arrangements": 15, "tol": 1e-7}
    model = estimator(loss, arrangements=arrangements, backend="cvxpy", random_state=0, **params)
    model.fit(X, y, sample_weight=w)
    basis = Whitening.fit(X, w).basis()
    Q = basis.transform(X)
    if arrangements == "exact":
        masks = enumerate_all(Q).masks()
    else:
        seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
        masks = sample(Q, basis.random_directions(15, np.random.RandomState(seed))).masks()
    value = cone_program(Q, y[:, None], w, masks, 0.3, loss, fit_intercept)
    np.testing.assert_allclose(model.objective_, value, rtol=1e-6)
    assert model.dual_objective_ <= value * (1 + 1e-7)
    assert model.certificate_ == arrangements
    assert model.converged_


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_vector_outputs_are_never_worse_than_gated_and_recovered(loss, seed):
    rng = np.random.default_rng(seed)
    n, C = 20, 3
    X = rng.standard_normal((n, 2))
    labels = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.3)
    labels[:3] = [0, 1, 2]
    w = rng.uniform(0.5, 2, n)
    model = ConvexBNClassifier(
        beta=0.3,
        loss=loss,
        arrangements="sampled",
        backend="cvxpy",
        n_arrangements=12,
        random_state=seed,
        tol=1e-6,
    ).fit(X, labels, sample_weight=w)
    basis = Whitening.fit(X, w).basis()
    Q = basis.transform(X)
    draw = np.random.RandomState(seed).randint(np.iinfo(np.int32).max)
    masks = sample(Q, basis.random_directions(12, np.random.RandomState(draw))).masks()
    recovered = gated_recovered(Q, np.eye(C)[labels], w, masks, 0.3, loss)
    assert model.objective_ <= recovered + 1e-6
    assert model.dual_gap_ <= 1e-6 * recovered
    np.testing.assert_allclose(
        network_objective(model, X, np.eye(C)[labels], w, loss), model.objective_, rtol=1e-8
    )


def test_exact_vector_outputs_are_labelled_as_searched():
    X = np.random.default_rng(0).standard_normal((9, 1))
    model = ConvexBNRegressor(beta=0.1, arrangements="exact").fit(X, np.column_stack([X, X**2]))
    assert model.certificate_ == "search"
    assert model.converged_


def test_more_arrangements_are_never_worse():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 3))
    y = X[:, 0] * X[:, 1]
    objectives = [
        ConvexBNRegressor(beta=0.1, arrangements="sampled", backend="cvxpy", n_arrangements=P,
                          random_state=0, tol=1e-8).fit(X, y).objective_
        for P in (5, 20, 80)
    ]  # fmt: skip
    assert objectives[0] > objectives[1] > objectives[2]
    assert ConvexBNRegressor(beta=0.1, rank=1, arrangements="exact").fit(X, y).converged_


def make_problem(C=1, n=30, beta=0.2):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((n, 3))
    basis = Whitening.fit(X, np.ones(n)).basis()
    if C == 1:
        Y, loss = np.tanh(X[:, :1]) * X[:, 1:2], SquaredError()
    else:
        Y, loss = np.eye(C)[np.arange(n) % C], MultinomialLogLoss()
    problem = Problem(basis.transform(X), Y, np.ones(n), loss, beta, True)
    return problem, sample(problem.Q, basis.random_directions(30, np.random.RandomState(0)))


@pytest.mark.parametrize("C", [1, 3])
def test_stopping_early_returns_the_best_so_far(C):
    problem, arrangements = make_problem(C)
    previous = np.inf
    for max_iter in range(1, 6):
        solution = backend.solve(problem, arrangements, Options(1e-9, max_iter))
        value = problem.primal(solution.H, solution.G, solution.b)
        assert value <= previous + 1e-12
        assert problem.dual(solution.V, solution.dual_norm) <= value + 1e-12
        assert solution.n_iter <= max_iter
        previous = value


def test_reaching_max_iter_warns_with_gap_tol_and_max_iter():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 5))
    model = ConvexBNRegressor(beta=0.05, max_iter=1, tol=1e-7, backend="cvxpy", random_state=0)
    message = r"gap is \S+ .*\(tol=1e-07\) after 1 iterations \(max_iter=1, max_time=None\)"
    with pytest.warns(ConvergenceWarning, match=message):
        model.fit(X, np.sin(3 * X).sum(axis=1))
    assert not model.converged_
    assert model.dual_gap_ > 0


def test_solver_failure_is_an_error_at_first_and_then_the_best_so_far(monkeypatch):
    problem, arrangements = make_problem()
    solve_neurons, calls = backend._solve_neurons, []

    def fail(*args):
        calls.append(args)
        if len(calls) == 1 and not allowed:
            raise backend.cp.SolverError("Clarabel stopped")
        if len(calls) == 2:
            raise backend.cp.SolverError("Clarabel stopped")
        return solve_neurons(*args)

    monkeypatch.setattr(backend, "_solve_neurons", fail)
    allowed = False
    with pytest.raises(backend.cp.SolverError):
        backend.solve(problem, arrangements, Options(1e-6, 10))
    calls.clear()
    allowed = True
    solution = backend.solve(problem, arrangements, Options(1e-9, 10))
    assert len(solution.G) > 0
    gap = problem.primal(solution.H, solution.G, solution.b) - problem.dual(
        solution.V, solution.dual_norm
    )
    assert gap > 0


def test_status_without_a_solution_is_a_clear_error(monkeypatch):
    problem, arrangements = make_problem()
    clarabel = backend._clarabel

    def stop(program):
        solution = clarabel(program)
        solution.status = "user_limit_without_point"
        return solution

    monkeypatch.setattr(backend, "_clarabel", stop)
    with pytest.raises(
        backend.cp.SolverError, match="status 'user_limit_without_point' instead of a solution"
    ):
        backend.solve(problem, arrangements, Options(1e-6, 10))


@pytest.mark.parametrize("rounds", [0, 2])
def test_interrupt_returns_the_best_so_far_with_a_warning(monkeypatch, rounds):
    clarabel, calls = backend._clarabel, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) > rounds:
            raise KeyboardInterrupt
        return clarabel(*args)

    monkeypatch.setattr(backend, "_clarabel", interrupted)
    X = np.random.default_rng(0).standard_normal((40, 3))
    model = ConvexBNRegressor(beta=0.05, tol=1e-7, backend="cvxpy", random_state=0)
    with pytest.warns(ConvergenceWarning, match="Interrupted: the duality gap is"):
        model.fit(X, X[:, 0] * X[:, 1])
    assert (model.n_neurons_ > 0) == (rounds > 0)
    assert not model.converged_
    assert 0 < model.dual_gap_ <= model.objective_ <= model.zero_loss_


def test_past_max_time_a_round_ends_with_the_cuts_that_it_takes(monkeypatch):
    """Over many arrangements one round alone took minutes."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 2))
    y = np.sin(2 * X[:, 0]) + X[:, 1]
    model = ConvexBNRegressor(beta=0.1, arrangements="exact", max_time=0)
    with pytest.warns(ConvergenceWarning, match="after 1 iterations"):
        model.fit(X, y)
    assert model.dual_objective_ > 0
    monkeypatch.setattr("skconvexbn.solvers.pricing.GRACE", 0.0)
    with pytest.warns(ConvergenceWarning, match="max_time ended the search that would vouch"):
        model.fit(X, y)
    assert model.dual_objective_ == pytest.approx(0, abs=1e-12)  # no bound but that of any loss
    assert model.score(X, y) > 0.5
    assert not model.converged_


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_searches_that_are_cut_short_keep_the_bound_of_those_before(n_outputs, monkeypatch):
    """Whichever is the first of them: a later one is never to the bound's disadvantage."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 2))
    Y = np.sin(X @ rng.standard_normal((2, n_outputs))) + 0.1 * rng.standard_normal((20, n_outputs))
    model = ConvexBNRegressor(beta=0.1, arrangements="exact", backend="cvxpy", tol=1e-3)
    full, search = model.fit(X, Y).dual_objective_, Pricing._search
    bounds = []
    for first in range(1, 5):
        calls = []

        def late(pricing, V, seed=None, first=first, calls=calls):
            calls.append(1)
            monkeypatch.setattr(Pricing, "_late", lambda *_: len(calls) > first)
            return search(pricing, V, seed)

        monkeypatch.setattr(Pricing, "_search", late)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            bounds.append(model.fit(X, Y).dual_objective_)
    assert np.all(np.diff(bounds) >= 0)
    assert full * (1 - 1e-3) <= bounds[-1] <= full * (1 + 1e-3)


def test_max_time_ends_with_the_round_under_way():
    problem, arrangements = make_problem()
    solution = backend.solve(problem, arrangements, Options(1e-9, 100, max_time=0.0))
    assert solution.n_iter == 1
    assert len(solution.G) > 0


def test_the_zero_model_is_optimal_before_the_first_round():
    problem, arrangements = make_problem(beta=100.0)
    solution = backend.solve(problem, arrangements, Options(1e-9, 100))
    assert not len(solution.G)
    value = problem.dual(solution.V, solution.dual_norm)
    assert value == pytest.approx(problem.zero_loss)


def test_too_large_is_refused_before_solving():
    X = np.random.default_rng(0).standard_normal((100_000, 5))
    with pytest.raises(
        ValueError, match=r"up to 200000, got 100000 \* 6; use backend='torch', fewer samples"
    ):
        ConvexBNRegressor(beta=1.0, backend="cvxpy").fit(X, X[:, 0])


def test_a_gap_that_no_limit_left_is_said_to_be_the_solvers():
    rng = np.random.default_rng(9)
    n = int(rng.integers(12, 40))
    X, y = rng.standard_normal((n, 1)), rng.integers(0, 2, n)
    y[:2] = 0, 1
    with pytest.warns(ConvergenceWarning, match="the solver gets no further: increase tol or beta"):
        model = ConvexBNClassifier(beta=1.4e-4, tol=1e-9, backend="cvxpy").fit(X, y)
    assert model.n_iter_ < model.max_iter
    with pytest.warns(ConvergenceWarning, match="increase the limit that was reached, or tol"):
        model.set_params(max_iter=1).fit(X, y)


def test_next_to_no_beta_and_classes_that_overlap():
    """Curvatures of neurons that have one row to themselves come near the least of float64."""
    x = [-1, -2.6, -0.9, -0.3, -2.9, 1, 1.1, 0.8, 0.9, 1.2, 1.7, -0.3, -1.4, 1.3, -2.1, 1.1, -1.3]
    x = np.array([*x, -1.5, -2.2, 4])[:, None]
    y = [0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1]
    model = ConvexBNClassifier(beta=0, backend="cvxpy", arrangements="exact", random_state=0)
    assert model.fit(x, y).converged_


def test_verbose_prints_rounds(capsys):
    X = np.random.default_rng(0).standard_normal((19, 3))
    ConvexBNRegressor(beta=0.1, verbose=1, random_state=0).fit(X, X[:, 0] ** 2)
    printed = capsys.readouterr().out
    assert "[ConvexBNRegressor] backend cvxpy, beta 0.1, rank 3, shrinkage 0\n" in printed
    assert re.search(r"^round 1: 0\.\d\d s, objective ", printed, flags=re.M)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ConvexBNRegressor(beta=0.1, random_state=0).fit(X, X[:, 0] ** 2)
    assert capsys.readouterr().out == ""


def test_warm_start_is_never_worse():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((50, 4))
    y = np.cos(X[:, 0] + X[:, 1])
    params = {"beta": 0.1, "arrangements": "sampled", "n_arrangements": 20, "tol": 1e-7}
    params["backend"] = "cvxpy"
    model = ConvexBNRegressor(warm_start=True, random_state=np.random.RandomState(0), **params)
    first = model.fit(X, y).objective_
    second = model.fit(X, y).objective_
    assert second < first - 1e-3 * first  # other arrangements on top of those in use
    cold = ConvexBNRegressor(random_state=np.random.RandomState(0), **params)
    assert cold.fit(X, y).objective_ == pytest.approx(first)
    model.fit(X[:, :2], y)  # other features: nothing to carry over
    assert model.n_features_in_ == 2


def test_threads_leave_the_filters_of_warnings_alone():
    before, (problem, arrangements) = list(warnings.filters), make_problem()

    def solve():
        for _ in range(4):
            backend.solve(problem, arrangements, Options(1e-6, 10))

    threads = [Thread(target=solve) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before


@pytest.mark.parametrize(("tol", "max_iter"), [(1e-3, 100), (1e-9, 2)])
def test_bounds_of_several_outputs_rest_on_random_starts_too(tol, max_iter, monkeypatch):
    """Twice at the dual point of the bound, where rounds before it search from singular vectors."""
    searched, search = [], Pricing._search

    def recorded(pricing, V, seed=None):
        searched.append((V.copy(), seed))
        return search(pricing, V, seed)

    monkeypatch.setattr(Pricing, "_search", recorded)
    problem, arrangements = make_problem(C=3)
    solution = backend.solve(problem, arrangements, Options(tol, max_iter))
    seeds = [seed for V, seed in searched if np.array_equal(V, solution.V) and seed is not None]
    assert len(set(seeds)) >= 2

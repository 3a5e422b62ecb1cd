"""The torch backend: parts against independent routes, fits against exact ones, limits."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_friedman1
from sklearn.exceptions import ConvergenceWarning
from small_problems import CPU, make_problem

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor
from skconvexbn.arrangements import enumerate_all
from skconvexbn.losses import SquaredError
from skconvexbn.oracle.search import Search
from skconvexbn.problem import Problem
from skconvexbn.solvers import adaptive, get_solver
from skconvexbn.solvers import torch as backend
from skconvexbn.solvers.adaptive import solve_adaptive
from skconvexbn.solvers.descent import descend
from skconvexbn.solvers.interface import Options
from skconvexbn.solvers.measure import Measure, Model
from skconvexbn.whitening import Whitening


@pytest.mark.parametrize("kind", ["squared", "binary"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_exact_program(kind, fit_intercept, seed):
    problem = make_problem(kind, n=25, q=3, fit_intercept=fit_intercept, seed=seed)
    exact = get_solver("cvxpy")(problem, enumerate_all(problem.Q), Options(1e-8, 100))
    best = problem.primal(exact.H, exact.G, exact.b)
    found = backend.solve(problem, None, Options(1e-5, 100, seed=seed))
    primal = problem.primal(found.H, found.G, found.b)
    dual = problem.dual(found.V, found.dual_norm)
    unit = problem.zero_loss
    assert primal - dual <= 1e-5 * unit
    assert best - 1e-7 * unit <= primal <= best + 1e-5 * unit
    assert dual <= best + 1e-7 * unit  # a bound on the true optimum, though from a search


@pytest.mark.parametrize("kind", ["several", "multinomial"])
def test_several_outputs_equal_the_exact_program(kind):
    problem = make_problem(kind, n=25)
    exact = get_solver("cvxpy")(problem, enumerate_all(problem.Q), Options(1e-6, 100))
    best = problem.primal(exact.H, exact.G, exact.b)
    found = backend.solve(problem, None, Options(1e-4, 100))
    primal = problem.primal(found.H, found.G, found.b)
    assert primal - problem.dual(found.V, found.dual_norm) <= 1e-4 * problem.zero_loss
    assert abs(primal - best) <= 1e-4 * problem.zero_loss


@pytest.mark.parametrize("seed", [8, 11])
def test_descents_that_lead_astray_are_undone(seed):
    """Classes that nearly can be told apart, small beta: losses are flat, masses grow."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((100, 2))
    v = np.maximum(X @ rng.standard_normal(2), 0) + 1e-9 * rng.standard_normal(100)
    w = 10.0 ** rng.uniform(-2, 2, 100)
    y = np.searchsorted(np.quantile(v, [0.25, 0.5, 0.75]), v)
    model = ConvexBNClassifier(rank=1, beta=1e-6, fit_intercept=seed == 8, tol=1e-3, max_iter=25)
    assert model.set_params(random_state=0).fit(X, y, w).converged_


def test_diabetes_150_rows():
    """The best known value is 43.66547."""
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:150], ((y - y.mean()) / y.std())[:150]
    model = ConvexBNRegressor(beta=1.0, fit_intercept=False, tol=5e-7, random_state=0).fit(X, y)
    assert model.backend_ == "torch"
    assert model.certificate_ == "search"
    assert model.dual_gap_ <= 1e-5 * model.objective_
    assert 43.6654 <= model.objective_ <= 43.6656


def objective_of_the_folded_network(model, X, y):
    """Objective of a regressor from coefs_ and intercepts_ alone, on data of full rank."""
    W1, W2 = model.coefs_
    b1, b2 = model.intercepts_
    Z = X @ W1 + b1
    shift = np.sqrt(len(X)) * (b1 + X.mean(axis=0) @ W1)  # alpha, from the mean pre-activation
    size = np.hypot(np.linalg.norm(Z - Z.mean(axis=0), axis=0), shift)
    F = np.maximum(Z, 0) @ W2 + b2
    loss = 0.5 * np.sum((F - np.reshape(y, (len(y), -1))) ** 2)
    return loss + model.beta_ * size @ np.linalg.norm(W2, axis=1)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_objective_from_the_folded_weights(n_outputs):
    X, y = load_diabetes(return_X_y=True)
    y = np.column_stack([y, X[:, 2] ** 2 * 1e4])[:, :n_outputs]
    model = ConvexBNRegressor(tol=1e-2, random_state=0).fit(X, y)
    expected = objective_of_the_folded_network(model, X, y)
    assert model.objective_ == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("data", [load_diabetes, load_breast_cancer, load_iris])
def test_defaults_reach_tol_on_real_data(data):
    X, y = data(return_X_y=True)
    estimator = ConvexBNRegressor if data is load_diabetes else ConvexBNClassifier
    model = estimator(random_state=0).fit(X, y)
    assert model.backend_ == "torch"
    assert model.converged_


def test_no_network_by_random_restarts_is_below_the_bound():
    """Weak duality, attacked by L-BFGS from networks of other widths and seeds."""
    problem = make_problem("squared", n=120, q=8)
    found = backend.solve(problem, None, Options(1e-4, 100))
    dual = problem.dual(found.V, found.dual_norm)
    model = Model(problem, CPU)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        H, G = rng.standard_normal((8, 100)), rng.choice([-1.0, 1.0], (100, 1))
        x = Measure.of_weights(*(model.tensor(a) for a in (H, 0.1 * G, problem.zero_intercept)))
        for width in (0.03, 0.01, 0.003, 0.0):
            x = descend(model, x, width, 200)
        assert model.objective(model.output(x), x) >= dual


def test_random_states_agree():
    X, y = load_diabetes(return_X_y=True)
    predictions = [
        ConvexBNRegressor(tol=1e-4, random_state=s).fit(X[:300], y[:300]).predict(X[300:])
        for s in range(3)
    ]
    spread = np.std(predictions, axis=0)
    assert np.sqrt(np.mean(spread**2)) < 0.01 * y.std()


def test_two_threads_give_what_each_gives_alone():
    X, y = load_diabetes(return_X_y=True)
    targets = [y, y**2]
    alone = [ConvexBNRegressor(tol=1e-2, random_state=0).fit(X, t).predict(X) for t in targets]
    together = [None, None]

    def fit(i):
        together[i] = ConvexBNRegressor(tol=1e-2, random_state=0).fit(X, targets[i]).predict(X)

    threads = [threading.Thread(target=fit, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("limit", [{"max_time": 0.0}, {"max_iter": 1}])
def test_limits_return_the_best_network_so_far(limit):
    X, y = load_diabetes(return_X_y=True)
    model = ConvexBNRegressor(random_state=0, tol=1e-9, **limit)
    with pytest.warns(ConvergenceWarning, match=r"gap is .* after 1 iterations"):
        model.fit(X, y)
    assert model.n_iter_ == 1
    assert not model.converged_
    assert 0 < model.dual_gap_ < model.objective_
    assert model.score(X, y) > 0.3


def test_a_limit_ends_no_round_that_began_before_it(monkeypatch):
    """If time passes between the solver's question and that of `run`, a search is still due."""
    asked = []

    def last_round(best):
        asked.append(best.n_iter)
        return len(asked) > 1

    monkeypatch.setattr(adaptive.Incumbent, "last_round", property(last_round))
    solution = backend.solve(make_problem("squared"), None, Options(1e-9, 100))
    assert asked[:2] == [0, 0]
    assert solution.n_iter == 2
    assert solution.ended_by == "limit"


def test_stopping_later_is_never_worse():
    X, y = load_diabetes(return_X_y=True)
    objectives = []
    for max_iter in (1, 2, 4, 6):
        model = ConvexBNRegressor(random_state=0, tol=1e-9, max_iter=max_iter)
        with pytest.warns(ConvergenceWarning):
            objectives.append(model.fit(X, y).objective_)
    assert objectives == sorted(objectives, reverse=True)


@pytest.mark.parametrize("rounds", [0, 2])
def test_interrupt_returns_the_best_so_far_with_a_warning(monkeypatch, rounds):
    calls = []

    def interrupted(*args):
        calls.append(1)
        if len(calls) > rounds:
            raise KeyboardInterrupt
        return descend(*args)

    monkeypatch.setattr(adaptive, "descend", interrupted)
    X, y = load_diabetes(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="Interrupted: the duality gap is"):
        model = ConvexBNRegressor(random_state=0, tol=1e-9).fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    assert model.n_neurons_ == 0 if rounds == 0 else model.score(X, y) > 0.3


def test_warm_start_is_never_worse(monkeypatch):
    X, y = make_friedman1(100, 5, noise=1.0, random_state=0)
    model = ConvexBNRegressor(beta=1.0, warm_start=True, random_state=0).fit(X, y)
    objective, n_neurons = model.objective_, model.n_neurons_

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("skconvexbn.solvers.adaptive.descend", interrupted)
    with pytest.warns(ConvergenceWarning, match="Interrupted"):
        model.fit(X, y)
    assert model.objective_ <= objective + 1e-9 * model.zero_loss_
    assert model.n_neurons_ == n_neurons


@pytest.mark.parametrize("certify", [True, False])
def test_fits_to_some_of_many_rows_are_not_certified(certify, monkeypatch):
    monkeypatch.setattr(adaptive, "START_ROWS", 60)
    X, y = make_friedman1(200, 5, noise=1.0, random_state=0)
    Q = Whitening.fit(X, np.ones(200)).basis().transform(X)
    Y = ((y - y.mean()) / y.std())[:, None]
    problem = Problem(Q, Y, np.ones(200), SquaredError(), 1.0, True)
    thorough = []
    close = adaptive._Run._close
    monkeypatch.setattr(
        adaptive._Run, "_close", lambda run, x: thorough.append(len(run.model.Q)) or close(run, x)
    )
    solve_adaptive(Model(problem, CPU), Options(tol=1e-2, max_iter=20, certify=certify))
    assert set(thorough) == ({200} if certify else set())


@pytest.mark.parametrize("setting", [torch.autocast("cpu"), torch.device("meta")])
def test_settings_of_the_caller_do_not_reach_the_solver(setting):
    X, y = make_friedman1(100, 5, random_state=0)
    model = ConvexBNRegressor(beta=1.0, backend="torch", random_state=0)
    outside = model.fit(X, y).predict(X)
    with setting:
        np.testing.assert_array_equal(model.fit(X, y).predict(X), outside)


@pytest.mark.parametrize("factor", [1e-200, 1e160])
def test_warm_start_on_features_of_another_scale_is_a_cold_one(factor):
    X, y = make_friedman1(100, 5, random_state=0)
    settings = {"scale": False, "shrinkage": 0.2, "random_state": 0}
    warm = ConvexBNRegressor(warm_start=True, **settings).fit(X * factor, y).fit(X, y)
    cold = ConvexBNRegressor(**settings).fit(X, y)
    assert abs(warm.objective_ - cold.objective_) <= warm.tol * warm.zero_loss_


def test_warm_start_takes_fewer_rounds():
    X, y = load_diabetes(return_X_y=True)
    model = ConvexBNRegressor(beta=20.0, warm_start=True, random_state=0)
    cold = model.fit(X, y).n_iter_
    assert cold > 1
    assert model.fit(X, y).n_iter_ < cold


def test_out_of_memory_becomes_smaller_blocks_then_an_error(monkeypatch):
    shrunk, left = [], []

    def failing(model, options):
        shrunk.append(model.shrink)
        left.append(options.max_time)
        if model.shrink < limit:
            raise torch.OutOfMemoryError
        return solve_adaptive(model, options)

    monkeypatch.setattr(backend, "solve_adaptive", failing)
    problem, limit = make_problem("squared"), 64
    backend.solve(problem, None, Options(1e-2, 100, max_time=1e3))
    assert shrunk == [1, 8, 64]
    assert 1e3 > left[0] > left[1] > left[2] > 0  # all tries share the time
    limit = 65
    with pytest.raises(MemoryError, match="too little memory for 40 rows in 3 dimensions; use"):
        backend.solve(problem, None, Options(1e-2, 100))


def test_verbose_prints_a_line_a_round(capsys):
    X, y = load_diabetes(return_X_y=True)
    model = ConvexBNRegressor(verbose=1, tol=1e-2, random_state=0).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("[ConvexBNRegressor] backend torch, beta ")
    assert len(lines) == 1 + model.n_iter_
    assert lines[-1].endswith("(thorough search)")


def test_without_certificates_nearly_the_same_networks(monkeypatch):
    X, y = load_diabetes(return_X_y=True)
    w = np.ones(len(y))
    Q, Y = Whitening.fit(X, w).basis().transform(X), ((y - y.mean()) / y.std())[:, None]
    problems = [Problem(Q, Y, w, SquaredError(), beta, True) for beta in (0.3, 0.5, 1.0)]
    certified = [backend.solve(p, None, Options(1e-3, 100)) for p in problems]
    monkeypatch.setattr("skconvexbn.solvers.thorough.BasinHopping", None)  # no thorough search
    quick = [backend.solve(p, None, Options(1e-3, 100, certify=False)) for p in problems]
    for p, s, t in zip(problems, certified, quick, strict=True):
        assert abs(p.primal(t.H, t.G, t.b) - p.primal(s.H, s.G, s.b)) <= 1e-3 * p.zero_loss
        assert t.n_iter <= s.n_iter + 3


def test_neurons_beside_are_weighed_first():
    """Those of the solution leave little to do; others do no harm."""
    problem = make_problem("squared", n=60, q=4, fit_intercept=True, seed=0)
    options = Options(1e-4, 100, certify=False)

    def value(**others):
        solution = backend.solve(problem, None, replace(options, **others))
        return problem.primal(solution.H, solution.G, solution.b), (solution.H, solution.G)

    rng = np.random.default_rng(0)
    start = rng.standard_normal((4, 9)), rng.standard_normal((9, 1))
    optimum, neurons = value()
    alone, _ = value(max_iter=1, start=start)
    beside, _ = value(max_iter=1, start=start, beside=neurons)
    assert alone - optimum > 1e-3 * problem.zero_loss
    assert beside - optimum <= 0.1 * (alone - optimum)
    assert value(start=neurons, beside=start)[0] - optimum <= 1e-4 * problem.zero_loss


def test_without_certificates_settled_rounds_do_not_search(monkeypatch):
    problem = make_problem("squared", n=60, q=4, fit_intercept=True, seed=0)
    calls, search = [], Search.round
    monkeypatch.setattr(Search, "round", lambda *a, **k: calls.append(1) or search(*a, **k))
    monkeypatch.setattr(adaptive.Incumbent, "closed", False)
    solution = backend.solve(problem, None, Options(1e-3, 100, certify=False))
    assert 1 < solution.n_iter < 100
    assert len(calls) == solution.n_iter - 1


def test_the_smallest_tol_is_that_of_float64():
    X, y = make_friedman1(60, 5, random_state=0)
    found = [
        ConvexBNRegressor(beta=1.0, rank=2, backend="torch", tol=tol, random_state=0).fit(X, y)
        for tol in (0.0, 1e-9)
    ]
    assert found[0].converged_
    assert found[0].n_iter_ == found[1].n_iter_
    assert found[0].objective_ == found[1].objective_


def test_a_dual_point_off_centre_is_no_bound_and_no_error():
    problem = make_problem("multinomial")
    run = adaptive._Run(Model(problem, CPU), Options(1e-2, 1))
    V = problem.dual_point(np.zeros_like(problem.Y))
    with np.errstate(all="raise"):
        run._offer_dual(V + np.array([1e-6, 0.0, -1e-6]), 1.0)
        assert run.best.dual == -np.inf
        run._offer_dual(V, 1.0)
    assert run.best.dual > -np.inf

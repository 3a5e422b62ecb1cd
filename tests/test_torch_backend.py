"""The torch backend: parts against independent routes, fits against exact ones, limits."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from reference import basis
from scipy.optimize import check_grad, nnls
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_friedman1
from sklearn.exceptions import ConvergenceWarning

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor
from skconvexbn.arrangements import enumerate_all
from skconvexbn.losses import BinaryLogLoss, MultinomialLogLoss, SquaredError
from skconvexbn.oracle.hopping import BasinHopping
from skconvexbn.oracle.search import Search
from skconvexbn.problem import Problem
from skconvexbn.solvers import adaptive, descent, get_solver, nonnegative
from skconvexbn.solvers import torch as backend
from skconvexbn.solvers.adaptive import solve_adaptive
from skconvexbn.solvers.descent import _value_and_gradient, descend
from skconvexbn.solvers.interface import Options
from skconvexbn.solvers.masses import Curvature, best_masses
from skconvexbn.solvers.measure import Activations, Measure, Model, gram
from skconvexbn.whitening import Whitening

CPU = torch.device("cpu")
DEVICES = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]


def make_problem(kind, n=40, q=3, beta=0.3, fit_intercept=True, seed=0):
    rng = np.random.default_rng(seed)
    Q = basis(rng, n, q)
    z = np.sqrt(n) * Q[:, 0]
    w = rng.uniform(0.5, 2.0, n)
    if kind == "squared":
        Y, loss = (np.sin(2 * z) + 0.1 * rng.standard_normal(n))[:, None], SquaredError()
    elif kind == "several":
        Y, loss = np.column_stack([np.sin(2 * z), z**2 - 1]), SquaredError()
    elif kind == "binary":
        Y, loss = (np.abs(z) > 0.7)[:, None].astype(float), BinaryLogLoss()
    else:
        Y, loss = np.eye(3)[np.digitize(z, [-0.5, 0.5])], MultinomialLogLoss()
    return Problem(Q, Y, w, loss, beta, fit_intercept)


KINDS = ["squared", "several", "binary", "multinomial"]


@pytest.mark.parametrize("kind", KINDS)
def test_root_factors_the_hessian(kind):
    problem = make_problem(kind)
    F = np.random.default_rng(1).standard_normal(problem.Y.shape)
    S = problem.loss.root(F, problem.w)
    hessian = problem.loss.hessian(F, problem.w)
    np.testing.assert_allclose(S @ S.transpose(0, 2, 1), hessian, atol=1e-8)


@pytest.mark.parametrize("exchanges", [25, 0], ids=["many", "one"])
@pytest.mark.parametrize("seed", range(5))
def test_nonnegative_qp_equals_nnls(seed, exchanges, monkeypatch):
    monkeypatch.setattr(nonnegative, "MAX_EXCHANGES", exchanges)
    rng = np.random.default_rng(seed)
    A, y = rng.standard_normal((60, 25)), rng.standard_normal(60)
    A[:, 20:] = A[:, :5]  # singular: any split of the mass of equal columns is optimal
    start = rng.uniform(size=25) * rng.integers(0, 2, 25)
    c = nonnegative.nonnegative_qp(A.T @ A, A.T @ y, 1e-10, start)
    expected = nnls(A, y)[0]
    assert (c >= 0).all()
    np.testing.assert_allclose(A @ c, A @ expected, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_nonnegative_qp_meets_the_conditions_of_its_optimum(scale):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((200, 120)) @ np.diag(rng.uniform(0.1, 10, 120)) + 5.0
    M, a = scale * A.T @ A, scale * A.T @ (rng.standard_normal(200) + 3.0)
    tol = 1e-9 * np.abs(a).max()
    c = nonnegative.nonnegative_qp(M, a, tol, np.ones(120))
    slack = a - M @ c
    assert (c >= 0).all()
    assert (c > 0).any()
    assert (c == 0).any()
    assert slack.max() <= 2 * tol
    np.testing.assert_allclose(slack[c > 0], 0, atol=2 * tol)


@pytest.mark.parametrize("seed", range(5))
def test_nonnegative_qp_of_nearly_dependent_columns_takes_proximal_points(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    H = np.repeat(rng.standard_normal((4, 10)), 15, axis=1)
    A = np.maximum(rng.standard_normal((100, 4)) @ (H + 1e-3 * rng.standard_normal(H.shape)), 0)
    M, a, tol = A.T @ A, A.T @ rng.uniform(size=100) - 0.1, 1e-7
    one = nonnegative._exchange_one(M, a, tol, np.ones(150))
    assert nonnegative._exchange_many(M, a, tol, np.ones(150, bool)) is None
    monkeypatch.setattr(nonnegative, "_exchange_one", None)
    c = nonnegative.nonnegative_qp(M, a, tol, np.ones(150))
    assert (a - M @ c).max() <= 2 * tol
    np.testing.assert_allclose(A @ c, A @ one, atol=1e-6)


def test_nonnegative_qp_of_nothing_to_gain_is_zero():
    assert not nonnegative.nonnegative_qp(np.eye(3), -np.ones(3), 1e-9, np.ones(3)).any()


def test_nonnegative_qp_of_a_singular_matrix_stays_at_the_start():
    start = np.array([1.0, 0.0])
    c = nonnegative.nonnegative_qp(np.zeros((2, 2)), np.ones(2), 1e-9, start)
    np.testing.assert_array_equal(c, start)


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


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_of_the_smoothed_descent(kind):
    """As autograd finds it, the width taken as fixed."""
    problem, mu = make_problem(kind), 0.1
    model = Model(problem, CPU, shrink=1 << 16)
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
    slope_b = b.grad * model.free
    expected = torch.cat([H.grad.reshape(-1), G.grad.reshape(-1), slope_b])
    np.testing.assert_allclose(gradient, expected, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_of_the_descent(kind):
    problem = make_problem(kind)
    model = Model(problem, CPU, shrink=1 << 16)  # several blocks of rows
    C, rng = problem.n_outputs, np.random.default_rng(3)
    assert len(list(model.blocks(7))) > 1
    error = check_grad(
        lambda p: _value_and_gradient(model, model.Q, 0.0, torch.as_tensor(p))[0],
        lambda p: _value_and_gradient(model, model.Q, 0.0, torch.as_tensor(p))[1].numpy(),
        rng.standard_normal(21 + 8 * C),
    )
    assert error < 1e-4


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


def test_same_random_state_same_network():
    X, y = load_diabetes(return_X_y=True)
    fits = [ConvexBNRegressor(tol=1e-2, random_state=1).fit(X, y) for _ in range(2)]
    np.testing.assert_array_equal(fits[0].predict(X), fits[1].predict(X))


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


def test_interrupted_in_a_thorough_search_is_not_converged(monkeypatch):
    """The gap looks closed, but the search that would vouch for it has not ended."""

    def interrupted(hopping):
        raise KeyboardInterrupt

    monkeypatch.setattr(BasinHopping, "hop", interrupted)
    X, y = load_diabetes(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match=r"Interrupted: .* no full search vouches for it"):
        model = ConvexBNRegressor(random_state=0, tol=1e-2).fit(X, y)
    assert not model.converged_
    assert model.score(X, y) > 0.5


def test_a_thorough_search_cut_short_is_not_converged():
    """The first round closes so large a gap, but there is no time to search."""
    X, y = load_diabetes(return_X_y=True)
    model = ConvexBNRegressor(random_state=0, tol=0.5)
    assert model.fit(X, y).converged_
    with pytest.warns(ConvergenceWarning, match="max_time ended the search that would vouch"):
        model.set_params(max_time=0).fit(X, y)
    assert model.dual_gap_ < 0.5 * model.zero_loss_
    assert not model.converged_
    with pytest.warns(ConvergenceWarning, match="max_time ended the search that would vouch"):
        model.set_params(tol=1e-6).fit(X, y)  # nor for a gap that is open
    assert model.dual_gap_ > 1e-6 * model.zero_loss_


def test_copies_of_copies_keep_their_mass():
    """The first is a copy of the second, which is one of the third, but the first is not."""
    angle = torch.tensor([0.0, 3.5e-5, 7e-5], dtype=torch.float64)
    H, c = torch.stack([angle.cos(), angle.sin()]), torch.tensor([1.0, 1.0, 5.0]).double()
    x = Measure(H, torch.ones(3, 1).double(), c, torch.zeros(1).double())
    joined = x.without_copies()
    assert len(joined) == 1
    assert float(joined.c.sum()) == 7.0


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
    solve_adaptive(Model(problem, CPU), Options(tol=1e-2, max_iter=20, certify=certify), 1, CPU)
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

    def failing(model, options, shrink, device):
        shrunk.append(shrink)
        left.append(options.max_time)
        if shrink < limit:
            raise torch.OutOfMemoryError
        return solve_adaptive(model, options, shrink, device)

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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_what_the_cpu_gives():
    X, y = load_diabetes(return_X_y=True)
    cpu = ConvexBNRegressor(random_state=0).fit(X, y)
    gpu = ConvexBNRegressor(random_state=0, device="cuda").fit(X, y)
    assert gpu.device_.startswith("cuda")
    assert abs(gpu.objective_ - cpu.objective_) <= cpu.dual_gap_ + gpu.dual_gap_
    assert isinstance(gpu.predict(X), np.ndarray)


@pytest.mark.parametrize(
    ("constants", "rise", "length"),
    [
        ({}, None, 6),  # the least
        # two for each of six neurons
        ({"CROWDED": 0.25, "USUAL": 1.0}, None, 12),
        # the penalty is 0.40 of the zero model's loss: 4^(3/4) times as long
        ({"CROWDED": 0.25, "USUAL": 0.1}, None, 36),
        ({"CROWDED": 0.25, "USUAL": 0.5}, None, 12),  # never less
        ({}, 5, 12),  # twice as long as until the rise, up to a polish
        ({"LONGEST": 18, "CROWDED": 0.25}, None, 18),
    ],
)
def test_length_of_a_thorough_search(constants, rise, length, monkeypatch):
    for name, value in constants.items():
        monkeypatch.setattr(f"skconvexbn.solvers.thorough.{name}", value)
    hop, generations = BasinHopping.hop, [0]

    def count(hopping):
        hop(hopping)
        generations.append(hopping.n_generations)
        if hopping.n_generations == rise:
            hopping.largest *= 1.05

    monkeypatch.setattr(BasinHopping, "hop", count)
    problem = make_problem("squared", n=60, q=4, fit_intercept=True, seed=0)
    assert backend.solve(problem, None, Options(0.1, 100)).n_iter < 100
    assert max(generations) == length


@pytest.mark.parametrize("kind", KINDS)
def test_neurons_refute_a_search_that_finds_nothing(kind, monkeypatch):
    """A neuron with mass above the constraint at V shows that the bound is too good."""

    def hop(hopping):
        hopping.n_generations += 1

    def begin(hopping, *_):
        return hopping._search.values(hopping._V, hopping._around[:0])

    def round_(search, V, beta, active, *_, **__):
        return search.values(V, active[:0])

    monkeypatch.setattr(Search, "round", round_)
    monkeypatch.setattr(BasinHopping, "_begin", begin)
    monkeypatch.setattr(BasinHopping, "hop", hop)
    problem = make_problem(kind)
    solution = backend.solve(problem, None, Options(0.2, 30))
    features = np.maximum(problem.Q @ solution.H, 0.0) / np.linalg.norm(solution.H, axis=0)
    largest = np.linalg.norm(solution.V.T @ features, axis=0).max()
    assert problem.beta < largest * (1 + 1e-6)
    assert largest <= solution.dual_norm * (1 + 1e-9)


def test_a_thorough_search_goes_on_with_the_chains_of_the_one_before(monkeypatch):
    began, begin, hop = [], BasinHopping.__init__, BasinHopping.hop

    def recorded(hopping, *args, earlier, **options):
        began.append((hopping, earlier))
        begin(hopping, *args, earlier=earlier, **options)

    def exaggerated(hopping):
        """The first search opens the gap again."""
        hop(hopping)
        hopping.largest *= 2 if len(began) == 1 else 1

    monkeypatch.setattr(BasinHopping, "__init__", recorded)
    monkeypatch.setattr(BasinHopping, "hop", exaggerated)
    problem = make_problem("squared", n=60, q=4, fit_intercept=True, seed=0)
    backend.solve(problem, None, Options(1e-3, 100))
    (first, nothing), (_, earlier) = began[:2]
    assert nothing is None
    assert earlier is first


@pytest.mark.parametrize(("tol", "share"), [(0.0, 1.0), (1e-3, 1.0), (1e-2, 0.1**0.5)])
def test_looser_certificates_polish_a_share_of_the_maxima(tol, share, monkeypatch):
    shares, begin = [], BasinHopping.__init__

    def recorded(hopping, *args, polishing, **others):
        shares.append(polishing)
        begin(hopping, *args, polishing=polishing, **others)

    monkeypatch.setattr(BasinHopping, "__init__", recorded)
    problem = make_problem("squared", n=60, q=4, fit_intercept=True, seed=0)
    backend.solve(problem, None, Options(tol, 3))
    assert shares == pytest.approx([share] * len(shares))
    assert shares


@pytest.mark.parametrize("certify", [True, False])
def test_chains_follow_a_running_mean_of_the_residuals(certify, monkeypatch):
    monkeypatch.setattr(adaptive, "FOLLOW", 2)
    residuals, followed, begin, search = [], [], BasinHopping.__init__, Search.round

    def recorded(hopping, search, V, *args, earlier, polishing):
        if not polishing:
            followed.append((hopping, V, earlier))
        begin(hopping, search, V, *args, earlier=earlier, polishing=polishing)

    def round_(self, V, *args, **effort):
        residuals.append(V)
        return search(self, V, *args, **effort)

    monkeypatch.setattr(BasinHopping, "__init__", recorded)
    monkeypatch.setattr(Search, "round", round_)
    monkeypatch.setattr(adaptive.Incumbent, "closed", False)
    monkeypatch.setattr(adaptive, "SETTLED", -1.0)
    problem = make_problem("squared", n=60, q=4, fit_intercept=True, seed=0)
    n_iter = backend.solve(problem, None, Options(1e-9, 5, certify=certify)).n_iter
    assert n_iter == len(residuals) == 5
    assert len(followed) == (4 if certify else 0)
    mean = residuals[1]
    for k, (_, V, earlier) in enumerate(followed):
        mean = 0.5 * mean + 0.5 * residuals[k + 1]
        torch.testing.assert_close(V, mean)
        assert earlier is (followed[k - 1][0] if k else None)


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

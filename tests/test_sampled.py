"""Programs over given arrangements on the torch backend: cones, gates, several outputs."""

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from reference import cone_program, loss_expression
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor, ConvexBNRegressorCV
from skconvexbn.arrangements import enumerate_all, sample
from skconvexbn.losses import BinaryLogLoss, MultinomialLogLoss, SquaredError
from skconvexbn.oracle.cones import in_arrangements
from skconvexbn.problem import Problem
from skconvexbn.solvers import column_generation, gated, interior_point, pricing
from skconvexbn.solvers import cvxpy as cvxpy_backend
from skconvexbn.solvers import torch as backend
from skconvexbn.solvers.interface import Options
from skconvexbn.solvers.measure import Model
from skconvexbn.whitening import Whitening

LOSSES = {
    "squared_error": SquaredError(),
    "log_loss": BinaryLogLoss(),
    "classes": MultinomialLogLoss(),
}


def make_problem(loss="squared_error", n=40, d=4, C=1, beta=0.3, fit_intercept=True, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    w = rng.uniform(0.5, 2.0, n)
    T = X[:, :1] * X[:, 1:2] + 0.3 * rng.standard_normal((n, C))
    if loss == "log_loss":
        T = (T > 0) * 1.0
    elif loss == "classes":
        T = np.eye(3)[np.digitize(T[:, 0], [-0.3, 0.3])]
    Q = Whitening.fit(X, w).basis().transform(X)
    return Problem(Q, T, w, LOSSES[loss], beta, fit_intercept)


def directions(problem, P, seed=0):
    return np.random.default_rng(seed).standard_normal((problem.Q.shape[1], P))


def primal(problem, solution):
    return problem.primal(solution.H, solution.G, solution.b, solution.gates)


def gap(problem, solution):
    return primal(problem, solution) - problem.dual(solution.V, solution.dual_norm)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_cones_equal_the_literal_program(loss, fit_intercept):
    problem = make_problem(loss, n=25, fit_intercept=fit_intercept)
    arrangements = sample(problem.Q, directions(problem, 15))
    solution = backend.solve(problem, arrangements, Options(1e-8, 100))
    p, masks = problem, arrangements.masks()
    expected = cone_program(p.Q, p.Y, p.w, masks, p.beta, loss, fit_intercept)
    assert_allclose(primal(problem, solution), expected, rtol=1e-6)
    assert gap(problem, solution) <= 1e-7 * problem.zero_loss
    assert solution.certificate == "sampled"


@pytest.mark.parametrize("beta", [0.03, 1.0])
@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_cones_equal_cvxpy_on_the_same_arrangements(loss, beta):
    problem = make_problem(loss, n=80, d=6, beta=beta)
    arrangements = sample(problem.Q, directions(problem, 50))
    options = Options(1e-7, 100)
    ours = backend.solve(problem, arrangements, options)
    theirs = cvxpy_backend.solve(problem, arrangements, options)
    assert abs(primal(problem, ours) - primal(problem, theirs)) <= 1e-6 * problem.zero_loss
    exact = in_arrangements(problem.Q, ours.V, arrangements, 0.0).dual_norm
    assert exact <= ours.dual_norm * (1 + 1e-9)  # the bound of the multipliers holds
    assert problem.dual(ours.V, exact) >= primal(problem, ours) - 2e-7 * problem.zero_loss


def test_neurons_stay_in_the_sampled_arrangements():
    problem = make_problem(n=60)
    arrangements = sample(problem.Q, directions(problem, 10))
    solution = backend.solve(problem, arrangements, Options(1e-8, 100))
    allowed = {row.tobytes() for row in arrangements.masks()}
    Z = problem.Q @ solution.H
    for z in Z.T[np.linalg.norm(solution.G, axis=1) > 1e-6]:
        sure = np.abs(z) > 1e-9
        assert any(np.array_equal(np.frombuffer(m, bool)[sure], z[sure] > 0) for m in allowed)


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_all_arrangements_give_the_exact_optimum(loss, complete):
    """By column generation, or of squared error, not told that they are all, by interior points."""
    problem = make_problem(loss, n=12, d=2, beta=0.1)
    everything = enumerate_all(problem.Q)
    some = replace(everything, complete=complete)
    solution = backend.solve(problem, some, Options(1e-8, 100))
    theirs = cvxpy_backend.solve(problem, everything, Options(1e-8, 100))
    assert solution.certificate == ("exact" if complete else "sampled")
    assert theirs.certificate == "exact"
    assert_allclose(primal(problem, solution), primal(problem, theirs), rtol=1e-7)


@pytest.mark.parametrize(("loss", "C"), [("squared_error", 2), ("classes", 3)])
def test_several_outputs_equal_cvxpy(loss, C):
    problem = make_problem(loss, n=40, C=C)
    arrangements = sample(problem.Q, directions(problem, 15))
    options = Options(1e-7, 100)
    ours = backend.solve(problem, arrangements, options)
    theirs = cvxpy_backend.solve(problem, arrangements, options)
    # The oracle in a cone climbs where there are several outputs: two routes, two local maxima.
    assert abs(primal(problem, ours) - primal(problem, theirs)) <= 2e-6 * problem.zero_loss
    assert gap(problem, ours) <= 1e-6 * problem.zero_loss


@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_column_generation_agrees_with_the_interior_point_method(loss):
    problem = make_problem(loss)
    arrangements = sample(problem.Q, directions(problem, 20))
    model = Model(problem, torch.device("cpu"))
    by_columns = column_generation.solve_columns(model, arrangements, Options(1e-7, 100))
    by_steps = backend.solve(problem, arrangements, Options(1e-7, 100))
    assert abs(primal(problem, by_columns) - primal(problem, by_steps)) <= 1e-6 * problem.zero_loss


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(
    ("loss", "C"), [("squared_error", 1), ("squared_error", 6), ("log_loss", 1), ("classes", 3)]
)
def test_gated_equals_the_group_lasso_of_cvxpy(loss, C, fit_intercept):
    problem = make_problem(loss, n=30, C=C, fit_intercept=fit_intercept)
    arrangements = sample(problem.Q, directions(problem, 12))
    solution = backend.solve(problem, arrangements, Options(1e-8, 1000, gated=True))
    Q, C = problem.Q, problem.n_outputs
    b = cp.Variable((1, C)) if fit_intercept else np.zeros((1, C))
    blocks = [cp.Variable((Q.shape[1], C)) for _ in range(len(arrangements))]
    F = np.ones((len(Q), 1)) @ b
    for mask, S in zip(arrangements.masks(), blocks, strict=True):
        F = F + (mask[:, None] * Q) @ S
    name = "squared_error" if loss == "squared_error" else "log_loss"
    objective = loss_expression(F, problem.Y, problem.w, name)
    objective += problem.beta * sum(cp.normNuc(S) for S in blocks)
    expected = cp.Problem(cp.Minimize(objective)).solve(solver=cp.CLARABEL)
    assert_allclose(primal(problem, solution), expected, rtol=1e-6)
    assert gap(problem, solution) <= 1e-7 * problem.zero_loss


@pytest.mark.parametrize("seed", range(4))
def test_gated_rounds_are_few_whatever_the_scales(seed):
    """Residuals that are compared as they are, not by their units, took up to 100 and more."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((80, 4))
    Y = X[:, :1] + rng.standard_normal((80, 2))
    for beta in (0.01, 0.1, 1.0):
        model = ConvexBNRegressor(
            activation="gated_relu", beta=beta, n_arrangements=50, tol=1e-4, random_state=0
        ).fit(X, 1e3 * Y if seed % 2 else Y)
        assert model.converged_
        assert model.n_iter_ <= 30


def test_relaxing_the_cones_lowers_the_objective():
    problem = make_problem()
    arrangements = sample(problem.Q, directions(problem, 20))
    relaxed = backend.solve(problem, arrangements, Options(1e-7, 1000, gated=True))
    constrained = backend.solve(problem, arrangements, Options(1e-7, 100))
    assert primal(problem, relaxed) < 0.99 * primal(problem, constrained)


def test_shrink_is_the_proximal_map_of_the_nuclear_norm():
    rng = np.random.default_rng(0)
    for shape in ((4, 5, 2), (4, 2, 5)):
        S = torch.as_tensor(rng.standard_normal(shape))
        U, s, Vh = torch.linalg.svd(S, full_matrices=False)
        expected = U @ ((s - 0.7).clamp_min(0)[:, :, None] * Vh)
        torch.testing.assert_close(gated._shrink(S, 0.7), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_proximal_map_of_the_loss(loss):
    problem = make_problem(loss)
    p, rng = problem.loss, np.random.default_rng(1)
    for rho in (1e-3, 1.0, 100.0):
        A = 5 * rng.standard_normal(problem.Y.shape)
        F = p.proximal(A, problem.Y, rho, np.zeros_like(A))
        slope = p.gradient(F, problem.Y, np.ones(len(A))) + rho * (F - A)
        assert np.abs(slope).max() <= 1e-8 * (1 + rho)


@pytest.mark.parametrize("activation", ["relu", "gated_relu"])
@pytest.mark.parametrize("limit", [{"max_iter": 3}, {"max_time": 0.0}])
def test_stopped_early_the_network_is_better_than_none(activation, limit):
    X, y = load_diabetes(return_X_y=True)
    model = ConvexBNRegressor(
        activation=activation, arrangements="sampled", random_state=0, tol=1e-9, **limit
    )
    with pytest.warns(ConvergenceWarning):
        model.fit(X[:150], y[:150])
    assert model.score(X[:150], y[:150]) > 0.3
    assert model.dual_gap_ > 0


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_gated_predictions_from_the_fitted_attributes(n_outputs):
    X, y = load_diabetes(return_X_y=True)
    X, Y = X[:100], np.column_stack([y, np.sqrt(y)])[:100, :n_outputs]
    model = ConvexBNRegressor(activation="gated_relu", random_state=0).fit(X, Y)
    assert (model.backend_, model.certificate_) == ("torch", "sampled")
    V, c = model.gates_
    hidden = (X @ model.coefs_[0] + model.intercepts_[0]) * (X @ V + c >= 0)
    output = hidden @ model.coefs_[1] + model.intercepts_[1]
    assert_allclose(output, model.predict(X).reshape(Y.shape), rtol=1e-8)
    penalty = np.hypot(model.gamma_, model.alpha_) @ np.linalg.norm(model.coefs_[1], axis=1)
    value = 0.5 * np.sum((output - Y) ** 2) + model.beta_ * penalty
    assert_allclose(value, model.objective_, rtol=1e-8)
    assert model.set_params(activation="relu", max_iter=3, tol=0.5).fit(X, Y).gates_ is None


def test_average_of_gated_candidates():
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:80], (y[:80] - y[:80].mean()) / y[:80].std()
    params = {"betas": [3.0, 1.0, 0.3], "shrinkages": [0.0], "cv": 3, "random_state": 0}
    model = ConvexBNRegressorCV(activation="gated_relu", average=True, **params).fit(X, y)
    assert np.count_nonzero(model.shares_) > 1
    plain = ConvexBNRegressor(
        activation="gated_relu", bias_scale=1.0, tol=model.tol, random_state=0
    )
    outputs = [
        share * plain.set_params(beta=p["beta"]).fit(X, y).predict(X)
        for p, share in zip(model.cv_results_["params"], model.shares_, strict=True)
        if share
    ]
    assert_allclose(model.predict(X), np.sum(outputs, axis=0), atol=0.02)


def test_weights_are_repetition_also_for_gates():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 3)), rng.integers(0, 3, 30)
    w = rng.integers(1, 4, 30)
    model = ConvexBNClassifier(activation="gated_relu", random_state=0, tol=1e-8, max_iter=1000)
    weighted = model.fit(X, y, sample_weight=w).predict_proba(X)
    repeated = model.fit(np.repeat(X, w, axis=0), np.repeat(y, w)).predict_proba(X)
    assert_allclose(weighted, repeated, atol=1e-6)


@pytest.mark.parametrize("params", [{"backend": "cvxpy"}, {"arrangements": "adaptive"}])
def test_gates_are_refused_where_they_do_not_apply(params):
    X, y = load_diabetes(return_X_y=True)
    with pytest.raises(ValueError, match="activation='gated_relu' takes backend 'auto' or 'torch'"):
        ConvexBNRegressor(activation="gated_relu", **params).fit(X, y)


def test_gates_are_refused_for_too_many_rows(monkeypatch):
    monkeypatch.setattr(backend, "MAX_SYSTEM", 20)
    problem = make_problem()
    arrangements = sample(problem.Q, directions(problem, 5))
    with pytest.raises(ValueError, match="takes up to 20 distinct rows, got 40; use"):
        backend.solve(problem, arrangements, Options(1e-3, 10, gated=True))


def test_warm_start_adds_the_arrangements_in_use():
    X, y = load_diabetes(return_X_y=True)
    params = {"beta": 20.0, "arrangements": "sampled", "n_arrangements": 20, "tol": 1e-6}
    model = ConvexBNRegressor(warm_start=True, random_state=0, **params)
    first = model.fit(X[:100], y[:100]).objective_
    second = model.set_params(random_state=1).fit(X[:100], y[:100]).objective_
    assert second < first


def test_a_warm_start_leaves_gates_as_they_are_drawn():
    X, y = load_diabetes(return_X_y=True)
    params = {"activation": "gated_relu", "n_arrangements": 5, "tol": 1e-6}
    model = ConvexBNRegressor(warm_start=True, random_state=0, **params).fit(X[:60], y[:60])
    warm = model.set_params(random_state=1).fit(X[:60], y[:60])
    cold = ConvexBNRegressor(random_state=1, **params).fit(X[:60], y[:60])
    assert warm.objective_ == cold.objective_


def test_log_loss_of_small_beta_over_sampled_arrangements():
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((24, 1)), rng.standard_normal(24) > 0
    model = ConvexBNClassifier(beta=0.003, arrangements="sampled", tol=1e-3, random_state=0)
    assert model.set_params(backend="torch").fit(X, y).converged_
    other = ConvexBNClassifier(**model.get_params()).set_params(backend="cvxpy").fit(X, y)
    assert_allclose(model.objective_, other.objective_, atol=2e-3 * model.zero_loss_)


@pytest.mark.parametrize(("n", "d"), [(200, 1), (30, 1), (200, 2)])
def test_gated_fits_of_few_columns_converge_at_small_beta(n, d):
    """Where splitting takes thousands of rounds; the optimum is no higher than that with cones."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    y = 2 * np.abs(X[:, 0]) + 0.3 * rng.standard_normal(n)
    params = {"beta": 1e-4, "tol": 1e-5, "random_state": 0}
    model = ConvexBNRegressor(activation="gated_relu", **params).fit(X, y)
    cones = ConvexBNRegressor(arrangements="sampled", **params).fit(X, y)
    assert model.converged_
    assert model.objective_ <= cones.objective_ + 1e-5 * model.zero_loss_


def test_gated_methods_agree():
    problem = make_problem("squared_error")
    arrangements = sample(problem.Q, directions(problem, 20))
    model, options = Model(problem, torch.device("cpu")), Options(1e-8, 2000, gated=True)
    found = []
    for n_first in (0, 2000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gated, "N_FIRST", n_first)
            solution = gated.solve_gated(model, arrangements, options)
        F = problem.output(solution.H, solution.G, solution.b, solution.gates)
        found.append((problem.primal(solution.H, solution.G, solution.b, solution.gates), F))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-7)
    assert_allclose(found[0][1], found[1][1], atol=1e-3)


@pytest.mark.parametrize("beta", [1e-16, 1e-30, 1e-100])
def test_sampled_arrangements_at_next_to_no_beta(beta):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    y = 2 * np.abs(X[:, 0]) + 0.3 * rng.standard_normal(60)
    model = ConvexBNRegressor(arrangements="sampled", beta=beta, random_state=0).fit(X, y)
    assert model.converged_
    assert model.score(X, y) > 1 - 1e-9


def test_a_beta_above_all_leaves_no_messages_of_libraries(capfd):
    X, y = load_diabetes(return_X_y=True)
    model = ConvexBNRegressor(arrangements="sampled", beta=1e20, random_state=0)
    assert model.fit(X[:60, :3], y[:60]).n_neurons_ == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("beta", [1e-11, 1e-13])
def test_splitting_goes_on_where_the_interior_point_method_ends(beta):
    """Its floor on beta leaves no bound where rows are not interpolated."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 2))
    y = 2 * np.abs(X[:, 0]) + 0.3 * rng.standard_normal(200)
    model = ConvexBNRegressor(
        activation="gated_relu", n_arrangements=5, beta=beta, random_state=0
    ).fit(X, y)
    assert model.converged_
    assert model.n_iter_ > gated.N_FIRST


@pytest.mark.parametrize("beta", [1e-4, 1e-3])
@pytest.mark.parametrize("Estimator", [ConvexBNRegressor, ConvexBNClassifier])
def test_gates_and_a_small_beta_converge(Estimator, beta):
    """Of more than one output, or log loss, where the splitting is all there is."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((75, 1))
    y = np.sin(2 * X[:, 0]) + 0.3 * rng.standard_normal(75)
    Y = np.column_stack([y, rng.standard_normal(75)]) if Estimator is ConvexBNRegressor else y > 0
    model = Estimator(activation="gated_relu", n_arrangements=20, beta=beta, random_state=0)
    assert model.fit(X, Y).converged_


@pytest.mark.parametrize("steps", [1, 4, 8])
def test_gated_neurons_are_of_unit_norm_wherever_a_fit_ends(steps, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 1))
    y = 2 * np.abs(X[:, 0]) + 0.3 * rng.standard_normal(200)
    step, taken = interior_point._InteriorPoint._step, []

    def interrupted(method, mu):
        taken.append(mu)
        if len(taken) > steps:
            raise KeyboardInterrupt
        return step(method, mu)

    monkeypatch.setattr(interior_point._InteriorPoint, "_step", interrupted)
    model = ConvexBNRegressor(activation="gated_relu", beta=1e-4, tol=1e-7, random_state=0)
    with pytest.warns(ConvergenceWarning, match="Interrupted"):
        model.fit(X, y)
    assert_allclose(np.hypot(model.gamma_, model.alpha_), 1.0, rtol=1e-9)
    loss = 0.5 * np.square(model.predict(X) - y).sum()
    penalty = model.beta_ * np.linalg.norm(model._network.G, axis=1).sum()
    assert model.objective_ == pytest.approx(loss + penalty, rel=1e-9)


def test_many_gates_end_with_as_few_neurons_as_one_system_holds():
    """Newton's method on thousands of output weights would take minutes, whatever max_time."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 5))
    y = X[:, 0] * X[:, 1] + 0.5 * rng.standard_normal(300)
    model = ConvexBNRegressor(
        activation="gated_relu", n_arrangements=2000, beta=1e-3, tol=1e-6, random_state=0
    ).fit(X, y)
    assert model.converged_
    assert model.history_[-1, 0] < 30


def test_columns_that_gain_nothing_do_not_end_the_search_for_others(monkeypatch):
    """Cuts within the accuracy of the masses are violated for good: random starts find more."""
    monkeypatch.setattr(pricing, "SLACK", 1e-9)
    problem = make_problem("classes", n=40, C=3)
    arrangements = sample(problem.Q, directions(problem, 15))
    options = Options(1e-7, 100)
    solution = backend.solve(problem, arrangements, options)
    assert gap(problem, solution) <= 1e-7 * problem.zero_loss


@pytest.mark.parametrize("solver", [backend, cvxpy_backend])
def test_rounds_that_close_no_gap_are_not_many(solver, monkeypatch):
    """Active neurons violate the constraint for good."""
    monkeypatch.setattr(pricing, "SLACK", -1e-3)
    monkeypatch.setattr(pricing, "PATIENCE", 3)
    problem = make_problem("classes", n=30, C=3)
    arrangements = sample(problem.Q, directions(problem, 5))
    solution = solver.solve(problem, arrangements, Options(1e-15, 1000))
    assert solution.ended_by == "solver"
    assert solution.n_iter < 100
    assert gap(problem, solution) <= 1e-4 * problem.zero_loss

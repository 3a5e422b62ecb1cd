"""Closed form: the formulas of theory.md 5, and the general program."""

import numpy as np
import pytest
from reference import network_objective
from scipy.optimize import minimize_scalar
from sklearn.exceptions import ConvergenceWarning

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor
from skconvexbn.arrangements import enumerate_all
from skconvexbn.oracle.cones import in_arrangements
from skconvexbn.solvers import closed_form
from skconvexbn.solvers.closed_form import _component_maximum, _copositive_maximum

RNG = np.random.default_rng(5)


def scalar_value(y, w, beta):
    """Optimal value without intercept: Huber functions of the norms of y+ and y-."""
    norms = [np.sqrt(w @ np.maximum(sign * y, 0) ** 2) for sign in (1, -1)]
    return sum(r**2 / 2 if r <= beta else beta * r - beta**2 / 2 for r in norms)


def scalar_output(y, w, beta):
    f = np.zeros_like(y)
    for sign in (1, -1):
        part = np.maximum(sign * y, 0)
        norm = np.sqrt(w @ part**2)
        if norm > beta:
            f += sign * (1 - beta / norm) * part
    return f


def data(n=9, d=20, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), rng.standard_normal(n) + 0.5, rng.uniform(0.5, 3, n)


@pytest.mark.parametrize(("n", "d"), [(9, 8), (9, 20), (12, 300), (2, 1)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("beta", [0.0, 0.1, 1.0])
def test_scalar_without_intercept_is_the_formula(n, d, weighted, beta):
    X, y, w = data(n, d)
    w = w if weighted else np.ones(n)
    model = ConvexBNRegressor(beta=beta, fit_intercept=False).fit(X, y, sample_weight=w)
    assert model.backend_ == "closed_form"
    assert model.certificate_ == "exact"
    assert model.n_iter_ == 1
    np.testing.assert_allclose(model.predict(X), scalar_output(y, w, beta), atol=1e-10)
    np.testing.assert_allclose(model.objective_, scalar_value(y, w, beta), atol=1e-10)
    assert model.dual_gap_ <= 1e-10 * max(1, model.objective_)


@pytest.mark.parametrize("beta", [0.1, 0.7, 2.0])
def test_scalar_with_intercept_minimises_over_the_shift(beta):
    X, y, w = data()
    model = ConvexBNRegressor(beta=beta).fit(X, y, sample_weight=w)
    best = minimize_scalar(
        lambda b: scalar_value(y - b, w, beta), bounds=(y.min(), y.max()), method="bounded",
        options={"xatol": 1e-12},
    )  # fmt: skip
    np.testing.assert_allclose(model.objective_, best.fun, atol=1e-10)
    assert model.dual_gap_ <= 1e-10


@pytest.mark.parametrize("y", [[0, 0, 0, 0, 1, 10], [-9, -1, 0, 0, 0, 0], [-3, -1, 0, 2, 2, 5]])
@pytest.mark.parametrize("weighted", [False, True])
def test_beta_zero_is_the_limit_of_small_beta(y, weighted):
    X, _, w = data(6, 8, seed=3)
    y, w = np.array(y, dtype=float), w if weighted else np.ones(6)
    limit, zero = (ConvexBNRegressor(beta=beta).fit(X, y, sample_weight=w) for beta in (1e-9, 0.0))
    np.testing.assert_allclose(zero.predict(X), y, atol=1e-12)
    new = 2 * RNG.standard_normal((50, 8))
    np.testing.assert_allclose(zero.predict(new), limit.predict(new), atol=1e-6)
    assert zero.n_neurons_ == limit.n_neurons_
    penalties = [
        sum(np.sqrt(w @ np.maximum(s * (y - b), 0) ** 2) for s in (1, -1))
        for b in np.linspace(y.min(), y.max(), 1001)
    ]
    assert np.abs(zero.coefs_[1]).sum() <= min(penalties) + 1e-9


def test_scalar_neurons_are_those_of_the_formula():
    X, y, _ = data()
    model = ConvexBNRegressor(beta=0.1, fit_intercept=False).fit(X, y)
    plus, minus = np.maximum(y, 0), np.maximum(-y, 0)
    assert model.n_neurons_ == 2
    sizes = [np.linalg.norm(plus) - 0.1, -(np.linalg.norm(minus) - 0.1)]
    np.testing.assert_allclose(np.sort(model.coefs_[1][:, 0]), np.sort(sizes))
    np.testing.assert_allclose(
        np.sort(model.alpha_), np.sort([p.sum() / np.linalg.norm(p) / 3 for p in (plus, minus)])
    )


@pytest.mark.parametrize("n_classes", [3, 5, 10])
@pytest.mark.parametrize("weighted", [False, True])
def test_one_hot_labels_give_the_papers_w_gamma_alpha(n_classes, weighted):
    n, d, beta = 4 * n_classes, 60, 0.3
    X = np.random.default_rng(1).standard_normal((n, d))
    labels = np.arange(n) % n_classes
    w = np.random.default_rng(2).uniform(0.5, 2, n) if weighted else np.ones(n)
    model = ConvexBNClassifier(loss="squared_error", beta=beta, fit_intercept=False)
    model.fit(X, labels, sample_weight=w)
    assert model.backend_ == "closed_form"
    assert model.n_neurons_ == n_classes
    Xc = np.sqrt(w)[:, None] * (X - w @ X / w.sum())
    for j in range(n_classes):
        y = (labels == j) * 1.0
        norm = np.sqrt(w @ y)
        (neuron,) = np.flatnonzero(model.coefs_[1][:, j] > 0)
        np.testing.assert_allclose(
            model.coefs_[1][neuron], (norm - beta) * np.eye(n_classes)[j], atol=1e-10
        )
        centred = np.sqrt(w) * (y - w @ y / w.sum())
        np.testing.assert_allclose(model.gamma_[neuron], np.linalg.norm(centred) / norm, atol=1e-10)
        np.testing.assert_allclose(
            model.alpha_[neuron], w @ y / (np.sqrt(w.sum()) * norm), atol=1e-10
        )
        direction = np.linalg.pinv(Xc) @ centred  # X_c^+ y_j: the paper's w_j, of unit ||X_c w||
        ours = model.hidden_directions_[:, neuron]
        np.testing.assert_allclose(Xc @ ours, Xc @ direction / np.linalg.norm(centred), atol=1e-9)
    np.testing.assert_allclose(
        model.objective_,
        sum(beta * np.sqrt(w @ (labels == j)) - beta**2 / 2 for j in range(n_classes)),
        atol=1e-10,
    )


def test_regressor_takes_one_hot_targets_too():
    X = RNG.standard_normal((9, 20))
    Y = np.eye(3)[np.arange(9) % 3]
    ours = ConvexBNRegressor(beta=0.3, fit_intercept=False).fit(X, Y)
    assert ours.backend_ == "closed_form"
    np.testing.assert_allclose(ours.predict(X), (1 - 0.3 / np.sqrt(3)) * Y, atol=1e-10)


def test_neural_collapse():
    """Outputs of the hidden layer: no variability within classes, class means orthogonal."""
    n, C = 24, 4
    X, labels = RNG.standard_normal((n, 50)), np.arange(n) % C
    model = ConvexBNClassifier(loss="squared_error", beta=0.2, fit_intercept=False).fit(X, labels)
    hidden = np.maximum(X @ model.coefs_[0] + model.intercepts_[0], 0)
    means = np.stack([hidden[labels == c].mean(axis=0) for c in range(C)])
    assert np.abs(hidden - means[labels]).max() <= 1e-10
    gram = means @ means.T
    np.testing.assert_allclose(gram, np.diag(gram.diagonal()), atol=1e-10)
    np.testing.assert_allclose(gram.diagonal(), gram[0, 0])
    # Output weights align with the class means.
    np.testing.assert_allclose(
        means @ model.coefs_[1],
        gram[0, 0] ** 0.5 * np.eye(C) * np.linalg.norm(model.coefs_[1][0]),
        atol=1e-10,
    )


def exact_by_cvxpy(model, X, y, w):
    params = {**model.get_params(), "backend": "cvxpy", "tol": 1e-8, "arrangements": "exact"}
    return type(model)(**params).fit(X, y, sample_weight=w)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_labels_equal_the_general_program(n_classes, loss, fit_intercept):
    rng = np.random.default_rng(n_classes)
    n = 8
    X = rng.standard_normal((n, n - 1))
    y, w = np.arange(n) % n_classes, rng.uniform(0.5, 2, n)
    model = ConvexBNClassifier(beta=0.3, loss=loss, fit_intercept=fit_intercept)
    model.fit(X, y, sample_weight=w)
    assert model.backend_ == "closed_form"
    general = exact_by_cvxpy(model, X, y, w)
    np.testing.assert_allclose(model.objective_, general.objective_, rtol=1e-6)
    np.testing.assert_allclose(model.decision_function(X), general.decision_function(X), atol=1e-3)
    assert abs(model.dual_gap_) <= 1e-8 * model.objective_


@pytest.mark.parametrize("n_classes", [2, 5, 10, 16])
@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_unbalanced_labels_are_certified(n_classes, loss):
    rng = np.random.default_rng(n_classes)
    y = np.concatenate(
        [np.arange(n_classes), rng.choice(n_classes, 30, p=rng.dirichlet(np.ones(n_classes)))]
    )
    X = rng.standard_normal((len(y), 100))
    w = rng.uniform(0.1, 5, len(y))
    for beta in (0.01, 0.5, 2.0):
        model = ConvexBNClassifier(beta=beta, loss=loss).fit(X, y, sample_weight=w)
        # Beyond 12 connected classes the certificate is a bound.
        assert model.dual_gap_ <= (1e-6 if n_classes <= 12 else 1e-4) * model.objective_
        assert model.converged_
        Y = (y[:, None] == np.arange(n_classes)) * 1.0
        if n_classes == 2:
            Y = Y[:, 1:] if loss == "log_loss" else 2 * Y[:, 1:] - 1
        np.testing.assert_allclose(
            model.objective_, network_objective(model, X, Y, w, loss), rtol=1e-8
        )


def test_two_classes_may_share_a_neuron():
    """Two rare classes far outweighed: one direction p of both is cheaper than one each."""
    w = np.array([200.0, 1.0, 1.0, 30.0])
    X, y = RNG.standard_normal((4, 10)), np.arange(4)
    model = ConvexBNClassifier(beta=0.9).fit(X, y, sample_weight=w)
    assert model.dual_gap_ <= 1e-7 * model.objective_
    general = exact_by_cvxpy(model, X, y, w)
    np.testing.assert_allclose(model.objective_, general.objective_, rtol=1e-6)


def test_scalar_equals_the_general_program():
    X, y, w = data(n=8, d=12)
    for fit_intercept in (True, False):
        model = ConvexBNRegressor(beta=0.4, fit_intercept=fit_intercept).fit(X, y, sample_weight=w)
        general = exact_by_cvxpy(model, X, y, w)
        np.testing.assert_allclose(model.objective_, general.objective_, rtol=1e-6)
        np.testing.assert_allclose(model.predict(X), general.predict(X), atol=1e-4)


def test_duplicated_columns_change_nothing():
    X, y, w = data()
    wide = np.column_stack([X, X[:, :5], X])
    one, two = (ConvexBNRegressor(beta=0.2).fit(Z, y, sample_weight=w) for Z in (X, wide))
    assert two.backend_ == "closed_form"
    np.testing.assert_allclose(one.predict(X), two.predict(wide), atol=1e-10)


def test_repeated_rows_are_still_the_closed_form():
    X, y, _ = data()
    repeated = np.concatenate([X, X[:4]]), np.concatenate([y, y[:4] + 1])
    model = ConvexBNRegressor(beta=0.2).fit(*repeated)
    assert model.backend_ == "closed_form"
    np.testing.assert_allclose(
        model.objective_,
        network_objective(model, repeated[0], repeated[1][:, None], np.ones(13), "squared_error"),
    )


@pytest.mark.parametrize(
    ("params", "shape", "message"),
    [
        ({}, (30, 4), r"rank\(\[X - mean, 1\]\) equal to .* distinct rows .* rank 5 and 30 rows"),
        ({"rank": 2}, (5, 9), "rank 3, after truncation and 5 rows"),
        ({"shrinkage": 0.5}, (5, 9), "needs shrinkage=0 and bias_scale=1, got shrinkage=0.5"),
        ({"bias_scale": 3.0}, (5, 9), "got shrinkage=0.0 and bias_scale=3.0"),
    ],
)  # fmt: skip
def test_violated_conditions_are_named(params, shape, message):
    X = RNG.standard_normal(shape)
    with pytest.raises(ValueError, match=message) as caught:
        ConvexBNRegressor(backend="closed_form", beta=1.0, **params).fit(X, X[:, 0])
    assert "use backend='auto', 'cvxpy' or 'torch'" in str(caught.value)


def test_several_real_outputs_are_refused():
    X = RNG.standard_normal((5, 9))
    with pytest.raises(ValueError, match="5 distinct target rows for 2 outputs"):
        ConvexBNRegressor(backend="closed_form", beta=1.0).fit(X, X[:, :2])


@pytest.mark.parametrize("K", [2, 4, 6])
def test_copositive_maximum_against_arrangements(K):
    """max ||U^T p|| over p >= 0 is the oracle of Q = I."""
    for _ in range(20):
        U = RNG.standard_normal((K, 3)) + RNG.uniform(-1, 1)
        p, value = _copositive_maximum(U, np.eye(len(U)))
        np.testing.assert_allclose(np.linalg.norm(p @ U, axis=1), value, rtol=1e-5)
        oracle = in_arrangements(np.eye(K), U, enumerate_all(np.eye(K)), 0.0).dual_norm
        assert value >= oracle * (1 - 1e-9)
        assert value <= oracle * (1 + 1e-6)


# The leading eigenvector is (1, -1, 0) / sqrt(2), whose entries sum to 0 exactly.
BOTH_SIGNS = np.array([[1.0, -0.5, 0.3], [-0.5, 1.0, 0.3], [0.3, 0.3, 1.0]])


def test_eigenvectors_of_both_signs_are_no_maximisers():
    maximum, p = _component_maximum(BOTH_SIGNS, 0.0)
    assert maximum == pytest.approx(1.3)
    assert p @ BOTH_SIGNS @ p == pytest.approx(maximum)
    assert np.linalg.norm(p) == pytest.approx(1.0)


def test_the_zero_model_is_optimal_above_the_copositive_maximum():
    X = np.random.default_rng(0).standard_normal((3, 2))
    model = ConvexBNRegressor(beta=1.16, fit_intercept=False, tol=1e-6)
    model.fit(X, np.linalg.cholesky(BOTH_SIGNS))
    assert (model.backend_, model.n_neurons_, model.converged_) == ("closed_form", 0, True)
    assert model.dual_gap_ <= 1e-12


def test_copositive_bound_beyond_enumeration():
    U = RNG.standard_normal((20, 5))
    p, value = _copositive_maximum(U, np.eye(len(U)))
    assert np.linalg.norm(p @ U, axis=1).max() <= value <= np.linalg.norm(U, 2) * (1 + 1e-12)


def test_a_bound_that_is_not_tight_ends_the_rounds():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(20), np.append(30, 1 + rng.integers(0, 3, 19)))
    X = rng.standard_normal((len(y), len(y) + 20))
    model = ConvexBNClassifier(random_state=0)
    task = model._task(model._training(*model._validate(X, y, None)), 0)
    beta = task.units.beta * task.beta_max(200, 60, 0.01) / 2
    model.set_params(beta=beta).fit(X, y)
    assert model.backend_ == "closed_form"
    assert model.n_iter_ < 5
    assert 1e-6 * model.zero_loss_ < model.dual_gap_ <= model.tol * model.zero_loss_


def test_rounds_that_gain_nothing_end():
    """With many classes the bound on the dual norm is loose: neurons would join to no end."""
    rng = np.random.RandomState(0)
    X, y = rng.randn(70, 73), np.r_[np.arange(35), rng.randint(0, 35, 35)]
    model = ConvexBNClassifier(beta=0.19, loss="squared_error").fit(X, y)
    assert (model.backend_, model.converged_) == ("closed_form", True)
    assert model.n_iter_ <= 4
    with pytest.warns(ConvergenceWarning, match="the solver gets no further"):
        model.set_params(tol=1e-9).fit(X, y)
    assert model.n_iter_ <= 15


def test_stopping_early_keeps_the_gap_honest():
    w = np.array([200.0, 1.0, 1.0, 30.0])
    X, y = RNG.standard_normal((4, 10)), np.arange(4)
    done = ConvexBNClassifier(beta=0.9).fit(X, y, sample_weight=w)
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        early = ConvexBNClassifier(beta=0.9, max_iter=1).fit(X, y, sample_weight=w)
    assert early.objective_ > done.objective_
    assert early.dual_objective_ <= done.objective_


def test_interrupt_returns_the_best_so_far_with_a_warning(monkeypatch):
    w = np.array([200.0, 1.0, 1.0, 30.0])
    X, y = RNG.standard_normal((4, 10)), np.arange(4)
    done = ConvexBNClassifier(beta=0.9).fit(X, y, sample_weight=w)

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(closed_form, "_descend", interrupted)
    with pytest.warns(ConvergenceWarning, match="Interrupted: the duality gap is"):
        early = ConvexBNClassifier(beta=0.9).fit(X, y, sample_weight=w)
    assert early.n_neurons_ > 0
    assert early.zero_loss_ > early.objective_ > done.objective_
    assert 0.5 * done.objective_ < early.dual_objective_ <= done.objective_
    assert not early.converged_

"""The share of noise that beta="auto" goes by, against known noise and plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import kernel_residual
from sklearn.datasets import load_digits
from small_problems import small

from skconvexbn import (
    ConvexBNClassifier,
    ConvexBNRegressor,
    auto_beta,
    convex_bn_path,
)
from skconvexbn.auto_beta import LEAST, inflation, noise_share, total_variation
from skconvexbn.data import DistinctRows
from skconvexbn.losses import BinaryLogLoss, MultinomialLogLoss, SquaredError
from skconvexbn.problem import Problem
from skconvexbn.units import unit_problem
from skconvexbn.whitening import Whitening


def posed(X, Y, w=None, loss=None, fit_intercept=True, **basis):
    """The problem of merged rows, as estimators pose it."""
    Y = np.asarray(Y, float).reshape(len(X), -1)
    rows = DistinctRows.of(np.asarray(X, float), Y, np.ones(len(X)) if w is None else w)
    whitened = Whitening.fit(rows.X, rows.w).basis(**basis)
    return unit_problem(rows, whitened, loss or SquaredError(), fit_intercept)[0]


def share(*args, **kwargs):
    return noise_share(posed(*args, **kwargs))


@pytest.mark.parametrize("sigma", [0.2, 0.5, 2.0])
@pytest.mark.parametrize("kind", ["linear in ten columns", "waves along two"])
def test_known_noise(kind, sigma):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1500, 10 if kind.startswith("linear") else 2))
    signal = X @ np.ones(X.shape[1]) if kind.startswith("linear") else np.sin(2 * X).sum(axis=1)
    y = signal / signal.std() + sigma * rng.standard_normal(1500)
    truth = sigma**2 / (1 + sigma**2)
    assert share(X, y) == pytest.approx(truth, rel=0.15, abs=0.02)


def brute_force(problem):
    Q, Y, w = problem.Q, problem.Y, problem.w
    rows, q = Q.shape
    n = w.sum() ** 2 / np.sum(w**2)
    total = sum(w[i] * np.sum((Y[i] - np.average(Y, axis=0, weights=w)) ** 2) for i in range(rows))
    normal = Q.T @ (w[:, None] * Q)
    linear = Y - Q @ np.linalg.solve(normal, Q.T @ (w[:, None] * Y))
    linear = n / (n - q) * np.sum(w[:, None] * linear**2)
    near = 0.0
    for i in range(rows):
        order = sorted((np.linalg.norm(Q[i] - Q[j]), j) for j in range(rows) if j != i)
        nearest = [j for _, j in order[:3]]
        near += w[i] * np.sum((Y[i] - np.average(Y[nearest], axis=0, weights=w[nearest])) ** 2)
    return linear / total, 0.75 * near / total


@given(
    seed=st.integers(0, 2**16),
    outputs=st.integers(1, 3),
    curved=st.booleans(),
    basis=st.sampled_from(
        [{}, {"rank": 1}, {"shrinkage": 0.5}, {"shrinkage": 1.0, "bias_scale": 1e3}]
    ),
)
def test_plain_loops_find_the_same(seed, outputs, curved, basis):
    rng = np.random.default_rng(seed)
    X, w = rng.standard_normal((40, 2)) * [1, 5], rng.uniform(0.5, 2.0, 40)
    Y = X @ rng.standard_normal((2, outputs)) + 0.1 * rng.standard_normal((40, outputs))
    problem = posed(X, np.cos(2 * Y) if curved else Y, w, **basis)
    expected = np.clip(min(brute_force(problem)), LEAST, 1.0)
    assert noise_share(problem) == pytest.approx(expected, rel=1e-6)


@given(seed=st.integers(0, 2**16), loss=st.sampled_from(["squared", "binary", "multinomial"]))
def test_weights_are_repetition_and_order_and_units_do_not_matter(seed, loss):
    rng = np.random.default_rng(seed)
    X, w = rng.standard_normal((30, 2)).repeat(2, axis=0), rng.integers(1, 4, 60)
    y = rng.integers(0, 3, 60)
    Y = {"squared": y + X[:, 0], "binary": y > 0, "multinomial": np.eye(3)[y]}[loss]
    kind = {"binary": BinaryLogLoss(), "multinomial": MultinomialLogLoss()}.get(loss)
    weighted = share(X, Y, w.astype(float), kind)
    order = rng.permutation(w.sum())
    repeated = share(X.repeat(w, axis=0)[order], Y.repeat(w, axis=0)[order], None, kind)
    assert repeated == pytest.approx(weighted, rel=1e-9)
    A = rng.standard_normal((2, 2)) + 3 * np.eye(2)
    assert share(X @ A + 5, Y, w.astype(float), kind) == pytest.approx(weighted, rel=1e-6)
    if loss == "squared":
        assert share(X, 1e6 * Y + 3, w.astype(float)) == pytest.approx(weighted, rel=1e-6)


def test_what_equal_rows_differ_by_is_noise():
    X = np.repeat(np.arange(8.0), 100)[:, None]
    labels = np.tile([1.0, 0.0, 0.0, 0.0], 200)
    assert share(X, labels, loss=BinaryLogLoss()) == pytest.approx(1.0)
    y = 0.3 * X[:, 0] + labels
    assert share(X, y) == pytest.approx(labels.var() / y.var(), rel=1e-9)


def test_some_rows_of_many_tell_nearly_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3000, 3))
    y = np.sin(3 * X[:, 0]) * X[:, 1] + 0.4 * rng.standard_normal(3000)
    monkeypatch.setattr(auto_beta, "MAX_ROWS", 3000)
    all_rows = share(X, y)
    monkeypatch.setattr(auto_beta, "MAX_ROWS", 700)
    some = share(X, y)
    assert some != all_rows
    assert some == pytest.approx(all_rows, rel=0.2)
    turned = share(X @ np.linalg.qr(rng.standard_normal((3, 3)))[0], y)
    assert turned == pytest.approx(some, rel=1e-6)


@pytest.mark.parametrize("q_above", [0, 1, 2, 20])
def test_pure_noise_of_few_rows_is_noise(q_above):
    """Few degrees of freedom leave next to no residual of least squares."""
    shares = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        X, y = rng.standard_normal((21 + q_above, 20)), rng.standard_normal(21 + q_above)
        shares.append(share(X, y))
        X, y = rng.standard_normal((400, 5)), rng.standard_normal(400)
        light = np.where(np.arange(400) < 7 + q_above // 10, 1.0, 1e-9)
        shares.append(share(X, y, light))
    assert np.quantile(shares, 0.1) > 0.3


@pytest.mark.parametrize("bias_scale", [1e-300, 1e-8, 1e8, 1e15])
def test_the_bias_column_does_not_matter(bias_scale):
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, 300)
    X = np.cos(np.outer(t, np.arange(1, 21)))
    y = np.sin(9 * t) + 0.1 * rng.standard_normal(300)
    assert share(X, y, bias_scale=bias_scale) == pytest.approx(share(X, y), rel=1e-6)
    X, waves = np.sin(np.outer(3 * t, np.arange(1, 21)) + np.arange(20)), np.sin(45 * t)
    assert share(X, waves) < 0.5  # by neighbours; nothing is left of least squares
    assert share(X, waves, bias_scale=bias_scale) == pytest.approx(share(X, waves), rel=1e-6)


@pytest.mark.parametrize("loss", [SquaredError(), BinaryLogLoss()])
def test_the_mean_of_the_targets_is_no_signal(loss):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3))
    y = X[:, 0] + rng.standard_normal(200)
    y = (y > 1).astype(float) if isinstance(loss, BinaryLogLoss) else y + 10
    without = share(X, y, loss=loss, fit_intercept=False)
    assert without == pytest.approx(share(X, y, loss=loss), rel=1e-9)


def test_targets_that_vary_by_rounding_do_not_vary():
    X = np.random.default_rng(0).standard_normal((50, 3))
    rounding, more = (posed(X, 1 + size * X, fit_intercept=False) for size in (1e-14, 1e-10))
    assert total_variation(rounding) == 0
    assert total_variation(more) > 0


def test_limits():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 3))
    assert share(X, X @ [1.0, 2.0, 3.0]) == LEAST
    assert share(X, np.ones(50)) == 1.0
    assert share(np.zeros((5, 1)), rng.standard_normal(5)) == 1.0
    assert share(X, rng.standard_normal(50)) > 0.5
    for _ in range(10):
        wide = rng.standard_normal((20, 40))  # all neighbours are as far away
        assert share(wide, wide[:, 0]) == 1.0


def test_least_squares_counts_where_half_the_degrees_of_freedom_are_left():
    X = np.random.default_rng(0).standard_normal((8, 3))
    assert share(X, X.sum(axis=1)) == LEAST
    assert share(X[:7], X[:7].sum(axis=1)) > LEAST


def test_a_row_is_not_its_own_neighbour_among_equal_ones():
    rng = np.random.default_rng(0)
    Q = posed(rng.standard_normal((10, 2)), np.zeros(10)).Q.repeat(4, axis=0)
    Y = (np.arange(40) // 4 % 2 + 0.1 * rng.standard_normal(40))[:, None]
    problem = Problem(Q, Y - Y.mean(), np.ones(40), SquaredError(), 0.0, True)
    assert noise_share(problem) == pytest.approx(min(brute_force(problem)), rel=1e-9)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
@pytest.mark.parametrize("kind", ["regression", "multiclass"])
def test_auto_beta_is_free_of_scale(kind, factor):
    X, y = small(kind)
    estimator = ConvexBNRegressor if kind == "regression" else ConvexBNClassifier
    model = estimator(random_state=0).fit(X, y)
    rescaled = estimator(random_state=0).fit(X * factor, y)
    np.testing.assert_allclose(rescaled.beta_, model.beta_, rtol=1e-6)
    if kind == "regression":
        larger = estimator(random_state=0).fit(X, y * factor)
        np.testing.assert_allclose(larger.beta_, factor * model.beta_, rtol=1e-6)
        np.testing.assert_allclose(
            larger.predict(X), factor * model.predict(X), rtol=1e-4, atol=1e-4 * factor
        )


@pytest.mark.parametrize("capped", [False, True])
def test_auto_beta_follows_the_rule(capped):
    """With beta_max and the share of noise by other ways than the estimators'."""
    from skconvexbn.arrangements import enumerate_all
    from skconvexbn.oracle.cones import in_arrangements
    from skconvexbn.whitening import Whitening

    X = np.random.default_rng(0).standard_normal((60, 2))
    y = np.sin(30 * X[:, 0]) if capped else X[:, 0] + 0.3 * np.sin(30 * X[:, 1])
    Q, squared = Whitening.fit(X, np.ones(60)).basis().transform(X), (60 / 57) ** 2
    for labels in (False, True):
        Y = (y > y.mean()).astype(float) if labels else y
        centred = (Y - Y.mean())[:, None]
        beta_max = in_arrangements(Q, centred, enumerate_all(Q), 0.0).dual_norm
        distances = np.linalg.norm(Q[:, None] - Q, axis=2) + 1e9 * np.eye(60)
        near = 0.75 * np.mean((Y - Y[np.argsort(distances)[:, :3]].mean(axis=1)) ** 2)
        linear = np.sum((Y - Q @ (Q.T @ Y)) ** 2) / 57
        noise = min(near, linear, Y.var())
        unsure = kernel_residual(Q, Y[:, None], np.ones(60)) / 60 / Y.var()
        assert (noise > 0.95 * Y.var()) == (unsure > 0.95) == capped
        if labels:
            rule = 0.16 * (noise / Y.var()) ** 1.5 * 3 * squared / 60**0.25
            most = (0.4 if capped else 0.2) * beta_max
            model = ConvexBNClassifier(random_state=0).fit(X, y > y.mean())
        else:
            rule = 0.5 * (noise / Y.var()) ** 1.5 * Y.std() * 3 * squared / 60**0.25
            most = (0.4 if capped else 0.1) * beta_max
            model = ConvexBNRegressor(random_state=0).fit(X, y)
        assert (rule > most) == capped
        np.testing.assert_allclose(model.beta_, min(rule, most), rtol=1e-3)


def test_auto_beta_with_weights_outputs_and_no_intercept():
    """It is in the units of the targets, and depends on the weights by their sum alone.

    That counts up to 200 q in n^-1/4, and fully in t.
    """
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 2))
    y = 10 + X[:, 0] + 0.3 * rng.standard_normal(100)
    beta = ConvexBNRegressor(random_state=0).fit(X, y).beta_
    eight = ConvexBNRegressor(random_state=0).fit(X, y, np.full(100, 8.0)).beta_
    less = ((1 - 3 / 100) / (1 - 3 / 800)) ** 2 / 6**0.25
    np.testing.assert_allclose(eight, beta * less, rtol=1e-9)
    z = np.abs(X[:, 1]) + 0.1 * rng.standard_normal(100)
    pair, rotation = np.column_stack([y, z]), np.array([[0.6, -0.8], [0.8, 0.6]])
    two = ConvexBNRegressor(random_state=0).fit(X, pair).beta_
    assert abs(np.log(two / beta)) > 0.1
    mapped = ConvexBNRegressor(random_state=0).fit(X, pair @ rotation + 3, np.full(100, 8.0)).beta_
    np.testing.assert_allclose(mapped, two * less, rtol=1e-6)
    one = ConvexBNRegressor(random_state=0).fit(X, np.column_stack([y, -y]) / 2**0.5).beta_
    np.testing.assert_allclose(one, beta, rtol=1e-6)
    without = ConvexBNRegressor(random_state=0, fit_intercept=False).fit(X, y).beta_
    np.testing.assert_allclose(without, beta, rtol=1e-9)


@pytest.mark.parametrize(("loss", "counted"), [("log_loss", 3), ("squared_error", 6)])
def test_auto_beta_counts_so_many_rows_of_classes(loss, counted):
    """Up to 100 and 200 for each of three columns of Q, in n^-1/4."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 2))
    y = X[:, 0] + 0.1 * rng.standard_normal(100) > 0
    model = ConvexBNClassifier(loss=loss, random_state=0, tol=0.5)
    beta, eight = (model.fit(X, y, np.full(100, w)).beta_ for w in (1.0, 8.0))
    less = ((1 - 3 / 100) / (1 - 3 / 800)) ** 2 / counted**0.25
    np.testing.assert_allclose(eight, beta * less, rtol=1e-9)


@pytest.mark.parametrize("y", [[1.0], [0.1, 0.7]])
def test_auto_beta_of_constant_targets_without_intercept(y):
    X = np.random.default_rng(0).standard_normal((300, 2))
    Y = np.tile(y, (300, 1))
    model = ConvexBNRegressor(random_state=0, fit_intercept=False).fit(X, Y)
    path = convex_bn_path(X, Y, betas=1, fit_intercept=False, random_state=0)
    np.testing.assert_allclose(model.beta_, 0.1 * path.beta[0], rtol=1e-2)
    assert model.n_neurons_ > 0


@pytest.mark.parametrize(("d", "noise"), [(2, 0.0), (10, 0.3)])
def test_auto_beta_of_one_hot_vectors(d, noise):
    """That of any outputs, but 0.7 var sqrt(q) / beta_max at least."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, d))
    codes = np.digitize(X[:, 0] + noise * rng.standard_normal(600), [-0.5, 0.5])
    Y = np.eye(3)[codes]
    model = ConvexBNClassifier(loss="squared_error", random_state=0, tol=0.5).fit(X, codes)
    plain = ConvexBNRegressor(random_state=0, tol=0.5).fit(X, Y).beta_
    path = convex_bn_path(X, Y, betas=1, random_state=0)
    least = 0.7 * Y.var(axis=0).sum() * (d + 1) ** 0.5 / path.beta[0]
    assert (least > plain) == (noise == 0)
    assert plain < 0.09 * path.beta[0]
    np.testing.assert_allclose(model.beta_, max(least, plain), rtol=0.01)


def test_beta_rule_leaves_neurons_where_rows_are_few():
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(-2, 2, 30))[:, None]
    y = np.sin(2.5 * x[:, 0]) + 0.15 * rng.standard_normal(30)
    assert ConvexBNRegressor(random_state=0).fit(x, y).score(x, y) > 0.8


def test_beta_rule_leaves_neurons_where_one_class_is_rare():
    X, y = load_digits(return_X_y=True)
    X, y = X[:300], y[:300] == 8
    model = ConvexBNClassifier(random_state=0).fit(X[::2], y[::2])
    assert np.mean(model.predict(X[1::2][y[1::2]])) > 0.5  # found, not only those of the others


def test_targets_without_noise_have_the_least_share():
    X = np.random.default_rng(0).standard_normal((60, 3))
    assert share(X, X.sum(axis=1)) == LEAST


def lengths_of_rows_left_out(X, **basis):
    """Squares, relative to the mean of the rows that Q is made from."""
    found = []
    for i in range(len(X)):
        others = np.delete(X, i, axis=0)
        fitted = Whitening.fit(others, np.ones(len(others)), scale=False).basis(**basis)
        squares = np.square(fitted.transform(others)).sum(axis=1)
        found.append(np.square(fitted.transform(X[i : i + 1])).sum() / squares.mean())
    return np.array(found)


def estimated(X, w=None, **basis):
    rows = DistinctRows.of(X, np.ones((len(X), 1)), np.ones(len(X)) if w is None else w)
    fitted = Whitening.fit(rows.X, rows.w, scale=False).basis(**basis)
    return inflation(unit_problem(rows, fitted, SquaredError(), True)[0], fitted)


@pytest.mark.parametrize("d", [30, 31, 40, 90])
def test_rows_left_out_where_any_is_a_combination_of_the_others(d):
    X = np.random.default_rng(d).standard_normal((31, d)) * np.geomspace(1, 3, d)
    expected = np.median(lengths_of_rows_left_out(X))
    assert estimated(X) == pytest.approx(max(expected, 1.0), rel=1e-6)
    assert (expected > 10) == (d == 30)


@pytest.mark.parametrize("d", [2, 5, 10, 14])
def test_rows_left_out_of_a_balanced_design(d):
    """Their leverages are equal."""
    signs = np.array([[(i >> j) & 1 for j in range(4)] for i in range(16)]) * 2.0 - 1
    chosen = [[j for j in range(4) if s >> j & 1] for s in range(1, 16)]
    X = np.stack([signs[:, c].prod(axis=1) for c in chosen], axis=1)[:, :d]
    expected = lengths_of_rows_left_out(X)
    np.testing.assert_allclose(expected, expected[0])
    assert estimated(X) == pytest.approx(16 / 15 * expected[0], rel=1e-9)


@pytest.mark.parametrize("shrinkage", [0.3, 0.7, 1.0])
@pytest.mark.parametrize("d", [3, 20, 36, 200])
def test_rows_left_out_with_shrinkage(d, shrinkage):
    X = np.random.default_rng(0).standard_normal((40, d))
    expected = lengths_of_rows_left_out(X, shrinkage=shrinkage).mean()
    assert estimated(X, shrinkage=shrinkage) == pytest.approx(max(expected, 1.0), rel=0.2)


def test_weights_of_rows_left_out_are_repetition():
    X, w = np.random.default_rng(0).standard_normal((12, 6)), np.arange(1, 13)
    assert estimated(X.repeat(w, axis=0)) == pytest.approx(estimated(X, w.astype(float)), rel=1e-9)
    light = np.where(np.arange(12) < 9, 1.0, 1e-12)
    assert estimated(X, light) == pytest.approx(estimated(X[:9]), rel=1e-6)
    assert estimated(X, np.full(12, 1e-3)) == pytest.approx(estimated(X), rel=1e-9)
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.01]])  # each is far from the others' line
    assert estimated(corners) > 4
    assert estimated(corners.repeat(30, axis=0)) == pytest.approx(1 / (1 - 3 / 90), rel=1e-9)


def test_rows_left_out_beside_one_that_outweighs_all():
    X = np.random.default_rng(0).standard_normal((3, 6))
    assert 1 <= estimated(X, np.array([1.0, 1.0, 1e25])) < np.inf


@pytest.mark.parametrize("d", [150, 180, 195])
def test_auto_beta_does_not_blow_up_where_columns_are_nearly_as_many_as_rows(d):
    rng = np.random.default_rng(d)
    X = rng.standard_normal((700, d))
    y = X[:, 0] + 0.5 * rng.standard_normal(700)
    model = ConvexBNRegressor(random_state=0).fit(X[:200], y[:200])
    path = convex_bn_path(X[:200], y[:200], betas=1, random_state=0)
    share = 1 - (1 - (d + 1) / 200) ** 0.5
    assert model.beta_ == pytest.approx(share * path.beta[0], rel=0.1)
    assert model.score(X[200:], y[200:]) > -0.1
    tenth = ConvexBNRegressor(beta=0.1 * path.beta[0], random_state=0).fit(X[:200], y[:200])
    assert tenth.score(X[200:], y[200:]) < model.score(X[200:], y[200:]) - 0.05

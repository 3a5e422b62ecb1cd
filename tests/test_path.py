"""Paths along beta against single fits, gaps and the zero model."""

import re

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor, convex_bn_path, task
from skconvexbn.model_selection.path import descending, grid_points
from skconvexbn.solvers.descent import descend
from skconvexbn.whitening import Whitening


@pytest.fixture(scope="module", name="diabetes")
def _diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X[:150, :4], y[:150]


def interrupt_after(monkeypatch, n_descents):
    calls = []

    def interrupted(*args):
        calls.append(1)
        if len(calls) > n_descents:
            raise KeyboardInterrupt
        return descend(*args)

    monkeypatch.setattr("skconvexbn.solvers.adaptive.descend", interrupted)


def test_an_interrupted_path_ends_there(monkeypatch):
    interrupt_after(monkeypatch, 8)
    X, y = load_diabetes(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match=r"Interrupted: the path ends at beta=") as caught:
        path = convex_bn_path(X, y, betas=50, eps=0.01, ranks=(None, 2), random_state=0)
    assert f"ends at beta={path.beta[-1]:g}." in str(caught[0].message)
    assert 1 <= len(path.beta) < 50
    assert path.converged[:-1].all()
    assert not path.converged[-1]
    assert np.all(path.rank == path.rank[0])


def test_path_of_squared_error(diabetes):
    X, y = diabetes
    path = convex_bn_path(X, y, betas=6, eps=0.05, tol=1e-3, random_state=0, return_networks=True)
    assert path.zero_loss == pytest.approx(0.5 * np.sum((y - y.mean()) ** 2))
    assert path.n_neurons[0] == 0
    assert path.loss[0] == pytest.approx(path.zero_loss)
    assert np.all(path.n_neurons[1:] > 0)  # the path starts at beta_max, no higher
    np.testing.assert_allclose(path.beta, path.beta[0] * np.geomspace(1, 0.05, 6))
    assert np.all(path.dual_gap <= 1e-3 * path.zero_loss)
    assert path.converged.all()
    difference = path.objective - path.dual_objective
    np.testing.assert_allclose(path.dual_gap, difference, atol=1e-12 * path.zero_loss)
    assert np.all(np.diff(path.objective) <= 0)
    for i in (2, 5):
        single = ConvexBNRegressor(beta=path.beta[i], tol=1e-3, random_state=0).fit(X, y)
        assert abs(single.objective_ - path.objective[i]) <= 1e-3 * path.zero_loss
        network = path.network[i]
        assert network.get_params() == {**single.get_params(), "beta": path.beta[i]}
        loss = 0.5 * np.sum((network.predict(X) - y) ** 2)
        assert path.loss[i] == pytest.approx(loss, rel=1e-9)


def test_betas_are_exactly_those_given(diabetes):
    X, y = diabetes
    betas = 1e6 / np.arange(1.0, 50.0)
    path = convex_bn_path(X, y, betas=betas, ranks=(1,), max_iter=1)
    np.testing.assert_array_equal(path.beta, betas)


def test_given_betas_are_never_left_out(diabetes):
    X, y = diabetes
    betas = [3e2, 1e2, 1e-3, 1e-4, 1e-5, 0.0]
    params = {"betas": betas, "ranks": (1,), "arrangements": "sampled", "n_arrangements": 5}
    assert convex_bn_path(X, y, random_state=0, **params).beta.tolist() == betas
    fewer = convex_bn_path(X, y, early_stopping=True, random_state=0, **params)
    assert 2 < len(fewer.beta) < 5


@pytest.mark.parametrize("seed", range(5))
def test_a_path_begins_without_neurons(seed):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 3))
    y = np.abs(X[:, 0]) + 0.5 * X[:, 1] + 0.1 * rng.standard_normal(120)
    assert convex_bn_path(X, y, betas=2, eps=0.5, random_state=seed).n_neurons[0] == 0


@pytest.mark.parametrize("far", [1e4, 1e6, 1e8])
def test_a_path_begins_at_beta_max_beside_a_far_row_of_next_to_no_weight(far):
    """The steps of the search behind beta_max were as short as those in the row's direction."""
    rng = np.random.default_rng(0)
    X, w = rng.standard_normal((121, 3)), np.ones(121)
    y = np.abs(X[:, 0]) + 0.5 * X[:, 1] + 0.1 * rng.standard_normal(121)
    X[-1], w[-1] = far, far**-2
    top = convex_bn_path(X, y, betas=1, sample_weight=w, random_state=0).beta[0]
    model = ConvexBNRegressor(beta=1.0001 * top, random_state=0)
    assert model.fit(X, y, sample_weight=w).n_neurons_ == 0


def test_paths_of_two_features_without_signal():
    """No row pulls where the dual point is zero: there are no circles to sweep."""
    X = np.random.default_rng(0).standard_normal((100, 2))
    assert convex_bn_path(X, np.zeros(100), betas=[0.1], random_state=0).n_neurons[0] == 0
    X, y = np.repeat(X, 2, axis=0), np.arange(200) % 2
    for loss in ("squared_error", "log_loss"):
        path = convex_bn_path(X, y, betas=3, loss=loss, random_state=0)
        assert not path.n_neurons.any()


@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_a_gated_path_begins_without_neurons(loss):
    """The maximum over gates is larger than over neurons, which lie in cones."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    y = np.abs(X[:, 0]) + 0.5 * X[:, 1] + 0.1 * rng.standard_normal(60)
    if loss == "log_loss":
        y = np.digitize(y, [0.5, 1.0])
    options = {"activation": "gated_relu", "random_state": 0, "tol": 1e-5}
    path = convex_bn_path(X, y, betas=2, eps=0.9, loss=loss, **options)
    assert path.n_neurons[0] == 0 < path.n_neurons[1]


@pytest.mark.parametrize("backend", ["auto", "torch"])
@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_beta_max_with_more_columns_than_rows(loss, backend):
    """The closed form's: where every output is reached, the norm of the targets' positive part."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 90))
    y = X[:, 0] + np.abs(X[:, 1])
    y = y if loss == "squared_error" else y > np.median(y)
    expected = max(np.linalg.norm((sign * (y - y.mean())).clip(0)) for sign in (1, -1))
    path = convex_bn_path(X, y, betas=1, loss=loss, backend=backend, random_state=0)
    assert path.beta[0] == pytest.approx(expected, rel=2e-6)
    assert path.n_neurons[0] == 0


@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_networks_at_every_rank_are_fitted_estimators(loss, diabetes):
    X, y = diabetes
    y = y if loss == "squared_error" else np.where(y > 140, "high", "low")
    grid = {"betas": [50.0], "ranks": (1, 2), "shrinkages": (0.0, 0.5), "random_state": 0}
    path = convex_bn_path(X, y, loss=loss, return_networks=True, **grid)
    for network, rank, shrinkage in zip(path.network, path.rank, path.shrinkage, strict=True):
        assert (network.rank, network.shrinkage, network.n_features_in_) == (rank, shrinkage, 4)
        assert network.predict(X).dtype.kind == y.dtype.kind


def test_an_invalid_rank_is_refused_before_any_fit(diabetes, monkeypatch):
    monkeypatch.setattr(task.Task, "path", lambda *_: pytest.fail("a fit began"))
    with pytest.raises(ValueError, match="rank"):
        convex_bn_path(*diabetes, ranks=(2, -1))


def test_neurons_appear_just_below_beta_max(diabetes):
    X, y = diabetes
    top = convex_bn_path(X, y, betas=1, random_state=0).beta[0]
    below = ConvexBNRegressor(beta=0.999 * top, tol=1e-7, random_state=0).fit(X, y)
    assert below.n_neurons_ > 0
    assert ConvexBNRegressor(beta=1.0001 * top, random_state=0).fit(X, y).n_neurons_ == 0


def test_path_of_log_loss_with_weights():
    X, y = load_iris(return_X_y=True)
    w = np.random.default_rng(0).integers(0, 3, len(y))
    path = convex_bn_path(X, y, betas=[0.3, 3.0], sample_weight=w, loss="log_loss", random_state=0)
    assert path.beta.tolist() == [3.0, 0.3]
    single = ConvexBNClassifier(beta=0.3, random_state=0).fit(X.repeat(w, axis=0), y.repeat(w))
    assert abs(single.objective_ - path.objective[1]) <= 1e-3 * path.zero_loss
    share = np.bincount(y, w) / w.sum()
    assert path.zero_loss == pytest.approx(-w.sum() * share @ np.log(share))
    assert "network" not in path


def test_ranks_and_shrinkages_share_one_whitening(diabetes, monkeypatch):
    X, y = diabetes
    calls = []
    fit = Whitening.fit
    monkeypatch.setattr(Whitening, "fit", lambda *a, **k: calls.append(1) or fit(*a, **k))
    path = convex_bn_path(
        X, y, betas=[400.0, 200.0], ranks=(1, 2), shrinkages=(0.0, 1.0), bias_scale=2.0
    )
    assert len(calls) == 1
    assert path.rank.tolist() == [1] * 4 + [2] * 4
    assert path.shrinkage.tolist() == [0.0, 0.0, 1.0, 1.0] * 2
    assert path.beta.tolist() == [400.0, 200.0] * 4
    single = ConvexBNRegressor(beta=200.0, rank=2, shrinkage=1.0, bias_scale=2.0).fit(X, y)
    assert abs(single.objective_ - path.objective[-1]) <= 1e-3 * path.zero_loss


def test_points_given_twice_are_fitted_once(diabetes):
    path = convex_bn_path(*diabetes, betas=[400.0], ranks=(1, 2, 1), shrinkages=(0.0, 0.0))
    assert path.rank.tolist() == [1, 2]


def test_path_in_closed_form_stops_once_it_interpolates():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((10, 12)), rng.standard_normal(10)
    path = convex_bn_path(X, y, eps=1e-9, tol=1e-3, random_state=0)
    assert np.all(path.certificate == "exact")
    assert len(path.beta) < 100
    assert path.loss[-1] <= 1e-3 * path.zero_loss < path.loss[-2]
    whole = convex_bn_path(X, y, eps=1e-9, early_stopping=False, random_state=0)
    assert len(whole.beta) == 100
    np.testing.assert_array_equal(whole.objective[: len(path.beta)], path.objective)


def test_points_above_tol_are_counted_in_a_warning(diabetes):
    X, y = diabetes
    with pytest.warns(ConvergenceWarning, match=r"above tol=1e-09 at 1 of 2 points; increase"):
        convex_bn_path(X, y, betas=[1e6, 100.0], tol=1e-9, max_iter=1)


def test_a_warning_tells_of_all_that_ended_points(diabetes, monkeypatch):
    interrupt_after(monkeypatch, 2)
    message = (
        r"^Interrupted: the path ends at beta=20\. "
        r"The duality gap is above tol=1e-09 at 2 of 3 points; increase max_iter"
    )
    with pytest.warns(ConvergenceWarning, match=message):
        convex_bn_path(*diabetes, betas=[40.0, 30.0, 20.0, 10.0], tol=1e-9, max_iter=1)


def test_points_where_the_solver_gets_no_further_are_not_said_to_need_rounds():
    rng = np.random.default_rng(9)
    n = int(rng.integers(12, 40))
    X, y = rng.standard_normal((n, 1)), rng.integers(0, 2, n)
    y[:2] = 0, 1
    with pytest.warns(ConvergenceWarning) as caught:
        convex_bn_path(X, y, betas=[1e6, 1.4e-4], tol=1e-9, loss="log_loss", backend="cvxpy")
    message = "^The solver gets no further than a duality gap above tol=1e-09 at 1 of 2 points; "
    assert [bool(re.match(message, str(w.message))) for w in caught] == [True]


def test_points_of_searches_cut_short_are_above_tol_or_not(diabetes):
    X, y = diabetes
    with pytest.warns(ConvergenceWarning) as caught:
        path = convex_bn_path(X, y, betas=[1e3, 500.0], tol=0.5, max_time=0)
    assert np.all(path.dual_gap < 0.5 * path.zero_loss)
    message = (
        "^max_time=0 ended the search that would vouch for the duality gap at 2 of 2 points: it is "
        "above tol=0.5 at 0 of them, and unconfirmed at the others; increase max_time.$"
    )
    assert [bool(re.match(message, str(w.message))) for w in caught] == [True]
    assert caught[0].filename == __file__
    with pytest.warns(ConvergenceWarning, match=r"is above tol=0\.01 at [12] of them"):
        path = convex_bn_path(X, y, betas=[100.0, 50.0], max_time=0)
    assert path.dual_gap.max() > 0.01 * path.zero_loss


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"betas": 0}, "'betas' parameter"),
        ({"betas": []}, "betas must be a non-empty sequence of finite numbers >= 0"),
        ({"betas": [1.0, -1.0]}, "finite numbers >= 0, got"),
        ({"betas": [[1.0]]}, "finite numbers >= 0, got"),
        ({"eps": 1.0}, "'eps' parameter"),
        ({"ranks": (0,)}, "'rank' parameter"),
        ({"shrinkages": (2.0,)}, "'shrinkage' parameter"),
        ({"ranks": ()}, "ranks and shrinkages must not be empty"),
        ({"loss": "hinge"}, "'loss' parameter"),
        ({"tol": -1.0}, "'tol' parameter"),
        ({"early_stopping": "never"}, "'early_stopping' parameter"),
        ({"return_networks": "all"}, "'return_networks' parameter"),
    ],
)
def test_bad_arguments(diabetes, params, message):
    with pytest.raises(ValueError, match=message):
        convex_bn_path(*diabetes, **params)


@pytest.mark.parametrize("betas", [["1", "2"], [True], [np.inf, 1.0], [np.nan]])
def test_betas_are_finite_numbers(betas):
    with pytest.raises(ValueError, match="betas must be a non-empty sequence of finite numbers"):
        descending(betas)


def test_what_is_no_rank_is_refused_as_such(diabetes):
    assert grid_points([1, 1, 1.0], [0.0]) == [(1, 0.0), (1.0, 0.0)]
    for ranks in ([1, 1.0], [[1]]):
        with pytest.raises(ValueError, match="'rank' parameter of convex_bn_path must be"):
            convex_bn_path(*diabetes, betas=1, ranks=ranks)


def test_unknown_parameters_are_refused(diabetes):
    with pytest.raises(TypeError, match="convex_bn_path has no parameter 'alpha'; besides its own"):
        convex_bn_path(*diabetes, alpha=1.0)


@pytest.mark.parametrize("name", ["beta", "rank", "shrinkage"])
def test_parameters_that_are_lists_of_a_path_are_refused(name):
    with pytest.raises(
        TypeError, match=rf"takes {name}s, a list of values, got {name}=1; use {name}s=\[1\]"
    ):
        convex_bn_path(np.eye(3), np.arange(3.0), **{name: 1})


@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_path_of_constant_features_ends_once_nothing_changes(loss):
    X, y = np.ones((10, 2)), np.arange(10) % 3
    path = convex_bn_path(X, y, loss=loss, random_state=0)
    assert len(path.beta) == 2
    without = convex_bn_path(X, y, loss=loss, fit_intercept=False, random_state=0, betas=20)
    assert without.n_neurons[-1] > 0
    assert len(convex_bn_path(X, y, early_stopping=False, betas=5).beta) == 5


def test_constant_features_without_intercept_may_have_neurons_later():
    path = convex_bn_path(
        np.ones((10, 1)), np.ones(10), betas=[9, 8, 0.1], early_stopping=True, fit_intercept=False
    )
    assert path.n_neurons.tolist() == [0, 0, 1]


def test_path_of_constant_targets_ends_at_once():
    X = np.random.default_rng(0).standard_normal((20, 2))
    path = convex_bn_path(X, np.ones(20), random_state=0)
    assert len(path.beta) == 1
    assert path.n_neurons[0] == 0


def test_a_path_of_constant_targets_has_a_positive_beta():
    X = np.random.default_rng(0).standard_normal((10, 2))
    path = convex_bn_path(X, np.ones(10), betas=3)
    assert path.beta[0] > 0


def test_networks_of_a_path_share_no_arrays():
    X, y = load_diabetes(return_X_y=True)
    path = convex_bn_path(X, y, betas=[300.0, 100.0], ranks=(2,), return_networks=True)
    first, second = path.network
    for name in ("mean_", "scale_", "singular_values_"):
        before = getattr(second, name).copy()
        getattr(first, name)[:] = 0.0
        np.testing.assert_array_equal(getattr(second, name), before)


def test_neurons_of_the_fit_before_and_those_beside_reach_the_solver(diabetes, monkeypatch):
    seen = []
    get = task.get_solver

    def spied(name):
        return lambda problem, arrangements, options: (
            seen.append(options) or get(name)(problem, arrangements, options)
        )

    X, y = diabetes
    monkeypatch.setattr(task, "get_solver", spied)
    model = ConvexBNRegressor(backend="torch", random_state=0)
    posed = model._task(model._training(*model._validate(X, y, None)), 0)
    others = np.ones((5, 1)), np.ones((1, 1))
    fits = list(posed.path([30.0, 20.0], certify=False, beside=[others, others]))
    assert all(options.beside is others for options in seen)
    assert seen[0].start is others
    assert seen[1].start is fits[0].start is not None


def test_points_without_neurons_do_not_end_a_path(diabetes):
    top = convex_bn_path(*diabetes, betas=1, random_state=0).beta[0]
    betas = [3 * top, 2 * top, 0.3 * top]
    path = convex_bn_path(*diabetes, betas=betas, early_stopping=True, random_state=0)
    assert len(path.beta) == 3


@pytest.mark.parametrize(("given", "taken"), [({}, [1, 1]), ({"bias_scale": "auto"}, [1, 3])])
def test_a_path_says_which_bias_scale_it_took(given, taken):
    X = np.random.default_rng(0).standard_normal((30, 2))
    path = convex_bn_path(X, X[:, 0], betas=1, shrinkages=(0, 1), random_state=0, **given)
    assert path.bias_scale.tolist() == taken

"""ConvergenceDisplay: the history of a fit, its gap, and its certified bound."""

import pickle

import numpy as np
import pytest
from drawn_fits import FITS, X, Y, legend

from skconvexbn import ConvergenceDisplay, ConvexBNRegressor

plt = pytest.importorskip("matplotlib.pyplot")

BOUND = {"dual_objective": 1.5, "zero_loss": 1.0, "tol": 1e-3, "certificate": "search"}


@pytest.mark.parametrize("name", FITS)
def test_history_ends_in_the_certificate(fits, name):
    model = pickle.loads(pickle.dumps(fits[name]))
    seconds, primal, dual = model.history_.T
    assert np.all(np.diff(seconds) >= 0)
    assert np.all(np.diff(primal) <= 0)
    assert model.history_.shape == (model.n_iter_, 3)
    assert (primal[-1], dual[-1]) == (model.objective_, model.dual_objective_)
    assert model.converged_ == (model.dual_gap_ <= model.tol * model.zero_loss_)


def test_history_of_the_closed_form():
    model = ConvexBNRegressor().fit(X[:3], Y[:3])
    (seconds, *values), *none = model.history_
    assert not none
    assert seconds > 0
    assert values == [model.objective_, model.dual_objective_]
    assert model.zero_loss_ == pytest.approx(1.5 * np.var(Y[:3]))
    ConvergenceDisplay.from_estimator(model, kind="gap")


def test_convergence_draws_the_history(fits):
    model = fits["adaptive"]
    ax = plt.subplots()[1]
    display = ConvergenceDisplay.from_estimator(model, ax=ax, line_kw={"lw": 3})
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert ax.get_lines()[0] is display.lines_[0]
    for line, column in zip(display.lines_, model.history_.T[1:], strict=True):
        np.testing.assert_array_equal(line.get_xydata().T, [model.history_[:, 0], column])
        assert line.get_linewidth() == 3
    assert display.level_.get_ydata()[0] == model.dual_objective_
    assert legend(display) == ["gap", "objective", "lower bound", "certified bound (exact)"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("seconds", "objective")


def test_convergence_shows_the_gap_as_it_was_and_as_it_is(fits):
    model = fits["adaptive"]
    display = ConvergenceDisplay.from_estimator(model, kind="gap")
    _, primal, dual = model.history_.T
    then, now = (line.get_ydata() for line in display.lines_)
    np.testing.assert_allclose(then, np.maximum((primal - dual) / model.zero_loss_, 1e-12))
    np.testing.assert_allclose(now, (primal - model.dual_objective_) / model.zero_loss_)
    assert display.ax_.get_yscale() == "log"
    assert display.level_.get_ydata()[0] == model.tol
    assert display.band_ is None
    optimistic = ConvergenceDisplay(
        history=np.array([[0.1, 2.0, 1.9], [0.2, 2.0, 1.5]]),
        dual_objective=1.5,
        zero_loss=2.0,
        tol=1e-3,
        certificate="search",
    ).plot(kind="gap")
    assert optimistic.lines_[0].get_ydata() == pytest.approx([0.05, 0.25])
    assert optimistic.lines_[1].get_ydata() == pytest.approx([0.25, 0.25])


def test_rounds_last_until_the_next_and_the_level_is_the_certified_bound():
    display = ConvergenceDisplay(
        history=np.array([[1.0, 2.0, 1.9], [3.0, 1.8, 1.8 - 1e-9]]), **BOUND
    )
    display.plot()
    assert display.level_.get_ydata()[0] == 1.5
    corners = display.band_.get_paths()[0].vertices.tolist()
    assert [3.0, 2.0] in corners  # the objective of the first round until the second
    assert [3.0, 1.9] in corners
    display.plot(kind="gap")
    assert {line.get_drawstyle() for line in display.lines_} == {"steps-post"}
    assert display.lines_[0].get_ydata()[1] == pytest.approx(1e-9)


def test_the_legend_tells_the_gap_as_it_was_from_the_certified_one():
    display = ConvergenceDisplay(history=np.array([[1.0, 2.0, 1.9], [3.0, 1.8, 1.7]]), **BOUND)
    assert display.plot().band_ is not None
    assert [line.get_linestyle() for line in display.lines_] == ["-", "--"]
    assert display.plot(kind="gap").band_ is None
    styles = {line.get_label(): line.get_linestyle() for line in display.ax_.get_lines()}
    assert styles == {"gap": "-", "to the certified bound (search)": "--", "tol": ":"}
    assert display.lines_[0].get_label() == "gap"


def test_the_level_of_a_tol_of_zero_is_the_least_there_is():
    model = ConvexBNRegressor(beta=0.1, rank=1, tol=0.0).fit(X, Y)
    display = ConvergenceDisplay.from_estimator(model, kind="gap")
    assert display.level_.get_ydata()[0] == 1e-9

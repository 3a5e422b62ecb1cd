"""The displays draw what the fits have; verbose and the diagram tell it in words."""

import pickle
import re
import sys
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch, estimator_html_repr

from skconvexbn import (
    ConvergenceDisplay,
    ConvexBNClassifier,
    ConvexBNClassifierCV,
    ConvexBNRegressor,
    ConvexBNRegressorCV,
    NeuronsDisplay,
    RegularizationPathDisplay,
    convex_bn_path,
    progress,
)
from skconvexbn.display.regularization_path import _score_label

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((24, 2))
Y = np.sin(2 * X[:, 0]) + X[:, 1]
LABELS = np.array(["low", "middle", "top"])[np.digitize(Y, [-0.5, 0.5])]
FITS = {
    "adaptive": ConvexBNRegressor(beta=0.1, arrangements="adaptive", tol=1e-3),
    "exact": ConvexBNRegressor(beta=0.1, rank=1),
    "cones": ConvexBNRegressor(beta=0.1, arrangements="sampled", n_arrangements=5),
    "columns": ConvexBNRegressor(beta=0.1, arrangements="sampled", n_arrangements=5),
    "gates": ConvexBNRegressor(beta=0.1, activation="gated_relu", n_arrangements=5),
    "classes": ConvexBNClassifier(beta=0.3, tol=1e-2),
    "search": ConvexBNRegressorCV(
        betas=[1.0, 0.3, 0.1], ranks=(None, 1), shrinkages=(0.0, 1.0), cv=2, tol=1e-2
    ),
}
OUTPUTS = {"columns": np.column_stack([Y, X[:, 1] ** 2]), "classes": LABELS}


@pytest.fixture(scope="module")
def fits():
    return {
        name: model.set_params(random_state=0).fit(X, OUTPUTS.get(name, Y))
        for name, model in FITS.items()
    }


@pytest.fixture(scope="module")
def path():
    return convex_bn_path(X, Y, betas=4, eps=0.1, ranks=(1, 2), shrinkages=(0.0, 1.0), tol=1e-2)


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def legend(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


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
        history=np.array([[1.0, 2.0, 1.9], [3.0, 1.8, 1.8 - 1e-9]]),
        dual_objective=1.5,
        zero_loss=1.0,
        tol=1e-3,
        certificate="search",
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
    display = ConvergenceDisplay(
        history=np.array([[1.0, 2.0, 1.9], [3.0, 1.8, 1.7]]),
        dual_objective=1.5,
        zero_loss=1.0,
        tol=1e-3,
        certificate="search",
    )
    assert display.plot().band_ is not None
    assert [line.get_linestyle() for line in display.lines_] == ["-", "--"]
    assert display.plot(kind="gap").band_ is None
    styles = {line.get_label(): line.get_linestyle() for line in display.ax_.get_lines()}
    assert styles == {"gap": "-", "to the certified bound (search)": "--", "tol": ":"}
    assert display.lines_[0].get_label() == "gap"


def test_path_draws_a_line_for_each_rank_and_shrinkage(path):
    display = RegularizationPathDisplay.from_path(path)
    assert legend(display)[:2] == ["rank 1, shrinkage 0", "rank 1, shrinkage 1"]
    assert legend(display)[-2:] == ["lower bound", "gap"]
    assert len(display.lines_) == len(display.bounds_) == len(display.bands_) == 4
    chosen = (path.rank == 2) & (path.shrinkage == 1)
    order = np.argsort(path.beta[chosen])
    for line, name in ((display.lines_[3], "objective"), (display.bounds_[3], "dual_objective")):
        expected = np.stack([path.beta[chosen], path[name][chosen]])[:, order]
        np.testing.assert_array_equal(line.get_xydata().T, expected)
    assert (display.ax_.get_xscale(), display.ax_.get_xlabel()) == ("log", "beta")
    again = display.plot(kind="n_neurons", ax=display.ax_)
    np.testing.assert_array_equal(again.lines_[3].get_ydata(), path.n_neurons[chosen][order])
    assert again.ax_.get_ylabel() == "neurons"
    assert not again.bands_
    with pytest.raises(ValueError, match="kind must be 'objective' or 'n_neurons' here, got 'sc"):
        display.plot(kind="score")


def test_each_of_many_lines_has_its_bound_and_band_in_its_colour():
    n = 9
    values = np.arange(1.0, n + 1)
    display = RegularizationPathDisplay(
        beta=np.ones(n),
        rank=list(range(1, n + 1)),
        shrinkage=np.zeros(n),
        objective=values,
        dual_objective=values - 0.5,
        mean_score=values,
        best_index=2,
    )
    display.plot(line_kw={"color": "0.3"})  # objective, the first there is
    np.testing.assert_array_equal([line.get_ydata()[0] for line in display.bounds_], values - 0.5)
    for line, bound, band in zip(display.lines_, display.bounds_, display.bands_, strict=True):
        colour = matplotlib.colors.to_rgb(line.get_color())
        assert matplotlib.colors.to_rgb(bound.get_color()) == colour
        assert tuple(band.get_facecolor()[0, :3]) == colour
    assert display.plot(kind="score").best_ is not None
    assert not display.bands_
    assert display.plot(kind="objective").best_ is None


@pytest.mark.parametrize(
    ("ranks", "shrinkages", "labels"),
    [
        ([1, None], [0.5, 0.5], ["rank 1", "full rank"]),
        ([2, 2], [0.0, 0.5], ["shrinkage 0", "shrinkage 0.5"]),
    ],
)
def test_lines_are_called_by_what_sets_them_apart(ranks, shrinkages, labels):
    display = RegularizationPathDisplay(
        beta=[1.0, 1.0], rank=ranks, shrinkage=shrinkages, n_neurons=np.array([1, 2])
    ).plot()
    assert [line.get_label() for line in display.lines_] == labels


def one_line(**values):
    return RegularizationPathDisplay(
        beta=[1.0, 0.1], rank=[1, 1], shrinkage=[0.0, 0.0], **values
    ).plot()


def test_numbers_of_neurons_have_whole_ticks_and_one_line_no_legend():
    display = one_line(n_neurons=np.array([1, 2]))
    ticks = display.ax_.get_yticks()
    np.testing.assert_array_equal(ticks, np.round(ticks))
    assert display.ax_.get_legend() is None


def test_the_label_of_a_band_and_of_the_best_of_one_line():
    display = one_line(mean_score=np.zeros(2), std_score=np.ones(2), best_index=1)
    assert legend(display)[-1] == "best: beta 0.1"
    display.plot(fill_between_kw={"label": "spread"})
    assert "spread" in legend(display)


def test_ranks_that_stop_at_the_same_directions_are_one_line():
    X = np.random.default_rng(0).standard_normal((30, 2))
    path = convex_bn_path(X, X[:, 0], betas=[2.0, 1.0], ranks=(2, None), random_state=0)
    assert path.rank.tolist() == [2, 2, 2, 2]
    (line,) = RegularizationPathDisplay.from_path(path).lines_
    np.testing.assert_array_equal(line.get_xdata(), [1.0, 2.0])


@pytest.mark.parametrize(("betas", "scale"), [([1.0, 0.1, 0.0], "symlog"), ([0.0], "linear")])
def test_beta_zero_is_shown(betas, scale):
    n = len(betas)
    display = RegularizationPathDisplay(
        beta=betas, rank=[1] * n, shrinkage=[0.0] * n, objective=np.ones(n)
    ).plot()
    assert display.ax_.get_xscale() == scale
    assert display.lines_[0].get_xdata()[0] == 0
    assert legend(display) == ["objective"]


def test_beside_zero_the_axis_is_logarithmic_down_to_the_smallest_beta():
    display = RegularizationPathDisplay(
        beta=[1.0, 0.1, 0.01, 0.0], rank=[1] * 4, shrinkage=[0] * 4, n_neurons=np.arange(4)
    ).plot()
    assert display.ax_.xaxis.get_transform().linthresh == 0.01


@pytest.mark.parametrize(("least", "label"), [(1e-2, "0.1"), (1e-4, "$\\mathdefault{10^{-1}}$")])
def test_ticks_over_many_decades_are_powers_of_ten(least, label):
    display = RegularizationPathDisplay(
        beta=[1.0, least], rank=[1, 1], shrinkage=[0, 0], n_neurons=np.arange(2)
    ).plot()
    assert display.ax_.xaxis.get_major_formatter()(0.1) == label


@pytest.mark.parametrize("negate", [False, True])
def test_scores_along_beta(fits, negate):
    search = fits["search"]
    display = RegularizationPathDisplay.from_estimator(search, negate_score=negate)
    table, sign = search.cv_results_, -1 if negate else 1
    for k, line in enumerate(display.lines_):
        part = slice(3 * k, 3 * k + 3)
        mean, std = table["mean_test_score"][part][::-1], table["std_test_score"][part][::-1]
        np.testing.assert_array_equal(line.get_ydata(), sign * mean)
        band = display.bands_[k].get_paths()[0].vertices[:, 1]
        assert band.max() == pytest.approx((sign * mean + std).max())
    best = search.best_params_["beta"], sign * search.best_score_
    assert tuple(display.best_.get_offsets()[0]) == best
    assert legend(display)[0] == "full rank, shrinkage 0"
    names = [legend(display)[k] for k in range(len(display.lines_))]
    group = names[search.best_index_ // 3]
    assert legend(display)[-1] == f"best: beta {best[0]:.3g}, {group}"
    name = "mean squared error" if negate else "negative mean squared error"
    assert display.ax_.get_ylabel() == name


def test_displays_go_by_the_parameters_of_the_fit():
    search = ConvexBNClassifierCV(betas=[1.0], shrinkages=(0.0,), cv=2, tol=1e-2, random_state=0)
    search.fit(X[:, :1], LABELS).set_params(scoring="accuracy", loss="squared_error", tol=0.5)
    search = pickle.loads(pickle.dumps(search))
    display = RegularizationPathDisplay.from_estimator(search)
    assert display.ax_.get_ylabel() == "negative log loss"
    assert ConvergenceDisplay.from_estimator(search, kind="gap").level_.get_ydata()[0] == 1e-2


def test_the_level_of_a_tol_of_zero_is_the_least_there_is():
    model = ConvexBNRegressor(beta=0.1, rank=1, tol=0.0).fit(X, Y)
    display = ConvergenceDisplay.from_estimator(model, kind="gap")
    assert display.level_.get_ydata()[0] == 1e-9


@pytest.mark.parametrize(
    ("scoring", "name"),
    [(None, "negative log loss"), ("accuracy", "accuracy"), (lambda *args: 0.5, "<lambda>")],
)
def test_names_of_scores(scoring, name):
    model = ConvexBNClassifierCV(
        betas=[1.0], shrinkages=(0.0,), cv=2, scoring=scoring, tol=1e-2, random_state=0
    )
    display = RegularizationPathDisplay.from_estimator(model.fit(X[:, :1], LABELS))
    assert display.ax_.get_ylabel() == name
    assert legend(display)[0] == "mean test score"


@pytest.mark.parametrize(
    ("name", "negate", "label"),
    [("r2", False, "r2"), ("r2", True, "negative r2"), ("neg_log_loss", True, "log loss")],
)
def test_names_of_negated_scores(name, negate, label):
    assert _score_label(name, negate) == label


def test_a_path_of_something_else_is_refused():
    with pytest.raises(TypeError, match="takes what convex_bn_path returned, got dict"):
        RegularizationPathDisplay.from_path({"beta": [1.0]})
    with pytest.raises(TypeError, match="takes what convex_bn_path returned, got Bunch"):
        RegularizationPathDisplay.from_path(Bunch(data=np.ones(3)))


@pytest.mark.parametrize("name", FITS)
def test_neurons_are_active_where_the_network_says(fits, name):
    model = fits[name]
    rows = X + 0.01 * np.random.default_rng(5).standard_normal(X.shape)  # neurons have kinks in X
    display = NeuronsDisplay.from_estimator(model, rows)
    order = np.argsort(-np.linalg.norm(model.coefs_[1], axis=1), kind="stable")
    Z = rows @ model.coefs_[0] + model.intercepts_[0]
    if model.gates_ is not None:
        Z = rows @ model.gates_[0] + model.gates_[1]
    expected = (Z > 0)[:, order]
    image = np.asarray(display.activations_image_.get_array())
    assert image.shape == (len(X), model.n_neurons_)
    assert sorted(map(tuple, image)) == sorted(map(tuple, expected))
    prediction = model.predict(rows)
    prediction = prediction[:, 0] if prediction.ndim == 2 else prediction
    np.testing.assert_array_equal(display.values, np.sort(prediction))
    weights = (model.coefs_[0] * model.scale_[:, None])[:, order]
    np.testing.assert_array_equal(display.weights_image_.get_array(), weights)
    assert display.ax_[0].get_ylabel() == "samples, by prediction"


def test_the_axis_says_what_samples_are_ordered_by():
    model = ConvexBNRegressor(beta=0.3, rank=1).fit(X, Y)
    for y, name in ((None, "prediction"), (Y, "y")):
        display = NeuronsDisplay.from_estimator(model, X, y, kind="activations")
        assert display.ax_.get_ylabel() == f"samples, by {name}"


def test_neurons_by_class_with_names_of_features():
    frame = pd.DataFrame(X, columns=["a", "b"])
    model = ConvexBNClassifier(beta=0.3, tol=1e-2, random_state=0).fit(frame, LABELS)
    ax = plt.subplots(1, 2)[1]
    display = NeuronsDisplay.from_estimator(
        model, frame, LABELS, ax=ax, weights_kw={"cmap": "PuOr"}, activations_kw={"vmax": 1}
    )
    assert list(display.ax_) == list(ax)
    assert [t.get_text() for t in ax[0].get_yticklabels()] == ["low", "middle", "top"]
    assert [t.get_text() for t in ax[1].get_yticklabels()] == ["a", "b"]
    assert display.weights_image_.get_cmap().name == "PuOr"
    assert display.activations_image_.get_clim() == (0, 1)
    alone = display.plot(kind="weights", ax=ax[0])
    assert alone.ax_ is ax[0]
    assert alone.activations_image_ is None
    assert display.plot(kind="activations").colorbar_ is None
    with pytest.raises(ValueError, match="ax must be 2 Matplotlib axes here, got <Axes"):
        display.plot(ax=ax[0])
    with pytest.raises(ValueError, match="kind must be 'both' or 'activations' or 'weights' here"):
        display.plot(kind="all")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        NeuronsDisplay.from_estimator(model, frame, LABELS[1:])


def test_neurons_of_classes_are_separated_and_colours_symmetric():
    display = NeuronsDisplay(
        activations=np.array([[True], [False], [True]]),
        weights=np.array([[1.0], [-3.0]]),
        values=np.array([0, 0, 1]),
    ).plot()
    upper, _ = display.ax_
    assert [line.get_ydata()[0] for line in upper.get_lines()] == [1.5]
    assert display.weights_image_.get_clim() == (-3.0, 3.0)


@pytest.mark.parametrize(("d", "shown"), [(20, True), (21, False)])
def test_up_to_twenty_features_have_names(d, shown):
    display = NeuronsDisplay(
        activations=np.ones((2, 1), bool), weights=np.ones((d, 1)), values=np.arange(2)
    ).plot(kind="weights")
    labels = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert (labels == [f"x{k}" for k in range(d)]) == shown


@pytest.mark.parametrize(("n", "shown"), [(12, list(range(12))), (13, [0, 3, 6, 9, 12])])
def test_up_to_twelve_values_are_shown_as_classes(n, shown):
    display = NeuronsDisplay(
        activations=np.ones((n, 3), bool), weights=np.ones((1, 3)), values=np.arange(n)
    ).plot(kind="activations")
    assert [float(text.get_text()) for text in display.ax_.get_yticklabels()] == shown
    ticks = display.ax_.get_xticks()  # neurons, which are counted
    np.testing.assert_array_equal(ticks, np.round(ticks))


def test_a_display_refuses_other_features_and_leaves_the_estimator_as_it_is():
    frame = pd.DataFrame(X, columns=["a", "b"])
    model = ConvexBNRegressor(beta=0.3, rank=1).fit(frame, Y)
    with pytest.raises(ValueError, match="feature names"):
        NeuronsDisplay.from_estimator(model, frame[["b", "a"]], Y)
    assert list(model.feature_names_in_) == ["a", "b"]


def test_images_of_neurons_share_their_axis_and_figures_are_those_of_the_axes():
    display = NeuronsDisplay(
        activations=np.ones((2, 3), bool), weights=np.ones((1, 3)), values=np.arange(2)
    ).plot()
    upper, lower = display.ax_
    lower.set_xlim(0, 1)
    assert upper.get_xlim() == (0, 1)
    other = plt.subplots()[1]
    plt.figure()  # the current one
    assert display.plot(kind="weights", ax=other).figure_ is other.figure


def test_neurons_of_none():
    model = ConvexBNRegressor(beta=1e3, rank=1).fit(X, Y)
    with pytest.raises(ValueError, match="The network has no neurons to show"):
        NeuronsDisplay.from_estimator(model, X)


DISPLAYS = [
    (ConvergenceDisplay, ConvexBNRegressor, ()),
    (RegularizationPathDisplay, ConvexBNClassifierCV, ()),
    (NeuronsDisplay, ConvexBNClassifier, (X,)),
]


@pytest.mark.parametrize(("display", "estimator", "args"), DISPLAYS)
def test_displays_need_fitted_estimators_of_the_package_and_matplotlib(
    display, estimator, args, monkeypatch
):
    with pytest.raises(NotFittedError):
        display.from_estimator(estimator(), *args)
    pipeline = make_pipeline(StandardScaler(), Ridge())
    with pytest.raises(TypeError, match=r"got Pipeline; of a pipeline pass the last step\."):
        display.from_estimator(pipeline, *args)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=f"{display.__name__}.from_estimator requires matplotlib"):
        display.from_estimator(estimator(), *args)


@pytest.mark.parametrize("name", [name for name in FITS if name != "search"])
def test_verbose_prints_a_line_a_round(fits, name, capsys, caplog):
    model = fits[name].__class__(**fits[name].get_params())
    model.fit(X, OUTPUTS.get(name, Y))
    assert capsys.readouterr() == ("", "")
    model.set_params(verbose=1).fit(X, OUTPUTS.get(name, Y))
    printed = capsys.readouterr()
    first, *lines = printed.out.splitlines()
    assert first.startswith(f"[{type(model).__name__}] backend {model.backend_}, beta 0.")
    assert len(lines) == len(model.history_)
    for line, (seconds, primal, dual) in zip(lines[:-1], model.history_, strict=False):
        gap = (primal - dual) / model.zero_loss_
        start = f": {seconds:.2f} s, objective {primal:.8g}, bound {dual:.8g}, gap {gap:.2e}, "
        assert start in line
    last = dict(part.split()[:2] for part in lines[-1].partition(" s, ")[2].split(", "))
    assert float(last["objective"]) == pytest.approx(model.objective_, rel=1e-2)  # before merging
    assert float(last["gap"]) <= model.tol
    assert printed.err == ""
    assert not caplog.records


class Terminal(StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("backend", ["auto", "closed_form"])
def test_a_bar_on_a_terminal(backend, monkeypatch, capsys):
    pytest.importorskip("tqdm", reason="the extra test is not installed")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    rows = 3 if backend == "closed_form" else len(X)
    model = ConvexBNRegressor(verbose=2, tol=1e-2, backend=backend, random_state=0)
    model.fit(X[:rows], Y[:rows])
    assert len(capsys.readouterr().out.splitlines()) == 1
    shown = screen.getvalue()
    if backend == "closed_form":
        assert not shown
    else:
        last = shown.split("\r")[-1]
        assert last.startswith("ConvexBNRegressor: 100%|")
        assert re.search(r", gap \d\.\de-0\d of 0\.01, \d+ neurons\n$", last)


def test_lines_where_no_bar_can_be_shown(monkeypatch, capsys):
    model = ConvexBNRegressor(verbose=2, rank=1).fit(X, Y)
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(model.history_)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    model.fit(X, Y)
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(model.history_)


def test_one_is_verbose_in_lines_on_a_terminal_too(monkeypatch, capsys):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    model = ConvexBNRegressor(verbose=1, rank=1).fit(X, Y)
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(model.history_)
    assert not screen.getvalue()


@pytest.mark.parametrize(
    ("gap", "tol", "expected"),
    [
        (1.0, 1e-3, 0.0),
        (0.1, 1e-2, 0.5),
        (1e-2, 1e-2, 1.0),
        (0.0, 1e-9, 1.0),
        (1e-3, 1e-9, 1 / 3),
        (np.inf, 1e-3, 0.0),
        (0.5, 2.0, 1.0),
        (-1e-16, 1e-9, 1.0),
    ],
)
def test_the_bar_is_logarithmic(gap, tol, expected):
    assert progress.done(gap, tol) == pytest.approx(expected)


def test_searches_print_a_line_a_fold_and_grid_point(capsys):
    search = ConvexBNRegressorCV(
        betas=[1.0, 0.1], shrinkages=(0.0, 1.0), cv=2, verbose=1, tol=1e-2, random_state=0
    )
    search.fit(X, Y)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert len(lines) == 5
    assert lines[4].startswith(
        f"[ConvexBNRegressorCV] best score {search.best_score_:.4g} at {{'beta"
    )
    scores = search.cv_results_["split1_test_score"][2:]
    best = search.cv_results_["param_beta"][2 + scores.argmax()]
    assert lines[3].startswith(
        "[ConvexBNRegressorCV] fold 2 of 2, rank None, shrinkage 1: best score "
        f"{scores.max():.4g} at beta {best:.4g}, "
    )
    assert printed.err == ""
    search.set_params(verbose=2).fit(X, Y)
    printed = capsys.readouterr().out
    assert "round 1: " in printed
    fits = 8 + 1  # of the search, and the final one
    assert printed.count("[ConvexBNRegressor] backend ") == fits


@pytest.mark.filterwarnings("ignore:.*are NaN")
def test_a_score_that_is_nan_is_not_printed_as_the_best(capsys):
    search = ConvexBNRegressorCV(
        betas=[2.0, 1.0],
        ranks=(1,),
        shrinkages=(0.0,),
        cv=2,
        verbose=1,
        scoring=lambda model, X, y: np.nan if model.beta == 2 else 0.5,
    )
    search.fit(X, Y)
    assert capsys.readouterr().out.count("best score 0.5 at beta 1, ") == 2


@pytest.mark.parametrize("name", ["exact", "classes", "search"])
def test_the_diagram_has_the_certificate_after_fit(fits, name):
    model = fits[name]
    gap = model.dual_gap_ / model.zero_loss_
    caption = (
        f"{model.backend_}, {model.n_neurons_} neurons, relative gap {gap:.1e} "
        f"({model.certificate_})"
    )
    for diagram in (model._repr_html_(), estimator_html_repr(make_pipeline(Ridge(), model))):
        assert f'<div class="caption">{caption}</div>' in diagram
    unfitted = type(model)()
    assert 'class="caption"' not in unfitted._repr_html_()
    assert repr(model) == repr(type(model)(**model.get_params()))


def test_the_diagram_is_escaped_and_otherwise_the_usual_one(fits, monkeypatch):
    model = pickle.loads(pickle.dumps(fits["exact"]))
    model.backend_ = "<b>"
    assert "&lt;b&gt;, " in model._repr_html_()
    assert "<b>, " not in model._repr_html_()
    unfitted = ConvexBNRegressor(beta=0.5)
    ours = unfitted._repr_html_()
    monkeypatch.delattr("skconvexbn.base.ConvexBNBase._sk_visual_block_")
    usual = unfitted._repr_html_()
    assert strip_ids(ours) == strip_ids(usual)


def strip_ids(diagram):
    return re.sub(r"sk-(container|estimator)-id-\d+", "", diagram)


def test_activations_by_many_classes():
    rows = np.tile(X, (2, 1))
    many = np.array([f"c{i % 15:02d}" for i in range(len(rows))])
    model = ConvexBNClassifier(beta=0.5, tol=0.5, random_state=0).fit(rows, many)
    display = NeuronsDisplay.from_estimator(model, rows, many)
    shown = [label.get_text() for label in display.activations_image_.axes.get_yticklabels()]
    assert shown[0] == "c00"
    assert set(shown) <= set(many)
    plt.close("all")


def test_styles_may_have_the_other_names_of_their_arguments(fits, path):
    lines = ConvergenceDisplay.from_estimator(
        fits["adaptive"],
        line_kw={"linestyle": ":", "ds": "default"},
        fill_between_kw={"linewidth": 2},
    )
    assert {line.get_linestyle() for line in lines.lines_} == {":"}
    assert {line.get_drawstyle() for line in lines.lines_} == {"default"}
    assert lines.band_.get_linewidth() == 2
    drawn = RegularizationPathDisplay.from_path(
        path, line_kw={"markersize": 2}, fill_between_kw={"lw": 3, "label": "band"}
    )
    assert drawn.lines_[0].get_markersize() == 2
    assert drawn.bands_[0].get_linewidth() == 3
    assert drawn.bands_[0].get_label() == "band"


def test_images_may_have_a_norm(fits):
    norm = matplotlib.colors.CenteredNorm()
    display = NeuronsDisplay.from_estimator(fits["classes"], X, weights_kw={"norm": norm})
    assert display.weights_image_.norm is norm


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(ValueError, match="There is nothing to plot"):
        RegularizationPathDisplay(beta=[1.0], rank=[1], shrinkage=[0.0]).plot()
    with pytest.raises(ValueError, match="ax must be 1 Matplotlib axes here, got array"):
        ConvergenceDisplay(
            history=np.ones((1, 3)), dual_objective=1, zero_loss=1, tol=1, certificate="search"
        ).plot(ax=plt.subplots(2)[1])


def test_rows_of_a_class_are_ordered_by_the_largest_neuron():
    features, labels = load_iris(return_X_y=True)
    model = ConvexBNClassifier(beta=0.1, random_state=0).fit(features, labels)
    display = NeuronsDisplay.from_estimator(model, features, labels)
    for label in range(3):
        rows = [tuple(~row) for row in display.activations[display.values == label]]
        assert rows == sorted(rows)


def test_bands_are_one_standard_deviation():
    one, five = np.ones(2), np.full(2, 5.0)
    display = RegularizationPathDisplay(
        beta=[1.0, 2.0], rank=one, shrinkage=0 * one, mean_score=five, std_score=one
    )
    low, high = display.plot().bands_[0].get_paths()[0].get_extents().intervaly
    assert (low, high) == (4.0, 6.0)


def test_lists_are_arrays_to_displays():
    display = RegularizationPathDisplay(
        beta=[2.0, 1.0],
        rank=[1, 1],
        shrinkage=[0.0, 0.0],
        objective=[3.0, 2.0],
        dual_objective=[2.5, 1.5],
        mean_score=[0.1, 0.2],
        std_score=[0.01, 0.02],
        best_index=1,
    )
    for kind in ("objective", "score"):
        assert len(display.plot(kind=kind).lines_) == 1

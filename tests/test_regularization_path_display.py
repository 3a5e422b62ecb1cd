"""RegularizationPathDisplay: lines, bands, names and scales along beta."""

import numpy as np
import pytest
from drawn_fits import LABELS, X, legend
from sklearn.utils import Bunch

from skconvexbn import ConvexBNClassifierCV, RegularizationPathDisplay, convex_bn_path
from skconvexbn.display.regularization_path import _score_label

matplotlib = pytest.importorskip("matplotlib")
plt = pytest.importorskip("matplotlib.pyplot")


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

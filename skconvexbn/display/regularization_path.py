"""RegularizationPathDisplay: objective, neurons or cross-validated scores along beta."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import Bunch

from ..model_selection import ConvexBNClassifierCV, ConvexBNRegressorCV
from .base import SEARCHES, Display

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^vPX*"
# Betas this far apart have ticks at powers of ten alone.
MANY_DECADES = 1e3
NAMES = {"objective": "objective", "n_neurons": "neurons", "score": "mean test score"}
BANDS = {"objective": "gap", "score": "\N{PLUS-MINUS SIGN} 1 standard deviation"}


class RegularizationPathDisplay(Display):
    """Objective and lower bound, neurons, or cross-validated scores along beta.

    One line for each rank and shrinkage. Use `from_path` or `from_estimator` to create one.

    Parameters
    ----------
    beta, rank, shrinkage : array-like of shape (n_points,)
        Where the points are.
    objective, dual_objective, n_neurons : ndarray of shape (n_points,), default=None
        Objective, its lower bound and number of neurons at each point.
    mean_score, std_score : ndarray of shape (n_points,), default=None
        Mean and standard deviation over the folds of the score at each point.
    best_index : int, default=None
        The point chosen.
    score_name : str, default="score"
        What the scores are.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the plot.
    figure_ : matplotlib Figure
        Their figure.
    lines_ : list of matplotlib Line2D
        Objective, neurons or mean score, for each rank and shrinkage.
    bounds_ : list of matplotlib Line2D
        Lower bounds; empty unless ``kind="objective"``.
    bands_ : list of matplotlib artists
        The gap, or one standard deviation to either side of the score; empty for neurons.
    best_ : matplotlib PathCollection or None
        The point chosen, with scores.

    See Also
    --------
    convex_bn_path : The path of `from_path`.
    ConvergenceDisplay : Objective and lower bound against time.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skconvexbn import RegularizationPathDisplay, convex_bn_path
    >>> X, y = load_diabetes(return_X_y=True)
    >>> path = convex_bn_path(X[:100], y[:100], betas=4, eps=0.1, random_state=0)
    >>> display = RegularizationPathDisplay.from_path(path)
    >>> len(display.lines_)
    1
    """

    def __init__(
        self,
        *,
        beta: Any,
        rank: Any,
        shrinkage: Any,
        objective: np.ndarray | None = None,
        dual_objective: np.ndarray | None = None,
        n_neurons: np.ndarray | None = None,
        mean_score: np.ndarray | None = None,
        std_score: np.ndarray | None = None,
        best_index: int | None = None,
        score_name: str = "score",
    ) -> None:
        self.beta = np.asarray(beta, dtype=np.float64)
        self.rank = rank
        self.shrinkage = shrinkage
        self.objective = _optional_array(objective)
        self.dual_objective = _optional_array(dual_objective)
        self.n_neurons = _optional_array(n_neurons)
        self.mean_score = _optional_array(mean_score)
        self.std_score = _optional_array(std_score)
        self.best_index = best_index
        self.score_name = score_name

    @classmethod
    def from_path(
        cls,
        path: Bunch,
        *,
        kind: str = "objective",
        ax: Axes | None = None,
        line_kw: dict[str, Any] | None = None,
        fill_between_kw: dict[str, Any] | None = None,
    ) -> RegularizationPathDisplay:
        """Plot what `convex_bn_path` returned.

        Parameters
        ----------
        path : Bunch
            Of `convex_bn_path`.
        kind : {"objective", "n_neurons"}, default="objective"
            Objective and lower bound, with the gap as a band, or the number of neurons.
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.
        line_kw : dict, default=None
            Arguments for `matplotlib.axes.Axes.plot`.
        fill_between_kw : dict, default=None
            Arguments for `matplotlib.axes.Axes.fill_between`, for bands.

        Returns
        -------
        RegularizationPathDisplay
            With its plot.

        Raises
        ------
        TypeError
            If ``path`` is something else.
        ValueError
            If ``kind`` is none of the above, or ``ax`` are not the axes of one plot.
        """
        names = ("beta", "rank", "shrinkage", "objective", "dual_objective", "n_neurons")
        if not (isinstance(path, Bunch) and set(names) <= set(path)):
            raise TypeError(
                f"{cls.__name__}.from_path takes what convex_bn_path returned, got "
                f"{type(path).__name__}; pass that, or an estimator to from_estimator."
            )
        display = cls(**{name: path[name] for name in names})
        return display.plot(kind=kind, ax=ax, line_kw=line_kw, fill_between_kw=fill_between_kw)

    @classmethod
    def from_estimator(
        cls,
        estimator: ConvexBNRegressorCV | ConvexBNClassifierCV,
        *,
        negate_score: bool = False,
        ax: Axes | None = None,
        line_kw: dict[str, Any] | None = None,
        fill_between_kw: dict[str, Any] | None = None,
    ) -> RegularizationPathDisplay:
        """Plot the mean scores of a cross-validation, the candidate chosen marked with a star.

        Parameters
        ----------
        estimator : ConvexBNRegressorCV or ConvexBNClassifierCV
            Fitted.
        negate_score : bool, default=False
            Whether to show minus the scores: the losses, for those that are minus a loss.
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.
        line_kw : dict, default=None
            Arguments for `matplotlib.axes.Axes.plot`.
        fill_between_kw : dict, default=None
            Arguments for `matplotlib.axes.Axes.fill_between`: the standard deviation over folds.

        Returns
        -------
        RegularizationPathDisplay
            With its plot.

        Raises
        ------
        TypeError
            If the estimator has no cross-validation.
        NotFittedError
            If it has not been fitted.
        """
        cls._check_fitted(estimator, *SEARCHES)
        results, sign = estimator.cv_results_, -1 if negate_score else 1
        display = cls(
            beta=results["param_beta"],
            rank=results["param_rank"],
            shrinkage=results["param_shrinkage"],
            mean_score=sign * results["mean_test_score"],
            std_score=results["std_test_score"],
            best_index=estimator.best_index_,
            score_name=_score_label(estimator._score_name, negate_score),
        )
        return display.plot(kind="score", ax=ax, line_kw=line_kw, fill_between_kw=fill_between_kw)

    def plot(
        self,
        *,
        kind: str | None = None,
        ax: Axes | None = None,
        line_kw: dict[str, Any] | None = None,
        fill_between_kw: dict[str, Any] | None = None,
    ) -> RegularizationPathDisplay:
        """Plot along beta.

        Parameters
        ----------
        kind : {"objective", "n_neurons", "score"} or None, default=None
            What to plot, of what there is; None is the first there is.
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.
        line_kw : dict, default=None
            Arguments for `matplotlib.axes.Axes.plot`.
        fill_between_kw : dict, default=None
            Arguments for `matplotlib.axes.Axes.fill_between`, for bands.

        Returns
        -------
        RegularizationPathDisplay
            This object.

        Raises
        ------
        ValueError
            If there is no such ``kind`` in this display, nothing at all, or ``ax`` are not the axes
            of one plot.
        """
        values = {
            "objective": self.objective,
            "n_neurons": self.n_neurons,
            "score": self.mean_score,
        }
        kinds = tuple(name for name, value in values.items() if value is not None)
        if not kinds:
            raise ValueError("There is nothing to plot; give objective, n_neurons or mean_score.")
        kind = kinds[0] if kind is None else kind
        self._check_kind(kind, kinds)
        (ax,) = self._set_axes(ax)
        from matplotlib.collections import PolyCollection
        from matplotlib.lines import Line2D

        self.lines_, self.bounds_, self.bands_, self.best_ = [], [], [], None
        for i, (label, index) in enumerate(self._groups()):
            # once: ranks may stop at the same directions, and such points are the same
            index = index[np.unique(self.beta[index], return_index=True)[1]]
            x, y = self.beta[index], np.asarray(values[kind])[index]
            marker = MARKERS[i % len(MARKERS)]
            style = {"marker": marker, "markersize": 4, "label": label or NAMES[kind]}
            self.lines_ += ax.plot(x, y, **self._style(style, line_kw, Line2D))
            colour = self.lines_[-1].get_color()
            if kind == "objective" and self.dual_objective is not None:
                low, high = self.dual_objective[index], y
                self.bounds_ += ax.plot(x, low, ls="--", color=colour)
            elif kind == "score" and self.std_score is not None:
                low, high = y - self.std_score[index], y + self.std_score[index]
            else:
                continue
            style = {"alpha": 0.2, "linewidth": 0, "color": colour}
            style = self._style(style, fill_between_kw, PolyCollection)
            self.bands_.append(ax.fill_between(x, low, high, **style))
        if self.bounds_:
            self.bounds_[-1].set_label("lower bound")
        if self.bands_ and "label" not in (fill_between_kw or {}):
            self.bands_[-1].set_label(BANDS[kind])
        if kind == "score" and self.best_index is not None:
            self._mark_best(ax)
        self._label(ax, kind)
        return self

    def _groups(self) -> Iterator[tuple[str, np.ndarray]]:
        """What sets each rank and shrinkage apart, and its points."""
        points = list(zip(self.rank, self.shrinkage, strict=True))
        distinct = list(dict.fromkeys(points))
        many_ranks, many_shrinkages = (len(set(part)) > 1 for part in zip(*distinct, strict=True))
        for rank, shrinkage in distinct:
            index = np.flatnonzero([point == (rank, shrinkage) for point in points])
            names = ["full rank" if rank is None else f"rank {rank}"] * many_ranks
            names += [f"shrinkage {shrinkage:g}"] * many_shrinkages
            yield ", ".join(names), index

    def _mark_best(self, ax: Axes) -> None:
        i = self.best_index
        group = next(name for name, index in self._groups() if i in index)
        self.best_ = ax.scatter(
            self.beta[i],
            np.asarray(self.mean_score)[i],
            marker="*",
            s=200,
            color="gold",
            edgecolor="k",
            zorder=3,
            label=", ".join([f"best: beta {self.beta[i]:.3g}", *filter(None, [group])]),
        )

    def _label(self, ax: Axes, kind: str) -> None:
        """Axes and legend; beta is logarithmic, but for 0, which is shown at the left end."""
        from matplotlib.ticker import LogLocator, NullFormatter

        positive = self.beta[self.beta > 0]
        if len(positive) == len(self.beta):
            ax.set_xscale("log")
            if positive.max() < MANY_DECADES * positive.min():
                ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                ax.xaxis.set_major_formatter("{x:g}")
                ax.xaxis.set_minor_formatter(NullFormatter())
        elif len(positive):
            ax.set_xscale("symlog", linthresh=positive.min())
        ax.set(xlabel="beta", ylabel=self.score_name if kind == "score" else NAMES[kind])
        if kind == "n_neurons":
            ax.yaxis.get_major_locator().set_params(integer=True)
        if kind != "n_neurons" or len(self.lines_) > 1:
            ax.legend()


def _optional_array(values: Any) -> np.ndarray | None:
    return None if values is None else np.asarray(values)


def _score_label(name: str, negate: bool) -> str:
    """Name of the scores, as scikit-learn's displays have it."""
    if name.startswith("neg_"):
        name = name[4:] if negate else f"negative {name[4:]}"
    elif negate:
        name = f"negative {name}"
    return name.replace("_", " ")

"""ConvergenceDisplay: objective and lower bound, or their gap, against time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..base import ConvexBNBase
from ..problem import relative_gap
from .base import ESTIMATORS, Display

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Gaps below are rounding, and drawn here.
SMALLEST_GAP = 1e-12


class ConvergenceDisplay(Display):
    """Objective and lower bound of a fit, or the gap between them, against time.

    Use `from_estimator` to create one.

    Parameters
    ----------
    history : ndarray of shape (n_rounds, 3)
        Seconds, objective and lower bound after each round.
    dual_objective : float
        The lower bound of the certificate.
    zero_loss : float
        Loss of the model without neurons, the unit of gaps.
    tol : float
        Gap asked for, as a fraction of ``zero_loss``.
    certificate : {"exact", "sampled", "search"}
        What the bound ranges over.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the plot.
    figure_ : matplotlib Figure
        Their figure.
    lines_ : list of two matplotlib Line2D
        Objective and lower bound during the fit, or the gap as it was seen during the fit and the
        distance of the objective to the certified bound.
    band_ : matplotlib artist or None
        The gap as a band between objective and bound.
    level_ : matplotlib Line2D
        The certified bound, or tol.

    See Also
    --------
    RegularizationPathDisplay : Objective, neurons or scores along beta.

    Notes
    -----
    The bound during a fit is provisional where ``certificate`` is "search": the thorough search in
    the last rounds may lower it. The picture shows it as it was, with the certified one as a dotted
    line: where the solid gap is below the dashed one, it was thought smaller than it was.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skconvexbn import ConvergenceDisplay, ConvexBNRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = ConvexBNRegressor(random_state=0).fit(X[:100], y[:100])
    >>> display = ConvergenceDisplay.from_estimator(model, kind="gap")
    >>> display.ax_.get_yscale()
    'log'
    """

    def __init__(
        self,
        *,
        history: np.ndarray,
        dual_objective: float,
        zero_loss: float,
        tol: float,
        certificate: str,
    ) -> None:
        self.history = history
        self.dual_objective = dual_objective
        self.zero_loss = zero_loss
        self.tol = tol
        self.certificate = certificate

    @classmethod
    def from_estimator(
        cls,
        estimator: ConvexBNBase,
        *,
        kind: str = "values",
        ax: Axes | None = None,
        line_kw: dict[str, Any] | None = None,
        fill_between_kw: dict[str, Any] | None = None,
    ) -> ConvergenceDisplay:
        """Plot the rounds of a fit; of a search over candidates, those of its final fit.

        Parameters
        ----------
        estimator : estimator of skconvexbn
            Fitted.
        kind : {"values", "gap"}, default="values"
            Objective and lower bound, or on a logarithmic axis the gap between them as a fraction
            of the loss of the model without neurons.
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.
        line_kw : dict, default=None
            Arguments for `matplotlib.axes.Axes.plot`.
        fill_between_kw : dict, default=None
            Arguments for `matplotlib.axes.Axes.fill_between`, for the gap as a band.

        Returns
        -------
        ConvergenceDisplay
            With its plot.

        Raises
        ------
        TypeError
            If it is no estimator of skconvexbn.
        NotFittedError
            If it has not been fitted.
        ValueError
            If ``kind`` is none of the above, or ``ax`` are not the axes of one plot.
        """
        cls._check_fitted(estimator, *ESTIMATORS)
        display = cls(
            history=estimator.history_,
            dual_objective=estimator.dual_objective_,
            zero_loss=estimator.zero_loss_,
            tol=estimator._tol,
            certificate=estimator.certificate_,
        )
        return display.plot(kind=kind, ax=ax, line_kw=line_kw, fill_between_kw=fill_between_kw)

    def plot(
        self,
        *,
        kind: str = "values",
        ax: Axes | None = None,
        line_kw: dict[str, Any] | None = None,
        fill_between_kw: dict[str, Any] | None = None,
    ) -> ConvergenceDisplay:
        """Plot the rounds.

        Parameters
        ----------
        kind : {"values", "gap"}, default="values"
            See `from_estimator`.
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.
        line_kw : dict, default=None
            Arguments for `matplotlib.axes.Axes.plot`.
        fill_between_kw : dict, default=None
            Arguments for `matplotlib.axes.Axes.fill_between`, for the gap as a band.

        Returns
        -------
        ConvergenceDisplay
            This object.

        Raises
        ------
        ValueError
            If ``kind`` is none of the above, or ``ax`` are not the axes of one plot.
        """
        self._check_kind(kind, ("values", "gap"))
        (ax,) = self._set_axes(ax)
        from matplotlib.collections import PolyCollection
        from matplotlib.lines import Line2D

        seconds, primal, dual = self.history.T
        if kind == "gap":
            gaps = np.array([primal - dual, primal - self.dual_objective])
            gaps = np.maximum(relative_gap(gaps, self.zero_loss), SMALLEST_GAP)
            labels = "gap", f"to the certified bound ({self.certificate})"
            level, name, self.band_ = self.tol, "tol", None
            lines, scale, ylabel = gaps, "log", "gap / loss without neurons"
        else:
            style = {"alpha": 0.2, "linewidth": 0, "label": "gap"}
            style = self._style(style, fill_between_kw, PolyCollection)
            self.band_ = ax.fill_between(seconds, dual, primal, **{"step": "post"} | style)
            labels = "objective", "lower bound"
            level, name = self.dual_objective, f"certified bound ({self.certificate})"
            lines, scale, ylabel = np.array([primal, dual]), "linear", "objective"
        self.lines_ = []
        for line, label, dashes in zip(lines, labels, ("-", "--"), strict=True):
            style = {"label": label, "linestyle": dashes, "marker": ".", "drawstyle": "steps-post"}
            self.lines_ += ax.plot(seconds, line, **self._style(style, line_kw, Line2D))
        self.level_ = ax.axhline(level, color="0.4", ls=":", label=name)
        ax.set(xlabel="seconds", ylabel=ylabel, yscale=scale)
        ax.legend()
        return self

"""What the displays share: checks of their arguments, and axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import check_is_fitted

from ..classifier import ConvexBNClassifier
from ..model_selection import ConvexBNClassifierCV, ConvexBNRegressorCV
from ..regressor import ConvexBNRegressor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SEARCHES = ConvexBNRegressorCV, ConvexBNClassifierCV
ESTIMATORS = ConvexBNRegressor, ConvexBNClassifier, *SEARCHES


class Display:
    """A picture on axes ``ax_`` of the figure ``figure_``."""

    ax_: Any
    figure_: Figure

    def _set_axes(self, ax: Any, n: int = 1) -> list[Axes]:
        """The n axes to plot on, new ones below each other unless given."""
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        if ax is None:
            size = {} if n == 1 else {"figsize": (6.4, 3.2 * n)}
            ax = plt.subplots(n, sharex=True, layout="constrained", **size)[1]
        axes = list(np.ravel(ax))
        if len(axes) != n or not all(isinstance(one, plt.Axes) for one in axes):
            raise ValueError(f"ax must be {n} Matplotlib axes here, got {ax!r}.")
        self.ax_ = axes[0] if n == 1 else np.array(axes)
        self.figure_ = axes[0].figure
        return axes

    @staticmethod
    def _style(
        defaults: dict[str, Any], given: dict[str, Any] | None, kind: type
    ) -> dict[str, Any]:
        """Arguments of an artist of this kind: defaults, but for those given by any name."""
        from matplotlib.cbook import normalize_kwargs

        return defaults | normalize_kwargs(given, kind)

    @classmethod
    def _check_fitted(cls, estimator: Any, *allowed: type) -> None:
        """An error unless the estimator is a fitted one of the types ``allowed``."""
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        if not isinstance(estimator, allowed):
            hint = "of a pipeline pass the last step" if hasattr(estimator, "steps") else "pass one"
            names = " or ".join(t.__name__ for t in allowed)
            raise TypeError(
                f"{cls.__name__} takes an estimator of skconvexbn, {names}, got "
                f"{type(estimator).__name__}; {hint}."
            )
        check_is_fitted(estimator)

    @staticmethod
    def _check_kind(kind: str, kinds: tuple[str, ...]) -> None:
        if kind not in kinds:
            raise ValueError(f"kind must be {' or '.join(map(repr, kinds))} here, got {kind!r}.")

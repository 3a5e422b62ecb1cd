"""What the displays share: checks of their arguments, and axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Display:
    """A picture on axes ``ax_`` of the figure ``figure_``."""

    ax_: Any
    figure_: Figure

    def _set_axes(self, ax: Axes | None) -> Axes:
        """The axes to plot on, new ones unless given."""
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        self.ax_ = plt.subplots(layout="constrained")[1] if ax is None else ax
        self.figure_ = self.ax_.figure
        return self.ax_

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

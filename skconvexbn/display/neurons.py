"""NeuronsDisplay: which samples each neuron is active on, and its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import _check_feature_names_in, validate_data

from ..base import ConvexBNBase
from .base import ESTIMATORS, Display

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Up to so many distinct values are shown at the middle of their rows, as classes are.
MAX_CLASSES = 12
# Up to so many features have their names at the axis.
MAX_NAMES = 20
KINDS = ("both", "activations", "weights")


class NeuronsDisplay(Display):
    """Which samples each neuron is active on, and its weights, as images.

    Use `from_estimator` to create one.

    Parameters
    ----------
    activations : ndarray of shape (n_samples, n_neurons)
        Whether a neuron is active on a sample, in the order shown.
    weights : ndarray of shape (n_features, n_neurons)
        Weights of the features.
    values : ndarray of shape (n_samples,)
        What the samples are ordered by.
    value_name : str, default="prediction"
        What that is.
    feature_names : sequence of str, default=None
        Names of the features; None stands for x0, x1, ...

    Attributes
    ----------
    ax_ : matplotlib Axes or ndarray of two
        Axes with the plot; two for ``kind="both"``, activations first.
    figure_ : matplotlib Figure
        Their figure.
    activations_image_, weights_image_ : matplotlib AxesImage or None
        The images, samples or features in rows and neurons in columns.
    colorbar_ : matplotlib Colorbar or None
        That of the weights.

    See Also
    --------
    ConvergenceDisplay : Objective and lower bound against time.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skconvexbn import ConvexBNClassifier, NeuronsDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ConvexBNClassifier(random_state=0).fit(X, y)
    >>> display = NeuronsDisplay.from_estimator(model, X, y)
    >>> display.activations.shape == (150, model.n_neurons_)
    True
    """

    def __init__(
        self,
        *,
        activations: np.ndarray,
        weights: np.ndarray,
        values: np.ndarray,
        value_name: str = "prediction",
        feature_names: Any = None,
    ) -> None:
        self.activations = activations
        self.weights = weights
        self.values = values
        self.value_name = value_name
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: ConvexBNBase,
        X: Any,
        y: Any = None,
        *,
        kind: str = "both",
        ax: Any = None,
        activations_kw: dict[str, Any] | None = None,
        weights_kw: dict[str, Any] | None = None,
    ) -> NeuronsDisplay:
        """Plot the neurons of a fitted network, the largest first.

        Neurons are ordered by the norm of their output weights, their share of the penalty; samples
        by ``y``, then by the activity of the neurons in this order. Weights are those of
        ``coefs_[0]`` times ``scale_``: with ``scale=True`` per standard deviation of the feature.

        Parameters
        ----------
        estimator : estimator of skconvexbn
            Fitted.
        X : array-like of shape (n_samples, n_features)
            Samples as the estimator saw them: for the last step of a pipeline
            ``pipeline[:-1].transform(X)``.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            What to order samples by, of several outputs the first; None takes the predictions.
        kind : {"both", "activations", "weights"}, default="both"
            Which images to show.
        ax : matplotlib Axes or array-like of two, default=None
            Where to plot, two axes for ``kind="both"``; None makes a figure.
        activations_kw : dict, default=None
            Arguments for `matplotlib.axes.Axes.imshow` of the activations.
        weights_kw : dict, default=None
            Arguments for `matplotlib.axes.Axes.imshow` of the weights.

        Returns
        -------
        NeuronsDisplay
            With its plot.

        Raises
        ------
        TypeError
            If it is no estimator of skconvexbn.
        NotFittedError
            If it has not been fitted.
        ValueError
            If an argument is invalid or the network has no neurons.
        """
        cls._check_fitted(estimator, *ESTIMATORS)
        if not estimator.n_neurons_:
            raise ValueError("The network has no neurons to show; fit with a smaller beta.")
        values = np.asarray(estimator.predict(X) if y is None else y)
        values = values[:, 0] if values.ndim == 2 else values
        rows = validate_data(estimator, X, dtype=np.float64, reset=False)
        check_consistent_length(rows, values)
        size = np.linalg.norm(estimator.coefs_[1], axis=1)
        neurons = np.argsort(-size, kind="stable")
        active = estimator._network.active(rows)[:, neurons]
        ranks = np.unique(values, return_inverse=True)[1]
        order = np.lexsort([*~active.T[::-1], ranks])
        display = cls(
            activations=active[order],
            weights=(estimator.coefs_[0] * estimator.scale_[:, None])[:, neurons],
            values=values[order],
            value_name="prediction" if y is None else "y",
            feature_names=_check_feature_names_in(estimator),
        )
        images = {"activations_kw": activations_kw, "weights_kw": weights_kw}
        return display.plot(kind=kind, ax=ax, **images)

    def plot(
        self,
        *,
        kind: str = "both",
        ax: Any = None,
        activations_kw: dict[str, Any] | None = None,
        weights_kw: dict[str, Any] | None = None,
    ) -> NeuronsDisplay:
        """Plot the images.

        Parameters
        ----------
        kind : {"both", "activations", "weights"}, default="both"
            Which images to show.
        ax : matplotlib Axes or array-like of two, default=None
            Where to plot, two axes for ``kind="both"``; None makes a figure.
        activations_kw : dict, default=None
            Arguments for `matplotlib.axes.Axes.imshow` of the activations.
        weights_kw : dict, default=None
            Arguments for `matplotlib.axes.Axes.imshow` of the weights.

        Returns
        -------
        NeuronsDisplay
            This object.

        Raises
        ------
        ValueError
            If ``kind`` is none of the above, or ``ax`` are not as many axes as it needs.
        """
        self._check_kind(kind, KINDS)
        self.activations_image_ = self.weights_image_ = self.colorbar_ = None
        axes = self._set_axes(ax, 2 if kind == "both" else 1)
        upper, lower = axes[0], axes[-1]
        if kind != "weights":
            self._show_activations(upper, activations_kw or {})
        if kind != "activations":
            self._show_weights(lower, weights_kw or {})
        lower.set_xlabel("neuron, the largest first")
        lower.xaxis.get_major_locator().set_params(integer=True)
        return self

    def _show_activations(self, ax: Axes, kw: dict[str, Any]) -> None:
        self.activations_image_ = _show(ax, self.activations, "Greys", (0, 1.4), kw)
        distinct, first = np.unique(self.values, return_index=True)
        n = len(self.values)
        if len(distinct) <= MAX_CLASSES:
            ends = np.append(first, n)
            at, shown = (ends[1:] + ends[:-1] - 1) / 2, distinct.tolist()
            for end in first[1:]:
                ax.axhline(end - 0.5, color="k", lw=0.8)
        else:
            at = np.linspace(0, n - 1, 5).round().astype(int)
            number = np.issubdtype(self.values.dtype, np.number)
            shown = [f"{v:.3g}" if number else str(v) for v in self.values[at]]
        ax.set_yticks(at, shown)
        ax.set(ylabel=f"samples, by {self.value_name}", title="dark where a neuron is active")

    def _show_weights(self, ax: Axes, kw: dict[str, Any]) -> None:
        limit = np.abs(self.weights).max()
        self.weights_image_ = _show(ax, self.weights, "cividis", (-limit, limit), kw)
        self.colorbar_ = ax.figure.colorbar(
            self.weights_image_,
            ax=ax,
            location="bottom",
            aspect=40,
            label="weight of a feature, scaled",
        )
        d = len(self.weights)
        names = [f"x{k}" for k in range(d)] if self.feature_names is None else self.feature_names
        if d <= MAX_NAMES:
            ax.set_yticks(range(d), names)
        ax.set_ylabel("feature")


def _show(
    ax: Axes, values: np.ndarray, cmap: str, limits: tuple[float, float], kw: dict[str, Any]
) -> Any:
    """An image of values (rows, columns) between limits, unless kw has a norm."""
    style: dict[str, Any] = {"cmap": cmap, "aspect": "auto", "interpolation": "nearest"}
    if kw.get("norm") is None:
        style |= {"vmin": limits[0], "vmax": limits[1]}
    return ax.imshow(values, **style | kw)

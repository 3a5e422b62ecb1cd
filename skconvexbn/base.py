"""What the estimators share: checks of data, whitening, fitted attributes, outputs, exports."""

from __future__ import annotations

import re
import warnings
from abc import ABCMeta, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from copy import deepcopy
from datetime import date, time, timedelta
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import (
    _check_sample_weight,
    _num_samples,
    check_is_fitted,
    validate_data,
)

from .data import DistinctRows
from .export import to_torch
from .fit import RESULTS, Fit
from .losses import Loss
from .network import Network
from .problem import relative_gap
from .solvers import BACKENDS
from .solvers.interface import Ending
from .task import Training
from .whitening import NOISE, Whitening

if TYPE_CHECKING:
    import torch

# Types of dates and durations, pandas' among them.
DATES = date, time, timedelta, np.datetime64, np.timedelta64
# Spreads of features with which neither their squares' mean nor the weights overflow.
MIN_SPREAD, MAX_SPREAD = 1e-305, 1e307
# Larger ones change no fit, and float32, in which searches climb, resolves no more kinks.
BIAS_SCALES = [StrOptions({"auto"}), Interval(Real, 0, 1e6, closed="right")]
# bias_scale="auto" where shrinkage > 0.
AUTO_BIAS_SCALE = 3.0
# Columns of X that a warning names at most.
MAX_NAMED = 4
# What to do about the gap of a fit, by what ended it.
ADVICE: dict[Ending, str] = {
    "Ctrl-C": "fit again, to close it or to confirm it.",
    "max_time": "max_time ended the search that would vouch for it: increase max_time, or beta.",
    "limit": "increase the limit that was reached, or tol, or beta.",
    "solver": "the solver gets no further: increase tol or beta, or take another backend.",
}


def _refuse_dates(a: Any, name: str) -> None:
    """Refuse arrays, series and tables with dates or durations, which NumPy takes for numbers."""
    types = np.ravel(np.asarray(getattr(a, "dtypes", ()), dtype=object))  # pandas, polars
    found = [t for t in types if getattr(t, "kind", "") in ("M", "m")]
    found += [t for t in types if hasattr(t, "is_temporal") and t.is_temporal()]
    numbers = len(types) and all(getattr(t, "kind", "O") != "O" for t in types)
    if not (found or numbers or issparse(a)):  # a table of numbers need not be converted for this
        with suppress(TypeError, ValueError):  # no array: validation says so
            values = np.asarray(a)
            if values.dtype.kind in "Mm":
                found = [values.dtype]
            elif values.dtype.kind == "O":
                kinds = {type(v) for v in values.ravel()}
                found = [
                    t.__name__ for t in kinds if issubclass(t, DATES) or t.__name__ == "Period"
                ]
    if found:
        raise TypeError(
            f"{name} has values of type {found[0]}, which are no numbers; turn dates and durations "
            "into some, such as days since a date."
        )


def one_per_row(weight: Any, X: Any) -> Any:
    """Weights as they are, or one number as that of each row of X."""
    one = isinstance(weight, Real) or getattr(weight, "ndim", 1) == 0
    return np.full(_num_samples(X), float(weight)) if one else weight


def resolve_bias_scale(bias_scale: Any, shrinkage: float) -> float:
    """As a number: "auto" is 1 without shrinkage, as in the paper, else AUTO_BIAS_SCALE."""
    if not isinstance(bias_scale, str):
        return float(bias_scale)
    return AUTO_BIAS_SCALE if shrinkage else 1.0


def _as_numbers(y: Any) -> Any:
    """Targets of a regressor, objects as float64; words are refused, and told where labels go."""
    if y is None:  # validation asks for it
        return y
    with suppress(TypeError, ValueError):  # NA, or words
        return np.asarray(y, dtype=np.float64) if np.asarray(y).dtype.kind in "OUST" else y
    for value in np.ravel(np.asarray(y, dtype=object)):
        if isinstance(value, str | bytes):
            try:
                float(value)
            except ValueError as error:
                raise ValueError(
                    f"y has {value!r}, which is no number; for class labels use "
                    "ConvexBNClassifier, or loss='log_loss' of convex_bn_path."
                ) from error
    return y


def _check_spread(X: np.ndarray) -> None:
    """Refuse features that batch normalisation cannot bring to unit variance in float64."""
    with np.errstate(over="ignore"):
        spread = np.ptp(X, axis=0)
    bad = np.flatnonzero((spread > 0) & ~((spread > MIN_SPREAD) & (spread < MAX_SPREAD)))
    if len(bad):
        raise ValueError(
            f"Feature {bad[0]} varies by {spread[bad[0]]:.3g}, which float64 cannot normalise; "
            f"rescale X to vary by {MIN_SPREAD:g} to {MAX_SPREAD:g}, or not at all."
        )


class ConvexBNBase(BaseEstimator, metaclass=ABCMeta):
    """An estimator, however its beta, rank and shrinkage are chosen."""

    _parameter_constraints: dict[str, list[Any]] = {
        "scale": ["boolean"],
        "fit_intercept": ["boolean"],
        "activation": [StrOptions({"relu", "gated_relu"})],
        "arrangements": [StrOptions({"auto", "exact", "sampled", "adaptive"})],
        "n_arrangements": [Interval(Integral, 1, None, closed="left")],
        "backend": [StrOptions({"auto", *BACKENDS})],
        "device": [None, str],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "max_time": [None, Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # What y may be: arguments of validate_data.
    _y_params: dict[str, bool] = {}

    def _validate(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """X as float64 or float32, y, and weights as float64."""
        if self.device is not None and not re.fullmatch(r"cpu|mps|cuda(:\d+)?", self.device):
            raise ValueError(
                f"device must be None, 'cpu', 'cuda', 'cuda:<index>' or 'mps', got {self.device!r}."
            )
        if issparse(y):
            raise TypeError("y must be dense, got a sparse matrix; use y.toarray().")
        _refuse_dates(X, "X")
        if self._y_params:  # numbers, not labels
            _refuse_dates(y, "y")
            y = _as_numbers(y)
        X, y = validate_data(
            self, X, y, dtype=[np.float64, np.float32], ensure_min_samples=2, **self._y_params
        )
        _refuse_dates(sample_weight, "sample_weight")
        weight = _check_sample_weight(
            one_per_row(sample_weight, X), X, dtype=np.float64, ensure_non_negative=True
        )
        return X, y, weight

    def _seed(self) -> int:
        """What all random draws of a fit follow from."""
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    @abstractmethod
    def _encode(
        self, X: np.ndarray, y: np.ndarray, weight: np.ndarray
    ) -> tuple[DistinctRows, Loss]:
        """Rows with targets Y (n, C), and their loss, of validated data."""

    def _weighted(self, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Weights (n,) in fits: those of samples, times those of classes if there are any."""
        return weight

    def _training(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Training:
        """What every rank, shrinkage and beta share, of validated data."""
        rows, loss = self._encode(X, y, weight)
        _check_spread(rows.X)
        whitening = Whitening.fit(rows.X, rows.w, scale=self.scale, eps=rows.eps)
        return Training(rows, whitening, loss)

    def _warn_of_unresolved(self, training: Training, stacklevel: int = 4) -> None:
        """Warn of directions of unscaled features that are left out."""
        whitening = training.whitening
        if lost := whitening.n_unresolved:
            warnings.warn(
                f"{lost} of {lost + len(whitening.singular_values)} independent directions of X "
                "are left out: float64 does not resolve them beside the largest; use scale=True, "
                "or rescale X.",
                UserWarning,
                stacklevel=stacklevel,
            )

    def _warn_of_fragile(self, fits: Iterable[Fit]) -> None:
        """Warn of directions along which predictions hang on the last digits of new rows."""
        bases = dict.fromkeys(fit.basis for fit in fits if fit.n_neurons)  # points share them
        basis = max(bases, key=lambda basis: basis.n_fragile, default=None)
        if basis and basis.n_fragile:
            names = getattr(self, "feature_names_in_", np.arange(len(basis.weights)))
            some = [str(name) for name in names[basis.combined]]
            listed = ", ".join(some[:MAX_NAMED]) + (" and others" if some[MAX_NAMED:] else "")
            warnings.warn(
                f"Some columns of X are nearly combinations of others (columns {listed}): along "
                f"{basis.n_fragile} of {basis.rank} directions rows vary by less than {NOISE:g} of "
                "a column's standard deviation, and noise that small in new rows changes "
                "predictions; use shrinkage > 0, a smaller rank or fewer columns.",
                UserWarning,
                stacklevel=4,
            )

    def _set_fit(self, fit: Fit) -> None:
        """Set the fitted attributes."""
        for name in (*RESULTS, "beta", "backend", "device", "zero_loss", "history"):
            setattr(self, f"{name}_", getattr(fit, name))
        self._tol = fit.tol
        self.mean_ = fit.basis.whitening.mean.copy()
        self.scale_ = fit.basis.whitening.scale.copy()
        self.singular_values_ = fit.basis.singular_values.copy()
        self._set_network(fit.network)

    def _warn_unless_converged(self, fit: Fit) -> None:
        if fit.converged:
            return
        begin, end = "Interrupted: the" if fit.interrupted else "The", ADVICE[fit.ended_by]
        gap = relative_gap(fit.dual_gap, fit.zero_loss)
        warnings.warn(
            f"{begin} duality gap is {gap:.2e} of the loss without neurons (tol={self.tol:g}) "
            f"after {fit.n_iter} iterations (max_iter={self.max_iter}, max_time={self.max_time}); "
            f"{end}",
            ConvergenceWarning,
            stacklevel=4,
        )

    def _set_network(self, network: Network) -> None:
        self._network, network = network, deepcopy(network)  # edits of attributes do not reach it
        self.coefs_ = network.coefs
        self.intercepts_ = network.intercepts
        self.gamma_ = network.gamma
        self.alpha_ = network.alpha
        self.hidden_directions_ = network.directions
        self.gates_ = None
        if network.gates is not None:
            V, c = network.gates
            self.gates_ = [V, c - network.mean @ V]
        self.n_neurons_ = network.W.shape[1]

    def _caption(self, gap: str) -> str:
        """What a diagram of the fitted estimator says below its name."""
        return f"{self.backend_}, {self.n_neurons_} neurons, {gap}"

    def _sk_visual_block_(self) -> Any:
        """Scikit-learn's diagram of the estimator, once fitted with the certificate below its name.

        If this fails, in a version of scikit-learn to come, the diagram is the usual one.
        """
        from sklearn.utils._repr_html.estimator import _VisualBlock

        caption = None
        if hasattr(self, "certificate_"):
            gap = relative_gap(self.dual_gap_, self.zero_loss_)
            caption = self._caption(f"relative gap {gap:.1e} ({self.certificate_})")
        return _VisualBlock(
            "single",
            self,
            names=type(self).__name__,
            name_details=str(self),
            name_caption=caption,
        )

    def to_torch(
        self, *, folded: bool = True, dtype: torch.dtype | None = None
    ) -> torch.nn.Sequential:
        """Network of PyTorch with the same outputs, in evaluation mode.

        Parameters
        ----------
        folded : bool, default=True
            Whether batch normalisation is folded into the first layer: Linear, ReLU, Linear, the
            fewest operations, and the same in both of torch's modes. False is Linear, BatchNorm1d,
            ReLU, Linear, to train on: before normalisation, neurons have mean ``running_mean`` and
            variance 1 over the training rows, weighted as in fit, whatever the shrinkage. Rows of
            equal weight, as one batch in training mode, so give the same outputs.
        dtype : torch.dtype or None, default=None
            Floating-point type of the parameters; None is `torch.float64`.

        Returns
        -------
        torch.nn.Sequential
            Maps (n_samples, n_features) to (n_samples, n_outputs): the predictions of a regressor,
            the decision function of a classifier (logits with log loss; one column for two
            classes). A network without neurons gets one of weight 0.

        Raises
        ------
        ValueError
            If there are gates, ``activation="gated_relu"``.
        TypeError
            If dtype is not a floating-point type of torch.

        Examples
        --------
        >>> import torch
        >>> from sklearn.datasets import load_diabetes
        >>> from skconvexbn import ConvexBNRegressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> model = ConvexBNRegressor(rank=1).fit(X[:100], y[:100])
        >>> with torch.no_grad():
        ...     F = model.to_torch()(torch.tensor(X))
        >>> bool(abs(F.numpy()[:, 0] - model.predict(X)).max() < 1e-8)
        True
        """
        check_is_fitted(self)
        return to_torch(self._network, folded, dtype)

    def _network_output(self, X: Any) -> np.ndarray:
        """Output (n, C) of the fitted network."""
        check_is_fitted(self)
        _refuse_dates(X, "X")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self._network.output(X)

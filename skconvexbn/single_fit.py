"""The pipeline of one fit: rows -> whitening -> Problem -> solver -> Network."""

from __future__ import annotations

from copy import copy
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import _fit_context, is_classifier
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions

from .arrangements import Arrangements, enumerate_all, sample
from .base import BIAS_SCALES, ConvexBNBase, resolve_bias_scale
from .problem import Problem
from .solvers import choose_backend
from .solvers.interface import Neurons, Options
from .task import Task, Training
from .units import unit_problem
from .whitening import Basis

# A smaller tol stands for the first, gaps below it being rounding, a larger one for the second.
MIN_TOL, MAX_TOL = 1e-9, 1e6


class SingleFit(ConvexBNBase):
    """An estimator at one beta, rank and shrinkage, which may go on from the fit before."""

    _parameter_constraints: dict[str, list[Any]] = {
        **ConvexBNBase._parameter_constraints,
        "beta": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "rank": [
            None,
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="neither"),
        ],
        "shrinkage": [Interval(Real, 0, 1, closed="both")],
        "bias_scale": BIAS_SCALES,
        "warm_start": ["boolean"],
    }

    def __init__(
        self,
        *,
        beta: float | str = "auto",
        rank: int | float | None = None,
        shrinkage: float = 0.0,
        bias_scale: float | str = 1.0,
        scale: bool = True,
        fit_intercept: bool = True,
        activation: str = "relu",
        arrangements: str = "auto",
        n_arrangements: int = 100,
        backend: str = "auto",
        device: str | None = None,
        tol: float = 1e-2,
        max_iter: int = 100,
        max_time: float | None = None,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.beta = beta
        self.rank = rank
        self.shrinkage = shrinkage
        self.bias_scale = bias_scale
        self.scale = scale
        self.fit_intercept = fit_intercept
        self.activation = activation
        self.arrangements = arrangements
        self.n_arrangements = n_arrangements
        self.backend = backend
        self.device = device
        self.tol = tol
        self.max_iter = max_iter
        self.max_time = max_time
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            At least two samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets; for a classifier class labels of shape (n_samples,), of two classes at least
            among the samples of positive weight.
        sample_weight : array-like of shape (n_samples,) or float, default=None
            Weights >= 0, not all zero; None stands for ones. Those up to 1e-30 of the largest
            count as 0.

        Returns
        -------
        object
            The fitted estimator.

        Raises
        ------
        ValueError
            If an argument or parameter is invalid, a backend does not apply, or there are too
            many arrangements or samples for it.
        TypeError
            If X or y is a sparse matrix, or X, targets or weights are dates.

        Warns
        -----
        ConvergenceWarning
            If the gap is above tol when the solver stops, or ``max_time`` or Ctrl-C ended the
            search that would vouch for it.
        UserWarning
            If columns of X are nearly combinations of others, or float64 does not resolve
            directions of unscaled features.
        """
        model = copy(self)  # a fit that fails leaves the attributes of the one before
        training = model._training(*model._validate(X, y, sample_weight))
        self._warn_of_unresolved(training)
        earlier = self._earlier_activations(training.rows.X)
        task = self._task(training, self._seed(), earlier)
        fit = task.solve(self.beta, self._start(task, earlier))
        model._set_fit(fit)
        self.__dict__ = model.__dict__
        self._warn_of_fragile([fit])
        self._warn_unless_converged(fit)
        return self

    def _task(self, training: Training, seed: int, earlier: np.ndarray | None = None) -> Task:
        """The problem at this rank, shrinkage and bias_scale, and how to solve it."""
        bias_scale = resolve_bias_scale(self.bias_scale, self.shrinkage)
        basis = training.whitening.basis(self.rank, self.shrinkage, bias_scale)
        problem, units = unit_problem(training.rows, basis, training.loss, self.fit_intercept)
        backend, chosen = choose_backend(
            self.backend, self.arrangements, self.activation, problem, basis
        )
        arrangements = None
        if chosen in ("exact", "sampled"):
            arrangements = self._make_arrangements(chosen, problem, basis, seed, earlier)
        options = Options(
            tol=min(max(self.tol, MIN_TOL), MAX_TOL),
            max_iter=self.max_iter,
            max_time=float("inf") if self.max_time is None else self.max_time,
            seed=seed,
            device=self.device,
            gated=self.activation == "gated_relu",
        )
        return Task(
            basis=basis,
            problem=problem,
            units=units,
            backend=backend,
            arrangements=arrangements,
            options=options,
            labels=is_classifier(self),
            verbose=int(self.verbose),
            name=type(self).__name__,
        )

    def _earlier_activations(self, X: np.ndarray) -> np.ndarray | None:
        """Pre-activations (n, m) of the previous fit's neurons, for a warm start."""
        fitted = self.warm_start and hasattr(self, "n_neurons_") and self.n_neurons_ > 0
        gated = self.activation == "gated_relu"  # whose gates stay what they are
        if not fitted or gated or len(self.mean_) != X.shape[1]:
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            hidden = self._network.hidden(X)
            usable = np.isfinite(np.square(hidden).sum())
        return hidden if usable else None  # features of another scale altogether

    def _start(self, task: Task, earlier: np.ndarray | None) -> Neurons | None:
        """The previous fit's neurons (H, G) as directions of this problem's Q."""
        adaptive = task.backend == "torch" and task.arrangements is None
        if earlier is None or not adaptive or self._network.G.shape[1] != task.problem.n_outputs:
            return None
        H = np.linalg.lstsq(task.problem.Q, earlier)[0]
        return H, self._network.G / task.units.output

    def _make_arrangements(
        self,
        arrangements: str,
        problem: Problem,
        basis: Basis,
        seed: int,
        earlier: np.ndarray | None,
    ) -> Arrangements:
        """All arrangements, or those of random directions and of the previous fit's neurons."""
        if arrangements == "exact":
            return enumerate_all(np.sqrt(problem.w)[:, None] * problem.Q)  # columns of norm 1
        directions = basis.random_directions(self.n_arrangements, np.random.RandomState(seed))
        sampled = sample(problem.Q, directions)
        if earlier is not None:
            sampled = sampled.union(Arrangements.from_masks((earlier >= 0).T))
        return sampled


# The regressor alone inherits it: Python's errors then name what was called.
SingleFit.__init__.__qualname__ = "ConvexBNRegressor.__init__"

"""convex_bn_path: the optimal networks along descending beta (theory.md 9)."""

from __future__ import annotations

import reprlib
import warnings
from collections import Counter
from collections.abc import Iterator
from copy import copy
from itertools import product
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from ..base import resolve_bias_scale
from ..classifier import ConvexBNClassifier
from ..fit import RESULTS, Fit
from ..regressor import ConvexBNRegressor
from ..single_fit import SingleFit
from ..solvers.interface import Ending
from ..task import Task

ESTIMATORS = {"squared_error": ConvexBNRegressor, "log_loss": ConvexBNClassifier}
# Starts, steps and last step of the oracle behind beta_max: the path starts at it.
ORACLE = 300, 200, 1e-6
# What that may be below beta_max, relative to it.
ROUNDING = 1e-6
# What to do about points of a path, by what ended them.
POINTS: dict[Ending, str] = {
    "Ctrl-C": "Interrupted: the path ends at beta={beta:g}.",
    "limit": "The duality gap is above tol={tol:g} at {k} of {n} points; increase max_iter, "
    "max_time or tol.",
    "solver": "The solver gets no further than a duality gap above tol={tol:g} at {k} of {n} "
    "points; increase tol or take another backend.",
    "max_time": "max_time={max_time} ended the search that would vouch for the duality gap at {k} "
    "of {n} points: it is above tol={tol:g} at {wide} of them, and unconfirmed at the others; "
    "increase max_time.",
}
# A fit no longer changes if the loss did so by less than this fraction of tol.
UNCHANGED = 0.01


def grid_points(ranks: Any, shrinkages: Any) -> list[tuple[Any, Any]]:
    """Each rank with each shrinkage, without repeats, or an error if there are none."""
    for name, values in (("ranks", ranks), ("shrinkages", shrinkages)):
        if getattr(values, "ndim", 1) == 0:
            raise ValueError(f"{name} must be a sequence of values to try, got {values!r}.")
    ranks = [rank.item() if isinstance(rank, np.generic) else rank for rank in ranks]
    shrinkages = [float(a) + 0.0 if isinstance(a, Real) else a for a in shrinkages]  # no -0.0
    # by repr: rank 1 is not 1.0, and what is no number need not have a hash
    pairs = list({repr(pair): pair for pair in product(ranks, shrinkages)}.values())
    if not pairs:
        raise ValueError("ranks and shrinkages must not be empty: each needs a value to try.")
    return pairs


def descending(betas: Any) -> np.ndarray:
    """Distinct betas >= 0 as a descending array, or an error that says what is wrong."""
    try:
        values = np.asarray(betas)
        numbers = values.dtype.kind in "iufO"  # not arrays of booleans, or of strings of digits
        values = values.astype(np.float64) if numbers else np.zeros(0)
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.ndim != 1 or not len(values) or not np.all((values >= 0) & np.isfinite(values)):
        raise ValueError(
            f"betas must be a non-empty sequence of finite numbers >= 0, got {reprlib.repr(betas)}."
        )
    return np.unique(values)[::-1]


@validate_params(
    {
        "betas": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "eps": [Interval(Real, 0, 1, closed="neither")],
        "ranks": ["array-like"],
        "shrinkages": ["array-like"],
        "loss": [StrOptions(set(ESTIMATORS))],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "return_networks": ["boolean"],
    },
    prefer_skip_nested_validation=False,
)
def convex_bn_path(
    X: Any,
    y: Any,
    *,
    betas: int | Any = 100,
    eps: float = 1e-3,
    ranks: Any = (None,),
    shrinkages: Any = (0.0,),
    sample_weight: Any = None,
    loss: str = "squared_error",
    early_stopping: bool | str = "auto",
    return_networks: bool = False,
    **params: Any,
) -> Bunch:
    """Optimal networks along descending beta, each started at the neurons of the one before.

    Every point minimises the objective of `ConvexBNRegressor` (``loss="squared_error"``) or
    `ConvexBNClassifier` (``loss="log_loss"``) at its beta, rank and shrinkage, with its own duality
    gap. All share one singular value decomposition.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        At least two samples.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets; class labels with ``loss="log_loss"``.
    betas : int or array-like of shape (n_betas,), default=100
        Weights of the penalty in the objective, >= 0 (0 stands for the limit of small
        beta: ``objective`` is then at the ``beta_`` of the network); an int is the length of a
        geometric grid from beta_max, the smallest beta at which the network has no neurons, for
        each rank and shrinkage.
    eps : float, default=1e-3
        Smallest over largest beta of such a grid, in (0, 1).
    ranks : array-like, default=(None,)
        Values of ``rank``, see `ConvexBNRegressor`.
    shrinkages : array-like, default=(0.0,)
        Values of ``shrinkage`` in [0, 1].
    sample_weight : array-like of shape (n_samples,) or float, default=None
        Weights >= 0, not all zero; None stands for ones. Up to 1e-30 of the largest count as 0.
    loss : {"squared_error", "log_loss"}, default="squared_error"
        Half the squared error of targets, or the cross-entropy of class labels.
    early_stopping : bool or "auto", default="auto"
        Whether to leave out the smaller betas once the fit no longer changes: the loss is at most
        tol times that of the model without neurons, or changed by less than a hundredth of that
        since the last beta. "auto" does so where ``betas`` is an int.
    return_networks : bool, default=False
        Whether to return the fitted estimators.
    **params
        Other parameters of the estimator, such as ``tol``, ``bias_scale``, ``backend`` or
        ``random_state``. ``warm_start`` has no effect: fits of a path start where the last ended
        (where arrangements are generated).

    Returns
    -------
    Bunch
        Arrays with an entry for each point, by rank, then shrinkage, then descending beta:

        - ``beta``, ``shrinkage``, ``bias_scale``, and ``rank``, the number of directions kept;
        - ``objective``, ``dual_objective`` (a lower bound) and ``dual_gap``, their difference;
        - ``loss``, the objective without its penalty;
        - ``n_neurons``; ``n_iter``, rounds of the solver;
        - ``certificate``, what the gap is relative to, and ``converged``, whether the gap reached
          tol by a search that was not cut short;
        - ``network``, a list of fitted estimators, with ``return_networks=True``.

        And ``zero_loss``, the loss of the model without neurons, of which tol is a fraction.

    Raises
    ------
    ValueError
        If an argument is invalid or a backend does not apply.
    TypeError
        If beta, rank or shrinkage are given in place of their lists, the estimator has no such
        parameter, X or y is a sparse matrix, or X, targets or weights are dates.

    Warns
    -----
    ConvergenceWarning
        If gaps are above tol, ``max_time`` ended the searches that would vouch for them, or Ctrl-C
        the path.
    UserWarning
        If columns of X are nearly combinations of others, or float64 does not resolve directions
        of unscaled features.

    See Also
    --------
    ConvexBNRegressorCV : Chooses beta, rank and shrinkage by cross-validation.
    ConvexBNClassifierCV : The same for class labels.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skconvexbn import convex_bn_path
    >>> X, y = load_diabetes(return_X_y=True)
    >>> path = convex_bn_path(X, y, betas=4, eps=0.1, ranks=(2, 4), random_state=0)
    >>> path.rank
    array([2, 2, 2, 2, 4, 4, 4, 4])
    >>> path.n_neurons[:2] > 0
    array([False,  True])
    """
    _check_names(params, ESTIMATORS[loss])
    model, grid = ESTIMATORS[loss](**params), grid_points(ranks, shrinkages)
    for rank, shrinkage in grid:
        model.set_params(rank=rank, shrinkage=shrinkage)._validate_params()
    training = model._training(*model._validate(X, y, sample_weight))
    model._warn_of_unresolved(training)
    seed = model._seed()
    models, fits = list[SingleFit](), list[Fit]()
    for rank, shrinkage in grid:
        model = copy(model).set_params(rank=rank, shrinkage=shrinkage)
        task = model._task(training, seed)
        for beta, fit in _points(model, task, betas, eps, early_stopping):
            models.append(copy(model).set_params(beta=beta))
            fits.append(fit)
        if fit.interrupted:
            break
    model._warn_of_fragile(fits)
    _warn_unless_converged(fits, model)
    path = Bunch(
        **{name: np.array([getattr(fit, name) for fit in fits]) for name in (*RESULTS, "loss")},
        beta=np.array([model.beta for model in models]),
        shrinkage=np.array([model.shrinkage for model in models]),
        bias_scale=np.array([resolve_bias_scale(m.bias_scale, m.shrinkage) for m in models]),
        zero_loss=fit.zero_loss,
    )
    if return_networks:
        for model, fit in zip(models, fits, strict=True):
            model._set_fit(fit)
        path.network = models
    return path


def _warn_unless_converged(fits: list[Fit], model: SingleFit) -> None:
    ended, found = Counter(fit.ended_by for fit in fits), []
    values = {"beta": fits[-1].beta, "tol": model.tol, "max_time": model.max_time, "n": len(fits)}
    cut_short = [fit for fit in fits if fit.ended_by == "max_time"]
    values["wide"] = sum(fit.dual_gap > fit.tol * fit.zero_loss for fit in cut_short)
    for reason, text in POINTS.items():
        if ended[reason]:
            found.append(text.format(k=ended[reason], **values))
    if found:
        warnings.warn(" ".join(found), ConvergenceWarning, stacklevel=4)


def _check_names(params: dict[str, Any], estimator: type[SingleFit]) -> None:
    """Refuse one value of what the path takes many of, and what is no parameter."""
    for name in ("beta", "rank", "shrinkage"):
        if name in params:
            raise TypeError(
                f"convex_bn_path takes {name}s, a list of values, got {name}={params[name]!r}; use "
                f"{name}s=[{params[name]!r}]."
            )
    for name in params:
        if name not in estimator().get_params():
            raise TypeError(
                f"convex_bn_path has no parameter {name!r}; besides its own it takes those of "
                f"{estimator.__name__}."
            )


def _points(
    model: SingleFit, task: Task, betas: Any, eps: float, early_stopping: bool | str
) -> Iterator[tuple[float, Fit]]:
    """Descending betas and their fits, until they no longer change."""
    automatic = isinstance(betas, Integral)
    if automatic:
        beta_max = task.units.beta * (task.beta_max(*ORACLE) or 1.0)
        grid = (1 + ROUNDING) * beta_max * np.geomspace(1.0, eps, int(betas))
    else:
        grid = descending(betas)
    last = np.inf
    stops = automatic if early_stopping == "auto" else early_stopping
    constant = not task.basis.rank and model.fit_intercept  # features, whatever neurons do
    for beta, fit in zip(grid.tolist(), task.path(grid), strict=False):
        yield beta, fit
        unit = fit.tol * fit.zero_loss
        changed = fit.loss > unit and abs(last - fit.loss) >= UNCHANGED * unit
        if stops and not changed and (fit.n_neurons or constant or not fit.zero_loss):
            break
        last = fit.loss

"""What jobs of a cross-validation do: fits to a fold along beta, and their scores (theory.md 9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from itertools import groupby
from operator import itemgetter
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ..fit import Fit
from ..single_fit import SingleFit
from ..solvers.interface import Neurons
from ..task import Task, Training
from ..threads import one_thread
from .scores import as_number, or_least


class Scored(NamedTuple):
    """Scores on held-out rows of fits, their seconds, and whether a limit ended them.

    Arrays of one shape, by candidate, or by fold and candidate. The score is NaN where the scorer
    raised, and ``error`` what it said, and where the fit was left out.
    """

    score: np.ndarray
    fit_seconds: np.ndarray
    score_seconds: np.ndarray
    limited: np.ndarray
    error: np.ndarray
    left_out: np.ndarray


_Row = tuple[float, float, float, bool, str, bool]
LEFT_OUT: _Row = (np.nan, 0.0, 0.0, False, "", True)


def at_ranks(
    grid: list[dict[str, Any]],
    model: SingleFit,
    X: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    names: np.ndarray | None,
) -> Iterator[tuple[list[SingleFit], Training]]:
    """The models of each rank in the grid, with some rows of features so named whitened once."""
    model = copy(model)
    training = model._training(*model._validate(X, y, weight))
    if names is not None:
        model.feature_names_in_ = names
    for _, points in groupby(grid, key=itemgetter("rank")):
        yield [copy(model).set_params(**params) for params in points], training


def score_paths(
    models: list[SingleFit],
    training: Training,
    seed: int,
    betas: np.ndarray,
    scorer: Callable[..., float],
    X: Any,
    y: Any,
    score_params: dict[str, Any],
    much: float | None,
    label: str | None,
) -> Scored:
    """Score each model at each beta on rows X, y. With a label print a line after each model.

    Scores are NaN where the scorer refuses predictions; other errors are of the scorer itself.
    After a score, minus a loss, that is below ``much`` times the best of a model, its smaller
    betas are left out.
    """
    results: list[_Row] = []
    before: list[Fit] = []
    with one_thread():
        for model in models:
            begin, best, rows, fits = perf_counter(), -np.inf, list[_Row](), list[Fit]()
            for fit in fits_along_beta(model, training, seed, betas, before):
                fits.append(fit)
                candidate = copy(model).set_params(beta=float(betas[len(rows)]))
                candidate._set_fit(fit)
                rows.append(_scored(candidate, fit, begin, scorer, X, y, score_params))
                begin, score = perf_counter(), rows[-1][0]
                best = max(best, score) if score == score else best
                if much and score < much * best:
                    break
            rows += [LEFT_OUT] * (len(betas) - len(rows))
            if label:
                _report(label, model, betas, _columns(rows))
            results, before = results + rows, fits
    return _columns(results)


def _scored(
    model: SingleFit,
    fit: Fit,
    begin: float,
    scorer: Callable[..., float],
    X: Any,
    y: Any,
    score_params: dict[str, Any],
) -> _Row:
    """The row of a fitted model, whose fit began at that time."""
    fitted, returned, error = perf_counter(), np.nan, ""
    try:
        returned = scorer(model, X, y, **score_params)
    except (ValueError, ArithmeticError) as raised:
        error = str(raised) or repr(raised)
    score, limited = as_number(returned), fit.ended_by in ("limit", "max_time")
    return score, fitted - begin, perf_counter() - fitted, limited, error, False


def _columns(rows: list[_Row]) -> Scored:
    return Scored(*map(np.array, zip(*rows, strict=True)))


def fit_path(
    model: SingleFit, training: Training, seed: int, betas: np.ndarray, shares: np.ndarray
) -> dict[int, Fit]:
    """Fits at the betas with a share, of which there is at least one, by index."""
    with one_thread():
        first, last = np.flatnonzero(shares)[[0, -1]]
        fits = fits_along_beta(model, training, seed, betas[first : last + 1], [])
        return {j: fit for j, fit in enumerate(fits, first) if shares[j]}


def fits_along_beta(
    model: SingleFit, training: Training, seed: int, betas: np.ndarray, before: list[Fit]
) -> Iterator[Fit]:
    """Fits along beta, without certificates, beside the neurons of the model before.

    An interruption ends the search, not one of them.
    """
    task = _quick(model)._task(training, seed)
    beside = [_translated(fit, task) for fit in before]
    beside += [None] * (len(betas) - len(before))
    for fit in task.path(betas, certify=False, beside=beside):
        if fit.interrupted:
            raise KeyboardInterrupt
        yield fit


def _translated(fit: Fit, task: Task) -> Neurons | None:
    """The neurons of a fit as those of the task, unless tol tells no network from theirs.

    One with so small an objective is as good for the task as any: the scores would be its own.
    """
    if fit.start is None or fit.objective <= fit.tol * fit.zero_loss:
        return None
    H, G = fit.start
    return task.basis.translate(H, fit.basis), G


def _quick(model: SingleFit) -> SingleFit:
    """The model without the enumeration of a few arrangements: what it proves is not asked for."""
    if model.activation == "relu" and model.backend == model.arrangements == "auto":
        return copy(model).set_params(arrangements="adaptive")
    return model


def _report(label: str, model: SingleFit, betas: np.ndarray, scored: Scored) -> None:
    best = int(or_least(scored.score).argmax())
    seconds = scored.fit_seconds.sum() + scored.score_seconds.sum()
    print(
        f"{label}, rank {model.rank}, shrinkage {model.shrinkage:g}: best score "
        f"{scored.score[best]:.4g} at beta {betas[best]:.4g}, {seconds:.2f} s"
    )

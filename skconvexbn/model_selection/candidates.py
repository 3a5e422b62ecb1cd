"""What jobs of a cross-validation do: fits to a fold along beta, and their scores (theory.md 9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from itertools import groupby
from operator import itemgetter
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from ..fit import Fit
from ..single_fit import SingleFit
from ..solvers.interface import Neurons
from ..task import Task, Training
from ..threads import one_thread
from .scores import as_number, or_least


class Scored(NamedTuple):
    """Scores on held-out rows of fits, their seconds, and whether a limit ended them.

    Arrays (n_models, n_betas) of a job, or (n_folds, n_candidates). Scores are NaN where the scorer
    raised, and ``error`` is what it said; scores and seconds where fits were left out.
    """

    score: np.ndarray
    fit_seconds: np.ndarray
    score_seconds: np.ndarray
    limited: np.ndarray
    error: np.ndarray
    left_out: np.ndarray


# A path ends where the mean loss of the folds is more than this many times its smallest.
MUCH = 1.25
_Row = tuple[float, float, float, bool, str, bool]
LEFT_OUT: _Row = (np.nan, np.nan, np.nan, False, "", True)


class Job(NamedTuple):
    """The models of one fold at one rank, its whitened rows to fit, and its rows to score.

    With a label a line is printed after each model.
    """

    models: list[SingleFit]
    training: Training
    X: Any
    y: Any
    score_params: dict[str, Any]
    label: str | None


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


def score_all(
    jobs: list[Job],
    n_folds: int,
    seed: int,
    parts: list[np.ndarray],
    scorer: Callable[..., float],
    parallel: Parallel,
) -> Scored:
    """Scores by fold and candidate; between parts of the betas the paths of models may end."""
    n_models = [len(job.models) for job in jobs[: len(jobs) // n_folds]]
    going = np.ones(sum(n_models), dtype=bool)
    starts: list[list[Neurons | None]] = [[None] * len(job.models) for job in jobs]
    found: list[Scored] = []
    for betas in parts:
        of_jobs = np.split(going, np.cumsum(n_models)[:-1]) * n_folds
        results = parallel(
            delayed(score_paths)(job, seed, betas, scorer, *state)
            for job, *state in zip(jobs, starts, of_jobs, strict=True)
        )
        starts = [ends for _, ends in results]
        columns = zip(*(scored for scored, _ in results), strict=True)
        shape = n_folds, len(going), len(betas)
        found.append(Scored(*(np.concatenate(column).reshape(shape) for column in columns)))
        scores = np.concatenate([scored.score for scored in found], axis=2)
        going = going & ~_have_ended(-scores)
    columns = zip(*found, strict=True)
    return Scored(*(np.concatenate(column, axis=2).reshape(n_folds, -1) for column in columns))


def _have_ended(losses: np.ndarray) -> np.ndarray:
    """Which paths of losses (n_folds, n_models, n_betas) have grown much since their smallest.

    In the mean, and at all in every fold: where rows are sorted losses may rise and fall again.
    """
    mean = losses.mean(axis=0)
    much = mean[:, -1] > MUCH * mean.min(axis=1)
    return much & np.all(losses[:, :, -1] > losses.min(axis=2), axis=0)


def score_paths(
    job: Job,
    seed: int,
    betas: np.ndarray,
    scorer: Callable[..., float],
    starts: list[Neurons | None],
    going: np.ndarray,
) -> tuple[Scored, list[Neurons | None]]:
    """Score each model at each beta, from its start on, and where its next fit starts.

    Those that are not going on are left out. Scores are NaN where the scorer refuses predictions;
    other errors are of the scorer itself.
    """
    results, ends, before = list[_Row](), list(starts), list[Fit]()
    with one_thread():
        for i, model in enumerate(job.models):
            if not going[i]:
                results += [LEFT_OUT] * len(betas)
                continue
            rows, fits, begin = list[_Row](), list[Fit](), perf_counter()
            path = fits_along_beta(model, job.training, seed, betas, before, starts[i])
            for beta, fit in zip(betas.tolist(), path, strict=True):
                candidate = copy(model).set_params(beta=beta)
                candidate._set_fit(fit)
                rows.append(_scored(candidate, fit, begin, scorer, job))
                fits.append(fit)
                begin = perf_counter()
            if job.label:
                _report(job.label, model, betas, Scored(*map(np.array, zip(*rows, strict=True))))
            results, before, ends[i] = results + rows, fits, fits[-1].start
    columns = (np.reshape(column, (len(job.models), -1)) for column in zip(*results, strict=True))
    return Scored(*columns), ends


def _scored(
    model: SingleFit,
    fit: Fit,
    begin: float,
    scorer: Callable[..., float],
    job: Job,
) -> _Row:
    """The row of a fitted model, whose fit began at that time."""
    fitted, returned, error = perf_counter(), np.nan, ""
    try:
        returned = scorer(model, job.X, job.y, **job.score_params)
    except (ValueError, ArithmeticError) as raised:
        error = str(raised) or repr(raised)
    score, limited = as_number(returned), fit.ended_by in ("limit", "max_time")
    return score, fitted - begin, perf_counter() - fitted, limited, error, False


def fit_path(
    model: SingleFit, training: Training, seed: int, betas: np.ndarray, shares: np.ndarray
) -> dict[int, Fit]:
    """Fits at the betas with a share, of which there is at least one, by index."""
    with one_thread():
        first, last = np.flatnonzero(shares)[[0, -1]]
        fits = fits_along_beta(model, training, seed, betas[first : last + 1])
        return {j: fit for j, fit in enumerate(fits, first) if shares[j]}


def fits_along_beta(
    model: SingleFit,
    training: Training,
    seed: int,
    betas: np.ndarray,
    before: Sequence[Fit] = (),
    start: Neurons | None = None,
) -> Iterator[Fit]:
    """Fits along beta from a start, without certificates, beside the neurons of the model before.

    An interruption ends the search, not one of them.
    """
    task = _quick(model)._task(training, seed)
    beside = [_translated(fit, task) for fit in before]
    for fit in task.path(betas, certify=False, beside=beside, start=start):
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

"""Whether the folds of a cross-validation can be fitted and scored, before any is."""

from __future__ import annotations

import reprlib
import warnings
from typing import Any

import numpy as np

from ..data import counted


def as_fold(pair: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices to fit and to score on, or masks, of what a splitter yields for n samples."""
    try:
        train, test = pair
    except (TypeError, ValueError):
        raise ValueError(
            f"cv has {reprlib.repr(pair)}, which is not two parts; give a list of pairs, of lists "
            "of indices, or masks, to fit and to score on."
        ) from None
    return _as_indices(train, n), _as_indices(test, n)


def _as_indices(part: Any, n: int) -> np.ndarray:
    """Indices of a part of a fold, or a mask; those out of the range of n samples are refused."""
    indices = np.asarray(part)
    if not indices.size:
        return indices.astype(int)
    if indices.dtype.kind == "b" and indices.shape != (n,):
        raise ValueError(f"cv has a mask of shape {indices.shape}, X has {n} samples; give ({n},).")
    if indices.dtype.kind not in "iub" or indices.ndim != 1:
        raise ValueError(
            f"cv has a part of shape {indices.shape} and type {indices.dtype}; give lists of "
            "indices, which are integers, or masks."
        )
    if indices.dtype.kind in "iu" and not -n <= indices.min() <= indices.max() < n:
        bad = indices[(indices < -n) | (indices >= n)][0]
        raise ValueError(f"cv has index {bad}, X has {n} samples; give indices below that.")
    return indices


def check_folds(
    y: np.ndarray,
    weight: np.ndarray,
    folds: list[tuple[np.ndarray, np.ndarray]],
    classes: bool,
    test_weight: np.ndarray | None,
) -> None:
    """Refuse folds that cannot be fitted or scored: the errors there would not name them.

    Warn of classes that a network has not seen where it is scored, by ``test_weight`` if not None.
    """
    unseen = set[Any]()
    for k, (train, test) in enumerate(folds, 1):
        place = f"{k} of {len(folds)}"
        fitted = y[train][counted(weight[train])]
        if len(y[train]) < 2:
            raise ValueError(
                f"Training fold {place} has fewer than 2 samples; use a cv that leaves more to fit."
            )
        if not len(fitted):
            raise ValueError(
                f"Training fold {place} has no sample of positive weight; use a cv that shuffles, "
                "fewer folds, or drop samples of zero weight."
            )
        if classes:
            scored = y[test] if test_weight is None else y[test][test_weight[test] > 0]
            unseen.update(np.setdiff1d(scored, fitted).tolist())
        if classes and len(np.unique(fitted)) == 1:
            raise ValueError(
                f"Training fold {place} has one class among samples of positive weight; use a cv "
                "that shuffles or stratifies, or more samples of the other classes."
            )
        if not len(y[test]):
            raise ValueError(f"Test fold {place} is empty; use a cv with samples in every fold.")
        if test_weight is not None and not np.any(test_weight[test] > 0):
            raise ValueError(
                f"Test fold {place} has no sample of positive weight; use a cv that shuffles, "
                "fewer folds, or drop samples of zero weight."
            )
    if unseen:
        warnings.warn(
            f"Training folds lack classes that their test folds have: {sorted(unseen)}; scores say "
            "little there. Use a cv that shuffles or stratifies, or more samples of these classes.",
            UserWarning,
            stacklevel=5,
        )

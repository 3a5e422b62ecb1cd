"""Scores of classes as losses, and what scorers take and return."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from inspect import Parameter, signature
from numbers import Real
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer, get_scorer_names

from ..targets import Classification


def neg_log_loss(
    model: Classification, X: np.ndarray, y: np.ndarray, sample_weight: Any = None
) -> float:
    """Minus the mean cross-entropy; labels the model has not seen have probability 0.

    Probabilities are at least the spacing of float64, as in scikit-learn's log_loss.
    """
    p = _of_labels(model.predict_proba(X), model.classes_, y)
    return float(np.average(np.log(np.maximum(p, np.finfo(np.float64).eps)), weights=sample_weight))


def neg_brier_score(
    model: Classification, X: np.ndarray, y: np.ndarray, sample_weight: Any = None
) -> float:
    """Minus the mean squared distance of the probabilities to one-hot labels."""
    P = model.predict_proba(X)
    p = _of_labels(P, model.classes_, y)
    return -float(np.average(np.square(P).sum(axis=1) - 2 * p + 1, weights=sample_weight))


def _of_labels(P: np.ndarray, classes: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Probability (n,) of the label y in each row of P (n, n_classes)."""
    column = np.searchsorted(classes, y).clip(max=len(classes) - 1)
    return np.where(classes[column] == y, P[np.arange(len(y)), column], 0.0)


def takes_weight(scorer: Callable[..., float]) -> bool:
    """Whether the scorer, or the metric in it, has a parameter for weights."""
    try:
        parameters = signature(getattr(scorer, "_score_func", scorer)).parameters
    except ValueError:  # of a metric that is built in, such as max
        return False
    open_ended = any(p.kind is Parameter.VAR_KEYWORD for p in parameters.values())
    return open_ended or "sample_weight" in parameters


def is_gain(scorer: Callable[..., float]) -> bool:
    """Whether the scorer has a metric of scikit-learn that is no loss, such as R2."""
    metric = getattr(scorer, "_score_func", None)
    named = (get_scorer(name) for name in get_scorer_names())
    return metric is not None and any(s._score_func is metric and s._sign > 0 for s in named)


def as_number(score: Any) -> float:
    """What a scorer returned, if it is a number."""
    if hasattr(score, "item"):
        with suppress(ValueError, RuntimeError):  # it has several
            score = score.item()
    if not isinstance(score, Real):
        raise ValueError(f"scoring must return a number, got {score!r}; return one float.")
    return float(score)


def or_least(scores: np.ndarray) -> np.ndarray:
    """Scores with NaN as the least."""
    return np.where(np.isnan(scores), -np.inf, scores)

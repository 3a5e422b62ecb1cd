"""How much of the targets' variance is noise, by a linear fit and by neighbours (theory.md 8)."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from .data import weighted_mean
from .problem import Problem

N_NEIGHBOURS = 3
# Rows whose neighbours are looked for, at most: enough to tell the share to some per cent.
MAX_ROWS = 2_000
# Smaller estimates are not trusted.
LEAST = 0.01
# Variances below this are rounding, in units of the mean square.
ROUNDING = 1e-24


def noise_share(problem: Problem) -> float:
    """Share of the variance of the targets that is noise, in [LEAST, 1].

    What equal rows differ by, and the smaller of two estimates of the rest: the residual variance
    of least squares on Q, whose columns have to be orthogonal under the weights (theory.md 7), and
    that of the means of the nearest neighbours among the rows of Q. Several outputs share one.
    """
    Q, Y, w = problem.Q, problem.Y, problem.w
    total = total_variation(problem)
    if total == 0 or len(Q) <= Q.shape[1]:
        return 1.0
    between = min(_linear_residual(Q, Y, w), _neighbours_residual(Q, Y, w))
    return float(np.clip((_within(problem) + between) / total, LEAST, 1.0))


def total_variation(problem: Problem) -> float:
    """Weighted sum of the squared distances of the targets to their mean; 0 if it is rounding."""
    Y, w = problem.Y, problem.w
    variation = w @ np.square(Y - weighted_mean(Y, w)).sum(axis=1) + _within(problem)
    return float(variation) if variation > ROUNDING * (w @ np.square(Y).sum(axis=1)) else 0.0


def _within(problem: Problem) -> float:
    """The part of it that merging equal rows took out of the targets, for labels in {0, 1}."""
    if problem.loss.quadratic:
        return 2 * problem.constant
    return float(problem.w @ (problem.Y - problem.Y**2).sum(axis=1))


def _linear_residual(Q: np.ndarray, Y: np.ndarray, w: np.ndarray) -> float:
    """Unbiased residual variance of weighted least squares, times the sum of weights.

    Few degrees of freedom may leave next to nothing of pure noise: at least half have to be left.
    """
    n, q = w.sum() ** 2 / (w @ w), Q.shape[1]  # the rows that weights amount to (Kish)
    if n < 2 * q:
        return np.inf
    size = np.abs(Q).max(axis=0)
    Q = Q[:, size > 0] / size[size > 0]
    coefficients = (Q.T @ (w[:, None] * Y)) / (w @ np.square(Q))[:, None]
    return float(w @ np.square(Y - Q @ coefficients).sum(axis=1) * n / (n - q))


def _neighbours_residual(Q: np.ndarray, Y: np.ndarray, w: np.ndarray) -> float:
    """Variance about the means of the nearest neighbours, less theirs, times the sum of weights."""
    k, n_rows = min(N_NEIGHBOURS, len(Q) - 1), min(len(Q), MAX_ROWS)
    Q = Q - weighted_mean(Q, w)  # a large constant column would swamp distances
    # Some rows of every distance from the centre: affine maps of X do not change which.
    by_distance = np.argsort(np.einsum("ij,ij->i", Q, Q), kind="stable")
    rows = by_distance[np.linspace(0, len(Q) - 1, n_rows).round().astype(int)]
    found = NearestNeighbors(n_neighbors=k + 1).fit(Q).kneighbors(Q[rows], return_distance=False)
    others_first = np.argsort(found == rows[:, None], axis=1, kind="stable")[:, :k]
    nearest = np.take_along_axis(found, others_first, axis=1)
    share = w[nearest] / w[nearest].sum(axis=1, keepdims=True)
    R = Y[rows] - np.einsum("ik,ikc->ic", share, Y[nearest])
    mean = (w[rows] @ np.square(R).sum(axis=1)) / w[rows].sum()
    return float(mean * w.sum() * k / (k + 1))

"""How much of the targets' variance is noise, by a linear fit and by neighbours (theory.md 8)."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from .losses import SquaredError
from .problem import Problem

N_NEIGHBOURS = 3
# Rows whose neighbours are looked for: enough to tell the share to some per cent.
MAX_ROWS = 2_000
# No data set shows that it has less noise than this.
LEAST = 0.01


def noise_share(problem: Problem) -> float:
    """Share of the variance of the targets that is noise, in [LEAST, 1].

    The smaller of two estimates: the residual variance of least squares on Q, and that of the
    means of the nearest neighbours among the rows of Q.
    """
    w, Y, total = problem.w, problem.Y, problem.w.sum()
    if isinstance(problem.loss, SquaredError):
        within, variance = 2 * problem.constant, 2 * problem.zero_loss
    else:  # labels of merged rows are averaged
        p = (w / total) @ Y
        within, variance = float(w @ (Y - Y**2).sum(axis=1)), float(total * (p - p**2).sum())
    if variance <= 0:
        return 1.0
    between = min(_linear_residual(problem.Q, Y, w), _neighbours_residual(problem.Q, Y, w))
    return float(np.clip((within + between) / variance, LEAST, 1.0))


def _linear_residual(Q: np.ndarray, Y: np.ndarray, w: np.ndarray) -> float:
    """Unbiased residual variance of weighted least squares, times the sum of weights.

    The columns of Q are orthogonal under the weights, whatever rank and shrinkage (theory.md 7).
    """
    n, q = Q.shape
    if n <= q:
        return np.inf
    coefficients = (Q.T @ (w[:, None] * Y)) / (w @ np.square(Q))[:, None]
    return float(w @ np.square(Y - Q @ coefficients).sum(axis=1)) * n / (n - q)


def _neighbours_residual(Q: np.ndarray, Y: np.ndarray, w: np.ndarray) -> float:
    """Variance about the means of the nearest neighbours, less theirs, times the sum of weights."""
    n = len(Q)
    k = min(N_NEIGHBOURS, n - 1)
    if k == 0:
        return np.inf
    # Some rows of every distance from the centre: affine maps of X do not change which.
    rows = np.argsort(np.einsum("ij,ij->i", Q, Q), kind="stable")[:: -(-n // MAX_ROWS)]
    found = NearestNeighbors(n_neighbors=k + 1).fit(Q).kneighbors(Q[rows], return_distance=False)
    others_first = np.argsort(found == rows[:, None], axis=1, kind="stable")[:, :k]
    nearest = np.take_along_axis(found, others_first, axis=1)
    share = w[nearest] / w[nearest].sum(axis=1, keepdims=True)
    R = Y[rows] - np.einsum("ik,ikc->ic", share, Y[nearest])
    mean = (w[rows] @ np.square(R).sum(axis=1)) / w[rows].sum()
    return float(mean * w.sum() * k / (k + 1))

"""The rule behind beta="auto": by the share of noise in the targets' variance (theory.md 8)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh
from sklearn.neighbors import NearestNeighbors

from .data import weighted_mean
from .problem import Problem
from .units import Units
from .whitening import Basis


class Rule(NamedTuple):
    """A constant times nu^1.5 q n^-1/4, and the share of beta_max that is most, with many rows.

    n counts up to so many rows for each column of Q: beta below that would follow noise.
    """

    constant: float
    share: float
    rows: int


# Few rows, or few of one class, would leave no neurons without the share; a tenth for log loss
# would follow classes of next to no weight.
SQUARED_ERROR, LOG_LOSS = Rule(0.5, 0.1, 200), Rule(0.16, 0.2, 100)
# Of squared error on one-hot vectors, which the above alone would give too many neurons: the
# constant of the least beta.
ONE_HOT = 0.7
# Where nu is above the first, and so is what a kernel leaves, the share grows, to ALL_NOISE where
# both are above the second.
NOISY, PURE, ALL_NOISE = 0.85, 0.95, 0.4
N_NEIGHBOURS = 3
# Rows whose neighbours are looked for, at most: enough to tell the share to some per cent.
MAX_ROWS = 2_000
# Rows for the kernel, at most, and its ridges in units of its trace.
MAX_KERNEL, RIDGES = 1_000, np.logspace(-6, 1, 15)
# Smaller estimates are not trusted.
LEAST = 0.01
# Variances below this are rounding, in units of the mean square.
ROUNDING = 1e-24


def auto_beta(problem: Problem, basis: Basis, units: Units, beta_max: float, labels: bool) -> float:
    """A constant times nu^1.5 q t^2 n^-1/4 in the units of the data, and of std(Y) if quadratic.

    nu is the share of noise in the targets, t how much longer new rows are in Q, n the sum of the
    weights, 200 q (log loss: 100 q) at most. No more than a share of beta_max, the smallest beta of
    the zero model in the same units, which targets that do not vary get; the share grows with t,
    and where all seems to be noise. One-hot vectors of labels with squared error get 0.7 var(Y)
    sqrt(q) / beta_max at least.
    """
    squared = problem.loss.quadratic
    rule = SQUARED_ERROR if squared else LOG_LOSS
    t = inflation(problem, basis)
    share = max(rule.share, 1 - t**-0.5)
    q, total, variation = problem.Q.shape[1], problem.w.sum(), total_variation(problem)
    if variation == 0:
        return float(share * beta_max)
    nu = noise_share(problem)
    if share < ALL_NOISE:
        share = max(share, rule.share + (ALL_NOISE - rule.share) * noisiness(problem, nu))
    n = min(units.weight * total, rule.rows * q)
    beta = rule.constant * nu**1.5 * q * t**2 / n**0.25
    if squared:
        deviation = units.output * np.sqrt(variation / total)
        beta *= deviation
        if labels and problem.n_outputs > 1:
            beta = max(beta, ONE_HOT * deviation**2 * np.sqrt(q) / beta_max)
    return float(min(beta, share * beta_max))


def inflation(problem: Problem, basis: Basis) -> float:
    """How much longer new rows are in Q than its own, in squares: by rows left out (theory.md 8).

    At least 1, and finite.
    """
    Q, w, rank = problem.Q[:, :-1], problem.w, basis.rank
    leverages = w @ np.einsum("ij,ij->i", Q, Q) + 1
    n = max(basis.whitening.weight, _kish(w))  # weights may sum to 1
    left = 1 - (1 - basis.shrinkage) * leverages / n
    if rank == 0 or rank < len(Q) - 1:
        return float(1 / max(left, 1 / len(Q)))
    # Any row is an affine combination of the others, which are orthogonal in the Q without it.
    U = w[:, None] * np.square(Q)
    U = U[U.any(axis=1)] / U.sum(axis=0)  # squares of left singular vectors
    inverse = np.square(basis.singular_values[0] / basis.singular_values)
    alone = np.median((U @ inverse**2) / (U @ inverse) / (U @ inverse)) - 1
    return float(max(min(alone, 1 / left if left > 0 else np.inf), 1.0))


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


def noisiness(problem: Problem, nu: float) -> float:
    """How sure it is, from 0 to 1, that the targets are all noise: by nu and by a kernel.

    That tells some signals, as the sum of many squares, that lines and neighbours do not. Of less
    than 2 q rows nothing is sure.
    """
    if nu <= NOISY or _kish(problem.w) < 2 * problem.Q.shape[1]:
        return 0.0
    residual = _within(problem) + _kernel_residual(problem.Q, problem.Y, problem.w)
    kernel = residual / total_variation(problem)
    return float(np.clip((min(nu, kernel) - NOISY) / (PURE - NOISY), 0.0, 1.0))


def total_variation(problem: Problem) -> float:
    """Weighted sum of the squared distances of the targets to their mean; 0 if it is rounding."""
    Y, w = problem.Y, problem.w
    variation = w @ np.square(Y - weighted_mean(Y, w)).sum(axis=1) + _within(problem)
    return float(variation) if variation > ROUNDING * (w @ np.square(Y).sum(axis=1)) else 0.0


def _kish(w: np.ndarray) -> float:
    """The number of rows that weights amount to (Kish 1965)."""
    return float(w.sum() ** 2 / (w @ w))


def _within(problem: Problem) -> float:
    """The part of it that merging equal rows took out of the targets, for labels in {0, 1}."""
    if problem.loss.quadratic:
        return 2 * problem.constant
    return float(problem.w @ (problem.Y - problem.Y**2).sum(axis=1))


def _linear_residual(Q: np.ndarray, Y: np.ndarray, w: np.ndarray) -> float:
    """Unbiased residual variance of weighted least squares, times the sum of weights.

    Few degrees of freedom may leave next to nothing of pure noise: at least half have to be left.
    """
    n, q = _kish(w), Q.shape[1]
    if n < 2 * q:
        return np.inf
    size = np.abs(Q).max(axis=0)
    Q = Q[:, size > 0] / size[size > 0]
    coefficients = (Q.T @ (w[:, None] * Y)) / (w @ np.square(Q))[:, None]
    return float(w @ np.square(Y - Q @ coefficients).sum(axis=1) * n / (n - q))


def _neighbours_residual(Q: np.ndarray, Y: np.ndarray, w: np.ndarray) -> float:
    """Variance about the means of the nearest neighbours, less theirs, times the sum of weights."""
    k = min(N_NEIGHBOURS, len(Q) - 1)
    Q = Q - weighted_mean(Q, w)  # a large constant column would swamp distances
    rows = _spread(Q, MAX_ROWS)
    found = NearestNeighbors(n_neighbors=k + 1).fit(Q).kneighbors(Q[rows], return_distance=False)
    others_first = np.argsort(found == rows[:, None], axis=1, kind="stable")[:, :k]
    nearest = np.take_along_axis(found, others_first, axis=1)
    share = w[nearest] / w[nearest].sum(axis=1, keepdims=True)
    R = Y[rows] - np.einsum("ik,ikc->ic", share, Y[nearest])
    mean = (w[rows] @ np.square(R).sum(axis=1)) / w[rows].sum()
    return float(mean * w.sum() * k / (k + 1))


def _kernel_residual(Q: np.ndarray, Y: np.ndarray, w: np.ndarray) -> float:
    """Variance that ridge regression leaves in rows left out, times the sum of weights.

    On the kernel of relu(Q h) for random h (Cho and Saul 2009), at the best of the ridges.
    """
    rows, total = _spread(Q - weighted_mean(Q, w), MAX_KERNEL), w.sum()
    Q, Y, root = Q[rows], Y[rows], np.sqrt(w[rows])
    norms = np.linalg.norm(Q, axis=1)
    Q = Q / np.maximum(norms, 1e-300)[:, None]
    angles = np.arccos(np.clip(Q @ Q.T, -1.0, 1.0))
    K = np.outer(root * norms, root * norms)
    K *= np.sin(angles) + (np.pi - angles) * np.cos(angles)
    mean, Y = root / np.linalg.norm(root), root[:, None] * Y
    for _ in range(2):  # the mean is free: its direction leaves both sides
        K = K.T - np.outer(K.T @ mean, mean)
    Y = Y - np.outer(mean, mean @ Y)
    s, U = eigh(K)
    s, A, squares, left = np.maximum(s, 0.0), U.T @ Y, np.square(U), []
    for ridge in max(s.sum(), 1e-300) * RIDGES:
        kept = s / (s + ridge)
        leverages = squares @ kept + mean**2
        R = (Y - U @ (kept[:, None] * A)) / np.maximum(1 - leverages, 1e-9)[:, None]
        left.append(np.square(R).sum())
    return float(min(left) * total / np.square(root).sum())


def _spread(Q: np.ndarray, at_most: int) -> np.ndarray:
    """Some rows of every distance from the centre: affine maps of X do not change which."""
    by_distance = np.argsort(np.einsum("ij,ij->i", Q, Q), kind="stable")
    return by_distance[np.linspace(0, len(Q) - 1, min(len(Q), at_most)).round().astype(int)]

"""Output weights of given neurons, to the resolution of float64 (theory.md 11).

    min over G, b of Loss(R G + 1 b^T, Y) + beta sum_j ||g_j||

by Newton's method on sqrt(||g||^2 + eps^2), with eps going to zero.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from ..blocks import blocks
from ..data import weighted_mean
from ..problem import Problem

# Newton systems of up to this many unknowns take milliseconds.
MAX_UNKNOWNS = 500
# Share of a diagonal added to it where systems may be singular.
RIDGE = 1e-12
# Curvature of a neuron that has a row alone, below which it is not eliminated: that would overflow.
FLAT = 1e-100
# Products of pairs of features are formed so many at a time.
BLOCK_ENTRIES = 1 << 20


def group_lasso(
    problem: Problem, R: np.ndarray, G: np.ndarray, b: np.ndarray, eps: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """Minimiser (G, b) for features R (n, m), from a start whose error is about eps.

    ``eps`` is in units of sqrt(sum of weights), as the norms of output weights are. Groups that
    come out below 1e-8 in that unit are zero.
    """
    m, unit = len(G), float(np.sqrt(problem.w.sum()))
    x = G
    if problem.fit_intercept:
        R = np.concatenate([R, np.ones((len(R), 1))], axis=1)
        x = np.concatenate([G, b[None, :]])
    sizes = unit * 10.0 ** np.arange(np.floor(np.log10(eps)), -12, -2)
    for size in sizes:
        x = _newton(problem, R, x, m, size, last=size == sizes[-1])
    G, b = x[:m], (x[m] if problem.fit_intercept else b)
    return np.where(np.linalg.norm(G, axis=1, keepdims=True) > 1e-8 * unit, G, 0.0), b


def settle_outputs(
    problem: Problem,
    H: np.ndarray,
    G: np.ndarray,
    b: np.ndarray,
    gates: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Output weights and intercept of squared error, each output by itself (theory.md 11).

    Minimises with beta/2 sum_j ||h_j|| (||g||^2 / r_j + r_j), which at r_j = ||g_j|| is the penalty
    and elsewhere no less. Solvers end within tol of the loss of all outputs: one of small variance
    may be off by many times its own.
    """
    size = np.linalg.norm(G, axis=1)
    used = size > 0
    root = np.sqrt(size[used] / np.linalg.norm(H[:, used], axis=0))
    Y, w, m = problem.Y, problem.w, len(root)
    centre = weighted_mean(Y, w) if problem.fit_intercept else np.zeros(problem.n_outputs)
    system, right, mean = problem.beta * np.eye(m), np.zeros((m, Y.shape[1])), np.zeros(m)
    for rows in problem.blocks(len(G)):
        R = problem.features(H, gates, rows)[:, used] * root
        weighted = R.T * w[rows]
        system += weighted @ R
        right += weighted @ (Y[rows] - centre)
        mean += weighted.sum(axis=1) / w.sum()
    if problem.fit_intercept:
        system -= w.sum() * np.outer(mean, mean)
    try:
        x = cho_solve(cho_factor(system), right)
    except LinAlgError:
        return G, b
    settled = np.zeros_like(G)
    settled[used] = root[:, None] * x
    intercept = centre - mean @ x if problem.fit_intercept else b
    better = problem.primal(H, settled, intercept, gates) < problem.primal(H, G, b, gates)
    return (settled, intercept) if better else (G, b)


def _newton(
    problem: Problem, R: np.ndarray, x: np.ndarray, m: int, eps: float, last: bool
) -> np.ndarray:
    """Minimise with beta sqrt(||g||^2 + eps^2) on each of the first m rows of x.

    Before the last eps, a full step whose decrement was small enough for quadratic convergence
    will do.
    """
    loss, Y, w, beta = problem.loss, problem.Y, problem.w, problem.beta

    def value(x: np.ndarray) -> float:
        with np.errstate(over="ignore", invalid="ignore"):  # a line search refuses such steps
            penalty = np.sqrt(np.square(x[:m]).sum(axis=1) + eps**2).sum()
            return loss.value(R @ x, Y, w) + beta * float(penalty)

    current = value(x)
    for _ in range(50):
        F = R @ x
        size = np.sqrt(np.square(x[:m]).sum(axis=1) + eps**2)
        unit = x[:m] / size[:, None]
        gradient = R.T @ loss.gradient(F, Y, w)
        gradient[:m] += beta * unit
        curvature = np.eye(Y.shape[1]) - unit[:, :, None] * unit[:, None, :]
        curvature *= beta / size[:, None, None]
        step = -_newton_step(R, loss.hessian(F, w), curvature, gradient)
        decrement = -float(step.ravel() @ gradient.ravel())
        if decrement <= max(1e-15 * abs(current), 1e-3 * beta * eps):
            break
        moved = _backtrack(value, x, step, current, decrement)
        if moved is None:  # at the resolution of float64
            break
        x, current, full = moved
        if full and not last and decrement <= beta * eps:
            break
    return x


def _newton_step(
    R: np.ndarray, D: np.ndarray, curvature: np.ndarray, gradient: np.ndarray
) -> np.ndarray:
    """Inverse Hessian times gradient (M, C): features R (n, M), D (n, C, C), curvature (m, C, C).

    D has the second derivatives of the loss, curvature those of the penalty. A neuron with one
    active row, as those of one class (theory.md 5), and where it is the only such neuron, meets the
    others there alone: eliminated first, it leaves them a smaller D.
    """
    m, C = curvature.shape[:2]
    alone = np.flatnonzero(np.count_nonzero(R[:, :m], axis=0) == 1)
    rows, first = np.unique((R[:, alone] != 0).argmax(axis=0), return_index=True)
    r = R[rows, alone[first]][:, None, None]
    A = r**2 * D[rows] + curvature[alone[first]]
    sound = np.diagonal(A, axis1=1, axis2=2).min(axis=1) > FLAT
    A, r, rows, alone = A[sound], r[sound], rows[sound], alone[first][sound]
    others = np.setdiff1d(np.arange(R.shape[1]), alone)
    E = r * D[rows]
    A[:, np.arange(C), np.arange(C)] *= 1 + RIDGE
    solved = np.linalg.solve(A, np.concatenate([E, gradient[alone, :, None]], axis=2))
    X, x = solved[:, :, :C], solved[:, :, C]
    D, across = D.copy(), R[rows][:, others]
    D[rows] -= E @ X
    step = np.empty_like(gradient)
    if len(others):
        system, j = _sandwich(R[:, others], D), np.flatnonzero(others < m)
        system[j, :, j, :] += curvature[others[j]]
        right = gradient[others] - across.T @ (E @ x[:, :, None])[:, :, 0]
        solved = _solve_positive(system.reshape(right.size, right.size), right.ravel())
        step[others] = solved.reshape(right.shape)
    step[alone] = x - (X @ (across @ step[others])[:, :, None])[:, :, 0]
    return step


def _sandwich(R: np.ndarray, D: np.ndarray) -> np.ndarray:
    """sum_k R_kj D_kcd R_kl, shape (j, c, l, d), by matrix products over blocks of rows k."""
    (n, M), C = R.shape, D.shape[1]
    if C == 1:
        return (R.T @ (D[:, 0] * R)).reshape(M, 1, M, 1)
    total = np.zeros((M * M, C * C))
    for rows in blocks(n, M**2, BLOCK_ENTRIES):
        r, block = R[rows], D[rows]
        pairs = (r[:, :, None] * r[:, None, :]).reshape(len(r), M * M)
        total += pairs.T @ block.reshape(len(r), C * C)
    return np.ascontiguousarray(total.reshape(M, M, C, C).transpose(0, 2, 1, 3))


def _backtrack(
    value: Callable[[np.ndarray], float],
    x: np.ndarray,
    step: np.ndarray,
    current: float,
    decrement: float,
) -> tuple[np.ndarray, float, bool] | None:
    """First of x + step, x + step / 2, ... that lowers the value enough.

    Returns it, its value, and whether it is the full step.
    """
    for t in 0.5 ** np.arange(27):
        trial = value(x + t * step)
        if trial <= current - 1e-4 * t * decrement:
            return x + t * step, trial, bool(t == 1)
    return None


def _solve_positive(A: np.ndarray, a: np.ndarray) -> np.ndarray:
    """A^{-1} a for a positive semidefinite A, scaled to a unit diagonal and barely regularised."""
    d = 1 / np.sqrt(np.maximum(A.diagonal(), 1e-300))
    scaled = A * d * d[:, None]
    for ridge in (RIDGE, 1e-10, 1e-8):
        scaled[np.diag_indices(len(A))] = 1 + ridge
        try:
            return d * cho_solve(cho_factor(scaled, lower=True), d * a)
        except LinAlgError:
            continue
    return d * np.linalg.lstsq(scaled, d * a)[0]

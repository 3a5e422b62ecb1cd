"""Quadratic programs over non-negative variables, by their support's equations (theory.md 11)."""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

# Exchanges of many variables at a time: at most, and in a row that leave as many violations.
MAX_EXCHANGES, PATIENCE = 25, 3
# Proximal points at most; their first weight, relative to the mean diagonal of M, the one below
# which the optimum itself is next, and its factors where a step succeeds and where it fails.
MAX_PROXIMAL, FIRST, LAST, LESS, MORE = 20, 1e-5, 3e-8, 0.1, 4.0
# Attempts at the optimum itself.
ATTEMPTS = 3
# Solves of the method that exchanges one at a time.
MAX_PIVOTS = 1000
# Additions to the diagonal, relative to its mean: the first that makes M positive definite.
RIDGES = 1e-13, 1e-11, 1e-9


def nonnegative_qp(M: np.ndarray, a: np.ndarray, tol: float, start: np.ndarray) -> np.ndarray:
    """Minimise 1/2 c^T M c - a^T c over c >= 0, for a positive semidefinite M (k, k).

    From ``start`` (k,), non-negative, to dual residuals a - M c of at most tol. Where M is singular
    beyond rounding, the result may be a feasible point short of the optimum.

    Exchanges of many variables fail where columns are nearly dependent; then they lead from one
    proximal point, the minimiser of the above plus rho/2 ||c - last||^2, to the next, for ever
    smaller rho. One exchange at a time, which always ends, takes several times as many equations.
    """
    if not np.any(a > 0):
        return np.zeros_like(a)
    tol += 1e-14 * float(np.abs(a).max())
    c, rho, size, left = start, 0.0, float(M.diagonal().mean()), ATTEMPTS
    for _ in range(MAX_PROXIMAL):
        P = M + np.diag(np.full(len(a), rho * size)) if rho else M
        found = _exchange_many(P, a + rho * size * c, tol, c > 0)
        if found is None:
            left -= not rho
            if not left:
                break
            rho = MORE * rho or FIRST
        elif not rho:
            return found
        else:
            c, rho = found, LESS * rho if rho > LAST else 0.0
    return _exchange_one(M, a, tol, c)


def _exchange_many(M: np.ndarray, a: np.ndarray, tol: float, free: np.ndarray) -> np.ndarray | None:
    """Block principal pivoting: all that violate their constraint change sides at once.

    Nothing makes that converge, though it mostly does, in some ten solves: None if it does not
    (J. Judice and F. Pires, "A block principal pivoting algorithm for large-scale strictly
    monotone linear complementarity problems", 1994).
    """
    fewest, patience = len(a) + 1, PATIENCE
    for _ in range(MAX_EXCHANGES):
        index = np.flatnonzero(free)
        solved = _solve(M, a, index)
        if solved is None:
            return None
        c = np.zeros_like(a)
        c[index] = solved
        wrong = np.where(free, c < 0, a - M[:, index] @ solved > tol)
        n_wrong = int(np.count_nonzero(wrong))
        if not n_wrong:
            return c
        if n_wrong < fewest:
            fewest, patience = n_wrong, PATIENCE
        elif not patience:
            return None
        else:
            patience -= 1
        free = free ^ wrong
    return None


def _exchange_one(M: np.ndarray, a: np.ndarray, tol: float, start: np.ndarray) -> np.ndarray:
    """Lawson and Hanson's method: every step lowers the objective.

    A variable leaves where a step ends at its constraint; the one that violates its constraint
    most enters.
    """
    c, free = start.copy(), start > 0
    root = np.sqrt(M.diagonal().clip(1e-300))
    for _ in range(MAX_PIVOTS):
        index = np.flatnonzero(free)
        now, solved = c[index], _solve(M, a, index)
        if solved is None:
            break
        down = solved <= 0
        if np.any(down & (now <= 0)):  # what entered leaves at once: rounding
            break
        if down.any():
            step = np.min(now[down] / (now[down] - solved[down]))
            moved = now + step * (solved - now)
            c[index] = np.where(moved > 1e-12 * moved.max(), moved, 0.0)
            free = c > 0
            continue
        c[index] = solved
        slack = np.where(free, -np.inf, a - M[:, index] @ solved)
        enter = np.argmax(slack / root)
        if slack[enter] <= tol:
            break
        free[enter] = True
    return c


def _solve(M: np.ndarray, a: np.ndarray, index: np.ndarray) -> np.ndarray | None:
    """The c with M c = a on the rows and columns of index; None if M is singular there."""
    if not len(index):
        return a[index]
    for ridge in RIDGES:
        block = M[index][:, index]  # in LAPACK's order, and faster than M[np.ix_(index, index)]
        block.flat[:: len(index) + 1] += ridge * block.trace() / len(index)
        L, failed = dpotrf(block, lower=1, clean=0, overwrite_a=1)
        if not failed:
            return dpotrs(L, a[index], lower=1)[0]
    return None

"""Quadratic programs over non-negative variables: an active set, or an interior point method."""

from __future__ import annotations

import torch
from torch import Tensor

# Solves of the active set method, and steps of the interior point method.
MAX_PIVOTS, MAX_ITER = 300, 60


def nonnegative_qp(M: Tensor, a: Tensor, tol: float, start: Tensor) -> Tensor:
    """Minimise 1/2 c^T M c - a^T c over c >= 0, for a positive semidefinite M (k, k).

    From ``start`` (k,), non-negative, by the active set; where its support is far from the
    optimal one, by an interior point method.
    """
    if not bool((a > 0).any()):
        return torch.zeros_like(a)
    c = _active_set(M.cpu(), a.cpu(), tol, start.cpu())
    return _interior_point(M, a, tol) if c is None else c.to(a.device)


def _active_set(M: Tensor, a: Tensor, tol: float, c: Tensor) -> Tensor | None:
    """Lawson and Hanson's method: to dual residuals of tol, or None after too many solves.

    Lowers the objective at every step, by the variable that violates its constraint most.
    """
    c, free = c.clone(), c > 0
    root, rounding = M.diagonal().clamp_min(1e-300).sqrt(), 1e-14 * float(a.abs().max())
    for _ in range(MAX_PIVOTS):
        index = torch.nonzero(free)[:, 0]
        if len(index):
            L = _factor(M[index][:, index], 1e-13 * M.diagonal()[index])
            if L is None:
                return None
            now, solved = c[index], torch.cholesky_solve(a[index, None], L)[:, 0]
            down = solved <= 0
            if bool(down.any()):
                step = (now[down] / (now[down] - solved[down])).min()
                moved = now + step * (solved - now)
                c[index] = torch.where(moved > 1e-12 * moved.max(), moved, 0.0)
                free = c > 0
                continue
            c[index] = solved
        slack = torch.where(free, -torch.inf, a - M @ c)
        enter = torch.argmax(slack / root)
        if float(slack[enter]) <= tol + rounding:
            return c
        free[enter] = True
    return None


def _interior_point(M: Tensor, a: Tensor, tol: float) -> Tensor:
    """Mehrotra's predictor-corrector method, to a dual residual and complementarity of about tol.

    Then the equations of the support found, so that the other entries are exactly zero.
    """
    scale = float(M.diagonal().mean())
    c = torch.full_like(a, max(float(a[a > 0].mean()) / scale * 0.1, 1e-12))
    w = torch.full_like(a, max(float(a.abs().mean()), 1e-300))
    for _ in range(MAX_ITER):
        dual = M @ c - a - w
        mu = float(c @ w) / len(c)
        if float(dual.abs().max()) < 0.01 * tol and mu * len(c) < 0.01 * tol * float(c.sum()):
            break
        L = _factor(M, w / c)
        if L is None:
            break
        dc, dw = _direction(L, c, w, dual, -c * w)
        length = min(_longest(c, dc), _longest(w, dw))
        predicted = float((c + length * dc) @ (w + length * dw)) / len(c)
        target = (predicted / mu) ** 3 * mu
        dc, dw = _direction(L, c, w, dual, target - dc * dw - c * w)
        length = min(1.0, 0.995 * min(_longest(c, dc), _longest(w, dw), 1 / 0.995))
        c, w = c + length * dc, w + length * dw
    return _on_support(M, a, torch.where(c * scale > w, c, 0.0), scale)


def _factor(M: Tensor, diagonal: Tensor) -> Tensor | None:
    """Cholesky factor of M + diag, regularised if it has to be."""
    scale = float(M.diagonal().mean())
    for ridge in (0.0, 1e-12, 1e-10):
        L, info = torch.linalg.cholesky_ex(M + torch.diag(diagonal + ridge * scale))
        if not info:
            return L
    return None


def _direction(
    L: Tensor, c: Tensor, w: Tensor, dual: Tensor, complementarity: Tensor
) -> tuple[Tensor, Tensor]:
    dc = torch.cholesky_solve((complementarity / c - dual)[:, None], L)[:, 0]
    return dc, (complementarity - w * dc) / c


def _longest(x: Tensor, dx: Tensor) -> float:
    """Largest step up to 1 that keeps x + step dx >= 0."""
    down = dx < 0
    return min(1.0, float((-x[down] / dx[down]).min())) if bool(down.any()) else 1.0


def _on_support(M: Tensor, a: Tensor, c: Tensor, scale: float) -> Tensor:
    """Solve M c = a on the support of c, as far as entries stay positive, if that is better."""

    def value(c: Tensor) -> float:
        return float(0.5 * c @ (M @ c) - a @ c)

    best = c
    for _ in range(3):
        index = torch.nonzero(c > 0)[:, 0]
        if not len(index):
            break
        L = _factor(M[index][:, index], torch.full_like(a[index], 1e-13 * scale))
        if L is None:
            break
        solved = torch.zeros_like(c)
        solved[index] = torch.cholesky_solve(a[index, None], L)[:, 0].clamp_min(0.0)
        if value(solved) <= value(best):
            best = solved
        if bool((solved[index] > 0).all()):
            break
        c = solved
    return best

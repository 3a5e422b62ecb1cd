"""Descent on the weights of a network, kinks smoothed (theory.md 4).

With h_j and g_j free, (P) is smooth up to the kinks of the ReLU:

    Loss(sum_j psi(Q h_j) g_j^T + 1 b^T) + beta/2 sum_j (||h_j||^2 + ||g_j||^2)

where psi(z) = (z + sqrt(z^2 + mu^2 ||h||^2)) / 2 has the smoothing width mu.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from .measure import Measure, Model

# Pairs of steps and gradient changes that L-BFGS remembers.
MEMORY = 20
# Steps in which the objective must fall enough.
PATIENCE = 7
# Squares below this lose their digits in float32: they belong to neurons that vanish.
UNDERFLOW = 1e-30
# Neurons of less than this fraction of the largest mass are dropped.
NEGLIGIBLE = 1e-6


def descend(
    model: Model,
    x: Measure,
    mu: float,
    n_steps: int,
    enough: float = 0.0,
    dtype: torch.dtype = torch.float64,
) -> Measure:
    """L-BFGS steps from x on the objective above, until PATIENCE of them gain less than enough."""
    Q, size = model.Q.to(dtype), x.c.sqrt()
    start = torch.cat([(x.H * size).reshape(-1), (size[:, None] * x.G).reshape(-1), x.b])
    function = partial(_value_and_gradient, model, Q, mu)
    end = _lbfgs(function, start.to(dtype), n_steps, enough)
    moved = Measure.of_weights(*_weights(model, end.to(torch.float64)))
    return moved[moved.c > NEGLIGIBLE * moved.c.max()]


def _weights(model: Model, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Views of H (q, k), G (k, C) and b (C,) in one vector."""
    q, C = model.problem.Q.shape[1], model.problem.n_outputs
    k = (len(p) - C) // (q + C)
    return p[: q * k].view(q, k), p[q * k : -C].view(k, C), p[-C:]


def _value_and_gradient(model: Model, Q: Tensor, mu: float, p: Tensor) -> tuple[float, Tensor]:
    """Objective and its gradient (the width's dependence on ||h|| left out), in one pass."""
    slope = model.problem.beta * p
    (H, G, b), (slope_H, slope_G, slope_b) = _weights(model, p), _weights(model, slope)
    slope_b.zero_()
    value = float(slope @ p) / 2
    width, half = (mu * H).square_().sum(dim=0).clamp_min_(1e-30), G / 2
    for rows in model.blocks(H.shape[1]):  # as few passes over (rows, neurons) as will do
        Q_rows = Q[rows]
        Z = Q_rows @ H
        root = torch.addcmul(width, Z, Z).sqrt_()
        A = Z.add_(root)  # 2 psi
        loss, V = model.loss(torch.addmm(b, A, half), rows)
        value, V = value + loss, V.to(Q.dtype)
        slope_G.addmm_(A.T, V, alpha=-0.5)
        if model.problem.fit_intercept:
            slope_b -= V.sum(dim=0)
        A.div_(root)  # 2 psi'
        if len(b) == 1:
            slope_H -= ((Q_rows * V).T @ A).mul_(half[:, 0])
        else:
            slope_H.addmm_(Q_rows.T, A.mul_(V @ half.T), alpha=-1)
    return value, slope


def _lbfgs(
    value_and_gradient: Callable[[Tensor], tuple[float, Tensor]],
    p: Tensor,
    n_steps: int,
    enough: float,
) -> Tensor:
    """L-BFGS with backtracking; vectors stay on their device (and away from BLAS threads)."""
    value, gradient = value_and_gradient(p)
    pairs, values = _Memory(p), [value]
    # the first: the largest curvature is about the mass of the neurons
    length = 2 / max(float(p @ p), 2.0)
    for _ in range(n_steps):
        direction = pairs.inverse_hessian(gradient).neg_()
        slope = float(direction @ gradient)
        if not slope < 0:
            break
        for _ in range(20):
            trial = torch.add(p, direction, alpha=length)
            trial_value, trial_gradient = value_and_gradient(trial)
            if trial_value <= value + 1e-4 * length * slope:
                break
            # to where a parabola through both is least: up to half way
            length *= max(0.01, -length * slope / (2 * (trial_value - value - length * slope)))
        else:  # a kink, or the resolution of the type
            break
        pairs.append(trial - p, trial_gradient - gradient)
        p, value, gradient, length = trial, trial_value, trial_gradient, 1.0
        values.append(value)
        if len(values) > PATIENCE and values[-1 - PATIENCE] - value < enough:
            break
    return p


class _Memory:
    """The last steps s and gradient changes y, and the approximate inverse Hessian they imply.

    Two products with all of them in place of a recursion over one after the other (Byrd, Nocedal
    and Schnabel 1994, theorem 2.2), R^-1 updated as pairs come and go.
    """

    def __init__(self, p: Tensor) -> None:
        self._pairs = p.new_zeros(2 * MEMORY, len(p))  # S^T, then Y^T
        self._R_inverse, self._YY = np.zeros((2, MEMORY, MEMORY))
        self._D = np.zeros(MEMORY)  # s^T y
        self._scale, self._n_appended = 1.0, 0

    def append(self, s: Tensor, y: Tensor) -> None:
        """Add a pair in place of the oldest, unless it shows no curvature."""
        new = self._n_appended % MEMORY
        curvature, yy = float(s @ y), float(y @ y)
        if not (curvature > 1e-10 * (float(s @ s) * yy) ** 0.5 and yy > UNDERFLOW):
            return
        self._pairs[new], self._pairs[MEMORY + new] = s, y
        Sy, self._YY[new] = self._products(y)
        self._YY[:, new] = self._YY[new]
        R_inverse = self._R_inverse  # upper triangular from the oldest pair to the newest
        R_inverse[new] = R_inverse[:, new] = 0.0
        R_inverse[:, new] = R_inverse @ Sy / -curvature
        R_inverse[new, new] = 1 / curvature
        self._D[new], self._scale = curvature, curvature / yy
        self._n_appended += 1

    def inverse_hessian(self, gradient: Tensor) -> Tensor:
        """The approximate inverse Hessian times the gradient."""
        Sg, Yg = self._products(gradient)
        p = self._R_inverse @ Sg
        coefs = (self._D * p + self._scale * (self._YY @ p - Yg)) @ self._R_inverse
        both = torch.as_tensor(np.concatenate([coefs, -self._scale * p])).to(gradient)
        return torch.addmv(gradient, self._pairs.T, both, beta=self._scale)

    def _products(self, v: Tensor) -> np.ndarray:
        """S^T v and Y^T v, shape (2, MEMORY)."""
        return (self._pairs @ v).cpu().numpy().astype(np.float64).reshape(2, MEMORY)

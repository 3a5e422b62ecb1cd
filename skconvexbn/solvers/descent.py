"""Descent on the weights of a network, kinks smoothed (theory.md 2, 9).

With h_j and g_j free, (P) is smooth up to the kinks of the ReLU:

    Loss(sum_j psi(Q h_j) g_j^T + 1 b^T) + beta/2 sum_j (||h_j||^2 + ||g_j||^2)

where psi(z) = (z + sqrt(z^2 + mu^2 ||h||^2)) / 2 has the smoothing width mu.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

from .measure import Measure, Model

# Pairs of steps and gradient changes that L-BFGS remembers.
MEMORY = 20
# Neurons of less than this fraction of the largest mass are dropped.
NEGLIGIBLE = 1e-6


def descend(model: Model, x: Measure, mu: float, n_steps: int) -> Measure:
    """L-BFGS steps from x on the objective above."""
    (q, k), C = x.H.shape, x.G.shape[1]

    def split(p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        H, G, b = p.split([q * k, k * C, C])
        return H.reshape(q, k), G.reshape(k, C), b

    size = x.c.sqrt()
    start = torch.cat([(x.H * size).reshape(-1), (size[:, None] * x.G).reshape(-1), x.b])
    end = _lbfgs(lambda p: _value_and_gradient(model, mu, *split(p)), start, n_steps)
    moved = Measure.of_weights(*split(end))
    return moved[moved.c > NEGLIGIBLE * moved.c.max()]


def _value_and_gradient(
    model: Model, mu: float, H: Tensor, G: Tensor, b: Tensor
) -> tuple[float, Tensor]:
    """Objective and its gradient (the width's dependence on ||h|| left out), in one pass."""
    beta = model.problem.beta
    value = beta / 2 * float(H.square().sum() + G.square().sum())
    slope_H, slope_G, slope_b = beta * H, beta * G, torch.zeros_like(b)
    width = (mu * H.norm(dim=0)).square()
    for rows in model.blocks(H.shape[1]):
        Q = model.Q[rows]
        Z = Q @ H
        root = (Z * Z).add_(width).sqrt_().clamp_min_(1e-300)
        A = Z.add_(root).mul_(0.5)
        loss, V = model.loss(A @ G + b, rows)
        value += loss
        slope_G -= A.T @ V
        slope_b -= model.free * V.sum(dim=0)
        slope_H -= Q.T @ A.div_(root).mul_(V @ G.T)
    return value, torch.cat([slope_H.reshape(-1), slope_G.reshape(-1), slope_b])


def _lbfgs(
    value_and_gradient: Callable[[Tensor], tuple[float, Tensor]], p: Tensor, n_steps: int
) -> Tensor:
    """L-BFGS with backtracking; vectors stay on their device (and away from BLAS threads)."""
    value, gradient = value_and_gradient(p)
    memory: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=MEMORY)
    for _ in range(n_steps):
        direction = -_inverse_hessian(memory, gradient)
        slope = float(direction @ gradient)
        if not slope < 0:
            break
        length = 1.0 if memory else min(1.0, 0.1 * float(p.norm()) / float(gradient.norm()))
        for _ in range(20):
            trial = p + length * direction
            trial_value, trial_gradient = value_and_gradient(trial)
            if trial_value <= value + 1e-4 * length * slope:
                break
            length *= 0.4
        else:  # a kink, or the resolution of float64
            break
        s, y = trial - p, trial_gradient - gradient
        curvature = float(s @ y)
        if curvature > 1e-10 * float(y.norm() * s.norm()):
            memory.append((s, y, curvature))
        p, value, gradient = trial, trial_value, trial_gradient
    return p


def _inverse_hessian(memory: deque[tuple[Tensor, Tensor, float]], gradient: Tensor) -> Tensor:
    """The approximate inverse Hessian times the gradient (two-loop recursion)."""
    r = gradient.clone()
    alphas = []
    for s, y, curvature in reversed(memory):
        alphas.append(float(s @ r) / curvature)
        r -= alphas[-1] * y
    if memory:
        _, y, curvature = memory[-1]
        r *= curvature / float(y @ y)
    for (s, y, curvature), alpha in zip(memory, reversed(alphas), strict=True):
        r += (alpha - float(y @ r) / curvature) * s
    return r

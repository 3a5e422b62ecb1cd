"""Second-order cones {(t, s): ||s|| <= t}, many at once: rows (J, 1 + q) (theory.md 11).

Jordan algebra and Nesterov-Todd scaling as in L. Vandenberghe, "The CVXOPT linear and quadratic
cone program solvers", 2010.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def jordan(a: Tensor, b: Tensor) -> Tensor:
    """Jordan products a o b = (a^T b, a_0 b_1 + b_0 a_1)."""
    first = (a * b).sum(dim=1, keepdim=True)
    return torch.cat([first, a[:, :1] * b[:, 1:] + b[:, :1] * a[:, 1:]], dim=1)


def of_eigenvalues(function: Callable[[Tensor], Tensor], a: Tensor) -> Tensor:
    """The function of a: of its eigenvalues a_0 +- ||a_1||, with the same eigenvectors."""
    norm = a[:, 1:].norm(dim=1, keepdim=True)
    low, high = function(a[:, :1] - norm), function(a[:, :1] + norm)
    return torch.cat([low + high, (high - low) * (a[:, 1:] / norm.clamp_min(1e-300))], dim=1) / 2


def longest_in_cone(x: Tensor, dx: Tensor) -> float:
    """Largest step a, possibly inf, such that every x + a dx is in its cone."""
    # The first positive root of c + 2 b a + d a^2.
    c, d = _determinant(x), dx[:, 0] ** 2 - dx[:, 1:].square().sum(dim=1)
    b = x[:, 0] * dx[:, 0] - (x[:, 1:] * dx[:, 1:]).sum(dim=1)
    discriminant = b * b - c * d
    root = c / (discriminant.clamp_min(0).sqrt() - b)
    return float(torch.where((discriminant >= 0) & (root > 0), root, torch.inf).min())


def _determinant(x: Tensor) -> Tensor:
    """t^2 - ||s||^2, of points inside."""
    norm = x[:, 1:].norm(dim=1)
    return ((x[:, 0] - norm) * (x[:, 0] + norm)).clamp_min(1e-300)


class Scaling:
    """The symmetric W with W y = W^{-1} x = point, for x and y inside their cones."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        size_x, size_y = _determinant(x).sqrt()[:, None], _determinant(y).sqrt()[:, None]
        x, z = x / size_x, y / size_y
        gamma = ((1 + (x * z).sum(dim=1, keepdim=True)) / 2).sqrt()
        w = torch.cat([x[:, :1] + z[:, :1], x[:, 1:] - z[:, 1:]], dim=1) / (2 * gamma)
        self.w0, self.w1, self.eta = w[:, :1], w[:, 1:], (size_x / size_y).sqrt()
        self.point = self.apply(y)

    def apply(self, v: Tensor, inverse: bool = False) -> Tensor:
        """W v, or W^{-1} v."""
        w1, eta = (-self.w1, 1 / self.eta) if inverse else (self.w1, self.eta)
        v0, v1 = v[:, :1], v[:, 1:]
        across = (w1 * v1).sum(dim=1, keepdim=True)
        rest = v1 + w1 * (v0 + across / (1 + self.w0))
        return eta * torch.cat([self.w0 * v0 + across, rest], dim=1)

    def divide(self, d: Tensor) -> Tensor:
        """The v with point o v = d."""
        p0, p1 = self.point[:, :1], self.point[:, 1:]
        across = (p1 * d[:, 1:]).sum(dim=1, keepdim=True)
        v0 = (p0 * d[:, :1] - across) / _determinant(self.point)[:, None]
        return torch.cat([v0, (d[:, 1:] - v0 * p1) / p0], dim=1)

    def curvature(self) -> Tensor:
        """Blocks (J, q, q) of W^{-2} in s after t is eliminated."""
        eye = torch.eye(self.w1.shape[1]).to(self.w1)
        rank_one = self.w1[:, :, None] * self.w1[:, None, :]
        k = (2 * self.w0**2 - 1)[:, :, None]
        return (eye - (2 / k) * rank_one) / self.eta[:, :, None] ** 2

    def steps(self, d: Tensor, ds: Tensor) -> tuple[Tensor, Tensor]:
        """Steps dx = (dt, ds) and dy = (0, dr) with point o (W dy + W^{-1} dx) = d."""
        c = self.apply(self.divide(d), inverse=True)
        square = 1 / self.eta**2
        corner, edge = square * (2 * self.w0**2 - 1), -2 * square * self.w0 * self.w1
        dt = (c[:, :1] - (edge * ds).sum(dim=1, keepdim=True)) / corner
        inner = square * (ds + 2 * self.w1 * (self.w1 * ds).sum(dim=1, keepdim=True))
        dr = c[:, 1:] - edge * dt - inner
        return torch.cat([dt, ds], dim=1), torch.cat([torch.zeros_like(dt), dr], dim=1)

    def force(self, d: Tensor) -> Tensor:
        """The dr of `steps` at ds = 0."""
        return self.steps(d, torch.zeros_like(d[:, 1:]))[1][:, 1:]

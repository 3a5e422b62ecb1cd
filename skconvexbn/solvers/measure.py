"""Networks as measures: masses on pairs of unit vectors, on the device of the solver (theory.md 4).

F = sum_j c_j relu(Q h_j) g_j^T + 1 b^T with ||h_j|| = ||g_j|| = 1 and c_j >= 0, penalty
beta sum_j c_j. Rows are visited in blocks, so that memory does not grow with n times neurons.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.linalg.blas import dsyrk
from torch import Tensor

from ..blocks import blocks
from ..oracle.ascent import normalise
from ..oracle.search import Pairs, join_pairs
from ..problem import Problem

# Entries of a block of activations (rows, neurons).
BLOCK_ENTRIES = {"cpu": 1 << 20, "cuda": 1 << 26}


@dataclass(frozen=True, eq=False)
class Measure:
    """Unit directions H (q, k), unit output weights G (k, C), masses c (k,), intercept b (C,)."""

    H: Tensor
    G: Tensor
    c: Tensor
    b: Tensor

    def __getitem__(self, index: Tensor) -> Measure:
        return Measure(self.H[:, index], self.G[index], self.c[index], self.b)

    def __len__(self) -> int:
        return len(self.c)

    @classmethod
    def of_weights(cls, H: Tensor, G: Tensor, b: Tensor) -> Measure:
        """Neurons h_j, g_j of any norm."""
        c = H.norm(dim=0) * G.norm(dim=1)
        return cls(normalise(H), normalise(G, dim=1), c, b)

    @property
    def weights(self) -> Tensor:
        """Output weights c_j g_j, shape (k, C)."""
        return self.c[:, None] * self.G

    @property
    def network(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Directions H, output weights (k, C) and b, as arrays."""
        H, G, b = (a.cpu().numpy() for a in (self.H, self.weights, self.b))
        return H, G, b

    @property
    def pairs(self) -> Pairs:
        """The neurons without their masses."""
        return Pairs(self.H, self.G)

    def active(self) -> Measure:
        """Neurons with mass."""
        return self[self.c > 0]

    def with_columns(self, pairs: Pairs) -> Measure:
        """These neurons and others, without mass."""
        both, none = join_pairs(self.pairs, pairs), self.c.new_zeros(len(pairs))
        return Measure(both.H, both.G, torch.cat([self.c, none]), self.b)

    def without_copies(self) -> Measure:
        """Neurons of one direction and one g joined."""
        if len(self) < 2:
            return self
        near = 1 - 1e-9
        same = torch.triu((near < self.H.T @ self.H) & (near < self.G @ self.G.T), diagonal=1)
        copy = same.any(dim=0)
        own = torch.arange(len(self), device=copy.device)
        first = torch.where(copy, same.to(torch.int8).argmax(dim=0), own)
        while bool(copy[first].any()):  # copies of copies
            first = first[first]
        total = (first == own[~copy, None]).to(self.c)  # index_add has no fixed order on CUDA
        return replace(self[~copy], c=total @ self.c)


class Model:
    """A problem on a device, in float64: features, and the targets and weights that losses need.

    Metal has no float64: there only searches, in float32, run on the device. Blocks are smaller by
    the factor ``shrink``.
    """

    def __init__(self, problem: Problem, device: torch.device, shrink: int = 1) -> None:
        self.problem, self.device, self.shrink = problem, device, shrink
        home = torch.device("cpu") if device.type == "mps" else device
        self.Q = torch.as_tensor(problem.Q, device=home)
        self.on_cpu = home.type == "cpu"
        self.Y: Any = problem.Y
        self.w: Any = problem.w
        if not self.on_cpu:  # on the CPU numpy is as fast, and faster with few rows
            self.Y, self.w = self.tensor(self.Y), self.tensor(self.w)
        self.block_entries = BLOCK_ENTRIES[home.type] // shrink

    def tensor(self, a: np.ndarray) -> Tensor:
        """An array as float64 on the device."""
        if isinstance(a, np.ndarray) and not a.flags.writeable:
            a = a.copy()  # torch warns of those that jobs share
        return torch.as_tensor(a, dtype=torch.float64, device=self.Q.device)

    def blocks(self, k: int) -> Iterator[slice]:
        """Slices of rows whose activations by k neurons fit a block."""
        each = k * self.problem.n_outputs
        return blocks(len(self.Q), each, self.block_entries, at_least=16)

    def loss(self, F: Tensor, rows: slice) -> tuple[float, Tensor]:
        """Loss of the outputs F of some rows, and V = -gradient."""
        f, Y, w = self.for_losses(F), self.Y[rows], self.w[rows]
        with np.errstate(over="ignore", invalid="ignore"):  # a line search refuses such steps
            value, gradient = self.problem.loss.value_and_gradient(f, Y, w)
        return value, -self.tensor(gradient)

    def for_losses(self, F: Tensor) -> Any:
        """Outputs as losses take them beside Y and w."""
        return F.numpy() if self.on_cpu else F.to(torch.float64)

    def output(self, x: Measure, A: Activations | None = None) -> Tensor:
        """Network output, shape (n, C), from the activations of x if they are known."""
        A, G = A or Activations(self, x.H), x.weights
        return torch.cat([A[rows].T @ G for rows in self.blocks(len(x))]) + x.b

    def objective(self, F: Tensor, x: Measure) -> float:
        """Loss of F plus beta times the mass of x."""
        loss = self.problem.loss.value(self.for_losses(F), self.Y, self.w) + self.problem.constant
        return loss + self.problem.beta * float(x.c.sum())


class Activations:
    """relu(Q h_j) transposed, (k, rows): kept where a block has room for all of them."""

    def __init__(self, model: Model, H: Tensor, kept: Tensor | None = None) -> None:
        self._model, self._H, self._kept = model, H, kept
        if kept is None and len(model.Q) * H.shape[1] <= model.block_entries:
            self._kept = self[:]

    def __getitem__(self, rows: slice) -> Tensor:
        if self._kept is not None:
            return self._kept[:, rows]
        return (self._H.T @ self._model.Q[rows].T).clamp_min_(0.0)

    def of(self, index: Tensor) -> Activations:
        """Those of some directions."""
        kept = None if self._kept is None else self._kept[index]
        return Activations(self._model, self._H[:, index], kept)


def gram(blocks: Iterable[Tensor], k: int, like: Tensor) -> Tensor:
    """Sum of X^T X over blocks X (N, k).

    On the CPU BLAS makes half of it in half the time, and adds it up in place.
    """
    total = like.new_zeros(k, k)
    if like.device.type != "cpu":
        for X in blocks:
            total.addmm_(X.T, X)
        return total
    triangle = total.numpy().T  # in BLAS's order
    for X in blocks:
        if not len(X):  # BLAS refuses
            continue
        x = X.numpy()
        x, trans = (x, 1) if x.flags.f_contiguous else (x.T, 0)
        dsyrk(1.0, x, beta=1.0, c=triangle, trans=trans, lower=1, overwrite_c=1)
    return total + total.triu(1).T

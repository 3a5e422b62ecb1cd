"""The convex program (P) of theory.md: primal value, dual value and gap, in float64."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from .blocks import blocks
from .losses import Loss, rounding_of_sum

# Entries of a block of features (rows, neurons).
BLOCK_ENTRIES = 1 << 20


@dataclass(frozen=True, eq=False)
class Problem:
    """Minimise Loss(sum_j relu(Q h_j) g_j^T + 1 b^T, Y) + beta sum_j ||h_j|| ||g_j|| over h, g, b.

    This is program (P) of theory.md 2. Q need not have orthonormal columns.

    Parameters
    ----------
    Q : ndarray of shape (n, q)
        Whitened rows; ``Q @ h`` is the pre-activation of neuron h.
    Y : ndarray of shape (n, C)
        Targets as the loss wants them.
    w : ndarray of shape (n,)
        Positive row weights, which multiply the loss.
    loss : Loss
    beta : float
        Weight of the penalty, >= 0.
    fit_intercept : bool
        Whether the unpenalised output bias b is free (else zero).
    constant : float
        Added to every loss value, e.g. the spread of targets that were averaged.
    """

    Q: np.ndarray
    Y: np.ndarray
    w: np.ndarray
    loss: Loss
    beta: float
    fit_intercept: bool
    constant: float = 0.0

    @property
    def n_outputs(self) -> int:
        """Number of outputs C."""
        return self.Y.shape[1]

    def with_beta(self, beta: float) -> Problem:
        """Same data, another penalty weight."""
        return replace(self, beta=beta)

    def subset(self, rows: np.ndarray) -> Problem:
        """The problem of some rows (indices), whose weights stand for those of all."""
        w = self.w[rows] * (self.w.sum() / self.w[rows].sum())
        return replace(self, Q=self.Q[rows], Y=self.Y[rows], w=w)

    def blocks(self, m: int) -> Iterator[slice]:
        """Slices of rows whose features of m neurons are of bounded size."""
        return blocks(len(self.Q), m, BLOCK_ENTRIES, at_least=16)

    def features(
        self, H: np.ndarray, gates: np.ndarray | None = None, rows: slice = slice(None)
    ) -> np.ndarray:
        """relu(Q H), or with gates (q, m) 1[Q gates >= 0] * Q H, of these rows; shape (n, m)."""
        Q = self.Q[rows]
        Z = Q @ H
        return np.maximum(Z, 0.0, out=Z) if gates is None else Z * (Q @ gates >= 0)

    def output(
        self, H: np.ndarray, G: np.ndarray, b: np.ndarray, gates: np.ndarray | None = None
    ) -> np.ndarray:
        """Network output on the rows of Q, shape (n, C)."""
        blocks = self.blocks(len(G))
        return np.concatenate([self.features(H, gates, rows) @ G for rows in blocks]) + b

    def loss_value(self, F: np.ndarray) -> float:
        """Loss of the outputs F."""
        return self.loss.value(F, self.Y, self.w) + self.constant

    def primal(
        self, H: np.ndarray, G: np.ndarray, b: np.ndarray, gates: np.ndarray | None = None
    ) -> float:
        """Objective of (P) at neurons H (q, m), G (m, C), gates if any, and intercept b (C,)."""
        return self.loss_value(self.output(H, G, b, gates)) + self.penalty(H, G)

    def penalty(self, H: np.ndarray, G: np.ndarray) -> float:
        """Second term of the objective, beta sum_j ||h_j|| ||g_j||."""
        return self.beta * float(np.linalg.norm(H, axis=0) @ np.linalg.norm(G, axis=1))

    def best_intercept(self, F: np.ndarray) -> np.ndarray:
        """Minimiser over b (C,) of Loss(F + 1 b^T); zeros without an intercept."""
        if not self.fit_intercept:
            return np.zeros(self.n_outputs)
        return self.loss.best_intercept(F, self.Y, self.w)

    @cached_property
    def zero_intercept(self) -> np.ndarray:
        """Intercept of the network without neurons."""
        return self.best_intercept(np.zeros_like(self.Y))

    @cached_property
    def zero_loss(self) -> float:
        """Loss of the network without neurons: the unit of tol ("R2 units")."""
        return self.loss_value(np.broadcast_to(self.zero_intercept, self.Y.shape))

    def dual_point(self, F: np.ndarray) -> np.ndarray:
        """V = -grad Loss at F, after the best intercept, so that 1^T V = 0 if there is one."""
        return -self.loss.gradient(F + self.best_intercept(F), self.Y, self.w)

    def dual(self, V: np.ndarray, dual_norm: float) -> float:
        """Lower bound on (P) from V, given dual_norm >= max_{||h||<=1} ||V^T relu(Q h)||.

        V is scaled into the constraint of theory.md 4. Outside the domain of the conjugate, or if
        with an intercept V does not sum to zero over the rows, the bound is -inf.
        """
        if self.fit_intercept:
            weight = float(self.w.sum())
            size = min(weight, self.zero_loss or np.inf) + np.abs(V).sum()
            if not np.abs(V.sum(axis=0)).max() <= rounding_of_sum(size, weight):
                return -np.inf
        scale = self.loss.best_scale(V, self.Y, self.w)
        if dual_norm > 0:
            scale = min(scale, self.beta / dual_norm)
        return self.loss.dual_value(scale * V, self.Y, self.w) + self.constant


def relative_gap(gap: Any, zero_loss: float) -> Any:
    """Gaps in units of the loss of the model without neurons, which may be zero."""
    return gap / max(zero_loss, 1e-300)

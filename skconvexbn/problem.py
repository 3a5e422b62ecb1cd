"""The convex program (P) of theory.md: primal value, dual value and gap, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from .losses import Loss

Certificate = Literal["exact", "search", "sampled"]
# Sums over the rows of a dual point up to this share of the weights are zero but for rounding.
CENTRED = 1e-11
# Entries of a block of features (rows, neurons).
BLOCK_ENTRIES = 1 << 20
# Directions H (q, m) and output weights G (m, C).
Neurons = tuple[np.ndarray, np.ndarray]


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

    def features(self, H: np.ndarray, gates: np.ndarray | None = None) -> np.ndarray:
        """relu(Q H), or with gates (q, m) 1[Q gates >= 0] * Q H; shape (n, m)."""
        return _features(self.Q, H, gates)

    def output(
        self, H: np.ndarray, G: np.ndarray, b: np.ndarray, gates: np.ndarray | None = None
    ) -> np.ndarray:
        """Network output on the rows of Q, shape (n, C)."""
        size = max(16, BLOCK_ENTRIES // max(len(G), 1))
        blocks = (self.Q[i : i + size] for i in range(0, len(self.Q), size))
        return np.concatenate([_features(Q, H, gates) @ G for Q in blocks]) + b

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
        """Minimiser over b (C,) of Loss(F + 1 b^T); zeros without an intercept.

        Where logits saturate, Newton's method fails from far away. There it starts from twice the
        best intercept of F / 2: the optimum at twice the temperature, where the loss bends less.
        """
        b = np.zeros(self.n_outputs)
        if not self.fit_intercept:
            return b
        if self.loss.quadratic:
            for _ in range(2):  # again for what rounding left
                b = b + self.w @ (self.Y - F - b) / self.w.sum()
            return b
        b, slope = self._newton_intercept(F, b)
        if slope > CENTRED * self.w.sum() and 1 < np.abs(F).max() < 1e100:
            near, lower = self._newton_intercept(F, 2 * self.best_intercept(F / 2))
            b = near if lower < slope else b
        return b

    def _newton_intercept(self, F: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, float]:
        """Newton's method from b: where it ends, and the largest slope of the loss there."""
        total = self.w.sum()
        value = self.loss.value(F + b, self.Y, self.w)
        gradient = self.loss.gradient(F + b, self.Y, self.w).sum(axis=0)
        slope, last = float(np.abs(gradient).max()), np.inf
        for _ in range(100):
            if slope <= 1e-15 * total or 0.5 * last < slope <= CENTRED * total:
                break
            curvature = self.loss.hessian(F + b, self.w).sum(axis=0)
            if not curvature.max() > 1e-100 * total:  # the loss is flat, or not a number
                break
            newton = -np.linalg.lstsq(curvature, gradient, rcond=1e-14)[0]
            descent = -float(gradient @ newton)
            if descent <= 0:
                break
            step = min(1.0, float(20 / np.abs(newton).max()))  # of 20 logits
            shortest = 1e-6 * step
            while step > shortest:
                there = b + step * newton
                trial = self.loss.value(F + there, self.Y, self.w)
                ahead = self.loss.gradient(F + there, self.Y, self.w).sum(axis=0)
                # Not far beyond the minimum on the line, whose value rounding may hide.
                if trial <= value * (1 + 1e-12) and ahead @ newton <= 0.5 * descent:
                    break
                step /= 2
            else:  # at the resolution of float64
                break
            b, value, gradient = there, trial, ahead
            slope, last = float(np.abs(gradient).max()), slope
        return b, slope

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
            size = self.w.sum() + np.abs(V).sum()
            if not np.abs(V.sum(axis=0)).max() <= CENTRED * size:
                return -np.inf
        scale = self.loss.best_scale(V, self.Y, self.w)
        if dual_norm > 0:
            scale = min(scale, self.beta / dual_norm)
        return self.loss.dual_value(scale * V, self.Y, self.w) + self.constant


def _features(Q: np.ndarray, H: np.ndarray, gates: np.ndarray | None) -> np.ndarray:
    Z = Q @ H
    return np.maximum(Z, 0.0, out=Z) if gates is None else Z * (Q @ gates >= 0)


@dataclass(frozen=True)
class Round:
    """Where a solver is after a round: values in its own units, the gap in those of tol."""

    number: int
    seconds: float
    primal: float
    dual: float
    gap: float
    n_neurons: int
    remark: str


@dataclass(frozen=True, eq=False)
class Options:
    """When a solver stops: gap <= tol * zero_loss, max_iter rounds or max_time seconds.

    ``seed`` draws the starts of searches, ``device`` is where to solve, ``start`` has neurons
    (H, G) to begin with, ``beside`` others that may be of use, those of a problem nearby; ``gated``
    asks for the gated relaxation; ``report`` is called after every round. Without ``certify`` torch
    leaves out the thorough searches and also stops once a round lowers the objective by no more
    than tol / 10 * zero_loss: networks of nearly the same quality, for a fraction of the time,
    whose gap nothing vouches for.
    """

    tol: float
    max_iter: int
    max_time: float = float("inf")
    seed: int = 0
    device: str | None = None
    start: Neurons | None = None
    beside: Neurons | None = None
    gated: bool = False
    report: Callable[[Round], None] | None = None
    certify: bool = True


@dataclass(frozen=True, eq=False)
class Solution:
    """Neurons (h_j, g_j) and intercept found for a `Problem`, with a dual point.

    ``dual_norm`` is max_{||h||<=1} ||V^T relu(Q h)|| over what ``certificate`` names: all h with
    proof ("exact"), all h as far as a search went ("search"), the sampled arrangements ("sampled";
    with several ReLU outputs as far as a search inside each went).
    ``gates`` (q, m) are the fixed gates of the gated relaxation, whose neurons are linear where
    Q gates >= 0; None for ReLU. ``cut_short`` says that ``max_time`` ended the search on which the
    dual norm rests, ``limited`` that it or ``max_iter`` ended the rounds. ``history`` has
    (seconds, primal, dual) after each round where the solver keeps it.
    """

    H: np.ndarray
    G: np.ndarray
    b: np.ndarray
    V: np.ndarray
    dual_norm: float
    certificate: Certificate
    n_iter: int
    gates: np.ndarray | None = None
    device: str = "cpu"
    interrupted: bool = False
    cut_short: bool = False
    limited: bool = False
    history: tuple[tuple[float, float, float], ...] = ()

"""Losses of the network output F against the targets Y (theory.md 1, 6, 10).

Every loss here is that of an exponential family, ``sum_i w_i (A(f_i) - <y_i, f_i>)`` up to a
constant, with convex log-partition A and mean function ``mu = grad A``. Targets may therefore be
averages: rows that share their features can be merged by averaging their targets without
changing the minimiser.

Values, gradients and Hessians are made by functions that numpy and torch share: they take arrays,
or float64 tensors on any device, and return the same.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from scipy.special import entr

from .data import weighted_mean

# Gradients sum to zero over the rows up to CENTRED of their sizes, and ROUNDING of the weights.
CENTRED, ROUNDING = 1e-11, 1e-15
# Steps of an intercept at most, in logits.
LONGEST = 20.0
# Floors of the second derivative as a share of the row's weight, with several outputs and with one:
# where a class has that little of all weight, rows of the others curve no more.
FLAT, FLAT_ALONE = 1e-9, 1e-13


def rounding_of_sum(size: float, weight: float) -> float:
    """Up to what gradients, of sizes with this sum, of rows of this weight sum to zero."""
    return CENTRED * size + ROUNDING * weight


def _functions(a: Any) -> Any:
    """Those of numpy, or of torch for a tensor; whoever has one has imported it."""
    return np if isinstance(a, np.ndarray) else sys.modules["torch"]


def _eye(like: Any) -> Any:
    """The identity of size C, with the type and device of this (n, C)."""
    return _functions(like).eye(like.shape[1], dtype=like.dtype, device=like.device)


class Loss(ABC):
    """Convex loss of outputs F (n, C) against targets Y (n, C) with row weights w (n,).

    Attributes
    ----------
    quadratic : bool
        Whether it is squared error: the second derivative is w everywhere, and targets may be moved
        and scaled.
    """

    quadratic = False

    @abstractmethod
    def rows(self, F: np.ndarray, Y: np.ndarray) -> np.ndarray:
        """Loss of each row, shape (n,), without weights."""

    def value(self, F: np.ndarray, Y: np.ndarray, w: np.ndarray) -> float:
        """Loss(F, Y), a weighted sum over rows."""
        return float(w @ self.rows(F, Y))

    def value_and_gradient(
        self, F: np.ndarray, Y: np.ndarray, w: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """Loss and its gradient in F, shape (n, C)."""
        rows, mean = self.rows_and_mean(F, Y)
        return float(w @ rows), w[:, None] * (mean - Y)

    def rows_and_mean(self, F: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Loss of each row and mu(F), which may share their work."""
        return self.rows(F, Y), self.mean(F)

    @abstractmethod
    def mean(self, F: np.ndarray) -> np.ndarray:
        """mu(F), the gradient of the log-partition, row by row."""

    @abstractmethod
    def hessian(self, F: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Second derivative in each row of F, shape (n, C, C)."""

    def root(self, F: np.ndarray, w: np.ndarray) -> np.ndarray:
        """S (n, C, r), lower triangular, r <= C, with S S^T the second derivative, raised a little.

        With one output it is so only where it is flat.
        """
        xp, H, C = _functions(F), self.hessian(F, w), F.shape[1]
        if C == 1:
            return xp.sqrt(xp.maximum(H, FLAT_ALONE * w[:, None, None]))
        little = FLAT * xp.maximum(w, xp.einsum("ncc->n", H))
        return xp.linalg.cholesky(H + little[:, None, None] * _eye(F))

    def proximal(self, A: np.ndarray, Y: np.ndarray, rho: float, start: np.ndarray) -> np.ndarray:
        """Minimiser of Loss(F, Y) + rho/2 ||F - A||^2, by Newton's method in each row."""

        def rows(F: np.ndarray) -> np.ndarray:
            return self.rows(F, Y) + rho / 2 * np.square(F - A).sum(axis=1)

        F, eye, ones = start, np.eye(A.shape[1]), np.ones(len(A))
        for _ in range(50):
            slope = self.mean(F) - Y + rho * (F - A)
            if np.abs(slope).max() <= 1e-11 * (1 + rho):
                break
            step = np.linalg.solve(self.hessian(F, ones) + rho * eye, -slope[:, :, None])[:, :, 0]
            length, value = np.ones(len(F)), rows(F)
            limit = value + 1e-12 * (value + 1)
            while np.any(higher := rows(F + length[:, None] * step) > limit):
                length[higher] /= 2
            F = F + length[:, None] * step
        return F

    def best_intercept(self, F: np.ndarray, Y: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Minimiser over b (C,) of Loss(F + 1 b^T, Y).

        Where logits saturate, Newton's method fails from far away. There it starts from twice the
        best intercept of F / 2: the optimum at twice the temperature, where the loss bends less.
        """
        b, off = self._newton_intercept(F, Y, w, np.zeros(F.shape[1]))
        if off > 1 and 1 < np.abs(F).max() < 1e100:
            warmer = 2 * self.best_intercept(F / 2, Y, w)
            near, less = self._newton_intercept(F, Y, w, warmer)
            b = near if less < off else b
        return b

    def _newton_intercept(
        self, F: np.ndarray, Y: np.ndarray, w: np.ndarray, b: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """Newton's method from b: where it ends, and the largest slope there (up to 1 is zero)."""
        total = w.sum()
        value = self.value(F + b, Y, w)
        rows = self.gradient(F + b, Y, w)
        gradient, size = rows.sum(axis=0), np.abs(rows).sum()
        slope, last = float(np.abs(gradient).max()), np.inf
        for _ in range(100):
            near = 0.5 * last < slope <= rounding_of_sum(size, total)
            if slope <= ROUNDING * size or near:
                break
            curvature = self.hessian(F + b, w).sum(axis=0)
            if not curvature.max() > 1e-100 * total:  # the loss is flat, or not a number
                break
            newton = -np.linalg.lstsq(curvature, gradient, rcond=1e-14)[0]
            newton = self.canonical_intercept(newton)  # elsewhere it is rounding, which may be much
            descent = -float(gradient @ newton)
            if descent <= 0:
                break
            step = min(1.0, float(LONGEST / np.abs(newton).max()))
            shortest = 1e-6 * step
            while step > shortest:
                there = b + step * newton
                trial = self.value(F + there, Y, w)
                rows = self.gradient(F + there, Y, w)
                ahead = rows.sum(axis=0)
                # Not far beyond the minimum on the line, whose value rounding may hide.
                if (
                    trial <= value * (1 + 1e-12) + ROUNDING * total
                    and ahead @ newton <= 0.5 * descent
                ):
                    break
                step /= 2
            else:  # at the resolution of float64
                break
            b, value, gradient, size = there, trial, ahead, np.abs(rows).sum()
            slope, last = float(np.abs(gradient).max()), slope
        return b, slope / rounding_of_sum(size, total)

    @abstractmethod
    def dual_value(self, V: np.ndarray, Y: np.ndarray, w: np.ndarray) -> float:
        """-Loss^*(-V), the dual objective of theory.md 4."""

    @abstractmethod
    def as_cvxpy(self, F: Any, Y: np.ndarray, w: np.ndarray) -> Any:
        """The loss of a cvxpy expression F (n, C)."""

    def gradient(self, F: np.ndarray, Y: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Gradient in F, shape (n, C)."""
        return w[:, None] * (self.mean(F) - Y)

    def best_scale(self, V: np.ndarray, Y: np.ndarray, w: np.ndarray) -> float:
        """Factor s in [0, inf) at which the dual value of s V is taken, constraints aside."""
        return 1.0

    def canonical_intercept(self, b: np.ndarray) -> np.ndarray:
        """The representative of intercepts (C,) that do not differ in loss."""
        return b


class SquaredError(Loss):
    """1/2 sum_i w_i ||f_i - y_i||^2."""

    quadratic = True

    def rows(self, F: np.ndarray, Y: np.ndarray) -> np.ndarray:
        return 0.5 * ((F - Y) ** 2).sum(axis=1)

    def value_and_gradient(
        self, F: np.ndarray, Y: np.ndarray, w: np.ndarray
    ) -> tuple[float, np.ndarray]:
        R = F - Y
        gradient = w[:, None] * R
        return 0.5 * float(R.ravel() @ gradient.ravel()), gradient

    def mean(self, F: np.ndarray) -> np.ndarray:
        return F

    def hessian(self, F: np.ndarray, w: np.ndarray) -> np.ndarray:
        return w[:, None, None] * _eye(F)

    def proximal(self, A: np.ndarray, Y: np.ndarray, rho: float, start: np.ndarray) -> np.ndarray:
        return (Y + rho * A) / (1 + rho)

    def best_intercept(self, F: np.ndarray, Y: np.ndarray, w: np.ndarray) -> np.ndarray:
        return weighted_mean(Y - F, w)

    def dual_value(self, V: np.ndarray, Y: np.ndarray, w: np.ndarray) -> float:
        return float(np.sum(V * (Y - 0.5 * V / w[:, None])))

    def best_scale(self, V: np.ndarray, Y: np.ndarray, w: np.ndarray) -> float:
        curvature = float(np.sum(V * V / w[:, None]))
        return max(float(np.sum(V * Y)) / curvature, 0.0) if curvature > 0 else 0.0

    def as_cvxpy(self, F: Any, Y: np.ndarray, w: np.ndarray) -> Any:
        import cvxpy as cp

        root = np.sqrt(w)[:, None]
        return 0.5 * cp.sum_squares(cp.multiply(root, F) - root * Y)


class BinaryLogLoss(Loss):
    """sum_i w_i (log(1 + exp f_i) - y_i f_i) for one logit f and y in [0, 1]."""

    def rows(self, F: np.ndarray, Y: np.ndarray) -> np.ndarray:
        return self._rows(F, Y, _smaller_odds(F))

    def mean(self, F: np.ndarray) -> np.ndarray:
        return self._mean(F, _smaller_odds(F))

    def rows_and_mean(self, F: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        smaller = _smaller_odds(F)
        return self._rows(F, Y, smaller), self._mean(F, smaller)

    def _rows(self, F: np.ndarray, Y: np.ndarray, smaller: np.ndarray) -> np.ndarray:
        # the second part is 0 exactly where F is large and right; np.logaddexp takes twice as long
        return (_functions(F).log1p(smaller) + (F.clip(0.0) - Y * F))[:, 0]

    def _mean(self, F: np.ndarray, smaller: np.ndarray) -> np.ndarray:
        return _functions(F).where(F >= 0, 1.0, smaller) / (1 + smaller)

    def hessian(self, F: np.ndarray, w: np.ndarray) -> np.ndarray:
        smaller = _smaller_odds(F)
        return (w[:, None] * smaller / (1 + smaller) ** 2)[:, :, None]

    def dual_value(self, V: np.ndarray, Y: np.ndarray, w: np.ndarray) -> float:
        part = V / w[:, None]
        M, N = Y - part, 1.0 - Y + part  # 1 - M would lose the digits of a small one
        with np.errstate(invalid="ignore", divide="ignore"):
            of_M = np.where(N < 0.5, -M * np.log1p(-N), entr(M))
            of_N = np.where(M < 0.5, -N * np.log1p(-M), entr(N))
        return float(w @ (of_M + of_N)[:, 0])

    def as_cvxpy(self, F: Any, Y: np.ndarray, w: np.ndarray) -> Any:
        import cvxpy as cp

        return w @ cp.logistic(F[:, 0]) - (w * Y[:, 0]) @ F[:, 0]


class MultinomialLogLoss(Loss):
    """sum_i w_i (log sum_c exp f_ic - <y_i, f_i>) for y_i in the probability simplex."""

    def rows(self, F: np.ndarray, Y: np.ndarray) -> np.ndarray:
        return self.rows_and_mean(F, Y)[0]

    def mean(self, F: np.ndarray) -> np.ndarray:
        return _softmax(F)[0]

    def rows_and_mean(self, F: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        P, shifted, total = _softmax(F)
        xp = _functions(F)
        return xp.log(total) - xp.einsum("nc,nc->n", Y, shifted), P

    def hessian(self, F: np.ndarray, w: np.ndarray) -> np.ndarray:
        P = self.mean(F)
        diagonal = P[:, :, None] * _eye(F)
        return w[:, None, None] * (diagonal - P[:, :, None] * P[:, None, :])

    def dual_value(self, V: np.ndarray, Y: np.ndarray, w: np.ndarray) -> float:
        return float(w @ entr(Y - V / w[:, None]).sum(axis=1))

    def root(self, F: np.ndarray, w: np.ndarray) -> np.ndarray:
        xp, C, P = _functions(F), F.shape[1], self.mean(F).clip(FLAT)
        P /= P.sum(axis=1)[:, None]
        # Cholesky's factor of diag(p) - p p^T, whose last column is zero: with the tails
        # t_j = p_j + .. + p_C column j is sqrt(p_j / (t_j t_j+1)) times t_j+1, -p_j+1, .., -p_C.
        t = P @ xp.tril(xp.ones((C, C), dtype=P.dtype, device=P.device))
        size = xp.sqrt(w[:, None] * P[:, :-1] / (t[:, :-1] * t[:, 1:]))
        S = xp.tril(-P[:, :, None] * size[:, None, :], -1)
        j = list(range(C - 1))
        S[:, j, j] = size * t[:, 1:]
        return S

    def canonical_intercept(self, b: np.ndarray) -> np.ndarray:
        return b - b.mean()

    def as_cvxpy(self, F: Any, Y: np.ndarray, w: np.ndarray) -> Any:
        import cvxpy as cp

        return w @ cp.log_sum_exp(F, axis=1) - cp.sum(cp.multiply(w[:, None] * Y, F))


def _smaller_odds(F: np.ndarray) -> np.ndarray:
    """exp(-|F|): the odds of the less likely class."""
    with np.errstate(under="ignore"):
        return _functions(F).exp(-abs(F))


def _softmax(F: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities (n, C) of logits F, F less its largest in each row, sums (n,) of exp of that.

    numpy's reductions along a short last axis would take most of the time of a loss.
    """
    xp = _functions(F)
    largest = np.ascontiguousarray(F.T).max(axis=0) if xp is np else xp.amax(F, 1)
    shifted = F - largest[:, None]
    with np.errstate(under="ignore"):
        exp = xp.exp(shifted)
        total = exp @ xp.ones_like(exp[0])
        return exp / total[:, None], shifted, total

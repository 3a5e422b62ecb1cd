"""Batch normalisation as whitening: X -> Q (theory.md 2, 6, 7)."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from sklearn.utils.extmath import svd_flip

from .data import weighted_mean

# The Gram matrix squares the condition number: it is used only where Q then stays orthonormal
# to 1e-10, that is for s_r / s_1 above this value (benchmarks/whitening.py).
GRAM_MIN_RATIO = 1e-3
# Singular values of unscaled columns below this fraction of the largest have no digits to spare:
# eps^(2/3) of float64.
RESOLUTION = 2.0 ** (-52 * 2 / 3)
# Columns that vary by less of their size are constant: sums of some thousand numbers round so.
SUMMED = 2.0**-45
# Noise in new rows that predictions should bear, in units of the columns' standard deviations.
NOISE = 1e-4


@dataclass(frozen=True, eq=False)
class Whitening:
    """Weighted centring, scaling and thin SVD, sqrt(w) (X - mean) / scale = U S V^T.

    One instance serves every rank, shrinkage and bias_scale through `basis`.

    Attributes
    ----------
    mean, scale : ndarray of shape (d,)
    V : ndarray of shape (d, r)
        Right singular vectors; the largest entry of each is positive.
    singular_values : ndarray of shape (r,)
        Those above the numerical rank tolerance, descending.
    deviation : ndarray of shape (d,)
        Standard deviations of the columns, 1 where they are constant.
    weight : float
        Sum of the row weights, the n of theory.md 1.
    n_unresolved : int
        Independent directions of unscaled columns that float64 loses beside the largest.
    """

    mean: np.ndarray
    scale: np.ndarray
    V: np.ndarray
    singular_values: np.ndarray
    deviation: np.ndarray
    weight: float
    n_unresolved: int

    @classmethod
    def fit(
        cls, X: np.ndarray, w: np.ndarray, *, scale: bool = True, eps: float = 2.0**-52
    ) -> Whitening:
        """Whiten rows X (n, d) of positive weights w (n,).

        ``eps`` is the relative spacing of the type X was given in; directions along which columns
        cancel to eps^(2/3) of their size, or that are within their rounding, are dropped.
        """
        weight = float(w.sum())
        mean, size = weighted_mean(X, w), np.abs(X).max(axis=0)
        # Unit variance would blow up the rounding in a constant column.
        constant = np.ptp(X, axis=0) <= max(4 * eps, SUMMED) * size
        mean[constant] = X[0, constant]
        Xc = X - mean
        Xc[:, constant] = 0.0
        # Divided by the spread first: squares neither overflow nor vanish.
        spread = np.where(constant, 1.0, np.abs(Xc).max(axis=0))
        Xc /= spread
        relative = np.where(constant, 1.0, np.sqrt((w / weight) @ np.square(Xc)))
        Xc /= relative
        factor = spread * relative
        Xc *= np.sqrt(w / weight)[:, None]
        s, V = _right_singular(Xc, min(len(X) - 1, X.shape[1]))
        V[constant] = 0.0
        # How far the rounding of the columns alone takes the rows along each direction.
        noise = np.linalg.norm((eps * size / factor)[:, None] * V, axis=0)
        kept = s > np.maximum(eps ** (2 / 3) * s.max(initial=0.0), noise)
        s, V = s[kept], V[:, kept]
        n_independent, deviation = len(s), factor
        if not scale:
            largest = factor.max(initial=0.0, where=~constant)
            unit = 1.0 if 1e-100 < largest < 1e100 or not largest else largest  # for their squares
            s, V = _of_unscaled(s, V, factor / unit)
            factor = np.full_like(factor, unit)
        s, V = np.sqrt(weight) * s, np.ascontiguousarray(V)
        return cls(mean, factor, V, s, deviation, weight, n_independent - len(s))

    def basis(
        self,
        rank: int | float | None = None,
        shrinkage: float = 0.0,
        bias_scale: float = 1.0,
    ) -> Basis:
        """Keep ``rank`` directions (None: all; int: at most; float: that share of variance)."""
        s = self.singular_values
        if rank is None:
            k = len(s)
        elif isinstance(rank, Integral):
            k = min(int(rank), len(s))
        else:
            squares = np.square(s / s[:1])
            share = np.cumsum(squares) / np.sum(squares)
            k = min(int(np.searchsorted(share, rank, side="right")) + 1, len(s))
        return Basis(self, s[:k], shrinkage, bias_scale)


@dataclass(frozen=True, eq=False)
class Basis:
    """The map x -> q(x) at one rank, shrinkage a and bias_scale b (theory.md 7).

    q(x) = [V_k^T ((x - mean) / scale) / sqrt((1 - a) s^2 + a m),  b / sqrt(n)],  m = mean of s^2.
    """

    whitening: Whitening
    singular_values: np.ndarray
    shrinkage: float
    bias_scale: float

    @property
    def rank(self) -> int:
        """Number k of directions kept; q = k + 1."""
        return len(self.singular_values)

    @property
    def bias(self) -> float:
        """Last column of Q, b / sqrt(n)."""
        return self.bias_scale / np.sqrt(self.whitening.weight)

    @property
    def weights(self) -> np.ndarray:
        """Map (d, k) from centred rows in the units of X to the first k columns of Q."""
        V, scale = self.whitening.V[:, : self.rank], self.whitening.scale
        return V / self._denominator / scale[:, None]

    @property
    def deviations(self) -> np.ndarray:
        """Standard deviations (k,) over the training rows of the first k columns of Q."""
        return self.singular_values / self._denominator / np.sqrt(self.whitening.weight)

    @property
    def n_fragile(self) -> int:
        """Columns of Q that noise NOISE in X moves by more than the largest deviation of any."""
        moves = np.linalg.norm(self._moves, axis=0)
        return int(np.count_nonzero(NOISE * moves > self.deviations.max(initial=0.0)))

    @property
    def combined(self) -> np.ndarray:
        """Columns of X whose noise moves most the column of Q that noise moves most, descending.

        Those that move it by less than a tenth of what the first does are left out.
        """
        moves = np.abs(self._moves)
        moves = moves[:, np.linalg.norm(moves, axis=0).argmax()]
        order = np.argsort(-moves, kind="stable")
        return order[moves[order] > 0.1 * moves.max()]

    @property
    def _moves(self) -> np.ndarray:
        """How far (d, k) a standard deviation of each column of X moves the first k of Q."""
        return self.whitening.deviation[:, None] * self.weights

    @property
    def _denominator(self) -> np.ndarray:
        s, a = self.singular_values, self.shrinkage
        squares = np.square(s / s[:1])  # of s itself they may overflow
        return s[:1] * np.sqrt((1 - a) * squares + a * np.mean(squares)) if self.rank else s

    def transform(self, X: np.ndarray) -> np.ndarray:
        """q(x) for the rows of X, shape (n, k + 1)."""
        Q = np.empty((len(X), self.rank + 1))
        np.matmul(X - self.whitening.mean, self.weights, out=Q[:, :-1])
        Q[:, -1] = self.bias
        return Q

    def translate(self, H: np.ndarray, other: Basis) -> np.ndarray:
        """Directions h' (q, m) with Q' h' = Q h for those of another basis of the same rank."""
        scale = np.append(self._denominator / other._denominator, other.bias / self.bias)
        return scale[:, None] * H

    def random_directions(self, n_directions: int, rng: np.random.RandomState) -> np.ndarray:
        """Directions h (q, n_directions), normally distributed.

        Drawn in the space of X and rotated by V, so that Q h depends neither on the signs of V,
        nor on row order, nor on repeating rows (theory.md 6).
        """
        V = self.whitening.V[:, : self.rank]
        normal = rng.standard_normal((len(V) + 1, n_directions))
        return np.vstack([V.T @ normal[:-1], normal[-1:]])


def _right_singular(A: np.ndarray, r: int) -> tuple[np.ndarray, np.ndarray]:
    """The r largest singular values of A (n, d), descending, and their right vectors (d, r).

    By the Gram matrix of the short side when that is accurate, else by LAPACK's SVD; both from
    numpy, since scipy's wheels bring a second pool of BLAS threads that fight the first.
    """
    n, d = A.shape
    if r == 0 or not A.any():
        return np.zeros(0), np.zeros((d, 0))
    values, vectors = np.linalg.eigh(A.T @ A if d < n else A @ A.T)
    values, vectors = values[::-1][:r], vectors[:, ::-1][:, :r]
    if values[-1] > GRAM_MIN_RATIO**2 * values[0]:
        s = np.sqrt(values)
        V = vectors if d < n else (A.T @ vectors) / s
        return s, _fix_signs(V)
    _, s, Vt = np.linalg.svd(A, full_matrices=False)
    return s[:r], _fix_signs(Vt[:r].T)


def _of_unscaled(s: np.ndarray, V: np.ndarray, factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Singular values and vectors of U diag(s) V^T diag(factor), whose U spans the same."""
    s, V = _right_singular(s[:, None] * V.T * factor, len(s))
    resolved = s > RESOLUTION * s.max(initial=0.0)
    return s[resolved], V[:, resolved]


def _fix_signs(V: np.ndarray) -> np.ndarray:
    return svd_flip(None, V.T, u_based_decision=False)[1].T

"""Maxima of ||V^T relu(Q h)|| on great circles, exactly (theory.md 4).

Between the kinks that it crosses, the circle h = cos(t) a + sin(t) b is mapped linearly, and sums
along the sorted kinks give the map of every sector. With two columns one circle is all there is.
With three the maxima lie on the circles on which a row has its kink, or inside a cone, whose map is
that of a sector beside it: all of them together give the largest of all. With q columns q - 2 rows
have their kinks on a circle: too many to look at all.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from ..blocks import blocks
from .cones import dual_values

# With so many columns there is one circle; with more than these those of kinks are too many.
ONE_CIRCLE, MAX_COLUMNS = 2, 3
# Entries (rows, circles, outputs) at once: arrays of them fit the cache of a CPU.
BLOCK_ENTRIES = 1 << 14
# Entries in all, at most, and where the cones between them count too, which take longer.
AT_MOST, COMPLETE = 1 << 20, 1 << 18
# Maxima of one circle, or inside cones, at most.
MANY = 1_000
# Rows this close to parallel have their kinks on one circle.
PARALLEL = 1e-9


def complete(Q: np.ndarray, n_outputs: int) -> bool:
    """Whether the largest of ``circle_maxima`` is the largest of all."""
    n, q = Q.shape
    return q == ONE_CIRCLE or (q == MAX_COLUMNS and n * n * n_outputs <= COMPLETE)


def circle_maxima(Q: np.ndarray, V: np.ndarray, pulls: np.ndarray) -> np.ndarray:
    """Unit directions (q, N): with two columns the largest maxima on the circle that there is.

    With three the largest on the kinks of each row and what is larger inside the cones between
    them, of many rows on those that pull most. With more none.
    """
    q = Q.shape[1]
    if q == ONE_CIRCLE:
        values, t = (a.ravel() for a in _on_circles(Q, V, *np.eye(2)[:, :, None]))
        t = t[np.argsort(-values, kind="stable")[:MANY]]
        return np.stack([np.cos(t), np.sin(t)])
    if q != MAX_COLUMNS:
        return np.zeros((q, 0))
    rows = np.argsort(-pulls, kind="stable")[: max(1, AT_MOST // V.size)]
    rows = rows[pulls[rows] > 0]
    if not len(rows):
        return np.zeros((q, 0))
    on = largest_on_kinks(Q, V, rows[:, None])
    if not complete(Q, V.shape[1]):
        return on
    return np.hstack([on, _inside(Q, V, rows, dual_values(Q, V, on)[0].max(initial=0.0))])


def _inside(Q: np.ndarray, V: np.ndarray, rows: np.ndarray, limit: float) -> np.ndarray:
    """Unit directions (3, N): maxima above the limit inside the cones beside the rows' kinks.

    The maximum of ||M^T h|| over a cone, M = Q^T D V, is inside it only if it is the left singular
    vector of ||M||_2.
    """
    found = [np.zeros((3, 0))]
    for some in blocks(len(rows), 3 * V.size, BLOCK_ENTRIES):
        beside = _Beside(Q, V, rows[some])
        for side, opposite in product((1, -1), (False, True)):
            h = beside.stationary(side, opposite, limit)
            found.append(h[:, dual_values(Q, V, h)[0] > limit])
    H = np.hstack(found)
    return H[:, np.argsort(-dual_values(Q, V, H)[0], kind="stable")[:MANY]]


class _Beside:
    """The cones beside the sectors of the circles of N rows: two a sector, and those opposite.

    Rows parallel to that of the circle change sides with it.
    """

    def __init__(self, Q: np.ndarray, V: np.ndarray, rows: np.ndarray) -> None:
        self.Q, products = Q, (Q[:, :, None] * V[:, None]).reshape(len(Q), -1)
        self.normals = Q[rows].T / np.linalg.norm(Q[rows], axis=1)  # (3, N)
        A, B = np.linalg.qr(Q[rows][:, :, None], mode="complete").Q.transpose(2, 1, 0)[-2:]
        X, Y, height = Q @ A, Q @ B, Q @ self.normals
        kinks = _Kinks(X, Y)
        self.order, on = kinks.order, kinks.on
        self.parallel = np.hypot(X, Y) <= PARALLEL * np.abs(height)
        crossing = ~np.take_along_axis(self.parallel, self.order, axis=0)[:, :, None]
        P = np.where(crossing, products[self.order], 0.0)  # (n, N, 3 C)
        self.maps = _maps(P, on)
        self.total, self.on = P.sum(axis=0), on[:, :, 0]
        self.own = {
            side: (self.parallel & (side * height > 0)).T.astype(float) @ products
            for side in (1, -1)
        }

    def stationary(self, side: int, opposite: bool, limit: float) -> np.ndarray:
        """Left singular vectors (3, k) of the maps M, where their norms may exceed the limit.

        Without those that the sides of the cone at the sector show to be outside.
        """
        M = (self.total - self.maps if opposite else self.maps) + self.own[side]
        j, i = np.nonzero(np.einsum("ijk,ijk->ij", M, M) > limit**2)
        h = _left_singular(M[j, i].reshape(len(j), 3, M.shape[2] // 3))
        h = np.where(side * (self.normals[:, i] * h).sum(axis=0) > 0, h, -h)
        inside, after = np.ones(len(j), dtype=bool), (j + 1) % len(M)
        for kink, active in ((j, self.on[j, i]), (after, self.on[after, i] == (after < j))):
            row = self.order[kink, i]
            z = (self.Q[row].T * h).sum(axis=0)
            inside &= self.parallel[row, i] | (z * np.where(active != opposite, 1, -1) >= 0)
        return h[:, inside]


def _left_singular(M: np.ndarray) -> np.ndarray:
    """Left singular vectors (3, N) of the norms of M (N, 3, C)."""
    if M.shape[2] == 1:
        u = M[:, :, 0] / np.linalg.norm(M, axis=1)
    else:
        u = np.linalg.eigh(M @ M.transpose(0, 2, 1))[1][:, :, -1]
    return u.T


def largest_on_kinks(Q: np.ndarray, V: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Unit directions (q, N), the largest of each circle {h : Q_i h = 0}, i in rows (N, q - 2)."""
    found = [np.zeros((Q.shape[1], 0))]
    for some in blocks(len(rows), V.size, BLOCK_ENTRIES):
        normals = Q[rows[some]].transpose(0, 2, 1)  # (N, q, q - 2)
        A, B = np.linalg.qr(normals, mode="complete").Q.transpose(2, 1, 0)[-2:]
        values, angles = _on_circles(Q, V, A, B)
        t = np.take_along_axis(angles, values.argmax(axis=0)[None], axis=0)
        found.append(np.cos(t) * A + np.sin(t) * B)
    return np.hstack(found)


class _Kinks:
    """The kinks of cos(t) X + sin(t) Y (n, N) on half of N circles: t ascends from 0 to pi.

    With them the rows in this order, and whether each is active after its kink, or before.
    """

    def __init__(self, X: np.ndarray, Y: np.ndarray) -> None:
        t = _modulo_pi(np.arctan2(-X, Y))
        self.order = np.argsort(t, axis=0)
        self.t, self.X, self.Y = (np.take_along_axis(a, self.order, axis=0) for a in (t, X, Y))
        self.cos, self.sin = np.cos(self.t), np.sin(self.t)
        self.on = (self.cos * self.Y > self.sin * self.X)[:, :, None]


def _modulo_pi(t: np.ndarray) -> np.ndarray:
    """Remainders of t by pi; np.remainder takes several times as long."""
    return t - np.pi * np.floor(t * (1 / np.pi))


def _maps(P: np.ndarray, on: np.ndarray) -> np.ndarray:
    """Sums of the rows of P that are active after each kink: those on before, and the changes."""
    return np.where(on, 0.0, P).sum(axis=0) + np.cumsum(np.where(on, P, -P), axis=0)


def _on_circles(
    Q: np.ndarray, V: np.ndarray, A: np.ndarray, B: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Values at the kinks and maxima inside the sectors of N circles, and their angles t, (4 n, N).

    Half a circle crosses all kinks. The map at -h is that at h less that of all rows, since
    relu(-z) = relu(z) - z.
    """
    kinks = _Kinks(Q @ A, Q @ B)
    t, cos, sin = kinks.t, kinks.cos[:, :, None], kinks.sin[:, :, None]
    after = np.append(t[1:], t[:1] + np.pi, axis=0)
    values, angles = [], []
    maps, totals = [], []
    for Z in (kinks.X, kinks.Y):
        P = V[kinks.order] * Z[:, :, None]  # (n, N, C)
        maps.append(_maps(P, kinks.on))
        totals.append(P.sum(axis=0))
    for turn in (0.0, np.pi):  # h and -h
        Mx, My = (M - total * (turn > 0) for M, total in zip(maps, totals, strict=True))
        T = cos * Mx + sin * My
        squares = ((T, T), (Mx, Mx), (Mx, My), (My, My))
        tt, xx, xy, yy = (np.einsum("ijk,ijk->ij", a, b) for a, b in squares)
        values.append(np.sqrt(tt))
        angles.append(t + turn)
        inside = t + _modulo_pi(0.5 * np.arctan2(2 * xy, xx - yy) - t)
        largest = np.sqrt(0.5 * (xx + yy + np.hypot(xx - yy, 2 * xy)))
        values.append(np.where(inside < after, largest, 0.0))
        angles.append(inside + turn)
    return np.concatenate(values), np.concatenate(angles)

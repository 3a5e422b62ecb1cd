"""Maxima of ||V^T relu(Q h)|| on great circles, exactly (theory.md 4).

Between the kinks that it crosses, the circle h = cos(t) a + sin(t) b is mapped linearly, and sums
along the sorted kinks give the map of every sector. With two columns one circle is all there is.
With three the maxima lie on the circles on which a row has its kink, or inside a cone next to one.
With q columns q - 2 rows have their kinks on a circle: too many to look at all.
"""

from __future__ import annotations

import numpy as np
from sklearn.utils import gen_batches

# With so many columns there is one circle; with more than these those of kinks are too many.
ONE_CIRCLE, MAX_COLUMNS = 2, 3
# Entries (rows, circles, outputs) at once: arrays of them fit the cache of a CPU.
BLOCK = 1 << 17
# Entries in all, at most, and maxima on one circle.
AT_MOST, MANY = 1 << 20, 1_000


def circle_maxima(Q: np.ndarray, V: np.ndarray, pulls: np.ndarray) -> np.ndarray:
    """Unit directions (q, N): with two columns the largest maxima on the circle that there is.

    With three the largest on the kinks of each row, of many those that pull most. With more none.
    """
    q = Q.shape[1]
    if q == ONE_CIRCLE:
        values, t = (a.ravel() for a in _on_circles(Q, V, *np.eye(2)[:, :, None]))
        t = t[np.argsort(-values, kind="stable")[:MANY]]
        return np.stack([np.cos(t), np.sin(t)])
    if q != MAX_COLUMNS:
        return np.zeros((q, 0))
    rows = np.argsort(-pulls, kind="stable")[: max(1, AT_MOST // V.size)]
    return largest_on_kinks(Q, V, rows[pulls[rows] > 0][:, None])


def largest_on_kinks(Q: np.ndarray, V: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Unit directions (q, N), the largest of each circle {h : Q_i h = 0}, i in rows (N, q - 2)."""
    found = [np.zeros((Q.shape[1], 0))]
    for some in gen_batches(len(rows), max(1, BLOCK // V.size)):
        normals = Q[rows[some]].transpose(0, 2, 1)  # (N, q, q - 2)
        A, B = np.linalg.qr(normals, mode="complete").Q.transpose(2, 1, 0)[-2:]
        values, angles = _on_circles(Q, V, A, B)
        t = np.take_along_axis(angles, values.argmax(axis=0)[None], axis=0)
        found.append(np.cos(t) * A + np.sin(t) * B)
    return np.hstack(found)


def _on_circles(
    Q: np.ndarray, V: np.ndarray, A: np.ndarray, B: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Values at the kinks and maxima inside the sectors of N circles, and their angles t, (4 n, N).

    Half a circle crosses all kinks. The map at -h is that at h less that of all rows, since
    relu(-z) = relu(z) - z.
    """
    X, Y = Q @ A, Q @ B
    t = np.arctan2(-X, Y) % np.pi  # of the kinks
    order = np.argsort(t, axis=0)
    t, X, Y = (np.take_along_axis(a, order, axis=0) for a in (t, X, Y))
    cos, sin = np.cos(t), np.sin(t)
    on = (cos * Y > sin * X)[:, :, None]  # whether a row is active after its kink, or before
    after = np.append(t[1:], t[:1] + np.pi, axis=0)
    values, angles = [], []
    maps, totals = [], []
    for Z in (X, Y):
        P = V[order] * Z[:, :, None]  # (n, N, C)
        maps.append(np.where(on, 0.0, P).sum(axis=0) + np.cumsum(np.where(on, P, -P), axis=0))
        totals.append(P.sum(axis=0))
    for turn in (0.0, np.pi):  # h and -h
        Mx, My = (M - total * (turn > 0) for M, total in zip(maps, totals, strict=True))
        values.append(np.linalg.norm(cos[:, :, None] * Mx + sin[:, :, None] * My, axis=2))
        angles.append(t + turn)
        xx, xy, yy = ((a * b).sum(axis=2) for a, b in ((Mx, Mx), (Mx, My), (My, My)))
        inside = t + (0.5 * np.arctan2(2 * xy, xx - yy) - t) % np.pi
        largest = np.sqrt(0.5 * (xx + yy + np.hypot(xx - yy, 2 * xy)))
        values.append(np.where(inside < after, largest, 0.0))
        angles.append(inside + turn)
    return np.concatenate(values), np.concatenate(angles)

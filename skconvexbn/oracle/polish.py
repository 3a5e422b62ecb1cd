"""From near a maximum of ||V^T relu(Q h)|| to it, exactly: from cone to cone (theory.md 4)."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import nnls

# Cones visited by a climb at most, and the gain that counts as one.
MAX_CONES, GAIN = 30, 1e-9


def climb_cones(Q: np.ndarray, V: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Unit h at a local maximum of ||V^T relu(Q h)||, reached from the unit vector h (q,).

    Every step is the maximum inside a cone for fixed g. Rows that bound it, with multipliers that
    their kinks do not bear (lambda_i > -v_i where v = V g), then change sides.
    """
    Z, stalled = Q @ h, False
    mask, T = Z >= 0, V.T @ np.maximum(Z, 0.0)
    for _ in range(MAX_CONES):
        value = math.sqrt(T @ T)
        v = V @ (T / max(value, 1e-300))
        try:
            x, Z_x, bounding, multipliers = _maximum_in_cone(Q, v, mask, Z, value)
        except RuntimeError:  # nnls: cycling on a degenerate cone
            break
        T_x = V.T @ np.maximum(Z_x, 0.0)
        better = math.sqrt(T_x @ T_x) > value * (1 + GAIN)
        changes = bounding[multipliers > -v[bounding]]
        moved = better
        if better:
            before, h, Z, T, mask = mask, x, Z_x, T_x, Z_x >= 0
            mask[bounding] = before[bounding]
            if V.shape[1] == 1 and np.array_equal(mask, before):  # the next finds x again
                moved = False
        if not (moved or len(changes)) or (stalled and not better):
            break
        stalled = not better
        mask[changes] ^= True
    return h


def _maximum_in_cone(
    Q: np.ndarray, v: np.ndarray, mask: np.ndarray, Z: np.ndarray, value: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Unit x of largest v^T D Q x in the cone of D = diag(mask), Q x, what bounds x, multipliers.

    The rows are those nearest to their kinks at Z = Q h, and others only where x would cross them
    and have a value no larger than that of h, which is given.
    """
    inside, a = np.where(mask, 1.0, -1.0), Q.T @ (mask * v)
    near = min(3 * len(a) // 2 + 6, len(Q))
    rows = np.argpartition(np.abs(Z), near - 1)[:near]
    while True:
        A = inside[rows, None] * Q[rows]
        multipliers = nnls(A.T, -a)[0]
        x = a + A.T @ multipliers
        x /= max(math.sqrt(x @ x), 1e-300)
        Z_x = Q @ x
        if v @ np.maximum(Z_x, 0.0) <= value * (1 + GAIN):
            crossed = inside * Z_x < -1e-9
            crossed[rows] = False
            if crossed.any():
                rows = np.concatenate([rows, np.flatnonzero(crossed)])
                continue
        bounds = multipliers > 0
        return x, Z_x, rows[bounds], multipliers[bounds]

"""The dual oracle max_{||h|| <= 1} ||V^T relu(Q h)|| by plain ascent (theory.md 4).

For beta_max, which every fit with ``beta="auto"`` asks for: in NumPy, so that the closed form and
cvxpy do without torch, which takes a second to load. `oracle.search` is what certificates rest on.
"""

from __future__ import annotations

import numpy as np

# By how much columns of norm 1 may seem longer.
ROUNDING = 1e-9
# Norms in float32 are at least this.
TINY = 1e-30
# Of the outputs' positive and negative parts, those that are starts at most.
N_PARTS = 8


def step_scale(Q: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Lengths (q, 1) by which the entries of h move, 1 / max(1, ||sqrt(w) Q_j||).

    Kinks then move alike. Without shrinkage only a large bias_scale makes one less than 1, whatever
    the weights (theory.md 7).
    """
    norms = np.linalg.norm(np.sqrt(w)[:, None] * Q, axis=0)[:, None]
    return 1 / np.where(norms > 1 + ROUNDING, norms, 1.0)


def longest_parts(Q: np.ndarray, V: np.ndarray) -> np.ndarray:
    """The longest of the columns of Q^T V+ and Q^T V-, N_PARTS of them at most, none of them zero.

    With one output, where relu(Q h) reaches every non-negative vector, one is the maximum.
    """
    parts = Q.T @ np.maximum(np.concatenate([V, -V], axis=1), 0.0)
    longest = np.argsort(-np.linalg.norm(parts, axis=0), kind="stable")[:N_PARTS]
    return parts[:, longest[parts[:, longest].any(axis=0)]]


def multi_start(
    Q: np.ndarray,
    V: np.ndarray,
    starts: np.ndarray,
    n_steps: int,
    last_step: float,
    scale: np.ndarray | float = 1.0,
) -> float:
    """Largest ||V^T relu(Q h)|| over unit h found by ascent from the columns of starts (q, N).

    Steps h <- normalise(h + eta * gradient / ||gradient||) with eta from 1 to last_step (undamped
    fixed-point steps run into cycles of two), in float32; the value of the best h is in float64.
    With one output both signs climb from every start. Entries of h move by these lengths (q, 1),
    see `step_scale`.
    """
    size, D = np.abs(V).max(initial=0.0) or 1.0, np.broadcast_to(scale, (Q.shape[1], 1))
    starts = D * starts
    q, v, H = (a.astype(np.float32) for a in (Q, V / size, starts / np.linalg.norm(starts, axis=0)))
    D = D.astype(np.float32)
    signs = (1.0, -1.0) if V.shape[1] == 1 else (None,)
    best, top = 0.0, np.zeros(len(H), np.float32)
    for sign in signs:
        h = H
        for eta in np.geomspace(1.0, last_step, n_steps, dtype=np.float32):
            Z = q @ h
            T = v.T @ np.maximum(Z, 0.0)  # (C, N)
            values = T[0] * sign if sign else np.linalg.norm(T, axis=0)
            if values.max(initial=0.0) > best:
                best, top = values.max(), h[:, values.argmax()]
            weights = v * sign if sign else v @ (T / np.maximum(values, TINY))
            gradient = q.T @ ((Z > 0) * weights)
            norms = np.linalg.norm(D * gradient, axis=0)
            upwards = D**2 * gradient + (1 - D**2) * values * h
            h = h + eta * upwards / np.maximum(norms, TINY)
            h = h / np.maximum(np.linalg.norm(h, axis=0), TINY)
    if best == 0.0:
        return 0.0
    top = top / np.linalg.norm(top.astype(np.float64))
    return float(np.linalg.norm(V.T @ np.maximum(Q @ top, 0.0)))

"""Fewer neurons with the same output, no worse in the objective (theory.md 11)."""

from __future__ import annotations

import numpy as np

from .problem import Problem

# Neurons of less than this fraction of the largest ||h|| ||g|| are pruned.
PRUNE_BELOW = 1e-6
# Neurons whose directions are this close are merged; the second is for rounding alone.
MERGE_ANGLES = (1e-4, 1e-8)


def simplify(
    problem: Problem, H: np.ndarray, G: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit directions H, weights G and intercept b of fewer neurons, no worse in the objective.

    Parallel neurons are merged and negligible ones pruned; if the network without neurons is as
    good, it is returned. Where targets of squared error are all zero, so is the output.
    """
    if problem.loss.quadratic:
        varies = problem.Y.any(axis=0)
        G, b = varies * G, varies * b
    norms = np.linalg.norm(H, axis=0)
    H = H / np.where(norms > 0, norms, 1.0)
    G = G * norms[:, None]
    used = G.any(axis=1)
    H, G = H[:, used], G[used]
    limit = problem.primal(H, G, b) + 1e-12 * problem.zero_loss
    if problem.zero_loss <= limit:
        return H[:, :0], G[:0], problem.zero_intercept
    for angle in MERGE_ANGLES:
        merged = prune(*merge(H, G, angle))
        if problem.primal(*merged, b) <= limit:
            return *merged, b
    return H, G, b


def prune(H: np.ndarray, G: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop neurons with ||g|| below PRUNE_BELOW of the largest (H of unit norm)."""
    size = np.linalg.norm(G, axis=1)
    keep = size > PRUNE_BELOW * size.max(initial=0.0)
    return H[:, keep], G[keep]


def merge(H: np.ndarray, G: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Join neurons within ``angle`` of a larger one; h becomes the mean weighted by ||g||.

    Parallel neurons add up without changing the function, and ||sum g|| <= sum ||g||.
    """
    size = np.linalg.norm(G, axis=1)
    left = np.argsort(-size, kind="stable")
    if np.count_nonzero(1 - max(angle**2, 1e-12) < H.T @ H) <= len(left):  # none but itself
        return H[:, left], G[left]
    directions, weights = [], []
    while len(left):
        leader = H[:, left[0]]
        near = np.linalg.norm(H[:, left] - leader[:, None], axis=0) <= angle
        members, left = left[near], left[~near]
        h = H[:, members] @ size[members]
        norm = np.linalg.norm(h)
        directions.append(h / norm)
        weights.append(G[members].sum(axis=0) * (norm / size[members].sum()))
    return np.stack(directions, axis=1), np.stack(weights)

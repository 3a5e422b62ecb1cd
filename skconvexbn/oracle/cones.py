"""The dual oracle max_{||h|| <= 1} ||V^T relu(Q h)|| (theory.md 4).

Here inside given arrangements, where it is convex if there is one output.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from scipy.optimize import lsq_linear, nnls

from ..arrangements import Arrangements
from ..blocks import blocks

# Projections are {0} up to rounding below this fraction of what was projected.
ZERO = 1e-10
# How far a direction may be outside its cone.
INSIDE = 1e-6
# Alternations between h and g inside one arrangement (several outputs).
N_ALTERNATIONS = 50
# Cosine of two g from which on their maxima are one.
SAME = 1 - 1e-6
# Maxima of random h are none from here down.
TINY = 1e-30
# Entries of a block of activations (rows, directions): it fits the cache of a CPU.
BLOCK_ENTRIES = 1 << 17
# Random h, projected onto the cone, to start from there beside singular vectors.
N_RANDOM = 12


@dataclass(frozen=True, eq=False)
class Cuts:
    """Maxima of ||V^T relu(Q h)|| inside arrangements: value, arrangement, unit h and unit g.

    ``dual_norm`` is the largest, or a bound on those not computed because it is below the limit.
    """

    values: np.ndarray
    index: np.ndarray
    H: np.ndarray
    G: np.ndarray
    dual_norm: float

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def none(cls, q: int, C: int) -> Cuts:
        """No cuts."""
        return cls(np.zeros(0), np.zeros(0, dtype=int), np.zeros((q, 0)), np.zeros((0, C)), 0.0)

    def join(self, other: Cuts) -> Cuts:
        """Both."""
        return Cuts(
            np.concatenate([self.values, other.values]),
            np.concatenate([self.index, other.index]),
            np.concatenate([self.H, other.H], axis=1),
            np.concatenate([self.G, other.G]),
            max(self.dual_norm, other.dual_norm),
        )

    def worst(self, limit: float, at_most: int) -> Cuts:
        """The largest values above limit, one for each direction (h, g).

        A direction on the faces of many cones is the maximum in all of them.
        """
        order = np.argsort(-self.values, kind="stable")
        order = order[self.values[order] > limit]
        directions = np.concatenate([self.H.T, self.G], axis=1)[order]
        _, first = np.unique(np.round(directions, 7) + 0.0, axis=0, return_index=True)
        kept = order[np.sort(first)[:at_most]]
        return Cuts(
            self.values[kept], self.index[kept], self.H[:, kept], self.G[kept], self.dual_norm
        )


def project_onto_cone(A: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Projection of p onto the cone {h : A h >= 0}, by its polar (Moreau): p + A^T lambda.

    `scipy.optimize.nnls` is fast, but now and then returns multipliers that are not optimal (scipy
    issue 25389): its optimality is checked, and a slower method tried. The norm of the result is an
    upper bound on the maximum over the cone whatever the multipliers, so the shorter is better.
    """
    found = [p]
    with suppress(RuntimeError):  # cycling on a degenerate cone
        h = p + A.T @ nnls(A.T, -p)[0]
        size = np.linalg.norm(p)
        if (A @ h).min(initial=0.0) >= -1e-10 * size and abs(h @ (h - p)) <= 1e-10 * size**2:
            return h
        found.append(h)
    slower = lsq_linear(A.T, -p, bounds=(0, np.inf), method="bvls", tol=1e-14)
    found.append(p + A.T @ slower.x)
    return min(found, key=lambda h: float(np.linalg.norm(h)))


def in_arrangements(
    Q: np.ndarray,
    V: np.ndarray,
    arrangements: Arrangements,
    limit: float,
    seed: int | None = 0,
    enough: Callable[[int], bool] = lambda _: False,
) -> Cuts:
    """Maxima of ||V^T D_i Q h|| over the cones of the arrangements, where they may exceed limit.

    With one output there are two convex problems a cone, one for each sign of g, and the result is
    exact, or above it by rounding: a bound. With several outputs h and g take turns from the
    singular vectors of Q^T D_i V and from random h, and the result is a lower bound on the maximum.

    Parameters
    ----------
    Q : ndarray of shape (n, q)
    V : ndarray of shape (n, C)
    arrangements : Arrangements
    limit : float
        Arrangements with ||Q^T D_i V||_2 <= limit are passed over: their maximum is no larger.
    seed : int or None
        Of the random h, the same in all cones; None leaves these out, and is several times faster.
    enough : callable
        Whether so many maxima above limit will do, and the other cones are left: `dual_norm` is
        then infinite.
    """
    n_random = N_RANDOM if seed is not None and V.shape[1] > 1 else 0
    random = np.random.default_rng(seed).standard_normal((n_random, Q.shape[1]))
    found: list[tuple[float, int, np.ndarray, np.ndarray]] = []
    passed_over, n_above = 0.0, 0
    for part, masks in arrangements.blocks():
        if passed_over == np.inf:
            break
        M, bounds = _without_cones(Q, V, masks)
        passed_over = max(passed_over, bounds[bounds <= limit].max(initial=0.0))
        # what `_maxima` takes for zero
        passed_over = max(passed_over, ZERO * np.linalg.norm(M, axis=(1, 2)).max(initial=0.0))
        for i in np.flatnonzero(bounds > limit):
            if enough(n_above):
                passed_over = np.inf
                break
            A = np.where(masks[i], 1.0, -1.0)[:, None] * Q
            maxima = _maxima(A, M[i], limit, random)
            found += [(value, part.start + i, h, g) for value, h, g in maxima]
            n_above += sum(value > limit for value, _, _ in maxima)
    values = np.array([f[0] for f in found])
    return Cuts(
        values=values,
        index=np.array([f[1] for f in found], dtype=int),
        H=np.array([f[2] for f in found]).reshape(-1, Q.shape[1]).T,
        G=np.array([f[3] for f in found]).reshape(-1, V.shape[1]),
        dual_norm=float(max(passed_over, values.max(initial=0.0))),
    )


def dual_values(Q: np.ndarray, V: np.ndarray, H: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """||V^T relu(Q h)|| (N,) of the columns of H (q, N), and V^T relu(Q H), shape (C, N)."""
    parts = blocks(H.shape[1], len(Q), BLOCK_ENTRIES)
    none = np.zeros((V.shape[1], 0))
    T = np.hstack([none, *(V.T @ np.maximum(Q @ H[:, part], 0.0) for part in parts)])
    return np.linalg.norm(T, axis=0), T


def gated_dual_norm(Q: np.ndarray, V: np.ndarray, arrangements: Arrangements) -> float:
    """Maximum of ||V^T D_i Q h|| over unit h and the arrangements, without their cones."""
    norms = (_without_cones(Q, V, masks)[1] for _, masks in arrangements.blocks())
    return float(max(part.max(initial=0.0) for part in norms))


def _without_cones(
    Q: np.ndarray, V: np.ndarray, masks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """M_i = Q^T D_i V, shape (P, q, C), and ||M_i||_2."""
    M = np.stack([(masks * v) @ Q for v in V.T], axis=2)
    return M, np.linalg.norm(M, ord=2, axis=(1, 2)) if len(M) else np.zeros(0)


def _maxima(
    A: np.ndarray, M: np.ndarray, limit: float, random: np.ndarray
) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Local maxima (value, h, g) of g^T M^T h over unit g and unit h in {A h >= 0}."""
    if M.shape[1] == 1:
        starts = np.array([[1.0], [-1.0]])
    else:
        _, s, Gt = np.linalg.svd(M, full_matrices=False)
        Gt = Gt[s > 0.5 * limit]
        inside = np.array([M.T @ project_onto_cone(A, h) for h in random]).reshape(-1, M.shape[1])
        norms = np.linalg.norm(inside, axis=1, keepdims=True)
        more = inside[norms[:, 0] > TINY] / norms[norms[:, 0] > TINY]
        starts = np.concatenate([Gt, -Gt, more])
    maxima: list[tuple[float, np.ndarray, np.ndarray]] = []
    zero = ZERO * float(np.linalg.norm(M))
    for g in starts:
        value = zero
        for _ in range(N_ALTERNATIONS if M.shape[1] > 1 else 1):
            h = project_onto_cone(A, M @ g)
            norm = float(np.linalg.norm(h))
            if norm <= zero:
                break
            t = M.T @ (h / norm)
            if (A @ h).min() < -INSIDE * norm:  # rounding: the norm is a bound all the same
                t = norm * g
            attained = max(float(np.linalg.norm(t)), norm)
            if attained <= value * (1 + 1e-9):
                break
            value, g = attained, t / np.linalg.norm(t)
            best = (value, h / norm, g)
        if value > zero:
            maxima.append(best)
    return _distinct(maxima)


def _distinct(
    maxima: list[tuple[float, np.ndarray, np.ndarray]],
) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """The largest of each g, which determines h."""
    kept: list[tuple[float, np.ndarray, np.ndarray]] = []
    for maximum in sorted(maxima, key=lambda m: -m[0]):
        if all(maximum[2] @ other[2] < SAME for other in kept):
            kept.append(maximum)
    return kept

"""The high-dimensional regime: Q square, relu(Q h) reaches every non-negative vector (theory.md 5).

In the coordinates sqrt(w) Q, which are orthonormal, a neuron is any p >= 0 with ||h|| = ||p||.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.sparse.csgraph import connected_components

from ..arrangements import Arrangements
from ..problem import Problem
from ..simplify import merge, prune
from ..whitening import Basis
from .group_lasso import group_lasso
from .incumbent import Incumbent
from .interface import Options, Solution

# Exact copositive maximum by enumerating supports up to this many classes.
MAX_SUPPORTS = 12
# Maximisers that join in a round, the best; flat maxima have many.
MAX_JOINED = 3
# Angle below which maximisers count as one, and neurons are merged while descending.
SAME_DIRECTION = 1e-3
# Rounds end once the gap has not halved in so many: above tol, and below, where one more often
# closes it.
PATIENCE, LITTLE_PATIENCE = 10, 2


def violated_condition(problem: Problem, basis: Basis) -> str | None:
    """The condition of the closed form that does not hold, in words; None if all do."""
    n, q = problem.Q.shape
    if basis.shrinkage != 0 or basis.bias_scale != 1:
        return (
            f"it needs shrinkage=0 and bias_scale=1, got shrinkage={basis.shrinkage} and "
            f"bias_scale={basis.bias_scale}"
        )
    if q < n:
        full = len(basis.whitening.singular_values)
        cause = "" if basis.rank == full else ", after truncation"
        return (
            "it needs rank([X - mean, 1]) equal to the number of distinct rows of positive weight, "
            f"got rank {q}{cause} and {n} rows"
        )
    if problem.n_outputs > 1 or not problem.loss.quadratic:
        limit = max(problem.n_outputs, 2)
        distinct = len(np.unique(problem.Y, axis=0))
        if distinct > limit:
            return (
                "it needs one output with squared error, or class labels; got "
                f"{distinct} distinct target rows for {problem.n_outputs} outputs (at most {limit})"
            )
    return None


def solve(problem: Problem, arrangements: Arrangements | None, options: Options) -> Solution:
    """Closed form; `violated_condition` must be None. Arrangements are not needed."""
    if problem.n_outputs == 1 and problem.loss.quadratic:
        return _scalar(problem)
    return _labels(problem, options)


def _scalar(problem: Problem) -> Solution:
    """F = sum over signs of (||y+-|| - beta)_+ y+- / ||y+-||, around the best intercept."""
    root, beta = np.sqrt(problem.w), problem.beta
    y, b = problem.Y[:, 0], 0.0
    if problem.fit_intercept:
        b = _best_shift(y, problem.w, beta)
    parts = [root * np.maximum(sign * (y - b), 0.0) for sign in (1.0, -1.0)]
    norms = np.array([np.linalg.norm(p) for p in parts])
    P = np.stack([p / max(r, 1e-300) for p, r in zip(parts, norms, strict=True)], axis=1)
    G = np.array([[1.0], [-1.0]]) * np.maximum(norms - beta, 0.0)[:, None]
    # V / sqrt(w) is each part cut to norm beta.
    V = root[:, None] * (P @ (np.array([[1.0], [-1.0]]) * np.minimum(norms, beta)[:, None]))
    if problem.fit_intercept:  # to the last digit, which b does not have beside heavy rows
        V[problem.w.argmax()] -= V.sum()
    U = V[:, 0] / root
    dual_norm = float(max(np.linalg.norm(np.maximum(sign * U, 0.0)) for sign in (1.0, -1.0)))
    return Solution(_directions(problem, P), G, np.array([b]), V, dual_norm, "exact", n_iter=1)


def _best_shift(y: np.ndarray, w: np.ndarray, beta: float) -> float:
    """Minimiser over b of the optimal value at y - b.

    That is the sum over signs of a Huber function of ||(y - b)+-||; its derivative is minus the
    sum of min(1, beta / ||(y - b)+-||) <w, (y - b)+->. At beta = 0 it is the limit: among the b
    that all interpolate the one of the smallest penalty, the sum of the norms.
    """
    steepest = 1 / beta if beta else np.inf

    def derivative(b: float) -> float:
        total = 0.0
        for part in (np.minimum(y - b, 0.0), np.maximum(y - b, 0.0)):
            if norm := float(np.sqrt(w @ np.square(part))):
                total -= min(steepest, 1 / norm) * float(w @ part)
        return total

    low, high = float(y.min()), float(y.max())
    if low == high:
        return low
    b = brentq(derivative, low, high, xtol=1e-15 * (high - low), rtol=1e-15, maxiter=500)
    ends = [end for end in (low, high) if beta == 0 and abs(b - end) <= 1e-14 * (high - low)]
    return ends[0] if ends else b  # where the derivative jumps


def _labels(problem: Problem, options: Options) -> Solution:
    """Class labels: the samples of a class are one super-sample of weight W_k.

    A network constant on classes is F_k = sum_j p_jk g_j / sqrt(W_k) + b with p_j >= 0.
    """
    T, group = np.unique(problem.Y, axis=0, return_inverse=True)
    group = group.ravel()
    W = np.bincount(group, problem.w)
    collapsed = replace(problem, Q=np.diag(1 / np.sqrt(W)), Y=T, w=W)
    # To the end, whatever tol: it is called the closed form.
    best = Incumbent(collapsed, replace(options, tol=0.0), "exact", "cpu")
    found = best.run(_rounds(collapsed, best, options.tol))
    share = (problem.w / W[group])[:, None]
    P = np.sqrt(share) * found.H[group]  # from super-samples to the coordinates sqrt(w) Q
    return replace(found, H=_directions(problem, P), V=share * found.V[group])


def _rounds(problem: Problem, best: Incumbent, tol: float) -> Iterator[str]:
    """Networks of super-samples until none of their neurons violates the dual constraint.

    They also end when the gap stops falling: where the bound on the dual norm is not tight, every
    round finds more to join.

    The pairs (e_k, g_k), one neuron a class, are optimal unless classes share neurons; then the
    maximisers p of the dual constraint join them and all move together.
    """
    limit = problem.beta * (1 + 1e-7)
    P, gaps = np.eye(len(problem.w)), [np.inf] * PATIENCE
    G, b = _output_weights(problem, P)
    while True:
        best.offer(P, G, b)
        V = problem.dual_point(problem.features(P) @ G + b)
        U = problem.Q @ V
        joined, dual_norm = _copositive_maximum(U, P, None if best.last_round else limit)
        best.offer_dual(V, dual_norm)
        joined = joined[np.linalg.norm(joined @ U, axis=1) > limit]
        idle = best.gap > gaps[-(LITTLE_PATIENCE if best.gap <= tol else PATIENCE)] / 2
        gaps.append(best.gap)
        best.finished = bool(idle or not len(joined))  # optimal, or the dual norm's bound not tight
        yield f"violated {len(joined)}"
        if best.finished:
            return
        P, G = prune(P, G)
        small = 1e-3 * np.linalg.norm(G) + 1e-6 * np.linalg.norm(U)
        direction = joined @ U
        direction *= small / np.linalg.norm(direction, axis=1, keepdims=True)
        P, G = np.concatenate([P, joined.T], axis=1), np.concatenate([G, direction])
        P, G, b = _descend(problem, P, G, b)
        P, _ = merge(*prune(P, G), angle=SAME_DIRECTION)
        G, b = _output_weights(problem, P)


def _output_weights(problem: Problem, P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """G and b for given P: the group lasso, which separates where P = I and b = 0."""
    squared = problem.loss.quadratic and not problem.fit_intercept
    if squared and np.array_equal(P, np.eye(len(P))):
        target = np.sqrt(problem.w)[:, None] * problem.Y
        norms = np.linalg.norm(target, axis=1, keepdims=True)
        shrunk = np.maximum(1 - problem.beta / np.maximum(norms, 1e-300), 0) * target
        return shrunk, np.zeros(problem.n_outputs)
    start = np.zeros((P.shape[1], problem.n_outputs)), problem.zero_intercept
    return group_lasso(problem, problem.features(P), *start)


def _descend(
    problem: Problem, P: np.ndarray, G: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Local minimum over P >= 0, G, b, with the penalty beta / 2 (||P||^2 + ||G||^2)."""
    T, W, loss, beta = problem.Y, problem.w, problem.loss, problem.beta
    (K, m), C = P.shape, problem.n_outputs
    root = np.sqrt(W)[:, None]
    sizes = [K * m, K * m + m * C]

    def split(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        p, g, b = np.split(x, sizes)
        return p.reshape(K, m), g.reshape(m, C), b

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        P, G, b = split(x)
        F = (P @ G) / root + b
        D = loss.gradient(F, T, W)
        value = loss.value(F, T, W) + beta / 2 * (np.sum(P * P) + np.sum(G * G))
        slope_b = D.sum(axis=0) * problem.fit_intercept
        D = D / root
        parts = [(D @ G.T + beta * P).ravel(), (P.T @ D + beta * G).ravel(), slope_b]
        return float(value), np.concatenate(parts)

    balance = np.sqrt(np.linalg.norm(G, axis=1))
    start = [(P * balance).ravel(), (G / np.maximum(balance, 1e-300)[:, None]).ravel(), b]
    bounds = [(0, None)] * (K * m) + [(None, None)] * (m * C + C)
    options = {"maxiter": 5000, "maxfun": 10000, "maxcor": 30, "ftol": 1e-16, "gtol": 1e-11}
    found = minimize(
        value_and_gradient,
        np.concatenate(start),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options=options,
    )
    P, G, b = split(found.x)
    norms = np.linalg.norm(P, axis=0)
    return P / np.maximum(norms, 1e-300), G * norms[:, None], b


def _directions(problem: Problem, P: np.ndarray) -> np.ndarray:
    """H (q, m) of the activations P (n, m) in the coordinates sqrt(w) Q."""
    return (np.sqrt(problem.w)[:, None] * problem.Q).T @ P


def _copositive_maximum(
    U: np.ndarray, P: np.ndarray, limit: float | None = None
) -> tuple[np.ndarray, float]:
    """Maximum of ||U^T p|| over p >= 0, ||p|| <= 1: maximisers (m, K) found, and the value.

    The value is exact, or an upper bound if more than MAX_SUPPORTS classes are connected by
    positive entries of U U^T. Given a limit, any bound will do below it, and above it one with
    what a search finds there, from the columns of P (K, m), unit vectors and eigenvectors.
    """
    A = U @ U.T
    K = len(A)
    bound = float(np.sqrt(np.linalg.eigvalsh(np.maximum(A, 0.0))[-1].clip(min=0)))
    if limit is not None and bound <= limit:
        return np.zeros((0, K)), bound
    _, vectors = np.linalg.eigh(A)
    p = np.concatenate([P.T, np.eye(K), np.maximum(vectors, 0).T, np.maximum(-vectors, 0).T])
    p = p[p.any(axis=1)]
    for _ in range(300):  # projected power steps, monotone since A is positive semidefinite
        p = np.maximum(p @ A, 0.0)
        p /= np.maximum(np.linalg.norm(p, axis=1, keepdims=True), 1e-300)
    values = np.linalg.norm(p @ U, axis=1)
    if limit is not None and values.max() > limit:
        return _distinct(p, values), bound
    bound, maximiser = 0.0, p[values.argmax()]
    # Entries < 0 between components only lower p^T A p: the maximum is that of a component.
    _, component = connected_components(A > 0)
    for c in np.unique(component):
        members = np.flatnonzero(component == c)
        square, q = _component_maximum(A[np.ix_(members, members)], values.max() ** 2)
        bound = max(bound, float(np.sqrt(square)))
        if q is not None and np.sqrt(square) >= bound:
            maximiser = np.zeros(K)
            maximiser[members] = q
    p = np.vstack([p, maximiser])
    return _distinct(p, np.linalg.norm(p @ U, axis=1)), bound


def _distinct(p: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The best of the maximisers p (m, K), one for each direction."""
    best = np.argsort(-values)
    best = best[values[best] > (1 - 1e-3) * values.max()]
    maxima, _ = merge(p[best].T, values[best, None], SAME_DIRECTION)
    return maxima.T[:MAX_JOINED]


def _component_maximum(A: np.ndarray, found: float) -> tuple[float, np.ndarray | None]:
    """Maximum of p^T A p over p >= 0, ||p|| <= 1, or a bound on it, and the maximiser if known.

    The largest eigenvalue of the positive part of A is a bound, and the maximum where A >= 0.
    Else, unless ``found`` reaches it, all supports are tried: on that of the maximiser, p is the
    leading eigenvector.
    """
    bound = float(max(np.linalg.eigvalsh(np.maximum(A, 0.0))[-1], 0.0))
    K = len(A)
    if bound <= found * (1 + 1e-9) or K > MAX_SUPPORTS:
        return bound, None
    best, maximiser = 0.0, None
    for size in range(1, K + 1):
        supports = np.array(list(combinations(range(K), size)))
        s, vectors = np.linalg.eigh(A[supports[:, :, None], supports[:, None, :]])
        leading = vectors[:, :, -1]
        leading[leading.sum(axis=1) < 0] *= -1.0  # of sum 0, it has both signs either way
        feasible = np.flatnonzero((leading >= -1e-12).all(axis=1))
        if len(feasible) and s[feasible, -1].max() > best:
            top = feasible[s[feasible, -1].argmax()]
            best, maximiser = float(s[top, -1]), np.zeros(K)
            maximiser[supports[top]] = np.maximum(leading[top], 0)
    return best, maximiser

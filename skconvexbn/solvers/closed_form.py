"""The high-dimensional regime: Q square, relu(Q h) reaches every non-negative vector (theory.md 5).

In the coordinates sqrt(w) Q, which are orthonormal, a neuron is any p >= 0 with ||h|| = ||p||.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import brentq

from ..arrangements import Arrangements
from ..losses import SquaredError
from ..problem import Options, Problem, Solution
from ..whitening import Basis

# Exact copositive maximum by enumerating supports up to this many classes.
MAX_SUPPORTS = 12


def violated_condition(problem: Problem, basis: Basis) -> str | None:
    """The condition of the closed form that does not hold, in words; None if all do."""
    n, q = problem.Q.shape
    if basis.shrinkage != 0 or basis.bias_scale != 1:
        return (
            f"it needs shrinkage=0 and bias_scale=1, got shrinkage={basis.shrinkage} and "
            f"bias_scale={basis.bias_scale}"
        )
    if q < n:
        cause = "" if basis.is_batch_norm else ", after truncation"
        return (
            "it needs rank([X - mean, 1]) equal to the number of distinct rows of positive weight, "
            f"got rank {q}{cause} and {n} rows"
        )
    if problem.n_outputs > 1 or not isinstance(problem.loss, SquaredError):
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
    if problem.n_outputs == 1 and isinstance(problem.loss, SquaredError):
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
    H = np.stack([p / max(r, 1e-300) for p, r in zip(parts, norms, strict=True)], axis=1)
    G = np.array([[1.0], [-1.0]]) * np.maximum(norms - beta, 0.0)[:, None]
    # V / sqrt(w) is each part cut to norm beta.
    V = root[:, None] * (H @ (np.array([[1.0], [-1.0]]) * np.minimum(norms, beta)[:, None]))
    return _solution(problem, H, G, np.array([b]), V, dual_norm=float(norms.max().clip(max=beta)))


def _best_shift(y: np.ndarray, w: np.ndarray, beta: float) -> float:
    """Minimiser over b of the optimal value at y - b.

    That is the sum over signs of a Huber function of ||(y - b)+-||; its derivative is minus the
    sum of min(1, beta / ||(y - b)+-||) <w, (y - b)+->.
    """

    def derivative(b: float) -> float:
        total = 0.0
        for part in (np.minimum(y - b, 0.0), np.maximum(y - b, 0.0)):
            norm = np.sqrt(w @ np.square(part))
            total -= min(1.0, beta / norm if norm > 0 else 1.0) * float(w @ part)
        return total

    low, high = float(y.min()), float(y.max())
    if low == high:
        return low
    if beta == 0:  # any b interpolates
        return float(w @ y / w.sum())
    return brentq(derivative, low, high, xtol=1e-15 * (high - low), rtol=1e-15, maxiter=500)


def _labels(problem: Problem, options: Options) -> Solution:
    """Class labels: the samples of a class are one super-sample of weight W_k.

    A network constant on classes is F_k = sum_j p_jk g_j / sqrt(W_k) + b with p_j >= 0. The pairs
    (e_k, g_k), one neuron a class, are optimal unless two classes share a neuron; then the
    maximiser p of the dual constraint joins them, until there is none.
    """
    T, group = np.unique(problem.Y, axis=0, return_inverse=True)
    group = group.ravel()
    W = np.bincount(group, problem.w)
    P = np.eye(len(W))
    lift = np.sqrt(problem.w / W[group])[:, None]  # super-sample -> sqrt(w) coordinates
    n_iter = 0
    while n_iter < options.max_iter:
        n_iter += 1
        G, b = _group_lasso(problem, P, T, W)
        F = (P @ G) / np.sqrt(W)[:, None] + b
        V = -problem.loss.gradient(F, T, W)
        U = V / np.sqrt(W)[:, None]
        joined, dual_norm = _copositive_maximum(U)
        done = dual_norm <= problem.beta * (1 + 1e-9) or not len(joined)
        if done or np.max(joined @ P, initial=0.0) > 1 - 1e-12:
            break
        P = np.concatenate([P, joined.T], axis=1)
    per_sample = V[group] * (problem.w / W[group])[:, None]
    return _solution(problem, lift * P[group], G, b, per_sample, dual_norm, n_iter)


def _solution(
    problem: Problem,
    P: np.ndarray,
    G: np.ndarray,
    b: np.ndarray,
    V: np.ndarray,
    dual_norm: float,
    n_iter: int = 1,
) -> Solution:
    """Neurons from their activations P (n, m) in the coordinates sqrt(w) Q."""
    H = (np.sqrt(problem.w)[:, None] * problem.Q).T @ P
    return Solution(H, G, b, V, dual_norm, "exact", n_iter)


def _copositive_maximum(U: np.ndarray) -> tuple[np.ndarray, float]:
    """Max ||U^T p|| over p >= 0, ||p|| <= 1: maximisers (m, K) found, and the value.

    The value is exact if U U^T has no positive entry off the diagonal or K <= MAX_SUPPORTS, and
    otherwise an upper bound: the largest eigenvalue of the positive part of U U^T.
    """
    A = U @ U.T
    K = len(A)
    bound = float(np.sqrt(np.linalg.eigvalsh(np.maximum(A, 0.0))[-1].clip(min=0)))
    values, vectors = np.linalg.eigh(A)
    p = np.concatenate([np.eye(K), np.maximum(vectors, 0).T, np.maximum(-vectors, 0).T])
    p = p[p.any(axis=1)]
    for _ in range(1000):  # projected power steps, monotone since A is positive semidefinite
        p = np.maximum(p @ A, 0.0)
        p /= np.maximum(np.linalg.norm(p, axis=1, keepdims=True), 1e-300)
    values = np.linalg.norm(p @ U, axis=1)
    if bound > values.max() * (1 + 1e-9) and K <= MAX_SUPPORTS:
        supports = (np.arange(1, 2**K)[:, None] >> np.arange(K)) & 1
        for support in supports.astype(bool):
            s, vector = np.linalg.eigh(A[np.ix_(support, support)])
            if np.all(vector[:, -1] >= 0) or np.all(vector[:, -1] <= 0):
                candidate = np.zeros(K)
                candidate[support] = np.abs(vector[:, -1])
                if s[-1] > np.square(values.max()):
                    p, values = np.vstack([p, candidate]), np.append(values, np.sqrt(s[-1]))
        bound = float(values.max())
    _, first = np.unique(np.round(p, 9), axis=0, return_index=True)
    first = first[values[first] > values.max() * (1 - 1e-6)]
    return p[first], min(bound, float(np.linalg.norm(U, ord=2)))


def _group_lasso(
    problem: Problem, P: np.ndarray, T: np.ndarray, W: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Min over G (m, C), b of sum_k W_k loss((P G)_k / sqrt(W_k) + b, T_k) + beta sum_j ||g_j||.

    Newton on sqrt(||g||^2 + eps^2), with eps going to zero.
    """
    K, m = P.shape
    C = T.shape[1]
    root = np.sqrt(W)[:, None]
    if isinstance(problem.loss, SquaredError) and not problem.fit_intercept and m == K:
        norms = np.linalg.norm(root * T, axis=1, keepdims=True)
        return np.maximum(1 - problem.beta / np.maximum(norms, 1e-300), 0) * root * T, np.zeros(C)
    R = P / root
    if problem.fit_intercept:
        R = np.concatenate([R, np.ones((K, 1))], axis=1)
    x = np.zeros((R.shape[1], C))
    scale = float(np.sqrt(W.sum()))
    for eps in scale * np.geomspace(1e-1, 1e-12, 23):
        x = _smooth_newton(problem, R, T, W, x, m, eps)
    G, b = x[:m], (x[m] if problem.fit_intercept else np.zeros(C))
    return np.where(np.linalg.norm(G, axis=1, keepdims=True) > 1e-8 * scale, G, 0.0), b


def _smooth_newton(
    problem: Problem,
    R: np.ndarray,
    T: np.ndarray,
    W: np.ndarray,
    x: np.ndarray,
    m: int,
    eps: float,
) -> np.ndarray:
    """Newton's method on the group lasso whose first m rows carry beta sqrt(||g||^2 + eps^2)."""
    loss, beta = problem.loss, problem.beta
    M, C = x.shape

    def norms(x: np.ndarray) -> np.ndarray:
        return np.sqrt(np.square(x[:m]).sum(axis=1) + eps**2)

    def value(x: np.ndarray) -> float:
        return loss.value(R @ x, T, W) + beta * float(norms(x).sum())

    current = value(x)
    for _ in range(50):
        F, r = R @ x, norms(x)
        gradient = R.T @ loss.gradient(F, T, W)
        gradient[:m] += beta * x[:m] / r[:, None]
        hessian = np.einsum("kj,kcd,kl->jcld", R, loss.hessian(F, W), R, optimize=True)
        rows = np.arange(m)
        unit = x[:m] / r[:, None]
        curvature = np.eye(C) - unit[:, :, None] * unit[:, None, :]
        hessian[rows, :, rows, :] += beta * curvature / r[:, None, None]
        hessian = hessian.reshape(M * C, M * C)
        d = 1 / np.sqrt(np.maximum(hessian.diagonal(), 1e-300))
        scaled = hessian * d * d[:, None]
        scaled[np.diag_indices(M * C)] += 1e-12
        step = -d * cho_solve(cho_factor(scaled, lower=True), d * gradient.ravel())
        decrement = -float(step @ gradient.ravel())
        if decrement <= 1e-15 * max(abs(current), 1e-300):
            break
        t = 1.0
        while (trial := value(x + t * step.reshape(M, C))) > current - 1e-4 * t * decrement:
            t /= 2
            if t < 1e-8:  # at the resolution of float64
                return x
        x, current = x + t * step.reshape(M, C), trial
    return x

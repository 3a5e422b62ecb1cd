"""Optimal masses of given pairs (h_j, g_j), by Newton's method (theory.md 4, 11)."""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import pinvh
from torch import Tensor

from ..problem import Problem
from .measure import Activations, Measure, Model, gram
from .nonnegative import nonnegative_qp

# Accuracy of masses, relative to beta, on which certificates rest.
MASS_TOL = 1e-8
# Newton steps at most.
MAX_NEWTON = 30
# Lengths of steps: below the first damping begins, below the second none is tried.
SHORT_STEP, SHORTEST_STEP = 0.1, 1e-4
# First weight of the damping, and its factors.
FIRST, MORE, LESS = 1e-3, 10.0, 0.1
# Relative gain of a step that is the resolution of float64, and no gain at all. Of what is little
# enough to end with, this fraction may be left: with earlier second derivatives steps converge
# linearly.
RESOLUTION, TINY, LEFT = 1e-9, 1e-300, 1e-3
# They are taken anew where a step gains more or less than they said, by this share, or where more
# than this share of the pairs is new.
STALE, NEW = 0.25, 1 / 3


class Curvature:
    """Second derivatives of the loss in masses and intercept, kept from one step to the next.

    They are products of features in the metric of the loss's Hessian at one output F. With many
    rows nothing takes longer; but that of squared error is the same everywhere, and others change
    little near the optimum. So only pairs that were not there the last time are multiplied, unless
    most are new. The Hessian of squared error, w_i I, leaves products of activations times those of
    output weights: only the first are kept, whatever the number of outputs.

    Attributes
    ----------
    fresh : bool
        Whether the last ones are those at the output given.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._constant = model.problem.loss.quadratic
        self._n_last = 1 if self._constant else model.problem.n_outputs  # features of intercepts
        self._known: dict[bytes, int] = {}
        self._products = np.empty((0, 0))
        self._F: Tensor | None = None
        self.fresh = self._constant

    def renew(self) -> None:
        """Take them at the next output given."""
        if not self._constant:
            self._F = None

    def of(self, x: Measure, A: Activations, F: Tensor) -> np.ndarray:
        """Those of x, whose activations are A, at F or at an earlier output: (k + C, k + C)."""
        k, n_last = len(x), self._n_last
        vectors = (x.H.T if self._constant else torch.cat([x.H.T, x.G], dim=1)).cpu().numpy()
        keys = [vector.tobytes() for vector in vectors]
        at = np.array([self._known.get(key, -1) for key in keys] + [*range(-n_last, 0)], dtype=int)
        new = np.flatnonzero(at[:k] < 0)
        anew = self._F is None or len(new) > NEW * k
        self.fresh = anew or self._constant
        if anew:
            self._F = F
            blocks = (self._columns(x, A, rows).T for rows in self._model.blocks(k))
            products = gram(blocks, k + n_last, self._model.Q).cpu().numpy()
        else:
            products = self._products[np.ix_(at, at)]
            if len(new):
                products[:, new] = self._across(x, A, new)
                products[new] = products[:, new].T
        self._known, self._products = {key: j for j, key in enumerate(keys)}, products
        return _with_weights(products, x) if self._constant else products

    def _across(self, x: Measure, A: Activations, new: np.ndarray) -> np.ndarray:
        """Products of all with the new ones, shape (k + C, len(new)); of squared error k + 1."""
        index = torch.as_tensor(new, device=x.c.device)
        total = x.c.new_zeros(len(x) + self._n_last, len(new))
        for rows in self._model.blocks(len(x)):
            X = self._columns(x, A, rows)
            total.addmm_(X, X[index].T)
        return total.cpu().numpy()

    def _columns(self, x: Measure, A: Activations, rows: slice) -> Tensor:
        """Features and intercepts of some rows times S (C, r), the Hessian S S^T: (k + C, r rows).

        Of squared error activations and ones times sqrt(w), (k + 1, rows).
        """
        assert self._F is not None
        loss, k, C = self._model.problem.loss, len(x), len(x.b)
        activations, w = A[rows], self._model.w[rows]
        if self._constant:
            ones = activations.new_ones(1, activations.shape[1])
            return torch.cat([activations, ones]).mul_(self._model.tensor(w).sqrt())
        S = self._model.tensor(loss.root(self._model.for_losses(self._F[rows]), w))
        columns = S.new_empty(k + C, S.shape[2], len(S))
        for j, (s, part) in enumerate(zip(S.unbind(dim=2), columns.unbind(dim=1), strict=True)):
            torch.mm(x.G[:, j:], s[:, j:].T, out=part[:k])  # S is lower triangular
            part[:k] *= activations
            part[k:] = s.T
        return columns.flatten(1)


def _with_weights(products: np.ndarray, x: Measure) -> np.ndarray:
    """Products of activations and of 1 times those of the output weights, (k + C, k + C)."""
    k, C = len(x), len(x.b)
    G, at = np.concatenate([x.G.cpu().numpy(), np.eye(C)]), np.minimum(np.arange(k + C), k)
    return products[np.ix_(at, at)] * (G @ G.T)


def best_masses(
    model: Model,
    x: Measure,
    tol: float,
    enough: float = 0.0,
    curvature: Curvature | None = None,
    scaling: float = np.inf,
) -> tuple[Measure, Tensor]:
    """Optimal masses and intercept of given pairs (h_j, g_j), and the output F (n, C).

    Newton's method on the loss, every step an exact program over c >= 0 of the pairs that have mass
    or violate the dual constraint: most of the others never need to enter. V = -gradient at F then
    satisfies the constraint at every pair, as closely as the steps converged: until one gains no
    more than enough, and scaling V into the constraint would lower the dual value by no more than
    ``scaling`` (of uneven weights steps that gain next to nothing change V by much). Second
    derivatives of earlier calls may do, or of earlier steps, as long as they tell what a step
    gains. Where rows are saturated the quadratic model holds only nearby, and steps that come out
    short are damped from then on.
    """
    curvature = curvature or Curvature(model)
    A = Activations(model, x.H)
    F, exact, settled, rho = model.output(x, A), False, False, 0.0
    value, beta = model.objective(F, x), model.problem.beta
    for _ in range(MAX_NEWTON):
        gains, gains_b = _gains(model, x, A, F)
        violated = (x.c == 0) & (gains > tol * beta)
        worst = float(gains.max()) if len(x) else 0.0
        feasible = settled and worst * float(x.c.sum()) <= scaling
        if feasible or (exact and not bool(violated.any())):
            break
        index = torch.nonzero(violated | (x.c > 0))[:, 0]
        part, A_part = x[index], A.of(index)
        M, slope = curvature.of(part, A_part, F), torch.cat([gains[index], gains_b]).cpu().numpy()
        step = _newton_step(model.problem, M, slope, part, tol, rho)
        length, trial, trial_F, trial_value = _backtrack(model, part, A_part, step, value)
        decrease = value - trial_value
        little = max(enough, RESOLUTION * abs(min(value, trial_value)))
        expected = max(slope @ step - step @ M @ step / 2, TINY)
        error = abs(decrease - expected)
        misled = length < 1 or error > max(STALE * expected, little)
        if misled:
            curvature.renew()
        again = misled and not curvature.fresh
        # The objective is convex: its slope along a step is the most that any length can gain.
        short = not again and length < SHORT_STEP and slope @ step > little
        if short:
            rho = max(MORE * rho, FIRST)
        elif rho > FIRST:
            rho *= LESS
        else:
            rho = 0.0
        if decrease > 0:
            x = Measure(x.H, x.G, x.c.index_copy(0, index, trial.c), trial.b)
            F, value = trial_F, trial_value
            exact = model.problem.loss.quadratic and length == 1
        left = (min(error, expected) / expected) ** 2 * decrease  # what the next step may gain
        settled = not (again or short or decrease > little or left > LEFT * little)
        if settled and (scaling == np.inf or decrease <= RESOLUTION * abs(value)):
            break
    return x, F


def _gains(model: Model, x: Measure, A: Activations, F: Tensor) -> tuple[Tensor, Tensor]:
    """How fast the objective falls as masses (k,) and intercepts (C,) grow, at the output F.

    That is g_j^T V^T relu(Q h_j) - beta, positive where the dual constraint is violated, and V^T 1.
    """
    found, total = torch.zeros_like(x.c), torch.zeros_like(x.b)
    for rows in model.blocks(len(x)):
        _, V = model.loss(F[rows], rows)
        found += ((A[rows] @ V) * x.G).sum(dim=1)
        total += V.sum(dim=0)
    return found - model.problem.beta, total


def _backtrack(
    model: Model, x: Measure, A: Activations, step: np.ndarray, value: float
) -> tuple[float, Measure, Tensor, float]:
    """Length of a step that lowers the objective from value, measure, output and objective there.

    The shortest may not lower it.
    """
    d, length = model.tensor(step), 1.0
    while True:
        c, b = x.c + length * d[: len(x)], x.b + length * d[len(x) :]
        trial = Measure(x.H, x.G, c, b)
        F = model.output(trial, A)
        trial_value = model.objective(F, trial)
        if trial_value < value or length <= SHORTEST_STEP:
            return length, trial, F, trial_value
        length /= 2


def _newton_step(
    problem: Problem, M: np.ndarray, slope: np.ndarray, x: Measure, tol: float, rho: float
) -> np.ndarray:
    """Maximise slope^T d - 1/2 d^T (M + rho diag(M)) d over d = (dc, db), where x.c + dc >= 0.

    Shape (k + C,); db is 0 where b is not free.
    """
    k, c, d = len(x), x.c.cpu().numpy(), np.zeros_like(slope)
    if rho:
        M = M + rho * np.diag(M.diagonal())
    reduced, g = M[:k, :k], slope[:k]
    if problem.fit_intercept:
        # db is eliminated by its normal equations (singular for multinomial log loss).
        inverse = pinvh(M[k:, k:], rtol=1e-12)
        across = inverse @ M[k:, :k]
        reduced, g = reduced - M[:k, k:] @ across, g - across.T @ slope[k:]
    d[:k] = nonnegative_qp(reduced, reduced @ c + g, tol * problem.beta, c) - c
    if problem.fit_intercept:
        d[k:] = inverse @ slope[k:] - across @ d[:k]
    return d

"""The gated relaxation over given gates: group lasso, or nuclear norms (theory.md 3).

    minimise  Loss(sum_j D_j Q S_j + 1 b^T, Y) + beta sum_j ||S_j||_*

by the alternating direction method of multipliers with the splits F = sum_j D_j Q S_j + 1 b^T and
Z_j = S_j. Rows of F and Q are held times sqrt(w), so that heavy ones do not slow it. The system of
its least squares step, I + (Q Q^T) o (D D^T), has n equations whatever the number of gates and does
not depend on the step size. The dual norm max_j ||Q^T D_j V||_2 is computed, so that
the gap is exact among these gates. Of one output with squared error the interior point method takes
over where a few rounds do not suffice.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice

import numpy as np
import torch
from torch import Tensor

from ..arrangements import Arrangements
from .incumbent import Incumbent
from .interface import Options, Solution
from .interior_point import interior_point, masked_products, masked_sum
from .measure import Model

# Relaxation, and the ratio of residuals at which the penalty of the splits is changed.
RELAXATION, BALANCE = 1.7, 2.0
# The first penalty in units of beta times the number of gates, which share F between them, over the
# smallest beta that makes all S_j zero; and the smallest.
FIRST_RHO, MIN_RHO = 0.05, 1e-4
# Iterations of the first round, after which the gap is computed; by which fraction of them each of
# so many rounds, in which the penalty may change, has more.
N_ITERATIONS, MORE, N_ADAPTED = 20, 0.1, 100
# Of one output with squared error so many rounds at most, which take a fraction of the time of as
# many of the interior point method; where they do not suffice it takes few, and they very many.
N_FIRST = 12
# Singular values below this fraction of the largest are zero.
NEGLIGIBLE = 1e-12


def solve_gated(model: Model, arrangements: Arrangements, options: Options) -> Solution:
    """Rounds until gap <= tol * zero_loss, or a limit of the options."""
    best = Incumbent(model.problem, options, "sampled", str(model.Q.device))
    return best.run(_rounds(model, arrangements, best))


def _rounds(model: Model, arrangements: Arrangements, best: Incumbent) -> Iterator[str]:
    splitting = _Splitting(model, arrangements, best).rounds()
    if model.problem.loss.quadratic and model.problem.n_outputs == 1:
        yield from islice(splitting, N_FIRST)
        yield from interior_point(model, arrangements, best)
        best.finished = False
    yield from splitting


class _Splitting:
    """S, Z (P, q, C), F (n, C), b (C,) and the scaled multipliers of both splits."""

    def __init__(self, model: Model, arrangements: Arrangements, best: Incumbent) -> None:
        if arrangements.directions is None:
            raise ValueError("The gated relaxation needs the directions of its gates.")
        self.model, self.problem, self.best = model, model.problem, best
        self.gates = arrangements.directions
        self.root = model.tensor(self.problem.w[:, None]).sqrt()
        self.Q, self.D = self.root * model.Q, model.tensor(arrangements.masks())
        K = (self.Q @ self.Q.T).mul_(self.D.T @ self.D)
        K.diagonal().add_(1.0)
        self.factor = torch.linalg.cholesky(K)
        self.ones = self._solve(self.root)
        P, (n, q), C = len(self.D), self.Q.shape, self.problem.n_outputs
        self.Z, self.U = (self.Q.new_zeros(P, q, C) for _ in range(2))
        self.b = model.tensor(self.problem.zero_intercept)
        self.F = self.root * self.b
        self.U_F = self.Q.new_zeros(n, C)
        norm = self._dual_norm(self.problem.dual_point(self._unscaled(self.F)))
        beta = self.problem.beta
        self.rho = max(FIRST_RHO * P * beta / max(norm, beta), MIN_RHO)

    def rounds(self) -> Iterator[str]:
        """Blocks of iterations without end."""
        for n_round in count():
            for _ in range(int(N_ITERATIONS * (1 + MORE * min(n_round, N_ADAPTED)))):
                primal, dual = self._iterate()
            if n_round < N_ADAPTED:
                self._balance(primal, dual)
            self._offer()
            yield f"residuals {primal:.1e} {dual:.1e}"

    def _unscaled(self, F: Tensor) -> np.ndarray:
        return (F / self.root).cpu().numpy()

    def _dual_norm(self, V: np.ndarray) -> float:
        """max_j ||Q^T D_j V||_2."""
        products = masked_products(self.D, self.Q, self.model.tensor(V) / self.root)
        return float(torch.linalg.matrix_norm(products, ord=2).max())

    def _solve(self, F: Tensor) -> Tensor:
        return torch.cholesky_solve(F, self.factor)

    def _iterate(self) -> tuple[float, float]:
        """One iteration; the primal and the dual residual."""
        p, old_F, old_Z = self.problem, self.F, self.Z
        # S and b: least squares to F - U_F and Z - U.
        S = old_Z - self.U
        rest = self._solve(old_F - self.U_F - masked_sum(self.D, self.Q, S))
        if p.fit_intercept:
            self.b = (self.root * rest).sum(dim=0) / (self.root * self.ones).sum()
            rest = rest - self.ones * self.b
        S = S + masked_products(self.D, self.Q, rest)
        out = old_F - self.U_F - rest  # = sqrt(w) (sum_j D_j Q S_j + 1 b^T)
        # F and Z: proximal maps of the loss and the norms.
        F_ahead = RELAXATION * out + (1 - RELAXATION) * old_F + self.U_F
        Z_ahead = RELAXATION * S + (1 - RELAXATION) * old_Z + self.U
        ahead, old = self._unscaled(F_ahead), self._unscaled(old_F)
        F = p.loss.proximal(ahead, p.Y, self.rho, old)
        self.F = self.root * self.model.tensor(F)
        self.Z = _shrink(Z_ahead, p.beta / self.rho)
        self.U_F, self.U = F_ahead - self.F, Z_ahead - self.Z
        primal = (out - self.F).square().sum() + (S - self.Z).square().sum()
        dual = (self.F - old_F).square().sum() + (self.Z - old_Z).square().sum()
        return float(primal) ** 0.5, self.rho * float(dual) ** 0.5

    def _balance(self, primal: float, dual: float) -> None:
        """Change the penalty, so that both residuals fall alike, relative to F, Z and rho U."""
        dual /= max(self.rho * _norm(self.U_F, self.U), 1e-300)
        ratio = primal / max(dual * _norm(self.F, self.Z), 1e-300)
        factor = 2.0 if ratio > BALANCE else 0.5 if ratio < 1 / BALANCE else 1.0
        self.rho *= factor
        self.U_F, self.U = self.U_F / factor, self.U / factor

    def _offer(self) -> None:
        """The network of Z, its neurons the singular pairs, and the dual point of F."""
        p = self.problem
        active = torch.nonzero(self.Z.abs().amax(dim=(1, 2)))[:, 0]
        U, s, Vh = torch.linalg.svd(self.Z[active], full_matrices=False)
        block, pair = torch.nonzero(s > NEGLIGIBLE * self.Z.abs().max(), as_tuple=True)
        H, G = U[block, :, pair].T, s[block, pair][:, None] * Vh[block, pair]
        index = active[block].cpu().numpy()
        b = p.best_intercept(self._unscaled(masked_sum(self.D, self.Q, self.Z)))
        self.best.offer(H.cpu().numpy(), G.cpu().numpy(), b, self.gates[:, index])
        V = p.dual_point(self._unscaled(self.F))
        self.best.offer_dual(V, self._dual_norm(V))


def _norm(*parts: Tensor) -> float:
    return float(sum(a.square().sum() for a in parts)) ** 0.5


def _shrink(S: Tensor, threshold: float) -> Tensor:
    """Singular values of the blocks less the threshold, or zero."""
    if S.shape[1] < S.shape[2]:
        return _shrink(S.transpose(1, 2), threshold).transpose(1, 2)
    values, vectors = torch.linalg.eigh(S.transpose(1, 2) @ S)
    sizes = values.clamp_min(0.0).sqrt()
    factors = (1 - threshold / sizes.clamp_min(1e-300)).clamp_min(0.0)
    return S @ ((vectors * factors[:, None, :]) @ vectors.transpose(1, 2))

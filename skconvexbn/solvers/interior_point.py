"""The cone-constrained group lasso of one output over given arrangements (theory.md 3).

    minimise  1/2 sum_i w_i (f_i - y_i)^2 + beta sum_j ||s_j||,   f = sum_j e_j D_j Q s_j + 1 b,
    subject to  z_j = M_j Q s_j >= 0,   M_j = 2 D_j - I,   e_j = +-1

or its gated relaxation, which has neither cones nor blocks with e_j = -1, by a primal-dual interior
point method: Mehrotra's predictor and corrector and Gondzio's further corrections, with
Nesterov-Todd scaling for the norms. A step needs one system of n equations, whatever the number of
blocks j:

    K = I + R (sum_j D_j Q B_j^{-1} Q^T D_j) R,   R^2 = diag(w),

where B_j (q, q) is the curvature of the barriers of block j. All else is products with Q.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..arrangements import Arrangements
from ..oracle.cones import project_onto_cone
from .group_lasso import MAX_UNKNOWNS, group_lasso
from .incumbent import Incumbent
from .interface import Options, Solution
from .masses import MASS_TOL, best_masses
from .measure import Measure, Model, gram
from .second_order import Scaling, jordan, longest_in_cone, of_eigenvalues

# Multipliers u_j to begin with, in units of beta / sqrt(n).
FIRST_MULTIPLIER = 10.0
# Fraction of the way to the boundary.
TO_BOUNDARY = 0.99
# Cone constraints count as met to this fraction of ||s_j||.
FEASIBLE = 1e-9
# Corrections of a step at most: each aims so much further, leads complementarities that would be
# outside this range, in units of the target, back into it, and must gain this fraction of its aim.
MAX_CORRECTIONS, FURTHER, RANGE, WORTH = 3, 0.3, (0.5, 2.0), 0.05
# Complementarity, in units of the first, and step at which rounding has the better of it.
RESOLUTION, MIN_STEP = 1e-13, 1e-6
# Blocks below this fraction of the largest are dropped in the end.
NEGLIGIBLE = 1e-9
# Stopped while blocks are outside their cones, so many of the largest are projected.
MAX_PROJECTED = 50
# Relative addition to the diagonal of B_j.
ROUNDING = 1e-14
# Trace of B_j^{-1} below which block j is left out of K.
NOTHING = 1e-12
# With a smaller beta rounding would make K singular: the steps are those of this one, which hardly
# differ where rows are interpolated, and the objectives and bounds those of beta.
SMALLEST_BETA = 1e-12


def solve_cones(model: Model, arrangements: Arrangements, options: Options) -> Solution:
    """Interior point steps until gap <= tol * zero_loss, or a limit of the options."""
    best = Incumbent(model.problem, options, "sampled", str(model.Q.device))
    return best.run(interior_point(model, arrangements, best))


def interior_point(model: Model, arrangements: Arrangements, best: Incumbent) -> Iterator[str]:
    """Steps, whose networks and bounds are offered to the incumbent."""
    if model.problem.beta < SMALLEST_BETA:
        model = copy(model)
        model.problem = model.problem.with_beta(SMALLEST_BETA)
    yield from _InteriorPoint(model, arrangements, best).rounds()


# Iterates x, y, z, u below, or steps in them.
_Steps = tuple[Tensor, Tensor, Tensor, Tensor]


class _InteriorPoint:
    """Iterates: norms and blocks x_j = (t_j, s_j), their duals y_j = (beta, r_j), z_j, u_j, b."""

    def __init__(self, model: Model, arrangements: Arrangements, best: Incumbent) -> None:
        self.model, self.problem, self.best = model, model.problem, best
        self.Q = Q = model.Q
        n, q = Q.shape
        self.D = D = model.tensor(arrangements.masks())  # blocks with e_j = 1, then those with -1
        self.gates = arrangements.directions if best.options.gated else None
        # gates have no cone, nor blocks of either sign
        self.signs, self.cone = (2, Q) if self.gates is None else (1, Q[:0])
        J = self.signs * len(D)
        self.e = torch.ones_like(D[:, :1]).repeat(self.signs, 1)
        self.e[len(D) :] = -1.0
        self.M = (2 * D[:, : len(self.cone)] - 1).repeat(self.signs, 1)
        self.x = Q.new_zeros(J, q + 1)
        self.x[:, 0] = 1.0
        self.y = Q.new_zeros(J, q + 1)
        self.y[:, 0] = self.problem.beta
        self.z = Q.new_full(self.M.shape, n**-0.5)
        self.u = FIRST_MULTIPLIER * self.problem.beta * self.z
        self.b = model.tensor(self.problem.zero_intercept)

    def rounds(self) -> Iterator[str]:
        """Steps, as long as they make progress."""
        first = mu = self._complementarity(self.x, self.y, self.z, self.u)
        while mu > RESOLUTION * first and self._step(mu):
            self._offer()
            if self.best.closed or self.best.last_round:
                self._offer_fewer()
            mu = self._complementarity(self.x, self.y, self.z, self.u)
            yield f"complementarity {mu:.1e}"
        self._offer_fewer()
        self.best.finished = True
        yield "no further progress"

    def _values(self, s: Tensor) -> Tensor:
        """M_j Q s_j, shape (J, n)."""
        return (s @ self.cone.T).mul_(self.M)

    def _forward(self, s: Tensor) -> Tensor:
        """sum_j e_j D_j Q s_j, shape (n,)."""
        s = (self.e * s).unflatten(0, (self.signs, -1)).sum(dim=0)
        return masked_sum(self.D, self.Q, s[:, :, None])[:, 0]

    def _adjoint(self, v: Tensor) -> Tensor:
        """e_j Q^T D_j v, shape (J, q)."""
        return self.e * masked_products(self.D, self.Q, v[:, None])[:, :, 0].repeat(self.signs, 1)

    def _weighted_products(self, weights: Tensor) -> Tensor:
        """Q^T diag(w_j) Q of the rows w_j of weights, shape (J, q, q)."""
        q = self.Q.shape[1]
        size = max(1, self.model.block_entries // q**2)
        parts = zip(self.cone.split(size), weights.split(size, dim=1), strict=True)
        return sum(w @ (Q[:, :, None] * Q[:, None, :]).flatten(1) for Q, w in parts).unflatten(
            1, (q, q)
        )

    @staticmethod
    def _complementarity(x: Tensor, y: Tensor, z: Tensor, u: Tensor) -> float:
        return (float((x * y).sum()) + float((z * u).sum())) / (len(x) + z.numel())

    def _outside(self) -> Tensor:
        """Which s_j are outside their cones, shape (J,)."""
        s = self.x[:, 1:]
        return (self._values(s) < -FEASIBLE * s.norm(dim=1, keepdim=True)).any(dim=1)

    def _offer(self) -> None:
        """The network, if it is in its cones, and the dual point with its proof."""
        p, s = self.problem, self.x[:, 1:]
        if not bool(self._outside().any()):
            x = Measure.of_weights(s.T, self.e, self.b)
            kept = x.c > 0
            gates = None if self.gates is None else self.gates[:, kept.cpu().numpy()]
            self.best.offer(*x[kept].network, gates)
        V = p.dual_point((self._forward(s) + self.b)[:, None].cpu().numpy())
        # In cone j, e_j v^T D_j Q h <= ||e_j Q^T D_j v + Q^T M_j u_j|| for unit h and any u_j >= 0.
        v = self.model.tensor(V[:, 0])
        bound = (self._adjoint(v) + (self.M * self.u) @ self.cone).norm(dim=1)
        self.best.offer_dual(V, float(bound.max()))

    def _offer_fewer(self) -> None:
        """The blocks projected onto their cones, with the best masses: most are zero."""
        if self.gates is not None:
            self._offer_gated(self.gates)
            return
        s, outside = self.x[:, 1:].clone(), self._outside()
        largest = torch.argsort(s.norm(dim=1), descending=True)
        if bool(outside.any()):
            largest = largest[:MAX_PROJECTED]
        for j in largest[outside[largest]].tolist():
            cone = (self.M[j, :, None] * self.Q).cpu().numpy()
            s[j] = self.model.tensor(project_onto_cone(cone, s[j].cpu().numpy()))
        x = Measure.of_weights(s[largest].T, self.e[largest], self.b)
        x = x[x.c > NEGLIGIBLE * x.c.max()]
        self.best.offer(*best_masses(self.model, x, MASS_TOL)[0].active().network)

    def _offer_gated(self, gates: np.ndarray) -> None:
        """The largest blocks with the best output weights: most are zero."""
        s = self.x[:, 1:].T.cpu().numpy()
        c = np.linalg.norm(s, axis=0)
        kept = np.argsort(-c, kind="stable")[:MAX_UNKNOWNS]
        kept = kept[c[kept] > NEGLIGIBLE * c.max()]
        H, gates, c = s[:, kept] / c[kept], gates[:, kept], c[kept]
        R = self.problem.features(H, gates)
        G, b = group_lasso(self.problem, R, c[:, None], self.b.cpu().numpy(), eps=0.01)
        active = G[:, 0] != 0
        self.best.offer(H[:, active], G[active], b, gates[:, active])

    def _step(self, mu: float) -> bool:
        """Predictor, corrector and centring; whether they could be computed and led on."""
        system = self._system()
        if system is None:
            return False
        square = jordan(system.scaling.point, system.scaling.point)
        steps, _ = self._solve(system, -square, -self.u * self.z)
        length = min(1.0, self._longest(*steps))
        predicted = self._complementarity(*_moved(self._cones, steps, length))
        target = min(max(predicted / mu, 0.0), 1.0) ** 3 * mu
        dx, dy, dz, du = steps
        d = -square - jordan(system.scaling.apply(dx, inverse=True), system.scaling.apply(dy))
        d[:, 0] += target
        steps, db, length = self._centre(system, target, d, target - du * dz - self.u * self.z)
        if length <= MIN_STEP:
            return False
        self.x, self.y, self.z, self.u = _moved(self._cones, steps, length)
        self.b = self.b + length * db
        return True

    def _centre(
        self, system: _System, target: float, d: Tensor, d_rows: Tensor
    ) -> tuple[_Steps, Tensor, float]:
        """The steps of `_solve` and their length; corrected as long as that makes them longer.

        What a longer step would lead far away from the target is led back (J. Gondzio, "Multiple
        centrality corrections in a primal-dual method for linear programming", 1996): the factors
        of K and B_j are what takes time.
        """
        steps, db = self._solve(system, d, d_rows)
        length = min(1.0, TO_BOUNDARY * self._longest(*steps))
        for _ in range(MAX_CORRECTIONS):
            if not MIN_STEP < length < 1:
                break
            reach = min(1.0, length + FURTHER)
            x, y, z, u = _moved(self._cones, steps, reach)
            v = jordan(system.scaling.apply(x, inverse=True), system.scaling.apply(y))
            d = d + of_eigenvalues(lambda values: _led_back(values, target), v)
            d_rows = d_rows + _led_back(z * u, target)
            corrected, db_corrected = self._solve(system, d, d_rows)
            longer = min(1.0, TO_BOUNDARY * self._longest(*corrected))
            if not longer > length + WORTH * (reach - length):
                break
            steps, db, length = corrected, db_corrected, longer
        return steps, db, length

    @property
    def _cones(self) -> _Steps:
        return self.x, self.y, self.z, self.u

    def _longest(self, dx: Tensor, dy: Tensor, dz: Tensor, du: Tensor) -> float:
        """The largest length that stays in all cones; 0 if the step is not finite."""
        if not all(np.isfinite(float(step.sum())) for step in (dx, dy, dz, du)):
            return 0.0
        lengths = [longest_in_cone(self.x, dx), longest_in_cone(self.y, dy)]
        for a, d in ((self.z, dz), (self.u, du)):
            fastest = -float((d / a).min()) if a.numel() else 0.0
            lengths.append(1 / fastest if fastest > 0 else torch.inf)
        return min(lengths)

    def _system(self) -> _System | None:
        """The system at the iterate; None if it is singular to rounding."""
        p, q = self.problem, self.Q.shape[1]
        scaling = Scaling(self.x, self.y)
        B = self._weighted_products(self.u / self.z) + scaling.curvature()
        B.diagonal(dim1=1, dim2=2).mul_(1 + ROUNDING)
        L, failed = torch.linalg.cholesky_ex(B)
        if bool(failed.any()):
            return None
        F = (self._forward(self.x[:, 1:]) + self.b)[:, None].cpu().numpy()
        gradient = self.model.tensor(p.loss.gradient(F, p.Y, p.w)[:, 0])
        root = self.model.tensor(p.w).sqrt()
        # Both signs of one arrangement together; those that add nothing to I are left out.
        C = torch.cholesky_inverse(L).unflatten(0, (self.signs, -1)).sum(dim=0)
        index = torch.nonzero(C.diagonal(dim1=1, dim2=2).sum(dim=1) > NOTHING)[:, 0]
        factors, failed = torch.linalg.cholesky_ex(C[index])
        if bool(failed.any()):
            return None
        size = max(1, self.model.block_entries // (q * len(root)))
        parts = zip(factors.split(size), index.split(size), strict=True)
        blocks = (
            (part.mT @ self.Q.T).mul_((root * self.D[j])[:, None, :]).flatten(0, 1)
            for part, j in parts
        )
        K = gram(blocks, len(root), root)
        K.diagonal().add_(1.0)
        factor, failed = torch.linalg.cholesky_ex(K)
        outside = self._values(self.x[:, 1:]) - self.z
        force = self.y[:, 1:] + (self.M * self.u * (1 - outside / self.z)) @ self.cone
        force -= self._adjoint(gradient)
        return None if failed else _System(scaling, L, force, gradient, root, factor, outside)

    def _solve(self, system: _System, d: Tensor, d_rows: Tensor) -> tuple[_Steps, Tensor]:
        """Newton step and db towards complementarities d (norms) and d_rows (rows)."""
        root = system.root
        residual = (
            system.force + system.scaling.force(d) + (d_rows / self.z).mul_(self.M) @ self.cone
        )
        ds = _solve_blocks(system.L, residual)
        # In the outputs: f = R^2 (A ds + 1 db), with 1^T (gradient + f) = 0 where b is free.
        f = root * system.solve(root * self._forward(ds))
        db = torch.zeros_like(self.b)
        if self.problem.fit_intercept:
            db = -(system.gradient.sum() + f.sum()) / system.ones.sum() * torch.ones_like(db)
            f = f + db * system.ones
        ds = ds - _solve_blocks(system.L, self._adjoint(f))
        dx, dy = system.scaling.steps(d, ds)
        dz = self._values(ds).add_(system.outside)
        du = torch.addcmul(d_rows, self.u, dz, value=-1).div_(self.z)
        return (dx, dy, dz, du), db


@dataclass(frozen=True, eq=False)
class _System:
    """What the steps of a round share: scaling, factors of B_j and K, derivatives, residuals."""

    scaling: Scaling
    L: Tensor
    force: Tensor
    gradient: Tensor
    root: Tensor
    factor: Tensor
    outside: Tensor

    def solve(self, v: Tensor) -> Tensor:
        """K^{-1} v."""
        return torch.cholesky_solve(v[:, None], self.factor)[:, 0]

    @cached_property
    def ones(self) -> Tensor:
        """R K^{-1} R 1, what a step of b adds to f."""
        return self.root * self.solve(self.root)


def _moved(a: _Steps, steps: _Steps, length: float) -> _Steps:
    """Points so far along the steps."""
    x, y, z, u = (torch.add(b, d, alpha=length) for b, d in zip(a, steps, strict=True))
    return x, y, z, u


def _led_back(products: Tensor, target: float) -> Tensor:
    """What takes complementarities into the range, but none down by more than its upper end."""
    low, high = (bound * target for bound in RANGE)
    return products.clamp(low, high).sub_(products).clamp_min_(-high)


def _solve_blocks(L: Tensor, v: Tensor) -> Tensor:
    """B_j^{-1} v_j."""
    return torch.cholesky_solve(v[:, :, None], L)[:, :, 0]


def masked_sum(D: Tensor, Q: Tensor, S: Tensor) -> Tensor:
    """sum_j D_j Q S_j, shape (n, C), for masks D (P, n) and S (P, q, C)."""
    masked = (D.T @ S.flatten(1)).unflatten(1, S.shape[1:])
    return (masked * Q[:, :, None]).sum(dim=1)


def masked_products(D: Tensor, Q: Tensor, F: Tensor) -> Tensor:
    """Q^T D_j F, shape (P, q, C)."""
    products = Q[:, :, None] * F[:, None, :]
    return (D @ products.flatten(1)).unflatten(1, products.shape[1:])

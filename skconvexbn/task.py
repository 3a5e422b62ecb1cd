"""What fits to the same rows share, and what those at one rank and shrinkage do."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np

from .arrangements import Arrangements
from .auto_beta import auto_beta
from .data import DistinctRows
from .fit import Fit
from .losses import Loss
from .network import Network
from .oracle.cones import gated_dual_norm
from .oracle.multi_start import longest_parts, multi_start, step_scale
from .problem import Problem
from .progress import progress
from .simplify import simplify
from .solvers import get_solver
from .solvers.group_lasso import settle_outputs
from .solvers.interface import Neurons, Options, Solution
from .threads import one_blas_thread
from .units import Units
from .whitening import Basis, Whitening

# Starts, steps and last step of the oracle behind beta="auto", which needs no more.
ORACLE = 60, 30, 0.01
# beta=0 stands for the limit beta -> 0, taken at this fraction of beta_max.
BETA_LIMIT = 1e-7
# beta in the units of the solver: far above what makes a difference, and where squares overflow
# neither way.
MIN_BETA, MAX_BETA = 1e-100, 1e30
# A beta_max below this is rounding, in units of ||sqrt(w)|| ||sqrt(w) Q||: V is w times order 1.
NO_SIGNAL = 1e-14


@dataclass(frozen=True, eq=False)
class Training:
    """What all fits to some rows share, whatever their rank, shrinkage and beta."""

    rows: DistinctRows
    whitening: Whitening
    loss: Loss


@dataclass(frozen=True, eq=False)
class Task:
    """What all fits at one rank and shrinkage share: the problem at beta = 0 and how to solve it.

    ``labels`` says that the targets stand for classes; ``verbose`` and ``name`` are those of the
    estimator, for what is printed.
    """

    basis: Basis
    problem: Problem
    units: Units
    backend: str
    arrangements: Arrangements | None
    options: Options
    labels: bool
    verbose: int
    name: str

    @np.errstate(under="ignore")
    def solve(
        self,
        beta: float | str,
        start: Neurons | None = None,
        certify: bool = True,
        beside: Neurons | None = None,
    ) -> Fit:
        """Fit at beta, in the units of the data, from the neurons of ``start``.

        Those ``beside`` it, in the solver's units too, may be of use.
        """
        beta, units = self.resolve_beta(beta), self.units
        in_units = min(max(beta / units.beta, MIN_BETA), MAX_BETA) if beta else 0.0
        problem = self.problem.with_beta(in_units)
        if self.verbose:
            print(
                f"[{self.name}] backend {self.backend}, beta {beta:.6g}, rank {self.basis.rank}, "
                f"shrinkage {self.basis.shrinkage:g}"
            )
        begin = time.perf_counter()
        with progress(self.verbose, self.name, self.options.tol, units.objective) as report:
            options = replace(
                self.options, start=start, beside=beside, certify=certify, report=report
            )
            solution = get_solver(self.backend)(problem, self.arrangements, options)
        return self._fit_of(problem, solution, beta, time.perf_counter() - begin)

    def _fit_of(self, problem: Problem, solution: Solution, beta: float, seconds: float) -> Fit:
        """A solution of the problem at this beta simplified, judged, and in the units of the data.

        It took so many seconds.
        """
        H, G, b, gates = solution.H, solution.G, solution.b, solution.gates
        if gates is None:
            H, G, b = simplify(problem, H, G, b)
        several = problem.loss.quadratic and problem.n_outputs > 1 and len(G) > 0
        if several and self.backend != "closed_form":  # which is exact for each
            G, b = settle_outputs(problem, H, G, b, gates)
        b = problem.loss.canonical_intercept(b)
        units, objective = self.units, problem.primal(H, G, b, gates)
        gap = max(objective - problem.dual(solution.V, solution.dual_norm), 0.0)
        ended_by, tol = solution.ended_by, self.options.tol
        if ended_by not in ("Ctrl-C", "max_time"):
            if gap <= tol * problem.zero_loss:
                ended_by = "tol"
            elif ended_by == "tol":  # by the solver's rounding
                ended_by = "solver"
        objective, gap, zero_loss = (
            units.objective * v for v in (objective, gap, problem.zero_loss)
        )
        history = np.array(solution.history or [(seconds, 0.0, 0.0)])
        history[:, 1:] *= units.objective
        history[-1, 1:] = objective, objective - gap
        return Fit(
            network=Network.from_neurons(
                self.basis, H, units.beta * G, units.output * b + units.centre, gates
            ),
            basis=self.basis,
            start=(H, G) if len(G) else None,
            beta=beta,
            objective=objective,
            dual_gap=gap,
            zero_loss=zero_loss,
            certificate=solution.certificate,
            ended_by=ended_by,
            n_iter=solution.n_iter,
            backend=self.backend,
            device=solution.device,
            history=history,
            tol=tol,
        )

    def path(
        self,
        betas: Iterable[float],
        certify: bool = True,
        beside: Sequence[Neurons | None] = (),
        start: Neurons | None = None,
    ) -> Iterator[Fit]:
        """Fits at each of the betas, from the neurons of the one before; Ctrl-C ends the last.

        The first is from ``start``. Those beside them at each beta may be of use too. Betas should
        descend: neurons are few at first, and those found so far all stay useful.
        """
        for beta, others in zip(betas, beside or repeat(None), strict=False):
            fit = self.solve(beta, start or others, certify, others)
            start = fit.start
            yield fit
            if fit.interrupted:
                return

    def beta_max(self, n_starts: int, n_steps: int, last_step: float) -> float:
        """Smallest beta of the zero model, in the solver's units, by a search (theory.md 4).

        Zero where it is rounding. With gates it is computed. On one thread of BLAS where torch
        solves, as its solves are: its products are small.
        """
        Q, V = self.problem.Q, self.problem.dual_point(np.zeros_like(self.problem.Y))
        root = np.sqrt(self.problem.w)
        if self.options.gated and self.arrangements is not None:
            found = gated_dual_norm(Q, V, self.arrangements)
        else:
            rng = np.random.RandomState(self.options.seed)
            scale = step_scale(Q, self.problem.w)
            random = self.basis.random_directions(n_starts, rng)
            starts = np.hstack([random, longest_parts(Q, V) / scale])
            with one_blas_thread() if self.backend == "torch" else nullcontext():
                found = multi_start(Q, V, starts, n_steps, last_step, scale)
        size = np.linalg.norm(root) * np.linalg.norm(root[:, None] * Q)
        return found if found > NO_SIGNAL * size else 0.0

    def resolve_beta(self, beta: float | str) -> float:
        """Beta in the units of the data: as given, by the rule for "auto", or the limit for 0.

        Where beta_max, the smallest beta of the zero model, is zero, so is the network at any beta:
        "auto" is then the unit of beta, and 0 its limit in that unit.
        """
        problem, units = self.problem, self.units
        scalar = problem.loss.quadratic and problem.n_outputs == 1
        interpolates = self.backend == "closed_form" and scalar
        if not isinstance(beta, str) and (beta > 0 or interpolates):
            return float(beta)
        beta_max = units.beta * self.beta_max(*ORACLE)
        if beta == 0:
            return float(BETA_LIMIT * (beta_max or units.beta))
        if not beta_max:
            return float(units.beta)
        return auto_beta(problem, self.basis, units, beta_max, self.labels)

"""What fits to the same rows share, what those at one rank and shrinkage do, and a fit itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .arrangements import Arrangements
from .data import DistinctRows
from .losses import Loss
from .network import Network, simplify
from .noise import noise_share, total_variation
from .oracle.cones import gated_dual_norm, multi_start, step_scale
from .problem import Certificate, Neurons, Problem, Solution
from .units import Units
from .whitening import Basis, Whitening

# Starts, steps and last step of the oracle behind beta="auto", which needs no more.
ORACLE = 60, 30, 0.01


class AutoRule(NamedTuple):
    """The constant of beta="auto", and the largest share of beta_max that it takes."""

    constant: float
    share: float


# Few rows, or few of one class, would leave no neurons without the share; a tenth for log loss
# would follow classes of next to no weight.
AUTO_SQUARED_ERROR, AUTO_LOG_LOSS = AutoRule(0.5, 0.1), AutoRule(0.16, 0.2)
# Of squared error on one-hot vectors, which the above alone would give too many neurons: the
# constant of the least beta.
ONE_HOT = 0.7
# beta=0 stands for the limit beta -> 0, taken at this fraction of beta_max.
BETA_LIMIT = 1e-7
# Gaps below this fraction of the zero model's loss are rounding.
ROUNDING = 1e-9
# Of a fit, what a path has arrays of and estimators, with an underscore, have as attributes.
RESULTS = (
    "rank",
    "objective",
    "dual_objective",
    "dual_gap",
    "n_neurons",
    "n_iter",
    "certificate",
    "converged",
)
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
    """What all fits at one rank and shrinkage share: the problem at beta = 0 and its solver.

    ``labels`` says that the targets stand for classes, ``gated`` that neurons are linear where the
    gates of the arrangements are open.
    """

    basis: Basis
    problem: Problem
    units: Units
    backend: str
    arrangements: Arrangements | None
    seed: int
    labels: bool
    gated: bool

    def beta_max(self, n_starts: int, n_steps: int, last_step: float) -> float:
        """Smallest beta of the zero model, in the solver's units, by a search (theory.md 4).

        Zero where it is rounding. With gates it is computed.
        """
        Q, V = self.problem.Q, self.problem.dual_point(np.zeros_like(self.problem.Y))
        root = np.sqrt(self.problem.w)
        if self.gated and self.arrangements is not None:
            found = gated_dual_norm(Q, V, self.arrangements)
        else:
            starts = self.basis.random_directions(n_starts, np.random.RandomState(self.seed))
            scale = step_scale(Q, self.problem.w)
            found = multi_start(Q, V, starts, n_steps, last_step, scale)
        size = np.linalg.norm(root) * np.linalg.norm(root[:, None] * Q)
        return found if found > NO_SIGNAL * size else 0.0

    def resolve_beta(self, beta: float | str) -> float:
        """Beta in the units of the data: as given, by the rule for "auto", or the limit for 0.

        The rule goes by the noise in the targets, see ``_by_noise``, up to a share of beta_max, the
        smallest beta of the zero model; targets that do not vary get this share. Where beta_max is
        zero, so is the network at any beta, and the unit stands for all but 0.
        """
        problem, units = self.problem, self.units
        squared = problem.loss.quadratic
        interpolates = self.backend == "closed_form" and squared and problem.n_outputs == 1
        if not isinstance(beta, str) and (beta > 0 or interpolates):
            return float(beta)
        beta_max = units.beta * self.beta_max(*ORACLE)
        if beta == 0:
            return float(BETA_LIMIT * (beta_max or units.beta))
        if beta_max == 0:
            return float(units.beta)
        rule = AUTO_SQUARED_ERROR if squared else AUTO_LOG_LOSS
        return float(min(self._by_noise(rule.constant, beta_max), rule.share * beta_max))

    def _by_noise(self, constant: float, beta_max: float) -> float:
        """A constant times nu^1.5 q n^-1/4, and times std(Y) if the error is squared.

        nu is the share of noise in the targets (theory.md 8). One-hot vectors with squared error
        get 0.7 var(Y) sqrt(q) / beta_max at least, beta_max in the units of the data, as the
        result. Infinite where Y does not vary.
        """
        problem, units = self.problem, self.units
        q, total, variation = problem.Q.shape[1], problem.w.sum(), total_variation(problem)
        if variation == 0:
            return np.inf
        rule = constant * noise_share(problem) ** 1.5 * q / (units.weight * total) ** 0.25
        if not problem.loss.quadratic:
            return rule
        deviation = units.output * np.sqrt(variation / total)
        if self.labels and problem.n_outputs > 1:
            return max(rule * deviation, ONE_HOT * deviation**2 * np.sqrt(q) / beta_max)
        return rule * deviation


def relative_gap(gap: Any, zero_loss: float) -> Any:
    """Gaps as fractions of the loss of the model without neurons, which may be zero."""
    return gap / max(zero_loss, 1e-300)


@dataclass(frozen=True, eq=False)
class Fit:
    """A network with its certificate, in the units of the data.

    ``start`` has its neurons (H, G) in those of the solver, if there are any: another fit of the
    task may start there. ``cut_short`` says that ``max_time`` ended the search that would vouch for
    the gap, ``limited`` that it or ``max_iter`` ended the rounds.
    """

    network: Network
    basis: Basis
    start: Neurons | None
    beta: float
    objective: float
    dual_gap: float
    zero_loss: float
    certificate: Certificate
    converged: bool
    interrupted: bool
    cut_short: bool
    limited: bool
    n_iter: int
    backend: str
    device: str
    history: np.ndarray
    tol: float

    @classmethod
    def of(
        cls,
        task: Task,
        problem: Problem,
        solution: Solution,
        beta: float,
        tol: float,
        seconds: float,
    ) -> Fit:
        """Fit of a task's problem at this beta, which took so long, by a solution of it."""
        H, G, b, gates = solution.H, solution.G, solution.b, solution.gates
        if gates is None:
            H, G, b = simplify(problem, H, G, b)
        b = problem.loss.canonical_intercept(b)
        units, objective = task.units, problem.primal(H, G, b, gates)
        gap = max(objective - problem.dual(solution.V, solution.dual_norm), 0.0)
        closed = bool(gap <= max(tol, ROUNDING) * problem.zero_loss)
        objective, gap, zero_loss = (
            units.objective * v for v in (objective, gap, problem.zero_loss)
        )
        history = np.array(solution.history or [(seconds, 0.0, 0.0)])
        history[:, 1:] *= units.objective
        history[-1, 1:] = objective, objective - gap
        return cls(
            network=Network.from_neurons(
                task.basis, H, units.beta * G, units.output * b + units.centre, gates
            ),
            basis=task.basis,
            start=(H, G) if len(G) else None,
            beta=beta,
            objective=objective,
            dual_gap=gap,
            zero_loss=zero_loss,
            certificate=solution.certificate,
            converged=closed and not solution.interrupted and not solution.cut_short,
            interrupted=solution.interrupted,
            cut_short=solution.cut_short,
            limited=solution.limited,
            n_iter=solution.n_iter,
            backend=task.backend,
            device=solution.device,
            history=history,
            tol=tol,
        )

    @property
    def ended_by(self) -> str:
        """What ended it: "tol", "Ctrl-C", "max_time" a search, a "limit", or the "solver"."""
        if self.converged:
            return "tol"
        if self.interrupted:
            return "Ctrl-C"
        if self.cut_short:
            return "max_time"
        return "limit" if self.limited else "solver"

    @property
    def dual_objective(self) -> float:
        """The lower bound."""
        return self.objective - self.dual_gap

    @property
    def rank(self) -> int:
        """Number of directions kept."""
        return self.basis.rank

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        return len(self.network.c)

    @property
    def loss(self) -> float:
        """The objective without its penalty (the neurons have ||h|| = 1)."""
        penalty = float(np.linalg.norm(self.network.G, axis=1).sum())
        return self.objective - self.beta * penalty

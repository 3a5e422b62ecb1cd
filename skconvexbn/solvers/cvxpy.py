"""The exact cone-constrained program over given arrangements, by cvxpy and Clarabel (theory.md 3).

Two master problems share one loop. *Neurons*: with h_j fixed, a group lasso in the output weights;
the oracle adds the neurons that violate the dual constraint (column generation, the Dantzig-Wolfe
form of the program, for any number of outputs). *Cones*: with one output, the second-order cone
program of theory.md 3 itself, over the arrangements in use; it ends exactly what column generation
only approaches, but for the solver's own error, which neurons mend again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np
import scipy.sparse as sp

from ..arrangements import Arrangements
from ..oracle.cones import Cuts
from ..problem import Problem
from .group_lasso import MAX_UNKNOWNS, group_lasso
from .incumbent import Incumbent
from .interface import Options, Solution
from .pricing import Pricing, certificate, judged

# Where Clarabel cannot go on, its best point is taken ("accept_unknown"): the gap judges it.
SETTINGS = {
    "tol_gap_abs": 1e-9,
    "tol_gap_rel": 1e-9,
    "tol_feas": 1e-9,
    "max_iter": 200,
    "accept_unknown": True,
}
# Gap, in units of the zero model's loss, at which cones take over from neurons.
CROSSOVER_GAP = 1e-4
# Neurons below this fraction of the largest are dropped between rounds.
NEGLIGIBLE = 1e-7
# Neurons added in a round, those that violate the dual constraint most: many more, being nearly
# dependent, make the program ill-conditioned.
MAX_ADDED = 200


@dataclass(frozen=True, eq=False)
class _Neurons:
    """Unit directions H (q, m), in the cones ``index`` (m,), and weights G (m, C)."""

    H: np.ndarray
    index: np.ndarray
    G: np.ndarray
    b: np.ndarray

    def add(self, cuts: Cuts) -> _Neurons:
        """Append cuts, with their unit output weights g."""
        return _Neurons(
            np.concatenate([self.H, cuts.H], axis=1),
            np.concatenate([self.index, cuts.index]),
            np.concatenate([self.G, cuts.G]),
            self.b,
        )

    def blocks(self) -> set[tuple[int, bool]]:
        """Pairs of arrangement and sign of the output weight (one output)."""
        return set(zip(self.index.tolist(), (self.G[:, 0] > 0).tolist(), strict=True))

    def without_negligible(self) -> _Neurons:
        size = np.linalg.norm(self.G, axis=1)
        keep = size > NEGLIGIBLE * size.max(initial=0.0)
        return _Neurons(self.H[:, keep], self.index[keep], self.G[keep], self.b)


def solve(problem: Problem, arrangements: Arrangements | None, options: Options) -> Solution:
    """Add what violates the dual constraint until nothing does, or gap <= tol * zero_loss."""
    if arrangements is None:
        raise ValueError("The cvxpy backend needs arrangements.")
    best = Incumbent(problem, options, certificate(problem, arrangements), "cpu")
    return judged(best.run(_rounds(problem, arrangements, best)), problem, arrangements)


def _rounds(problem: Problem, arrangements: Arrangements, best: Incumbent) -> Iterator[str]:
    H, G, b = best.network
    neurons, in_cones = _Neurons(H, np.zeros(0, dtype=int), G, b), set[tuple[int, bool]]()
    pricing = Pricing(arrangements, best, MAX_ADDED)
    grown = _grown(problem, pricing, neurons)
    while len(grown.G) > len(neurons.G) and not best.closed:
        blocks = grown.blocks() if problem.n_outputs == 1 else set()
        solved = bool(blocks) and blocks <= in_cones
        try:
            if blocks and not solved and best.gap <= CROSSOVER_GAP:
                in_cones |= blocks
                neurons = _solve_cones(problem, arrangements, sorted(in_cones))
            else:  # of cones that are solved already it mends the solver's own error
                neurons = _solve_neurons(problem, grown)
        except cp.SolverError:
            if not len(best.G):
                raise
            return  # the best so far stands, with its gap
        best.offer(neurons.H, neurons.G, neurons.b)
        grown = _grown(problem, pricing, neurons)
        yield f"violated {len(grown.G) - len(neurons.G)}"
        if pricing.stuck or (pricing.idle and solved):  # the resolution of Clarabel
            return


def _grown(problem: Problem, pricing: Pricing, neurons: _Neurons) -> _Neurons:
    """With those that violate the dual constraint at the neurons' dual point, which is offered."""
    V = problem.dual_point(problem.output(neurons.H, neurons.G, neurons.b))
    return neurons.add(pricing.violated(V))


def _solve_neurons(problem: Problem, neurons: _Neurons) -> _Neurons:
    """Minimise over G, b of Loss(relu(Q H) G + 1 b^T, Y) + beta sum_j ||g_j||."""
    C = problem.n_outputs
    G, b = cp.Variable((len(neurons.G), C)), _intercept(problem)
    size = cp.abs(G) if C == 1 else cp.norm(G, 2, axis=1)
    _minimise(problem, problem.features(neurons.H) @ G, b, cp.sum(size), [])
    found = _Neurons(neurons.H, neurons.index, G.value, _value(b, C)).without_negligible()
    return _polish(problem, found)


def _solve_cones(
    problem: Problem, arrangements: Arrangements, blocks: list[tuple[int, bool]]
) -> _Neurons:
    """Minimise Loss(sum_j g_j D_j Q s_j + 1 b, y) + beta sum_j ||s_j||, (2 D_j - I) Q s_j >= 0.

    One block j for each pair of arrangement and sign g_j of the output weight.
    """
    (n, q), J = problem.Q.shape, len(blocks)
    index, positive = (np.array(part) for part in zip(*blocks, strict=True))
    g = np.where(positive, 1.0, -1.0)
    masks = arrangements.masks(index)
    A = np.einsum("j,jn,nq->njq", g, masks, problem.Q, optimize=True).reshape(n, J * q)
    signed = np.where(masks, 1.0, -1.0)[:, :, None] * problem.Q  # (J, n, q)
    columns = np.broadcast_to(np.arange(J * q).reshape(J, 1, q), signed.shape)
    rows = np.arange(0, signed.size + 1, q)
    cone = sp.csr_array((signed.ravel(), columns.ravel(), rows), shape=(J * n, J * q))
    S, size, b = cp.Variable(J * q), cp.Variable(J), _intercept(problem)
    in_cone = [cone @ S >= 0, cp.SOC(size, cp.reshape(S, (q, J), order="F"), axis=0)]
    F = cp.reshape(A @ S, (n, 1), order="C")
    _minimise(problem, F, b, cp.sum(size), in_cone)
    H = S.value.reshape(J, q).T
    norms = np.maximum(np.linalg.norm(H, axis=0), 1e-300)
    found = _Neurons(H / norms, index, (g * norms)[:, None], _value(b, 1)).without_negligible()
    return _polish(problem, found)


def _polish(problem: Problem, neurons: _Neurons) -> _Neurons:
    """Output weights by Newton's method: Clarabel leaves errors of 1e-6 where log loss is flat."""
    if neurons.G.size > MAX_UNKNOWNS:
        return neurons
    R = problem.features(neurons.H)
    G, b = group_lasso(problem, R, neurons.G, neurons.b, eps=1e-4)
    if problem.primal(neurons.H, G, b) > problem.primal(neurons.H, neurons.G, neurons.b):
        return neurons
    return _Neurons(neurons.H, neurons.index, G, b).without_negligible()


def _intercept(problem: Problem) -> Any:
    return cp.Variable((1, problem.n_outputs)) if problem.fit_intercept else None


def _value(b: Any, n_outputs: int) -> np.ndarray:
    return np.zeros(n_outputs) if b is None else b.value[0]


def _minimise(problem: Problem, F: Any, b: Any, penalty: Any, constraints: list[Any]) -> None:
    """Minimise Loss(F + 1 b^T, Y) + beta penalty in place; how well is for the gap to judge."""
    if b is not None:
        F = F + np.ones((len(problem.Y), 1)) @ b
    objective = problem.loss.as_cvxpy(F, problem.Y, problem.w) + problem.beta * penalty
    program = cp.Problem(cp.Minimize(objective), constraints)
    solution = _clarabel(program)
    if solution.status not in cp.settings.SOLUTION_PRESENT:
        raise cp.SolverError(
            f"Clarabel stopped with status '{solution.status}' instead of a solution; rescale the "
            "data, or use a larger beta or a smaller rank."
        )
    program.unpack(solution)


def _clarabel(program: Any) -> Any:
    """Solution of a program, which `program.unpack` takes.

    `program.solve` warns of inaccurate ones, and filters of warnings belong to all threads.
    """
    data, chain, inverse = program.get_problem_data(cp.CLARABEL, solver_opts=SETTINGS)
    return chain.invert(chain.solve_via_data(program, data, solver_opts=SETTINGS), inverse)

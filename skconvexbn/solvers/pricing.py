"""The pricing problem of column generation: which neurons violate the dual constraint most.

Inside given arrangements (theory.md 3, 4). With one output its answer is exact, and so is the
bound. With several it is searched for, from singular vectors: what was found at one dual point then
counts at the best one too. Where nothing is found, or what was found last gained nothing, the
search is from random starts as well; and in a round that looks like the last the best dual point is
searched once more.
Seconds after ``max_time`` it ends with the cuts of a round, and without a bound.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..arrangements import Arrangements
from ..oracle.cones import Cuts, dual_values, in_arrangements
from ..problem import Problem
from .incumbent import Incumbent
from .interface import Certificate, Solution

# Relative slack of the dual constraint that counts as satisfied: more than solvers leave.
SLACK = 3e-9
# Rounds in a row that gain nothing, before the last.
PATIENCE = 10
# Seconds after max_time in which a search may end.
GRACE = 3.0
# Share of the dual norm that cones left out may add to an exact one.
LEFT_OUT = 1e-6


def certificate(problem: Problem, arrangements: Arrangements) -> Certificate:
    """What bounds inside these arrangements are relative to: with several outputs a search."""
    if not arrangements.complete:
        return "sampled"
    return "exact" if problem.n_outputs == 1 else "search"


def judged(solution: Solution, problem: Problem, arrangements: Arrangements) -> Solution:
    """No proof where cones were left out that may matter, too narrow to tell from neighbours."""
    if solution.certificate == "exact" and arrangements.slack is not None:
        slack = arrangements.slack / np.sqrt(problem.w)  # of Q, not of sqrt(w) Q
        if np.abs(solution.V[:, 0]) @ slack > LEFT_OUT * solution.dual_norm:
            return replace(solution, certificate="search")
    return solution


class Pricing:
    """Cuts inside these arrangements, and bounds for the incumbent.

    Parameters
    ----------
    arrangements : Arrangements
    best : Incumbent
    at_most : int
        Cuts a round, those that violate it most.

    Attributes
    ----------
    idle : int
        Rounds in a row that did not lower the gap.
    """

    def __init__(self, arrangements: Arrangements, best: Incumbent, at_most: int) -> None:
        self._arrangements, self._best = arrangements, best
        self._limit, self._at_most = best.problem.beta * (1 + SLACK), at_most
        q, C = best.problem.Q.shape[1], best.problem.n_outputs
        self._known, self._gap, self.idle = Cuts.none(q, C), np.nan, 0

    @property
    def stuck(self) -> bool:
        """Whether this round should be the last, too many before it having gained nothing."""
        return self.idle > PATIENCE

    def violated(self, V: np.ndarray) -> Cuts:
        """The worst cuts at V, which is offered to the incumbent with its bound."""
        best, cuts = self._best, self._search(V)
        self.idle, self._gap = self.idle + 1 if best.gap >= self._gap else 0, best.gap
        if best.problem.n_outputs == 1:  # the bound is exact, whatever later searches are
            best.offer_dual(V, cuts.dual_norm)
            worst, late = self._worst(cuts), not np.isfinite(cuts.dual_norm)
            best.cut_short = late and not best.closed
        else:
            worst, late = self._searched(V, cuts)
            best.cut_short = late
        best.finished = not (len(worst) or late)
        return worst

    def _searched(self, V: np.ndarray, cuts: Cuts) -> tuple[Cuts, bool]:
        """With several outputs the worst cuts, and whether a search for them was cut short."""
        best, known, worst = self._best, self._known_at(V), self._worst(cuts)
        if at_random := bool(self.idle or not len(worst)):
            cuts = cuts.join(self._search(V, seed=0))
            worst = self._worst(cuts)
        best.offer_dual(V, max(cuts.dual_norm, known.dual_norm))
        # Earlier ones are much like those of now, unless these are rounding.
        if known.dual_norm > worst.values.max(initial=self._limit):
            worst = self._worst(worst.join(known))
        self._known = self._known.join(worst)
        best.raise_dual_norm(self._known_at(best.V).dual_norm)
        best.vouched = best.closed or best.last_round or self.stuck
        if best.vouched:
            again = self._search(best.V, seed=best.n_iter + 1)
            if not (at_random and best.V is V):  # else that search has been
                again = again.join(self._search(best.V, seed=0))
            best.raise_dual_norm(again.values.max(initial=0.0))
            more = self._worst(again)
            self._known = self._known.join(more)
            worst, cuts = self._worst(worst.join(more)), cuts.join(again)
        return worst, not np.isfinite(cuts.dual_norm)

    def _search(self, V: np.ndarray, seed: int | None = None) -> Cuts:
        problem = self._best.problem
        return in_arrangements(problem.Q, V, self._arrangements, problem.beta, seed, self._late)

    def _late(self, n_found: int) -> bool:
        """Whether max_time is long over, with more cuts than a round takes."""
        late = self._best.seconds > self._best.options.max_time + GRACE
        return late and n_found > self._at_most

    def _known_at(self, V: np.ndarray) -> Cuts:
        """Earlier cuts with their values, and g, at V."""
        values, T = dual_values(self._best.problem.Q, V, self._known.H)
        G = (T / np.maximum(values, 1e-300)).T
        return Cuts(values, self._known.index, self._known.H, G, values.max(initial=0.0))

    def _worst(self, cuts: Cuts) -> Cuts:
        return cuts.worst(self._limit, self._at_most)

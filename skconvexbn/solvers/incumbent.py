"""The best network and dual point so far, and when an iterative solver stops."""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np

from ..problem import Problem, relative_gap
from .interface import Certificate, Ending, Options, Round, Solution


class Incumbent:
    """Best network (H, G, b) and best feasible dual point V of a problem while it is solved.

    A solver says with ``finished`` that its rounds would end without a limit, with ``cut_short``
    that the search behind the dual norm did not, and with ``vouched`` whether a limit may end it.
    """

    def __init__(
        self, problem: Problem, options: Options, certificate: Certificate, device: str
    ) -> None:
        self.begin = time.perf_counter()
        self.problem, self.options = problem, options
        self.certificate, self.device = certificate, device
        q, C = problem.Q.shape[1], problem.n_outputs
        self.H, self.G, self.b = np.zeros((q, 0)), np.zeros((0, C)), problem.zero_intercept
        self.gates: np.ndarray | None = None
        self.primal = problem.zero_loss
        self.limit = options.tol * problem.zero_loss
        self.V, self.dual_norm, self.dual = np.zeros_like(problem.Y), 0.0, -np.inf
        self.n_iter, self.cut_short, self.finished, self.vouched = 0, False, False, True

    @property
    def gap(self) -> float:
        """Duality gap in units of the zero model's loss."""
        return relative_gap(self.primal - self.dual, self.problem.zero_loss)

    @property
    def closed(self) -> bool:
        """Whether the gap is at most tol."""
        return self.primal - self.dual <= self.limit

    @property
    def seconds(self) -> float:
        """Time since the solver began."""
        return time.perf_counter() - self.begin

    @property
    def last_round(self) -> bool:
        """Whether the round under way is the last that max_iter or max_time allow."""
        options = self.options
        return self.n_iter + 1 >= options.max_iter or self.seconds > options.max_time

    def offer(
        self, H: np.ndarray, G: np.ndarray, b: np.ndarray, gates: np.ndarray | None = None
    ) -> None:
        """Take a network if it is the best."""
        primal = self.problem.primal(H, G, b, gates)
        if primal < self.primal:
            self.primal, self.H, self.G, self.b, self.gates = primal, H, G, b, gates

    @property
    def network(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """H (q, m), G (m, C) and b (C,) of the best network."""
        return self.H, self.G, self.b

    def offer_dual(self, V: np.ndarray, dual_norm: float) -> None:
        """Take a dual point if its bound is the best."""
        dual = self.problem.dual(V, dual_norm)
        if dual > self.dual:
            self.V, self.dual_norm, self.dual = V, dual_norm, dual

    def raise_dual_norm(self, dual_norm: float) -> None:
        """Correct the bound at V: the dual norm turned out to be at least this."""
        self.dual_norm = max(self.dual_norm, dual_norm)
        self.dual = self.problem.dual(self.V, self.dual_norm)

    def run(self, rounds: Iterable[str]) -> Solution:
        """Go through rounds, which yield remarks, until tol, a limit or Ctrl-C ends them."""
        history, limited = [], False
        ended_by: Ending
        try:
            for remark in rounds:
                last = self.last_round
                self.n_iter += 1
                values = self.seconds, self.primal, self.dual
                history.append(values)
                if self.options.report:
                    gap = max(self.gap, 0.0)  # less is rounding
                    self.options.report(Round(self.n_iter, *values, gap, len(self.G), remark))
                if self.closed or (last and self.vouched):
                    limited = not self.closed
                    break
            ended_by = self._ending(limited)
        except KeyboardInterrupt:
            ended_by = "Ctrl-C"
        return Solution(
            *(self.H, self.G, self.b, self.V, self.dual_norm, self.certificate),
            n_iter=max(self.n_iter, 1),
            gates=self.gates,
            device=self.device,
            ended_by=ended_by,
            history=tuple(history),
        )

    def _ending(self, limited: bool) -> Ending:
        """What ended the rounds, which a limit may have done."""
        if self.cut_short:
            return "max_time"
        if self.closed:
            return "tol"
        return "limit" if limited and not self.finished else "solver"

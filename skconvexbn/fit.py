"""What a fit found, in the units of the data: a network with its certificate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .network import Network
from .solvers.interface import Certificate, Ending, Neurons
from .whitening import Basis

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


@dataclass(frozen=True, eq=False)
class Fit:
    """A network with its certificate, in the units of the data.

    ``start`` has its neurons (H, G) in those of the solver, if there are any: another fit of the
    task may start there.
    """

    network: Network
    basis: Basis
    start: Neurons | None
    beta: float
    objective: float
    dual_gap: float
    zero_loss: float
    certificate: Certificate
    ended_by: Ending
    n_iter: int
    backend: str
    device: str
    history: np.ndarray
    tol: float

    @property
    def converged(self) -> bool:
        """Whether the gap is at most tol, and the search that vouches for it came to its end."""
        return self.ended_by == "tol"

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self.ended_by == "Ctrl-C"

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

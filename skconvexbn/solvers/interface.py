"""What solvers are given and what they return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

# What a gap is relative to.
Certificate = Literal["exact", "search", "sampled"]
# Directions H (q, m) and output weights G (m, C).
Neurons = tuple[np.ndarray, np.ndarray]
# What ended a solver: the gap at tol, Ctrl-C, max_time a search that would vouch for the gap, a
# limit on rounds or time, or the solver itself, which gets no further.
Ending = Literal["tol", "Ctrl-C", "max_time", "limit", "solver"]


@dataclass(frozen=True)
class Round:
    """Where a solver is after a round: values in its own units, the gap in those of tol."""

    number: int
    seconds: float
    primal: float
    dual: float
    gap: float
    n_neurons: int
    remark: str


@dataclass(frozen=True, eq=False)
class Options:
    """When a solver stops: gap <= tol * zero_loss, max_iter rounds or max_time seconds.

    ``seed`` draws the starts of searches, ``device`` is where to solve, ``start`` has neurons
    (H, G) to begin with, ``beside`` others that may be of use, those of a problem nearby; ``gated``
    asks for the gated relaxation; ``report`` is called after every round. Without ``certify`` torch
    leaves out the thorough searches and also stops once a round lowers the objective by no more
    than tol / 10 * zero_loss, or two where the gap is still above 1.5 tol: networks of nearly the
    same quality, for a fraction of the time, whose gap nothing vouches for.
    """

    tol: float
    max_iter: int
    max_time: float = float("inf")
    seed: int = 0
    device: str | None = None
    start: Neurons | None = None
    beside: Neurons | None = None
    gated: bool = False
    report: Callable[[Round], None] | None = None
    certify: bool = True


@dataclass(frozen=True, eq=False)
class Solution:
    """Neurons (h_j, g_j) and intercept found for a `Problem`, with a dual point.

    ``dual_norm`` is max_{||h||<=1} ||V^T relu(Q h)|| over what ``certificate`` names: all h with
    proof ("exact"), all h as far as a search went ("search"), the sampled arrangements ("sampled";
    with several ReLU outputs as far as a search inside each went).
    ``gates`` (q, m) are the fixed gates of the gated relaxation, whose neurons are linear where
    Q gates >= 0; None for ReLU. ``history`` has (seconds, primal, dual) after each round where the
    solver keeps it. ``ended_by`` says what ended it, "tol" where nothing else did: whether the
    gap is that small is computed again.
    """

    H: np.ndarray
    G: np.ndarray
    b: np.ndarray
    V: np.ndarray
    dual_norm: float
    certificate: Certificate
    n_iter: int
    gates: np.ndarray | None = None
    device: str = "cpu"
    ended_by: Ending = "tol"
    history: tuple[tuple[float, float, float], ...] = ()

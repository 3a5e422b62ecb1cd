"""Backends: functions of one signature, ``(Problem, Arrangements | None, Options) -> Solution``.

How the backend is chosen: ``closed_form`` where its conditions hold (theory.md 5), else ``cvxpy``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from ..arrangements import Arrangements
from ..problem import Options, Problem, Solution
from ..whitening import Basis
from .closed_form import violated_condition

Solver = Callable[[Problem, Arrangements | None, Options], Solution]

# Modules of this package, imported when used: cvxpy takes a second to load.
BACKENDS = ("closed_form", "cvxpy")


# Largest n_samples * (rank + 1) for cvxpy: beyond it a round takes minutes and gigabytes.
MAX_CVXPY_SIZE = 200_000


def choose_backend(backend: str, problem: Problem, basis: Basis) -> str:
    """Resolve "auto", and refuse a backend that does not apply."""
    violated = violated_condition(problem, basis) if backend != "cvxpy" else None
    if backend == "closed_form" and violated:
        raise ValueError(
            f"backend='closed_form' does not apply: {violated}; use backend='auto' or 'cvxpy'."
        )
    if backend != "cvxpy" and not violated:
        return "closed_form"
    n, q = problem.Q.shape
    if n * q > MAX_CVXPY_SIZE:
        raise ValueError(
            f"backend='cvxpy' takes n_samples * (rank + 1) up to {MAX_CVXPY_SIZE}, got {n} * {q}; "
            "use fewer samples or a smaller rank."
        )
    return "cvxpy"


def get_solver(backend: str) -> Solver:
    """The solve function of a backend."""
    solver: Solver = import_module(f".{backend}", __name__).solve
    return solver

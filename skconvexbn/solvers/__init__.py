"""Backends: functions of one signature, ``(Problem, Arrangements | None, Options) -> Solution``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from ..arrangements import Arrangements, count_arrangements
from ..oracle.circles import complete
from ..problem import Problem
from ..whitening import Basis
from .closed_form import violated_condition
from .interface import Options, Solution

Solver = Callable[[Problem, Arrangements | None, Options], Solution]

# Modules of this package, imported when used: cvxpy and torch take a second to load.
BACKENDS = ("closed_form", "cvxpy", "torch")
# arrangements="auto" enumerates up to this many, and where torch's certificate is exact too as long
# as that is as fast (benchmarks/backends.py).
MAX_AUTO_EXACT, MAX_BOTH_EXACT = 2_000, 200
# This many columns and rows have more than either: further columns need no counting.
MANY_COLUMNS = 12
# Largest n_samples * (rank + 1) for cvxpy: beyond it a round takes minutes and gigabytes.
MAX_CVXPY_SIZE = 200_000


def choose_backend(
    backend: str, arrangements: str, activation: str, problem: Problem, basis: Basis
) -> tuple[str, str]:
    """Resolve "auto" in backend and arrangements, and refuse what does not apply.

    The closed form where its conditions hold (theory.md 5). Else all arrangements where they are
    few and there is one output, so that the certificate is exact; otherwise they are generated.
    All of them are solved by cvxpy with squared error, and by torch with log loss, for which
    Clarabel may stop far from the optimum where beta is next to nothing; others by torch. Gates are
    sampled.
    """
    if activation == "gated_relu":
        if backend not in ("auto", "torch") or arrangements not in ("auto", "sampled"):
            raise ValueError(
                "activation='gated_relu' takes backend 'auto' or 'torch' and arrangements 'auto' "
                f"or 'sampled', got {backend!r} and {arrangements!r}."
            )
        return "torch", "sampled"
    violated = violated_condition(problem, basis)
    if backend == "closed_form" and violated:
        raise ValueError(
            f"backend='closed_form' does not apply: {violated}; use backend='auto', 'cvxpy' or "
            "'torch'."
        )
    if backend in ("auto", "closed_form") and not violated:
        return "closed_form", "auto"  # it needs none
    n, q = problem.Q.shape
    if arrangements == "auto":
        count = count_arrangements(n, min(q, MANY_COLUMNS))
        if backend == "cvxpy":
            arrangements = "exact" if count <= MAX_AUTO_EXACT else "sampled"
        else:
            both = complete(problem.Q, problem.n_outputs)
            few = count <= (MAX_BOTH_EXACT if both else MAX_AUTO_EXACT)
            exact = backend == "auto" and few and problem.n_outputs == 1
            arrangements = "exact" if exact else "adaptive"
    if backend == "auto":
        backend = "cvxpy" if arrangements == "exact" and problem.loss.quadratic else "torch"
    if backend == "cvxpy" and arrangements == "adaptive":
        raise ValueError(
            "backend='cvxpy' takes arrangements 'auto', 'exact' or 'sampled', got 'adaptive'; use "
            "backend='auto'."
        )
    if backend == "cvxpy" and n * q > MAX_CVXPY_SIZE:
        raise ValueError(
            f"backend='cvxpy' takes n_samples * (rank + 1) up to {MAX_CVXPY_SIZE}, got {n} * {q}; "
            "use backend='torch', fewer samples or a smaller rank."
        )
    return backend, arrangements


def get_solver(backend: str) -> Solver:
    """The solve function of a backend."""
    solver: Solver = import_module(f".{backend}", __name__).solve
    return solver

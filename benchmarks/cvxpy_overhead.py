"""Wall time of the cvxpy backend against Clarabel's own solve time within it.

    python benchmarks/cvxpy_overhead.py

Construction is what happens between a master problem in numpy and Clarabel's answer, less the time
Clarabel reports: cvxpy's canonicalisation, copies, unpacking. The oracle (arrangements that violate
the dual constraint) and Newton's polish are work of their own, listed beside it. tol=1e-6, so that
column generation and the cone program both run. Writes results/cvxpy_overhead.json.
"""

import time

import numpy as np
from cvxpy.settings import SOLVE_TIME
from report import command_line, save, table

from skconvexbn.arrangements import sample
from skconvexbn.losses import BinaryLogLoss, SquaredError
from skconvexbn.problem import Problem
from skconvexbn.solvers import cvxpy as backend
from skconvexbn.solvers import pricing
from skconvexbn.solvers.interface import Options
from skconvexbn.whitening import Whitening


def make_problem(n, d, loss):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    basis = Whitening.fit(X, np.ones(n)).basis()
    y = np.sin(X[:, 0]) * X[:, 1] + 0.1 * rng.standard_normal(n)
    y = (y - y.mean()) / y.std() if isinstance(loss, SquaredError) else (y > 0).astype(float)
    problem = Problem(basis.transform(X), y[:, None], np.ones(n), loss, 0.3, True)
    return problem, sample(problem.Q, basis.random_directions(100, np.random.RandomState(0)))


def timed(module, name, clock, key):
    """Replace a function of a module by itself, timed."""
    function = getattr(module, name)

    def wrapper(*args, **kwargs):
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            clock[key] = clock.get(key, 0.0) + time.perf_counter() - start

    setattr(module, name, wrapper)
    return lambda: setattr(module, name, function)


def measure(problem, arrangements):
    clock = {"clarabel": 0.0}
    clarabel = backend._clarabel

    def solve_and_count(program):
        solution = clarabel(program)
        clock["clarabel"] += solution.attr[SOLVE_TIME]
        return solution

    backend._clarabel = solve_and_count
    undo = [
        timed(pricing, "in_arrangements", clock, "oracle"),
        timed(backend, "_polish", clock, "newton"),
    ]
    start = time.perf_counter()
    backend.solve(problem, arrangements, Options(1e-6, 100))
    clock["total"] = time.perf_counter() - start
    for restore in undo:
        restore()
    backend._clarabel = clarabel
    return clock


def main():
    rows = []
    for loss in (SquaredError(), BinaryLogLoss()):
        for n, d in ((100, 8), (200, 8), (400, 8), (400, 16), (800, 8)):
            problem, arrangements = make_problem(n, d, loss)
            clocks = [measure(problem, arrangements) for _ in range(4)][1:]
            clock = {key: float(np.median([c[key] for c in clocks])) for key in clocks[0]}
            construction = [
                (c["total"] - c["oracle"] - c["newton"] - c["clarabel"]) / c["total"]
                for c in clocks
            ]
            rows.append(
                {
                    "loss": type(loss).__name__,
                    "n": n,
                    "d": d,
                    **{
                        f"{key} [s]": clock[key]
                        for key in ("total", "clarabel", "oracle", "newton")
                    },
                    "construction / total": float(np.median(construction)),
                    "wall / clarabel": float(
                        np.median([c["total"] / c["clarabel"] for c in clocks])
                    ),
                }
            )
            print(table(rows[-1:]), flush=True)
    save("cvxpy_overhead", rows)


if __name__ == "__main__":
    command_line(main, __doc__)

"""Programs over sampled arrangements: the torch backend beside cvxpy with Clarabel.

    python benchmarks/sampled.py

Diabetes, n = 300 rows of unit variance, P = 200 arrangements, both backends to a gap of 1e-7 on the
same arrangements; "literal" is the program of theory.md 3 over all of them at once as cvxpy takes
it, "gated" the group lasso without cones. Runs are interleaved, seconds are medians of five. Writes
results/sampled.json.
"""

import time

import cvxpy as cp
import numpy as np
from report import command_line, save, table
from sklearn.datasets import load_diabetes

from skconvexbn.arrangements import sample
from skconvexbn.losses import SquaredError
from skconvexbn.problem import Problem
from skconvexbn.solvers import get_solver
from skconvexbn.solvers.interface import Options
from skconvexbn.whitening import Whitening

N, P, TOL, REPEATS = 300, 200, 1e-7, 5


def make_problem(beta):
    X, y = load_diabetes(return_X_y=True)
    w = np.ones(N)
    Q = Whitening.fit(X[:N], w).basis().transform(X[:N])
    return Problem(Q, ((y - y.mean()) / y.std())[:N, None], w, SquaredError(), beta, False)


def solve(backend, problem, arrangements, gated=False):
    start = time.perf_counter()
    found = get_solver(backend)(problem, arrangements, Options(TOL, 1000, gated=gated))
    seconds = time.perf_counter() - start
    return seconds, problem.primal(found.H, found.G, found.b, found.gates)


def literal(problem, arrangements, gated=False):
    """All arrangements and both signs in one cvxpy program."""
    start = time.perf_counter()
    masks = arrangements.masks().astype(float)
    signs = (1.0,) if gated else (1.0, -1.0)
    S = [cp.Variable((problem.Q.shape[1], len(masks))) for _ in signs]
    Z = [problem.Q @ s for s in S]
    F = sum(
        sign * cp.sum(cp.multiply(masks.T, z), axis=1) for sign, z in zip(signs, Z, strict=True)
    )
    penalty = sum(cp.sum(cp.norm(s, 2, axis=0)) for s in S)
    cones = [] if gated else [cp.multiply(2 * masks.T - 1, z) >= 0 for z in Z]
    objective = 0.5 * cp.sum_squares(F - problem.Y[:, 0]) + problem.beta * penalty
    value = cp.Problem(cp.Minimize(objective), cones).solve(solver=cp.CLARABEL)
    return time.perf_counter() - start, value


def main():
    rows = []
    for beta in (0.1, 1.0):
        problem = make_problem(beta)
        directions = np.random.default_rng(0).standard_normal((problem.Q.shape[1], P))
        arrangements = sample(problem.Q, directions)
        methods = {
            "torch": lambda p, a: solve("torch", p, a),
            "cvxpy backend": lambda p, a: solve("cvxpy", p, a),
            "literal cvxpy": literal,
            "torch, gated": lambda p, a: solve("torch", p, a, gated=True),
            "literal cvxpy, gated": lambda p, a: literal(p, a, gated=True),
        }
        results = {name: [] for name in methods}
        for _ in range(REPEATS):
            for name, method in methods.items():
                results[name].append(method(problem, arrangements))
        for name, runs in results.items():
            seconds = float(np.median([s for s, _ in runs]))
            ours = np.median(
                [s for s, _ in results["torch, gated" if "gated" in name else "torch"]]
            )
            rows.append(
                {
                    "beta": beta,
                    "method": name,
                    "seconds": seconds,
                    "ratio": seconds / float(ours),
                    "objective": f"{runs[0][1]:.6f}",
                }
            )
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    save("sampled", rows)


if __name__ == "__main__":
    command_line(main, __doc__)

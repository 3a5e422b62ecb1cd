"""Programs over sampled arrangements: the torch backend beside cvxpy with Clarabel.

    python benchmarks/sampled.py

Diabetes, n = 300 rows of unit variance, P = 200 arrangements, both backends to a gap of 1e-7 on the
same arrangements; "literal" is the program of theory.md 3 over all of them at once as cvxpy takes
it, "gated" the group lasso without cones. Then the two methods of the torch backend, an interior
point method and column generation, on friedman1 of 6 columns, at beta="auto", one run each, at most
30 s. Runs are interleaved, seconds of the former are medians of five. Writes results/sampled.json
and results/sampled_methods.json. Two minutes.
"""

import itertools
import time
import warnings

import cvxpy as cp
import numpy as np
import torch
from problems import make_problem as noisy_problem
from report import command_line, save, table
from sklearn.datasets import load_diabetes, make_friedman1

from skconvexbn import ConvexBNRegressor
from skconvexbn.arrangements import sample
from skconvexbn.losses import SquaredError
from skconvexbn.problem import Problem
from skconvexbn.solvers import get_solver
from skconvexbn.solvers.column_generation import solve_columns
from skconvexbn.solvers.interface import Options
from skconvexbn.solvers.interior_point import solve_cones
from skconvexbn.solvers.measure import Model
from skconvexbn.whitening import Whitening

N, P, TOL, REPEATS = 300, 200, 1e-7, 5
# Rows and arrangements of the comparison of methods.
SIZES, LIMIT = ((200, 100), (200, 1_000), (500, 100), (500, 400), (1_000, 100), (2_000, 100)), 30.0
METHODS = {"interior point": solve_cones, "columns": solve_columns}


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


def compare_methods():
    """Seconds, gaps and objectives of both methods of the torch backend."""
    for (n, k), tol in itertools.product(SIZES, (1e-2, TOL)):
        X, y = make_friedman1(n, 6, noise=1.0, random_state=0)
        beta = ConvexBNRegressor(max_iter=1, max_time=0).fit(X, y).beta_ / y.std()
        problem = noisy_problem(X, y, beta)
        directions = np.random.default_rng(0).standard_normal((problem.Q.shape[1], k))
        arrangements, row = sample(problem.Q, directions), {"n": n, "arrangements": k, "tol": tol}
        for name, method in METHODS.items():
            model, start = Model(problem, torch.device("cpu")), time.perf_counter()
            found = method(model, arrangements, Options(tol, 1000, max_time=LIMIT))
            row[f"{name}, seconds"] = time.perf_counter() - start
            primal = problem.primal(found.H, found.G, found.b)
            gap = primal - problem.dual(found.V, found.dual_norm)
            row[f"{name}, gap"] = gap / problem.zero_loss
        print(row, flush=True)
        yield row


def main():
    warnings.simplefilter("ignore")
    save("sampled_methods", list(compare_methods()))
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

"""Time and certificate of fits to many rows, generated.

    python benchmarks/many_rows.py [SMALLER]

Fits at the default tol: "friedman1"; "waves", a sine of three periods; "tails", columns that are
exponential to the third power; "outputs", four of them. Targets have unit variance; gaps are
fractions of the zero model's loss. "checked gap" is by an independent search with other starts, of
which as many climb as with few rows, and 24 generations; "refuted" by how much it is above the
reported gap, in units of tol. SMALLER divides all n. Ten minutes. Writes results/many_rows.json.
"""

import time

import numpy as np
from problems import checked_dual, make_problem
from report import command_line, save, table
from sklearn.datasets import make_friedman1

from skconvexbn import ConvexBNRegressor
from skconvexbn.oracle.hopping import N_CHAINS
from skconvexbn.oracle.search import Search
from skconvexbn.solvers.interface import Options
from skconvexbn.solvers.torch import solve


def friedman1(n, d):
    X, y = make_friedman1(n, d, noise=1.0, random_state=0)
    return X, y[:, None]


def waves(n, d):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    return X, (np.sin(3 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.5 * rng.standard_normal(n))[:, None]


def tails(n, d):
    rng = np.random.default_rng(0)
    X = rng.exponential(size=(n, d)) ** 3
    y = np.sin(X[:, 0]) + X[:, 1] / (1 + X[:, 2]) + 0.3 * rng.standard_normal(n)
    return X, y[:, None]


def outputs(n, d):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    Y = np.sin(2 * X[:, :4]) + X[:, 1:5] * X[:, 2:6]
    return X, Y + 0.3 * rng.standard_normal((n, 4))


PROBLEMS = (
    (friedman1, 6_000, 10, 0.1),
    (friedman1, 6_000, 64, 0.3),
    (friedman1, 20_000, 64, 0.3),
    (friedman1, 30_000, 30, 0.3),
    (friedman1, 40_000, 10, 0.1),
    (friedman1, 100_000, 10, 0.3),
    (waves, 10_000, 10, 0.1),
    (waves, 30_000, 10, 0.3),
    (tails, 12_000, 10, 0.1),
    (tails, 40_000, 10, 0.1),
    (outputs, 6_000, 16, 0.3),
    (outputs, 20_000, 16, 1.0),
)


class Wide(Search):
    """A search in which as many climb as there are starts."""

    def fewer(self, n):
        """All of them."""
        return n


def run(X, Y, beta, tol):
    """Time, size and gap of a fit, and the gap that a longer search finds."""
    problem = make_problem(X, Y, beta)
    start = time.perf_counter()
    solution = solve(problem, None, Options(tol, 100))
    seconds, unit = time.perf_counter() - start, problem.zero_loss
    primal = problem.primal(solution.H, solution.G, solution.b)
    gap = (primal - problem.dual(solution.V, solution.dual_norm)) / unit
    wide = checked_dual(problem, solution, kind=Wide, n_chains=N_CHAINS, n_generations=24)
    checked = (primal - wide) / unit
    return {
        "n": len(Y),
        "q": problem.Q.shape[1],
        "C": Y.shape[1],
        "beta": beta,
        "seconds": seconds,
        "rounds": solution.n_iter,
        "neurons": solution.H.shape[1],
        "primal": primal / unit,
        "gap": gap,
        "checked gap": checked,
        "refuted": (checked - gap) / tol,
    }


def main(smaller="1"):
    rows, tol = [], ConvexBNRegressor().tol
    for make, n, d, beta in PROBLEMS:
        X, Y = make(n // int(smaller), d)
        rows.append({"data": make.__name__, **run(X, Y, beta, tol)})
        print(table(rows[-1:]).splitlines()[-1], flush=True)
    save("many_rows", rows)


if __name__ == "__main__":
    command_line(main, __doc__)

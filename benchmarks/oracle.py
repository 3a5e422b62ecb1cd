"""The dual oracle: largest value found against time, beside a search with 100 times the starts.

    python benchmarks/oracle.py [FOLDER]

Diabetes and a generated set; with FOLDER also every reg-*.npz in it (arrays X and y). V is the
residual of a fit to tol=1e-2 at beta 0.1, where maxima lie just above beta and many neurons are
near. "ascent" climbs from random starts alone (numpy, behind beta="auto"), "round" is the search
of a round, with polishing, "hopping" that which has the last word on a gap and goes on for
as long as the gap rises; the last row has 100 times as many chains. "excess" is the value over
beta, less one, "short" how far that is below the largest of all. Seconds are medians of three
seeds, one thread, excesses those of the unluckiest seed. A quarter of an hour with FOLDER. Writes
results/oracle.json and results/oracle_short.json.
"""

import time

import numpy as np
import torch
from problems import make_problem, regression_sets
from report import command_line, save, table
from threadpoolctl import threadpool_limits

from skconvexbn.oracle.hopping import N_CHAINS, BasinHopping
from skconvexbn.oracle.multi_start import multi_start
from skconvexbn.oracle.search import Pairs, Search
from skconvexbn.solvers.interface import Options
from skconvexbn.solvers.torch import solve

BETA, SEEDS, TIMES = 0.1, (1, 2, 3), 100


def state(X, y):
    """Q, the residual V of a coarse fit, its neurons, and beta."""
    problem = make_problem(X, y, BETA)
    found = solve(problem, None, Options(1e-2, 100))
    F = problem.output(found.H, found.G, found.b)
    H, G = torch.as_tensor(found.H), torch.as_tensor(found.G)
    neurons = Pairs.of_weights(H, G)
    return torch.as_tensor(problem.Q), torch.as_tensor(problem.dual_point(F)), neurons


def ascent(n_starts):
    def search(Q, V, neurons, seed):
        starts = np.random.default_rng(seed).standard_normal((Q.shape[1], n_starts))
        return multi_start(Q.numpy(), V.numpy(), starts, 60, 0.01)

    return search


def a_round(Q, V, neurons, seed):
    none = neurons[:0]
    return Search(Q, seed).round(V, BETA, neurons, none, polish=True).largest


def thorough(n_generations, times=1):
    def search(Q, V, neurons, seed):
        hopping = BasinHopping(Search(Q, seed), V, BETA, neurons, times * N_CHAINS)
        while hopping.n_generations < n_generations:
            hopping.hop()
        return hopping.largest

    return search


METHODS = {
    "ascent, 300 starts": ascent(300),
    "ascent, 3,000 starts": ascent(3_000),
    "round": a_round,
    "hopping, 8 generations": thorough(8),
    "hopping, 24 generations": thorough(24),
    "hopping, 72 generations": thorough(72),
    f"hopping, 24 generations, {TIMES} x": thorough(24, TIMES),
}


def main(folder=None):
    torch.set_num_threads(1)
    rows = []
    with threadpool_limits(1):
        for name, (X, y) in regression_sets(folder):
            Q, V, neurons = state(X, y)
            for method, search in METHODS.items():
                runs = []
                for seed in SEEDS if f"{TIMES} x" not in method else SEEDS[:1]:
                    start = time.perf_counter()
                    value = search(Q, V, neurons, seed)
                    runs.append((time.perf_counter() - start, value / BETA - 1))
                seconds, excess = np.median([s for s, _ in runs]), min(v for _, v in runs)
                rows.append(
                    {"data": name, "n": len(Q), "q": Q.shape[1], "method": method}
                    | {"seconds": float(seconds), "excess": float(excess)}
                )
                print(table(rows[-1:]).splitlines()[-1], flush=True)
    best = {}
    for row in rows:
        best[row["data"]] = max(row["excess"], best.get(row["data"], -1))
    for row in rows:
        row["short"] = best[row["data"]] - row["excess"]
    save("oracle", rows)
    summary = []
    for method in METHODS:
        of = [row for row in rows if row["method"] == method]
        short = [row["short"] for row in of]
        summary.append(
            {"method": method, "seconds": float(np.median([row["seconds"] for row in of]))}
            | {"short, median": float(np.median(short)), "short, largest": max(short)}
        )
    save("oracle_short", summary)


if __name__ == "__main__":
    command_line(main, __doc__)

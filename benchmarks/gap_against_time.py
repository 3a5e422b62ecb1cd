"""Seconds to a gap of 1e-1 .. 1e-3 where q is 20 to 60, squared error, within 30 seconds.

    python benchmarks/gap_against_time.py [FOLDER] [MAX_TIME]

Generated sets; with FOLDER also waveform-5000 (2,000 rows, class 0 against the others), sonar and
ionosphere as targets -1 and 1. Targets have unit variance, beta is 0.1 and 0.3, gaps are fractions
of the zero model's loss (R2 units). A gap counts from when on it is never above the level again:
thorough searches raise a bound that rested on weaker ones. "checked gap" is by an independent
search with other starts, four times as many. Eight minutes with FOLDER. Writes
results/gap_against_time.json and results/gap_against_time.png.
"""

import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from problems import checked_dual, make_problem
from report import FOLDER, command_line, save, table
from sklearn.datasets import load_breast_cancer, make_friedman1

from skconvexbn.solvers.interface import Options
from skconvexbn.solvers.torch import solve

BETAS = (0.1, 0.3)
LEVELS = (1e-1, 3e-2, 1e-2, 5e-3, 1e-3)
MAX_ROWS = 2_000


def data_sets(folder):
    for d in (20, 40):
        yield f"friedman1-{d}", make_friedman1(1000, d, noise=1.0, random_state=0)
    X, y = load_breast_cancer(return_X_y=True)
    yield "breast_cancer", (X, np.where(y == 0, 1.0, -1.0))
    for name in ("sonar", "ionosphere", "waveform-5000") if folder else ():
        with np.load(Path(folder) / f"clf-{name}.npz") as data:
            X, y = data["X"][:MAX_ROWS].astype(float), data["y"][:MAX_ROWS]
        yield name, (X, np.where(y == 0, 1.0, -1.0))


def main(folder=None, max_time="30"):
    rows, curves = [], []
    for name, (X, y) in data_sets(folder):
        for beta in BETAS:
            problem = make_problem(X, y, beta)
            start = time.perf_counter()
            solution = solve(problem, None, Options(min(LEVELS), 100_000, float(max_time)))
            total = time.perf_counter() - start
            unit = problem.zero_loss
            seconds, primal, dual = np.array(solution.history).T
            gap = (primal - dual) / unit
            largest_from_here = np.maximum.accumulate(gap[::-1])[::-1]
            row = {"data": name, "n": len(y), "q": problem.Q.shape[1], "beta": beta}
            for level in LEVELS:
                closed = seconds[largest_from_here <= level]
                row[f"to {level:g} [s]"] = float(closed[0]) if len(closed) else float("inf")
            checked = (primal[-1] - checked_dual(problem, solution)) / unit
            row |= {"total [s]": total, "rounds": solution.n_iter, "gap": gap[-1]}
            row |= {"checked gap": checked, "primal": f"{primal[-1]:.4f}"}
            rows.append(row)
            curves.append((f"{name}, q = {row['q']}, beta {beta:g}", seconds, gap))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    save("gap_against_time", rows)
    figure(curves)


def figure(curves):
    fig, axes = plt.subplots(1, len(BETAS), figsize=(9, 4), sharey=True, layout="constrained")
    for k, (title, seconds, gap) in enumerate(curves):
        name, beta = title.rsplit(", ", 1)
        ax = axes[k % len(BETAS)]
        ax.loglog(seconds, np.maximum(gap, 1e-6), label=name)
        ax.set_title(beta)
    for ax in axes:
        ax.set_xlabel("seconds")
        ax.set_ylim(5e-4, 1)
        ax.axhline(5e-3, color="k", lw=0.5)
    axes[0].set_ylabel("gap / loss without neurons")
    axes[0].legend(fontsize=7)
    fig.savefig(FOLDER / "gap_against_time.png", dpi=100)


if __name__ == "__main__":
    command_line(main, __doc__)

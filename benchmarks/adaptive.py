"""Primal and dual value against time of arrangements generated until the gap closes.

    python benchmarks/adaptive.py [FOLDER]

Diabetes and a generated set; with FOLDER also every reg-*.npz in it (arrays X and y). Targets have
unit variance; gaps are fractions of the zero model's loss (R2 units), at tol=1e-3 and at the
default. "checked gap" is by an independent search with other starts, four times as many, and 96
generations; "refuted" by how much it is above the reported gap, in units of tol, for each of four
random states (the other columns are those of the first). Writes results/adaptive.json,
results/adaptive_loose.json and results/adaptive.png.
"""

import time

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from problems import checked_dual, make_problem, regression_sets
from report import FOLDER, command_line, save, table

from skconvexbn import ConvexBNRegressor
from skconvexbn.solvers.interface import Options
from skconvexbn.solvers.torch import solve

BETAS = (0.03, 0.1, 0.3, 1.0)
FINE = 1e-3
SEEDS = range(4)


def main(folder=None):
    rows, curves = measure(folder, FINE)
    save("adaptive", rows)
    figure(curves)
    save("adaptive_loose", measure(folder, ConvexBNRegressor().tol)[0])


def measure(folder, tol):
    """A row for each data set and beta, and the histories."""
    rows, curves = [], []
    for name, (X, y) in regression_sets(folder):
        for beta in BETAS:
            problem = make_problem(X, y, beta)
            runs = [run(problem, tol, seed) for seed in SEEDS]
            first, solution = runs[0]
            refuted = [(r["checked gap"] - r["gap"]) / tol for r, _ in runs]
            rows.append(
                {
                    "data": name,
                    "n": len(y),
                    "q": problem.Q.shape[1],
                    "beta": beta,
                    **first,
                    "refuted": " ".join(f"{r:.2f}" for r in refuted),
                }
            )
            curves.append((f"{name}, beta {beta:g}", np.array(solution.history), problem.zero_loss))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    return rows, curves


def run(problem, tol, seed):
    """Time, size and gap of a fit, and the gap that a longer search finds; the fit itself."""
    start = time.perf_counter()
    solution = solve(problem, None, Options(tol, 100, seed=seed))
    seconds, unit = time.perf_counter() - start, problem.zero_loss
    primal = problem.primal(solution.H, solution.G, solution.b)
    row = {
        "seconds": seconds,
        "rounds": solution.n_iter,
        "neurons": solution.H.shape[1],
        "primal": f"{primal:.4f}",
        "gap": (primal - problem.dual(solution.V, solution.dual_norm)) / unit,
        "checked gap": (primal - checked_dual(problem, solution)) / unit,
    }
    return row, solution


def figure(curves):
    columns = len(BETAS)
    fig, axes = plt.subplots(
        len(curves) // columns, columns, figsize=(3 * columns, 2 * len(curves) // columns)
    )
    for ax, (title, history, unit) in zip(axes.flat, curves, strict=True):
        seconds, primal, dual = history.T
        ax.plot(seconds, primal / unit, label="primal")
        ax.plot(seconds, dual / unit, label="dual")
        ax.set_ylim(0, min(1, 2 * primal[-1] / unit))
        ax.set_title(title, fontsize=8)
        ax.tick_params(labelsize=7)
    axes.flat[0].legend(fontsize=7)
    fig.supxlabel("seconds")
    fig.supylabel("fraction of the loss without neurons")
    fig.tight_layout()
    fig.savefig(FOLDER / "adaptive.png", dpi=100)


if __name__ == "__main__":
    command_line(main, __doc__)

"""Primal and dual value against time of arrangements generated until the gap closes.

    python benchmarks/adaptive.py [FOLDER]

Diabetes and a generated set; with FOLDER also every reg-*.npz in it (arrays X and y). Targets have
unit variance; gaps are fractions of the zero model's loss (R2 units), at tol=1e-3 and at the
default. "checked gap" is by an independent search with other starts, four times as many, and 96
generations; "refuted" by how much it is above the reported gap, in units of tol, for each of four
random states (the other columns are those of the first). Writes results/adaptive.json,
results/adaptive_loose.json and results/adaptive.png.
"""

import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from report import FOLDER, save, table
from sklearn.datasets import load_diabetes, make_friedman1

from skconvexbn import ConvexBNRegressor
from skconvexbn.losses import SquaredError
from skconvexbn.oracle.ascent import normalise
from skconvexbn.oracle.hopping import N_CHAINS, BasinHopping
from skconvexbn.oracle.multi_start import step_scale
from skconvexbn.oracle.search import Pairs, Search
from skconvexbn.problem import Problem
from skconvexbn.solvers.interface import Options
from skconvexbn.solvers.torch import solve
from skconvexbn.whitening import Whitening

BETAS = (0.03, 0.1, 0.3, 1.0)
FINE = 1e-3
SEEDS = range(4)


def data_sets(folder):
    yield "diabetes", load_diabetes(return_X_y=True)
    yield "friedman1", make_friedman1(1000, noise=1.0, random_state=0)
    for path in sorted(Path(folder).glob("reg-*.npz")) if folder else ():
        with np.load(path) as data:
            yield path.stem.removeprefix("reg-"), (data["X"], data["y"].astype(float))


def make_problem(X, y, beta):
    w = np.ones(len(y))
    Q = Whitening.fit(X, w).basis().transform(X)
    return Problem(Q, ((y - y.mean()) / y.std())[:, None], w, SquaredError(), beta, False)


def checked_dual(problem, solution, finer=1.0):
    """The dual value at V by a search that is independent of the solver's, four times as wide.

    Its steps are those for maxima narrower by the factor finer.
    """
    H, G = (torch.as_tensor(a) for a in (solution.H, solution.G))
    neurons = Pairs(normalise(H), normalise(G, dim=1))
    Q, V = torch.as_tensor(problem.Q), torch.as_tensor(solution.V)
    search = Search(Q, seed=12345, step_scale=step_scale(problem.Q, problem.w))
    hopping = BasinHopping(search, V, finer * problem.beta, neurons, 4 * N_CHAINS)
    while hopping.n_generations < 96:
        hopping.hop()
    return problem.dual(solution.V, max(hopping.largest, solution.dual_norm))


def main(folder=None):
    rows, curves = measure(folder, FINE)
    save("adaptive", rows)
    figure(curves)
    save("adaptive_loose", measure(folder, ConvexBNRegressor().tol)[0])


def measure(folder, tol):
    """A row for each data set and beta, and the histories."""
    rows, curves = [], []
    for name, (X, y) in data_sets(folder):
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
    fig.supylabel("fraction of the zero model's loss")
    fig.tight_layout()
    fig.savefig(FOLDER / "adaptive.png", dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Seconds and duality gap of classifiers: log loss and squared error, two and more classes.

    python benchmarks/classes.py [FOLDER]

Breast cancer, iris, wine and digits; with FOLDER also every clf-*.npz in it (arrays X and y, at
most 2,500 rows). beta is "auto"; fits to tol=1e-2 and 1e-3, at most 60 s each. Gaps are fractions
of the zero model's loss. "refuted": by how much an independent search with other starts, four times
as many, and 96 generations finds a larger gap than that of the default tol, in units of tol, for
each of two random states. Half an hour. Writes results/classes.json.
"""

import time

from problems import checked_dual, class_sets
from report import command_line, save, table

from skconvexbn import ConvexBNClassifier
from skconvexbn.solvers.interface import Options
from skconvexbn.solvers.torch import solve

MAX_TIME = 60.0
SEEDS = range(2)


def fit(X, y, **params):
    model = ConvexBNClassifier(backend="torch", max_time=MAX_TIME, random_state=0, **params)
    start = time.perf_counter()
    model.fit(X, y)
    return model, time.perf_counter() - start


def refuted(X, y, loss, seed):
    """How far the gap of a fit at the default tol is below that of a longer search."""
    model = ConvexBNClassifier(loss=loss)
    task = model._task(model._training(*model._validate(X, y, None)), seed)
    problem = task.problem.with_beta(task.resolve_beta("auto") / task.units.beta)
    solution = solve(problem, None, Options(model.tol, model.max_iter, MAX_TIME, seed))
    excess = problem.dual(solution.V, solution.dual_norm) - checked_dual(problem, solution)
    return excess / (model.tol * problem.zero_loss)


def main(folder=None):
    fit([[0.0], [1.0], [2.0]], [0, 1, 1])  # imports
    rows = []
    for name, (X, y) in class_sets(folder):
        for loss in ("log_loss", "squared_error"):
            coarse, coarse_seconds = fit(X, y, loss=loss, tol=1e-2)
            model, seconds = fit(X, y, loss=loss, tol=1e-3)
            rows.append(
                {
                    "data": name,
                    "n": len(y),
                    "q": model.rank_ + 1,
                    "classes": len(model.classes_),
                    "loss": loss,
                    "gap at tol=1e-2": coarse.dual_gap_ / coarse.zero_loss_,
                    "refuted": " ".join(f"{refuted(X, y, loss, seed):.2f}" for seed in SEEDS),
                    "seconds at tol=1e-2": coarse_seconds,
                    "seconds": seconds,
                    "rounds": model.n_iter_,
                    "neurons": model.n_neurons_,
                    "gap": model.dual_gap_ / model.zero_loss_,
                }
            )
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    save("classes", rows)


if __name__ == "__main__":
    command_line(main, __doc__)

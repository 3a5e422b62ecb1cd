"""Seconds and duality gap of classifiers: log loss and squared error, two and more classes.

    python benchmarks/classes.py [FOLDER]

Breast cancer, iris, wine and digits; with FOLDER also every clf-*.npz in it (arrays X and y, at
most 2,500 rows). beta is "auto"; fits to tol=1e-2 and 1e-3, at most 60 s each. Gaps are fractions
of the zero model's loss. Writes results/classes.json.
"""

import sys
import time
from pathlib import Path

import numpy as np
from report import save, table
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from skconvexbn import ConvexBNClassifier

MAX_ROWS = 2_500


def data_sets(folder):
    for load in (load_breast_cancer, load_iris, load_wine, load_digits):
        yield load.__name__.removeprefix("load_"), load(return_X_y=True)
    for path in sorted(Path(folder).glob("clf-*.npz")) if folder else ():
        with np.load(path) as data:
            rows = np.random.default_rng(0).permutation(len(data["y"]))[:MAX_ROWS]
            yield path.stem.removeprefix("clf-"), (data["X"][rows].astype(float), data["y"][rows])


def fit(X, y, **params):
    model = ConvexBNClassifier(backend="torch", max_time=60.0, random_state=0, **params)
    start = time.perf_counter()
    model.fit(X, y)
    return model, time.perf_counter() - start


def main(folder=None):
    fit([[0.0], [1.0], [2.0]], [0, 1, 1])  # imports
    rows = []
    for name, (X, y) in data_sets(folder):
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
    main(*sys.argv[1:])

"""Seconds and duality gap of classifiers: log loss and squared error, two and more classes.

    python benchmarks/classes.py [FOLDER]

Breast cancer, iris, wine and digits; with FOLDER also every clf-*.npz in it (arrays X and y, at
most 2,500 rows). beta is "auto", tol the default; gaps are fractions of the zero model's loss.
Writes results/classes.json.
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


def main(folder=None):
    ConvexBNClassifier(backend="torch").fit([[0.0], [1.0], [2.0]], [0, 1, 1])  # imports
    rows = []
    for name, (X, y) in data_sets(folder):
        for loss in ("log_loss", "squared_error"):
            model = ConvexBNClassifier(
                loss=loss, backend="torch", max_time=60.0, tol=1e-3, random_state=0
            )
            start = time.perf_counter()
            model.fit(X, y)
            seconds = time.perf_counter() - start
            n, classes = len(y), len(model.classes_)
            Y = np.eye(classes)[np.searchsorted(model.classes_, y)]
            zero = -np.sum(Y * np.log(Y.mean(axis=0)))
            if loss == "squared_error":
                zero = 0.5 * np.sum((Y - Y.mean(axis=0)) ** 2) * (2 if classes == 2 else 1)
            rows.append(
                {
                    "data": name,
                    "n": n,
                    "q": model.rank_ + 1,
                    "classes": classes,
                    "loss": loss,
                    "seconds": seconds,
                    "rounds": model.n_iter_,
                    "neurons": model.n_neurons_,
                    "gap": model.dual_gap_ / zero,
                }
            )
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    save("classes", rows)


if __name__ == "__main__":
    main(*sys.argv[1:])

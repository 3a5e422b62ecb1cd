"""The search of ConvexBNRegressorCV against GridSearchCV over the same grid and folds.

    python benchmarks/model_selection.py [FOLDER]

Diabetes; with FOLDER every reg-*.npz in it instead (arrays X and y). Eight betas, three
shrinkages, five folds, both at the tol of ConvexBNRegressorCV. Seconds of the processor, one
thread; those of our search are the mean of one before GridSearchCV and one after, those of default
fits the median of some before, between and after. "difference of test R2" is the largest between
the two mean scores of a candidate, divided by var(y); "of random states" is that between
GridSearchCV and itself with another random_state, at the smallest beta. Ten minutes with FOLDER.
Writes results/model_selection.json.
"""

import time
import warnings
from pathlib import Path

import numpy as np
import torch
from report import command_line, save, table
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold
from threadpoolctl import threadpool_limits

from skconvexbn import ConvexBNRegressor, ConvexBNRegressorCV

BETAS = (8.0, 4.0, 2.0, 1.0, 0.5, 0.3, 0.1, 0.03)
SHRINKAGES = (0.0, 0.5, 1.0)
N_PLAIN = 5  # default fits before, between and after: short ones vary by a third


def data_sets(folder):
    if not folder:
        yield "diabetes", load_diabetes(return_X_y=True)
    for path in sorted(Path(folder).glob("reg-*.npz")) if folder else ():
        with np.load(path) as data:
            yield path.stem.removeprefix("reg-"), (data["X"], data["y"].astype(float))


def timed(fit):
    start = time.process_time()
    model = fit()
    return model, time.process_time() - start


def plain_seconds(model, X, y):
    """Seconds of a few fits."""
    return [timed(lambda: model.fit(X, y))[1] for _ in range(N_PLAIN)]


def main(folder=None):
    torch.set_num_threads(1)
    ConvexBNRegressor(backend="torch").fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 1.0])  # imports
    rows = []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for name, (X, y) in data_sets(folder):
            rows.append({"data": name, "n": len(y), "d": X.shape[1], **compare(X, y)})
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    save("model_selection", rows)


def difference(a, b):
    """Largest difference between mean scores of the candidates of a, which are among those of b."""
    scores = [
        {
            (p["shrinkage"], p["beta"]): score
            for p, score in zip(
                search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
            )
        }
        for search in (a, b)
    ]
    return max(abs(score - scores[1][candidate]) for candidate, score in scores[0].items())


def compare(X, y):
    betas = np.array(BETAS) * y.std()
    folds = list(KFold(5, shuffle=True, random_state=0).split(X))
    plain = ConvexBNRegressor(random_state=0)
    cv = ConvexBNRegressorCV(
        betas=betas, shrinkages=SHRINKAGES, bias_scale=1.0, cv=folds, random_state=0
    )
    each = ConvexBNRegressor(tol=cv.tol, random_state=0)
    grid = {"shrinkage": SHRINKAGES, "beta": betas}
    scored = {"scoring": "neg_mean_squared_error", "cv": folds}
    search = GridSearchCV(each, grid, **scored)
    default = plain_seconds(plain, X, y)
    cv, cv_seconds = timed(lambda: cv.fit(X, y))
    default += plain_seconds(plain, X, y)
    search, grid_seconds = timed(lambda: search.fit(X, y))
    default += plain_seconds(plain, X, y)
    cv_seconds = (cv_seconds + timed(lambda: clone(cv).fit(X, y))[1]) / 2
    other = clone(each).set_params(random_state=1)
    again = GridSearchCV(other, {**grid, "beta": betas[-1:]}, **scored, refit=False).fit(X, y)
    one = float(np.median(default))
    return {
        "CV seconds": cv_seconds,
        "GridSearchCV seconds": grid_seconds,
        "times faster": grid_seconds / cv_seconds,
        "default fit seconds": one,
        "CV / default fit": cv_seconds / one,
        "difference of test R2": difference(cv, search) / y.var(),
        "of random states": difference(again, search) / y.var(),
        "same best": all(cv.best_params_[name] == search.best_params_[name] for name in grid),
    }


if __name__ == "__main__":
    command_line(main, __doc__)

"""Default fits to many noisy rows, by how many rows for each column the rule for beta counts.

    python benchmarks/noisy_rows.py regression|classes [SMALLER]

"Chosen": eight generated functions, 16,000 rows, with noise of a fifth to twice the signal (two
intervals of equal count where the noise is not as large as the signal, else three). "Judged":
functions that the number was not chosen on (but for friedman1, which with less noise and fewer
columns is among the eight), at 2,000 to 24,000 rows, beside the MLPs with early stopping. 4,000
more rows to test on, at most 60 s a fit. SMALLER divides all n. Half an hour for each kind.
Writes results/noisy_rows_KIND.json.
"""

import sys
import time
import warnings

import numpy as np
from report import command_line, save
from sklearn.datasets import make_friedman1, make_friedman2, make_friedman3
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor, auto_beta

KINDS = "regression", "classes"
ROWS, ROWS_JUDGED, N_TEST = 16_000, (2_000, 8_000, 24_000), 4_000
MOST_ROWS = 50, 100, 200, 400, np.inf  # for each column
CHOSEN = {  # columns, noise in units of the signal's standard deviation
    "network": (8, 0.3),
    "network, much noise": (8, 1.5),
    "network of 30": (30, 1.0),
    "smooth": (4, 0.2),
    "smooth, much noise": (4, 1.0),
    "steps": (10, 1.0),
    "friedman1 of 10": (10, 0.3),
    "waves": (20, 2.0),
}


def signal(name, X, rng):
    if name.startswith("network"):
        d = X.shape[1]
        return np.maximum(X @ rng.standard_normal((d, 20)), 0) @ rng.standard_normal(20)
    if name.startswith("smooth"):
        U = np.tanh(X)
        return np.sin(3 * U[:, 0]) + U[:, 1] * U[:, 2] + abs(U[:, 3])
    if name == "steps":
        return (X[:, 0] > 0) + (X[:, 1] > 0.5) * (X[:, 2] < 0) + 0.5 * (X[:, 3] > 1)
    if name == "friedman1 of 10":
        U = (np.tanh(X) + 1) / 2
        waves = 10 * np.sin(np.pi * U[:, 0] * U[:, 1])
        return waves + 20 * (U[:, 2] - 0.5) ** 2 + 10 * U[:, 3] + 5 * U[:, 4]
    return np.sin(X[:, :8] * np.arange(1, 9) / 2).sum(axis=1)


def chosen(n):
    """Name, features, targets, and intervals of the targets."""
    for name, (columns, noise) in CHOSEN.items():
        rng = np.random.default_rng(2)
        X = rng.standard_normal((n, columns))
        f = signal(name, X, rng)
        yield name, X, f / f.std() + noise * rng.standard_normal(n), 2 if noise < 1 else 3


def judged(n):
    yield "friedman1", *make_friedman1(n, 15, noise=2.0, random_state=0), 3
    X, y = make_friedman2(n, random_state=0)
    yield "friedman2", X, y + y.std() / 2 * np.random.default_rng(0).standard_normal(n), 2
    yield "friedman3", *make_friedman3(n, noise=0.3, random_state=0), 3
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 12))
    A, B = np.tanh(X @ rng.standard_normal((2, 12, 4)))
    y = (A * B).sum(axis=1)
    yield "products of ridges", X, y / y.std() + rng.standard_normal(n), 2


def fitted(model, train, test):
    """The fitted model, its seconds, and held-out scores."""
    begin = time.perf_counter()
    model.fit(*train)
    found = {"seconds": time.perf_counter() - begin, "score": model.score(*test)}
    if hasattr(model, "predict_proba"):
        found["log loss"] = log_loss(test[1], model.predict_proba(test[0]))
    return model, found


def compare(regression, X, y, most_rows):
    """Fits at beta="auto", where n counts up to so many rows for each column."""
    train, test = (X[:-N_TEST], y[:-N_TEST]), (X[-N_TEST:], y[-N_TEST:])
    estimator, taken = (ConvexBNRegressor if regression else ConvexBNClassifier), []
    for counted in most_rows:
        auto_beta.SQUARED_ERROR = auto_beta.SQUARED_ERROR._replace(rows=counted)
        auto_beta.LOG_LOSS = auto_beta.LOG_LOSS._replace(rows=counted)
        model, found = fitted(estimator(max_time=60, random_state=0), train, test)
        found |= {"rows for each column": counted if np.isfinite(counted) else "all"}
        found |= {"beta": model.beta_}
        found |= {"neurons": model.n_neurons_, "gap": model.dual_gap_ / model.zero_loss_}
        taken.append(found)
    return train, test, taken


def main(kind, smaller="1"):
    if kind not in KINDS:
        sys.exit(f"The first argument is regression or classes, got {kind!r}.")
    warnings.simplefilter("ignore")
    rows, regression = [], kind == "regression"
    taken = (auto_beta.SQUARED_ERROR if regression else auto_beta.LOG_LOSS).rows
    sets = [("chosen", ROWS // int(smaller), chosen)]
    sets += [("judged", n // int(smaller), judged) for n in ROWS_JUDGED]
    for part, n, make in sets:
        for name, X, y, k in make(n + N_TEST):
            if not regression:
                y = np.digitize(y, np.quantile(y, np.arange(1, k) / k))
            most_rows = MOST_ROWS if part == "chosen" else (taken, np.inf)
            train, test, found = compare(regression, X, y, most_rows)
            if part == "judged":
                mlp = (MLPRegressor if regression else MLPClassifier)(
                    early_stopping=True, max_iter=1000, random_state=0
                )
                _, scores = fitted(make_pipeline(StandardScaler(), mlp), train, test)
                found.append(scores | {"rows for each column": "MLP"})
            rows += [{"part": part, "data": name, "n": n} | row for row in found]
            print(*rows[-len(found) :], sep="\n", flush=True)
    save(f"noisy_rows_{kind}", rows)


if __name__ == "__main__":
    command_line(main, __doc__, least=1)

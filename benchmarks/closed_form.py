"""Fit time of the closed form against scikit-learn's Ridge(solver="svd") on the same data.

    python benchmarks/closed_form.py

n = 100 .. 2000 rows, d = 2 n features. Interleaved runs; medians, and the median of the ratios of
neighbouring runs. Writes results/closed_form.json.
"""

import time

import numpy as np
from report import command_line, save, table
from sklearn.linear_model import Ridge

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor

SIZES = (100, 200, 500, 1000, 2000)


def seconds(estimator, X, y):
    start = time.perf_counter()
    estimator.fit(X, y)
    return time.perf_counter() - start


def main():
    rows = []
    for n in SIZES:
        rng = np.random.default_rng(n)
        X, y = rng.standard_normal((n, 2 * n)), rng.standard_normal(n)
        labels = np.arange(n) % 10
        ridge = Ridge(solver="svd")
        ours = {
            "regressor": (ConvexBNRegressor(beta=0.1), y),
            "classifier, squared error": (
                ConvexBNClassifier(beta=0.1, loss="squared_error"),
                labels,
            ),
            "classifier, log loss": (ConvexBNClassifier(beta=0.1), labels),
        }
        times = {name: [] for name in ("ridge", *ours)}
        for repeat in range(10 if n < 1000 else 4):
            now = {"ridge": seconds(ridge, X, y)}
            for name, (estimator, target) in ours.items():
                now[name] = seconds(estimator, X, target)
                assert estimator.backend_ == "closed_form"
            if repeat:  # the first run warms up
                for name, value in now.items():
                    times[name].append(value)
        row = {"n": n, "d": 2 * n, "ridge svd [s]": np.median(times["ridge"])}
        for name in ours:
            row[f"{name} / ridge"] = np.median(np.divide(times[name], times["ridge"]))
        rows.append(row)
        print(table(rows[-1:]), flush=True)
    save("closed_form", rows)


if __name__ == "__main__":
    command_line(main, __doc__)

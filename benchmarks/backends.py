"""Where arrangements="auto" goes over from all to those generated, both with exact certificates.

    python benchmarks/backends.py

Seconds of fits to one and two features with all arrangements enumerated and with those generated,
sin(3 x) + noise, and its signs; medians of five, interleaved, one thread. Writes
results/backends.json.
"""

from statistics import median
from time import perf_counter

import numpy as np
import torch
from report import command_line, save

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor
from skconvexbn.arrangements import count_arrangements

ROWS, REPEATS = {1: (10, 25, 50, 100, 200, 400), 2: (8, 10, 14, 20, 30, 45)}, 5
ROUTES = "exact", "adaptive"


def timed(estimator, X, y, route):
    """Seconds of a fit, whose certificate is exact on both routes."""
    begin = perf_counter()
    model = estimator(arrangements=route, random_state=0).fit(X, y)
    assert model.certificate_ == "exact"
    return perf_counter() - begin


def main():
    torch.set_num_threads(1)
    rows = []
    for rank, n in ((rank, n) for rank, ns in ROWS.items() for n in ns):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((n, rank))
        y = np.sin(3 * X[:, 0]) + 0.5 * rng.standard_normal(n)
        for estimator, targets in ((ConvexBNRegressor, y), (ConvexBNClassifier, y > 0)):
            runs = [
                {r: timed(estimator, X, targets, r) for r in ROUTES} for _ in range(REPEATS + 1)
            ]
            found = {r: median(run[r] for run in runs[1:]) for r in ROUTES}  # the first imports
            count = count_arrangements(n, rank + 1)
            row = {"rank": rank, "n": n, "arrangements": count, "estimator": estimator.__name__}
            rows.append(row | found)
    save("backends", rows)


if __name__ == "__main__":
    command_line(main, __doc__)

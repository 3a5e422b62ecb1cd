"""How far sampled arrangements stop from the global optimum, where that can be enumerated.

    python benchmarks/sampling_gap.py

Objective over P random arrangements, relative to the exact optimum (gap below 1e-6), on 60 rows of
scikit-learn's diabetes data at ranks 1 to 3; median and worst of ten seeds. Writes
results/sampling_gap.json.
"""

import numpy as np
from report import command_line, save
from sklearn.datasets import load_diabetes

from skconvexbn import ConvexBNRegressor


def main():
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:60], (y[:60] - y[:60].mean()) / y[:60].std()
    rows = []
    for rank in (1, 2, 3):
        params = {"beta": 0.3, "rank": rank, "tol": 1e-6}
        exact = ConvexBNRegressor(arrangements="exact", **params).fit(X, y)
        for n_arrangements in (20, 100, 500):
            sampled = [
                ConvexBNRegressor(
                    arrangements="sampled",
                    n_arrangements=n_arrangements,
                    random_state=seed,
                    **params,
                ).fit(X, y)
                for seed in range(10)
            ]
            excess = [model.objective_ / exact.objective_ - 1 for model in sampled]
            rows.append(
                {
                    "rank": rank,
                    "sampled": n_arrangements,
                    "exact optimum": exact.objective_,
                    "exact gap": exact.dual_gap_,
                    "excess, median [%]": 100 * float(np.median(excess)),
                    "excess, worst [%]": 100 * max(excess),
                }
            )
    save("sampling_gap", rows)


if __name__ == "__main__":
    command_line(main, __doc__)

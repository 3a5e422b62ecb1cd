"""Whether bounds hold where maxima of the dual oracle are narrow: heavy tails, large bias scales.

    python benchmarks/bounds.py

Fits at tol=1e-3 whose bound rests on a search, beside the optimum over all arrangements, which are
few enough here to enumerate: 40, 18 or 14 rows of 1, 2 or 3 columns, exponential to a power,
targets sin(x_1) and noise, beta 0.01, shrinkage 0 and 1, three data sets of each, three random
states. A bound is false if it is above the enumerated optimum by more than 1e-5 of the zero model's
loss. Writes results/bounds.json.
"""

import itertools

import numpy as np
from report import command_line, save

from skconvexbn import ConvexBNRegressor

SHAPES = (40, 1), (18, 2), (14, 3)
TOL, ROUNDING = 1e-3, 1e-5  # of bounds; of the optimum


def excesses(shape, power, bias_scale, shrinkage, seed):
    """Bound less the optimum, as a fraction of the zero model's loss, for three random states."""
    rng = np.random.default_rng(seed)
    X = rng.exponential(size=shape) ** power
    y = np.sin(X[:, 0]) + rng.standard_normal(len(X))
    model = ConvexBNRegressor(beta=0.01, bias_scale=bias_scale, shrinkage=shrinkage)
    optimum = model.set_params(arrangements="exact", tol=ROUNDING).fit(X, y).objective_
    model.set_params(arrangements="adaptive", tol=TOL)
    for random_state in range(3):
        model.set_params(random_state=random_state).fit(X, y)
        yield (model.dual_objective_ - optimum) / model.zero_loss_


def main():
    rows = []
    for power, bias_scale in itertools.product((1, 3, 5), (1, 3, 30, 1000)):
        sets = itertools.product(SHAPES, (0.0, 1.0), range(3))
        found = np.array(
            [
                excess
                for shape, shrinkage, seed in sets
                for excess in excesses(shape, power, bias_scale, shrinkage, seed)
            ]
        )
        rows.append(
            {
                "power": power,
                "bias_scale": bias_scale,
                "fits": len(found),
                "false bounds": int((found > ROUNDING).sum()),
                "largest excess [tol]": max(found.max(), 0.0) / TOL,
                "median distance below [tol]": float(np.median(-found)) / TOL,
            }
        )
    save("bounds", rows)


if __name__ == "__main__":
    command_line(main, __doc__)

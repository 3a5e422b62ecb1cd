"""Whether gaps hold where beta is small beside single rows' pulls, so that maxima are narrow.

    python benchmarks/narrow.py

Fits at the default tol to noisy targets of 150 rows (with 10 columns of 400), of 1 to 10 columns,
normal, lognormal or Cauchy, these also with weights from 1e-3 to 1e3, at fractions of beta="auto":
sin(3 x_1) + noise, and coin flips, three data sets of each (with 10 columns one).
Their dual points are checked with up to two columns on all circles of kinks (`circles`), with more
by searches with other starts, four times as many, for 96 generations, with steps as the solver's
and a tenth of them. Half an hour. Writes results/narrow.json.
"""

import itertools
import warnings

import numpy as np
from problems import checked_dual
from report import command_line, save

import skconvexbn.task
from skconvexbn import ConvexBNClassifier, ConvexBNRegressor
from skconvexbn.oracle.circles import MAX_COLUMNS, circle_maxima

FRACTIONS = 1.0, 0.1, 0.01
# Columns, and how many rows and data sets there are of each.
SHAPES = ((1, 150, 3), (2, 150, 3), (4, 150, 3), (6, 150, 3), (10, 400, 1))
TAILS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "lognormal": lambda rng, shape: np.exp(2 * rng.standard_normal(shape)),
    "Cauchy": lambda rng, shape: rng.standard_cauchy(shape),
    "Cauchy, uneven weights": lambda rng, shape: rng.standard_cauchy(shape),
}
LIMIT, FINER = 20.0, (1.0, 0.1)


class Kept:
    """The solver of a backend, with the last problem and solution."""

    get_solver = staticmethod(skconvexbn.task.get_solver)

    def __init__(self, backend):
        self.solver = self.get_solver(backend)

    def __call__(self, problem, *args):
        """Solve as the backend does."""
        Kept.last = problem, self.solver(problem, *args)
        return Kept.last[1]


def checked(problem, solution):
    """The dual value at V by kinks of all rows, or by independent searches."""
    if problem.Q.shape[1] > MAX_COLUMNS:
        return min(checked_dual(problem, solution, finer=finer) for finer in FINER)
    H = circle_maxima(problem.Q, solution.V, np.ones(len(problem.Q)))
    largest = np.linalg.norm(solution.V.T @ np.maximum(problem.Q @ H, 0.0), axis=0).max()
    return problem.dual(solution.V, max(largest, solution.dual_norm))


def fit(estimator, X, y, weight, fraction):
    """Gap as reported and as checked, in units of tol, and whether the fit converged."""
    options = {"arrangements": "adaptive", "random_state": 0}
    beta = fraction * estimator(max_iter=1, **options).fit(X, y, weight).beta_
    model = estimator(beta=beta, max_time=LIMIT, **options).fit(X, y, weight)
    problem, solution = Kept.last
    gap = problem.primal(solution.H, solution.G, solution.b) - checked(problem, solution)
    unit = model.tol * problem.zero_loss
    return model.dual_gap_ / model.zero_loss_ / model.tol, gap / unit, model.converged_


def main():
    skconvexbn.task.get_solver = Kept
    warnings.simplefilter("ignore")
    rows = []
    for (columns, n, sets), tails, fraction in itertools.product(SHAPES, TAILS, FRACTIONS):
        fits = []
        for seed, classes in itertools.product(range(sets), (False, True)):
            rng = np.random.default_rng(seed)
            X = TAILS[tails](rng, (n, columns))
            noise = rng.standard_normal(n)
            y = (noise > 0).astype(int) if classes else np.sin(3 * X[:, 0]) + noise
            weight = 10 ** rng.uniform(-3, 3, n) if "weights" in tails else None
            estimator = ConvexBNClassifier if classes else ConvexBNRegressor
            fits.append(fit(estimator, X, y, weight, fraction))
        gap, longer, converged = np.array(fits).T
        refuted = np.where(converged, longer - gap, 0.0)
        rows.append(
            {
                "columns": columns,
                "tails": tails,
                "beta / auto": fraction,
                "fits": len(fits),
                "converged": int(converged.sum()),
                "refuted by over 0.2 tol": int((refuted > 0.2).sum()),
                "largest refutation [tol]": refuted.max(),
            }
        )
        print(rows[-1], flush=True)
    save("narrow", rows)


if __name__ == "__main__":
    command_line(main, __doc__)

"""Data sets, problems and searches that several benchmarks share."""

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_friedman1,
)

from skconvexbn.losses import SquaredError
from skconvexbn.oracle.hopping import N_CHAINS, BasinHopping
from skconvexbn.oracle.multi_start import step_scale
from skconvexbn.oracle.search import Pairs, Search
from skconvexbn.problem import Problem
from skconvexbn.whitening import Whitening

MAX_ROWS = 2_500  # of class labels in files


def regression_sets(folder=None):
    """Name, X and y of diabetes, a generated set, and every reg-*.npz in the folder."""
    yield "diabetes", load_diabetes(return_X_y=True)
    yield "friedman1", make_friedman1(1000, noise=1.0, random_state=0)
    for path in sorted(Path(folder).glob("reg-*.npz")) if folder else ():
        with np.load(path) as data:
            yield path.stem.removeprefix("reg-"), (data["X"], data["y"].astype(float))


def class_sets(folder=None):
    """Name, X and labels of scikit-learn's sets, and every clf-*.npz in the folder."""
    for load in (load_breast_cancer, load_iris, load_wine, load_digits):
        yield load.__name__.removeprefix("load_"), load(return_X_y=True)
    for path in sorted(Path(folder).glob("clf-*.npz")) if folder else ():
        with np.load(path) as data:
            rows = np.random.default_rng(0).permutation(len(data["y"]))[:MAX_ROWS]
            yield path.stem.removeprefix("clf-"), (data["X"][rows].astype(float), data["y"][rows])


def make_problem(X, y, beta):
    """(P) with squared error, targets (n,) or (n, C) of unit variance, no intercept."""
    w, Y = np.ones(len(y)), y.reshape(len(y), -1)
    Q = Whitening.fit(X, w).basis().transform(X)
    return Problem(Q, (Y - Y.mean(axis=0)) / Y.std(axis=0), w, SquaredError(), beta, False)


def checked_dual(
    problem, solution, *, finer=1.0, kind=Search, n_chains=4 * N_CHAINS, n_generations=96
):
    """The dual value at V by a search that is independent of the solver's, four times as wide.

    Its steps are those for maxima narrower by the factor finer.
    """
    H, G = (torch.as_tensor(a) for a in (solution.H, solution.G))
    neurons = Pairs.of_weights(H, G)
    Q, V = torch.as_tensor(problem.Q), torch.as_tensor(solution.V)
    search = kind(Q, seed=12345, step_scale=step_scale(problem.Q, problem.w))
    hopping = BasinHopping(search, V, finer * problem.beta, neurons, n_chains)
    while hopping.n_generations < n_generations:
        hopping.hop()
    return problem.dual(solution.V, max(hopping.largest, solution.dual_norm))

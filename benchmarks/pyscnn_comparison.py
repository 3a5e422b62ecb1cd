"""Objective and seconds beside pyscnn: ReLU networks, and gated ones over the same gates.

    pip install pyscnn==0.0.10
    python benchmarks/pyscnn_comparison.py [FOLDER] [MAX_ITERS]

Diabetes, or with FOLDER every reg-*.npz in it (arrays X and y), targets of unit variance, beta 0.1,
no intercept. pyscnn gets the whitened rows Q, 500 gates, float64, unitize_data=False and, as it
minimises 1/(2 n) ||f - y||^2 + lambda sum ||s||, lambda = beta / n; its solvers keep their defaults
(at most MAX_ITERS = 10,000 iterations), which takes the augmented Lagrangian one to two minutes a
set: ten minutes in all with five sets.

ReLU: the network objective (P) of both, from the weights, in float64; "ours to pyscnn's" is when
ours was first as low as the one pyscnn ended with. Gated: 1/2 ||sum_j D_j Q s_j - y||^2
+ beta sum_j ||s_j|| over the same gates, R-FISTA beside arrangements="sampled"; ours is the first
of a sequence of tol whose objective is no higher. Writes results/pyscnn_relu.json and
results/pyscnn_gated.json.
"""

import logging
import sys
import time
import warnings
from itertools import islice

import numpy as np
from problems import make_problem, regression_sets
from report import command_line, save, table
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from skconvexbn import ConvexBNRegressor
from skconvexbn.solvers.interface import Options
from skconvexbn.solvers.torch import solve
from skconvexbn.whitening import Whitening

try:
    from scnn.metrics import Metrics
    from scnn.models import ConvexGatedReLU, ConvexReLU
    from scnn.optimize import optimize_model
    from scnn.regularizers import NeuronGL1
    from scnn.solvers import AL, RFISTA
except ModuleNotFoundError as error:
    sys.exit(f"{error}: this benchmark needs pyscnn; run `pip install pyscnn==0.0.10` first.")

BETA, N_GATES, SEED = 0.1, 500, 0
TOL = 1e-3
TOLS = (3e-2, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)


def gates(X):
    """The directions (q, N_GATES) that the estimator draws for random_state=SEED."""
    seed = check_random_state(SEED).randint(np.iinfo(np.int32).max)
    basis = Whitening.fit(X, np.ones(len(X))).basis()
    return basis.random_directions(N_GATES, np.random.RandomState(seed))


def pyscnn(problem, H, gated, max_iters):
    """Weights pyscnn ends with, and seconds: (W (m, q), u (1, m)) or (S (q, p), gates (q, p))."""
    Q, n = problem.Q, len(problem.Q)
    model = (ConvexGatedReLU if gated else ConvexReLU)(H.copy())
    solver = RFISTA(model, max_iters) if gated else AL(model, max_iters, max_iters)
    start = time.perf_counter()
    found, _ = optimize_model(
        *(model, solver, Metrics(), Q.copy(), problem.Y.copy()),
        regularizer=NeuronGL1(problem.beta / n),
        return_convex=gated,
        unitize_data=False,
        dtype="float64",
    )
    seconds = time.perf_counter() - start
    logging.getLogger().setLevel(logging.WARNING)
    if gated:
        return (found.parameters[0][0].T.astype(float), found.G), seconds
    return tuple(np.asarray(p, dtype=float) for p in found.get_parameters()), seconds


def gated_objective(problem, S, H):
    """1/2 ||sum_j D_j Q s_j - y||^2 + beta sum_j ||s_j|| of S (q, p) and gates H (q, p)."""
    F = np.sum((problem.Q @ H >= 0) * (problem.Q @ S), axis=1, keepdims=True)
    return problem.loss_value(F) + problem.beta * np.linalg.norm(S, axis=0).sum()


def ours_gated(X, problem, limit):
    """Objective and seconds of the first tol in TOLS whose objective is at most limit."""
    for tol in TOLS:
        model = ConvexBNRegressor(
            activation="gated_relu",
            arrangements="sampled",
            n_arrangements=N_GATES,
            backend="torch",
            beta=problem.beta,
            fit_intercept=False,
            tol=tol,
            max_iter=10_000,
            random_state=SEED,
        )
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, problem.Y[:, 0])
        seconds = time.perf_counter() - start
        if model.objective_ <= limit:
            break
    return model.objective_, seconds


def main(folder=None, max_iters="10000"):
    relu, gated = [], []
    # without FOLDER the first set, diabetes; with it those that come after the two of scikit-learn
    for name, (X, y) in islice(regression_sets(folder), 2 if folder else 0, None if folder else 1):
        problem, H = make_problem(X, y, BETA), gates(X)
        start = time.perf_counter()
        solution = solve(problem, None, Options(TOL, 100))
        seconds = time.perf_counter() - start
        ours = problem.primal(solution.H, solution.G, solution.b)

        (W, u), theirs_seconds = pyscnn(problem, H, False, int(max_iters))
        theirs = problem.primal(W.T, u.T, np.zeros(1))
        reached = [t for t, primal, _ in solution.history if primal <= theirs]
        row = {"data": name, "n": len(y), "q": problem.Q.shape[1]}
        relu.append(
            {
                **row,
                "ours": ours,
                "pyscnn AL": theirs,
                "ours [s]": seconds,
                "AL [s]": theirs_seconds,
                "ours to pyscnn's [s]": min(reached, default=np.inf),
                "AL / ours": theirs_seconds / seconds,
                "neurons, ours": int(np.count_nonzero(np.any(solution.G, axis=1))),
                "neurons, pyscnn": len(W),
            }
        )
        print(table(relu[-1:]).splitlines()[-1], flush=True)

        (S, kept), theirs_seconds = pyscnn(problem, H, True, int(max_iters))
        theirs = gated_objective(problem, S, kept)
        result = ours_gated(X, problem, theirs)
        gated.append(
            {
                **row,
                "ours": result[0],
                "R-FISTA": theirs,
                "ours [s]": result[1],
                "R-FISTA [s]": theirs_seconds,
                "R-FISTA / ours": theirs_seconds / result[1],
            }
        )
        print(table(gated[-1:]).splitlines()[-1], flush=True)
    save("pyscnn_relu", relu)
    save("pyscnn_gated", gated)


if __name__ == "__main__":
    command_line(main, __doc__)

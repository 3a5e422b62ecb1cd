"""Objective (P) of ours beside plain training of the same network: L-BFGS and AdamW.

    python benchmarks/plain_training.py [FOLDER] [N_STARTS] [EPOCHS]

Diabetes, or with FOLDER every reg-*.npz in it (arrays X and y), targets of unit variance, beta 0.1
and 1; ours at tol=1e-3 and, beside it, at a tenth of it. L-BFGS minimises

    1/2 ||relu(Q H) g - y||^2 + beta/2 (||H||^2 + ||g||^2)

from 10 random starts, 300 neurons, float64, at most 2,000 iterations each. AdamW trains the network
with batch norm (bn_network.py) of 300 neurons on all rows at once for 2,000 epochs, best of two
learning rates. Every objective is evaluated in float64 on all rows after balancing the weights;
"bound" is our dual value. Ten minutes with five sets. Writes results/plain_training.json.
"""

import time
from itertools import islice

import bn_network
import numpy as np
import torch
from problems import make_problem, regression_sets
from report import command_line, save, table
from scipy.optimize import minimize

from skconvexbn.solvers.interface import Options
from skconvexbn.solvers.torch import solve

BETAS = (0.1, 1.0)
TOL = 1e-3
WIDTH, MAX_ITER = 300, 2_000
RATES = (5e-3, 1e-2)


def lbfgs(problem, seed):
    """Objective (P) where L-BFGS ends, from normal weights of about unit norm a neuron."""
    Q, y = torch.as_tensor(problem.Q), torch.as_tensor(problem.Y[:, 0])
    q, beta = Q.shape[1], problem.beta

    def value_and_gradient(p):
        p = torch.as_tensor(p)
        H, g = p[: q * WIDTH].reshape(q, WIDTH), p[q * WIDTH :]
        A = (Q @ H).clamp_min_(0.0)
        r = A @ g - y
        slope_g = A.T @ r + beta * g
        slope_H = Q.T @ A.sign_().mul_(torch.outer(r, g)) + beta * H
        value = 0.5 * float(r @ r) + beta / 2 * float(p @ p)
        return value, torch.cat([slope_H.reshape(-1), slope_g]).numpy()

    rng = np.random.default_rng(seed)
    H = rng.standard_normal((q, WIDTH)) * (0.5 / np.sqrt(q))
    start = np.concatenate([H.ravel(), 0.5 * rng.choice([-1.0, 1.0], WIDTH)])
    options = {"maxiter": MAX_ITER, "maxfun": 2 * MAX_ITER, "maxcor": 20, "ftol": 1e-12}
    end = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options=options).x
    return problem.primal(end[: q * WIDTH].reshape(q, WIDTH), end[q * WIDTH :, None], np.zeros(1))


def timed(function, *args, **kwargs):
    start = time.perf_counter()
    result = function(*args, **kwargs)
    return result, time.perf_counter() - start


def our_values(problem, tol):
    """Primal and dual value, and seconds (30 at most)."""
    found, seconds = timed(solve, problem, None, Options(tol, 1_000, max_time=30.0))
    primal = problem.primal(found.H, found.G, found.b)
    return primal, problem.dual(found.V, found.dual_norm), seconds


def main(folder=None, n_starts="10", epochs="2000"):
    rows = []
    # without FOLDER the first set, diabetes; with it those that come after the two of scikit-learn
    for name, (X, y) in islice(regression_sets(folder), 2 if folder else 0, None if folder else 1):
        X = (X - X.mean(axis=0)) / X.std(axis=0)
        for beta in BETAS:
            problem = make_problem(X, y, beta)
            ours, _, seconds = our_values(problem, TOL)
            fine, bound, fine_seconds = our_values(problem, TOL / 10)
            starts, lbfgs_seconds = timed(
                lambda p: [lbfgs(p, seed) for seed in range(int(n_starts))], problem
            )
            adamw, adamw_seconds = timed(
                lambda p, X: [
                    bn_network.objective(
                        p, bn_network.train(p, X, epochs=int(epochs), lr=lr, width=WIDTH), X
                    )
                    for lr in RATES
                ],
                problem,
                X,
            )
            rival = min(*starts, *adamw)
            rows.append(
                {
                    "data": name,
                    "beta": beta,
                    "bound": bound,
                    "best rival": rival,
                    "ours - rival": ours - rival,
                    "ours, tol / 10, - rival": fine - rival,
                    "L-BFGS - ours": min(starts) - ours,
                    "AdamW - ours": min(adamw) - ours,
                    "spread of starts": max(starts) - min(starts),
                    "ours <= rival": bool(ours <= rival),
                    "tol / 10 <= rival": bool(fine <= rival),
                    "bound <= rival": bool(bound <= rival),
                    "ours [s]": seconds,
                    "tol / 10 [s]": fine_seconds,
                    "L-BFGS [s]": lbfgs_seconds,
                    "AdamW [s]": adamw_seconds,
                }
            )
            print(table(rows[-1:]).splitlines()[-1], flush=True)
            save("plain_training", rows)


if __name__ == "__main__":
    command_line(main, __doc__)

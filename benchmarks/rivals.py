"""Held-out score, fit time, spread over seeds and objective beside scikit-learn's MLP and AdamW.

    python benchmarks/rivals.py regression|classes [FOLDER]

scikit-learn's data; with FOLDER also every reg-*.npz or clf-*.npz in it (arrays X and y, at most
1,000 rows of the latter). Three random splits (75 % train), on the first of them three seeds; the
methods take turns, ours for at most 30 seconds a fit. Rivals, on standardised data: MLPRegressor
and MLPClassifier with max_iter=1000; a torch network (bn_network.py) of 200 neurons with batch
norm, AdamW, 300 epochs, batches of 64.
"spread" is over the seeds: the standard deviation of predictions, root mean square over held-out
rows, in standard deviations of the target; for classes the share of rows whose label changes.

Second table: the same network trained on our objective (P) at our beta="auto" (the penalty in the
loss instead of AdamW's decay), beside ours at tol=1e-3: final values, and seconds until the solver
held a network as good, which Ctrl-C would have returned then. Ten minutes for each of the two.
Writes results/rivals_KIND.json and results/rivals_objective_KIND.json.
"""

import sys
import time
import warnings
from unittest.mock import patch

import bn_network
import numpy as np
from problems import class_sets, regression_sets
from report import command_line, save, table
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor
from skconvexbn.losses import BinaryLogLoss, MultinomialLogLoss, SquaredError
from skconvexbn.problem import Problem
from skconvexbn.solvers.incumbent import Incumbent
from skconvexbn.solvers.interface import Options
from skconvexbn.solvers.torch import solve
from skconvexbn.whitening import Whitening

FITS = ((0, 0), (0, 1), (0, 2), (1, 0), (2, 0))  # split, seed
NETWORK = {"epochs": 300, "batch": 64}
MAX_ROWS, MAX_TIME = 1_000, 30.0
TOL = 1e-3  # of the second table
FINE = "skconvexbn, tol=1e-3"
FINEST = "skconvexbn, tol=1e-4"  # on the first split alone
warnings.simplefilter("ignore", ConvergenceWarning)


class AdamW:
    """The torch network as an estimator."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, X, y):
        """Train on standardised rows."""
        self.classes = None if y.dtype.kind == "f" else np.unique(y)
        problem = make_problem(X, y, 0.0)
        self.net = bn_network.train(
            problem, X, penalised=False, decay=0.01, seed=self.seed, **NETWORK
        )
        return self

    def predict(self, X):
        """Targets or labels."""
        F = bn_network.predict(self.net, X)
        if self.classes is None:
            return F[:, 0]
        return self.classes[F.argmax(axis=1) if F.shape[1] > 1 else (F[:, 0] > 0).astype(int)]


def makers(regression):
    """Functions of the seed."""
    if not regression:
        return {
            "skconvexbn": lambda s: ConvexBNClassifier(random_state=s, max_time=MAX_TIME),
            "MLPClassifier": lambda s: MLPClassifier(max_iter=1000, random_state=s),
            "AdamW": AdamW,
        }
    return {
        "skconvexbn": lambda s: ConvexBNRegressor(random_state=s, max_time=MAX_TIME),
        FINE: lambda s: ConvexBNRegressor(tol=1e-3, max_time=MAX_TIME, random_state=s),
        FINEST: lambda s: ConvexBNRegressor(tol=1e-4, max_time=MAX_TIME, random_state=s),
        "MLPRegressor": lambda s: MLPRegressor(max_iter=1000, random_state=s),
        "AdamW": AdamW,
    }


def make_problem(X, y, beta):
    """(P) as the estimators pose it for float targets of unit variance, or for labels."""
    w = np.ones(len(y))
    Q = Whitening.fit(X, w).basis().transform(X)
    if y.dtype.kind == "f":
        return Problem(Q, y.reshape(len(y), -1), w, SquaredError(), beta, True)
    Y = np.eye(y.max() + 1)[y]
    if Y.shape[1] == 2:
        return Problem(Q, Y[:, 1:], w, BinaryLogLoss(), beta, True)
    return Problem(Q, Y, w, MultinomialLogLoss(), beta, True)


def split_scaled(X, y, split):
    """X_train, X_test, y_train, y_test: standardised by the training rows, labels 0, 1, ..."""
    regression = y.dtype.kind == "f"
    if not regression:
        y = np.unique(y, return_inverse=True)[1]
    parts = train_test_split(X, y, random_state=split, stratify=None if regression else y)
    scaler = StandardScaler().fit(parts[0])
    y_train, y_test = parts[2:]
    if regression:
        mean, deviation = y_train.mean(axis=0), y_train.std(axis=0)
        y_train, y_test = (y_train - mean) / deviation, (y_test - mean) / deviation
    return scaler.transform(parts[0]), scaler.transform(parts[1]), y_train, y_test


def compare(name, X, y):
    """Rows of the first table, and the beta of each split."""
    regression = y.dtype.kind == "f"
    methods, betas = makers(regression), {}
    scores, seconds, first = ({m: [] for m in methods} for _ in range(3))
    for split, seed in FITS:
        X_train, X_test, y_train, y_test = split_scaled(X, y, split)
        for method, make in methods.items():
            if method == FINEST and split > 0:
                continue
            start = time.perf_counter()
            model = make(seed).fit(X_train, y_train)
            seconds[method].append(time.perf_counter() - start)
            found = model.predict(X_test)
            scores[method].append((r2_score if regression else accuracy_score)(y_test, found))
            if split == 0:
                first[method].append(found)
            if method == "skconvexbn":
                betas[split] = model.beta_
    rows = []
    for method in methods:
        found = np.array(first[method])
        spread = np.sqrt(np.mean(np.var(found, axis=0))) if regression else None
        changed = np.mean(np.any(found != found[0], axis=0))
        ratio = np.divide(seconds["skconvexbn"][: len(seconds[method])], seconds[method])
        by_split = [np.mean(scores[method][:3]), *scores[method][3:]]
        rows.append(
            {
                "data": name,
                "method": method,
                "R2" if regression else "accuracy": float(np.mean(by_split)),
                "seconds": float(np.median(seconds[method])),
                "our time / its": float(np.median(ratio)),
                "spread": float(spread if regression else changed),
            }
        )
        print(table(rows[-1:]).splitlines()[-1], flush=True)
    return rows, betas[0]


def solve_traced(problem):
    """The solution, and (seconds, objective) of the best network after every one that was tried."""
    held, offer = [], Incumbent.offer

    def traced(best, *network):
        offer(best, *network)
        if best.problem is problem:  # not some of its rows
            held.append((best.seconds, best.primal))

    with patch.object(Incumbent, "offer", traced):
        return solve(problem, None, Options(TOL, 100, MAX_TIME)), held


def compare_objective(name, X, y, beta):
    """The row of the second table."""
    X, _, y, _ = split_scaled(X, y, 0)
    problem = make_problem(X, y, beta)
    start = time.perf_counter()
    net = bn_network.train(problem, X, **NETWORK)
    seconds = time.perf_counter() - start
    theirs = bn_network.objective(problem, net, X)
    solution, held = solve_traced(problem)
    reached = min((t for t, primal in held if primal <= theirs), default=np.inf)
    row = {
        "data": name,
        "beta": beta,
        "ours": problem.primal(solution.H, solution.G, solution.b),
        "bound": problem.dual(solution.V, solution.dual_norm),
        "AdamW": theirs,
        "ours [s]": solution.history[-1][0],
        "ours to AdamW's [s]": reached,
        "AdamW [s]": seconds,
        "to AdamW's / AdamW": reached / seconds,
    }
    print(table([row]).splitlines()[-1], flush=True)
    return row


def main(kind, folder=None):
    if kind not in ("regression", "classes"):
        sys.exit(f"The first argument is regression or classes, got {kind!r}.")
    rows, objectives = [], []
    ConvexBNClassifier(backend="torch").fit([[0.0], [1.0], [2.0]], [0, 1, 1])  # imports
    for name, (X, y) in (regression_sets if kind == "regression" else class_sets)(folder):
        if kind == "classes":
            some = np.random.default_rng(0).permutation(len(y))[:MAX_ROWS]
            X, y = X[some], y[some]
        found, beta = compare(name, X, y)
        rows += found
        objectives.append(compare_objective(name, X, y, beta))
    save(f"rivals_{kind}", rows)
    save(f"rivals_objective_{kind}", objectives)


if __name__ == "__main__":
    command_line(main, __doc__, least=1)

"""Problems of every kind, small enough for every route."""

import numpy as np
import torch
from reference import basis

from skconvexbn.losses import BinaryLogLoss, MultinomialLogLoss, SquaredError
from skconvexbn.problem import Problem

KINDS = ["squared", "several", "binary", "multinomial"]
CPU = torch.device("cpu")
DEVICES = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]


def make_problem(kind, n=40, q=3, beta=0.3, fit_intercept=True, seed=0):
    rng = np.random.default_rng(seed)
    Q = basis(rng, n, q)
    z = np.sqrt(n) * Q[:, 0]
    w = rng.uniform(0.5, 2.0, n)
    if kind == "squared":
        Y, loss = (np.sin(2 * z) + 0.1 * rng.standard_normal(n))[:, None], SquaredError()
    elif kind == "several":
        Y, loss = np.column_stack([np.sin(2 * z), z**2 - 1]), SquaredError()
    elif kind == "binary":
        Y, loss = (np.abs(z) > 0.7)[:, None].astype(float), BinaryLogLoss()
    else:
        Y, loss = np.eye(3)[np.digitize(z, [-0.5, 0.5])], MultinomialLogLoss()
    return Problem(Q, Y, w, loss, beta, fit_intercept)


def small(kind):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 2))
    return X, {
        "regression": X[:, 0] ** 2,
        "several": np.column_stack([X[:, 0] ** 2, X[:, 1]]),
        "column": X[:, :1] ** 2,
        "binary": np.where(X[:, 0] > 0, "yes", "no"),
        "multiclass": np.digitize(X[:, 0], [-0.5, 0.5]),
    }[kind]

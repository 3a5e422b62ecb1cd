"""A search of few candidates, rows for it with weights and groups, and its fit without search."""

import numpy as np
from sklearn.base import is_regressor
from sklearn.datasets import load_diabetes

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor

SMALL = {"betas": [2.0, 0.5], "shrinkages": [0.0, 1.0], "cv": 3, "random_state": 0}
ROWS = np.arange(90)


def diabetes():
    """Regression targets of unit variance, row weights, groups."""
    X, y = load_diabetes(return_X_y=True)
    rng = np.random.default_rng(0)
    X, y = X[:90, 2:6], (y[:90] - y[:90].mean()) / y[:90].std()
    return X, y, rng.integers(1, 4, 90).astype(float), rng.integers(0, 5, 90)


def plain(search, **params):
    """The estimator without search, at the parameters that were chosen."""
    kind = ConvexBNRegressor if is_regressor(search) else ConvexBNClassifier
    return kind(**{"random_state": 0, **search.best_params_, **params})

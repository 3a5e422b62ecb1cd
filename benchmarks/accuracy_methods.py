"""The methods that accuracy.py compares: functions (X, y, seed) -> {name: predict}.

Every method gets the same raw training rows; rivals standardise them first. Grids are searched by
five folds, as ours are. A method may return several predictors that share the work of one fit.
"""

import logging
from functools import partial

import numpy as np
from rivals import AdamW
from sklearn.base import clone
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from skconvexbn import (
    ConvexBNClassifier,
    ConvexBNClassifierCV,
    ConvexBNRegressor,
    ConvexBNRegressorCV,
)

OURS, CV, AVERAGE = "ours, default", "ours, CV", "ours, CV average"
SHRINKAGE = {"f": 0.5, "i": 1.0}  # of targets, of classes: the better one value for all
FINE = 1e-3
FACTORS = (0.25, 0.5, 2.0, 4.0)  # of beta="auto"
MAX_TIME = 10.0  # for the fit to all rows: what is left then is the certificate
GATES, LAMBDAS = 100, (1e-4, 1e-3, 1e-2)  # pyscnn


def our_fit(X, y, seed, **params):
    """Our estimator for the kind of y, at its defaults but for params."""
    make = ConvexBNClassifier if y.dtype.kind == "i" else ConvexBNRegressor
    return make(random_state=seed, **params).fit(X, y)


def ours(X, y, seed):
    return {OURS: our_fit(X, y, seed).predict}


def finer(X, y, seed):
    """The default but for tol."""
    return {f"ours, tol {FINE:g}": our_fit(X, y, seed, tol=FINE).predict}


def ours_shrunk(X, y, seed):
    """The default but for shrinkage, with a cheap shift (bias_scale=3) as in the search."""
    a = SHRINKAGE[y.dtype.kind]
    return {f"ours, shrinkage {a:g}": our_fit(X, y, seed, shrinkage=a, bias_scale=3.0).predict}


def other_betas(X, y, seed):
    """The default at multiples of its beta: candidates for the rule."""
    auto = our_fit(X, y, seed, max_iter=1).beta_
    return {
        f"ours, {f:g} beta": our_fit(X, y, seed, beta=f * auto, max_iter=10).predict
        for f in FACTORS
    }


def ours_cv(X, y, seed):
    """One search, and from its scores: the best, their average, the best without shrinkage."""
    classes = y.dtype.kind == "i"
    make = ConvexBNClassifierCV if classes else ConvexBNRegressorCV
    plain = ConvexBNClassifier if classes else ConvexBNRegressor
    search = make(average=True, max_time=MAX_TIME, random_state=seed).fit(X, y)
    results = search.cv_results_
    scores = dict(enumerate(np.nan_to_num(results["mean_test_score"], nan=-np.inf)))
    batch = {k: v for k, v in scores.items() if results["params"][k]["shrinkage"] == 0}
    best, best_batch = (max(part, key=part.get) for part in (scores, batch))
    refits = {
        name: plain(**results["params"][k], max_time=MAX_TIME, random_state=seed).fit(X, y)
        for name, k in {CV: best, "ours, CV, shrinkage 0": best_batch}.items()
    }
    return {AVERAGE: search.predict, **{name: m.predict for name, m in refits.items()}}


def fitted(name, model, X, y, seed):
    """One of scikit-learn's, or a search over its parameters."""
    seeds = {key: seed for key in model.get_params() if key.endswith("random_state")}
    model = clone(model).set_params(**seeds)
    return {name: make_pipeline(StandardScaler(), model).fit(X, y).predict}


def adamw(X, y, seed):
    """The network of rivals.py, on standardised rows and targets."""
    scaler = StandardScaler().fit(X)
    if y.dtype.kind == "i":
        net, mean, deviation = AdamW(seed).fit(scaler.transform(X), y), 0, 1
    else:
        mean, deviation = y.mean(), y.std()
        net = AdamW(seed).fit(scaler.transform(X), (y - mean) / deviation)
    return {"AdamW": lambda X: mean + deviation * net.predict(scaler.transform(X))}


def pyscnn(X, y, seed):
    """Gated and ReLU networks of pyscnn 0.0.10; lambda by the gated one on a fifth of the rows."""
    from scnn.activations import sample_gate_vectors
    from scnn.metrics import Metrics
    from scnn.models import ConvexGatedReLU, ConvexReLU
    from scnn.optimize import optimize_model
    from scnn.regularizers import NeuronGL1
    from scnn.solvers import AL, RFISTA

    scaler = StandardScaler().fit(X)

    def rows(X):
        return np.column_stack([scaler.transform(X), np.ones(len(X))])

    mean, deviation = (y.mean(), y.std()) if y.dtype.kind == "f" else (0.0, 1.0)
    Y = ((y - mean) / deviation)[:, None] if y.dtype.kind == "f" else np.eye(y.max() + 1)[y]
    gates = sample_gate_vectors(seed, X.shape[1] + 1, GATES)

    def fit(X, Y, lam, gated):
        make = ConvexGatedReLU if gated else ConvexReLU
        model = make(gates.copy(), c=Y.shape[1])
        solver = RFISTA(model, 1_000) if gated else AL(model, 500, 500)
        data = (rows(X).astype("float32"), Y.astype("float32"))
        model, _ = optimize_model(model, solver, Metrics(), *data, regularizer=NeuronGL1(lam))
        logging.getLogger().setLevel(logging.WARNING)
        return lambda X: model(rows(X).astype("float32"))

    X_fit, X_held, Y_fit, Y_held = train_test_split(X, Y, test_size=0.2, random_state=seed)
    errors = [np.square(fit(X_fit, Y_fit, lam, True)(X_held) - Y_held).mean() for lam in LAMBDAS]
    lam = LAMBDAS[int(np.argmin(errors))]

    def predictor(output):
        if y.dtype.kind == "f":
            return lambda X: mean + deviation * output(X)[:, 0]
        return lambda X: output(X).argmax(axis=1)

    return {
        f"pyscnn {kind}": predictor(fit(X, Y, lam, kind == "gated")) for kind in ("gated", "ReLU")
    }


FOREST = {"max_features": [0.33, "sqrt", 1.0], "min_samples_leaf": [1, 3]}
BOOSTING = {"learning_rate": [0.05, 0.1], "max_leaf_nodes": [7, 31]}
KERNEL = {"C": [1, 10, 100, 1000], "gamma": ["scale", 0.01, 0.03, 0.1, 0.3]}


def methods(regression, with_pyscnn):
    """Functions (X, y, seed) -> {name: predict}, in the order in which they take turns."""
    common = [ours, finer, ours_shrunk, other_betas, ours_cv, adamw]
    common += [pyscnn] if with_pyscnn else []
    if regression:
        rivals = {
            "RidgeCV": RidgeCV(np.logspace(-3, 3, 13)),
            "MLP": MLPRegressor(max_iter=1000),
            "MLP, early stopping": MLPRegressor(max_iter=1000, early_stopping=True),
            "RandomForest, grid": GridSearchCV(RandomForestRegressor(), FOREST),
            "HistGradientBoosting, grid": GridSearchCV(HistGradientBoostingRegressor(), BOOSTING),
            "SVM, grid": GridSearchCV(SVR(), KERNEL),
        }
    else:
        rivals = {
            "LogisticRegressionCV": LogisticRegressionCV(
                max_iter=2000, l1_ratios=(0,), use_legacy_attributes=False, scoring="neg_log_loss"
            ),
            "MLP": MLPClassifier(max_iter=1000),
            "MLP, early stopping": MLPClassifier(max_iter=1000, early_stopping=True),
            "RandomForest, grid": GridSearchCV(RandomForestClassifier(), FOREST),
            "HistGradientBoosting, grid": GridSearchCV(HistGradientBoostingClassifier(), BOOSTING),
            "SVM, grid": GridSearchCV(SVC(), KERNEL),
        }
    return [*common, *(partial(fitted, name, model) for name, model in rivals.items())]

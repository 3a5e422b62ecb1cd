"""Default fits where the targets are mostly or all noise, at beta="auto" and without its exception.

    python benchmarks/mostly_noise.py [FOLDER]

Targets of regression sets (scikit-learn's, and with FOLDER every reg-*.npz in it, arrays X and y),
standardised, with noise in place of all but a share of their variance; for classes whether that is
positive. Half of the rows are for training, 1,500 at most. "A tenth" is the beta of the rule with
that share of beta_max at most (log loss: a fifth), which it has where all does not seem to be
noise. Beside RidgeCV or LogisticRegressionCV, and MLPRegressor or MLPClassifier with early
stopping. Scores are R2, and the log loss as a share of that of the classes' shares, less 1, with
the sign changed. Five minutes. Writes results/mostly_noise.json.
"""

import itertools
import time
import warnings

import numpy as np
from problems import regression_sets
from report import command_line, save
from sklearn.base import clone
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import log_loss, r2_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor, auto_beta

SHARES, MAX_TRAIN, LIMIT = (0.0, 0.02, 0.1), 1_500, 60
LINEAR = {"regression": RidgeCV(np.logspace(-2, 5, 15)), "classes": LogisticRegressionCV()}
MLP = {
    "regression": MLPRegressor(early_stopping=True, max_iter=1000, random_state=0),
    "classes": MLPClassifier(early_stopping=True, max_iter=1000, random_state=0),
}
OURS = {
    "regression": ConvexBNRegressor(max_time=LIMIT, random_state=0),
    "classes": ConvexBNClassifier(max_time=LIMIT, random_state=0),
}


def score(kind, model, y_train, X, y):
    if kind == "regression":
        return r2_score(y, model.predict(X))
    positive = np.full(len(y), np.mean(y_train))
    return 1 - log_loss(y, model.predict_proba(X)) / log_loss(y, positive)


def measure(kind, train, test):
    """Scores and seconds of every method."""
    found = {}

    def add(name, model):
        begin = time.perf_counter()
        model.fit(*train)
        found[f"{name}, seconds"] = time.perf_counter() - begin
        found[name] = score(kind, model, train[1], *test)
        return model

    model = add("auto", clone(OURS[kind]))
    found["neurons"] = model.n_neurons_
    noisy = auto_beta.NOISY
    try:
        auto_beta.NOISY = 1.0  # no estimate is above it
        model = add("a tenth", clone(OURS[kind]))
    finally:
        auto_beta.NOISY = noisy
    found["neurons, a tenth"] = model.n_neurons_
    add("linear", make_pipeline(StandardScaler(), clone(LINEAR[kind])))
    add("MLP", make_pipeline(StandardScaler(), clone(MLP[kind])))
    return found


def main(folder=None):
    warnings.simplefilter("ignore")
    rows = []
    for (name, (X, y)), share in itertools.product(regression_sets(folder), SHARES):
        rng = np.random.default_rng(0)
        y = np.sqrt(share) * (y - y.mean()) / y.std()
        y = y + np.sqrt(1 - share) * rng.standard_normal(len(y))
        order = rng.permutation(len(y))
        train = order[: min(len(y) // 2, MAX_TRAIN)]
        test = order[len(y) // 2 :]
        for kind in ("regression", "classes"):
            target = y if kind == "regression" else y > 0
            found = measure(kind, (X[train], target[train]), (X[test], target[test]))
            rows.append({"kind": kind, "data": name, "signal": share, "n": len(train)} | found)
            print(rows[-1], flush=True)
    save("mostly_noise", rows)


if __name__ == "__main__":
    command_line(main, __doc__)

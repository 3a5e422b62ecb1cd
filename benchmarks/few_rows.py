"""beta="auto" where rows are few: held-out scores beside those at a fixed share of beta_max.

    python benchmarks/few_rows.py [FOLDER]

Training rows are 0.8 to 4 times the d + 1 columns of Q, three draws of each, at most 1,000 other
rows to test on. Regression sets are scikit-learn's, and with FOLDER every reg-*.npz in it (arrays X
and y), their columns with all squares and products, standardised; sets of classes those of at least
ten columns that vary, with FOLDER every such clf-*.npz too. Scores are R2 and accuracy, and the log
loss as a multiple of that of the shares of the classes in the training rows. "Fixed" is a tenth of
beta_max, for classes a fifth, which the rule takes at most where rows are many; "best" the best of
seven shares, chosen by these very scores. Ten minutes with FOLDER. Writes
results/few_rows_KIND.json.
"""

import warnings

import numpy as np
from problems import class_sets, regression_sets
from report import command_line, save
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor, convex_bn_path
from skconvexbn.auto_beta import LOG_LOSS, SQUARED_ERROR

RATIOS, DRAWS, N_TEST, LEAST_COLUMNS = (0.8, 1.0, 1.1, 1.5, 2.0, 4.0), range(3), 1_000, 10
SHARES = 0.98, 0.9, 0.75, 0.5, 0.3, 0.1, 0.03


def with_products(X):
    """Standardised columns, their squares and products, as far as these vary."""
    X = StandardScaler().fit_transform(X)
    X = PolynomialFeatures(2, include_bias=False).fit_transform(X)
    return X[:, np.ptp(X, axis=0) > 1e-9]


def tasks(folder):
    """Kind, name, X, y."""
    for name, (X, y) in regression_sets(folder):
        yield "regression", name, with_products(X), y
    for name, (X, y) in class_sets(folder):
        if X.shape[1] >= LEAST_COLUMNS:
            yield "classes", name, X[:, np.ptp(X, axis=0) > 0], np.unique(y, return_inverse=True)[1]


def scores(model, y_train, X, y):
    """R2, or accuracy and relative log loss."""
    if isinstance(model, ConvexBNRegressor):
        return {"R2": r2_score(y, model.predict(X))}
    labels = np.arange(y.max() + 1)
    p = np.full((len(y), len(labels)), 1e-9)  # of classes without a training row
    p[:, model.classes_] = np.maximum(model.predict_proba(X), 1e-9)
    shares = np.maximum(np.bincount(y_train, minlength=len(labels)) / len(y_train), 1e-9)
    seen = np.isin(y, model.classes_)
    constant = log_loss(y[seen], np.tile(shares, (seen.sum(), 1)), labels=labels)
    loss = log_loss(y[seen], p[seen] / p[seen].sum(axis=1, keepdims=True), labels=labels)
    return {"accuracy": accuracy_score(y, p.argmax(axis=1)), "log loss": loss / constant}


def measure(kind, X, y, n, seed):
    """Scores at beta="auto", at the fixed share of beta_max, and the best of all shares."""
    order = np.random.default_rng(seed).permutation(len(y))
    train, test = order[:n], order[n : n + N_TEST]
    X_train, y_train = X[train], y[train]
    if kind == "classes" and len(np.unique(y_train)) < 2:
        return None
    estimator = ConvexBNRegressor if kind == "regression" else ConvexBNClassifier
    loss, least = (
        ("squared_error", SQUARED_ERROR.share)
        if kind == "regression"
        else ("log_loss", LOG_LOSS.share)
    )
    one = convex_bn_path(X_train, y_train, betas=1, loss=loss, random_state=0)

    def at(beta):
        model = estimator(beta=beta, random_state=0).fit(X_train, y_train)
        return model, scores(model, y_train, X[test], y[test])

    auto, taken = at("auto")
    fixed = at(least * one.beta[0])[1]
    along = [at(share * one.beta[0])[1] for share in SHARES]
    row = {"backend": auto.backend_, "share": auto.beta_ / one.beta[0]}
    for key in taken:
        best = (min if key == "log loss" else max)(found[key] for found in along)
        row |= {f"{key}, auto": taken[key], f"{key}, fixed": fixed[key], f"{key}, best": best}
    return row


def main(folder=None):
    warnings.simplefilter("ignore")
    rows = []
    for kind, name, X, y in tasks(folder):
        for ratio in RATIOS:
            n = int(ratio * (X.shape[1] + 1))
            for seed in DRAWS if len(y) >= n + 50 else ():
                found = measure(kind, X, y, n, seed)
                if found:
                    rows.append({"kind": kind, "data": name, "n / (d + 1)": ratio, "n": n} | found)
                    print(rows[-1], flush=True)
    for kind in ("regression", "classes"):
        save(f"few_rows_{kind}", [row for row in rows if row["kind"] == kind])


if __name__ == "__main__":
    command_line(main, __doc__)

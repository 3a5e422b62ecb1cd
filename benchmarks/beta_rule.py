"""Held-out score at rules for beta="auto", whose form and constants come from here.

    python benchmarks/beta_rule.py regression|classes|outputs [FOLDER]

The rule is judged on other targets than these (rivals.py, accuracy.py), if on some of the same
features. Here columns of the sets are predicted from the other columns, of regression sets also
from the target: of each such set up to four columns of more than 20 values, in an order drawn once,
of a set of classes three. Those of a kurtosis above 12 are left out, but for classes; these are
cut into two, three or five intervals of equal count. The sets are scikit-learn's; with FOLDER also
every reg-*.npz and clf-*.npz in it (arrays X and y), at most 800 rows of each, 75 % for training,
two random splits. Outputs are two and four columns of any set at once, and three of generated
sets; their unit is the root of the sum of their variances. A rule should hold for few rows and
many, of few columns and many: so there are generated sets too, of 300 to 4,000 training rows and 4
to 100 columns.

Scores are those of a path of 14 betas from beta_max to 1e-4 of it (generated sets: 1e-3), at a
rule's beta by interpolation in log(beta), beyond the path those at its end; R2 below -0.5 counts as
that. As in beta="auto" n is at most 200 q (for classes 100 q) in all rules (noisy_rows.py), and
they are multiplied by t^2, t = n / (n - q), and held to a share of beta_max, a larger one where all
seems to be noise. Each has the constant that is best in the mean, for classes of accuracy less log
loss; "others'" is the score with constants that were best on the other sets, "many rows" that of
sets with more than 2,000. "The best beta of each" chooses by these very scores. nu is the share of
noise (skconvexbn/auto_beta.py). Writes results/beta_rule_KIND.json and
results/beta_rule_KIND_rules.json.
"""

import sys
import warnings

import numpy as np
from problems import class_sets, regression_sets
from report import command_line, save, table
from rivals import make_problem, split_scaled
from scipy.stats import kurtosis
from sklearn.datasets import make_friedman3
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss, r2_score

from skconvexbn import convex_bn_path
from skconvexbn.auto_beta import ALL_NOISE, LOG_LOSS, SQUARED_ERROR, noise_share, noisiness

KINDS = "regression", "classes", "outputs"
SPLITS = range(2)
N_BETAS, EPS, GENERATED_EPS, MAX_ROWS = 14, 1e-4, 1e-3, 800
ROWS = 300, 1_200, 4_000  # for training
NETWORKS = ("network", 8, 0.3), ("network, much noise", 8, 1.5), ("network of many", 100, 0.5)
LEFT_OUT = "friedman1", "digits", "splice", "credit-g"  # independent columns, or indicators
CONSTANTS = np.geomspace(2**-12, 2**12, 97)
RULES = {
    "1": lambda n, q, beta_max, nu: 1.0,
    "beta_max": lambda n, q, beta_max, nu: beta_max,
    "sqrt(q) / beta_max": lambda n, q, beta_max, nu: q**0.5 / beta_max,
    "q / beta_max": lambda n, q, beta_max, nu: q / beta_max,
    "q n^-1/4": lambda n, q, beta_max, nu: q * n**-0.25,
    "nu^1.5 q / beta_max": lambda n, q, beta_max, nu: nu**1.5 * q / beta_max,
    "nu^1.5 q": lambda n, q, beta_max, nu: nu**1.5 * q,
    "nu^1.5 q n^-1/2": lambda n, q, beta_max, nu: nu**1.5 * q * n**-0.5,
    "nu q n^-1/4": lambda n, q, beta_max, nu: nu * q * n**-0.25,
    "nu^2 q n^-1/4": lambda n, q, beta_max, nu: nu**2 * q * n**-0.25,
    "nu^1.5 sqrt(q) n^-1/4": lambda n, q, beta_max, nu: nu**1.5 * q**0.5 * n**-0.25,
    "nu^1.5 q n^-1/4": lambda n, q, beta_max, nu: nu**1.5 * q * n**-0.25,
}
TAKEN = "nu^1.5 q n^-1/4"
MANY = 2_000  # rows
warnings.simplefilter("ignore", ConvergenceWarning)


def tables(rng, folder):
    """Whether a set is one of regression, with its target as a feature, name, features, targets.

    These are the columns that may be predicted from the others.
    """
    sets = [(True, *s) for s in regression_sets(folder)]
    sets += [(False, *s) for s in class_sets(folder)]
    for with_target, name, (X, y) in sets:
        if name in LEFT_OUT:
            continue
        rows = rng.permutation(len(y))[:MAX_ROWS]
        X, y = X[rows].astype(float), y[rows]
        many = [j for j, column in enumerate(X.T) if len(np.unique(column)) > 20]
        yield with_target, name, np.column_stack([X, y]) if with_target else X, many


def tasks(kind, folder):
    """Name of set, column or number of outputs, features, target."""
    rng = np.random.default_rng(11 if kind == "outputs" else 7)
    for with_target, name, X, many in tables(rng, folder):
        if kind == "outputs":
            light = [j for j in many if kurtosis(X[:, j], fisher=False) < 12]
            for C in (2, 4):
                if len(light) >= C and X.shape[1] - with_target >= C + 2:
                    columns = rng.permutation(light)[:C]
                    yield name, C, np.delete(X, columns, axis=1), X[:, columns]
            continue
        for j in rng.permutation(many)[: 4 if with_target else 3]:
            others, target = np.delete(X, j, axis=1), X[:, j]
            k = int(rng.choice([2, 2, 3, 5]))
            if kind == "regression" and kurtosis(target, fisher=False) < 12:
                yield name, int(j), others, target
            if kind == "classes":
                yield name, int(j), others, intervals(target, k)


def generated(kind):
    """As tasks, with known functions and much or little noise; all are split once."""
    for name, X, Y in functions(3 if kind == "outputs" else 1):
        if kind == "regression":
            yield name, 0, X, Y[:, 0]
        if kind == "outputs":
            yield name, 3, X, Y
        if kind == "classes":
            for k in 2, 3:
                yield name, k, X, intervals(Y[:, 0], k)


def functions(C):
    """Name, features, C targets."""
    for rows in ROWS:
        n = rows * 4 // 3
        if C == 1:
            X, y = make_friedman3(n, noise=0.1, random_state=0)
            yield "friedman3", X, y[:, None]
        for name, columns, noise in NETWORKS:
            rng = np.random.default_rng(0)
            X, H = rng.standard_normal((n, columns)), rng.standard_normal((columns, 20))
            signal = np.maximum(X @ H, 0) @ rng.standard_normal((20, C))
            yield name, X, signal / signal.std(axis=0) + noise * rng.standard_normal((n, C))


def intervals(target, k):
    """Labels of k intervals of equal count."""
    return np.argsort(np.argsort(target, kind="stable")) * k // len(target)


def scores(regression, model, X, y):
    if regression:
        return {"score": max(r2_score(y, model.predict(X)), -0.5)}
    p = model.predict_proba(X)
    return {
        "score": accuracy_score(y, model.classes_[p.argmax(axis=1)]),
        "log loss": log_loss(y, p, labels=model.classes_),
    }


def along_beta(regression, X, y, split, eps):
    """What rules depend on, and the scores at each beta of a path."""
    X_train, X_test, y_train, y_test = split_scaled(X, y, split)
    problem = make_problem(X_train, y_train, 0.0)
    path = convex_bn_path(
        X_train,
        y_train,
        betas=N_BETAS,
        eps=eps,
        loss="squared_error" if regression else "log_loss",
        early_stopping=False,
        return_networks=True,
        random_state=0,
        max_time=60.0,
    )
    found = [scores(regression, model, X_test, y_test) for model in path.network]
    n, q = problem.Q.shape
    betas = path.beta / (np.sqrt(y_train.var(axis=0).sum()) if regression else 1.0)
    nu = noise_share(problem)
    row = {"n": n, "q": q, "beta_max": betas[0], "nu": nu, "noisiness": noisiness(problem, nu)}
    return row | {"beta": betas.tolist()} | {k: [f[k] for f in found] for k in found[0]}


def judge(rows, rule, constant=None):
    """The best constant of a rule, unless it is given, and its scores."""
    constants = CONSTANTS if constant is None else [constant]
    data = np.array([r["data"] for r in rows])
    taken = LOG_LOSS if "log loss" in rows[0] else SQUARED_ERROR
    unit = [
        RULES[rule](min(r["n"], taken.rows * r["q"]), r["q"], r["beta_max"], r["nu"]) for r in rows
    ]
    t = np.array([1 / (1 - r["q"] / r["n"]) for r in rows])  # auto_beta.inflation
    unit = np.array(unit) * t**2
    noisy = taken.share + (ALL_NOISE - taken.share) * np.array([r["noisiness"] for r in rows])
    most = np.maximum(noisy, 1 - t**-0.5) * [r["beta_max"] for r in rows]
    betas = np.log(np.minimum(np.outer(constants, unit), most))

    def at(key):
        """Scores (constants, rows)."""
        along = [(np.log(r["beta"][::-1]), r[key][::-1]) for r in rows]
        return np.array([np.interp(betas[:, i], *known) for i, known in enumerate(along)]).T

    score = at("score")
    loss = at("log loss") if "log loss" in rows[0] else None
    good = score if loss is None else score - loss
    best, others = good.mean(axis=1).argmax(), np.empty(len(rows))
    for name in set(data):
        own = data == name
        others[own] = score[good[:, ~own].mean(axis=1).argmax(), own]
    found = {"rule": rule, "constant": float(constants[best]), "score": score[best].mean()}
    found["others'"] = others.mean() if constant is None else np.nan
    found["many rows"] = score[best, [r["n"] > MANY for r in rows]].mean()
    return found if loss is None else found | {"log loss": loss[best].mean()}


def show(row):
    print(table([{k: v for k, v in row.items() if not isinstance(v, list)}]).splitlines()[-1])


def main(kind, folder=None):
    if kind not in KINDS:
        sys.exit(f"The first argument is regression, classes or outputs, got {kind!r}.")
    rows, regression = [], kind != "classes"
    for name, column, X, y in tasks(kind, folder):
        for split in SPLITS:
            row = {"data": name, "column": column, "split": split}
            rows.append(row | along_beta(regression, X, y, split, EPS))
            show(rows[-1])
    for name, column, X, y in generated(kind):
        row = {"data": name, "column": column, "split": 0}
        rows.append(row | along_beta(regression, X, y, 0, GENERATED_EPS))
        show(rows[-1])
    save(f"beta_rule_{kind}", rows)
    compare(kind, rows)


def compare(kind, rows):
    """The table of rules."""
    found = [judge(rows, rule) for rule in RULES]
    taken = LOG_LOSS if kind == "classes" else SQUARED_ERROR
    found.append(judge(rows, TAKEN, taken.constant))
    best = {"rule": "the best beta of each", "constant": np.nan}
    best |= {"score": np.mean([max(r["score"]) for r in rows]), "others'": np.nan}
    best |= {"many rows": np.mean([max(r["score"]) for r in rows if r["n"] > MANY])}
    if kind == "classes":
        best["log loss"] = np.mean([min(r["log loss"]) for r in rows])
    save(f"beta_rule_{kind}_rules", [*found, best])


if __name__ == "__main__":
    command_line(main, __doc__, least=1)

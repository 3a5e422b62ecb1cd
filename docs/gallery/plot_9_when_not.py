"""
When not to use it
==================

One hidden layer of ReLUs on whitened inputs suits responses that are smooth along few directions.
Four kinds of data, one of them of that kind, beside three other models.
"""

# %%
# Data
# ----
# 300 rows and eight features to learn from, 2,000 to judge. Noise has a tenth of the variance of
# the response.

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from skconvexbn import ConvexBNRegressor

rng = np.random.default_rng(0)
N, D = 300, 8


def smooth(X):
    """Two directions that interact."""
    return np.sin(X[:, :3].sum(axis=1)) + 0.5 * (X[:, 3] + X[:, 4]) ** 2 / 2


def steps(X):
    """Thresholds of single features, as in rules."""
    return 2.0 * (X[:, 0] > 0.3) * (X[:, 1] > -0.2) - 1.5 * (X[:, 2] > 0.5) + (X[:, 3] < -0.5)


def linear(X):
    """A plane."""
    return X @ np.linspace(-1, 1, D)


def heavy(X):
    """A smooth function of features whose logarithms are the natural ones."""
    return np.tanh(X[:, 0]) + np.tanh(X[:, 1] - X[:, 2])


models = {
    "ConvexBNRegressor": lambda: ConvexBNRegressor(random_state=0),
    "random forest": lambda: RandomForestRegressor(random_state=0),
    "SVR": lambda: make_pipeline(StandardScaler(), SVR(C=10)),
    "ridge": lambda: make_pipeline(StandardScaler(), RidgeCV(np.geomspace(1e-2, 1e3, 11))),
}
cases = {
    "smooth,\nfew directions": (smooth, lambda X: X),
    "linear": (linear, lambda X: X),
    "steps of\nsingle features": (steps, lambda X: X),
    "heavy-tailed\nfeatures": (heavy, lambda X: np.exp(1.5 * X)),
}
score = np.zeros((len(models), len(cases)))
seconds = np.zeros_like(score)
for j, (response, distort) in enumerate(cases.values()):
    X = rng.standard_normal((N + 2000, D))
    f = response(X)
    y = f + np.sqrt(0.1) * f.std() * rng.standard_normal(len(f))
    X = distort(X)
    for i, make in enumerate(models.values()):
        begin = time.perf_counter()
        model = make().fit(X[:N], y[:N])
        seconds[i, j] = time.perf_counter() - begin
        score[i, j] = model.score(X[N:], y[N:])
# The last X and y are the heavy-tailed ones.
logged = models["ConvexBNRegressor"]().fit(np.log(X[:N]), y[:N]).score(np.log(X[N:]), y[N:])
for name, row, spent in zip(models, score, seconds, strict=True):
    shown = "".join(f"{value:8.3f}" for value in row)
    print(f"{name:18s} R2 {shown}   {spent.mean():6.2f} s a fit")
print(f"ConvexBNRegressor on the logarithms of the heavy-tailed features: R2 {logged:.3f}")

# %%
# Held-out R2
# -----------
# The noise leaves 0.91 to be reached. Steps belong to trees; a plane needs no network; heavy tails
# want another scale first, as the last line above shows (where no logarithm suggests itself,
# ``QuantileTransformer``).

figure, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
at = np.arange(len(cases))
for i, (name, marker) in enumerate(zip(models, "os^D", strict=True)):
    ax.scatter(at + 0.12 * (i - 1.5), score[i].clip(-0.25), s=60, marker=marker, label=name)
ax.axhline(1 / 1.1, color="0.5", ls=":")
ax.text(len(cases) - 0.55, 1 / 1.1, "limit of the noise", va="bottom", ha="right", fontsize=9)
ax.set_xticks(at, list(cases))
ax.set(ylabel="R2 on held-out rows", xlim=(-0.5, len(cases) - 0.5))
ax.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.12), fontsize=9)
for x in at[:-1] + 0.5:
    ax.axvline(x, color="0.85", lw=0.8)
plt.show()

"""
Spread over seeds: beside MLPs
==============================

``MLPClassifier`` and ``MLPRegressor`` descend from random weights and end in different networks.
Here the seed draws only the starts of a search, and the objective has one best value.
"""

# %%
# Six seeds of each
# -----------------

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor

SEEDS = range(6)
warnings.simplefilter("ignore", ConvergenceWarning)  # the MLPs', on their epochs


def fits(model, X, y):
    """One fit for each seed."""
    models = [make_pipeline(StandardScaler(), model(seed)) for seed in SEEDS]
    return [pipeline.fit(X, y) for pipeline in models]


# %%
# Regression: standard deviation of predictions
# ---------------------------------------------
# On held-out rows of the diabetes data, in units of the standard deviation of y.

X, y = load_diabetes(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y / y.std(), train_size=200, random_state=0)
regressors = {
    "MLPRegressor": lambda seed: MLPRegressor(max_iter=500, random_state=seed),
    "ConvexBNRegressor": lambda seed: ConvexBNRegressor(beta=1.0, random_state=seed),
}
spread = {}
for name, model in regressors.items():
    predicted = np.array([m.predict(X_test) for m in fits(model, X_train, y_train)])
    spread[name] = predicted.std(axis=0)
    print(f"{name}: median {np.median(spread[name]):.1e}, largest {spread[name].max():.1e}")

# %%
# Classification: where the decision changes
# ------------------------------------------
# Two moons, and the line of probability 1/2 for each seed.

X2, y2 = make_moons(120, noise=0.25, random_state=0)
classifiers = {
    "MLPClassifier": lambda seed: MLPClassifier(max_iter=500, random_state=seed),
    "ConvexBNClassifier": lambda seed: ConvexBNClassifier(beta=0.1, random_state=seed),
}
boundaries = {name: fits(model, X2, y2) for name, model in classifiers.items()}

figure = plt.figure(figsize=(9, 7), layout="constrained")
grid = figure.add_gridspec(2, 2, height_ratios=(1.2, 1))
XX = np.meshgrid(np.linspace(-1.9, 2.8, 200), np.linspace(-1.4, 1.9, 200))
points = np.stack([axis.ravel() for axis in XX], axis=1)
for k, (name, models) in enumerate(boundaries.items()):
    ax = figure.add_subplot(grid[0, k])
    for label, marker in ((0, "o"), (1, "^")):
        ax.scatter(
            *X2[y2 == label].T, s=14, marker=marker, color=f"C{label}", alpha=0.6, label=label
        )
    probability = np.array([m.predict_proba(points)[:, 1] for m in models])
    for p in probability:
        ax.contour(*XX, p.reshape(XX[0].shape), levels=[0.5], colors="k", linewidths=0.9)
    at = np.argmax(probability.std(axis=0))
    ax.set_title(f"{name}, six seeds\nlargest spread of p: {probability.std(axis=0)[at]:.1e}")
    ax.set(xticks=[], yticks=[])
    ax.legend(title="class", loc="upper right")
ax = figure.add_subplot(grid[1, :])
for (name, values), style in zip(spread.items(), ("--", "-"), strict=True):
    ax.ecdf(values, label=name, ls=style, lw=2)
ax.set(
    xscale="log",
    xlabel="standard deviation of a prediction over six seeds (standard deviations of y)",
    ylabel="share of held-out rows",
)
ax.legend(loc="center left")
plt.show()

"""
Quick start: three classes in a plane
=====================================

A classifier on two columns of the wine data: its decision, its neurons, and how far its objective
can be from the best of all networks.
"""

# %%
# Fit and certificate
# -------------------
# No learning rate, epochs or width: the number of neurons is part of the solution. ``beta`` is left
# to its rule.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

from skconvexbn import ConvergenceDisplay, ConvexBNClassifier, NeuronsDisplay

wine = load_wine(as_frame=True)
X = wine.data[["flavanoids", "color_intensity"]].to_numpy()
y = wine.target_names[wine.target]
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)

model = ConvexBNClassifier(random_state=0).fit(X_train, y_train)
print(f"test accuracy {model.score(X_test, y_test):.3f}, {model.n_neurons_} neurons")
print(f"objective {model.objective_:.4f}, of any network at least {model.dual_objective_:.4f}")
print(f"gap {model.dual_gap_:.1e}, relative to: {model.certificate_}")

# %%
# Picture
# -------
# Each thin line is where a neuron switches on. Between the lines the logits are linear.

low, high = X.min(axis=0) - 0.3, X.max(axis=0) + 0.3
grid = np.meshgrid(np.linspace(low[0], high[0], 300), np.linspace(low[1], high[1], 300))
points = np.stack([axis.ravel() for axis in grid], axis=1)
label = np.searchsorted(model.classes_, model.predict(points)).reshape(grid[0].shape)

figure, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
colours = ["tab:blue", "tab:orange", "tab:green"]
ax.contourf(*grid, label, levels=[-0.5, 0.5, 1.5, 2.5], colors=colours, alpha=0.2)
ax.contour(*grid, label, levels=[0.5, 1.5], colors="k", linewidths=1.5)
for w, b in zip(model.coefs_[0].T, model.intercepts_[0], strict=True):
    if np.abs(w).max() > 0:  # a neuron may be a constant
        point = -b * w / (w @ w)
        ax.axline(point, point + np.array([-w[1], w[0]]), color="0.4", lw=0.7, ls=":")
for name, colour, marker in zip(model.classes_, colours, "os^", strict=True):
    rows = X_train[y_train == name]
    ax.scatter(*rows.T, s=22, color=colour, marker=marker, edgecolor="k", lw=0.4, label=name)
ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
ax.set(xlabel="flavanoids", ylabel="colour intensity")
ax.set_title(f"{model.n_neurons_} neurons; dotted: where each switches on", fontsize=10)
ax.legend(loc="upper right")
plt.show()

# %%
# Neurons
# -------
# :class:`~skconvexbn.NeuronsDisplay`: on which training rows each neuron is active. Neurons differ
# in the rows they part, mostly along the border of a class.

NeuronsDisplay.from_estimator(model, X_train, y_train, kind="activations")
plt.show()

# %%
# Convergence
# -----------
# :class:`~skconvexbn.ConvergenceDisplay`: objective and lower bound after each round of the solver,
# and their gap, here of a fit to all columns and a gap of 1e-4. The dashed gap is that of each
# network to the bound certified in the end.

X_train, _, y_train, _ = train_test_split(wine.data, y, random_state=0, stratify=y)
fine = ConvexBNClassifier(tol=1e-4, random_state=0).fit(X_train, y_train)
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
ConvergenceDisplay.from_estimator(fine, ax=axes[0])
ConvergenceDisplay.from_estimator(fine, kind="gap", ax=axes[1])
plt.show()

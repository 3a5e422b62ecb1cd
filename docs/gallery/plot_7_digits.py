"""
Digits, and the neurons as images
=================================

The columns of ``coefs_[0]`` are weights of pixels. Trained on digits they can be looked at.
"""

# %%
# A fit to 600 digits
# -------------------
# Without scaling the pixels and with ``shrinkage=1`` the weights are smooth enough to be seen;
# batch normalisation alone (``shrinkage=0``) weighs small directions as much as large ones.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skconvexbn import ConvexBNClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=600, random_state=0, stratify=y
)
model = ConvexBNClassifier(beta=0.3, shrinkage=1.0, scale=False, random_state=0)
model.fit(X_train, y_train)
print(f"accuracy on {len(y_test)} other digits: {model.score(X_test, y_test):.3f}")
print(f"{model.n_neurons_} neurons, objective {model.objective_:.2f}, gap {model.dual_gap_:.1e}")

# %%
# The twenty largest neurons
# --------------------------
# Ordered by the norm of their output weights. Above each: the digits it speaks for (+) and against
# (-), those with more than half of its largest weight.


def meaning(g):
    """Digits with large output weights."""
    large = np.abs(g) > 0.5 * np.abs(g).max()
    pro, contra = (np.flatnonzero(large & (sign * g > 0)) for sign in (1, -1))
    return " ".join([f"+{k}" for k in pro] + [f"\N{MINUS SIGN}{k}" for k in contra])


order = np.argsort(-np.linalg.norm(model.coefs_[1], axis=1))[:20]
figure, axes = plt.subplots(4, 5, figsize=(7.5, 6.8), layout="constrained")
limit = np.abs(model.coefs_[0][:, order]).max()
for ax, j in zip(axes.flat, order, strict=True):
    image = ax.imshow(model.coefs_[0][:, j].reshape(8, 8), cmap="cividis", vmin=-limit, vmax=limit)
    ax.set_title(meaning(model.coefs_[1][j]), fontsize=9)
    ax.set(xticks=[], yticks=[])
figure.colorbar(image, ax=axes, label="weight of a pixel", shrink=0.6)
plt.show()

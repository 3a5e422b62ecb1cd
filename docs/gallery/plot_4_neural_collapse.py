"""
Neural Collapse in the closed form
==================================

With as many directions as samples the optimal classifier is known in closed form. Its hidden
features do what is called Neural Collapse: samples of a class share one feature vector, and the
class means point in orthogonal directions, or, centred, to the corners of a simplex.
"""

# %%
# The fit
# -------
# Forty-five digits of five classes, 64 pixels and a little noise, so that no pixel is constant. One
# neuron a class, as theory section 5 says for squared error without intercept.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics.pairwise import cosine_similarity

from skconvexbn import ConvexBNClassifier

K, PER_CLASS = 5, 9
X, y = load_digits(return_X_y=True)
rows = np.concatenate([np.flatnonzero(y == k)[:PER_CLASS] for k in range(K)])
X, y = X[rows] + 0.1 * np.random.default_rng(0).standard_normal((K * PER_CLASS, 64)), y[rows]

model = ConvexBNClassifier(loss="squared_error", fit_intercept=False, beta=0.5).fit(X, y)
print(f"{model.backend_}, {model.n_neurons_} neurons, gap {model.dual_gap_:.0e}")

# %%
# Features and class means
# ------------------------
# Features are the outputs of the hidden layer. Within a class they do not vary. Their means are
# orthogonal; less their common mean the cosines are :math:`-1 / (K - 1)`, those of a simplex. Each
# neuron's output weights point to the class that it is on for.

features = np.maximum(X @ model.coefs_[0] + model.intercepts_[0], 0.0)
means = np.array([features[y == k].mean(axis=0) for k in range(K)])
within = np.square(features - means[y]).sum() / np.square(features - features.mean(axis=0)).sum()
cosines = cosine_similarity(means)
centred = cosine_similarity(means - means.mean(axis=0))
off = ~np.eye(K, dtype=bool)
print(f"variance within classes, share of the total: {within:.1e}")
print(f"cosines of the class means: largest {np.abs(cosines[off]).max():.1e}")
print(f"centred: {centred[off].min():.6f} to {centred[off].max():.6f}, simplex {-1 / (K - 1)}")
print("output weights:", np.array2string(model.coefs_[1], precision=3).replace("\n", "\n   "))

# %%
# Before and after
# ----------------
# Cosines between all samples, in the order of their classes: of the centred pixels, of the
# features, and of the centred features.

figure, axes = plt.subplots(1, 3, figsize=(10, 3.7), layout="constrained")
pictures = {
    "pixels, centred": X - X.mean(axis=0),
    "features: orthogonal": features,
    "features, centred: a simplex": features - features.mean(axis=0),
}
for ax, (title, points) in zip(axes, pictures.items(), strict=True):
    image = ax.imshow(cosine_similarity(points), vmin=-1, vmax=1, cmap="cividis")
    middle = np.arange(K) * PER_CLASS + (PER_CLASS - 1) / 2
    ax.set_xticks(middle, range(K))
    ax.set_yticks(middle, range(K))
    ax.set(title=title, xlabel="digit")
axes[0].set_ylabel("digit")
figure.colorbar(image, ax=axes, label="cosine", shrink=0.85)
plt.show()

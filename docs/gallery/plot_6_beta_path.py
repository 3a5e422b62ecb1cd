"""
The path along beta, with gaps
==============================

:func:`~skconvexbn.convex_bn_path` fits from the smallest beta without neurons down, each fit
starting from the neurons of the last.
"""

# %%
# Every point has a certificate.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

from skconvexbn import convex_bn_path

X, y = load_diabetes(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=250, random_state=0)
path = convex_bn_path(
    X_train, y_train, betas=8, eps=0.1, tol=1e-3, random_state=0, return_networks=True
)
train = 1 - path.loss / path.zero_loss
test = [r2_score(y_test, network.predict(X_test)) for network in path.network]
best = int(np.argmax(test))
print(f"largest gap {np.max(path.dual_gap / path.zero_loss):.1e} of the zero model's loss")
print(f"R2 on held-out rows is largest, {test[best]:.3f}, at beta {path.beta[best]:.0f}")

figure, axes = plt.subplots(2, 2, figsize=(9.5, 6), sharex=True, layout="constrained")
(objective, gap), (neurons, score) = axes
objective.plot(path.beta, path.objective / path.zero_loss, "o-", color="tab:blue")
objective.set_ylabel("objective (1: no neurons)")
gap.plot(path.beta, np.maximum(path.dual_gap / path.zero_loss, 1e-7), "D-", color="tab:red")
gap.axhline(1e-3, color="0.4", ls=":", label="tol")
gap.set(yscale="log", ylabel="duality gap, same unit", ylim=(5e-8, 1e-2))
gap.legend()
neurons.plot(path.beta, path.n_neurons, "s-", color="tab:green")
neurons.set_ylabel("neurons")
score.plot(path.beta, train, "o-", color="tab:blue", label="training rows")
score.plot(path.beta, test, "x--", color="tab:orange", label="held-out rows")
score.axvline(path.beta[best], color="0.4", ls=":", label="best")
score.set_ylabel("R2")
score.legend()
for ax in (neurons, score):
    ax.set(xscale="log", xlabel="beta (logarithmic)")
    ax.set_xticks([100, 200, 400, 800], [100, 200, 400, 800])
    ax.minorticks_off()
plt.show()

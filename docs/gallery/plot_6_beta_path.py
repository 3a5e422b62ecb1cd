"""
The path along beta, with gaps
==============================

:func:`~skconvexbn.convex_bn_path` fits from the smallest beta without neurons down, each fit
starting from the neurons of the last. :class:`~skconvexbn.RegularizationPathDisplay` draws it.
"""

# %%
# Every point has a certificate
# -----------------------------
# The band between objective and lower bound is too thin to be seen here: the gap is below ``tol``,
# a thousandth of the loss of the model without neurons, all along.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

from skconvexbn import ConvexBNRegressorCV, RegularizationPathDisplay, convex_bn_path

X, y = load_diabetes(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=250, random_state=0)
path = convex_bn_path(
    X_train, y_train, betas=8, eps=0.1, tol=1e-3, random_state=0, return_networks=True
)
train = 1 - path.loss / path.zero_loss
test = [r2_score(y_test, network.predict(X_test)) for network in path.network]
best = int(np.argmax(test))
print(f"largest gap {np.max(path.dual_gap / path.zero_loss):.1e} of the loss without neurons")
print(f"R2 on held-out rows is largest, {test[best]:.3f}, at beta {path.beta[best]:.0f}")

figure, axes = plt.subplots(2, 2, figsize=(9.5, 6), sharex=True, layout="constrained")
(objective, gap), (neurons, score) = axes
display = RegularizationPathDisplay.from_path(path, ax=objective)
display.plot(kind="n_neurons", ax=neurons, line_kw={"color": "tab:green"})
gap.plot(path.beta, np.maximum(path.dual_gap / path.zero_loss, 1e-7), "D-", color="tab:red", ms=4)
gap.axhline(1e-3, color="0.4", ls=":", label="tol")
gap.set(yscale="log", ylabel="gap / loss without neurons", ylim=(5e-8, 1e-2))
gap.legend()
score.plot(path.beta, train, "o-", ms=4, label="training rows")
score.plot(path.beta, test, "x--", color="tab:orange", label="held-out rows")
score.axvline(path.beta[best], color="0.4", ls=":", label="best")
score.set(xlabel="beta", ylabel="R2")
score.legend()
objective.set_xlabel("")
plt.show()

# %%
# Scores of a cross-validation
# ----------------------------
# The same display of a search has a line for each rank and shrinkage. The star is the candidate
# that was chosen and fitted to all rows.

search = ConvexBNRegressorCV(
    betas=[800.0, 400.0, 200.0, 100.0, 50.0, 25.0], shrinkages=(0.0, 1.0), cv=4, random_state=0
)
search.fit(X_train, y_train)
print(f"R2 on held-out rows {search.score(X_test, y_test):.3f} with {search.best_params_}")

figure, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
RegularizationPathDisplay.from_estimator(search, negate_score=True, ax=ax)
plt.show()

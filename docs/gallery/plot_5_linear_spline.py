"""
With one feature the network is a linear spline
===============================================

A ReLU network of one variable is piecewise linear. How many pieces the best one has, and where its
kinks are, is part of the solution.
"""

# %%
# Globally optimal splines
# ------------------------
# Thirty points have 60 arrangements, all of them in the program: the gap is relative to networks of
# any width. Neurons cost their change of slope and their shift. With a large ``bias_scale`` the
# shift is free and the penalty is the sum of the changes of slope, that of linear splines. A kink
# between two data points can then be exchanged for kinks at the two at no cost, so that one of the
# best networks has all its kinks at data points. With ``bias_scale=1``, the paper's penalty, the
# shift has its price and kinks may be better between.

import matplotlib.pyplot as plt
import numpy as np

from skconvexbn import ConvexBNRegressor

rng = np.random.default_rng(1)
x = np.sort(rng.uniform(-2, 2, 30))
y = np.sin(2.5 * x) + 0.15 * rng.standard_normal(30)


def kinks(model):
    """Where neurons switch on, inside the range of the data."""
    W, b = model.coefs_[0][0], model.intercepts_[0]
    at = -b[W != 0] / W[W != 0]
    return np.unique(np.round(at[(at > x[0] + 1e-4) & (at < x[-1] - 1e-4)], 4))


figure, axes = plt.subplots(
    2, 2, figsize=(9.5, 6.2), sharex=True, sharey=True, layout="constrained"
)
grid = np.linspace(-2.2, 2.2, 1000)
for row, bias_scale in zip(axes, (1000.0, 1.0), strict=True):
    for ax, beta in zip(row, (0.01, 0.1), strict=True):
        model = ConvexBNRegressor(beta=beta, bias_scale=bias_scale, tol=1e-5).fit(x[:, None], y)
        at = kinks(model)
        at_data = np.abs(at[:, None] - x).min(axis=1, initial=np.inf) < 1e-3
        print(
            f"bias_scale {bias_scale:6g}, beta {beta}: gap {model.dual_gap_:.0e} "
            f"({model.certificate_}), {len(at)} kinks, {at_data.sum()} of them at data points"
        )
        ax.scatter(x, y, color="k", s=12, zorder=3, label="data")
        ax.plot(grid, model.predict(grid[:, None]), color="tab:blue", lw=2, label="network")
        for where, marker, label in ((at_data, "v", "at a data point"), (~at_data, "X", "between")):
            value = model.predict(at[where, None]) if where.any() else []
            ax.scatter(
                at[where],
                value,
                marker=marker,
                s=80,
                zorder=4,
                edgecolor="k",
                lw=0.6,
                color="tab:orange",
                label=f"kink {label}",
            )
        ax.set_title(f"bias_scale = {bias_scale:g}, beta = {beta}", fontsize=10)
handles = axes[1, 0].get_legend_handles_labels()
figure.legend(*handles, ncols=4, loc="outside lower center")
for ax in axes[1]:
    ax.set_xlabel("x")
for ax in axes[:, 0]:
    ax.set_ylabel("y")
plt.show()

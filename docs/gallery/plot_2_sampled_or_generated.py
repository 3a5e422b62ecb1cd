"""
Sampled arrangements against the generated optimum
==================================================

The convex program ranges over activation arrangements, too many to list unless the rank is small.
Taking some at random gives a convex program as well, whose optimum is exact for these arrangements
alone. Here is how much it misses.
"""

# %%
# Rank 2, where the truth is known
# --------------------------------
# Sixty rows in two directions have at most 3,542 arrangements. With ``arrangements="exact"`` all
# are in the program and the gap holds for networks of any width (``certificate_ == "exact"``).

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

from skconvexbn import ConvexBNRegressor

X, y = load_diabetes(return_X_y=True)
X, y = X[:60], (y[:60] - y[:60].mean()) / y[:60].std()
NUMBERS, SEEDS = [10, 30, 100, 300], range(6)


def fit(seed=0, **params):
    return ConvexBNRegressor(beta=0.3, tol=1e-4, random_state=seed, **params).fit(X, y)


def sampled(rank):
    """Objectives, a row for each number of sampled arrangements and a column for each seed."""
    params = {"rank": rank, "arrangements": "sampled", "backend": "torch"}
    fits = [[fit(seed, n_arrangements=k, **params) for seed in SEEDS] for k in NUMBERS]
    return np.array([[model.objective_ for model in row] for row in fits])


exact = fit(rank=2, arrangements="exact")
generated = fit(rank=2, arrangements="adaptive")
print(f"enumerated {exact.objective_:.6f}, gap {exact.dual_gap_:.0e} ({exact.certificate_})")
print(f"generated  {generated.objective_:.6f}, gap {generated.dual_gap_:.0e}")

# %%
# All ten directions
# ------------------
# Here nothing can be enumerated. The reference is the objective over generated arrangements, whose
# gap is relative to a search.

full = fit(arrangements="adaptive")
print(f"generated  {full.objective_:.4f}, gap {full.dual_gap_:.0e} ({full.certificate_})")

figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for ax, rank, best, reference in (
    (axes[0], 2, exact.objective_, "all arrangements"),
    (axes[1], None, full.objective_, "generated arrangements"),
):
    excess = 100 * (sampled(rank) / best - 1)
    for number, values in zip(NUMBERS, excess, strict=True):
        ax.scatter([number] * len(values), values, color="tab:orange", s=14, alpha=0.6)
    ax.plot(
        NUMBERS, np.median(excess, axis=1), color="tab:orange", marker="s", label="sampled, median"
    )
    ax.axhline(0, color="tab:blue", lw=2, ls="--", label=reference)
    ax.set(xscale="log", xlabel="arrangements sampled")
    ax.set_xticks(NUMBERS, NUMBERS)
    ax.minorticks_off()
    ax.scatter([], [], color="tab:orange", s=14, alpha=0.6, label="each of six seeds")
    ax.legend()
axes[0].set(title="rank 2", ylabel="objective above the optimum [%]")
axes[1].set(title="rank 10")
plt.show()

"""
Truncation: the bias of gradient descent made explicit
======================================================

A batch-normalised network does not change when its inputs are whitened: the same functions, the
same loss. Gradient descent does change. It moves along large singular directions first (theory
section 7), a preference nobody wrote down. ``rank`` writes it down.
"""

# %%
# Data with signal in two of twenty directions
# --------------------------------------------
# Singular values fall like 1 / i. The target depends on the first two directions; the rest is there
# to be overfitted.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.metrics import r2_score

from skconvexbn import ConvexBNRegressor

rng = np.random.default_rng(0)
N_ROWS, D = 100, 20
rotation = np.linalg.qr(rng.standard_normal((D, D)))[0]


def draw(n, noise):
    """Rows X and targets y."""
    Z = rng.standard_normal((n, D))
    X = (Z / np.arange(1, D + 1)) @ rotation.T
    return X, np.abs(Z[:, 0]) + np.maximum(Z[:, 1], 0) + noise * rng.standard_normal(n)


X, y = draw(N_ROWS, 0.5)
X_test, y_test = draw(2000, 0.0)

# %%
# Gradient descent in two coordinate systems
# ------------------------------------------
# The same network, the same loss, full-batch gradient descent: on X as it is, and on X whitened.
# Both fit the training rows in the end. Only the path differs, and with it what they predict.

_, s, Vt = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
whiten = Vt.T / s * np.sqrt(N_ROWS)
ITERATIONS = np.unique(np.geomspace(1, 1000, 20).astype(int))


def descend(transform, seed):
    """R2 on held-out rows at some iterations, and on the training rows in the end."""
    torch.manual_seed(seed)
    net = torch.nn.Sequential(
        torch.nn.Linear(D, 50, bias=False),
        torch.nn.BatchNorm1d(50, momentum=1.0),
        torch.nn.ReLU(),
        torch.nn.Linear(50, 1),
    ).double()
    A, A_test = (torch.as_tensor((Z - X.mean(axis=0)) @ transform) for Z in (X, X_test))
    optimiser = torch.optim.SGD(net.parameters(), lr=0.02)
    scores = []
    for iteration in range(1, ITERATIONS[-1] + 1):
        loss = torch.mean((net(A)[:, 0] - torch.as_tensor(y)) ** 2)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if iteration in ITERATIONS:
            net(A)  # the statistics of batch normalisation
            with torch.no_grad():
                scores.append(r2_score(y_test, net.eval()(A_test)[:, 0].numpy()))
            net.train()
    return scores, 1 - loss.item() / y.var()


raw, white = ([descend(M, seed) for seed in range(2)] for M in (np.eye(D), whiten))
for name, runs in (("X as it is", raw), ("X whitened", white)):
    scores, train = zip(*runs, strict=True)
    held_out = np.mean(scores, axis=0)
    print(
        f"{name}: R2 {np.mean(train):.3f} on training rows, on held-out rows {held_out[-1]:.3f}, "
        f"at the best iteration {held_out.max():.3f}"
    )

# %%
# Global optima at each rank
# --------------------------
# Without truncation the optimum overfits too. With it the small directions are out by decision, and
# rank 3 predicts as well as descent on X stopped at its best iteration.

ranks = [1, 2, 3, 5, 10, 20]
optima = [ConvexBNRegressor(rank=k, scale=False, beta=0.3, random_state=0).fit(X, y) for k in ranks]
train = [model.score(X, y) for model in optima]
test = [model.score(X_test, y_test) for model in optima]
print("rank   ", "".join(f"{k:7d}" for k in ranks))
print("R2 test", "".join(f"{value:7.3f}" for value in test))

figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.9), sharey=True, layout="constrained")
for runs, label, style in ((raw, "X as it is", "-"), (white, "X whitened", "--")):
    for seed, (scores, _) in enumerate(runs):
        axes[0].plot(
            ITERATIONS,
            scores,
            style,
            color="tab:blue" if style == "-" else "tab:orange",
            label=label if seed == 0 else None,
        )
axes[0].set(
    xscale="log",
    xlabel="iteration",
    ylabel="R2",
    ylim=(-0.3, 1.05),
    title="gradient descent, held-out rows, two seeds",
)
axes[0].legend()
axes[1].plot(ranks, train, "x--", color="0.5", label="training rows")
axes[1].plot(ranks, test, "o-", color="tab:green", label="held-out rows")
axes[1].set(xscale="log", xlabel="rank", title="global optimum at each rank")
axes[1].set_xticks(ranks, ranks)
axes[1].minorticks_off()
axes[1].legend(loc="lower left")
plt.show()

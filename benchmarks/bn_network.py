"""The batch-normalised network that gradient descent trains on our objective: a rival's network.

Linear -> BatchNorm1d -> ReLU -> Linear. With a, c batch norm's weight and bias and u the last
weights, theory.md 1 has gamma = sqrt(n) a, alpha = sqrt(n) c and, after balancing every neuron,

    beta ||(gamma, alpha)|| ||g|| = beta sqrt(n) ||(a, c)|| ||u||
                                 <= beta sqrt(n) / 2 (a^2 + c^2 + ||u||^2),

so that an L2 penalty on a, c and u is the one of (P).
"""

import numpy as np
import torch
from torch.nn import functional

from skconvexbn.losses import BinaryLogLoss, SquaredError


def per_row_loss(problem, F, Y):
    """The loss of `problem` on a batch, mean over rows."""
    if isinstance(problem.loss, SquaredError):
        return 0.5 * (F - Y).square().sum(dim=1).mean()
    if isinstance(problem.loss, BinaryLogLoss):
        return functional.binary_cross_entropy_with_logits(F, Y)
    return functional.cross_entropy(F, Y)


def train(problem, X, *, epochs, batch=None, lr=3e-3, width=200, penalised=True, decay=0.0, seed=0):
    """AdamW with a cosine schedule on the rows X of `problem`; all rows at once without a batch.

    ``penalised`` adds the penalty of (P) to the loss; ``decay`` is AdamW's own weight decay.
    """
    torch.manual_seed(seed)
    X, Y = (torch.as_tensor(a, dtype=torch.float32) for a in (X, problem.Y))
    n = len(X)
    batch = batch or n
    net = torch.nn.Sequential(
        torch.nn.Linear(X.shape[1], width),
        torch.nn.BatchNorm1d(width),
        torch.nn.ReLU(),
        torch.nn.Linear(width, Y.shape[1], bias=problem.fit_intercept),
    )
    optimiser = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=decay)
    steps = epochs * -(-n // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    decayed = (net[1].weight, net[1].bias, net[3].weight)
    torch.set_flush_denormal(True)  # weights that the penalty sends to zero slow CPUs down
    for _ in range(epochs):
        for rows in torch.randperm(n).split(batch) if batch < n else (slice(None),):
            if len(X[rows]) > 1:
                loss = per_row_loss(problem, net(X[rows]), Y[rows])
                if penalised:
                    squares = sum(p.square().sum() for p in decayed)
                    loss = loss + problem.beta / (2 * np.sqrt(n)) * squares
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            schedule.step()
    torch.set_flush_denormal(False)
    return net.eval()


@torch.no_grad()
def predict(net, X):
    """Outputs (n, C) with the running statistics."""
    return net(torch.as_tensor(X, dtype=torch.float32)).double().numpy()


@torch.no_grad()
def objective(problem, net, X):
    """(P) of the network in float64, batch norm by the statistics of all rows X, best intercept."""
    first, norm, _, last = (layer.double() for layer in net)
    U = first(torch.as_tensor(X)).numpy()
    U = U - U.mean(axis=0)
    U /= np.maximum(np.linalg.norm(U, axis=0), 1e-300)
    root = np.sqrt(len(X))
    a, c, G = norm.weight.numpy(), norm.bias.numpy(), last.weight.numpy().T
    H = np.vstack([problem.Q[:, :-1].T @ U * (root * a), root * c])
    net.float()
    b = problem.best_intercept(problem.features(H) @ G)
    return problem.primal(H, G, b)

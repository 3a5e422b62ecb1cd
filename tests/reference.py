"""Independent routes to what the package computes, written plainly and slowly."""

import itertools
import warnings

import cvxpy as cp
import numpy as np
import torch
from scipy.optimize import minimize

SETTINGS = {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}


def basis(rng, n, q):
    """Q of theory.md 2 for normal data."""
    X = rng.standard_normal((n, q - 1))
    U = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)[0]
    return np.column_stack([U, np.full(n, 1 / np.sqrt(n))])


def loss_expression(F, Y, w, loss):
    """Loss of theory.md 1 in cvxpy; Y holds values, labels in {0, 1}, or one-hot rows."""
    if loss == "squared_error":
        return 0.5 * sum(w[i] * cp.sum_squares(F[i] - Y[i]) for i in range(len(Y)))
    if Y.shape[1] == 1:
        signs = 2 * Y[:, 0] - 1
        return sum(w[i] * cp.logistic(-signs[i] * F[i, 0]) for i in range(len(Y)))
    return sum(w[i] * (cp.log_sum_exp(F[i]) - Y[i] @ F[i]) for i in range(len(Y)))


def cone_program(Q, Y, w, masks, beta, loss="squared_error", fit_intercept=True):
    """Optimal value of the program of theory.md 3 over the masks (P, n), one output."""
    n, q = Q.shape
    b = cp.Variable() if fit_intercept else 0.0
    F, penalty, constraints = b * np.ones(n), 0.0, []
    for mask in masks:
        for sign in (1.0, -1.0):
            s = cp.Variable(q)
            F = F + sign * (np.diag(mask.astype(float)) @ Q) @ s
            penalty = penalty + cp.norm(s)
            constraints.append(np.diag(2.0 * mask - 1) @ Q @ s >= 0)
    objective = loss_expression(cp.reshape(F, (n, 1), order="C"), Y, w, loss) + beta * penalty
    program = cp.Problem(cp.Minimize(objective), constraints)
    with warnings.catch_warnings():  # at 1e-10 Clarabel may stop just short
        warnings.filterwarnings("ignore", "Solution may be inaccurate")
        program.solve(solver=cp.CLARABEL, **SETTINGS)
    return program.value


def bn_network(X, W, gamma, alpha):
    """relu(BN(X W)) in torch, by the formula of theory.md 1."""
    Z = X @ W
    Zc = Z - Z.mean(dim=0)
    n = len(X)
    norm = torch.sqrt((Zc**2).sum(dim=0) + 1e-300)
    return torch.relu(gamma * Zc / norm + alpha / np.sqrt(n))


def train_bn_network(X, y, beta, loss, n_neurons=8, n_starts=8, seed=0):
    """Lowest objective of the non-convex BN network over L-BFGS runs from random starts."""
    X, y = torch.tensor(X), torch.tensor(y)
    d = X.shape[1]
    sizes = [d * n_neurons, n_neurons, n_neurons, n_neurons, 1]
    rng = np.random.default_rng(seed)

    def value_and_gradient(flat):
        flat = torch.tensor(flat, requires_grad=True)
        W, gamma, alpha, g, b = torch.split(flat, sizes)
        f = bn_network(X, W.reshape(d, n_neurons), gamma, alpha) @ g + b
        if loss == "squared_error":
            data = 0.5 * ((f - y) ** 2).sum()
        else:
            data = torch.nn.functional.softplus(-(2 * y - 1) * f).sum()
        value = data + beta / 2 * ((gamma**2).sum() + (alpha**2).sum() + (g**2).sum())
        value.backward()
        return value.item(), flat.grad.numpy()

    options = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-9}
    runs = [
        minimize(value_and_gradient, rng.standard_normal(sum(sizes)), jac=True,
                 method="L-BFGS-B", options=options)
        for _ in range(n_starts)
    ]  # fmt: skip
    return min(run.fun for run in runs)


def gated_recovered(Q, Y, w, masks, beta, loss, fit_intercept=True):
    """Objective of the ReLU network recovered from the gated relaxation over the masks.

    Nuclear norms; each gated neuron D Q h g^T becomes relu(Q h1) - relu(Q h2), h = h1 - h2 with h1,
    h2 of least total norm in the cone of D. The intercept is fitted again.
    """
    q, C = Q.shape[1], Y.shape[1]
    n = len(Q)
    blocks = [cp.Variable((q, C)) for _ in masks]
    b = cp.Variable((1, C)) if fit_intercept else np.zeros((1, C))
    F = np.ones((n, 1)) @ b
    for mask, S in zip(masks, blocks, strict=True):
        F = F + (np.diag(mask.astype(float)) @ Q) @ S
    objective = loss_expression(F, Y, w, loss) + beta * sum(cp.normNuc(S) for S in blocks)
    cp.Problem(cp.Minimize(objective)).solve(solver=cp.CLARABEL)
    output, penalty = np.zeros((n, C)), 0.0
    for mask, S in zip(masks, blocks, strict=True):
        U, s, Vt = np.linalg.svd(S.value)
        for h, size, g in zip(U.T, s, Vt, strict=False):
            if size < 1e-6:
                continue
            A = np.diag(2.0 * mask - 1) @ Q
            parts = [cp.Variable(q), cp.Variable(q)]
            constraints = [parts[0] - parts[1] == size * h] + [A @ p >= 0 for p in parts]
            cp.Problem(cp.Minimize(cp.norm(parts[0]) + cp.norm(parts[1])), constraints).solve(
                solver=cp.CLARABEL
            )
            for sign, p in zip((1.0, -1.0), parts, strict=True):
                output += sign * np.outer(np.maximum(Q @ p.value, 0.0), g)
                penalty += np.linalg.norm(p.value)
    b = cp.Variable((1, C)) if fit_intercept else np.zeros((1, C))
    refit = cp.Problem(cp.Minimize(loss_expression(output + np.ones((n, 1)) @ b, Y, w, loss)))
    refit.solve(solver=cp.CLARABEL)
    return refit.value + beta * penalty


def network_objective(model, X, Y, w, loss):
    """Objective of theory.md 1 from the fitted attributes: BN formula, gamma, alpha, g, b."""
    mean = (w @ X) / w.sum()
    Z = (X - mean) @ model.hidden_directions_
    norm = np.sqrt(w @ Z**2)
    hidden = np.maximum(
        model.gamma_ * Z / np.where(norm > 0, norm, 1) + model.alpha_ / np.sqrt(w.sum()), 0
    )
    F = hidden @ model.coefs_[1] + model.intercepts_[1]
    if loss == "squared_error":
        value = 0.5 * w @ ((F - Y) ** 2).sum(axis=1)
    elif Y.shape[1] == 1:
        value = w @ np.logaddexp(0, -(2 * Y[:, 0] - 1) * F[:, 0])
    else:
        value = w @ (np.log(np.exp(F).sum(axis=1)) - (F * Y).sum(axis=1))
    penalty = np.hypot(model.gamma_, model.alpha_) @ np.linalg.norm(model.coefs_[1], axis=1)
    return value + model.beta_ * penalty


def kernel_residual(Q, Y, w):
    """What the kernel behind beta="auto" leaves, by plain loops over rows left out."""
    norms = np.linalg.norm(Q, axis=1)
    K = np.empty((len(Q), len(Q)))
    for i, j in itertools.product(range(len(Q)), repeat=2):
        angle = np.arccos(np.clip(Q[i] @ Q[j] / norms[i] / norms[j], -1, 1))
        K[i, j] = norms[i] * norms[j] * (np.sin(angle) + (np.pi - angle) * np.cos(angle))
    centre = np.eye(len(Q)) - w / w.sum()
    trace = np.trace(np.sqrt(w)[:, None] * (centre @ K @ centre.T) * np.sqrt(w))
    left = np.zeros(15)
    for k, ridge in enumerate(trace * np.logspace(-6, 1, 15)):
        for i in range(len(Q)):
            others = np.arange(len(Q)) != i
            # min sum_j w_j (y_j - a - f_j)^2 + ridge ||f||^2, f = K c
            regularised = K[np.ix_(others, others)] + ridge * np.diag(1 / w[others])
            ones = np.ones((len(Q) - 1, 1))
            system = np.block([[regularised, ones], [ones.T, np.zeros((1, 1))]])
            c = np.linalg.solve(system, np.vstack([Y[others], np.zeros((1, Y.shape[1]))]))
            predicted = K[i, others] @ c[:-1] + c[-1]
            left[k] += w[i] * np.sum((Y[i] - predicted) ** 2)
    return left.min()

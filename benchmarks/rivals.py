"""Held-out R2, fit time and spread over seeds beside scikit-learn's MLP and a batch-norm MLP.

    python benchmarks/rivals.py [FOLDER]

Diabetes and a generated set; with FOLDER also every reg-*.npz in it (arrays X and y). Three random
splits (75 % train). The rivals: MLPRegressor(max_iter=1000), both defaults on standardised data; a
torch network of 200 neurons with BatchNorm1d, AdamW, 300 epochs. "objective" is (P) on the training
rows at our beta, for the AdamW network with its weights balanced. "spread" is the standard
deviation of predictions over three seeds, root mean square over test rows, in standard deviations
of the target. Writes results/rivals.json.
"""

import sys
import time
import warnings

import numpy as np
import torch
from adaptive import data_sets
from report import save, table
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from skconvexbn import ConvexBNRegressor

SEEDS = (0, 1, 2)


class AdamW:
    """Linear -> BatchNorm1d -> ReLU -> Linear, trained with AdamW."""

    def __init__(self, beta, random_state):
        self.beta, self.seed = beta, random_state

    def fit(self, X, y, epochs=300, batch=64, width=200):
        """Minimise the mean squared error with a cosine schedule."""
        torch.manual_seed(self.seed)
        X, y = torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(y, dtype=torch.float32)
        self.net = torch.nn.Sequential(
            torch.nn.Linear(X.shape[1], width),
            torch.nn.BatchNorm1d(width),
            torch.nn.ReLU(),
            torch.nn.Linear(width, 1),
        )
        steps = -(-len(X) // batch) * epochs
        optimiser = torch.optim.AdamW(self.net.parameters(), lr=3e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(epochs):
            for rows in torch.randperm(len(X)).split(batch):
                if len(rows) < 2:
                    continue
                optimiser.zero_grad()
                loss = (self.net(X[rows])[:, 0] - y[rows]).square().mean()
                loss.backward()
                optimiser.step()
                schedule.step()
        self.net.eval()
        return self

    def predict(self, X):
        """Output with the running statistics."""
        with torch.no_grad():
            return self.net(torch.as_tensor(X, dtype=torch.float32))[:, 0].double().numpy()

    def objective(self, X, y):
        """(P) of the trained network: batch norm with the statistics of all training rows."""
        with torch.no_grad():
            Z = self.net[0](torch.as_tensor(X, dtype=torch.float32)).double().numpy()
            norm, out = self.net[1], self.net[3].weight[0].double().numpy()
            n = len(X)
            gamma, alpha = (
                (a.double().numpy() * np.sqrt(n)) for a in (norm.weight, norm.bias)
            )  # in the scaling of theory.md 1
        U = (Z - Z.mean(axis=0)) / np.linalg.norm(Z - Z.mean(axis=0), axis=0)
        F = np.maximum(gamma * U + alpha / np.sqrt(n), 0) @ out
        F = F + np.mean(y - F)
        return 0.5 * np.sum((F - y) ** 2) + self.beta * np.hypot(gamma, alpha) @ np.abs(out)


def main(folder=None):
    rows = []
    for name, (X, y) in data_sets(folder):
        y = (y - y.mean()) / y.std()
        results = {}
        for split in range(3):
            X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=split)
            scaler = StandardScaler().fit(X_train)
            X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)
            beta = ConvexBNRegressor(random_state=0, max_time=0.0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                beta = beta.fit(X_train, y_train).beta_
            makers = {
                "skconvexbn": lambda s: ConvexBNRegressor(random_state=s),
                "MLPRegressor": lambda s: MLPRegressor(max_iter=1000, random_state=s),
                "AdamW": lambda s, beta=beta: AdamW(beta, random_state=s),
            }
            for method, make in makers.items():
                predictions, seconds, objectives = [], [], []
                for seed in SEEDS if split == 0 else SEEDS[:1]:
                    start = time.perf_counter()
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", ConvergenceWarning)
                        model = make(seed).fit(X_train, y_train)
                    seconds.append(time.perf_counter() - start)
                    predictions.append(model.predict(X_test))
                    if method == "AdamW":
                        objectives.append(model.objective(X_train, y_train))
                    elif method == "skconvexbn":
                        objectives.append(model.objective_)
                entry = results.setdefault(method, {"R2": [], "seconds": [], "objective": []})
                residual = np.square(y_test - predictions[0]).sum()
                entry["R2"].append(1 - residual / np.square(y_test - y_test.mean()).sum())
                entry["seconds"] += seconds
                entry["objective"] += objectives
                if split == 0:
                    entry["spread"] = np.sqrt(np.mean(np.var(predictions, axis=0)))
        for method, entry in results.items():
            objective = np.median(entry["objective"]) if entry["objective"] else float("nan")
            rows.append(
                {
                    "data": name,
                    "method": method,
                    "R2": float(np.mean(entry["R2"])),
                    "seconds": float(np.median(entry["seconds"])),
                    "objective": float(objective),
                    "spread": float(entry["spread"]),
                }
            )
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    save("rivals", rows)


if __name__ == "__main__":
    main(*sys.argv[1:])

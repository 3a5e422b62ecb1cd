"""Default fits to many noisy rows: time, size and held-out R2 at beta="auto" and at twice that.

    python benchmarks/noisy_rows.py [SMALLER]

friedman1 with 15 columns and noise of standard deviation 2, 5,000 more rows to test on, at most
60 s a fit, beside `MLPRegressor` with early stopping. SMALLER divides all n. Five minutes. Writes
results/noisy_rows.json.
"""

import time
import warnings

from report import command_line, save
from sklearn.datasets import make_friedman1
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skconvexbn import ConvexBNRegressor

ROWS, FACTORS, N_TEST = (2_000, 8_000, 24_000), (1, 2), 5_000


def fitted(model, X, y):
    """The fitted model and its seconds."""
    begin = time.perf_counter()
    model.fit(X, y)
    return model, time.perf_counter() - begin


def main(smaller="1"):
    warnings.simplefilter("ignore")
    rows = []
    for n in (n // int(smaller) for n in ROWS):
        X, y = make_friedman1(n + N_TEST, 15, noise=2.0, random_state=0)
        train, test = (X[:n], y[:n]), (X[n:], y[n:])
        auto = ConvexBNRegressor(max_iter=1, max_time=0, random_state=0).fit(*train).beta_
        mlp = MLPRegressor(early_stopping=True, max_iter=1000, random_state=0)
        mlp, mlp_seconds = fitted(make_pipeline(StandardScaler(), mlp), *train)
        for factor in FACTORS:
            model = ConvexBNRegressor(beta=factor * auto, max_time=60, random_state=0)
            model, seconds = fitted(model, *train)
            rows.append(
                {
                    "n": n,
                    "beta / auto": factor,
                    "beta / std": model.beta_ / train[1].std(),
                    "seconds": seconds,
                    "neurons": model.n_neurons_,
                    "gap": model.dual_gap_ / model.zero_loss_,
                    "R2": model.score(*test),
                    "MLP R2": mlp.score(*test),
                    "MLP seconds": mlp_seconds,
                }
            )
            print(rows[-1], flush=True)
    save("noisy_rows", rows)


if __name__ == "__main__":
    command_line(main, __doc__)

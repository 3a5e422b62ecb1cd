"""Whitening by the Gram matrix against LAPACK's SVD: time, and accuracy against conditioning.

    python benchmarks/whitening.py

Accuracy is the largest entry of |Q^T Q - I| when the smallest singular value is the given fraction
of the largest: it is why `whitening.GRAM_MIN_RATIO` is 1e-3. Writes results/whitening_time.json and
results/whitening_accuracy.json.
"""

import time

import numpy as np
from report import command_line, save

from skconvexbn import whitening


def seconds(X, ratio):
    whitening.GRAM_MIN_RATIO = ratio
    w = np.ones(len(X))
    start = time.perf_counter()
    whitening.Whitening.fit(X, w)
    return time.perf_counter() - start


def main():
    rng = np.random.default_rng(0)
    rows = []
    for n, d in ((1000, 10), (10_000, 10), (10_000, 100), (100_000, 30), (500, 5000), (1000, 2000)):
        X = rng.standard_normal((n, d))
        pairs = [(seconds(X, 1e-3), seconds(X, np.inf)) for _ in range(4)][1:]
        ratio = float(np.median([svd / gram for gram, svd in pairs]))
        gram, svd = np.median(pairs, axis=0)
        rows.append({"n": n, "d": d, "gram [s]": gram, "svd [s]": svd, "svd / gram": ratio})
    save("whitening_time", rows)
    rows = []
    for smallest in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
        U = np.linalg.qr(rng.standard_normal((2000, 20)))[0]
        U = np.linalg.qr(U - U.mean(axis=0))[0]
        V = np.linalg.qr(rng.standard_normal((20, 20)))[0]
        X = U * np.geomspace(1, smallest, 20) @ V.T
        row = {"s_r / s_1": smallest}
        for name, ratio in (("gram", 0.0), ("svd", np.inf)):
            whitening.GRAM_MIN_RATIO = ratio
            fit = whitening.Whitening.fit(X, np.ones(2000), scale=False)
            Q = fit.basis().transform(X)
            row[f"|Q'Q - I|, {name}"] = float(np.abs(Q.T @ Q - np.eye(Q.shape[1])).max())
        rows.append(row)
    save("whitening_accuracy", rows)


if __name__ == "__main__":
    command_line(main, __doc__)

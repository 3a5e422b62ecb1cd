"""The picture of the README: one global optimum against ten seeds of an MLP.

    python benchmarks/readme_picture.py [--output docs/images/one_optimum.png]

Thirty noisy samples of a function of one variable. All arrangements are enumerated, so the gap is
relative to every network of any width; the fit is a linear spline. Needs matplotlib.
"""

import argparse
import warnings

import matplotlib as mpl
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from skconvexbn import ConvexBNRegressor

mpl.use("Agg")
import matplotlib.pyplot as plt


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", default="docs/images/one_optimum.png")
    output = parser.parse_args().output
    rng = np.random.default_rng(1)
    x = np.linspace(-2, 2, 30)[:, None]
    y = np.sin(2.5 * x[:, 0]) + 0.15 * rng.standard_normal(30)
    grid = np.linspace(-2.2, 2.2, 500)[:, None]
    exact = {"arrangements": "exact", "tol": 1e-5}
    ours = [ConvexBNRegressor(**exact, random_state=seed).fit(x, y) for seed in range(10)]
    figure, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
    truth = np.sin(2.5 * grid[:, 0])
    ax.plot(grid, truth, color="0.5", ls="--", lw=1, label="the function behind the samples")
    mlps = []
    for seed in range(10):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mlps.append(MLPRegressor(max_iter=1000, random_state=seed).fit(x, y).predict(grid))
        label = "MLPRegressor, 10 seeds" if seed == 0 else None
        ax.plot(grid, mlps[-1], color="tab:orange", lw=0.8, alpha=0.7, label=label)
    curves = np.stack([model.predict(grid) for model in ours])
    model = ours[0]
    relative = model.dual_gap_ / model.zero_loss_
    label = f"ConvexBNRegressor, 10 seeds: {model.n_neurons_} neurons, gap {relative:.0e}"
    ax.plot(grid, curves.T, color="tab:blue", lw=2, label=[label] + [None] * 9)
    ax.scatter(x, y, color="k", s=14, zorder=3)
    ax.set(xlabel="x", ylabel="y")
    ax.legend(fontsize=9)
    figure.savefig(output, dpi=150)
    for name, values in (("ConvexBNRegressor", curves), ("MLPRegressor", np.stack(mlps))):
        spread, error = values.std(axis=0).max(), np.sqrt(np.mean((values - truth) ** 2))
        print(f"{name}: largest standard deviation over seeds {spread:.2g}, error {error:.3f}")
    print(f"objective {model.objective_:.8f}, gap {model.dual_gap_:.1e} ({model.certificate_})")


if __name__ == "__main__":
    main()

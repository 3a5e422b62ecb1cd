"""Quick start: a convex network on real data, beside scikit-learn's MLP, and a picture.

    python benchmarks/quick_start.py [--output quick_start.png]

Breast cancer, five leading directions. Prints test accuracy, objective, duality gap, backend and
seconds; the picture, of a network on two directions, needs matplotlib.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skconvexbn.solvers.torch  # noqa: F401 (else the fit that is timed imports PyTorch)
from skconvexbn import ConvexBNClassifier


def fit(model, X, y):
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the MLP's, on its 200 epochs
        model.fit(X, y)
    return time.perf_counter() - start


def draw(pipeline, X, y, path):
    """A network of its own on two leading directions of the standardised data, and its decision."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    scaled = pipeline[:-1].transform(X)
    _, _, Vt = np.linalg.svd(scaled - scaled.mean(axis=0), full_matrices=False)
    plane = scaled @ Vt[:2].T
    model = ConvexBNClassifier(random_state=0).fit(plane, y)
    low, high = plane.min(axis=0) - 0.5, plane.max(axis=0) + 0.5
    grid = np.stack(np.meshgrid(*[np.linspace(a, b, 300) for a, b in zip(low, high, strict=True)]))
    probability = model.predict_proba(grid.reshape(2, -1).T)
    certainty = probability.max(axis=1).reshape(300, 300)
    labels = np.searchsorted(model.classes_, model.predict(grid.reshape(2, -1).T)).reshape(300, 300)
    figure, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
    colours = plt.get_cmap("tab10")
    image = colours(labels)[..., :3]
    image = 1 - (1 - image) * (0.15 + 0.45 * certainty[..., None] ** 2)
    ax.imshow(image, origin="lower", extent=(low[0], high[0], low[1], high[1]), aspect="auto")
    for w, b in zip(model.coefs_[0].T, model.intercepts_[0], strict=True):
        x = np.array([low[0], high[0]])
        if abs(w[1]) > 1e-9:
            ax.plot(x, -(b + w[0] * x) / w[1], color="k", lw=0.7, alpha=0.5)
    for k, label in enumerate(model.classes_):
        rows = plane[y == label]
        ax.scatter(*rows.T, s=12, color=colours(k), edgecolor="w", lw=0.3, label=label)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    ax.legend(loc="lower right")
    ax.set_xlabel("first principal direction")
    ax.set_ylabel("second principal direction")
    ax.set_title(
        f"two directions: {model.n_neurons_} neurons (lines: where each switches on)\nobjective "
        f"{model.objective_:.2f}, relative gap {model.dual_gap_ / model.zero_loss_:.1e} "
        f"({model.certificate_})",
        fontsize=9,
    )
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", default="quick_start.png")
    arguments = parser.parse_args()
    data = load_breast_cancer()
    X_train, X_test, y_train, y_test = train_test_split(
        data.data, data.target_names[data.target], random_state=0, stratify=data.target
    )
    ours = make_pipeline(StandardScaler(), ConvexBNClassifier(rank=5, random_state=0))
    mlp = make_pipeline(StandardScaler(), MLPClassifier(random_state=0))
    model = ours[-1]
    seconds = {
        "skconvexbn": fit(ours, X_train, y_train),
        "MLPClassifier": fit(mlp, X_train, y_train),
    }
    features = f"{model.rank_} leading directions of {X_train.shape[1]} features"
    print(f"breast cancer: {len(X_train)} training rows, {features}")
    for name, pipeline in (("skconvexbn", ours), ("MLPClassifier", mlp)):
        accuracy = pipeline.score(X_test, y_test)
        print(f"  {name:13s}  test accuracy {accuracy:.3f}  fit {seconds[name]:.2f} s")
    print(f"  objective {model.objective_:.2f}, at least {model.dual_objective_:.2f}")
    relative = model.dual_gap_ / model.zero_loss_
    print(f"  duality gap {relative:.1e} of the loss without neurons (tol {model.tol:g})")
    print(f"  certificate {model.certificate_}, converged {model.converged_}")
    print(f"  backend {model.backend_}, {model.n_neurons_} neurons, beta {model.beta_:.4f}")
    draw(ours, X_train, y_train, arguments.output)
    print(f"  picture: {arguments.output}")


if __name__ == "__main__":
    main()

"""Quick start: convex networks on real data beside models of scikit-learn, and a picture.

    python benchmarks/quick_start.py [--output quick_start.png]

Breast cancer, at the defaults and by cross-validation. Prints test accuracy, seconds, objective,
its lower bound and where they come from; the picture, of a network on two directions, needs
matplotlib.
"""

import argparse
import time

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skconvexbn.solvers.torch  # noqa: F401 (else the fit that is timed imports PyTorch)
from skconvexbn import ConvexBNClassifier, ConvexBNClassifierCV


def draw(scaled, y, path):
    """A network of its own on two leading directions of the standardised data, and its decision."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

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


def report(model, X, y, seconds):
    """Print how a fitted pipeline does on test data, and what one of ours says of its optimum."""
    ours, name = model[-1], type(model[-1]).__name__
    print(f"  {name:20s}  test accuracy {model.score(X, y):.3f}  fit {seconds:.2f} s")
    if isinstance(ours, ConvexBNClassifier | ConvexBNClassifierCV):
        bound, relative = ours.dual_objective_, ours.dual_gap_ / ours.zero_loss_
        print(f"    objective {ours.objective_:.2f}, of any network at least {bound:.2f}")
        print(f"    gap {relative:.1e} of the loss without neurons, tol {ours.tol:g}")
        print(f"    certificate {ours.certificate_}, {ours.n_neurons_} neurons, {ours.backend_}")
    if isinstance(ours, ConvexBNClassifierCV):
        chosen = "beta {beta:g}, shrinkage {shrinkage:g}".format_map(ours.best_params_)
        print(f"    best of {len(ours.cv_results_['params'])} candidates: {chosen}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", default="quick_start.png")
    output = parser.parse_args().output
    data = load_breast_cancer()
    X_train, X_test, y_train, y_test = train_test_split(
        data.data, data.target_names[data.target], random_state=0, stratify=data.target
    )
    print(f"breast cancer: {len(X_train)} training rows, {X_train.shape[1]} features")
    for model in (
        LogisticRegression(),
        MLPClassifier(max_iter=1000, random_state=0),
        ConvexBNClassifier(random_state=0),
        ConvexBNClassifierCV(random_state=0),
    ):
        pipeline = make_pipeline(StandardScaler(), model)
        start = time.perf_counter()
        pipeline.fit(X_train, y_train)
        report(pipeline, X_test, y_test, time.perf_counter() - start)
    draw(StandardScaler().fit_transform(X_train), y_train, output)
    print(f"  picture: {output}")


if __name__ == "__main__":
    main()

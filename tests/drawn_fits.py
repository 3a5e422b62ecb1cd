"""Fits of every kind, small enough to be drawn."""

import numpy as np

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor, ConvexBNRegressorCV, convex_bn_path

RNG = np.random.default_rng(0)
X = RNG.standard_normal((24, 2))
Y = np.sin(2 * X[:, 0]) + X[:, 1]
LABELS = np.array(["low", "middle", "top"])[np.digitize(Y, [-0.5, 0.5])]
FITS = {
    "adaptive": ConvexBNRegressor(beta=0.1, arrangements="adaptive", tol=1e-3),
    "exact": ConvexBNRegressor(beta=0.1, rank=1),
    "cones": ConvexBNRegressor(beta=0.1, arrangements="sampled", n_arrangements=5),
    "columns": ConvexBNRegressor(beta=0.1, arrangements="sampled", n_arrangements=5),
    "gates": ConvexBNRegressor(beta=0.1, activation="gated_relu", n_arrangements=5),
    "classes": ConvexBNClassifier(beta=0.3, tol=1e-2),
    "search": ConvexBNRegressorCV(
        betas=[1.0, 0.3, 0.1], ranks=(None, 1), shrinkages=(0.0, 1.0), cv=2, tol=1e-2
    ),
}
OUTPUTS = {"columns": np.column_stack([Y, X[:, 1] ** 2]), "classes": LABELS}


def fit_all():
    return {
        name: model.set_params(random_state=0).fit(X, OUTPUTS.get(name, Y))
        for name, model in FITS.items()
    }


def fit_path():
    return convex_bn_path(X, Y, betas=4, eps=0.1, ranks=(1, 2), shrinkages=(0.0, 1.0), tol=1e-2)


def legend(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]

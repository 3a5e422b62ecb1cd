"""NeuronsDisplay: where neurons are active, their weights, and the order of samples."""

import numpy as np
import pandas as pd
import pytest
from drawn_fits import FITS, LABELS, X, Y
from sklearn.datasets import load_iris

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor, NeuronsDisplay

matplotlib = pytest.importorskip("matplotlib")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.mark.parametrize("name", FITS)
def test_neurons_are_active_where_the_network_says(fits, name):
    model = fits[name]
    rows = X + 0.01 * np.random.default_rng(5).standard_normal(X.shape)  # neurons have kinks in X
    display = NeuronsDisplay.from_estimator(model, rows)
    order = np.argsort(-np.linalg.norm(model.coefs_[1], axis=1), kind="stable")
    Z = rows @ model.coefs_[0] + model.intercepts_[0]
    if model.gates_ is not None:
        Z = rows @ model.gates_[0] + model.gates_[1]
    expected = (Z > 0)[:, order]
    image = np.asarray(display.activations_image_.get_array())
    assert image.shape == (len(X), model.n_neurons_)
    assert sorted(map(tuple, image)) == sorted(map(tuple, expected))
    prediction = model.predict(rows)
    prediction = prediction[:, 0] if prediction.ndim == 2 else prediction
    np.testing.assert_array_equal(display.values, np.sort(prediction))
    weights = (model.coefs_[0] * model.scale_[:, None])[:, order]
    np.testing.assert_array_equal(display.weights_image_.get_array(), weights)
    assert display.ax_[0].get_ylabel() == "samples, by prediction"


def test_the_axis_says_what_samples_are_ordered_by():
    model = ConvexBNRegressor(beta=0.3, rank=1).fit(X, Y)
    for y, name in ((None, "prediction"), (Y, "y")):
        display = NeuronsDisplay.from_estimator(model, X, y, kind="activations")
        assert display.ax_.get_ylabel() == f"samples, by {name}"


def test_neurons_by_class_with_names_of_features():
    frame = pd.DataFrame(X, columns=["a", "b"])
    model = ConvexBNClassifier(beta=0.3, tol=1e-2, random_state=0).fit(frame, LABELS)
    ax = plt.subplots(1, 2)[1]
    display = NeuronsDisplay.from_estimator(
        model, frame, LABELS, ax=ax, weights_kw={"cmap": "PuOr"}, activations_kw={"vmax": 1}
    )
    assert list(display.ax_) == list(ax)
    assert [t.get_text() for t in ax[0].get_yticklabels()] == ["low", "middle", "top"]
    assert [t.get_text() for t in ax[1].get_yticklabels()] == ["a", "b"]
    assert display.weights_image_.get_cmap().name == "PuOr"
    assert display.activations_image_.get_clim() == (0, 1)
    alone = display.plot(kind="weights", ax=ax[0])
    assert alone.ax_ is ax[0]
    assert alone.activations_image_ is None
    assert display.plot(kind="activations").colorbar_ is None
    with pytest.raises(ValueError, match="ax must be 2 Matplotlib axes here, got <Axes"):
        display.plot(ax=ax[0])
    with pytest.raises(ValueError, match="kind must be 'both' or 'activations' or 'weights' here"):
        display.plot(kind="all")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        NeuronsDisplay.from_estimator(model, frame, LABELS[1:])


def test_neurons_of_classes_are_separated_and_colours_symmetric():
    display = NeuronsDisplay(
        activations=np.array([[True], [False], [True]]),
        weights=np.array([[1.0], [-3.0]]),
        values=np.array([0, 0, 1]),
    ).plot()
    upper, _ = display.ax_
    assert [line.get_ydata()[0] for line in upper.get_lines()] == [1.5]
    assert display.weights_image_.get_clim() == (-3.0, 3.0)


@pytest.mark.parametrize(("d", "shown"), [(20, True), (21, False)])
def test_up_to_twenty_features_have_names(d, shown):
    display = NeuronsDisplay(
        activations=np.ones((2, 1), bool), weights=np.ones((d, 1)), values=np.arange(2)
    ).plot(kind="weights")
    labels = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert (labels == [f"x{k}" for k in range(d)]) == shown


@pytest.mark.parametrize(("n", "shown"), [(12, list(range(12))), (13, [0, 3, 6, 9, 12])])
def test_up_to_twelve_values_are_shown_as_classes(n, shown):
    display = NeuronsDisplay(
        activations=np.ones((n, 3), bool), weights=np.ones((1, 3)), values=np.arange(n)
    ).plot(kind="activations")
    assert [float(text.get_text()) for text in display.ax_.get_yticklabels()] == shown
    ticks = display.ax_.get_xticks()  # neurons, which are counted
    np.testing.assert_array_equal(ticks, np.round(ticks))


def test_a_display_refuses_other_features_and_leaves_the_estimator_as_it_is():
    frame = pd.DataFrame(X, columns=["a", "b"])
    model = ConvexBNRegressor(beta=0.3, rank=1).fit(frame, Y)
    with pytest.raises(ValueError, match="feature names"):
        NeuronsDisplay.from_estimator(model, frame[["b", "a"]], Y)
    assert list(model.feature_names_in_) == ["a", "b"]


def test_images_of_neurons_share_their_axis_and_figures_are_those_of_the_axes():
    display = NeuronsDisplay(
        activations=np.ones((2, 3), bool), weights=np.ones((1, 3)), values=np.arange(2)
    ).plot()
    upper, lower = display.ax_
    lower.set_xlim(0, 1)
    assert upper.get_xlim() == (0, 1)
    other = plt.subplots()[1]
    plt.figure()  # the current one
    assert display.plot(kind="weights", ax=other).figure_ is other.figure


def test_neurons_of_none():
    model = ConvexBNRegressor(beta=1e3, rank=1).fit(X, Y)
    with pytest.raises(ValueError, match="The network has no neurons to show"):
        NeuronsDisplay.from_estimator(model, X)


def test_activations_by_many_classes():
    rows = np.tile(X, (2, 1))
    many = np.array([f"c{i % 15:02d}" for i in range(len(rows))])
    model = ConvexBNClassifier(beta=0.5, tol=0.5, random_state=0).fit(rows, many)
    display = NeuronsDisplay.from_estimator(model, rows, many)
    shown = [label.get_text() for label in display.activations_image_.axes.get_yticklabels()]
    assert shown[0] == "c00"
    assert set(shown) <= set(many)
    plt.close("all")


def test_images_may_have_a_norm(fits):
    norm = matplotlib.colors.CenteredNorm()
    display = NeuronsDisplay.from_estimator(fits["classes"], X, weights_kw={"norm": norm})
    assert display.weights_image_.norm is norm


def test_rows_of_a_class_are_ordered_by_the_largest_neuron():
    features, labels = load_iris(return_X_y=True)
    model = ConvexBNClassifier(beta=0.1, random_state=0).fit(features, labels)
    display = NeuronsDisplay.from_estimator(model, features, labels)
    for label in range(3):
        rows = [tuple(~row) for row in display.activations[display.values == label]]
        assert rows == sorted(rows)

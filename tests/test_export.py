"""Networks of torch, scikit-learn and ONNX have the outputs of the estimators they come from."""

import pickle
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_regressor
from sklearn.datasets import load_iris
from sklearn.ensemble import StackingRegressor, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from skconvexbn import (
    ConvexBNClassifier,
    ConvexBNClassifierCV,
    ConvexBNRegressor,
    ConvexBNRegressorCV,
)

RNG = np.random.default_rng(8)
X = RNG.standard_normal((16, 2)) * [1, 3] + [1, -2]
X_NEW = RNG.standard_normal((40, 2)) * [1, 3] + [1, -2]
Z = np.sin(2 * X[:, 0]) + 0.3 * X[:, 1]
CODES = np.digitize(Z, [-1.0, 0.3])
NAMES = np.array(["one", "three", "two"])[CODES]
COUNTS = RNG.integers(1, 4, 16)
SEVERAL = np.column_stack([Z, X[:, 0] ** 2])
SEARCH = {"betas": [0.3, 1.0], "shrinkages": (0.5,), "cv": 2, "tol": 1e-2}
SQUARED = {"loss": "squared_error", "beta": 0.1}
GATED = {"activation": "gated_relu", "beta": 0.1, "tol": 1e-2, "random_state": 0}

REGRESSORS = {
    "one output": (ConvexBNRegressor(beta=0.1), Z),
    "several outputs": (ConvexBNRegressor(beta=0.1, tol=1e-2), SEVERAL),
    "column": (ConvexBNRegressor(beta=0.1), Z[:, None]),
    "no intercept": (ConvexBNRegressor(beta=0.1, fit_intercept=False), Z),
    "pure biases": (ConvexBNRegressor(beta=0.01, fit_intercept=False), np.ones(16)),
    "no neurons": (ConvexBNRegressor(beta=1e4), Z),
    "truncated": (ConvexBNRegressor(beta=0.1, rank=1, scale=False), Z),
    "shrunk": (ConvexBNRegressor(beta=0.1, shrinkage=0.4, bias_scale=3.0), Z),
    "weight normalised": (ConvexBNRegressor(beta=0.1, shrinkage=1.0, bias_scale=0.5), Z),
    "regressor CV": (ConvexBNRegressorCV(**SEARCH), Z),
    "average": (ConvexBNRegressorCV(average=True, **SEARCH), Z),
}
CLASSIFIERS = {
    "binary": (ConvexBNClassifier(beta=0.1), CODES > 0),
    "multiclass": (ConvexBNClassifier(beta=0.1, tol=1e-2), CODES - 1),
    "strings": (ConvexBNClassifier(beta=0.1, tol=1e-2), NAMES),
    "no neurons, classes": (ConvexBNClassifier(beta=1e4), NAMES),
    "classifier CV": (ConvexBNClassifierCV(**SEARCH), NAMES == "one"),
}
SQUARED_ERROR = {
    "squared, binary": (ConvexBNClassifier(**SQUARED), np.where(CODES, "b", "a")),
    "squared, multiclass": (ConvexBNClassifier(tol=1e-2, **SQUARED), CODES),
    "squared, CV": (ConvexBNClassifierCV(loss="squared_error", **SEARCH), NAMES == "one"),
}
GATES = {
    "gates": (ConvexBNRegressor(**GATED), Z),
    "gates, several outputs": (ConvexBNRegressor(**GATED), SEVERAL),
    "gates, classes": (ConvexBNClassifier(**GATED), NAMES),
    "gates, squared": (ConvexBNClassifier(loss="squared_error", **GATED), CODES),
}
GATES_WITHOUT_NEURONS = {"gates, no neurons": (ConvexBNRegressor(**GATED | {"beta": 1e4}), Z)}
PLAIN = REGRESSORS | CLASSIFIERS | SQUARED_ERROR | GATES_WITHOUT_NEURONS


@cache
def fitted(name, weighted=None):
    """Scaler and estimator, the latter fitted with COUNTS as weights or without."""
    model, y = (PLAIN | GATES)[name]
    scaler, model = StandardScaler().fit(X), clone(model)
    model.fit(scaler.transform(X), y, sample_weight=COUNTS if weighted else None)
    assert (model.n_neurons_ == 0) == ("no neurons" in name)
    return make_pipeline(scaler, model)


def raw(model, X):
    """Outputs in two dimensions."""
    regressor = is_regressor(model)
    F = model.predict(X) if regressor else model.decision_function(X)
    return F.reshape(len(X), -1)


def assert_close(actual, expected, eps):
    """Close relative to the largest value; float32 rounds to 6e-8."""
    tolerance = 1e-6 if eps == 32 else 1e-10
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("name", PLAIN)
def test_torch_has_the_same_outputs(name, folded, bits):
    model = fitted(name)[-1]
    dtype = torch.float32 if bits == 32 else None
    network = model.to_torch(folded=folded, dtype=dtype)
    kinds = ["Linear", "ReLU", "Linear"] if folded else ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert [type(layer).__name__ for layer in network] == kinds
    assert not network.training
    rows = torch.tensor(X_NEW, dtype=dtype or torch.float64)
    with torch.no_grad():
        assert_close(network(rows).numpy(), raw(model, rows.double().numpy()), bits)


@pytest.mark.parametrize("name", ["no neurons", "no neurons, classes", "gates, no neurons"])
def test_networks_without_neurons_have_nothing_to_unlearn(name):
    assert not fitted(name)[-1].to_torch()[2].weight.any()


WEIGHTED = [(name, "weighted") for name in ("one output", "shrunk", "binary")]


@pytest.mark.parametrize(
    "case", [*((name,) for name in PLAIN), *WEIGHTED], ids=lambda case: ", ".join(case)
)
def test_torch_has_the_training_statistics(case):
    """Rows repeated by weight are a batch with these statistics, with shrinkage and without."""
    scaler, model = fitted(*case)
    rows = np.repeat(scaler.transform(X), COUNTS if case in WEIGHTED else 1, axis=0)
    network = model.to_torch(folded=False)
    assert network[1].num_batches_tracked == 1
    with torch.no_grad():
        hidden = network[0](torch.tensor(rows)).numpy()
        np.testing.assert_allclose(hidden.mean(axis=0), network[1].running_mean, atol=1e-10)
        if model.n_neurons_:
            np.testing.assert_allclose(hidden.var(axis=0), network[1].running_var, rtol=1e-9)
        assert_close(network.train()(torch.tensor(rows)).numpy(), raw(model, rows), 64)


@pytest.mark.parametrize("folded", [True, False])
def test_torch_exports_draw_nothing_share_nothing_and_learn(folded):
    model = fitted("strings")[-1]
    before, state = raw(model, X_NEW), torch.get_rng_state()
    network = model.to_torch(folded=folded).train()
    assert torch.equal(torch.get_rng_state(), state)
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
    rows, codes = torch.tensor(X), torch.tensor(CODES)
    losses = []
    for _ in range(5):
        losses.append(torch.nn.functional.cross_entropy(network(rows), codes))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < losses[0]
    np.testing.assert_array_equal(raw(model, X_NEW), before)


@pytest.mark.parametrize("dtype", ["float32", torch.int64, torch.complex64, np.float32])
def test_torch_has_floating_point_types(dtype):
    with pytest.raises(TypeError, match="dtype must be None or a floating-point type of torch"):
        fitted("one output")[-1].to_torch(dtype=dtype)


def test_a_neuron_that_is_constant_on_a_batch_stays_finite():
    network = fitted("one output")[-1].to_torch(folded=False, dtype=torch.float32).train()
    network(torch.ones(3, 2)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("folded", [True, False])
def test_torch_exports_are_on_the_cpu_and_can_learn_wherever_they_were_made(folded):
    model = fitted("one output")[-1]
    with torch.device("meta"), torch.inference_mode():
        network = model.to_torch(folded=folded)
    assert {p.device.type for p in network.parameters()} == {"cpu"}
    network.train()(torch.tensor(X)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("name", [*REGRESSORS, *CLASSIFIERS, *GATES_WITHOUT_NEURONS])
def test_mlp_predicts_the_same(name):
    model = fitted(name)[-1]
    mlp = pickle.loads(pickle.dumps(model.to_sklearn_mlp()))
    check_is_fitted(mlp)
    assert mlp.hidden_layer_sizes == (max(model.n_neurons_, 1),)
    assert clone(mlp).get_params() == mlp.get_params()
    if is_regressor(model):
        expected = model.predict(X_NEW)
        assert_close(mlp.predict(X_NEW), expected[:, 0] if name == "column" else expected, 64)
    else:
        np.testing.assert_array_equal(mlp.predict(X_NEW), model.predict(X_NEW))
        np.testing.assert_array_equal(mlp.classes_, model.classes_)
        assert_close(mlp.predict_proba(X_NEW), model.predict_proba(X_NEW), 64)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("name", ["one output", "several outputs", "binary", "strings"])
def test_mlp_has_the_attributes_of_a_fitted_one_and_goes_on(name):
    model, y = fitted(name)[-1], (REGRESSORS | CLASSIFIERS)[name][1]
    mlp = model.to_sklearn_mlp()
    kind = MLPRegressor if name in REGRESSORS else MLPClassifier
    assert type(mlp) is kind
    usual = kind(hidden_layer_sizes=mlp.hidden_layer_sizes, random_state=0, max_iter=2)
    usual.fit(X, y)
    assert set(vars(mlp)) == set(vars(usual)) - {"_optimizer"}
    for attribute in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(mlp, attribute) == getattr(usual, attribute)
    assert [W.shape for W in mlp.coefs_] == [W.shape for W in usual.coefs_]
    rows = fitted(name)[0].transform(X)
    score = mlp.score(rows, y)
    before = raw(model, X_NEW)
    mlp.partial_fit(rows, y)
    assert mlp.score(rows, y) > score - 0.05
    assert not np.array_equal(mlp.coefs_[0], model.coefs_[0])
    np.testing.assert_array_equal(raw(model, X_NEW), before)


def test_mlp_knows_the_names_of_features():
    frame = pd.DataFrame(X, columns=["a", "b"])
    model = clone(REGRESSORS["one output"][0]).fit(frame, Z)
    mlp = model.to_sklearn_mlp()
    assert_close(mlp.predict(frame), model.predict(frame), 64)
    with pytest.raises(ValueError, match="feature names"):
        mlp.predict(frame[["b", "a"]])
    classifier = ConvexBNClassifier(rank=1, random_state=0).fit(frame, Z > 0)
    assert list(classifier.to_sklearn_mlp().feature_names_in_) == ["a", "b"]


@pytest.mark.parametrize("name", SQUARED_ERROR)
def test_no_mlp_has_the_probabilities_of_squared_error(name):
    with pytest.raises(ValueError, match="not those of loss='squared_error'"):
        fitted(name)[-1].to_sklearn_mlp()


@pytest.mark.parametrize("name", ["gates", "gates, classes"])
def test_gates_have_no_plain_network(name):
    for export in (fitted(name)[-1].to_torch, fitted(name)[-1].to_sklearn_mlp):
        with pytest.raises(ValueError, match="activation='gated_relu' has no plain ReLU network"):
            export()


@pytest.mark.parametrize("estimator", [ConvexBNRegressor, ConvexBNClassifierCV])
def test_exports_need_a_fit(estimator):
    for export in (estimator().to_torch, estimator().to_sklearn_mlp):
        with pytest.raises(NotFittedError):
            export()


def to_onnx(*args, **params):
    skl2onnx = pytest.importorskip("skl2onnx", reason="the extra onnx is not installed")
    import skconvexbn.onnx  # noqa: F401

    return skl2onnx.to_onnx(*args, **params)


def convert(model, rows, options=None, **params):
    """Outputs in ONNX Runtime, by name."""
    runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    onnx = to_onnx(model, rows[:1], options=options, **params).SerializeToString()
    session = runtime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": rows}), strict=True))


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", PLAIN | GATES)
def test_onnx_predicts_the_same(name, bits):
    pipeline = fitted(name)
    rows = X_NEW.astype(f"f{bits // 8}")
    expected = pipeline[:-1].transform(rows.astype(np.float64))
    if is_regressor(pipeline[-1]):
        outputs = convert(pipeline, rows)
        assert outputs["variable"].dtype == rows.dtype
        assert_close(outputs["variable"], raw(pipeline[-1], expected), bits)
        return
    outputs = convert(pipeline, rows, {"zipmap": False})
    assert outputs["probabilities"].dtype == rows.dtype
    assert_close(outputs["probabilities"], pipeline[-1].predict_proba(expected), bits)
    np.testing.assert_array_equal(outputs["label"], pipeline[-1].predict(expected))


@pytest.mark.parametrize("name", ["one output", "several outputs"])
def test_onnx_declares_the_number_of_outputs(name):
    model = fitted(name)[-1]
    (output,) = to_onnx(model, X_NEW[:1]).graph.output
    assert output.type.tensor_type.shape.dim[1].dim_value == model.coefs_[1].shape[1]


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_onnx_goes_by_the_loss_of_the_fit(loss):
    X, y = load_iris(return_X_y=True)
    model = ConvexBNClassifier(loss=loss, random_state=0).fit(X, y)
    expected = model.predict_proba(X)
    model.set_params(loss="squared_error" if loss == "log_loss" else "log_loss")
    outputs = convert(model, X, {"zipmap": False})
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-7)


@pytest.mark.parametrize("name", ["binary", "strings", "squared, multiclass"])
def test_onnx_options(name):
    model, rows = fitted(name)[-1], X_NEW
    P, labels = model.predict_proba(rows), model.predict(rows)
    for dtype in (np.float32, np.float64):
        zipped = convert(model, rows.astype(dtype))
        np.testing.assert_array_equal(zipped["output_label"], labels)
        for row, p in zip(zipped["output_probability"], P, strict=True):
            assert list(row) == model.classes_.tolist()
            np.testing.assert_allclose(list(row.values()), p, atol=1e-6)
    columns = convert(model, rows, {"zipmap": "columns"})
    np.testing.assert_array_equal(columns.pop("output_label"), labels)
    assert_close(np.column_stack(list(columns.values())), P, 64)
    plain = {"zipmap": False}
    numbered = convert(model, rows, plain | {"nocl": True})["label"]
    np.testing.assert_array_equal(model.classes_[numbered], labels)
    F = raw(model, rows)
    F = np.hstack([-F, F]) if F.shape[1] == 1 else F
    assert_close(convert(model, rows, plain | {"raw_scores": True})["probabilities"], F, 64)
    assert_close(convert(model, rows, plain, target_opset=13)["probabilities"], P, 64)
    if name != "binary":
        named = convert(model, rows, plain | {"output_class_labels": True})
        np.testing.assert_array_equal(named["class_labels"], model.classes_)


def test_onnx_far_from_the_origin_and_in_integers():
    """Rows are centred first: what single precision holds of the data is not lost again."""
    for shift in (1e4, 1e6):
        rows = (1000 * X + shift).astype(np.int64)
        model = ConvexBNRegressor(beta=0.1).fit(rows, Z)
        for given in (rows, rows.astype(np.float32)):
            actual = convert(model, given)["variable"]
            assert actual.dtype == np.float32
            assert_close(actual[:, 0], model.predict(rows), 32)


@pytest.mark.parametrize("activation", ["relu", "gated_relu"])
def test_onnx_keeps_what_the_mean_loses_in_single_precision(activation):
    rows = np.round(10 * X[:-3] + 1e7).astype(np.float32)
    model = ConvexBNRegressor(beta=0.1, activation=activation, random_state=0)
    model.fit(rows.astype(float), Z[:-3])
    assert np.abs(model.mean_ - model.mean_.astype(np.float32)).max() > 0.1
    new = (1e7 + np.random.default_rng(0).integers(-30, 30, (500, 2))).astype(np.float32)
    assert_close(convert(model, new)["variable"][:, 0], model.predict(new), 32)


def test_onnx_needs_a_fitted_estimator():
    with pytest.raises(NotFittedError, match="not fitted yet"):
        convert(ConvexBNRegressor(), np.zeros((1, 2), np.float32))


def test_onnx_labels_are_integers_or_strings():
    rows, plain = X, {"zipmap": False}
    whole = ConvexBNClassifier(beta=0.1).fit(X, 1.0 * (CODES > 0))
    label = convert(whole, rows, plain)["label"]
    assert label.dtype == np.int64
    np.testing.assert_array_equal(label, whole.predict(rows))
    named = np.where(CODES > 0, "yes", "no").astype(object)
    objects = ConvexBNClassifier(beta=0.1).fit(X, named)
    np.testing.assert_array_equal(convert(objects, rows, plain)["label"], objects.predict(rows))
    halves = ConvexBNClassifier(beta=0.1).fit(X, 0.0 + (CODES > 0))
    halves.classes_ = halves.classes_ / 2
    with pytest.raises(ValueError, match="integers or strings"):
        convert(halves, rows, plain)


def test_onnx_inside_other_estimators():
    search = GridSearchCV(ConvexBNRegressor(), {"beta": [0.1, 1.0]}, cv=2).fit(X, Z)
    stack = StackingRegressor([("net", ConvexBNRegressor(beta=0.1))], Ridge(), cv=2).fit(X, Z)
    for model in (search, stack):
        assert_close(convert(model, X_NEW)["variable"][:, 0], model.predict(X_NEW), 64)
    nets = [(str(beta), ConvexBNClassifier(beta=beta)) for beta in (0.1, 0.3)]
    vote = VotingClassifier(nets, voting="soft", flatten_transform=False).fit(X, CODES > 0)
    outputs = convert(vote, X_NEW, {"zipmap": False})
    np.testing.assert_array_equal(outputs["label"], vote.predict(X_NEW))
    assert_close(outputs["probabilities"], vote.predict_proba(X_NEW), 64)


def test_the_users_random_numbers_are_left_alone():
    model = ConvexBNRegressor(rank=1, random_state=0).fit(X, X[:, 0])
    before = np.random.get_state()[1].copy()
    model.to_sklearn_mlp()
    np.testing.assert_array_equal(np.random.get_state()[1], before)

"""Conversion to ONNX: importing this module registers the estimators with skl2onnx.

From then on ``skl2onnx.to_onnx`` and ``convert_sklearn`` take them, alone and inside pipelines or
other estimators. The output of regressors is ``variable`` (n_samples, n_outputs), those of
classifiers are ``label`` and ``probabilities`` (n_samples, n_classes), with the options
``zipmap``, ``nocl``, ``output_class_labels`` and ``raw_scores`` of skl2onnx. They are computed in
the type of the input, float32 or float64, and in float32 of integers; the dictionaries that
``zipmap`` makes by default hold float32 in any case. Labels are integers or strings, otherwise the
conversion raises ValueError.

Examples
--------
>>> import onnxruntime
>>> from skl2onnx import to_onnx
>>> from sklearn.datasets import load_iris
>>> import skconvexbn.onnx
>>> from skconvexbn import ConvexBNClassifier
>>> X, y = load_iris(return_X_y=True)
>>> model = ConvexBNClassifier(random_state=0).fit(X, y)
>>> onnx = to_onnx(model, X[:1], options={"zipmap": False}).SerializeToString()
>>> session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
>>> label, probabilities = session.run(None, {"X": X})
>>> bool((label == model.predict(X)).all()), probabilities.shape
(True, (150, 3))
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from onnx.helper import np_dtype_to_tensor_dtype
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    guess_proto_type,
)
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)
from skl2onnx.common.utils_classifier import get_label_classes
from sklearn.utils.validation import check_is_fitted

from .classifier import ConvexBNClassifier
from .export import with_neurons
from .model_selection import ConvexBNClassifierCV, ConvexBNRegressorCV
from .network import Network
from .regressor import ConvexBNRegressor

CLASSIFIER_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
    "raw_scores": [True, False],
}


def regressor_shapes(operator: Any) -> None:
    """Set type and shape of a regressor's output."""
    check_is_fitted(operator.raw_operator)
    calculate_linear_regressor_output_shapes(operator)
    operator.outputs[0].type.shape[1] = len(operator.raw_operator._network.b)


def classifier_shapes(operator: Any) -> None:
    """Set types and shapes of a classifier's outputs."""
    calculate_linear_classifier_output_shapes(operator)
    P = operator.outputs[1]
    operators = operator.scope_inst.operators.values()
    if any(o.type == "SklearnZipMap" and P in o.inputs for o in operators):
        P.set_type(FloatTensorType(P.type.shape))  # dictionaries hold no other


def convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of a regressor."""
    add = partial(add_node, scope, container)
    F, _ = add_network(add, operator)
    add("Identity", F, output=operator.outputs[0].full_name)


def convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of a classifier: the label and the probabilities."""
    add = partial(add_node, scope, container)
    model, (label, probabilities) = operator.raw_operator, operator.outputs
    F, dtype = add_network(add, operator)
    binary = len(model.classes_) == 2
    if binary:
        F = add("Concat", add("Neg", F), F, axis=1)
    best = add("ArgMax", F, axis=1, keepdims=0)
    classes = labels(get_label_classes(scope, model), label.type)
    add("Gather", classes, best, output=label.full_name)
    if scope.get_options(model, {"raw_scores": False})["raw_scores"]:
        P = F
    elif model._log_loss:
        P = add("Sigmoid", F) if binary else add("Softmax", F, axis=1)
    else:
        if binary:  # (1 - f) / 2 and (1 + f) / 2
            F = add("Div", add("Add", F, np.array(1, dtype)), np.array(2, dtype))
        P = add_nearest_probabilities(add, F, len(model.classes_), dtype)
    add("Cast", P, output=probabilities.full_name, to=guess_proto_type(probabilities.type))


def labels(classes: np.ndarray, kind: Any) -> np.ndarray:
    """Class labels as int64 or str, an error if they are other numbers."""
    if not isinstance(kind, Int64TensorType):
        return classes.astype(str)
    codes = classes.astype(np.int64)
    if np.any(codes != classes):
        raise ValueError(f"Labels in ONNX are integers or strings, got classes {classes}.")
    return codes


def add_network(add: Any, operator: Any) -> tuple[str, np.dtype]:
    """Name of the network's outputs (n, C), and their type.

    Rows are centred first, as in ``Network.hidden``: single precision then is enough where means
    are large. What the mean loses by rounding joins the bias.
    """
    network: Network = with_neurons(operator.raw_operator._network)
    X = operator.inputs[0]
    dtype = np.dtype("f8" if isinstance(X.type, DoubleTensorType) else "f4")
    cast = partial(add, "Cast", to=np_dtype_to_tensor_dtype(dtype))
    mean = network.mean.astype(dtype)
    Xc = add("Sub", cast(X.full_name), mean)

    def affine(X: str, W: np.ndarray, c: np.ndarray) -> str:
        return add("Gemm", X, W.astype(dtype), c.astype(dtype))

    rounding = mean - network.mean
    Z = affine(Xc, network.W, network.c + rounding @ network.W)
    if network.gates is None:
        hidden = add("Relu", Z)
    else:
        V, c = network.gates
        gate = add("GreaterOrEqual", affine(Xc, V, c + rounding @ V), np.array(0, dtype))
        hidden = add("Mul", Z, cast(gate))
    return affine(hidden, network.G, network.b), dtype


def add_nearest_probabilities(add: Any, F: str, K: int, dtype: np.dtype) -> str:
    """Name of the nearest points max(F - t, 0) of the simplex to outputs F (n, K).

    t is the largest of (sum of the k largest outputs - 1) / k.
    """
    descending = add("TopK", F, np.array([K]), axis=1, n_outputs=2)
    excess = add("Sub", add("CumSum", descending, np.array(1)), np.array(1, dtype))
    t = add("Div", excess, np.arange(1, K + 1, dtype=dtype))
    largest = add("TopK", t, np.array([1]), axis=1, n_outputs=2)  # ReduceMax varies with opsets
    return add("Relu", add("Sub", F, largest))


def add_node(
    scope: Any,
    container: Any,
    kind: str,
    *inputs: str | np.ndarray,
    output: str | None = None,
    n_outputs: int = 1,
    **attributes: int,
) -> str:
    """Add a node whose inputs are names or arrays; the name of its first output."""
    names = []
    for value in inputs:
        name = value if isinstance(value, str) else scope.get_unique_variable_name("constant")
        if not isinstance(value, str):
            tensor_type = np_dtype_to_tensor_dtype(value.dtype)
            container.add_initializer(name, tensor_type, value.shape, value.ravel())
        names.append(name)
    outputs = [scope.get_unique_variable_name(kind) for _ in range(n_outputs)]
    if output is not None:
        outputs = [output]
    name = scope.get_unique_operator_name(kind)
    container.add_node(kind, names, outputs, name=name, **attributes)
    return outputs[0]


for estimator in (ConvexBNRegressor, ConvexBNRegressorCV):
    update_registered_converter(
        estimator, "SkconvexbnRegressor", regressor_shapes, convert_regressor
    )
for estimator in (ConvexBNClassifier, ConvexBNClassifierCV):
    update_registered_converter(
        estimator,
        "SkconvexbnClassifier",
        classifier_shapes,
        convert_classifier,
        options=CLASSIFIER_OPTIONS,
    )

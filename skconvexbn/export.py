"""Fitted networks as those of PyTorch and scikit-learn (theory.md 7; ONNX: `onnx`)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .network import Network

if TYPE_CHECKING:
    import torch

# Neurons have unit variance, which hides this in training mode and is exactly compensated in
# evaluation; yet a neuron that is constant on a batch does not become 0/0.
EPS = 1e-12


def with_neurons(network: Network) -> Network:
    """The network, or if it has no neurons the same with one of weight 0: layers are not empty."""
    if network.W.shape[1]:
        return network
    W, zero = np.zeros((len(network.mean), 1)), np.zeros(1)
    return replace(
        network,
        W=W,
        c=zero,
        G=np.zeros((1, len(network.b))),
        gamma=zero,
        alpha=zero,
        directions=W,
        deviations=zero,
        gates=None,
    )


def plain(network: Network) -> Network:
    """The network, with neurons; an error if their gates are not their own signs."""
    network = with_neurons(network)
    if network.gates is not None:
        raise ValueError(
            "activation='gated_relu' has no plain ReLU network; use activation='relu', or "
            "skl2onnx with skconvexbn.onnx, which converts gates too."
        )
    return network


def to_torch(network: Network, folded: bool, dtype: torch.dtype | None) -> torch.nn.Sequential:
    """A network of torch with the outputs (n, C), on the CPU and in evaluation mode."""
    import torch

    dtype = torch.float64 if dtype is None else dtype
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise TypeError(
            f"dtype must be None or a floating-point type of torch such as torch.float32, got "
            f"{dtype!r}."
        )
    with torch.inference_mode(False):  # whose tensors could not learn
        return _to_torch(plain(network), folded, dtype)


def _to_torch(network: Network, folded: bool, dtype: torch.dtype) -> torch.nn.Sequential:
    import torch
    from torch.nn.utils import skip_init  # weights drawn at first would use up random numbers

    (d, m), C = network.W.shape, len(network.b)
    head = skip_init(torch.nn.Linear, m, C)
    if folded:
        layers = [skip_init(torch.nn.Linear, d, m)]
        state = {"0.weight": network.W.T, "0.bias": network.intercepts[0]}
    else:
        std = np.where(network.deviations > 0, network.deviations, 1.0)
        W = network.directions / std
        layers = [
            skip_init(torch.nn.Linear, d, m, bias=False),
            torch.nn.BatchNorm1d(m, eps=EPS, device="cpu"),
        ]
        state = {
            "0.weight": W.T,
            "1.weight": network.gamma * std,
            "1.bias": network.c,
            "1.running_mean": network.mean @ W,
            "1.running_var": np.full(m, 1.0 - EPS),
            "1.num_batches_tracked": np.array(1),  # the training rows
        }
    state |= {f"{len(layers) + 1}.weight": network.G.T, f"{len(layers) + 1}.bias": network.b}
    exported = torch.nn.Sequential(*layers, torch.nn.ReLU(), head).to(dtype=dtype)
    tensors = {name: torch.tensor(value, device="cpu") for name, value in state.items()}
    exported.load_state_dict(tensors)
    return exported.eval()


def to_mlp(network: Network, names: np.ndarray | None, classes: np.ndarray | None = None) -> Any:
    """A multilayer perceptron of scikit-learn for features called ``names``, as if fitted."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.preprocessing import LabelBinarizer

    network = plain(network)
    (d, m), C = network.W.shape, len(network.b)
    mlp: Any = (MLPRegressor if classes is None else MLPClassifier)(hidden_layer_sizes=(m,))
    if classes is not None:
        mlp._label_binarizer = LabelBinarizer().fit(classes)
        mlp.classes_ = mlp._label_binarizer.classes_
    mlp.n_features_in_ = d
    if names is not None:
        mlp.feature_names_in_ = names
    mlp._random_state = np.random.RandomState(0)
    mlp._initialize(np.empty((0, C)), [d, m, C], np.float64)  # all it sets before its first step
    mlp.loss_ = np.nan
    mlp.coefs_ = [np.array(W) for W in network.coefs]
    mlp.intercepts_ = [np.array(b) for b in network.intercepts]
    return mlp

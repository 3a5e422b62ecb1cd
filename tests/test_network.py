"""Networks: torch's own BatchNorm1d, the normalisation formula, pruning and merging."""

import tracemalloc

import numpy as np
import pytest
import torch

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor
from skconvexbn.network import BLOCK_ENTRIES, Network
from skconvexbn.whitening import Whitening

RNG = np.random.default_rng(6)


def fitted(C=1, wide=False, **params):
    X = RNG.standard_normal((12, 30) if wide else (40, 4)) * 3 + 5
    X_new = RNG.standard_normal((25, X.shape[1])) * 3 + 5
    if C == 1:
        return (
            ConvexBNRegressor(beta=0.1, random_state=0, **params).fit(X, np.sin(X[:, 0])),
            X,
            X_new,
        )
    labels = np.arange(len(X)) % C
    return ConvexBNClassifier(beta=0.1, random_state=0, **params).fit(X, labels), X, X_new


@pytest.mark.parametrize("rank", [None, 2])
@pytest.mark.parametrize(("C", "wide"), [(1, False), (3, False), (1, True), (3, True)])
def test_torch_batch_norm_predicts_the_same(C, wide, rank):
    model, X, X_new = fitted(C, wide, rank=rank)
    m, (n, d) = model.n_neurons_, X.shape
    assert m > 0
    linear = torch.nn.Linear(d, m, bias=False, dtype=torch.float64)
    norm = torch.nn.BatchNorm1d(m, eps=1e-300, momentum=None, dtype=torch.float64)
    head = torch.nn.Linear(m, model.coefs_[1].shape[1], dtype=torch.float64)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(model.hidden_directions_.T))
        # torch divides by the standard deviation, the paper by the norm: sqrt(n) apart.
        norm.weight.copy_(torch.tensor(model.gamma_ / np.sqrt(n)))
        norm.bias.copy_(torch.tensor(model.alpha_ / np.sqrt(n)))
        head.weight.copy_(torch.tensor(model.coefs_[1].T))
        head.bias.copy_(torch.tensor(model.intercepts_[1]))
        network = torch.nn.Sequential(linear, norm, torch.nn.ReLU(), head)
        network.train()
        in_training = network(torch.tensor(X)).numpy()  # also sets the running mean
        network.eval()
        norm.running_var *= (n - 1) / n  # torch stores the unbiased variance
        at_new = network(torch.tensor(X_new)).numpy()
    scale = np.abs(in_training).max()
    np.testing.assert_allclose(in_training, model._network_output(X), atol=1e-10 * scale)
    np.testing.assert_allclose(
        at_new, model._network_output(X_new), atol=1e-10 * max(scale, np.abs(at_new).max())
    )


@pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (0.4, 3.0), (1.0, 0.5)])
@pytest.mark.parametrize("rank", [None, 3])
def test_shrinkage_network_equals_the_normalisation_formula(a, b, rank):
    """theory.md 7: z = X_c w over sqrt((1 - a) ||X_c w||^2 + a m ||w||^2), in scaled columns."""
    w = RNG.uniform(0.5, 2, 40)
    X = RNG.standard_normal((40, 4)) * [1, 5, 0.1, 2]
    model = ConvexBNRegressor(beta=0.05, shrinkage=a, bias_scale=b, rank=rank, random_state=0)
    model.fit(X, np.abs(X[:, 0]) + X[:, 1], sample_weight=w)
    assert model.n_neurons_ > 2
    m = np.mean(model.singular_values_**2)
    X_new = RNG.standard_normal((15, 4))
    directions = 7.3 * model.hidden_directions_  # of any length
    spread = np.sqrt(w @ ((X - model.mean_) @ directions) ** 2)
    length = np.linalg.norm(directions * model.scale_[:, None], axis=0)
    denominator = np.sqrt((1 - a) * spread**2 + a * m * length**2)
    z = model.gamma_ * ((X_new - model.mean_) @ directions) / denominator
    hidden = np.maximum(z + model.alpha_ / np.sqrt(w.sum()), 0)
    expected = hidden @ model.coefs_[1][:, 0] + model.intercepts_[1]
    np.testing.assert_allclose(model.predict(X_new), expected, atol=1e-10)
    np.testing.assert_allclose(model.gamma_**2 + (model.alpha_ / b) ** 2, 1)


def test_folded_weights_predict_the_same():
    model, _, X_new = fitted(3)
    hidden = np.maximum(X_new @ model.coefs_[0] + model.intercepts_[0], 0)
    np.testing.assert_allclose(
        hidden @ model.coefs_[1] + model.intercepts_[1], model.decision_function(X_new), atol=1e-10
    )


def test_a_neuron_that_is_a_pure_bias_has_a_direction_of_unit_norm():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 3))
    basis = Whitening.fit(X, np.ones(30)).basis(rank=2)
    network = Network.from_neurons(basis, np.eye(3)[:, [2, 0]], np.ones((2, 1)), np.zeros(1))
    assert network.gamma.tolist() == [0.0, 1.0]
    Z = (X - network.mean) @ network.directions
    np.testing.assert_allclose(np.linalg.norm(Z, axis=0), 1)
    np.testing.assert_allclose(network.deviations, Z.std(axis=0))


@pytest.mark.parametrize("activation", ["relu", "gated_relu"])
def test_an_average_has_the_mean_of_outputs_and_all_neurons(activation):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 3)), rng.standard_normal(30) + 5
    models = [
        ConvexBNRegressor(beta=beta, rank=rank, activation=activation, random_state=0).fit(X, y)
        for beta, rank in ((1e3, None), (0.3, 2), (0.1, None))
    ]
    assert not models[0].n_neurons_
    shares = [0.2, 0.3, 0.5]
    network = Network.average([model._network for model in models], shares)
    expected = np.sum([s * m.predict(X) for s, m in zip(shares, models, strict=True)], axis=0)
    np.testing.assert_allclose(network.output(X)[:, 0], expected, rtol=1e-12)
    for name in ("gamma", "alpha", "deviations", "directions"):
        parts = [getattr(model._network, name) for model in models]
        np.testing.assert_array_equal(getattr(network, name), np.concatenate(parts, axis=-1))


@pytest.mark.parametrize(("gated", "most"), [(False, 1.1), (True, 2.3)])
def test_an_output_holds_one_block_of_activations(gated, most):
    n, m = 20_000, 200
    W, c, G = np.ones((3, m)), np.ones(m), np.ones((m, 1))
    gates = (W, c) if gated else None
    network = Network(np.zeros(3), W, c, G, np.zeros(1), c, c, W, c, gates)
    tracemalloc.start()
    F = network.output(np.ones((n, 3)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(F, 4.0 * m)
    assert peak < most * 8 * BLOCK_ENTRIES + 3 * F.nbytes < 8 * n * m

"""Fits on other devices than the CPU: those present, and pretended ones (`pretend_device`)."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from pretend_device import pretend_device
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_friedman1

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor, ConvexBNRegressorCV
from skconvexbn.losses import BinaryLogLoss, Loss, MultinomialLogLoss, SquaredError
from skconvexbn.oracle import search
from skconvexbn.solvers import adaptive, measure
from skconvexbn.solvers import torch as backend
from skconvexbn.solvers.measure import Model

X, y = (a[:150] for a in load_diabetes(return_X_y=True))
outputs = np.column_stack([y, y**2 / 100])
iris = load_iris(return_X_y=True)
cancer = tuple(a[:150] for a in load_breast_cancer(return_X_y=True))
SAMPLED = {"arrangements": "sampled", "n_arrangements": 20}
GATED = {**SAMPLED, "activation": "gated_relu"}
FITS = {
    "one output": (ConvexBNRegressor, X, y, {}),
    "many rounds": (ConvexBNRegressor, X, y, {"tol": 1e-3}),
    "several outputs": (ConvexBNRegressor, X, outputs, {}),
    "two columns": (ConvexBNRegressor, X[:, :2], y, {}),
    "many rows": (ConvexBNRegressor, X, y, {"beta": 20.0}),
    "two classes": (ConvexBNClassifier, *cancer, {}),
    "three classes": (ConvexBNClassifier, *iris, {}),
    "sampled": (ConvexBNRegressor, X, y, SAMPLED),
    "sampled, several outputs": (ConvexBNRegressor, X, outputs, SAMPLED),
    "sampled, two classes": (ConvexBNClassifier, *cancer, SAMPLED),
    "all, two classes": (ConvexBNClassifier, X[:40, :2], y[:40] > 140, {"arrangements": "exact"}),
    "gated": (ConvexBNRegressor, X, y, GATED),
    "gated, several outputs": (ConvexBNRegressor, X, outputs, GATED),
    "gated, three classes": (ConvexBNClassifier, *iris, GATED),
}


REAL = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


def on(kind):
    """The device, or a pretended one where it is not."""
    return nullcontext() if REAL[kind] else pretend_device(kind)


@pytest.mark.parametrize("kind", REAL)
@pytest.mark.parametrize("name", FITS)
def test_fits_stay_on_their_device_and_are_those_of_the_cpu(name, kind, monkeypatch):
    estimator, X, y, settings = FITS[name]
    if name == "many rows":  # begun with a fit to some of them
        monkeypatch.setattr(adaptive, "START_ROWS", 60)
    model = estimator(random_state=0, backend="torch", **settings)
    cpu = model.fit(X, y).objective_, model.dual_gap_
    with on(kind) as pretence:
        model.set_params(device=kind).fit(X, y)
        assert isinstance(model.predict(X), np.ndarray)
    # Metal has no float64: there only searches run
    used = kind == "cuda" or "arrangements" not in settings
    assert model.device_.startswith(kind if used else "cpu")
    assert pretence is None or (pretence.calls > 100) is used
    assert model.converged_
    assert abs(model.objective_ - cpu[0]) <= cpu[1] + model.dual_gap_


@pytest.mark.parametrize("loss", [SquaredError(), BinaryLogLoss(), MultinomialLogLoss()])
def test_losses_make_their_constants_on_the_device(loss):
    C = 1 if isinstance(loss, BinaryLogLoss) else 3
    with on("cuda"):
        F = torch.as_tensor(np.random.default_rng(0).standard_normal((5, C)), device="cuda")
        Y, w = torch.full_like(F, 1 / C), torch.ones_like(F[:, 0])
        loss.value_and_gradient(F, Y, w)
        for made in (loss.hessian(F, w), loss.root(F, w), Loss.root(loss, F, w)):
            assert made.device.type == "cuda"


@pytest.mark.parametrize("kind", REAL)
def test_fits_are_reproducible_on_each_device(kind):
    model = ConvexBNRegressor(random_state=0, device=kind)
    with on(kind):
        first, second = (model.fit(X, y).predict(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("kind", REAL)
def test_models_are_selected_on_the_device(kind):
    settings = {"betas": [50.0, 200.0], "shrinkages": [0.5], "cv": 2, "random_state": 0}
    model = ConvexBNRegressorCV(backend="torch", **settings)
    scores = model.fit(X, y).cv_results_["mean_test_score"]
    with on(kind) as pretence:
        again = model.set_params(device=kind).fit(X, y).cv_results_["mean_test_score"]
    assert pretence is None or pretence.calls > 100
    np.testing.assert_allclose(again, scores, rtol=1e-2)


def test_targets_and_starts_that_are_read_only_go_to_the_device_too():
    """As jobs of joblib have them, in files that processes share, and fits that ray returns."""
    model = ConvexBNClassifier(device="cuda", random_state=0)
    training = model._training(*model._validate(*iris, None))
    training.rows.Y.flags.writeable = training.rows.w.flags.writeable = False
    torch.set_warn_always(True)  # warnings are errors here
    try:
        with on("cuda"):
            task = model._task(training, 0)
            fit = task.solve(1.0)
            assert fit.device.startswith("cuda")
            for a in fit.start:
                a.flags.writeable = False
            assert task.solve(0.9, fit.start).converged
    finally:
        torch.set_warn_always(False)


@pytest.mark.parametrize(("limit", "device"), [(0, "cuda:0"), (1, "cpu")])
def test_none_takes_cuda_where_the_data_are_worth_it(limit, device, monkeypatch):
    q = X.shape[1] + 1  # and a bias
    monkeypatch.setattr(backend, "MIN_CUDA_SIZE", len(X) * q + limit)
    with pretend_device("cuda"):
        assert ConvexBNRegressor(backend="torch", random_state=0).fit(X, y).device_ == device


def test_of_cuda_devices_the_one_named_is_taken():
    with pretend_device("cuda"):
        assert ConvexBNRegressor(device="cuda:0", random_state=0).fit(X, y).device_ == "cuda:0"
        with pytest.raises(ValueError, match="device='cuda:1' is not present: torch sees 1 CUDA"):
            ConvexBNRegressor(device="cuda:1").fit(X, y)


@pytest.mark.skipif(REAL["mps"], reason="needs a machine without Metal")
def test_mps_is_refused_where_it_is_not():
    with pytest.raises(ValueError, match="device='mps' is not present"):
        ConvexBNRegressor(device="mps").fit(X, y)


def test_blocks_are_made_to_fit_the_memory_of_the_device(monkeypatch):
    """Activations of all rows do not fit it; smaller blocks do, and nothing else is as large."""
    X, y = make_friedman1(1000, 5, random_state=0)
    tried = []
    monkeypatch.setattr(backend, "Model", lambda *args: tried.append(args[2]) or Model(*args))
    for module in (measure, search):
        monkeypatch.setitem(module.BLOCK_ENTRIES, "cuda", 1 << 19)
    model = ConvexBNRegressor(beta=30.0, backend="torch", random_state=0)
    cpu = model.fit(X, y).objective_, model.dual_gap_
    tried.clear()
    model.set_params(device="cuda")
    with pretend_device("cuda", memory=1.1 * (8 << 16)):
        model.fit(X, y)
    assert tried == [1, 8]
    assert abs(model.objective_ - cpu[0]) <= cpu[1] + model.dual_gap_
    with (
        pretend_device("cuda", memory=8 * len(X)),
        pytest.raises(MemoryError, match="Device cuda:0 has too little memory for 1000 rows in 6"),
    ):
        model.fit(X, y)

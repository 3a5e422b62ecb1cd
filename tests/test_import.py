"""Importing the package is fast and loads no solver."""

import subprocess
import sys

import joblib
import numpy as np
import pytest

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor, ConvexBNRegressorCV

CODE = """
import time, sys
import sklearn.base
start = time.process_time()
import skconvexbn
print(time.process_time() - start)
assert not {"torch", "cvxpy", "clarabel"} & set(sys.modules), "a solver was imported"
assert not {"matplotlib", "tqdm"} & set(sys.modules), "what only pictures need was imported"
exports = {"onnx", "skl2onnx", "onnxruntime", "sklearn.neural_network"}
assert not exports & set(sys.modules), "what only exports need was imported"
"""


def test_import_is_fast_and_loads_neither_torch_nor_cvxpy():
    times = []
    for _ in range(5):
        result = subprocess.run(
            [sys.executable, "-c", CODE], capture_output=True, text=True, check=True
        )
        times.append(float(result.stdout))
    assert np.median(times) < 0.3, times


@pytest.mark.parametrize(
    "model",
    [
        ConvexBNRegressor(rank=1),
        ConvexBNClassifier(beta=1e-3, rank=1, arrangements="adaptive"),
        ConvexBNRegressorCV(betas=[0.1], shrinkages=(0.0,), cv=2),
    ],
)
def test_a_loaded_model_predicts_without_solvers(model, tmp_path):
    X = np.random.default_rng(0).standard_normal((20, 2))
    joblib.dump(model.fit(X, np.arange(20) % 2), tmp_path / "model")
    code = (
        "import joblib, numpy as np, sys\n"
        "joblib.load(sys.argv[1]).predict(np.zeros((2, 2)))\n"
        "assert not {'torch', 'cvxpy', 'clarabel'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model")]
    assert subprocess.run(command, check=False).returncode == 0


def test_closed_form_imports_neither():
    code = (
        "import numpy as np, sys\n"
        "from skconvexbn import ConvexBNClassifier, ConvexBNRegressor\n"
        "X = np.random.default_rng(0).standard_normal((6, 9))\n"
        "ConvexBNRegressor().fit(X, X[:, 0]); ConvexBNClassifier().fit(X, np.arange(6) % 3)\n"
        "assert not {'torch', 'cvxpy', 'clarabel'} & set(sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

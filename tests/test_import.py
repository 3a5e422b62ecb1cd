"""Importing the package is fast and loads no solver."""

import subprocess
import sys

import numpy as np

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


def test_closed_form_imports_neither():
    code = (
        "import numpy as np, sys\n"
        "from skconvexbn import ConvexBNClassifier, ConvexBNRegressor\n"
        "X = np.random.default_rng(0).standard_normal((6, 9))\n"
        "ConvexBNRegressor().fit(X, X[:, 0]); ConvexBNClassifier().fit(X, np.arange(6) % 3)\n"
        "assert not {'torch', 'cvxpy', 'clarabel'} & set(sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

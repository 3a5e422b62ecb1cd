"""Settings that must precede the first import of numpy and scipy."""

import os

# scikit-learn skips its check of array API input without it.
os.environ["SCIPY_ARRAY_API"] = "1"
# Parallel workers would fight for the cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

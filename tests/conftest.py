"""Settings that must precede the first import of numpy and scipy, and what modules share."""

import os

import pytest

# scikit-learn skips its check of array API input without it.
os.environ["SCIPY_ARRAY_API"] = "1"
os.environ.setdefault("MPLBACKEND", "agg")
# Parallel workers would fight for the cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

STATES = {}


@pytest.fixture(autouse=True)
def same_numbers_whatever_ran_before(request):
    """Each test draws from its module's RNG as if it were the first."""
    rng = getattr(request.module, "RNG", None)
    if rng is not None:
        first = STATES.setdefault(request.module.__name__, rng.bit_generator.state)
        rng.bit_generator.state = first


@pytest.fixture(autouse=True)
def figures_are_closed(request):
    """Matplotlib warns of many open ones."""
    yield
    plt = getattr(request.module, "plt", None)
    if plt is not None:
        plt.close("all")


@pytest.fixture(scope="module")
def data():
    """Rows for a small search, with weights and groups."""
    from small_searches import diabetes

    return diabetes()


@pytest.fixture(scope="module")
def fits():
    """Fits of every kind that can be drawn."""
    from drawn_fits import fit_all

    return fit_all()


@pytest.fixture(scope="module")
def path():
    """A path that can be drawn."""
    from drawn_fits import fit_path

    return fit_path()

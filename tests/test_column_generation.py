"""Column generation of the torch backend: when it is taken, and several outputs."""

import numpy as np
import pytest
from test_sampled import directions, gap, make_problem

from skconvexbn import ConvexBNClassifier
from skconvexbn.arrangements import sample
from skconvexbn.solvers import torch as backend
from skconvexbn.solvers.interface import Options


@pytest.mark.parametrize(
    ("rows", "entries", "steps"), [(40, 800, True), (39, 800, False), (40, 799, False)]
)
def test_interior_points_take_few_rows_and_entries_of_masks(rows, entries, steps, monkeypatch):
    problem = make_problem()
    arrangements = sample(problem.Q, directions(problem, 20))
    assert len(arrangements) == 20
    monkeypatch.setattr(backend, "MAX_CONES_ROWS", rows)
    monkeypatch.setattr(backend, "MAX_CONES_ENTRIES", entries)
    remarks = []
    options = Options(1e-6, 100, report=lambda of_round: remarks.append(of_round.remark))
    solution = backend.solve(problem, arrangements, options)
    assert all(("complementarity" in remark) == steps for remark in remarks)
    assert gap(problem, solution) <= 1e-6 * problem.zero_loss


def test_many_outputs_do_not_need_a_neuron_for_every_direction():
    """With fixed output weights for each neuron they took a hundred rounds to a gap of 0.02."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 3)), rng.integers(0, 20, 40)
    model = ConvexBNClassifier(
        loss="squared_error",
        beta=1e-2,
        arrangements="sampled",
        n_arrangements=20,
        backend="torch",
        random_state=0,
    )
    model.fit(X, y)
    assert model.converged_
    assert model.n_iter_ < 20

"""Climbs from cone to cone: they end at maxima, and repeat no step."""

from itertools import product

import numpy as np
import pytest
from test_oracle import problem

from skconvexbn.arrangements import Arrangements, enumerate_all
from skconvexbn.oracle import polish
from skconvexbn.oracle.cones import in_arrangements
from skconvexbn.oracle.polish import climb_cones

RNG = np.random.default_rng(3)


def value_at(Q, V, h):
    return float(np.linalg.norm(V.T @ np.maximum(Q @ h, 0)))


@pytest.mark.parametrize("C", [1, 3])
def test_climbing_from_cone_to_cone_ends_at_the_exact_maximum(C):
    for _ in range(5):
        Q, V = problem(n=15, C=C)
        exact = in_arrangements(Q, V, enumerate_all(Q), 0.0).dual_norm
        starts = RNG.standard_normal((60, 3))
        starts /= np.linalg.norm(starts, axis=1, keepdims=True)
        ends = [climb_cones(Q, V, h) for h in starts]
        np.testing.assert_allclose(np.linalg.norm(ends, axis=1), 1)
        rises = [value_at(Q, V, x) - value_at(Q, V, h) for h, x in zip(starts, ends, strict=True)]
        assert min(rises) >= 0
        np.testing.assert_allclose(max(value_at(Q, V, x) for x in ends), exact, rtol=1e-8)


def test_climbing_ends_where_no_cone_around_has_more(monkeypatch):
    """With many rows most are left out of a step, and ends lie on kinks."""
    monkeypatch.setattr(polish, "MAX_CONES", 1000)
    Q, V = problem(n=150, q=5)
    n_kinks = []
    starts = RNG.standard_normal((50, 5))
    for h in starts[(starts @ Q.T > 0).any(axis=1)]:  # the others have nothing to climb
        h = climb_cones(Q, V, h / np.linalg.norm(h))
        kinks = np.flatnonzero(np.abs(Q @ h) < 1e-9)
        masks = np.tile(Q @ h > 0, (2 ** len(kinks), 1))
        masks[:, kinks] = list(product([False, True], repeat=len(kinks)))
        around = in_arrangements(Q, V, Arrangements.from_masks(masks), 0.0)
        sign = np.sign(V[:, 0] @ np.maximum(Q @ h, 0))
        largest = around.values[around.G[:, 0] == sign].max()
        assert largest <= value_at(Q, V, h) * (1 + 1e-8)
        n_kinks.append(len(kinks))
    assert max(n_kinks) >= 2


def test_climbing_stays_where_nnls_cycles(monkeypatch):
    def cycling(A, b):
        raise RuntimeError("Maximum number of iterations reached.")

    monkeypatch.setattr(polish, "nnls", cycling)
    h = np.array([0.6, 0.8, 0.0])
    np.testing.assert_array_equal(climb_cones(*problem(), h), h)


def test_climbing_repeats_no_step(monkeypatch):
    """With one output the maximum of a cone that no kink leads out of is the end."""
    steps, step = [], polish._maximum_in_cone

    def recorded(*args):
        found = step(*args)
        steps.append(found[0])
        return found

    monkeypatch.setattr(polish, "_maximum_in_cone", recorded)
    rng = np.random.default_rng(0)
    Q, V = problem(n=60, q=4)
    for h in rng.standard_normal((20, 4)):
        steps.clear()
        end = climb_cones(Q, np.abs(V), h / np.linalg.norm(h))
        assert np.array_equal(end, steps[-1])
        assert len({x.tobytes() for x in steps}) == len(steps)

"""The search for violations of the dual constraint against exact maxima."""

import numpy as np
import pytest
import torch
from reference import basis
from small_problems import DEVICES

from skconvexbn.arrangements import enumerate_all
from skconvexbn.oracle.ascent import normalise
from skconvexbn.oracle.cones import in_arrangements
from skconvexbn.oracle.hopping import BasinHopping
from skconvexbn.oracle.multi_start import multi_start, step_scale
from skconvexbn.oracle.search import Maxima, Search


def thorough(search, V, beta, around):
    """Maxima of 24 generations."""
    hopping = BasinHopping(search, V, beta, around)
    for _ in range(23):
        hopping.hop()
    found = hopping.maxima()
    assert hopping.n_generations == 24
    assert found.largest == hopping.largest
    return found


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("q", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_search_finds_the_exact_maximum(q, seed, device):
    rng = np.random.default_rng(seed)
    Q, V = basis(rng, 40, q), rng.standard_normal((40, 1))
    exact = in_arrangements(Q, V, enumerate_all(Q), limit=0.0).dual_norm
    search = Search(torch.as_tensor(Q, device=device), seed)
    v = torch.as_tensor(V, device=device)
    nothing = Maxima(v.new_zeros(q, 0), v.new_zeros(0, 1), v.new_zeros(0))
    found = thorough(search, v, exact, nothing)
    assert found.largest == pytest.approx(exact, rel=1e-6)
    assert found.largest <= exact * (1 + 1e-12)
    rough = search.round(v, exact, nothing, nothing)
    assert exact * 0.98 < rough.largest <= exact * (1 + 1e-12)


@pytest.mark.parametrize("q", [2, 3])
@pytest.mark.parametrize("length", [30.0, 1e3, 1e6])
def test_search_finds_the_exact_maximum_beside_a_long_column(length, q):
    """As a large bias scale makes it: few directions have kinks among the rows."""
    rng = np.random.default_rng(q)
    Q, V = basis(rng, 40, q), rng.standard_normal((40, 1))
    Q[:, -1] *= length / np.linalg.norm(Q[:, -1])
    V -= V.mean()
    exact = in_arrangements(Q, V, enumerate_all(Q), limit=0.0).dual_norm
    scale = step_scale(Q, np.ones(40))
    search, v = Search(torch.as_tensor(Q), 0, scale), torch.as_tensor(V)
    nothing = Maxima(v.new_zeros(q, 0), v.new_zeros(0, 1), v.new_zeros(0))
    assert thorough(search, v, exact, nothing).largest == pytest.approx(exact, rel=1e-6)
    assert search.round(v, exact, nothing, nothing).largest > 0.98 * exact
    assert multi_start(Q, V, rng.standard_normal((q, 60)), 60, 0.01, scale) > 0.98 * exact


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_climbs_come_in_few_numbers(n_outputs):
    """Products of every new shape are compiled."""
    rng = np.random.default_rng(2)
    Q = torch.as_tensor(basis(rng, 100, 8))
    V = torch.as_tensor(rng.standard_normal((100, n_outputs)))
    nothing = Maxima(Q.new_zeros(8, 0), Q.new_zeros(0, n_outputs), Q.new_zeros(0))
    search = Search(Q, 0)
    active = pool = search.round(V, 0.0, nothing, nothing, 10)
    widths = set()
    for k in range(0, 40, 7):
        H, G, size = search._starts(V, active[:k], pool, 90)
        assert H.shape[1] == len(G) == len(size)
        assert len(G) >= 90 + len(pool) + k
        widths.add(len(G))
    assert all(width % 128 == 0 for width in widths)


def test_some_random_starts_have_a_row_on_their_kink():
    Q = basis(np.random.default_rng(0), 50, 6)
    Q[:, -1] *= 100.0
    H, _, steps = Search(torch.as_tensor(Q), 0, step_scale(Q, np.ones(50))).random(400, 1)
    on = np.abs(Q @ H).min(axis=0) < 1e-12
    np.testing.assert_array_equal(on, np.arange(400) >= 300)
    np.testing.assert_array_equal(steps[~on], 1.0)
    assert 0.03 <= steps[on].min() < 0.05 < 0.9 < steps[on].max() <= 1.0
    signs = (Q @ H > 0).mean(axis=0)
    assert np.mean((signs > 0.1) & (signs < 0.9)) > 0.8


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_search_finds_a_planted_maximum(n_outputs, bfloat16, monkeypatch):
    """V = relu(Q h) g^T is at most ||V||, and reaches its square over the norm at h."""
    monkeypatch.setattr("skconvexbn.oracle.ascent.fast_bfloat16", lambda device: bfloat16)
    rng = np.random.default_rng(5)
    Q = torch.as_tensor(basis(rng, 300, 15))
    h = normalise(torch.as_tensor(rng.standard_normal(15)))
    g = normalise(torch.as_tensor(rng.standard_normal(n_outputs)))
    feature = (Q @ h).clamp_min(0)
    V = feature[:, None] * g
    planted = float(feature @ feature)
    nothing = Maxima(Q.new_zeros(15, 0), Q.new_zeros(0, n_outputs), Q.new_zeros(0))
    found = Search(Q, 0).round(V, 0.1 * planted, nothing, nothing)
    assert planted * (1 - 1e-6) <= found.largest <= float(feature.norm())


def test_with_many_rows_fewer_climb(monkeypatch):
    monkeypatch.setattr("skconvexbn.oracle.search.MAX_ROWS", 50)
    rng = np.random.default_rng(6)
    Q = torch.as_tensor(basis(rng, 150, 3))
    V = torch.as_tensor(np.sin(25 * Q[:, :1].numpy()))
    exact = in_arrangements(Q.numpy(), V.numpy(), enumerate_all(Q.numpy()), 0.0).dual_norm
    nothing = Maxima(Q.new_zeros(3, 0), Q.new_zeros(0, 1), Q.new_zeros(0))
    search = Search(Q, 0)
    assert search.fewer(600) == 200
    assert search.fewer(150) == 100
    assert search.fewer(80) == 80
    assert len(BasinHopping(search, V, exact, nothing).chains) == 200
    found = thorough(search, V, exact, nothing)
    assert found.largest == pytest.approx(exact, rel=1e-4)


def test_with_many_rows_active_neurons_count_where_they_are(monkeypatch):
    rng = np.random.default_rng(7)
    Q, V = (torch.as_tensor(a) for a in (basis(rng, 200, 4), rng.standard_normal((200, 1))))
    search = Search(Q, 0)
    nothing = Maxima(Q.new_zeros(4, 0), Q.new_zeros(0, 1), Q.new_zeros(0))
    top = search.round(V, 0.0, nothing, nothing)[:1]
    monkeypatch.setattr("skconvexbn.oracle.search.MAX_ROWS", 1)
    monkeypatch.setattr("skconvexbn.oracle.search.FEWEST", 1)
    found = search.round(V, top.largest, top, nothing)
    assert found.largest == pytest.approx(top.largest, rel=1e-12)


def test_maxima_apart():
    rng = np.random.default_rng(0)
    H, G = (normalise(torch.as_tensor(rng.standard_normal((3, 200)))) for _ in range(2))
    maxima = Maxima(H, G.T, torch.arange(200.0))
    apart = maxima.apart(0.5, 200)
    near = (apart.H.T @ maxima.H > 0.5) & (apart.G @ maxima.G.T > 0.5)
    kept = apart.values.long()
    assert 10 < len(kept) < 200
    assert torch.equal(near[:, kept], torch.eye(len(kept), dtype=torch.bool))
    assert torch.equal(near.to(torch.int8).argmax(dim=0)[kept], torch.arange(len(kept)))
    first = kept[near.to(torch.int8).argmax(dim=0)]  # the first kept one that is near
    assert bool((first <= torch.arange(200)).all())
    assert bool(near.any(dim=0).all())
    assert torch.equal(maxima.apart(0.5, 7).values, apart.values[:7])
    assert len(maxima[:0].apart(0.5, 7)) == 0


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_distinct_maxima_are_the_largest_of_each_arrangement_and_sign(n_outputs):
    rng = np.random.default_rng(0)
    Q = torch.as_tensor(basis(rng, 60, 3))
    H = normalise(torch.as_tensor(rng.standard_normal((3, 2000))))
    G = torch.as_tensor(np.sign(rng.standard_normal((2000, n_outputs))))
    values = torch.as_tensor(rng.permutation(2000) / 2000) * (Q @ H > 0).any(dim=0)
    largest = dict[bytes, float]()
    for h, g, value in zip(H.T, G, values.tolist(), strict=True):
        key = (Q @ h > 0).numpy().tobytes() + (g.numpy().tobytes() if n_outputs == 1 else b"")
        largest[key] = max(value, largest.get(key, 0.0))
    expected = sorted((v for v in largest.values() if v > 0.3), reverse=True)
    assert 100 < len(expected) < 1200
    search = Search(Q, 0)
    distinct = search.distinct(Maxima(H, G, values), 0.3, 2000)
    assert distinct.values.tolist() == expected
    assert search.distinct(Maxima(H, G, values), 0.3, 7).values.tolist() == expected[:7]
    assert len(search.distinct(Maxima(H, G, values), 1.0, 7)) == 0


@pytest.mark.parametrize("column", [1.0, 1e3])
def test_directions_move_to_kinks_the_shortest_way_in_their_units(column):
    rng = np.random.default_rng(0)
    Q = basis(rng, 50, 4) * [column, 1.0, 1.0, 1.0]
    scale = step_scale(Q, np.ones(50))
    search, H = Search(torch.as_tensor(Q), 0, scale), scale * rng.standard_normal((4, 30))
    rows = rng.integers(0, 50, 30)
    moved = search.on_kinks(H, rows[None])
    np.testing.assert_allclose((Q[rows].T * moved).sum(axis=0), 0.0, atol=1e-9 * column)
    shortest = abs((Q[rows].T * H).sum(axis=0)) / np.linalg.norm(Q[rows].T * scale, axis=0)
    np.testing.assert_allclose(search.length(moved - H), shortest, rtol=1e-9)


def test_directions_move_to_all_kinks_at_once():
    """One after the other, all but the last row would leave its kink again."""
    rng = np.random.default_rng(0)
    Q = basis(rng, 50, 5) * [100.0, 1.0, 1.0, 1.0, 1.0]
    scale = step_scale(Q, np.ones(50))
    search, H = Search(torch.as_tensor(Q), 0, scale), scale * rng.standard_normal((5, 40))
    rows = np.array([rng.choice(50, 4, replace=False) for _ in range(40)]).T
    rows[2:, :10] = -1
    rows[1, 10:20] = rows[0, 10:20]
    moved = search.on_kinks(H, rows)
    on = np.einsum("knq,qn->kn", Q[rows], moved)
    np.testing.assert_allclose(on[:2], 0.0, atol=1e-9)
    np.testing.assert_allclose(on[:, 10:], 0.0, atol=1e-9)
    for j in range(40):
        normals = (Q[rows[rows[:, j] >= 0, j]] * scale.T).T
        z = H[:, j] / scale[:, 0]
        nearest = z - normals @ np.linalg.lstsq(normals, z)[0]
        np.testing.assert_allclose(moved[:, j] / scale[:, 0], nearest, atol=1e-8)


def test_kinks_nearest_to_directions():
    rng = np.random.default_rng(0)
    Q = basis(rng, 50, 6) * [1e3, 1.0, 1.0, 1.0, 1.0, 1.0]
    scale = step_scale(Q, np.ones(50))
    search, H = Search(torch.as_tensor(Q), 0, scale), rng.standard_normal((6, 20))
    apart = np.abs(Q @ H) / np.linalg.norm(Q * scale.T, axis=1)[:, None]
    found = search.nearest_kinks(H, 5)
    assert found.shape == (20, 5)
    np.testing.assert_array_equal(np.sort(found), np.sort(np.argsort(apart, axis=0)[:5].T))
    assert np.any(found[:, 0] != apart.argmin(axis=0))


@pytest.mark.parametrize(("shares", "uneven"), [((0.5, 1.0), False), ((0.02, 1.0), True)])
def test_maxima_are_narrow_sooner_where_rows_are_uneven(shares, uneven):
    """(mean ||Q_i||)^2 is 0.9 of the mean square, or 0.52: the most that a row pulls is 3 beta."""
    Q = torch.diag(torch.tensor(shares, dtype=torch.float64).repeat(50))
    V = torch.full((100, 1), 3.0, dtype=torch.float64)
    assert Search(Q, 0).width(V, 1.0) == pytest.approx(2 / 3 if uneven else 1.0)

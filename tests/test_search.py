"""The search for violations of the dual constraint against exact maxima."""

import numpy as np
import pytest
import torch
from reference import basis
from small_problems import DEVICES

from skconvexbn.arrangements import enumerate_all
from skconvexbn.oracle.ascent import (
    LAST_STEP,
    N_FINE,
    Slope,
    _climb,
    _finish,
    _step_sizes,
    ascend,
    fast_bfloat16,
    normalise,
)
from skconvexbn.oracle.cones import in_arrangements
from skconvexbn.oracle.hopping import BasinHopping, turns
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
    assert multi_start(Q, V, rng.standard_normal((q, 60)), scale=scale) > 0.98 * exact


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


@pytest.mark.parametrize(
    ("capabilities", "fast"),
    [
        ({}, False),
        ({"avx512_bf16": False, "cpu_name": "AMD EPYC"}, False),
        ({"avx512_bf16": True, "cpu_name": "AMD EPYC"}, True),
        ({"avx512_bf16": True, "cpu_name": "Intel Xeon"}, False),
        ({"avx512_bf16": True}, False),  # unknown
        ({"avx512_bf16": True, "amx_bf16": True, "cpu_name": "Intel Xeon"}, True),
    ],
)
def test_bfloat16_where_it_is_faster(capabilities, fast, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert fast_bfloat16(torch.device("cpu")) is fast
    assert not fast_bfloat16(torch.device("meta"))


@pytest.mark.parametrize("n_outputs", [1, 4])
def test_slopes_are_gradients_up_to_their_precision(n_outputs):
    rng = np.random.default_rng(4)
    Q = torch.as_tensor(basis(rng, 500, 12)).float()
    V = torch.as_tensor(rng.standard_normal((500, n_outputs))).float()
    H = normalise(torch.as_tensor(rng.standard_normal((12, 70)))).float().requires_grad_()
    T = V.T @ (Q @ H).clamp_min(0)
    (T if n_outputs == 1 else T.norm(dim=0)).sum().backward()
    fine, coarse = (Slope(Q, V, dtype)(H.detach()) for dtype in (Q.dtype, torch.bfloat16))
    torch.testing.assert_close(fine, H.grad, rtol=1e-4, atol=1e-4)
    cosines = (normalise(coarse) * normalise(H.grad)).sum(dim=0)
    assert coarse.dtype == fine.dtype
    assert 0.999 < cosines.median() < 1 - 1e-7
    assert cosines.min() > 0.95


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_coarse_steps_climb_as_high(n_outputs, monkeypatch):
    rng = np.random.default_rng(7)
    Q = torch.as_tensor(basis(rng, 400, 20))
    V = torch.as_tensor(rng.standard_normal((400, n_outputs)))
    ends = []
    for bfloat16, rough in ((False, False), (True, False), (True, True)):
        monkeypatch.setattr("skconvexbn.oracle.ascent.fast_bfloat16", lambda device, b=bfloat16: b)
        search = Search(Q, 0, rough=rough)
        starts, G, _ = search.random(500, n_outputs)
        found = search.climb(V, starts, G, np.ones(500))
        if n_outputs == 1:
            assert torch.equal(found.G, torch.as_tensor(G))
        torch.testing.assert_close(found.H.norm(dim=0), torch.ones(500).double())
        ends.append(found.values)
    exact, coarse, rough = ends
    assert not torch.equal(exact, coarse)
    assert not torch.equal(coarse, rough)
    assert coarse.mean() == pytest.approx(float(exact.mean()), rel=0.005)
    assert rough.mean() == pytest.approx(float(exact.mean()), rel=0.01)
    assert coarse.mean() > 1.4 * search.values(V, found_at(starts, G)).values.mean()


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_the_highest_climbs_are_finished_and_the_others_cut_short(n_outputs, monkeypatch):
    monkeypatch.setattr("skconvexbn.oracle.search.ON_KINKS", 0.0)  # those have shorter steps
    rng = np.random.default_rng(8)
    Q = torch.as_tensor(basis(rng, 400, 20))
    V = torch.as_tensor(rng.standard_normal((400, n_outputs)))
    search = Search(Q, 0)
    starts, G, _ = search.random(600, n_outputs)
    whole, some = (search.climb(V, starts, G, np.ones(600), kept) for kept in (1.0, 0.33))
    same = (whole.H * some.H).sum(dim=0) > 1 - 1e-6
    assert 198 <= same.sum() < 220
    assert some.largest == pytest.approx(whole.largest, rel=1e-6)
    assert whole.values[same].mean() > whole.values[~same].mean()
    lost = 1 - some.values / whole.values
    assert -1e-3 < lost.min() < lost.max() < 0.2
    assert 1e-3 < lost[~same].median() < 0.05


def starts_of(N, C=1):
    """Q, V, starts, signs and steps of an ascent."""
    rng = np.random.default_rng(0)
    Q, V, H = (
        torch.tensor(rng.standard_normal(shape), dtype=torch.float32)
        for shape in ((40, 5), (40, C), (5, N))
    )
    return Q, V, normalise(H), torch.ones(N), torch.ones(N)


def test_one_start_climbs_to_the_end_whatever_share_does():
    some, every = (ascend(*starts_of(1), 30, 10, kept) for kept in (0.1, 1.0))
    np.testing.assert_array_equal(some, every)


@pytest.mark.parametrize("C", [1, 2])
def test_climbs_end_at_the_highest_of_the_last_points(C):
    Q, V, H, sign, eta = starts_of(20, C)
    etas, slope = _step_sizes(eta, N_FINE, 0.3), Slope(Q, V, torch.float32)
    points = [_climb(slope, H, torch.zeros_like(H), sign, etas[:k])[0] for k in range(N_FINE + 1)]
    values = torch.stack([(slope(x) * x).sum(dim=0) for x in points])
    end = _finish(slope, slope, H, torch.zeros_like(H), sign, etas)
    np.testing.assert_allclose((slope(end) * end).sum(dim=0), values.amax(dim=0), rtol=1e-5)
    assert len(set(values.argmax(dim=0).tolist())) > 1


def test_steps_are_geometric_from_the_first_to_the_last():
    etas = _step_sizes(torch.tensor([1.0, 0.1], dtype=torch.float64), 3, 0.01)
    np.testing.assert_allclose(etas, [[1.0, 0.1], [0.1, 0.1**1.5], [0.01, 0.01]])


@pytest.mark.parametrize("narrow", [False, True])
def test_narrow_maxima_are_climbed_in_float32(narrow, monkeypatch):
    types = []

    def slope(Q, V, dtype, metric=None):
        types.append(dtype)
        return Slope(Q, V, torch.float32, metric)

    monkeypatch.setattr("skconvexbn.oracle.ascent.Slope", slope)
    monkeypatch.setattr("skconvexbn.oracle.ascent.fast_bfloat16", lambda device: True)
    ascend(*starts_of(3), 10, 10, 1.0, last_step=LAST_STEP / (1 + narrow))
    assert (torch.bfloat16 in types) != narrow


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_directions_of_earlier_steps_lead_along_kinks(n_outputs, monkeypatch):
    """With a share of the last ones climbs end closer to the maximum around than without."""
    rng = np.random.default_rng(9)
    Q = torch.as_tensor(basis(rng, 300, 20))
    V = torch.as_tensor(rng.standard_normal((300, n_outputs)))
    search, below = Search(Q, 0), []
    starts, G, _ = search.random(200, n_outputs)
    for momentum in (0.5, 0.0):
        monkeypatch.setattr("skconvexbn.oracle.ascent.MOMENTUM", momentum)
        found = search.climb(V, starts, G, np.full(200, 0.3))
        below.append(float((1 - found.values / search.polish(V, found).values).median()))
    assert 0 < below[0] < 0.75 * below[1]


def found_at(starts, G):
    """Directions that did not climb, of both signs."""
    H = normalise(torch.as_tensor(starts))
    return Maxima(H, torch.as_tensor(G), H[0])


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


@pytest.mark.parametrize("k", [3, 500])
def test_chains_begin_near_as_many_neurons_as_they_can(k):
    order = turns(np.random.default_rng(0), k, 150)
    counts = np.bincount(order, minlength=k)
    assert counts.sum() == 150
    assert counts.max() - counts.min() <= 1
    assert k < 150 or order.max() > 400  # not the first ones


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


def test_only_what_was_polished_counts_as_polished(monkeypatch):
    rng = np.random.default_rng(0)
    Q, V = (torch.as_tensor(a) for a in (basis(rng, 60, 6), rng.standard_normal((60, 1))))
    search, polish, n_polished = Search(Q, 0), Search.polish, []
    search.n_polished = 5

    def counted(search, V, maxima):
        n_polished.append(len(maxima))
        return polish(search, V, maxima)

    monkeypatch.setattr(Search, "polish", counted)
    nothing = Maxima(V.new_zeros(6, 0), V.new_zeros(0, 1), V.new_zeros(0))
    hopping = BasinHopping(search, V, 0.1, nothing)
    assert n_polished == [10]  # five for each sign
    for _ in range(6):
        hopping.hop()
    assert len(n_polished) == 2
    assert n_polished[1] <= 10


def test_hopping_without_polishing_polishes_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    Q, V = (torch.as_tensor(a) for a in (basis(rng, 60, 6), rng.standard_normal((60, 1))))
    nothing = Maxima(V.new_zeros(6, 0), V.new_zeros(0, 1), V.new_zeros(0))
    monkeypatch.setattr(Search, "polish", None)
    search = Search(Q, 0)
    hopping = BasinHopping(search, V, 0.1, nothing, polishing=0.0)
    for _ in range(12):
        hopping.hop()
    found = hopping.maxima()
    assert len(found) > 50
    assert torch.equal(hopping.maxima(5).values, found.values[:5])
    assert found.largest == hopping.largest
    torch.testing.assert_close(search.values(V, found).values, found.values)


def test_hopping_polishes_a_share(monkeypatch):
    rng = np.random.default_rng(0)
    Q, V = (torch.as_tensor(a) for a in (basis(rng, 60, 6), rng.standard_normal((60, 1))))
    nothing = Maxima(V.new_zeros(6, 0), V.new_zeros(0, 1), V.new_zeros(0))
    n_polished, polish = [], Search.polish

    def counted(self, V, maxima):
        n_polished.append(len(maxima))
        return polish(self, V, maxima)

    monkeypatch.setattr(Search, "polish", counted)
    hopping = BasinHopping(Search(Q, 0), V, 0.1, nothing, polishing=0.3)
    while not hopping.polishes:
        hopping.hop()
    assert n_polished[0] == 18  # nine for each sign in place of thirty
    assert 0 < n_polished[1] <= 10


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


class Means(np.random.Generator):
    """Exponential draws are their mean."""

    def exponential(self, mean, n):
        return np.full(n, mean)


@pytest.mark.parametrize("temperature", [0.0, 0.1])
def test_chains_go_down_by_their_temperature_and_the_largest_is_kept(monkeypatch, temperature):
    monkeypatch.setattr("skconvexbn.oracle.hopping.TEMPERATURE", temperature)
    rng = np.random.default_rng(1)
    Q, V = (torch.as_tensor(a) for a in (basis(rng, 200, 12), rng.standard_normal((200, 1))))
    nothing = Maxima(V.new_zeros(12, 0), V.new_zeros(0, 1), V.new_zeros(0))
    search = Search(Q, 0)
    search.rng = Means(np.random.PCG64(0))
    hopping = BasinHopping(search, V, 2.0, nothing)
    lost, fresh, largest = [], [], hopping.largest
    for _ in range(10):
        before = values(hopping)
        hopping.hop()
        hops, begun = (before - values(hopping)).split([480, 120])
        lost.append(hops)
        fresh.append(begun)
        assert hopping.largest >= largest
        largest = hopping.largest
    down = float(torch.cat(lost).max())
    assert float(torch.cat(fresh).max()) > 0.2  # the last begin anew, wherever that is
    assert 0 < down <= 0.2 if temperature else down <= 0  # beta is 2


def values(hopping):
    return hopping.chains.values


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


@pytest.mark.parametrize(
    ("n", "q", "C", "beta", "swept"),
    [
        (100, 3, 1, 1.0, 0),
        (100, 4, 1, 1.0, 40),
        (60, 20, 1, 1.0, 68),
        (60, 21, 1, 1.0, 0),
        (20, 6, 1, 1.0, 120),
        (256, 6, 1, 1.0, 16),
        (257, 6, 1, 1.0, 0),
        (128, 6, 2, 1.0, 16),
        (257, 6, 1, 0.001, 63),
        (1_025, 6, 1, 0.001, 0),
    ],
)
def test_chains_that_move_to_circles(n, q, C, beta, swept):
    """A quarter of 480, or what entries allow; none where these, or columns, are few or many."""
    rng = np.random.default_rng(0)
    Q, V = (torch.as_tensor(a) for a in (basis(rng, n, q), rng.standard_normal((n, C))))
    nothing = Maxima(V.new_zeros(q, 0), V.new_zeros(0, C), V.new_zeros(0))
    hopping = BasinHopping(Search(Q, 0), V, beta, nothing, n_chains=100, polishing=0.0)
    assert (hopping.width == 1) == (beta == 1)
    assert hopping._n_swept(480) == swept


@pytest.mark.parametrize("C", [1, 2])
@pytest.mark.parametrize("beta", [1.0, 0.02])
def test_values_of_chains_are_those_of_their_directions_and_signs(C, beta):
    """Those that stay keep both, whatever the sign of where they might have gone."""
    rng = np.random.default_rng(0)
    Q, V = (torch.as_tensor(a) for a in (basis(rng, 150, 6), rng.standard_normal((150, C))))
    nothing = Maxima(V.new_zeros(6, 0), V.new_zeros(0, C), V.new_zeros(0))
    search = Search(Q, 0)
    hopping = BasinHopping(search, V, beta, nothing, polishing=0.0)
    first, G = hopping.chains, hopping.chains.G.clone()
    for _ in range(12):
        hopping.hop()
        there = search.values(V, hopping.chains)
        torch.testing.assert_close(there.values, values(hopping))
    assert torch.equal(first.G, G)
    found = hopping.maxima()
    torch.testing.assert_close(search.values(V, found).values, found.values)


@pytest.mark.parametrize("C", [1, 2])
def test_sweeps_keep_kinks(C):
    """Of q - 2 rows near a vertex; in half of the sweeps one of these is another row."""
    rng = np.random.default_rng(0)
    Q, V = (torch.as_tensor(a) for a in (basis(rng, 80, 6), rng.standard_normal((80, C))))
    nothing = Maxima(V.new_zeros(6, 0), V.new_zeros(0, C), V.new_zeros(0))
    search = Search(Q, 0)
    hopping = BasinHopping(search, V, 0.1, nothing, polishing=0.0)
    vertices = [rng.choice(80, 5, replace=False) for _ in range(20)]
    H = np.stack([np.linalg.svd(Q.numpy()[rows])[2][-1] for rows in vertices], axis=1)
    found = hopping._sweep(H)
    torch.testing.assert_close(search.values(V, found).values, found.values)
    on = np.abs(Q.numpy() @ found.H.numpy()) < 1e-12
    kept = [int(on[rows, k].sum()) for k, rows in enumerate(vertices)]
    assert min(kept[:10]) >= 3
    assert min(kept[10:]) >= 4
    before = (V.T @ (Q @ torch.as_tensor(H)).clamp(min=0)).norm(dim=0)
    assert bool((found.values[10:] >= before[10:] - 1e-12).all())


@pytest.mark.parametrize(("beta", "drawn_by_chains"), [(1.0, [1, 2, 3]), (0.01, [1, 2, 3, 4])])
def test_hops_put_rows_on_kinks_where_V_is_large(beta, drawn_by_chains, monkeypatch):
    """One to three rows; where beta makes maxima narrow up to the kinks of a vertex, q - 1."""
    rng = np.random.default_rng(3)
    Q, V = (torch.as_tensor(a) for a in (basis(rng, 80, 5), rng.standard_normal((80, 1))))
    V[40:] = 0.0
    drawn, on_kinks = list[int](), Search.on_kinks

    def recorded(search, H, rows):
        drawn.extend(rows[rows >= 0])
        return on_kinks(search, H, rows)

    nothing = Maxima(V.new_zeros(5, 0), V.new_zeros(0, 1), V.new_zeros(0))
    hopping = BasinHopping(Search(Q, 0), V, beta, nothing)
    assert (hopping.width == 1) == (beta == 1)
    monkeypatch.setattr(Search, "on_kinks", recorded)
    monkeypatch.setattr(
        Search, "random", lambda *_: (np.ones((5, 120)), np.ones((120, 1)), np.ones(120))
    )
    hopping.hop()
    assert len(drawn) == np.resize(drawn_by_chains, 480).sum()
    share = np.bincount(drawn, minlength=80) / len(drawn)
    likely = (V[:, 0].abs() * Q.norm(dim=1)).numpy()
    assert not share[40:].any()
    assert np.corrcoef(share[:40], likely[:40])[0, 1] > 0.8


def test_chains_of_an_earlier_search_go_on():
    rng = np.random.default_rng(2)
    Q, V = (torch.as_tensor(a) for a in (basis(rng, 200, 12), rng.standard_normal((200, 1))))
    nothing = Maxima(V.new_zeros(12, 0), V.new_zeros(0, 1), V.new_zeros(0))
    search = Search(Q, 0)
    earlier = BasinHopping(search, V, 0.1, nothing)
    for _ in range(12):
        earlier.hop()
    V = V + 1e-4 * torch.as_tensor(rng.standard_normal((200, 1)))
    new = BasinHopping(search, V, 0.1, nothing)
    going_on = BasinHopping(search, V, 0.1, nothing, earlier=earlier)
    at_V = search.values(V, earlier.chains)
    assert bool((values(going_on) >= at_V.values).all())
    assert values(going_on).mean() > values(new).mean()

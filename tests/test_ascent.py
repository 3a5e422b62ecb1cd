"""Climbs of the search: slopes, their precision, steps, and where they end."""

import numpy as np
import pytest
import torch
from reference import basis

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
from skconvexbn.oracle.search import Maxima, Search


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

    def slope(Q, V, dtype):
        types.append(dtype)
        return Slope(Q, V, torch.float32)

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

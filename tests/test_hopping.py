"""Chains that hop between maxima: where they begin and go, what they keep, and what is polished."""

import numpy as np
import pytest
import torch
from reference import basis

from skconvexbn.oracle.hopping import BasinHopping, turns
from skconvexbn.oracle.search import Maxima, Search


@pytest.mark.parametrize("k", [3, 500])
def test_chains_begin_near_as_many_neurons_as_they_can(k):
    order = turns(np.random.default_rng(0), k, 150)
    counts = np.bincount(order, minlength=k)
    assert counts.sum() == 150
    assert counts.max() - counts.min() <= 1
    assert k < 150 or order.max() > 400  # not the first ones


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


@pytest.mark.parametrize(("n", "swept"), [(257, 120), (4_096, 16), (4_097, 0)])
def test_more_chains_move_to_circles_where_rows_are_uneven(n, swept):
    Q = torch.as_tensor(np.random.default_rng(0).standard_cauchy((n, 6)))
    V, nothing = Q[:, :1].sign(), Maxima(Q.new_zeros(6, 0), Q.new_zeros(0, 1), Q.new_zeros(0))
    hopping = BasinHopping(Search(Q, 0), V, 0.001, nothing, n_chains=20, polishing=0.0)
    assert hopping.width < 1
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

"""Arrangements: enumeration against the counting formula and brute force."""

import tracemalloc
from math import comb

import numpy as np
import pytest

from skconvexbn.arrangements import (
    Arrangements,
    _group_parallel,
    count_arrangements,
    enumerate_all,
    sample,
)
from skconvexbn.whitening import Whitening

RNG = np.random.default_rng(2)


def general_position(n, q):
    return np.column_stack([RNG.standard_normal((n, q - 1)), np.ones(n)])


def as_set(arrangements):
    return {bytes(row) for row in arrangements.bits}


@pytest.mark.parametrize(
    ("n", "q"),
    [(1, 1), (5, 1), (7, 2), (200, 2), (14, 3), (40, 3), (12, 4), (10, 5), (9, 9), (6, 8)],
)
def test_enumeration_has_the_count_of_general_position(n, q):
    Q = general_position(n, q)
    if q == 1:
        Q = Q[:1]
    found = enumerate_all(Q)
    assert len(found) == count_arrangements(len(Q), q)
    assert len(as_set(found)) == len(found)
    assert found.complete


DEGENERATE = {
    "duplicates": [[0, 0], [1, 2], [1, 2], [3, 1], [3, 1]],
    "collinear": [[0, 0], [1, 1], [2, 2], [3, 3], [5, 5]],
    "grid": [[i, j] for i in range(3) for j in range(3)],
    "cube": [[i, j, k] for i in range(2) for j in range(2) for k in range(2)],
    "two lines": [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]],
}


@pytest.mark.parametrize("last", [1.0, 0.0], ids=["affine", "with a zero row"])
@pytest.mark.parametrize("name", DEGENERATE)
def test_enumeration_equals_brute_force_on_degenerate_points(name, last):
    Q = np.column_stack(
        [np.array(DEGENERATE[name], dtype=float), np.full(len(DEGENERATE[name]), last)]
    )
    sampled = sample(Q, RNG.standard_normal((Q.shape[1], 300_000)))
    assert as_set(enumerate_all(Q)) == as_set(sampled)


def test_zero_rows_are_active_everywhere():
    assert enumerate_all(np.array([[0.0, 0.0], [1.0, 2.0]])).masks()[:, 0].all()


@pytest.mark.parametrize("bias", [1e-9, 1e9])
def test_scales_of_columns_do_not_matter(bias):
    """With a large one all rows point in nearly the same direction."""
    Q = np.column_stack([np.random.default_rng(5).standard_normal((14, 2)), np.ones(14)])
    expected = enumerate_all(Q).masks()
    scaled = enumerate_all(Q * [1.0, 1.0, bias]).masks()
    assert set(map(bytes, scaled)) == set(map(bytes, expected))


def test_masks_are_those_of_interior_points():
    """Every enumerated cone has an interior: some h satisfies all its inequalities strictly."""
    from scipy.optimize import linprog

    Q = general_position(8, 3)
    for mask in enumerate_all(Q).masks():
        A = np.where(mask, 1.0, -1.0)[:, None] * Q
        result = linprog(
            [0, 0, 0, -1], A_ub=np.column_stack([-A, np.ones(8)]), b_ub=np.zeros(8),
            bounds=[(-1, 1)] * 3 + [(None, 1)],
        )  # fmt: skip
        assert -result.fun > 1e-9


def test_count_bounds_degenerate_points_too():
    for points in DEGENERATE.values():
        Q = np.column_stack([np.array(points, dtype=float), np.ones(len(points))])
        assert len(enumerate_all(Q)) <= count_arrangements(*Q.shape)


def test_columns_without_rank_do_not_count():
    rng = np.random.default_rng(0)
    Q = rng.standard_normal((100, 2)) @ rng.standard_normal((2, 5))
    assert len(enumerate_all(Q)) == 200


def test_count_by_hand():
    assert [count_arrangements(n, 2) for n in (1, 2, 3, 10)] == [2, 4, 6, 20]
    assert count_arrangements(4, 9) == 2**4
    assert count_arrangements(14, 3) == 2 * (1 + 13 + 78)
    assert count_arrangements(0, 3) == 1


def test_too_many_is_a_clear_error_with_the_count():
    count = 2 * sum(comb(59, i) for i in range(8))
    with pytest.raises(ValueError, match="arrangements of 60 distinct rows") as caught:
        enumerate_all(general_position(60, 8))
    assert f"{count:.6g}" in str(caught.value)
    assert "at most 200000 are allowed; use arrangements='auto'" in str(caught.value)


def test_too_many_is_an_error_before_memory_runs_out():
    """Distinct rows are counted without n^2 comparisons (here 128 MB, of 100,000 rows 80 GB)."""
    tracemalloc.start()
    with pytest.raises(ValueError, match="arrangements of 4000 distinct rows"):
        enumerate_all(general_position(4000, 3))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e7


def test_masks_of_all_arrangements_are_packed_as_they_come():
    """Products of all rows and directions at once are 256 MB."""
    tracemalloc.start()
    assert len(enumerate_all(general_position(4000, 2))) == 8000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e7


def test_many_rows_allow_fewer_arrangements():
    with pytest.raises(ValueError, match=r"up to 20000 arrangements .* at most 5000 are allowed"):
        enumerate_all(np.column_stack([np.arange(100_000) % 10_000, np.ones(100_000)]))


@pytest.mark.parametrize("q", [1, 2, 3, 6])
def test_parallel_rows_are_grouped(q):
    rng = np.random.default_rng(q)
    normals = rng.standard_normal((1 if q == 1 else 40, q))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    member, sign = rng.integers(len(normals), size=300), rng.choice([-1.0, 1.0], 300)
    A = sign[:, None] * normals[member] + 1e-14 * rng.standard_normal((300, q))
    first, group, side = _group_parallel(A)
    np.testing.assert_array_equal(first, np.sort(np.unique(member, return_index=True)[1]))
    np.testing.assert_array_equal(member[first[group]], member)
    np.testing.assert_array_equal(side, sign * sign[first[group]])


@pytest.mark.parametrize("size", [1e-3, 1e3])  # of Q
@pytest.mark.parametrize("weight", [1e-6, 1.0])  # of the row
def test_slack_is_what_a_row_may_be_between_hyperplanes_that_count_as_one(size, weight):
    angle = 8e-13
    a = weight * np.array([np.cos(angle), np.sin(angle)])
    Q = size * np.array([[1.0, 0.0], a, [0.0, 1.0], [0.0, 3.0]])
    slack = enumerate_all(Q).slack
    reached = size * weight * angle  # where the first row is zero
    assert reached * 0.99 <= slack[1] <= 5 * reached
    np.testing.assert_array_equal(slack[[0, 2, 3]], 0)


def test_multiples_of_rows_have_no_slack():
    Q = np.random.default_rng(0).standard_normal((6, 3))
    assert not enumerate_all(np.concatenate([Q, 3 * Q, -0.7 * Q])).slack.any()


@pytest.mark.parametrize("seed", [30, 309, 489, 277, 334, 440, 2048, 2306])
def test_clusters_of_rows_hide_no_wide_cell(seed):
    """Points between hyperplanes that counted as one stood for no cell, and wide ones were lost."""
    rng = np.random.RandomState(seed)
    k, n, jitter = rng.choice([2, 3, 4]), rng.randint(8, 14), 10.0 ** -rng.choice([8, 9, 10, 11])
    X = rng.randn(k, 3)[rng.randint(0, k, n)] + jitter * rng.randn(n, 3)
    Q = Whitening.fit(X, np.ones(n)).basis().transform(X)
    H = rng.standard_normal((4, 3000))
    Z = Q @ (H / np.linalg.norm(H, axis=0))
    wide = (Z >= 0).T[np.abs(Z).min(axis=0) > 1e-3]
    found = {mask.tobytes() for mask in enumerate_all(Q).masks()}
    assert len(wide) > 10
    assert all(mask.tobytes() in found for mask in wide)


@pytest.mark.parametrize(
    ("seed", "offset", "step"), [(3, 3e5, 0.1), (10, 1e4, 0.3), (37, 1e5, 0.1), (46, 1e4, 0.3)]
)
def test_rounding_on_a_grid_hides_no_wide_cell(seed, offset, step):
    """Many hyperplanes meet where three would; an affine map, which rounds, keeps the cells."""
    rng = np.random.default_rng(seed)
    grid = np.unique(rng.integers(0, 3, (15, 4)), axis=0).astype(float)
    cells, found = (
        as_set(enumerate_all(Whitening.fit(X, np.ones(len(X))).basis().transform(X)))
        for X in (grid, offset + step * grid)
    )
    assert cells <= found


def test_sampling_drops_duplicates_and_packs_bits():
    Q = general_position(100, 3)
    H = RNG.standard_normal((3, 500))
    arrangements = sample(Q, np.concatenate([H, H], axis=1))
    masks = np.unique((Q @ H >= 0).T, axis=0)
    assert len(arrangements) == len(masks)
    np.testing.assert_array_equal(np.unique(arrangements.masks(), axis=0), masks)
    assert arrangements.bits.nbytes <= len(masks) * 13
    assert not arrangements.complete


def test_sampled_directions_are_those_of_their_masks():
    rng = np.random.default_rng(0)
    Q, H = rng.standard_normal((5, 2)), rng.standard_normal((2, 200))
    sampled = sample(Q, H)
    assert len(sampled) < 200
    np.testing.assert_array_equal((Q @ sampled.directions >= 0).T, sampled.masks())


def test_masks_are_packed_once():
    masks = np.array([[True, False], [False, True], [True, False]])
    assert Arrangements.from_masks(masks).masks().tolist() == [[True, False], [False, True]]


def test_blocks_cover_all_masks(monkeypatch):
    monkeypatch.setattr("skconvexbn.arrangements.BLOCK_ENTRIES", 64)
    arrangements = enumerate_all(general_position(9, 3))
    parts = list(arrangements.blocks())
    assert len(parts) > 3
    assert all(masks.size <= 64 for _, masks in parts)
    np.testing.assert_array_equal(np.concatenate([m for _, m in parts]), arrangements.masks())


def test_union():
    masks = np.array([[1, 0, 1], [0, 0, 1]], dtype=bool)
    both = Arrangements.from_masks(masks).union(Arrangements.from_masks(~masks[:1]))
    assert len(both) == 3
    assert len(both.union(both)) == 3

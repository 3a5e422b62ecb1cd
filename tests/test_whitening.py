"""Whitening: Q against definitions; truncation; shrinkage; numerical edge cases."""

import itertools
from functools import partial

import numpy as np
import pandas as pd
import pytest

from skconvexbn import ConvexBNRegressor, ConvexBNRegressorCV, convex_bn_path
from skconvexbn.data import DistinctRows, counted
from skconvexbn.whitening import Whitening

RNG = np.random.default_rng(4)


@pytest.mark.parametrize("shape", [(50, 4), (5, 40), (30, 29), (400, 3), (2, 1)])
def test_q_is_orthonormal(shape):
    X = 3 + RNG.standard_normal(shape) * RNG.uniform(0.1, 10, shape[1])
    w = RNG.uniform(0.5, 3, shape[0])
    Q = Whitening.fit(X, w).basis().transform(X) * np.sqrt(w)[:, None]
    assert Q.shape == (shape[0], min(shape[0] - 1, shape[1]) + 1)
    np.testing.assert_allclose(Q.T @ Q, np.eye(Q.shape[1]), atol=1e-9)


@pytest.mark.parametrize("shape", [(60, 5), (6, 50)])
def test_gram_matrix_route_equals_svd(shape, monkeypatch):
    X = RNG.standard_normal(shape)
    by_gram = Whitening.fit(X, np.ones(shape[0]))
    monkeypatch.setattr("skconvexbn.whitening.GRAM_MIN_RATIO", np.inf)
    by_svd = Whitening.fit(X, np.ones(shape[0]))
    np.testing.assert_allclose(by_gram.singular_values, by_svd.singular_values)
    np.testing.assert_allclose(by_gram.V, by_svd.V, atol=1e-9)


def test_singular_values_are_those_of_the_scaled_centred_matrix():
    X, w = RNG.standard_normal((20, 3)) * [1, 10, 100], RNG.uniform(0.5, 2, 20)
    Xc = X - w @ X / w.sum()
    s = np.linalg.svd(np.sqrt(w)[:, None] * Xc, compute_uv=False)
    np.testing.assert_allclose(Whitening.fit(X, w, scale=False).singular_values, s)
    Xs = Xc / np.sqrt(w @ Xc**2 / w.sum())
    s = np.linalg.svd(np.sqrt(w)[:, None] * Xs, compute_uv=False)
    np.testing.assert_allclose(Whitening.fit(X, w).singular_values, s)


def test_signs_are_fixed_from_v():
    V = Whitening.fit(RNG.standard_normal((30, 5)), np.ones(30)).V
    assert np.all(V[np.abs(V).argmax(axis=0), range(5)] > 0)


@pytest.mark.parametrize(
    ("rank", "expected"), [(None, 4), (2, 2), (9, 4), (0.5, 1), (0.95, 2), (0.9999, 4)]
)
def test_rank(rank, expected):
    U = np.linalg.qr(RNG.standard_normal((30, 5)) - 0)[0]
    U = np.linalg.qr(U - U.mean(axis=0))[0][:, :4]
    X = U * np.sqrt([60, 38, 1.9, 0.1])
    basis = Whitening.fit(X, np.ones(30), scale=False).basis(rank)
    assert basis.rank == expected
    assert basis.transform(X).shape == (30, expected + 1)


def test_one_svd_serves_every_rank():
    X = RNG.standard_normal((30, 6))
    whitening = Whitening.fit(X, np.ones(30))
    full = whitening.basis().transform(X)
    for k in range(1, 6):
        Q = whitening.basis(k).transform(X)
        np.testing.assert_allclose(Q, np.delete(full, np.s_[k:6], axis=1))


@pytest.mark.parametrize("a", [0.0, 0.3, 1.0])
def test_shrinkage_formula(a):
    X = RNG.standard_normal((30, 4)) * [1, 2, 3, 4]
    whitening = Whitening.fit(X, np.ones(30), scale=False)
    U, s, _ = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    Q = whitening.basis(shrinkage=a, bias_scale=2.5).transform(X)
    expected = U * (s / np.sqrt((1 - a) * s**2 + a * np.mean(s**2)))
    np.testing.assert_allclose(np.abs(Q[:, :-1]), np.abs(expected), atol=1e-10)
    np.testing.assert_allclose(Q[:, -1], 2.5 / np.sqrt(30))


def test_directions_of_one_basis_in_another():
    X, H = RNG.standard_normal((30, 5)) * [1, 2, 3, 4, 1e-6], RNG.standard_normal((4, 7))
    whitening = Whitening.fit(X, np.ones(30), scale=False)
    one, other = whitening.basis(3, 0.0, 1.0), whitening.basis(3, 0.5, 3.0)
    activations = one.transform(X) @ H
    np.testing.assert_allclose(other.transform(X) @ other.translate(H, one), activations)
    np.testing.assert_allclose(one.translate(other.translate(H, one), other), H)


@pytest.mark.parametrize("factor", [1e-200, 1e-20, 1e20, 1e150])
def test_scales_of_columns_do_not_matter(factor):
    X = RNG.standard_normal((20, 3))
    Q = Whitening.fit(X, np.ones(20)).basis().transform(X)
    scaled = X * [1, factor, 1]
    np.testing.assert_allclose(
        Whitening.fit(scaled, np.ones(20)).basis().transform(scaled), Q, atol=1e-8
    )


def test_large_means_keep_their_digits():
    X = RNG.standard_normal((50, 3))
    shifted = X + 1e6
    whitening = Whitening.fit(shifted, np.ones(50))
    np.testing.assert_allclose(
        whitening.singular_values, Whitening.fit(X, np.ones(50)).singular_values, rtol=1e-8
    )


def test_constant_and_collinear_columns_are_dropped():
    X = RNG.standard_normal((20, 2))
    X = np.column_stack([X, np.full(20, 0.1), X[:, 0], X @ [1.0, 2.0], np.full(20, 1e9)])
    whitening = Whitening.fit(X, np.ones(20))
    assert len(whitening.singular_values) == 2
    assert whitening.mean[2] == 0.1
    constant = Whitening.fit(np.full((5, 2), 0.1), np.ones(5))
    assert constant.basis().rank == 0
    np.testing.assert_allclose(constant.basis().transform(np.ones((3, 2))), 5**-0.5)


@pytest.mark.parametrize("n_parts", [3, 30, 1000])
def test_a_total_that_is_constant_up_to_rounding_is_constant(n_parts):
    parts = RNG.dirichlet(np.ones(n_parts), 200)
    total = np.cumsum(parts, axis=1)[:, -1]  # one after the other
    assert np.ptp(total) > 0
    X = RNG.standard_normal((200, 2))
    assert len(Whitening.fit(np.column_stack([X, 7 * total]), np.ones(200)).singular_values) == 2
    ten_bits = 1 + 2.0**-42 * RNG.integers(0, 1000, 200) / 4
    assert len(Whitening.fit(np.column_stack([X, ten_bits]), np.ones(200)).singular_values) == 3


def test_rounding_of_single_precision_is_not_a_direction():
    X = RNG.standard_normal((50, 3))
    X = np.column_stack([X, X.sum(axis=1)]).astype(np.float32)
    eps = np.finfo(np.float32).eps
    assert len(Whitening.fit(X.astype(float), np.ones(50), eps=eps).singular_values) == 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_units_of_unscaled_columns_do_not_count_for_the_rank(dtype):
    X = (RNG.standard_normal((50, 3)) * [3e6, 1.0, 1e-3]).astype(dtype)
    eps, w = np.finfo(dtype).eps, np.ones(50)
    X = np.column_stack([X, X[:, 1] + X[:, 2]]).astype(np.float64)
    for scale in (True, False):
        Q = Whitening.fit(X, w, scale=scale, eps=eps).basis().transform(X)
        assert Q.shape[1] == 4
        np.testing.assert_allclose(Q.T @ Q, np.eye(4), atol=1e-5)


def test_columns_that_depend_on_each_other_do_not_hide_one_of_a_small_unit():
    a, b, c = RNG.standard_normal((3, 200))
    X = np.stack([1e5 * a, 1e5 * b, 1e5 * a + 1e5 * b, 0.01 * c], axis=1).astype(np.float32)
    w, eps = np.ones(200), np.finfo(np.float32).eps
    for scale in (True, False):
        assert Whitening.fit(X.astype(float), w, scale=scale, eps=eps).basis().rank == 3


def test_directions_that_float64_does_not_resolve_are_not_left_out_silently():
    X = RNG.standard_normal((50, 2)) * [1e12, 1.0]
    w, y = np.ones(50), X[:, 1]
    assert Whitening.fit(X, w).basis().rank == 2
    assert Whitening.fit(X, w, scale=False).basis().rank == 1
    search = ConvexBNRegressorCV(scale=False, betas=[1.0], shrinkages=[0.0], cv=2)
    for fit in (
        ConvexBNRegressor(scale=False).fit,
        search.fit,
        partial(convex_bn_path, betas=1, scale=False),
    ):
        with pytest.warns(UserWarning, match="1 of 2 independent directions of X are left") as seen:
            fit(X, y)
        assert [w.filename for w in seen] == [__file__]


@pytest.mark.parametrize("scale", [True, False])
def test_columns_that_nearly_depend_on_others_are_told(scale):
    """Rounding of new rows is then as large to the network as what it was fitted to."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3)) * [1.0, 1e2, 1e-5]  # units alone make nothing fragile
    y = np.sin(X[:, 0])
    sound = ConvexBNRegressor(scale=scale, random_state=0).fit(X, y)
    assert sound.rank_ == 3
    X = np.column_stack([X, X[:, 0] + 1e-2 * X[:, 1] + 1e-6 * rng.standard_normal(60)])
    match = r"\(columns 3, [01], [01]\): along 1 of 4 directions rows vary by less than 0\.0001 of"
    with pytest.warns(UserWarning, match=match):
        fragile = ConvexBNRegressor(scale=scale, random_state=0).fit(X, y)
    moved = X + 1e-5 * X.std(axis=0) * rng.standard_normal(X.shape)
    assert np.abs(fragile.predict(moved) - fragile.predict(X)).max() > 1
    with pytest.warns(UserWarning, match=match):
        ConvexBNRegressorCV(scale=scale, betas=[1.0], shrinkages=[0.0]).fit(X, y)
    ConvexBNRegressor(beta=1e3, scale=scale).fit(X, y)  # no neurons: nothing can change
    if scale:
        search = {"betas": [3.0], "shrinkages": [0.0, 0.5], "bias_scale": 1.0, "cv": 3}
        with pytest.warns(UserWarning, match=match):
            ConvexBNRegressorCV(average=True, **search).fit(X, y)
        with pytest.warns(UserWarning, match=match):
            convex_bn_path(X, y, betas=[1.0, 0.5], shrinkages=[0.5, 0.0], random_state=0)
    for cure in ({"shrinkage": 0.5}, {"rank": 3}):
        robust = ConvexBNRegressor(random_state=0, **cure).fit(X, y)
        assert np.abs(robust.predict(moved) - robust.predict(X)).max() < 1e-2


def test_distinct_rows():
    X = np.array([[1.0, 2], [0, 1], [1, 2], [5, 5], [-0.0, 1]])
    Y, w = np.array([[1.0], [2], [3], [4], [6]]), np.array([1.0, 1, 3, 0, 1])
    rows = DistinctRows.of(X, Y, w)
    order = np.argsort(rows.X[:, 0])
    np.testing.assert_array_equal(rows.X[order], [[0, 1], [1, 2]])
    np.testing.assert_allclose(rows.Y[order], [[4], [2.5]])
    np.testing.assert_allclose(rows.w[order], [2, 4])
    np.testing.assert_allclose(rows.spread, 0.5 * (8 + (1.5**2 + 3 * 0.5**2)))
    shuffled = DistinctRows.of(X[::-1], Y[::-1], w[::-1])
    np.testing.assert_array_equal(shuffled.X, rows.X)


def test_q_is_orthonormal_where_columns_nearly_agree():
    x = RNG.standard_normal(50)
    X = np.stack([x, x + 1e-5 * RNG.standard_normal(50)], axis=1)
    Q = Whitening.fit(X, np.ones(50)).basis().transform(X)
    np.testing.assert_allclose(Q.T @ Q, np.eye(3), atol=1e-9)


def test_a_share_of_the_variance_is_exceeded():
    X = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert Whitening.fit(X, np.ones(4)).basis(0.5).rank == 2


def test_rows_of_little_weight_count():
    assert counted(np.array([1.0, 1e-20])).all()
    assert not counted(np.array([1.0, 1e-31])).all()


def test_columns_that_are_combined_are_named():
    rng = np.random.default_rng(0)
    parts = pd.DataFrame(rng.standard_normal((60, 6)), columns=list("abcdef"))
    total = parts.drop(columns="f").sum(axis=1) + 1e-6 * rng.standard_normal(60)
    match = r"\(columns total(, [a-e]){3} and others\): along 1 of 7 directions"
    with pytest.warns(UserWarning, match=match):
        ConvexBNRegressor(random_state=0).fit(parts.assign(total=total), np.sin(parts["f"]))


@pytest.mark.parametrize("scale", [True, False])
def test_columns_of_small_units_alone_are_not_named(scale):
    design = np.array(list(itertools.product([-1.0, 1.0], repeat=4)) * 2)
    a, b, c, d = design.T
    X = pd.DataFrame({"a": a, "b": b, "total": a + b + 1e-6 * c, "small": 1e-7 * d})
    with pytest.warns(UserWarning, match=r"\(columns total, [ab], [ab]\): along 1 of 4 directions"):
        ConvexBNRegressor(scale=scale, random_state=0).fit(X, np.sin(a) + d)


@pytest.mark.parametrize(("distance", "rank"), [(1e-9, 2), (1e-12, 1)])
def test_columns_that_cancel_to_their_last_digits_are_one_direction(distance, rank):
    x, noise = np.random.default_rng(0).standard_normal((2, 50))
    X = np.stack([x, x + distance * noise], axis=1)
    assert Whitening.fit(X, np.ones(50)).basis().rank == rank

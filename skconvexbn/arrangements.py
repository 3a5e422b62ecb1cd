"""Activation arrangements D = diag(1[Q h >= 0]): sampled, enumerated, counted (theory.md 3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import comb

import numpy as np

from .blocks import blocks

# Angle below which two hyperplanes count as one, and below which they are one but for rounding.
SAME_ANGLE, ROUNDING = 1e-12, 1e-13
# Where a point of a cell is this close to a hyperplane, rounding may have decided which of them
# meet, as it does on a grid; they are moved apart by this much then.
CLOSE, MOVED = 1e-8, 1e-6
# Exact enumeration is refused above this many arrangements, and entries of their masks.
MAX_ENUMERATED, MAX_ENTRIES = 200_000, 500_000_000
# Masks are expanded from bits to booleans this many at a time (entries).
BLOCK_ENTRIES = 1 << 22


@dataclass(frozen=True, eq=False)
class Arrangements:
    """Distinct masks 1[Q h >= 0], one bit an entry.

    Attributes
    ----------
    bits : ndarray of shape (P, ceil(n / 8)), uint8
    n : int
        Rows of Q.
    complete : bool
        Whether these are all arrangements with an open cone, but for cones too narrow to tell.
    slack : ndarray of shape (n,) or None
        Of complete ones: what the absolute value of Q_i h is at most, for a unit h, where
        hyperplanes count as one and h is between them.
    directions : ndarray of shape (q, P) or None
        An h of each, where they were sampled.
    """

    bits: np.ndarray
    n: int
    complete: bool = False
    directions: np.ndarray | None = None
    slack: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.bits)

    @classmethod
    def from_masks(cls, masks: np.ndarray) -> Arrangements:
        """Pack masks (P, n) and drop duplicates; the first of equal masks keeps its place."""
        bits = np.packbits(masks, axis=1)
        return cls(bits[_distinct(bits)], masks.shape[1])

    def union(self, other: Arrangements) -> Arrangements:
        """Both sets, duplicates dropped."""
        bits = np.concatenate([self.bits, other.bits])
        return Arrangements(bits[_distinct(bits)], self.n)

    def masks(self, index: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Boolean masks (len(index), n)."""
        return np.unpackbits(self.bits[index], axis=1, count=self.n).view(bool)

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """All masks, in blocks of bounded memory."""
        for part in blocks(len(self), self.n, BLOCK_ENTRIES):
            yield part, self.masks(part)


def count_arrangements(n: int, q: int) -> int:
    """Number of arrangements of n rows in general position in R^q, 2 sum_{i<q} C(n - 1, i).

    An upper bound for any n non-zero rows of rank at most q; 1 for n = 0. This is Cover's
    counting function (1965).

    Examples
    --------
    >>> count_arrangements(4, 2)
    8
    """
    if n == 0 or q == 0:
        return 1
    return 2 * sum(comb(n - 1, i) for i in range(min(q, n)))


def sample(Q: np.ndarray, H: np.ndarray) -> Arrangements:
    """Arrangements of the directions H (q, P), duplicates dropped."""
    parts = blocks(H.shape[1], len(Q), BLOCK_ENTRIES)
    bits = np.concatenate([np.packbits((Q @ H[:, part] >= 0).T, axis=1) for part in parts])
    first = _distinct(bits)
    return Arrangements(bits[first], len(Q), directions=H[:, first])


def enumerate_all(Q: np.ndarray) -> Arrangements:
    """All arrangements whose cone {h : (2D - I) Q h >= 0} has an interior; the others are faces.

    Every row defines a hyperplane in the space of h; the arrangements are the cells of these
    hyperplanes. Row by row, the cells that the new hyperplane cuts are the cells of its own
    arrangement, one dimension lower (deletion and restriction, Zaslavsky 1975).

    Parameters
    ----------
    Q : ndarray of shape (n, q)

    Raises
    ------
    ValueError
        If there may be more than MAX_ENUMERATED arrangements, or too many for so many rows; the
        message has the count.

    Examples
    --------
    >>> import numpy as np
    >>> len(enumerate_all(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])))
    6
    """
    R, group, orientation, slack = _hyperplanes(Q)
    count = count_arrangements(*R.shape)
    max_count = min(MAX_ENUMERATED, MAX_ENTRIES // max(len(Q), 1))
    if count > max_count:
        raise ValueError(
            f"Enumeration of up to {count:.6g} arrangements of {len(R)} distinct rows in "
            f"{R.shape[1]} dimensions is too large: at most {max_count} are allowed; use "
            "arrangements='auto', fewer rows or a smaller rank."
        )
    rows, normals = group >= 0, np.zeros((len(Q), R.shape[1]))  # of zero rows 0: 1[0 >= 0]

    def of_cells(R: np.ndarray, points: np.ndarray) -> Arrangements:
        normals[rows] = orientation[rows, None] * R[group[rows]]
        return sample(normals, points.T)

    points = _cell_points(R)
    found = of_cells(R, points)
    if R.shape[1] > 2 and _least_margin(R, points) < CLOSE:
        R = R + MOVED * np.random.default_rng(0).standard_normal(R.shape)
        R /= np.linalg.norm(R, axis=1, keepdims=True)
        found = found.union(of_cells(R, _cell_points(R)))
    return replace(found, complete=True, directions=None, slack=slack)


def _least_margin(R: np.ndarray, points: np.ndarray) -> float:
    """How close any of the points (P, q) is to a hyperplane."""
    parts = blocks(len(points), len(R), BLOCK_ENTRIES // 8)  # of floats
    return float(min(np.abs(points[part] @ R.T).min(initial=np.inf) for part in parts))


def _hyperplanes(Q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distinct hyperplanes of the rows of Q, in the row space of Q.

    Columns are scaled first, which changes no arrangement: with a large bias scale all rows of Q
    would be nearly parallel. Returns unit normals R (N, rank), and for each row of Q the index of
    its hyperplane (-1 for a zero row), its side of it (+1 or -1), and its slack.
    """
    scale = np.linalg.norm(Q, axis=0)
    Q = Q / np.maximum(scale, 1e-300)
    norms = np.linalg.norm(Q, axis=1)
    rows = np.flatnonzero(norms)  # with uneven weights the least is far below the largest
    A = Q[rows] / norms[rows, None]
    first, index, side = _group_parallel(A)
    group = np.full(len(Q), -1)
    orientation, slack = np.zeros((2, len(Q)))
    group[rows], orientation[rows] = index, side
    R = A[first]
    apart = np.linalg.norm(A - side[:, None] * R[index], axis=1)
    slack[rows] = np.where(apart > ROUNDING, apart, 0.0) * norms[rows] * scale.max(initial=0.0)
    _, s, Vt = np.linalg.svd(R, full_matrices=False)
    rank = int(np.sum(s > 1e-10 * s.max(initial=0.0)))
    return R @ Vt[:rank].T, group, orientation, slack


def _group_parallel(A: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group parallel unit rows: first row of each group, group of each row, side of each row.

    Parallel rows have nearly the same |a^T r| for any unit r. Sorted by it, they are in one run
    without gaps, and runs are short: there are no n^2 comparisons.
    """
    r = np.cos(1.0 + np.arange(A.shape[1]))  # no two rows of a grid have the same product
    key = np.abs(A @ r) / np.linalg.norm(r)
    order = np.argsort(key)
    gaps = np.diff(key[order]) > 2 * SAME_ANGLE
    first, side = np.arange(len(A)), np.ones(len(A))
    if gaps.all():
        return first, first, side
    run = np.zeros(len(A), dtype=int)
    run[order[1:]] = np.cumsum(gaps)
    left = np.arange(len(A))
    while len(left):  # the first row left in each run takes those parallel to it
        _, leaders, of = np.unique(run[left], return_index=True, return_inverse=True)
        leader = left[leaders][of]
        cosine = np.einsum("ij,ij->i", A[left], A[leader])
        distance = np.linalg.norm(A[left] - cosine[:, None] * A[leader], axis=1)
        same = (distance < SAME_ANGLE) | (left == leader)  # one at least: the loop ends
        first[left[same]], side[left[same]] = leader[same], np.sign(cosine[same])
        left = left[~same]
    first, group = np.unique(first, return_inverse=True)
    return first, group, side


def _cell_points(R: np.ndarray) -> np.ndarray:
    """One interior point (P, q), a unit vector, for each cell of the distinct hyperplanes R."""
    N, q = R.shape
    if N == 0:
        return np.zeros((1, q))
    if q == 1:
        return np.array([[1.0], [-1.0]])
    if q == 2:
        return _sectors(R)
    points, masks = np.stack([R[0], -R[0]]), _masks(np.array([[True], [False]]), N)
    for j in range(1, N):
        points, masks = _cut(points, masks, R[:j], R[j])
    return points


def _sectors(R: np.ndarray) -> np.ndarray:
    """Bisectors of the 2 N sectors between N distinct lines through 0 with normals R (N, 2)."""
    rays = np.sort(np.mod(np.arctan2(R[:, 0], -R[:, 1]), np.pi))
    middle = (rays + np.append(rays[1:], rays[0] + np.pi)) / 2
    points = np.stack([np.cos(middle), np.sin(middle)], axis=1)
    return np.concatenate([points, -points])


def _cut(
    points: np.ndarray, masks: np.ndarray, R: np.ndarray, a: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points of the cells of R and a, from points of the cells of R (deletion and restriction).

    With their masks in bits, so that none is computed twice.
    """
    complement = np.linalg.svd(a[None, :])[2][1:].T  # basis (q, q - 1) of the hyperplane of a
    restricted = R @ complement
    restricted /= np.linalg.norm(restricted, axis=1, keepdims=True)
    first, _, _ = _group_parallel(restricted)
    on_plane = _cell_points(restricted[first]) @ complement.T
    Z = on_plane @ R.T
    with np.errstate(divide="ignore"):
        t = -Z / (R @ a)  # on_plane + t * a lies on a hyperplane
    # Half of the way to the first of them, on either side: cells may be far wider on one.
    up = np.minimum(np.where(t > 0, t, np.inf).min(axis=1), 2.0)[:, None] / 2 * a
    down = np.minimum(np.where(t < 0, -t, np.inf).min(axis=1), 2.0)[:, None] / 2 * a
    below = _masks(Z > 0, 8 * masks.shape[1])
    left = ~np.isin(_keys(masks), _keys(below))
    kept = masks[left]
    byte, place = divmod(len(R), 8)
    above, bit = below.copy(), np.uint8(1 << (7 - place))
    above[:, byte] |= bit
    kept[:, byte] |= bit * (points[left] @ a > 0)
    new = np.concatenate([points[left], on_plane + up, on_plane - down])
    new /= np.linalg.norm(new, axis=1, keepdims=True)
    return new, np.concatenate([kept, above, below])


def _masks(positive: np.ndarray, n_bits: int) -> np.ndarray:
    """Booleans (P, j) as the first of so many bits."""
    bits = np.packbits(positive, axis=1)
    return np.pad(bits, ((0, 0), (0, (n_bits + 7) // 8 - bits.shape[1])))


def _distinct(bits: np.ndarray) -> np.ndarray:
    """Indices of the first of equal rows of bytes, ascending."""
    return np.sort(np.unique(_keys(bits), return_index=True)[1])


def _keys(bits: np.ndarray) -> np.ndarray:
    """Rows of bytes as one comparable value each."""
    bits = np.ascontiguousarray(bits)
    return bits.view(np.dtype((np.void, bits.shape[1]))).ravel()

"""The dual oracle max_{||h|| <= 1} ||V^T relu(Q h)|| by batched search (theory.md 4).

Many starts climb at once (`ascent`); values are float64. A search gives a lower bound on the
maximum: certificates that rest on it say so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .ascent import LAST_STEP, ascend, normalise
from .circles import circle_maxima, largest_on_kinks
from .polish import climb_cones

# Entries of a block of activations, (n, starts), or of the two that climbs with several outputs
# take: small enough for the cache of a CPU, large enough for what a step takes whatever its width.
BLOCK_ENTRIES = {"cpu": 1 << 21, "cuda": 1 << 28, "mps": 1 << 25}
# Ascent steps; with one output so many and one for every fourth dimension, up to this.
N_STEPS = 17
N_SIGNED, MAX_SIGNED = 14, 34
# Starts near each active neuron: size of the perturbation, first step.
NEARBY = ((0.15, 0.3), (0.15, 0.1), (0.05, 0.1), (0.05, 0.03))
# So many neurons at most, times the signs, drawn anew for each size, have starts near them.
MAX_NEARBY = 200
# Random starts a round, for each sign, before others fill them up; the share of them that have a
# row on their kink, and the smallest first step of these, which find maxima that others step over
# where rows lie close.
N_RANDOM, ON_KINKS, SMALL_STEP = 260, 0.25, 0.03
# Maxima near beta on the kink of row i are about beta / (||v_i|| ||Q_i||) wide: where that is below
# this for any row, steps are shorter in proportion, down to what float32 resolves.
NARROW, SHORTEST_STEP = 0.2, 1e-6
# Where rows are uneven, (mean ||Q_i||)^2 being below this share of their mean square, more of them
# meet at a maximum, and it is this in place of NARROW.
UNEVEN, NARROW_UNEVEN = 0.6, 0.5
# Climbs are filled up with random starts to a multiple of this: a product in bfloat16 of a shape
# that was not there before is compiled first, for as long as several steps take.
WHOLE = 128
# Maxima above this fraction of beta start the next round; this many at most.
NEAR, MAX_POOL = 0.97, 200
# Maxima polished at most, times the signs; fewer where n q^2 is large, two at least.
N_POLISHED, POLISHING = 60, 120_000_000
# With more rows fewer climb, in proportion, but no fewer than.
MAX_ROWS, FEWEST = 4_096, 100
# Share of a row's norm that is left where it depends on others but for rounding.
DEPENDENT = 1e-9
# Integers below this are exact in float32.
EXACT = 1 << 24


@dataclass(frozen=True, eq=False)
class Pairs:
    """Unit directions H (q, N) and unit output weights G (N, C)."""

    H: Tensor
    G: Tensor

    def __getitem__(self, index: Tensor | slice) -> Pairs:
        return Pairs(self.H[:, index], self.G[index])

    def __len__(self) -> int:
        return len(self.G)

    @staticmethod
    def of_weights(H: Tensor, G: Tensor) -> Pairs:
        """Neurons h_j, g_j of any norm, without it."""
        return Pairs(normalise(H), normalise(G, dim=1))


@dataclass(frozen=True, eq=False)
class Maxima(Pairs):
    """Pairs that are local maxima, with their values (N,)."""

    values: Tensor

    def __getitem__(self, index: Tensor | slice) -> Maxima:
        return Maxima(self.H[:, index], self.G[index], self.values[index])

    @property
    def largest(self) -> float:
        """The largest value, 0 if there is none."""
        return float(self.values.max()) if len(self) else 0.0

    def above(self, limit: float, at_most: int) -> Maxima:
        """The largest values above limit, in descending order."""
        order = torch.argsort(self.values, descending=True, stable=True)
        return self[order[self.values[order] > limit][:at_most]]

    def apart(self, cosine: float, at_most: int) -> Maxima:
        """The first ones, without those within this cosine of an earlier one in both h and g."""
        H, G = self.H.T.cpu(), self.G.cpu()
        left, kept = torch.ones(len(H), dtype=torch.bool), list[int]()
        for i in range(len(H)):
            if left[i] and len(kept) < at_most:
                kept.append(i)
                left &= (H @ H[i] <= cosine) | (G @ G[i] <= cosine)
        return self[torch.as_tensor(kept, dtype=torch.long, device=self.H.device)]


def join_pairs(*parts: Pairs) -> Pairs:
    """All pairs of the parts."""
    return Pairs(torch.cat([p.H for p in parts], dim=1), torch.cat([p.G for p in parts]))


def join(*parts: Maxima) -> Maxima:
    """All maxima of the parts."""
    pairs = join_pairs(*parts)
    return Maxima(pairs.H, pairs.G, torch.cat([p.values for p in parts]))


class Search:
    """Search for maxima of ||V^T relu(Q h)|| over the unit sphere, for one Q and many V.

    Parameters
    ----------
    Q : Tensor of shape (n, q), float64
    seed : int
    step_scale : ndarray of shape (q, 1), optional
        Lengths by which the entries of h move, see ``multi_start.step_scale``; ones by default.
    shrink : int
        Blocks of activations are smaller by this factor.
    device : torch.device, optional
        Where to climb, if not where Q is.
    rough : bool
        Whether climbs end as they go, in bfloat16 where it is fast: for cuts that will move.

    Attributes
    ----------
    n_polished : int
        Maxima to polish at most, times the signs.
    uneven : bool
        Whether few rows are far longer than others in Q, as with heavy tails.
    rng : numpy.random.Generator
        What all draws come from.
    """

    def __init__(
        self,
        Q: Tensor,
        seed: int,
        step_scale: np.ndarray | None = None,
        shrink: int = 1,
        device: torch.device | None = None,
        rough: bool = False,
    ) -> None:
        self.Q, self.device, self._rough = Q, device or Q.device, rough
        self._Q_host = Q.cpu().numpy()
        self._block_entries = BLOCK_ENTRIES[self.device.type] // shrink
        # values are in float64 and few at a time: blocks of an eighth
        self._block = max(16, self._block_entries // (8 * len(Q)))
        self._Q32 = Q.to(torch.float32).to(self.device)
        self.rng = np.random.default_rng(seed)
        self._step_scale = np.ones((Q.shape[1], 1)) if step_scale is None else step_scale
        self._row_norms = (Q * Q.new_tensor(self._step_scale.T)).norm(dim=1)
        mean, mean_square = self._row_norms.mean(), self._row_norms.square().mean()
        self.uneven = bool(mean**2 < UNEVEN * mean_square)
        plain = self._step_scale.min() == 1
        self._metric = None if plain else torch.as_tensor(self._step_scale**2).to(self._Q32)
        self.n_polished = min(N_POLISHED, max(2, POLISHING // (Q.numel() * Q.shape[1])))
        # so small that their sums are exact in float32
        keys = self.rng.integers(1, max(2, EXACT // len(Q)), (2, len(Q)))
        self._keys = torch.as_tensor(keys).to(self._Q32)

    def round(
        self,
        V: Tensor,
        beta: float,
        active: Pairs,
        pool: Pairs,
        n_random: int = N_RANDOM,
        polish: bool = False,
    ) -> Maxima:
        """Maxima from random starts, the pool of earlier ones, and the active neurons.

        With many rows only some of them climb, and the active neurons count as they are too.
        """
        H, G, size = self._starts(V, active, pool, n_random)
        width = self.width(V, beta)
        if (n := self.fewer(len(G))) < len(G):
            some = self.rng.permutation(len(G))[:n]
            found = self.climb(V, H[:, some], G[some], size[some], width=width)
            found = join(found, self.values(V, active))
        else:
            found = self.climb(V, H, G, size, width=width)
        if polish:
            top = self.distinct(found, beta, self.n_polished * n_signs(V))
            found = join(found, self.polish(V, top))
        return self.distinct(found, NEAR * beta, MAX_POOL)

    def _starts(
        self, V: Tensor, active: Pairs, pool: Pairs, n_random: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Starts of a round for `climb`: directions (q, N), g (N, C) and first steps (N,)."""
        signs = n_signs(V)
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray | float]]
        parts = [self.random(n_random * signs, V.shape[1])]
        parts += [(m.H.cpu().numpy(), m.G.cpu().numpy(), 0.1) for m in (pool, active)]
        H, G, _ = parts[-1]
        k = len(G)
        if k:
            some = min(k, MAX_NEARBY * signs)
            for noise, size in NEARBY:
                near = self.rng.permutation(k)[:some]
                parts.append((H[:, near] + noise * self.noise((len(H), some)), G[near], size))
            i, j = self.rng.integers(0, k, (2, signs * some))
            alike = (G[i] * G[j]).sum(axis=1) > 0
            i, j, u = i[alike], j[alike], self.rng.uniform(size=np.count_nonzero(alike))
            parts.append((H[:, i] * u + H[:, j] * (1 - u), G[i], 0.3))
        parts.append(self.random(-sum(len(g) for _, g, _ in parts) % WHOLE, V.shape[1]))
        H, G, sizes = zip(*parts, strict=True)
        steps = [np.broadcast_to(size, len(g)) for size, g in zip(sizes, G, strict=True)]
        return np.hstack(H), np.concatenate(G), np.concatenate(steps)

    def polish(self, V: Tensor, maxima: Maxima) -> Maxima:
        """Climb in float64 from cone to cone: maxima lie on kinks that float32 resolves to 1e-5."""
        H = maxima.H
        if len(maxima):
            v = V.cpu().numpy()
            ends = [climb_cones(self._Q_host, v, h) for h in H.T.cpu().numpy()]
            H = torch.as_tensor(np.stack(ends, axis=1)).to(H)
        return self.values(V, Pairs(H, maxima.G))

    def random(self, n: int, C: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Normal starts (q, n), g (n, C), signs in turns with one output, and first steps (n,).

        The last have a random row on their kink, and shorter steps: where rows lie close, as in
        columns with heavy tails, others seldom begin between them, and step over what is there.
        """
        H = self._step_scale * self.rng.standard_normal((self.Q.shape[1], n))
        G = np.resize([[1.0], [-1.0]], (n, 1)) if C == 1 else np.zeros((n, C))
        k, steps = int((1 - ON_KINKS) * n), np.ones(n)
        H[:, k:] = self.on_kinks(H[:, k:], self.rng.integers(0, len(self.Q), (1, n - k)))
        steps[k:] = self.log_uniform(SMALL_STEP, 1.0, n - k)
        return H, G, steps

    def on_kinks(self, H: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Directions nearest to the columns of H (q, N) that have these rows on their kinks.

        Of rows (k, N) -1 stands for none, and one that depends on those before it is none.
        """
        near, normals = H / self._step_scale, list[np.ndarray]()
        for index in rows:
            a = np.where(index >= 0, self._step_scale * self._Q_host[index].T, 0.0)
            least = DEPENDENT * np.linalg.norm(a, axis=0)
            for b in normals:
                a -= b * (b * a).sum(axis=0)
            size = np.linalg.norm(a, axis=0)
            a = np.where(size > least, a / np.maximum(size, 1e-300), 0.0)
            near -= a * (a * near).sum(axis=0)
            normals.append(a)
        return self._step_scale * near

    def length(self, D: np.ndarray) -> np.ndarray:
        """Norms of the columns of D (q, k) in the units of its entries."""
        return np.linalg.norm(D / self._step_scale, axis=0)

    def noise(self, shape: tuple[int, ...]) -> np.ndarray:
        """Normal perturbations of norm about 2."""
        return self._step_scale * self.rng.standard_normal(shape) * (2 / np.sqrt(shape[0]))

    def log_uniform(self, low: float, high: float, n: int) -> np.ndarray:
        """Sizes of perturbations."""
        return np.exp(self.rng.uniform(np.log(low), np.log(high), n))

    def fewer(self, n: int) -> int:
        """How many climb in place of n: with many rows maxima are few, and a climb is slow.

        Climbs on some of the rows end too far from the maxima on all: their bounds were false.
        """
        return min(n, max(FEWEST, n * MAX_ROWS // len(self.Q)))

    def width(self, V: Tensor, beta: float) -> float:
        """How wide the narrowest maxima near beta are, 1 where usual steps find them."""
        narrow = NARROW_UNEVEN if self.uneven else NARROW
        return min(beta / max(narrow * self.pulls(V).max(), 1e-300), 1.0)

    def pulls(self, V: Tensor) -> np.ndarray:
        """How much each row (n,) pulls, ||v_i|| ||Q_i||, in the units in which h moves."""
        return (V.norm(dim=1) * self._row_norms).cpu().numpy()

    def climb(
        self,
        V: Tensor,
        starts: np.ndarray,
        G: np.ndarray,
        size: np.ndarray,
        kept: float = 1.0,
        width: float = 1.0,
    ) -> Maxima:
        """Climb from the columns of starts, first steps given; values and g in float64.

        With one output climbs keep their sign G (N, 1); with several g is free. A share of them is
        kept to the end, the highest on their way. To maxima of this `width` the last steps are
        shorter, and so are the first at random, lest the climb leaves what it began at.
        """
        Q, steps, signs = self._Q32, N_STEPS, np.ones(len(G))
        if V.shape[1] == 1:
            steps, signs = min(N_SIGNED + Q.shape[1] // 4, MAX_SIGNED), G[:, 0]
        last_step = max(LAST_STEP * width, SHORTEST_STEP)
        if width < 1:
            steps = math.ceil(steps * math.log(last_step) / math.log(LAST_STEP))
            shorter = self.rng.random(len(size))
            size = size ** (1 - shorter) * np.minimum(size, 2 * last_step) ** shorter
        v, H, eta, sign = (
            torch.as_tensor(a).to(Q.dtype).to(Q.device) for a in (V, starts, size, signs)
        )
        block = max(16, self._block_entries // (min(V.shape[1], 2) * len(Q)))
        ends = ascend(Q, v, H, sign, eta, steps, block, kept, self._metric, self._rough, last_step)
        H = normalise(ends.to(self.Q.device).to(self.Q.dtype))
        return self.values(V, Pairs(H, torch.as_tensor(G).to(H)))

    def on_circles(self, V: Tensor, rows: np.ndarray | None = None) -> Maxima:
        """The largest on each circle of the kinks of q - 2 rows, rows (N, q - 2).

        Without rows those of ``circle_maxima``.
        """
        Q, v = self._Q_host, V.cpu().numpy()
        on = circle_maxima(Q, v, self.pulls(V)) if rows is None else largest_on_kinks(Q, v, rows)
        H = torch.as_tensor(on).to(self.Q)
        up = H.new_ones(H.shape[1], V.shape[1])
        maxima = self.values(V, Pairs(H, up))
        if V.shape[1] > 1:
            return maxima
        sign = torch.where(maxima.values < 0, -1.0, up[:, 0])
        return Maxima(H, sign[:, None], maxima.values.abs())

    def nearest_kinks(self, H: np.ndarray, k: int) -> np.ndarray:
        """Rows (N, k) whose kinks are nearest to the columns of H, in random order."""
        norms = self._row_norms.cpu().numpy()[:, None]
        apart = np.abs(self._Q_host @ H) / np.maximum(norms, 1e-300)
        return self.rng.permuted(np.argpartition(apart, k - 1, axis=0)[:k].T, axis=1)

    def values(self, V: Tensor, pairs: Pairs) -> Maxima:
        """The same directions with their values for V, and g where there are several outputs."""
        T = V.new_empty(len(pairs), V.shape[1])  # in one piece, lest small parts split the heap
        for h, t in zip(pairs.H.split(self._block, dim=1), T.split(self._block), strict=True):
            t.copy_((V.T @ (self.Q @ h).clamp_min_(0)).T)
        if T.shape[1] == 1:
            return Maxima(pairs.H, pairs.G, T[:, 0] * pairs.G[:, 0])
        return Maxima(pairs.H, normalise(T, dim=1), T.norm(dim=1))

    def distinct(self, maxima: Maxima, limit: float, at_most: int) -> Maxima:
        """The largest maxima above limit, one for each arrangement and sign."""
        maxima = maxima.above(limit, 10 * at_most)
        if not len(maxima):
            return maxima
        parts = maxima.H.to(self._Q32).split(self._block, dim=1)
        sums = torch.cat([self._keys @ (self._Q32 @ h).gt_(0) for h in parts], dim=1)
        keys = sums.cpu().numpy().astype(np.int64)
        sign = maxima.G[:, 0].cpu().numpy().astype(np.int64) if maxima.G.shape[1] == 1 else 1
        _, first = np.unique((keys[0] * EXACT + keys[1]) * sign, return_index=True)
        return maxima[torch.as_tensor(np.sort(first)[:at_most], device=self.Q.device)]


def n_signs(V: Tensor) -> int:
    """How many signs of g there are to search for: with several outputs g is free."""
    return 2 if V.shape[1] == 1 else 1

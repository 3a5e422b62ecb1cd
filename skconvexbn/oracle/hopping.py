"""Basin hopping on ||V^T relu(Q h)||, which has the last word on a gap (theory.md 4).

Chains move their point, climb again, and go there unless it is much lower (Wales and Doye 1997):
few long chains find larger maxima than many short ones in the same time, and chains that never go
down stay twice as far below the largest. Some move to the largest on a great circle through a
vertex nearby (`circles`), where climbs step over narrow maxima. Beside them some climbs begin anew
every generation: some of the largest maxima are where no hop leads. (Where the lowest chains begin
anew instead, none stays low for long, and twice as many bounds are refuted.) Maxima lie on kinks
that such climbs miss by up to some per cent, so the best new ones are polished, exactly, every few
generations, unless they are only wanted as cuts. Somebody else decides when it is enough.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from .circles import MAX_COLUMNS, ONE_CIRCLE
from .search import MAX_POOL, NEAR, Maxima, Pairs, Search, join, n_signs

# Chains, of each sign at first.
N_CHAINS = 300
# Share of the chains that begin near active neurons, where most of the largest maxima are.
SHARE_NEAR = 0.5
# Share of the chains, the last, that begin anew every generation.
FRESH = 0.2
# Where rows leave no direction, what is left of it, which is rounding, is no longer than this.
NO_DIRECTION = 1e-9
# Rows that a hop puts on their kinks at most, and where maxima are narrow.
MAX_KINKS, MORE_KINKS = 3, 6
# Its noise besides, less at least where they are, and bounds of the first step after it.
NOISE, STEPS = (0.03, 0.3), (0.03, 0.5)
# Perturbations of active neurons, and bounds of the first step from there.
NEAR_NOISE, NEAR_STEPS = (0.01, 0.3), (0.03, 0.3)
# Share of the chains that move to the largest on a circle instead, if columns are no more than
# these: vertices of more columns are seldom maxima.
SWEPT, MOST_COLUMNS = 0.25, 20
# Entries (rows, circles, outputs) of these circles at most, where maxima are narrow, and where rows
# are uneven besides; fewer circles than these are not worth their time.
SWEPT_ENTRIES, MORE_ENTRIES, MOST_ENTRIES, FEWEST_CIRCLES = 1 << 12, 1 << 14, 1 << 16, 16
# Temperature of the Metropolis rule (the mean decrease that a chain accepts), relative to beta.
TEMPERATURE = 0.15
# Share of the climbs, the highest on their way, that are finished: all where they are wanted as
# cuts.
KEPT = 0.33
# Maxima polished, times the signs: after the first climb, and later, once in so many generations.
N_FIRST, N_LATER, POLISH_EVERY = 30, 15, 6
# Cosine from which on a maximum is the same as one that was polished.
SAME = 1 - 1e-4


class BasinHopping:
    """Chains that hop from one local maximum to the next for one V.

    Parameters
    ----------
    search : Search
        What climbs.
    V : Tensor of shape (n, C)
    beta : float
        Maxima near it or above are kept and polished.
    around : Pairs
        Active neurons, near which some of the chains begin; the others begin anywhere.
    n_chains : int
        Chains, of each sign at first; fewer with many rows.
    earlier : BasinHopping, optional
        Hopping at another V, with as many chains: they go on where they are higher than new ones.
    polishing : float
        Share of N_FIRST and N_LATER, the best new maxima to polish: from 0 to 1.

    Attributes
    ----------
    chains : Maxima
        Where the chains are.
    largest : float
        Largest value known so far.
    n_generations : int
        Climbs of every chain so far.
    width : float
        How wide maxima are, see ``Search.width``.
    """

    def __init__(
        self,
        search: Search,
        V: Tensor,
        beta: float,
        around: Pairs,
        n_chains: int = N_CHAINS,
        earlier: BasinHopping | None = None,
        polishing: float = 1.0,
    ) -> None:
        self._search, self._V, self._beta, self._around = search, V, beta, around
        self._signs, self._polishing = n_signs(V), polishing
        likely = search.pulls(V) + 1e-300
        self._likely = likely / likely.sum()
        self._kept = KEPT if polishing else 1.0
        self.width = search.width(V, beta)
        self.chains = self._begin(search.fewer(n_chains * self._signs), earlier)
        self._new = [self.chains]
        q = search.Q.shape[1]
        if q == ONE_CIRCLE or (q <= MAX_COLUMNS and self.width < 1):
            self._new.append(search.on_circles(V))
        self.largest = max(found.largest for found in self._new)
        self._seen = self._polished = self.chains[:0]
        self.n_generations = 1
        if polishing:
            self._polish(N_FIRST)

    def maxima(self, at_most: int = MAX_POOL) -> Maxima:
        """The largest maxima so far that are near beta or above."""
        found = join(self._polished, self._seen, *self._new)
        return self._search.distinct(found, NEAR * self._beta, at_most)

    def hop(self) -> None:
        """One generation: move, climb, go or stay; the last begin anew."""
        search, now = self._search, self.chains
        n_fresh = int(FRESH * len(now))
        hops = self._hops(now[: len(now) - n_fresh])
        starts, G, size = zip(hops, self._starts(n_fresh), strict=True)
        new = search.climb(
            self._V,
            np.hstack(starts),
            np.concatenate(G),
            np.concatenate(size),
            self._kept,
            self.width,
        )
        self._new.append(new)
        self.largest = max(self.largest, new.largest)
        slack = search.rng.exponential(TEMPERATURE * self._beta, len(now) - n_fresh)
        slack = np.append(slack, [np.inf] * n_fresh)
        go = new.values > now.values - torch.as_tensor(slack).to(now.values)
        self.chains = _choose(go, new, now)
        self.n_generations += 1
        if self.polishes:
            self._polish(N_LATER)

    def _hops(self, chains: Maxima) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where chains move to: directions (q, n), g (n, C) and first steps (n,).

        A move puts one to three random rows on their kinks at once, more where maxima are narrow,
        those of large ||v_i|| ||Q_i|| more often, and adds noise. With few columns noise alone
        takes twice as long to the same maxima, with many one row moves too little.
        """
        search, n = self._search, len(chains)
        H, G = chains.H.cpu().numpy(), chains.G.cpu().numpy().copy()
        n_kinks = max(1, min(MAX_KINKS if self.width == 1 else MORE_KINKS, len(H) - 1))
        noise = search.log_uniform(NOISE[0] * self.width, NOISE[1], n)
        more = turns(search.rng, n_kinks, n)
        rows = [np.where(more >= k, self._likely_rows(n), -1) for k in range(n_kinks)]
        on = search.on_kinks(H, np.array(rows))
        on *= search.length(H) / np.maximum(search.length(on), NO_DIRECTION)
        hops = on + noise * search.noise(H.shape)
        size = np.clip(search.length(hops - H) / 2, *STEPS)
        if k := self._n_swept(n):
            some = turns(search.rng, n, k)
            found = self._sweep(H[:, some])
            hops[:, some], G[some] = found.H.cpu().numpy(), found.G.cpu().numpy()
            size[some] = STEPS[0]
        return hops, G, size

    def _n_swept(self, n: int) -> int:
        """How many of n chains move to the largest on a circle."""
        if not MAX_COLUMNS < self._search.Q.shape[1] <= min(MOST_COLUMNS, len(self._V)):
            return 0
        more = MOST_ENTRIES if self._search.uneven else MORE_ENTRIES
        entries = SWEPT_ENTRIES if self.width == 1 else more
        k = min(int(SWEPT * n), entries // self._V.numel())
        return k if k >= FEWEST_CIRCLES else 0

    def _sweep(self, H: np.ndarray) -> Maxima:
        """The largest on circles through vertices that are near the columns of H, or one row away.

        A vertex has q - 1 rows on their kinks; a circle keeps all but one of them, half of the
        circles all but two and a random row.
        """
        search, (q, n) = self._search, H.shape
        rows = search.nearest_kinks(H, q - 1)[:, : q - 2]
        rows[: n // 2, 0] = self._likely_rows(n // 2)
        found = search.on_circles(self._V, rows)
        self._new.append(found)
        self.largest = max(self.largest, found.largest)
        return found

    def _likely_rows(self, n: int) -> np.ndarray:
        """Random rows, those of large ||v_i|| ||Q_i|| more often."""
        return self._search.rng.choice(len(self._likely), n, p=self._likely)

    @property
    def polishes(self) -> bool:
        """Whether this generation is one whose best maxima are polished."""
        return self._polishing > 0 and self.n_generations % POLISH_EVERY == 0

    def _starts(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of chains that begin: directions (q, n), g (n, C) and first steps (n,)."""
        search, around = self._search, self._around
        starts, G, size = search.random(n, self._V.shape[1])
        if len(around):
            k, some = int(SHARE_NEAR * n), turns(search.rng, len(around), int(SHARE_NEAR * n))
            noise = search.log_uniform(*NEAR_NOISE, k)
            starts[:, :k] = around.H.cpu().numpy()[:, some] + noise * search.noise((len(starts), k))
            G[:k] = around.G.cpu().numpy()[some]
            size[:k] = np.clip(noise, *NEAR_STEPS)
        return starts, G, size

    def _begin(self, n: int, earlier: BasinHopping | None) -> Maxima:
        search = self._search
        begun = search.climb(self._V, *self._starts(n), self._kept, self.width)
        if earlier is None:
            return begun
        there = search.values(self._V, earlier.chains)
        H, G = there.H.cpu().numpy(), there.G.cpu().numpy()
        for chains in (
            there,
            search.climb(self._V, H, G, np.full(n, NEAR_STEPS[0]), width=self.width),
        ):
            begun = _choose(chains.values > begun.values, chains, begun)
        return begun

    def _polish(self, n_best: int) -> None:
        """Polish the best, a share of n_best times the signs, that are not near a polished one."""
        search, done = self._search, self._polished
        n_best = min(math.ceil(self._polishing * n_best), search.n_polished)
        found = join(self._seen, *self._new)
        self._seen, self._new = search.distinct(found, NEAR * self._beta, 2 * MAX_POOL), []
        near = (self._seen.H.T @ done.H > SAME) & (self._seen.G @ done.G.T > 0)
        best = self._seen[~near.any(dim=1)][: n_best * self._signs]
        self._polished = join(done, best, search.polish(self._V, best))
        self.largest = max(self.largest, self._polished.largest)


def _choose(first: Tensor, a: Maxima, b: Maxima) -> Maxima:
    """Of each pair the maximum of a where first, else that of b."""
    return Maxima(
        torch.where(first, a.H, b.H),
        torch.where(first[:, None], a.G, b.G),
        torch.where(first, a.values, b.values),
    )


def turns(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Indices below k in random order, all once before any comes again."""
    return np.resize(rng.permutation(k), n)

"""Basin hopping on ||V^T relu(Q h)||: the thorough search that has the last word on a gap.

Chains perturb their best point and climb again; few long chains find larger maxima than many short
ones do in the same time. Maxima lie on kinks that such climbs miss by up to some per cent, so the
best new ones are polished, exactly, every few generations. Somebody else decides when it is enough.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .search import MAX_POOL, NEAR, Maxima, Search, join, of_sign, signs

# Chains for each sign.
N_CHAINS = 300
# Share of the chains that begin near active neurons, where most of the largest maxima are.
SHARE_NEAR = 0.5
# Maxima polished for each sign: after the first climb, and later, once in so many generations.
N_FIRST, N_LATER, POLISH_EVERY = 60, 30, 6
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
    around : Maxima
        Active neurons, near which some of the chains begin; the others begin anywhere.
    n_chains : int
        Chains for each sign.

    Attributes
    ----------
    n_generations : int
        Climbs of every chain so far.
    """

    def __init__(
        self, search: Search, V: Tensor, beta: float, around: Maxima, n_chains: int = N_CHAINS
    ) -> None:
        self._search, self._V, self._beta, self._n_chains = search, V, beta, n_chains
        self._chains = {sign: self._begin(sign, around) for sign in signs(V)}
        self._new = list(self._chains.values())
        self._seen = self._polished = around[:0]
        self._polish(N_FIRST)
        self.n_generations = 1

    @property
    def largest(self) -> float:
        """Largest value so far."""
        return max(m.largest for m in (self._polished, *self._chains.values()))

    @property
    def maxima(self) -> Maxima:
        """The largest maxima so far that are near beta or above."""
        found = join(self._polished, self._seen, *self._new)
        return self._search.distinct(found, NEAR * self._beta, MAX_POOL)

    def hop(self) -> None:
        """One generation: perturb the best points, log-uniformly from 0.03 to 0.8, and climb."""
        for sign, best in self._chains.items():
            H = best.H.cpu().numpy()
            noise = self._search.log_uniform(0.03, 0.8, len(best))
            starts = H + noise * self._search.noise(H.shape)
            new = self._search.climb(self._V, sign, starts, np.clip(noise, 0.03, 0.5))
            self._new.append(new)
            better = new.values > best.values
            self._chains[sign] = Maxima(
                torch.where(better, new.H, best.H),
                torch.where(better[:, None], new.G, best.G),
                torch.where(better, new.values, best.values),
            )
        self.n_generations += 1
        if self.n_generations % POLISH_EVERY == 0:
            self._polish(N_LATER)

    def _begin(self, sign: float, around: Maxima) -> Maxima:
        search, n = self._search, self._n_chains
        H = of_sign(around, sign).H.cpu().numpy()
        starts, size = search.random(n), np.ones(n)
        if H.shape[1]:
            k = int(SHARE_NEAR * n)
            noise = search.log_uniform(0.01, 0.3, k)
            starts[:, :k] = H[:, search.turns(H.shape[1], k)] + noise * search.noise((len(H), k))
            size[:k] = np.clip(noise, 0.03, 0.3)
        return search.climb(self._V, sign, starts, size)

    def _polish(self, n_best: int) -> None:
        """Polish the n_best of each sign that are not near one that was polished."""
        V, search, limit = self._V, self._search, NEAR * self._beta
        found = join(self._seen, *self._new)
        self._seen, self._new = search.distinct(found, limit, 2 * MAX_POOL), []
        for sign in signs(V):
            best, done = of_sign(self._seen, sign), of_sign(self._polished, sign)
            best = best[~(best.H.T @ done.H > SAME).any(dim=1)]
            best = best[: min(n_best, search.n_polished)]
            self._polished = join(self._polished, best, search.polish(V, sign, best))

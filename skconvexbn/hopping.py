"""Basin hopping on ||V^T relu(Q h)||: the thorough search that has the last word on a gap.

Chains perturb their point, climb again, and go there unless it is much lower (Wales and Doye 1997):
few long chains find larger maxima than many short ones in the same time, and chains that never go
down stay twice as far below the largest. Maxima lie on kinks that such climbs miss by up to some
per cent, so the best new ones are polished, exactly, every few generations, unless they are only
wanted as cuts. Somebody else decides when it is enough.
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
# Temperature of the Metropolis rule (the mean decrease that a chain accepts), relative to beta.
TEMPERATURE = 0.1
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
    earlier : BasinHopping, optional
        Hopping at another V, with as many chains: they go on where they are higher than new ones.
    exact : bool
        Whether the best new maxima are polished.

    Attributes
    ----------
    chains : dict of {float: Maxima}
        Where the chains of each sign are.
    largest : float
        Largest value known so far.
    n_generations : int
        Climbs of every chain so far.
    """

    def __init__(
        self,
        search: Search,
        V: Tensor,
        beta: float,
        around: Maxima,
        n_chains: int = N_CHAINS,
        earlier: BasinHopping | None = None,
        exact: bool = True,
    ) -> None:
        self._search, self._V, self._beta = search, V, beta
        self._n_chains, self._exact = n_chains, exact
        self.chains = {sign: self._begin(sign, around, earlier) for sign in signs(V)}
        self._new = list(self.chains.values())
        self.largest = max(m.largest for m in self._new)
        self._seen = self._polished = around[:0]
        if exact:
            self._polish(N_FIRST)
        self.n_generations = 1

    def maxima(self, at_most: int = MAX_POOL) -> Maxima:
        """The largest maxima so far that are near beta or above."""
        found = join(self._polished, self._seen, *self._new)
        return self._search.distinct(found, NEAR * self._beta, at_most)

    def hop(self) -> None:
        """One generation: perturb the points, log-uniformly from 0.03 to 0.8, climb, go or stay."""
        for sign, now in self.chains.items():
            H = now.H.cpu().numpy()
            noise = self._search.log_uniform(0.03, 0.8, len(now))
            starts = H + noise * self._search.noise(H.shape)
            new = self._search.climb(self._V, sign, starts, np.clip(noise, 0.03, 0.5))
            self._new.append(new)
            self.largest = max(self.largest, new.largest)
            slack = self._search.exponential(TEMPERATURE * self._beta, len(now))
            go = new.values > now.values - torch.as_tensor(slack).to(now.values)
            self.chains[sign] = _choose(go, new, now)
        self.n_generations += 1
        if self.polishes:
            self._polish(N_LATER)

    @property
    def polishes(self) -> bool:
        """Whether this generation is one whose best maxima are polished."""
        return self._exact and self.n_generations % POLISH_EVERY == 0

    def _begin(self, sign: float, around: Maxima, earlier: BasinHopping | None) -> Maxima:
        search, n = self._search, self._n_chains
        H = of_sign(around, sign).H.cpu().numpy()
        starts, size = search.random(n), np.ones(n)
        if H.shape[1]:
            k = int(SHARE_NEAR * n)
            noise = search.log_uniform(0.01, 0.3, k)
            starts[:, :k] = H[:, search.turns(H.shape[1], k)] + noise * search.noise((len(H), k))
            size[:k] = np.clip(noise, 0.03, 0.3)
        begun = search.climb(self._V, sign, starts, size)
        if earlier is None:
            return begun
        H = earlier.chains[sign].H.cpu().numpy()
        again = search.climb(self._V, sign, H, np.full(n, 0.03))
        return _choose(again.values > begun.values, again, begun)

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
        self.largest = max(self.largest, self._polished.largest)


def _choose(first: Tensor, a: Maxima, b: Maxima) -> Maxima:
    """Of each pair the maximum of a where first, else that of b."""
    return Maxima(
        torch.where(first, a.H, b.H),
        torch.where(first[:, None], a.G, b.G),
        torch.where(first, a.values, b.values),
    )

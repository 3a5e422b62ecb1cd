"""The thorough search at the best dual point, on which a certificate "search" rests (theory.md 4).

It is as long as the network is crowded and the gap allowed is small, and longer where the gap rose
late, or where maxima are narrow.
"""

from __future__ import annotations

from torch import Tensor

from ..oracle.circles import MAX_COLUMNS
from ..oracle.hopping import BasinHopping
from ..oracle.search import Pairs, Search
from ..problem import relative_gap
from .incumbent import Incumbent

# Generations of a thorough search, at least (of its first part too) and at most.
FEWEST_GENERATIONS, MOST_GENERATIONS = 6, 192
# Between them (CROWDED / gap allowed)^3/4 for each active neuron: their number tells how crowded
# maxima are. A maximum that is larger by some fraction costs the bound this fraction of the
# penalty: where its share of the zero model's loss is above USUAL, CROWDED is as many times more.
CROWDED, USUAL = 5e-4, 0.1
# A search lasts PATIENCE times as long as it took until the gap last rose by this fraction of what
# is allowed.
PATIENCE, RISE = 2, 0.1
# Where maxima are narrow, and not on few circles, searches are so long at least, and longer by this
# power of the width.
NARROW_FEWEST, LONGER = 48, 0.5
# They polish all that they may where tol is at most this, and fewer, as its root, where it is more.
POLISH_ALL = 1e-3
# Gaps below this count as this large there: float64 does not resolve them.
RESOLUTION = 1e-8
# Time of the last such search on top of max_time, as a share of it.
LAST_SHARE = 0.1


class ThoroughSearch:
    """Chains that hop at V, the best dual point, and correct its bound by what they find.

    Parameters
    ----------
    search : Search
    best : Incumbent
    V : Tensor of shape (n, C)
    around : Pairs
        Active neurons and cuts, near which some of the chains begin.
    earlier : BasinHopping, optional
        An earlier search, whose chains go on where they are higher.

    Attributes
    ----------
    hopping : BasinHopping
        The chains.
    """

    def __init__(
        self,
        search: Search,
        best: Incumbent,
        V: Tensor,
        around: Pairs,
        earlier: BasinHopping | None,
    ) -> None:
        self._best = best
        polishing = (POLISH_ALL / max(POLISH_ALL, best.options.tol)) ** 0.5
        self.hopping = BasinHopping(
            search, V, best.problem.beta, around, earlier=earlier, polishing=polishing
        )
        best.raise_dual_norm(self.hopping.largest)

    def length(self) -> float:
        """Generations that it takes at the gap of now, within its bounds."""
        best, problem, width = self._best, self._best.problem, self.hopping.width
        allowed = max(best.options.tol, best.gap, RESOLUTION)
        share = relative_gap(problem.penalty(best.H, best.G), problem.zero_loss)
        length = len(best.G) * (CROWDED * max(1.0, share / USUAL) / allowed) ** 0.75
        if width == 1 or problem.Q.shape[1] <= MAX_COLUMNS:
            return length
        return max(length, NARROW_FEWEST) / width**LONGER

    def hop(self, length: float) -> None:
        """Hop so many generations while the gap is closed, more where it rose late.

        In the last round go on where it opens. It never takes more than a share of the time on top:
        cut short, the search vouches for nothing.
        """
        best, hopping = self._best, self.hopping
        deadline = (1 + LAST_SHARE) * best.options.max_time
        gap, allowed = best.gap, max(best.options.tol, best.gap, RESOLUTION)
        while best.closed or best.last_round:
            if hopping.polishes and hopping.n_generations >= min(length, MOST_GENERATIONS):
                break
            if best.seconds > deadline:
                best.cut_short = True
                break
            hopping.hop()
            best.raise_dual_norm(hopping.largest)
            if best.gap > gap + RISE * allowed:
                gap, allowed = best.gap, max(allowed, best.gap)
                length = max(length, PATIENCE * hopping.n_generations)

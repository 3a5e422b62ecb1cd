"""The dual oracle max_{||h|| <= 1} ||V^T relu(Q h)|| by batched search (theory.md 4).

Many starts climb at once in float32, two matrix products a step; values are float64. Masks are
made in place as numbers: a broadcast torch.where on the CPU costs ten products. A search
gives a lower bound on the maximum: certificates that rest on it say so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .oracle import climb_cones

# Entries of a block of activations, (n, starts): small enough for the cache of a CPU.
BLOCK_ENTRIES = {"cpu": 1 << 18, "cuda": 1 << 27, "mps": 1 << 24}
# Ascent steps, and the size of the last; with one output so many and one for every third dimension,
# up to this.
N_STEPS, LAST_STEP = 20, 0.03
N_SIGNED, MAX_SIGNED = 16, 40
# Starts near each active neuron: size of the perturbation, first step.
NEARBY = ((0.15, 0.3), (0.15, 0.1), (0.05, 0.1), (0.05, 0.03))
# So many neurons at most, drawn anew for each size, have starts near them.
MAX_NEARBY = 200
# Random starts a round, for each sign.
N_RANDOM = 300
# Maxima above this fraction of beta start the next round; this many at most.
NEAR, MAX_POOL = 0.97, 300
# Maxima polished at most for each sign; fewer where Q has many entries, two at least.
N_POLISHED, POLISHED_ENTRIES = 200, 20_000_000
# With more rows, starts climb on half as many, and the best on all: one in so many, no fewer than,
# in so many steps.
MAX_ROWS, REFINED, N_REFINED, N_REFINING = 16_384, 64, 8, 10


@dataclass(frozen=True, eq=False)
class Maxima:
    """Local maxima: unit directions H (q, N), unit output weights G (N, C), values (N,)."""

    H: Tensor
    G: Tensor
    values: Tensor

    def __getitem__(self, index: Tensor | slice) -> Maxima:
        return Maxima(self.H[:, index], self.G[index], self.values[index])

    def __len__(self) -> int:
        return len(self.values)

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


def join(*parts: Maxima) -> Maxima:
    """All maxima of the parts."""
    return Maxima(
        torch.cat([p.H for p in parts], dim=1),
        torch.cat([p.G for p in parts]),
        torch.cat([p.values for p in parts]),
    )


def normalise(H: Tensor, dim: int = 0) -> Tensor:
    """H with slices along dim of unit norm."""
    return H / H.square().sum(dim=dim, keepdim=True).sqrt_().clamp_min_(1e-30)


class Search:
    """Search for maxima of ||V^T relu(Q h)|| over the unit sphere, for one Q and many V.

    Parameters
    ----------
    Q : Tensor of shape (n, q), float64
    seed : int
    shrink : int
        Blocks of activations are smaller by this factor.
    device : torch.device, optional
        Where to climb in float32, if not where Q is.

    Attributes
    ----------
    n_polished : int
        Maxima that `polish` takes at most.
    """

    def __init__(
        self, Q: Tensor, seed: int, shrink: int = 1, device: torch.device | None = None
    ) -> None:
        self.Q, self.device = Q, device or Q.device
        self._block_entries = BLOCK_ENTRIES[self.device.type] // shrink
        self._block = max(16, self._block_entries // len(Q))
        self._Q32 = Q.to(torch.float32).to(self.device)
        self._rng = np.random.default_rng(seed)
        self.n_polished = min(N_POLISHED, max(2, POLISHED_ENTRIES // Q.numel()))
        self._sample = None
        if len(Q) > MAX_ROWS:
            rows = self._rng.choice(len(Q), MAX_ROWS // 2, replace=False)
            self._sample = torch.as_tensor(np.sort(rows), device=Q.device)
        self._key = torch.as_tensor(self._rng.standard_normal(len(Q))).to(Q)

    def round(
        self,
        V: Tensor,
        beta: float,
        active: Maxima,
        pool: Maxima,
        n_random: int = N_RANDOM,
        polish: bool = False,
    ) -> Maxima:
        """Maxima from random starts, the pool of earlier ones, and the active neurons."""
        found = []
        for sign in signs(V):
            H = of_sign(active, sign).H.cpu().numpy()
            starts, sizes = [self.random(n_random)], [1.0]
            starts += [of_sign(pool, sign).H.cpu().numpy(), H]
            sizes += [0.1, 0.1]
            k = H.shape[1]
            if k:
                some = min(k, MAX_NEARBY)
                for noise, size in NEARBY:
                    near = H[:, self._rng.permutation(k)[:some]]
                    starts.append(near + noise * self.noise(near.shape))
                    sizes.append(size)
                i, j = self._rng.integers(0, k, (2, some))
                u = self._rng.uniform(size=some)
                starts.append(H[:, i] * u + H[:, j] * (1 - u))
                sizes.append(0.3)
            first_steps = np.repeat(sizes, [s.shape[1] for s in starts])
            found.append(self.climb(V, sign, np.hstack(starts), first_steps))
            if polish:
                top = self.distinct(found[-1], beta, N_POLISHED)
                found.append(self.polish(V, sign, top))
        return self.distinct(join(*found), NEAR * beta, MAX_POOL)

    def polish(self, V: Tensor, sign: float, maxima: Maxima) -> Maxima:
        """Climb in float64 from cone to cone: maxima lie on kinks that float32 resolves to 1e-5.

        With many entries of Q only the first of the maxima.
        """
        H = maxima[: self.n_polished].H
        if H.shape[1]:
            Q, v = self.Q.cpu().numpy(), V.cpu().numpy()
            ends = [climb_cones(Q, v, h) for h in H.T.cpu().numpy()]
            H = torch.as_tensor(np.stack(ends, axis=1)).to(H)
        return self._values(V, sign, H)

    def random(self, n: int) -> np.ndarray:
        """Standard normal starts (q, n)."""
        return self._rng.standard_normal((self.Q.shape[1], n))

    def noise(self, shape: tuple[int, ...]) -> np.ndarray:
        """Normal perturbations of norm about 2."""
        return self._rng.standard_normal(shape) * (2 / np.sqrt(shape[0]))

    def log_uniform(self, low: float, high: float, n: int) -> np.ndarray:
        """Sizes of perturbations."""
        return np.exp(self._rng.uniform(np.log(low), np.log(high), n))

    def exponential(self, mean: float, n: int) -> np.ndarray:
        """Exponential draws of this mean."""
        return self._rng.exponential(mean, n)

    def turns(self, k: int, n: int) -> np.ndarray:
        """Indices below k in random order, all once before any comes again."""
        return np.resize(self._rng.permutation(k), n)

    def climb(
        self,
        V: Tensor,
        sign: float,
        starts: np.ndarray,
        size: np.ndarray,
    ) -> Maxima:
        """Climb from the columns of starts in float32; values and g in float64.

        With many rows, climb on a sample of them; the best then climb on all.
        """
        if self._sample is None:
            return self._values(V, sign, self._ascend(self._Q32, V, sign, starts, size))
        Q, rows = self._Q32[self._sample], V[self._sample]
        maxima = self._values(V, sign, self._ascend(Q, rows, sign, starts, size))
        n_best = max(N_REFINED, len(maxima) // REFINED)
        best = torch.argsort(maxima.values, descending=True, stable=True)[:n_best]
        starts, size = maxima.H[:, best].cpu().numpy(), np.full(len(best), 0.05)
        H = self._ascend(self._Q32, V, sign, starts, size, N_REFINING)
        refined = self._values(V, sign, H)
        better = refined.values > maxima.values[best]
        improved = best[better]
        maxima.H[:, improved] = refined.H[:, better]
        maxima.G[improved] = refined.G[better]
        maxima.values[improved] = refined.values[better]
        return maxima

    def _ascend(
        self,
        Q: Tensor,
        V: Tensor,
        sign: float,
        starts: np.ndarray,
        size: np.ndarray,
        steps: int | None = None,
    ) -> Tensor:
        """Unit directions (q, N) that climb from the columns of starts on rows Q, in blocks."""
        H = normalise(torch.as_tensor(starts).to(Q.dtype).to(Q.device))
        eta = torch.as_tensor(size).to(Q.dtype).to(Q.device)
        V = V.to(Q.dtype).to(Q.device)
        block = max(16, self._block_entries // len(Q))
        blocks = zip(H.split(block, dim=1), eta.split(block), strict=True)
        if steps is None:
            steps = min(N_SIGNED + Q.shape[1] // 3, MAX_SIGNED) if sign else N_STEPS
        if sign:
            Qu = Q * (V * sign)
            parts = [_climb_signed(Q, Qu, h, e, steps) for h, e in blocks]
        else:
            parts = [_climb_vector(Q, V, h, e, steps) for h, e in blocks]
        return normalise(torch.cat(parts, dim=1).to(self.Q.device).to(torch.float64))

    def _values(self, V: Tensor, sign: float, H: Tensor) -> Maxima:
        G = V.new_full((H.shape[1], V.shape[1]), sign)
        return self.values(V, Maxima(H, G, G[:, 0]))

    def values(self, V: Tensor, maxima: Maxima) -> Maxima:
        """The same directions with their values for V, and g where there are several outputs."""
        T = V.new_empty(len(maxima), V.shape[1])  # in one piece, lest small parts split the heap
        for h, t in zip(maxima.H.split(self._block, dim=1), T.split(self._block), strict=True):
            t.copy_((V.T @ (self.Q @ h).clamp_min_(0)).T)
        if T.shape[1] == 1:
            return Maxima(maxima.H, maxima.G, T[:, 0] * maxima.G[:, 0])
        return Maxima(maxima.H, normalise(T, dim=1), T.norm(dim=1))

    def distinct(self, maxima: Maxima, limit: float, at_most: int) -> Maxima:
        """The largest maxima above limit, one for each arrangement and sign."""
        maxima = maxima.above(limit, 10 * at_most)
        if not len(maxima):
            return maxima
        parts = maxima.H.split(self._block, dim=1)
        keys = torch.cat([self._key @ (self.Q @ h > 0).to(self._key) for h in parts])
        if maxima.G.shape[1] == 1:
            keys = keys + 1e3 * maxima.G[:, 0]
        _, first = np.unique(keys.cpu().numpy(), return_index=True)
        return maxima[torch.as_tensor(np.sort(first)[:at_most], device=self.Q.device)]


def signs(V: Tensor) -> tuple[float, ...]:
    """Signs of g to search for: both with one output; 0 stands for a free g."""
    return (1.0, -1.0) if V.shape[1] == 1 else (0.0,)


def of_sign(maxima: Maxima, sign: float) -> Maxima:
    """Maxima with this sign of g; all where g is free."""
    return maxima[maxima.G[:, 0] == sign] if sign else maxima


def _climb_signed(Q: Tensor, Qu: Tensor, H: Tensor, eta: Tensor, steps: int) -> Tensor:
    """Best points of ascent on u^T relu(Q h), given diag(u) Q: h <- normalise(h + eta G / |G|)."""
    best, best_value = H, torch.full_like(eta, -torch.inf)
    decay = (LAST_STEP / eta) ** (1 / max(steps - 1, 1))
    for t in range(steps + 1):
        G = Qu.T @ (Q @ H).gt_(0.0)
        value = (G * H).sum(dim=0)
        better = value > best_value
        best, best_value = torch.where(better, H, best), torch.where(better, value, best_value)
        if t < steps:
            H = normalise(H + eta * normalise(G))
            eta = eta * decay
    return best


def _climb_vector(Q: Tensor, V: Tensor, H: Tensor, eta: Tensor, steps: int) -> Tensor:
    """Best points of ascent on ||V^T relu(Q h)||, whose gradient is Q^T (1[Q h > 0] * V g)."""
    best, best_value = H, torch.full_like(eta, -torch.inf)
    decay = (LAST_STEP / eta) ** (1 / max(steps - 1, 1))
    for t in range(steps + 1):
        R = (Q @ H).clamp_min_(0.0)
        T = V.T @ R
        value = T.norm(dim=0)
        better = value > best_value
        best, best_value = torch.where(better, H, best), torch.where(better, value, best_value)
        if t < steps:
            G = Q.T @ (V @ normalise(T)).mul_(R.sign_())
            H = normalise(H + eta * normalise(G))
            eta = eta * decay
    return best

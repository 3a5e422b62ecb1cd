"""Ascent on ||V^T relu(Q h)|| over the unit sphere, from many starts at once (theory.md 4).

Steps are those of a heavy ball (Polyak 1964): gradients on the two sides of a kink take turns, and
what they have in common leads along it, so that maxima, which lie on kinks, take fewer steps. Two
matrix products a step, in bfloat16 where the processor multiplies it up to four times as fast as
float32; the last steps are in float32, unless they may be rough, and all where maxima are narrow.
Masks are made in place as numbers: a broadcast torch.where on the CPU costs ten products.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Size of the last step: maxima lie on kinks, and longer ones end too far from them to tell which
# are the largest, and worth polishing.
LAST_STEP = 0.007
# Share of a step that goes on in the next one.
MOMENTUM = 0.5
# Last steps, which are in float32 unless they may be rough: bfloat16 misses directions by 0.003.
N_FINE = 3
# Share of the steps after which only the highest go on: the others gain little more.
ALONE = 0.5
# The bits of 1.0 in bfloat16, and what makes any positive pre-activation larger than 1.
ONE, STRETCH = 0x3F80, 2.0**60


def normalise(H: Tensor, dim: int = 0) -> Tensor:
    """H with slices along dim of unit norm."""
    return H / _norms(H, dim)


def _norms(H: Tensor, dim: int = 0) -> Tensor:
    """Norms of the slices along dim, not 0; `torch.linalg.vector_norm` takes five times as long."""
    return H.square().sum(dim=dim, keepdim=True).sqrt_().clamp_min_(1e-30)


def fast_bfloat16(device: torch.device) -> bool:
    """Whether products of bfloat16 are faster there than those of float32.

    AMX has tiles for them. With AVX-512 alone they are faster on AMD's processors, and slower on
    Intel's.
    """
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    has = torch.cpu.get_capabilities()
    vectors = has.get("avx512_bf16", False) and "Intel" not in has.get("cpu_name", "Intel")
    return bool(has.get("amx_bf16", False) or vectors)


def ascend(
    Q: Tensor,
    V: Tensor,
    H: Tensor,
    signs: Tensor,
    eta: Tensor,
    steps: int,
    block: int,
    kept: float,
    metric: Tensor | None = None,
    rough: bool = False,
    last_step: float = LAST_STEP,
) -> Tensor:
    """Directions (q, N) that climb from the columns of H, so many at once.

    Parameters
    ----------
    Q : Tensor of shape (n, q), float32
    V : Tensor of shape (n, C), float32
    H : Tensor of shape (q, N), float32
    signs : Tensor of shape (N,), float32
        Of what to climb on: with one output sign v^T relu(Q h). With several ones.
    eta : Tensor of shape (N,), float32
        First steps.
    steps : int
    block : int
        Columns that climb at once.
    kept : float
        Share of the starts, the highest after ALONE of the steps, that climb on.
    metric : Tensor of shape (q, 1), optional
        Squares of the units in which the entries of h move, if they are not all 1.
    rough : bool
        Whether the last steps are as precise as the others, and the last points what counts.
    last_step : float
        Below LAST_STEP where maxima are narrower: all steps are in float32 then.
    """
    fine = Slope(Q, V, Q.dtype)
    fast = fast_bfloat16(Q.device) and last_step >= LAST_STEP
    coarse = Slope(Q, V, torch.bfloat16) if fast else fine
    H, etas, alone = normalise(H), _step_sizes(eta, steps, last_step), round(ALONE * steps)
    D, values = torch.zeros_like(H), torch.empty_like(eta)
    for some in torch.arange(len(eta), device=eta.device).split(block):
        H[:, some], D[:, some], values[some] = _climb(
            coarse, H[:, some], D[:, some], signs[some], etas[:alone, some], metric
        )
    best = torch.argsort(values, descending=True, stable=True)[: math.ceil(kept * len(eta))]
    for some in best.split(block):
        rest = H[:, some], D[:, some], signs[some], etas[alone:, some], metric
        H[:, some] = _climb(coarse, *rest)[0] if rough else _finish(coarse, fine, *rest)
    return H


def _step_sizes(eta: Tensor, steps: int, last_step: float) -> Tensor:
    """Geometric from eta to the last step, shape (steps, N).

    Where they stay long for longer climbs end higher on average, and step over narrow maxima.
    """
    share = torch.arange(steps).to(eta)[:, None] / max(steps - 1, 1)
    return eta * (last_step / eta) ** share


def _climb(
    slope: Slope, H: Tensor, D: Tensor, sign: Tensor, etas: Tensor, metric: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Points after the steps, the last direction of each, and their values before the last step."""
    before, G = H, H
    for eta in etas:
        before, G = H, slope(H)
        D = _direction(H, G, D, sign, metric)
        H = normalise(torch.addcmul(H, D, eta))
    return H, D, (G * before).sum(dim=0) * sign


def _direction(H: Tensor, G: Tensor, last: Tensor, sign: Tensor, metric: Tensor | None) -> Tensor:
    """The gradient G / |G|, with its sign, and a share of the last direction.

    With a metric M, M (G - f h) + f h in place of G, where f = h^T G, and |M^1/2 G|.
    """
    if metric is None:
        scale = sign / _norms(G)
    else:
        scale = sign / _norms(metric.sqrt() * G)
        G = torch.lerp((G * H).sum(dim=0) * H, G, metric)
    return torch.addcmul(MOMENTUM * last, G, scale)


def _finish(
    coarse: Slope,
    fine: Slope,
    H: Tensor,
    D: Tensor,
    sign: Tensor,
    etas: Tensor,
    metric: Tensor | None = None,
) -> Tensor:
    """Best of the last points, where values are h^T G.

    Those of coarse slopes do not tell the best point.
    """
    H, D, _ = _climb(coarse, H, D, sign, etas[:-N_FINE], metric)
    best, best_value = H, torch.full_like(sign, -torch.inf)
    for eta in (*etas[-N_FINE:], etas[-1]):  # the last is for the value of the point before it
        after, D, value = _climb(fine, H, D, sign, eta[None], metric)
        better = value > best_value
        best, best_value = torch.where(better, H, best), torch.where(better, value, best_value)
        H = after
    return best


class Slope:
    """Gradient G = Q^T (1[Q h > 0] * V g) of ||V^T relu(Q h)||, in one precision.

    With one output of v^T relu(Q h). What is positive as bfloat16 is so as int16, which is faster.
    """

    def __init__(self, Q: Tensor, V: Tensor, dtype: torch.dtype) -> None:
        self._Q, self._V = Q.to(dtype), V.to(dtype)
        self._vQ = (Q * V).T.to(dtype).contiguous() if V.shape[1] == 1 else None
        if self._vQ is not None and dtype == torch.bfloat16:
            self._Q = self._Q * STRETCH
        self._buffers = self._Q.new_empty(2, 0, 0)

    def __call__(self, H: Tensor) -> Tensor:
        """Gradients at the columns of H, both (q, N)."""
        shape = len(self._Q), H.shape[1]
        if self._buffers.shape[1:] != shape:
            self._buffers = self._Q.new_empty(2 if self._vQ is None else 1, *shape)
        Z = torch.mm(self._Q, H.to(self._Q.dtype), out=self._buffers[0])
        if self._vQ is not None:
            return (self._vQ @ _positive(Z)).to(H.dtype)
        R = _relu(Z)
        M = torch.mm(self._V, normalise(self._V.T @ R), out=self._buffers[1])
        return (self._Q.T @ _gate(M, R)).to(H.dtype)


def _positive(Z: Tensor) -> Tensor:
    """1[Z > 0], in place; in bfloat16 Z is stretched: none is between 0 and 1."""
    if Z.dtype != torch.bfloat16:
        return Z.gt_(0.0)
    Z.view(torch.int16).clamp_(0, ONE)
    return Z


def _relu(Z: Tensor) -> Tensor:
    """relu(Z), in place."""
    if Z.dtype != torch.bfloat16:
        return Z.clamp_min_(0.0)
    Z.view(torch.int16).clamp_min_(0)
    return Z


def _gate(M: Tensor, R: Tensor) -> Tensor:
    """1[R > 0] * M where no R is negative, in place of both."""
    if R.dtype != torch.bfloat16:
        return M.mul_(R.sign_())
    M.view(torch.int16).mul_(R.view(torch.int16).clamp_max_(1))
    return M

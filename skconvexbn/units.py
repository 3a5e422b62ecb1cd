"""The problem as solvers see it: weights of mean 1, unit variance of targets (theory.md 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .data import DistinctRows, weighted_mean
from .losses import Loss
from .problem import Problem
from .whitening import Basis


@dataclass(frozen=True)
class Units:
    """What one of the solver's units is in those of the data: outputs, their centre, row weight.

    With row weights divided by ``weight``, sqrt(weight) Q is what Q was (theory.md 6): output
    weights of unit directions h, and beta, scale with the root.
    """

    output: float
    centre: np.ndarray
    weight: float

    @property
    def beta(self) -> float:
        """Unit of beta, and of output weights."""
        return self.output * float(np.sqrt(self.weight))

    @property
    def objective(self) -> float:
        """Unit of loss and penalty."""
        return self.output**2 * self.weight


def unit_problem(
    rows: DistinctRows, basis: Basis, loss: Loss, fit_intercept: bool
) -> tuple[Problem, Units]:
    """The problem at beta = 0, row weights of mean 1, targets of squared error of unit variance."""
    Y, spread, units = unit_targets(rows, loss, fit_intercept)
    Q, w = np.sqrt(units.weight) * basis.transform(rows.X), rows.w / units.weight
    return Problem(Q, Y, w, loss, 0.0, fit_intercept, spread), units


def unit_targets(
    rows: DistinctRows, loss: Loss, fit_intercept: bool
) -> tuple[np.ndarray, float, Units]:
    """Targets (n, C) and what merging rows took out of them, in the units of the solver; these.

    With an intercept the mean of the targets is taken out first, or a large one would cancel the
    digits of the dual value.
    """
    weight = float(rows.w.mean())
    Y, centre = rows.Y, np.zeros(rows.Y.shape[1])
    if not loss.quadratic:
        return Y, 0.0, Units(1.0, centre, weight)
    w = rows.w / weight
    if fit_intercept:
        centre = weighted_mean(Y, w)
        rounding = 4 * np.finfo(np.float64).eps * np.abs(Y).max(axis=0)
        Y = np.where(np.abs(Y - centre) <= rounding, 0.0, Y - centre)
    size = float(np.abs(Y).max()) or 1.0  # squares neither overflow nor vanish
    if not 1e-153 < size < 1e153:
        raise ValueError(
            f"Targets vary by up to {size:.3g}, whose square float64 cannot hold; rescale y to lie "
            "between 1e-153 and 1e153."
        )
    spread = rows.spread / weight / size**2
    variance = (w @ np.square(Y / size).sum(axis=1) + 2 * spread) / w.sum()
    deviation = float(np.sqrt(variance)) or 1.0
    units = Units(size * deviation, centre, weight)
    if not 0 < units.objective < np.inf:
        raise ValueError(
            f"Weights of {weight:.3g} times squared targets of {units.output:.3g}^2 are outside "
            "float64; rescale sample_weight or y."
        )
    return Y / units.output, spread / deviation**2, units

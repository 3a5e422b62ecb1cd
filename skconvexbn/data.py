"""Training data in canonical form: distinct rows, whose weights add up (theory.md 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Weights below this fraction of the largest are zero: all that there can be of them do not change
# a sum, and entries of Q, which grow as w^-1/2, stay in the range of float32.
NEGLIGIBLE = 1e-30
# Least sum of weights, well above where inverses and squares of Q overflow (1e-307).
LEAST_WEIGHT = 1e-300


def counted(w: np.ndarray) -> np.ndarray:
    """Which of the weights w (n,) are more than next to nothing beside the largest."""
    return w > NEGLIGIBLE * w.max(initial=0.0)


def weighted_mean(A: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Means of the columns of A (n, d), corrected once: the rounding of one sum grows with n."""
    shares = w / w.sum()
    mean = shares @ A
    return mean + shares @ (A - mean)


@dataclass(frozen=True, eq=False)
class DistinctRows:
    """Training rows with repeats merged: features, mean targets, summed weights.

    Merging leaves the minimiser of (P) unchanged and makes weights mean repetition. The order is
    that of the rows' bytes, so the order in which rows came does not matter. ``spread`` is the
    squared error that merging took out, 1/2 sum w ||y - mean y||^2; ``eps`` the relative spacing
    of the type that X came in, float32 or float64 (other types become float64, as all is here).
    """

    X: np.ndarray
    Y: np.ndarray
    w: np.ndarray
    spread: float
    eps: float

    @classmethod
    def of(cls, X: np.ndarray, Y: np.ndarray, w: np.ndarray) -> DistinctRows:
        """Merge equal rows of X (n, d); rows of next to no weight are dropped."""
        eps = float(np.finfo(X.dtype).eps)
        with np.errstate(over="ignore"):
            weight = w.sum()
        if not LEAST_WEIGHT <= weight < np.inf:
            raise ValueError(
                f"Sample weights add up to {weight:.3g}, which is not between {LEAST_WEIGHT:g} and "
                "the largest float64; divide them by the largest."
            )
        kept = counted(w)
        X, Y, w = (a[kept].astype(np.float64, copy=False) for a in (X, Y, w))
        rows = np.ascontiguousarray(X + 0.0)  # -0.0 and 0.0 are one value
        keys = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        total = np.bincount(group, w)
        if len(first) == len(rows):
            return cls(rows[first], Y[first], w[first], 0.0, eps)
        # From the first of each group: what it has in common would cancel the digits of the sums.
        offsets = (Y - Y[first][group]).T
        sums = np.stack([np.bincount(group, w * column) for column in offsets], axis=1)
        means = Y[first] + sums / total[:, None]
        spread = 0.5 * float(w @ np.square(Y - means[group]).sum(axis=1))
        return cls(rows[first], means, total, spread, eps)

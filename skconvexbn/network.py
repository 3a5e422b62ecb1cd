"""Neurons (h_j, g_j) -> batch-normalised network -> plain multilayer perceptron (theory.md 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .blocks import blocks
from .whitening import Basis

# Entries of a block of pre-activations (rows, neurons).
BLOCK_ENTRIES = 1 << 20


@dataclass(frozen=True, eq=False)
class Network:
    """relu((x - mean) W + c) G + b, with BN's gamma and alpha folded into W and c.

    Attributes
    ----------
    mean : ndarray of shape (d,)
    W : ndarray of shape (d, m)
    c : ndarray of shape (m,)
    G : ndarray of shape (m, C)
    b : ndarray of shape (C,)
    gamma, alpha : ndarray of shape (m,)
        Scale and shift of theory.md 1; gamma^2 + alpha^2 / bias_scale^2 = 1.
    directions : ndarray of shape (d, m)
        The paper's w_j, of norm 1 in the denominator of theory.md 7 (for batch normalisation
        ||X_c w_j|| = 1).
    deviations : ndarray of shape (m,)
        Standard deviations of X_c w_j over the training rows: 1 / sqrt(n) without shrinkage.
    gates : ndarrays of shapes (d, m), (m,), or None
        V and c of fixed gates 1[(x - mean) V + c >= 0] in place of the ReLU: the gated relaxation.
    """

    mean: np.ndarray
    W: np.ndarray
    c: np.ndarray
    G: np.ndarray
    b: np.ndarray
    gamma: np.ndarray
    alpha: np.ndarray
    directions: np.ndarray
    deviations: np.ndarray
    gates: tuple[np.ndarray, np.ndarray] | None = None

    @classmethod
    def from_neurons(
        cls,
        basis: Basis,
        H: np.ndarray,
        G: np.ndarray,
        b: np.ndarray,
        gates: np.ndarray | None = None,
    ) -> Network:
        """Network of unit directions H (q, m), output weights G (m, C) and gates (q, m) if any."""
        gamma = np.linalg.norm(H[:-1], axis=0)
        W = basis.weights @ H[:-1]
        unit = H[:-1] / np.where(gamma > 0, gamma, 1.0)
        unit[:1, gamma == 0] = 1.0  # a neuron that is a pure bias may have any direction
        directions = basis.weights @ unit
        deviations = np.linalg.norm(basis.deviations[:, None] * unit, axis=0)
        c = basis.bias * H[-1]
        alpha = basis.bias_scale * H[-1]
        mean = basis.whitening.mean
        if gates is None:
            return cls(mean, W, c, G, b, gamma, alpha, directions, deviations)
        fixed = basis.weights @ gates[:-1], basis.bias * gates[-1]
        return cls(mean, W, c, G, b, gamma, alpha, directions, deviations, fixed)

    @classmethod
    def average(cls, networks: Sequence[Network], shares: Sequence[float]) -> Network:
        """The network of all neurons whose output is the weighted mean of the outputs.

        All must have been fitted to the same rows.
        """

        def joined(name: str, axis: int) -> np.ndarray:
            return np.concatenate([getattr(n, name) for n in networks], axis=axis)

        gates = [n.gates for n in networks if n.gates is not None]  # None: no neurons, or ReLU
        V, c = zip(*gates, strict=True) if gates else ((), ())
        pairs = list(zip(networks, shares, strict=True))
        return replace(
            networks[0],
            W=joined("W", 1),
            c=joined("c", 0),
            G=np.concatenate([share * n.G for n, share in pairs]),
            b=np.sum([share * n.b for n, share in pairs], axis=0),
            gamma=joined("gamma", 0),
            alpha=joined("alpha", 0),
            directions=joined("directions", 1),
            deviations=joined("deviations", 0),
            gates=(np.concatenate(V, axis=1), np.concatenate(c)) if gates else None,
        )

    def with_outputs(self, A: np.ndarray, b: np.ndarray) -> Network:
        """The network whose outputs are F A + b, for A (C, K) and b (K,)."""
        return replace(self, G=self.G @ A, b=self.b @ A + b)

    @property
    def coefs(self) -> list[np.ndarray]:
        """[W1 (d, m), W2 (m, C)] of the folded network."""
        return [self.W, self.G]

    @property
    def intercepts(self) -> list[np.ndarray]:
        """[b1 (m,), b2 (C,)] of the folded network."""
        return [self.c - self.mean @ self.W, self.b]

    def hidden(self, X: np.ndarray) -> np.ndarray:
        """Pre-activations (n, m); X is centred first, for accuracy when means are large."""
        Z = (X - self.mean) @ self.W
        Z += self.c
        return Z

    def active(self, X: np.ndarray) -> np.ndarray:
        """Whether neurons are on, (n, m): by their gates, or by their own sign."""
        if self.gates is None:
            return self.hidden(X) > 0
        V, c = self.gates
        return (X - self.mean) @ V >= -c

    def output(self, X: np.ndarray) -> np.ndarray:
        """Network output (n, C), in blocks of rows: memory does not grow with n times neurons."""
        parts = blocks(max(len(X), 1), len(self.G), BLOCK_ENTRIES, at_least=16)
        return np.concatenate([self._output(X[part]) for part in parts])

    def _output(self, X: np.ndarray) -> np.ndarray:
        Z = self.hidden(X)
        if self.gates is None:
            np.maximum(Z, 0.0, out=Z)
        else:
            Z *= self.active(X)
        return Z @ self.G + self.b

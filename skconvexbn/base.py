"""The one fit pipeline: rows -> whitening -> Problem -> solver -> Network."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from .arrangements import Arrangements, enumerate_all, sample
from .data import DistinctRows
from .losses import Loss, SquaredError
from .network import Network, simplify
from .oracle import multi_start
from .problem import Options, Problem
from .solvers import BACKENDS, choose_backend, get_solver
from .whitening import Basis, Whitening

# Starts of the oracle behind beta="auto".
N_STARTS = 300
# beta=0 stands for the limit beta -> 0, taken at this fraction of beta_max.
BETA_LIMIT = 1e-7
# Gaps below this fraction of the zero model's loss are rounding.
ROUNDING = 1e-9


class ConvexBNBase(BaseEstimator):
    """Parameters, fit and network output shared by the estimators."""

    _parameter_constraints: dict[str, list[Any]] = {
        "beta": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "rank": [
            None,
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="neither"),
        ],
        "shrinkage": [Interval(Real, 0, 1, closed="both")],
        "bias_scale": [Interval(Real, 0, None, closed="neither")],
        "scale": ["boolean"],
        "fit_intercept": ["boolean"],
        "activation": [StrOptions({"relu", "gated_relu"})],
        "arrangements": [StrOptions({"auto", "exact", "sampled", "adaptive"})],
        "n_arrangements": [Interval(Integral, 1, None, closed="left")],
        "backend": [StrOptions({"auto", *BACKENDS})],
        "device": [None, str],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "max_time": [None, Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        beta: float | str = "auto",
        rank: int | float | None = None,
        shrinkage: float = 0.0,
        bias_scale: float = 1.0,
        scale: bool = True,
        fit_intercept: bool = True,
        activation: str = "relu",
        arrangements: str = "auto",
        n_arrangements: int = 100,
        backend: str = "auto",
        device: str | None = None,
        tol: float = 1e-3,
        max_iter: int = 100,
        max_time: float | None = None,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.beta = beta
        self.rank = rank
        self.shrinkage = shrinkage
        self.bias_scale = bias_scale
        self.scale = scale
        self.fit_intercept = fit_intercept
        self.activation = activation
        self.arrangements = arrangements
        self.n_arrangements = n_arrangements
        self.backend = backend
        self.device = device
        self.tol = tol
        self.max_iter = max_iter
        self.max_time = max_time
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _validate(
        self, X: Any, y: Any, sample_weight: Any, **y_params: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """X and weights as float64, y, and the relative spacing of the type X came in."""
        if self.device is not None and not re.fullmatch(r"cpu|mps|cuda(:\d+)?", self.device):
            raise ValueError(
                f"device must be None, 'cpu', 'cuda', 'cuda:<index>' or 'mps', got {self.device!r}."
            )
        X, y = validate_data(
            self, X, y, dtype=[np.float64, np.float32], ensure_min_samples=2, **y_params
        )
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weight.any():
            raise ValueError("Sample weights are all zero: at least one must be positive.")
        return X.astype(np.float64, copy=False), y, weight, float(np.finfo(X.dtype).eps)

    def _fit_network(
        self, X: np.ndarray, Y: np.ndarray, w: np.ndarray, loss: Loss, eps: float
    ) -> None:
        """Fit to targets Y (n, C) with row weights w (n,) >= 0 and set the fitted attributes."""
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        rows = DistinctRows.of(X, Y, w)
        whitening = Whitening.fit(rows.X, rows.w, scale=self.scale, eps=eps)
        basis = whitening.basis(self.rank, self.shrinkage, self.bias_scale)
        problem, units = _unit_problem(rows, basis, loss, self.fit_intercept)
        backend, chosen = choose_backend(
            self.backend, self.arrangements, self.activation, problem, basis
        )
        problem = problem.with_beta(self._resolve_beta(problem, units, basis, seed, backend))
        if self.verbose:
            beta = units.beta * problem.beta
            print(f"[{type(self).__name__}] backend {backend}, beta {beta:.6g}")
        earlier = self._earlier_activations(rows.X)
        arrangements = start = None
        if backend == "torch" and chosen == "adaptive":
            start = self._start(problem, units, earlier)
        elif backend != "closed_form":
            arrangements = self._make_arrangements(chosen, problem, basis, seed, earlier)
        options = Options(
            tol=self.tol,
            max_iter=self.max_iter,
            max_time=float("inf") if self.max_time is None else self.max_time,
            seed=seed,
            device=self.device,
            start=start,
            gated=self.activation == "gated_relu",
            verbose=int(self.verbose),
        )
        solution = get_solver(backend)(problem, arrangements, options)

        H, G, b, gates = solution.H, solution.G, solution.b, solution.gates
        if gates is None:
            H, G, b = simplify(problem, H, G, b)
        b = loss.canonical_intercept(b)
        objective = problem.primal(H, G, b, gates)
        gap = max(objective - problem.dual(solution.V, solution.dual_norm), 0.0)
        self.beta_ = units.beta * problem.beta
        self.backend_ = backend
        self.device_ = solution.device
        self.n_iter_ = solution.n_iter
        self.objective_ = units.objective * objective
        self.dual_objective_ = units.objective * (objective - gap)
        self.dual_gap_ = units.objective * gap
        self.certificate_ = solution.certificate
        self.converged_ = bool(gap <= max(self.tol, ROUNDING) * problem.zero_loss)
        G, b = units.beta * G, units.output * b + units.centre
        self._set_network(Network.from_neurons(basis, H, G, b, gates), basis)
        if not self.converged_ or solution.interrupted:
            stopped = "Interrupted: the" if solution.interrupted else "The"
            warnings.warn(
                f"{stopped} duality gap is {gap / problem.zero_loss:.2e} of the zero model's loss "
                f"(tol={self.tol:g}) after {self.n_iter_} iterations (max_iter={self.max_iter}, "
                f"max_time={self.max_time}); increase the limit that was reached, or tol, or beta.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _resolve_beta(
        self, problem: Problem, units: Units, basis: Basis, seed: int, backend: str
    ) -> float:
        """Beta in the units of ``problem``: as given, by the rule for "auto", or the limit for 0.

        The rule is 0.7 var(Y) sqrt(q) / beta_max for squared error and 0.07 q / beta_max for log
        loss, where beta_max is the smallest beta of the zero model (theory.md 4).
        """
        squared = isinstance(problem.loss, SquaredError)
        interpolates = backend == "closed_form" and squared and problem.n_outputs == 1
        if not isinstance(self.beta, str) and (self.beta > 0 or interpolates):
            return float(self.beta) / units.beta
        starts = basis.random_directions(N_STARTS, np.random.RandomState(seed))
        beta_max = multi_start(problem.Q, problem.dual_point(np.zeros_like(problem.Y)), starts)
        if beta_max == 0:
            return 1.0
        if self.beta == 0:
            return BETA_LIMIT * beta_max
        q = problem.Q.shape[1]
        variance = 2 * problem.zero_loss / problem.w.sum()
        rule = 0.7 * variance * np.sqrt(q) if squared else 0.07 * q
        return rule / (beta_max * units.weight)

    def _earlier_activations(self, X: np.ndarray) -> np.ndarray | None:
        """Pre-activations (n, m) of the previous fit's neurons, for a warm start."""
        fitted = self.warm_start and hasattr(self, "n_neurons_") and self.n_neurons_ > 0
        if self.activation == "gated_relu":  # whose gates stay what they are
            return None
        return self._network.hidden(X) if fitted and len(self.mean_) == X.shape[1] else None

    def _start(
        self, problem: Problem, units: Units, earlier: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """The previous fit's neurons (H, G) as directions of this problem's Q."""
        if earlier is None or self._network.G.shape[1] != problem.n_outputs:
            return None
        H = np.linalg.lstsq(problem.Q, earlier)[0]
        return H, self._network.G / units.output

    def _make_arrangements(
        self,
        arrangements: str,
        problem: Problem,
        basis: Basis,
        seed: int,
        earlier: np.ndarray | None,
    ) -> Arrangements:
        """All arrangements, or those of random directions and of the previous fit's neurons."""
        if arrangements == "exact":
            return enumerate_all(problem.Q)
        directions = basis.random_directions(self.n_arrangements, np.random.RandomState(seed))
        sampled = sample(problem.Q, directions)
        if earlier is not None:
            sampled = sampled.union(Arrangements.from_masks((earlier >= 0).T))
        return sampled

    def _set_network(self, network: Network, basis: Basis) -> None:
        self._network = network
        self.coefs_ = network.coefs
        self.intercepts_ = network.intercepts
        self.gamma_ = network.gamma
        self.alpha_ = network.alpha
        self.hidden_directions_ = network.directions
        self.gates_ = None
        if network.gates is not None:
            V, c = network.gates
            self.gates_ = [V, c - network.mean @ V]
        self.mean_ = basis.whitening.mean
        self.scale_ = basis.whitening.scale
        self.singular_values_ = basis.singular_values
        self.rank_ = basis.rank
        self.n_neurons_ = network.W.shape[1]

    def _network_output(self, X: Any) -> np.ndarray:
        """Output (n, C) of the fitted network."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self._network.output(X)


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


def _unit_problem(
    rows: DistinctRows, basis: Basis, loss: Loss, fit_intercept: bool
) -> tuple[Problem, Units]:
    """The problem at beta = 0, row weights of mean 1, targets of squared error of unit variance.

    With an intercept the mean of the targets is taken out first, or a large one would cancel the
    digits of the dual value.
    """
    weight = float(rows.w.mean())
    Q, w = np.sqrt(weight) * basis.transform(rows.X), rows.w / weight
    Y, centre = rows.Y, np.zeros(rows.Y.shape[1])
    if not isinstance(loss, SquaredError):
        return Problem(Q, Y, w, loss, 0.0, fit_intercept), Units(1.0, centre, weight)
    if fit_intercept:
        centre = (w / w.sum()) @ Y
        rounding = 4 * np.finfo(np.float64).eps * np.abs(Y).max(axis=0)
        Y = np.where(np.abs(Y - centre) <= rounding, 0.0, Y - centre)
    size = float(np.abs(Y).max()) or 1.0  # squares neither overflow nor vanish
    if not 1e-153 < size < 1e153:
        raise ValueError(
            f"Targets vary by up to {size:.3g}, whose square float64 cannot hold; rescale y to lie "
            "between 1e-153 and 1e153."
        )
    spread = rows.spread / weight / size**2
    raw = Problem(Q, Y / size, w, loss, 0.0, fit_intercept, spread)
    deviation = float(np.sqrt(2 * raw.zero_loss / w.sum())) or 1.0
    units = Units(size * deviation, centre, weight)
    scaled = Problem(Q, Y / units.output, w, loss, 0.0, fit_intercept, spread / deviation**2)
    return scaled, units

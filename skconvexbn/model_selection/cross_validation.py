"""Search for beta, rank and shrinkage by cross-validation: folds, scores, refit (theory.md 9)."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable
from copy import copy
from numbers import Integral
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.base import _fit_context, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _raise_for_params,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_method_params, _check_sample_weight

from ..base import BIAS_SCALES, ConvexBNBase, one_per_row, resolve_bias_scale
from ..fit import Fit
from ..network import Network
from ..single_fit import SingleFit
from ..task import Training
from ..threads import one_thread
from ..units import unit_targets
from .candidates import Job, Scored, at_ranks, fit_path, score_all
from .folds import as_fold, check_folds
from .path import descending, grid_points
from .scores import is_gain, or_least, takes_weight

# betas="auto": for squared error in units of the standard deviation of the targets, for log loss.
BETAS = (8.0, 4.0, 2.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
LOG_LOSS_BETAS = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
# So many of the smallest, those below 0.1, are tried one by one, until losses have grown.
ONE_BY_ONE = 3
# Shares of an average are exp(-DECAY (loss / smallest loss - 1)), none below this of the largest.
DECAY, MIN_SHARE = 20.0, 0.01


class CrossValidated(ConvexBNBase):
    """An estimator whose parameters are chosen by cross-validation."""

    _parameter_constraints: dict[str, list[Any]] = {
        **ConvexBNBase._parameter_constraints,
        "betas": [StrOptions({"auto"}), "array-like"],
        "ranks": ["array-like"],
        "shrinkages": ["array-like"],
        "bias_scale": BIAS_SCALES,
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "average": ["boolean"],
        "n_jobs": [Integral, None],
    }

    # The estimator of one candidate.
    _single: type[SingleFit]

    def __init__(
        self,
        *,
        betas: Any = "auto",
        ranks: Any = (None,),
        shrinkages: Any = (0.0, 0.5, 1.0),
        bias_scale: Any = "auto",
        cv: Any = None,
        scoring: Any = None,
        average: bool = False,
        n_jobs: int | None = None,
        scale: bool = True,
        fit_intercept: bool = True,
        activation: str = "relu",
        arrangements: str = "auto",
        n_arrangements: int = 100,
        backend: str = "auto",
        device: str | None = None,
        tol: float = 3e-3,
        max_iter: int = 100,
        max_time: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.betas = betas
        self.ranks = ranks
        self.shrinkages = shrinkages
        self.bias_scale = bias_scale
        self.cv = cv
        self.scoring = scoring
        self.average = average
        self.n_jobs = n_jobs
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
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Any:
        """Choose among the candidates by cross-validation and fit the best to all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            At least two samples in every training fold.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, or class labels of shape (n_samples,).
        sample_weight : array-like of shape (n_samples,) or float, default=None
            Weights >= 0, in fits and in scores; None stands for ones. Scores of the folds are
            averaged without weights.
        **params : dict
            Arguments for the splitter and the scorer, such as ``groups``; they need metadata
            routing to be enabled.

        Returns
        -------
        object
            The fitted estimator.

        Raises
        ------
        ValueError
            If an argument or parameter is invalid, a fold cannot be fitted or scored, or all scores
            are NaN.
        TypeError
            If X or y is a sparse matrix, or X, targets or weights are dates.

        Warns
        -----
        ConvergenceWarning
            If the gap of the final network is above tol, ``max_time`` or Ctrl-C ended the search
            that would vouch for it, or ``max_iter`` or ``max_time`` fits of candidates.
        UserWarning
            If test folds have classes that their training folds lack, scores are NaN, columns of X
            are nearly combinations of others where a shrinkage in use is 0, or float64 does not
            resolve directions of unscaled features.
        """
        _raise_for_params(params, self, "fit")
        sample_weight = one_per_row(sample_weight, X)
        search = copy(self)  # one that fails leaves the attributes of the fit before
        fits = search._search(X, y, sample_weight, *self._route(sample_weight, params))
        self.__dict__ = search.__dict__
        self._warn_of_fragile(fits)
        self._warn_unless_converged(fits[0])
        return self

    def _search(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        split_params: dict[str, Any],
        score_params: dict[str, Any],
    ) -> list[Fit]:
        """Set results and fitted attributes; the fits to all rows that are used, the best first."""
        model, grid = self._candidates()
        given = X, y
        X, y, weight = self._validate(X, y, sample_weight)
        training = self._training(X, y, weight)
        self._warn_of_unresolved(training, stacklevel=5)
        fitted = self._weighted(y, weight)
        if isinstance(getattr(model, "class_weight", None), dict):
            # once, for all rows: a fold that lacks a class named would be refused
            weight = fitted
            model.set_params(class_weight=None)
        betas = self._betas(training)
        seed = self._seed()
        folds = self._folds(given, y, split_params)
        test_weight = one_per_row(score_params.get("sample_weight"), X)
        if test_weight is not None:
            score_params = {**score_params, "sample_weight": test_weight}
            test_weight = _check_sample_weight(test_weight, X)
        check_folds(y, fitted, folds, is_classifier(self), test_weight)
        scorer = self._checked_scorer(weighted=test_weight is not None)
        # The scorer of a user gets data as they were given, and names of features; others do
        # without checks and conversions of every test fold for every candidate.
        names = getattr(self, "feature_names_in_", None) if callable(self.scoring) else None
        data = given if callable(self.scoring) else (X, y)
        parallel = Parallel(n_jobs=self.n_jobs)
        with one_thread():  # here too: folds are whitened here, and jobs may be threads
            jobs = [
                Job(
                    models,
                    fold_training,
                    _safe_indexing(data[0], test),
                    _safe_indexing(data[1], test),
                    _check_method_params(X, score_params, indices=test),
                    f"[{type(self).__name__}] fold {k} of {len(folds)}" if self.verbose else None,
                )
                for k, (train, test) in enumerate(folds, 1)
                for models, fold_training in at_ranks(
                    grid, model, X[train], y[train], weight[train], names
                )
            ]
            scored = score_all(jobs, len(folds), seed, self._parts(betas), scorer, parallel)
        self._set_scores(scored, grid, betas)
        self._warn_of_scores(scored)
        if self.verbose:
            print(
                f"[{type(self).__name__}] best score {self.best_score_:.4g} at {self.best_params_}"
            )
        return self._refit(model, grid, training, seed, betas, parallel)

    def _parts(self, betas: np.ndarray) -> list[np.ndarray]:
        """Betas between which a search asks whether to go on: where scores are minus our losses."""
        if not isinstance(self.betas, str) or self.scoring is not None:
            return [betas]
        return np.split(betas, range(len(betas) - ONE_BY_ONE, len(betas)))

    def _folds(
        self, given: tuple[Any, Any], y: np.ndarray, split_params: dict[str, Any]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rows to fit and to score on, by the splitter, which gets the data as they were given."""
        pairs = self.cv
        if hasattr(pairs, "split") or not isinstance(pairs, Iterable):
            splitter = check_cv(pairs, y, classifier=is_classifier(self))
            pairs = splitter.split(*given, **split_params)
        folds = [as_fold(pair, len(y)) for pair in pairs]
        if not folds:
            raise ValueError(f"cv={self.cv!r} has no folds; give some, or their number.")
        return folds

    def _checked_scorer(self, weighted: bool) -> Callable[..., float]:
        """The scorer, which has to be a loss for an average, and to take weights where given."""
        scorer = check_scoring(self, self._scoring())
        if self.average and is_gain(scorer):
            raise ValueError(
                f"average=True needs scores that are minus a loss, got scoring={self.scoring!r}; "
                "use scoring=None or one of the 'neg_' scorers."
            )
        if weighted and not takes_weight(scorer):
            raise ValueError(
                f"scoring={self.scoring!r} takes no sample_weight, which fit was given; use one "
                "that does, or a callable (estimator, X, y, sample_weight) that may ignore it."
            )
        return scorer

    def _refit(
        self,
        model: SingleFit,
        grid: list[dict[str, Any]],
        training: Training,
        seed: int,
        betas: np.ndarray,
        parallel: Parallel,
    ) -> list[Fit]:
        """Fit the best candidate to all rows, with its certificate; others that have a share too.

        The best comes first. Others are reached along beta, from the largest that has a share.
        """
        shares = self._shares().reshape(len(grid), len(betas))
        used = np.flatnonzero(shares.any(axis=1)).tolist()
        models = {i: copy(model).set_params(**grid[i]) for i in used}
        i, j = divmod(self.best_index_, len(betas))
        task, start = models[i]._task(training, seed), None
        if self.average:
            with one_thread():
                fits = parallel(
                    delayed(fit_path)(models[i], training, seed, betas, shares[i]) for i in used
                )
            paths = dict(zip(used, fits, strict=True))
            start = paths[i][j].start
        best = task.solve(betas[j], start)
        self._set_fit(best)
        self.shares_, fits = shares.ravel(), [best]
        if self.average:
            paths[i][j] = best
            fits = [fit for path in paths.values() for fit in path.values()]
            networks = [fit.network for fit in fits]
            self._set_network(Network.average(networks, shares[shares > 0].tolist()))
        return [best, *(fit for fit in fits if fit is not best)]

    def get_metadata_routing(self) -> MetadataRouter:
        """Route ``sample_weight`` and other arguments of fit to the splitter and the scorer.

        The default scorer, and functions, which cannot request it, get ``sample_weight`` always.

        Returns
        -------
        MetadataRouter
            The routing.
        """
        fit = MethodMapping
        router = MetadataRouter(owner=self).add_self_request(self)
        router.add(splitter=self.cv, method_mapping=fit().add(caller="fit", callee="split"))
        if self.scoring is not None:
            router.add(
                scorer=check_scoring(self, self.scoring),
                method_mapping=fit().add(caller="fit", callee="score"),
            )
        return router

    def _route(
        self, sample_weight: Any, params: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arguments for the splitter and for the scorer.

        Ours and plain functions cannot ask for weights, and get them.
        """
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        if not _routing_enabled():
            return {}, weights
        routed = process_routing(self, "fit", **weights, **params)
        asks = isinstance(self.scoring, str) or hasattr(self.scoring, "get_metadata_routing")
        return routed.splitter.split, routed.scorer.score if asks else weights

    def _scoring(self) -> str | Callable[..., float]:
        return self._default_scoring() if self.scoring is None else self.scoring

    @abstractmethod
    def _default_scoring(self) -> str | Callable[..., float]:
        """Minus the mean loss of a test fold."""

    def _candidates(self) -> tuple[SingleFit, list[dict[str, Any]]]:
        """The estimator without search, and the parameters to try besides beta."""
        names = set(self._single().get_params()) - {"bias_scale", "random_state"}
        # by attribute: a subclass may have fewer parameters
        model = self._single(**{name: getattr(self, name) for name in names if hasattr(self, name)})
        model.set_params(verbose=max(0, int(self.verbose) - 1))
        grid = []
        for rank, shrinkage in grid_points(self.ranks, self.shrinkages):
            point = {"rank": rank, "shrinkage": shrinkage}
            try:
                copy(model).set_params(**point)._validate_params()
            except ValueError as error:
                raise ValueError(f"Not every candidate is valid: {error}") from error
            grid.append(point | {"bias_scale": resolve_bias_scale(self.bias_scale, shrinkage)})
        return model, grid

    def _betas(self, training: Training) -> np.ndarray:
        """Descending betas in the units of the data."""
        if not isinstance(self.betas, str):
            return descending(self.betas)
        grid = BETAS if training.loss.quadratic else LOG_LOSS_BETAS
        *_, units = unit_targets(training.rows, training.loss, fit_intercept=True)
        return units.output * np.array(grid)

    def _set_scores(self, scored: Scored, grid: list[dict[str, Any]], betas: np.ndarray) -> None:
        """Set cv_results_ and best_*_ by scores and seconds of each fold and candidate."""
        params = [{"beta": float(b), **point} for point in grid for b in betas]
        table: dict[str, Any] = {"params": params}
        for name in params[0]:
            kind = object if name == "rank" else None  # 1 is one direction, 1.0 none of its shares
            table[f"param_{name}"] = np.array([p[name] for p in params], dtype=kind)
        columns = {
            "test_score": scored.score,
            "fit_time": scored.fit_seconds,
            "score_time": scored.score_seconds,
        }
        for name, values in columns.items():
            table[f"mean_{name}"] = values.mean(axis=0)
            with np.errstate(invalid="ignore"):  # of infinite scores
                table[f"std_{name}"] = values.std(axis=0)
        for i, scores in enumerate(scored.score):
            table[f"split{i}_test_score"] = scores
        table["n_limited"] = np.count_nonzero(scored.limited, axis=0)
        table["left_out"] = scored.left_out[0]
        mean = or_least(table["mean_test_score"])
        table["rank_test_score"] = rankdata(-mean, method="min").astype(int)
        if np.all(mean == -np.inf):
            raise ValueError(
                f"All scores are NaN or -inf: check scoring={self.scoring!r}.{_said(scored)}"
            )
        if self.average and np.any(scored.score > 0):
            largest = np.nanmax(scored.score)
            raise ValueError(
                f"average=True needs scores that are minus a loss, got {largest:g}; use "
                "scoring=None or one of the 'neg_' scorers."
            )
        self.cv_results_ = table
        scoring = self._scoring()
        name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
        self._score_name = str(name)  # for displays: a callable need not pickle
        self.best_index_ = int(mean.argmax())
        self.best_score_ = float(mean[self.best_index_])
        self.best_params_ = params[self.best_index_]

    def _warn_of_scores(self, scored: Scored) -> None:
        """Warn of NaN, and of fits that max_iter or max_time ended: small betas lose most by it."""
        limited, n_fits = self.cv_results_["n_limited"], np.count_nonzero(~scored.left_out)
        if k := limited.sum():
            warnings.warn(
                f"max_iter={self.max_iter} or max_time={self.max_time} ended {k} of "
                f"{n_fits} fits of the search before they settled, "
                f"{limited[self.best_index_]} of them of the best candidate; their scores are not "
                "those of the optimum; increase the limit.",
                ConvergenceWarning,
                stacklevel=5,
            )
        undefined = np.isnan(scored.score) & ~scored.left_out
        if k := undefined.any(axis=0).sum():
            warnings.warn(
                f"{undefined.sum()} of {n_fits} scores are NaN, so {k} of {undefined.shape[1]} "
                f"candidates come last: check scoring={self.scoring!r}."
                f"{_said(scored)}",
                UserWarning,
                stacklevel=5,
            )

    def _caption(self, gap: str) -> str:
        averaged = np.count_nonzero(self.shares_)
        if averaged == 1:
            return super()._caption(gap)
        return (
            f"{self.backend_}, average of {averaged} candidates with {self.n_neurons_} neurons, "
            f"the best with {gap}"
        )

    def _shares(self) -> np.ndarray:
        """Share of each candidate in the network: the best alone, or weights of an average."""
        shares = np.zeros(len(self.cv_results_["params"]))
        shares[self.best_index_] = 1.0
        if not self.average or self.best_score_ == 0:
            return shares
        ratio = or_least(self.cv_results_["mean_test_score"]) / self.best_score_
        with np.errstate(under="ignore"):
            shares = np.exp(-DECAY * (ratio - 1))
        shares[shares < MIN_SHARE] = 0.0
        return shares / shares.sum()


def _said(scored: Scored) -> str:
    """What the scorer said where it first raised, if it did."""
    errors = scored.error[scored.error != ""]
    return f" It raised: {errors[0]}" if len(errors) else ""


# ConvexBNRegressorCV alone inherits it: Python's errors then name what was called.
CrossValidated.__init__.__qualname__ = "ConvexBNRegressorCV.__init__"

"""ConvexBNRegressorCV and ConvexBNClassifierCV."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..classifier import ConvexBNClassifier
from ..regressor import ConvexBNRegressor
from ..targets import Classification, Regression
from .cross_validation import CrossValidated
from .scores import neg_brier_score, neg_log_loss


class ConvexBNRegressorCV(Regression, CrossValidated):
    """Batch-normalised ReLU network for regression, its parameters chosen by cross-validation.

    Minimises the objective of `ConvexBNRegressor` for each beta, rank and shrinkage on every
    training fold, and on all rows for those that predict the test folds best.

    Parameters
    ----------
    betas : "auto" or array-like of shape (n_betas,), default="auto"
        Values of ``beta`` to try, >= 0, weights of the penalty in the objective of
        `ConvexBNRegressor`. "auto" is 8, 4, 2, 1, 0.3, 0.1, 0.03, 0.01 and
        0.003 times the standard deviation of y (of several outputs, the root of the sum of their
        variances), all rows weighted. With ``scoring=None`` it ends early, for each rank and
        shrinkage, after a beta of at most 0.1 of these whose mean loss is more than 1.25 times
        that of a larger one, if larger ones had smaller losses in every fold.
    ranks : array-like, default=(None,)
        Values of ``rank`` to try: None (all directions), ints, floats in (0, 1).
    shrinkages : array-like, default=(0.0, 0.5, 1.0)
        Values of ``shrinkage`` to try, in [0, 1]: 0 is batch normalisation, 1 weight normalisation.
    bias_scale : "auto" or float, default="auto"
        Factor b in (0, 1e6]: the penalty on a neuron's shift is alpha^2 / b^2. "auto" is 1 where
        the shrinkage is 0, the paper's network, and 3 elsewhere.
    cv : int, cross-validation generator or iterable, default=None
        Splitting strategy: None is 5 folds, an int their number (not shuffled), else
        a splitter of scikit-learn or an iterable of (train, test) indices or masks.
    scoring : str, callable or None, default=None
        Score to maximise, a scorer of scikit-learn or a callable (estimator, X, y), which takes
        sample_weight if fit does (with metadata routing scorers if they request it); None is
        "neg_mean_squared_error". It gets candidates without certificates. ``score`` stays R2.
    average : bool, default=False
        Whether the network is the weighted mean of the candidates refitted to all rows, with
        weights exp(-20 (loss / smallest loss - 1)) of their cross-validated losses, those below
        1 % of the largest left out. It needs scores that are minus a loss.
    n_jobs : int or None, default=None
        Jobs run at a time through joblib, one for every fold and rank; None is 1 unless
        in a `joblib.parallel_config` context, -1 all processors. Each runs on one thread, so that
        results do not depend on n_jobs.
    scale : bool, default=True
        Scale the columns of X to unit variance before the singular value decomposition.
    fit_intercept : bool, default=True
        Whether to fit the unpenalised output bias b.
    activation : {"relu", "gated_relu"}, default="relu"
        See `ConvexBNRegressor`.
    arrangements : {"auto", "adaptive", "exact", "sampled"}, default="auto"
        Which activation arrangements the program ranges over, see `ConvexBNRegressor`.
    n_arrangements : int, default=100
        Random directions drawn where arrangements are "sampled"; no effect elsewhere.
    backend : {"auto", "closed_form", "cvxpy", "torch"}, default="auto"
        Solver, see `ConvexBNRegressor`.
    device : None or str, default=None
        Where "torch" solves: "cpu", "cuda", "cuda:<index>" or "mps"; None takes CUDA where it is
        present and worth it, see `ConvexBNRegressor`.
    tol : float, default=3e-3
        Duality gap at which the final fit stops, as a fraction of the loss of the model without
        neurons. Candidates whose arrangements are generated stop once a round, or two where the
        gap is wide, lower the objective by no more than a tenth of that.
    max_iter : int, default=100
        Rounds of the solver at most, for each fit.
    max_time : float or None, default=None
        Seconds after which a fit ends with the round it is in; None sets no limit. One too low
        favours large betas, whose fits are faster: the search warns of candidates that it ended.
    random_state : int, RandomState instance or None, default=None
        Draws sampled arrangements, first neurons and the starts of all searches, the same for
        every fit.
    verbose : int, default=0
        1 prints a line for every fold, rank and shrinkage when its fits are done, and the best; 2
        also lines for every fit and its rounds, 3 bars instead of these where they can be shown.

    Attributes
    ----------
    best_params_ : dict
        The ``beta``, ``rank``, ``shrinkage`` and ``bias_scale`` with the largest mean score.
    best_index_ : int
        Its index in ``cv_results_``.
    best_score_ : float
        Its mean score.
    cv_results_ : dict
        Arrays over the candidates, by rank, shrinkage and descending beta: ``params`` (a list) and
        ``param_beta`` etc., ``split0_test_score`` etc., ``mean_test_score``, ``std_test_score``,
        ``rank_test_score``, ``mean_fit_time``, ``std_fit_time``, ``mean_score_time``,
        ``std_score_time`` (seconds), ``n_limited`` (folds in which ``max_iter`` or ``max_time``
        ended the fit before it settled), ``left_out`` (whether ``betas="auto"`` ended before it:
        scores and seconds are NaN, and its rank is the last).
    shares_ : ndarray of shape (n_candidates,)
        Shares of the candidates in the network: 1 for the best, unless ``average=True``.
    coefs_, intercepts_, gamma_, alpha_, hidden_directions_, gates_, n_neurons_
        The network, as in `ConvexBNRegressor`: the best candidate fitted to all rows, or the
        average.
    beta_, rank_, mean_, scale_, singular_values_
        The penalty weight and the whitening of the best candidate, as in `ConvexBNRegressor`.
    objective_, dual_objective_, dual_gap_, certificate_, converged_, n_iter_, backend_, device_
        The certificate of the best candidate fitted to all rows, as in `ConvexBNRegressor`;
        with ``average=True`` it is not one of the average.
    zero_loss_, history_
        The unit of tol and the rounds of that fit, as in `ConvexBNRegressor`.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X had any (all strings).

    See Also
    --------
    ConvexBNRegressor : The same network at given parameters.
    convex_bn_path : Networks along beta.

    Notes
    -----
    Every fold has one singular value decomposition; for each rank and shrinkage the fits start with
    the largest beta and go on from the neurons of the one before, and try those of the shrinkage
    before. Candidates are ranked without certificates, which take most of the time of a fit, so
    their scores differ from those of `GridSearchCV` over `ConvexBNRegressor` by what tol leaves
    open. Folds are formed from the rows in their order unless ``cv`` shuffles them.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skconvexbn import ConvexBNRegressorCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = ConvexBNRegressorCV(
    ...     betas=[100.0, 300.0], shrinkages=(0.0, 1.0), cv=3, random_state=0
    ... )
    >>> model.fit(X[:150], y[:150]).best_params_["shrinkage"]
    1.0
    >>> model.cv_results_["mean_test_score"].shape
    (4,)
    """

    _single = ConvexBNRegressor

    def _default_scoring(self) -> str:
        return "neg_mean_squared_error"


class ConvexBNClassifierCV(Classification, CrossValidated):
    """Batch-normalised ReLU network for classification, its parameters chosen by cross-validation.

    Minimises the objective of `ConvexBNClassifier` for each beta, rank and shrinkage on every
    training fold, and on all rows for those that predict the test folds best.

    Parameters
    ----------
    loss : {"log_loss", "squared_error"}, default="log_loss"
        Cross-entropy, or half the squared distance to encoded labels, see `ConvexBNClassifier`.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, which multiply sample_weight in fits but not in scores; "balanced"
        is by the weights of the fold's rows.
    betas : "auto" or array-like of shape (n_betas,), default="auto"
        Values of ``beta`` to try, >= 0, weights of the penalty in the objective of
        `ConvexBNClassifier`. "auto" is 3, 1, 0.3, 0.1, 0.03, 0.01 and
        0.003 for log loss; for squared error 8, 4, 2, 1, 0.3, 0.1, 0.03, 0.01 and 0.003 times the
        standard deviation of the encoded labels. With ``scoring=None`` it ends early, for each
        rank and shrinkage, after a beta of at most 0.1 (times that deviation) whose mean loss is
        more than 1.25 times that of a larger one, if larger ones had smaller losses in every fold.
    ranks : array-like, default=(None,)
        Values of ``rank`` to try: None (all directions), ints, floats in (0, 1).
    shrinkages : array-like, default=(0.0, 0.5, 1.0)
        Values of ``shrinkage`` to try, in [0, 1]: 0 is batch normalisation, 1 weight normalisation.
    bias_scale : "auto" or float, default="auto"
        Factor b in (0, 1e6]: the penalty on a neuron's shift is alpha^2 / b^2. "auto" is 1 where
        the shrinkage is 0, the paper's network, and 3 elsewhere.
    cv : int, cross-validation generator or iterable, default=None
        Splitting strategy: None is 5 folds, an int their number (stratified, not shuffled), else
        a splitter of scikit-learn or an iterable of (train, test) indices or masks.
    scoring : str, callable or None, default=None
        Score to maximise, a scorer of scikit-learn or a callable (estimator, X, y), which takes
        sample_weight if fit does (with metadata routing scorers if they request it); None is minus
        the mean cross-entropy ("neg_log_loss", but for labels that a training fold lacks), with
        ``loss="squared_error"`` minus the mean squared distance of probabilities to one-hot
        labels (for two classes twice scikit-learn's "neg_brier_score"). It gets candidates without
        certificates. ``score`` stays the accuracy.
    average : bool, default=False
        Whether the network is the weighted mean of the candidates refitted to all rows, with
        weights exp(-20 (loss / smallest loss - 1)) of their cross-validated losses, those below
        1 % of the largest left out. It needs scores that are minus a loss.
    n_jobs : int or None, default=None
        Jobs run at a time through joblib, one for every fold and rank; None is 1 unless
        in a `joblib.parallel_config` context, -1 all processors. Each runs on one thread, so that
        results do not depend on n_jobs.
    scale : bool, default=True
        Scale the columns of X to unit variance before the singular value decomposition.
    fit_intercept : bool, default=True
        Whether to fit the unpenalised output bias b.
    activation : {"relu", "gated_relu"}, default="relu"
        See `ConvexBNClassifier`.
    arrangements : {"auto", "adaptive", "exact", "sampled"}, default="auto"
        Which activation arrangements the program ranges over, see `ConvexBNClassifier`.
    n_arrangements : int, default=100
        Random directions drawn where arrangements are "sampled"; no effect elsewhere.
    backend : {"auto", "closed_form", "cvxpy", "torch"}, default="auto"
        Solver, see `ConvexBNClassifier`.
    device : None or str, default=None
        Where "torch" solves: "cpu", "cuda", "cuda:<index>" or "mps"; None takes CUDA where it is
        present and worth it, see `ConvexBNClassifier`.
    tol : float, default=1e-2
        Duality gap at which the final fit stops, as a fraction of the loss of the model without
        neurons. Candidates whose arrangements are generated stop once a round, or two where the
        gap is wide, lower the objective by no more than a tenth of that.
    max_iter : int, default=100
        Rounds of the solver at most, for each fit.
    max_time : float or None, default=None
        Seconds after which a fit ends with the round it is in; None sets no limit. One too low
        favours large betas, whose fits are faster: the search warns of candidates that it ended.
    random_state : int, RandomState instance or None, default=None
        Draws sampled arrangements, first neurons and the starts of all searches, the same for
        every fit.
    verbose : int, default=0
        1 prints a line for every fold, rank and shrinkage when its fits are done, and the best; 2
        also lines for every fit and its rounds, 3 bars instead of these where they can be shown.

    Attributes
    ----------
    best_params_ : dict
        The ``beta``, ``rank``, ``shrinkage`` and ``bias_scale`` with the largest mean score.
    best_index_ : int
        Its index in ``cv_results_``.
    best_score_ : float
        Its mean score.
    cv_results_ : dict
        Arrays over the candidates, by rank, shrinkage and descending beta: ``params`` (a list) and
        ``param_beta`` etc., ``split0_test_score`` etc., ``mean_test_score``, ``std_test_score``,
        ``rank_test_score``, ``mean_fit_time``, ``std_fit_time``, ``mean_score_time``,
        ``std_score_time`` (seconds), ``n_limited`` (folds in which ``max_iter`` or ``max_time``
        ended the fit before it settled), ``left_out`` (whether ``betas="auto"`` ended before it:
        scores and seconds are NaN, and its rank is the last).
    shares_ : ndarray of shape (n_candidates,)
        Shares of the candidates in the network: 1 for the best, unless ``average=True``.
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted. Those whose samples all have weight 0 get probability 0.
    coefs_, intercepts_, gamma_, alpha_, hidden_directions_, gates_, n_neurons_
        The network, as in `ConvexBNClassifier`: the best candidate fitted to all rows, or the
        average.
    beta_, rank_, mean_, scale_, singular_values_
        The penalty weight and the whitening of the best candidate, as in `ConvexBNClassifier`.
    objective_, dual_objective_, dual_gap_, certificate_, converged_, n_iter_, backend_, device_
        The certificate of the best candidate fitted to all rows, as in `ConvexBNClassifier`;
        with ``average=True`` it is not one of the average.
    zero_loss_, history_
        The unit of tol and the rounds of that fit, as in `ConvexBNClassifier`.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X had any (all strings).

    See Also
    --------
    ConvexBNClassifier : The same network at given parameters.
    convex_bn_path : Networks along beta.

    Notes
    -----
    Every fold has one singular value decomposition; for each rank and shrinkage the fits start with
    the largest beta and go on from the neurons of the one before, and try those of the shrinkage
    before. Candidates are ranked without certificates, which take most of the time of a fit, so
    their scores differ from those of `GridSearchCV` over `ConvexBNClassifier` by what tol leaves
    open. Folds are formed from the rows in their order unless ``cv`` shuffles them.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skconvexbn import ConvexBNClassifierCV
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ConvexBNClassifierCV(betas=[0.1, 1.0], shrinkages=(0.0,), cv=3, random_state=0)
    >>> bool(model.fit(X, y).score(X, y) > 0.95)
    True
    """

    _parameter_constraints = {
        **CrossValidated._parameter_constraints,
        **Classification._parameter_constraints,
    }
    _single = ConvexBNClassifier

    def __init__(
        self,
        *,
        loss: str = "log_loss",
        class_weight: dict | str | None = None,
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
        tol: float = 1e-2,
        max_iter: int = 100,
        max_time: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            betas=betas,
            ranks=ranks,
            shrinkages=shrinkages,
            bias_scale=bias_scale,
            cv=cv,
            scoring=scoring,
            average=average,
            n_jobs=n_jobs,
            scale=scale,
            fit_intercept=fit_intercept,
            activation=activation,
            arrangements=arrangements,
            n_arrangements=n_arrangements,
            backend=backend,
            device=device,
            tol=tol,
            max_iter=max_iter,
            max_time=max_time,
            random_state=random_state,
            verbose=verbose,
        )
        self.loss = loss
        self.class_weight = class_weight

    def _default_scoring(self) -> Callable[..., float]:
        return neg_log_loss if self.loss == "log_loss" else neg_brier_score

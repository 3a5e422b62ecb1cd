"""ConvexBNClassifier: log loss or squared error on class labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, log_expit, log_softmax
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from .base import ConvexBNBase
from .data import DistinctRows, counted
from .export import to_mlp
from .losses import BinaryLogLoss, Loss, MultinomialLogLoss, SquaredError
from .network import Network
from .single_fit import SingleFit

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier

# Output of a class of which no sample has weight: its probability is 0 beside any of the others.
ABSENT = -1e3


class Classification(ClassifierMixin, ConvexBNBase):
    """Class labels, their encodings and probabilities."""

    _parameter_constraints = {
        **ConvexBNBase._parameter_constraints,
        "loss": [StrOptions({"log_loss", "squared_error"})],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def _encode(
        self, X: np.ndarray, y: np.ndarray, weight: np.ndarray
    ) -> tuple[DistinctRows, Loss]:
        check_classification_targets(y)
        weight = self._weighted(y, weight)
        self._log_loss = self.loss == "log_loss"
        self.classes_, codes = np.unique(y, return_inverse=True)
        kept = counted(weight)
        self._present = np.unique(codes[kept])
        if len(self._present) < len(self.classes_):
            X, codes, weight = X[kept], np.searchsorted(self._present, codes[kept]), weight[kept]
        if len(self._present) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes with positive weight, "
                f"got {len(self._present)} class."
            )
        Y, loss = self._targets(codes, len(self._present))
        return DistinctRows.of(X, Y, weight), loss

    def _weighted(self, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        if self.class_weight == "balanced":
            shares = weight / weight.max()
            present = counted(weight)
            codes = np.unique(y[present], return_inverse=True)[1]
            totals, factors = np.bincount(codes, shares[present]), np.zeros(len(y))
            factors[present] = (totals.mean() / totals)[codes]
        else:
            factors = compute_sample_weight(self.class_weight, y)
        if not np.all((factors >= 0) & (factors < np.inf)):
            raise ValueError(
                f"The weights in class_weight must be finite numbers >= 0, got {self.class_weight}."
            )
        with np.errstate(over="ignore"):
            product = weight * factors
        if not np.all(np.isfinite(product)):
            raise ValueError(
                f"Sample weights up to {weight.max():.3g} times class weights up to "
                f"{factors.max():.3g} are more than float64 holds; divide both by their largest."
            )
        return product

    def _targets(self, codes: np.ndarray, n_classes: int) -> tuple[np.ndarray, Loss]:
        """Targets (n, C) and loss of class codes (n,)."""
        log_loss = self._log_loss
        if n_classes == 2:
            positive = codes[:, None].astype(np.float64)
            return (positive, BinaryLogLoss()) if log_loss else (2 * positive - 1, SquaredError())
        one_hot = np.eye(n_classes)[codes]
        return one_hot, MultinomialLogLoss() if log_loss else SquaredError()

    def _set_network(self, network: Network) -> None:
        """Set the attributes of the network, with outputs for classes of no weight as well."""
        n_classes, present = len(self.classes_), self._present
        if len(present) < n_classes:
            A, b = np.zeros((len(network.b), n_classes)), np.full(n_classes, ABSENT)
            b[present] = 0.0
            if len(present) > 2:
                A[:, present] = np.eye(len(present))
            elif self._log_loss:
                A[:, present] = 0.0, 1.0
            else:
                A[:, present], b[present] = (-0.5, 0.5), 0.5
            network = network.with_outputs(A, b)
        super()._set_network(network)

    def decision_function(self, X: Any) -> np.ndarray:
        """Network outputs: logits, or with squared error estimates of the encoded labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            One output for two classes, positive for ``classes_[1]``; else one for each class.
        """
        F = self._network_output(X)
        return F[:, 0] if len(self.classes_) == 2 else F

    def predict(self, X: Any) -> np.ndarray:
        """Predict the most probable class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Class labels.
        """
        F = self.decision_function(X)
        return self.classes_[(F > 0).astype(int) if F.ndim == 1 else F.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities.

        With log loss the logistic function or softmax of the outputs; with squared error, whose
        outputs estimate probabilities already, the nearest probabilities to the outputs.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of ``classes_``.
        """
        F = self.decision_function(X)
        if self._log_loss:
            if F.ndim == 1:
                return np.stack([expit(-F), expit(F)], axis=1)
            with np.errstate(under="ignore"):
                return np.exp(log_softmax(F, axis=1))  # in the order of the log-probabilities
        if F.ndim == 1:
            positive = np.clip((F + 1) / 2, 0.0, 1.0)
            return np.stack([1 - positive, positive], axis=1)
        # Nearest point of the simplex, max(F - t, 0): it keeps the order of the outputs.
        F = F - F.max(axis=1, keepdims=True)  # far from the data they would swallow the 1
        descending = -np.sort(-F, axis=1)
        t = (np.cumsum(descending, axis=1) - 1) / np.arange(1, F.shape[1] + 1)
        t = t[np.arange(len(F)), np.sum(descending > t, axis=1) - 1]
        return np.maximum(F - t[:, None], 0.0)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithms of the class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Log-probabilities, in the order of ``classes_``.
        """
        check_is_fitted(self)
        if not self._log_loss:
            with np.errstate(divide="ignore"):
                return np.log(self.predict_proba(X))
        F = self.decision_function(X)
        if F.ndim == 1:
            return np.stack([log_expit(-F), log_expit(F)], axis=1)
        return log_softmax(F, axis=1)

    def to_sklearn_mlp(self) -> MLPClassifier:
        """Multilayer perceptron of scikit-learn with the same predictions and probabilities.

        Returns
        -------
        sklearn.neural_network.MLPClassifier
            With one hidden layer of ``n_neurons_``, or of one neuron of weight 0 if there are none.
            Its own solver has taken no steps (``n_iter_`` 0, ``loss_`` NaN); its `partial_fit` goes
            on from here.

        Raises
        ------
        ValueError
            If there are gates, ``activation="gated_relu"``, or with ``loss="squared_error"``:
            the probabilities of `MLPClassifier` are logistic, hence others.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skconvexbn import ConvexBNClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = ConvexBNClassifier(random_state=0).fit(X, y)
        >>> mlp = model.to_sklearn_mlp()
        >>> bool(abs(mlp.predict_proba(X) - model.predict_proba(X)).max() < 1e-8)
        True
        """
        check_is_fitted(self)
        if not self._log_loss:
            raise ValueError(
                "MLPClassifier has logistic probabilities, not those of loss='squared_error'; use "
                "loss='log_loss', to_torch() for the outputs, or skl2onnx with skconvexbn.onnx."
            )
        return to_mlp(self._network, getattr(self, "feature_names_in_", None), self.classes_)


class ConvexBNClassifier(Classification, SingleFit):
    """Batch-normalised ReLU network for classification, trained by convex optimisation.

    Minimises, over networks of any width m,

        sum_i weight_i loss(f(x_i), y_i) + beta/2 sum_j (gamma_j^2 + alpha_j^2 + ||g_j||^2),

    f(X) = sum_j relu(BN_{gamma_j, alpha_j}(X w_j)) g_j^T + b. Two classes have one output, more
    classes one output each.

    Parameters
    ----------
    loss : {"log_loss", "squared_error"}, default="log_loss"
        "log_loss" is the cross-entropy of a logit (two classes) or of the softmax;
        "squared_error" is half the squared distance to -1 and 1 (two classes) or to one-hot
        vectors.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, which multiply sample_weight; "balanced" is W / (n_classes * W_c),
        with W the sum of the sample weights and W_c that of the class.
    beta : "auto" or float, default="auto"
        Weight of the penalty in the objective above, in [0, inf). "auto" takes
        0.16 nu^1.5 (rank + 1) n^-1/4 for log loss and 0.5 nu^1.5 (rank + 1) n^-1/4 times the
        standard deviation of the encoded labels for squared error, with nu the share of their
        variance that is noise, by a linear fit and nearest neighbours (theory section 8), and n the
        sum of weights (squared error, more than two classes: no less than
        0.7 var sqrt(rank + 1) / beta_max); at most a fifth (squared error: a tenth) of beta_max, at
        which the network has no neurons. The value taken is ``beta_``. 0 stands for the limit of
        small beta: the smallest loss (for log loss on separable classes, nearly 0).
    rank : None, int or float, default=None
        Number k of singular directions of X kept (theory section 7): None all, up to the numerical
        rank; an int that many at most; a float in (0, 1) as many as explain more than that share of
        the variance.
    shrinkage : float, default=0.0
        In [0, 1]: 0 is batch normalisation, 1 weight normalisation, see Notes.
    bias_scale : float, default=1.0
        Factor b in (0, 1e6]: the penalty on a neuron's shift is alpha^2 / b^2.
    scale : bool, default=True
        Scale the columns of X to unit variance before the singular value decomposition. No effect
        at full rank with ``shrinkage=0``, but on which arrangements are drawn at random.
    fit_intercept : bool, default=True
        Whether to fit the unpenalised output bias b.
    activation : {"relu", "gated_relu"}, default="relu"
        "gated_relu" is the convex relaxation without cone constraints: the neurons are linear
        where a fixed random gate is open, 1[Q d_j >= 0] * Q h_j, and there is no plain network with
        these outputs.
    arrangements : {"auto", "adaptive", "exact", "sampled"}, default="auto"
        Which activation arrangements D = diag(1[Q h >= 0]) the program ranges over. "adaptive"
        generates them by a search for violations of the dual constraint until the gap is at most
        tol; "exact" enumerates all, an error if there are too many; "sampled" draws
        ``n_arrangements`` directions h at random, as the papers do. "auto" enumerates up to 2000
        (one output; 200 at rank 1, where adaptive is exact too) and is adaptive otherwise;
        with ``backend="cvxpy"`` it samples instead, as gates are in any case. The closed form needs
        none.
    n_arrangements : int, default=100
        Random directions drawn where arrangements are "sampled", as asked or by "auto"; no effect
        elsewhere. Equal arrangements count once.
    backend : {"auto", "closed_form", "cvxpy", "torch"}, default="auto"
        "closed_form" needs as many independent directions as distinct rows (d >= n - 1, no
        truncation, ``shrinkage=0``, ``bias_scale=1``) and equal rows to share their label (but for
        two classes with squared error); an error says which condition does not hold. "cvxpy" solves
        the cone program with Clarabel. "torch" descends on smoothed networks and searches the dual
        ("adaptive"), or solves the program over "sampled" arrangements; on CPU or GPU. "auto" takes
        the closed form where it applies, else "cvxpy" for "exact" arrangements and "torch" for
        others.
    device : None or str, default=None
        Where "torch" solves: "cpu", "cuda", "cuda:<index>" or "mps" (which has no float64: only
        the search runs there); None takes CUDA where it is present and n_samples * (rank + 1) is at
        least 1e6. The other backends run on the CPU. While "torch" solves, BLAS has one thread, and
        on the CPU so has torch if the product is at most 50,000.
    tol : float, default=1e-2
        Duality gap at which to stop, as a fraction of the loss of the model without neurons
        (for squared error, units of R^2). Smaller values hardly change accuracy on new data.
    max_iter : int, default=100
        Rounds of the solver at most.
    max_time : float or None, default=None
        Seconds after which the solver ends with the round it is in and returns the best network so
        far; None sets no limit. What comes before is not counted: whitening, beta="auto", and the
        enumeration of "exact" arrangements.
    warm_start : bool, default=False
        Start from the neurons of the previous fit ("adaptive"), or add their arrangements to
        those sampled. No effect with ``activation="gated_relu"``, whose gates are those drawn.
    random_state : int, RandomState instance or None, default=None
        Draws sampled arrangements, first neurons and the starts of all searches. An int makes fits
        reproducible, whatever the order of the rows.
    verbose : int, default=0
        1 prints a line for every round: seconds, objective, lower bound, gap as a fraction of
        ``zero_loss_``, neurons, and what the solver has to say. 2 shows a bar instead, on terminals
        and in notebooks, if tqdm is installed; it is full when the gap is tol.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted. Those whose samples all have weight 0 get probability 0.
    coefs_ : list of two ndarrays, shapes (n_features, m) and (m, n_outputs)
        Weights W1, W2 of the plain network ``relu(X @ W1 + b1) @ W2 + b2`` with batch
        normalisation folded in. Predictions and exports do not follow edits of these or of the
        other arrays of the network: edit those of ``to_sklearn_mlp()``.
    intercepts_ : list of two ndarrays, shapes (m,) and (n_outputs,)
        Its biases b1, b2.
    gamma_, alpha_ : ndarray of shape (m,)
        Scale and shift of the neurons in the paper's scaling, with
        gamma^2 + alpha^2 / bias_scale^2 = 1.
    hidden_directions_ : ndarray of shape (n_features, m)
        The paper's w_j, normalised to ||(X - mean) w_j|| = 1, rows weighted by the root of their
        weight (see Notes when shrinkage > 0).
    gates_ : list of two ndarrays, shapes (n_features, m) and (m,), or None
        V, c of the gates 1[X @ V + c >= 0] of a gated network, whose output is
        ``((X @ W1 + b1) * gate) @ W2 + b2``.
    mean_, scale_ : ndarray of shape (n_features,)
        Weighted mean and scale of the columns.
    singular_values_ : ndarray of shape (`rank_`,)
        Those kept, of the centred and scaled (and sqrt(weight) times) rows, descending.
    rank_ : int
        Number of directions kept.
    n_neurons_ : int
        Number m of neurons; 0 if beta is beta_max or more.
    beta_ : float
        The penalty weight used.
    backend_ : str
        "closed_form", "cvxpy" or "torch".
    device_ : str
        Where the network was fitted, e.g. "cpu" or "cuda:0".
    n_iter_ : int
        Rounds of the solver, at least 1.
    objective_ : float
        Objective of the network, evaluated from its weights in float64, with the balanced penalty
        beta * sum_j ||(gamma_j, alpha_j / bias_scale)|| ||g_j||.
    dual_objective_ : float
        Lower bound on the objective of every network that ``certificate_`` names.
    dual_gap_ : float
        ``objective_ - dual_objective_``.
    zero_loss_ : float
        Loss of the model without neurons, of which tol is a fraction.
    history_ : ndarray of shape (n_rounds, 3)
        Seconds, objective and lower bound after each round, the best so far. The last row is the
        result. Bounds before may be larger: "adaptive" searches thoroughly only in the end, which
        may lower the bound.
    certificate_ : {"exact", "sampled", "search"}
        What the gap is relative to: "exact" all networks of any width; "sampled" those whose
        neurons lie in the sampled arrangements; "search" all networks, as far as a search for
        violations of the dual constraint went (over all h, or with several outputs and
        enumerated arrangements inside each of them). With several outputs "sampled" rests on a
        search inside each arrangement too, except for gated networks.
    converged_ : bool
        Whether the gap reached tol (or 1e-9), by a search that was neither cut short nor
        interrupted.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X had any (all strings).

    See Also
    --------
    ConvexBNRegressor : Numeric targets.

    Notes
    -----
    BN_{gamma, alpha}(z) = gamma (z - mean z) / ||z - mean z||_2 + alpha / sqrt(n), where n is the
    sum of the sample weights. Balancing the weights of each neuron, the penalty is
    beta * sum_j ||(gamma_j, alpha_j)|| ||g_j||. With Q = [U, 1 / sqrt(n)] from the singular value
    decomposition of the centred X, every neuron is relu(Q h) with ||h|| = ||(gamma, alpha)||, and
    training is a convex program [1]_. With shrinkage a the denominator ||z - mean z||_2 becomes
    sqrt((1 - a) ||z - mean z||^2 + a m ||w||^2), m being the mean squared singular value and w the
    weights of the columns as ``scale`` leaves them.

    A sample of weight k counts as k equal samples; weights that sum to 1 therefore stand for a
    single sample, which a given beta outweighs sooner.

    References
    ----------
    .. [1] T. Ergen, A. Sahiner, B. Ozturkler, J. Pauly, M. Mardani, M. Pilanci, "Demystifying
           Batch Normalization in ReLU Networks: Equivalent Convex Optimization Models and
           Implicit Regularization", ICLR 2022, arXiv:2103.01499.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skconvexbn import ConvexBNClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ConvexBNClassifier(random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.95)
    True
    """

    _parameter_constraints = {
        **SingleFit._parameter_constraints,
        **Classification._parameter_constraints,
    }

    def __init__(
        self,
        *,
        loss: str = "log_loss",
        class_weight: dict | str | None = None,
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
        tol: float = 1e-2,
        max_iter: int = 100,
        max_time: float | None = None,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            beta=beta,
            rank=rank,
            shrinkage=shrinkage,
            bias_scale=bias_scale,
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
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )
        self.loss = loss
        self.class_weight = class_weight

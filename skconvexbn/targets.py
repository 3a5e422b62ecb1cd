"""Numbers and class labels as targets Y (n, C), and outputs as predictions (theory.md 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, log_expit, log_softmax
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from .base import ConvexBNBase
from .data import DistinctRows, counted
from .export import to_mlp
from .losses import BinaryLogLoss, Loss, MultinomialLogLoss, SquaredError
from .network import Network

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

# Output of a class of which no sample has weight: its probability is 0 beside any of the others.
ABSENT = -1e3


class Regression(MultiOutputMixin, RegressorMixin, ConvexBNBase):
    """Targets of squared error and their predictions."""

    _y_params = {"y_numeric": True, "multi_output": True}

    def _encode(
        self, X: np.ndarray, y: np.ndarray, weight: np.ndarray
    ) -> tuple[DistinctRows, Loss]:
        self._y_ndim = y.ndim
        return DistinctRows.of(X, y.reshape(len(y), -1), weight), SquaredError()

    def predict(self, X: Any) -> np.ndarray:
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Network outputs, in the shape of the y of fit.
        """
        F = self._network_output(X)
        return F[:, 0] if self._y_ndim == 1 else F

    def to_sklearn_mlp(self) -> MLPRegressor:
        """Multilayer perceptron of scikit-learn with the same predictions.

        Returns
        -------
        sklearn.neural_network.MLPRegressor
            With one hidden layer of ``n_neurons_``, or of one neuron of weight 0 if there are none;
            one output is predicted with shape (n_samples,). Its own solver has taken no steps
            (``n_iter_`` 0, ``loss_`` NaN); its `partial_fit` goes on from here.

        Raises
        ------
        ValueError
            If there are gates, ``activation="gated_relu"``.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from skconvexbn import ConvexBNRegressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> model = ConvexBNRegressor(rank=1).fit(X[:100], y[:100])
        >>> bool(abs(model.to_sklearn_mlp().predict(X) - model.predict(X)).max() < 1e-8)
        True
        """
        check_is_fitted(self)
        return to_mlp(self._network, getattr(self, "feature_names_in_", None))


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

    @np.errstate(under="ignore")
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

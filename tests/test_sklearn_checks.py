"""scikit-learn's own checks, on every backend."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import laplacian_kernel
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_param_validation,
    check_regressor_multioutput,
    parametrize_with_checks,
)
from sklearn.utils.validation import check_is_fitted, validate_data

from skconvexbn import (
    ConvexBNClassifier,
    ConvexBNClassifierCV,
    ConvexBNRegressor,
    ConvexBNRegressorCV,
)

ESTIMATORS = [
    estimator(backend=backend)
    for estimator in (ConvexBNRegressor, ConvexBNClassifier)
    for backend in ("auto", "cvxpy", "torch")
] + [
    estimator(betas=[2.0, 8.0], shrinkages=shrinkages, cv=2, tol=1e-2)
    for estimator in (ConvexBNRegressorCV, ConvexBNClassifierCV)
    for shrinkages in ([0.0], [0.5])
]
BALANCED = [
    ConvexBNClassifier(class_weight="balanced"),
    ConvexBNClassifierCV(
        class_weight="balanced", betas=[2.0, 8.0], shrinkages=[0.0], cv=2, tol=1e-2
    ),
]


@parametrize_with_checks(ESTIMATORS + BALANCED)
def test_sklearn_checks(estimator, check):
    check(estimator)


class Lifted:
    """Rows x become k(x, training rows), of full rank: the closed form on any data."""

    def _validate(self, X, y, sample_weight):
        X, y, weight = super()._validate(X, y, sample_weight)
        self.landmarks_ = np.unique(X[weight > 0], axis=0)
        spread = self.landmarks_ - self.landmarks_.mean(axis=0)
        self.width_ = np.abs(spread).sum(axis=1).max() + 1e-300
        return self._lift(X), y, weight

    def _lift(self, X):
        return laplacian_kernel(X, self.landmarks_, gamma=10 / self.width_)

    def _network_output(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self._network.output(self._lift(X))


class LiftedRegressor(Lifted, ConvexBNRegressor):
    pass


class LiftedClassifier(Lifted, ConvexBNClassifier):
    pass


# of classes of weights 1e7 apart: beside the heaviest rows the others vary by next to nothing
@pytest.mark.filterwarnings("ignore:Some columns of X are nearly combinations:UserWarning")
@parametrize_with_checks(
    [LiftedRegressor(backend="closed_form"), LiftedClassifier(backend="closed_form")]
)
def test_sklearn_checks_of_the_closed_form(estimator, check):
    if check.func is check_regressor_multioutput:
        # Several real targets have no closed form (theory.md 5: one, or one-hot rows).
        with pytest.raises(ValueError, match="11 distinct target rows for 5 outputs"):
            check(estimator)
    else:
        check(estimator)


@pytest.mark.parametrize("estimator", [ConvexBNRegressor(), ConvexBNClassifier(), *ESTIMATORS[-4:]])
def test_checks_outside_the_common_ones(estimator):
    name = type(estimator).__name__
    check_param_validation(name, estimator)
    check_dataframe_column_names_consistency(name, estimator)

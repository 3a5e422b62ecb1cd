"""Batch-normalised ReLU networks trained to global optimality by convex optimisation."""

from .classifier import ConvexBNClassifier
from .display import ConvergenceDisplay, NeuronsDisplay, RegularizationPathDisplay
from .model_selection import ConvexBNClassifierCV, ConvexBNRegressorCV, convex_bn_path
from .regressor import ConvexBNRegressor

__all__ = [
    "ConvergenceDisplay",
    "ConvexBNClassifier",
    "ConvexBNClassifierCV",
    "ConvexBNRegressor",
    "ConvexBNRegressorCV",
    "NeuronsDisplay",
    "RegularizationPathDisplay",
    "convex_bn_path",
]
__version__ = "0.1.0"

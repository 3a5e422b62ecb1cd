"""Batch-normalised ReLU networks trained to global optimality by convex optimisation."""

from .classifier import ConvexBNClassifier
from .model_selection import ConvexBNClassifierCV, ConvexBNRegressorCV
from .path import convex_bn_path
from .regressor import ConvexBNRegressor

__all__ = [
    "ConvexBNClassifier",
    "ConvexBNClassifierCV",
    "ConvexBNRegressor",
    "ConvexBNRegressorCV",
    "convex_bn_path",
]
__version__ = "0.1.0"

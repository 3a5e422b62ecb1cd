"""Batch-normalised ReLU networks trained to global optimality by convex optimisation."""

from .classifier import ConvexBNClassifier
from .regressor import ConvexBNRegressor

__all__ = ["ConvexBNClassifier", "ConvexBNRegressor"]
__version__ = "0.1.0"

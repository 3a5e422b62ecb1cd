"""Many fits to the same data: the path along beta, and cross-validation."""

from .estimators import ConvexBNClassifierCV, ConvexBNRegressorCV
from .path import convex_bn_path

__all__ = ["ConvexBNClassifierCV", "ConvexBNRegressorCV", "convex_bn_path"]

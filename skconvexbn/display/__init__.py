"""Pictures of fits, in the style of scikit-learn's displays; Matplotlib is loaded by the first."""

from .convergence import ConvergenceDisplay
from .neurons import NeuronsDisplay
from .regularization_path import RegularizationPathDisplay

__all__ = ["ConvergenceDisplay", "NeuronsDisplay", "RegularizationPathDisplay"]

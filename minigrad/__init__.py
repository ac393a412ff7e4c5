"""minigrad: a Tensor with reverse-mode automatic differentiation in Python, NumPy and Numba."""

from . import errors, settings
from .tensor import *
from .ops import *

"""Linear algebra under NumPy's names: ``minigrad.linalg.inv(x)``. The axes before the last two are a batch.

>>> import numpy as np
>>> from minigrad import linalg
>>> linalg.solve(np.array([[2.0, 0.0], [0.0, 4.0]]), np.array([2.0, 2.0]))
array([1. , 0.5])
"""

from .errors import LinAlgError
from .ops.decompositions import cholesky, det, eigh, inv, matrix_power, pinv, qr, slogdet, solve, svd
from .ops.norms import norm

__all__ = ["LinAlgError", "cholesky", "det", "eigh", "inv", "matrix_power", "norm", "pinv", "qr", "slogdet", "solve", "svd"]

"""minigrad: a Tensor with reverse-mode automatic differentiation in Python, NumPy and Numba.

>>> import minigrad as mg
>>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4., 6.])
"""

from . import autograd, errors, initializers, layer, linalg, optim, protocols, random, settings
from .config_report import show_config
from .core import op
from .creation import *  # noqa: F403
from .dense import Dense, Sequential
from .derivatives import checkpoint, elementwise_grad, grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from .draw import draw
from .gradcheck import finite_difference, gradcheck, gradgradcheck, jvpcheck
from .layer import Buffer, Layer, Parameter
from .ops import *  # noqa: F403
from .random import Generator, manual_seed
from .settings import (
    detect_anomaly,
    enable_grad,
    is_grad_enabled,
    matmul_precision,
    no_grad,
    set_grad_enabled,
    use_default_dtype,
    use_kernels,
    use_threads,
)
from .storage import load, save
from .summary import summary
from .tensor import Tensor

__version__ = "0.1.0"

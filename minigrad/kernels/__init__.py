"""Kernels: arrays in, arrays out; no Tensor and no gradient rule comes here.

Each name exists twice with one signature: in plain NumPy (``reference``), and compiled (``gemm``, ``softmax``, ...).
``pick`` is the one place that chooses. Compiled modules, and Numba with them, are imported at the first call that wants
them.
"""

import functools
import importlib

import numpy as np

from minigrad import settings
from minigrad.kernels import reference

_MODULES = {
    "gemm": "matmul linear",
    "attention": "attention attention_grad",
    "softmax": "softmax softmax_grad log_softmax log_softmax_grad",
    "norm": "layer_norm layer_norm_grad sum_rows",
    "loss": "cross_entropy cross_entropy_grad",
    "activation": "gelu",
    "embedding": "embedding_grad",
    "random": "dropout",
    "adam": "adamw grad_norm",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}
_FLOATS = np.dtype(np.float32), np.dtype(np.float64)


def pick(name, *arrays):
    """The function that computes kernel ``name`` on these arrays: compiled where they share float32 or float64."""
    dtype = arrays[0].dtype if arrays else _FLOATS[0]
    if (
        settings.kernels() == "numba"
        and dtype in _FLOATS
        and all(a is None or a.dtype == dtype for a in arrays)
        and _numba_compiles()
    ):
        return _compiled(name)
    return getattr(reference, name)


@functools.cache
def _compiled(name):
    return getattr(importlib.import_module(f"minigrad.kernels.{_MODULE_OF[name]}"), name)


@functools.cache
def _numba_compiles():
    try:
        import numba
    except ImportError:
        return False
    return not numba.config.DISABLE_JIT

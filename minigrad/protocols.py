"""How other libraries meet a Tensor: NumPy's functions record, `__array__` and DLPack hand over constants, never silently."""

import difflib
import functools
import inspect
import sys

import numpy as np

from . import creation, ops, settings
from .core import REGISTRY, SYNONYMS, Tensor, values
from .errors import GradientError, MinigradError

# ------------------------------------------------------------------------------------------------- NumPy's functions


def _sort(a, axis=-1, kind=None, order=None, *, stable=None):
    if order is not None:
        raise MinigradError("numpy.sort: order is for arrays with fields, which no Tensor is. Leave it out.")
    return ops.sort(a, axis)[0]  # NumPy's gives the values alone


def _table():
    """NumPy's function -> ours."""
    return {o.numpy: o.function for o in REGISTRY.values() if o.numpy is not None} | {
        np.amax: ops.max, np.amin: ops.min, np.sort: _sort, np.copy: Tensor.clone, np.around: ops.round, np.rint: ops.rint,
        np.fix: ops.trunc, np.positive: lambda x: x, np.divmod: lambda x, y: (ops.floor_divide(x, y), ops.remainder(x, y)),
        np.where: lambda condition, *xy: ops.where(condition, *xy) if xy else ops.nonzero(condition),
        np.linalg.svd: lambda x, full_matrices=True: REGISTRY["svd"].function(x, full_matrices),
        np.einsum: ops.einsum, np.allclose: ops.allclose, np.array_equal: ops.array_equal,
        np.zeros_like: creation.zeros_like, np.ones_like: creation.ones_like, np.full_like: creation.full_like,
        np.empty_like: creation.zeros_like, np.shape: lambda x: x.shape, np.ndim: lambda x: x.ndim, np.size: lambda x: x.size,
        np.result_type: lambda *xs: np.result_type(*map(values, xs)),
    }  # fmt: skip


_FOR_NUMPY = _table()
_FOR_UFUNC_METHODS = {
    "add.reduce": "sum", "multiply.reduce": "prod", "maximum.reduce": "max", "minimum.reduce": "min", "logical_and.reduce": "all",
    "logical_or.reduce": "any", "logaddexp.reduce": "logsumexp", "add.accumulate": "cumsum", "multiply.accumulate": "cumprod",
    "multiply.outer": "outer",
}  # fmt: skip


def _full_name(function):
    return f"{getattr(function, '__module__', None) or 'numpy'}.{function.__name__}"


def _nearest(name):
    """What there is instead of NumPy's function ``name``: ours of that name, else the supported one whose name is most like it."""
    if name in ops.__all__ or name in creation.__all__:
        return f"Use minigrad.{name}"
    supported = {f.__name__: _full_name(f) for f in _FOR_NUMPY}
    return f"The nearest that is: {supported[difflib.get_close_matches(name, supported, 1, 0.0)[0]]}. Use a function of minigrad"


def _array_ufunc(self, ufunc, method, *inputs, **kwargs):
    if method != "__call__":
        ours = _FOR_UFUNC_METHODS.get(f"{ufunc.__name__}.{method}")
        raise MinigradError(
            f"numpy.{ufunc.__name__}.{method}: not available for a Tensor. Use "
            + (f"numpy.{ours} or minigrad.{ours}" if ours else f"the plain call numpy.{ufunc.__name__}")
            + ", or .numpy() for a constant array."
        )
    if kwargs:
        raise MinigradError(
            f"numpy.{ufunc.__name__} with {' and '.join(f'{name}=' for name in kwargs)}: not available for a Tensor, only the plain "
            "call is; tensors are immutable, where(condition, x, y) chooses, astype converts."
        )
    return _array_function(self, ufunc, (), inputs, {})


def _array_function(self, function, types, args, kwargs):
    if function not in _FOR_NUMPY:
        raise MinigradError(
            f"{_full_name(function)}: not available for a Tensor. {_nearest(function.__name__)}, or .numpy() for a constant array; "
            "python -m minigrad ops lists what there is."
        )
    ours = _FOR_NUMPY[function]
    if hasattr(ours, "op") and not isinstance(function, np.ufunc):
        args, kwargs = _as_ours(ours.op, function, args, kwargs)
    return ours(*args, **kwargs)


def _as_ours(op, function, args, kwargs):
    """A call of NumPy's function as one of our op: by name what comes after the arrays, for NumPy's order is its own.

    What we have no argument for is left out where it has NumPy's default.
    """
    named = _named_by_numpy(function)
    if op.separate or not named:
        return args, kwargs
    arrays = 1 if op.variadic else len(op.arrays)
    names = list(named)
    kwargs = {**dict(zip(names[arrays:], args[arrays:])), **kwargs}
    if not op.variadic:
        first = dict(zip(names, op.arrays))
        kwargs = {first.get(name, name): value for name, value in kwargs.items()}
    known = {name for name in (*op.arrays, *op.parameters, *SYNONYMS) if op.own_word(name) in (*op.arrays, *op.parameters)}
    usual = lambda name, value: (value is None or isinstance(value, str | bool)) and name in named and named[name].default == value  # noqa: E731
    return args[:arrays], {name: value for name, value in kwargs.items() if name in known or not usual(name, value)}


@functools.cache
def _named_by_numpy(function):
    """The parameters of a function of NumPy, nothing where it does not say them."""
    try:
        return inspect.signature(function).parameters
    except ValueError:
        return {}


# --------------------------------------------------------------------------------------------- constants for others


def _constant(x, what):
    """The elements for a library that records nothing: an error where a graph would be cut silently."""
    if x._requires_grad and settings.is_grad_enabled():
        raise GradientError(f"{what}: this would detach the tensor silently. Use .detach().numpy() if a constant is meant.")
    return x.numpy()


def _array(x, dtype=None, copy=None):
    values = _constant(x, "array")
    return np.array(values, dtype=dtype) if copy else np.asarray(values, dtype=dtype)


def _dlpack(x, *, stream=None, max_version=None, dl_device=None, copy=None):
    """The elements for another library: a copy, unless ``copy=False`` asks for the memory itself, to be read only."""
    values = _constant(x, "dlpack")
    if copy is False:
        return values.__dlpack__(max_version=max_version or (1, 0), copy=False)
    return values.copy().__dlpack__(max_version=max_version)


def _array_namespace(x, api_version=None):
    """The functions for this tensor, in the names of the array API standard: minigrad itself."""
    return sys.modules["minigrad"]


for _name, _function in {
    "__array_ufunc__": _array_ufunc, "__array_function__": _array_function, "__array__": _array, "__dlpack__": _dlpack,
    "__dlpack_device__": lambda x: (1, 0), "__array_namespace__": _array_namespace,  # (1, 0): the CPU, in DLPack's numbers
}.items():  # fmt: skip
    setattr(Tensor, _name, _function)

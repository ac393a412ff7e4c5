"""The Tensor people use: operators, methods and NumPy's protocols, attached to the engine's Tensor from the op registry."""

import functools
import operator

import numpy as np

from . import ops, settings
from .core import REGISTRY, Tensor
from .errors import GradientError, MinigradError, received

__all__ = ["Tensor"]

# ------------------------------------------------------------------------------------------------------ operators


def _swapped(function):
    return lambda y, x: function(x, y)


for _name, _function in {
    "add": ops.add, "sub": ops.subtract, "mul": ops.multiply, "truediv": ops.divide, "pow": ops.power, "matmul": ops.matmul,
}.items():  # fmt: skip
    setattr(Tensor, f"__{_name}__", _function)
    setattr(Tensor, f"__r{_name}__", _swapped(_function))


def _in_place(symbol, function):
    def operator(x, y):
        if x.is_leaf and x.requires_grad:
            raise GradientError(
                f"{symbol}: a leaf that requires a gradient cannot be changed by an operator; use x.assign(...), or a new name "
                f"for the result. " + received(x=x)
            )
        return function(x, y)  # binds the name to a new tensor, the old values stay what they were

    return operator


Tensor.__iadd__ = _in_place("+=", ops.add)
Tensor.__isub__ = _in_place("-=", ops.subtract)
Tensor.__imul__ = _in_place("*=", ops.multiply)
Tensor.__itruediv__ = _in_place("/=", ops.divide)
Tensor.__neg__ = ops.negative
Tensor.__pos__ = lambda x: x
Tensor.__abs__ = ops.abs
Tensor.__lt__ = ops.less
Tensor.__le__ = ops.less_equal
Tensor.__gt__ = ops.greater
Tensor.__ge__ = ops.greater_equal
Tensor.__eq__ = ops.equal
Tensor.__ne__ = ops.not_equal
Tensor.__hash__ = object.__hash__

# -------------------------------------------------------------------------------------------------- Python's own


def _getitem(x, index):
    return ops.getitem(x, ops.plain_index(index))


def _setitem(x, index, value):
    raise GradientError("x[i] = value: tensors are immutable. Build a new one: x = x.at[i].set(value), or where(condition, value, x).")


def _iter(x):
    if x.ndim == 0:
        raise TypeError("iteration: a tensor without axes has nothing to go through; .item() gives its value.")
    return iter(ops.unbind(x))


def _len(x):
    if x.ndim == 0:
        raise TypeError("len: a tensor without axes has no length; .item() gives its value.")
    return x.shape[0]


def _bool(x):
    if x.size != 1:
        raise ValueError("bool: whether a tensor of several elements is true is ambiguous; reduce it first. " + received(x=x))
    return bool(x.item())


def _repr(x):
    values = np.array2string(x._data, separator=", ", prefix="tensor(")
    usual = x.dtype in (np.float32, np.int64, bool)
    return (
        f"tensor({values}"
        + ("" if usual else f", dtype={x.dtype}")
        + (f", from {x._node.op.name}" if x._node is not None else ", requires_grad=True" if x._requires_grad else "")
        + ")"
    )


Tensor.__getitem__, Tensor.__setitem__, Tensor.__iter__, Tensor.__len__ = _getitem, _setitem, _iter, _len
Tensor.__bool__, Tensor.__repr__ = _bool, _repr
Tensor.__float__ = lambda x: float(x.item())
Tensor.__round__ = lambda x, digits=None: round(x.item(), digits)
Tensor.__format__ = lambda x, spec: format(x.item(), spec) if spec else repr(x)
Tensor.__int__ = lambda x: int(x.item())
Tensor.__index__ = lambda x: operator.index(x.item())
Tensor.__reduce__ = lambda x: (_restored, (type(x), _recorded_is_an_error(x, "pickle")._data, x._requires_grad))
Tensor.__deepcopy__ = lambda x, memo: memo.setdefault(
    id(x), _restored(type(x), _recorded_is_an_error(x, "deepcopy")._data, x._requires_grad)
)


def _restored(kind, data, requires_grad):
    tensor = kind.__new__(kind)
    Tensor.__init__(tensor, data)
    tensor._requires_grad = requires_grad
    return tensor


def _recorded_is_an_error(x, what):
    if x._node is not None:
        raise GradientError(
            f"{what}: this tensor is the result of {x._node.op.name}; its graph would be lost silently. Use .detach() first."
        )
    return x


# -------------------------------------------------------------------------------------------------------- methods


def _numbers(function, nothing=()):
    """The method of a function that takes a tuple: its numbers may also be given one by one, as in x.reshape(2, 3)."""

    @functools.wraps(function)
    def method(x, *numbers, **named):
        if named or (len(numbers) == 1 and not isinstance(numbers[0], int | np.integer)):
            return function(x, *numbers, **named)
        return function(x, numbers or nothing)

    return method


def _transpose(x, *axes, **named):
    """Two numbers swap two axes; one tuple, or none, reorders them all."""
    return ops.permute(x, axes) if len(axes) > 2 else ops.transpose(x, *axes, **named)


def _to(x, dtype):
    return x if x.dtype == dtype else ops.astype(x, dtype)


for _op in list(REGISTRY.values()):
    if _op.method and not hasattr(Tensor, _op.name):
        setattr(Tensor, _op.name, _op.function)
for _function in (ops.var, ops.logsumexp, ops.matmul):
    setattr(Tensor, _function.__name__, _function)
Tensor.astype = Tensor.to = _to
Tensor.float = lambda x: _to(x, np.dtype(np.float32))
Tensor.double = lambda x: _to(x, np.dtype(np.float64))
Tensor.reshape = Tensor.view = _numbers(ops.reshape)
Tensor.expand, Tensor.tile, Tensor.flip = _numbers(ops.expand), _numbers(ops.tile), _numbers(ops.flip, None)
Tensor.permute, Tensor.transpose = _numbers(ops.permute, None), _transpose
Tensor.unsqueeze, Tensor.movedim, Tensor.repeat_interleave = ops.unsqueeze, ops.movedim, ops.repeat_interleave
Tensor.at = property(ops.At, doc="Places of a tensor, for building a new one that differs there: x.at[index].set(values).")
Tensor.T = property(lambda x: ops.permute(x), doc="All axes reversed.")
Tensor.mT = property(lambda x: ops.swapaxes(x, -1, -2), doc="The last two axes exchanged.")
Tensor.tolist = lambda x: x._data.tolist()
Tensor.clone = lambda x: ops.add(x, 0)
Tensor.zero_grad = lambda x: setattr(x, "grad", None)
Tensor.device = property(lambda x: "cpu", doc="Where the elements are: always the CPU.")

# ---------------------------------------------------------------------------------------------- NumPy's protocols

_FOR_NUMPY = {o.numpy: o.function for o in REGISTRY.values() if o.numpy is not None}
_FOR_NUMPY[np.matmul] = ops.matmul
_FOR_NUMPY.update({np.shape: lambda x: x.shape, np.ndim: lambda x: x.ndim, np.size: lambda x: x.size})


def _array_ufunc(self, ufunc, method, *inputs, **kwargs):
    if method != "__call__" or kwargs:
        extra = f".{method}" if method != "__call__" else f" with {' and '.join(f'{name}=' for name in kwargs)}"
        raise MinigradError(
            f"numpy.{ufunc.__name__}{extra}: not available for a Tensor, only the plain call is. Use a function of minigrad, or .numpy() "
            "for a constant array."
        )
    return _array_function(self, ufunc, (), inputs, {})


def _array_function(self, function, types, args, kwargs):
    if function not in _FOR_NUMPY:
        name = f"{getattr(function, '__module__', None) or 'numpy'}.{function.__name__}"
        raise MinigradError(f"{name}: not available for a Tensor. Use a function of minigrad, or .numpy() for a constant array.")
    return _FOR_NUMPY[function](*args, **kwargs)


def _array(self, dtype=None, copy=None):
    if self._requires_grad and settings.is_grad_enabled():
        raise GradientError("array: this would detach the tensor silently. Use .detach().numpy() if a constant is meant.")
    return np.array(self._data, dtype=dtype) if copy else np.asarray(self.numpy(), dtype=dtype)


Tensor.__array_ufunc__, Tensor.__array_function__, Tensor.__array__ = _array_ufunc, _array_function, _array

"""The Tensor people use: operators and methods, attached to the engine's Tensor from the op registry."""

import difflib
import functools
import operator

import numpy as np

from . import ops
from .core import REGISTRY, Tensor
from .errors import DtypeError, GradientError, ShapeError, received

__all__ = ["Tensor"]

# ------------------------------------------------------------------------------------------------------ operators

_OPERATORS = {
    "add": ("+", ops.add), "sub": ("-", ops.subtract), "mul": ("*", ops.multiply), "truediv": ("/", ops.divide),
    "floordiv": ("//", ops.floor_divide), "mod": ("%", ops.remainder), "pow": ("**", ops.power), "matmul": ("@", ops.matmul),
    "and": ("&", ops.bitwise_and), "or": ("|", ops.bitwise_or), "xor": ("^", ops.bitwise_xor),
    "lshift": ("<<", ops.left_shift), "rshift": (">>", ops.right_shift),
}  # fmt: skip


def _swapped(function):
    return lambda y, x: function(x, y)


def _in_place(symbol, function):
    def in_place(x, y):
        if x.is_leaf and x.requires_grad:
            raise GradientError(
                f"{symbol}=: a leaf that requires a gradient cannot be changed by an operator; use x.assign(...), or a new name "
                f"for the result. " + received(x=x)
            )
        return function(x, y)  # binds the name to a new tensor, the old values stay what they were

    return in_place


for _name, (_symbol, _function) in _OPERATORS.items():
    setattr(Tensor, f"__{_name}__", _function)
    setattr(Tensor, f"__r{_name}__", _swapped(_function))
    setattr(Tensor, f"__i{_name}__", _in_place(_symbol, _function))

Tensor.__divmod__ = lambda x, y: (x // y, x % y)
Tensor.__rdivmod__ = lambda y, x: (x // y, x % y)
Tensor.__neg__, Tensor.__abs__, Tensor.__invert__ = ops.negative, ops.abs, ops.bitwise_not
Tensor.__pos__ = lambda x: x
Tensor.__lt__, Tensor.__le__, Tensor.__gt__, Tensor.__ge__ = ops.less, ops.less_equal, ops.greater, ops.greater_equal
Tensor.__eq__, Tensor.__ne__ = ops.equal, ops.not_equal
Tensor.__hash__ = object.__hash__

# -------------------------------------------------------------------------------------------------- Python's own


def _getitem(x, index):
    return ops.getitem(x, ops.plain_index(index))


def _setitem(x, index, value):
    raise GradientError("x[i] = value: tensors are immutable. Write x = x.at[i].set(value), which gives a new one. " + received(x=x))


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
        raise ValueError(
            "bool: whether a tensor of several elements is true is ambiguous; reduce it with .any() or .all(). " + received(x=x)
        )
    return bool(x.item())


def _index(x):
    if x.dtype.kind not in "iu":
        raise TypeError("index: only a tensor of one integer can be used as an index. " + received(x=x))
    return operator.index(x.item())


def _repr(x):
    values = np.array2string(x._data, separator=", ", prefix="tensor(")
    notes = [values]
    if "..." in values or x.size == 0:
        notes.append(f"shape={x.shape}")
    if x.dtype not in (np.float32, np.int64, bool):
        notes.append(f"dtype={x.dtype}")
    if x._node is not None:
        notes.append(f"from {x._node.op.name}")
    elif x._requires_grad:
        notes.append("requires_grad=True")
    return f"tensor({', '.join(notes)})"


def _getattr(x, name):
    """The sentence for an attribute that is not there; names that change a tensor in place get the one that does not."""
    if name.startswith("_"):
        raise AttributeError(f"Tensor has no attribute {name!r}.")  # a protocol that somebody asks about
    if name.endswith("_"):
        plain = f"x = x.{name[:-1]}(...)" if hasattr(Tensor, name[:-1]) else "a new tensor"
        raise AttributeError(f"{name}: tensors are immutable. Write {plain}, or p.assign(...) to change a leaf.")
    if name == "data":
        raise AttributeError("data: use x.numpy() for the values, x.detach() for a constant tensor, p.assign(...) to change a leaf.")
    near = difflib.get_close_matches(name, [word for word in dir(Tensor) if not word.startswith("_")], 1)
    raise AttributeError(f"Tensor has no attribute {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""))


Tensor.__getitem__, Tensor.__setitem__, Tensor.__iter__, Tensor.__len__ = _getitem, _setitem, _iter, _len
Tensor.__bool__, Tensor.__repr__, Tensor.__index__, Tensor.__getattr__ = _bool, _repr, _index, _getattr
Tensor.__contains__ = lambda x, value: bool((x == value).any())
Tensor.__float__ = lambda x: float(x.item())
Tensor.__int__ = lambda x: int(x.item())
Tensor.__round__ = lambda x, digits=None: round(x.item(), digits)
Tensor.__format__ = lambda x, spec: format(x.item(), spec) if spec else repr(x)


def _restored(kind, data, requires_grad):
    tensor = kind.__new__(kind)
    Tensor.__init__(tensor, data)
    tensor._requires_grad = requires_grad
    return tensor


def _without_graph(x, what):
    if x._node is not None:
        raise GradientError(
            f"{what}: this tensor is the result of {x._node.op.name}; its graph would be lost silently. Use .detach() first."
        )
    return type(x), x._data, x._requires_grad


Tensor.__reduce__ = lambda x: (_restored, _without_graph(x, "pickle"))
Tensor.__copy__ = lambda x: x if x._node is not None else _restored(*_without_graph(x, "copy"))  # a result is immutable
Tensor.__deepcopy__ = lambda x, memo: memo.setdefault(id(x), _restored(*_without_graph(x, "deepcopy")))

# -------------------------------------------------------------------------------------------------------- methods


def _to(x, dtype):
    """The tensor in another dtype, itself where it has it; ``"cpu"``, the one device there is, changes nothing."""
    if isinstance(dtype, str) and dtype.split(":")[0] in ("cpu", "cuda", "mps", "gpu"):
        if dtype != "cpu":
            raise DtypeError(f"to: minigrad computes on the CPU only; leave .to({dtype!r}) out. " + received(x=x))
        return x
    return x if x.dtype == dtype else ops.astype(x, dtype)


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


def _matrix(x):
    if x.ndim != 2:
        raise ShapeError("t: is for a matrix; .mT exchanges the last two axes, .T reverses all. " + received(x=x))
    return x


for _name in (*REGISTRY, *ops.__all__):  # the ops under their own names, then under their other ones
    _function = getattr(ops, _name, None) or REGISTRY[_name].function
    if hasattr(_function, "op") and _function.op.method and not hasattr(Tensor, _name):
        setattr(Tensor, _name, _function)
Tensor.reshape = Tensor.view = _numbers(ops.reshape)
Tensor.expand, Tensor.tile, Tensor.flip = _numbers(ops.expand), _numbers(ops.tile), _numbers(ops.flip, None)
Tensor.permute = _numbers(ops.permute, None)
Tensor.at = property(ops.At, doc="Places of a tensor, for building a new one that differs there: x.at[index].set(values).")
Tensor.transpose = _transpose
Tensor.astype = Tensor.to = _to
Tensor.allclose = ops.allclose
Tensor.T = property(lambda x: ops.permute(x), doc="All axes reversed.")
Tensor.mT = property(lambda x: ops.swapaxes(x, -1, -2), doc="The last two axes exchanged.")
Tensor.device = property(lambda x: "cpu", doc="Where the elements are: always the CPU.")
Tensor.nbytes = property(lambda x: x._data.nbytes, doc="Bytes that the elements take.")
Tensor.itemsize = property(lambda x: x._data.itemsize, doc="Bytes that one element takes.")

for _name, (_function, _doc) in {
    "float": (lambda x: _to(x, np.dtype(np.float32)), "The tensor in float32, itself where it is."),
    "double": (lambda x: _to(x, np.dtype(np.float64)), "The tensor in float64, itself where it is."),
    "long": (lambda x: _to(x, np.dtype(np.int64)), "The tensor in int64, itself where it is."),
    "half": (lambda x: _to(x, np.dtype(np.float16)), "The tensor in float16, itself where it is."),
    "int": (lambda x: _to(x, np.dtype(np.int32)), "The tensor in int32, itself where it is."),
    "bool": (lambda x: _to(x, np.dtype(bool)), "Whether each element is not 0."),
    "type_as": (lambda x, other: _to(x, other.dtype), "The tensor in the dtype of another one."),
    "view_as": (lambda x, other: ops.reshape(x, other.shape), "The same elements in the shape of another tensor."),
    "expand_as": (lambda x, other: ops.broadcast_to(x, other.shape), "Repeated to the shape of another tensor."),
    "is_floating_point": (lambda x: x.dtype.kind == "f", "Whether the elements are floating numbers."),
    "cpu": (lambda x: x, "The tensor itself: all are on the CPU."),
    "contiguous": (lambda x: x, "The tensor itself: memory order never matters to a result."),
    "t": (lambda x: ops.swapaxes(_matrix(x), 0, 1), "Rows and columns of a matrix exchanged.   (m, n) -> (n, m)"),
    "clone": (lambda x: ops.add(x, 0), "The same values in a tensor of their own, through which gradients flow."),
    "copy": (lambda x: ops.add(x, 0), "NumPy's name for clone."),
    "polygamma": (lambda x, n: ops.polygamma(n, x), "Derivative of order n + 1 of log gamma; n = 0 is digamma."),
    "tolist": (lambda x: x._data.tolist(), "The values as nested lists of Python numbers."),
    "dim": (lambda x: x.ndim, "Number of axes; PyTorch's name for ndim."),
    "numel": (lambda x: x.size, "Number of elements; PyTorch's name for size."),
    "zero_grad": (lambda x: setattr(x, "grad", None), "Forget the gradient that backward added up."),
}.items():
    _function.__name__, _function.__qualname__, _function.__doc__ = _name, f"Tensor.{_name}", _doc
    setattr(Tensor, _name, _function)

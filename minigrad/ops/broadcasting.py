"""What every broadcasting op shares: one dtype for its arrays, and gradients summed back to each input's shape."""

import functools
import inspect

import numpy as np
from numpy import ndarray

from .. import kernels, settings
from ..core import as_array, op
from ..errors import DtypeError, MinigradError, ShapeError, received
from .samples import ErrorSample, Sample, normal, strided

__all__ = ["broadcast_to"]


@op(linear=(0,), method=False, samples=lambda rng: [
    Sample((normal(rng, 2, 3, 4), (3, 1))), Sample((normal(rng, 2, 3, 4), (4,))), Sample((normal(rng, 3), (3,))),
    Sample((strided(rng, 2, 3), ())), Sample((normal(rng, 0, 3), (1, 3)), note="0-size"),
])  # fmt: skip
def sum_to(x, /, shape):
    """Add up the axes along which ``shape`` was broadcast: the adjoint of broadcast_to.   (...) -> shape

    >>> import numpy as np
    >>> sum_to(np.ones((2, 3)), (3,))
    array([2., 2., 2.])
    """
    if x.shape == shape:
        return x
    if len(shape) == 1 and x.shape[-1] == shape[0]:
        return kernels.sum_rows(x)
    extra = x.ndim - len(shape)
    axes = (*range(extra), *(extra + i for i, n in enumerate(shape) if n == 1 and x.shape[extra + i] != 1))
    return np.sum(x, axis=axes, keepdims=True).reshape(shape)  # (1.., n..) -> shape


@sum_to.vjp
def _(g, _, _x, shape):
    return (broadcast_to(g, _x.shape),)


@op(numpy=np.broadcast_to, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 3, 1), (2, 3, 4))), Sample((normal(rng, 4), (3, 4))), Sample((normal(rng), (2,)), note="0-d"),
    Sample((strided(rng, 3, 1), (3, 2)), note="strided"), Sample((normal(rng, 1, 3), (0, 3)), note="0-size"),
], errors=lambda: [ErrorSample((np.ones((2, 3)), (3, 2)), {}, ShapeError, r"broadcast_to.*\(2, 3\).*\(3, 2\)")])  # fmt: skip
def broadcast_to(x, /, shape):
    """Repeat axes of length 1, and new ones in front, until the shape is ``shape``.   (...) -> shape

    Raises ShapeError where an axis of another length than 1 would have to be repeated.

    >>> import numpy as np
    >>> broadcast_to(np.array([1.0, 2.0]), (2, 2))
    array([[1., 2.],
           [1., 2.]])
    """
    if x.ndim == 0:  # what np.broadcast_to does, in a tenth of its time
        repeated = np.ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
        repeated.flags.writeable = False
        return repeated
    try:
        return np.broadcast_to(x, shape)
    except ValueError:
        raise ShapeError(
            "broadcast_to: aligned from the right, every axis must have length 1 or the wanted length. "
            + received(x=x, shape=shape)
        ) from None


@broadcast_to.vjp
def _(g, _, _x, shape):
    return (sum_to(g, _x.shape),)


def promote(xs, floating, mask=0):
    """The arrays among ``xs`` in one dtype: floats promote among themselves, integers never widen a float.

    Python numbers stay as they are, they never promote. With ``floating``, integers alone become the default dtype.
    The first ``mask`` of them are conditions, which stay as they are.
    """
    if mask:
        return (*xs[:mask], *promote(xs[mask:], floating))
    first = None
    for x in xs:
        if x.__class__ is ndarray:
            if first is None:
                first = x.dtype
            elif x.dtype is not first:
                break
    else:
        if first is not None and first.kind == "f":
            return xs
    arrays = [x for x in xs if isinstance(x, np.ndarray)]
    if any([x.dtype.kind not in "fiub" for x in arrays]):
        raise TypeError("elements must be numbers or booleans")
    floats = [x.dtype for x in arrays if x.dtype.kind == "f"]
    if floats:
        target = np.result_type(*floats)
    elif not arrays or floating or any(isinstance(x, float) for x in xs):
        target = settings.default_dtype() if floating or any(isinstance(x, float) for x in xs) else None
    else:
        target = np.result_type(*arrays)
    if not arrays:
        return [x if x is None else as_array(x, target) for x in xs]
    return [x.astype(target, copy=False) if isinstance(x, np.ndarray) else x for x in xs]


def of_one_shape(x, y):
    """Both broadcast, a number beside an array in its dtype.   (...), (...) -> (...), (...)"""
    if x.__class__ is y.__class__ is ndarray and x.shape == y.shape:
        return x, y
    dtype = x.dtype if isinstance(x, ndarray) else y.dtype if isinstance(y, ndarray) else None
    return np.broadcast_arrays(np.asarray(x, dtype), np.asarray(y, dtype))


def elementwise(floating=False, mask=0, **attachments):
    """Declare an op that works element by element and broadcasts.

    Its forward sees arrays of one dtype; its rule is written as if all inputs had the shape of the output, the walk adds up
    over broadcast axes. The first ``mask`` inputs are conditions: they take no part in the promotion.
    ``floating``: the result is floating even for integers.
    """

    def declare(forward):
        function = op(**attachments)(with_numbers(forward))
        function.op.broadcasts = True
        function.op.prepare = functools.partial(promote, floating=floating, mask=mask)
        function.op.explain = functools.partial(_explained, function.op)
        return function

    return declare


def _explained(op, error, xs, params):
    """The error that explains what NumPy raised on the inputs of an elementwise op, None if that was nobody's input."""
    if isinstance(error, MinigradError) or not isinstance(error, ValueError | TypeError | OverflowError):
        return None
    if isinstance(error, ValueError):
        return cannot_broadcast(op.name, xs)
    return DtypeError(
        f"{op.name}: not defined for elements of these types; for booleans there are the logical functions, else convert with "
        "astype. " + received(**dict(zip(op.arrays, xs)), **params)
    )


def with_numbers(forward):
    """``forward`` with NumPy's scalars among its parameters as Python numbers, which never promote; itself if it takes none."""
    if all(p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL) for p in inspect.signature(forward).parameters.values()):
        return forward

    @functools.wraps(forward)
    def plain(*xs, **params):
        return forward(*xs, **{name: value.item() if isinstance(value, np.generic) else value for name, value in params.items()})

    return plain


def cannot_broadcast(name, xs):
    """The error that names the first pair of axes that disagree, or None if broadcasting was not the trouble."""
    shapes = [np.shape(x) for x in xs]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        rank = max(map(len, shapes))
        lengths = [(1,) * (rank - len(s)) + s for s in shapes]
        axis = max(i for i in range(rank) if len({s[i] for s in lengths} - {1}) > 1)
        different = " and ".join(str(n) for n in dict.fromkeys(s[axis] for s in lengths) if n != 1)
        return ShapeError(
            f"{name}: axis {axis - rank} (counted from the right) has lengths {different}, which do not broadcast; lengths must be "
            f"equal or 1. Insert an axis with expand_dims, or transpose one of them. "
            + received(**{"xyzw"[i] if i < 4 else f"x{i}": x for i, x in enumerate(xs)})
        )
    return None

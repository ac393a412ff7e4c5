"""x[index] and its adjoint, which puts elements back and adds up what lands on the same place."""

import math

import numpy as np

from ..core import Tensor, op
from ..errors import DtypeError, ShapeError, received
from .samples import ErrorSample, Sample, normal, strided

__all__ = []


def plain_index(index):
    """An index with the Tensors in it replaced by their arrays."""
    if isinstance(index, tuple):
        return tuple(plain_index(i) for i in index)
    if isinstance(index, Tensor):
        index = index._data
        if index.dtype.kind not in "iub":
            raise DtypeError("getitem: an index must be made of integers or booleans. " + received(index=index))
    return index


def pick(name, x, index):
    """x[index] of an array; what does not fit is explained under the name of the op that asks."""
    try:
        return x[index]
    except (IndexError, TypeError, ValueError) as error:
        reason = (_out_of_range(x, index) if isinstance(error, IndexError) else None) or f"{error}."
        raise IndexError(f"{name}: {reason} " + received(x=x, index=index)) from None


def _out_of_range(x, index):
    """Which element of an integer array in the index x does not have, and where it stands; None if another thing is wrong."""
    parts = [np.asarray(i) if isinstance(i, list) else i for i in (index if isinstance(index, tuple) else (index,))]
    takes = [np.ndim(i) if _is_mask(i) else 0 if i is None or i is Ellipsis else 1 for i in parts]  # so many axes of x
    axis = 0
    for part, taken in zip(parts, takes):
        if isinstance(part, np.ndarray) and part.dtype.kind in "iu" and part.ndim and axis < x.ndim:
            n = x.shape[axis]
            wrong = np.argwhere((part < -n) | (part >= n))
            if len(wrong):
                place = tuple(wrong[0].tolist())
                return f"element {list(place)} of the index for axis {axis} is {part[place]}, outside {-n} to {n - 1}."
        axis += x.ndim - sum(takes) if part is Ellipsis else taken
    return None


def _is_mask(part):
    return isinstance(part, bool | np.bool_) or (isinstance(part, np.ndarray) and part.dtype.kind == "b")


def repeats(index):
    """Whether a place may be named twice: only arrays of integers can."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(i, list) or (isinstance(i, np.ndarray) and i.ndim > 0 and not _is_mask(i)) for i in parts)


def numbered(name, index, shape):
    """The elements of x[index] by their numbers in the row of all elements of x."""
    return pick(name, np.arange(math.prod(shape)).reshape(shape), index)


@op(linear=(0,), method=False, samples=lambda rng: [
    Sample((normal(rng, 3, 4), 1)), Sample((normal(rng, 3, 4), (slice(None), slice(1, 4, 2)))),
    Sample((normal(rng, 5), np.array([0, 2, 2, -1])), note="a repeated place"),
    Sample((normal(rng, 3, 4), (np.array([0, 2]), np.array([1, 1]))), note="pairs"),
    Sample((normal(rng, 2, 3), np.array([[True, False, True], [False, True, True]])), note="boolean"),
    Sample((normal(rng, 2, 3, 4), (Ellipsis, None, 2)), note="new axis"), Sample((strided(rng, 3, 4), (0, slice(None)))),
    Sample((normal(rng, 0, 3), slice(0, 0)), note="0-size"),
    Sample((normal(rng, 3, 4, 2), (np.array([[1], [0]]), slice(None), np.array([1, 0, 0]))), note="mixed"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), (2, 0)), {}, IndexError, r"getitem: index 2 .* axis 0 .*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), (Ellipsis, np.array([[0, 2], [3, 1]]))), {}, IndexError,
                r"getitem: element \[1, 0\] of the index for axis 1 is 3, outside -3 to 2\. .*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), np.array([True, False, True])), {}, IndexError, r"getitem: boolean.*axis 0.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), (0, 0, 0)), {}, IndexError, r"getitem: too many indices.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), slice(0.5, None)), {}, IndexError, r"getitem: slice indices must be integers.*\(2, 3\)"),
])  # fmt: skip
def getitem(x, /, index):
    """x[index], in all of NumPy's forms.   (...) -> (...)

    Raises IndexError where x has no such place; of an array of integers the first one is named, and where it stands.

    >>> import numpy as np
    >>> getitem(np.array([1.0, 2.0, 3.0]), np.array([2, 0]))
    array([3., 1.])
    """
    return pick("getitem", x, index)


@getitem.vjp
def _(g, _, _x, index):
    return (putitem(g, index, _x.shape),)


@op(linear=(0,), method=False, samples=lambda rng: [
    Sample((normal(rng, 4), 1, (3, 4))), Sample((normal(rng, 4), np.array([0, 2, 2, -1]), (5,)), note="a repeated place"),
    Sample((normal(rng, 3, 2), (slice(None), slice(1, 4, 2)), (3, 4))),
    Sample((normal(rng, 2, 3), (np.array([1, 1]), slice(None), 0), (2, 3, 4)), note="mixed"),
])  # fmt: skip
def putitem(g, /, index, shape):
    """Zeros of ``shape`` with ``g`` added at ``index``: the adjoint of getitem.   (...) -> shape

    >>> import numpy as np
    >>> putitem(np.array([1.0, 2.0, 3.0]), np.array([0, 2, 2]), (4,))
    array([1., 0., 5., 0.])
    """
    total = np.zeros(shape, np.asarray(g).dtype)
    if repeats(index):  # one row of places: several times faster than np.add.at with the index itself
        np.add.at(total.reshape(-1), numbered("putitem", index, shape).reshape(-1), g.reshape(-1))
    else:
        total[index] = g
    return total


@putitem.vjp
def _(g, _, _x, index, shape):
    return (getitem(g, index),)


def check_ids(name, ids, count, what, negative=False):
    """Ids as int64; raises naming the first one outside 0 .. count - 1, or with ``negative`` -count .. count - 1, and its place."""
    if ids.dtype.kind not in "iu" and ids.size:
        raise DtypeError(f"{name}: {what} must be integers. " + received(**{what: ids}))
    least = -count if negative else 0
    if ids.size and (ids.min() < least or ids.max() >= count):
        place = tuple(np.argwhere((ids < least) | (ids >= count))[0].tolist())
        where = f"{what}{list(place)}" if place else what
        raise IndexError(f"{name}: {where} is {ids[place]}, outside {least} to {count - 1}. " + received(**{what: ids}))
    return ids.astype(np.int64, copy=False)


def check_rank(name, x, least, what="x"):
    if getattr(x, "ndim", 0) < least:
        raise ShapeError(f"{name}: {what} needs at least {least} axes. " + received(**{what: x}))


def check_kind(name, x, values):
    """Raises DtypeError where floating values would have to become the integers that x is made of."""
    if x.dtype.kind != "f" and np.result_type(values._data if isinstance(values, Tensor) else values).kind == "f":
        raise DtypeError(
            f"{name}: floating values do not fit a tensor of {x.dtype}; convert it first. "
            + received(x=x, values=values)
        )

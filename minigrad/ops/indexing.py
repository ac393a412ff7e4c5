"""Ops that pick elements, and their adjoints, which put them back and add up what lands on the same place."""

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


@op(linear=(0,), method=False, samples=lambda rng: [
    Sample((normal(rng, 3, 4), 1)), Sample((normal(rng, 3, 4), (slice(None), slice(1, 4, 2)))),
    Sample((normal(rng, 5), np.array([0, 2, 2, -1])), note="a repeated place"),
    Sample((normal(rng, 3, 4), (np.array([0, 2]), np.array([1, 1]))), note="pairs"),
    Sample((normal(rng, 2, 3), np.array([[True, False, True], [False, True, True]])), note="boolean"),
    Sample((normal(rng, 2, 3, 4), (Ellipsis, None, 2)), note="new axis"), Sample((strided(rng, 3, 4), (0, slice(None)))),
    Sample((normal(rng, 0, 3), slice(0, 0)), note="0-size"),
], errors=lambda: [ErrorSample((np.ones((2, 3)), (2, 0)), {}, IndexError, r"getitem.*\(2, 3\)")])  # fmt: skip
def getitem(x, /, index):
    """x[index], in all of NumPy's forms.   (...) -> (...)

    >>> import numpy as np
    >>> getitem(np.array([1.0, 2.0, 3.0]), np.array([2, 0]))
    array([3., 1.])
    """
    try:
        return x[index]
    except IndexError as error:
        raise IndexError(f"getitem: {error}. " + received(x=x, index=index)) from None


@getitem.vjp
def _(g, _, x, index):
    return (putitem(g, index, x.shape),)


@op(linear=(0,), method=False, samples=lambda rng: [
    Sample((normal(rng, 4), 1, (3, 4))), Sample((normal(rng, 4), np.array([0, 2, 2, -1]), (5,)), note="a repeated place"),
    Sample((normal(rng, 3, 2), (slice(None), slice(1, 4, 2)), (3, 4))),
])  # fmt: skip
def putitem(g, /, index, shape):
    """Zeros of ``shape`` with ``g`` added at ``index``: the adjoint of getitem.   (...) -> shape

    >>> import numpy as np
    >>> putitem(np.array([1.0, 2.0, 3.0]), np.array([0, 2, 2]), (4,))
    array([1., 0., 5., 0.])
    """
    total = np.zeros(shape, np.asarray(g).dtype)
    if _repeats(index):
        np.add.at(total, index, g)
    else:
        total[index] = g
    return total


@putitem.vjp
def _(g, _, x, index, shape):
    return (getitem(g, index),)


def _repeats(index):
    """Whether a place may be named twice: only integer arrays can."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, list) or (isinstance(part, np.ndarray) and part.dtype.kind != "b") for part in parts)


def check_ids(name, ids, count, what):
    """Ids as int64; raises naming the first one outside 0 .. count - 1 and its place."""
    if ids.dtype.kind not in "iu":
        raise DtypeError(f"{name}: {what} must be integers. " + received(**{what: ids}))
    if ids.size and (ids.min() < 0 or ids.max() >= count):
        place = tuple(int(i) for i in np.argwhere((ids < 0) | (ids >= count))[0])
        raise IndexError(f"{name}: {what}{list(place)} is {ids[place]}, outside 0 to {count - 1}. " + received(**{what: ids}))
    return ids.astype(np.int64, copy=False)


def check_rank(name, x, least, what="x"):
    if getattr(x, "ndim", 0) < least:
        raise ShapeError(f"{name}: {what} needs at least {least} axes. " + received(**{what: x}))

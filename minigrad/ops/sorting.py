"""Ops that put elements in order, find places in an order, or ask which elements there are. NaN counts as the largest."""

import numpy as np

from ..core import Tensor, op, values, wrap
from ..errors import ShapeError, received
from .axes import one_axis
from .elementwise import divide
from .indexing import getitem
from .places import take_along_axis
from .samples import ErrorSample, Sample, normal, strided
from .scan import row
from .shape import before

__all__ = [
    "argsort", "nonzero", "searchsorted", "sort", "topk", "unique",
]  # fmt: skip


def _sorts(rng):
    yield Sample((normal(rng, 3, 4),))
    yield Sample((normal(rng, 2, 3, 4), 1))
    yield Sample((strided(rng, 3, 5), 0), note="strided")
    yield Sample((normal(rng, 2, 3), None), note="all in a row")
    yield Sample((normal(rng, 0, 3), 0), note="0-size")


def _descending(rng):
    yield from _sorts(rng)
    yield Sample((normal(rng, 3, 4), 0), {"descending": True}, note="descending")


def _axis_errors(name):
    return lambda: [
        ErrorSample((np.ones((2, 3)),), {"axis": 2}, ShapeError, rf"{name}: axis 2 is out of range for 2 axes.*\(2, 3\)"),
        ErrorSample((np.ones((2, 3)),), {"axis": (0, 1)}, ShapeError, rf"{name}: takes one axis.*\(2, 3\)"),
    ]


def _order(x, axis=-1, descending=False):
    """Places of the elements in order; equal ones stay in the order in which they came."""
    if axis is None:
        x, axis = x.reshape(-1), 0
    if not descending:
        return np.argsort(x, axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)


def _first(x, k, axis, descending):
    """The first ``k`` places in order, by a partition: whole rows are sorted only where equal elements, or NaN, straddle its border."""
    n = x.shape[axis]
    if 0 < k < n:
        border, found = (n - k, slice(n - k, n)) if descending else (k - 1, slice(k))
        places = np.argpartition(x, border, axis)[(*before(axis), found)]  # (.. n ..) -> (.. k ..)
        places.sort(axis)
        chosen = np.take_along_axis(x, places, axis)
        inside = x >= chosen.min(axis, keepdims=True) if descending else x <= chosen.max(axis, keepdims=True)
        if (inside.sum(axis) == k).all():
            return np.take_along_axis(places, _order(chosen, axis, descending), axis)
    return _order(x, axis, descending)[(*before(axis), slice(k))]


@op(differentiable=False, numpy=np.argsort, samples=_descending, errors=_axis_errors("argsort"), reference=_order)
def argsort(x, /, axis=-1, descending=False):
    """Places of the elements in order; equal ones keep theirs. None takes all in a row.   (.. n ..) -> (.. n ..) int64

    >>> import numpy as np
    >>> argsort(np.array([3.0, 1.0, 2.0])), argsort(np.array([3.0, 1.0, 2.0]), descending=True)
    (array([1, 2, 0]), array([0, 2, 1]))
    """
    return _order(*row("argsort", x, axis), descending)


@op(composed=True, samples=_descending, errors=_axis_errors("sort"),
    reference=lambda x, axis=-1, descending=False: (
        np.flip(np.sort(x, axis), axis) if descending else np.sort(x, axis), _order(x, axis, descending)
    ))  # fmt: skip
def sort(x, /, axis=-1, descending=False):
    """The elements in order, and their places: a tuple, as PyTorch gives it.   (.. n ..) -> (.. n ..), (.. n ..) int64

    Equal elements keep their order. None takes all in a row. ``np.sort`` of a tensor gives the values alone.

    >>> import numpy as np
    >>> sort(np.array([3.0, 1.0, 2.0]))
    (array([1., 2., 3.]), array([1, 2, 0]))
    """
    x, axis = row("sort", x, axis)
    places = argsort(x, axis, descending)
    return take_along_axis(x, places, axis), places


def _top_by_sorting(x, k, axis=-1, largest=True):
    places = np.take(_order(x, axis, largest), np.arange(k), axis)
    return np.take_along_axis(x, places, axis), places


@op(composed=True, reference=_top_by_sorting, samples=lambda rng: [
    Sample((normal(rng, 3, 4), 2)), Sample((normal(rng, 2, 3, 4), 1, 1)), Sample((strided(rng, 4, 5), 3, 0), note="strided"),
    Sample((normal(rng, 3, 4), 3), {"largest": False}, note="smallest"), Sample((normal(rng, 3, 4), 0), note="0-size"),
    Sample((normal(rng, 0, 3), 2), note="0 rows"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), 4), {}, ShapeError, r"topk: k is .* to 3, the length of axis -1.*\(2, 3\).*k 4"),
    ErrorSample((np.ones((2, 3)), 2.0), {}, ShapeError, r"topk: k is a whole number.*\(2, 3\).*k 2\.0"),
    ErrorSample((np.ones((2, 3)), 1, 2), {}, ShapeError, r"topk: axis 2 is out of range.*\(2, 3\)"),
])  # fmt: skip
def topk(x, /, k, axis=-1, largest=True):
    """The k largest elements in falling order and their places, or the k smallest rising.   (.. n ..) -> (.. k ..), (.. k ..) int64

    Of equal elements the first ones are taken. Raises ShapeError where there are not k elements.

    >>> import numpy as np
    >>> topk(np.array([3.0, 1.0, 4.0, 2.0]), 2)
    (array([4., 3.]), array([2, 0]))
    """
    number = one_axis("topk", x, axis)
    if not (isinstance(k, int | np.integer) and 0 <= k <= x.shape[number]):
        most = f"the length of axis {axis}"
        raise ShapeError(f"topk: k is a whole number from 0 to {x.shape[number]}, {most}. " + received(x=x, k=k))
    places = _first(values(x), k, number, largest)  # (.. n ..) -> (.. k ..)
    return take_along_axis(x, places, number), wrap(places) if isinstance(x, Tensor) else places


@op(differentiable=False, numpy=np.searchsorted, reference=np.searchsorted, samples=lambda rng: [
    Sample((np.sort(normal(rng, 5)), normal(rng, 2, 3))), Sample((np.array([1.0, 2.0, 2.0, 3.0]), np.array([2.0, 9.0]), "right")),
    Sample((np.sort(normal(rng, 5)), strided(rng, 2, 3)), note="strided"), Sample((np.sort(normal(rng, 5)), 0.5), note="a number"),
    Sample((np.zeros(0), normal(rng, 3)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones(2)), {}, ShapeError, r"searchsorted: .* one axis.*\(2, 3\)"),
    ErrorSample((np.ones(3), np.ones(2), "middle"), {}, ValueError, r"searchsorted: side .*'left' or 'right'.*middle"),
])  # fmt: skip
def searchsorted(x, y, /, side="left"):
    """Where each of y would have to be put into x, which is in rising order, to keep the order.   (n), (...) -> (...) int64

    Before equal elements with the side "left", after them with "right". That x is in order is not checked.

    >>> import numpy as np
    >>> searchsorted(np.array([1.0, 2.0, 2.0, 3.0]), np.array([0.0, 2.0])), searchsorted(np.array([1.0, 2.0]), 2.0, "right")
    (array([0, 1]), array(2))
    """
    if np.ndim(x) != 1:
        raise ShapeError("searchsorted: what is searched needs exactly one axis. " + received(x=x, y=y))
    if side not in ("left", "right"):
        raise ValueError("searchsorted: side is 'left' or 'right'. " + received(x=x, y=y, side=side))
    return np.searchsorted(x, y, side)


@op(numpy=np.unique, reference=np.unique, samples=lambda rng: [
    Sample((normal(rng, 2, 3),)), Sample((normal(rng, 3, 4), True, True, True)), Sample((strided(rng, 3, 4),), {"axis": 1}, note="columns"),
    Sample((normal(rng),), note="0-d"), Sample((normal(rng, 0, 3),), note="0-size"),
], errors=_axis_errors("unique"), kinks="equal elements share the gradient of their value equally")  # fmt: skip
def unique(x, /, return_index=False, return_inverse=False, return_counts=False, axis=None):
    """The different values in rising order.   (...) -> (count), or a tuple that begins with it

    On demand followed by where each comes first, which of them each element is, and how often each occurs. With an axis
    the different slices along it.

    >>> import numpy as np
    >>> unique(np.array([3.0, 1.0, 3.0]), return_counts=True)
    (array([1., 3.]), array([1, 2]))
    """
    if axis is not None:
        one_axis("unique", x, axis)
    return np.unique(x, return_index, return_inverse, return_counts, axis)


@unique.vjp
def _(g, _, x, return_index, return_inverse, return_counts, axis):
    g = g[0] if isinstance(g, tuple) else g
    _, inverse, counts = np.unique(values(x), return_inverse=True, return_counts=True, axis=axis)
    if axis is None:
        return (getitem(divide(g, counts), inverse.reshape(x.shape)),)
    axis = axis % x.ndim
    shares = divide(g, counts.reshape([-1 if i == axis else 1 for i in range(x.ndim)]))  # (.. count ..)
    return (getitem(shares, (*before(axis), inverse.reshape(-1))),)  # (.. count ..) -> (.. n ..)


@op(differentiable=False, numpy=np.nonzero, reference=np.nonzero, samples=lambda rng: [
    Sample((np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]]),)), Sample((normal(rng, 2, 3, 4),)), Sample((strided(rng, 2, 3),), note="strided"),
    Sample((normal(rng, 0, 3),), note="0-size"),
], errors=lambda: [ErrorSample((np.array(1.0),), {}, ShapeError, "nonzero: .* at least one axis")])  # fmt: skip
def nonzero(x, /):
    """Places of the elements that are not 0: one array of numbers for each axis.   (...) -> (count) int64, ...

    >>> import numpy as np
    >>> nonzero(np.array([[1.0, 0.0], [0.0, 2.0]]))
    (array([0, 1]), array([0, 1]))
    """
    if np.ndim(x) == 0:
        raise ShapeError("nonzero: places need at least one axis. " + received(x=x))
    return np.nonzero(x)

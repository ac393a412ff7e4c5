"""Ops whose every result depends on all elements before it along one axis. ``axis=None`` goes through all in a row."""

import numpy as np

from ..core import op, values
from ..errors import ShapeError
from .axes import one_axis
from .broadcasting import promote
from .elementwise import exp, multiply, subtract, where
from .indexing import getitem
from .joining import concatenate
from .samples import ErrorSample, Sample, normal, strided
from .shape import before, flip, reshape

__all__ = [
    "cumprod", "cumsum", "logcumsumexp",
]  # fmt: skip


def _scans(rng):
    yield Sample((normal(rng, 3, 4),))
    yield Sample((normal(rng, 2, 3, 4), 1))
    yield Sample((strided(rng, 2, 3, 5), -1), note="strided")
    yield Sample((normal(rng, 3, 0), -1), note="0-size")
    yield Sample((normal(rng),), note="0-d")


def _axis_errors(name):
    return lambda: [
        ErrorSample((np.ones((2, 3)), 2), {}, ShapeError, rf"{name}: axis 2 is out of range for 2 axes.*\(2, 3\)"),
        ErrorSample((np.ones((2, 3)), (0, 1)), {}, ShapeError, rf"{name}: takes one axis.*\(2, 3\)"),
    ]


def row(name, x, axis):
    """x and the number of its axis; with None all elements in one row."""
    return (reshape(x, (-1,)), 0) if axis is None else (x, one_axis(name, x, axis))


def shift(x, axis, first):
    """Every element one place later, the last one gone, ``first`` at the beginning.   (.. n ..) -> (.. n ..)"""
    if x.shape[axis] == 0:
        return x
    front = np.full((*x.shape[:axis], 1, *x.shape[axis + 1 :]), first, x.dtype)  # (.. 1 ..)
    return concatenate([front, getitem(x, (*before(axis), slice(-1)))], axis)


def _recurrence_by_loops(a, b, axis):
    a, b = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)  # (.. n ..) -> (n, ..)
    rows = [np.zeros(b.shape[1:])]
    for i in range(len(b)):
        rows.append(a[i] * rows[-1] + b[i])
    return np.moveaxis(np.array(rows)[1:], 0, axis)  # (n, ..) -> (.. n ..)


@op(linear=(1,), method=False, reference=_recurrence_by_loops, samples=lambda rng: [
    Sample((normal(rng, 2, 4), normal(rng, 2, 4), 1)), Sample((normal(rng, 5), normal(rng, 5), 0)),
    Sample((strided(rng, 3, 4, 2), strided(rng, 3, 4, 2), 1)), Sample((normal(rng, 2, 0), normal(rng, 2, 0), 1), note="0-size"),
])  # fmt: skip
def recurrence(a, b, /, axis):
    """s[i] = a[i] s[i-1] + b[i] along an axis, where nothing comes before s[0] = b[0].   (.. n ..), (.. n ..) -> (.. n ..)

    The gradient of a recurrence is a recurrence that runs backwards, so this one op carries every order.

    >>> import numpy as np
    >>> recurrence(np.array([0.5, 0.5, 0.5]), np.array([8.0, 0.0, 1.0]), 0)
    array([8., 4., 3.])
    """
    factors, steps = [np.array(np.moveaxis(v, axis, 0), order="C") for v in (a, b)]  # (.. n ..) -> (n, ..)
    for i in range(1, len(steps)):
        steps[i] += factors[i] * steps[i - 1]
    return np.moveaxis(steps, 0, axis)  # (n, ..) -> (.. n ..)


@recurrence.vjp
def _(g, out, a, b, axis):
    db = _backwards(a, g, axis)
    return multiply(db, shift(out, axis, 0.0)), db


def _backwards(a, g, axis):
    """r[i] = g[i] + a[i+1] r[i+1], from the end."""
    return flip(recurrence(shift(flip(a, axis), axis, 0.0), flip(g, axis), axis), axis)


@op(numpy=np.cumsum, reference=np.cumsum, linear=(0,), samples=_scans, errors=_axis_errors("cumsum"))
def cumsum(x, /, axis=None):
    """Sum of all elements up to each one.   (...) -> (...), without an axis (...) -> (size)

    >>> import numpy as np
    >>> cumsum(np.array([1.0, 2.0, 3.0]))
    array([1., 3., 6.])
    """
    return np.cumsum(*row("cumsum", x, axis))


@cumsum.vjp
def _(g, _, _x, axis):
    axis = 0 if axis is None else axis % _x.ndim
    return (reshape(flip(cumsum(flip(g, axis), axis), axis), _x.shape),)


@op(numpy=np.cumprod, reference=np.cumprod, samples=lambda rng: [
    *_scans(rng), Sample((np.array([[2.0, 0.0, 3.0, -1.0], [0.0, 2.0, 0.0, 3.0]]), 1), note="one zero and two"),
], errors=_axis_errors("cumprod"))  # fmt: skip
def cumprod(x, /, axis=None):
    """Product of all elements up to each one; zeros have the right gradient too.   (...) -> (...), without an axis (...) -> (size)

    >>> import numpy as np
    >>> cumprod(np.array([1.0, 2.0, 3.0]))
    array([1., 2., 6.])
    """
    return np.cumprod(*row("cumprod", x, axis))


@cumprod.vjp
def _(g, out, x, axis):
    # d out[k] / d x[i] = (product before i) (product from i+1 to k): the second factors add up by a recurrence
    factors, axis = row("cumprod", x, axis)
    return (reshape(multiply(shift(out, axis, 1.0), _backwards(factors, g, axis)), x.shape),)


def exclusive_products(x):
    """The product of all other elements along the last axis: without division, so zeros are right.   (..., n) -> (..., n)"""
    left = shift(cumprod(x, -1), x.ndim - 1, 1.0)
    right = flip(shift(cumprod(flip(x, -1), -1), x.ndim - 1, 1.0), -1)
    return multiply(left, right)


@op(reference=lambda x, axis=None: np.log(np.cumsum(np.exp(x), axis)), samples=_scans, errors=_axis_errors("logcumsumexp"),
    kinks="an infinite result passes no gradient")  # fmt: skip
def logcumsumexp(x, /, axis=None):
    """log(sum(exp(x))) of all elements up to each one, without overflow.   (...) -> (...), without an axis (...) -> (size)

    >>> import numpy as np
    >>> logcumsumexp(np.array([1000.0, 1000.0])).round(4)
    array([1000.    , 1000.6931])
    """
    x, axis = row("logcumsumexp", x, axis)
    with np.errstate(invalid="ignore"):  # NaN gives NaN
        return np.logaddexp.accumulate(*promote((x,), floating=True), axis=axis)


@logcumsumexp.vjp
def _(g, out, x, axis):
    # d x[i] = sum over k >= i of g[k] exp(x[i] - y[k]) = exp(x[i] - y[i]) r[i], where r[i] = g[i] + exp(y[i] - y[i+1]) r[i+1].
    # y never falls, so no exponent is above 0. Where y is infinite, zeros stand in for the factors.
    shape, (x, axis) = x.shape, row("logcumsumexp", x, axis)
    known = np.logical_not(np.isinf(values(out)))
    y, g = where(known, out, 0.0), where(known, g, 0.0)
    both = np.logical_and(known, shift(known, axis, False))
    decay = exp(where(both, subtract(shift(y, axis, 0.0), y), -np.inf))  # exp(y[i-1] - y[i])
    share = exp(where(known, subtract(x, y), -np.inf))
    return (reshape(multiply(share, _backwards(decay, g, axis)), shape),)

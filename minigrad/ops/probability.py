"""Numbers into probabilities: softmax along an axis, its logarithm, and softmax of the smallest.

A fused op has one kernel forward, one backward, and a composite, the same mathematics in terms of other ops. The composite
is what the engine differentiates when a graph of the gradient is wanted, what the tests hold the kernel against, and what a
reader should read first.
"""

import numpy as np

from .. import kernels
from ..core import op, values
from ..errors import DtypeError, ShapeError, received
from .axes import one_axis
from .broadcasting import promote
from .elementwise import add, divide, exp, log, multiply, subtract
from .elementwise import where as choose
from .indexing import check_rank
from .reduce import sum
from .samples import ErrorSample, Sample, normal, strided

__all__ = ["log_softmax", "softmax", "softmin"]


def _prepared(name, x, axis, where):
    """Floating x with ``axis`` at the end, where the kernels work, and the mask in the same shape, or None."""
    check_rank(name, x, 1)
    axis = one_axis(name, x, axis)
    (rows,) = promote((np.asarray(x),), floating=True)
    if where is not None:
        where = np.asarray(values(where))
        if where.dtype != bool:
            raise DtypeError(f"{name}: a mask must be boolean, True where a value may be used. " + received(mask=where))
        try:
            where = _last(np.broadcast_to(where, x.shape), axis)
        except ValueError:
            raise ShapeError(f"{name}: the mask must broadcast to the shape of x. " + received(x=x, mask=where)) from None
    return _last(rows, axis), where


def _last(x, axis):
    """``axis`` moved to the end.   (.. n ..) -> (.. .. n)"""
    return x if axis in (-1, x.ndim - 1) else np.moveaxis(x, axis, -1)


def _back(y, axis):
    """The last axis moved to the place ``axis``.   (.. .. n) -> (.. n ..)"""
    return y if axis in (-1, y.ndim - 1) else np.moveaxis(y, -1, axis)


def _samples(rng):
    yield Sample((normal(rng, 3, 4),))
    yield Sample((normal(rng, 2, 3, 4), 1), note="inner axis")
    yield Sample((strided(rng, 3, 5),), note="strided")
    yield Sample((normal(rng, 0, 3),), note="0-size")


def _masked_samples(rng):
    yield from _samples(rng)
    yield Sample((normal(rng, 2, 3, 4),), {"where": np.tri(3, 4, dtype=bool)}, note="causal mask")
    yield Sample((normal(rng, 3, 4), 0), {"where": np.array([[True, False, True, True]] * 3)}, note="a column without a choice")


def _errors(name):
    return lambda: [
        ErrorSample((np.float64(1.0),), {}, ShapeError, f"{name}.*at least 1"),
        ErrorSample((np.ones((2, 3)), 2), {}, ShapeError, rf"{name}: axis 2 is out of range.*\(2, 3\)"),
        ErrorSample((np.ones((2, 3)),), {"where": np.ones((2, 3))}, DtypeError, f"{name}.*boolean"),
        ErrorSample((np.ones((2, 3)),), {"where": np.ones((2, 4), bool)}, ShapeError, rf"{name}.*mask.*\(2, 3\).*\(2, 4\)"),
    ]


# ------------------------------------------------------------------------------------------------------- softmax


def _softmax_reference(x, axis=-1, where=True):
    top = np.max(x, axis, keepdims=True, initial=-1e300, where=where)
    e = np.where(where, np.exp(np.minimum(x - top, 0)), 0)
    total = e.sum(axis, keepdims=True)
    return e / np.where(total == 0, 1, total)


@op(reference=_softmax_reference, samples=_masked_samples, errors=_errors("softmax"),
    kinks="a row in which everything is masked is 0, and so is its gradient")  # fmt: skip
def softmax(x, /, axis=-1, where=None):
    """exp(x) / sum(exp(x)) along an axis; what ``where`` forbids counts as -infinity and gets exactly 0.   (..., n) -> (..., n)

    Every row adds up to 1. A row in which nothing is allowed is all zeros; a row of -infinity without ``where`` is NaN.
    Raises DtypeError for a mask that is not boolean, ShapeError for one that does not broadcast to the shape of x.

    >>> import numpy as np
    >>> softmax(np.log(np.array([1.0, 3.0])))
    array([0.25, 0.75])
    """
    return _back(kernels.softmax(*_prepared("softmax", x, axis, where)), axis)


@softmax.vjp
def _(g, out, x, axis, where):
    return (_back(kernels.softmax_grad(_last(g, axis), _last(out, axis)), axis),)


@softmax.composite
def _(x, axis, where):
    if where is None:
        e = exp(subtract(x, np.max(values(x), axis, keepdims=True, initial=-np.inf)))
        return divide(e, sum(e, axis, True))
    allowed = np.broadcast_to(values(where), x.shape)
    e = choose(allowed, exp(subtract(choose(allowed, x, 0.0), _largest_allowed(x, axis, allowed))), 0.0)
    total = sum(e, axis, True)
    return divide(e, add(total, (values(total) == 0).astype(x.dtype)))


def _largest_allowed(x, axis, allowed):
    """The largest of what is allowed, 0 where there is nothing: what to subtract, so that no exponential overflows."""
    top = np.max(values(x), axis, keepdims=True, initial=-np.inf, where=allowed)
    return np.where(np.isfinite(top), top, 0).astype(x.dtype)


@op(composed=True, reference=lambda x, axis=-1, where=True: _softmax_reference(-x, axis, where), samples=_masked_samples,
    errors=_errors("softmin"))  # fmt: skip
def softmin(x, /, axis=-1, where=None):
    """softmax(-x): the smallest gets most.   (..., n) -> (..., n)

    >>> import numpy as np
    >>> softmin(np.log(np.array([1.0, 3.0])))
    array([0.75, 0.25])
    """
    _prepared("softmin", values(x), axis, where)  # raises in its own name
    return softmax(multiply(x, -1.0), axis, where)


# --------------------------------------------------------------------------------------------------- log-softmax


@op(reference=lambda x, axis=-1: x - np.log(np.exp(x).sum(axis, keepdims=True)), samples=_samples,
    errors=_errors("log_softmax"), kinks="what is masked is -infinity, with the gradient 0")  # fmt: skip
def log_softmax(x, /, axis=-1, where=None):
    """x - log(sum(exp(x))) along an axis: the logarithm of softmax, without overflow.   (..., n) -> (..., n)

    What ``where`` forbids is -infinity, the logarithm of its probability 0, and takes no part in the gradient.
    Raises DtypeError for a mask that is not boolean, ShapeError for one that does not broadcast to the shape of x.

    >>> import numpy as np
    >>> np.exp(log_softmax(np.log(np.array([1.0, 3.0])))).round(4)
    array([0.25, 0.75])
    """
    rows, where = _prepared("log_softmax", x, axis, where)
    if where is None:
        return _back(kernels.log_softmax(rows), axis)
    y = kernels.log_softmax(np.where(where, rows, rows.dtype.type(-np.inf)))
    return _back(np.where(where, y, y.dtype.type(-np.inf)), axis)  # in a row without a choice the kernel's are NaN


@log_softmax.vjp
def _(g, out, x, axis, where):
    g = g if where is None else choose(values(where), g, 0.0)
    return (_back(kernels.log_softmax_grad(_last(g, axis), _last(out, axis)), axis),)


@log_softmax.composite
def _(x, axis, where):
    if where is None:
        centred = subtract(x, np.max(values(x), axis, keepdims=True, initial=-np.inf))
        return subtract(centred, log(sum(exp(centred), axis, True)))
    allowed = np.broadcast_to(values(where), x.shape)
    centred = subtract(choose(allowed, x, 0.0), _largest_allowed(x, axis, allowed))
    total = sum(choose(allowed, exp(centred), 0.0), axis, True)
    return choose(allowed, subtract(centred, log(add(total, (values(total) == 0).astype(x.dtype)))), -np.inf)

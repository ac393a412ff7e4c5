"""Ops that make one number of many. ``axis`` is None (all), one axis or a tuple; ``keepdims`` keeps axes of length 1."""

import numpy as np

from ..core import Tensor, op
from ..errors import ShapeError, received
from .broadcasting import broadcast_to, promote
from .elementwise import divide, equal, exp, log, multiply, square, subtract
from .samples import ErrorSample, Sample, normal, strided
from .shape import reshape

__all__ = [
    "argmax", "logsumexp", "max", "mean", "min", "sum", "var",
]  # fmt: skip


def _reductions(rng):
    yield Sample((normal(rng, 3, 4),))
    yield Sample((normal(rng, 3, 4), 0))
    yield Sample((normal(rng, 2, 3, 4), (0, 2)))
    yield Sample((normal(rng, 2, 3, 4),), {"axis": -2, "keepdims": True}, note="keepdims")
    yield Sample((strided(rng, 2, 3, 5), 1), note="strided")
    yield Sample((normal(rng),), note="0-d")


def _axis_errors(name):
    """Error samples of a reduction: an axis that is not there."""
    return lambda: [ErrorSample((np.ones((2, 3)), 2), {}, ShapeError, rf"{name}: axis 2 is out of range for 2 axes.*\(2, 3\)")]


def _with_empty(rng):
    yield from _reductions(rng)
    yield Sample((normal(rng, 0, 3), 0), note="0-size")


def axes_of(name, x, axis):
    """``axis`` as a tuple of numbers from 0; raises ShapeError naming what is out of range."""
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int | np.integer) else axis
    for a in axes:
        if not -x.ndim <= a < x.ndim:
            raise ShapeError(f"{name}: axis {a} is out of range for {x.ndim} axes. " + received(x=x, axis=axis))
    axes = tuple(a % x.ndim for a in axes)
    if len(set(axes)) < len(axes):
        raise ShapeError(f"{name}: an axis is named twice. " + received(x=x, axis=axis))
    return axes


def _spread(g, name, x, axis, keepdims):
    """``g`` with the reduced axes put back and repeated to the shape of x."""
    if not keepdims:
        axes = axes_of(name, x, axis)
        g = reshape(g, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))  # reduced axes back as 1
    return broadcast_to(g, x.shape)


@op(numpy=np.sum, reference=np.sum, linear=(0,), samples=_with_empty, errors=_axis_errors("sum"))
def sum(x, /, axis=None, keepdims=False):
    """Sum over axes.   (...) -> (... without axis)

    >>> import numpy as np
    >>> sum(np.ones((2, 3)), axis=0)
    array([2., 2., 2.])
    """
    return np.sum(x, axis=axes_of("sum", x, axis), keepdims=keepdims)


@sum.vjp
def _(g, _, x, axis, keepdims):
    return (_spread(g, "sum", x, axis, keepdims),)


@op(numpy=np.mean, reference=np.mean, linear=(0,), samples=_reductions, errors=_axis_errors("mean"))
def mean(x, /, axis=None, keepdims=False):
    """Mean over axes, floating also for integers.   (...) -> (... without axis)

    >>> import numpy as np
    >>> mean(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=1)
    array([1.5, 3.5])
    """
    (x,) = promote((x,), floating=True)
    return np.mean(x, axis=axes_of("mean", x, axis), keepdims=keepdims)


@mean.vjp
def _(g, _, x, axis, keepdims):
    count = 1
    for a in axes_of("mean", x, axis):
        count *= x.shape[a]
    return (divide(_spread(g, "mean", x, axis, keepdims), float(count)),)


def _extremum(ufunc, word):
    def extremum(x, /, axis=None, keepdims=False):
        axes = axes_of(word, x, axis)
        if any(x.shape[a] == 0 for a in axes):
            raise ShapeError(f"{word}: there is no {word} of no elements. " + received(x=x, axis=axis))
        return ufunc.reduce(x, axis=axes, keepdims=keepdims)

    extremum.__name__ = extremum.__qualname__ = word
    extremum.__doc__ = f"""The {"largest" if word == "max" else "smallest"} value over axes.   (...) -> (... without axis)

    >>> import numpy as np
    >>> {word}(np.array([[1.0, 5.0], [7.0, 2.0]]), axis=0)
    {ufunc.reduce(np.array([[1.0, 5.0], [7.0, 2.0]]), axis=0)!r}
    """
    function = op(
        numpy=getattr(np, word), reference=getattr(np, word), samples=_reductions,
        errors=lambda: [*_axis_errors(word)(), ErrorSample((np.ones((0, 3)), 0), {}, ShapeError, f"{word}: there is no {word} of no")],
        kinks="equal values share the gradient equally",
    )(extremum)  # fmt: skip

    @function.vjp
    def _(g, out, x, axis, keepdims):
        chosen = equal(x, _spread(out, word, x, axis, keepdims))  # (...) boolean
        chosen = (chosen._data if isinstance(chosen, Tensor) else chosen).astype(x.dtype)
        share = chosen / np.sum(chosen, axis=axes_of(word, x, axis), keepdims=True)
        return (multiply(_spread(g, word, x, axis, keepdims), share),)

    return function


max = _extremum(np.maximum, "max")
min = _extremum(np.minimum, "min")


@op(differentiable=False, numpy=np.argmax, reference=np.argmax, samples=lambda rng: [
    Sample((normal(rng, 3, 4),)), Sample((normal(rng, 3, 4), 1)), Sample((strided(rng, 2, 3), 0)),
], errors=_axis_errors("argmax"))  # fmt: skip
def argmax(x, /, axis=None):
    """Place of the largest value; the first one if several are equal.   (...) -> (... without axis) int64

    >>> import numpy as np
    >>> argmax(np.array([1.0, 5.0, 2.0]))
    array(1)
    """
    axes_of("argmax", x, axis)
    return np.argmax(x, axis=axis)


def var(x, axis=None, keepdims=False, correction=0):
    """Variance over axes: mean of (x - mean(x))^2, with n - ``correction`` as the divisor.   (...) -> (... without axis)

    >>> import numpy as np
    >>> float(var(np.array([1.0, 3.0])))
    1.0
    """
    centred = subtract(x, mean(x, axis, True))
    spread = mean(square(centred), axis, keepdims)
    if correction == 0:
        return spread
    n = x.size // np.size(spread._data if isinstance(spread, Tensor) else spread)
    if n <= correction:
        raise ShapeError(f"var: a correction of {correction} needs more than {correction} elements. " + received(x=x, axis=axis))
    return multiply(spread, n / (n - correction))


def logsumexp(x, axis=-1, keepdims=False):
    """log(sum(exp(x))) without overflow.   (...) -> (... without axis)

    >>> import numpy as np
    >>> float(logsumexp(np.array([1000.0, 1000.0])).round(4))
    1000.6931
    """
    values = x._data if isinstance(x, Tensor) else x
    top = np.max(values, axis=axis, keepdims=True)  # a constant: the result does not depend on it
    top = np.where(np.isfinite(top), top, np.zeros_like(top))
    total = log(sum(exp(subtract(x, top)), axis, True)) + top
    return total if keepdims else reshape(total, np.squeeze(top, axis).shape)

"""Ops that make one number of many. ``axis`` is None (all), one axis or a tuple; ``keepdims`` keeps axes of length 1."""

import math

import numpy as np

from ..core import op, values
from ..errors import ShapeError, received
from .axes import axes_of, one_axis
from .broadcasting import broadcast_to, promote
from .elementwise import add, divide, exp, log, multiply, sqrt, square, subtract, where
from .samples import ErrorSample, Sample, normal, strided
from .scan import exclusive_products
from .shape import permute, reshape

__all__ = [
    "all", "any", "argmax", "argmin", "count_nonzero", "logsumexp", "max", "mean", "median", "min", "nanmean", "nansum",
    "prod", "std", "sum", "var", "var_mean",
]  # fmt: skip


def _reductions(rng):
    yield Sample((normal(rng, 3, 4),))
    yield Sample((normal(rng, 3, 4), 0))
    yield Sample((normal(rng, 2, 3, 4), (0, 2)))
    yield Sample((normal(rng, 2, 3, 4),), {"axis": -2, "keepdims": True}, note="keepdims")
    yield Sample((strided(rng, 2, 3, 5), 1), note="strided")
    yield Sample((normal(rng),), note="0-d")


def _with_empty(rng):
    yield from _reductions(rng)
    yield Sample((normal(rng, 0, 3), 0), note="0-size")


def _axis_errors(name):
    """Error samples of a reduction: an axis that is not there."""
    return lambda: [
        ErrorSample((np.ones((2, 3)), 2), {}, ShapeError, rf"{name}: axis 2 is out of range for 2 axes.*\(2, 3\)"),
        ErrorSample((np.ones((2, 3)), (0, -2)), {}, ShapeError, rf"{name}: an axis is named twice.*\(2, 3\)"),
    ]


def _empty_errors(name):
    """Error samples of a reduction that needs an element."""
    return lambda: [
        *_axis_errors(name)(),
        ErrorSample((np.ones((0, 3)), 0), {}, ShapeError, rf"{name}: there is no {name} of no elements.*\(0, 3\)"),
    ]


def _count(x, axes):
    """How many elements each result is made of."""
    return math.prod([x.shape[a] for a in axes])


def _filled(name, x, axis):
    """The axes as numbers, and how many elements each result is made of, which must not be none."""
    axes = axes_of(name, x, axis)
    count = _count(x, axes)
    if count == 0:
        raise ShapeError(f"{name}: there is no {name} of no elements. " + received(x=x, axis=axis))
    return axes, count


def _kept(g, name, x, axis, keepdims):
    """``g`` with the reduced axes put back as axes of length 1."""
    if keepdims:
        return g
    axes = axes_of(name, x, axis)
    return reshape(g, tuple([1 if i in axes else n for i, n in enumerate(x.shape)]))


def _spread(g, name, x, axis, keepdims):
    """``g`` with the reduced axes put back and repeated to the shape of x."""
    return broadcast_to(g if axis is None else _kept(g, name, x, axis, keepdims), x.shape)


# -------------------------------------------------------------------------------------------------- sums and products


@op(numpy=np.sum, reference=np.sum, linear=(0,), samples=_with_empty, errors=_axis_errors("sum"))
def sum(x, /, axis=None, keepdims=False):
    """Sum over axes; 0 over nothing.   (...) -> (... without axis)

    >>> import numpy as np
    >>> sum(np.ones((2, 3)), axis=0)
    array([2., 2., 2.])
    """
    return np.add.reduce(x, None if axis is None else axes_of("sum", x, axis), keepdims=keepdims)


@sum.vjp
def _(g, _, _x, axis, keepdims):
    return (_spread(g, "sum", _x, axis, keepdims),)


@op(numpy=np.mean, reference=np.mean, linear=(0,), samples=_reductions, errors=_empty_errors("mean"))
def mean(x, /, axis=None, keepdims=False):
    """Mean over axes, floating also for integers.   (...) -> (... without axis)

    Raises ShapeError for the mean of no elements.

    >>> import numpy as np
    >>> mean(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=1)
    array([1.5, 3.5])
    """
    axes, count = _filled("mean", x, axis)
    (x,) = promote((x,), floating=True)
    exact = np.float32 if x.dtype == np.float16 else None  # as NumPy: the sum may be beyond float16 where the mean is not
    return np.asarray(np.add.reduce(x, axis=axes, dtype=exact, keepdims=keepdims) / count, x.dtype)


@mean.vjp
def _(g, _, _x, axis, keepdims):
    return (_spread(divide(g, float(_count(_x, axes_of("mean", _x, axis)))), "mean", _x, axis, keepdims),)


@op(composed=True, numpy=np.nansum, reference=np.nansum, samples=_with_empty, errors=_axis_errors("nansum"))
def nansum(x, /, axis=None, keepdims=False):
    """Sum over axes with NaN as 0; a NaN gets the gradient 0.   (...) -> (... without axis)

    >>> import numpy as np
    >>> nansum(np.array([1.0, np.nan, 2.0]))
    array(3.)
    """
    axes = axes_of("nansum", x, axis)
    return sum(where(np.isnan(values(x)), 0, x), axes, keepdims)


@op(composed=True, numpy=np.nanmean, reference=np.nanmean, samples=_reductions, errors=_empty_errors("nanmean"))
def nanmean(x, /, axis=None, keepdims=False):
    """Mean over axes of what is not NaN; NaN, with the gradient 0, where all are.   (...) -> (... without axis)

    Raises ShapeError for the mean of no elements.

    >>> import numpy as np
    >>> nanmean(np.array([[1.0, np.nan, 2.0], [np.nan, np.nan, np.nan]]), axis=1)
    array([1.5, nan])
    """
    axes, _ = _filled("nanmean", x, axis)
    valid = np.logical_not(np.isnan(values(x)))
    count = np.sum(valid, axis=axes, keepdims=keepdims)
    total = sum(where(valid, x, 0), axes, keepdims)
    return where(count > 0, divide(total, np.maximum(count, 1)), np.nan)


@op(numpy=np.prod, reference=np.prod, samples=lambda rng: [
    *_with_empty(rng), Sample((np.array([[2.0, 0.0, 3.0, -1.0], [0.0, 2.0, 0.0, 3.0]]), 1), note="one zero and two"),
], errors=_axis_errors("prod"))  # fmt: skip
def prod(x, /, axis=None, keepdims=False):
    """Product over axes, 1 over nothing; zeros have the right gradient too.   (...) -> (... without axis)

    >>> import numpy as np
    >>> prod(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    array([3., 8.])
    """
    return np.prod(x, axis=axes_of("prod", x, axis), keepdims=keepdims)


@prod.vjp
def _(g, _, x, axis, keepdims):
    axes = axes_of("prod", x, axis)
    order = (*[i for i in range(x.ndim) if i not in axes], *axes)
    moved = permute(x, order)  # (rest.., reduced..)
    flat = reshape(moved, (*moved.shape[: x.ndim - len(axes)], _count(x, axes)))  # (rest.., n)
    others = reshape(exclusive_products(flat), moved.shape)  # (rest.., n) -> (rest.., reduced..)
    back = permute(others, tuple([int(i) for i in np.argsort(order)]))
    return (multiply(_spread(g, "prod", x, axis, keepdims), back),)


# ------------------------------------------------------------------------------------- the largest, the smallest, the middle


def _shares(x, chosen, axes):
    """1 for the elements equal to ``chosen``, divided by how many they are: equal values share equally. A constant.

    A result that is NaN came from the NaNs among the elements.
    """
    hits = ((x == chosen) | (x != x)).astype(x.dtype)  # (...)
    return hits / hits.sum(axis=axes, keepdims=True)


def _extremum(ufunc, word):
    def extremum(x, /, axis=None, keepdims=False):
        return ufunc.reduce(x, axis=_filled(word, x, axis)[0], keepdims=keepdims)

    extremum.__name__ = extremum.__qualname__ = word
    extremum.__doc__ = f"""The {"largest" if word == "max" else "smallest"} value over axes.   (...) -> (... without axis)

    Raises ShapeError where there are no elements.

    >>> import numpy as np
    >>> {word}(np.array([[1.0, 5.0], [7.0, 2.0]]), axis=0)
    {ufunc.reduce(np.array([[1.0, 5.0], [7.0, 2.0]]), axis=0)!r}
    """
    function = op(
        numpy=getattr(np, word), reference=getattr(np, word), samples=_reductions, errors=_empty_errors(word),
        kinks="equal values share the gradient equally",
    )(extremum)  # fmt: skip

    @function.vjp
    def _(g, out, x, axis, keepdims):
        out = _kept(values(out), word, x, axis, keepdims)
        return (multiply(_kept(g, word, x, axis, keepdims), _shares(values(x), out, axes_of(word, x, axis))),)

    return function


max = _extremum(np.maximum, "max")
min = _extremum(np.minimum, "min")


def _place(find, word):
    def place(x, /, axis=None, keepdims=False):
        _filled(name, x, axis)
        return find(x, axis=None if axis is None else one_axis(name, x, axis), keepdims=keepdims)

    name = place.__name__ = place.__qualname__ = find.__name__
    place.__doc__ = f"""Place of the {word} value, the first one of several.   (...) -> (... without axis) int64

    Without an axis the place in the row of all elements.
    Raises ShapeError where there are no elements.

    >>> import numpy as np
    >>> {name}(np.array([[1.0, 5.0, 2.0], [4.0, 0.0, 3.0]]), axis=1)
    {find(np.array([[1.0, 5.0, 2.0], [4.0, 0.0, 3.0]]), axis=1)!r}
    """
    return op(
        differentiable=False, numpy=find, reference=find, errors=_empty_errors(name),
        samples=lambda rng: [
            Sample((normal(rng, 3, 4),)), Sample((normal(rng, 3, 4), 1)), Sample((strided(rng, 2, 3), 0), note="strided"),
            Sample((normal(rng, 3, 4), -2), {"keepdims": True}, note="keepdims"), Sample((normal(rng),), note="0-d"),
        ],
    )(place)  # fmt: skip


argmax = _place(np.argmax, "largest")
argmin = _place(np.argmin, "smallest")


@op(numpy=np.median, reference=np.median, samples=_reductions, errors=_empty_errors("median"),
    kinks="equal values share the gradient equally")  # fmt: skip
def median(x, /, axis=None, keepdims=False):
    """The value in the middle over axes, the mean of the two in the middle of an even number.   (...) -> (... without axis)

    Raises ShapeError where there are no elements.

    >>> import numpy as np
    >>> median(np.array([[7.0, 1.0, 2.0], [9.0, 5.0, 4.0]]), axis=1), median(np.array([1.0, 2.0, 4.0, 8.0]))
    (array([2., 5.]), array(3.))
    """
    axes, _ = _filled("median", x, axis)
    (x,) = promote((x,), floating=True)
    return np.median(x, axis=axes, keepdims=keepdims)


@median.vjp
def _(g, out, x, axis, keepdims):
    axes, a, middle = axes_of("median", x, axis), values(x), _kept(values(out), "median", x, axis, keepdims)
    lower = np.where(a <= middle, a, -np.inf).max(axis=axes, keepdims=True)  # the middle itself, or the two around it
    upper = np.where(a >= middle, a, np.inf).min(axis=axes, keepdims=True)
    shares = (_shares(a, lower, axes) + _shares(a, upper, axes)) / 2
    return (multiply(_kept(g, "median", x, axis, keepdims), shares),)


# ------------------------------------------------------------------------------------------------------------ spread


def _var_errors(name):
    return lambda: [
        *_axis_errors(name)(),
        ErrorSample((np.ones((2, 3)), 0), {"correction": 2}, ShapeError, rf"{name}: .* of 2 .*more than 2 elements.*\(2, 3\)"),
        ErrorSample((np.ones((0, 3)), 0), {}, ShapeError, rf"{name}: .* of 0 .*more than 0 elements.*\(0, 3\)"),
    ]


def _var_samples(rng):
    yield from _reductions(rng)
    yield Sample((normal(rng, 3, 4), 0), {"ddof": 1}, note="correction")


def _moments(name, x, axis, correction):
    """Variance and mean with axes of length 1: the mean first, then the mean square of what is left."""
    n = _count(x, axes_of(name, x, axis))
    if n <= correction:
        needs = f"{name}: a correction of {correction} needs more than {correction} elements. "
        raise ShapeError(needs + received(x=x, axis=axis))
    middle = mean(x, axis, True)
    spread = mean(square(subtract(x, middle)), axis, True)
    return (multiply(spread, n / (n - correction)) if correction else spread), middle


def _result(kept, name, x, axis, keepdims):
    """A result with axes of length 1, without them unless ``keepdims``."""
    axes = axes_of(name, x, axis)
    return kept if keepdims else reshape(kept, tuple([n for i, n in enumerate(x.shape) if i not in axes]))


@op(composed=True, numpy=np.var, reference=np.var, samples=_var_samples, errors=_var_errors("var"))
def var(x, /, axis=None, keepdims=False, correction=0):
    """Variance over axes: mean of (x - mean(x))^2, with n - ``correction`` as the divisor.   (...) -> (... without axis)

    ``ddof`` is NumPy's name for ``correction``. Raises ShapeError where n is not more than the correction.

    >>> import numpy as np
    >>> var(np.array([1.0, 3.0])), var(np.array([1.0, 3.0]), correction=1)
    (array(1.), array(2.))
    """
    return _result(_moments("var", x, axis, correction)[0], "var", x, axis, keepdims)


@op(composed=True, numpy=np.std, reference=np.std, samples=_var_samples, errors=_var_errors("std"),
    kinks="0 where all elements are equal")  # fmt: skip
def std(x, /, axis=None, keepdims=False, correction=0):
    """Standard deviation over axes: the square root of the variance.   (...) -> (... without axis)

    ``ddof`` is NumPy's name for ``correction``. Raises ShapeError where n is not more than the correction.

    >>> import numpy as np
    >>> std(np.array([[1.0, 3.0], [2.0, 8.0]]), axis=1)
    array([1., 3.])
    """
    variance = _result(_moments("std", x, axis, correction)[0], "std", x, axis, keepdims)
    none = values(variance) == 0  # there the root has no derivative; ours is 0
    return where(none, 0.0, sqrt(where(none, 1.0, variance)))


@op(composed=True, samples=_var_samples, errors=_var_errors("var_mean"),
    reference=lambda x, axis=None, keepdims=False, ddof=0: (
        np.var(x, axis, ddof=ddof, keepdims=keepdims), np.mean(x, axis, keepdims=keepdims)
    ))  # fmt: skip
def var_mean(x, /, axis=None, keepdims=False, correction=0):
    """Variance and mean over axes at once, a tuple.   (...) -> (... without axis), (... without axis)

    >>> import numpy as np
    >>> var_mean(np.array([1.0, 3.0]))
    (array(1.), array(2.))
    """
    return tuple([_result(m, "var_mean", x, axis, keepdims) for m in _moments("var_mean", x, axis, correction)])


# ------------------------------------------------------------------------------------------------------ logarithms of sums


@op(composed=True, reference=lambda x, axis=None, keepdims=False: np.log(np.exp(x).sum(axis, keepdims=keepdims)),
    samples=_reductions, errors=_axis_errors("logsumexp"), kinks="an infinite result passes no gradient")  # fmt: skip
def logsumexp(x, /, axis=None, keepdims=False):
    """log(sum(exp(x))) over axes, without overflow; -infinity over nothing.   (...) -> (... without axis)

    >>> import numpy as np
    >>> logsumexp(np.array([[1000.0, 1000.0], [0.0, -np.inf]]), axis=1).round(4)
    array([1000.6931,    0.    ])
    """
    axes = axes_of("logsumexp", x, axis)
    (constant,) = promote((values(x),), floating=True)
    top = np.max(constant, axis=axes, keepdims=True, initial=-np.inf)  # the result does not depend on it
    finite = np.logical_not(np.isinf(top))
    shifted = where(finite, subtract(x, np.where(finite, top, 0)), -np.inf)  # (...), at most 0
    total = where(finite, sum(exp(shifted), axes, True), 1.0)
    return _result(add(log(total), top), "logsumexp", x, axes, keepdims)


# ------------------------------------------------------------------------------------- counts: no gradient, whole numbers


def _truth(function, word):
    def truth(x, /, axis=None, keepdims=False):
        return function(x, axis=axes_of(name, x, axis), keepdims=keepdims)

    name = truth.__name__ = truth.__qualname__ = function.__name__
    truth.__doc__ = f"""{word} over axes.   (...) -> (... without axis)

    >>> import numpy as np
    >>> {name}(np.array([[1.0, 0.0], [2.0, 3.0]]), axis=1)
    {function(np.array([[1.0, 0.0], [2.0, 3.0]]), axis=1)!r}
    """
    return op(differentiable=False, numpy=function, reference=function, samples=_with_empty, errors=_axis_errors(name))(truth)


all = _truth(np.all, "Whether every element is true, that is not 0,")
any = _truth(np.any, "Whether at least one element is true, that is not 0,")
count_nonzero = _truth(np.count_nonzero, "How many elements are not 0")

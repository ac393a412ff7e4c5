"""Norms of vectors and matrices."""

import math

import numpy as np

from .. import settings
from ..core import op, values
from ..errors import ShapeError, received
from .axes import axes_of
from .decompositions import svd
from .elementwise import abs, astype, power, sign, sqrt, square, where
from .reduce import max, min, sum
from .samples import ErrorSample, Sample, normal, strided
from .shape import permute, reshape

__all__ = ["norm"]


def _root(x, exponent):
    """x to the power 1 / exponent, where 0 has the gradient 0."""
    none = values(x) == 0
    safe = where(none, 1.0, x)
    return where(none, 0.0, sqrt(safe) if exponent == 2 else power(safe, 1 / exponent))


def _vector_norm(x, ord, axes):
    """(sum |x|^ord)^(1 / ord) and its limits, with the axes kept."""
    if ord is None or ord == 2:
        return _root(sum(square(x), axes, True), 2)
    if ord == math.inf:
        return max(abs(x), axes, True)
    if ord == -math.inf:
        return min(abs(x), axes, True)
    if ord == 0:
        return sum(abs(sign(x)), axes, True)
    if ord == 1:
        return sum(abs(x), axes, True)
    none = values(x) == 0
    size = where(none, 0.0 if ord > 0 else math.inf, power(where(none, 1.0, abs(x)), ord))
    return _root(sum(size, axes, True), ord)


def _matrix_norm(x, ord, rows, columns):
    """One of NumPy's matrix norms over two axes, with the axes kept."""
    if ord in (1, -1):
        return (max if ord > 0 else min)(sum(abs(x), rows, True), columns, True)
    if ord in (math.inf, -math.inf):
        return (max if ord > 0 else min)(sum(abs(x), columns, True), rows, True)
    others = tuple([i for i in range(x.ndim) if i not in (rows, columns)])
    _, s, _ = svd(permute(x, (*others, rows, columns)))  # (.. m .. n ..) -> (..., m, n) -> (..., k)
    result = {"nuc": sum, 2: max, -2: min}[ord](s, -1)
    return reshape(result, tuple([1 if i in (rows, columns) else n for i, n in enumerate(x.shape)]))


def _norm_samples(rng):
    x = normal(rng, 2, 3, 4)
    yield Sample((x,))
    yield Sample((x,), {"axis": 1, "keepdims": True}, note="keepdims")
    yield Sample((strided(rng, 3, 4), 1, 0), note="strided, sum")
    yield Sample((x, 3, -1), note="cubes")
    yield Sample((normal(rng, 3, 4), math.inf, 1), note="largest")
    yield Sample((x, "fro", (0, -1)), note="matrix")
    yield Sample((normal(rng, 3, 4), "nuc"), note="sum of singular values")
    yield Sample((x, 2, (2, 0)), note="largest singular value")
    yield Sample((normal(rng, 3, 4), 1), note="largest column")
    yield Sample((normal(rng, 0, 3), 2, -1), note="0-size")


@op(composed=True, numpy=np.linalg.norm, reference=np.linalg.norm, samples=_norm_samples, kinks="0 where the norm is 0", errors=lambda: [
    ErrorSample((np.ones((2, 3)), 2, 2), {}, ShapeError, r"norm: axis 2 is out of range.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3, 4)), 2), {}, ShapeError, r"norm: .* one axis .* or two .* has 3.*\(2, 3, 4\)"),
    ErrorSample((np.ones((2, 3)), 3), {}, ValueError, r"norm: .* of a matrix .*'fro', 'nuc'.*ord 3"),
    ErrorSample((np.ones(3), "nuc"), {}, ValueError, r"norm: .* of a vector .*ord 'nuc'"),
])  # fmt: skip
def norm(x, /, ord=None, axis=None, keepdims=False):
    """Length of a vector, (sum |x|^ord)^(1 / ord), or norm of a matrix, as NumPy's.   (...) -> (... without axis)

    Without ``ord`` the square root of the sum of squares, over all axes or those given. Over one axis ``ord`` is a number,
    or infinity for the largest element, 0 for how many are not 0. Over two it is "fro", "nuc" (the sum of the
    singular values), 2 or -2 (the largest, the smallest), 1 or infinity (the largest sum of a column, of a row).
    Where the norm is 0 its gradient is 0.
    Raises ShapeError for another number of axes, ValueError for another ``ord``.

    >>> import numpy as np
    >>> norm(np.array([3.0, -4.0])), norm(np.array([3.0, -4.0]), 1)
    (array(5.), array(7.))
    """
    axes = axes_of("norm", x, axis)
    if values(x).dtype.kind != "f":
        x = astype(x, settings.default_dtype())
    if ord is None or (ord == "fro" and len(axes) == 2):
        result = _vector_norm(x, None, axes)
    elif len(axes) == 1 and not isinstance(ord, str):
        result = _vector_norm(x, ord, axes)
    elif len(axes) == 2 and ord in (1, -1, 2, -2, math.inf, -math.inf, "nuc"):
        result = _matrix_norm(x, ord, *axes)
    elif len(axes) in (1, 2):
        known = "a vector is a number" if len(axes) == 1 else "a matrix is 1, -1, 2, -2, inf, -inf, 'fro', 'nuc' or None"
        raise ValueError(f"norm: the ord of {known}. " + received(x=x, ord=ord, axis=axis))
    else:
        which = f"norm: with ord it is over one axis (vectors) or two (matrices); this has {len(axes)}. "
        raise ShapeError(which + received(x=x, ord=ord, axis=axis))
    return result if keepdims else reshape(result, tuple([n for i, n in enumerate(x.shape) if i not in axes]))

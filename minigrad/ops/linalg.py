"""Products of matrices."""

import functools

import numpy as np

from .. import kernels
from ..core import op, values
from ..errors import ShapeError, received
from .axes import axes_of, one_axis
from .broadcasting import promote, sum_to
from .elementwise import add, multiply, subtract
from .indexing import check_rank, getitem
from .joining import stack
from .reduce import sum
from .samples import ErrorSample, Sample, normal, strided
from .shape import diagonal, expand_dims, moveaxis, reshape, squeeze

__all__ = [
    "addmm", "bmm", "cross", "kron", "linear", "matmul", "mv", "outer", "trace", "vdot", "vecdot",
]  # fmt: skip


def mT(x):
    """The last two axes exchanged.   (..., m, n) -> (..., n, m)"""
    return x.mT


def _check_broadcast(name, x, y, own, which):
    """Raises ShapeError unless all axes but the last ``own`` ones broadcast."""
    try:
        np.broadcast_shapes(x.shape[: x.ndim - own], y.shape[: y.ndim - own])
    except ValueError:
        raise ShapeError(f"{name}: the axes {which} do not broadcast. " + received(x=x, y=y)) from None


def _matmul_samples(rng):
    yield Sample((normal(rng, 2, 3), normal(rng, 3, 4)))
    yield Sample((normal(rng, 5, 2, 3), normal(rng, 5, 3, 4)), note="batch")
    yield Sample((normal(rng, 5, 1, 2, 3), normal(rng, 6, 3, 4)), note="broadcast batch")
    yield Sample((normal(rng, 3, 2).T, strided(rng, 3, 4)), note="strided")
    yield Sample((normal(rng, 0, 3), normal(rng, 3, 4)), note="0-size")
    yield Sample((normal(rng, 2, 0), normal(rng, 0, 4)), note="inner axis of length 0")


def _matmul_errors(name):
    return lambda: [
        ErrorSample((np.ones((2, 3)), np.ones((4, 5))), {}, ShapeError, rf"{name}.*3 columns.*4 rows.*\(2, 3\).*\(4, 5\)"),
        ErrorSample((np.ones((2, 3, 4)), np.ones((5, 4, 6))), {}, ShapeError, rf"{name}.*do not broadcast.*\(2, 3, 4\)"),
    ]


@op(linear=(0, 1), reference=np.matmul, samples=_matmul_samples, method=False, errors=_matmul_errors("matmul"))  # fmt: skip
def matrix_product(x, y, /, precision=None):
    """Matrix product over the last two axes; the axes before broadcast.   (..., m, k), (..., k, n) -> (..., m, n)

    The products in its gradients have the same ``precision``; without one, each has that of `settings.matmul_precision` at its time.

    >>> import numpy as np
    >>> matrix_product(np.eye(2), np.array([[1.0], [2.0]]))
    array([[1.],
           [2.]])
    """
    if x.shape[-1] != y.shape[-2]:
        raise ShapeError(
            f"matmul: the inner axes differ: {x.shape[-1]} columns on the left, {y.shape[-2]} rows on the right. If one of them is "
            "the wrong way round, swap its axes with .mT. " + received(x=x, y=y)
        )
    if x.shape[:-2] != y.shape[:-2]:
        _check_broadcast("matmul", x, y, 2, "before the last two")
    return kernels.matmul(x, y, precision)


matrix_product.op.prepare = functools.partial(promote, floating=False)


@matrix_product.vjp
def _(g, _, x, y, precision, wanted):
    dx = _like(x, matrix_product(g, mT(y), precision)) if wanted[0] else None  # (.. m n)(.. n k) -> (.. m k)
    dy = _like(y, _laid_out_as(y, x, g, precision)) if wanted[1] else None  # (.. k m)(.. m n) -> (.. k n)
    return dx, dy


def _laid_out_as(w, x, g, precision=None):
    """The gradient xT g of a matrix w; laid out as w, if that is a transpose.   (.., m, k), (.., m, n) -> (.., k, n)"""
    if w.ndim == 2 and values(w).flags.f_contiguous and not values(w).flags.c_contiguous:
        return mT(matrix_product(mT(g), x, precision))  # (n m)(m k) -> (n k) -> (k n)
    return matrix_product(mT(x), g, precision)


def _like(x, product):
    """A gradient with the leading axes added up along which x was broadcast."""
    return product if product.shape == x.shape else sum_to(product, x.shape)


@op(composed=True, numpy=np.matmul, reference=np.matmul, linear=(0, 1), samples=lambda rng: [
    Sample((normal(rng, 2, 3), normal(rng, 3, 4))), Sample((normal(rng, 3), normal(rng, 3))),
    Sample((normal(rng, 5, 2, 3), normal(rng, 3)), note="a vector on the right"),
    Sample((normal(rng, 3), strided(rng, 5, 3, 4)), note="a strided vector on the left"),
    Sample((normal(rng, 0, 2, 3), normal(rng, 3)), note="0-size"),
], errors=lambda: [
    *_matmul_errors("matmul")(),
    ErrorSample((np.ones((2, 3)), np.ones(())), {}, ShapeError, r"matmul: y needs at least 1 axes.*\(\)"),
])  # fmt: skip
def matmul(x, y, /):
    """Matrix product as NumPy's: vectors are rows on the left, columns on the right.   (..., m, k), (..., k, n) -> (..., m, n)

    Raises ShapeError where the inner axes differ.

    >>> import numpy as np
    >>> matmul(np.array([[1.0, 2.0]]), np.array([3.0, 4.0]))
    array([11.])
    """
    ranks = getattr(x, "ndim", 0), getattr(y, "ndim", 0)
    if min(ranks) > 1:
        return matrix_product(x, y)
    check_rank("matmul", x, 1, "x")
    check_rank("matmul", y, 1, "y")
    row, column = ranks[0] == 1, ranks[1] == 1
    if row:
        x = expand_dims(x, 0)  # (k) -> (1, k)
    if column:
        y = expand_dims(y, 1)  # (k) -> (k, 1)
    out = matrix_product(x, y)
    if row:
        out = squeeze(out, -2)  # (.., 1, n) -> (.., n)
    if column:
        out = squeeze(out, -1)  # (.., m, 1) -> (.., m)
    return out


def check_linear(name, x, w, b):
    """Raises ShapeError unless x (..., k), w (k, n) and b (n) fit together."""
    if w.ndim != 2 or x.ndim < 1 or x.shape[-1] != w.shape[0]:
        raise ShapeError(
            f"{name}: x has {x.shape[-1] if x.ndim else 'no'} features, w {w.shape[0] if w.ndim else 'no'} rows; w must be a matrix "
            "(features in, features out). " + received(x=x, w=w)
        )
    if b is not None and b.shape != (w.shape[1],):
        raise ShapeError(f"{name}: the bias needs one number for each of the {w.shape[1]} columns of w. " + received(w=w, b=b))


@op(samples=lambda rng: [
    Sample((normal(rng, 2, 3, 4), normal(rng, 4, 5), normal(rng, 5))), Sample((normal(rng, 3, 4), normal(rng, 4, 5))),
    Sample((strided(rng, 3, 4), normal(rng, 5, 4).T, normal(rng, 5)), note="strided"),
    Sample((normal(rng, 0, 4), normal(rng, 4, 5), normal(rng, 5)), note="0-size"),
], reference=lambda x, w, b=None: np.matmul(x, w) + (0 if b is None else b), method=False, errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones((4, 5))), {}, ShapeError, r"linear.*3 features.*4 rows.*\(2, 3\).*\(4, 5\)"),
    ErrorSample((np.ones((2, 4)), np.ones((4, 5)), np.ones(4)), {}, ShapeError, r"linear.*5 columns.*\(4,\)"),
])  # fmt: skip
def linear(x, w, b=None, /):
    """x w + b for every row of x.   (..., k), (k, n), (n) -> (..., n)

    The matrix is stored as Keras stores it, input features in the rows; PyTorch's ``weight`` is its transpose.
    Raises ShapeError where the features do not fit the matrix or the bias.

    >>> import numpy as np
    >>> linear(np.array([[1.0, 2.0]]), np.eye(2), np.array([10.0, 20.0]))
    array([[11., 22.]])
    """
    check_linear("linear", x, w, b)
    return kernels.linear(x, w, b)


linear.op.prepare = functools.partial(promote, floating=True)


@linear.vjp
def _(g, _, x, w, b, wanted):
    return kernels.linear_grad([g], x, [w], wanted)


@linear.composite
def _(x, w, b):
    y = matmul(x, w)
    return y if b is None else add(y, b)


# ------------------------------------------------------------------------------- products with a stated number of axes


def _needs_rank(name, rank, **arrays):
    """Raises ShapeError unless every array has exactly ``rank`` axes."""
    for what, x in arrays.items():
        if np.ndim(x) != rank:
            axes = "1 axis" if rank == 1 else f"{rank} axes"
            raise ShapeError(f"{name}: {what} needs exactly {axes}; matmul takes any number and broadcasts. " + received(**arrays))


@op(composed=True, reference=np.matmul, linear=(0, 1), samples=lambda rng: [
    Sample((normal(rng, 5, 2, 3), normal(rng, 5, 3, 4))), Sample((strided(rng, 5, 2, 3), normal(rng, 5, 3, 1)), note="strided"),
    Sample((normal(rng, 0, 2, 3), normal(rng, 0, 3, 4)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones((3, 4))), {}, ShapeError, r"bmm: x needs exactly 3 axes.*\(2, 3\).*\(3, 4\)"),
    ErrorSample((np.ones((2, 3, 4)), np.ones((5, 4, 6))), {}, ShapeError, r"bmm: .* 2 matrices .* 5.*\(2, 3, 4\)"),
])  # fmt: skip
def bmm(x, y, /):
    """Product of two batches of matrices, pair by pair; nothing broadcasts.   (b, m, k), (b, k, n) -> (b, m, n)

    >>> import numpy as np
    >>> bmm(np.ones((2, 1, 3)), np.full((2, 3, 1), 4.0))[:, 0, 0]
    array([12., 12.])
    """
    _needs_rank("bmm", 3, x=x, y=y)
    if x.shape[0] != y.shape[0]:
        raise ShapeError(f"bmm: a batch of {x.shape[0]} matrices on the left, of {y.shape[0]} on the right. " + received(x=x, y=y))
    return matrix_product(x, y)


@op(composed=True, reference=np.matmul, linear=(0, 1), samples=lambda rng: [
    Sample((normal(rng, 2, 3), normal(rng, 3))), Sample((normal(rng, 3, 2).T, strided(rng, 3)), note="strided"),
    Sample((normal(rng, 0, 3), normal(rng, 3)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones((3, 1))), {}, ShapeError, r"mv: y needs exactly 1 axis.*\(3, 1\)"),
    ErrorSample((np.ones((2, 3)), np.ones(2)), {}, ShapeError, r"mv: .* 3 columns.* 2 elements.*\(2, 3\)"),
])  # fmt: skip
def mv(x, y, /):
    """A matrix times a vector.   (m, k), (k) -> (m)

    >>> import numpy as np
    >>> mv(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 10.0]))
    array([21., 43.])
    """
    _needs_rank("mv", 2, x=x)
    _needs_rank("mv", 1, y=y)
    if x.shape[1] != y.shape[0]:
        raise ShapeError(f"mv: the matrix has {x.shape[1]} columns, the vector {y.shape[0]} elements. " + received(x=x, y=y))
    return matmul(x, y)


@op(composed=True, reference=lambda b, x, y, beta=1, alpha=1: beta * b + alpha * np.matmul(x, y), samples=lambda rng: [
    Sample((normal(rng, 2, 4), normal(rng, 2, 3), normal(rng, 3, 4))),
    Sample((normal(rng, 4), strided(rng, 2, 3), normal(rng, 3, 4)), {"beta": 0.5, "alpha": -2.0}, note="strided, b broadcast"),
    Sample((normal(rng, 2, 1), normal(rng, 2, 0), normal(rng, 0, 4)), note="inner axis of length 0"),
], errors=lambda: [
    ErrorSample((np.ones(4), np.ones((1, 2, 3)), np.ones((3, 4))), {}, ShapeError, r"addmm: x needs exactly 2 axes.*\(1, 2, 3\)"),
    ErrorSample((np.ones(5), np.ones((2, 3)), np.ones((3, 4))), {}, ShapeError, r"addmm: b .*\(2, 4\).*b \(5,\)"),
    ErrorSample((np.ones(4), np.ones((2, 3)), np.ones((2, 4))), {}, ShapeError, r"addmm: .*3 columns.*2 rows.*\(2, 3\)"),
])  # fmt: skip
def addmm(b, x, y, /, beta=1, alpha=1):
    """beta b + alpha (x y), where b broadcasts to the product; with beta 0 it is not looked at.   (m, n), (m, k), (k, n) -> (m, n)

    >>> import numpy as np
    >>> addmm(np.array([1.0, 2.0]), np.eye(2), np.eye(2), alpha=10)
    array([[11.,  2.],
           [ 1., 12.]])
    """
    _needs_rank("addmm", 2, x=x, y=y)
    if x.shape[1] != y.shape[0]:
        raise ShapeError(f"addmm: x has {x.shape[1]} columns, y {y.shape[0]} rows. " + received(b=b, x=x, y=y))
    product, rows = matrix_product(x, y), (x.shape[0], y.shape[1])
    if np.ndim(b) > 2 or any([n not in (1, m) for n, m in zip(np.shape(b)[::-1], rows[::-1])]):
        raise ShapeError(f"addmm: b does not broadcast to the shape of the product, {rows}. " + received(b=b, x=x, y=y))
    product = product if alpha == 1 else multiply(product, alpha)
    if beta == 0:
        return product
    return add(b if beta == 1 else multiply(b, beta), product)


# -------------------------------------------------------------------------------------------------- products of vectors


@op(composed=True, numpy=np.outer, reference=np.outer, linear=(0, 1), samples=lambda rng: [
    Sample((normal(rng, 3), normal(rng, 4))), Sample((normal(rng, 2, 3), strided(rng, 2)), note="strided"),
    Sample((normal(rng), normal(rng, 3)), note="0-d"), Sample((normal(rng, 0), normal(rng, 3)), note="0-size"),
])  # fmt: skip
def outer(x, y, /):
    """Every element of x times every element of y, both in a row.   (m), (n) -> (m, n)

    >>> import numpy as np
    >>> outer(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    array([[3., 4.],
           [6., 8.]])
    """
    return multiply(reshape(x, (-1, 1)), reshape(y, (1, -1)))  # (m, 1), (1, n) -> (m, n)


@op(composed=True, numpy=np.vecdot, reference=np.vecdot, linear=(0, 1), samples=lambda rng: [
    Sample((normal(rng, 2, 3), normal(rng, 2, 3))), Sample((normal(rng, 4, 1, 3), strided(rng, 2, 3)), note="strided, broadcast"),
    Sample((normal(rng, 3, 2), normal(rng, 3, 1)), {"axis": 0}, note="another axis"),
    Sample((normal(rng, 0, 3), normal(rng, 3)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones((2, 4))), {}, ShapeError, r"vecdot: .* 3 elements .* 4.*\(2, 3\).*\(2, 4\)"),
    ErrorSample((np.ones((2, 3)), np.ones(3)), {"axis": 2}, ShapeError, r"vecdot: axis 2 is out of range.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), np.ones((4, 3))), {}, ShapeError, r"vecdot: .*do not broadcast.*\(2, 3\).*\(4, 3\)"),
])  # fmt: skip
def vecdot(x, y, /, axis=-1):
    """Sum of the products of the elements along an axis; the other axes broadcast.   (..., n), (..., n) -> (...)

    >>> import numpy as np
    >>> vecdot(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([10.0, 1.0]))
    array([12., 34.])
    """
    x, y = [moveaxis(v, one_axis("vecdot", v, axis), -1) for v in (x, y)]  # (.. n ..) -> (..., n)
    if x.shape[-1] != y.shape[-1]:
        raise ShapeError(f"vecdot: vectors of {x.shape[-1]} elements on the left, of {y.shape[-1]} on the right. " + received(x=x, y=y))
    _check_broadcast("vecdot", x, y, 1, "other than the vectors'")
    return sum(multiply(x, y), -1)


@op(composed=True, numpy=np.vdot, reference=np.vdot, linear=(0, 1), samples=lambda rng: [
    Sample((normal(rng, 2, 3), normal(rng, 6))), Sample((strided(rng, 2, 3), normal(rng, 2, 3)), note="strided"),
    Sample((normal(rng), normal(rng)), note="0-d"), Sample((normal(rng, 0), normal(rng, 0)), note="0-size"),
], errors=lambda: [ErrorSample((np.ones((2, 3)), np.ones(4)), {}, ShapeError, r"vdot: 6 elements .* 4.*\(2, 3\).*\(4,\)")])  # fmt: skip
def vdot(x, y, /):
    """Sum of the products of all elements, each tensor in a row.   (n), (n) -> ()

    >>> import numpy as np
    >>> vdot(np.array([[1.0, 2.0]]), np.array([3.0, 4.0]))
    array(11.)
    """
    if np.size(x) != np.size(y):
        raise ShapeError(f"vdot: {np.size(x)} elements on the left, {np.size(y)} on the right. " + received(x=x, y=y))
    return sum(multiply(reshape(x, (-1,)), reshape(y, (-1,))))


@op(composed=True, numpy=np.cross, reference=np.cross, linear=(0, 1), samples=lambda rng: [
    Sample((normal(rng, 2, 3), normal(rng, 2, 3))), Sample((normal(rng, 4, 1, 3), strided(rng, 2, 3)), note="strided, broadcast"),
    Sample((normal(rng, 3, 2), normal(rng, 3, 1)), {"axis": 0}, note="another axis"),
    Sample((normal(rng, 0, 3), normal(rng, 3)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 4)), np.ones((2, 3))), {}, ShapeError, r"cross: .*3 elements.* 4 .* 3.*\(2, 4\)"),
    ErrorSample((np.ones((2, 3)), np.ones(3)), {"axis": -3}, ShapeError, r"cross: axis -3 is out of range.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), np.ones((4, 3))), {}, ShapeError, r"cross: .*do not broadcast.*\(2, 3\).*\(4, 3\)"),
])  # fmt: skip
def cross(x, y, /, axis=-1):
    """Vector product of vectors with three elements along an axis; the other axes broadcast.   (..., 3), (..., 3) -> (..., 3)

    >>> import numpy as np
    >>> cross(np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]))
    array([0., 0., 1.])
    """
    x, y = [moveaxis(v, one_axis("cross", v, axis), -1) for v in (x, y)]  # (.. 3 ..) -> (..., 3)
    if not x.shape[-1] == y.shape[-1] == 3:
        raise ShapeError(f"cross: vectors need 3 elements, not {x.shape[-1]} and {y.shape[-1]}. " + received(x=x, y=y, axis=axis))
    _check_broadcast("cross", x, y, 1, "other than the vectors'")
    (x0, x1, x2), (y0, y1, y2) = [[getitem(v, (..., i)) for i in range(3)] for v in (x, y)]
    pairs = ((x1, y2, x2, y1), (x2, y0, x0, y2), (x0, y1, x1, y0))
    rows = [subtract(multiply(a, b), multiply(c, d)) for a, b, c, d in pairs]
    return stack(rows, axis)  # 3 of (...) -> (.. 3 ..)


# ---------------------------------------------------------------------------------------------------- whole matrices


@op(composed=True, numpy=np.kron, reference=np.kron, linear=(0, 1), samples=lambda rng: [
    Sample((normal(rng, 2, 3), normal(rng, 4, 5))), Sample((normal(rng, 3), normal(rng, 2, 4)), note="fewer axes on the left"),
    Sample((strided(rng, 2, 3), normal(rng, 2)), note="strided"), Sample((normal(rng), normal(rng, 2)), note="0-d"),
    Sample((normal(rng, 0, 2), normal(rng, 3, 1)), note="0-size"),
])  # fmt: skip
def kron(x, y, /):
    """Kronecker product: a copy of y, multiplied, for every element of x.   (m, n), (p, q) -> (m p, n q)

    >>> import numpy as np
    >>> kron(np.array([1.0, 10.0]), np.array([1.0, 2.0]))
    array([ 1.,  2., 10., 20.])
    """
    rank = max(np.ndim(x), np.ndim(y))
    first, second = [(1,) * (rank - np.ndim(v)) + np.shape(v) for v in (x, y)]
    x = reshape(x, tuple([n for m in first for n in (m, 1)]))  # (m, n) -> (m, 1, n, 1)
    y = reshape(y, tuple([n for p in second for n in (1, p)]))  # (p, q) -> (1, p, 1, q)
    return reshape(multiply(x, y), tuple([m * p for m, p in zip(first, second)]))  # (m, p, n, q) -> (m p, n q)


@op(composed=True, numpy=np.trace, reference=np.trace, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 3, 4),)), Sample((normal(rng, 3, 4), -1)), Sample((normal(rng, 2, 3, 4), 1, 0, -1)),
    Sample((strided(rng, 3, 4, 2), 0, 1, 0), note="strided"), Sample((normal(rng, 0, 3),), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones(3),), {}, ShapeError, r"trace: x needs at least 2 axes.*\(3,\)"),
    ErrorSample((np.ones((2, 3)), 0, 0, 2), {}, ShapeError, r"trace: axis 2 is out of range.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), 0, 1, -1), {}, ShapeError, r"trace: an axis is named twice.*\(2, 3\)"),
])  # fmt: skip
def trace(x, /, offset=0, axis1=0, axis2=1):
    """Sum of the diagonal of two axes; ``offset`` counts diagonals to the right of the main one.   (.. n .. n ..) -> (...)

    >>> import numpy as np
    >>> trace(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array(5.)
    """
    check_rank("trace", x, 2)
    return sum(diagonal(x, offset, *axes_of("trace", x, (axis1, axis2))), -1)

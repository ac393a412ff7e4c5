"""Products of matrices."""

import numpy as np

from .. import kernels
from ..core import op
from ..errors import ShapeError, received
from .broadcasting import promote, sum_to
from .indexing import check_rank
from .samples import ErrorSample, Sample, normal, strided
from .shape import expand_dims, reshape, squeeze, swapaxes

__all__ = [
    "linear", "matmul",
]  # fmt: skip


def _matmul_samples(rng):
    yield Sample((normal(rng, 2, 3), normal(rng, 3, 4)))
    yield Sample((normal(rng, 5, 2, 3), normal(rng, 5, 3, 4)), note="batch")
    yield Sample((normal(rng, 5, 1, 2, 3), normal(rng, 6, 3, 4)), note="broadcast batch")
    yield Sample((normal(rng, 3, 2).T, strided(rng, 3, 4)), note="strided")
    yield Sample((normal(rng, 0, 3), normal(rng, 3, 4)), note="0-size")
    yield Sample((normal(rng, 2, 0), normal(rng, 0, 4)), note="inner axis of length 0")


@op(linear=(0, 1), reference=np.matmul, samples=_matmul_samples, method=False, errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones((4, 5))), {}, ShapeError, r"matmul.*3 columns.*4 rows.*\(2, 3\).*\(4, 5\)"),
])  # fmt: skip
def matrix_product(x, y, /):
    """Matrix product over the last two axes; the axes before broadcast.   (..., m, k), (..., k, n) -> (..., m, n)

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
    try:
        np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ValueError:
        raise ShapeError("matmul: the axes before the last two do not broadcast. " + received(x=x, y=y)) from None
    return kernels.matmul(*promote((x, y), floating=False))


@matrix_product.vjp
def _(g, _, x, y, wanted):
    dx = sum_to(matrix_product(g, swapaxes(y, -1, -2)), x.shape) if wanted[0] else None  # (.. m n)(.. n k) -> (.. m k)
    dy = sum_to(matrix_product(swapaxes(x, -1, -2), g), y.shape) if wanted[1] else None  # (.. k m)(.. m n) -> (.. k n)
    return dx, dy


def matmul(x, y):
    """Matrix product as NumPy's: vectors are rows on the left, columns on the right.   (..., m, k), (..., k, n) -> (..., m, n)

    Raises ShapeError where the inner axes differ.

    >>> import numpy as np
    >>> matmul(np.array([[1.0, 2.0]]), np.array([3.0, 4.0]))
    array([11.])
    """
    check_rank("matmul", x, 1, "x")
    check_rank("matmul", y, 1, "y")
    row, column = x.ndim == 1, y.ndim == 1
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
    if w.ndim != 2 or x.ndim < 1 or x.shape[-1] != w.shape[0]:
        raise ShapeError(
            f"linear: x has {x.shape[-1] if x.ndim else 'no'} features, w {w.shape[0] if w.ndim else 'no'} rows; w must be a matrix "
            "(features in, features out). " + received(x=x, w=w)
        )
    if b is not None and b.shape != (w.shape[1],):
        raise ShapeError(f"linear: the bias needs one number for each of the {w.shape[1]} columns of w. " + received(w=w, b=b))
    arrays = promote((x, w) if b is None else (x, w, b), floating=True)
    return kernels.linear(*arrays)


@linear.vjp
def _(g, _, x, w, b, wanted):
    k, n = w.shape
    rows = reshape(g, (-1, n)) if g.size else reshape(g, (0, n))  # (..., n) -> (rows, n)
    dx = linear(g, swapaxes(w, 0, 1)) if wanted[0] else None
    dw = matrix_product(swapaxes(reshape(x, (rows.shape[0], k)), 0, 1), rows) if wanted[1] else None  # (k rows)(rows n) -> (k n)
    db = sum_to(rows, (n,)) if wanted[2] else None
    return dx, dw, db

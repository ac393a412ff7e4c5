"""Linear algebra under NumPy's names: ``minigrad.linalg.inv(x)``. The axes before the last two are a batch. Written by python -m minigrad stubs; changes belong into the ops."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .tensor import Tensor
from minigrad.errors import LinAlgError as LinAlgError

__all__ = [
    "LinAlgError", "cholesky", "det", "eigh", "inv", "matrix_power", "norm", "pinv", "qr", "slogdet", "solve", "svd",
]

TensorLike = Tensor | npt.NDArray[Any] | np.generic | float | Sequence[Any]
Axes = int | Sequence[int] | None
Shape = int | Sequence[int]

def cholesky(x: TensorLike) -> Tensor:
    """The lower triangular l with l l^T = x, for symmetric positive definite x.   (..., n, n) -> (..., n, n)

    Both triangles count: (x + x^T) / 2 is decomposed, so the gradient is symmetric.
    Raises LinAlgError where a matrix is not positive definite.
    """

def det(x: TensorLike) -> Tensor:
    """Determinant; the gradient is right for singular matrices too.   (..., n, n) -> (...)"""

def eigh(x: TensorLike) -> tuple[Tensor, Tensor]:
    """Eigenvalues of symmetric matrices, rising, and the eigenvectors as columns: x v = v w.   (..., n, n) -> (..., n), (..., n, n)

    Both triangles count: (x + x^T) / 2 is decomposed, so the gradient is symmetric. The first of the largest elements of
    every eigenvector is positive. Vectors of equal eigenvalues have no gradient: asking for it raises GradientError.
    """

def inv(x: TensorLike) -> Tensor:
    """The inverse of square matrices.   (..., n, n) -> (..., n, n)

    Raises LinAlgError for a singular matrix, ShapeError where the matrices are not square.
    """

def matrix_power(x: TensorLike, n: Any = ..., *, chunks: Any = ..., indices_or_sections: Any = ...) -> Tensor:
    """The product of n copies of square matrices; of the inverse for negative n, the identity for 0.   (..., m, m) -> (..., m, m)

    Raises LinAlgError for a negative power of a singular matrix.
    """

def pinv(x: TensorLike, rcond: Any = None) -> Tensor:
    """Pseudo-inverse (Moore and Penrose): of matrices of any shape and rank.   (..., m, n) -> (..., n, m)

    Singular values up to ``rcond`` times the largest count as 0; by default max(m, n) times the precision of the dtype.
    The gradient is that along matrices of the same rank: where the rank is not full there is no other.
    """

def qr(x: TensorLike) -> tuple[Tensor, Tensor]:
    """q with orthonormal columns and upper triangular r, with q r = x.   (..., m, n) -> (..., m, k), (..., k, n) for k = min(m, n)

    The gradient needs linearly independent columns, the first m of them where there are more columns than rows; else
    it raises GradientError.
    """

def slogdet(x: TensorLike) -> tuple[Tensor, Tensor]:
    """The sign of the determinant and the logarithm of its absolute value, without overflow.   (..., n, n) -> (...), (...)

    A singular matrix has the sign 0 and the logarithm -infinity, without a gradient: asking for it raises GradientError.
    """

def solve(a: TensorLike, b: TensorLike) -> Tensor:
    """The x for which a x = b, where b is one vector or matrices of columns.   (..., n, n), (..., n, k) -> (..., n, k)

    b with one axis is a vector: (..., n, n), (n) -> (..., n).
    Raises LinAlgError for a singular matrix, ShapeError where a is not square or b has not as many rows.
    """

def svd(x: TensorLike, full_matrices: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Singular values: u diag(s) vt = x, with s falling.   (..., m, n) -> (..., m, k), (..., k), (..., k, n) for k = min(m, n)

    u has orthonormal columns, vt orthonormal rows; the first of the largest elements of every column of u is positive. Only
    this reduced form is offered (NumPy's default is the full one), for the rest of a full u is not determined by x.
    Vectors of equal singular values, and of 0 where x is not square, have none either: asking for it raises GradientError.
    """

def norm(x: TensorLike, ord: Any = None, axis: Axes = None, keepdims: bool = False, *, p: Any = ..., dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Length of a vector, (sum |x|^ord)^(1 / ord), or norm of a matrix, as NumPy's.   (...) -> (... without axis)

    Without ``ord`` the square root of the sum of squares, over all axes or those given. Over one axis ``ord`` is a number,
    or infinity for the largest element, 0 for how many are not 0. Over two it is "fro", "nuc" (the sum of the
    singular values), 2 or -2 (the largest, the smallest), 1 or infinity (the largest sum of a column, of a row).
    Where the norm is 0 its gradient is 0.
    Raises ShapeError for another number of axes, ValueError for another ``ord``.
    """

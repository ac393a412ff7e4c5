"""Functions that make a Tensor from numbers, from other arrays, or from nothing. Written by python -m minigrad stubs; changes belong into the ops."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .tensor import Tensor

__all__ = [
    "arange", "asarray", "empty", "eye", "from_dlpack", "from_numpy", "full", "full_like", "linspace", "one_hot",
    "ones", "ones_like", "rand", "rand_like", "randint", "randn", "randn_like", "tensor", "tri", "zeros", "zeros_like",
]

TensorLike = Tensor | npt.NDArray[Any] | np.generic | float | Sequence[Any]
Axes = int | Sequence[int] | None
Shape = int | Sequence[int]

def tensor(data: Any, requires_grad: bool = False, dtype: npt.DTypeLike | None = None) -> Tensor:
    """A Tensor with a copy of ``data``: numbers, nested lists or an array.   (...) -> (...)"""

def from_numpy(array: Any) -> Tensor:
    """A Tensor that shares the memory of ``array``: changing the array changes the tensor.   (...) -> (...)"""

def asarray(data: Any, dtype: npt.DTypeLike | None = None, copy: Any = None) -> Tensor:
    """``data`` as a Tensor: without a copy where that is possible, always with one if ``copy``.   (...) -> (...)"""

def from_dlpack(x: Any) -> Tensor:
    """A Tensor that shares memory with an array of another library, by the DLPack protocol.   (...) -> (...)

    Raises DtypeError for an element type that NumPy does not have.
    """

def full(shape: Shape, value: Any, dtype: npt.DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor of one value.   -> shape"""

def zeros(*shape: Shape, dtype: npt.DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the default dtype; the shape as a tuple or as numbers.   -> shape"""

def ones(*shape: Shape, dtype: npt.DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Ones of the default dtype; the shape as a tuple or as numbers.   -> shape"""

def empty(*shape: Shape, dtype: npt.DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor whose values are not to be relied on; as tensors are immutable, they are zeros here.   -> shape"""

def full_like(x: Any, value: Any, dtype: npt.DTypeLike | None = None) -> Tensor:
    """One value in the shape and dtype of ``x``.   (...) -> (...)"""

def zeros_like(x: Any, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Zeros with the shape and dtype of ``x``.   (...) -> (...)"""

def ones_like(x: Any, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Ones with the shape and dtype of ``x``.   (...) -> (...)"""

def arange(*bounds: Any, dtype: npt.DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Numbers from start to before stop in steps: ``arange(stop)``, ``arange(start, stop)``, ``arange(start, stop, step)``.   -> (n)

    Integers give int64, floats the default dtype.
    """

def linspace(start: Any, stop: Any, num: int = 50, dtype: npt.DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """``num`` numbers at equal distances, both ends included.   -> (num)"""

def eye(rows: Any, columns: Any = None, k: int = 0, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Ones on diagonal ``k``, zeros elsewhere.   -> (rows, columns)"""

def tri(rows: Any, columns: Any = None, k: int = 0, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Ones on and below diagonal ``k``, zeros above it.   -> (rows, columns)"""

def one_hot(ids: Any, count: Any, dtype: npt.DTypeLike | None = None) -> Tensor:
    """A row per id with 1 at the id's place and 0 elsewhere.   (...) -> (..., count)

    Raises IndexError for an id outside 0 .. count - 1.
    """

def rand(*shape: Shape, dtype: npt.DTypeLike | None = None, requires_grad: bool = False, generator: Any = None) -> Tensor:
    """Random numbers, uniform in [0, 1), from ``generator`` or the current one.   -> shape"""

def randn(*shape: Shape, dtype: npt.DTypeLike | None = None, requires_grad: bool = False, generator: Any = None) -> Tensor:
    """Random numbers, normal with mean 0 and variance 1, from ``generator`` or the current one.   -> shape"""

def rand_like(x: Any, generator: Any = None) -> Tensor:
    """`rand` in the shape and dtype of ``x``.   (...) -> (...)"""

def randn_like(x: Any, generator: Any = None) -> Tensor:
    """`randn` in the shape and dtype of ``x``.   (...) -> (...)"""

def randint(low: Any, high: Any = None, shape: Shape = ..., dtype: npt.DTypeLike = ..., generator: Any = None) -> Tensor:
    """Random integers from ``low`` to before ``high``, from ``generator`` or the current one.   -> shape

    With one bound the integers begin at 0: ``randint(high)``, ``randint(high, shape)``.
    Raises ValueError where there is nothing to draw from.
    """

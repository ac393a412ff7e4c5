"""Functions that make a Tensor from numbers, from other arrays, or from nothing."""

import numpy as np

from . import ops, random, settings
from .core import as_array, wrap
from .errors import DtypeError, ShapeError, received
from .tensor import Tensor

__all__ = [
    "arange", "asarray", "empty", "eye", "from_dlpack", "from_numpy", "full", "full_like", "linspace", "one_hot", "ones",
    "ones_like", "rand", "rand_like", "randint", "randn", "randn_like", "tensor", "tri", "zeros", "zeros_like",
]  # fmt: skip


def _made(array, requires_grad=False):
    made = wrap(array)
    made.requires_grad = requires_grad
    return made


def _shape(name, shape):
    """A shape given as one tuple or as numbers, as a tuple of ints."""
    lengths = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    if not all(isinstance(n, int | np.integer) and n >= 0 for n in lengths):
        raise ShapeError(f"{name}: a shape is made of whole numbers from 0. " + received(shape=lengths))
    return tuple(int(n) for n in lengths)


def _dtype(name, dtype, default, floating=False):
    """The element type that is asked for, else ``default``; raises DtypeError for one that a Tensor cannot have."""
    dtype = np.dtype(default if dtype is None else dtype)
    if dtype.kind not in ("f" if floating else "fiub"):
        raise DtypeError(f"{name}: elements must be {'floating numbers' if floating else 'numbers or booleans'}. Received: dtype {dtype}.")
    return dtype


def _generator(name, generator):
    """The generator that was given, else the current one."""
    if generator is None:
        return random.current()
    if not isinstance(generator, random.Generator):
        raise TypeError(f"{name}: generator is a minigrad.Generator. Received: {generator!r:.60}.")
    return generator


# ----------------------------------------------------------------------------------------------------- from what is there


def tensor(data, requires_grad=False, dtype=None):
    """A Tensor with a copy of ``data``: numbers, nested lists or an array.   (...) -> (...)

    >>> tensor([[1.0, 2.0], [3.0, 4.0]]).shape
    (2, 2)
    """
    return Tensor(data, requires_grad, dtype)


def from_numpy(array):
    """A Tensor that shares the memory of ``array``: changing the array changes the tensor.   (...) -> (...)

    >>> from_numpy(np.arange(3.0)).dtype
    dtype('float64')
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: needs a NumPy array; tensor() takes anything. Received: {type(array).__name__}.")
    return wrap(as_array(array))


def asarray(data, dtype=None, copy=None):
    """``data`` as a Tensor: without a copy where that is possible, always with one if ``copy``.   (...) -> (...)

    >>> asarray([1, 2]).dtype
    dtype('int64')
    """
    if isinstance(data, Tensor):  # in the graph it stays
        data = data.clone() if copy else data
        return data if dtype in (None, data.dtype) else ops.astype(data, dtype)
    return wrap(as_array(data, dtype, copy=bool(copy)))


def from_dlpack(x):
    """A Tensor that shares memory with an array of another library, by the DLPack protocol.   (...) -> (...)

    Raises DtypeError for an element type that NumPy does not have.

    >>> from_dlpack(np.arange(3.0))
    tensor([0., 1., 2.], dtype=float64)
    """
    if isinstance(x, Tensor):
        return x
    if not hasattr(x, "__dlpack__"):
        raise TypeError(f"from_dlpack: needs an array with __dlpack__; tensor() takes anything. Received: {type(x).__name__}.")
    try:
        return wrap(as_array(np.from_dlpack(x)))
    except (BufferError, RuntimeError) as error:
        raise DtypeError(f"from_dlpack: this array cannot be shared: {error}. " + received(x=x)) from None


# ------------------------------------------------------------------------------------------------------------- one value


def full(shape, value, dtype=None, requires_grad=False):
    """A tensor of one value.   -> shape

    >>> full((2,), 7.0)
    tensor([7., 7.])
    """
    shape, value = _shape("full", shape if isinstance(shape, tuple | list) else (shape,)), tensor(value, dtype=dtype)._data
    if value.shape[::-1] != tuple([n for n, m in zip(value.shape[::-1], shape[::-1]) if n in (1, m)]):  # NumPy's broadcasting
        raise ShapeError("full: the value does not fit the shape. " + received(shape=shape, value=value))
    return _made(np.full(shape, value), requires_grad)


def zeros(*shape, dtype=None, requires_grad=False):
    """Zeros of the default dtype; the shape as a tuple or as numbers.   -> shape

    >>> zeros(2, 3).shape
    (2, 3)
    """
    return full(_shape("zeros", shape), 0.0, dtype, requires_grad)


def ones(*shape, dtype=None, requires_grad=False):
    """Ones of the default dtype; the shape as a tuple or as numbers.   -> shape

    >>> ones((2,))
    tensor([1., 1.])
    """
    return full(_shape("ones", shape), 1.0, dtype, requires_grad)


def empty(*shape, dtype=None, requires_grad=False):
    """A tensor whose values are not to be relied on; as tensors are immutable, they are zeros here.   -> shape

    >>> empty(2, 3).shape
    (2, 3)
    """
    return full(_shape("empty", shape), 0.0, dtype, requires_grad)


def full_like(x, value, dtype=None):
    """One value in the shape and dtype of ``x``.   (...) -> (...)

    >>> full_like(tensor([1.0, 2.0]), 7)
    tensor([7., 7.])
    """
    x = as_array(x)
    return wrap(np.full(x.shape, as_array(value), _dtype("full_like", dtype, x.dtype)))


def zeros_like(x, dtype=None):
    """Zeros with the shape and dtype of ``x``.   (...) -> (...)

    >>> zeros_like(tensor([1.0, 2.0]))
    tensor([0., 0.])
    """
    return full_like(x, 0, dtype)


def ones_like(x, dtype=None):
    """Ones with the shape and dtype of ``x``.   (...) -> (...)

    >>> ones_like(tensor([1.0, 2.0]))
    tensor([1., 1.])
    """
    return full_like(x, 1, dtype)


# -------------------------------------------------------------------------------------------------------------- patterns


def arange(*bounds, dtype=None, requires_grad=False):
    """Numbers from start to before stop in steps: ``arange(stop)``, ``arange(start, stop)``, ``arange(start, stop, step)``.   -> (n)

    Integers give int64, floats the default dtype.

    >>> arange(3)
    tensor([0, 1, 2])
    """
    if not 1 <= len(bounds) <= 3:
        raise TypeError(f"arange: takes stop, or start and stop, or start, stop and step. Received: {len(bounds)} arguments.")
    if len(bounds) == 3 and bounds[2] == 0:
        raise ValueError("arange: a step of 0 never arrives. " + received(step=bounds[2]))
    numbers = np.arange(*bounds)
    default = settings.default_dtype() if numbers.dtype.kind == "f" else np.int64
    return _made(numbers.astype(_dtype("arange", dtype, default)), requires_grad)


def linspace(start, stop, num=50, dtype=None, requires_grad=False):
    """``num`` numbers at equal distances, both ends included.   -> (num)

    >>> linspace(0, 1, 5)
    tensor([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    if not isinstance(num, int | np.integer) or num < 0:
        raise ShapeError("linspace: the number of points is a whole number from 0. " + received(num=num))
    return _made(np.linspace(start, stop, num).astype(_dtype("linspace", dtype, settings.default_dtype())), requires_grad)


def eye(rows, columns=None, k=0, dtype=None):
    """Ones on diagonal ``k``, zeros elsewhere.   -> (rows, columns)

    >>> eye(2, 3, 1)
    tensor([[0., 1., 0.],
            [0., 0., 1.]])
    """
    rows, columns = _shape("eye", (rows, rows if columns is None else columns))
    return wrap(np.eye(rows, columns, k, _dtype("eye", dtype, settings.default_dtype())))


def tri(rows, columns=None, k=0, dtype=None):
    """Ones on and below diagonal ``k``, zeros above it.   -> (rows, columns)

    >>> tri(2, 3)
    tensor([[1., 0., 0.],
            [1., 1., 0.]])
    """
    rows, columns = _shape("tri", (rows, rows if columns is None else columns))
    return wrap(np.tri(rows, columns, k, _dtype("tri", dtype, settings.default_dtype())))


def one_hot(ids, count, dtype=None):
    """A row per id with 1 at the id's place and 0 elsewhere.   (...) -> (..., count)

    Raises IndexError for an id outside 0 .. count - 1.

    >>> one_hot(np.array([1, 0]), 3)
    tensor([[0., 1., 0.],
            [1., 0., 0.]])
    """
    (count,) = _shape("one_hot", (count,))
    ids = ops.check_ids("one_hot", as_array(ids), count, "ids")
    return wrap(np.eye(count, dtype=_dtype("one_hot", dtype, settings.default_dtype()))[ids])  # (count, count)[...] -> (..., count)


# ---------------------------------------------------------------------------------------------------------------- random


def rand(*shape, dtype=None, requires_grad=False, generator=None):
    """Random numbers, uniform in [0, 1), from ``generator`` or the current one.   -> shape

    >>> random.manual_seed(0)
    >>> x = rand(2, 3)
    >>> x.shape, 0 <= x.min().item() <= x.max().item() < 1
    ((2, 3), True)
    """
    dtype = _dtype("rand", dtype, settings.default_dtype(), floating=True)
    drawn = np.asarray(_generator("rand", generator).uniform(_shape("rand", shape))).astype(dtype)
    return _made(np.minimum(drawn, np.nextafter(dtype.type(1), dtype.type(0))), requires_grad)  # rounding may arrive at 1


def randn(*shape, dtype=None, requires_grad=False, generator=None):
    """Random numbers, normal with mean 0 and variance 1, from ``generator`` or the current one.   -> shape

    >>> randn(2, 3, generator=random.Generator(7)).tolist() == randn(2, 3, generator=random.Generator(7)).tolist()
    True
    """
    dtype = _dtype("randn", dtype, settings.default_dtype(), floating=True)
    return _made(np.asarray(_generator("randn", generator).normal(_shape("randn", shape))).astype(dtype), requires_grad)


def rand_like(x, generator=None):
    """`rand` in the shape and dtype of ``x``.   (...) -> (...)

    >>> rand_like(tensor([1.0, 2.0])).shape
    (2,)
    """
    x = as_array(x)
    return rand(x.shape, dtype=x.dtype, generator=generator)


def randn_like(x, generator=None):
    """`randn` in the shape and dtype of ``x``.   (...) -> (...)

    >>> randn_like(np.ones((2, 3))).dtype
    dtype('float64')
    """
    x = as_array(x)
    return randn(x.shape, dtype=x.dtype, generator=generator)


def randint(low, high=None, shape=(), dtype=np.int64, generator=None):
    """Random integers from ``low`` to before ``high``, from ``generator`` or the current one.   -> shape

    With one bound the integers begin at 0: ``randint(high)``, ``randint(high, shape)``.
    Raises ValueError where there is nothing to draw from.

    >>> x = randint(3, 5, (100,))
    >>> sorted(set(x.tolist()))
    [3, 4]
    """
    if isinstance(high, tuple | list):
        high, shape = None, high
    low, high = (0, low) if high is None else (low, high)
    if low >= high:
        raise ValueError("randint: high must be above low, for it is not among the numbers drawn. " + received(low=low, high=high))
    shape = _shape("randint", shape if isinstance(shape, tuple | list) else (shape,))
    return wrap(np.asarray(_generator("randint", generator).integers(low, high, shape)).astype(_dtype("randint", dtype, np.int64)))

"""Memory that is used again: results of kernels come from a shelf instead of from the operating system.

A training step asks for the same sizes again and again. Fresh memory has to be mapped and cleared page by page, which costs
more than many a kernel that fills it. Here a block stays on the shelf for good, and is free when nobody but the shelf
refers to it: an array that views it, or a view of that, is a reference, so nothing can be taken from under anybody.
"""

import sys
import threading

import numpy as np
from numpy import ndarray

_SMALLEST = 1 << 16  # bytes; smaller arrays are cheap from where NumPy gets them
_IDLE = 4096  # a block not used in so many requests goes back to the system, when a new one is needed
_FREE = 3  # references to the memory of a block that nobody uses: the block's own, the asker's, and that of the question

_local = threading.local()  # each Python thread has a shelf of its own: no lock, and no block for two


class _Block:
    """A piece of memory, where in it a cache line begins, and the number of its last request."""

    __slots__ = ("memory", "start", "used")

    def __init__(self, size):
        self.memory = np.empty(size + 64, np.uint8)
        self.start = -self.memory.ctypes.data % 64


class _Shelf:
    def __init__(self):
        self.blocks, self.requests = {}, 0  # size -> blocks

    def take(self, size):
        """Memory of at least ``size`` bytes that nobody uses, and where to begin in it: the first that is free, the warmest."""
        self.requests += 1
        step = 1 << (size.bit_length() - 3)
        size = -(-size // step) * step  # four sizes to a doubling
        for block in self.blocks.get(size, ()):
            memory = block.memory  # held before it is asked for: whoever interrupts us here finds it taken
            if sys.getrefcount(memory) == _FREE:
                break
        else:
            self.forget()
            block = _Block(size)
            memory = block.memory
            self.blocks.setdefault(size, []).append(block)
        block.used = self.requests
        return memory, block.start

    def forget(self):
        """Give back what has not been used for long; an array that still views it keeps it alive."""
        for size, blocks in self.blocks.items():
            self.blocks[size] = [block for block in blocks if block.used > self.requests - _IDLE]


def empty(shape, dtype):
    """An array whose elements are not set, in C order; its memory is used again when the last view of it is gone.

    >>> first = empty((300, 300), np.dtype("float64"))
    >>> place = first.ctypes.data
    >>> del first
    >>> empty((300, 300), np.dtype("float64")).ctypes.data == place
    True
    """
    size = dtype.itemsize
    for length in shape:
        size *= length
    if size < _SMALLEST:
        return np.empty(shape, dtype)
    try:
        shelf = _local.shelf
    except AttributeError:
        shelf = _local.shelf = _Shelf()
    return np.ndarray(shape, dtype, *shelf.take(size))


def empty_like(x):
    """`empty` in the shape and dtype of ``x``.   (...) -> (...)"""
    return empty(x.shape, x.dtype)


def zeros(shape, dtype):
    """`empty`, filled with zeros.   -> shape"""
    array = empty(shape, dtype)
    array.fill(0)
    return array


def apply(ufunc, x, y=None):
    """``ufunc(x)`` or ``ufunc(x, y)``; a large floating result comes in memory that is used again.   (...), (...) -> (...)"""
    if (x.__class__ is ndarray and x.nbytes >= _SMALLEST) or (y.__class__ is ndarray and y.nbytes >= _SMALLEST):
        return _apply_large(ufunc, (x,) if y is None else (x, y))
    return ufunc(x) if y is None else ufunc(x, y)


def _apply_large(ufunc, xs):
    arrays = [x for x in xs if isinstance(x, ndarray)]
    dtype, shapes = arrays[0].dtype, {x.shape for x in arrays}
    if dtype.kind != "f" or any([x.dtype != dtype for x in arrays]):
        return ufunc(*xs)
    return ufunc(*xs, out=empty(shapes.pop() if len(shapes) == 1 else np.broadcast_shapes(*shapes), dtype))

"""Memory that is used again: results of kernels come from a shelf instead of from the operating system.

A training step asks for the same sizes again and again. Fresh memory has to be mapped and cleared page by page, which costs
more than many a kernel that fills it. Here a block goes back to the shelf when the array that was made of it dies; every
view of that array, and every view of a view, keeps it alive, so nothing can be taken from under anybody. The block that
came back last is given out first: it is the warmest.

Small blocks are cut from large sheets. NumPy asks the system for large pages where an array is large, and a kernel that
walks across the rows of a matrix touches a page with every step: on small ones a core forgets where they are.
"""

import ctypes
import sys
import threading
import weakref
from functools import partial

import numpy as np
from numpy import ndarray

_SMALLEST = 1 << 16  # bytes; smaller arrays are cheap from where NumPy gets them
_SHEET = 1 << 25  # bytes; a block of more than an eighth of it is a sheet for itself
_APART = 17 * 64  # bytes between blocks: the same row of arrays a power of two apart would compete for the same cache lines
_IDLE = 4096  # a block not used in so many requests goes back to the system, when a new one is needed

_local = threading.local()  # each Python thread has a shelf of its own: no lock, and no block for two


class _Memory:
    """What memory of the shelf can be told by."""


class _Block:
    """A piece of a sheet, which begins on a cache line, and the number of its last request."""

    __slots__ = ("memory", "used")

    def __init__(self, sheet, start, size):
        # Not the sheet itself: NumPy would take it for the base of all views, and who views the one made of it could not be told.
        self.memory = type("Memory", (_Memory, ctypes.c_char * size), {}).from_buffer(sheet, start)


def _sheet(size):
    """Memory from the system that begins on a cache line.   -> (size,) uint8"""
    memory = np.empty(size + 64, np.uint8)
    return memory[-memory.ctypes.data % 64 :][:size]


class _Shelf:
    def __init__(self):
        self.free, self.lent, self.requests = {}, {}, 0  # size -> blocks and their last loans; block -> its loan, a reference
        self.rests = []  # a sheet, from which the next block is cut, and how many bytes of it are left

    def array(self, size, shape, dtype):
        """An array in memory of at least ``size`` bytes that nobody uses."""
        self.requests += 1
        step = 1 << (size.bit_length() - 3)
        size = -(-size // step) * step  # four sizes to a doubling
        free = self.free.get(size)
        if free is None:
            free = self.free[size] = {}
        try:
            block, _ = free.popitem()  # the last, in one step: whoever interrupts us here finds it taken
        except KeyError:
            self.forget()
            block = self.cut(size)
        block.used = self.requests
        array = np.ndarray(shape, dtype, block.memory)
        # When the array has died, free[block] = loan: in one step too. In a function of ours an interrupt would be swallowed.
        self.lent[block] = weakref.ref(array, partial(free.setdefault, block))
        return array

    def cut(self, size):
        """A new block."""
        if size > _SHEET // 8:
            return _Block(_sheet(size), 0, size)
        try:
            sheet, left = self.rests.pop()  # in one step, as above
        except IndexError:
            sheet, left = None, 0
        if size + _APART > left:
            sheet, left = _sheet(_SHEET), _SHEET
        left -= size + _APART
        self.rests.append((sheet, left))
        return _Block(sheet, left, size)

    def forget(self):
        """Give back what has not been used for long."""
        for free in list(self.free.values()):
            for block in [block for block in list(free) if block.used <= self.requests - _IDLE]:
                if free.pop(block, None) is not None:  # in one step; somebody who interrupted us may have it
                    del self.lent[block]


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
    return shelf.array(size, shape, dtype)


def even(x):
    """x, or a copy of a field of records, whose numbers need not lie whole numbers apart.

    >>> records = np.zeros(1, [("flag", np.int8), ("values", np.float32, 3)])
    >>> records["values"].strides, even(records["values"]).strides
    ((13, 4), (12, 4))
    """
    return x.copy() if any([stride % x.itemsize for stride in x.strides]) else x


def is_sole(x, references):
    """Whether nobody can look at the memory of ``x`` but through the ``references`` to x that the caller knows of.

    >>> x = np.zeros(3)
    >>> y = x.view()
    >>> is_sole(x, 1), is_sole(y, 1)
    (False, False)
    >>> del y
    >>> is_sole(x, 1)
    True
    """
    if x.__class__ is not ndarray or sys.getrefcount(x) > references + 2 or not x.flags.writeable:
        return False
    base = x.base
    if base.__class__ is ndarray:  # x is a view: nobody else may have the array that it views, or another view of it
        return sys.getrefcount(base) == 3 and (base.base is None or isinstance(base.base, _Memory))
    return base is None or isinstance(base, _Memory)


def copied(x, dtype):
    """A copy of ``x`` in such memory.   (...) -> (...)"""
    array = empty(x.shape, dtype)
    array[...] = x
    return array


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

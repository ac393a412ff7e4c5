"""What can be switched, per thread and per task: grad mode, kernels, threads, default dtype.

Each switch is one context variable with a getter; its setter is a context manager that works as a decorator too.
Environment variables are read once, at the first use.
"""

import contextlib
import contextvars
import functools
import os

import numpy as np

_grad = contextvars.ContextVar("grad", default=True)
_kernels = contextvars.ContextVar("kernels", default=None)
_threads = contextvars.ContextVar("threads", default=None)
_default_dtype = contextvars.ContextVar("default_dtype", default=np.dtype(np.float32))

is_grad_enabled = _grad.get


class _Switch(contextlib.ContextDecorator):
    """Give a context variable a value inside a ``with`` block or a decorated function."""

    def __init__(self, variable, value):
        self.variable, self.value, self.tokens = variable, value, []

    def _recreate_cm(self):
        # a decorated function gets a fresh object per call, so that threads and recursion do not share tokens
        return _Switch(self.variable, self.value)

    def __enter__(self):
        self.tokens.append(self.variable.set(self.value))
        return self

    def __exit__(self, *exception):
        self.variable.reset(self.tokens.pop())


def no_grad():
    """Record nothing inside: results are constants.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> with mg.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """
    return _Switch(_grad, False)


def enable_grad():
    """Record inside, also within ``no_grad``.

    >>> import minigrad as mg
    >>> with mg.no_grad(), mg.enable_grad():
    ...     mg.is_grad_enabled()
    True
    """
    return _Switch(_grad, True)


def set_grad_enabled(mode):
    """Record inside if ``mode`` is true.

    >>> import minigrad as mg
    >>> with mg.set_grad_enabled(False):
    ...     mg.is_grad_enabled()
    False
    """
    return _Switch(_grad, bool(mode))


def kernels():
    """Which kernels run: ``"numba"`` or ``"reference"`` (plain NumPy). ``MINIGRAD_KERNELS`` sets the default.

    >>> import minigrad as mg
    >>> with mg.use_kernels("reference"):
    ...     mg.settings.kernels()
    'reference'
    """
    return _kernels.get() or _default_kernels()


def use_kernels(name):
    """Run ``"numba"`` or ``"reference"`` kernels inside.

    Raises ValueError for any other name.

    >>> import minigrad as mg
    >>> with mg.use_kernels("reference"):
    ...     float(mg.softmax(mg.tensor([0.0, 0.0])).sum())
    1.0
    """
    return _Switch(_kernels, _checked_kernels(name, "use_kernels"))


@functools.cache
def _default_kernels():
    return _checked_kernels(os.environ.get("MINIGRAD_KERNELS") or "numba", "MINIGRAD_KERNELS")


def _checked_kernels(name, who):
    if name not in ("numba", "reference"):
        raise ValueError(f'{who}: kernels are "numba" or "reference". Received: {name!r}.')
    return name


def threads():
    """Number of threads a kernel may use: ``MINIGRAD_THREADS``, else the cores this process may run on.

    >>> import minigrad as mg
    >>> with mg.use_threads(1):
    ...     mg.settings.threads()
    1
    """
    return _threads.get() or _default_threads()


def use_threads(count):
    """Let kernels use ``count`` threads inside; the results are the same bits for every count.

    Raises ValueError for a count below 1.

    >>> import minigrad as mg
    >>> with mg.use_threads(2):
    ...     mg.settings.threads()
    2
    """
    return _Switch(_threads, _checked_threads(count, "use_threads"))


@functools.cache
def _default_threads():
    text = os.environ.get("MINIGRAD_THREADS")
    if text:
        return _checked_threads(int(text) if text.isdecimal() else text, "MINIGRAD_THREADS")
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _checked_threads(count, who):
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"{who}: the number of threads is a whole number from 1. Received: {count!r}.")
    return count


default_dtype = _default_dtype.get


def use_default_dtype(dtype):
    """Turn Python floats into ``dtype`` (float32 or float64) inside.

    Raises TypeError for a dtype that is not floating.

    >>> import minigrad as mg
    >>> with mg.use_default_dtype("float64"):
    ...     mg.tensor(1.5).dtype
    dtype('float64')
    """
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"use_default_dtype: float32 or float64. Received: {dtype}.")
    return _Switch(_default_dtype, dtype)

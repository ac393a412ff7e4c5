"""What can be switched, per thread and per task: grad mode, kernels, threads, precision of products, default dtype.

Each switch is one context variable with a getter; its setter is a context manager that works as a decorator too.
Environment variables are read once, at the first use.
"""

import contextvars
import functools
import inspect
import os

import numpy as np

_grad = contextvars.ContextVar("grad", default=True)
_anomaly = contextvars.ContextVar("anomaly", default=False)
_kernels = contextvars.ContextVar("kernels", default=None)
_threads = contextvars.ContextVar("threads", default=None)
_matmul_precision = contextvars.ContextVar("matmul_precision", default="float32")
_default_dtype = contextvars.ContextVar("default_dtype", default=np.dtype(np.float32))

is_grad_enabled = _grad.get
anomaly = _anomaly.get  # False, True, or inside a rule the place in user code that its op was called from


class _Switch:
    """Give a context variable a value inside a ``with`` block or a decorated function."""

    def __init__(self, variable, value):
        self.variable, self.value, self.tokens = variable, value, []

    def __enter__(self):
        self.tokens.append(self.variable.set(self.value))
        return self

    def __exit__(self, *exception):
        self.variable.reset(self.tokens.pop())

    def __call__(self, function):
        """``function`` with the value while its code runs: each call has a switch of its own, for threads and recursion."""
        variable, value = self.variable, self.value
        if not callable(function) or inspect.isclass(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{variable.name}: this decorates functions, generators and coroutines. Received: {function!r:.60}.")

        @functools.wraps(function)
        def switched(*args, **kwargs):
            with _Switch(variable, value):
                return function(*args, **kwargs)

        @functools.wraps(function)
        def generator(*args, **kwargs):
            inner = function(*args, **kwargs)
            resume, given = inner.send, None
            while True:
                with _Switch(variable, value):  # on only while the generator's own code runs, off while it waits at a yield
                    try:
                        made = resume(given)
                    except StopIteration as end:
                        return end.value
                try:
                    resume, given = inner.send, (yield made)
                except GeneratorExit:
                    with _Switch(variable, value):
                        inner.close()
                    raise
                except BaseException as error:  # thrown in by whoever runs the generator: its code may catch it
                    resume, given = inner.throw, error

        @functools.wraps(function)
        async def coroutine(*args, **kwargs):
            with _Switch(variable, value):
                return await function(*args, **kwargs)

        if inspect.isgeneratorfunction(function):
            return generator
        return coroutine if inspect.iscoroutinefunction(function) else switched


class _SwitchAtOnce(_Switch):
    """A switch that is on from the moment it is made, and goes back at the end of the ``with`` block, if there is one."""

    def __init__(self, variable, value):
        super().__init__(variable, value)
        self.before = variable.get()
        variable.set(value)

    def __enter__(self):
        self.variable.set(self.value)
        return self

    def __exit__(self, *exception):
        self.variable.set(self.before)

    def __call__(self, function):
        self.variable.set(self.before)
        return super().__call__(function)


def _switch(function, variable, value):
    """A switch; or ``function`` under it, for decorators that are written without parentheses."""
    switch = _Switch(variable, value)
    return switch if function is None else switch(function)


def no_grad(function=None):
    """Record nothing inside: results are constants. For ``with``, and as decorator with or without parentheses.

    Each thread and each asyncio task has a mode of its own; a new thread records. A decorated generator has the mode while its own
    code runs, not between its values.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> with mg.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """
    return _switch(function, _grad, False)


def enable_grad(function=None):
    """Record inside, also within ``no_grad``.

    >>> import minigrad as mg
    >>> with mg.no_grad(), mg.enable_grad():
    ...     mg.is_grad_enabled()
    True
    """
    return _switch(function, _grad, True)


def set_grad_enabled(mode):
    """Record from now on if ``mode`` is true, else not; in a ``with`` statement only inside its block.

    As in PyTorch it takes effect at once, for this thread, also without ``with``.

    >>> import minigrad as mg
    >>> with mg.set_grad_enabled(False):
    ...     mg.is_grad_enabled()
    False
    >>> mg.is_grad_enabled()
    True
    """
    return _SwitchAtOnce(_grad, bool(mode))


def without_grad(function, *arguments):
    """What a function gives that records nothing, in a context of its own: an interrupt cannot leave the mode behind.

    >>> without_grad(is_grad_enabled), is_grad_enabled()
    (False, True)
    """
    context = contextvars.copy_context()
    context.run(_grad.set, False)
    return context.run(function, *arguments)


def use_grad(mode):
    """`set_grad_enabled` that waits for its ``with`` block: what the engine uses."""
    return _Switch(_grad, mode)


def detect_anomaly(function=None):
    """Find the first NaN or infinity inside, forward or backward, and show the line of user code that made it.

    Every op called inside looks at its results and remembers the line that called it. AnomalyError names the op, forward or
    backward, the first bad index, the shapes, and that line; where a layer of ours lies between, also the line in the layer.

    * A NaN is reported at the first op out of which it comes: that op made it, or it came in with data or from before
      anomaly mode. ``nan_to_num(x)`` and ``isnan(x)`` of data with NaN are fine.
    * An infinity is reported where an op makes it of finite numbers. One that comes in, like the -inf of a mask, is let
      through, and so is what ops make of it, until that is NaN.
    * Backward, every rule must make finite gradients of finite ones, and so must sums and hooks.

    It also catches arrays that the user changes in place between forward and backward, which would make a gradient silently
    wrong: a node keeps the array that its op was given, not a copy.
    Several times slower; without it nothing is checked and nothing is kept.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 0.0], requires_grad=True)
    >>> with mg.detect_anomaly():
    ...     mg.sqrt(x).sum().backward()
    Traceback (most recent call last):
        ...
    minigrad.errors.AnomalyError: sqrt, backward: inf at index (1,) (1 of 2 elements are not finite) of the gradient for x; ...
    """
    return _switch(function, _anomaly, True)


def use_anomaly(state):
    """Anomaly mode off, or on with a place in user code to be named: what the engine uses."""
    return _Switch(_anomaly, state)


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


def matmul_precision(name=None):
    """Multiply matrices of float32 as ``"float32"``, the default, or with operands rounded to ``"bfloat16"``.

    About twice as fast on CPUs with ``avx512_bf16``, and good enough to train with. Every float32 product that runs under the switch
    takes part: `linear`, `matmul`, `einsum` and what is made of them, and the products of their gradients, so ``backward()``
    belongs inside as well. Operands are rounded to bfloat16 (float32's range, 8 bits of precision, ties to even; below 2**-126 to 0);
    their products are added up in float32. All that is stored stays float32: weights, activations, gradients, the optimiser's state.
    Products of other dtypes, and the inside of attention, are as without it. On CPUs without the instruction the
    numbers are the same, up to the order of the sums, and are not made faster; a RuntimeWarning says so.

    Takes effect at once, for this thread, in a ``with`` statement only inside its block; a decorator too. Without a name it returns
    the one that is on. Raises ValueError for any other name.

    >>> import minigrad as mg
    >>> x = mg.tensor([[1 + 2.0**-9]])
    >>> with mg.use_kernels("reference"), mg.matmul_precision("bfloat16"):
    ...     float(x @ x), mg.matmul_precision()
    (1.0, 'bfloat16')
    >>> mg.matmul_precision()
    'float32'
    """
    if name is None:
        return _matmul_precision.get()
    if name not in ("float32", "bfloat16"):
        raise ValueError(f'matmul_precision: products are made in "float32" or "bfloat16". Received: {name!r}.')
    return _SwitchAtOnce(_matmul_precision, name)


def is_set(name):
    """Whether "kernels" or "threads" are switched here, by a context manager or decorator."""
    return {"kernels": _kernels, "threads": _threads}[name].get() is not None


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

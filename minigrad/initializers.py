"""Where weights start: functions from a shape to numbers, and the names that Keras gives them.

Random ones draw from the current generator (`random.using`) and come in the default dtype. In the shape of a kernel the first
axis counts what goes in and the last what comes out; a kernel with more axes is drawn as the matrix that it stands for.
"""

import contextlib
import contextvars
import functools
import math

import numpy as np

from . import random, settings
from .core import values
from .errors import ShapeError, received


def _numbers(array):
    return array.astype(settings.default_dtype(), copy=False)


_draws = contextvars.ContextVar("draws", default=True)


@contextlib.contextmanager
def undrawn():
    """Inside, what would be drawn is 0: for a model whose weights are read right after, and which need no time then.

    >>> with undrawn():
    ...     float(abs(glorot_uniform((2, 3))).max())
    0.0
    """
    token = _draws.set(False)
    try:
        yield
    finally:
        _draws.reset(token)


def _draw(function):
    """An initializer that draws, outside of `undrawn`."""

    @functools.wraps(function)
    def start(shape, *arguments, **named):
        return function(shape, *arguments, **named) if _draws.get() else zeros(shape)

    return start


def zeros(shape):
    """Zeros.   -> shape

    >>> zeros((2,)).tolist()
    [0.0, 0.0]
    """
    return np.zeros(shape, settings.default_dtype())


def ones(shape):
    """Ones.   -> shape

    >>> ones((2,)).tolist()
    [1.0, 1.0]
    """
    return np.ones(shape, settings.default_dtype())


@_draw
def uniform(shape, limit=0.05):
    """Uniform between -limit and limit.   -> shape

    >>> bool(abs(uniform((2, 3))).max() <= 0.05)
    True
    """
    return _numbers(random.current().uniform(shape, -limit, limit))


@_draw
def normal(shape, std=0.05):
    """Normal with mean 0.   -> shape

    >>> normal((2, 3)).dtype
    dtype('float32')
    """
    return _numbers(random.current().normal(shape, 0.0, std))


@_draw
def truncated_normal(shape, std=0.05):
    """Normal with mean 0, drawn again where it is more than two standard deviations away.   -> shape

    >>> bool(abs(truncated_normal((20, 30), std=1.0)).max() <= 2.0)
    True
    """
    drawn = np.asarray(random.current().normal(shape))
    while (far := abs(drawn) > 2).any():
        drawn[far] = random.current().normal(int(far.sum()))
    return _numbers(std * drawn)


def _fans(shape):
    """How many numbers go into, and come out of, a kernel of this shape."""
    return (shape[0], shape[-1]) if shape else (1, 1)


def glorot_uniform(shape):
    """Uniform in +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).   -> shape

    >>> glorot_uniform((2, 3)).shape
    (2, 3)
    """
    return uniform(shape, math.sqrt(6 / sum(_fans(shape))))


def glorot_normal(shape):
    """Truncated normal of variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010).   -> shape

    >>> glorot_normal((2, 3)).shape
    (2, 3)
    """
    return truncated_normal(shape, math.sqrt(2 / sum(_fans(shape))) / _CUT)


def he_uniform(shape):
    """Uniform in +-sqrt(6 / fan_in), for what relu follows (He et al. 2015).   -> shape

    >>> he_uniform((2, 3)).shape
    (2, 3)
    """
    return uniform(shape, math.sqrt(6 / _fans(shape)[0]))


def he_normal(shape):
    """Truncated normal of variance 2 / fan_in, for what relu follows (He et al. 2015).   -> shape

    >>> he_normal((2, 3)).shape
    (2, 3)
    """
    return truncated_normal(shape, math.sqrt(2 / _fans(shape)[0]) / _CUT)


def lecun_uniform(shape):
    """Uniform in +-sqrt(3 / fan_in) (LeCun et al. 1998).   -> shape

    >>> lecun_uniform((2, 3)).shape
    (2, 3)
    """
    return uniform(shape, math.sqrt(3 / _fans(shape)[0]))


def lecun_normal(shape):
    """Truncated normal of variance 1 / fan_in (LeCun et al. 1998).   -> shape

    >>> lecun_normal((2, 3)).shape
    (2, 3)
    """
    return truncated_normal(shape, math.sqrt(1 / _fans(shape)[0]) / _CUT)


_CUT = 0.87962566103423978  # the standard deviation of a standard normal without what is beyond two


@_draw
def orthogonal(shape):
    """A random matrix whose rows, or columns if there are fewer, are orthonormal (Saxe et al. 2014).   -> shape

    Every axis but the last counts as one.

    >>> Q = orthogonal((3, 3)).astype(float)
    >>> bool(np.allclose(Q @ Q.T, np.eye(3), atol=1e-6))
    True
    """
    rows, columns = math.prod(shape[:-1]), shape[-1]
    q, r = np.linalg.qr(random.current().normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))  # so that every rotation is equally likely
    return _numbers((q if rows >= columns else q.T).reshape(shape))


INITIALIZERS = {
    "zeros": zeros, "ones": ones, "uniform": uniform, "random_uniform": uniform, "normal": normal, "random_normal": normal,
    "truncated_normal": truncated_normal, "glorot_uniform": glorot_uniform, "glorot_normal": glorot_normal, "he_uniform": he_uniform,
    "he_normal": he_normal, "lecun_uniform": lecun_uniform, "lecun_normal": lecun_normal, "orthogonal": orthogonal,
}  # fmt: skip


def get_initializer(name, who, what):
    """The initializer of a name, or of a function of one's own, whose numbers become the default dtype.

    Raises ValueError with the list for what is neither, and ShapeError where the function gives another shape than it was asked for.

    >>> get_initializer("zeros", "Dense", "bias_initializer")((2,)).tolist()
    [0.0, 0.0]
    """
    if callable(name):
        return functools.partial(_drawn, name, who, what)
    if isinstance(name, str) and name in INITIALIZERS:
        return INITIALIZERS[name]
    raise ValueError(f"{who}: {what} is a function of a shape or one of {', '.join(INITIALIZERS)}. Received: {name!r}.")


def _drawn(function, who, what, shape):
    """What a function of one's own gives for a shape, checked."""
    numbers = np.asarray(values(function(shape)))
    if numbers.shape != tuple(shape):
        raise ShapeError(f"{who}: {what} must give what it is asked for, the shape {tuple(shape)}. " + received(numbers=numbers))
    return _numbers(numbers)

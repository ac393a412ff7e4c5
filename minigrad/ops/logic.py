"""Questions about elements, and the logic of their answers: comparisons, tests, logical and bitwise functions. No gradients."""

import numpy as np

from ..core import values
from ..errors import DtypeError
from .broadcasting import elementwise
from .samples import ErrorSample, Sample, binary, unary

__all__ = [
    "allclose", "array_equal", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "equal", "greater", "greater_equal",
    "invert", "isclose", "isfinite", "isinf", "isnan", "left_shift", "less", "less_equal", "logical_and", "logical_not",
    "logical_or", "logical_xor", "not_equal", "right_shift",
]  # fmt: skip

# --------------------------------------------------------------------------------------------------- comparisons


def _comparison(ufunc, sign):
    def compare(x, y, /):
        return ufunc(x, y)

    compare.__name__ = compare.__qualname__ = ufunc.__name__
    compare.__doc__ = f"""Whether x {sign} y, element by element.   (...), (...) -> (...) boolean

    >>> import numpy as np
    >>> {ufunc.__name__}(np.array([1.0, 2.0]), 2.0)
    {ufunc(np.array([1.0, 2.0]), 2.0)!r}
    """
    return elementwise(numpy=ufunc, samples=binary(), differentiable=False)(compare)


greater = _comparison(np.greater, ">")
greater_equal = _comparison(np.greater_equal, ">=")
less = _comparison(np.less, "<")
less_equal = _comparison(np.less_equal, "<=")
equal = _comparison(np.equal, "==")
not_equal = _comparison(np.not_equal, "!=")


def _close_samples(rng):
    for sample in binary()(rng):
        x, y = sample.args
        yield sample._replace(args=(x, x * (1 + 1e-5 * y) if np.shape(x) == np.shape(y) else y))


@elementwise(numpy=np.isclose, samples=_close_samples, differentiable=False)
def isclose(x, y, /, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether |x - y| <= atol + rtol |y|; equal infinities are close.   (...), (...) -> (...) boolean

    >>> import numpy as np
    >>> isclose(np.array([1.0, 2.0]), np.array([1.000001, 2.1]))
    array([ True, False])
    """
    return np.isclose(x, y, rtol, atol, equal_nan)


def allclose(x, y, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether `isclose` holds for every element, as a Python bool.   (...), (...) -> bool

    >>> import numpy as np
    >>> allclose(np.array([1.0, 2.0]), np.array([1.0, 2.0 + 1e-9]))
    True
    """
    return bool(np.all(isclose(values(x), values(y), rtol, atol, equal_nan)))


def array_equal(x, y, equal_nan=False):
    """Whether shapes and all elements are equal, as a Python bool.   (...), (...) -> bool

    >>> import numpy as np
    >>> array_equal(np.ones(3), np.ones((1, 3)))
    False
    """
    return np.array_equal(values(x), values(y), equal_nan)


# --------------------------------------------------------------------------------------------- tests of a number


def _tests(rng):
    yield from unary()(rng)
    yield Sample((np.array([1, 0, -2]),), note="integers")


@elementwise(numpy=np.isnan, samples=_tests, differentiable=False)
def isnan(x, /):
    """Whether x is not a number.   (...) -> (...) boolean

    >>> import numpy as np
    >>> isnan(np.array([1.0, np.inf, np.nan]))
    array([False, False,  True])
    """
    return np.isnan(x)


@elementwise(numpy=np.isinf, samples=_tests, differentiable=False)
def isinf(x, /):
    """Whether x is infinity or -infinity.   (...) -> (...) boolean

    >>> import numpy as np
    >>> isinf(np.array([1.0, -np.inf, np.nan]))
    array([False,  True, False])
    """
    return np.isinf(x)


@elementwise(numpy=np.isfinite, samples=_tests, differentiable=False)
def isfinite(x, /):
    """Whether x is neither infinite nor NaN.   (...) -> (...) boolean

    >>> import numpy as np
    >>> isfinite(np.array([1.0, np.inf, np.nan]))
    array([ True, False, False])
    """
    return np.isfinite(x)


# -------------------------------------------------------------------------- logical functions: 0 is false, all else true


def _truths(rng):
    """Floats of which some are 0, then booleans."""
    for i, sample in enumerate(binary()(rng)):
        yield sample._replace(args=tuple([np.maximum(x, 0.0) if i == 0 else np.asarray(x) > 0 for x in sample.args]))


def _truth(rng):
    for sample in _truths(rng):
        yield sample._replace(args=sample.args[:1])


@elementwise(numpy=np.logical_and, samples=_truths, differentiable=False)
def logical_and(x, y, /):
    """Whether both are true.   (...), (...) -> (...) boolean

    >>> import numpy as np
    >>> logical_and(np.array([True, True, False]), np.array([True, False, False]))
    array([ True, False, False])
    """
    return np.logical_and(x, y)


@elementwise(numpy=np.logical_or, samples=_truths, differentiable=False)
def logical_or(x, y, /):
    """Whether one of them is true, or both are.   (...), (...) -> (...) boolean

    >>> import numpy as np
    >>> logical_or(np.array([True, True, False]), np.array([True, False, False]))
    array([ True,  True, False])
    """
    return np.logical_or(x, y)


@elementwise(numpy=np.logical_xor, samples=_truths, differentiable=False)
def logical_xor(x, y, /):
    """Whether exactly one of them is true.   (...), (...) -> (...) boolean

    >>> import numpy as np
    >>> logical_xor(np.array([True, True, False]), np.array([True, False, False]))
    array([False,  True, False])
    """
    return np.logical_xor(x, y)


@elementwise(numpy=np.logical_not, samples=_truth, differentiable=False)
def logical_not(x, /):
    """Whether x is false.   (...) -> (...) boolean

    >>> import numpy as np
    >>> logical_not(np.array([True, False]))
    array([False,  True])
    """
    return np.logical_not(x)


# -------------------------------------------------------------- bitwise functions: of integers, or of booleans as bits


def _bits(rng):
    """Integers from -16 to 15, then booleans."""
    for sample in binary()(rng):
        yield sample._replace(args=tuple([_whole(x) for x in sample.args]))
    yield Sample((rng.random((2, 3)) < 0.5, rng.random(3) < 0.5), note="booleans")


def _whole(x):
    return np.floor(8 * x).astype(np.int64) if isinstance(x, np.ndarray) else int(x)


def _one_of_bits(rng):
    for sample in _bits(rng):
        yield sample._replace(args=sample.args[:1])


def _shifts(rng):
    for sample in list(_bits(rng))[:-1]:
        x, y = sample.args
        yield sample._replace(args=(x, abs(y) % 8))


def _refuses_floats(name, arrays=2):
    return lambda: [ErrorSample((np.ones(2),) * arrays, {}, DtypeError, rf"{name}.*float64")]


@elementwise(numpy=np.bitwise_and, samples=_bits, errors=_refuses_floats("bitwise_and"), differentiable=False)
def bitwise_and(x, y, /):
    """The bits that are 1 in both.   (...), (...) -> (...)

    >>> import numpy as np
    >>> bitwise_and(np.array([12, 7]), 10)
    array([8, 2])
    """
    return np.bitwise_and(x, y)


@elementwise(numpy=np.bitwise_or, samples=_bits, errors=_refuses_floats("bitwise_or"), differentiable=False)
def bitwise_or(x, y, /):
    """The bits that are 1 in one of them, or in both.   (...), (...) -> (...)

    >>> import numpy as np
    >>> bitwise_or(np.array([12, 7]), 10)
    array([14, 15])
    """
    return np.bitwise_or(x, y)


@elementwise(numpy=np.bitwise_xor, samples=_bits, errors=_refuses_floats("bitwise_xor"), differentiable=False)
def bitwise_xor(x, y, /):
    """The bits that differ.   (...), (...) -> (...)

    >>> import numpy as np
    >>> bitwise_xor(np.array([12, 7]), 10)
    array([ 6, 13])
    """
    return np.bitwise_xor(x, y)


@elementwise(numpy=np.bitwise_not, samples=_one_of_bits, errors=_refuses_floats("bitwise_not", 1), differentiable=False)
def bitwise_not(x, /):
    """Every bit the other way: -x - 1 of an integer, the opposite of a boolean.   (...) -> (...)

    >>> import numpy as np
    >>> bitwise_not(np.array([5, 0])), bitwise_not(np.array([True, False]))
    (array([-6, -1]), array([False,  True]))
    """
    return np.bitwise_not(x)


invert = bitwise_not  # NumPy has both names


@elementwise(numpy=np.left_shift, samples=_shifts, errors=_refuses_floats("left_shift"), differentiable=False)
def left_shift(x, y, /):
    """x times 2 to the power y, by moving bits.   (...), (...) -> (...)

    >>> import numpy as np
    >>> left_shift(np.array([1, 5]), 2)
    array([ 4, 20])
    """
    return np.left_shift(x, y)


@elementwise(numpy=np.right_shift, samples=_shifts, errors=_refuses_floats("right_shift"), differentiable=False)
def right_shift(x, y, /):
    """x divided by 2 to the power y and rounded down, by moving bits.   (...), (...) -> (...)

    >>> import numpy as np
    >>> right_shift(np.array([20, -5]), 2)
    array([ 5, -2])
    """
    return np.right_shift(x, y)

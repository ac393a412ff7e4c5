"""Ops that work element by element. All broadcast; a rule is the derivative as it stands in a table of calculus."""

import math

import numpy as np

from ..core import op
from ..errors import DtypeError, received
from ..kernels import memory, reference
from .broadcasting import elementwise, values
from .samples import ErrorSample, Sample, binary, normal, strided, unary

__all__ = [
    "abs", "add", "astype", "cos", "divide", "equal", "erf", "exp", "greater", "greater_equal", "less", "less_equal",
    "log", "maximum", "minimum", "multiply", "negative", "not_equal", "power", "relu", "sigmoid", "sign", "sin",
    "sqrt", "square", "subtract", "tanh", "where",
]  # fmt: skip

# ---------------------------------------------------------------------------------------------------- arithmetic


@elementwise(numpy=np.add, reference=np.add, samples=binary())
def add(x, y, /):
    """x + y.   (...), (...) -> (...)

    >>> import numpy as np
    >>> add(np.array([1.0, 2.0]), 10.0)
    array([11., 12.])
    """
    return memory.apply(np.add, x, y)


@add.vjp
def _(g, _, x, y):
    return g, g


@elementwise(numpy=np.subtract, reference=np.subtract, samples=binary())
def subtract(x, y, /):
    """x - y.   (...), (...) -> (...)

    >>> import numpy as np
    >>> subtract(np.array([1.0, 2.0]), 10.0)
    array([-9., -8.])
    """
    return memory.apply(np.subtract, x, y)


@subtract.vjp
def _(g, _, x, y, wanted):
    return g, negative(g) if wanted[1] else None


@elementwise(numpy=np.multiply, reference=np.multiply, samples=binary())
def multiply(x, y, /):
    """x * y.   (...), (...) -> (...)

    >>> import numpy as np
    >>> multiply(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    array([3., 8.])
    """
    return memory.apply(np.multiply, x, y)


@multiply.vjp
def _(g, _, x, y, wanted):
    return multiply(g, y) if wanted[0] else None, multiply(g, x) if wanted[1] else None


@elementwise(floating=True, numpy=np.divide, reference=np.divide, samples=binary(second=(0.5, 2.0)))
def divide(x, y, /):
    """x / y, floating also for integers.   (...), (...) -> (...)

    >>> import numpy as np
    >>> divide(np.array([1.0, 2.0]), 4.0)
    array([0.25, 0.5 ])
    """
    return np.divide(x, y)


@divide.vjp
def _(g, out, x, y, wanted):
    return divide(g, y) if wanted[0] else None, negative(divide(multiply(g, out), y)) if wanted[1] else None


def _power_samples(rng):
    yield from binary(0.5, 2.0, second=(-2.0, 2.0))(rng)
    yield Sample((normal(rng, 3, 4), 2.0), note="negative base, whole exponent")
    yield Sample((normal(rng, 3), 0.0), note="exponent 0")


@elementwise(numpy=np.power, reference=np.power, samples=_power_samples,
             kinks="the derivative for the exponent is 0 at base 0")  # fmt: skip
def power(x, y, /):
    """x to the power y.   (...), (...) -> (...)

    >>> import numpy as np
    >>> power(np.array([1.0, 2.0, 3.0]), 2)
    array([1., 4., 9.])
    """
    return np.power(x, y)


@power.vjp
def _(g, out, x, y, wanted):
    x, y = [np.asarray(v, out.dtype) if isinstance(v, int | float) else v for v in (x, y)]  # numbers as exact as the rest
    dx = dy = None
    if wanted[0]:
        # y x^(y-1), with 0 where y is 0 (there x^(y-1) may be infinite)
        dx = multiply(multiply(g, y), power(x, where(equal(y, 0), 1.0, subtract(y, 1))))
    if wanted[1]:
        dy = multiply(multiply(g, out), log(where(equal(x, 0), 1.0, x)))
    return dx, dy


@elementwise(numpy=np.negative, reference=np.negative, samples=unary())
def negative(x, /):
    """-x.   (...) -> (...)

    >>> import numpy as np
    >>> negative(np.array([1.0, -2.0]))
    array([-1.,  2.])
    """
    return np.negative(x)


@negative.vjp
def _(g, _, x):
    return (negative(g),)


@elementwise(numpy=np.square, reference=np.square, samples=unary())
def square(x, /):
    """x * x.   (...) -> (...)

    >>> import numpy as np
    >>> square(np.array([3.0, -2.0]))
    array([9., 4.])
    """
    return np.square(x)


@square.vjp
def _(g, _, x):
    return (multiply(g, multiply(x, 2.0)),)


@elementwise(floating=True, numpy=np.sqrt, reference=np.sqrt, samples=unary(0.2, 3.0))
def sqrt(x, /):
    """Square root.   (...) -> (...)

    >>> import numpy as np
    >>> sqrt(np.array([4.0, 9.0]))
    array([2., 3.])
    """
    return np.sqrt(x)


@sqrt.vjp
def _(g, out, x):
    return (divide(multiply(g, 0.5), out),)


@elementwise(numpy=np.abs, reference=np.abs, samples=unary(away_from=(0,)), kinks="abs'(0) = 0")
def abs(x, /):
    """Absolute value.   (...) -> (...)

    >>> import numpy as np
    >>> abs(np.array([1.0, -2.0]))
    array([1., 2.])
    """
    return np.abs(x)


@abs.vjp
def _(g, _, x):
    return (multiply(g, sign(x)),)


@elementwise(numpy=np.sign, reference=np.sign, samples=unary(away_from=(0,)), kinks="0 everywhere")
def sign(x, /):
    """-1, 0 or 1.   (...) -> (...)

    >>> import numpy as np
    >>> sign(np.array([3.0, 0.0, -2.0]))
    array([ 1.,  0., -1.])
    """
    return np.sign(x)


@sign.vjp
def _(g, _, x):
    return (multiply(g, 0.0),)


# ----------------------------------------------------------------------------------- exponentials and their kin


@elementwise(floating=True, numpy=np.exp, reference=np.exp, samples=unary())
def exp(x, /):
    """e to the power x.   (...) -> (...)

    >>> import numpy as np
    >>> exp(np.array([0.0, 1.0])).round(3)
    array([1.   , 2.718])
    """
    return np.exp(x)


@exp.vjp
def _(g, out, x):
    return (multiply(g, out),)


@elementwise(floating=True, numpy=np.log, reference=np.log, samples=unary(0.1, 4.0))
def log(x, /):
    """Natural logarithm.   (...) -> (...)

    >>> import numpy as np
    >>> log(np.array([1.0, np.e]))
    array([0., 1.])
    """
    return np.log(x)


@log.vjp
def _(g, _, x):
    return (divide(g, x),)


@elementwise(floating=True, numpy=np.sin, reference=np.sin, samples=unary(-4.0, 4.0))
def sin(x, /):
    """Sine; x in radians.   (...) -> (...)

    >>> import numpy as np
    >>> sin(np.array([0.0, np.pi / 2]))
    array([0., 1.])
    """
    return np.sin(x)


@sin.vjp
def _(g, _, x):
    return (multiply(g, cos(x)),)


@elementwise(floating=True, numpy=np.cos, reference=np.cos, samples=unary(-4.0, 4.0))
def cos(x, /):
    """Cosine; x in radians.   (...) -> (...)

    >>> import numpy as np
    >>> cos(np.array([0.0]))
    array([1.])
    """
    return np.cos(x)


@cos.vjp
def _(g, _, x):
    return (negative(multiply(g, sin(x))),)


@elementwise(floating=True, numpy=np.tanh, reference=np.tanh, samples=unary(-3.0, 3.0))
def tanh(x, /):
    """Hyperbolic tangent.   (...) -> (...)

    >>> import numpy as np
    >>> tanh(np.array([0.0, 1.0])).round(3)
    array([0.   , 0.762])
    """
    return np.tanh(x)


@tanh.vjp
def _(g, out, x):
    return (multiply(g, subtract(1.0, square(out))),)


@elementwise(floating=True, reference=lambda x: 1 / (1 + np.exp(-x)), samples=unary(-3.0, 3.0))
def sigmoid(x, /):
    """1 / (1 + exp(-x)), without overflow.   (...) -> (...)

    >>> import numpy as np
    >>> sigmoid(np.array([0.0, -1000.0]))
    array([0.5, 0. ])
    """
    return np.tanh(x * 0.5) * 0.5 + 0.5


@sigmoid.vjp
def _(g, out, x):
    return (multiply(g, multiply(out, subtract(1.0, out))),)


@elementwise(floating=True, reference=np.vectorize(math.erf, otypes=[float]), samples=unary(-3.0, 3.0))
def erf(x, /):
    """Error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.   (...) -> (...)

    >>> import numpy as np
    >>> erf(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.8427])
    """
    return reference.erf(np.asarray(x))


@erf.vjp
def _(g, _, x):
    return (multiply(g, multiply(exp(negative(square(x))), 2 / math.sqrt(math.pi))),)


# ------------------------------------------------------------------------------------------------ choosing values


@elementwise(reference=lambda x: np.where(x > 0, x, 0), samples=unary(away_from=(0,)), kinks="relu'(0) = 0")
def relu(x, /):
    """max(x, 0).   (...) -> (...)

    >>> import numpy as np
    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return np.maximum(x, 0)


@relu.vjp
def _(g, _, x):
    return (where_positive(g, values(x)),)


_BITS = {np.dtype(np.float32): np.dtype(np.int32), np.dtype(np.float64): np.dtype(np.int64)}


@elementwise(reference=lambda g, x: np.where(x > 0, g, 0), linear=(0,), method=False, samples=binary())
def where_positive(g, x, /):
    """g where x > 0, else 0: how relu passes a gradient on.   (...), (...) -> (...)

    >>> import numpy as np
    >>> where_positive(np.array([5.0, 6.0]), np.array([-1.0, 2.0]))
    array([0., 6.])
    """
    bits = _BITS.get(g.dtype) if isinstance(g, np.ndarray) else None
    if bits is None:
        return np.where(x > 0, g, 0)
    return np.multiply(g.view(bits), x > 0).view(g.dtype)  # bits times 0 or 1: faster than where, and stops NaN and inf too


@where_positive.vjp
def _(d, _, g, x, wanted):
    return where_positive(d, values(x)) if wanted[0] else None, multiply(d, 0.0) if wanted[1] else None


@elementwise(numpy=np.maximum, reference=np.maximum, samples=binary(), kinks="where x = y each gets half of the gradient")
def maximum(x, y, /):
    """The greater of two, element by element.   (...), (...) -> (...)

    >>> import numpy as np
    >>> maximum(np.array([1.0, 5.0]), 3.0)
    array([3., 5.])
    """
    return np.maximum(x, y)


@maximum.vjp
def _(g, _, x, y):
    half = where(equal(x, y), 0.5, 0.0)
    return multiply(g, where(greater(x, y), 1.0, half)), multiply(g, where(less(x, y), 1.0, half))


@elementwise(numpy=np.minimum, reference=np.minimum, samples=binary(), kinks="where x = y each gets half of the gradient")
def minimum(x, y, /):
    """The smaller of two, element by element.   (...), (...) -> (...)

    >>> import numpy as np
    >>> minimum(np.array([1.0, 5.0]), 3.0)
    array([1., 3.])
    """
    return np.minimum(x, y)


@minimum.vjp
def _(g, _, x, y):
    half = where(equal(x, y), 0.5, 0.0)
    return multiply(g, where(less(x, y), 1.0, half)), multiply(g, where(greater(x, y), 1.0, half))


def _where_samples(rng):
    for sample in binary()(rng):
        x, y = sample.args
        yield sample._replace(args=(rng.random(np.shape(x)) < 0.5, x, y))


@elementwise(mask=1, numpy=np.where, reference=np.where, samples=_where_samples, method=False)
def where(condition, x, y, /):
    """x where the condition holds, else y.   (...), (...), (...) -> (...)

    >>> import numpy as np
    >>> where(np.array([True, False]), np.array([1.0, 2.0]), 0.0)
    array([1., 0.])
    """
    return np.where(condition, x, y)


@where.vjp
def _(g, _, condition, x, y, wanted):
    return None, where(condition, g, 0.0) if wanted[1] else None, where(condition, 0.0, g) if wanted[2] else None


# --------------------------------------------------------------------------- comparisons: no gradient, boolean results


def _comparison(ufunc, sign):
    def compare(x, y, /):
        return ufunc(x, y)

    compare.__name__ = compare.__qualname__ = ufunc.__name__
    compare.__doc__ = f"""Whether x {sign} y, element by element.   (...), (...) -> (...) boolean

    >>> import numpy as np
    >>> {ufunc.__name__}(np.array([1.0, 2.0]), 2.0)
    {ufunc(np.array([1.0, 2.0]), 2.0)!r}
    """
    return elementwise(numpy=ufunc, reference=ufunc, samples=binary(), differentiable=False)(compare)


greater = _comparison(np.greater, ">")
greater_equal = _comparison(np.greater_equal, ">=")
less = _comparison(np.less, "<")
less_equal = _comparison(np.less_equal, "<=")
equal = _comparison(np.equal, "==")
not_equal = _comparison(np.not_equal, "!=")


@op(samples=lambda rng: [Sample((normal(rng, 2, 3), "float64")), Sample((normal(rng), "float64"), note="0-d"),
                          Sample((strided(rng, 3, 4), "float64"), note="strided")],
    errors=lambda: [ErrorSample((np.ones(2), "float33"), {}, DtypeError, "astype.*float33")])  # fmt: skip
def astype(x, /, dtype):
    """The same values in another dtype.   (...) -> (...)

    Raises DtypeError for what is not the name of a dtype.

    >>> import numpy as np
    >>> astype(np.array([1, 2]), "float32")
    array([1., 2.], dtype=float32)
    """
    try:
        return x.astype(dtype)
    except TypeError as error:
        raise DtypeError(f"astype: {error}. " + received(x=x, dtype=dtype)) from None


@astype.vjp
def _(g, _, x, dtype):
    return (g.astype(x.dtype),)

"""Ops that work element by element. All broadcast; a rule is the derivative as it stands in a table of calculus."""

import math

import numpy as np

from .. import kernels, settings
from ..core import op, values
from ..errors import DtypeError, received
from ..kernels import memory
from .broadcasting import elementwise, of_one_shape
from .logic import (
    equal,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
)
from .samples import ErrorSample, Sample, binary, normal, strided, unary

__all__ = [
    "abs", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "astype", "clip", "cos", "cosh",
    "divide", "exp", "exp2", "expm1", "fmax", "fmin", "hypot", "lerp", "log", "log10", "log1p", "log2", "logaddexp", "logit",
    "maximum", "minimum", "multiply", "nan_to_num", "negative", "power", "reciprocal", "rsqrt", "sigmoid", "sign", "sin", "sinh",
    "sqrt", "square", "subtract", "tan", "tanh", "where",
]  # fmt: skip

# Decorates rules of functions that are finite where their slope is infinite, as sqrt is at 0: inf is the answer, not worth a warning.
steep = np.errstate(divide="ignore")


def as_exact(g, *xs):
    """Python numbers among ``xs`` as arrays in the dtype of g: two numbers alone would meet in the default dtype."""
    return [np.asarray(x, g.dtype) if isinstance(x, int | float) else x for x in xs]


def flat(g):
    """The gradient that a function passes on where its slope is 0: zeros, also where g is infinite."""
    return where(False, g, 0.0)


# ---------------------------------------------------------------------------------------------------- arithmetic


@elementwise(numpy=np.add, samples=binary())
def add(x, y, /):
    """x + y.   (...), (...) -> (...)

    >>> import numpy as np
    >>> add(np.array([1.0, 2.0]), 10.0)
    array([11., 12.])
    """
    return memory.apply(np.add, x, y)


@add.vjp
def _(g, _, _x, _y):
    return g, g


@elementwise(numpy=np.subtract, samples=binary())
def subtract(x, y, /):
    """x - y.   (...), (...) -> (...)

    >>> import numpy as np
    >>> subtract(np.array([1.0, 2.0]), 10.0)
    array([-9., -8.])
    """
    return memory.apply(np.subtract, x, y)


@subtract.vjp
def _(g, _, _x, _y, wanted):
    return g, negative(g) if wanted[1] else None


@elementwise(numpy=np.multiply, samples=binary())
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


@elementwise(floating=True, numpy=np.divide, samples=binary(second=(0.5, 2.0)))
def divide(x, y, /):
    """x / y, floating also for integers.   (...), (...) -> (...)

    >>> import numpy as np
    >>> divide(np.array([1.0, 2.0]), 4.0)
    array([0.25, 0.5 ])
    """
    return memory.apply(np.divide, x, y)


@divide.vjp
def _(g, out, _x, y, wanted):
    return divide(g, y) if wanted[0] else None, negative(divide(multiply(g, out), y)) if wanted[1] else None


def _power_samples(rng):
    yield from binary(0.5, 2.0, second=(-2.0, 2.0))(rng)
    yield Sample((normal(rng, 3, 4), 2.0), note="negative base, whole exponent")
    yield Sample((normal(rng, 3), 0.0), note="exponent 0")


@elementwise(numpy=np.power, samples=_power_samples,
             errors=lambda: [ErrorSample((np.array([2, 3]), np.array([-1, 2])), {}, DtypeError, "power.*negative.*int64")],
             kinks="the derivative for the exponent is 0 at base 0")  # fmt: skip
def power(x, y, /):
    """x to the power y.   (...), (...) -> (...)

    Raises DtypeError for integers to negative powers, which are no integers.

    >>> import numpy as np
    >>> power(np.array([1.0, 2.0, 3.0]), 2)
    array([1., 4., 9.])
    """
    try:
        return np.power(x, y)
    except ValueError as error:
        if "negative" not in str(error):
            raise
        raise DtypeError(
            "power: an integer to a negative power is no integer; convert one of the two with astype. " + received(x=x, y=y)
        ) from None


@power.vjp
@steep
def _(g, out, x, y, wanted):
    x, y = as_exact(g, x, y)
    dx = dy = None
    if wanted[0]:
        # y x^(y-1), with 0 where y is 0 (there x^(y-1) may be infinite)
        dx = multiply(multiply(g, y), power(x, where(equal(y, 0), 1.0, subtract(y, 1))))
    if wanted[1]:
        nothing = equal(x, 0)  # there out may be infinite
        dy = multiply(multiply(g, where(nothing, 0.0, out)), log(where(nothing, 1.0, x)))
    return dx, dy


@elementwise(numpy=np.negative, samples=unary())
def negative(x, /):
    """-x.   (...) -> (...)

    >>> import numpy as np
    >>> negative(np.array([1.0, -2.0]))
    array([-1.,  2.])
    """
    return memory.apply(np.negative, x)


@negative.vjp
def _(g, _, _x):
    return (negative(g),)


@elementwise(numpy=np.square, samples=unary())
def square(x, /):
    """x * x.   (...) -> (...)

    >>> import numpy as np
    >>> square(np.array([3.0, -2.0]))
    array([9., 4.])
    """
    return memory.apply(np.square, x)


@square.vjp
def _(g, _, x):
    return (multiply(g, multiply(x, 2.0)),)


@elementwise(floating=True, numpy=np.sqrt, samples=unary(0.2, 3.0))
def sqrt(x, /):
    """Square root.   (...) -> (...)

    >>> import numpy as np
    >>> sqrt(np.array([4.0, 9.0]))
    array([2., 3.])
    """
    return memory.apply(np.sqrt, x)


@sqrt.vjp
@steep
def _(g, out, _x):
    return (divide(multiply(g, 0.5), out),)


@elementwise(floating=True, reference=lambda x: 1 / np.sqrt(x), samples=unary(0.2, 3.0))
def rsqrt(x, /):
    """1 / sqrt(x).   (...) -> (...)

    >>> import numpy as np
    >>> rsqrt(np.array([4.0, 0.25]))
    array([0.5, 2. ])
    """
    return 1 / np.sqrt(x)


@rsqrt.vjp
def _(g, out, x):
    return (divide(multiply(g, multiply(out, -0.5)), x),)


@elementwise(floating=True, numpy=np.reciprocal, samples=unary(0.4, 3.0))
def reciprocal(x, /):
    """1 / x, floating also for integers.   (...) -> (...)

    >>> import numpy as np
    >>> reciprocal(np.array([4, -2]))
    array([ 0.25, -0.5 ], dtype=float32)
    """
    return memory.apply(np.reciprocal, x)


@reciprocal.vjp
def _(g, out, _x):
    return (negative(multiply(multiply(g, out), out)),)


@elementwise(floating=True, numpy=np.hypot, samples=binary(second=(0.5, 2.0)), kinks="both derivatives are 0 at the origin")
def hypot(x, y, /):
    """sqrt(x^2 + y^2), without overflow: the long side of a right-angled triangle.   (...), (...) -> (...)

    >>> import numpy as np
    >>> hypot(np.array([3.0, 3e300]), np.array([4.0, 4e300]))
    array([5.e+000, 5.e+300])
    """
    return memory.apply(np.hypot, x, y)


@hypot.vjp
def _(g, out, x, y, wanted):
    length = where(equal(out, 0), 1.0, out)
    return multiply(g, divide(x, length)) if wanted[0] else None, multiply(g, divide(y, length)) if wanted[1] else None


@elementwise(numpy=np.abs, samples=unary(away_from=(0,)), kinks="abs'(0) = 0")
def abs(x, /):
    """Absolute value.   (...) -> (...)

    >>> import numpy as np
    >>> abs(np.array([1.0, -2.0]))
    array([1., 2.])
    """
    return memory.apply(np.abs, x)


@abs.vjp
def _(g, _, x):
    return (multiply(g, sign(x)),)


@elementwise(numpy=np.sign, samples=unary(away_from=(0,)), kinks="0 everywhere")
def sign(x, /):
    """-1, 0 or 1.   (...) -> (...)

    >>> import numpy as np
    >>> sign(np.array([3.0, 0.0, -2.0]))
    array([ 1.,  0., -1.])
    """
    return np.sign(x)


@sign.vjp
def _(g, _, _x):
    return (flat(g),)


# ----------------------------------------------------------------------------------- exponentials and their kin


@elementwise(floating=True, numpy=np.exp, samples=unary())
def exp(x, /):
    """e to the power x.   (...) -> (...)

    >>> import numpy as np
    >>> exp(np.array([0.0, 1.0])).round(3)
    array([1.   , 2.718])
    """
    return memory.apply(np.exp, x)


@exp.vjp
def _(g, out, _x):
    return (multiply(g, out),)


@elementwise(floating=True, numpy=np.expm1, samples=unary())
def expm1(x, /):
    """exp(x) - 1, accurate also where x is near 0.   (...) -> (...)

    >>> import numpy as np
    >>> expm1(np.array([1e-20, 1.0])).round(22)
    array([1.00000000e-20, 1.71828183e+00])
    """
    return memory.apply(np.expm1, x)


@expm1.vjp
def _(g, _, x):
    return (multiply(g, exp(x)),)


@elementwise(floating=True, numpy=np.exp2, samples=unary())
def exp2(x, /):
    """2 to the power x.   (...) -> (...)

    >>> import numpy as np
    >>> exp2(np.array([3.0, -1.0]))
    array([8. , 0.5])
    """
    return memory.apply(np.exp2, x)


@exp2.vjp
def _(g, out, _x):
    return (multiply(g, multiply(out, math.log(2))),)


@elementwise(floating=True, numpy=np.log, samples=unary(0.1, 4.0))
def log(x, /):
    """Natural logarithm.   (...) -> (...)

    >>> import numpy as np
    >>> log(np.array([1.0, np.e]))
    array([0., 1.])
    """
    return memory.apply(np.log, x)


@log.vjp
def _(g, _, x):
    return (divide(g, x),)


@elementwise(floating=True, numpy=np.log1p, samples=unary(-0.8, 4.0))
def log1p(x, /):
    """log(1 + x), accurate also where x is near 0.   (...) -> (...)

    >>> import numpy as np
    >>> log1p(np.array([1e-20, np.e - 1]))
    array([1.e-20, 1.e+00])
    """
    return memory.apply(np.log1p, x)


@log1p.vjp
def _(g, _, x):
    return (divide(g, add(x, 1.0)),)


@elementwise(floating=True, numpy=np.log2, samples=unary(0.1, 4.0))
def log2(x, /):
    """Logarithm to base 2.   (...) -> (...)

    >>> import numpy as np
    >>> log2(np.array([8.0, 0.5]))
    array([ 3., -1.])
    """
    return memory.apply(np.log2, x)


@log2.vjp
def _(g, _, x):
    return (divide(g, multiply(x, math.log(2))),)


@elementwise(floating=True, numpy=np.log10, samples=unary(0.1, 4.0))
def log10(x, /):
    """Logarithm to base 10.   (...) -> (...)

    >>> import numpy as np
    >>> log10(np.array([1000.0, 0.1]))
    array([ 3., -1.])
    """
    return memory.apply(np.log10, x)


@log10.vjp
def _(g, _, x):
    return (divide(g, multiply(x, math.log(10))),)


@elementwise(floating=True, numpy=np.logaddexp, samples=binary(), kinks="an infinite result passes no gradient")
def logaddexp(x, y, /):
    """log(exp(x) + exp(y)), without overflow.   (...), (...) -> (...)

    >>> import numpy as np
    >>> logaddexp(np.array([0.0, 1000.0]), np.array([0.0, -1000.0])).round(4)
    array([6.931e-01, 1.000e+03])
    """
    return memory.apply(np.logaddexp, x, y)


@logaddexp.vjp
def _(g, out, x, y, wanted):
    infinite = isinf(out)
    x, y = [where(infinite, 0.0, v) for v in as_exact(g, x, y)]  # infinity minus infinity would be NaN
    g = where(infinite, 0.0, g)
    return [multiply(g, sigmoid(d())) if want else None
            for want, d in zip(wanted, (lambda: subtract(x, y), lambda: subtract(y, x)))]  # fmt: skip


@elementwise(floating=True, reference=lambda x: 1 / (1 + np.exp(-x)), samples=unary(-3.0, 3.0))
def sigmoid(x, /):
    """1 / (1 + exp(-x)), without overflow, and accurate where it is small.   (...) -> (...)

    >>> import numpy as np
    >>> sigmoid(np.array([0.0, -1000.0]))
    array([0.5, 0. ])
    """
    return kernels.sigmoid(x)


@sigmoid.vjp
def _(g, out, _x):
    return (sigmoid_grad(g, out),)


@elementwise(reference=lambda g, y: g * y * (1 - y), linear=(0,), method=False, samples=binary())
def sigmoid_grad(g, y, /):
    """g y (1 - y): how a sigmoid with the result y passes a gradient on.   (...), (...) -> (...)

    >>> import numpy as np
    >>> sigmoid_grad(np.array([4.0, 4.0]), np.array([0.5, 1.0]))
    array([1., 0.])
    """
    return kernels.sigmoid_grad(*of_one_shape(g, y))


@sigmoid_grad.vjp
def _(d, _, g, y, wanted):
    slope = multiply(multiply(d, g), subtract(1.0, multiply(2.0, y))) if wanted[1] else None
    return sigmoid_grad(d, y) if wanted[0] else None, slope


def _logit_reference(x, eps=None):
    x = x if eps is None else np.minimum(np.maximum(x, eps), 1 - eps)
    return np.log(x) - np.log(1 - x)


def _logit_samples(rng):
    yield from unary(0.1, 0.9)(rng)
    yield next(unary(0.0, 1.0, away_from=(0.2, 0.8))(rng))._replace(kwargs={"eps": 0.2}, note="eps")


@elementwise(floating=True, reference=_logit_reference, samples=_logit_samples, kinks="with eps, 0 outside of the closed interval")
def logit(x, /, eps=None):
    """log(x / (1 - x)), the inverse of sigmoid; with ``eps`` x is first held between eps and 1 - eps.   (...) -> (...)

    >>> import numpy as np
    >>> logit(np.array([0.5, 0.75])).round(4), logit(np.array([0.0]), eps=0.5)
    (array([0.    , 1.0986]), array([0.]))
    """
    if eps is not None:
        x = np.clip(x, eps, 1 - eps)
    return np.where(np.abs(x - 0.5) < 0.25, 2 * np.arctanh(2 * np.clip(x, 0.25, 0.75) - 1), np.log(x / (1 - x)))


@logit.vjp
def _(g, _, x, eps):
    if eps is not None:
        inside = logical_and(greater_equal(x, eps), less_equal(x, 1 - eps))
        g, x = where(inside, g, 0.0), where(inside, x, 0.5)
    return (divide(g, multiply(x, subtract(1.0, x))),)


# ------------------------------------------------------------------------------------ angles and their hyperbolic kin


@elementwise(floating=True, numpy=np.sin, samples=unary(-4.0, 4.0))
def sin(x, /):
    """Sine; x in radians.   (...) -> (...)

    >>> import numpy as np
    >>> sin(np.array([0.0, np.pi / 2]))
    array([0., 1.])
    """
    return memory.apply(np.sin, x)


@sin.vjp
def _(g, _, x):
    return (multiply(g, cos(x)),)


@elementwise(floating=True, numpy=np.cos, samples=unary(-4.0, 4.0))
def cos(x, /):
    """Cosine; x in radians.   (...) -> (...)

    >>> import numpy as np
    >>> cos(np.array([0.0]))
    array([1.])
    """
    return memory.apply(np.cos, x)


@cos.vjp
def _(g, _, x):
    return (negative(multiply(g, sin(x))),)


@elementwise(floating=True, numpy=np.tan, samples=unary(-1.2, 1.2))
def tan(x, /):
    """Tangent; x in radians.   (...) -> (...)

    >>> import numpy as np
    >>> tan(np.array([0.0, np.pi / 4])).round(4)
    array([0., 1.])
    """
    return memory.apply(np.tan, x)


@tan.vjp
def _(g, out, _x):
    return (multiply(g, add(square(out), 1.0)),)


@elementwise(floating=True, numpy=np.arcsin, samples=unary(-0.9, 0.9))
def arcsin(x, /):
    """The angle from -pi/2 to pi/2 whose sine is x.   (...) -> (...)

    >>> import numpy as np
    >>> arcsin(np.array([0.0, 1.0])).round(4)
    array([0.    , 1.5708])
    """
    return memory.apply(np.arcsin, x)


@arcsin.vjp
@steep
def _(g, _, x):
    return (divide(g, sqrt(multiply(subtract(1.0, x), add(x, 1.0)))),)


@elementwise(floating=True, numpy=np.arccos, samples=unary(-0.9, 0.9))
def arccos(x, /):
    """The angle from 0 to pi whose cosine is x.   (...) -> (...)

    >>> import numpy as np
    >>> arccos(np.array([0.0, 1.0])).round(4)
    array([1.5708, 0.    ])
    """
    return memory.apply(np.arccos, x)


@arccos.vjp
@steep
def _(g, _, x):
    return (negative(divide(g, sqrt(multiply(subtract(1.0, x), add(x, 1.0))))),)


@elementwise(floating=True, numpy=np.arctan, samples=unary(-4.0, 4.0))
def arctan(x, /):
    """The angle from -pi/2 to pi/2 whose tangent is x.   (...) -> (...)

    >>> import numpy as np
    >>> arctan(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.7854])
    """
    return memory.apply(np.arctan, x)


@arctan.vjp
def _(g, _, x):
    return (multiply(g, square(reciprocal(hypot(x, 1.0)))),)  # 1 / (1 + x^2), where x^2 may be too large a number


@elementwise(floating=True, numpy=np.arctan2, samples=binary(second=(0.5, 2.0)), kinks="both derivatives are 0 at the origin")
def arctan2(y, x, /):
    """The angle from -pi to pi of the point (x, y), seen from the origin; y comes first.   (...), (...) -> (...)

    >>> import numpy as np
    >>> arctan2(np.array([1.0, 1.0]), np.array([1.0, -1.0])).round(4)
    array([0.7854, 2.3562])
    """
    return memory.apply(np.arctan2, y, x)


@arctan2.vjp
def _(g, _, y, x, wanted):
    length = hypot(x, y)
    length = where(equal(length, 0), 1.0, length)
    dy = divide(multiply(g, divide(x, length)), length) if wanted[0] else None  # x / (x^2 + y^2), without the squares
    dx = negative(divide(multiply(g, divide(y, length)), length)) if wanted[1] else None
    return dy, dx


@elementwise(floating=True, numpy=np.sinh, samples=unary())
def sinh(x, /):
    """Hyperbolic sine, (exp(x) - exp(-x)) / 2.   (...) -> (...)

    >>> import numpy as np
    >>> sinh(np.array([0.0, 1.0])).round(4)
    array([0.    , 1.1752])
    """
    return memory.apply(np.sinh, x)


@sinh.vjp
def _(g, _, x):
    return (multiply(g, cosh(x)),)


@elementwise(floating=True, numpy=np.cosh, samples=unary())
def cosh(x, /):
    """Hyperbolic cosine, (exp(x) + exp(-x)) / 2.   (...) -> (...)

    >>> import numpy as np
    >>> cosh(np.array([0.0, 1.0])).round(4)
    array([1.    , 1.5431])
    """
    return memory.apply(np.cosh, x)


@cosh.vjp
def _(g, _, x):
    return (multiply(g, sinh(x)),)


@elementwise(floating=True, numpy=np.tanh, samples=unary(-3.0, 3.0))
def tanh(x, /):
    """Hyperbolic tangent.   (...) -> (...)

    >>> import numpy as np
    >>> tanh(np.array([0.0, 1.0])).round(3)
    array([0.   , 0.762])
    """
    return memory.apply(np.tanh, x)


@tanh.vjp
def _(g, out, _x):
    return (multiply(g, subtract(1.0, square(out))),)


@elementwise(floating=True, numpy=np.arcsinh, samples=unary(-4.0, 4.0))
def arcsinh(x, /):
    """The number whose hyperbolic sine is x.   (...) -> (...)

    >>> import numpy as np
    >>> arcsinh(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.8814])
    """
    return memory.apply(np.arcsinh, x)


@arcsinh.vjp
def _(g, _, x):
    return (divide(g, hypot(x, 1.0)),)


@elementwise(floating=True, numpy=np.arccosh, samples=unary(1.3, 4.0))
def arccosh(x, /):
    """The number from 0 up whose hyperbolic cosine is x; x is at least 1.   (...) -> (...)

    >>> import numpy as np
    >>> arccosh(np.array([1.0, 2.0])).round(4)
    array([0.   , 1.317])
    """
    return memory.apply(np.arccosh, x)


@arccosh.vjp
@steep
def _(g, _, x):
    return (divide(divide(g, sqrt(subtract(x, 1.0))), sqrt(add(x, 1.0))),)


@elementwise(floating=True, numpy=np.arctanh, samples=unary(-0.8, 0.8))
def arctanh(x, /):
    """The number whose hyperbolic tangent is x; |x| is at most 1.   (...) -> (...)

    >>> import numpy as np
    >>> arctanh(np.array([0.0, 0.5])).round(4)
    array([0.    , 0.5493])
    """
    return memory.apply(np.arctanh, x)


@arctanh.vjp
def _(g, _, x):
    return (divide(g, multiply(subtract(1.0, x), add(x, 1.0))),)


# ------------------------------------------------------------------------------------------------ choosing values


@elementwise(numpy=np.maximum, samples=binary(), kinks="where x = y each gets half of the gradient")
def maximum(x, y, /):
    """The greater of two, element by element.   (...), (...) -> (...)

    >>> import numpy as np
    >>> maximum(np.array([1.0, 5.0]), 3.0)
    array([3., 5.])
    """
    return memory.apply(np.maximum, x, y)


@maximum.vjp
def _(g, _, x, y):
    half = where(equal(x, y), 0.5, 0.0)
    return multiply(g, where(greater(x, y), 1.0, half)), multiply(g, where(less(x, y), 1.0, half))


@elementwise(numpy=np.minimum, samples=binary(), kinks="where x = y each gets half of the gradient")
def minimum(x, y, /):
    """The smaller of two, element by element.   (...), (...) -> (...)

    >>> import numpy as np
    >>> minimum(np.array([1.0, 5.0]), 3.0)
    array([1., 3.])
    """
    return memory.apply(np.minimum, x, y)


@minimum.vjp
def _(g, _, x, y):
    half = where(equal(x, y), 0.5, 0.0)
    return multiply(g, where(less(x, y), 1.0, half)), multiply(g, where(greater(x, y), 1.0, half))


@elementwise(numpy=np.fmax, samples=binary(), kinks="where x = y each gets half of the gradient")
def fmax(x, y, /):
    """The greater of two; where one is NaN the other.   (...), (...) -> (...)

    >>> import numpy as np
    >>> fmax(np.array([1.0, np.nan]), 3.0)
    array([3., 3.])
    """
    return memory.apply(np.fmax, x, y)


@fmax.vjp
def _(g, _, x, y):
    half = where(equal(x, y), 0.5, 0.0)
    return (multiply(g, where(logical_or(greater(x, y), isnan(y)), 1.0, half)),
            multiply(g, where(logical_or(less(x, y), logical_and(isnan(x), logical_not(isnan(y)))), 1.0, half)))  # fmt: skip


@elementwise(numpy=np.fmin, samples=binary(), kinks="where x = y each gets half of the gradient")
def fmin(x, y, /):
    """The smaller of two; where one is NaN the other.   (...), (...) -> (...)

    >>> import numpy as np
    >>> fmin(np.array([1.0, np.nan]), 3.0)
    array([1., 3.])
    """
    return memory.apply(np.fmin, x, y)


@fmin.vjp
def _(g, _, x, y):
    half = where(equal(x, y), 0.5, 0.0)
    return (multiply(g, where(logical_or(less(x, y), isnan(y)), 1.0, half)),
            multiply(g, where(logical_or(greater(x, y), logical_and(isnan(x), logical_not(isnan(y)))), 1.0, half)))  # fmt: skip


def _clip_reference(x, min=None, max=None):
    return np.clip(x, -np.inf if min is None else min, np.inf if max is None else max)


@elementwise(numpy=np.clip, reference=_clip_reference, samples=lambda rng: [
    Sample((rng.uniform(0.1, 1.9, (3, 4)) - (rng.random((3, 4)) < 0.5) * 2, -1.0, 1.0)), Sample((normal(rng, 3, 4), None, 5.0)),
    Sample((3 * normal(rng, 3, 1), normal(rng, 2, 1, 4) - 1, normal(rng, 4) + 2), note="arrays as bounds"),
    Sample((normal(rng, 3), 2.0 + rng.random(3), -2.0 - rng.random(3)), note="bounds the wrong way round"),
    Sample((strided(rng, 3, 4) + 3,), {"min": np.float64(0.1)}, note="strided"), Sample((normal(rng, 0, 3), -1, 1), note="0-size"),
    Sample((normal(rng), 3.0, 4.0), note="0-d"),
], kinks="1 on the closed interval; a bound gets the gradient of what it replaces")  # fmt: skip
def clip(x, min=None, max=None, /):
    """x, but not below min and not above max; None is no bound.   (...), (...), (...) -> (...)

    That is minimum(maximum(x, min), max): where min > max the result is max.

    >>> import numpy as np
    >>> clip(np.array([-3.0, 0.5, 3.0]), -1.0, 1.0), clip(np.array([-3.0, 3.0]), max=2.0)
    (array([-1. ,  0.5,  1. ]), array([-3.,  2.]))
    """
    if not isinstance(x, np.ndarray):
        x = np.asarray(x, np.result_type(*[v for v in (x, min, max) if v is not None]))
    if min is not None:
        x = memory.apply(np.maximum, x, min)
    return x if max is None else memory.apply(np.minimum, x, max)


@clip.vjp
def _(g, _, x, min, max, wanted):
    x, min, max = as_exact(g, x, min, max)
    below = False if min is None else less(x, min)
    above = False if max is None else greater(x if min is None else maximum(x, min), max)
    return (where(logical_or(below, above), 0.0, g), where(logical_and(below, logical_not(above)), g, 0.0) if wanted[1] else None,
            where(above, g, 0.0) if wanted[2] else None)  # fmt: skip


def _where_samples(rng):
    for sample in binary()(rng):
        x, y = sample.args
        yield sample._replace(args=(rng.random(np.shape(x)) < 0.5, x, y))


@elementwise(mask=1, numpy=np.where, samples=_where_samples, method=False)
def where(condition, x, y, /):
    """x where the condition holds, else y.   (...), (...), (...) -> (...)

    >>> import numpy as np
    >>> where(np.array([True, False]), np.array([1.0, 2.0]), 0.0)
    array([1., 0.])
    """
    return np.where(condition, x, y)


@where.vjp
def _(g, _, condition, _x, _y, wanted):
    return None, where(condition, g, 0.0) if wanted[1] else None, where(condition, 0.0, g) if wanted[2] else None


def _lerp_samples(rng):
    for sample in binary()(rng):
        yield sample._replace(args=(*sample.args, rng.random(np.shape(sample.args[0]))))
    yield Sample((normal(rng, 3), normal(rng, 2, 3), 0.9), note="number")


@elementwise(floating=True, reference=lambda x, y, weight: x * (1 - weight) + y * weight, samples=_lerp_samples)
def lerp(x, y, weight, /):
    """x + weight (y - x): x at weight 0, y at weight 1, a straight line through both.   (...), (...), (...) -> (...)

    >>> import numpy as np
    >>> lerp(np.array([1.0, 2.0]), np.array([3.0, 3.0]), 0.25)
    array([1.5 , 2.25])
    """
    step = y - x
    return np.where(np.less(weight, 0.5), x + weight * step, y - (1 - weight) * step)  # exact at both ends


@lerp.vjp
def _(g, _, x, y, weight, wanted):
    x, y, weight = as_exact(g, x, y, weight)
    return (multiply(g, subtract(1.0, weight)) if wanted[0] else None, multiply(g, weight) if wanted[1] else None,
            multiply(g, subtract(y, x)) if wanted[2] else None)  # fmt: skip


@elementwise(numpy=np.nan_to_num, samples=unary(), kinks="0 where a value is replaced")
def nan_to_num(x, /, nan=0.0, posinf=None, neginf=None):
    """x with numbers for NaN and the infinities; None is the greatest or smallest number of the dtype.   (...) -> (...)

    NumPy's function without its second argument, copy.

    >>> import numpy as np
    >>> nan_to_num(np.array([1.0, np.nan, np.inf]), posinf=9.0)
    array([1., 0., 9.])
    """
    return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


@nan_to_num.vjp
def _(g, _, x, nan, posinf, neginf):
    return (where(isfinite(x), g, 0.0),)


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
        dtype = np.dtype(dtype)
    except TypeError as error:
        raise DtypeError(f"astype: {error}. " + received(x=x, dtype=dtype)) from None
    if dtype.kind not in "fiub":
        raise DtypeError("astype: elements are numbers or booleans. " + received(x=x, dtype=dtype.name))
    return x.astype(dtype)


@astype.vjp
def _(g, _, _x, dtype):
    return (g.astype(_x.dtype),)


def floating(x, *others):
    """x in the default dtype where neither it nor any of ``others`` is floating: a difference of small integers could wrap around."""
    if any(np.asarray(values(a)).dtype.kind == "f" for a in (x, *others)):
        return x
    return astype(x, settings.default_dtype())

"""Special functions: the error function, the gamma function's logarithm and its derivatives, x log y."""

import math
import operator

import numpy as np

from ..errors import describe
from ..kernels import reference, special
from .broadcasting import elementwise
from .elementwise import as_exact, clip, divide, exp, log, multiply, negative, square, where
from .logic import equal, less_equal, logical_and, logical_or
from .samples import ErrorSample, Sample, binary, unary

__all__ = [
    "digamma", "erf", "erfc", "lgamma", "polygamma", "xlogy",
]  # fmt: skip


def _bell(x):
    """2 / sqrt(pi) exp(-x^2), the slope of erf; 0 beyond 40, before the square can overflow."""
    return multiply(exp(negative(square(clip(x, -40, 40)))), 2 / math.sqrt(math.pi))


@elementwise(floating=True, reference=np.vectorize(math.erf, otypes=[float]), samples=unary(-3.0, 3.0))
def erf(x, /):
    """Error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.   (...) -> (...)

    >>> import numpy as np
    >>> erf(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.8427])
    """
    return reference.erf(x)


@erf.vjp
def _(g, _, x):
    return (multiply(g, _bell(x)),)


@elementwise(floating=True, reference=np.vectorize(math.erfc, otypes=[float]), samples=unary(-3.0, 3.0))
def erfc(x, /):
    """1 - erf(x), accurate also where erf(x) is 1 to the last digit.   (...) -> (...)

    >>> import numpy as np
    >>> erfc(np.array([0.0, 10.0]))
    array([1.00000000e+00, 2.08848758e-45])
    """
    return special.erfc(x)


@erfc.vjp
def _(g, _, x):
    return (negative(multiply(g, _bell(x))),)


# ------------------------------------------------------------------------------------------------ the gamma function


def _between_poles(rng):
    yield from unary(0.4, 9.0)(rng)
    yield Sample((-2.5 + 0.3 * rng.uniform(-1, 1, (2, 3)),), note="negative")


@elementwise(floating=True, reference=np.vectorize(math.lgamma, otypes=[float]), samples=_between_poles)
def lgamma(x, /):
    """Logarithm of |gamma(x)|, where gamma(n) = (n-1)!; infinite at 0, -1, -2 ...   (...) -> (...)

    In float64 the error is about 1e-15 of the result; between two poles, near its zeros, 1e-15 itself.

    >>> import numpy as np
    >>> np.exp(lgamma(np.array([1.0, 2.0, 5.0]))).round(6)
    array([ 1.,  1., 24.])
    """
    return special.lgamma(x)


@lgamma.vjp
def _(g, _, x):
    return (multiply(g, digamma(x)),)


@elementwise(floating=True, samples=_between_poles)
def digamma(x, /):
    """The derivative of lgamma; infinite at 0, NaN at the other poles -1, -2 ..., whose sides differ.   (...) -> (...)

    In float64 the error is below 5e-15 of the result; between two poles, near its roots, 5e-15 itself.

    >>> import numpy as np
    >>> digamma(np.array([1.0, 2.0])).round(4)
    array([-0.5772,  0.4228])
    """
    return special.digamma(x)


@digamma.vjp
def _(g, _, x):
    return (multiply(g, polygamma(1, x)),)


def _polygamma_samples(rng):
    for order, sample in enumerate(unary(1.0, 9.0)(rng)):
        yield sample._replace(args=(order, *sample.args))
    yield Sample((2, -2.5 + 0.3 * rng.uniform(-1, 1, (2, 3))), note="negative")


@elementwise(floating=True, mask=1, method=False, samples=_polygamma_samples, errors=lambda: [
    ErrorSample((-1, np.ones(2)), {}, ValueError, "polygamma.*whole number.*-1"),
    ErrorSample((np.ones(2), 1), {}, ValueError, r"polygamma.*whole number.*\(2,\)"),
])  # fmt: skip
def polygamma(n, x, /):
    """The derivative of order n of digamma; polygamma(0, x) is digamma itself.   number, (...) -> (...)

    (-1)^(n+1) n! times the sum of (x + k)^-(n+1) over k >= 0. Infinite at 0, and at -1, -2 ... for odd n, else NaN there.
    In float64 the error is below 5e-15 of the result. Raises ValueError unless n is a whole number from 0 to 170.

    >>> import numpy as np
    >>> polygamma(1, np.array([1.0])) * 6 / np.pi**2
    array([1.])
    """
    try:
        order = operator.index(n)
    except TypeError:
        order = -1
    if not 0 <= order <= 170:
        raise ValueError(f"polygamma: the order n, which comes first, is a whole number from 0 to 170. Received: n {describe(n)}.")
    return special.polygamma(order, x) if order else special.digamma(x)


@polygamma.vjp
def _(g, _, n, x):
    return None, multiply(g, polygamma(n + 1, x))


# ---------------------------------------------------------------------------------------------------------- x log y


def _xlogy_samples(rng):
    yield from binary(second=(0.3, 3.0))(rng)


def _where_needed(x, y):
    """y, but 1 where x is 0 and log(y) would be infinite or NaN."""
    return where(logical_and(equal(x, 0), logical_or(less_equal(y, 0), equal(y, math.inf))), 1.0, y)


@elementwise(floating=True, reference=lambda x, y: x * np.log(y), samples=_xlogy_samples,
             kinks="both derivatives are 0 where x = 0 and y <= 0")  # fmt: skip
def xlogy(x, y, /):
    """x log(y), and 0 where x is 0, whatever y is.   (...), (...) -> (...)

    >>> import numpy as np
    >>> xlogy(np.array([0.0, 2.0]), np.array([0.0, np.e]))
    array([0., 2.])
    """
    return x * np.log(_where_needed(x, np.asarray(y, np.result_type(x, y))))


@xlogy.vjp
def _(g, _, x, y, wanted):
    x, y = as_exact(g, x, y)
    y = _where_needed(x, y)
    return multiply(g, log(y)) if wanted[0] else None, divide(multiply(g, x), y) if wanted[1] else None

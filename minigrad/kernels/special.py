"""Special functions in plain NumPy: the complement of erf, and the logarithm of the gamma function with all its derivatives.

Arrays in, arrays out. Computed in float64 whatever the input, to about 5e-15 of the result (erfc and lgamma 1e-15); the result has the
input's float type. Nothing warns: a pole is infinite, and where the two sides of a pole differ the value is NaN. The formulas
are those of Abramowitz and Stegun, chapters 6 and 7.
"""

import functools
import math

import numpy as np


def _in_float64(function):
    """``function`` of a float64 array and numbers, for arrays of any float type; overflow and poles are no reason to warn."""

    @functools.wraps(function)
    def of_any_float(*args):
        *numbers, x = args
        x = np.asarray(x)
        with np.errstate(all="ignore"):
            y = function(*numbers, x.astype(np.float64, copy=False))
            return np.asarray(y, x.dtype if x.dtype.kind == "f" else None)

    return of_any_float


# ---- the complement of the error function

_PER_UNIT = 1024  # steps of the table of erfc; a step is a binary fraction, so that its square is exact
_END = 27.25  # erfc is 0 from here on


@_in_float64
def erfc(x):
    """1 - erf(x), without cancellation: accurate as far as float64 goes, to x = 26.5.   (...) -> (...)

    Taylor's series around the nearest multiple a of 1/1024, where `math.erfc` gives the start: with |x| = a + d

        erfc(a + d) = erfc(a) - 2/sqrt(pi) exp(-a^2) d sum_n f_n d^n / (n+1)     (n+1) f_n+1 = -2 a f_n - 2 f_n-1

    >>> float(erfc(np.array(20.0))) == math.erfc(20.0)
    True
    """
    start, slope = _erfc_table()
    t = np.minimum(np.abs(x), _END)
    place = np.rint(np.where(np.isnan(t), 0, t) * _PER_UNIT).astype(np.intp)
    a = place / _PER_UNIT
    d = t - a
    before, term, integral = 0.0, 1.0, 1.0  # f_n-1 d^(n-1), f_n d^n and the sum
    for n in range(8):
        before, term = term, (-2 * a * d * term - 2 * d * d * before) / (n + 1)
        integral = integral + term / (n + 2)
    y = start[place] - slope[place] * d * integral
    return np.where(x < 0, 2 - y, y)


@functools.cache
def _erfc_table():
    """erfc and minus its derivative at the multiples of 1/1024."""
    a = [i / _PER_UNIT for i in range(int(_END * _PER_UNIT) + 1)]
    return np.array([math.erfc(v) for v in a]), np.array([2 / math.sqrt(math.pi) * math.exp(-v * v) for v in a])


# ---- the gamma function: its logarithm, and the derivatives of that

_BERNOULLI = [1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330]  # B_2, B_4 ...
_ROOT, _ROOT_REST = 1.4616321449683622, 9.5499954299656977e-17  # the sum is the positive root of digamma, in twice float64


def _series(coefficients, x):
    """c_1 x + c_2 x^2 + ..."""
    total = np.zeros_like(x)
    for c in reversed(coefficients):
        total = (total + c) * x
    return total


def _zeta(s, x):
    """Hurwitz's zeta function, the sum of (x + k)^-s over k >= 0, for a whole number s > 1 and x >= 0.

    The first terms one by one, the rest, from y = x + s + 8 on, by the formula of Euler and Maclaurin:

        y^(1-s) / (s-1) + y^-s / 2 + sum_j B_2j / (2j)! s (s+1) ... (s+2j-2) y^(-s-2j+1)
    """
    total = x ** -float(s)
    for k in range(1, s + 8):
        total = total + (x + k) ** -float(s)
    y = x + (s + 8)
    rest, factor = y ** (1.0 - s) / (s - 1) + y ** -float(s) / 2, s / 2 * y ** (-1.0 - s)
    for j, b in enumerate(_BERNOULLI, 1):
        rest = rest + b * factor
        factor = factor * ((s + 2 * j - 1) * (s + 2 * j) / ((2 * j + 1) * (2 * j + 2))) / (y * y)
    return total + rest


@functools.cache
def _log_gamma_at_2():
    """Taylor's coefficients of log gamma(2 + w): 1 - gamma, then (-1)^k (zeta(k) - 1) / k."""
    return [1 - np.euler_gamma, *((-1) ** k * float(_zeta(k, 2.0)) / k for k in range(2, 29))]


@functools.cache
def _digamma_at_root():
    """Taylor's coefficients of digamma at its positive root."""
    return [(-1) ** (k + 1) * float(_zeta(k + 1, _ROOT)) for k in range(1, 23)]


@_in_float64
def lgamma(x):
    """log |gamma(x)|; infinite at 0, -1, -2 ...   (...) -> (...)

    The zeros at 1 and 2 are exact. Between two poles below -2 there are two more zeros, where the error is absolute.
    From 7.5 on Stirling's series; below, gamma(y) = (y-1) gamma(y-1) leads to Taylor's series around 2; below 0
    gamma(x) gamma(1-x) = pi / sin(pi x).

    >>> lgamma(np.array([1.0, 5.0])).round(4)
    array([0.    , 3.1781])
    """
    x = np.maximum(x, -(2.0**53))  # only poles from there on
    y = np.where(x < 0, 1 - x, x)
    low, high = np.minimum(y, 7.5), np.maximum(y, 7.5)
    n = np.floor(np.where(np.isnan(low), 2, low) + 0.5)  # low = n + w
    w = low - n
    product = np.where(n == 0, 1 / np.abs(low), 1)
    for k in range(1, 7):
        product = product * np.where(n >= k + 2, low - k, 1)
    by_taylor = _series(_log_gamma_at_2(), w) + np.log(product) - np.where(n < 2, np.log1p(w), 0)
    by_stirling = (high - 0.5) * (np.log(high) - 1) + (math.log(2 * math.pi) - 1) / 2
    power = 1 / high
    for k, b in enumerate(_BERNOULLI, 1):
        by_stirling = by_stirling + b / (2 * k * (2 * k - 1)) * power
        power = power / high / high
    value = np.where(y < 7.5, by_taylor, by_stirling)
    return np.where(x < 0, np.log(math.pi / np.abs(np.sin(math.pi * (x - np.rint(x))))) - value, value)


def _cotangent(x):
    """cot(pi x); infinite at whole numbers."""
    return 1 / np.tan(math.pi * (x - np.rint(x)))


@_in_float64
def digamma(x):
    """The derivative of log gamma(x); infinite at 0, NaN at -1, -2 ...   (...) -> (...)

    From 10 on the asymptotic series, below digamma(y) = digamma(y+1) - 1/y; around the positive root Taylor's series;
    below 0 digamma(x) = digamma(1-x) - pi cot(pi x), where the error is absolute near the roots between the poles.

    >>> digamma(np.array([1.0])).round(8), -round(np.euler_gamma, 8)
    (array([-0.57721566]), -0.57721566)
    """
    y = np.where(x < 0, 1 - x, x)
    steps = 0.0
    for _ in range(10):
        below = y < 10
        steps = steps + np.where(below, 1 / y, 0)
        y = np.where(below, y + 1, y)
    value = np.log(y) - 0.5 / y
    power = 1 / y / y
    for k, b in enumerate(_BERNOULLI, 1):
        value = value - b / (2 * k) * power
        power = power / y / y
    near = np.abs(x - _ROOT) < 0.25
    value = np.where(near, _series(_digamma_at_root(), np.where(near, x - _ROOT - _ROOT_REST, 0)), value - steps)
    return np.where(x < 0, np.where(x == np.rint(x), np.nan, value - math.pi * _cotangent(x)), value)


@_in_float64
def polygamma(n, x):
    """The derivative of order n of digamma(x), n from 1 to 170; poles at 0, -1, -2 ...   (...) -> (...)

    (-1)^(n+1) n! zeta(n+1, x), and below 0

        polygamma(n, x) = (-1)^n polygamma(n, 1-x) - pi (d/dx)^n cot(pi x)

    where each derivative of the cotangent is a polynomial in it: (d/dx) p(cot(pi x)) = -pi (1 + cot^2) p'(cot(pi x)).

    >>> polygamma(1, np.array([1.0])).round(4), round(math.pi**2 / 6, 4)
    (array([1.6449]), 1.6449)
    """
    sign = (-1) ** n
    value = -sign * float(math.factorial(n)) * _zeta(n + 1, np.where(x < 0, 1 - x, x))
    if not np.any(x < 0):
        return value
    p = np.polynomial.Polynomial([0, math.pi])
    for _ in range(n):
        p = -math.pi * np.polynomial.Polynomial([1, 0, 1]) * p.deriv()
    pole = np.inf if n % 2 else np.nan  # where n is even the two sides differ in sign
    return np.where(x < 0, np.where(x == np.rint(x), pole, sign * value - p(_cotangent(x))), value)

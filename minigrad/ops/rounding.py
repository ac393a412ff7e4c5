"""Whole numbers near x, and what a division leaves over. Where a function is made of steps its derivative is 0 everywhere."""

import numpy as np

from .broadcasting import elementwise
from .elementwise import divide, flat, multiply, negative, subtract
from .samples import Sample, binary, unary

__all__ = [
    "ceil", "floor", "floor_divide", "fmod", "remainder", "round", "trunc",
]  # fmt: skip


def _whole(x):
    """Whether x has nothing to round. NumPy's own answer to integers depends on its version."""
    return x.dtype.kind in "iub"


@elementwise(numpy=np.floor, samples=unary(away_from=(-2, -1, 0, 1, 2)), kinks="0 everywhere")
def floor(x, /):
    """The greatest whole number that is not above x.   (...) -> (...)

    >>> import numpy as np
    >>> floor(np.array([1.7, -1.2]))
    array([ 1., -2.])
    """
    return x if _whole(x) else np.floor(x)


@floor.vjp
def _(g, _, _x):
    return (flat(g),)


@elementwise(numpy=np.ceil, samples=unary(away_from=(-2, -1, 0, 1, 2)), kinks="0 everywhere")
def ceil(x, /):
    """The smallest whole number that is not below x.   (...) -> (...)

    >>> import numpy as np
    >>> ceil(np.array([1.7, -1.2]))
    array([ 2., -1.])
    """
    return x if _whole(x) else np.ceil(x)


@ceil.vjp
def _(g, _, _x):
    return (flat(g),)


@elementwise(numpy=np.trunc, samples=unary(away_from=(-2, -1, 0, 1, 2)), kinks="0 everywhere")
def trunc(x, /):
    """x without its fraction: rounded towards 0.   (...) -> (...)

    >>> import numpy as np
    >>> trunc(np.array([1.7, -1.2]))
    array([ 1., -1.])
    """
    return x if _whole(x) else np.trunc(x)


@trunc.vjp
def _(g, _, _x):
    return (flat(g),)


def _round_samples(rng):
    yield from unary(away_from=(-1.5, -0.5, 0.5, 1.5))(rng)
    yield Sample((rng.integers(-20, 20, (3, 4)) / 10 + 0.02, 1), note="one decimal")
    yield Sample((100 * rng.integers(-20, 20, (3, 4)) + 7.0,), {"decimals": -2}, note="hundreds")


@elementwise(numpy=np.round, samples=_round_samples, kinks="0 everywhere")
def round(x, /, decimals=0):
    """The nearest number with so many decimals; a half goes to the even neighbour.   (...) -> (...)

    >>> import numpy as np
    >>> round(np.array([0.5, 1.5, -1.2])), round(np.array([3.14159]), 2)
    (array([ 0.,  2., -1.]), array([3.14]))
    """
    return x if _whole(x) and decimals >= 0 else np.round(x, decimals)


@round.vjp
def _(g, _, _x, decimals):
    return (flat(g),)


# ------------------------------------------------------------------------------------- division with a remainder


def _division_samples(rng):
    """Quotients whose fraction is not near 0: y is near 1 or -1, the fraction of x is between 0.3 and 0.7."""
    for sample in binary()(rng):
        x, y = [np.asarray(v) for v in sample.args]
        x, y = np.floor(x) + 0.5 + x / 10, np.copysign(1 + y / 40, y)
        yield sample._replace(args=(x, 1.0 if "number" in sample.note else y))


@elementwise(numpy=np.floor_divide, samples=_division_samples, kinks="0 everywhere")
def floor_divide(x, y, /):
    """x / y rounded down.   (...), (...) -> (...)

    >>> import numpy as np
    >>> floor_divide(np.array([7.0, -7.0]), 2.0)
    array([ 3., -4.])
    """
    return np.floor_divide(x, y)


@floor_divide.vjp
def _(g, _, x, y):
    return flat(g), flat(g)


@elementwise(numpy=np.remainder, samples=_division_samples, kinks="at a jump the slopes are those within the steps: 1 and -floor(x / y)")
def remainder(x, y, /):
    """x - y floor(x / y): what is left over, with the sign of y, as ``%`` in Python.   (...), (...) -> (...)

    >>> import numpy as np
    >>> remainder(np.array([7.0, -7.0]), 4.0)
    array([3., 1.])
    """
    return np.remainder(x, y)


@remainder.vjp
def _(g, _, x, y, wanted):
    return g, negative(multiply(g, floor_divide(x, y))) if wanted[1] else None


@elementwise(numpy=np.fmod, samples=_division_samples, kinks="at a jump the slopes are those within the steps: 1 and -trunc(x / y)")
def fmod(x, y, /):
    """x - y trunc(x / y): what is left over, with the sign of x, as ``%`` in C.   (...), (...) -> (...)

    >>> import numpy as np
    >>> fmod(np.array([7.0, -7.0]), 4.0)
    array([ 3., -3.])
    """
    return np.fmod(x, y)


@fmod.vjp
def _(g, out, x, y, wanted):
    # x - out is y times a whole number; x / y, rounded, may have reached the next one
    return g, negative(multiply(g, round(divide(subtract(x, out), y)))) if wanted[1] else None

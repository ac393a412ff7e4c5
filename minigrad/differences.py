"""Difference quotients that know how far they may be off.

For one direction the function is asked at +-h, +-h/2 and +-h/4. Central quotients at two steps give one extrapolated slope
(Richardson: the error of order h^2 cancels), at h, h/2 and again at h/2, h/4. What the two extrapolations disagree in, what left
and right slope disagree in beyond curvature, and what rounding can do, add up to the estimated error of the second one.
"""

from typing import NamedTuple

import numpy as np

STEP = 2.0**-10
INCONCLUSIVE = 1e-6  # relative error of the quotient itself, above which nothing can be said
_GOOD = 1e-7  # relative error with which we are content; above it smaller steps are tried
_PLAIN = 0.03  # relative error from which a kink is no bend of the slope's own slope, which smaller steps straighten
_SMALLER = (2**4, 2**8, 2**12, 2**16, 2**22, 2**28)
_ROUNDING = 16 * np.finfo(np.float64).eps
_SMALL = 1e-3  # a slope below this share of its neighbours, or of the value, is measured against them


class Quotient(NamedTuple):
    """One number per output: the slope along a direction, its estimated error, the step, whether a kink is within reach."""

    slope: np.ndarray
    error: np.ndarray
    step: np.ndarray
    kinked: np.ndarray


def along(value, here, size, noise=0.0, reach=1.0, step=STEP, smaller=_SMALLER):
    """The derivative of ``value(t)`` at t = 0, for every output.

    ``here`` is value(0), ``size`` the magnitude of what was added up for each output, which sets the rounding; ``noise`` is what
    two calls at the same point differ in; ``reach`` is the magnitude of the inputs, with which the step grows. A function that
    is too steep for the step, or not defined so far out, is asked again at ``smaller`` ones; one with a plain kink is not.
    """
    step = step * 2.0 ** np.round(np.log2(max(1.0, reach)))
    best = _quotient(value, here, size, noise, reach, step)
    better = np.ones(best.error.shape, bool)
    for divisor in smaller:
        scale = _scale(best.slope, size)
        if (best.kinked & (best.error > _PLAIN * scale)).any() or (best.error <= _GOOD * scale).all() or not better.any():
            break
        other = _quotient(value, here, size, noise, reach, step / divisor)
        # where a smaller step did not help, noise rules, in which a still smaller one would drown
        better &= (other.error < best.error) | np.isinf(best.error)
        best = Quotient(*[np.where(better, new, old) for new, old in zip(other, best)])
    if best.kinked.any():  # the error of noise and of jumps grows where the step shrinks, that of a kink does not
        closer = _quotient(value, here, size, noise, reach, step / _SMALLER[0])
        best = best._replace(kinked=best.kinked & (closer.error < 4 * best.error))
    return best


def _quotient(value, here, size, noise, reach, step):
    steps = step, step / 2, step / 4
    with np.errstate(all="ignore"):  # so far out the function may be undefined
        above, below = ([value(sign * h) for h in steps] for sign in (1, -1))
        central = [(a - b) / (2 * h) for a, b, h in zip(above, below, steps)]
        bends = [((a - here) - (here - b)) / h for a, b, h in zip(above, below, steps)]  # right slope - left slope
        before, jump = (abs(2 * bends[i + 1] - bends[i]) for i in (0, 1))  # curvature cancels, a kink stays
        first, slope = ((4 * central[i + 1] - central[i]) / 3 for i in (0, 1))
        rounding = _ROUNDING * (size / steps[-1] + abs(slope) * (1 + reach / steps[-1])) + noise / steps[-1]
        error = abs(slope - first) + jump + rounding
        kinked = (jump > error / 3) & (jump > before / 4) & (jump > INCONCLUSIVE * _scale(slope, size)) & (jump > 4 * rounding)
    unknown = ~np.isfinite(error)
    return Quotient(
        np.where(unknown, np.nan, slope), np.where(unknown, np.inf, error), np.full(here.shape, step), kinked & ~unknown
    )


def _scale(slope, size):
    known = np.where(np.isfinite(slope), abs(slope), 0.0)
    return np.maximum(known, _SMALL * np.maximum(known.max(initial=0.0), size))


def relative_scale(analytic, slope, size):
    """What a difference is relative to, for slopes (outputs, directions): the slope, or 1e-3 of the largest in its row or of the value."""
    known = np.where(np.isfinite(slope), abs(slope), 0.0)
    known = np.maximum(known, np.where(np.isfinite(analytic), abs(analytic), 0.0))
    rows = np.maximum(known.max(axis=1, initial=0.0), size)[:, None]
    return np.maximum(known, _SMALL * rows)

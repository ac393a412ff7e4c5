"""Gradients against finite differences: is the derivative that the engine computes the derivative of the function?"""

from typing import NamedTuple

import numpy as np

from .core import Tensor, wrap
from .derivatives import gradients
from .errors import GradcheckError

STEP = 1e-3  # of the first central difference; the second takes half of it
INCONCLUSIVE = 1e-6  # relative error of the difference quotient itself, above which nothing can be said


def finite_difference(f, *inputs):
    """The numerical gradient of ``f``, which returns one number, for every input: a list of float64 arrays.

    Central differences at two steps, extrapolated (Richardson): error of order step^4.

    >>> finite_difference(lambda x: (x * x).sum(), np.array([1.0, 3.0]))[0].round(6)
    array([2., 6.])
    """
    return [value for value, _ in _quotients(f, [_float64(x) for x in inputs])]


def _float64(x):
    return np.array(x._data if isinstance(x, Tensor) else x, np.float64)


def _quotients(f, arrays):
    """Per input: the extrapolated difference quotient and an estimate of its error, both in the input's shape."""

    def value():
        out = f(*[wrap(a.copy()) for a in arrays])
        return float(out.item() if isinstance(out, Tensor) else out)

    results, here = [], value()
    for a in arrays:
        slope, error = np.zeros_like(a), np.zeros_like(a)
        for place in np.ndindex(a.shape):
            middle = a[place]
            step = STEP * max(1.0, abs(middle))
            quotient, bend = [], []
            for h in (step, step / 2):
                a[place] = middle + h
                above = value()
                a[place] = middle - h
                below = value()
                quotient.append((above - below) / (2 * h))
                bend.append(((above - here) - (here - below)) / h)  # slope on the right minus slope on the left
                a[place] = middle
            slope[place] = (4 * quotient[1] - quotient[0]) / 3
            # what the extrapolation removed bounds what is left; a bend that does not shrink with the step is a kink;
            # rounding adds its own share
            jump = abs(2 * bend[1] - bend[0])
            error[place] = (abs(quotient[1] - quotient[0]) + jump) * STEP + np.finfo(float).eps * (1 + abs(above)) / step * 8
        results.append((slope, error))
    return results


class Report(NamedTuple):
    """What gradcheck found for one input: worst relative difference, worst relative error of the quotient itself."""

    name: str
    worst: float
    uncertain: float


def gradcheck(f, *inputs, names=None, rtol=1e-6):
    """Check the gradient of ``f`` with respect to every input against finite differences, in float64.

    ``f`` returns a Tensor of any shape; one fixed random weighting makes a number of it. Returns a list of `Report`, one
    per input. Raises GradcheckError naming input, index, both values and the estimated error of the quotient where they
    differ, and also where the quotient is too uncertain to say anything (a point near a kink).

    >>> gradcheck(lambda x: x * x * x, np.array([1.0, -2.0]))[0].worst < 1e-8
    True
    """
    arrays = [_float64(x) for x in inputs]
    names = names or [f"input {i}" for i in range(len(arrays))]
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    out = f(*leaves)
    weights = np.random.default_rng(0).uniform(0.5, 1.5, out.shape) * np.where(np.indices(out.shape).sum(0) % 2, -1, 1)
    analytic = gradients(out, leaves, [weights.astype(out.dtype)], allow_unused=True)
    numeric = _quotients(lambda *xs: (f(*xs)._data * weights).sum(), arrays)
    return [
        _compare(name, np.zeros_like(a) if g is None else g._data, slope, error, rtol)
        for name, a, g, (slope, error) in zip(names, arrays, analytic, numeric)
    ]


def _compare(name, analytic, slope, error, rtol):
    if not slope.size:
        return Report(name, 0.0, 0.0)
    scale = max(1e-3, float(np.max(np.abs(slope))), float(np.max(np.abs(analytic))))
    difference, uncertain = np.abs(analytic - slope) / scale, error / scale
    bad = ~(difference <= rtol + 10 * uncertain) & ~(uncertain > INCONCLUSIVE)  # NaN is bad
    if bad.any():
        worst = np.argsort(np.where(np.isnan(difference), np.inf, difference), axis=None)[::-1][:5]
        rows = [
            f"  {str(np.unravel_index(i, slope.shape)):>16} {analytic.flat[i]:>16.9g} {slope.flat[i]:>16.9g} {error.flat[i]:>10.1e}"
            .replace("np.int64(", "").replace("),", ",").replace("))", ")")
            for i in worst
        ]  # fmt: skip
        raise GradcheckError(
            f"gradcheck: the gradient of {name} is wrong in {bad.sum()} of {bad.size} places. The worst:\n"
            f"  {'index':>16} {'analytic':>16} {'numeric':>16} {'its error':>10}\n" + "\n".join(rows)
        )
    if uncertain.max() > INCONCLUSIVE:
        raise GradcheckError(
            f"gradcheck: nothing can be said about {name}: the difference quotient itself is uncertain by {uncertain.max():.1e} "
            "(relative). The point may lie near a kink, or the function may be noisy; move the point."
        )
    return Report(name, float(difference.max()), float(uncertain.max()))

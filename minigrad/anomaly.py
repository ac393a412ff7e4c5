"""Where a number went bad, and which line of user code is to blame: what `detect_anomaly` looks for and says.

The rule, in two sentences. A NaN is reported where it first comes out of an op: that op made it, or it came in with the
data. An infinity is reported where an op makes one of finite numbers, or a rule one of a finite gradient; infinities that
come in (masks of -inf) are let through, and so is what ops make of them, until that is NaN.
"""

import linecache
import os
import sys
import zlib
from typing import NamedTuple

import numpy as np

from .errors import AnomalyError, GradientError, received

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_LAYERS = (_HERE + "dense.py", os.path.join(os.path.dirname(os.path.dirname(_HERE)), "transformer") + os.sep)
_LIBRARY = (_HERE, *_LAYERS, os.path.dirname(os.path.abspath(np.__file__)) + os.sep)


class Site(NamedTuple):
    """Where an op was called: the line of user code, the line of a layer of ours between the two, and what it was part of."""

    user: tuple
    layer: tuple | None
    during: str = "forward"

    def __str__(self):
        return "\n".join(
            f'  File "{file}", line {line}, in {function}' + (f"\n    {text}" if (text := linecache.getline(file, line).strip()) else "")
            for file, line, function in filter(None, (self.user, self.layer))
        )


def here():
    """The Site of the call that is running: the innermost frames outside the engine, and outside our packages."""
    frame, layer = sys._getframe(1), None
    while True:
        file = frame.f_code.co_filename
        place = (file, frame.f_lineno, frame.f_code.co_name)
        if file.startswith(_LAYERS):
            layer = layer or place
        if not file.startswith(_LIBRARY) or frame.f_back is None:
            return Site(place, layer)
        frame = frame.f_back


def checksums(arrays):
    """A number for each array that changes when its elements do; None for what is no array."""
    return [zlib.crc32(a.tobytes()) if isinstance(a, np.ndarray) else None for a in arrays]


def check_unchanged(op, names, arrays, sums, site):
    """Raise GradientError if an array is not what it was when the op was recorded."""
    for name, a, before, after in zip(names, arrays, sums, checksums(arrays)):
        if before != after:
            raise GradientError(
                f"{op}: its input {name} was changed in place between forward and backward, so its gradient would be wrong. Give the "
                f"op a copy. The call:\n{site}\n" + received(**{name: a})
            )


def check_forward(op, names, inputs, params, outputs, site):
    """Raise AnomalyError for the first output with a NaN, or with an infinity made of finite numbers."""
    came_in = [name for name, x in zip(names, inputs) if _any(np.isnan, x)]
    infinite = any(_any(np.isinf, x) for x in (*inputs, *params.values()))
    for number, out in enumerate(outputs):
        bad = _bad(out, nan_only=infinite)
        if bad is None:
            continue
        which = f"output {number}" if len(outputs) > 1 else "its output"
        if came_in:
            cause = f"NaN came in with {' and '.join(came_in)}, from data or from before anomaly mode"
        else:
            cause = "the op made it: " + ("no input is NaN" if infinite else "all inputs are finite") + _values_at(bad, out, names, inputs)
        raise AnomalyError(f"{op}, {site.during}: {_first(bad, out)} of {which}; {cause}.\n{site}\n" + _received(names, inputs))


def check_seed(seed):
    """Raise AnomalyError for a gradient to start from that is not finite."""
    bad = _bad(seed)
    if bad is not None:
        raise AnomalyError(f"backward: {_first(bad, seed)} of the gradient that was given to start from. " + received(gradient=seed))


def check_arrived(what, g, site=""):
    """Raise AnomalyError where the finite gradients of several uses do not have a finite sum, or a hook returned what is not finite."""
    bad = _bad(g)
    if bad is not None:
        raise AnomalyError(
            f"backward: {_first(bad, g)} of the gradient that arrives at {what}; its parts are finite, so their sum overflowed, or a "
            f"hook made it.\n{site}\n" + received(gradient=g)
        )


def check_backward(op, names, inputs, g, results, site):
    """Raise AnomalyError for the first gradient with a NaN or infinity that a rule made of a finite one."""
    for name, d in zip(names, results):
        bad = _bad(d) if d is not None else None
        if bad is not None:
            raise AnomalyError(
                f"{op}, backward: {_first(bad, d)} of the gradient for {name}; its rule made it, the gradient that arrived is finite"
                f"{_values_at(bad, d, ['g', *names], [g, *inputs])}. The op was called here:\n{site}\n" + _received(names, inputs)
            )


def _any(test, x):
    """Whether ``test`` holds anywhere in ``x``, an array or a number; nothing else can be NaN or infinite."""
    floating = x.dtype.kind == "f" if isinstance(x, np.ndarray) else isinstance(x, float | np.floating)
    return floating and bool(np.any(test(x)))


def _bad(x, nan_only=False):
    """Which elements are not finite, or None if all are."""
    if x.dtype.kind != "f":
        return None
    bad = np.isnan(x) if nan_only else ~np.isfinite(x)
    return bad if bad.any() else None


def _first(bad, x):
    index = np.unravel_index(np.argmax(bad), bad.shape)
    many = f" ({bad.sum()} of {bad.size} elements are not finite)" if bad.size > 1 else ""
    return f"{x[index]} at index {tuple(map(int, index))}{many}"


def _values_at(bad, x, names, inputs):
    """What stood at the bad place of every input of the same shape: mostly the reason."""
    index = np.unravel_index(np.argmax(bad), bad.shape)
    there = [f"{name} = {i[index]}" for name, i in zip(names, inputs) if isinstance(i, np.ndarray) and i.shape == x.shape]
    return ", there " + ", ".join(there) if there else ""


def _received(names, inputs):
    return received(**{name: x for name, x in zip(names, inputs) if x is not None})

"""Heads turned by the angles of their positions."""

import math

import numpy as np

from minigrad.kernels.compile import floats, kernel, run
from minigrad.kernels.memory import empty, even
from minigrad.kernels.simd import row, share


def rotary(x, cos, sin):
    """See `reference.rotary`.   (..., T, d), (..., T, d/2), (..., T, d/2) -> (..., T, d)"""
    *before, T, d = x.shape
    h, half = before[-1] if before else 1, d // 2
    B = math.prod(before[:-1])
    x, cos, sin = (even(a) if a.strides[-1] == a.itemsize else np.ascontiguousarray(a) for a in (x, cos, sin))
    shape, x = x.shape, x.reshape(B, h, T, d)
    cos, sin = (np.broadcast_to(a, (*shape[:-1], half)).reshape(B, h, T, half) for a in (cos, sin))
    if x.strides[1] < x.strides[2]:  # heads lie side by side, and so they come out
        y = empty((B, T, h, d), x.dtype).transpose(0, 2, 1, 3)  # (B, T, h, d) -> (B, h, T, d)
    else:
        y = empty((B, h, T, d), x.dtype)
    steps = [stride // x.itemsize for a in (x, cos, sin, y) for stride in a.strides[:-1]]
    run(_rotary, B * T, 2 * x.size, x, cos, sin, y, B * T, T, h, half, *steps)
    return y.reshape(shape)


@kernel
def _rotary(
    t: int, nt: int, x: floats, cos: floats, sin: floats, y: floats, rows: int, T: int, h: int, half: int, x_b: int, x_h: int,
    x_t: int, cos_b: int, cos_h: int, cos_t: int, sin_b: int, sin_h: int, sin_t: int, y_b: int, y_h: int, y_t: int,
):  # fmt: skip
    first, last = share(t, nt, rows)
    for i in range(first, last):
        b, step = i // T, i % T
        for head in range(h):
            old, new = b * x_b + head * x_h + step * x_t, b * y_b + head * y_h + step * y_t
            c, s = row(cos, b * cos_b + head * cos_h + step * cos_t, half), row(sin, b * sin_b + head * sin_h + step * sin_t, half)
            x1, x2, y1, y2 = row(x, old, half), row(x, old + half, half), row(y, new, half), row(y, new + half, half)
            for j in range(half):
                y1[j] = x1[j] * c[j] - x2[j] * s[j]
                y2[j] = x2[j] * c[j] + x1[j] * s[j]

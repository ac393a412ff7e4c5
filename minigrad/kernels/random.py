"""Dropout from a counter: who is kept is a hash of a number, so nothing is stored and threads do not matter."""

import numpy as np
from numba import types
from numba.extending import intrinsic

from minigrad.kernels import reference
from minigrad.kernels.compile import floats, kernel, run
from minigrad.kernels.memory import empty_like
from minigrad.kernels.simd import constant, number, row, share
from minigrad.kernels.vecmath import Value

_CHUNK = 4096


def dropout(x, rate, seed, offset):
    """See `reference.dropout`.   (...) -> (...)"""
    x = np.asarray(x, order="C")
    y = empty_like(x)
    threshold, scale = int(reference.dropout_threshold(rate)), reference.dropout_scale(rate)
    for start, stop, low, (first, second) in reference.dropout_spans(x.size, seed, offset):
        chunks = -(-(stop - start) // _CHUNK)
        run(
            _dropout, chunks, stop - start, x, y, start, stop, chunks,
            int(low), int(first), int(second), threshold, scale,
        )  # fmt: skip
    return y


@intrinsic
def is_kept(typing_context, counter, first, second, threshold):
    """Whether the hash of a counter reaches the threshold; all are the lower 32 bits of an int64."""

    def generate(context, builder, signature, values):
        word = context.get_value_type(types.uint32)
        *numbers, limit = (Value(builder, builder.trunc(v, word)) for v in values)
        return builder.icmp_unsigned(">=", reference.hash_counter(*numbers).code, limit.code)

    return types.boolean(types.int64, types.int64, types.int64, types.int64), generate


@kernel
def _dropout(
    t: int, nt: int, x: floats, y: floats, start: int, stop: int, chunks: int,
    low: int, first_key: int, second_key: int, threshold: int, scale: float,
):  # fmt: skip
    first, last = share(t, nt, chunks)
    begin = start + first * _CHUNK
    size = min(stop, start + last * _CHUNK) - begin
    xs, ys = row(x, begin, size), row(y, begin, size)
    low += first * _CHUNK
    factor, zero = number(scale, x), constant(0, x)
    for i in range(size):
        ys[i] = xs[i] * factor if is_kept(low + i, first_key, second_key, threshold) else zero

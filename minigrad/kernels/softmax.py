"""softmax and log_softmax along rows: one pass for the maximum, one for the exponentials, one to divide.

A row's exponentials wait for its largest element, and its logarithm for their sum, but not for those of other rows. So each
step is done for a group of rows before the next.
"""

import numpy as np

from minigrad.kernels.compile import EXACT, booleans, floats, helper, kernel, run
from minigrad.kernels.memory import empty_like
from minigrad.kernels.simd import constant, maximum, row, rows_of, share
from minigrad.kernels.vecmath import decay, log

GROUP = 16  # rows
_BLOCK = 1024  # elements of a long row that are looked through twice: they stay in the nearest cache


def softmax(x, where=None):
    """See `reference.softmax`.   (..., N) -> (..., N)"""
    x = np.asarray(x, order="C")
    y = empty_like(x)
    R, N = rows_of(x)
    if where is None:
        run(_softmax, R, x.size, x, y, R, N)
    else:
        where = np.asarray(where, dtype=bool, order="C")
        if where.shape != x.shape:
            where = np.ascontiguousarray(np.broadcast_to(where, x.shape))
        run(_masked_softmax, R, x.size, x, where, y, R, N)
    return y


def softmax_grad(g, y):
    """See `reference.softmax_grad`.   (..., N), (..., N) -> (..., N)"""
    return _from_output(_softmax_grad, g, y)


def log_softmax(x):
    """See `reference.log_softmax`.   (..., N) -> (..., N)"""
    x = np.asarray(x, order="C")
    y = empty_like(x)
    R, N = rows_of(x)
    run(_log_softmax, R, 2 * x.size, x, y, np.empty((2, R), x.dtype), R, N)
    return y


def log_softmax_grad(g, y):
    """See `reference.log_softmax_grad`.   (..., N), (..., N) -> (..., N)"""
    return _from_output(_log_softmax_grad, g, y)


def _from_output(kernel, g, y):
    g, y = np.asarray(g, order="C"), np.asarray(y, order="C")
    d = empty_like(y)
    R, N = rows_of(y)
    run(kernel, R, y.size, g, y, d, R, N)
    return d


@helper
def largest(x):
    """The largest element of a row; NaN if there is one."""
    top = constant(-np.inf, x)
    for j in range(x.size):
        top = maximum(top, x[j])
    return top


@helper
def sums_of_rows(x, first, last, N, tops, totals):
    """Of each row of N elements the largest, and the sum of the exponentials less it.

    Block by block: the sum so far is made smaller where a block has a larger element than those before.
    """
    nothing, zero = constant(-np.inf, x), constant(0, x)
    for i in range(first, last):
        tops[i] = largest(row(x, i * N, min(_BLOCK, N)))
    for i in range(first, last):
        top, total = tops[i], zero
        for start in range(0, N, _BLOCK):
            block = row(x, i * N + start, min(_BLOCK, N - start))
            if start > 0:
                larger = largest(block)
                if larger > top:
                    total *= decay(top - larger)
                    top = larger
            base = zero if top == nothing else top
            new = zero
            for j in range(block.size):
                new += decay(block[j] - base)
            total += new
        tops[i], totals[i] = top, total


@helper(fastmath=EXACT)
def log_probability(x, top, rest):
    """x - top - rest in this order: kernels may regroup sums, and x - (top + rest) would lose the small part."""
    return (x - top) - rest


@kernel
def _softmax(t: int, nt: int, x: floats, y: floats, R: int, N: int):
    first, last = share(t, nt, R)
    for group in range(first, last, GROUP):
        rows = range(group, min(last, group + GROUP))
        for i in rows:
            y[i * N] = largest(row(x, i * N, N))
        for i in rows:
            xi, yi = row(x, i * N, N), row(y, i * N, N)
            top, total = yi[0], constant(0, x)
            for j in range(N):
                e = decay(xi[j] - top)
                yi[j] = e
                total += e
            scale = constant(1, x) / total
            for j in range(N):
                yi[j] *= scale


@kernel
def _masked_softmax(t: int, nt: int, x: floats, where: booleans, y: floats, R: int, N: int):
    first, last = share(t, nt, R)
    nothing, zero, one = constant(-np.inf, x), constant(0, x), constant(1, x)
    for i in range(first, last):
        xi, wi, yi = row(x, i * N, N), row(where, i * N, N), row(y, i * N, N)
        for j in range(N):
            yi[j] = xi[j] if wi[j] else nothing
        top = largest(yi)
        if top == nothing:
            top = zero
        total = zero
        for j in range(N):
            e = decay(yi[j] - top)
            yi[j] = e
            total += e
        scale = zero if total == zero else one / total
        for j in range(N):
            yi[j] *= scale


@kernel
def _softmax_grad(t: int, nt: int, g: floats, y: floats, d: floats, R: int, N: int):
    first, last = share(t, nt, R)
    for i in range(first, last):
        gi, yi, di = row(g, i * N, N), row(y, i * N, N), row(d, i * N, N)
        total = constant(0, y)
        for j in range(N):
            total += gi[j] * yi[j]
        for j in range(N):
            di[j] = yi[j] * (gi[j] - total)


@kernel
def _log_softmax(t: int, nt: int, x: floats, y: floats, statistics: floats, R: int, N: int):
    first, last = share(t, nt, R)
    tops, rests = row(statistics, 0, R), row(statistics, R, R)
    for group in range(first, last, GROUP):
        end = min(last, group + GROUP)
        sums_of_rows(x, group, end, N, tops, rests)
        for i in range(group, end):
            rests[i] = log(rests[i])
        for i in range(group, end):
            xi, yi, top, rest = row(x, i * N, N), row(y, i * N, N), tops[i], rests[i]
            for j in range(N):
                yi[j] = log_probability(xi[j], top, rest)


@kernel
def _log_softmax_grad(t: int, nt: int, g: floats, y: floats, d: floats, R: int, N: int):
    first, last = share(t, nt, R)
    for i in range(first, last):
        gi, yi, di = row(g, i * N, N), row(y, i * N, N), row(d, i * N, N)
        total = constant(0, y)
        for j in range(N):
            total += gi[j]
        for j in range(N):
            di[j] = gi[j] - decay(yi[j]) * total

"""softmax and log_softmax along rows: one pass for the maximum, one for the exponentials, one to divide."""

import numpy as np

from minigrad.kernels.compile import EXACT, booleans, floats, helper, kernel, run
from minigrad.kernels.memory import empty_like
from minigrad.kernels.simd import constant, maximum, row, share
from minigrad.kernels.vecmath import exp, log


def softmax(x, where=None):
    """See `reference.softmax`.   (..., N) -> (..., N)"""
    x = np.asarray(x, order="C")
    y = empty_like(x)
    R, N = _rows(x)
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
    R, N = _rows(x)
    run(_log_softmax, R, x.size, x, y, R, N)
    return y


def log_softmax_grad(g, y):
    """See `reference.log_softmax_grad`.   (..., N), (..., N) -> (..., N)"""
    return _from_output(_log_softmax_grad, g, y)


def _from_output(kernel, g, y):
    g, y = np.asarray(g, order="C"), np.asarray(y, order="C")
    d = empty_like(y)
    R, N = _rows(y)
    run(kernel, R, y.size, g, y, d, R, N)
    return d


def _rows(x):
    """(R, N): how many rows of how many elements."""
    return (x.size // x.shape[-1] if x.shape[-1] else 0), x.shape[-1]


@helper
def largest(x):
    """The largest element of a row; NaN if there is one."""
    top = constant(-np.inf, x)
    for j in range(x.size):
        top = maximum(top, x[j])
    return top


@helper(fastmath=EXACT)
def log_probability(x, top, rest):
    """x - top - rest in this order: kernels may regroup sums, and x - (top + rest) would lose the small part."""
    return (x - top) - rest


@kernel
def _softmax(t: int, nt: int, x: floats, y: floats, R: int, N: int):
    first, last = share(t, nt, R)
    for i in range(first, last):
        xi, yi = row(x, i * N, N), row(y, i * N, N)
        top = largest(xi)
        total = constant(0, x)
        for j in range(N):
            e = exp(xi[j] - top)
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
            e = exp(yi[j] - top)
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
def _log_softmax(t: int, nt: int, x: floats, y: floats, R: int, N: int):
    first, last = share(t, nt, R)
    for i in range(first, last):
        xi, yi = row(x, i * N, N), row(y, i * N, N)
        top = largest(xi)
        total = constant(0, x)
        for j in range(N):
            total += exp(xi[j] - top)
        rest = log(total)
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
            di[j] = gi[j] - exp(yi[j]) * total

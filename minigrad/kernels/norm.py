"""Normalization of rows and of columns, their gradients, and sums of columns."""

import math

import numpy as np

from minigrad.kernels.compile import EXACT, doubles, floats, helper, kernel, run, scratch
from minigrad.kernels.memory import empty_like
from minigrad.kernels.simd import constant, number, row, rows_of, share, sqrt

CHUNK = 64  # rows whose columns are added up in the element type; the sums of chunks are added up in float64


def layer_norm(x, gamma, beta, eps, centred=True):
    """See `reference.layer_norm`.   (..., E) -> y (..., E), mean (...), rstd (...)"""
    x = np.asarray(x, order="C")
    E = x.shape[-1]
    gamma = np.ones(E, x.dtype) if gamma is None else np.ascontiguousarray(gamma)
    beta = np.zeros(E, x.dtype) if beta is None else np.ascontiguousarray(beta)
    y, mean, rstd = empty_like(x), np.empty(x.shape[:-1], x.dtype), np.empty(x.shape[:-1], x.dtype)
    run(normalize_rows, mean.size, x.size, x, gamma, beta, y, mean, rstd, mean.size, E, eps, int(centred))
    return y, mean, rstd


def layer_norm_grad(g, x, gamma, mean, rstd, centred=True, into=None):
    """See `reference.layer_norm_grad`.   g, x (..., E) -> dx (..., E), dgamma (E,), dbeta (E,)"""
    g, x = np.asarray(g, order="C"), np.asarray(x, order="C")
    E = x.shape[-1]
    gamma = np.ones(E, x.dtype) if gamma is None else np.ascontiguousarray(gamma)
    mean, rstd = np.asarray(mean, order="C"), np.asarray(rstd, order="C")
    adds = into is not None and into.flags.c_contiguous
    dx = into if adds else empty_like(x)
    chunks = -(-mean.size // CHUNK)
    sums = _empty_sums((chunks, 2, E), x.dtype)
    run(_layer_norm_grad, chunks, 2 * x.size, g, x, gamma, mean, rstd, dx, sums, mean.size, E, chunks, int(centred), int(adds))
    dgamma, dbeta = _add_up(sums)
    return dx, dgamma, dbeta


def batch_norm(x, gamma, beta, eps):
    """See `reference.batch_norm`.   (..., F) -> y (..., F), mean (F,), rstd (F,), var (F,)"""
    x = np.asarray(x, order="C")
    R, F = rows_of(x)
    chunks = -(-R // CHUNK)
    sums = _empty_sums((chunks, 2, F), x.dtype)
    run(_column_moments, chunks, 2 * x.size, x, sums, R, F, chunks)
    gamma = np.ones(F, x.dtype) if gamma is None else np.ascontiguousarray(gamma)
    beta = np.zeros(F, x.dtype) if beta is None else np.ascontiguousarray(beta)
    y, (mean, rstd, var, scale) = empty_like(x), [np.empty(F, x.dtype) for _ in range(4)]
    run(_joined_moments, F, sums.size, sums, gamma, np.zeros((2, F)), mean, rstd, var, scale, R, F, chunks, eps)
    run(_scale_columns, R, x.size, x, x, mean, scale, beta, y, R, F)
    return y, mean, rstd, var


def batch_norm_grad(g, x, gamma, mean, rstd):
    """See `reference.batch_norm_grad`.   g, x (..., F) -> dx (..., F), dgamma (F,), dbeta (F,)"""
    g, x = np.asarray(g, order="C"), np.asarray(x, order="C")
    mean, rstd = np.ascontiguousarray(mean), np.ascontiguousarray(rstd)
    R, F = rows_of(x)
    chunks = -(-R // CHUNK)
    sums = _empty_sums((chunks, 2, F), x.dtype)
    run(_column_sums, chunks, 2 * x.size, g, x, x, mean, rstd, sums, R, F, chunks)
    dgamma, dbeta = _add_up(sums)
    dx, count = empty_like(x), x.dtype.type(max(R, 1))
    scale = rstd if gamma is None else rstd * gamma
    run(_column_grad, R, x.size, g, x, mean, scale, dbeta / count, rstd * dgamma / count, dx, R, F)
    return dx, dgamma, dbeta


def scale_columns(x, mean, scale, beta):
    """See `reference.scale_columns`.   (..., F), (F,), (F,), (F,) -> (..., F)"""
    x, mean, scale = np.asarray(x, order="C"), np.ascontiguousarray(mean), np.ascontiguousarray(scale)
    R, F = rows_of(x)
    nothing, y = np.zeros(F, x.dtype), empty_like(x)
    beta = nothing if beta is None else np.ascontiguousarray(beta)
    run(_scale_columns, R, x.size, x, mean, nothing, scale, beta, y, R, F)
    return y


def scaled_columns_sums(g, x, mean):
    """See `reference.scaled_columns_sums`.   (..., F), (..., F), (F,) -> (F,), (F,)"""
    g, x, mean = np.asarray(g, order="C"), np.asarray(x, order="C"), np.ascontiguousarray(mean)
    R, F = rows_of(x)
    chunks = -(-R // CHUNK)
    sums = _empty_sums((chunks, 2, F), x.dtype)
    run(_column_sums, chunks, 2 * x.size, g, x, np.zeros(F, x.dtype), mean, np.ones(F, x.dtype), sums, R, F, chunks)
    return tuple(_add_up(sums))


def sum_rows(g):
    """See `reference.sum_rows`.   (..., N) -> (N,)"""
    g = np.asarray(g, order="C")
    R, N = rows_of(g)
    chunks = -(-R // CHUNK)
    sums = _empty_sums((chunks, N), g.dtype)
    run(_sum_rows, chunks, g.size, g, sums, R, N, chunks)
    return _add_up(sums)


def multiply_sum_rows(x, y):
    """See `reference.multiply_sum_rows`.   (..., N), (..., N) -> (..., N), (N,)"""
    x, y = np.asarray(x, order="C"), np.asarray(y, order="C")
    R, N = rows_of(x)
    chunks = -(-R // CHUNK)
    z, sums = empty_like(x), _empty_sums((chunks, N), x.dtype)
    run(_multiply_sum_rows, chunks, 2 * x.size, x, y, z, sums, R, N, chunks)
    return z, _add_up(sums)


def _empty_sums(shape, dtype):
    """An array that begins on a cache line: what is added to again and again must not lie across two."""
    return np.ndarray(shape, dtype, scratch(math.prod(shape) * dtype.itemsize))


def _add_up(sums):
    """Sums of chunks added up in float64.   (chunks, ...) -> (...)"""
    if len(sums) == 1:
        return sums[0].copy()
    return np.add.reduce(sums, 0, np.float64).astype(sums.dtype)


@helper(fastmath=EXACT)
def _shifted(x, first):
    """x - first in this order: kernels may regroup sums, and rows far from 0 would lose their digits."""
    return x - first


@helper(fastmath=EXACT)
def _normalized(x, first, r, mr):
    """(x - first - m) r, for mr = m r."""
    return (x - first) * r - mr


@helper(fastmath=())
def _sum(x, y):
    """x + y, each rounded before: the bits are those of adding up later."""
    return x + y


@kernel
def normalize_rows(
    t: int, nt: int, x: floats, gamma: floats, beta: floats, y: floats, mean: floats, rstd: floats,
    R: int, E: int, eps: float, centred: int,
):  # fmt: skip
    first, last = share(t, nt, R)
    gammas, betas = row(gamma, 0, E), row(beta, 0, E)
    count, zero, one = constant(max(E, 1), x), constant(0, x), constant(1, x)
    for i in range(first, last):
        xi, yi = row(x, i * E, E), row(y, i * E, E)
        start, m = zero, zero
        if centred == 1 and E > 0:
            start = xi[0]
            for j in range(E):
                m += _shifted(xi[j], start)
            m /= count
        total = zero
        for j in range(E):
            c = _shifted(_shifted(xi[j], start), m)
            total += c * c
        r = one / sqrt(total / count + number(eps, x))
        mean[i], rstd[i] = m, r
        for j in range(E):
            yi[j] = _normalized(xi[j], start, r, m * r) * gammas[j] + betas[j]


@kernel
def _layer_norm_grad(
    t: int, nt: int, g: floats, x: floats, gamma: floats, mean: floats, rstd: floats, dx: floats, sums: floats,
    R: int, E: int, chunks: int, centred: int, adds: int,
):  # fmt: skip
    first, last = share(t, nt, chunks)
    gammas = row(gamma, 0, E)
    count, zero = constant(max(E, 1), x), constant(0, x)
    for c in range(first, last):
        dgamma, dbeta = row(sums, 2 * c * E, E), row(sums, (2 * c + 1) * E, E)
        for j in range(E):
            dgamma[j] = zero
            dbeta[j] = zero
        for i in range(c * CHUNK, min(R, (c + 1) * CHUNK)):
            gi, xi, di = row(g, i * E, E), row(x, i * E, E), row(dx, i * E, E)
            start, r = xi[0] if centred == 1 and E > 0 else zero, rstd[i]
            mr = mean[i] * r
            sum_dn = zero
            sum_dn_n = zero
            for j in range(E):
                n = _normalized(xi[j], start, r, mr)
                dn = gi[j] * gammas[j]
                sum_dn += dn
                sum_dn_n += dn * n
                dgamma[j] += gi[j] * n
                dbeta[j] += gi[j]
            mean_dn, mean_dn_n = sum_dn / count if centred == 1 else zero, sum_dn_n / count
            for j in range(E):
                n = _normalized(xi[j], start, r, mr)
                d = r * (gi[j] * gammas[j] - mean_dn - n * mean_dn_n)
                di[j] = _sum(di[j], d) if adds else d


@kernel
def _sum_rows(t: int, nt: int, g: floats, sums: floats, R: int, N: int, chunks: int):
    first, last = share(t, nt, chunks)
    for c in range(first, last):
        total = row(sums, c * N, N)
        for j in range(N):
            total[j] = constant(0, g)
        for i in range(c * CHUNK, min(R, (c + 1) * CHUNK)):
            gi = row(g, i * N, N)
            for j in range(N):
                total[j] += gi[j]


@kernel
def _multiply_sum_rows(t: int, nt: int, x: floats, y: floats, z: floats, sums: floats, R: int, N: int, chunks: int):
    first, last = share(t, nt, chunks)
    for c in range(first, last):
        total = row(sums, c * N, N)
        for j in range(N):
            total[j] = constant(0, x)
        for i in range(c * CHUNK, min(R, (c + 1) * CHUNK)):
            xi, yi, zi = row(x, i * N, N), row(y, i * N, N), row(z, i * N, N)
            for j in range(N):
                product = xi[j] * yi[j]
                zi[j] = product
                total[j] += product


@kernel
def _column_moments(t: int, nt: int, x: floats, sums: floats, R: int, F: int, chunks: int):
    """Of every chunk of rows the mean less the first row of all, and the sum of squares around the mean."""
    begin, end = share(t, nt, chunks)
    starts = row(x, 0, F)
    for c in range(begin, end):
        means, squares = row(sums, 2 * c * F, F), row(sums, (2 * c + 1) * F, F)
        first, last = c * CHUNK, min(R, (c + 1) * CHUNK)
        for j in range(F):
            means[j] = constant(0, x)
            squares[j] = constant(0, x)
        fours = last - (last - first) % 4  # each sum is fetched and put back once for four rows
        for i in range(first, fours, 4):
            x0, x1, x2, x3 = row(x, i * F, F), row(x, (i + 1) * F, F), row(x, (i + 2) * F, F), row(x, (i + 3) * F, F)
            for j in range(F):
                start = starts[j]
                means[j] += (_shifted(x0[j], start) + _shifted(x1[j], start)) + (_shifted(x2[j], start) + _shifted(x3[j], start))
        for i in range(fours, last):
            xi = row(x, i * F, F)
            for j in range(F):
                means[j] += _shifted(xi[j], starts[j])
        for j in range(F):
            means[j] /= constant(last - first, x)
        for i in range(first, fours, 4):
            x0, x1, x2, x3 = row(x, i * F, F), row(x, (i + 1) * F, F), row(x, (i + 2) * F, F), row(x, (i + 3) * F, F)
            for j in range(F):
                start, m = starts[j], means[j]
                d0, d1 = _shifted(_shifted(x0[j], start), m), _shifted(_shifted(x1[j], start), m)
                d2, d3 = _shifted(_shifted(x2[j], start), m), _shifted(_shifted(x3[j], start), m)
                squares[j] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
        for i in range(fours, last):
            xi = row(x, i * F, F)
            for j in range(F):
                d = _shifted(_shifted(xi[j], starts[j]), means[j])
                squares[j] += d * d


@kernel
def _joined_moments(
    t: int, nt: int, sums: floats, gamma: floats, totals: doubles, mean: floats, rstd: floats, var: floats, scale: floats,
    R: int, F: int, chunks: int, eps: float,
):  # fmt: skip
    """From the moments of all chunks those of one set (Chan et al. 1979), added up in float64."""
    first, last = share(t, nt, F)
    N = last - first
    m, v = row(totals, first, N), row(totals, F + first, N)
    gammas, rows = row(gamma, first, N), np.float64(max(R, 1))
    for c in range(chunks):
        means, count = row(sums, 2 * c * F + first, N), np.float64(min(CHUNK, R - c * CHUNK))
        for j in range(N):
            m[j] += count / rows * means[j]
    for c in range(chunks):
        means, squares = row(sums, 2 * c * F + first, N), row(sums, (2 * c + 1) * F + first, N)
        count = np.float64(min(CHUNK, R - c * CHUNK))
        for j in range(N):
            d = means[j] - m[j]
            v[j] += squares[j] + count * d * d
    for j in range(N):
        r = 1.0 / np.sqrt(v[j] / rows + number(eps, totals))
        mean[first + j], rstd[first + j], var[first + j], scale[first + j] = m[j], r, v[j] / rows, r * gammas[j]


@kernel
def _scale_columns(
    t: int, nt: int, x: floats, start: floats, mean: floats, scale: floats, beta: floats, y: floats, R: int, F: int
):  # fmt: skip
    first, last = share(t, nt, R)
    starts, means, scales, betas = row(start, 0, F), row(mean, 0, F), row(scale, 0, F), row(beta, 0, F)
    for i in range(first, last):
        xi, yi = row(x, i * F, F), row(y, i * F, F)
        for j in range(F):
            yi[j] = _shifted(_shifted(xi[j], starts[j]), means[j]) * scales[j] + betas[j]


@kernel
def _column_sums(
    t: int, nt: int, g: floats, x: floats, start: floats, mean: floats, rstd: floats, sums: floats, R: int, F: int, chunks: int
):  # fmt: skip
    """Of every chunk of rows the sums of g n and of g."""
    begin, end = share(t, nt, chunks)
    starts, means, rstds = row(start, 0, F), row(mean, 0, F), row(rstd, 0, F)
    for c in range(begin, end):
        dgamma, dbeta = row(sums, 2 * c * F, F), row(sums, (2 * c + 1) * F, F)
        first, last = c * CHUNK, min(R, (c + 1) * CHUNK)
        fours = last - (last - first) % 4
        for j in range(F):
            dgamma[j] = constant(0, x)
            dbeta[j] = constant(0, x)
        for i in range(first, fours, 4):
            g0, g1, g2, g3 = row(g, i * F, F), row(g, (i + 1) * F, F), row(g, (i + 2) * F, F), row(g, (i + 3) * F, F)
            x0, x1, x2, x3 = row(x, i * F, F), row(x, (i + 1) * F, F), row(x, (i + 2) * F, F), row(x, (i + 3) * F, F)
            for j in range(F):
                first_row, m = starts[j], means[j]
                c0, c1 = _shifted(_shifted(x0[j], first_row), m), _shifted(_shifted(x1[j], first_row), m)
                c2, c3 = _shifted(_shifted(x2[j], first_row), m), _shifted(_shifted(x3[j], first_row), m)
                dgamma[j] += (g0[j] * c0 + g1[j] * c1) + (g2[j] * c2 + g3[j] * c3)
                dbeta[j] += (g0[j] + g1[j]) + (g2[j] + g3[j])
        for i in range(fours, last):
            gi, xi = row(g, i * F, F), row(x, i * F, F)
            for j in range(F):
                dgamma[j] += gi[j] * _shifted(_shifted(xi[j], starts[j]), means[j])
                dbeta[j] += gi[j]
        for j in range(F):
            dgamma[j] *= rstds[j]


@kernel
def _column_grad(
    t: int, nt: int, g: floats, x: floats, mean: floats, scale: floats, mean_g: floats, slope: floats, dx: floats,
    R: int, F: int,
):  # fmt: skip
    first, last = share(t, nt, R)
    starts, means, scales = row(x, 0, F), row(mean, 0, F), row(scale, 0, F)
    mean_gs, slopes = row(mean_g, 0, F), row(slope, 0, F)
    for i in range(first, last):
        gi, xi, di = row(g, i * F, F), row(x, i * F, F), row(dx, i * F, F)
        for j in range(F):
            c = _shifted(_shifted(xi[j], starts[j]), means[j])
            di[j] = scales[j] * (gi[j] - mean_gs[j] - c * slopes[j])

"""AdamW for all parameters of a model in one launch, and the norm of all gradients."""

import functools
import math

import numpy as np

from minigrad.kernels.compile import address, doubles, floats, integers, kernel, run
from minigrad.kernels.simd import number, pointer, row, share, sqrt

_CHUNK = 1 << 14  # elements: threads share pieces of this size, whichever arrays they belong to


def adamw(params, grads, m, v, lr, beta1, beta2, eps, decay, step, grad_scale=1.0):
    """See `reference.adamw`: one step, in place on params, m and v (lists of C-contiguous arrays)."""
    if not params:
        return
    which, start, length = _chunks(tuple(p.size for p in params))
    grads = [np.asarray(g, order="C") for g in grads]
    where = np.empty((len(which), 5), np.int64)  # of every chunk: addresses in p, g, m and v, and the length
    for column, arrays in enumerate((params, grads, m, v)):
        where[:, column] = np.array([address(a) for a in arrays])[which] + start * params[0].itemsize
    where[:, 4] = length
    keep = 1 - lr * np.asarray(decay, np.float64)[which]
    run(
        _adamw, len(which), 4 * int(length.sum()), params[0], where, keep, len(which),
        lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step), eps, beta1, 1 - beta1, beta2, 1 - beta2, grad_scale,
    )  # fmt: skip


def grad_norm(grads):
    """See `reference.grad_norm`.   list of (...) -> float"""
    if not grads:
        return 0.0
    grads = [np.asarray(g, order="C") for g in grads]
    which, start, length = _chunks(tuple(g.size for g in grads))
    where = np.empty((len(which), 2), np.int64)
    where[:, 0] = np.array([address(g) for g in grads])[which] + start * grads[0].itemsize
    where[:, 1] = length
    sums = np.empty(len(which))
    run(_sum_squares, len(which), int(length.sum()), grads[0], where, sums, len(which))
    return math.sqrt(sums.sum())


@functools.lru_cache(maxsize=16)
def _chunks(sizes):
    """Arrays of these sizes cut into chunks: of each, which array, where in it, and how long."""
    counts = [-(-size // _CHUNK) for size in sizes]
    which = np.repeat(np.arange(len(sizes)), counts)
    start = np.concatenate([np.arange(0, size, _CHUNK) for size in sizes])
    return which, start, np.minimum(_CHUNK, np.array(sizes)[which] - start)


@kernel
def _adamw(
    t: int, nt: int, like: floats, where: integers, keep: doubles, chunks: int, rate: float, inverse_root: float,
    eps: float, beta1: float, rest1: float, beta2: float, rest2: float, grad_scale: float,
):  # fmt: skip
    factor, inverse, tiny = number(rate, like), number(inverse_root, like), number(eps, like)
    b1, r1, b2, r2 = number(beta1, like), number(rest1, like), number(beta2, like), number(rest2, like)
    scale = number(grad_scale, like)
    first, last = share(t, nt, chunks)
    for c in range(first, last):
        n = where[5 * c + 4]
        p, g = row(pointer(where[5 * c], like), 0, n), row(pointer(where[5 * c + 1], like), 0, n)
        m, v = row(pointer(where[5 * c + 2], like), 0, n), row(pointer(where[5 * c + 3], like), 0, n)
        kept = p.dtype.type(keep[c])
        for i in range(n):
            gi = g[i] * scale
            m[i] = b1 * m[i] + r1 * gi
            v[i] = b2 * v[i] + r2 * gi * gi
            p[i] = kept * p[i] - factor * m[i] / (sqrt(v[i]) * inverse + tiny)


@kernel
def _sum_squares(t: int, nt: int, like: floats, where: integers, sums: doubles, chunks: int):
    first, last = share(t, nt, chunks)
    for c in range(first, last):
        g = row(pointer(where[2 * c], like), 0, where[2 * c + 1])
        total = 0.0
        for i in range(g.size):
            total += np.float64(g[i]) * np.float64(g[i])
        sums[c] = total

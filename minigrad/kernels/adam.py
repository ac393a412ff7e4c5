"""AdamW for all parameters of a model in one launch, and the norm of all gradients.

The arrays are cut into chunks of a fixed size, which threads share, whichever arrays they belong to. Asking hundreds of
arrays for their addresses would take longer than the update of a small model, so the kernels get the array objects and
look the addresses up themselves.
"""

import functools
import math
from itertools import chain

import numpy as np

from minigrad.kernels.compile import _DATA, address, doubles, floats, helper, integers, kernel, run
from minigrad.kernels.simd import at, number, pointer, row, share, sqrt

_CHUNK = 1 << 14  # elements


def adamw(params, grads, m, v, lr, beta1, beta2, eps, decay, step, grad_scale=1.0):
    """See `reference.adamw`: one step, in place on params, m and v (lists of C-contiguous arrays)."""
    if not params:
        return
    grads = [np.asarray(g, order="C") for g in grads]
    sizes = tuple([p.size for p in params])
    for arrays in (params, grads, m, v):  # a kernel that writes to memory looks twice at what it is given
        # an array that is none, or lies elsewhere, has no size here
        if tuple([a.size for a in arrays if type(a) is np.ndarray and a.flags.c_contiguous]) != sizes:
            raise ValueError(
                "adamw: params, grads, m and v are lists of arrays of equal shapes, and all but grads C-contiguous, because they change "
                f"in place. Received: {[(np.shape(a), getattr(a, 'strides', None)) for a in arrays]} next to {list(map(np.shape, params))}."
            )
    chunks, work = _chunks(sizes)
    arrays, objects = _objects(params, grads, m, v)
    keep = 1 - lr * np.array(decay, np.float64)
    run(
        _adamw, len(chunks), 4 * work, params[0], objects, _OFFSET, len(params), chunks, len(chunks), keep,
        lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step), eps, beta1, 1 - beta1, beta2, 1 - beta2, grad_scale,
    )  # fmt: skip


def grad_norm(grads):
    """See `reference.grad_norm`.   list of (...) -> float"""
    if not grads:
        return 0.0
    grads = [np.asarray(g, order="C") for g in grads]
    chunks, work = _chunks(tuple([g.size for g in grads]))
    arrays, objects = _objects(grads)
    sums = np.empty(len(chunks))
    run(_sum_squares, len(chunks), work, grads[0], objects, _OFFSET, chunks, len(chunks), sums)
    return math.sqrt(sums.sum())


@functools.lru_cache(maxsize=16)
def _chunks(sizes):
    """Arrays of these sizes cut into chunks: (which array, from where, how long) of each, and the sum of the sizes."""
    cut = [(k, start, min(_CHUNK, n - start)) for k, n in enumerate(sizes) for start in range(0, n, _CHUNK)]
    return np.array(cut, np.int64).reshape(-1, 3), sum(sizes)


_OFFSET = _DATA or 0  # where in an array object its address is


def _objects(*lists):
    """Where objects are that hold the addresses of all the arrays: the arrays themselves, or a table."""
    if _DATA is None:
        table = np.array([address(a) for a in chain(*lists)])
        return table, table.ctypes.data + 8 * np.arange(table.size)
    return lists, np.fromiter(map(id, chain(*lists)), np.int64, sum(map(len, lists)))


@helper
def _chunk(objects, k, offset, start, length, like):
    """`length` elements of the array that is object k, from element `start`."""
    data = row(pointer(objects[k] + offset, objects), 0, 1)[0]
    return row(at(pointer(data, like), start), 0, length)


@kernel
def _adamw(
    t: int, nt: int, like: floats, objects: integers, offset: int, count: int, chunks: integers, n: int,
    keep: doubles, rate: float, inverse_root: float, eps: float,
    beta1: float, rest1: float, beta2: float, rest2: float, grad_scale: float,
):  # fmt: skip
    factor, inverse, tiny = number(rate, like), number(inverse_root, like), number(eps, like)
    b1, r1, b2, r2 = number(beta1, like), number(rest1, like), number(beta2, like), number(rest2, like)
    scale = number(grad_scale, like)
    first, last = share(t, nt, n)
    for c in range(first, last):
        k, start, length = chunks[3 * c], chunks[3 * c + 1], chunks[3 * c + 2]
        p = _chunk(objects, k, offset, start, length, like)
        g = _chunk(objects, count + k, offset, start, length, like)
        m = _chunk(objects, 2 * count + k, offset, start, length, like)
        v = _chunk(objects, 3 * count + k, offset, start, length, like)
        kept = p.dtype.type(keep[k])
        for i in range(length):
            gi = g[i] * scale
            mi = b1 * m[i] + r1 * gi  # a name of its own: what is stored would be read again, at twice the time
            vi = b2 * v[i] + r2 * gi * gi
            m[i] = mi
            v[i] = vi
            p[i] = kept * p[i] - factor * mi / (sqrt(vi) * inverse + tiny)


@kernel
def _sum_squares(
    t: int, nt: int, like: floats, objects: integers, offset: int, chunks: integers, n: int, sums: doubles
):
    first, last = share(t, nt, n)
    for c in range(first, last):
        g = _chunk(objects, chunks[3 * c], offset, chunks[3 * c + 1], chunks[3 * c + 2], like)
        total = 0.0
        for i in range(g.size):
            total += np.float64(g[i]) * np.float64(g[i])
        sums[c] = total

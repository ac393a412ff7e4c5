"""The gradient of a table whose rows were looked up."""

import numpy as np

from minigrad.kernels.compile import floats, integers, kernel, run
from minigrad.kernels.memory import zeros
from minigrad.kernels.simd import row, share

_CHUNK = 16  # columns: threads share columns, so that every sum keeps the order of the ids


def embedding_grad(g, ids, V, into=None):
    """See `reference.embedding_grad`.   g (..., E), integers (...) -> (V, E)"""
    g, ids = np.asarray(g, order="C"), np.ascontiguousarray(ids, dtype=np.int64)
    E = g.shape[-1]
    d = into if into is not None and into.flags.c_contiguous else zeros((V, E), g.dtype)
    chunks = -(-E // _CHUNK)
    run(_embedding_grad, chunks, g.size, g, ids, d, ids.size, E, chunks)
    return d


@kernel
def _embedding_grad(t: int, nt: int, g: floats, ids: integers, d: floats, N: int, E: int, chunks: int):
    first, last = share(t, nt, chunks)
    start, width = first * _CHUNK, min(E, last * _CHUNK) - first * _CHUNK
    for i in range(N):
        gi, di = row(g, i * E + start, width), row(d, ids[i] * E + start, width)
        for j in range(width):
            di[j] += gi[j]

"""Cross-entropy straight from logits: the probabilities of a large vocabulary are never stored."""

import numpy as np

from minigrad.kernels.compile import floats, integers, kernel, run
from minigrad.kernels.memory import empty_like
from minigrad.kernels.simd import constant, row, share
from minigrad.kernels.softmax import largest, log_probability
from minigrad.kernels.vecmath import exp, log


def cross_entropy(logits, targets):
    """See `reference.cross_entropy`.   (N, V), integers (N,) -> losses (N,), lse (N,)"""
    logits, targets = np.asarray(logits, order="C"), np.ascontiguousarray(targets, dtype=np.int64)
    N, V = logits.shape
    losses, lse = np.empty(N, logits.dtype), np.empty(N, logits.dtype)
    run(_cross_entropy, N, logits.size, logits, targets, losses, lse, N, V)
    return losses, lse


def cross_entropy_grad(g, logits, targets, lse):
    """See `reference.cross_entropy_grad`.   g (N,) -> (N, V)"""
    logits, targets = np.asarray(logits, order="C"), np.ascontiguousarray(targets, dtype=np.int64)
    g, lse = np.ascontiguousarray(g), np.ascontiguousarray(lse)
    d = empty_like(logits)
    N, V = logits.shape
    run(_cross_entropy_grad, N, logits.size, g, logits, targets, lse, d, N, V)
    return d


@kernel
def _cross_entropy(t: int, nt: int, logits: floats, targets: integers, losses: floats, lse: floats, N: int, V: int):
    first, last = share(t, nt, N)
    for i in range(first, last):
        x = row(logits, i * V, V)
        top = largest(x)
        total = constant(0, logits)
        for j in range(V):
            total += exp(x[j] - top)
        rest = log(total)
        losses[i] = log_probability(top, x[targets[i]], -rest)  # turned round: a loss of 0 is not -0
        lse[i] = rest + top


@kernel
def _cross_entropy_grad(
    t: int, nt: int, g: floats, logits: floats, targets: integers, lse: floats, d: floats, N: int, V: int
):
    first, last = share(t, nt, N)
    for i in range(first, last):
        x, di = row(logits, i * V, V), row(d, i * V, V)
        gi, li = g[i], lse[i]
        for j in range(V):
            di[j] = gi * exp(x[j] - li)
        di[targets[i]] -= gi

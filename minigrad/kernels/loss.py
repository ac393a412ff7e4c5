"""Cross-entropy straight from logits: the probabilities of a large vocabulary are never stored."""

import numpy as np

from minigrad.kernels.compile import floats, integers, kernel, run
from minigrad.kernels.memory import empty_like
from minigrad.kernels.simd import constant, number, row, share
from minigrad.kernels.softmax import GROUP, log_probability, sums_of_rows
from minigrad.kernels.vecmath import decay, log


def cross_entropy(logits, targets, weight=None, smoothing=0.0):
    """See `reference.cross_entropy`.   (N, V), integers (N,), (V,) -> losses (N,), lse (N,)"""
    logits, targets = np.asarray(logits, order="C"), np.ascontiguousarray(targets, dtype=np.int64)
    N, V = logits.shape
    losses, lse = np.empty(N, logits.dtype), np.empty(N, logits.dtype)
    weight = _weights(weight, smoothing, V, logits.dtype)
    weighed = int(weight is not None)
    run(_cross_entropy, N, 2 * logits.size, logits, targets, weight, losses, lse, N, V, weighed, smoothing)
    return losses, lse


def cross_entropy_grad(g, logits, targets, lse, weight=None, smoothing=0.0):
    """See `reference.cross_entropy_grad`.   g (N,) -> (N, V)"""
    logits, targets = np.asarray(logits, order="C"), np.ascontiguousarray(targets, dtype=np.int64)
    g, lse = np.ascontiguousarray(g), np.ascontiguousarray(lse)
    d = empty_like(logits)
    N, V = logits.shape
    weight = _weights(weight, smoothing, V, logits.dtype)
    weighed, total = (0, 0.0) if weight is None else (1, float(weight.sum(dtype=np.float64)))
    run(_cross_entropy_grad, N, 2 * logits.size, g, logits, targets, lse, weight, d, N, V, weighed, smoothing, total)
    return d


def _weights(weight, smoothing, V, dtype):
    """A weight for each class, None where they are not looked at.   -> (V,)"""
    if weight is not None:
        return np.ascontiguousarray(weight)
    return np.ones(V, dtype) if smoothing else None


@kernel
def _cross_entropy(
    t: int, nt: int, logits: floats, targets: integers, weight: floats, losses: floats, lse: floats, N: int, V: int,
    weighed: int, smoothing: float,
):  # fmt: skip
    first, last = share(t, nt, N)
    zero, one, s = constant(0, logits), constant(1, logits), number(smoothing, logits)
    share_of_each = s / constant(V, logits)
    for group in range(first, last, GROUP):
        end = min(last, group + GROUP)
        sums_of_rows(logits, group, end, V, losses, lse)
        for i in range(group, end):
            lse[i] = log(lse[i])
        for i in range(group, end):
            x, y, top, rest = row(logits, i * V, V), targets[i], losses[i], lse[i]
            lse[i] = rest + top
            if y < 0:
                losses[i] = zero
            elif weighed == 0:
                losses[i] = log_probability(top, x[y], -rest)  # turned round: a loss of 0 is not -0
            else:
                spread = zero
                if s > zero:
                    for j in range(V):
                        spread += weight[j] * log_probability(top, x[j], -rest)
                losses[i] = (one - s) * weight[y] * log_probability(top, x[y], -rest) + share_of_each * spread


@kernel
def _cross_entropy_grad(
    t: int, nt: int, g: floats, logits: floats, targets: integers, lse: floats, weight: floats, d: floats, N: int,
    V: int, weighed: int, smoothing: float, total: float,
):  # fmt: skip
    first, last = share(t, nt, N)
    zero, one, s = constant(0, logits), constant(1, logits), number(smoothing, logits)
    share_of_each = s / constant(V, logits)
    for i in range(first, last):
        x, di, y = row(logits, i * V, V), row(d, i * V, V), targets[i]
        if y < 0:
            for j in range(V):
                di[j] = zero
        else:
            own = g[i] * (one - s) * weight[y] if weighed == 1 else g[i]
            each = g[i] * share_of_each
            whole, l = own + each * number(total, logits), lse[i]
            for j in range(V):
                di[j] = whole * decay(x[j] - l)
            if s > zero:
                for j in range(V):
                    di[j] -= each * weight[j]
            di[y] -= own

"""Cross-entropy straight from logits: the probabilities of a large vocabulary are never stored, or only as their gradient."""

import numpy as np

from minigrad.kernels.compile import floats, helper, integers, kernel, run, shares
from minigrad.kernels.memory import empty_like
from minigrad.kernels.simd import at, constant, minimum, number, row, share
from minigrad.kernels.softmax import GROUP, largest, log_probability
from minigrad.kernels.vecmath import decay, log

_BLOCK = 1024  # elements of a long row that are added up by themselves
_FAR = 2.0**28  # a sum from here on means that the base was badly chosen
_NEAR = 1 << 15  # elements of a group's rows that stay in the second cache from step to step
_MOST = 80.0  # e to this is beyond that, and still a number


def cross_entropy(logits, targets, weight=None, smoothing=0.0, g=None):
    """See `reference.cross_entropy`.   (N, V), integers (N,), (V,), (N,) or (1,) -> losses (N,), lse (N,), None or (N, V)"""
    logits, targets = np.asarray(logits, order="C"), np.ascontiguousarray(targets, dtype=np.int64)
    N, V = logits.shape
    work, statistics = 2 * logits.size, np.empty((3, N), logits.dtype)
    weighed, total = 0, 0.0
    if weight is not None or smoothing:
        weight = np.ones(V, logits.dtype) if weight is None else np.ascontiguousarray(weight)
        weighed, total = 1, float(weight.sum(dtype=np.float64))
    if g is None:
        d, e, along = None, np.empty((shares(N, work), _BLOCK), logits.dtype), 0
    else:
        g = np.ascontiguousarray(g)
        d = e = empty_like(logits)
        along = int(g.size > 1)
    run(
        _cross_entropy, N, work, logits, targets, weight, g, statistics, e, N, V, weighed, smoothing, total,
        int(d is not None), along,
    )  # fmt: skip
    return statistics[0], statistics[1], d


@helper
def _exponentials(x, V, base, e, kept):
    """The sum of exp(x - base) along a row, not above e^80 each; in e where they are ``kept``, else each block in the place of the last."""
    total, most = constant(0, x), constant(_MOST, x)
    for start in range(0, V, _BLOCK):
        n = min(_BLOCK, V - start)
        xi, ei, new = row(x, start, n), row(e, kept * start, n), constant(0, x)
        for j in range(n):
            ei[j] = decay(minimum(xi[j] - base, most))
            new += ei[j]
        total += new
    return total


@kernel
def _cross_entropy(
    t: int, nt: int, logits: floats, targets: integers, weight: floats, g: floats, statistics: floats, e: floats,
    N: int, V: int, weighed: int, smoothing: float, total: float, kept: int, along: int,
):  # fmt: skip
    """Exponentials less the logit of the target: the loss is the logarithm of their sum, and nobody looks for the largest.

    Only where the target is far below that are they made again. As in softmax, each step is done for a group of rows.
    """
    first, last = share(t, nt, N)
    zero, one, s = constant(0, logits), constant(1, logits), number(smoothing, logits)
    bases, lse, sums = row(statistics, 0, N), row(statistics, N, N), row(statistics, 2 * N, N)
    losses, share_of_each, far = bases, s / constant(V, logits), constant(_FAR, logits)
    together = max(1, min(GROUP, _NEAR // max(V, 1)))
    for group in range(first, last, together):
        rows = range(group, min(last, group + together))
        first_time, again = True, True
        while again:
            again = False
            for i in rows:
                if first_time or not sums[i] < far:  # or NaN
                    base = logits[i * V + max(targets[i], 0)] if first_time else largest(row(logits, i * V, V))
                    nothing = base == constant(-np.inf, logits)  # no base: of the others' exponentials nothing may be left
                    bases[i] = zero if nothing else base
                    sums[i] = _exponentials(at(logits, i * V), V, bases[i], at(e, i * V if kept == 1 else t * _BLOCK), kept)
                    if first_time and nothing:
                        sums[i] = far
                    again |= first_time and not sums[i] < far
            first_time = False
        for i in rows:
            lse[i] = log(sums[i])
        for i in rows:
            x, y, base, rest = row(logits, i * V, V), targets[i], bases[i], lse[i]
            lse[i] = rest + base
            own = each = loss = zero
            if y >= 0:
                own = one
                loss = log_probability(base, x[y], -rest)  # turned round: a loss of 0 is not -0
                if weighed == 1:
                    own, each, spread = (one - s) * weight[y], share_of_each, zero
                    if s > zero:
                        for j in range(V):
                            spread += weight[j] * log_probability(base, x[j], -rest)
                    loss = own * loss + each * spread
            losses[i] = loss
            if kept == 1:
                di, gi = row(e, i * V, V), g[i * along]
                own, each = own * gi, each * gi
                if y < 0:
                    for j in range(V):
                        di[j] = zero
                else:
                    scale = (own + each * number(total, logits)) / sums[i]
                    if s > zero:
                        for j in range(V):
                            di[j] = di[j] * scale - each * weight[j]
                    else:
                        for j in range(V):
                            di[j] *= scale
                    di[y] -= own

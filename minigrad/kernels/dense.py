"""Linear layers side by side: the products of several matrices with one x, and all their gradients, in one launch each.

A launch and the wait at its end cost as much as a small product, and between two launches Python has to find its way back
into the caches. So what does not depend on each other goes to the threads at once, and products that add up to one result
as well: equal in rows and columns they are divided in one way, and who takes a share adds to what the same share has left.
"""

import numpy as np

from minigrad.kernels.compile import doubles, floats, kernel, launcher, shares
from minigrad.kernels.epilogue import multiply_block
from minigrad.kernels.gemm import as_matrix, product_job
from minigrad.kernels.memory import empty
from minigrad.kernels.norm import CHUNK
from minigrad.kernels.pool import JOBS
from minigrad.kernels.simd import constant, row, share


def linears(x, ws, bs, precision=None):
    """See `reference.linears`.   (..., K), (K, N) each, (N,) or None each -> (..., N) each"""
    rows = as_matrix(x)
    ys = [empty((*x.shape[:-1], w.shape[1]), x.dtype) for w in ws]
    _launch([product_job(rows, w, y, precision, b) for w, b, y in zip(ws, bs, ys)])
    return ys


def linear_grad(gs, x, ws, wanted, times=None, precision=None):
    """See `reference.linear_grad`.   (..., N) or None each, (..., K), (K, N) each -> [(..., K), (K, N), (N,), ...]"""
    rows, so_far, to_x, others, gradients = as_matrix(x), None, [], [], []
    dx = empty(x.shape, x.dtype) if wanted[0] and any([g is not None for g in gs]) else None
    finish, times = (0, None) if times is None else (multiply_block.address(x.dtype), np.ascontiguousarray(times))
    for i, (g, w, want_w, want_b) in enumerate(zip(gs, ws, wanted[1::2], wanted[2::2])):
        dw = db = None
        if g is not None:
            g = np.ascontiguousarray(as_matrix(g))
            if wanted[0]:
                last = all([later is None for later in gs[i + 1 :]])
                to_x.append(product_job(g, w.T, dx, precision, None, so_far, finish if last else 0, times))
                so_far = dx
            if want_w:
                if w.flags.c_contiguous or not w.flags.f_contiguous:
                    dw = empty(w.shape, w.dtype)
                    others.append(product_job(rows.T, g, dw, precision))  # (K, R)(R, N) -> (K, N)
                else:  # laid out as w, which is a transpose
                    dw = empty(w.shape[::-1], w.dtype)
                    others.append(product_job(g.T, rows, dw, precision))  # (N, R)(R, K) -> (N, K)
                    dw = dw.T
            if want_b:
                (R, N), db = g.shape, np.empty(w.shape[1:], w.dtype)
                others.append(((_sum_rows.address(g.dtype), 0, g, np.empty(N), db, R, N), N, g.size))
        gradients += [dw, db]
    if len({job[0] for job, items, _ in to_x if items}) > 1:  # divided among threads in different ways, they must wait
        while to_x:
            _launch([to_x.pop(0)])
    _launch(to_x + others)
    return [dx, *gradients]


def _launch(jobs):
    """Compute jobs, each with its items and its work, at once."""
    jobs = [job for job in jobs if job[1]]
    for first in range(0, len(jobs), JOBS):
        some = jobs[first : first + JOBS]
        nt = shares(max([items for _, items, _ in some]), sum([work for _, _, work in some]))
        launcher(nt)(nt, *[job for job, *_ in some])


@kernel
def _sum_rows(t: int, nt: int, x: floats, totals: doubles, sums: floats, R: int, N: int):
    """Threads share columns, so that a job beside others needs nobody to add up what several have added."""
    first, last = share(t, nt, N)
    total, some = row(totals, first, last - first), row(sums, first, last - first)
    for j in range(last - first):
        total[j] = 0.0
    for start in range(0, R, CHUNK):
        for j in range(last - first):
            some[j] = constant(0, x)
        for i in range(start, min(R, start + CHUNK)):
            xi = row(x, i * N + first, last - first)
            for j in range(last - first):
                some[j] += xi[j]
        for j in range(last - first):
            total[j] += some[j]
    for j in range(last - first):
        some[j] = total[j]

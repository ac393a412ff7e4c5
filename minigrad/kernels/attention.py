"""Scaled dot-product attention, forward and gradient, without ever holding the (T, S) scores of a head.

A head's queries are taken a block at a time and its keys a block at a time, so that a block of scores stays in the
cache between the product that makes it and the one that uses it. The forward keeps, for every query, the largest score
and the sum of exponentials so far, and rescales what it has when a larger one turns up. The gradient computes the
scores again; all it needs from the forward is the output and each query's log-sum-exp.

A causal query t sees the keys s <= t: blocks above the diagonal are skipped, and on it the products are cut into strips
of a few rows, each as long as its last query sees. Threads share the heads.
"""

import functools

import numpy as np

from minigrad.kernels import reference
from minigrad.kernels.compile import floats, helper, integers, kernel, run, scratch, shares
from minigrad.kernels.gemm import ROWS, VECTOR, lanes, multiply, multiplying, pack
from minigrad.kernels.memory import empty, zeros
from minigrad.kernels.pool import invoke
from minigrad.kernels.simd import at, constant, maximum, number, row, share
from minigrad.kernels.vecmath import exp, log

QUERIES, KEYS = 8 * ROWS, 256  # a block of scores
APART = KEYS + 16  # numbers from one row of scores to the next: not a power of two, whose rows would share cache lines

multiply_scores = multiplying(APART)  # a block of scores times rows of k or v, the scores as they lie


# ---- arrays in, arrays out


def attention(q, k, v, causal, scale):
    """See `reference.attention`.   (B, h, T, dq), (B, h, S, dq), (B, h, S, dv) -> out (B, h, T, dv), lse (B, h, T)"""
    if 0 in q.shape + v.shape:
        return reference.attention(q, k, v, causal, scale)
    out, lse = _heads_last(q, v.shape[-1], empty), np.empty(q.shape[:-1], q.dtype)
    _run(_attention, (q, k, v, out), lse, causal, scale)
    return out, lse


def attention_grad(g, q, k, v, out, lse, causal, scale):
    """See `reference.attention_grad`.   -> dq (B, h, T, dq), dk (B, h, S, dq), dv (B, h, S, dv)"""
    if 0 in q.shape + v.shape:
        return reference.attention_grad(g, q, k, v, out, lse, causal, scale)
    if g.shape != out.shape or lse.shape != q.shape[:-1] or out.shape != (*q.shape[:-1], v.shape[-1]):
        raise ValueError(
            "attention_grad: g and out are (B,h,T,dv), lse is (B,h,T). "
            f"Received: g {g.shape}, out {out.shape}, lse {lse.shape}, for q {q.shape} and v {v.shape}."
        )
    dq = _heads_last(q, q.shape[-1], empty)
    # keys and values add up what every query block gives them
    dk, dv = _heads_last(k, k.shape[-1], zeros), _heads_last(v, v.shape[-1], zeros)
    _run(_attention_grad, (q, k, v, out, g, dq, dk, dv), np.ascontiguousarray(lse), causal, scale)
    return dq, dk, dv


def _heads_last(like, width, make):
    """A (B, h, T, width) view of a contiguous (B, T, h, width) array."""
    B, h, T, _ = like.shape
    return make((B, T, h, width), like.dtype).transpose(0, 2, 1, 3)  # (B,T,h,width) -> (B,h,T,width)


def _run(kernel, strided, lse, causal, scale):
    """Run a kernel on (B, h, ., .) arrays of any strides, after checking that their shapes belong together."""
    q, k, v = strided[:3]
    (B, h, T, dq), (S, dv) = q.shape, v.shape[2:]
    if k.shape != (B, h, S, dq) or v.shape[:2] != (B, h):
        raise ValueError(
            "attention: q (B,h,T,dq), k (B,h,S,dq) and v (B,h,S,dv) must agree in B, h, S and dq. "
            f"Received: q {q.shape}, k {k.shape}, v {v.shape}."
        )
    item = q.itemsize
    if any(stride % item for x in strided for stride in x.strides):  # a field of records: not whole numbers apart
        strided = [np.ascontiguousarray(x) for x in strided]
    numbers = _working_memory(T, S, dq, dv, VECTOR // item)
    strides = [stride // item for x in strided for stride in x.strides]
    plan = np.array([numbers, *_codes(q.dtype), *strides])
    work = B * h * T * S * (dq + dv) // 16
    memory = scratch(shares(B * h, work) * numbers * item)
    run(kernel, B * h, work, *strided, lse, plan, memory, B * h, h, T, S, dq, dv, causal, scale)


@functools.cache
def _codes(dtype):
    return pack.address(dtype), multiply.address(dtype), multiply_scores.address(dtype)


def _working_memory(T, S, dq, dv, lane):
    """How many numbers one thread needs: a head's keys and values packed both ways, a block of queries, of scores."""
    width = 2 * lane

    def packed(n, k):
        return -(-n // width) * width * k

    keys = packed(S, dq) + packed(S, dv) + packed(dq, S) + packed(dv, S)
    queries = QUERIES * (dq + dv + 4) + packed(dq, QUERIES) + packed(dv, QUERIES)
    return keys + queries + 2 * QUERIES * APART + ROWS * width


# ---- inside a head


@helper
def _seen(causal, query, first, keys):
    """How many of ``keys`` keys from ``first`` on a query sees; below 1 if none."""
    return min(keys, query - first + 1) if causal else keys


@helper
def _strip(causal, query, first, keys, queries):
    """How many queries at once see as many keys of a block: all, or on the diagonal a strip of them."""
    return ROWS if causal and first + keys > query + 1 else queries


@helper
def _scores(multiply, a, b, width, c, query, queries, first, keys, causal, spare):
    """c (queries, keys) = a b where seen, for packed a (queries, width) and b (width, all keys)."""
    panel = 2 * lanes(a)
    strip = _strip(causal, query, first, keys, queries)
    for r in range(0, queries, strip):
        rows = min(strip, queries - r)
        n = _seen(causal, query + r + rows - 1, first, keys)
        if n > 0:
            n = -(-n // lanes(a)) * lanes(a)  # whole vectors: panels of b are filled up with zeros
            a_at, b_at, c_at = at(a, r * width), at(b, first * width), at(c, r * APART)
            invoke(multiply, (
                a_at, ROWS * width, ROWS, b_at, panel * width, panel, c_at, APART, rows, n, width, c_at, 0, 0, spare,
            ))  # fmt: skip


@helper
def _gathered(multiply_scores, scores, b, S, width, c, c_row, query, queries, first, keys, causal, spare):
    """c (queries, width) += scores b, or = for the first keys, for packed b (all S keys, width)."""
    panel = 2 * lanes(b)
    strip = _strip(causal, query, first, keys, queries)
    adds = 1 if first > 0 else 0
    for r in range(0, queries, strip):
        rows = min(strip, queries - r)
        n = _seen(causal, query + r + rows - 1, first, keys)
        if n > 0:
            a_at, b_at, c_at = at(scores, r * APART), at(b, first * panel), at(c, r * c_row)
            invoke(multiply_scores, (
                a_at, ROWS * APART, 1, b_at, panel * S, panel, c_at, c_row, rows, width, n, c_at, c_row, adds, spare,
            ))  # fmt: skip


@helper
def _scattered(multiply, scores, b, width, c, c_row, query, queries, first, keys, causal, spare):
    """c (keys, width) += scores' b for packed b (queries, width): what the queries give to each key."""
    panel = 2 * lanes(b)
    strip = keys if _strip(causal, query, first, keys, queries) == queries else ROWS
    for s in range(0, keys, strip):
        skip = max(0, first + s - query) if causal else 0  # the queries before do not see these keys
        if skip < queries:
            rows, n = min(strip, keys - s), queries - skip
            a_at, b_at, c_at = at(scores, skip * APART + s), at(b, skip * panel), at(c, s * c_row)
            invoke(multiply, (
                a_at, ROWS, APART, b_at, panel * queries, panel, c_at, c_row, rows, width, n, c_at, c_row, 1, spare,
            ))  # fmt: skip


@helper
def _largest(x, top):
    """The largest of a query's scores x and of those before them."""
    for j in range(x.size):
        top = maximum(top, x[j])
    return top


@helper
def _exponentials(x, o, top, total, largest):
    """Scores x become exponentials, less the largest so far; the sum and the output o of those before them follow."""
    base = constant(0, x) if largest == constant(-np.inf, x) else largest  # nothing but -inf: exponentials of 0
    shrunk = constant(0, x)
    if total > constant(0, x):
        shrunk = exp(top - base)
        if shrunk < constant(1, x):
            for j in range(o.size):
                o[j] *= shrunk
    new = constant(0, x)
    for j in range(x.size):
        e = exp(x[j] - base)
        x[j] = e
        new += e
    return total * shrunk + new


@helper
def _score_gradients(x, y, lse, delta, factor):
    """Scores x become probabilities, and y, the gradient of these, that of the scores."""
    for j in range(x.size):
        p = exp(x[j] - lse)
        x[j] = p
        y[j] = p * (y[j] - delta) * factor


@helper
def _multiply_by(x, factor):
    for j in range(x.size):
        x[j] *= factor


@helper
def _padded(scores, r, n, value):
    """Row r of scores, its n numbers filled up with ``value`` to whole vectors, because loops over less are slow.

    Behind it stand zeros for what other queries of the strip see, and this one does not.
    """
    panel = 2 * lanes(scores)
    whole = -(-n // panel) * panel
    x = row(scores, r * APART, whole + ROWS)
    for j in range(n, whole):
        x[j] = constant(value, scores)
    for j in range(whole, whole + ROWS):
        x[j] = constant(0, scores)
    return row(scores, r * APART, whole)


@helper
def _head(x, strides, which, head, h):
    """Where a head of array number ``which`` begins."""
    return at(x, head // h * strides[4 * which] + head % h * strides[4 * which + 1])


@kernel
def _attention(
    t: int, nt: int, q: floats, k: floats, v: floats, out: floats, lse: floats, plan: integers, work: floats,
    heads: int, h: int, T: int, S: int, dq: int, dv: int, causal: int, scale: float,
):  # fmt: skip
    """Items are heads; ``plan`` is what `_run` writes: working memory a thread, addresses, strides of q, k, v, out."""
    numbers, pack, multiply, multiply_scores, strides = plan[0], plan[1], plan[2], plan[3], at(plan, 4)
    q_row, q_column, k_row, k_column = strides[2], strides[3], strides[6], strides[7]
    v_row, v_column, out_row = strides[10], strides[11], strides[14]
    factor, panel = number(scale, q), 2 * lanes(q)
    k_packed = at(work, t * numbers)  # (dq, S)
    v_packed = at(k_packed, -(-S // panel) * panel * dq)  # (S, dv)
    q_packed = at(v_packed, -(-dv // panel) * panel * S)  # (QUERIES, dq)
    scores = at(q_packed, QUERIES * dq)  # (QUERIES, KEYS)
    spare = at(scores, QUERIES * APART)
    # of each query of the block: the largest score before these keys, with them, and the sum of exponentials
    top = at(spare, ROWS * panel)
    largest, total = at(top, QUERIES), at(top, 2 * QUERIES)
    begin, end = share(t, nt, heads)
    for head in range(begin, end):
        q_head, k_head = _head(q, strides, 0, head, h), _head(k, strides, 1, head, h)
        v_head = _head(v, strides, 2, head, h)
        invoke(pack, (k_head, k_row, k_column, S, dq, panel, k_packed))
        invoke(pack, (v_head, v_column, v_row, dv, S, panel, v_packed))
        for query in range(0, T, QUERIES):
            queries = min(QUERIES, T - query)
            invoke(pack, (at(q_head, query * q_row), q_row, q_column, queries, dq, ROWS, q_packed))
            _multiply_by(row(q_packed, 0, -(-queries // ROWS) * ROWS * dq), factor)
            out_at = at(_head(out, strides, 3, head, h), query * out_row)
            for r in range(queries):
                top[r], total[r] = constant(-np.inf, q), constant(0, q)
            for first in range(0, min(S, query + queries) if causal else S, KEYS):
                keys = min(KEYS, S - first)
                _scores(multiply, q_packed, k_packed, dq, scores, query, queries, first, keys, causal, spare)
                # two loops, because a row's exponentials wait for its largest score, but not for those of other rows
                for r in range(queries):
                    x = _padded(scores, r, max(0, _seen(causal, query + r, first, keys)), -np.inf)
                    largest[r] = _largest(x, top[r])
                for r in range(queries):
                    n = max(0, _seen(causal, query + r, first, keys))
                    x, o = row(scores, r * APART, -(-n // panel) * panel), row(out_at, r * out_row, dv)
                    total[r] = _exponentials(x, o, top[r], total[r], largest[r])
                    top[r] = largest[r]
                _gathered(
                    multiply_scores, scores, v_packed, S, dv, out_at, out_row, query, queries, first, keys, causal,
                    spare,
                )  # fmt: skip
            for r in range(queries):
                _multiply_by(row(out_at, r * out_row, dv), constant(1, q) / total[r])
                base = constant(0, q) if top[r] == constant(-np.inf, q) else top[r]
                lse[head * T + query + r] = base + log(total[r])


@kernel
def _attention_grad(
    t: int, nt: int, q: floats, k: floats, v: floats, out: floats, g: floats, q_grad: floats, k_grad: floats,
    v_grad: floats, lse: floats, plan: integers, work: floats, heads: int, h: int, T: int, S: int, dq: int, dv: int,
    causal: int, scale: float,
):  # fmt: skip
    """Items are heads; ``plan`` as of `_attention`, the strides of q, k, v, out, g and the three gradients."""
    numbers, pack, multiply, multiply_scores, strides = plan[0], plan[1], plan[2], plan[3], at(plan, 4)
    q_row, q_column, k_row, k_column = strides[2], strides[3], strides[6], strides[7]
    v_row, v_column, out_row, out_column = strides[10], strides[11], strides[14], strides[15]
    g_row, g_column = strides[18], strides[19]
    q_grad_row, k_grad_row, v_grad_row = strides[22], strides[26], strides[30]
    factor, panel = number(scale, q), 2 * lanes(q)
    k_packed = at(work, t * numbers)  # (dq, S)
    v_packed = at(k_packed, -(-S // panel) * panel * dq)  # (dv, S)
    k_packed_rows = at(v_packed, -(-S // panel) * panel * dv)  # (S, dq)
    q_packed = at(k_packed_rows, -(-dq // panel) * panel * S)  # (QUERIES, dq), times scale
    g_packed = at(q_packed, QUERIES * dq)  # (QUERIES, dv)
    q_packed_rows = at(g_packed, QUERIES * dv)  # (QUERIES, dq), in panels of columns
    g_packed_rows = at(q_packed_rows, -(-dq // panel) * panel * QUERIES)  # (QUERIES, dv)
    scores = at(g_packed_rows, -(-dv // panel) * panel * QUERIES)  # (QUERIES, KEYS): scores, then probabilities
    grads = at(scores, QUERIES * APART)  # (QUERIES, KEYS): their gradients
    spare = at(grads, QUERIES * APART)
    delta = at(spare, ROWS * panel)  # sum(g out) of each query of the block
    begin, end = share(t, nt, heads)
    for head in range(begin, end):
        q_head, k_head = _head(q, strides, 0, head, h), _head(k, strides, 1, head, h)
        v_head = _head(v, strides, 2, head, h)
        invoke(pack, (k_head, k_row, k_column, S, dq, panel, k_packed))
        invoke(pack, (v_head, v_row, v_column, S, dv, panel, v_packed))
        invoke(pack, (k_head, k_column, k_row, dq, S, panel, k_packed_rows))
        for query in range(0, T, QUERIES):
            queries = min(QUERIES, T - query)
            q_at, g_at = at(q_head, query * q_row), at(_head(g, strides, 4, head, h), query * g_row)
            out_at = at(_head(out, strides, 3, head, h), query * out_row)
            invoke(pack, (q_at, q_row, q_column, queries, dq, ROWS, q_packed))
            _multiply_by(row(q_packed, 0, -(-queries // ROWS) * ROWS * dq), factor)
            invoke(pack, (g_at, g_row, g_column, queries, dv, ROWS, g_packed))
            invoke(pack, (q_at, q_column, q_row, dq, queries, panel, q_packed_rows))
            invoke(pack, (g_at, g_column, g_row, dv, queries, panel, g_packed_rows))
            for r in range(queries):
                total = constant(0, q)
                for j in range(dv):
                    total += g_at[r * g_row + j * g_column] * out_at[r * out_row + j * out_column]
                delta[r] = total
            logs = at(lse, head * T + query)
            q_grad_at = at(_head(q_grad, strides, 5, head, h), query * q_grad_row)
            for first in range(0, min(S, query + queries) if causal else S, KEYS):
                keys = min(KEYS, S - first)
                _scores(multiply, q_packed, k_packed, dq, scores, query, queries, first, keys, causal, spare)
                _scores(multiply, g_packed, v_packed, dv, grads, query, queries, first, keys, causal, spare)
                for r in range(queries):
                    n = max(0, _seen(causal, query + r, first, keys))
                    x, y = _padded(scores, r, n, -np.inf), _padded(grads, r, n, 0.0)
                    _score_gradients(x, y, logs[r], delta[r], factor)
                _gathered(
                    multiply_scores, grads, k_packed_rows, S, dq, q_grad_at, q_grad_row, query, queries, first, keys,
                    causal, spare,
                )  # fmt: skip
                k_grad_at = at(_head(k_grad, strides, 6, head, h), first * k_grad_row)
                v_grad_at = at(_head(v_grad, strides, 7, head, h), first * v_grad_row)
                _scattered(
                    multiply, grads, q_packed_rows, dq, k_grad_at, k_grad_row, query, queries, first, keys, causal,
                    spare,
                )  # fmt: skip
                _scattered(
                    multiply, scores, g_packed_rows, dv, v_grad_at, v_grad_row, query, queries, first, keys, causal,
                    spare,
                )  # fmt: skip

"""Scaled dot-product attention, forward and gradient, without ever holding the (T, S) scores of a head.

A head's queries are taken a block at a time and its keys a block at a time, so that a block of scores stays in the
cache between the product that makes it and the one that uses it. The forward keeps, for every query, the largest score
and the sum of exponentials so far, and rescales what it has when a larger one turns up. The gradient computes the
scores again; all it needs from the forward is the output and each query's log-sum-exp.

A causal query t sees the keys s <= t: blocks above the diagonal are skipped, and on it the products are cut into strips
of a few rows, each as long as its last query sees. Keys that a mask forbids to a whole block of queries are skipped too.
Masks, biases and the key heads that several query heads share are read where they lie, by strides that may be 0.

Threads share units of work, that each write a part of the result of their own: blocks of queries in the forward; in the
gradient the keys of a head, all of them or, with few heads, a range. The units depend on shapes alone, so the bits do
not depend on the number of threads. One kernel walks through units; what it does with a block of scores are kernels of
their own, because many small ones compile faster than a large one, and what nobody asks for is not compiled.

A weight of 0 times a value that is not finite would be NaN. What is not finite is therefore taken out of the products,
and what it gives to those that do see it is added one by one.
"""

import functools

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minigrad.kernels import gemm, reference
from minigrad.kernels.compile import booleans, floats, helper, integers, kernel, run, scratch, shares
from minigrad.kernels.decode import attention_of_one
from minigrad.kernels.gemm import ROWS, VECTOR, lanes
from minigrad.kernels.memory import empty, even, zeros
from minigrad.kernels.pool import invoke
from minigrad.kernels.program import Work
from minigrad.kernels.random import is_kept
from minigrad.kernels.simd import at, constant, number, row, share
from minigrad.kernels.vecmath import Value, choose, exp, log

STEP = 96  # keys are skipped by so many: a multiple of the rows and of the columns of every tile
QUERIES, KEYS = 8 * ROWS, 3 * STEP  # a block of scores
APART = KEYS + 16  # numbers from one row of scores to the next: not a power of two, whose rows would share cache lines
FEW_UNITS = 8  # with fewer key heads than this the keys of one are divided
FORWARD, BACKWARD, OF_BIAS = range(3)  # tasks
WORK = 1, 3, 2  # of the tasks, in that of the forward


# ---- arrays in, arrays out


def attention(q, k, v, causal, scale, mask=None, bias=None, rate=0.0, seed=0, offset=0):
    """See `reference.attention`.   (B, h, T, dq), (B, r, S, dq), (B, r, S, dv) -> out (B, h, T, dv), lse (B, h, T)"""
    if 0 in q.shape + v.shape:
        return reference.attention(q, k, v, causal, scale, mask, bias, rate, seed, offset)
    _check(q, k, v)
    if q.shape[2] == 1 and not causal and bias is None and not rate:
        seen = _of_keys(mask, (q.shape[0], k.shape[2]))
        if mask is None or seen is not None:
            return attention_of_one(even(q), even(k), even(v), scale, seen)
    out, lse = _heads_last(q, v.shape[-1]), np.empty(q.shape[:-1], q.dtype)
    drop = _dropout(rate, seed, offset, lse.size * k.shape[2])
    _run(FORWARD, q, k, v, causal, scale, mask, bias, drop, rate, (out, None, None, None, None, None), lse)
    return out, lse


def attention_grad(
    g, q, k, v, out, lse, causal, scale, mask=None, bias=None, rate=0.0, seed=0, offset=0, bias_wanted=True
):  # fmt: skip
    """See `reference.attention_grad`.   -> dq (B, h, T, dq), dk (B, r, S, dq), dv (B, r, S, dv), dbias or None"""
    if 0 in q.shape + v.shape:
        return reference.attention_grad(g, q, k, v, out, lse, causal, scale, mask, bias, rate, seed, offset, bias_wanted)
    _check(q, k, v)
    if g.shape != out.shape or lse.shape != q.shape[:-1] or out.shape != (*q.shape[:-1], v.shape[-1]):
        raise ValueError(
            "attention_grad: g and out are (B,h,T,dv), lse is (B,h,T). "
            f"Received: g {g.shape}, out {out.shape}, lse {lse.shape}, for q {q.shape} and v {v.shape}."
        )
    (B, h, T, dq), (r, S) = q.shape, k.shape[1:3]
    out, g, lse = _rows(out), _rows(g), np.ascontiguousarray(lse)
    drop = _dropout(rate, seed, offset, lse.size * S)
    parts = len(_key_cuts(B, h, r, T, S, causal)) - 1
    q_grads = empty((parts, B, T, h, dq), q.dtype).swapaxes(2, 3)  # (parts,B,T,h,dq) -> (parts,B,h,T,dq)
    q_grad, k_grad, v_grad = q_grads[0], _heads_last(k, dq), _heads_last(v, v.shape[-1])
    _run(BACKWARD, q, k, v, causal, scale, mask, bias, drop, rate, (out, g, q_grad, k_grad, v_grad, None), lse)
    for part in q_grads[1:]:
        np.add(q_grad, part, out=q_grad)
    if bias is None or not bias_wanted:
        return q_grad, k_grad, v_grad, None
    bias_grad = zeros(bias.shape, bias.dtype)
    wide = _spread(bias_grad, (B, h, T, S))
    _run(OF_BIAS, q, k, v, causal, scale, mask, bias, drop, rate, (out, g, None, None, None, wide), lse)
    return q_grad, k_grad, v_grad, bias_grad


def _of_keys(mask, shape):
    """A mask that is the same for all heads and questions as one of keys (B, S); None for others."""
    if mask is None:
        return None
    mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)  # (B or 1, h or 1, T or 1, S or 1)
    return np.ascontiguousarray(np.broadcast_to(mask[:, 0, 0], shape)) if mask.shape[1:3] == (1, 1) else None


def _check(q, k, v):
    """Raises ValueError unless the shapes belong together."""
    (B, h, _, dq), (r, S, _) = q.shape, v.shape[1:]
    if k.shape != (B, r, S, dq) or v.shape[0] != B or h % r:
        raise ValueError(
            "attention: q (B,h,T,dq), k (B,r,S,dq) and v (B,r,S,dv) must agree in B, r, S and dq, and r divide h. "
            f"Received: q {q.shape}, k {k.shape}, v {v.shape}."
        )


def _dropout(rate, seed, offset, count):
    """What decides which of ``count`` weights are dropped: a threshold, the first counter, keys.   -> int64 (3 or more)"""
    if not rate:
        return _NO_DROPOUT
    low = offset % 2**32
    spans = reference.dropout_spans(low + count, seed, offset - low)
    keys = [int(key) for *_, pair in spans for key in pair]  # of each upper half that the counters go through
    return np.array([int(reference.dropout_threshold(rate)), low, *keys])


_NO_DROPOUT = np.zeros(3, np.int64)


def _run(task, q, k, v, causal, scale, mask, bias, drop, rate, results, lse):
    """Let threads share the units of a task; results are (out, g, dq, dk, dv, dbias), None where the task has none."""
    masks = mask, bias
    if mask is not None or bias is not None:
        masks = [_neighbours(x, (*lse.shape, k.shape[2])) for x in masks]
    arrays = q, k, v, *masks, *results
    strides = tuple([None if x is None else x.strides for x in arrays])
    units, plan, work, bytes_each = _plan(task, lse.dtype, q.shape, v.shape, causal, bool(rate), strides)
    if plan is None:
        q, k, v, out, g = [None if x is None else even(x) for x in (q, k, v, *results[:2])]
        return _run(task, q, k, v, causal, scale, mask, bias, drop, rate, (out, g, *results[2:]), lse)
    factor = scale if mask is None and bias is None else 1.0  # `_adjust` has multiplied already
    memory = scratch(shares(len(units), work) * bytes_each)
    run(
        _attention, len(units), work, *arrays, lse, drop, units, plan, memory,
        len(units), scale, factor, reference.dropout_scale(rate) if rate else 1.0,
    )  # fmt: skip


def append_to(program, q, k, v, scale, out):
    """Attention as a step of a program, without causality and masks.   (B, h, T, dq), (B, r, S, dq), (B, r, S, dv) -> out (B, h, T, dv)"""
    lse, arrays = np.empty(q.shape[:-1], q.dtype), (q, k, v, None, None, out, None, None, None, None, None)
    strides = tuple([None if x is None else x.strides for x in arrays])
    units, plan, work, bytes_each = _plan(FORWARD, q.dtype, q.shape, v.shape, False, False, strides)
    count = min(len(units), 8)  # memory is for shares, not for threads, because a thread takes them as they come
    memory = Work(count * bytes_each)
    program.append(
        _attention, count, work, *arrays, lse, _NO_DROPOUT, units, plan, memory, len(units), scale, scale, 1.0
    )


@functools.lru_cache(256)
def _plan(task, dtype, q_shape, v_shape, causal, drops, strides):
    """What a task is for arrays of these shapes and strides: units, the plan that `_attention` reads, work, bytes for each thread.

    The plan is None where an array, a field of records perhaps, has numbers that are not whole numbers apart.
    """
    (B, h, T, dq), (r, S, dv), item = q_shape, v_shape[1:], dtype.itemsize
    q, k, v, mask, bias, out, g, *_, bias_grad = strides
    if any([stride % item for x in (q, k, v, out, g) if x for stride in x]):
        return None, None, 0, 0
    if task == FORWARD:
        units = _forward_units(B, h, T, S, causal)
    elif task == BACKWARD:
        units = _key_units(B, h, r, _key_cuts(B, h, r, T, S, causal), T)
    else:
        units = _bias_units((B, h, T, S), bias_grad)
    numbers = _working_memory(S, dq, dv, VECTOR // item)
    masked, biased = mask is not None, bias is not None
    parts = {  # only what this task uses is compiled; the order is that of a plan
        gemm.pack: True, gemm.block: True, _multiply: True, _take_apart: True,
        _softmax if task == FORWARD else _softmax_grad: True,
        _used: masked, _adjust: masked or biased, _drop: drops, _add_up: biased,
    }  # fmt: skip
    codes = [part.address(dtype) if wanted else 0 for part, wanted in parts.items()]
    apart = [0 if x is None else stride // (1 if x is mask else item) for x in strides for stride in x or [0] * 4]
    plan = np.array([*codes, task, numbers, h, r, T, S, dq, dv, causal, masked, biased, B * h * T * dq, *apart])
    return units, plan, WORK[task] * B * h * T * S * (dq + dv) // 16, numbers * item


def _working_memory(S, dq, dv, lane):
    """How many numbers one thread needs, in whole vectors: all that `_attention` divides it into."""

    def panels(n):
        return -(-n // (2 * lane)) * 2 * lane

    packed = panels(S) * dq + max(panels(S) * dv, panels(dv) * S) + panels(dq) * (S + QUERIES) + panels(dv) * QUERIES
    spare = 2 * lane + ROWS * (3 * lane + panels(max(KEYS, dq, dv)))
    return packed + 2 * QUERIES * APART + spare + panels(5 * QUERIES + S + 5)


def _heads_last(like, width):
    """A (B, h, T, width) view of a contiguous (B, T, h, width) array."""
    B, h, T, _ = like.shape
    return empty((B, T, h, width), like.dtype).transpose(0, 2, 1, 3)  # (B,T,h,width) -> (B,h,T,width)


def _rows(x):
    """An array whose rows lie together."""
    return x if x.shape[-1] == 1 or x.strides[-1] == x.itemsize else np.ascontiguousarray(x)


def _neighbours(x, shape):
    """A view of x broadcast to ``shape`` with the last axis lying together, or being one number; of a copy if need be."""
    if x is None:
        return None
    return np.broadcast_to(even(_rows(x) if x.ndim else x), shape)


def _spread(x, shape):
    """A view of x broadcast to ``shape``, with a stride of 0 along it, that may be written through."""
    x = x.reshape((1,) * (len(shape) - x.ndim) + x.shape)  # (B or 1, h or 1, T or 1, S or 1)
    return np.ndarray(shape, x.dtype, x, 0, tuple([0 if n == 1 else s for n, s in zip(x.shape, x.strides)]))


# ---- units of work: [first and last batch, head, query and key, part of dq], int64 (units, 9)


def _forward_units(B, h, T, S, causal):
    """A unit is a block of queries. Causal, a late block has more to do: an early and a late one take turns."""
    blocks = [(query, min(T, query + QUERIES)) for query in range(0, T, QUERIES)]
    if causal:
        blocks = [blocks[-1 - i // 2 if i % 2 else i // 2] for i in range(len(blocks))]
    return np.array([(b, b + 1, head, head + 1, *block, 0, S, 0) for b in range(B) for head in range(h) for block in blocks])


@functools.lru_cache(64)
def _key_cuts(B, h, r, T, S, causal):
    """Where the keys of a head are divided, so that there are enough units and each has as much to do.   -> 0 .. S"""
    steps = range(0, S, STEP)
    parts = max(1, min(-(-FEW_UNITS // (B * r)), len(steps)))
    # the work of a step's keys: how many queries see them
    work = np.cumsum([0] + [max(T - key, 1) if causal else T for key in steps])
    cuts = np.searchsorted(work, work[-1] * np.arange(parts) / parts)
    return [*sorted({int(cut) * STEP for cut in cuts}), S]


def _key_units(B, h, r, cuts, T):
    """A unit is a key head or a range of its keys, which add to a dq of their own."""
    group = h // r
    return np.array([
        (b, b + 1, head * group, (head + 1) * group, 0, T, cuts[part], cuts[part + 1], part)
        for b in range(B) for head in range(r) for part in range(len(cuts) - 1)
    ])  # fmt: skip


def _bias_units(scores, strides):
    """A unit is a block of the bias's gradient: it adds up what comes from wherever the bias was broadcast to, by a stride of 0."""
    ranges = []
    for n, stride, block in zip(scores, strides, (1, 1, QUERIES, KEYS)):
        block = block if stride else n
        ranges.append([(first, min(n, first + block)) for first in range(0, n, block)])
    return np.array([(*b, *head, *query, *key, 0) for b in ranges[0] for head in ranges[1] for query in ranges[2] for key in ranges[3]])


# ---- along a row


def _along(function=None, *, keeps=None):
    """Make a function of `Value`s, whose code is written for vectors and for what is left over, go along rows.

    In a kernel it is called with a tuple of pointers, how many numbers, and a tuple of numbers; it sees the place in
    the row and one Value for each of them, and returns what to store in place of what it read, from the first pointer
    on. With ``keeps`` ("add" or "max") it returns that and a Value, whose sum or maximum is the result of the whole.
    """
    if function is None:
        return functools.partial(_along, keeps=keeps)

    @intrinsic
    def go(typing_context, rows, n, numbers):
        kind = rows.dtype.dtype
        width = VECTOR * 8 // kind.bitwidth

        def generate(context, builder, signature, values):
            pointers = [builder.extract_value(values[0], i) for i in range(len(rows))]
            given = [builder.extract_value(values[2], i) for i in range(len(numbers))]
            i64, scalar = ir.IntType(64), context.get_data_type(kind)
            vector = ir.VectorType(scalar, width)
            start = float("-inf") if keeps == "max" else 0.0
            suffix = f"v{width}f{kind.bitwidth}"

            def spread(value):
                one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
                return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width))

            def loop(first, last, step, shape, given, place, kept):
                """Go from first to last in steps of one shape; returns what was kept."""
                before = builder.block
                head, body, after = (builder.append_basic_block(f"along.{part}") for part in ("head", "body", "after"))
                builder.branch(head)
                builder.position_at_end(head)
                i, at_place, state = (builder.phi(t) for t in (i64, shape, shape))
                for phi, value in ((i, first), (at_place, place), (state, kept)):
                    phi.add_incoming(value, before)
                builder.cbranch(builder.icmp_signed("<", i, last), body, after)

                builder.position_at_end(body)
                wheres = [builder.bitcast(builder.gep(p, [i]), shape.as_pointer()) for p in pointers]
                read = [builder.load(where, align=kind.bitwidth // 8) for where in wheres]
                result = function(*(Value(builder, v) for v in (at_place, *read, *given)))
                stored, new = result if keeps else (result, None)
                for value, where in zip(stored, wheres):
                    builder.store(value.code, where, align=kind.bitwidth // 8)
                i.add_incoming(builder.add(i, step), builder.block)
                forward = ir.Constant(shape, [float(width)] * width) if shape is vector else ir.Constant(shape, 1.0)
                at_place.add_incoming(builder.fadd(at_place, forward), builder.block)
                state.add_incoming(_both(keeps, Value(builder, state), new).code if keeps else state, builder.block)
                builder.branch(head)
                builder.position_at_end(after)
                return i, state

            n = values[1]
            whole = builder.and_(n, i64(-width))
            places = ir.Constant(vector, [float(j) for j in range(width)])
            i, state = loop(
                i64(0), whole, i64(width), vector, [spread(v) for v in given], places, ir.Constant(vector, [start] * width)
            )
            kept = ir.Constant(scalar, start)
            if keeps:
                operands = [vector] if keeps == "max" else [scalar, vector]
                name = f"llvm.vector.reduce.f{keeps}.{suffix}"
                reduce = builder.module.globals.get(name) or ir.Function(
                    builder.module, ir.FunctionType(scalar, operands), name
                )
                code = [state] if keeps == "max" else [kept, state]
                kept = builder.call(reduce, code, fastmath=() if keeps == "max" else ("reassoc",))
            _, kept = loop(i, n, i64(1), scalar, given, builder.sitofp(i, scalar), kept)
            return kept if keeps else context.get_dummy_value()

        return (kind if keeps else types.void)(rows, types.int64, numbers), generate

    go.__doc__ = function.__doc__
    return go


def _both(keeps, x, y):
    return x + y if keeps == "add" else choose(y > x, y, x)  # a NaN is not the largest: what it is subtracted from stays


@_along
def _fill(place, x, value):
    """x = value"""
    return (value,)


@_along
def _multiply_by(place, x, factor):
    """x = x factor"""
    return (x * factor,)


@_along(keeps="add")
def _product(place, x, y):
    """sum x y"""
    return (), x * y


@_along(keeps="add")
def _sum(place, x):
    """sum x"""
    return (), x


@_along(keeps="add")
def _is_finite(place, x):
    """0, or NaN if not all are finite."""
    return (), x - x


@_along(keeps="max")
def _largest(place, x, seen, factor):
    """The largest of a query's scores x, which are multiplied by a factor; those from number ``seen`` on become -inf."""
    x = choose(place < seen, x * factor, float("-inf"))
    return (x,), x


@_along(keeps="add")
def _exponentials(place, x, base):
    """Scores x become exponentials, less a base; their sum."""
    e = exp.code(x - base)
    return (e,), e


@_along
def _score_gradients(place, x, y, seen, factor, lse, delta, scale):
    """Scores x times a factor become probabilities, and y, the gradient of these, that of the scores times ``scale``."""
    p = choose(place < seen, exp.code(x * factor - lse), 0.0)
    return p, choose(p > 0.0, p * (y - delta) * scale, p)  # NaN stays NaN


@_along
def _add(place, x, y, factor):
    """x = x factor + y"""
    return (x * factor + y,)


@_along
def _finish(place, lse, total, top):
    """The log-sum-exp, and 1 / total, or 0 for a query that saw nothing."""
    return top + log.code(total), choose(total > 0.0, 1.0 / total, total)


@intrinsic
def _fetch(typing_context, pointer):
    """Let the cache line at an address come nearer, while something else is computed."""

    def generate(context, builder, signature, values):
        number = ir.IntType(32)
        place = builder.bitcast(values[0], ir.IntType(8).as_pointer())
        code = builder.module.globals.get("llvm.prefetch.p0") or ir.Function(
            builder.module, ir.FunctionType(ir.VoidType(), [place.type, number, number, number]), "llvm.prefetch.p0"
        )
        builder.call(code, [place, number(0), number(2), number(1)])  # to read, into the second cache, data
        return context.get_dummy_value()

    return types.void(pointer), generate


# ---- a block of scores: query number r of the block sees the first ``ahead`` + r of its keys


@helper
def _seen(ahead, r, keys):
    """How many of a block's keys its query number r sees."""
    return max(0, min(keys, ahead + r))


@helper
def _computed(scores, ahead, r, queries, keys):
    """How many scores of query number r are computed: as many as the last query of its strip sees, in whole vectors."""
    n = _seen(ahead, min(queries, (r // ROWS + 1) * ROWS) - 1, keys)
    return -(-n // lanes(scores)) * lanes(scores)


SCORES, TO_QUERIES, TO_KEYS = range(3)


@kernel
def _multiply(
    kind: int, block: int, a: floats, a_row: int, a_k: int, b: floats, b_panel: int, width: int, c: floats, c_row: int,
    queries: int, keys: int, ahead: int, known: int, spare: floats, bads: int, bad: floats, source: floats,
    source_row: int, source_column: int,
):  # fmt: skip
    """A product with a block of scores, of which only what is seen is computed; b is packed.

    SCORES        c (queries, keys)    = a (queries, width) b (width, keys)
    TO_QUERIES    c (queries, width)  += a (queries, keys) b (keys, width)
    TO_KEYS       c (keys, width)     += a (keys, queries) b (queries, width)

    Rows of c from number ``known`` on are not read, but begin with 0. Rows of b that are marked in ``bad`` were taken
    out of it, if there are ``bads``; what they give is added from where b came from, (rows, width) of any strides.
    """
    panel = 2 * lanes(a)
    strip = ROWS if ahead <= keys else max(queries, keys)
    height = keys if kind == TO_KEYS else queries
    for r in range(0, height, strip):
        rows, skip, seen = min(strip, height - r), 0, _seen(ahead, min(queries, r + strip) - 1, keys)
        n, depth = width, seen
        if kind == TO_KEYS:
            skip = max(0, r + 1 - ahead)  # the queries before do not see these keys
            depth = queries - skip
        elif kind == SCORES:
            n, depth = _computed(a, ahead, r, queries, keys), width  # panels of b end with zeros
        if n > 0 and depth > 0:
            c_at = at(c, r * c_row)
            plus, plus_row, plus_column = (c_at, c_row, 1) if r < known else (spare, 0, 0)
            invoke(block, (
                at(a, r * a_row + skip * a_k), a_row, a_k, at(b, skip * panel), b_panel, panel, depth, plus, plus_row,
                plus_column, c_at, c_row, rows, n, at(spare, panel),
            ))  # fmt: skip
    for r in range(height if bads else 0):
        c_at = at(c, r * c_row)
        for i in range(keys if kind == TO_QUERIES else queries):
            query, key = (r, i) if kind == TO_QUERIES else (i, r)
            weight, there = a[r * a_row + i * a_k], at(source, i * source_row)
            if key < ahead + query and weight != constant(0, a) and bad[i] != constant(0, a):
                for j in range(width):
                    c_at[j] += weight * there[j * source_column]


@kernel
def _softmax(
    scores: floats, queries: int, keys: int, ahead: int, factor: float, top: floats, total: floats, out: floats,
    out_row: int, width: int,
):  # fmt: skip
    """Scores times a factor become exponentials, less the largest so far, ``top``; ``out`` and ``total`` keep up with it."""
    zero, nothing = constant(0, scores), constant(-np.inf, scores)
    # two loops, because a row's exponentials wait for its largest score, but not for those of other rows
    for i in range(queries):
        x, before, n = at(scores, i * APART), top[i], _computed(scores, ahead, i, queries, keys)
        new = max(before, _largest((x,), n, (constant(_seen(ahead, i, keys), x), number(factor, x))))
        if total[i] > zero and before < new:
            shrunk = exp(before - new)
            total[i] *= shrunk
            _multiply_by((at(out, i * out_row),), width, (shrunk,))
        top[i] = new
    for i in range(queries):
        base = top[i] if top[i] > nothing else zero  # nothing but -inf: exponentials of 0
        total[i] += _exponentials((at(scores, i * APART),), _computed(scores, ahead, i, queries, keys), (base,))


@kernel
def _softmax_grad(
    scores: floats, grads: floats, queries: int, keys: int, ahead: int, factor: float, lse: floats, delta: floats,
    scale: float,
):  # fmt: skip
    """Scores times a factor become probabilities, and their gradients those of the scores times ``scale``."""
    nothing, f, s = constant(-np.inf, scores), number(factor, scores), number(scale, scores)
    for i in range(queries):
        x, logs = at(scores, i * APART), lse[i] if lse[i] != nothing else -nothing  # probabilities of 0
        numbers = constant(_seen(ahead, i, keys), x), f, logs, delta[i], s
        _score_gradients((x, at(grads, i * APART)), _computed(scores, ahead, i, queries, keys), numbers)


@kernel
def _adjust(
    scores: floats, queries: int, keys: int, ahead: int, scale: float, biased: int, bias: floats, bias_row: int,
    bias_column: int, masked: int, mask: booleans, mask_row: int, mask_column: int,
):  # fmt: skip
    """Scores become scores times the scale plus bias; those that the mask forbids -inf."""
    factor, nothing = number(scale, scores), constant(-np.inf, scores)
    for i in range(queries):
        x, n, bias_at = at(scores, i * APART), _seen(ahead, i, keys), at(bias, i * bias_row)
        added = row(x, 0, n)
        if biased and bias_column:
            _add((x, bias_at), n, (factor,))
        else:
            more = bias_at[0] if biased else constant(0, x)
            for j in range(n):
                added[j] = added[j] * factor + more
        if masked:
            mask_at = at(mask, i * mask_row)
            for j in range(n):
                added[j] = added[j] if mask_at[j * mask_column] else nothing


@kernel
def _used(mask: booleans, mask_row: int, mask_column: int, queries: int, keys: int, span: floats):
    """Which of ``keys`` keys a mask allows to some query, to steps of `STEP`: span = begin, end."""
    begin, end = keys, 0
    for step in range(0, keys, STEP):
        n = min(STEP, keys - step)
        for r in range(queries if mask_row else 1):
            x = row(mask, r * mask_row + step * mask_column, n if mask_column else 1)
            allows = False
            for j in range(x.size):
                allows |= x[j] != 0
            if allows:
                begin, end = min(begin, step), step + n
                break
    span[0], span[1] = constant(begin, span), constant(end, span)


@kernel
def _drop(
    x: floats, queries: int, keys: int, ahead: int, counter: int, S: int, keys_of_dropout: integers, threshold: int,
    kept: float,
):  # fmt: skip
    """Numbers of each query become 0 or ``kept`` times as large, as `reference.dropout` has it for these counters."""
    factor = number(kept, x)
    for i in range(queries):
        done, n, place = 0, _seen(ahead, i, keys), counter + i * S
        while done < n:
            half, low = place >> 32, place & 0xFFFFFFFF
            m = min(n - done, 0x100000000 - low)
            part = row(x, i * APART + done, m)
            first, second = keys_of_dropout[2 * half], keys_of_dropout[2 * half + 1]
            for j in range(m):
                part[j] = part[j] * factor if is_kept(low + j, first, second, threshold) else constant(0, x)
            done += m
            place += m


@kernel
def _add_up(grads: floats, queries: int, keys: int, ahead: int, bias_grad: floats, bias_row: int, bias_column: int):
    """Gradients of scores are added to that of the bias."""
    for i in range(queries):
        y, there, n = at(grads, i * APART), at(bias_grad, i * bias_row), _seen(ahead, i, keys)
        if bias_column:
            _add((there, y), n, (constant(1, grads),))
        else:
            there[0] += _sum((y,), n, ())


# ---- numbers that are not finite


@kernel
def _take_apart(packed: floats, n: int, width: int, bad: floats):
    """Rows of packed (n, width) with a number that is not finite become 0; bad (n + 1) marks them, and at n if there are any."""
    panel, zero = 2 * lanes(packed), constant(0, packed)
    bad[n] = _is_finite((packed,), -(-width // panel) * panel * n, ())
    for i in range(n if bad[n] != zero else 0):
        bad[i] = zero
        for twice in range(2):
            for first in range(0, width, panel):
                there = (at(packed, first * n + i * panel),)
                if twice == 0:
                    bad[i] += _is_finite(there, panel, ())
                elif bad[i] != zero:
                    _fill(there, panel, (zero,))


# ---- the kernel


@helper
def _head(x, strides, b, head):
    """Where a head begins in an array of these strides."""
    return at(x, b * strides[0] + head * strides[1])


@helper
def _clear(x, apart, n, width):
    """The first n rows of x become 0."""
    for i in range(n):
        xi = row(x, i * apart, width)
        for j in range(width):
            xi[j] = constant(0, x)


Q, K, V, MASK, BIAS, OUT, G, DQ, DK, DV, DBIAS = range(11)  # the order of the strides in a plan


@kernel
def _attention(
    t: int, nt: int, q: floats, k: floats, v: floats, mask: booleans, bias: floats, out: floats, g: floats,
    q_grad: floats, k_grad: floats, v_grad: floats, bias_grad: floats, lse: floats, dropout: integers,
    units: integers, plan: integers, work: floats, count: int, scale: float, factor: float, kept: float,
):  # fmt: skip
    """The forward, the gradients of q, k and v, or that of the bias, as ``plan`` says, which `_plan` writes."""
    pack, block, multiply, take_apart, of_rows, used = plan[0], plan[1], plan[2], plan[3], plan[4], plan[5]
    adjust, drop, add_up, task, numbers, h, r = plan[6], plan[7], plan[8], plan[9], plan[10], plan[11], plan[12]
    T, S, dq, dv, causal, masked = plan[13], plan[14], plan[15], plan[16], plan[17], plan[18]
    biased, q_size, strides = plan[19], plan[20], at(plan, 21)
    threshold, counter, keys_of_dropout = dropout[0], dropout[1], at(dropout, 2)
    q_row, q_column, k_row, k_column = strides[2], strides[3], strides[6], strides[7]
    v_row, v_column, mask_row, mask_column = strides[10], strides[11], strides[14], strides[15]
    bias_row, bias_column, out_row, g_row = strides[18], strides[19], strides[22], strides[26]
    q_grad_row, k_grad_row, v_grad_row = strides[30], strides[34], strides[38]
    panel, zero = 2 * lanes(q), constant(0, q)
    # packed: a unit's keys and values, a block's queries and their g
    k_packed = at(work, t * numbers)  # (dq, S)
    v_packed = at(k_packed, -(-S // panel) * panel * dq)  # (S, dv), or (dv, S) for the gradients
    k_rows = at(v_packed, max(-(-dv // panel) * S, -(-S // panel) * dv) * panel)  # (S, dq)
    q_rows = at(k_rows, -(-dq // panel) * panel * S)  # (QUERIES, dq)
    g_rows = at(q_rows, -(-dq // panel) * panel * QUERIES)  # (QUERIES, dv)
    scores = at(g_rows, -(-dv // panel) * panel * QUERIES)  # (QUERIES, KEYS): scores, exponentials, probabilities
    grads = at(scores, QUERIES * APART)  # (QUERIES, KEYS): their gradients
    spare = at(grads, QUERIES * APART)
    # of each query of a block: the largest score so far and the sum of exponentials; sum(g out)
    top = at(work, (t + 1) * numbers - 5 * QUERIES - S - 5)
    total, delta, span = at(top, QUERIES), at(top, 2 * QUERIES), at(top, 3 * QUERIES)
    bad_q, bad_g, bad = at(span, 2), at(span, 3 + QUERIES), at(span, 4 + 2 * QUERIES)
    for j in range(panel):
        spare[j] = zero
    # what queries gather from keys: out from v, or dq from k
    weights, rows, width = (scores, v_packed, dv) if task == FORWARD else (grads, k_rows, dq)
    packed = -1
    begin, end = share(t, nt, count)
    for unit in range(begin, end):
        place = at(units, 9 * unit)
        heads, start, stop = place[3] - place[2], place[6], place[7]
        n = stop - start
        for item in range((place[1] - place[0]) * heads):
            b, head = place[0] + item // heads, place[2] + item % heads
            own = head // (h // r)
            k_at = at(_head(k, at(strides, 4 * K), b, own), start * k_row)
            v_at = at(_head(v, at(strides, 4 * V), b, own), start * v_row)
            k_grad_at = at(_head(k_grad, at(strides, 4 * DK), b, own), start * k_grad_row)
            v_grad_at = at(_head(v_grad, at(strides, 4 * DV), b, own), start * v_grad_row)
            if packed != (b * r + own) * S + start:
                packed = (b * r + own) * S + start
                invoke(pack, (k_at, k_row, k_column, n, dq, k_packed))
                if task == FORWARD:
                    invoke(pack, (v_at, v_column, v_row, dv, n, v_packed))
                else:
                    invoke(pack, (v_at, v_row, v_column, n, dv, v_packed))
                if task == BACKWARD:
                    invoke(pack, (k_at, k_column, k_row, dq, n, k_rows))
                    # what no query is sure to write, as without a mask the first that sees a key is
                    sure = 0 if masked else max(0, T - start) if causal else n
                    _clear(at(k_grad_at, sure * k_grad_row), k_grad_row, n - sure, dq)
                    _clear(at(v_grad_at, sure * v_grad_row), v_grad_row, n - sure, dv)
                invoke(take_apart, (rows, n, width, bad))
            for query in range(place[4], place[5], QUERIES):
                queries = min(QUERIES, place[5] - query)
                index = (b * h + head) * T + query
                lse_at = at(lse, index)
                q_at = at(_head(q, at(strides, 4 * Q), b, head), query * q_row)
                g_at = at(_head(g, at(strides, 4 * G), b, head), query * g_row)
                out_at = at(_head(out, at(strides, 4 * OUT), b, head), query * out_row)
                mask_at = at(_head(mask, at(strides, 4 * MASK), b, head), query * mask_row)
                bias_at = at(_head(bias, at(strides, 4 * BIAS), b, head), query * bias_row)
                q_grad_at = at(_head(q_grad, at(strides, 4 * DQ), b, head), query * q_grad_row + place[8] * q_size)
                to, to_row = (out_at, out_row) if task == FORWARD else (q_grad_at, q_grad_row)
                source, source_row, source_column = (v_at, v_row, v_column) if task == FORWARD else (k_at, k_row, k_column)
                unsure = masked or (causal and query < start)  # whether every query sees the first key
                if unsure and task != OF_BIAS:
                    _clear(to, to_row, queries, width)
                limit = min(stop, query + queries) if causal else stop
                if task == BACKWARD and start < limit:
                    invoke(pack, (q_at, q_column, q_row, dq, queries, q_rows))
                    invoke(pack, (g_at, 1, g_row, dv, queries, g_rows))
                    invoke(take_apart, (q_rows, queries, dq, bad_q))
                    invoke(take_apart, (g_rows, queries, dv, bad_g))
                for i in range(queries):
                    if task == FORWARD:
                        top[i], total[i] = constant(-np.inf, q), zero
                    else:
                        delta[i] = _product((at(g_at, i * g_row), at(out_at, i * out_row)), dv, ())
                for first_of_block in range(start, limit, KEYS):
                    first, keys = first_of_block, min(KEYS, limit - first_of_block)
                    if masked:
                        invoke(used, (at(mask_at, first * mask_column), mask_row, mask_column, queries, keys, span))
                        first, keys = first + int(span[0]), int(span[1]) - int(span[0])
                    if keys <= 0:
                        continue
                    ahead = query + 1 - first if causal else S + 1
                    skipped = first - start
                    invoke(multiply, (
                        SCORES, block, q_at, q_row, q_column, at(k_packed, skipped * dq), panel * dq, dq, scores, APART,
                        queries, keys, ahead, 0, spare, 0, bad, q_at, 0, 0,
                    ))  # fmt: skip
                    if masked or biased:
                        invoke(adjust, (
                            scores, queries, keys, ahead, scale, biased, at(bias_at, first * bias_column), bias_row,
                            bias_column, masked, at(mask_at, first * mask_column), mask_row, mask_column,
                        ))  # fmt: skip
                    drawn = counter + index * S + first
                    if task == FORWARD:
                        invoke(of_rows, (scores, queries, keys, ahead, factor, top, total, out_at, out_row, dv))
                    else:
                        invoke(multiply, (
                            SCORES, block, g_at, g_row, 1, at(v_packed, skipped * dv), panel * dv, dv, grads, APART,
                            queries, keys, ahead, 0, spare, 0, bad, g_at, 0, 0,
                        ))  # fmt: skip
                        if threshold:
                            invoke(drop, (grads, queries, keys, ahead, drawn, S, keys_of_dropout, threshold, kept))
                        times = factor if task == OF_BIAS else scale  # the factor is 1: a bias is added to scaled scores
                        invoke(of_rows, (scores, grads, queries, keys, ahead, factor, lse_at, delta, times))
                    if threshold:
                        invoke(drop, (scores, queries, keys, ahead, drawn, S, keys_of_dropout, threshold, kept))
                    if task == OF_BIAS:
                        bias_grad_at = _head(bias_grad, at(strides, 4 * DBIAS), b, head)
                        invoke(add_up, (
                            grads, queries, keys, ahead, at(bias_grad_at, query * strides[42] + first * strides[43]),
                            strides[42], strides[43],
                        ))  # fmt: skip
                        continue
                    known = queries if unsure or first > start else 0
                    invoke(multiply, (
                        TO_QUERIES, block, weights, APART, 1, at(rows, skipped * panel), panel * n, width, to, to_row,
                        queries, keys, ahead, known, spare, int(bad[n] != zero), at(bad, skipped),
                        at(source, skipped * source_row), source_row, source_column,
                    ))  # fmt: skip
                    if task == BACKWARD:
                        # all keys have something already; or those before this block of queries; or none
                        known = keys if masked or head > place[2] else query - first if causal else query * keys
                        invoke(multiply, (
                            TO_KEYS, block, grads, 1, APART, q_rows, panel * queries, dq,
                            at(k_grad_at, skipped * k_grad_row), k_grad_row, queries, keys, ahead, known, spare,
                            int(bad_q[queries] != zero), bad_q, q_at, q_row, q_column,
                        ))  # fmt: skip
                        invoke(multiply, (
                            TO_KEYS, block, scores, 1, APART, g_rows, panel * queries, dv,
                            at(v_grad_at, skipped * v_grad_row), v_grad_row, queries, keys, ahead, known, spare,
                            int(bad_g[queries] != zero), bad_g, g_at, g_row, 1,
                        ))  # fmt: skip
                if task == FORWARD:
                    _finish((lse_at, total, top), queries, ())
                    for i in range(queries):
                        _multiply_by((at(out_at, i * out_row),), dv, (total[i],))

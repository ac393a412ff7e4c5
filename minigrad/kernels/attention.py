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
not depend on the number of threads.

A weight of 0 times a value that is not finite would be NaN. What is not finite is therefore taken out of the products,
and what it gives to those that do see it is added one by one.
"""

import functools

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minigrad.kernels import reference
from minigrad.kernels.compile import booleans, floats, helper, integers, kernel, run, scratch, shares
from minigrad.kernels.gemm import ROWS, VECTOR, lanes, multiply, multiplying, pack
from minigrad.kernels.memory import empty, zeros
from minigrad.kernels.pool import invoke
from minigrad.kernels.random import is_kept
from minigrad.kernels.simd import at, constant, number, row, share
from minigrad.kernels.vecmath import Value, choose, exp, log

STEP = 96  # keys are skipped by so many: a multiple of the rows and of the columns of every tile
QUERIES, KEYS = 8 * ROWS, 3 * STEP  # a block of scores
APART = KEYS + 16  # numbers from one row of scores to the next: not a power of two, whose rows would share cache lines
FEW_UNITS = 8  # with fewer key heads than this the keys of one are divided

multiply_scores = multiplying(APART)  # a block of scores times rows of k or v, the scores as they lie


# ---- arrays in, arrays out


def attention(q, k, v, causal, scale, mask=None, bias=None, rate=0.0, seed=0, offset=0):
    """See `reference.attention`.   (B, h, T, dq), (B, r, S, dq), (B, r, S, dv) -> out (B, h, T, dv), lse (B, h, T)"""
    if 0 in q.shape + v.shape:
        return reference.attention(q, k, v, causal, scale, mask, bias, rate, seed, offset)
    call = _Call(q, k, v, causal, scale, mask, bias, rate, seed, offset)
    out, lse = _heads_last(q, v.shape[-1]), np.empty(q.shape[:-1], q.dtype)
    call.run(_attention, _forward_units(*q.shape[:-1], causal), 1, (out,), lse)
    return out, lse


def attention_grad(
    g, q, k, v, out, lse, causal, scale, mask=None, bias=None, rate=0.0, seed=0, offset=0, bias_wanted=True
):  # fmt: skip
    """See `reference.attention_grad`.   -> dq (B, h, T, dq), dk (B, r, S, dq), dv (B, r, S, dv), dbias or None"""
    if 0 in q.shape + v.shape:
        return reference.attention_grad(g, q, k, v, out, lse, causal, scale, mask, bias, rate, seed, offset, bias_wanted)
    if g.shape != out.shape or lse.shape != q.shape[:-1] or out.shape != (*q.shape[:-1], v.shape[-1]):
        raise ValueError(
            "attention_grad: g and out are (B,h,T,dv), lse is (B,h,T). "
            f"Received: g {g.shape}, out {out.shape}, lse {lse.shape}, for q {q.shape} and v {v.shape}."
        )
    call = _Call(q, k, v, causal, scale, mask, bias, rate, seed, offset)
    B, h, T, S = call.scores
    out, g, lse = _whole(out), _whole(g), np.ascontiguousarray(lse)
    units, parts = _key_units(B, h, k.shape[1], T, S, causal)
    dq = empty((parts, B, T, h, q.shape[-1]), q.dtype).swapaxes(2, 3)  # (parts,B,T,h,dq) -> (parts,B,h,T,dq)
    dk, dv = _heads_last(k, k.shape[-1]), _heads_last(v, v.shape[-1])
    call.run(_attention_grad, units, 3, (out, g, dq[0], dk, dv, None), lse)
    for part in dq[1:]:
        np.add(dq[0], part, out=dq[0])
    if bias is None or not bias_wanted:
        return dq[0], dk, dv, None
    dbias = zeros(bias.shape, bias.dtype)
    along = (1,) * (4 - bias.ndim) + bias.shape  # (B or 1, h or 1, T or 1, S or 1)
    units = _bias_units(call.scores, along)
    call.run(_attention_grad, units, 2, (out, g, None, None, None, _spread(dbias.reshape(along), call.scores)), lse)
    return dq[0], dk, dv, dbias


class _Call:
    """What every kernel is told: arrays of any strides, after checking that their shapes belong together, and numbers."""

    def __init__(self, q, k, v, causal, scale, mask, bias, rate, seed, offset):
        (B, h, T, dq), (r, S, dv) = q.shape, v.shape[1:]
        if k.shape != (B, r, S, dq) or v.shape[0] != B or h % r:
            raise ValueError(
                "attention: q (B,h,T,dq), k (B,r,S,dq) and v (B,r,S,dv) must agree in B, r, S and dq, and r divide h. "
                f"Received: q {q.shape}, k {k.shape}, v {v.shape}."
            )
        self.scores = B, h, T, S
        self.arrays = _whole(q), _whole(k), _whole(v)
        self.masks = [_neighbours(x, self.scores) for x in (mask, bias)]
        self.numbers = _working_memory(S, dq, dv, VECTOR // q.itemsize)
        threshold, keys = 0, [0]
        if rate:
            threshold = int(reference.dropout_threshold(rate))
            spans = reference.dropout_spans(offset % 2**32 + B * h * T * S, seed, offset - offset % 2**32)
            keys = [int(key) for *_, pair in spans for key in pair]  # of each upper half that the counters go through
        self.keys = np.array(keys)
        self.plan = [
            self.numbers, *_codes(q.dtype), h, r, T, S, dq, dv, causal, mask is not None, bias is not None, threshold,
            offset % 2**32, q.size,
        ]  # fmt: skip
        self.scale, self.kept = scale, reference.dropout_scale(rate)

    def run(self, kernel, units, products, results, lse):
        """Let a kernel do units of work, which are together ``products`` times the work of scores and output."""
        strides = []
        for x in (*self.arrays, *self.masks, *results):
            strides += [0] * 4 if x is None else [stride // x.itemsize for stride in x.strides]
        (B, h, T, S), (*_, dq), (*_, dv) = self.scores, self.arrays[0].shape, self.arrays[2].shape
        work = products * B * h * T * S * (dq + dv) // 16
        memory = scratch(shares(len(units), work) * self.numbers * lse.itemsize)
        run(
            kernel, len(units), work, *self.arrays, *self.masks, *results, lse, self.keys, units,
            np.array([*self.plan, *strides]), memory, len(units), self.scale, self.kept,
        )  # fmt: skip


@functools.cache
def _codes(dtype):
    return pack.address(dtype), multiply.address(dtype), multiply_scores.address(dtype), _add_apart.address(dtype)


def _working_memory(S, dq, dv, lane):
    """How many numbers one thread needs: a head's keys and values packed both ways, a block of queries, of scores."""
    width = 2 * lane

    def packed(n, k):
        return -(-n // width) * width * k

    keys = packed(S, dq) + packed(S, dv) + packed(dq, S) + packed(dv, S) + S
    queries = QUERIES * (dq + dv + 5) + packed(dq, QUERIES) + packed(dv, QUERIES)
    return keys + queries + 2 * QUERIES * APART + ROWS * width


def _heads_last(like, width):
    """A (B, h, T, width) view of a contiguous (B, T, h, width) array."""
    B, h, T, _ = like.shape
    return empty((B, T, h, width), like.dtype).transpose(0, 2, 1, 3)  # (B,T,h,width) -> (B,h,T,width)


def _whole(x):
    """An array whose elements are whole numbers of elements apart, as those of a field of records may not be."""
    return np.ascontiguousarray(x) if any([stride % x.itemsize for stride in x.strides]) else x


def _neighbours(x, shape):
    """A view of x broadcast to ``shape`` with the last axis lying together, or being one number; of a copy if need be."""
    if x is None:
        return None
    x = _whole(x)
    if x.ndim and x.shape[-1] > 1 and x.strides[-1] != x.itemsize:
        x = np.ascontiguousarray(x)
    return np.broadcast_to(x, shape)


def _spread(x, shape):
    """A view of x (B or 1, h or 1, T or 1, S or 1) broadcast to ``shape`` that may be written through."""
    return np.ndarray(shape, x.dtype, x, 0, tuple([0 if n == 1 else s for n, s in zip(x.shape, x.strides)]))


# ---- units of work: [first and last batch, head, query and key, part of dq], int64 (units, 9)


@functools.lru_cache(64)
def _forward_units(B, h, T, causal):
    """A unit is a block of queries. Causal, a late block has more to do: an early and a late one take turns."""
    blocks = [(query, min(T, query + QUERIES)) for query in range(0, T, QUERIES)]
    if causal:
        blocks = [blocks[-1 - i // 2 if i % 2 else i // 2] for i in range(len(blocks))]
    return np.array([(b, b + 1, head, head + 1, *block, 0, 0, 0) for b in range(B) for head in range(h) for block in blocks])


@functools.lru_cache(64)
def _key_units(B, h, r, T, S, causal):
    """A unit is a key head or a range of its keys, which add to a dq of their own.   -> units, parts"""
    steps = range(0, S, STEP)
    parts = max(1, min(-(-FEW_UNITS // (B * r)), len(steps)))
    # the work of a step's keys: how many queries see them
    work = np.cumsum([0] + [max(T - key, 1) if causal else T for key in steps])
    cuts = np.searchsorted(work, work[-1] * np.arange(parts) / parts)
    cuts = sorted({int(cut) * STEP for cut in cuts}) + [S]
    group, parts = h // r, len(cuts) - 1
    units = [
        (b, b + 1, head * group, (head + 1) * group, 0, T, cuts[part], cuts[part + 1], part)
        for b in range(B) for head in range(r) for part in range(parts)
    ]  # fmt: skip
    return np.array(units), parts


@functools.lru_cache(64)
def _bias_units(scores, along):
    """A unit is a block of the bias's gradient: it adds up what comes from wherever the bias was broadcast to."""
    ranges = []
    for n, own, block in zip(scores, along, (1, 1, QUERIES, KEYS)):
        block = block if own > 1 else n
        ranges.append([(first, min(n, first + block)) for first in range(0, n, block)])
    return np.array([(*b, *head, *query, *key, -1) for b in ranges[0] for head in ranges[1] for query in ranges[2] for key in ranges[3]])


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


# ---- inside a head


@helper
def _seen(causal, query, first, keys):
    """How many of ``keys`` keys from ``first`` on a query sees."""
    return max(0, min(keys, query - first + 1)) if causal else keys


@helper
def _strip(causal, query, first, keys, queries):
    """How many queries at once see as many keys of a block: all, or on the diagonal a strip of them."""
    return ROWS if causal and first + keys > query + 1 else queries


@helper
def _strip_sees(causal, query, first, keys, queries, r):
    """How many keys of a block the last query sees that is in one strip with query number r."""
    strip = _strip(causal, query, first, keys, queries)
    return _seen(causal, query + min(queries, (r // strip + 1) * strip) - 1, first, keys)


@helper
def _whole_vectors(n, like):
    return -(-n // lanes(like)) * lanes(like)


@helper
def _scores(multiply, a, b, width, c, query, queries, first, keys, causal, spare):
    """c (queries, keys) = a b where seen, for packed a (queries, width) and b (width, keys)."""
    panel = 2 * lanes(a)
    strip = _strip(causal, query, first, keys, queries)
    for r in range(0, queries, strip):
        n = _whole_vectors(_strip_sees(causal, query, first, keys, queries, r), a)  # panels of b end with zeros
        if n > 0:
            a_at, c_at = at(a, r * width), at(c, r * APART)
            invoke(multiply, (
                a_at, ROWS * width, ROWS, b, panel * width, panel, c_at, APART, min(strip, queries - r), n, width,
                c_at, 0, 0, spare,
            ))  # fmt: skip


@helper
def _gathered(multiply_scores, scores, b, b_panel, width, c, c_row, query, queries, first, keys, causal, adds, spare):
    """c (queries, width) = scores b, added to what is there or not, for packed b (keys, width)."""
    strip = _strip(causal, query, first, keys, queries)
    for r in range(0, queries, strip):
        n = _strip_sees(causal, query, first, keys, queries, r)
        if n > 0:
            a_at, c_at = at(scores, r * APART), at(c, r * c_row)
            invoke(multiply_scores, (
                a_at, ROWS * APART, 1, b, b_panel, 2 * lanes(b), c_at, c_row, min(strip, queries - r), width, n,
                c_at, c_row, adds, spare,
            ))  # fmt: skip


@helper
def _scattered(multiply, scores, b, width, c, c_row, query, queries, first, keys, causal, known, spare):
    """c (keys, width) += scores' b for packed b (queries, width), or = for keys from ``known`` on: what queries give to keys."""
    panel = 2 * lanes(b)
    strip = keys if _strip(causal, query, first, keys, queries) == queries else ROWS
    for s in range(0, keys, strip):
        skip = max(0, first + s - query) if causal else 0  # the queries before do not see these keys
        if skip < queries:
            a_at, b_at, c_at = at(scores, skip * APART + s), at(b, skip * panel), at(c, s * c_row)
            invoke(multiply, (
                a_at, ROWS, APART, b_at, panel * queries, panel, c_at, c_row, min(strip, keys - s), width,
                queries - skip, c_at, c_row, first + s < known, spare,
            ))  # fmt: skip


@helper
def _used(mask, mask_row, mask_column, queries, first, keys):
    """Which of ``keys`` keys from ``first`` on a mask allows to some query, to steps of `STEP`: begin, end."""
    begin, end = keys, 0
    for step in range(0, keys, STEP):
        n = min(STEP, keys - step)
        for r in range(queries if mask_row else 1):
            x = row(mask, r * mask_row + (first + step) * mask_column, n if mask_column else 1)
            allows = False
            for j in range(x.size):
                allows |= x[j] != 0
            if allows:
                begin, end = min(begin, step), step + n
                break
    return begin, end


@helper
def _adjust(x, n, factor, bias, bias_column, biased, mask, mask_column, masked):
    """The scores of one query, times a factor and with a bias; those that its mask forbids become -inf."""
    scores = row(x, 0, n)
    if not biased:
        _multiply_by((x,), n, (factor,))
    elif bias_column:
        _add((x, bias), n, (factor,))
    else:
        for j in range(n):
            scores[j] = scores[j] * factor + bias[0]
    if masked:
        if mask_column:
            allowed = row(mask, 0, n)
            for j in range(n):
                scores[j] = scores[j] if allowed[j] else constant(-np.inf, x)
        elif not mask[0]:
            _fill((x,), n, (constant(-np.inf, x),))


@helper
def _drop(x, n, counter, keys, threshold, factor):
    """Numbers x become 0 or ``factor`` times as large, as `reference.dropout` has it for this counter and the next ones."""
    done = 0
    while done < n:
        half, low = counter >> 32, counter & 0xFFFFFFFF
        m = min(n - done, 0x100000000 - low)
        part, first, second = row(x, done, m), keys[2 * half], keys[2 * half + 1]
        for j in range(m):
            part[j] = part[j] * factor if is_kept(low + j, first, second, threshold) else constant(0, x)
        done += m
        counter += m


# ---- numbers that are not finite


@helper
def _take_apart(packed, n, width, bad):
    """Rows of packed (n, width) with a number that is not finite become 0 and are marked in ``bad``; how many there are."""
    panel = 2 * lanes(packed)
    size = -(-width // panel) * panel * n
    zero = constant(0, packed)
    if _is_finite((packed,), size, ()) == zero:
        return 0
    count = 0
    for i in range(n):
        bad[i] = zero
        for first in range(0, width, panel):
            bad[i] += _is_finite((at(packed, first * n + i * panel),), panel, ())
        if bad[i] != zero:
            count += 1
            for first in range(0, width, panel):
                _fill((at(packed, first * n + i * panel),), panel, (zero,))
    return count


@kernel
def _add_apart(
    scores: floats, causal: int, query: int, queries: int, first: int, keys: int, bad: floats, b: floats, b_row: int,
    b_column: int, width: int, c: floats, c_row: int, of_keys: int,
):  # fmt: skip
    """What rows of b that were taken out of a product give: to queries if they are those of keys, or else to keys."""
    for r in range(queries):
        for s in range(_seen(causal, query + r, first, keys)):
            weight = scores[r * APART + s]
            source, target = (s, r) if of_keys else (r, s)
            if weight != constant(0, scores) and bad[source] != constant(0, scores):
                for j in range(width):
                    c[target * c_row + j] += weight * b[source * b_row + j * b_column]


# ---- the kernels


@helper
def _head(x, strides, which, b, head):
    """Where a head of array number ``which`` begins."""
    return at(x, b * strides[4 * which] + head * strides[4 * which + 1])


@helper
def _fetch_rows(x, strides, which, b, head, first, n, width):
    """Let n rows of a head, from the first on, come nearer."""
    begin, stride = _head(x, strides, which, b, head), strides[4 * which + 2]
    for i in range(first, first + n):
        for j in range(0, width, 64 * lanes(x) // VECTOR):
            _fetch(at(begin, i * stride + j))


Q, K, V, MASK, BIAS, OUT, G, DQ, DK, DV, DBIAS = range(11)  # the order of the strides in a plan


@kernel
def _attention(
    t: int, nt: int, q: floats, k: floats, v: floats, mask: booleans, bias: floats, out: floats, lse: floats,
    keys_of_dropout: integers, units: integers, plan: integers, work: floats, count: int, scale: float, kept: float,
):  # fmt: skip
    """``plan`` is what `_Call` writes: working memory a thread, addresses, sizes, and the strides of the arrays."""
    numbers, pack, multiply, multiply_scores, add_apart = plan[0], plan[1], plan[2], plan[3], plan[4]
    h, r, T, S, dq, dv, causal = plan[5], plan[6], plan[7], plan[8], plan[9], plan[10], plan[11]
    masked, biased, threshold, counter, strides = plan[12], plan[13], plan[14], plan[15], at(plan, 17)
    q_row, q_column, k_row, k_column = strides[2], strides[3], strides[6], strides[7]
    v_row, v_column, mask_row, mask_column = strides[10], strides[11], strides[14], strides[15]
    bias_row, bias_column, out_row = strides[18], strides[19], strides[22]
    panel, zero, one, nothing = 2 * lanes(q), constant(0, q), constant(1, q), constant(-np.inf, q)
    factor = one if masked or biased else number(scale, q)  # `_adjust` has multiplied already
    k_packed = at(work, t * numbers)  # (dq, S)
    v_packed = at(k_packed, -(-S // panel) * panel * dq)  # (S, dv)
    q_packed = at(v_packed, -(-dv // panel) * panel * S)  # (QUERIES, dq)
    scores = at(q_packed, QUERIES * dq)  # (QUERIES, KEYS)
    spare = at(scores, QUERIES * APART)
    # of each query of the block: the largest score so far and the sum of exponentials
    top = at(spare, ROWS * panel)
    total = at(top, QUERIES)
    bad_v = at(total, QUERIES)  # (S)
    packed, bads = -1, 0
    begin, end = share(t, nt, count)
    for unit in range(begin, end):
        b, head, query, last = units[9 * unit], units[9 * unit + 2], units[9 * unit + 4], units[9 * unit + 5]
        own, queries = head // (h // r), last - query
        v_head = _head(v, strides, V, b, own)
        if b * r + own != packed:
            packed = b * r + own
            invoke(pack, (_head(k, strides, K, b, own), k_row, k_column, S, dq, panel, k_packed))
            invoke(pack, (v_head, v_column, v_row, dv, S, panel, v_packed))
            bads = _take_apart(v_packed, S, dv, bad_v)
        invoke(pack, (at(_head(q, strides, Q, b, head), query * q_row), q_row, q_column, queries, dq, ROWS, q_packed))
        if unit + 1 < end:
            b_next, head_next, query_next = units[9 * unit + 9], units[9 * unit + 11], units[9 * unit + 13]
            _fetch_rows(q, strides, Q, b_next, head_next, query_next, min(QUERIES, T - query_next), dq)
            if b_next * r + head_next // (h // r) != packed:
                _fetch_rows(k, strides, K, b_next, head_next // (h // r), 0, min(S, KEYS), dq)
                _fetch_rows(v, strides, V, b_next, head_next // (h // r), 0, min(S, KEYS), dv)
        out_at = at(_head(out, strides, OUT, b, head), query * out_row)
        mask_at = at(_head(mask, strides, MASK, b, head), query * mask_row)
        bias_at = at(_head(bias, strides, BIAS, b, head), query * bias_row)
        for i in range(queries):
            top[i], total[i] = nothing, zero
            if masked:  # without a mask every query sees the first key
                _fill((at(out_at, i * out_row),), dv, (zero,))
        limit = min(S, last) if causal else S
        for block in range(0, limit, KEYS):
            skipped, keys = 0, min(KEYS, limit - block)
            if masked:
                skipped, keys = _used(mask_at, mask_row, mask_column, queries, block, keys)
            first, keys = block + skipped, keys - skipped
            if keys <= 0:
                continue
            _scores(multiply, q_packed, at(k_packed, first * dq), dq, scores, query, queries, first, keys, causal, spare)
            # two loops, because a row's exponentials wait for its largest score, but not for those of other rows
            for i in range(queries):
                seen, x = _seen(causal, query + i, first, keys), at(scores, i * APART)
                if masked or biased:
                    _adjust(x, seen, number(scale, q), at(bias_at, i * bias_row + first * bias_column), bias_column, biased,
                            at(mask_at, i * mask_row + first * mask_column), mask_column, masked)  # fmt: skip
                whole = _whole_vectors(_strip_sees(causal, query, first, keys, queries, i), x)
                before = top[i]
                top[i] = max(before, _largest((x,), whole, (constant(seen, x), factor)))
                if total[i] > zero and before < top[i]:
                    shrunk = exp(before - top[i])
                    total[i] *= shrunk
                    _multiply_by((at(out_at, i * out_row),), dv, (shrunk,))
            for i in range(queries):
                x = at(scores, i * APART)
                sees = _strip_sees(causal, query, first, keys, queries, i)
                base = top[i] if top[i] > nothing else zero  # nothing but -inf: exponentials of 0
                total[i] += _exponentials((x,), _whole_vectors(sees, x), (base,))
                if threshold:
                    place = ((b * h + head) * T + query + i) * S + first
                    _drop(x, sees, counter + place, keys_of_dropout, threshold, number(kept, q))
            _gathered(
                multiply_scores, scores, at(v_packed, first * panel), panel * S, dv, out_at, out_row, query, queries,
                first, keys, causal, masked or first > 0, spare,
            )  # fmt: skip
            if bads:
                invoke(add_apart, (
                    scores, causal, query, queries, first, keys, at(bad_v, first), at(v_head, first * v_row), v_row,
                    v_column, dv, out_at, out_row, 1,
                ))  # fmt: skip
        _finish((at(lse, (b * h + head) * T + query), total, top), queries, ())
        for i in range(queries):
            _multiply_by((at(out_at, i * out_row),), dv, (total[i],))


@kernel
def _attention_grad(
    t: int, nt: int, q: floats, k: floats, v: floats, mask: booleans, bias: floats, out: floats, g: floats,
    q_grad: floats, k_grad: floats, v_grad: floats, bias_grad: floats, lse: floats, keys_of_dropout: integers,
    units: integers, plan: integers, work: floats, count: int, scale: float, kept: float,
):  # fmt: skip
    """``plan`` as of `_attention`. Units of part -1 are blocks of the bias's gradient, the others those of k and v."""
    numbers, pack, multiply, multiply_scores, add_apart = plan[0], plan[1], plan[2], plan[3], plan[4]
    h, r, T, S, dq, dv, causal = plan[5], plan[6], plan[7], plan[8], plan[9], plan[10], plan[11]
    masked, biased, threshold, counter, strides = plan[12], plan[13], plan[14], plan[15], at(plan, 17)
    q_row, q_column, k_row, k_column = strides[2], strides[3], strides[6], strides[7]
    v_row, v_column, mask_row, mask_column = strides[10], strides[11], strides[14], strides[15]
    bias_row, bias_column, out_row, out_column = strides[18], strides[19], strides[22], strides[23]
    g_row, g_column, q_grad_row, k_grad_row = strides[26], strides[27], strides[30], strides[34]
    v_grad_row, bias_grad_row, bias_grad_column = strides[38], strides[42], strides[43]
    panel, zero, one, nothing = 2 * lanes(q), constant(0, q), constant(1, q), constant(-np.inf, q)
    factor = one if masked or biased else number(scale, q)  # `_adjust` has multiplied already
    k_packed = at(work, t * numbers)  # (dq, keys of the unit)
    v_packed = at(k_packed, -(-S // panel) * panel * dq)  # (dv, keys of the unit)
    k_packed_rows = at(v_packed, -(-S // panel) * panel * dv)  # (keys of the unit, dq)
    q_packed = at(k_packed_rows, -(-dq // panel) * panel * S)  # (QUERIES, dq)
    g_packed = at(q_packed, QUERIES * dq)  # (QUERIES, dv)
    q_packed_rows = at(g_packed, QUERIES * dv)  # (QUERIES, dq), in panels of columns
    g_packed_rows = at(q_packed_rows, -(-dq // panel) * panel * QUERIES)  # (QUERIES, dv)
    scores = at(g_packed_rows, -(-dv // panel) * panel * QUERIES)  # (QUERIES, KEYS): scores, then probabilities
    grads = at(scores, QUERIES * APART)  # (QUERIES, KEYS): their gradients
    spare = at(grads, QUERIES * APART)
    delta = at(spare, ROWS * panel)  # sum(g out) of each query of the block
    bad_q, bad_g, bad_k = at(delta, QUERIES), at(delta, 2 * QUERIES), at(delta, 3 * QUERIES)
    begin, end = share(t, nt, count)
    for unit in range(begin, end):
        place = at(units, 9 * unit)
        heads, query_first, query_last = place[3] - place[2], place[4], place[5]
        start, stop, part = place[6], place[7], place[8]
        of_bias, S_here, packed, bads_k = part < 0, stop - start, -1, 0
        items = (place[1] - place[0]) * heads
        for item in range(items):
            b, head = place[0] + item // heads, place[2] + item % heads
            own = head // (h // r)
            k_head, v_head = at(_head(k, strides, K, b, own), start * k_row), _head(v, strides, V, b, own)
            k_grad_head, v_grad_head = _head(k_grad, strides, DK, b, own), _head(v_grad, strides, DV, b, own)
            if b * r + own != packed:
                packed = b * r + own
                invoke(pack, (k_head, k_row, k_column, S_here, dq, panel, k_packed))
                invoke(pack, (at(v_head, start * v_row), v_row, v_column, S_here, dv, panel, v_packed))
                if not of_bias:
                    invoke(pack, (k_head, k_column, k_row, dq, S_here, panel, k_packed_rows))
                    bads_k = _take_apart(k_packed_rows, S_here, dq, bad_k)
                    # what no query is sure to write, as without a mask the first that sees a key is
                    for s in range(start if masked else max(start, T) if causal else stop, stop):
                        _fill((at(k_grad_head, s * k_grad_row),), dq, (zero,))
                        _fill((at(v_grad_head, s * v_grad_row),), dv, (zero,))
            for query in range(query_first, query_last, QUERIES):
                queries = min(QUERIES, query_last - query)
                q_at = at(_head(q, strides, Q, b, head), query * q_row)
                g_at = at(_head(g, strides, G, b, head), query * g_row)
                out_at = at(_head(out, strides, OUT, b, head), query * out_row)
                mask_at = at(_head(mask, strides, MASK, b, head), query * mask_row)
                bias_at = at(_head(bias, strides, BIAS, b, head), query * bias_row)
                q_grad_at = at(_head(q_grad, strides, DQ, b, head), query * q_grad_row)
                limit, bads_q, bads_g = min(stop, query + queries) if causal else stop, 0, 0
                unsure = masked or (causal and query < start)  # whether every query sees the first key
                if not of_bias:
                    q_grad_at = at(q_grad_at, part * plan[16])
                    for i in range(queries if unsure else 0):
                        _fill((at(q_grad_at, i * q_grad_row),), dq, (zero,))
                if limit <= start:
                    continue
                invoke(pack, (q_at, q_row, q_column, queries, dq, ROWS, q_packed))
                invoke(pack, (g_at, g_row, g_column, queries, dv, ROWS, g_packed))
                if not of_bias:
                    invoke(pack, (q_at, q_column, q_row, dq, queries, panel, q_packed_rows))
                    invoke(pack, (g_at, g_column, g_row, dv, queries, panel, g_packed_rows))
                    bads_q = _take_apart(q_packed_rows, queries, dq, bad_q)
                    bads_g = _take_apart(g_packed_rows, queries, dv, bad_g)
                for i in range(queries):
                    if g_column == 1 and out_column == 1:
                        delta[i] = _product((at(g_at, i * g_row), at(out_at, i * out_row)), dv, ())
                    else:
                        delta[i] = zero
                        for j in range(dv):
                            delta[i] += g_at[i * g_row + j * g_column] * out_at[i * out_row + j * out_column]
                # what will be read next
                b_next, head_next, query_next = b, head, query + QUERIES
                if query_next >= query_last and item + 1 == items and unit + 1 < end:
                    b_next, head_next, query_next = place[9], place[11], place[13]
                    keys = min(KEYS, place[16] - place[15])
                    _fetch_rows(k, strides, K, b_next, head_next // (h // r), place[15], keys, dq)
                    _fetch_rows(v, strides, V, b_next, head_next // (h // r), place[15], keys, dv)
                queries_next = min(QUERIES, T - query_next)
                _fetch_rows(q, strides, Q, b_next, head_next, query_next, queries_next, dq)
                _fetch_rows(g, strides, G, b_next, head_next, query_next, queries_next, dv)
                _fetch_rows(out, strides, OUT, b_next, head_next, query_next, queries_next, dv)
                for block in range(start, limit, KEYS):
                    skipped, keys = 0, min(KEYS, limit - block)
                    if masked:
                        skipped, keys = _used(mask_at, mask_row, mask_column, queries, block, keys)
                    first, keys = block + skipped, keys - skipped
                    if keys <= 0:
                        continue
                    k_at, v_at = at(k_packed, (first - start) * dq), at(v_packed, (first - start) * dv)
                    _scores(multiply, q_packed, k_at, dq, scores, query, queries, first, keys, causal, spare)
                    _scores(multiply, g_packed, v_at, dv, grads, query, queries, first, keys, causal, spare)
                    for i in range(queries):
                        seen, x, y = _seen(causal, query + i, first, keys), at(scores, i * APART), at(grads, i * APART)
                        if masked or biased:
                            _adjust(x, seen, number(scale, q), at(bias_at, i * bias_row + first * bias_column), bias_column, biased,
                                    at(mask_at, i * mask_row + first * mask_column), mask_column, masked)  # fmt: skip
                        sees = _strip_sees(causal, query, first, keys, queries, i)
                        index = (b * h + head) * T + query + i
                        if threshold:
                            _drop(y, sees, counter + index * S + first, keys_of_dropout, threshold, number(kept, q))
                        logs = lse[index] if lse[index] != nothing else -nothing  # probabilities of 0
                        _score_gradients(
                            (x, y), _whole_vectors(sees, x),
                            (constant(seen, x), factor, logs, delta[i], one if of_bias else number(scale, q)),
                        )  # fmt: skip
                        if threshold:
                            _drop(x, sees, counter + index * S + first, keys_of_dropout, threshold, number(kept, q))
                    if of_bias:
                        target = at(_head(bias_grad, strides, DBIAS, b, head), query * bias_grad_row)
                        for i in range(queries):
                            seen, y = _seen(causal, query + i, first, keys), at(grads, i * APART)
                            if bias_grad_column:
                                _add((at(target, i * bias_grad_row + first), y), seen, (one,))
                            else:
                                target[i * bias_grad_row] += _sum((y,), seen, ())
                        continue
                    k_rows_at = at(k_packed_rows, (first - start) * panel)
                    k_grad_at, v_grad_at = at(k_grad_head, first * k_grad_row), at(v_grad_head, first * v_grad_row)
                    _gathered(
                        multiply_scores, grads, k_rows_at, panel * S_here, dq, q_grad_at, q_grad_row, query, queries,
                        first, keys, causal, unsure or first > start, spare,
                    )  # fmt: skip
                    # all keys have something already; or those before this block of queries; or none
                    known = query if causal else query * S
                    known = S if masked or head > place[2] else known
                    _scattered(
                        multiply, grads, q_packed_rows, dq, k_grad_at, k_grad_row, query, queries, first, keys, causal,
                        known, spare,
                    )  # fmt: skip
                    _scattered(
                        multiply, scores, g_packed_rows, dv, v_grad_at, v_grad_row, query, queries, first, keys, causal,
                        known, spare,
                    )  # fmt: skip
                    if bads_k:
                        bad, there = at(bad_k, first - start), at(k_head, (first - start) * k_row)
                        invoke(add_apart, (
                            grads, causal, query, queries, first, keys, bad, there, k_row, k_column, dq, q_grad_at,
                            q_grad_row, 1,
                        ))  # fmt: skip
                    if bads_q:
                        invoke(add_apart, (
                            grads, causal, query, queries, first, keys, bad_q, q_at, q_row, q_column, dq, k_grad_at,
                            k_grad_row, 0,
                        ))  # fmt: skip
                    if bads_g:
                        invoke(add_apart, (
                            scores, causal, query, queries, first, keys, bad_g, g_at, g_row, g_column, dv, v_grad_at,
                            v_grad_row, 0,
                        ))  # fmt: skip

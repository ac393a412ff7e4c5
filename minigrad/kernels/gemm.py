"""Matrix products: a register-tiled product, and everything around it.

A product of any two strided matrices is cut into blocks that fit the caches. ``tile`` holds a small part of the result
in vector registers while it walks along K: it takes numbers of ``a`` one by one, from where they lie, and numbers of
``b`` a vector at a time, from where they lie or from packed panels:

    b panel   2 vectors of columns of b   [K][2 * lanes]

A product may begin with more than zeros (a bias, a residual, the sum over a block of K before) and end with more than
storing (`epilogue.py`): both happen while that part of the result is in the cache.

Threads share the result. Each of its numbers is the same sequence of multiply-adds wherever the cuts fall, so the bits
do not depend on how many threads there are.
"""

import functools
import math
import threading

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minigrad import settings
from minigrad.kernels.activation import form_of_gelu
from minigrad.kernels.compile import cpu, floats, helper, integers, kernel, launcher, scratch, shares
from minigrad.kernels.epilogue import function_block
from minigrad.kernels.making import module
from minigrad.kernels.memory import empty, even
from minigrad.kernels.pool import WORKERS, invoke
from minigrad.kernels.simd import at, constant, fetch, row, share

# Bytes in a vector register, and rows in a tile: 2 * ROWS sums, 2 vectors of b and 1 of a fit in the registers.
_FEATURES = set(cpu()[2].split(","))
if {"+avx512f", "+avx512vl"} <= _FEATURES:
    VECTOR, ROWS = 64, 12
elif {"+avx2", "+fma"} <= _FEATURES:
    VECTOR, ROWS = 32, 6
else:
    VECTOR, ROWS = 16, 4
FEW = max(2, ROWS // 3)  # rows of the small tile, for what is left over

# Blocks: BLOCK_K numbers of ROWS rows of a stay in the first cache, a block of b (BLOCK_K x BLOCK_N) and what belongs
# to it of c (BLOCK_M x BLOCK_N) in the second.
BLOCK_M, BLOCK_N, BLOCK_K = 4 * ROWS, 512, 384
SAME_LINE = 4096  # bytes apart from each other, places have the same lines of the first cache
THIN = 3, 4 * ROWS  # with so many rows in a, at least and at most, columns of b that lie together are read once, in their order
CHUNK = 64  # columns of a product with few rows that stay together
AHEAD = 8  # steps of k from what is packed to what is asked for from memory
DOTS = 4  # with no more columns left over than these, each number is a sum along the rows, not a tile for itself
LYING = 2048, 4096  # bytes: rows of b up to this long are read from where they lie; longer ones if a has few rows


# ---- vector code


def lanes_of(kind):
    """How many numbers of an element type fit in a vector register."""
    return VECTOR // (kind.bitwidth // 8)


@intrinsic
def lanes(typing_context, like):
    """How many numbers of the element type behind a pointer fit in a vector register."""

    def generate(context, builder, signature, values):
        return ir.Constant(ir.IntType(64), lanes_of(like.dtype))

    return types.int64(like), generate


def _tile(rows, vectors):
    """c = plus + a b for ``rows`` rows and ``vectors`` vectors of columns, kept in registers along k.

    On the way, one cache line a step, it asks for what will be read next: ``ahead``, ``ahead_k`` numbers from step to step.
    """

    @intrinsic
    def tile(typing_context, a, a_row, a_k, b, b_k, k, plus, plus_row, c, c_row, ahead, ahead_k):
        width = lanes_of(a.dtype)
        integer = types.int64
        signature = types.void(a, integer, integer, a, integer, integer, a, integer, a, integer, a, integer)

        def generate(context, builder, signature, values):
            a_value, a_row, a_k, b_value, b_k, k, plus, plus_row, c_value, c_row, ahead, ahead_k = values
            i64, number = ir.IntType(64), context.get_data_type(a.dtype)
            vector, size = ir.VectorType(number, width), a.dtype.bitwidth // 8
            # fuses where the CPU can, and is never a library call
            name = f"llvm.fmuladd.v{width}f{8 * size}"
            multiply_add = builder.module.globals.get(name) or ir.Function(
                builder.module, ir.FunctionType(vector, [vector] * 3), name
            )
            undefined = ir.Constant(vector, ir.Undefined)
            everywhere = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)
            places = [(i, j) for i in range(rows) for j in range(vectors)]

            def vector_at(base, base_row, i, j):
                """Where the j-th vector of row i begins."""
                there = builder.add(builder.mul(base_row, i64(i)), i64(j * width))
                return builder.bitcast(builder.gep(base, [there]), vector.as_pointer())

            def broadcast(base, i):
                one = builder.load(builder.gep(base, [builder.mul(a_row, i64(i))]), align=size)
                return builder.shuffle_vector(
                    builder.insert_element(undefined, one, ir.IntType(32)(0)), undefined, everywhere
                )

            before = builder.block
            sums = [builder.load(vector_at(plus, plus_row, i, j), align=size) for i, j in places]
            head, body, after = (builder.append_basic_block(f"tile.{part}") for part in ("head", "body", "after"))
            builder.branch(head)

            builder.position_at_end(head)
            state = [i64(0), a_value, b_value, ahead, *sums]
            phis = [builder.phi(value.type) for value in state]
            for phi, value in zip(phis, state, strict=True):
                phi.add_incoming(value, before)
            done, a_at, b_at, ahead_at, *sums = phis
            builder.cbranch(builder.icmp_signed("<", done, k), body, after)

            builder.position_at_end(body)
            fetch(builder, ahead_at, writes=False)
            # Results are written after a long walk along k: their lines can be here by then. Not all at once: too many
            # lines on their way from memory hold up those of a and b.
            with builder.if_then(builder.icmp_signed("<", done, i64(rows))):
                for j in range(vectors):
                    there = builder.add(builder.mul(c_row, done), i64(j * width))
                    fetch(builder, builder.gep(c_value, [there]), writes=True)
            columns = [builder.load(vector_at(b_at, b_k, 0, j), align=size) for j in range(vectors)]
            added = []
            for i in range(rows):
                one = broadcast(a_at, i)
                for j in range(vectors):
                    added.append(builder.call(multiply_add, [one, columns[j], sums[i * vectors + j]]))
            steps = (a_at, a_k), (b_at, b_k), (ahead_at, ahead_k)
            state = [builder.add(done, i64(1)), *[builder.gep(place, [step]) for place, step in steps], *added]
            for phi, value in zip(phis, state, strict=True):
                phi.add_incoming(value, builder.block)
            builder.branch(head)

            builder.position_at_end(after)
            for (i, j), value in zip(places, sums, strict=True):
                builder.store(value, vector_at(c_value, c_row, i, j), align=size)
            return context.get_dummy_value()

        return signature, generate

    return tile


_wide, _narrow = _tile(ROWS, 2), _tile(ROWS, 1)
_few_wide, _few_narrow = _tile(FEW, 2), _tile(FEW, 1)


def _mover(transposes):
    """Copy numbers into a panel, which is 2 vectors wide.

    One step of k, from neighbours in memory, asking for those ``stride`` further on; or, transposing, the steps that 16
    bytes hold, from rows ``stride`` apart.
    """

    @intrinsic
    def move(typing_context, source, stride, panel):
        count = lanes_of(source.dtype)
        width = 2 * count
        size = source.dtype.bitwidth // 8

        def generate(context, builder, signature, values):
            source_value, stride, panel_value = values
            i64, number = ir.IntType(64), context.get_data_type(source.dtype)

            def vector_at(base, offset, length):
                return builder.bitcast(builder.gep(base, [offset]), ir.VectorType(number, length).as_pointer())

            def shuffle(x, y, order):
                return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order))

            if not transposes:
                for j in range(2):
                    fetch(builder, vector_at(source_value, builder.add(stride, i64(j * count)), count), writes=False)
                value = builder.load(vector_at(source_value, i64(0), width), align=size)
                builder.store(value, vector_at(panel_value, i64(0), width), align=size)
                return context.get_dummy_value()

            # Squares of side x side numbers, as many as a vector has room for, are transposed within their 16 bytes.
            side = 16 // size
            half = side // 2
            squares = range(0, count, side)
            low = [x for square in squares for p in range(square, square + half) for x in (p, p + count)]
            high = [x + half for x in low]
            for first in range(0, width, count):

                def line(i, first=first):
                    """Row i of every square, next to each other: one vector."""
                    places = [builder.mul(stride, i64(first + square + i)) for square in squares]
                    parts = [builder.load(vector_at(source_value, place, side), align=size) for place in places]
                    while len(parts) > 1:
                        pairs = zip(parts[::2], parts[1::2], strict=True)
                        parts = [shuffle(x, y, list(range(2 * x.type.count))) for x, y in pairs]
                    return parts[0]

                lines = [line(i) for i in range(side)]
                for _ in range(half.bit_length()):  # log2(side) rounds of interleaving the two halves transpose
                    lines = [shuffle(lines[i], lines[i + half], order) for i in range(half) for order in (low, high)]
                for k, value in enumerate(lines):
                    builder.store(value, vector_at(panel_value, i64(k * width + first), count), align=size)
            return context.get_dummy_value()

        return types.void(source, types.int64, source), generate

    return move


_copy, _transpose = _mover(False), _mover(True)


# ---- blocks


@helper
def copy(source, source_row, target, target_row, m, n):
    """target (m, n) = source (m, n), each with its distance from row to row."""
    for i in range(m):
        old, new = row(source, i * source_row, n), row(target, i * target_row, n)
        for j in range(n):
            new[j] = old[j]


@kernel
def pack(source: floats, stride: int, stride_k: int, n: int, k: int, target: floats):
    """source (n, k) of any strides -> target [panels][k][2 * lanes], the last panel filled up with zeros."""
    width = 2 * lanes(source)
    whole = n // width * width if stride == 1 or stride_k == 1 else 0
    if stride == 1:
        for first in range(0, whole, 4 * width):  # four panels at a time: what is read lies together
            for step in range(k):
                for j in range(first, min(first + 4 * width, whole), width):
                    _copy(at(source, j + step * stride_k), AHEAD * stride_k, at(target, j * k + step * width))
    for first in range(0 if stride != 1 else whole, n, width):
        begin, panel = at(source, first * stride), at(target, first * k)
        done = 0
        if first < whole:
            side = lanes(source) * 16 // VECTOR
            done = k // side * side
            for step in range(0, done, side):
                _transpose(at(begin, step), stride, at(panel, step * width))
        out = row(panel, 0, k * width)
        here = min(width, n - first)
        if here < width:
            for i in range(k * width):
                out[i] = constant(0, source)
        for i in range(here):
            for step in range(done, k):
                out[step * width + i] = begin[i * stride + step * stride_k]


@kernel
def block(
    a: floats, a_row: int, a_k: int, b: floats, b_panel: int, b_k: int, k: int, plus: floats, plus_row: int,
    plus_column: int, c: floats, c_row: int, m: int, n: int, spare: floats,
):  # fmt: skip
    """c (m, n) = plus + a b, for a (m, k) of any strides and b in panels of 2 vectors of columns."""
    lane = lanes(a)
    panel, spare_rows, i = 2 * lane, at(spare, 2 * ROWS * lane), 0
    copies = n > panel and max(a_row, a_k) * VECTOR % (SAME_LINE * lane) == 0
    while i < m:
        height = ROWS if m - i > 2 * FEW else FEW
        rows = min(height, m - i)
        a_at, a_apart, k_apart = at(a, i * a_row), a_row, a_k
        # The tile reads a copy where there may be nothing behind the last row, and where rows would share cache lines.
        if (rows < height or copies) and a_k == 1:
            a_apart = k + lane
            copy(a_at, a_row, spare_rows, a_apart, rows, k)
            a_at = spare_rows
        elif rows < height or copies:
            a_apart, k_apart = 1, height
            for kk in range(k):
                old, new = at(a_at, kk * a_k), row(spare_rows, kk * height, rows)
                for r in range(rows):
                    new[r] = old[r * a_row]
            a_at = spare_rows
        # along the rows of c: what is written lies together, which matters more than that b comes from farther away
        for j in range(0, n, panel):
            columns = min(panel, n - j)
            b_at, c_at, c_apart = at(b, j // panel * b_panel), at(c, i * c_row + j), c_row
            plus_at, plus_apart = at(plus, i * plus_row + j * plus_column), plus_row
            # a tile at the rim is computed whole in spare memory; from there its valid part is copied
            whole = rows == height and (columns == lane or columns == panel)
            # next comes another panel of b; but it matters more that every step finds another line of the next rows of a
            ahead, ahead_k = at(b_at, panel), b_k
            if a_k != 1:
                ahead, ahead_k = at(a, i * a_row + (2 * ROWS - 1) * a_row), a_k
            if not whole:
                copy(plus_at, plus_row, spare, panel, rows, columns)
                plus_at, plus_apart, c_at, c_apart = spare, panel, spare, panel
            if height == ROWS:
                if columns > lane:
                    _wide(a_at, a_apart, k_apart, b_at, b_k, k, plus_at, plus_apart, c_at, c_apart, ahead, ahead_k)
                else:
                    _narrow(a_at, a_apart, k_apart, b_at, b_k, k, plus_at, plus_apart, c_at, c_apart, ahead, ahead_k)
            elif columns > lane:
                _few_wide(a_at, a_apart, k_apart, b_at, b_k, k, plus_at, plus_apart, c_at, c_apart, ahead, ahead_k)
            else:
                _few_narrow(a_at, a_apart, k_apart, b_at, b_k, k, plus_at, plus_apart, c_at, c_apart, ahead, ahead_k)
            if not whole:
                copy(spare, panel, at(c, i * c_row + j), c_row, rows, columns)
        i += height


@kernel
def dots(
    a: floats, a_row: int, b: floats, k: int, plus: floats, plus_row: int, plus_column: int, c: floats, c_row: int,
    m: int, n: int,
):  # fmt: skip
    """c (m, n) = plus + a b', for rows of a and b (n, k) whose numbers lie together: a vector is a part of a row."""
    for i in range(m):
        ai = row(a, i * a_row, k)
        for j in range(n):
            bj, total = row(b, j * k, k), constant(0, a)
            for kk in range(k):
                total += ai[kk] * bj[kk]
            c[i * c_row + j] = plus[i * plus_row + j * plus_column] + total


# ---- the whole product


@helper
def _grid(parts, M, N, width):
    """Into how many strips of rows to cut c so that ``parts`` equal parts cost least: computing, and packing twice."""
    best, rows = -1, 1
    for strips in range(1, parts + 1):
        if parts % strips == 0:
            height = -(-M // (strips * ROWS)) * ROWS
            breadth = -(-N // (parts // strips * width)) * width
            cost = height * breadth + 8 * (height + breadth)
            if best < 0 or cost < best:
                best, rows = cost, strips
    return rows


@helper
def _added(c, plus, bias, m, n, apart):
    """c (m, n) = plus + bias."""
    for i in range(m):
        out, old, more = row(c, i * apart, n), row(plus, i * apart, n), row(bias, 0, n)
        for j in range(n):
            out[j] = old[j] + more[j]


# Where in a plan its numbers are; behind them stands where the matrices of a and b begin, two numbers for each product.
(
    _BATCHES, _M, _N, _K, _A_ROW, _A_COLUMN, _B_ROW, _B_COLUMN, _PACKS, _NUMBERS, _PACK, _BLOCK, _DOTS, _OFFSETS,
) = range(14)  # fmt: skip


@kernel
def product(
    t: int, nt: int, a: floats, b: floats, c: floats, bias: floats, plus: floats, other: floats, plan: integers,
    work: floats, has_bias: int, has_plus: int, finish: int,
):  # fmt: skip
    """c (batches, M, N) = a b + bias + plus, and then what ``finish`` makes of it, together with ``other``."""
    batches, M, N, K = plan[_BATCHES], plan[_M], plan[_N], plan[_K]
    a_row, a_column, b_row, b_column = plan[_A_ROW], plan[_A_COLUMN], plan[_B_ROW], plan[_B_COLUMN]
    lane = lanes(a)
    panel = 2 * lane
    b_block = at(work, t * plan[_NUMBERS])
    b_columns = at(b_block, BLOCK_K * BLOCK_N)
    zeros = at(b_columns, BLOCK_K * DOTS)
    spare = at(zeros, panel)
    for j in range(panel):
        zeros[j] = constant(0, a)
    # Many matrices: a thread takes whole ones. Few: each is cut into as many parts as there are threads.
    parts = 1 if batches % nt == 0 or batches >= 4 * nt else nt
    strips = _grid(parts, M, N, panel)
    k_block = -(-K // -(-K // BLOCK_K))  # equal blocks, whichever threads there are
    first, last = share(t, nt, batches * parts)
    for item in range(first, last):
        batch, part = item // parts, item % parts
        a_start, b_start = at(a, plan[_OFFSETS + 2 * batch]), at(b, plan[_OFFSETS + 2 * batch + 1])
        top, bottom = share(part % strips, strips, -(-M // ROWS))
        left, right = share(part // strips, parts // strips, -(-N // panel))
        m0, m1, n0, n1 = top * ROWS, min(M, bottom * ROWS), left * panel, min(N, right * panel)
        for j in range(n0, n1, BLOCK_N):
            n = min(BLOCK_N, n1 - j)
            few = n % lane if n % lane <= DOTS and a_column == 1 else 0
            tiled = n - few
            lying = 0 if plan[_PACKS] else tiled // panel * panel  # columns of b that are read from where they are
            for p in range(0, K, k_block):
                k = min(k_block, K - p)
                b_at = at(b_start, p * b_row + j * b_column)
                if lying < tiled:
                    b_rest = at(b_at, lying * b_column)
                    invoke(plan[_PACK], (b_rest, b_column, b_row, tiled - lying, k, b_block))
                for jj in range(few):
                    for kk in range(k):
                        b_columns[jj * k + kk] = b_at[(tiled + jj) * b_column + kk * b_row]
                for i in range(m0, m1, BLOCK_M):
                    m = min(BLOCK_M, m1 - i)
                    a_at, place = at(a_start, i * a_row + p * a_column), (batch * M + i) * N + j
                    c_at = at(c, place)
                    if p > 0:
                        plus_at, plus_row, plus_column = c_at, N, 1
                    elif has_plus and has_bias:
                        _added(c_at, at(plus, place), at(bias, j), m, n, N)
                        plus_at, plus_row, plus_column = c_at, N, 1
                    elif has_plus:
                        plus_at, plus_row, plus_column = at(plus, place), N, 1
                    elif has_bias:
                        plus_at, plus_row, plus_column = at(bias, j), 0, 1
                    else:
                        plus_at, plus_row, plus_column = zeros, 0, 0
                    if lying > 0:
                        invoke(plan[_BLOCK], (a_at, a_row, a_column, b_at, panel, b_row, k, plus_at, plus_row,
                                              plus_column, c_at, N, m, lying, spare))  # fmt: skip
                    if lying < tiled:
                        invoke(plan[_BLOCK], (a_at, a_row, a_column, b_block, panel * k, panel, k,
                                              at(plus_at, lying * plus_column), plus_row, plus_column,
                                              at(c_at, lying), N, m, tiled - lying, spare))  # fmt: skip
                    if few > 0:
                        invoke(plan[_DOTS], (a_at, a_row, b_columns, k, at(plus_at, tiled * plus_column), plus_row,
                                             plus_column, at(c_at, tiled), N, m, few))  # fmt: skip
                    if finish and p + k == K:
                        invoke(finish, (c_at, at(other, place), N, m, n))


@kernel
def few_rows(
    t: int, nt: int, a: floats, b: floats, c: floats, bias: floats, plus: floats, other: floats, plan: integers,
    work: floats, has_bias: int, has_plus: int, finish: int,
):  # fmt: skip
    """`product` for one a of a few contiguous rows: b is read once, in the order in which it lies in memory."""
    M, N, K, b_row, b_column = plan[_M], plan[_N], plan[_K], plan[_B_ROW], plan[_B_COLUMN]
    # Whole chunks for a thread: which columns are a vector's, and which are left over, must not depend on the threads.
    first, last = share(t, nt, -(-N // CHUNK))
    first, last = first * CHUNK, min(N, last * CHUNK)
    n = last - first
    for i in range(M):
        out, more = row(c, i * N + first, n), row(plus, i * N + first, n)
        for j in range(n):
            before = more[j] if has_plus else constant(0, a)  # which may be c itself
            out[j] = before + (bias[first + j] if has_bias else constant(0, a))
    if b_row == 1:
        for j in range(first, last):
            column = row(b, j * b_column, K)
            for i in range(M):
                ai, total = row(a, i * K, K), constant(0, a)
                for k in range(K):
                    total += ai[k] * column[k]
                c[i * N + j] += total
    else:
        for k in range(0, K - 7, 8):  # eight rows of b for each walk along what has been added up so far
            b_at = at(b, k * b_row + first)
            b0, b1, b2, b3 = row(b_at, 0, n), row(b_at, b_row, n), row(b_at, 2 * b_row, n), row(b_at, 3 * b_row, n)
            b_at = at(b_at, 4 * b_row)
            b4, b5, b6, b7 = row(b_at, 0, n), row(b_at, b_row, n), row(b_at, 2 * b_row, n), row(b_at, 3 * b_row, n)
            for i in range(M):
                out, a_at = row(c, i * N + first, n), at(a, i * K + k)
                a0, a1, a2, a3, a4, a5, a6, a7 = a_at[0], a_at[1], a_at[2], a_at[3], a_at[4], a_at[5], a_at[6], a_at[7]
                for j in range(n):
                    added = a0 * b0[j] + a1 * b1[j] + a2 * b2[j] + a3 * b3[j]
                    out[j] += added + (a4 * b4[j] + a5 * b5[j] + a6 * b6[j] + a7 * b7[j])
        for k in range(K // 8 * 8, K):
            bk = row(b, k * b_row + first, n)
            for i in range(M):
                out, ak = row(c, i * N + first, n), a[i * K + k]
                for j in range(n):
                    out[j] += ak * bk[j]
    if finish:
        invoke(finish, (at(c, first), at(other, first), N, M, n))


# ---- arrays in, arrays out


def matmul(a, b, precision=None):
    """Matrix product over the last two axes, leading axes broadcast.   (..., M, K), (..., K, N) -> (..., M, N)"""
    if b.ndim == 2:
        return linear(a, b, None, None, precision)
    batch = a.shape[:-2]
    if batch != b.shape[:-2]:
        batch = np.broadcast_shapes(batch, b.shape[:-2])
        a, b = (np.broadcast_to(x, batch + x.shape[-2:]) for x in (a, b))  # (..., M, K), (..., K, N)
    return _multiply(a, b, empty((*batch, a.shape[-2], b.shape[-1]), a.dtype), precision)


def linear(x, w, b=None, plus=None, precision=None):
    """See `reference.linear`.   (..., K), (K, N), (N,), (..., N) -> (..., N)"""
    y = empty((*x.shape[:-1], w.shape[-1]), x.dtype)
    _multiply(as_matrix(x), w, y, precision, b, _like("linear", "plus", plus, y))
    return y


def linear_gelu(x, w, b, approximate, precision=None):
    """See `reference.linear_gelu`.   (..., K), (K, N), (N,) -> y (..., N), its derivative (..., N)"""
    y = empty((*x.shape[:-1], w.shape[-1]), x.dtype)
    derivative = empty(y.shape, y.dtype)
    function, _ = form_of_gelu(approximate)
    _multiply(as_matrix(x), w, y, precision, b, None, function_block(function).address(x.dtype), derivative)
    return y, derivative


def as_matrix(x):
    """One matrix.   (..., K) -> (rows, K)"""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _like(who, name, x, y):
    """x, contiguous, after checking that it has the shape of y."""
    if x is None:
        return None
    if x.shape != y.shape:
        raise ValueError(f"{who}: {name} has the shape of the result, {y.shape}. Received: {x.shape}.")
    return np.ascontiguousarray(x)


def _multiply(a, b, c, precision, bias=None, plus=None, finish=0, other=None):
    """Compute what `product_job` says; returns c."""
    job, items, work = product_job(a, b, c, precision, bias, plus, finish, other)
    if items:
        nt = shares(items, work)
        launcher(nt)(nt, job)
    return c


def product_job(a, b, c, precision, bias=None, plus=None, finish=0, other=None):
    """The job c = a b + bias + plus, finished, and into how many items of how much work it is divided.

    a (..., M, K), b (..., K, N), with equal leading axes; all but a and b contiguous. plus may be c itself.
    """
    if precision == "bfloat16":
        a, b, precision = module("bfloat16").operands(a, b)  # which is built on this file
    code, plan, items, work, size = plan_of_product(a.dtype, a.shape, a.strides, b.shape, b.strides, precision)
    if bias is not None:
        if bias.shape != b.shape[-1:]:
            raise ValueError(f"linear: the bias needs one number a column, {b.shape[-1:]}. Received: {bias.shape}.")
        bias = np.ascontiguousarray(bias)
    if code is None:
        return product_job(*_even(a, b), c, precision, bias, plus, finish, other) if c.size else (None, 0, 0)
    memory = _working_memory(min(settings.threads(), WORKERS + 1) * size)
    return (code, 0, a, b, c, bias, plus, other, plan, memory, bias is not None, plus is not None, finish), items, work


def _even(a, b):
    """a and b where there is nothing to add up, or of records, whose numbers are not whole numbers apart, as a plan takes them."""
    if a.shape[-1]:
        return even(a), even(b)
    # a sum over nothing is one over a zero
    return np.zeros((*a.shape[:-1], 1), a.dtype), np.zeros((*b.shape[:-2], 1, b.shape[-1]), b.dtype)


@functools.lru_cache(maxsize=4096)
def plan_of_product(dtype, a_shape, a_strides, b_shape, b_strides, precision):
    """How to multiply such arrays: the machine code, its plan, into how many items of how much work, bytes a thread.

    Products of the same shapes come again and again, and finding this out takes longer than a small one of them.
    """
    (M, K), N = a_shape[-2:], b_shape[-1]
    if b_shape[-2] != K:
        raise ValueError(
            "matmul: the last axis of a and the last but one of b must be equally long. "
            f"Received: a {a_shape}, b {b_shape}."
        )
    item, lane = dtype.itemsize, VECTOR // dtype.itemsize
    if 0 in (*a_shape, N) or any(stride % item for stride in a_strides + b_strides):
        return None, None, 0, 0, 0
    (a_row, a_column), (b_row, b_column) = ([stride // item for stride in x[-2:]] for x in (a_strides, b_strides))
    packs = b_column != 1 or b_row * item > LYING[M <= 2 * ROWS]
    batch = a_shape[:-2]
    offsets = np.zeros((*batch, 2), np.int64)
    for axis, length in enumerate(batch):
        along = np.arange(length).reshape(-1, *[1] * (len(batch) - 1 - axis))  # (length, 1, ..., 1)
        offsets[..., 0] += along * (a_strides[axis] // item)
        offsets[..., 1] += along * (b_strides[axis] // item)
    batches = math.prod(batch)
    if precision == "bfloat16":
        bfloat16 = module("bfloat16")
        numbers, codes = bfloat16.NUMBERS, (bfloat16.pack.address(dtype), bfloat16.block.address(dtype), 0)
    else:
        numbers = BLOCK_K * (BLOCK_N + DOTS + ROWS) + (3 * ROWS + 2) * lane  # of working memory, for each thread
        codes = pack.address(dtype), block.address(dtype), dots.address(dtype)
    plan = np.array([batches, M, N, K, a_row, a_column, b_row, b_column, packs, numbers, *codes, *offsets.ravel()])
    if precision == "bfloat16":
        return bfloat16.product.address(dtype), plan, batches * M * N, batches * M * N * K // 32, numbers * item
    if THIN[0] <= M <= THIN[1] and not batch and a_column == 1 and a_row == K and b_row == 1 < K:
        few_dots = module("thin").few_dots  # which is built on this file
        return few_dots.address(dtype), plan, -(-N // CHUNK), M * N * K // 4, numbers * item
    if M <= FEW and not batch and a_column == 1 and (a_row == K or M == 1) and (b_row == 1 or b_column == 1):
        return few_rows.address(dtype), plan, -(-N // CHUNK), M * N * K // 4, 0
    return product.address(dtype), plan, batches * M * N, batches * M * N * K // 4, numbers * item


def _working_memory(size):
    """At least ``size`` bytes for packed blocks: the same ones for each product of a Python thread."""
    memory = getattr(_local, "memory", None)
    if memory is None or memory.nbytes < size:
        memory = _local.memory = scratch(size)
    return memory


_local = threading.local()

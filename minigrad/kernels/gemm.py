"""Matrix products: a register-tiled product of packed panels, and everything around it.

A product of any two strided matrices is cut into blocks that fit the caches. Blocks of ``a`` and ``b`` are packed into
panels in the order in which the innermost loop reads them, and ``tile`` holds a small part of the result in vector
registers while it walks along K:

    a panel   ROWS rows of a       [K][ROWS]              b panel   2 vectors of columns of b   [K][2 * lanes]

Threads share the result. Each of its numbers is the same sequence of multiply-adds wherever the cuts fall, so the bits
do not depend on how many threads there are.
"""

import functools
import math
import operator
import threading

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minigrad.kernels.compile import address, cpu, floats, helper, integers, kernel, launch, run, scratch, shares
from minigrad.kernels.memory import empty
from minigrad.kernels.pool import invoke
from minigrad.kernels.simd import at, constant, row, share

# Bytes in a vector register, and rows in a tile: 2 * ROWS sums, 2 vectors of b and 1 of a fit in the registers.
_FEATURES = set(cpu()[2].split(","))
if {"+avx512f", "+avx512vl"} <= _FEATURES:
    VECTOR, ROWS = 64, 12
elif {"+avx2", "+fma"} <= _FEATURES:
    VECTOR, ROWS = 32, 6
else:
    VECTOR, ROWS = 16, 4
FEW = max(2, ROWS // 3)  # rows of the small tile, for what is left over

# Blocks: a panel of a (ROWS x BLOCK_K) stays in the first cache, a block of b (BLOCK_K x BLOCK_N) in the second.
BLOCK_M, BLOCK_N, BLOCK_K = 4 * ROWS, 512, 384
CHUNK = 64  # columns of a product with few rows that stay together
UNROLL = 4  # steps of k in one turn of the innermost loop
NO_PACKING = 2 * ROWS, 1024  # with no more rows of a, and no longer rows of b, packing b costs more than it saves


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
    """c = a b + plus for ``rows`` rows and ``vectors`` vectors of columns, kept in registers along k."""

    @intrinsic
    def tile(typing_context, a, a_row, a_k, b, b_k, c, c_row, k, plus, plus_row, adds):
        width = lanes_of(a.dtype)
        integer = types.int64
        signature = types.void(a, integer, integer, a, integer, a, integer, integer, a, integer, integer)

        def generate(context, builder, signature, values):
            a_value, a_row, a_k, b_value, b_k, c_value, c_row, k, plus, plus_row, adds = values
            i64, number = ir.IntType(64), context.get_data_type(a.dtype)
            vector = ir.VectorType(number, width)
            scalar_pointer, vector_pointer = number.as_pointer(), vector.as_pointer()
            size = a.dtype.bitwidth // 8
            # fuses where the CPU can, and is never a library call
            multiply_add = builder.module.globals.get(f"llvm.fmuladd.v{width}f{8 * size}") or ir.Function(
                builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{width}f{8 * size}"
            )
            undefined = ir.Constant(vector, ir.Undefined)
            everywhere = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)

            def load(base, offset):
                return builder.load(builder.bitcast(builder.gep(base, [offset]), vector_pointer), align=size)

            def broadcast(base, offset):
                one = builder.load(builder.bitcast(builder.gep(base, [offset]), scalar_pointer), align=size)
                return builder.shuffle_vector(
                    builder.insert_element(undefined, one, ir.IntType(32)(0)), undefined, everywhere
                )

            def steps(count, unrolled, state):
                """Walk ``count * unrolled`` steps of k from ``state``, (a, b, sums); returns the state after them."""
                before = builder.block
                head, body, after = (builder.append_basic_block(f"tile.{part}") for part in ("head", "body", "after"))
                builder.branch(head)

                builder.position_at_end(head)
                state = [i64(0), *state]
                phis = [builder.phi(value.type) for value in state]
                for phi, value in zip(phis, state, strict=True):
                    phi.add_incoming(value, before)
                done, a_at, b_at, *sums = phis
                builder.cbranch(builder.icmp_signed("<", done, count), body, after)

                builder.position_at_end(body)
                for _ in range(unrolled):
                    columns = [load(b_at, i64(j * width)) for j in range(vectors)]
                    for i in range(rows):
                        one = broadcast(a_at, builder.mul(a_row, i64(i)))
                        for j in range(vectors):
                            at_sum = i * vectors + j
                            sums[at_sum] = builder.call(multiply_add, [one, columns[j], sums[at_sum]])
                    a_at, b_at = builder.gep(a_at, [a_k]), builder.gep(b_at, [b_k])
                for phi, value in zip(phis, [builder.add(done, i64(1)), a_at, b_at, *sums], strict=True):
                    phi.add_incoming(value, body)
                builder.branch(head)

                builder.position_at_end(after)
                return phis[1:]

            state = [a_value, b_value, *[ir.Constant(vector, [0.0] * width)] * (rows * vectors)]
            turns = builder.sdiv(k, i64(UNROLL))
            state = steps(turns, UNROLL, state)
            _, _, *sums = steps(builder.sub(k, builder.mul(turns, i64(UNROLL))), 1, state)

            with builder.if_else(builder.icmp_signed("!=", adds, i64(0))) as (then, otherwise):
                for branch, with_plus in ((then, True), (otherwise, False)):
                    with branch:
                        for i in range(rows):
                            for j in range(vectors):
                                value = sums[i * vectors + j]
                                if with_plus:
                                    there = builder.add(builder.mul(plus_row, i64(i)), i64(j * width))
                                    value = builder.fadd(value, load(plus, there))
                                there = builder.add(builder.mul(c_row, i64(i)), i64(j * width))
                                builder.store(
                                    value, builder.bitcast(builder.gep(c_value, [there]), vector_pointer), align=size
                                )
            return context.get_dummy_value()

        return signature, generate

    return tile


_wide, _narrow = _tile(ROWS, 2), _tile(ROWS, 1)
_few_wide, _few_narrow = _tile(FEW, 2), _tile(FEW, 1)


def _mover(rows, transposes):
    """Copy numbers into a panel that is ``rows`` wide, or 2 vectors wide where ``rows`` is None.

    One step of k, from neighbours in memory; or, transposing, the steps that 16 bytes hold, from rows ``stride`` apart.
    """

    @intrinsic
    def move(typing_context, source, stride, panel):
        count = lanes_of(source.dtype)
        width = rows or 2 * count
        size = source.dtype.bitwidth // 8

        def generate(context, builder, signature, values):
            source_value, stride, panel_value = values
            i64, number = ir.IntType(64), context.get_data_type(source.dtype)

            def vector_at(base, offset, length):
                return builder.bitcast(builder.gep(base, [offset]), ir.VectorType(number, length).as_pointer())

            def shuffle(x, y, order):
                return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order))

            if not transposes:
                value = builder.load(vector_at(source_value, i64(0), width), align=size)
                builder.store(value, vector_at(panel_value, i64(0), width), align=size)
                return context.get_dummy_value()

            # Squares of side x side numbers, as many as a vector has room for, are transposed within their 16 bytes.
            side = 16 // size
            half = side // 2
            squares = range(0, count, side)
            nothing = ir.Constant(ir.VectorType(number, side), ir.Undefined)
            low = [x for square in squares for p in range(square, square + half) for x in (p, p + count)]
            high = [x + half for x in low]
            for first in range(0, width, count):
                here = min(count, width - first)

                def line(i, first=first, here=here):
                    """Row i of every square, next to each other: one vector."""
                    parts = [nothing] * len(squares)
                    for place, square in enumerate(squares):
                        if square + i < here:
                            there = builder.mul(stride, i64(first + square + i))
                            parts[place] = builder.load(vector_at(source_value, there, side), align=size)
                    while len(parts) > 1:
                        pairs = zip(parts[::2], parts[1::2], strict=True)
                        parts = [shuffle(x, y, list(range(2 * x.type.count))) for x, y in pairs]
                    return parts[0]

                lines = [line(i) for i in range(side)]
                for _ in range(half.bit_length()):  # log2(side) rounds of interleaving the two halves transpose
                    lines = [shuffle(lines[i], lines[i + half], order) for i in range(half) for order in (low, high)]
                for k, value in enumerate(lines):
                    value = value if here == count else shuffle(value, value, list(range(here)))
                    builder.store(value, vector_at(panel_value, i64(k * width + first), here), align=size)
            return context.get_dummy_value()

        return types.void(source, types.int64, source), generate

    return move


_copy_rows, _copy_columns = _mover(ROWS, False), _mover(None, False)
_transpose_rows, _transpose_columns = _mover(ROWS, True), _mover(None, True)


# ---- blocks


@kernel
def pack(source: floats, stride: int, stride_k: int, n: int, k: int, width: int, target: floats):
    """source (n, k) of any strides -> target [panels][k][width], the last panel filled up with zeros."""
    whole = n // width * width if stride == 1 or stride_k == 1 else 0
    if stride == 1:
        for first in range(0, whole, 4 * width):  # four panels at a time: what is read lies together
            for step in range(k):
                for j in range(first, min(first + 4 * width, whole), width):
                    if width == ROWS:
                        _copy_rows(at(source, j + step * stride_k), 0, at(target, j * k + step * width))
                    else:
                        _copy_columns(at(source, j + step * stride_k), 0, at(target, j * k + step * width))
    for first in range(0 if stride != 1 else whole, n, width):
        begin, panel = at(source, first * stride), at(target, first * k)
        done = 0
        if first < whole:
            side = lanes(source) * 16 // VECTOR
            done = k // side * side
            for step in range(0, done, side):
                if width == ROWS:
                    _transpose_rows(at(begin, step), stride, at(panel, step * width))
                else:
                    _transpose_columns(at(begin, step), stride, at(panel, step * width))
        out = row(panel, 0, k * width)
        here = min(width, n - first)
        if here < width:
            for i in range(k * width):
                out[i] = constant(0, source)
        for i in range(here):
            for step in range(done, k):
                out[step * width + i] = begin[i * stride + step * stride_k]


def multiplying(a_row):
    """The kernel c = a b + plus for panels of ``a`` whose rows are ``a_row`` numbers apart (1 if packed).

    The stride is part of the machine code, because a tile has more rows than the CPU has registers for addresses.
    """

    @kernel
    def multiply(
        a: floats, a_panel: int, a_k: int, b: floats, b_panel: int, b_k: int, c: floats, c_row: int,
        m: int, n: int, k: int, plus: floats, plus_row: int, adds: int, spare: floats,
    ):  # fmt: skip
        """c (m, n) = a b (+ plus if adds); panels are ROWS rows of a and 2 vectors of columns of b."""
        lane = lanes(a)
        for i in range(0, m, ROWS):
            rows = min(ROWS, m - i)
            height = ROWS if rows > 2 * FEW else FEW
            # along the rows of c: what is written lies together, which matters more than that b comes from farther away
            for j in range(0, n, 2 * lane):
                columns = min(2 * lane, n - j)
                b_at = at(b, j // (2 * lane) * b_panel)
                for r in range(0, rows, height):
                    a_at = at(a, i // ROWS * a_panel + r * a_row)
                    c_at, plus_at = at(c, (i + r) * c_row + j), at(plus, (i + r) * plus_row + j)
                    here = min(height, rows - r)
                    # a tile at the rim is computed whole in spare memory; from there its valid part is copied
                    whole = here == height and (columns == lane or columns == 2 * lane)
                    to = c_at if whole else spare
                    to_row = c_row if whole else 2 * lane
                    with_plus = adds if whole else 0
                    if height == ROWS:
                        if columns > lane:
                            _wide(a_at, a_row, a_k, b_at, b_k, to, to_row, k, plus_at, plus_row, with_plus)
                        else:
                            _narrow(a_at, a_row, a_k, b_at, b_k, to, to_row, k, plus_at, plus_row, with_plus)
                    elif columns > lane:
                        _few_wide(a_at, a_row, a_k, b_at, b_k, to, to_row, k, plus_at, plus_row, with_plus)
                    else:
                        _few_narrow(a_at, a_row, a_k, b_at, b_k, to, to_row, k, plus_at, plus_row, with_plus)
                    if not whole:
                        for ii in range(here):
                            out, new = row(c_at, ii * c_row, columns), row(spare, ii * 2 * lane, columns)
                            if adds:
                                more = row(plus_at, ii * plus_row, columns)
                                for jj in range(columns):
                                    out[jj] = new[jj] + more[jj]
                            else:
                                for jj in range(columns):
                                    out[jj] = new[jj]

    return multiply


multiply = multiplying(1)


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


@kernel
def product(
    t: int, nt: int, a: floats, b: floats, c: floats, bias: floats, offsets: integers, batches: int, M: int, N: int,
    K: int, a_row: int, a_column: int, b_row: int, b_column: int, work: floats, has_bias: int, pack: int, multiply: int,
):  # fmt: skip
    """c (batches, M, N) = a b + bias; matrix i of a and b begins at offsets[2 i] and offsets[2 i + 1]."""
    width = 2 * lanes(a)
    mine = at(work, t * (BLOCK_K * (BLOCK_M + BLOCK_N) + ROWS * width))
    b_block, a_block = mine, at(mine, BLOCK_K * BLOCK_N)
    spare = at(a_block, BLOCK_K * BLOCK_M)
    # Many matrices: a thread takes whole ones. Few: each is cut into as many parts as there are threads.
    parts = 1 if batches % nt == 0 or batches >= 4 * nt else nt
    strips = _grid(parts, M, N, width)
    first, last = share(t, nt, batches * parts)
    for item in range(first, last):
        batch, part = item // parts, item % parts
        a_start, b_start = at(a, offsets[2 * batch]), at(b, offsets[2 * batch + 1])
        c_start = at(c, batch * M * N)
        top, bottom = share(part % strips, strips, -(-M // ROWS))
        left, right = share(part // strips, parts // strips, -(-N // width))
        m0, m1, n0, n1 = top * ROWS, min(M, bottom * ROWS), left * width, min(N, right * width)
        for j in range(n0, n1, BLOCK_N):
            n = min(BLOCK_N, n1 - j)
            for p in range(0, K, BLOCK_K):
                k = min(BLOCK_K, K - p)
                b_at = at(b_start, p * b_row + j * b_column)
                packs = M > NO_PACKING[0] or b_row > NO_PACKING[1] or b_column != 1
                whole = 0 if packs else n // width * width
                if whole < n:
                    end = at(b_at, whole * b_column)
                    invoke(pack, (end, b_column, b_row, n - whole, k, width, at(b_block, whole * k)))
                for i in range(m0, m1, BLOCK_M):
                    m = min(BLOCK_M, m1 - i)
                    invoke(pack, (at(a_start, i * a_row + p * a_column), a_row, a_column, m, k, ROWS, a_block))
                    c_at = at(c_start, i * N + j)
                    # the first block of k brings in the bias, the others add to what is there
                    plus, plus_row, adds = (c_at, N, 1) if p > 0 else (at(bias, j), 0, has_bias)
                    if whole > 0:
                        invoke(multiply, (a_block, ROWS * k, ROWS, b_at, width, b_row, c_at, N, m, whole, k,
                                          plus, plus_row, adds, spare))  # fmt: skip
                    if whole < n:
                        invoke(multiply, (a_block, ROWS * k, ROWS, at(b_block, whole * k), width * k, width,
                                          at(c_at, whole), N, m, n - whole, k,
                                          at(plus, whole), plus_row, adds, spare))  # fmt: skip


@kernel
def few_rows(
    t: int, nt: int, a: floats, b: floats, c: floats, bias: floats, M: int, N: int, K: int, b_row: int, b_column: int,
    has_bias: int,
):  # fmt: skip
    """c (M, N) = a b + bias for a few rows of contiguous a: b is read once, in the order in which it lies in memory."""
    # Whole chunks for a thread: which columns are a vector's, and which are left over, must not depend on the threads.
    first, last = share(t, nt, -(-N // CHUNK))
    first, last = first * CHUNK, min(N, last * CHUNK)
    n = last - first
    if b_row == 1:
        for j in range(first, last):
            column = row(b, j * b_column, K)
            for i in range(M):
                ai = row(a, i * K, K)
                total = constant(0, a)
                for k in range(K):
                    total += ai[k] * column[k]
                c[i * N + j] = total + bias[j] if has_bias else total
        return
    for i in range(M):
        out = row(c, i * N + first, n)
        for j in range(n):
            out[j] = bias[first + j] if has_bias else constant(0, a)
    for k in range(0, K - 3, 4):
        b_at = at(b, k * b_row + first)
        b0, b1, b2, b3 = row(b_at, 0, n), row(b_at, b_row, n), row(b_at, 2 * b_row, n), row(b_at, 3 * b_row, n)
        for i in range(M):
            out, a_at = row(c, i * N + first, n), at(a, i * K + k)
            a0, a1, a2, a3 = a_at[0], a_at[1], a_at[2], a_at[3]
            for j in range(n):
                out[j] += a0 * b0[j] + a1 * b1[j] + a2 * b2[j] + a3 * b3[j]
    for k in range(K // 4 * 4, K):
        bk = row(b, k * b_row + first, n)
        for i in range(M):
            out, ak = row(c, i * N + first, n), a[i * K + k]
            for j in range(n):
                out[j] += ak * bk[j]


# ---- arrays in, arrays out


def matmul(a, b):
    """Matrix product over the last two axes, leading axes broadcast.   (..., M, K), (..., K, N) -> (..., M, N)"""
    if b.ndim == 2:
        return linear(a, b)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (np.broadcast_to(x, batch + x.shape[-2:]) for x in (a, b))  # (..., M, K), (..., K, N)
    c = empty((*batch, a.shape[-2], b.shape[-1]), a.dtype)
    return _multiply(a, b, c, None)


def linear(x, w, b=None):
    """`x w + b` for every row of x.   (..., K), (K, N), (N,) -> (..., N)"""
    y = empty((*x.shape[:-1], w.shape[-1]), x.dtype)
    if x.ndim != 2:
        x = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])  # (..., K) -> (rows, K): one matrix
    _multiply(x, w, y, b)
    return y


def _multiply(a, b, c, bias):
    """c = a b + bias for a (..., M, K), b (..., K, N), with equal leading axes, and contiguous c."""
    (M, K), N = a.shape[-2:], b.shape[-1]
    if b.shape[-2] != K:
        raise ValueError(
            "matmul: the last axis of a and the last but one of b must be equally long. "
            f"Received: a {a.shape}, b {b.shape}."
        )
    if bias is not None and bias.shape != (N,):
        raise ValueError(f"linear: the bias needs one number a column, ({N},). Received: {bias.shape}.")
    if K == 0:
        c[...] = 0 if bias is None else bias
    if K == 0 or c.size == 0:
        return c
    item = a.itemsize
    if functools.reduce(operator.or_, a.strides + b.strides) % item:  # a field of records: not whole numbers apart
        a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    if bias is not None:
        bias = np.ascontiguousarray(bias)
    b_row, b_column = b.strides[-2] // item, b.strides[-1] // item
    if M <= FEW and a.ndim == 2 and (b_row == 1 or b_column == 1):
        a = np.ascontiguousarray(a)
        run(few_rows, -(-N // CHUNK), M * N * K // 4, a, b, c, bias, M, N, K, b_row, b_column, bias is not None)
        return c
    offsets = _ONE if a.ndim == 2 else _offsets(a, b)
    batches = len(offsets)
    nt = shares(batches * M * N, batches * M * N * K // 16)
    code, pack_code, multiply_code = _code(a.dtype)
    memory, work = _working_memory(nt * item * (BLOCK_K * (BLOCK_M + BLOCK_N) + ROWS * 2 * VECTOR // item))
    values = [
        address(a), address(b), address(c), address(bias), address(offsets), batches, M, N, K,
        a.strides[-2] // item, a.strides[-1] // item, b_row, b_column, work, bias is not None, pack_code, multiply_code,
    ]  # fmt: skip
    launch(code, nt, values)
    del memory  # until here it is ours, even if a signal handler meanwhile asked for more
    return c


@functools.cache
def _code(dtype):
    return product.address(dtype), pack.address(dtype), multiply.address(dtype)


def _working_memory(size):
    """At least ``size`` bytes for packed blocks and where they begin: the same ones for each product of a Python thread."""
    memory, place = getattr(_local, "memory", (None, 0))
    if memory is None or memory.nbytes < size:
        memory = scratch(size)
        place = address(memory)
        _local.memory = memory, place
    return memory, place


_local = threading.local()
_ONE = np.zeros((1, 2), np.int64)


def _offsets(a, b):
    """Where the matrices of a and b (..., ., .) begin, in numbers: int64 (batches, 2)."""
    out = np.zeros((*a.shape[:-2], 2), np.int64)
    for axis, length in enumerate(a.shape[:-2]):
        along = np.arange(length).reshape(-1, *[1] * (a.ndim - 3 - axis))  # (length, 1, ..., 1)
        out[..., 0] += along * (a.strides[axis] // a.itemsize)
        out[..., 1] += along * (b.strides[axis] // b.itemsize)
    return out.reshape(-1, 2)  # (..., 2) -> (batches, 2)

"""Matrix products of bfloat16 numbers, summed in float32; float32 comes in and float32 goes out.

A bfloat16 is a float32 without its last 16 bits: the same range, and 8 bits of precision. CPUs with ``avx512_bf16``
multiply pairs of them: one instruction adds two products to each of 16 float32 sums, twice the work of a float32
multiply-add. The numbers are rounded (nearest even) while they are packed; two steps of k lie together in a 32-bit word:

    a panel   ROWS rows of a     [(K + 1) / 2][ROWS] pairs     b panel   WIDTH columns of b     [(K + 1) / 2][WIDTH] pairs

Where K is odd the last step is paired with zeros. On other CPUs the numbers are rounded first, and the float32 product does
the rest. Threads share the result as in ``gemm``: the bits do not depend on how many there are.
"""

import functools
import warnings

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigrad.kernels import gemm
from minigrad.kernels.compile import EXACT, cpu, floats, integers, kernel, run
from minigrad.kernels.memory import empty_like
from minigrad.kernels.pool import invoke
from minigrad.kernels.simd import at, bits_float, fabs, fetch, float_bits, row, share

IN_HARDWARE = "+avx512bf16" in cpu()[2].split(",")

LANES = 16  # float32 numbers in a vector register
ROWS, FEW = 12, 4  # rows in a tile, and in the small tile for what is left over
WIDTH = 2 * LANES  # columns in a tile: 2 * ROWS sums, 2 vectors of b and 1 of a fit in the registers

# Blocks: a block of a (BLOCK_M x BLOCK_K) stays in the second cache while blocks of b (BLOCK_K x BLOCK_N) pass by: small
# ones, so that reading the next from memory lies beside computing with the last.
BLOCK_M, BLOCK_N, BLOCK_K = 43 * ROWS, 2 * WIDTH, 1024
NUMBERS = BLOCK_K // 2 * (BLOCK_M + BLOCK_N) + ROWS * WIDTH  # of working memory, for each thread
AHEAD = 16  # steps of k from what is packed to what is asked for from memory
SMALLEST = np.finfo(np.float32).tiny  # what is smaller counts as 0


# ---- vector code


class _BFloat(ir.Type):
    """LLVM's bfloat, which llvmlite has no name for."""

    def _to_string(self):
        return "bfloat"

    def __eq__(self, other):
        return isinstance(other, _BFloat)

    def __hash__(self):
        return hash(_BFloat)


_I32, _I64 = ir.IntType(32), ir.IntType(64)
_NUMBERS, _WORDS = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(_I32, LANES)
_BITS, _PAIRS = ir.VectorType(ir.IntType(16), 2 * LANES), ir.VectorType(_BFloat(), 2 * LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)


def _call(builder, name, result, values):
    """Call a function of LLVM: by its full name, which llvmlite cannot make for vectors."""
    kind = ir.FunctionType(result, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


def _to(builder, base, offset, kind):
    """A pointer to a ``kind`` that begins ``offset`` numbers behind ``base``."""
    return builder.bitcast(builder.gep(base, [offset]), kind.as_pointer())


def _shuffle(builder, x, y, order):
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(_I32, len(order)), order))


def _everywhere(builder, word):
    """A 32-bit word in every place of a vector."""
    undefined = ir.Constant(_WORDS, ir.Undefined)
    return _shuffle(builder, builder.insert_element(undefined, word, _I32(0)), undefined, [0] * LANES)


def _load(builder, base, offset, count=None):
    """16 float32 numbers; with ``count`` only the first so many, and zeros."""
    there = _to(builder, base, offset, _NUMBERS)
    if count is None:
        return builder.load(there, align=4)
    places = ir.Constant(_WORDS, list(range(LANES)))
    mask = builder.icmp_signed("<", places, _everywhere(builder, builder.trunc(count, _I32)))
    values = [there, _I32(4), mask, ir.Constant(_NUMBERS, [0.0] * LANES)]
    return _call(builder, "llvm.masked.load.v16f32.p0", _NUMBERS, values)


def _rounded(builder, first, second):
    """32 numbers rounded to bfloat16, those of ``first`` before those of ``second``."""
    return _call(builder, "llvm.x86.avx512bf16.cvtne2ps2bf16.512", _PAIRS, [second, first])


def _store_words(builder, words, panel, place, count):
    """The first ``count`` of 16 words to where ``place`` is in a panel."""
    words = _shuffle(builder, words, words, list(range(count)))
    builder.store(words, _to(builder, panel, _I64(place), words.type), align=4)


def _tile(rows, vectors):
    """c = a b + plus for ``rows`` rows and ``vectors`` vectors of columns, kept in registers along k."""

    @intrinsic
    def tile(typing_context, a, b, c, c_row, pairs, plus, plus_row, adds):
        def generate(context, builder, signature, values):
            a, b, c, c_row, pairs, plus, plus_row, adds = values
            places = [(i, j) for i in range(rows) for j in range(vectors)]

            def offset(stride, i, j):
                return builder.add(builder.mul(stride, _I64(i)), _I64(j * LANES))

            for place in places:  # results are written after a long walk along k: their lines can be here by then
                fetch(builder, builder.gep(c, [offset(c_row, *place)]), writes=True)
            sums = {place: cgutils.alloca_once_value(builder, ir.Constant(_NUMBERS, [0.0] * LANES)) for place in places}
            with cgutils.for_range(builder, pairs) as loop:
                a_at = builder.gep(a, [builder.mul(loop.index, _I64(ROWS))])
                b_at = builder.gep(b, [builder.mul(loop.index, _I64(WIDTH))])
                columns = [builder.load(_to(builder, b_at, _I64(j * LANES), _PAIRS), align=4) for j in range(vectors)]
                for i in range(rows):
                    pair = builder.load(_to(builder, a_at, _I64(i), _I32), align=4)
                    pair = builder.bitcast(_everywhere(builder, pair), _PAIRS)
                    for j in range(vectors):
                        operands = [builder.load(sums[i, j]), pair, columns[j]]
                        total = _call(builder, "llvm.x86.avx512bf16.dpbf16ps.512", _NUMBERS, operands)
                        builder.store(total, sums[i, j])
            with builder.if_else(builder.icmp_signed("!=", adds, _I64(0))) as (then, otherwise):
                for branch, with_plus in ((then, True), (otherwise, False)):
                    with branch:
                        for i, j in places:
                            value = builder.load(sums[i, j])
                            if with_plus:
                                value = builder.fadd(value, _load(builder, plus, offset(plus_row, i, j)))
                            builder.store(value, _to(builder, c, offset(c_row, i, j), _NUMBERS), align=4)
            return context.get_dummy_value()

        integer = types.int64
        return types.void(a, b, c, integer, integer, plus, integer, integer), generate

    return tile


_wide, _narrow = _tile(ROWS, 2), _tile(ROWS, 1)
_few_wide, _few_narrow = _tile(FEW, 2), _tile(FEW, 1)


def _pair_rows(width, whole):
    """Pair ``width`` neighbours of one step of k with those of the next, ``stride`` further on: one row of a panel.

    If not ``whole``, only ``count`` of them exist, and of the next step ``count_next``: the rest is 0.
    """

    @intrinsic
    def pair(typing_context, source, stride, count, count_next, panel):
        def generate(context, builder, signature, values):
            source, stride, count, count_next, panel = values
            for first in range(0, width, LANES):
                counts = [None if whole else builder.sub(n, _I64(first)) for n in (count, count_next)]
                steps = [builder.add(builder.mul(stride, _I64(step)), _I64(first)) for step in (0, 1)]
                one, next_one = (_load(builder, source, step, n) for step, n in zip(steps, counts, strict=True))
                words = builder.bitcast(_rounded(builder, one, next_one), _BITS)
                words = _shuffle(builder, words, words, [x for i in range(LANES) for x in (i, i + LANES)])
                _store_words(builder, builder.bitcast(words, _WORDS), panel, first, min(LANES, width - first))
                for step in steps:
                    fetch(builder, builder.gep(source, [builder.add(step, builder.mul(stride, _I64(AHEAD)))]), writes=False)
            return context.get_dummy_value()

        integer = types.int64
        return types.void(source, integer, integer, integer, panel), generate

    return pair


_pair_a, _pair_b = _pair_rows(ROWS, whole=True), _pair_rows(WIDTH, whole=True)
_pair_a_rim, _pair_b_rim = _pair_rows(ROWS, whole=False), _pair_rows(WIDTH, whole=False)


def _turn_rows(rows, width):
    """Up to 32 neighbours along k, of each of ``rows`` rows ``stride`` apart, to 16 rows of a panel ``width`` wide.

    Only ``count`` rows exist; the last one also takes the places of those that do not, where nobody looks.
    """

    @intrinsic
    def turn(typing_context, source, stride, count, k, panel):
        def generate(context, builder, signature, values):
            source, stride, count, k, panel = values
            last = builder.sub(count, _I64(1))
            lines = [ir.Constant(_WORDS, ir.Undefined)] * LANES
            for i in range(rows):
                begin = builder.mul(stride, builder.select(builder.icmp_signed("<", _I64(i), last), _I64(i), last))
                halves = begin, builder.add(begin, _I64(LANES))
                first = _load(builder, source, halves[0], k)
                second = _load(builder, source, halves[1], builder.sub(k, _I64(LANES)))
                lines[i] = builder.bitcast(_rounded(builder, first, second), _WORDS)
                for half in halves:  # the next panel
                    fetch(builder, builder.gep(source, [builder.add(half, builder.mul(stride, _I64(width)))]), writes=False)
            half = LANES // 2
            low = [x for i in range(half) for x in (i, i + LANES)]
            high = [x + half for x in low]
            for _ in range(half.bit_length()):  # log2(16) rounds of interleaving the two halves transpose
                lines = [_shuffle(builder, lines[i], lines[i + half], order) for i in range(half) for order in (low, high)]
            for step, line in enumerate(lines):
                with builder.if_then(builder.icmp_signed("<", _I64(2 * step), k)):
                    _store_words(builder, line, panel, step * width, rows)
            return context.get_dummy_value()

        integer = types.int64
        return types.void(source, integer, integer, integer, panel), generate

    return turn


_turn_a, _turn_b = _turn_rows(ROWS, ROWS), _turn_rows(LANES, WIDTH)


# ---- blocks


@kernel
def pack(source: floats, stride: int, stride_k: int, n: int, k: int, width: int, target: floats):
    """source (n, k), with neighbours in memory along n or along k -> pairs, target [panels][(k + 1) / 2][width]."""
    pairs = (k + 1) // 2
    if stride == 1:
        for block in range(0, n, 4 * width):  # four panels at a time: what is read lies together
            for p in range(pairs):
                for first in range(block, min(block + 4 * width, n), width):
                    begin, panel = at(source, first + 2 * p * stride_k), at(target, first * pairs + p * width)
                    here = n - first
                    here_next = here if 2 * p + 1 < k else 0
                    if width == ROWS:
                        if here_next >= ROWS:
                            _pair_a(begin, stride_k, here, here_next, panel)
                        else:
                            _pair_a_rim(begin, stride_k, here, here_next, panel)
                    elif here_next >= WIDTH:
                        _pair_b(begin, stride_k, here, here_next, panel)
                    else:
                        _pair_b_rim(begin, stride_k, here, here_next, panel)
    else:
        for first in range(0, n, width):
            here = n - first
            for done in range(0, k, 2 * LANES):
                begin, panel = at(source, first * stride + done), at(target, first * pairs + done // 2 * width)
                if width == ROWS:
                    _turn_a(begin, stride, here, k - done, panel)
                else:
                    _turn_b(begin, stride, here, k - done, panel)
                    if here > LANES:
                        _turn_b(at(begin, LANES * stride), stride, here - LANES, k - done, at(panel, LANES))


@kernel
def block(
    a: floats, b: floats, pairs: int, plus: floats, plus_row: int, adds: int, c: floats, c_row: int, m: int, n: int,
    spare: floats, finish: int, other: floats,
):  # fmt: skip
    """c (m, n) = a b (+ plus if adds) of packed a and b, and what ``finish`` makes of it, a strip of rows at a time."""
    for i in range(0, m, ROWS):
        rows = min(ROWS, m - i)
        height = ROWS if rows > 2 * FEW else FEW
        for j in range(0, n, WIDTH):
            columns = min(WIDTH, n - j)
            b_at = at(b, j * pairs)
            for r in range(0, rows, height):
                a_at = at(a, i * pairs + r)
                c_at, c_apart = at(c, (i + r) * c_row + j), c_row
                plus_at, plus_apart = at(plus, (i + r) * plus_row + j), plus_row
                here = min(height, rows - r)
                # a tile at the rim is computed whole in spare memory; from there its valid part is copied
                whole = here == height and (columns == LANES or columns == WIDTH)
                if not whole:
                    if adds:
                        gemm.copy(plus_at, plus_row, spare, WIDTH, here, columns)
                    plus_at, plus_apart, c_at, c_apart = spare, WIDTH, spare, WIDTH
                if height == ROWS:
                    if columns > LANES:
                        _wide(a_at, b_at, c_at, c_apart, pairs, plus_at, plus_apart, adds)
                    else:
                        _narrow(a_at, b_at, c_at, c_apart, pairs, plus_at, plus_apart, adds)
                elif columns > LANES:
                    _few_wide(a_at, b_at, c_at, c_apart, pairs, plus_at, plus_apart, adds)
                else:
                    _few_narrow(a_at, b_at, c_at, c_apart, pairs, plus_at, plus_apart, adds)
                if not whole:
                    gemm.copy(spare, WIDTH, at(c, (i + r) * c_row + j), c_row, here, columns)
        if finish:
            invoke(finish, (at(c, i * c_row), at(other, i * c_row), c_row, rows, n))


@kernel
def product(
    t: int, nt: int, a: floats, b: floats, c: floats, bias: floats, plus: floats, other: floats, plan: integers,
    work: floats, has_bias: int, has_plus: int, finish: int,
):  # fmt: skip
    """`gemm.product` of rounded a and b."""
    batches, M, N, K = plan[gemm._BATCHES], plan[gemm._M], plan[gemm._N], plan[gemm._K]
    a_row, a_column, b_row, b_column = plan[gemm._A_ROW], plan[gemm._A_COLUMN], plan[gemm._B_ROW], plan[gemm._B_COLUMN]
    a_block = at(work, t * NUMBERS)
    b_block = at(a_block, BLOCK_K // 2 * BLOCK_M)
    spare = at(b_block, BLOCK_K // 2 * BLOCK_N)
    # Many matrices: a thread takes whole ones. Few: each is cut into as many parts as there are threads.
    parts = 1 if batches % nt == 0 or batches >= 4 * nt else nt
    strips = gemm._grid(parts, M, N, WIDTH)
    blocks = -(-K // BLOCK_K)
    k_block = -(-K // (2 * blocks)) * 2  # equal blocks, whichever threads there are, and only the last may be odd
    first, last = share(t, nt, batches * parts)
    for item in range(first, last):
        batch, part = item // parts, item % parts
        a_start, b_start = at(a, plan[gemm._OFFSETS + 2 * batch]), at(b, plan[gemm._OFFSETS + 2 * batch + 1])
        top, bottom = share(part % strips, strips, -(-M // ROWS))
        left, right = share(part // strips, parts // strips, -(-N // WIDTH))
        m0, m1, n0, n1 = top * ROWS, min(M, bottom * ROWS), left * WIDTH, min(N, right * WIDTH)
        for i in range(m0, m1, BLOCK_M):
            m = min(BLOCK_M, m1 - i)
            for p in range(0, K, k_block):
                k = min(k_block, K - p)
                a_at = at(a_start, i * a_row + p * a_column)
                invoke(plan[gemm._PACK], (a_at, a_row, a_column, m, k, ROWS, a_block))
                for j in range(n0, n1, BLOCK_N):
                    n = min(BLOCK_N, n1 - j)
                    b_at, place = at(b_start, p * b_row + j * b_column), (batch * M + i) * N + j
                    invoke(plan[gemm._PACK], (b_at, b_column, b_row, n, k, WIDTH, b_block))
                    # the first block of k brings in what is to be added, the others add to what is there
                    plus_at, plus_row, adds = at(c, place), N, 1
                    if p == 0 and has_plus and has_bias:
                        gemm._added(plus_at, at(plus, place), at(bias, j), m, n, N)
                    elif p == 0 and has_plus:
                        plus_at = at(plus, place)
                    elif p == 0:
                        plus_at, plus_row, adds = at(bias, j), 0, has_bias
                    finishes = finish if p + k == K else 0
                    invoke(plan[gemm._BLOCK], (a_block, b_block, (k + 1) // 2, plus_at, plus_row, adds, at(c, place), N,
                                               m, n, spare, finishes, at(other, place)))  # fmt: skip


@kernel(fastmath=EXACT)
def rounding(t: int, nt: int, x: floats, y: floats, n: int):
    """y = x rounded to bfloat16, for CPUs without an instruction for it."""
    first, last = share(t, nt, n)
    xs, ys = row(x, first, last - first), row(y, first, last - first)
    for i in range(last - first):
        bits = float_bits(xs[i])
        near = bits_float(np.int32((bits + 0x7FFF + ((bits >> 16) & 1)) & -0x10000))
        near = xs[i] if xs[i] != xs[i] else near  # NaN
        ys[i] = near if fabs(xs[i]) >= SMALLEST or xs[i] != xs[i] else near * np.float32(0)


# ---- what comes before the product


def operands(a, b):
    """a and b as `product` takes them, and its precision; where it cannot run, rounded already, for float32."""
    if IN_HARDWARE:
        return _with_neighbours(a), _with_neighbours(b), "bfloat16"
    _say_that_it_is_slow()
    return rounded(a), rounded(b), None


def _with_neighbours(x):
    """x, or a copy: matrices whose rows or columns lie in one piece, whole numbers apart.   (..., M, N) -> (..., M, N)"""
    return x if 4 in x.strides[-2:] and not any([stride % 4 for stride in x.strides]) else np.ascontiguousarray(x)


def rounded(x):
    """x in the nearest bfloat16 numbers, without the instruction for it.   (...) -> (...)"""
    x = np.ascontiguousarray(x)
    y = empty_like(x)
    run(rounding, x.size, x.size, x, y, x.size)
    return y


@functools.cache
def _say_that_it_is_slow():
    warnings.warn(
        'matmul_precision("bfloat16"): this CPU has no instruction that multiplies bfloat16 (avx512_bf16). The numbers are rounded '
        'as they should be, and then multiplied in float32: it takes a little longer than "float32".', RuntimeWarning, stacklevel=2,
    )  # fmt: skip

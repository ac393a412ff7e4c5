"""The product of a few rows with a matrix whose columns lie together in memory, as a model's weights do that others have stored.

There is little to compute for each number of ``b``, so what counts is to read it once, in the order in which it lies. A tile is four
rows of ``a`` by four columns of ``b``: sixteen vectors of sums, walked along k, that are added up in the end all at once. The rows of
``a`` stay in the first cache, and so do the four columns until all rows have met them. Four columns at once would be four streams from
memory, of which each is over before it is fast; so while a tile is computed the next four are asked for, as the one stream they are.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minigrad.kernels.compile import floats, integers, kernel
from minigrad.kernels.gemm import _B_COLUMN, _K, _M, _N, _NUMBERS, CHUNK, lanes, lanes_of
from minigrad.kernels.pool import invoke
from minigrad.kernels.simd import at, constant, fetch, share

SIDE = 4  # rows and columns of a tile
SUMS = 64  # numbers of working memory that a thread needs, whole cache lines


@intrinsic
def _tile(typing_context, a0, a1, a2, a3, b0, b1, b2, b3, k, ahead, sums):
    """The sums of a_i b_j over the first k numbers, whole vectors of them, to sums[4 i + j]; asks for the 4 k numbers from ``ahead`` on."""
    pointer, width = a0, lanes_of(a0.dtype)
    size = pointer.dtype.bitwidth // 8

    def generate(context, builder, signature, values):
        *places, k, ahead, sums = values
        i64, number = ir.IntType(64), context.get_data_type(pointer.dtype)
        vector = ir.VectorType(number, width)
        name = f"llvm.fmuladd.v{width}f{8 * size}"
        multiply_add = builder.module.globals.get(name) or ir.Function(builder.module, ir.FunctionType(vector, [vector] * 3), name)

        before, nothing = builder.block, ir.Constant(vector, [0.0] * width)
        head, body, after = (builder.append_basic_block(f"dots.{part}") for part in ("head", "body", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        done = builder.phi(i64)
        done.add_incoming(i64(0), before)
        totals = [builder.phi(vector) for _ in range(SIDE * SIDE)]
        for total in totals:
            total.add_incoming(nothing, before)
        builder.cbranch(builder.icmp_signed("<", done, k), body, after)

        builder.position_at_end(body)
        for line in range(SIDE):
            fetch(builder, builder.gep(ahead, [builder.add(builder.mul(done, i64(SIDE)), i64(line * width))]), writes=False)
        loaded = [builder.load(builder.bitcast(builder.gep(place, [done]), vector.as_pointer()), align=size) for place in places]
        for number_of, total in enumerate(totals):
            i, j = divmod(number_of, SIDE)
            total.add_incoming(builder.call(multiply_add, [loaded[i], loaded[SIDE + j], total]), builder.block)
        done.add_incoming(builder.add(done, i64(width)), builder.block)
        builder.branch(head)

        builder.position_at_end(after)
        while len(totals) > SIDE * SIDE // width:  # halves of two vectors become one, until each number is the sum of a vector
            totals = [_folded(builder, first, second, width) for first, second in zip(totals[::2], totals[1::2])]
        for place, total in enumerate(totals):
            there = builder.gep(sums, [i64(place * width)])
            builder.store(total, builder.bitcast(there, vector.as_pointer()), align=size)
        return context.get_dummy_value()

    return types.void(*[pointer] * 8, types.int64, pointer, pointer), generate


def _folded(builder, first, second, width):
    """Neighbours added up: those of the first vector, then those of the second."""
    i32 = ir.IntType(32)
    even, odd = ([i32(place) for place in range(start, 2 * width, 2)] for start in (0, 1))
    kind = ir.VectorType(i32, width)
    halves = [builder.shuffle_vector(first, second, ir.Constant(kind, places)) for places in (even, odd)]
    return builder.fadd(*halves)


@kernel
def few_dots(
    t: int, nt: int, a: floats, b: floats, c: floats, bias: floats, plus: floats, other: floats, plan: integers,
    work: floats, has_bias: int, has_plus: int, finish: int,
):  # fmt: skip
    """`gemm.product` for one a of a few contiguous rows and a b whose columns are contiguous."""
    M, N, K, b_column = plan[_M], plan[_N], plan[_K], plan[_B_COLUMN]
    first, last = share(t, nt, -(-N // CHUNK))
    first, last = first * CHUNK, min(N, last * CHUNK)
    # as far apart as those of `gemm.product`, which may compute in the same launch with the same memory
    sums, whole = at(work, plan[_NUMBERS] * t), K // lanes(a) * lanes(a)
    for start in range(first, last, SIDE):
        # what is missing from the last tile is computed twice, with the same result
        j0, j1 = start, min(start + 1, last - 1)
        j2, j3 = min(start + 2, last - 1), min(start + 3, last - 1)
        b0, b1, b2, b3 = at(b, j0 * b_column), at(b, j1 * b_column), at(b, j2 * b_column), at(b, j3 * b_column)
        for top in range(0, M, SIDE):
            i1, i2, i3 = min(top + 1, M - 1), min(top + 2, M - 1), min(top + 3, M - 1)
            a0, a1, a2, a3 = at(a, top * K), at(a, i1 * K), at(a, i2 * K), at(a, i3 * K)
            _tile(a0, a1, a2, a3, b0, b1, b2, b3, whole, at(b, (start + 2 * SIDE) * b_column), sums)
            for i in range(top, min(M, top + SIDE)):
                for j in range(start, min(last, start + SIDE)):
                    total = sums[SIDE * (i - top) + j - start]
                    for k in range(whole, K):
                        total += a[i * K + k] * b[j * b_column + k]
                    before = plus[i * N + j] if has_plus else constant(0, a)
                    c[i * N + j] = before + (bias[j] if has_bias else constant(0, a)) + total
    if finish:
        invoke(finish, (at(c, first), at(other, first), N, M, last - first))

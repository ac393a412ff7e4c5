"""What the machine can do at most, measured in the same turns as the libraries: the row ``machine`` of a benchmark.

``flops``  multiply-adds of vectors that never leave the registers, in a dozen independent chains.
``reads``  a sum over an array: every byte is read once. ``streams`` is the same from four places of it at once.
``bytes``  y = y / 2 + x over two arrays: two numbers read and one written, none fetched only to be overwritten.

The arrays are as large as what the compared row moves, so that what stays in a cache is held against that cache.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

CHAINS = 12  # two units with a latency of four or five want ten; more registers than this not every CPU has
LONG = 1e-2  # seconds of work in a step, about
ROUGHLY = {"flops": 1e11, "reads": 5e10, "streams": 5e10, "bytes": 5e10}  # a second, for choosing how often to repeat


def _vector_bytes():
    features = llvmlite.binding.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx") else 16


VECTOR = _vector_bytes()


@intrinsic
def _multiply_adds(typing_context, times, one):
    """CHAINS times ``times`` multiply-adds of whole vectors of the type of ``one``; a number that depends on all."""

    def generate(context, builder, signature, values):
        number = context.get_data_type(one)
        vector = ir.VectorType(number, VECTOR // (one.bitwidth // 8))
        constant = lambda value: ir.Constant(vector, [ir.Constant(number, value)] * vector.count)
        name = f"llvm.fmuladd.v{vector.count}f{one.bitwidth}"
        operation = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
        chains = [cgutils.alloca_once_value(builder, constant(float(i))) for i in range(CHAINS)]
        with cgutils.for_range(builder, values[0]):
            for chain in chains:
                builder.store(builder.call(operation, [builder.load(chain), constant(0.5), constant(1.0)]), chain)
        total = builder.load(chains[0])
        for chain in chains[1:]:
            total = builder.fadd(total, builder.load(chain))
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return one(types.int64, one), generate


@njit(nogil=True)
def _flops(x, y, times):
    return _multiply_adds(times, x[0])


@njit(nogil=True, fastmath={"reassoc", "nsz"})
def _reads(x, y, times):
    total = x[0]
    for _ in range(times):
        for i in range(x.size):
            total += x[i]
    return total


@njit(nogil=True, fastmath={"reassoc", "nsz"})
def _streams(x, y, times):
    """The same sum, from four places at once: more requests are under way, which some memories like better."""
    n, total = x.size // 4, x[0]
    one, two, three, four = x[:n], x[n:2 * n], x[2 * n:3 * n], x[3 * n:4 * n]
    for _ in range(times):
        for i in range(n):
            total += (one[i] + two[i]) + (three[i] + four[i])
    return total


@njit(nogil=True, fastmath={"contract"})
def _bytes(x, y, times):
    half = y[0] * 0 + y.dtype.type(0.5)
    for _ in range(times):
        for i in range(y.size):
            y[i] = y[i] * half + x[i]
    return half


def step(kind, amount, dtype="float32"):
    """A function that does work of one kind on every thread and returns how much; ``amount`` is what the row does."""
    threads, dtype = int(os.environ["MINIGRAD_THREADS"]), np.dtype(dtype)
    passed = 3 if kind == "bytes" else 1  # times a number of x moves
    n = max(64, int(amount) // (passed * dtype.itemsize * threads)) if kind != "flops" else 64
    per_time = 2 * CHAINS * VECTOR // dtype.itemsize if kind == "flops" else n * passed * dtype.itemsize
    times = max(1, round(ROUGHLY[kind] * LONG / per_time))
    work = {"flops": _flops, "reads": _reads, "streams": _streams, "bytes": _bytes}[kind]
    arrays = [(np.ones(n, dtype), np.ones(n if kind == "bytes" else 1, dtype)) for _ in range(threads)]

    pool = ThreadPoolExecutor(threads)  # threads that stay, so that the harness sees when they had to wait

    def run():
        for done in [pool.submit(work, *pair, times) for pair in arrays]:
            done.result()
        return float(threads * times * per_time)

    return run


def best_reads(amount):
    """The faster of the two ways to read so many bytes, as `step` gives them."""
    ways = [step(kind, amount) for kind in ("reads", "streams")]

    def seconds(way):
        start = time.perf_counter()
        done = way()
        return (time.perf_counter() - start) / done

    return min(ways, key=lambda way: min(seconds(way) for _ in range(10)))

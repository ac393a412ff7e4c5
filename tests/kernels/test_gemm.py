"""Matrix products: every layout and rim against NumPy in float64, and the same bits on any number of threads."""

import os
import subprocess
import sys

import numpy as np
import pytest

numba = pytest.importorskip("numba")
if numba.config.DISABLE_JIT:
    pytest.skip("Numba compiles nothing here", allow_module_level=True)

from minigrad import kernels, settings  # noqa: E402
from minigrad.kernels import compile as policy  # noqa: E402
from minigrad.kernels import gemm, reference  # noqa: E402
from tests.kernels.process import SMALLER_CPUS  # noqa: E402

FLOATS = [np.float32, np.float64]

# M, K, N: single numbers, tails of every tile, more than one block of each
SIZES = [
    (1, 1, 1), (1, 5, 33), (5, 7, 1), (12, 13, 32), (13, 33, 65), (7, 12, 130), (65, 1, 12), (33, 65, 5), (64, 24, 48),
    (201, 65, 33), (13, 401, 65), (5, 33, 530), (29, 33, 530), (205, 390, 517), (3, 7, 130), (4, 390, 65), (13, 401, 517),
]  # fmt: skip


def matrix(rng, rows, columns, dtype, transposed):
    x = rng.standard_normal((columns, rows) if transposed else (rows, columns)).astype(dtype)
    return x.T if transposed else x


def assert_product(c, a, b, bias=None):
    """c is a b (+ bias) up to the rounding of K multiply-adds."""
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    added = 0 if bias is None else bias.astype(np.float64)
    bound = (a.shape[-1] + 2) * np.finfo(c.dtype).eps * (np.abs(wide_a) @ np.abs(wide_b) + np.abs(added))
    assert c.dtype == a.dtype and c.flags.c_contiguous and c.flags.writeable
    assert (np.abs(c - (wide_a @ wide_b + added)) <= bound).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("M, K, N", SIZES)
def test_every_layout_and_rim(rng, M, K, N, layout, dtype):
    a, b = matrix(rng, M, K, dtype, layout[0] == "T"), matrix(rng, K, N, dtype, layout[1] == "T")
    bias = rng.standard_normal(N).astype(dtype)
    assert_product(gemm.matmul(a, b), a, b)
    assert_product(gemm.linear(a, b, bias), a, b, bias)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("transposed", [False, True], ids=["rows together", "columns together"])
@pytest.mark.parametrize("M, K, N", SIZES)
def test_what_is_added_and_what_ends_a_product(rng, M, K, N, transposed, dtype):
    """A residual, a bias, both; GELU and its derivative, each on the block while it is in the cache, equal to the parts."""
    x, w = rng.standard_normal((M, K)).astype(dtype), matrix(rng, K, N, dtype, transposed)
    bias, plus = rng.standard_normal(N).astype(dtype), rng.standard_normal((M, N)).astype(dtype)
    alone = gemm.linear(x, w)
    scale = np.abs(x).astype(np.float64) @ np.abs(w) + np.abs(plus) + np.abs(bias)
    bound = (K + 3) * np.finfo(dtype).eps * scale
    before = plus.copy()
    assert (np.abs(gemm.linear(x, w, None, plus) - (alone.astype(np.float64) + plus)) <= bound).all()
    assert (np.abs(gemm.linear(x, w, bias, plus) - (alone.astype(np.float64) + plus + bias)) <= bound).all()
    assert (plus == before).all()
    for approximate in ("none", "tanh"):
        h = gemm.linear(x, w, bias)
        for found, right in zip(gemm.linear_gelu(x, w, bias, approximate), reference.gelu(h.astype(np.float64), approximate), strict=True):
            assert found.dtype == dtype and found.flags.c_contiguous
            assert (np.abs(found - right) <= 16 * np.finfo(dtype).eps * (1 + np.abs(right))).all()
        first, second = gemm.linear_gelu(x, w, None, approximate), kernels.gelu(gemm.linear(x, w), approximate)
        assert all((np.abs(p - q) <= 4 * np.finfo(dtype).eps * (1 + np.abs(q))).all() for p, q in zip(first, second, strict=True))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("stride", [1024, 2048, 4096])
def test_rows_that_share_cache_lines(rng, stride, dtype):
    """Rows a power of two apart are copied before they are read; the numbers stay the same."""
    a, b = rng.standard_normal((29, stride)).astype(dtype)[:, :401], rng.standard_normal((401, 70)).astype(dtype)
    assert (gemm.matmul(a, b) == gemm.matmul(a.copy(), b)).all()
    wide = rng.standard_normal((65, stride)).astype(dtype)[:, :29]  # (65, 29), read as its transpose
    assert (gemm.matmul(wide.T, b[:65]) == gemm.matmul(wide.copy().T, b[:65])).all()


def test_what_is_added_has_the_shape_of_the_result():
    with pytest.raises(ValueError, match=r"linear: plus.*\(2, 4\).*Received: \(4,\)"):
        gemm.linear(np.ones((2, 3), np.float32), np.ones((3, 4), np.float32), None, np.ones(4, np.float32))


@pytest.mark.parametrize("dtype", FLOATS)
def test_any_strides(rng, dtype):
    a = rng.standard_normal((40, 60)).astype(dtype)[3:36:2, ::-3]  # (17, 20)
    b = rng.standard_normal((50, 90)).astype(dtype)[44:4:-2, 1:80:2]  # (20, 40)
    row = np.broadcast_to(a[:1], a.shape)  # (17, 20), every row the same memory
    column = np.broadcast_to(b[:, :1], b.shape)  # (20, 40)
    bias = rng.standard_normal(80).astype(dtype)[::-2]
    for x, y in [(a, b), (row, b), (a, column), (row, column)]:
        assert_product(gemm.matmul(x, y), x, y)
        assert_product(gemm.linear(x, y, bias), x, y, bias)


def test_a_field_of_records(rng):
    records = np.zeros((13, 7), dtype=[("flag", np.int8), ("value", np.float32)])  # 5 bytes apart
    records["value"] = rng.standard_normal((13, 7))
    b = rng.standard_normal((7, 5)).astype(np.float32)
    assert_product(gemm.matmul(records["value"], b), records["value"].copy(), b)
    assert_product(gemm.matmul(b.T, records["value"].T), b.T, records["value"].T.copy())


def test_one_record():
    """To NumPy it lies in one piece, whatever its row's stride is."""
    row = np.zeros(1, dtype=[("flag", np.int8), ("values", np.float32, 7)])["values"]
    row[:] = np.arange(7)
    assert row.flags.c_contiguous and row.strides == (29, 4)
    b = np.eye(7, 5, dtype=np.float32)
    assert gemm.matmul(row, b).tolist() == gemm.linear(row, b).tolist() == [[0, 1, 2, 3, 4]]
    assert gemm.matmul(row.T, row)[6].tolist() == [0, 6, 12, 18, 24, 30, 36]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "a_shape, b_shape",
    [
        ((3, 5, 7), (3, 7, 4)),
        ((2, 3, 5, 7), (2, 3, 7, 4)),
        ((2, 1, 5, 7), (3, 7, 4)),
        ((5, 7), (2, 3, 7, 4)),
        ((2, 3, 5, 7), (7, 4)),
        ((7, 1, 13, 33), (1, 3, 33, 65)),
    ],
)
def test_leading_axes_broadcast(rng, a_shape, b_shape, dtype):
    a, b = rng.standard_normal(a_shape).astype(dtype), rng.standard_normal(b_shape).astype(dtype)
    assert_product(gemm.matmul(a, b), a, b)
    a_swapped = np.ascontiguousarray(a.swapaxes(-1, 0)).swapaxes(-1, 0)  # same values, other strides
    assert_product(gemm.matmul(a_swapped, b), a, b)


def test_heads_as_transposed_views(rng):
    B, T, h, d, S = 2, 13, 3, 5, 7
    q = rng.standard_normal((B, T, h, d)).astype(np.float32).transpose(0, 2, 1, 3)  # (B,T,h,d) -> (B,h,T,d)
    k = rng.standard_normal((B, S, h, d)).astype(np.float32).transpose(0, 2, 3, 1)  # (B,S,h,d) -> (B,h,d,S)
    assert_product(gemm.matmul(q, k), q, k)


@pytest.mark.parametrize("name", ["matmul", "linear"])
@pytest.mark.parametrize("a_shape, b_shape", [((0, 3), (3, 4)), ((2, 3), (3, 0)), ((2, 0), (0, 4)), ((5, 2, 0), (0, 3))])
def test_nothing_to_do(name, a_shape, b_shape):
    a, b = np.ones(a_shape, np.float32), np.ones(b_shape, np.float32)
    c = getattr(gemm, name)(a, b)
    assert c.shape == (*a_shape[:-1], b_shape[-1]) and c.dtype == np.float32
    assert (c == 0).all()


def test_a_sum_over_nothing_is_the_bias():
    bias = np.arange(4, dtype=np.float32)
    assert (gemm.linear(np.ones((2, 0), np.float32), np.ones((0, 4), np.float32), bias) == [bias, bias]).all()
    assert gemm.matmul(np.ones((0, 2, 3), np.float32), np.ones((0, 3, 4), np.float32)).shape == (0, 2, 4)


@pytest.mark.parametrize("M, K, N", [(13, 7, 33), (5, 401, 65), (29, 12, 530)])
def test_nan_and_infinity_stay_in_their_row_and_column(rng, M, K, N):
    """Tails are computed with padding: what is not a number must not leak out of it, nor into it."""
    a, b = rng.standard_normal((M, K)).astype(np.float32), rng.standard_normal((K, N)).astype(np.float32)
    clean = gemm.matmul(a, b)
    for value in (np.nan, np.inf):
        a_bad, b_bad = a.copy(), b.copy()
        a_bad[M - 1, K - 1] = value
        b_bad[K - 1, N - 1] = value
        in_row, in_column = gemm.matmul(a_bad, b), gemm.matmul(a, b_bad)
        assert not np.isfinite(in_row[M - 1]).any() and (in_row[:-1] == clean[:-1]).all()
        assert not np.isfinite(in_column[:, N - 1]).any() and (in_column[:, :-1] == clean[:, :-1]).all()


def test_inputs_are_left_alone(rng):
    a, b, bias = (rng.standard_normal(shape).astype(np.float32) for shape in [(13, 7), (7, 33), (33,)])
    before = a.copy(), b.copy(), bias.copy()
    for x in (a, b, bias):
        x.flags.writeable = False
    gemm.linear(a, b, bias)
    assert all((x == y).all() for x, y in zip((a, b, bias), before, strict=True))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "a_shape, b_shape", [
        ((13, 33), (33, 65)), ((65, 401), (401, 7)), ((5, 7), (7, 530)), ((3, 13, 7), (3, 7, 33)), ((3, 38), (38, 133)),
        ((1, 7), (7, 61)), ((2, 7), (7, 201)),
    ],
)  # fmt: skip
def test_the_same_bits_on_any_number_of_threads(rng, monkeypatch, a_shape, b_shape, dtype):
    monkeypatch.setattr(policy, "GRAIN", 1)  # share even the smallest work
    a, b = rng.standard_normal(a_shape).astype(dtype), rng.standard_normal(b_shape).astype(dtype)
    bias = rng.standard_normal(b_shape[-1]).astype(dtype)
    bits = set()
    for threads in (1, 2, 3, 5, 8):
        with settings.use_threads(threads):
            results = [gemm.matmul(a, b), gemm.matmul(a, np.asfortranarray(b))]
            if b.ndim == 2:
                results += [gemm.linear(a, b, bias), gemm.linear(a, b, bias, results[0]), *gemm.linear_gelu(a, b, bias, "tanh")]
            bits.add(b"".join(c.tobytes() for c in results))
    assert len(bits) == 1


def test_axes_that_do_not_fit_raise_with_their_shapes():
    a, b = np.ones((2, 3), np.float32), np.ones((4, 5), np.float32)
    for multiply in (gemm.matmul, gemm.linear):
        with pytest.raises(ValueError, match=r"equally long.*Received: a \(2, 3\), b \(4, 5\)"):
            multiply(a, b)
    with pytest.raises(ValueError, match=r"bias.*Received: \(3,\)"):
        gemm.linear(np.ones((2, 4), np.float32), b, np.ones(3, np.float32))


@pytest.mark.parametrize("kind", [np.int64, np.float16, np.longdouble, np.complex128])
def test_other_types_go_to_the_reference(kind):
    a, b = np.arange(6).reshape(2, 3).astype(kind), np.arange(12).reshape(3, 4).astype(kind)
    assert kernels.pick("matmul", a, b) is reference.matmul
    c = kernels.matmul(a, b)
    assert c.dtype == kind and (c == np.matmul(a, b)).all()


def test_mixed_floats_promote_as_in_numpy():
    a, b = np.ones((2, 3), np.float32), np.ones((3, 4), np.float64)
    assert kernels.matmul(a, b).dtype == np.float64


@pytest.mark.slow
@pytest.mark.parametrize("cpu", SMALLER_CPUS)
def test_other_tile_sizes(cpu, tmp_path):
    """The machine code of smaller CPUs runs on this one: other tiles, other tails."""
    name, features = SMALLER_CPUS[cpu]
    script = """
import numpy as np
from minigrad import kernels
from minigrad.kernels import gemm, reference
print(gemm.VECTOR, gemm.ROWS)
rng = np.random.default_rng(0)
for dtype in (np.float32, np.float64):
    for M, K, N in [(1, 1, 1), (5, 7, 3), (13, 33, 65), (29, 401, 17), (205, 12, 530)]:
        for a in (rng.standard_normal((M, K)).astype(dtype), rng.standard_normal((K, M)).astype(dtype).T):
            for b in (rng.standard_normal((K, N)).astype(dtype), rng.standard_normal((N, K)).astype(dtype).T):
                c = a.astype(np.float64) @ b
                assert np.abs(gemm.matmul(a, b) - c).max() < 50 * K**0.5 * np.finfo(dtype).eps, (dtype, M, K, N)
    q, k, v = (rng.standard_normal((2, 3, n, d)).astype(dtype) for n, d in ((65, 5), (33, 5), (33, 12)))
    for causal in (True, False):
        results, expected = [], []
        for door, found in ((kernels.attention, results), (reference.attention, expected)):
            out, lse = door(q, k, v, causal, 0.5)
            gradient = kernels.attention_grad if found is results else reference.attention_grad
            found += [out, lse, *gradient(np.ones_like(out), q, k, v, out, lse, causal, 0.5)[:3]]
        for x, y in zip(results, expected):
            assert np.abs(x - y).max() < 1e3 * np.finfo(dtype).eps, (dtype, causal)
"""
    environment = {**os.environ, "NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
    environment |= {"MINIGRAD_CACHE_DIR": str(tmp_path), "MINIGRAD_THREADS": "2", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == {"avx2": ["32", "6"], "portable": ["16", "4"]}[cpu]

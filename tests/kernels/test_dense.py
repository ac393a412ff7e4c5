"""Linear layers side by side: one launch for several products, and for all gradients, equal to their parts."""

import numpy as np
import pytest

numba = pytest.importorskip("numba")
if numba.config.DISABLE_JIT:
    pytest.skip("Numba compiles nothing here", allow_module_level=True)

from minigrad import kernels, settings  # noqa: E402
from minigrad.kernels import compile as policy  # noqa: E402
from minigrad.kernels import dense, gemm, pool, reference  # noqa: E402

FLOATS = [np.float32, np.float64]
# rows of x as leading axes, K, the N of each matrix: one, three equal, three different, few rows, more than one block of each
SIZES = [
    ((2, 3), 4, (5,)), ((7, 12), 13, (33, 33, 33)), ((70,), 65, (12, 130, 1)), ((1,), 65, (12, 130)), ((3, 1), 64, (64, 64, 64)),
    ((205,), 390, (517, 33)),
]  # fmt: skip


def made(rng, sizes, dtype):
    lead, K, Ns = sizes
    normal = lambda *shape: rng.standard_normal(shape).astype(dtype)  # noqa: E731
    return normal(*lead, K), [normal(K, N) for N in Ns], [normal(N) for N in Ns], [normal(*lead, N) for N in Ns]


def close(found, wanted, dtype, terms):
    """Equal up to the rounding of sums of so many numbers of size 1."""
    assert found.dtype == dtype and found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=8 * terms * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("sizes", SIZES)
def test_each_is_the_product_alone(rng, sizes, dtype):
    x, ws, bs, _ = made(rng, sizes, dtype)
    bs[0] = None
    for y, w, b in zip(dense.linears(x, ws, bs), ws, bs, strict=True):
        assert y.tobytes() == gemm.linear(x, w, b).tobytes()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("sizes", SIZES)
def test_gradients_equal_the_reference_in_float64(rng, sizes, dtype):
    x, ws, _, gs = made(rng, sizes, dtype)
    wanted = [True] * (1 + 2 * len(ws))
    found = dense.linear_grad(gs, x, ws, wanted)
    wide = lambda arrays: [a.astype(np.float64) for a in arrays]  # noqa: E731
    expected = reference.linear_grad(wide(gs), x.astype(np.float64), wide(ws), wanted)
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        close(a, b, dtype, x.size // x.shape[-1] if i else sum(sizes[2]))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("sizes", SIZES)
def test_what_comes_through_all_matrices_is_multiplied_once(rng, sizes, dtype):
    x, ws, _, gs = made(rng, sizes, dtype)
    wanted, times = [True] * (1 + 2 * len(ws)), rng.standard_normal(x.shape).astype(dtype)
    gs[-1] = None if len(gs) > 1 else gs[-1]  # the last one that brings something ends the sum
    found, alone = dense.linear_grad(gs, x, ws, wanted, times), dense.linear_grad(gs, x, ws, wanted)
    np.testing.assert_array_equal(found[0], alone[0] * times)
    for a, b in zip(found[1:], alone[1:], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(reference.linear_grad(gs, x, ws, wanted, times)[0], reference.linear_grad(gs, x, ws, wanted)[0] * times)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("sizes", SIZES)
def test_the_number_of_threads_does_not_matter(rng, sizes, dtype, monkeypatch):
    x, ws, bs, gs = made(rng, sizes, dtype)
    wanted = [True] * (1 + 2 * len(ws))
    monkeypatch.setattr(policy, "GRAIN", 1)
    bits = set()
    for threads in (1, 2, 3, 5):
        with settings.use_threads(threads):
            bits.add(b"".join(a.tobytes() for a in (*dense.linears(x, ws, bs), *dense.linear_grad(gs, x, ws, wanted))))
    assert len(bits) == 1


@pytest.mark.parametrize("which", range(8))
def test_only_what_is_wanted_is_computed(rng, which):
    x, ws, _, gs = made(rng, ((6, 5), 7, (8, 9, 4)), np.float64)
    wanted = [bool(which & 1), True, False, bool(which & 2), True, False, bool(which & 4)]
    gs[1] = None
    for some in (dense, reference):
        found = some.linear_grad(gs, x, ws, wanted)
        assert [a is not None for a in found] == [*wanted[:3], False, False, *wanted[5:]]
    for a, b in zip(dense.linear_grad(gs, x, ws, wanted), found, strict=True):
        assert a is b is None or np.allclose(a, b, rtol=1e-13, atol=1e-13)


def test_where_nothing_comes_there_is_no_gradient(rng):
    x, ws, _, _ = made(rng, ((6, 5), 7, (8, 9)), np.float64)
    for some in (dense, reference):
        assert some.linear_grad([None, None], x, ws, [True] * 5) == [None] * 5


@pytest.mark.parametrize("x_shape, n", [((0, 4), 5), ((3, 0), 5), ((3, 4), 0), ((2, 0, 4), 5)])
def test_nothing(x_shape, n):
    x, w, g = np.ones(x_shape), np.ones((x_shape[-1], n)), np.ones((*x_shape[:-1], n))
    for a, b in zip(dense.linear_grad([g], x, [w], [True] * 3), reference.linear_grad([g], x, [w], [True] * 3), strict=True):
        assert a.shape == b.shape and (a == b).all()


def test_strided_arrays(rng):
    x, ws, _, gs = made(rng, ((6, 5), 7, (8, 9)), np.float64)
    x, ws, gs = x[:, ::-1], [np.asfortranarray(w) for w in ws], [g.transpose(1, 0, 2)[::-1].transpose(1, 0, 2) for g in gs]
    for a, b in zip(dense.linear_grad(gs, x, ws, [True] * 5), reference.linear_grad(gs, x, ws, [True] * 5), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_more_jobs_than_one_launch_holds(rng):
    x, ws, bs, gs = made(rng, ((6,), 7, (3,) * (2 * pool.JOBS + 1)), np.float64)
    for y, w, b in zip(dense.linears(x, ws, bs), ws, bs, strict=True):
        np.testing.assert_allclose(y, x @ w + b, rtol=1e-13)
    wanted = [True] * (1 + 2 * len(ws))
    for a, b in zip(dense.linear_grad(gs, x, ws, wanted), reference.linear_grad(gs, x, ws, wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def test_bfloat16_reaches_every_product():
    x, w, g = (np.full(shape, 1 + 2.0**-10, np.float32) for shape in [(3, 4), (4, 5), (3, 5)])
    with settings.matmul_precision("bfloat16"):
        (y,), (dx, dw, db) = kernels.linears(x, [w], [None]), kernels.linear_grad([g], x, [w], [True] * 3)
    assert (y == 4).all() and (dx == 5).all() and (dw == 3).all() and (db == np.float32(3 * (1 + 2.0**-10))).all()

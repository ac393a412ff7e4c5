"""Products of numbers rounded to bfloat16: the rounding bit for bit, the sums within their bound, and where the switch reaches."""

import functools
import gc
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

numba = pytest.importorskip("numba")
if numba.config.DISABLE_JIT:
    pytest.skip("Numba compiles nothing here", allow_module_level=True)

import minigrad as mg  # noqa: E402
from minigrad import kernels, settings  # noqa: E402
from minigrad.kernels import bfloat16, gemm, reference  # noqa: E402
from minigrad.kernels import compile as policy  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:matmul_precision:RuntimeWarning")  # of CPUs without the instruction

# M, K, N: single numbers, odd K, tails of every tile, more than one block of each
SIZES = [
    (1, 1, 1), (1, 5, 33), (5, 7, 1), (12, 14, 32), (13, 33, 65), (7, 12, 130), (65, 2, 12), (33, 65, 5), (64, 24, 48),
    (3, 7, 130), (29, 33, 530), (13, 801, 65), (530, 6, 35), (7, 1537, 49),
]  # fmt: skip


@pytest.fixture(params=["instruction", "without"])
def way(request, monkeypatch):
    """Both ways to the same numbers: with the CPU's instruction, and without."""
    if request.param == "without":
        monkeypatch.setattr(bfloat16, "IN_HARDWARE", False)
    elif not bfloat16.IN_HARDWARE:
        pytest.skip("this CPU has no avx512_bf16")


matmul = functools.partial(gemm.matmul, precision="bfloat16")
linear = functools.partial(gemm.linear, precision="bfloat16")


def matrix(rng, rows, columns, transposed=False):
    x = rng.standard_normal((columns, rows) if transposed else (rows, columns)).astype(np.float32)
    return x.T if transposed else x


def assert_product(c, a, b, bias=None):
    """c is the product of the rounded numbers (+ bias), up to the rounding of K additions in float32."""
    wide_a, wide_b = (reference.bfloat16(x).astype(np.float64) for x in (a, b))
    added = 0 if bias is None else bias.astype(np.float64)
    bound = (a.shape[-1] + 2) * np.finfo(np.float32).eps * (np.abs(wide_a) @ np.abs(wide_b) + np.abs(added))
    assert c.dtype == np.float32 and c.flags.c_contiguous and c.flags.writeable
    assert (np.abs(c - (wide_a @ wide_b + added)) <= bound).all()


# ---- rounding


def patterns():
    """float32 numbers with every sign, exponent and kept mantissa, and what decides where the rest of it goes."""
    upper = np.arange(1 << 16, dtype=np.uint32)[:, None] << 16  # (65536, 1)
    return (upper | np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)).view(np.float32)  # (65536, 6)


def test_rounding_goes_to_the_nearest_and_to_even():
    """In units of the last place that is kept, where they are whole numbers: what Python's round says."""
    x = np.arange(2**15, 2**17, dtype=np.float32)  # the last place kept is 2**8 up to 2**16, and then 2**9
    place = np.where(x < 2**16, 2.0**8, 2.0**9)
    assert (reference.bfloat16(x) == np.array([round(q) for q in (x / place).tolist()]) * place).all()
    assert (reference.bfloat16(-x) == -reference.bfloat16(x)).all()


def test_rounding_of_what_is_not_normal():
    largest = np.uint32(0x7F7F0000).view(np.float32)
    x = np.float32([0.0, -0.0, 1e-40, -1e-40, 2.0**-126, np.inf, -np.inf, largest, np.finfo(np.float32).max, np.nan])
    expected = np.float32([0.0, -0.0, 0.0, -0.0, 2.0**-126, np.inf, -np.inf, largest, np.inf, np.nan])
    found = reference.bfloat16(x)
    assert np.array_equal(found, expected, equal_nan=True) and (np.signbit(found) == np.signbit(x)).all()


@pytest.mark.parametrize("layout", ["rows", "columns", "right rows", "right columns"])
def test_the_kernels_round_as_the_reference_does(way, layout):
    """A product with a single 1 is the rounded number; it passes through every way of packing."""
    x = patterns()
    one = np.ones((1, 1), np.float32)
    x = x.reshape(-1, 1)
    expected = reference.bfloat16(x)
    if layout == "rows":
        found = linear(x, one)
    elif layout == "columns":  # beside a neighbour along k that is 0, so that the rows lie in one piece
        found = linear(np.asfortranarray(np.where([[True, False]], x, np.float32(0))), np.ones((2, 1), np.float32))
    elif layout == "right rows":
        found = linear(one, np.ascontiguousarray(x.T)).T
    else:
        found = linear(np.ones((1, 2), np.float32), np.where([[True, False]], x, np.float32(0)).T).T
    assert np.array_equal(found, expected, equal_nan=True)


def test_a_product_too_small_for_float32_is_0_or_itself(way):
    """CPUs may flush it: that is less than any float32 that is not denormal."""
    x = np.full((5, 3), 2.0**-70, np.float32)
    assert (np.abs(linear(x, x[:3])) <= 2.0**-126).all()


# ---- products


@pytest.mark.parametrize("layout", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("M, K, N", SIZES)
def test_every_layout_and_rim(rng, way, M, K, N, layout):
    a, b = matrix(rng, M, K, layout[0] == "T"), matrix(rng, K, N, layout[1] == "T")
    bias = rng.standard_normal(N).astype(np.float32)
    assert_product(matmul(a, b), a, b)
    assert_product(linear(a, b, bias), a, b, bias)


@pytest.mark.parametrize("M, K, N", [(5, 7, 3), (13, 33, 65), (29, 1537, 33), (530, 6, 130)])
def test_what_a_product_begins_with_and_ends_with(rng, way, M, K, N):
    """Bias, residual and GELU, at rims and over several blocks: the reference's, up to the rounding of float32 sums."""
    x, w, bias = matrix(rng, M, K), matrix(rng, K, N), matrix(rng, 1, N)[0]
    plus = matrix(rng, M, N, transposed=True)
    close = functools.partial(np.testing.assert_allclose, rtol=0, atol=(K + 4) ** 0.5 * 2e-6)
    both = {"precision": "bfloat16"}
    close(gemm.linear(x, w, bias, plus, **both), reference.linear(x, w, bias, plus, **both))
    close(gemm.linear(x, w, None, plus, **both), reference.linear(x, w, None, plus, **both))
    for approximate in ("none", "tanh"):
        found, expected = (module.linear_gelu(x, w, bias, approximate, **both) for module in (gemm, reference))
        close(found[0], expected[0])
        close(found[1], expected[1])


def test_any_strides(rng, way):
    a = matrix(rng, 40, 60)[3:36:2, ::-3]  # (17, 20)
    b = matrix(rng, 50, 90)[44:4:-2, 1:80:2]  # (20, 40)
    row, column = np.broadcast_to(a[:1], a.shape), np.broadcast_to(b[:, :1], b.shape)
    bias = rng.standard_normal(80).astype(np.float32)[::-2]
    for x, y in [(a, b), (row, b), (a, column), (row, column), (a[::-1], b[:, ::-1]), (b.T[:17], a.T[:, :13])]:
        assert_product(matmul(x, y), x, y)
    assert_product(linear(a, b, bias), a, b, bias)


def test_a_field_of_records(rng, way):
    records = np.zeros((13, 7), dtype=[("flag", np.int8), ("value", np.float32)])  # 5 bytes apart
    records["value"] = rng.standard_normal((13, 7))
    b = matrix(rng, 7, 5)
    assert_product(matmul(records["value"], b), records["value"].copy(), b)


@pytest.mark.parametrize(
    "a_shape, b_shape",
    [((3, 5, 7), (3, 7, 4)), ((2, 1, 5, 7), (3, 7, 4)), ((5, 7), (2, 3, 7, 4)), ((2, 3, 5, 7), (7, 4)), ((7, 1, 13, 33), (1, 3, 33, 65))],
)
def test_leading_axes_broadcast(rng, way, a_shape, b_shape):
    a, b = rng.standard_normal(a_shape).astype(np.float32), rng.standard_normal(b_shape).astype(np.float32)
    assert_product(matmul(a, b), a, b)
    a_swapped = np.ascontiguousarray(a.swapaxes(-1, 0)).swapaxes(-1, 0)  # same values, other strides
    assert_product(matmul(a_swapped, b), a, b)


@pytest.mark.parametrize("a_shape, b_shape", [((0, 3), (3, 4)), ((2, 3), (3, 0)), ((2, 0), (0, 4)), ((5, 2, 0), (0, 3))])
def test_nothing_to_do(way, a_shape, b_shape):
    a, b = np.ones(a_shape, np.float32), np.ones(b_shape, np.float32)
    for multiply in (matmul, linear):
        c = multiply(a, b)
        assert c.shape == (*a_shape[:-1], b_shape[-1]) and c.dtype == np.float32
        assert (c == 0).all()


def test_a_sum_over_nothing_is_the_bias(way):
    bias = np.arange(4, dtype=np.float32)
    assert (linear(np.ones((2, 0), np.float32), np.ones((0, 4), np.float32), bias) == [bias, bias]).all()


@pytest.mark.parametrize("layout", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("M, K, N", [(13, 7, 33), (5, 801, 65), (29, 12, 530)])
def test_nan_and_infinity_stay_in_their_row_and_column(rng, M, K, N, layout):
    """Tails are computed with padding: what is not a number must not leak out of it, nor into it."""
    a, b = matrix(rng, M, K, layout[0] == "T"), matrix(rng, K, N, layout[1] == "T")
    clean = matmul(a, b)
    for value in (np.nan, np.inf):
        a_bad, b_bad = a.copy("K"), b.copy("K")
        a_bad[M - 1, K - 1] = value
        b_bad[K - 1, N - 1] = value
        in_row, in_column = matmul(a_bad, b), matmul(a, b_bad)
        assert not np.isfinite(in_row[M - 1]).any() and (in_row[:-1] == clean[:-1]).all()
        assert not np.isfinite(in_column[:, N - 1]).any() and (in_column[:, :-1] == clean[:, :-1]).all()


def test_inputs_are_left_alone(rng, way):
    a, b, bias = matrix(rng, 13, 7), matrix(rng, 7, 33), matrix(rng, 1, 33)[0]
    before = a.copy(), b.copy(), bias.copy()
    for x in (a, b, bias):
        x.flags.writeable = False
    linear(a, b, bias)
    assert all((x == y).all() for x, y in zip((a, b, bias), before, strict=True))


@pytest.mark.parametrize(
    "a_shape, b_shape", [((13, 33), (33, 65)), ((65, 801), (801, 7)), ((5, 7), (7, 530)), ((3, 13, 7), (3, 7, 33)), ((1, 7), (7, 201))]
)
def test_the_same_bits_on_any_number_of_threads(rng, way, monkeypatch, a_shape, b_shape):
    monkeypatch.setattr(policy, "GRAIN", 1)  # share even the smallest work
    a, b = rng.standard_normal(a_shape).astype(np.float32), rng.standard_normal(b_shape).astype(np.float32)
    bias = rng.standard_normal(b_shape[-1]).astype(np.float32)
    bits = set()
    for threads in (1, 2, 3, 5, 8):
        with settings.use_threads(threads):
            results = [matmul(a, b), matmul(a, np.asfortranarray(b))]
            results += [linear(a, b, bias)] if b.ndim == 2 else []
            bits.add(b"".join(c.tobytes() for c in results))
    assert len(bits) == 1


def test_axes_that_do_not_fit_raise_with_their_shapes(way):
    a, b = np.ones((2, 3), np.float32), np.ones((4, 5), np.float32)
    for multiply in (matmul, linear):
        with pytest.raises(ValueError, match=r"equally long.*Received: a \(2, 3\), b \(4, 5\)"):
            multiply(a, b)
    with pytest.raises(ValueError, match=r"bias.*Received: \(3,\)"):
        linear(np.ones((2, 4), np.float32), b, np.ones(3, np.float32))


def test_a_cpu_without_the_instruction_says_so_once(rng, monkeypatch):
    monkeypatch.setattr(bfloat16, "IN_HARDWARE", False)
    bfloat16._say_that_it_is_slow.cache_clear()
    a = matrix(rng, 2, 3)
    with pytest.warns(RuntimeWarning, match="matmul_precision.*avx512_bf16.*float32") as caught:
        linear(a, a.T)
        linear(a, a.T)
    assert len(caught) == 1


@pytest.mark.slow
def test_the_machine_code_of_a_cpu_without_the_instruction(tmp_path):
    script = """
import numpy as np, warnings
from minigrad import kernels, settings
from minigrad.kernels import bfloat16, reference
warnings.simplefilter("ignore")
print(bfloat16.IN_HARDWARE)
rng = np.random.default_rng(0)
for M, K, N in [(1, 1, 1), (5, 7, 3), (13, 33, 65), (29, 401, 17)]:
    a, b = rng.standard_normal((M, K)).astype(np.float32), rng.standard_normal((N, K)).astype(np.float32).T
    c = reference.bfloat16(a).astype(np.float64) @ reference.bfloat16(b)
    with settings.matmul_precision("bfloat16"):
        assert np.abs(kernels.linear(a, b) - c).max() < 50 * K**0.5 * np.finfo(np.float32).eps, (M, K, N)
"""
    environment = {**os.environ, "NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+sse4.2"}
    environment |= {"MINIGRAD_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False"]


# ---- the switch


def fine(rows, columns):
    """Numbers that a bfloat16 does not hold: rounding them shows."""
    return np.full((rows, columns), 1 + 2.0**-10, np.float32)


def is_rounded(product, K):
    return bool((np.asarray(product) == K).all())


def test_it_takes_effect_at_once_in_a_block_and_as_a_decorator():
    x = fine(3, 4)
    rounds = lambda: is_rounded(mg.matmul(x, x.T), 4)  # noqa: E731
    assert mg.matmul_precision() == "float32" and not rounds()
    with mg.matmul_precision("bfloat16"):
        assert mg.matmul_precision() == "bfloat16" and rounds()
        with mg.matmul_precision("float32"):
            assert not rounds()
        assert rounds()
    assert not rounds()
    try:
        mg.matmul_precision("bfloat16")
        assert rounds()
        seen = []
        thread = threading.Thread(target=lambda: seen.append(rounds()))
        thread.start()
        thread.join()
        assert seen == [False], "each thread has its own"
    finally:
        mg.matmul_precision("float32")
    assert not rounds()
    decorated = mg.matmul_precision("bfloat16")(rounds)
    assert not rounds() and decorated() and not rounds()


@pytest.mark.parametrize("name", ["bf16", "float64", "float16", "", 16])
def test_other_names_raise(name):
    with pytest.raises(ValueError, match=r'matmul_precision: .*"float32" or "bfloat16".*Received: '):
        mg.matmul_precision(name)


def test_it_reaches_every_product_of_the_door():
    x, w = fine(3, 4), fine(4, 5)
    calls = {"matmul": (x, w), "linear": (x, w), "linear_gelu": (x, w, None, "tanh")}
    assert calls.keys() == set(kernels._MODULES["gemm"].split())
    for name, arguments in calls.items():
        door = getattr(kernels, name)
        plain, given = door(*arguments), door(*arguments, precision="bfloat16")
        with mg.matmul_precision("bfloat16"):
            switched, kept = door(*arguments), door(*arguments, precision="float32")
        assert (np.asarray(switched) == given).all() and (np.asarray(kept) == plain).all()
        assert (np.asarray(plain) != given).any(), name


@pytest.mark.parametrize("which", ["numba", "reference"])
def test_it_reaches_products_of_float32_and_nothing_else(which):
    x, w = fine(3, 4), fine(4, 5)
    with mg.use_kernels(which), mg.matmul_precision("bfloat16"):
        assert is_rounded(kernels.matmul(x, w), 4) and is_rounded(kernels.linear(x, w), 4)
        assert is_rounded(mg.linear(x, w), 4) and is_rounded(mg.matmul(x, w), 4) and is_rounded(mg.einsum("ij,jk->ki", x, w), 4)
        assert is_rounded(mg.linear(x, w, np.full(5, 2.0**-10, np.float32)) - np.float32(2.0**-10), 4), "the bias is not rounded"
        for wide in (x.astype(np.float64) @ w, mg.matmul(x.astype(np.float64), w.astype(np.float64)), mg.linear(x.astype(np.float64), w)):
            assert wide.dtype == np.float64 and np.allclose(wide, 4 * (1 + 2.0**-10) ** 2, rtol=1e-12)
        swapped = x.astype(x.dtype.newbyteorder())
        assert is_rounded(kernels.matmul(swapped, w), 4) and is_rounded(kernels.linear(swapped, w.astype(swapped.dtype)), 4)
        whole = np.full((2, 2), 257)
        assert (mg.matmul(whole, whole) == 2 * 257**2).all()
        assert not is_rounded(mg.sum(x * x, 1), 4), "a product of elements is no matrix product"


def gradients(which, precision="bfloat16"):
    """A value, its gradients, and gradients of a function of those, of two matrices through both ops."""
    rng = np.random.default_rng(7)
    x, w, b = (rng.standard_normal(shape).astype(np.float32) for shape in [(2, 7, 5), (5, 6), (6,)])
    function = lambda *t: (mg.matmul(mg.linear(*t), t[1].mT) ** 2).sum()  # noqa: E731
    with mg.use_kernels(which), mg.matmul_precision(precision):
        leaves = [mg.tensor(each, requires_grad=True) for each in (x, w, b)]
        out = mg.matmul(mg.linear(*leaves), leaves[1].mT)  # (2,7,5)(5,6) -> (2,7,6); (2,7,6)(6,5) -> (2,7,5)
        function(*leaves).backward()
        _, second = mg.hvp(function, leaves, [mg.ones_like(leaf) for leaf in leaves])
        first = [leaf.grad for leaf in leaves]
    return [np.asarray(t.numpy()) for t in (out, *first, *second)]


def test_gradients_of_first_and_second_order_are_the_references():
    """The same rounding through every rule; only sums, and what is rounded after them, may differ."""
    compiled, meaning, exact = gradients("numba"), gradients("reference"), gradients("reference", "float32")
    for found, expected, full in zip(compiled, meaning, exact, strict=True):
        scale = np.abs(expected).max()
        assert found.dtype == np.float32
        # a sum that falls on the other side of a tie of the next product's rounding moves that operand by 2**-8
        assert np.abs(found - expected).max() <= 2.0**-9 * scale
        assert 2.0**-14 * scale < np.abs(found - full).max() < 2.0**-5 * scale, "rounded, and close"


def test_the_inside_of_attention_is_untouched():
    """Fused or by its parts, forward and backward: float32, bit for bit as without the switch."""
    rng = np.random.default_rng(9)
    q, k, v = (rng.standard_normal((2, 3, n, d)).astype(np.float32) for n, d in ((4, 5), (6, 5), (6, 7)))

    def everything(create_graph):
        leaves = [mg.tensor(x, requires_grad=True) for x in (q, k, v)]
        outputs = mg.scaled_dot_product_attention(*leaves, is_causal=True), mg.attention_weights(*leaves[:2])
        mg.add((outputs[0] ** 2).sum(), (outputs[1] ** 2).sum()).backward(create_graph=create_graph)
        return [t.numpy().tobytes() for t in (*outputs, *(leaf.grad for leaf in leaves))]

    for create_graph in (False, True):
        plain = everything(create_graph)
        with mg.matmul_precision("bfloat16"):
            assert everything(create_graph) == plain


def test_float64_gradients_are_untouched():
    rng = np.random.default_rng(8)
    x, w = rng.standard_normal((3, 4)), rng.standard_normal((4, 5))

    def gradient():
        leaves = mg.tensor(x, requires_grad=True), mg.tensor(w, requires_grad=True)
        (mg.linear(*leaves) ** 2).sum().backward()
        return [leaf.grad.numpy().tobytes() for leaf in leaves]

    plain = gradient()
    with mg.matmul_precision("bfloat16"):
        assert gradient() == plain


def test_gradcheck_checks_without_it_and_says_so():
    x, w = fine(3, 4), fine(4, 2)
    seen = []

    def f(x, w):
        seen.append(mg.matmul_precision())
        return mg.linear(x, w.astype("float32").astype("float64"))

    with mg.matmul_precision("bfloat16"):
        report = mg.gradcheck(lambda x, w: (f(x, w) ** 2).sum(), x, w, raise_exception=False)
        assert mg.matmul_precision() == "bfloat16"
        assert mg.gradcheck(mg.linear, x, w).passed and mg.gradgradcheck(mg.linear, x, w).passed
    assert set(seen) == {"float32"}
    assert 'without matmul_precision("bfloat16")' in repr(report)
    assert "matmul_precision" not in repr(mg.gradcheck(mg.linear, x, w))


def test_leaving_a_switch_lying_about_changes_nothing():
    """One that is made and thrown away is a setter; the block of another still ends where it began."""
    with mg.matmul_precision("bfloat16"):
        mg.matmul_precision("float32")
        gc.collect()
        assert mg.matmul_precision() == "float32"
    assert mg.matmul_precision() == "float32"


# ---- oracles


@pytest.mark.oracle
def test_rounding_is_pytorchs(way):
    torch = pytest.importorskip("torch")
    x = patterns()
    x = x[(np.abs(x) >= np.finfo(np.float32).tiny) | ~np.isfinite(x) | (x == 0)].reshape(-1, 1)  # PyTorch keeps denormals
    expected = torch.from_numpy(x).bfloat16().float().numpy()
    assert np.array_equal(reference.bfloat16(x), expected, equal_nan=True)
    assert np.array_equal(linear(x, np.ones((1, 1), np.float32)), expected, equal_nan=True)

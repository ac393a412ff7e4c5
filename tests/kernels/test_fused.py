"""Compiled kernels against the reference: values in both float types, strides, odd shapes, special rows, threads.

Matrix products and attention have files of their own.
"""

import inspect
import math
import tracemalloc

import numpy as np
import pytest

numba = pytest.importorskip("numba")
if numba.config.DISABLE_JIT:
    pytest.skip("Numba compiles nothing here", allow_module_level=True)

from minigrad import kernels, settings  # noqa: E402
from minigrad.kernels import compile as policy  # noqa: E402
from minigrad.kernels import reference  # noqa: E402
from tests.kernels.process import SMALLER_CPUS, process  # noqa: E402

FLOATS = [np.float32, np.float64]

# Error allowed, relative to the largest number in the sum: four roundings in float32, 1e-12 in float64.
TOLERANCE = {np.float32: 4 * 2.0**-23, np.float64: 1e-12}


def magnitude(name, arguments):
    """How large the terms are whose sum may be small: where they cancel, no digits of the sum are left."""
    if name in ("layer_norm_grad", "batch_norm_grad"):
        g, _, gamma, _, rstd, *_ = arguments
        return np.abs(g).max() * (1 if gamma is None else np.abs(gamma).max()) * rstd.max()
    if name == "cross_entropy" and arguments[4:]:
        return 2 * np.abs(arguments[4]).max(initial=0)
    return 1.0 if name.startswith(("gelu", "silu")) else 0.0


def _rows(rng, dtype, R, N):
    return rng.normal(size=(R, N)).astype(dtype)


def _softmax(rng, dtype, R, N):
    return (_rows(rng, dtype, R, N),)


def _masked(rng, dtype, R, N):
    where = rng.random((R, N)) < 0.6
    where[: R // 5] = False
    return _rows(rng, dtype, R, N), where


def _gradient_of_softmax(rng, dtype, R, N):
    return _rows(rng, dtype, R, N), reference.softmax(_rows(rng, dtype, R, N))


def _gradient_of_log_softmax(rng, dtype, R, N):
    return _rows(rng, dtype, R, N), reference.log_softmax(_rows(rng, dtype, R, N))


def _norm(rng, dtype, R, N):
    return 3 + _rows(rng, dtype, R, N), *_rows(rng, dtype, 2, N), 1e-5


def _plain_norm(rng, dtype, R, N):
    return _rows(rng, dtype, R, N), None, None, 1e-3


def _gradient_of_norm(rng, dtype, R, N):
    x, gamma = _rows(rng, dtype, R, N), _rows(rng, dtype, 1, N)[0]
    _, mean, rstd = reference.layer_norm(x, gamma, None, 1e-5)
    return _rows(rng, dtype, R, N), x, gamma, mean, rstd


def _gradient_of_plain_norm(rng, dtype, R, N):
    g, x, _, mean, rstd = _gradient_of_norm(rng, dtype, R, N)
    return g, x, None, mean, rstd


def _gradient_of_batch_norm(rng, dtype, R, N):
    x, gamma = 3 + _rows(rng, dtype, R, N), _rows(rng, dtype, 1, N)[0]
    return _rows(rng, dtype, R, N), x, gamma, *reference.batch_norm(x, gamma, None, 1e-2)[1:3]


def _rms(rng, dtype, R, N):
    return 3 + _rows(rng, dtype, R, N), _rows(rng, dtype, 1, N)[0], None, 1e-5, False


def _gradient_of_rms(rng, dtype, R, N):
    x, gamma, _, eps, centred = _rms(rng, dtype, R, N)
    return _rows(rng, dtype, R, N), x, gamma, *reference.layer_norm(x, gamma, None, eps, centred)[1:], centred


def _loss(rng, dtype, R, N):
    return 3 * _rows(rng, dtype, R, N), rng.integers(0, N, R)


def _gradient_of_loss(rng, dtype, R, N):
    return *_loss(rng, dtype, R, N), None, 0.0, rng.normal(size=R).astype(dtype)


def _weighed_loss(rng, dtype, R, N):
    """Some rows count as nothing."""
    targets = rng.integers(0, N, R)
    targets[::3] = -1
    return 3 * _rows(rng, dtype, R, N), targets, rng.uniform(0.5, 2, N).astype(dtype), 0.2


def _gradient_of_weighed_loss(rng, dtype, R, N):
    return *_weighed_loss(rng, dtype, R, N), rng.normal(size=R).astype(dtype)


def _embedding(rng, dtype, R, N):
    return _rows(rng, dtype, R, N), rng.integers(0, 9, R), 9


# name of the case -> (kernel, its arguments for R rows of N numbers)
CASES = {
    "softmax": ("softmax", _softmax),
    "softmax-where": ("softmax", _masked),
    "softmax_grad": ("softmax_grad", _gradient_of_softmax),
    "log_softmax": ("log_softmax", _softmax),
    "log_softmax_grad": ("log_softmax_grad", _gradient_of_log_softmax),
    "layer_norm": ("layer_norm", _norm),
    "layer_norm-plain": ("layer_norm", _plain_norm),
    "layer_norm_grad": ("layer_norm_grad", _gradient_of_norm),
    "layer_norm_grad-plain": ("layer_norm_grad", _gradient_of_plain_norm),
    "layer_norm-rms": ("layer_norm", _rms),
    "layer_norm_grad-rms": ("layer_norm_grad", _gradient_of_rms),
    "batch_norm": ("batch_norm", lambda *a: (*_norm(*a)[:3], 1e-2)),
    "batch_norm-plain": ("batch_norm", lambda *a: (*_plain_norm(*a)[:3], 1e-2)),
    "batch_norm_grad": ("batch_norm_grad", _gradient_of_batch_norm),
    "scale_columns": ("scale_columns", lambda *a: (3 + _rows(*a), *_rows(*a[:2], 3, a[3]))),
    "scaled_columns_sums": ("scaled_columns_sums", lambda *a: (_rows(*a), 3 + _rows(*a), *_rows(*a[:2], 1, a[3]))),
    "scale_columns-plain": ("scale_columns", lambda *a: (3 + _rows(*a), *_rows(*a[:2], 2, a[3]), None)),
    "sum_rows": ("sum_rows", lambda *a: (_rows(*a),)),
    "cross_entropy": ("cross_entropy", _loss),
    "cross_entropy-gradient": ("cross_entropy", _gradient_of_loss),
    "cross_entropy-gradient-one": ("cross_entropy", lambda *a: (*_loss(*a), None, 0.0, np.full(1, 0.1, a[1]))),
    "cross_entropy-weight": ("cross_entropy", _weighed_loss),
    "cross_entropy-smoothing": ("cross_entropy", lambda *a: (*_loss(*a), None, 0.1)),
    "cross_entropy-gradient-weight": ("cross_entropy", _gradient_of_weighed_loss),
    "cross_entropy-gradient-smoothing": ("cross_entropy", lambda *a: (*(loss := _gradient_of_loss(*a))[:3], 0.1, loss[4])),
    "gelu": ("gelu", lambda *a: (2 * _rows(*a), "none")),
    "gelu-tanh": ("gelu", lambda *a: (2 * _rows(*a), "tanh")),
    "gelu_gate": ("gelu_gate", lambda *a: (_rows(*a), 2 * _rows(*a), "none")),
    "gelu_gate-tanh": ("gelu_gate", lambda *a: (_rows(*a), 2 * _rows(*a), "tanh")),
    "gelu_gate_grad": ("gelu_gate_grad", lambda *a: (_rows(*a), _rows(*a), 2 * _rows(*a), "none")),
    "gelu_gate_grad-tanh": ("gelu_gate_grad", lambda *a: (_rows(*a), _rows(*a), 2 * _rows(*a), "tanh")),
    "silu_gate": ("silu_gate", lambda *a: (_rows(*a), 2 * _rows(*a))),
    "silu_gate_grad": ("silu_gate_grad", lambda *a: (_rows(*a), _rows(*a), 2 * _rows(*a))),
    "silu": ("silu", lambda *a: (2 * _rows(*a),)),
    "sigmoid": ("sigmoid", lambda *a: (4 * _rows(*a),)),
    "sigmoid_grad": ("sigmoid_grad", lambda *a: (_rows(*a), reference.sigmoid(_rows(*a)))),
    "where_positive": ("where_positive", lambda *a: (_rows(*a), _rows(*a), 0.25)),
    "where_positive-0": ("where_positive", lambda *a: (_rows(*a), _rows(*a), 0)),
    "embedding_grad": ("embedding_grad", _embedding),
    "rotary": ("rotary", lambda *a: (_rows(*a[:3], 2 * a[3]), _rows(*a), _rows(*a))),
    "rotary-one-angle": ("rotary", lambda *a: (_rows(*a[:3], 2 * a[3]), _rows(*a[:2], 1, a[3]), _rows(*a))),
    "dropout": ("dropout", lambda *a: (_rows(*a), 0.3, 5, 1000)),
}
each_case = pytest.mark.parametrize("case", CASES)
each_float = pytest.mark.parametrize("dtype", FLOATS)


@pytest.fixture(autouse=True)
def compiled_kernels():
    """Whatever the environment says: the compiled ones are the subject here."""
    with settings.use_kernels("numba"):
        yield


def compiled(name, *arguments, threads=1):
    """The result of the compiled kernel, as a list of arrays; that it is the compiled one is made sure."""
    with settings.use_threads(threads):
        function = kernels.pick(name)
        assert function is not getattr(reference, name)
        return _listed(function(*arguments))


def expected(name, *arguments):
    return _listed(getattr(reference, name)(*arguments))


def _listed(result):
    return [part for part in result if part is not None] if isinstance(result, tuple) else [result]


def _double(argument):
    return argument.astype(np.float64) if isinstance(argument, np.ndarray) and argument.dtype.kind == "f" else argument


def close(got, want, tolerance, scale=0.0):
    assert got.shape == want.shape
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    finite = np.isfinite(want)
    scale = np.abs(want[finite]).max(initial=scale)
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)


def same_bits(left, right):
    for a, b in zip(left, right, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert a.tobytes() == b.tobytes()


# ---- all of them


def test_every_kernel_has_the_signature_of_its_reference():
    for name in [*STEPS, "grad_norm", "scaled", *{name for name, _ in CASES.values()}]:
        want = list(inspect.signature(getattr(reference, name)).parameters)
        assert list(inspect.signature(kernels.pick(name)).parameters) == want
        assert list(inspect.signature(getattr(kernels, name)).parameters) == want


@each_float
@each_case
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1, 7), (37, 65), (300, 31)])
def test_equals_the_reference_in_float64(rng, case, dtype, shape):
    name, make = CASES[case]
    arguments = make(rng, dtype, *shape)
    got = compiled(name, *arguments)
    for a, b in zip(got, expected(name, *map(_double, arguments)), strict=True):
        close(a, b, TOLERANCE[dtype], magnitude(name, arguments))


@each_float
@each_case
def test_results_are_new_contiguous_and_of_the_input_dtype(rng, case, dtype):
    name, make = CASES[case]
    arguments = make(rng, dtype, 6, 5)
    before = [np.copy(a) for a in arguments if isinstance(a, np.ndarray)]
    results = compiled(name, *arguments)
    for result, want in zip(results, expected(name, *arguments), strict=True):
        assert result.dtype == dtype and result.shape == want.shape and result.flags.c_contiguous
        assert not any(np.may_share_memory(result, a) for a in arguments if isinstance(a, np.ndarray))
    same_bits([a for a in arguments if isinstance(a, np.ndarray)], before)


@each_case
@pytest.mark.parametrize("rows", [30, 1])
def test_inputs_that_lie_otherwise_give_the_same_bits(rng, case, rows):
    name, make = CASES[case]
    arguments = make(rng, np.float32, rows, 14)
    for lie in (_every_other, _records):
        spread = [lie(a) if isinstance(a, np.ndarray) else a for a in arguments]
        assert any(isinstance(a, np.ndarray) and a.strides != b.strides for a, b in zip(spread, arguments))
        same_bits(compiled(name, *spread), compiled(name, *arguments))


def _every_other(a):
    """The same array in memory that has a gap after every element and runs backwards."""
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    view = wide[..., ::-2]
    view[...] = a
    return view


def _records(a):
    """The same array as a field of records, whose rows are no whole numbers apart."""
    records = np.zeros(a.shape[:-1], [("flag", np.int8), ("values", a.dtype, a.shape[-1:])])
    records["values"] = a
    return records["values"]


@each_case
def test_leading_axes_are_rows(rng, case):
    name, make = CASES[case]
    if name.startswith("cross_entropy"):
        pytest.skip("takes one leading axis")
    arguments = make(rng, np.float32, 30, 14)

    def folded(a):
        return a.reshape(2, 3, 5, *a.shape[1:]) if isinstance(a, np.ndarray) and a.shape[:1] == (30,) else a

    for a, b in zip(compiled(name, *map(folded, arguments)), compiled(name, *arguments), strict=True):
        assert a.ravel().tobytes() == b.ravel().tobytes()


@each_case
@pytest.mark.parametrize("shape", [(0, 5), (4, 0), (0, 0)])
def test_nothing_gives_nothing(rng, case, shape):
    name, make = CASES[case]
    if "cross_entropy" in name and shape != (0, 5):
        pytest.skip("a target is one of V > 0 classes")
    arguments = make(rng, np.float32, *shape)
    for a, b in zip(compiled(name, *arguments), expected(name, *arguments), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-7)
        assert a.dtype == b.dtype


@each_float
@each_case
def test_two_threads_give_the_bits_of_one(rng, case, dtype, monkeypatch):
    name, make = CASES[case]
    arguments = make(rng, dtype, 331, 47)
    one = compiled(name, *arguments)
    monkeypatch.setattr(policy, "GRAIN", 1)
    used, launcher = [], policy.launcher
    monkeypatch.setattr(policy, "launcher", lambda nt: (used.append(nt), launcher(nt))[1])
    same_bits(compiled(name, *arguments, threads=2), one)
    assert max(used) == 2
    same_bits(compiled(name, *arguments, threads=3), one)


SMALLER = """
import numpy as np
from minigrad import kernels
from minigrad.kernels import compile, reference

assert compile.cpu()[1] == "{cpu}"
rng = np.random.default_rng(0)
for dtype in (np.float32, np.float64):
    allowed = dict(zip(("rtol", "atol"), [8 * np.finfo(dtype).eps] * 2))
    for R, N in [(1, 1), (19, 7), (5, 65), (3, 2500)]:
        x, g = (3 * rng.standard_normal((2, R, N))).astype(dtype)
        x[0, N // 2] = -np.inf if N > 1 else 0
        x[-1, -1] = np.nan if R == 19 else 2
        y, targets, each = reference.softmax(g), rng.integers(0, N, R), g[:, 0]
        for name, *arguments in [
            ("softmax", x), ("softmax", x, x > 0), ("log_softmax", x), ("softmax_grad", g, y), ("log_softmax_grad", g, np.log(y)),
            ("cross_entropy", x, targets, abs(g[0]), 0.1, each), ("cross_entropy", g, targets, None, 0.0, each),
        ]:
            assert kernels.pick(name, x) is not getattr(reference, name)
            got = getattr(kernels, name)(*arguments)
            with np.errstate(invalid="ignore"):
                want = getattr(reference, name)(*(a.astype(float) if getattr(a, "dtype", 0) == dtype else a for a in arguments))
            for a, b in zip(got, want) if type(got) is tuple else [(got, want)]:
                size = np.nan_to_num(b, posinf=0, neginf=0)
                np.testing.assert_allclose(a, b, allowed["rtol"], allowed["atol"] * max(1, abs(size).max()), err_msg=name)
"""


@pytest.mark.slow
@pytest.mark.parametrize("cpu", SMALLER_CPUS)
def test_rows_on_smaller_cpus(cpu, tmp_path):
    """Other vectors, other tails, and no fused multiplication and addition where the CPU has none."""
    name, features = SMALLER_CPUS[cpu]
    process(SMALLER.replace("{cpu}", name), MINIGRAD_CACHE_DIR=tmp_path, NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES=features)


# ---- rows of the unusual kind


@each_float
def test_rows_of_several_blocks(rng, dtype):
    """The largest element may come late, after blocks of nothing, and NaN anywhere."""
    x = rng.normal(size=(7, 3000)).astype(dtype)
    x[1, 2500], x[2, 1100] = 40, np.nan
    x[3, :1500], x[4], x[5, 2900] = -np.inf, -np.inf, np.inf
    x[6] += np.linspace(0, 500, 3000).astype(dtype)
    targets = np.full(7, 2999)
    for name, arguments in [("softmax", ()), ("log_softmax", ()), ("cross_entropy", (targets,))]:
        with np.errstate(invalid="ignore"):
            wanted = expected(name, x.astype(np.float64), *arguments)
        for got, want in zip(compiled(name, x, *arguments), wanted, strict=True):
            for i in range(7):
                close(got[i], want[i], TOLERANCE[dtype])


@each_float
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_infinities_and_nan_in_rows(dtype, name):
    inf, nan = np.inf, np.nan
    x = np.array([[-inf] * 4, [0, -inf, 1, -inf], [0, nan, 1, 2], [inf, 0, 1, 2], [-inf, -inf, -inf, 3]] * 9, dtype)
    (got,) = compiled(name, x)
    close(got, expected(name, x.astype(np.float64))[0], TOLERANCE[dtype])
    if name == "softmax":
        assert np.isnan(got[0]).all() and got[1, 1] == 0


@each_float
def test_what_softmax_masks_does_not_count(rng, dtype):
    x = rng.normal(size=(6, 40)).astype(dtype)
    where = rng.random((6, 40)) < 0.5
    where[2] = False
    (want,) = compiled("softmax", x, where)
    x[~where] = np.resize([np.nan, np.inf, -np.inf, 1e30], (~where).sum())
    (got,) = compiled("softmax", x, where)
    same_bits([got], [want])
    assert not got[~where].any() and not got[2].any()
    x[3] = -np.inf  # everything that may be attended to is -inf: nothing to attend to
    assert not compiled("softmax", x, where)[0][3].any()


def test_the_mask_of_softmax_broadcasts(rng):
    x = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    for where in [np.tri(4, 5, dtype=bool), rng.random((2, 1, 4, 5)) < 0.5, rng.random((2, 1, 1, 5)) < 0.5]:
        close(compiled("softmax", x, where)[0], reference.softmax(x, where), TOLERANCE[np.float32])


@each_float
def test_softmax_of_far_apart_numbers(dtype):
    x = np.array([[0, -50, -100, -800, -1e30], [1e30, 0, -1e30, 1e30, 5]], dtype)
    for name in ["softmax", "log_softmax"]:
        close(compiled(name, x)[0], expected(name, x.astype(np.float64))[0], TOLERANCE[dtype])


@each_float
def test_log_softmax_keeps_small_differences_of_large_numbers(dtype):
    x = np.array([[30000.0, 30000.5, 30001.0]], dtype)
    np.testing.assert_allclose(compiled("log_softmax", x)[0], expected("log_softmax", x - dtype(30000.0))[0], rtol=3e-7)


@each_float
def test_losses_of_sure_and_impossible_targets(dtype):
    logits = np.array([[50.0, 0, 0], [0, -np.inf, 0], [np.nan, 0, 0], [0, 0, 0]], dtype)
    losses, _ = compiled("cross_entropy", logits, np.array([0, 1, 1, 2]))
    assert losses[0] == pytest.approx(2 * math.exp(-50), abs=1e-20)
    certain, _ = compiled("cross_entropy", np.array([[500.0, 0], [0, 500]], dtype), np.array([0, 1]))
    np.testing.assert_array_equal(certain, 0)
    assert not np.signbit(certain).any()
    assert losses[1] == np.inf and np.isnan(losses[2]) and losses[3] == pytest.approx(math.log(3), rel=1e-6)


@each_float
def test_losses_of_targets_far_from_the_largest(dtype):
    """The exponentials are those less the target's logit, as long as their sum is a number: here below, at and beyond that."""
    logits = np.linspace(0, 1, 11) * np.array([[0], [19], [21], [87], [90], [700], [800], [1e4]])  # (8, 11)
    logits[1::2, 3] = -np.inf
    for column in (0, 3, 10):
        targets, g = np.full(8, column), np.full(1, 0.5, dtype)
        losses, lse, d = compiled("cross_entropy", logits.astype(dtype), targets, None, 0.0, g)
        wanted = expected("cross_entropy", _double(logits.astype(dtype)), targets, None, 0.0, _double(g))
        for got, want in ((losses, wanted[0]), (lse, wanted[1])):
            np.testing.assert_allclose(got, want, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
        close(d, wanted[2], TOLERANCE[dtype] * 8)  # exponents of 20 are known to so many digits less


@pytest.mark.parametrize("N, V", [(48, 65), (6, 50257)])
def test_cross_entropy_makes_no_second_copy_of_the_logits(rng, N, V):
    logits, targets = _loss(rng, np.float32, N, V)
    more = None, 0.0, np.full(1, 1 / N, np.float32)
    gradient = compiled("cross_entropy", logits, targets, *more)[2]
    close(gradient, expected("cross_entropy", *map(_double, (logits, targets, *more)))[2], 1e-6)
    tracemalloc.start()
    try:
        compiled("cross_entropy", logits, targets)
        assert tracemalloc.get_traced_memory()[1] < max(logits.nbytes / 4, 10000)
        tracemalloc.reset_peak()
        compiled("cross_entropy", logits, targets, *more)
        assert tracemalloc.get_traced_memory()[1] < 1.2 * logits.nbytes + 10000
    finally:
        tracemalloc.stop()


@each_float
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_at_the_ends_of_the_line(dtype, approximate):
    x = np.array([np.inf, -np.inf, 1e30, -1e30, np.nan, 0.0, 200.0, -200.0], dtype)
    y, derivative = compiled("gelu", x, approximate)
    np.testing.assert_array_equal(y, np.array([np.inf, 0, 1e30, 0, np.nan, 0, 200, 0], dtype))
    np.testing.assert_array_equal(derivative, [1, 0, 1, 0, np.nan, 0.5, 1, 0])


@each_float
def test_silu_at_the_ends_of_the_line(dtype):
    x = np.array([np.inf, -np.inf, 1e30, -1e30, np.nan, 0.0, 900.0, -900.0], dtype)
    y, derivative = compiled("silu", x)
    np.testing.assert_array_equal(y, np.array([np.inf, 0, 1e30, 0, np.nan, 0, 900, 0], dtype))
    np.testing.assert_array_equal(derivative, [1, 0, 1, 0, np.nan, 0.5, 1, 0])


@each_float
def test_gelu_keeps_the_digits_of_its_tail(dtype):
    x = np.linspace(-12, 0, 97)[:-1].astype(dtype)
    below = [math.erfc(-float(v) / math.sqrt(2)) / 2 for v in x]
    y, _ = compiled("gelu", x, "none")
    np.testing.assert_allclose(y, x * np.array(below), rtol=1e-5 if dtype == np.float32 else 1e-13)


@each_float
def test_zero_dimensional_arrays(dtype):
    for name, arguments in [("gelu", ("none",)), ("dropout", (0.0, 1, 2))]:
        x = np.array(0.7, dtype)
        for a, b in zip(compiled(name, x, *arguments), expected(name, x, *arguments), strict=True):
            assert a.shape == () and a.dtype == dtype
            assert a == pytest.approx(float(b), rel=1e-6)


@each_float
def test_sums_over_many_rows_keep_their_digits(dtype):
    g = np.full((30011, 3), 0.1, dtype)
    exact = 30011 * np.float64(dtype(0.1))
    np.testing.assert_allclose(compiled("sum_rows", g)[0], exact, rtol=1e-6)
    x = np.tile(np.array([1.0, -1.0, 0.0], dtype), (30011, 1))
    mean, rstd = np.full(30011, -1, dtype), np.ones(30011, dtype)  # the mean less the first element, which is 1
    _, dgamma, dbeta = compiled("layer_norm_grad", g, x, None, mean, rstd)
    np.testing.assert_allclose(dbeta, exact, rtol=1e-6)
    np.testing.assert_allclose(dgamma, [exact, -exact, 0], rtol=1e-6)


@each_float
@pytest.mark.parametrize("centred", [True, False])
def test_the_gradient_of_layer_norm_adds_to_what_has_arrived(rng, dtype, centred):
    g, x, gamma, mean, rstd = _gradient_of_norm(rng, dtype, 131, 37)
    before = _rows(rng, dtype, 131, 37)
    for function, name in ((compiled, "compiled"), (expected, "reference")):
        into, apart = before.copy(), np.asfortranarray(before)
        dx, *sums = function("layer_norm_grad", g, x, gamma, mean, rstd, centred)
        added, *again = function("layer_norm_grad", g, x, gamma, mean, rstd, centred, into)
        assert added is into, name
        same_bits([into], [before + dx])
        same_bits(again, sums)
        other = function("layer_norm_grad", g, x, gamma, mean, rstd, centred, apart)[0]  # in place, or not at all
        same_bits([other], [before + dx if other is apart else dx])
        assert other is apart or (apart == before).all()


@each_float
def test_layer_norm_keeps_the_digits_of_rows_far_from_zero(rng, dtype):
    """A mean near 1e4 is known to 1e-3 in float32: of rows that differ by less, nothing would be left but noise."""
    constant = np.full((3, 300), 1e4 / 3, dtype)
    assert not compiled("layer_norm", constant, None, None, 1e-5)[0].any()
    x = (1e4 + np.spacing(dtype(1e4)) * rng.integers(0, 9, (5, 300))).astype(dtype)
    g = rng.normal(size=x.shape).astype(dtype)
    shifted = x.astype(np.float64) - 1e4
    y, mean, rstd = compiled("layer_norm", x, None, None, 0.0)
    wanted = expected("layer_norm", shifted, None, None, 0.0)
    close(y, wanted[0], 1e-6)
    dx = compiled("layer_norm_grad", g, x, None, mean, rstd)[0]
    close(dx, expected("layer_norm_grad", g.astype(np.float64), shifted, None, *wanted[1:])[0], 2e-6)


def test_embedding_gradients_are_added_in_the_order_of_the_ids(rng):
    g, ids = rng.normal(size=(4000, 33)).astype(np.float32), rng.integers(0, 3, 4000)
    same_bits(compiled("embedding_grad", g, ids, 5), expected("embedding_grad", g, ids, 5))


# ---- dropout


@each_float
@pytest.mark.parametrize("offset", [0, 12345, 2**32 - 777, 2**40 + 5])
@pytest.mark.parametrize("seed", [0, 2**63 + 1])
def test_dropout_makes_the_choices_of_the_reference(rng, dtype, seed, offset):
    x = rng.normal(size=(41, 300)).astype(dtype)
    for rate in [0.0, 0.1, 0.5, 0.999, 1.0]:
        same_bits(compiled("dropout", x, rate, seed, offset), expected("dropout", x, rate, seed, offset))


@each_float
@pytest.mark.parametrize("which", ["numba", "reference"])
def test_a_slope_of_0_lets_nothing_through_and_nan_is_no_number_below_0(dtype, which):
    x = np.array([-np.inf, -2.0, -0.0, 0.0, 1e-30, np.inf, np.nan] * 9, dtype)
    g = np.array([np.inf, np.nan, -np.inf, 3.0, 4.0, -np.inf, 7.0] * 9, dtype)
    with settings.use_kernels(which):
        assert np.array_equal(kernels.where_positive(g, x, 0), np.array([0, 0, 0, 0, 4, -np.inf, 7] * 9, dtype))
        for got, want in [
            (kernels.where_positive(x, x, 0), [0, 0, 0, 0, 1e-30, np.inf, np.nan]),
            (kernels.where_positive(g, x, 0.5), [np.inf, np.nan, -np.inf, 1.5, 4, -np.inf, 7]),
        ]:
            assert np.array_equal(got, np.array(want * 9, dtype), equal_nan=True)


@each_float
def test_sigmoid_at_the_ends_of_the_line(dtype):
    x = np.array([-np.inf, -1e30, -800.0, -0.0, 0.0, 800.0, np.inf, np.nan] * 9, dtype)
    assert np.array_equal(compiled("sigmoid", x)[0], np.array([0, 0, 0, 0.5, 0.5, 1, 1, np.nan] * 9, dtype), equal_nan=True)


# ---- the optimiser

SHAPES = [(3, 4), (40000,), (5,), (0, 2), (), (130, 131)]


DECAY = [0.1, 0.0, 0.2, 0.0, 0.3, 0.1]

# step of an optimiser -> how many lists of states it has, of which of them it can do without, and its other arguments
STEPS = {
    "sgd": (1, [(), (0,)], [(1e-2, 0.9, 0.7, nesterov, DECAY) for nesterov in (False, True)]),
    "adam": (3, [(), (2,)], [(1e-2, 0.9, 0.99, 1e-8, 3, DECAY, decoupled) for decoupled in (False, True)]),
    "rmsprop": (3, [(), (1,), (2,), (1, 2)], [(1e-2, 0.9, 1e-3, 0.8, DECAY)]),
    "adagrad": (1, [()], [(1e-2, 1e-8, DECAY)]),
    "lion": (1, [()], [(1e-2, 0.9, 0.99, DECAY)]),
}
WAYS = [
    pytest.param(name, count, without, arguments, id=f"{name} {[i for i in range(count) if i not in without]} {arguments[-1]}")
    for name, (count, can_lack, ways) in STEPS.items() for without in can_lack for arguments in ways
]
each_way = pytest.mark.parametrize("name, count, without, arguments", WAYS)


def _optimiser_state(rng, dtype, count=2, without=()):
    """Parameters, gradients and states: a list each, or None. The first states are larger than the squares of the others, as RMSprop's."""
    params, grads, *states = ([np.asarray(rng.normal(size=s)).astype(dtype) for s in SHAPES] for _ in range(2 + count))
    return params, grads, *(None if i in without else [np.asarray(abs(a) + 25 * (i == 0)) for a in state] for i, state in enumerate(states))


@each_float
@each_way
def test_steps_equal_the_reference(rng, dtype, name, count, without, arguments):
    state = _optimiser_state(rng, dtype, count, without)
    oracle = [arrays and [a.astype(np.float64) for a in arrays] for arrays in state]
    before = [a.copy() for a in state[0]]
    for _ in range(3):
        kernels.pick(name, *state[0])(*state, *arguments, grad_scale=0.5)
        getattr(reference, name)(*oracle, *arguments, grad_scale=0.5)
    assert kernels.pick(name) is not getattr(reference, name)
    for got, want in zip(state, oracle):
        for a, b in zip(got or (), want or ()):
            close(a, b, 6 * TOLERANCE[dtype], 1.0)
    assert not any(np.array_equal(a, b) for a, b in zip(state[0], before) if a.size)


@each_way
def test_steps_take_gradients_of_any_layout_and_leave_them_alone(name, count, without, arguments):
    one = _optimiser_state(np.random.default_rng(5), np.float32, count, without)
    two = _optimiser_state(np.random.default_rng(5), np.float32, count, without)
    spread = [_every_other(g) if g.ndim else g for g in two[1]]
    kernels.pick(name)(*one, *arguments)
    kernels.pick(name)(two[0], spread, *two[2:], *arguments)
    for left, right in zip((one[0], *one[2:]), (two[0], *two[2:])):
        same_bits(left or (), right or ())
    same_bits(spread, two[1])


@each_way
def test_steps_take_lists_that_last(name, count, without, arguments):
    one = _optimiser_state(np.random.default_rng(5), np.float32, count, without)
    two = _optimiser_state(np.random.default_rng(5), np.float32, count, without)
    lasting = [arrays and kernels.Lasting(arrays) for arrays in two[2:]]
    for _ in range(2):
        kernels.pick(name)(*one, *arguments)
        kernels.pick(name)(*two[:2], *lasting, *arguments)
        two = [[a.copy() for a in two[0]], [a.copy() for a in two[1]], *two[2:]]  # others, elsewhere
    for left, right in zip((one[0], *one[2:]), (two[0], *two[2:])):
        same_bits(left or (), right or ())


@pytest.mark.parametrize("place", [0, 2, 3])
def test_a_step_refuses_what_it_cannot_change_in_place(rng, place):
    for wrong in (lambda a: np.zeros((4, 3), a.dtype).T, lambda a: np.zeros((3, 3), a.dtype), lambda a: np.zeros((3, 4), np.float64)):
        state = _optimiser_state(rng, np.float32)
        state[place][0] = wrong(state[place][0])
        before = [a.copy() for a in state[0]]
        with pytest.raises(ValueError, match="lists of arrays of equal shapes"):
            kernels._compiled("adam")(*state, None, *STEPS["adam"][2][0])
        same_bits(state[0], before)


@each_float
def test_lion_does_not_move_where_there_is_no_sign(dtype):
    for g, moved in [(0.0, 0.0), (-0.0, 0.0), (5.0, -1.0), (-np.inf, 1.0), (np.nan, np.nan)]:
        p, m = np.zeros(40, dtype), np.zeros(40, dtype)
        kernels._compiled("lion")([p], [np.full(40, g, dtype)], [m], 1.0, 0.9, 0.99, [0.0])
        assert np.array_equal(p, np.full(40, moved, dtype), equal_nan=True)


@each_float
@each_way
def test_steps_give_the_same_bits_on_two_threads(dtype, monkeypatch, name, count, without, arguments):
    monkeypatch.setattr(policy, "GRAIN", 1)
    results = []
    for threads in [1, 2]:
        state = _optimiser_state(np.random.default_rng(5), dtype, count, without)
        with settings.use_threads(threads):
            getattr(kernels, name)(*state, *arguments)
            results.append((state, kernels.grad_norm(state[1])))
    for one, two in zip(results[0][0], results[1][0]):
        same_bits(one or (), two or ())
    assert results[0][1] == results[1][1]


@each_float
def test_grad_norm_equals_the_reference(rng, dtype):
    grads = _optimiser_state(rng, dtype)[1]
    got = compiled("grad_norm", grads)[0]
    assert isinstance(got, float)
    assert got == pytest.approx(reference.grad_norm(grads), rel=1e-14)
    assert compiled("grad_norm", [_every_other(g) if g.ndim else g for g in grads])[0] == got
    assert compiled("grad_norm", [np.full(2, 3e30, dtype)])[0] == pytest.approx(3e30 * math.sqrt(2))
    assert math.isnan(compiled("grad_norm", [*grads, np.array([np.nan], dtype)])[0])
    assert compiled("grad_norm", [])[0] == 0


@each_float
def test_scaled_equals_the_reference(rng, dtype):
    arrays = [*_optimiser_state(rng, dtype)[1], np.array([np.inf, -np.inf, np.nan, 3e38], dtype)]
    arrays = [_every_other(a) if a.ndim else a for a in arrays]
    kept = [a.copy() for a in arrays]
    for factor in (0.3, 0.0, 1e3):
        got = kernels.pick("scaled", *arrays)(arrays, factor)
        same_bits([np.nan_to_num(a, nan=7.5) for a in got], [np.nan_to_num(a, nan=7.5) for a in reference.scaled(arrays, factor)])
        assert not any(np.shares_memory(a, b) for a, b in zip(got, arrays))
    same_bits(arrays, kept)
    assert kernels.scaled([], 2.0) == reference.scaled([], 2.0) == []


@pytest.mark.oracle
@each_float
@pytest.mark.parametrize("which", ["numba", "reference"])
def test_adamw_and_grad_norm_equal_torch(rng, dtype, which):
    torch = pytest.importorskip("torch")
    shapes = [(3, 4), (5,), (70, 300)]
    params = [rng.normal(size=s).astype(dtype) for s in shapes]
    theirs = [torch.nn.Parameter(torch.tensor(p)) for p in params]
    groups = [{"params": theirs[:2], "weight_decay": 0.1}, {"params": theirs[2:], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), eps=1e-6)
    m, v = ([np.zeros_like(p) for p in params] for _ in range(2))
    tolerance = {np.float32: 2e-6, np.float64: 1e-13}[dtype]
    with settings.use_kernels(which):
        for step in range(1, 8):
            grads = [rng.normal(size=s).astype(dtype) for s in shapes]
            for p, g in zip(theirs, grads):
                p.grad = torch.tensor(g)
            their_norm = float(torch.nn.utils.clip_grad_norm_(theirs, 1.0))
            optimizer.step()
            norm = kernels.grad_norm(grads)
            assert norm == pytest.approx(their_norm, rel=tolerance)
            scale = 1.0 / (norm + 1e-6)
            kernels.adam(params, grads, m, v, None, 1e-2, 0.9, 0.95, 1e-6, step, [0.1, 0.1, 0.0], True, min(1.0, scale))
        for p, q in zip(params, theirs):
            np.testing.assert_allclose(p, q.detach().numpy(), rtol=tolerance, atol=tolerance)

"""Attention in blocks: equal to the reference on both sides of every block's rim, in every form, on any threads."""

import sys
import threading
import tracemalloc

import numpy as np
import pytest

numba = pytest.importorskip("numba")
if numba.config.DISABLE_JIT:
    pytest.skip("Numba compiles nothing here", allow_module_level=True)

from minigrad import kernels, settings  # noqa: E402
from minigrad.kernels import compile as policy  # noqa: E402
from minigrad.kernels import memory, reference  # noqa: E402
from minigrad.kernels.attention import APART, KEYS, QUERIES, ROWS, STEP, attention, attention_grad  # noqa: E402

FLOATS = [np.float32, np.float64]
TOLERANCE = {np.float32: 2e-5, np.float64: 2e-13}

# B, h, T, S, dq, dv: one of everything, tails of tiles, more queries or keys than a block holds, T != S both ways
SIZES = [
    (1, 1, 1, 1, 1, 1), (2, 3, 5, 7, 4, 6), (2, 3, 7, 5, 4, 6), (1, 2, 13, 12, 33, 65), (3, 1, 65, 66, 5, 12),
    (1, 1, QUERIES + 5, QUERIES + 7, 7, 3), (1, 2, 9, KEYS + 33, 3, 5), (2, 1, KEYS + 13, 11, 5, 4),
    (1, 1, KEYS + QUERIES + 1, KEYS + 65, 5, 33), (1, 1, QUERIES, KEYS, 12, 1), (2, 4, QUERIES + 5, QUERIES + 1, 3, 4),
]  # fmt: skip


def heads(rng, B, h, T, d, dtype):
    """A (B, h, T, d) view of (B, T, h, d), as the heads of a projection are."""
    return rng.standard_normal((B, T, h, d)).astype(dtype).transpose(0, 2, 1, 3)  # (B,T,h,d) -> (B,h,T,d)


def inputs(rng, sizes, dtype):
    B, h, T, S, dq, dv = sizes
    q, k, v = heads(rng, B, h, T, dq, dtype), heads(rng, B, h, S, dq, dtype), heads(rng, B, h, S, dv, dtype)
    return heads(rng, B, h, T, dv, dtype), q, k, v


def in_float64(g, q, k, v, causal, scale, mask=None, bias=None, *rest):
    """out, lse, dq, dk, dv, dbias of the reference, in float64."""
    g, q, k, v, bias = (None if x is None else x.astype(np.float64) for x in (g, q, k, v, bias))
    out, lse = reference.attention(q, k, v, causal, scale, mask, bias, *rest)
    return out, lse, *reference.attention_grad(g, q, k, v, out, lse, causal, scale, mask, bias, *rest)


def compiled(g, q, k, v, *rest):
    out, lse = attention(q, k, v, *rest)
    return out, lse, *attention_grad(g, q, k, v, out, lse, *rest)


def assert_equal(results, expected, dtype, tolerance=None):
    tolerance = tolerance or TOLERANCE[dtype]
    for name, x, y in zip(("out", "lse", "dq", "dk", "dv", "dbias"), results, expected, strict=True):
        if y is None:
            assert x is None
            continue
        assert x.dtype == dtype and x.shape == y.shape, name
        if name not in ("lse", "dbias"):
            assert x.transpose(0, 2, 1, 3).flags.c_contiguous, f"{name} merges its heads for nothing"
        finite = np.isfinite(y)
        assert (np.isfinite(x) == finite).all(), name
        x, y = np.where(finite, x, 0), np.where(finite, y, 0)
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * np.abs(y).max(initial=1), err_msg=name)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_equals_the_reference(rng, sizes, causal, dtype):
    arrays = inputs(rng, sizes, dtype)
    assert_equal(compiled(*arrays, causal, 0.37), in_float64(*arrays, causal, 0.37), dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("sizes", [(2, 3, 7, 5, 4, 6), (2, 4, QUERIES + 5, QUERIES + 1, 3, 4), (1, 1, 5, KEYS + STEP + 1, 3, 4)])
def test_what_memory_held_before_does_not_matter(rng, monkeypatch, sizes, causal, dtype):
    module = sys.modules[attention.__module__]

    def spoiled(real):
        def make(*arguments):
            result = real(*arguments)
            result.ravel().view(np.uint8).fill(255)  # as floats these bytes are not numbers
            return result

        return make

    for name in ("empty", "scratch"):
        monkeypatch.setattr(module, name, spoiled(getattr(module, name)))
    arrays = inputs(rng, sizes, dtype)
    for mask in (None, rng.random((sizes[2], sizes[3])) < 0.5):
        assert_equal(compiled(*arrays, causal, 0.5, mask), in_float64(*arrays, causal, 0.5, mask), dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("causal", [False, True])
def test_any_strides(rng, causal, dtype):
    B, h, T, S, dq, dv = 2, 3, 13, 11, 5, 4
    g = np.broadcast_to(rng.standard_normal((1, 1, 1, dv)).astype(dtype), (B, h, T, dv))  # as the gradient of a sum is
    q = rng.standard_normal((h, dq, B, 2 * T)).astype(dtype).transpose(2, 0, 3, 1)[:, :, ::-2]  # (h,dq,B,2T) -> (B,h,T,dq)
    k = np.broadcast_to(rng.standard_normal((B, 1, S, dq)).astype(dtype), (B, h, S, dq))  # one key head for all
    v = rng.standard_normal((B, h, S, 3 * dv)).astype(dtype)[..., 1::3]  # (B,h,S,dv)
    before = [x.copy() for x in (g, q, k, v)]
    assert_equal(compiled(g, q, k, v, causal, 0.5), in_float64(g, q, k, v, causal, 0.5), dtype)
    assert all((x == y).all() for x, y in zip((g, q, k, v), before, strict=True))


@pytest.mark.parametrize("sizes", [(2, 3, 13, 11, 5, 4), (2, 3, 1, 11, 5, 4), (1, 1, 1, 1, 5, 4)])
def test_fields_of_records(rng, sizes):
    arrays = inputs(rng, sizes, np.float32)
    fields = [np.zeros(x.shape[:-1], [("flag", np.int8), ("values", x.dtype, x.shape[-1:])])["values"] for x in arrays]
    for field, x in zip(fields, arrays, strict=True):
        field[...] = x
        assert any(stride % 4 for stride in field.strides)
    assert_equal(compiled(*fields, False, 0.5), in_float64(*arrays, False, 0.5), np.float32)


def test_saved_results_of_any_layout(rng):
    g, q, k, v = inputs(rng, (2, 3, 13, 11, 5, 4), np.float32)
    out, lse = attention(q, k, v, True, 0.5)
    expected = attention_grad(g, q, k, v, out, lse, True, 0.5)
    out, lse = np.ascontiguousarray(out), np.asfortranarray(lse)
    for x, y in zip(attention_grad(g, q, k, v, out, lse, True, 0.5)[:3], expected[:3], strict=True):
        assert (x == y).all()


@pytest.mark.parametrize("scale", [-1.0, 0.0, 40.0])
@pytest.mark.parametrize("causal", [False, True])
def test_any_scale(rng, causal, scale):
    """40 makes scores of hundreds: exponentials must be taken of differences from the largest."""
    arrays = inputs(rng, (1, 2, 13, KEYS + 9, 5, 4), np.float64)
    assert_equal(compiled(*arrays, causal, scale), in_float64(*arrays, causal, scale), np.float64, tolerance=1e-11)


@pytest.mark.parametrize("rising", [True, False])
def test_the_largest_score_may_come_in_any_block(rng, rising):
    S = 2 * KEYS + 9
    g, q, k, v = inputs(rng, (1, 1, 5, S, 3, 4), np.float64)
    q = np.abs(q)
    k = k + np.linspace(-40, 40, S)[:: 1 if rising else -1, None]
    assert_equal(compiled(g, q, k, v, False, 1.0), in_float64(g, q, k, v, False, 1.0), np.float64)


@pytest.mark.parametrize("t", [0, 4, 11, 12, QUERIES, KEYS - 1, KEYS, KEYS + 2])
def test_a_causal_query_does_not_see_what_comes_after(rng, t):
    """Change everything from t on: outputs before t keep every bit, and key gradients feel it only through later queries."""
    T = KEYS + 5
    g, q, k, v = inputs(rng, (1, 2, T, T, 4, 3), np.float32)
    out, lse = attention(q, k, v, True, 0.5)
    later = [x.copy() for x in (q, k, v)]
    for x in later:
        x[:, :, t:] = 7 - x[:, :, t:]
    changed_out, changed_lse = attention(*later, True, 0.5)
    assert (changed_out[:, :, :t] == out[:, :, :t]).all() and (changed_lse[:, :, :t] == lse[:, :, :t]).all()
    assert (changed_out[:, :, t:] != out[:, :, t:]).any(axis=(0, 1, 3)).all()
    nothing_later = g.copy()
    nothing_later[:, :, t:] = 0
    dq, dk, dv, _ = attention_grad(nothing_later, q, k, v, out, lse, True, 0.5)
    for x in (dq, dk, dv):
        assert (x[:, :, t:] == 0).all() and np.isfinite(x).all()


def test_keys_after_the_last_query_get_no_gradient(rng):
    arrays = inputs(rng, (1, 2, 5, KEYS + 20, 4, 3), np.float32)
    _, _, _, dk, dv, _ = compiled(*arrays, True, 0.5)
    assert (dk[:, :, 5:] == 0).all() and (dv[:, :, 5:] == 0).all() and (dk[:, :, :5] != 0).any()


@pytest.mark.parametrize("axis", ["B", "h", "T", "S"])
@pytest.mark.parametrize("causal", [False, True])
def test_nothing_to_attend(rng, axis, causal):
    sizes = {"B": 2, "h": 3, "T": 5, "S": 7, "dq": 4, "dv": 6}
    sizes[axis] = 0
    arrays = inputs(rng, tuple(sizes.values()), np.float32)
    assert_equal(compiled(*arrays, causal, 0.5), in_float64(*arrays, causal, 0.5), np.float32)


# ---- masks, biases, shared heads, dropout

FORMS = {
    "key padding": lambda rng, B, h, T, S: {"mask": (np.arange(S) < rng.integers(0, S + 1, B)[:, None])[:, None, None]},
    "queries": lambda rng, B, h, T, S: {"mask": rng.random((B, 1, T, 1)) < 0.6},
    "mask": lambda rng, B, h, T, S: {"mask": rng.random((T, S)) < 0.6},
    "mask of each head": lambda rng, B, h, T, S: {"mask": rng.random((h, T, S)) < 0.6},
    "window": lambda rng, B, h, T, S: {"mask": np.abs(np.arange(T)[:, None] - np.arange(S)) < 5},
    "mask transposed": lambda rng, B, h, T, S: {"mask": (rng.random((S, T)) < 0.6).T},
    "bias": lambda rng, B, h, T, S: {"bias": rng.standard_normal((h, T, S))},
    "bias of everything": lambda rng, B, h, T, S: {"bias": rng.standard_normal((B, h, T, S))},
    "bias of keys": lambda rng, B, h, T, S: {"bias": rng.standard_normal((1, S))},
    "bias of queries": lambda rng, B, h, T, S: {"bias": rng.standard_normal((B, 1, T, 1))},
    "bias that forbids": lambda rng, B, h, T, S: {"bias": np.where(rng.random((B, 1, T, S)) < 0.6, 1.5, -np.inf)},
    "bias transposed": lambda rng, B, h, T, S: {"bias": rng.standard_normal((S, T)).T},
    "dropout": lambda rng, B, h, T, S: {"rate": 0.4, "seed": 5, "offset": 2**40 - 100},
    "all at once": lambda rng, B, h, T, S: {
        "mask": rng.random((B, 1, 1, S)) < 0.6, "bias": rng.standard_normal((h, 1, S)), "rate": 0.4, "seed": 5, "offset": 3,
    },
}  # fmt: skip

# B, h, r, T, S, dq, dv
GROUPS = [(2, 3, 3, 5, 7, 4, 6), (2, 6, 2, 13, 17, 5, 4), (1, 2, 1, QUERIES + 7, KEYS + STEP + 9, 3, 5), (9, 1, 1, 7, 5, 3, 4)]


def called(rng, form, group, dtype, causal):
    B, h, r, T, S, dq, dv = group
    g, q, k, v = (heads(rng, B, n, m, d, dtype) for n, m, d in ((h, T, dv), (h, T, dq), (r, S, dq), (r, S, dv)))
    given = {"mask": None, "bias": None, "rate": 0.0, "seed": 0, "offset": 0} | FORMS[form](rng, B, h, T, S)
    if given["bias"] is not None:
        given["bias"] = given["bias"].astype(dtype)
    return (g, q, k, v, causal, 0.4, *given.values())


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_equals_the_reference_and_has_the_same_bits_on_any_threads(rng, monkeypatch, form, group, causal, dtype):
    monkeypatch.setattr(policy, "GRAIN", 1)
    arguments = called(rng, form, group, dtype, causal)
    bits = set()
    for threads in (1, 2, 3):
        with settings.use_threads(threads):
            results = compiled(*arguments)
        bits.add(b"".join(x.tobytes() for x in results if x is not None))
    assert len(bits) == 1
    assert_equal(results, in_float64(*arguments), dtype)


def test_a_query_with_nothing_to_attend_to_gets_zeros(rng):
    g, q, k, v, *_ = called(rng, "mask", GROUPS[2], np.float32, False)
    mask = np.ones((*q.shape[:3], k.shape[2]), bool)
    mask[0, 1, 5] = mask[0, 0, QUERIES + 1] = False
    for given in ({"mask": mask}, {"bias": np.where(mask, 0, -np.inf).astype(np.float32)}):
        out, lse = attention(q, k, v, False, 0.5, **given)
        dq, dk, dv, _ = attention_grad(g, q, k, v, out, lse, False, 0.5, **given)
        empty = ~mask.any(axis=-1)
        assert (lse[empty] == -np.inf).all() and np.isfinite(lse[~empty]).all()
        assert not out[empty].any() and not dq[empty].any() and out[~empty].any() and dq[~empty].any()
        assert np.isfinite(dk).all() and np.isfinite(dv).all()


@pytest.mark.parametrize("implementation", [compiled, in_float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("form", ["key padding", "window", "mask of each head", "causal"])
def test_what_nobody_sees_changes_nothing_even_if_it_is_not_a_number(rng, form, bad, implementation):
    """Of a masked key its key and value, of a query that sees nothing everything: the others keep every bit."""
    form, causal = ("dropout", True) if form == "causal" else (form, False)
    g, q, k, v, _, scale, mask, *rest = called(rng, form, GROUPS[2], np.float32, causal)
    B, h, T, S = *q.shape[:3], k.shape[2]
    seen = np.broadcast_to(np.ones((), bool) if mask is None else mask, (B, h, T, S)).copy()
    seen[:, :, 3] = seen[..., 7] = False
    if causal:
        seen &= np.tri(T, S, dtype=bool)
    keys, queries = ~seen.any(axis=(1, 2)), ~seen.any(axis=3)  # (B,S), (B,h,T)
    clean = implementation(g, q, k, v, causal, scale, seen, *rest)
    spoilt = [x.copy() for x in (q, k, v)]
    spoilt[0][queries, 1] = bad
    spoilt[1][keys[:, None], 2] = spoilt[2][keys[:, None], 1] = bad
    for x, y in zip(implementation(g, *spoilt, causal, scale, seen, *rest), clean, strict=True):
        assert x is y is None or (x == y).all()


def test_a_value_that_is_not_a_number_reaches_those_who_see_it_and_nobody_else(rng):
    g, q, k, v = inputs(rng, (2, 3, QUERIES + 9, KEYS + 9, 5, 4), np.float32)
    mask = rng.random((QUERIES + 9, KEYS + 9)) < 0.6
    v, place = v.copy(), KEYS + 2
    v[1, 2, place, 3] = np.nan
    out, _ = attention(q, k, v, False, 0.5, mask)
    expected = np.zeros(out.shape, bool)
    expected[1, 2, :, 3] = mask[:, place]
    assert (np.isnan(out) == expected).all()
    mask = np.tri(*mask.shape, dtype=bool)
    v[1, 2, 20, 3] = np.nan
    out, _ = attention(q, k, v, True, 0.5)
    expected[1, 2, :, 3] = mask[:, 20] | mask[:, place]
    assert (np.isnan(out) == expected).all()


def test_the_gradient_of_a_bias_is_computed_only_where_it_is_wanted(rng):
    g, q, k, v, *rest = called(rng, "bias", GROUPS[1], np.float64, False)
    out, lse = attention(q, k, v, *rest)
    wanted = attention_grad(g, q, k, v, out, lse, *rest)
    unwanted = attention_grad(g, q, k, v, out, lse, *rest, bias_wanted=False)
    assert unwanted[3] is None and all((x == y).all() for x, y in zip(wanted[:3], unwanted[:3], strict=True))


@pytest.mark.parametrize("form", ["key padding", "bias of keys", "dropout", "window of few"])
def test_memory_grows_with_the_text_and_not_with_its_square(rng, monkeypatch, form):
    """All that is asked for in a call, results and working memory, for 4096 steps and for 1024."""
    module = sys.modules[attention.__module__]
    asked = []

    def counting(real):
        def make(*arguments):
            result = real(*arguments)
            asked.append(result.nbytes)
            return result

        return make

    for name in ("empty", "zeros", "scratch"):
        monkeypatch.setattr(module, name, counting(getattr(module, name)))
    sizes = {}
    for T in (1024, 4096):
        g, q, k, v = inputs(rng, (1, 1, T, T, 4, 3), np.float32)
        given = {
            "key padding": {"mask": np.arange(T) < 40}, "bias of keys": {"bias": np.ones((1, T), np.float32)},
            "dropout": {"rate": 0.5, "seed": 1}, "window of few": {"mask": (np.arange(T) < 40)[:, None]},
        }[form]  # fmt: skip
        monkeypatch.setattr(memory, "_local", threading.local())  # without what other tests left
        monkeypatch.setattr(memory, "_SHEET", 0)  # every block for itself, so that what is asked for is what is used
        asked.clear()
        tracemalloc.start()
        out, lse = attention(q, k, v, True, 0.5, **given)
        attention_grad(g, q, k, v, out, lse, True, 0.5, **given)
        sizes[T] = sum(asked), tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    for small, large in zip(*sizes.values(), strict=True):
        assert large < 4.5 * small
    assert sizes[4096][1] < 4096 * 4096


def test_the_blocks_fit_together():
    """Strips of a causal block's rim meet only where keys and queries are cut at the same places."""
    assert STEP % ROWS == KEYS % STEP == QUERIES % ROWS == 0 and APART >= KEYS + ROWS


def test_a_row_that_is_not_a_number_stays_alone(rng):
    _, q, k, v = inputs(rng, (1, 2, 13, 17, 4, 3), np.float32)
    clean, _ = attention(q, k, v, False, 0.5)
    q = q.copy()
    q[0, 1, 7, 2] = np.nan
    out, lse = attention(q, k, v, False, 0.5)
    bad = np.zeros(lse.shape, bool)
    bad[0, 1, 7] = True
    assert np.isnan(out[bad]).all() and np.isnan(lse[bad]).all() and (out[~bad] == clean[~bad]).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("causal", [False, True])
def test_the_same_bits_on_any_number_of_threads(rng, monkeypatch, causal, dtype):
    monkeypatch.setattr(policy, "GRAIN", 1)  # share even the smallest work
    arrays = inputs(rng, (2, 3, 65, 33, 12, 7), dtype)
    bits = set()
    for threads in (1, 2, 3, 7):
        with settings.use_threads(threads):
            bits.add(b"".join(x.tobytes() for x in compiled(*arrays, causal, 0.5)[:5]))
    assert len(bits) == 1


def test_shapes_that_do_not_fit_raise(rng):
    _, q, k, v = inputs(rng, (2, 3, 5, 7, 4, 6), np.float32)
    for bad in [(q, k[:, :, :-1], v), (q[..., :-1], k, v), (q, k[:, :-1], v), (q, k[:, :-1], v[:, :-1]), (q[:-1], k, v)]:
        with pytest.raises(ValueError, match=r"must agree in B, r, S and dq.*Received: q \("):
            attention(*bad, False, 0.5)
    out, lse = attention(q, k, v, False, 0.5)
    with pytest.raises(ValueError, match=r"g and out.*Received: g \(2, 3, 5, 5\)"):
        attention_grad(out[..., :-1], q, k, v, out, lse, False, 0.5)


def test_the_door_opens_to_it(rng):
    _, q, k, v = inputs(rng, (2, 3, 5, 7, 4, 6), np.float32)
    assert kernels.pick("attention", q, k, v) is attention
    with settings.use_kernels("reference"):
        assert kernels.pick("attention", q, k, v) is reference.attention
    half = [x.astype(np.float16) for x in (q, k, v)]
    assert kernels.attention(*half, True, 0.5)[0].dtype == np.float16


# ---- one question for each head


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("group", [1, 3])
@pytest.mark.parametrize(("S", "room"), [(1, 1), (7, 9), (2000, 2100)])
@pytest.mark.parametrize("masked", [None, "keys", "keys of each text", "keys of each head", "nothing is seen"])
def test_one_question_reads_keys_where_they_lie(rng, monkeypatch, masked, S, room, group, dtype):
    B, r, dq, dv = 2, 2, 6, 5
    q = heads(rng, B, r * group, 1, dq, dtype)
    k, v = (rng.standard_normal((B, r, room, d)).astype(dtype)[:, :, :S] for d in (dq, dv))
    shapes = {"keys": (S,), "keys of each text": (B, 1, 1, S), "keys of each head": (1, r * group, 1, S), "nothing is seen": (1, S)}
    mask = None if masked is None else (rng.random(shapes[masked]) < 0.6) & (masked != "nothing is seen")
    want = reference.attention(*(x.astype(np.float64) for x in (q, k, v)), False, 0.7, mask)
    monkeypatch.setattr(policy, "GRAIN", 1)
    bits = []
    for threads in (1, 2, 3):
        with settings.use_threads(threads):
            out, lse = attention(q, k, v, False, 0.7, mask)
        assert_equal((out, lse, *[None] * 4), (*want, *[None] * 4), dtype)
        bits.append(out.tobytes() + lse.tobytes())
    assert len(set(bits)) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_question_does_not_see_what_is_masked(rng, bad):
    q, k, v = rng.standard_normal((1, 2, 1, 6)), rng.standard_normal((1, 2, 9, 6)), rng.standard_normal((1, 2, 9, 5))
    mask = np.arange(9) < 5
    want = attention(q, k[:, :, :5], v[:, :, :5], False, 0.7)
    k[:, :, 5:], v[:, :, 5:] = bad, bad
    for got, right in zip(attention(q, k, v, False, 0.7, mask), want):
        np.testing.assert_allclose(got, right, rtol=1e-13)

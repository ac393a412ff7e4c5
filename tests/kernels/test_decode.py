"""The steps of decoding against their meaning in NumPy, in float64."""

import numpy as np
import pytest

numba = pytest.importorskip("numba")
if numba.config.DISABLE_JIT:
    pytest.skip("Numba compiles nothing here", allow_module_level=True)

from minigrad import kernels, settings  # noqa: E402
from minigrad.errors import DtypeError, ShapeError  # noqa: E402
from minigrad.kernels import decode, reference  # noqa: E402

TOLERANCE = {np.float32: 2e-6, np.float64: 2e-14}
each_float = pytest.mark.parametrize("dtype", TOLERANCE)
each_batch = pytest.mark.parametrize("B", [1, 3, 13])
each_layout = pytest.mark.parametrize("order", ["C", "F"])


@pytest.fixture(autouse=True)
def compiled_kernels():
    with settings.use_kernels("numba"):
        yield


def double(argument):
    """The same arguments in float64."""
    if isinstance(argument, tuple):
        return tuple([double(part) for part in argument])
    return argument.astype(np.float64) if isinstance(argument, np.ndarray) and argument.dtype.kind == "f" else argument


def check(name, results, *arguments, dtype, tolerance=None, **named):
    """A step that writes to its arguments at the places ``results``: equal to the reference, with equal bits for 1, 2 and 5 threads."""
    program, right = kernels.decode_program(), reference.DecodeProgram()
    assert type(program) is decode.DecodeProgram
    wanted = double(arguments)
    getattr(right, name)(*wanted, **{key: double(value) for key, value in named.items()})
    getattr(program, name)(*arguments, **named)
    before = [arguments[i].copy() for i in results]
    right.run()
    bits = []
    program._work = 1 << 20  # so that threads share it
    for threads in (1, 2, 5):
        for i, old in zip(results, before):
            arguments[i][...] = old
        with settings.use_threads(threads):
            program.run()
        bits.append([arguments[i].tobytes() for i in results])
        for i in results:
            scale = np.abs(wanted[i][np.isfinite(wanted[i])]).max(initial=1e-30)
            np.testing.assert_array_equal(np.isnan(arguments[i]), np.isnan(wanted[i]))
            np.testing.assert_allclose(arguments[i], wanted[i], rtol=0, atol=(tolerance or TOLERANCE[dtype]) * scale)
    assert bits[0] == bits[1] == bits[2]


class Draw:
    def __init__(self, rng, dtype):
        self.rng, self.dtype = rng, dtype

    def __call__(self, *shape, order="C"):
        return self.rng.standard_normal(shape).astype(self.dtype, order=order)


@pytest.fixture
def draw(rng, dtype):
    return Draw(rng, dtype)


# ---- products


SIZES = [(5, 7), (1, 1), (130, 65), (70, 1), (1, 70), (300, 5000), (1100, 33)]


@each_float
@pytest.mark.parametrize("B", [1, 2, 5, 8])
@each_layout
@pytest.mark.parametrize(("K", "N"), SIZES)
def test_products(draw, dtype, B, order, K, N):
    check("linear", [3], draw(B, K), draw(K, N, order=order), draw(N), draw(B, N), dtype=dtype)


@each_float
@each_layout
@pytest.mark.parametrize(("K", "N"), [(768, 768), (3072, 768), (37, 60), (400, 33)])
def test_the_shares_of_a_product_read_its_matrix_from_one_end_to_the_other(draw, dtype, order, K, N):
    program, w = kernels.decode_program(), draw(K, N, order=order)
    program.linear(draw(1, K), w, None, draw(1, N))
    [[job]] = program._steps
    assert job.reads is w
    assert abs(job.shares * job.apart - w.nbytes) < max(job.apart, decode.TOGETHER * job.shares * w.strides[0])


@each_float
@each_batch
@each_layout
@pytest.mark.parametrize("function", decode.FUNCTIONS)
@pytest.mark.parametrize("gated", [False, True])
def test_functions_gates_and_what_is_added(draw, dtype, B, order, function, gated):
    K, N = 130, 67
    gate = (draw(K, N, order=order), draw(N)) if gated else None
    arguments = draw(B, K), draw(K, N, order=order), draw(N), draw(B, N)
    check("linear", [3], *arguments, dtype=dtype, function=function, gate=gate, plus=draw(B, N))
    gate = (gate[0], None) if gated else None
    check("linear", [3], *arguments[:2], None, arguments[3], dtype=dtype, function=function, gate=gate)


@each_float
@each_layout
def test_what_is_added_may_be_the_result_itself(draw, dtype, order):
    B, K, N = 2, 300, 40
    x, w, bias, y = draw(B, K), draw(K, N, order=order), draw(N), draw(B, N)
    check("linear", [3], x, w, bias, y.copy(), dtype=dtype, plus=y)
    program, want = kernels.decode_program(), x.astype(float) @ w + bias + y
    program.linear(x, w, bias, y, plus=y)
    program.run()
    np.testing.assert_allclose(y, want, rtol=0, atol=TOLERANCE[dtype] * np.abs(want).max())


@each_float
@each_batch
@pytest.mark.parametrize("centred", [True, False])
def test_norms_as_a_step_and_before_a_product(draw, dtype, B, centred):
    K, N = 37, 23
    x, gamma, beta = 30 + draw(B, K), draw(K), draw(K)
    tolerance = 50 * TOLERANCE[dtype]  # the digits that are lost where the rows are far from 0
    check("norm", [3], x, gamma, beta, draw(B, K), 1e-5, centred, dtype=dtype, tolerance=tolerance)
    check("norm", [3], x, None, None, draw(B, K), 0.1, centred, dtype=dtype, tolerance=tolerance)
    norm = (gamma, None, 1e-6, centred)
    check("linear", [3], x, draw(K, N), draw(N), draw(B, N), norm, "silu", dtype=dtype, tolerance=tolerance)


@each_layout
def test_products_of_infinities_and_nan(order):
    w = np.asarray(np.eye(3, dtype=np.float32), order=order)
    x, y, program = np.zeros((2, 3), np.float32), np.empty((2, 3), np.float32), kernels.decode_program()
    program.linear(x, w, None, y, function="relu")
    x[:] = [[1, -2, 3], [-1, np.nan, 0]]
    program.run()
    np.testing.assert_array_equal(y, [[1, 0, 3], [np.nan] * 3])


@each_float
@pytest.mark.parametrize(("T", "heads", "key_heads", "dq", "dv"), [(1, 1, 1, 3, 2), (5, 4, 2, 7, 6), (13, 3, 3, 32, 32), (70, 2, 1, 9, 17)])
def test_attention_among_the_rows(draw, dtype, T, heads, key_heads, dq, dv):
    arrays = draw(T, heads * dq), draw(T, key_heads * dq), draw(T, key_heads * dv), draw(T, heads * dv)
    check("among", [3], *arrays, heads, key_heads, 0.4, dtype=dtype, tolerance=10 * TOLERANCE[dtype])


# ---- embedding


@each_float
@each_batch
def test_embedding(draw, dtype, B, rng):
    V, L, E = 11, 6, 7
    tokens, places = rng.integers(0, V, B), rng.integers(0, L, B)
    table, positions, plus = draw(V, E), draw(L, E), draw(E)
    check("embed", [2], tokens, table, draw(B, E), 3.5, places, positions, plus, dtype=dtype)
    check("embed", [2], tokens, table, draw(B, E), dtype=dtype)


@each_float
def test_what_lies_outside_of_a_table_is_nan(draw, dtype):
    V, L, E = 4, 3, 5
    tokens, places = np.array([0, -1, 4, 2**62, 3, 1]), np.array([0, 0, 0, 0, 3, -1])
    check("embed", [2], tokens, draw(V, E), draw(6, E), 1.0, places, draw(L, E), dtype=dtype)


# ---- what is asked for


def test_a_program_reads_its_arrays_at_every_run():
    x, w, y, z = np.ones((1, 3)), np.ones((3, 2)), np.zeros((1, 2)), np.zeros((1, 2))
    program = kernels.decode_program()
    program.linear(x, w, None, y)
    program.linear(y, np.eye(2), None, z)
    program.run()
    assert z.tolist() == [[3, 3]]
    x[:] = 2
    w[:, 1] = -1
    program.run()
    assert z.tolist() == [[6, -6]]


def test_without_numba_a_program_is_the_reference():
    with settings.use_kernels("reference"):
        assert type(kernels.decode_program()) is reference.DecodeProgram


X, W, Y = np.ones((2, 3)), np.ones((3, 4)), np.ones((2, 4))


@pytest.mark.parametrize(("call", "error", "match"), [
    (lambda p: p.linear(X, W.T, None, Y), ShapeError, r"linear: .*w \(4, 3\)"),
    (lambda p: p.linear(X, W, np.ones(3), Y), ShapeError, r"linear: .*bias \(3,\)"),
    (lambda p: p.linear(X, W, None, Y, plus=X), ShapeError, r"linear: .*plus \(2, 3\)"),
    (lambda p: p.linear(X, W, None, Y, gate=(W.T.copy().T, None)), ShapeError, "linear: .*gate"),
    (lambda p: p.linear(X, W, None, Y, function="tanh"), ValueError, "linear: function.*relu.*tanh"),
    (lambda p: p.linear(X, np.eye(3), None, X), ValueError, "linear: y needs memory of its own"),
    (lambda p: p.linear(X.reshape(6)[:4].reshape(2, 2), np.eye(2), None, X.reshape(6)[2:].reshape(2, 2)), ValueError, "of its own"),
    (lambda p: p.linear(X, W.astype("f"), None, Y), DtypeError, "linear: .*float64.*w .*float32"),
    (lambda p: p.linear(np.ones((2, 6))[:, ::2], W, None, Y), ShapeError, "linear: x must be contiguous"),
    (lambda p: p.linear(X, np.ones((3, 8))[:, ::2], None, Y), ShapeError, "linear: w must be contiguous"),
    (lambda p: p.norm(X, np.ones(2), None, X), ShapeError, r"norm: .*gamma \(2,\)"),
    (lambda p: p.embed(np.array([1, 2]), W, X), ShapeError, r"embed: .*table \(3, 4\)"),
    (lambda p: p.embed(np.array([1, 2], np.int32), W, Y), DtypeError, "embed: tokens.*int64"),
    (lambda p: p.embed(np.array([1, 2]), W, Y, positions=W), ShapeError, "embed: .*places None"),
])  # fmt: skip
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call(kernels.decode_program())


def test_what_is_together_has_no_norm_of_its_own():
    program = kernels.decode_program()
    with program.together(), pytest.raises(ValueError, match="linear: .*append the norm"):
        program.linear(X, W, None, Y, norm=(None, None, 1e-5, True))


# ---- attention


def cache(draw, B, h, r, L, dq=6, dv=5):
    """q, keys, values, y, and k and v of the next token."""
    return draw(B, h * dq), draw(B, r, L, dq), draw(B, r, L, dv), draw(B, h * dv), draw(B, r * dq), draw(B, r * dv)


@each_float
@each_batch
@pytest.mark.parametrize(("h", "r"), [(4, 4), (6, 2), (3, 1)])
@pytest.mark.parametrize(("n", "L"), [(0, 7), (1, 7), (6, 7), (300, 700), (699, 700), (1500, 3000)])
def test_attention_to_what_was_read(draw, dtype, B, h, r, n, L):
    *arguments, k, v = cache(draw, B, h, r, L)
    arguments[1][:, :, n:] = np.nan  # what has not been read is not looked at
    arguments[2][:, :, n:] = np.inf
    check("attend", [1, 2, 3], *arguments, 0.3, k, v, np.array([n]), dtype=dtype)


@each_float
@each_batch
@pytest.mark.parametrize("n", [0, 5, 599])
def test_attention_with_turned_heads_padding_and_distances(draw, dtype, B, n, rng):
    L, dq = 600, 8
    *arguments, k, v = cache(draw, B, 4, 2, L, dq)
    start = np.minimum(rng.integers(0, 4, B), n)
    angles = np.arange(L)[:, None] * rng.uniform(0, 1, dq // 2)
    turns = np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)
    named = {"start": start, "turns": turns, "places": n - start, "bias": draw(4, L)}
    for left_out in [(), ("start",), ("turns", "places"), ("bias",)]:
        check("attend", [1, 2, 3], *arguments, 0.3, k, v, np.array([n]), dtype=dtype,
              **{name: value for name, value in named.items() if name not in left_out})  # fmt: skip


@each_float
@each_batch
@pytest.mark.parametrize("S", [1, 9, 1000])
def test_attention_to_a_memory(draw, dtype, B, S, rng):
    arguments = cache(draw, B, 4, 2, S)[:4]
    check("attend", [3], *arguments, 0.3, dtype=dtype)
    mask = rng.random((B, S)) < 0.6
    mask[0] = S > 1 and B > 1
    arguments[1][~mask[:, None].repeat(2, 1)] = np.nan
    arguments[2][~mask[:, None].repeat(2, 1)] = np.inf
    check("attend", [3], *arguments, 0.3, mask=mask, dtype=dtype)
    if B == 1:
        assert not arguments[3].any()  # who sees nothing gets zeros


@each_float
def test_large_scores_do_not_overflow(draw, dtype):
    *arguments, k, v = cache(draw, 2, 4, 2, 900)
    arguments[0][0] *= 1e4
    arguments[0][1] *= -1e4
    check("attend", [1, 2, 3], *arguments, 1.0, k, v, np.array([800]), dtype=dtype, tolerance=5e-2 if dtype is np.float32 else 1e-10)
    assert np.isfinite(arguments[3]).all()


@each_float
def test_outside_of_the_cache_is_nan(draw, dtype):
    *arguments, k, v = cache(draw, 2, 2, 1, 5)
    turns = draw(3, 3), draw(3, 3)
    for n in (-1, 5, 2**62):
        check("attend", [1, 2, 3], *arguments, 1.0, k, v, np.array([n]), dtype=dtype)
        assert np.isnan(arguments[3]).all()
    check("attend", [1, 2, 3], *arguments, 1.0, k, v, np.array([2]), dtype=dtype, turns=turns, places=np.array([2, 3]))
    assert np.isnan(arguments[3][1]).all() and np.isfinite(arguments[3][0]).all()


# ---- all together


class GPT:
    """A small model of text: rotary positions, groups of heads, RMS norms, gates, a head that is the embedding."""

    V, L, E, h, r, d, wide, blocks = 23, 12, 20, 4, 2, 6, 28, 3

    def __init__(self, draw):
        V, L, E, h, r, d, wide = self.V, self.L, self.E, self.h, self.r, self.d, self.wide
        self.table, self.last = draw(V, E), draw(E)
        angles = np.arange(L)[:, None] * np.linspace(0.1, 1, d // 2)
        self.turns = np.cos(angles).astype(draw.dtype), np.sin(angles).astype(draw.dtype)
        self.weights = [
            [draw(E), draw(E, h * d, order="F"), draw(h * d), draw(E, r * d), draw(E, r * d), draw(h * d, E),
             draw(E), draw(E, wide), draw(E, wide), draw(wide, E, order="F")]
            for _ in range(self.blocks)
        ]  # fmt: skip

    def program(self, program, B, dtype):
        """Steps from tokens to logits, and the arrays through which they are used."""
        tokens, places, length = np.zeros(B, np.int64), np.zeros(B, np.int64), np.zeros(1, np.int64)
        x, normal, q, k, v, heads, wide, logits = (
            np.zeros((B, n), dtype)
            for n in (self.E, self.E, self.h * self.d, self.r * self.d, self.r * self.d, self.h * self.d, self.wide, self.V)
        )
        program.embed(tokens, self.table, x)
        for g1, wq, bq, wk, wv, wo, g2, value, gate, down in self.weights:
            keys, values = np.zeros((2, B, self.r, self.L, self.d), dtype)
            program.norm(x, g1, None, normal, 1e-6, False)
            with program.together():
                program.linear(normal, wq, bq, q)
                program.linear(normal, wk, None, k)
                program.linear(normal, wv, None, v)
            program.attend(q, keys, values, heads, self.d**-0.5, k, v, length, turns=self.turns, places=places)
            program.linear(heads, wo, None, x, plus=x)
            program.linear(x, value, None, wide, (g2, None, 1e-6, False), "silu", gate=(gate, None))
            program.linear(wide, down, None, x, plus=x)
        program.linear(x, self.table.T, None, logits, (self.last, None, 1e-6, False))
        return tokens, places, length, logits

    def logits(self, ids):
        """Of all tokens at once, written out in float64.   (B, T) -> (B, T, V)"""
        norm = lambda x, g: x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * g  # noqa: E731
        split = lambda x, n: x.reshape(*x.shape[:2], n, self.d).swapaxes(1, 2)  # noqa: E731  (B, T, n d) -> (B, n, T, d)
        turn = lambda x: reference.rotary(x, *(a[: ids.shape[1]] for a in double(self.turns)))  # noqa: E731
        x = double(self.table)[ids]
        for block in self.weights:
            g1, wq, bq, wk, wv, wo, g2, value, gate, down = double(tuple(block))
            normal = norm(x, g1)
            q, k, v = turn(split(normal @ wq + bq, self.h)), turn(split(normal @ wk, self.r)), split(normal @ wv, self.r)
            scores = q @ np.repeat(k, self.h // self.r, 1).swapaxes(2, 3) * self.d**-0.5
            weights = reference.softmax(np.where(np.tri(ids.shape[1], dtype=bool), scores, -np.inf))
            heads = weights @ np.repeat(v, self.h // self.r, 1)
            x = x + heads.swapaxes(1, 2).reshape(*ids.shape, -1) @ wo
            normal = norm(x, g2)
            opened = normal @ gate
            x = x + (normal @ value * opened / (1 + np.exp(-opened))) @ down
        return norm(x, double(self.last)) @ double(self.table).T


@each_float
@each_batch
@pytest.mark.parametrize("make", [kernels.decode_program, reference.DecodeProgram])
def test_a_whole_model_token_by_token(draw, dtype, B, make, rng):
    gpt, ids = GPT(draw), rng.integers(0, GPT.V, (B, GPT.L))
    program, want = make(), gpt.logits(ids)
    tokens, places, length, logits = gpt.program(program, B, dtype)
    program._work = 1 << 20
    with settings.use_threads(2):
        for n in range(GPT.L):
            tokens[:], places[:], length[:] = ids[:, n], n, n
            program.run()
            np.testing.assert_allclose(logits, want[:, n], rtol=0, atol=20 * TOLERANCE[dtype] * np.abs(want).max())


@pytest.mark.parametrize(("given", "match"), [
    ({"start": np.zeros(2, np.int64)}, "start is for keys that are appended to"),
    ({"bias": np.ones((3, 7))}, "bias is for keys"),
    ({"turns": (np.ones((7, 2)), np.ones((7, 2)))}, "turns is for keys"),
    ({"k": np.ones((2, 4))}, "k, v and length belong together"),
    ({"k": np.ones((2, 4)), "v": np.ones((2, 5)), "length": np.zeros(1, np.int64), "mask": np.ones((2, 7), bool)}, "a mask is for"),
])  # fmt: skip
def test_what_belongs_to_other_keys_is_refused(given, match):
    q, keys, values, y = np.ones((2, 12)), np.ones((2, 1, 7, 4)), np.ones((2, 1, 7, 5)), np.ones((2, 15))
    with pytest.raises(ValueError, match=f"attend: {match}"):
        kernels.decode_program().attend(q, keys, values, y, 0.5, **given)

"""The reference kernels against their formulas written out in another way, gradients against finite differences."""

import math

import numpy as np
import pytest

from minigrad.kernels import reference

B, H, T, S, DQ, DV = 2, 3, 4, 5, 6, 7


def difference_quotients(f, x, g, step=1e-5):
    """sum(g f(x)) differentiated with respect to every element of x by central differences, in float64."""
    d = np.empty_like(x)
    for i in np.ndindex(x.shape):
        shift = np.zeros_like(x)
        shift[i] = step
        d[i] = (g * (f(x + shift) - f(x - shift))).sum() / (2 * step)
    return d


def close(got, want, tolerance=1e-8):
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


# ---- erf


def test_erf_is_the_error_function():
    x = np.concatenate([np.linspace(-7, 7, 20011), np.linspace(-0.01, 0.01, 4001), [1e-300, -5e-324]])
    want = np.array([math.erf(v) for v in x])
    got = reference.erf(x)
    assert np.abs(got - want).max() <= 4e-16
    np.testing.assert_array_less(np.abs(got - want), 1e-15 * np.abs(want) + 1e-323)  # small values keep all digits


def test_erf_at_the_ends_of_the_line():
    got = reference.erf(np.array([np.inf, -np.inf, np.nan, -0.0]))
    np.testing.assert_array_equal(got, [1, -1, np.nan, -0.0])
    assert np.signbit(got[3])
    assert reference.erf(np.float32(0.5)).dtype == np.float32


# ---- softmax and friends


def test_softmax_is_its_formula_and_does_not_overflow(rng):
    x = rng.normal(size=(B, T, S))
    e = np.exp(x)
    close(reference.softmax(x), e / e.sum(-1, keepdims=True), 1e-15)
    np.testing.assert_array_equal(reference.softmax(np.array([[1e4, 1e4], [-1e4, -1e4]])), 0.5)


def test_softmax_with_a_mask(rng):
    x = rng.normal(size=(B, T, S))
    where = np.tri(T, S, dtype=bool)  # broadcast over B
    where[2] = False
    x[:, 0, 4] = np.nan  # masked, so of no consequence
    y = reference.softmax(x, where)
    assert (y[:, ~where] == 0).all()
    close(y.sum(-1), np.broadcast_to(np.where(where.any(-1), 1, 0), (B, T)), 1e-15)
    close(y[:, 3, :4], reference.softmax(x[:, 3, :4]), 1e-15)


def test_a_row_of_minus_infinity_is_nan_without_a_mask():
    assert np.isnan(reference.softmax(np.full((2, 3), -np.inf))).all()
    np.testing.assert_array_equal(reference.softmax(np.array([[0.0, -np.inf]])), [[1, 0]])


def test_log_softmax_is_the_logarithm_of_softmax(rng):
    x = 10 * rng.normal(size=(B, T, S))
    close(reference.log_softmax(x), np.log(reference.softmax(x)), 1e-13)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_gradient_of_softmax(rng, name):
    x, g = rng.normal(size=(2, B, T, S))
    f, grad = getattr(reference, name), getattr(reference, name + "_grad")
    close(grad(g, f(x)), difference_quotients(f, x, g))


# ---- layer normalization


def test_layer_norm_has_mean_zero_and_variance_one(rng):
    x = 3 + 5 * rng.normal(size=(B, T, S))
    y, mean, rstd = reference.layer_norm(x, None, None, 0.0)
    close(y.mean(-1), 0, 1e-14)
    close(y.var(-1), 1, 1e-14)
    close(x[..., 0] + mean, x.mean(-1), 1e-14)
    close(rstd, 1 / x.std(-1), 1e-14)
    gamma, beta = rng.normal(size=(2, S))
    close(reference.layer_norm(x, gamma, beta, 0.0)[0], y * gamma + beta, 1e-14)


def test_layer_norm_adds_epsilon_to_the_variance():
    y, _, rstd = reference.layer_norm(np.array([[1.0, -1.0]]), None, None, 3.0)
    close(rstd, 0.5, 1e-15)
    close(y, [[0.5, -0.5]], 1e-15)


def test_gradients_of_layer_norm(rng):
    x, g = rng.normal(size=(2, B, T, S))
    gamma, beta = rng.normal(size=(2, S))
    _, mean, rstd = reference.layer_norm(x, gamma, beta, 1e-3)
    dx, dgamma, dbeta = reference.layer_norm_grad(g, x, gamma, mean, rstd)
    close(dx, difference_quotients(lambda v: reference.layer_norm(v, gamma, beta, 1e-3)[0], x, g))
    close(dgamma, difference_quotients(lambda v: reference.layer_norm(x, v, beta, 1e-3)[0], gamma, g))
    close(dbeta, difference_quotients(lambda v: reference.layer_norm(x, gamma, v, 1e-3)[0], beta, g))


# ---- cross-entropy


def test_cross_entropy_is_minus_the_log_probability_of_the_target(rng):
    x, targets = rng.normal(size=(T, S)), np.array([4, 0, 2, 2])
    losses, lse, _ = reference.cross_entropy(x, targets)
    close(losses, [-math.log(reference.softmax(x)[i, t]) for i, t in enumerate(targets)], 1e-14)
    close(lse, np.log(np.exp(x).sum(-1)), 1e-14)


def test_gradient_of_cross_entropy(rng):
    x, targets, g = rng.normal(size=(T, S)), np.array([4, 0, 2, 2]), rng.normal(size=T)
    got = reference.cross_entropy(x, targets, None, 0.0, g)[2]
    close(got, difference_quotients(lambda v: reference.cross_entropy(v, targets)[0], x, g))


# ---- elementwise


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_and_its_derivative(approximate):
    x = np.linspace(-6, 6, 241)
    y, derivative = reference.gelu(x, approximate)
    if approximate == "none":
        close(y, [v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x], 1e-15)
    else:
        close(y, [v / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) for v in x], 1e-15)
    h = 1e-5
    close(derivative, (reference.gelu(x + h, approximate)[0] - reference.gelu(x - h, approximate)[0]) / (2 * h), 1e-9)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_goes_to_its_limits(approximate):
    y, derivative = reference.gelu(np.array([np.inf, -np.inf, 1e30, -1e30, np.nan], np.float32), approximate)
    np.testing.assert_array_equal(y, np.array([np.inf, 0, 1e30, 0, np.nan], np.float32))
    np.testing.assert_array_equal(derivative, [1, 0, 1, 0, np.nan])


def test_dropout_keeps_or_drops_and_scales(rng):
    x = rng.normal(size=(50, 40, 30)).astype(np.float32)
    y = reference.dropout(x, 0.25, seed=3, offset=0)
    kept = y != 0
    assert kept.mean() == pytest.approx(0.75, abs=5 * math.sqrt(0.25 * 0.75 / x.size))
    np.testing.assert_array_equal(y[kept], x[kept] * np.float32(1 / 0.75))
    np.testing.assert_array_equal(reference.dropout(x, 0.0, seed=3, offset=0), x)
    assert not reference.dropout(x, 1.0, seed=3, offset=0).any()


def _kept(n, seed, offset=0, rate=0.5):
    return reference.dropout(np.ones(n), rate, seed, offset) != 0


def test_dropout_choices_of_neighbours_are_independent():
    n = 1 << 18
    signs = np.where(_kept(n, seed=11), 1.0, -1.0)
    for lag in [1, 2, 3, 4, 8, 16, 64, 128, 1000, 4096]:
        assert abs((signs[lag:] * signs[:-lag]).mean()) < 5 / math.sqrt(n), lag
    pairs = np.bincount(signs[::2].astype(int) + 1 + (signs[1::2].astype(int) + 1) // 2, minlength=4)
    assert np.abs(pairs / (n / 2) - 0.25).max() < 5 / math.sqrt(n)


@pytest.mark.parametrize("other", [1, 2, 1 << 31, 1 << 32, 1 << 63])
def test_dropout_of_another_seed_is_independent(other):
    n = 1 << 16
    a, b = (np.where(_kept(n, seed), 1.0, -1.0) for seed in (0, other))
    for lag in range(64):
        assert abs((a[lag:] * b[: n - lag]).mean()) < 5 / math.sqrt(n - lag)


def test_dropout_counts_on_from_the_offset():
    whole = _kept(5000, seed=7)
    np.testing.assert_array_equal(_kept(3000, seed=7, offset=2000), whole[2000:])
    around = _kept(2000, seed=7, offset=2**32 - 1000)
    np.testing.assert_array_equal(_kept(1000, seed=7, offset=2**32), around[1000:])
    assert (around[1000:] != whole[:1000]).any()  # the counter has 64 bits, not 32


# ---- sums


def test_sum_rows_does_not_lose_digits():
    g = np.full((3, 30011, 2), 0.1, np.float32)
    np.testing.assert_allclose(reference.sum_rows(g), 3 * 30011 * np.float64(np.float32(0.1)), rtol=6e-8)


def test_embedding_grad_is_the_transposed_lookup(rng):
    ids, g = rng.integers(0, S, (B, T)), rng.normal(size=(B, T, DQ))
    one_hot = np.eye(S + 1)[ids]  # (B, T, V)
    close(reference.embedding_grad(g, ids, S + 1), np.einsum("btv,bte->ve", one_hot, g), 1e-14)


# ---- attention


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("keys", [3, 4, 5])
def test_attention_one_query_at_a_time(rng, causal, keys):
    q, k, v = (rng.normal(size=(B, H, *shape)) for shape in [(T, DQ), (keys, DQ), (keys, DV)])
    out, lse = reference.attention(q, k, v, causal, 0.3)
    for b, h, t in np.ndindex(B, H, T):
        seen = min(t + 1, keys) if causal else keys
        weights = [math.exp(0.3 * float(q[b, h, t] @ k[b, h, s])) for s in range(seen)]
        close(out[b, h, t], sum(w * v[b, h, s] for s, w in enumerate(weights)) / sum(weights), 1e-14)
        assert lse[b, h, t] == pytest.approx(math.log(sum(weights)), rel=1e-14)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("options", [{}, {"rate": 0.4, "seed": 2, "offset": 7}, {"mask": True}], ids=["plain", "dropout", "mask"])
def test_gradients_of_attention(rng, causal, options):
    """By difference quotients; two query heads share the keys, and the bias is the same for both, and for every key."""
    q, k, v, g = (rng.normal(size=(1, *shape)) for shape in [(2, T, 3), (1, S, 3), (1, S, 2), (2, T, 2)])
    bias = rng.normal(size=(T, 1)) + (0 if options else rng.normal(size=(1, 1, T, S)))
    mask = rng.random((1, 1, T, S)) < 0.6 if "mask" in options else None
    options = {"mask": mask, **{name: value for name, value in options.items() if name != "mask"}}
    attention = lambda q, k, v, bias: reference.attention(q, k, v, causal, 0.3, bias=bias, **options)  # noqa: E731
    out, lse = attention(q, k, v, bias)
    dq, dk, dv, dbias = reference.attention_grad(g, q, k, v, out, lse, causal, 0.3, bias=bias, **options)
    close(dq, difference_quotients(lambda x: attention(x, k, v, bias)[0], q, g))
    close(dk, difference_quotients(lambda x: attention(q, x, v, bias)[0], k, g))
    close(dv, difference_quotients(lambda x: attention(q, k, x, bias)[0], v, g))
    close(dbias, difference_quotients(lambda x: attention(q, k, v, x)[0], bias, g))


def test_merging_the_heads_of_attention_copies_nothing(rng):
    q, k, v, g = (rng.normal(size=(B, H, *shape)) for shape in [(T, DQ), (S, DQ), (S, DV), (T, DV)])
    out, lse = reference.attention(q, k, v, False, 1.0)
    for a in [out, *reference.attention_grad(g, q, k, v, out, lse, False, 1.0)[:3]]:
        assert a.transpose(0, 2, 1, 3).flags.c_contiguous


def test_attention_without_keys_is_zero():
    out, lse = reference.attention(np.ones((B, H, T, DQ)), np.ones((B, H, 0, DQ)), np.ones((B, H, 0, DV)), False, 1.0)
    assert out.shape == (B, H, T, DV) and not out.any()
    assert (lse == -np.inf).all()


# ---- matrix products


def test_matmul_and_linear(rng):
    a, b = rng.normal(size=(B, 1, T, S)), rng.normal(size=(H, S, DQ))
    close(reference.matmul(a, b), np.einsum("bxts,hsd->bhtd", a, b), 1e-13)
    x, w, bias = rng.normal(size=(B, T, S)), rng.normal(size=(DQ, S)).T, rng.normal(size=DQ)
    close(reference.linear(x, w), np.einsum("bts,sd->btd", x, w), 1e-13)
    close(reference.linear(x, w, bias), np.einsum("bts,sd->btd", x, w) + bias, 1e-13)
    assert reference.linear(x[0, 0], w, bias).shape == (DQ,)


# ---- optimiser


DECAY = [0.1, 0.0, 0.3]


def _lists(rng, count):
    """Lists of arrays: parameters, gradients and ``count`` states, in which no number is below 0."""
    shapes = [(3, 4), (5,), ()]
    return [[np.asarray(rng.random(s) + k) for s in shapes] for k in range(count + 2)]


def _step(name, lists, *arguments):
    """After a step with gradients of half the size, and before it, each with the gradients halved: a list for each array number."""
    before = [[a.copy() for a in arrays] for arrays in lists]
    getattr(reference, name)(*lists, *arguments, grad_scale=0.5)
    for g, kept in zip(lists[1], before[1]):
        assert np.array_equal(g, kept)
    before[1] = [g / 2 for g in before[1]]
    return list(zip(*lists)), list(zip(*before)), DECAY


def test_sgd_is_its_formula(rng):
    for nesterov in (False, True):
        for after, (p, g, velocity), wd in zip(*_step("sgd", _lists(rng, 1), 0.01, 0.9, 0.7, nesterov, DECAY)):
            g = g + wd * p
            velocity = 0.9 * velocity + 0.7 * g
            close(after[2], velocity, 1e-14)
            close(after[0], p - 0.01 * (g + 0.9 * velocity if nesterov else velocity), 1e-14)
    params, grads = lists = _lists(rng, 0)
    want = [p - 0.01 * (g + wd * p) for p, g, wd in zip(params, grads, DECAY)]
    reference.sgd(*lists, None, 0.01, 0.9, 0.7, False, DECAY)
    for p, expected in zip(params, want):
        close(p, expected, 1e-14)


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_is_its_formula(rng, amsgrad, decoupled):
    lists = _lists(rng, 3) if amsgrad else [*_lists(rng, 2), None]
    top = lists.pop()
    kept = top and [a.copy() for a in top]
    before = [[a.copy() for a in arrays] for arrays in lists]
    reference.adam(*lists, top, 0.01, 0.9, 0.99, 1e-3, 3, DECAY, decoupled, grad_scale=0.5)
    for k, (p, g, m, v) in enumerate(zip(*before)):
        g = g / 2 + (0 if decoupled else DECAY[k] * p)
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        largest = np.maximum(kept[k], v) if amsgrad else v
        move = 0.01 * (m / (1 - 0.9**3)) / (np.sqrt(largest / (1 - 0.99**3)) + 1e-3)
        close(lists[0][k], p - move - (0.01 * DECAY[k] * p if decoupled else 0), 1e-14)
        close(lists[2][k], m, 1e-14)
        close(lists[3][k], v, 1e-14)
        if amsgrad:
            close(top[k], largest, 1e-14)


def test_rmsprop_is_its_formula(rng):
    for centered, momentum in [(False, False), (True, False), (False, True), (True, True)]:
        params, grads, mean, v, velocity = _lists(rng, 3)
        v = [np.asarray(a + 10) for a in v]  # above the square of the mean
        lists = [params, grads, v, mean if centered else None, velocity if momentum else None]
        before = [[a.copy() for a in arrays] for arrays in (params, grads, v, mean, velocity)]
        reference.rmsprop(*lists, 0.01, 0.9, 1e-3, 0.8, DECAY, grad_scale=0.5)
        for k, (p, g, square, centre, old) in enumerate(zip(*before)):
            g = g / 2 + DECAY[k] * p
            square, centre = 0.9 * square + 0.1 * g**2, 0.9 * centre + 0.1 * g
            move = g / (np.sqrt(square - (centre**2 if centered else 0)) + 1e-3) + (0.8 * old if momentum else 0)
            close(params[k], p - 0.01 * move, 1e-13)
            close(v[k], square, 1e-14)
            close(mean[k], centre if centered else before[3][k], 1e-14)
            close(velocity[k], move if momentum else old, 1e-13)


def test_adagrad_is_its_formula(rng):
    for after, (p, g, total), wd in zip(*_step("adagrad", _lists(rng, 1), 0.01, 1e-3, DECAY)):
        g = g + wd * p
        close(after[2], total + g**2, 1e-14)
        close(after[0], p - 0.01 * g / (np.sqrt(total + g**2) + 1e-3), 1e-14)


def test_lion_is_its_formula(rng):
    lists = _lists(rng, 1)
    lists[1] = [g - 4 for g in lists[1]]  # of both signs
    for after, (p, g, m), wd in zip(*_step("lion", lists, 0.01, 0.9, 0.99, DECAY)):
        close(after[0], p - 0.01 * (np.sign(0.9 * m + 0.1 * g) + wd * p), 1e-14)
        close(after[2], 0.99 * m + 0.01 * g, 1e-14)


def test_grad_norm_is_one_norm_over_all_arrays(rng):
    grads = [rng.normal(size=s) for s in [(3, 4), (5,), (0, 2)]]
    assert reference.grad_norm(grads) == pytest.approx(np.linalg.norm(np.concatenate([g.ravel() for g in grads])))
    assert reference.grad_norm([np.full(2, 3e30, np.float32)]) == pytest.approx(3e30 * math.sqrt(2))
    assert reference.grad_norm([]) == 0


# ---- what they all promise


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_results_keep_the_dtype_and_are_contiguous(rng, dtype):
    x, g = (rng.normal(size=(T, B, S)).astype(dtype).transpose(1, 0, 2) for _ in range(2))  # (T,B,S) -> (B,T,S)
    gamma, targets = x[0, 0], np.zeros(T, np.int64)
    y, mean, rstd = reference.layer_norm(x, gamma, gamma, 1e-5)
    results = [
        y, mean, rstd,
        reference.softmax(x), reference.softmax(x, x > 0), reference.softmax_grad(g, x),
        reference.log_softmax(x), reference.log_softmax_grad(g, x),
        *reference.layer_norm_grad(g, x, gamma, mean, rstd), reference.sum_rows(g),
        *reference.cross_entropy(x[0], targets, gamma, 0.1, gamma[:1]),
        *reference.gelu(x, "none"), *reference.gelu(x, "tanh"), reference.dropout(x, 0.5, 1, 0),
        reference.embedding_grad(g, np.zeros((B, T), np.int64), 3),
        reference.matmul(x, x[0].T), reference.linear(x, x[0].T, x[0, :, 0]),
    ]  # fmt: skip
    for number, result in enumerate(results):
        assert result.dtype == dtype, number
        assert result.flags.c_contiguous, number

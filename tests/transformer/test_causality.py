"""Causality by perturbation: change token t, and everything before it keeps its bits, on every path."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from transformer.blocks import EncoderBlock
from transformer.layers import MultiHeadAttention
from transformer.models import LanguageModel, LanguageModelConfig

B, V, E, h = 2, 11, 12, 3

kernels = pytest.mark.parametrize("kernels", ["numba", "reference"])
threads = pytest.mark.parametrize("threads", [1, 2])


def changed_at(ids, t):
    other = ids.copy()
    other[:, t] = (ids[:, t] + 1 + t % (V - 1)) % V
    return other


def check(run, ids, places):
    """``run(ids)`` is (B, T, ...): changing token t moves nothing before t, and something at t."""
    before = run(ids)
    for t in places:
        after = run(changed_at(ids, t))
        assert after[:, :t].tobytes() == before[:, :t].tobytes(), f"the past of token {t} knew about it"
        assert not np.array_equal(after[:, t], before[:, t]), f"token {t} does not see itself"
        if t + 1 < ids.shape[1]:
            assert not np.array_equal(after[:, t + 1], before[:, t + 1]), f"the future of token {t} does not see it"


def gpt(T, dtype="float32", dropout=0.0, tied=True):
    with mg.use_default_dtype(dtype):
        model = LanguageModel(LanguageModelConfig(V, T, layers=2, heads=h, width=E, dropout=dropout, tied=tied))
    rng = np.random.default_rng(31)
    for p in model.parameters():
        p.assign(p.numpy() + 0.3 * rng.standard_normal(p.shape))
    return model


def ids_of(T):
    return np.random.default_rng(32).integers(0, V, (B, T))


@kernels
@threads
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", [False, True])
def test_the_model_does_not_see_the_future(kernels, threads, dtype, training):
    model = gpt(7, dtype, dropout=0.3)
    state = model.generator.state()

    def run(ids):
        model.generator.set_state(state)
        return model(ids, training=training).numpy()

    with mg.use_kernels(kernels), mg.use_threads(threads):
        check(run, ids_of(7), range(7))


@kernels
@pytest.mark.parametrize("T", [33, 70, 130])
def test_nor_across_the_blocks_of_a_kernel(kernels, T):
    """Fast attention works on tiles; a mask that is wrong in one corner of one tile shows only in long texts."""
    model = gpt(T)
    with mg.use_kernels(kernels):
        check(lambda ids: model(ids).numpy(), ids_of(T), sorted({1, 15, 16, 31, 32, 63, 64, T - 2, T - 1} & set(range(T))))


def test_recorded_or_not_is_the_same_path():
    model, ids = gpt(7), ids_of(7)
    with mg.no_grad():
        silent = model(ids).numpy()
    assert silent.tobytes() == model(ids).numpy().tobytes()


@kernels
def test_the_text_so_far_is_enough(kernels):
    """The logits for a prefix are those of the whole text: what generation relies on."""
    model, ids = gpt(9, "float64"), ids_of(9)
    with mg.use_kernels(kernels):
        whole = model(ids).numpy()
        for t in range(1, 10):
            np.testing.assert_allclose(model(ids[:, :t]).numpy(), whole[:, :t], atol=1e-12)


@kernels
def test_no_gradient_reaches_a_later_token(kernels):
    """d logits[t] / d x[s] is exactly 0 for s > t, and not for s <= t."""
    x_values = np.random.default_rng(33).standard_normal((1, 6, E))
    with mg.use_kernels(kernels), mg.use_default_dtype("float64"):
        block = EncoderBlock(h, E // h, 5, norm="pre")
        for t in range(6):
            x = Tensor(x_values, requires_grad=True)
            block(x, use_causal_mask=True)[:, t].sum().backward()
            reached = x.grad.numpy().any(axis=(0, 2))
            assert reached.tolist() == [s <= t for s in range(6)]


@kernels
@pytest.mark.parametrize("mask", [None, np.ones((6, 6), bool), np.random.default_rng(3).random((2, 1, 6, 6)) < 0.8])
def test_a_padding_mask_does_not_switch_causality_off(kernels, mask):
    """The famous leak: one of two masks is dropped on the way to one of two code paths."""
    layer = MultiHeadAttention(h, 4)
    x = np.random.default_rng(34).standard_normal((2, 6, E)).astype(np.float32)
    with mg.use_kernels(kernels):
        before = layer(x, x, attention_mask=mask, use_causal_mask=True).numpy()
        for t in range(6):
            other = x.copy()
            other[:, t] += 1
            after = layer(other, other, attention_mask=mask, use_causal_mask=True).numpy()
            assert after[:, :t].tobytes() == before[:, :t].tobytes()


@kernels
def test_batch_entries_do_not_see_each_other(kernels):
    model, ids = gpt(7), ids_of(7)
    other = ids.copy()
    other[1] = (ids[1] + 1) % V
    with mg.use_kernels(kernels):
        assert model(other).numpy()[0].tobytes() == model(ids).numpy()[0].tobytes()


def test_the_test_can_fail(monkeypatch):
    """Without the mask, and with a mask that lets every token see one ahead, `check` must notice."""
    real = mg.scaled_dot_product_attention
    leaks = {
        "none": lambda q, k, v, mask=None, bias=None, **options: real(q, k, v, mask),
        "one ahead": lambda q, k, v, mask=None, bias=None, **options: real(q, k, v, np.tri(q.shape[2], k.shape[2], 1, dtype=bool)),
    }
    model, ids = gpt(7), ids_of(7)
    for leak in leaks.values():
        monkeypatch.setattr(mg, "scaled_dot_product_attention", leak)
        with pytest.raises(AssertionError, match="knew about it"):
            check(lambda ids: model(ids).numpy(), ids, [3])

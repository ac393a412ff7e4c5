"""Attention against the formulas of the notes, one number after the other; two forms of many heads; masks; PyTorch."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from minigrad.errors import MinigradError, ShapeError
from tests.helpers import assert_close
from transformer.layers import MultiHeadAttention

B, T, S, E, h, dq, dv = 2, 3, 4, 6, 3, 5, 7


@pytest.fixture
def layer():
    with mg.use_default_dtype("float64"), mg.random.using(mg.Generator(1)):
        made = MultiHeadAttention(h, dq, dv)
        made.ensure_built((None, None, E))
    rng = np.random.default_rng(2)
    for p in made.parameters():
        p.assign(rng.standard_normal(p.shape))
    return made


@pytest.fixture
def inputs(rng):
    return rng.standard_normal((B, T, E)), rng.standard_normal((B, S, E)), rng.standard_normal((B, S, E))


def attend(Q, K, V, allowed):
    """softmax(Q K^T / sqrt(dq)) V with the questions in the rows; what is not allowed gets weight 0.   (T,dq),(S,dq),(S,dv)"""
    R = np.zeros((len(Q), V.shape[1]))
    for t, question in enumerate(Q):
        powers = [math.exp(question @ key / math.sqrt(len(question))) if allowed[t, s] else 0.0 for s, key in enumerate(K)]
        for power, value in zip(powers, V):
            R[t] += power / sum(powers) * value
    return R


def heads_of(layer, query, value, key, allowed):
    """head_1 .. head_h of every batch entry, as the notes write them: each with small projections of its own."""
    p = {path: t.numpy() for path, t in layer.named_parameters().items()}
    project = lambda X, name, i: X @ p[f"{name}_kernel"][:, i] + p[f"{name}_bias"][i]  # noqa: E731
    return [
        [attend(project(query[b], "query", i), project(key[b], "key", i), project(value[b], "value", i), allowed[b]) for i in range(h)]
        for b in range(len(query))
    ]


def everywhere(*shape):
    return np.ones(shape, bool)


def test_concatenated_heads_times_the_output_matrix(layer, inputs):
    query, value, key = inputs
    W_O = layer.output_kernel.numpy().reshape(h * dv, E)
    for out, heads in zip(layer(query, value, key).numpy(), heads_of(layer, query, value, key, everywhere(B, T, S))):
        assert_close(out, np.concatenate(heads, axis=1) @ W_O + layer.output_bias.numpy(), 1e-13)


def test_sum_over_heads_is_the_same(layer, inputs):
    query, value, key = inputs
    W_O = layer.output_kernel.numpy()
    for out, heads in zip(layer(query, value, key).numpy(), heads_of(layer, query, value, key, everywhere(B, T, S))):
        assert_close(out, sum(head @ W_O[i] for i, head in enumerate(heads)) + layer.output_bias.numpy(), 1e-13)


def test_both_forms_have_the_same_gradients(layer, inputs):
    """R = concat(head_1 .. head_h) W_O = sum_i head_i W_O_i, in the gradient of every parameter and input too."""

    def sum_form(query, value, key):
        total = 0
        for i in range(h):
            q, k, v = (
                x @ getattr(layer, f"{name}_kernel")[:, i] + getattr(layer, f"{name}_bias")[i]
                for name, x in (("query", query), ("key", key), ("value", value))
            )
            weights = mg.softmax(q @ k.mT / math.sqrt(dq))  # (B, T, S), every row adds up to 1
            total = total + weights @ v @ layer.output_kernel[i]
        return total + layer.output_bias

    found = []
    for form in (layer, sum_form):
        leaves = [Tensor(x, requires_grad=True) for x in inputs]
        layer.zero_grad()
        out = form(*leaves)
        out.backward(np.random.default_rng(0).standard_normal((B, T, E)))
        found.append([out.numpy(), *(p.grad.numpy() for p in (*leaves, *layer.parameters()))])
    for a, b in zip(*found):
        assert_close(a, b, 1e-12)


def test_causal_is_top_left(layer, inputs):
    query, value, key = inputs
    allowed = np.broadcast_to(np.tri(T, S, dtype=bool), (B, T, S))
    W_O = layer.output_kernel.numpy().reshape(h * dv, E)
    out = layer(query, value, key, use_causal_mask=True).numpy()
    for o, heads in zip(out, heads_of(layer, query, value, key, allowed)):
        assert_close(o, np.concatenate(heads, axis=1) @ W_O + layer.output_bias.numpy(), 1e-13)


@pytest.mark.parametrize("shape", [(T, S), (B, T, S), (B, 1, T, S), (1, 1, T, S), (B, h, T, S)])
@pytest.mark.parametrize("causal", [False, True])
def test_masks_of_every_shape(layer, inputs, shape, causal):
    query, value, key = inputs
    mask = np.random.default_rng(4).random(shape) < 0.6
    mask[..., 0] = True  # everybody may look at the first key
    full = mask[:, None] if len(shape) == 3 else mask
    allowed = np.broadcast_to(full, (B, h, T, S)) & (np.tri(T, S, dtype=bool) if causal else True)
    out = layer(query, value, key, attention_mask=mask, use_causal_mask=causal).numpy()
    p = layer.output_kernel.numpy()
    for b in range(B):
        heads = [heads_of(layer, query, value, key, allowed[:, i])[b][i] for i in range(h)]
        assert_close(out[b], sum(head @ p[i] for i, head in enumerate(heads)) + layer.output_bias.numpy(), 1e-13)


def test_a_mask_per_batch_entry_is_never_taken_for_one_per_head():
    """With as many heads as batch entries the axes fit both ways: only their order tells."""
    with mg.use_default_dtype("float64"):
        layer = MultiHeadAttention(2, dq)
        x = np.random.default_rng(1).standard_normal((2, T, E))
        mask = np.zeros((2, T, T), bool)
        mask[0, :, 0] = mask[1, :, 1] = True
        out = layer(x, x, attention_mask=mask).numpy()
        alone = [layer(x[b : b + 1], x[b : b + 1], attention_mask=mask[b]).numpy()[0] for b in range(2)]
    assert_close(out, np.stack(alone), 1e-14)


@pytest.mark.parametrize("mask, words", [
    (np.ones((T, S)), "boolean"),
    (everywhere(S, T), r"MultiHeadAttention: attention_mask needs the axes \(T, S\) = \(3, 4\) or .*\(4, 3\)"),
    (everywhere(B + 1, T, S), "needs the axes"),
    (everywhere(1, 1, 1, T, S), r"needs the axes .*\(B, h, T, S\) = \(2, 3, 3, 4\)"), (np.ones((T, S), int), "boolean"),
])  # fmt: skip
def test_masks_that_do_not_fit_raise(layer, inputs, mask, words):
    with pytest.raises(MinigradError, match=words):
        layer(*inputs, attention_mask=mask)


def test_rows_of_weights_add_up_to_one(rng):
    q, k = rng.standard_normal((B, h, T, dq)) * 30, rng.standard_normal((B, h, S, dq)) * 30
    for causal in (False, True):
        assert_close(mg.scaled_dot_product_attention(q, k, np.ones((B, h, S, 1)), is_causal=causal), np.ones((B, h, T, 1)), 1e-14)


def test_scores_of_any_size_give_finite_results():
    q = np.full((1, 1, T, dq), 1e4, np.float32)
    with np.errstate(over="raise", invalid="raise"):
        out = mg.scaled_dot_product_attention(q, q, q)
    assert np.array_equal(out, q)


def test_the_first_word_sees_itself_alone(layer, inputs):
    query, value, _ = inputs
    full = layer(query, value, use_causal_mask=True).numpy()[:, :1]
    alone = layer(query[:, :1], value[:, :1]).numpy()
    assert_close(full, alone, 1e-14)


def test_key_defaults_to_value_in_kerass_order(layer, inputs):
    query, value, key = inputs
    assert np.array_equal(layer(query, value).numpy(), layer(query, value, value).numpy())
    assert np.array_equal(layer(query, value, key=key).numpy(), layer(query, value, key).numpy())
    assert not np.allclose(layer(query, value, key).numpy(), layer(query, key, value).numpy())


def test_questions_do_not_look_at_each_other(layer, inputs):
    query, value, key = inputs
    order = [2, 0, 1]
    assert_close(layer(query[:, order], value, key).numpy(), layer(query, value, key).numpy()[:, order], 1e-14)


def test_the_order_of_keys_does_not_matter(layer, inputs):
    query, value, key = inputs
    order = [3, 1, 0, 2]
    assert_close(layer(query, value[:, order], key[:, order]).numpy(), layer(query, value, key).numpy(), 1e-13)


def test_a_word_without_anything_to_look_at_gets_the_bias_alone(layer, inputs):
    mask = everywhere(T, S)
    mask[1] = False
    out = layer(*inputs, attention_mask=mask)
    assert np.array_equal(out.numpy()[:, 1], np.broadcast_to(layer.output_bias.numpy(), (B, E)))
    out.sum().backward()
    assert all(np.isfinite(p.grad.numpy()).all() for p in layer.parameters())


@pytest.mark.parametrize("wrong", [np.ones((B, T, E + 1)), np.ones((T, E)), np.ones((1, B, T, E))])
def test_inputs_of_another_shape_are_named(layer, wrong):
    with pytest.raises(ShapeError, match=r"MultiHeadAttention: query needs the axes \(B, T(, E\)| or S, E\) with E = 6).*Received"):
        layer(wrong, np.ones((B, S, E)))


@pytest.mark.parametrize("numbers", [(0, 4), (2, 0), (2.0, 4), (2, 4, -1)])
def test_numbers_that_cannot_be_heads_are_refused(numbers):
    with pytest.raises(ValueError, match="MultiHeadAttention.*whole number.*Received"):
        MultiHeadAttention(*numbers)


@pytest.mark.oracle
@pytest.mark.parametrize("causal", [False, True])
def test_equals_pytorch(causal, rng):
    import torch

    heads, width = 3, 4  # PyTorch ties the width of a head: E = h dq
    E = heads * width
    with mg.use_default_dtype("float64"):
        ours = MultiHeadAttention(heads, width)
        ours.ensure_built((None, None, E))
    for p in ours.parameters():
        p.assign(rng.standard_normal(p.shape))
    theirs = torch.nn.MultiheadAttention(E, heads, batch_first=True, dtype=torch.float64)
    wide = {name: t.numpy() for name, t in ours.named_parameters().items()}
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.tensor(np.concatenate([wide[f"{n}_kernel"].reshape(E, E).T for n in ("query", "key", "value")])))
        theirs.in_proj_bias.copy_(torch.tensor(np.concatenate([wide[f"{n}_bias"].reshape(E) for n in ("query", "key", "value")])))
        theirs.out_proj.weight.copy_(torch.tensor(wide["output_kernel"].reshape(E, E).T.copy()))
        theirs.out_proj.bias.copy_(torch.tensor(wide["output_bias"]))
    query, value, key = (rng.standard_normal((B, n, E)) for n in (T, S, S))
    mask = torch.tensor(~np.tri(T, S, dtype=bool)) if causal else None
    leaves = [Tensor(x, requires_grad=True) for x in (query, key, value)]
    torch_leaves = [torch.tensor(x, requires_grad=True) for x in (query, key, value)]
    out = ours(leaves[0], leaves[2], leaves[1], use_causal_mask=causal)
    expected, _ = theirs(*torch_leaves, attn_mask=mask)
    assert_close(out.numpy(), expected.detach().numpy(), 1e-13)
    weights = rng.standard_normal(out.shape)
    out.backward(weights)
    expected.backward(torch.tensor(weights))
    for a, b in zip(leaves, torch_leaves):
        assert_close(a.grad.numpy(), b.grad.numpy(), 1e-13)
    assert_close(ours.output_kernel.grad.numpy().reshape(E, E), theirs.out_proj.weight.grad.numpy().T, 1e-13)
    grads = theirs.in_proj_weight.grad.numpy()
    for i, name in enumerate(("query", "key", "value")):
        assert_close(getattr(ours, f"{name}_kernel").grad.numpy().reshape(E, E), grads[i * E : (i + 1) * E].T, 1e-13)

"""Layers beside PyTorch's modules: weights converted, then values and the gradient of every input and weight."""

import itertools

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from tests.helpers import assert_close
from transformer import layers

pytestmark = pytest.mark.oracle

B, T, S, h, width = 2, 3, 4, 3, 5
E = h * width  # PyTorch ties the width of a head to that of the model
F = 7


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def in_float64():
    with mg.use_default_dtype("float64"):
        yield


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def fill(layer):
    """Random numbers in every parameter."""
    rng = np.random.default_rng(9)
    for p in layer.parameters():
        p.assign(rng.standard_normal(p.shape))


def compare(inputs, ours, theirs, parameters, tolerance=1e-12):
    """``ours`` of Tensors and ``theirs`` of torch's tensors; ``parameters`` are pairs, and how theirs looks in our layout."""
    import torch

    leaves = [Tensor(x, requires_grad=True) if x.dtype.kind == "f" else x for x in inputs]
    torch_leaves = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    outs, expected = ours(*leaves), theirs(*torch_leaves)
    outs, expected = (list(o) if isinstance(o, tuple) else [o] for o in (outs, expected))
    cotangents = [normal(2, *o.shape)[1] for o in outs]
    sum((o * c).sum() for o, c in zip(outs, cotangents)).backward()
    sum((o * torch.tensor(c)).sum() for o, c in zip(expected, cotangents)).backward()
    for out, other in zip(outs, expected, strict=True):
        assert_close(out.numpy(), other.detach().numpy(), tolerance)
    for own, other in zip(leaves, torch_leaves):
        if isinstance(own, Tensor):
            assert_close(own.grad.numpy(), other.grad.numpy(), tolerance)
    for number, (own, other, layout) in enumerate(parameters):
        assert_close(own.grad.numpy(), layout(other.grad.numpy()), tolerance, f"parameter {number}")


def same(array):
    return array


# ------------------------------------------------------------------------------------------------------------- attention


def attention_pair(torch, bias=True, widths=(E, E, E)):
    """Ours and PyTorch's, with the same random weights, and the pairs of their parameters."""
    ours = layers.MultiHeadAttention(h, width, use_bias=bias)
    ours.ensure_built(*((None, None, n) for n in (widths[0], widths[2], widths[1])))  # query, value, key
    fill(ours)
    theirs = torch.nn.MultiheadAttention(E, h, bias=bias, kdim=widths[1], vdim=widths[2], batch_first=True, dtype=torch.float64)
    p = ours.named_parameters()
    pairs = []
    if len(set(widths)) == 1:
        for i, name in enumerate(("query", "key", "value")):  # three matrices in one, each transposed: (3 E, E)
            rows = slice(i * E, (i + 1) * E)
            pairs.append((p[f"{name}_kernel"], theirs.in_proj_weight, lambda a, rows=rows: a[rows].T.reshape(E, h, width)))
    else:
        for i, name in enumerate(("query", "key", "value")):
            pairs.append((p[f"{name}_kernel"], getattr(theirs, f"{name[0]}_proj_weight"), lambda a, n=widths[i]: a.T.reshape(n, h, width)))
    pairs.append((p["output_kernel"], theirs.out_proj.weight, lambda a: a.T.reshape(h, width, E)))
    if bias:
        for i, name in enumerate(("query", "key", "value")):
            rows = slice(i * E, (i + 1) * E)
            pairs.append((p[f"{name}_bias"], theirs.in_proj_bias, lambda a, rows=rows: a[rows].reshape(h, width)))
        pairs.append((p["output_bias"], theirs.out_proj.bias, same))
    with torch.no_grad():
        for own, other, layout in pairs:
            layout(other.numpy())[...] = own.numpy()  # the layouts are views
    return ours, theirs, pairs


ALLOWED = np.random.default_rng(1).random((B, h, T, S)) < 0.6
ALLOWED[..., 0] = True
REAL = np.array([[True, True, True, False], [True, False, True, True]])


@pytest.mark.parametrize("padding, mask, causal", list(itertools.product([False, True], ["none", "(T, S)", "(B h, T, S)"], [False, True])))
@pytest.mark.parametrize("weights", [False, True], ids=["", "weights"])
def test_multi_head_attention_with_every_mask(torch, padding, mask, causal, weights):
    """What is True there may not be used; here it may."""
    ours, theirs, pairs = attention_pair(torch)
    allowed = {"none": None, "(T, S)": ALLOWED[0, 0], "(B h, T, S)": ALLOWED}[mask]
    theirs_allowed = np.ones((T, S), bool) if allowed is None else allowed.reshape(-1, T, S) if allowed.ndim == 4 else allowed
    if causal:
        theirs_allowed = theirs_allowed & np.tri(T, S, dtype=bool)
    compare(
        [normal(B, T, E), normal(B, S, E), normal(B, S, E + 1)[..., 1:]],
        lambda q, k, v: ours(q, v, k, key_mask=REAL if padding else None, attention_mask=allowed, use_causal_mask=causal,
                             return_attention_scores=weights),
        lambda q, k, v: theirs(
            q, k, v, key_padding_mask=torch.tensor(~REAL) if padding else None, attn_mask=torch.tensor(~theirs_allowed),
            need_weights=weights, average_attn_weights=False,
        )[: 1 + weights],
        pairs,
    )  # fmt: skip


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("widths", [(E, E, E), (E, 4, 6)], ids=str)
def test_multi_head_attention_of_other_widths(torch, bias, widths):
    ours, theirs, pairs = attention_pair(torch, bias, widths)
    compare(
        [normal(B, T, widths[0]), normal(B, S, widths[1]), normal(B, S, widths[2])],
        lambda q, k, v: ours(q, v, k, return_attention_scores=True), lambda q, k, v: theirs(q, k, v, average_attn_weights=False), pairs,
    )  # fmt: skip


def test_the_weights_of_pytorch_are_by_default_the_mean_over_the_heads(torch):
    ours, theirs, _ = attention_pair(torch)
    x = normal(B, T, E)
    _, weights = ours(x, x, return_attention_scores=True)
    assert_close(weights.numpy().mean(1), theirs(*[torch.tensor(x)] * 3)[1].detach().numpy(), 1e-13)


def test_a_question_with_no_key_left_is_nan_there_and_zeros_here(torch):
    ours, theirs, _ = attention_pair(torch)
    x, mask = normal(B, T, E), np.ones((T, T), bool)
    mask[1] = False
    out = ours(x, x, attention_mask=mask).numpy()
    other = theirs(*[torch.tensor(x)] * 3, attn_mask=torch.tensor(~mask))[0].detach().numpy()
    assert np.isnan(other[:, 1]).all()
    assert np.array_equal(out[:, 1], np.broadcast_to(ours.output_bias.numpy(), (B, E)))
    assert_close(out[:, [0, 2]], other[:, [0, 2]], 1e-12)


# --------------------------------------------------------------------------------------------------------- normalizations


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("center, scale", [(True, True), (False, True), (False, False)])
def test_layer_norm(torch, axes, center, scale):
    x = normal(B, T, S, F) * 3 + 2
    ours = layers.LayerNormalization(tuple(range(-axes, 0)), 1e-5, center, scale).ensure_built(x.shape)
    theirs = torch.nn.LayerNorm(x.shape[-axes:], 1e-5, scale, center, dtype=torch.float64)
    compare([x], ours, theirs, shared(ours, theirs, scale, center), 1e-11)


def shared(ours, theirs, scale=True, center=True):
    """The pairs of gamma and beta, filled alike."""
    import torch

    fill(ours)
    pairs = [(ours.gamma, theirs.weight, same)] * scale + [(ours.beta, theirs.bias, same)] * center
    with torch.no_grad():
        for own, other, _ in pairs:
            other.copy_(torch.tensor(own.numpy()))
    return pairs


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("eps", [1e-6, 0.1])
def test_rms_norm(torch, axes, eps):
    x = normal(B, T, S, F) * 3 + 2
    ours = layers.RMSNormalization(tuple(range(-axes, 0)), eps).ensure_built(x.shape)
    theirs = torch.nn.RMSNorm(x.shape[-axes:], eps, dtype=torch.float64)
    fill(ours)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(ours.scale.numpy()))
    compare([x], ours, theirs, [(ours.scale, theirs.weight, same)])


@pytest.mark.parametrize("shape, axis", [((9, F), -1), ((B, F, T), 1)], ids=["(B, F)", "(B, F, T)"])
@pytest.mark.parametrize("momentum", [0.9, 0.3])
def test_batch_norm_over_several_batches(torch, shape, axis, momentum):
    """Their momentum is the share of the new value, their running variance divides by n - 1; the batch's own by n, in both."""
    ours = layers.BatchNormalization(axis, momentum, 1e-5).ensure_built(shape)
    theirs = torch.nn.BatchNorm1d(F, 1e-5, momentum=1 - momentum, dtype=torch.float64)
    pairs = shared(ours, theirs)
    biased = np.ones(F)
    n = np.prod(shape) // F
    for step, training in enumerate([True, True, False, True, False]):
        batch = normal(*shape) * (step + 1) + step
        for own, other, _ in pairs:
            own.grad = other.grad = None
        if not training:  # with the same statistics the same result
            theirs.running_var.copy_(torch.tensor(ours.moving_variance.numpy()))
        before = theirs.running_var.numpy().copy()
        compare([batch], lambda x, training=training: ours(x, training=training), theirs.train(training), pairs, 1e-11)
        assert_close(ours.moving_mean.numpy(), theirs.running_mean.numpy(), 1e-13)
        if training:
            own = batch.var(axis=tuple(i for i in range(batch.ndim) if i != axis % batch.ndim))
            biased = momentum * biased + (1 - momentum) * own
            assert_close(ours.moving_variance.numpy(), biased, 1e-13)
            assert_close(theirs.running_var.numpy(), momentum * before + (1 - momentum) * own * n / (n - 1), 1e-13)
            assert not np.allclose(ours.moving_variance.numpy(), theirs.running_var.numpy())


def test_the_defaults_of_batch_norm_are_named_the_same_and_mean_the_opposite(torch):
    ours, theirs = layers.BatchNormalization(), torch.nn.BatchNorm1d(F)
    assert (ours.momentum, theirs.momentum) == (0.99, 0.1) and (ours.epsilon, theirs.eps) == (1e-3, 1e-5)


# ----------------------------------------------------------------------------------------------------- dense and embedding


@pytest.mark.parametrize("bias", [True, False])
def test_linear(torch, bias):
    ours, theirs = mg.Dense(F, use_bias=bias).ensure_built((None, E)), torch.nn.Linear(E, F, bias, dtype=torch.float64)
    fill(ours)
    pairs = [(ours.kernel, theirs.weight, np.transpose)] + [(ours.bias, theirs.bias, same)] * bias
    with torch.no_grad():
        for own, other, layout in pairs:
            layout(other.numpy())[...] = own.numpy()
    compare([normal(B, T, E)], ours, theirs, pairs)


def test_embedding(torch):
    """An id that comes twice collects the gradients of both places, one that never comes has none."""
    ours, theirs = layers.Embedding(F, E), torch.nn.Embedding(F, E, dtype=torch.float64)
    fill(ours)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(ours.embeddings.numpy()))
    compare([np.array([[3, 0, 3], [6, 3, 1]])], ours, theirs, [(ours.embeddings, theirs.weight, same)])
    assert not ours.embeddings.grad.numpy()[[2, 4, 5]].any() and ours.embeddings.grad.numpy()[[0, 1, 3, 6]].all()

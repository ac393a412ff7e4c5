"""Blocks against PyTorch's nn.TransformerEncoderLayer and nn.TransformerDecoderLayer: values and every gradient, with masks; the gated
feed-forward part against that of Hugging Face's LLaMA."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from tests.helpers import assert_close
from transformer.blocks import DecoderBlock, EncoderBlock, GatedFeedForward

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

B, T, S, E, F, h = 2, 3, 4, 12, 7, 3
EPSILON = 1e-5
X = np.random.default_rng(1).standard_normal((B, T, E))
MEMORY = np.random.default_rng(2).standard_normal((B, S, E))
G = np.random.default_rng(3).standard_normal((B, T, E))
MASK = np.array([[True, True, False], [True, True, True]])
MEMORY_MASK = np.array([[True, True, True, False], [True, False, True, True]])

norms = pytest.mark.parametrize("norm", ["pre", "post"])
activations = pytest.mark.parametrize("activation", ["relu", "gelu"])


def ours(block_class, *shapes, **options):
    with mg.use_default_dtype("float64"):
        block = block_class(h, E // h, F, epsilon=EPSILON, **options).ensure_built(*shapes)
    rng = np.random.default_rng(4)
    for p in block.parameters():
        p.assign(rng.standard_normal(p.shape))
    return block


def values(p):
    return p.numpy()


def gradient(p):
    return p.grad.numpy()


def attention_as_theirs(prefix, attention, of):
    """An attention's weights, or their gradients, as PyTorch names them and lays them out."""
    names = ("query", "key", "value")
    found = {
        "in_proj_weight": np.concatenate([of(getattr(attention, f"{name}_kernel")).reshape(E, E).T for name in names]),
        "in_proj_bias": np.concatenate([of(getattr(attention, f"{name}_bias")).reshape(E) for name in names]),
        "out_proj.weight": of(attention.output_kernel).reshape(E, E).T,
        "out_proj.bias": of(attention.output_bias),
    }
    return {f"{prefix}.{name}": array for name, array in found.items()}


def encoder_as_theirs(block, of):
    rest = the_rest(block, (block.after_attention, block.after_feed_forward), of)
    return attention_as_theirs("self_attn", block.attention, of) | rest


def decoder_as_theirs(block, of):
    own = attention_as_theirs("self_attn", block.self_attention, of)
    across = attention_as_theirs("multihead_attn", block.cross_attention, of)
    return own | across | the_rest(block, (block.after_self_attention, block.after_cross_attention, block.after_feed_forward), of)


def the_rest(block, norm_layers, of):
    """Feed-forward and normalizations, as PyTorch lays them out; ``of`` takes a parameter's values or its gradient."""
    found = {
        "linear1.weight": of(block.feed_forward.wide.kernel).T, "linear1.bias": of(block.feed_forward.wide.bias),
        "linear2.weight": of(block.feed_forward.narrow.kernel).T, "linear2.bias": of(block.feed_forward.narrow.bias),
    }  # fmt: skip
    for number, layer in enumerate(norm_layers, 1):
        found |= {f"norm{number}.weight": of(layer.normalization.gamma), f"norm{number}.bias": of(layer.normalization.beta)}
    return found


def tensors(state):
    return {name: torch.tensor(np.array(array)) for name, array in state.items()}


def layer_of_theirs(kind, activation, norm):
    return kind(E, h, F, 0.0, activation, EPSILON, batch_first=True, norm_first=norm == "pre", dtype=torch.float64)


def compare(theirs, block, as_theirs, run_theirs, run_ours, arrays):
    """Weights in, the same result out, and the same gradient for every weight and every input."""
    state = as_theirs(block, values)
    assert theirs.state_dict().keys() == state.keys()
    theirs.load_state_dict(tensors(state))
    inputs = [Tensor(a, requires_grad=True) for a in arrays]
    others = [torch.tensor(a, requires_grad=True) for a in arrays]
    out, expected = run_ours(*inputs), run_theirs(*others)
    assert_close(out.numpy(), expected.detach().numpy(), 1e-12)
    out.backward(G)
    expected.backward(torch.tensor(G))
    gradients = as_theirs(block, gradient)
    for name, parameter in theirs.named_parameters():
        assert_close(gradients[name], parameter.grad.numpy(), 1e-12, name)
    for x, other in zip(inputs, others):
        assert_close(x.grad.numpy(), other.grad.numpy(), 1e-12)


def not_(mask):
    """PyTorch's masks are True for what may not be attended to."""
    return torch.tensor(~mask)


FUTURE = not_(np.tri(T, dtype=bool))


@norms
@activations
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_encoder_block(norm, activation, causal, padded):
    block = ours(EncoderBlock, (None, None, E), activation=activation, norm=norm)
    theirs = layer_of_theirs(torch.nn.TransformerEncoderLayer, activation, norm)
    compare(
        theirs, block, encoder_as_theirs,
        lambda x: theirs(x, src_mask=FUTURE if causal else None, src_key_padding_mask=not_(MASK) if padded else None),
        lambda x: block(x, mask=MASK if padded else None, use_causal_mask=causal),
        [X],
    )  # fmt: skip


@norms
@activations
@pytest.mark.parametrize("padded", [False, True])
def test_decoder_block(norm, activation, padded):
    block = ours(DecoderBlock, (None, None, E), (None, None, E), activation=activation, norm=norm)
    theirs = layer_of_theirs(torch.nn.TransformerDecoderLayer, activation, norm)
    mask, memory_mask = (MASK, MEMORY_MASK) if padded else (None, None)
    padding = {"tgt_key_padding_mask": not_(MASK), "memory_key_padding_mask": not_(MEMORY_MASK)} if padded else {}
    compare(
        theirs, block, decoder_as_theirs,
        lambda x, memory: theirs(x, memory, tgt_mask=FUTURE, **padding),
        lambda x, memory: block(x, memory=memory, mask=mask, memory_mask=memory_mask),
        [X, MEMORY],
    )  # fmt: skip


@norms
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_a_whole_encoder_decoder(norm):
    """Two blocks each on vectors, as nn.Transformer stacks them, without its last normalizations."""
    encoder = [ours(EncoderBlock, (None, None, E), norm=norm) for _ in range(2)]
    decoder = [ours(DecoderBlock, (None, None, E), (None, None, E), norm=norm) for _ in range(2)]
    options = {"norm_first": norm == "pre", "layer_norm_eps": EPSILON, "dtype": torch.float64}
    theirs = torch.nn.Transformer(E, h, 2, 2, F, 0.0, batch_first=True, **options)
    theirs.encoder.norm = theirs.decoder.norm = None
    state = {f"encoder.layers.{i}.{name}": a for i, b in enumerate(encoder) for name, a in encoder_as_theirs(b, values).items()}
    state |= {f"decoder.layers.{i}.{name}": a for i, b in enumerate(decoder) for name, a in decoder_as_theirs(b, values).items()}
    theirs.load_state_dict(tensors(state))
    memory, x = MEMORY, X
    for block in encoder:
        memory = block(memory, mask=MEMORY_MASK)
    for block in decoder:
        x = block(x, memory=memory, memory_mask=MEMORY_MASK)
    padding = not_(MEMORY_MASK)
    expected = theirs(
        torch.tensor(MEMORY), torch.tensor(X), tgt_mask=FUTURE, src_key_padding_mask=padding, memory_key_padding_mask=padding
    )
    assert_close(x.numpy(), expected.detach().numpy(), 1e-12)


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("activation, theirs", [("swiglu", "silu"), ("geglu", "gelu"), ("geglu_tanh", "gelu_pytorch_tanh")])
def test_gated_feed_forward(activation, theirs, use_bias):
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    config = llama.LlamaConfig(hidden_size=E, intermediate_size=F, num_attention_heads=h, hidden_act=theirs, mlp_bias=use_bias)
    module = llama.LlamaMLP(config).double()
    with mg.use_default_dtype("float64"):
        layer = GatedFeedForward(F, activation, use_bias).ensure_built((B, T, E))
    pairs = (layer.gate, module.gate_proj), (layer.up, module.up_proj), (layer.down, module.down_proj)
    for dense, linear in pairs:
        dense.kernel.assign(linear.weight.detach().numpy().T)
        if use_bias:
            dense.bias.assign(linear.bias.detach().numpy())
    x, other = Tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    y, expected = layer(x), module(other)
    y.backward(G)
    expected.backward(torch.tensor(G))
    assert_close(y.numpy(), expected.detach().numpy(), 1e-12)
    assert_close(x.grad.numpy(), other.grad.numpy(), 1e-12)
    for dense, linear in pairs:
        assert_close(dense.kernel.grad.numpy(), linear.weight.grad.numpy().T, 1e-12)
        if use_bias:
            assert_close(dense.bias.grad.numpy(), linear.bias.grad.numpy(), 1e-12)

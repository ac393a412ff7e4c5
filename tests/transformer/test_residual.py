"""Skip connections computed by the layer that they go around: the same sum, values and gradients, as by a + behind it."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, derivatives
from minigrad.core import REGISTRY
from minigrad.errors import ShapeError
from minigrad.ops.fused import linear_plus
from transformer import blocks, layers

B, T, S, E, F, h, dq = 2, 3, 4, 6, 7, 2, 5
NORMS = ["pre", "post", None]

LAYERS = {
    "Dense": lambda: mg.Dense(E),
    "Dense without bias": lambda: mg.Dense(E, use_bias=False),
    "Dense with an activation": lambda: mg.Dense(E, "tanh"),
    "Dense with gelu": lambda: mg.Dense(E, "gelu"),
    "Dense, broadcast": lambda: mg.Dense(1),
    "FeedForward": lambda: blocks.FeedForward(F, "gelu"),
    "FeedForward without bias": lambda: blocks.FeedForward(F, use_bias=False),
    "GatedFeedForward": lambda: blocks.GatedFeedForward(F, "geglu_tanh"),
    "GatedFeedForward with bias": lambda: blocks.GatedFeedForward(F, use_bias=True),
    "MultiHeadAttention": lambda: SelfAttention(layers.MultiHeadAttention(h, dq)),
    "MultiHeadAttention without bias": lambda: SelfAttention(layers.MultiHeadAttention(h, dq, use_bias=False)),
    "MultiHeadAttention as a sum": lambda: SelfAttention(layers.MultiHeadAttention(h, dq, combine="sum")),
    "MultiHeadAttention to several axes": lambda: SelfAttention(layers.MultiHeadAttention(h, dq, output_shape=(2, 3))),
    "GroupQueryAttention": lambda: SelfAttention(layers.GroupQueryAttention(dq, 4, 2)),
}


class SelfAttention(mg.Layer):
    """Attention as a layer of one input."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def call(self, x, residual=None):
        return self.attention(x, x, use_causal_mask=True, residual=residual)


class Hidden(mg.Layer):
    """A layer that does not say that its inner one can add."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x)


@pytest.fixture(autouse=True)
def _double():
    with mg.use_default_dtype("float64"):
        yield


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def spread(layer, *inputs):
    """The layer, built by a call, with weights so large that every one of them matters."""
    layer(*inputs)
    for i, p in enumerate(layer.parameters()):
        p.assign(normal(*p.shape, seed=20 + i))
    return layer


def everything(f, inputs, parameters, order=1):
    """What f gives and its gradients for inputs and parameters; of the second order, those of a norm of the first too."""
    xs = [Tensor(x, requires_grad=True) for x in inputs]
    y = f(*xs)
    leaves = [*xs, *parameters]
    found = derivatives.gradients(y, leaves, [normal(*y.shape, seed=1)], create_graph=order == 2)
    result = [y, *found]
    if order == 2:
        result += derivatives.gradients(sum([mg.sum(mg.square(d)) for d in found]), leaves, allow_unused=True)
    return [None if r is None else r.numpy() for r in result]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


def ops_behind(*outputs):
    """The names of all recorded ops behind tensors, each as often as it was recorded."""
    seen, stack = {}, [y.grad_fn for y in outputs]
    while stack:
        node = stack.pop()
        if node is not None and node.age not in seen:
            seen[node.age] = node.op.name
            stack += [x.grad_fn for x in node.tensors if x is not None]
    return list(seen.values())


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_adds_gives_the_sum(name, order):
    layer = spread(LAYERS[name](), normal(B, T, E))
    shape = layer(normal(B, T, E)).shape if "several" in name else (B, T, E)
    inputs = normal(B, T, E, seed=2), normal(*shape, seed=3)
    parameters = layer.parameters()
    assert_same(
        everything(lambda x, r: layer(x, residual=r), inputs, parameters, order),
        everything(lambda x, r: r + layer(x), inputs, parameters, order),
    )


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", [name for name in LAYERS if "several" not in name])
def test_add_norm_is_the_same_around_what_adds_and_what_does_not(name, norm, order):
    layer = spread(LAYERS[name](), normal(B, T, E))
    around = spread(blocks.AddNorm(norm), normal(B, T, E), lambda x: x)
    parameters = [*layer.parameters(), *around.parameters()]

    def formula(x):
        y = x + layer(around.normalization(x) if norm == "pre" else x)
        return around.normalization(y) if norm == "post" else y

    x = [normal(B, T, E, seed=2)]
    expected = everything(formula, x, parameters, order)
    assert_same(everything(lambda x: around(x, layer), x, parameters, order), expected)
    assert_same(everything(lambda x: around(x, lambda x: layer(x)), x, parameters, order), expected)
    assert_same(everything(lambda x: around(x, Hidden(layer)), x, parameters, order), expected)


@pytest.mark.parametrize("norm", NORMS)
def test_a_block_records_no_sum(norm):
    encoder = blocks.EncoderBlock(h, dq, F, norm=norm)
    decoder = blocks.DecoderBlock(h, dq, F, norm=norm)
    x, memory = Tensor(normal(B, T, E), requires_grad=True), normal(B, S, E)
    for y in encoder(x), decoder(x, memory=memory):
        assert "add" not in ops_behind(y)
    assert ops_behind(blocks.AddNorm(norm)(x, mg.tanh)).count("add") == 1
    assert "add" in ops_behind(blocks.EncoderBlock(h, dq, F, norm=norm, dropout=0.5)(x, training=True))


@pytest.mark.parametrize("norm", NORMS)
def test_dropout_drops_from_the_correction_alone(norm):
    layer = spread(blocks.FeedForward(F), normal(B, T, E))
    around = spread(blocks.AddNorm(norm, dropout=0.5), normal(B, T, E), lambda x: x)
    x = normal(B, T, E, seed=2)

    def run(f):
        around.dropout.generator = mg.Generator(5)
        return around(x, f, training=True).numpy()

    np.testing.assert_array_equal(run(layer), run(lambda x: layer(x)))
    assert not np.allclose(run(layer), around(x, layer).numpy())


@pytest.mark.parametrize("norm", NORMS)
def test_without_the_skip_nothing_is_added(norm):
    layer = spread(blocks.FeedForward(F), normal(B, T, E))
    around = spread(blocks.AddNorm(norm, skip=False), normal(B, T, E), lambda x: x)
    x = normal(B, T, E, seed=2)
    expected = layer(around.normalization(x)) if norm == "pre" else around.normalization(layer(x)) if norm == "post" else layer(x)
    np.testing.assert_array_equal(around(x, layer).numpy(), expected.numpy())


def test_parts_of_a_block_can_be_exchanged_for_layers_that_do_not_add():
    block = spread(blocks.EncoderBlock(h, dq, F, norm="pre"), normal(B, T, E))
    x = normal(B, T, E, seed=2)
    expected = block(x).numpy()
    block.feed_forward.narrow = Hidden(block.feed_forward.narrow)
    np.testing.assert_allclose(block(x).numpy(), expected, rtol=1e-13, atol=1e-13)
    block.feed_forward = Hidden(block.feed_forward)
    np.testing.assert_allclose(block(x).numpy(), expected, rtol=1e-13, atol=1e-13)
    block.after_attention.normalization = layers.RMSNormalization().ensure_built((None, E))
    assert block(x).shape == (B, T, E)
    block.attention = lambda query, value, **_: query + value
    assert block(x).shape == (B, T, E)


def test_a_residual_of_another_shape_raises():
    attention = layers.MultiHeadAttention(h, dq)
    x = normal(B, T, E)
    with pytest.raises(ShapeError, match=r"combine_heads: plus.*\(2, 3, 6\).*\(2, 3, 1\)"):
        attention(x, x, residual=normal(B, T, 1))


# ------------------------------------------------------------------------- gradients that are added to what has come


def through_a_skip(x, norm):
    """x + f(norm(x)): what has come to x, the normalization adds to."""
    return linear_plus(mg.tanh(norm(x)), normal(E, E, seed=4), x)


@pytest.mark.parametrize("norm", [mg.layer_norm, mg.rms_norm])
def test_gradients_kept_on_the_way_never_change(norm):
    """Who kept a gradient sees no more than what had come."""
    x = Tensor(normal(B, T, E), requires_grad=True)
    inner = x * 2.0
    out = through_a_skip(inner, norm)
    given = []
    out.register_hook(lambda d: given.append((d, d.numpy().copy())))
    for tensor in (out, inner):
        tensor.retain_grad()
    g = normal(B, T, E, seed=5)
    out.backward(g)
    ((kept, then),) = given
    np.testing.assert_array_equal(kept.numpy(), then)
    np.testing.assert_array_equal(out.grad.numpy(), g)
    np.testing.assert_allclose(x.grad.numpy(), 2.0 * inner.grad.numpy(), rtol=1e-14)


def test_the_gradient_that_a_user_gave_stays():
    x, g = Tensor(normal(B, T, E), requires_grad=True), normal(B, T, E, seed=5)
    before, tensor = g.copy(), Tensor(g)
    through_a_skip(x, mg.layer_norm).backward(g)
    x.grad = None
    through_a_skip(x, mg.layer_norm).backward(tensor)
    np.testing.assert_array_equal(g, before)
    np.testing.assert_array_equal(tensor.numpy(), before)


@pytest.mark.parametrize("norm", [mg.layer_norm, mg.rms_norm])
def test_the_normalization_adds_in_place_what_has_come_through_the_skip(norm, monkeypatch):
    given, rule = [], REGISTRY["row_norm"].rule
    monkeypatch.setattr(REGISTRY["row_norm"], "rule", lambda *args, into, **more: given.append(into[0]) or rule(*args, into=into, **more))
    x = Tensor(normal(B, T, E), requires_grad=True)
    (3.0 * through_a_skip(2.0 * x, norm)).backward(normal(B, T, E, seed=5))
    assert len(given) == 1 and given[0] is not None


# --------------------------------------------------------------------------------- a feed-forward part as one recorded op


def test_layers_that_replace_those_of_a_feed_forward_part_are_built_and_called():
    x, part = normal(B, T, E), blocks.FeedForward(7, "gelu")
    part(x)
    part.narrow = mg.Dense(5)
    assert part(x).shape == (B, T, 5)
    part.wide.call = lambda x: mg.zeros((*x.shape[:-1], 7))
    np.testing.assert_array_equal(part(x).numpy(), np.zeros((B, T, 5)))

"""Identities of the notes: two ways to say one thing, equal in value and, where that makes sense, in every gradient."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from tests.helpers import assert_close
from transformer.blocks import AddNorm, EncoderBlock
from transformer.layers import (
    Attention,
    BatchNormalization,
    Embedding,
    GroupQueryAttention,
    LayerNormalization,
    MultiHeadAttention,
    Normalization,
    SinusoidalPositions,
)
from transformer.models import LanguageModel, LanguageModelConfig

B, T, S, h, E, dq, dv, F, V = 2, 3, 4, 5, 10, 6, 7, 9, 11
RNG = np.random.default_rng(8)
QUERY, KEY, VALUE = RNG.standard_normal((B, T, E)), RNG.standard_normal((B, S, E)), RNG.standard_normal((B, S, E))
Q, K, V_ = RNG.standard_normal((B, T, dq)), RNG.standard_normal((B, S, dq)), RNG.standard_normal((B, S, dv))
X = RNG.normal(3.0, 2.0, (B, T, F))


@pytest.fixture(autouse=True)
def in_float64():
    with mg.use_default_dtype("float64"):
        yield


def spread(layer, *shapes):
    """The layer, built, with weights so large that every one of them matters."""
    layer.ensure_built(*shapes)
    rng = np.random.default_rng(5)
    for p in layer.parameters():
        p.assign(rng.standard_normal(p.shape))
    return layer


def cotangent(shape):
    return np.random.default_rng(6).standard_normal(shape)


def values_and_gradients(form, inputs, parameters=()):
    """What ``form`` gives, and the gradients of a random sum of it, of every input and parameter."""
    leaves = [Tensor(x, requires_grad=True) for x in inputs]
    for p in parameters:
        p.grad = None
    out = form(*leaves)
    out.backward(cotangent(out.shape))
    return [out.numpy(), *(np.zeros(p.shape) if p.grad is None else p.grad.numpy() for p in (*leaves, *parameters))]


def assert_identical(one, other, inputs, parameters=((), ()), tolerance=1e-12):
    """Two forms agree in value and in every gradient; ``parameters`` are those of the one and of the other, in the same order."""
    found = [values_and_gradients(form, inputs, own) for form, own in zip((one, other), parameters)]
    for number, (a, b) in enumerate(zip(*found)):
        assert_close(a, b, tolerance, "value" if number == 0 else f"gradient {number}")


# ------------------------------------------------------------------------------------------------- embedding and positions


def test_embedding_is_one_hot_times_the_matrix():
    ids = np.array([[3, 10, 3], [0, 7, 3]])
    layer = spread(Embedding(V, E), (None,))
    one_hot = np.eye(V)[ids]  # (B, T, V)
    W = layer.embeddings
    assert_identical(lambda: layer(ids), lambda: mg.matmul(one_hot, W), (), ([W], [W]))


def test_a_shift_of_sinusoidal_positions_is_one_rotation():
    """Every pair (sin, cos) turns by an angle that depends on the distance k alone, not on the place."""
    long, k = 40, 7
    waves = np.asarray(SinusoidalPositions()(np.zeros((long, E)))).reshape(long, E // 2, 2)  # (L, E) -> (L, E / 2, 2)
    angle = k / 10_000 ** (np.arange(0, E, 2) / E)  # (E / 2)
    sin, cos = np.sin(angle), np.cos(angle)
    rotated = np.stack([waves[..., 0] * cos + waves[..., 1] * sin, waves[..., 1] * cos - waves[..., 0] * sin], axis=-1)
    assert_close(rotated[:-k], waves[k:], 1e-13)


def test_a_tied_head_is_an_untied_one_with_the_embedding_transposed():
    sizes = {"vocab_size": V, "block_size": T, "layers": 1, "heads": 2, "width": E, "feed_forward": F}
    tied, untied = LanguageModel(LanguageModelConfig(**sizes)), LanguageModel(LanguageModelConfig(**sizes, tied=False))
    spread(tied, (B, T))
    untied.load_state_dict(tied.state_dict() | {"head.kernel": tied.embedding.embeddings.numpy().T})
    ids = np.array([[3, 10, 3], [0, 7, 3]])
    found = [values_and_gradients(lambda model=model: model(ids), (), model.parameters()) for model in (tied, untied)]
    assert_close(found[0][0], found[1][0], 1e-13)
    looked_up, *_ = found[1][1:]
    assert_close(found[0][1], looked_up + found[1][-1].T, 1e-12, "the gradient of two uses is the sum of two gradients")


# ---------------------------------------------------------------------------------------------------------- attention


def test_softmax_does_not_see_a_shift():
    scores = RNG.standard_normal((B, T, S))
    shift = RNG.standard_normal((B, T, 1)) * 100
    assert_identical(mg.softmax, lambda x: mg.softmax(x + shift), (scores,))
    _, gradient = values_and_gradients(mg.softmax, (scores,))
    assert_close(gradient.sum(-1), np.zeros((B, T)), 1e-14, "nothing changes along a shift")


@pytest.mark.parametrize("kernels", ["numba", "reference"])
@pytest.mark.parametrize("causal", [False, True])
def test_rows_of_weights_add_up_to_1_and_are_0_where_nothing_is_allowed(causal, kernels):
    mask = np.array([[True, True, False, True], [False, False, False, False], [False, True, True, False]])  # (T, S)
    allowed = mask & np.tri(T, S, dtype=bool) if causal else mask
    options = {"attention_mask": mask, "use_causal_mask": causal, "return_attention_scores": True}
    with mg.use_kernels(kernels):
        result, weights = Attention()(query=Q, key=K, value=V_, **options)
    assert_close(weights.sum(-1), np.broadcast_to(allowed.any(-1), (B, T)).astype(float), 1e-14)
    assert np.array_equal(weights > 0, np.broadcast_to(allowed, (B, T, S)))  # a masked weight is exactly 0, the others are not
    assert (result[:, ~allowed.any(-1)] == 0).all()


def test_what_is_masked_has_no_influence_at_all():
    """Weight exactly 0: neither value nor gradient know of a masked key, also where its numbers are huge."""
    mask = np.array([True, False, True, False])
    layer = Attention()
    masked = lambda q, k, v: layer(query=q, key=k, value=v, attention_mask=np.tile(mask, (T, 1)))
    without = lambda q, k, v: layer(query=q, key=k[:, mask], value=v[:, mask])
    assert_identical(masked, without, (Q, K, V_))
    huge = np.where(mask[:, None], K, 1e6)
    assert np.array_equal(masked(Q, huge, V_), masked(Q, K, V_))
    _, _, to_key, to_value = values_and_gradients(masked, (Q, K, V_))
    assert (to_key[:, ~mask] == 0).all() and (to_value[:, ~mask] == 0).all()


@pytest.mark.parametrize("t", [1, 2])
def test_causal_attention_of_the_first_words_is_the_first_rows(t):
    layer = spread(MultiHeadAttention(h, dq, dv), (None, None, E))
    own = layer.parameters()
    part = lambda x: layer(x[:, :t], x[:, :t], use_causal_mask=True)
    rows = lambda x: layer(x, x, use_causal_mask=True)[:, :t]
    assert_identical(part, rows, (QUERY,), (own, own))


def test_equal_keys_take_the_mean_of_the_values():
    same = np.repeat(K[:, :1], S, axis=1)
    mean = lambda q, v: mg.broadcast_to(mg.mean(v, 1, True), (B, T, dv))
    assert_identical(lambda q, v: Attention()(query=q, key=same, value=v), mean, (Q, V_))


# ----------------------------------------------------------------------------------------------------------- many heads


@pytest.mark.parametrize("use_bias", [True, False])
def test_concat_of_heads_is_the_sum_over_heads(use_bias):
    concat, add = (spread(MultiHeadAttention(h, dq, dv, use_bias=use_bias, combine=how), (None, None, E)) for how in ("concat", "sum"))
    assert_identical(concat, add, (QUERY, VALUE, KEY), (concat.parameters(), add.parameters()))


def test_one_wide_projection_is_h_small_ones():
    """A layer of h heads is the sum of h layers of one head, each with its own slices of the wide kernels."""
    wide = spread(MultiHeadAttention(h, dq, dv), (None, None, E))
    small = [MultiHeadAttention(1, dq, dv).ensure_built((None, None, E)) for _ in range(h)]
    kernels = wide.parameters()
    for i, layer in enumerate(small):
        for p, q in zip(kernels, layer.parameters()):
            p = p.numpy()
            axis = p.shape.index(h) if h in p.shape else None  # the output bias has no heads: the first layer takes it
            q.assign(np.take(p, [i], axis) if axis is not None else p * (i == 0))

    found = values_and_gradients(wide, (QUERY, VALUE, KEY), kernels)
    parts = values_and_gradients(
        lambda *inputs: sum(layer(*inputs) for layer in small), (QUERY, VALUE, KEY), [p for layer in small for p in layer.parameters()]
    )
    for a, b in zip(found[:4], parts[:4]):
        assert_close(a, b, 1e-12)
    for number, gradient in enumerate(found[4:]):
        slices = parts[4 + number :: len(kernels)]  # that of every small layer
        axis = gradient.shape.index(h) if h in gradient.shape else None
        assert_close(gradient, slices[0] if axis is None else np.concatenate(slices, axis), 1e-12, f"parameter {number}")


@pytest.mark.parametrize("causal", [False, True])
def test_grouped_queries_with_a_key_head_each_are_multi_head_attention(causal):
    grouped = spread(GroupQueryAttention(dq, h, h), (None, None, E))
    plain = spread(MultiHeadAttention(h, dq), (None, None, E))
    forms = [lambda *inputs, layer=layer: layer(*inputs, use_causal_mask=causal) for layer in (grouped, plain)]
    assert_identical(*forms, (QUERY, VALUE, KEY), (grouped.parameters(), plain.parameters()))
    weights = [layer(QUERY, VALUE, KEY, return_attention_scores=True)[1].numpy() for layer in (grouped, plain)]
    assert np.array_equal(*weights)


# ----------------------------------------------------------------------------------------------------------- Add & Norm


def silenced(norm):
    """A block whose two corrections are 0: its last matrices and biases are."""
    block = spread(EncoderBlock(h, dq, F, norm=norm), (None, None, E))
    for p in (block.attention.output_kernel, block.attention.output_bias, block.feed_forward.narrow.kernel, block.feed_forward.narrow.bias):
        p.assign(np.zeros(p.shape))
    return block


def test_a_pre_norm_block_that_adds_nothing_is_the_identity():
    assert_identical(silenced("pre"), lambda x: 1 * x, (QUERY,), tolerance=0)


def test_a_post_norm_block_that_adds_nothing_is_its_norms_alone():
    block = silenced("post")
    norms = block.after_attention.normalization, block.after_feed_forward.normalization
    own = [p for norm in norms for p in norm.parameters()]
    assert_identical(block, lambda x: norms[1](norms[0](x)), (QUERY,), (own, own))
    add_norm = spread(AddNorm("post"), (None, E))
    assert_identical(lambda x: add_norm(x, lambda x: 0 * x), add_norm.normalization, (QUERY,))


# -------------------------------------------------------------------------------------------------------- normalization


def test_layer_normalization_does_not_see_a_shift():
    layer = spread(LayerNormalization(), (None, F))
    shift = RNG.standard_normal((B, T, 1))
    own = layer.parameters()
    assert_identical(layer, lambda x: layer(x + shift), (X,), (own, own))
    _, gradient = values_and_gradients(layer, (X,))
    assert_close(gradient.sum(-1), np.zeros((B, T)), 1e-13, "nothing changes along a shift")


def test_layer_normalization_does_not_see_a_scale_at_epsilon_0():
    layer = spread(LayerNormalization(epsilon=0.0), (None, F))
    scale = RNG.uniform(0.1, 10.0, (B, T, 1))
    own = layer.parameters()
    assert_close(layer(X * scale).numpy(), layer(X).numpy(), 1e-12)
    for x in (X, X * scale):
        _, gradient, *_ = values_and_gradients(layer, (x,), own)
        assert_close((gradient * x).sum(-1), np.zeros((B, T)), 1e-12, "nothing changes along x itself")
    with_epsilon = LayerNormalization(epsilon=1.0)
    assert not np.allclose(with_epsilon(X * scale).numpy(), with_epsilon(X).numpy())


def test_batch_normalization_in_inference_is_affine():
    """y = a x + b, with a = gamma / sqrt(moving_variance + epsilon) and b = beta - a moving_mean."""
    layer = spread(BatchNormalization(), (None, F))
    layer.moving_mean.assign(RNG.standard_normal(F))
    layer.moving_variance.assign(RNG.uniform(0.5, 2.0, F))
    mean, variance, gamma, beta = (p.numpy() for p in (layer.moving_mean, layer.moving_variance, layer.gamma, layer.beta))
    a = gamma / np.sqrt(variance + layer.epsilon)
    assert_identical(layer, lambda x: x * a + (beta - a * mean), (X,))


def test_batch_normalization_while_training_is_normalization_adapted_to_the_batch():
    batch = BatchNormalization(epsilon=0.0)
    whole = Normalization()
    whole.adapt(X)
    assert_close(batch(X, training=True).numpy(), whole(X).numpy(), 1e-13)


def test_normalization_then_its_inverse_is_the_identity():
    layer = Normalization()
    layer.adapt(X)
    back = Normalization(mean=layer.mean, variance=layer.variance, invert=True)
    assert_identical(lambda x: back(layer(x)), lambda x: 1 * x, (X,), tolerance=1e-14)

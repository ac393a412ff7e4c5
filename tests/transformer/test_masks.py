"""Masks, one number at a time, and on every path: kernels, weights returned or not, dropout on or off, heads joined or added."""

import itertools
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from tests.helpers import assert_close
from transformer import layers
from transformer.layers.masks import causal_mask, combined_mask, padding_mask, window_mask

B, T, S, E, h, dq, dv = 2, 3, 4, 6, 2, 5, 7

# The width of query, value and key in a call, and how many heads there are.
LAYERS = {
    "Attention": lambda: layers.Attention(dropout=0.4, seed=1),
    "Attention scaled": lambda: layers.Attention(use_scale=True, dropout=0.4, seed=1),
    "Attention by sums": lambda: layers.Attention(score_mode="concat", dropout=0.4, seed=1),
    "AdditiveAttention": lambda: layers.AdditiveAttention(dropout=0.4, seed=1),
    "MultiHeadAttention": lambda: layers.MultiHeadAttention(h, dq, dv, dropout=0.4, seed=1),
    "MultiHeadAttention as a sum": lambda: layers.MultiHeadAttention(h, dq, dv, dropout=0.4, seed=1, combine="sum"),
    "MultiHeadAttention in a window": lambda: layers.MultiHeadAttention(h, dq, dv, dropout=0.4, seed=1, sliding_window=2),
    "GroupQueryAttention": lambda: layers.GroupQueryAttention(dq, 2 * h, h, dropout=0.4, seed=1),
}  # fmt: skip
each_layer = pytest.mark.parametrize("name", LAYERS)
kernels = pytest.mark.parametrize("kernels", ["numba", "reference"])
returned = pytest.mark.parametrize("returned", [False, True], ids=["", "weights"])
dropped = pytest.mark.parametrize("training", [False, True], ids=["", "dropout"])


def every_path(test):
    return each_layer(kernels(returned(dropped(test))))


@pytest.fixture(autouse=True)
def in_float64():
    with mg.use_default_dtype("float64"):
        yield


def normal(*shape, seed=0):
    return np.random.default_rng([*shape, seed]).standard_normal(shape)


def heads_of(name):
    return {"M": h, "G": 2 * h}.get(name[0], 1)


def inputs_of(name, T=T, S=S):
    if name[0] in "MG":
        return normal(B, T, E), normal(B, S, E + 1), normal(B, S, E + 2)
    return normal(B, T, dq), normal(B, S, dv), normal(B, S, dq)


def built(name, *inputs):
    """A layer whose every parameter counts."""
    layer = LAYERS[name]()
    call(layer, *inputs)
    rng = np.random.default_rng(3)
    for p in layer.parameters():
        p.assign(rng.uniform(0.3, 1, p.shape) * rng.choice([-1, 1], p.shape))
    return layer


def call(layer, query, value, key, query_mask=None, value_mask=None, key_mask=None, returned=False, training=False, **options):
    """Output, and the weights (B, h, T, S) or None; every call draws the same dropout."""
    layer.generator.set_state(mg.Generator(1).state())
    if isinstance(layer, layers.Attention):
        options["mask"] = [query_mask, value_mask, key_mask]
    else:
        options |= {"query_mask": query_mask, "value_mask": value_mask, "key_mask": key_mask}
    out = layer(query=query, value=value, key=key, return_attention_scores=returned, training=training, **options)
    out, weights = out if returned else (out, None)
    if returned and isinstance(layer, layers.Attention):
        weights = mg.expand_dims(weights, 1)  # (B, T, S) -> (B, 1, T, S)
    return [x if x is None or isinstance(x, Tensor) else Tensor(x) for x in (out, weights)]  # without parameters: arrays in, arrays out


QUERY_MASK = np.array([[True, False, True], [True, True, True]])
VALUE_MASK = np.array([[True, True, True, False], [True, False, True, True]])
KEY_MASK = np.array([[False, True, True, True], [True, True, True, True]])


def attention_mask(heads, seed=5):
    mask = np.random.default_rng(seed).random((B, heads, T, S)) < 0.6
    mask[0, :, 2], mask[1, :, 2] = True, False  # with all the others: one question with two keys left, and several with none
    return mask


def all_masks(name):
    return {
        "query_mask": QUERY_MASK, "value_mask": VALUE_MASK, "key_mask": KEY_MASK, "attention_mask": attention_mask(heads_of(name)),
        "use_causal_mask": True,
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------------ masks by themselves


def test_masks_one_number_at_a_time():
    assert padding_mask(np.array([[3, 0, 1], [0, 0, 2]])).tolist() == [[True, False, True], [False, False, True]]
    assert padding_mask([[3, 9]], pad_id=9).tolist() == [[True, False]]
    assert padding_mask(mg.tensor(np.array([[3, 0]]))).tolist() == [[True, False]]
    for rows, columns in ((T, S), (S, T), (1, 4), (4, 1), (0, 3)):
        causal, window = causal_mask(rows, columns), window_mask(rows, columns, 2)
        assert causal.shape == window.shape == (rows, columns) and causal.dtype == window.dtype == bool
        for t, s in np.ndindex(rows, columns):
            assert causal[t, s] == (s <= t) and window[t, s] == (abs(t - s) < 2)
    assert np.array_equal(causal_mask(4), causal_mask(4, 4)) and window_mask(3, 4, 1).sum() == 3


@pytest.mark.parametrize("which", list(itertools.product([False, True], repeat=4)), ids=lambda which: "".join(map(str, map(int, which))))
def test_all_masks_are_one(which):
    given = {"query_mask": QUERY_MASK, "value_mask": VALUE_MASK, "key_mask": KEY_MASK, "attention_mask": attention_mask(h)}
    given = {name: mask for (name, mask), use in zip(given.items(), which) if use}
    both = combined_mask("test", B, h, T, S, **given)
    if not given:
        assert both is None
        return
    full = np.broadcast_to(both, (B, h, T, S))
    for b, i, t, s in np.ndindex(B, h, T, S):
        places = {"query_mask": (b, t), "value_mask": (b, s), "key_mask": (b, s), "attention_mask": (b, i, t, s)}
        assert full[b, i, t, s] == all(mask[places[name]] for name, mask in given.items())


@pytest.mark.parametrize("shape", [(T, S), (1, S), (T, 1), (B, T, S), (1, T, S), (B, 1, S), (B, h, T, S), (B, 1, T, S), (1, h, 1, S)],
                         ids=str)  # fmt: skip
def test_an_axis_of_one_counts_for_all(shape):
    mask = np.random.default_rng(2).random(shape) < 0.5
    full = np.broadcast_to(combined_mask("test", B, h, T, S, attention_mask=mask), (B, h, T, S))
    for b, i, t, s in np.ndindex(B, h, T, S):
        place = {2: (t, s), 3: (b, t, s), 4: (b, i, t, s)}[len(shape)]
        assert full[b, i, t, s] == mask[tuple(p if n > 1 else 0 for p, n in zip(place, shape))]


# ----------------------------------------------------------------------------------------------------- one number at a time


def scores_of(layer, question, key):
    """How well one key answers one question."""
    p = {path: t.numpy() for path, t in layer.named_tensors().items()}
    if isinstance(layer, layers.AdditiveAttention):
        return sum(p["scale"][i] * math.tanh(question[i] + key[i]) for i in range(dq))
    if isinstance(layer, layers.Attention) and layer.score_mode == "concat":
        return float(p["concat_score_weight"]) * sum(math.tanh(question[i] + key[i]) for i in range(dq))
    product = sum(question[i] * key[i] for i in range(dq))
    return product * float(p["scale"]) if "scale" in p else product / math.sqrt(dq)


def weights_of(layer, question, keys, allowed):
    """What one question takes of every key."""
    powers = [math.exp(scores_of(layer, question, key)) if may else 0.0 for key, may in zip(keys, allowed)]
    return [power / sum(powers) if power else 0.0 for power in powers]


def reference(layer, name, query, value, key, allowed):
    """Outputs and weights, by loops over batch, heads, questions and keys; ``allowed`` is (B, h, T, S)."""
    heads = heads_of(name)
    weights, result = np.zeros((B, heads, T, S)), []
    p = {path: t.numpy() for path, t in layer.named_tensors().items()}
    for b in range(B):
        rows = []
        for i in range(heads):
            q, k, v = query[b], key[b], value[b]
            if heads > 1:
                j = i // (heads // layer.num_key_value_heads)  # the keys and values that this head shares
                q = q @ p["query_kernel"][:, i] + p["query_bias"][i]
                k, v = k @ p["key_kernel"][:, j] + p["key_bias"][j], v @ p["value_kernel"][:, j] + p["value_bias"][j]
            for t in range(T):
                weights[b, i, t] = weights_of(layer, q[t], k, allowed[b, i, t])
            rows.append(np.array([sum(weights[b, i, t, s] * v[s] for s in range(S)) for t in range(T)]))
        result.append(rows[0] if heads == 1 else sum(row @ p["output_kernel"][i] for i, row in enumerate(rows)) + p["output_bias"])
    return np.array(result), weights


def allowed_by(name, masks):
    heads = heads_of(name)
    allowed = np.ones((B, heads, T, S), bool)
    for b, i, t, s in np.ndindex(B, heads, T, S):
        allowed[b, i, t, s] = (
            masks.get("query_mask", QUERY_MASK | True)[b, t] and masks.get("value_mask", VALUE_MASK | True)[b, s]
            and masks.get("key_mask", KEY_MASK | True)[b, s] and ("attention_mask" not in masks or masks["attention_mask"][b, i, t, s])
            and (s <= t or not masks.get("use_causal_mask")) and ("window" not in name or abs(t - s) < 2)
        )  # fmt: skip
    return allowed


@each_layer
@kernels
@pytest.mark.parametrize("which", list(itertools.product([False, True], repeat=5)), ids=lambda which: "".join(map(str, map(int, which))))
def test_every_combination_of_masks_one_number_at_a_time(name, kernels, which):
    inputs = inputs_of(name)
    masks = {mask: value for (mask, value), use in zip(all_masks(name).items(), which) if use}
    with mg.use_kernels(kernels):
        layer = built(name, *inputs)
        allowed = allowed_by(name, masks)
        expected, expected_weights = reference(layer, name, *inputs, allowed)
        out, weights = call(layer, *inputs, **masks, returned=True)
        assert_close(out.numpy(), expected, 1e-13)
        assert_close(weights.numpy(), expected_weights, 1e-13)
        assert_close(call(layer, *inputs, **masks)[0].numpy(), expected, 1e-13)


# ------------------------------------------------------------------------------------------------------------- every path


@every_path
def test_rows_add_up_to_one_and_what_is_masked_is_exactly_zero(name, kernels, returned, training):
    """The weights that are returned are those before dropout; what a masked value is worth shows that those inside are 0 too."""
    inputs, masks = inputs_of(name), all_masks(name)
    allowed = allowed_by(name, masks)
    with mg.use_kernels(kernels):
        layer = built(name, *inputs)
        out, weights = call(layer, *inputs, **masks, returned=returned, training=training)
        if returned:
            weights = weights.numpy()
            assert np.array_equal(weights > 0, allowed) and (weights[~allowed] == 0).all()
            assert_close(weights.sum(-1), allowed.any(-1).astype(float), 1e-14)
        query, value, key = inputs
        unused = ~allowed.any((1, 2))  # (B, S): keys that nobody may use
        assert unused.any()
        for huge in (1e30, -1e30):
            changed = np.where(unused[..., None], huge, value), np.where(unused[..., None], huge, key)
            again, _ = call(layer, query, *changed, **masks, returned=returned, training=training)
            assert np.array_equal(again.numpy(), out.numpy())


@every_path
def test_a_question_with_nothing_to_look_at_gets_zeros_and_gives_none_back(name, kernels, returned, training):
    masks = all_masks(name)
    keys = allowed_by(name, masks).sum(-1).max(1)  # (B, T): how many keys are left, for the head with most of them
    empty, several = keys == 0, keys > 1  # one key alone has weight 1, whatever the question
    assert empty.any() and several.any()
    with mg.use_kernels(kernels):
        layer = built(name, *inputs_of(name))
        query, value, key = (Tensor(x, requires_grad=True) for x in inputs_of(name))
        out, weights = call(layer, query, value, key, **masks, returned=returned, training=training)
        bias = layer.output_bias.numpy() if hasattr(layer, "output_bias") else 0.0
        assert np.array_equal(out.numpy()[empty], np.broadcast_to(bias, out.numpy()[empty].shape))
        layer.zero_grad()
        total = (out * normal(*out.shape)).sum()
        (total if weights is None else total + (weights * normal(*weights.shape)).sum()).backward()
        assert not query.grad.numpy()[empty].any() and (training or query.grad.numpy()[several].any(-1).all())
        assert all(np.isfinite(p.grad.numpy()).all() for p in (query, value, key, *layer.parameters()))
        all_empty = {**masks, "attention_mask": np.zeros((T, S), bool)}
        for x in (query, value, key):
            x.grad = None
        out, _ = call(layer, query, value, key, **all_empty, returned=returned, training=training)
        out.sum().backward()
        assert np.array_equal(out.numpy(), np.broadcast_to(bias, out.shape))
        assert not any(np.any(x.grad.numpy()) for x in (query, value, key))


@every_path
def test_derivatives_with_rows_of_nothing_to_the_second_order(name, kernels, returned, training):
    """In all inputs and parameters together, along random directions; no NaN of a masked row may come out of a graph of the gradient."""
    inputs, masks = inputs_of(name), all_masks(name)

    with mg.use_kernels(kernels):
        layer = built(name, *inputs)

        def f(query, value, key):
            out, weights = call(layer, query, value, key, **masks, returned=returned, training=training)
            return (out, weights) if returned else out

        for check in (mg.gradcheck, mg.gradgradcheck):
            assert check(f, *inputs, layer=layer, full=False, projections=2).passed


@every_path
@pytest.mark.parametrize("padded", [False, True], ids=["", "padded"])
def test_nobody_sees_the_future(name, kernels, returned, training, padded):
    """Change token t: what comes before it keeps its bits, on every path, also beside another mask."""
    length = 5
    tokens = normal(B, length, dq if name[0] == "A" else E)
    masks = {"use_causal_mask": True}
    if padded:
        masks["value_mask"] = np.array([[True, True, True, True, False], [True, True, True, True, True]])
    with mg.use_kernels(kernels):
        layer = built(name, tokens, tokens, tokens)

        def run(tokens):
            out, weights = call(layer, tokens, tokens, tokens, **masks, returned=returned, training=training)
            return out.numpy(), None if weights is None else np.moveaxis(weights.numpy(), 2, 1)  # (B, h, T, S) -> (B, T, h, S)

        before = run(tokens)
        for t in range(length):
            changed = tokens.copy()
            changed[:, t] += 1
            for old, new in zip(before, run(changed)):
                if old is not None:
                    assert new[:, :t].tobytes() == old[:, :t].tobytes(), f"the past of token {t} knew about it"
            assert not np.array_equal(run(changed)[0][:, t], before[0][:, t])


def test_the_test_of_the_future_can_fail(monkeypatch):
    real = layers.attention.causal_mask
    monkeypatch.setattr(layers.attention, "causal_mask", lambda T, S: real(T, S) | np.eye(T, S, 1, dtype=bool))
    with pytest.raises(AssertionError, match="the past of token 1 knew about it"):
        test_nobody_sees_the_future("Attention by sums", "reference", False, False, False)


@every_path
def test_padding_does_not_change_what_real_tokens_get(name, kernels, returned, training):
    """Whatever stands in it, to the bit; and what they get without any padding, but for the order in which numbers are added up."""
    real = np.array([True, True, True, False])
    query, value, key = inputs_of(name)
    padding = np.tile(real, (B, 1))
    with mg.use_kernels(kernels):
        layer = built(name, query, value, key)
        out, weights = call(layer, query, value, key, value_mask=padding, returned=returned, training=training)
        other = value + 9 * ~real[:, None], key - 7 * ~real[:, None]
        again, weights_again = call(layer, query, *other, value_mask=padding, returned=returned, training=training)
        assert again.numpy().tobytes() == out.numpy().tobytes()
        if returned:
            assert weights_again.numpy().tobytes() == weights.numpy().tobytes()
        if not training:  # dropout counts the padding too, so that other numbers are dropped without it
            alone, weights_alone = call(layer, query, value[:, real], key[:, real], returned=returned)
            assert_close(out.numpy(), alone.numpy(), 1e-14)
            if returned:
                assert_close(weights.numpy()[..., real], weights_alone.numpy(), 1e-14)


@each_layer
@kernels
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("causal", [False, True], ids=["", "causal"])
@dropped
def test_the_path_that_holds_the_weights_equals_the_one_that_does_not(name, kernels, masked, causal, training):
    """In value and in every gradient, under dropout too, with the same state of the generator; and it leaves it the same."""
    masks = {**(all_masks(name) if masked else {}), "use_causal_mask": causal}
    found = []
    with mg.use_kernels(kernels):
        layer = built(name, *inputs_of(name))
        for returned in (False, True):
            leaves = [Tensor(x, requires_grad=True) for x in inputs_of(name)]
            out, _ = call(layer, *leaves, **masks, returned=returned, training=training)
            layer.zero_grad()
            (out * normal(*out.shape)).sum().backward()
            gradients = [p.grad.numpy() for p in (*leaves, *layer.parameters())]
            found.append(([out.numpy(), *gradients], layer.generator.state()))
    (values, state), (others, other_state) = found
    assert state == other_state and (state == mg.Generator(1).state()) != training
    for a, b in zip(values, others, strict=True):
        assert_close(a, b, 1e-13)


@every_path
def test_both_kernels_give_the_same(name, kernels, returned, training):
    """Also the same dropout: a path that drew other numbers would be far off."""
    inputs, masks = inputs_of(name), all_masks(name)
    layer = built(name, *inputs)
    outs = []
    for which in ("numba", "reference"):
        with mg.use_kernels(which):
            outs.append(call(layer, *inputs, **masks, returned=returned, training=training))
    for a, b in zip(*outs):
        if a is not None:
            assert_close(a.numpy(), b.numpy(), 1e-14)


@pytest.mark.parametrize("training", [False, True], ids=["", "dropout"])
@pytest.mark.parametrize("returned", [False, True], ids=["", "weights"])
def test_joined_or_added_heads_are_the_same_on_every_path(training, returned):
    inputs, masks = inputs_of("M"), all_masks("M")
    joined, added = built("MultiHeadAttention", *inputs), built("MultiHeadAttention as a sum", *inputs)
    added.set_weights(joined.get_weights())
    outs = [call(layer, *inputs, **masks, returned=returned, training=training)[0].numpy() for layer in (joined, added)]
    assert_close(*outs, 1e-14)


# ------------------------------------------------------------------------------------- what else takes a mask, and hands it on


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), (0, 2)], ids=str)
@kernels
def test_softmax_with_a_mask(axis, kernels):
    x, mask = normal(B, T, S), np.random.default_rng(1).random((B, T, S)) < 0.5
    mask[0, 1] = mask[:, :, 2] = False
    axes = axis if isinstance(axis, tuple) else (axis,)
    with mg.use_kernels(kernels):
        out = np.asarray(layers.Softmax(axis)(x, mask=mask))
        assert np.array_equal(out > 0, mask)
        assert_close(out.sum(axes), mask.any(axes).astype(float), 1e-14)
        powers = np.where(mask, np.exp(x), 0)
        total = powers.sum(axes, keepdims=True)
        assert_close(out, powers / np.where(total == 0, 1, total), 1e-14)
        for check in (mg.gradcheck, mg.gradgradcheck):
            assert check(lambda x: layers.Softmax(axis)(x, mask=mask), x, full=False, projections=3).passed


@pytest.mark.parametrize("axis", [-1, 1, 0])
def test_batch_normalization_with_a_mask_has_the_statistics_of_the_unpadded_data(axis):
    """Rows of three lengths, padded to one: moving statistics, outputs of real rows and gradients are those of the rows alone."""
    texts = [normal(n, E, seed=n) * 3 + n for n in (4, 1, 3)]
    padded, mask = np.full((3, 4, E), 1e6), np.zeros((3, 4), bool)
    for i, text in enumerate(texts):
        padded[i, : len(text)], mask[i, : len(text)] = text, True
    alone, with_mask = layers.BatchNormalization(momentum=0.5), layers.BatchNormalization(axis, momentum=0.5)
    x, rows = Tensor(np.moveaxis(padded, -1, axis), requires_grad=True), Tensor(np.concatenate(texts), requires_grad=True)
    for _ in range(3):
        out, expected = with_mask(x, mask=mask, training=True), alone(rows, training=True)
        assert_close(np.moveaxis(out.numpy(), axis, -1)[mask], expected.numpy(), 1e-13)
        for own, other in zip(with_mask.buffers(), alone.buffers()):
            assert_close(own.numpy(), other.numpy(), 1e-13)
    c = normal(8, E)
    weights = np.zeros((3, 4, E))
    weights[mask] = c
    (out * np.moveaxis(weights, -1, axis)).sum().backward()
    (expected * c).sum().backward()
    assert_close(np.moveaxis(x.grad.numpy(), axis, -1)[mask], rows.grad.numpy(), 1e-12)
    assert not np.moveaxis(x.grad.numpy(), axis, -1)[~mask].any()
    assert_close(with_mask.gamma.grad.numpy(), alone.gamma.grad.numpy(), 1e-13)
    assert np.array_equal(with_mask(x).numpy(), with_mask(x, mask=mask).numpy())  # in inference a mask has nothing to say


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("rubbish", [np.nan, np.inf, -np.inf])
def test_batch_normalization_lets_nothing_of_a_masked_row_into_a_gradient(axis, training, rubbish):
    layer, twin = layers.BatchNormalization(axis, momentum=0.5), layers.BatchNormalization(axis, momentum=0.5)
    mask = np.array([[True, True, False], [True, False, True]])
    clean = normal(B, T, E)
    dirty = np.where(mask[..., None], clean, rubbish)
    c = np.moveaxis(normal(B, T, E, seed=1) * mask[..., None], -1, axis)
    found = []
    for each, x in ((layer, dirty), (twin, clean)):
        x = Tensor(np.moveaxis(x, -1, axis), requires_grad=True)
        each(x, mask=mask, training=True)
        (each(x, mask=mask, training=training) * c).sum().backward()
        found.append([x.grad, each.gamma.grad, each.beta.grad, *each.buffers()])
    for a, b in zip(*found):
        assert_close(a.numpy(), b.numpy(), 1e-13)


def test_sequential_hands_the_mask_of_an_embedding_on():
    ids = np.array([[3, 1, 0, 0], [2, 0, 5, 1]])
    embedding = layers.Embedding(7, E, mask_zero=True)
    model = mg.Sequential([embedding, layers.SinusoidalPositions(), layers.Dropout(0.0), layers.BatchNormalization(momentum=0.0)])
    model(ids, training=True)
    seen = np.asarray(layers.SinusoidalPositions()(embedding(ids)).detach())[ids != 0]
    assert_close(model.layers[3].moving_mean.numpy(), seen.mean(0), 1e-14)
    assert np.array_equal(model.compute_mask(ids), ids != 0)


def test_layers_of_a_nested_sequential_see_the_mask_that_they_see_side_by_side():
    """The ids that an Embedding masks are those that reach it, whatever stands before it."""

    class Shifted(mg.Layer):
        def call(self, x):
            return x + 1

    ids = np.array([[1, -1, 2], [-1, 4, -1]])
    parts = [Shifted(), layers.Embedding(7, E, mask_zero=True), layers.LSTM(4)]
    expected = mg.Sequential(parts)(ids).numpy()
    assert np.array_equal(expected, parts[2](parts[1](ids + 1), mask=ids != -1).numpy())
    for nested in ([mg.Sequential(parts[:2]), parts[2]], [parts[0], mg.Sequential(parts[1:])], [mg.Sequential([mg.Sequential(parts)])]):
        assert np.array_equal(mg.Sequential(nested)(ids).numpy(), expected)

"""Bad input to layers: every error names the layer, inside a model its path, then the axes and what was received; and nothing changed."""

import re
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DtypeError, LayerError, MinigradError, ShapeError
from minigrad.layer import _NOT_OFFERED
from transformer import blocks, layers

B, T, S, E, F, V, L, h, dq, dv = 2, 3, 4, 6, 7, 11, 5, 2, 3, 5
X = np.random.default_rng(1).standard_normal((B, T, E)).astype(np.float32)


def ones(*shape):
    return np.ones(shape, np.float32)


def every(*shape):
    return np.ones(shape, bool)


def used(layer):
    """A layer after one good call in training."""
    layer(X, training=True)
    return layer


def adapted():
    layer = layers.Normalization()
    layer.adapt(X)
    return layer


def state(layer):
    """All arrays of a layer, bit by bit; None where it has none yet."""
    try:
        return {path: t.numpy().tobytes() for path, t in layer.named_tensors().items()}
    except LayerError:
        return None


# --------------------------------------------------------------------------------------------------------------- one input

WRONG = {
    "Dense, width": (lambda: used(mg.Dense(F)), ones(B, T, E + 1), ShapeError, r"linear: x has 7 features, w 6 rows.*\(2, 3, 7\)"),
    "Dense, no axis": (lambda: mg.Dense(F), np.float32(3), ShapeError, "Dense: the first call needs an input with axes.*3"),
    "EinsumDense, width": (
        lambda: used(layers.EinsumDense("btd,de->bte", (None, F))), ones(B, T, 9), ShapeError, r"length 6 of 'd' in .*, not 9.*\(2, 3, 9\)",
    ),
    "EinsumDense, one feature": (
        lambda: used(layers.EinsumDense("btd,de->bte", (None, F))), ones(B, T, 1), ShapeError, r"length 6 of 'd' in .*, not 1.*\(2, 3, 1\)",
    ),
    "EinsumDense, one place of a bias": (
        lambda: used(layers.EinsumDense("btd,de->bte", (None, F), bias_axes="t")), ones(B, 1, E), ShapeError,
        r"length 3 of 't' in .*, not 1.*\(2, 1, 6\)",
    ),
    "EinsumDense, rank": (
        lambda: layers.EinsumDense("btd,de->bte", (None, F)), ones(B, E), ShapeError, r"needs the axes 'btd' of 'btd,de->bte'.*\(2, 6\)",
    ),
    "EinsumDense, another rank": (
        lambda: used(layers.EinsumDense("...d,de->...e", F)), ones(B, E), ShapeError, r"needs 3 axes, with as many.*\(2, 6\)",
    ),
    "EinsumDense, a length said otherwise": (
        lambda: layers.EinsumDense("btd,de->bte", (T + 1, F)), X, ShapeError, r"'t' .* is 3 in the input and 4 in the result.*\(2, 3, 6\)",
    ),
    "EinsumDense, a length nobody says": (
        lambda: layers.EinsumDense("btd,de->bte", (None, None)), X, ShapeError, "'e' in 'btd,de->bte' is not known; say it in output_shape",
    ),
    "Embedding, float ids": (lambda: layers.Embedding(V, E), ones(B, T), DtypeError, r"ids must be integers.*\(2, 3\) float32"),
    "Embedding, booleans": (lambda: layers.Embedding(V, E), every(B, T), DtypeError, r"ids must be integers.*\(2, 3\) bool"),
    "Embedding, words": (lambda: layers.Embedding(V, E), np.array(["to", "be"]), DtypeError, r"ids must be integers.*\(2,\)"),
    "Embedding, too large": (lambda: layers.Embedding(V, E), np.array([[0], [V]]), IndexError, r"ids\[1, 0\] is 11, outside 0 to 10"),
    "Embedding, negative": (lambda: layers.Embedding(V, E), np.array([[0, -1]]), IndexError, r"ids\[0, 1\] is -1, outside 0 to 10"),
    "Softmax, axis": (lambda: layers.Softmax(3), X, ShapeError, r"softmax: axis 3 is out of range for 3 axes.*\(2, 3, 6\)"),
    "Softmax, one axis of two": (lambda: layers.Softmax((1, 3)), X, ShapeError, r"axis 3 is out of range for 3 axes.*axis \(1, 3\)"),
    "Softmax, an axis twice": (lambda: layers.Softmax((1, -2)), X, ShapeError, r"an axis is named twice.*\(2, 3, 6\)"),
    "Dropout, rank": (lambda: layers.Dropout(0.5, (None, 1)), X, ShapeError, r"noise_shape has the axes of x.*\(2, 3, 6\).*\(None, 1\)"),
    "Dropout, length": (lambda: layers.Dropout(0.5, (None, 2, E)), X, ShapeError, r"each of its length, None or 1.*\(2, 3, 6\)"),
    "PositionalEmbedding, length": (
        lambda: layers.PositionalEmbedding(L), ones(B, L + 1, E), ShapeError, r"6 positions, but only 5.*\(2, 6, 6\)",
    ),
    "PositionalEmbedding, width": (
        lambda: used(layers.PositionalEmbedding(L)), ones(B, T, 1), ShapeError, r"needs the axes \(B, T, E\) with E = 6.*\(2, 3, 1\)",
    ),
    "PositionalEmbedding, rank": (lambda: layers.PositionalEmbedding(L), ones(E), ShapeError, r"needs the axes \(B, T, E\).*\(6,\)"),
    "SinusoidalPositions, rank": (layers.SinusoidalPositions, ones(E), ShapeError, r"needs the axes \(B, T, E\).*\(6,\)"),
    "Normalization, un-adapted": (layers.Normalization, X, LayerError, r"mean and variance are unknown; call adapt\(data\)"),
    "Normalization, width": (adapted, ones(B, T, E + 1), ShapeError, r"needs the lengths \(6,\) along the axes \(2,\).*\(2, 3, 7\)"),
    "Normalization, one column": (adapted, ones(B, T, 1), ShapeError, r"needs the lengths \(6,\) along the axes \(2,\).*\(2, 3, 1\)"),
    "Normalization, given": (
        lambda: layers.Normalization(mean=[0.0, 1.0], variance=[1.0, 1.0]), X, ShapeError, r"broadcast to the lengths \(6,\).*\(2, 3, 6\)",
    ),
    "Normalization, axis": (lambda: layers.Normalization(3), X, ShapeError, r"axis 3 is out of range for 3 axes.*\(2, 3, 6\)"),
    "BatchNormalization, width": (
        lambda: used(layers.BatchNormalization()), ones(B, T, E + 1), ShapeError, r"needs 6 features along axis -1.*\(2, 3, 7\)",
    ),
    "BatchNormalization, one feature": (
        lambda: used(layers.BatchNormalization(center=False, scale=False)), ones(B, T, 1), ShapeError, r"needs 6 features.*\(2, 3, 1\)",
    ),
    "BatchNormalization, no row": (lambda: used(layers.BatchNormalization()), ones(0, E), ShapeError, r"no rows to take mean.*\(0, 6\)"),
    "BatchNormalization, rank": (layers.BatchNormalization, ones(E), ShapeError, r"at least 2 axes.*\(6,\)"),
    "BatchNormalization, axis": (lambda: layers.BatchNormalization(-4), X, ShapeError, r"axis -4 is out of range for 3 axes.*\(2, 3, 6\)"),
    "LayerNormalization, width": (
        lambda: used(layers.LayerNormalization()), ones(B, T, 1), ShapeError, r"each of the 1 features.*\(2, 3, 1\)",
    ),
    "LayerNormalization, axis": (lambda: layers.LayerNormalization([1, 3]), X, ShapeError, r"axis 3 is out of range for 3 axes.*\[1, 3\]"),
    "LayerNormalization, an axis twice": (lambda: layers.LayerNormalization((2, -1)), X, ShapeError, r"is named twice.*\(2, 3, 6\)"),
    "RMSNormalization, width": (lambda: used(layers.RMSNormalization()), ones(B, T, 5), ShapeError, r"each of the 5 features.*\(2, 3, 5\)"),
    "RMSNormalization, axis": (lambda: layers.RMSNormalization(-4), X, ShapeError, r"axis -4 is out of range for 3 axes.*\(2, 3, 6\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_an_input_that_cannot_be(name):
    make, x, error, words = WRONG[name]
    layer, who = make(), name.partition(",")[0]
    before = state(layer)
    with pytest.raises(error, match=words) as raised:
        layer(x, training=True)
    assert who.lower() in str(raised.value).lower() and type(layer).__name__ == who
    assert before is None or state(layer) == before
    if error is not IndexError and error is not LayerError:
        assert "Received: " in str(raised.value)
    if "no axis" not in name:  # before it stands something that keeps axes
        model = mg.Sequential([layers.Dropout(0.0), mg.Sequential([make()])])
        with pytest.raises(error, match=rf"{words}.* In layers\.1\.layers\.0, a {who} of Sequential\.$"):
            model(x, training=True)


@pytest.mark.parametrize("make", [layers.BatchNormalization, lambda: layers.BatchNormalization(center=False, scale=False)])
def test_inference_refuses_another_width_too(make):
    layer = used(make())
    with pytest.raises(ShapeError, match=r"BatchNormalization: x needs 6 features along axis -1.*\(2, 3, 1\)"):
        layer(ones(B, T, 1))


@pytest.mark.parametrize("layer, shape", [
    (mg.Dense(F), (None, None)), (layers.PositionalEmbedding(L), (None, None, None)), (layers.AdditiveAttention(), [(B, T, None)] * 2),
    (layers.MultiHeadAttention(h, dq), (None, None, None)), (layers.GroupQueryAttention(dq, h, 1), (None, None, None)),
    (layers.LayerNormalization(), (None, None)), (layers.RMSNormalization(), (None, None)), (layers.BatchNormalization(), (None, None)),
    (layers.Normalization(), (None, None)), (layers.EinsumDense("ab,bc->ac", F), (None, None)),
], ids=lambda case: type(case).__name__ if isinstance(case, mg.Layer) else "")  # fmt: skip
def test_a_width_that_is_not_known_cannot_be_built(layer, shape):
    with pytest.raises(ShapeError, match=rf"{type(layer).__name__}: .*(length|known).*None"):
        layer.build(shape)
    assert not layer.built


# --------------------------------------------------------------------------------------------- query, value and key, and masks

ATTENTIONS = {
    "Attention": layers.Attention, "AdditiveAttention": layers.AdditiveAttention,
    "MultiHeadAttention": lambda: layers.MultiHeadAttention(h, dq, dv),
    "GroupQueryAttention": lambda: layers.GroupQueryAttention(dq, 2 * h, h),
}  # fmt: skip
each = pytest.mark.parametrize("name", ATTENTIONS)


class Model(mg.Layer):
    """An attention somewhere inside, called by name."""

    def __init__(self, attention):
        super().__init__()
        self.parts = {"first": attention}

    def call(self, options, training=False):
        return self.parts["first"](training=training, **options)


def raises_everywhere(name, error, words, **options):
    """Alone and inside of a model, with dropout to come or not, and with the weights asked for or not."""
    for training in (False, True):
        for more in ({}, {"return_attention_scores": True}):
            layer = ATTENTIONS[name]()
            with pytest.raises(error, match=rf"^{name}: {words}.*Received: "):
                layer(**options, **more, training=training)
            with pytest.raises(error, match=rf"^{name}: {words}.* In parts\.first, a {name} of Model\.$"):
                Model(ATTENTIONS[name]())({**options, **more}, training=training)


@each
@pytest.mark.parametrize("which", ["query", "value", "key"])
def test_a_rank_that_is_none_of_theirs(name, which):
    inputs = {"query": X, "value": ones(B, S, E), "key": ones(B, S, E)}
    for wrong in (ones(B, 1, T, E), ones(E)):
        axes = {"query": r"\(B, T, (dq|E)\)", "value": r"\(B, S, (dv|E)\)", "key": r"\(B, S, (dq|E)\)"}[which]
        raises_everywhere(name, ShapeError, rf"{which} needs the axes {axes}", **{**inputs, which: wrong})


@each
@pytest.mark.parametrize("which", ["query", "value", "key"])
def test_a_batch_of_another_length(name, which):
    inputs = {"query": X, "value": ones(B, S, E), "key": ones(B, S, E)}
    for length in (1, B + 1):
        wrong = {**inputs, which: ones(length, *inputs[which].shape[1:])}
        raises_everywhere(name, ShapeError, "query, value and key must agree in the batch B", **wrong)


@each
def test_a_value_for_every_key(name):
    inputs = {"query": X, "value": ones(B, S, E), "key": ones(B, S + 1, E)}
    raises_everywhere(name, ShapeError, "every key needs its value, but S is 4 for value and 5 for key", **inputs)


@pytest.mark.parametrize("built_for, width", [(E, 1), (1, E), (E, F)])
def test_sums_of_another_width_do_not_broadcast(built_for, width):
    layer = layers.AdditiveAttention()
    layer([ones(B, T, built_for), ones(B, S, built_for)])
    with pytest.raises(ShapeError, match=rf"need the width dq = {built_for}\. Received: query \(2, 3, {width}\).*key \(2, 4, {width}\)"):
        layer([ones(B, T, width), ones(B, S, width)])


@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention"])
@pytest.mark.parametrize("width", [1, E + 1])
def test_questions_and_keys_of_one_width(name, width):
    inputs = {"query": X, "value": ones(B, S, dv), "key": ones(B, S, width)}
    raises_everywhere(name, ShapeError, "questions and keys must have the same width dq", **inputs)


@pytest.mark.parametrize("name", ["MultiHeadAttention", "GroupQueryAttention"])
@pytest.mark.parametrize("which", ["query", "value", "key"])
def test_a_width_that_the_kernel_has_not(name, which):
    layer, inputs = ATTENTIONS[name](), {"query": X, "value": ones(B, S, E + 1), "key": ones(B, S, E + 2)}
    layer(**inputs)
    before, width = state(layer), inputs[which].shape[-1]
    for wrong in (1, width + 1):
        with pytest.raises(ShapeError, match=rf"^{name}: {which} needs the axes \(B, T or S, E\) with E = {width}.*, {wrong}\)"):
            layer(**{**inputs, which: ones(*inputs[which].shape[:-1], wrong)})
    assert state(layer) == before


@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention"])
def test_two_or_three_inputs_by_place(name):
    x = ones(B, T, E)
    for inputs in ((x,), (x, x), (x, x, x), (x, x, x, x), ([x, x], x), ([x],), ([x] * 4,)):
        for make in (ATTENTIONS[name], lambda: Model(ATTENTIONS[name]()).parts["first"]):
            with pytest.raises(TypeError, match=rf"^{name}: takes one list .*\[query, value, key\].*query=Q, key=K, value=V.*Received: "):
                make()(*inputs)
    for named in ({"query": x}, {"value": x}, {"key": x}, {"query": x, "key": x}):
        with pytest.raises(TypeError, match=f"^{name}: needs a query and a value.*Received: query "):
            ATTENTIONS[name]()(**named)
    with pytest.raises(TypeError, match=f"^{name}: takes one list"):
        ATTENTIONS[name]()([x, x], query=x)


@pytest.mark.parametrize("name", ["MultiHeadAttention", "GroupQueryAttention"])
def test_self_attention_says_it_twice(name):
    with pytest.raises(TypeError, match=rf"^{name}: needs query and value; self-attention is layer\(x, x\)"):
        ATTENTIONS[name]()(X)


def masked(name, which, mask):
    """The options that hand one mask to a layer: by name, or in Keras's list of them."""
    inputs = {"query": X, "value": ones(B, S, E), "key": ones(B, S, E)}
    place = ["query_mask", "value_mask", "key_mask", "attention_mask"].index(which)
    if name in ("Attention", "AdditiveAttention") and place < 3:
        return {**inputs, "mask": [mask if i == place else None for i in range(3)]}
    return {**inputs, which: mask}


AXES = {
    "query_mask": (r"\(B, T\) = \(2, 3\)", (B, T)), "value_mask": (r"\(B, S\) = \(2, 4\)", (B, S)),
    "key_mask": (r"\(B, S\) = \(2, 4\)", (B, S)),
    "attention_mask": (r"\(T, S\) = \(3, 4\) or \(B, T, S\) = \(2, 3, 4\) or \(B, h, T, S\) = \(2, \d, 3, 4\)", (T, S)),
}  # fmt: skip


@each
@pytest.mark.parametrize("which", AXES)
def test_a_mask_of_another_shape(name, which):
    axes, (rows, columns) = AXES[which]
    for shape in ((columns, rows), (rows + 1, columns), (rows, columns + 1), (columns,), (3, 3, 3, rows, columns), ()):
        raises_everywhere(name, ShapeError, rf"{which} needs the axes {axes}", **masked(name, which, every(*shape)))


@each
@pytest.mark.parametrize("which", AXES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
def test_a_mask_of_numbers(name, which, dtype):
    mask = np.ones(AXES[which][1], dtype)
    raises_everywhere(name, DtypeError, rf"{which} must be boolean, True where .*mask\.astype\(bool\)", **masked(name, which, mask))


@each
def test_a_mask_for_heads_that_are_not_there(name):
    heads = {"MultiHeadAttention": h, "GroupQueryAttention": 2 * h}.get(name, 1)
    raises_everywhere(name, ShapeError, "attention_mask needs the axes", **masked(name, "attention_mask", every(B, heads + 1, T, S)))


@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention"])
@pytest.mark.parametrize("mask", [every(B, T), [every(B, T)], [None] * 4, "causal"], ids=["array", "one", "four", "text"])
def test_the_masks_of_attention_are_a_list(name, mask):
    raises_everywhere(name, TypeError, r"mask is a list \[query mask \(B, T\), value mask \(B, S\)\]", query=X, value=X, mask=mask)


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("axis, rows", [(-1, (B, T)), (1, (B, E))])
def test_the_mask_of_batch_normalization(axis, rows, training):
    layer = used(layers.BatchNormalization(axis))
    before = state(layer)
    for shape in ((T, B), (B, T, E), (B, 1), (B,)):
        needs = rf"^BatchNormalization: mask needs the axes of x without the features, = {re.escape(str(rows))}.*Received: mask "
        with pytest.raises(ShapeError, match=needs):
            layer(X, mask=every(*shape), training=training)
    with pytest.raises(DtypeError, match="^BatchNormalization: mask must be boolean.*float32"):
        layer(X, mask=ones(*rows), training=training)
    if training:
        with pytest.raises(LayerError, match=r"^BatchNormalization: the mask leaves no row .*Received: x \(2, 3, 6\)"):
            layer(X, mask=~every(*rows), training=True)
    assert state(layer) == before
    model = mg.Sequential([layers.Dropout(0.0), layers.BatchNormalization(axis)])
    with pytest.raises(ShapeError, match=r"BatchNormalization: mask needs .* In layers\.1, a BatchNormalization of Sequential"):
        model(X, mask=every(T, B), training=training)


@pytest.mark.parametrize("axis", [-1, (0, 2)], ids=str)
def test_the_mask_of_softmax(axis):
    for shape in ((T, E + 1), (B + 1, T, E), (1, B, T, E)):
        with pytest.raises(ShapeError, match=r"In Softmax\.$"):
            layers.Softmax(axis)(X, mask=every(*shape))
    with pytest.raises(DtypeError, match="softmax: a mask must be boolean.*Received: .*float32"):
        layers.Softmax(axis)(X, mask=ones(T, E))


# ---------------------------------------------------------------------------------------------------------- how it is made

WHOLE = [0, -1, 2.0, "3", None, True, np.float64(2), [3]]
HEADS, GROUPS = (layers.MultiHeadAttention, (h, dq)), (layers.GroupQueryAttention, (dq, 2 * h, h))
NUMBERS = {
    "Dense units": lambda n: mg.Dense(n), "EinsumDense output_shape": lambda n: layers.EinsumDense("ab,bc->ac", (n,)),
    "Embedding input_dim": lambda n: layers.Embedding(n, E), "Embedding output_dim": lambda n: layers.Embedding(V, n),
    "PositionalEmbedding sequence_length": lambda n: layers.PositionalEmbedding(n),
    "Dropout noise_shape": lambda n: layers.Dropout(0.5, (n, 1)),
    "MultiHeadAttention num_heads": lambda n: layers.MultiHeadAttention(n, dq),
    "MultiHeadAttention key_dim": lambda n: layers.MultiHeadAttention(h, n),
    "MultiHeadAttention value_dim": lambda n: layers.MultiHeadAttention(h, dq, n),
    "MultiHeadAttention output_shape": lambda n: layers.MultiHeadAttention(h, dq, output_shape=(E, n)),
    "MultiHeadAttention sliding_window": lambda n: layers.MultiHeadAttention(h, dq, sliding_window=n),
    "GroupQueryAttention head_dim": lambda n: layers.GroupQueryAttention(n, h, h),
    "GroupQueryAttention num_query_heads": lambda n: layers.GroupQueryAttention(dq, n, h),
    "GroupQueryAttention num_key_value_heads": lambda n: layers.GroupQueryAttention(dq, h, n),
    "GroupQueryAttention sliding_window": lambda n: layers.GroupQueryAttention(dq, h, h, sliding_window=n),
}  # fmt: skip
NONE_IS_FINE = {"value_dim", "sliding_window", "noise_shape", "output_shape"}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("number", WHOLE, ids=repr)
def test_sizes_are_whole_numbers_from_one(name, number):
    who, what = name.split()
    if number is None and what in NONE_IS_FINE and name != "MultiHeadAttention output_shape":
        NUMBERS[name](None)
        return
    with pytest.raises(ValueError, match=rf"^{who}: {what} is a whole number from 1. Received: {re.escape(repr(number))}\.$"):
        NUMBERS[name](number)


@pytest.mark.parametrize("number", [1, np.int64(1)], ids=repr)
@pytest.mark.parametrize("name", NUMBERS)
def test_whole_numbers_from_one_are_fine(name, number):
    NUMBERS[name](number) if "num_query" not in name else NUMBERS[name](2 * number)


RATES = {
    "Dropout rate": lambda r: layers.Dropout(r), "Attention dropout": lambda r: layers.Attention(dropout=r),
    "AdditiveAttention dropout": lambda r: layers.AdditiveAttention(dropout=r),
    "MultiHeadAttention dropout": lambda r: layers.MultiHeadAttention(h, dq, dropout=r),
    "GroupQueryAttention dropout": lambda r: layers.GroupQueryAttention(dq, h, h, dropout=r),
}  # fmt: skip


@pytest.mark.parametrize("rate", [1, 1.0, -0.1, 50, "0.5", None, True, float("nan"), [0.5]], ids=repr)
@pytest.mark.parametrize("name", RATES)
def test_rates_are_below_one(name, rate):
    who, what = name.split()
    with pytest.raises(ValueError, match=rf"^{who}: {what} must be at least 0 and below 1. Received: {re.escape(repr(rate))}\.$"):
        RATES[name](rate)


@pytest.mark.parametrize("rate", [0, 0.0, 0.99, np.float32(0.5), np.float64(0.5)], ids=repr)
@pytest.mark.parametrize("name", RATES)
def test_rates_of_any_type_of_number_are_fine(name, rate):
    RATES[name](rate)


OPTIONS = [
    (lambda: layers.BatchNormalization(momentum=1.1), "BatchNormalization: momentum is a number from 0 to 1. Received: 1.1"),
    (lambda: layers.BatchNormalization(momentum=-0.1), "BatchNormalization: momentum is a number from 0 to 1. Received: -0.1"),
    (lambda: layers.BatchNormalization(momentum="0.9"), "BatchNormalization: momentum is a number from 0 to 1. Received: '0.9'"),
    *[(lambda cls=cls: cls(epsilon=-1e-3), f"{cls.__name__}: epsilon is a number from 0. Received: -0.001")
      for cls in (layers.BatchNormalization, layers.LayerNormalization, layers.RMSNormalization)],
    *[(lambda cls=cls, axis=axis: cls(axis), rf"{cls.__name__}: axis is a whole number.*Received: {re.escape(repr(axis))}")
      for cls in (layers.BatchNormalization, layers.LayerNormalization, layers.RMSNormalization, layers.Softmax)
      for axis in (None, 1.0, "1", True, (), (1, 1.5))],
    (lambda: layers.BatchNormalization((1, 2)), r"BatchNormalization: axis is a whole number\. Received: \(1, 2\)"),
    (lambda: layers.Normalization(1.0), "Normalization: axis is a whole number, or a list of them. Received: 1.0"),
    (lambda: layers.Normalization(mean=[1.0]), r"Normalization: mean and variance go together.*mean \[1.0\], variance None"),
    (lambda: layers.Normalization(mean=[1.0], variance=1.0), "Normalization: mean and variance go together, in one shape"),
    (lambda: layers.Normalization(mean=[1.0], variance=[-1.0]), r"Normalization: .*no variance is negative.*variance \[-1.0\]"),
    (lambda: layers.Normalization(mean=[np.nan], variance=[1.0]), r"Normalization: mean and variance are finite.*mean \[nan\]"),
    (lambda: layers.Dropout(0.5, 3), "Dropout: noise_shape is a list with a number or None for each axis of x. Received: 3"),
    (lambda: layers.Attention(score_mode="product"), 'Attention: score_mode is "dot" or "concat". Received: \'product\''),
    (lambda: layers.MultiHeadAttention(h, dq, combine="mean"), "MultiHeadAttention: combine is .*Received: 'mean'"),
    (lambda: layers.MultiHeadAttention(h, dq, scale="half"), "MultiHeadAttention: scale is a number.*Received: 'half'"),
    (lambda: layers.GroupQueryAttention(dq, 4, 3), "GroupQueryAttention: num_query_heads must be a multiple of .*Received: 4 and 3"),
    (lambda: layers.SinusoidalPositions(0), "SinusoidalPositions: max_wavelength is a positive number. Received: 0"),
    (lambda: layers.SinusoidalPositions("long"), "SinusoidalPositions: max_wavelength is a positive number. Received: 'long'"),
    (lambda: layers.Embedding(V, E, weights=ones(E, V)), r"Embedding: weights have one row for each id, \(11, 6\). Received: .*\(6, 11\)"),
    *[(lambda equation=equation: layers.EinsumDense(equation, (None, F)), rf"EinsumDense: the equation .*{re.escape(repr(equation))}")
      for equation in ("btd->bte", "btd,de", "btd,de,ef->btf", "btd,dx->bte", "btd,d.e->bte", "...d,de->bte", "", None)],
    (lambda: layers.EinsumDense("btd,de->bte", (None, F), bias_axes="x"), "EinsumDense: .*letters of the result as bias_axes.*'x'"),
    (lambda: layers.EinsumDense("btd,de->bte", F), r"EinsumDense: output_shape has a length or None for each of the axes 'te'.*\(7,\)"),
    (lambda: layers.EinsumDense("btd,de->bte", (B, T, F)), r"EinsumDense: output_shape has .*axes 'te' of 'btd,de->bte'.*\(2, 3, 7\)"),
    *[(lambda cls=cls, given=given, option=option: cls(*given, **{option: "glorot"}), rf"{cls.__name__}: {option} is a function .*'glorot'")
      for cls, given, options in (
          (mg.Dense, (F,), ["kernel_initializer", "bias_initializer"]), (*HEADS, ["kernel_initializer", "bias_initializer"]),
          (*GROUPS, ["kernel_initializer", "output_initializer"]), (layers.Embedding, (V, E), ["embeddings_initializer"]),
          (layers.PositionalEmbedding, (L,), ["initializer"]), (layers.LayerNormalization, (), ["gamma_initializer", "beta_initializer"]),
          (layers.BatchNormalization, (), ["moving_mean_initializer", "moving_variance_initializer"]),
      ) for option in options],
    (lambda: mg.Dense(F, "swoosh"), "Dense: activation is a function or one of .*Received: 'swoosh'"),
    (lambda: mg.Dense(F, ["relu"]), r"Dense: activation is a function or one of .*Received: \['relu'\]"),
    (lambda: blocks.GatedFeedForward(F, "relu"), "GatedFeedForward: activation is one of swiglu, geglu, geglu_tanh. Received: 'relu'"),
    (lambda: blocks.GatedFeedForward(F, ["geglu"]), r"GatedFeedForward: activation is one of .*Received: \['geglu'\]"),
    (lambda: layers.EinsumDense("ab,bc->ac", F, "swoosh"), "EinsumDense: activation is a function or one of .*Received: 'swoosh'"),
]  # fmt: skip


@pytest.mark.parametrize("make, words", OPTIONS, ids=[re.sub(r"[^\w ,.:=()-]", "", words)[:70] for _, words in OPTIONS])
def test_an_option_that_cannot_be(make, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        make()


@pytest.mark.parametrize("make", [mg.Dense, layers.MultiHeadAttention, layers.Attention, layers.LayerNormalization, layers.Softmax])
def test_an_unknown_option_shows_those_there_are(make):
    given = {mg.Dense: (3,), layers.MultiHeadAttention: (h, dq)}.get(make, ())
    with pytest.raises(TypeError, match=rf"^{make.__name__}: no argument called 'kernal'\. It takes \("):
        make(*given, kernal=3)


@pytest.mark.parametrize("what", ["kernel", "bias"])
def test_an_initializer_gives_what_it_is_asked_for(what):
    with pytest.raises(ShapeError, match=rf"^MultiHeadAttention: {what}_initializer must give what .*Received: numbers \(1,\)"):
        layers.MultiHeadAttention(h, dq, **{f"{what}_initializer": lambda shape: np.zeros(1)})(X, X)


def test_numbers_from_elsewhere_become_the_default_dtype():
    """One float64 array, NumPy's default, would make a whole model float64."""
    rows = np.arange(V * E, dtype=float).reshape(V, E)
    embedding, dense = layers.Embedding(V, E, weights=rows), mg.Dense(F, kernel_initializer=lambda shape: np.full(shape, 0.5))
    assert dense(embedding(np.array([[1]]))).dtype == embedding.embeddings.dtype == dense.kernel.dtype == np.float32
    assert np.array_equal(embedding.embeddings.numpy(), rows)


# ----------------------------------------------------------------------------------------------------- weights and building

NOT_BUILT = [
    mg.Dense(F), layers.EinsumDense("ab,bc->ac", F), layers.PositionalEmbedding(L), layers.Attention(), layers.AdditiveAttention(),
    layers.MultiHeadAttention(h, dq), layers.GroupQueryAttention(dq, h, 1), layers.Normalization(), layers.BatchNormalization(),
    layers.LayerNormalization(), layers.RMSNormalization(),
]  # fmt: skip


@pytest.mark.parametrize("layer", NOT_BUILT, ids=lambda layer: type(layer).__name__)
def test_a_layer_that_is_not_built_says_how_to_build_it(layer):
    name = type(layer).__name__
    asks = (layer.parameters, layer.buffers, layer.get_weights, layer.count_params, layer.state_dict, layer.freeze, layer.summary,
            lambda: layer.set_weights([]), lambda: layer.load_state_dict({}), lambda: layer.trainable)  # fmt: skip
    for ask in asks:
        with pytest.raises(LayerError, match=rf"^this layer: {name} has no parameters yet.*ensure_built\(input_shape\)"):
            ask()
    with pytest.raises(LayerError, match=rf"^layers\.1: {name} has no parameters yet"):
        mg.Sequential([layers.Dropout(0.5), layer]).parameters()
    assert repr(layer) == f"<{name}, not built>"


@pytest.mark.parametrize("make", [
    lambda: used(mg.Dense(F)), adapted, lambda: used(layers.BatchNormalization()),
    lambda: layers.MultiHeadAttention(h, dq).ensure_built(X.shape),
], ids=["Dense", "Normalization", "BatchNormalization", "MultiHeadAttention"])  # fmt: skip
def test_weights_that_do_not_fit_change_nothing(make):
    layer = make()
    name, before, weights = type(layer).__name__, state(layer), layer.get_weights()
    for arrays in (weights[:-1], [*weights, weights[0]], []):
        with pytest.raises(LayerError, match=rf"^set_weights: {name} has {len(weights)} arrays. Received: {len(arrays)}\.$"):
            layer.set_weights(arrays)
    for number in range(len(weights)):
        wrong = [w + 1 for w in weights]
        wrong[number] = wrong[number][..., :-1]
        with pytest.raises(ShapeError, match=rf"^set_weights: array {number} of {name} must have shape \(.*Received: \("):
            layer.set_weights(wrong)
        wrong[number] = np.full(weights[number].shape, "1")
        with pytest.raises(DtypeError, match="elements must be numbers"):
            layer.set_weights(wrong)
    assert state(layer) == before


# ------------------------------------------------------------------------------------------------------------------- adapt

NAN = np.array([[1.0, 2.0], [3.0, np.nan]])
INF = np.array([[np.inf, 2.0]])
GOOD = np.array([[1.0, 10.0], [3.0, 30.0], [5.0, 20.0]])
NO_DATA = {
    "no rows": (np.ones((0, 2)), ShapeError, r"needs at least one row.*\(0, 2\)"), "one number": (3.0, ShapeError, "at least one row"),
    "no axis": (np.float64(3), ShapeError, r"needs at least one row.*data \(\)"), "None": (None, DtypeError, "must be numbers"),
    "NaN": (NAN, LayerError, r"data\[1, 1\] is nan"), "infinity": (INF, LayerError, r"data\[0, 0\] is inf"),
    "NaN in lists": (NAN.tolist(), LayerError, r"data\[1, 1\] is nan"), "text": ("abc", DtypeError, "must be numbers"),
    "objects": (np.array([[None, 2]]), DtypeError, "must be numbers"), "a stream of nothing": ([], ShapeError, "at least one row"),
    "a stream without rows": ([np.ones((0, 2)), np.ones((0, 2))], ShapeError, "needs at least one row"),
    "a stream of numbers": ([1.0, 2.0], ShapeError, "at least one row.*batch 0"),
    "NaN in a stream": ([GOOD, NAN], LayerError, r"batch 1\[1, 1\] is nan"),
    "infinity in a stream": ([GOOD, INF], LayerError, r"batch 1\[0, 0\] is inf"),
    "another width in a stream": ([GOOD, np.ones((4, 3))], ShapeError, r"batch 1 needs the lengths \(2,\) along the axes \(1,\).*\(4, 3\)"),
}  # fmt: skip


def data_of(name):
    return iter(NO_DATA[name][0]) if "stream" in name else NO_DATA[name][0]


@pytest.mark.parametrize("name", NO_DATA)
def test_adapt_takes_everything_or_nothing(name):
    _, error, words = NO_DATA[name]
    layer = layers.Normalization()
    layer.adapt(GOOD)
    before = state(layer)
    with pytest.raises(error, match=words):
        layer.adapt(data_of(name))
    assert state(layer) == before


@pytest.mark.parametrize("name", NO_DATA)
def test_adapt_that_fails_at_first_leaves_the_layer_as_new(name):
    _, error, words = NO_DATA[name]
    layer = layers.Normalization()
    with pytest.raises(error, match=words):
        layer.adapt(data_of(name))
    assert not layer.built and not layer.adapted
    layer.adapt(np.ones((4, 5)))  # and free for data of another width
    assert layer.mean.shape == (5,)


def test_adapt_again_needs_the_width_it_had():
    layer = layers.Normalization()
    layer.adapt(GOOD)
    before = state(layer)
    for data in (np.ones((4, 3)), [], iter([np.ones((4, 1))])):
        with pytest.raises(ShapeError, match=r"Normalization.adapt: (data|batch 0) needs the lengths \(2,\).*Received: data \("):
            layer.adapt(data)
    with pytest.raises(ZeroDivisionError):  # a stream that breaks off by itself
        layer.adapt(GOOD / (2 - i) if i < 2 else 1 / 0 for i in range(4))
    assert state(layer) == before
    with pytest.raises(ShapeError, match="at least one row"):
        layers.Normalization().adapt([])


def test_adapt_after_statistics_were_given():
    with pytest.raises(LayerError, match="Normalization.adapt: mean and variance were given"):
        layers.Normalization(mean=1.0, variance=1.0).adapt(GOOD)


class Batches:
    """A stream that can be asked for again, with neither shape nor length."""

    def __iter__(self):
        yield GOOD[:2], "labels"
        yield GOOD[:0], "labels"
        yield GOOD[2:], "labels"


@pytest.mark.parametrize("data", [
    lambda: GOOD, lambda: GOOD.tolist(), lambda: mg.tensor(GOOD), lambda: [GOOD[:2], GOOD[2:]], lambda: iter([GOOD[:2], GOOD[2:]]),
    lambda: iter(GOOD), lambda: list(GOOD), Batches, lambda: iter(Batches()), lambda: [mg.tensor(GOOD[:1]), GOOD[1:]],
], ids=["array", "lists", "Tensor", "list of batches", "iterator", "rows", "list of rows", "object", "generator", "Tensors"])  # fmt: skip
def test_adapt_takes_data_in_any_of_its_forms(data):
    layer = layers.Normalization()
    layer.adapt(data())
    np.testing.assert_allclose(layer.mean.numpy(), GOOD.mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.variance.numpy(), GOOD.var(0), rtol=1e-6)


@pytest.mark.parametrize("data", [np.full((7, 2), [0.1, 1 / 3]), [np.full((7, 2), [0.1, 1 / 3]), np.full((3, 2), [0.1, 1 / 3])]],
                         ids=["whole", "stream"])  # fmt: skip
def test_rounding_does_not_make_a_constant_column_vary(data):
    """The mean of seven times 0.1 is not 0.1: what is left would become a divisor of 1e-17."""
    layer = layers.Normalization()
    layer.adapt(data)
    assert layer.variance.tolist() == [0.0, 0.0]
    np.testing.assert_allclose(layer(np.array([[0.1, 1.0]])).numpy(), [[0.0, 2 / 3]], atol=1e-7)


# ------------------------------------------------------------------------------------------------------- what is not offered


def test_the_page_gives_the_advice_of_the_errors():
    page = (Path(__file__).parents[2] / "docs" / "keras.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+|\*_\w+|\w+\*)`.* \| .+ \| (.+) \|$", page.partition("## Arguments")[2], re.MULTILINE))
    assert set(rows.values()) == set(_NOT_OFFERED.values())
    for pattern, advice in rows.items():
        option = pattern.replace("*", "x")
        with pytest.raises(LayerError, match=rf"^Dense: {option} is not offered; {re.escape(advice)}\. Received: {option} 'some'\.$"):
            mg.Dense(F, **{option: "some"})
    assert all(any(key in pattern.replace("*", "x") for pattern in rows) for key in _NOT_OFFERED)
    assert issubclass(LayerError, MinigradError)

"""Every layer beside Keras's: the same weights in both, then values, gradients, orders and counts; and where they differ, that they do."""

import fnmatch
import inspect
import itertools
import re
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from minigrad.dense import ACTIVATIONS
from minigrad.errors import DtypeError, LayerError
from tests.helpers import assert_close
from transformer import layers

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),  # Keras's own
]

B, T, S, E, F, dq, dv, h = 2, 3, 4, 6, 7, 5, 8, 3


@pytest.fixture
def keras(monkeypatch):
    """Keras, in float64: beside torch it computes in float32, whatever the dtype of a layer, but for an entry of this table."""
    keras = pytest.importorskip("keras")
    from keras.src.backend.common import dtypes

    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    return keras


@pytest.fixture(autouse=True)
def in_float64():
    with mg.use_default_dtype("float64"):
        yield


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


# -------------------------------------------------------------------------------------------------- the two side by side


def by_place(layer, inputs, **options):
    return layer(*inputs, **options)


def as_list(layer, inputs, **options):
    return layer(list(inputs), **options)


def as_torch(value):
    """Arrays as torch's tensors, in lists too."""
    import torch

    if isinstance(value, list):
        return [as_torch(item) for item in value]
    return torch.tensor(value) if isinstance(value, np.ndarray) else value


def several(out):
    return list(out) if isinstance(out, tuple | list) else [out]


def run_ours(layer, inputs, cotangents, call, **options):
    """Outputs, and the gradients of (inputs, learnable arrays)."""
    leaves = [Tensor(x, requires_grad=True) if x.dtype.kind == "f" else x for x in inputs]
    outs = several(call(layer, leaves, **options))
    learnable = [w for w in layer.weights if isinstance(w, mg.Parameter)]
    layer.zero_grad()
    sum((out * c).sum() for out, c in zip(outs, cotangents(outs))).backward()
    gradients = [None if t.grad is None else t.grad.numpy() for t in (*(x for x in leaves if isinstance(x, Tensor)), *learnable)]
    return [out.numpy() for out in outs], gradients


def run_theirs(layer, inputs, cotangents, call, **options):
    leaves = [as_torch(x).requires_grad_(x.dtype.kind == "f") for x in inputs]
    outs = several(call(layer, leaves, **{name: as_torch(value) for name, value in options.items()}))
    learnable = [w.value for w in layer.weights if w.trainable]
    for w in learnable:
        w.grad = None
    sum((out * as_torch(c)).sum() for out, c in zip(outs, cotangents(outs))).backward()
    gradients = [None if t.grad is None else t.grad.numpy() for t in (*(x for x in leaves if x.requires_grad), *learnable)]
    return [out.detach().numpy() for out in outs], gradients


def everywhere(outs):
    """Random weights for every output."""
    return [normal(3, *out.shape)[0] for out in outs]


def share_weights(ours, theirs):
    """Random weights, there and back; the same names, shapes, orders and counts, frozen or not."""
    rng = np.random.default_rng(8)
    names = [w.path.split("/", 1)[1].replace("/", "_").replace("attention_output", "output") for w in theirs.weights]
    arrays = [rng.uniform(0.5, 1.5, w.shape) * (1 if "variance" in name else -1) for w, name in zip(theirs.weights, names)]
    theirs.set_weights(arrays)
    ours.set_weights(theirs.get_weights())
    theirs.set_weights([0 * a for a in arrays])
    theirs.set_weights(ours.get_weights())
    for own, other, array in zip(ours.get_weights(), theirs.get_weights(), arrays, strict=True):
        assert np.array_equal(own, array) and np.array_equal(other, array)
    assert list(ours.named_tensors()) == names
    assert ours.count_params() == theirs.count_params()
    for flag in (False, True):
        ours.trainable = theirs.trainable = flag
        for which in ("weights", "trainable_weights", "non_trainable_weights"):
            assert [w.shape for w in getattr(ours, which)] == [tuple(w.shape) for w in getattr(theirs, which)], (which, flag)


def compare(ours, theirs, inputs, call=by_place, tolerance=1e-12, cotangents=everywhere, their_call=None, **options):
    """Values, and gradients of every input and weight, after `share_weights`."""
    call(ours, inputs, **options)
    (their_call or call)(theirs, [as_torch(x) for x in inputs], **{name: as_torch(value) for name, value in options.items()})
    share_weights(ours, theirs)
    outs, gradients = run_ours(ours, inputs, cotangents, call, **options)
    expected, their_gradients = run_theirs(theirs, inputs, cotangents, their_call or call, **options)
    for out, other, c in zip(outs, expected, cotangents(outs), strict=True):
        assert_close(out * (c != 0), other * (c != 0), tolerance, "value")
    for number, (g, other) in enumerate(zip(gradients, their_gradients, strict=True)):
        if g is None or other is None:  # nothing depends on it: none here, zeros there
            assert not np.any(0 if g is None else g) and not np.any(0 if other is None else other)
        else:
            assert_close(g, other, 10 * tolerance, f"gradient {number}")


# ------------------------------------------------------------------------------------------------- dense, embedding, softmax


@pytest.mark.parametrize("shape", [(B, E), (B, T, E), (B, T, S, E)], ids=len)
@pytest.mark.parametrize("options", [{}, {"use_bias": False}, {"activation": "tanh"}, {"activation": "gelu", "use_bias": False}], ids=str)
def test_dense(keras, shape, options):
    compare(mg.Dense(F, **options), keras.layers.Dense(F, dtype="float64", **options), [normal(*shape)])


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name not in (None, "gelu_tanh")])
def test_activations_of_one_name_are_the_same_function(keras, name):
    ours, theirs = mg.Dense(9, name, bias_initializer="zeros"), keras.layers.Dense(9, name, dtype="float64")
    compare(ours, theirs, [np.linspace(-3.1, 3, 24).reshape(4, 6)], tolerance=1e-8)  # a sixth is one of float32 in Keras


def test_the_activations_that_are_not_there_are_told(keras):
    from keras.src.activations import ALL_OBJECTS_DICT

    missing = {name for name in ALL_OBJECTS_DICT if name not in ACTIVATIONS}
    assert missing == {"glu", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "threshold"}
    for name in missing:
        with pytest.raises(ValueError, match=f"Dense: activation is a function or one of .*Received: '{name}'"):
            mg.Dense(3, name)


@pytest.mark.parametrize("equation, output_shape, bias_axes, shape", [
    ("ab,bc->ac", F, "c", (B, E)), ("ab,bc->ac", (F,), None, (B, E)),
    ("abc,cd->abd", (None, F), "d", (B, T, E)), ("abc,cd->abd", (T, F), "bd", (B, T, E)), ("abc,cde->abde", (None, h, dq), "de", (B, T, E)),
    ("abc,cde->abde", (None, h, dq), "d", (B, T, E)), ("abc,cde->abde", (None, h, dq), "ed", (B, T, E)),
    ("abcd,cde->abe", (None, F), "e", (B, T, h, dq)), ("abc,dbe->adec", (F, dv, None), "d", (B, T, E)),
    ("abc,bc->abc", (T, E), "c", (B, T, E)), ("abc,cb->acb", (E, T), "cb", (B, T, E)),
    ("...x,xy->...y", F, "y", (B, T, E)), ("...x,xy->...y", F, "y", (B, S, T, E)), ("...xz,xyz->...yz", (F, E), "yz", (B, T, S, E)),
    ("ab...,bc->ac...", F, "c", (B, E, T)), ("ab...,bc->ac...", F, "c", (B, E, T, S)),
])  # fmt: skip
@pytest.mark.parametrize("activation", [None, "tanh"])
def test_einsum_dense(keras, equation, output_shape, bias_axes, shape, activation):
    arguments = equation, output_shape, activation, bias_axes
    compare(layers.EinsumDense(*arguments), keras.layers.EinsumDense(*arguments, dtype="float64"), [normal(*shape)])


def test_weights_start_with_the_same_spread(keras):
    """A kernel with several axes is drawn as the matrix that it stands for, in both."""
    wide, x = 40, normal(1, 3, 50)
    cases = [
        (mg.Dense(60), keras.layers.Dense(60)),
        (layers.EinsumDense("abc,cde->abde", (None, 4, 30)), keras.layers.EinsumDense("abc,cde->abde", (None, 4, 30))),
        (layers.EinsumDense("abc,dce->abde", (None, 4, 30)), keras.layers.EinsumDense("abc,dce->abde", (None, 4, 30))),
        (layers.EinsumDense("abc,cb->acb", (50, 3)), keras.layers.EinsumDense("abc,cb->acb", (50, 3))),
        (layers.Embedding(wide, 50), keras.layers.Embedding(wide, 50)),
        (layers.MultiHeadAttention(4, 20, 30), keras.layers.MultiHeadAttention(4, 20, 30)),
        (layers.GroupQueryAttention(20, 4, 2), keras.layers.GroupQueryAttention(20, 4, 2)),
    ]
    for ours, theirs in cases:
        inputs = (np.arange(6),) if isinstance(ours, layers.Embedding) else (x,) * (1 + hasattr(ours, "num_heads"))
        by_place(ours, inputs), by_place(theirs, inputs)
        for own, other in zip(ours.weights, theirs.weights, strict=True):
            own, other = own.numpy(), other.numpy()
            assert abs(own.std() - other.std()) <= 6 * other.std() / own.size**0.5, (type(ours).__name__, own.shape)


@pytest.mark.parametrize("shape", [(T,), (B, T)], ids=len)
def test_embedding(keras, shape):
    ids = np.random.default_rng(3).integers(0, F, shape)
    compare(layers.Embedding(F, E), keras.layers.Embedding(F, E, dtype="float64"), [ids])


def test_embedding_masks_and_starts_from_weights(keras):
    ids, rows = np.array([[3, 0, 1], [0, 0, 6]]), normal(F, E)
    for weights in (rows, [rows]):
        ours = layers.Embedding(F, E, mask_zero=True, weights=weights)
        theirs = keras.layers.Embedding(F, E, mask_zero=True, weights=weights, dtype="float64")
        assert np.array_equal(ours(ids).numpy(), theirs(ids).detach().numpy())
        assert np.array_equal(ours.compute_mask(ids), theirs.compute_mask(as_torch(ids)).numpy())
    assert layers.Embedding(F, E).compute_mask(ids) is None is keras.layers.Embedding(F, E).compute_mask(ids)


@pytest.mark.parametrize("axis", [-1, 0, 1, 2, -2, (1,), (1, 2), (0, -1), [2, 0], (0, 1, 2)], ids=str)
@pytest.mark.parametrize("mask", [None, (B, T, E), (T, E), (T, 1)], ids=str)
def test_softmax(keras, axis, mask):
    options = {} if mask is None else {"mask": np.random.default_rng(4).random(mask) < 0.7}
    compare(layers.Softmax(axis), keras.layers.Softmax(axis, dtype="float64"), [normal(B, T, E)], **options)


def test_dropout_has_the_rate_the_scale_and_the_noise_shape_of_keras(keras):
    """The numbers are others; how many are dropped, by what the rest is divided, and which share a choice are the same."""
    x = np.ones((50, 40, 30))
    for rate, noise_shape in itertools.product((0.0, 0.3), (None, (None, 1, 30), (50, None, 1))):
        made = [Module(rate, noise_shape=noise_shape, seed=2) for Module in (layers.Dropout, keras.layers.Dropout)]
        ours, theirs = (np.asarray(layer(x, training=True)) for layer in made)
        for axis, n in enumerate(noise_shape or ()):
            for out in (ours, theirs):
                assert (np.ptp(out, axis) == 0).all() == (n == 1 or rate == 0)
        assert_close(np.unique(ours), np.unique(theirs), 1e-7)
        assert abs((ours == 0).mean() - rate) < 0.05 and abs((theirs == 0).mean() - rate) < 0.05
        assert all(np.array_equal(np.asarray(layer(x)), x) for layer in made)
        assert [layer.count_params() for layer in made] == [0, 0]


# ------------------------------------------------------------------------------------------------------------- attention

# Every question keeps at least the first key: what comes of none is a difference, below.
QUERY_MASK = np.array([[True, False, True], [True, True, False]])
VALUE_MASK = np.array([[True, True, False, True], [True, False, True, True]])
KEY_MASK = np.array([[True, False, True, True], [True, True, True, False]])
ATTENTION_MASK = np.random.default_rng(1).random((B, T, S)) < 0.6
ATTENTION_MASK[:, :, 0] = True


def of_real_questions(outs):
    """No weight for the masked questions, whose rows are zeros here: their scores in Keras's Attention are those without a mask."""
    return [c * (QUERY_MASK[:, :, None] if number else 1) for number, c in enumerate(everywhere(outs))]


@pytest.mark.parametrize("masks", list(itertools.product([False, True], repeat=3)), ids=str)  # query, value, causal
@pytest.mark.parametrize("scores", [False, True], ids=["", "scores"])
@pytest.mark.parametrize("three", [False, True], ids=["two inputs", "three"])
@pytest.mark.parametrize("name, ours, theirs", [
    ("Attention", {"use_scale": False}, {}), ("Attention", {"use_scale": True}, {"use_scale": True}),
    ("Attention", {"use_scale": False, "score_mode": "concat"}, {"score_mode": "concat"}),
    ("Attention", {"use_scale": True, "score_mode": "concat"}, {"use_scale": True, "score_mode": "concat"}),
    ("AdditiveAttention", {}, {}), ("AdditiveAttention", {"use_scale": False}, {"use_scale": False}),
], ids=["dot", "dot scaled", "concat", "concat scaled", "additive", "additive unscaled"])  # fmt: skip
def test_attention(keras, name, ours, theirs, masks, scores, three):
    inputs = [normal(B, T, dq), normal(B, S, dv), normal(B, S, dq)] if three else [normal(B, T, dq), normal(B, S, dq)]
    query, value, causal = masks
    options = {"mask": [QUERY_MASK if query else None, VALUE_MASK if value else None]} if query or value else {}
    compare(
        getattr(layers, name)(**ours), getattr(keras.layers, name)(**theirs, dtype="float64"), inputs, as_list,
        cotangents=of_real_questions if query else everywhere,
        **options, use_causal_mask=causal, return_attention_scores=scores,
    )  # fmt: skip


def test_attention_computes_the_mask_of_its_result_as_keras_does(keras):
    inputs, masks = [normal(B, T, dq), normal(B, S, dq)], [QUERY_MASK, VALUE_MASK]
    assert np.array_equal(layers.Attention().compute_mask(inputs, masks), keras.layers.Attention().compute_mask(inputs, masks).numpy())
    for mask in (None, [None, VALUE_MASK]):
        assert layers.Attention().compute_mask(inputs, mask) is None is keras.layers.Attention().compute_mask(inputs, mask)


def with_query_mask(layer, inputs, query_mask=None, **options):
    """Keras's MultiHeadAttention takes the mask of its query from the tensor alone, and drops one that is given by name."""
    if query_mask is not None:
        inputs[0]._keras_mask = query_mask
    return layer(*inputs, **options)


WIDTHS = [normal(B, T, E), normal(B, S, E + 3), normal(B, S, E + 5)]
MANY = [
    {}, {"value_dim": dv}, {"use_bias": False}, {"output_shape": 9}, {"output_shape": (2, 9), "value_dim": dv}, {"sliding_window": 2},
    {"dropout": 0.5}, {"combine": "sum"}, {"combine": "sum", "use_bias": False, "value_dim": dv},
    {"combine": "sum", "output_shape": (2, 9)},
]  # fmt: skip


@pytest.mark.parametrize("number", [2, 3], ids=["two inputs", "three"])
@pytest.mark.parametrize("scores", [False, True], ids=["", "scores"])
@pytest.mark.parametrize("causal", [False, True], ids=["", "causal"])
@pytest.mark.parametrize("options", MANY, ids=str)
def test_multi_head_attention(keras, options, causal, scores, number):
    theirs = {name: value for name, value in options.items() if name != "combine"}
    compare(
        layers.MultiHeadAttention(h, dq, **options), keras.layers.MultiHeadAttention(h, dq, **theirs, dtype="float64"), WIDTHS[:number],
        use_causal_mask=causal, return_attention_scores=scores,
    )  # fmt: skip


@pytest.mark.parametrize("number", [2, 3], ids=["two inputs", "three"])
@pytest.mark.parametrize("scores", [False, True], ids=["", "scores"])
@pytest.mark.parametrize("causal", [False, True], ids=["", "causal"])
@pytest.mark.parametrize("r, options", [
    (1, {}), (2, {}), (4, {}), (2, {"use_bias": False}), (2, {"sliding_window": 2}), (2, {"dropout": 0.5}),
], ids=str)  # fmt: skip
def test_group_query_attention(keras, r, options, causal, scores, number):
    compare(
        layers.GroupQueryAttention(dq, 4, r, **options), keras.layers.GroupQueryAttention(dq, 4, r, **options, dtype="float64"),
        WIDTHS[:number], use_causal_mask=causal, return_attention_scores=scores,
    )  # fmt: skip


@pytest.mark.parametrize("masks", list(itertools.product([False, True], repeat=5)), ids=lambda m: "".join(map(str, map(int, m))))
@pytest.mark.parametrize("scores", [False, True], ids=["", "scores"])
@pytest.mark.parametrize("name", ["MultiHeadAttention", "MultiHeadAttention as a sum", "GroupQueryAttention"])
def test_every_combination_of_masks(keras, name, masks, scores):
    given = {"query_mask": QUERY_MASK, "value_mask": VALUE_MASK, "key_mask": KEY_MASK, "attention_mask": ATTENTION_MASK}
    options = {which: mask for (which, mask), use in zip(given.items(), masks) if use}
    options |= {"use_causal_mask": masks[4], "return_attention_scores": scores}
    if name == "GroupQueryAttention":
        pair = layers.GroupQueryAttention(dq, 4, 2), keras.layers.GroupQueryAttention(dq, 4, 2, dtype="float64")
    else:
        pair = layers.MultiHeadAttention(h, dq, dv, combine="sum" if "sum" in name else "concat"), keras.layers.MultiHeadAttention(
            h, dq, dv, dtype="float64"
        )
    real = QUERY_MASK if "query_mask" in options else np.ones((B, T), bool)
    compare(
        *pair, WIDTHS, their_call=by_place if name == "GroupQueryAttention" else with_query_mask,
        cotangents=lambda outs: [c * (real[:, None, :, None] if c.ndim == 4 else real[:, :, None]) for c in everywhere(outs)], **options,
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(T, S), (1, T, S), (B, 1, S), (B, h, T, S), (B, 1, T, S)], ids=str)
def test_attention_masks_that_broadcast(keras, shape):
    mask = np.random.default_rng(5).random(shape) < 0.6
    mask[..., 0] = True
    compare(layers.MultiHeadAttention(h, dq), keras.layers.MultiHeadAttention(h, dq, dtype="float64"), WIDTHS, attention_mask=mask)


# --------------------------------------------------------------------------------------------------------- normalizations

X = {rank: np.random.default_rng(rank).normal(3, 2, (4, 3, 5, 2)[:rank]) for rank in (1, 2, 3, 4)}
GRID = [(rank, axis) for rank in X for axis in (*range(-rank, rank), *itertools.combinations(range(rank), 2), None)]
GRID += [(3, (2, 0)), (3, (-1, -3)), (4, (1, 2, 3))]
EVERY_AXIS = [(1, 0), (1, -1), (2, (0, 1))]  # every number is a column of its own: nothing varies


@pytest.mark.parametrize("rank, axis", [case for case in GRID if case not in EVERY_AXIS], ids=str)
@pytest.mark.parametrize("invert", [False, True], ids=["", "invert"])
def test_normalization(keras, rank, axis, invert):
    data, other = X[rank], X[rank] * 3 - 5
    ours, theirs = layers.Normalization(axis, invert=invert), keras.layers.Normalization(axis, invert=invert, dtype="float64")
    ours.adapt(data), theirs.adapt(data)
    assert [w.shape for w in ours.weights] == [tuple(w.shape) for w in theirs.weights][:2] and ours.parameters() == []
    for own, statistic in zip(ours.get_weights(), theirs.get_weights()):
        assert_close(own, statistic, 1e-13)
    outs, gradients = run_ours(ours, [other], everywhere, by_place)
    expected, their_gradients = run_theirs(theirs, [other], everywhere, by_place)
    assert_close(outs[0], expected[0], 1e-13)
    assert_close(gradients[0], their_gradients[0], 1e-13)
    back = layers.Normalization(axis, invert=not invert)
    back.adapt(data)
    assert_close(back(outs[0]).numpy(), other, 1e-12, "there and back")


@pytest.mark.parametrize("rank, axis", GRID, ids=str)
@pytest.mark.parametrize("scalar", [False, True], ids=["", "scalar"])
def test_normalization_with_given_statistics(keras, rank, axis, scalar):
    axes = () if axis is None else tuple(sorted(a % rank for a in np.atleast_1d(axis)))
    lengths = () if scalar else tuple(X[rank].shape[a] for a in axes)
    mean, variance = np.random.default_rng(1).uniform(0.5, 2, (2, *lengths))
    options = {"axis": axis, "mean": np.array(mean), "variance": np.array(variance)}
    ours, theirs = layers.Normalization(**options), keras.layers.Normalization(**options, dtype="float64")
    assert_close(ours(X[rank]).numpy(), theirs(X[rank]).numpy(), 1e-13)
    assert ours.count_params() == theirs.count_params() == 0


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), None], ids=str)
def test_normalization_over_a_stream_of_unequal_batches_is_that_of_the_whole(keras, axis):
    """Keras's streams want TensorFlow; its whole does not."""
    data = np.random.default_rng(2).normal(50, 3, (23, 4, 5))
    ours, theirs = layers.Normalization(axis), keras.layers.Normalization(axis, dtype="float64")
    ours.adapt(iter(np.split(data, [2, 3, 3, 15])))
    theirs.adapt(data)
    for own, other in zip(ours.get_weights(), theirs.get_weights()):
        assert_close(own, other, 1e-13)


@pytest.mark.parametrize("rank, axis", [(2, -1), (2, 0), (3, -1), (3, 1), (3, 0), (3, -2), (4, -1), (4, 2)])
@pytest.mark.parametrize("options", [
    {}, {"momentum": 0.7, "epsilon": 0.1}, {"center": False}, {"scale": False}, {"center": False, "scale": False},
], ids=str)  # fmt: skip
def test_batch_normalization(keras, rank, axis, options):
    """Several batches, training and inference in turn: outputs, gradients, and what is remembered."""
    ours, theirs = layers.BatchNormalization(axis, **options), keras.layers.BatchNormalization(axis, **options, dtype="float64")
    ours(X[rank], training=True), theirs(X[rank], training=True)
    share_weights(ours, theirs)
    for step, training in enumerate([True, False, True, True, False]):
        batch = X[rank] * (step + 1) + np.arange(X[rank].size).reshape(X[rank].shape) % 3
        outs, gradients = run_ours(ours, [batch], everywhere, by_place, training=training)
        expected, their_gradients = run_theirs(theirs, [batch], everywhere, by_place, training=training)
        assert_close(outs[0], expected[0], 1e-11)
        for g, other in zip(gradients, their_gradients, strict=True):
            assert_close(g, other, 1e-10)
        for own, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            assert_close(own, other, 1e-12)


def test_batch_normalization_with_a_mask(keras):
    """Keras divides by the number of rows + 1e-7, hence the tolerance; masked rows are normalized too, by the others' statistics."""
    ours, theirs = layers.BatchNormalization(momentum=0.6), keras.layers.BatchNormalization(momentum=0.6, dtype="float64")
    mask = np.random.default_rng(1).random((4, 3)) < 0.6
    compare(ours, theirs, [X[3]], tolerance=1e-6, mask=mask, training=True)
    for own, other in zip(ours.get_weights(), theirs.get_weights()):
        assert_close(own, other, 1e-6)
    compare(ours, theirs, [X[3]], mask=mask)


def beside_torch(rank, axis):
    """Keras's axis and call: torch refuses some axes that are not the last ones, so they are moved there, and back."""
    axes = sorted(a % rank for a in np.atleast_1d(axis).tolist())
    last = list(range(-len(axes), 0))
    return last, lambda layer, inputs: layer(inputs[0].movedim(axes, last)).movedim(last, axes)


several_axes = pytest.mark.parametrize("rank, axis", [(1, 0), (2, -1), (2, 0), (3, -1), (3, 1), (3, (1, 2)), (3, (-2, -1)), (3, (0, 2)),
                                                      (3, [2, 1]), (4, (1, 3)), (4, (1, 2, 3))], ids=str)  # fmt: skip


@several_axes
@pytest.mark.parametrize("options", [{}, {"epsilon": 0.1}, {"center": False}, {"scale": False}, {"center": False, "scale": False}], ids=str)
def test_layer_normalization(keras, rank, axis, options):
    along = beside_torch(rank, axis)
    pair = layers.LayerNormalization(axis, **options), keras.layers.LayerNormalization(along[0], **options, dtype="float64")
    compare(*pair, [X[rank]], tolerance=1e-11, their_call=along[1])


@several_axes
@pytest.mark.parametrize("options", [{}, {"epsilon": 0.1}], ids=str)
def test_rms_normalization(keras, rank, axis, options):
    along = beside_torch(rank, axis)
    pair = layers.RMSNormalization(axis, **options), keras.layers.RMSNormalization(along[0], **options, dtype="float64")
    compare(*pair, [X[rank]], tolerance=1e-12, their_call=along[1])


# ------------------------------------------------------------------------------------------------- layers inside of layers


def test_a_stack_has_kerass_order_of_weights(keras):
    """Layer by layer, in each first what is learnable; the same when a part is frozen."""
    ours = mg.Sequential([mg.Dense(5), layers.BatchNormalization(), mg.Sequential([mg.Dense(5), layers.LayerNormalization()]), mg.Dense(5)])
    theirs = keras.Sequential([
        keras.layers.Dense(5), keras.layers.BatchNormalization(),
        keras.Sequential([keras.layers.Dense(5), keras.layers.LayerNormalization()]), keras.layers.Dense(5),
    ])  # fmt: skip
    x = normal(7, 5)
    ours(x, training=True), theirs(x, training=True)
    for frozen in (None, 2, 0):
        if frozen is not None:
            ours.layers[frozen].trainable = theirs.layers[frozen].trainable = False
        ours.set_weights(theirs.get_weights())
        assert_close(ours(x).numpy(), theirs(x).detach().numpy(), 1e-5)
        for which in ("trainable_weights", "non_trainable_weights"):
            own, other = getattr(ours, which), getattr(theirs, which)
            assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(own, other, strict=True)), (frozen, which)


# ------------------------------------------------------------------------------------------------------------ differences
# One test for each row of the first table of docs/keras.md.


def test_difference_divides_by_the_root_of_dq(keras):
    inputs = [normal(B, T, dq), normal(B, S, dq)]
    scaled = [inputs[0] / dq**0.5, inputs[1]]
    plain = keras.layers.Attention(dtype="float64")
    assert_close(layers.Attention()(inputs), plain(scaled).numpy(), 1e-13)
    assert_close(layers.Attention(use_scale=False)(inputs), plain(inputs).numpy(), 1e-13)
    assert not np.allclose(layers.Attention()(inputs), plain(inputs).numpy())


@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention"])
def test_difference_no_key_left(keras, name):
    inputs, masks = [normal(B, T, dq), normal(B, S, dq)], [None, np.zeros((B, S), bool)]
    out, weights = getattr(layers, name)(use_scale=False)(inputs, mask=masks, return_attention_scores=True)
    assert not np.any(out) and not np.any(weights)
    theirs, given = getattr(keras.layers, name)(use_scale=False, dtype="float64"), [as_torch(x) for x in inputs]
    assert_close(theirs(given, mask=as_torch(masks)).numpy(), theirs(given).numpy(), 1e-5)


def test_difference_no_key_left_for_a_head(keras):
    """Keras gives zeros where it holds the scores and something else where it does not; ours zeros always, plus the bias."""
    x, mask = normal(B, T, E), np.ones((T, T), bool)
    mask[1] = False
    ours, theirs = layers.MultiHeadAttention(h, dq), keras.layers.MultiHeadAttention(h, dq, dtype="float64")
    ours(x, x), theirs(x, x)
    share_weights(ours, theirs)
    bias = np.broadcast_to(ours.output_bias.numpy(), (B, E))
    held, _ = theirs(x, x, attention_mask=as_torch(mask), return_attention_scores=True)
    fused = theirs(x, x, attention_mask=as_torch(mask))
    assert np.array_equal(ours(x, x, attention_mask=mask).numpy()[:, 1], bias)
    assert np.array_equal(ours(x, x, attention_mask=mask, return_attention_scores=True)[0].numpy()[:, 1], bias)
    assert_close(held.detach().numpy()[:, 1], bias, 1e-13)
    assert not np.allclose(fused.detach().numpy()[:, 1], bias)


def test_difference_large_scores(keras):
    """-1e9 is a number among numbers: scores of that size make a forbidden key the favourite."""
    query, value = np.array([[[1e5]]]), np.array([[[1e5], [-1e5]]])
    masks = [None, np.array([[False, True]])]
    inputs = [query, value]
    assert layers.Attention(use_scale=False)(inputs, mask=masks).tolist() == [[[-1e5]]]
    theirs = keras.layers.Attention(dtype="float64")([as_torch(x) for x in inputs], mask=as_torch(masks))
    assert theirs.tolist() == [[[1e5]]]


def test_difference_weights_of_a_masked_question(keras):
    inputs, masks = [normal(B, T, dq), normal(B, S, dq)], [QUERY_MASK, None]
    out, weights = layers.Attention(use_scale=False)(inputs, mask=masks, return_attention_scores=True)
    their_out, theirs = keras.layers.Attention(dtype="float64")(
        [as_torch(x) for x in inputs], mask=as_torch(masks), return_attention_scores=True
    )
    assert_close(out, their_out.numpy(), 1e-13)
    assert not np.any(np.asarray(weights)[~QUERY_MASK])
    assert_close(theirs.numpy().sum(-1), np.ones((B, T)), 1e-13)


def test_difference_third_mask(keras):
    inputs, masks = [normal(B, T, dq), normal(B, S, dq), normal(B, S, dq)], [None, VALUE_MASK, KEY_MASK]
    out = layers.Attention(use_scale=False)(inputs, mask=masks)
    assert np.array_equal(out, layers.Attention(use_scale=False)(inputs, mask=[None, VALUE_MASK & KEY_MASK]))
    plain = keras.layers.Attention(dtype="float64")
    theirs = [plain([as_torch(x) for x in inputs], mask=as_torch(m)).numpy() for m in (masks, masks[:2])]
    assert np.array_equal(*theirs) and not np.allclose(out, theirs[0])


def test_difference_query_mask_by_name(keras):
    x = normal(B, T, E)
    ours, theirs = layers.MultiHeadAttention(h, dq), keras.layers.MultiHeadAttention(h, dq, dtype="float64")
    masked = ours(x, x, query_mask=QUERY_MASK).numpy()
    assert not masked[~QUERY_MASK].any() and not np.array_equal(masked, ours(x, x).numpy())
    assert np.array_equal(theirs(x, x, query_mask=as_torch(QUERY_MASK)).detach().numpy(), theirs(x, x).detach().numpy())


def test_difference_masks_are_boolean(keras):
    x, mask = normal(B, T, E), np.ones((T, T))
    keras.layers.MultiHeadAttention(h, dq)(x, x, attention_mask=mask)
    with pytest.raises(DtypeError, match=r"MultiHeadAttention: attention_mask must be boolean.*mask.astype\(bool\)"):
        layers.MultiHeadAttention(h, dq)(x, x, attention_mask=mask)


def test_difference_inputs_by_place(keras):
    x = normal(B, T, dq)
    with pytest.raises(TypeError, match=r"one list in Keras's order.*query=Q, key=K, value=V"):
        layers.Attention()(x, x, x)
    with pytest.raises(ValueError, match="list of inputs"):  # Keras takes what follows the list for its mask
        keras.layers.Attention()(x, x, x)
    assert np.array_equal(layers.Attention()(query=x, key=x, value=2 * x), layers.Attention()([x, 2 * x, x]))


def test_difference_three_axes(keras):
    x = normal(B, T, S, E)
    assert keras.layers.MultiHeadAttention(h, dq)(x, x).shape == x.shape
    with pytest.raises(mg.errors.ShapeError, match=r"query needs the axes \(B, T, E\)"):
        layers.MultiHeadAttention(h, dq)(x, x)
    assert keras.layers.Attention()([x, x]).shape == x.shape
    with pytest.raises(mg.errors.ShapeError, match=r"query needs the axes \(B, T, dq\), with or without B"):
        layers.Attention()([x, x])


def test_difference_un_adapted(keras):
    assert np.array_equal(keras.layers.Normalization(dtype="float64")(X[2]).numpy(), X[2])
    with pytest.raises(LayerError, match=r"Normalization: .*call adapt\(data\)"):
        layers.Normalization()(X[2])


def test_difference_nan_in_adapt(keras):
    data = np.array([[1.0, 2.0], [np.nan, 4.0]])
    ours, theirs = layers.Normalization(), keras.layers.Normalization(dtype="float64")
    theirs.adapt(data)
    assert np.isnan(theirs.get_weights()[0][0])
    with pytest.raises(LayerError, match=r"data\[1, 0\] is nan"):
        ours.adapt(data)
    assert not ours.built


def test_difference_never_varies(keras):
    data, other = np.full((7, 1), 0.1), np.array([[0.1], [0.6]])
    ours, theirs = layers.Normalization(), keras.layers.Normalization(dtype="float64")
    ours.adapt(data), theirs.adapt(data)
    assert_close(ours(other).numpy(), [[0.0], [0.5]], 1e-15)
    assert theirs(other).numpy()[1] > 1e6


def test_difference_far_from_zero(keras):
    """Seconds since 1970: in float32 they are known to two minutes."""
    data = 1.7e9 + 10.0 * np.arange(100)[:, None]
    ours, theirs = layers.Normalization(), keras.layers.Normalization()
    ours.adapt(data), theirs.adapt(data)
    assert ours.mean.dtype == ours(data).dtype == np.float64
    assert_close(ours(data).numpy(), (data - data.mean()) / data.std(), 1e-12)
    out = theirs(data).detach().numpy()
    assert out.dtype == np.float32 and abs(out - ours(data).numpy()).max() > 0.05


def test_difference_one_count_more(keras):
    ours, theirs = layers.Normalization(), keras.layers.Normalization(dtype="float64")
    ours.adapt(X[2]), theirs.adapt(X[2])
    assert ours.count_params() + 1 == theirs.count_params() == 2 * 3 + 1
    twin = layers.Normalization().ensure_built(X[2].shape)
    twin.set_weights(theirs.get_weights())
    assert_close(twin(X[2]).numpy(), theirs(X[2]).numpy(), 1e-14)
    assert len(ours.get_weights()) == 2 and len(theirs.get_weights()) == 3


def test_difference_freezing_leaves_the_mode(keras):
    ours, theirs = layers.BatchNormalization(), keras.layers.BatchNormalization(dtype="float64")
    ours(X[2], training=True), theirs(X[2], training=True)
    share_weights(ours, theirs)
    training, inference = ours(X[2], training=True).numpy(), theirs(X[2]).detach().numpy()
    ours.trainable = theirs.trainable = False
    before = theirs.get_weights()
    assert_close(theirs(X[2], training=True).detach().numpy(), inference, 1e-13)
    assert all(np.array_equal(a, b) for a, b in zip(before, theirs.get_weights()))
    moving = ours.moving_mean.numpy()
    assert_close(ours(X[2], training=True).numpy(), training, 1e-13)
    assert not np.array_equal(ours.moving_mean.numpy(), moving)


def test_difference_never_trained(keras):
    assert_close(keras.layers.BatchNormalization(epsilon=0.0, dtype="float64")(X[2]).detach().numpy(), X[2], 1e-15)
    layer = layers.BatchNormalization(epsilon=0.0)
    with pytest.warns(UserWarning, match="BatchNormalization: in inference .* training=True while training"):
        assert_close(layer(X[2]).numpy(), X[2], 1e-15)
    layer(X[2])  # once is enough
    trained = layers.BatchNormalization(moving_mean_initializer="normal")
    trained(X[2], training=True)
    trained(X[2])


def test_difference_mask_along_any_axis(keras):
    mask = np.random.default_rng(1).random((4, 5)) < 0.6  # the axes of x without axis 1
    ours = layers.BatchNormalization(axis=1)
    ours(X[3], mask=mask, training=True)
    assert_close(ours.moving_mean.numpy(), 0.01 * np.array([X[3][:, i][mask].mean() for i in range(3)]), 1e-13)
    with pytest.raises(RuntimeError):  # Keras takes the last axis for that of the features
        keras.layers.BatchNormalization(axis=1)(X[3], mask=as_torch(mask), training=True)
    nothing = np.zeros((4, 3), bool)
    with pytest.raises(LayerError, match="BatchNormalization: the mask leaves no row"):
        layers.BatchNormalization()(X[3], mask=nothing, training=True)
    theirs = keras.layers.BatchNormalization(momentum=0.0, dtype="float64")
    theirs(X[3], mask=as_torch(nothing), training=True)
    assert not np.any(theirs.moving_mean.numpy())


def test_difference_mean_with_a_mask(keras):
    """Keras adds 1e-7 to the number of rows."""
    x, mask = np.full((2, 3, 2), 1e3), np.array([[True, False, False], [False, False, False]])
    ours, theirs = layers.BatchNormalization(momentum=0.0), keras.layers.BatchNormalization(momentum=0.0, dtype="float64")
    ours(x, mask=mask, training=True), theirs(x, mask=as_torch(mask), training=True)
    assert ours.moving_mean.tolist() == [1e3, 1e3]
    assert 1e-5 < 1e3 - theirs.moving_mean.numpy()[0] < 1e-3


def test_difference_nan_in_a_masked_row(keras):
    x, mask = normal(B, T, F), np.ones((B, T), bool)
    mask[0, 1], x[0, 1] = False, np.nan
    ours, theirs = layers.BatchNormalization(), keras.layers.BatchNormalization(dtype="float64")
    out = theirs(x, mask=mask, training=True)
    assert np.array_equal(np.isnan(out.detach().numpy()).all(-1), ~mask)
    out[0, 0].sum().backward()
    assert np.isnan(theirs.gamma.value.grad.numpy()).all()
    out = ours(x, mask=mask, training=True)
    out[0, 0].sum().backward()
    assert not np.isnan(out.numpy()).any() and not np.isnan(ours.gamma.grad.numpy()).any()


def test_difference_whole_numbers(keras):
    theirs = keras.layers.Embedding(F, E)
    assert np.array_equal(theirs(np.array([[1.9]])).detach().numpy(), theirs(np.array([[1]])).detach().numpy())
    with pytest.raises(DtypeError, match="ids must be integers"):
        layers.Embedding(F, E)(np.array([[1.9]]))
    assert np.array_equal(theirs(np.array([[-1]])).detach().numpy(), theirs(np.array([[F - 1]])).detach().numpy())
    with pytest.raises(IndexError, match="is -1, outside 0 to 6"):
        layers.Embedding(F, E)(np.array([[-1]]))


def test_difference_rate_of_one(keras):
    assert not keras.layers.Dropout(1.0)(np.ones(3), training=True).numpy().any()
    with pytest.raises(ValueError, match="Dropout: rate must be at least 0 and below 1"):
        layers.Dropout(1.0)


def test_difference_handed_on(keras):
    ids = np.array([[3, 1, 0]])
    embedded = keras.layers.Embedding(F, E, mask_zero=True)(ids)
    assert np.array_equal(embedded._keras_mask.numpy(), [[True, True, False]])
    ours = layers.Embedding(F, E, mask_zero=True)
    assert not hasattr(ours(ids), "_keras_mask") and ours.compute_mask(ids).tolist() == [[True, True, False]]
    stack = mg.Sequential([ours, layers.BatchNormalization(momentum=0.0)])
    stack(ids, training=True)
    assert_close(stack.layers[1].moving_mean.numpy(), ours.embeddings.numpy()[[3, 1]].mean(0), 1e-14)


def test_difference_random_numbers(keras):
    x = np.ones((20, 30))
    first, second, theirs = (np.asarray(layer(x, training=True)) for layer in (
        layers.Dropout(0.5, seed=3), layers.Dropout(0.5, seed=3), keras.layers.Dropout(0.5, seed=3)
    ))  # fmt: skip
    assert np.array_equal(first, second) and not np.array_equal(first, theirs)
    layer = layers.Dropout(0.5)
    assert layer.generator is mg.random.current() and layers.Dropout(0.5, seed=3).generator is not mg.random.current()


def test_difference_mode(keras):
    """A layer that keeps ``training`` to itself."""

    def keeps(base, dropout):
        class Keeps(base):
            def __init__(self):
                super().__init__()
                self.inner = dropout(0.5)

            def call(self, x, training=False):
                return self.inner(x)

        return Keeps()

    x = np.ones((20, 30))
    assert np.asarray(keeps(keras.layers.Layer, keras.layers.Dropout)(x, training=True)).max() == 2
    assert np.array_equal(keeps(mg.Layer, layers.Dropout)(x, training=True), x)


def test_difference_inputs_are_not_cast(keras):
    x = normal(B, E)
    with mg.use_default_dtype("float32"):
        ours = mg.Dense(F)
        assert ours(x).dtype == np.float64 and ours(x.astype(np.float32)).dtype == np.float32 == ours.kernel.dtype
    assert keras.layers.Dense(F)(x).detach().numpy().dtype == np.float32


# ------------------------------------------------------------------------------------------------------------- signatures

REQUIRED = {
    "Dense": (3,), "EinsumDense": ("ab,bc->ac", 3), "Embedding": (5, 3), "Dropout": (0.5,), "Softmax": (), "Attention": (),
    "AdditiveAttention": (), "MultiHeadAttention": (2, 3), "GroupQueryAttention": (3, 4, 2), "Normalization": (), "BatchNormalization": (),
    "LayerNormalization": (), "RMSNormalization": (), "SimpleRNN": (3,), "LSTM": (3,), "GRU": (3,),
}  # fmt: skip
ON_PURPOSE = {("Attention", "use_scale"): (None, False)}  # ours, Keras's
layer_of_both = pytest.mark.parametrize("name", REQUIRED)
not_recurrent = pytest.mark.parametrize("name", [name for name in REQUIRED if name not in ("SimpleRNN", "LSTM", "GRU")])


def arguments(keras, name):
    """Every constructor argument of Keras's layer, its own and those of all layers."""
    found = {}
    for cls in (getattr(keras.layers, name), keras.layers.Layer):
        found |= inspect.signature(cls.__init__).parameters
    return {name: parameter for name, parameter in found.items() if name != "self" and parameter.kind is not parameter.VAR_KEYWORD}


@layer_of_both
def test_every_argument_is_taken_with_the_same_default_or_refused_with_advice(keras, name):
    cls, refused = getattr(layers, name), []
    ours, theirs = inspect.signature(cls).parameters, arguments(keras, name)
    for argument, parameter in theirs.items():
        if argument in ours:
            expected = ON_PURPOSE.get((name, argument), (parameter.default,) * 2)
            assert (ours[argument].default, parameter.default) == expected, argument
        elif argument != "name":
            refused.append(argument)
            with pytest.raises(LayerError, match=rf"^{name}: {argument} is not offered; .*\. Received: {argument} 'some'\.$"):
                cls(*REQUIRED[name], **{argument: "some"})
    plain = {a: theirs[a].default for a in refused if theirs[a].default in (None, False, True)}  # Keras's default runs
    assert cls(*REQUIRED[name], **plain, name="word").name == "word"
    assert set(refused) - set(plain) <= {"renorm_momentum"}


@layer_of_both
def test_arguments_by_place_mean_the_same(keras, name):
    ours, theirs = (
        [a for a, p in inspect.signature(getattr(module, name)).parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
        for module in (layers, keras.layers)
    )
    assert ours == theirs[: len(ours)]


@not_recurrent
def test_a_call_takes_what_keras_takes(keras, name):
    """All but the names of the one input and of ``training``, which the base takes for every layer."""
    ours, theirs = (list(inspect.signature(getattr(module, name).call).parameters)[1:] for module in (layers, keras.layers))
    assert set(theirs) - {"inputs", "x", "training"} <= set(ours)
    if name in ("MultiHeadAttention", "GroupQueryAttention"):
        assert ours[:7] == theirs[:7]


@not_recurrent
def test_build_takes_what_keras_takes(keras, name):
    ours, theirs = (list(inspect.signature(getattr(module, name).build).parameters)[1:] for module in (layers, keras.layers))
    assert ours == theirs


# --------------------------------------------------------------------------------------------------------------- the page

PAGE = (Path(__file__).parents[2] / "docs" / "keras.md").read_text(encoding="utf-8")


def test_every_difference_on_the_page_has_its_test_and_every_test_its_row():
    proven = [name.removeprefix("test_difference_") for name in globals() if name.startswith("test_difference_")]
    assert sorted(re.findall(r"\[(\w+)\]\(\.\./tests/transformer/test_keras\.py\) \|\n", PAGE)) == sorted(proven)


def test_the_page_names_every_argument_that_is_not_offered_and_its_layers(keras):
    refused = {}
    for name in REQUIRED:
        for argument in {*arguments(keras, name), "input_shape", "input_dim", "input_length"} - {"name"}:
            if argument not in inspect.signature(getattr(layers, name)).parameters:
                refused.setdefault(argument, set()).add(name)
    rows = [row.split(" | ") for row in re.findall(r"^\| (`.+) \|$", PAGE.partition("## Arguments")[2], re.MULTILINE)]
    for patterns, of, _ in rows:
        found = [argument for pattern in re.findall("`(.+?)`", patterns) for argument in fnmatch.filter(refused, pattern)]
        everywhere = set(REQUIRED) - ({"Embedding"} if "input_dim" in found else set())
        has = set().union(*(refused.pop(argument) for argument in found))
        assert has and (has >= everywhere if of == "all" else has == set(re.findall("`(.+?)`", of))), patterns
    assert not refused, "not on the page"

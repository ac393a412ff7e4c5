"""What every layer promises: shapes, counts, gradients of every parameter, state, determinism, mode, dtype."""

import copy
import dataclasses
import pickle
from collections.abc import Callable

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from minigrad.errors import LayerError
from tests.helpers import assert_close
from transformer import blocks, layers
from transformer.models import LanguageModel, LanguageModelConfig

B, T, S, E, F, V, L, h, dq, dv = 2, 3, 4, 6, 7, 11, 5, 2, 3, 5


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


IDS = np.array([[0, 3, 10], [3, 3, 7]])


def config(tied=True, dropout=0.0):
    return LanguageModelConfig(V, L, layers=2, heads=h, width=E, feed_forward=F, dropout=dropout, tied=tied)


def adapted(**options):
    layer = layers.Normalization(**options)
    layer.adapt(normal(9, F))
    return layer


def trained(**options):
    """A BatchNormalization that has seen a batch; without one it warns in inference."""
    layer = layers.BatchNormalization(**options)
    layer(normal(B, T, F), training=True)
    return layer


MASKS = {
    "query_mask": np.array([[True, True, True], [True, True, False]]),
    "value_mask": np.array([[True, True, True, False], [True, False, True, True]]),
    "key_mask": np.array([[True, True, True, True], [True, True, True, False]]),
    "attention_mask": np.random.default_rng(6).random((B, h, T, S)) < 0.8,
    "use_causal_mask": True,
}
ATTENTION = h * (2 * E * dq + 2 * E * dv) + h * (2 * dq + dv) + E
BLOCK = (4 * E * E + 4 * E) + (2 * E * F + F + E) + 4 * E


@dataclasses.dataclass
class Case:
    """A layer, a call of it, and how many numbers it must have: in the shape letters of its docstring."""

    make: Callable
    inputs: tuple
    out: tuple
    learnable: int
    fixed: int = 0
    options: dict = dataclasses.field(default_factory=dict)
    takes_training: bool = False
    names: tuple = ()  # of the inputs, where they are given by name


CASES = {
    "Dense": Case(lambda: layers.Dense(F, "tanh"), (normal(B, T, E),), (B, T, F), E * F + F),
    "Dense without bias": Case(lambda: layers.Dense(F, use_bias=False), (normal(B, E),), (B, F), E * F),
    "EinsumDense": Case(
        lambda: layers.EinsumDense("bte,ehd->bthd", (None, h, dq), "tanh", "hd"), (normal(B, T, E),), (B, T, h, dq), E * h * dq + h * dq
    ),
    "Softmax": Case(layers.Softmax, (normal(B, T, E),), (B, T, E), 0),
    "Softmax over two axes, masked": Case(
        lambda: layers.Softmax(axis=(1, 2)), (normal(B, T, E),), (B, T, E), 0,
        options={"mask": np.random.default_rng(7).random((T, E)) < 0.7},
    ),
    "Embedding": Case(lambda: layers.Embedding(V, E), (IDS,), (B, T, E), V * E),
    "PositionalEmbedding": Case(lambda: layers.PositionalEmbedding(L), (normal(B, T, E),), (B, T, E), L * E),
    "SinusoidalPositions": Case(layers.SinusoidalPositions, (normal(B, T, E),), (B, T, E), 0),
    "SinusoidalPositions in halves": Case(lambda: layers.SinusoidalPositions(halves=True), (normal(B, T, E),), (B, T, E), 0),
    "RotaryPositions": Case(layers.RotaryPositions, (normal(B, h, T, E),), (B, h, T, E), 0),
    "RotaryPositions stretched": Case(lambda: layers.RotaryPositions(9, (8.0, 1.0, 4.0, 20)), (normal(B, h, T, E),), (B, h, T, E), 0),
    "RelativePositions": Case(lambda: layers.RelativePositions(h, 4, 3), (np.arange(T * S).reshape(T, S) % 7 - 3,), (T, S, h), 4 * h),
    "Dropout": Case(lambda: layers.Dropout(0.5), (normal(B, T, E),), (B, T, E), 0, takes_training=True),
    "Dropout with noise_shape": Case(
        lambda: layers.Dropout(0.5, noise_shape=(None, 1, E)), (normal(B, T, E),), (B, T, E), 0, takes_training=True
    ),
    "Attention": Case(
        layers.Attention, (normal(B, T, dq), normal(B, S, dv), normal(B, S, dq)), (B, T, dv), 0, names=("query", "value", "key")
    ),
    "Attention scaled": Case(
        lambda: layers.Attention(use_scale=True, dropout=0.5), (normal(B, T, dq), normal(B, S, dv), normal(B, S, dq)), (B, T, dv), 1,
        options={"use_causal_mask": True}, takes_training=True, names=("query", "value", "key"),
    ),
    "Attention by sums": Case(
        lambda: layers.Attention(True, "concat", 0.5), (normal(B, T, dq), normal(B, S, dv), normal(B, S, dq)), (B, T, dv), 2,
        options={"mask": [MASKS["query_mask"], MASKS["value_mask"]]}, takes_training=True, names=("query", "value", "key"),
    ),
    "AdditiveAttention": Case(
        layers.AdditiveAttention, (normal(B, T, dq), normal(B, S, dv), normal(B, S, dq)), (B, T, dv), dq, names=("query", "value", "key")
    ),
    "MultiHeadAttention": Case(
        lambda: layers.MultiHeadAttention(h, dq, dv), (normal(B, T, E), normal(B, S, E)), (B, T, E), ATTENTION
    ),
    "MultiHeadAttention without bias": Case(
        lambda: layers.MultiHeadAttention(h, dq, dv, use_bias=False), (normal(B, T, E), normal(B, S, E)), (B, T, E),
        h * (2 * E * dq + 2 * E * dv),
    ),
    "MultiHeadAttention with biases for heads": Case(
        lambda: layers.MultiHeadAttention(h, dq, dv, use_output_bias=False), (normal(B, T, E), normal(B, S, E)), (B, T, E), ATTENTION - E,
    ),
    "MultiHeadAttention causal": Case(
        lambda: layers.MultiHeadAttention(h, dq, dv), (normal(B, T, E), normal(B, T, E)), (B, T, E), ATTENTION,
        options={"use_causal_mask": True},
    ),
    "MultiHeadAttention as a sum": Case(
        lambda: layers.MultiHeadAttention(h, dq, dv, 0.5, combine="sum"), (normal(B, T, E), normal(B, S, E)), (B, T, E), ATTENTION,
        takes_training=True,
    ),
    "MultiHeadAttention with every mask": Case(
        lambda: layers.MultiHeadAttention(h, dq, dv, sliding_window=2), (normal(B, T, E), normal(B, S, E)), (B, T, E), ATTENTION,
        options=MASKS,
    ),
    "MultiHeadAttention to another shape": Case(
        lambda: layers.MultiHeadAttention(h, dq, dv, output_shape=(F, 2)), (normal(B, T, E), normal(B, S, E)), (B, T, F, 2),
        h * (2 * E * dq + E * dv) + h * (2 * dq + dv) + h * dv * F * 2 + F * 2,
    ),
    "GroupQueryAttention": Case(
        lambda: layers.GroupQueryAttention(dq, 3 * h, h), (normal(B, T, E), normal(B, S, E)), (B, T, E),
        2 * E * dq * (3 * h + h) + dq * (3 * h + 2 * h) + E,
    ),
    "GroupQueryAttention with rotary positions": Case(
        lambda: layers.GroupQueryAttention(2 * dq, 3 * h, h, rotary=layers.RotaryPositions()),
        (normal(B, T, E), normal(B, S, E)), (B, T, E),
        4 * E * dq * (3 * h + h) + 2 * dq * (3 * h + 2 * h) + E,
    ),
    "Normalization": Case(adapted, (normal(B, F),), (B, F), 0, 2 * F),
    "Normalization inverted": Case(lambda: adapted(invert=True), (normal(B, F),), (B, F), 0, 2 * F),
    "BatchNormalization": Case(trained, (normal(B, T, F),), (B, T, F), 2 * F, 2 * F, takes_training=True),
    "BatchNormalization masked": Case(
        lambda: trained(center=False), (normal(B, T, F),), (B, T, F), F, 2 * F, options={"mask": MASKS["query_mask"]}, takes_training=True
    ),
    "LayerNormalization": Case(layers.LayerNormalization, (normal(B, T, E),), (B, T, E), 2 * E),
    "LayerNormalization over two axes": Case(
        lambda: layers.LayerNormalization(axis=(1, 2)), (normal(B, T, E),), (B, T, E), 2 * T * E
    ),
    "RMSNormalization": Case(layers.RMSNormalization, (normal(B, T, E),), (B, T, E), E),
    "AddNorm pre": Case(
        lambda: blocks.AddNorm("pre"), (normal(B, T, E), mg.tanh), (B, T, E), 2 * E
    ),
    "AddNorm post": Case(
        lambda: blocks.AddNorm("post", 0.5), (normal(B, T, E), mg.tanh), (B, T, E), 2 * E, takes_training=True
    ),
    "FeedForward": Case(lambda: blocks.FeedForward(F, "gelu"), (normal(B, T, E),), (B, T, E), 2 * E * F + F + E),
    "GatedFeedForward": Case(lambda: blocks.GatedFeedForward(F), (normal(B, T, E),), (B, T, E), 3 * E * F),
    "GatedFeedForward with bias": Case(
        lambda: blocks.GatedFeedForward(F, "geglu", use_bias=True), (normal(B, T, E),), (B, T, E), 3 * E * F + 2 * F + E
    ),
    "EncoderBlock pre": Case(
        lambda: blocks.EncoderBlock(h, E // h, F, "tanh", "pre", 0.5), (normal(B, T, E),), (B, T, E), BLOCK, takes_training=True
    ),
    "EncoderBlock post": Case(
        lambda: blocks.EncoderBlock(h, E // h, F, "tanh", "post"), (normal(B, T, E),), (B, T, E), BLOCK,
        options={"use_causal_mask": True},
    ),
    "SimpleRNN": Case(lambda: layers.SimpleRNN(F), (normal(B, T, E),), (B, F), E * F + F**2 + F),
    "SimpleRNN backwards, masked": Case(
        lambda: layers.SimpleRNN(F, return_sequences=True, go_backwards=True, dropout=0.5), (normal(B, T, E),), (B, T, F),
        E * F + F**2 + F, options={"mask": MASKS["query_mask"]}, takes_training=True,
    ),
    "LSTM": Case(lambda: layers.LSTM(F, return_sequences=True), (normal(B, T, E),), (B, T, F), 4 * (E * F + F**2 + F)),
    "LSTM masked": Case(
        lambda: layers.LSTM(F, dropout=0.5, recurrent_dropout=0.5), (normal(B, T, E),), (B, F), 4 * (E * F + F**2 + F),
        options={"mask": MASKS["query_mask"]}, takes_training=True,
    ),
    "GRU": Case(lambda: layers.GRU(F, return_sequences=True), (normal(B, T, E),), (B, T, F), 3 * (E * F + F**2 + 2 * F)),
    "GRU, reset before": Case(
        lambda: layers.GRU(F, reset_after=False, recurrent_dropout=0.5), (normal(B, T, E),), (B, F), 3 * (E * F + F**2 + F),
        takes_training=True,
    ),
    "GRU without bias": Case(lambda: layers.GRU(F, use_bias=False), (normal(B, T, E),), (B, F), 3 * (E * F + F**2)),
    "Bidirectional": Case(
        lambda: layers.Bidirectional(layers.LSTM(F, return_sequences=True, dropout=0.5)), (normal(B, T, E),), (B, T, 2 * F),
        2 * 4 * (E * F + F**2 + F), options={"mask": MASKS["query_mask"]}, takes_training=True,
    ),
    "Bidirectional as a sum": Case(
        lambda: layers.Bidirectional(layers.GRU(F), "sum"), (normal(B, T, E),), (B, F), 2 * 3 * (E * F + F**2 + 2 * F)
    ),
    "DecoderBlock": Case(
        lambda: blocks.DecoderBlock(h, E // h, F, "tanh", "pre", 0.5), (normal(B, T, E), normal(B, S, E)), (B, T, E),
        BLOCK + 4 * E * E + 4 * E + 2 * E, takes_training=True,
    ),
    "LanguageModel": Case(
        lambda: LanguageModel(config(dropout=0.5)), (IDS,), (B, T, V), V * E + L * E + 2 * BLOCK + 2 * E, takes_training=True
    ),
    "LanguageModel untied": Case(
        lambda: LanguageModel(config(tied=False)), (IDS,), (B, T, V), 2 * V * E + L * E + 2 * BLOCK + 2 * E
    ),
}  # fmt: skip
every = pytest.mark.parametrize("name", CASES)


def call(case, layer, inputs=None, **options):
    inputs = case.inputs if inputs is None else inputs
    by_place, by_name = ((), dict(zip(case.names, inputs))) if case.names else (inputs, {})
    out = layer(*by_place, **by_name, **case.options, **options)
    return out if isinstance(out, Tensor) else Tensor(out)  # a layer without parameters is an op: arrays in, array out


def built(name, dtype="float64", spread=True):
    """The layer of a case, built; with ``spread`` its parameters are large enough that every one of them matters."""
    case = CASES[name]
    with mg.use_default_dtype(dtype), mg.random.using(mg.Generator(3)):
        layer = case.make()
        call(case, layer, as_type(case.inputs, dtype))
    if spread:
        rng = np.random.default_rng(5)
        for p in layer.parameters():
            p.assign(p.numpy() + 0.5 * rng.standard_normal(p.shape))
    return case, layer


def as_type(inputs, dtype):
    return tuple(x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in inputs)


@every
def test_shape_and_counts(name):
    case, layer = built(name)
    assert call(case, layer).shape == case.out
    assert sum(p.size for p in layer.parameters()) == case.learnable
    assert sum(b.size for b in layer.buffers()) == case.fixed
    assert layer.count_params() == case.learnable + case.fixed
    layer.freeze()
    assert sum(p.size for p in layer.parameters()) == case.learnable
    assert sum(b.size for b in layer.buffers()) == case.fixed
    assert sum(w.size for w in layer.non_trainable_weights) == case.learnable + case.fixed


@every
def test_the_shape_of_the_result_before_there_is_one(name):
    """As for building: an unknown batch stays unknown."""
    case, layer = built(name)
    shapes = [x.shape for x in case.inputs if isinstance(x, np.ndarray)]
    if "LanguageModel" in name:  # it is built when it is made
        with pytest.raises(LayerError, match="only a call tells the shape"):
            layer.compute_output_shape(*shapes)
        return
    for batch in (B, None):
        told = [(batch, *shape[1:]) for shape in shapes]
        told = [told] if case.names else told  # Attention takes a list of inputs, and of shapes
        assert layer.compute_output_shape(*told) == (batch, *case.out[1:])


def test_a_fresh_model_is_built_for_weights_from_elsewhere():
    """Also one whose first layer is not adapted, and one that starts from ids."""
    for parts, x in (
        (lambda: [layers.Normalization(), layers.Dropout(0.5), layers.Dense(F)], normal(B, E)),
        (lambda: [layers.Embedding(V, E), layers.PositionalEmbedding(L), blocks.EncoderBlock(h, dq, F), layers.LSTM(F)], IDS),
        (lambda: [layers.LayerNormalization(), mg.Sequential([layers.Bidirectional(layers.GRU(F))]), layers.Dense(S)], normal(B, T, E)),
    ):
        source, twin = mg.Sequential(parts()), mg.Sequential(parts()).ensure_built((None, *x.shape[1:]))
        if isinstance(source.layers[0], layers.Normalization):
            source.layers[0].adapt(x)
        expected = source(x).numpy()
        twin.set_weights(source.get_weights())
        assert np.array_equal(twin(x).numpy(), expected)


def test_shapes_of_several_results():
    shape = (None, T, E)
    for states, layer in ((1, layers.SimpleRNN(F, return_state=True)), (2, layers.LSTM(F, return_state=True))):
        assert layer.compute_output_shape(shape) == [(None, F)] * (1 + states)
        both = layers.Bidirectional(layer, None)
        assert both.compute_output_shape(shape) == [(None, F)] * (2 + 2 * states)
    assert layers.Bidirectional(layer).compute_output_shape(shape) == [(None, 2 * F)] + [(None, F)] * 4
    assert layers.EinsumDense("...e,eh->...h", F).compute_output_shape((None, T, E)) == (None, T, F)
    assert layers.EinsumDense("b...e,eh->b...h", F).compute_output_shape((None, T, S, E)) == (None, T, S, F)


@every
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_gradient_of_every_parameter_and_input(name, training):
    """Along random directions through all elements at once, against differences at two steps, in float64."""
    case, layer = built(name)
    if training and not case.takes_training:
        pytest.skip("has one mode")
    inputs = [x if x is mg.tanh or x.dtype.kind != "f" else Tensor(x, requires_grad=True) for x in case.inputs]
    leaves = {**layer.named_parameters(), **{f"input {i}": x for i, x in enumerate(inputs) if isinstance(x, Tensor)}}
    generators = layer.generators()
    states = [g.state() for g in generators]
    buffers = {path: b.numpy() for path, b in layer.named_buffers().items()}

    def value():
        for generator, state in zip(generators, states):  # the same dropout in every evaluation
            generator.set_state(state)
        for path, b in layer.named_buffers().items():
            b.assign(buffers[path])
        out = call(case, layer, inputs, training=training)
        weights = np.random.default_rng(1).uniform(0.5, 1.5, out.shape) * np.where(np.indices(out.shape).sum(0) % 2, -1, 1)
        return (out * weights).sum()

    value().backward()
    gradients = {path: leaf.grad for path, leaf in leaves.items()}
    assert not any(b.grad for b in layer.buffers())
    for path, leaf in leaves.items():
        if gradients[path] is None:
            pytest.fail(f"no gradient reached {path}")
        middle, rng = leaf.numpy(), np.random.default_rng(2)
        for _ in range(3):
            direction = rng.standard_normal(leaf.shape)
            quotients = []
            for step in (4e-4, 2e-4):
                with mg.no_grad():
                    ends = [(leaf.assign(middle + sign * step * direction), value().item())[1] for sign in (1, -1)]
                quotients.append((ends[0] - ends[1]) / (2 * step))
            leaf.assign(middle)
            numeric = (4 * quotients[1] - quotients[0]) / 3
            assert_close((gradients[path].numpy() * direction).sum(), numeric, 1e-8, path)


@every
def test_state_dict_makes_a_twin(name):
    case, layer = built(name)
    _, twin = built(name, spread=False)
    twin.load_state_dict(layer.state_dict())
    assert call(case, twin).numpy().tobytes() == call(case, layer).numpy().tobytes()


@every
def test_deepcopy_goes_its_own_way(name):
    case, layer = built(name)
    twin = copy.deepcopy(layer)
    before = call(case, layer).numpy()
    for tensor in twin.named_tensors().values():
        tensor.assign(np.full(tensor.shape, 7.0))
    assert call(case, layer).numpy().tobytes() == before.tobytes()
    assert [type(t) for t in twin.named_tensors().values()] == [type(t) for t in layer.named_tensors().values()]


@every
def test_inference_is_deterministic_and_changes_nothing(name):
    case, layer = built(name)
    state = {path: array.copy() for path, array in layer.state_dict().items()}
    outs = [call(case, layer).numpy().tobytes() for _ in range(2)] + [call(case, layer, training=False).numpy().tobytes()]
    assert len(set(outs)) == 1
    assert all(array.tobytes() == state[path].tobytes() for path, array in layer.state_dict().items())


@every
def test_training_reaches_what_is_inside(name):
    """A container that forgets to hand the flag on would compute in training what it computes in inference."""
    case, layer = built(name)
    same = call(case, layer, training=True).numpy().tobytes() == call(case, layer).numpy().tobytes()
    assert same != case.takes_training


@every
def test_training_moves_no_learnable_number(name):
    case, layer = built(name)
    before = {path: p.numpy().copy() for path, p in layer.named_parameters().items()}
    call(case, layer, training=True)
    assert all(p.numpy().tobytes() == before[path].tobytes() for path, p in layer.named_parameters().items())


@every
def test_an_optimiser_moves_every_learnable_number_and_no_other(name):
    case, layer = built(name)
    parameters, buffers = layer.named_parameters(), {path: b.numpy().copy() for path, b in layer.named_buffers().items()}
    if not parameters:
        return
    before = {path: p.numpy() for path, p in parameters.items()}
    optimiser = mg.optim.AdamW(parameters.values(), lr=0.1, weight_decay=0.5)
    (call(case, layer) ** 2).sum().backward()
    optimiser.step()
    assert [path for path, p in parameters.items() if np.array_equal(p.numpy(), before[path])] == []
    assert all(b.numpy().tobytes() == buffers[path].tobytes() for path, b in layer.named_buffers().items())


@every
def test_statistics_hold_no_graph(name):
    case, layer = built(name)
    call(case, layer, training=True)
    assert all(b.is_leaf and not b.requires_grad for b in layer.buffers())


@every
def test_float32_stays_float32(name):
    """One float64 scalar in a formula would turn a whole model into float64."""
    case, layer = built(name, "float32")
    state = {path: np.float64 if isinstance(layer, layers.Normalization) else np.float32 for path in layer.named_tensors()}
    assert {path: t.dtype for path, t in layer.named_tensors().items()} == state
    for training in (False, True):
        out = call(case, layer, as_type(case.inputs, np.float32), training=training)
        assert out.dtype == np.float32
        if out.requires_grad:
            out.sum().backward()
            assert all(p.grad.dtype == np.float32 for p in layer.parameters() if p.grad is not None)
    assert {path: t.dtype for path, t in layer.named_tensors().items()} == state


@every
def test_tensors_and_arrays_are_the_same_input(name):
    case, layer = built(name)
    tensors = tuple(Tensor(x) if isinstance(x, np.ndarray) else x for x in case.inputs)
    assert_close(call(case, layer, tensors).numpy(), call(case, layer).numpy(), 0)


@every
def test_the_docstring_states_the_counts(name):
    doc = type(CASES[name].make()).__doc__
    assert "Learnable" in doc and "on-learnable" in doc and "->" in doc and ">>>" in doc


# ------------------------------------------------------------------------------------------------------- how layers start


def test_a_kernel_with_several_axes_is_drawn_as_the_matrix_that_it_stands_for():
    """Rows for what is summed over, columns for what the result has: only so are the columns of an orthogonal kernel orthogonal."""
    x = normal(B, T, E)
    for equation, shape, rows in (
        ("bte,ehd->bthd", (None, h, dv), "ehd->ehd"), ("bte,hed->bthd", (None, h, dv), "hed->ehd"),
        ("bte,hde->bthd", (None, h, dv), "hde->ehd"),
    ):  # fmt: skip
        layer = layers.EinsumDense(equation, shape, kernel_initializer="orthogonal")
        layer(x)
        matrix = np.einsum(rows, layer.kernel.numpy()).reshape(E, h * dv).astype(float)
        assert_close(matrix @ matrix.T, np.eye(E), 1e-6, equation)
    layer = layers.MultiHeadAttention(h, dq, dv, kernel_initializer="orthogonal")
    layer(x, x)
    for kernel, width in ((layer.query_kernel, h * dq), (layer.value_kernel, h * dv)):
        matrix = kernel.numpy().reshape(E, width).astype(float)
        assert_close(matrix @ matrix.T, np.eye(E), 1e-6)


# ---------------------------------------------------------------------------------------------------- the model's own


def test_tied_model_has_one_matrix_with_two_uses():
    _, model = built("LanguageModel")
    assert "head.kernel" not in model.named_parameters()
    embeddings = model.embedding.embeddings
    model.zero_grad()
    model(IDS).sum().backward()
    assert (np.abs(embeddings.grad.numpy()).sum(axis=1) > 0).all(), "the head's part reaches the rows of all tokens"
    assert "head.kernel" in built("LanguageModel untied")[1].named_parameters()


def test_the_seed_decides_the_initial_weights():
    first, same, other = (LanguageModel(config(), seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), same.get_weights()))
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])
    state = mg.random.current().state()
    LanguageModel(config(), 3)
    assert mg.random.current().state() == state, "a model drew from the default generator"


def test_dropout_draws_anew_in_every_training_call():
    _, model = built("LanguageModel")
    assert model(IDS, training=True).tolist() != model(IDS, training=True).tolist()


def test_two_dropouts_share_no_random_number():
    """Were the stream moved on by less than was used, one mask would be the other one shifted."""
    layer = layers.Dropout(0.5)
    first, second = (np.asarray(layer(np.ones(200), training=True)) for _ in range(2))
    for shift in range(-199, 200):
        a, b = (first[shift:], second[: 200 - shift]) if shift >= 0 else (first[:shift], second[-shift:])
        assert len(a) < 20 or 0.05 < np.mean(a == b) < 0.95


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))], ids=["deepcopy", "pickle"])
def test_copies_of_a_layer_draw_from_the_default_generator_as_it_does(duplicate):
    layer, seeded = layers.Dropout(0.5), layers.Dropout(0.5, seed=1)
    a, b = duplicate(layer), duplicate(layer)
    drawn = [tuple(each(np.ones(50), training=True)) for each in (layer, a, b, a)]
    assert len(set(drawn)) == 4, "two copies dropped the same"
    mg.manual_seed(5)
    first = a(np.ones(50), training=True)
    mg.manual_seed(5)
    assert np.array_equal(first, b(np.ones(50), training=True))
    assert np.array_equal(duplicate(seeded)(np.ones(50), training=True), seeded(np.ones(50), training=True))


@pytest.mark.parametrize("wrong, words", [
    (np.zeros((1, L + 1), int), r"LanguageModel.*at most 5.*\(1, 6\)"), (np.zeros(3, int), r"LanguageModel.*\(B, T\).*\(3,\)"),
    (np.array([[0, V]]), r"embedding: ids\[0, 1\] is 11, outside 0 to 10"), (np.array([[0.0]]), "integers"), (np.array([[-1]]), "is -1"),
])  # fmt: skip
def test_ids_that_cannot_be_read_are_named(wrong, words):
    with pytest.raises((mg.errors.MinigradError, IndexError), match=words):
        LanguageModel(config())(wrong)


@pytest.mark.parametrize("change", [
    {"vocab_size": 0}, {"layers": 1.5}, {"heads": 5}, {"dropout": 1.0}, {"dropout": -0.1}, {"block_size": "8"}, {"width": -4},
], ids=str)  # fmt: skip
def test_a_config_that_cannot_be_built_says_why(change):
    with pytest.raises(ValueError, match=f"LanguageModelConfig.*{next(iter(change))[:5]}.*Received"):
        LanguageModelConfig(**{"vocab_size": 9, "width": 8, "heads": 2, **change})

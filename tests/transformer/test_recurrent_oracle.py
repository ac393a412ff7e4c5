"""Recurrent layers against Keras and PyTorch: values, states, gradients of every weight and input, masks, dropout, arguments."""

import inspect

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from tests.helpers import assert_close
from transformer import layers

torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")
pytestmark = pytest.mark.oracle

B, T, E, u = 5, 6, 7, 4
X = np.random.default_rng(1).standard_normal((B, T, E))
STATES = list(np.random.default_rng(2).standard_normal((4, B, u)))
MASK = np.array([
    [True, True, True, True, True, True], [True, True, True, False, False, False], [False, False, True, True, True, True],
    [False, True, False, False, True, False], [False, False, False, False, False, False],
])  # fmt: skip
LENGTHS = np.array([6, 3, 4, 1, 5])

CELLS = {
    "SimpleRNN": ("SimpleRNN", {}),
    "SimpleRNN linear, no bias": ("SimpleRNN", {"activation": None, "use_bias": False}),
    "LSTM": ("LSTM", {}),
    "LSTM other activations": ("LSTM", {"activation": "softsign", "recurrent_activation": "hard_sigmoid", "unit_forget_bias": False}),
    "LSTM no bias": ("LSTM", {"use_bias": False}),
    "GRU": ("GRU", {}),
    "GRU reset before": ("GRU", {"reset_after": False}),
    "GRU other activations": ("GRU", {"activation": "softsign", "recurrent_activation": "hard_sigmoid"}),
    "GRU no bias": ("GRU", {"use_bias": False}),
    "GRU reset before, no bias": ("GRU", {"reset_after": False, "use_bias": False}),
}
each = pytest.mark.parametrize("cell", CELLS)
masked = pytest.mark.parametrize("mask", [None, MASK], ids=["no mask", "masked"])


def pair(name, **options):
    """A layer of ours, in float64, and Keras's, which computes in float32, with the same weights in the same order."""
    return twins(getattr(layers, name)(u, **options), getattr(keras.layers, name)(u, **options))


def twins(ours, theirs):
    with mg.use_default_dtype("float64"):
        ours.ensure_built((None, None, E))
    theirs.build((None, None, E))
    rng = np.random.default_rng(3)
    for p in ours.parameters():
        p.assign(p.numpy() + 0.4 * rng.standard_normal(p.shape))
    assert [w.shape for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]
    theirs.set_weights(ours.get_weights())
    return ours, theirs


def single(array):
    return torch.tensor(array, dtype=torch.float32, requires_grad=True)


def parts(out):
    return list(out) if isinstance(out, tuple | list) else [out]


def compare(ours, theirs, mask=None, initial=None, training=False):
    """Every result, and the gradient of a weighted sum of them for every weight, the input and the states to start from."""
    x, start = Tensor(X, requires_grad=True), None if initial is None else [Tensor(s, requires_grad=True) for s in initial]
    y, begin = single(X), None if initial is None else [single(s) for s in initial]
    outs = parts(ours(x, initial_state=start, mask=mask, training=training))
    expected = parts(theirs(y, initial_state=begin, mask=None if mask is None else torch.tensor(mask), training=training))
    assert len(outs) == len(expected)
    weights = [np.random.default_rng(4).standard_normal(out.shape) for out in outs]
    for a, b in zip(outs, expected):
        assert_close(a.numpy(), b.detach().numpy(), 1e-5)
    sum((out * w).sum() for out, w in zip(outs, weights)).backward()
    sum((out * torch.tensor(w)).sum() for out, w in zip(expected, weights)).backward()
    leaves = [(x, y), *zip(start or [], begin or []), *((p, w.value) for p, w in zip(ours.weights, theirs.weights))]
    for a, b in leaves:
        assert_close(a.grad.numpy(), np.zeros(a.shape) if b.grad is None else b.grad.numpy(), 1e-5)


# ---------------------------------------------------------------------------------------------------------------- Keras


@each
@masked
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "all"])
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("given", [False, True], ids=["from zeros", "from a state"])
def test_keras(cell, mask, sequences, backwards, given):
    name, options = CELLS[cell]
    ours, theirs = pair(name, return_sequences=sequences, return_state=True, go_backwards=backwards, **options)
    compare(ours, theirs, mask, STATES[: len(ours._states)] if given else None)
    ours.return_state = theirs.return_state = False
    assert_close(ours(X, mask=mask).numpy(), theirs(single(X), mask=mask).detach().numpy(), 1e-5)


@pytest.mark.parametrize("cell", [cell for cell in CELLS if "other" not in cell])
@pytest.mark.parametrize("rates", [(0.4, 0.0), (0.0, 0.3), (0.4, 0.3)], ids=str)
def test_keras_drops_what_we_drop(cell, rates):
    """The same masks in both: one for all gates, or where the state is dropped too, one for each."""
    name, options = CELLS[cell]
    ours, theirs = pair(name, dropout=rates[0], recurrent_dropout=rates[1], return_sequences=True, seed=5, **options)
    state, kept = ours.generator.state(), []
    draw = ours._kept
    ours._kept = lambda *args: kept.append(draw(*args)) or kept[-1]
    ours(X, training=True)
    ours.generator.set_state(state)
    del ours._kept
    inputs, states = ([torch.tensor(k, dtype=torch.float32) for k in masks] for masks in kept)
    separate = rates[1] and name != "SimpleRNN"  # Keras takes a list for its gates, or one mask for all
    assert [len(inputs), len(states)] == [(ours._gates if rates[1] else 1) * (rates[0] > 0), ours._gates * (rates[1] > 0)]
    theirs.cell._dropout_mask = (inputs if separate else inputs[0]) if inputs else None
    theirs.cell._recurrent_dropout_mask = (states if separate else states[0]) if states else None
    theirs._maybe_config_dropout_masks = lambda *args: None  # it would draw others
    theirs._maybe_reset_dropout_masks = lambda *args: None
    compare(ours, theirs, training=True)


@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM", "GRU"])
@masked
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "all"])
def test_keras_bidirectional(mode, name, mask, sequences):
    options = {"return_sequences": sequences, "return_state": True}
    ours = layers.Bidirectional(getattr(layers, name)(u, **options), mode)
    inner = getattr(keras.layers, name)(u, **options)
    ours, theirs = twins(ours, keras.layers.Bidirectional(inner, mode))
    compare(ours, theirs, mask)
    if name == "LSTM" or mode == "concat":
        compare_again(ours, theirs, mask)


def compare_again(ours, theirs, mask):
    """The same from states."""
    ours.zero_grad()
    for w in theirs.weights:
        w.value.grad = None
    compare(ours, theirs, mask, STATES[: len(ours.forward_layer._states) * 2])


@pytest.mark.parametrize("make", [
    lambda module, **o: module.LSTM(u, **o), lambda module, **o: module.GRU(u, **o),
    lambda module, **o: module.Bidirectional(module.LSTM(u, **o)),
])  # fmt: skip
@pytest.mark.parametrize("sequences", [False, True])
def test_keras_hands_the_same_mask_on(make, sequences):
    """But for go_backwards: Keras's mask is then in another order than its outputs."""
    ours, theirs = (make(module, return_sequences=sequences) for module in (layers, keras.layers))
    found, expected = ours.compute_mask(X, MASK), theirs.compute_mask(X, MASK)
    assert (found is None) == (expected is None) == (not sequences)
    assert found is None or np.array_equal(found, expected)


def test_the_mask_of_a_layer_that_reads_backwards_is_where_we_differ():
    ours, theirs = (module.LSTM(u, go_backwards=True, return_sequences=True) for module in (layers, keras.layers))
    assert np.array_equal(theirs.compute_mask(X, MASK), MASK)
    assert np.array_equal(ours.compute_mask(X, MASK), MASK[:, ::-1])


@each
def test_keras_counts_and_starts_alike(cell):
    name, options = CELLS[cell]
    ours, theirs = getattr(layers, name)(u, **options).ensure_built((None, None, E)), getattr(keras.layers, name)(u, **options)
    theirs.build((None, None, E))
    assert ours.count_params() == theirs.count_params()
    assert list(ours.named_parameters()) == [w.name for w in theirs.weights]
    if ours.use_bias:
        assert np.array_equal(ours.bias.numpy(), theirs.weights[2].value.detach().numpy())
    both = layers.Bidirectional(getattr(layers, name)(u, **options)), keras.layers.Bidirectional(getattr(keras.layers, name)(u, **options))
    for layer in both:
        layer.build((None, None, E))
    assert both[0].count_params() == both[1].count_params() == 2 * ours.count_params()


@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM", "GRU", "Bidirectional"])
def test_what_keras_takes_is_taken(name):
    """Every argument, with the same default; by place in the same order."""
    theirs = dict(inspect.signature(getattr(keras.layers, name).__init__).parameters)
    ours = dict(inspect.signature(getattr(layers, name).__init__).parameters)
    theirs.pop("weights", None)
    refused = [p for p in theirs if p.endswith(("_regularizer", "_constraint")) or p == "stateful"]
    assert [p for p in theirs if p not in ours and p not in (*refused, "kwargs")] == []
    assert all(ours[p].default == theirs[p].default for p in theirs if p in ours)
    by_place = [p for p, parameter in ours.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    assert by_place == list(theirs)[: len(by_place)]
    call = [list(inspect.signature(getattr(module, name).call).parameters) for module in (layers, keras.layers)]
    assert call[0] == call[1]


# -------------------------------------------------------------------------------------------------------------- PyTorch


def blocks(name, array):
    """The gates' columns in PyTorch's order: theirs is i, f, g, o and r, z, n, ours i, f, g, o and z, r, g.   (.., G u) -> (.., G u)"""
    if name == "LSTM":
        return array
    z, r, g = np.split(array, 3, -1)
    return np.concatenate([r, z, g], -1)


def as_theirs(name, layer, of, ending=""):
    """A layer's weights, or their gradients, as PyTorch names them and lays them out."""
    W, U, b = (blocks(name, of(p)) for p in (layer.kernel, layer.recurrent_kernel, layer.bias))
    b, d = b if name == "GRU" else (b, np.zeros_like(b))  # PyTorch's LSTM has a second bias, which adds nothing
    return {f"{key}_l0{ending}": value for key, value in {"weight_ih": W.T, "weight_hh": U.T, "bias_ih": b, "bias_hh": d}.items()}


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
@pytest.mark.parametrize("both", [False, True], ids=["one direction", "bidirectional"])
@pytest.mark.parametrize("packed", [False, True], ids=["whole", "packed"])
def test_pytorch(name, both, packed):
    """With padding at the end, which PyTorch leaves out by packing."""
    inner = getattr(layers, name)(u, return_sequences=True, return_state=True)
    ours = layers.Bidirectional(inner) if both else inner
    with mg.use_default_dtype("float64"):
        ours.ensure_built((None, None, E))
    rng = np.random.default_rng(3)
    for p in ours.parameters():
        p.assign(0.5 * rng.standard_normal(p.shape))
    directions = {"": ours.forward_layer, "_reverse": ours.backward_layer} if both else {"": ours}
    theirs = getattr(torch.nn, name)(E, u, batch_first=True, bidirectional=both, dtype=torch.float64)
    for ending, layer in directions.items():
        for key, value in as_theirs(name, layer, lambda p: p.numpy(), ending).items():
            getattr(theirs, key).data.copy_(torch.tensor(value))
    kinds = len(inner._states)
    start = STATES[: kinds * len(directions)]  # forward h, c, backward h, c
    given = [torch.tensor(np.stack(start[kind::kinds])) for kind in range(kinds)]  # (directions, B, u) for each kind

    x, y = Tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    mask = np.arange(T) < LENGTHS[:, None] if packed else None
    out, *last = ours(x, initial_state=start, mask=mask)
    sequence = torch.nn.utils.rnn.pack_padded_sequence(y, LENGTHS, batch_first=True, enforce_sorted=False) if packed else y
    expected, states = theirs(sequence, tuple(given) if kinds == 2 else given[0])
    if packed:
        expected, _ = torch.nn.utils.rnn.pad_packed_sequence(expected, batch_first=True)
    states = states if kinds == 2 else (states,)
    real = np.ones((B, T, 1)) if mask is None else mask[:, :, None].astype(float)  # behind the end PyTorch gives zeros
    assert_close(out.numpy() * real, expected.detach().numpy(), 1e-12)
    for number, state in enumerate(last):
        assert_close(state.numpy(), states[number % kinds][number // kinds].detach().numpy(), 1e-12)

    G = np.random.default_rng(4).standard_normal(out.shape) * real
    ((out * G).sum() + sum((s * s).sum() for s in last)).backward()
    ((expected * torch.tensor(G)).sum() + sum((s * s).sum() for s in states)).backward()
    assert_close(x.grad.numpy(), y.grad.numpy(), 1e-11)
    for ending, layer in directions.items():
        for key, value in as_theirs(name, layer, lambda p: p.grad.numpy(), ending).items():
            if name == "GRU" or "bias_hh" not in key:
                assert_close(value, getattr(theirs, key).grad.numpy(), 1e-11, key)

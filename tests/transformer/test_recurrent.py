"""Recurrent layers: the formulas as loops over rows and steps, and padding that changes nothing."""

import copy

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from minigrad.errors import DtypeError, LayerError, ShapeError
from tests.helpers import assert_close
from transformer.layers import GRU, LSTM, Bidirectional, Dense, Embedding, SimpleRNN

B, T, E, u = 5, 6, 7, 4
X = np.random.default_rng(1).standard_normal((B, T, E))
H, C = np.random.default_rng(2).standard_normal((2, B, u))
MASK = np.array([
    [True, True, True, True, True, True], [True, True, True, False, False, False], [False, False, True, True, True, True],
    [False, True, False, False, True, False], [False, False, False, False, False, False],
])  # fmt: skip


@pytest.fixture(autouse=True)
def in_float64():
    with mg.use_default_dtype("float64"):
        yield


# ------------------------------------------------------------------------------------------------- one step of one row


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def simple_step(x, h, W, U, b):
    return [np.tanh(x @ W + h @ U + b)]


def lstm_step(x, h, c, W, U, b):
    i, f, g, o = ((x @ W + h @ U + b)[k * u : (k + 1) * u] for k in range(4))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


def gru_step(x, h, W, U, b):
    (W_z, W_r, W_g), (U_z, U_r, U_g) = ([K[:, k * u : (k + 1) * u] for k in range(3)] for K in (W, U))
    (b_z, b_r, b_g), (d_z, d_r, d_g) = b.reshape(2, 3, u)
    z, r = sigmoid(x @ W_z + b_z + h @ U_z + d_z), sigmoid(x @ W_r + b_r + h @ U_r + d_r)
    return [z * h + (1 - z) * np.tanh(x @ W_g + b_g + r * (h @ U_g + d_g))]


def gru_before_step(x, h, W, U, b):
    (W_z, W_r, W_g), (U_z, U_r, U_g) = ([K[:, k * u : (k + 1) * u] for k in range(3)] for K in (W, U))
    b_z, b_r, b_g = b.reshape(3, u)
    z, r = sigmoid(x @ W_z + h @ U_z + b_z), sigmoid(x @ W_r + h @ U_r + b_r)
    return [z * h + (1 - z) * np.tanh(x @ W_g + (r * h) @ U_g + b_g)]


def gru_before(*args, **options):
    return GRU(*args, reset_after=False, **options)


CELLS = {  # how to make one, its step, the states to start from, how many numbers it has
    "SimpleRNN": (SimpleRNN, simple_step, [H], E * u + u**2 + u),
    "LSTM": (LSTM, lstm_step, [H, C], 4 * (E * u + u**2 + u)),
    "GRU": (GRU, gru_step, [H], 3 * (E * u + u**2 + 2 * u)),
    "GRU, reset before": (gru_before, gru_before_step, [H], 3 * (E * u + u**2 + u)),
}
each = pytest.mark.parametrize("cell", CELLS)


def built(layer, x=X):
    """The layer, with parameters large enough that every one of them matters."""
    layer.ensure_built(x.shape)
    rng = np.random.default_rng(3)
    for p in layer.parameters():
        p.assign(p.numpy() + 0.4 * rng.standard_normal(p.shape))
    return layer


def loop(cell, weights, x, mask, states, backwards):
    """Every row by itself, real steps only.   -> outputs (B, T, u), in the order of reading; last states, (B, u) each"""
    outputs, last = [], []
    for row, real, state in zip(x, mask, zip(*states)):
        output, row_outputs = np.zeros(u), []
        for t in reversed(range(len(row))) if backwards else range(len(row)):
            if real[t]:
                state = CELLS[cell][1](row[t], *state, *weights)
                output = state[0]
            row_outputs.append(output)
        outputs.append(row_outputs)
        last.append(state)
    return np.array(outputs), [np.array(s) for s in zip(*last)]


@each
@pytest.mark.parametrize("mask", [None, MASK], ids=["no mask", "masked"])
@pytest.mark.parametrize("given", [False, True], ids=["from zeros", "from a state"])
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_values_are_those_of_the_loop(cell, mask, given, backwards):
    make, _, states, _ = CELLS[cell]
    start = states if given else [np.zeros((B, u)) for _ in states]
    options = {"initial_state": states} if given else {}
    layer = built(make(u, return_sequences=True, return_state=True, go_backwards=backwards))
    outputs, last = loop(cell, layer.get_weights(), X, np.ones((B, T), bool) if mask is None else mask, start, backwards)
    y, *found = layer(X, mask=mask, **options)
    assert_close(y.numpy(), outputs, 1e-13)
    assert len(found) == len(last)
    for state, expected in zip(found, last):
        assert_close(state.numpy(), expected, 1e-13)
    layer.return_sequences = False
    assert_close(layer(X, mask=mask, **options)[0].numpy(), outputs[:, -1], 1e-13)
    layer.return_state = False
    assert_close(layer(X, mask=mask, **options).numpy(), outputs[:, -1], 1e-13)


@each
def test_activations_and_biases_are_the_arguments(cell):
    make, _, states, _ = CELLS[cell]
    gated = {} if cell == "SimpleRNN" else {"recurrent_activation": "hard_sigmoid"}
    layer = built(make(u, activation="softsign", use_bias=False, **gated))
    assert [w.shape for w in layer.weights] == [(E, layer.kernel.shape[1]), (u, layer.kernel.shape[1])]
    W, U = (w.numpy() for w in layer.weights)
    softsign, hard = lambda x: x / (1 + abs(x)), lambda x: np.clip(x / 6 + 0.5, 0, 1)
    x, h, c = X[:, 0], H, C
    if cell == "SimpleRNN":
        expected = softsign(x @ W + h @ U)
    elif cell == "LSTM":
        i, f, g, o = np.split(x @ W + h @ U, 4, 1)
        expected = hard(o) * softsign(hard(f) * c + hard(i) * softsign(g))
    else:
        z, r, _ = (hard(part) for part in np.split(x @ W + h @ U, 3, 1))
        W_g, U_g = W[:, 2 * u :], U[:, 2 * u :]
        expected = z * h + (1 - z) * softsign(x @ W_g + (r * (h @ U_g) if cell == "GRU" else (r * h) @ U_g))
    assert_close(layer(X[:, :1], initial_state=states).numpy(), expected, 1e-13)


@each
def test_the_rest_of_a_sequence_goes_on_from_the_state(cell):
    make, _, states, _ = CELLS[cell]
    layer = built(make(u, return_sequences=True, return_state=True))
    whole, *last = layer(X, initial_state=states)
    first, *between = layer(X[:, :2], initial_state=states)
    second, *end = layer(X[:, 2:], initial_state=between)
    assert_close(np.concatenate([first.numpy(), second.numpy()], 1), whole.numpy(), 1e-13)
    for a, b in zip(end, last):
        assert_close(a.numpy(), b.numpy(), 1e-13)


def test_one_state_needs_no_list():
    layer = built(GRU(u))
    assert np.array_equal(layer(X, initial_state=H).numpy(), layer(X, initial_state=[H]).numpy())


# ----------------------------------------------------------------------------------------------------------- parameters


@each
def test_counts_shapes_order_and_start(cell):
    make, _, _, count = CELLS[cell]
    layer = make(u).ensure_built((None, None, E))
    gates = {"SimpleRNN": 1, "LSTM": 4}.get(cell, 3)
    bias = (2, 3 * u) if cell == "GRU" else (gates * u,)
    assert {path: p.shape for path, p in layer.named_parameters().items()} == {
        "kernel": (E, gates * u), "recurrent_kernel": (u, gates * u), "bias": bias,
    }  # fmt: skip
    assert [w is p for w, p in zip(layer.weights, (layer.kernel, layer.recurrent_kernel, layer.bias))] == [True] * 3
    assert layer.count_params() == count and layer.buffers() == []
    assert abs(layer.kernel.numpy()).max() <= np.sqrt(6 / (E + gates * u))  # Glorot's bound
    U = layer.recurrent_kernel.numpy()
    assert_close(U @ U.T, np.eye(u), 1e-12)
    expected = np.zeros(bias)
    if cell == "LSTM":
        expected[u : 2 * u] = 1  # the forget gate is open
    assert np.array_equal(layer.bias.numpy(), expected)


def test_the_forget_gate_can_start_as_the_others_do():
    layer = LSTM(u, bias_initializer="ones", unit_forget_bias=False).ensure_built((None, None, E))
    assert np.array_equal(layer.bias.numpy(), np.ones(4 * u))
    layer = LSTM(u, bias_initializer=lambda shape: np.full(shape, 2.0)).ensure_built((None, None, E))
    assert layer.bias.tolist() == [2.0] * u + [1.0] * u + [2.0] * 2 * u


@each
def test_unrolling_changes_nothing(cell):
    layer = built(CELLS[cell][0](u))
    twin = CELLS[cell][0](u, unroll=True, **({} if cell == "SimpleRNN" else {"use_cudnn": False})).ensure_built(X.shape)
    twin.load_state_dict(layer.state_dict())
    assert np.array_equal(layer(X).numpy(), twin(X).numpy())


# ------------------------------------------------------------------------------------------------------------ gradients


@each
@pytest.mark.parametrize("options, call", [
    ({"return_sequences": True, "return_state": True}, {}),
    ({"return_sequences": True, "return_state": True}, {"mask": MASK}),
    ({"go_backwards": True, "return_sequences": True}, {"mask": MASK}),
    ({"dropout": 0.4, "recurrent_dropout": 0.3, "seed": 7}, {"mask": MASK, "training": True}),
    ({"dropout": 0.4, "seed": 7, "return_sequences": True}, {"training": True}),
    ({"use_bias": False}, {}),
], ids=["plain", "masked", "backwards, masked", "both dropouts, masked", "dropout", "no bias"])  # fmt: skip
def test_gradient_of_every_parameter_input_and_state(cell, options, call):
    """Against finite differences; the checker gives every evaluation the same dropout."""
    make, _, states, _ = CELLS[cell]
    layer = built(make(u, **options))

    def f(x, *states):
        return layer(x, initial_state=list(states), **call)

    report = mg.gradcheck(f, X, *states, layer=layer)
    assert report.passed
    checked = str(report)
    assert all(path in checked for path in layer.named_parameters())


@each
def test_second_order_through_a_cell(cell):
    make, _, states, _ = CELLS[cell]
    layer, x = built(make(u), X[:2, :3, :2]), X[:2, :3, :2]
    mask = np.array([[True, True, False], [False, True, True]])

    def f(x, *states):
        return layer(x, initial_state=list(states), mask=mask)

    assert mg.gradgradcheck(f, x, *[s[:2] for s in states], layer=layer).passed


def test_bidirectional_gradients():
    for mode, mask in (("concat", MASK), ("mul", None), (None, MASK)):
        layer = built(Bidirectional(LSTM(u, return_sequences=True, return_state=True), mode))
        report = mg.gradcheck(lambda x, *s: layer(x, initial_state=list(s), mask=mask), X, H, C, C + 1, H - 1, layer=layer)  # noqa: B023
        assert report.passed and "backward_layer.recurrent_kernel" in str(report)


# -------------------------------------------------------------------------------------------------------------- padding


def with_padding(x, before, after, filling):
    """x between steps that are not real, and the mask that says so."""
    ends = [np.full((len(x), n, x.shape[2]), filling) for n in (before, after)]
    mask = np.zeros((len(x), before + x.shape[1] + after), bool)
    mask[:, before : before + x.shape[1]] = True
    return np.concatenate([ends[0], x, ends[1]], 1), mask


@each
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("before, after", [(0, 2), (3, 0), (1, 2)])
@pytest.mark.parametrize("filling", [0.0, 1e9, np.nan, np.inf])
def test_padding_changes_neither_results_nor_gradients(cell, backwards, before, after, filling):
    layer = built(CELLS[cell][0](u, return_sequences=True, return_state=True, go_backwards=backwards))
    G, results = np.random.default_rng(4).standard_normal((B, T, u)), []
    for x, mask in ((X, None), with_padding(X, before, after, filling)):
        x = Tensor(x, requires_grad=True)
        layer.zero_grad()
        y, *last = layer(x, mask=mask)
        start = 0 if mask is None else (after if backwards else before)
        real = y[:, start : start + T]
        ((real * G).sum() + sum((s * s).sum() for s in last)).backward()
        dx = x.grad.numpy()[:, before : before + T] if mask is not None else x.grad.numpy()
        assert mask is None or not x.grad.numpy()[~mask].any()
        results.append([real.numpy(), *[s.numpy() for s in last], dx, *[p.grad.numpy() for p in layer.parameters()]])
    for plain, padded in zip(*results):
        assert_close(padded, plain, 1e-13)


def test_a_masked_step_repeats_the_output_before_it():
    y = built(LSTM(u, return_sequences=True))(X, mask=MASK).numpy()
    assert np.array_equal(y[1, 3:], np.broadcast_to(y[1, 2], (3, u)))
    assert not y[2, :2].any() and y[2, 2:].all()
    assert np.array_equal(y[3, 1:4], np.broadcast_to(y[3, 1], (3, u))) and np.array_equal(y[3, 5], y[3, 4])
    assert not y[4].any()


def test_a_row_without_real_steps_keeps_its_state_and_says_nothing():
    y, h, c = built(LSTM(u, return_state=True))(X, [H, C], MASK)
    assert not y.numpy()[4].any()
    assert np.array_equal(h.numpy()[4], H[4]) and np.array_equal(c.numpy()[4], C[4])


@pytest.mark.parametrize("make", [LSTM, lambda *a, **o: Bidirectional(LSTM(*a, **o))], ids=["LSTM", "Bidirectional"])
def test_the_mask_goes_on_where_there_is_a_result_for_every_step(make):
    assert make(u).compute_mask(X, MASK) is None
    assert make(u, return_sequences=True).compute_mask(X, None) is None
    assert np.array_equal(make(u, return_sequences=True).compute_mask(X, MASK), MASK)


def test_the_mask_of_a_layer_that_reads_backwards_is_in_the_order_of_its_outputs():
    layer = built(GRU(u, return_sequences=True, go_backwards=True))
    y, mask = layer(X, mask=MASK).numpy(), layer.compute_mask(X, MASK)
    assert np.array_equal(mask, MASK[:, ::-1])
    changed = np.diff(y, axis=1, prepend=0).any(-1)
    assert np.array_equal(changed, mask)


def test_sequential_hands_the_mask_through_a_stack():
    """Padding at the end of the ids changes no answer: every layer of the stack leaves it out."""
    model = mg.Sequential(
        Embedding(9, E, mask_zero=True), Bidirectional(GRU(u, return_sequences=True)), LSTM(3, return_sequences=True, go_backwards=True),
        SimpleRNN(2), Dense(1),
    )  # fmt: skip
    ids = np.array([[3, 1, 4], [1, 5, 8]])
    plain = model(ids).numpy()
    for padding in ([(0, 0), (0, 2)], [(0, 0), (1, 2)]):
        assert_close(model(np.pad(ids, padding)).numpy(), plain, 1e-13)


# -------------------------------------------------------------------------------------------------------------- dropout


def identity(shape):
    return np.tile(np.eye(shape[0]), shape[1] // shape[0])


def test_dropout_of_the_inputs_is_the_same_in_every_step():
    layer = SimpleRNN(E, "linear", recurrent_initializer="zeros", kernel_initializer=identity, return_sequences=True, dropout=0.5, seed=1)
    y = layer(np.ones((B, T, E)), training=True).numpy()
    assert set(y.flat) == {0.0, 2.0}
    assert np.array_equal(y, np.broadcast_to(y[:, :1], y.shape))
    again = layer(np.ones((B, T, E)), training=True).numpy()
    assert not np.array_equal(again, y)
    assert np.array_equal(layer(np.ones((B, T, E))).numpy(), np.ones((B, T, E)))


def test_dropout_of_the_state_is_the_same_in_every_step():
    layer = SimpleRNN(u, "linear", recurrent_initializer=identity, kernel_initializer="zeros", recurrent_dropout=0.5, seed=1)
    y = layer(X, initial_state=np.ones((B, u)), training=True).numpy()
    assert set(y.flat) == {0.0, 2.0**T}
    assert np.array_equal(layer(X, initial_state=np.ones((B, u))).numpy(), np.ones((B, u)))


def one_sums_gates(recurrent_dropout):
    """What the inputs add to each of an LSTM's gates, where each unit sees one input."""
    layer = LSTM(E, kernel_initializer=identity, dropout=0.5, recurrent_dropout=recurrent_dropout, seed=1).ensure_built((B, 1, E))
    seen = []
    layer.step = lambda x, kept, *states: seen.append(x.numpy()) or states
    layer.unit_forget_bias = False
    layer.bias.assign(np.zeros(4 * E))
    layer(np.ones((B, 1, E)), training=True)
    return np.split(seen[0], 4, 1)


def test_gates_share_a_mask_unless_the_state_is_dropped_too():
    shared, apart = one_sums_gates(0.0), one_sums_gates(0.5)
    assert all(np.array_equal(gate, shared[0]) for gate in shared)
    assert not any(np.array_equal(a, b) for n, a in enumerate(apart) for b in apart[:n])


@each
def test_one_step_with_both_dropouts(cell):
    """First the masks of the inputs are drawn, one for each gate, then those of the state."""
    make, _, states, _ = CELLS[cell]
    layer, x = built(make(u, dropout=0.4, recurrent_dropout=0.3, seed=5)), X[:, 0]
    W, U, bias = layer.get_weights()
    gates, generator = W.shape[1] // u, mg.Generator(5)
    kept = [[mg.dropout(np.ones((B, n)), rate, generator=generator) for _ in range(gates)] for n, rate in ((E, 0.4), (u, 0.3))]
    U, b = np.split(U, gates, 1), np.split(bias.reshape(-1, gates * u), gates, 1)
    a = [(x * k) @ W_k + b_k[0] for k, W_k, b_k in zip(kept[0], np.split(W, gates, 1), b)]
    h = [(H * k) @ U_k + b_k[1:].sum(0) for k, U_k, b_k in zip(kept[1], U, b)]
    if cell == "SimpleRNN":
        expected = np.tanh(a[0] + h[0])
    elif cell == "LSTM":
        i, f, g, o = (a_k + h_k for a_k, h_k in zip(a, h))
        expected = sigmoid(o) * np.tanh(sigmoid(f) * C + sigmoid(i) * np.tanh(g))
    else:
        z, r = sigmoid(a[0] + h[0]), sigmoid(a[1] + h[1])
        g = np.tanh(a[2] + (r * h[2] if cell == "GRU" else (r * H * kept[1][2]) @ U[2]))
        expected = z * H + (1 - z) * g
    assert_close(layer(X[:, :1], initial_state=states, training=True).numpy(), expected, 1e-13)


@each
def test_a_seed_decides_what_is_dropped(cell):
    make = CELLS[cell][0]
    outs = []
    for seed in (1, 1, 2):
        layer = make(u, "softsign", kernel_initializer="ones", recurrent_initializer="ones", dropout=0.5, recurrent_dropout=0.5, seed=seed)
        outs.append(layer(X, training=True).numpy())
        assert len(layer.generators()) == 1
    assert np.array_equal(outs[0], outs[1]) and not np.array_equal(outs[0], outs[2])


# -------------------------------------------------------------------------------------------------------- bidirectional


@pytest.mark.parametrize("mode, merge", [
    ("concat", lambda y, z: np.concatenate([y, z], -1)), ("sum", np.add), ("mul", np.multiply), ("ave", lambda y, z: (y + z) / 2),
], ids=lambda p: p if isinstance(p, str) else "")  # fmt: skip
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "all"])
@pytest.mark.parametrize("mask", [None, MASK], ids=["no mask", "masked"])
def test_both_directions_are_merged_step_by_step(mode, merge, sequences, mask):
    layer = built(Bidirectional(LSTM(u, return_sequences=sequences), mode))
    y, z = (part(X, mask=mask).numpy() for part in (layer.forward_layer, layer.backward_layer))
    if sequences:
        z = z[:, ::-1]
        if mask is not None:
            y, z = (part * mask[:, :, None] for part in (y, z))
    assert_close(layer(X, mask=mask).numpy(), merge(y, z), 1e-15)
    layer.merge_mode = None
    apart = layer(X, mask=mask)
    assert_close(apart[0].numpy(), y, 0)
    assert_close(apart[1].numpy(), z, 0)


def test_padding_changes_no_bidirectional_result():
    layer = built(Bidirectional(GRU(u, return_sequences=True, return_state=True)))
    plain, *states = layer(X)
    for before, after in ((0, 2), (3, 0), (1, 2)):
        x, mask = with_padding(X, before, after, np.nan)
        y, *found = layer(x, mask=mask)
        assert_close(y.numpy()[:, before : before + T], plain.numpy(), 1e-13)
        assert not y.numpy()[~mask].any()
        for a, b in zip(found, states):
            assert_close(a.numpy(), b.numpy(), 1e-13)


def test_states_are_the_forward_ones_then_the_backward_ones():
    layer = built(Bidirectional(LSTM(u, return_state=True)))
    start = [H, C, C + 1, H - 1]
    y, *states = layer(X, initial_state=start)
    ahead, back = layer.forward_layer(X, start[:2]), layer.backward_layer(X, start[2:])
    assert np.array_equal(y.numpy(), np.concatenate([ahead[0].numpy(), back[0].numpy()], 1))
    assert len(states) == 4
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(states, (*ahead[1:], *back[1:])))
    layer.merge_mode = None
    assert len(layer(X, initial_state=start)) == 6


def test_the_backward_layer_is_configured_alike_and_has_weights_of_its_own():
    ahead = GRU(u, "softsign", return_sequences=True, reset_after=False, dropout=0.5, seed=4)
    layer = Bidirectional(ahead)
    layer(X)
    back = layer.backward_layer
    assert layer.forward_layer is ahead and type(back) is GRU and back.go_backwards and not ahead.go_backwards
    assert [p.shape for p in back.parameters()] == [p.shape for p in ahead.parameters()]
    assert not set(map(id, back.parameters())) & set(map(id, ahead.parameters()))
    assert not np.array_equal(back.kernel.numpy(), ahead.kernel.numpy())
    assert list(layer.named_parameters()) == [f"{d}_layer.{p}" for d in ("forward", "backward")
                                              for p in ("kernel", "recurrent_kernel", "bias")]  # fmt: skip
    assert len(layer.generators()) == 1
    y, z = Bidirectional(SimpleRNN(u, "linear", recurrent_initializer="zeros", kernel_initializer="ones", dropout=0.5, seed=4), None)(
        X, training=True
    )
    assert not np.array_equal(y.numpy(), z.numpy())


def test_a_built_layer_keeps_its_weights_and_its_twin_gets_new_ones():
    ahead = built(LSTM(u))
    before = copy.deepcopy(ahead.get_weights())
    layer = Bidirectional(ahead)
    assert not layer.backward_layer.built
    layer(X)
    assert all(np.array_equal(a, b) for a, b in zip(ahead.get_weights(), before))
    assert not any(np.array_equal(a, b) for a, b in zip(layer.backward_layer.get_weights(), before))


def test_a_backward_layer_of_ones_own():
    layer = Bidirectional(LSTM(u, return_sequences=True), backward_layer=GRU(3, return_sequences=True, go_backwards=True))
    assert layer(X).shape == (B, T, u + 3)
    out = layer(X, initial_state=[H, C, np.ones((B, 3))])
    assert not np.array_equal(out.numpy()[:, -1, u:], layer(X).numpy()[:, -1, u:])


# --------------------------------------------------------------------------------------------------------------- errors


@each
@pytest.mark.parametrize("x, words", [
    (np.ones((B, E)), r"sequences need the axes \(B, T, E\) with E = 7.*\(5, 7\)"), (np.ones((B, T, E, 1)), r"\(B, T, E\).*\(5, 6, 7, 1\)"),
    (np.ones((B, T, 1)), r"with E = 7.*\(5, 6, 1\)"), (np.ones((B, 0, E)), r"T from 1.*\(5, 0, 7\)"),
])  # fmt: skip
def test_sequences_of_other_axes_are_refused(cell, x, words):
    layer = built(CELLS[cell][0](u))
    with pytest.raises(ShapeError, match=type(layer).__name__ + ".*" + words):
        layer(x)


@each
def test_a_first_call_of_another_rank_builds_nothing(cell):
    layer = CELLS[cell][0](u)
    for x in (np.ones((B, E)), np.ones((B, T, E, 1))):
        with pytest.raises(ShapeError, match=rf"{type(layer).__name__}: sequences need the axes \(B, T, E\).*\({B}, "):
            layer(x)
    assert not layer.built and layer(X).shape == (B, u)


@pytest.mark.parametrize("make", [LSTM, lambda n: Bidirectional(LSTM(n))], ids=["LSTM", "Bidirectional"])
@pytest.mark.parametrize("mask, error, words", [
    (np.ones((B, T)), DtypeError, "LSTM: mask must be boolean.*astype.*float64"),
    (MASK[:, :1], ShapeError, r"\(B, T\) = \(5, 6\).*\(5, 1\)"),
    (MASK[:1], ShapeError, r"LSTM: mask needs the axes \(B, T\)"), (MASK.T, ShapeError, r"\(6, 5\)"),
    (MASK[..., None], ShapeError, r"\(5, 6, 1\)"), (MASK[0], ShapeError, r"\(6,\)"),
])  # fmt: skip
def test_masks_of_another_kind_are_refused(make, mask, error, words):
    with pytest.raises(error, match=words):
        make(u)(X, mask=mask)


@pytest.mark.parametrize("make, state, words", [
    (LSTM, [H], r"LSTM: initial_state is a list of h \(B, u\) and c \(B, u\) = \(5, 4\).*state 0 \(5, 4\)"),
    (LSTM, H, r"h \(B, u\) and c \(B, u\)"), (LSTM, [H, C[:1]], r"state 1 \(1, 4\)"), (LSTM, [H, C, C], r"state 2 \(5, 4\)"),
    (GRU, [H, C], r"GRU: initial_state is a list of h \(B, u\) = \(5, 4\)\. .*state 1"), (GRU, H[0], r"state 0 \(4,\)"),
    (SimpleRNN, H[:, :1], r"SimpleRNN: .*\(5, 4\).*\(5, 1\)"), (SimpleRNN, [], r"SimpleRNN: initial_state is a list"),
    (lambda n: Bidirectional(LSTM(n)), [H, C], r"Bidirectional: initial_state is a list of 4"),
    (lambda n: Bidirectional(GRU(n)), H, r"Bidirectional: initial_state is a list of 2.*\(5, 4\)"),
])  # fmt: skip
def test_states_that_do_not_fit_are_refused(make, state, words):
    with pytest.raises(ShapeError, match=words):
        make(u)(X, initial_state=state)


@pytest.mark.parametrize("make", [SimpleRNN, LSTM, GRU])
@pytest.mark.parametrize("arguments, error, words", [
    ({"units": 0}, ValueError, "units is a whole number from 1.*0"), ({"units": 2.5}, ValueError, "units.*2.5"),
    ({"units": "4"}, ValueError, "units.*'4'"), ({"units": True}, ValueError, "units.*True"), ({"units": None}, ValueError, "units.*None"),
    ({"activation": "tan"}, ValueError, "activation is a function or one of.*'tan'"),
    ({"recurrent_initializer": "unit"}, ValueError, "recurrent_initializer is.*'unit'"), ({"dropout": 1.0}, ValueError, "dropout.*1.0"),
    ({"recurrent_dropout": -0.1}, ValueError, "recurrent_dropout.*-0.1"), ({"stateful": True}, LayerError, "stateful.*initial_state"),
    ({"kernel_regularizer": "l2"}, LayerError, "kernel_regularizer.*AdamW"), ({"dtype": "float16"}, LayerError, "dtype"),
    ({"return_sequence": True}, TypeError, "no argument called 'return_sequence'.*return_sequences"),
], ids=str)  # fmt: skip
def test_arguments_that_cannot_be_are_named(make, arguments, error, words):
    with pytest.raises(error, match=f"{make.__name__}.*{words}"):
        make(**{"units": u, **arguments})


@pytest.mark.parametrize("make", [LSTM, GRU])
def test_the_activation_of_the_gates_is_named(make):
    with pytest.raises(ValueError, match=f"{make.__name__}: recurrent_activation is.*'soft'"):
        make(u, recurrent_activation="soft")


@pytest.mark.parametrize("arguments, error, words", [
    ((Dense(3),), TypeError, "takes a SimpleRNN, LSTM or GRU.*Dense"), ((None,), TypeError, "takes a SimpleRNN, LSTM or GRU.*None"),
    ((LSTM(3), "concat", 3), TypeError, "takes a SimpleRNN, LSTM or GRU.*3"),
    ((LSTM(3), "add"), ValueError, "merge_mode is one of 'concat', 'sum', 'mul', 'ave', None.*'add'"),
    ((LSTM(3, go_backwards=True),), ValueError, "layer goes forwards and backward_layer backwards.*layer True, backward_layer False"),
    ((LSTM(3), "concat", LSTM(3)), ValueError, "layer goes forwards.*layer False, backward_layer False"),
    ((LSTM(3), None, LSTM(3, go_backwards=True, return_sequences=True)), ValueError, "both layers.*same return_sequences.*False.*True"),
    ((LSTM(3), "sum", LSTM(1, go_backwards=True)), ValueError, "both layers need the same units.*layer 3, backward_layer 1"),
], ids=str)  # fmt: skip
def test_layers_that_do_not_go_together_are_refused(arguments, error, words):
    layer, *mode = arguments[:2]
    with pytest.raises(error, match="Bidirectional: " + words):
        Bidirectional(layer, *mode, backward_layer=arguments[2] if len(arguments) == 3 else None)


def test_an_error_inside_names_the_direction():
    layer = built(Bidirectional(LSTM(u)))
    layer.backward_layer.units = 3  # as of a broken model
    with pytest.raises(mg.errors.MinigradError, match="In backward_layer, a LSTM of Bidirectional"):
        layer(X)

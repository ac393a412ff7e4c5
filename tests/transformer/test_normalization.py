"""Three normalizations, three answers to "what is learnable?": the formulas of the notes, and who changes what."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from minigrad.errors import LayerError, ShapeError
from tests.helpers import assert_close
from transformer.layers import BatchNormalization, LayerNormalization, Normalization, RMSNormalization

B, T, F = 5, 3, 4
X = np.random.default_rng(11).normal(3.0, 2.0, (B, T, F)) * [1.0, 10.0, 0.1, 5.0]


@pytest.fixture(autouse=True)
def in_float64():
    with mg.use_default_dtype("float64"):
        yield


# -------------------------------------------------------------------------------------------------------- Normalization


def test_adapted_columns_have_mean_0_and_standard_deviation_1():
    layer = Normalization()
    layer.adapt(X)
    out = layer(X).numpy()
    assert_close(out.mean((0, 1)), np.zeros(F), 1e-14)
    assert_close(out.std((0, 1)), np.ones(F), 1e-14)
    assert_close(out, (X - X.mean((0, 1))) / X.std((0, 1)), 1e-13)


def test_its_statistics_are_the_only_state_and_not_learnable():
    layer = Normalization()
    layer.adapt(X)
    assert layer.parameters() == [] and list(layer.named_buffers()) == ["mean", "variance"]
    assert layer.count_params() == 2 * F
    assert_close(layer.variance.numpy(), X.var((0, 1)), 1e-13)


def test_un_adapted_raises_before_and_after_building():
    for layer in (Normalization(), Normalization().ensure_built((None, F))):
        with pytest.raises(LayerError, match="Normalization.*adapt"):
            layer(X)


def test_adapted_statistics_survive_saving():
    source, target = Normalization(), Normalization()
    source.adapt(X)
    target.ensure_built((None, F))
    target.load_state_dict(source.state_dict())
    assert np.array_equal(target(X).numpy(), source(X).numpy())
    twin = Normalization().ensure_built((None, F))
    twin.set_weights(source.get_weights())
    assert np.array_equal(twin(X).numpy(), source(X).numpy())


def test_training_changes_nothing_and_adapting_again_starts_anew():
    layer = Normalization()
    layer.adapt(X)
    before = layer.mean.numpy()
    layer(10 * X, training=True)
    assert np.array_equal(layer.mean.numpy(), before)
    layer.adapt(10 * X)
    assert_close(layer.mean.numpy(), 10 * X.mean((0, 1)), 1e-13)
    assert_close(before, X.mean((0, 1)), 1e-13)


def test_a_column_that_never_varies_is_divided_by_one():
    layer = Normalization()
    layer.adapt(np.array([[7.0, 1.0], [7.0, 2.0]]))
    assert layer(np.array([[7.0, 1.5], [8.0, 1.5]])).tolist() == [[0.0, 0.0], [1.0, 0.0]]


@pytest.mark.parametrize("data, error, words", [
    (np.ones((0, 3)), ShapeError, r"at least one row.*\(0, 3\)"), (np.float64(3), ShapeError, "at least one row"),
    (np.array([[1.0, np.nan]]), LayerError, r"data\[0, 1\] is nan"), (np.array([[np.inf], [1.0]]), LayerError, r"data\[0, 0\] is inf"),
    (np.array([[1e200], [3e200]]), LayerError, r"column \[0\] are too large or too small.*1e\+200"),
    (np.array([[2.0, 1e-170], [5.0, 3e-170]]), LayerError, r"column \[1\] are too large or too small.*from 1e-170 to 3e-170"),
])  # fmt: skip
def test_data_without_statistics_is_refused(data, error, words):
    layer = Normalization()
    with pytest.raises(error, match=words), np.errstate(all="ignore"):  # NumPy warns too
        layer.adapt(data)
    with pytest.raises(LayerError):
        layer(np.ones((2, 3)))


def test_adapt_accumulates_in_float64():
    layer = Normalization()
    data = np.full((200_000, 1), 0.1, np.float32) + 1000
    layer.adapt(data)
    assert abs(layer.mean.item() - float(data[0, 0])) < 1e-9


@pytest.mark.parametrize("data", [
    1.7e9 + np.arange(100.0)[:, None], 1_700_000_000 + np.arange(100)[:, None], np.array([[1e20], [3e20]]), np.array([[1e-25], [3e-25]]),
    np.array([[1e20], [3e20]], np.float32), np.array([[2**62], [2**62 + 4096]]),
], ids=["far", "far integers", "large", "small", "large float32", "large integers"])  # fmt: skip
@pytest.mark.parametrize("default", ["float32", "float64"])
def test_data_far_from_what_float32_holds_is_standardized_too(data, default):
    """Seconds since 1970 in float32 are two minutes apart, and 1e20 squared is infinite in it."""
    with mg.use_default_dtype(default):
        layer, back = Normalization(), Normalization(invert=True)
        layer.adapt(data)
        back.adapt(data)
        out = layer(data).numpy()
    exact = data.dtype == np.float64 or (data.dtype.kind == "i" and default == "float64")
    assert out.dtype == (np.float64 if exact else np.float32)
    assert_close([out.mean(), out.std()], [0, 1], 1e-12 if exact else 1e-6)
    np.testing.assert_allclose(back(out).numpy(), data.astype(float), rtol=1e-12 if exact else 1e-6)
    assert layer.mean.dtype == layer.variance.dtype == np.float64


def test_nested_lists_and_given_statistics_keep_their_digits():
    data = 1.7e9 + np.arange(100.0)[:, None]
    with mg.use_default_dtype("float32"):
        layer, given = Normalization(), Normalization(mean=[data.mean()], variance=[data.var()])
        layer.adapt(data.tolist())
        assert layer.mean.tolist() == [data.mean()]
        for each in (layer, given):
            out = each(data.tolist())
            assert out.dtype == np.float32 and abs(out.numpy() - (data - data.mean()) / data.std()).max() < 1e-6


def test_statistics_saved_in_float32_are_taken():
    layer = Normalization()
    layer.adapt(X)
    state = {path: array.astype(np.float32) for path, array in layer.state_dict().items()}
    for load in (lambda twin: twin.load_state_dict(state), lambda twin: twin.set_weights(list(state.values()))):
        twin = Normalization().ensure_built((None, F))
        load(twin)
        assert twin.mean.dtype == np.float64 and np.array_equal(twin.mean.numpy(), state["mean"])
        assert_close(twin(X).numpy(), layer(X).numpy(), 1e-5)


def test_gradients_flow_through_to_the_input_only():
    layer = Normalization()
    layer.adapt(X)
    x = Tensor(X, requires_grad=True)
    layer(x).sum().backward()
    assert_close(x.grad.numpy(), np.broadcast_to(1 / X.std((0, 1)), X.shape), 1e-13)
    assert layer.mean.grad is None


# --------------------------------------------------------------------------------------------------- BatchNormalization


def batch_norm(momentum=0.9, epsilon=1e-3):
    layer = BatchNormalization(momentum=momentum, epsilon=epsilon).ensure_built((None, F))
    layer.gamma.assign([1.0, 2.0, 3.0, 4.0])
    layer.beta.assign([0.1, 0.2, 0.3, 0.4])
    return layer


def test_training_uses_this_batch():
    layer = batch_norm()
    expected = layer.gamma.numpy() * (X - X.mean((0, 1))) / np.sqrt(X.var((0, 1)) + 1e-3) + layer.beta.numpy()
    assert_close(layer(X, training=True).numpy(), expected, 1e-13)


def test_inference_uses_the_moving_statistics():
    layer = batch_norm()
    layer.moving_mean.assign([1.0, -1.0, 0.5, 2.0])
    layer.moving_variance.assign([2.0, 1.0, 0.5, 3.0])
    moving = np.array([1.0, -1.0, 0.5, 2.0]), np.array([2.0, 1.0, 0.5, 3.0])
    expected = layer.gamma.numpy() * (X - moving[0]) / np.sqrt(moving[1] + 1e-3) + layer.beta.numpy()
    assert_close(layer(X).numpy(), expected, 1e-13)


def test_moving_statistics_are_running_averages_in_kerass_sense():
    """moving = momentum * moving + (1 - momentum) * batch, with the biased variance, once for every training call."""
    layer = batch_norm()
    mean, variance = np.zeros(F), np.ones(F)
    for k in range(4):
        batch = X * (k + 1)
        layer(batch, training=True)
        mean = 0.9 * mean + 0.1 * batch.mean((0, 1))
        variance = 0.9 * variance + 0.1 * batch.var((0, 1))
        assert_close(layer.moving_mean.numpy(), mean, 1e-13)
        assert_close(layer.moving_variance.numpy(), variance, 1e-13)
        layer(batch)
        assert_close(layer.moving_mean.numpy(), mean, 1e-13, "inference moved a statistic")


def test_a_running_average_moves_no_learnable_number_and_no_optimiser_a_statistic():
    layer = batch_norm()
    learnable = [p.numpy().copy() for p in layer.parameters()]
    layer(X, training=True)
    assert all(np.array_equal(p.numpy(), b) for p, b in zip(layer.parameters(), learnable))
    statistics = [b.numpy().copy() for b in layer.buffers()]
    optimiser = mg.optim.AdamW(layer.parameters(), lr=0.5, weight_decay=0.9)
    (layer(X) ** 2).sum().backward()
    optimiser.step()
    assert all(np.array_equal(b.numpy(), s) for b, s in zip(layer.buffers(), statistics))
    assert not any(np.array_equal(p.numpy(), b) for p, b in zip(layer.parameters(), learnable))


def test_the_gradient_runs_through_the_statistics_of_the_batch():
    """The mean of a normalized batch is 0 whatever x: so is the gradient of its sum. Constants as statistics would give more."""
    layer = batch_norm()
    x = Tensor(X, requires_grad=True)
    layer(x, training=True).sum().backward()
    assert np.abs(x.grad.numpy()).max() < 1e-12
    x.grad = None
    layer(x).sum().backward()
    assert np.abs(x.grad.numpy()).min() > 0.01


def test_columns_far_from_0_keep_their_digits():
    """Neither the variance as mean(x^2) - mean(x)^2 nor x scale + (beta - mean scale) would in float32."""
    x = (1e4 + X).astype(np.float32)
    with mg.use_default_dtype("float32"):
        layer = BatchNormalization(momentum=0.0)
        out = layer(x, training=True)
    exact = x.astype(np.float64)
    expected = (exact - exact.mean((0, 1))) / np.sqrt(exact.var((0, 1)) + 1e-3)
    assert_close(out.numpy(), expected, 1e-5)
    np.testing.assert_allclose(layer.moving_variance.numpy(), exact.var((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_mean.numpy(), exact.mean((0, 1)), rtol=1e-7)
    mean, variance = layer.moving_mean.numpy().astype(np.float64), layer.moving_variance.numpy()
    assert_close(layer(x).numpy(), (exact - mean) / np.sqrt(variance + 1e-3), 1e-6)


def test_freezing_leaves_the_mode_alone():
    frozen, free = batch_norm(), batch_norm()
    frozen.freeze()
    assert np.array_equal(frozen(X, training=True).numpy(), free(X, training=True).numpy())
    assert np.array_equal(frozen.moving_mean.numpy(), free.moving_mean.numpy())
    assert frozen.count_params() == 4 * F and len(frozen.parameters()) == 2 and len(frozen.buffers()) == 2


def test_under_no_grad_training_still_moves_the_averages():
    layer = batch_norm()
    with mg.no_grad():
        layer(X, training=True)
    assert layer.moving_mean.numpy().any()


# --------------------------------------------------------------------------------------------------- LayerNormalization


def test_layer_norm_is_per_token():
    layer = LayerNormalization().ensure_built((None, F))
    layer.gamma.assign([1.0, 2.0, 3.0, 4.0])
    layer.beta.assign([0.1, 0.2, 0.3, 0.4])
    expected = layer.gamma.numpy() * (X - X.mean(-1, keepdims=True)) / np.sqrt(X.var(-1, keepdims=True) + 1e-3) + layer.beta.numpy()
    assert_close(layer(X).numpy(), expected, 1e-13)
    assert layer.buffers() == [] and layer.count_params() == 2 * F
    changed = X.copy()
    changed[0, 0] = 0
    same = layer(changed).numpy() == layer(X).numpy()
    assert same[1:].all() and same[0, 1:].all() and not same[0, 0].all()


def test_a_token_of_equal_features_gives_beta():
    layer = LayerNormalization().ensure_built((None, F))
    layer.beta.assign([1.0, 2.0, 3.0, 4.0])
    assert layer(np.full((1, F), 1e8)).tolist() == [[1.0, 2.0, 3.0, 4.0]]


def test_layer_norm_of_far_away_features_keeps_its_digits():
    """The variance as mean(x^2) - mean(x)^2 would have lost them all."""
    x = 1e6 + np.array([[1.0, 2.0, 3.0, 4.0]])
    out = LayerNormalization(epsilon=0.0)(x).numpy()
    assert_close(out, (x - x.mean()) / x.std(), 1e-9)


# -------------------------------------------------------------------------------------------------------- half precision


@pytest.mark.parametrize("make", [
    LayerNormalization, lambda: LayerNormalization((1, 2)), RMSNormalization, lambda: RMSNormalization((1, 2)), BatchNormalization,
    lambda: BatchNormalization(1), lambda: BatchNormalization(center=False, scale=False),
], ids=["layer", "layer, two axes", "rms", "rms, two axes", "batch", "batch, axis 1", "batch, no parameters"])  # fmt: skip
def test_squares_that_half_precision_cannot_hold(make):
    """A result in float32 is computed in float32: 300 squared is more than a float16 holds."""
    x = (100 * X).astype(np.float16)
    assert (np.abs(x) > 256).any()
    with mg.use_default_dtype("float32"):
        half, double = make(), make()
        for _ in range(2):
            out, expected = half(Tensor(x), training=True), double(Tensor(x.astype(float)), training=True)
        assert out.dtype == np.float32
        assert_close(out.numpy(), expected.numpy(), 1e-4)
        for own, other in zip(half.buffers(), double.buffers()):
            np.testing.assert_allclose(own.numpy(), other.numpy(), rtol=1e-5)


# ------------------------------------------------------------------------------------------------------------- PyTorch


@pytest.mark.oracle
def test_layer_norm_equals_pytorchs():
    import torch

    ours, theirs = LayerNormalization(epsilon=1e-5).ensure_built((None, F)), torch.nn.LayerNorm(F, 1e-5, dtype=torch.float64)
    compare(ours, ours, theirs, theirs, X)


@pytest.mark.oracle
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.filterwarnings("ignore:BatchNormalization. in inference")  # no batch has updated its statistics, as is meant here
def test_batch_norm_equals_pytorchs_but_for_what_is_documented(training):
    """PyTorch's momentum is 1 - ours, and its running variance is unbiased; everything else agrees."""
    import torch

    rows = X.reshape(-1, F)
    ours = BatchNormalization(momentum=0.9, epsilon=1e-5).ensure_built((None, F))
    theirs = torch.nn.BatchNorm1d(F, eps=1e-5, momentum=0.1, dtype=torch.float64).train(training)
    compare(ours, lambda x: ours(x, training=training), theirs, theirs, rows)
    assert_close(ours.moving_mean.numpy(), theirs.running_mean.numpy(), 1e-13)
    if training:
        n = len(rows)
        unbiased = 0.9 + 0.1 * rows.var(0) * n / (n - 1)
        assert_close(theirs.running_var.numpy(), unbiased, 1e-13)
        assert_close(ours.moving_variance.numpy(), 0.9 + 0.1 * rows.var(0), 1e-13)
    else:
        assert_close(ours.moving_variance.numpy(), theirs.running_var.numpy(), 1e-13)


def compare(layer, call, module, torch_call, data):
    """Values and gradients of input, gamma and beta."""
    import torch

    rng = np.random.default_rng(1)
    for p, q in ((layer.gamma, module.weight), (layer.beta, module.bias)):
        value = rng.standard_normal(F)
        p.assign(value)
        q.data.copy_(torch.tensor(value))
    x, y = Tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    out, expected = call(x), torch_call(y)
    assert_close(out.numpy(), expected.detach().numpy(), 1e-12)
    weights = rng.standard_normal(out.shape)
    out.backward(weights)
    expected.backward(torch.tensor(weights))
    for a, b in ((x, y), (layer.gamma, module.weight), (layer.beta, module.bias)):
        assert_close(a.grad.numpy(), b.grad.numpy(), 1e-11)

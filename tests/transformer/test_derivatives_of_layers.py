"""Higher orders through whole layers, and layers computed again in the backward."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import derivatives
from minigrad.core import Tensor
from tests.helpers import assert_close, difference
from transformer.blocks import EncoderBlock
from transformer.layers import BatchNormalization, Dropout, LayerNormalization
from transformer.models import LanguageModel, LanguageModelConfig

B, T, E = 2, 3, 4
X = np.random.default_rng(1).standard_normal((B, T, E))
TARGETS = np.array([[0, 2, 1], [3, 3, 0]])


def built(make):
    with mg.use_default_dtype("float64"), mg.random.using(mg.Generator(3)):
        layer = make()
        layer(X, training=True)  # statistics that nothing has updated would warn
    rng = np.random.default_rng(5)
    for p in layer.parameters():
        p.assign(p.numpy() + 0.3 * rng.standard_normal(p.shape))
    return layer


LAYERS = {
    "Dense, LayerNormalization": lambda: mg.Sequential(mg.Dense(5, "gelu"), LayerNormalization(), mg.Dense(E)),
    "BatchNormalization": lambda: mg.Sequential(mg.Dense(5, "tanh"), BatchNormalization(), mg.Dense(E)),
    "EncoderBlock post": lambda: EncoderBlock(2, 2, 6, "gelu", "post"),
    "EncoderBlock pre": lambda: EncoderBlock(2, 2, 6, "tanh", "pre"),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("again", [False, True], ids=["stored", "computed again"])
def test_third_order_for_inputs_and_parameters(name, again):
    """Cross entropy of a layer: its third derivative along three directions in all parameters and the input."""
    layer = built(LAYERS[name])
    at, rng = [Tensor(X, requires_grad=True), *layer.parameters()], np.random.default_rng(6)
    options = {"training": True} if name == "BatchNormalization" else {}
    directions = [[rng.standard_normal(t.shape) for t in at] for _ in range(3)]

    def hessian_product(x):
        run = mg.checkpoint(layer) if again else layer
        total = mg.cross_entropy(run(x, **options), TARGETS)
        for direction in directions[:2]:
            total = sum((g * u).sum() for g, u in zip(derivatives.gradients(total, [x, *at[1:]], create_graph=True), direction))
        return total

    gradients = derivatives.gradients(hessian_product(at[0]), at, allow_unused=True)
    start = [t.numpy() for t in at]

    def along(t):
        for p, value, u in zip(at[1:], start[1:], directions[2][1:]):
            p.assign(value + t * u)
        return hessian_product(Tensor(start[0] + t * directions[2][0], requires_grad=True)).item()

    numeric = difference(along, [np.array(0.0)], 0, 1.0, 1e-3)
    analytic = sum(float((g.numpy() * u).sum()) for g, u in zip(gradients, directions[2]) if g is not None)
    assert abs(numeric) > 1e-2
    assert_close(analytic, numeric, 1e-7)


@pytest.mark.parametrize("layers", ["each", "all"])
def test_dropout_and_batch_normalization_computed_again_are_the_same_bits(layers):
    results = []
    for again in (False, True):
        with mg.random.using(mg.Generator(7)):
            model = mg.Sequential(mg.Dense(6, "tanh"), BatchNormalization(), Dropout(0.3), mg.Dense(E), BatchNormalization())
            model(X, training=True)
            optimiser = mg.optim.AdamW(model.parameters(), lr=0.1)
            for _ in range(3):
                x = X
                for part in model.layers if layers == "each" else [model]:
                    x = (mg.checkpoint(part) if again else part)(x, training=True)
                optimiser.zero_grad()
                mg.cross_entropy(x, TARGETS).backward()
                optimiser.step()
            results.append([*model.state_dict().values(), *(p.grad.numpy() for p in model.parameters()), model.layers[2].generator.drawn])
    assert [np.array_equal(a, b) for a, b in zip(*results)] == [True] * len(results[0])


def test_a_language_model_whose_blocks_are_computed_again():
    losses = []
    for again in (False, True):
        model = LanguageModel(LanguageModelConfig(11, 5, layers=2, heads=2, width=6, feed_forward=7, dropout=0.2), seed=1)
        if again:
            for block in model.blocks:
                block.call = mg.checkpoint(block.call)
        optimiser = mg.optim.AdamW(model.parameters(), lr=0.01)
        for _ in range(3):
            ids = np.array([[0, 3, 10, 2], [3, 3, 7, 1]])
            loss = mg.cross_entropy(model(ids, training=True), (ids + 1) % 11)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    assert losses[:3] == losses[3:]

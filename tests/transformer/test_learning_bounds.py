"""A short training run ends between two bounds, and every planted fault ends outside of them.

The text repeats itself: a token is the one three places earlier, but one in seven is drawn anew. So the best loss that can
be reached without looking ahead is known to the digit. Above the upper bound something is broken: a gradient, a skip
connection, the positions. Below the lower one the model sees what it should predict.
"""

import math
from unittest import mock

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import REGISTRY
from transformer import blocks, layers
from transformer.models import LanguageModel, LanguageModelConfig

V, T, LAG, FRESH = 8, 16, 3, 1 / 7
STEPS, BATCH = 60, 32
REPEATED = 1 - FRESH + FRESH / V  # the probability of the token three places earlier
OTHER = FRESH / V


def texts(rng, count):
    """(count, T + 1) tokens, the first three at random."""
    x = rng.integers(0, V, (count, T + 1))
    repeated = rng.random((count, T + 1)) >= FRESH
    for t in range(LAG, T + 1):
        x[:, t] = np.where(repeated[:, t], x[:, t - LAG], x[:, t])
    return x


VALIDATION = texts(np.random.default_rng(42), 256)
HITS = np.mean(VALIDATION[:, LAG:] == VALIDATION[:, :-LAG])
BEST = -(HITS * math.log(REPEATED) + (1 - HITS) * math.log(OTHER))  # the loss of the process itself on these very texts
LOWER, UPPER = BEST - 0.03, BEST + 0.1


def loss_of(model, text):
    """Cross-entropy of every token that can be predicted: from the fourth on."""
    return mg.cross_entropy(model(text[:, :-1])[:, LAG - 1 :], text[:, LAG:])


def trained():
    """Validation loss after a short run of a small model."""
    with mg.use_kernels("reference"):
        rng = np.random.default_rng(0)
        model = LanguageModel(LanguageModelConfig(V, T, layers=3, heads=2, width=32, tied=False), seed=0)
        optimiser = mg.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.0, global_clipnorm=1.0)
        for step in range(STEPS):
            optimiser.lr = mg.optim.warmup_cosine(step, 10, STEPS, 0.01)
            optimiser.zero_grad()
            loss_of(model, texts(rng, BATCH)).backward()
            optimiser.step()
        with mg.no_grad():
            return loss_of(model, VALIDATION).item()


# ------------------------------------------------------------------------------------------------------- planted faults


def attention_with(mask_of):
    """Attention that builds its mask by ``mask_of(T, S)`` whatever it is asked for."""
    real = mg.scaled_dot_product_attention

    def attend(q, k, v, mask=None, bias=None, **options):
        return real(q, k, v, mask_of(q.shape[2], k.shape[2]))

    return mock.patch.object(mg, "scaled_dot_product_attention", attend)


def no_skip():
    def call(self, x, f, training=False):
        return self.dropout(f(self.normalization(x)), training=training)

    return mock.patch.object(blocks.AddNorm, "call", call)


def no_positions():
    return mock.patch.object(layers.PositionalEmbedding, "call", lambda self, x: x)


def wrong_sign(name, number):
    """The gradient of one input of one op with the wrong sign."""
    op = REGISTRY[name]
    right = op.rule

    def rule(*args, **kwargs):
        found = list(right(*args, **kwargs))
        found[number] = None if found[number] is None else -found[number]
        return found

    return mock.patch.object(op, "rule", rule)


LEAKS = {
    "no causal mask": lambda: attention_with(lambda T, S: None),
    "mask shifted by one": lambda: attention_with(lambda T, S: np.tri(T, S, 1, dtype=bool)),
}
BREAKS = {
    "no skip connection": no_skip,
    "no positions": no_positions,
    "wrong sign for the questions": lambda: wrong_sign("headed_attention", 0),
}
MORE_BREAKS = {
    "every key forbidden but itself": lambda: attention_with(lambda T, S: np.eye(T, S, dtype=bool)),
    "wrong sign for the keys": lambda: wrong_sign("headed_attention", 1),
    "wrong sign for the values": lambda: wrong_sign("headed_attention", 2),
    "wrong sign through the normalization": lambda: wrong_sign("row_norm", 0),
    "wrong sign for the matrices": lambda: wrong_sign("linear", 1),
}


def test_the_bounds_mean_something():
    uniform = math.log(V)
    assert LOWER > 0.5 and UPPER < 0.5 * uniform, "far from knowing the answer, and far from knowing nothing"
    entropy = -(REPEATED * math.log(REPEATED) + (V - 1) * OTHER * math.log(OTHER))
    assert abs(BEST - entropy) < 0.05


def test_an_honest_run_ends_between_the_bounds():
    assert LOWER < trained() < UPPER


@pytest.mark.parametrize("fault", LEAKS)
def test_a_leak_ends_below(fault):
    with LEAKS[fault]():
        assert trained() < LOWER - 0.2


@pytest.mark.parametrize("fault", BREAKS)
def test_a_broken_part_ends_above(fault):
    with BREAKS[fault]():
        assert trained() > UPPER + 0.2


@pytest.mark.slow
@pytest.mark.parametrize("fault", MORE_BREAKS)
def test_more_broken_parts_end_above(fault):
    with MORE_BREAKS[fault]():
        assert trained() > UPPER + 0.2

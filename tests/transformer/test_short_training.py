"""A short training whose end is known beforehand: above the upper bound something does not learn, below the lower one it cheats.

The text: five letters drawn at random, then the same five again. Nobody can foretell the first five, everybody who can
look back can tell the others, so that no honest model does better than `ENTROPY`, and a working one comes close to it.
"""

import math

import numpy as np
import pytest

import minigrad as mg
from transformer import AddNorm, LanguageModel, LanguageModelConfig, MultiHeadAttention, PositionalEmbedding

LETTERS, LENGTH = 6, 5
BLOCK = 2 * LENGTH - 1
RANDOM = LENGTH - 1  # of the BLOCK predictions; the very first letter is given
ENTROPY = RANDOM / BLOCK * math.log2(LETTERS)
LOWER, UPPER = ENTROPY - 0.05, ENTROPY + 0.1
STEPS = 120


def batch(rng, size):
    """Inputs (B, T) and targets (B, T)."""
    letters = rng.integers(LETTERS, size=(size, LENGTH))
    text = np.concatenate([letters, letters], axis=1)  # (B, 2 LENGTH)
    return text[:, :-1], text[:, 1:]


def validation_bits():
    """Train, and return bits per letter on texts that were not trained on."""
    rng = np.random.default_rng(5)
    config = LanguageModelConfig(vocab_size=LETTERS, block_size=BLOCK, layers=3, heads=2, width=32)
    model = LanguageModel(config, seed=1)
    optimiser = mg.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.99), global_clipnorm=1.0)
    for step in range(STEPS):
        inputs, targets = batch(rng, 16)
        optimiser.lr = mg.optim.warmup_cosine(step, 20, STEPS, 1e-2, 1e-3)
        loss = mg.cross_entropy(model(inputs, training=True), targets)
        model.zero_grad()
        loss.backward()
        optimiser.step()
    inputs, targets = batch(np.random.default_rng(6), 500)
    with mg.no_grad():
        return mg.cross_entropy(model(inputs), targets).item() / math.log(2)


def test_the_model_ends_between_the_bounds():
    assert LOWER < validation_bits() < UPPER


def attention_with(**changes):
    """Attention as it would be with other arguments than the model's."""
    usual = MultiHeadAttention.call

    def call(self, query, value, key=None, attention_mask=None, use_causal_mask=False):
        return usual(self, query, value, key, **changes)

    return call


def no_causal_mask(monkeypatch):
    monkeypatch.setattr(MultiHeadAttention, "call", attention_with(use_causal_mask=False))


def mask_shifted_by_one(monkeypatch):
    one_further = np.tri(BLOCK, BLOCK, 1, dtype=bool)
    monkeypatch.setattr(MultiHeadAttention, "call", attention_with(attention_mask=one_further))


@pytest.mark.parametrize("leak", [no_causal_mask, mask_shifted_by_one])
def test_a_leak_ends_below(monkeypatch, leak):
    leak(monkeypatch)
    assert validation_bits() < LOWER


def no_skip(monkeypatch):
    monkeypatch.setattr(AddNorm, "call", lambda self, x, f, training=False: f(self.normalization(x)))


def no_positions(monkeypatch):
    monkeypatch.setattr(PositionalEmbedding, "call", lambda self, x: x)


def wrong_sign(kernel, place=None):
    """One gradient of a kernel with the sign of another."""

    def plant(monkeypatch):
        usual = getattr(mg.kernels, kernel)

        def planted(*arrays):
            gradients = usual(*arrays)
            if place is None:
                return -gradients
            return tuple(-g if number == place else g for number, g in enumerate(gradients))

        monkeypatch.setattr(mg.kernels, kernel, planted)

    plant.__name__ = f"wrong_sign_in_{kernel}_{'' if place is None else place}"
    return plant


@pytest.mark.parametrize(
    "fault",
    [
        no_skip,
        no_positions,
        wrong_sign("attention_grad", 0),
        wrong_sign("attention_grad", 1),
        wrong_sign("attention_grad", 2),
        wrong_sign("layer_norm_grad", 0),
        wrong_sign("gelu", 1),
        wrong_sign("cross_entropy_grad"),
    ],
    ids=lambda fault: fault.__name__,
)
def test_what_does_not_learn_ends_above(monkeypatch, fault):
    fault(monkeypatch)
    assert validation_bits() > UPPER

"""Whole models, each with a config dataclass from which it can be built again."""

import dataclasses
import functools
import math

import numpy as np

import minigrad as mg
from minigrad import random
from minigrad.errors import ShapeError, received
from minigrad.initializers import normal

from .blocks import EncoderBlock
from .layers import Dense, Dropout, Embedding, LayerNormalization, PositionalEmbedding


@dataclasses.dataclass
class LanguageModelConfig:
    """What makes a `LanguageModel`; raises ValueError for numbers that cannot make one.

    >>> LanguageModelConfig(vocab_size=65, width=128, heads=4).feed_forward
    512
    """

    vocab_size: int
    block_size: int = 64
    layers: int = 4
    heads: int = 4
    width: int = 128
    feed_forward: int = 0  # 0: four times the width
    dropout: float = 0.0
    tied: bool = True  # the head uses the transposed embedding matrix
    use_bias: bool = True
    activation: str = "gelu_tanh"
    epsilon: float = 1e-5

    def __post_init__(self):
        self.feed_forward = self.feed_forward or 4 * self.width
        for name in ("vocab_size", "block_size", "layers", "heads", "width", "feed_forward"):
            number = getattr(self, name)
            if not isinstance(number, int) or number < 1:
                raise ValueError(f"LanguageModelConfig: {name} is a whole number from 1. Received: {number!r}.")
        if self.width % self.heads:
            raise ValueError(
                f"LanguageModelConfig: the width must be a multiple of the heads. Received: width {self.width}, heads {self.heads}."
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"LanguageModelConfig: dropout must be at least 0 and below 1. Received: {self.dropout}.")


class LanguageModel(mg.Layer):
    """Decoder-only transformer: from the tokens so far to the logits of the next one.   ids (B, T) -> (B, T, V)

    Embedding, positions, N causal pre-norm blocks, a last normalization, and a head onto the vocabulary, which is the
    embedding matrix itself if tied (Radford et al. 2019). Causality belongs to the model: it is no argument one can forget.
    Learnable: V E + L E + N (4 E^2 + 2 E F + 9 E + F) + 2 E, and V E more if untied. Non-learnable: 0.

    >>> model = LanguageModel(LanguageModelConfig(vocab_size=65, block_size=16, layers=2, width=8, heads=2))
    >>> model(np.array([[1, 2, 3]])).shape
    (1, 3, 65)
    """

    def __init__(self, config, seed=0):
        if not isinstance(config, LanguageModelConfig):
            raise TypeError(f"LanguageModel: takes a LanguageModelConfig. Received: {config!r:.60}.")
        self.config, self.generator = config, random.Generator(seed)
        # GPT-2's 0.02 at its width of 768; a narrow model needs larger numbers for its products to keep that size,
        # and what every block adds to the sum is smaller the more blocks there are
        std = 0.02 * math.sqrt(768 / config.width)
        start, residual = (functools.partial(normal, std=s) for s in (std, std / math.sqrt(2 * config.layers)))
        with random.using(self.generator):
            self.embedding = Embedding(config.vocab_size, config.width, start)
            self.positions = PositionalEmbedding(config.block_size, start)
            self.dropout = Dropout(config.dropout)
            self.blocks = [
                EncoderBlock(config.heads, config.width // config.heads, config.feed_forward, config.activation, "pre", config.dropout,
                             config.epsilon, config.use_bias, start, residual)
                for _ in range(config.layers)
            ]  # fmt: skip
            self.normalization = LayerNormalization(epsilon=config.epsilon)
            self.head = None if config.tied else Dense(config.vocab_size, use_bias=False, kernel_initializer=start)
            for layer in (self.positions, *self.blocks, self.normalization, *([] if config.tied else [self.head])):
                layer.ensure_built((None, None, config.width))

    def call(self, ids, training=False):
        ids = np.asarray(ids)
        if ids.ndim != 2 or ids.shape[1] > self.config.block_size:
            raise ShapeError(
                f"LanguageModel: ids need the axes (B, T) with T at most {self.config.block_size}, the block size. " + received(ids=ids)
            )
        x = self.positions(self.embedding(ids))  # (B, T) -> (B, T, E)
        x = self.dropout(x, training=training)
        for block in self.blocks:
            x = block(x, use_causal_mask=True, training=training)
        x = self.normalization(x)
        if self.head is not None:
            return self.head(x)  # (B, T, E) -> (B, T, V)
        return mg.linear(x, self.embedding.embeddings.mT)  # (B, T, E)(E, V) -> (B, T, V)

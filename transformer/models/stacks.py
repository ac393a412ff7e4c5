"""Blocks on top of each other: the encoder, the decoder, and the decoder that has nobody to ask, a language model.

Causality and padding belong to the models: masks are made of ids here, and no caller can forget them.
"""

import math

import numpy as np

import minigrad as mg
from minigrad import random
from minigrad.core import values
from minigrad.errors import ShapeError, received

from ..blocks import DecoderBlock, EncoderBlock
from ..layers import Dense, Dropout, Embedding, LayerNormalization, PositionalEmbedding, SinusoidalPositions
from ..layers.masks import padding_mask
from .config import DecoderConfig, EncoderConfig, LanguageModelConfig


class Stack(mg.Layer):
    """What the models share: ids to vectors that know their place, and a last normalization if that of the blocks comes first.

    The random numbers of the first weights and of dropout come from a ``generator`` of the model's own, begun with ``seed``.
    """

    config_class: type

    def __init__(self, config, seed=0):
        super().__init__()
        if not isinstance(config, self.config_class):
            raise TypeError(f"{type(self).__name__}: takes a {self.config_class.__name__}. Received: {config!r:.60}.")
        self.config, self.generator = config, random.Generator(seed)
        start, _ = config.initializers()
        with random.using(self.generator):
            self.embedding = Embedding(config.vocab_size, config.width, start)
            self.positions = None
            if "positions" not in config.ablate:
                learned = config.positions == "learned"
                self.positions = PositionalEmbedding(config.block_size, start) if learned else SinusoidalPositions()
            self.dropout = Dropout(config.dropout)
            self.blocks = [self.make_block() for _ in range(config.layers)]
            last = config.norm == "pre" and "norm" not in config.ablate
            self.normalization = LayerNormalization(epsilon=config.epsilon) if last else None
            self.head = self.make_head(start)
            for layer in (self.positions, *self.blocks, self.normalization, self.head):
                if layer is not None:
                    layer.ensure_built((None, None, config.width))

    def make_block(self):
        """One block of the stack."""
        raise NotImplementedError

    def make_head(self, start):
        """The dense layer behind the stack; None where the embedding matrix takes its place."""
        return None if self.config.tied else Dense(self.config.vocab_size, use_bias=False, kernel_initializer=start)

    def embed(self, ids, training):
        """What the words mean, and where they stand.   ids (B, T) -> (B, T, E)"""
        x = self.embedding(ids)  # (B, T) -> (B, T, E)
        if isinstance(self.positions, SinusoidalPositions):
            x = x * math.sqrt(self.config.width)  # so that waves of size 1 do not drown it (Vaswani et al. 2017, section 3.4)
        x = x if self.positions is None else self.positions(x)
        return self.dropout(x, training=training)

    def checked(self, ids):
        """``ids`` as an array (B, T) with T at most the longest text."""
        ids = np.asarray(values(ids))
        if ids.ndim != 2 or ids.shape[1] > self.config.block_size:
            raise ShapeError(
                f"{type(self).__name__}: ids need the axes (B, T) with T at most {self.config.block_size}, the block size. "
                + received(ids=ids)
            )
        return ids

    def padding(self, ids):
        """Which tokens are real, None where there is no padding, or nothing is to be hidden.   (B, T) -> (B, T)"""
        shown = self.config.pad_id is None or "mask" in self.config.ablate
        return None if shown else padding_mask(ids, self.config.pad_id)

    def climb(self, x, return_attention_scores=False, **options):
        """Through all blocks.   (B, T, E) -> (B, T, E), and what each block's last attention looked at, where that is asked for"""
        weights = []
        for block in self.blocks:
            x = block(x, return_attention_scores=return_attention_scores, **options)
            if return_attention_scores:
                x, *scores = x
                weights.append(scores[-1])
        return x, weights

    def logits(self, x):
        """The last normalization, and the head onto the vocabulary.   (B, T, E) -> (B, T, V)"""
        x = x if self.normalization is None else self.normalization(x)
        if self.head is not None:
            return self.head(x)  # (B, T, E) -> (B, T, V)
        return mg.linear(x, self.embedding.embeddings.mT)  # (B, T, E)(E, V) -> (B, T, V)

    def example(self):
        """Inputs that the model takes, for the parameter table."""
        return (np.full((1, self.config.block_size), min(1, self.config.vocab_size - 1)),)


class LanguageModel(Stack):
    """Decoder-only transformer: from the tokens so far to the logits of the next one.   ids (B, T) -> (B, T, V)

    Embedding, positions, N causal blocks, a last normalization, and a head onto the vocabulary, which is the embedding matrix
    itself if tied (Radford et al. 2019). Causality belongs to the model: it is no argument one can forget.
    Learnable: V E + L E + N (4 E^2 + 2 E F + 9 E + F) + 2 E, and V E more if untied. Non-learnable: 0.
    ``return_attention_scores`` gives the weights of every block too, a list of (B, h, T, T).

    >>> model = LanguageModel(LanguageModelConfig(vocab_size=65, block_size=16, layers=2, width=8, heads=2))
    >>> model(np.array([[1, 2, 3]])).shape
    (1, 3, 65)
    """

    config_class = LanguageModelConfig

    def make_block(self):
        """Self-attention and feed-forward."""
        return EncoderBlock(**self.config.block())

    def call(self, ids, return_attention_scores=False, training=False):
        x = self.embed(self.checked(ids), training)
        causal = "mask" not in self.config.ablate
        x, weights = self.climb(x, return_attention_scores, use_causal_mask=causal, training=training)
        return (self.logits(x), weights) if return_attention_scores else self.logits(x)


class Encoder(Stack):
    """Encoder-only transformer: every token sees every other.   ids (B, T) -> (B, T, E), (B, E) or (B, C)

    Embedding, positions, N blocks, a last normalization if the blocks' comes first. With a ``pooling`` one vector per text, the mean
    of its real tokens or its first token; with ``classes`` a dense layer from that to C logits. Tokens with the id ``pad_id`` are padding:
    nobody attends to them, and the mean leaves them out.
    Learnable: V E + L E + N (4 E^2 + 2 E F + 9 E + F) + 2 E, and E C + C with classes. Non-learnable: 0.
    ``return_attention_scores`` gives the weights of every block too, a list of (B, h, T, T).

    >>> model = Encoder(EncoderConfig(vocab_size=65, block_size=16, layers=2, width=8, heads=2, classes=3))
    >>> model(np.array([[5, 7, 0], [6, 7, 8]])).shape
    (2, 3)
    """

    config_class = EncoderConfig

    def make_block(self):
        """Self-attention and feed-forward."""
        return EncoderBlock(**self.config.block())

    def make_head(self, start):
        """From one vector per text to the logits of the classes."""
        return Dense(self.config.classes, kernel_initializer=start) if self.config.classes else None

    def call(self, ids, return_attention_scores=False, training=False):
        ids = self.checked(ids)
        mask = self.padding(ids)
        x, weights = self.climb(self.embed(ids, training), return_attention_scores, mask=mask, training=training)
        x = x if self.normalization is None else self.normalization(x)
        x = self._pooled(x, mask)
        x = x if self.head is None else self.head(x)  # (B, E) -> (B, C)
        return (x, weights) if return_attention_scores else x

    def _pooled(self, x, mask):
        """One vector per text.   (B, T, E), (B, T) -> (B, E)"""
        if self.config.pooling is None:
            return x
        if self.config.pooling == "first":
            x = x[:, 0]  # (B, T, E) -> (B, E)
        elif mask is None:
            x = mg.mean(x, 1)  # (B, T, E) -> (B, E)
        else:
            shares = mask / np.maximum(mask.sum(axis=1, keepdims=True), 1)  # (B, T): 1 over the number of real tokens, or 0
            x = mg.sum(x * shares[..., None].astype(x.dtype), 1)  # (B, T, E) -> (B, E)
        return mg.normalize(x, axis=-1) if self.config.normalize else x


class Decoder(Stack):
    """The decoder beside an encoder: from the tokens so far and what the encoder made to the logits of the next token.

    ids (B, T), memory (B, S, E) -> (B, T, V). In every block the first attention is causal; the second takes its query from the
    decoder, key and value from the ``memory``, of which ``memory_mask`` (B, S) says what is no padding.
    Learnable: V E + L E + N (8 E^2 + 2 E F + 15 E + F) + 2 E, and V E more if untied. Non-learnable: 0.
    ``return_attention_scores`` gives the weights that every block gives the memory too, a list of (B, h, T, S).

    >>> model = Decoder(DecoderConfig(vocab_size=65, block_size=16, layers=2, width=8, heads=2))
    >>> model(np.array([[1, 2, 3]]), memory=np.zeros((1, 5, 8), np.float32)).shape
    (1, 3, 65)
    """

    config_class = DecoderConfig

    def make_block(self):
        """Causal self-attention, attention to the memory, and feed-forward."""
        return DecoderBlock(**self.config.block(), causal="mask" not in self.config.ablate)

    def call(self, ids, memory, memory_mask=None, return_attention_scores=False, training=False):
        ids = self.checked(ids)
        options = {"memory": memory, "mask": self.padding(ids), "memory_mask": memory_mask, "training": training}
        x, weights = self.climb(self.embed(ids, training), return_attention_scores, **options)
        return (self.logits(x), weights) if return_attention_scores else self.logits(x)

    def example(self):
        """Inputs that the model takes, for the parameter table."""
        (ids,) = super().example()
        return ids, np.zeros((1, self.config.block_size, self.config.width), self.embedding.embeddings.dtype)

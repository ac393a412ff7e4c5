"""Blocks on top of each other: the encoder, the decoder, and the decoder that has nobody to ask, a language model.

Causality and padding belong to the models: masks are made of ids here, and no caller can forget them.
"""

import math

import numpy as np

import minigrad as mg
from minigrad import random
from minigrad.core import values
from minigrad.errors import ShapeError, received

from ..blocks import NORMALIZATIONS, DecoderBlock, EncoderBlock
from ..cache import Cache
from ..layers import (
    Dense,
    Dropout,
    Embedding,
    PositionalEmbedding,
    RelativePositions,
    RotaryPositions,
    SinusoidalPositions,
)
from ..layers.embedding import distances
from ..layers.masks import padding_mask
from .config import DecoderConfig, EncoderConfig, LanguageModelConfig

FULL = 15 / 16  # of a batch are real tokens: below that it pays to leave padding out
TOGETHER = 1024  # tokens of several texts go through the blocks side by side


class Stack(mg.Layer):
    """What the models share: ids to vectors that know their place, and a last normalization if that of the blocks comes first.

    Places are vectors that are added to the embedding (``positions``), angles inside of the blocks' attention, or numbers that are added
    to the scores (``relative``), as ``config.positions`` says.

    The random numbers of the first weights and of dropout come from a ``generator`` of the model's own, begun with ``seed``.
    """

    config_class: type
    ahead = False  # whether a token looks at those after it

    def __init__(self, config, seed=0):
        super().__init__()
        if not isinstance(config, self.config_class):
            raise TypeError(f"{type(self).__name__}: takes a {self.config_class.__name__}. Received: {config!r:.60}.")
        self.config, self.generator = config, random.Generator(seed)
        start, _ = config.initializers()
        with random.using(self.generator):
            self.embedding = Embedding(config.vocab_size, config.width, start)
            places = None if "positions" in config.ablate else config.positions
            self.positions, self.relative = self._make_positions(places, start), None
            if places == "relative":
                self.relative = RelativePositions(config.heads, config.relative_buckets, config.relative_distance, self.ahead, start)
            self.embedding_normalization = self._make_normalization() if config.embedding_norm else None
            self.dropout = Dropout(config.dropout)
            self.blocks = []
            for _ in range(config.layers):
                rotary = RotaryPositions(config.rotary_base, config.rotary_stretch) if places == "rotary" else None
                self.blocks.append(self.make_block(**config.block(), rotary=rotary))
            self.normalization = self._make_normalization() if config.norm == "pre" else None
            self.head = self.make_head(start)
            for layer in (self.positions, self.embedding_normalization, *self.blocks, self.normalization, self.head):
                if layer is not None:
                    layer.ensure_built((None, None, config.width))

    def _make_positions(self, places, start):
        """The layer that adds to the embedding; None where places are told otherwise, or not at all."""
        if places == "learned":
            return PositionalEmbedding(self.config.block_size, start)
        waves = places in ("sinusoidal", "sinusoidal_halves")
        return SinusoidalPositions(halves=places == "sinusoidal_halves") if waves else None

    def _make_normalization(self):
        if "norm" in self.config.ablate:
            return None
        return NORMALIZATIONS[self.config.normalization](epsilon=self.config.epsilon)

    def make_block(self, **options):
        """One block of the stack."""
        raise NotImplementedError

    def make_head(self, start):
        """The dense layer behind the stack; None where the embedding matrix takes its place."""
        V, tied, biased = self.config.vocab_size, self.config.tied, self.config.head_bias
        self.head_bias = self.add_weight((V,), "zeros") if tied and biased else None
        return None if tied else Dense(V, use_bias=biased, kernel_initializer=start)

    def embed(self, ids, training, cache=None, segments=None):
        """What the words mean, and where they stand.   ids (B, T) -> (B, T, E)"""
        x = self.embedding(ids)  # (B, T) -> (B, T, E)
        x = x if self.embedding_scale == 1 else x * self.embedding_scale
        if self.positions is not None:
            x = self.positions(x) if cache is None else self.positions(x, cache)
        x = x if segments is None else x + segments  # (B, T, E) + (B, T, E)
        x = x if self.embedding_normalization is None else self.embedding_normalization(x)
        return self.dropout(x, training=training)

    @property
    def embedding_scale(self):
        """What embeddings are multiplied by: waves of size 1 must not drown them (Vaswani et al. 2017, section 3.4)."""
        if self.config.embedding_scale is not None:
            return self.config.embedding_scale
        return math.sqrt(self.config.width) if isinstance(self.positions, SinusoidalPositions) else 1

    def checked(self, ids, cache=None):
        """``ids`` as an array (B, T) that ends, with what the cache holds before it, within the longest text."""
        ids, before = np.asarray(values(ids)), 0 if cache is None else cache.length
        if ids.ndim != 2 or before + ids.shape[1] > self.config.block_size:
            after = f" together with the {before} before them" if before else ""
            raise ShapeError(
                f"{type(self).__name__}: ids need the axes (B, T) with T at most {self.config.block_size}, the block size{after}. "
                + received(ids=ids)
            )
        if cache is not None:
            cache.check(type(self).__name__, *ids.shape)
        return ids

    def new_cache(self, batch, length, padding=None):
        """An empty `transformer.cache.Cache` for ``length`` tokens of ``batch`` texts, of which ``padding`` (B,) at their left are none."""
        if "mask" in self.config.ablate or self.ahead:
            raise ValueError(f"{type(self).__name__}: what sees later words has to be computed anew for each of them, without a cache.")
        return Cache(self.config.layers, batch, length, padding, memory=isinstance(self, Decoder))

    def padding(self, ids):
        """Which tokens are real, None where all are, or where nothing is to be hidden.   (B, T) -> (B, T)"""
        if self.config.pad_id is None or "mask" in self.config.ablate:
            return None
        mask = padding_mask(ids, self.config.pad_id)
        return None if mask.all() else mask  # without a mask attention takes a faster way

    def climb(self, x, return_attention_scores=False, cache=None, passed=None, **options):
        """Through all blocks.   (B, T, E) -> (B, T, E), and what each block's last attention looked at, where that is asked for

        A list ``passed`` gets what went into the first block and what came out of each.
        """
        weights, known = [], [None] * len(self.blocks) if cache is None else cache.blocks
        bias = None if self.relative is None else self._bias(x.shape[1], 0 if cache is None else cache.length)
        for block, part in zip(self.blocks, known):
            if passed is not None:
                passed.append(x)
            x = block(x, return_attention_scores=return_attention_scores, bias=bias, cache=part, **options)
            if return_attention_scores:
                x, *scores = x
                weights.append(scores[-1])
        if passed is not None:
            passed.append(x)
        if cache is not None:
            cache.length += x.shape[1]
        return x, weights

    def _bias(self, T, before):
        """What relative positions add to the scores of T questions.   -> (1, h, T, S)"""
        bias = self.relative(distances(T, before))  # (T, S) -> (T, S, h)
        return mg.expand_dims(mg.permute(bias, (2, 0, 1)), 0)  # (T, S, h) -> (h, T, S) -> (1, h, T, S)

    def logits(self, x):
        """The last normalization, and the head onto the vocabulary.   (B, T, E) -> (B, T, V)"""
        x = x if self.normalization is None else self.normalization(x)
        x = x if self.config.head_scale == 1 else x * self.config.head_scale
        if self.head is not None:
            return self.head(x)  # (B, T, E) -> (B, T, V)
        return mg.linear(x, self.embedding.embeddings.mT, self.head_bias)  # (B, T, E)(E, V) + (V) -> (B, T, V)

    def example(self):
        """Inputs that the model takes, for the parameter table."""
        T = min(self.config.block_size, 64)  # the shapes of a table need no long text
        return (np.full((1, T), min(1, self.config.vocab_size - 1)),)


class LanguageModel(Stack):
    """Decoder-only transformer: from the tokens so far to the logits of the next one.   ids (B, T) -> (B, T, V)

    Embedding, positions, N causal blocks, a last normalization, and a head onto the vocabulary, which is the embedding matrix
    itself if tied (Radford et al. 2019). Causality belongs to the model: it is no argument one can forget.
    Learnable: V E + L E + N (4 E^2 + 2 E F + 9 E + F) + 2 E, and V E more if untied. Non-learnable: 0.
    ``return_attention_scores`` gives the weights of every block too, a list of (B, h, T, T). With a ``cache``, which `new_cache` makes,
    ids come after what was read before. With ``last`` there are the logits behind the last token alone, (B, 1, V).

    >>> model = LanguageModel(LanguageModelConfig(vocab_size=65, block_size=16, layers=2, width=8, heads=2))
    >>> model(np.array([[1, 2, 3]])).shape
    (1, 3, 65)
    """

    config_class = LanguageModelConfig

    def make_block(self, **options):
        """Self-attention and feed-forward."""
        return EncoderBlock(**options)

    def call(self, ids, return_attention_scores=False, training=False, cache=None, last=False):
        x = self.embed(self.checked(ids, cache), training, cache)
        causal = "mask" not in self.config.ablate
        x, weights = self.climb(x, return_attention_scores, cache, use_causal_mask=causal, training=training)
        x = x[:, -1:] if last else x
        return (self.logits(x), weights) if return_attention_scores else self.logits(x)

    def hidden(self, ids):
        """The vectors of tokens behind the embedding and behind each of the N blocks.   ids (B, T) -> N + 1 tensors (B, T, E)"""
        passed = []
        self.climb(self.embed(self.checked(ids), training=False), passed=passed, use_causal_mask="mask" not in self.config.ablate)
        return passed


class Encoder(Stack):
    """Encoder-only transformer: every token sees every other.   ids (B, T) -> (B, T, E), (B, E) or (B, C)

    Embedding, positions, N blocks, a last normalization if the blocks' comes first. With a ``pooling`` one vector per text, the mean
    of its real tokens or its first token; with ``classes`` a dense layer from that to C logits. Tokens with the id ``pad_id`` are padding:
    nobody attends to them, and the mean leaves them out.
    ``segments`` (B, T), for a model that tells kinds of text apart, says of each token which it belongs to, by default the first.
    Learnable: V E + L E + N (4 E^2 + 2 E F + 9 E + F) + 2 E, and E C + C with classes, E for each of the segments. Non-learnable: 0.
    ``return_attention_scores`` gives the weights of every block too, a list of (B, h, T, T).

    >>> model = Encoder(EncoderConfig(vocab_size=65, block_size=16, layers=2, width=8, heads=2, classes=3))
    >>> model(np.array([[5, 7, 0], [6, 7, 8]])).shape
    (2, 3)
    """

    config_class = EncoderConfig
    ahead = True

    def make_block(self, **options):
        """Self-attention and feed-forward."""
        return EncoderBlock(**options)

    def make_head(self, start):
        """From one vector per text to the logits of the classes."""
        kinds = self.config.segments
        self.segments = Embedding(kinds, self.config.width, start) if kinds else None
        return Dense(self.config.classes, kernel_initializer=start) if self.config.classes else None

    def call(self, ids, segments=None, return_attention_scores=False, training=False):
        ids = self.checked(ids)
        mask = self.padding(ids)
        x = self.embed(ids, training, segments=self._kinds(ids, segments))
        if mask is None or training or return_attention_scores or not self._may_pack(mask):
            x, weights = self.climb(x, return_attention_scores, mask=mask, training=training)
        else:
            x = self._climb_packed(x, mask)
        x = self.concluded(x, mask)
        return (x, weights) if return_attention_scores else x

    def concluded(self, x, mask):
        """What comes of the last block's result.   (B, T, E), (B, T) or None -> (B, T, E), (B, E) or (B, C)"""
        x = x if self.normalization is None else self.normalization(x)
        x = self._pooled(x, mask)
        return x if self.head is None else self.head(x)  # (B, E) -> (B, C)

    def hidden(self, ids, segments=None):
        """The vectors of tokens behind the embedding and behind each of the N blocks.   ids (B, T) -> N + 1 tensors (B, T, E)"""
        ids, passed = self.checked(ids), []
        self.climb(self.embed(ids, training=False, segments=self._kinds(ids, segments)), passed=passed, mask=self.padding(ids))
        return passed

    def _may_pack(self, mask):
        """Whether to leave padding out pays, and is possible: where blocks do not look at places."""
        places_known = self.positions is not None or "positions" in self.config.ablate
        wanted = self.config.pooling != "first" or mask[:, 0].all()  # what padding becomes is nobody's matter, but for a first token
        return len(mask) > 1 and mask.mean() < FULL and places_known and wanted

    def _climb_packed(self, x, mask):
        """`climb`, with the real tokens of several texts side by side as if they were one; padding becomes 0.   (B, T, E) -> (B, T, E)"""
        ends, done, first = np.cumsum(mask.sum(axis=1)), [], 0
        while first < len(mask):
            begin = ends[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(ends, begin + TOGETHER, side="right")))
            real = mask[first:last]  # (b, T)
            text = np.nonzero(real)[0]  # (n,): of which text each token is
            y = mg.expand_dims(x[first:last][real], 0)  # (b, T, E) -> (n, E) -> (1, n, E)
            y, _ = self.climb(y, attention_mask=text[:, None] == text)  # (n, n): tokens see those of their text
            done.append(mg.zeros((*real.shape, x.shape[-1]), dtype=x.dtype).at[real].set(y[0]))  # (1, n, E) -> (b, T, E)
            first = last
        return mg.concatenate(done)

    def _kinds(self, ids, segments):
        """The vectors of the kinds of text that tokens belong to, of the first where none are given.   (B, T) -> (B, T, E), or None"""
        if self.segments is None:
            if segments is not None:
                raise ValueError("Encoder: this model was made for one kind of text; EncoderConfig(segments=...) is for several.")
            return None
        kinds = np.zeros_like(ids) if segments is None else np.asarray(values(segments))
        if kinds.shape != ids.shape:
            raise ShapeError("Encoder: segments (B, T) say to which kind of text a token belongs. " + received(ids=ids, segments=segments))
        return self.segments(kinds)

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
    ``return_attention_scores`` gives the weights that every block gives the memory too, a list of (B, h, T, S). With a ``cache``, which
    `new_cache` makes, ids come after what was read before, and the memory is the same in each call. With ``last`` there are the logits
    behind the last token alone, (B, 1, V).

    >>> model = Decoder(DecoderConfig(vocab_size=65, block_size=16, layers=2, width=8, heads=2))
    >>> model(np.array([[1, 2, 3]]), memory=np.zeros((1, 5, 8), np.float32)).shape
    (1, 3, 65)
    """

    config_class = DecoderConfig

    def make_block(self, **options):
        """Causal self-attention, attention to the memory, and feed-forward."""
        return DecoderBlock(**options, causal="mask" not in self.config.ablate)

    def call(self, ids, memory, memory_mask=None, return_attention_scores=False, training=False, cache=None, last=False):
        x = self.embed(self.checked(ids, cache), training, cache)
        # Padding needs no mask here: it stands behind the text, where causality hides it.
        x, weights = self.climb(x, return_attention_scores, cache, memory=memory, memory_mask=memory_mask, training=training)
        x = x[:, -1:] if last else x
        return (self.logits(x), weights) if return_attention_scores else self.logits(x)

    def example(self):
        """Inputs that the model takes, for the parameter table."""
        (ids,) = super().example()
        return ids, np.zeros((1, ids.shape[1], self.config.width), self.embedding.embeddings.dtype)

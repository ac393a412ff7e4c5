"""The recurrent baseline that the title of the notes asks for: an encoder-decoder of LSTMs or GRUs, with attention and without."""

import numpy as np

import minigrad as mg
from minigrad import random
from minigrad.core import values
from minigrad.errors import ShapeError, received

from ..layers import GRU, LSTM, Attention, Dense, Dropout, Embedding
from ..layers.masks import padding_mask
from .config import RecurrentEncoderDecoderConfig


class RecurrentEncoderDecoder(mg.Layer):
    """Reads the source step by step into a state, and writes the target from that (Sutskever et al. 2014).

    source ids (B, S), target ids (B, T) -> logits (B, T, V), called as `EncoderDecoder` is. Without attention all that the decoder knows
    of the source is the encoder's last state. With it, every state of the decoder asks those of the encoder, and answers with
    tanh([what it took, its state] W + b) (Luong et al. 2015).
    Learnable, with LSTMs: V_source E + V_target E + 16 E^2 + 8 E + E V_target + V_target, and 2 E^2 + E more with attention.
    Non-learnable: 0. ``return_attention_scores`` gives what it looks at in the source too, a list of one (B, 1, T, S).

    >>> model = RecurrentEncoderDecoder(RecurrentEncoderDecoderConfig(40, 15, width=8))
    >>> model(np.array([[5, 7, 0]]), np.array([[1, 4]])).shape
    (1, 2, 15)
    """

    def __init__(self, config, seed=0):
        super().__init__()
        if not isinstance(config, RecurrentEncoderDecoderConfig):
            raise TypeError(f"RecurrentEncoderDecoder: takes a RecurrentEncoderDecoderConfig. Received: {config!r:.60}.")
        self.config, self.generator = config, random.Generator(seed)
        cell, E = {"lstm": LSTM, "gru": GRU}[config.cell], config.width
        with random.using(self.generator):
            self.source_embedding, self.target_embedding = Embedding(config.source_vocab, E), Embedding(config.target_vocab, E)
            self.encoder, self.decoder = (cell(E, return_sequences=True, return_state=True) for _ in range(2))
            self.attention = Attention() if config.attention else None
            self.answer = Dense(E, "tanh") if config.attention else None
            self.dropout = Dropout(config.dropout)
            self.head = Dense(config.target_vocab)
            for layer, width in ((self.encoder, E), (self.decoder, E), (self.attention, E), (self.answer, 2 * E), (self.head, E)):
                if layer is not None:
                    layer.ensure_built((None, None, width))

    def call(self, source, target, return_attention_scores=False, training=False):
        return self.decode(target, self.encode(source, training), return_attention_scores, training)

    def encode(self, source, training=False):
        """Every state of the encoder, which of them are real, and the last one.   (B, S) -> (B, S, E), (B, S), (B, E) x 1 or 2"""
        source = self._checked(source)
        mask = None if self.config.pad_id is None else padding_mask(source, self.config.pad_id)
        x = self.dropout(self.source_embedding(source), training=training)  # (B, S) -> (B, S, E)
        states, *last = self.encoder(x, mask=mask, training=training)
        return states, mask, last

    def decode(self, target, memory, return_attention_scores=False, training=False):
        """The logits behind every token of the target so far.   (B, T), what `encode` gave -> (B, T, V)"""
        states, mask, last = memory
        target = self._checked(target, len(states))
        x = self.dropout(self.target_embedding(target), training=training)  # (B, T) -> (B, T, E)
        y, *_ = self.decoder(x, initial_state=last, training=training)  # (B, T, E)
        weights = []
        if self.attention is not None:
            masks = None if mask is None else [None, mask]
            taken, scores = self.attention(query=y, value=states, mask=masks, return_attention_scores=True)
            weights.append(mg.expand_dims(scores, 1))  # (B, T, S) -> (B, 1, T, S)
            y = self.answer(mg.concatenate([taken, y], -1))  # (B, T, E), (B, T, E) -> (B, T, 2E) -> (B, T, E)
        logits = self.head(self.dropout(y, training=training))  # (B, T, E) -> (B, T, V)
        return (logits, weights) if return_attention_scores else logits

    def _checked(self, ids, batch=None):
        """``ids`` as an array (B, T)."""
        ids = np.asarray(values(ids))
        if ids.ndim != 2:
            raise ShapeError("RecurrentEncoderDecoder: ids need the axes (B, T). " + received(ids=ids))
        if batch not in (None, len(ids)):
            raise ShapeError(f"RecurrentEncoderDecoder: source and target must agree in the batch B = {batch}. " + received(target=ids))
        return ids

    @property
    def longest(self):
        """How many tokens it can write."""
        return self.config.target_length

    def example(self):
        """Inputs that the model takes, for the parameter table."""
        return np.ones((1, 3), np.int64), np.ones((1, self.config.target_length), np.int64)

"""From one sequence to another: the encoder reads, the decoder writes and looks back at what was read."""

import minigrad as mg
from minigrad.errors import ShapeError, received

from .config import EncoderDecoderConfig
from .stacks import Decoder, Encoder


class EncoderDecoder(mg.Layer):
    """The transformer of the paper: reads the source whole, writes the target token by token (Vaswani et al. 2017).

    source ids (B, S), target ids (B, T) -> logits (B, T, V). The target is what is known so far, in training the right one, moved one
    place on (teacher forcing): its first token is a start sign, and the logits at t are those of the token after t.
    Padding is the id ``pad_id`` in both; nobody looks at it, and the loss leaves it out where it is told to:
    ``minigrad.cross_entropy(logits, target, ignore_index=pad_id)``. `encode` and `decode` are the two halves, so that one reads once
    and writes many times.
    Learnable: those of `Encoder` and `Decoder`. Non-learnable: 0.
    ``return_attention_scores`` gives what every block of the decoder looks at in the source too, a list of (B, h, T, S).

    >>> import numpy as np
    >>> model = EncoderDecoder(EncoderDecoderConfig(40, 15, layers=1, width=8, heads=2))
    >>> model(np.array([[5, 7, 0]]), np.array([[1, 4]])).shape
    (1, 2, 15)
    """

    def __init__(self, config, seed=0):
        super().__init__()
        if not isinstance(config, EncoderDecoderConfig):
            raise TypeError(f"EncoderDecoder: takes an EncoderDecoderConfig. Received: {config!r:.60}.")
        self.config = config
        self.encoder, self.decoder = Encoder(config.encoder, seed), Decoder(config.decoder, seed + 1)
        if config.shared_embedding:
            self.decoder.embedding = self.encoder.embedding

    def call(self, source, target, return_attention_scores=False, training=False):
        return self.decode(target, self.encode(source, training), return_attention_scores, training)

    def encode(self, source, training=False):
        """What the encoder makes of the source, and which of it is real.   (B, S) -> (B, S, E), (B, S)"""
        source = self.encoder.checked(source)
        return self.encoder(source, training=training), self.encoder.padding(source)

    def decode(self, target, memory, return_attention_scores=False, training=False, cache=None, last=False):
        """The logits behind every token of the target so far.   (B, T), what `encode` gave -> (B, T, V)

        With a ``cache``, which `new_cache` makes, the target goes on from what was read before, and the memory is the same in each call.
        With ``last`` there are the logits behind the last token alone, (B, 1, V).
        """
        encoded, mask = memory
        target = self.decoder.checked(target, cache)
        if len(target) != len(encoded):
            raise ShapeError("EncoderDecoder: source and target must agree in the batch B. " + received(source=encoded, target=target))
        return self.decoder(
            target, memory=encoded, memory_mask=mask, return_attention_scores=return_attention_scores, training=training, cache=cache,
            last=last,
        )  # fmt: skip

    def new_cache(self, batch, length, padding=None):
        """An empty `transformer.cache.Cache` for ``length`` tokens of ``batch`` targets."""
        return self.decoder.new_cache(batch, length, padding)

    @property
    def longest(self):
        """How many tokens it can write."""
        return self.config.target_length

    def example(self):
        """Inputs that the model takes, for the parameter table."""
        return self.encoder.example() + self.decoder.example()[:1]

"""The lines to pass: what models that count, and a compressor, need for the same text, in bits per character."""

from __future__ import annotations

import lzma

import numpy as np

from transformer.data import Corpus
from transformer.tokenizers import CharTokenizer

ORDERS = 6


def baselines(corpus: Corpus) -> dict[str, float]:
    """Bits per character of a corpus' validation text, by the name of what predicts it.

    `1-gram` to `6-gram` are fitted on the training text; `lzma` compresses the validation text alone, both texts
    together (per character of both), and the validation text after the training text.
    """
    tokenizer = CharTokenizer(corpus.alphabet)
    bits = ngram_bits(tokenizer.encode(corpus.training), tokenizer.encode(corpus.validation), tokenizer.vocab_size)
    return {f"{order}-gram": value for order, value in enumerate(bits, start=1)} | lzma_bits(corpus)


def ngram_bits(training: np.ndarray, validation: np.ndarray, vocab_size: int, orders: int = ORDERS) -> list[float]:
    """Bits per character on `validation` (S,) of interpolated 1- to n-gram models fitted on `training` (T,).

    A model looks at the n - 1 characters before, the context h, and mixes what followed h in the training text with
    the model that looks at one character less, h':

        P(c | h) = (N(h c) + D(h) P(c | h')) / (N(h) + D(h))

    where N counts, D(h) is the number of different characters seen after h, and below the 1-gram every character
    has probability 1 / V. The more different things followed a context, the less it is trusted.
    Source: Witten and Bell, "The zero-frequency problem" (1991), method C.

    >>> ngram_bits(np.array([0, 1, 0, 1, 0]), np.array([0, 1]), vocab_size=2, orders=2)
    [1.01..., 0.55...]
    """
    ids = np.concatenate([training, validation])
    learned = np.arange(len(ids)) < len(training)
    first = len(training)
    contexts = np.zeros(len(ids), dtype=np.int64)  # a number for the characters before each place, (T + S,)
    probability = np.full(len(validation), 1 / vocab_size)  # (S,)
    bits = []
    for order in range(1, orders + 1):
        _, grams = np.unique(contexts * vocab_size + ids, return_inverse=True)  # a number for context and character
        inside = learned & (np.arange(len(ids)) >= order - 1)  # places with the whole context before them
        gram_counts = np.bincount(grams[inside], minlength=grams.max() + 1)
        context_counts = np.bincount(contexts[inside], minlength=contexts.max() + 1)
        seen, places = np.unique(grams[inside], return_index=True)
        followers = np.bincount(contexts[inside][places], minlength=len(context_counts))
        known = order - 1  # validation characters with the whole context inside the validation text begin here
        c, h = grams[first + known :], contexts[first + known :]
        total = context_counts[h] + followers[h]
        mixed = (gram_counts[c] + followers[h] * probability[known:]) / np.maximum(total, 1)
        probability[known:] = np.where(total > 0, mixed, probability[known:])
        bits.append(abs(float(np.log2(probability).mean())))  # never -0.0
        contexts[1:] = grams[:-1]  # the context of the next order ends one character later
    return bits


def lzma_bits(corpus: Corpus) -> dict[str, float]:
    """Bits per character that `lzma` at its strongest needs, three ways."""
    alone, before, both = (
        8 * len(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
        for text in (corpus.validation, corpus.training, corpus.training + corpus.validation)
    )
    return {
        "lzma, validation alone": alone / len(corpus.validation),
        "lzma, whole corpus": both / corpus.characters,
        "lzma, after training text": (both - before) / len(corpus.validation),
    }

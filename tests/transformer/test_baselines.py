"""The lines to pass: against a slow count of the same formula, and against what must hold for any model."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from transformer.baselines import baselines, lzma_bits, ngram_bits
from transformer.data import Corpus


def slow_ngram_bits(training, validation, vocab_size, orders):
    """The formula of `ngram_bits`, a character at a time."""
    counts, followers = Counter(), defaultdict(set)
    for place, c in enumerate(training):
        for length in range(min(place, orders - 1) + 1):
            h = tuple(training[place - length : place])
            counts[h, c] += 1
            followers[h].add(c)
    totals = Counter()
    for (h, _), n in counts.items():
        totals[h] += n
    bits = np.zeros(orders)
    for place, c in enumerate(validation):
        p = 1 / vocab_size
        for length in range(orders):
            if length <= place:
                h = tuple(validation[place - length : place])
                if totals[h]:
                    p = (counts[h, c] + len(followers[h]) * p) / (totals[h] + len(followers[h]))
            bits[length] -= math.log2(p)
    return (bits / len(validation)).tolist()


@pytest.mark.parametrize("vocab_size", [2, 5, 300])
def test_ngrams_equal_a_slow_count(vocab_size):
    rng = np.random.default_rng(vocab_size)
    training = np.minimum(rng.geometric(0.4, 403) - 1, vocab_size - 1)
    validation = np.minimum(rng.geometric(0.3, 97) - 1, vocab_size - 1)
    expected = slow_ngram_bits(training.tolist(), validation.tolist(), vocab_size, 6)
    np.testing.assert_allclose(ngram_bits(training, validation, vocab_size), expected, rtol=1e-12)


def test_probabilities_of_an_ngram_model_add_up_to_one():
    """One validation text per possible last character: the last characters' probabilities must sum to 1."""
    training = np.array([0, 1, 2, 0, 1, 1, 0, 2, 0, 1, 2, 2])
    for context in ([0, 1], [2, 1], [1, 0, 1, 2]):
        total = np.zeros(4)
        for c in range(4):  # 3 never occurs in the training text
            with_c = np.array(ngram_bits(training, np.array([*context, c]), 4, orders=4)) * (len(context) + 1)
            without = np.array(ngram_bits(training, np.array(context), 4, orders=4)) * len(context)
            total += 2.0 ** -(with_c - without)
        np.testing.assert_allclose(total, 1.0, rtol=1e-12)


def test_a_longer_context_helps_where_the_text_depends_on_it():
    training = np.tile([0, 0, 1, 1], 200)  # what follows depends on the last two
    bits = ngram_bits(training, np.tile([0, 0, 1, 1], 20), 2, orders=3)
    assert bits[0] == pytest.approx(1.0, abs=0.01)
    assert bits[1] == pytest.approx(1.0, abs=0.02)
    assert bits[2] < 0.1


def test_noise_cannot_be_predicted():
    rng = np.random.default_rng(0)
    bits = ngram_bits(rng.integers(8, size=20_000), rng.integers(8, size=5_000), 8)
    assert all(value > 2.995 for value in bits)


def test_lzma_three_ways():
    rng = np.random.default_rng(1)
    noise = "".join(chr(97 + n) for n in rng.integers(16, size=6_000))  # four bits a character, and no less
    alone, both, after = lzma_bits(Corpus("noise", 1, noise, noise[:2000])).values()
    assert alone > 4.0
    assert both == pytest.approx(3.0, rel=0.1)  # a quarter of the characters are a copy
    assert after < 0.3


def test_all_lines_have_their_names():
    text = "the cat sat on the mat. " * 40
    lines = baselines(Corpus("cat", 1, text, text[:100]))
    assert list(lines) == [
        *(f"{order}-gram" for order in range(1, 7)),
        "lzma, validation alone",
        "lzma, whole corpus",
        "lzma, after training text",
    ]
    assert all(math.isfinite(bits) and bits >= 0 for bits in lines.values())

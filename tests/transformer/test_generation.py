"""Text that is drawn one token at a time, and what an encoder-decoder answers."""

import types

import numpy as np
import pytest

import minigrad
from transformer import LanguageModel, LanguageModelConfig, Vocabulary
from transformer.errors import UserError
from transformer.generation import answer, greedy, sample, temperature_probabilities


def counting_model(block_size=4, vocab_size=6):
    """Says with certainty that the next token is one more than the last; remembers what it was shown."""
    seen = []

    def call(ids):
        seen.append(ids.copy())
        return minigrad.tensor(60.0 * np.eye(vocab_size, dtype=np.float32)[(ids + 1) % vocab_size])  # (1, T, V)

    call.config, call.seen = types.SimpleNamespace(block_size=block_size), seen
    return call


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_tokens_follow_the_model_and_the_window_slides(temperature):
    model = counting_model()
    drawn = list(sample(model, np.array([1, 2]), 7, temperature, np.random.default_rng(0)))
    assert drawn == [3, 4, 5, 0, 1, 2, 3]
    assert [ids.shape for ids in model.seen] == [(1, 2), (1, 3), *[(1, 4)] * 5]
    assert model.seen[-1].tolist() == [[5, 0, 1, 2]]


def test_a_long_prompt_is_cut_to_the_last_block():
    model = counting_model()
    next(sample(model, np.arange(6), 1, 0.0, np.random.default_rng(0)))
    assert model.seen[0].tolist() == [[2, 3, 4, 5]]


def test_each_token_comes_as_soon_as_it_is_drawn():
    model = counting_model()
    tokens = sample(model, np.array([0]), 1000, 1.0, np.random.default_rng(0))
    assert next(tokens) == 1 and len(model.seen) == 1


def test_nothing_to_go_on_from_raises():
    with pytest.raises(ValueError, match="at least one token"):
        next(sample(counting_model(), np.array([], dtype=np.int64), 1, 1.0, np.random.default_rng(0)))


def test_a_seed_decides_and_frequencies_follow_the_probabilities():
    model = LanguageModel(LanguageModelConfig(vocab_size=5, block_size=3, layers=1, heads=2, width=8), seed=3)

    def draw(seed, tokens):
        return list(sample(model, np.array([2]), tokens, 1.0, np.random.default_rng(seed)))

    assert draw(7, 40) == draw(7, 40) != draw(8, 40)
    logits = model(np.array([[2]])).numpy()[0, -1]
    firsts = np.bincount([draw(seed, 1)[0] for seed in range(600)], minlength=5) / 600
    np.testing.assert_allclose(firsts, temperature_probabilities(logits, 1.0), atol=0.08)


def test_sampling_records_no_graph_and_leaves_the_model_alone():
    config = LanguageModelConfig(vocab_size=5, block_size=3, layers=1, heads=2, width=8, dropout=0.5)
    model = LanguageModel(config, seed=3)
    before, state = {k: v.copy() for k, v in model.state_dict().items()}, model.generator.state()
    list(sample(model, np.array([2]), 5, 1.0, np.random.default_rng(0)))
    assert model.generator.state() == state
    assert all((model.state_dict()[k] == v).all() for k, v in before.items())


# ------------------------------------------------------------------------------------------------------------------ answers

LETTERS = Vocabulary("ab")  # the signs 0 to 3, a 4, b 5


class Writer:
    """Always writes the ids that it likes best in this order, whatever it read, which it remembers."""

    longest = 3

    def __init__(self, *best, source_length=4):
        self.best, self.config, self.read = best, types.SimpleNamespace(source_length=source_length), []

    def encode(self, source):
        self.read.append(source.tolist())
        return source

    def decode(self, target, memory):
        logits = np.zeros((*target.shape, LETTERS.vocab_size), np.float32)
        for place, token in enumerate(self.best):
            logits[..., token] = 9 - place
        return minigrad.tensor(logits)


@pytest.mark.parametrize("end, read", [(True, [[4, 5, 2], [5, 2, 0]]), (False, [[4, 5], [5, 0]])])
def test_a_source_ends_as_the_model_learned_it(end, read):
    model = Writer(4)
    assert answer(model, LETTERS, ["ab", "b"], 2, end=end) == ["aa", "aa"]
    assert model.read == [read]


class Own:
    """A model of one's own: it reads and writes, and tells nothing of itself."""

    encode, decode = Writer.encode, Writer.decode

    def __init__(self):
        self.best, self.read = (4,), []


def test_a_model_that_names_no_limit_has_none():
    assert greedy(Own(), np.array([[4]]), 1, 2, 5).tolist() == [[4] * 5]
    assert answer(Own(), LETTERS, ["ab" * 9], 5) == ["a" * 5]


def test_signs_are_no_answer():
    assert answer(Writer(LETTERS.pad, LETTERS.unknown, LETTERS.start, 5), LETTERS, ["a"], 3) == ["bbb"]
    assert answer(Writer(LETTERS.pad, LETTERS.end, 5), LETTERS, ["a"], 3) == [""]


@pytest.mark.parametrize("tokenizer, text, words", [
    (LETTERS, "aaaa", "at most 3 characters. Received: a text of 4"),
    (Vocabulary(["aa", "b"], words=True), "b b aa b", "at most 3 words. Received: a text of 4"),
])  # fmt: skip
def test_a_text_that_is_too_long_is_refused_in_words_of_the_reader(tokenizer, text, words):
    with pytest.raises(UserError, match=words):
        answer(Writer(4), tokenizer, ["b", text], 2)
    assert answer(Writer(4), tokenizer, ["b"], 2)
    with pytest.raises(UserError, match="at most 4"):
        answer(Writer(4), tokenizer, [f"{text} b" if tokenizer.words else text + "b"], 2, end=False)


@pytest.mark.parametrize("best", [4, LETTERS.end])
def test_more_than_a_model_writes_is_refused_whatever_it_would_write(best):
    with pytest.raises(ValueError, match="at most 3 tokens. Received: length 4"):
        greedy(Writer(best), np.array([[4]]), 1, 2, 4)

"""The temperature steps of the notes, which tokens may be drawn, and how often they are."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import minigrad as mg
from minigrad.errors import ShapeError
from transformer import Sampling, probabilities, sample
from transformer.sampling import generators, largest, temperature_probabilities

LOGITS = np.array([1.0, 3.0, 2.0, -1.0, 3.0])
SHARES = np.array([0.1, 0.3, 0.05, 0.4, 0.15])


@given(
    arrays(np.float32, st.integers(1, 7), elements=st.floats(-(2.0**100), 2.0**100, width=32)),
    st.floats(0, 1e6),
)
def test_probabilities_add_up_to_one(logits, temperature):
    found = temperature_probabilities(logits, temperature)
    assert found.shape == logits.shape and found.dtype == np.float64
    assert (found >= 0).all() and found.sum() == pytest.approx(1)


def test_the_steps_are_those_of_the_notes():
    for temperature in (0.25, 0.8, 1.0, 3.0):
        exponents = np.exp(LOGITS / temperature)
        np.testing.assert_allclose(temperature_probabilities(LOGITS, temperature), exponents / exponents.sum())


def test_low_sharpens_and_high_flattens():
    peaks = [temperature_probabilities(LOGITS[:4], t).max() for t in (0.1, 0.5, 1.0, 2.0, 10.0)]
    assert peaks == sorted(peaks, reverse=True)
    np.testing.assert_allclose(temperature_probabilities(LOGITS, 1e9), 0.2, rtol=1e-6)


def test_zero_is_argmax_and_the_limit():
    assert temperature_probabilities(LOGITS, 0).tolist() == [0, 1, 0, 0, 0]
    np.testing.assert_allclose(temperature_probabilities(LOGITS[:4], 1e-3), [0, 1, 0, 0], atol=1e-12)


def test_a_forbidden_token_is_never_drawn():
    assert temperature_probabilities(np.array([0.0, -np.inf]), 2.0).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("temperature", [-1.0, -1e-9, math.nan, math.inf])
def test_a_negative_temperature_raises(temperature):
    with pytest.raises(ValueError, match="temperature.*Received: temperature"):
        temperature_probabilities(LOGITS, temperature)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_cannot_add_up_raise(bad):
    with pytest.raises(ValueError, match="adds up to 1"):
        temperature_probabilities(np.array([1.0, bad]), 1.0)


# ------------------------------------------------------------------------------------------------------------- which stay


@pytest.mark.parametrize("words, expected", [
    ({}, SHARES),
    ({"top_k": 1}, [0, 0, 0, 1, 0]),
    ({"top_k": 3}, np.array([0, 0.3, 0, 0.4, 0.15]) / 0.85),
    ({"top_k": 5}, SHARES), ({"top_k": 99}, SHARES),
    ({"top_p": 1e-9}, [0, 0, 0, 1, 0]),
    ({"top_p": 0.39}, [0, 0, 0, 1, 0]),
    ({"top_p": 0.41}, np.array([0, 0.3, 0, 0.4, 0]) / 0.7),
    ({"top_p": 0.8}, np.array([0, 0.3, 0, 0.4, 0.15]) / 0.85),
    ({"top_p": 0.96}, SHARES), ({"top_p": 1.0}, SHARES),
    ({"min_p": 0.0}, SHARES),
    ({"min_p": 0.3}, np.array([0, 0.3, 0, 0.4, 0.15]) / 0.85),
    ({"min_p": 1.0}, [0, 0, 0, 1, 0]),
    ({"top_k": 3, "top_p": 0.8}, np.array([0, 0.3, 0, 0.4, 0]) / 0.7),  # of 0.85, 0.7 are 82 %
    ({"top_p": 0.8, "min_p": 0.5}, np.array([0, 0.3, 0, 0.4, 0]) / 0.7),
    ({"temperature": 0.5}, SHARES**2 / (SHARES**2).sum()),
    ({"temperature": 0.5, "top_p": 0.87}, np.array([0, 0.09, 0, 0.16, 0]) / 0.25),  # squares: 0.09 and 0.16 of 0.285 are 88 %
], ids=str)  # fmt: skip
def test_who_stays_of_a_few_words(words, expected):
    np.testing.assert_allclose(probabilities(np.log(SHARES), **words), expected, rtol=1e-12)


def test_equal_words_at_the_edge():
    logits = np.log([0.25, 0.125, 0.125, 0.125, 0.375])
    assert (probabilities(logits, top_k=3) > 0).tolist() == [True] * 5  # all three equals are as likely as the third
    assert (probabilities(logits, top_p=0.7) > 0).tolist() == [True, True, False, False, True]
    assert (probabilities(logits, top_p=0.8) > 0).tolist() == [True, True, True, False, True]
    assert (probabilities(logits, min_p=0.25) > 0).all()
    assert (probabilities(np.zeros(4), top_p=0.5) > 0).tolist() == [True, True, False, False]
    assert probabilities(np.zeros(3), top_p=1e-9).tolist() == [1, 0, 0]


def test_seen_words_are_less_likely_whatever_their_sign():
    logits = np.array([2.0, -2.0, 0.0, 1.0])
    expected = temperature_probabilities(np.array([1.0, -4.0, 0.0, 1.0]), 1.0)
    np.testing.assert_allclose(probabilities(logits, repetition_penalty=2.0, seen=[0, 1, 1, 2, 0]), expected)
    assert logits.tolist() == [2.0, -2.0, 0.0, 1.0]
    assert sample(logits, temperature=0, repetition_penalty=3.0, seen=[0]) == 3
    np.testing.assert_allclose(probabilities(logits, repetition_penalty=1.0), temperature_probabilities(logits, 1.0))


@pytest.mark.parametrize("size", [1, 2, 127, 128, 129, 1000, 1280])
@pytest.mark.parametrize("spread", [0.01, 2.0, 1e6])
def test_the_last_of_the_largest_is_found_whatever_their_number(size, spread):
    numbers = (np.random.default_rng(size).normal(size=size) * spread).round().astype(np.float32)  # with ties
    numbers[::3] = -np.inf
    for count in {1, 2, 7, 8, 9, size // 2, size} & {*range(1, size + 1)}:
        assert largest(numbers, count) == np.sort(numbers)[-count]


def test_rows_are_by_themselves():
    logits = np.random.default_rng(3).normal(size=(3, 7)).astype(np.float32)
    seen = [[1], [], [6, 2, 2]]
    for words in ({"temperature": 0.0}, {"top_k": 2}, {"top_p": 0.7}, {"min_p": 0.4, "temperature": 1.3}):
        together = probabilities(logits, seen=seen, repetition_penalty=1.7, **words)
        alone = [probabilities(row, seen=ids, repetition_penalty=1.7, **words) for row, ids in zip(logits, seen)]
        assert together.shape == (3, 7) and (together == alone).all()
        np.testing.assert_allclose(together.sum(axis=-1), 1)


@given(
    arrays(np.float32, st.integers(1, 9), elements=st.sampled_from([-np.inf, -3.0, 0.0, 0.5, 0.5000001, 4.0])),
    st.floats(0.1, 10), st.none() | st.integers(1, 9), st.none() | st.floats(0, 1, exclude_min=True), st.none() | st.floats(0, 1),
)  # fmt: skip
def test_the_likeliest_always_stays_and_nothing_impossible_comes(logits, temperature, top_k, top_p, min_p):
    if logits.max() == -np.inf:
        return
    found = probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    assert found.sum() == pytest.approx(1) and found.max() == found[logits == logits.max()].max()
    assert (found[logits == -np.inf] == 0).all()


# ----------------------------------------------------------------------------------------------------------------- drawing


@pytest.mark.parametrize("words", [
    {}, {"temperature": 0.6}, {"temperature": 3.0}, {"top_k": 4}, {"top_p": 0.8}, {"min_p": 0.2},
    {"temperature": 1.5, "top_k": 6, "top_p": 0.9, "min_p": 0.1}, {"repetition_penalty": 1.8, "seen": [0, 3, 5]},
], ids=str)  # fmt: skip
def test_frequencies_are_the_probabilities(words):
    stats = pytest.importorskip("scipy.stats")
    logits = np.random.default_rng(0).normal(size=9) * 1.5
    expected = probabilities(logits, **words)
    rows, seen = np.tile(logits, (20_000, 1)), words.get("seen")
    drawn = sample(rows, **words | {"seen": seen and [seen] * len(rows)}, generator=11)
    counts = np.bincount(drawn, minlength=9)
    assert (counts[expected == 0] == 0).all() and drawn.shape == (20_000,)
    assert stats.chisquare(counts[expected > 0], 20_000 * expected[expected > 0]).pvalue > 0.01


def test_the_frequencies_of_wrong_probabilities_are_found_out():
    stats = pytest.importorskip("scipy.stats")
    logits = np.random.default_rng(0).normal(size=9) * 1.5
    counts = np.bincount(sample(np.tile(logits, (20_000, 1)), generator=11), minlength=9)
    assert stats.chisquare(counts, 20_000 * probabilities(logits, temperature=1.1)).pvalue < 1e-6


def test_at_temperature_0_the_first_of_the_likeliest_is_taken_and_nothing_drawn():
    generator = np.random.default_rng(5)
    before = generator.bit_generator.state
    assert sample(LOGITS, temperature=0.0, generator=generator) == 1
    assert sample(np.stack([LOGITS, LOGITS[::-1]]), temperature=0).tolist() == [1, 0]
    assert isinstance(sample(LOGITS, temperature=0), int) and generator.bit_generator.state == before


def test_a_hot_draw_is_uniform_and_a_cold_one_is_argmax():
    rows = np.tile(LOGITS, (4000, 1))
    counts = np.bincount(sample(rows, temperature=1e9, generator=0), minlength=5)
    assert abs(counts - 800).max() < 5 * math.sqrt(800 * 0.8)
    assert set(sample(rows[:, :4], temperature=1e-6, generator=0)) == {1}


def test_a_generator_goes_on_and_a_seed_begins_again():
    rows = np.zeros((50, 6))
    generator = np.random.default_rng(4)
    first, second = (sample(rows, generator=generator).tolist() for _ in range(2))
    assert first != second
    assert first == sample(rows, generator=4).tolist() == sample(rows, generator=np.random.default_rng(4)).tolist()


def test_a_generator_of_minigrad_draws_a_seed_each_time():
    logits = np.zeros((2, 500))
    generator = mg.Generator(5)
    state = generator.state()
    first, second = sample(logits, generator=generator), sample(logits, generator=generator)
    assert first.tolist() != second.tolist() and len({*first.tolist(), *second.tolist()}) == 4
    generator.set_state(state)
    assert [sample(logits, generator=generator).tolist() for _ in range(2)] == [first.tolist(), second.tolist()]
    alone = [one.random() for one in generators(mg.Generator(5), 2)]
    assert alone[0] != alone[1] and alone == [one.random() for one in generators(mg.Generator(5), 2)]


def test_a_row_with_a_generator_of_its_own_draws_the_same_whoever_stands_beside_it():
    logits = np.random.default_rng(3).normal(size=(3, 7))
    seeds = [11, 12, 13]
    together = sample(logits, generator=seeds)
    assert together.tolist() == [sample(row, generator=seed) for row, seed in zip(logits, seeds)]
    assert sample(logits[::-1], generator=seeds[::-1]).tolist() == together[::-1].tolist()
    with pytest.raises(ValueError, match="each of the 3. Received: a list of 2"):
        sample(logits, generator=[1, 2])


def test_the_smallest_number_draws_no_forbidden_token():
    class Zero(np.random.Generator):
        def random(self, size):
            return np.zeros(size)

    assert sample(np.array([-np.inf, 0.0, 0.0]), generator=Zero(np.random.PCG64(0))) == 1


def test_what_may_hold_logits():
    for logits in (mg.tensor(LOGITS), LOGITS.tolist(), LOGITS.astype(np.float32), [1, 3, 2]):
        assert sample(logits, temperature=0) == 1
        assert 0 <= sample(logits, generator=1) < 5


# ------------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize("words, message", [
    ({"temperature": -0.1}, r"temperature is 0 \(the likeliest token\) or positive. Received: temperature -0.1"),
    ({"temperature": math.nan}, "Received: temperature nan"), ({"temperature": math.inf}, "Received: temperature inf"),
    ({"temperature": None}, "Received: temperature None"), ({"temperature": "1"}, "Received: temperature '1'"),
    ({"top_k": 0}, "top_k is a whole number from 1. Received: top_k 0"), ({"top_k": 2.0}, "Received: top_k 2.0"),
    ({"top_k": True}, "Received: top_k True"),
    ({"top_p": 1.1}, "top_p is above 0, at most 1. Received: top_p 1.1"), ({"top_p": -0.1}, "Received: top_p -0.1"),
    ({"top_p": 0}, "top_p is above 0, at most 1. Received: top_p 0"),
    ({"min_p": math.nan}, "min_p is from 0 to 1. Received: min_p nan"),
    ({"repetition_penalty": 0.0}, "repetition_penalty is positive. Received: repetition_penalty 0.0"),
    ({"temperature": 0, "top_k": 3}, "top_k changes nothing at temperature 0.*give a temperature above 0"),
    ({"temperature": 0.0, "min_p": 0.5}, "min_p changes nothing at temperature 0"),
])  # fmt: skip
def test_numbers_that_mean_nothing_are_refused(words, message):
    for refuse in (lambda: Sampling(**words), lambda: sample(LOGITS, **words), lambda: probabilities(LOGITS, **words)):
        with pytest.raises(ValueError, match=message):
            refuse()


def test_numbers_may_be_numpy_s():
    assert sample(LOGITS, temperature=np.float32(0.5), top_k=np.int64(1), top_p=np.float64(0.5), generator=0) in (1, 4)


def test_unknown_words_are_refused_with_those_that_are_known():
    with pytest.raises(TypeError, match="sample: there is no temprature, did you mean temperature. Received: temprature 0.5"):
        sample(LOGITS, temprature=0.5)
    with pytest.raises(TypeError, match="probabilities: there is no beams; .* temperature, top_k, top_p, min_p, repetition_penalty"):
        probabilities(LOGITS, beams=4)
    with pytest.raises(TypeError, match="sample: there is no seed; a seed is given as generator. Received: seed 3"):
        sample(LOGITS, seed=3)


@pytest.mark.parametrize("generator, shown", [
    ("x", "'x'"), ("xy", "'xy'"), (-1, "-1"), (1.0, "1.0"), (True, "True"), ([1, "x"], "'x'"), (np.array([1, 2]), r"\(2,\) int64"),
])  # fmt: skip
def test_what_is_no_generator_is_refused_in_our_own_words(generator, shown):
    with pytest.raises(ValueError, match=f"generator: a seed, which is a whole number from 0, or a generator.*Received: generator {shown}"):
        sample(np.zeros((2, 5)), generator=generator)
    with pytest.raises(ValueError, match=f"Received: generator {shown}"):
        generators(generator, 2)


@pytest.mark.parametrize("bad, words", [
    ([0.0, math.nan], "a logit is NaN or .infinity"), ([math.inf, 0.0], "a logit is NaN or .infinity"),
    ([-math.inf, -math.inf], "every token is forbidden"),
])  # fmt: skip
@pytest.mark.parametrize("how", [{"temperature": 0}, {}, {"top_k": 1}, {"top_p": 0.5}, {"min_p": 0.5}], ids=str)
def test_logits_without_a_largest_one_are_refused(bad, words, how):
    for operation in (sample, probabilities):
        with pytest.raises(ValueError, match=f"{operation.__name__}: {words}.*row 0"):
            operation(np.array(bad), **how)
        with pytest.raises(ValueError, match=f"{operation.__name__}: {words}.*row 1"):
            operation(np.array([[0.0, 1.0], bad]), **how)


def test_axes_are_checked():
    for bad in (np.zeros((2, 3, 4)), np.zeros(0), np.zeros((2, 0)), 1.0, np.array(["a"])):
        with pytest.raises(ShapeError, match=r"axes \(V,\) or \(B, V\). Received: logits"):
            sample(bad)


def test_seen_ids_are_checked():
    with pytest.raises(ValueError, match="give their ids as seen. Received: seen None"):
        sample(LOGITS, repetition_penalty=1.2)
    for seen in ([5], [-1]):
        with pytest.raises(ValueError, match="seen holds ids from 0 to 4"):
            sample(LOGITS, repetition_penalty=1.2, seen=seen)
    with pytest.raises(ValueError, match="a list of them for each row"):
        sample(np.zeros((3, 5)), repetition_penalty=1.2, seen=[[1], [2]])


# ------------------------------------------------------------------------------------------------------- beside Hugging Face


def theirs(logits, seen, temperature=1.0, top_k=None, top_p=None, min_p=None, repetition_penalty=None):
    """The probabilities (B, V) that transformers draws with, by its own classes in the order of its `generate`."""
    torch, process = pytest.importorskip("torch"), pytest.importorskip("transformers.generation.logits_process")
    ids, scores = torch.tensor(seen), torch.from_numpy(logits)
    steps = [
        repetition_penalty and process.RepetitionPenaltyLogitsProcessor(repetition_penalty),
        temperature != 1 and process.TemperatureLogitsWarper(temperature),
        top_k and process.TopKLogitsWarper(top_k),
        top_p is not None and top_p < 1 and process.TopPLogitsWarper(top_p),
        min_p is not None and process.MinPLogitsWarper(min_p),
    ]
    for step in filter(None, steps):
        scores = step(ids, scores)
    return torch.softmax(scores, dim=-1).numpy()


CHOICES = {"temperature": [1.0, 0.5, 2.0], "top_k": [None, 1, 4, 40], "top_p": [None, 1e-9, 0.3, 0.77, 0.95, 1.0],
           "min_p": [None, 0.0, 0.13, 1.0], "repetition_penalty": [None, 0.8, 1.3]}  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize("ties", [False, True])
def test_the_probabilities_are_those_of_transformers(ties, rng):
    for values in itertools.product(*CHOICES.values()):
        words = dict(zip(CHOICES, values))
        logits = rng.normal(size=(3, 23)).astype(np.float64) * 2
        if ties:
            logits = logits.round()  # a few whole numbers, each of them several times
        logits[:, [2, 5]] = -np.inf
        seen = rng.integers(0, 23, size=(3, 6))
        found, expected = probabilities(logits, seen=seen, **words), theirs(logits, seen, **words)
        if ties:  # which of equals top_p keeps is left to the order of their sorting
            found, expected = np.sort(found), np.sort(expected)
        np.testing.assert_allclose(found, expected, atol=1e-7, err_msg=str(words))

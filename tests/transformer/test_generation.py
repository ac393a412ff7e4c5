"""Text that is written one token at a time: drawn, the likeliest, and by beams; and what an encoder-decoder answers."""

import inspect
import itertools
import math
import types

import numpy as np
import pytest

import minigrad
from minigrad.errors import ShapeError
from transformer import (
    Encoder,
    EncoderConfig,
    EncoderDecoder,
    EncoderDecoderConfig,
    LanguageModel,
    LanguageModelConfig,
    Subwords,
    Vocabulary,
    beam_search,
    generate,
    probabilities,
    stream,
    text_stream,
)
from transformer.errors import UserError
from transformer.generation import BEAMS, answer
from transformer.tokenizers import CharTokenizer, PretrainedTokenizer

HOW = [{}, {"temperature": 0.8}, {"temperature": 1.3, "top_k": 4}, {"temperature": 1.0, "top_p": 0.8, "repetition_penalty": 1.4},
       {"repetition_penalty": 2.0}]  # fmt: skip


def counting_model(block_size=4, vocab_size=6):
    """Says with certainty that the next token is one more than the last; remembers what it was shown."""
    seen = []

    def call(ids):
        seen.append(ids.copy())
        return minigrad.tensor(60.0 * np.eye(vocab_size, dtype=np.float32)[(ids + 1) % vocab_size])  # (B, T, V)

    call.config, call.seen = types.SimpleNamespace(block_size=block_size, vocab_size=vocab_size), seen
    return call


def table_model(seed, vocab_size, mean=0.0):
    """Any callable is a model: here one whose next token depends on the last two, and on where they stand."""
    table = np.random.default_rng(seed).normal(mean, 1.5, size=(16, vocab_size, vocab_size, vocab_size))
    return lambda ids: table[np.arange(ids.shape[1]) % 16, np.pad(ids, ((0, 0), (1, 0)))[:, :-1], ids]  # (B, T) -> (B, T, V)


def lively(model, seed=8):
    """A model whose weights are so large that texts differ."""
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        if parameter.ndim > 1:  # a bias of the last normalization alone would choose the token
            parameter.assign(rng.normal(size=parameter.shape).astype(np.float32))
    return model


def language_model(block_size=12, vocab_size=11, dropout=0.0):
    config = LanguageModelConfig(vocab_size, block_size, tied=False, layers=2, heads=2, width=8, dropout=dropout)
    return lively(LanguageModel(config))


def encoder_decoder():
    return lively(EncoderDecoder(EncoderDecoderConfig(13, 11, source_length=7, target_length=9, layers=1, heads=2, width=8)))


# ------------------------------------------------------------------------------------------------------ one after the other


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_tokens_follow_the_model_and_the_window_slides(temperature):
    model = counting_model()
    drawn = list(stream(model, np.array([1, 2]), 7, temperature=temperature, generator=0))
    assert drawn == [3, 4, 5, 0, 1, 2, 3]
    assert [ids.shape for ids in model.seen] == [(1, 2), (1, 3), *[(1, 4)] * 5]
    assert model.seen[-1].tolist() == [[5, 0, 1, 2]]


def test_a_long_prompt_is_cut_to_the_last_block():
    model = counting_model()
    next(stream(model, np.arange(6), 1))
    assert model.seen[0].tolist() == [[2, 3, 4, 5]]


def test_each_token_comes_as_soon_as_it_is_drawn():
    model = counting_model()
    tokens = stream(model, np.array([0]), 1000, temperature=1.0)
    assert next(tokens) == 1 and len(model.seen) == 1
    tokens.close()


def test_a_seed_decides_and_frequencies_follow_the_probabilities():
    model = language_model(vocab_size=5, block_size=3)

    def draw(seed, tokens):
        return generate(model, np.array([2]), tokens, temperature=1.0, generator=seed).tolist()

    assert draw(7, 40) == draw(7, 40) == draw(np.random.default_rng(7), 40) != draw(8, 40)
    logits = model(np.array([[2]])).numpy()[0, -1]
    firsts = np.bincount([draw(seed, 1)[0] for seed in range(600)], minlength=5) / 600
    np.testing.assert_allclose(firsts, probabilities(logits), atol=0.08)


def test_a_generator_goes_on_from_call_to_call():
    model, generator = language_model(), np.random.default_rng(7)
    first, second = (generate(model, [2], 30, temperature=2.0, generator=generator).tolist() for _ in range(2))
    assert first != second


def test_sampling_records_no_graph_and_leaves_the_model_alone():
    model = language_model(dropout=0.5)
    before, state = {k: v.copy() for k, v in model.state_dict().items()}, model.generator.state()
    generate(model, np.array([2]), 5, temperature=1.0)
    beam_search(model, np.array([2]), 5)
    assert model.generator.state() == state
    assert all((model.state_dict()[k] == v).all() for k, v in before.items())


def test_without_sampling_the_likeliest_is_taken():
    model, ids = language_model(), [3, 1]
    written = generate(model, ids, 6)
    for length in range(6):
        logits = model(np.array([[*ids, *written[:length]]])).numpy()[0, -1]
        assert written[length] == logits.argmax()
    assert written.dtype == np.int64 and (written == generate(model, ids, 6, temperature=0)).all()


def test_a_model_may_be_any_callable():
    assert generate(lambda ids: np.eye(5)[(ids + 2) % 5], [0], 4).tolist() == [2, 4, 1, 3]


# ------------------------------------------------------------------------------------------------------------------- batches

PROMPTS = [[3], [1, 4, 1, 5, 9], [2, 6, 5]]


@pytest.mark.parametrize("how", HOW, ids=str)
@pytest.mark.parametrize("tokens", [5, 15])  # the second is more than the model sees at once
def test_a_row_of_a_batch_is_written_as_if_it_were_alone(how, tokens):
    model, seeds = language_model(), [21, 22, 23]
    together = generate(model, PROMPTS, tokens, generator=seeds, **how)
    alone = [generate(model, [prompt], tokens, generator=[seed], **how)[0] for prompt, seed in zip(PROMPTS, seeds)]
    assert [row.tolist() for row in together] == [row.tolist() for row in alone]
    assert len({tuple(row) for row in together}) == 3
    one = generate(model, PROMPTS[1], tokens, generator=[22], **how)
    assert one.shape == (tokens,) and one.tolist() == alone[1].tolist()


def test_the_first_row_of_a_batch_draws_what_a_single_prompt_draws():
    model = table_model(3, 11)
    single = generate(model, PROMPTS[0], 9, temperature=3.0, generator=5)
    assert generate(model, PROMPTS, 9, temperature=3.0, generator=5)[0].tolist() == single.tolist()
    twice = generate(model, [PROMPTS[0]] * 2, 9, temperature=3.0, generator=5)
    assert twice[0].tolist() == single.tolist() != twice[1].tolist()


@pytest.mark.parametrize("how", HOW, ids=str)
def test_generate_is_what_stream_gave(how):
    model = language_model()
    assert list(stream(model, PROMPTS[2], 7, generator=1, **how)) == generate(model, PROMPTS[2], 7, generator=1, **how).tolist()
    steps = list(stream(model, PROMPTS, 7, end_ids=[4, 7], generator=1, **how))
    columns = [[token for token in column if token is not None] for column in zip(*steps)]
    assert columns == [row.tolist() for row in generate(model, PROMPTS, 7, end_ids=[4, 7], generator=1, **how)]


def test_a_row_stops_at_its_end_and_the_others_go_on():
    model = counting_model(block_size=9, vocab_size=9)
    assert [row.tolist() for row in generate(model, [[5], [1, 2], [8]], 4, end_ids=[7, 4])] == [[6, 7], [3, 4], [0, 1, 2, 3]]
    assert list(stream(model, [[5], [2]], 9, end_ids=7)) == [[6, 3], [7, 4], [None, 5], [None, 6], [None, 7]]
    model.seen.clear()
    assert generate(model, [5], 1000, end_ids=7).tolist() == [6, 7] and len(model.seen) == 2
    assert generate(model, [6], 1000, end_ids=[7]).tolist() == [7]


def test_the_signs_of_the_config_are_those_where_none_are_given():
    model = counting_model(block_size=9, vocab_size=9)
    model.config.end_ids = (7,)
    assert generate(model, [5], 9).tolist() == [6, 7]
    assert generate(model, [5], 4, end_ids=()).tolist() == [6, 7, 8, 0]
    assert beam_search(model, [5], 9, beams=1)[0].ids.tolist() == [6, 7]


def test_never_and_repetition_act_on_every_step():
    model = table_model(1, 7)
    for how in ({}, {"temperature": 2.0, "generator": 3}):
        assert not set(generate(model, [1], 60, never=[0, 2, 5, 6], **how)) & {0, 2, 5, 6}
    below = table_model(1, 7, mean=-20.0)  # positive logits would be divided, and pass those below 0
    assert sorted(generate(below, [1], 6, repetition_penalty=1e9)) == [0, 2, 3, 4, 5, 6]  # each once, and what was given never


@pytest.mark.parametrize("ids", [[1, 4, 1], np.array([1, 4, 1], np.uint8), minigrad.tensor([1, 4, 1]), (1, 4, 1)])
def test_a_prompt_may_be_an_array_a_list_or_a_tensor(ids):
    model = language_model()
    assert generate(model, ids, 3).tolist() == generate(model, [[1, 4, 1]], 3)[0].tolist()
    assert [row.tolist() for row in generate(model, np.array([[1, 4, 1]] * 2), 3)] == [generate(model, ids, 3).tolist()] * 2


# ------------------------------------------------------------------------------------------------------- encoder-decoders


@pytest.mark.parametrize("how", HOW, ids=str)
def test_an_encoder_decoder_answers_each_source_as_if_it_were_alone(how):
    model, sources, seeds = encoder_decoder(), [[5, 7, 2, 9], [4], [12, 3]], [1, 2, 3]
    together = generate(model, sources, 9, start_id=1, end_ids=2, generator=seeds, **how)
    for source, seed, row in zip(sources, seeds, together):
        assert row.tolist() == generate(model, source, 9, start_id=1, end_ids=2, generator=[seed], **how).tolist()
    padded = np.array([[5, 7, 2, 9], [4, 0, 0, 0], [12, 3, 0, 0]])
    assert [row.tolist() for row in generate(model, padded, 9, start_id=1, end_ids=2, generator=seeds, **how)] == [
        row.tolist() for row in together
    ]


def test_an_answer_begins_behind_one_sign_or_several():
    model = encoder_decoder()
    memory = model.encode(np.array([[5, 7]]))
    for start in (1, [1], [1, 6, 4]):
        written = generate(model, [5, 7], 3, start_id=start)
        target = np.array([[*np.ravel(start), *written]])
        logits = model.decode(target, memory).numpy()[0]  # (T, V)
        assert written.tolist() == logits.argmax(axis=-1)[-4:-1].tolist()


# ------------------------------------------------------------------------------------------------------------------- beams


def likelihood(model, prompt, ids):
    logits = model(np.array([[*prompt, *ids]]))[0, len(prompt) - 1 : -1]  # (T, V)
    return sum(math.log(probabilities(row)[token]) for row, token in zip(logits, ids))


@pytest.mark.parametrize("length_penalty", [-0.7, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("ends", [(), (0,), (0, 3)])
def test_enough_beams_find_the_best_of_all_texts(length_penalty, ends):
    model, longest = table_model(5, 4), 4
    texts = [
        ids for n in range(1, longest + 1) for ids in itertools.product(range(4), repeat=n)
        if not set(ids[:-1]) & set(ends) and (n == longest or ids[-1] in ends)
    ]  # fmt: skip
    scored = sorted(((likelihood(model, [1, 2], ids) / len(ids) ** length_penalty, ids) for ids in texts), reverse=True)
    beams = beam_search(model, [1, 2], longest, beams=400, length_penalty=length_penalty, num_return=400, end_ids=ends)
    assert [tuple(beam.ids.tolist()) for beam in beams] == [ids for _, ids in scored]
    np.testing.assert_allclose([beam.score for beam in beams], [score for score, _ in scored])


def test_one_beam_is_greedy():
    for seed in range(8):
        model = table_model(seed, 9)
        (beam,) = beam_search(model, [seed], 12, beams=1, end_ids=[3, 4])
        assert beam.ids.tolist() == generate(model, [seed], 12, end_ids=[3, 4]).tolist()
        assert beam.score == pytest.approx(likelihood(model, [seed], beam.ids) / len(beam.ids))


def test_beams_find_what_greedy_misses():
    better = 0
    for seed in range(12):
        model = table_model(seed, 9)
        beam, greedy = beam_search(model, [1], 6, beams=5)[0].ids, generate(model, [1], 6)
        assert likelihood(model, [1], beam) >= likelihood(model, [1], greedy) - 1e-9
        better += beam.tolist() != greedy.tolist()
    assert better > 3


@pytest.mark.parametrize("words", [{}, {"early_stopping": True}, {"early_stopping": "never", "length_penalty": 2.0}], ids=str)
def test_beams_of_a_batch_are_those_of_each_prompt_alone(words):
    model, found = language_model(), []
    for beams in beam_search(model, PROMPTS, 15, beams=3, num_return=2, end_ids=[4, 7], **words):
        found.append([(beam.ids.tolist(), pytest.approx(beam.score, rel=1e-5)) for beam in beams])
    alone = [beam_search(model, prompt, 15, beams=3, num_return=2, end_ids=[4, 7], **words) for prompt in PROMPTS]
    assert [[(beam.ids.tolist(), beam.score) for beam in beams] for beams in alone] == found


def test_beams_of_an_encoder_decoder_know_their_source():
    model, sources = encoder_decoder(), [[5, 7, 2, 9], [4], [12, 3]]
    words = {"beams": 3, "start_id": 1, "end_ids": 2, "never": [0, 1]}
    together = beam_search(model, sources, 9, num_return=3, **words)
    for source, beams in zip(sources, together):
        alone = beam_search(model, source, 9, num_return=3, **words)
        assert [beam.ids.tolist() for beam in beams] == [beam.ids.tolist() for beam in alone]
        assert not {0, 1} & set(beams[0].ids.tolist())


def test_fewer_tokens_than_beams_are_no_obstacle():
    beams = beam_search(table_model(2, 3), [1], 1, beams=9, num_return=9)
    assert sorted(beam.ids.tolist() for beam in beams) == [[0], [1], [2]]


# ------------------------------------------------------------------------------------------------------------- text in pieces


def test_pieces_of_text_are_the_text():
    letters = Vocabulary("abc")
    assert list(text_stream(letters, [4, 5, 6, 2])) == ["a", "b", "c"]
    assert list(text_stream(letters, [])) == []
    words = Subwords.learn(["lopen en kopen", "lopen of kopen"] * 9, 30)
    ids = words.encode("lopen en kopen of lopen")
    pieces = list(text_stream(words, ids))
    assert "".join(pieces) == "lopen en kopen of lopen" and len(pieces) > 3
    assert "".join(text_stream(words, ids[1:], after=ids[:1])) == words.decode(ids)[len(words.decode(ids[:1])) :]


class Bytes:
    """A tokenizer whose ids are the bytes of UTF-8."""

    def decode(self, ids):
        return bytes(ids).decode("utf-8", "replace")


@pytest.mark.parametrize("text", ["h\u00e9llo", "\u2192\U0001f600!", "\U0001f600", "a\ufffdb", "\ufffd"])
def test_a_character_comes_when_it_is_whole(text):
    pieces = list(text_stream(Bytes(), text.encode()))
    assert "".join(pieces) == text and [*text.replace("\ufffd", "")] == [*"".join(pieces).replace("\ufffd", "")]
    assert len(pieces) == len(text) - text[:-1].count("\ufffd")  # a sign for no character waits for what follows it


def test_pieces_of_byte_pairs_are_whole_characters(rng):
    tokenizers = pytest.importorskip("tokenizers")
    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    library.pre_tokenizer, library.decoder = tokenizers.pre_tokenizers.ByteLevel(), tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    library.train_from_iterator(["na\u00efve caf\u00e9s"] * 9, trainer)
    bytewise = PretrainedTokenizer(library)
    text = " caf\u00e9 \u2192 \U0001f600\u65e5\u672c!"
    pieces = list(text_stream(bytewise, bytewise.encode(text)))
    assert "".join(pieces) == text and "\U0001f600" in pieces and not any("\ufffd" in piece for piece in pieces)
    for _ in range(50):  # any ids, most of which are no characters
        ids = rng.integers(0, bytewise.vocab_size, size=30).tolist()
        assert "".join(text_stream(bytewise, ids)) == bytewise.decode(ids)


def test_a_piece_comes_before_the_next_id_is_asked_for():
    ids = iter("\u00e9a".encode())
    pieces = text_stream(Bytes(), ids)
    assert next(pieces) == "\u00e9" and list(ids) == [ord("a")]


@pytest.mark.parametrize("before", [1, 2, 3])
def test_a_character_that_begins_before_comes_too(before):
    text = "\u20aca".encode()
    assert "".join(text_stream(Bytes(), text[before:], after=text[:before])) == ("a" if before == 3 else "\u20aca")
    assert "".join(text_stream(Bytes(), b"a", after="\ufffd".encode())) == "a"  # the sign itself is a character too


def test_bytes_that_are_no_character_come_at_the_end():
    assert list(text_stream(Bytes(), b"a\xe2\x82")) == ["a", "\ufffd"]
    assert list(text_stream(Bytes(), b"a\xe2\x82b")) == ["a", "\ufffdb"]


# ------------------------------------------------------------------------------------------------------------------ errors

EVERY = [lambda *given, **words: next(stream(*given, **words)), generate, beam_search]


@pytest.mark.parametrize("operation", EVERY, ids=["stream", "generate", "beam_search"])
@pytest.mark.parametrize("ids, words, message", [
    (np.array([], np.int64), {}, r"at least one token to go on from. Received: ids \(0,\)."),
    ([], {}, "at least one token"), ([[1], []], {}, "at least one token.* as prompt 1"),
    ([1, 11], {}, "ids are whole numbers from 0 to 10, the ids of the vocabulary. Received: .1, 11."),
    ([[1], [2, -1]], {}, "prompt 1 are whole numbers"), ([[1.0, 2.0]], {}, "whole numbers"),
    ([1.5], {}, "ids are whole numbers from 0 to 10, the ids of the vocabulary. Received: .1.5"),
    (np.array([1.5]), {}, "ids are whole numbers"),
    (["a", "b"], {}, r"as tokenizer.encode\(text\) gives them.*Received: .'a', 'b'"), ([None], {}, "ids are whole numbers"),
    ([[1], 2], {}, r"prompt \(T,\)"),
    (np.zeros((2, 3, 4), int), {}, r"prompt \(T,\), as .* or of several"), (3, {}, r"prompt \(T,\)"), ("text", {}, r"prompt \(T,\)"),
    (np.zeros((0, 3), int), {}, r"prompt \(T,\)"),
    ([1], {"max_new_tokens": 0}, "max_new_tokens is a whole number from 1. Received: max_new_tokens 0"),
    ([1], {"max_new_tokens": 2.0}, "max_new_tokens 2.0"), ([1], {"max_new_tokens": True}, "max_new_tokens True"),
    ([1], {"end_ids": 11}, "end_ids are whole numbers"), ([1], {"end_ids": ["a"]}, "end_ids are whole numbers"),
    ([1], {"never": [99]}, "never are whole numbers"),
    ([1], {"start_id": 1}, "start_id is for encoder-decoders"),
    ([1], {"never": range(11)}, "every token is forbidden"),
])  # fmt: skip
def test_what_cannot_be_written_is_refused(operation, ids, words, message):
    with pytest.raises(ValueError, match=message):
        operation(language_model(), ids, **{"max_new_tokens": 3} | words)


@pytest.mark.parametrize("operation", [stream, generate])
def test_what_says_how_to_draw_is_checked_when_it_is_said(operation):
    with pytest.raises(TypeError, match=f"{operation.__name__}: there is no temprature, did you mean temperature"):
        operation(language_model(), [1], 3, temprature=0.5)
    with pytest.raises(ValueError, match="top_k changes nothing at temperature 0.*give a temperature"):
        operation(language_model(), [1], 3, top_k=5)
    with pytest.raises(ValueError, match="temperature is 0"):
        operation(language_model(), [1], 3, temperature=-1.0)
    with pytest.raises(ValueError, match="each of the 2. Received: a list of 3"):
        operation(language_model(), [[1], [2]], 3, temperature=1.0, generator=[1, 2, 3])
    with pytest.raises(ValueError, match="there must be at least one token"):
        operation(language_model(), [], 3)


@pytest.mark.parametrize("words, message", [
    ({"seed": 3}, "there is no seed; a seed is given as generator. Received: seed 3"),
    ({"max_length": 9}, "there is no max_length; how many tokens are written is max_new_tokens"),
    ({"max_tokens": 9}, "max_new_tokens"), ({"do_sample": True}, "do_sample; temperature 0 takes the likeliest token, one above 0 draws"),
    ({"stop": "."}, "there is no stop; the ids that end a text are given as end_ids. Received: stop '.'"), ({"eos_token_id": 3}, "end_ids"),
    ({"num_beams": 3}, "there is no num_beams; beam_search searches with beams"),
])  # fmt: skip
@pytest.mark.parametrize("operation", [stream, generate])
def test_names_that_others_use_lead_to_ours(operation, words, message):
    with pytest.raises(TypeError, match=f"{operation.__name__}: .*{message}"):
        operation(language_model(), [1], 3, **words)


@pytest.mark.parametrize("words, message", [
    ({"num_beams": 3}, "there is no num_beams; how many are followed is beams. Received: num_beams 3"),
    ({"temperature": 1.0}, "there is no temperature; beams are the likeliest texts, and generate draws"), ({"top_k": 2}, "generate draws"),
    ({"generator": 1}, "generate draws"), ({"num_return_sequences": 2}, "how many come back is num_return"),
    ({"max_length": 9}, "how many tokens are written is max_new_tokens"), ({"beam": 3}, "there is no beam, did you mean beams?"),
    ({"xyz": 3}, "there is no xyz; what says how to search is beams, length_penalty, early_stopping, num_return, start_id, end_ids, never"),
])  # fmt: skip
def test_a_search_knows_its_words(words, message):
    with pytest.raises(TypeError, match=f"beam_search: .*{message}"):
        beam_search(language_model(), [1], 3, **words)
    named = [name for name, parameter in inspect.signature(beam_search).parameters.items() if parameter.kind is parameter.KEYWORD_ONLY]
    assert named == [*BEAMS]


@pytest.mark.parametrize("generator", ["x", -1, 2.0])
@pytest.mark.parametrize("operation", [stream, generate])
def test_a_generator_of_a_wrong_kind_is_refused_when_it_is_given(operation, generator):
    with pytest.raises(ValueError, match="generator: a seed, which is a whole number from 0.*Received: generator"):
        operation(language_model(), [1], 3, temperature=1.0, generator=generator)


@pytest.mark.parametrize("operation", EVERY, ids=["stream", "generate", "beam_search"])
def test_padding_behind_a_prompt_is_refused(operation):
    model = language_model()
    for ids in ([[1, 2, 3], [5, 0, 0]], [[1, 2, 3], [5, 7, 7]], [[1, 0], [2, 0]], [[7], [2]]):
        operation(model, ids, 2, end_ids=4)  # no signs of this model's: a language model names no padding
    model.config.end_ids = (7, 9)
    with pytest.raises(ValueError, match="prompt 1 ends with padding.*list of ids.*tokenizer.encode.*Received: .5, 7, 7."):
        operation(model, np.array([[1, 2, 3], [5, 7, 7]]), 2)
    with pytest.raises(ValueError, match="prompt 0 ends with padding"):
        operation(model, [[9, 9], [1, 2]], 2, end_ids=())
    with pytest.raises(ValueError, match="prompt 1 ends with padding"):
        operation(model, [[1, 2], [4, 4]], 2, end_ids=4)
    padding = counting_model()
    padding.config.pad_id = 0
    with pytest.raises(ValueError, match="prompt 1 ends with padding.*Received: .5, 0, 0."):
        operation(padding, [[1, 2, 3], [5, 0, 0]], 2)
    for ids in ([[1, 7], [7, 2]], [[7], [7]], [5, 7, 7]):  # an end alone may be meant, and one prompt has nobody to be as long as
        operation(model, ids, 2)


@pytest.mark.parametrize("tokenizer", [CharTokenizer("ab "), Vocabulary("ab ")], ids=["an array", "a list"])
def test_a_model_reads_what_any_tokenizer_gives(tokenizer):
    model, ids = language_model(), tokenizer.encode("ab b")
    np.testing.assert_array_equal(model([ids]).numpy(), model(np.array([[*ids]])).numpy())
    written = generate(model, ids, 3).tolist()
    assert written == generate(model, [*ids], 3).tolist() == generate(model, [ids, tokenizer.encode("a")], 3)[0].tolist()


@pytest.mark.parametrize("operation", EVERY, ids=["stream", "generate", "beam_search"])
def test_one_sign_behind_some_rows_of_an_array_is_told(operation):
    model = language_model()
    operation(model, np.array([[1, 2, 3], [5, 6, 7]]), 2, end_ids=4)
    model.config.end_ids = (7, 9)
    for ids in (np.array([[1, 2, 3], [5, 6, 7]]), minigrad.tensor(np.array([[1, 2, 3], [5, 6, 7]]))):
        with pytest.warns(UserWarning, match="prompt 1 of this array ends with.*prompts of different lengths are a list") as told:
            operation(model, ids, 2)
        assert told[0].filename == __file__
    with pytest.warns(UserWarning, match="prompt 0 of this array"):
        operation(model, np.array([[5, 4], [1, 2]]), 2, end_ids=4)
    for meant in ([[1, 2, 3], [5, 6, 7]], np.array([[1, 2, 7], [5, 6, 9]]), np.array([[7], [2]]), np.array([1, 7])):
        operation(model, meant, 2)


def test_padding_behind_a_source_is_right():
    model = encoder_decoder()
    assert model.config.pad_id == 0
    generate(model, [[5, 7, 2], [4, 0, 0]], 2, start_id=1, end_ids=2)


@pytest.mark.parametrize("operation", EVERY, ids=["stream", "generate", "beam_search"])
def test_what_is_no_model_is_refused(operation):
    for model in ("smollm2", language_model().config, None, (language_model(), Bytes()), LanguageModel, EncoderDecoder):
        with pytest.raises(ValueError, match=r"takes a model, or a callable from ids \(B, T\).*fetch.load.*Received: "):
            operation(model, [1], 3)
    with pytest.raises(ValueError, match="an Encoder sees what comes later too, and writes no text.*Received: <Encoder"):
        operation(Encoder(EncoderConfig(vocab_size=9, width=8, heads=2, layers=1)), [1], 3)


@pytest.mark.parametrize("operation", EVERY, ids=["stream", "generate", "beam_search"])
@pytest.mark.parametrize("model, shape", [
    (lambda ids: np.zeros((len(ids), 5)), r"\(2, 5\)"), (lambda ids: np.zeros((*ids.shape, 5))[0], r"\(3, 5\)"),
    (lambda ids: np.zeros((1, ids.shape[1], 5)), r"\(1, 3, 5\)"), (lambda ids: np.zeros((*ids.shape, 0)), r"\(2, 3, 0\)"),
    (lambda ids: np.zeros((*ids.shape, 5, 1)), r"\(2, 3, 5, 1\)"), (lambda ids: 1.0, r"\(\)"),
])  # fmt: skip
def test_logits_with_other_axes_are_refused(operation, model, shape):
    with pytest.raises(ShapeError, match=rf"logits \(B, T, V\).*Received: ids \(2, 3\) int64, logits {shape}"):
        operation(model, [[1, 2, 3], [3, 1, 2]], 4)


def test_text_comes_of_a_tokenizer_and_the_ids_of_one_prompt():
    model = language_model()
    with pytest.raises(ValueError, match="takes a tokenizer first, and then the ids, text_stream.tokenizer, stream.*Received: "):
        text_stream(stream(model, [1], 5), Bytes())
    with pytest.raises(ValueError, match=r"those of one prompt only. Received: \[\d+, \d+\]"):
        list(text_stream(Bytes(), stream(model, [[1], [1]], 5)))
    for ids in (np.array([[1, 2]]), [1.0], [None]):
        with pytest.raises(ValueError, match="ids one by one"):
            list(text_stream(Bytes(), ids))
    assert "".join(text_stream(Bytes(), np.array([104, 105], np.uint8))) == "hi"


@pytest.mark.parametrize("operation", EVERY, ids=["stream", "generate", "beam_search"])
def test_logits_that_are_no_numbers_are_refused(operation):
    with pytest.raises(ValueError, match="a logit is NaN"):
        operation(lambda ids: np.full((*ids.shape, 4), np.nan), [1], 2)


@pytest.mark.parametrize("operation", EVERY, ids=["stream", "generate", "beam_search"])
def test_an_encoder_decoder_says_what_it_needs(operation):
    model = encoder_decoder()
    with pytest.raises(ValueError, match="give its start_id. Received: None"):
        operation(model, [4], 3)
    with pytest.raises(ValueError, match="at most 9 tokens. Received: max_new_tokens 10"):
        operation(model, [4], 10, start_id=1)
    with pytest.raises(ValueError, match="at most 8 tokens. Received: max_new_tokens 9"):
        operation(model, [4], 9, start_id=[1, 2])
    with pytest.raises(ValueError, match="ids are whole numbers from 0 to 12"):
        operation(model, [13], 3, start_id=1)
    with pytest.raises(ValueError, match="start_id are whole numbers from 0 to 10"):
        operation(model, [12], 3, start_id=11)
    unpadded = EncoderDecoder(EncoderDecoderConfig(13, 11, layers=1, heads=2, width=8, pad_id=None))
    with pytest.raises(ValueError, match=r"without a pad_id reads sources of one length. Received: lengths \[1, 2\]"):
        operation(unpadded, [[1], [2, 3]], 3, start_id=1)
    operation(unpadded, [[1, 0], [2, 3]], 3, start_id=1)


@pytest.mark.parametrize("words, message", [
    ({"beams": 0}, "beams is a whole number from 1. Received: beams 0"), ({"beams": 2.5}, "beams 2.5"),
    ({"num_return": 5}, "there are 4 beams to return. Received: num_return 5"), ({"num_return": 0}, "num_return 0"),
    ({"early_stopping": "always"}, "early_stopping is True, False or 'never'. Received: early_stopping 'always'"),
    ({"length_penalty": "1"}, "length_penalty is a number. Received: length_penalty '1'"), ({"length_penalty": True}, "a number"),
    ({"length_penalty": math.nan}, "length_penalty is a number"), ({"length_penalty": math.inf}, "length_penalty is a number"),
])  # fmt: skip
def test_a_search_checks_its_numbers(words, message):
    with pytest.raises(ValueError, match=f"beam_search: .*{message}"):
        beam_search(language_model(), [1], 3, **words)


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
    assert generate(Own(), [4], 5, start_id=1, end_ids=2).tolist() == [4] * 5
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
    with pytest.raises(ValueError, match="at most 3 tokens. Received: max_new_tokens 4"):
        generate(Writer(best), [4], 4, start_id=1, end_ids=2)


def test_a_model_that_others_trained_answers_with_its_own_signs():
    tokenizers = pytest.importorskip("tokenizers")
    words = {"<pad>": 0, "</s>": 1, **{word: place for place, word in enumerate("abcdefghi", 2)}}
    library = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="a"))
    library.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    library.post_processor = tokenizers.processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    library.add_special_tokens(["<pad>", "</s>"])
    tokenizer = PretrainedTokenizer(library, pad=0, end=1)
    config = EncoderDecoderConfig(11, 11, source_length=4, target_length=6, layers=1, heads=2, width=8, start_id=0, end_ids=(1, 5))
    model = lively(EncoderDecoder(config), seed=16)
    answers = answer(model, tokenizer, ["b c d", "e"], 6)
    expected = [generate(model, ids, 6, start_id=0, end_ids=(1, 5)) for ids in ([3, 4, 5, 1], [6, 1])]
    assert answers == [tokenizer.decode(ids) for ids in expected] and answers[0] != answers[1]
    bare = [tokenizer.decode(generate(model, ids, 6)) for ids in ([3, 4, 5], [6])]
    assert answer(model, tokenizer, ["b c d", "e"], 6, end=False) == bare != answers
    with pytest.raises(UserError, match="reads at most 4 tokens. Received: a text of 5"):
        answer(model, tokenizer, ["b c d e"], 6)


def test_what_answers_nothing_is_refused():
    with pytest.raises(UserError, match="takes an encoder-decoder.*Received: <LanguageModel"):
        answer(language_model(), LETTERS, ["ab"], 3)
    with pytest.raises(TypeError, match=r"answer: takes a list of texts, not one; give \[text\]. Received: 'ab'"):
        answer(Writer(4), LETTERS, "ab", 3)
    with pytest.raises(TypeError, match="answer: takes a list of texts.*Received: 5"):
        answer(Writer(4), LETTERS, 5, 3)
    with pytest.raises(UserError, match="answer: takes a model, and then the tokenizer.*model <.*Vocabulary.*, tokenizer <.*Writer"):
        answer(LETTERS, Writer(4), ["ab"], 3)
    for batch in (0, -1, 1.5):
        with pytest.raises(ValueError, match=f"answer: batch is a whole number from 1. Received: batch {batch}"):
            answer(Writer(4), LETTERS, ["ab"], 3, batch=batch)


def test_texts_may_come_one_by_one():
    assert answer(Writer(4), LETTERS, (text for text in ("a", "ab", "b")), 2, batch=2) == ["aa"] * 3


# ------------------------------------------------------------------------------------------------------- beside Hugging Face


def gpt2(seed):
    """A small GPT-2 of transformers with random weights, and the same model as a callable."""
    torch, hf = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(seed)
    config = hf.GPT2Config(vocab_size=17, n_positions=32, n_embd=8, n_layer=2, n_head=2, initializer_range=0.6,
                           bos_token_id=None, eos_token_id=None, pad_token_id=0)  # fmt: skip
    theirs = hf.GPT2LMHeadModel(config).eval()

    def ours(ids):
        with torch.no_grad():
            return theirs(torch.from_numpy(ids)).logits.numpy()

    return theirs, ours


def bart(seed):
    """A small BART of transformers with random weights, and the same model in two halves."""
    torch, hf = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(seed)
    config = hf.BartConfig(vocab_size=17, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
                           decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=32,
                           init_std=0.6, pad_token_id=0, bos_token_id=1,
                           eos_token_id=2, decoder_start_token_id=1, forced_eos_token_id=None)  # fmt: skip
    theirs = hf.BartForConditionalGeneration(config).eval()

    class Ours:
        def encode(self, source):
            with torch.no_grad():
                states = theirs.model.encoder(torch.from_numpy(source), attention_mask=torch.from_numpy(source != 0))
            return states.last_hidden_state.numpy(), source != 0

        def decode(self, target, memory):
            states, mask = map(torch.from_numpy, memory)
            with torch.no_grad():
                return theirs(encoder_outputs=(states,), attention_mask=mask, decoder_input_ids=torch.from_numpy(target)).logits.numpy()

    return theirs, Ours()


def their_generate(theirs, ids, new, **words):
    """The rows that transformers writes behind prompts or sources of one or several lengths, cut behind the first end; and their scores."""
    torch = pytest.importorskip("torch")
    answers = theirs.config.is_encoder_decoder
    longest = max(map(len, ids))
    sides = [(0, longest - len(row)) if answers else (longest - len(row), 0) for row in ids]
    padded = torch.from_numpy(np.stack([np.pad(row, side) for row, side in zip(ids, sides)]))
    mask = torch.from_numpy(np.stack([np.pad(np.ones(len(row), int), side) for row, side in zip(ids, sides)]))
    out = theirs.generate(padded, attention_mask=mask, max_new_tokens=new, pad_token_id=0, return_dict_in_generate=True, output_scores=True,
                          **words)  # fmt: skip
    ends = {*np.ravel(words.get("eos_token_id") or ())}
    rows = [row[1 if answers else longest :].tolist() for row in out.sequences]
    cut = [next((row[: place + 1] for place, token in enumerate(row) if token in ends), row) for row in rows]
    return cut, getattr(out, "sequences_scores", None)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [gpt2, bart])
@pytest.mark.parametrize("ends", [None, 5, [2, 5, 9]])
def test_greedy_and_beams_are_those_of_transformers(make, ends):
    rng = np.random.default_rng(9)
    words = {"start_id": 1} if make is bart else {}
    for seed in range(3):
        theirs, ours = make(seed)
        theirs.generation_config.eos_token_id = None
        prompts = [rng.integers(3, 17, size=n).tolist() for n in (4, 2, 5)]
        for penalty in (None, 1.6):
            expected, _ = their_generate(theirs, prompts, 9, do_sample=False, eos_token_id=ends, repetition_penalty=penalty)
            found = generate(ours, prompts, 9, end_ids=ends or (), repetition_penalty=penalty, **words)
            if make is bart or penalty is None:  # their padding counts as seen
                assert [row.tolist() for row in found] == expected
        for early, length_penalty, beams in itertools.product((True, False, "never"), (-1.0, 0.0, 1.0, 2.5), (2, 4)):
            expected, scores = their_generate(theirs, prompts, 9, do_sample=False, eos_token_id=ends, num_beams=beams,
                                              num_return_sequences=2, early_stopping=early, length_penalty=length_penalty)  # fmt: skip
            found = beam_search(ours, prompts, 9, beams=beams, num_return=2, end_ids=ends or (), early_stopping=early,
                                length_penalty=length_penalty, **words)  # fmt: skip
            flat = [beam for of_prompt in found for beam in of_prompt]
            assert [beam.ids.tolist() for beam in flat] == expected, (seed, early, length_penalty, beams)
            np.testing.assert_allclose([beam.score for beam in flat], scores.numpy(), rtol=2e-5)

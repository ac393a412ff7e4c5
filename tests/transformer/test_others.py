"""Models that others trained, at work: sentences as vectors, a word from block to block, and answers; here with small ones of our own."""

import json
import re
from unittest import mock

import numpy as np
import pytest

import minigrad as mg
import transformer as tf
from tests.transformer.test_tokenizers import bytewise, folder_of, unigram, wordpiece
from transformer import (
    Encoder,
    EncoderConfig,
    EncoderDecoder,
    EncoderDecoderConfig,
    LanguageModel,
    LanguageModelConfig,
    Vocabulary,
    fetch,
    load_tokenizer,
    save_pretrained,
    sentences,
)
from transformer.__main__ import main
from transformer.chat import asked, chatml
from transformer.config import GenerateConfig, MeaningConfig, parse
from transformer.errors import UserError
from transformer.fetch import load
from transformer.meaning import drift, word_vectors
from transformer.sentences import embed_sentences
from transformer.tokenizers import CharTokenizer

SIZES = {"layers": 3, "heads": 2, "width": 12, "block_size": 40}
RIVER, MONEY, LONG = "the bank of the river", "Money in the bank", "we've got money in the bank of the river"


@pytest.fixture
def encoder(tmp_path):
    """A folder with an encoder and a tokenizer of others."""
    folder_of(wordpiece, tmp_path)
    size = load_tokenizer(tmp_path).vocab_size
    save_pretrained(Encoder(EncoderConfig(size, pooling="mean", segments=2, norm="post", **SIZES), seed=3), tmp_path)
    return tmp_path


@pytest.fixture
def talker(tmp_path):
    """A folder with a language model that was never taught anything, and with a chat template."""
    folder_of(bytewise, tmp_path)
    size = load_tokenizer(tmp_path).vocab_size
    save_pretrained(LanguageModel(LanguageModelConfig(size, **{**SIZES, "block_size": 300}), seed=5), tmp_path)
    return tmp_path


# ---------------------------------------------------------------------------------------------------------------------- sentences


def test_each_sentence_gets_the_vector_that_it_has_alone(encoder):
    model, tokenizer = load(encoder)
    texts = [LONG, "bank", MONEY, "bank", RIVER, "the " * 60]
    found = embed_sentences(model, tokenizer, texts, batch=2)
    assert found.shape == (6, 12)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    for vector, text in zip(found, texts):
        alone = model(np.array([tokenizer.encode(text, longest=40)])).numpy()[0]
        np.testing.assert_allclose(vector, alone / np.linalg.norm(alone), atol=1e-6)
    np.testing.assert_array_equal(found[1], found[3])
    assert np.abs(found[0] - found[2]).max() > 0.01
    assert embed_sentences(model, tokenizer, []).shape == (0, 12)
    assert embed_sentences(model, tokenizer, (RIVER, ""), batch=1).shape == (2, 12)
    np.testing.assert_array_equal(embed_sentences(model, tokenizer, (text for text in texts), batch=2), found)


def test_a_model_without_one_vector_per_text_or_with_other_padding_is_refused():
    sizes = {"vocab_size": 7, "block_size": 8, "width": 8, "heads": 2, "layers": 1}
    with pytest.raises(ValueError, match="a vector for each token, and no modules.json .* model.config.pooling = 'mean'.*pooling None"):
        embed_sentences(Encoder(EncoderConfig(**sizes)), Vocabulary("abc"), ["a"])
    with pytest.raises(ValueError, match="pads with the pad_id of its model. Received: tokenizer 'Vocabulary', pad 0, pad_id 3"):
        embed_sentences(Encoder(EncoderConfig(**sizes, pooling="mean", pad_id=3)), Vocabulary("abc"), ["a"])
    with pytest.raises(ValueError, match="gives their logits instead of a vector of width E. Received: classes 3"):
        embed_sentences(Encoder(EncoderConfig(**sizes, classes=3)), Vocabulary("abc"), ["a"])
    with pytest.raises(ValueError, match="takes an Encoder, which makes one vector of a text. Received: <LanguageModel"):
        embed_sentences(LanguageModel(LanguageModelConfig(**sizes)), Vocabulary("abc"), ["a"])
    for batch in (0, -1, 1.5):
        with pytest.raises(ValueError, match=f"embed_sentences: batch is a whole number from 1. Received: batch {batch}"):
            embed_sentences(Encoder(EncoderConfig(**sizes, pooling="mean")), Vocabulary("abc"), ["a"], batch)


def test_the_table_of_cosines(encoder, capsys):
    assert main(["embed", RIVER, MONEY, LONG, "--model", str(encoder)]) == 0
    said = capsys.readouterr().out
    model, tokenizer = load(encoder)
    vectors = embed_sentences(model, tokenizer, [RIVER, MONEY, LONG])
    lines = [line.split() for line in said.splitlines() if line.split()[:1] in (["1"], ["2"], ["3"])][1:]  # below the head
    for number, (text, line) in enumerate(zip((RIVER, MONEY, LONG), lines)):
        assert line[1:-3] == text.split()
        assert line[-3:] == [f"{cosine:.2f}" for cosine in vectors[number] @ vectors.T]
    assert "\x1b" not in said


# ------------------------------------------------------------------------------------------------------------------------- meaning


@pytest.mark.parametrize("kind", ["encoder", "talker"])
def test_the_vectors_behind_the_embedding_and_behind_each_block(kind, request):
    model, tokenizer = load(request.getfixturevalue(kind))
    ids = np.array([tokenizer.encode(RIVER), tokenizer.encode(RIVER)[::-1]])
    passed = model.hidden(ids)
    assert [x.shape for x in passed] == [(2, ids.shape[1], 12)] * (SIZES["layers"] + 1)
    x = model.embed(ids, training=False, segments=model._kinds(ids, None)) if kind == "encoder" else model.embed(ids, training=False)
    for block, found in zip([None, *model.blocks], passed):
        x = x if block is None else block(x, use_causal_mask=kind == "talker")
        np.testing.assert_allclose(found.numpy(), x.numpy(), atol=1e-6)
    whole = mg.mean(passed[-1], 1) if kind == "encoder" else model.logits(passed[-1])
    np.testing.assert_allclose(model(ids).numpy(), whole.numpy(), atol=1e-5)


def test_padding_changes_nothing_of_what_stands_behind_the_blocks(encoder):
    model, tokenizer = load(encoder)
    alone, beside = model.hidden(tokenizer.batch([MONEY])), model.hidden(tokenizer.batch([MONEY, LONG]))
    for one, two in zip(alone, beside):
        assert two.shape[1] > one.shape[1]
        np.testing.assert_allclose(one.numpy()[0], two.numpy()[0, : one.shape[1]], atol=1e-6)


@pytest.mark.parametrize("kind", ["encoder", "talker"])
def test_the_vectors_of_a_word(kind, request):
    model, tokenizer = load(request.getfixturevalue(kind))
    spans = tokenizer.spans(LONG)
    begin = LONG.index("river")
    places = [place for place, (first, last) in enumerate(spans) if first < begin + 5 and last > begin]
    assert len(places) >= 1 and "".join(LONG[slice(*spans[place])] for place in places).strip() == "river"
    passed = [x.numpy()[0] for x in model.hidden(np.array([tokenizer.encode(LONG)]))]
    np.testing.assert_allclose(word_vectors(model, tokenizer, "River", LONG), [x[places].mean(axis=0) for x in passed], atol=1e-6)
    marked = "the bank; bank"
    (place, *_) = (place for place, (first, last) in enumerate(tokenizer.spans(marked)) if marked[first:last].strip() == "bank")
    passed = [x.numpy()[0] for x in model.hidden(np.array([tokenizer.encode(marked)]))]  # neither the sign behind it nor the second one
    np.testing.assert_allclose(word_vectors(model, tokenizer, "bank", marked), [x[place] for x in passed], atol=1e-6)
    for text, other in {"embank": "embank", "two BANKS": "BANKS", "the bänk": None}.items():  # a part of a word is another word
        hint = rf": '{other}' is another word \(endings count, upper and lower case do not\)" if other else ""
        with pytest.raises(UserError, match=rf"^The word 'bank' is not in the sentence '{text}'{hint}\.$"):
            word_vectors(model, tokenizer, "bank", text)
    with pytest.raises(UserError, match="This model reads at most"):
        word_vectors(model, tokenizer, "bank", "bank " * 400)


def test_how_far_a_word_is_from_itself(encoder):
    model, tokenizer = load(encoder)
    found = drift(model, tokenizer, "bank", [RIVER, MONEY, RIVER.upper()])
    assert list(found) == [(0, 1), (0, 2), (1, 2)] and all(values.shape == (4,) for values in found.values())
    np.testing.assert_allclose(found[0, 2], 1, atol=1e-6)  # upper case is no other word for this tokenizer
    one, other = (word_vectors(model, tokenizer, "bank", text) for text in (RIVER, MONEY))
    expected = [a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in zip(one, other)]
    np.testing.assert_allclose(found[0, 1], expected, atol=1e-6)
    assert found[0, 1].max() < 1 - 1e-4


def test_the_table_and_the_picture_of_a_word(encoder, tmp_path, capsys):
    out = tmp_path / "bank.png"
    words = ["meaning", "bank", RIVER, MONEY, LONG, "--model", str(encoder)]
    assert main([*words, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert out.read_bytes().startswith(b"\x89PNG") and f"Drawn in {out}" in said
    cosines = drift(*load(encoder), "bank", [RIVER, MONEY, LONG])
    rows = {" ".join(line.split()[:-3]): line.split()[-3:] for line in said.splitlines()}
    for row, name in enumerate(("embedding", "block 1", "block 2", "block 3")):
        assert rows[name] == [f"{values[row]:.3f}" for values in cosines.values()]
    assert main(words) == 0 and "--out FILE.png" in capsys.readouterr().out


def test_a_picture_that_cannot_be_drawn_is_told_before_anything_is_read(tmp_path, capsys):
    for out, why in ((tmp_path / "nowhere" / "x.png", "there is no folder .*nowhere for x.png"), (tmp_path / "x", "does not end with .png"),
                     (tmp_path / "x.jpg", "does not end with .png, which is what is written")):  # fmt: skip
        assert main(["meaning", "bank", RIVER, MONEY, "--model", "nowhere", "--out", str(out)]) == 2
        assert re.search(f"--out: .*{why}", capsys.readouterr().err)
    assert parse(MeaningConfig, "meaning", ["bank", RIVER, MONEY, "--out", str(tmp_path / "X.PNG")])


def test_a_plain_bert_is_told_how_its_vectors_become_one(encoder, capsys):
    model, tokenizer = load(encoder)
    expected = embed_sentences(model, tokenizer, [RIVER, MONEY])
    model.config.pooling = None
    save_pretrained(model, encoder, tokenizer)
    words = ["embed", RIVER, MONEY, "--model", str(encoder)]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "a vector for each token, and no modules.json" in error and "transformer embed --pooling mean" in error
    assert main([*words, "--pooling", "mean"]) == 0
    assert f"{expected[0] @ expected[1]:.2f}" in capsys.readouterr().out
    with mock.patch.object(sentences, "embed_sentences", side_effect=lambda model, *rest: print(model.config.pooling) or expected):
        assert main([*words, "--pooling", "first"]) == 0 and "first\n" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------------------------------- answers

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}"
    "{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def test_a_template_of_chatml_is_known_however_it_is_spelled():
    expected = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    assert asked(CHATML, "Why?") == expected == chatml("Why?", "Be kind.")
    assert asked(CHATML.replace("\n", "\\n").replace("'", '"').replace(" + ", "+"), "Why?") == expected
    assert asked(CHATML.replace("['role']", ".role").replace("['content']", ".content"), "Why?") == expected
    assert asked(CHATML, "Why?", "Be brief.") == chatml("Why?", "Be brief.")
    assert asked("{% for m in messages %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% endfor %}", "Why?") is None
    assert asked(None, "Why?") is asked("", "Why?") is None


@pytest.mark.oracle
@pytest.mark.parametrize("system", [None, "Be brief."])
def test_jinja_writes_the_same_question(system):
    jinja2 = pytest.importorskip("jinja2")
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": "Why? 'Because'\n…"})
    expected = jinja2.Template(CHATML, keep_trailing_newline=True).render(messages=messages, add_generation_prompt=True)
    assert asked(CHATML, messages[-1]["content"], system) == expected


def generate(folder, capsys, *words):
    assert main(["generate", str(folder), *words]) == 0
    return capsys.readouterr().out


def with_template(folder, template):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))


def test_a_question_is_answered_and_a_text_gone_on_with(talker, capsys):
    words = ("--prompt", "the bank", "--tokens", "12", "--temperature", "1")
    raw = generate(talker, capsys, *words)
    assert raw.startswith("the bank") and len(raw) > len("the bank") + 2
    assert raw == generate(talker, capsys, *words) != generate(talker, capsys, *words, "--seed", "2")
    with_template(talker, CHATML)
    answer = generate(talker, capsys, *words)
    assert not answer.startswith("the bank") and answer != generate(talker, capsys, *words, "--system", "Be brief.")
    assert generate(talker, capsys, *words, "--raw") == generate(talker, capsys, *words, "--raw", "true") == raw
    with_template(talker, "{{ something else }}")
    assert main(["generate", str(talker), *words]) == 0
    said = capsys.readouterr()
    assert said.out == raw and "has no chat template that is known here (ChatML), so the prompt is gone on with" in said.err


def test_an_answer_ends_with_the_sign_of_the_end(talker, capsys):
    model, tokenizer = load(talker)
    ids = tokenizer.encode("the bank")
    likeliest = int(model(np.array([ids])).numpy()[0, -1].argmax())
    assert len(generate(talker, capsys, "--prompt", "the bank", "--temperature", "0", "--tokens", "9")) > len("the bank\n")
    config = json.loads((talker / "config.json").read_text())
    (talker / "config.json").write_text(json.dumps(config | {"end_ids": [likeliest]}))
    word = tokenizer.decode([likeliest])
    assert generate(talker, capsys, "--prompt", "the bank", "--temperature", "0", "--tokens", "9") == f"the bank{word}\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["generate"], 2, "required: MODEL"),
        (["generate", "smolm2", "--prompt", "a"], 1, "There is no model smolm2, did you mean smollm2?"),
        (["generate", "{talker}"], 2, "nothing to answer: give it something with --prompt"),
        (["generate", "{talker}", "--prompt", "a", "--system", "b"], 2, "--system changes nothing"),
        (["generate", "{talker}", "--prompt", "a b " * 400], 1, "This model reads at most 300 tokens"),
        (["generate", "{talker}", "--prompt", "a", "--raw", "perhaps"], 2, "--raw: 'perhaps' is not true or false"),
        (["generate", "{talker}", "--prompt", "caf\udcc3\udca9"], 2, "--prompt: it holds bytes that are not UTF-8; is the terminal's"),
        (["generate", "{talker}", "--prompt", "a", "--system", "\udcff"], 2, "--system: it holds bytes that are not UTF-8"),
        (["sample", "{answerer}", "--prompt", "\udcff\udcfe"], 2, "--prompt: it holds bytes that are not UTF-8"),
        (["embed", "a", "\udcff", "--model", "{talker}"], 2, "it holds bytes that are not UTF-8"),
        (["meaning", "a", "a", "\udcff", "--model", "{talker}"], 2, "it holds bytes that are not UTF-8"),
        (["meaning", "\udcff", "a", "a b", "--model", "{talker}"], 2, "it holds bytes that are not UTF-8"),
        (["embed", "--model", "{talker}"], 2, "required: SENTENCE"),
        (["embed", "alone"], 2, "One sentence is like itself: give two or more"),
        (["embed", "a", "b", "--model", "{talker}"], 1, "takes an Encoder, which makes one vector of a text. Received: <LanguageModel"),
        (["embed", "a", "b", "--model", "{talker}", "--pooling", "mean"], 1, "takes an Encoder"),
        (["embed", "a", "b", "--model", "nowhere"], 1, "There is no model nowhere"),
        (["meaning", "bank"], 2, "required: SENTENCE"),
        (["meaning", "bank", RIVER], 2, "give two or more"),
        (["meaning", "bank", RIVER, "money", "--model", "{talker}"], 1, "The word 'bank' is not in the sentence 'money'"),
        (["meaning", "bank", RIVER, MONEY, "--model", "{other}"], 1, "The Vocabulary of {other} does not tell where in a text"),
        (["meaning", "bank", RIVER, MONEY, "--model", "{answerer}"], 1, "The EncoderDecoder of {answerer} does not tell what"),
        (["generate", "{answerer}", "--prompt", "a"], 1, "does not go on with a text: transformer sample {answerer} has it answer"),
        (["sample", "{other}"], 1, "holds a model of the kind Encoder, which writes no text"),
    ],
)
def test_mistakes_are_one_sentence(words, code, message, talker, tmp_path, capsys):
    other = tmp_path / "other"
    model = Encoder(EncoderConfig(6, pooling="mean", **SIZES))
    save_pretrained(model, other)
    (other / "tokenizer.json").write_text(Vocabulary("ab").to_json())
    answerer = tmp_path / "answerer"
    save_pretrained(EncoderDecoder(EncoderDecoderConfig(6, 6, layers=1, heads=2, width=12)), answerer, Vocabulary("ab"))
    places = {"{talker}": str(talker), "{other}": str(other), "{answerer}": str(answerer)}
    assert main([places.get(word, word) for word in words]) == code
    error = capsys.readouterr().err
    assert message.format(other=other, answerer=answerer) in error and error.count("\n") == 1


def test_a_language_model_is_wanted_and_a_tokenizer_that_fits(encoder, capsys):
    assert main(["generate", str(encoder), "--prompt", "a"]) == 1
    assert "a model of the kind Encoder, which does not go on with a text" in capsys.readouterr().err
    saved_beside(Encoder(EncoderConfig(9, pooling="mean", **SIZES)), encoder)
    with pytest.raises(UserError, match="ids, and its model knows 9"):
        load(encoder)


def saved_beside(model, folder):
    """A model in the folder of a tokenizer, whether they belong together or not."""
    save_pretrained(model, folder / "other")
    for name in ("config.json", "model.safetensors"):
        (folder / "other" / name).replace(folder / name)


def test_a_name_is_as_good_as_a_folder(talker, monkeypatch, capsys):
    """For the commands of runs too; without a prompt a text begins behind the sign of the start."""
    lies = fetch.Packaged("a talker", "talker", "1", "0", "talker", "model")
    monkeypatch.setattr(fetch, "MODELS", {"smollm2": lies})
    monkeypatch.setattr(fetch.Packaged, "path", lambda self: talker)
    words = ["--prompt", "the bank", "--tokens", "7"]
    said = []
    for name in ("smollm2", str(talker)):
        assert main(["sample", name, *words]) == main(["summary", name]) == main(["sample", name, "--tokens", "7"]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] and said[0].startswith("the bank") and "LanguageModel" in said[0]
    model, tokenizer = load(talker)
    ids = tf.generate(model, [tokenizer.start], 7, temperature=0.8, generator=1)
    assert said[0].endswith(tokenizer.decode(ids) + "\n")
    with_sign = json.loads((talker / "tokenizer_config.json").read_text())
    (talker / "tokenizer_config.json").write_text(json.dumps(with_sign | {"bos_token": None, "cls_token": None}))
    assert main(["sample", "smollm2"]) == 2
    assert "no sign of the start: give something to go on from with --prompt" in capsys.readouterr().err


def test_an_option_of_yes_or_no_needs_no_value():
    assert [parse(GenerateConfig, "generate", ["m", *words])[0].raw for words in ([], ["--raw"], ["--raw", "no"])] == [False, True, False]


def test_a_text_that_is_longer_than_the_model_reads(encoder, capsys):
    assert main(["embed", "the " * 60, MONEY, "--model", str(encoder)]) == 0
    said = capsys.readouterr().out
    assert "Of sentence 1 only the beginning counts" in said and "the the ..." in said and "sentence 2" not in said


def test_an_answer_slides_through_the_window_of_its_model(tmp_path, capsys):
    folder = tmp_path / "speller"
    save_pretrained(LanguageModel(LanguageModelConfig(4, **{**SIZES, "block_size": 6}), seed=5), folder, CharTokenizer("abc "))
    assert main(["generate", str(folder), "--prompt", "ab c", "--raw", "--tokens", "9"]) == 0
    assert len(capsys.readouterr().out.rstrip("\n")) == 4 + 9
    assert main(["generate", str(folder), "--prompt", "ab cabc", "--raw"]) != 0
    assert "at most 6 tokens. Received: a prompt of 7" in capsys.readouterr().err


def test_a_model_that_ends_at_once_says_so(talker, capsys):
    model, tokenizer = load(talker)
    words = json.loads((talker / "config.json").read_text()) | {"end_ids": list(range(tokenizer.vocab_size))}
    (talker / "config.json").write_text(json.dumps(words))
    with mock.patch.object(type(tokenizer), "decode", lambda self, ids: "bank" if len(ids) else ""):  # the end has no text
        assert main(["generate", str(talker), "--prompt", "bank", "--raw"]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == "bank" and "the model ended at once" in said.err


def test_an_empty_answer_is_told(tmp_path, capsys):
    config = EncoderDecoderConfig(6, 6, layers=1, heads=2, width=12)
    save_pretrained(EncoderDecoder(config, seed=2), tmp_path, Vocabulary("ab"))
    for text, told in (("", "transformer: the model ended at once, and answers nothing.\n"), ("ba", "")):
        with mock.patch.object(Vocabulary, "decode", lambda self, ids, text=text: text):
            assert main(["sample", str(tmp_path), "--prompt", "ab"]) == 0
        said = capsys.readouterr()
        assert (said.out, said.err) == (f"{text}\n", told)


def test_a_table_with_more_rows_than_words_belongs_to_its_tokenizer(tmp_path, capsys):
    """As T5's has, to fill a block; one with fewer does not."""
    folder_of(unigram, tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    for more in (3, -1):
        size = tokenizer.vocab_size + more
        config = EncoderDecoderConfig(size, size, 40, 12, layers=1, heads=2, width=12, start_id=tokenizer.pad, end_ids=(tokenizer.end,))
        saved_beside(EncoderDecoder(config, seed=2), tmp_path)
        assert main(["sample", str(tmp_path), "--prompt", "the bank", "--tokens", "8"]) == (0 if more > 0 else 1)
    assert "does not belong to the model beside it" in capsys.readouterr().err


def test_a_name_is_no_folder():
    for read in (tf.from_pretrained, load_tokenizer):
        with pytest.raises(UserError, match=r"minilm.*transformer\.fetch\.load\(\"minilm\"\)"):
            read("minilm")

"""One id per character, the same in Hugging Face's library, and sentences for what is unknown."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer.errors import UserError
from transformer.tokenizers import CharTokenizer, load_tokenizer

ALPHABET = "\n\t\r ab\"\\é😀\u2028cД▁#"


@given(st.text(alphabet=ALPHABET))
def test_decode_undoes_encode(text):
    tokenizer = CharTokenizer(ALPHABET)
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int64 and ids.shape == (len(text),)
    assert [ALPHABET[i] for i in ids] == list(text)
    assert tokenizer.decode(ids) == text


def test_hugging_face_loads_the_file_and_gives_the_same_ids(tmp_path):
    library = pytest.importorskip("tokenizers")
    tokenizer = CharTokenizer(ALPHABET)
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer.to_json(), encoding="utf-8")
    theirs = library.Tokenizer.from_file(str(path))
    assert theirs.get_vocab_size() == tokenizer.vocab_size == len(ALPHABET)
    for text in ("ab a", "é😀\r\n\n\t", 'c"\\Д\u2028  a ', "▁a##b", ""):
        assert theirs.encode(text).ids == tokenizer.encode(text).tolist()
        assert theirs.decode(theirs.encode(text).ids) == text
    with pytest.raises(Exception, match="UNK"):
        theirs.encode("abz")


def test_the_file_gives_the_same_tokenizer_back(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(CharTokenizer(ALPHABET).to_json(), encoding="utf-8")
    assert load_tokenizer(path).alphabet == ALPHABET


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("abz", ["'z' (U+007A)", "position 2", "15 characters"]),
        ("\x00", ["U+0000", "position 0"]),
        ("a😁", ["U+1F601", "position 1"]),
        ("a\udc80", ["U+DC80", "position 1"]),  # what a terminal hands on for a byte that is not UTF-8
    ],
)
def test_an_unknown_character_is_named_with_its_position(text, words):
    with pytest.raises(UserError) as caught:
        CharTokenizer(ALPHABET).encode(text)
    for word in words:
        assert word in str(caught.value)
    str(caught.value).encode()  # can be printed


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        json.dumps({"model": {"type": "BPE", "vocab": {"a": 0}}}),
        json.dumps({"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 2}}}),
        json.dumps({"model": {"type": "WordLevel", "vocab": {"a": 0, "word": 1}}}),
        json.dumps({"model": {"type": "WordLevel", "vocab": {}}}),
        json.dumps({"model": {"type": "WordLevel", "vocab": ["a"]}}),
        json.dumps({"model": {"type": "WordLevel", "vocab": {"a": "0"}}}),
    ],
)
def test_a_damaged_or_foreign_file_is_named(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"tokenizer\.json is damaged"):
        load_tokenizer(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"tokenizer\.json cannot be read: No such file"):
        load_tokenizer(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("alphabet", ["", "aba"])
def test_an_alphabet_has_each_character_once(alphabet):
    with pytest.raises(ValueError, match="Received"):
        CharTokenizer(alphabet)

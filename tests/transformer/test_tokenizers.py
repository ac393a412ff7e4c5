"""One id per character, the same in Hugging Face's library, and sentences for what is unknown."""

import copy
import json
import pickle
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer.errors import UserError
from transformer.tokenizers import CharTokenizer, Subwords, Vocabulary, load_tokenizer

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


# ---------------------------------------------------------------------------------------------------------------- sequences


def pieces():
    return Subwords.learn(["lopen en kopen", "lopen of kopen"] * 9, 30)


def test_no_text_can_say_where_it_ends():
    with pytest.raises(UserError, match="The word '</s>' at position 1 is not among the 2 words"):
        Vocabulary(["a", "b"], words=True).encode("a </s> b <pad>")
    assert Vocabulary(["a", "b"], words=True, lenient=True).encode("a </s> b <pad>") == [4, 3, 5, 3]
    assert Vocabulary("</s>").encode("</s>") == [4, 5, 6, 7]
    subwords = pieces()
    for tokenizer in (subwords, loaded(subwords)):
        assert not {tokenizer.pad, tokenizer.start, tokenizer.end} & {*tokenizer.encode("lopen </s> en <pad> of<s>")}


def loaded(tokenizer):
    """What comes back from the file."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
        return load_tokenizer(folder)


def test_hugging_face_gives_the_same_ids_of_sequences():
    library = pytest.importorskip("tokenizers")
    for tokenizer, texts in (
        (Vocabulary("<s>/ab"), ["a<s>b", "</s>", "", "ba<s>"]),
        (Vocabulary(["<s", "de", "man"], words=True), ["de man", "man  <s de"]),
        (Vocabulary(["de", "man"], words=True, lenient=True), ["de vrouw", "de<s>man"]),
        (pieces(), ["lopen en", "Lopen en xyz"]),
    ):
        theirs = library.Tokenizer.from_str(tokenizer.to_json())
        assert theirs.get_vocab_size() == loaded(tokenizer).vocab_size == tokenizer.vocab_size
        for text in texts:
            assert theirs.encode(text).ids == tokenizer.encode(text) == loaded(tokenizer).encode(text)


@pytest.mark.parametrize("make", [lambda: CharTokenizer("ab"), lambda: Vocabulary("ab"), pieces])
@pytest.mark.parametrize("ids", [[-1], [1.9], np.array([0.0, 1.0]), [10_000], [True], [[1]]])
def test_ids_that_are_none(make, ids):
    tokenizer = make()
    with pytest.raises(ValueError, match=f"whole numbers from 0 to {tokenizer.vocab_size - 1}"):
        tokenizer.decode(ids)
    assert tokenizer.decode([]) == tokenizer.decode(iter([])) == "" and tokenizer.decode(np.array([1], np.uint8)) is not None


def test_a_damaged_file_of_pieces(tmp_path):
    content = json.loads(pieces().to_json())
    content["model"]["merges"] = [["nothing", "known"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"tokenizer\.json is damaged"):
        load_tokenizer(tmp_path)


def test_what_is_no_damage_is_not_called_so(tmp_path, monkeypatch):
    (tmp_path / "tokenizer.json").write_text(pieces().to_json())
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "tokenizers", None)
        with pytest.raises(UserError, match="pip install"):
            load_tokenizer(tmp_path)

    def broken(self, tokenizer):
        raise AttributeError("no such option in this version")

    monkeypatch.setattr(Subwords, "__init__", broken)
    with pytest.raises(AttributeError, match="no such option"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda tokenizer: pickle.loads(pickle.dumps(tokenizer))])
def test_a_copy_of_pieces_reads_no_signs_either(copied):
    tokenizer = pieces()
    tokenizer.language = "nl"  # what somebody adds is copied as ever
    again, text = copied(tokenizer), "lopen</s> kopen"
    assert again.encode(text) == tokenizer.encode(text) and tokenizer.end not in again.encode(text)
    assert again.language == "nl"


@pytest.mark.parametrize("kind", [list, np.array, iter])
def test_behind_the_end_may_stand_anything(kind):
    """Labels hold an ``ignore_index`` there."""
    assert Vocabulary("ab").decode(kind([4, 2, -100])) == "a"
    with pytest.raises(ValueError, match="decode: ids"):
        Vocabulary("ab").decode(kind([4, -100, 2]))

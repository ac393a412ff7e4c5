"""One id per character, the same in Hugging Face's library, and sentences for what is unknown."""

import copy
import itertools
import json
import pickle
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer import (
    Encoder,
    EncoderConfig,
    EncoderDecoder,
    EncoderDecoderConfig,
    LanguageModel,
    LanguageModelConfig,
    answer,
    save_pretrained,
)
from transformer.chat import ends
from transformer.errors import UserError
from transformer.sentences import embed_sentences
from transformer.tokenizers import (
    CharTokenizer,
    PretrainedTokenizer,
    Subwords,
    Vocabulary,
    load_tokenizer,
    save_tokenizer,
)

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
    with pytest.raises(UserError, match=r"tokenizer\.json is (damaged|empty)"):
        load_tokenizer(path)


def test_a_pointer_and_an_empty_file_are_told_so(tmp_path):
    for content, said in (("version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not the file itself"), ("", "empty")):
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(UserError, match=rf"tokenizer\.json is {said}"):
            load_tokenizer(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"tokenizer\.json cannot be read: No such file"):
        load_tokenizer(tmp_path / "tokenizer.json")
    with pytest.raises(UserError, match=r"tokenizer\.json is all that is read.*AutoTokenizer\.from_pretrained") as caught:
        load_tokenizer(tmp_path)
    assert "fetch" not in str(caught.value)


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
@pytest.mark.parametrize("ids", [[-1], [1.9], np.array([0.0, 1.0]), [10_000], [True], "ab", ["a", "b"], 3, None])
def test_ids_that_are_none(make, ids):
    tokenizer = make()
    with pytest.raises(ValueError, match=f"whole numbers from 0 to {tokenizer.vocab_size - 1}"):
        tokenizer.decode(ids)
    assert tokenizer.decode([]) == tokenizer.decode(iter([])) == "" and tokenizer.decode(np.array([1], np.uint8)) is not None


@pytest.mark.parametrize("make", [lambda: CharTokenizer("ab"), lambda: Vocabulary("ab"), pieces])
@pytest.mark.parametrize("ids", [[[1]], [[0, 1], [1]], np.array([[1, 0]]), [np.array([1, 0])], np.zeros((2, 3, 4), int)])
def test_a_batch_is_decoded_row_by_row(make, ids):
    with pytest.raises(ValueError, match=r"decode: takes ids \(T,\), one row at a time: \[tokenizer.decode\(row\) for row in ids\]"):
        make().decode(ids)


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


# ------------------------------------------------------------------------------------------------------- what others trained

CORPUS = [
    "the bank of the river", "money in the bank 12 345", "naïve café — “quoted”", "don't stop; we've got 3 👍🏽", "你好 世界 שלום",
] * 5  # fmt: skip
AWKWARD = (
    "the bank", "e\u0301 caf\u00e9 a\u0308", "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽", "你好，世界 日本語", "שלום עולם مرحبا", "  two  spaces\t\r\n",
    "ﬁ ① ² ½ Ⅷ", "İSTANBUL ß ẞ",
    "\x00\x01\u200b\u200d\ufeff\u2028x\u00a0y", "12345 1,000.5e-3", "", "   ",
    "[CLS] a [SEP] <s> </s> <mask>", "x" * 200, "𝕳 \U0010ffff",
)  # fmt: skip


def wordpiece():
    """As a BERT has it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    signs = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=120, special_tokens=signs, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=128, pad_token="[PAD]")
    said = {"tokenizer_class": "BertTokenizer", "unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return tokenizer, said, (0, 2, 3, 1)


def bytewise():
    """As GPT-2 and BART have it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    signs, alphabet = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=signs, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    said = {"bos_token": "<s>", "cls_token": "<s>", "sep_token": "</s>", "eos_token": {"content": "</s>", "__type": "AddedToken"}}
    said |= {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "pad_token": "<pad>"}
    return tokenizer, said, (1, 0, 2, 3)


def unigram():
    """As T5 and Marian have it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    signs = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=90, special_tokens=signs, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return tokenizer, said, (0, None, 1, 2)


KINDS = (wordpiece, bytewise, unigram)


def folder_of(kind, folder):
    """What others leave behind, and its ids of pad, start, end and unknown."""
    pytest.importorskip("tokenizers")
    tokenizer, said, signs = kind()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    return tokenizer, signs


@pytest.mark.parametrize("kind", KINDS)
def test_tokenizers_that_others_trained(kind, tmp_path):
    library, signs = folder_of(kind, tmp_path)
    library.no_padding()
    library.no_truncation()
    tokenizer = load_tokenizer(tmp_path)
    assert (tokenizer.pad, tokenizer.start, tokenizer.end, tokenizer.unknown) == signs
    assert tokenizer.vocab_size == library.get_vocab_size()
    for text in AWKWARD:
        with_signs, alone = library.encode(text).ids, library.encode(text, add_special_tokens=False).ids
        assert tokenizer.encode(text) == with_signs and tokenizer.encode(text, special=False) == alone
        around = len(with_signs) - len(alone)
        for longest in (around, around + 1, 7, 10_000):  # the text is cut, the signs stay
            before = around - 1  # the last sign stands behind, the others before
            cut = [*with_signs[:before], *alone[: longest - around], *with_signs[len(with_signs) - 1 :]]
            assert tokenizer.encode(text, longest=longest) == cut
    assert tokenizer.to_json() == (tmp_path / "tokenizer.json").read_text()
    assert "bank" in tokenizer.decode(tokenizer.encode("the bank of"))
    with pytest.raises(UserError, match=r"U\+DC80 at position 1 is half a character"):
        tokenizer.encode("a\udc80")
    with pytest.raises(TypeError, match="a text is a str. Received: 3"):
        tokenizer.encode(3)
    with pytest.raises(ValueError, match="signs stand around a text. Received: longest 0"):
        tokenizer.encode("a", longest=0)


def test_batches_are_padded_with_the_sign_for_it(tmp_path):
    folder_of(bytewise, tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    short, long = tokenizer.encode("a"), tokenizer.encode("the bank of the river")
    ids = tokenizer.batch(["the bank of the river", "a"])
    assert ids.dtype == np.int64 and ids.tolist() == [long, short + [tokenizer.pad] * (len(long) - len(short))]
    assert tokenizer.batch(["the bank of the river", "a"], special=False, longest=2).shape == (2, 2)
    assert tokenizer.batch([]).shape == (0, 0)
    tokenizer.pad = None
    with pytest.raises(ValueError, match="no sign for padding"):
        tokenizer.batch(["a", "the bank of the river"])
    assert tokenizer.batch(["a", "a"]).tolist() == [short, short]


def test_signs_that_are_said_elsewhere_or_nowhere(tmp_path):
    folder_of(wordpiece, tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    alone = load_tokenizer(tmp_path)
    assert (alone.pad, alone.start, alone.end, alone.unknown) == (0, None, None, 1)  # padding and unknown words are in the file itself
    (tmp_path / "special_tokens_map.json").write_text('{"cls_token": {"content": "[CLS]"}, "sep_token": "[MASK]"}')
    (tmp_path / "tokenizer_config.json").write_text('{"sep_token": "[SEP]", "chat_template": "one"}')
    both = load_tokenizer(tmp_path)
    assert (both.start, both.end, both.chat_template) == (2, 3, "one")
    (tmp_path / "chat_template.jinja").write_text("two")
    assert load_tokenizer(tmp_path).chat_template == "two"
    (tmp_path / "tokenizer_config.json").write_text("[1]")
    with pytest.raises(UserError, match="is damaged"):
        load_tokenizer(tmp_path)


def test_pieces_of_a_foreign_kind_are_not_taken_for_ours(tmp_path):
    tokenizer = pieces()
    content = json.loads(tokenizer.to_json())
    content["normalizer"] = None  # otherwise as ours: without lower case it is somebody else's
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert isinstance(load_tokenizer(tmp_path), PretrainedTokenizer)
    assert isinstance(loaded(tokenizer), Subwords)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_transformers_gives_the_same_ids(kind, tmp_path):
    library = pytest.importorskip("transformers")
    folder_of(kind, tmp_path)
    ours, theirs = load_tokenizer(tmp_path), library.AutoTokenizer.from_pretrained(tmp_path)
    for text in AWKWARD:
        assert ours.encode(text) == theirs(text)["input_ids"], text
        assert ours.encode(text, special=False) == theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.encode(text, longest=6) == theirs(text, truncation=True, max_length=6)["input_ids"]
    for sign in ("pad", "unk"):
        assert getattr(ours, {"pad": "pad", "unk": "unknown"}[sign]) == getattr(theirs, f"{sign}_token_id")


OWN = {
    "characters": lambda: CharTokenizer("abc ,.'nt"),
    "letters": lambda: Vocabulary("abc ,.'nt"),
    "words": lambda: Vocabulary(["ab", ",", "can't", "a"], words=True),
    "lenient": lambda: Vocabulary("abc ,.'nt", lenient=True),
    "pieces": lambda: Subwords.learn(["ab can't , a ba ."] * 9, 40),
}


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", ["gpt2", None])
@pytest.mark.parametrize("kind", OWN)
def test_transformers_reads_our_own_beside_a_model(kind, family, tmp_path):
    """Told nothing, it takes the tokenizer of any GPT-2 for one that knows no spaces."""
    library = pytest.importorskip("transformers")
    ours = OWN[kind]()
    config = LanguageModelConfig(vocab_size=ours.vocab_size, block_size=4, width=8, heads=2, layers=1)
    save_pretrained(LanguageModel(config), tmp_path, ours, family=family)
    theirs, again = library.AutoTokenizer.from_pretrained(tmp_path), load_tokenizer(tmp_path)
    assert type(again) is type(ours)
    for text in ("ab can't , a", "a , ab a"):  # a space before a comma is one that tidying would take away
        ids = list(ours.encode(text))
        assert ids == theirs(text)["input_ids"] == list(again.encode(text))
        assert theirs.decode(ids) == ours.decode(ids) == again.decode(ids) == text


@pytest.mark.parametrize("kind", KINDS)
def test_signs_and_template_are_saved_beside_a_model(kind, tmp_path):
    folder_of(kind, tmp_path)
    first = load_tokenizer(tmp_path)
    first.chat_template = "{{ messages }}"
    config = LanguageModelConfig(vocab_size=first.vocab_size, block_size=4, width=8, heads=2, layers=1)
    save_pretrained(LanguageModel(config), tmp_path / "saved", first)
    again = load_tokenizer(tmp_path / "saved")
    for name in ("pad", "start", "end", "unknown", "chat_template"):
        assert getattr(again, name) == getattr(first, name), name
    assert [again.encode(text) for text in AWKWARD] == [first.encode(text) for text in AWKWARD]


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_transformers_reads_the_signs_that_are_saved(kind, tmp_path):
    library = pytest.importorskip("transformers")
    folder_of(kind, tmp_path)
    ours = load_tokenizer(tmp_path)
    config = LanguageModelConfig(vocab_size=ours.vocab_size, block_size=4, width=8, heads=2, layers=1)
    save_pretrained(LanguageModel(config), tmp_path / "saved", ours)
    (tmp_path / "saved" / "config.json").unlink()  # of a kind that only this package knows
    theirs = library.AutoTokenizer.from_pretrained(tmp_path / "saved")
    signs = theirs.pad_token_id, theirs.bos_token_id, theirs.eos_token_id, theirs.unk_token_id
    assert signs == (ours.pad, ours.start, ours.end, ours.unknown)
    for text in AWKWARD:
        assert ours.encode(text) == theirs(text)["input_ids"], text


@pytest.mark.parametrize("kind", KINDS)
def test_a_sign_that_is_asked_for_stands_there_once(kind, tmp_path):
    folder_of(kind, tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    (row,) = tokenizer.batch(["the bank"], start=True, end=True).tolist()
    bare = tokenizer.encode("the bank", special=False)
    inner = row[(tokenizer.start is not None) : len(row) - (tokenizer.end is not None)]
    assert inner == bare
    assert row[0] == (bare[0] if tokenizer.start is None else tokenizer.start)
    assert row[-1] == (bare[-1] if tokenizer.end is None else tokenizer.end)


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_of_a_long_text_the_end_is_cut_and_not_its_signs(kind, special, tmp_path):
    folder_of(kind, tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    short, long, bare = "a", "the bank of the river", tokenizer.encode("the bank of the river", special=False)
    for start, end in itertools.product([True, False], repeat=2):
        (whole,) = tokenizer.batch([long], start, end, special=special).tolist()
        before = whole.index(bare[0])
        behind = len(whole) - before - len(bare)
        for longest in (before + behind, before + behind + 1, len(whole) - 1, len(whole), len(whole) + 2):
            (row,) = tokenizer.batch([long], start, end, longest, special).tolist()
            cut = max(len(whole) - longest, 0)
            assert row == whole[: len(whole) - behind - cut] + whole[len(whole) - behind :]
            assert row[:1] == [tokenizer.start] or not start or tokenizer.start is None
            assert row[-1:] == [tokenizer.end] or not end
            assert tokenizer.batch([short, long], start, end, longest, special).shape[1] <= longest
        with pytest.raises(ValueError, match=f"batch: {before + behind} signs stand around a text. Received: longest"):
            tokenizer.batch([long], start, end, before + behind - 1, special)


def test_of_our_own_tokenizers_too():
    letters = Vocabulary("abc")
    assert letters.batch(["abc", "b"], start=True, end=True, longest=4).tolist() == [[1, 4, 5, 2], [1, 5, 2, 0]]
    assert letters.batch(["abc"], end=True, longest=1).tolist() == [[2]] and letters.batch(["abc"], longest=2).tolist() == [[4, 5]]
    with pytest.raises(ValueError, match="batch: 2 signs stand around a text. Received: longest 1"):
        letters.batch(["abc"], start=True, end=True, longest=1)


def test_what_is_saved_is_what_is_read_whatever_lay_there(tmp_path):
    """A chat template of an earlier tokenizer would win over the new one, and signs of an earlier one be those of one that has none."""
    folder_of(bytewise, tmp_path)
    tokenizer, signs = load_tokenizer(tmp_path), ("pad", "start", "end", "unknown", "chat_template")
    (tmp_path / "chat_template.jinja").write_text("of an earlier one")
    (tmp_path / "special_tokens_map.json").write_text('{"bos_token": "<mask>", "cls_token": "<mask>"}')
    for template, start in (("new", tokenizer.start), (None, None)):
        tokenizer.chat_template, tokenizer.start = template, start
        save_tokenizer(tokenizer, tmp_path)
        assert [getattr(load_tokenizer(tmp_path), name) for name in signs] == [getattr(tokenizer, name) for name in signs]
    save_tokenizer(Vocabulary("ab"), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"tokenizer.json", "tokenizer_config.json"}
    assert isinstance(load_tokenizer(tmp_path), Vocabulary)


def test_what_has_no_signs_ends_no_text_and_pads_none():
    model = LanguageModel(LanguageModelConfig(vocab_size=3, block_size=4, width=8, heads=2, layers=1))
    assert ends(model, CharTokenizer("abc")) == ()
    encoder = Encoder(EncoderConfig(vocab_size=3, block_size=4, width=8, heads=2, layers=1, pooling="mean"))
    with pytest.raises(UserError, match="pads with the pad_id of its model. Received: tokenizer 'CharTokenizer', pad None, pad_id 0"):
        embed_sentences(encoder, CharTokenizer("abc"), ["a", "b"])


@pytest.mark.parametrize("kind", ["vocabulary", *KINDS])
def test_one_text_is_no_list_of_its_characters(kind, tmp_path):
    if kind != "vocabulary":
        folder_of(kind, tmp_path)
    tokenizer = Vocabulary("ab") if kind == "vocabulary" else load_tokenizer(tmp_path)
    encoder = Encoder(EncoderConfig(tokenizer.vocab_size, block_size=4, width=8, heads=2, layers=1, pooling="mean", pad_id=tokenizer.pad))
    for name, use in {"batch": tokenizer.batch, "embed_sentences": lambda texts: embed_sentences(encoder, tokenizer, texts)}.items():
        with pytest.raises(TypeError, match=rf"{name}: takes a list of texts, not one; give \[text\]. Received: 'a b'"):
            use("a b")


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_decoder_answers_with_any_tokenizer(kind, tmp_path):
    folder_of(kind, tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    V = tokenizer.vocab_size
    sizes = {"source_vocab": V, "target_vocab": V, "source_length": 40, "target_length": 6}
    model = EncoderDecoder(EncoderDecoderConfig(**sizes, width=8, heads=2, layers=1, start_id=tokenizer.pad))
    (written,) = answer(model, tokenizer, ["the bank"], 3)
    assert isinstance(written, str)


@pytest.mark.parametrize("text", [5, None, ["a", "b"], b"ab"])
def test_a_text_is_a_str(text):
    for tokenizer in (CharTokenizer("ab"), Vocabulary("ab"), Vocabulary(["a", "b"], words=True)):
        with pytest.raises(TypeError, match="encode: a text is a str. Received: "):
            tokenizer.encode(text)
        for texts in ([text], 5):
            if hasattr(tokenizer, "batch"):
                with pytest.raises(TypeError, match="encode: a text is a str|batch: takes a list of texts"):
                    tokenizer.batch(texts)

"""Text to ids and back: an id per character, word or piece of a word, with signs for padding, start and end; and what others trained."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.errors import received
from transformer import runs
from transformer.errors import UserError, extra


class CharTokenizer:
    """One id per character of an alphabet, in the order given: ids (T,) of a text of T characters.

    Raises `UserError`, naming character and position, for a character outside the alphabet.

    >>> tokenizer = CharTokenizer("abc ")
    >>> tokenizer.encode("a cab")
    array([0, 3, 2, 0, 1])
    >>> tokenizer.decode([0, 3, 2, 0, 1])
    'a cab'
    """

    def __init__(self, alphabet: str) -> None:
        self.alphabet = alphabet
        self._points = _code_points(alphabet)  # (V,)
        self._order = np.argsort(self._points, kind="stable")  # rank of a code point -> its id
        self._sorted = self._points[self._order]
        if not alphabet or (self._sorted[1:] == self._sorted[:-1]).any():
            raise ValueError(f"An alphabet holds each of its characters once, at least one. Received: {alphabet!r}.")

    @property
    def vocab_size(self) -> int:
        """The number of ids, V."""
        return len(self.alphabet)

    @property
    def start(self) -> str:
        """What to go on from where nothing is given: the end of a line, or the first character."""
        return "\n" if "\n" in self.alphabet else self.alphabet[0]

    def encode(self, text: str) -> np.ndarray:
        """Ids (T,), int64, of the T characters of a text."""
        points = _code_points(_text(text))
        ranks = np.searchsorted(self._sorted, points).clip(max=self.vocab_size - 1)
        unknown = np.flatnonzero(self._sorted[ranks] != points)
        if unknown.size:
            place = int(unknown[0])
            raise UserError(
                f"The character {_named(text[place])} at position {place} is not among the {self.vocab_size} "
                "characters that this model knows."
            )
        return self._order[ranks]

    def decode(self, ids: Iterable[int] | np.ndarray) -> str:
        """The text of ids."""
        points = self._points[_checked(ids, self.vocab_size)]
        return points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def to_json(self) -> str:
        """This tokenizer as a Hugging Face `tokenizer.json`, which their library loads and gives the same ids.

        Split cuts the text into characters, WordLevel numbers them, Fuse puts the characters of ids together again.
        """
        with extra("train"):
            from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

        # An unknown token that is not in the vocabulary makes an unknown character an error there too.
        vocabulary = {character: number for number, character in enumerate(self.alphabet)}
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
        tokenizer.decoder = decoders.Fuse()
        return tokenizer.to_str(pretty=True)


PAD, START, END, UNKNOWN = SIGNS = ("<pad>", "<s>", "</s>", "<unk>")  # ids 0, 1, 2, 3


class SequenceTokenizer:
    """What tokenizers for sequences share: four signs, padding 0, start 1, end 2, unknown 3, and batches of padded ids."""

    pad, start, end, unknown = range(4)
    unit = "pieces of words"  # what an id stands for

    def encode(self, text: str, start: bool = False, end: bool = False) -> list[int]:
        """The ids of a text, with the signs of start and end where they are asked for."""
        raise NotImplementedError

    def batch(self, texts: Sequence[str], start: bool = False, end: bool = False, longest: int | None = None) -> np.ndarray:
        """The ids of texts (N, T), the shorter ones padded; of a text longer than ``longest`` the end is cut off, not its signs."""
        room, before, behind = _room("batch", longest, start + end), [self.start] * start, [self.end] * end
        return padded([before + self.encode(text)[:room] + behind for text in listed("batch", texts)], self.pad)


class Vocabulary(SequenceTokenizer):
    """Ids for the tokens of sequences, characters or words, after four signs: padding 0, start 1, end 2, unknown 3.

    A token that is not in the vocabulary raises `UserError`, naming it; with ``lenient`` it becomes the unknown sign. So does a word that
    is spelled as a sign: no text can say where it ends.

    >>> vocabulary = Vocabulary("abc")
    >>> vocabulary.encode("cab", start=True, end=True), vocabulary.decode([6, 4, 5, 2, 0, 0])
    ([1, 6, 4, 5, 2], 'cab')
    >>> Vocabulary(["de", "man"], words=True).batch(["de man", "man"], end=True)
    array([[4, 5, 2],
           [5, 2, 0]])
    """

    def __init__(self, tokens: Iterable[str], words: bool = False, lenient: bool = False) -> None:
        self.tokens, self.words, self.lenient = [*SIGNS, *tokens], words, lenient
        self.ids = {token: number for number, token in enumerate(self.tokens) if number >= len(SIGNS)}  # of what a text can hold
        self.unit = "words" if words else "characters"
        wrong = [token for token in self.tokens[4:] if not token or (any(map(str.isspace, token)) if words else len(token) != 1)]
        if wrong or len(set(self.tokens)) != len(self.tokens):
            kind = "a word without spaces" if words else "one character"
            raise ValueError(f"Vocabulary: every token is {kind}, and stands there once. Received: {(wrong or self.tokens[4:])!r:.80}.")

    @property
    def vocab_size(self) -> int:
        """The number of ids with the signs, V."""
        return len(self.tokens)

    def split(self, text: str) -> list[str]:
        """The tokens of a text."""
        return _text(text).split() if self.words else list(_text(text))

    def encode(self, text: str, start: bool = False, end: bool = False) -> list[int]:
        """The ids of a text, with the signs of start and end where they are asked for."""
        tokens = self.split(text)
        if not self.lenient:
            for place, token in enumerate(tokens):
                if token not in self.ids:
                    shown = repr(token) if self.words else _named(token)
                    raise UserError(
                        f"The {self.unit[:-1]} {shown} at position {place} is not among the {self.vocab_size - len(SIGNS)} {self.unit} "
                        "that this model knows."
                    )
        return [self.start] * start + [self.ids.get(token, self.unknown) for token in tokens] + [self.end] * end

    def decode(self, ids: Iterable[int] | np.ndarray) -> str:
        """The text of ids up to the sign of the end, without the signs of padding and start."""
        tokens = []
        for number in _checked(ids, self.vocab_size, self.end):
            if number not in (self.pad, self.start):
                tokens.append(self.tokens[number])
        return (" " if self.words else "").join(tokens)

    def to_json(self) -> str:
        """This vocabulary as a Hugging Face `tokenizer.json`, which their library loads and gives the same ids.

        Only a word that is spelled as a sign, "</s>", is that sign there, and their `decode` writes the signs of ids too.
        """
        with extra("train"):
            from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

        # An unknown token that is not in the vocabulary makes an unknown word an error there too.
        # The signs are no added tokens, which they find inside of words.
        vocabulary = {token: number for number, token in enumerate(self.tokens)}
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN if self.lenient else "[UNK]"))
        if self.words:
            tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        else:
            tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
            tokenizer.decoder = decoders.Fuse()
        return tokenizer.to_str(pretty=True)


class Subwords(SequenceTokenizer):
    """Ids for pieces of words in lower case, which are learned from text by byte pair encoding (Sennrich et al. 2016).

    What no piece stands for is unknown, and so is what is spelled as a sign: no text can say where it ends.

    >>> subwords = Subwords.learn(["lopen en kopen", "lopen of kopen"] * 9, 30)
    >>> subwords.decode(subwords.encode("Lopen en kopen")), len(subwords.encode("lopen"))
    ('lopen en kopen', 1)
    """

    def __init__(self, tokenizer: Any) -> None:
        tokenizer.encode_special_tokens = True  # as pieces, like any other text
        self._tokenizer = tokenizer

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._tokenizer.encode_special_tokens = True  # a copy goes through the library's JSON, which does not hold it

    @classmethod
    def learn(cls, texts: Sequence[str], vocab_size: int) -> Subwords:
        """Pieces, at most so many with the signs, that put texts together; more frequent ones are longer."""
        with extra("train"):
            from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

        tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
        tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=[*SIGNS], show_progress=False)
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer)

    @property
    def vocab_size(self) -> int:
        """The number of ids with the signs, V."""
        return int(self._tokenizer.get_vocab_size())

    def encode(self, text: str, start: bool = False, end: bool = False) -> list[int]:
        """The ids of a text, with the signs of start and end where they are asked for."""
        return [self.start] * start + list(self._tokenizer.encode(_whole(text)).ids) + [self.end] * end

    def decode(self, ids: Iterable[int] | np.ndarray) -> str:
        """The text of ids, without the signs."""
        return str(self._tokenizer.decode(_checked(ids, self.vocab_size).tolist()))

    def to_json(self) -> str:
        """The content of a Hugging Face `tokenizer.json`, which their library loads and gives the same ids, but of signs in a text."""
        return str(self._tokenizer.to_str(pretty=True))


# What Hugging Face's library finds beside a tokenizer.json; where two of them say the same, the later one counts.
KIND = {"tokenizer_class": "PreTrainedTokenizerFast"}  # which takes all the rest from tokenizer.json, whatever the model is
BESIDE = SIGNS_MAP, SIGNS_FILE, TEMPLATE = "special_tokens_map.json", "tokenizer_config.json", "chat_template.jinja"


class PretrainedTokenizer:
    """Any tokenizer of Hugging Face's library, WordPiece, byte pairs or Unigram, with the signs that its model was trained with.

    ``pad``, ``start``, ``end`` and ``unknown`` are the ids of signs, None where it has none (a BERT starts with [CLS] and ends with [SEP]);
    ``chat_template``, if there is one, says how a conversation is written. `encode` puts signs around a text as the tokenizer's own rules
    say; those that stand in a text are found there. `to_json` gives back the content that it was made from.

    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> pieces = Tokenizer(models.WordPiece({"[UNK]": 0, "bank": 1, "##s": 2}, unk_token="[UNK]"))
    >>> pieces.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> PretrainedTokenizer(pieces, unknown=0).encode("banks bank?")
    [1, 2, 1, 0]
    """

    unit = "tokens"

    def __init__(
        self,
        tokenizer: Any,
        content: str | None = None,
        *,
        pad: int | None = None,
        start: int | None = None,
        end: int | None = None,
        unknown: int | None = None,
        chat_template: str | None = None,
    ) -> None:
        tokenizer.no_padding()  # how long and how wide is said by whoever asks
        tokenizer.no_truncation()
        self._tokenizer, self._content, self.chat_template = tokenizer, content, chat_template
        self.pad, self.start, self.end, self.unknown = pad, start, end, unknown

    @cached_property
    def vocab_size(self) -> int:
        """The number of ids with the signs, V."""
        return 1 + max(self._tokenizer.get_vocab().values(), default=-1)

    def encode(self, text: str, special: bool = True, longest: int | None = None) -> list[int]:
        """The ids of a text with the signs around it, without them if not ``special``; of a longer text the end is cut off, not its signs.

        Raises `UserError`, naming character and position, for half a character: a surrogate, which stands for a byte that is no text.
        """
        found = self._tokenizer.encode(_whole(text), add_special_tokens=False)
        signs = self._tokenizer.num_special_tokens_to_add(False) if special else 0
        if longest is not None:
            found.truncate(_room("encode", longest, signs))
        return list(self._tokenizer.post_process(found, None, special).ids) if signs else list(found.ids)

    def batch(
        self, texts: Sequence[str], start: bool = False, end: bool = False, longest: int | None = None, special: bool = True
    ) -> np.ndarray:
        """The ids of texts (N, T), the shorter ones padded; of a text longer than ``longest`` the end is cut off, not its signs.

        The tokenizer's own rules put signs around a text; ``start`` and ``end`` add the one asked for only where they did not.
        """
        ruled = self.encode("", special)  # what the rules put around any text
        room = _room("batch", longest, len(self._ensured(ruled, start, end)))
        cut = None if room is None else room + len(ruled)
        rows = [self._ensured(self.encode(text, special, cut), start, end) for text in listed("batch", texts)]
        lengths = {*map(len, rows)}
        if len(lengths) > 1 and self.pad is None:
            raise ValueError(f"batch: this tokenizer has no sign for padding. Received: texts of {min(lengths)} to {max(lengths)} ids.")
        return padded(rows, self.pad or 0)

    def _ensured(self, ids: list[int], start: bool, end: bool) -> list[int]:
        """Ids with the signs that are asked for, none of them twice; a sign that the tokenizer does not have is not asked for."""
        before = [self.start] if start and self.start is not None and ids[:1] != [self.start] else []
        behind = [self.end] if end and self.end is not None and ids[-1:] != [self.end] else []
        return before + ids + behind

    def decode(self, ids: Iterable[int] | np.ndarray, special: bool = False) -> str:
        """The text of ids, without signs, with them if ``special``."""
        return str(self._tokenizer.decode(_checked(ids, self.vocab_size).tolist(), skip_special_tokens=not special))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """From where to where in the text each id of `encode` stands; (0, 0) for a sign that was put around it."""
        found = self._tokenizer.encode(_whole(text))
        return [(int(first), int(last)) for first, last in found.offsets]

    def to_json(self) -> str:
        """The content of its `tokenizer.json`."""
        return str(self._tokenizer.to_str(pretty=True)) if self._content is None else self._content

    def signs_json(self) -> str:
        """The content of its `tokenizer_config.json`: which signs it has and how a conversation is written, in Hugging Face's words."""
        ids = {"bos": self.start, "eos": self.end, "pad": self.pad, "unk": self.unknown}
        signs = {f"{name}_token": None if number is None else self._tokenizer.id_to_token(number) for name, number in ids.items()}
        return json.dumps({**KIND, **signs, "chat_template": self.chat_template}, indent=2)


def save_tokenizer(tokenizer: Any, folder: str | Path) -> None:
    """Write a `tokenizer.json` into a folder, and its signs beside it; what lay there of an earlier one is removed."""
    runs.write_together(Path(folder), tokenizer_files(tokenizer))


def tokenizer_files(tokenizer: Any) -> dict[str, bytes | None]:
    """What lies in the folder of a tokenizer, by name, and None for what an earlier one may have left there."""
    # Ours know their signs, and no text holds one; but told nothing, the library would read them as the tokenizer of the first GPT-2.
    own = json.dumps(KIND | {"clean_up_tokenization_spaces": False})
    signs = tokenizer.signs_json() if isinstance(tokenizer, PretrainedTokenizer) else own
    return {**dict.fromkeys(BESIDE), SIGNS_FILE: signs.encode(), runs.TOKENIZER: tokenizer.to_json().encode()}


def _room(operation: str, longest: int | None, signs: int) -> int | None:
    """How many ids of a text have a place beside its signs; None for any number."""
    if longest is None:
        return None
    if longest < signs:
        raise ValueError(f"{operation}: {signs} signs stand around a text. Received: longest {longest}.")
    return longest - signs


def listed(operation: str, texts: Iterable[str]) -> list[str]:
    """Texts in a list; one alone would be taken for the list of its characters."""
    if isinstance(texts, str) or not np.iterable(texts):
        raise TypeError(f"{operation}: takes a list of texts, not one; give [text]. Received: {texts!r:.60}.")
    return [*texts]


def padded(rows: Sequence[Sequence[int] | np.ndarray], pad: int) -> np.ndarray:
    """Rows of ids as one array (N, T), the shorter ones padded at their right."""
    ids = np.full((len(rows), max(map(len, rows), default=0)), pad, dtype=np.int64)
    for row, encoded in zip(ids, rows):
        row[: len(encoded)] = encoded
    return ids


def load_tokenizer(path: str | Path) -> CharTokenizer | Vocabulary | Subwords | PretrainedTokenizer:
    """The tokenizer of a `tokenizer.json`, or of the folder it lies in, or of a GGUF file.

    One that a class of this module wrote comes back as it was; any other one is read by Hugging Face's library, with its signs from
    `tokenizer_config.json` and `special_tokens_map.json` where they lie beside it.

    Raises `UserError` for a file that is missing or damaged.
    """
    path = runs.named(path, "load_tokenizer")
    path = path / runs.TOKENIZER if path.is_dir() else path
    if path.suffix.lower() == ".gguf":
        from transformer import gguf

        return gguf.read(path).tokenizer
    with runs.reading(path, "is damaged, or is not a tokenizer of this program or of Hugging Face"):
        try:
            text = path.read_bytes().decode()
        except FileNotFoundError as error:
            hint = (
                f"{runs.TOKENIZER} is all that is read of one; of other files the library transformers makes it: "
                "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)."
                if path.name == runs.TOKENIZER and path.parent.is_dir()
                else 'One that came with transformer fetch comes from transformer.fetch.load("minilm").'
            )
            raise UserError(f"The tokenizer {path} cannot be read: {error.strerror}. {hint}") from error
        content = json.loads(text)
        return _own(content) or _pretrained(text, content, path.parent)


def _own(content: Any) -> CharTokenizer | Vocabulary | Subwords | None:
    """The tokenizer of this module that wrote a file; None where none did."""
    model, cutter = content["model"], content.get("pre_tokenizer")
    kind, vocabulary = cutter and cutter["type"], model["vocab"]
    if not isinstance(vocabulary, dict):  # Unigram's is a list
        return None
    if model["type"] == "BPE" and kind == "Metaspace" and content["normalizer"] == {"type": "Lowercase"} and not content["post_processor"]:
        signed = [vocabulary.get(sign) for sign in SIGNS] == [*range(len(SIGNS))]
        return Subwords(_library(json.dumps(content))) if signed else None
    if model["type"] != "WordLevel" or kind not in ("Split", "WhitespaceSplit"):
        return None
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    if sorted(vocabulary.values()) != list(range(len(tokens))):
        return None
    if tuple(tokens[: len(SIGNS)]) == SIGNS:
        return Vocabulary(tokens[len(SIGNS) :], kind == "WhitespaceSplit", model["unk_token"] == UNKNOWN)
    return CharTokenizer("".join(tokens)) if kind == "Split" and all(len(token) == 1 for token in tokens) else None


def _pretrained(text: str, content: Any, folder: Path) -> PretrainedTokenizer:
    """Any other tokenizer, with what is said of it beside."""
    pieces = _library(text)
    said = {}
    for name in (SIGNS_MAP, SIGNS_FILE):  # the second one counts where both say something
        if (folder / name).is_file():
            said.update(json.loads((folder / name).read_bytes()))
    ids = {}
    for sign, names in {"pad": ("pad",), "start": ("bos", "cls"), "end": ("eos", "sep"), "unknown": ("unk",)}.items():
        given = [said[f"{name}_token"] for name in names if said.get(f"{name}_token")]
        found = given[0]["content"] if given and isinstance(given[0], dict) else given[0] if given else None
        ids[sign] = None if found is None else pieces.token_to_id(found)
    if ids["unknown"] is None:
        named = content["model"].get("unk_token")
        ids["unknown"] = content["model"].get("unk_id") if named is None else pieces.token_to_id(named)
    if ids["pad"] is None and pieces.padding:
        ids["pad"] = pieces.padding["pad_id"]
    template = said.get("chat_template")
    if (folder / TEMPLATE).is_file():
        template = (folder / TEMPLATE).read_text(encoding="utf-8")
    return PretrainedTokenizer(pieces, text, chat_template=template if isinstance(template, str) else None, **ids)


def _library(text: str) -> Any:
    """The library's tokenizer of a file's content."""
    with extra("train"):
        from tokenizers import Tokenizer
    try:
        return Tokenizer.from_str(text)
    except Exception as error:
        if type(error) is not Exception:  # which is what the library raises where it cannot read; the rest is no damage
            raise
        raise ValueError from error


def _text(text: str) -> str:
    """A text, where it is one."""
    if not isinstance(text, str):
        raise TypeError(f"encode: a text is a str. Received: {text!r:.60}.")
    return text


def _whole(text: str) -> str:
    """A text of whole characters."""
    try:
        _text(text).encode()
    except UnicodeEncodeError as error:
        place = error.start
        raise UserError(f"The character {_named(text[place])} at position {place} is half a character, which no text can hold.") from error
    return text


def _checked(ids: Iterable[int] | np.ndarray, vocab_size: int, end: int | None = None) -> np.ndarray:
    """Ids (T,) before the first ``end`` as an array, where they are whole numbers from 0 to V - 1."""
    given = ids if isinstance(ids, (str, np.ndarray)) or not np.iterable(ids) else [*ids]
    if given.ndim > 1 if isinstance(given, np.ndarray) else isinstance(given, list) and any(map(_is_row, given)):
        raise ValueError(f"decode: takes ids (T,), one row at a time: [tokenizer.decode(row) for row in ids]. {received(ids=given)}")
    numbers = np.asarray(given)
    if end is not None and numbers.ndim == 1:
        numbers = numbers[: [*numbers.tolist(), end].index(end)]  # behind it may stand anything, as the -100 of labels
    if numbers.size and (numbers.ndim != 1 or numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= vocab_size):
        raise ValueError(f"decode: ids (T,) are whole numbers from 0 to {vocab_size - 1}. Received: {numbers.tolist()!r:.80}.")
    return numbers.astype(np.int64)


def _is_row(part: Any) -> bool:
    return np.iterable(part) and not isinstance(part, str)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)


def _named(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return f"{character!r} ({code})" if character.isprintable() else code

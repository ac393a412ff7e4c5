"""Text to ids and back: an id per character, or per word, with signs for padding, start and end where sequences need them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
        points = _code_points(text)
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
        """The ids of texts (N, T), cut off behind ``longest``, the shorter ones padded."""
        rows = [self.encode(text, start, end)[:longest] for text in texts]
        ids = np.full((len(rows), max(map(len, rows), default=0)), self.pad, dtype=np.int64)
        for row, encoded in zip(ids, rows):
            row[: len(encoded)] = encoded
        return ids


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
        return text.split() if self.words else list(text)

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
        return [self.start] * start + list(self._tokenizer.encode(text).ids) + [self.end] * end

    def decode(self, ids: Iterable[int] | np.ndarray) -> str:
        """The text of ids, without the signs."""
        return str(self._tokenizer.decode(_checked(ids, self.vocab_size).tolist()))

    def to_json(self) -> str:
        """The content of a Hugging Face `tokenizer.json`, which their library loads and gives the same ids, but of signs in a text."""
        return str(self._tokenizer.to_str(pretty=True))


def load_tokenizer(path: str | Path) -> CharTokenizer | Vocabulary | Subwords:
    """The tokenizer of a `tokenizer.json` that one of these wrote, or of the folder it lies in.

    Raises `UserError` for a file that is missing, damaged, or holds another kind of tokenizer.
    """
    path = Path(path, "tokenizer.json") if Path(path).is_dir() else Path(path)
    try:
        content = json.loads(path.read_bytes())
        vocabulary, kind = content["model"]["vocab"], content["pre_tokenizer"]["type"]
        if content["model"]["type"] == "BPE" and [vocabulary.get(sign) for sign in SIGNS] == [*range(len(SIGNS))]:
            with extra("train"):
                from tokenizers import Tokenizer
            try:
                pieces = Tokenizer.from_str(json.dumps(content))
            except Exception as error:
                if type(error) is not Exception:  # which is what the library raises where it cannot read; the rest is no damage
                    raise
                raise ValueError from error
            return Subwords(pieces)
        tokens = sorted(vocabulary, key=vocabulary.__getitem__)
        if content["model"]["type"] != "WordLevel" or sorted(vocabulary.values()) != list(range(len(tokens))):
            raise ValueError
        if tuple(tokens[: len(SIGNS)]) == SIGNS:
            return Vocabulary(tokens[len(SIGNS) :], kind == "WhitespaceSplit", content["model"]["unk_token"] == UNKNOWN)
        if not all(len(token) == 1 for token in tokens):
            raise ValueError
        return CharTokenizer("".join(tokens))
    except UserError:  # a missing library is no damage either
        raise
    except OSError as error:
        raise UserError(f"The tokenizer {path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged, or is not a tokenizer of this program.") from error


def _checked(ids: Iterable[int] | np.ndarray, vocab_size: int, end: int | None = None) -> np.ndarray:
    """Ids (T,) before the first ``end`` as an array, where they are whole numbers from 0 to V - 1."""
    numbers = ids if isinstance(ids, np.ndarray) else np.array([*ids])
    if end is not None and numbers.ndim == 1:
        numbers = numbers[: [*numbers.tolist(), end].index(end)]  # behind it may stand anything, as the -100 of labels
    if numbers.size and (numbers.ndim != 1 or numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= vocab_size):
        raise ValueError(f"decode: ids (T,) are whole numbers from 0 to {vocab_size - 1}. Received: {numbers.tolist()!r:.80}.")
    return numbers.astype(np.int64)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)


def _named(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return f"{character!r} ({code})" if character.isprintable() else code

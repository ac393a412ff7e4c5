"""Text to ids and back, one id per character."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

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
        points = self._points[np.fromiter(ids, dtype=np.int64)]
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

    @classmethod
    def load(cls, path: str | Path) -> CharTokenizer:
        """The tokenizer of a `tokenizer.json` that `to_json` wrote.

        Raises `UserError` for a file that is damaged or holds another kind of tokenizer.
        """
        try:
            model = json.loads(Path(path).read_bytes())["model"]
            characters = sorted(model["vocab"], key=model["vocab"].__getitem__)
            good = model["type"] == "WordLevel" and sorted(model["vocab"].values()) == list(range(len(characters)))
            if not good or not all(len(character) == 1 for character in characters):
                raise ValueError
            return cls("".join(characters))
        except OSError as error:
            raise UserError(f"The tokenizer {path} cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is damaged, or is not a tokenizer of single characters.") from error


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)


def _named(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return f"{character!r} ({code})" if character.isprintable() else code

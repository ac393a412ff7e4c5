"""Real translations: the messages of installed Python programs, from the gettext catalogues that they bring along."""

from __future__ import annotations

import difflib
import functools
import gettext
import hashlib
import importlib.util
import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigrad.errors import received
from transformer.errors import UserError
from transformer.tasks.pairs import one_in

ENGLISH = "en"  # what messages are written in
LANGUAGES = (ENGLISH, "nl", "de", "fr", "es", "it", "pt", "pl", "sv", "tr")
SHORTEST_SENTENCE = 20  # characters; nobody can be judged on "Total" and "Status", which are words of many languages
SHORTEST_TEXT = 4

_PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[\d.]*[a-zA-Z]|\{\w*\}")  # %s, %(name)s, %2d, {name}
_WORD = re.compile(r"[^\W\d_]{2,}")  # two letters or more, of any alphabet
_MARKUP = re.compile(r"<[^<>]*>|&\w+;|\{%|\{\{|://|\]\(")  # tags, entities, templates, addresses, links


def gettext_pairs(package: str, language: str) -> list[tuple[str, str]]:
    """English messages of an installed package and their translations, sorted, each message once.

    The package is found, not imported. White space becomes single spaces, and of a plural the first form is taken.
    Left out are messages that are not translated, that have markup or an address, or that have not got more words than
    placeholders. Where catalogues disagree, the first in the order of their paths is right, and within one the message
    without a context.

    Raises `UserError` where the package is not installed, or not translated into the language.

    >>> gettext_pairs("no_such_package", "nl")
    Traceback (most recent call last):
    transformer.errors.UserError: The package no_such_package is not installed: pip install no_such_package.
    """
    return _translations(package, language, _catalogues(package))


def _catalogues(package: str) -> dict[str, list[Path]]:
    """The .mo files of a package by language, in the order of their paths below it."""
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None:
        wanted = "'minigrad[examples]'" if package == "django" else package
        raise UserError(f"The package {package} is not installed: pip install {wanted}.")
    found: dict[str, list[Path]] = {}
    for folder in map(Path, spec.submodule_search_locations or ()):
        for path in sorted(folder.rglob("*/LC_MESSAGES/*.mo"), key=lambda path: path.relative_to(folder).as_posix()):
            found.setdefault(path.parts[-3], []).append(path)
    return found


def _translations(package: str, language: str, catalogues: dict[str, list[Path]]) -> list[tuple[str, str]]:
    if language not in catalogues:
        raise UserError(_no_such_language(package, language, sorted(catalogues)))
    pairs: dict[str, str] = {}
    for path in catalogues[language]:
        for message, translation in read_catalogue(path):
            if speaks(message, translation):
                pairs.setdefault(message, translation)
    if not pairs:
        raise UserError(
            f"{package} has a catalogue for {language!r}, but no translations in it; its messages may be written in that "
            "language."
        )
    return sorted(pairs.items())


def read_catalogue(path: Path) -> list[tuple[str, str]]:
    """All messages of a .mo file with their translations, sorted, white space made single spaces.

    Raises `UserError` where the file is damaged.
    """
    try:
        with path.open("rb") as file:
            catalogue = vars(gettext.GNUTranslations(file))["_catalog"]
    except (OSError, ValueError, LookupError, struct.error) as error:
        raise UserError(f"The catalogue {path} cannot be read: {error}.") from error
    rows = []
    for key, translation in catalogue.items():
        text, form = key if isinstance(key, tuple) else (key, 0)  # a plural has a translation for every form
        if form == 0:
            context, _, message = text.rpartition("\4")  # which tells equal messages apart: May the month, and for short
            rows.append((" ".join(message.split()), context, " ".join(translation.split())))
    return [(message, translation) for message, _, translation in sorted(rows)]


def speaks(message: str, translation: str) -> bool:
    """Whether a message and its translation are language more than markup, addresses and places to fill in.

    >>> speaks("Add another %(model)s", "Nog een %(model)s toevoegen"), speaks("%s GB", "%s GB")
    (True, False)
    """
    if _MARKUP.search(message) or _MARKUP.search(translation):
        return False
    bare, places = _PLACEHOLDER.subn(" ", message)
    return len(_WORD.findall(bare)) > places and _WORD.search(_PLACEHOLDER.sub(" ", translation)) is not None


def bare(text: str) -> str:
    """A message without its placeholders, whose names are English in every language.

    >>> bare("%(count)d van de %(total)d geselecteerd")
    'van de geselecteerd'
    """
    return " ".join(_PLACEHOLDER.sub(" ", text).split())


def _no_such_language(package: str, language: str, known: list[str]) -> str:
    if not known:
        return (
            f"The package {package} has no gettext catalogues (*/LC_MESSAGES/*.mo); django has, which comes with "
            "'minigrad[examples]'."
        )
    near = difflib.get_close_matches(language, known, 1, cutoff=0.4)
    question = f" Did you mean {near[0]!r}?" if near else ""
    return f"{package} is not translated into {language!r}.{question} There are: {', '.join(known)}."


@dataclass(frozen=True)
class Sentences:
    """Texts with the language of each: some to learn from, others to be judged on.

    >>> sentences = Sentences("greetings", ("en", "nl"), [("good day", "en"), ("goedendag", "nl")], [("good night", "en")])
    >>> sentences.alphabet, sentences.longest, sentences.fingerprint[:8]
    (' adegnoy', 10, '4314dd86')
    """

    name: str
    languages: tuple[str, ...]
    training: list[tuple[str, str]]
    held_out: list[tuple[str, str]]

    @functools.cached_property
    def alphabet(self) -> str:
        """Every character of the texts to learn from, once, in the order of its code point."""
        return "".join(sorted({character for text, _ in self.training for character in text}))

    @functools.cached_property
    def longest(self) -> int:
        """How many characters the longest text has."""
        return max((len(text) for text, _ in [*self.training, *self.held_out]), default=0)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all texts, their languages and the split; two runs are comparable only where it is the same."""
        return hashlib.sha256(json.dumps([self.training, self.held_out]).encode()).hexdigest()

    def record(self) -> dict[str, Any]:
        """What a run folder writes down about its texts."""
        return {
            "name": self.name,
            "languages": [*self.languages],
            "training_texts": len(self.training),
            "held_out_texts": len(self.held_out),
            "distinct_characters": len(self.alphabet),
            "longest_text": self.longest,
            "sha256": self.fingerprint,
        }


def sentences_by_language(
    languages: Sequence[str] = LANGUAGES,
    packages: Sequence[str] = ("django",),
    shortest: int = SHORTEST_SENTENCE,
) -> Sentences:
    """Messages of at least ``shortest`` characters in several languages, for a model that is to tell the language.

    One message in five, chosen by a hash of its English, is held out in all languages, so that nothing is judged that
    was learned from in another language. A text of two languages, or of messages on both sides, is left out, and so is
    a translation that is the English.

    Raises `UserError` where a package or a language is missing, or fewer than two languages are asked for.
    """
    if len(set(languages)) < 2 or len(set(languages)) != len(languages):
        raise UserError(f"sentences_by_language: two languages or more, each once. {received(languages=languages)}")
    said: dict[str, set[tuple[str, bool]]] = {}  # text -> its languages, and whether its messages are held out
    for package in packages:
        catalogues = _catalogues(package)
        for language in languages:
            if language == ENGLISH:
                continue
            for message, translation in _translations(package, language, catalogues):
                if message != translation:
                    held = one_in(5, message)
                    said.setdefault(bare(translation), set()).add((language, held))
                    if ENGLISH in languages:
                        said.setdefault(bare(message), set()).add((ENGLISH, held))
    sides: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
    for text in sorted(said):
        ((language, held), *others) = said[text]
        if len(text) >= (shortest if held else SHORTEST_TEXT) and not others:
            sides[held].append((text, language))
    return Sentences(f"messages of {', '.join(packages)}", tuple(languages), *sides)

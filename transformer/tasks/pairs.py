"""Pairs of a source and a target, a fair split of them, and how generated ones are collected."""

from __future__ import annotations

import functools
import hashlib
import json
import random
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

from minigrad.errors import received
from transformer.errors import UserError

TRAINING, HELD_OUT = "training", "held out"
PATIENCE = 20_000  # draws in a row that bring nothing new, after which there is nothing more to expect


@dataclass(frozen=True)
class Pairs:
    """Sources and what each is to become: some to learn from, and sets of others, by name, to be judged on.

    A token is a character, or with ``words`` what stands between two spaces.

    Raises `ValueError` where a source to be judged on is also one to learn from.

    >>> pairs = Pairs("opposites", [("big", "small"), ("hot", "cold")], {"held out": [("old", "young")]})
    >>> "".join(pairs.source_alphabet), pairs.longest_source, pairs.longest_target, pairs.fingerprint[:8]
    ('bdghilot', 3, 5, '6bffa0a8')
    """

    name: str
    training: list[tuple[str, str]]
    held_out: dict[str, list[tuple[str, str]]]
    words: bool = False

    def __post_init__(self) -> None:
        learned = {source for source, _ in self.training}
        for name, pairs in self.held_out.items():
            leaked = [source for source, _ in pairs if source in learned]
            if leaked:
                raise ValueError(
                    f"Pairs: {len(leaked)} of the {len(pairs)} sources in {name!r} are to be learned from too, the "
                    f"first is {leaked[0]!r}. Take them out of one of the two. {received(name=self.name)}"
                )

    def split(self, text: str) -> list[str]:
        """The tokens of a source or a target."""
        return text.split(" ") if self.words else list(text)

    @functools.cached_property
    def everything(self) -> list[tuple[str, str]]:
        """All pairs, those to learn from first."""
        return [*self.training, *(pair for pairs in self.held_out.values() for pair in pairs)]

    @functools.cached_property
    def source_alphabet(self) -> list[str]:
        """Every token of a source, once, sorted."""
        return sorted({token for source, _ in self.everything for token in self.split(source)})

    @functools.cached_property
    def target_alphabet(self) -> list[str]:
        """Every token of a target, once, sorted."""
        return sorted({token for _, target in self.everything for token in self.split(target)})

    @functools.cached_property
    def longest_source(self) -> int:
        """How many tokens the longest source has, S."""
        return max((len(self.split(source)) for source, _ in self.everything), default=0)

    @functools.cached_property
    def longest_target(self) -> int:
        """How many tokens the longest target has, T."""
        return max((len(self.split(target)) for _, target in self.everything), default=0)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all pairs and of the split; two runs are comparable only where it is the same."""
        return hashlib.sha256(json.dumps([self.training, self.held_out]).encode()).hexdigest()

    def record(self) -> dict[str, Any]:
        """What a run folder writes down about its pairs."""
        return {
            "name": self.name,
            "training_pairs": len(self.training),
            "held_out_pairs": {name: len(pairs) for name, pairs in self.held_out.items()},
            "distinct_source_tokens": len(self.source_alphabet),
            "distinct_target_tokens": len(self.target_alphabet),
            "longest_source": self.longest_source,
            "longest_target": self.longest_target,
            "sha256": self.fingerprint,
        }


def one_in(n: int, text: str) -> bool:
    """Whether a text is among the one in n that its own hash chooses: the same ones in every run, whatever the seed.

    >>> [number for number in range(40) if one_in(10, str(number))]
    [0, 7, 9, 10, 33]
    """
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % n == 0


class Drawn(NamedTuple):
    """A pair that was made up, the set it belongs to, and what besides its tokens must be seen to judge it fairly."""

    part: str  # "training", or the name of a held-out set
    source: str
    target: str
    needs: Set[Any] = frozenset()


def collect(
    name: str,
    draw: Callable[[random.Random], Drawn],
    seed: int,
    count: int,
    held_out: int,
    parts: Sequence[str] = (HELD_OUT,),
    words: bool = False,
) -> Pairs:
    """Draw different pairs until there are ``count`` to learn from and ``held_out`` in every held-out set.

    `draw` decides by the pair alone to which set it belongs, so that no pair changes sides with the seed or the size.
    A pair is held out only if the training pairs show all its tokens, and what else it needs.

    Raises `UserError` where so many different pairs do not come.
    """
    if count < 1 or held_out < 1:
        sizes = received(count=count, held_out=held_out)
        raise UserError(f"{name}: one pair to learn from and one to be judged on at least. {sizes}")
    rng = random.Random(seed)
    training: dict[str, str] = {}
    others: dict[str, dict[str, str]] = {part: {} for part in parts}
    shown: set[Any] = set()
    for part, pairs in ({TRAINING: training} | others).items():
        wanted, idle = count if part == TRAINING else held_out, 0
        while len(pairs) < wanted:
            drawn = draw(rng)
            idle += 1
            if drawn.part == part and drawn.source not in pairs:
                needs = {*_sided(drawn, words), *drawn.needs}
                if part == TRAINING:
                    shown |= needs
                if needs <= shown:
                    pairs[drawn.source], idle = drawn.target, 0
            if idle == PATIENCE:
                raise UserError(
                    f"{name}: no more than {len(pairs):,} different pairs were found for {part!r}. Ask for fewer, for "
                    f"longer ones, or for more to learn from. {received(count=count, held_out=held_out)}"
                )
    return Pairs(name, [*training.items()], {part: [*pairs.items()] for part, pairs in others.items()}, words)


def _sided(drawn: Drawn, words: bool) -> Iterator[tuple[str, str]]:
    """Every token with its side: a word that was only ever read has not been seen as one to write."""
    for side in ("source", "target"):
        text = getattr(drawn, side)
        for token in text.split(" ") if words else text:
            yield side, token

"""Toys that a small encoder-decoder learns to the last one: copy, reverse and sort a string, add two numbers."""

from __future__ import annotations

import random
from collections.abc import Callable

from minigrad.errors import received
from transformer.errors import UserError
from transformer.tasks.pairs import HELD_OUT, TRAINING, Drawn, Pairs, collect, one_in

SYMBOLS = "abcdefghij"


def copy_pairs(seed: int = 1, count: int = 20_000, held_out: int = 1000, lengths: tuple[int, int] = (3, 8)) -> Pairs:
    """Strings of letters, and the same again; ``lengths`` are the shortest and the longest.

    >>> copy_pairs(count=3, held_out=1).training
    [('jbeb', 'jbeb'), ('hhgdbh', 'hhgdbh'), ('ggj', 'ggj')]
    """
    return _strings("copy", lambda text: text, seed, count, held_out, lengths)


def reverse_pairs(seed: int = 1, count: int = 20_000, held_out: int = 1000, lengths: tuple[int, int] = (3, 8)) -> Pairs:
    """Strings of letters, and the same from the last to the first: "cab" -> "bac"."""
    return _strings("reverse", lambda text: text[::-1], seed, count, held_out, lengths)


def sort_pairs(seed: int = 1, count: int = 20_000, held_out: int = 1000, lengths: tuple[int, int] = (3, 8)) -> Pairs:
    """Strings of letters, and the same letters in the order of the alphabet: "cabb" -> "abbc"."""
    return _strings("sort", lambda text: "".join(sorted(text)), seed, count, held_out, lengths)


def add_pairs(seed: int = 1, count: int = 20_000, held_out: int = 1000, lengths: tuple[int, int] = (1, 3)) -> Pairs:
    """Sums of two numbers, the answer written from the lowest digit up; ``lengths`` are how many digits a number has.

    "058+067" -> "521": 125 read from behind. So a digit of the answer depends on the digits at its place and on the carry from the
    one written just before it; from the highest down, the first digit would depend on all the others. Zeros in front make the
    numbers equally long, so that where a digit stands says what it is worth.

    >>> add_pairs(count=3, held_out=1).training
    [('009+004', '31'), ('007+070', '77'), ('488+001', '984')]
    """
    shortest, longest = _checked("add", lengths)

    def number(rng: random.Random) -> int:
        digits = rng.randint(shortest, longest)
        return rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits)

    def draw(rng: random.Random) -> Drawn:
        a, b = number(rng), number(rng)
        return _drawn(f"{a:0{longest}}+{b:0{longest}}", str(a + b)[::-1])

    return collect("add", draw, seed, count, held_out)


def _strings(
    name: str, answer: Callable[[str], str], seed: int, count: int, held_out: int, lengths: tuple[int, int]
) -> Pairs:
    shortest, longest = _checked(name, lengths)

    def draw(rng: random.Random) -> Drawn:
        text = "".join(rng.choice(SYMBOLS) for _ in range(rng.randint(shortest, longest)))
        return _drawn(text, answer(text))

    return collect(name, draw, seed, count, held_out)


def _drawn(source: str, target: str) -> Drawn:
    return Drawn(HELD_OUT if one_in(10, source) else TRAINING, source, target)


def _checked(name: str, lengths: tuple[int, int]) -> tuple[int, int]:
    if not 1 <= lengths[0] <= lengths[1]:
        raise UserError(f"{name}: lengths are the shortest and the longest, from 1 on. {received(lengths=lengths)}")
    return lengths

"""From logits to the next token: the temperature steps of the notes, and which tokens may be drawn at all."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any

import numpy as np

from minigrad.core import values
from minigrad.errors import ShapeError, received
from minigrad.random import Generator
from transformer.config import nearest

Seed = int | np.random.Generator | np.random.SeedSequence | np.random.BitGenerator | Generator | None

ACCEPTED = {  # what each number may be
    "temperature": (Real, 0, math.inf, "0 (the likeliest token) or positive"),
    "top_k": (Integral, 1, math.inf, "a whole number from 1"),
    "top_p": (Real, math.ulp(0.0), 1, "above 0, at most 1"),
    "min_p": (Real, 0, 1, "from 0 to 1"),
    "repetition_penalty": (Real, math.ulp(0.0), math.inf, "positive"),
}

SEEDED = "a seed is given as generator"


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn: the numbers that `sample`, `probabilities`, `stream` and `generate` take by their names.

    They act in this order, which is Hugging Face's; None is no such step, and so no number stands for it: top_k and top_p are above 0.
    The likeliest token always stays.

    ``repetition_penalty``: logits of tokens that were seen are divided by it where they are positive, else multiplied
    (Keskar et al. 2019); 1 does nothing.
    ``temperature``: logits / temperature; 0 takes the likeliest token, the first of equals, and nothing is random.
    ``top_k``: the k likeliest tokens stay, and all that are as likely as the last of them (Fan et al. 2018); from 1.
    ``top_p``: the fewest likeliest tokens stay whose probabilities add up to it, above 0 and at most 1; of equals the first ones
    (Holtzman et al. 2020).
    ``min_p``: tokens stay that are at least this share as likely as the likeliest, from 0, which keeps all, to 1 (Nguyen et al. 2024).

    Raises ValueError for numbers that are none of these, and for a choice among tokens where temperature 0 leaves no choice.

    >>> Sampling(temperature=0.8, top_k=50)
    Sampling(temperature=0.8, top_k=50, top_p=None, min_p=None, repetition_penalty=None)
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            value, (kind, least, most, words) = getattr(self, f.name), ACCEPTED[f.name]
            good = type(value) is not bool and isinstance(value, kind) and least <= float(value) <= most and math.isfinite(value)
            if not good and value is not f.default:
                raise ValueError(f"Sampling: {f.name} is {words}. Received: {f.name} {value!r}.")
        for name in ("top_k", "top_p", "min_p"):
            if self.temperature == 0 and getattr(self, name) is not None:
                raise ValueError(
                    f"Sampling: {name} changes nothing at temperature 0, which takes the likeliest token; give a temperature above 0, or "
                    f"leave {name} out. Received: temperature 0, {name} {getattr(self, name)!r}."
                )

    @classmethod
    def of(cls, operation: str, words: dict[str, Any], instead: Mapping[str, str] = MappingProxyType({})) -> Sampling:
        """The numbers that an operation was given by name; ``instead`` says what it has for names that others use."""
        check_words(operation, words, ACCEPTED, instead, "what says how to draw")
        return cls(**words)

    @property
    def remembers(self) -> bool:
        """Whether it matters which tokens were seen."""
        return self.repetition_penalty not in (None, 1)


def check_words(operation: str, words: Mapping[str, Any], known: Collection[str], instead: Mapping[str, str], what: str) -> None:
    """Refuse words that an operation does not know; ``instead`` says what it has for those that others use."""
    for name in words:
        if name not in known:
            hint = f"; {instead[name]}." if name in instead else nearest(name, known) or f"; {what} is {', '.join(known)}."
            raise TypeError(f"{operation}: there is no {name}{hint} {received(**{name: words[name]})}")


def temperature_probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (V,) of the next token from its logits (V,): softmax(logits / temperature).

    Low temperature sharpens, high temperature flattens, and the limit 0 is argmax: 1 for the largest logit (the
    first of equals), 0 for the others.

    Raises ValueError for a temperature that is negative or not a number, and for logits without a largest one (NaN,
    +inf), whose probabilities cannot add up to 1.

    >>> temperature_probabilities(np.log([0.1, 0.3, 0.6]), temperature=1.0).round(3).tolist()
    [0.1, 0.3, 0.6]
    >>> temperature_probabilities(np.log([0.1, 0.3, 0.6]), temperature=0.5).round(3).tolist()
    [0.022, 0.196, 0.783]
    >>> temperature_probabilities(np.log([0.1, 0.3, 0.6]), temperature=0.0).tolist()
    [0.0, 0.0, 1.0]
    """
    logits = np.asarray(logits, dtype=np.float64)
    largest = _checked_largest(logits, temperature)
    if temperature == 0:
        return (np.arange(len(logits)) == logits.argmax()).astype(np.float64)
    with np.errstate(over="ignore"):  # with a temperature near 0 it may become -inf, whose exponent is 0, as it should
        rescaled = (logits - largest) / temperature  # the largest becomes 0, so that no exponent overflows
    exponents = np.exp(rescaled)
    probabilities = exponents / exponents.sum()
    assert math.isclose(probabilities.sum(), 1.0), "the probabilities of the next token must add up to 1"
    return probabilities


def _checked_largest(logits: np.ndarray, temperature: float) -> float:
    """The largest logit, where probabilities can be made of these numbers."""
    if not 0 <= temperature < math.inf:
        raise ValueError(
            "temperature_probabilities: a temperature is 0 (the likeliest token) or positive. "
            f"Received: temperature {temperature}."
        )
    largest = float(logits.max())
    if not math.isfinite(largest):
        raise ValueError(
            "temperature_probabilities: without a finite largest logit nothing adds up to 1. "
            f"Received: largest logit {largest}."
        )
    return largest


def probabilities(logits: Any, *, seen: Any = None, **sampling: Any) -> np.ndarray:
    """With which probabilities `sample` draws each token.   logits (V,) or (B, V) -> the same shape, float64

    ``sampling`` are the numbers of `Sampling` by name, and ``seen`` the ids that ``repetition_penalty`` is for: (T,), or for (B, V) a list
    of B such. A logit of -infinity is a token that is never drawn.

    Raises ValueError for logits of which none is finite or one is NaN or +infinity, ShapeError for other axes.

    >>> logits = np.log([0.1, 0.3, 0.6])
    >>> probabilities(logits, top_k=2).round(3).tolist()
    [0.0, 0.333, 0.667]
    >>> probabilities(logits, repetition_penalty=2.0, seen=[2]).round(3).tolist()
    [0.132, 0.395, 0.474]
    """
    how = Sampling.of("probabilities", sampling)
    given, rows = _rows("probabilities", logits, how, seen)
    found = np.zeros(rows.shape, np.float64)
    for row, out in zip(rows, found):
        ids, chances = _candidates(row, how)
        out[ids] = chances
    return found.reshape(given.shape)


def sample(logits: Any, *, seen: Any = None, generator: Seed | Sequence[Seed] = None, **sampling: Any) -> Any:
    """Draw the next token from its logits, as the `probabilities` of the same arguments say.   (V,) -> id;  (B, V) -> ids (B,)

    ``sampling`` are the numbers of `Sampling` by name: temperature=1.0, top_k, top_p, min_p, repetition_penalty. ``generator`` is a
    generator of NumPy or a seed, which gives each row one number, in their order; or a list with one of these for each row. A generator of
    minigrad draws a seed. None draws other numbers every time.

    Raises what `probabilities` raises.

    >>> sample(np.log([0.1, 0.3, 0.6]), temperature=0)
    2
    >>> sample(np.log([[0.1, 0.3, 0.6], [0.8, 0.1, 0.1]]), top_p=0.9, generator=3)
    array([1, 0])
    """
    how = Sampling.of("sample", sampling, {"seed": SEEDED})
    given, rows = _rows("sample", logits, how, seen)
    drawn = draw(rows, how, generator)
    return drawn if given.ndim == 2 else int(drawn[0])


def draw(logits: np.ndarray, how: Sampling, generator: Seed | Sequence[Seed]) -> np.ndarray:
    """The token of each row: where its running sum of probabilities passes its number from [0, 1).   checked (B, V) -> ids (B,)"""
    if how.temperature == 0:
        return logits.argmax(axis=-1)
    if isinstance(generator, Sequence):
        numbers = np.array([of_row.random() for of_row in generators(generator, len(logits))])  # (B,)
    else:
        numbers = _generator(generator).random(len(logits))
    drawn = np.empty(len(logits), np.int64)
    for place, (row, number) in enumerate(zip(logits, numbers)):
        ids, chances = _candidates(row, how)
        passed = np.cumsum(chances)  # (C,)
        drawn[place] = ids[np.searchsorted(passed, number * passed[-1], side="right")]
    return drawn


def generators(generator: Seed | Sequence[Seed], batch: int) -> list[np.random.Generator]:
    """A generator for each of B rows, so that what one draws depends on nothing that its neighbours do: given, or spawned from one."""
    if isinstance(generator, str) or not isinstance(generator, Sequence):
        return _generator(generator).spawn(batch)
    if len(generator) != batch:
        raise ValueError(f"generator: one for all rows, or a list of one for each of the {batch}. Received: a list of {len(generator)}.")
    return [_generator(of_row) for of_row in generator]


def _generator(seed: Any) -> np.random.Generator:
    """A generator of NumPy as it was given, or a new one from a seed, which one of minigrad draws."""
    if isinstance(seed, Generator):
        seed = int(seed.integers(0, 1 << 63, ()))
    number = type(seed) is not bool and isinstance(seed, Integral) and int(seed) >= 0
    if not (number or seed is None or isinstance(seed, (np.random.Generator, np.random.SeedSequence, np.random.BitGenerator))):
        raise ValueError(
            "generator: a seed, which is a whole number from 0, or a generator of NumPy (np.random.default_rng) or minigrad, or None; "
            f"a list has one for each row. {received(generator=seed)}"
        )
    return np.random.default_rng(seed)


def checked(operation: str, logits: np.ndarray) -> np.ndarray:
    """Logits (B, V) of which a token can be drawn."""
    tops = logits.max(axis=-1)  # (B, V) -> (B,)
    if not np.isfinite(tops).all():
        row = np.flatnonzero(~np.isfinite(tops))[0]
        why = "every token is forbidden, with a logit of -infinity" if tops[row] == -math.inf else "a logit is NaN or +infinity"
        raise ValueError(f"{operation}: {why}; nothing adds up to 1. Received: row {row} with the largest logit {tops[row]}.")
    return logits


def penalized(logits: np.ndarray, seen: Sequence[Any], penalty: float) -> np.ndarray:
    """Logits (B, V) of which those of the ids that each row has seen, B lists, are less likely."""
    logits = logits.copy()
    for row, ids in zip(logits, seen):
        chosen = row[ids]
        row[ids] = np.where(chosen > 0, chosen / penalty, chosen * penalty)
    return logits


def _rows(operation: str, logits: Any, how: Sampling, seen: Any) -> tuple[np.ndarray, np.ndarray]:
    """Logits as they were given, (V,) or (B, V), and as checked rows (B, V) that know what they have seen."""
    given = np.asarray(values(logits))
    if given.ndim not in (1, 2) or given.size == 0 or given.dtype.kind not in "fiu":
        raise ShapeError(f"{operation}: logits are numbers with the axes (V,) or (B, V). {received(logits=given)}")
    rows = given.reshape(-1, given.shape[-1])  # (V,) -> (1, V)
    rows = rows if rows.dtype.kind == "f" else rows.astype(np.float64)
    if how.remembers:
        if seen is None:
            raise ValueError(f"{operation}: repetition_penalty is for tokens that were seen; give their ids as seen. Received: seen None.")
        seen = [np.asarray(ids, np.int64) for ids in ([seen] if given.ndim == 1 else seen)]
        if len(seen) != len(rows) or any(((ids < 0) | (ids >= rows.shape[1])).any() for ids in seen):
            raise ValueError(
                f"{operation}: seen holds ids from 0 to {rows.shape[1] - 1}, a list of them for each row. "
                f"{received(logits=given, seen=[ids.tolist() for ids in seen])}"
            )
        rows = penalized(rows, seen, how.repetition_penalty or 1)
    return given, checked(operation, rows)


def _candidates(logits: np.ndarray, how: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """The ids (C,) that may be drawn from logits (V,), rising, and their probabilities (C,)."""
    ids = np.arange(len(logits))
    if how.top_k is not None and how.top_k < len(logits):
        ids = np.flatnonzero(logits >= largest(logits, how.top_k))
        logits = logits[ids]  # (V,) -> (C,)
    chances = temperature_probabilities(logits, how.temperature)
    for stays, share in ((_reaching, how.top_p), (_near_the_top, how.min_p)):
        if share is not None:
            stay = stays(chances, share)
            ids, chances = ids[stay], chances[stay]
            chances = chances / chances.sum()
    return ids, chances


def largest(numbers: np.ndarray, count: int) -> float:
    """The ``count``-th largest of numbers (N,): among the few that reach the ``count``-th largest of the maxima of blocks."""
    blocks = numbers[: len(numbers) // 128 * 128].reshape(-1, 128)  # (N,) -> (N / 128, 128)
    if len(blocks) > count:
        tops = blocks.max(axis=-1)
        numbers = numbers[numbers >= np.partition(tops, -count)[-count]]
    return np.partition(numbers, -count)[-count]


def _reaching(chances: np.ndarray, top_p: float) -> np.ndarray:
    """Which tokens (C,) are the fewest likeliest whose probabilities add up to ``top_p``; of equals at the edge the first ones."""
    if top_p == 1:
        return np.ones(len(chances), bool)
    likely = chances[chances > (1 - top_p) / (2 * len(chances))]  # all others together are less than 1 - top_p
    falling = np.sort(likely)[::-1]
    count = min(1 + int(np.searchsorted(np.cumsum(falling), top_p)), len(falling))
    edge = falling[count - 1]
    stay = chances > edge
    stay[np.flatnonzero(chances == edge)[: count - int(stay.sum())]] = True
    return stay


def _near_the_top(chances: np.ndarray, min_p: float) -> np.ndarray:
    """Which tokens (C,) are at least ``min_p`` times as likely as the likeliest."""
    return chances >= min_p * chances.max()

"""Inputs on which the generic tests, the documentation and the benchmarks try an op.

All axes have different lengths, so that a transposed axis is an error and not a coincidence.
"""

from typing import NamedTuple

import numpy as np


class Sample(NamedTuple):
    """One call of an op, as a user writes it."""

    args: tuple
    kwargs: dict = {}
    note: str = ""


class ErrorSample(NamedTuple):
    """One call that must raise ``exception`` with a message that matches ``match``."""

    args: tuple
    kwargs: dict
    exception: type
    match: str


def normal(rng, *shape):
    return rng.standard_normal(shape)


def strided(rng, *shape):
    """Normal numbers in memory order reversed and with gaps: neither C- nor F-contiguous."""
    base = rng.standard_normal([2 * n for n in reversed(shape)])
    return base.T[tuple(slice(None, None, 2) for _ in shape)]


def unary(low=-2.0, high=2.0, away_from=()):
    """Samples of one array with values in (low, high), at least 0.1 away from each of ``away_from``."""

    def values(rng, *shape):
        x = rng.uniform(low, high, shape)
        for point in away_from:
            x = np.where(abs(x - point) < 0.1, point + 0.1 + abs(x - point), x)
        return x

    def samples(rng):
        yield Sample((values(rng, 3, 4),))
        yield Sample((values(rng),), note="0-d")
        yield Sample((values(rng, 0, 3),), note="0-size")
        yield Sample((values(rng, 5, 3, 4).transpose(1, 2, 0)[:, ::2],), note="strided")

    return samples


def binary(low=-2.0, high=2.0, second=None):
    """Samples of two arrays, with every kind of broadcasting; ``second`` is the range of the second array."""
    low2, high2 = second or (low, high)

    def samples(rng):
        first = lambda *shape: rng.uniform(low, high, shape)  # noqa: E731
        other = lambda *shape: rng.uniform(low2, high2, shape)  # noqa: E731
        yield Sample((first(3, 4), other(3, 4)))
        yield Sample((first(3, 4), other(4)), note="broadcast right")
        yield Sample((first(3, 1), other(2, 1, 4)), note="broadcast both")
        yield Sample((first(), other(5)), note="0-d")
        yield Sample((first(0, 3), other(3)), note="0-size")
        yield Sample((first(4, 3).T, other(6, 8)[::2, ::2]), note="strided")
        yield Sample((first(3, 2), 1.5), note="number on the right")

    return samples

"""Random numbers from generators that can be named, saved and restored."""

import contextlib
import contextvars
import threading

import numpy as np

from . import journal
from .errors import LayerError


class Generator:
    """A source of random numbers whose whole state is a small dictionary. Raises ValueError for a seed that is no number of 64 bits.

    >>> g = Generator(7)
    >>> state = g.state()
    >>> a = g.normal((2, 3))
    >>> g.set_state(state)
    >>> bool((a == g.normal((2, 3))).all())
    True
    """

    def __init__(self, seed=0):
        if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
            raise ValueError(f"Generator: the seed is a whole number from 0 to below 2**64. Received: {seed!r}.")
        self.seed, self.drawn = int(seed), 0  # drawn: how many numbers of the counter stream were handed out
        self._stream = np.random.Generator(np.random.Philox(self.seed))

    @property
    def _numpy(self):
        journal.note(self)
        return self._stream

    def normal(self, shape, mean=0.0, std=1.0):
        """Normal numbers, float64.   -> shape"""
        return self._numpy.normal(mean, std, shape)

    def uniform(self, shape, low=0.0, high=1.0):
        """Uniform numbers in [low, high), float64.   -> shape"""
        return self._numpy.uniform(low, high, shape)

    def integers(self, low, high, shape):
        """Uniform integers in [low, high).   -> shape"""
        return self._numpy.integers(low, high, shape)

    def permutation(self, count):
        """The numbers 0 .. count - 1 in random order.   -> (count)"""
        return self._numpy.permutation(count)

    def counters(self, count):
        """Reserve ``count`` numbers of the counter stream, for `dropout`; returns (seed, offset)."""
        journal.note(self)
        offset, self.drawn = self.drawn, self.drawn + count
        return self.seed, offset

    def state(self):
        """Everything needed to go on from here, made of numbers and strings."""
        inner = self._stream.bit_generator.state
        return {
            "seed": self.seed,
            "drawn": self.drawn,
            "counter": [int(n) for n in inner["state"]["counter"]],
            "key": [int(n) for n in inner["state"]["key"]],
            "buffer": [int(n) for n in inner["buffer"]],
            "rest": [int(inner[name]) for name in ("buffer_pos", "has_uint32", "uinteger")],
        }

    def set_state(self, state):
        """Go on from where `state` was taken; raises LayerError for what is no such state, and changes nothing then."""
        given, own = ({name: np.shape(value) for name, value in s.items()} for s in (state, self.state()))
        if given != own:
            raise LayerError(f"Generator: a state has {own}, names and shapes. Received: {given}.")
        journal.note(self)
        self.seed, self.drawn = int(state["seed"]), int(state["drawn"])
        position, has, integer = state["rest"]
        self._stream.bit_generator.state = {
            "bit_generator": "Philox",
            "state": {"counter": np.array(state["counter"], np.uint64), "key": np.array(state["key"], np.uint64)},
            "buffer": np.array(state["buffer"], np.uint64),
            "buffer_pos": position,
            "has_uint32": has,
            "uinteger": integer,
        }

    def state_dict(self):
        """`state` as arrays, for a file."""
        return {name: np.array(value, np.uint64) for name, value in self.state().items()}

    def load_state_dict(self, state):
        """Go on from a `state_dict`."""
        self.set_state({name: np.asarray(value).tolist() for name, value in state.items()})

    _state, _set_state = state, set_state


class _Default(Generator):
    """The generator of a thread. There is one: copies of it, and what a pickle of it gives, are the default of the thread they are made in.

    Copies of a layer would otherwise draw the same numbers as each other, and `manual_seed` would not reach them.
    """

    def __reduce__(self):
        return _default, ()


class _Defaults(threading.local):
    """A default generator for every thread, so that threads neither wait for each other nor take each other's numbers."""

    def __init__(self):
        self.generator = _Default(0)


_defaults = _Defaults()


def _default():
    return _defaults.generator


_current = contextvars.ContextVar("generator", default=None)


def current():
    """The generator that draws where none is named: that of the innermost `using`, else the thread's own, seeded with 0.

    >>> current() is current()
    True
    """
    return _current.get() or _default()


def own_or_current(seed):
    """A generator of one's own where a seed is given, else the current one: what a layer with a ``seed`` draws from.

    Copies of a layer have copies of its own generator, which draw the same numbers; the default one they share with it.

    >>> own_or_current(None) is current(), own_or_current(7).seed
    (True, 7)
    """
    return current() if seed is None else Generator(seed)


@contextlib.contextmanager
def using(generator):
    """Let everything inside that draws random numbers without naming a generator draw from this one.

    >>> with using(Generator(3)) as g:
    ...     current() is g
    True
    """
    token = _current.set(generator)
    try:
        yield generator
    finally:
        _current.reset(token)


def manual_seed(seed):
    """Start the default generator of this thread again from ``seed``.

    >>> manual_seed(1)
    """
    _default().set_state(Generator(seed).state())

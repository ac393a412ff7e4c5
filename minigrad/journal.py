"""State that stands outside of the graph, written down before it changes, so that it can be put back.

Buffers and generators change while a function runs. `checkpoint` runs one again, a check of gradients runs one many times:
every run must see what the first one saw, and leave no trace.
"""

import contextlib
import contextvars

_open = contextvars.ContextVar("journals", default=())


def note(thing):
    """To be called before ``thing`` changes: every open journal that does not hold its state yet writes it down.

    A thing has ``_state()`` and ``_set_state(state)``.
    """
    for journal in _open.get():
        if id(thing) not in journal:
            journal[id(thing)] = (thing, thing._state())


@contextlib.contextmanager
def kept():
    """A journal, open inside: what changes there and the state it had before, by the id of the thing.

    >>> from minigrad.random import Generator
    >>> g = Generator(1)
    >>> with kept() as journal:
    ...     a = g.uniform(2)
    >>> with undone():
    ...     put_back(journal)
    ...     b = g.uniform(2)
    >>> bool((a == b).all())
    True
    """
    journal = {}
    token = _open.set((*_open.get(), journal))
    try:
        yield journal
    finally:
        _open.reset(token)


@contextlib.contextmanager
def undone():
    """What changes inside has its old state again afterwards, also after an exception.

    >>> from minigrad.random import Generator
    >>> g = Generator(1)
    >>> with undone():
    ...     a = g.uniform(2)
    >>> bool((a == g.uniform(2)).all())
    True
    """
    with kept() as journal:
        try:
            yield
        finally:
            put_back(dict(journal))


def put_back(journal):
    """Give everything in a journal the state that was written down."""
    for thing, state in journal.values():
        note(thing)
        thing._set_state(state)

"""What one thread at a time may do."""

import os
from threading import get_ident

_process = object()  # a child of this one has another


class Alone:
    """``with alone:`` is open to one thread at a time; others get a RuntimeError with these words.

    A thread that an interrupt kept from leaving may come in again: it is in no other place. In a child of the process nobody is inside,
    as the other threads have not come along.

    >>> alone = Alone("example: somebody is inside.")
    >>> with alone:
    ...     print("inside")
    inside
    """

    def __init__(self, refusal):
        self.refusal, self._inside = refusal, {}  # process: thread

    def __enter__(self):
        me = get_ident()
        if self._inside.setdefault(_process, me) != me:
            raise RuntimeError(self.refusal)

    def __exit__(self, *exception):
        self._inside.clear()


def _after_fork():
    global _process
    _process = object()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

"""What one thread at a time may do."""

import os
import threading


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
        me = threading.get_ident()
        if self._inside.setdefault(os.getpid(), me) != me:
            raise RuntimeError(self.refusal)

    def __exit__(self, *exception):
        self._inside.clear()

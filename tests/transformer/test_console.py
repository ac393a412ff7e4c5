"""What is printed goes where somebody reads it."""

import io

import pytest

pytest.importorskip("rich")

from transformer.console import _console  # noqa: E402


class Closed(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


def test_who_has_read_enough_ends_no_process():
    """The command line makes of it what it makes of plain text: an end like any other."""
    with pytest.raises(BrokenPipeError):
        _console(file=Closed()).print("a table")

"""The one exception that the command line shows as a sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class UserError(ValueError):
    """A mistake or an obstacle that one sentence explains, and that the reader can do something about.

    The command line prints the sentence and leaves with `code`; a program catches it as the `ValueError` it is.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """Say which extra to install where an import inside fails.

    >>> with extra("train"):
    ...     import no_such_library
    Traceback (most recent call last):
    transformer.errors.UserError: This needs the library no_such_library: pip install 'minigrad[train]'.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f"This needs the library {error.name}: pip install 'minigrad[{name}]'.") from error

"""The parameter table of a model: which numbers gradient descent changes, and who changes the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def count(tensors: Iterable[Any]) -> int:
    """How many numbers tensors hold together; `parameters()` and `buffers()` list a tied one once."""
    return sum(tensor.size for tensor in tensors)

"""The parameter table of a model: which numbers gradient descent changes, and what changes the others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from minigrad.layer import Buffer, Layer

HEAD = ("learnable", "of which frozen", "non-learnable", "updated by")


def count(tensors: Iterable[Any]) -> int:
    """How many numbers tensors hold together.

    >>> import numpy as np
    >>> count([np.ones((2, 3)), np.ones(4)])
    10
    """
    return sum(tensor.size for tensor in tensors)


def summary(model: Layer, arrays: bool = False) -> str:
    """The table of a model's numbers, as text: learnable, of which frozen, non-learnable, and updated by what.

    A row per layer, or per array with its shape. Equal layers that differ only in the number of their block share one,
    `blocks.* x4`. A tied array counts once and is listed with all its names. Raises LayerError for a model that is not
    built.

    >>> from minigrad import Dense, Sequential
    >>> model = Sequential([Dense(3).ensure_built((2,)), Dense(3).ensure_built((3,))])
    >>> model.layers[0].freeze()
    >>> print(summary(model, arrays=True))
    array            shape   learnable  of which frozen  non-learnable  updated by
    ------------------------------------------------------------------------------------
    layers.0.kernel  (2, 3)          6                6              0  nothing
    layers.0.bias    (3,)            3                3              0  nothing
    layers.1.kernel  (3, 3)          9                0              0  gradient descent
    layers.1.bias    (3,)            3                0              0  gradient descent
    ------------------------------------------------------------------------------------
    together                        21                9              0
    """
    ties = model.tied()
    rows: dict[tuple[Any, ...], tuple[set[str], list[int]]] = {}  # what makes a row -> its names, its numbers
    for path, tensor in model.named_tensors().items():
        names = [path, *ties.get(path, ())]
        name = " = ".join(names if arrays else dict.fromkeys(each.rpartition(".")[0] for each in names))
        learnable, owner = not isinstance(tensor, Buffer), _owner(model, path)
        frozen = learnable and tensor.frozen
        buffers_updated_by = getattr(owner, "buffers_updated_by", "nothing")
        updated_by = "nothing" if frozen else "gradient descent" if learnable else buffers_updated_by
        shape = (str(tensor.shape),) if arrays else ()
        key = (type(owner), re.sub(r"\b\d+\b", "*", name), *shape, updated_by)
        members, numbers = rows.setdefault(key, (set(), [0, 0, 0]))
        members.add(name)
        for column, counts in enumerate((learnable, frozen, not learnable)):
            numbers[column] += tensor.size if counts else 0
    table = [
        (f"{pattern} x{len(members)}" if len(members) > 1 else next(iter(members)), *shape, *numbers, updated_by)
        for (_, pattern, *shape, updated_by), (members, numbers) in rows.items()
    ]
    totals = [sum(column) for column in zip(*(numbers for _, numbers in rows.values()))]
    first, empty = (("array", "shape"), ("",)) if arrays else (("layer",), ())
    return _aligned([(*first, *HEAD), *table, ("together", *empty, *totals, "")])


def _owner(model: Layer, path: str) -> Any:
    """The layer that an array belongs to."""
    owner: Any = model
    for name in path.split(".")[:-1]:
        if isinstance(owner, Layer):
            owner = getattr(owner, name)
        else:
            owner = owner[name if isinstance(owner, dict) else int(name)]
    return owner


def _aligned(rows: list[tuple[Any, ...]]) -> str:
    """Text to the left and numbers to the right, with a line under the first row and one above the last."""
    cells = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    numeric = [isinstance(cell, int) for cell in rows[-1]]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(row, widths, numeric)
        ).rstrip()
        for row in cells
    ]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

"""What happened while a model learned: a row of numbers for every step."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class History:
    """The rows of a training: `step`, `learning_rate`, `train_loss`, `gradient_norm`, and what was looked at now and then.

    >>> history = History([{"step": 1, "loss": 3.0}, {"step": 2, "loss": 1.0, "accuracy": 0.5}])
    >>> history["loss"], history["accuracy"], history.last("accuracy"), history.best("loss")
    ([3.0, 1.0], [None, 0.5], 0.5, (2, 1.0))
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = (), stopped: str | None = None) -> None:
        self.rows: list[Row] = [dict(row) for row in rows]
        self.stopped = stopped  # why training ended before its last step

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        """The rows, step after step."""
        return iter(self.rows)

    def __contains__(self, name: object) -> bool:
        """Whether some row holds a number of this name."""
        return any(name in row for row in self.rows)

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name} {self.last(name):.4g}" for name in self.names()[1:] if self.last(name) is not None)
        return f"<History of {len(self)} steps: {numbers}>" if self.rows else "<History of 0 steps>"

    def names(self) -> list[str]:
        """What the rows hold, in the order in which it came."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def __getitem__(self, name: str) -> list[Any]:
        """One number of every row, None where nobody looked; KeyError with the names there are for another."""
        if name not in self.names():
            raise KeyError(f"History: there is no {name!r}; there are {', '.join(self.names()) or 'no rows'}.")
        return [row.get(name) for row in self.rows]

    def series(self, name: str) -> tuple[list[int], list[Any]]:
        """The steps at which somebody looked at a number, and what it was: a curve."""
        known = [(row["step"], row[name]) for row in self.rows if row.get(name) is not None]
        return [step for step, _ in known], [value for _, value in known]

    def last(self, name: str) -> Any:
        """The newest number of a name, None where there is none."""
        return next((row[name] for row in reversed(self.rows) if row.get(name) is not None), None)

    def best(self, name: str, mode: str = "min") -> tuple[int, float]:
        """The step and the number where it was least, or with ``mode="max"`` largest; ValueError where it never was a number."""
        if mode not in ("min", "max"):
            raise ValueError(f'History: mode is "min" or "max". Received: {mode!r}.')
        known = [(row["step"], row[name]) for row in self.rows if row.get(name) is not None and not math.isnan(row[name])]
        if not known:
            raise ValueError(f"History: nobody looked at {name!r}; there are {', '.join(self.names()) or 'no rows'}.")
        return (min if mode == "min" else max)(known, key=lambda entry: entry[1])

    def to_csv(self) -> bytes:
        """The rows as CSV; numbers as `repr` writes them, which reads back bit for bit, and None as nothing."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, fieldnames=self.names(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue().encode()

    @classmethod
    def from_csv(cls, content: bytes) -> History:
        """The rows that `to_csv` wrote; ValueError for something else."""

        def number(name: str, word: str) -> int | float | None:
            return None if word == "" else int(word) if name == "step" else float(word)

        rows = list(csv.DictReader(io.StringIO(content.decode())))
        if any(None in row or None in row.values() for row in rows):  # a line that is longer or shorter than the first
            raise ValueError("History: every line holds as many numbers as the first has names.")
        return cls({name: number(name, word) for name, word in row.items()} for row in rows)

    def save(self, path: str | Path) -> None:
        """Write the rows as a CSV file."""
        Path(path).write_bytes(self.to_csv())

"""What a long command says while it works: a live bar on a terminal, plain lines everywhere else."""

from __future__ import annotations

import contextlib
import math
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from transformer.errors import extra

Update = Callable[[int, float, float], None]  # step, bits per character, tokens per second


def command(*words: str | Path) -> str:
    """A command of ours as the reader would type it, called the way in which this program was called.

    >>> command("sample", "runs/small", "--prompt", "The ").endswith("sample runs/small --prompt 'The '")
    True
    """
    called = Path(sys.argv[0])
    program = [str(called)] if called.stem == "transformer" else ["python", "-m", "transformer"]
    if called.stem == "transformer" and shutil.which("transformer") == str(called):
        program = ["transformer"]
    return shlex.join([*program, *map(str, words)])


class Report:
    """Where a command's tables, lines and progress go: standard output."""

    def __init__(self) -> None:
        with extra("train"):
            from rich.console import Console
        self.console = Console(highlight=False, markup=False, emoji=False)

    def say(self, text: str = "", style: str | None = None) -> None:
        """One line, or several."""
        self.console.print(text, style=style, soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], bold: str) -> None:
        """A table of names and, to the right of them, numbers; the row called `bold` stands out."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for number, column in enumerate(columns):
            table.add_column(column, justify="right" if number else "left")
        for row in rows:
            table.add_row(*row, style="bold" if row[0] == bold else None)
        self.console.print(table)

    def busy(self, what: str) -> contextlib.AbstractContextManager[object]:
        """Says on a terminal what is done inside, for as long as it lasts; nothing without a terminal."""
        return self.console.status(what + " ...") if self.console.is_terminal else contextlib.nullcontext()

    def quote(self, text: str) -> None:
        """Text that a model wrote, behind a bar at the left, so that nobody takes it for ours."""
        for line in text.split("\n"):
            self.say(f"  │ {line}".rstrip(), style="dim")

    @contextlib.contextmanager
    def progress(self, done: int, total: int) -> Iterator[Update]:
        """A bar of steps with bits per character, tokens per second and time left; nothing without a terminal."""
        if not self.console.is_terminal:
            yield lambda step, bits, speed: None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task("", total=total, completed=done, figures="")

            def update(step: int, bits: float, speed: float) -> None:
                figures = f"loss {bits * math.log(2):.3f} · {bits:.3f} bits/char · {speed:,.0f} tokens/s ·"
                bar.update(task, completed=step, figures=figures)

            yield update

"""What a long command says while it works: a live bar on a terminal, plain lines everywhere else."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from transformer.errors import UserError, extra

Update = Callable[[int, str], None]  # the step, and what to say beside the bar


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
        self.console = _console()

    def say(self, text: object = "", style: str | None = None) -> None:
        """One line, or several; what rich can draw, as the parameter table, is drawn on a terminal only."""
        self.console.print(text if self.console.is_terminal else str(text), style=style, soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], bold: str) -> None:
        """A table of names and, to the right of them, numbers; the row called `bold` stands out."""
        from rich import box
        from rich.measure import Measurement
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for number, column in enumerate(columns):
            table.add_column(column, justify="right" if number else "left")
        for row in rows:
            table.add_row(*row, style="bold" if row[0] == bold else None)
        wide = Measurement.get(self.console, self.console.options.update(width=200), table).maximum
        _console(width=max(wide, self.console.width)).print(table)  # no name is cut off

    def busy(self, what: str) -> contextlib.AbstractContextManager[object]:
        """Says on a terminal what is done inside, for as long as it lasts; nothing without a terminal."""
        return self.console.status(what + " ...") if self.console.is_terminal else contextlib.nullcontext()

    def quote(self, text: str) -> None:
        """Text that a model wrote, behind a bar at the left, so that nobody takes it for ours."""
        for line in text.split("\n"):
            self.say(f"  │ {line}".rstrip(), style="dim")

    @contextlib.contextmanager
    def progress(self, done: int, total: int) -> Iterator[Update]:
        """A bar of steps with figures beside it and the time that is left; nothing without a terminal."""
        if not self.console.is_terminal:
            yield lambda step, figures: None
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

            yield lambda step, figures: bar.update(task, completed=step, figures=figures)


def _console(**options: Any) -> Any:
    with extra("train"):
        from rich.console import Console

    class Passing(Console):
        def on_broken_pipe(self) -> None:
            """Leave it to the command line that whoever read our output has had enough; rich would end the process as a failure."""
            raise  # what is being handled

    return Passing(highlight=False, markup=False, emoji=False, **options)


class Quiet:
    """Says nothing."""

    def say(self, text: object = "", style: str | None = None) -> None:
        """Nothing."""

    @contextlib.contextmanager
    def progress(self, done: int, total: int) -> Iterator[Update]:
        """Nothing either."""
        yield lambda step, figures: None


class Plain(Quiet):
    """Says lines, and draws no bars: what is left without the library rich."""

    def say(self, text: object = "", style: str | None = None) -> None:
        """One line, or several."""
        print(text)


def reporter() -> Quiet | Report:
    """Where a function in a program reports: the terminal with bars where rich is installed, else plain lines."""
    try:
        return Report()
    except UserError:
        return Plain()


def counted(number: int, what: str) -> str:
    """A number with the word for what it counts.

    >>> counted(1, "step"), counted(2000, "step")
    ('1 step', '2,000 steps')
    """
    return f"{number:,} {what}{'s' * (number != 1)}"


def clock(seconds: float) -> str:
    """`1:02:03`, or `2:03` below an hour.

    >>> clock(123), clock(3723)
    ('2:03', '1:02:03')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

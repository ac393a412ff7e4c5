"""The run folder: what training leaves behind, and what it goes on from.

Everything is written under a temporary name and renamed when it is complete, so that whatever happens while writing,
what was there before is there still. Arrays are safetensors, the rest is JSON or CSV; nothing is ever unpickled. The model in it lies
as Hugging Face lays one out, so that the folder of a run is the folder of a model too.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minigrad import storage
from minigrad.storage import UNFINISHED
from transformer.errors import UserError, extra
from transformer.history import History

CONFIG, MODEL, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"  # a model, as Hugging Face lays it out
TRAINING, HISTORY, DATA, RESULT = "training.json", "history.csv", "data.json", "result.json"
OPTIMIZER, CALLBACKS, STATE = "optimizer.safetensors", "callbacks.safetensors", "state.json"
POINTER = b"version https://git-lfs"  # begins what Git keeps in place of a large file

Arrays = Mapping[str, np.ndarray]


class Run:
    """A run folder and its files."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @classmethod
    def create(cls, folder: str | Path | None, preset: str) -> Run:
        """Make a new run folder; without a name, the first free one of runs/PRESET, runs/PRESET-2, ...

        Raises `UserError` where there is something in the folder already that no early end left behind, or it cannot be made.
        """
        if folder is None:
            names = (Path("runs", f"{preset}-{number}" if number > 1 else preset) for number in range(1, 10**6))
            run = cls(next(name for name in names if not os.path.lexists(name)))
        else:
            run = cls(folder)
            if run.begun():
                raise UserError(
                    f"{run.folder} holds a run already: go on with it (transformer train --resume {run.folder}) or name another --out."
                )
        with writing(run.folder):
            if run.folder.is_dir() and any(run.folder.iterdir()) and not (run.folder / TRAINING).exists():
                raise UserError(f"{run.folder} holds other files: name a new folder with --out.")
        run.make()
        return run

    def begun(self) -> bool:
        """Whether there is anything in it that was learned; one that stopped before its first checkpoint may begin again."""
        learned = ("checkpoint-*", MODEL)
        places = [self.folder, *(path for path in self.folder.glob("*") if path.is_dir())]  # with the members inside
        return (self.folder / TRAINING).exists() and any(any(place.glob(name)) for place in places for name in learned)

    def make(self) -> None:
        """Make the folder, and find out now that it cannot be written, not when the training is done."""
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            write(self.folder / STATE, b"")
            (self.folder / STATE).unlink()

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """A run folder that exists.

        Raises `UserError` for a folder that is none.
        """
        run = cls(folder)
        if not run.folder.is_dir():
            why = "it is a file, not a folder" if run.folder.exists() else "the folder does not exist"
            raise UserError(f"There is no run at {run.folder}: {why}.")
        if not (run.folder / TRAINING).is_file():
            raise UserError(f"{run.folder} is not the folder of a run: it has no {TRAINING}.")
        return run

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other processes from training in this folder meanwhile, where the system can; the end of a process lets go.

        Raises `UserError` where one is at it.
        """
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(f"Another process is training in {self.folder}: wait for it, or stop it.") from error
            yield
        finally:
            os.close(handle)

    def forget(self, *names: str) -> None:
        """Remove files that say that the run is complete, when it goes on; its newest checkpoint holds the same weights."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file."""
        write_json(self.folder / name, value)

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file that holds an object."""
        return read_json(self.folder / name)

    def write_history(self, history: History) -> None:
        """Write the history, a row per step."""
        write(self.folder / HISTORY, history.to_csv())

    def checkpoints(self) -> list[int]:
        """The steps of the complete checkpoints, oldest first."""
        steps = (path.name.partition("-")[2] for path in self.folder.glob("checkpoint-*") if path.is_dir())
        return sorted(int(step) for step in steps if step.isascii() and step.isdecimal())

    def checkpoint(self, step: int) -> Path:
        """The folder of a checkpoint."""
        return self.folder / f"checkpoint-{step}"

    def save_checkpoint(
        self, step: int, model: Arrays, optimizer: Arrays, callbacks: Arrays, state: Any, history: History, keep: int
    ) -> Path:
        """Save everything that going on needs; older checkpoints than the newest `keep` go once it is complete."""
        target = self.checkpoint(step)
        unfinished = target.with_name(target.name + UNFINISHED)
        with writing(target):
            for left in self.folder.glob(f"checkpoint-*{UNFINISHED}"):  # by who was killed, for only one process trains here
                shutil.rmtree(left, ignore_errors=True)
            unfinished.mkdir()
            try:
                save(unfinished / MODEL, model)
                save(unfinished / OPTIMIZER, optimizer)
                save(unfinished / CALLBACKS, callbacks)
                write(unfinished / HISTORY, history.to_csv())
                write(unfinished / STATE, json_bytes(state))
                unfinished.rename(target)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
            storage.sync(self.folder)
        for old in self.checkpoints()[:-keep]:
            if old < step:
                shutil.rmtree(self.checkpoint(old), ignore_errors=True)
        return target

    def load_checkpoint(self, step: int) -> tuple[Arrays, Arrays, Arrays, dict[str, Any], History]:
        """Model, optimiser, callbacks, state and history as `save_checkpoint` was given them.

        Raises `UserError`, naming the file, where one is missing or damaged.
        """
        folder = self.checkpoint(step)
        try:
            arrays = [load(folder / name) for name in (MODEL, OPTIMIZER, CALLBACKS)]
            return arrays[0], arrays[1], arrays[2], read_json(folder / STATE), read_history(folder / HISTORY)
        except UserError as error:
            raise UserError(f"{error}{self.way_round(step)}") from error

    def way_round(self, step: int) -> str:
        """How to go on where a checkpoint is no good: from the one before it, if there is one."""
        earlier = [other for other in self.checkpoints() if other < step]
        return f" Remove {self.checkpoint(step)} to go on from step {earlier[-1]}." if earlier else ""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write into a sentence with the path and the reason."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or str(error).rstrip('.')}.") from error


def write(path: Path, content: bytes) -> None:
    """Write a file, all of it or not at all."""
    with writing(path):
        storage.write(path, lambda file: file.write(content))


def write_together(folder: Path, files: Mapping[str, Callable[[BinaryIO], object] | bytes | None]) -> None:
    """Make a folder and write files into it that belong together, by their names, as `minigrad.storage.write_together` does."""
    with writing(folder):
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        storage.write_together({folder / name: _filling(content) for name, content in files.items()})


def _filling(content: Callable[[BinaryIO], object] | bytes | None) -> Callable[[BinaryIO], object] | None:
    return (lambda file: file.write(content)) if isinstance(content, bytes) else content


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, all of it or not at all."""
    write(path, json_bytes(value))


def save(path: Path, arrays: Arrays) -> None:
    """Write arrays by name, all of them or nothing."""
    fill = filling(path, arrays)
    with writing(path):
        storage.write(path, fill)


def filling(path: Path, arrays: Arrays) -> Callable[[BinaryIO], object]:
    """What writes arrays by name into a file of that name that is open."""
    with extra("train"):
        import safetensors  # noqa: F401
    fill: Callable[[BinaryIO], object] = storage.filling(path, arrays)
    return fill


def load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file; `UserError` where it is missing or damaged."""
    with extra("train"):
        import safetensors  # noqa: F401
    with reading(path):
        arrays: dict[str, np.ndarray] = storage.load(path)
        return arrays


def json_bytes(value: Any) -> bytes:
    """What a JSON file holds."""
    return (json.dumps(value, indent=2) + "\n").encode()  # ASCII: a file name may hold what UTF-8 cannot


def named(path: str | Path, operation: str) -> Path:
    """The folder or file that a user names, ``~`` being the home folder.

    Raises `TypeError` for what is no path, `UserError` for an empty one and one that may not be looked at.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f'{operation}: a folder or a file is named by a text or a Path, as "folder". Received: {path!r:.60}.')
    if not os.fspath(path):
        raise UserError(f'{operation}: the name of a folder is empty; this folder is ".".')
    found = Path(os.path.expanduser(path))
    with reading(found), contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.stat(found / CONFIG)  # finds out whether what lies in it may be looked at, whatever does
    return found


@contextlib.contextmanager
def reading(path: Path, damage: str = "is damaged, or is not a file of this program") -> Iterator[None]:
    """Turn what goes wrong with reading a file into a sentence with the path and the reason."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing.") from error
    except PermissionError as error:
        raise UserError(f"{path} may not be read (permission denied).") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # JSON may be deeper than Python reads it
        raise damaged(path, damage) from error


def damaged(path: Path, how: str) -> UserError:
    """What is said of a file that does not hold what it should: there may be nothing in it, or only the word of where it is."""
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
        begin = file.read(len(POINTER))
        if not begin:
            return UserError(f"{path} is empty.")
        if begin == POINTER:
            return UserError(f"{path} is a Git LFS pointer, not the file itself; git lfs pull fetches it.")
    return UserError(f"{path} {how}.")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; `UserError` where it is missing or damaged."""
    with reading(path):
        value = json.loads(path.read_bytes())
        if not isinstance(value, dict):
            raise ValueError
        return value


def read_history(path: Path) -> History:
    """A history, with the numbers that were written; `UserError` where it is missing or damaged."""
    with reading(path):
        return History.from_csv(path.read_bytes())

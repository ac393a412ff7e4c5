"""Files of weights that others wrote: safetensors, whole or in several parts, read number by number and never executed.

The header is read here, because the library's reader for NumPy knows no bfloat16, keeps no layout, and tells damage in no sentence.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np

from minigrad import settings
from minigrad.kernels.memory import empty
from transformer import runs
from transformer.errors import UserError

INDEX = "model.safetensors.index.json"
LONGEST_HEADER = 100_000_000  # bytes; the library's own limit
SIZES = {  # bytes per number
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4,
    "F64": 8, "I64": 8, "U64": 8,
}  # fmt: skip
FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2"}  # as NumPy reads them; bfloat16 is the upper half of a float32


class Weights(Protocol):
    """Arrays by name, each of which is made when it is asked for, fresh, so that whoever asked may keep it."""

    def __iter__(self) -> Iterator[str]: ...

    def __getitem__(self, name: str) -> np.ndarray: ...

    def shape(self, name: str) -> tuple[int, ...]: ...


class _Stored(NamedTuple):
    """Where the numbers of a tensor lie."""

    path: Path
    kind: str
    shape: tuple[int, ...]
    start: int
    size: int


class Safetensors(Mapping[str, np.ndarray]):
    """The arrays of one or several files, in the default dtype; a header is all that is read before they are asked for.

    Raises `UserError`, one sentence with the file, where one is cut short, damaged, or made to mislead.
    """

    def __init__(self, *paths: Path) -> None:
        self._stored: dict[str, _Stored] = {}
        for path in paths:
            for name, tensor in _header(path).items():
                if name in self._stored:
                    raise UserError(f"{path} holds {name}, and {self._stored[name].path.name} beside it does too: one of them is too many.")
                self._stored[name] = tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an array, which is not read for that."""
        return self._stored[name].shape

    def path(self, name: str) -> Path:
        """The file in which an array lies."""
        return self._stored[name].path

    def __getitem__(self, name: str) -> np.ndarray:
        path, kind, shape, start, size = self._stored[name]
        if kind not in FLOATS:
            raise UserError(f"{path} holds {kind} in {name}; weights are {', '.join(FLOATS)}. Convert them where they come from.")
        array = empty(shape, np.dtype(FLOATS[kind]))
        with runs.reading(path), path.open("rb") as file:
            file.seek(start)
            read = file.readinto(array.reshape(-1).view(np.uint8).data)
        if read != size:
            raise UserError(f"{path} became shorter while it was read.")
        if kind == "BF16":
            wide = empty(shape, np.dtype(np.uint32))
            array = np.left_shift(array, 16, out=wide, dtype=np.uint32).view("<f4")
        return array.astype(settings.default_dtype(), copy=False)


def find(folder: Path) -> Safetensors:
    """The weights in a folder: one file, or the parts that an index names. Raises `UserError`, with what to do, where there are none."""
    whole, index = folder / runs.MODEL, folder / INDEX
    if whole.is_file():
        return Safetensors(whole)
    if index.is_file():
        return _parts(index)
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    if pickles:
        raise UserError(
            f"{folder} holds its weights in {pickles[0]}, a pickle, which is never read, because reading one can run any program. If you "
            "trust it, convert it with the library transformers: the class that config.json names, .from_pretrained(folder), and then "
            ".save_pretrained(folder) writes safetensors."
        )
    raise UserError(f"{whole} is missing.")


def missing(path: Path) -> UserError:
    """What is said of a file that is not there, as the config is not between one model of a folder and the next."""
    return UserError(f"{path} is missing. If saving a model there was cut off, save it once more.")


def _parts(index: Path) -> Safetensors:
    """The files that an index names, each of which must lie beside it and hold what it is said to."""
    where = runs.read_json(index).get("weight_map")
    if not isinstance(where, dict) or not where or not all(isinstance(name, str) for name in where.values()):
        raise UserError(f"{index} is damaged: its weight_map does not say which tensor lies in which file.")
    for name in sorted(set(where.values())):
        if Path(name).name != name or "\\" in name or not name.endswith(".safetensors"):
            raise UserError(f"{index} names the file {name!r:.80}; its parts are .safetensors files that lie beside it.")
    weights = Safetensors(*(index.parent / name for name in sorted(set(where.values()))))
    for tensor, name in where.items():
        if tensor not in weights or weights.path(tensor).name != name:
            raise UserError(f"{index} says that {tensor:.80} lies in {name}, and it does not: the parts are those of another model.")
    return weights


def _header(path: Path) -> dict[str, _Stored]:
    """What a file says of its tensors, where it can be true: they lie side by side and fill the file."""
    with runs.reading(path), path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(0)
        (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))
        whole = length <= min(end - 8, LONGEST_HEADER)
        text = file.read(length) if whole else b""
    if not whole:
        raise runs.damaged(path, f"is cut short or damaged: its header should have {length:,} bytes, and the file has {end:,}")
    try:
        entries = json.loads(text)
        entries.pop("__metadata__", None)
        tensors = {name: _entry(path, name, entry, 8 + length) for name, entry in entries.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is damaged, or is no safetensors file: its header cannot be read.") from error
    place = 8 + length
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].size)):
        if tensor.start != place:
            raise UserError(f"{path} is damaged: {name} begins at byte {tensor.start:,}, and what lies before it ends at {place:,}.")
        place += tensor.size
    if place != end:
        what = "cut short" if place > end else "damaged"
        raise UserError(f"{path} is {what}: its tensors should end at byte {place:,}, and the file has {end:,}.")
    return tensors


def _entry(path: Path, name: str, entry: Any, begin: int) -> _Stored:
    """What a header says of one tensor."""
    kind, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if kind not in SIZES:
        raise UserError(f"{path} holds {name} as {kind!r:.40}; there are {', '.join(SIZES)}.")
    if not all(type(number) is int and number >= 0 for number in (*shape, first, last)) or len(shape) > 8:
        raise UserError(f"{path} is damaged: {name} has the shape {shape!r:.60} and lies at {entry['data_offsets']!r:.60}.")
    if last - first != math.prod(shape) * SIZES[kind]:
        raise UserError(f"{path} is damaged: {name} has the shape {tuple(shape)!r:.60} in {kind}, and {last - first:,} bytes.")
    return _Stored(path, kind, tuple(shape), begin + first, last - first)


def filling(arrays: Mapping[str, Callable[[], np.ndarray]]) -> Callable[[BinaryIO], None]:
    """What writes arrays into a file that is open, each made when it is its turn, so that little memory is needed."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # as Hugging Face's reader asks for
    place = 0
    for name, make in arrays.items():
        array = make()
        header[name] = {"dtype": f"F{8 * array.itemsize}", "shape": array.shape, "data_offsets": [place, place + array.nbytes]}
        place += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # numbers begin at a multiple of 8 bytes

    def fill(file: BinaryIO) -> None:
        file.write(struct.pack("<Q", len(text)) + text)
        for make in arrays.values():
            array = make()
            file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)

    return fill

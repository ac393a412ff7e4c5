"""Arrays in files: written all of it or not at all, read without executing anything."""

import contextlib
import filecmp
import json
import os
import platform
import re
import threading
import zipfile
from pathlib import Path

import numpy as np

from .core import Tensor
from .errors import LayerError, StorageError, received
from .layer import Buffer, Layer

__all__ = ["load", "save"]

UNFINISHED = ".unfinished"  # ends the temporary names
_BUFFERS = "buffers"  # what in a file says which of its arrays are Buffers: their names, as JSON
_RESERVED = (f"__{_BUFFERS}__", "__metadata__")  # names under which the formats keep what is no array


def save(path, state):
    """Write arrays by name to a file that ends in ``.safetensors`` (wants the extra ``train``) or ``.npz``.

    ``state`` is a layer, an optimiser, a generator, or a dict of arrays, Tensors and numbers that may hold dicts, layers,
    optimisers and generators in turn: ``save("run.npz", {"model": model, "optimiser": optimiser, "epoch": 7})``. In the file their
    names are joined by ``/``, as in ``model/layers.0.kernel``. The frozen switches are not part of a state.

    The file is written under another name and renamed once it is on the disk, so whatever happens, what was there before is
    there still. Raises StorageError for another ending and for names with ``/``, OSError where the system refuses.

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/numbers.npz"
    >>> save(path, {"x": np.array([1.0, 2.0]), "best": {"loss": 0.5}})
    >>> load(path)
    {'x': array([1., 2.]), 'best': {'loss': array(0.5)}}
    """
    path = _path(path, "save", "state")
    write(path, filling(path, state))


def load(path, into=None):
    """The arrays of a file by name, in dicts as `save` was given them; NumPy arrays, whatever they were.

    With ``into``, a layer, an optimiser or a generator: its arrays take these values, in their own dtypes, and it is returned. Which are
    frozen does not change.
    Raises FileNotFoundError where there is no file, StorageError for one that is damaged, cut short or of another
    format, LayerError where names, shapes, or Parameters and Buffers do not match; nothing has changed then.

    >>> import tempfile
    >>> from minigrad import Dense
    >>> path = tempfile.mkdtemp() + "/dense.npz"
    >>> layer = Dense(2).ensure_built((None, 3))
    >>> save(path, layer)
    >>> twin = load(path, into=Dense(2).ensure_built((None, 3)))
    >>> bool((twin.kernel.numpy() == layer.kernel.numpy()).all())
    True
    """
    path, (_, read_as) = _path(path, "load", "into=model"), _format(path)
    if not path.exists():
        raise FileNotFoundError(f"load: there is no file {path}.")
    try:
        arrays, buffers = read_as(path)
    except OSError:
        raise
    except Exception as error:  # whatever the parsers make of garbage
        raise StorageError(f"load: {path} is damaged or cut short, or is no {path.suffix} file: {error}") from error
    if isinstance(into, Layer) and buffers is not None:
        for name, tensor in into.named_tensors().items():
            if name in arrays and isinstance(tensor, Buffer) != (name in buffers):
                kinds = ("Parameter", "Buffer")
                raise LayerError(
                    f"load: {name} is a {kinds[isinstance(tensor, Buffer)]} of {type(into).__name__}, and a {kinds[name in buffers]} "
                    f"in {path}. " + received(array=arrays[name])
                )
    if into is not None:
        if not hasattr(into, "load_state_dict"):
            raise TypeError(f"load: into is a layer, an optimiser or a generator. Received: {into!r:.60}.")
        try:
            into.load_state_dict(arrays)
        except LayerError as error:
            raise LayerError(f"load: {path} does not fit. {error}") from error
        return into
    nested = {}
    for name, array in arrays.items():
        *folders, last = name.split("/")
        inner = nested
        for folder in folders:
            inner = inner.setdefault(folder, {})
            if not isinstance(inner, dict):
                raise StorageError(f"load: {path} has an array {folder} and others in it, {name}; save() writes no such file.")
        inner[last] = array
    return nested


def filling(path, state):
    """What `save` does to the file that it opens: a function of that."""
    write_as, _ = _format(path)
    arrays = dict(_named(state, ""))
    buffers = list(state.named_buffers()) if isinstance(state, Layer) else None
    return lambda file: write_as(file, arrays, buffers)


def write(path, fill):
    """Have ``fill(file)`` write a file, all of it or not at all: under a temporary name, on the disk, then renamed."""
    write_together({path: fill})


def write_together(files):
    """Write files that belong together: ``fill(file)`` by path, or None where there must be no file any more.

    First all are on the disk, under temporary names. Where several change, what is there goes, from the last one up to behind the first
    one that changes, and then the new ones come, in their order: the last is only ever there while all the others are of the same
    writing. Killed anywhere, that leaves all the old ones, all the new ones, or not the last; an interrupt leaves one or the other.
    """
    for path in files:
        if not path.parent.is_dir():
            raise FileNotFoundError(f"save: there is no folder {path.parent} for {path.name}.")
    own = f"{os.getpid()}-{threading.get_ident()}@{platform.node()}{UNFINISHED}"
    beside = {path: path.with_name(f"{path.name}.{own}") for path in files}
    away = []  # what goes first, once all are written
    try:
        for path, fill in files.items():
            if fill is not None:
                with open(beside[path], "wb") as file:
                    fill(file)
                    file.flush()
                    os.fsync(file.fileno())
        paths = list(files)
        changed = [place for place, path in enumerate(paths) if not _same(path, beside[path])]
        away = paths[changed[0] + 1 :] if len(changed) > 1 else []
        _exchange(files, beside, away)
    except BaseException:
        if away:
            _exchange(files, beside, away)  # an old file may be gone: the way back is longer than the way on
            raise
        for unfinished in beside.values():
            with contextlib.suppress(OSError):
                unfinished.unlink()
        raise
    for path in files:
        _forget_killed(path)


def _forget_killed(path):
    """Remove what processes of this machine that were killed left of a file, under temporary names; one that is there may go on."""
    pattern = re.compile(rf"{re.escape(path.name)}\.(\d+)-\d+@{re.escape(platform.node() + UNFINISHED)}")
    for left in path.parent.glob(f"*{UNFINISHED}"):
        found = pattern.fullmatch(left.name)
        if found and _gone(int(found[1])):
            with contextlib.suppress(OSError):
                left.unlink()


def _gone(process):
    """Whether there is no such process, where the system can be asked."""
    if os.name != "posix":  # elsewhere there is no signal that does nothing
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's, or no number of a process
        return False
    return False


def _exchange(files, beside, away):
    """Have old files go and those come that lie beside them; may be called again when it was interrupted."""
    for path in reversed(away):
        if files[path] is None or beside[path].exists():  # else it has come already
            path.unlink(missing_ok=True)
    for folder in {path.parent for path in away}:
        sync(folder)
    for path, fill in files.items():
        if fill is None:
            path.unlink(missing_ok=True)
        elif beside[path].exists():
            os.replace(beside[path], path)


def _same(path, other):
    """Whether both files hold the same, or neither is there."""
    if not path.exists() or not other.exists():
        return path.exists() == other.exists()
    return filecmp.cmp(path, other, shallow=False)


def sync(folder):
    """Have the names in a folder on the disk; where folders cannot be opened, the operating system sees to it."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _named(state, prefix):
    """Every array in ``state`` with its whole name."""
    state = state.state_dict() if hasattr(state, "state_dict") else state
    if not isinstance(state, dict):
        raise TypeError(f"save: takes a layer, an optimiser, a generator or a dict of arrays. Received: {state!r:.60}.")
    for name, value in state.items():
        if not isinstance(name, str) or not name or "/" in name or "\0" in name or name in _RESERVED:
            raise StorageError(
                f"save: every name is a text without /, which stands between the names of dicts, and without zero bytes; "
                f"{' and '.join(_RESERVED)} are names of the formats. Received: {name!r}."
            )
        if isinstance(value, dict) or hasattr(value, "state_dict"):
            yield from _named(value, f"{prefix}{name}/")
            continue
        array = np.asarray(value.numpy() if isinstance(value, Tensor) else value)
        if isinstance(value, list | tuple) or array.dtype.kind not in "fiub":
            raise StorageError(f"save: {prefix}{name} must be an array, a Tensor or a number. " + received(value=value))
        yield prefix + name, np.asarray(array, array.dtype.newbyteorder("="), order="C")


# --------------------------------------------------------------------------------------------------------------- formats


def _write_npz(file, arrays, buffers):
    if buffers is not None:
        arrays = {**arrays, f"__{_BUFFERS}__": np.array(json.dumps(buffers))}
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _read_npz(path):
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                arrays[name.removesuffix(".npy")] = np.lib.format.read_array(member, allow_pickle=False)
    buffers = arrays.pop(f"__{_BUFFERS}__", None)
    return arrays, None if buffers is None else json.loads(str(buffers))


def _write_safetensors(file, arrays, buffers):
    file.write(_safetensors().numpy.save(arrays, None if buffers is None else {_BUFFERS: json.dumps(buffers)}))


def _read_safetensors(path):
    with _safetensors().safe_open(path, "numpy") as file:
        metadata = file.metadata() or {}
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return arrays, json.loads(metadata[_BUFFERS]) if _BUFFERS in metadata else None


def _safetensors():
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise StorageError(
            "safetensors files need the library of that name: pip install 'minigrad[train]', or let the name end in .npz."
        ) from error
    return safetensors


_FORMATS = {".safetensors": (_write_safetensors, _read_safetensors), ".npz": (_write_npz, _read_npz)}


def _path(path, who, what):
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f'{who}: the path comes first, as in {who}("run.npz", {what}). ' + received(path=path))
    return Path(path)


def _format(path):
    try:
        return _FORMATS[Path(path).suffix]
    except KeyError:
        raise StorageError(f"save and load: the name of a file ends in {' or '.join(_FORMATS)}. Received: {str(path)!r}.") from None

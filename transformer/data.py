"""Text in: the default corpus, any text of the reader's own, and the batches that training takes from it."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import platform
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transformer.errors import UserError

SEPARATOR = "\n\n\n"  # between documents: paragraphs are one blank line apart, documents two
SHORTEST_DOCUMENT = 60  # characters; "Return self." teaches nothing and is everywhere
# Tests quote machine-made text; idlelib and lib2to3 are applications that not every Python carries.
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "idlelib", "lib2to3", "__pycache__"}


@dataclass(frozen=True)
class Corpus:
    """A text to learn from and a text to be judged on, with a fingerprint of both.

    >>> corpus = Corpus("a rhyme", 2, training="row, row, row your boat", validation="merrily, merrily")
    >>> corpus.characters, corpus.alphabet[:4], corpus.fingerprint[:8]
    (39, ' ,ab', 'bf559499')
    """

    name: str
    documents: int
    training: str
    validation: str

    @property
    def characters(self) -> int:
        """How many characters both texts hold together."""
        return len(self.training) + len(self.validation)

    @functools.cached_property
    def alphabet(self) -> str:
        """Every character that occurs, once, in the order of its code point."""
        return "".join(sorted(set(self.training) | set(self.validation)))

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of both texts; two runs are comparable only where it is the same."""
        return hashlib.sha256(f"{self.training}\0{self.validation}".encode()).hexdigest()

    def record(self) -> dict[str, str | int]:
        """What a run folder writes down about its text, in `data.json`."""
        return {
            "name": self.name,
            "documents": self.documents,
            "training_characters": len(self.training),
            "validation_characters": len(self.validation),
            "distinct_characters": len(self.alphabet),
            "sha256": self.fingerprint,
            "python": platform.python_version(),
        }


def load_corpus(text: str | Path | None = None) -> Corpus:
    """The corpus of a text file, of all text files in a folder, or of Python's own documentation.

    Raises `UserError`, one sentence, where the path is missing, empty, or not UTF-8.
    """
    return python_documentation() if text is None else read_text(Path(text))


def python_documentation() -> Corpus:
    """Python's language reference and the docstrings of its standard library: on every machine, no download.

    Documents are kept once, in the order of their file names, and one in ten, chosen by a hash of its text, is
    validation text. What they say differs between Python versions, hence the fingerprint.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise UserError(
            "This Python comes without its documentation (the module pydoc_data), which is the default text; "
            "name a text of your own with --text FILE_OR_FOLDER."
        ) from error
    documents = [topics[name] for name in sorted(topics)]
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        if LEFT_OUT.isdisjoint(path.relative_to(root).parts):
            documents.extend(docstrings(path.read_bytes()))
    stripped = dict.fromkeys(document.strip() for document in documents)  # the first of equals stays, in order
    return split_by_hash("Python's own documentation", [d for d in stripped if len(d) >= SHORTEST_DOCUMENT])


def docstrings(source: bytes) -> Iterator[str]:
    """The docstrings of a module and of all that it defines, in the order in which they are written.

    >>> list(docstrings(b"class A:\\n    'A thing.'\\n    def f(self):\\n        'What it does.'"))
    ['A thing.', 'What it does.']
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old escape sequences in other people's files are not our reader's concern
        try:
            module = ast.parse(source)
        except (SyntaxError, ValueError):  # a file for another Python, or a template
            return
    yield from _docstrings_below(module)


def _docstrings_below(node: ast.AST) -> Iterator[str]:
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        docstring = ast.get_docstring(node, clean=False)
        if docstring:
            yield inspect.cleandoc(docstring)
    for field in ("body", "handlers", "orelse", "finalbody"):  # statements only: expressions define nothing
        for child in getattr(node, field, ()):
            yield from _docstrings_below(child)


def split_by_hash(name: str, documents: list[str]) -> Corpus:
    """Put one document in ten, chosen by the hash of its text, into the validation text.

    A document's side depends on nothing but itself: adding or removing others moves none across.
    """
    sides: tuple[list[str], list[str]] = ([], [])
    for document in documents:
        digest = hashlib.sha256(document.encode()).digest()
        sides[int.from_bytes(digest[:8], "big") % 10 == 0].append(document)
    training, validation = (SEPARATOR.join([*side, ""]) for side in sides)
    return Corpus(name, len(documents), training, validation)


def read_text(path: Path) -> Corpus:
    """The corpus of a file, or of every text file in a folder; the last tenth of each file is validation text.

    In a folder, hidden files and files with a zero byte (pictures, archives) are passed over.
    """
    if not path.exists():
        raise UserError(f"There is no text at {path}: the file or folder does not exist.")
    if path.is_dir():
        names = sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p.relative_to(path)))
        contents = {name: _read(name) for name in names}
        contents = {name: content for name, content in contents.items() if content and b"\0" not in content}
        if not contents:
            raise UserError(f"The folder {path} holds no text: no file in it that is not empty, hidden or binary.")
    else:
        contents = {path: _read(path)}
        if not contents[path].strip():
            raise UserError(f"The file {path} is empty: there is no text to learn from.")
    training, validation = [], []
    for name, content in contents.items():
        text = _decode(name, content)
        cut = len(text) - len(text) // 10
        training.append(text[:cut])
        validation.append(text[cut:])
    title = path.name.encode(errors="replace").decode()  # a file name may hold bytes that are no text
    return Corpus(title, len(contents), SEPARATOR.join(training), SEPARATOR.join(validation))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"The text {path} cannot be read: {error.strerror}.") from error


def _decode(path: Path, content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path} is not UTF-8 text: byte 0x{content[error.start]:02x} at position {error.start} (line {line}) "
            "does not belong there; convert the file to UTF-8 first."
        ) from error
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


class BatchSampler:
    """Batches of windows of a text, every part of it once per epoch, in an order that is shuffled anew each time.

    Window number w is a function of (seed, w) alone, so that `position`, the number of windows handed out so far, is
    all there is to save and restore.

    >>> sampler = BatchSampler(np.arange(100), block=4, batch=2, seed=0)
    >>> inputs, targets = sampler.next()                    # (B, T), (B, T)
    >>> inputs.shape, bool((targets == inputs + 1).all()), sampler.position
    ((2, 4), True, 2)
    """

    def __init__(self, ids: np.ndarray, block: int, batch: int, seed: int) -> None:
        if len(ids) <= block:
            raise UserError(
                f"The training text has {len(ids):,} characters, and one block of {block} needs {block + 1:,}: "
                "take a longer text or a smaller --block."
            )
        self.ids, self.block, self.batch, self.seed = ids, block, batch, seed
        # One window less than would fit leaves room to begin each epoch elsewhere, between 0 and a block further on.
        fitting = (len(ids) - 1) // block
        self.windows = max(1, fitting - 1)
        self.room = min(block, len(ids) - self.windows * block)
        self.position = 0
        self._epoch, self._starts = -1, np.empty(0, dtype=np.int64)

    def next(self) -> tuple[np.ndarray, np.ndarray]:
        """The next batch: inputs (B, T) and, one character further on, targets (B, T)."""
        starts = np.array([self._start(self.position + row) for row in range(self.batch)])
        self.position += self.batch
        places = starts[:, None] + np.arange(self.block)  # (B, 1) + (T,) -> (B, T)
        return self.ids[places], self.ids[places + 1]

    def _start(self, window: int) -> int:
        epoch, index = divmod(window, self.windows)
        if epoch != self._epoch:
            generator = np.random.default_rng((self.seed, epoch))
            first = generator.integers(self.room)
            self._epoch, self._starts = epoch, first + self.block * generator.permutation(self.windows)
        return int(self._starts[index])


class Batches:
    """Batches of rows of arrays, every row once per epoch, in an order that is shuffled anew each time.

    Row number n of all that are handed out is a function of (seed, n) alone, so that `position` is all there is to save and restore.
    Where ``pad_id`` is given, every array (N, T) of whole numbers is taken for ids, and loses the last columns in which a batch has
    only padding; labels of that shape are to be floating point numbers, which stay whole.

    >>> batches = Batches((np.arange(10)[:, None], np.arange(10)), batch_size=4, seed=0)
    >>> x, y = batches.next()                               # (B, 1), (B,)
    >>> x.shape, bool((x[:, 0] == y).all()), batches.position, batches.per_epoch
    ((4, 1), True, 4, 3)
    """

    def __init__(self, arrays: Sequence[np.ndarray], batch_size: int, seed: int = 0, pad_id: int | None = None) -> None:
        lengths = [len(a) for a in arrays]
        if len(set(lengths)) != 1 or not lengths[0]:
            raise ValueError(f"Batches: inputs and targets need equally many rows, at least one. Received: {lengths}.")
        if batch_size < 1:
            raise ValueError(f"Batches: a batch has at least one row. Received: {batch_size}.")
        self.arrays, self.rows, self.seed, self.pad_id = tuple(arrays), lengths[0], seed, pad_id
        self.batch_size = min(batch_size, self.rows)
        self.per_epoch = -(-self.rows // self.batch_size)  # steps after which every row was seen
        self.settings = {"rows": self.rows, "batch_size": self.batch_size, "seed": int(seed)}  # with these, `position` says all
        self.position = 0
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def next(self) -> tuple[np.ndarray, ...]:
        """The next batch, a row of each array with each row of the others."""
        rows = np.array([self._row(self.position + place) for place in range(self.batch_size)])
        self.position += self.batch_size
        return tuple(self._trimmed(a[rows]) for a in self.arrays)

    def _row(self, number: int) -> int:
        epoch, place = divmod(number, self.rows)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, np.random.default_rng((self.seed, epoch)).permutation(self.rows)
        return int(self._order[place])

    def _trimmed(self, ids: np.ndarray) -> np.ndarray:
        if self.pad_id is None or ids.ndim != 2 or ids.dtype.kind not in "iu":
            return ids
        used = np.flatnonzero((ids != self.pad_id).any(axis=0))
        return ids[:, : used[-1] + 1 if len(used) else 1]

"""One token after the other: the one place that decides how the logits of the next token are computed.

What generates text stands on `Decoding` only, and never sees a cache, a window or an encoder. The ways to compute are equal, which
tests show: as a program of kernels, through the layers with a cache, without one, and in rows of a batch whose texts begin in different
places.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import settings
from minigrad.alone import Alone
from minigrad.core import values
from minigrad.errors import ShapeError, received

from . import programs


class Decoding:
    """Texts that a model goes on with, ``batch`` of them, ``length`` tokens at most: `read` takes tokens and gives the logits of the next.

    ``model`` is a `LanguageModel`, an `EncoderDecoder` with the ``memory`` that its `encode` made (of as many texts), or any callable
    from ids (B, T) to logits (B, T, V). ``padding`` (B,) says how many tokens at the left of the prompt's rows are none.
    Without a cache (``cached=False``, or a callable, or a text that has become longer than the model's block size, of which it then
    sees the last so many tokens) every token costs what the whole text costs.

    What raises, or is interrupted, has read nothing. One thread reads at a time: another gets a RuntimeError.

    >>> from transformer import LanguageModel, LanguageModelConfig
    >>> model = LanguageModel(LanguageModelConfig(vocab_size=9, block_size=4, layers=1, heads=1, width=4))
    >>> decoding = Decoding(model, batch=1, length=6)
    >>> decoding.read(np.array([[1, 2]])).shape, decoding.read(np.array([[7]])).shape
    ((1, 9), (1, 9))
    """

    def __init__(self, model: Callable, batch: int, length: int, memory=None, padding=None, cached: bool = True) -> None:
        self.model, self.memory = model, memory
        self.padding = np.zeros(batch, np.int64) if padding is None else np.array(padding, np.int64)  # (B,)
        if self.padding.shape != (batch,) or (self.padding < 0).any():
            raise ShapeError(f"Decoding: padding says for each of {batch} rows how many tokens are none. " + received(padding=padding))
        self.ids = np.zeros((batch, 0), np.int64)  # (B, T): all that was read
        self.window = _window(model, memory)
        makes = getattr(model, "new_cache", None) if cached else None
        self.cache = None if makes is None or not _remembers(model) else makes(batch, min(length, self.window), self.padding)
        self.step, self.steps = None, True  # the program of one more token; whether one can be made
        self._alone = Alone("Decoding: another thread reads it; every thread needs one of its own.")

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "step": None}  # a copy writes down its own

    def read(self, ids) -> np.ndarray:
        """The logits behind the last of these tokens, which come after those that were read before.   (B, T) -> (B, V)"""
        ids = np.asarray(values(ids))
        if ids.ndim != 2 or len(ids) != len(self.ids) or not ids.shape[1]:
            raise ShapeError(f"Decoding: reads ids (B, T) of {len(self.ids)} texts, at least one token of each. " + received(ids=ids))
        if not self.ids.shape[1] and (self.padding >= ids.shape[1]).any():
            raise ShapeError("Decoding: a row of nothing but padding has no last token. " + received(ids=ids, padding=self.padding))
        return settings.without_grad(self._read, ids)

    def _read(self, ids):
        with self._alone:
            text = np.concatenate([self.ids, ids], axis=1)  # (B, T), (B, t) -> (B, T + t)
            if self.cache is not None and text.shape[1] <= self.cache.capacity:
                self.cache.length = self.ids.shape[1]  # what a run that was interrupted left behind that is written over
                logits = self._stepped(ids) if ids.shape[1] == 1 and (self.cache.length or self.memory is None) else None
                logits = self._last(self._logits(ids, self.cache), text) if logits is None else logits
            else:
                logits = self._last(self._uncached(text), text)
                self.cache = None  # positions of a text that slides through its window change with each token
            self.ids = text
            return logits

    def reorder(self, rows: np.ndarray) -> None:
        """Row i becomes what row ``rows[i]`` was; a memory stays, so rows change places within one source only."""
        rows = np.asarray(rows)
        if rows.shape != (len(self.ids),) or rows.dtype.kind not in "iu":
            raise ShapeError(f"Decoding.reorder: rows says of each of {len(self.ids)} rows which it was. " + received(rows=rows))
        with self._alone:
            ids, padding, cache = self.ids[rows], self.padding[rows], self.cache
            if cache is not None:
                self.cache = None  # for the case that this is interrupted: half of a cache is none
                cache.reorder(rows)
            self.ids, self.padding, self.cache = ids, padding, cache

    def repeat(self, copies: int) -> None:
        """Every row becomes so many, one behind the other: the prompt of several beams is read once."""
        with self._alone:
            ids, padding, cache = np.repeat(self.ids, copies, axis=0), np.repeat(self.padding, copies), self.cache
            memory = repeated(self.memory, copies)
            if cache is not None:
                self.cache = None  # as above
                cache.repeat(copies)
            self.ids, self.padding, self.memory, self.cache, self.step = ids, padding, memory, cache, None

    def _stepped(self, ids):
        """The logits behind one more token, by a program; None where there is none.   (B, 1) -> (B, V)"""
        if not (self.steps and programs.fits()):
            return None
        if self.step is None or self.step.stale:
            self.step = programs.step(self.model, self.cache, self.memory)
            self.steps = self.step is not None
        return self.step.read(ids[:, 0]) if self.steps else None

    def _logits(self, ids, cache=None):
        """(B, T) -> (B, T, V), with a cache (B, 1, V)"""
        options = {} if cache is None else {"cache": cache, "last": True}
        return self.model(ids, **options) if self.memory is None else self.model.decode(ids, self.memory, **options)

    def _uncached(self, text):
        """The logits of a whole text, or of its last tokens that fit; one with padding by itself.   (B, T) -> (B, T, V) or (B, 1, V)"""
        ids = text[:, -self.window :]
        cut = text.shape[1] - ids.shape[1]
        padding = np.maximum(self.padding - cut, 0)
        if not padding.any():
            return self._logits(ids)
        rows = []
        for row, none in enumerate(padding):
            memory = None if self.memory is None else _row(self.memory, row)
            alone = Decoding(self.model, 1, ids.shape[1], memory, cached=False)
            rows.append(alone._logits(ids[row : row + 1, none:]))
        return np.concatenate([values(logits)[:, -1:] for logits in rows])  # (1, T, V) each -> (B, 1, V)

    def _last(self, logits, text):
        """(B, T, V) -> (B, V)"""
        logits = np.asarray(values(logits))
        if logits.ndim != 3 or len(logits) != len(text) or not logits.size:
            raise ShapeError(
                "Decoding: a model gives logits (B, T, V), numbers for each token of its vocabulary behind each token of ids (B, T). "
                + received(ids=text, logits=logits)
            )
        return logits[:, -1]


def repeated(memory, copies):
    """What an encoder made of B sources, as if each had been there ``copies`` times: arrays and lists of arrays (B, ...)."""
    if memory is None or copies == 1:
        return memory
    if isinstance(memory, (tuple, list)):
        return type(memory)(repeated(part, copies) for part in memory)
    return np.repeat(values(memory), copies, axis=0)


def _window(model, memory):
    """The longest text that the model reads."""
    # What an encoder-decoder writes has a beginning, without which it is another text: too long a one is the model's to refuse.
    longest = getattr(getattr(model, "config", None), "block_size", None) if memory is None else None
    return longest or 1 << 62


def _remembers(model):
    """Whether what the model has read stays as it is: not in one that sees later words too."""
    return "mask" not in getattr(model.config, "ablate", ())


def _row(memory, row):
    """What was made of one source."""
    encoded, mask = memory
    return encoded[row : row + 1], None if mask is None else mask[row : row + 1]

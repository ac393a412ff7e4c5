"""What a model has read: the keys and values of every block, so that a token that comes after costs one token and not all of them.

A cache is made by the model, ``cache = model.new_cache(batch, length)``, and given to each call, ``model(ids, cache=cache)``. It owns
the one counter of positions: nobody passes an offset, so none can disagree with what is stored. The layers are the same with and
without it; what they ask of it are places, masks, and the keys and values so far.
"""

import numpy as np

from minigrad.core import Tensor, values
from minigrad.errors import DtypeError, LayerError, ShapeError, received


class Counter:
    """Where the texts of a cache stand. All of its parts know it: if they knew the cache, its memory would have to wait to be found."""

    def __init__(self, batch, capacity, padding):
        self.batch, self.capacity, self.length = batch, capacity, 0
        self.padding = None if padding is None else np.array(padding, np.int64)
        if self.padding is not None and (self.padding.shape != (batch,) or (self.padding < 0).any()):
            raise ShapeError(f"Cache: padding says for each of {batch} rows how many tokens are none. " + received(padding=padding))
        if self.padding is not None and not self.padding.any():
            self.padding = None

    def positions(self, T):
        """Where the next T tokens stand.   -> (T,), with padding (B, T)"""
        places = np.arange(self.length, self.length + T)
        return places if self.padding is None else np.maximum(places - self.padding[:, None], 0)  # (T) - (B, 1) -> (B, T)

    def check(self, who, B, T):
        """Raises ShapeError unless there is room for T more tokens of B texts."""
        if B != self.batch or self.length + T > self.capacity:
            raise ShapeError(
                f"{who}: the cache has room for {self.capacity} tokens of {self.batch} texts, and holds {self.length}. "
                f"Received: {T} more of {B} texts."
            )


def _of_the_counter(name):
    return property(lambda cache: getattr(cache.counter, name), lambda cache, value: setattr(cache.counter, name, value))


class Cache:
    """Room for ``length`` tokens of ``batch`` texts; ``blocks`` has for each block what its attentions keep.

    ``padding`` (B,) says how many tokens at the left of a row are no text: texts of different lengths begin in different places, and
    end in the same one. Nobody attends to padding, and the first token behind it has position 0.
    Raises ShapeError for a padding of another shape.

    >>> import minigrad
    >>> from transformer import LanguageModel, LanguageModelConfig
    >>> model = LanguageModel(LanguageModelConfig(vocab_size=9, block_size=8, layers=1, heads=1, width=4))
    >>> cache = model.new_cache(batch=1, length=8)
    >>> with minigrad.no_grad():
    ...     first, then = model(np.array([[1, 2]]), cache=cache), model(np.array([[3]]), cache=cache)
    ...     bool(np.allclose(then, model(np.array([[1, 2, 3]]))[:, 2:], atol=1e-6)), cache.length
    (True, 3)
    """

    def __init__(self, layers, batch, length, padding=None, memory=False):
        self.counter = Counter(batch, length, padding)
        self.blocks = [(SoFar(self.counter), Memory()) if memory else SoFar(self.counter) for _ in range(layers)]

    batch, capacity, length, padding = map(_of_the_counter, ("batch", "capacity", "length", "padding"))

    def positions(self, T):
        """Where the next T tokens stand.   -> (T,), with padding (B, T)"""
        return self.counter.positions(T)

    def check(self, who, B, T):
        """Raises ShapeError unless there is room for T more tokens of B texts."""
        self.counter.check(who, B, T)

    def reorder(self, rows):
        """Row i becomes what row ``rows[i]`` was. Raises ShapeError unless there is one for each."""
        if np.shape(rows) != (self.batch,):
            raise ShapeError(f"Cache.reorder: rows says of each of {self.batch} rows which it was. " + received(rows=rows))
        if self.padding is not None:
            self.padding = self.padding[rows]
        for part in self._parts():
            for array in part.arrays:
                known = array[:, :, : self.length] if isinstance(part, SoFar) else array  # (B, r, S, d)
                known[:] = known[rows]

    def repeat(self, copies):
        """Every row becomes so many, one behind the other."""
        self.batch *= copies
        if self.padding is not None:
            self.padding = np.repeat(self.padding, copies)
        for part in self._parts():
            part.arrays = tuple(np.repeat(array, copies, axis=0) for array in part.arrays)

    def _parts(self):
        for block in self.blocks:
            yield from block if isinstance(block, tuple) else (block,)


class SoFar:
    """The keys and values of a self-attention, each (B, r, L, d), of which as many are known as the cache has read."""

    complete = False

    def __init__(self, counter):
        self.counter, self.arrays = counter, ()

    def read(self, k, v):
        """All keys and values, with these at the end; raises DtypeError for others than before.   (B, r, T, d) -> (B, r, S, d)"""
        n, (B, r, T, _) = self.counter.length, k.shape
        self.counter.check("attention", B, T)
        for array, x in zip(self.room(r, k.shape[3], v.shape[3], k.dtype), (k, v)):
            if array.dtype != x.dtype:
                raise DtypeError(f"attention: the cache holds {array.dtype}; a model of other numbers needs another one. " + received(x=x))
            array[:, :, n : n + T] = _numbers(x)
        return [array[:, :, : n + T] for array in self.arrays]

    def room(self, r, dq, dv, dtype):
        """Places for all keys and values; an empty cache may have others than before.   -> (B, r, L, dq), (B, r, L, dv)"""
        if not self.arrays or (not self.counter.length and self.arrays[0].dtype != dtype):
            self.arrays = tuple(np.zeros((self.counter.batch, r, self.counter.capacity, d), dtype) for d in (dq, dv))
        return self.arrays

    def allowed(self, mask, causal, T, window, who):
        """Which keys the next T questions may see: none after themselves, nor ``window`` steps before, and no padding.

        -> mask or None, whether plainly causal
        """
        n, padding = self.counter.length, self.counter.padding
        if mask is not None or not causal:
            raise LayerError(
                f"{who}: with a cache a question sees what was read before and itself. "
                f"Received: {'another mask' if causal else 'attention that is not causal'}."
            )
        if padding is None and window is None and (n == 0 or T == 1):
            return None, n == 0
        seen = np.tri(T, n + T, n, dtype=bool)  # (T, S): key s <= n + t
        if window is not None:
            seen &= ~np.tri(T, n + T, n - window, dtype=bool)  # (T, S): key s > n + t - window
        if padding is not None:
            seen = seen & (np.arange(n + T) >= padding[:, None, None, None])  # (T, S) & (B, 1, 1, S) -> (B, 1, T, S)
        return seen, False


class Memory:
    """The keys and values of an attention to what an encoder made, each (B, r, S, d): computed once, and complete then."""

    def __init__(self):
        self.arrays = ()

    @property
    def complete(self):
        """Whether they are known."""
        return bool(self.arrays)

    def read(self, k=None, v=None):
        """All keys and values; given, they are kept.   (B, r, S, d) -> (B, r, S, d)"""
        if k is not None:
            self.arrays = tuple(np.array(_numbers(x), order="C") for x in (k, v))
        return self.arrays

    def allowed(self, mask, causal, T, window, who):
        """Every question may see what the mask of the memory says; raises LayerError for a window, which has no place in another text."""
        if window is not None:
            raise LayerError(f"{who}: with a cache a sliding window is for a text that looks back at itself. Received: another's memory.")
        return mask, causal


def _numbers(x):
    """The array of a tensor that no gradient is wanted of."""
    if isinstance(x, Tensor) and x.requires_grad:
        raise LayerError("A cache keeps numbers, through which no gradient flows: use it inside of minigrad.no_grad().")
    return values(x)

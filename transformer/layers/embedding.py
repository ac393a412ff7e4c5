"""From numbers to vectors: what a token is, and where it stands."""

import functools
import math
import numbers

import numpy as np

import minigrad as mg
from minigrad import settings
from minigrad.core import values
from minigrad.errors import ShapeError, received
from minigrad.initializers import get_initializer
from minigrad.layer import as_input, check_size, width_of
from minigrad.ops.elementwise import floating

from .masks import padding_mask


class Embedding(mg.Layer):
    """Row look-up: maps a token's number to its vector, equal to one-hot(ids) times the matrix.   (B, T) -> (B, T, E)

    Learnable: V E. Non-learnable: 0. With ``mask_zero`` id 0 is padding, and `compute_mask` says which tokens are not; `Sequential`
    hands that mask on, a lone layer does not. ``weights`` are the rows to start from.
    Raises IndexError for an id outside 0 .. V - 1, naming it and its place, DtypeError for ids that are not integers.

    >>> ids = np.array([[3, 64, 0]])
    >>> Embedding(65, 8)(ids).shape, Embedding(65, 8, mask_zero=True).compute_mask(ids).tolist()
    ((1, 3, 8), [[True, True, False]])
    """

    def __init__(self, input_dim, output_dim, embeddings_initializer="uniform", *, mask_zero=False, weights=None, **keras):
        super().__init__(**keras)
        self.input_dim, self.output_dim = check_size("Embedding", input_dim=input_dim), check_size("Embedding", output_dim=output_dim)
        self.mask_zero, shape = mask_zero, (self.input_dim, self.output_dim)
        if weights is None:
            rows = get_initializer(embeddings_initializer, "Embedding", "embeddings_initializer")(shape)
        else:
            rows = weights[0] if np.shape(weights) == (1, *shape) else weights  # Keras takes a list of one
            if np.shape(rows) != shape:
                raise ShapeError(f"Embedding: weights have one row for each id, {shape}. " + received(weights=rows))
        self.embeddings = mg.Parameter(rows, settings.default_dtype())  # (V, E)

    def compute_output_shape(self, input_shape):
        """(B, T) -> (B, T, E)"""
        return (*input_shape, self.output_dim)

    def call(self, ids):
        return mg.embedding(ids, self.embeddings)  # (B, T), (V, E) -> (B, T, E)

    def compute_mask(self, inputs, mask=None):
        """True for the ids that are not 0; None without ``mask_zero``.   (B, T) -> (B, T)"""
        return padding_mask(inputs) if self.mask_zero else None


class PositionalEmbedding(mg.Layer):
    """Adds a learned vector for each absolute position.   (B, T, E) -> (B, T, E)

    Learnable: L E, with L = sequence_length the longest text. Non-learnable: 0. With a ``cache`` x stands behind what that has read.
    Raises ShapeError where T > L.

    >>> PositionalEmbedding(16)(np.zeros((2, 5, 8), np.float32)).shape
    (2, 5, 8)
    """

    keeps_shape = True

    def __init__(self, sequence_length, initializer="glorot_uniform", **keras):
        super().__init__(**keras)
        self.sequence_length = check_size("PositionalEmbedding", sequence_length=sequence_length)
        self.initializer = get_initializer(initializer, "PositionalEmbedding", "initializer")

    def build(self, input_shape):
        E = width_of("PositionalEmbedding", input_shape)
        self.position_embeddings = mg.Parameter(self.initializer((self.sequence_length, E)))  # (L, E)

    def call(self, x, cache=None):
        x = self._checked(x, 0 if cache is None else cache.length)
        places = slice(x.shape[-2]) if cache is None else cache.positions(x.shape[-2])
        return mg.add(x, self.position_embeddings[places])  # (B, T, E) + (T, E) or (B, T, E) -> (B, T, E)

    def _checked(self, x, before):
        x, (L, E) = as_input(x), self.position_embeddings.shape
        if x.ndim < 2 or x.shape[-1] != E:  # an axis of 1 would broadcast, and nobody would notice
            raise ShapeError(f"PositionalEmbedding: x needs the axes (B, T, E) with E = {E}. " + received(x=x))
        if L < before + x.shape[-2]:
            raise ShapeError(
                f"PositionalEmbedding: {before + x.shape[-2]} positions, but only {L} were learned; shorten the text to its last {L} "
                "tokens. " + received(x=x)
            )
        return x


class SinusoidalPositions(mg.Layer):
    """Adds waves of growing length, in which every position has a pattern of its own (Vaswani et al. 2017).   (B, T, E) -> (B, T, E)

    x[t, 2i] + sin(t / w^(2i/E)), x[t, 2i + 1] + cos(t / w^(2i/E)), with w = max_wavelength; with ``halves`` all sines stand before all
    cosines. Learnable: 0. Non-learnable: 0: there is nothing to learn, and no longest text. With a ``cache`` x stands behind what that
    has read.

    >>> SinusoidalPositions()(np.zeros((1, 2, 4))).round(2).tolist()
    [[[0.0, 1.0, 0.0, 1.0], [0.84, 0.54, 0.01, 1.0]]]
    """

    keeps_shape = True

    def __init__(self, max_wavelength=10_000, halves=False, **keras):
        super().__init__(**keras)
        self.max_wavelength, self.halves = _positive("SinusoidalPositions", max_wavelength=max_wavelength), halves

    def call(self, x, cache=None):
        x = floating(as_input(x))
        if x.ndim < 2:
            raise ShapeError("SinusoidalPositions: x needs the axes (B, T, E). " + received(x=x))
        T, E = x.shape[-2:]
        waves = wave_patterns(_room(T, cache), E, self.max_wavelength, self.halves, str(x.dtype))
        return mg.add(x, waves[:T] if cache is None else waves[cache.positions(T)])  # (B, T, E) + (T, E) or (B, T, E) -> (B, T, E)


def _positive(who, **number):
    """The number, where it is positive; else ValueError with its name."""
    ((name, number),) = number.items()
    if not isinstance(number, numbers.Real) or not number > 0:
        raise ValueError(f"{who}: {name} is a positive number. Received: {number!r}.")
    return number


def _room(T, cache):
    """For how many places to make tables, not anew for each token: the next power of two."""
    return 1 << ((T if cache is None else cache.capacity) - 1).bit_length()


@functools.lru_cache(maxsize=16)
def wave_patterns(L, E, max_wavelength, halves, dtype):
    """The pattern of every position.   -> (L, E)"""
    place = np.arange(E)
    angle = np.arange(L)[:, None] / max_wavelength ** (place // 2 * 2 / E)  # (L, 1) / (E) -> (L, E)
    waves = np.where(place % 2 == 0, np.sin(angle), np.cos(angle)).astype(dtype)
    return np.concatenate([waves[:, ::2], waves[:, 1::2]], axis=1) if halves else waves


class RotaryPositions(mg.Layer):
    """Turns pairs of numbers of a question or key by an angle that grows with its place (Su et al. 2021).   (..., T, d) -> (..., T, d)

    x[t, i] and x[t, i + d/2] are turned by t / w^(2i/d), with w = max_wavelength: the product of a question and a key then depends on
    how far apart they stand. Learnable: 0. Non-learnable: 0. With a ``cache`` x stands behind what that has read. A ``stretch`` slows
    the turns down, for texts longer than those that were learned (see `stretched`): (factor,) or (factor, low, high, length).
    Raises ShapeError where d is odd.

    >>> RotaryPositions()(np.array([[1.0, 0.0], [1.0, 0.0]])).round(2).tolist()
    [[1.0, 0.0], [0.54, 0.84]]
    """

    keeps_shape = True

    def __init__(self, max_wavelength=10_000, stretch=(), **keras):
        super().__init__(**keras)
        self.max_wavelength = _positive("RotaryPositions", max_wavelength=max_wavelength)
        self.stretch = check_stretch("RotaryPositions", stretch)

    def call(self, x, cache=None):
        x = floating(as_input(x))
        if x.ndim < 2 or x.shape[-1] % 2:
            raise ShapeError("RotaryPositions: x needs the axes (..., T, d) with d even. " + received(x=x))
        T, d = x.shape[-2:]
        turns = rotary_turns(_room(T, cache), d, self.max_wavelength, str(x.dtype), self.stretch)
        if cache is None:
            cos, sin = (turn[:T] for turn in turns)  # (T, d/2)
        else:
            places = cache.positions(T)  # (T) or (B, T)
            cos, sin = (turn[places] if places.ndim == 1 else turn[places][:, None] for turn in turns)  # (T, d/2) or (B, 1, T, d/2)
        return mg.rotary(x, cos, sin)


@functools.lru_cache(maxsize=16)
def rotary_turns(L, d, max_wavelength, dtype, stretch=()):
    """The cosines and sines of the angles of every place.   -> (L, d/2), (L, d/2)"""
    angle = np.arange(L)[:, None] / stretched(max_wavelength ** (np.arange(0, d, 2) / d), stretch)  # (L, 1) / (d/2) -> (L, d/2)
    return np.cos(angle).astype(dtype), np.sin(angle).astype(dtype)


def stretched(lengths, stretch):
    """How many places a turn by 1 takes, where it takes ``lengths`` before.   (d/2) -> (d/2)

    (factor,): all are multiplied by it (Chen et al. 2023). (factor, low, high, length): only slow ones are, which go round less than low
    times within that length; those that go round more than high times stay, and between both the share that stays grows evenly
    (Grattafiori et al. 2024, "The Llama 3 Herd of Models").

    >>> stretched(np.array([1.0, 10.0, 100.0]), (8.0, 1.0, 4.0, 128)).round(2).tolist()
    [1.0, 23.39, 800.0]
    """
    if not stretch:
        return lengths
    factor, *rest = stretch
    if not rest:
        return lengths * factor
    low, high, length = rest
    stays = np.clip((length / (2 * math.pi * lengths) - low) / (high - low), 0, 1)  # (d/2)
    return lengths / (stays + (1 - stays) / factor)


def check_stretch(who, stretch):
    """The stretch of rotary positions as a tuple, where it is one; else ValueError."""
    made = tuple(stretch) if isinstance(stretch, tuple | list) else (None,)
    whole = all(isinstance(n, numbers.Real) and not isinstance(n, bool) and 0 < n < math.inf for n in made) and len(made) in (0, 1, 4)
    if not whole or (len(made) == 4 and made[1] >= made[2]):
        raise ValueError(
            f"{who}: rotary positions are stretched by (factor,) or by (factor, low, high, length), positive numbers with low below high, "
            f"or by nothing, (). Received: {stretch!r:.80}."
        )
    return made


def distances(T, before=0):
    """How far each key stands after each of T questions, where ``before`` keys come first.   -> (T, before + T)

    >>> distances(2, before=1).tolist()
    [[-1, 0, 1], [-2, -1, 0]]
    """
    return np.arange(before + T) - np.arange(before, before + T)[:, None]  # (S) - (T, 1) -> (T, S)


class RelativePositions(mg.Layer):
    """A learned number for how far a key is from a question, for each head, to be added to the scores (Raffel et al. 2020).

    whole numbers (T, S), how far key s stands after question t -> (T, S, h). Half of the ``buckets`` are for single distances, the
    others for ranges that grow, up to ``max_distance``, from which on all are one; ``ahead`` keeps half of both for keys that come after
    the question. Learnable: buckets h. Non-learnable: 0.

    >>> RelativePositions(num_heads=2, buckets=4, max_distance=8)(distances(3)).shape
    (3, 3, 2)
    """

    def __init__(self, num_heads, buckets=32, max_distance=128, ahead=True, initializer="uniform", **keras):
        super().__init__(**keras)
        who = type(self).__name__
        self.num_heads, self.buckets = check_size(who, num_heads=num_heads), check_size(who, buckets=buckets)
        self.max_distance, self.ahead = check_size(who, max_distance=max_distance), ahead
        start = get_initializer(initializer, who, "initializer")
        self.embeddings = mg.Parameter(start((buckets, num_heads)), settings.default_dtype())  # (buckets, h)

    def compute_output_shape(self, input_shape):
        """(T, S) -> (T, S, h)"""
        return (*input_shape, self.num_heads)

    def call(self, far):
        return mg.embedding(self.bucket(values(far)), self.embeddings)  # (T, S), (buckets, h) -> (T, S, h)

    def bucket(self, far):
        """Which row of the table is that of keys so far after their question.   ints (...) -> (...)"""
        buckets, first = self.buckets, 0
        if self.ahead:
            buckets //= 2
            first, far = np.where(far > 0, buckets, 0), abs(far)
        else:
            far = np.maximum(-far, 0)
        single = buckets // 2
        # in float32, as in the models that were trained with it: where a range begins is a matter of rounding
        growth = np.log((np.maximum(far, 1) / single).astype(np.float32)) / np.float32(np.log(self.max_distance / single))
        ranges = np.minimum(single + (growth * (buckets - single)).astype(np.int64), buckets - 1)
        return first + np.where(far < single, far, ranges)

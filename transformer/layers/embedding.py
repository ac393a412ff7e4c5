"""From numbers to vectors: what a token is, and where it stands."""

import functools
import numbers

import numpy as np

import minigrad as mg
from minigrad import settings
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

    Learnable: L E, with L = sequence_length the longest text. Non-learnable: 0. Raises ShapeError where T > L.

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

    def call(self, x):
        x = self._checked(x)
        return mg.add(x, self.position_embeddings[: x.shape[-2]])  # (B, T, E) + (T, E) -> (B, T, E)

    def _checked(self, x):
        x, (L, E) = as_input(x), self.position_embeddings.shape
        if x.ndim < 2 or x.shape[-1] != E:  # an axis of 1 would broadcast, and nobody would notice
            raise ShapeError(f"PositionalEmbedding: x needs the axes (B, T, E) with E = {E}. " + received(x=x))
        if L < x.shape[-2]:
            raise ShapeError(
                f"PositionalEmbedding: {x.shape[-2]} positions, but only {L} were learned; shorten the text to its last {L} tokens. "
                + received(x=x)
            )
        return x


class SinusoidalPositions(mg.Layer):
    """Adds waves of growing length, in which every position has a pattern of its own (Vaswani et al. 2017).   (B, T, E) -> (B, T, E)

    x[t, 2i] + sin(t / w^(2i/E)), x[t, 2i + 1] + cos(t / w^(2i/E)), with w = max_wavelength.
    Learnable: 0. Non-learnable: 0: there is nothing to learn, and no longest text.

    >>> SinusoidalPositions()(np.zeros((1, 2, 4))).round(2).tolist()
    [[[0.0, 1.0, 0.0, 1.0], [0.84, 0.54, 0.01, 1.0]]]
    """

    keeps_shape = True

    def __init__(self, max_wavelength=10_000, **keras):
        super().__init__(**keras)
        if not isinstance(max_wavelength, numbers.Real) or not max_wavelength > 0:
            raise ValueError(f"SinusoidalPositions: max_wavelength is a positive number. Received: {max_wavelength!r}.")
        self.max_wavelength = max_wavelength

    def call(self, x):
        x = floating(as_input(x))
        if x.ndim < 2:
            raise ShapeError("SinusoidalPositions: x needs the axes (B, T, E). " + received(x=x))
        return mg.add(x, _waves(*x.shape[-2:], self.max_wavelength, str(x.dtype)))  # (B, T, E) + (T, E) -> (B, T, E)


@functools.lru_cache(maxsize=16)
def _waves(T, E, max_wavelength, dtype):
    """The pattern of every position.   -> (T, E)"""
    place = np.arange(E)
    angle = np.arange(T)[:, None] / max_wavelength ** (place // 2 * 2 / E)  # (T, 1) / (E) -> (T, E)
    return np.where(place % 2 == 0, np.sin(angle), np.cos(angle)).astype(dtype)

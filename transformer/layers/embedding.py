"""From numbers to vectors: what a token is, and where it stands."""

import minigrad as mg
from minigrad.errors import ShapeError, received
from minigrad.initializers import normal


class Embedding(mg.Layer):
    """Row look-up: maps a token's number to its vector, equal to one-hot(ids) times the matrix.   (B, T) -> (B, T, E)

    Learnable: V E. Non-learnable: 0. Raises IndexError for an id outside 0 .. V - 1.

    >>> import numpy as np
    >>> Embedding(65, 8)(np.array([[3, 64, 0]])).shape
    (1, 3, 8)
    """

    def __init__(self, input_dim, output_dim, embeddings_initializer=normal):
        self.input_dim, self.output_dim = input_dim, output_dim
        self.embeddings = mg.Parameter(embeddings_initializer((input_dim, output_dim)))  # (V, E)

    def call(self, ids):
        return mg.embedding(ids, self.embeddings)  # (B, T), (V, E) -> (B, T, E)


class PositionalEmbedding(mg.Layer):
    """Adds a learned vector for each absolute position.   (B, T, E) -> (B, T, E)

    Learnable: L E, with L = sequence_length the longest text. Non-learnable: 0. Raises ShapeError where T > L.

    >>> import numpy as np
    >>> PositionalEmbedding(16)(np.zeros((2, 5, 8), np.float32)).shape
    (2, 5, 8)
    """

    def __init__(self, sequence_length, initializer=normal):
        self.sequence_length, self.initializer = sequence_length, initializer

    def build(self, input_shape):
        self.position_embeddings = mg.Parameter(self.initializer((self.sequence_length, input_shape[-1])))  # (L, E)

    def call(self, x):
        T = x.shape[1]
        if self.sequence_length < T:
            raise ShapeError(
                f"PositionalEmbedding: {T} positions, but only {self.sequence_length} were learned; shorten the text to its last "
                f"{self.sequence_length} tokens. " + received(x=x)
            )
        return x + self.position_embeddings[:T]  # (B, T, E) + (T, E) -> (B, T, E)

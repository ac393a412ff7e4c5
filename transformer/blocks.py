"""What the pictures draw around attention: the skip connection, the feed-forward part, and the block of both."""

import minigrad as mg
from minigrad.initializers import glorot_uniform

from .layers import Dense, Dropout, LayerNormalization, MultiHeadAttention


class AddNorm(mg.Layer):
    """The skip connection around a layer f, and its normalization.   (B, T, E) -> (B, T, E)

    "post", as in the paper: Norm(x + f(x)). "pre", which trains deeper stacks: x + f(Norm(x)). The sum is the point of it: a
    block adds a correction to the meaning of a word.
    Learnable: 2 E. Non-learnable: 0.

    >>> import numpy as np
    >>> AddNorm("pre")(np.ones((1, 2, 3)), lambda x: 0 * x).tolist()
    [[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]]
    """

    def __init__(self, norm="post", dropout=0.0, epsilon=1e-3):
        if norm not in ("pre", "post"):
            raise ValueError(f'AddNorm: norm is "pre" or "post". Received: {norm!r}.')
        self.norm = norm
        self.normalization = LayerNormalization(epsilon=epsilon)
        self.dropout = Dropout(dropout)

    def build(self, input_shape):
        self.normalization.ensure_built(input_shape)

    def call(self, x, f, training=False):
        if self.norm == "pre":
            return x + self.dropout(f(self.normalization(x)), training=training)
        return self.normalization(x + self.dropout(f(x), training=training))


class FeedForward(mg.Layer):
    """Two dense layers, token by token: wide with an activation, then back.   (..., E) -> (..., F) -> (..., E)

    Learnable: 2 E F + F + E. Non-learnable: 0.

    >>> import numpy as np
    >>> FeedForward(16)(np.ones((1, 2, 4), np.float32)).shape
    (1, 2, 4)
    """

    def __init__(self, width, activation="relu", use_bias=True, kernel_initializer=glorot_uniform, output_initializer=None):
        self.width, self.use_bias, self.output_initializer = width, use_bias, output_initializer or kernel_initializer
        self.wide = Dense(width, activation, use_bias, kernel_initializer)

    def build(self, input_shape):
        E = input_shape[-1]
        self.wide.ensure_built(input_shape)
        self.narrow = Dense(E, None, self.use_bias, self.output_initializer).ensure_built((self.width,))

    def call(self, x):
        return self.narrow(self.wide(x))  # (..., E) -> (..., F) -> (..., E)


class EncoderBlock(mg.Layer):
    """Self-attention, then feed-forward, each inside Add & Norm; the shape stays.   (B, T, E) -> (B, T, E)

    Learnable: attention + feed-forward + 4 E. Non-learnable: 0. With ``use_causal_mask`` it is the block of a decoder-only
    model: a later word gets weight 0.

    >>> import numpy as np
    >>> EncoderBlock(num_heads=2, key_dim=4, width=16)(np.ones((1, 3, 8), np.float32)).shape
    (1, 3, 8)
    """

    def __init__(self, num_heads, key_dim, width, activation="relu", norm="post", dropout=0.0, epsilon=1e-3, use_bias=True,
                 kernel_initializer=glorot_uniform, output_initializer=None):  # fmt: skip
        self.attention = MultiHeadAttention(
            num_heads, key_dim, use_bias=use_bias, kernel_initializer=kernel_initializer, output_initializer=output_initializer
        )
        self.after_attention = AddNorm(norm, dropout, epsilon)
        self.feed_forward = FeedForward(width, activation, use_bias, kernel_initializer, output_initializer)
        self.after_feed_forward = AddNorm(norm, dropout, epsilon)

    def build(self, input_shape):
        for layer in (self.attention, self.after_attention, self.feed_forward, self.after_feed_forward):
            layer.ensure_built(input_shape)

    def call(self, x, attention_mask=None, use_causal_mask=False, training=False):
        def attend(x):
            return self.attention(x, x, attention_mask=attention_mask, use_causal_mask=use_causal_mask)

        x = self.after_attention(x, attend, training=training)
        return self.after_feed_forward(x, self.feed_forward, training=training)

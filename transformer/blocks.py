"""What the pictures draw around attention: the skip connection, the feed-forward part, and the blocks of an encoder and a decoder."""

import functools

import minigrad as mg
from minigrad.dense import two_in_one

from .layers import Dense, Dropout, GroupQueryAttention, LayerNormalization, MultiHeadAttention, RMSNormalization

NORMALIZATIONS = {"layer": LayerNormalization, "rms": RMSNormalization}


class AddNorm(mg.Layer):
    """The skip connection around a layer f, and its normalization.   (B, T, E) -> (B, T, E)

    "post", as in the paper: Norm(x + f(x)). "pre", which trains deeper stacks: x + f(Norm(x)). The sum is the point of it: a
    block adds a correction to the meaning of a word.
    Learnable: 2 E, with ``normalization="rms"`` E. Non-learnable: 0. To see what each part is for, ``norm=None`` leaves the
    normalization out (then 0 are learnable), ``skip=False`` the sum.

    >>> import numpy as np
    >>> AddNorm("pre")(np.ones((1, 2, 3)), lambda x: 0 * x).tolist()
    [[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]]
    """

    keeps_shape = True

    def __init__(self, norm="post", dropout=0.0, epsilon=1e-3, skip=True, normalization="layer", **keras):
        super().__init__(**keras)
        if norm not in ("pre", "post", None):
            raise ValueError(f'AddNorm: norm is "pre" or "post". Received: {norm!r}.')
        if normalization not in NORMALIZATIONS:
            raise ValueError(f"AddNorm: normalization is one of {', '.join(NORMALIZATIONS)}. Received: {normalization!r}.")
        self.norm, self.skip = norm, skip
        self.normalization = None if norm is None else NORMALIZATIONS[normalization](epsilon=epsilon)
        self.dropout = Dropout(dropout)

    def build(self, input_shape):
        if self.normalization is not None:
            self.normalization.ensure_built(input_shape)

    def call(self, x, f, training=False):
        given = self.normalization(x) if self.norm == "pre" else x
        if self.skip and not (training and self.dropout.rate):
            y = self.dropout(_plus(x, f, given))  # the dropout is off: it lets everything through
        else:
            correction = self.dropout(f(given), training=training)
            y = x + correction if self.skip else correction
        return self.normalization(y) if self.norm == "post" else y


def _plus(x, f, given):
    """x + f(given): where f takes a ``residual``, the sum is a part of its last product.   (..., E) -> (..., E)"""
    return f(given, residual=x) if "residual" in getattr(f, "_takes", ()) else x + f(given)


class FeedForward(mg.Layer):
    """Two dense layers, token by token: wide with an activation, then back.   (..., E) -> (..., F) -> (..., E)

    Learnable: 2 E F + F + E. Non-learnable: 0. A ``residual`` (..., E) is added to the result, as a part of the last product.

    >>> import numpy as np
    >>> FeedForward(16)(np.ones((1, 2, 4), np.float32)).shape
    (1, 2, 4)
    """

    keeps_shape = True

    def __init__(self, width, activation="relu", use_bias=True, kernel_initializer="glorot_uniform", output_initializer=None, **keras):
        super().__init__(**keras)
        self.wide = Dense(width, activation, use_bias, kernel_initializer)
        self.use_bias, self.output_initializer = use_bias, output_initializer or kernel_initializer

    def build(self, input_shape):
        self.wide.ensure_built(input_shape)
        self.narrow = Dense(input_shape[-1], None, self.use_bias, self.output_initializer).ensure_built((self.wide.units,))

    def call(self, x, residual=None):
        y = two_in_one(self.wide, self.narrow, x, residual)  # the same as below, as one recorded op, for a GELU between them
        if y is not None:
            return y
        wide = self.wide(x)  # (..., E) -> (..., F)
        return self.narrow(wide) if residual is None else _plus(residual, self.narrow, wide)  # (..., F) -> (..., E)


GATES = {"swiglu": mg.swiglu, "geglu": mg.geglu, "geglu_tanh": functools.partial(mg.geglu, approximate="tanh")}


class GatedFeedForward(mg.Layer):
    """A feed-forward part whose wide numbers pass a gate, down(up(x) silu(gate(x))).   (..., E) -> (..., F) -> (..., E)

    The gate, made from x too, says of each of the F numbers how much of it goes on: "swiglu" with silu, "geglu" with gelu, "geglu_tanh"
    with gelu's form by tanh (Shazeer 2020, "GLU Variants Improve Transformer"). LLaMA's gate_proj, up_proj and down_proj are the
    transposed kernels of ``gate``, ``up`` and ``down``.
    Learnable: 3 E F (with bias: 3 E F + 2 F + E). Non-learnable: 0. A ``residual`` (..., E) is added to the result, as a part of the
    last product. Raises ValueError for another activation.

    >>> import numpy as np
    >>> GatedFeedForward(16)(np.ones((1, 2, 4), np.float32)).shape
    (1, 2, 4)
    """

    keeps_shape = True

    def __init__(self, width, activation="swiglu", use_bias=False, kernel_initializer="glorot_uniform", output_initializer=None, **keras):
        super().__init__(**keras)
        if not isinstance(activation, str) or activation not in GATES:
            raise ValueError(f"GatedFeedForward: activation is one of {', '.join(GATES)}. Received: {activation!r}.")
        self.activation = GATES[activation]
        self.gate, self.up = (Dense(width, None, use_bias, kernel_initializer) for _ in range(2))
        self.use_bias, self.output_initializer = use_bias, output_initializer or kernel_initializer

    def build(self, input_shape):
        self.gate.ensure_built(input_shape)
        self.up.ensure_built(input_shape)
        self.down = Dense(input_shape[-1], None, self.use_bias, self.output_initializer).ensure_built((self.up.units,))

    def call(self, x, residual=None):
        wide = self.activation(self.up(x), self.gate(x))  # (..., E) -> (..., F)
        return self.down(wide) if residual is None else _plus(residual, self.down, wide)  # (..., F) -> (..., E)


class EncoderBlock(mg.Layer):
    """Self-attention, then feed-forward, each inside Add & Norm; the shape stays.   (B, T, E) -> (B, T, E)

    Learnable: attention + feed-forward + 4 E. Non-learnable: 0. ``mask`` (B, T) is True for real tokens: nobody attends to the others.
    With ``use_causal_mask`` it is the block of a decoder-only model: a later word gets weight 0. ``return_attention_scores`` gives
    the weights (B, h, T, T) too. ``scale`` multiplies the scores, by default 1 / sqrt(dq). With another ``activation``, "swiglu" or
    "geglu", the feed-forward part has a gate; ``attention_bias`` and ``attention_output_bias`` are those of attention, by default as
    ``use_bias`` and as the former; ``key_value_heads``, ``rotary``, ``bias`` and ``cache`` are those of `MultiHeadAttention`.

    >>> import numpy as np
    >>> EncoderBlock(num_heads=2, key_dim=4, width=16)(np.ones((1, 3, 8), np.float32)).shape
    (1, 3, 8)
    """

    keeps_shape = True

    def __init__(self, num_heads, key_dim, width, activation="relu", norm="post", dropout=0.0, epsilon=1e-3, use_bias=True,
                 kernel_initializer="glorot_uniform", output_initializer=None, attention_dropout=0.0, skip=True, scale=None,
                 normalization="layer", key_value_heads=0, rotary=None, attention_bias=None, attention_output_bias=None,
                 **keras):  # fmt: skip
        super().__init__(**keras)
        starts = {"kernel_initializer": kernel_initializer, "output_initializer": output_initializer}
        biases = _biases(use_bias, attention_bias, attention_output_bias)
        self.attention = _attention(num_heads, key_value_heads, key_dim, attention_dropout, *biases, scale=scale, rotary=rotary, **starts)
        self.after_attention = AddNorm(norm, dropout, epsilon, skip, normalization)
        self.feed_forward = _feed_forward(width, activation, use_bias, **starts)
        self.after_feed_forward = AddNorm(norm, dropout, epsilon, skip, normalization)

    def build(self, input_shape):
        for layer in (self.attention, self.after_attention, self.feed_forward, self.after_feed_forward):
            layer.ensure_built(input_shape)

    def call(self, x, mask=None, attention_mask=None, use_causal_mask=False, return_attention_scores=False, training=False,
             bias=None, cache=None):  # fmt: skip
        weights = []
        attend = _keeping(weights, self.attention, key_mask=mask, attention_mask=attention_mask, use_causal_mask=use_causal_mask,
                          return_attention_scores=return_attention_scores, training=training, bias=bias, cache=cache)  # fmt: skip
        x = self.after_attention(x, attend, training=training)
        x = self.after_feed_forward(x, self.feed_forward, training=training)
        return (x, *weights) if return_attention_scores else x


class DecoderBlock(mg.Layer):
    """Causal self-attention, attention to the encoder, feed-forward, each inside Add & Norm.   (B, T, E), (B, S, E) -> (B, T, E)

    The second attention takes its query from the decoder, key and value from the encoder. The first is causal: that is what makes a
    block a decoder's, so it is no argument that one can forget (``causal=False`` is for seeing what then goes wrong).
    Learnable: two attentions + feed-forward + 6 E. Non-learnable: 0. ``mask`` (B, T) is True for real tokens of the decoder,
    ``memory_mask`` (B, S) for those of the encoder. ``return_attention_scores`` gives both weights too, (B, h, T, T) and (B, h, T, S).
    ``rotary`` and ``bias`` are those of the first attention, ``cache`` a pair, one for each.

    >>> import numpy as np
    >>> block = DecoderBlock(num_heads=2, key_dim=4, width=16)
    >>> block(np.ones((1, 3, 8), np.float32), memory=np.ones((1, 5, 8), np.float32)).shape
    (1, 3, 8)
    """

    keeps_shape = True

    def __init__(self, num_heads, key_dim, width, activation="relu", norm="post", dropout=0.0, epsilon=1e-3, use_bias=True,
                 kernel_initializer="glorot_uniform", output_initializer=None, attention_dropout=0.0, skip=True, scale=None,
                 causal=True, normalization="layer", key_value_heads=0, rotary=None, attention_bias=None, attention_output_bias=None,
                 **keras):  # fmt: skip
        super().__init__(**keras)
        self.causal = causal
        biases = _biases(use_bias, attention_bias, attention_output_bias)
        starts = {"kernel_initializer": kernel_initializer, "output_initializer": output_initializer}
        self.self_attention, self.cross_attention = (
            _attention(num_heads, key_value_heads, key_dim, attention_dropout, *biases, scale=scale, rotary=turned, **starts)
            for turned in (rotary, None)  # a place in the one text is not that place in the other
        )
        self.after_self_attention, self.after_cross_attention, self.after_feed_forward = (
            AddNorm(norm, dropout, epsilon, skip, normalization) for _ in range(3)
        )
        self.feed_forward = _feed_forward(width, activation, use_bias, **starts)

    def build(self, x_shape, memory_shape=None):
        self.cross_attention.ensure_built(x_shape, memory_shape or x_shape)
        self.self_attention.ensure_built(x_shape)
        for layer in (self.after_self_attention, self.after_cross_attention, self.feed_forward, self.after_feed_forward):
            layer.ensure_built(x_shape)

    def call(self, x, memory, mask=None, memory_mask=None, return_attention_scores=False, training=False, bias=None, cache=None):
        weights, (own, others) = [], cache or (None, None)
        options = {"return_attention_scores": return_attention_scores, "training": training}
        look_back = _keeping(weights, self.self_attention, key_mask=mask, use_causal_mask=self.causal, bias=bias, cache=own, **options)
        look_across = _keeping(weights, self.cross_attention, memory, key_mask=memory_mask, cache=others, **options)
        x = self.after_self_attention(x, look_back, training=training)
        x = self.after_cross_attention(x, look_across, training=training)
        x = self.after_feed_forward(x, self.feed_forward, training=training)
        return (x, *weights) if return_attention_scores else x


def _biases(use_bias, attention_bias, attention_output_bias):
    """Whether attention has biases for questions, keys and values, and whether behind its heads."""
    heads = use_bias if attention_bias is None else attention_bias
    return heads, heads if attention_output_bias is None else attention_output_bias


def _attention(heads, key_value_heads, key_dim, dropout, use_bias, use_output_bias, **options):
    """Attention whose heads have keys and values of their own, or share them."""
    options["use_output_bias"] = use_output_bias
    if key_value_heads in (0, heads):
        return MultiHeadAttention(heads, key_dim, None, dropout, use_bias, **options)
    return GroupQueryAttention(key_dim, heads, key_value_heads, dropout, use_bias, **options)


def _feed_forward(width, activation, use_bias, **starts):
    """A feed-forward part, with a gate where the activation is one."""
    gated = isinstance(activation, str) and activation in GATES
    return (GatedFeedForward if gated else FeedForward)(width, activation, use_bias, **starts)


def _keeping(weights, attention, memory=None, *, return_attention_scores, **options):
    """``attention`` as a function of its query x, to x itself or to ``memory``; its weights, where they are asked for, go into the list."""

    def attend(x, **residual):
        value = x if memory is None else memory
        out = attention(query=x, value=value, return_attention_scores=return_attention_scores, **options, **residual)
        if return_attention_scores:
            out, scores = out
            weights.append(scores)
        return out

    attend._takes = getattr(attention, "_takes", ())
    return attend

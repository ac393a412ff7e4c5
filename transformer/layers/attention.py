"""Attention: every question looks at the keys, and takes a weighted mean of the values.

The questions are in the rows of the scores, the keys in the columns; the softmax goes along a row, over the columns, so that
what one question takes adds up to 1. The masks of a call become one before anything is computed (`masks.combined_mask`), and
`attend` is the one place that computes, with the weights or without: no way of computing can miss a mask.
"""

import math
import numbers

import minigrad as mg
from minigrad import random
from minigrad.errors import ShapeError, received
from minigrad.initializers import get_initializer, glorot_uniform
from minigrad.layer import as_input, check_size, width_of
from minigrad.ops.fused import combine_heads, project_heads

from .dropout import check_rate
from .masks import causal_mask, combined_mask, window_mask


def attend(q, k, v, mask, bias, causal, scale, rate, generator, weights_too):
    """Attention of h heads, h a multiple of r.   (B, h, T, dq), (B, r, S, dq), (B, r, S, dv) -> (B, h, T, dv), weights or None

    The weights (B, h, T, S) are those before dropout; where they are not wanted, they are never held.
    """
    if not weights_too:
        out = mg.scaled_dot_product_attention(
            q, k, v, mask, bias, is_causal=causal, scale=scale, dropout=rate, enable_gqa=True, generator=generator
        )
        return out, None
    weights = mg.attention_weights(q, k, mask, bias, is_causal=causal, scale=scale, enable_gqa=True)
    return _taken(weights, mg.repeat(v, q.shape[1] // v.shape[1], axis=1), rate, generator), weights


def _taken(weights, v, rate, generator):
    """What weights take of the values.   (B, h, T, S), (B, h, S, dv) -> (B, h, T, dv)"""
    return mg.matmul(mg.dropout(weights, rate, generator=generator) if rate else weights, v)


def _check_inputs(who, query, value, key, axes, ranks=(3,)):
    """Raises unless the three inputs have the axes (B, T, .), (B, S, .), (B, S, .); ``axes`` are their names."""
    inputs = {"query": query, "value": value, "key": key}
    for (name, x), letters in zip(inputs.items(), axes):
        if getattr(x, "ndim", None) not in ranks:
            raise ShapeError(f"{who}: {name} needs the axes {letters}{', with or without B' * (2 in ranks)}. " + received(**inputs))
    if not query.shape[:-2] == value.shape[:-2] == key.shape[:-2]:
        raise ShapeError(f"{who}: query, value and key must agree in the batch B. " + received(**inputs))
    if value.shape[-2] != key.shape[-2]:
        raise ShapeError(
            f"{who}: every key needs its value, but S is {value.shape[-2]} for value and {key.shape[-2]} for key. " + received(**inputs)
        )


class Attention(mg.Layer):
    """softmax(Q K^T / sqrt(dq)) V: T questions each take a mean of S values, weighted by how well the keys answer them.

    query (B, T, dq), value (B, S, dv), key (B, S, dq) -> (B, T, dv), all with or without the batch; key defaults to value
    (Vaswani et al. 2017). Learnable: 0; 1 with ``use_scale=True``, 1 with ``score_mode="concat"``. Non-learnable: 0.

    The inputs are one list in Keras's order, ``layer([query, value, key])``, or keywords. ``use_scale``: None divides by sqrt(dq), as
    the notes do (Keras's default does not); False is the plain product; True multiplies it by a learnable number. With
    ``score_mode="concat"`` the scores are a learnable number times sum(tanh(q + k)). ``mask`` is Keras's list [query mask (B, T),
    value mask (B, S)]; an ``attention_mask`` is (T, S) or (B, T, S). Forbidden scores are -infinity before the softmax, so that
    their weight is exactly 0; a question with nothing to attend to gets zeros. ``return_attention_scores`` gives the weights (B, T, S)
    too, before dropout, so that their rows add up to 1.
    Raises TypeError for two or three inputs by place, ShapeError and DtypeError for inputs and masks that do not fit together.

    >>> import numpy as np
    >>> Q, K, V = np.zeros((2, 3)), np.zeros((2, 3)), np.array([[2.0], [4.0]])
    >>> Attention()(query=Q, key=K, value=V, use_causal_mask=True).tolist()
    [[2.0], [3.0]]
    """

    masks_steps = False  # ``mask`` is a list of two or three

    def __init__(self, use_scale=None, score_mode="dot", dropout=0.0, seed=None, **keras):
        super().__init__(**keras)
        if score_mode not in ("dot", "concat"):
            raise ValueError(f'{type(self).__name__}: score_mode is "dot" or "concat". Received: {score_mode!r}.')
        self.use_scale, self.score_mode = use_scale, score_mode
        self.dropout, self.generator = check_rate(type(self).__name__, "dropout", dropout), random.own_or_current(seed)

    def build(self, input_shape):
        self.scale = mg.Parameter(1.0) if self.use_scale else None
        self.concat_score_weight = mg.Parameter(1.0) if self.score_mode == "concat" else None

    def compute_output_shape(self, input_shapes, *more):
        """[(B, T, dq), (B, S, dv), ..] -> (B, T, dv)"""
        query, value, *_ = [input_shapes, *more] if more else input_shapes
        return (*query[:-1], value[-1])

    def call(self, inputs=None, *more, query=None, value=None, key=None, mask=None, attention_mask=None,
             return_attention_scores=False, use_causal_mask=False, training=False):  # fmt: skip
        query, value, key = self._sorted(inputs, more, query, value, key)
        lead = [1] if query.ndim == 3 else [0, 1]  # the axes that are not there: the heads, and perhaps the batch
        q, v, k = [mg.expand_dims(x, tuple(lead)) for x in (query, value, key)]  # (B, T, dq) -> (B, 1, T, dq)
        query_mask, value_mask, key_mask = self._masks(mask)
        allowed = combined_mask(
            type(self).__name__, len(q), 1, q.shape[2], k.shape[2], query_mask, value_mask, key_mask, attention_mask
        )
        rate = self.dropout if training else 0.0
        out, weights = self._attend(q, k, v, allowed, use_causal_mask, rate, return_attention_scores)
        out = mg.squeeze(out, tuple(lead))  # (B, 1, T, dv) -> (B, T, dv)
        return (out, mg.squeeze(weights, tuple(lead))) if return_attention_scores else out

    def _attend(self, q, k, v, allowed, causal, rate, weights_too):
        if self.score_mode == "dot":
            q, scale = (q * self.scale, 1.0) if self.use_scale else (q, None if self.use_scale is None else 1.0)
            return attend(q, k, v, allowed, None, causal, scale, rate, self.generator, weights_too)
        scores = self._scores(mg.expand_dims(q, 3), mg.expand_dims(k, 2))  # (B, 1, T, 1, dq), (B, 1, 1, S, dq) -> (B, 1, T, S)
        if causal:
            causal = causal_mask(*scores.shape[-2:])
            allowed = causal if allowed is None else allowed & causal
        weights = mg.softmax(scores, where=allowed)  # along a row, over the keys
        return _taken(weights, v, rate, self.generator), weights

    def _scores(self, q, k):
        """How well every key answers every question, by sums instead of products.   (B, 1, T, 1, dq), (B, 1, 1, S, dq) -> (B, 1, T, S)"""
        return self.concat_score_weight * mg.sum(mg.tanh(self.scale * (q + k) if self.use_scale else q + k), -1)

    def _sorted(self, inputs, more, query, value, key):
        """Query, value and key, from a list or from keywords."""
        who = type(self).__name__
        if isinstance(inputs, list | tuple) and len(inputs) in (2, 3) and not more and query is value is key is None:
            query, value, key = (*inputs, None)[:3]
        elif inputs is not None:
            raise TypeError(
                f"{who}: takes one list in Keras's order, {who}()([query, value, key]), or keywords, {who}()(query=Q, key=K, value=V); "
                f"by place a key in the place of a value would go unnoticed. Received: {1 + len(more)} inputs by place."
            )
        if query is None or value is None:
            raise TypeError(f"{who}: needs a query and a value. " + received(query=query, value=value, key=key))
        key = value if key is None else key
        query, value, key = as_input(query), as_input(value), as_input(key)
        _check_inputs(who, query, value, key, ("(B, T, dq)", "(B, S, dv)", "(B, S, dq)"), ranks=(2, 3))
        if query.shape[-1] != key.shape[-1]:
            raise ShapeError(f"{who}: questions and keys must have the same width dq. " + received(query=query, value=value, key=key))
        return query, value, key

    def _masks(self, mask):
        """The masks of query, value and key from Keras's list of two or three."""
        if mask is None:
            return None, None, None
        if not isinstance(mask, list | tuple) or len(mask) not in (2, 3):
            given = f"Received: a list of {len(mask)}." if isinstance(mask, list | tuple) else received(mask=mask)
            raise TypeError(f"{type(self).__name__}: mask is a list [query mask (B, T), value mask (B, S)]. {given}")
        return (*mask, None)[:3]

    def compute_mask(self, inputs, mask=None):
        """Which steps of the result are real: those of the query, the first in Keras's list of masks."""
        return self._masks(mask)[0] if isinstance(mask, list | tuple) else mask


class AdditiveAttention(Attention):
    """softmax(sum(scale * tanh(Q + K))) V: attention whose scores are sums, the first that was called so (Bahdanau et al. 2015).

    query (B, T, dq), value (B, S, dv), key (B, S, dq) -> (B, T, dv). Learnable: dq (scale); 0 with ``use_scale=False``.
    Non-learnable: 0. Called as `Attention` is, with the same masks.

    >>> import numpy as np
    >>> AdditiveAttention()([np.zeros((2, 3, 5)), np.ones((2, 4, 5))]).shape
    (2, 3, 5)
    """

    def __init__(self, use_scale=True, dropout=0.0, *, seed=None, **keras):
        super().__init__(use_scale, "concat", dropout, seed, **keras)

    def build(self, input_shape):
        query_shape = input_shape[0] if isinstance(input_shape[0], tuple | list) else input_shape
        dq = width_of("AdditiveAttention", query_shape)
        self.scale = mg.Parameter(glorot_uniform((dq,))) if self.use_scale else None

    def _sorted(self, *inputs):
        query, value, key = super()._sorted(*inputs)
        if self.use_scale and query.shape[-1] != len(self.scale):  # an axis of 1 would broadcast, and nobody would notice
            raise ShapeError(f"AdditiveAttention: query and key need the width dq = {len(self.scale)}. " + received(query=query, key=key))
        return query, value, key

    def _scores(self, q, k):
        """(B, 1, T, 1, dq), (B, 1, 1, S, dq) -> (B, 1, T, S)"""
        scores = mg.tanh(q + k)
        return mg.sum(scores * self.scale if self.use_scale else scores, -1)


class MultiHeadAttention(mg.Layer):
    """h attentions side by side, each on projections of its own, joined by one more projection (Vaswani et al. 2017).

    query (B, T, E), value (B, S, E), key (B, S, E) -> (B, T, E)

        head_i = Attention(query Wq_i, key Wk_i, value Wv_i)        R = concat(head_1 .. head_h) W_O

    or, the same in other words (``combine="sum"``), R = sum of head_i W_O_i with W_O_i the i-th block of dv rows of W_O.
    Attention itself has no learnable parameters: all of them are in the projections.
    Learnable: h (2 E dq + 2 E dv) + h (2 dq + dv) + E; without biases h (2 E dq + 2 E dv). Non-learnable: 0.

    Called in Keras's order (query, value, key); key defaults to value. ``key_dim`` is dq, the width of one head, not of all
    together; ``value_dim`` is dv, by default dq; ``output_shape`` is the width of the result, by default the query's, a number or
    several. Query, value and key may be of different widths E. Masks: query (B, T), value and key (B, S), ``attention_mask`` (T, S),
    (B, T, S) or (B, h, T, S), and ``use_causal_mask``, in any combination; a score is used where all of them allow it.
    ``sliding_window`` w allows |t - s| < w only. ``return_attention_scores`` gives the weights (B, h, T, S) too, before dropout.
    ``scale`` multiplies the scores, by default 1 / sqrt(dq). ``rotary``, a `RotaryPositions`, turns questions and keys before they meet.
    ``use_output_bias`` is for the last product alone, by default as ``use_bias``.
    A ``bias`` that broadcasts to (B, h, T, S) is added to the scores. A ``residual`` (B, T, E) is added to the result, within the last
    product. With a ``cache``, a part of `transformer.cache.Cache`, query and value are what comes after what was read before, and
    questions see that too. Raises ShapeError and DtypeError for inputs and masks that do not fit together.

    >>> import numpy as np
    >>> x = np.zeros((2, 3, 8), np.float32)
    >>> MultiHeadAttention(num_heads=2, key_dim=4)(x, x, use_causal_mask=True).shape
    (2, 3, 8)
    """

    def __init__(self, num_heads, key_dim, value_dim=None, dropout=0.0, use_bias=True, output_shape=None, *, sliding_window=None,
                 kernel_initializer="glorot_uniform", bias_initializer="zeros", seed=None, combine="concat", scale=None,
                 output_initializer=None, rotary=None, use_output_bias=None, **keras):  # fmt: skip
        super().__init__(**keras)
        who = type(self).__name__
        if combine not in ("concat", "sum"):
            raise ValueError(f'{who}: combine is "concat" or "sum", two ways to the same result. Received: {combine!r}.')
        self.num_heads = self.num_key_value_heads = check_size(who, num_heads=num_heads)
        self.key_dim = check_size(who, key_dim=key_dim)
        self.value_dim = self.key_dim if value_dim is None else check_size(who, value_dim=value_dim)
        self.output_shape = None
        if output_shape is not None:
            sizes = output_shape if isinstance(output_shape, list | tuple) else (output_shape,)
            self.output_shape = tuple(check_size(who, output_shape=n) for n in sizes)
        self.sliding_window = None if sliding_window is None else check_size(who, sliding_window=sliding_window)
        if scale is not None and not isinstance(scale, numbers.Real):
            raise ValueError(f"{who}: scale is a number that multiplies the scores, by default 1 / sqrt(key_dim). Received: {scale!r}.")
        self.dropout, self.generator = check_rate(who, "dropout", dropout), random.own_or_current(seed)
        self.use_bias, self.combine, self.scale, self.rotary = use_bias, combine, scale, rotary
        self.use_output_bias = use_bias if use_output_bias is None else use_output_bias
        self.kernel_initializer = get_initializer(kernel_initializer, who, "kernel_initializer")
        self.bias_initializer = get_initializer(bias_initializer, who, "bias_initializer")
        self.output_initializer = get_initializer(output_initializer or kernel_initializer, who, "output_initializer")

    def build(self, query_shape, value_shape=None, key_shape=None):
        h, r, dq, dv = self.num_heads, self.num_key_value_heads, self.key_dim, self.value_dim
        value_shape = value_shape or query_shape
        key_shape = key_shape or value_shape
        # Keras's order: query, key, value, output; a kernel, then its bias
        for name, shape, heads, width in (("query", query_shape, h, dq), ("key", key_shape, r, dq), ("value", value_shape, r, dv)):
            E = width_of(type(self).__name__, shape)
            setattr(self, f"{name}_kernel", mg.Parameter(self.kernel_initializer((E, heads * width)).reshape(E, heads, width)))
            setattr(self, f"{name}_bias", mg.Parameter(self.bias_initializer((heads, width))) if self.use_bias else None)
        out = self.output_shape or (query_shape[-1],)
        self.output_kernel = mg.Parameter(self.output_initializer((h * dv, math.prod(out))).reshape(h, dv, *out))
        self.output_bias = mg.Parameter(self.bias_initializer(out)) if self.use_output_bias else None

    def compute_output_shape(self, query_shape, value_shape=None, key_shape=None):
        """(B, T, E), (B, S, E), .. -> (B, T, E)"""
        return (*query_shape[:-1], *(self.output_shape or (query_shape[-1],)))

    def call(self, query, value=None, key=None, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
             return_attention_scores=False, use_causal_mask=False, training=False, residual=None, bias=None, cache=None):  # fmt: skip
        query, value, key = self._sorted(query, value, key)
        window, causal = self.sliding_window, use_causal_mask
        allowed = self._allowed(query, key, window if cache is None else None, query_mask, value_mask, key_mask, attention_mask)
        if cache is not None:
            allowed, causal = cache.allowed(allowed, causal, query.shape[1], window, type(self).__name__)
        q, k, v = self._heads(query, key, value, cache)  # (B, h, T, dq), (B, r, S, dq), (B, r, S, dv)
        rate = self.dropout if training else 0.0
        heads, weights = attend(q, k, v, allowed, bias, causal, self.scale, rate, self.generator, return_attention_scores)
        result = self._combined(heads, residual)  # (B, h, T, dv) -> (B, T, E)
        return (result, weights) if return_attention_scores else result

    def _sorted(self, query, value, key):
        """Query, value and key, which is the value where it is not given."""
        if value is None:
            raise TypeError(f"{type(self).__name__}: needs query and value; self-attention is layer(x, x).")
        query, value, key = as_input(query), as_input(value), as_input(value if key is None else key)
        _check_inputs(type(self).__name__, query, value, key, ("(B, T, E)", "(B, S, E)", "(B, S, E)"))
        return query, value, key

    def _allowed(self, query, key, window, *masks):
        """Which scores may be used: all masks of a call and a window as one.   -> broadcasts to (B, h, T, S), or None for all"""
        (B, T), S = query.shape[:2], key.shape[1]
        allowed = combined_mask(type(self).__name__, B, self.num_heads, T, S, *masks)
        if window is None:
            return allowed
        near = window_mask(T, S, window)
        return near if allowed is None else allowed & near

    def _heads(self, query, key, value, cache):
        """Questions, keys and values, split into heads, those of the cache before these.   (B, T, E) -> (B, h, T or S, width)"""
        if cache is not None and cache.complete:  # the memory of an encoder, which was read before
            return self._projected(query=query), *cache.read()
        q, k, v = self._projected(query=query, key=key, value=value)
        if self.rotary is not None:
            counter = None if cache is None else cache.counter
            q, k = self.rotary(q, counter), self.rotary(k, counter)
        return (q, k, v) if cache is None else (q, *cache.read(k, v))

    def _projected(self, **inputs):
        """x W + b for each of them, split into heads: one wide projection is h small ones.   (B, T, E) -> (B, h, T, width)"""
        weights = {name: (getattr(self, f"{name}_kernel"), getattr(self, f"{name}_bias")) for name in inputs}
        for name, x in inputs.items():
            E = weights[name][0].shape[0]
            if x.shape[-1] != E:
                raise ShapeError(f"{type(self).__name__}: {name} needs the axes (B, T or S, E) with E = {E}. " + received(**{name: x}))
        query, key, value = [inputs.get(name) for name in ("query", "key", "value")]
        if key is None:
            return project_heads(query, *weights["query"])
        if query is key is value:
            return project_heads(query, *weights["query"], *weights["key"], *weights["value"])
        if key is value:
            return project_heads(query, *weights["query"]), *project_heads(key, *weights["key"], *weights["value"])
        return [project_heads(x, *weights[name]) for name, x in inputs.items()]

    def _combined(self, heads, residual):
        """R, from all heads, and the residual.   (B, h, T, dv), (B, T, E) or None -> (B, T, E)"""
        B, h, T, dv = heads.shape
        out, kernel, bias = self.output_kernel.shape[2:], self.output_kernel, self.output_bias
        if len(out) > 1:
            kernel, bias = kernel.reshape(h, dv, math.prod(out)), None if bias is None else bias.reshape(-1)  # E stands for several axes
        if self.combine == "sum":
            result = mg.sum(mg.matmul(heads, kernel), 1)  # sum over i of head_i W_O_i: (B, h, T, dv)(h, dv, E) -> (B, T, E)
            result = result if bias is None else result + bias
        elif len(out) == 1:
            return combine_heads(heads, kernel, bias, residual)  # (B, h, T, dv) -> (B, T, h dv); (B, T, h dv)(h dv, E) -> (B, T, E)
        else:
            result = combine_heads(heads, kernel, bias)
        result = result if len(out) == 1 else result.reshape(B, T, *out)
        return result if residual is None else residual + result


class GroupQueryAttention(MultiHeadAttention):
    """`MultiHeadAttention` in which several heads of questions share the keys and values of one (Ainslie et al. 2023).

    query (B, T, E), value (B, S, E), key (B, S, E) -> (B, T, E). Head i of h asks the keys and values of head i // (h / r) of r.
    With r = h it is multi-head attention, with r = 1 all heads share one.
    Learnable: 2 E d (h + r) + d (h + 2 r) + E; without biases 2 E d (h + r), d the width of a head. Non-learnable: 0.
    Called as `MultiHeadAttention` is, with the same masks. Raises ValueError where r does not divide h.

    >>> import numpy as np
    >>> x = np.zeros((2, 3, 8), np.float32)
    >>> GroupQueryAttention(head_dim=4, num_query_heads=6, num_key_value_heads=2)(x, x).shape
    (2, 3, 8)
    """

    def __init__(self, head_dim, num_query_heads, num_key_value_heads, dropout=0.0, use_bias=True, sliding_window=None, *,
                 kernel_initializer="glorot_uniform", bias_initializer="zeros", seed=None, combine="concat", scale=None,
                 output_initializer=None, rotary=None, use_output_bias=None, **keras):  # fmt: skip
        who = type(self).__name__
        check_size(who, head_dim=head_dim), check_size(who, num_query_heads=num_query_heads)
        if num_query_heads % check_size(who, num_key_value_heads=num_key_value_heads):
            raise ValueError(
                f"{who}: num_query_heads must be a multiple of num_key_value_heads. Received: {num_query_heads} and {num_key_value_heads}."
            )
        super().__init__(num_query_heads, head_dim, None, dropout, use_bias, sliding_window=sliding_window,
                         kernel_initializer=kernel_initializer, bias_initializer=bias_initializer, seed=seed, combine=combine,
                         scale=scale, output_initializer=output_initializer, rotary=rotary, use_output_bias=use_output_bias,
                         **keras)  # fmt: skip
        self.num_key_value_heads = num_key_value_heads

"""Attention: every question looks at the keys, and takes a weighted mean of the values."""

import minigrad as mg
from minigrad.errors import ShapeError, received
from minigrad.initializers import glorot_uniform, zeros


class MultiHeadAttention(mg.Layer):
    """h attentions side by side, each on projections of its own, joined by one more projection (Vaswani et al. 2017).

    query (B, T, E), value (B, S, E), key (B, S, E) -> (B, T, E)

        head_i = Attention(query Wq_i, key Wk_i, value Wv_i)        R = concat(head_1 .. head_h) W_O

    Attention itself has no learnable parameters: all of them are in the projections.
    Learnable: h (2 E dq + 2 E dv) + h (2 dq + dv) + E; without biases h (2 E dq + 2 E dv). Non-learnable: 0.
    Called in Keras's order (query, value, key); key defaults to value. ``key_dim`` is dq, the width of one head.

    >>> import numpy as np
    >>> x = np.zeros((2, 3, 8), np.float32)
    >>> MultiHeadAttention(num_heads=2, key_dim=4)(x, x, use_causal_mask=True).shape
    (2, 3, 8)
    """

    def __init__(self, num_heads, key_dim, value_dim=None, use_bias=True, kernel_initializer=glorot_uniform, output_initializer=None):
        for name, number in (("num_heads", num_heads), ("key_dim", key_dim), ("value_dim", value_dim or key_dim)):
            if not isinstance(number, int) or number < 1:
                raise ValueError(f"MultiHeadAttention: {name} is a whole number from 1. Received: {number!r}.")
        self.num_heads, self.key_dim, self.value_dim, self.use_bias = num_heads, key_dim, value_dim or key_dim, use_bias
        self.kernel_initializer = kernel_initializer
        self.output_initializer = output_initializer or kernel_initializer

    def build(self, input_shape):
        E, h, dq, dv = input_shape[-1], self.num_heads, self.key_dim, self.value_dim
        # Keras's order: query, key, value, output; a kernel, then its bias
        for name, width in (("query", dq), ("key", dq), ("value", dv)):
            setattr(self, f"{name}_kernel", mg.Parameter(self.kernel_initializer((E, h * width)).reshape(E, h, width)))
            setattr(self, f"{name}_bias", mg.Parameter(zeros((h, width))) if self.use_bias else None)
        self.output_kernel = mg.Parameter(self.output_initializer((h * dv, E)).reshape(h, dv, E))
        self.output_bias = mg.Parameter(zeros((E,))) if self.use_bias else None

    def call(self, query, value=None, key=None, attention_mask=None, use_causal_mask=False):
        if value is None:
            raise TypeError("MultiHeadAttention: needs query and value; self-attention is layer(x, x).")
        key = value if key is None else key
        for name, x in (("query", query), ("value", value), ("key", key)):
            if x.ndim != 3 or x.shape[-1] != self.query_kernel.shape[0]:
                raise ShapeError(
                    f"MultiHeadAttention: {name} needs the axes (B, T or S, E) with E = {self.query_kernel.shape[0]}. "
                    + received(**{name: x})
                )
        q = self._heads(query, self.query_kernel, self.query_bias)  # (B, T, E) -> (B, h, T, dq)
        k = self._heads(key, self.key_kernel, self.key_bias)  # (B, S, E) -> (B, h, S, dq)
        v = self._heads(value, self.value_kernel, self.value_bias)  # (B, S, E) -> (B, h, S, dv)
        if attention_mask is not None and attention_mask.ndim == 3:
            attention_mask = attention_mask[:, None]  # (B, T, S) -> (B, 1, T, S): the same for every head
        heads = mg.scaled_dot_product_attention(q, k, v, attention_mask, is_causal=use_causal_mask)  # (B, h, T, dv)
        B, h, T, dv = heads.shape
        joined = heads.permute(0, 2, 1, 3).reshape(B, T, h * dv)  # (B, h, T, dv) -> (B, T, h dv)
        return mg.linear(joined, self.output_kernel.reshape(h * dv, -1), self.output_bias)  # (B, T, h dv) -> (B, T, E)

    def _heads(self, x, kernel, bias):
        """x W + b, split into heads: one wide projection is h small ones.   (B, T, E) -> (B, h, T, width)"""
        E, h, width = kernel.shape
        wide = mg.linear(x, kernel.reshape(E, h * width), None if bias is None else bias.reshape(h * width))
        return mg.permute(wide.reshape(*x.shape[:2], h, width), (0, 2, 1, 3))  # (B, T, h, width) -> (B, h, T, width)

"""One token more as one program of kernels: what the layers compute, written down once for texts that are already under way.

Through its layers a small model spends most of a token's time on the way from one of them to the next. A `Step` walks through a model's
blocks once, writes down which kernels they would call on one token and on which arrays, and from then on a token is one launch. What
it does not know, a layer of somebody's own perhaps, it refuses, and the layers compute.
"""

import functools

import numpy as np

from minigrad import kernels, ops, settings
from minigrad.core import values
from minigrad.dense import Dense, linear

from .blocks import GATES, AddNorm, DecoderBlock, EncoderBlock, FeedForward, GatedFeedForward
from .layers import (
    Embedding,
    GroupQueryAttention,
    LayerNormalization,
    MultiHeadAttention,
    PositionalEmbedding,
    RMSNormalization,
    RotaryPositions,
    SinusoidalPositions,
)
from .layers.embedding import distances, rotary_turns, waves
from .models import EncoderDecoder, LanguageModel

MOST = 8  # texts at once: with more of them, products of matrices are better
FUNCTIONS = {linear: None, ops.relu: "relu", ops.silu: "silu", ops.gelu: "gelu", ops.swiglu: "silu", ops.geglu: "gelu"}


class Unknown(Exception):
    """Something that a program cannot compute as the layers do."""


def made(model, cache, memory):
    """A `Step` behind what the cache holds; None where the layers have to compute."""
    fits = settings.kernels() == "numba" and settings.matmul_precision() == "float32" and cache.batch <= MOST
    try:
        return Step(model, cache, memory) if fits else None
    except Unknown:
        return None


class Step:
    """The logits behind one more token of each of a cache's texts.   tokens (B,) -> (B, V)"""

    def __init__(self, model, cache, memory):
        stack = model if _known(model, LanguageModel, EncoderDecoder) is LanguageModel else model.decoder
        self.cache, self.memory, self.watched = cache, memory, []
        self.table = self.array(_is(stack.embedding, Embedding).embeddings)  # (V, E)
        self.dtype, B = self.table.dtype, cache.batch
        self.tokens, self.place, self.begins = np.zeros(B, np.int64), np.zeros(1, np.int64), np.zeros(B, np.int64)
        self.program = kernels.decode_program(self.dtype)
        x = self.embedded(stack)  # (B, E)
        bias = self.biases(stack)  # (h, L)
        for block, known in zip(stack.blocks, cache.blocks):
            x = self.block(block, x, known, bias)
        self.scale = stack.config.head_scale
        self.logits = self.head(stack, x)

    def read(self, tokens):
        """Compute; the cache holds these tokens too afterwards.   (B,) -> (B, V)"""
        self.tokens[:], self.place[0] = tokens, self.cache.length
        if self.cache.padding is not None:
            self.begins[:] = self.cache.padding
        self.program.run()
        self.cache.length += 1
        return self.logits * self.scale if self.scale != 1 else self.logits.copy()

    @property
    def stale(self):
        """Whether an array that it was written down for has been replaced, as training does."""
        return not all([parameter._data is array for parameter, array in self.watched])

    # ---- what it is made of

    def array(self, parameter, *shape):
        """The array of a parameter, looked at in another shape; None for None."""
        if parameter is None:
            return None
        array = values(parameter)
        self.watched.append((parameter, array))
        seen = array.reshape(shape) if shape else array
        if not np.shares_memory(seen, array) or array.dtype != self.__dict__.get("dtype", array.dtype):
            raise Unknown
        return seen

    def new(self, *shape):
        return np.empty(shape, self.dtype)

    def embedded(self, stack):
        """What the tokens mean, and where they stand.   -> (B, E)"""
        places, positions = None, stack.positions
        if positions is not None and _known(positions, PositionalEmbedding, SinusoidalPositions) is PositionalEmbedding:
            places = self.array(positions.position_embeddings)  # (L, E)
        elif positions is not None:
            places = waves(self.cache.capacity, self.table.shape[1], positions.max_wavelength, positions.halves, str(self.dtype))
        x = self.new(self.cache.batch, self.table.shape[1])
        self.program.embed(self.tokens, self.table, stack.embedding_scale, places, self.place, self.begins, x)
        if stack.embedding_normalization is not None:
            self.program.norm(x, self.norm(stack.embedding_normalization), x)
        return x

    def norm(self, layer):
        """The numbers of a normalization; None for none."""
        if layer is None:
            return None
        if _known(layer, LayerNormalization, RMSNormalization) is RMSNormalization:
            return self.array(layer.scale), None, layer.epsilon, False
        return self.array(layer.gamma), self.array(layer.beta), layer.epsilon, True

    def biases(self, stack):
        """What is added to a head's scores for each distance between a question and a key before it.   -> (h, L) or None"""
        if stack.relative is None:
            return None
        table, far = self.array(stack.relative.embeddings), -np.arange(self.cache.capacity)
        return np.ascontiguousarray(table[stack.relative.bucket(far)].T)  # (L, h) -> (h, L)

    def block(self, block, x, known, bias):
        """(B, E) -> (B, E)"""
        if _known(block, EncoderBlock, DecoderBlock) is EncoderBlock:
            x = self.around(block.after_attention, x, functools.partial(self.look_back, block.attention, known, bias))
        else:
            own, others = known
            x = self.around(block.after_self_attention, x, functools.partial(self.look_back, block.self_attention, own, bias))
            x = self.around(block.after_cross_attention, x, functools.partial(self.look_across, block.cross_attention, others))
        return self.around(block.after_feed_forward, x, functools.partial(self.feed_forward, block.feed_forward))

    def around(self, part, x, f):
        """x + f(Norm(x)), or Norm(x + f(x)): f gets x, a normalization to begin with, and what to add.   (B, E) -> (B, E)"""
        norm = self.norm(_is(part, AddNorm).normalization)
        if not part.skip or norm is None:
            raise Unknown
        if part.norm == "pre":
            return f(x, norm, x)
        y = f(x, None, x)
        self.program.norm(y, norm, y)
        return y

    def look_back(self, attention, known, bias, x, norm, plus):
        """Attention to the tokens so far and to itself.   (B, E) -> (B, E)"""
        with self.program.together():
            q, k, v = (self.heads(attention, name, x, norm) for name in ("query", "key", "value"))
        turns = None
        if attention.rotary is not None:
            d, base = attention.key_dim, _is(attention.rotary, RotaryPositions).max_wavelength
            turns = rotary_turns(self.cache.capacity, d, base, str(self.dtype))
        out = self.new(*q.shape[:2], attention.value_dim)  # (B, h, dv)
        self.program.attend(q, out, *known.arrays, self.scale_of(attention), new=(k, v), place=self.place, begins=self.begins,
                            turns=turns, bias=bias)  # fmt: skip
        return self.combined(attention, out, plus)

    def look_across(self, attention, known, x, norm, plus):
        """Attention to what the encoder made.   (B, E) -> (B, E)"""
        q = self.heads(attention, "query", x, norm)
        out = self.new(*q.shape[:2], attention.value_dim)  # (B, h, dv)
        mask = self.memory[1]
        self.program.attend(q, out, *known.arrays, self.scale_of(attention), mask=mask)
        return self.combined(attention, out, plus)

    def heads(self, attention, name, x, norm):
        """Questions, keys or values.   (B, E) -> (B, h, width)"""
        _known(attention, MultiHeadAttention, GroupQueryAttention)
        kernel = getattr(attention, f"{name}_kernel")
        E, h, width = kernel.shape
        y = self.new(len(x), h * width)
        bias = self.array(getattr(attention, f"{name}_bias"), h * width)
        self.program.linear(x, self.array(kernel, E, h * width), bias, y, norm=norm)
        return y.reshape(-1, h, width)

    def scale_of(self, attention):
        return attention.key_dim**-0.5 if attention.scale is None else attention.scale

    def combined(self, attention, heads, plus):
        """(B, h, dv) -> (B, E)"""
        kernel = attention.output_kernel
        if kernel.ndim != 3:
            raise Unknown
        h, dv, E = kernel.shape
        y = self.new(len(heads), E)
        bias = self.array(attention.output_bias)
        self.program.linear(heads.reshape(-1, h * dv), self.array(kernel, h * dv, E), bias, y, plus=plus)
        return y

    def feed_forward(self, layer, x, norm, plus):
        """(B, E) -> (B, F) -> (B, E)"""
        gate, y = None, self.new(*plus.shape)
        if _known(layer, FeedForward, GatedFeedForward) is FeedForward:
            up, down, function = _is(layer.wide, Dense), layer.narrow, layer.wide.activation
        else:
            up, down, function = layer.up, layer.down, layer.activation
            gate = self.array(_is(layer.gate, Dense).kernel), self.array(layer.gate.bias)
            if layer.gate.activation is not linear or up.activation is not linear:
                raise Unknown
        if _is(down, Dense).activation is not linear:
            raise Unknown
        wide = self.new(len(x), up.units)
        self.program.linear(x, self.array(up.kernel), self.array(up.bias), wide, norm=norm, function=_word(function), gate=gate)
        self.program.linear(wide, self.array(down.kernel), self.array(down.bias), y, plus=plus)
        return y

    def head(self, stack, x):
        """(B, E) -> (B, V)"""
        if self.scale != 1 and stack.config.head_bias:
            raise Unknown
        if stack.head is None:
            kernel, bias = self.table.T, self.array(stack.head_bias)
        elif _is(stack.head, Dense).activation is linear:
            kernel, bias = self.array(stack.head.kernel), self.array(stack.head.bias)
        else:
            raise Unknown
        logits = self.new(len(x), kernel.shape[1])
        self.program.linear(x, kernel, bias, logits, norm=self.norm(stack.normalization))
        return logits


def _known(layer, *kinds):
    """The class of a layer, where it is one of these, and computes as that does."""
    if type(layer) not in kinds or "call" in vars(layer):
        raise Unknown
    return type(layer)


def _is(layer, kind):
    """The layer, where it is of that class."""
    _known(layer, kind)
    return layer


def _word(function):
    """What a program calls an activation."""
    if isinstance(function, functools.partial) and function.keywords == {"approximate": "tanh"} and not function.args:
        return {ops.gelu: "gelu_tanh", ops.geglu: "gelu_tanh"}[function.func]
    if function not in FUNCTIONS:
        raise Unknown
    return FUNCTIONS[function]

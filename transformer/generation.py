"""Text out: from logits to the next token, and from token to token."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import minigrad
from transformer import runs
from transformer.errors import UserError
from transformer.models import LanguageModel, LanguageModelConfig
from transformer.runs import Run
from transformer.tokenizers import CharTokenizer


def temperature_probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (V,) of the next token from its logits (V,): softmax(logits / temperature).

    Low temperature sharpens, high temperature flattens, and the limit 0 is argmax: 1 for the largest logit (the
    first of equals), 0 for the others.

    Raises ValueError for a temperature that is negative or not a number, and for logits without a largest one (NaN,
    +inf), whose probabilities cannot add up to 1.

    >>> temperature_probabilities(np.log([0.1, 0.3, 0.6]), temperature=1.0).round(3).tolist()
    [0.1, 0.3, 0.6]
    >>> temperature_probabilities(np.log([0.1, 0.3, 0.6]), temperature=0.5).round(3).tolist()
    [0.022, 0.196, 0.783]
    >>> temperature_probabilities(np.log([0.1, 0.3, 0.6]), temperature=0.0).tolist()
    [0.0, 0.0, 1.0]
    """
    if not temperature >= 0:
        raise ValueError(
            "temperature_probabilities: a temperature is 0 (the likeliest token) or positive. "
            f"Received: temperature {temperature}."
        )
    logits = np.asarray(logits, dtype=np.float64)
    largest = float(logits.max())
    if not math.isfinite(largest):
        raise ValueError(
            "temperature_probabilities: without a finite largest logit nothing adds up to 1. "
            f"Received: largest logit {largest}."
        )
    if temperature == 0:
        probabilities = np.zeros_like(logits)
        probabilities[logits.argmax()] = 1.0
        return probabilities

    with np.errstate(over="ignore"):  # with a temperature near 0 it may become -inf, whose exponent is 0, as it should
        rescaled = (logits - largest) / temperature  # the largest becomes 0, so that no exponent overflows
    exponents = np.exp(rescaled)
    probabilities = exponents / exponents.sum()
    assert math.isclose(probabilities.sum(), 1.0), "the probabilities of the next token must add up to 1"
    return probabilities


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


def load_run(folder: str | Path) -> tuple[LanguageModel, CharTokenizer]:
    """The model and the tokenizer of a run folder; of its newest checkpoint where training is not complete yet.

    Raises `UserError` for a folder that is no run, or is damaged.
    """
    run = Run.open(folder)
    tokenizer = CharTokenizer.load(run.folder / runs.TOKENIZER)
    weights = run.folder / runs.MODEL
    if not weights.exists():
        steps = run.checkpoints()
        if not steps:
            raise UserError(f"{run.folder} holds no model yet: its training stopped before the first checkpoint.")
        weights = run.checkpoint(steps[-1]) / runs.MODEL
    try:
        model = LanguageModel(LanguageModelConfig(**run.read_json(runs.CONFIG)["model"]))
        model.load_state_dict(runs.load(weights))
        fits = model.config.vocab_size == tokenizer.vocab_size
    except UserError:
        raise
    except (KeyError, TypeError, ValueError) as error:  # names, shapes and sizes that do not fit
        raise UserError(f"{weights} does not belong to {run.folder / runs.CONFIG}: one of them is damaged.") from error
    if not fits:
        raise UserError(f"{run.folder / runs.TOKENIZER} does not belong to the model beside it.")
    return model, tokenizer


def sample_run(folder: str | Path, prompt: str, tokens: int, temperature: float, seed: int) -> Iterator[str]:
    """The prompt and what the model of a run makes of it, a piece at a time; without a prompt, from a new line on."""
    model, tokenizer = load_run(folder)
    ids = tokenizer.encode(prompt or tokenizer.start)
    yield prompt
    for token in sample(model, ids, tokens, temperature, np.random.default_rng(seed)):
        yield tokenizer.decode([token])

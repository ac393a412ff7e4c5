"""Sentences as vectors: near each other where they mean alike, whatever their words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

import numpy as np

import minigrad
from minigrad.errors import describe, received
from transformer import fetch
from transformer.config import EmbedConfig
from transformer.console import Report
from transformer.errors import UserError
from transformer.generation import check_whole
from transformer.models import Encoder
from transformer.programs import encoded
from transformer.tokenizers import listed, padded


def embed_sentences(model: Any, tokenizer: Any, texts: Iterable[str], batch: int = 32) -> np.ndarray:
    """A vector of length 1 for each text, in their order, so that the products of two are their cosine.   N texts -> (N, E)

    ``model`` is an encoder with a ``pooling``. Of a text that is longer than it reads only the beginning counts. Texts of about one length
    go through it together, ``batch`` at a time, so that little padding is computed.

    Raises `UserError` for a model that is no encoder, tells classes apart or gives a vector for each token, and where its tokenizer pads
    with another id, ValueError for a ``batch`` of none.

    >>> from transformer import Encoder, EncoderConfig, Vocabulary
    >>> model = Encoder(EncoderConfig(vocab_size=7, block_size=8, width=8, heads=2, layers=1, pooling="mean"))
    >>> embed_sentences(model, Vocabulary("abc"), ["ab", "ba", "c"]).shape
    (3, 8)
    """
    texts = listed("embed_sentences", texts)
    check_whole("embed_sentences", "batch", batch)
    _check(model, tokenizer)
    config = model.config
    if not texts:
        return np.zeros((0, config.width), np.float32)
    rows = [tokenizer.batch([text], longest=config.block_size)[0] for text in texts]
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    found = []
    for first in range(0, len(rows), batch):
        chosen = [rows[place] for place in order[first : first + batch]]
        ids = padded(chosen if len(chosen[-1]) else [[tokenizer.pad]] * len(chosen), tokenizer.pad)  # (B, T), T at least 1
        with minigrad.no_grad():
            found.append(encoded(model, ids))  # (B, E)
    vectors = np.empty((len(rows), found[0].shape[-1]), found[0].dtype)
    vectors[order] = np.concatenate(found)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _check(model: Any, tokenizer: Any) -> None:
    """Refuse what makes no vectors of texts."""
    if not isinstance(model, Encoder):
        raise UserError(f"embed_sentences: takes an Encoder, which makes one vector of a text. Received: {describe(model)}.")
    if model.config.classes:
        raise UserError(
            "embed_sentences: this Encoder tells classes apart, and gives their logits instead of a vector of width E. "
            f"Received: classes {model.config.classes}."
        )
    if model.config.pooling is None:
        raise UserError(
            "embed_sentences: this Encoder gives a vector for each token, and no modules.json beside its config.json says how they become "
            "one per text; choose model.config.pooling = 'mean' or 'first' (transformer embed --pooling mean). Received: pooling None."
        )
    pads = getattr(tokenizer, "pad", None)
    if pads is None or model.config.pad_id != pads:
        raise UserError(
            "embed_sentences: a tokenizer pads with the pad_id of its model. "
            f"{received(tokenizer=type(tokenizer).__name__, pad=pads, pad_id=model.config.pad_id)}"
        )


def embed(config: EmbedConfig, report: Report) -> None:
    """How alike sentences are: the command `transformer embed`."""
    if len(config.sentences) < 2:
        raise UserError("One sentence is like itself: give two or more, each in quotation marks.", code=2)
    with report.busy("Reading the model"):
        model, tokenizer = fetch.load(config.model)
    if config.pooling is not None and isinstance(model, Encoder):
        model.config.pooling = config.pooling
    vectors, most = embed_sentences(model, tokenizer, config.sentences), model.config.block_size
    for number, text in enumerate(config.sentences, 1):
        if len(tokenizer.encode(text)) > most:
            report.say(f"Of sentence {number} only the beginning counts: this model reads {most} tokens.")
    alike = vectors @ vectors.T  # (N, E)(E, N) -> (N, N)
    named = [f"{number}  {textwrap.shorten(text, 60, placeholder=' ...')}" for number, text in enumerate(config.sentences, 1)]
    rows = [[name, *(f"{cosine:.2f}" for cosine in row)] for name, row in zip(named, alike)]
    report.say("The cosine of the angle between the vectors of two sentences: 1 is the same direction, near 0 nothing in common.")
    report.table(["", *map(str, range(1, len(rows) + 1))], rows, bold="")

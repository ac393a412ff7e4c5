"""How the meaning of a word is updated: the vector of one word in several sentences, which moves apart from block to block."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minigrad
from transformer import fetch, runs
from transformer.config import MeaningConfig
from transformer.console import Report
from transformer.errors import UserError
from transformer.plots import over_blocks


def word_vectors(model: Any, tokenizer: Any, word: str, text: str) -> np.ndarray:
    """The vector of a word in a text, behind the embedding and behind each of the N blocks.   -> (N + 1, E)

    A word of several pieces is the mean of theirs; of one that stands there several times the first counts. Upper and lower case are one.

    Raises `UserError` where the word is not in the text, or the text is longer than the model reads.
    """
    found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)
    if not word or not found:
        other = re.search(rf"\w*{re.escape(word)}\w*", text, re.IGNORECASE) if word else None
        hint = f": {other[0]!r} is another word (endings count, upper and lower case do not)" if other else ""
        raise UserError(f"The word {word!r} is not in the sentence {text!r}{hint}.")
    spans = tokenizer.spans(text)
    if len(spans) > model.config.block_size:
        raise UserError(f"This model reads at most {model.config.block_size} tokens. Received: a sentence of {len(spans)}, {text!r:.60}.")
    places = [place for place, (first, last) in enumerate(spans) if first < found.end() and last > found.start()]
    ids = np.array([tokenizer.encode(text)])  # (1, T)
    with minigrad.no_grad():
        passed = [x.numpy()[0] for x in model.hidden(ids)]  # N + 1 of (1, T, E) -> (T, E)
    return np.stack([x[places].mean(axis=0) for x in passed])  # (P, E) -> (E,); N + 1 of them -> (N + 1, E)


def drift(model: Any, tokenizer: Any, word: str, texts: Sequence[str]) -> dict[tuple[int, int], np.ndarray]:
    """The cosine of a word's vectors in each two of the texts, behind the embedding and each block: (i, j) -> (N + 1,)

    A block adds to the vector of a word what the words around it say. Where these differ, the same word's vectors part.
    """
    vectors = np.stack([word_vectors(model, tokenizer, word, text) for text in texts])  # (texts, N + 1, E)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    pairs = itertools.combinations(range(len(texts)), 2)
    return {(i, j): (vectors[i] * vectors[j]).sum(axis=-1) for i, j in pairs}  # (N + 1, E) -> (N + 1,)


def meaning(config: MeaningConfig, report: Report) -> None:
    """The table and the picture of the command `transformer meaning`."""
    if len(config.sentences) < 2:
        raise UserError("A word means something else from sentence to sentence: give two or more, each in quotation marks.", code=2)
    with report.busy("Reading the model"):
        model, tokenizer = fetch.load(config.model)
    if not hasattr(model, "hidden"):
        kind = type(model).__name__
        raise UserError(f"The {kind} of {config.model} does not tell what stands behind its blocks: an Encoder or a LanguageModel does.")
    if not hasattr(tokenizer, "spans"):
        kind = type(tokenizer).__name__
        raise UserError(f"The {kind} of {config.model} does not tell where in a text its pieces stand: one of Hugging Face's library does.")
    cosines = drift(model, tokenizer, config.word, config.sentences)
    names = ["embedding", *(f"block {number}" for number in range(1, model.config.layers + 1))]
    columns = {f"{i + 1} and {j + 1}": values for (i, j), values in cosines.items()}
    for number, text in enumerate(config.sentences, 1):
        report.say(f"{number}  {text}")
    report.say()
    report.say(f"The cosine between the vectors of {config.word!r} in two of them:")
    report.table(["behind", *columns], [[name, *(f"{c[row]:.3f}" for c in columns.values())] for row, name in enumerate(names)], bold="")
    if config.out is None:
        report.say("Draw it with --out FILE.png")
        return
    title = f"“{config.word}” in one sentence and in another, from block to block"
    notes = [f"{number}  {text}" for number, text in enumerate(config.sentences, 1)]
    runs.write(Path(config.out), over_blocks(columns, names, title, "cosine between the two vectors", notes))
    report.say(f"Drawn in {config.out}")

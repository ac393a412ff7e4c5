"""In which language is this? An encoder that reads the pieces of words of a sentence, padding masked, and says one thing of it all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad
from transformer import plots, runs
from transformer.config import ClassifyConfig
from transformer.console import Report, clock, command, counted
from transformer.data import Batches
from transformer.generation import classify
from transformer.models import Encoder, EncoderConfig
from transformer.runs import Run
from transformer.tasks.base import Member, Task
from transformer.tasks.catalogues import sentences_by_language
from transformer.tokenizers import Subwords
from transformer.training import Training

LEARNING, CONFUSION = "learning.png", "confusion.png"


class SentenceBatches(Batches):
    """Batches of ids in which, as with dropout, a share of the tokens is unknown: no sentence can be learned by heart."""

    def __init__(self, arrays: Sequence[np.ndarray], batch_size: int, seed: int, tokenizer: Subwords, rate: float) -> None:
        super().__init__(arrays, batch_size, seed, tokenizer.pad)
        self.unknown, self.rate = tokenizer.unknown, rate

    def next(self) -> tuple[np.ndarray, ...]:
        """The next batch: ids (B, T) and labels (B); what is left out depends on seed and position alone."""
        ids, labels = super().next()
        dropped = np.random.default_rng((self.seed, self.position)).random(ids.shape) < self.rate
        return np.where(dropped & (ids != self.pad_id), self.unknown, ids), labels


class ClassifyTask(Task):
    """Tell the language of a sentence."""

    config: ClassifyConfig
    tokenizer: Subwords

    def __init__(self, config: ClassifyConfig, report: Report) -> None:
        super().__init__(config, report)
        with report.busy("Reading the catalogues"):
            self.sentences = sentences_by_language()
            self.tokenizer = Subwords.learn([text for text, _ in self.sentences.training], config.subwords)
        self.members = [self.member()]

    def member(self, ablate: tuple[str, ...] = ()) -> Member:
        """An encoder, whole or without some of its parts, on batches of sentences (B, T) with their languages (B)."""
        config, languages = self.config, self.sentences.languages
        model = Encoder(
            EncoderConfig(
                self.tokenizer.vocab_size, config.block, len(languages), languages, layers=config.layers, heads=config.heads,
                width=config.width, dropout=config.dropout, ablate=ablate,
            ),
            config.seed,
        )  # fmt: skip
        texts, labels = zip(*self.sentences.training)
        ids = self.tokenizer.batch(texts, longest=config.block)  # (N, T)
        classes = np.array([languages.index(label) for label in labels])  # (N)
        stream = SentenceBatches((ids, classes), config.batch, config.seed, self.tokenizer, config.token_dropout)
        return Member("", model, stream, minigrad.cross_entropy, self._look, "encoder", self.line, units=(config.batch, "sentences"))

    def record(self) -> dict[str, Any]:
        """Sizes and fingerprint of the sentences."""
        return self.sentences.record()

    def introduce(self, run: Run) -> None:
        """The parameter table, and what the sentences are."""
        super().introduce(run)
        sentences = self.sentences
        self.report.say(
            f"Sentences: {sentences.name} in {', '.join(sentences.languages)}; {len(sentences.training):,} to learn from, "
            f"{len(sentences.held_out):,} held out, whose messages are not among them in any language."
        )

    def _said(self, model: Any) -> list[str]:
        """The language that the model gives every held-out sentence."""
        found = classify(model, self.tokenizer, [text for text, _ in self.sentences.held_out])
        return [self.sentences.languages[place] for place in found.argmax(axis=1)]

    def _look(self, model: Any) -> dict[str, float]:
        return {"accuracy": float(np.mean([said == label for said, (_, label) in zip(self._said(model), self.sentences.held_out)]))}

    def finish(self, run: Run, trainings: list[Training]) -> dict[str, Any]:
        """Which languages it tells apart, which it mixes up, and some of its mistakes."""
        (training,), languages = trainings, self.sentences.languages
        said, held_out = self._said(training.model), self.sentences.held_out
        counts = np.zeros((len(languages), len(languages)), int)  # (right, said)
        for answer, (_, label) in zip(said, held_out):
            counts[languages.index(label), languages.index(answer)] += 1
        accuracy = counts.trace() / counts.sum()
        rows = [
            [name, f"{counts[i].sum():,}", f"{counts[i, i] / max(1, counts[i].sum()):.1%}", self._mixed_up(counts[i], i)]
            for i, name in enumerate(languages)
        ]
        rows.append(["together", f"{counts.sum():,}", f"{accuracy:.1%}", ""])
        self.report.table(["language", "sentences", "right", "most often taken for"], rows, bold="together")
        wrong = [(text, label, answer) for answer, (text, label) in zip(said, held_out) if answer != label]
        for text, label, answer in wrong[:4]:
            self.report.say(f"  {text}  ->  {answer}   (right: {label})")
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        panel = plots.Panel(shares, languages, languages)
        runs.write(run.folder / CONFUSION, plots.shades([panel], "Which languages are taken for which", "right", "said"))
        series = {"held out": training.history.series("accuracy")}
        runs.write(run.folder / LEARNING, plots.curves(series, "Sentences whose language is told", "right", percent=True))
        self.report.say(f"{counted(training.step, 'step')} took {clock(training.seconds)}. Saved in {run.folder}: the model, its history, "
                        f"{LEARNING} and {CONFUSION}.")  # fmt: skip
        self.report.say("Ask it:")
        self.report.say(f"  {command('sample', run.folder, '--prompt', 'Hoe laat is het in Antwerpen?')}")
        return {"accuracy": float(accuracy), "by_language": {name: float(shares[i, i]) for i, name in enumerate(languages)}}

    def _mixed_up(self, row: np.ndarray, right: int) -> str:
        """The language that one is most often taken for."""
        others = np.where(np.arange(len(row)) == right, 0, row)
        return f"{self.sentences.languages[others.argmax()]} ({others.max()})" if others.any() else ""

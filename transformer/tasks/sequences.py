"""From one sequence to another: dates, translation, and the toys copy, reverse, sort and add, by an encoder-decoder.

Everything is measured as exact match on inputs that nobody trained on: the share of answers that are right to the last token.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad
from minigrad.summary import count
from transformer import plots, runs
from transformer.config import SequenceConfig
from transformer.console import Report, clock, command
from transformer.data import Batches
from transformer.generation import answer, answered
from transformer.models import (
    EncoderDecoder,
    EncoderDecoderConfig,
    RecurrentEncoderDecoder,
    RecurrentEncoderDecoderConfig,
)
from transformer.runs import Run
from transformer.tasks.base import Member, Task
from transformer.tasks.chrf import chrf
from transformer.tasks.dates import date_pairs
from transformer.tasks.dutch import translation_pairs
from transformer.tasks.pairs import HELD_OUT, Pairs
from transformer.tasks.toys import add_pairs, copy_pairs, reverse_pairs, sort_pairs
from transformer.tokenizers import Vocabulary
from transformer.training import Training

PAIRS: dict[str, Callable[..., Pairs]] = {
    "dates": date_pairs, "translate": translation_pairs, "copy": copy_pairs, "reverse": reverse_pairs, "sort": sort_pairs,
    "add": add_pairs,
}  # fmt: skip
LOOKED_AT = 300  # pairs of each held-out set in a look; the end counts all
LEARNING, ATTENTION = "learning.png", "attention.png"
END_SHOWN = "∎"  # the sign of the end, in a picture


class SequenceTask(Task):
    """Write the right sequence for every sequence."""

    config: SequenceConfig
    tokenizer: Vocabulary

    def __init__(self, config: SequenceConfig, report: Report) -> None:
        super().__init__(config, report)
        with report.busy("Making the examples"):
            self.pairs = PAIRS[config.task](seed=config.seed, count=config.examples, held_out=config.held_out)
        pairs = self.pairs
        self.tokenizer = Vocabulary(sorted({*pairs.source_alphabet, *pairs.target_alphabet}), pairs.words)
        self.S, self.T = pairs.longest_source + 1, pairs.longest_target + 1  # with the sign of the end
        self.members = [self.member()]
        if config.compare:
            V, size = self.tokenizer.vocab_size, count(self.members[0].model.parameters())
            for name, title, attention in (("lstm", "LSTM", False), ("lstm-attention", "LSTM with attention", True)):
                width = config.recurrent_width or recurrent_width(V, size, attention)
                recurrent = RecurrentEncoderDecoderConfig(V, V, self.T, width, attention=attention, dropout=config.dropout)
                self.members.append(self._member(name, title, RecurrentEncoderDecoder(recurrent, config.seed)))

    def member(self, ablate: tuple[str, ...] = ()) -> Member:
        """A transformer, whole or without some of its parts, on batches of the pairs."""
        config, V = self.config, self.tokenizer.vocab_size
        model = EncoderDecoder(
            EncoderDecoderConfig(
                V, V, self.S, self.T, layers=config.layers, heads=config.heads, width=config.width, dropout=config.dropout, ablate=ablate
            ),
            config.seed,
        )
        return self._member("", "transformer", model)

    def _member(self, name: str, title: str, model: Any) -> Member:
        """A model on batches of sources (B, S), targets so far (B, T) and targets (B, T), the same for every member."""
        sources, targets = zip(*self.pairs.training)
        batch, pad = self.tokenizer.batch, self.tokenizer.pad
        arrays = batch(sources, end=True), batch(targets, start=True), batch(targets, end=True)
        stream = Batches(arrays, self.config.batch, self.config.seed, pad)
        loss = functools.partial(minigrad.cross_entropy, ignore_index=pad)
        look = functools.partial(self.judged, most=LOOKED_AT)
        return Member(name, model, stream, loss, look, title, self.line, units=(self.config.batch, "examples"))

    def record(self) -> dict[str, Any]:
        """Sizes and fingerprint of the pairs."""
        return self.pairs.record()

    def introduce(self, run: Run) -> None:
        """What the pairs are, some of them, and how many numbers are to learn them."""
        held_out = " and ".join(f"{len(pairs):,}" + f" {name}" * (name != HELD_OUT) for name, pairs in self.pairs.held_out.items())
        self.report.say(f"Pairs: {self.pairs.name}, {len(self.pairs.training):,} to learn from; held out: {held_out}. As these:")
        for source, target in self.pairs.training[:3]:
            self.report.say(f"  {source}  ->  {target}")
        model = self.members[0].model
        learned, other = count(model.parameters()), count(model.buffers())
        self.report.say(f"{type(model).__name__}: {learned:,} numbers that gradient descent changes, {other:,} that it does not; table:")
        self.report.say(f"  {command('summary', run.folder)}")

    def judged(self, model: Any, most: int | None = None) -> dict[str, float]:
        """The share of exactly right answers in every held-out set, of its first ``most`` pairs."""
        return {
            _column(name): float(np.mean([wrote == right for wrote, (_, right) in zip(self._answers(model, pairs[:most]), pairs)]))
            for name, pairs in self.pairs.held_out.items()
        }

    def _answers(self, model: Any, pairs: list[tuple[str, str]]) -> list[str]:
        return answer(model, self.tokenizer, [source for source, _ in pairs], self.T)

    def finish(self, run: Run, trainings: list[Training]) -> dict[str, Any]:
        """Judge every model on all that was held out, show some answers, and draw what the decoder looked at."""
        table, results = [], {}
        with self.report.busy("Judging on all that was held out"):
            for member, training in zip(self.members, trainings):
                found: dict[str, float] = self.judged(member.model)
                if self.config.task == "translate":
                    for name, pairs in self.pairs.held_out.items():
                        found[_column(name, "chrF")] = chrf(self._answers(member.model, pairs), [right for _, right in pairs])
                results[member.title] = found | {"parameters": count(member.model.parameters()), "seconds": round(training.seconds, 1)}
                shares = [f"{value:.1%}" if "exact" in name else f"{value:.1f}" for name, value in found.items()]
                table.append([member.title, f"{count(member.model.parameters()):,}", clock(training.seconds), *shares])
        self._show_answers()
        shown = [name.replace("exact_match", "exact").replace("_combinations", "").replace("_", " ") for name in found]
        self.report.table(["model", "parameters", "time", *shown], table, bold="transformer")
        self._draw(run, trainings)
        learned = "the models, their history" if len(self.members) > 1 else "the model, its history"
        self.report.say(f"Saved in {run.folder}: {learned}, {LEARNING} and {ATTENTION}.")
        self.report.say("Ask it:")
        source = next(iter(self.pairs.held_out.values()))[0][0]
        self.report.say(f"  {command('sample', run.folder, '--prompt', source)}")
        return {"results": results}

    def _show_answers(self) -> None:
        """Some answers of the first model, and what would have been right where they are not."""
        for name, pairs in self.pairs.held_out.items():
            self.report.say(f"Some of the {name}:")
            for (source, right), wrote in zip(pairs[:4], self._answers(self.members[0].model, pairs[:4])):
                self.report.say(f"  {source}  ->  {wrote}" + ("" if wrote == right else f"   (right: {right})"))

    def _draw(self, run: Run, trainings: list[Training]) -> None:
        names = [_column(name) for name in self.pairs.held_out]
        series = {}
        for member, training in zip(self.members, trainings):
            for name in names:
                kind = "" if len(names) == 1 else ", " + name.removeprefix("exact_match_").replace("_", " ")
                series[member.title + kind] = training.history.series(name)
        title = f"{self.config.task}: exact match on what was held out"
        runs.write(run.folder / LEARNING, plots.curves(series, title, "exact match", percent=True))
        for member in self.members:
            if getattr(member.model.config, "attention", True):
                self._draw_attention(member, run)

    def _draw_attention(self, member: Member, run: Run) -> None:
        """What the decoder looks at in the source while it writes: a panel for an example, the longer ones of the first."""
        panels = []
        for pairs in self.pairs.held_out.values():
            for source, _ in sorted(pairs[:12], key=lambda pair: len(self.pairs.split(pair[0])))[-4 // len(self.pairs.held_out) :]:
                wrote, weights = looking(member.model, self.tokenizer, source)
                panels.append(plots.Panel(weights, wrote, [*self.tokenizer.split(source), END_SHOWN]))
        title = f"Where the {member.title} looks while it writes"
        runs.write(run.folder / member.name / ATTENTION, plots.shades(panels, title, "written", "read"))


def recurrent_width(V: int, size: int, attention: bool) -> int:
    """The width E at which a `RecurrentEncoderDecoder` has about ``size`` parameters, by the formula that it states.

    >>> from minigrad.summary import count
    >>> width = recurrent_width(14, 236_672, attention=True)
    >>> width, count(RecurrentEncoderDecoder(RecurrentEncoderDecoderConfig(14, 14, width=width)).parameters())
    (113, 235619)
    """
    a, b = (18, 3 * V + 9) if attention else (16, 3 * V + 8)  # a E^2 + b E + V = size
    return max(1, round((math.sqrt(b * b + 4 * a * (size - V)) - b) / (2 * a)))


def _column(name: str, what: str = "exact_match") -> str:
    """The name of a figure for one of several held-out sets."""
    return what if name == HELD_OUT else f"{what}_{name.replace(' ', '_')}"


def looking(model: Any, tokenizer: Vocabulary, source: str) -> tuple[list[str], np.ndarray]:
    """The tokens that a model writes for a source, and where its last block looks for each, the mean over its heads.   -> (T, S)"""
    read = tokenizer.batch([source], end=True)  # (1, S)
    (row,) = answered(model, tokenizer, read, model.longest)  # (T)
    with minigrad.no_grad():
        target = np.append(tokenizer.start, row[:-1])[None]  # (1, T): the token before each that is written
        _, weights = model.decode(target, model.encode(read), return_attention_scores=True)
    tokens = [END_SHOWN if number == tokenizer.end else tokenizer.tokens[number] for number in row]
    return tokens, weights[-1].numpy()[0].mean(axis=0)  # (1, h, T, S) -> (T, S)

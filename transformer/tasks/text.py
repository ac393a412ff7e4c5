"""A character-level GPT on text: the task `text`, held against n-grams and a compressor."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

import minigrad
from transformer import generation, plots, runs
from transformer.baselines import baselines
from transformer.config import TextConfig
from transformer.console import Report, clock, command, counted
from transformer.data import BatchSampler, load_corpus
from transformer.errors import UserError
from transformer.models import LanguageModel, LanguageModelConfig
from transformer.runs import Run
from transformer.tasks.base import Member, Task, rate_of
from transformer.tokenizers import CharTokenizer
from transformer.training import Training

NATS = math.log(2)  # nats in a bit
BASELINES, PLOT = "baselines.json", "loss.png"


class TextTask(Task):
    """Predict the next character of a text."""

    config: TextConfig
    tokenizer: CharTokenizer

    def __init__(self, config: TextConfig, report: Report) -> None:
        with report.busy("Reading the text"):
            self.corpus = load_corpus(config.text)
        if config.text is not None:  # the run can then go on from any folder
            config = dataclasses.replace(config, text=str(Path(config.text).resolve()))
        super().__init__(config, report)
        self.tokenizer = CharTokenizer(self.corpus.alphabet)
        self.ids = self.tokenizer.encode(self.corpus.training)
        self.held_out = self.tokenizer.encode(self.corpus.validation)
        self.tokens = config.batch * config.block  # of a step
        self.members = [self.member()]
        if len(self.corpus.validation) < 2:
            raise UserError(f"The text has only {self.corpus.characters} characters: too few to be judged on.")

    def member(self, ablate: tuple[str, ...] = ()) -> Member:
        """A model, whole or without some of its parts, on batches of the text."""
        config = self.config
        stream = BatchSampler(self.ids, config.block, config.batch, config.seed)
        model = LanguageModel(
            LanguageModelConfig(
                vocab_size=self.tokenizer.vocab_size,
                block_size=config.block,
                layers=config.layers,
                heads=config.heads,
                width=config.width,
                dropout=config.dropout,
                tied=config.tied,
                ablate=ablate,
            ),
            seed=config.seed,
        )
        return Member(
            "", model, stream, minigrad.cross_entropy, self._look, line=self._line, units=(self.tokens, "tokens"),
            callbacks=[self._write_sample],
        )  # fmt: skip

    def record(self) -> dict[str, Any]:
        """Name, sizes and fingerprint of the text."""
        return self.corpus.record()

    def introduce(self, run: Run) -> None:
        """The parameter table, and what the text is."""
        super().introduce(run)
        corpus = self.corpus
        self.report.say(
            f"Text: {corpus.name}, {corpus.characters:,} characters ({len(corpus.alphabet)} different) in "
            f"{counted(corpus.documents, 'document')}; {len(corpus.validation):,} characters are for validation."
        )

    def batch(self) -> str:
        """Windows of the text."""
        return f"{counted(self.config.batch, 'window')} of {self.config.block} characters"

    def prepare(self, run: Run) -> None:
        """The baselines: counted once per run folder, for they depend on nothing but the text."""
        with self.report.busy("Fitting n-grams and compressing: the lines to pass"):
            known = run.read_json(BASELINES) if (run.folder / BASELINES).exists() else {}
            if known.get("sha256") != self.corpus.fingerprint:
                known = {"sha256": self.corpus.fingerprint, "bits_per_character": baselines(self.corpus)}
                run.write_json(BASELINES, known)
            self.lines: dict[str, float] = known["bits_per_character"]
        run.forget(PLOT)

    def _look(self, model: Any) -> dict[str, float]:
        return {"validation_bits": validation_bits(model, self.held_out, self.config.batch, self.config.validation_windows)}

    def _line(self, training: Training) -> str:
        bits = rate_of(training, self.config.validate_every) / NATS
        return f"bits per character: training {bits:.3f}  validation {training.row['validation_bits']:.3f}"

    def _write_sample(self, training: Training) -> None:
        """What the model writes now, from the beginning of a line; its random numbers depend on seed and step alone."""
        config = self.config
        if training.step % config.sample_every or training.step == config.steps:
            return
        generator = np.random.default_rng((config.seed, training.step))
        start = self.tokenizer.encode(self.tokenizer.start)
        drawn = generation.generate(training.model, start, config.sample_tokens, temperature=0.8, generator=generator)
        self.report.quote(self.tokenizer.decode(drawn).strip("\n"))

    def finish(self, run: Run, trainings: list[Training]) -> dict[str, Any]:
        """Judge the model on the whole validation text, and say how to use it."""
        (training,) = trainings
        with self.report.busy("Judging the model on the whole validation text"):
            bits = validation_bits(training.model, self.held_out, self.config.batch)
        speed = training.step * self.tokens / training.seconds
        runs.write(run.folder / PLOT, plots.loss_curve(training.history.rows, self.lines, bits, f"Learning: {self.corpus.name}"))
        self.report.say(f"{counted(training.step, 'step')} took {clock(training.seconds)}, at {speed:,.0f} tokens per second.")
        self._compare(bits)
        self.report.say(f"Saved in {run.folder}: the model, its history and its loss curve ({PLOT}).")
        self.report.say("Write text with it:")
        self.report.say(f"  {command('sample', run.folder, '--prompt', self._prompt(), '--temperature', '0.8', '--tokens', '400')}")
        return {"validation_bits_per_character": bits, "baselines": self.lines, "tokens_per_second": round(speed)}

    def _prompt(self) -> str:
        """Something to go on from that the text itself could say."""
        if set("The ") <= set(self.corpus.alphabet):
            return "The "
        word = re.search(r"\w+", self.corpus.training)
        return word.group()[:20] if word else self.tokenizer.start

    def _compare(self, bits: float) -> None:
        """The model among the lines to pass, and how far it is from the next one."""
        standing = sorted([*self.lines.items(), ("this model", bits)], key=lambda entry: -entry[1])
        self.report.table(("predicted by", "bits per character"), [(n, f"{b:.3f}") for n, b in standing], bold="this model")
        place = standing.index(("this model", bits))
        if place > 0 and standing[place - 1][1] > bits:
            name, passed = standing[place - 1]
            self.report.say(f"This model needs {passed - bits:.3f} bits per character less than {name}.")
        if place < len(self.lines):
            name, ahead = standing[place + 1]
            self.report.say(f"The next line to pass is {name}, {bits - ahead:.3f} bits away.")


def validation_bits(model: Any, ids: np.ndarray, batch: int, windows: int | None = None) -> float:
    """Bits per character of ids (S,), every one but the first predicted once, from at least half a block before it.

    Windows of a block overlap by half, and of each only the characters count that the one before did not have.
    `windows` takes that many of them, evenly spaced; None takes all.
    """
    block = min(model.config.block_size, len(ids) - 1)
    last = len(ids) - 1 - block
    starts = np.append(np.arange(0, last, block - block // 2), last)  # (W,)
    new = np.diff(starts, prepend=-block)  # (W,): characters at the end of a window that no earlier one has
    if windows is not None:
        chosen = np.linspace(0, len(starts) - 1, min(windows, len(starts))).round().astype(int)
        starts, new = starts[chosen], new[chosen]
    places = np.arange(block)
    nats, count = 0.0, 0
    for first in range(0, len(starts), batch):
        rows = starts[first : first + batch, None] + places  # (B, 1) + (T,) -> (B, T)
        with minigrad.no_grad():
            losses = minigrad.cross_entropy(model(ids[rows]), ids[rows + 1], reduction="none").numpy()  # (B, T)
        counted = places >= block - new[first : first + batch, None]  # (T,) >= (B, 1) -> (B, T)
        nats += float(losses[counted].sum(dtype=np.float64))
        count += int(counted.sum())
    return nats / count / NATS

"""What each part is for: small models trained without it, and the number that shows the difference.

A language model learns the same text without its mask, without 1 / sqrt(dq), without positions, skip connections or normalization; an
encoder-decoder learns to reverse with positions and without. What is compared is measured on text and inputs that nobody trained on.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

import minigrad
from transformer import generation, plots, runs
from transformer.config import AblateConfig, SequenceConfig, TextConfig, preset
from transformer.console import Report
from transformer.models import ABLATIONS
from transformer.runs import Run
from transformer.tasks.base import Member, Task
from transformer.tasks.sequences import SequenceTask
from transformer.tasks.text import NATS, TextTask
from transformer.training import Diverged, Training, run_steps

WHOLE = "whole"
PICTURE = "ablate.png"


def ablate(config: AblateConfig, report: Report) -> Run:
    """Train the variants, and say, draw and save what each of them cannot do."""
    run = Run.create(config.out, "ablate")
    parts = [WHOLE, *(ABLATIONS if config.part == "all" else [config.part])]
    text = TextTask(_text_config(config), report)
    results, lines = {}, {}
    for part in parts:
        member = text.member(() if part == WHOLE else (part,))
        start = largest_weight(member.model, text.held_out)
        history, why = _trained(text, member, _named("language model", part), report)
        losses = history["train_loss"]
        results[part] = {
            "training_bits": float(np.mean(losses[-50:])) / NATS,
            "bits_from_the_past": bits_from_the_past(member.model, text.held_out) if why is None else math.nan,
            "largest_weight_at_the_start": start,
        }
        lines[_title(part)] = (history["step"], plots.smooth([loss / NATS for loss in losses]))
        report.quote(_sample(text, member.model, config.seed) if why is None else why)
    report.table(
        ["a model of text", "training bits", "from the past", "largest weight"],
        [[_title(part), *(f"{figure:.2f}" for figure in found.values())] for part, found in results.items()],
        bold=WHOLE,
    )
    report.say("Bits per character: in training, and for a character of which only the past is known. The weight is what a word takes of")
    report.say("the one it looks at most, before anything is learned.")
    if "positions" in parts:
        results |= _reversing(config, report)
    runs.write(run.folder / PICTURE, plots.curves(lines, "What each part is for", "training bits per character"))
    run.write_json(runs.RESULT, {"results": results, "data": text.record()})
    for part in parts[1:]:
        report.say(f"Without {part}: {ABLATIONS[part]}.")
    report.say(f"Saved in {run.folder}: {runs.RESULT} and {PICTURE}.")
    return run


def _text_config(config: AblateConfig) -> TextConfig:
    """A language model that learns something worth comparing in seconds."""
    own = {f.name for f in dataclasses.fields(config)} - {"part", "out"}
    return TextConfig(**preset(TextConfig, "tiny") | {name: getattr(config, name) for name in own})


def _title(part: str) -> str:
    return part if part == WHOLE else f"without {part}"


def _named(what: str, part: str) -> str:
    return f"A whole {what}" if part == WHOLE else f"The same {_title(part)}"


def _trained(task: Task, member: Member, what: str, report: Report) -> tuple[Any, str | None]:
    """The history of a member, and why it ended early, if it did: without a part that may be."""
    training = task.training(dataclasses.replace(member, callbacks=()))
    steps = task.config.steps

    def said(training: Training) -> str:
        return f"{what}: loss {np.mean(training.history['train_loss'][-50:]):.3f}"

    try:
        run_steps(training, steps, look_every=steps, report=report, line=said, units=member.units)
    except Diverged as error:
        report.say(f"{what}: {error}")
        return training.history, str(error)
    return training.history, None


def bits_from_the_past(model: Any, ids: np.ndarray, windows: int = 2000, batch: int = 100) -> float:
    """Bits per character for the one after a window, which the window cannot hold: what a model without a mask really knows."""
    block, nats = min(model.config.block_size, len(ids) - 1), 0.0
    starts = np.linspace(0, len(ids) - block - 1, windows).astype(int)
    for first in range(0, windows, batch):
        rows = starts[first : first + batch, None] + np.arange(block)  # (B, 1) + (T) -> (B, T)
        with minigrad.no_grad():
            logits = model(ids[rows])[:, -1]  # (B, T, V) -> (B, V)
            nats += minigrad.cross_entropy(logits, ids[rows[:, -1] + 1], reduction="sum").item()
    return nats / windows / NATS


def largest_weight(model: Any, ids: np.ndarray, windows: int = 16) -> float:
    """How much a word takes of the one it looks at most, on average: 1 where it looks at nothing else."""
    block = min(model.config.block_size, len(ids) - 1)
    rows = np.linspace(0, len(ids) - block - 1, windows).astype(int)[:, None] + np.arange(block)  # (B, 1) + (T) -> (B, T)
    with minigrad.no_grad():
        _, weights = model(ids[rows], return_attention_scores=True)
    later = block // 4  # the first words have few to look at
    return float(np.mean([layer.numpy().max(axis=-1)[..., later:].mean() for layer in weights]))  # (B, h, T, T) -> (B, h, T)


def _reversing(config: AblateConfig, report: Report) -> dict[str, dict[str, float]]:
    """An encoder-decoder that learns to reverse, with positions and without: order is all there is to it."""
    found = {}
    for part in (WHOLE, "positions"):
        task = SequenceTask(SequenceConfig(**preset(SequenceConfig, "reverse") | {"seed": config.seed}), report)
        member = task.member(() if part == WHOLE else (part,))
        _trained(task, member, _named("encoder-decoder that reverses", part), report)
        found[f"reverse, {part}"] = task.judged(member.model)
    rows = [[_title(part.removeprefix("reverse, ")), f"{shares['exact_match']:.1%}"] for part, shares in found.items()]
    report.table(["one that reverses", "right to the last"], rows, bold=WHOLE)
    return found


def _sample(task: TextTask, model: Any, seed: int) -> str:
    """A line of what a model writes."""
    start = task.tokenizer.encode(task.tokenizer.start)
    drawn = generation.generate(model, start, 100, temperature=0.8, generator=seed)
    return task.tokenizer.decode(drawn).strip("\n").replace("\n", " ")

"""Training a character-level GPT: from a config to a run folder, and on from any checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import platform
import signal
import statistics
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

import minigrad
from transformer import generation, plots, runs
from transformer.baselines import baselines
from transformer.config import TrainConfig, flag
from transformer.console import Report, command
from transformer.data import BatchSampler, Corpus, load_corpus
from transformer.errors import UserError, extra
from transformer.models import LanguageModel, LanguageModelConfig
from transformer.runs import Run
from transformer.summary import count, summary
from transformer.tokenizers import CharTokenizer

NATS = math.log(2)  # nats in a bit


class Diverged(UserError):
    """Numbers that are no longer finite: going on from here would be of no use."""


class Trainer:
    """A model in training: one `advance` per step, and a state from which it goes on bit for bit."""

    def __init__(self, config: TrainConfig, vocab_size: int, ids: np.ndarray) -> None:
        self.config = config
        self.sampler = BatchSampler(ids, config.block, config.batch, config.seed)
        self.model = LanguageModel(
            LanguageModelConfig(
                vocab_size=vocab_size,
                block_size=config.block,
                layers=config.layers,
                heads=config.heads,
                width=config.width,
                dropout=config.dropout,
                tied=config.tied,
            ),
            seed=config.seed,
        )
        groups: tuple[list[Any], list[Any]] = ([], [])  # matrices, and what must not be pulled towards zero
        for path, parameter in self.model.named_parameters().items():
            groups[path.endswith(("bias", "gamma", "beta"))].append(parameter)
        self.optimiser = minigrad.optim.AdamW(
            [{"params": groups[0]}, {"params": groups[1], "weight_decay": 0.0}],
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
            global_clipnorm=config.clip,
        )
        self.history: list[dict[str, Any]] = []
        self.seconds = 0.0  # spent in steps

    @property
    def step(self) -> int:
        """How many steps have been made."""
        return len(self.history)

    def advance(self) -> dict[str, Any]:
        """Make one step of gradient descent and return its row of the history.

        Raises `Diverged` where the loss or the gradient is no finite number.
        """
        began, config = time.perf_counter(), self.config
        self.optimiser.lr = minigrad.optim.warmup_cosine(
            self.step, config.warmup, config.steps, config.learning_rate, config.learning_rate * config.final_rate
        )
        inputs, targets = self.sampler.next()  # (B, T), (B, T)
        logits = self.model(inputs, training=True)  # (B, T) -> (B, T, V)
        loss = minigrad.cross_entropy(logits, targets)  # -> ()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        norm = cast(float, self.optimiser.grad_norm)
        for name, value in (("loss", loss.item()), ("length of the gradient", norm)):
            if not math.isfinite(value):
                raise Diverged(f"The {name} is {value} at step {self.step + 1}: training stops here.")
        self.history.append(
            {
                "step": self.step + 1,
                "learning_rate": self.optimiser.lr,
                "train_loss": loss.item(),
                "gradient_norm": norm,
                "validation_bits": None,
            }
        )
        self.seconds += time.perf_counter() - began
        return self.history[-1]

    def save(self, run: Run) -> None:
        """Write a checkpoint: all that `restore` needs.

        Raises `Diverged` for weights that are no finite numbers: such a checkpoint would be worth nothing.
        """
        model = self.model.state_dict()
        for name, array in model.items():
            if not np.isfinite(array).all():
                raise Diverged(f"The weights {name} are not finite after step {self.step}: training stops here.")
        optimiser = self.optimiser.state_dict()
        arrays = {name: value for name, value in optimiser.items() if isinstance(value, np.ndarray)}
        state = {
            "step": self.step,
            "windows": self.sampler.position,
            "dropout": self.model.generator.state(),
            "optimiser": {name: value for name, value in optimiser.items() if name not in arrays},
            "arrays": sorted(arrays),
            "seconds": self.seconds,
        }
        run.save_checkpoint(self.step, model, arrays, state, self.history, self.config.keep)

    def restore(self, run: Run, step: int) -> None:
        """Go back to a checkpoint.

        Raises `UserError`, naming the folder, for one that is damaged or belongs to another model.
        """
        model, arrays, state, history = run.load_checkpoint(step)
        try:
            self.model.load_state_dict(model)
            self.optimiser.load_state_dict(state["optimiser"] | arrays)
            self.model.generator.set_state(state["dropout"])
            self.sampler.position, self.history, self.seconds = state["windows"], history, state["seconds"]
            if not self.step == state["step"] == step or sorted(arrays) != state["arrays"]:
                raise ValueError
        except (KeyError, ValueError, TypeError) as error:  # shapes and names that do not fit are ValueErrors too
            message = f"{run.checkpoint(step)} does not belong to the model in {run.folder}."
            raise UserError(message + run.way_round(step)) from error


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


def train(config: TrainConfig, given: set[str], report: Report) -> Run:
    """Train as a config says, or go on with the run it names, and report; `given` are the fields the reader set.

    Raises `UserError`, with code 130 after Ctrl-C; what was saved last is then there to go on from.
    """
    with extra("train"):  # what the end of a run needs is missed at its beginning
        import matplotlib  # noqa: F401
        import safetensors  # noqa: F401
        import tokenizers  # noqa: F401
    old = Run.open(config.resume) if config.resume else None
    if old:
        config = _resumed_config(old, config, given)
    with report.busy("Reading the text"):
        corpus = load_corpus(config.text)
    if config.text is not None:  # the run can then go on from any folder
        config = dataclasses.replace(config, text=str(Path(config.text).resolve()))
    tokenizer = CharTokenizer(corpus.alphabet)
    trainer = Trainer(config, tokenizer.vocab_size, tokenizer.encode(corpus.training))
    if len(corpus.validation) < 2:
        raise UserError(f"The text has only {corpus.characters} characters: too few to be judged on.")
    if old:
        _check_corpus(old, corpus)
        steps = old.checkpoints()
        if not steps:
            raise UserError(f"{old.folder} has no checkpoint to go on from: it stopped too early. Start a new run.")
        trainer.restore(old, steps[-1])
        if config.steps < trainer.step:
            raise UserError(f"--steps: {config.steps} is less than the {trainer.step} steps that this run has made.")
    planned = old.read_json(runs.CONFIG)["training"]["steps"] if old else config.steps
    run = old or Run.create(config.out, config.preset)
    with run.alone():
        run.write_json(runs.CONFIG, {"model": dataclasses.asdict(trainer.model.config), "training": config.saved()})
        run.write_json(runs.CORPUS, corpus.record())
        runs.write(run.folder / runs.TOKENIZER, tokenizer.to_json().encode())

        if trainer.step < config.steps:
            run.forget_result()

        try:
            report.say(summary(trainer.model))
            _introduce(corpus, trainer, planned, run, report)
            with report.busy("Fitting n-grams and compressing: the lines to pass"):
                lines = _lines_to_pass(corpus, run)
            held_out = tokenizer.encode(corpus.validation)
            _steps(trainer, tokenizer, held_out, run, report)
            _finish(trainer, corpus, held_out, lines, run, report)
        except Diverged as error:
            steps = run.checkpoints()
            last = f"The last good checkpoint is {run.checkpoint(steps[-1])}." if steps else "No checkpoint was made yet."
            raise UserError(f"{error} {last} A new run with a smaller {flag('learning_rate')} often helps.") from error
        except (UserError, KeyboardInterrupt) as error:
            way = f"Go on with: {command('train', '--resume', run.folder)}"
            code = error.code if isinstance(error, UserError) else 130
            way = way if run.checkpoints() else "No checkpoint was made yet."
            raise UserError(f"{str(error) or 'Stopped.'} {way}", code) from error
    return run


def _resumed_config(run: Run, config: TrainConfig, given: set[str]) -> TrainConfig:
    """The config of a run to go on with, and what the reader changes of it."""
    saved = run.read_json(runs.CONFIG).get("training")
    fields = {f.name: f for f in dataclasses.fields(TrainConfig)}
    if not isinstance(saved, dict) or not saved.keys() <= fields.keys():
        raise UserError(f"{run.folder / runs.CONFIG} is damaged, or is not a file of this program.")
    for name in sorted(given - {"resume"}):
        if not fields[name].metadata.get("resumable") and getattr(config, name) != saved.get(name):
            raise UserError(f"{flag(name)} cannot change when a run goes on: it is {saved.get(name)} there.", code=2)
    return TrainConfig(**saved | {name: getattr(config, name) for name in given})


def _check_corpus(run: Run, corpus: Corpus) -> None:
    record = run.read_json(runs.CORPUS)
    if record.get("sha256") != corpus.fingerprint:
        other = "" if record.get("python") == platform.python_version() else f" under Python {record.get('python')}"
        raise UserError(
            f"The text is not the one that {run.folder} learned{other}: its fingerprint differs. "
            "Go on with the same text (--text) and the same Python."
        )


def _introduce(corpus: Corpus, trainer: Trainer, planned: int, run: Run, report: Report) -> None:
    config = trainer.config
    report.say(
        f"Text: {corpus.name}, {corpus.characters:,} characters ({len(corpus.alphabet)} different) in "
        f"{corpus.documents:,} document{'s' * (corpus.documents != 1)}; {len(corpus.validation):,} characters are for validation."
    )
    report.say(
        f"Training: {config.steps:,} steps of {config.batch} windows of {config.block} characters, "
        f"seed {config.seed}, run folder {run.folder}."
    )
    if trainer.step:
        report.say(f"Going on after step {trainer.step:,}.")
        if planned != config.steps:
            report.say(
                f"It was planned for {planned:,} steps. With {flag('steps')} {config.steps:,} the learning rate takes another "
                "way down, so the result is not the planned run's."
            )


def _lines_to_pass(corpus: Corpus, run: Run) -> dict[str, float]:
    """The baselines of a corpus: counted once per run folder, for they depend on nothing else."""
    if (run.folder / runs.BASELINES).exists():
        known = run.read_json(runs.BASELINES)
        if known.get("sha256") == corpus.fingerprint:
            lines: dict[str, float] = known["bits_per_character"]
            return lines
    lines = baselines(corpus)
    run.write_json(runs.BASELINES, {"sha256": corpus.fingerprint, "bits_per_character": lines})
    return lines


def _steps(trainer: Trainer, tokenizer: CharTokenizer, held_out: np.ndarray, run: Run, report: Report) -> None:
    """All steps that are left, with looks at validation text, samples and checkpoints on the way."""
    config = trainer.config
    tokens = config.batch * config.block
    recent: deque[float] = deque(maxlen=20)  # seconds; their median forgets the step that compiled the kernels
    with report.progress(trainer.step, config.steps) as update, _signals() as signals:
        while trainer.step < config.steps:
            before = trainer.seconds
            row = trainer.advance()
            step, last = trainer.step, trainer.step == config.steps
            recent.append(trainer.seconds - before)
            seconds = statistics.median(recent)
            update(step, row["train_loss"] / NATS, tokens / seconds)
            if step % config.validate_every == 0 or last:
                row["validation_bits"] = validation_bits(
                    trainer.model, held_out, config.batch, config.validation_windows
                )
                training = statistics.fmean(r["train_loss"] for r in trainer.history[-config.validate_every :]) / NATS
                report.say(
                    f"step {step:>{len(str(config.steps))}}/{config.steps}  bits per character: "
                    f"training {training:.3f}  validation {row['validation_bits']:.3f}  "
                    f"{tokens / seconds:,.0f} tokens/s  {_clock((config.steps - step) * seconds)} left"
                )
            if step % config.sample_every == 0 and not last:
                report.quote(_sample(trainer, tokenizer))
            if step % config.checkpoint_every == 0 or last or signals:
                trainer.save(run)
                run.write_history(trainer.history)
            if signals and not last:
                raise UserError(f"Stopped after step {step}.", code=128 + signals[0])


def _sample(trainer: Trainer, tokenizer: CharTokenizer) -> str:
    """What the model writes now, from the beginning of a line; its random numbers depend on seed and step alone."""
    config, generator = trainer.config, np.random.default_rng((trainer.config.seed, trainer.step))
    start = tokenizer.encode(tokenizer.start)
    return tokenizer.decode(generation.sample(trainer.model, start, config.sample_tokens, 0.8, generator)).strip("\n")


def _finish(
    trainer: Trainer, corpus: Corpus, held_out: np.ndarray, lines: dict[str, float], run: Run, report: Report
) -> None:
    """Judge the model on the whole validation text, save it, and say how to use it."""
    config = trainer.config
    with report.busy("Judging the model on the whole validation text"):
        bits = validation_bits(trainer.model, held_out, config.batch)
    speed = trainer.step * config.batch * config.block / trainer.seconds
    runs.save(run.folder / runs.MODEL, trainer.model.state_dict())
    run.write_history(trainer.history)
    run.write_json(
        runs.RESULT,
        {
            "steps": trainer.step,
            "validation_bits_per_character": bits,
            "baselines": lines,
            "learnable_parameters": count(trainer.model.parameters()),
            "non_learnable_parameters": count(trainer.model.buffers()),
            "seconds_in_steps": round(trainer.seconds, 2),
            "tokens_per_second": round(speed),
            "threads": minigrad.settings.threads(),
            "kernels": minigrad.settings.kernels(),
            "corpus_sha256": corpus.fingerprint,
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
    )
    runs.write(run.folder / runs.PLOT, plots.loss_curve(trainer.history, lines, bits, f"Learning: {corpus.name}"))

    report.say(f"{trainer.step:,} steps took {_clock(trainer.seconds)}, at {speed:,.0f} tokens per second.")
    _compare(bits, lines, report)
    report.say(f"Saved in {run.folder}: the model, its history and its loss curve ({runs.PLOT}).")
    report.say("Write text with it:")
    report.say(f"  {command('sample', run.folder, '--prompt', 'The ', '--temperature', '0.8', '--tokens', '400')}")


def _compare(bits: float, lines: dict[str, float], report: Report) -> None:
    """The model among the lines to pass, and how far it is from the next one."""
    standing = sorted([*lines.items(), ("this model", bits)], key=lambda entry: -entry[1])
    report.table(("predicted by", "bits per character"), [(n, f"{b:.3f}") for n, b in standing], bold="this model")
    place = standing.index(("this model", bits))
    if place > 0:
        name, passed = standing[place - 1]
        report.say(f"This model needs {passed - bits:.3f} bits per character less than {name}.")
    if place < len(lines):
        name, ahead = standing[place + 1]
        report.say(f"The next line to pass is {name}, {bits - ahead:.3f} bits away.")


def _clock(seconds: float) -> str:
    """`1:02:03`, or `2:03` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """A list that is empty until Ctrl-C or a request to terminate comes, so that a step is never cut in two.

    A second one stops at once, as usual.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only the main thread may ask for signals
        yield received
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: Any) -> None:
        os.write(2, b"\nStopping after this step; once more stops at once.\n")
        received.append(number)
        for each, handler in usual.items():
            signal.signal(each, handler)

    for number in usual:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)

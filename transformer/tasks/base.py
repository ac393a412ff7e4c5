"""What all tasks of the command line share: how a run begins, goes on, is told about, and ends."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad
from minigrad.layer import Layer
from minigrad.summary import count, summary
from transformer import pretrained, runs
from transformer.config import TASKS, TrainConfig, flag
from transformer.console import Report, command, counted
from transformer.errors import UserError, extra
from transformer.history import History
from transformer.runs import Run
from transformer.tokenizers import save_tokenizer
from transformer.training import Callback, Diverged, Look, Stream, Training, run_steps


@dataclass
class Member:
    """One model that a task trains: where its batches come from, what it is judged by, and what it is called.

    The member without a name lies in the run folder itself, others in folders inside.
    """

    name: str
    model: Any
    stream: Stream
    loss: Callable[[Any, Any], Any]
    look: Look
    title: str = ""  # what a table calls it
    line: Callable[[Training], str] | None = None
    units: tuple[float, str] = (1, "steps")
    callbacks: Sequence[Callback] = ()


class Task:
    """One thing to learn. A task reads its data when it is made, and raises `UserError` where that is no good."""

    tokenizer: Any = None
    members: list[Member]

    def __init__(self, config: Any, report: Report) -> None:
        self.config, self.report = config, report

    def record(self) -> dict[str, Any]:
        """What is written down of the data; its `sha256` tells whether two runs learned the same."""
        raise NotImplementedError

    def introduce(self, run: Run) -> None:
        """Show which numbers are to be learned, and say from what."""
        self.report.say(summary(self.members[0].model))

    def line(self, training: Training) -> str:
        """The training loss since the last look, and the shares of right answers that it found."""
        shares = [(name, share) for name, share in training.row.items() if name.startswith(("exact_match", "accuracy"))]
        found = [f"{name.replace('_', ' ')} {share:.1%}" for name, share in shares]
        return "  ".join([f"loss {rate_of(training, self.config.validate_every):.4f}", *found])

    def optimizer(self, model: Layer) -> Any:
        """AdamW whose weight decay spares what must not be pulled towards zero: biases, gamma and beta."""
        config, groups = self.config, ([], [])  # type: Any, tuple[list[Any], list[Any]]
        for path, parameter in model.named_parameters().items():
            groups[path.endswith(("bias", "gamma", "beta"))].append(parameter)
        return minigrad.optim.AdamW(
            [{"params": groups[0]}, {"params": groups[1], "weight_decay": 0.0}],
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
            global_clipnorm=config.clip,
        )

    def schedule(self, step: int) -> float:
        """The learning rate of a step: up to its highest, then down along half a cosine."""
        config, highest = self.config, self.config.learning_rate
        return float(minigrad.optim.warmup_cosine(step, config.warmup, config.steps, highest, highest * config.final_rate))

    def training(self, member: Member) -> Training:
        """A member with all that it is trained by."""
        return Training(member.model, member.stream, member.loss, self.optimizer(member.model), self.schedule, member.callbacks)

    def batch(self) -> str:
        """What a step learns from, in words."""
        return counted(self.config.batch, "example")

    def prepare(self, run: Run) -> None:
        """What is to be known before the first step."""

    def finish(self, run: Run, trainings: list[Training]) -> dict[str, Any]:
        """Judge what was learned, show and draw it; returns what `result.json` holds of it."""
        raise NotImplementedError


def train(task_class: type[Task], config: TrainConfig, given: set[str], report: Report) -> Run:
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
    task = task_class(config, report)
    config = task.config
    trainings = [task.training(member) for member in task.members]
    if old:
        _check_data(old, task)
        if not any(_run_of(member, old).checkpoints() for member in task.members):
            raise UserError(f"{old.folder} has no checkpoint to go on from: it stopped too early. Begin again with --out {old.folder}.")
        _restore(task, trainings, old)
    run = old or Run.create(config.out, config.name)
    planned = run.read_json(runs.TRAINING)["steps"] if old else config.steps
    with run.alone(), minigrad.matmul_precision(config.matmul_precision):
        run.write_json(runs.TRAINING, config.saved())
        run.write_json(runs.DATA, task.record() | {"python": platform.python_version()})
        if any(training.step < config.steps for training in trainings):
            run.forget(runs.RESULT)
        here = run
        try:
            task.introduce(run)
            _say_where(task, trainings, config, planned, run, report)
            task.prepare(run)
            for member, training in zip(task.members, trainings):
                here = _run_of(member, run)
                if len(task.members) > 1:
                    report.say(f"\n{member.title}: {count(member.model.parameters()):,} learnable parameters.")
                _learn(member, training, here, config, report, task.tokenizer)
            result = task.finish(run, trainings)
            run.write_json(runs.RESULT, result | _circumstances(task, trainings))
        except Diverged as error:
            steps = here.checkpoints()
            last = f"The last good checkpoint is {here.checkpoint(steps[-1])}." if steps else "No checkpoint was made yet: begin again."
            raise UserError(f"{error} {last} A new run with a smaller {flag('learning_rate')} often helps.") from error
        except (UserError, KeyboardInterrupt) as error:
            way = f"Go on with: {command('train', '--resume', run.folder)}"
            code = error.code if isinstance(error, UserError) else 130
            way = way if any(_run_of(member, run).checkpoints() for member in task.members) else "No checkpoint was made yet: begin again."
            raise UserError(f"{str(error) or 'Stopped.'} {way}", code) from error
    return run


def _run_of(member: Member, run: Run) -> Run:
    return Run(run.folder / member.name) if member.name else run


def _learn(member: Member, training: Training, run: Run, config: TrainConfig, report: Report, tokenizer: Any) -> None:
    """All steps of one member that are left; then its model in its folder, with all that it can be used from."""
    run.folder.mkdir(exist_ok=True)
    if training.step < config.steps:
        run.forget(runs.MODEL)  # before there is a config that may not be its own
    pretrained.save_config(member.model, run.folder)
    if tokenizer is not None:
        save_tokenizer(tokenizer, run.folder)
    run_steps(
        training, config.steps, run=run, look=member.look, look_every=config.validate_every, checkpoint_every=config.checkpoint_every,
        keep=config.keep, report=report, line=member.line, units=member.units,
    )  # fmt: skip
    pretrained.save_pretrained(member.model, run.folder)
    run.write_history(training.history)


def _restore(task: Task, trainings: list[Training], run: Run) -> None:
    for member, training in zip(task.members, trainings):
        steps = _run_of(member, run).checkpoints()
        if steps:
            training.restore(_run_of(member, run), steps[-1])
        if task.config.steps < training.step:
            raise UserError(f"--steps: {task.config.steps} is less than the {training.step} steps that this run has made.")


def _resumed_config(run: Run, config: TrainConfig, given: set[str]) -> TrainConfig:
    """The config of a run to go on with, and what the reader changes of it."""
    saved = run.read_json(runs.TRAINING)
    if "task" in given and saved.get("task") in TASKS and saved["task"] != config.task:
        raise UserError(f"{run.folder} is a run of the task {saved['task']}, not of {config.task}.", code=2)
    fields = {f.name: f for f in dataclasses.fields(config)}
    if not saved.keys() <= fields.keys() or not saved.keys():
        raise UserError(f"{run.folder / runs.TRAINING} is damaged, or is not a file of this program.")
    for name in sorted(given - {"resume"}):
        if not fields[name].metadata.get("resumable") and getattr(config, name) != saved.get(name):
            raise UserError(f"{flag(name)} cannot change when a run goes on: it is {saved.get(name)} there.", code=2)
    return type(config)(**saved | {name: getattr(config, name) for name in given})


def _check_data(run: Run, task: Task) -> None:
    known = run.read_json(runs.DATA)
    if known.get("sha256") != task.record()["sha256"]:
        other = "" if known.get("python") == platform.python_version() else f" under Python {known.get('python')}"
        raise UserError(
            f"The data are not those that {run.folder} learned{other}: the fingerprint differs. "
            "Go on with the same data, the same Python and the same libraries."
        )


def _say_where(
    task: Task, trainings: list[Training], config: TrainConfig, planned: int, run: Run, report: Report
) -> None:
    report.say(f"Training: {counted(config.steps, 'step')} of {task.batch()}, seed {config.seed}, run folder {run.folder}.")
    if trainings[0].step:
        report.say(f"Going on after step {trainings[0].step:,}.")
        if planned != config.steps:
            report.say(
                f"It was planned for {counted(planned, 'step')}. With {flag('steps')} {config.steps:,} the learning rate takes another "
                "way down, so the result is not the planned run's."
            )


def _circumstances(task: Task, trainings: list[Training]) -> dict[str, Any]:
    """What a figure depends on besides the model."""
    return {
        "steps": trainings[0].step,
        "learnable_parameters": count(task.members[0].model.parameters()),
        "non_learnable_parameters": count(task.members[0].model.buffers()),
        "seconds_in_steps": round(sum(training.seconds for training in trainings), 2),
        "threads": minigrad.settings.threads(),
        "kernels": minigrad.settings.kernels(),
        "data_sha256": task.record()["sha256"],
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def rate_of(training: Training, every: int, name: str = "train_loss") -> float:
    """The mean of a number over the steps since the last look."""
    rows = History(training.history.rows[-every:])
    return float(np.mean([value for value in rows[name] if value is not None]))

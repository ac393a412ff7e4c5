"""Training: `fit`, the steps it is made of, and what one can have done between them.

One loop serves everybody: `fit` in a program, and every task of the command line. A checkpoint holds all that the next step
depends on, so that a training that was stopped and goes on is the one that never stopped, bit for bit.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import statistics
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import minigrad
from minigrad import storage
from minigrad.errors import LayerError
from minigrad.layer import Layer, constant
from transformer import pretrained
from transformer.console import Quiet, Report, clock, reporter
from transformer.data import Batches
from transformer.errors import UserError
from transformer.history import History, Row
from transformer.runs import Run

Callback = Callable[["Training"], object]
Look = Callable[[Layer], dict[str, float]]


class Stream(Protocol):
    """Where batches come from: inputs, and as the last array what the model should say; `position` is all there is to save."""

    position: int

    def next(self) -> tuple[np.ndarray, ...]:
        """The next batch."""


class Diverged(UserError):
    """Numbers that are no longer finite: going on from here would be of no use."""


class Interrupted(UserError):
    """Ctrl-C, or a request to terminate: what was made so far is saved, where there is a folder."""


class Training:
    """A model in training: one `advance` per step, and a state from which it goes on bit for bit."""

    def __init__(
        self,
        model: Layer,
        stream: Stream,
        loss: Callable[[Any, Any], Any],
        optimizer: Any,
        schedule: Callable[[int], float] | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.model, self.stream, self.loss, self.optimizer, self.schedule = model, stream, loss, optimizer, schedule
        self.callbacks, self.history, self.seconds = list(callbacks), History(), 0.0  # seconds spent in steps

    @property
    def step(self) -> int:
        """How many steps have been made."""
        return len(self.history)

    @property
    def row(self) -> Row:
        """The numbers of the step that was made last."""
        return self.history.rows[-1]

    def stop(self, why: str) -> None:
        """Make this step the last one: what a callback calls."""
        self.history.stopped = why

    def advance(self) -> Row:
        """Make one step of gradient descent and return its row of the history.

        Raises `Diverged` where the loss or the gradient is no finite number.
        """
        began = time.perf_counter()
        if self.schedule is not None:
            self.optimizer.lr = self.schedule(self.step)
        *inputs, targets = self.stream.next()
        loss = self.loss(self.model(*inputs, training=True), targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        norm = getattr(self.optimizer, "grad_norm", None)
        for name, value in (("loss", loss.item()), ("length of the gradient", norm)):
            if value is not None and not math.isfinite(value):
                raise Diverged(f"The {name} is {value} at step {self.step + 1}: training stops here.")
        row = {"step": self.step + 1, "learning_rate": self.optimizer.lr, "train_loss": loss.item(), "gradient_norm": norm}
        self.history.rows.append(row)
        self.seconds += time.perf_counter() - began
        return row

    def save(self, run: Run, keep: int = 2) -> None:
        """Write a checkpoint: all that `restore` needs.

        Raises `Diverged` for weights that are no finite numbers: such a checkpoint would be worth nothing.
        """
        model = self.model.state_dict()
        for name, array in model.items():
            if not np.isfinite(array).all():
                raise Diverged(f"The weights {name} are not finite after step {self.step}: training stops here.")
        optimizer, numbers = _parted(self.optimizer.state_dict())
        others = [_parted(c.state_dict()) if hasattr(c, "state_dict") else ({}, {}) for c in self.callbacks]
        state = {
            "step": self.step,
            "position": self.stream.position,
            "generators": [g.state() for g in self.model.generators()],
            "optimizer": numbers,
            "arrays": sorted(optimizer),
            "callbacks": [numbers for _, numbers in others],
            "stopped": self.history.stopped,
            "seconds": self.seconds,
        }
        arrays = {f"{number}:{name}": array for number, (found, _) in enumerate(others) for name, array in found.items()}
        run.save_checkpoint(self.step, model, optimizer, arrays, state, self.history, keep)

    def restore(self, run: Run, step: int) -> None:
        """Go back to a checkpoint.

        Raises `UserError`, naming the folder, for one that is damaged or belongs to another model.
        """
        model, optimizer, others, state, history = run.load_checkpoint(step)
        if len(state.get("callbacks", ())) != len(self.callbacks):
            raise UserError(f"{run.checkpoint(step)} was made with {len(state.get('callbacks', ()))} callbacks, not {len(self.callbacks)}.")
        try:
            self.model.load_state_dict(model)
            self.optimizer.load_state_dict(state["optimizer"] | optimizer)
            for generator, saved in zip(self.model.generators(), state["generators"], strict=True):
                generator.set_state(saved)
            for number, (callback, numbers) in enumerate(zip(self.callbacks, state["callbacks"])):
                if hasattr(callback, "load_state_dict"):
                    own = f"{number}:"
                    callback.load_state_dict(numbers | {k.removeprefix(own): v for k, v in others.items() if k.startswith(own)})
            self.stream.position, self.history, self.seconds = state["position"], history, state["seconds"]
            self.history.stopped = state["stopped"]
            if not self.step == state["step"] == step or sorted(optimizer) != state["arrays"]:
                raise ValueError
        except (KeyError, ValueError, TypeError) as error:  # shapes and names that do not fit are ValueErrors too
            message = f"{run.checkpoint(step)} does not belong to the model in {run.folder}."
            raise UserError(message + run.way_round(step)) from error


def _parted(state: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A state as its arrays and its other values."""
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    return arrays, {name: value for name, value in state.items() if name not in arrays}


# ------------------------------------------------------------------------------------------------------------ callbacks


class _Watching:
    """What callbacks share that wait for a better number."""

    def __init__(self, monitor: str, mode: str) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f'{type(self).__name__}: mode is "min" or "max". Received: {mode!r}.')
        self.monitor, self.mode = monitor, mode
        self.best = math.inf if mode == "min" else -math.inf

    def better(self, training: Training, by: float = 0.0) -> bool | None:
        """Whether the last step brought a better number; None where nobody looked."""
        value = training.row.get(self.monitor)
        if value is None:
            return None
        better = value < self.best - by if self.mode == "min" else value > self.best + by
        self.best = value if better else self.best
        return better

    def state_dict(self) -> dict[str, Any]:
        """The best number so far."""
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.best = state["best"]


class EarlyStopping(_Watching):
    """Ends training when a number has not got better, by more than ``min_delta``, in ``patience`` looks; puts the best weights back.

    >>> EarlyStopping("validation_accuracy", mode="max", patience=3).best
    -inf
    """

    def __init__(
        self, monitor: str = "validation_loss", patience: int = 5, min_delta: float = 0.0, mode: str = "min", restore_best: bool = True
    ) -> None:
        super().__init__(monitor, mode)
        self.patience, self.min_delta, self.restore_best = patience, min_delta, restore_best
        self.waited, self.weights = 0, {}  # type: int, dict[str, np.ndarray]

    def __call__(self, training: Training) -> None:
        better = self.better(training, self.min_delta)
        if better is None:
            return
        self.waited = 0 if better else self.waited + 1
        if better and self.restore_best:
            self.weights = training.model.state_dict()
        if self.waited >= self.patience:
            training.stop(f"{self.monitor} did not get better than {self.best:.4g} in {self.patience} looks")
            if self.weights:
                training.model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """How long it has waited, and the best weights."""
        return super().state_dict() | {"waited": self.waited} | self.weights

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        super().load_state_dict(state)
        self.waited, self.weights = state["waited"], _parted(state)[0]


class BestCheckpoint(_Watching):
    """Writes the weights to a file, `.safetensors` or `.npz`, whenever a number got better; `minigrad.load(path, into=model)` reads it.

    >>> BestCheckpoint("best.npz").monitor
    'validation_loss'
    """

    def __init__(self, path: str | Path, monitor: str = "validation_loss", mode: str = "min") -> None:
        super().__init__(monitor, mode)
        self.path = Path(path)

    def __call__(self, training: Training) -> None:
        if self.better(training):
            storage.save(self.path, training.model)


# ------------------------------------------------------------------------------------------------------------------ fit


def fit(
    model: Layer,
    data: Any,
    *,
    loss: str | Callable[[Any, Any], Any] | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int = 32,
    optimizer: Any = None,
    lr: float = 1e-3,
    schedule: Callable[[int], float] | None = None,
    validation_data: Any = None,
    validate: Look | None = None,
    validate_every: int | None = None,
    callbacks: Sequence[Callback] = (),
    folder: str | Path | None = None,
    checkpoint_every: int | None = None,
    keep: int = 2,
    resume: bool = False,
    seed: int = 0,
    progress: bool = True,
) -> History:
    """Train a model by gradient descent, and return what happened at every step.

    ``data`` is ``(x, y)``, where x may be a tuple of inputs, or a stream of batches with ``next()`` and ``position``; every epoch takes
    the rows in another order, which ``seed`` decides. ``loss`` is a function of (what the model gave, targets), or "cross_entropy",
    "mse", "binary_cross_entropy"; by default the first for integer targets and the second for others. ``optimizer`` is AdamW at
    ``lr`` where none is given; a ``schedule`` gives the rate of every step. It lasts ``steps`` steps or ``epochs`` epochs, by default one.

    Every ``validate_every`` steps, by default once an epoch, it looks at ``validation_data`` (`validation_loss`, and
    `validation_accuracy` for classes) or at what your function ``validate(model)`` returns, a dict of numbers. After every step it calls
    each of ``callbacks`` with the `Training`: `EarlyStopping`, `BestCheckpoint`, or a function of yours, which may call
    ``training.stop("why")``. With a ``folder`` it saves a checkpoint every ``checkpoint_every`` steps and at the end the model; with
    ``resume`` it goes on from the newest one there, bit for bit as if it had never stopped. Ctrl-C ends after the step, and saves.

    Raises `Diverged` where a loss is no finite number, `Interrupted` after Ctrl-C, `UserError` for a folder that cannot be used.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(64, 2)).astype("float32")
    >>> model = minigrad.Sequential(minigrad.Dense(8, "tanh"), minigrad.Dense(2))
    >>> history = fit(model, (x, (x[:, 0] > x[:, 1]).astype(int)), epochs=30, lr=0.03, progress=False)
    >>> len(history), history.last("train_loss") < 0.2
    (60, True)
    """
    stream = data if hasattr(data, "next") else Batches(_flat(data), batch_size, seed)
    if epochs is not None and steps is not None:
        raise ValueError("fit: give steps or epochs, not both.")
    per_epoch = getattr(stream, "per_epoch", None)
    if steps is None:
        if per_epoch is None:
            raise ValueError("fit: a stream without an end needs steps=.")
        steps = (1 if epochs is None else epochs) * per_epoch
    _ensure_built(model, stream)
    loss = loss_function(loss, stream)
    if validation_data is not None and validate is None:
        validate = evaluation(_flat(validation_data), loss, batch_size)
    optimizer = optimizer or minigrad.optim.AdamW(model.parameters(), lr=lr)
    training = Training(model, stream, loss, optimizer, schedule, callbacks)
    report = reporter() if progress else Quiet()
    every = validate_every or min(per_epoch or steps, steps)
    if folder is None:
        run_steps(training, steps, look=validate, look_every=every, report=report)
        return training.history
    run = Run(folder)
    if not resume and run.folder.is_dir() and any(run.folder.iterdir()):
        raise UserError(f"fit: {folder} holds files already: resume=True goes on with the training there, or name another folder.")
    run.make()
    with run.alone():
        if run.checkpoints():
            training.restore(run, run.checkpoints()[-1])
        run_steps(training, steps, run=run, look=validate, look_every=every, checkpoint_every=checkpoint_every or every, keep=keep,
                  report=report)  # fmt: skip
        pretrained.save_pretrained(model, run.folder)
    return training.history


def _flat(data: Any) -> tuple[np.ndarray, ...]:
    """(x, y) or ((x1, x2), y) as a flat tuple of arrays."""
    if not isinstance(data, list | tuple) or len(data) < 2:
        raise TypeError("fit: data is (x, y), where x may be a tuple of inputs, or a stream of batches with next().")
    *inputs, targets = data
    inputs = [each for x in inputs for each in (x if isinstance(x, tuple) else (x,))]
    return tuple(constant(a) for a in (*inputs, targets))


def _ensure_built(model: Layer, stream: Stream) -> None:
    """Call a model once whose weights depend on the shape of its input, so that there is something to optimise."""
    try:
        model.parameters()
    except LayerError:
        position = stream.position
        *inputs, _ = stream.next()
        stream.position = position
        with minigrad.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # this once, statistics that no batch has updated are no mistake
            model(*inputs)


LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "cross_entropy": minigrad.cross_entropy,
    "mse": minigrad.mse_loss,
    "binary_cross_entropy": minigrad.binary_cross_entropy_with_logits,
}


def loss_function(loss: str | Callable[[Any, Any], Any] | None, stream: Stream) -> Callable[[Any, Any], Any]:
    """The loss of a name, a function as it is, and for None what the kind of the targets suggests."""
    if callable(loss):
        return loss
    if loss is None:
        position = stream.position
        kind = stream.next()[-1].dtype.kind
        stream.position = position
        loss = "mse" if kind == "f" else "cross_entropy"
    if loss not in LOSSES:
        raise ValueError(f"fit: loss is a function or one of {', '.join(LOSSES)}. Received: {loss!r}.")
    return LOSSES[loss]


def evaluation(arrays: tuple[np.ndarray, ...], loss: Callable[[Any, Any], Any], batch_size: int) -> Look:
    """A look at data that nobody trains on: `validation_loss`, and `validation_accuracy` where there is one class per row."""
    classes = arrays[-1].ndim == 1 and arrays[-1].dtype.kind in "iu"

    def look(model: Layer) -> dict[str, float]:
        total, right, rows = 0.0, 0, len(arrays[-1])
        for first in range(0, rows, batch_size):
            *inputs, targets = (a[first : first + batch_size] for a in arrays)
            with minigrad.no_grad():
                out = model(*inputs)
                total += loss(out, targets).item() * len(targets)
            right += int((constant(out).argmax(-1) == targets).sum()) if classes else 0
        return {"validation_loss": total / rows} | ({"validation_accuracy": right / rows} if classes else {})

    return look


def run_steps(
    training: Training,
    steps: int,
    *,
    run: Run | None = None,
    look: Look | None = None,
    look_every: int = 100,
    checkpoint_every: int = 100,
    keep: int = 2,
    report: Report | Quiet,
    line: Callable[[Training], str] | None = None,
    units: tuple[float, str] = (1, "steps"),
) -> None:
    """All steps that are left, with looks, callbacks and checkpoints on the way.

    ``line`` says what a look found, or nothing; ``units`` how much a step is worth, as (768, "tokens").
    """
    recent: deque[float] = deque(maxlen=20)  # seconds; their median forgets the step that compiled the kernels
    amount, name = units
    with report.progress(training.step, steps) as update, _signals() as signals:
        while training.step < steps and training.history.stopped is None:
            before = training.seconds
            row = training.advance()
            step, last = training.step, training.step == steps
            recent.append(training.seconds - before)
            seconds = statistics.median(recent)
            speed = f"{amount / seconds:,.0f}" if amount / seconds >= 10 else f"{amount / seconds:.1f}"
            update(step, f"loss {row['train_loss']:.3f} · {speed} {name}/s ·")
            if step % look_every == 0 or last:
                if look is not None:
                    row.update(look(training.model))
                said = line(training) if line else _line(training, look_every)
                if said:
                    report.say(f"step {step:>{len(str(steps))}}/{steps}  {said}  {speed} {name}/s  {clock((steps - step) * seconds)} left")
            for callback in training.callbacks:
                callback(training)
            last = last or training.history.stopped is not None
            if run is not None and (step % checkpoint_every == 0 or last or signals):
                training.save(run, keep)
                run.write_history(training.history)
            if signals and not last:
                raise Interrupted(f"Stopped after step {step}.", code=128 + signals[0])
        if training.history.stopped is not None:
            report.say(f"Training ended after step {training.step}: {training.history.stopped}.")


def _line(training: Training, every: int) -> str:
    """The training loss since the last look, and what this look found."""
    loss = statistics.fmean(row["train_loss"] for row in training.history.rows[-every:])
    found = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in list(training.row.items())[4:]]
    return "  ".join([f"loss {loss:.4f}", *found])


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

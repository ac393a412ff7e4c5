"""Training: `fit`, the steps it is made of, and what one can have done between them.

One loop serves everybody: `fit` in a program, and every task of the command line. A checkpoint holds all that the next step
depends on, so that a training that was stopped and goes on is the one that never stopped, bit for bit.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import statistics
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import minigrad
from minigrad import storage
from minigrad.errors import LayerError
from minigrad.layer import Layer, check_size, constant
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
    """A model in training: one `advance` per step, and a state from which it goes on bit for bit.

    A callback is called after every step. One that has ``begin(training)`` starts afresh here, one that has ``end(training)`` is asked
    once more when the last step is done, and the ``state_dict()`` of one that has it is part of every checkpoint.
    """

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
        self.looked = False  # whether the last step was one after which somebody looks
        self._begun = self._settings()
        self._tell("begin")

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

    def end(self) -> None:
        """Let the callbacks do what they do when the last step is done, as putting the best weights back."""
        self._tell("end")

    def _tell(self, what: str) -> None:
        for callback in self.callbacks:
            if callable(getattr(callback, what, None)):
                getattr(callback, what)(self)

    def _settings(self) -> dict[str, Any]:
        """What must be the same when a training goes on, in words that can be shown."""
        optimizer = repr(self.optimizer)
        return {
            "optimizer": re.sub(r"\blr=[^,;>]+", "lr=scheduled", optimizer) if self.schedule else optimizer,
            "callbacks": [type(callback).__name__ for callback in self.callbacks],
            "batches": self.stream.settings if isinstance(self.stream, Batches) else None,
            "frozen": sorted(path for path, parameter in self.model.named_parameters().items() if parameter.frozen),
        }

    def advance(self) -> Row:
        """Make one step of gradient descent and return its row of the history.

        Raises `Diverged` where the loss or the gradient is no finite number; the weights are then those of the step before.
        """
        began = time.perf_counter()
        if self.schedule is not None:
            self.optimizer.lr = self.schedule(self.step)
        try:
            *inputs, targets = self.stream.next()
        except StopIteration as error:
            raise UserError(f"The stream of batches ended after step {self.step}: name as many steps as it lasts.") from error
        loss = self.loss(self.model(*inputs, training=True), targets)
        self.optimizer.zero_grad()
        loss.backward()
        norm = minigrad.optim.clip_grad_norm_(self.optimizer.parameters(), math.inf)  # nothing is clipped here, only measured
        for name, value in (("loss", loss.item()), ("length of the gradient", norm)):
            if not math.isfinite(value):
                raise Diverged(f"The {name} is {value} at step {self.step + 1}: training stops here.")
        clips = getattr(self.optimizer, "global_clipnorm", None) is not None
        self.optimizer.step(**{"grad_norm": norm} if clips else {})
        row = {"step": self.step + 1, "learning_rate": self.optimizer.lr, "train_loss": loss.item(), "gradient_norm": norm}
        self.history.rows.append(row)
        self.seconds += time.perf_counter() - began
        return row

    def save(self, run: Run, keep: int = 2) -> None:
        """Write a checkpoint: all that `restore` needs, also of what callbacks changed: the rates of the optimiser, what is frozen.

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
            "generators": [g.state() for g in self._generators()],
            "begun": self._begun,
            "settings": self._settings(),
            "options": [{name: value for name, value in group.items() if name != "params"} for group in self.optimizer.groups],
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

        Raises `UserError`, naming the folder, for one that is damaged, or was made by another model or in another way.
        """
        model, optimizer, others, state, history = run.load_checkpoint(step)
        where = run.checkpoint(step)
        try:
            if "begun" not in state:
                raise UserError(f"{where} was made by another version of this program.")
            for what, own in self._begun.items():
                if own not in (state["begun"][what], state["settings"][what]):  # a callback may have changed it since
                    raise UserError(
                        f"{where} was made with other {what}: {state['begun'][what]}. Received: {own}. "
                        "Go on with the same, or begin a training of its own in another folder."
                    )
            if not len(history) == state["step"] == step or sorted(optimizer) != state["arrays"]:
                raise UserError(f"{where} is damaged: its files are not of one step.{run.way_round(step)}")
            self.optimizer.load_state_dict(state["optimizer"] | optimizer)
            for number, (callback, numbers) in enumerate(zip(self.callbacks, state["callbacks"], strict=True)):
                if hasattr(callback, "load_state_dict"):
                    own = f"{number}:"
                    callback.load_state_dict(numbers | {k.removeprefix(own): v for k, v in others.items() if k.startswith(own)})
            generators = list(zip(self._generators(), state["generators"], strict=True))
            self.model.load_state_dict(model)
            for generator, saved in generators:
                generator.set_state(saved)
            for group, options in zip(self.optimizer.groups, state["options"], strict=True):
                group.update({name: tuple(value) if isinstance(value, list) else value for name, value in options.items()})
            for path, parameter in self.model.named_parameters().items():
                parameter.frozen = path in state["settings"]["frozen"]
            self.stream.position, self.history, self.seconds = state["position"], history, state["seconds"]
            self.history.stopped, self._begun = state["stopped"], state["begun"]
        except UserError:
            raise
        except (KeyError, ValueError, TypeError) as error:  # shapes and names that do not fit are ValueErrors too
            raise UserError(
                f"{where} does not belong to this model. Go on with the model that made it, or name another folder."
            ) from error

    def _generators(self) -> list[minigrad.Generator]:
        """All that random numbers come from: what layers draw from, and what draws where nothing is named."""
        return [minigrad.random.current(), *self.model.generators()]


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
        self.forget()

    def forget(self) -> None:
        """Start from nothing."""
        self.best = math.inf if self.mode == "min" else -math.inf

    def begin(self, training: Training) -> None:
        """Forget what another training brought."""
        self.forget()

    def better(self, training: Training, by: float = 0.0) -> bool | None:
        """Whether the last step brought a better number; None where nobody looked."""
        value = training.row.get(self.monitor)
        if value is None:
            # what another callback puts into the row may come later
            if training.looked and not self._known(training) and all(isinstance(c, _Watching) for c in training.callbacks):
                raise ValueError(self._unknown(training))
            return None
        better: bool = value < self.best - by if self.mode == "min" else value > self.best + by
        self.best = value if better else self.best
        return better

    def end(self, training: Training) -> None:
        """Warn of a number that never came."""
        if training.step and not self._known(training):
            warnings.warn(self._unknown(training), stacklevel=2)

    def _known(self, training: Training) -> bool:
        return self.monitor in training.history

    def _unknown(self, training: Training) -> str:
        return (
            f"{type(self).__name__}: nothing is called {self.monitor!r} here; there are {', '.join(training.history.names())}. "
            "validation_data= or validate= of fit bring more."
        )

    def state_dict(self) -> dict[str, Any]:
        """The best number so far."""
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.best = state["best"]


class EarlyStopping(_Watching):
    """Ends training when a number has not got better, by more than ``min_delta``, in ``patience`` looks.

    At the end of training, early or not, it puts the weights of the best look back, unless ``restore_best`` is False; after an error or
    Ctrl-C they stay those of the last step. `fit` raises ValueError after the first look where nothing is called ``monitor``.

    >>> EarlyStopping("validation_accuracy", mode="max", patience=3).best
    -inf
    """

    def __init__(
        self, monitor: str = "validation_loss", patience: int = 5, min_delta: float = 0.0, mode: str = "min", restore_best: bool = True
    ) -> None:
        super().__init__(monitor, mode)  # which forgets
        if not (patience >= 0 and min_delta >= 0):
            raise ValueError(f"EarlyStopping: patience and min_delta are numbers from 0. Received: {patience}, {min_delta}.")
        self.patience, self.min_delta, self.restore_best = patience, min_delta, restore_best

    def forget(self) -> None:
        """Start from nothing."""
        super().forget()
        self.waited, self.weights = 0, {}  # type: int, dict[str, np.ndarray]

    def __call__(self, training: Training) -> None:
        better = self.better(training, self.min_delta)
        if better is None:
            return
        self.waited = 0 if better else self.waited + 1
        if better and self.restore_best:
            self.weights = training.model.state_dict()
        if not better and self.waited >= self.patience:
            training.stop(f"{self.monitor} did not get better than {self.best:.4g} in {self.waited} looks")

    def end(self, training: Training) -> None:
        """Put the best weights back."""
        super().end(training)
        if self.weights:
            training.model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """How long it has waited, and the best weights."""
        return super().state_dict() | {"waited": self.waited} | {f"weights.{path}": array for path, array in self.weights.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        super().load_state_dict(state)
        self.waited = state["waited"]
        self.weights = {path.removeprefix("weights."): array for path, array in _parted(state)[0].items()}


class BestCheckpoint(_Watching):
    """Writes the weights to a file, `.safetensors` or `.npz`, whenever a number got better.

    ``minigrad.load(path, into=model)`` reads it into a model that is built: called once, or trained. `fit` raises ValueError after the
    first look where nothing is called ``monitor``.

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
    lr: float | None = None,
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
    "mse", "binary_cross_entropy"; by default the first for integer targets and the second for others. Padding in targets counts like
    any class unless the loss leaves it out: ``functools.partial(minigrad.cross_entropy, ignore_index=0)``. ``optimizer`` is
    AdamW(model.parameters(), ``lr``), lr 1e-3, where none is given; a ``schedule`` gives the rate of every step. Training lasts
    ``steps`` steps or ``epochs`` epochs, by default one.

    Every ``validate_every`` steps, by default once an epoch, and after the last it looks at ``validation_data``: `validation_loss`, the
    loss of all of it at once, and `validation_accuracy` where every row has one class; or at what your function ``validate(model)``
    returns, a dict of numbers. After every step it calls each of ``callbacks`` with the `Training`: `EarlyStopping`, `BestCheckpoint`,
    or a function of yours, which may call ``training.stop("why")``. With a ``folder`` it saves a checkpoint every ``checkpoint_every``
    steps and at the end the model; with ``resume`` it goes on from the newest one there, bit for bit as if it had never stopped. (One
    that is made longer has looked once more, at what was its end.) Ctrl-C ends after the step, and saves.

    The history holds a row for every step; ``history.series("validation_loss")`` is what was looked at, ready for a plot.

    Raises ValueError and TypeError for options that do not fit, `Diverged` where a loss or a gradient is no finite number, `Interrupted`
    after Ctrl-C, `UserError` for a folder that cannot be used.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(64, 2)).astype("float32")
    >>> model = minigrad.Sequential(minigrad.Dense(8, "tanh"), minigrad.Dense(2))
    >>> history = fit(model, (x, (x[:, 0] > x[:, 1]).astype(int)), epochs=30, lr=0.03, progress=False)
    >>> len(history), history.last("train_loss") < 0.2
    (60, True)
    """
    counts = {"steps": steps, "epochs": epochs, "validate_every": validate_every, "checkpoint_every": checkpoint_every, "keep": keep}
    for name, number in counts.items():
        if number is not None and not (name in ("steps", "epochs") and number == 0):
            check_size("fit", **{name: number})
    validations = {"validate": validate, "validation_data": validation_data}
    for pair in {"steps": steps, "epochs": epochs}, validations, {"lr": lr, "optimizer": optimizer}:
        if all(value is not None for value in pair.values()):
            raise ValueError(f"fit: give {' or '.join(pair)}, not both.")
    if resume and folder is None:
        raise ValueError("fit: resume=True goes on with the training in a folder; name it with folder=.")
    if callable(callbacks):
        raise TypeError(f"fit: callbacks is a list of callbacks. Received: {callbacks!r:.60}; try callbacks=[...].")
    stream = data if hasattr(data, "next") else Batches(_flat(data), check_size("fit", batch_size=batch_size), seed)
    per_epoch = getattr(stream, "per_epoch", None)
    if steps is None:
        if per_epoch is None:
            raise ValueError("fit: a stream without an end needs steps=.")
        steps = (1 if epochs is None else epochs) * per_epoch
    _ensure_built(model, stream)
    loss = loss_function(loss, stream)
    if validation_data is not None:
        validate = evaluation(_flat(validation_data), loss, batch_size)
    optimizer = minigrad.optim.AdamW(model.parameters(), lr=1e-3 if lr is None else lr) if optimizer is None else optimizer
    _check_optimizer(optimizer, model, schedule)
    training = Training(model, stream, loss, optimizer, schedule, callbacks)
    report = reporter() if progress else Quiet()
    every = validate_every or min(per_epoch or steps, steps) or 1
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


def _check_optimizer(optimizer: Any, model: Layer, schedule: Any) -> None:
    """Raise for an optimiser that would not train this model, or not as it says."""
    if not isinstance(optimizer, minigrad.optim.Optimizer):
        raise TypeError(
            f"fit: optimizer is one of minigrad.optim with the parameters it moves, as SGD(model.parameters(), lr=0.1). "
            f"Received: {optimizer!r:.60}."
        )
    moving = {id(p) for p in model.parameters() if not p.frozen}
    if moving and not {id(p) for p in optimizer.parameters()} & moving:
        raise ValueError("fit: the optimizer moves no parameter of this model that is not frozen; make it from model.parameters().")
    if schedule is not None and len({group["lr"] for group in optimizer.groups}) > 1:
        raise ValueError("fit: a schedule sets one rate for all groups, and those of the optimizer differ; set them in a callback.")


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
    """A look at data that nobody trains on: `validation_loss`, and `validation_accuracy` where there is one class per row.

    Where the model gives one array, with a row for each row of its input, the loss sees all rows at once: a mean over those that count,
    as one with ``ignore_index`` takes, is no mean of the means of batches. Of a model that gives anything else it is that mean.
    """
    rows = Batches(arrays, batch_size).rows
    targets = arrays[-1]
    classes = targets.ndim == 1 and targets.dtype.kind in "iu"

    def look(model: Layer) -> dict[str, float]:
        with minigrad.no_grad():
            batches = [[a[first : first + batch_size] for a in arrays] for first in range(0, rows, batch_size)]
            outs = [model(*inputs) for *inputs, _ in batches]
            if any(getattr(out, "shape", ())[:1] != some.shape[:1] for out, (*_, some) in zip(outs, batches)):
                return {"validation_loss": math.fsum(loss(out, b[-1]).item() * len(b[-1]) / rows for out, b in zip(outs, batches))}
            out = np.concatenate([constant(out) for out in outs])
            wide = out.astype(np.float32) if out.dtype == np.float16 else out  # sums over many rows overflow in half precision
            found = {"validation_loss": loss(minigrad.tensor(wide), targets).item()}
        if classes and loss is minigrad.binary_cross_entropy_with_logits:
            found["validation_accuracy"] = float(((out > 0) == targets).mean())
        elif classes and out.ndim == 2 and out.shape[1] > 1:
            known = (targets >= 0) & (targets < out.shape[1])  # a target that no class is, is one that the loss passes over
            if known.any():
                found["validation_accuracy"] = float((out.argmax(axis=1) == targets)[known].mean())
        return found

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
            training.looked = step % look_every == 0 or last
            if training.looked:
                if look is not None:
                    row.update(_found(look(training.model), row))
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
    training.end()


def _found(numbers: Any, row: Row) -> dict[str, float]:
    """What a look found as Python numbers, which a checkpoint brings back bit for bit; ValueError for what cannot stand in this row."""
    if not isinstance(numbers, Mapping) or numbers.keys() & row.keys():
        raise ValueError(f"A look returns a dict of numbers with names other than {', '.join(row)}. Received: {numbers!r:.80}.")
    try:
        return {name: float(number) for name, number in numbers.items()}
    except (TypeError, ValueError) as error:
        raise ValueError(f"A look returns a dict of single numbers. Received: {numbers!r:.80}.") from error


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

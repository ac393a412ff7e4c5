"""Wines and breast cancer, with inputs that are raw, adapted, or normalized by batch: what the normalizations of the notes change.

All statistics come from training rows alone. The same network learns the same rows in the same order at the same rate; only what
stands before it differs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad
from minigrad.layer import Layer
from minigrad.summary import count, summary
from transformer import plots, runs
from transformer.config import TabularConfig
from transformer.console import Report, counted
from transformer.data import Batches
from transformer.errors import extra
from transformer.models import Classifier, ClassifierConfig
from transformer.runs import Run
from transformer.tasks.base import Member, Task
from transformer.training import Training, evaluation

INPUTS = {"raw": None, "Normalization": "normalization", "BatchNormalization": "batch"}
TEST_SHARE = 0.3
LEARNING = "learning.png"


@dataclass(frozen=True)
class Table:
    """A data set of rows (N, F) with a class each (N,)."""

    name: str
    x: np.ndarray
    y: np.ndarray

    def split(self, seed: int) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Training rows and test rows, another split for each seed."""
        order = np.random.default_rng(seed).permutation(len(self.x))
        cut = round(len(order) * (1 - TEST_SHARE))
        return (self.x[order[:cut]], self.y[order[:cut]]), (self.x[order[cut:]], self.y[order[cut:]])


def tables() -> list[Table]:
    """The two data sets, which come with scikit-learn."""
    with extra("examples"):
        from sklearn.datasets import load_breast_cancer, load_wine

    found = (("wine", load_wine()), ("breast cancer", load_breast_cancer()))
    return [Table(name, data.data.astype(np.float32), data.target.astype(np.int64)) for name, data in found]


class TabularTask(Task):
    """Tell wines, and tumours, apart by measurements of very different sizes."""

    config: TabularConfig

    def __init__(self, config: TabularConfig, report: Report) -> None:
        super().__init__(config, report)
        self.tables = tables()
        self.members = [self._member(table, inputs, config.seed) for table in self.tables for inputs in INPUTS]

    def _member(self, table: Table, inputs: str, seed: int) -> Member:
        training, test = table.split(seed)
        classes = int(table.y.max()) + 1
        model = Classifier(ClassifierConfig(table.x.shape[1], classes, self.config.hidden, INPUTS[inputs]), seed)
        model.adapt(training[0])
        stream = Batches(training, self.config.batch, seed)
        look = evaluation(test, minigrad.cross_entropy, len(test[0]))
        name = f"{table.name.replace(' ', '-')}-{inputs.lower()}"
        return Member(
            name, model, stream, minigrad.cross_entropy, look, f"{table.name}, {inputs}", self._line, units=(self.config.batch, "rows")
        )

    def _line(self, training: Training) -> str:
        """Three lines for each of six networks are enough."""
        if training.step % max(1, self.config.steps // 3) and training.step != self.config.steps:
            return ""
        return f"training loss {training.row['train_loss']:.3f}  test rows right {training.row['validation_accuracy']:.1%}"

    def optimizer(self, model: Layer) -> Any:
        """Plain gradient descent with momentum: what the notes speak of, and what sizes of inputs matter to."""
        return minigrad.optim.SGD(model.parameters(), lr=self.config.learning_rate, momentum=0.9)

    def record(self) -> dict[str, Any]:
        """Sizes and fingerprint of the rows."""
        digest = hashlib.sha256(b"".join(array.tobytes() for table in self.tables for array in (table.x, table.y)))
        return {"rows": {table.name: len(table.x) for table in self.tables}, "sha256": digest.hexdigest()}

    def introduce(self, run: Run) -> None:
        """Say what the data are, and show which numbers of the three networks gradient descent may change."""
        for table in self.tables:
            sizes = table.x.std(axis=0)
            self.report.say(
                f"{table.name}: {len(table.x)} rows of {table.x.shape[1]} columns, whose standard deviations go from "
                f"{sizes.min():.2g} to {sizes.max():.3g}; {TEST_SHARE:.0%} of the rows are for testing."
            )
        for member in self.members[: len(INPUTS)]:
            self.report.say(f"\n{member.title}")
            self.report.say(summary(member.model))

    def finish(self, run: Run, trainings: list[Training]) -> dict[str, Any]:
        """The mean over several splits of what every network knows of rows it has not seen."""
        results: dict[str, dict[str, float]] = {}
        with self.report.busy("The same on other splits"):
            for member in self.members:
                looks = [member.look(member.model)]
                table, inputs = next((t, i) for t in self.tables for i in INPUTS if f"{t.name}, {i}" == member.title)
                looks += [self._again(table, inputs, self.config.seed + split) for split in range(1, self.config.splits)]
                results[member.title] = {name: float(np.mean([look[name] for look in looks])) for name in looks[0]} | {
                    "learnable": count(member.model.parameters()), "non_learnable": count(member.model.buffers()),
                }  # fmt: skip
        self.report.table(
            ["data, inputs", "test rows right", "test loss", "learnable", "non-learnable"],
            [
                [title, f"{row['validation_accuracy']:.1%}", f"{row['validation_loss']:.3f}", f"{row['learnable']:,}",
                 f"{row['non_learnable']:,}"]
                for title, row in results.items()
            ],
            bold="",
        )  # fmt: skip
        series = {member.title: training.history.series("validation_accuracy") for member, training in zip(self.members, trainings)}
        runs.write(run.folder / LEARNING, plots.curves(series, "Raw and normalized inputs", "test rows right", percent=True))
        self.report.say(
            f"Means over {counted(self.config.splits, 'split')}. Saved in {run.folder}: six networks, their history, {LEARNING}."
        )
        return {"results": results}

    def _again(self, table: Table, inputs: str, seed: int) -> dict[str, float]:
        """The same training on another split."""
        member = self._member(table, inputs, seed)
        training = self.training(member)
        while training.step < self.config.steps:
            training.advance()
        return member.look(member.model)

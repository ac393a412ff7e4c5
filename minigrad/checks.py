"""The op database under the checker: every op on every sample, to first order, to second order, and in forward mode."""

from dataclasses import dataclass

import numpy as np

from .core import REGISTRY
from .errors import MinigradError
from .gradcheck import gradcheck, gradgradcheck, jvpcheck, of_op

CHECKS = (gradcheck, gradgradcheck, jvpcheck)


@dataclass
class Row:
    """What was found for one op: how many samples, the worst relative difference of each check, and what went wrong."""

    name: str
    samples: int
    worst: list
    wrong: list  # messages
    unclear: list

    @property
    def verdict(self):
        return "WRONG" if self.wrong else "inconclusive" if self.unclear else "ok"


def checkable():
    """The ops with a gradient and samples to check it on, in the order of declaration."""
    return [op for op in REGISTRY.values() if op.has_gradient and op.samples]


def check_op(op):
    """Check one op on all its samples: a `Row`.

    >>> check_op(REGISTRY["exp"]).verdict
    'ok'
    """
    row = Row(op.name, 0, [0.0] * len(CHECKS), [], [])
    for number, sample in enumerate(op.samples(np.random.default_rng(1))):
        f, arrays, names = of_op(op, *op.bind(sample.args, dict(sample.kwargs)))
        if arrays:
            _add(row, number, sample, lambda check, f=f, arrays=arrays, names=names: check(f, *arrays, names=names, raise_exception=False))
    if not row.samples:
        row.unclear.append(f"{op.name}: no sample has a floating array, so no derivative was looked at.")
    return row


def check_function(f):
    """Check a plain function on the samples that its attribute ``samples(rng)`` gives: a `Row`."""
    row = Row(f.__name__, 0, [0.0] * len(CHECKS), [], [])
    for number, sample in enumerate(f.samples(np.random.default_rng(1))):
        _add(row, number, sample, lambda check, s=sample: check(f, *s.args, kwargs=s.kwargs, raise_exception=False))
    return row


def _add(row, number, sample, checked):
    """Add one sample's results to a row; a check that raises counts as wrong, its message tells why."""
    row.samples += 1
    where = f"{row.name}, sample {number}" + (f" ({sample.note})" if sample.note else "")
    for i, check in enumerate(CHECKS):
        try:
            report = checked(check)
        except Exception as error:  # whatever it raises on its own sample is the finding
            raised = "" if isinstance(error, MinigradError) else f"raises {type(error).__name__}: "
            row.wrong.append(f"{where}: {raised}{error}")
            row.worst[i] = np.inf
            continue
        row.worst[i] = max(row.worst[i], report.worst)
        if not report.passed:
            (row.wrong if any(a.wrong for a in report) else row.unclear).append(f"{where}: {report.explanation()}")

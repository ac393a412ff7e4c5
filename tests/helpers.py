"""What the generic suites share: the op database as test cases, and Jacobians by finite differences.

The differences here are written apart from `minigrad.gradcheck`, so that a fault of the checker cannot hide a fault of a rule.
"""

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import REGISTRY, Tensor, apply

OPS = list(REGISTRY.values())  # what the library declares; ops that tests declare come later
WITH_GRADIENT = [op for op in OPS if op.has_gradient]


def samples(op):
    return list(op.samples(np.random.default_rng(1))) if op.samples else []


def cases(ops=OPS, where=lambda op, sample: True):
    """One pytest parameter for every op and sample."""
    return [
        pytest.param(op, number, id=f"{op.name}-{number}" + (f"-{sample.note.replace(' ', '_')}" if sample.note else ""))
        for op in ops
        for number, sample in enumerate(samples(op))
        if where(op, sample)
    ]


def get_sample(op, number):
    return samples(op)[number]


def is_float(x):
    return isinstance(x, np.ndarray | np.generic) and x.dtype.kind == "f"


# Ops that stand for a NumPy function of two floats, element by element.
BINARY = [
    op for op in OPS
    if isinstance(op.numpy, np.ufunc) and op.numpy.nin == 2 and op.numpy.signature is None and is_float(samples(op)[0].args[0])
]  # fmt: skip


def outputs(out):
    """What an op returned, as a tuple, also where it is one array alone."""
    return out if isinstance(out, tuple) else (out,)


def joined(out):
    """One array or Tensor for what an op returned: of several outputs the floating ones, flattened, one after the other."""
    if not isinstance(out, tuple):
        return out
    floating = [o for o in out if o.dtype.kind == "f"] or list(out)
    return mg.concatenate([mg.reshape(o, (-1,)) for o in floating])


def mapped(value, change):
    """``value`` with ``change`` applied to every array in its tuples, lists and dicts."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(v, change) for v in value))
    if isinstance(value, tuple | list):
        return type(value)(mapped(v, change) for v in value)
    if isinstance(value, dict):
        return {name: mapped(v, change) for name, v in value.items()}
    return change(value) if isinstance(value, np.ndarray | np.generic) else value


def as_dtype(value, dtype):
    """Every floating array in ``value`` in another dtype, with the same memory order."""
    return mapped(value, lambda a: a.astype(dtype) if is_float(a) else a)


def as_tensors(value):
    """Every floating array in ``value`` as a Tensor that requires a gradient, every other one as it is."""
    return mapped(value, lambda a: Tensor(a, requires_grad=True) if is_float(a) else a)


class Call:
    """One call of an op with its inputs sorted out: a function of the floating inputs alone, for the derivative tests.

    Several outputs are joined to one.
    """

    def __init__(self, op, sample, dtype=np.float64):
        self.op = op
        inputs, self.params = op.bind(sample.args, dict(sample.kwargs))
        self.inputs = as_dtype(list(inputs), dtype)
        self.places = [i for i, x in enumerate(self.inputs) if is_float(x)]
        self.values = [np.array(self.inputs[i]) for i in self.places]

    def __call__(self, *values):
        inputs = list(self.inputs)
        for place, value in zip(self.places, values):
            inputs[place] = value
        return joined(apply(self.op, inputs, self.params))

    def leaves(self):
        return [Tensor(v, requires_grad=True) for v in self.values]

    def cotangent(self, seed=0):
        """Random weights in the shape of the output, away from 0."""
        shape, generator = np.shape(self(*self.values)), np.random.default_rng(seed)
        return (generator.uniform(0.5, 1.5, shape) * generator.choice([-1, 1], shape)).astype(self.values[0].dtype)

    def tangents(self, seed=1):
        generator = np.random.default_rng(seed)
        return [generator.standard_normal(v.shape).astype(v.dtype) for v in self.values]


def difference(f, arrays, number, direction, step=1e-3):
    """d f(..., arrays[number] + t direction, ...) / dt at 0: central differences at two steps, extrapolated (Richardson)."""

    def quotient(h):
        moved = [[a + sign * h * direction if i == number else a for i, a in enumerate(arrays)] for sign in (1, -1)]
        return (np.asarray(f(*moved[0])) - np.asarray(f(*moved[1]))) / (2 * h)

    return (4 * quotient(step / 2) - quotient(step)) / 3


def jacobian_by_differences(f, arrays, number):
    """The Jacobian of f for one input: the output's axes, then the input's."""
    x = arrays[number]
    columns = []
    for place in np.ndindex(x.shape):
        direction = np.zeros_like(x)
        direction[place] = 1.0
        columns.append(difference(f, arrays, number, direction))
    out_shape = np.shape(f(*arrays))
    return np.stack(columns, -1).reshape((*out_shape, *x.shape)) if columns else np.zeros((*out_shape, *x.shape))


def assert_close(actual, expected, tolerance, what=""):
    """Equal to ``tolerance`` times the largest number involved; same shape; NaN and infinity only in the same places."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    scale = max(1.0, np.max(np.abs(expected[np.isfinite(expected)]), initial=0.0)) if expected.dtype.kind == "f" else 1
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale, err_msg=what)

"""For the tests of your own ops: `check_op` asks of one op what the library's tests ask of its own; and what samples are made of.

In a test file: ``from minigrad.testing import check_op`` and ``def test_my_op(): check_op(my_op)``. From a shell:
``python -m minigrad gradcheck my_module:my_op``, for the derivatives alone.
"""

import re

import numpy as np

from . import checks
from .core import Op, Tensor, apply
from .errors import GradcheckError
from .ops.samples import ErrorSample, Sample, binary, normal, strided, unary

__all__ = ["ErrorSample", "Sample", "binary", "check_op", "normal", "strided", "unary"]


def check_op(function):
    """Check an op on its samples: values, dtypes, strides, errors, and derivatives of first and second order and forward mode.

    The op declares ``samples(rng)`` giving `Sample`s, of float64 arrays; and may declare ``reference``, the same function in NumPy, and
    ``errors()`` giving `ErrorSample`s. Checked on every sample, where it applies: the value is the reference's; a Tensor in
    gives a Tensor out, with the value of the plain call; float32 stays float32; neither forward nor rule writes to what it is given;
    arrays that lie in memory otherwise give the same; gradcheck, gradgradcheck and jvpcheck pass.
    Returns what the derivatives' check found. Raises GradcheckError with all that is wrong, TypeError for what is no op.

    >>> import numpy as np
    >>> import minigrad as mg
    >>> @mg.op(samples=unary(0.5, 2.0), reference=lambda x: x**3)
    ... def cube(x, /):
    ...     return x * x * x
    >>> @cube.vjp
    ... def _(g, _, x):
    ...     return (g * 3.0 * x * x,)
    >>> check_op(cube).samples
    4
    >>> del mg.core.REGISTRY["cube"]
    """
    op = function if isinstance(function, Op) else getattr(function, "op", None)
    if not isinstance(op, Op):
        raise TypeError(f"check_op: takes an op, a function declared with @op. Received: {function!r:.60}.")
    samples = list(op.samples(np.random.default_rng(1))) if op.samples else []
    if not samples:
        raise GradcheckError(
            f"check_op: {op.name} has no samples to be checked on; declare it with @op(samples=lambda rng: [Sample((x,)), ...])."
        )
    wrong = []
    for number, sample in enumerate(samples):
        where = f"{op.name}, sample {number}" + (f" ({sample.note})" if sample.note else "")
        try:
            wrong += [f"{where}: {what}" for what in _values(op, sample)]
        except Exception as error:  # whatever the op raises on its own sample is the finding
            wrong.append(f"{where}: raises {type(error).__name__}: {error}")
    for number, sample in enumerate(op.errors() if op.errors else ()):
        wrong += [f"{op.name}, error sample {number}: {what}" for what in _refusal(op, sample)]
    row = checks.check_op(op) if op.has_gradient else None
    if row is not None:
        wrong += row.wrong + row.unclear
    if wrong:
        raise GradcheckError(f"check_op: {len(wrong)} thing{'s' * (len(wrong) > 1)} wrong with {op.name}.\n" + "\n".join(wrong))
    return row


def _values(op, sample):
    """What is wrong with the op's values on a sample: messages."""
    inputs, params = op.bind(sample.args, dict(sample.kwargs))

    def outputs(change):
        out = apply(op, [change(x) if isinstance(x, np.ndarray) else x for x in inputs], params)
        return out if isinstance(out, tuple) else (out,)

    plain = outputs(_frozen)
    if any(not isinstance(out, np.ndarray) for out in plain):
        yield "plain arrays in, but something else than plain arrays out"
        return
    reference = op.reference or op.numpy
    if reference is not None:
        expected = reference(*sample.args, **sample.kwargs)
        for out, right in zip(plain, expected if isinstance(expected, tuple | list) else (expected,), strict=True):
            if out.shape != np.shape(right):
                yield f"its result has shape {out.shape}, that of the reference {np.shape(right)}"
            elif not np.allclose(out, right, rtol=1e-12, atol=1e-12, equal_nan=True):
                yield f"its result differs from the reference by up to {np.nanmax(np.abs(out - right)):.2g}"
    with_tensors = outputs(lambda x: Tensor(x) if x.dtype.kind == "f" else x)
    if any(isinstance(x, np.ndarray) and x.dtype.kind == "f" for x in inputs):
        if any(not isinstance(out, Tensor) for out in with_tensors):
            yield "Tensors in, but no Tensor out"
        elif any(not _same(a, b._data) for a, b in zip(plain, with_tensors)):
            yield "Tensors give another value than plain arrays"
        if any(x.dtype == np.float64 for x in outputs(lambda x: x.astype(np.float32) if x.dtype.kind == "f" else x)):
            yield "float32 comes out as float64; multiply by Python numbers, or make arrays in the dtype of the input"
    if not all(np.allclose(a, b, rtol=1e-12, atol=1e-12, equal_nan=True) for a, b in zip(plain, outputs(_otherwise))):
        yield "arrays that lie in memory otherwise (not in C order) give another value"


def _refusal(op, sample):
    """What is wrong with the error of an error sample: messages."""
    try:
        op.function(*sample.args, **sample.kwargs)
    except sample.exception as error:
        if not re.search(sample.match, str(error)):
            yield f"the message does not match {sample.match!r}: {error}"
    except Exception as error:  # whatever came instead is the finding
        yield f"raises {type(error).__name__} where {sample.exception.__name__} is due: {error}"
    else:
        yield f"raises nothing where {sample.exception.__name__} is due"


def _frozen(x):
    """A copy that cannot be written to: a forward that tries raises "assignment destination is read-only"."""
    x = x.copy()
    x.flags.writeable = False
    return x


def _otherwise(x):
    """The same values with the memory in reverse order and gaps."""
    wide = np.zeros([2 * n for n in reversed(x.shape)], x.dtype)
    view = wide.T[(..., *[slice(None, None, 2)] * x.ndim)]
    view[...] = x
    return view


def _same(a, b):
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")

"""Every op with compiled kernels and with the reference ones: the same numbers, whatever the number of threads."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import derivatives, kernels
from minigrad.core import Tensor
from minigrad.ops import fused
from tests.helpers import OPS, WITH_GRADIENT, Call, assert_close, cases, get_sample

TOLERANCE = {"float64": 1e-13, "float32": 3e-6}
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture
def picked(monkeypatch):
    """The names of the compiled kernels that ran."""
    names, real = set(), kernels._compiled

    def compiled(name):
        names.add(name)
        return real(name)

    monkeypatch.setattr(kernels, "_compiled", compiled)
    return names


def everything(call, g=None, create_graph=False):
    """Output and, with ``g``, all gradients of a call, as arrays."""
    leaves = call.leaves()
    out = call(*leaves)
    if g is None or not out.requires_grad:
        return [out.numpy()]
    found = derivatives.gradients(out, leaves, [g], create_graph=create_graph, allow_unused=True)
    return [out.numpy(), *(np.zeros(leaf.shape) if d is None else d.numpy() for leaf, d in zip(leaves, found))]


@pytest.mark.parametrize("op, number", cases(OPS, lambda op, sample: Call(op, sample).places))
@dtypes
def test_compiled_equals_reference(op, number, dtype, picked):
    call = Call(op, get_sample(op, number), dtype)
    with mg.use_kernels("reference"):
        g = call.cotangent() if op.has_gradient else None
        expected = everything(call, g)
        assert not picked
    with mg.use_kernels("numba"):
        found = everything(call, g)
    for a, b in zip(found, expected, strict=True):
        if picked:
            assert a.dtype == b.dtype
            assert_close(a, b, TOLERANCE[dtype], " ".join(sorted(picked)))
        else:
            assert a.tobytes() == b.tobytes()  # no kernel of its own: the same NumPy


@pytest.mark.parametrize("op, number", cases([op for op in WITH_GRADIENT if op.composite is not None]))
@dtypes
def test_compiled_equals_composite(op, number, dtype):
    """The kernel's gradient against the engine's own differentiation of the same mathematics, in float64 the judge."""
    call, exact = Call(op, get_sample(op, number), dtype), Call(op, get_sample(op, number))
    exact.values = [v.astype(np.float64) for v in call.values]
    g = call.cotangent()
    with mg.use_kernels("reference"):
        expected = everything(exact, g.astype(np.float64), create_graph=True)
    with mg.use_kernels("numba"):
        found = everything(call, g)
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, TOLERANCE[dtype])


# ------------------------------------------------------------------------------------- sizes that are worth two threads


def big(name, dtype):
    """A call of an op large enough to be spread over threads, as (function, floating inputs)."""
    rng = np.random.default_rng(41)
    normal = lambda *shape: rng.standard_normal(shape).astype(dtype)  # noqa: E731
    ids, targets = rng.integers(0, 97, (16, 129)), rng.integers(0, 1031, 257)
    mask = rng.random((130, 130)) < 0.7
    angles = np.arange(67)[:, None] / 100 ** (np.arange(17) / 17)  # (T, d/2)
    turns = np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)
    return {
        "linear": (mg.linear, (normal(8, 127, 96), normal(96, 385), normal(385))),
        "linear gelu": (fused.linear_gelu, (normal(8, 127, 96), normal(96, 385), normal(385))),
        "heads": (
            lambda x, *weights: sum([mg.sum(y, (1, 3)) for y in fused.project_heads(x, *weights)]),
            (normal(8, 127, 96), normal(96, 4, 33), normal(4, 33), normal(96, 3, 35), normal(3, 35)),
        ),
        "heads combined": (fused.combine_heads, (normal(8, 3, 127, 33), normal(3, 33, 95), normal(95))),
        "heads combined, plus": (fused.combine_heads, (normal(8, 3, 127, 33), normal(3, 33, 95), normal(95), normal(8, 127, 95))),
        "feed forward": (fused.feed_forward, (normal(8, 127, 96), normal(96, 385), normal(385, 96), normal(385), normal(96))),
        "linear plus": (fused.linear_plus, (normal(8, 127, 96), normal(96, 385), normal(8, 127, 385), normal(385))),
        "matmul": (mg.matmul, (normal(6, 131, 64), normal(6, 64, 129))),
        "matmul broadcast": (mg.matmul, (normal(3, 1, 131, 64), normal(5, 64, 77))),
        "matmul transposed": (lambda x, y: mg.matmul(x.mT, y.mT), (normal(200, 131), normal(129, 200))),
        "softmax": (mg.softmax, (normal(700, 257),)),
        "softmax masked": (lambda x: mg.softmax(x, where=mask), (normal(20, 130, 130),)),
        "log_softmax": (mg.log_softmax, (normal(700, 257),)),
        "layer_norm": (mg.layer_norm, (normal(900, 129), normal(129), normal(129))),
        "norm and skip": (lambda x, w, b: x + mg.layer_norm(x, w, b), (normal(900, 129), normal(129), normal(129))),
        "rms_norm": (mg.rms_norm, (normal(900, 129), normal(129))),
        "batch_norm": (lambda x, w, b: mg.batch_norm(x, None, None, w, b), (normal(900, 129), normal(129), normal(129))),
        "batch_norm inference": (
            lambda x, m, w, b: mg.batch_norm(x, m, np.ones(129, dtype), w, b), (normal(900, 129), normal(129), normal(129), normal(129))
        ),
        "gelu": (mg.gelu, (normal(300, 517),)),
        "gelu tanh": (lambda x: mg.gelu(x, "tanh"), (normal(300, 517),)),
        "swiglu": (mg.swiglu, (normal(300, 517), normal(300, 517))),
        "geglu": (mg.geglu, (normal(300, 517), normal(300, 517))),
        "geglu tanh": (lambda value, gate: mg.geglu(value, gate, "tanh"), (normal(300, 517), normal(300, 517))),
        "silu": (mg.silu, (normal(300, 517),)),
        "relu": (mg.relu, (normal(300, 517),)),
        "leaky relu": (mg.leaky_relu, (normal(300, 517),)),
        "sigmoid": (mg.sigmoid, (normal(300, 517),)),
        "cross_entropy": (lambda x: mg.cross_entropy(x, targets), (normal(257, 1031),)),
        "cross_entropy weighed": (
            lambda x, w: mg.cross_entropy(x, targets, w, ignore_index=5, label_smoothing=0.1), (normal(257, 1031), np.ones(1031, dtype))
        ),
        "embedding": (lambda table: mg.embedding(ids, table), (normal(97, 65),)),
        "rotary": (lambda x: mg.rotary(x, *turns), (normal(3, 5, 67, 34),)),
        "dropout": (lambda x: mg.dropout(x, 0.4, 3, 2**32 - 50_000), (normal(300, 517),)),
        "attention": (mg.scaled_dot_product_attention, (normal(3, 4, 130, 33), normal(3, 4, 141, 33), normal(3, 4, 141, 17))),
        "attention causal": (
            lambda q, k, v: mg.scaled_dot_product_attention(q, k, v, is_causal=True), (normal(3, 4, 130, 32),) * 3
        ),
        "attention masked": (
            lambda q, k, v: mg.scaled_dot_product_attention(q, k, v, mask), (normal(3, 4, 130, 32),) * 3
        ),
        "bias": (lambda x, b: x + b, (normal(900, 129), normal(129))),
    }[name]  # fmt: skip


BIG = [
    "linear", "linear gelu", "linear plus", "feed forward", "heads", "heads combined", "heads combined, plus", "matmul", "matmul broadcast",
    "matmul transposed", "softmax", "softmax masked", "log_softmax", "layer_norm", "norm and skip", "rms_norm", "batch_norm",
    "batch_norm inference", "gelu", "gelu tanh", "silu", "relu", "leaky relu", "sigmoid", "swiglu", "geglu", "geglu tanh", "cross_entropy",
    "cross_entropy weighed", "embedding", "dropout", "rotary", "attention", "attention causal", "attention masked", "bias",
]  # fmt: skip


def run_big(name, dtype):
    function, values = big(name, dtype)
    leaves = [Tensor(v, requires_grad=True) for v in values]
    out = function(*leaves)
    g = np.random.default_rng(42).standard_normal(out.shape).astype(dtype)
    return [out.numpy(), *(d.numpy() for d in derivatives.gradients(out, leaves, [g]))]


@pytest.mark.parametrize("name", BIG)
@dtypes
def test_one_thread_and_two_give_the_same_bits(name, dtype):
    with mg.use_kernels("numba"):
        runs = []
        for threads in (1, 2, 2):
            with mg.use_threads(threads):
                runs.append([a.tobytes() for a in run_big(name, dtype)])
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize("name", BIG)
@dtypes
def test_large_sizes_equal_the_reference(name, dtype):
    with mg.use_kernels("reference"):
        expected = run_big(name, "float64")
    with mg.use_kernels("numba"), mg.use_threads(2):
        found = run_big(name, dtype)
    for a, b in zip(found, expected, strict=True):
        if dtype == "float32":  # the inputs of the float64 run were not rounded to float32: that is part of the difference
            assert_close(a, b, 2e-5)
        else:
            assert_close(a, b, 1e-12)


def test_types_without_a_kernel_take_the_reference(picked):
    with mg.use_kernels("numba"):
        assert mg.softmax(np.ones(3, np.float16)).dtype == np.float16
        assert mg.matmul(np.eye(2, dtype=int), np.eye(2, dtype=int)).tolist() == [[1, 0], [0, 1]]
        if np.longdouble is not np.float64:
            assert mg.gelu(np.ones(2, np.longdouble)).dtype == np.longdouble
    assert not picked


def test_every_kernel_of_the_door_was_compared(picked):
    """The list of big calls walks through every compiled kernel; those left out are held to their formulas in tests of their own."""
    with mg.use_kernels("numba"):
        for name in BIG:
            run_big(name, "float32")
    assert picked == {name for name, module in kernels._MODULE_OF.items() if module != "optimizers"}

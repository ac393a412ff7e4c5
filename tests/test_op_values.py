"""Values of every op on every sample: against its reference, in both float types, on strided and contiguous arrays."""

import math

import numpy as np
import pytest
import scipy.special

import minigrad as mg
from minigrad.core import Tensor
from tests.helpers import (
    BINARY,
    OPS,
    as_dtype,
    as_tensors,
    assert_close,
    cases,
    get_sample,
    is_float,
    joined,
    mapped,
    outputs,
)

everything = pytest.mark.parametrize("op, number", cases())
binary = pytest.mark.parametrize("op", BINARY, ids=lambda op: op.name)


def sum_by_loops(x, shape):
    total = np.zeros(shape)
    for place in np.ndindex(x.shape):
        target = place[x.ndim - len(shape) :]
        total[tuple(0 if n == 1 else i for i, n in zip(target, shape))] += x[place]
    return total


def put_by_loops(g, index, shape):
    total, places = np.zeros(shape), np.arange(math.prod(shape)).reshape(shape)[index]
    for place in np.ndindex(g.shape):
        total.flat[places[place]] += g[place]
    return total


REFERENCES = {
    "sum_to": sum_by_loops, "putitem": put_by_loops, "astype": lambda x, dtype: np.array(x, dtype),
    "getitem": lambda x, index: x.__getitem__(index), "digamma": scipy.special.digamma, "polygamma": scipy.special.polygamma,
}  # fmt: skip


def expected(op, sample):
    """What the op should give, from the first of: a NumPy function of ours or its own, the NumPy namesake, the composite."""
    function = REFERENCES.get(op.name) or op.reference or op.numpy
    if function is None:
        inputs, params = op.bind(sample.args, dict(sample.kwargs))
        return op.composite(*inputs, **params)
    return function(*sample.args, **sample.kwargs)


def result(op, sample):
    return op.function(*sample.args, **sample.kwargs)


@everything
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-13), (np.float32, 2e-6)], ids=["float64", "float32"])
def test_equals_the_reference(op, number, dtype, tolerance):
    sample = as_dtype(get_sample(op, number), dtype)
    found, wanted = outputs(result(op, sample)), expected(op, as_dtype(sample, np.float64))
    wanted = tuple(wanted) if isinstance(wanted, tuple | list) else (wanted,)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted):
        assert_close(a, b, tolerance, op.name)


@everything
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_dtype_is_kept(op, number, dtype):
    for out in outputs(result(op, as_dtype(get_sample(op, number), dtype))):
        if op.name == "astype":
            assert out.dtype == np.float64
        else:
            assert out.dtype == dtype if op.has_gradient and out.dtype.kind == "f" else out.dtype.kind in "biu"


@everything
def test_inputs_are_not_written_to(op, number):
    sample = get_sample(op, number)
    before = mapped(sample, lambda a: a.copy())
    tensors = as_tensors(sample)
    out = joined(result(op, tensors))
    if op.has_gradient:
        out.backward(np.ones(out.shape))
    result(op, sample)
    kept = list(_arrays(before))
    for a, b, t in zip(kept, _arrays(sample), _arrays(tensors), strict=True):
        assert a.tobytes() == b.tobytes()
        assert a.tobytes() == (t.numpy() if isinstance(t, Tensor) else t).tobytes()


def _arrays(value):
    if isinstance(value, tuple | list):
        return [a for v in value for a in _arrays(v)]
    if isinstance(value, dict):
        return [a for v in value.values() for a in _arrays(v)]
    return [value] if isinstance(value, np.ndarray | np.generic | Tensor) else []


@everything
def test_strides_do_not_matter(op, number):
    sample = get_sample(op, number)
    contiguous = mapped(sample, lambda a: np.array(a, order="C"))
    backwards = mapped(sample, _reversed_memory)
    for same in (contiguous, backwards):
        for a, b in zip(outputs(result(op, same)), outputs(result(op, sample)), strict=True):
            assert_close(a, b, 1e-15)


def _reversed_memory(a):
    """The same numbers, every axis running backwards through memory that has gaps."""
    if np.ndim(a) == 0:
        return np.array(a)
    memory = np.zeros([2 * n for n in a.shape[::-1]], a.dtype)
    view = memory.T[tuple(slice(None, None, -2) for _ in a.shape)]
    view[...] = a
    return view


@everything
def test_arrays_give_arrays_and_tensors_give_tensors(op, number):
    sample = get_sample(op, number)
    tensors = any(isinstance(a, Tensor) for a in _arrays(as_tensors(sample)))
    for plain, wrapped in zip(outputs(result(op, sample)), outputs(result(op, as_tensors(sample))), strict=True):
        assert type(plain) is np.ndarray
        if tensors:
            assert type(wrapped) is Tensor
            assert_close(wrapped.numpy(), plain, 1e-15)  # Tensor() copied a strided input: sums run in another order
            assert wrapped.requires_grad == (op.has_gradient and plain.dtype.kind == "f")


@pytest.mark.parametrize("op, number", cases(where=lambda op, sample: op.composite is not None))
def test_composite_equals_the_fused_forward(op, number):
    sample = get_sample(op, number)
    inputs, params = op.bind(sample.args, dict(sample.kwargs))
    for a, b in zip(outputs(op.composite(*inputs, **params)), outputs(result(op, sample)), strict=True):
        assert_close(a, b, 1e-13)


# --------------------------------------------------------------------------------------------- what promotes and what not


@binary
@pytest.mark.parametrize("number", [2, 1.5, np.float64(1.5), np.float32(1.5), np.int64(2)], ids=lambda n: f"{type(n).__name__}")
def test_a_number_never_promotes(op, number):
    x = np.linspace(0.5, 2.0, 6, dtype=np.float32).reshape(2, 3)
    for out in (op.function(x, number), op.function(number, x), op.function(Tensor(x), number), op.function(number, Tensor(x))):
        assert out.dtype == (np.float32 if op.has_gradient else bool)
    assert_close(op.function(x, number), op.numpy(x, np.float32(number)), 1e-6)
    assert_close(op.function(number, x), op.numpy(np.float32(number), x), 1e-6)


@binary
@pytest.mark.parametrize("dtype", [np.int64, np.int8, bool])
def test_integers_and_booleans_never_widen_a_float(op, dtype):
    x, n = np.array([0.5, 1.5, 2.0], np.float32), np.array([1, 1, 1]).astype(dtype)
    for out in (op.function(x, n), op.function(n, x), op.function(Tensor(x), Tensor(n))):
        assert out.dtype == (np.float32 if op.has_gradient else bool)


@binary
def test_floats_promote_among_themselves(op):
    out = op.function(np.ones(3, np.float32), np.ones((2, 3), np.float64))
    assert out.dtype == (np.float64 if op.has_gradient else bool)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_number_alone_keeps_its_precision(dtype):
    assert mg.exp(dtype(1.0)).dtype == dtype
    assert mg.add(dtype(0.1), dtype(0.2)).dtype == dtype
    assert mg.exp(1.0).dtype == np.float32  # a Python float is of the default dtype


@pytest.mark.parametrize("name",
    "divide sqrt exp log sin cos tanh sigmoid erf softmax log_softmax layer_norm gelu mean dropout".split())  # fmt: skip
def test_integers_become_the_default_dtype_where_the_result_is_floating(name):
    function, ints = getattr(mg, name), np.array([[1, 2, 4]])
    args = {"divide": (ints, np.array([[2]])), "dropout": (ints, 0.5, 1)}.get(name, (ints,))
    assert function(*args).dtype == np.float32
    with mg.use_default_dtype("float64"):
        assert function(*args).dtype == np.float64


# -------------------------------------------------------------------------------------------------- values at the edges


def test_nothing_overflows_where_the_result_is_finite():
    big = np.array([-1e4, 1e4])
    with np.errstate(all="raise", under="ignore"):
        assert np.array_equal(mg.sigmoid(big), [0, 1])
        assert np.array_equal(mg.softmax(big), [0, 1])
        assert np.array_equal(mg.log_softmax(big), [-2e4, 0])
        assert mg.logsumexp(big) == 1e4
        assert mg.cross_entropy(big[None], np.array([0])) == 2e4
        assert np.array_equal(mg.gelu(big), [0, 1e4])
        assert np.array_equal(mg.gelu(big, "tanh"), [0, 1e4])
        assert np.array_equal(mg.tanh(big), [-1, 1])


def test_softmax_rows_add_up_to_one(rng):
    assert_close(mg.softmax(10 * rng.standard_normal((5, 7)), axis=0).sum(0), np.ones(7), 1e-14)


def test_softmax_of_minus_infinity_is_nan_and_of_a_masked_row_is_zero():
    row = np.full((1, 3), -np.inf)
    with np.errstate(invalid="ignore"):
        assert np.isnan(mg.softmax(row)).all()
    assert np.array_equal(mg.softmax(row, where=np.zeros((1, 3), bool)), np.zeros((1, 3)))
    assert np.array_equal(mg.softmax(np.ones((1, 3)), where=np.array([True, False, True])), [[0.5, 0, 0.5]])


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5)])
def test_attention_over_empty_axes(shape):
    out = mg.scaled_dot_product_attention(np.ones(shape), np.ones(shape), np.ones((*shape[:3], 6)), is_causal=True)
    assert out.shape == (*shape[:3], 6)


def test_attention_without_keys_gives_zeros():
    out = mg.scaled_dot_product_attention(np.ones((1, 2, 3, 4)), np.ones((1, 2, 0, 4)), np.ones((1, 2, 0, 5)))
    assert np.array_equal(out, np.zeros((1, 2, 3, 5)))


def test_dropout_keeps_the_right_share_and_rescales():
    out = mg.dropout(np.ones(100_000), 0.3, 5)
    assert set(np.unique(out)) == {0.0, 1 / 0.7}
    assert abs(np.mean(out == 0) - 0.3) < 5 * math.sqrt(0.3 * 0.7 / 100_000)  # five standard deviations
    assert np.array_equal(mg.dropout(np.ones(7), 0.0, 5), np.ones(7))


def test_dropout_depends_on_seed_and_offset_and_on_nothing_else():
    x = np.ones(1000)
    assert np.array_equal(mg.dropout(x, 0.5, 1), mg.dropout(x.reshape(10, 100), 0.5, 1).reshape(-1))
    assert np.array_equal(mg.dropout(x, 0.5, 1)[300:], mg.dropout(x[300:], 0.5, 1, 300))
    assert not np.array_equal(mg.dropout(x, 0.5, 1), mg.dropout(x, 0.5, 2))


def test_results_of_indexing_are_not_writable_through():
    """Views are allowed between arrays, but nobody can write through a Tensor."""
    x = Tensor([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="read-only"):
        x[1:].numpy()[0] = 7.0


def test_every_float_sample_is_finite():
    for op in OPS:
        for sample in [] if op.samples is None else op.samples(np.random.default_rng(1)):
            assert all(np.isfinite(a).all() for a in _arrays(sample.args) if is_float(a)), op.name

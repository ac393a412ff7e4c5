"""Calls that cannot work raise the right type, with a message that names the op and what it received."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import REGISTRY, Tensor, op
from minigrad.errors import DtypeError, GradientError, MinigradError, ShapeError
from tests.helpers import BINARY, OPS, mapped

ERRORS = [pytest.param(op, n, id=f"{op.name}-{n}") for op in OPS if op.errors for n in range(len(op.errors()))]
NEURAL = {
    "row_norm": "layer_norm", "column_norm": "batch_norm", "column_scale": "batch_norm",
    "table_rows": "embedding", "counted_dropout": "dropout", "class_cross_entropy": "cross_entropy",
    "headed_attention": "scaled_dot_product_attention",
}  # fmt: skip
NAME = {"matrix_product": "matmul", "contraction": "einsum", **NEURAL}  # the public functions behind which ops stand

# What every op can be given wrongly besides shapes that do not broadcast; the others take anything.
TAKES_ANYTHING = {op.name for op in OPS if op.broadcasts} | {
    "alias", "sum_to", "putitem", "recurrence", "ravel", "overlap_add", "outer", "kron",
}  # fmt: skip


@pytest.mark.parametrize("op, number", ERRORS)
@pytest.mark.parametrize("change", [lambda a: a, lambda a: Tensor(a) if a.dtype.kind == "f" else a], ids=["array", "Tensor"])
def test_error_samples_raise_and_explain(op, number, change):
    args, kwargs, exception, match = op.errors()[number]
    with pytest.raises(exception, match=match) as raised:
        op.function(*mapped(args, change), **kwargs)
    message = str(raised.value)
    assert NAME.get(op.name, op.name) in message
    assert "Received" in message
    assert raised.value.__cause__ is None, "an inner error is shown to the reader first"


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_op_that_can_refuse_says_how(op):
    assert op.errors or op.name in TAKES_ANYTHING


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.name)
def test_shapes_that_do_not_broadcast_are_named(op):
    with pytest.raises(ShapeError, match=rf"^{op.name}: axis -1 .*lengths 3 and 4.*x \(2, 3\).*y \(4,\)"):
        op.function(np.ones((2, 3)), np.ones(4))
    with pytest.raises(ShapeError, match=rf"^{op.name}: axis -2 .*lengths 2 and 5"):
        op.function(Tensor(np.ones((2, 3))), Tensor(np.ones((5, 1))))


def test_where_names_all_three_shapes():
    with pytest.raises(ShapeError, match=r"where.*\(2, 3\).*\(4,\).*\(3,\)"):
        mg.where(np.ones((2, 3), bool), np.ones(4), np.ones(3))


@pytest.mark.parametrize("call, exception, words", [
    (lambda t: t.backward(), GradientError, r"backward.*size 1.*\.sum\(\).*\(2, 3\)"),
    (lambda t: t.item(), ShapeError, r"item.*\(2, 3\)"),
    (lambda t: bool(t), ValueError, r"ambiguous.*\(2, 3\)"),
    (lambda t: t.__setitem__(0, 1.0), GradientError, r"immutable.*x\.at\[i\]\.set"),
    (lambda t: t.assign(np.ones(3)), ShapeError, r"assign.*\(2, 3\).*\(3,\)"),
    (lambda t: t[2], IndexError, r"getitem.*\(2, 3\)"),
    (lambda t: t[t], DtypeError, r"index.*integers"),
    (lambda t: t.reshape(5, -1), ShapeError, r"reshape.*6 elements"),
    (lambda t: t @ t, ShapeError, r"matmul.*3 columns.*2 rows.*\.mT"),
    (lambda t: t @ t[0, 0], ShapeError, r"matmul.*at least 1"),
    (lambda t: t @ 3, ShapeError, r"matmul.*at least 1.*y 3"),
    (lambda t: t.sum(axis=(0, -2)), ShapeError, r"sum: an axis is named twice.*\(0, -2\)"),
    (lambda t: t.var(axis=0, correction=2), ShapeError, r"var.*more than 2 elements"),
    (lambda t: mg.Dense(3)(5.0), ShapeError, r"Dense.*input with axes.*5\.0"),
    (lambda t: mg.Dense(3)(), ShapeError, r"Dense.*input with axes"),
    (lambda t: mg.Sequential([mg.relu]), TypeError, "Sequential.*takes layers.*relu"),
    (lambda t: t.sum(axis=7), ShapeError, r"sum: axis 7"),
    (lambda t: t.var(axis=7), ShapeError, r"axis 7"),
    (lambda t: np.linalg.eig(t), MinigradError, r"numpy\.linalg\.eig: not available.*\.numpy\(\)"),
    (lambda t: np.add.reduce(t), MinigradError, r"numpy\.add.*reduce"),
    (lambda t: np.exp(t, out=np.ones((2, 3))), MinigradError, r"numpy\.exp.*out"),
    (lambda t: Tensor("abc"), DtypeError, "numbers"),
    (lambda t: Tensor([None]), DtypeError, "numbers"),
    (lambda t: Tensor([1j]), DtypeError, "numbers"),
    (lambda t: Tensor([1, 2], requires_grad=True), DtypeError, r"floating.*astype"),
    (lambda t: len(t[0, 0]), TypeError, "no length"),
    (lambda t: iter(t[0, 0]), TypeError, "without axes"),
    (lambda t: mg.from_numpy([1.0]), TypeError, "list"),
    (lambda t: mg.one_hot(np.array([3]), 3), IndexError, r"one_hot.*\[0\] is 3, outside 0 to 2"),
    (lambda t: mg.grad(lambda x: x * 2)(t), GradientError, "grad.*size 1"),
    (lambda t: mg.use_kernels("cuda"), ValueError, "numba.*reference.*cuda"),
    (lambda t: mg.use_threads(0), ValueError, "whole number"),
    (lambda t: mg.use_default_dtype("int32"), TypeError, "float32 or float64"),
])  # fmt: skip
def test_messages_say_what_to_do(call, exception, words):
    t = Tensor(np.ones((2, 3)), requires_grad=True)
    with pytest.raises(exception, match=words):
        call(t)


def test_a_list_that_is_no_array_is_our_error():
    with pytest.raises(ShapeError, match="equal lengths"):
        Tensor([[1.0, 2.0], [3.0]])


@pytest.mark.parametrize("call, exception, words", [
    (lambda t: t * 1j, DtypeError, r"^multiply: .*x \(2, 3\) float64, y 1j"),
    (lambda t: t * np.ones(3, complex), DtypeError, r"^multiply: .*y \(3,\) complex128"),
    (lambda t: t * np.array([1, None, 2], object), DtypeError, r"^multiply: .*y \(3,\) object"),
    (lambda t: t + "a", DtypeError, r"^add: .*y 'a'"),
    (lambda t: t.astype(complex), DtypeError, r"^astype: .*complex"),
    (lambda t: mg.concatenate([t, np.ones((2, 3), complex)]), TypeError, r"^concatenate: .*\(2, 3\) complex128"),
    (lambda t: t.sum(keepdims="yes"), TypeError, r"^sum: .*x \(2, 3\) float64, .*keepdims 'yes'"),
    (lambda t: t.at[0].set(1j), TypeError, r"^set_at: .*x \(2, 3\) float64, values 1j"),
    (lambda t: mg.linear(1.0, t), TypeError, r"^linear: .*x 1\.0, w \(2, 3\)"),
    (lambda t: mg.celu(t, (0.1, 0.2)), ValueError, r"^celu: .*x \(2, 3\) float64, alpha \(0\.1, 0\.2\)"),
    (lambda t: mg.diagonal(t, None), TypeError, r"^diagonal: .*x \(2, 3\) float64, offset None"),
    (lambda t: mg.tensor(np.array([1], np.int8)).at[0].set(300), ValueError, r"^set_at: .*300.*x \(1,\) int8"),
    (lambda t: Tensor([2**40], dtype="int32"), DtypeError, r"^tensor: .*\[1099511627776\], dtype int32"),
    (lambda t: Tensor([1.0], dtype="float33"), DtypeError, r"^tensor: .*dtype float33"),
])  # fmt: skip
def test_no_error_of_numpy_reaches_the_caller_as_it_is(call, exception, words):
    with pytest.raises(exception, match=words):
        call(Tensor(np.ones((2, 3)), requires_grad=True))


def test_an_error_that_nobody_foresaw_shows_where_it_came_from():
    with pytest.raises(TypeError) as raised:
        mg.chunk(Tensor([1.0, 2.0]), "two")
    assert any(str(entry.path).endswith("joining.py") for entry in raised.traceback)


def test_the_errors_of_other_peoples_ops_are_theirs():
    @op
    def refusing(x, /):
        raise ValueError("mine")

    try:
        with pytest.raises(ValueError, match="^mine$"):
            refusing(Tensor([1.0]))
    finally:
        del REGISTRY["refusing"]


@pytest.mark.parametrize("make, error, words", [
    (lambda: mg.full((2, 3), np.arange(2.0)), ShapeError, "full: the value does not fit the shape"),
    (lambda: mg.full_like([1.0], 1, dtype=object), DtypeError, "full_like: elements must be numbers"),
    (lambda: mg.arange(3, dtype=complex), DtypeError, "arange: elements must be numbers"),
    (lambda: mg.linspace(0, 1, 3, dtype=complex), DtypeError, "linspace: elements must be numbers"),
    (lambda: mg.eye(2, dtype=complex), DtypeError, "eye: elements must be numbers"),
    (lambda: mg.eye(2, -1), ShapeError, "eye: a shape is made of whole numbers"), (lambda: mg.tri(2.5), ShapeError, "tri: a shape"),
    (lambda: mg.one_hot([0], -1), ShapeError, "one_hot: a shape is made of whole numbers"),
    (lambda: mg.rand(2, dtype=int), DtypeError, "rand: elements must be floating"),
    (lambda: mg.randn(2, dtype=int), DtypeError, "randn: elements must be floating"),
    (lambda: mg.randn(2, generator=0), TypeError, "randn: generator is a minigrad.Generator"),
    (lambda: mg.randint(0, 3, (2,), generator=np.random.default_rng(0)), TypeError, "randint: generator is a minigrad.Generator"),
])  # fmt: skip
def test_what_cannot_be_made_says_so(make, error, words):
    with pytest.raises(error, match=words):
        make()

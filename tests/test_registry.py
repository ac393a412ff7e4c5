"""Every op's declaration says what users, tests and documentation need."""

import doctest
import re

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import REGISTRY, Op, Tensor
from minigrad.kernels import reference as kernels_reference
from tests.helpers import OPS, is_float, outputs, samples

ops = pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)

# Ops that need neither a reference nor a NumPy function nor a composite, and why.
OWN_REFERENCE = {
    "alias": "the identity",
    "sum_to": "the adjoint of broadcast_to: test_op_values adds up by loops",
    "astype": "NumPy's own method",
    "getitem": "NumPy's own indexing",
    "putitem": "the adjoint of getitem: test_op_values adds up by loops",
    "digamma": "scipy's, in test_op_values", "polygamma": "scipy's, in test_op_values",
}
INTERNAL = {"alias"}  # used by the engine alone: no samples, no example

# Ops without a strided or without an empty sample, and why there can be none.
NO_STRIDED = {
    "expand_dims": "a view whatever the strides", "squeeze": "a view whatever the strides", "putitem": "copies by index",
    "astype": "NumPy copies",
}  # fmt: skip
NO_SMALL = {
    "swapaxes": "needs two axes", "putitem": "adds what is there",
}  # fmt: skip

# Ops whose result is floating and yet a constant, and why.
WITHOUT_GRADIENT = {}


@ops
def test_first_line_of_the_docstring_ends_with_shapes(op):
    first = op.function.__doc__.splitlines()[0]
    assert re.search(r"\.   .*\S", first), first
    assert "->" in op.function.__doc__, "no shapes"


@ops
def test_docstring_has_an_example_that_is_executed(op):
    if op.name in INTERNAL:
        return
    examples = doctest.DocTestParser().get_examples(op.function.__doc__)
    assert any(op.name in example.source for example in examples)
    assert any(example.want for example in examples), "an example that shows nothing cannot fail"
    names = {**vars(mg), **{o.name: o.function for o in OPS}, "np": np}
    test = doctest.DocTestParser().get_doctest(op.function.__doc__, names, op.name, None, 0)
    results = doctest.DocTestRunner(verbose=False).run(test)
    assert results.failed == 0


@ops
def test_at_least_three_samples_one_strided_one_empty_or_without_axes(op):
    if op.name in INTERNAL:
        return
    found = samples(op)
    assert len(found) >= 3
    arrays = [a for s in found for arg in s.args for a in (arg if isinstance(arg, list) else [arg]) if isinstance(a, np.ndarray)]
    arrays += [np.asarray(a) for s in found for a in s.args if isinstance(a, np.generic | float)]
    assert any(not a.flags.c_contiguous for a in arrays) or op.name in NO_STRIDED
    assert any(a.size == 0 or a.ndim == 0 for a in arrays) or op.name in NO_SMALL


@ops
def test_samples_have_axes_of_different_lengths(op):
    """Else a transposed axis would be a coincidence; only broadcasting, pairs and square matrices make lengths equal."""
    for sample in samples(op):
        for a in sample.args:
            if is_float(a) and np.ndim(a) > 1 and "causal" not in sample.note and "square" not in sample.note:
                lengths = [n for n in a.shape if n > 1]
                assert len(set(lengths)) == len(lengths), f"{op.name}: {a.shape}"


@ops
def test_has_something_to_be_compared_with(op):
    assert op.reference or op.numpy or op.composite or op.name in OWN_REFERENCE


@ops
def test_without_a_rule_nothing_floating_comes_out(op):
    """An op without a rule detaches; it may do so only where no gradient could flow anyway."""
    if not op.has_gradient:
        for sample in samples(op):
            result = op.function(*[Tensor(a, requires_grad=True) if is_float(a) else a for a in sample.args], **sample.kwargs)
            for out in outputs(result):
                assert out.dtype.kind in "biu" or op.name in WITHOUT_GRADIENT
                assert not (isinstance(out, Tensor) and out.requires_grad)


def test_only_ops_with_a_composite_save():
    """What a rule saves would make a second derivative silently wrong, were there no composite to differentiate instead."""
    assert [op.name for op in OPS if op.saves and op.composite is None] == []


def test_no_two_declarations_share_a_name():
    """The registry is keyed by name: the later of two would silently replace the earlier one."""
    import ast
    import pathlib

    names = []
    for path in sorted(pathlib.Path(mg.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                made_by = [d.func.id for d in node.decorator_list if isinstance(d, ast.Call) and isinstance(d.func, ast.Name)]
                if {"op", "elementwise"} & set(made_by):
                    names.append(node.name)
    assert len(names) > 30
    assert sorted(names) == sorted(set(names))
    assert set(names) <= set(REGISTRY)


def test_no_two_ops_stand_for_one_numpy_function():
    functions = [op.numpy for op in OPS if op.numpy is not None]
    assert len(set(functions)) == len(functions)


@ops
def test_linear_inputs_exist_and_have_a_gradient(op):
    assert all(0 <= i < max(1, len(op.arrays)) for i in op.linear)
    assert not op.linear or op.has_gradient


def test_synonyms_cost_no_meaning():
    x = np.arange(6.0).reshape(2, 3)
    assert np.array_equal(mg.sum(x, dim=1, keepdim=True), x.sum(axis=1, keepdims=True))
    assert np.array_equal(mg.sum(input=x, dim=0), x.sum(axis=0))


@pytest.mark.parametrize("call, words", [
    (lambda: mg.sum(), "sum: missing x"),
    (lambda: mg.sum(np.ones(2), 0, False, 1), "sum: too many"),
    (lambda: mg.sum(np.ones(2), axes=0), "sum: no argument called 'axes'"),
    (lambda: mg.reshape(np.ones(2)), "reshape: missing shape"),
    (lambda: mg.cross_entropy(np.ones((2, 3))), "cross_entropy: missing targets"),
    (lambda: mg.cross_entropy(np.ones((2, 3)), None), "cross_entropy: missing targets"),
    (lambda: mg.linear(None, np.ones((3, 2))), "linear: missing x"),
    (lambda: mg.concatenate(np.ones(2)), "concatenate: takes a list"),
])  # fmt: skip
def test_calls_that_do_not_fit_the_signature_say_so(call, words):
    with pytest.raises(TypeError, match=words):
        call()


def test_calls_without_their_optional_arrays_need_no_sorting(monkeypatch):
    x, targets, w = np.arange(6.0).reshape(2, 3), np.array([2, 0]), np.arange(12.0).reshape(3, 4)
    calls = [lambda: mg.cross_entropy(x, targets), lambda: mg.linear(x, w), lambda: mg.layer_norm(x), lambda: mg.layer_norm(x, w[:, 1])]
    expected = [mg.cross_entropy(x, targets, weight=None), mg.linear(x, w, None), mg.layer_norm(x, bias=None),
                mg.layer_norm(x, weight=w[:, 1])]  # fmt: skip
    monkeypatch.setattr(Op, "bind", lambda self, *call: pytest.fail(f"{self.name} sorted its arguments"))
    for call, result in zip(calls, expected):
        assert np.array_equal(call(), result)


def test_the_reference_kernels_know_no_tensor():
    assert not any(isinstance(value, type) and issubclass(value, Tensor) for value in vars(kernels_reference).values())

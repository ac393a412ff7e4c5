"""How a Tensor behaves among NumPy arrays and Python's own protocols; and that nothing leaves the graph in silence."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import protocols
from minigrad.core import Tensor
from minigrad.errors import GradientError, MinigradError, ShapeError
from tests.helpers import OPS, assert_close, is_float, outputs, samples

FOR_NUMPY = [op for op in OPS if op.numpy is not None]
X = np.random.default_rng(7).uniform(0.5, 2.0, (2, 3))


@pytest.mark.parametrize("op", FOR_NUMPY, ids=lambda op: op.name)
def test_numpy_functions_of_a_tensor_are_ours(op):
    """np.f(tensor) records, and equals np.f(array)."""
    sample = samples(op)[0]
    args = [np.asarray(a) if isinstance(a, np.generic) else a for a in sample.args]
    expected = op.numpy(*args, **sample.kwargs)
    floating = any(is_float(b) for a in args for b in (a if isinstance(a, list) else [a]))

    def tensor(a):
        return Tensor(a, requires_grad=is_float(a)) if is_float(a) or (isinstance(a, np.ndarray) and not floating) else a

    tensors = [[tensor(b) for b in a] if isinstance(a, list) else tensor(a) for a in args]
    found = op.numpy(*tensors, **sample.kwargs)
    assert len(outputs(found)) == len(expected) if isinstance(expected, tuple | list) else not isinstance(found, tuple)
    for out, value in zip(outputs(found), expected if isinstance(expected, tuple | list) else (expected,)):
        assert type(out) is Tensor
        assert out.requires_grad == (op.has_gradient and value.dtype.kind == "f")
        assert_close(out.numpy(), value, 1e-14)


def test_numpy_matmul_and_operators_from_the_left():
    t = Tensor(X, requires_grad=True)
    for out, expected in [
        (np.matmul(X.T, t), X.T @ X), (X.T @ t, X.T @ X), (X + t, 2 * X), (X - t, 0 * X), (X * t, X * X), (X / t, X / X),
        (X**t, X**X), (np.float64(2) * t, 2 * X), (2 * t, 2 * X), (2 - t, 2 - X), (2 / t, 2 / X), (2**t, 2**X), (t**2, X**2),
        (-t, -X), (+t, X), (abs(-t), X), (np.float32(2) - t, 2 - X),
    ]:  # fmt: skip
        assert type(out) is Tensor and out.requires_grad and out.dtype == np.float64
        assert_close(out.numpy(), expected, 1e-14)


@pytest.mark.parametrize("make", [lambda t: np.float64(0.5) * t, lambda t: t + np.float64(0.5), lambda t: np.multiply(np.float64(2), t),
                                  lambda t: t * 2, lambda t: t * np.int64(2), lambda t: np.int64(2) * t])  # fmt: skip
def test_numpy_scalars_do_not_widen_a_float32_tensor(make):
    assert make(Tensor(X, dtype="float32")).dtype == np.float32


def test_numpy_may_ask_for_shape_and_size():
    t = Tensor(X, requires_grad=True)
    assert (np.shape(t), np.ndim(t), np.size(t)) == ((2, 3), 2, 6)


def test_comparisons_give_boolean_tensors():
    t = Tensor(X)
    for out, expected in [(t > 1, X > 1), (t >= X, X >= X), (1 < t, X > 1), (t == t, X == X), (t != X, X != X), (X <= t, X <= X)]:
        assert type(out) is Tensor and out.dtype == bool
        assert np.array_equal(out.numpy(), expected)


@pytest.mark.parametrize("call, words", [
    (lambda t: np.cov(t), r"^numpy\.cov: not available for a Tensor\. The nearest that is: numpy\.\w+\."),
    (lambda t: np.nancumsum(t), r"^numpy\.nancumsum: .*nearest that is: numpy\.nansum\."),
    (lambda t: np.linalg.eigvalsh(t), r"^numpy\.linalg\.eigvalsh: .*nearest that is: numpy\.linalg\.eigh\."),
    (lambda t: np.add.reduce(t), r"^numpy\.add\.reduce: .*Use numpy\.sum or minigrad\.sum"),
    (lambda t: np.add.accumulate(t), r"^numpy\.add\.accumulate: .*Use numpy\.cumsum or minigrad\.cumsum"),
    (lambda t: np.exp.at(t, [0]), r"^numpy\.exp\.at: .*plain call numpy\.exp"),
    (lambda t: np.add(t, t, where=X > 1), r"^numpy\.add with where="),
    (lambda t: np.exp(t, dtype="float32"), r"^numpy\.exp with dtype="),
    (lambda t: X.copy().__iadd__(t), r"^numpy\.add with out="),
    (lambda t: np.sinc(t), r"^numpy\.sinc: .*nearest that is: numpy\.sin\."),
])  # fmt: skip
def test_what_numpy_has_and_we_do_not_says_what_to_do(call, words):
    with pytest.raises(MinigradError, match=words):
        call(Tensor(X))


def test_every_replacement_for_a_ufunc_method_exists():
    for name in protocols._FOR_UFUNC_METHODS.values():
        assert callable(getattr(np, name, getattr(mg, name))) and callable(getattr(mg, name))


def test_numpy_functions_that_several_of_ours_share():
    t = Tensor(X, requires_grad=True)
    assert np.amax(t).item() == X.max() and np.amin(t, axis=0).shape == (3,)
    assert np.array_equal(np.sort(t).numpy(), np.sort(X)) and np.sort(t).requires_grad
    assert np.einsum("ij,kj->ik", t, X).requires_grad and np.copy(t).requires_grad
    assert np.result_type(t, np.float32(1)) == np.float64
    assert np.allclose(t, X) is True and np.array_equal(t, X + 1) is False


def test_asarray_does_not_detach_in_silence():
    t = Tensor(X, requires_grad=True)
    for call in (lambda: np.asarray(t), lambda: np.array(t * 2), lambda: np.array([t[0, 0], t[0, 1]])):
        with pytest.raises(GradientError, match="detach"):
            call()
    with mg.no_grad():
        assert np.array_equal(np.asarray(t), X)
    assert np.array_equal(np.asarray(t.detach()), X)
    assert np.asarray(Tensor(X), dtype=np.float32).dtype == np.float32
    copied = np.array(Tensor(X), copy=True)
    copied[0, 0] = 7.0  # a copy is the user's own


def test_asarray_shares_and_cannot_be_written():
    t = Tensor(X)
    view = np.asarray(t)
    assert np.shares_memory(view, t.numpy())
    with pytest.raises(ValueError, match="read-only"):
        view[0, 0] = 7.0


def test_length_iteration_truth_and_numbers():
    t = Tensor(X, requires_grad=True)
    assert len(t) == 2 and [row.shape for row in t] == [(3,), (3,)]
    assert bool(t[0, 0] > 0) and not Tensor(0.0)
    assert float(t[0, 0]) == X[0, 0] and int(Tensor(3)) == 3 and [10, 20, 30][Tensor(1)] == 20
    assert t.tolist() == X.tolist() and t[1, 2].item() == X[1, 2]
    rows = list(t)
    (rows[0] * rows[1]).sum().backward()
    assert_close(t.grad.numpy(), X[::-1], 1e-15)
    assert len({t, t, Tensor(X)}) == 2  # by identity
    with pytest.raises(TypeError):
        [1, 2][Tensor(1.0)]


@pytest.mark.parametrize("index", [
    1, -1, slice(None, None, -1), (0, slice(1, 3)), (Ellipsis, 0), None, (slice(None), None, 2), np.array([1, 0, 1]), [0, 1],
    (np.array([0, 1]), np.array([2, 0])), np.array([[True, False, True], [False, True, False]]),
    (slice(None), np.array([True, False, True])), Tensor([1, 0]), (Tensor([1, 0]), slice(0, 2)), np.int64(1),
    (np.array([[0], [1]]), np.array([0, 2])), (), True,
], ids=repr)  # fmt: skip
def test_indexing_in_all_of_numpys_forms(index):
    plain = mg.ops.plain_index(index)
    t = Tensor(X, requires_grad=True)
    out = t[index]
    assert np.array_equal(out.numpy(), X[plain])
    weights = np.random.default_rng(0).standard_normal(out.shape)
    out.backward(weights)
    expected = np.zeros_like(X)
    np.add.at(expected, plain, weights)
    assert_close(t.grad.numpy(), expected, 1e-15)


def test_methods_carry_the_names_people_type():
    t = Tensor(X, requires_grad=True)
    assert t.view(3, 2).shape == t.reshape((3, 2)).shape == t.reshape(3, -1).shape == (3, 2)
    assert t.T.shape == t.mT.shape == t.transpose(0, 1).shape == t.permute(1, 0).shape == t.permute((1, 0)).shape == (3, 2)
    assert t.transpose().shape == (3, 2) and t.unsqueeze(0).shape == (1, 2, 3)
    assert_close(t.sum(dim=0, keepdim=True).numpy(), X.sum(0, keepdims=True), 1e-15)
    assert_close(t.var(axis=1, correction=1).numpy(), X.var(1, ddof=1), 1e-14)
    assert_close(t.mean().numpy(), X.mean(), 1e-15)
    assert_close(t.logsumexp(-1).numpy(), np.log(np.exp(X).sum(-1)), 1e-14)
    assert t.float().dtype == np.float32 and t.float().double().dtype == np.float64 and t.to("float32").dtype == np.float32
    t.clone().sum().backward()
    assert t.grad.tolist() == np.ones((2, 3)).tolist()
    t.zero_grad()
    assert t.grad is None


def test_casting_back_and_forth_keeps_the_gradient():
    t = Tensor(X, requires_grad=True)
    (t.float() * 2).double().sum().backward()
    assert t.grad.dtype == np.float64 and t.grad.tolist() == (2 * np.ones((2, 3))).tolist()


def test_creation():
    assert mg.zeros(2, 3).shape == mg.zeros((2, 3)).shape == mg.ones([2, 3]).shape == (2, 3)
    assert mg.full((2,), 7.0).tolist() == [7, 7] and mg.full((2,), 7).dtype == np.int64
    assert mg.arange(3).dtype == np.int64 and mg.arange(0.0, 1.0, 0.25).tolist() == [0, 0.25, 0.5, 0.75]
    assert mg.zeros_like(Tensor(X)).dtype == np.float64 and mg.ones_like(X).shape == (2, 3)
    assert mg.one_hot([1, 0], 3).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert mg.zeros(2, requires_grad=True).requires_grad
    for made in (mg.zeros(2), mg.full((2,), 7.0), mg.arange(2.0), mg.tensor([1.0])):
        assert made.dtype == np.float32


def test_creation_does_not_detach_in_silence():
    t = Tensor(X, requires_grad=True)
    assert mg.asarray(t) is t and mg.asarray(t, copy=True).requires_grad and mg.asarray(t, dtype="float32").requires_grad
    with pytest.raises(GradientError, match="detach"):
        mg.full((2, 3), t)
    assert mg.full((2, 3), t.detach()).tolist() == X.tolist()


def test_random_integers_with_one_bound():
    for made in (mg.randint(3, (200,)), mg.randint(0, 3, (200,))):
        assert made.shape == (200,) and set(made.tolist()) == {0, 1, 2}
    assert mg.randint(1).item() == 0
    with pytest.raises(ValueError, match="randint: high must be above low.*low 0, high 0"):
        mg.randint(0, (3,))


def test_mixed_lists_of_tensors_and_numbers():
    assert Tensor([Tensor(1.0), 2.0]).tolist() == [1, 2]


@pytest.mark.parametrize("call", [
    lambda x: np.argsort(x, 0, "stable"), lambda x: np.nan_to_num(x, False), lambda x: np.cross(x, x[::-1], 0, 0, 0),
    lambda x: np.sum(x, 0, np.float32), lambda x: np.linalg.svd(x[:2]),
])  # fmt: skip
def test_arguments_by_place_are_numpys_or_refused(call):
    """Where NumPy's order of arguments is not ours, nothing is taken for something else."""
    with pytest.raises((TypeError, ShapeError), match="no argument called|full_matrices=False"):
        call(Tensor(np.arange(9.0).reshape(3, 3)))


@pytest.mark.parametrize("call", [
    lambda x: np.sum(x, 0, None, None, True), lambda x: np.std(x, 1, None, None, 1), lambda x: np.all(x, 0, None),
    lambda x: np.sum(a=x), lambda x: np.clip(a=x, a_min=1.0, a_max=2.0), lambda x: np.reshape(x, (1, 9), order="C"),
    lambda x: np.nan_to_num(x, True, 1.0), lambda x: np.take(x, [0, 1], 0, None, "raise"), lambda x: np.around(x, 1),
    lambda x: np.linalg.svd(x, compute_uv=True)[1] if isinstance(x, np.ndarray) else np.linalg.svd(x, False)[1],
])  # fmt: skip
def test_what_numpy_does_anyway_may_be_said(call):
    array = np.arange(9.0).reshape(3, 3) + np.eye(3)
    np.testing.assert_allclose(call(Tensor(array)).numpy(), call(array), rtol=1e-12, atol=1e-12)

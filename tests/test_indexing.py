"""x[index] and x.at[index] in all their forms against NumPy, ops by places and masks against PyTorch, and what they refuse."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.core import Tensor
from minigrad.errors import DtypeError, ShapeError
from tests.helpers import assert_close

X = np.random.default_rng(4).standard_normal((2, 3, 4))


# ------------------------------------------------------------------------------------------- random indices of all kinds


@st.composite
def shapes_and_indices(draw):
    """A shape, and an index for it: basic, boolean, of integers, or a mixture with new axes and an ellipsis."""
    shape = draw(arrays.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    kind = draw(st.sampled_from(["basic", "boolean", "integers", "mixed"]))
    if kind == "basic":
        return shape, draw(arrays.basic_indices(shape, allow_newaxis=True))
    if kind == "boolean":
        axes = draw(st.integers(1, len(shape)))
        return shape, draw(arrays.arrays(bool, shape[:axes]))
    if kind == "integers":
        places = draw(
            arrays.integer_array_indices(shape, result_shape=arrays.array_shapes(max_dims=2, min_side=0, max_side=4))
        )
        return shape, places
    together = draw(st.sampled_from([(), (1,), (3,), (2, 1), (2, 3)]))
    index, left = [], list(shape)
    mask = draw(st.integers(0, len(shape))) if together == () else None  # where one comes: two would have to broadcast
    while left and draw(st.booleans() | st.just(True)):
        n = left.pop(0)
        index += [None] * draw(st.integers(0, 1))
        places = arrays.arrays(
            np.int64, draw(st.sampled_from([together, (1,) * len(together)])), elements=st.integers(-n, n - 1)
        )
        if mask == len(left):
            index.append(draw(arrays.arrays(bool, (n,))))
        else:
            index.append(draw(st.slices(n) | st.integers(-n, n - 1) | places))
    if draw(st.booleans()):
        index.insert(draw(st.integers(0, len(index))), Ellipsis)
    return shape, tuple(index)


def numbers(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@given(shapes_and_indices())
def test_values_are_numpys_and_gradients_add_up_like_add_at(case):
    shape, index = case
    x = numbers(shape)
    t = Tensor(x, requires_grad=True)
    out = t[index]
    assert np.array_equal(out.numpy(), x[index])
    weights = numbers(out.shape, 1)
    out.backward(weights)
    expected = np.zeros(shape)
    np.add.at(expected, index, weights)
    assert_close(t.grad.numpy(), expected, 1e-14)


@given(shapes_and_indices(), st.sampled_from([(), "last", "whole"]))
def test_changes_at_places_are_numpys_and_have_the_gradients_of_their_loops(case, how):
    shape, index = case
    x, row = numbers(shape), np.arange(np.prod(shape)).reshape(shape)[index]
    v = numbers({(): (), "last": row.shape[-1:], "whole": row.shape}[how], 2)
    weights, spread = numbers(shape, 3), np.broadcast_to(v, row.shape)
    added, multiplied, last = x.copy(), x.copy(), x.copy()
    np.add.at(added, index, v)
    np.multiply.at(multiplied, index, v)
    who = np.full(x.size, -1)  # which of the values stays
    for number, place in enumerate(row.flat):
        last.flat[place], who[place] = spread.flat[number], number

    def changed(method):
        t, values = Tensor(x, requires_grad=True), Tensor(v, requires_grad=True)
        out = getattr(t.at[index], method)(values)
        out.backward(weights)
        return out.numpy(), t.grad.numpy(), values.grad.numpy()

    def summed(per_value):
        """Gradients per element of x[index], for the values as they were before they were broadcast."""
        total = np.zeros(v.shape)
        for place in np.ndindex(row.shape):
            total[place[len(place) - v.ndim :]] += per_value[place]
        return total

    stays = who[row] == np.arange(row.size).reshape(row.shape)
    out, dx, dv = changed("set")
    assert np.array_equal(out, last)
    assert np.array_equal(dx, weights * (who < 0).reshape(shape))
    assert_close(dv, summed(weights.flat[row] * stays if row.size else row), 1e-13)
    out, dx, dv = changed("add")
    assert_close(out, added, 1e-14)
    assert np.array_equal(dx, weights)
    assert_close(dv, summed(weights[index]), 1e-13)
    out, dx, dv = changed("multiply")
    assert_close(out, multiplied, 1e-14)
    factors = np.ones(shape)
    np.multiply.at(factors, index, v)
    assert_close(dx, weights * factors, 1e-13)
    assert_close(dv, summed(np.array((weights * x * factors)[index]) / spread), 1e-10)


# --------------------------------------------------------------------------------------------------------------- x.at[i]


def test_at_leaves_the_tensor_alone_and_takes_what_people_write():
    x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.at[0, 1].set(9).tolist() == [[1, 9], [3, 4]]
    assert x.at[:, 0].add([10.0, 20.0]).tolist() == [[11, 2], [23, 4]]
    assert x.at[x > 2].multiply(-1.0).tolist() == [[1, 2], [-3, -4]]
    assert x.at[Tensor([1, 0])].set(x).tolist() == [[3, 4], [1, 2]]
    assert x.at[[0, 0]].add(1.0).tolist() == [[3, 4], [3, 4]]
    assert x.at[...].set(0.0).tolist() == x.at.set(0.0).tolist() == [[0, 0], [0, 0]]
    assert x.tolist() == [[1, 2], [3, 4]]
    assert "(2, 2)" in repr(x.at[0])


def test_of_places_named_twice_the_last_one_is_set_and_gets_the_gradient():
    x, v = Tensor([1.0, 2.0, 3.0], requires_grad=True), Tensor([10.0, 20.0, 30.0, 40.0], requires_grad=True)
    out = x.at[[2, 0, 2, 0]].set(v)
    assert out.tolist() == [40, 2, 30]
    out.backward([1.0, 2.0, 3.0])
    assert x.grad.tolist() == [0, 2, 0] and v.grad.tolist() == [0, 0, 3, 1]


def test_the_last_one_in_reading_order_is_set_whatever_the_strides(rng):
    row, v = rng.integers(0, 3, (40, 50)), rng.standard_normal((40, 50))
    expected = np.zeros((3, 2))
    for place in np.ndindex(40, 50):
        expected[row[place]] = v[place]
    for a, b in [(row, v), (np.asfortranarray(row), np.asfortranarray(v)), (row.T.copy().T, v)]:
        out = mg.ops.places.set_at(np.zeros((3, 2)), b[..., None], np.asarray(a))
        assert np.array_equal(out, expected)


def test_multiply_has_the_right_gradient_where_factors_are_zero():
    x, v = Tensor([5.0, 7.0], requires_grad=True), Tensor([0.0, 2.0, 3.0, 4.0], requires_grad=True)
    out = x.at[[0, 0, 0, 1]].multiply(v)
    out.sum().backward()
    assert out.tolist() == [0, 28]
    assert x.grad.tolist() == [0, 4] and v.grad.tolist() == [30, 0, 0, 7]


def test_infinite_values_that_do_not_stay_leave_nothing_behind():
    x = Tensor([1.0, np.inf], requires_grad=True)
    v = Tensor([np.nan, 2.0], requires_grad=True)
    out = x.at[[1, 1]].set(v)
    assert out.tolist() == [1, 2]
    out.backward([np.inf, 3.0])
    assert x.grad.tolist() == [np.inf, 0] and v.grad.tolist() == [0, 3]


def test_changes_keep_the_dtype_of_the_tensor_and_refuse_what_does_not_fit():
    single, whole = Tensor(np.ones(3, np.float32)), Tensor([1, 2, 3])
    for method in ("set", "add", "multiply"):
        assert getattr(single.at[0], method)(np.float64(2)).dtype == np.float32
        assert getattr(single.at[0], method)(np.ones(()) / 3).dtype == np.float32
        assert getattr(single.at[[0, 0]], method)(np.ones(2)).dtype == np.float32
        assert getattr(whole.at[0], method)(2).dtype == np.int64
        with pytest.raises(DtypeError, match="convert it first"):
            getattr(whole.at[0], method)(0.5)
    v = Tensor(np.ones(2), requires_grad=True)
    single.at[1:].set(v).sum().backward()
    assert v.grad.dtype == np.float64
    assert Tensor(np.ones(2)).at[0].set(0.1).tolist()[0] == Tensor(np.ones(2)).at[[0]].multiply(0.1).tolist()[0] == 0.1


def test_assignment_names_the_functional_form():
    with pytest.raises(mg.errors.GradientError, match=r"x = x\.at\[i\]\.set\(value\)"):
        Tensor([1.0])[0] = 2.0


# -------------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("index, words", [
    ((slice(None), np.array([[0, 1], [5, 9]])), r"element \[1, 0\] of the index for axis 1 is 5, outside -3 to 2"),
    ((Ellipsis, [0, -5]), r"element \[1\] of the index for axis 2 is -5, outside -4 to 3"),
    ((None, 0, [0, 3]), r"element \[1\] of the index for axis 1 is 3"),
    ((True, 0, [0, 9]), r"element \[1\] of the index for axis 1 is 9"),
    ((np.ones((2, 3), bool), [0, 0, 0, 0, 0, 7]), r"element \[5\] of the index for axis 2 is 7"),
    (2, "index 2 is out of bounds for axis 0"), ((0, 0, 0, 0), "too many indices"), ("name", "only integers"),
    (np.ones((3, 2), bool), "boolean index did not match"), (([0, 1], [0, 1, 2]), "could not be broadcast"),
    (slice("a", None), "slice indices must be integers"), (np.array([0.5]), "integer"), ([[0], [0, 1]], "sequence"),
])  # fmt: skip
def test_an_index_that_does_not_fit_is_explained(index, words):
    for call in (lambda: Tensor(X)[index], lambda: Tensor(X).at[index].add(1.0), lambda: mg.ops.getitem(X, index)):
        with pytest.raises(IndexError, match=words) as raised:
            call()
        assert "(2, 3, 4)" in str(raised.value)
    with pytest.raises(DtypeError, match="integers or booleans"):
        Tensor(X)[Tensor([0.5])]


def test_pytorchs_functions_refuse_negative_places_and_numpys_count_from_the_end():
    assert np.array_equal(mg.take(X, [-1], 2), X[:, :, -1:])
    assert np.array_equal(mg.take_along_axis(X, np.full((2, 3, 1), -1)), X[:, :, -1:])
    for call in (
        lambda: mg.gather(X, 2, np.full((2, 3, 1), -1)), lambda: mg.index_select(X, 2, [-1]),
        lambda: mg.scatter(X, 2, np.full((2, 3, 1), -1), 0.0), lambda: mg.index_add(X, 2, [-1], np.ones((2, 3, 1))),
    ):  # fmt: skip
        with pytest.raises(IndexError, match="is -1, outside 0 to 3"):
            call()


def test_masked_fill_takes_numbers_and_tensors_with_a_gradient_and_keeps_the_dtype():
    x = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    value = Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    mask = Tensor([[True, False, True], [False, False, True]])
    out = x.masked_fill(mask, value)
    assert out.dtype == np.float32 and out.tolist() == [[1, 1, 3], [1, 1, 3]]
    out.sum().backward()
    assert (
        x.grad.tolist() == [[0, 1, 0], [1, 1, 0]]
        and value.grad.tolist() == [1, 0, 2]
        and value.grad.dtype == np.float64
    )
    assert x.masked_fill(mask, -np.inf).dtype == np.float32
    assert x.masked_select(mask).shape == (3,) and x.masked_select(mask).requires_grad
    with pytest.raises(DtypeError, match="mask != 0"):
        x.masked_fill([1, 0, 1], 0.0)
    with pytest.raises(ShapeError, match="masked_select"):
        x.masked_select([True, False])


def test_places_may_be_tensors_lists_or_numbers():
    x = Tensor(X, requires_grad=True)
    for indices in (Tensor([2, 0]), [2, 0], np.array([2, 0]), (2, 0)):
        assert np.array_equal(x.take(indices, axis=1).numpy(), X[:, [2, 0]])
        assert np.array_equal(mg.index_select(x, 1, indices).numpy(), X[:, [2, 0]])
    assert np.array_equal(mg.take(x, 1, dim=1).numpy(), X[:, 1])
    assert x.gather(dim=1, index=Tensor([[[1, 0, 2]]])).tolist() == [[[X[0, 1, 0], X[0, 0, 1], X[0, 2, 2]]]]
    assert x[[Tensor(1), Tensor(0)]].shape == x.detach()[[Tensor(1), 0]].shape == (2, 3, 4)


# --------------------------------------------------------------------------------------------------------- beside PyTorch

INDEX = np.random.default_rng(5).integers(0, 3, (2, 4, 3))
ROW = np.array([2, 0, 2, 1, 2])
MASK = np.random.default_rng(6).random((3, 4)) < 0.5
V = np.random.default_rng(7).standard_normal((2, 5, 4))
TABLE = {
    "gather": (lambda m, x, v: m.gather(x, 1, INDEX), lambda t, x, v: t.gather(x, 1, t.tensor(INDEX))),
    "gather shorter": (lambda m, x, v: m.gather(x, 2, INDEX[:1, :2]), lambda t, x, v: t.gather(x, 2, t.tensor(INDEX[:1, :2]))),
    "scatter": (lambda m, x, v: m.scatter(x, 1, INDEX[:, :1], v), lambda t, x, v: t.scatter(x, 1, t.tensor(INDEX[:, :1]), v[:, :1, :3])),
    "scatter a number": (lambda m, x, v: m.scatter(x, 1, INDEX, 2.5), lambda t, x, v: t.scatter(x, 1, t.tensor(INDEX), 2.5)),
    "scatter_add": (lambda m, x, v: m.scatter_add(x, 1, INDEX, v), lambda t, x, v: t.scatter_add(x, 1, t.tensor(INDEX), v[:, :4, :3])),
    "index_add": (lambda m, x, v: m.index_add(x, 1, ROW, v, alpha=-2.0), lambda t, x, v: t.index_add(x, 1, t.tensor(ROW), v, alpha=-2.0)),
    "index_select": (lambda m, x, v: m.index_select(x, 1, ROW), lambda t, x, v: t.index_select(x, 1, t.tensor(ROW))),
    "take": (lambda m, x, v: m.take(x, ROW * 5), lambda t, x, v: t.take(x, t.tensor(ROW * 5))),
    "take_along_axis": (
        lambda m, x, v: m.take_along_axis(x, INDEX[..., :1], 1), lambda t, x, v: t.take_along_dim(x, t.tensor(INDEX[..., :1]), 1)),
    "masked_fill": (lambda m, x, v: m.masked_fill(x, MASK, v[0, 0, 0]), lambda t, x, v: x.masked_fill(t.tensor(MASK), v[0, 0, 0])),
    "masked_select": (lambda m, x, v: m.masked_select(x, MASK), lambda t, x, v: t.masked_select(x, t.tensor(MASK))),
    "pairs": (lambda m, x, v: x[[0, 1, 1], :, [0, 3, 3]], lambda t, x, v: x[[0, 1, 1], :, [0, 3, 3]]),
    "at add": (lambda m, x, v: x.at[:, ROW].add(v),
               lambda t, x, v: x.permute(1, 0, 2).index_put((t.tensor(ROW),), v.permute(1, 0, 2), accumulate=True).permute(1, 0, 2)),
    "at set": (lambda m, x, v: x.at[1, [2, 0]].set(v[0, :2]), lambda t, x, v: x.index_put((t.tensor(1), t.tensor([2, 0])), v[0, :2])),
    "at multiply": (
        lambda m, x, v: x.at[:, [0, 0, 2]].multiply(v[:, :3]),
        lambda t, x, v: t.stack([x[:, 0] * v[:, 0] * v[:, 1], x[:, 1], x[:, 2] * v[:, 2]], 1)),
}  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize("name", TABLE)
def test_values_gradients_and_second_order_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    ours, theirs = TABLE[name]
    leaves = [Tensor(X, requires_grad=True), Tensor(V, requires_grad=True)]
    twins = [torch.tensor(X, requires_grad=True), torch.tensor(V, requires_grad=True)]
    out, expected = ours(mg, *leaves), theirs(torch, *twins)
    assert_close(out.numpy(), expected.detach().numpy(), 1e-14)
    weights = numbers(out.shape, 8)
    found = mg.autograd.grad(mg.sum(out * out * out * weights), leaves, create_graph=True, allow_unused=True)
    wanted = torch.autograd.grad(
        torch.sum(expected**3 * torch.tensor(weights)), twins, create_graph=True, allow_unused=True
    )
    total, expected_total = 0, 0
    for a, b in zip(found, wanted):
        assert (a is None) == (b is None)
        if a is not None:
            assert_close(a.numpy(), b.detach().numpy(), 1e-13)
            total, expected_total = total + mg.sum(a * a), expected_total + torch.sum(b**2)
    for a, b in zip(
        mg.autograd.grad(total, leaves, allow_unused=True),
        torch.autograd.grad(expected_total, twins, allow_unused=True),
    ):
        assert (a is None) == (b is None)
        if a is not None:
            assert_close(a.numpy(), b.numpy(), 1e-12)

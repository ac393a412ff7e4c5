"""What the generic suites cannot see of reductions, cumulative ops and sorting: zeros, ties, NaN, infinities, precision."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import derivatives
from minigrad.core import Tensor
from minigrad.errors import ShapeError
from tests.helpers import assert_close, difference

INF, NAN = np.inf, np.nan


def slope(f, x):
    """The gradient of the sum of f(x), or of the first of its results."""
    x = Tensor(np.array(x), requires_grad=True)
    y = f(x)
    y = y[0] if isinstance(y, tuple) else y
    y.backward(np.ones(y.shape))
    return x.grad.tolist()


# ------------------------------------------------------------------------------------------------ dtypes and empty axes


@pytest.mark.parametrize("name", "sum prod max min cumsum cumprod".split())
@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint8, bool])
def test_whole_numbers_have_the_dtype_that_numpy_gives_them(name, dtype):
    x = np.array([[1, 0, 1], [1, 1, 1]], dtype)
    for axis in (None, 1):
        ours, theirs = getattr(mg, name)(x, axis), getattr(np, name)(x, axis)
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)


@pytest.mark.parametrize("name", "mean var std median nanmean logsumexp logcumsumexp".split())
def test_whole_numbers_become_floats_where_the_result_is_floating(name):
    x = np.array([[1, 5, 2], [3, 3, 0]])
    for value in (x, Tensor(x), x > 2, 4):
        assert getattr(mg, name)(value).dtype == np.float32
    assert_close(getattr(mg, name)(x, 1), getattr(mg, name)(x.astype(np.float64), 1), 1e-6)


@pytest.mark.parametrize("name", "sum prod max mean cumsum argmax all".split())
def test_a_number_is_an_array_without_axes(name):
    assert getattr(mg, name)(3.0).dtype == getattr(mg, name)(np.array(3.0, np.float32)).dtype


def test_over_nothing_each_has_its_neutral_element_or_an_error():
    nothing = np.zeros((2, 0), np.float32)
    for name, neutral in {"sum": 0, "prod": 1, "nansum": 0, "logsumexp": -INF, "all": True, "any": False, "count_nonzero": 0}.items():
        assert np.array_equal(getattr(mg, name)(nothing, 1), [neutral] * 2)
    for name in "mean max min argmax argmin median var std var_mean nanmean".split():
        with pytest.raises(ShapeError, match=rf"{name}: .*elements.*\(2, 0\)"):
            getattr(mg, name)(nothing, 1)
        assert np.shape(np.array(getattr(mg, name)(np.zeros((0, 3)), 1)))[-1] == 0  # no rows: nothing to complain about


@pytest.mark.parametrize("name", "sum prod mean var max median logsumexp".split())
def test_an_empty_tuple_of_axes_reduces_nothing(name):
    x = np.array([[1.0, -2.0], [3.0, 0.5]])
    assert np.array_equal(getattr(mg, name)(x, ()), np.zeros((2, 2)) if name == "var" else x)


@pytest.mark.parametrize("name", "sum mean max argmax cumsum sort topk".split())
def test_an_axis_is_a_whole_number(name):
    with pytest.raises(ShapeError, match=f"{name}: an axis is a whole number.*1.5"):
        getattr(mg, name)(np.ones((2, 3)), axis=1.5, **({"k": 1} if name == "topk" else {}))


# ------------------------------------------------------------------------------------------------------------- products


@pytest.mark.parametrize("x, expected", [
    ([2.0, 3.0, 4.0], [12, 8, 6]), ([2.0, 0.0, 4.0], [0, 8, 0]), ([0.0, 3.0, 0.0], [0, 0, 0]), ([5.0], [1]),
])  # fmt: skip
def test_gradient_of_prod_with_zeros(x, expected):
    assert slope(mg.prod, x) == expected


@pytest.mark.parametrize("name", ["prod", "cumprod"])
@pytest.mark.parametrize("x", [[2.0, 3.0, 4.0, 5.0], [2.0, 0.0, 4.0, 5.0], [0.0, 3.0, 0.0, 5.0], [0.0, 0.0, 0.0, 5.0]])
def test_derivatives_of_products_with_zeros_to_third_order(name, x):
    """A product is linear in every element, so differences are exact up to rounding."""
    x, directions = np.array(x), np.random.default_rng(2).standard_normal((3, 4))

    def directional(order, v):
        if order == 0:
            return getattr(mg, name)(v).sum()
        (d,) = derivatives.gradients(directional(order - 1, v), v, create_graph=True)
        return (d * directions[order - 1]).sum()

    for order in (1, 2, 3):
        moved = lambda v: directional(order - 1, Tensor(v, requires_grad=True)).item()  # noqa: B023, E731
        expected = difference(moved, [x], 0, directions[order - 1], step=0.1)
        assert_close(directional(order, Tensor(x, requires_grad=True)).item(), expected, 1e-11, f"order {order}")


def test_gradient_of_prod_over_inner_axes_goes_to_the_right_places(rng):
    x = rng.standard_normal((2, 3, 4, 5))
    w = rng.standard_normal((3, 5))
    leaf = Tensor(x, requires_grad=True)
    mg.prod(leaf, axis=(2, 0)).backward(w)
    assert_close(leaf.grad.numpy(), w[None, :, None] * x.prod((0, 2))[None, :, None] / x, 1e-13)


# ------------------------------------------------------------------------------------------------- NaN and infinities


@pytest.mark.parametrize("f, x, values, gradient", [
    (mg.nansum, [1.0, NAN, 2.0], 3, [1, 0, 1]),
    (mg.nanmean, [1.0, NAN, 2.0], 1.5, [0.5, 0, 0.5]),
    (mg.nanmean, [NAN, NAN], NAN, [0, 0]),
    (mg.nansum, [NAN, NAN], 0, [0, 0]),
    (mg.max, [1.0, NAN, 2.0], NAN, [0, 1, 0]),
    (mg.min, [NAN, NAN, 2.0], NAN, [0.5, 0.5, 0]),
    (mg.median, [1.0, NAN, 2.0], NAN, [0, 1, 0]),
    (mg.median, [INF, 1.0, INF], INF, [0.5, 0, 0.5]),
    (mg.logsumexp, [-INF, 0.0, -INF], 0, [0, 1, 0]),
    (mg.logsumexp, [INF, 1000.0], INF, [0, 0]),
    (mg.logcumsumexp, [-INF, -INF, -1000.0], [-INF, -INF, -1000], [0, 0, 1]),
    (mg.logcumsumexp, [0.0, NAN], [0, NAN], [NAN, NAN]),
    (mg.std, [0.1, 0.1, 0.1], 0, [0, 0, 0]),
    (lambda x: mg.std(x, correction=1), [3.0, 3.0], 0, [0, 0]),
])  # fmt: skip
def test_values_and_gradients_at_the_edges(f, x, values, gradient):
    assert_close(f(np.array(x)), values, 1e-16)
    assert_close(slope(f, x), gradient, 1e-15)


@pytest.mark.parametrize("f", [mg.std, mg.logsumexp, mg.logcumsumexp])
def test_second_derivatives_at_the_edges_are_numbers(f):
    x = Tensor([-INF, -INF] if f is not mg.std else [2.0, 2.0], requires_grad=True)
    g = Tensor(np.ones(f(x).shape), requires_grad=True)
    (first,) = derivatives.gradients(f(x), x, [g], create_graph=True)
    assert not first.numpy().any()
    for second in derivatives.gradients(first.sum(), [x, g], allow_unused=True):
        assert second is None or not second.numpy().any()


def test_sums_of_exponentials_do_not_overflow():
    x = np.array([-1000.0, 1000.0, 1000.0, -5.0])
    assert_close(mg.logsumexp(x), 1000 + np.log(2), 1e-16)
    assert_close(mg.logcumsumexp(x), [-1000, 1000, 1000 + np.log(2), 1000 + np.log(2)], 1e-16)
    assert_close(slope(mg.logsumexp, x), [0, 0.5, 0.5, 0], 1e-16)
    assert_close(slope(mg.logcumsumexp, x), [1, 2, 1, 0], 1e-13)
    assert_close(slope(mg.logcumsumexp, x[::-1].copy()), [1, 2, 1, 0], 1e-13)


# ---------------------------------------------------------------------------------------------------------- precision


def test_float32_sums_are_as_exact_as_pairwise_ones():
    x = np.full(2**20 + 3, 0.1, np.float32)
    for f in (mg.sum, mg.mean, mg.nansum):
        exact = f(x.astype(np.float64))
        assert abs(f(x) - exact) <= 4 * np.finfo(np.float32).eps * exact


def test_variance_keeps_its_digits_far_from_zero():
    x = np.array([1e4, 1e4 + 1, 1e4 + 2], np.float32)
    assert (mg.var(x), mg.var(x, correction=2)) == (np.float32(2 / 3), 2)
    assert_close(mg.std(x, correction=1), np.float32(1), 1e-7)
    variance, mean = mg.var_mean(Tensor(x))
    assert (variance.item(), mean.item()) == (np.float32(2 / 3), 10001)


# ------------------------------------------------------------------------------------------------------------ sorting


def test_equal_elements_keep_their_order():
    x = np.array([2.0, 1.0, 2.0, 1.0, 2.0])
    assert mg.argsort(x).tolist() == [1, 3, 0, 2, 4]
    assert mg.argsort(x, descending=True).tolist() == [0, 2, 4, 1, 3]
    assert mg.topk(x, 2)[1].tolist() == [0, 2] and mg.topk(x, 2, largest=False)[1].tolist() == [1, 3]


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("axis", [0, 1])
def test_topk_is_the_beginning_of_the_sorted_row_also_with_equal_elements(largest, axis):
    rng = np.random.default_rng(6)
    for x in (rng.integers(0, 30, (8, 9)) / 2, rng.standard_normal((8, 9)), np.where(rng.random((8, 9)) < 0.1, NAN, 1.0)):
        order = mg.argsort(x, axis, descending=largest)
        for k in range(x.shape[axis] + 1):
            values, places = mg.topk(x, k, axis, largest)
            assert np.array_equal(places, np.take(order, range(k), axis))
            assert np.array_equal(values, np.take_along_axis(x, places, axis), equal_nan=True)


def test_nan_is_the_largest():
    x = np.array([NAN, 3.0, 1.0])
    assert np.array_equal(mg.sort(x)[0], [1, 3, NAN], equal_nan=True)
    assert np.array_equal(mg.sort(x, descending=True)[0], [NAN, 3, 1], equal_nan=True)
    assert mg.topk(x, 1)[1].tolist() == [0]


def test_gradients_go_back_to_where_the_values_came_from():
    x = [[3.0, 1.0, 2.0], [4.0, 6.0, 5.0]]
    weigh = lambda y: mg.multiply(y, np.arange(1.0, y.size + 1).reshape(y.shape))  # noqa: E731
    assert slope(lambda v: weigh(mg.sort(v)[0]), x) == [[3, 1, 2], [4, 6, 5]]
    assert slope(lambda v: weigh(mg.sort(v, axis=0, descending=True)[0]), x) == [[4, 5, 6], [1, 2, 3]]
    assert slope(lambda v: weigh(mg.topk(v, 2)[0]), x) == [[1, 0, 2], [0, 3, 4]]
    assert slope(lambda v: weigh(mg.unique(v)), [3.0, 1.0, 3.0]) == [1, 1, 1]
    assert slope(lambda v: weigh(mg.unique(v, axis=1)), [[3.0, 1.0, 3.0]]) == [[1, 1, 1]]


def test_of_several_outputs_only_the_values_are_differentiable():
    values, places = mg.sort(Tensor([3.0, 1.0], requires_grad=True))
    assert values.requires_grad and not places.requires_grad and places.dtype == np.int64
    values, first, inverse, counts = mg.unique(Tensor([3.0, 1.0, 3.0], requires_grad=True), True, True, True)
    assert values.requires_grad and [t.tolist() for t in (first, inverse, counts)] == [[1, 0], [1, 0, 1], [1, 2]]


def test_unique_of_whole_numbers_is_numpys():
    x = np.array([[3, 1, 3], [1, 1, 0]])
    for ours, theirs in zip(mg.unique(x, True, True, True), np.unique(x, True, True, True), strict=True):
        assert np.array_equal(ours, theirs)


# ---------------------------------------------------------------------------------------------------- against PyTorch

X = np.random.default_rng(4).uniform(0.5, 2.0, (3, 4, 5))
ZEROS = np.where(np.random.default_rng(5).random((3, 4, 5)) < 0.3, 0.0, X)
ODD = X[:, :3]

CASES = {
    "sum": (X, lambda m, x: m.sum(x, (0, 2))),
    "mean": (X, lambda m, x: m.mean(x, 1)),
    "prod": (ZEROS, lambda m, x: m.prod(x, 1)),
    "cumsum": (X, lambda m, x: m.cumsum(x, 1)),
    "cumprod": (ZEROS, lambda m, x: m.cumprod(x, 1)),
    "cumprod, last axis": (ZEROS, lambda m, x: m.cumprod(x, 2)),
    "logcumsumexp": (50 * X, lambda m, x: m.logcumsumexp(x, 1)),
    "logsumexp": (50 * X, lambda m, x: m.logsumexp(x, 2)),
    "amax with ties": (np.round(X), lambda m, x: m.max(x, 1) if m is mg else m.amax(x, 1)),
    "amin with ties": (np.round(X), lambda m, x: m.min(x, 1) if m is mg else m.amin(x, 1)),
    "median": (ODD, lambda m, x: m.median(x, 1) if m is mg else m.median(x, 1).values),
    "std": (X, lambda m, x: m.std(x, 1, correction=1)),
    "var": (X, lambda m, x: m.var(x, (0, 2), correction=0)),
    "var_mean": (X, lambda m, x: m.add(*m.var_mean(x, 1, correction=1))),
    "nansum": (np.where(ZEROS == 0, NAN, X), lambda m, x: m.nansum(x, 1)),
    "nanmean": (np.where(ZEROS == 0, NAN, X), lambda m, x: m.nanmean(x, 2)),
    "sort": (X, lambda m, x: m.sort(x, 1)[0]),
    "sort, descending": (X, lambda m, x: m.sort(x, 1, descending=True)[0]),
    "topk": (X, lambda m, x: m.topk(x, 2, 1)[0]),
    "topk, smallest": (X, lambda m, x: m.topk(x, 2, 1, False)[0]),
}


@pytest.mark.oracle
@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives_of_two_orders_equal_pytorchs(name):
    torch = pytest.importorskip("torch")
    x, f = CASES[name]
    theirs = torch.tensor(x, requires_grad=True)
    value = f(torch, theirs)
    w, u = (np.random.default_rng(n).standard_normal(shape) for n, shape in enumerate((value.shape, x.shape)))
    (first,) = torch.autograd.grad(value, theirs, torch.tensor(w), create_graph=True)
    ours = Tensor(x, requires_grad=True)
    found = f(mg, ours)
    assert_close(found.numpy(), value.detach().numpy(), 1e-14)
    (d,) = derivatives.gradients(found, ours, [w], create_graph=True)
    assert_close(d.numpy(), first.detach().numpy(), 1e-13)
    if first.requires_grad:
        second = torch.autograd.grad((first * torch.tensor(u)).sum(), theirs, allow_unused=True)[0]
        if second is not None:
            (dd,) = derivatives.gradients((d * u).sum(), ours)
            assert_close(dd.numpy(), second.numpy(), 1e-12)


@pytest.mark.oracle
def test_places_equal_pytorchs():
    torch = pytest.importorskip("torch")
    x, t = X, torch.tensor(X)
    for ours, theirs in [
        (mg.argmax(x, 1, keepdims=True), t.argmax(1, keepdim=True)), (mg.argmin(x), t.argmin()),
        (mg.sort(x, 1)[1], t.sort(1)[1]), (mg.topk(x, 3, 0)[1], t.topk(3, 0)[1]), (mg.argsort(x, 2), t.argsort(2)),
        (mg.searchsorted(np.sort(x[0, 0]), x), torch.searchsorted(t[0, 0].sort()[0], t)),
        (mg.count_nonzero(ZEROS, (0, 2)), torch.count_nonzero(torch.tensor(ZEROS), (0, 2))),
    ]:  # fmt: skip
        assert np.array_equal(ours, theirs.numpy())


def test_the_mean_of_float16_does_not_overflow():
    x = Tensor(np.full(70000, 2, np.float16), requires_grad=True)
    out = mg.mean(x)
    assert out.dtype == np.float16 and out.item() == 2.0 == np.mean(x.numpy())

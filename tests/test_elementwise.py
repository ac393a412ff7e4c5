"""Elementwise ops beside independent oracles, and where the generic suites do not look: extreme values, corners, conventions."""

import math

import numpy as np
import pytest
import scipy.special
from mpmath import mp, mpf

import minigrad as mg
from minigrad.core import Tensor
from minigrad.errors import DtypeError


def derivatives(f, *values, order=1):
    """f and its derivatives up to an order for the first of the values, as arrays."""
    leaves = [Tensor(np.array(v), requires_grad=True) for v in values]
    found = [f(*leaves)]
    for _ in range(order):
        y = found[-1].sum()
        known = mg.autograd.grad(y, leaves[0], create_graph=True, allow_unused=True)[0] if y.requires_grad else None
        found.append(mg.zeros_like(leaves[0]) if known is None else known)
    return [y.numpy() for y in found]


def slopes(f, *values):
    """The derivative of f for every one of the values, each on its own: no sum hides one behind another."""
    leaves = [Tensor(np.array(v), requires_grad=True) for v in values]
    out = f(*leaves)
    out.backward(np.ones(out.shape))
    return [leaf.grad.numpy() for leaf in leaves]


def assert_relative(found, expected, tolerance):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=1e-300)


# ------------------------------------------------------------------------------------------------- beside PyTorch

# Where each function of one array is compared. What has a corner stays away from it; corners are below. Not here: hardsigmoid, of
# which PyTorch has no second derivative, and lgamma and digamma, of which it is exact to 4e-10 (mpmath is the oracle, below).
INTERVALS = {
    "negative": (-4, 4), "abs": (0.5, 4), "square": (-4, 4), "sqrt": (1e-3, 9), "rsqrt": (1e-3, 9), "reciprocal": (-4, -1e-3),
    "exp": (-9, 9), "expm1": (-9, 9), "exp2": (-9, 9), "log": (1e-3, 9), "log1p": (-0.999, 9), "log2": (1e-3, 9),
    "log10": (1e-3, 9), "sin": (-9, 9), "cos": (-9, 9), "tan": (-1.5, 1.5), "arcsin": (-0.99, 0.99), "arccos": (-0.99, 0.99),
    "arctan": (-9, 9), "sinh": (-9, 9), "cosh": (-9, 9), "tanh": (-4, 4), "arcsinh": (-9, 9), "arccosh": (1.01, 9),
    "arctanh": (-0.99, 0.99), "sigmoid": (-9, 9), "logit": (0.01, 0.45), "softplus": (-9, 9), "relu": (0.1, 4),
    "leaky_relu": (-4, -0.1), "elu": (-4, -0.1), "selu": (-4, -0.1), "celu": (-4, -0.1), "silu": (-1, 9), "mish": (-1, 4),
    "hardtanh": (-0.9, 0.9), "hardswish": (-2.9, -1.6), "relu6": (0.1, 5.9), "logsigmoid": (-9, 9),
    "softsign": (0.1, 9), "tanhshrink": (1, 4), "softshrink": (0.6, 4), "hardshrink": (0.6, 4), "erf": (-3, 3), "erfc": (-3, 3),
}  # fmt: skip
TWO = {  # the intervals of both arrays
    "add": ((-4, 4), (-4, 4)), "subtract": ((-4, 4), (5, 6)), "multiply": ((-4, 4), (-4, 4)), "divide": ((-4, 4), (0.1, 4)),
    "pow": ((0.1, 4), (-4, 4)), "hypot": ((-4, 4), (0.1, 4)), "arctan2": ((0.1, 4), (-4, 4)), "logaddexp": ((-9, 9), (-9, 9)),
    "maximum": ((-4, 4), (-4, 4)), "minimum": ((-4, 4), (-4, 4)), "fmax": ((-4, 4), (-4, 4)), "fmin": ((-4, 4), (-4, 4)),
    "remainder": ((-4, 4), (0.3, 3)), "fmod": ((-4, 4), (-3, -0.3)), "xlogy": ((0.1, 4), (1.1, 4)),
}  # fmt: skip


def in_torch(torch, name):
    """PyTorch's function of the same name, wherever it keeps it."""
    return next(getattr(place, name) for place in (torch, torch.nn.functional, torch.special) if hasattr(place, name))


def torch_derivatives(torch, f, *values, order):
    leaves = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]
    found = [f(*leaves)]
    for _ in range(order):
        y = found[-1].sum()
        known = y.requires_grad and torch.autograd.grad(y, leaves[0], create_graph=True, allow_unused=True)[0]
        found.append(known if torch.is_tensor(known) else torch.zeros_like(leaves[0]))
    return [y.numpy(force=True) for y in found]


@pytest.mark.oracle
@pytest.mark.parametrize("name", INTERVALS)
def test_equals_pytorch_to_second_order(name):
    torch = pytest.importorskip("torch")
    x = np.linspace(*INTERVALS[name], 101)
    expected = torch_derivatives(torch, in_torch(torch, name), x, order=2)
    for a, b in zip(derivatives(getattr(mg, name), x, order=2), expected):
        np.testing.assert_allclose(a, b, rtol=2e-12, atol=1e-15)


@pytest.mark.oracle
@pytest.mark.parametrize("name", TWO)
def test_two_arrays_equal_pytorch_to_second_order(name, rng):
    torch = pytest.importorskip("torch")
    x, y = (rng.uniform(*interval, 101) for interval in TWO[name])
    ours, theirs = getattr(mg, name), in_torch(torch, name)
    for swapped in (False, True):
        values, f, g = (y, x) if swapped else (x, y), *((lambda b, a, f=f: f(a, b)) if swapped else f for f in (ours, theirs))
        for a, b in zip(derivatives(f, *values, order=2), torch_derivatives(torch, g, *values, order=2)):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.oracle
@pytest.mark.parametrize("name, parameters, corners", [
    ("relu", {}, [0.0]), ("leaky_relu", {"negative_slope": 0.2}, [0.0]), ("elu", {"alpha": 1.5}, [0.0]), ("selu", {}, [0.0]),
    ("celu", {"alpha": 1.5}, [0.0]), ("hardtanh", {"min_val": -2.0, "max_val": 0.5}, [-2.0, 0.5]), ("relu6", {}, [0.0, 6.0]),
    ("hardsigmoid", {}, [-3.0, 3.0]), ("hardswish", {}, [-3.0, 3.0]),
    ("softshrink", {"lambd": 0.7}, [-0.7, 0.7]), ("hardshrink", {"lambd": 0.7}, [-0.7, 0.7]),
    ("threshold", {"threshold": 0.5, "value": 2.0}, [0.5]), ("softplus", {"beta": 3.0, "threshold": 4.0}, [1.3]),
    ("gelu", {"approximate": "tanh"}, [0.0]), ("logit", {"eps": 0.3}, [0.3, 0.7]), ("sign", {}, [0.0]), ("abs", {}, [0.0]),
    ("floor", {}, [1.0]), ("ceil", {}, [1.0]), ("trunc", {}, [1.0]), ("round", {"decimals": 1}, [0.25]),
    ("nan_to_num", {"nan": 3.0, "posinf": 5.0}, [np.nan, np.inf, -np.inf]),
])  # fmt: skip
def test_parameters_and_corners_are_pytorchs(name, parameters, corners):
    torch = pytest.importorskip("torch")
    x = np.array([*np.linspace(-4, 4, 11) + 0.01, *corners]) if name != "logit" else np.array([0.1, 0.4, 0.6, 0.9, *corners])
    expected = torch_derivatives(torch, lambda t: in_torch(torch, name)(t, **parameters), x, order=1)
    tolerance = 3e-8 if name == "hardsigmoid" else 1e-12  # PyTorch keeps the slope 1/6 in float32
    for a, b in zip(derivatives(lambda t: getattr(mg, name)(t, **parameters), x), expected):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=1e-15)


@pytest.mark.oracle
def test_clip_and_lerp_give_every_argument_the_gradient_that_pytorch_gives(rng):
    torch = pytest.importorskip("torch")
    x, low, high = rng.standard_normal(200), rng.standard_normal(200) - 0.5, rng.standard_normal(200) + 0.5  # low > high here and there
    assert (low > high).any()
    for ours, theirs in ((mg.clip, torch.clamp), (mg.lerp, torch.lerp)):
        leaves = [torch.tensor(v, requires_grad=True) for v in (x, low, high)]
        theirs(*leaves).sum().backward()
        for a, leaf in zip(slopes(ours, x, low, high), leaves):
            np.testing.assert_allclose(a, leaf.grad.numpy(), rtol=1e-14, atol=1e-15)


# -------------------------------------------------------------------------------- beside mpmath: fifty digits, then float64


def exact(f, x):
    with mp.workdps(50):
        return np.array([float(f(mpf(float(v)))) for v in x])


POSITIVE = np.concatenate([
    10.0 ** np.arange(-12, 6), np.linspace(0.05, 12, 120),
    1 + 1e-7 * np.arange(-2, 3), 2 + 1e-7 * np.arange(-2, 3), 1.4616321449683622 + 1e-7 * np.arange(-2, 3),  # around the zeros
])  # fmt: skip
NEGATIVE = -np.concatenate([10.0 ** np.arange(-6, 0), np.linspace(0.03, 9.97, 100), [50.3, 1000.7]])


def test_lgamma_and_its_derivatives_are_exact_to_1e_13():
    assert_relative(mg.lgamma(POSITIVE), exact(lambda v: mp.loggamma(v).real, POSITIVE), 1e-13)
    assert_relative(mg.digamma(POSITIVE), exact(mp.digamma, POSITIVE), 1e-13)
    for n in (1, 2, 3, 6, 15):
        x = POSITIVE[POSITIVE > 1e-4]
        assert_relative(mg.polygamma(n, x), exact(lambda v: mp.polygamma(n, v), x), 1e-13)  # noqa: B023


def test_below_zero_they_are_exact_to_1e_13_of_one():
    for ours, theirs in ((mg.lgamma, lambda v: mp.loggamma(v).real), (mg.digamma, mp.digamma)):
        np.testing.assert_allclose(ours(NEGATIVE), exact(theirs, NEGATIVE), rtol=1e-13, atol=1e-13)
    for n in (1, 2, 3, 6):
        x = NEGATIVE[NEGATIVE < -1e-2]
        np.testing.assert_allclose(mg.polygamma(n, x), exact(lambda v: mp.polygamma(n, v), x), rtol=1e-13, atol=1e-13)  # noqa: B023


def test_erfc_keeps_its_tail():
    x = np.linspace(-6, 26.5, 400)
    assert_relative(mg.erfc(x), exact(mp.erfc, x), 1e-14)
    assert mg.erfc(30.0) == 0 and mg.erfc(-30.0) == 2


def test_special_functions_equal_scipy_at_their_poles():
    x = np.array([0.0, -1.0, -2.0, np.inf, np.nan])
    assert np.array_equal(mg.lgamma(x), scipy.special.gammaln(x), equal_nan=True)
    assert np.array_equal(mg.digamma(x), scipy.special.digamma(x), equal_nan=True)
    assert np.array_equal(mg.polygamma(1, x), scipy.special.polygamma(1, x), equal_nan=True)
    assert np.isinf(mg.lgamma(np.array([-0.0, -np.inf, 1e306]))).all()
    assert np.array_equal(mg.lgamma(np.array([1.0, 2.0])), [0, 0])


def test_special_functions_are_exact_in_float32_too():
    x = np.linspace(0.1, 9, 50, dtype=np.float32)
    for ours, theirs in ((mg.lgamma, scipy.special.gammaln), (mg.digamma, scipy.special.digamma), (mg.erfc, scipy.special.erfc)):
        found = ours(x)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, theirs(x.astype(np.float64)), rtol=6e-8)  # half a unit in the last place


def test_the_derivatives_of_lgamma_are_the_polygammas():
    found = derivatives(mg.lgamma, [0.7, 3.2, -1.6], order=4)
    for order, a in enumerate(found[1:]):
        assert_relative(a, mg.polygamma(order, np.array([0.7, 3.2, -1.6])), 1e-15)


def test_polygamma_takes_the_order_first_as_a_number_of_any_kind():
    x = np.array([1.5, 2.5])
    for n in (2, np.int64(2), np.array(2), Tensor(2)):
        assert_relative(np.asarray(mg.polygamma(n, x)), scipy.special.polygamma(2, x), 1e-14)
    assert np.array_equal(mg.polygamma(0, x), mg.digamma(x))


@pytest.mark.parametrize("x, y", [(0.0, 0.0), (0.0, -1.0), (0.0, np.inf), (0.0, np.nan), (2.0, 0.0), (np.nan, 1.0), (3.0, 0.3)])
def test_xlogy_is_scipys(x, y):
    with np.errstate(divide="ignore"):
        assert np.array_equal(mg.xlogy(np.array([x]), np.array([y])), scipy.special.xlogy([x], [y]), equal_nan=True)


# ----------------------------------------------------------------------------------------------------- extreme values


def test_nothing_overflows_at_ten_thousand():
    big = np.array([-1e4, 1e4])
    for name, expected in {
        "softplus": [0, 1e4], "logsigmoid": [-1e4, 0], "sigmoid": [0, 1], "silu": [0, 1e4], "mish": [0, 1e4], "elu": [-1, 1e4],
        "celu": [-1, 1e4], "selu": [-1.6732632423543772 * 1.0507009873554805, 1e4 * 1.0507009873554805], "tanhshrink": [1 - 1e4, 1e4 - 1],
        "expm1": [-1, np.inf], "hardswish": [0, 1e4], "softsign": [-1e4 / 10001, 1e4 / 10001], "erf": [-1, 1], "erfc": [2, 0],
        "gelu": [0, 1e4], "arctan": [-np.arctan(1e4), np.arctan(1e4)],
    }.items():  # fmt: skip
        x = big[: 1 if name == "expm1" else 2]
        found, slope = derivatives(getattr(mg, name), x)
        np.testing.assert_allclose(found, expected[: len(x)], rtol=1e-15, err_msg=name)
        assert np.isfinite(slope).all(), name
    assert np.array_equal(mg.logaddexp(big, big), big + math.log(2))
    assert np.array_equal(mg.logaddexp(big, -big), [1e4, 1e4])
    assert slopes(mg.logaddexp, big, big)[0].tolist() == [0.5, 0.5]  # exactly: the difference is taken before the exponential


@pytest.mark.parametrize("dtype, huge", [(np.float32, 1e30), (np.float64, 1e200)])
@pytest.mark.parametrize("name", "arctan arcsinh erf erfc softsign sigmoid tanh silu gelu softplus logsigmoid mish tanhshrink".split())
def test_slopes_at_huge_numbers_are_their_limits(name, dtype, huge):
    found = slopes(getattr(mg, name), np.array([huge, -huge], dtype))[0]
    rising = {"silu": [1, 0], "gelu": [1, 0], "softplus": [1, 0], "logsigmoid": [0, 1], "mish": [1, 0], "tanhshrink": [1, 1]}
    np.testing.assert_allclose(found, rising.get(name, [0, 0]), atol=1.1 / huge)


def test_small_results_keep_their_digits():
    tiny = np.array([1e-20, 3e-10])
    assert_relative(mg.log1p(tiny), tiny - tiny**2 / 2, 1e-15)
    assert_relative(mg.expm1(tiny), tiny + tiny**2 / 2, 1e-15)
    left = np.array([-40.0, -200.0, -700.0])
    for name in ("sigmoid", "softplus"):
        assert_relative(getattr(mg, name)(left), np.exp(left), 1e-15)
    assert_relative(slopes(mg.expm1, left)[0], np.exp(left), 1e-15)
    assert_relative(mg.logit(0.5 + tiny[1:]), 4 * (0.5 + tiny[1:] - 0.5), 1e-15)
    assert_relative(mg.logit(tiny), np.log(tiny) - np.log1p(-tiny), 1e-15)


def test_slopes_keep_their_digits():
    assert_relative(slopes(mg.arctan, [1e8, 1e150])[0], [1e-16, 0], 1e-15)
    near = 1 - 2.0**-50  # 1 - x^2 would have lost its digits here
    assert_relative(slopes(mg.arcsin, [near])[0], exact(lambda v: 1 / mp.sqrt(1 - v * v), [near]), 1e-15)
    assert_relative(slopes(mg.arctanh, [near])[0], exact(lambda v: 1 / (1 - v * v), [near]), 1e-15)
    assert_relative(slopes(mg.arccosh, [2 - near, 1e200])[0], exact(lambda v: 1 / mp.sqrt(v * v - 1), [2 - near, 1e200]), 1e-15)
    assert_relative(slopes(mg.tanhshrink, [1e-6])[0], [1e-12], 1e-11)
    assert_relative(slopes(mg.erfc, [10.0])[0], exact(lambda v: -2 / mp.sqrt(mp.pi) * mp.exp(-v * v), [10.0]), 1e-13)
    assert_relative(slopes(mg.hypot, [3e300], [4e300]), [[0.6], [0.8]], 1e-15)
    assert_relative(slopes(mg.arctan2, [3e160], [4e160]), [[0.16e-160], [-0.12e-160]], 1e-15)
    assert_relative(slopes(mg.hypot, [3e-300], [4e-300]), [[0.6], [0.8]], 1e-15)


@pytest.mark.parametrize("name, x, slope", [
    ("sqrt", 0.0, np.inf), ("arcsin", 1.0, np.inf), ("arcsin", -1.0, np.inf), ("arccos", 1.0, -np.inf), ("arccosh", 1.0, np.inf),
])  # fmt: skip
def test_an_infinite_slope_at_a_finite_value_is_no_reason_to_warn(name, x, slope):
    assert slopes(getattr(mg, name), [x])[0] == slope
    assert slopes(lambda v: mg.power(v, 0.5), [0.0])[0] == np.inf


def test_an_infinite_value_warns_as_in_numpy():
    for function, x in ((mg.log, 0.0), (mg.reciprocal, 0.0), (mg.rsqrt, 0.0), (mg.arctanh, 1.0), (mg.log1p, -1.0)):
        with pytest.warns(RuntimeWarning, match="divide by zero"):
            function(np.array([x]))


# --------------------------------------------------------------------------------------------------- NumPy's meanings


def test_division_with_a_remainder_has_numpys_signs():
    x, y = np.array([7, -7, 7, -7, 6]), np.array([2, 2, -2, -2, 3])
    for dtype in (np.int64, np.float64):
        a, b = x.astype(dtype), y.astype(dtype)
        assert mg.floor_divide(a, b).tolist() == [3, -4, -4, 3, 2]
        assert mg.remainder(a, b).tolist() == [1, 1, -1, -1, 0]
        assert mg.fmod(a, b).tolist() == [1, -1, 1, -1, 0]
        assert mg.remainder(a, b).dtype == mg.fmod(a, b).dtype == mg.floor_divide(a, b).dtype == dtype
    assert np.array_equal(mg.add(mg.multiply(mg.floor_divide(x, y), y), mg.remainder(x, y)), x)


def test_fmod_knows_the_quotient_where_rounding_reaches_the_next_number():
    x, y = np.nextafter(3.0, 0.0), 1.0 / 3  # x / y rounds to 9, although x is below 9 y
    assert x / y == 9 and np.fmod(x, y) > 0.3
    assert slopes(mg.fmod, [x], [y])[1] == slopes(mg.remainder, [x], [y])[1] == -8


def test_rounding():
    assert mg.round(np.array([0.5, 1.5, 2.5, -0.5])).tolist() == [0, 2, 2, 0]
    assert mg.round(np.array([1234.567]), 2).tolist() == [1234.57] and mg.round(np.array([1234.567]), -2).tolist() == [1200]
    whole = np.array([15, -25])
    for function in (mg.floor, mg.ceil, mg.trunc, mg.round):
        assert function(whole).dtype == whole.dtype and function(whole).tolist() == [15, -25]
    assert mg.round(whole, -1).tolist() == np.round(whole, -1).tolist()


def test_zero_slopes_are_zeros_and_break_no_graph():
    x = Tensor([0.3, 1.7], requires_grad=True)
    (x * mg.floor(x) + mg.sign(x)).backward(np.ones(2))
    assert x.grad.tolist() == [0, 1]
    y = Tensor([0.3], requires_grad=True)
    mg.ceil(y).backward(np.array([np.inf]))
    assert y.grad.tolist() == [0]  # not infinity times 0


def test_clip_has_the_names_that_numpy_and_pytorch_have():
    x = np.array([-2.0, 0.5, 2.0])
    for found in (mg.clip(x, 0, 1), mg.clip(x, min=0, max=1), np.clip(Tensor(x), a_min=0, a_max=1), Tensor(x).clip(0, 1)):
        assert np.asarray(found).tolist() == [0, 0.5, 1]
    assert mg.clip(x, None, 1).tolist() == [-2, 0.5, 1] and mg.clip(x).tolist() == x.tolist()
    assert mg.clip(np.array([1, 5, 9]), 2, 6).dtype == np.int64
    assert np.isnan(mg.clip(np.array([np.nan]), 0, 1)).all()


def test_nan_to_num_is_numpys():
    x = np.array([1.0, np.nan, np.inf, -np.inf])
    for parameters in ({}, {"nan": 2.0}, {"posinf": 3.0, "neginf": -4.0}):
        assert np.array_equal(mg.nan_to_num(x, **parameters), np.nan_to_num(x, **parameters))
        assert np.array_equal(np.nan_to_num(Tensor(x), **parameters).numpy(), np.nan_to_num(x, **parameters))


def test_close_and_equal_answer_with_a_bool():
    x = Tensor(np.array([1.0, np.nan]))
    assert mg.allclose(x, x, equal_nan=True) is True and mg.allclose(x, x) is False
    assert mg.allclose(Tensor([1.0, 2.0]), np.array([1.0, 2.1]), atol=0.2) is True
    assert mg.array_equal(Tensor([1.0, 2.0]), [1.0, 2.0]) is True
    assert mg.array_equal(np.ones(2), np.ones(3)) is False  # where allclose would complain of the shapes


def test_booleans_are_bits_too():
    a, b = Tensor(np.array([True, True, False])), np.array([True, False, False])
    assert mg.bitwise_and(a, b).tolist() == [True, False, False] and mg.bitwise_or(a, b).tolist() == [True, True, False]
    assert mg.bitwise_xor(a, b).tolist() == [False, True, False] and mg.invert(a).tolist() == [False, False, True]
    assert mg.bitwise_and(a, b).dtype == bool


# ------------------------------------------------------------------------------------------------ numbers and dtypes


def test_numbers_beside_an_array_are_as_exact_as_the_array():
    """Two Python numbers that meet inside an op or its rule must not meet in float32."""
    x = np.array([0.7])
    assert_relative(mg.xlogy(x, 0.3), 0.7 * np.log(0.3), 1e-15)
    assert_relative(slopes(lambda v: mg.xlogy(v, 0.3), x)[0], np.log(0.3), 1e-15)
    assert_relative(slopes(lambda v: mg.lerp(v, 2.0, 0.9), x)[0], 1 - 0.9, 1e-15)
    assert_relative(slopes(lambda v: mg.lerp(1 / 3, 0.7, v), x)[0], 0.7 - 1 / 3, 1e-15)
    assert_relative(slopes(lambda v: mg.arctan2(v, 0.1), x)[0], 0.1 / 0.5, 1e-15)
    assert slopes(lambda v: mg.clip(0.3, v, 1.0), np.array([0.3 + 1e-9]))[0] == 1  # 0.3 is below the bound, in float64
    assert mg.lerp(0.1, 0.7, np.float32([0.5])).dtype == mg.clip(0.1, 0.2, np.float32([0.5])).dtype == np.float32
    assert_relative(slopes(lambda v: mg.logaddexp(v, 0.1), x)[0], 1 / (1 + np.exp(0.1 - 0.7)), 1e-15)


@pytest.mark.parametrize("number", [np.float64(0.5), np.float32(0.5), 0.5], ids=["float64", "float32", "float"])
def test_parameters_never_promote(number):
    x = np.array([-1.0, 0.25, 2.0], np.float32)
    for call in (lambda x: mg.elu(x, number), lambda x: mg.leaky_relu(x, number), lambda x: mg.softplus(x, number),
                 lambda x: mg.threshold(x, number, number), lambda x: mg.softshrink(x, number), lambda x: mg.celu(x, number),
                 lambda x: mg.hardtanh(x, -number, number), lambda x: mg.nan_to_num(x, number)):  # fmt: skip
        assert call(x).dtype == np.float32
        assert slopes(call, x)[0].dtype == np.float32


@pytest.mark.parametrize("call, words", [
    (lambda: mg.negative(np.array([True])), r"^negative: not defined.*logical.*x \(1,\) bool"),
    (lambda: mg.subtract(Tensor(np.array([True])), np.array([False])), r"^subtract: not defined.*x \(1,\) bool, y \(1,\) bool"),
    (lambda: mg.sign(np.array([True])), "^sign: not defined"),
    (lambda: mg.left_shift(np.array([1]), 0.5), "^left_shift: not defined.*y 0.5"),
    (lambda: mg.add(np.array([1], np.uint8), 300), r"^add: not defined.*uint8, y 300"),
    (lambda: mg.elu(np.ones(2), alpha="1"), r"^elu: not defined.*alpha '1'"),
    (lambda: mg.power(np.array([2, 3]), -1), "^power: an integer to a negative power.*astype"),
])  # fmt: skip
def test_element_types_without_meaning_are_our_errors(call, words):
    with pytest.raises(DtypeError, match=words):
        call()


@pytest.mark.parametrize("name", [
    "rsqrt", "reciprocal", "hypot", "expm1", "exp2", "log1p", "log2", "log10", "logaddexp", "tan", "arcsin", "arccos", "arctan",
    "arctan2", "sinh", "cosh", "arcsinh", "arccosh", "arctanh", "logit", "lgamma", "digamma", "erfc", "xlogy", "softplus", "elu",
    "silu", "hardswish", "hardtanh", "softsign",
])  # fmt: skip
def test_integers_become_the_default_dtype(name):
    f, one = getattr(mg, name), np.array([1])
    args = (one, one) if name in ("hypot", "logaddexp", "arctan2", "xlogy") else (one,)
    if name in ("arctanh", "logit"):
        args = (0 * one,)
    with np.errstate(divide="ignore"):
        assert f(*args).dtype == np.float32
        with mg.use_default_dtype("float64"):
            assert f(*args).dtype == np.float64

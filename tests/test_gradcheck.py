"""The checker itself: right gradients pass, every planted fault is caught, and near a kink nothing is claimed."""

import re

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import REGISTRY, Tensor, op
from minigrad.errors import GradcheckError
from minigrad.gradcheck import finite_difference, gradcheck
from tests.helpers import WITH_GRADIENT, Call, cases, get_sample


@pytest.fixture
def with_rule():
    """A function with the rule of one's choice: ``with_rule(forward, rule)``; undeclared after the test."""

    def make(forward, rule):
        function = op()(forward)
        function.vjp(rule)
        return function

    known = set(REGISTRY)
    yield make
    for name in set(REGISTRY) - known:
        del REGISTRY[name]


X = np.random.default_rng(4).standard_normal((3, 4))
W = np.random.default_rng(5).standard_normal((4, 4))


# Each pair: a forward, and rules of which the first is right and the others have one planted fault each.


def cubed(x, /):
    return x**3


def rowwise(x, b, /):
    return x + b


def product(x, w, /):
    return x @ w


def shifted(x, /):
    return np.concatenate([x[:, 1:], x[:, :1]], axis=1)


def clipped(x, /):
    return np.sin(x)


def spoiled(value, place, factor):
    value = value.copy()
    value[place] *= factor
    return value


RIGHT = {
    "cubed": (cubed, lambda g, _, x: (3 * g * x * x,), (X,)),
    "rowwise": (rowwise, lambda g, _, x, b: (g, g.sum(0)), (X, X[0])),
    "product": (product, lambda g, _, x, w: (g @ w.T, x.T @ g), (X, W)),
    "shifted": (shifted, lambda g, _, x: (np.concatenate([g[:, -1:], g[:, :-1]], axis=1),), (X,)),
    "clipped": (clipped, lambda g, _, x: (g * np.cos(x),), (X,)),
}
WRONG = {
    "sign": ("cubed", lambda g, _, x: (-3 * g * x * x,)),
    "factor": ("cubed", lambda g, _, x: (2 * g * x * x,)),
    "factor of one in ten thousand": ("cubed", lambda g, _, x: (3.0003 * g * x * x,)),
    "factor of one in a hundred thousand": ("cubed", lambda g, _, x: (3.00003 * g * x * x,)),
    "the gradient of the input forgotten": ("cubed", lambda g, _, x: (3 * x * x,)),
    "no gradient at all": ("cubed", lambda g, _, x: (None,)),
    "zero": ("cubed", lambda g, _, x: (0 * g,)),
    "not a number": ("cubed", lambda g, _, x: (g * np.nan,)),
    "transposed weights": ("product", lambda g, _, x, w: (g @ w, x.T @ g)),
    "mean instead of sum over a broadcast axis": ("rowwise", lambda g, _, x, b: (g, g.mean(0))),
    "one row instead of the sum over a broadcast axis": ("rowwise", lambda g, _, x, b: (g, g[0])),
    "shifted the other way": ("shifted", lambda g, _, x: (np.concatenate([g[:, 1:], g[:, :1]], axis=1),)),
    "shifted by one too many": ("shifted", lambda g, _, x: (np.concatenate([g[:, -2:], g[:, :-2]], axis=1),)),
    "wrong in the last corner only": ("clipped", lambda g, _, x: (spoiled(g * np.cos(x), (-1, -1), 1.001),)),
    "wrong in the first corner only": ("clipped", lambda g, _, x: (spoiled(g * np.cos(x), (0, 0), 0.999),)),
    "two inputs exchanged": ("product", lambda g, _, x, w: ((x.T @ g)[:3], np.pad(g @ w.T, ((0, 1), (0, 0))))),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_rules_pass_with_room_to_spare(name, with_rule):
    forward, rule, inputs = RIGHT[name]
    for report in gradcheck(with_rule(forward, rule), *inputs):
        assert report.worst < 1e-9


@pytest.mark.parametrize("fault", WRONG)
def test_planted_faults_are_caught(fault, with_rule):
    name, rule = WRONG[fault]
    forward, _, inputs = RIGHT[name]
    with pytest.raises(GradcheckError, match="is wrong in"):
        gradcheck(with_rule(forward, rule), *inputs)


@pytest.mark.parametrize("scale", [1e-5, 1e5])
def test_faults_are_caught_whatever_the_scale(scale, with_rule):
    def scaled(x, /):
        return scale * x**3

    with pytest.raises(GradcheckError, match="is wrong in"):
        gradcheck(with_rule(scaled, lambda g, _, x: (3.01 * scale * g * x * x,)), X)


def test_a_missing_reduction_is_caught_by_the_engine(with_rule):
    with pytest.raises(mg.errors.GradientError, match=r"rowwise.*\(3, 4\).*\(4,\)"):
        gradcheck(with_rule(rowwise, lambda g, _, x, b: (g, g)), X, X[0])


def test_the_message_names_input_index_both_values_and_the_error(with_rule):
    wrong = with_rule(product, lambda g, _, x, w: (g @ w.T, spoiled(x.T @ g, (2, 1), -1.0)))
    with pytest.raises(GradcheckError) as raised:
        gradcheck(wrong, X, W, names=["x", "w"])
    message = str(raised.value)
    assert "gradient of w is wrong in 1 of 16 places" in message
    row = re.search(r"\(2, 1\)\s+(\S+)\s+(\S+)\s+(\S+)", message)
    analytic, numeric, error = map(float, row.groups())
    assert abs(analytic + numeric) < 1e-6 * abs(numeric) and error < 1e-8


@pytest.mark.parametrize("kink", [
    lambda x: mg.abs(x), mg.relu, lambda x: mg.maximum(x, 0.0), lambda x: mg.minimum(x, -x), lambda x: mg.max(mg.concatenate([x, -x])),
], ids=["abs", "relu", "maximum", "minimum", "max"])  # fmt: skip
@pytest.mark.parametrize("distance", [0.0, 1e-5, 3e-4, -3e-4])
def test_a_kink_is_reported_and_never_passed(kink, distance):
    """Right on it abs has a central difference of 0 and our derivative is 0: agreement that means nothing."""
    with pytest.raises(GradcheckError, match="nothing can be said.*kink"):
        gradcheck(kink, np.array([distance]))


def test_a_point_beside_the_kink_passes():
    gradcheck(mg.abs, np.array([0.01, -0.01]))


def test_a_jump_is_reported():
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: mg.where(x > 0, x + 1.0, x), np.array([0.0002]))


def test_noise_is_reported():
    noise = np.random.default_rng(0)
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: x * x + noise.standard_normal() * 1e-4, np.array([1.0]))


def test_float32_inputs_are_checked_in_float64():
    seen = []

    def f(x):
        seen.append(x.dtype)
        return x * x

    gradcheck(f, X.astype(np.float32))
    assert set(seen) == {np.dtype(np.float64)}


def test_inputs_are_left_alone():
    x, t = X.copy(), Tensor(X, requires_grad=True)
    gradcheck(lambda a, b: a * b, x, t)
    assert np.array_equal(x, X) and np.array_equal(t.numpy(), X) and t.grad is None


def test_finite_difference_is_exact_to_rounding_on_a_cubic():
    numeric = finite_difference(lambda x: (x * x * x).sum(), X)[0]
    np.testing.assert_allclose(numeric, 3 * X * X, rtol=0, atol=1e-10)


def test_empty_and_scalar_inputs():
    assert gradcheck(lambda x: x * 2, np.zeros((0, 3)))[0].worst == 0
    assert gradcheck(mg.sin, np.float64(0.5))[0].worst < 1e-9


@pytest.mark.parametrize("op, number", cases(WITH_GRADIENT, lambda op, sample: Call(op, sample).places))
def test_it_passes_every_rule_of_the_library(op, number):
    """The third witness beside the rules and the differences of the suites: no false alarm, no lost precision."""
    call = Call(op, get_sample(op, number))
    for report in gradcheck(call, *call.values):
        assert report.worst < 1e-7

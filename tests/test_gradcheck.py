"""The checker itself: right gradients pass, every planted fault is caught, near a kink nothing is claimed, no trace is left."""

import functools
import re

import numpy as np
import pytest

import minigrad as mg
from minigrad import finite_difference, gradcheck, gradgradcheck, jvpcheck
from minigrad.core import REGISTRY, Tensor, op
from minigrad.errors import DtypeError, GradcheckError, GradientError, Inconclusive
from tests.helpers import WITH_GRADIENT, Call, cases, get_sample
from transformer.blocks import EncoderBlock
from transformer.layers import BatchNormalization, Dropout, LayerNormalization

CHECKS = pytest.mark.parametrize("check", [gradcheck, gradgradcheck, jvpcheck])


@pytest.fixture
def with_rule():
    """A function with the rule of one's choice, ``with_rule(forward, rule, composite)``; undeclared after the test."""

    def make(forward, rule, composite=None):
        function = op()(forward)
        function.vjp(rule)
        if composite:
            function.composite(composite)
        return function

    known = set(REGISTRY)
    yield make
    for name in set(REGISTRY) - known:
        del REGISTRY[name]


X = np.random.default_rng(4).standard_normal((3, 4))
W = np.random.default_rng(5).standard_normal((4, 4))
IDS = np.array([2, 0, 2])
SMALL = np.array([[1.0, 1e-3], [2.0, 3.0]])

# Forwards, each with its right rule and the inputs.


def cubed(x, /):
    return x**3


def rowwise(x, b, /):
    return x + b


def scaled(x, b, /):
    return x * b


def product(x, w, /):
    return x @ w


def shifted(x, /):
    return np.concatenate([x[:, 1:], x[:, :1]], axis=1)


def sine(x, /):
    return np.sin(x)


def soft(x, /):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def picked(x, /):
    return x[:, IDS]


def joined(x, y, /):
    return np.concatenate([x, y])


def chosen(x, y, /):
    return np.where(X > 0, x, y)


def centred(x, /):
    c = x - x.mean(-1, keepdims=True)
    return c / np.sqrt((c * c).mean(-1, keepdims=True) + 1e-5)


def total(x, /):
    return x.sum(0)


def squared(x, /):
    return x * x


def _soft(g, y):
    return (y * (g - (g * y).sum(-1, keepdims=True)),)


def _picked(g, ids):
    d = np.zeros_like(X)
    np.add.at(d, (slice(None), ids), g)
    return (d,)


def _centred(g, x, y, missing=""):
    rstd = 1 / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    mean = 0 if missing == "mean" else g.mean(-1, keepdims=True)
    along = 0 if missing == "along" else y * (g * y).mean(-1, keepdims=True)
    return (rstd * (g - mean - along),)


def spoiled(value, place, factor):
    value = value.copy()
    value[place] *= factor
    return value


def backwards(g):
    return np.concatenate([g[:, -1:], g[:, :-1]], axis=1)


RIGHT = {
    "cubed": (cubed, lambda g, _, x: (3 * g * x * x,), (X,)),
    "rowwise": (rowwise, lambda g, _, x, b: (g, g.sum(0)), (X, X[0])),
    "scaled": (scaled, lambda g, _, x, b: (g * b, (g * x).sum(0)), (X, X[0])),
    "product": (product, lambda g, _, x, w: (g @ w.T, x.T @ g), (X, W)),
    "shifted": (shifted, lambda g, _, x: (backwards(g),), (X,)),
    "sine": (sine, lambda g, _, x: (g * np.cos(x),), (X,)),
    "soft": (soft, lambda g, y, x: _soft(g, y), (X,)),
    "picked": (picked, lambda g, _, x: _picked(g, IDS), (X,)),
    "joined": (joined, lambda g, _, x, y: (g[:3], g[3:]), (X, X + 1)),
    "chosen": (chosen, lambda g, _, x, y: (g * (X > 0), g * (X <= 0)), (X, X + 1)),
    "centred": (centred, lambda g, y, x: _centred(g, x, y), (X,)),
    "total": (total, lambda g, _, x: (np.broadcast_to(g, x.shape),), (X,)),
    "squared": (squared, lambda g, _, x: (2 * g * x,), (SMALL,)),
}
WRONG = {
    "sign": ("cubed", lambda g, _, x: (-3 * g * x * x,)),
    "factor": ("cubed", lambda g, _, x: (2 * g * x * x,)),
    "factor of one in a thousand": ("cubed", lambda g, _, x: (3.003 * g * x * x,)),
    "factor of one in a hundred thousand": ("cubed", lambda g, _, x: (3.00003 * g * x * x,)),
    "factor of one in ten million": ("cubed", lambda g, _, x: (3.0000003 * g * x * x,)),
    "the gradient of the output forgotten": ("cubed", lambda g, _, x: (3 * x * x,)),
    "no gradient at all": ("cubed", lambda g, _, x: (None,)),
    "zero": ("cubed", lambda g, _, x: (0 * g,)),
    "not a number": ("cubed", lambda g, _, x: (g * np.nan,)),
    "not a number in one place": ("cubed", lambda g, _, x: (spoiled(3 * g * x * x, (1, 2), np.nan),)),
    "transposed weights": ("product", lambda g, _, x, w: (g @ w, x.T @ g)),
    "transposed gradient of the weights": ("product", lambda g, _, x, w: (g @ w.T, (x.T @ g).T)),
    "two inputs exchanged": ("product", lambda g, _, x, w: ((x.T @ g)[:3], np.pad(g @ w.T, ((0, 1), (0, 0))))),
    "mean instead of sum over a broadcast axis": ("rowwise", lambda g, _, x, b: (g, g.mean(0))),
    "one row instead of the sum over a broadcast axis": ("scaled", lambda g, _, x, b: (g * b, (g * x)[0])),
    "sum before the product instead of after it": ("scaled", lambda g, _, x, b: (g * b, g.sum(0) * x.sum(0))),
    "shifted the other way": ("shifted", lambda g, _, x: (np.concatenate([g[:, 1:], g[:, :1]], axis=1),)),
    "shifted by one too many": ("shifted", lambda g, _, x: (np.concatenate([g[:, -2:], g[:, :-2]], axis=1),)),
    "index off by one": ("picked", lambda g, _, x: _picked(g, IDS + 1)),
    "the last of repeated indices wins": ("picked", lambda g, _, x: (np.stack([g[:, 1], 0 * g[:, 0], g[:, 2], 0 * g[:, 0]], 1),)),
    "parts exchanged": ("joined", lambda g, _, x, y: (g[3:], g[:3])),
    "parts overlap": ("joined", lambda g, _, x, y: (g[:3], g[2:5])),
    "branches exchanged": ("chosen", lambda g, _, x, y: (g * (X <= 0), g * (X > 0))),
    "both branches": ("chosen", lambda g, _, x, y: (g, g)),
    "softmax with the wrong sign": ("soft", lambda g, y, x: (y * (g + (g * y).sum(-1, keepdims=True)),)),
    "softmax as if elementwise": ("soft", lambda g, y, x: (g * y * (1 - y),)),
    "normalization without the mean": ("centred", lambda g, y, x: _centred(g, x, y, "mean")),
    "normalization without the part along": ("centred", lambda g, y, x: _centred(g, x, y, "along")),
    "mean instead of sum": ("total", lambda g, _, x: (np.broadcast_to(g, x.shape) / len(x),)),
    "wrong in the last corner only": ("sine", lambda g, _, x: (spoiled(g * np.cos(x), (-1, -1), 1.001),)),
    "wrong in the first corner only": ("sine", lambda g, _, x: (spoiled(g * np.cos(x), (0, 0), 0.999),)),
    "a small entry among large ones wrong by 1e-4": ("squared", lambda g, _, x: (spoiled(2 * g * x, (0, 1), 1.0001),)),
}


def _detached(x):
    return x.detach() if isinstance(x, Tensor) else x


def _cubed_twice(g, _, x):
    return (mg.multiply(g, mg.multiply(mg.multiply(x, x), 3.0)),)


# Right on arrays, so that the first order passes; wrong where a graph of the gradient is wanted.
WRONG_SECOND = {
    "the input detached": lambda g, _, x: (mg.multiply(g, mg.multiply(mg.multiply(_detached(x), _detached(x)), 3.0)),),
    "half of the input detached": lambda g, _, x: (mg.multiply(g, mg.multiply(mg.multiply(_detached(x), x), 3.0)),),
    "the gradient of the output detached": lambda g, _, x: (mg.multiply(mg.multiply(_detached(g), mg.multiply(x, x)), 3.0) + 0 * g,),
    "another factor for Tensors": lambda g, _, x: (g * x * x * (3.003 if isinstance(x, Tensor) else 3.0),),
    "a composite of another function": (_cubed_twice, lambda x: mg.multiply(mg.square(x), 1.5)),
    "a composite with a constant in it": (_cubed_twice, lambda x: mg.multiply(mg.square(x), _detached(x))),
}  # fmt: skip


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("name", RIGHT)
def test_right_rules_pass_with_room_to_spare(name, full, with_rule):
    forward, rule, inputs = RIGHT[name]
    report = gradcheck(with_rule(forward, rule), *inputs, full=full)
    assert report.passed and len(report) == len(inputs)
    assert report.worst < 1e-8 and all(a.uncertain < 1e-6 for a in report)


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("fault", WRONG)
def test_planted_faults_are_caught(fault, full, with_rule):
    name, rule = WRONG[fault]
    forward, _, inputs = RIGHT[name]
    with pytest.raises(GradcheckError, match=f"gradcheck: {name}: the gradient of .* is wrong") as raised:
        gradcheck(with_rule(forward, rule), *inputs, full=full)
    assert not isinstance(raised.value, Inconclusive)


@pytest.mark.parametrize("fault", WRONG_SECOND)
def test_planted_faults_of_second_order_are_caught(fault, with_rule):
    rule, *composite = WRONG_SECOND[fault] if isinstance(WRONG_SECOND[fault], tuple) else (WRONG_SECOND[fault],)
    function = with_rule(cubed, rule, *composite)
    assert gradcheck(function, X).passed
    with pytest.raises(GradcheckError, match="gradgradcheck: cubed: the gradient of .* is wrong"):
        gradgradcheck(function, X)


def test_forward_mode_needs_the_gradient_of_the_weights(with_rule):
    with pytest.raises(GradcheckError, match="jvpcheck: cubed: the gradient of x is wrong"):
        jvpcheck(with_rule(cubed, WRONG_SECOND["the gradient of the output detached"]), X)


def test_a_right_second_order_passes(with_rule):
    function = with_rule(cubed, _cubed_twice, lambda x: mg.multiply(mg.square(x), x))
    assert gradgradcheck(function, X).worst < 1e-8 and jvpcheck(function, X).worst < 1e-8


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1e5])
def test_faults_are_caught_whatever_the_scale(scale, with_rule):
    def magnified(x, /):
        return scale * x**3

    assert gradcheck(with_rule(magnified, lambda g, _, x: (3 * scale * g * x * x,)), X).passed
    with pytest.raises(GradcheckError, match="is wrong"):
        gradcheck(with_rule(magnified, lambda g, _, x: (3.0003 * scale * g * x * x,)), X)


def test_a_missing_reduction_is_caught_by_the_engine(with_rule):
    with pytest.raises(GradientError, match=r"rowwise.*\(3, 4\).*\(4,\)"):
        gradcheck(with_rule(rowwise, lambda g, _, x, b: (g, g)), X, X[0])


def test_a_walk_that_is_not_repeatable_is_caught(with_rule):
    calls = []
    with pytest.raises(GradcheckError, match="two walks"):
        gradcheck(with_rule(cubed, lambda g, _, x: (3 * g * x * x + 1e-9 * (calls.append(0) or len(calls)),)), X)


@pytest.mark.parametrize("inner", [False, True])
def test_ops_that_write_to_their_inputs_are_caught(inner, with_rule):
    def doubled(x, /):
        x *= 2
        return x

    def spoils(g, _, x):
        x *= 1.5
        return (g * 2.0,)

    for forward, rule, words in ((doubled, RIGHT["cubed"][1], "doubled.* writes to"), (cubed, spoils, "cubed: its input x was changed")):
        f = with_rule(forward, rule)
        with pytest.raises(GradientError, match=words):
            gradcheck(lambda x, f=f: f(x * 1.0 if inner else x), X)


# ------------------------------------------------------------------------------------------------------ the message


def test_the_message_names_op_argument_index_both_values_error_and_step(with_rule):
    wrong = with_rule(product, lambda g, _, x, w: (g @ w.T, spoiled(x.T @ g, (2, 1), -1.0)))
    with pytest.raises(GradcheckError) as raised:
        gradcheck(wrong, X, W)
    message = str(raised.value)
    assert message.startswith("gradcheck: product: the gradient of w is wrong at 1 of 16 places")
    output, analytic, numeric, difference, error, step = re.search(r"(\(\d, 1\)) +\(2, 1\)" + r" +(\S+)" * 5, message).groups()
    assert abs(float(analytic) + float(numeric)) < 1e-6 * abs(float(numeric))
    assert np.isclose(float(difference), 2 * abs(float(numeric)), rtol=0.1) and float(error) < 1e-8 and 9e-4 < float(step) < 9e-3
    assert np.isclose(float(numeric), X[int(output[1]), 2])


def test_the_worst_entries_of_a_large_input_are_found(with_rule):
    large = np.random.default_rng(0).standard_normal((40, 50))
    rule = lambda g, _, x: (spoiled(spoiled(g * np.cos(x), (17, 31), 1.01), (39, 49), 0.9),)
    with pytest.raises(GradcheckError, match=r"along \d of 8 random directions") as raised:
        gradcheck(with_rule(sine, rule), large)
    assert re.findall(r"\(\d+, \d+\)", str(raised.value).split("step\n")[1].split("\nThe rule")[0]) == ["(39, 49)", "(17, 31)"]


def test_the_op_that_is_wrong_is_named_among_many(with_rule):
    wrong = with_rule(sine, lambda g, _, x: (-g * np.cos(x),))
    with pytest.raises(GradcheckError, match="The rule that is wrong by itself: sine, gradient of x"):
        gradcheck(lambda x, w: (mg.tanh(wrong(x @ w)) * 2).sum(), X, W)


def test_a_gradient_that_is_lost_on_the_way_is_no_op_to_blame():
    with pytest.raises(GradcheckError, match="Every op in it passes by itself.*multiply.*leaves the graph"):
        gradcheck(lambda x: x * x.detach(), X)
    with pytest.raises(GradcheckError, match="No op of this function is recorded"):
        gradcheck(lambda x: mg.tensor(x.numpy()), X)


def test_the_report_is_a_table():
    report = gradcheck(lambda x, w: x @ w, X, W.astype(np.float32), full=False)
    lines = repr(report).splitlines()
    assert lines[0] == "gradcheck of f: passed" and lines[1].split()[:3] == ["argument", "shape", "compared"]
    assert lines[2].split()[:5] == ["x", "(3,", "4)", "64", "projections"] and lines[3].split()[0] == "w"
    assert lines[4] == "  note: made float64 for the check: w"
    assert bool(report) and report.conclusive and [a.name for a in report] == ["x", "w"] and report[1].shape == (4, 4)


def test_without_exception_the_report_tells(with_rule):
    report = gradcheck(with_rule(cubed, lambda g, _, x: (g,)), X, raise_exception=False)
    assert not report.passed and report.conclusive and not report and "WRONG" in repr(report)
    report = gradcheck(mg.abs, np.zeros(2), raise_exception=False)
    assert not report.passed and not report.conclusive and "inconclusive" in repr(report)


def test_entries_are_counted():
    assert [a.entries for a in gradcheck(lambda x, w: x @ w, X, W)] == [144, 192]
    assert [a.entries for a in gradcheck(lambda x, w: x @ w, X, W, full=False, projections=3)] == [9, 9]
    assert gradcheck(lambda x: x.sum(), np.ones(600)).arguments[0].mode == "entries"
    assert gradcheck(lambda x: x.sum(), np.ones(601)).arguments[0].mode == "projections"


# ------------------------------------------------------------------------------------- where nothing can be claimed


@pytest.mark.parametrize("kink", [
    mg.abs, mg.relu, lambda x: mg.maximum(x, 0.0), lambda x: mg.minimum(x, -x), lambda x: mg.max(mg.concatenate([x, -x])),
], ids=["abs", "relu", "maximum", "minimum", "max"])  # fmt: skip
@pytest.mark.parametrize("distance", [0.0, 1e-5, 3e-4, -3e-4])
@pytest.mark.parametrize("check", [gradcheck, jvpcheck])
def test_a_kink_is_reported_and_never_passed(kink, distance, check):
    """Right on it abs has a central difference of 0 and our derivative is 0: agreement that means nothing."""
    with pytest.raises(Inconclusive, match=r"nothing can be said.*kink of x at index \(1,\).*Move the point"):
        check(kink if kink in (mg.abs, mg.relu) else lambda x: kink(x[1:]), np.array([0.5, distance]))


def test_a_kink_in_a_large_input_is_found():
    x = np.random.default_rng(0).uniform(1, 2, (30, 40)) * np.random.default_rng(1).choice([-1, 1], (30, 40))
    x[21, 13] = 1e-6
    with pytest.raises(Inconclusive, match=r"kink of x at index \(21, 13\)"):
        gradcheck(mg.abs, x)


def test_a_point_beside_the_kink_passes():
    assert gradcheck(mg.abs, np.array([0.01, -0.01])).passed
    assert gradcheck(mg.abs, np.array([1e-5, -1e-5]), step=1e-6).passed


def test_a_wrong_gradient_is_wrong_even_if_another_place_is_a_kink(with_rule):
    report = gradcheck(lambda x, y: mg.abs(x) + y * _half(y), np.zeros(1), np.ones(1), raise_exception=False)
    assert [a.verdict for a in report] == ["inconclusive", "WRONG"]


def _half(y):
    return y.detach()


def test_a_jump_is_reported():
    with pytest.raises(Inconclusive, match="kink"):
        gradcheck(lambda x: mg.where(x > 0, x + 1.0, x), np.array([0.0002]))


def test_noise_is_reported():
    noise = np.random.default_rng(0)
    with pytest.raises(Inconclusive, match="called twice.*different values.*minigrad.random"):
        gradcheck(lambda x: x * x + noise.standard_normal() * 1e-4, np.array([1.0]))


@pytest.mark.parametrize("f, point, words", [
    (mg.log, 0.0, "not finite at this point"), (mg.sqrt, 0.0, "not finite near this point"),
    (lambda x: mg.astype(mg.sin(mg.astype(x, "float32")), "float64"), 0.5, "too steep or too rough"),
    (lambda x: mg.sin(mg.astype(x, "float32")), 0.5, "something inside leaves float64"),
])  # fmt: skip
def test_what_cannot_be_measured_is_inconclusive_and_says_why(f, point, words):
    with pytest.raises(Inconclusive, match=words):
        gradcheck(f, point)


@pytest.mark.parametrize("f, x, words", [
    (mg.sqrt, [1.0, 0.0], r"near this point.* of x at index \(1,\)"), (mg.arcsin, [1.0, 0.5], r"near this point.* of x at index \(0,\)"),
    (mg.log, [1.0, 0.0], r"it is -inf at index \(1,\)"), (mg.sqrt, [-1.0, 1.0], r"it is nan at index \(0,\)"),
    (lambda x: mg.exp(100.0 * x), [1.0, 10.0], r"it is inf at index \(1,\)"),
    (lambda x: mg.sum(mg.sqrt(x)), [1.0, 0.0], r"of x at index \(1,\)"), (lambda x: W[:2, :2] @ mg.sqrt(x), [1.0, 0.0], r"\(1,\)"),
    (lambda x: mg.sqrt(np.array([[1.0, -1.0], [0.5, 1.0]]) @ x), [1.0, 1.0], "near this point"),
    (lambda x: (mg.sqrt(x), mg.log(x)), [2.0, 0.0], r"it is -inf at index 1: \(1,\)"),
    (mg.sqrt, np.eye(30)[3], r"of x at index \(0,\)"), (lambda x: mg.sqrt(x).sum(), 1 - np.eye(1, 700, 77)[0], r"of x at index \(77,\)"),
])  # fmt: skip
@CHECKS
def test_the_edge_of_a_domain_is_inconclusive_and_no_other_place_is_accused(check, f, x, words):
    """There the derivative is infinite, and 0 times it is NaN: neither ours nor anybody's fault."""
    with pytest.raises(Inconclusive, match="gradient is not finite" if check is gradgradcheck else words):
        check(f, x)


def test_a_gradient_that_is_not_finite_is_wrong_where_the_function_is(with_rule):
    for bad in (np.inf, np.nan):
        with pytest.raises(GradcheckError, match=rf"(?s)is wrong at 1 of 2 places.*\(1,\) +{bad} +0\.5"):
            gradcheck(with_rule(cubed, lambda g, _, x, bad=bad: (g * np.array([3 * x[0] ** 2, bad]),)), [1.0, 6**-0.5])
            del REGISTRY["cubed"]
    with pytest.raises(GradcheckError, match="is wrong"):
        gradcheck(lambda x: mg.where(x > 0, mg.sqrt(x), 0.0), [-1.0, 1.0])


def test_a_smooth_piece_beside_a_constant_passes():
    assert gradcheck(lambda x: mg.where(x > 0, x**3, 0.0), [0.0, 1.0]).passed


@pytest.mark.parametrize("f, x", [
    (mg.log, 1e-5), (mg.sqrt, 1e-5), (lambda x: mg.sin(100.0 * x), 0.3), (lambda x: mg.sin(1000.0 * x), 0.3), (lambda x: 1 / x, 1e-3),
    (mg.exp, 30.0), (mg.exp, -30.0), (lambda x: x * x, 1e8), (lambda x: x * 0.0, 1.0), (lambda x: mg.abs(x) ** 3, 0.0),
    (lambda x: mg.sin(1e8 * x), 1e-8), (lambda x: 1 / x, 1e-8), (mg.log, [1e-8, 2e-8]),
])  # fmt: skip
def test_steep_functions_get_smaller_steps_and_pass(f, x):
    assert gradcheck(f, x).passed


def test_a_quotient_that_other_steps_contradict_is_no_pass(with_rule):
    """A wave that has the same phase at every step of the first quotient, which cannot see it."""
    number = 2 * np.pi * 2**14

    def wave(x, /):
        return x + 1e-3 * mg.sin(x * number)

    assert gradcheck(with_rule(wave, lambda g, _, x: (g * (1.0 + 1e-3 * number * mg.cos(x * number)),)), [0.0]).passed
    with pytest.raises(Inconclusive, match="too steep or too rough"):
        gradcheck(with_rule(wave, lambda g, _, x: (g * 200.0,)), [0.0])


def test_one_place_among_many_that_is_off_by_little_is_found(with_rule):
    factor = np.full(20000, 2.0)
    factor[4321] *= 1.0003

    def squared(x, /):
        return x * x

    f = with_rule(squared, lambda g, _, x: (g * factor * x,))
    with pytest.raises(GradcheckError, match=r"(?s)wrong along .* random directions.*\(4321,\)"):
        gradcheck(lambda x: f(x).sum(), np.random.default_rng(3).standard_normal(20000))


@pytest.mark.parametrize("settings", [{"projections": 0}, {"projections": 2.5}, {"step": 0.0}, {"step": -1e-3}, {"step": float("nan")}])
@CHECKS
def test_settings_with_which_nothing_would_be_compared_are_refused(check, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        check(lambda x: (x * x).sum(), np.ones(700), **settings)


def test_finite_difference_of_a_function_that_writes_to_its_input():
    def f(x):
        x += 1.0
        return (x * x).sum()

    x = np.array([1.0, 2.0])
    assert finite_difference(f, x)[0].round(6).tolist() == [4.0, 6.0] and x.tolist() == [1.0, 2.0]


def test_a_step_never_drowns_in_noise():
    """At a step so small that the rounded function does not move, its quotient would be 0 without any doubt."""
    for f in (lambda x: mg.tanh(mg.astype(x, "float32")), lambda x: mg.astype(mg.exp(mg.astype(x, "float32")) * 3.0, "float64")):
        report = gradcheck(f, [0.3, 0.7], raise_exception=False)
        assert [a.verdict for a in report] == ["inconclusive"]


def test_a_slope_with_a_bend_is_no_kink():
    """x |x| has a slope everywhere, which only bends at 0."""
    assert gradcheck(lambda x: x + x * mg.abs(x), [1e-7, 1e-5, -3e-4]).passed


def test_an_analytic_zero_may_be_rounded():
    assert gradcheck(lambda x: x * 0.0 + mg.sin(x).detach() * 0.0 + x * 1e-15 - x * 1e-15, [0.0]).passed
    with pytest.raises(GradcheckError, match="is wrong"):
        gradcheck(lambda x: (x - x.detach()) * 1e-6, [0.0])


# ------------------------------------------------------------------------------------------------- inputs and outputs


@CHECKS
def test_inputs_of_every_kind(check):
    report = check(
        lambda x, k, t, pair, ids, table: (x**k).sum() * t + pair[0] @ pair[1] + mg.square(table["rows"])[ids].sum(),
        [1.0, 2.0], 3, Tensor(2.0), (np.ones(3), np.arange(3.0)), np.array([1, 1]), {"rows": np.ones((2, 2), np.float32)},
    )  # fmt: skip
    names = ["x", "t", "pair[0]", "pair[1]", "table['rows']"]
    assert [a.name for a in report][:5] == names
    assert report.notes == ["made float64 for the check: t, table['rows']", "not differentiated: ids (int64)"]


@CHECKS
def test_all_floating_outputs_are_checked(check, with_rule):
    several = lambda x: {"a": [x * x, mg.argmax(x)], "b": (mg.sum(x, 0), None)}
    assert check(several, X).passed
    wrong = with_rule(sine, lambda g, _, x: (g,))
    if check is not gradgradcheck:  # to which a rule that is wrong in value is the derivative of something
        with pytest.raises(GradcheckError, match="is wrong"):
            check(lambda x: (x * x, [wrong(x)]), X)


def test_names_come_from_the_signature_or_the_caller():
    names = lambda *args, **kwargs: [a.name for a in gradcheck(*args, **kwargs)]
    assert names(mg.multiply, X, X) == ["x", "y"]
    assert names(lambda first, second: first + second, X, X) == ["first", "second"]
    assert names(lambda *xs: xs[0] + xs[1], X, X) == ["input 0", "input 1"]
    assert names(mg.concatenate, [X, X]) == ["xs[0]", "xs[1]"]
    assert names(functools.partial(mg.sum, axis=0), X) == ["x"]
    assert names(mg.multiply, X, X, names=["left", "right"]) == ["left", "right"]


def test_keywords_are_settings_but_for_arrays():
    report = gradcheck(lambda x, weight, power: mg.sum(weight * x**power), X, kwargs={"weight": X, "power": 2.0})
    assert [a.name for a in report] == ["x", "weight"]


@pytest.mark.parametrize("call, error, words", [
    (lambda: gradcheck(mg.exp, 3), DtypeError, r"no input is floating.*write 3.0 for 3.*Received: x 3"),
    (lambda: gradcheck(mg.exp, np.arange(3)), DtypeError, r"no input is floating.*astype"),
    (lambda: gradcheck(mg.argmax, X), DtypeError, "argmax: returned nothing floating"),
    (lambda: gradcheck(lambda x: x.numpy(), X), GradientError, r"f: returned plain numbers.*without .numpy\(\)"),
    (lambda: gradcheck(lambda x: x.sum().item(), X), GradientError, "float, through which no gradient can flow"),
    (lambda: finite_difference(mg.exp, 3), DtypeError, "write 3.0 for 3"),
    (lambda: gradcheck(lambda a, b: a * b, (X, X)), TypeError, r"f: got one tuple. Give inputs one by one: gradcheck\(f, a, b\).*'b'"),
    (lambda: jvpcheck(mg.multiply, (X, X)), TypeError, "multiply: got one tuple.*one by one.*missing y"),
    (lambda: finite_difference(mg.multiply, (X, X)), TypeError, "multiply: got one tuple.*one by one"),
    (lambda: gradcheck(mg.sin, (Tensor(X, requires_grad=True),)), TypeError, "sin: got one tuple.*one by one"),
    (lambda: gradcheck(mg.sin, X, eps=1e-6, atol=1e-4), TypeError, "gradcheck: takes no eps, atol. Steps and tolerances are chosen"),
    (lambda: jvpcheck(mg.sin, X, rtol=1e-4), TypeError, "jvpcheck: takes no rtol.*chosen"),
    (lambda: gradgradcheck(mg.multiply, X, y=X), TypeError, r"gradgradcheck: takes no y.*kwargs=\{...\}"),
    (lambda: gradcheck(X, mg.sin), TypeError, r"takes a function.*gradcheck\(f, a, b\).*Received: f \(3, 4\)"),
    (lambda: gradcheck(lambda x: (x.assign(x * 2), x * x)[1], Tensor(X)), GradientError, "f: assigns to its input x"),
])  # fmt: skip
def test_what_cannot_be_checked_is_explained(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_float32_inputs_are_checked_in_float64():
    seen = []

    def f(x):
        seen.append((x.dtype, mg.tensor(1.0).dtype))
        return x * x

    assert gradcheck(f, X.astype(np.float32)).notes == ["made float64 for the check: x"]
    assert set(seen) == {(np.dtype(np.float64),) * 2} and mg.tensor(1.0).dtype == np.float32


@CHECKS
def test_inputs_are_left_alone(check):
    x, t = X.copy(), Tensor(X, requires_grad=True)
    check(lambda a, b: a * b, x, t)
    assert np.array_equal(x, X) and np.array_equal(t.numpy(), X) and t.grad is None and t.is_leaf


@CHECKS
def test_it_works_under_no_grad_and_around_derivatives(check):
    with mg.no_grad():
        assert check(mg.grad(lambda x: (x * x * x).sum()), X).passed
        assert not mg.is_grad_enabled()


@CHECKS
def test_empty_and_scalar_inputs(check):
    assert check(lambda x: x * 2, np.zeros((0, 3)))[0].entries == 0
    assert check(mg.sin, np.float64(0.5)).worst < 1e-8


# -------------------------------------------------------------------------------------------------------- differences


def test_finite_difference_is_exact_to_rounding_on_a_cubic():
    numeric = finite_difference(lambda x: (x * x * x).sum(), X)[0]
    np.testing.assert_allclose(numeric, 3 * X * X, rtol=0, atol=1e-10)


def test_finite_difference_gives_what_backward_gives():
    x, w = Tensor(X, requires_grad=True), Tensor(W, requires_grad=True)
    loss = lambda x, w: mg.tanh(x @ w).sum()
    loss(x, w).backward()
    for numeric, t in zip(finite_difference(loss, x, w), (x, w)):
        assert type(numeric) is np.ndarray
        np.testing.assert_allclose(numeric, t.grad.numpy(), rtol=0, atol=1e-9)


def test_finite_difference_hands_on_arrays_as_arrays_and_keeps_the_arrangement():
    kinds = []

    def loss(x, n, pair):
        kinds.append((type(x), n, type(pair["b"])))
        return float(np.sum(np.asarray(x) ** n) + pair["a"].sum() * 2)  # plain NumPy

    first, none, pair = finite_difference(loss, X, 2, {"a": X, "b": Tensor([1.0])})
    assert set(kinds) == {(np.ndarray, 2, Tensor)} and none is None
    np.testing.assert_allclose(first, 2 * X, atol=1e-9)
    np.testing.assert_allclose(pair["a"], np.full_like(X, 2), atol=1e-9)
    assert pair["b"].tolist() == [0.0]


def test_finite_difference_of_an_array_is_the_jacobian():
    (jacobian,) = finite_difference(lambda x: x @ W, X)
    np.testing.assert_allclose(jacobian, np.einsum("ik,lj->ijkl", np.eye(3), W), atol=1e-10)


# ------------------------------------------------------------------------------------------------------------- layers


@pytest.fixture
def net():
    layers = [LayerNormalization(), mg.Dense(3, "gelu"), BatchNormalization(), Dropout(0.3), mg.Dense(2)]
    net = mg.Sequential(layers)
    net(np.ones((2, 4), np.float32), training=True)  # inference before all training warns
    layers[1].freeze()
    return net


def everything(net):
    """All that a check could change, bit by bit."""
    tensors = {
        path: (t.numpy().tobytes(), t.dtype, t._data is t._data, id(t._data), t._changed, t.requires_grad, t.is_leaf, id(t.grad))
        for path, t in net.named_tensors().items()
    }
    return tensors, net.layers[3].generator.state(), mg.random.current().state(), [list(vars(layer)) for layer in net.layers]


@CHECKS
def test_a_layer_is_checked_with_all_its_parameters_and_left_as_it_was(check, net):
    x = np.random.default_rng(3).standard_normal((5, 4)).astype(np.float32)
    net.layers[4].kernel.grad = mg.tensor(1.0)
    before = everything(net)
    report = check(net, x, kwargs={"training": True})
    assert report.passed and report.title == "Sequential"
    assert [a.name for a in report][:10] == ["x", *net.named_parameters()] + ["weights of the output"] * (check is gradgradcheck)
    assert "checked although frozen: layers.1.kernel, layers.1.bias" in report.notes
    assert everything(net) == before


def test_everything_is_put_back_after_an_exception_too(net):
    before = everything(net)
    calls = []

    def fails(x):
        calls.append(net(x, training=True))
        if len(calls) > 20:
            raise ZeroDivisionError
        return calls[-1]

    with pytest.raises(ZeroDivisionError):
        gradcheck(fails, np.ones((3, 4)), layer=net)
    assert everything(net) == before


@CHECKS
def test_lists_and_dicts_of_a_layer_are_put_back(check):
    class Remembering(mg.Layer):
        def __init__(self):
            self.scale, self.seen, self.by_name = mg.Parameter([2.0]), [1], {"calls": [0]}

        def call(self, x):
            self.seen.append(x)
            self.by_name["calls"].append(len(self.seen))
            self.by_name["last"] = x
            return x * self.scale * float(len(self.by_name["calls"]))

    layer = Remembering()
    assert check(layer, np.ones(2)).passed
    assert layer.seen == [1] and layer.by_name == {"calls": [0]}


def test_statistics_of_a_layer_that_nobody_named_stay_too(net):
    before = everything(net)
    assert gradcheck(lambda x: net(x, training=True), X).passed
    assert everything(net) == before


def test_a_layer_within_a_function_or_a_partial_or_as_an_argument(net):
    names = list(net.named_parameters())
    loss = lambda x, model: (model(x) ** 2).sum()
    assert [a.name for a in gradcheck(loss, X, net)] == ["x", *names]
    assert [a.name for a in gradcheck(lambda x: loss(x, net), X, layer=net)] == ["x", *names]
    assert [a.name for a in gradcheck(functools.partial(net, training=True), X)][1:] == names
    assert [a.name for a in gradcheck(net.call, X)] == ["x", *names]


def test_a_layer_is_built_first_in_its_own_dtype():
    layer = mg.Dense(3)
    assert gradcheck(layer, X).passed
    assert layer.built and layer.kernel.dtype == np.float32


def test_a_wrong_gradient_of_a_parameter_is_named_by_its_path(net, with_rule):
    wrong = with_rule(sine, lambda g, _, x: (g * np.cos(x) * 1.001,))
    net.layers[4].activation = lambda x: x + 0 * wrong(x) + wrong(net.layers[4].kernel).sum()
    with pytest.raises(GradcheckError, match=r"the gradient of layers\.4\.kernel is wrong at 6 of 6 places"):
        gradcheck(net, X)


def test_dropout_and_numpy_generators_of_a_layer_are_the_same_function_every_time():
    class Noisy(mg.Layer):
        def __init__(self):
            self.stream, self.calls = np.random.default_rng(5), 0

        def call(self, x):
            self.calls += 1
            return x * self.stream.standard_normal(x.shape) + self.calls

    layer = Noisy()
    state = layer.stream.bit_generator.state
    assert gradcheck(layer, X).passed
    assert layer.stream.bit_generator.state == state and layer.calls == 0
    assert gradcheck(lambda x: mg.dropout(x, 0.5, *mg.random.current().counters(x.size)), X).passed


def test_tied_parameters_are_checked_once():
    class Tied(mg.Layer):
        def __init__(self):
            self.a = mg.Parameter(W)
            self.b = self.a

        def call(self, x):
            return mg.tanh(x @ self.a) @ self.b

    assert [a.name for a in gradcheck(Tied(), X)] == ["x", "a"]


@CHECKS
def test_a_transformer_block_is_checked_in_seconds(check):
    block = EncoderBlock(num_heads=2, key_dim=8, width=48, activation="gelu", dropout=0.1)
    report = check(block, np.random.default_rng(0).standard_normal((2, 5, 24)).astype(np.float32), kwargs={"training": True})
    assert {a.name for a in report} >= set(block.named_parameters())
    assert {a.mode for a in report} == {"projections"} and sum(a.entries for a in report) >= 64 * 17
    assert report.worst < 1e-7


def test_one_wrong_number_in_a_large_layer_is_found(with_rule):
    def weighed(x, w, /):
        return x @ w

    rule = lambda g, _, x, w: (mg.matmul(g, mg.swapaxes(w, 0, 1)), spoiled(mg.matmul(mg.swapaxes(x, 0, 1), g), (13, 7), 1.0001))
    wrong, layer = with_rule(weighed, rule), mg.Dense(32, "tanh")
    layer(np.ones((1, 48), np.float32))
    layer.call = lambda x: mg.tanh(wrong(x, layer.kernel) + layer.bias)
    with pytest.raises(GradcheckError, match=r"gradient of kernel is wrong along \d of 8") as raised:
        gradcheck(layer, np.random.default_rng(1).standard_normal((6, 48)))
    assert "(13, 7)" in str(raised.value) and "by itself: weighed, gradient of w at (13, 7)" in str(raised.value)


# --------------------------------------------------------------------------------------------------- the op database


@pytest.mark.parametrize("op, number", cases(WITH_GRADIENT, lambda op, sample: Call(op, sample).places))
def test_it_passes_every_rule_of_the_library(op, number):
    """The third witness beside the rules and the differences of the suites: no false alarm, no lost precision."""
    call = Call(op, get_sample(op, number))
    assert gradcheck(call, *call.values).worst < 1e-7

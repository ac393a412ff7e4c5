"""The rule of every op on every sample, against finite differences and against what holds for every derivative."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import core, derivatives
from minigrad.core import Tensor
from tests.helpers import (
    WITH_GRADIENT,
    Call,
    assert_close,
    cases,
    difference,
    get_sample,
    is_float,
    jacobian_by_differences,
    samples,
)

TOLERANCE = 2e-8  # of finite differences in float64, relative to the largest entry
SMALL = 60  # outputs up to which every row of the Jacobian is asked for; above it, random projections

ruled = pytest.mark.parametrize("op, number", cases(WITH_GRADIENT, lambda op, sample: Call(op, sample).places))
FUSED = [op for op in WITH_GRADIENT if op.composite is not None]


def pulled(call, values, g, create_graph=False):
    """The gradients of <g, op(values)>, one per floating input, as Tensors."""
    leaves = [v if isinstance(v, Tensor) else Tensor(v, requires_grad=True) for v in values]
    found = derivatives.gradients(call(*leaves), leaves, [g], create_graph=create_graph, allow_unused=True)
    return [Tensor(np.zeros(leaf.shape, leaf.dtype)) if d is None else d for leaf, d in zip(leaves, found)]


def dot(a, b):
    return float(np.sum(np.asarray(a, np.float64) * np.asarray(b, np.float64)))


@ruled
def test_gradient_is_the_jacobian_by_finite_differences(op, number):
    call = Call(op, get_sample(op, number))
    out = call(*call.values)
    if out.size <= SMALL:
        weights = np.eye(out.size).reshape(out.size, *out.shape)
    else:
        weights = np.random.default_rng(3).standard_normal((5, *out.shape))
    rows = [[d.numpy() for d in pulled(call, call.values, w)] for w in weights]
    for i in range(len(call.values)):
        jacobian = jacobian_by_differences(call, call.values, i)
        for row, w in zip(rows, weights):
            assert_close(row[i], np.tensordot(w, jacobian, out.ndim), TOLERANCE, f"input {i}")


@ruled
def test_second_order_is_the_gradient_of_the_gradient(op, number):
    """<u, gradient(values, g)> differentiated for the values and for g; the differences walk at first order, on arrays."""
    call = Call(op, get_sample(op, number))
    g, directions = call.cotangent(), call.tangents(5)

    def projected(*values):
        *values, weight = values
        return sum(dot(u, d.numpy()) for u, d in zip(directions, pulled(call, values, weight)))

    leaves, weight = call.leaves(), Tensor(g, requires_grad=True)
    first = pulled(call, leaves, weight, create_graph=True)
    total = sum((Tensor(u) * d).sum() for u, d in zip(directions, first))
    if total.requires_grad:
        found = derivatives.gradients(total, [*leaves, weight], allow_unused=True)
    else:
        found = [None] * (len(leaves) + 1)
    arrays = [*call.values, g]
    for i, d in enumerate(found):
        direction = np.random.default_rng(i).standard_normal(arrays[i].shape)
        analytic = 0.0 if d is None else dot(direction, d.numpy())
        assert_close(analytic, difference(projected, arrays, i, direction), 10 * TOLERANCE, f"input {i}")


@ruled
def test_forward_mode_is_the_directional_difference(op, number):
    call = Call(op, get_sample(op, number))
    tangents = call.tangents()
    out, moved = mg.jvp(call, call.leaves(), tangents)
    expected = sum(difference(call, call.values, i, t) for i, t in enumerate(tangents))
    assert_close(out.numpy(), call(*call.values), 1e-15)
    assert_close(moved.numpy(), expected, TOLERANCE)


@ruled
@pytest.mark.parametrize("create_graph", [False, True], ids=["arrays", "graph"])
def test_rule_is_linear_in_the_gradient(op, number, create_graph):
    call = Call(op, get_sample(op, number))
    g, h = call.cotangent(1), call.cotangent(2)
    both = pulled(call, call.values, 2 * g - 3 * h, create_graph)
    for sum_, a, b in zip(both, pulled(call, call.values, g, create_graph), pulled(call, call.values, h, create_graph)):
        assert_close(sum_.numpy(), 2 * a.numpy() - 3 * b.numpy(), 1e-13)


@ruled
def test_no_gradient_in_no_gradient_out(op, number):
    call = Call(op, get_sample(op, number))
    for d in pulled(call, call.values, np.zeros(call(*call.values).shape)):
        assert not d.numpy().any()


@pytest.mark.parametrize("op, number", cases([op for op in WITH_GRADIENT if op.linear]))
def test_adjoint_identity_of_linear_inputs(op, number):
    """<A x, y> = <x, A' y>, exactly but for rounding; and A 0 = 0."""
    call = Call(op, get_sample(op, number))
    for i in op.linear:
        assert call.places[i] == i
        values, y = list(call.values), call.cotangent()
        assert_close(dot(call(*values), y), dot(values[i], pulled(call, values, y)[i].numpy()), 1e-13)
        values[i] = np.zeros_like(values[i])
        assert not np.any(call(*values))


@ruled
def test_twice_gives_the_same_bits(op, number):
    call = Call(op, get_sample(op, number), np.float32)
    g = call.cotangent()
    runs = [[call(*call.values), *(d.numpy() for d in pulled(call, call.values, g))] for _ in range(2)]
    assert [a.tobytes() for a in runs[0]] == [a.tobytes() for a in runs[1]]


@ruled
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_gradient_has_shape_and_dtype_of_its_input(op, number, dtype):
    call = Call(op, get_sample(op, number), dtype)
    for create_graph in (False, True):
        for value, d in zip(call.values, pulled(call, call.values, call.cotangent(), create_graph)):
            assert (d.shape, d.dtype) == (value.shape, dtype)


@ruled
def test_gradient_with_a_graph_equals_the_one_without(op, number):
    """For a fused op: the composite's gradient equals the kernel's."""
    call = Call(op, get_sample(op, number))
    g = call.cotangent()
    for a, b in zip(pulled(call, call.values, g), pulled(call, call.values, g, create_graph=True)):
        assert_close(a.numpy(), b.numpy(), 1e-13)


@pytest.mark.parametrize("op, number", cases(WITH_GRADIENT, lambda op, sample: len(Call(op, sample).places) > 1))
def test_an_unwanted_input_gets_nothing_and_changes_nothing(op, number):
    call = Call(op, get_sample(op, number))
    g = call.cotangent()
    everything = pulled(call, call.values, g)
    for kept in range(len(call.values)):
        leaves = call.leaves()
        for i, leaf in enumerate(leaves):
            leaf.requires_grad = i == kept
        call(*leaves).backward(g)
        assert [leaf.grad is not None for leaf in leaves] == [i == kept for i in range(len(leaves))]
        assert leaves[kept].grad.numpy().tobytes() == everything[kept].numpy().tobytes()


@pytest.mark.parametrize("op", [op for op in WITH_GRADIENT if "wanted" in op.rule_takes], ids=lambda op: op.name)
def test_what_is_not_wanted_is_not_computed(op):
    call = Call(op, samples(op)[0])
    out = core.apply(op, call.inputs, call.params)
    g = tuple([np.ones_like(o) for o in out]) if isinstance(out, tuple) else call.cotangent()
    saved = {"saved": op.forward(*call.inputs, **call.params)[1]} if op.saves else {}
    if "into" in op.rule_takes:
        saved["into"] = [None] * len(call.inputs)
    for kept in call.places:
        wanted = tuple(i == kept for i in range(len(call.inputs)))
        found = op.rule(g, out, *call.inputs, **call.params, **saved, wanted=wanted)
        assert all(d is not None if want else d is None or d is g for want, d in zip(wanted, found))  # g itself costs nothing


@pytest.mark.parametrize("name", ["matrix_product", "linear", "multiply", "divide", "power", "row_norm"])
def test_rules_with_dear_gradients_ask_what_is_wanted(name):
    assert "wanted" in {op.name: op for op in WITH_GRADIENT}[name].rule_takes


@pytest.mark.parametrize("op, number", cases([op for op in WITH_GRADIENT if op.unread], lambda op, sample: Call(op, sample).places))
def test_values_that_a_rule_does_not_read_are_not_kept(op, number, monkeypatch):
    """Gradients of the first and second order are the same bits when there is NaN in their place."""
    call = Call(op, get_sample(op, number))
    g = call.cotangent()

    def found(large):
        monkeypatch.setattr(core, "_LARGE", large)
        leaves = call.leaves()
        out = call(*[mg.multiply(leaf, 1.0) for leaf in leaves])
        assert out.grad_fn.op is op
        arrays = list(out.grad_fn.arrays)
        first = [d for d in derivatives.gradients(out, leaves, [g], create_graph=True, allow_unused=True) if d is not None]
        again = [d for d in first if d.requires_grad]
        second = derivatives.gradients(again, leaves, [d * 3.0 for d in again], allow_unused=True) if again else []
        return arrays, [d.numpy().tobytes() for d in (*first, *second) if d is not None]

    kept, expected = found(np.inf)
    arrays, actual = found(0)
    assert actual == expected
    for i in range(len(arrays)) if op.variadic else op.unread:
        before, after = np.asarray(kept[i]), np.asarray(arrays[i])
        assert (before.shape, before.dtype) == (after.shape, after.dtype)
        if is_float(arrays[i]):
            assert np.isnan(after).all() and not np.isnan(before).any()


# ------------------------------------------------------------------------------------------ points without a derivative


def slope(f, *values):
    leaves = [Tensor(np.array(v), requires_grad=True) for v in values]
    f(*leaves).sum().backward()
    return [leaf.grad.tolist() for leaf in leaves]


def test_kinks_have_the_derivative_that_is_written_down():
    assert slope(mg.relu, [-0.0, 0.0]) == [[0, 0]]
    assert slope(mg.abs, [0.0]) == [[0]]
    assert slope(mg.sign, [0.0, 3.0]) == [[0, 0]]
    assert slope(mg.maximum, [1.0, 2.0], [1.0, 3.0]) == [[0.5, 0], [0.5, 1]]
    assert slope(mg.minimum, [1.0, 2.0], [1.0, 3.0]) == [[0.5, 1], [0.5, 0]]
    assert slope(mg.max, [4.0, 1.0, 4.0, 4.0, 4.0]) == [[0.25, 0, 0.25, 0.25, 0.25]]
    assert slope(lambda x: mg.min(x, 0), [[1.0, 2.0], [1.0, 0.0]]) == [[[0.5, 0], [0.5, 1]]]
    assert slope(mg.median, [4.0, 1.0, 4.0, 4.0, 9.0, 4.0]) == [[0.25, 0, 0.25, 0.25, 0, 0.25]]
    assert slope(mg.std, [2.0, 2.0]) == slope(mg.logsumexp, [-np.inf, -np.inf]) == slope(mg.logsumexp, [np.inf, 0.0]) == [[0, 0]]
    assert slope(mg.logcumsumexp, [-np.inf, 0.0]) == [[0, 1]] and slope(mg.logcumsumexp, [0.0, np.inf, 1.0]) == [[1, 0, 0]]
    assert slope(mg.unique, [4.0, 1.0, 4.0]) == [[0.5, 1, 0.5]]
    assert slope(mg.norm, [0.0, 0.0]) == slope(lambda x: mg.norm(x, 3, 0), [0.0, 0.0]) == [[0, 0]]


def test_neural_kinks_have_the_derivative_that_is_written_down():
    equal = [1.0, 2.0], [1.0, 4.0]
    assert slope(mg.l1_loss, *equal) == slope(lambda x, t: mg.smooth_l1_loss(x, t, beta=0), *equal) == [[0, -0.5], [0, 0.5]]
    assert slope(lambda x, t: mg.kl_div(x, t, "sum"), [-1.0, -2.0], [0.0, 1.0]) == [[0, -1], [1, 3]]
    assert slope(lambda x, t: mg.kl_div(x, t, "sum", log_target=True), [-1.0, -2.0], [-np.inf, 0.0]) == [[0, -1], [0, 3]]
    assert slope(lambda x: mg.normalize(x, eps=0.5), [0.0, 0.0]) == [[2, 2]]
    assert slope(mg.cosine_similarity, [0.0, 0.0], [3.0, 4.0]) == [[np.float32(0.6 / 1e-8), np.float32(0.8 / 1e-8)], [0, 0]]
    assert slope(lambda x, y: mg.pairwise_distance(x, y, eps=0), [1.0, 2.0], [1.0, 2.0]) == [[0, 0], [0, 0]]
    assert slope(lambda x: mg.log_softmax(x, where=np.array([True, False]))[:1], [1.0, 2.0]) == [[0, 0]]


def test_elementwise_kinks_have_the_derivative_that_is_written_down():
    inf = np.inf
    for steps in (mg.floor, mg.ceil, mg.trunc, mg.round):
        assert slope(steps, [1.0, 0.5, 0.3]) == [[0, 0, 0]]
    assert slope(mg.floor_divide, [6.0, 7.0], [3.0, 3.0]) == [[0, 0], [0, 0]]
    assert slope(mg.remainder, [6.0, -7.0], [3.0, 3.0]) == [[1, 1], [-2, 3]]
    assert slope(mg.fmod, [6.0, -7.0], [3.0, 3.0]) == [[1, 1], [-2, 2]]
    assert slope(mg.hypot, [0.0], [0.0]) == slope(mg.arctan2, [0.0], [0.0]) == [[0], [0]]
    assert slope(mg.logaddexp, [-inf, 0.0], [-inf, -inf]) == [[0, 1], [0, 0]]
    assert slope(mg.logaddexp, [inf, inf], [inf, 1.0]) == [[0, 0], [0, 0]]
    assert slope(lambda x: mg.logit(x, 0.25), [0.1, 0.25, 0.75, 0.8]) == [[0, 16 / 3, 16 / 3, 0]]
    assert slope(mg.fmax, [1.0, np.nan, 1.0, np.nan], [1.0, 2.0, np.nan, np.nan]) == [[0.5, 0, 1, 1], [0.5, 1, 0, 0]]
    assert slope(mg.fmin, [1.0, np.nan, 1.0, np.nan], [1.0, 2.0, np.nan, np.nan]) == [[0.5, 0, 1, 1], [0.5, 1, 0, 0]]
    assert slope(lambda x: mg.clip(x, -1.0, 1.0), [-2.0, -1.0, 0.0, 1.0, 2.0]) == [[0, 1, 1, 1, 0]]
    assert slope(mg.clip, [0.0, 1.0, 2.0, 3.0, 5.0], [1.0] * 4 + [4.0], [3.0] * 5) == [[0, 1, 1, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]]
    assert slope(mg.nan_to_num, [1.0, np.nan, inf, -inf]) == [[1, 0, 0, 0]]
    assert slope(mg.xlogy, [0.0, 0.0, 0.0], [0.0, -1.0, 1.0]) == [[0, 0, 0], [0, 0, 0]]


def test_activations_at_their_corners():
    assert slope(lambda x: mg.leaky_relu(x, 0.25), [-1.0, 0.0, 1.0]) == [[0.25, 0.25, 1]]
    assert slope(lambda x: mg.elu(x, 2.0), [0.0, 1.0]) == [[2, 1]]
    assert np.allclose(slope(mg.selu, [0.0, 1.0]), [[1.7580993, 1.0507010]], rtol=1e-7)
    assert slope(lambda x: mg.threshold(x, 0.5, -1.0), [0.25, 0.5, 0.75]) == [[0, 0, 1]]
    assert slope(mg.hardtanh, [-1.0, 0.0, 1.0]) == [[0, 1, 0]]
    assert slope(mg.relu6, [0.0, 3.0, 6.0]) == [[0, 1, 0]]
    assert slope(mg.hardsigmoid, [-3.0, 0.0, 3.0]) == [[0, 1 / 6, 0]]
    assert slope(mg.hardswish, [-3.0, 0.0, 3.0]) == [[0, 0.5, 1]]
    assert slope(mg.softshrink, [-0.5, 0.0, 0.5, 0.6]) == slope(mg.hardshrink, [-0.5, 0.0, 0.5, 0.6]) == [[0, 0, 0, 1]]


def test_a_question_without_keys_takes_nothing_and_passes_nothing_back():
    q, k = (Tensor(np.random.default_rng(i).standard_normal((2, 3)), requires_grad=True) for i in (1, 2))
    weights = mg.attention_weights(q, k, np.array([[False, False], [True, True]]))
    assert weights.numpy()[0].tolist() == [0, 0] and abs(weights.numpy()[1].sum() - 1) < 1e-15
    (weights * np.array([[1.0, 2.0], [3.0, 5.0]])).sum().backward()
    assert q.grad.numpy()[0].tolist() == [0, 0, 0] and q.grad.numpy()[1].all() and np.isfinite(k.grad.numpy()).all()


def test_every_kink_is_tested_here_or_above():
    tested = {"relu", "abs", "sign", "maximum", "minimum", "max", "min", "power", "softmax", "scaled_dot_product_attention"}
    tested |= {"log_softmax", "headed_attention", "attention_weights", "l1_loss", "smooth_l1_loss", "kl_div"}
    tested |= {"normalize", "cosine_similarity", "pairwise_distance"}
    tested |= {"median", "std", "logsumexp", "logcumsumexp", "unique", "norm"}
    tested |= set("floor ceil trunc round floor_divide remainder fmod hypot arctan2 logaddexp logit fmax fmin clip".split())
    tested |= {"nan_to_num", "xlogy"}
    tested |= set("leaky_relu elu selu threshold hardtanh relu6 hardsigmoid hardswish softshrink hardshrink".split())
    assert {op.name for op in WITH_GRADIENT if op.kinks} == tested


def test_power_at_its_corners():
    assert slope(lambda x: x**2, [-3.0, 0.0]) == [[-6, 0]]
    assert slope(lambda x: x**0, [0.0, 2.0]) == [[0, 0]]
    assert slope(lambda x: x**1, [0.0, -2.0]) == [[1, 1]]
    assert slope(mg.power, [0.0], [2.0]) == [[0], [0]]
    with np.errstate(divide="ignore"):  # 0 to the power -2 is infinite
        assert slope(mg.power, [0.0], [-2.0]) == [[-np.inf], [0]]
    assert slope(lambda y: mg.power(2.0, y), [3.0]) == [[8 * np.log(2.0)]]
    x = Tensor([0.7], requires_grad=True, dtype="float64")
    (x**0.1).backward()
    assert_close(x.grad.numpy(), [0.1 * 0.7**-0.9], 1e-15)


def test_power_does_not_take_the_logarithm_nobody_needs():
    with np.errstate(all="raise"):
        assert slope(lambda x: mg.power(x, np.array([2.0, 3.0])), [-3.0, -1.0]) == [[-6, 3]]


def test_a_row_with_nothing_to_choose_from_is_zero_to_second_order():
    x, mask = Tensor(np.ones((2, 3)), requires_grad=True), np.array([[True, False, True], [False, False, False]])
    first = pulled(lambda v: mg.softmax(v, where=mask), [x], np.array([[1.0, 2.0, 3.0]] * 2), create_graph=True)[0]
    assert not first.numpy()[1].any() and first.numpy()[0, 0] < 0
    (second,) = derivatives.gradients((first * np.arange(6.0).reshape(2, 3)).sum(), x)
    assert not second.numpy()[1].any() and np.isfinite(second.numpy()).all()


@pytest.mark.parametrize("create_graph", [False, True])
def test_attention_over_nothing_is_zero_and_so_are_its_gradients(create_graph, rng):
    q, k, v = (rng.standard_normal((1, 1, n, d)) for n, d in ((2, 3), (4, 3), (4, 5)))
    mask = np.array([[True] * 4, [False] * 4])
    attend = lambda q, k, v: mg.scaled_dot_product_attention(q, k, v, mask)  # noqa: E731
    assert not attend(q, k, v)[0, 0, 1].any()
    dq, dk, dv = pulled(attend, [q, k, v], np.ones((1, 1, 2, 5)), create_graph)
    assert not dq.numpy()[0, 0, 1].any() and dq.numpy()[0, 0, 0].any()
    assert np.isfinite(dk.numpy()).all() and np.isfinite(dv.numpy()).all()


def test_nan_behind_where_does_not_leak_through_the_mask():
    x = Tensor([-1.0, 4.0], requires_grad=True)
    safe = mg.where(x > 0, x, 1.0)  # the documented pattern: make the unused branch harmless first
    mg.where(x > 0, mg.sqrt(safe), 0.0).sum().backward()
    assert x.grad.tolist() == [0.0, 0.25]


def test_derivatives_of_scalars_keep_their_precision():
    """Values without axes turn into NumPy scalars inside NumPy; a rule must not take them for Python numbers."""
    x = Tensor(np.float64(0.7), requires_grad=True)
    mg.sin(1 - x * x).backward()
    assert_close(x.grad.numpy(), -2 * 0.7 * np.cos(1 - 0.49), 1e-15)
    x = Tensor(np.float64(1 / 3), requires_grad=True)
    (mg.relu(x) * 0.1 + mg.relu(x) * 0.2 + mg.relu(x) * 0.7).backward()
    assert_close(x.grad.numpy(), 0.1 + 0.2 + 0.7, 1e-15)


@pytest.mark.parametrize("op", [op for op in WITH_GRADIENT if op.broadcasts], ids=lambda op: op.name)
def test_a_value_without_axes_has_the_derivatives_of_a_row_of_one(op):
    """To all digits, of first and second order."""
    call, found = Call(op, get_sample(op, 0)), []
    for shape in ((), (1,)):
        leaves = [Tensor(np.full(shape, v.flat[0]), requires_grad=True) for v in call.values]
        call.inputs = [np.full(shape, x.flat[0]) if isinstance(x, np.ndarray) else x for x in call.inputs]
        first = pulled(call, leaves, np.ones(shape), create_graph=True)
        total = sum(d.sum() for d in first)
        second = pulled(lambda *_, total=total: total, leaves, np.ones(())) if total.requires_grad else []
        found.append([d.item() for d in [*pulled(call, leaves, np.ones(shape)), *first, *second]])
    assert found[0] == pytest.approx(found[1], rel=1e-13, abs=1e-15)


@pytest.mark.parametrize("op", FUSED, ids=lambda op: op.name)
def test_the_engine_differentiates_the_composite_when_a_graph_is_wanted(op, monkeypatch):
    """Were the fused rule asked for a graph, a saved value could make the second derivative silently wrong."""
    call = Call(op, samples(op)[0])
    monkeypatch.setattr(op, "rule", lambda *args, **kwargs: pytest.fail("the fused rule was asked for a graph"))
    pulled(call, call.values, call.cotangent(), create_graph=True)

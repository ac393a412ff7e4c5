"""Derivatives as functions of functions, alone and inside each other, of every order; forwards computed again."""

import collections
import gc
import itertools
import re
import threading
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import derivatives
from minigrad.core import Tensor
from minigrad.errors import AnomalyError, DtypeError, GradientError, ShapeError
from tests.helpers import WITH_GRADIENT, Call, assert_close, difference, jacobian_by_differences, samples

X = np.random.default_rng(6).standard_normal((2, 3))


def quartic(x):
    return (x * x * x * x).sum()


def number(value):
    return Tensor(np.float64(value))


def test_grad_of_arrays_numbers_and_tensors():
    for x in (X, Tensor(X), Tensor(X, requires_grad=True)):
        assert_close(mg.grad(quartic)(x).numpy(), 4 * X**3, 1e-14)
    assert mg.grad(lambda x: x * x)(3.0).item() == 6.0


def test_value_and_grad_gives_both_and_keeps_nothing():
    x = Tensor(X, requires_grad=True)
    value, slope = mg.value_and_grad(quartic)(x)
    assert_close(value.item(), np.sum(X**4), 1e-14)
    assert_close(slope.numpy(), 4 * X**3, 1e-14)
    assert x.grad is None


def test_argnums():
    f = lambda x, y, power: (x * y**power).sum()  # noqa: E731
    assert mg.grad(f, 1)(2.0, 3.0, 2).item() == 12.0
    both = mg.grad(f, (0, 1))(2.0, 3.0, power=2)
    assert [g.item() for g in both] == [9.0, 12.0]
    assert mg.grad(f, np.int64(1))(2.0, 3.0, 2).item() == 12.0
    assert mg.grad(f, -2)(2.0, 3.0, 2.0).item() == 12.0
    for derivative, argnums in itertools.product((mg.grad, mg.jacobian, mg.elementwise_grad), (7, (0, 3))):
        with pytest.raises(IndexError, match="argnums"):
            derivative(f, argnums)(1.0, 2.0, 3.0)
    with pytest.raises(IndexError, match="0 arguments by place"):
        mg.grad(f)(x=1.0, y=2.0, power=2)


@pytest.mark.parametrize("derivative", [mg.grad, mg.value_and_grad, mg.elementwise_grad, mg.jacobian, mg.hessian])
def test_what_is_no_function_and_no_position_is_refused_at_once(derivative):
    name, x = derivative.__name__, Tensor(X, requires_grad=True)
    for f in (5, (x * x).sum()):
        with pytest.raises(TypeError, match=rf"^{name}: takes a function, as in {name}\(f\)\(x\).*autograd.grad\(output, x\).*Received: f"):
            derivative(f)
    for argnums in (x, Tensor(1.0), "x", 1.0, (0, x)):
        with pytest.raises(TypeError, match=rf"^{name}: argnums is a position or a tuple of positions; call {name}\(f\)\(x\)"):
            derivative(quartic, argnums)


def test_what_is_no_function_is_refused_with_the_right_form():
    x = Tensor(X, requires_grad=True)
    for derivative, rest, form in ((mg.vjp, [x], "f, x"), (mg.jvp, [[x], [x]], "f, [x], [v]"), (mg.hvp, [[x], [x]], "f, [x], [v]")):
        with pytest.raises(TypeError, match=re.escape(f"{derivative.__name__}: takes a function, as in {derivative.__name__}({form})")):
            derivative((x * x).sum(), *rest)
    with pytest.raises(TypeError, match="checkpoint: takes a function"):
        mg.checkpoint(5)
    with pytest.raises(TypeError, match=r"checkpoint: takes the function alone and returns one: checkpoint\(f\)\(x\)"):
        mg.checkpoint(quartic, x, use_reentrant=False)


def test_a_result_that_is_not_floating_has_no_gradient():
    along = lambda f: lambda x: mg.jvp(f, [x], [x])  # noqa: E731
    for of in (mg.grad, mg.elementwise_grad, mg.jacobian, mg.hessian, along):
        with pytest.raises(DtypeError, match=r"must return floating numbers.*Received: out \(\) int64"):
            of(lambda x: x.argmax())(X)
    assert mg.grad(lambda x: x.detach().sum())(X).tolist() == mg.grad(lambda x: Tensor(1.0))(X).tolist() == np.zeros((2, 3)).tolist()


def test_a_layer_as_an_argument_is_explained():
    model = mg.Dense(2).ensure_built((None, 3))
    loss = lambda model: (model(X) ** 2).sum()  # noqa: E731
    for derivative in (mg.grad, mg.hessian):
        with pytest.raises(TypeError, match=r"argument 0 is a layer.*autograd.grad\(loss\(model\), model.parameters\(\)\).*create_graph"):
            derivative(loss)(model)
    assert [g.shape for g in mg.autograd.grad(loss(model), model.parameters(), create_graph=True)] == [(3, 2), (2,)]


def test_an_argument_that_is_not_used_has_gradient_zero():
    assert mg.grad(lambda x, y: (Tensor(x) * x).sum(), 1)(X, X).tolist() == np.zeros((2, 3)).tolist()
    assert mg.grad(lambda x: Tensor(1.0))(2.0).item() == 0


def test_derivatives_of_a_line():
    line = lambda x: (3 * x).sum()  # noqa: E731
    assert mg.grad(lambda x: mg.grad(line)(x).sum())(X).tolist() == np.zeros((2, 3)).tolist()
    assert mg.jvp(mg.grad(line), [X], [X])[1].tolist() == np.zeros((2, 3)).tolist()
    assert mg.vjp(lambda x: Tensor(X), X)[1](X)[0].tolist() == np.zeros((2, 3)).tolist()


@pytest.mark.parametrize("order, expected", [(1, 108.0), (2, 108.0), (3, 72.0), (4, 24.0), (5, 0.0)])
def test_derivatives_of_every_order(order, expected):
    f = quartic
    for _ in range(order):
        f = mg.grad(f)
    assert f(number(3.0)).item() == expected


def test_an_inner_derivative_sees_what_the_outer_one_varies():
    """d/dx [d/dy (x y^2)] = 2 y: the gradient inside depends on x only through the closure."""
    outer = mg.grad(lambda x: mg.grad(lambda y: x * y * y)(number(5.0)))
    assert outer(number(3.0)).item() == 10.0


def test_perturbations_are_not_confused():
    """d/dx [x d/dy (x + y)] = 1; engines that mix up the two levels say 2."""
    outer = mg.grad(lambda x: x * mg.grad(lambda y: x + y)(number(1.0)))
    assert outer(number(1.0)).item() == 1.0


def test_gradients_of_a_loss_over_captured_parameters_reach_them():
    w = Tensor(X, requires_grad=True)
    penalty = mg.grad(lambda x: (w * x * x).sum())(X)  # 2 w x
    penalty.sum().backward()
    assert_close(w.grad.numpy(), 2 * X, 1e-14)


def test_under_no_grad_results_are_constants():
    x = Tensor(X, requires_grad=True)
    with mg.no_grad():
        value, slope = mg.value_and_grad(quartic)(x)
        _, pull = mg.vjp(quartic, x)
        moved = mg.jvp(quartic, [x], [X])[1]
    assert not any(t.requires_grad for t in (value, slope, pull(1.0)[0], moved))
    assert_close(slope.numpy(), 4 * X**3, 1e-14)


def test_results_outside_of_any_graph_are_constants():
    value, slope = mg.value_and_grad(quartic)(X)
    out, moved = mg.jvp(quartic, [X], [X])
    assert not any(t.requires_grad for t in (value, slope, out, moved, mg.vjp(quartic, X)[1](1.0)[0]))


@pytest.mark.parametrize(
    "inner",
    [
        lambda f, y: mg.grad(f)(y),
        lambda f, y: mg.jvp(f, [y], [1.0])[1],
        lambda f, y: mg.hvp(f, [y], [1.0])[1][0],  # 2x too
        lambda f, y: mg.jacobian(f)(y),
        lambda f, y: mg.vjp(f, y)[1](1.0)[0],
    ],
    ids=["grad", "jvp", "hvp", "jacobian", "vjp"],
)
def test_constants_of_an_inner_derivative_do_not_keep_the_outer_result_in_a_graph(inner):
    slope = mg.grad(lambda x: x * inner(lambda y: x * y * y, 1.0))(3.0)  # 2 x^2
    assert not slope.requires_grad
    assert float(np.asarray(slope)) == 12.0


def test_a_value_that_is_a_parameter_outside_stays_in_its_graph():
    p = Tensor(3.0, requires_grad=True)
    value, slope = mg.value_and_grad(lambda x: p)(1.0)
    (value * value).backward()
    assert p.grad.item() == 6.0 and slope.item() == 0.0


def test_vjp_pulls_as_often_as_wanted():
    out, pull = mg.vjp(lambda x, y: x * y, X, 2 * X)
    assert_close(out.numpy(), 2 * X * X, 1e-15)
    for scale in (1.0, 10.0):
        left, right = pull(np.full((2, 3), scale))
        assert_close(left.numpy(), scale * 2 * X, 1e-14)
        assert_close(right.numpy(), scale * X, 1e-14)


def test_vjp_is_linear_in_a_tracked_cotangent():
    g = Tensor(np.ones((2, 3)), requires_grad=True)
    _, pull = mg.vjp(lambda x: x * x, X)
    (pull(g)[0] * X).sum().backward()
    assert_close(g.grad.numpy(), 2 * X * X, 1e-14)


def test_jvp_against_a_difference():
    f = lambda x: mg.softmax(mg.tanh(x) @ x.mT)  # noqa: E731
    direction = np.random.default_rng(1).standard_normal((2, 3))
    step = 1e-5
    numeric = (f(Tensor(X + step * direction)).numpy() - f(Tensor(X - step * direction)).numpy()) / (2 * step)
    out, moved = mg.jvp(f, [X], [direction])
    assert_close(out.numpy(), f(Tensor(X)).numpy(), 1e-15)
    assert_close(moved.numpy(), numeric, 1e-8)


def test_jvp_of_several_inputs_and_of_unused_ones():
    _, moved = mg.jvp(lambda x, y, unused: x * y, [X, X, X], [np.ones((2, 3)), 10 * np.ones((2, 3)), X])
    assert_close(moved.numpy(), 11 * X, 1e-14)


def test_jvp_inside_grad_and_grad_inside_jvp():
    """Hessian-vector products both ways, and a derivative of a directional derivative."""
    direction = np.ones((2, 3))
    assert_close(mg.jvp(mg.grad(quartic), [X], [direction])[1].numpy(), 12 * X**2, 1e-13)
    assert_close(mg.grad(lambda x: mg.jvp(quartic, [x], [direction])[1])(X).numpy(), 12 * X**2, 1e-13)
    tangent = Tensor(direction, requires_grad=True)
    mg.jvp(quartic, [X], [tangent])[1].backward()
    assert_close(tangent.grad.numpy(), 4 * X**3, 1e-13)


def test_autograd_grad_speaks_pytorch():
    x, y = Tensor(X, requires_grad=True), Tensor(2 * X, requires_grad=True)
    out = x * y
    gx, gy = mg.autograd.grad(out, (x, y), grad_outputs=np.ones((2, 3)), create_graph=True)
    assert gx.requires_grad and x.grad is None
    assert_close(mg.autograd.grad(gx.sum(), y)[0].numpy(), np.ones((2, 3)), 1e-15)
    with pytest.raises(ValueError):
        mg.autograd.grad([out], [x], grad_outputs=[np.ones((2, 3))] * 2)


@pytest.mark.parametrize("derivative", [lambda f: mg.grad(f)(2.0), lambda f: mg.vjp(f, 2.0), lambda f: mg.jvp(f, [2.0], [1.0])])
def test_a_function_that_leaves_the_graph_says_so(derivative):
    with pytest.raises(TypeError, match="must return a Tensor.*float"):
        derivative(lambda x: np.sin(x.item()))


def test_autograd_grad_of_a_constant_says_so():
    with pytest.raises(GradientError, match="nothing to differentiate"):
        mg.autograd.grad(Tensor(1.0), Tensor(1.0, requires_grad=True))


def test_hessian_of_a_fused_model_is_symmetric(rng):
    """Row by row through composites; an unsymmetric Hessian betrays a composite that differs from its kernel."""
    targets = np.array([0, 2])
    w = rng.standard_normal((3, 4))
    f = lambda x: mg.cross_entropy(mg.layer_norm(mg.gelu(x @ w), eps=0.1), targets)  # noqa: E731
    rows = [mg.jvp(mg.grad(f), [X], [e.reshape(2, 3)])[1].numpy().ravel() for e in np.eye(6)]
    hessian = np.stack(rows)
    assert np.abs(hessian).max() > 1e-3
    assert_close(hessian, hessian.T, 1e-13)
    numeric = mg.finite_difference(lambda v: (mg.grad(f)(v) * X).sum(), X)[0]
    assert_close(hessian @ X.ravel(), numeric.ravel(), 1e-8)


def test_autograd_grad_says_what_does_not_fit():
    x = Tensor(X, requires_grad=True)
    with pytest.raises(ValueError, match="grad_outputs takes one weight per output. Received: 2 for 1"):
        mg.autograd.grad([x * x], [x], grad_outputs=[X, X])
    assert mg.autograd.grad((x * x).sum(), x, grad_outputs=2.0)[0].tolist() == (4 * X).tolist()
    with pytest.raises(TypeError, match="grad: outputs and inputs are Tensors"):
        mg.autograd.grad((x * x).sum(), X)
    with pytest.raises(GradientError, match="does not depend on input 0"):
        mg.autograd.grad((x * x).sum(), Tensor(X, requires_grad=True))
    assert mg.autograd.grad((x * x).sum(), [x, Tensor(X, requires_grad=True)], allow_unused=True)[1] is None


# -------------------------------------------------------------------------------------------------- elements, whole tables


def test_elementwise_grad_is_the_derivative_of_each_element():
    f = lambda x, y: mg.sin(x) * y  # noqa: E731
    assert_close(mg.elementwise_grad(f)(X, 2 * X).numpy(), np.cos(X) * 2 * X, 1e-15)
    assert_close(mg.elementwise_grad(f, 1)(X, 2 * X).numpy(), np.sin(X), 1e-15)
    both = mg.elementwise_grad(f, (0, 1))(X, 2 * X)
    assert_close(both[1].numpy(), np.sin(X), 1e-15)
    third = mg.elementwise_grad(mg.elementwise_grad(mg.elementwise_grad(mg.sin)))
    assert_close(third(Tensor(X)).numpy(), -np.cos(X), 1e-15)


def test_elementwise_grad_of_what_is_not_elementwise():
    """Where elements depend on each other it is the sum over each column of the Jacobian, as its docstring says."""
    table = mg.jacobian(mg.cumsum)(X[0]).numpy()
    assert_close(mg.elementwise_grad(mg.cumsum)(X[0]).numpy(), table.sum(0), 1e-15)
    with pytest.raises(ShapeError, match=r"elementwise_grad.*jacobian\(f\).*argument \(2, 3\).*result \(2,\)"):
        mg.elementwise_grad(lambda x: x.sum(1))(X)


def vector(x, y):
    """(2, 3), (3) -> (2,), and not linear in anything."""
    return mg.softmax(mg.tanh(x) * y).sum(1, keepdims=False) * mg.sin(x[:, 0] * y[1])


Y = np.array([0.3, -0.8, 1.4])


def test_jacobian_is_the_table_of_finite_differences():
    plain = lambda x, y: vector(Tensor(x), Tensor(y)).numpy()  # noqa: E731
    tables = mg.jacobian(vector, (0, 1))(X, Y)
    assert [t.shape for t in tables] == [(2, 2, 3), (2, 3)]
    for i, table in enumerate(tables):
        assert_close(table.numpy(), jacobian_by_differences(plain, [X, Y], i), 1e-9)
        assert_close(mg.jacobian(vector, i)(X, Y).numpy(), table.numpy(), 1e-15)


def test_jacobian_of_one_number_of_nothing_and_of_a_constant():
    assert_close(mg.jacobian(quartic)(X).numpy(), 4 * X**3, 1e-14)
    assert mg.jacobian(lambda x: x[:0] * 2)(X).shape == (0, 3, 2, 3)
    assert mg.jacobian(lambda x: Tensor(np.ones(4)))(X).tolist() == np.zeros((4, 2, 3)).tolist()
    assert mg.jacobian(lambda x: x * 2)(np.ones(0)).shape == (0, 0)
    for wrong in (lambda x: None, lambda x: 3.0):
        with pytest.raises(TypeError, match="jacobian: the function must return a Tensor"):
            mg.jacobian(wrong)(X)


def test_jacobian_keeps_dtype_and_is_a_constant():
    table = mg.jacobian(lambda x: x * x)(np.ones(2, np.float32))
    assert table.dtype == np.float32 and not table.requires_grad


def test_hessian_is_symmetric_and_the_jacobian_of_the_gradient():
    f = lambda x, y: (vector(x, y) * mg.exp(x).sum(1)).sum()  # noqa: E731
    (xx, xy), (yx, yy) = mg.hessian(f, (0, 1))(X, Y)
    assert [h.shape for h in (xx, xy, yx, yy)] == [(2, 3, 2, 3), (2, 3, 3), (3, 2, 3), (3, 3)]
    assert_close(xx.numpy(), xx.numpy().transpose(2, 3, 0, 1), 1e-13)
    assert_close(xy.numpy(), yx.numpy().transpose(1, 2, 0), 1e-13)
    slope = lambda x, y: mg.grad(f, 1)(x, y).numpy()  # noqa: E731
    assert_close(yx.numpy(), jacobian_by_differences(slope, [X, Y], 0), 1e-8)
    assert_close(yy.numpy(), mg.jacobian(mg.grad(f, 1), 1)(X, Y).numpy(), 1e-15)
    assert_close(mg.hessian(f)(X, Y).numpy(), xx.numpy(), 1e-15)


def test_derivatives_of_a_hessian_and_of_a_jacobian():
    """d/dx of the trace of the Hessian of sum x^5; the Jacobian inside a loss; a Hessian of a Hessian's entry."""
    quintic = lambda x: (x**5).sum()  # noqa: E731
    slope = mg.grad(lambda x: (mg.hessian(quintic)(x) * np.eye(3)).sum())(X[0])
    assert_close(slope.numpy(), 60 * X[0] ** 2, 1e-13)
    penalty = mg.grad(lambda x: (mg.jacobian(mg.tanh)(x) ** 2).sum())(X[0])
    t = np.tanh(X[0])
    assert_close(penalty.numpy(), 2 * (1 - t**2) * (-2 * t * (1 - t**2)), 1e-13)
    assert_close(mg.hessian(lambda x: mg.hessian(quintic)(x)[0, 0])(X[0]).numpy()[0, 0], 120 * X[0, 0], 1e-12)


def test_a_hessian_reaches_parameters_outside():
    w = Tensor(2.0, requires_grad=True, dtype="float64")
    mg.hessian(lambda x: (w * x**3).sum())(X[0]).sum().backward()
    assert_close(w.grad.numpy(), 6 * X[0].sum(), 1e-13)
    with mg.no_grad():
        assert not mg.hessian(lambda x: (w * x**3).sum())(X[0]).requires_grad


def test_hvp_is_the_hessian_times_the_vectors():
    f = lambda x, y: (vector(x, y) ** 2).sum()  # noqa: E731
    u, v = np.random.default_rng(2).standard_normal((2, 3)), np.random.default_rng(3).standard_normal(3)
    value, (hx, hy) = mg.hvp(f, [X, Y], [u, v])
    (xx, xy), (yx, yy) = (tuple(h.numpy() for h in row) for row in mg.hessian(f, (0, 1))(X, Y))
    assert_close(value.numpy(), f(Tensor(X), Tensor(Y)).numpy(), 1e-15)
    assert_close(hx.numpy(), np.tensordot(xx, u, 2) + xy @ v, 1e-13)
    assert_close(hy.numpy(), np.tensordot(yx, u, 2) + yy @ v, 1e-13)
    assert not any(t.requires_grad for t in (value, hx, hy))
    assert mg.hvp(lambda x: (3 * x).sum(), [X], [u])[1][0].tolist() == np.zeros((2, 3)).tolist()


def test_hvp_can_be_differentiated():
    direction = Tensor(np.ones((2, 3)), requires_grad=True)
    _, (product,) = mg.hvp(quartic, [X], [direction])
    product.sum().backward()
    assert_close(direction.grad.numpy(), 12 * X**2, 1e-13)
    slope = mg.grad(lambda x: mg.hvp(quartic, [x], [np.ones((2, 3))])[1][0].sum())(X)
    assert_close(slope.numpy(), 24 * X, 1e-13)


@pytest.mark.parametrize("derivative", [mg.jvp, mg.hvp])
def test_directions_that_do_not_fit_say_so(derivative):
    name = derivative.__name__
    with pytest.raises(TypeError, match=rf"{name}: takes a list of inputs.*{name}\(f, \[x\], \[v\]\)"):
        derivative(quartic, X, [X])
    for wrong in ([X.T], [X, X], []):
        with pytest.raises(ShapeError, match=rf"{name}: every input needs one direction of its shape.*inputs \(2, 3\)"):
            derivative(quartic, [X], wrong)


@pytest.mark.oracle
def test_tables_are_pytorchs():
    torch = pytest.importorskip("torch")
    functional = torch.autograd.functional
    tensors = [torch.tensor(a) for a in (X, Y)]
    theirs = lambda x, y: torch.softmax(torch.tanh(x) * y, -1).sum(1) * torch.sin(x[:, 0] * y[1])  # noqa: E731
    for ours, wanted in zip(mg.jacobian(vector, (0, 1))(X, Y), functional.jacobian(theirs, tuple(tensors))):
        assert_close(ours.numpy(), wanted.numpy(), 1e-13)
    ours = mg.hessian(lambda x, y: (vector(x, y) ** 3).sum(), (0, 1))(X, Y)
    wanted = functional.hessian(lambda x, y: (theirs(x, y) ** 3).sum(), tuple(tensors))
    for row, wanted_row in zip(ours, wanted):
        for h, w in zip(row, wanted_row):
            assert_close(h.numpy(), w.numpy(), 1e-13)
    _, ours = mg.hvp(lambda x, y: (vector(x, y) ** 3).sum(), [X, Y], [X, Y])
    _, wanted = functional.hvp(lambda x, y: (theirs(x, y) ** 3).sum(), tuple(tensors), tuple(tensors))
    for h, w in zip(ours, wanted):
        assert_close(h.numpy(), w.numpy(), 1e-13)


# ------------------------------------------------------------------------------------------------------ dicts, lists, pairs

Line = collections.namedtuple("Line", "slope, shift")


def line(model, x):
    return ((x * model["line"].slope + model["line"].shift) ** 2 * model["weights"][0]).sum()


MODEL = {"line": Line(np.float64(2.0) * np.ones(()), np.ones(3)), "weights": [np.array([[1.0], [2.0]]), None]}


def test_arguments_in_dicts_lists_and_named_tuples():
    slopes = mg.grad(line)(MODEL, X)
    assert isinstance(slopes["line"], Line) and slopes["weights"][1] is None
    error = 2 * (X * 2 + 1) * MODEL["weights"][0]
    assert_close(slopes["line"].slope.numpy(), (error * X).sum(), 1e-13)
    assert_close(slopes["line"].shift.numpy(), error.sum(0), 1e-13)
    assert_close(slopes["weights"][0].numpy(), ((X * 2 + 1) ** 2).sum(1, keepdims=True), 1e-13)
    both, x_too = mg.grad(line, (0, 1))(MODEL, X)
    assert_close(both["line"].shift.numpy(), error.sum(0), 1e-13)
    assert_close(x_too.numpy(), error * 2, 1e-13)


def test_tables_and_products_of_arguments_in_dicts():
    f = lambda d: {"out": d["a"] * d["b"], "sum": [d["a"].sum()]}  # noqa: E731
    tables = mg.jacobian(f)({"a": np.array([1.0, 2.0]), "b": np.array(3.0)})
    assert tables["out"]["a"].tolist() == [[3, 0], [0, 3]] and tables["out"]["b"].tolist() == [1, 2]
    assert tables["sum"][0]["a"].tolist() == [1, 1] and tables["sum"][0]["b"].item() == 0
    h = mg.hessian(lambda d: (d["a"] ** 2 * d["b"]).sum())({"a": np.array([1.0, 2.0]), "b": np.array(3.0)})
    assert h["a"]["a"].tolist() == [[6, 0], [0, 6]] and h["a"]["b"].tolist() == h["b"]["a"].tolist() == [2, 4]
    at = {"a": np.array([1.0, 2.0]), "b": np.array(3.0)}
    _, (product,) = mg.hvp(lambda d: (d["a"] ** 2 * d["b"]).sum(), [at], [at])
    assert product["a"].tolist() == [12, 24] and product["b"].item() == 10
    out, pull = mg.vjp(lambda d: d["a"] * d["b"], at)
    assert pull([1.0, 1.0])[0]["b"].item() == 3


def test_a_list_of_numbers_is_an_array():
    assert mg.grad(lambda x: (x * x).sum())([1.0, 2.0]).tolist() == [2, 4]
    with pytest.raises(DtypeError, match="grad: argument 0 must be floating"):
        mg.grad(lambda x: x["a"])({"a": np.array(3)})


def test_something_beside_the_value():
    def f(x):
        return (x * x).sum(), {"double": x * 2, "name": "square"}

    (value, beside), slope = mg.value_and_grad(f, has_aux=True)(X)
    assert_close(value.numpy(), (X * X).sum(), 1e-15)
    assert beside["name"] == "square" and not beside["double"].requires_grad
    slope_alone, beside = mg.grad(f, has_aux=True)(X)
    assert slope_alone.tolist() == slope.tolist() and beside["name"] == "square"
    with pytest.raises(TypeError, match="has_aux.*a pair"):
        mg.grad(quartic, has_aux=True)(X)


# ----------------------------------------------------------------------------------------------------------- third order


def second_order(call, values, directions):
    """<v, H u> of <w, op(values)> as a Tensor with a graph, and its leaves; None where it is a constant."""
    leaves, total = [Tensor(v, requires_grad=True) for v in values], call.cotangent()
    total = (call(*leaves) * total).sum()
    for step in directions:
        found = derivatives.gradients(total, leaves, create_graph=True, allow_unused=True)
        total = sum((d * u).sum() for d, u in zip(found, step) if d is not None)
        if not (isinstance(total, Tensor) and total.requires_grad):
            return None, leaves
    return total, leaves


@pytest.mark.parametrize("op", [op for op in WITH_GRADIENT if op.samples], ids=lambda op: op.name)
def test_third_order_of_every_op(op):
    """The gradient of a Hessian product, twice projected, against finite differences of the Hessian product."""
    call = next(c for c in (Call(op, sample) for sample in samples(op)) if c.values and all(v.size for v in c.values))
    directions = [call.tangents(7), call.tangents(8)]
    total, leaves = second_order(call, call.values, directions)
    if total is None:
        found = [None] * len(leaves)
    else:
        found = derivatives.gradients(total, leaves, allow_unused=True)

    def projected(*values):
        total, _ = second_order(call, values, directions)
        return 0.0 if total is None else total.item()

    for i, d in enumerate(found):
        direction = call.tangents(9)[i]
        analytic = 0.0 if d is None else float((d.numpy() * direction).sum())
        assert_close(analytic, difference(projected, call.values, i, direction), 1e-6, f"input {i}")


def test_fourth_and_fifth_order_through_fused_ops(rng):
    """Each order is the derivative of the one before it, along a line through softmax, layer_norm, gelu and cross_entropy."""
    w, targets, direction = rng.standard_normal((3, 4)), np.array([0, 2]), rng.standard_normal((2, 3))
    f = lambda x: mg.cross_entropy(mg.layer_norm(mg.gelu(mg.softmax(x) @ w), eps=0.1), targets)  # noqa: E731
    along = lambda t: f(Tensor(X) + t * direction)  # noqa: E731
    for order in range(1, 6):
        before, along = along, mg.grad(along)
        numeric = difference(lambda t, before=before: before(Tensor(t)).item(), [np.array(0.2)], 0, 1.0, 1e-3)
        assert abs(numeric) > 1e-3
        assert_close(along(number(0.2)).item(), numeric, 1e-7, f"order {order}")


# ------------------------------------------------------------------------------------------------------ recomputation


class Noisy(mg.Layer):
    """tanh(x W) with dropout, less a running mean that it updates and uses: everything that a second run must find as it was."""

    def __init__(self, width, generator=None):
        self.width, self.generator, self.runs = width, generator, 0
        self.average = mg.Buffer(np.zeros(width))

    def build(self, input_shape):
        self.kernel = mg.Parameter(np.random.default_rng(4).standard_normal((input_shape[-1], self.width)))

    def call(self, x, training=False):
        self.runs += 1
        x = mg.tanh(x @ self.kernel)
        if training:
            seed, offset = (self.generator or mg.random.current()).counters(x.size)
            x = mg.dropout(x, 0.4, seed, offset) + (self.generator or mg.random.current()).normal(x.shape, 0.0, 0.1)
            self.average.assign(0.9 * self.average.numpy() + 0.1 * x.numpy().mean(0))
        return x - self.average.numpy()


def noisy(seed=5):
    model = mg.Sequential(Noisy(4), Noisy(4, mg.Generator(seed)), Noisy(2))
    model(X)
    return model


def traces(model, x, f):
    """Gradients, statistics and generators after two steps: all that must not depend on how the backward is done."""
    mg.manual_seed(3)
    found = []
    for _ in range(2):
        (f(x) ** 2).sum().backward()
        found += [layer.average.numpy() for layer in model.layers]
        found += [np.array(str(g.state())) for g in (mg.random.current(), model.layers[1].generator)]
    return found + [p.grad.numpy() for p in (x, *model.parameters())]


def wrapped(model, how):
    """The model's function in training, with checkpoints around all of it, around its layers, or both."""
    layers = [mg.checkpoint(layer) if "layers" in how else layer for layer in model.layers]

    def run(x):
        for layer in layers:
            x = layer(x, training=True)
        return x

    return mg.checkpoint(run) if "whole" in how else run


@pytest.mark.parametrize("how", ["whole", "layers", "layers, whole"])
def test_checkpoint_gives_the_same_bits_and_one_update(how):
    plain, other = noisy(), noisy()
    x, y = Tensor(X, requires_grad=True), Tensor(X, requires_grad=True)
    expected, got = traces(plain, x, wrapped(plain, "")), traces(other, y, wrapped(other, how))
    assert [np.array_equal(a, b) for a, b in zip(got, expected)] == [True] * len(expected)
    assert [layer.runs for layer in plain.layers] == [3] * 3
    assert [layer.runs for layer in other.layers] == [{"whole": 5, "layers": 5, "layers, whole": 7}[how]] * 3


@pytest.mark.parametrize("how", ["whole", "layers, whole"])
def test_checkpoint_to_third_order(how):
    model = noisy()

    def orders(f):
        mg.manual_seed(3)
        model.layers[1].generator.set_state(mg.Generator(5).state())
        for layer in model.layers:
            layer.average.assign(np.zeros(layer.width))
        x = Tensor(X, requires_grad=True)
        at, found = [x, *model.parameters()], []
        total = (f(x) ** 2).sum()
        for order in range(3):
            gradients = derivatives.gradients(total, at, create_graph=order < 2, retain_graph=True)
            found += [g.numpy() for g in gradients]
            total = sum((g * np.cos(np.arange(g.size)).reshape(g.shape)).sum() for g in gradients)
        return found

    expected = orders(wrapped(model, ""))
    for a, b in zip(orders(wrapped(model, how)), expected):
        assert_close(a, b, 1e-13)


def test_checkpoint_of_what_is_differentiated_inside():
    """A gradient inside a checkpoint inside a gradient: leaves that the function makes are its own affair."""
    w = Tensor(2.0, requires_grad=True, dtype="float64")
    f = mg.checkpoint(lambda x: mg.grad(lambda y: (w * y**3 * x).sum())(np.array([1.0, 2.0])).sum())  # 3 w x (1 + 4)
    assert_close(mg.grad(f)(number(4.0)).item(), 30.0, 1e-15)
    f(number(4.0)).backward()
    assert_close(w.grad.item(), 60.0, 1e-15)


def test_checkpoint_passes_everything_through():
    """Several outputs, some not recorded, one an input; dicts, keywords, things that are no tensors; tensors by their names."""
    p, captured = mg.Parameter([2.0]), Tensor([5.0], requires_grad=True) * 3

    @mg.checkpoint
    def many(x, scale, *, names):
        """What it does."""
        y = x * p * scale + captured
        return {names[0]: y, "pair": [y * y, x, np.ones(2)], "none": None, "n": 7, "constant": Tensor([1.0])}

    assert many.__name__ == "many" and many.__doc__ == "What it does."
    x = Tensor([3.0], requires_grad=True)
    out = many(x, 4, names=["first"])
    assert out["pair"][1] is x and out["n"] == 7 and out["none"] is None and not out["constant"].requires_grad
    assert out["first"].grad_fn is out["pair"][0].grad_fn and out["pair"][2].tolist() == [1, 1]
    (out["first"] + out["pair"][0]).backward(retain_graph=True)  # d/dy (y + y^2) = 1 + 2 y, y = 24 + 15
    assert (x.grad.item(), p.grad.item()) == (79 * 8, 79 * 12)
    (only,) = mg.autograd.grad(many(x, 4, names=["first"])["first"], captured)
    assert only.item() == 1


def test_checkpoint_takes_one_output_or_one_input_alone():
    x, y = Tensor(X, requires_grad=True), Tensor(2 * X, requires_grad=True)
    f = mg.checkpoint(lambda x, y: (x * y, x + y))
    assert_close(mg.autograd.grad(f(x, y)[0].sum(), y)[0].numpy(), X, 1e-15)
    assert_close(mg.autograd.grad(f(x, y)[1].sum(), x)[0].numpy(), np.ones((2, 3)), 1e-15)
    assert_close(mg.autograd.grad(mg.checkpoint(mg.multiply)(x, x).sum(), x)[0].numpy(), 2 * X, 1e-15)


def test_checkpoint_of_inputs_that_depend_on_each_other():
    """The captured tensor is behind the argument too: its gradient comes by two ways, and is counted once by each."""
    w = Tensor(X, requires_grad=True)
    for create_graph in (False, True):
        captured = w * w
        f = mg.checkpoint(lambda x, captured=captured: x * captured)
        (slope,) = mg.autograd.grad(f(mg.sin(captured)).sum(), w, create_graph=create_graph)
        assert_close(slope.numpy(), 2 * X * (np.sin(X**2) + X**2 * np.cos(X**2)), 1e-14)


def test_checkpoint_without_anything_to_record():
    f = mg.checkpoint(lambda x: x * 2)
    assert not f(Tensor(X)).requires_grad and isinstance(f(X), np.ndarray)
    with mg.no_grad():
        assert not f(Tensor(X, requires_grad=True)).requires_grad


def test_checkpoint_works_in_the_settings_of_the_first_run():
    with mg.use_default_dtype("float64"), mg.random.using(mg.Generator(8)):
        f = mg.checkpoint(lambda x: x * mg.randn(2, 3) * mg.tensor(1 / 3))
        x = Tensor(X, requires_grad=True)
        out = f(x)
        expected = out.numpy() / X
    out.backward(np.ones((2, 3)))
    assert x.grad.dtype == np.float64
    assert_close(x.grad.numpy(), expected, 1e-14)


def test_anomaly_mode_names_the_op_inside_a_checkpoint():
    x = Tensor([0.0, 1.0], requires_grad=True)
    with mg.detect_anomaly(), pytest.raises(AnomalyError, match=r"(?s)^sqrt, backward: inf at index \(0,\).*mg.sqrt\(x\).sum\(\)\)"):
        mg.checkpoint(lambda x: mg.sqrt(x).sum())(x).backward()


def test_checkpoint_forward_in_one_thread_and_backward_in_another():
    x = Tensor(X, requires_grad=True)
    out = mg.checkpoint(lambda x: x * mg.randn(2, 3))(x)
    thread = threading.Thread(target=lambda: out.backward(np.ones((2, 3))))
    thread.start()
    thread.join()
    assert_close(x.grad.numpy(), out.numpy() / X, 1e-6)


def test_checkpoint_walks_again_where_the_graph_is_kept_and_is_freed_where_not():
    x, calls = Tensor(X, requires_grad=True), []
    out = mg.checkpoint(lambda x: (calls.append(1), (x**3).sum())[1])(x)
    out.backward(retain_graph=True)
    out.backward()
    assert_close(x.grad.numpy(), 6 * X**2, 1e-14)
    assert len(calls) == 3
    with pytest.raises(GradientError, match="freed"):
        out.backward()


def test_checkpoint_lets_go_of_its_arguments():
    class Thing:
        pass

    thing = Thing()
    seen, x = weakref.ref(thing), Tensor(X, requires_grad=True)
    out = mg.checkpoint(lambda x, thing: (x * x).sum())(x, thing)
    gc.disable()
    try:
        del thing
        assert seen() is not None
        out.backward()
        assert seen() is None
        inner = weakref.ref(mg.checkpoint(lambda x: x * x)(x))
        assert inner() is None
    finally:
        gc.enable()


def test_a_parameter_frozen_in_between_gets_no_gradient_and_others_do():
    p, q, x = mg.Parameter([2.0]), mg.Parameter([3.0]), Tensor([1.0], requires_grad=True)
    out = mg.checkpoint(lambda x: x * p * q)(x)
    p.frozen = True
    out.backward()
    assert (x.grad.item(), p.grad, q.grad.item()) == (6, None, 2)


def test_a_parameter_changed_in_between_is_an_error():
    p, x = mg.Parameter([2.0]), Tensor([1.0], requires_grad=True)
    out = mg.checkpoint(lambda x: x * p)(x)
    p.assign([3.0])
    with pytest.raises(GradientError, match="changed after checkpoint used it"):
        out.backward()


def test_a_second_run_that_differs_is_an_error():
    count, generator = iter(range(100)), np.random.default_rng(0)
    x = Tensor(X, requires_grad=True)

    def shape(x):
        return mg.concatenate([x] * (1 + next(count)))

    def value(x):
        return x * generator.random()

    for f, words in ((shape, r"first \(2, 3\) float64 .*again \(4, 3\)"), (value, r"np\.random.*first \(2, 3\) .*again \(2, 3\)")):
        out = mg.checkpoint(f)(x)
        with pytest.raises(GradientError, match=f"checkpoint: computed again, {f.__name__} gives something else.*{words}"):
            out.sum().backward()
    assert x.grad is None


def test_a_tensor_kept_from_the_first_run_is_an_error():
    """Its gradient would end in a graph that nobody walks."""
    kept = {}

    def cached(x):
        kept.setdefault("x", x * 2)
        return kept["x"] * 3

    x = Tensor(X, requires_grad=True)
    with pytest.raises(GradientError, match="cached uses other tensors than the first time.*must not keep tensors"):
        mg.checkpoint(cached)(x).sum().backward()


def test_an_exception_in_the_second_run_leaves_everything_as_it_was():
    model, fails = noisy(), []

    def f(x):
        x = model(x, training=True)
        if fails:
            raise ZeroDivisionError
        return x

    mg.manual_seed(1)
    out = mg.checkpoint(f)(Tensor(X, requires_grad=True))
    before = [layer.average.numpy() for layer in model.layers], mg.random.current().state(), model.layers[1].generator.state()
    fails.append(True)
    with pytest.raises(ZeroDivisionError):
        out.sum().backward()
    after = [layer.average.numpy() for layer in model.layers], mg.random.current().state(), model.layers[1].generator.state()
    assert all(np.array_equal(a, b) for a, b in zip(before[0], after[0])) and before[1:] == after[1:]


def test_checkpoint_keeps_less():
    """A chain of 8 x 8 steps: without, all 64 results live until the backward; with it, the 8 of one section at a time."""

    def lives(checkpointed):
        seen, most = [], 0

        def section(x):
            nonlocal most
            for _ in range(8):
                x = mg.sin(x)
                seen.append(weakref.ref(x))
                most = max(most, alive())
            return x

        def alive():
            return sum(r() is not None for r in seen)

        x = Tensor(X, requires_grad=True)
        y = x
        for _ in range(8):
            y = (mg.checkpoint(section) if checkpointed else section)(y)
        kept = alive()
        y.sum().backward()
        return kept, most, x.grad.numpy()

    gc.disable()
    try:
        (kept, most, expected), (less_kept, less, got) = lives(False), lives(True)
    finally:
        gc.enable()
    assert np.array_equal(got, expected)
    assert (kept, most) == (64, 64) and (less_kept, less) == (0, 8)

"""grad, value_and_grad, vjp, jvp and autograd.grad as functions of functions, alone and inside each other."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from minigrad.errors import GradientError
from tests.helpers import assert_close

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
    with pytest.raises(IndexError):
        mg.grad(f, 7)(1.0, 2.0, 3.0)


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

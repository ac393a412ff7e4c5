"""Programs nobody would write: random graphs of ops, with reuse, broadcasting, views and dead ends.

Each program is a list of steps that any library can run. Ours is compared with finite differences, to second order, and
with PyTorch and JAX in value, gradient and the gradient of the gradient.
"""

import types

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from tests.helpers import assert_close

# Steps on one result and on two, in the functions of a library ``m``; they keep numbers small and away from kinks' corners.
UNARY = [
    lambda m, x: m.tanh(x), lambda m, x: m.sin(x), lambda m, x: m.cos(x), lambda m, x: m.sigmoid(x), lambda m, x: m.erf(x),
    lambda m, x: m.gelu(x), lambda m, x: m.softplus(x), lambda m, x: m.square(x), lambda m, x: -x, lambda m, x: m.softmax(x),
    lambda m, x: m.log_softmax(x), lambda m, x: m.exp(m.tanh(x)), lambda m, x: m.log(1 + x * x), lambda m, x: m.sqrt(1 + x * x),
    lambda m, x: m.arctan(x), lambda m, x: m.expm1(m.tanh(x)), lambda m, x: m.layer_norm(x),
    lambda m, x: m.sum(x, axis=-1, keepdims=True), lambda m, x: m.mean(x, axis=0, keepdims=True),
    lambda m, x: m.logsumexp(x, axis=-1, keepdims=True), lambda m, x: m.var(x, -1), lambda m, x: m.prod(m.cos(x), 0),
    lambda m, x: m.cumsum(x, axis=1), lambda m, x: m.roll(x, 1, 0), lambda m, x: m.flip(x, (0,)), lambda m, x: m.tril(x),
    lambda m, x: m.pad(x), lambda m, x: x[:, [0, -1, 0]], lambda m, x: x[:1], lambda m, x: m.reshape(x, (-1, 1)),
    lambda m, x: 0.3 * x, lambda m, x: 2 - x, lambda m, x: x / 3, lambda m, x: m.swap(x), lambda m, x: m.broadcast(x),
]  # fmt: skip
BINARY = [
    lambda m, x, y: x + y, lambda m, x, y: x * y, lambda m, x, y: x - y, lambda m, x, y: x / (1 + y * y),
    lambda m, x, y: (1 + x * x) ** m.tanh(y), lambda m, x, y: m.where(x, m.sum(x) * 0.1 + m.sum(y) * 0.1),
    lambda m, x, y: m.logaddexp(x, y), lambda m, x, y: m.matmul(x, m.swap(y)), lambda m, x, y: m.matmul(m.swap(x), y),
    lambda m, x, y: m.concatenate([x, y], 1), lambda m, x, y: m.concatenate([x, y], 0), lambda m, x, y: m.einsum("ij,kj->ki", x, y),
    lambda m, x, y: m.arctan2(x, 2 + y * y),
]  # fmt: skip


def columns(x):
    """Every other column: a constant condition."""
    return np.arange(x.shape[-1]) % 2 == 0


class OURS(types.SimpleNamespace):
    """minigrad in the words of the steps."""

    def __getattr__(self, name):
        return getattr(mg, name)

    layer_norm = staticmethod(lambda x: mg.layer_norm(x, eps=0.1))
    var = staticmethod(lambda x, axis: mg.var(x, axis=axis, keepdims=True))
    prod = staticmethod(lambda x, axis: mg.prod(x, axis=axis, keepdims=True))
    pad = staticmethod(lambda x: mg.pad(x, ((1, 0), (0, 1))))
    where = staticmethod(lambda x, y: mg.where(columns(x), x, y))
    swap = staticmethod(lambda x: mg.swapaxes(x, 0, 1))
    broadcast = staticmethod(lambda x: mg.broadcast_to(x, (2, *x.shape))[1])


ours = OURS()


def program(seed, length=14):
    """Steps that fit together: (function, number of the first operand, number of the second or None)."""
    rng, values, steps = np.random.default_rng(seed), start(seed), []
    while len(steps) < length:
        kind, which, first, second = rng.random(4)
        one, two = int(first * len(values)), int(second * len(values)) if kind > 0.5 else None
        function = UNARY[int(which * len(UNARY))] if two is None else BINARY[int(which * len(BINARY))]
        try:
            made = function(ours, *(values[i] for i in (one, two) if i is not None))
        except ValueError:
            continue  # these two do not fit
        if made.size <= 60:
            steps.append((function, one, two))
            values.append(np.tanh(made))
    return steps


def run(m, steps, values):
    """One number from three tensors: the library ``m`` goes through the steps; some results are never used."""
    made = list(values)
    for function, one, two in steps:
        made.append(m.tanh(function(m, *(made[i] for i in (one, two) if i is not None))))
    total = 0.0
    for i, x in enumerate(made[3:]):
        if i % 4:
            total = total + m.mean(x) * (1 + i % 3)
    return total


def start(seed):
    rng = np.random.default_rng(1000 + seed)
    return [rng.standard_normal(shape) for shape in ((2, 3), (2, 1), (1, 3))]


def directions_for(seed, values):
    return [np.random.default_rng(2000 + seed + i).standard_normal(v.shape) for i, v in enumerate(values)]


def along(found, directions):
    return sum((g * d).sum() for g, d in zip(found, directions) if g is not None)


def gradients(steps, arrays, create_graph=False):
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    return leaves, mg.autograd.grad(run(ours, steps, leaves), leaves, create_graph=create_graph, allow_unused=True)


def with_product(steps, values, directions):
    """Value, gradients and Hessian-vector product; zeros where a program does not use an input."""
    leaves, first = gradients(steps, values, create_graph=True)
    slope = along(first, directions)
    second = mg.autograd.grad(slope, leaves, allow_unused=True) if getattr(slope, "requires_grad", False) else [None] * 3
    zeros = lambda found: [np.zeros(v.shape) if g is None else g.numpy() for g, v in zip(found, values)]  # noqa: E731
    return run(ours, steps, [Tensor(v) for v in values]).item(), zeros(first), zeros(second)


@pytest.mark.parametrize("seed", range(60))
def test_gradients_and_hessian_vector_products(seed):
    steps, values = program(seed), start(seed)
    directions = directions_for(seed, values)
    _, first = gradients(steps, values)
    _, again, second = with_product(steps, values, directions)
    for a, b in zip(first, again):
        assert_close(np.zeros(b.shape) if a is None else a.numpy(), b, 1e-13)

    def quotient(f, step):
        moved = [[v + t * d for v, d in zip(values, directions)] for t in (step, -step)]
        return (f(moved[0]) - f(moved[1])) / (2 * step)

    def extrapolated(f):
        return (4 * quotient(f, 5e-4) - quotient(f, 1e-3)) / 3

    dot = lambda found: sum((g * d).sum() for g, d in zip(found, directions))  # noqa: E731
    assert_close(dot(again), extrapolated(lambda arrays: run(ours, steps, [Tensor(a) for a in arrays]).item()), 1e-8)
    slope = lambda arrays: float(np.sum(along(gradients(steps, arrays)[1], directions).numpy()))  # noqa: E731
    if any(g is not None for g in first):
        assert_close(dot(second), extrapolated(slope), 1e-7)


def test_every_step_is_taken_by_some_program():
    taken = {function for seed in range(60) for function, _, _ in program(seed)}
    assert taken == {*UNARY, *BINARY}


# ----------------------------------------------------------------------------------------------------- other libraries


def torch_words():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional  # noqa: N806

    class Words(types.SimpleNamespace):
        def __getattr__(self, name):
            return getattr(torch, name)

        softmax = staticmethod(lambda x: torch.softmax(x, -1))
        log_softmax = staticmethod(lambda x: torch.log_softmax(x, -1))
        gelu, softplus = staticmethod(F.gelu), staticmethod(lambda x: F.softplus(x, threshold=100))
        layer_norm = staticmethod(lambda x: F.layer_norm(x, x.shape[-1:], eps=0.1))
        mean = staticmethod(lambda x, axis=None, keepdims=False: x.mean() if axis is None else x.mean(axis, keepdim=keepdims))
        var = staticmethod(lambda x, axis: torch.var(x, axis, correction=0, keepdim=True))
        prod = staticmethod(lambda x, axis: torch.prod(x, axis, keepdim=True))
        pad = staticmethod(lambda x: F.pad(x, (0, 1, 1, 0)))
        where = staticmethod(lambda x, y: torch.where(torch.from_numpy(columns(x)), x, y))
        swap, broadcast = staticmethod(lambda x: x.mT), staticmethod(lambda x: x.broadcast_to(2, *x.shape)[1])
        concatenate, arctan2 = staticmethod(torch.cat), staticmethod(torch.atan2)

    return Words()


def jax_words():
    jax = pytest.importorskip("jax")
    jnp, nn = jax.numpy, jax.nn

    class Words(types.SimpleNamespace):
        def __getattr__(self, name):
            return getattr(jnp, name)

        softmax, log_softmax, sigmoid, softplus = map(staticmethod, (nn.softmax, nn.log_softmax, nn.sigmoid, nn.softplus))
        gelu, erf = staticmethod(lambda x: nn.gelu(x, approximate=False)), staticmethod(jax.scipy.special.erf)
        logsumexp = staticmethod(jax.scipy.special.logsumexp)
        layer_norm = staticmethod(lambda x: nn.standardize(x, epsilon=0.1))
        var = staticmethod(lambda x, axis: jnp.var(x, axis, keepdims=True))
        prod = staticmethod(lambda x, axis: jnp.prod(x, axis, keepdims=True))
        pad = staticmethod(lambda x: jnp.pad(x, ((1, 0), (0, 1))))
        where = staticmethod(lambda x, y: jnp.where(columns(x), x, y))
        swap, broadcast = staticmethod(lambda x: x.T), staticmethod(lambda x: jnp.broadcast_to(x, (2, *x.shape))[1])

    return Words()


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(100, 160))
def test_torch_agrees_to_second_order(seed):
    m = torch_words()
    import torch

    steps, values = program(seed), start(seed)
    directions = directions_for(seed, values)
    leaves = [torch.tensor(v, requires_grad=True) for v in values]
    value = run(m, steps, leaves)
    zeros = lambda found: [np.zeros(v.shape) if g is None else g.detach().numpy() for g, v in zip(found, values)]  # noqa: E731
    first = torch.autograd.grad(value, leaves, create_graph=True, allow_unused=True)
    slope = along(first, [torch.tensor(d) for d in directions])
    second = torch.autograd.grad(slope, leaves, allow_unused=True)
    compare(with_product(steps, values, directions), (value.item(), zeros(first), zeros(second)))


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(200, 208))
def test_jax_agrees_to_second_order(seed):
    m = jax_words()
    import jax

    steps, values = program(seed), start(seed)
    directions = directions_for(seed, values)
    with jax.enable_x64(True):
        gradient = jax.grad(lambda values: run(m, steps, values))
        first, second = jax.jvp(gradient, ([jax.numpy.asarray(v) for v in values],), ([jax.numpy.asarray(d) for d in directions],))
        value = run(m, steps, values)
    compare(with_product(steps, values, directions), (float(value), first, second))


def compare(found, expected):
    assert_close(found[0], expected[0], 1e-13)
    for ours_, theirs in zip((*found[1], *found[2]), (*expected[1], *expected[2])):
        assert_close(ours_, theirs, 1e-11)

"""Programs nobody would write: random graphs of ops, with reuse, broadcasting and dead ends, against differences."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from tests.helpers import assert_close

UNARY = [
    mg.tanh, mg.sin, mg.cos, mg.sigmoid, mg.erf, mg.gelu, mg.square, mg.negative, mg.softmax, mg.log_softmax,
    lambda x: mg.exp(mg.tanh(x)), lambda x: mg.log(1 + x * x), lambda x: mg.sqrt(1 + x * x), lambda x: mg.layer_norm(x, eps=0.1),
    lambda x: x.sum(axis=-1, keepdims=True), lambda x: x.mean(axis=0, keepdims=True), lambda x: x[::-1],
    lambda x: x[:, [0, -1, 0]], lambda x: x.reshape(-1, 1), lambda x: 0.3 * x, lambda x: 2 - x, lambda x: x / 3,
    lambda x: mg.dropout(x, 0.4, 3), lambda x: x.mT,
]  # fmt: skip
BINARY = [
    mg.add, mg.multiply, mg.subtract, lambda x, y: x / (1 + y * y), lambda x, y: (1 + x * x) ** mg.tanh(y),
    lambda x, y: mg.where(np.arange(x.shape[-1]) % 2 == 0, x, x.sum() * 0.1 + y.sum() * 0.1), lambda x, y: mg.matmul(x, y.mT),
    lambda x, y: mg.matmul(x.mT, y), lambda x, y: mg.concatenate([x, y], axis=1), lambda x, y: mg.linear(x, y.mT),
]  # fmt: skip


def program(seed, length=14):
    """A function of three tensors (2, 3), (2, 1), (1, 3): each step takes earlier results and makes a new one."""
    steps = np.random.default_rng(seed).random((length, 4))

    def run(*values):
        made = list(values)
        for kind, which, first, second in steps:
            x, y = made[int(first * len(made))], made[int(second * len(made))]
            try:
                if kind < 0.5:
                    out = UNARY[int(which * len(UNARY))](x)
                else:
                    out = BINARY[int(which * len(BINARY))](x, y)
            except mg.errors.ShapeError:
                continue  # these two do not fit; an error leaves nothing behind
            made.append(mg.tanh(out))  # keeps the numbers small
        return sum(mg.mean(x) * (1 + i % 3) for i, x in enumerate(made[3:]) if i % 4)  # some results are never used

    return run


def start(seed):
    rng = np.random.default_rng(1000 + seed)
    return [rng.standard_normal(shape) for shape in ((2, 3), (2, 1), (1, 3))]


@pytest.mark.parametrize("seed", range(60))
def test_gradients_and_hessian_vector_products(seed):
    run, values = program(seed), start(seed)
    directions = [np.random.default_rng(2000 + seed + i).standard_normal(v.shape) for i, v in enumerate(values)]

    def gradients(arrays, create_graph=False):
        leaves = [Tensor(a, requires_grad=True) for a in arrays]
        return leaves, mg.autograd.grad(run(*leaves), leaves, create_graph=create_graph, allow_unused=True)

    def along(found):
        return sum((g * d).sum() for g, d in zip(found, directions) if g is not None)

    def moved(t):
        return [v + t * d for v, d in zip(values, directions)]

    _, first = gradients(values)
    leaves, again = gradients(values, create_graph=True)
    for a, b in zip(first, again):
        assert (a is None) == (b is None)
        if a is not None:
            assert_close(a.numpy(), b.numpy(), 1e-13)
    if all(g is None for g in first):
        pytest.skip("a program that uses none of its inputs")

    def quotient(f, step):
        return (np.asarray(f(moved(step))) - np.asarray(f(moved(-step)))) / (2 * step)

    def extrapolated(f):
        return (4 * quotient(f, 5e-4) - quotient(f, 1e-3)) / 3

    assert_close(along(first).item(), extrapolated(lambda arrays: run(*map(Tensor, arrays)).item()), 1e-8)
    slope = along(again)
    second = mg.autograd.grad(slope, leaves, allow_unused=True) if slope.requires_grad else [None] * 3
    expected = extrapolated(lambda arrays: along(gradients(arrays)[1]).item())
    product = sum((g.numpy() * d).sum() for g, d in zip(second, directions) if g is not None)
    assert_close(product, expected, 1e-7)

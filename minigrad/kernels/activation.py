"""GELU and SiLU with their derivatives in one pass, and as gates, the sigmoid, and lines with a bend at 0.

Accuracy, in units in the last place of the exact result, or of 1/8 where that is smaller (towards minus infinity and near
the zero of a derivative), the worst over all numbers:

                float32   float64
    gelu           5         5
    gelu'          9         9
    gelu_tanh      5         6
    gelu_tanh'     7         7
    silu           4         4
    silu'          4         4
    sigmoid        4         4

The sigmoid is measured in its own units where it is small too, and is 0 below 2^-125 (float64: 2^-1021).
"""

import functools
import math

import numpy as np

from minigrad.kernels.compile import EXACT, floats, helper, kernel, run
from minigrad.kernels.memory import empty_like
from minigrad.kernels.simd import constant, number, row, share
from minigrad.kernels.vecmath import choose, erfcx, exp, vectorised

_CHUNK = 4096  # elements: pieces of a fixed size, so that the bits do not depend on the threads


def gelu(x, approximate):
    """See `reference.gelu`.   (...) -> (...), (...)"""
    return _with_derivative(*form_of_gelu(approximate), x)


def silu(x):
    """See `reference.silu`.   (...) -> (...), (...)"""
    return _with_derivative(*_SILU, x)


def gelu_gate(value, gate, approximate):
    """See `reference.gelu_gate`.   (...), (...) -> (...)"""
    return _gate(*form_of_gelu(approximate), value, gate)


def gelu_gate_grad(g, value, gate, approximate):
    """See `reference.gelu_gate_grad`.   (...), (...), (...) -> (...), (...)"""
    return _gate_grad(*form_of_gelu(approximate), g, value, gate)


def silu_gate(value, gate):
    """See `reference.silu_gate`.   (...), (...) -> (...)"""
    return _gate(*_SILU, value, gate)


def silu_gate_grad(g, value, gate):
    """See `reference.silu_gate_grad`.   (...), (...), (...) -> (...), (...)"""
    return _gate_grad(*_SILU, g, value, gate)


def _with_derivative(f, work, x):
    """f(x) and f'(x), each number of which is so much work.   (...) -> (...), (...)"""
    x = np.asarray(x, order="C")
    y, derivative = empty_like(x), empty_like(x)
    chunks = -(-x.size // _CHUNK)
    run(_both(f), chunks, work * x.size, x, y, derivative, x.size, chunks)
    return y, derivative


def _gate(f, work, value, gate):
    """value f(gate).   (...), (...) -> (...)"""
    value, gate = np.asarray(value, order="C"), np.asarray(gate, order="C")
    y, chunks = empty_like(gate), -(-gate.size // _CHUNK)
    run(_gated(f), chunks, work * gate.size, value, gate, y, gate.size, chunks)
    return y


def _gate_grad(f, work, g, value, gate):
    """g f(gate) and g value f'(gate).   (...), (...), (...) -> (...), (...)"""
    g, value, gate = np.asarray(g, order="C"), np.asarray(value, order="C"), np.asarray(gate, order="C")
    dvalue, dgate, chunks = empty_like(gate), empty_like(gate), -(-gate.size // _CHUNK)
    run(_gated_grad(f), chunks, (work + 1) * gate.size, g, value, gate, dvalue, dgate, gate.size, chunks)
    return dvalue, dgate


def sigmoid(x):
    """See `reference.sigmoid`.   (...) -> (...)"""
    x = np.asarray(x, order="C")
    y, chunks = empty_like(x), -(-x.size // _CHUNK)
    run(_sigmoid, chunks, 3 * x.size, x, y, x.size, chunks)
    return y


def sigmoid_grad(g, y):
    """See `reference.sigmoid_grad`.   (...), (...) -> (...)"""
    g, y = np.asarray(g, order="C"), np.asarray(y, order="C")
    dx, chunks = empty_like(y), -(-y.size // _CHUNK)
    run(_sigmoid_grad, chunks, y.size, g, y, dx, y.size, chunks)
    return dx


def where_positive(g, x, slope):
    """See `reference.where_positive`.   (...), (...) -> (...)"""
    g, x = np.asarray(g, order="C"), np.asarray(x, order="C")
    y, chunks = empty_like(x), -(-x.size // _CHUNK)
    run(_where_positive, chunks, x.size, g, x, y, x.size, chunks, slope)
    return y


@vectorised(results=2)
def normal_gelu(x):
    """x P and its derivative P + x p, where P and p are the distribution and the density of the normal.

    1 - P(t) = p(t) erfcx(t / sqrt 2) sqrt(pi/2) keeps the tail accurate and needs the one exponential of p.
    """
    near = x.at_least(-40.0).at_most(40.0)
    e = exp.code(near * near * -0.5)
    upper = erfcx.code(abs(near) * math.sqrt(0.5)) * e * 0.5
    below = choose(x < 0.0, upper, 1.0 - upper)
    return x.at_least(-40.0) * below, below + near * e * (1 / math.sqrt(2 * math.pi))


@vectorised(results=2)
def tanh_gelu(x):
    """x s and its derivative s + x s (1 - s) 2 u', with u = sqrt(2/pi) (x + 0.044715 x^3) and s = 1 / (1 + e^(-2u)).

    (1 + tanh u) / 2 is s. From e = e^(-2|u|) come s, or 1 - s if u < 0, as 1 / (1 + e), and s (1 - s) as e / (1 + e)^2.
    """
    root, cubic = math.sqrt(2 / math.pi), 0.044715
    near = x.at_least(-40.0).at_most(40.0)
    square = near * near
    e = exp.code(abs(near) * (square * cubic + 1.0) * (-2 * root))
    larger = 1.0 / (e + 1.0)
    smaller = e * larger
    s = choose(x < 0.0, smaller, larger)
    slope = (square * (3 * cubic) + 1.0) * (2 * root)
    return x.at_least(-40.0) * s, s + near * slope * (smaller * larger)


def _sigmoids(x):
    """s = 1 / (1 + e^(-x)), and s (1 - s).

    From e = e^(-|x|) come s, or 1 - s if x < 0, as 1 / (1 + e), and the other as e / (1 + e), which is accurate where it is small.
    """
    e = exp.code(-abs(x))
    larger = 1.0 / (e + 1.0)
    smaller = e * larger
    return choose(x < 0.0, smaller, larger), smaller * larger


@vectorised
def logistic(x):
    """1 / (1 + e^(-x))."""
    return _sigmoids(x)[0]


@vectorised(results=2)
def sigmoid_silu(x):
    """x s and its derivative s + x s (1 - s), with s = 1 / (1 + e^(-x))."""
    near = x.at_least(-800.0).at_most(800.0)
    s, slope = _sigmoids(near)
    return x.at_least(-800.0) * s, s + near * slope


# Each function by its number, and how much work one number of it is.
_NORMAL, _TANH, _SILU = (0, 4), (1, 4), (2, 3)


def form_of_gelu(approximate):
    """The number and the work of GELU in this form."""
    return _TANH if approximate == "tanh" else _NORMAL


@helper(fastmath=EXACT)
def with_derivative(f, x):
    """f(x) and f'(x) of function number f, which is known when it is compiled."""
    if f == 0:
        return normal_gelu(x)
    if f == 1:
        return tanh_gelu(x)
    return sigmoid_silu(x)


@functools.cache
def _both(f):
    @kernel
    def both(t: int, nt: int, x: floats, y: floats, derivative: floats, n: int, chunks: int):
        first, last = share(t, nt, chunks)
        start, size = first * _CHUNK, min(n, last * _CHUNK) - first * _CHUNK
        xs, ys, ds = row(x, start, size), row(y, start, size), row(derivative, start, size)
        for i in range(size):
            ys[i], ds[i] = with_derivative(f, xs[i])

    return both


@functools.cache
def _gated(f):
    @kernel
    def gated(t: int, nt: int, value: floats, gate: floats, y: floats, n: int, chunks: int):
        first, last = share(t, nt, chunks)
        start, size = first * _CHUNK, min(n, last * _CHUNK) - first * _CHUNK
        values, gates, ys = row(value, start, size), row(gate, start, size), row(y, start, size)
        for i in range(size):
            opened, _ = with_derivative(f, gates[i])
            ys[i] = values[i] * opened

    return gated


@functools.cache
def _gated_grad(f):
    @kernel
    def gated_grad(
        t: int, nt: int, g: floats, value: floats, gate: floats, dvalue: floats, dgate: floats, n: int, chunks: int
    ):  # fmt: skip
        first, last = share(t, nt, chunks)
        start, size = first * _CHUNK, min(n, last * _CHUNK) - first * _CHUNK
        gs, values, gates = row(g, start, size), row(value, start, size), row(gate, start, size)
        dvalues, dgates = row(dvalue, start, size), row(dgate, start, size)
        for i in range(size):
            opened, slope = with_derivative(f, gates[i])
            dvalues[i] = gs[i] * opened
            dgates[i] = gs[i] * values[i] * slope

    return gated_grad


@kernel
def _sigmoid(t: int, nt: int, x: floats, y: floats, n: int, chunks: int):
    first, last = share(t, nt, chunks)
    start, size = first * _CHUNK, min(n, last * _CHUNK) - first * _CHUNK
    xs, ys = row(x, start, size), row(y, start, size)
    for i in range(size):
        ys[i] = logistic(xs[i])


@kernel
def _sigmoid_grad(t: int, nt: int, g: floats, y: floats, dx: floats, n: int, chunks: int):
    first, last = share(t, nt, chunks)
    start, size = first * _CHUNK, min(n, last * _CHUNK) - first * _CHUNK
    gs, ys, ds = row(g, start, size), row(y, start, size), row(dx, start, size)
    for i in range(size):
        ds[i] = gs[i] * (ys[i] * (constant(1, y) - ys[i]))


@kernel
def _where_positive(t: int, nt: int, g: floats, x: floats, y: floats, n: int, chunks: int, slope: float):
    first, last = share(t, nt, chunks)
    start, size = first * _CHUNK, min(n, last * _CHUNK) - first * _CHUNK
    gs, xs, ys = row(g, start, size), row(x, start, size), row(y, start, size)
    times, zero = number(slope, x), constant(0, x)
    for i in range(size):
        ys[i] = gs[i] if not xs[i] <= zero else zero if times == zero else times * gs[i]

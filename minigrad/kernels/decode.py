"""One step of decoding as one program: kernels for few rows, B tokens of B texts, whose weights are read once, as they lie in memory.

Such a product costs what it takes to read its matrix, and memory is fastest where a thread reads one place behind the other.
A share of a product is therefore a block of the matrix that lies together: some of its columns, where the numbers of a column are
neighbours, or else some of its rows, long pieces of them. Shares of rows leave sums over a part of k each, and who is done last
adds them up, always in the same order.
"""

import numpy as np

from minigrad.errors import DtypeError, ShapeError, received
from minigrad.kernels.activation import with_derivative
from minigrad.kernels.compile import EXACT, floats, helper, integers, kernel
from minigrad.kernels.norm import normalize_rows
from minigrad.kernels.pool import add
from minigrad.kernels.program import Counters, Program, Work
from minigrad.kernels.simd import at, constant, maximum, number, row, share

COLUMNS = 1 << 16  # bytes of w for a share of columns
ROWS, MOST = 1 << 14, 8  # n parts of rows share n^2 times so many bytes, because all n are added up; but no more parts than these
PIECE = 1 << 14  # bytes of a row of w at most, for which there are as many sums
FUNCTIONS = (None, "relu", "gelu", "gelu_tanh", "silu")


class DecodeProgram(Program):
    """See `reference.DecodeProgram`."""

    def embed(self, tokens, table, y, scale=1.0, places=None, positions=None, plus=None):
        """y = table[tokens] scale + positions[places] + plus."""
        B, E = y.shape
        _check("embed", table.shape[1:] == (E,) and tokens.shape == (B,), tokens=tokens, table=table, y=y)
        _check("embed", (positions is None) == (places is None), places=places, positions=positions)
        if positions is not None:
            _check("embed", positions.shape[1:] == (E,) and places.shape == (B,), places=places, positions=positions, y=y)
        _check("embed", plus is None or plus.shape == (E,), plus=plus, y=y)
        _check_arrays("embed", y.dtype, table=table, positions=positions, plus=plus, y=y)
        _check_integers("embed", tokens=tokens, places=places)
        rows = 0 if positions is None else len(positions)
        self.append(_embed, B, y.size, tokens, table, places, positions, plus, y, len(table), rows, E, scale, plus is not None)

    def norm(self, x, gamma, beta, y, eps=1e-5, centred=True):
        """y = gamma (x - mean) / sqrt(var + eps) + beta; without ``centred`` RMS normalization."""
        (B, E), dtype = x.shape, x.dtype
        _check("norm", y.shape == x.shape, x=x, y=y)
        gamma = np.ones(E, dtype) if gamma is None else gamma
        beta = np.zeros(E, dtype) if beta is None else beta
        _check("norm", gamma.shape == beta.shape == (E,), x=x, gamma=gamma, beta=beta)
        _check_arrays("norm", dtype, x=x, gamma=gamma, beta=beta, y=y)
        self.append(normalize_rows, B, x.size, x, gamma, beta, y, *np.empty((2, B), dtype), B, E, eps, centred)

    def linear(self, x, w, bias, y, norm=None, function=None, plus=None, gate=None):
        """y = function(norm(x) w + bias) + plus; with gate = (w_gate, bias_gate) function(x w_gate + bias_gate) (x w + bias) + plus.

        ``norm`` is (gamma, beta, eps, centred).
        """
        (B, K), N, item = x.shape, w.shape[-1], x.itemsize
        gate, gate_bias = gate or (None, None)
        if function not in FUNCTIONS:
            raise ValueError(f"linear: function is one of {FUNCTIONS}. Received: {function!r}.")
        _check("linear", w.shape == (K, N) and y.shape == (B, N), x=x, w=w, y=y)
        _check("linear", bias is None or bias.shape == (N,), bias=bias, y=y)
        _check("linear", gate_bias is None or gate_bias.shape == (N,), gate_bias=gate_bias, y=y)
        _check("linear", plus is None or plus.shape == y.shape, plus=plus, y=y)
        _check("linear", gate is None or (gate.shape == w.shape and gate.strides == w.strides), w=w, gate=gate)
        across = not w.flags.c_contiguous
        lying = (w.T, None if gate is None else gate.T) if across else (w, gate)
        _check_arrays("linear", x.dtype, x=x, w=lying[0], gate=lying[1], bias=bias, gate_bias=gate_bias, plus=plus, y=y)
        if norm is not None:
            if self.is_together:
                raise ValueError("linear: what is computed together begins at once; append the norm as a step before it.")
            normal = np.empty_like(x)
            self.norm(x, *norm[:2], normal, *norm[2:])
            x = normal
        if across:
            width, parts = max(1, min(N, COLUMNS // max(1, K * item))), 1
        else:
            width = max(1, min(N, PIECE // item))
            parts = max(1, min(MOST, K, round((K * width * item / ROWS) ** 0.5)))
        chunks = -(-N // width)
        plan = np.array([
            B, K, N, K if across else N, across, width, parts, FUNCTIONS.index(function), gate is not None, bias is not None,
            gate_bias is not None, plus is not None,
        ])  # fmt: skip
        work = Work((1 if gate is None else 2) * B * width * chunks * parts * item)
        arrays = x, w, bias, gate, gate_bias, plus, y
        self.append(_linear, chunks * parts, B * K * N // 4, *arrays, work, plan, Counters(chunks))


def _check(name, fits, **arrays):
    if not fits:
        raise ShapeError(f"{name}: the shapes do not belong together. " + received(**arrays))


def _check_arrays(name, dtype, **arrays):
    """Raises unless all arrays have this dtype and lie in memory row after row: the program keeps where they are."""
    for which, a in arrays.items():
        if a is not None and a.dtype != dtype:
            raise DtypeError(f"{name}: all arrays of a step are {dtype}. " + received(**{which: a}))
        if a is not None and not a.flags.c_contiguous:
            raise ShapeError(f"{name}: {which} must be contiguous, as its memory is read at every run. " + received(**{which: a}))


def _check_integers(name, **arrays):
    for which, a in arrays.items():
        if a is not None and (a.dtype != np.int64 or not a.flags.c_contiguous):
            raise DtypeError(f"{name}: {which} must be contiguous int64, as its memory is read at every run. " + received(**{which: a}))


# ---- embedding


@kernel
def _embed(
    t: int, nt: int, tokens: integers, table: floats, places: integers, positions: floats, plus: floats, y: floats, V: int, rows: int,
    E: int, scale: float, has_plus: int,
):  # fmt: skip
    token, place, out, times = tokens[t], places[t] if rows > 0 else 0, row(y, t * E, E), number(scale, y)
    if token < 0 or token >= V or place < 0 or (rows > 0 and place >= rows):  # nowhere: nothing may be read there
        for j in range(E):
            out[j] = constant(np.nan, y)
        return
    one = row(table, token * E, E)
    for j in range(E):
        out[j] = one[j] * times
    if rows > 0:
        more = row(positions, place * E, E)
        for j in range(E):
            out[j] += more[j]
    if has_plus:
        more = row(plus, 0, E)
        for j in range(E):
            out[j] += more[j]


# ---- products


# where in a plan its numbers are
_B, _K, _N, _APART, _ACROSS, _WIDTH, _PARTS, _FUNCTION, _GATED, _BIASED, _GATE_BIASED, _PLUS = range(12)


@helper(fastmath=EXACT)
def _applied(function, x):
    """The function of this number among FUNCTIONS."""
    if function == 1:
        return maximum(x, constant(0, x))
    if function == 2:
        return with_derivative(0, x)[0]
    if function == 3:
        return with_derivative(1, x)[0]
    return with_derivative(2, x)[0]


@helper
def _product(x, w, sums, B, K, apart, across, k0, k1, n):
    """sums (B, n) = x (B, K) w, for n columns of w from where it points to, but only over the rows from k0 to k1."""
    if across:
        for j in range(n):
            wj = row(w, j * apart + k0, k1 - k0)
            for i in range(B):
                xi, total = row(x, i * K + k0, k1 - k0), constant(0, x)
                for k in range(k1 - k0):
                    total += xi[k] * wj[k]
                sums[i * n + j] = total
        return
    for j in range(B * n):
        sums[j] = constant(0, x)
    for k in range(k0, k1):
        wk = row(w, k * apart, n)
        for i in range(B):
            xk, out = x[i * K + k], row(sums, i * n, n)
            for j in range(n):
                out[j] += xk * wk[j]


@helper
def _added(x, y):
    """x += y."""
    for j in range(x.size):
        x[j] += y[j]


@kernel
def _linear(
    t: int, nt: int, x: floats, w: floats, bias: floats, gate: floats, gate_bias: floats, plus: floats, y: floats, work: floats,
    plan: integers, counters: int,
):  # fmt: skip
    """A share is one of several parts of the sum over k, for one of several chunks of columns."""
    B, K, N, apart, across = plan[_B], plan[_K], plan[_N], plan[_APART], plan[_ACROSS]
    width, parts, function, gated = plan[_WIDTH], plan[_PARTS], plan[_FUNCTION], plan[_GATED]
    chunk, part = t // parts, t % parts
    first = chunk * width
    n = min(width, N - first)
    k0, k1 = share(part, parts, K)
    size = (1 + gated) * B * width
    begin = first * apart if across else first
    sums = at(work, t * size)
    _product(x, at(w, begin), sums, B, K, apart, across, k0, k1, n)
    if gated:
        _product(x, at(gate, begin), at(sums, B * n), B, K, apart, across, k0, k1, n)
    if parts > 1 and add(counters + 8 * chunk, 1) < parts - 1:
        return
    sums = at(work, chunk * parts * size)
    for other in range(1, parts):
        _added(row(sums, 0, (1 + gated) * B * n), row(sums, other * size, (1 + gated) * B * n))
    for i in range(B):
        value, opened, out = row(sums, i * n, n), row(sums, (B + i) * n, n), row(y, i * N + first, n)
        if plan[_BIASED]:
            _added(value, row(bias, first, n))
        if plan[_GATE_BIASED]:
            _added(opened, row(gate_bias, first, n))
        if function > 0:
            inside = opened if gated else value
            for j in range(n):
                inside[j] = _applied(function, inside[j])
        if gated:
            for j in range(n):
                value[j] *= opened[j]
        if plan[_PLUS]:
            _added(value, row(plus, i * N + first, n))
        for j in range(n):
            out[j] = value[j]

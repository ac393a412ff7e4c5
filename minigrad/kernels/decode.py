"""One step of decoding as one program: kernels for few rows, B tokens of B texts, whose weights are read once, as they lie in memory.

A product of few rows costs what it takes to read its matrix, and memory is fastest where a thread reads one place behind the other.
A share of a product is therefore a block of the matrix that lies together: some of its columns, where the numbers of a column are
neighbours, or else some of its rows, long pieces of them. Shares of rows leave sums over a part of k each, and who is done last
adds them up, always in the same order.

Attention reads keys and values where they lie too, and so does `attention.attention`, by the same kernel, where heads have one question.
"""

import functools

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minigrad.errors import DtypeError, ShapeError, received
from minigrad.kernels.activation import form_of_gelu, with_derivative
from minigrad.kernels.compile import EXACT, booleans, floats, helper, integers, kernel, run, scratch
from minigrad.kernels.epilogue import function_block
from minigrad.kernels.gemm import _NUMBERS, THIN, lanes, lanes_of, plan_of_product
from minigrad.kernels.making import module
from minigrad.kernels.norm import normalize_rows
from minigrad.kernels.pool import add
from minigrad.kernels.program import Counters, Program, Work
from minigrad.kernels.simd import at, constant, maximum, number, row, share
from minigrad.kernels.thin import SUMS, few_dots
from minigrad.kernels.vecmath import Value, decay, log

COLUMNS = 1 << 16  # bytes of w for a share of columns
ROWS, MOST = 1 << 14, 4  # n parts of rows share n^2 times so many bytes, because all n are added up; but no more parts than these
PIECE = 1 << 14  # bytes of a row of w at most, for which there are as many sums
SPAN, UNITS = 256, 8  # keys of a head are divided into parts of no fewer than these, where there are fewer heads than those
TOGETHER, TILE = 4, 2  # rows of w, and vectors of each, for which sums stay in registers
PARTS = 8  # shares of a product of several rows, at most
FUNCTIONS = (None, "relu", "gelu", "gelu_tanh", "silu")
FORMS = {"gelu": "none", "gelu_tanh": "tanh"}


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
        if np.may_share_memory(x, y):
            raise ValueError("linear: y needs memory of its own, as x is read until all of y is written. " + received(x=x, y=y))
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
        if across and gate is None and self._by_dots(x, w, bias, y, function, plus):
            return
        if across:
            width, parts = max(1, min(N, COLUMNS // max(1, K * item))), 1
            apart = width * K * item
        else:
            width = max(1, min(N, PIECE // item))
            parts = max(1, min(MOST, K // TOGETHER, round((K * width * item / ROWS) ** 0.5)))
            apart = K // parts * N * item if width == N else 0  # parts of pieces of rows do not lie together
        chunks = -(-N // width)
        plan = np.array([
            B, K, N, K if across else N, across, width, parts, FUNCTIONS.index(function), gate is not None, bias is not None,
            gate_bias is not None, plus is not None,
        ])  # fmt: skip
        work = Work((1 if gate is None else 2) * B * width * chunks * parts * item)
        arrays = x, w, bias, gate, gate_bias, plus, y
        self.append(_linear, chunks * parts, B * K * N // 4, *arrays, work, plan, Counters(chunks), reads=w, apart=apart)

    def _by_dots(self, x, w, bias, y, function, plus):
        """Append the product as that of several rows with columns that lie together; False where that is not possible, or slower."""
        (B, K), finish, other = x.shape, 0, None
        if not THIN[0] <= B <= THIN[1] or K < 2:
            return False
        if function in FORMS and plus is None:
            finish, other = function_block(form_of_gelu(FORMS[function])[0]).address(x.dtype), np.empty_like(y)
        elif function is not None:
            return False
        _, plan, chunks, work, _ = plan_of_product(x.dtype, x.shape, x.strides, w.shape, w.strides, None)
        parts, plan = min(chunks, PARTS), plan.copy()  # which others of these shapes read
        plan[_NUMBERS] = SUMS
        self.append(
            few_dots, parts, work, x, w, y, bias, plus, other, plan, Work(parts * SUMS * x.itemsize), bias is not None, plus is not None,
            finish,
        )  # fmt: skip
        return True

    def among(self, q, k, v, y, heads, key_heads, scale):
        """y = softmax(scale q k') v for every head, where the rows are the tokens of one text."""
        (T, width), dtype = q.shape, q.dtype
        dq, dv = width // heads, y.shape[1] // heads
        fits = q.shape == (T, heads * dq) and k.shape == (T, key_heads * dq) and v.shape == (T, key_heads * dv) and heads % key_heads == 0
        _check("among", fits and y.shape == (T, heads * dv), q=q, k=k, v=v, y=y)
        _check_arrays("among", dtype, q=q, k=k, v=v, y=y)
        # each (T, h d) -> (1, T, h, d) -> (1, h, T, d)
        q, k, v, y = [x.reshape(1, T, n, -1).transpose(0, 2, 1, 3) for x, n in ((q, heads), (k, key_heads), (v, key_heads), (y, heads))]
        module("attention").append_to(self, q, k, v, scale, y)  # which is built on this file

    def attend(
        self, q, keys, values, y, scale, k=None, v=None, length=None, start=None, turns=None, places=None, bias=None, mask=None
    ):  # fmt: skip
        """y = softmax(scale q keys' + bias) values for every head, after k and v have been put at ``length`` and q and k turned."""
        (B, r, L, dq), dv = keys.shape, values.shape[3]
        h = q.shape[1] // dq
        _check("attend", q.shape == (B, h * dq) and h % r == 0, q=q, keys=keys)
        _check("attend", values.shape == (B, r, L, dv) and y.shape == (B, h * dv), keys=keys, values=values, y=y)
        appends = k is not None
        if appends != (v is not None) or appends != (length is not None):
            raise ValueError("attend: k, v and length belong together. " + received(k=k, v=v, length=length))
        for which, a in {"start": start, "turns": turns, "bias": bias}.items():
            if a is not None and not appends:
                raise ValueError(f"attend: {which} is for keys that are appended to. " + received(k=k))
        if mask is not None and appends:
            raise ValueError("attend: a mask is for keys that all are there; otherwise start says which. " + received(mask=mask))
        cos, sin = turns or (None, None)
        if appends:
            _check("attend", k.shape == (B, r * dq) and v.shape == (B, r * dv) and length.shape == (1,), k=k, v=v, length=length, keys=keys)
            _check("attend", bias is None or bias.shape == (h, L), bias=bias, keys=keys)
        if turns is not None:
            _check("attend", dq % 2 == 0 and cos.shape[1:] == (dq // 2,) and sin.shape == cos.shape, cos=cos, sin=sin, keys=keys)
            _check("attend", places is not None and places.shape == (B,), places=places)
        _check("attend", start is None or start.shape == (B,), start=start, keys=keys)
        _check("attend", mask is None or mask.shape == (B, L), mask=mask, keys=keys)
        arrays = {"q": q, "keys": keys, "values": values, "y": y, "k": k, "v": v, "cos": cos, "sin": sin, "bias": bias}
        _check_arrays("attend", q.dtype, **arrays)
        _check_arrays("attend", np.dtype(bool), mask=mask)
        _check_integers("attend", length=length, start=start, places=places)
        items, plan, size = _attention_plan(
            q.dtype, h, keys.shape, dv, keys.strides, values.strides, appends, start is not None, 0 if turns is None else len(cos),
            bias is not None, mask is not None, False,
        )  # fmt: skip
        self.append(
            _attend, items, B * h * L * (dq + dv) // 4, q, k, v, keys, values, length, start, places, cos, sin, bias, mask, y, None,
            Work(size), plan, Counters(B * r), scale,
        )  # fmt: skip


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
def _apply(function, x):
    """x = the function of this number among FUNCTIONS of x; a loop for each, or none would go along vectors."""
    if function == 1:
        for j in range(x.size):
            x[j] = maximum(x[j], constant(0, x))
    elif function == 2:
        for j in range(x.size):
            x[j] = with_derivative(0, x[j])[0]
    elif function == 3:
        for j in range(x.size):
            x[j] = with_derivative(1, x[j])[0]
    elif function == 4:
        for j in range(x.size):
            x[j] = with_derivative(2, x[j])[0]


def _row_adder(count):
    """sums (count, n) += x (count, TOGETHER) w (TOGETHER, n), for whole tiles."""

    @intrinsic
    def add_rows(typing_context, x, x_row, w, apart, sums, n):
        kind = x.dtype

        def generate(context, builder, signature, values):
            x, x_row, w, apart, sums, n = values
            i64, size, width = ir.IntType(64), kind.bitwidth // 8, lanes_of(kind)
            vector = ir.VectorType(context.get_data_type(kind), width)
            everywhere = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)

            def vector_at(base, place):
                return builder.bitcast(builder.gep(base, [place]), vector.as_pointer())

            def read(base, place):
                return Value(builder, builder.load(vector_at(base, place), align=size))

            def spread(i, r):
                one = builder.load(builder.gep(x, [builder.add(builder.mul(x_row, i64(i)), i64(r))]), align=size)
                one = builder.insert_element(ir.Constant(vector, ir.Undefined), one, ir.IntType(32)(0))
                return Value(builder, builder.shuffle_vector(one, one, everywhere))

            numbers = [[spread(i, r) for r in range(TOGETHER)] for i in range(count)]
            rows = [builder.gep(w, [builder.mul(apart, i64(r))]) for r in range(TOGETHER)]
            outs = [builder.gep(sums, [builder.mul(n, i64(i))]) for i in range(count)]
            tiled = builder.sub(n, builder.srem(n, i64(TILE * width)))
            before = builder.block
            head, body, after = (builder.append_basic_block(f"rows.{part}") for part in ("head", "body", "after"))
            builder.branch(head)
            builder.position_at_end(head)
            j = builder.phi(i64)
            j.add_incoming(i64(0), before)
            builder.cbranch(builder.icmp_signed("<", j, tiled), body, after)

            builder.position_at_end(body)
            places = [builder.add(j, i64(v * width)) for v in range(TILE)]
            totals = [[read(out, place) for place in places] for out in outs]
            for r, wr in enumerate(rows):
                some = [read(wr, place) for place in places]
                totals = [[numbers[i][r] * y + total for y, total in zip(some, totals[i])] for i in range(count)]
            for out, of_row in zip(outs, totals):
                for place, total in zip(places, of_row):
                    builder.store(total.code, vector_at(out, place), align=size)
            j.add_incoming(builder.add(j, i64(TILE * width)), builder.block)
            builder.branch(head)
            builder.position_at_end(after)
            return context.get_dummy_value()

        integer = types.int64
        return types.void(x, integer, x, integer, x, integer), generate

    return add_rows


_one_row, _two_rows = _row_adder(1), _row_adder(2)


@helper
def _product(x, w, sums, B, K, apart, across, k0, k1, n):
    """sums (B, n) = x (B, K) w, for n columns of w from where it points to, but only over the rows from k0 to k1."""
    if across:
        for j in range(n):
            wj = row(w, j * apart + k0, k1 - k0)
            for i in range(0, B - 3, 4):  # rows of x that share what is read of w
                x_at = at(x, i * K + k0)
                x0, x1, x2, x3 = row(x_at, 0, k1 - k0), row(x_at, K, k1 - k0), row(x_at, 2 * K, k1 - k0), row(x_at, 3 * K, k1 - k0)
                t0, t1, t2, t3 = constant(0, x), constant(0, x), constant(0, x), constant(0, x)
                for k in range(k1 - k0):
                    t0 += x0[k] * wj[k]
                    t1 += x1[k] * wj[k]
                    t2 += x2[k] * wj[k]
                    t3 += x3[k] * wj[k]
                sums[i * n + j], sums[(i + 1) * n + j], sums[(i + 2) * n + j], sums[(i + 3) * n + j] = t0, t1, t2, t3
            for i in range(B // 4 * 4, B):
                xi, total = row(x, i * K + k0, k1 - k0), constant(0, x)
                for k in range(k1 - k0):
                    total += xi[k] * wj[k]
                sums[i * n + j] = total
        return
    for j in range(B * n):
        sums[j] = constant(0, x)
    tiled, whole = n - n % (TILE * lanes(x)), k1 - (k1 - k0) % TOGETHER
    for k in range(k0, whole, TOGETHER):
        for r in range(k, k + TOGETHER):  # memory is fastest where one row is read behind the other; then they are in the first cache
            xr, wr, out = x[r], row(w, r * apart, n), row(sums, 0, n)
            for j in range(n):
                out[j] += xr * wr[j]
        x_at, w_at = at(x, k), at(w, k * apart)
        for i in range(1, B - 1, 2):
            _two_rows(at(x_at, i * K), K, w_at, apart, at(sums, i * n), n)
        if B % 2 == 0:
            _one_row(at(x_at, (B - 1) * K), K, w_at, apart, at(sums, (B - 1) * n), n)
    for k in range(k0, k1):  # what is left over: the last columns of all but the first row of x, and the last rows of w
        first, j = (1, tiled) if k < whole else (0, 0)
        wk = row(w, k * apart + j, n - j)
        for i in range(first, B):
            xk, out = x[i * K + k], row(sums, i * n + j, n - j)
            for jj in range(out.size):
                out[jj] += xk * wk[jj]


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
    k0, k1 = share(part, parts, K // TOGETHER)
    k0, k1 = k0 * TOGETHER, k1 * TOGETHER if part < parts - 1 else K
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
        _apply(function, opened if gated else value)
        if gated:
            for j in range(n):
                value[j] *= opened[j]
        if plan[_PLUS]:
            _added(value, row(plus, i * N + first, n))
        for j in range(n):
            out[j] = value[j]


# ---- attention

(
    _ITEMS, _H, _R, _L, _DQ, _DV, _SHARED, _SPAN, _KEY_TEXT, _KEY_HEAD, _KEY, _VALUE_TEXT, _VALUE_HEAD, _VALUE, _APPENDS, _STARTS, _TURNS,
    _BIAS, _MASKED, _SUM_WANTED,
) = range(20)  # fmt: skip


@functools.lru_cache(256)
def _attention_plan(dtype, h, shape, dv, key_strides, value_strides, *options):
    """How keys (B, r, L, dq) are shared: how many items, what `_attend` reads, and how many bytes it needs."""
    (B, r, L, dq), m = shape, h // shape[1]
    parts = max(1, min(L // SPAN, UNITS // max(1, B * r)))
    span, items = -(-L // parts), B * r * parts
    apart = [stride // dtype.itemsize for strides in (key_strides, value_strides) for stride in strides[:3]]
    plan = np.array([items, h, r, L, dq, dv, parts, span, *apart, *options])
    return items, plan, items * m * (dv + 2 + dq + span) * dtype.itemsize


def attention_of_one(q, k, v, scale, mask):
    """`reference.attention` of one question for each head.   (B, h, 1, dq), (B, r, S, dq), (B, r, S, dv), (B, S) or None -> out, lse"""
    (B, h, _, dq), (r, S, dv) = q.shape, v.shape[1:]
    k, v = (x if x.strides[3] == x.itemsize else np.ascontiguousarray(x) for x in (k, v))
    y, lse = np.empty((B, 1, h, dv), q.dtype), np.empty((B, h, 1), q.dtype)
    items, plan, size = _attention_plan(q.dtype, h, k.shape, dv, k.strides, v.strides, False, False, 0, False, mask is not None, True)
    run(
        _attend, items, B * h * S * (dq + dv) // 4, np.ascontiguousarray(q), None, None, k, v, *[None] * 6, mask, y, lse, scratch(size),
        plan, np.zeros(B * r, np.int64), scale,
    )  # fmt: skip
    return y.transpose(0, 2, 1, 3), lse  # (B, 1, h, dv) -> (B, h, 1, dv)


@helper
def _turned(x, cos, sin, turns, place, y, d, factor):
    """y = factor x, a row whose halves are turned by the angles of its place, where there are turns."""
    old, new = row(x, 0, d), row(y, 0, d)
    if turns == 0:
        for j in range(d):
            new[j] = old[j] * factor
        return
    half = d // 2
    c, s = row(cos, place * half, half), row(sin, place * half, half)
    x1, x2, y1, y2 = row(x, 0, half), row(x, half, half), row(y, 0, half), row(y, half, half)
    for j in range(half):
        y1[j] = (x1[j] * c[j] - x2[j] * s[j]) * factor
        y2[j] = (x2[j] * c[j] + x1[j] * s[j]) * factor


@helper
def _scores(q, keys, apart, scores, n, d):
    """scores (n) = keys (n, d) q, which are so far apart: four at a time, whose sums do not wait for each other."""
    one = row(q, 0, d)
    for s in range(0, n - 3, 4):
        k0, k1 = row(keys, s * apart, d), row(keys, (s + 1) * apart, d)
        k2, k3 = row(keys, (s + 2) * apart, d), row(keys, (s + 3) * apart, d)
        t0, t1, t2, t3 = constant(0, q), constant(0, q), constant(0, q), constant(0, q)
        for j in range(d):
            t0 += one[j] * k0[j]
            t1 += one[j] * k1[j]
            t2 += one[j] * k2[j]
            t3 += one[j] * k3[j]
        scores[s], scores[s + 1], scores[s + 2], scores[s + 3] = t0, t1, t2, t3
    for s in range(n // 4 * 4, n):
        ks, total = row(keys, s * apart, d), constant(0, q)
        for j in range(d):
            total += one[j] * ks[j]
        scores[s] = total


@helper
def _weighted(weights, values, apart, y, n, d):
    """y (d) = weights (n) values (n, d), leaving out what weighs nothing."""
    out, zero = row(y, 0, d), constant(0, y)
    for j in range(d):
        out[j] = zero
    s = 0
    while s < n:
        a0 = weights[s]
        if n - s >= 4 and a0 > zero and weights[s + 1] > zero and weights[s + 2] > zero and weights[s + 3] > zero:
            a1, a2, a3 = weights[s + 1], weights[s + 2], weights[s + 3]
            v0, v1 = row(values, s * apart, d), row(values, (s + 1) * apart, d)
            v2, v3 = row(values, (s + 2) * apart, d), row(values, (s + 3) * apart, d)
            for j in range(d):
                out[j] += (a0 * v0[j] + a1 * v1[j]) + (a2 * v2[j] + a3 * v3[j])
            s += 4
        else:
            if a0 != zero:  # NaN too
                vs = row(values, s * apart, d)
                for j in range(d):
                    out[j] += a0 * vs[j]
            s += 1


@helper
def _exponentials(scores):
    """scores = exp(scores - top), for the largest of them, top; returns that and their sum."""
    top, total = constant(-np.inf, scores), constant(0, scores)
    for s in range(scores.size):
        top = maximum(top, scores[s])
    base = total if top == constant(-np.inf, scores) else top
    for s in range(scores.size):
        weight = decay(scores[s] - base)
        scores[s] = weight
        total += weight
    return top, total


@kernel
def _attend(
    t: int, nt: int, q: floats, k: floats, v: floats, keys: floats, values: floats, length: integers, start: integers, places: integers,
    cos: floats, sin: floats, bias: floats, mask: booleans, y: floats, lse: floats, work: floats, plan: integers, counters: int,
    scale: float,
):  # fmt: skip
    """An item is one of several parts of the keys of one text, for all heads that share a head of keys."""
    h, r, L, dq, dv, parts, span = plan[_H], plan[_R], plan[_L], plan[_DQ], plan[_DV], plan[_SHARED], plan[_SPAN]
    appends, turns, zero, nothing = plan[_APPENDS], plan[_TURNS], constant(0, q), constant(-np.inf, q)
    m = h // r
    size = m * (dv + 2 + dq + span)  # of each part: sums of values, largest scores, sums of weights, questions, weights
    begin, end = share(t, nt, plan[_ITEMS])
    for item in range(begin, end):
        b, g, part = item // parts // r, item // parts % r, item % parts
        heads = b * h + g * m  # the first that shares these keys
        here, there = at(keys, b * plan[_KEY_TEXT] + g * plan[_KEY_HEAD]), at(values, b * plan[_VALUE_TEXT] + g * plan[_VALUE_HEAD])
        n = length[0] if appends else L - 1
        place = places[b] if turns > 0 else 0
        if n < 0 or n >= L or place < 0 or (turns > 0 and place >= turns):  # nowhere: nothing may be read or written there
            for j in range(m * dv):
                y[heads * dv + j] = constant(np.nan, y)
            continue
        left = min(max(start[b], 0), n + 1) if plan[_STARTS] else 0
        first, last = share(part, parts, n + 1 - left)
        first, last = left + first, left + last
        if appends and part == parts - 1:  # the new key is in this part
            _turned(at(k, (b * r + g) * dq), cos, sin, turns, place, at(here, n * plan[_KEY]), dq, constant(1, q))
            old, new = row(v, (b * r + g) * dv, dv), row(there, n * plan[_VALUE], dv)
            for j in range(dv):
                new[j] = old[j]
        sums = at(work, item * size)
        tops, totals, question, weights = at(sums, m * dv), at(sums, m * dv + m), at(sums, m * (dv + 2)), at(sums, m * (dv + 2 + dq))
        for i in range(m):
            _turned(at(q, (heads + i) * dq), cos, sin, turns, place, question, dq, number(scale, q))
            scores = row(weights, i * span, last - first)
            _scores(question, at(here, first * plan[_KEY]), plan[_KEY], scores, last - first, dq)
            if plan[_BIAS]:
                more = row(bias, (g * m + i) * L, L)
                for s in range(last - first):
                    scores[s] += more[n - first - s]
            if plan[_MASKED]:
                seen = row(mask, b * L + first, last - first)
                for s in range(last - first):
                    if not seen[s]:
                        scores[s] = nothing
            tops[i], totals[i] = _exponentials(scores)
            _weighted(scores, at(there, first * plan[_VALUE]), plan[_VALUE], at(sums, i * dv), last - first, dv)
        if parts > 1 and add(counters + 8 * (b * r + g), 1) < parts - 1:
            continue
        sums = at(work, (item - part) * size)
        for i in range(m):
            top, total, out = nothing, zero, row(y, (heads + i) * dv, dv)
            for p in range(parts):
                top = maximum(top, sums[p * size + m * dv + i])
            base = zero if top == nothing else top
            for j in range(dv):
                out[j] = zero
            for p in range(parts):
                factor, some = decay(sums[p * size + m * dv + i] - base), row(sums, p * size + i * dv, dv)
                if factor != zero:
                    total += sums[p * size + m * dv + m + i] * factor
                    for j in range(dv):
                        out[j] += some[j] * factor
            if plan[_SUM_WANTED]:
                lse[heads + i] = top + log(total)
            times = zero if total == zero else constant(1, q) / total
            for j in range(dv):
                out[j] *= times

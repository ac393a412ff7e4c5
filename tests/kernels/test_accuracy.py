"""The stated accuracy of exp, log, tanh, erf, erfcx both GELUs and SiLU, to the last float: a chain of four truths.

mpmath holds a few thousand points and all corners; NumPy's long doubles, themselves held against mpmath, hold the float64
functions at 10^7 points; and the float64 functions hold those of float32 at every float there is.
"""

import functools
import math

import mpmath
import numpy as np
import pytest

numba = pytest.importorskip("numba")
if numba.config.DISABLE_JIT:
    pytest.skip("Numba compiles nothing here", allow_module_level=True)

from minigrad import settings  # noqa: E402
from minigrad.kernels import activation, vecmath  # noqa: E402
from minigrad.kernels.compile import ROWS, doubles, floats, kernel, run  # noqa: E402
from minigrad.kernels.simd import bits_float, fabs, float_bits, maximum, row, share  # noqa: E402

DOCUMENT = vecmath.__doc__ + activation.__doc__
# The tables in the docstrings: name -> ulp in float32, in float64.
STATED = {
    words[0]: (float(words[1]), float(words[2]))
    for words in map(str.split, DOCUMENT.splitlines())
    if len(words) == 3 and words[1][0].isdigit()
}
FLOATS = [np.float32, np.float64]
BLOCK = 1 << 16

# Functions of one number, and the results of the fused ones apart.
FUNCTIONS = {
    "exp": vecmath.exp, "log": vecmath.log, "tanh": vecmath.tanh, "erf": vecmath.erf, "erfcx": vecmath.erfcx,
    "gelu": (activation.normal_gelu, 0), "gelu'": (activation.normal_gelu, 1),
    "gelu_tanh": (activation.tanh_gelu, 0), "gelu_tanh'": (activation.tanh_gelu, 1),
    "sigmoid": activation.logistic, "silu": (activation.sigmoid_silu, 0), "silu'": (activation.sigmoid_silu, 1),
}  # fmt: skip
FUSED = [name for name in FUNCTIONS if "lu" in name]
# A result smaller than this is measured in ulp of this: the others' are normal numbers, these have zeros and tails.
FLOOR = {name: 0.125 if name in FUSED else 0.0 for name in FUNCTIONS}


@functools.cache
def compiled(name):
    """Kernels that evaluate a function, and that find its largest error in float32 among all floats in blocks."""
    function, place = FUNCTIONS[name] if isinstance(FUNCTIONS[name], tuple) else (FUNCTIONS[name], None)
    inlined = numba.njit(forceinline=True, error_model="numpy", fastmath=set(ROWS))  # or loops over it would not vectorise
    if place is None:
        value = inlined(lambda x: function(x))
    elif place == 0:
        value = inlined(lambda x: function(x)[0])
    else:
        value = inlined(lambda x: function(x)[1])
    floor, zero_below = max(FLOOR[name], 2.0**-126), 2.0**-125 if name in ("exp", "sigmoid") else 0.0

    @kernel
    def evaluate(t: int, nt: int, x: floats, y: floats, n: int):
        first, last = share(t, nt, n)
        xs, ys = row(x, first, last - first), row(y, first, last - first)
        for i in range(last - first):
            ys[i] = value(xs[i])

    @kernel(fastmath=())
    def errors(t: int, nt: int, like: floats, begin: int, blocks: int, worst: doubles):
        first, last = share(t, nt, blocks)
        for block in range(first, last):
            top = 0.0
            for i in range(BLOCK):
                x = bits_float(np.int32(begin + block * BLOCK + i))
                y, exact = np.float64(value(x)), value(np.float64(x))
                power = bits_float(float_bits(maximum(fabs(exact), floor)) & 0x7FF0000000000000)
                error = fabs(y - exact) / (power * 2.0**-23)
                same = (y == np.float64(np.float32(exact))) | ((y != y) & (exact != exact))
                same |= (y == 0.0) & (exact < zero_below)
                top = maximum(top, 0.0 if same else error)
            row(worst, block, 1)[0] = top

    return evaluate, errors


def evaluate(name, x):
    y = np.empty_like(x)
    run(compiled(name)[0], x.size, 100 * x.size, x, y, x.size)
    return y


def domain(name, dtype):
    """Where the function is claimed to be accurate."""
    double = dtype == np.float64
    return {
        "exp": (-707.6, 709.78) if double else (-86.6, 88.72), "sigmoid": (-707.6, 709.78) if double else (-86.6, 88.72),
        "log": (5e-324, 1.79e308) if double else (1e-45, 3.4e38),
        "tanh": (-20, 20), "erf": (-7, 7), "erfcx": (0, 28 if double else 10.5),
    }.get(name, (-50, 50))  # fmt: skip


# ---- truths


def exact(name, x):
    """mpmath's value for one float."""
    x = mpmath.mpf(float(x))
    if name in ("exp", "log", "tanh", "erf"):
        return getattr(mpmath, name)(x)
    if name == "erfcx":
        return mpmath.exp(x * x) * mpmath.erfc(x)
    if name.startswith("gelu_tanh"):
        root, cubic = mpmath.sqrt(2 / mpmath.pi), mpmath.mpf("0.044715")
        s = 1 / (1 + mpmath.exp(-2 * root * (x + cubic * x**3)))
        return s + x * s * (1 - s) * 2 * root * (1 + 3 * cubic * x * x) if name.endswith("'") else x * s
    if name == "sigmoid":
        return 1 / (1 + mpmath.exp(-x))
    if name.startswith("silu"):
        s = 1 / (1 + mpmath.exp(-x))
        return s + x * s * (1 - s) if name.endswith("'") else x * s
    below = mpmath.erfc(-x / mpmath.sqrt(2)) / 2
    return below + x * mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi) if name.endswith("'") else x * below


def long(number):
    """mpmath's number as a long double, with all its digits."""
    return np.longdouble(mpmath.nstr(number, 25))


STEP, TERMS = 1 / 16, 20


@functools.cache
def taylor(name):
    """Coefficients of Taylor's series around the multiples of 1/16, in long doubles: (terms, places).

    erf'' = -2 x erf', and erfcx' = 2 x erfcx - 2 / sqrt(pi).
    """
    table = []
    with mpmath.workdps(70):
        for i in range(int({"erf": 7, "erfcx": 29}[name] / STEP) + 1):
            a, slope = mpmath.mpf(i * STEP), 2 / mpmath.sqrt(mpmath.pi)
            c = [exact(name, a), slope * mpmath.exp(-a * a) if name == "erf" else 2 * a * exact(name, a) - slope]
            for n in range(TERMS):
                if name == "erf":
                    c.append(-2 * (a * (n + 1) * c[n + 1] + n * c[n]) / ((n + 1) * (n + 2)))
                else:
                    c.append(2 * (a * c[n + 1] + c[n]) / (n + 2))
            table.append([long(x) for x in c])
    return np.array(table).T


def series(name, x):
    """erf or erfcx of x >= 0 in long doubles."""
    place = np.rint(x / STEP).astype(np.intp)
    d, table, y = x - place * np.longdouble(STEP), taylor(name), 0
    for coefficients in table[::-1]:
        y = y * d + coefficients[place]
    return y


@functools.cache
def number(text):
    with mpmath.workdps(40):
        return long(eval(text, {"pi": mpmath.pi, "sqrt": mpmath.sqrt, "mpf": mpmath.mpf}))


def truth(name, x):
    """The function in long doubles, for float64 numbers of its domain."""
    x = x.astype(np.longdouble)
    if name in ("exp", "log", "tanh"):
        return getattr(np, name)(x)
    if name == "erf":
        return np.copysign(series(name, abs(x)), x)
    if name == "erfcx":
        return series(name, x)
    if name.startswith("gelu_tanh"):
        root, cubic = number("sqrt(2 / pi)"), number("mpf('0.044715')")
        s = 1 / (1 + np.exp(-2 * root * (x + cubic * x * x * x)))
        rest = 1 / (1 + np.exp(2 * root * (x + cubic * x * x * x)))  # 1 - s
        return s + x * s * rest * 2 * root * (1 + 3 * cubic * x * x) if name.endswith("'") else x * s
    if name == "sigmoid":
        return 1 / (1 + np.exp(-x))
    if name.startswith("silu"):
        s = 1 / (1 + np.exp(-x))
        return s + x * s / (1 + np.exp(x)) if name.endswith("'") else x * s
    near = np.clip(x, -40, 40)
    tail = series("erfcx", abs(near) * number("sqrt(1 / mpf(2))")) * np.exp(-near * near / 2) / 2
    below = np.where(x < 0, tail, 1 - tail)
    return below + near * np.exp(-near * near / 2) * number("1 / sqrt(2 * pi)") if name.endswith("'") else x * below


# ---- points


def corners(name, dtype):
    """Binade borders, the borders of the pieces, of the reduction and of the domain, all with their neighbours."""
    info, (low, high) = np.finfo(dtype), domain(name, dtype)
    centres = [s * 2.0**k for k in range(info.minexp - info.nmant, info.maxexp) for s in (1, -1)]
    centres += {
        "exp": [(k + 0.5) * math.log(2) for k in range(-1022, 1024)],
        "log": [math.sqrt(0.5) * 2.0**k for k in range(info.minexp, info.maxexp)],
        "tanh": [0.625, -0.625, 9.01, 19.06], "erf": [1.0, -1.0, 3.83, 5.86, 6.0], "erfcx": [1, 3, high],
    }.get(name, [-0.7517916, -0.7524614, -1.4142135, 5.5, 8.3, -8.3])  # fmt: skip
    x = np.array([c for c in [*centres, low, high] if low <= c <= high]).astype(dtype)
    steps = [x]
    for direction in (-np.inf, np.inf):
        there = x
        for _ in range(2):
            there = np.nextafter(there, dtype(direction))
            steps.append(there)
    x = np.unique(np.concatenate(steps))
    return x[(x >= dtype(low)) & (x <= dtype(high)) & ((x != 0) | (name != "log"))]


def points(rng, name, dtype, n):
    """n numbers of the domain: half of them spread evenly, a fourth near 0, a fourth over all binades."""
    low, high = domain(name, dtype)
    start = math.log2(np.finfo(dtype).tiny)
    binades = 2 ** rng.uniform(start, math.log2(high), n // 4) * (rng.choice([-1, 1], n // 4) if low < 0 else 1)
    even = [rng.uniform(low, min(high, 1000), n // 2), rng.uniform(max(low, -2), 2, n // 4)]
    x = np.concatenate([*even, binades]).astype(dtype)
    return x[(x >= low) & (x <= high) & ((x != 0) | (name != "log"))]


def ulps(name, y, want, dtype):
    """Errors in units in the last place of the exact results, in the precision of these."""
    size = np.maximum(abs(want), max(FLOOR[name], float(np.finfo(dtype).tiny))).astype(np.float64)
    size = np.ldexp(1.0, np.frexp(size)[1] - 2 - np.finfo(dtype).nmant + 1)
    return (abs(y.astype(want.dtype) - want) / size).astype(np.float64)


def check(name, dtype, x, want):
    errors = ulps(name, evaluate(name, x), want, dtype)
    worst = int(np.argmax(errors))
    assert errors[worst] <= STATED[name][dtype == np.float64], f"{name}({x[worst]!r}): {errors[worst]:.3f} ulp"
    return errors[worst]


def test_everything_is_stated():
    assert set(STATED) == set(FUNCTIONS)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_stated_ulp_at_corners(name, dtype):
    x = corners(name, dtype)
    with mpmath.workdps(40):
        want = np.array([long(exact(name, v)) for v in x])
    check(name, dtype, x, want)


long_doubles = pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long doubles are no longer than doubles here")


@long_doubles
@pytest.mark.parametrize("name", FUNCTIONS)
def test_long_doubles_are_true(rng, name):
    """Their error is a tenth of the last place of a double, at most."""
    x = rng.permutation(points(rng, name, np.float64, 4000))[:400]
    with mpmath.workdps(40):
        want = np.array([long(exact(name, v)) for v in x])
    assert ulps(name, truth(name, x), want, np.float64).max() < 0.1


@pytest.mark.slow
@long_doubles
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_stated_ulp_of_float64_at_ten_million_points(rng, name):
    for _ in range(20):
        x = points(rng, name, np.float64, 500_000)
        check(name, np.float64, x, truth(name, x))


PIECE = 1 << 27  # so many floats in a test: pieces that workers share


def pieces():
    """A function, and the bits from which on and up to which a piece goes: all floats there are for log; for the others those between
    2^-30 and 128, of both signs, outside of which they are constant or proportional to x, as the corners show in every binade.
    """
    begin, end = (int(np.float32(x).view(np.int32)) for x in (2.0**-30, 128.0))
    spans = {"log": [(0, 255 << 23)], "erfcx": [(begin, int(np.float32(10.5).view(np.int32)))]}
    sign = -(1 << 31)
    for name in FUNCTIONS:
        for first, last in spans.get(name, [(begin, end), (begin + sign, end + sign)]):
            for start in range(first, last, PIECE):
                yield name, start, min(start + PIECE, last)


@pytest.mark.slow
@pytest.mark.parametrize("name, begin, end", list(pieces()))
def test_the_stated_ulp_of_float32_at_every_float(name, begin, end):
    """Against the float64 function."""
    blocks = (end - begin) // BLOCK
    worst = np.empty(blocks)
    with settings.use_threads(2):
        run(compiled(name)[1], blocks, end - begin, np.empty(1, np.float32), begin, blocks, worst)
    at = int(np.argmax(worst))
    bits = begin + at * BLOCK
    assert worst[at] <= STATED[name][0], f"{name}: {worst[at]:.3f} ulp in the {BLOCK} floats from bits {bits:#x}"

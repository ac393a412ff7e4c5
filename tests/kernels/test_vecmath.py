"""exp, log, tanh, erf, erfcx inside kernels: the accuracy that their docstring states, and the ends of the line."""

import math

import mpmath
import numpy as np
import pytest

numba = pytest.importorskip("numba")
if numba.config.DISABLE_JIT:
    pytest.skip("Numba compiles nothing here", allow_module_level=True)

from minigrad.kernels import vecmath  # noqa: E402
from minigrad.kernels.compile import floats, kernel, run  # noqa: E402
from minigrad.kernels.simd import row  # noqa: E402
from minigrad.kernels.vecmath import erf, erfcx, exp, log, tanh  # noqa: E402

NAMES = ["exp", "log", "tanh", "erf", "erfcx"]
FLOATS = [np.float32, np.float64]

# The table in the docstring of the module: name -> ulp in float32, in float64.
STATED = {
    words[0]: (float(words[1]), float(words[2]))
    for words in map(str.split, vecmath.__doc__.splitlines())
    if len(words) == 3 and words[0] in NAMES
}


@kernel
def _evaluate(t: int, nt: int, which: int, x: floats, y: floats, n: int):
    xs, ys = row(x, 0, n), row(y, 0, n)
    if which == 0:
        for i in range(n):
            ys[i] = exp(xs[i])
    elif which == 1:
        for i in range(n):
            ys[i] = log(xs[i])
    elif which == 2:
        for i in range(n):
            ys[i] = tanh(xs[i])
    elif which == 3:
        for i in range(n):
            ys[i] = erf(xs[i])
    else:
        for i in range(n):
            ys[i] = erfcx(xs[i])


def evaluate(name, x):
    y = np.empty_like(x)
    run(_evaluate, 1, x.size, NAMES.index(name), x, y, x.size)
    return y


def exact(name, x):
    """mpmath's value of f(x) for one float."""
    x = mpmath.mpf(float(x))
    if name == "erfcx":
        return mpmath.exp(x * x) * mpmath.erfc(x)
    return getattr(mpmath, name)(x)


def interval(name, dtype):
    """Where the function is claimed to be accurate: its result, and the input of log and erfcx, is a normal number."""
    single = dtype == np.float32
    return {
        "exp": (-86.6, 88.7) if single else (-707.6, 709.7),
        "log": (0.0, 3e38 if single else 1e308),
        "tanh": (-20.0, 20.0),
        "erf": (-7.0, 7.0),
        "erfcx": (0.0, 10.5 if single else 28.0),
    }[name]


def sample(rng, name, dtype, n):
    """Points of the interval: spread evenly, near 1, and over all binades."""
    low, high = interval(name, dtype)
    smallest = math.log2(np.finfo(dtype).smallest_subnormal)
    binades = 2 ** rng.uniform(smallest, math.log2(high), n) * (rng.choice([-1, 1], n) if low < 0 else 1)
    points = np.concatenate([rng.uniform(low, min(high, 1000), n), rng.uniform(max(low, -2), 2, n), binades])
    return points.astype(dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", NAMES)
def test_error_is_within_the_stated_ulp(rng, name, dtype):
    x = sample(rng, name, dtype, 1000)
    x = x[(x != 0) | (name != "log")]
    y = evaluate(name, x)
    tiny = np.finfo(dtype).tiny
    with mpmath.workdps(40):
        want = [exact(name, v) for v in x]
        ulp = [float(np.spacing(dtype(max(abs(float(w)), float(tiny))))) for w in want]
        errors = [float(abs(mpmath.mpf(float(a)) - w)) / u for a, w, u in zip(y, want, ulp)]
    worst = int(np.argmax(errors))
    assert errors[worst] <= STATED[name][dtype == np.float64], f"{name}({x[worst]!r})"


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "name, want",
    [
        ("exp", [1, 1, np.inf, 0, np.inf, 0, np.nan]),
        ("log", [-np.inf, -np.inf, np.inf, np.nan, math.log(1e30), np.nan, np.nan]),
        ("tanh", [0.0, -0.0, 1, -1, 1, -1, np.nan]),
        ("erf", [0.0, -0.0, 1, -1, 1, -1, np.nan]),
    ],
)
def test_special_values(name, want, dtype):
    x, want = np.array([0.0, -0.0, np.inf, -np.inf, 1e30, -1e30, np.nan], dtype), np.array(want, dtype)
    for repeats in [1, 37]:  # alone, and inside the vector loop
        got = evaluate(name, np.tile(x, repeats))
        np.testing.assert_allclose(got, np.tile(want, repeats), rtol=1e-7)
        np.testing.assert_array_equal(np.signbit(got[1::7]), np.signbit(want[1]))  # f(-0) is -0 for the odd ones


@pytest.mark.parametrize("dtype", FLOATS)
def test_exp_goes_over_to_infinity_and_to_zero(dtype):
    info = np.finfo(dtype)
    top = np.log(info.max)
    x = np.array([np.nextafter(top, 0), top * 1.001, math.log(2) * (info.minexp + 2), 1.02 * np.log(info.tiny)], dtype)
    y = evaluate("exp", x)
    assert np.isfinite(y[0]) and y[1] == np.inf and y[2] > 0 and y[3] == 0


def test_nothing_is_compiled_with_all_of_fastmath():
    """It would assume that there is no NaN and no infinity; masks are -inf."""
    import ast
    from pathlib import Path

    import minigrad

    for path in Path(minigrad.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "fastmath":
                assert not isinstance(node.value, ast.Constant), f"{path}:{node.value.lineno}"
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value not in ("fast", "nnan", "ninf"), f"{path}:{node.lineno}"


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_wherever_the_number_stands(rng, name, dtype):
    """Vector loop and remainder, whatever the length: else threads would change the result."""
    x = sample(rng, name, dtype, 50)
    whole = evaluate(name, x)
    for start in [1, 3, 64, x.size - 1]:
        np.testing.assert_array_equal(evaluate(name, x[start:]), whole[start:])

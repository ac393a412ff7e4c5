"""How kernels are compiled, cached and run: one source for two types, a cache that is never stale, threads, forks."""

import os
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

numba = pytest.importorskip("numba")
if numba.config.DISABLE_JIT:
    pytest.skip("Numba compiles nothing here", allow_module_level=True)

import minigrad  # noqa: E402
from minigrad import kernels, settings  # noqa: E402
from minigrad.kernels import compile as policy  # noqa: E402
from minigrad.kernels import making, reference  # noqa: E402
from minigrad.kernels.compile import ROWS, booleans, doubles, floats, helper, integers, kernel, run  # noqa: E402
from minigrad.kernels.simd import constant, number, row, share  # noqa: E402
from tests.kernels.process import process  # noqa: E402

SAYS = "minigrad: compiling kernels for this CPU, once ...\n"


# ---- declaring and running


@helper
def _twice(x):
    return x * constant(2, x)


@kernel
def _every_kind(
    t: int, nt: int, x: floats, add: doubles, pick: integers, keep: booleans, y: floats, none: floats, R: int, C: int,
    factor: float,
):  # fmt: skip
    f = number(factor, x)
    first, last = share(t, nt, R)
    for i in range(first, last):
        xi, yi = row(x, i * C, C), row(y, i * C, C)
        for j in range(C):
            if row(keep, i * C + j, 1)[0]:
                yi[j] = _twice(xi[row(pick, j, 1)[0]]) * f + constant(row(add, i, 1)[0], x)
            else:
                yi[j] = constant(0.5, x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("factor", [0.1, 3])
def test_one_source_for_both_types_and_every_kind_of_argument(rng, dtype, factor):
    R, C = 3, 5
    x, add = rng.standard_normal((R, C)).astype(dtype), rng.standard_normal(R)
    pick, keep = rng.integers(0, C, C), rng.random((R, C)) < 0.7
    y = np.empty((R, C), dtype)
    run(_every_kind, R, R * C, x, add, pick, keep, y, None, R, C, factor)
    expected = np.where(keep, x[:, pick] * dtype(2) * dtype(factor) + add.astype(dtype)[:, None], dtype(0.5))
    np.testing.assert_allclose(y, expected, rtol=4 * np.finfo(dtype).eps)


def test_a_forgotten_argument_raises(rng):
    x = rng.standard_normal((3, 5))
    with pytest.raises(TypeError, match="_every_kind: takes 9 arguments.*Received: 3"):
        run(_every_kind, 3, 15, x, x, x)


def test_nothing_to_do_runs_nothing():
    x = np.empty((0, 5))
    run(_every_kind, 0, 0, x, x, x, x, x, None, 0, 5, 1.0)


@kernel
def _who(t: int, nt: int, x: floats, n: int):
    first, last = share(t, nt, n)
    for i in range(first, last):
        row(x, i, 1)[0] += constant(1 + t, x)


@pytest.mark.parametrize("threads, items, work, expected", [
    (4, 8, 10**9, 4), (4, 3, 10**9, 3), (4, 8, 1, 1), (4, 8, 2 * policy.GRAIN, 2), (1, 8, 10**9, 1), (4, 0, 0, 1),
    (1000, 10**4, 10**9, 64),
])  # fmt: skip
def test_threads_only_where_there_is_work_for_them(threads, items, work, expected):
    with settings.use_threads(threads):
        assert policy.shares(items, work) == expected


@pytest.mark.parametrize("threads", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("n", [1, 2, 5, 33])
def test_every_item_is_computed_once(monkeypatch, threads, n):
    monkeypatch.setattr(policy, "GRAIN", 1)
    x = np.zeros(n)
    with settings.use_threads(threads):
        run(_who, n, 10**6, x, n)
    shares = np.bincount(x.astype(int) - 1)
    assert (np.diff(x) >= 0).all(), "a share is a range of neighbours"
    assert shares.sum() == n and shares.max() - shares.min() <= 1 and len(shares) == min(threads, n)


def test_addresses_of_all_sorts_of_arrays(rng):
    x = rng.standard_normal((4, 5))
    for array in (x, x[1:], x.T, x[::-1, 2:], x[:0], np.float32([1]), np.broadcast_to(x, (3, 4, 5)), x.view(np.recarray)):
        assert policy.address(array) == array.ctypes.data
    assert policy.address(None) == 0 and policy.address(64) == 64


def test_scratch_is_aligned_large_enough_and_nobody_elses():
    small, large = policy.scratch(10), policy.scratch(1 << 20)
    assert policy.address(small) % 64 == policy.address(large) % 64 == 0
    assert small.size >= 10 and large.size >= 1 << 20
    assert policy.address(policy.scratch(1 << 20)) != policy.address(large), "as long as it is held it is not given again"


def test_an_interrupt_waits_until_a_kernel_is_made(monkeypatch):
    made, dtype = [], np.dtype(np.float32)

    def interrupted(*given):
        signal.raise_signal(signal.SIGINT)
        made.append(given)
        return 64

    monkeypatch.setattr(policy, "machine_code", interrupted)
    anew, before = policy.Kernel(_who.function, ROWS), signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            anew.address(dtype)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert anew.address(dtype) == 64 and len(made) == 1
    with ThreadPoolExecutor(1) as pool:  # others may make something now
        monkeypatch.setattr(policy, "machine_code", lambda *_: 128)
        assert pool.submit(anew.address, np.dtype(np.float64)).result(9) == 128


def test_compiling_leaves_numba_as_it_was():
    before = numba.config.CACHE_DIR, numba.config.THREADING_LAYER, numba.get_num_threads()
    x = np.zeros(5, np.float32)
    run(_who, 5, 5, x, 5)
    assert (numba.config.CACHE_DIR, numba.config.THREADING_LAYER, numba.get_num_threads()) == before


# ---- the door


def test_one_place_chooses(monkeypatch):
    x = np.ones((2, 3), np.float32)
    assert kernels.pick("softmax", x).__module__ == "minigrad.kernels.softmax"
    with settings.use_kernels("reference"):
        assert kernels.pick("softmax", x) is reference.softmax
    monkeypatch.setattr(making, "numba_compiles", lambda: False)
    assert kernels.pick("softmax", x) is reference.softmax


def test_both_sides_of_the_door_have_the_same_functions():
    import inspect

    for name in kernels._MODULE_OF:
        signature = inspect.signature(getattr(reference, name))
        assert inspect.signature(kernels._compiled(name)) == signature, name
        assert inspect.signature(getattr(kernels, name)) == signature, name


def test_byte_swapped_numbers_go_to_the_reference():
    x = np.ones((2, 3), ">f4" if sys.byteorder == "little" else "<f4")
    assert kernels.pick("matmul", x, x.T) is reference.matmul
    assert (kernels.matmul(x, x.T) == 3).all()


# ---- whole processes

PROGRAM = """
import numpy as np
from minigrad import kernels
x = np.arange(12, dtype=np.float32).reshape(3, 4)
assert (kernels.embedding_grad(x, np.array([1, 0, 1]), 2) == [x[1], x[0] + x[2]]).all()
"""


def machine_code(cache):
    return {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_cache_serves_the_next_process_and_never_stale_code(tmp_path):
    """First use says so and fills the cache; the second is silent and compiles nothing; an edit makes a new folder."""
    installed, cache = tmp_path / "installed", tmp_path / "cache"
    shutil.copytree(Path(minigrad.__file__).parent, installed / "minigrad", ignore=shutil.ignore_patterns("__pycache__"))
    sources = sorted(installed.rglob("*"))
    assert process(PROGRAM, installed, MINIGRAD_CACHE_DIR=cache) == SAYS
    made = machine_code(cache)
    assert made and len(list(cache.iterdir())) == 1
    assert process(PROGRAM, installed, MINIGRAD_CACHE_DIR=cache) == ""
    assert machine_code(cache) == made
    assert sorted(installed.rglob("*")) == sources, "nothing is written where the package is installed"
    # a helper in another file than the kernel: Numba by itself would not notice
    simd = installed / "minigrad" / "kernels" / "simd.py"
    text = simd.read_text()
    simd.write_text(text.replace("return t * n // nt, (t + 1) * n // nt", "return t * n // nt, t * n // nt"))
    assert simd.read_text() != text
    with pytest.raises(AssertionError, match="line 5, in <module>\n *AssertionError"):
        process(PROGRAM, installed, MINIGRAD_CACHE_DIR=cache)
    assert len(list(cache.iterdir())) == 2
    simd.write_text(text)
    assert process(PROGRAM, installed, MINIGRAD_CACHE_DIR=cache) == ""
    assert {path: made[path] for path in made} == {path: machine_code(cache)[path] for path in made}


@pytest.mark.slow
def test_without_a_place_to_write_everything_works_with_one_warning(tmp_path):
    (tmp_path / "file").write_text("a folder cannot be made in here")
    said = process(PROGRAM, MINIGRAD_CACHE_DIR=tmp_path / "file" / "cache")
    assert said.count("UserWarning") == 1 and "MINIGRAD_CACHE_DIR" in said
    said = process(PROGRAM, MINIGRAD_CACHE=0, MINIGRAD_CACHE_DIR=tmp_path / "cache")
    assert said == SAYS.replace(", once", "") and not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_a_cache_that_breaks_while_it_is_written(tmp_path):
    """No space left: the kernel is compiled all the same."""
    program = """
import os
def full(*arguments): raise OSError(28, "No space left on device")
os.replace = full
""" + PROGRAM
    said = process(program, MINIGRAD_CACHE_DIR=tmp_path)
    assert "No space left" in said and "compiling without it" in said
    assert not machine_code(tmp_path), "nothing half written stays"


@pytest.mark.slow
def test_a_damaged_cache_is_told_and_made_anew(tmp_path):
    program = PROGRAM + "kernels.softmax(x)"
    process(program, MINIGRAD_CACHE_DIR=tmp_path)
    made = list(machine_code(tmp_path))
    damages = [lambda c: b"", lambda c: c[:20], lambda c: c[:-1], lambda c: c[:2000] + bytes([c[2000] ^ 1]) + c[2001:]]
    for path, damage in zip(made, damages, strict=True):
        path.write_bytes(damage(path.read_bytes()))
    said = process(program, MINIGRAD_CACHE_DIR=tmp_path)
    assert said.count("is damaged; compiling it anew") == len(made) and "minigrad: compiling" not in said
    assert process(program, MINIGRAD_CACHE_DIR=tmp_path) == ""


@pytest.mark.slow
def test_a_filled_cache_that_may_only_be_read_is_used(tmp_path):
    """Of another user, or installed with the package; what is not in it is compiled, with one warning."""
    forbids = """
import os, tempfile
def forbidden(*arguments, **options): raise PermissionError(13, "Permission denied")
tempfile.TemporaryFile = tempfile.mkstemp = os.replace = forbidden
"""
    process(PROGRAM, MINIGRAD_CACHE_DIR=tmp_path)
    made = machine_code(tmp_path)
    assert process(forbids + PROGRAM, MINIGRAD_CACHE_DIR=tmp_path) == ""
    more = forbids + PROGRAM + "kernels.sum_rows(x); kernels.softmax(x)"
    said = process(more, MINIGRAD_CACHE_DIR=tmp_path)
    assert said.count("UserWarning") == 1 and "MINIGRAD_CACHE_DIR" in said and "Permission denied" in said
    assert machine_code(tmp_path) == made


@pytest.mark.slow
def test_two_processes_fill_one_cache_at_once(tmp_path):
    programs = [PROGRAM + f"kernels.{name}(x)" for name in ["softmax", "log_softmax"]]
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda program: process(program, MINIGRAD_CACHE_DIR=tmp_path), programs))
    made = machine_code(tmp_path)
    assert process(programs[0] + "; kernels.log_softmax(x)", MINIGRAD_CACHE_DIR=tmp_path) == ""
    assert machine_code(tmp_path) == made


@pytest.mark.slow
def test_the_compiler_sleeps_when_everything_is_in_the_cache(tmp_path):
    """Waking it takes a quarter of a second, which is half of the time to the first step of training."""
    process(PROGRAM, MINIGRAD_CACHE_DIR=tmp_path)
    asks = "import sys\nassert 'numba.cpython.mathimpl' not in sys.modules"
    process(PROGRAM + asks, MINIGRAD_CACHE_DIR=tmp_path)
    with pytest.raises(AssertionError, match="AssertionError"):
        process(PROGRAM + asks, MINIGRAD_CACHE=0)


def _outside(width, like):
    def scaled(t: int, nt: int, x: floats):
        row(x, 0, 1)[0] = constant(width, like)

    return scaled


def test_kernels_of_others_are_not_kept_and_ours_differ_in_numbers_only(monkeypatch):
    """A file is found by the name and the numbers of a kernel: the folder's name knows the package's sources alone."""
    assert policy._place(_outside(1, 2), "f", ROWS) is None
    ours = {(width, like): _outside(width, like) for width in (1, 2) for like in (1, 2)}
    for function in ours.values():
        function.__module__ = "minigrad.kernels.softmax"
    assert len({policy._place(function, "f", ROWS) for function in ours.values()}) == 4
    assert policy._place(ours[1, 1], "f", ROWS) == policy._place(ours[1, 1], "f", ROWS) != policy._place(ours[1, 1], "g", ROWS)
    ours = _outside(1, np.float32)
    ours.__module__ = "minigrad.kernels.softmax"
    with pytest.raises(TypeError, match="scaled: a kernel can use whole numbers, and nothing else"):
        policy._place(ours, "f", ROWS)


@pytest.mark.slow
def test_old_caches_are_removed(tmp_path):
    for age in range(12):
        old = tmp_path / f"kernels-{age}"
        old.mkdir()
        os.utime(old, (age, age))
    (tmp_path / "something else").mkdir()
    process(PROGRAM, MINIGRAD_CACHE_DIR=tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert "kernels-0" not in left and "kernels-11" in left and "something else" in left and len(left) == 9


@pytest.mark.slow
def test_without_numba_the_reference_answers():
    program = "import numpy as np\nfrom minigrad import kernels\n"
    asks = "assert kernels.pick('matmul', np.ones((2, 2))).__module__ == 'minigrad.kernels.reference'\n"
    process(program + asks, NUMBA_DISABLE_JIT=1)
    process("import sys\nsys.modules['numba'] = None\n" + program + asks)
    process(program + asks + "import sys\nassert 'numba' not in sys.modules", MINIGRAD_KERNELS="reference")


@pytest.mark.parametrize("job", [(), (1,), None, [1, 2]])
def test_what_is_no_job_raises(job):
    with pytest.raises((SystemError, IndexError)):
        policy.launcher(1)(1, job)

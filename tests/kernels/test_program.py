"""Programs: steps in their order, whoever computes them, and from how many threads, processes and runs."""

import contextlib
import ctypes
import threading

import numpy as np
import pytest

numba = pytest.importorskip("numba")
if numba.config.DISABLE_JIT:
    pytest.skip("Numba compiles nothing here", allow_module_level=True)

from minigrad import settings  # noqa: E402
from minigrad.kernels import compile as policy  # noqa: E402
from minigrad.kernels.compile import doubles, floats, integers, kernel  # noqa: E402
from minigrad.kernels.pool import add  # noqa: E402
from minigrad.kernels.program import _AHEAD, Counters, Program, Work, _first_reads  # noqa: E402
from tests.kernels.process import process  # noqa: E402
from tests.kernels.test_threads import needs_fork  # noqa: E402

LONG = 1 << 20  # work that threads share


@kernel
def neighbours(t: int, nt: int, x: doubles, y: doubles, n: int, like: floats):
    """y[i] = x[i - 1] + 2 x[i] + x[i + 1] in share i; the ends are each other's neighbours."""
    y[t] = x[(t + n - 1) % n] + 2.0 * x[t] + x[(t + 1) % n]


@kernel
def last_adds_up(t: int, nt: int, x: doubles, y: doubles, work: doubles, counter: int, like: floats):
    work[t] = x[t] * x[t]
    if add(counter, 1) == nt - 1:
        total = 0.0
        for i in range(nt):
            total += work[i]
        y[0] = total


@kernel
def move(t: int, nt: int, x: doubles, n: integers, by: float, like: floats):
    x[t] += 1.0
    n[t] += 1


LIKE = np.zeros(1, np.float32)  # kernels are typed by an array


def chain(steps, n):
    """A program in which every share needs shares of others of the step before, its first and its last array."""
    x = np.random.default_rng(0).integers(0, 9, n).astype(float)
    arrays = [x, *np.zeros((steps, n))]
    program = Program()
    for before, after in zip(arrays, arrays[1:]):
        program.append(neighbours, n, LONG, before, after, n, LIKE)
    return program, arrays[0], arrays[-1]


@contextlib.contextmanager
def inside(alone):
    """Another thread is inside, as long as this is open."""
    entered, leave = threading.Event(), threading.Event()

    def stay():
        with alone:
            entered.set()
            leave.wait()

    thread = threading.Thread(target=stay)
    thread.start()
    entered.wait()
    try:
        yield
    finally:
        leave.set()
        thread.join()


def expected(x, steps):
    for _ in range(steps):
        x = np.roll(x, 1) + 2 * x + np.roll(x, -1)
    return x


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize(("steps", "n"), [(1, 1), (40, 1), (300, 5), (20, 64), (3, 2)])
def test_a_step_begins_when_the_one_before_is_done(threads, steps, n):
    program, x, y = chain(steps, n)
    for _ in range(20):  # what changes is read anew
        x += 1
        y[:] = 0
        with settings.use_threads(threads):
            program.run()
        np.testing.assert_array_equal(y, expected(x, steps))


def test_every_share_is_computed_once_in_each_run():
    x, n, program = np.zeros(100), np.zeros(100, np.int64), Program()
    for shares in (100, 1, 3, 70):
        program.append(move, shares, LONG, x, n, 0.5, LIKE)
    for runs, threads in enumerate([1, 5, 2, 3], 1):
        with settings.use_threads(threads):
            program.run()
        want = runs * np.repeat([4, 3, 2, 1], [1, 2, 67, 30])
        np.testing.assert_array_equal(n, want)
        np.testing.assert_array_equal(x, want)


def test_work_is_apart_and_counters_begin_at_0_in_every_run():
    xs, ys, program = np.arange(1.0, 13).reshape(4, 3), np.zeros((4, 1)), Program()
    with program.together():
        for x, y in zip(xs[:3], ys):
            program.append(last_adds_up, 3, LONG, x, y, Work(8 * 3), Counters(1), LIKE)
    program.append(last_adds_up, 3, LONG, xs[3], ys[3], Work(8 * 3), Counters(1), LIKE)
    for threads in (1, 2, 3):
        ys[:] = 0
        with settings.use_threads(threads):
            program.run()
        np.testing.assert_array_equal(ys[:, 0], (xs**2).sum(1))


def test_what_is_together_is_one_step():
    a, b, program = np.zeros(3), np.zeros(7), Program()
    with program.together():
        program.append(neighbours, 3, LONG, np.ones(3), a, 3, LIKE)
        program.append(neighbours, 7, LONG, np.ones(7), b, 7, LIKE)
        assert program.is_together
    with program.together():
        pass
    assert len(program._steps) == 1 and not program.is_together
    with settings.use_threads(2):
        program.run()
    assert (a == 4).all() and (b == 4).all()


@numba.njit
def first_reads(step, t, nt):
    return _first_reads(step, t, nt)


@pytest.mark.parametrize("nt", [1, 2, 3, 4, 9])
def test_who_waits_asks_for_what_its_part_of_the_next_step_that_reads_begins_with(nt):
    shares, rows, x = (5, 3), [np.zeros((5, 100)), np.zeros((3, 70000))], np.zeros(8)
    begins = [a.ctypes.data + t * a.strides[0] for a, n in zip(rows, shares) for t in range(n)]  # of what the 8 shares read
    ends = [a.ctypes.data + n * a.strides[0] for a, n in zip(rows, shares) for _ in range(n)]  # of the arrays that they read
    sizes = [a.strides[0] for a, n in zip(rows, shares) for _ in range(n)]
    program = Program()
    for reads in (None, None, rows, None):  # a step that reads is asked for in both before it, and nothing behind it
        with program.together():
            for number, n in enumerate(shares):
                given = {} if reads is None else {"reads": reads[number], "apart": reads[number].strides[0]}
                program.append(neighbours, n, LONG, x, np.zeros(8), 8, LIKE, **given)
    program.run()
    (_, _, memory), *_ = program._packed
    steps = [memory.ctypes.data + 8 * (3 + number * (3 + 2 * (3 + 21))) for number in range(4)]
    aheads = [ctypes.c_int64.from_address(step + 16).value for step in steps]
    assert aheads == [steps[2], steps[2], 0, 0]
    for t in range(nt):
        first, last = t * 8 // nt, (t + 1) * 8 // nt
        begin, end = first_reads(steps[2], t, nt)
        assert begin == begins[first]
        of_one_array = [size for place, size in zip(ends[first:last], sizes[first:last]) if place == ends[first]]
        assert end - begin == min(_AHEAD, sum(of_one_array))


def test_an_empty_program_runs():
    Program().run()


class NobodyComes:
    """A pool whose workers are all elsewhere: the calling thread computes the shares of a launch one by one."""

    def __init__(self, order):
        self.order = order

    def wake(self, workers):
        pass

    def launch(self, shares, job):
        code, _, memory = job
        walk = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(code)
        for share in self.order(range(shares)):
            walk(share, shares, memory.ctypes.data)


@pytest.mark.parametrize("order", [iter, reversed])
def test_nobody_waits_for_a_thread_that_has_not_come(monkeypatch, order):
    program, x, y = chain(50, 6)
    monkeypatch.setattr(policy, "_shared", NobodyComes(order))
    with settings.use_threads(4):
        program.run()
    np.testing.assert_array_equal(y, expected(x, 50))


def test_two_threads_run_a_program_each_and_hold_the_pool_in_turn():
    wrong = []

    def work():
        program, x, y = chain(60, 9)
        with settings.use_threads(2):
            for _ in range(300):
                program.run()
                if not (y == expected(x, 60)).all():
                    wrong.append(y.copy())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_program_that_runs_cannot_be_run_again():
    program, x, y = chain(2, 3)
    with inside(program._alone):
        with pytest.raises(RuntimeError, match="program: it runs already.*program of its own"):
            program.run()
        assert not y.any()
    program.run()
    assert (y == expected(x, 2)).all()


def test_a_run_that_was_interrupted_stands_in_nobody_s_way():
    program, x, y = chain(2, 3)
    program._alone.__enter__()  # an interrupt before anything that would leave again
    program.run()
    assert (y == expected(x, 2)).all()


def test_a_kernel_of_no_shares_is_no_step():
    program, x, y = chain(2, 3)
    before = len(program._steps)
    program.append(neighbours, 0, 0, x, y, 3, LIKE)
    with program.together():
        program.append(neighbours, 0, 0, x, y, 3, LIKE)
    assert len(program._steps) == before
    program.run()
    assert (y == expected(x, 2)).all()


def test_errors():
    program, *_ = chain(2, 3)
    with pytest.raises(TypeError, match="neighbours: takes 4 arguments.*Received: 1"):
        program.append(neighbours, 3, 1, LIKE)
    with program.together(), pytest.raises(RuntimeError, match="open already"), program.together():
        pass
    program.run()
    with pytest.raises(RuntimeError, match="has run"):
        program.append(neighbours, 3, 1, np.ones(3), np.ones(3), 3, LIKE)


@needs_fork
def test_a_fork_runs_its_programs_even_if_another_thread_ran_one():
    process("""
import os
import numpy as np
from minigrad import settings
from tests.kernels.test_program import chain, expected, inside
program, x, y = chain(40, 7)
def right():
    y[:] = 0
    with settings.use_threads(3):
        program.run()
    return (y == expected(x, 40)).all()
assert right()
with inside(program._alone):
    child = os.fork()
    if child == 0:
        os._exit(0 if all(right() for _ in range(20)) else 1)
assert os.waitpid(child, 0)[1] == 0
assert right()
""", PYTHONWARNINGS="ignore::DeprecationWarning")  # fmt: skip

"""Kernels and threads: the same bits whoever computes them, and use from threads, forks and signal handlers."""

import ctypes
import os
import struct

import numpy as np
import pytest

numba = pytest.importorskip("numba")
if numba.config.DISABLE_JIT:
    pytest.skip("Numba compiles nothing here", allow_module_level=True)

from minigrad import kernels, settings  # noqa: E402
from minigrad.kernels import compile as policy  # noqa: E402
from tests.kernels.process import process  # noqa: E402

# ---- the same bits


class Random:
    """Random sizes and arrays of one float type."""

    def __init__(self, seed, dtype):
        self.rng, self.dtype = np.random.default_rng(seed), dtype

    def size(self, low=1, high=70):
        return int(self.rng.integers(low, high))

    def array(self, *shape):
        return self.rng.standard_normal(shape).astype(self.dtype)

    def ids(self, most, *shape):
        return self.rng.integers(0, most, shape)

    def rows(self):
        """The shape of many rows: kernels share them in pieces of up to 64."""
        return self.size(1, 400), self.size()


def _linear(r):
    x, n = r.array(r.size(1, 200), r.size()), r.size(1, 200)
    return x, r.array(x.shape[1], n), r.array(n)


def _linear_grad(r):
    x, w, _ = _linear(r)
    ws = [w, r.array(*w.shape), r.array(len(w), r.size())]
    return [r.array(len(x), w.shape[1]) for w in ws], x, ws, [True] * 7, [None, r.array(*x.shape)][r.size(0, 2)]


def _attention(r):
    B, h, T, S, dq, dv = r.size(1, 4), r.size(1, 4), r.size(), r.size(), r.size(1, 20), r.size(1, 20)
    mask, bias = r.array(B, 1, T, S) > -1, r.array(1, h, T, S)
    return r.array(B, h, T, dq), r.array(B, h, S, dq), r.array(B, h, S, dv), bool(r.size(0, 2)), 0.3, mask, bias, 0.2, 7, 5


def _attention_grad(r):
    q, k, v, *how = _attention(r)
    out, lse = kernels.attention(q, k, v, *how)
    return r.array(*out.shape), q, k, v, out, lse, *how


def _layer_norm_grad(r):
    shape = R, E = r.rows()
    return r.array(*shape), r.array(*shape), r.array(E), r.array(R), abs(r.array(R)), True, [None, r.array(*shape)][r.size(0, 2)]


def _cross_entropy(r):
    N, V = r.rows()
    return r.array(N, V), r.ids(V, N), abs(r.array(V)), 0.1, [None, r.array(N), r.array(1)][r.size(0, 3)]


def _lists(r, count, shapes):
    return [[r.array(*shape) for shape in shapes] for _ in range(count)]


def _columns(r, count):
    """Parameters, gradients and ``count`` lists of states that are not below 0."""
    params, grads, *states = _lists(r, 2 + count, [(r.size(1, 9000),), r.rows(), (1,)])
    return params, grads, *([abs(x) for x in state] for state in states)


DECAY = [0.1, 0.0, 0.1]

# kernel -> its arguments, at random
ARGUMENTS = {
    "matmul": lambda r: (r.array(3, r.size(), k := r.size()), r.array(3, k, r.size())),
    "linear": lambda r: (*(xwb := _linear(r)), r.array(len(xwb[0]), len(xwb[2]))),
    "linear_gelu": lambda r: (*_linear(r), ["none", "tanh"][r.size(0, 2)]),
    "linears": lambda r: (r.array(r.size(1, 200), K := r.size()), [r.array(K, r.size()) for _ in range(3)], [None] * 3),
    "linear_grad": _linear_grad,
    "linear, bfloat16": lambda r: (*_linear(r), None, "bfloat16" if r.dtype == np.float32 else None),
    "attention": _attention,
    "attention_grad": _attention_grad,
    "softmax": lambda r: (x := r.array(*r.rows()), x > 0),
    "softmax_grad": lambda r: (g := r.array(*r.rows()), np.sqrt(abs(g))),
    "log_softmax": lambda r: (r.array(*r.rows()),),
    "log_softmax_grad": lambda r: (g := r.array(*r.rows()), -abs(g)),
    "layer_norm": lambda r: (x := r.array(*r.rows()), r.array(x.shape[1]), r.array(x.shape[1]), 1e-5),
    "layer_norm_grad": _layer_norm_grad,
    "batch_norm": lambda r: (x := r.array(*r.rows()), r.array(x.shape[1]), r.array(x.shape[1]), 1e-2),
    "batch_norm_grad": lambda r: (g := r.array(*r.rows()), r.array(*g.shape), *(r.array(g.shape[1]) for _ in range(3))),
    "scale_columns": lambda r: (x := r.array(*r.rows()), *(r.array(x.shape[1]) for _ in range(3))),
    "scaled_columns_sums": lambda r: (g := r.array(*r.rows()), r.array(*g.shape), r.array(g.shape[1])),
    "sum_rows": lambda r: (r.array(*r.rows()),),
    "multiply_sum_rows": lambda r: (x := r.array(*r.rows()), r.array(*x.shape)),
    "cross_entropy": _cross_entropy,
    "gelu": lambda r: (r.array(r.size(1, 50_000)), ["none", "tanh"][r.size(0, 2)]),
    "gelu_gate": lambda r: (x := r.array(r.size(1, 50_000)), r.array(x.size), ["none", "tanh"][r.size(0, 2)]),
    "gelu_gate_grad": lambda r: (x := r.array(r.size(1, 50_000)), r.array(x.size), r.array(x.size), ["none", "tanh"][r.size(0, 2)]),
    "silu_gate": lambda r: (x := r.array(r.size(1, 50_000)), r.array(x.size)),
    "silu_gate_grad": lambda r: (x := r.array(r.size(1, 50_000)), r.array(x.size), r.array(x.size)),
    "silu": lambda r: (r.array(r.size(1, 50_000)),),
    "sigmoid": lambda r: (r.array(r.size(1, 50_000)),),
    "sigmoid_grad": lambda r: (x := r.array(r.size(1, 50_000)), r.array(x.size)),
    "where_positive": lambda r: (x := r.array(r.size(1, 50_000)), r.array(x.size), [0, 0.3][r.size(0, 2)]),
    "rotary": lambda r: (x := r.array(r.size(1, 4), r.size(1, 5), r.size(), 2 * r.size()), *r.array(2, x.shape[2], x.shape[3] // 2)),
    "embedding_grad": lambda r: (r.array(n := r.size(1, 400), r.size()), r.ids(V := r.size(), n), V),
    "dropout": lambda r: (r.array(r.size(1, 50_000)), 0.3, 12, 2**32 - 20_000),
    "sgd": lambda r: (*_columns(r, 1), 1e-2, 0.9, 0.7, bool(r.size(0, 2)), DECAY, 0.5),
    "adam": lambda r: (*_columns(r, 2 + (top := r.size(0, 2))), *[None] * (1 - top), 1e-3, 0.9, 0.99, 1e-8, 3, DECAY, bool(top), 0.5),
    "rmsprop": lambda r: (*_columns(r, 3), 1e-2, 0.9, 1e-8, 0.9, DECAY, 0.5),
    "adagrad": lambda r: (*_columns(r, 1), 1e-2, 1e-8, DECAY, 0.5),
    "lion": lambda r: (*_columns(r, 1), 1e-2, 0.9, 0.99, DECAY, 0.5),
    "scaled": lambda r: (*_lists(r, 1, [(r.size(1, 40_000),), r.rows(), (1,)]), 0.3),
    "grad_norm": lambda r: _lists(r, 1, [(r.size(1, 40_000),), r.rows(), (1,)]),
}


def bits(values):
    """All numbers in arrays, lists and tuples of them, as bytes."""
    if isinstance(values, list | tuple):
        return [bits(value) for value in values]
    return np.asarray(values).tobytes()


class LastShareFirst:
    """A pool of the calling thread alone, which computes shares in the order in which they are least likely to be taken."""

    def __init__(self):
        self.used = set()

    def wake(self, workers):
        pass

    def launch(self, shares, *jobs):
        self.used.add(shares)
        for share in reversed(range(shares)):
            for code, reals, *arguments in jobs:
                numbers = [struct.unpack("q", struct.pack("d", x))[0] if reals >> i & 1 else x for i, x in enumerate(arguments)]
                call = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * (2 + len(numbers)))(code)
                call(share, shares, *[int(x) if isinstance(x, np.generic | bool) else policy.address(x) for x in numbers])


def test_every_kernel_is_walked():
    assert {name.partition(",")[0] for name in ARGUMENTS} == set(kernels._MODULE_OF)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ARGUMENTS)
def test_bits_depend_neither_on_the_number_of_threads_nor_on_their_order(monkeypatch, name, dtype):
    monkeypatch.setattr(policy, "GRAIN", 1)
    last_share_first = LastShareFirst()
    for seed in range(4):

        def computed(threads, seed=seed):
            arguments = ARGUMENTS[name](Random(seed, dtype))
            with settings.use_threads(threads):
                return bits([kernels._compiled(name.partition(",")[0])(*arguments), *arguments])  # some write in place

        expected = computed(1)
        for threads in [2, 3, 5, 8]:
            assert computed(threads) == expected, f"{threads} threads"
            with monkeypatch.context() as patch:
                patch.setattr(policy, "_shared", last_share_first)
                assert computed(threads) == expected, f"{threads} threads, the last share first"
    assert max(last_share_first.used) > 2, "the work was never shared"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_of_one_launch_do_not_write_into_each_others_memory(dtype):
    """A few rows: the gradients of x and of w are different kernels, and a thread may be in one while another is in the other."""
    r = Random(0, dtype)
    x, w, g = r.array(22, 440), r.array(440, 50), r.array(22, 50)
    found = set()
    with settings.use_threads(2):
        for _ in range(200):
            found.add(str(bits(kernels._compiled("linear_grad")([g], x, [w], [True] * 3, None))))
    assert len(found) == 1


# ---- who calls

START = """
import os, threading
import numpy as np
from minigrad import kernels, settings
from minigrad.kernels import compile
compile.GRAIN = 1
rng = np.random.default_rng(0)
a, b = rng.standard_normal((13, 33)), rng.standard_normal((33, 65))
def product():
    with settings.use_threads(3):
        return kernels.matmul(a, b)
before = product()
"""


def test_a_signal_handler_may_launch_a_kernel_in_the_middle_of_another():
    code = """if True:
        import signal, time
        import numpy as np
        import minigrad as mg
        x, z = np.random.default_rng(0).normal(size=(40, 64)).astype("f"), np.ones((3, 7), "f")
        a = np.random.default_rng(1).normal(size=(30, 40)).astype("f")
        right, product, calls = mg.softmax(x), mg.matmul(a, x), 0
        def handler(*_):
            mg.softmax(z)
            mg.matmul(z, z.T)
        handler()
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 5e-4, 5e-4)
        end = time.time() + 2
        while time.time() < end:
            assert np.array_equal(mg.softmax(x), right) and np.array_equal(mg.matmul(a, x), product)
            calls += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert calls > 100
    """
    process(code)


def test_two_python_threads_at_once():
    """Both launch kernels that want all threads: each gets its own results, nobody waits for ever or dies."""
    program = """
import threading
import numpy as np
from minigrad import kernels, settings
from minigrad.kernels import compile
compile.GRAIN = 1
wrong = []
def work(seed):
    rng = np.random.default_rng(seed)
    with settings.use_threads(2):
        for _ in range(200):
            a, b = rng.standard_normal((13, 33)), rng.standard_normal((33, 65))
            if np.abs(kernels.matmul(a, b) - a @ b).max() > 1e-12:
                wrong.append(seed)
threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not wrong, wrong
"""
    process(program)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@needs_fork
def test_a_fork_goes_on_computing():
    """Worker threads do not survive a fork; kernels in the child work all the same, with the same bits."""
    process(START + """
child = os.fork()
if child == 0:
    same = all((product() == before).all() for _ in range(20))
    os._exit(0 if same else 1)
assert os.waitpid(child, 0)[1] == 0
assert (product() == before).all()
""", PYTHONWARNINGS="ignore::DeprecationWarning")  # fmt: skip


@needs_fork
@pytest.mark.slow
def test_a_fork_of_one_thread_while_others_compute_and_compile():
    """What the others held is not left closed in the child: neither the pool, nor the lock of the compiler."""
    process(START + """
end = threading.Event()
def compute():
    while not end.is_set():
        product()
def compile_all():
    for dtype in (np.float32, np.float64):
        kernels.softmax(np.ones((3, 4), dtype))
        kernels.sum_rows(np.ones((3, 4), dtype))
wrong = []
def fork():
    for _ in range(5):
        child = os.fork()
        if child == 0:
            kernels.log_softmax(np.ones((3, 4), np.float32))
            os._exit(0 if (product() == before).all() else 1)
        wrong.append(os.waitpid(child, 0)[1])
threads = [threading.Thread(target=target) for target in (compute, compile_all, fork)]
for thread in threads: thread.start()
threads[1].join()
threads[2].join()
end.set()
assert wrong == [0] * 5, wrong
""", PYTHONWARNINGS="ignore::DeprecationWarning", MINIGRAD_CACHE="0")  # fmt: skip


@needs_fork
def test_workers_of_multiprocessing():
    process(START + """
import multiprocessing
def work(seed):
    return product()
with multiprocessing.get_context("fork").Pool(2) as pool:
    for got in pool.map(work, range(6)):
        assert (got == before).all()
""", PYTHONWARNINGS="ignore::DeprecationWarning")  # fmt: skip


def test_a_daemon_thread_computes_while_the_process_ends():
    """It is cut off in the middle of a kernel, or of starting one; the process ends in peace."""
    said = process(START + """
def compute():
    while True:
        product()
for _ in range(3):
    threading.Thread(target=compute, daemon=True).start()
import atexit, time
atexit.register(lambda: time.sleep(0.1))
time.sleep(0.1)
""")
    assert said == ""


def test_a_kernel_while_the_process_ends():
    said = process(START + """
import atexit
atexit.register(lambda: product() is before or (product() == before).all() or os._exit(1))
""")
    assert said == ""

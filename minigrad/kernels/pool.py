"""Threads that share a kernel's work: one small pool in the process, written for short launches.

A launch publishes a job in shared memory; the calling thread and the workers then take shares of it one by one, and the
caller returns when all are done. Nothing waits for a worker to arrive: where the other cores are taken by somebody else, the
caller takes every share itself, so a busy machine costs what it takes away and no more (threads that must all meet at
a barrier wait there for a time slice of the operating system, 10 ms a launch). A worker looks for the next job for a
short while, then sleeps. A fork starts with no workers and makes its own when it first wants them.

A launch may hold several jobs: who takes a share computes that share of all of them, one after the other. Where one of them
reads what another writes, a share must read what the same share wrote.

Which thread computes a share never changes a bit of the result.

The interpreter calls `launch` as one of its own builtin functions, with the arrays and numbers themselves: to look up
addresses and to make C numbers of Python's takes machine code a tenth of the time that it takes Python.
"""

import _thread
import contextlib
import ctypes
import sys
import threading

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

ARGUMENTS = 20  # at most, that a launch hands to a kernel after (share, shares)
JOBS = 12  # at most, in one launch


def _place_of(pointer, within):
    """How many bytes behind the beginning of an object the interpreter, or NumPy, keeps this pointer."""
    for offset in range(0, 128, 8):
        if ctypes.c_void_p.from_address(id(within) + offset).value == pointer:
            return offset
    raise ImportError("kernels: this interpreter keeps its objects in no known way; MINIGRAD_KERNELS=reference goes without.")


_array = np.zeros(1)
DATA, TYPE = _place_of(_array.ctypes.data, _array), _place_of(id(np.ndarray), _array)

# A worker looks about 0.5 ms for the next job: longer than Python needs between two kernels of one training step.
_LOOKS = 10_000
# Who waits for the last share to be done looks for about 30 us, then naps, so that a thread that lost its core can have this one.
_LOOKS_BEFORE_NAP = 600

WORKERS = 63  # at most

# Places in the memory that the threads share, in int64s; what different threads write lies on different cache lines.
_TICKET, _DONE, _TAKEN, _JOBS, _COUNT, _KNOWN, _SIZE = 0, 8, 16, 24, 25, 32, 44
# From place _KNOWN on: what the operating system and the interpreter are asked for.
(_NDARRAY, _NONE, _NAP, _LENGTH, _ITEM, _IS_SUBTYPE, _TO_INT, _TO_FLOAT, _ERROR, _LET_GO, _TAKE_BACK, _INCREF) = range(_KNOWN, _SIZE)
JOB = 8 * (1 + ARGUMENTS)  # bytes of a job: the address of its machine code and the arguments
# The ticket is one number, so that taking a share is one atomic step: job number (32 bits), shares (16), next share (16).


def _int64(context, builder, address):
    return builder.inttoptr(address, ir.IntType(64).as_pointer())


@intrinsic
def invoke(typing_context, address, arguments):
    """Call the machine code at an address with a tuple of int64s and pointers."""

    def generate(context, builder, signature, values):
        passed = [builder.extract_value(values[1], i) for i in range(len(arguments))]
        code = ir.FunctionType(ir.VoidType(), [v.type for v in passed])
        builder.call(builder.inttoptr(values[0], code.as_pointer()), passed)
        return context.get_dummy_value()

    return types.void(address, arguments), generate


@intrinsic
def load(typing_context, address):
    """The int64 at an address, as the other threads left it."""

    def generate(context, builder, signature, values):
        return builder.load_atomic(_int64(context, builder, values[0]), "seq_cst", 8)

    return types.int64(types.int64), generate


@intrinsic
def store(typing_context, address, value):
    """Write an int64 for the other threads to see, after all that was written before."""

    def generate(context, builder, signature, values):
        builder.store_atomic(values[1], _int64(context, builder, values[0]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def add(typing_context, address, value):
    """Add to the int64 at an address in one step."""

    def generate(context, builder, signature, values):
        return builder.atomic_rmw("add", _int64(context, builder, values[0]), values[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def swap(typing_context, address, old, new):
    """Write ``new`` if the int64 at an address is still ``old``; whether it was."""

    def generate(context, builder, signature, values):
        pair = builder.cmpxchg(_int64(context, builder, values[0]), values[1], values[2], "seq_cst", "seq_cst")
        return builder.extract_value(pair, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


@intrinsic
def pause(typing_context):
    """Tell the core that this is a waiting loop."""

    def generate(context, builder, signature, values):
        module, none = builder.module, ir.VoidType()
        if module.triple.startswith("x86"):
            builder.call(cgutils.get_or_insert_function(module, ir.FunctionType(none, []), "llvm.x86.sse2.pause"), [])
        elif module.triple.startswith(("aarch64", "arm64")):
            hint = ir.FunctionType(none, [ir.IntType(32)])
            code = cgutils.get_or_insert_function(module, hint, "llvm.aarch64.hint")
            builder.call(code, [ir.Constant(ir.IntType(32), 1)])  # 1 is YIELD
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def ask(typing_context, address, arguments, like):
    """What the C function at an address makes of a tuple of int64s: a number of the type of ``like``."""

    def generate(context, builder, signature, values):
        passed = [builder.extract_value(values[1], i) for i in range(len(arguments))]
        code = ir.FunctionType(values[2].type, [v.type for v in passed])
        return builder.call(builder.inttoptr(values[0], code.as_pointer()), passed)

    return like(address, arguments, like), generate


@intrinsic
def _room(typing_context):
    """Where there is room for all jobs of one launch."""

    def generate(context, builder, signature, values):
        room = cgutils.alloca_once(builder, ir.ArrayType(ir.IntType(64), JOBS * JOB // 8))
        return builder.ptrtoint(room, ir.IntType(64))

    return types.int64(), generate


@intrinsic
def _bits(typing_context, x):
    """The bits of a float64 as an int64."""
    return types.int64(x), lambda context, builder, signature, values: builder.bitcast(values[0], ir.IntType(64))


_compiled = {"nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


@njit(**_compiled)
def compute(jobs, count, share, shares):
    """One share of every job: a kernel takes as many of the arguments as it declares."""
    for _ in range(count):
        a = jobs + 8
        invoke(
            load(jobs),
            (share, shares, load(a), load(a + 8), load(a + 16), load(a + 24), load(a + 32), load(a + 40),
             load(a + 48), load(a + 56), load(a + 64), load(a + 72), load(a + 80), load(a + 88), load(a + 96),
             load(a + 104), load(a + 112), load(a + 120), load(a + 128), load(a + 136), load(a + 144),
             load(a + 152)),
        )  # fmt: skip
        jobs += JOB


@njit(**_compiled)
def _take(state):
    """Take one share of the jobs and compute it; whether there was one to take."""
    ticket = load(state + 8 * _TICKET)
    share, shares = ticket & 0xFFFF, (ticket >> 16) & 0xFFFF
    if share >= shares:
        return False
    if swap(state + 8 * _TICKET, ticket, ticket + 1):
        # the jobs stay as they are until this share is done
        compute(load(state + 8 * _JOBS), load(state + 8 * _COUNT), share, shares)
        add(state + 8 * _DONE, 1)
    return True


@njit(**_compiled)
def _value(state, x, real):
    """The int64 that a kernel gets for a Python object: where the data of an array begins, a number, or its bits; 0 for None."""
    kind = load(x + TYPE)
    if x == load(state + 8 * _NONE):
        return np.int64(0)
    if real:  # asked first: an array of one number may be one
        return _bits(ask(load(state + 8 * _TO_FLOAT), (x,), 0.0))
    if kind == load(state + 8 * _NDARRAY):
        return load(x + DATA)
    if np.int32(ask(load(state + 8 * _IS_SUBTYPE), (kind, load(state + 8 * _NDARRAY)), np.int64(0))):
        return load(x + DATA)
    return ask(load(state + 8 * _TO_INT), (x,), np.int64(0))


@njit(**_compiled)
def _read(state, given, job):
    """Write the job that a tuple (code, reals, *arguments) says to where jobs are written."""
    second = ask(load(state + 8 * _ITEM), (given, 1), np.int64(0))
    if second == 0:  # no tuple of two or more, and the interpreter has noted that
        return
    reals = ask(load(state + 8 * _TO_INT), (second,), np.int64(0))
    store(job, _value(state, ask(load(state + 8 * _ITEM), (given, 0), np.int64(0)), False))
    for i in range(min(ask(load(state + 8 * _LENGTH), (given,), np.int64(0)) - 2, ARGUMENTS)):
        x = ask(load(state + 8 * _ITEM), (given, 2 + i), np.int64(0))
        store(job + 8 * (1 + i), _value(state, x, (reals >> i) & 1))


@njit(**_compiled)
def wait(done, shares, nap):
    """Look at the counter at an address until others, who are at work, have counted up to so many shares."""
    looks = 0
    while load(done) < shares:
        looks += 1
        if looks > _LOOKS_BEFORE_NAP:
            ask(nap, (np.int64(1),), np.int64(0))
        else:
            pause()


@njit(**_compiled)
def _share_out(state, jobs, count, shares):
    """Publish the jobs, take shares, wait until all are done."""
    store(state + 8 * _JOBS, jobs)
    store(state + 8 * _COUNT, count)
    store(state + 8 * _DONE, 0)
    number = (load(state + 8 * _TICKET) >> 32) + 1
    store(state + 8 * _TICKET, ((number & 0x7FFFFFFF) << 32) | (shares << 16))
    while _take(state):
        pass
    wait(state + 8 * _DONE, shares, load(state + 8 * _NAP))


def launch(this, given, count):
    """What the calling thread does: the C code of a builtin function ``launch(shares, *jobs)``.

    It computes all shares of every job, a tuple ``(code, reals, *arguments)``: the address of machine code, and arrays, whole
    numbers, None for a null pointer, and floats where bits of ``reals`` are set. ``this`` is the array of the state, ``given``
    the ``count`` objects that the function is called with. Other threads may run Python meanwhile. A signal handler, or
    another Python thread, that launches while the pool is taken computes its kernels alone.
    """
    state, jobs, count = load(this + DATA), _room(), min(count - 1, JOBS)
    shares = _value(state, load(given), False)
    for i in range(count):
        _read(state, load(given + 8 * (1 + i)), jobs + i * JOB)
    if ask(load(state + 8 * _ERROR), (), np.int64(0)):
        return np.int64(0)
    thread = ask(load(state + 8 * _LET_GO), (), np.int64(0))
    if shares > 1 and swap(state + 8 * _TAKEN, 0, 1):
        _share_out(state, jobs, count, shares)
        store(state + 8 * _TAKEN, 0)
    else:
        compute(jobs, count, np.int64(0), np.int64(1))
    ask(load(state + 8 * _TAKE_BACK), (thread,), np.int64(0))
    ask(load(state + 8 * _INCREF), (load(state + 8 * _NONE),), np.int64(0))
    return load(state + 8 * _NONE)


def work(state):
    """What a worker does: take shares of one job after the other, until it has looked in vain for a while."""
    looks = 0
    while looks < _LOOKS:
        if _take(state):
            looks = 0
        else:
            looks += 1
            pause()


class Pool:
    """Workers and the memory through which they get their jobs; ``launch`` is machine code, ``work`` a function of an int."""

    def __init__(self, launch, work):
        self.code, self.work = launch, work
        raw = np.zeros(_SIZE + 8, np.int64)
        first = -raw.ctypes.data % 64 // 8
        self.memory = raw[first : first + _SIZE]  # begins on a cache line
        self.state = self.memory.ctypes.data
        self.memory[_KNOWN:] = [id(np.ndarray), id(None), NAP, *map(_address, _ASKED)]
        self.launch = _builtin(launch, self.memory)
        self.gates = []  # one per worker, which closes it behind itself before it looks for work; a launch opens it

    def wake(self, workers):
        """Have so many workers look for the next job; they find it where they are not busy with another."""
        for number in range(workers):
            if number >= len(self.gates):
                self._hire()
            elif self.gates[number].locked():
                with contextlib.suppress(RuntimeError):  # another thread opened it meanwhile
                    self.gates[number].release()

    def _hire(self):
        gate = _thread.allocate_lock()

        def live():
            while True:
                gate.acquire()  # sleeps here, until the next launch if there was none while it worked
                self.work(self.state)

        threading.Thread(target=live, name=f"minigrad-{len(self.gates) + 1}", daemon=True).start()
        self.gates.append(gate)


# ---- what the interpreter is asked for

_ASKED = [
    getattr(ctypes.pythonapi, name)
    for name in (
        "PyTuple_Size", "PyTuple_GetItem", "PyType_IsSubtype", "PyLong_AsLongLong", "PyFloat_AsDouble", "PyErr_Occurred",
        "PyEval_SaveThread", "PyEval_RestoreThread", "Py_IncRef",
    )
]  # fmt: skip


class _Method(ctypes.Structure):
    """How the interpreter wants to be told of a builtin function."""

    _fields_ = [("name", ctypes.c_char_p), ("code", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p)]


_FASTCALL = 0x80  # the code gets the objects as they lie on the interpreter's stack, and how many they are
_make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.POINTER(_Method), ctypes.py_object, ctypes.c_void_p)(
    ("PyCFunction_NewEx", ctypes.pythonapi)
)
_methods = []  # the interpreter keeps no copy


def _builtin(code, this):
    """A builtin function of the machine code at an address, which gets the object ``this`` each time."""
    _methods.append(_Method(b"launch", code, _FASTCALL, None))
    return _make(ctypes.byref(_methods[-1]), this, None)


def _address(function):
    return ctypes.cast(function, ctypes.c_void_p).value


# where the function of the operating system that gives a core away begins: ``usleep(1)``, on Windows ``Sleep(1)``
NAP = _address(ctypes.windll.kernel32.Sleep if sys.platform == "win32" else ctypes.CDLL(None).usleep)

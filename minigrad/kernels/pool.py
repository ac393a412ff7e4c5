"""Threads that share a kernel's work: one small pool in the process, written for short launches.

A launch publishes a job in shared memory; the calling thread and the workers then take shares of it one by one, and the
caller returns when all are done. Nothing waits for a worker to arrive: where the other cores are taken by somebody else, the
caller takes every share itself, so a busy machine costs what it takes away and no more (threads that must all meet at
a barrier wait there for a time slice of the operating system, 10 ms a launch). A worker looks for the next job for a
short while, then sleeps. A fork starts with no workers and makes its own when it first wants them.

Which thread computes a share never changes a bit of the result.
"""

import _thread
import contextlib
import ctypes
import struct
import sys
import threading

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

ARGUMENTS = 20  # int64s that a launch hands to a kernel after (share, shares)

# A worker looks about 0.5 ms for the next job: longer than Python needs between two kernels of one training step.
_LOOKS = 10_000
# The caller looks about 30 us for the last share to be done, then naps, so that a worker that lost its core can have this one.
_LOOKS_BEFORE_NAP = 600

WORKERS = 63  # at most

# Places in the memory that the threads share, in int64s; what different threads write lies on different cache lines.
_TICKET, _DONE, _TAKEN, _NAP, _CODE, _SIZE = 0, 8, 16, 24, 25, 48
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
def _load(typing_context, address):
    """The int64 at an address, as the other threads left it."""

    def generate(context, builder, signature, values):
        return builder.load_atomic(_int64(context, builder, values[0]), "seq_cst", 8)

    return types.int64(types.int64), generate


@intrinsic
def _store(typing_context, address, value):
    """Write an int64 for the other threads to see, after all that was written before."""

    def generate(context, builder, signature, values):
        builder.store_atomic(values[1], _int64(context, builder, values[0]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def _add(typing_context, address, value):
    """Add to the int64 at an address in one step."""

    def generate(context, builder, signature, values):
        return builder.atomic_rmw("add", _int64(context, builder, values[0]), values[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def _swap(typing_context, address, old, new):
    """Write ``new`` if the int64 at an address is still ``old``; whether it was."""

    def generate(context, builder, signature, values):
        pair = builder.cmpxchg(_int64(context, builder, values[0]), values[1], values[2], "seq_cst", "seq_cst")
        return builder.extract_value(pair, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


@intrinsic
def _pause(typing_context):
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
def _nap(typing_context, address):
    """Give the core away for about 50 microseconds, by the function of the operating system at an address."""

    def generate(context, builder, signature, values):
        code = ir.FunctionType(ir.IntType(32), [ir.IntType(32)])
        builder.call(builder.inttoptr(values[0], code.as_pointer()), [ir.Constant(ir.IntType(32), 1)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


_compiled = {"nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


@njit(**_compiled)
def _compute(state, share, shares):
    """One share of the job: a kernel takes as many of the arguments as it declares."""
    a = state + 8 * _CODE
    invoke(
        _load(a),
        (share, shares, _load(a + 8), _load(a + 16), _load(a + 24), _load(a + 32), _load(a + 40), _load(a + 48),
         _load(a + 56), _load(a + 64), _load(a + 72), _load(a + 80), _load(a + 88), _load(a + 96), _load(a + 104),
         _load(a + 112), _load(a + 120), _load(a + 128), _load(a + 136), _load(a + 144), _load(a + 152), _load(a + 160)),
    )  # fmt: skip


@njit(**_compiled)
def _take(state):
    """Take one share of the job and compute it; whether there was one to take."""
    ticket = _load(state + 8 * _TICKET)
    share, shares = ticket & 0xFFFF, (ticket >> 16) & 0xFFFF
    if share >= shares:
        return False
    if _swap(state + 8 * _TICKET, ticket, ticket + 1):
        _compute(state, share, shares)  # the job stays as it is until this share is done
        _add(state + 8 * _DONE, 1)
    return True


def launch(order):
    """What the calling thread does: publish the job, take shares, wait until all are done.

    ``order`` holds the state, the machine code, the number of shares and the arguments, all int64s. One call from the
    interpreter, from the arguments to the result: a signal handler, or another Python thread, that launches meanwhile
    finds the pool taken and computes its kernel alone.
    """
    state, code, shares = order[0], order[1], order[2]
    if shares == 1 or not _swap(state + 8 * _TAKEN, 0, 1):
        invoke(
            code,
            (np.int64(0), np.int64(1), order[3], order[4], order[5], order[6], order[7], order[8], order[9], order[10],
             order[11], order[12], order[13], order[14], order[15], order[16], order[17], order[18], order[19], order[20],
             order[21], order[22]),
        )  # fmt: skip
        return
    _store(state + 8 * _CODE, code)
    for i in range(ARGUMENTS):
        _store(state + 8 * (_CODE + 1 + i), order[3 + i])
    _store(state + 8 * _DONE, 0)
    number = (_load(state + 8 * _TICKET) >> 32) + 1
    _store(state + 8 * _TICKET, ((number & 0x7FFFFFFF) << 32) | (shares << 16))
    while _take(state):
        pass
    looks = 0
    while _load(state + 8 * _DONE) < shares:
        looks += 1
        if looks > _LOOKS_BEFORE_NAP:
            _nap(_load(state + 8 * _NAP))
        else:
            _pause()
    _store(state + 8 * _TAKEN, 0)


def work(state):
    """What a worker does: take shares of one job after the other, until it has looked in vain for a while."""
    looks = 0
    while looks < _LOOKS:
        if _take(state):
            looks = 0
        else:
            looks += 1
            _pause()


class Pool:
    """Workers and the memory through which they get their jobs; ``launch`` (of bytes) and ``work`` (of an int) compiled."""

    def __init__(self, launch, work):
        self.launch, self.work = launch, work
        raw = np.zeros(_SIZE + 8, np.int64)
        first = -raw.ctypes.data % 64 // 8
        self.memory = memoryview(raw[first : first + _SIZE])  # begins on a cache line
        self.state = raw.ctypes.data + 8 * first
        self.memory[_NAP] = ctypes.cast(_sleeper(), ctypes.c_void_p).value
        self.gates = []  # one per worker, which closes it behind itself before it looks for work; a launch opens it

    def run(self, code, shares, values):
        """Compute all shares of a kernel, with the workers where they are not busy with another job."""
        for number in range(shares - 1):
            if number >= len(self.gates):
                self._hire()
            elif self.gates[number].locked():
                with contextlib.suppress(RuntimeError):  # another thread opened it meanwhile
                    self.gates[number].release()
        self.launch(_ORDERS[len(values)].pack(self.state, code, shares, *values))

    def _hire(self):
        gate = _thread.allocate_lock()

        def live():
            while True:
                gate.acquire()  # sleeps here, until the next launch if there was none while it worked
                self.work(self.state)

        threading.Thread(target=live, name=f"minigrad-{len(self.gates) + 1}", daemon=True).start()
        self.gates.append(gate)


_ORDERS = [struct.Struct(f"{3 + n}q{8 * (ARGUMENTS - n)}x") for n in range(ARGUMENTS + 1)]


def _sleeper():
    """The function of the operating system that gives a core away: ``usleep(1)``, on Windows ``Sleep(1)``."""
    return ctypes.windll.kernel32.Sleep if sys.platform == "win32" else ctypes.CDLL(None).usleep

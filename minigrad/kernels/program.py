"""Programs: a fixed sequence of kernels that one launch computes, one after the other.

A step of decoding is a hundred small kernels, each of which needs what the one before has made. Launched one by one, the way
through Python between two of them takes longer than most of them; here the threads that share a launch walk through all steps by
themselves. A step is cut into shares when the program is built. Whoever comes takes the next one of the step, and goes on to
the next step when all shares of this one are done: it waits for shares that somebody has taken, never for a thread that
has not come. So one thread alone gets through too, and the bits do not depend on how many there are.

A thread that waits asks for the beginning of what it will read next, so that memory does not pause between two large matrices.

What the kernels are called with is written down once, as the threads read it. What changes from run to run, they read from arrays.
"""

import contextlib
import struct
from typing import NamedTuple

import numpy as np

from minigrad import settings
from minigrad.alone import Alone
from minigrad.kernels.compile import EXACT, GRAIN, address, helper, kernel, launcher, scratch
from minigrad.kernels.pool import ARGUMENTS, JOB, NAP, WORKERS, add, compute, load, wait
from minigrad.kernels.simd import fetch_line

_LINE = 64  # bytes in a cache line: what different threads write lies on different ones
_STEP, _JOB = 24, 24 + JOB  # bytes that are written down of a step before its jobs, and of each job
_AHEAD = 1 << 17  # bytes that a thread asks for before it reads them, at most: a part of its second cache


class Work(NamedTuple):
    """An argument of a kernel: memory of so many bytes for one step, in which the next step writes something else."""

    size: int


class Counters(NamedTuple):
    """An argument of a kernel: the address of so many int64s that are 0 when a run begins."""

    size: int


class _Job(NamedTuple):
    """A kernel of a step: its machine code, which of its arguments are floats, into how many shares it is cut, its arguments.

    ``reads`` and ``apart`` are as `Program.append` has them.
    """

    code: int
    reals: int
    shares: int
    given: tuple
    reads: np.ndarray | None
    apart: int


class Program:
    """Steps, each one kernel or several that do not depend on each other, and the memory from which threads read them."""

    def __init__(self):
        self._steps, self._together, self._work = [], None, 0
        self._packed = None
        self._alone = Alone("program: it runs already, in another thread; every thread needs a program of its own.")

    def __reduce__(self):
        raise TypeError("program: a copy would compute with the arrays of this one, as it knows where they lie; write down another one.")

    def append(self, kernel, shares, work, *arguments, reads=None, apart=0):
        """A kernel called with (share, shares, *arguments), for every share; in all it is so much work.

        Arguments are arrays, contiguous where the kernel reads rows, ints, floats, None, `Work` and `Counters`. Share i reads what
        lies i ``apart`` bytes behind the beginning of the array ``reads``, one place behind the other: that may be asked for early.
        """
        if self._packed:
            raise RuntimeError("program: it has run, so nothing can be appended.")
        if len(arguments) != len(kernel.given):
            raise TypeError(f"{kernel.__name__}: takes {len(kernel.given)} arguments after (t, nt). Received: {len(arguments)}.")
        if not shares:  # as of a matrix without columns: a step of none would have no beginning that one may ask for
            return
        job = _Job(kernel.address(arguments[kernel.typed_by].dtype), kernel.reals, shares, arguments, reads, apart)
        if self._together is None:
            self._steps.append([job])
        else:
            self._together.append(job)
        self._work += work

    @contextlib.contextmanager
    def together(self):
        """What is appended inside is one step: kernels of which none reads what another writes."""
        if self._together is not None:
            raise RuntimeError("program: what is together is open already.")
        self._together = []
        try:
            yield
            if self._together:
                self._steps.append(self._together)
        finally:
            self._together = None

    @property
    def is_together(self):
        """Whether what is appended now becomes part of one step."""
        return self._together is not None

    def run(self):
        """Compute all steps. Raises RuntimeError while another Python thread runs the same program."""
        with self._alone:
            job, counters, lines, most = self._packed or self._pack()
            nt = min(settings.threads(), most)
            counters[: lines + nt * len(self._steps)] = 0
            launcher(nt)(nt, job)

    def _pack(self):
        """Write down what the threads read, and make room for what they count: in kernels, done in steps, and taken by each thread."""
        steps = self._steps
        most = min(max([_shares(step) for step in steps], default=1), WORKERS + 1) if self._work >= 2 * GRAIN else 1
        in_kernels = sum([_lines(8 * a.size) for step in steps for job in step for a in job.given if type(a) is Counters])
        counters = np.zeros((1 + in_kernels + (1 + most) * len(steps)) * _LINE // 8, np.int64)
        counters = counters[-counters.ctypes.data % _LINE // 8 :][: counters.size - _LINE // 8].reshape(-1, _LINE // 8)
        needed = [sum([_lines(a.size) for job in step for a in job.given if type(a) is Work]) for step in steps]
        self._kept = scratch(max(needed, default=0) * _LINE)  # what else it needs, the steps keep
        free = address(counters)
        memory, begins = [NAP, len(steps), free + _LINE * in_kernels], []
        for step in steps:
            begins.append(len(memory))
            memory += [_shares(step), len(step), 0]
            here = address(self._kept)
            for job in step:
                words = []
                for i, a in enumerate(job.given):
                    if type(a) is Work:
                        words.append(here)
                        here += _LINE * _lines(a.size)
                    elif type(a) is Counters:
                        words.append(free)
                        free += _LINE * _lines(8 * a.size)
                    elif job.reals >> i & 1:
                        words.append(struct.unpack("q", struct.pack("d", a))[0])
                    else:
                        words.append(address(a) if a is None or isinstance(a, np.ndarray) else int(a))
                memory += [job.shares, address(job.reads), job.apart, job.code, *words, *[0] * (ARGUMENTS - len(words))]
        memory, ahead = np.array(memory, np.int64), 0
        for step, begin in zip(reversed(steps), reversed(begins)):
            memory[begin + 2] = ahead
            if any([job.apart for job in step]):
                ahead = address(memory) + 8 * begin
        job = _walk.address(np.dtype(np.float64)), 0, memory
        self._packed = job, counters, in_kernels + len(steps), most
        return self._packed


def _lines(size):
    """How many cache lines so many bytes need."""
    return -(-size // _LINE)


def _shares(step):
    return sum([job.shares for job in step])


@helper(fastmath=EXACT)
def _first_reads(step, t, nt):
    """From where to where a thread reads first in a step: the beginning of its part of the array of one job."""
    shares, job = load(step), step + _STEP
    share, last = t * shares // nt, (t + 1) * shares // nt
    while share >= load(job):
        share, last, job = share - load(job), last - load(job), job + _JOB
    begin, apart = load(job + 8), load(job + 16)
    return begin + share * apart, begin + share * apart + min(_AHEAD, (min(last, load(job)) - share) * apart)


@kernel(fastmath=EXACT)
def _walk(t: int, nt: int, program: int):
    """One thread's way through a program, written down as [nap, steps, counters], and then the steps.

    A step is [shares, jobs, the next step that reads an array], and then its jobs, each [shares, array, apart, job]. Of each step a thread
    takes the shares of its own part, one after the other, which lie one behind the other in memory; then what others have left. The
    counters are lines: of the shares done for each step, then of those taken of each part for each step.
    """
    nap, steps, done, step = load(program), load(program + 8), load(program + 16), program + 24
    ahead, place, end = 0, 0, 0  # the step whose array is asked for, and from where to where that is still to be done
    for _ in range(steps):
        shares, jobs, begin = load(step), load(step + 8), step + _STEP
        for i in range(nt):
            part = (t + i) % nt
            taken = done + (1 + part) * steps * _LINE
            size = (part + 1) * shares // nt - part * shares // nt
            while load(taken) < size:
                share, job = add(taken, 1), begin
                if share >= size:
                    break
                share += part * shares // nt
                while share >= load(job):
                    share -= load(job)
                    job += _JOB
                compute(job + 24, 1, share, load(job))
                add(done, 1)
        if ahead != load(step + 16):
            ahead = load(step + 16)
            place, end = _first_reads(ahead, t, nt) if ahead else (0, 0)
        while place < end and load(done) < shares:
            fetch_line(place)
            place += _LINE
        wait(done, shares, nap)
        step = begin + jobs * _JOB
        done += _LINE

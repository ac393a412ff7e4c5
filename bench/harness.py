"""Timing that other programs on the machine disturb as little as possible, and that says when they did.

Each library runs in a process of its own, so that no thread pool or allocator meets another's. The parent goes round
robin over them, so that a slow minute of the machine hits all alike. A block of steps in which the process waited for
a core is thrown away. A benchmark module has ``build(library, case) -> step``: a function that does one step and
returns a number, arrays or nothing, when that is ready. What the first steps returned is compared between the libraries.
"""

import gc
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
MOST_WAITING = 0.05  # share of a block's time that may be spent waiting for a core


def environment(threads):
    """Environment variables under which every library takes ``threads`` threads."""
    pools = ("MINIGRAD_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(pools, str(threads))}


def use_cores(count):
    """Stay on the first ``count`` cores, where the system can be asked for that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def waited():
    """Seconds for which threads of this process were ready to run and had no core; 0 where that is not known."""
    total = 0
    for stat in Path("/proc/self/task").glob("*/schedstat"):
        try:
            total += int(stat.read_text().split()[1])
        except OSError:  # a thread that has just ended
            pass
    return total / 1e9


class before_others:
    """Real-time priority for all threads of this process inside; nothing at all for anyone but root."""

    def __enter__(self):
        self.set("SCHED_RR", 1)

    def __exit__(self, *exception):
        self.set("SCHED_OTHER", 0)

    @staticmethod
    def set(policy, priority):
        for task in Path("/proc/self/task").glob("*"):
            try:
                os.sched_setscheduler(int(task.name), getattr(os, policy), os.sched_param(priority))
            except OSError:
                return


def peak_mb():
    """The most memory this process has held, in MB."""
    try:  # of this program alone: the system's other counter begins with what its parent had held
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    except (OSError, StopIteration):
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def timed(step):
    """Seconds that one call takes, and what it returned."""
    start = time.perf_counter()
    value = step()
    return time.perf_counter() - start, value


def fingerprint(value):
    """Numbers by which two results can be compared without sending them: a number is its own; of an array its 2-norm and
    its product with a vector of normal numbers that is the same for all."""
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, list | tuple):
        return [fingerprint(part) for part in value]
    flat = np.asarray(value.detach() if hasattr(value, "detach") else value).ravel()
    rng, squares, product = np.random.default_rng(0), 0.0, 0.0
    for start in range(0, flat.size, 1 << 20):
        part = flat[start:start + (1 << 20)].astype(np.float64)
        squares += np.einsum("i,i", part, part)  # not with @: NumPy's BLAS would start its threads beside the library's own
        product += np.einsum("i,i", part, rng.standard_normal(part.size))
    return {"norm": float(np.sqrt(squares)), "product": float(product)}


def difference(one, other, drawn=False):
    """The largest relative difference between two fingerprints; of random numbers only the norms can be compared."""
    if one is None or other is None:
        return 0.0
    if isinstance(one, list):
        return max((difference(*pair, drawn) for pair in zip(one, other, strict=True)), default=0.0)
    if isinstance(one, dict):
        keys = ("norm",) if drawn else ("norm", "product")
        return max(abs(one[key] - other[key]) for key in keys) / max(one["norm"], other["norm"], 1e-30)
    return abs(one - other) / max(abs(one), abs(other), 1e-30)


# In the process of one library

class Subject:
    """One library at work on one case; the parent calls its methods by name."""

    def __init__(self, module, library, threads):
        use_cores(threads)
        self.build = importlib.import_module(module).build
        self.library = library

    def prepare(self, case, steps, block, settle):
        """Build, do the first ``steps`` steps one by one, then settle; answer with their times and values."""
        self.step = None  # what an earlier case held is free before this one is built
        gc.collect()
        build, self.step = timed(lambda: self.build(self.library, case))
        built, seconds, values = peak_mb(), [], []
        for _ in range(steps):
            taken, value = timed(self.step)
            seconds.append(taken)
            values.append(fingerprint(value))
        best, end = seconds[-1], time.perf_counter() + settle
        with before_others():  # a step that had to wait for its threads would make the blocks too short
            while time.perf_counter() < end:
                best = min(best, timed(self.step)[0])
        self.block, self.best = block, best
        return {"build": build, "built_mb": built, "first": seconds, "values": values}

    def time(self):
        """Time one block; a step before it refills the caches that the others have emptied."""
        count = max(1, round(self.block / self.best))
        if count > 1:
            self.step()
        with before_others():
            delay, start = waited(), time.perf_counter()
            for _ in range(count):
                self.step()
            seconds = time.perf_counter() - start
            waiting = (waited() - delay) / seconds
        self.best = min(self.best, seconds / count)
        return {"seconds": seconds / count, "waiting": waiting}

    def memory(self):
        return {"peak_mb": peak_mb()}


def serve(module, library, threads):
    """Answer the parent's calls, a JSON line each, until it closes the pipe."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints goes to stderr, not between the answers
    subject = Subject(module, library, int(threads))
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer = getattr(subject, name)(**arguments)
        except Exception as error:  # whatever a library raises is this row's result
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


# In the parent

class Worker:
    """The process of one library, started when it is first called, and anew if it has died."""

    def __init__(self, module, library, threads):
        self.module, self.library, self.threads, self.process = module, library, threads, None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
            self.process.stdout.close()

    def start(self):
        self.__exit__()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.harness", self.module, self.library, str(self.threads)], cwd=ROOT, text=True,
            env=environment(self.threads), stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def call(self, name, **arguments):
        if self.process is None or self.process.poll() is not None:
            self.start()
        try:
            print(json.dumps([name, arguments]), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else {"error": "the process ended; its last words are above"}


def own_waiting(blocks, rounds):
    """What each library waited for its own threads: one that has more of them than there are cores never has a quiet turn.

    The least that it ever waited is that, if the machine was quiet for another library in all of these turns.
    """
    calm = any(sum(block["waiting"] <= MOST_WAITING for block in taken) >= rounds for taken in blocks.values())
    return {library: min((block["waiting"] for block in taken), default=0.0) if calm else 0.0 for library, taken in blocks.items()}


def quiet(blocks):
    """The blocks that hardly waited for a core; of a machine that was never quiet the three best, and False."""
    chosen = [block for block in blocks if block["waiting"] <= MOST_WAITING]
    if len(chosen) >= min(3, len(blocks)):
        return chosen, True
    return sorted(blocks, key=lambda block: block["waiting"])[:3], False


class Team:
    """A process for each library, for one case after another."""

    def __init__(self, module, libraries, threads):
        self.workers = {library: Worker(module, library, threads) for library in libraries}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for worker in self.workers.values():
            worker.__exit__(*exception)

    def compare(self, case, libraries, rounds, block=0.15, settle=0.5, patience=30.0, steps=4):
        """Time one case with these libraries, interleaved; one dictionary for each library.

        ``rounds`` quiet blocks of about ``block`` seconds are wanted of each; when that many turns are over, disturbed
        blocks are repeated for at most ``patience`` seconds; with 0 rounds nothing is timed but the first ``steps`` steps,
        which are always timed one by one.
        """
        rows = {library: self.workers[library].call("prepare", case=case, steps=steps, block=block, settle=settle)
                for library in libraries}
        blocks = {library: [] for library in libraries if "error" not in rows[library]}
        turn, end, own = 0, float("inf"), {}
        while True:
            if turn == rounds:
                end, own = time.perf_counter() + patience, own_waiting(blocks, rounds)
                for library, taken in blocks.items():
                    blocks[library] = [block | {"waiting": block["waiting"] - own[library]} for block in taken]
            waiting = [library for library in blocks
                       if sum(b["waiting"] <= MOST_WAITING for b in blocks[library]) < rounds]
            if not waiting or time.perf_counter() > end:
                break
            for library in waiting[::-1] if turn % 2 else waiting:  # nobody always comes after the same neighbour
                answer = self.workers[library].call("time")
                if "error" in answer:
                    rows[library] = answer
                    del blocks[library]
                else:
                    answer["waiting"] -= own.get(library, 0.0)
                    blocks[library].append(answer | {"turn": turn})
            turn += 1
        for library, taken in blocks.items():
            rows[library] |= (summary(taken) if taken else {}) | self.workers[library].call("memory")
        return rows


def compare(module, libraries, case, threads, rounds, **timing):
    """Time one case with every library, as `Team.compare` does, in processes that have done nothing else."""
    with Team(module, libraries, threads) as team:
        return team.compare(case, libraries, rounds, **timing)


def deciles(values):
    """The lowest and the highest decile."""
    values = sorted(values)
    tenths = statistics.quantiles(values, n=10, method="inclusive") if len(values) > 1 else values * 9
    return tenths[0], tenths[-1]


def summary(blocks):
    """Median and spread of the seconds per step over the quiet blocks."""
    chosen, undisturbed = quiet(blocks)
    seconds = [block["seconds"] for block in chosen]
    p10, p90 = deciles(seconds)
    return {"seconds": statistics.median(seconds), "p10": p10, "p90": p90, "blocks": len(seconds),
            "thrown_away": len(blocks) - len(seconds), "undisturbed": undisturbed,
            "turns": [(block["turn"], block["seconds"]) for block in chosen]}


def ratio(ours, theirs):
    """How many times our time theirs is: the median over the turns in which both were quiet, and its deciles."""
    mine, other = dict(ours["turns"]), dict(theirs["turns"])
    ratios = [other[turn] / mine[turn] for turn in mine if turn in other] or [theirs["seconds"] / ours["seconds"]]
    p10, p90 = deciles(ratios)
    return {"median": statistics.median(ratios), "p10": p10, "p90": p90, "turns": len(ratios)}


if __name__ == "__main__":
    serve(*sys.argv[1:])

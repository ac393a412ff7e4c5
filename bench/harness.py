"""Timing that other programs on the machine disturb as little as possible, and that says when they did.

Each library runs in a process of its own, so that no thread pool or allocator meets another's. The parent goes round
robin over them, so that a slow minute of the machine hits all alike. A block of steps in which the process waited for
a core is thrown away. A benchmark module has ``build(library, case) -> step``: a function that does one step and
returns a number, when that is ready.
"""

import contextlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
import traceback
from pathlib import Path

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


# In the process of one library

class Subject:
    """One library at work on one case; the parent calls its methods by name."""

    def __init__(self, module, library, threads):
        use_cores(threads)
        self.build = importlib.import_module(module).build
        self.library = library

    def prepare(self, case, steps, block, settle):
        """Build, do the first ``steps`` steps one by one, then settle; answer with their times and values."""
        build, self.step = timed(lambda: self.build(self.library, case))
        seconds, values = zip(*(timed(self.step) for _ in range(steps)))
        best, end = seconds[-1], time.perf_counter() + settle
        while time.perf_counter() < end:
            best = min(best, timed(self.step)[0])
        self.count = max(1, round(block / best))
        return {"build": build, "first": seconds, "values": values}

    def time(self):
        """Time one block; a step before it refills the caches that the others have emptied."""
        if self.count > 1:
            self.step()
        with before_others():
            delay, start = waited(), time.perf_counter()
            for _ in range(self.count):
                self.step()
            seconds = time.perf_counter() - start
            return {"seconds": seconds / self.count, "waiting": (waited() - delay) / seconds}

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
    """The process of one library."""

    def __init__(self, module, library, threads):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.harness", module, library, str(threads)], cwd=ROOT, text=True,
            env=environment(threads), stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def call(self, name, **arguments):
        try:
            print(json.dumps([name, arguments]), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else {"error": "the process ended; its last words are above"}


def quiet(blocks):
    """The blocks that hardly waited for a core; of a machine that was never quiet the three best, and False."""
    chosen = [block for block in blocks if block["waiting"] <= MOST_WAITING]
    if len(chosen) >= min(3, len(blocks)):
        return chosen, True
    return sorted(blocks, key=lambda block: block["waiting"])[:3], False


def compare(module, libraries, case, threads, rounds, block=0.15, settle=0.5, patience=30.0, steps=4):
    """Time one case with every library, interleaved; one dictionary for each library.

    ``rounds`` quiet blocks of about ``block`` seconds are wanted of each; when that many turns are over, disturbed
    blocks are repeated for at most ``patience`` seconds. The first ``steps`` steps are timed one by one.
    """
    rows = {}
    with contextlib.ExitStack() as stack:
        workers = {library: stack.enter_context(Worker(module, library, threads)) for library in libraries}
        for library, worker in workers.items():
            rows[library] = worker.call("prepare", case=case, steps=steps, block=block, settle=settle)
        blocks = {library: [] for library in libraries if "error" not in rows[library]}
        turn, end = 0, float("inf")
        while True:
            waiting = [library for library in blocks
                       if sum(b["waiting"] <= MOST_WAITING for b in blocks[library]) < rounds]
            if turn == rounds:
                end = time.perf_counter() + patience
            if not waiting or time.perf_counter() > end:
                break
            for library in waiting[::-1] if turn % 2 else waiting:  # nobody always comes after the same neighbour
                answer = workers[library].call("time")
                if "error" in answer:
                    rows[library] = answer
                    del blocks[library]
                else:
                    blocks[library].append(answer)
            turn += 1
        for library, taken in blocks.items():
            rows[library] |= summary(taken) | workers[library].call("memory")
    return rows


def summary(blocks):
    """Median and spread of the seconds per step over the quiet blocks."""
    chosen, undisturbed = quiet(blocks)
    seconds = sorted(block["seconds"] for block in chosen)
    deciles = statistics.quantiles(seconds, n=10, method="inclusive") if len(seconds) > 1 else seconds * 9
    return {"seconds": statistics.median(seconds), "p10": deciles[0], "p90": deciles[-1], "blocks": len(seconds),
            "thrown_away": len(blocks) - len(seconds), "undisturbed": undisturbed}


if __name__ == "__main__":
    serve(*sys.argv[1:])

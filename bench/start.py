"""How long until something happens: imports, the first training step ever, the first step of a later process.

Every figure is a fresh process's. The first step ever begins with an empty kernel cache, so it compiles; the clock runs
from the start of the process to the loss of the first step.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time

from bench import gpt, harness, report

IMPORTS = ("numpy", "numba", "minigrad", "transformer", "torch")
IMPORT = """
import json, sys, time
from bench.harness import peak_mb
before = peak_mb()
start = time.perf_counter()
__import__(sys.argv[1])
print(json.dumps({"seconds": time.perf_counter() - start, "mb": peak_mb() - before}))
"""
STEP = """
import json, sys
from bench import harness, train
harness.use_cores(int(sys.argv[3]))
build, step = harness.timed(lambda: train.build(sys.argv[1], sys.argv[2]))
first, loss = harness.timed(step)
print(json.dumps({"build": build, "step": first, "loss": loss}), flush=True)
"""


def run(script, *arguments, threads=1, cache=None):
    """The JSON that a script prints in a fresh process, and the seconds from its start to that line."""
    environment = harness.environment(threads) | ({"MINIGRAD_CACHE_DIR": cache} if cache else {})
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script, *map(str, arguments)], cwd=harness.ROOT, env=environment,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(map(str, arguments))}: the process failed.\n{done.stderr}")
    return json.loads(done.stdout) | {"total": seconds}


def imports(rounds):
    """Seconds and megabytes of each import, round robin; medians."""
    names = [name for name in IMPORTS if name != "torch" or report.installed("torch")]
    rows = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            rows[name].append(run(IMPORT, name))
    return {name: medians(runs) for name, runs in rows.items()}


def first_steps(size, threads, rounds):
    """From the start of the process to the first loss: with an empty kernel cache, with a filled one, and PyTorch."""
    rows = {"minigrad, first ever": [], "minigrad, later": []}
    if report.installed("torch"):
        rows["torch"] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            for name, runs in rows.items():
                library = name.partition(",")[0]
                runs.append(run(STEP, library, size, threads, threads=threads, cache=cache))
    return {name: medians(runs) for name, runs in rows.items()}


def medians(runs):
    """The median of each figure, with the smallest and the largest total."""
    result = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    totals = [run["total"] for run in runs]
    return result | {"least": min(totals), "most": max(totals), "runs": len(runs)}


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m bench start", description=__doc__)
    parser.add_argument("--size", default="S", choices=gpt.SIZES, help="the model (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default: %(default)s)")
    report.add_out(parser)
    options = parser.parse_args(argv)
    page = report.Page("start", options.out, size=options.size, threads=options.threads)

    loaded = imports(options.rounds)
    page.show("Imports", ["import", "time", "memory MB"],
              [(name, report.seconds(row["seconds"]), round(row["mb"])) for name, row in loaded.items()])
    steps = first_steps(options.size, options.threads, options.rounds)
    page.show(f"First training step, size {options.size}, threads {options.threads}",
              ["", "start to first loss", "least", "most", "import and build", "the step itself"],
              [(name, *map(report.seconds, (row["total"], row["least"], row["most"], row["build"], row["step"])))
               for name, row in steps.items()])
    page.save({"imports": loaded, "first_steps": steps})
    return 0

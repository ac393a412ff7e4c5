"""What a result is worth nothing without: the machine, the versions; and the table and the file."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from bench.harness import ROOT


def machine():
    """Processor, cores, memory and load at this moment."""
    return {"processor": processor(), "cores": os.cpu_count(), "usable_cores": usable_cores(),
            "memory_gb": memory_gb(), "system": platform.platform(), "load": list(os.getloadavg()),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def usable_cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def memory_gb():
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None


def versions():
    """Versions of Python, of this tree and of what is compared; None where it is not installed."""
    found = {"python": platform.python_version(), "commit": commit()}
    for name in ("numpy", "numba", "llvmlite", "torch", "autograd", "jax", "micrograd"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def commit():
    """The commit of this tree, with a + if files differ from it; None outside a clone."""
    def git(*words):
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def installed(name):
    """Whether a distribution is installed, without importing it."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def show(title, columns, rows):
    """Print a table: with rich where that is installed, else in plain text."""
    rows = [[str(cell) for cell in row] for row in rows]
    try:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = [max(map(len, column)) for column in zip(columns, *rows)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in [columns, *rows]]
        print(title, *lines, sep="\n")
    else:
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
        for column in columns:
            table.add_column(column, justify="right")
        for row in rows:
            table.add_row(*row)
        Console(width=None if sys.stdout.isatty() else 120).print(table)


def save(path, name, results, **facts):
    """Write the results as JSON, with the machine and the versions beside them."""
    everything = {"benchmark": name, "machine": machine(), "versions": versions(), **facts, "results": results}
    Path(path).write_text(json.dumps(everything, indent=2) + "\n")
    print(f"written: {path}")


def seconds(value):
    """A duration in the unit that suits it.

    >>> seconds(0.0123), seconds(4.5)
    ('12.3 ms', '4.50 s')
    """
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.3g} ms"

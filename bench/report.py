"""What a result is worth nothing without: the machine, the versions; and the tables, the files and the plot."""

import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from bench import harness
from bench.harness import ROOT

EQUAL = 0.97  # a ratio of which one says that neither is faster


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
    for name in ("numpy", "numba", "llvmlite", "torch", "autograd", "jax", "transformers", "micrograd"):
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
    """Whether a package can be imported, without importing it."""
    return importlib.util.find_spec(name) is not None


def available(libraries):
    """Those that are installed; says which are not. What stands behind a "-" or a "," is a way of using one."""
    found = [name for name in libraries if name == "machine" or installed(name.replace(",", "-").partition("-")[0])]
    if missing := [name for name in libraries if name not in found]:
        print(f"not installed, left out: {', '.join(missing)}", file=sys.stderr)
    return found


class Page:
    """What a benchmark shows: printed at once, and at the end written as Markdown, JSON and a plot to a folder, if one is given."""

    def __init__(self, name, folder, **facts):
        self.name, self.folder, self.facts, self.parts = name, folder and Path(folder), facts, []
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)

    def say(self, text):
        print(text)
        self.parts.append(text)

    def show(self, title, columns, rows):
        """Print a table: with rich where that is installed, else in plain text."""
        rows = [[str(cell) for cell in row] for row in rows]
        line = lambda cells: f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
        self.parts.append("\n".join([f"## {title}", "", *map(line, [columns, ["---:"] * len(columns), *rows])]))
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
                table.add_column(column, justify="right", overflow="fold")
            for row in rows:
                table.add_row(*row)
            Console(width=None if sys.stdout.isatty() else 160).print(table)

    def save(self, results):
        """Write NAME.json with the machine and the versions, NAME.md, and NAME.png where results have ratios."""
        if self.folder is None:
            return
        facts = {"benchmark": self.name, "machine": machine(), "versions": versions(), **self.facts}
        path = self.folder / self.name
        path.with_suffix(".json").write_text(json.dumps(facts | {"results": results}, indent=2) + "\n")
        told = [f"{key}: {value}" for part in ("machine", "versions") for key, value in facts[part].items() if value is not None]
        path.with_suffix(".md").write_text("\n\n".join([f"# {self.name}", "; ".join(told), *self.parts]) + "\n")
        drawn = plot(path.with_suffix(".png"), self.name, [r for r in results if "ratios" in r]) if isinstance(results, list) else False
        print(f"written: {path}.json, .md{', .png' * drawn}")


def result(name, threads, rows, work=None, agree=None, drawn=False, unlike=(), **more):
    """One row of the dashboard: every library's figures, the ratios beside minigrad, and the share of the machine's peak.

    ``work`` is (kind, amount): what the row must do at least, of what ``bench.peak`` measures. ``agree`` has, for the libraries
    whose first results are compared with minigrad's, the largest relative difference that rounding may make; norms alone are
    compared if they are ``drawn`` at random. ``unlike`` are libraries that do something else, so that the better peer is none of them.
    """
    ours, machine = rows.get("minigrad", {}), rows.get("machine", {})
    found = {"row": name, "threads": threads, **more, "libraries": rows, "ratios": {}, "better": None, "share": None, "differ": []}
    if "seconds" not in ours:
        return found
    peers = {library: row for library, row in rows.items() if library not in ("minigrad", "machine") and "seconds" in row}
    found["differences"] = {library: harness.difference(ours["values"], row["values"], drawn) for library, row in peers.items()}
    found["differ"] = [library for library, limit in (agree or {}).items()
                       if library in peers and not found["differences"][library] <= limit]
    found["ratios"] = {library: harness.ratio(ours, row) for library, row in peers.items()}
    like = [library for library in peers if library not in unlike]
    found["better"] = min(like, key=lambda library: found["ratios"][library]["median"], default=None)
    if work:
        found |= {"work": work[0], "per_second": work[1] / ours["seconds"]}
        if "seconds" in machine:
            found["peak_per_second"] = machine["values"][0] / machine["seconds"]
            found["share"] = found["per_second"] / found["peak_per_second"]
    return found


def dashboard(page, title, results, libraries):
    """The table of some results: the time of each library, the better peer with the ratio beside it, the share of the peak."""
    shown = [library for library in libraries if library != "machine"]
    lines = []
    for found in results:
        rows, better = found["libraries"], found["better"]
        times = [_time(rows[library]) if library in rows else "" for library in shown]
        ratio = found["ratios"][better] if better else None
        beside = [better, f"{ratio['median']:.2f}", f"{ratio['p10']:.2f} to {ratio['p90']:.2f}"] if better else ["", "", ""]
        share = [_rate(found), f"{found['share']:.0%}"] if found["share"] is not None else ["", ""]
        lines.append([found["row"], found["threads"], *times, *beside, *share])
    page.show(title, ["row", "threads", *shown, "better peer", "ratio", "p10 to p90", "a second", "of peak"], lines)
    page.say("ratio: the better peer's time / minigrad's, median over the turns, above 1 is faster. of peak: beside the same work\n"
             "in registers (FLOP), or in place through arrays of that size (B), in the same turns. *: the machine was never quiet.")


def close(page, results):
    """Say the machine's peaks, where minigrad is behind and what went wrong; write the files; the exit status."""
    if measured := peaks(results):
        page.say("\n".join(["the machine's peak, least and most of these turns:", *measured]))
    compared = [(found["ratios"][found["better"]]["median"], f"{found['row']}, {found['threads']} threads: {found['better']}")
                for found in results if found.get("better")]  # fmt: skip
    behind = sorted(pair for pair in compared if pair[0] < EQUAL)
    if compared:
        page.say("\n".join([f"behind the better peer (below {EQUAL}): {len(behind)} of {len(compared)} rows",
                            *(f"  {ratio:.2f}  {where}" for ratio, where in behind)]))
    wrong = [f"{library}, {found['row']}: {row['error'].splitlines()[0]}" for found in results
             for library, row in found["libraries"].items() if "error" in row]
    differ = [f"{library}, {found['row']}: its result is another one by {found['differences'][library]:.1e}" for found in results
              for library in found.get("differ", ())]
    for line in dict.fromkeys(wrong + differ):
        page.say(f"failed: {line}")
    page.save(results)
    return 1 if differ or any("error" in found["libraries"].get("minigrad", {}) for found in results) else 0


def peaks(results):
    """The machine's peaks over all results: least and most of each kind."""
    kinds = {}
    for found in results:
        if "peak_per_second" in found:
            kinds.setdefault((found["work"], found["threads"]), []).append(found["peak_per_second"] / 1e9)
    return [f"  {kind}, {threads} threads: {min(rates):.0f} to {max(rates):.0f} G" for (kind, threads), rates in kinds.items()]


def progress(text):
    print(f"{text} ...", file=sys.stderr, flush=True)


def _time(row):
    return "failed" if "error" in row else seconds(row["seconds"]) + ("" if row["undisturbed"] else " *")


def _rate(found):
    return f"{found['per_second'] / 1e9:.3g} G{'FLOP' if found['work'] == 'flops' else 'B'}"


def plot(path, title, results):
    """Draw the ratio beside every peer, a line per row; False where matplotlib is not installed or there is nothing to draw."""
    if not any(found["ratios"] for found in results):
        return False
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("matplotlib is not installed: no plot", file=sys.stderr)
        return False
    figure = Figure(figsize=(9, 1.5 + 0.22 * len(results)), layout="constrained")
    axes = figure.add_subplot()
    for library in dict.fromkeys(library for found in results for library in found["ratios"]):
        points = [(place, found["ratios"][library]) for place, found in enumerate(results) if library in found["ratios"]]
        middle = [ratio["median"] for _, ratio in points]
        spread = [[ratio["median"] - ratio["p10"] for _, ratio in points], [ratio["p90"] - ratio["median"] for _, ratio in points]]
        axes.errorbar(middle, [place for place, _ in points], xerr=spread, fmt="o", markersize=4, linewidth=1, label=library)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set(xscale="log", xlabel="peer's time / minigrad's: right of the line minigrad is faster", title=title)
    axes.set_yticks(range(len(results)), [f"{found['row']}, {found['threads']}t" for found in results], fontsize=7)
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    return True


def add_options(parser, rounds, block, settle, patience):
    """The options that every timed benchmark has."""
    parser.add_argument("--rounds", type=int, default=rounds, help="quiet blocks wanted of each (default: %(default)s)")
    parser.add_argument("--block", type=float, default=block, help="seconds in a block, at least (default: %(default)s)")
    parser.add_argument("--settle", type=float, default=settle, help="seconds of running before the first block (default: %(default)s)")
    parser.add_argument("--patience", type=float, default=patience, help="seconds to repeat disturbed blocks (default: %(default)s)")
    add_out(parser)


def timing(options):
    """Those options as `Team.compare` takes them."""
    return {name: getattr(options, name) for name in ("rounds", "block", "settle", "patience")}


def add_out(parser):
    parser.add_argument("--out", metavar="FOLDER", help="write NAME.json, NAME.md and NAME.png there (default: only print)")


def seconds(value):
    """A duration in the unit that suits it.

    >>> seconds(0.0123), seconds(4.5), seconds(1.25e-5)
    ('12.3 ms', '4.50 s', '12.5 us')
    """
    if value >= 1:
        return f"{value:.2f} s"
    return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} us"

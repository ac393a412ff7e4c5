"""One training step of a small GPT (forward, cross-entropy, backward, clipping, AdamW), beside PyTorch.

The same model, weights, batches and optimiser in every library; the losses of the first steps must agree.
"""

import argparse
import importlib
import sys

from bench import gpt, harness, report

LIBRARIES = ("minigrad", "torch", "torch-qkv")
AGREE = 1e-5  # relative difference that rounding may make between the losses of the first steps


def build(library, case):
    """The training step of one library, ``torch-qkv`` being PyTorch with one projection for query, key and value."""
    module, _, variant = library.partition("-")
    return importlib.import_module(f"bench.gpt_{module}").training_step(gpt.SIZES[case], variant)


def disagreement(rows):
    """The largest relative difference between the libraries' losses, step by step."""
    losses = [row["values"] for row in rows.values() if "values" in row]
    return max((max(step) / min(step) - 1 for step in zip(*losses)), default=0.0)


def lines(size, threads, rows):
    """One line of the table for each library."""
    tokens = gpt.SIZES[size]["batch"] * gpt.SIZES[size]["block"]
    theirs = rows.get("torch", {}).get("seconds")
    for library, row in rows.items():
        if "error" in row:
            yield size, threads, library, "failed", *[""] * 6
            continue
        ratio = f"{theirs / row['seconds']:.2f}x" if theirs else ""
        yield (size, threads, library, f"{1e3 * row['seconds']:.2f}" + ("" if row["undisturbed"] else " *"),
               f"{1e3 * row['p10']:.2f} to {1e3 * row['p90']:.2f}", ratio, round(tokens / row["seconds"]),
               f"{row['blocks']} ({row['thrown_away']})", f"{row['build'] + row['first'][0]:.2f}",
               round(row["peak_mb"]))


def main(argv):
    available = [name for name in LIBRARIES if name == "minigrad" or report.installed("torch")]
    parser = argparse.ArgumentParser(prog="python -m bench train", description=__doc__)
    parser.add_argument("--sizes", default="S,M,L", help=f"of {','.join(gpt.SIZES)} (default: %(default)s)")
    parser.add_argument("--threads", default="1,2", help="how many, one after the other (default: %(default)s)")
    parser.add_argument("--libraries", default=",".join(available[:2]), help=f"of {','.join(LIBRARIES)}")
    parser.add_argument("--rounds", type=int, default=9, help="quiet blocks wanted of each (default: %(default)s)")
    parser.add_argument("--block", type=float, default=0.3, help="seconds in a block, at least (default: %(default)s)")
    parser.add_argument("--patience", type=float, default=30, help="seconds for repeating disturbed blocks")
    parser.add_argument("--json", default="bench-train.json", help="file for the results (default: %(default)s)")
    options = parser.parse_args(argv)
    libraries = options.libraries.split(",")
    for given, known in ((options.sizes.split(","), gpt.SIZES), (libraries, LIBRARIES)):
        if unknown := [name for name in given if name not in known]:
            parser.error(f"unknown: {', '.join(unknown)}; there is: {', '.join(known)}")
    if not report.installed("torch"):
        print("PyTorch is not installed, so nothing stands beside minigrad: pip install -e '.[bench]'", file=sys.stderr)

    results, table, agreed = [], [], True
    for size in options.sizes.split(","):
        for threads in map(int, options.threads.split(",")):
            print(f"{size}, {threads} thread{'s' * (threads > 1)} ...", file=sys.stderr, flush=True)
            rows = harness.compare("bench.train", libraries, size, threads, options.rounds, options.block,
                                   patience=options.patience)
            difference = disagreement(rows)
            agreed &= difference < AGREE and not any("error" in row for row in rows.values())
            for library in rows:
                if "error" in rows[library]:
                    print(f"{library}: {rows[library]['error']}", file=sys.stderr)
            results.append({"size": size, "threads": threads, "losses_differ_by": difference, "libraries": rows})
            table += lines(size, threads, rows)
    columns = ["size", "threads", "library", "ms", "p10 to p90", "speed", "tokens/s", "blocks (not quiet)", "first s", "peak MB"]
    alone = all(sum("values" in row for row in result["libraries"].values()) < 2 for result in results)  # nothing stands beside it
    shown = [place for place, column in enumerate(columns) if not (alone and column == "speed")]
    report.show("One training step: forward, cross-entropy, backward, clip, AdamW",
                [columns[place] for place in shown], [[row[place] for place in shown] for row in table])
    print("speed: beside torch, above 1 is faster; " * (not alone) + "first s: import, building and the first step, in seconds")
    if any("*" in row[3] for row in table):
        print("* from the least disturbed blocks only: the machine was never quiet")
    if not alone:
        print(f"losses of the first steps differ by at most {max(r['losses_differ_by'] for r in results):.1e} (relative)")
    report.save(options.json, "train", results, sizes=gpt.SIZES)
    return 0 if agreed else 1

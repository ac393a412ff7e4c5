"""One training step of a small GPT (forward, cross-entropy, backward, clipping, AdamW), beside PyTorch, torch.compile and JAX.

The same model, weights, batches and optimiser in every library; the losses of the first steps must agree. What computes in
bfloat16 is a row beside those in float32.
"""

import argparse
import importlib
import sys

from bench import gpt, harness, peak, report

LIBRARIES = ("minigrad", "torch", "torch-compile", "jax", "minigrad-bf16", "torch-autocast", "torch-qkv")
REDUCED = ("minigrad-bf16", "torch-autocast")
AGREE = 1e-5  # relative difference that rounding may make between the losses of the first steps
AGREE_REDUCED = 1e-2


def build(library, case):
    """The training step of one library. What stands behind the "-" is a variant; "torch-qkv" has one projection for all three."""
    module, _, variant = library.partition("-")
    if module == "machine":
        return peak.step("flops", gpt.flops(gpt.SIZES[case]))
    return importlib.import_module(f"bench.gpt_{module}").training_step(gpt.SIZES[case], variant)


def available():
    """The libraries that are here; says which are not."""
    import minigrad

    found = report.available(LIBRARIES)
    if not hasattr(minigrad, "matmul_precision"):
        print("minigrad.matmul_precision does not exist, left out: minigrad-bf16", file=sys.stderr)
        found.remove("minigrad-bf16")
    return found


def lines(found):
    """One line of the table for each library."""
    size, threads, rows = found["row"], found["threads"], found["libraries"]
    tokens = gpt.SIZES[size]["batch"] * gpt.SIZES[size]["block"]
    theirs, machine = rows.get("torch", {}), rows["machine"]
    for library, row in rows.items():
        if library == "machine":
            continue
        if "error" in row:
            yield size, threads, library, "failed", *[""] * 8
            continue
        speed = harness.ratio(row, theirs) if "seconds" in theirs else None
        rate = gpt.flops(gpt.SIZES[size]) / row["seconds"]
        share = rate / (machine["values"][0] / machine["seconds"])
        yield (size, threads, library, f"{1e3 * row['seconds']:.2f}" + ("" if row["undisturbed"] else " *"),
               f"{1e3 * row['p10']:.2f} to {1e3 * row['p90']:.2f}", f"{speed['median']:.2f}x" if speed else "",
               f"{speed['p10']:.2f} to {speed['p90']:.2f}" if speed else "", round(tokens / row["seconds"]),
               f"{rate / 1e9:.0f} ({share:.0%})", f"{row['blocks']} ({row['thrown_away']})",
               f"{row['build'] + row['first'][0]:.2f}", round(row["peak_mb"]))  # fmt: skip


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m bench train", description=__doc__)
    parser.add_argument("--sizes", default="S,M,L", help=f"of {','.join(gpt.SIZES)} (default: %(default)s)")
    parser.add_argument("--threads", default="2,1", help="how many, one after the other (default: %(default)s)")
    parser.add_argument("--libraries", help=f"of {','.join(LIBRARIES)} (default: what is installed, without torch-qkv)")
    report.add_options(parser, rounds=9, block=0.3, settle=0.5, patience=30)
    options = parser.parse_args(argv)
    libraries = options.libraries.split(",") if options.libraries else [name for name in available() if name != "torch-qkv"]
    for given, known in ((options.sizes.split(","), gpt.SIZES), (libraries, LIBRARIES)):
        if unknown := [name for name in given if name not in known]:
            parser.error(f"unknown: {', '.join(unknown)}; there is: {', '.join(known)}")

    limits = {library: AGREE_REDUCED if library in REDUCED else AGREE for library in libraries}
    page, results, table = report.Page("train", options.out, sizes=gpt.SIZES), [], []
    for size in options.sizes.split(","):
        for threads in map(int, options.threads.split(",")):
            report.progress(f"train {size}, {threads} threads")
            rows = harness.compare("bench.train", [*libraries, "machine"], size, threads, **report.timing(options))
            found = report.result(size, threads, rows, ("flops", gpt.flops(gpt.SIZES[size])), limits, unlike=REDUCED)
            results.append(found)
            table += lines(found)
    columns = ["size", "threads", "library", "ms", "p10 to p90", "speed", "its p10 to p90", "tokens/s", "GFLOP/s (of peak)",
               "blocks (not quiet)", "first s", "peak MB"]  # fmt: skip
    page.show("One training step: forward, cross-entropy, backward, clip, AdamW", columns, table)
    page.say("speed: PyTorch's time / this one's, above 1 is faster; *: the machine was never quiet; "
             "first s: import, building and the first step, in seconds")
    if len(libraries) > 1:
        largest = max((value for found in results for library, value in found.get("differences", {}).items() if library not in REDUCED),
                      default=0.0)
        page.say(f"losses of the first steps differ by at most {largest:.1e} (relative; float32)")
    return report.close(page, results)

"""The most memory that a process holds: in training a small GPT, and in attention to texts of different lengths.

Attention goes forward and backward through about as many words in each row, in fewer and longer texts, so that memory
linear in the length stays the same from row to row; beside it what a multiply-add costs as the texts get longer.
"""

import argparse

from bench import gpt, harness, ops, report, train

LIBRARIES = ("minigrad", "torch")
WORDS, HEADS, WIDTH = 4096, 6, 64  # B T, h, d
SMALLEST = (1, 1, 8, 8)  # what a process holds that has computed almost nothing


def build(library, case):
    """A training step of a size, or attention at a size (B, h, T, d)."""
    if "model" in case:
        return train.build(library, case["model"])
    return ops.build(library, case)


def attention(size):
    """The case of causal attention, forward and backward, at a size (B, h, T, d)."""
    return {"op": "causal attention", "size": size, "mode": "both", "work": ops.work(ops.OPS["causal attention"], size, "both")}


def training(page, sizes, libraries, threads):
    """Peak memory after some training steps, each size and library in a process of its own."""
    results = []
    for size in sizes:
        report.progress(f"memory of training {size}")
        rows = harness.compare("bench.memory", libraries, {"model": size}, threads, rounds=0, block=0, settle=0, steps=3)
        results.append({"row": f"training {size}", "threads": threads, "libraries": rows})
    megabytes = lambda row, key: "failed" if "error" in row else round(row[key])
    page.show(f"Peak memory of a process in MB, {threads} threads: with the model built, and after three steps of training",
              ["size", *(f"{library}, {when}" for library in libraries for when in ("built", "trained"))],
              [(found["row"].split()[1], *(megabytes(found["libraries"][library], key) for library in libraries
                                           for key in ("built_mb", "peak_mb"))) for found in results])  # fmt: skip
    return results


def lengths(page, asked, words, libraries, threads, timing):
    """Time and memory of attention at about ``words`` words for each length of text."""
    compare = lambda size, **timing: harness.compare("bench.memory", [*libraries, "machine"], attention(size), threads, steps=1, **timing)
    base = {name: row.get("peak_mb") for name, row in compare(SMALLEST, rounds=0, block=0, settle=0).items()}
    results, table, first = [], [], {}
    for T in asked:
        report.progress(f"attention to texts of {T}")
        size = max(1, words // T), HEADS, T, WIDTH
        case = attention(size)
        rows = compare(size, **timing)
        results.append(report.result(f"causal attention {'x'.join(map(str, size))}", threads, rows, case["work"],
                                     dict.fromkeys(libraries, ops.AGREE)))
        for library in libraries:
            row, machine = rows[library], rows["machine"]
            if "error" in row or "error" in machine:
                table.append((T, size[0], library, "failed", *[""] * 5))
                continue
            row["attention_mb"] = row["peak_mb"] - base[library]
            row["share"] = case["work"][1] / row["seconds"] / (machine["values"][0] / machine["seconds"])
            cost = first.setdefault(library, row["share"]) / row["share"]
            ratio = results[-1]["ratios"].get(library)
            table.append((T, size[0], library, report.seconds(row["seconds"]), f"{ratio['median']:.2f}" if ratio else "",
                          f"{row['share']:.0%}", f"{cost:.2f}", f"{row['attention_mb']:.0f}",
                          f"{row['attention_mb'] / size[0] / T * 1e3:.1f}"))  # fmt: skip
    page.show(f"Causal attention, forward and backward, {HEADS} heads of {WIDTH}, {threads} threads",
              ["T", "B", "library", "time", "its time / minigrad's", "of peak", f"per FLOP, T={asked[0]} is 1", "MB", "kB a word"], table)
    page.say("per FLOP: time beside the machine's own multiply-adds in the same turns; "
             "MB: peak less that of a process that does the smallest size")
    return results


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m bench memory", description=__doc__)
    parser.add_argument("--sizes", default="S,M,L", help=f"models to train, of {','.join(gpt.SIZES)}, or none (default: %(default)s)")
    parser.add_argument("--lengths", default="64,128,256,512,1024,2048,4096,8192", help="of texts, or none (default: %(default)s)")
    parser.add_argument("--words", type=int, default=WORDS, help="in all texts together, about (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--peers", default=",".join(LIBRARIES[1:]), help="(default: %(default)s)")
    report.add_options(parser, rounds=5, block=0.1, settle=0.1, patience=5)
    options = parser.parse_args(argv)

    libraries = ["minigrad", *report.available(filter(None, options.peers.split(",")))]
    page, results = report.Page("memory", options.out), []
    if options.sizes:
        results += training(page, options.sizes.split(","), libraries, options.threads)
    if options.lengths:
        asked = list(map(int, options.lengths.split(",")))
        results += lengths(page, asked, options.words, libraries, options.threads, report.timing(options))
    return report.close(page, results)

"""How fast text is written: small GPTs beside PyTorch, JAX and transformers; models that others trained beside transformers.

One text, the likeliest token each time, the same weights everywhere: ids, and the first and the last logits, must agree. Each token needs
every weight once, so the rate at which weights go by stands beside the fastest that the machine reads as many bytes in the same turns.
"""

import argparse
import importlib
import statistics

from bench import gpt, harness, peak, pretrained, report, start

LIBRARIES = ("minigrad", "torch", "jax", "transformers")
AGREE = {"decode": 1e-4, "prefill": 1e-4, "embed": 1e-5}  # relative difference that rounding may make, in decode behind 256 tokens
ROWS = (  # the model, what it does, with how many tokens or texts
    ("smollm2", "decode", 256), ("smollm2", "prefill", 512), ("minilm", "embed", 1), ("minilm", "embed", 32),
)  # fmt: skip
LOADING = """
import json, sys, time
begin = time.perf_counter()
from bench import harness, pretrained
harness.use_cores(int(sys.argv[3]))
model = getattr(pretrained, sys.argv[1] + "_model")(sys.argv[2])
loaded, held = time.perf_counter() - begin, harness.peak_mb()
getattr(pretrained, sys.argv[1] + "_step")({"path": sys.argv[2], "part": "decode", "count": 8}, model)()
print(json.dumps({"seconds": loaded, "loaded_mb": held, "mb": harness.peak_mb()}))
"""


def build(library, case):
    """A function that writes the tokens of a case, or reads its text, with one library."""
    if library == "machine":
        return peak.best_reads(case["bytes"])
    if "path" in case:
        return getattr(pretrained, f"{library}_step")(case)
    return importlib.import_module(f"bench.gpt_{library}").generation(gpt.SIZES[case["size"]], case["count"])


def weight_bytes(size):
    """Those of the weights that each token needs: all but the embeddings of other places."""
    return 4 * sum(shape[0] * (shape[1] if len(shape) == 2 else 1) for name, shape in gpt.shapes(size).items()
                   if not name.startswith("positions"))  # fmt: skip


def parted(one, other):
    """Which token is the first in which two results differ; None where none does."""
    return next((place for place, pair in enumerate(zip(one[1], other[1], strict=True)) if pair[0] != pair[1]), None)


def compared(name, case, rows, threads):
    """One result, with the share of the machine's reading that a token's weights take, and where ids part."""
    count, written = case["count"], case["part"] == "decode"
    work = ("bytes of weights", case["bytes"] * count) if written else None
    agree = dict.fromkeys(rows, AGREE[case["part"]])
    found = report.result(name, threads, rows, work, agree, part=case["part"], per=count if written else 1)
    ours = rows.get("minigrad", {})
    if written and "values" in ours:
        found["parted"] = {library: parted(ours["values"][0], row["values"][0]) for library, row in rows.items()
                           if library not in ("minigrad", "machine") and "values" in row}  # fmt: skip
    return found


def lines(found):
    """One line of the table for each library."""
    rows, per = found["libraries"], found["per"]
    base = rows.get("torch", rows.get("transformers", {}))
    for library, row in rows.items():
        if library == "machine":
            continue
        if "error" in row:
            yield found["row"], library, "failed", *[""] * 6
            continue
        speed = harness.ratio(row, base) if "seconds" in base else None
        rate, share = "", ""
        if found["share"] is not None:  # of minigrad; all read the same weights
            rate = found["per_second"] * rows["minigrad"]["seconds"] / row["seconds"]
            rate, share = f"{rate / 1e9:.1f}", f"{rate / found['peak_per_second']:.0%}"
        yield (found["row"], library, f"{1e3 * row['seconds'] / per:.3g}" + ("" if row["undisturbed"] else " *"),
               f"{per / row['seconds']:.4g}", f"{speed['median']:.2f}x" if speed else "",
               f"{speed['p10']:.2f} to {speed['p90']:.2f}" if speed else "", rate, share, round(row["peak_mb"]))  # fmt: skip


def loading(path, libraries, threads, rounds):
    """Seconds from nothing imported to a model that is ready, and the most memory held then and after 8 tokens; medians of processes."""
    runs = {library: [] for library in libraries}
    for _ in range(rounds):
        for library, taken in runs.items():
            taken.append(start.run(LOADING, library, path, threads, threads=threads))
    return {library: {key: statistics.median(run[key] for run in taken) for key in taken[0]} for library, taken in runs.items()}


def located(options):
    """Where the models lie that were asked for; says which are not there."""
    from transformer.errors import UserError
    from transformer.fetch import locate

    places = {}
    for name in filter(None, options.models.split(",")):
        kind, _, path = name.partition("=")
        try:
            places[kind] = str(locate(path or kind).resolve())
        except UserError as error:
            report.progress(f"left out: {error}")
    return places


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m bench decode", description=__doc__)
    parser.add_argument("--sizes", default="S,M,L", help=f"of {','.join(gpt.SIZES)}, or none (default: %(default)s)")
    parser.add_argument("--models", default="smollm2,minilm", help="of these, or none; NAME=PATH for another file (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=256, help="to write, or as many as a model's block holds (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--peers", default=",".join(LIBRARIES[1:]), help="(default: what is installed of %(default)s)")
    report.add_options(parser, rounds=5, block=0.3, settle=0.3, patience=20)
    options = parser.parse_args(argv)
    peers, timing = report.available(filter(None, options.peers.split(","))), report.timing(options)
    page, results, table, loads = report.Page("decode", options.out, sizes=gpt.SIZES), [], [], {}

    def run(name, case, libraries):
        report.progress(f"decode {name}")
        rows = harness.compare("bench.decode", [*libraries, *["machine"] * (case["part"] == "decode")], case, options.threads,
                               steps=1, **timing)  # fmt: skip
        results.append(compared(name, case, rows, options.threads))
        table.extend(lines(results[-1]))

    for size in filter(None, options.sizes.split(",")):
        made = gpt.SIZES[size]
        case = {"size": size, "part": "decode", "count": min(options.tokens, made["block"]), "bytes": weight_bytes(made)}
        run(f"{size}, {case['count']} tokens", case, ["minigrad", *peers])
    theirs = [library for library in peers if library == "transformers"]
    places = located(options)
    for kind, part, count in ROWS:
        if kind in places:
            case = {"path": places[kind], "part": part, "count": min(count, options.tokens) if part == "decode" else count}
            if part == "decode":
                case["bytes"] = pretrained.weight_bytes(places[kind])
            run(f"{kind}, {part} {case['count']}", case, ["minigrad", *theirs])
    page.show(f"Generation, one text, greedy, {options.threads} threads; one row for reading a text, and for vectors of texts",
              ["what", "library", "ms a token (or in all)", "a second", "speed", "its p10 to p90", "GB/s of weights", "of best read",
               "peak MB"], table)  # fmt: skip
    page.say("speed: PyTorch's time (or transformers') / this one's, above 1 is faster; *: the machine was never quiet")
    for found in results:
        for library, place in found.get("parted", {}).items():
            if place is not None:
                page.say(f"{found['row']}: {library} writes another token at place {place}")
    if "smollm2" in places:
        report.progress("loading smollm2")
        loads = loading(places["smollm2"], ["minigrad", *theirs], options.threads, min(3, options.rounds))
        page.show("Loading smollm2 in a fresh process, imports included, and the most memory it held",
                  ["library", "s", "MB loaded", "MB after 8 tokens"],
                  [(library, f"{row['seconds']:.2f}", round(row["loaded_mb"]), round(row["mb"])) for library, row in loads.items()])
    results += [{"row": "smollm2, loading", "threads": options.threads, "libraries": loads}] if loads else []
    return report.close(page, results)

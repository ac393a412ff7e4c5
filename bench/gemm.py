"""Matrix products on arrays, beside NumPy's and PyTorch's: every shape of a training step, of decoding, and some squares.

A transposed operand is a view of an array that lies the other way round in memory, as the rules of the engine pass it.
The peers write into an array that is there already (``out=``); minigrad allocates its result as it always does.
"""

import argparse
import functools
import os

import numpy as np

from bench import harness, peak, report

PEERS = ("numpy", "torch")
SHAPES = (  # M,K,N and which operands are transposed views; in front of an x how many products at once
    *(f"{n},{n},{n} NN" for n in (64, 128, 256, 512, 1024)),
    # a small GPT's forward, the gradients of its inputs (NT) and of its weights (TN)
    "768,128,384 NN", "768,128,512 NN", "768,512,128 NN", "768,384,128 NT", "768,128,512 NT", "768,512,128 NT", "768,384,128 NN",
    "768,128,384 NT", "128,768,384 TN", "128,768,512 TN", "768,128,65 NT", "768,65,128 NN", "65,768,128 TN",
    "48 x 64,32,64 NT", "48 x 64,64,32 NN",
    # a larger one, 384 wide
    "1024,384,1536 NN", "1024,384,1152 NT", "1024,384,1536 NT", "1024,1536,384 NT", "1024,1536,384 NN", "384,1024,1536 TN",
    "72 x 256,64,256 NT", "72 x 256,256,64 NN",
    # 768 wide with 50257 words
    "512,768,3072 NN", "512,3072,768 NN", "256,768,2304 NT", "256,768,3072 NT", "256,3072,768 NT", "256,3072,768 NN", "3072,256,768 TN",
    "256,768,50257 NT", "256,50257,768 NN", "50257,256,768 TN",
    # decoding: one row
    "1,768,3072 NN", "1,768,3072 NT", "1,576,49152 NT",
)
COLD = 128e6  # bytes of operands to rotate over, so that none is in a cache when its turn comes
MOST_SETS = 4096
AGREE = {"float32": 1e-5, "float64": 1e-13}


def parse(shape, dtype, cold=False):
    """The case of a shape written as in SHAPES, with the work that it is."""
    size, form = shape.split()[-2:]
    batch = int(shape.partition(" x ")[0]) if " x " in shape else 1
    m, k, n = map(int, size.split(","))
    bytes_ = batch * (m * k + k * n + m * n) * np.dtype(dtype).itemsize
    work = ("reads", bytes_) if m == 1 else ("flops", 2 * batch * m * k * n)
    sets = min(max(1, round(COLD / bytes_)), MOST_SETS) if cold else 1
    return {"batch": batch, "m": m, "k": k, "n": n, "form": form, "dtype": dtype, "sets": sets, "work": work}


def operands(case, seed):
    """a (batch, M, K) and b (batch, K, N), without the first axis for one product; transposed ones are views."""
    rng = np.random.default_rng(seed)
    for letter, (rows, columns) in zip(case["form"], ((case["m"], case["k"]), (case["k"], case["n"]))):
        stored = (columns, rows) if letter == "T" else (rows, columns)
        a = rng.standard_normal((case["batch"],) * (case["batch"] > 1) + stored, dtype=case["dtype"])
        yield a.swapaxes(-1, -2) if letter == "T" else a


def build(library, case):
    """The products of one library, one set of operands after another."""
    if library == "machine":
        return peak.step(*case["work"], case["dtype"])
    sets = [tuple(operands(case, seed)) for seed in range(case["sets"])]
    outs = [np.empty((*a.shape[:-1], b.shape[-1]), a.dtype) for a, b in sets] if library != "minigrad" else []
    if library == "minigrad":
        from minigrad import kernels

        products = [functools.partial(kernels.matmul, a, b) for a, b in sets]
    elif library == "numpy":
        products = [functools.partial(np.matmul, a, b, out=out) for (a, b), out in zip(sets, outs)]
    else:
        import torch

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        there = torch.from_numpy
        products = [functools.partial(torch.matmul, there(a), there(b), out=there(out)) for (a, b), out in zip(sets, outs)]
    if len(products) == 1:
        return products[0]
    turn = 0

    def step():
        nonlocal turn
        turn += 1
        return products[turn % len(products)]()

    return step


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m bench gemm", description=__doc__)
    parser.add_argument("--rows", default="", help="only shapes with this text in them, several with ; between (default: all)")
    parser.add_argument("--shapes", help="other shapes, as '768,128,384 NN' or '48 x 64,32,64 NT', with ; between")
    parser.add_argument("--threads", default="2,1", help="how many, one after the other (default: %(default)s)")
    parser.add_argument("--dtypes", default="float32", help="float32, float64 or both, with a comma (default: %(default)s)")
    parser.add_argument("--cold", action="store_true", help=f"rotate over {COLD / 1e6:.0f} MB of operands: nothing is in a cache")
    parser.add_argument("--peers", default=",".join(PEERS), help="(default: %(default)s)")
    report.add_options(parser, rounds=7, block=0.04, settle=0.05, patience=3)
    options = parser.parse_args(argv)

    libraries = ["minigrad", *report.available(filter(None, options.peers.split(","))), "machine"]
    shapes = [shape.strip() for shape in options.shapes.split(";")] if options.shapes else SHAPES
    shapes = [shape for shape in shapes if any(part in shape for part in options.rows.split(";"))]
    page, results = report.Page("gemm", options.out, cold=options.cold), []
    for threads in map(int, options.threads.split(",")):
        with harness.Team("bench.gemm", libraries, threads) as team:
            for dtype in options.dtypes.split(","):
                done = []
                for shape in shapes:
                    report.progress(f"gemm {shape}, {dtype}, {threads} threads")
                    case = parse(shape, dtype, options.cold)
                    rows = team.compare(case, libraries, steps=1, **report.timing(options))
                    done.append(report.result(shape, threads, rows, case["work"], dict.fromkeys(libraries, AGREE[dtype]),
                                              dtype=dtype))
                cold = ", cold operands" * options.cold
                report.dashboard(page, f"Matrix products M,K,N of {dtype}{cold}, {threads} threads", done, libraries)
                results += done
    return report.close(page, results)

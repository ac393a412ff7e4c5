"""``python -m bench [NAME] [options]``; each benchmark is a module here with a ``main``, and no name means all of them."""

import importlib
import sys

BENCHMARKS = {
    "gemm": "matrix products, beside NumPy and PyTorch",
    "ops": "single operations, forward and backward, beside PyTorch, torch.compile and JAX",
    "train": "one training step of a small GPT, beside PyTorch, torch.compile and JAX",
    "decode": "writing text, reading it and embedding it, beside PyTorch, JAX and transformers",
    "memory": "the most memory that a training step holds; what attention to a longer text costs",
    "start": "import time, first step ever with an empty kernel cache, first step of a later process",
    "engine": "what recording and the walk cost; small and large graphs beside PyTorch, autograd, JAX and micrograd",
}


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] == "--out":
        return max([importlib.import_module(f"bench.{name}").main(argv) for name in BENCHMARKS])
    if argv[0] not in BENCHMARKS:
        lines = "\n".join(f"  {name:8}{what}" for name, what in BENCHMARKS.items())
        print("usage: python -m bench NAME [options], or NAME --help for its options\n"
              f"       python -m bench [--out FOLDER] runs all of these\n\n{lines}", file=sys.stderr)  # fmt: skip
        return 0 if argv[0] in ("-h", "--help") else 2
    return importlib.import_module(f"bench.{argv[0]}").main(argv[1:])


if __name__ == "__main__":
    sys.exit(main())

"""``python -m bench NAME [options]``; each benchmark is a module here with a ``main``."""

import importlib
import sys

BENCHMARKS = {
    "train": "one training step of a small GPT, beside PyTorch",
    "engine": "what recording and the walk cost; small and large graphs beside PyTorch, autograd, JAX and micrograd",
    "start": "import time, first step ever with an empty kernel cache, first step of a later process",
}


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] not in BENCHMARKS:
        lines = "\n".join(f"  {name:8}{what}" for name, what in BENCHMARKS.items())
        print(f"usage: python -m bench NAME [options], or NAME --help for its options\n\n{lines}", file=sys.stderr)
        return 0 if argv[:1] in (["-h"], ["--help"]) else 2
    return importlib.import_module(f"bench.{argv[0]}").main(argv[1:])


if __name__ == "__main__":
    sys.exit(main())

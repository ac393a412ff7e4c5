"""What `show_config` prints: where kernels run, which ones, with how many threads, and where they are kept."""

import contextlib
import os
import platform
from pathlib import Path

import numpy as np

from . import settings
from .kernels import making

_MATTERS = {  # what LLVM calls a feature of a CPU -> what people call it
    "avx512f": "AVX-512", "avx512bf16": "avx512_bf16", "avx2": "AVX2", "fma": "FMA", "neon": "NEON",
}  # fmt: skip


def show_config():
    """Print what decides how fast kernels run here, and what to name when something is wrong: CPU, kernels, threads, cache.

    Nothing is compiled for it.

    >>> import minigrad as mg
    >>> with mg.use_threads(2), mg.use_kernels("reference"):
    ...     mg.show_config()  # doctest: +ELLIPSIS
    CPU       ...
    kernels   reference (plain NumPy), asked for by use_kernels
    threads   2, asked for by use_threads
    versions  minigrad ..., Python ..., numpy ...
    """
    from . import __version__

    versions = {"minigrad": __version__, "Python": platform.python_version(), "numpy": np.__version__}
    lines = {"CPU": platform.processor() or platform.machine(), "kernels": _kernels(), "threads": _threads()}
    if settings.kernels() == "numba" and making.numba_compiles():
        import llvmlite
        import numba

        compiling, gemm = making.module("compile"), making.module("gemm")
        versions |= {"numba": numba.__version__, "llvmlite": llvmlite.__version__}
        _, name, features = compiling.cpu()
        has = [word for feature, word in _MATTERS.items() if f"+{feature}" in features.split(",")]
        lines["CPU"] = f"{name} ({platform.machine()}); {', '.join(has) or 'none of the vector instructions that are used'}"
        lines["kernels"] += f"; vectors of {8 * gemm.VECTOR} bits, products in tiles of {gemm.ROWS} rows and 2 vectors"
        lines["threads"] += "; a pool of our own"
        lines["cache"] = _cache(compiling.cache_folder())
    lines["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    for name, line in lines.items():
        print(f"{name:<10}{line}")


def _kernels():
    asked = "use_kernels" if settings.is_set("kernels") else "MINIGRAD_KERNELS" if os.environ.get("MINIGRAD_KERNELS") else None
    by = f", asked for by {asked}" if asked else ""
    if settings.kernels() == "reference":
        return f"reference (plain NumPy){by}"
    return f"numba{by}" if making.numba_compiles() else "reference (plain NumPy): Numba is missing, or NUMBA_DISABLE_JIT is set"


def _threads():
    asked = "use_threads" if settings.is_set("threads") else "MINIGRAD_THREADS" if os.environ.get("MINIGRAD_THREADS") else None
    return f"{settings.threads()}, {f'asked for by {asked}' if asked else 'the cores this process may run on'}"


def _cache(folder):
    if folder is None:
        return "none: every process compiles anew (MINIGRAD_CACHE=0, or a package without sources)"
    sizes = []
    for file in Path(folder).glob("*"):
        with contextlib.suppress(OSError):  # another process has just replaced it
            sizes.append(file.stat().st_size)
    return f"{folder}, {len(sizes)} kernels, {sum(sizes) / 1024:.0f} KB"

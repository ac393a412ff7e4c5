"""One lock around all that takes long to make: modules of kernels (and Numba with them) are imported, kernels compiled.

A fork waits for it. What another thread was importing or compiling would stay locked in the child for ever.
"""

import functools
import importlib
import os
import threading

lock = threading.RLock()


@functools.cache
def module(name):
    """A module of kernels; imported by whoever asks first."""
    with lock:
        return importlib.import_module(f"minigrad.kernels.{name}")


@functools.cache
def numba_compiles():
    """Whether Numba is there, and turned on."""
    with lock:
        try:
            import numba
        except ImportError:
            return False
    return not numba.config.DISABLE_JIT


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)

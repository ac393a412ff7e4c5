"""One lock around all that takes long to make: modules of kernels (and Numba with them) are imported, kernels compiled.

A fork waits for it. What another thread was importing or compiling would stay locked in the child for ever. An interrupt waits too:
half of an import, or half of what Numba notes while it compiles, could not be used until the end of the process.
"""

import contextlib
import functools
import importlib
import os
import signal
import threading

_lock = threading.RLock()


@contextlib.contextmanager
def undisturbed():
    """What is made inside nobody else makes at the same time, and it is made to its end."""
    handler, came = signal.getsignal(signal.SIGINT), []
    waits = callable(handler) and threading.current_thread() is threading.main_thread()  # which is the one that is interrupted
    if waits:
        signal.signal(signal.SIGINT, lambda *given: came.append(given))
    try:
        with _lock:
            yield
    finally:
        if waits:
            signal.signal(signal.SIGINT, handler)
        if came:
            handler(*came[0])


@functools.cache
def module(name):
    """A module of kernels; imported by whoever asks first."""
    with undisturbed():
        return importlib.import_module(f"minigrad.kernels.{name}")


@functools.cache
def numba_compiles():
    """Whether Numba is there, and turned on."""
    with undisturbed():
        try:
            import numba
        except ImportError:
            return False
    return not numba.config.DISABLE_JIT


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)

"""How kernels are compiled, cached and run on threads: one policy, in this one file.

A kernel is one Python function, written once and compiled for float32 and for float64 when first used:

    import numpy as np
    from minigrad.kernels.compile import floats, kernel, run
    from minigrad.kernels.simd import number, row, share

    @kernel
    def scale_rows(t: int, nt: int, x: floats, w: floats, y: floats, R: int, C: int, factor: float):
        f = number(factor, x)                     # a float arrives as bits; this gives it the element type of x
        first, last = share(t, nt, R)             # thread t of nt computes these rows and no others
        for i in range(first, last):
            xi, yi, wi = row(x, i * C, C), row(y, i * C, C), row(w, 0, C)     # 1-d arrays that start at a known place
            for j in range(C):
                yi[j] = xi[j] * wi[j] * f

    def scale(x, w, factor):
        x, w = np.ascontiguousarray(x), np.ascontiguousarray(w)
        y = np.empty(x.shape, x.dtype)
        R, C = x.shape
        run(scale_rows, R, x.size, x, w, y, R, C, factor)     # kernel, independent items, work, arguments after nt
        return y

The annotations say what each argument is: ``floats`` a pointer to the element type; ``doubles``, ``integers`` (int64)
and ``booleans`` pointers of a fixed type; ``int`` an int64; ``float`` the bits of a float64. ``run`` takes arrays
(which must be C-contiguous where the kernel reads rows), addresses, ints, floats, or None for a null pointer. The
element type is that of the array handed to the first ``floats`` argument. The result must not depend on ``nt``:
threads share independent outputs and nothing else. A function that kernels call is marked ``@helper``. A kernel calls
another kernel's machine code with ``pool.invoke(address, (...))`` when it is handed ``other.address(dtype)`` as an
``int`` argument.

Why machine code behind addresses: a kernel as a C callback costs a fifth of the compile time of a Numba function with
``parallel=True``, and one pool of threads (``pool.py``) runs any of them.
"""

import contextlib
import ctypes
import functools
import hashlib
import inspect
import json
import os
import platform
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np
from numba import cfunc, njit, types
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys

from minigrad import settings
from minigrad.kernels import making, pool
from minigrad.kernels.memory import empty
from minigrad.kernels.pool import Pool

# What LLVM may assume about floating point. NaN and infinities always count: masks are -inf.
ROWS = frozenset({"contract", "reassoc", "nsz", "arcp"})  # sums along a row vectorise
EXACT = frozenset({"contract", "nsz"})  # the order of operations stays as written, as polynomials need it

GRAIN = 1 << 15  # elements of work that keep a thread busy for about 10 us; below that, waking it does not pay

floats, doubles, integers, booleans = "floats", "doubles", "integers", "booleans"
_POINTERS = {doubles: types.float64, integers: types.int64, booleans: types.uint8}
_ELEMENTS = {np.dtype(np.float32): types.float32, np.dtype(np.float64): types.float64}


# ---- declaring


class Kernel:
    """One source; one piece of machine code for each element type."""

    def __init__(self, function, fastmath):
        self.function, self.fastmath = function, fastmath
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self.kinds = [p.annotation for p in inspect.signature(function).parameters.values()]
        self.given = self.kinds[2:]  # what `run` hands over, after the share and how many there are
        self.reals = sum(1 << i for i, kind in enumerate(self.given) if kind is float)
        self.typed_by = self.kinds.index(floats) - 2 if floats in self.kinds else None
        self.addresses = {}  # element type -> where its machine code begins

    def address(self, dtype):
        """Where the machine code for an element type begins: made, or loaded from the cache, when first asked for."""
        return self.addresses.get(dtype) or self._compile(np.dtype(dtype))

    def _compile(self, dtype):
        with making.undisturbed():
            if dtype not in self.addresses:
                pointers = {**_POINTERS, floats: _ELEMENTS[dtype]}
                arguments = [types.CPointer(pointers[kind]) if kind in pointers else types.int64 for kind in self.kinds]
                self.addresses[dtype] = machine_code(self.function, types.void(*arguments), self.fastmath)
            return self.addresses[dtype]


def kernel(function=None, *, fastmath=ROWS):
    """Declare a kernel; the top of this file shows how."""
    return Kernel(function, fastmath) if function else functools.partial(Kernel, fastmath=fastmath)


def helper(function=None, *, fastmath=ROWS):
    """Declare a function that kernels call; it is compiled into each of them."""
    # Python never calls it, so half of its compile time, the wrappers, is saved.
    make = njit(
        nogil=True, error_model="numpy", fastmath=set(fastmath), no_cpython_wrapper=True, no_cfunc_wrapper=True
    )
    return make(function) if function else make


# ---- running


def run(kernel, items, work, *arguments):
    """Run a kernel over ``items`` independent pieces that are together ``work`` elements of work.

    Threads share the pieces when there is enough work. Where they are taken, because another Python thread is using
    them, the calling thread does everything: the bits are the same.
    """
    if items < 1:
        return
    if len(arguments) != len(kernel.given):
        raise TypeError(f"{kernel.__name__}: takes {len(kernel.given)} arguments after (t, nt). Received: {len(arguments)}.")
    nt = shares(items, work)
    launcher(nt)(nt, (kernel.address(arguments[kernel.typed_by].dtype), kernel.reals, *arguments))


def shares(items, work):
    """How many threads share ``items`` independent pieces of together ``work`` elements of work."""
    if work < 2 * GRAIN:
        return 1
    return max(1, min(settings.threads(), items, work // GRAIN, pool.WORKERS + 1))


def launcher(nt):
    """The builtin function `pool.launch` of a pool that has ``nt`` threads awake, without a layer of Python around it."""
    shared = _shared or _pool()
    if nt > 1:
        shared.wake(nt - 1)
    return shared.launch


def address(array):
    """Where the data of an array begins; an address as it is; 0 for None."""
    if type(array) is int:
        return array
    return 0 if array is None else _pointer_at(id(array) + pool.DATA).value  # six times as fast as asking array.ctypes


def scratch(size):
    """Working memory of at least ``size`` bytes that begins on a cache line, the caller's for as long as it holds the array."""
    return empty((max(size, 1 << 16),), np.dtype(np.uint8))


_pointer_at = ctypes.c_size_t.from_address
_shared = None


def _pool():
    """The pool that all Python threads of the process share."""
    global _shared
    if _shared is None:
        with making.undisturbed():
            if _shared is None:
                launch = machine_code(pool.launch, types.int64(types.int64, types.int64, types.int64), EXACT)
                work = machine_code(pool.work, types.void(types.int64), EXACT)
                # ctypes lets go of the interpreter while a worker works
                _shared = Pool(launch, ctypes.CFUNCTYPE(None, ctypes.c_size_t)(work))
    return _shared


def _after_fork():
    # Workers do not survive a fork, and one of them, or another thread, may have been in the middle of a job.
    global _shared
    if _shared is not None:
        _shared = Pool(_shared.code, _shared.work)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# ---- compiling and caching


def machine_code(function, signature, fastmath):
    """Where the machine code of a function begins, as a C function that is never freed: from the cache, else compiled."""
    path = _place(function, signature, fastmath)
    address = _loaded(path) if path else None
    if address is None:
        address = _compiled(function, signature, fastmath, path if _may_write() else None)
    return address


def _compiled(function, signature, fastmath, path):
    made = cfunc(signature, nopython=True, error_model="numpy", fastmath=set(fastmath))(function)
    _kept.append(made)
    if path:
        module = made._library._final_module
        outside = [v.name for v in (*module.functions, *module.global_variables) if v.is_declaration]
        wants = [name for name in outside if not name.startswith("llvm.")]
        head = json.dumps({"begins": made.native_name, "wants": wants}).encode() + b"\n"
        try:
            _write(path, head + made._library._get_compiled_object())
        except OSError as error:
            warnings.warn(f"kernels: the cache cannot be written ({error}); compiling without it.", stacklevel=2)
    return made.address


def _loaded(path):
    """Where the machine code in a file begins, linked into this process; None where there is none that can be used.

    Numba's own cache would wake its whole compiler to load something, a quarter of a second.
    """
    try:
        digest, data = (raw := path.read_bytes())[:32], raw[32:]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        warnings.warn(f"kernels: the cache cannot be read ({error}); compiling.", stacklevel=2)
        return None
    if hashlib.sha256(data).digest() != digest:
        warnings.warn(f"kernels: {path} is damaged; compiling it anew.", stacklevel=2)
        return None
    head, _, code = data.partition(b"\n")
    head = json.loads(head)
    rtsys.initialize(cpu_target.target_context)  # functions of Numba's that some machine code names
    if any(llvm.address_of_symbol(name) is None for name in head["wants"]):
        cpu_target.target_context.refresh()  # wakes the compiler, which brings its functions
    # An engine for each: the names that Numba gives are unique in one process, not in the files of several.
    machine = llvm.Target.from_default_triple().create_target_machine(codemodel="jitdefault")
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _kept.append(engine)
    return engine.get_function_address(head["begins"])


_kept = []  # what keeps machine code alive


def _write(path, data):
    """A file, whole or not at all: other processes read and write the same one."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(hashlib.sha256(data).digest() + data)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError:
        os.unlink(name)
        raise


def _place(function, signature, fastmath):
    """The file for the machine code of one of our kernels; None for others, whose sources the folder's name leaves out."""
    folder = cache_folder()
    if folder is None or not function.__module__.startswith("minigrad.kernels."):
        return None
    # A kernel that is made in a function is one of several, told apart by the numbers it uses from there.
    given = inspect.getclosurevars(function).nonlocals
    if not all(type(value) is int for value in given.values()):
        raise TypeError(
            f"{function.__qualname__}: a kernel can use whole numbers, and nothing else, of the function it is made in. "
            f"Received: {given}."
        )
    key = repr((function.__qualname__, sorted(given.items()), str(signature), sorted(fastmath)))
    key = hashlib.sha256(key.encode()).hexdigest()[:16]
    return folder / f"{function.__module__.rpartition('.')[2]}.{function.__name__}-{key}"


@functools.cache
def cache_folder():
    """The folder for the machine code of exactly these sources, versions and CPU; None where there is no cache."""
    build = _build()
    return cache_home() / f"kernels-{build}" if build and os.environ.get("MINIGRAD_CACHE") != "0" else None


@functools.cache
def _may_write():
    """Whether what is compiled can be kept; tells the user, when the first kernel is compiled."""
    folder = cache_folder()
    new, keeps = folder is None or not folder.exists(), folder is not None
    try:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        keeps = False
        warnings.warn(
            f"kernels: every process compiles anew what is not in the cache, because {folder} cannot be written ({error}). "
            "Set MINIGRAD_CACHE_DIR to a folder that can, or MINIGRAD_CACHE=0 to silence this.",
            stacklevel=2,
        )
    if new:
        print(f"minigrad: compiling kernels for this CPU{', once' * keeps} ...", file=sys.stderr, flush=True)
        if keeps:
            _forget_old(folder)
    return keeps


def cache_home():
    """The folder for caches: ``MINIGRAD_CACHE_DIR``, or the user's own place for them."""
    if os.environ.get("MINIGRAD_CACHE_DIR"):
        return Path(os.environ["MINIGRAD_CACHE_DIR"])
    if sys.platform == "win32":
        home = Path(os.environ.get("LOCALAPPDATA") or Path.home())
    elif sys.platform == "darwin":
        home = Path.home() / "Library" / "Caches"
    else:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "minigrad"


def _build():
    """A name for all that machine code depends on: Numba's own check sees one file, not what that file imports."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    if not sources:
        return None
    text = hashlib.sha256()
    for source in sources:
        text.update(source.name.encode() + source.read_bytes())
    versions = numba.__version__, llvmlite.__version__, np.__version__, platform.python_version(), pool.DATA, pool.TYPE
    text.update(repr((versions, cpu())).encode())
    return text.hexdigest()[:16]


def cpu():
    """(target, CPU name, features) that machine code is made for."""
    return cpu_target.target_context.codegen().magic_tuple()


def _forget_old(folder, keep=8):
    """Every edit of a kernel makes a new folder: remove all but the latest."""
    with contextlib.suppress(OSError):
        for old in sorted(folder.parent.glob("kernels-*"), key=os.path.getmtime)[:-keep]:
            shutil.rmtree(old, ignore_errors=True)

"""The shell commands: `python -m minigrad gradcheck | ops | stubs | config`."""

import argparse
import difflib
import functools
import importlib
import signal
import sys
import threading

from . import checks, stubs
from .config_report import show_config
from .core import REGISTRY


class Mistake(Exception):
    """A command that cannot be carried out; the message is for the user."""


def main(words=None):
    """Run a command and return its exit code.

    >>> main(["ops", "log"])
    log(x)  (...) -> (...)  Natural logarithm
    0
    """
    given = _parser().parse_args(words)
    try:
        for module in getattr(given, "modules", ()):
            _imported(module)
        return given.run(given)
    except Mistake as mistake:
        print(f"minigrad: {mistake}", file=sys.stderr)
        return 2


def _parser():
    description = "The op database of minigrad: check it, list it, describe it; and how kernels run here."
    parser = argparse.ArgumentParser(prog="python -m minigrad", description=description)
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name, run, help, more=""):
        made = commands.add_parser(name, help=help, description=f"{help}. {more}")
        made.set_defaults(run=run)
        return made

    gradcheck = command(
        "gradcheck", _gradcheck, "check the derivatives of ops against finite differences",
        "Every op on every sample: first order, second order, forward mode; the numbers are the worst relative differences. "
        "Exit code: 0 if everything agrees, 1 if a derivative is wrong, 2 if nothing could be said about one, or for a mistake "
        "on the command line.",
    )  # fmt: skip
    gradcheck.add_argument("names", nargs="*", metavar="op", help="an op, or module:function with samples; default: all ops")
    ops = command("ops", _ops, "list the ops: signature, shapes, formula")
    ops.add_argument("names", nargs="*", metavar="op", help="default: all of them")
    for one in (gradcheck, ops):
        one.add_argument("--import", dest="modules", action="append", default=[], metavar="MODULE", help="a module that declares ops")
    stub = command("stubs", _stubs, "write the stubs that editors and mypy read", "With --check the exit code is 1 if one is out of date.")
    stub.add_argument("--check", action="store_true", help="write nothing, only compare")
    command("config", _config, "show the CPU, the kernels, the threads and the cache", "What to name when something is slow or wrong.")
    return parser


# ------------------------------------------------------------------------------------------------------ the commands


def _gradcheck(given):
    tasks = [_task(name) for name in given.names] or [(op.name, functools.partial(checks.check_op, op)) for op in checks.checkable()]
    width = max(len("op"), *(len(name) for name, _ in tasks))
    print(f"{'op':<{width}}  samples  first order  second order  forward mode")
    rows = []
    for name, check in tasks:
        slow = threading.Timer(3, lambda name=name: print(f"... {name}: compiling its kernels, for the first use", file=sys.stderr))
        slow.daemon = True
        slow.start()
        rows.append(row := check())
        slow.cancel()
        first, second, forward = (f"{worst:.1e}" for worst in row.worst)
        print(f"{row.name:<{width}}  {row.samples:>7}  {first:>11}  {second:>12}  {forward:>12}  {row.verdict}", flush=True)
    wrong, unclear = ([message for row in rows for message in getattr(row, kind)] for kind in ("wrong", "unclear"))
    for message in (*wrong, *unclear):
        print(f"\n{message}")
    verdict = "wrong" if wrong else "inconclusive" if unclear else "passed"
    print(f"\n{len(rows)} ops, {sum(row.samples for row in rows)} samples: {verdict}")
    return 1 if wrong else 2 if unclear else 0


def _ops(given):
    rows = []
    for op in [_op(name) for name in given.names] or REGISTRY.values():
        formula, _, shapes = (op.function.__doc__ or "").partition("\n")[0].rpartition(".   ")
        rows.append((op.signature(), shapes if formula else "", formula or shapes))
    widths = [min(max(len(row[i]) for row in rows), most) for i, most in ((0, 48), (1, 40))]
    for row in rows:
        line = ""
        for start, cell in zip((0, widths[0] + 2, sum(widths) + 4), row):
            if len(line) > max(0, start - 2):  # it reaches into this column, which then begins on a line of its own
                print(line)
                line = ""
            line = f"{line:<{start}}{cell}" if cell else line
        print(line)
    return 0


def _stubs(given):
    stale = stubs.stale()
    for path, text in stale.items():
        print(f"{'out of date' if given.check else 'written'}: {path}")
        if not given.check:
            path.write_text(text, encoding="utf-8")
    if stale and given.check:
        print("Write them again: python -m minigrad stubs")
    return 1 if stale and given.check else 0


def _config(given):
    show_config()
    return 0


# -------------------------------------------------------------------------------------------------- what words stand for


def _task(name):
    """The name of what is to be checked, and the function that does it."""
    module, _, attribute = name.rpartition(":")
    if not module:
        op = _op(name)
    else:
        function = getattr(_imported(module), attribute, None)
        if function is None:
            raise Mistake(f"the module {module} has no function {attribute}.")
        op = getattr(function, "op", None)
        if op is None:
            if not hasattr(function, "samples"):
                raise Mistake(f"{attribute}: no samples to check it on. Give it some: {attribute}.samples = lambda rng: [Sample((x,))].")
            return name, functools.partial(checks.check_function, function)
    if op not in checks.checkable():
        reason = "it has no gradient" if not op.has_gradient else "it has no samples; give it some by @op(samples=...)"
        raise Mistake(f"{op.name}: there is nothing to check, {reason}.")
    return op.name, functools.partial(checks.check_op, op)


def _op(name):
    if name not in REGISTRY:
        near = difflib.get_close_matches(name, REGISTRY, 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "python -m minigrad ops lists them."
        raise Mistake(f"there is no op {name!r}; {hint}")
    return REGISTRY[name]


def _imported(name):
    if name.startswith("."):
        raise Mistake(f"a module is named from the top, as in package.module. Received: {name!r}.")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise Mistake(f"there is no module {name!r} to import; is it in this folder, or installed?") from None
        raise


if __name__ == "__main__":
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` may close the output
    sys.exit(main())

"""Which way imports go, read from the source, and what importing loads, seen in a fresh process."""

import ast
import importlib
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

from minigrad import kernels

ROOT = Path(__file__).parent.parent

# From the bottom up: a module may import what stands on a line above its own, and its own line's.
MINIGRAD = """
    errors
    anomaly settings journal alone
    random
    kernels
    config_report
    core
    ops
    tensor
    creation
    protocols
    derivatives
    autograd linalg draw einops differences
    initializers
    summary
    layer
    dense
    optim storage gradcheck
    checks stubs
    testing
    __main__
"""
TRANSFORMER = """
    errors
    config cache
    layers
    blocks
    models
    sampling programs
    decoding
    tokenizers gguf data history runs console
    baselines plots
    pretrained
    fetch
    generation
    sentences meaning chat
    training
    tasks
    ablation
    __main__
"""
HEAVY = {"numba", "llvmlite", "matplotlib", "torch", "scipy", "rich", "tokenizers", "safetensors", "gguf", "jax", "keras"}


def sources(*folders):
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def name_of(path):
    """Dotted name of the module in a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path):
    """Dotted names that a file imports anywhere in it: at the top, inside functions, relative or not."""
    package = name_of(path).split(".") if path.name == "__init__.py" else name_of(path).split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            # "from minigrad import ops" names a module too, "from minigrad.core import Op" does not
            yield from (f"{origin}.{alias.name}" if is_module(f"{origin}.{alias.name}") else origin
                        for alias in node.names)


def is_module(name):
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def floors(listing):
    return {name: floor for floor, line in enumerate(listing.split("\n")) for name in line.split()}


@pytest.mark.parametrize("package, listing", [("minigrad", MINIGRAD), ("transformer", TRANSFORMER)])
def test_imports_go_down_the_list(package, listing):
    floor, wrong, unlisted = floors(listing), [], set()
    for path in sources(package):
        if path == ROOT / package / "__init__.py":  # the front door opens on every floor
            continue
        here = name_of(path).split(".")[1]
        for name in imported(path):
            parts = name.split(".")
            if parts[0] != package:
                continue
            there = parts[1] if len(parts) > 1 else None
            unlisted |= {module for module in (here, there) if module is not None and module not in floor}
            if there in floor and here in floor and floor[there] > floor[here]:
                wrong.append(f"{name_of(path)} imports {name}")
    assert not unlisted, f"not in the list of this test: {sorted(unlisted)}"
    assert not wrong, "imports that go up: " + "; ".join(wrong)


def test_minigrad_never_imports_transformer():
    wrong = [f"{name_of(path)} imports {name}" for path in sources("minigrad") for name in imported(path)
             if name.split(".")[0] in ("transformer", "bench", "tests")]
    assert not wrong, wrong


def test_kernels_know_no_tensor():
    allowed = ("minigrad.kernels", "minigrad.settings", "minigrad.errors", "minigrad.alone")
    wrong = [f"{name_of(path)} imports {name}" for path in sources("minigrad/kernels") for name in imported(path)
             if name.split(".")[0] == "minigrad" and not name.startswith(allowed)]
    assert not wrong, wrong


def test_heavy_libraries_are_oracles_only():
    wrong = [f"{name_of(path)} imports {name}" for path in sources("minigrad", "transformer") for name in imported(path)
             if name.split(".")[0] in ("torch", "jax", "keras", "scipy", "transformers")]
    assert not wrong, wrong


def loaded_by(statement):
    """Top-level modules in memory after a statement, in a fresh interpreter."""
    script = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name.split(".")[0] for name in json.loads(output)}


@pytest.mark.parametrize("package", ["minigrad", "transformer"])
def test_importing_is_light(package):
    extra = loaded_by(f"import {package}") & HEAVY
    assert not extra, f"import {package} loads {sorted(extra)}"


def test_importing_changes_no_global_state():
    script = ("import random, numpy; before = numpy.geterr(), numpy.random.get_state()[1].tolist(), random.getstate();"
              "import minigrad, transformer;"
              "assert before == (numpy.geterr(), numpy.random.get_state()[1].tolist(), random.getstate())")
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


@pytest.mark.parametrize("name", ["softmax", "attention"])
def test_a_kernel_and_its_module_may_share_a_name(name):
    importlib.import_module(f"minigrad.kernels.{name}")
    assert isinstance(getattr(kernels, name), types.FunctionType)

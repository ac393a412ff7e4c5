"""What tools see: stubs, signatures, docstrings, completion; and that mypy believes them."""

import ast
import inspect
import pydoc
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import creation, ops, stubs
from minigrad.__main__ import main
from minigrad.core import Tensor
from tests.helpers import OPS

ROOT = Path(__file__).parent.parent
PUBLIC = [name for name in vars(Tensor) if not name.startswith("_")]


@pytest.fixture(scope="module")
def parsed():
    return {path.relative_to(ROOT / "minigrad").as_posix(): ast.parse(text) for path, text in stubs.files().items()}


def entries(tree):
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_the_stubs_are_up_to_date():
    assert [str(path) for path in stubs.stale()] == [], "write them again: python -m minigrad stubs"


def test_the_command_writes_what_is_out_of_date(tmp_path, monkeypatch, capsys):
    right, wrong, missing = (tmp_path / f"{name}.pyi" for name in ("right", "wrong", "missing"))
    right.write_text("x: int\n"), wrong.write_text("x: str\n")
    monkeypatch.setattr(stubs, "files", lambda: dict.fromkeys((right, wrong, missing), "x: int\n"))
    assert main(["stubs", "--check"]) == 1 and not missing.exists()
    assert capsys.readouterr().out.splitlines()[:2] == [f"out of date: {wrong}", f"out of date: {missing}"]
    assert main(["stubs"]) == 0 and wrong.read_text() == missing.read_text() == "x: int\n"
    assert main(["stubs", "--check"]) == 0 and capsys.readouterr().out.count("written") == 2


def test_every_method_and_function_stands_in_a_stub(parsed):
    (tensor,) = (node for node in parsed["tensor.pyi"].body if isinstance(node, ast.ClassDef))
    assert set(entries(tensor)) >= set(PUBLIC) - {"grad"}
    assert set(entries(parsed["ops/__init__.pyi"])) >= set(ops.__all__)
    assert set(entries(parsed["creation.pyi"])) >= set(creation.__all__)


def test_stubs_hold_signature_and_docstring(parsed):
    (tensor,) = (node for node in parsed["tensor.pyi"].body if isinstance(node, ast.ClassDef))
    node = entries(tensor)["sum"]
    words = ("self", "axis", "keepdims", "dim", "keepdim")
    assert [a.arg for a in (*node.args.args, *node.args.kwonlyargs) if a.arg in words] == list(words)
    assert ast.unparse(node.returns) == "Tensor" and ast.get_docstring(node).startswith("Sum over axes")
    assert ast.unparse(entries(tensor)["shape"].returns) == "tuple[builtins.int, ...]"  # int is a method there


@pytest.mark.parametrize("name", PUBLIC)
def test_what_a_stub_says_comes_back_is_what_comes_back(name, parsed):
    """Every property, and every method that can be called without arguments."""
    (tensor,) = (node for node in parsed["tensor.pyi"].body if isinstance(node, ast.ClassDef))
    if name == "grad":
        return
    node = next(n for n in tensor.body if isinstance(n, ast.FunctionDef) and n.name == name)
    said = ast.unparse(node.returns).replace("builtins.", "")
    x = mg.tensor([[0.25, 0.5], [0.5, 0.75]], requires_grad=True)
    try:
        out = getattr(x, name)
        with np.errstate(all="ignore"):
            out = out if isinstance(vars(Tensor)[name], property) else out()
    except (mg.errors.MinigradError, TypeError, ValueError):
        return  # needs arguments
    expected = {
        "Tensor": Tensor, "bool": bool, "int": int, "str": str, "None": type(None), "tuple[int, ...]": tuple, "np.dtype[Any]": np.dtype,
        "npt.NDArray[Any]": np.ndarray, "list[Tensor]": list,
    }  # fmt: skip
    if said.startswith("tuple[Tensor"):
        assert isinstance(out, tuple) and (said.endswith("...]") or len(out) == said.count("Tensor"))
    elif said != "Any":
        assert isinstance(out, expected[said]), f"{said}, not {type(out)}"


# -------------------------------------------------------------------------------------------------- help, completion


def test_signatures_are_those_that_users_write():
    assert str(inspect.signature(Tensor.sum)) == "(x, axis=None, keepdims=False)"
    assert str(inspect.signature(mg.multiply)) == "(x, y)"
    assert str(inspect.signature(mg.concatenate)) == "(xs, axis=0)"
    assert [o.name for o in OPS if "/" in str(inspect.signature(o.function))] == []


def test_help_shows_signature_and_docstring():
    text = pydoc.plain(pydoc.render_doc(Tensor.sum))
    assert "sum(x, axis=None, keepdims=False)" in text and "Sum over axes" in text


def test_completion_offers_every_method():
    offered = dir(mg.tensor(1.0))
    assert {"sum", "softmax", "backward", "shape", "T", "reshape", "unsqueeze"} <= set(offered)
    assert {o.name for o in OPS if o.method} <= set(offered)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_attribute_has_a_docstring(name):
    assert name == "grad" or inspect.getdoc(vars(Tensor)[name])


# -------------------------------------------------------------------------------------------------------------- mypy

SCRIPT = '''
import minigrad as mg

x = mg.tensor([[1.0, 2.0]], requires_grad=True)
reveal_type(x.sum(axis=0))
reveal_type(x.sum(dim=0, keepdim=True) * 2 + 1)
reveal_type(mg.softmax(x @ x.T))
reveal_type(mg.var_mean(x))
reveal_type(x.shape)
reveal_type(x.numpy())
reveal_type(mg.Parameter([1.0]).exp())
reveal_type(mg.gradcheck(mg.exp, x))
x.sum(axis="rows")
x.sum(axes=0)
x.no_such_method()
mg.softmax()
x.backward(1.0, retain_graph="yes")
'''


@pytest.fixture
def mypy():
    pytest.importorskip("mypy")
    return lambda *words, cwd: subprocess.run([sys.executable, "-m", "mypy", *words], cwd=cwd, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_mypy_knows_types_and_flags_wrong_calls(mypy, tmp_path):
    shutil.copytree(ROOT / "minigrad", tmp_path / "minigrad", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "user.py").write_text(SCRIPT)
    out = mypy("--follow-imports=silent", "--ignore-missing-imports", "user.py", cwd=tmp_path)
    shown = [line.split('"')[1] for line in out.splitlines() if "Revealed type" in line]
    assert [kind.replace("minigrad.tensor.", "").replace("minigrad.gradcheck.", "") for kind in shown] == [
        "Tensor", "Tensor", "Tensor", "tuple[Tensor, Tensor]", "tuple[int, ...]",
        "numpy.ndarray[tuple[Any, ...], numpy.dtype[Any]]", "Tensor", "Report",
    ], out  # fmt: skip
    wrong = [line for line in out.splitlines() if line.startswith("user.py") and "error" in line]
    assert [int(line.split(":")[1]) for line in wrong] == [13, 14, 15, 16, 17], out


@pytest.mark.slow
def test_mypy_accepts_the_library(mypy):
    assert mypy(cwd=ROOT).startswith("Success")

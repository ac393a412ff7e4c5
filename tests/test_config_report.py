"""show_config: what it says is what is so."""

import sys

import pytest

import minigrad as mg
from minigrad import __main__
from minigrad.kernels import making
from tests.kernels.process import process


def shown(capsys):
    mg.show_config()
    return dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())


def test_threads_and_where_their_number_is_from(capsys, monkeypatch):
    assert shown(capsys)["threads"].startswith("1, asked for by MINIGRAD_THREADS")
    with mg.use_threads(7):
        assert shown(capsys)["threads"].startswith("7, asked for by use_threads")
    monkeypatch.delenv("MINIGRAD_THREADS")
    assert "the cores this process may run on" in shown(capsys)["threads"]


def test_kernels_and_why(capsys, monkeypatch):
    with mg.use_kernels("reference"):
        assert shown(capsys)["kernels"] == "reference (plain NumPy), asked for by use_kernels"
    monkeypatch.setattr(making, "numba_compiles", lambda: False)
    if mg.settings.kernels() == "numba":
        assert "Numba is missing" in shown(capsys)["kernels"]


def test_cpu_cache_and_versions(capsys, tmp_path):
    numba = pytest.importorskip("numba")
    said = shown(capsys)
    assert sys.version.split()[0] in said["versions"]
    if not making.numba_compiles() or mg.settings.kernels() == "reference":
        return
    from minigrad.kernels import compile as policy

    assert f"numba {numba.__version__}" in said["versions"]
    assert policy.cpu()[1] in said["CPU"] and str(policy.cache_folder()) in said["cache"]
    program = "import minigrad as mg, numpy as np, io, contextlib\nmg.softmax(np.ones((3, 4), 'f'))\nout = io.StringIO()\n"
    program += "with contextlib.redirect_stdout(out): mg.show_config()\nassert ', 3 kernels, ' in out.getvalue(), out.getvalue()"
    process(program, MINIGRAD_CACHE_DIR=tmp_path)


def test_the_command_prints_the_same(capsys):
    mg.show_config()
    once = capsys.readouterr().out
    assert __main__.main(["config"]) == 0 and capsys.readouterr().out == once

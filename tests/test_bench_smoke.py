"""Every benchmark runs once at a tiny size, so that none of them rots."""

import json

import pytest

from bench import __main__ as bench
from bench import gpt, harness, report, train


def rows_of(path, benchmark):
    written = json.loads(path.read_text())
    assert written["benchmark"] == benchmark
    assert {"processor", "cores", "load"} <= set(written["machine"])
    assert {"python", "numpy", "numba", "torch"} <= set(written["versions"])
    return written["results"]


def test_training_step(tmp_path, capfd):
    path = tmp_path / "train.json"
    assert bench.main(["train", "--sizes", "XS", "--threads", "1", "--libraries", "minigrad", "--rounds", "1",
                       "--block", "0.01", "--patience", "0", "--json", str(path)]) == 0
    (result,) = rows_of(path, "train")
    row = result["libraries"]["minigrad"]
    assert 0 < row["p10"] <= row["seconds"] <= row["p90"]
    assert 2.0 < row["values"][0] < 2.8  # log(11) = 2.398: an untrained model knows nothing of eleven letters
    shown = capfd.readouterr().out
    assert "minigrad" in shown and "losses" not in shown and "speed" not in shown  # nothing stands beside it


def test_start(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGRAD_KERNELS", "reference")  # compiling takes longer than all other tests of this file
    path = tmp_path / "start.json"
    assert bench.main(["start", "--size", "XS", "--threads", "1", "--rounds", "1", "--json", str(path)]) == 0
    results = rows_of(path, "start")
    assert results["imports"]["minigrad"]["seconds"] > 0
    assert set(results["first_steps"]) >= {"minigrad, first ever", "minigrad, later"}
    assert results["first_steps"]["minigrad, first ever"]["loss"] == results["first_steps"]["minigrad, later"]["loss"]


TINY = ["--elements", "2", "--points", "2", "--scalar-points", "2", "--rounds", "1", "--block", "0.001", "--settle", "0",
        "--patience", "0"]


def engine(path, monkeypatch, libraries):
    monkeypatch.setattr("bench.engine.OPS", {"tanh": 1})
    monkeypatch.setattr("bench.engine.available", lambda wanted: [name for name in wanted if name.partition(",")[0] in libraries])
    assert bench.main(["engine", *TINY, "--json", str(path)]) == 0
    return rows_of(path, "engine")


def test_engine(tmp_path, monkeypatch, capfd):
    results = engine(tmp_path / "engine.json", monkeypatch, {"minigrad", "numpy"})
    assert [len(results[part]) for part in ("costs", "chains", "network", "large")] == [2, 2, 2, 2]
    tables = [row for part in results.values() for row in part]
    assert all(row["seconds"] > 0 for table in tables for row in table["libraries"].values())  # each has checked its gradients
    assert "times minigrad's" in capfd.readouterr().out


@pytest.mark.oracle
def test_engine_beside_its_peers(tmp_path, monkeypatch):
    peers = {name for name in ("torch", "autograd", "jax", "micrograd") if report.installed(name)}
    results = engine(tmp_path / "engine.json", monkeypatch, {"minigrad", *peers})
    rows = [row for part in ("chains", "network", "large") for table in results[part] for row in table["libraries"].items()]
    assert {name for name, _ in rows} == {"minigrad", *peers} and all("seconds" in row for _, row in rows)


@pytest.mark.oracle
def test_libraries_agree(tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / "train.json"
    assert bench.main(["train", "--sizes", "XS", "--threads", "1", "--libraries", ",".join(train.LIBRARIES), "--rounds",
                       "1", "--block", "0.01", "--patience", "0", "--json", str(path)]) == 0
    (result,) = rows_of(path, "train")
    assert set(result["libraries"]) == set(train.LIBRARIES)
    assert result["losses_differ_by"] < 1e-5


def test_disturbed_blocks_are_thrown_away():
    blocks = [{"seconds": 1.0, "waiting": 0.0}, {"seconds": 9.0, "waiting": 0.5}, {"seconds": 2.0, "waiting": 0.01},
              {"seconds": 3.0, "waiting": 0.04}]
    summary = harness.summary(blocks)
    assert summary["seconds"] == 2.0 and summary["thrown_away"] == 1 and summary["undisturbed"]
    noisy = harness.summary([{"seconds": float(i), "waiting": 0.1 * i} for i in range(1, 6)])
    assert noisy["seconds"] == 2.0 and noisy["blocks"] == 3 and not noisy["undisturbed"]


def test_a_library_that_fails_is_a_row_not_a_crash():
    rows = harness.compare("bench.train", ["nothing"], "XS", threads=1, rounds=1)
    assert "ModuleNotFoundError" in rows["nothing"]["error"]


def test_weights_and_batches_are_the_same_every_time():
    size = gpt.SIZES["XS"]
    assert (gpt.batches(size) == gpt.batches(size)).all() and gpt.batches(size).max() < size["vocabulary"]
    assert (gpt.weights("a.kernel", (2, 3)) == gpt.weights("a.kernel", (2, 3))).all()
    assert not (gpt.weights("a.kernel", (2, 3)) == gpt.weights("b.kernel", (2, 3))).any()
    assert abs(gpt.weights("norm.gamma", (50,)).mean() - 1) < 0.02


def test_an_unknown_benchmark_says_what_there_is(capsys):
    assert bench.main(["nothing"]) == 2
    assert "start" in capsys.readouterr().err

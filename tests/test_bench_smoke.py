"""Every benchmark runs once at a tiny size, so that none of them rots."""

import dataclasses
import json

import numpy as np
import pytest

from bench import __main__ as bench
from bench import decode, gpt, harness, ops, report, train
from transformer import Encoder, EncoderConfig, LanguageModel, LanguageModelConfig, save_pretrained

QUICK = ["--rounds", "1", "--block", "0.001", "--settle", "0", "--patience", "0"]
TINY = {  # every benchmark at a size at which it takes no time
    "gemm": ["--shapes", "2,2,2 NN; 2 x 2,2,2 NT; 1,2,2 TN", "--threads", "1", "--cold"],
    "ops": ["--modes", "both", "--threads", "2"],
    "train": ["--sizes", "XS", "--threads", "1"],
    "decode": ["--sizes", "XS", "--models", "", "--threads", "1"],
    "memory": ["--sizes", "XS", "--lengths", "2,4", "--words", "4", "--threads", "1"],
    "engine": ["--elements", "2", "--points", "2", "--scalar-points", "2"],
}


def ran(name, folder, *options):
    """The results that a benchmark wrote after running once."""
    assert bench.main([name, *TINY[name], *QUICK, *options, "--out", str(folder)]) == 0
    return written(name, folder)


def written(name, folder):
    found = json.loads((folder / f"{name}.json").read_text())
    assert found["benchmark"] == name
    assert {"processor", "cores", "load"} <= set(found["machine"])
    assert {"python", "numpy", "numba", "torch"} <= set(found["versions"])
    assert f"# {name}" in (folder / f"{name}.md").read_text()
    return found["results"]


def tiny_ops(monkeypatch):
    """Every op at size 2 and the smallest model; the processes of the libraries see it through their own import."""
    sizes = {name: (64 if op.random else 2,) * len(op.sizes[0]) for name, op in ops.OPS.items()}  # chance needs numbers to be alike
    monkeypatch.setattr(ops, "OPS", {name: dataclasses.replace(op, sizes=(sizes[name],)) for name, op in ops.OPS.items()})
    monkeypatch.setattr(ops, "MODELS", ("XS",))


def test_products(tmp_path):
    results = ran("gemm", tmp_path, "--peers", "numpy")
    assert [found["row"] for found in results] == ["2,2,2 NN", "2 x 2,2,2 NT", "1,2,2 TN"]
    for found in results:
        assert set(found["libraries"]) == {"minigrad", "numpy", "machine"} and found["better"] == "numpy"
        assert found["differences"]["numpy"] < 1e-6 and found["ratios"]["numpy"]["median"] > 0 and found["share"] > 0
    assert "behind the better peer" in (tmp_path / "gemm.md").read_text()


def test_a_product_that_is_wrong_is_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("bench.gemm.AGREE", {"float32": -1.0})  # nothing agrees as well as that
    assert bench.main(["gemm", "--shapes", "2,2,2 NN", "--threads", "1", "--peers", "numpy", *QUICK]) == 1
    assert "failed: numpy, 2,2,2 NN: its result is another one" in capsys.readouterr().out


def test_operations(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGRAD_KERNELS", "reference")  # compiling them all takes longer than all other tests of this file
    tiny_ops(monkeypatch)
    results = ran("ops", tmp_path, "--peers", "")
    assert len(results) == len(ops.OPS) + len(ops.UPDATES)
    assert all(found["libraries"]["minigrad"]["seconds"] > 0 and found["share"] > 0 for found in results)


def test_training_step(tmp_path, capfd):
    (found,) = ran("train", tmp_path, "--libraries", "minigrad")
    row = found["libraries"]["minigrad"]
    assert 0 < row["p10"] <= row["seconds"] <= row["p90"]
    assert 2.0 < row["values"][0] < 2.8  # log(11) = 2.398: an untrained model knows nothing of eleven letters
    assert "losses" not in capfd.readouterr().out  # nothing stands beside it


def test_generation(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGRAD_KERNELS", "reference")
    (found,) = ran("decode", tmp_path, "--peers", "")
    _, ids, _ = found["libraries"]["minigrad"]["values"][0]
    assert found["row"] == "XS, 8 tokens" and len(ids) == 9 and max(ids) < 11
    assert found["share"] > 0 and found["parted"] == {}


def test_tokens_that_part_are_found():
    assert decode.parted([0.0, [1, 2, 3], 0.0], [0.0, [1, 2, 4], 0.0]) == 2
    assert decode.parted([0.0, [1, 2, 3], 0.0], [1.0, [1, 2, 3], 0.0]) is None


def test_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGRAD_KERNELS", "reference")
    training, *attention = ran("memory", tmp_path, "--peers", "")
    assert training["libraries"]["minigrad"]["peak_mb"] >= training["libraries"]["minigrad"]["built_mb"] > 1
    assert [found["row"] for found in attention] == ["causal attention 2x6x2x64", "causal attention 1x6x4x64"]
    assert all("attention_mb" in found["libraries"]["minigrad"] for found in attention)


def test_start(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGRAD_KERNELS", "reference")
    assert bench.main(["start", "--size", "XS", "--threads", "1", "--rounds", "1", "--out", str(tmp_path)]) == 0
    results = written("start", tmp_path)
    assert results["imports"]["minigrad"]["seconds"] > 0
    assert set(results["first_steps"]) >= {"minigrad, first ever", "minigrad, later"}
    assert results["first_steps"]["minigrad, first ever"]["loss"] == results["first_steps"]["minigrad, later"]["loss"]


def engine(folder, monkeypatch, libraries):
    monkeypatch.setattr("bench.engine.OPS", {"tanh": 1})
    monkeypatch.setattr(report, "available", lambda wanted: [name for name in wanted if name.partition(",")[0] in libraries])
    return ran("engine", folder)


def test_engine(tmp_path, monkeypatch, capfd):
    results = engine(tmp_path, monkeypatch, {"minigrad", "numpy"})
    assert [len(results[part]) for part in ("costs", "chains", "network", "large")] == [2, 2, 2, 2]
    tables = [row for part in results.values() for row in part]
    assert all(row["seconds"] > 0 for table in tables for row in table["libraries"].values())  # each has checked its gradients
    assert "times minigrad's" in capfd.readouterr().out


@pytest.mark.oracle
def test_engine_beside_its_peers(tmp_path, monkeypatch):
    peers = {name for name in ("torch", "autograd", "jax", "micrograd") if report.installed(name)}
    results = engine(tmp_path, monkeypatch, {"minigrad", *peers})
    rows = [row for part in ("chains", "network", "large") for table in results[part] for row in table["libraries"].items()]
    assert {name for name, _ in rows} == {"minigrad", *peers} and all("seconds" in row for _, row in rows)


@pytest.mark.oracle
def test_products_and_operations_beside_their_peers(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    peers = [name for name in ("torch", "jax") if report.installed(name)]
    tiny_ops(monkeypatch)
    missing = {name: ops.without(case) for name, case in ops.cases()}
    for name, wanted in (("gemm", ["numpy", "torch"]), ("ops", peers)):
        for found in ran(name, tmp_path, "--peers", ",".join(wanted)):
            assert set(found["ratios"]) == set(wanted).difference(missing.get(found["row"], ())) and not found["differ"]


@pytest.mark.oracle
def test_memory_beside_torch(tmp_path):
    pytest.importorskip("torch")
    training, *attention = ran("memory", tmp_path)
    assert "peak_mb" in training["libraries"]["torch"] and all("torch" in found["ratios"] for found in attention)


@pytest.mark.oracle
def test_libraries_agree(tmp_path):
    pytest.importorskip("torch")
    (found,) = ran("train", tmp_path)
    assert {"minigrad", "torch", "torch-autocast"} <= set(found["libraries"]) and not found["differ"]
    assert all(value < 1e-5 for library, value in found["differences"].items() if library not in train.REDUCED)


@pytest.mark.oracle
def test_generation_agrees(tmp_path):
    peers = [name for name in ("torch", "jax", "transformers") if report.installed(name)]
    (found,) = ran("decode", tmp_path, "--peers", ",".join(peers))
    assert set(found["ratios"]) == set(peers) and not found["differ"]
    assert found["parted"] == dict.fromkeys(peers) and all(value < 1e-5 for value in found["differences"].values())


@pytest.mark.oracle
def test_models_of_others_agree(tmp_path):
    pytest.importorskip("transformers")
    common = {"vocab_size": 64, "width": 16, "layers": 2, "heads": 2}
    llama = LanguageModelConfig(block_size=520, positions="rotary", normalization="rms", activation="swiglu", use_bias=False,
                                key_value_heads=1, end_ids=(2,), **common)
    bert = EncoderConfig(block_size=64, norm="post", activation="gelu", embedding_norm=True, segments=2, pooling="mean", normalize=True,
                         epsilon=1e-12, **common)
    save_pretrained(LanguageModel(llama), tmp_path / "llama", family="llama")
    save_pretrained(Encoder(bert), tmp_path / "bert", family="bert")
    *rows, loading = ran("decode", tmp_path, "--sizes", "", "--tokens", "4", "--peers", "transformers",
                         "--models", f"smollm2={tmp_path / 'llama'},minilm={tmp_path / 'bert'}")
    assert [found["row"] for found in rows] == ["smollm2, decode 4", "smollm2, prefill 512", "minilm, embed 1", "minilm, embed 32"]
    assert all(found["ratios"]["transformers"]["median"] > 0 and not found["differ"] for found in rows)
    assert all(row["mb"] >= row["loaded_mb"] > 1 for row in loading["libraries"].values())


def test_fingerprints_tell_results_apart():
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    same, other, turned = (harness.fingerprint([2.5, a]) for a in (x.copy(), x + np.float32(1e-3), x.reshape(4, 3).T.copy()))
    first = harness.fingerprint([2.5, x])
    assert harness.difference(first, same) == 0 and harness.difference(first, other) > 1e-4 and harness.difference(first, turned) > 1e-2
    assert harness.difference(first, turned, drawn=True) < 1e-6  # the same numbers elsewhere: as good as any, if they are drawn
    assert harness.difference(first, harness.fingerprint([2.6, x])) > 0.03


def test_a_ratio_is_that_of_the_same_turns():
    ours = harness.summary([{"seconds": s, "waiting": w, "turn": t} for t, (s, w) in enumerate([(1.0, 0), (5.0, 0.5), (2.0, 0), (3.0, 0)])])
    theirs = harness.summary([{"seconds": s, "waiting": 0.0, "turn": t} for t, s in enumerate([2.0, 99.0, 6.0, 3.0])])
    found = harness.ratio(ours, theirs)
    assert found["median"] == 2.0 and found["turns"] == 3 and 1.0 <= found["p10"] < 2.0 < found["p90"] <= 3.0


def test_disturbed_blocks_are_thrown_away():
    blocks = [(1.0, 0.0), (9.0, 0.5), (2.0, 0.01), (3.0, 0.04)]
    summary = harness.summary([{"seconds": s, "waiting": w, "turn": t} for t, (s, w) in enumerate(blocks)])
    assert summary["seconds"] == 2.0 and summary["thrown_away"] == 1 and summary["undisturbed"]
    noisy = harness.summary([{"seconds": float(i), "waiting": 0.1 * i, "turn": i} for i in range(1, 6)])
    assert noisy["seconds"] == 2.0 and noisy["blocks"] == 3 and not noisy["undisturbed"]


def test_waiting_for_ones_own_threads_is_not_the_machines_fault():
    calm, crowded = [{"waiting": 0.01}, {"waiting": 0.0}], [{"waiting": 0.4}, {"waiting": 0.3}]
    assert harness.own_waiting({"calm": calm, "crowded": crowded}, rounds=2) == {"calm": 0.0, "crowded": 0.3}
    assert harness.own_waiting({"a": crowded, "b": crowded}, rounds=2) == {"a": 0.0, "b": 0.0}  # nobody was quiet: the machine


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

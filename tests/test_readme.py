"""The example in the README prints what the README says it prints."""

import doctest
import re
from pathlib import Path

import pytest

import transformer as tf
from minigrad.core import REGISTRY

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


SHOWN = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", README, re.DOTALL)
EXAMPLES = [(code, promised) for code, promised in SHOWN if "fetch" not in code]
FETCHING = [(code, promised) for code, promised in SHOWN if "fetch" in code]


@pytest.fixture(autouse=True)
def registry_unchanged():
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


@pytest.mark.parametrize("code, promised", EXAMPLES)
def test_example_prints_what_the_readme_says(code, promised, capsys):
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert NUMBER.sub("#", printed).split() == NUMBER.sub("#", promised).split()
    for got, said in zip(NUMBER.findall(printed), NUMBER.findall(promised)):
        if "e-" in said:  # an error that was measured: rounding, of another size on another processor
            assert float(got) < 1e-6 or float(got) == pytest.approx(float(said), rel=0.05)
        else:
            last_digit = 10.0 ** -len(said.partition(".")[2])  # another processor may round the last one otherwise
            assert float(got) == pytest.approx(float(said), abs=1.01 * last_digit), (got, said)


@pytest.mark.parametrize("page, examples", [("differences.md", 10), ("precision.md", 3)])
def test_the_examples_of_a_page_are_true(page, examples):
    found = doctest.testfile(str(ROOT / "docs" / page), module_relative=False)
    assert found.attempted > examples and found.failed == 0


def test_all_examples_are_found():
    assert len(SHOWN) == README.count("```python") == 4 and len(FETCHING) == 1


def small_model(folder):
    """A language model of characters in a folder, with its tokenizer."""
    tokenizer = tf.Vocabulary(sorted({*"Once upon a time"}))
    config = tf.LanguageModelConfig(tokenizer.vocab_size, 64, layers=1, heads=2, width=8, activation="gelu_tanh", end_ids=())
    model = tf.LanguageModel(config, seed=3)
    tf.save_pretrained(model, folder, tokenizer)
    return model, tokenizer


def test_the_example_that_fetches_a_model_writes_with_any(tmp_path, monkeypatch, capsys):
    model, tokenizer = small_model(tmp_path / "own")
    load = tf.fetch.load
    monkeypatch.setattr(tf.fetch, "load", lambda name: load({"smollm2": tmp_path / "own"}[name]))
    ((code, _),) = FETCHING
    exec(compile(code, "README.md", "exec"), {})
    ids = tokenizer.encode("Once upon a time")
    drawn = tf.generate(model, ids, 20, temperature=0.8, generator=1)
    both = tokenizer.decode([*ids, *tf.generate(model, ids, 20)])
    assert capsys.readouterr().out == tokenizer.decode(drawn) + "\n" + both[len("Once upon a time") :]


@pytest.mark.slow
@pytest.mark.skipif(tf.fetch.MODELS["smollm2"].path() is None, reason="the model was not fetched")
def test_the_example_that_fetches_a_model_writes_what_the_readme_says(capsys):
    pytest.importorskip("gguf")
    ((code, promised),) = FETCHING
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out + "\n" == promised


def test_a_folder_of_the_page_on_pretrained_models_is_read_and_written(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "pretrained.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    model, tokenizer = small_model("folder")
    found = {}
    exec(compile(code, "pretrained.md", "exec"), found)
    assert found["tokenizer"].encode("once") == tokenizer.encode("once")
    for folder in ("mine", "theirs", "both"):
        ids = tokenizer.encode("time")
        assert tf.generate(tf.from_pretrained(folder), ids, 5).tolist() == tf.generate(model, ids, 5).tolist()


def test_every_file_it_names_is_there():
    named = set(re.findall(r"[`(]((?:[\w.-]+/)+[\w.-]*|\w+\.md)[`)]", README))
    assert named >= {"ARCHITECTURE.md", "minigrad/core.py", "minigrad/ops/"}
    assert not [name for name in named if not (ROOT / name).exists()]

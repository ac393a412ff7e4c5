"""The tasks of the command line: each from one command to a complete run folder, on again after a stop, and good at the end."""

import json
import re
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest

from transformer import runs
from transformer.__main__ import main
from transformer.config import SequenceConfig, preset
from transformer.console import Report
from transformer.data import Batches
from transformer.generation import load_run
from transformer.models import Classifier, EncoderDecoder, RecurrentEncoderDecoder
from transformer.runs import Run
from transformer.tasks import TASKS, find, pairs
from transformer.tasks.base import Member
from transformer.tasks.sequences import SequenceTask, looking

SMALL = "--examples 60 --held-out 8 --layers 1 --heads 2 --width 8 --steps 6 --batch 4 --validate-every 3".split()
PNG = b"\x89PNG"


def train(task, folder, *more):
    width = ["--recurrent-width", "6"] if task == "dates" else []
    return main(["train", "--task", task, "--out", str(folder), *SMALL, *width, *more])


@pytest.mark.parametrize("task", ["dates", "translate", "copy", "reverse", "sort", "add"])
def test_a_sequence_task_from_one_command(task, tmp_path, capsys):
    folder = tmp_path / "run"
    assert train(task, folder) == 0
    said = capsys.readouterr().out
    words = "gradient descent", "Pairs: ", "step 3/6", "step 6/6", "exact", "examples/s", "Saved in", "Training: 6 steps of 4 examples"
    assert all(word in said for word in words)
    assert "held out: 8" in said and "held out." not in said and f"summary {folder}" in said
    assert len(said.split("step 3/6")[0].splitlines()) < 12  # what is learned is not far below the command
    looks = [line for line in said.splitlines() if line.startswith("step 6/6")]
    assert all(re.search(r"loss \d\.\d{4}  exact match[\w -]* \d+\.\d%", line) for line in looks) and looks
    members = ["", "lstm", "lstm-attention"] if task == "dates" else [""]
    for member in members:
        files = {path.name for path in (folder / member).iterdir() if path.is_file()}
        assert {"config.json", "model.safetensors", "tokenizer.json", "history.csv"} <= files
        assert Run(folder / member).checkpoints() == [6]
        assert ("attention.png" in files) == (member != "lstm")
    assert {"training.json", "data.json", "result.json", "learning.png"} <= {path.name for path in folder.iterdir()}
    assert all((folder / name).read_bytes().startswith(PNG) for name in ("learning.png", "attention.png"))
    result = runs.read_json(folder / "result.json")
    assert len(result["results"]) == len(members) and result["data_sha256"] == runs.read_json(folder / "data.json")["sha256"]
    looks = [name for name in result["results"]["transformer"] if name.startswith("exact_match")]
    assert looks == (["exact_match_seen_combinations", "exact_match_held-out_combinations"] if task == "translate" else ["exact_match"])
    model, tokenizer = load_run(folder)
    assert isinstance(model, EncoderDecoder) and model.config.source_vocab == tokenizer.vocab_size


@pytest.fixture(scope="module")
def dates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks") / "dates"
    assert train("dates", folder) == 0
    return folder


def test_it_answers_when_it_is_asked(dates, capsys):
    assert main(["sample", str(dates), "--prompt", "22-11-2026"]) == 0
    assert capsys.readouterr().out.count("\n") == 1
    assert main(["sample", str(dates / "lstm-attention"), "--prompt", "22-11-2026"]) == 0
    capsys.readouterr()
    for option, value in (("--temperature", "5"), ("--seed", "3"), ("--top-k", "2"), ("--min-p", "0.5"), ("--repetition-penalty", "2")):
        assert main(["sample", str(dates), "--prompt", "22-11-2026", option, value]) == 2
        assert f"{option} changes nothing of what the EncoderDecoder" in capsys.readouterr().err
    for prompt, words in (("ß", "The character 'ß' (U+00DF) at position 0 is not among the"), ("", "give it something with --prompt"),
                          ("1" * 99, "This model reads at most")):
        assert main(["sample", str(dates), "--prompt", prompt]) != 0
        assert words in capsys.readouterr().err


def test_its_table_from_the_shell(dates, capsys):
    assert main(["summary", str(dates)]) == 0
    assert "decoder.blocks.0.cross_attention" in capsys.readouterr().out
    assert isinstance(load_run(dates / "lstm")[0], RecurrentEncoderDecoder)


def test_attention_is_over_the_source_and_adds_up(dates):
    for member in ("", "lstm-attention"):
        wrote, weights = looking(*load_run(dates / member), "22-11-2026")
        assert weights.shape == (len(wrote), 11)  # with the sign of the end
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("task", ["translate", "sort"])
def test_what_is_compared_is_equally_large(task):
    config = SequenceConfig(**preset(SequenceConfig, task) | {"compare": True, "examples": 2000, "held_out": 20})
    sizes = [member.model.count_params() for member in SequenceTask(config, Report()).members]
    assert len(sizes) == 3 and max(sizes) < 1.01 * min(sizes)


def test_the_notes_say_how_large_those_of_the_dates_are():
    notes = (Path(__file__).parents[2] / "docs" / "notes.md").read_text(encoding="utf-8")
    members = SequenceTask(SequenceConfig(**preset(SequenceConfig, "dates")), Report()).members
    assert all(f"{member.model.count_params():,}" in notes for member in members)


@pytest.mark.parametrize("stop", [4, 9, 17])
def test_a_run_of_several_models_goes_on_where_it_stopped(dates, tmp_path, monkeypatch, capsys, stop):
    """The same bits in every model, whichever of the three was being trained."""
    usual, made = Batches.next, iter(range(1, 100))

    def with_signal(batches):
        if next(made) == stop:
            signal.raise_signal(signal.SIGINT)
        return usual(batches)

    with monkeypatch.context() as patch:
        patch.setattr(Batches, "next", with_signal)
        assert train("dates", tmp_path / "run") == 130
    assert "train --resume" in capsys.readouterr().err
    assert not (tmp_path / "run" / "result.json").exists()
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0
    files = [f"{member}/{file}" for member in ("", "lstm", "lstm-attention") for file in ("model.safetensors", "history.csv")]
    for name in (file.lstrip("/") for file in files):
        assert (tmp_path / "run" / name).read_bytes() == (dates / name).read_bytes(), name


def test_other_data_are_refused(dates, tmp_path, capsys):
    record = json.loads((dates / "data.json").read_text())
    try:
        (dates / "data.json").write_text(json.dumps(record | {"sha256": "0"}))
        assert main(["train", "--resume", str(dates)]) == 1
        assert "The data are not those that" in capsys.readouterr().err
    finally:
        (dates / "data.json").write_text(json.dumps(record))


@pytest.mark.parametrize("words, name", [
    ([], "text"), (["--task", "dates"], "dates"), (["--task=tabular"], "tabular"), (["--steps", "3", "--task", "sort"], "sort"),
    (["--task", "nothing"], "text"), (["--task"], "text"), (["--resume", "nowhere"], "text"),
])  # fmt: skip
def test_the_task_is_found_in_the_words(words, name):
    assert find(words)[0] is TASKS[name][0]


def test_the_task_of_a_run_is_found_in_its_folder(dates, capsys):
    assert find(["--resume", str(dates)])[0] is TASKS["dates"][0]
    for other in ("text", "copy", "tabular"):
        assert main(["train", "--resume", str(dates), "--task", other]) == 2
        assert f"is a run of the task dates, not of {other}" in capsys.readouterr().err


@pytest.mark.parametrize("words, message", [
    (["--task", "date"], "'date' is not known, did you mean dates?"), (["--task", "dates", "--text", "x"], "no option --text"),
    (["--task", "copy", "--examples", "0"], "--examples: 0 is not at least 1"),
    (["--task", "tabular", "--width", "3"], "no option --width"),
    (["--task", "tabular", "--clip", "3"], "no option --clip"), (["--task", "tabular", "--beta1", "0.5"], "no option --beta1"),
    (["--task", "copy", "--recurrent-width", "9"], "--recurrent-width changes nothing without --compare true"),
    (["--task", "add", "--heads", "3"], "--width 64 cannot be shared out among --heads 3"),
])  # fmt: skip
def test_mistakes(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *words]) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_more_pairs_than_there_are(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pairs, "PATIENCE", 1)
    assert main(["train", "--task", "add", "--out", str(tmp_path / "run")]) == 1
    assert "different pairs" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_every_task_explains_itself(capsys):
    for task in TASKS:
        with pytest.raises(SystemExit):
            main(["train", "--task", task, "--help"])
        shown = capsys.readouterr().out
        assert "--learning-rate" in shown and "--seed" in shown, task


def test_ablate_compares_what_is_left_out(tmp_path, capsys):
    (tmp_path / "rose.txt").write_text("A rose is a rose is a rose, and so on; no rose is a nose.\n" * 30)
    sizes = "--layers 1 --heads 1 --width 8 --block 8 --batch 2 --steps 4".split()
    assert main(["ablate", "--part", "mask", "--text", str(tmp_path / "rose.txt"), "--out", str(tmp_path / "run"), *sizes]) == 0
    said = capsys.readouterr().out
    assert "The same without mask" in said and "a word sees those after it" in said
    rows = [line.split("  ")[0].strip() for line in said.splitlines()]
    assert rows.count("whole") == rows.count("without mask") == 1
    assert (tmp_path / "run" / "ablate.png").read_bytes().startswith(PNG)
    results = runs.read_json(tmp_path / "run" / "result.json")["results"]
    assert [*results] == ["whole", "mask"] and all(np.isfinite([*row.values()]).all() for row in results.values())
    assert main(["ablate", "--part", "mask", "--text", str(tmp_path / "rose.txt"), "--out", str(tmp_path / "run"), *sizes]) == 1
    assert "name a new folder with --out" in capsys.readouterr().err
    assert main(["ablate", "--part", "head"]) == 2
    assert "choose all, mask, scale" in capsys.readouterr().err


@pytest.mark.parametrize("length", [60, 20])
def test_a_text_of_which_less_than_a_block_is_held_out(tmp_path, length):
    (tmp_path / "short.txt").write_text("abcde" * (length // 5))
    sizes = "--layers 1 --heads 1 --width 8 --block 12 --batch 2 --steps 2".split()
    assert main(["ablate", "--part", "norm", "--text", str(tmp_path / "short.txt"), "--out", str(tmp_path / "run"), *sizes]) == 0


# ---------------------------------------------------------------------------------------- what wants the extra `examples`


@pytest.mark.oracle
def test_tables_with_raw_and_normalized_inputs(tmp_path, capsys):
    pytest.importorskip("sklearn")
    assert main(["train", "--task", "tabular", "--out", str(tmp_path / "run"), "--splits", "3"]) == 0
    said = capsys.readouterr().out
    assert "adapt" in said and "running average" in said
    results = runs.read_json(tmp_path / "run" / "result.json")["results"]
    for data in ("wine", "breast cancer"):
        raw, adapted, batch = (results[f"{data}, {inputs}"] for inputs in ("raw", "Normalization", "BatchNormalization"))
        assert min(adapted["validation_accuracy"], batch["validation_accuracy"]) > raw["validation_accuracy"] + 0.2
        assert raw["non_learnable"] == 0 and adapted["non_learnable"] == batch["non_learnable"] == batch["learnable"] - raw["learnable"]
        assert adapted["learnable"] == raw["learnable"]
    model, tokenizer = load_run(tmp_path / "run" / "wine-normalization")
    assert isinstance(model, Classifier) and tokenizer is None and model.normalization.adapted
    for words in (["sample", str(tmp_path / "run")], ["summary", str(tmp_path / "run")]):
        assert main(words) == 1
        assert "name one of their folders" in capsys.readouterr().err
    assert main(["sample", str(tmp_path / "run" / "wine-raw"), "--prompt", "x"]) == 1
    assert "writes no text" in capsys.readouterr().err
    assert main(["summary", str(tmp_path / "run" / "wine-normalization")]) == 0
    assert "adapt" in capsys.readouterr().out


@pytest.mark.oracle
def test_statistics_come_from_training_rows_alone():
    pytest.importorskip("sklearn")
    from transformer.config import TabularConfig
    from transformer.console import Quiet
    from transformer.tasks.tabular import TabularTask

    task = TabularTask(TabularConfig(), Quiet())
    for table in task.tables:
        (training, _), (test, _) = table.split(1)
        assert len({row.tobytes() for row in training} & {row.tobytes() for row in test}) == 0
        member: Member = task._member(table, "Normalization", 1)
        np.testing.assert_allclose(member.model.normalization.mean.numpy(), training.mean(axis=0), rtol=1e-4)
        assert not np.allclose(member.model.normalization.mean.numpy(), table.x.mean(axis=0), rtol=1e-4)


@pytest.mark.oracle
def test_sentences_small(tmp_path, capsys):
    pytest.importorskip("django")
    sizes = "--layers 1 --heads 2 --width 8 --steps 4 --batch 4 --validate-every 2 --subwords 300".split()
    assert main(["train", "--task", "classify", "--out", str(tmp_path / "run"), *sizes]) == 0
    assert "most often taken for" in capsys.readouterr().out
    assert all((tmp_path / "run" / name).read_bytes().startswith(PNG) for name in ("learning.png", "confusion.png"))
    assert main(["sample", str(tmp_path / "run"), "--prompt", "Hoe laat is het?"]) == 0
    assert capsys.readouterr().out.count("%") == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["train", "--resume", str(tmp_path / "run"), "--steps", "6"]) == 0


# ----------------------------------------------------------------------------------------------------- what they promise


def results(task, tmp_path, *more):
    assert main(["train", "--task", task, "--out", str(tmp_path / "run"), *more]) == 0
    return runs.read_json(tmp_path / "run" / "result.json")


@pytest.mark.slow
@pytest.mark.parametrize("task", ["copy", "reverse", "sort", "add"])
def test_the_toys_are_learned_to_the_last(task, tmp_path):
    assert results(task, tmp_path)["results"]["transformer"]["exact_match"] == 1.0


@pytest.mark.slow
def test_dates_are_learned(tmp_path):
    assert results("dates", tmp_path, "--compare", "false")["results"]["transformer"]["exact_match"] >= 0.995


@pytest.mark.slow
def test_translation_holds_for_combinations_that_were_never_seen(tmp_path):
    found = results("translate", tmp_path)["results"]["transformer"]
    assert found["exact_match_seen_combinations"] >= 0.995
    assert found["exact_match_held-out_combinations"] >= 0.98
    assert found["chrF_held-out_combinations"] > 99


@pytest.mark.slow
def test_languages_are_told_apart(tmp_path):
    pytest.importorskip("django")
    found = results("classify", tmp_path)
    assert found["accuracy"] >= 0.95 and len(found["by_language"]) == 10 and min(found["by_language"].values()) > 0.8


@pytest.mark.slow
def test_each_part_is_for_something(tmp_path):
    """The numbers of `transformer ablate` on the default text."""
    assert main(["ablate", "--out", str(tmp_path / "run")]) == 0
    found = runs.read_json(tmp_path / "run" / "result.json")["results"]
    whole = found["whole"]
    assert found["mask"]["training_bits"] < 0.5 and found["mask"]["bits_from_the_past"] > whole["bits_from_the_past"] + 0.5
    assert found["scale"]["largest_weight_at_the_start"] > 2 * whole["largest_weight_at_the_start"]
    assert found["scale"]["training_bits"] > whole["training_bits"]
    for part in ("positions", "skip", "norm"):
        assert found[part]["bits_from_the_past"] > whole["bits_from_the_past"] + 0.2
    assert found["reverse, whole"]["exact_match"] == 1.0 and found["reverse, positions"]["exact_match"] < 0.1

"""A run that was stopped and went on is the run that never stopped: the same bits in weights and history."""

import os
import signal

import numpy as np
import pytest

import minigrad as mg
from transformer import runs
from transformer.__main__ import main
from transformer.data import BatchSampler
from transformer.generation import load_run
from transformer.runs import Run

TEXT = "".join(f"{number} bottles of beer on the wall, {number} bottles of beer.\n" for number in range(80))
SIZES = (
    "--layers 2 --heads 2 --width 12 --block 7 --batch 3 --dropout 0.2 --steps 20 --warmup 4 --validate-every 4 "
    "--validation-windows 5 --sample-every 6 --sample-tokens 5 --checkpoint-every 7 --keep 2"
).split()


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "bottles.txt"
    path.write_text(TEXT)
    return path


def train(text, folder, *more):
    return main(["train", "--text", str(text), "--out", str(folder), *SIZES, *more])


@pytest.fixture
def stop_after(monkeypatch):
    """Has Ctrl-C come while a certain step is made."""

    def arrange(step, number=signal.SIGINT):
        usual = BatchSampler.next

        def with_signal(sampler):
            if sampler.position == 3 * (step - 1):
                signal.raise_signal(number)
            return usual(sampler)

        monkeypatch.setattr(BatchSampler, "next", with_signal)

    return arrange


def contents(folder):
    return {name: (folder / name).read_bytes() for name in (runs.MODEL, runs.HISTORY, runs.TOKENIZER, runs.DATA)}


@pytest.mark.parametrize("stop", [10, 8, 1, 19])
def test_twenty_steps_are_ten_and_ten(tmp_path, text, monkeypatch, stop_after, capsys, stop):
    assert train(text, tmp_path / "straight") == 0
    with monkeypatch.context():
        stop_after(stop)
        assert train(text, tmp_path / "halved") == 130
    monkeypatch.undo()
    assert f"Stopped after step {stop}" in capsys.readouterr().err
    assert Run(tmp_path / "halved").checkpoints()[-1] == stop
    assert not (tmp_path / "halved" / runs.MODEL).exists()
    assert main(["train", "--resume", str(tmp_path / "halved")]) == 0
    assert contents(tmp_path / "halved") == contents(tmp_path / "straight")
    last = [
        Run(folder).load_checkpoint(20) for folder in (tmp_path / "halved", tmp_path / "straight")
    ]  # moments, generators, data position too
    for one, other in zip(last[0][:3], last[1][:3]):
        assert one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)
    assert last[0][3] | {"seconds": 0} == last[1][3] | {"seconds": 0}


def test_the_history_has_a_row_per_step_and_looks_where_they_were_asked_for(tmp_path, text):
    assert train(text, tmp_path / "run") == 0
    rows = runs.read_history(tmp_path / "run" / runs.HISTORY).rows
    assert [row["step"] for row in rows] == list(range(1, 21))
    assert [row["step"] for row in rows if row["validation_bits"] is not None] == [4, 8, 12, 16, 20]
    assert rows[0]["learning_rate"] < rows[3]["learning_rate"] > rows[-1]["learning_rate"]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert all(row["gradient_norm"] > 0 for row in rows)


def test_other_random_numbers_give_another_run(tmp_path, text):
    assert train(text, tmp_path / "one") == train(text, tmp_path / "two", "--seed", "2") == 0
    one, two = (runs.load(tmp_path / name / runs.MODEL) for name in ("one", "two"))
    assert any((one[name] != two[name]).any() for name in one)


@pytest.mark.filterwarnings("ignore:matmul_precision:RuntimeWarning")  # of CPUs without the instruction: the numbers are the same
def test_a_run_goes_on_in_the_precision_it_began_with(tmp_path, text, monkeypatch, stop_after, capsys):
    assert train(text, tmp_path / "float32") == 0
    assert train(text, tmp_path / "straight", "--matmul-precision", "bfloat16") == 0
    with monkeypatch.context():
        stop_after(10)
        assert train(text, tmp_path / "halved", "--matmul-precision", "bfloat16") == 130
    monkeypatch.undo()
    assert main(["train", "--resume", str(tmp_path / "halved"), "--matmul-precision", "float32"]) == 2
    assert "cannot change when a run goes on: it is bfloat16 there" in capsys.readouterr().err
    assert main(["train", "--resume", str(tmp_path / "halved")]) == 0
    assert contents(tmp_path / "halved") == contents(tmp_path / "straight")
    losses = [runs.read_history(tmp_path / name / runs.HISTORY)["train_loss"] for name in ("float32", "straight")]
    assert all(one != other and abs(one - other) < 0.05 * one for one, other in zip(*losses))
    assert mg.matmul_precision() == "float32"


def test_the_newest_checkpoints_are_kept(tmp_path, text):
    assert train(text, tmp_path / "run") == 0
    assert Run(tmp_path / "run").checkpoints() == [14, 20]


def test_a_request_to_terminate_saves_too(tmp_path, text, stop_after, capsys):
    stop_after(5, signal.SIGTERM)
    assert train(text, tmp_path / "run") == 128 + signal.SIGTERM
    assert Run(tmp_path / "run").checkpoints() == [5]
    assert "train --resume" in capsys.readouterr().err


def test_going_on_for_longer(tmp_path, text):
    assert train(text, tmp_path / "run") == 0
    assert main(["train", "--resume", str(tmp_path / "run"), "--steps", "25"]) == 0
    assert len(runs.read_history(tmp_path / "run" / runs.HISTORY)) == 25
    assert Run(tmp_path / "run").read_json(runs.TRAINING)["steps"] == 25


def test_a_finished_run_gives_its_report_again(tmp_path, text, capsys):
    assert train(text, tmp_path / "run") == 0
    before = contents(tmp_path / "run")
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert contents(tmp_path / "run") == before
    assert "this model" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--width", "24"], "--width cannot change when a run goes on: it is 12 there"),
        (["--steps", "10"], "--steps: 10 is less than the 20 steps"),
        (["--out", "elsewhere"], "--out cannot change"),
    ],
)
def test_what_cannot_change_is_refused(tmp_path, text, capsys, words, message):
    assert train(text, tmp_path / "run") == 0
    assert main(["train", "--resume", str(tmp_path / "run"), *words]) != 0
    assert message in capsys.readouterr().err


def test_another_text_is_refused(tmp_path, text, capsys):
    assert train(text, tmp_path / "run") == 0
    text.write_text(TEXT.replace("beer", "milk"))
    assert main(["train", "--resume", str(tmp_path / "run")]) == 1
    assert "not those" in capsys.readouterr().err


def test_the_text_may_have_moved(tmp_path, text):
    assert train(text, tmp_path / "run") == 0
    text.rename(tmp_path / "moved.txt")
    assert main(["train", "--resume", str(tmp_path / "run"), "--text", str(tmp_path / "moved.txt")]) == 0


def test_a_relative_text_is_found_from_elsewhere(tmp_path, text, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--text", text.name, "--out", "run", *SIZES]) == 0
    monkeypatch.chdir("/")
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0


def test_a_finished_run_that_goes_on_and_stops_is_sampled_from_where_it_stopped(tmp_path, text, stop_after):
    folder = tmp_path / "run"
    assert train(text, folder, "--steps", "4") == 0
    stop_after(9)
    assert main(["train", "--resume", str(folder), "--steps", "30"]) == 130
    assert not (folder / runs.RESULT).exists() and not (folder / "loss.png").exists()
    model, _ = load_run(folder)
    newest, *_ = Run(folder).load_checkpoint(9)
    assert all(np.array_equal(array, newest[name]) for name, array in model.state_dict().items())


def test_going_on_for_another_number_of_steps_says_so(tmp_path, text, capsys):
    assert train(text, tmp_path / "run", "--steps", "4") == 0
    capsys.readouterr()
    assert main(["train", "--resume", str(tmp_path / "run"), "--steps", "6"]) == 0
    assert "It was planned for 4 steps." in capsys.readouterr().out


def test_two_processes_do_not_train_in_one_folder(tmp_path, text, capsys):
    pytest.importorskip("fcntl")
    folder = tmp_path / "run"
    assert train(text, folder, "--steps", "4") == 0
    with Run(folder).alone():
        assert main(["train", "--resume", str(folder), "--steps", "6"]) == 1
    assert "Another process is training in" in capsys.readouterr().err
    assert main(["train", "--resume", str(folder), "--steps", "6"]) == 0


def test_a_file_name_that_is_no_text_can_be_learned(tmp_path):
    path = tmp_path / os.fsdecode(b"t\xff.txt")
    try:
        path.write_text(TEXT)
    except OSError:
        pytest.skip("this file system takes only names that are text")
    assert train(path, tmp_path / "run", "--steps", "4") == 0
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0


def test_a_folder_with_a_strange_number_is_no_checkpoint(tmp_path, text):
    assert train(text, tmp_path / "run", "--steps", "4") == 0
    (tmp_path / "run" / "checkpoint-²").mkdir()
    assert Run(tmp_path / "run").checkpoints() == [4]

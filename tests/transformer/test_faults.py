"""What can go wrong: one clear sentence, a non-zero exit code, and never a lost checkpoint."""

import errno
import json
import os
import shutil

import numpy as np
import pytest

from minigrad import storage
from transformer import runs
from transformer.__main__ import main
from transformer.errors import UserError
from transformer.history import History
from transformer.runs import Run

TEXT = "To be, or not to be, that is the question.\n" * 30
SMALL = (
    "--layers 1 --heads 2 --width 8 --block 8 --batch 2 --steps 6 --warmup 2 --validate-every 3 --sample-every 3 "
    "--sample-tokens 4 --checkpoint-every 2"
).split()


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "hamlet.txt"
    path.write_text(TEXT)
    return path


def train(text, folder, *more):
    return main(["train", "--text", str(text), "--out", str(folder), *SMALL, *more])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    (folder / "hamlet.txt").write_text(TEXT)
    assert train(folder / "hamlet.txt", folder / "run") == 0
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A finished run of one's own, to do harm to."""
    return Run(shutil.copytree(finished / "run", tmp_path / "run"))


def sentence(capsys):
    """What was said on standard error: one line, no traceback."""
    shown = capsys.readouterr().err
    assert "Traceback" not in shown and shown.count("\n") == 1, shown
    return shown


@pytest.fixture
def failing_write(monkeypatch):
    """Has the disk be full at the n-th file that is written."""

    def arrange(number):
        usual, count = os.fsync, iter(range(1, 10_000))

        def fsync(handle):
            if not os.path.isdir(f"/proc/self/fd/{handle}") and next(count) >= number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return usual(handle)

        monkeypatch.setattr(os, "fsync", fsync)

    return arrange


# 1 the probe, 2-7 what is known at the start, 8-12 and 14-18 and 20-24 checkpoints, each with the history after it, then the end
@pytest.mark.parametrize(
    ("number", "complete"),
    [(1, []), (3, []), (7, []), (8, []), (12, []), (13, [2]), (14, [2]), (17, [2]), (19, [2, 4]), (23, [2, 4]), (25, [4, 6]),
     (26, [4, 6]), (27, [4, 6]), (28, [4, 6]), (29, [4, 6]), (30, [4, 6])],
)  # fmt: skip
def test_a_full_disk_loses_no_checkpoint(
    tmp_path, text, finished, monkeypatch, failing_write, capsys, number, complete
):
    with monkeypatch.context():
        failing_write(number)
        assert train(text, tmp_path / "run") == 1
    monkeypatch.undo()
    assert "No space left on device" in sentence(capsys)
    run = Run(tmp_path / "run")
    assert run.checkpoints() == complete
    for step in complete:
        run.load_checkpoint(step)
    assert not list((tmp_path / "run").rglob("*" + runs.UNFINISHED))
    if complete:  # with space on the disk again it goes on, and ends where it would have ended
        assert main(["train", "--resume", str(run.folder)]) == 0
        for name in (runs.MODEL, runs.HISTORY):
            assert (run.folder / name).read_bytes() == (finished / "run" / name).read_bytes()


def test_the_operating_system_itself_refuses(tmp_path):
    """A real limit on the size of files, in the middle of a checkpoint."""
    resource = pytest.importorskip("resource")
    run = Run(tmp_path)
    small, large = {"w": np.ones(10, np.float32)}, {"w": np.ones(100_000, np.float32)}
    run.save_checkpoint(1, small, small, {}, {}, History([{"step": 1}]), keep=1)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, usual[1]))
    try:
        with pytest.raises(UserError, match=r"model\.safetensors cannot be written: File too large"):
            run.save_checkpoint(2, large, small, {}, {}, History([{"step": 1}]), keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert run.checkpoints() == [1] and (run.load_checkpoint(1)[0]["w"] == 1).all()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"]


def test_what_was_killed_while_writing_is_not_taken_for_a_checkpoint(run):
    for step in (8, 9):
        unfinished = run.folder / (f"checkpoint-{step}" + runs.UNFINISHED)
        unfinished.mkdir()
        (unfinished / runs.MODEL).write_bytes(b"half")
    assert run.checkpoints() == [4, 6]
    arrays = {"w": np.ones(3)}
    run.save_checkpoint(9, arrays, arrays, {}, {}, History(), keep=2)
    assert not [*run.folder.glob("*" + runs.UNFINISHED)]
    assert run.checkpoints() == [6, 9] and (run.load_checkpoint(9)[0]["w"] == 1).all()


def test_a_write_replaces_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "file"
    runs.write(path, b"old")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        runs.write(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("where", ["hamlet.txt/run", "hamlet.txt"])
def test_a_folder_that_cannot_be_made(tmp_path, text, capsys, where):
    assert train(text, tmp_path / where) == 1
    assert "cannot be written" in sentence(capsys)
    assert text.read_text() == TEXT


def test_a_folder_that_may_not_be_written(tmp_path, text, capsys, monkeypatch):
    usual = open

    def refuse(path, mode="r", *more):
        if "w" in mode and str(path).startswith(str(tmp_path / "run")):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return usual(path, mode, *more)

    monkeypatch.setattr(storage, "open", refuse, raising=False)
    assert train(text, tmp_path / "run") == 1
    assert "Permission denied" in sentence(capsys)


def test_a_folder_with_other_files_or_another_run(tmp_path, text, run, capsys):
    assert train(text, tmp_path) == 1
    assert "holds other files" in sentence(capsys)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    assert train(text, run.folder) == 1
    assert f"--resume {run.folder}" in sentence(capsys)
    assert before == {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}


def test_a_run_that_ended_before_its_first_checkpoint_begins_again(tmp_path, text, finished, capsys, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("transformer.tasks.text.baselines", stopped)
        assert train(text, tmp_path / "run") == 130
    assert "No checkpoint was made yet: begin again" in sentence(capsys)
    assert main(["train", "--resume", str(tmp_path / "run")]) == 1
    assert f"--out {tmp_path / 'run'}" in sentence(capsys)
    assert train(text, tmp_path / "run") == 0
    assert (tmp_path / "run" / runs.MODEL).read_bytes() == (finished / "run" / runs.MODEL).read_bytes()


@pytest.mark.parametrize("left", [runs.MODEL, "checkpoint-6"])
def test_what_was_learned_is_never_written_over(run, text, capsys, left):
    for path in run.folder.glob("checkpoint-*" if left == runs.MODEL else runs.MODEL):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert train(text, run.folder) == 1
    assert "holds a run already" in sentence(capsys) and (run.folder / left).exists()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the reference kernels say what the numbers did
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(tmp_path, text, capsys, monkeypatch):
    from transformer.training import Training

    usual = Training.advance

    def blow_up(trainer):
        if trainer.step == 4:
            trainer.model.positions.position_embeddings.assign(np.full((8, 8), np.nan))
        return usual(trainer)

    monkeypatch.setattr(Training, "advance", blow_up)
    assert train(text, tmp_path / "run") == 1
    said = sentence(capsys)
    assert "The loss is nan at step 5" in said and "checkpoint-4" in said and "--learning-rate" in said
    run = Run(tmp_path / "run")
    assert run.checkpoints() == [2, 4]
    assert all(np.isfinite(array).all() for array in run.load_checkpoint(4)[0].values())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_learning_rate_that_blows_up_by_itself(tmp_path, text, capsys):
    assert train(text, tmp_path / "run", "--learning-rate", "1e38", "--checkpoint-every", "1") == 1
    said = sentence(capsys)
    assert "stops here" in said and "at step" in said or "after step" in said
    for step in Run(tmp_path / "run").checkpoints():
        assert all(np.isfinite(array).all() for array in Run(tmp_path / "run").load_checkpoint(step)[0].values())


def damage(path, how):
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "noise":
        path.write_bytes(bytes(range(256)) * 4)


@pytest.mark.parametrize("how", ["missing", "cut", "empty", "noise"])
@pytest.mark.parametrize("name", [runs.MODEL, runs.OPTIMIZER, runs.STATE, runs.HISTORY])
def test_a_damaged_checkpoint_is_named_with_the_way_round_it(run, capsys, name, how):
    damage(run.checkpoint(6) / name, how)
    assert main(["train", "--resume", str(run.folder)]) == 1
    said = sentence(capsys)
    assert "checkpoint-6" in said
    assert "checkpoint-4" in said or "step 4" in said
    shutil.rmtree(run.checkpoint(6))
    assert main(["train", "--resume", str(run.folder)]) == 0


@pytest.mark.parametrize("how", ["missing", "cut", "empty", "noise"])
@pytest.mark.parametrize("name", [runs.CONFIG, runs.TOKENIZER, runs.MODEL])
def test_a_damaged_run_cannot_be_sampled_from(run, capsys, name, how):
    if (name, how) == (runs.MODEL, "missing"):
        for step in run.checkpoints():
            shutil.rmtree(run.checkpoint(step))
    damage(run.folder / name, how)
    assert main(["sample", str(run.folder)]) == 1
    assert str(run.folder) in sentence(capsys)


@pytest.mark.parametrize("name", [runs.TRAINING, runs.DATA])
@pytest.mark.parametrize("content", ["{}", "[]", '{"model": "other", "width": "wide"}', '{"task": "text", "width": "wide"}'])
def test_a_foreign_folder_is_refused(run, capsys, name, content):
    (run.folder / name).write_text(content)
    assert main(["train", "--resume", str(run.folder)]) in (1, 2)
    assert sentence(capsys)


def test_a_model_of_another_size_is_refused(run, capsys):
    for name in (runs.CONFIG, runs.TRAINING):
        (run.folder / name).write_text(json.dumps(run.read_json(name) | {"width": 16}))
    assert main(["sample", str(run.folder)]) == 1
    assert "does not belong" in sentence(capsys)
    assert main(["train", "--resume", str(run.folder)]) == 1
    assert "does not belong" in sentence(capsys)


def test_a_folder_that_is_no_run(tmp_path, text, capsys):
    for words in (["sample", str(tmp_path)], ["train", "--resume", str(tmp_path)]):
        assert main(words) == 1
        assert "is not the folder of a run" in sentence(capsys)


def test_an_unfinished_run_is_sampled_from_its_newest_checkpoint(run, capsys):
    (run.folder / runs.MODEL).unlink()
    assert main(["sample", str(run.folder), "--tokens", "3"]) == 0
    for step in run.checkpoints():
        shutil.rmtree(run.checkpoint(step))
    capsys.readouterr()
    assert main(["sample", str(run.folder)]) == 1
    assert "holds no model yet" in sentence(capsys)
    assert main(["train", "--resume", str(run.folder)]) == 1
    assert "no checkpoint to go on from" in sentence(capsys)


@pytest.mark.parametrize(("content", "word"), [(b"", "empty"), (b"short", "needs 9"), (b"\xff\xfe" * 99, "not UTF-8")])
def test_a_text_that_is_no_good_leaves_no_folder(tmp_path, capsys, content, word):
    (tmp_path / "t.txt").write_bytes(content)
    assert train(tmp_path / "t.txt", tmp_path / "run") == 1
    assert word in sentence(capsys)
    assert not (tmp_path / "run").exists()

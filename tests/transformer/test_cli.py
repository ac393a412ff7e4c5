"""The command line: options from one dataclass, mistakes with the nearest match, and both commands end to end."""

import dataclasses
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from transformer import runs
from transformer.__main__ import main
from transformer.config import PRESETS, SampleConfig, TextConfig, flag, parse, preset
from transformer.errors import UserError

ROOT = Path(__file__).parents[2]
TEXT = "A rose is a rose is a rose, and so on; no rose is a nose.\n" * 30
SMALL = (
    "--layers 1 --heads 2 --width 8 --block 8 --batch 2 --steps 6 --validate-every 3 --sample-every 3 "
    "--sample-tokens 9 --checkpoint-every 4"
).split()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "rose.txt").write_text(TEXT)
    assert main(["train", "--text", str(folder / "rose.txt"), "--out", str(folder / "run"), *SMALL]) == 0
    return folder / "run"


def test_every_field_is_an_option_with_help(capsys):
    with pytest.raises(SystemExit) as left:
        main(["train", "--help"])
    assert left.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for field in dataclasses.fields(TextConfig):
        assert flag(field.name) in shown
        assert field.metadata["help"] in shown


def test_every_preset_is_a_valid_config():
    for name in PRESETS:
        config, given = parse(TextConfig, "train", ["--preset", name])
        assert dataclasses.asdict(config) == preset(TextConfig, name)
        assert given == {"preset"}
    sizes = [preset(TextConfig, name) for name in PRESETS]
    assert all(one["width"] < other["width"] and one["steps"] < other["steps"] for one, other in zip(sizes, sizes[1:]))


def test_options_go_over_presets_and_spellings_are_equal():
    words = ["--preset", "tiny", "--learning_rate=0.5", "--tied", "false", "--width", "48"]
    config, given = parse(TextConfig, "train", words)
    assert (config.learning_rate, config.tied, config.width) == (0.5, False, 48)
    assert config.layers == preset(TextConfig, "tiny")["layers"]
    assert given == {"preset", "learning_rate", "tied", "width"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stepz", "3"], "no option --stepz, did you mean --steps?"),
        (["--stepz=3"], "no option --stepz, did you mean --steps?"),
        (["--step", "3"], "no option --step, did you mean --steps?"),
        (["--learning-rat", "3"], "did you mean --learning-rate?"),
        (["--qqq"], "no option --qqq; transformer train --help lists all options"),
        (["--preset", "smal"], "'smal' is not known, did you mean small?"),
        (["--preset", "q"], "'q' is not known; choose tiny, small, base"),
        (["--steps", "many"], "--steps: 'many' is not a whole number"),
        (["--steps", "1.5"], "--steps: '1.5' is not a whole number"),
        (["--steps", "0"], "--steps: 0 is not at least 1"),
        (["--steps"], "--steps: expected one argument"),
        (["--dropout", "1"], "--dropout: 1.0 is not below 1"),
        (["--learning-rate", "0"], "--learning-rate: 0.0 is not above 0"),
        (["--learning-rate", "nan"], "--learning-rate: nan is not a finite number"),
        (["--final-rate", "2"], "--final-rate: 2.0 is not at most 1"),
        (["--tied", "maybe"], "--tied: 'maybe' is not true or false"),
        (["--width", "10", "--heads", "3"], "--width 10 cannot be shared out among --heads 3"),
        (["folder"], "'folder' stands where no value is expected; transformer train --help"),
        (["-"], "'-' stands where no value is expected"),
        (["--s", "3"], "did you mean --seed or --steps or --sample-every?"),
        (["--val", "3"], "no option --val, did you mean --validate-every or --validation-windows?"),
    ],
)
def test_a_mistake_is_named_before_any_work(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and message in shown.err and shown.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["sampel"], 2, "no command sampel, did you mean sample?"),
        (["xyz"], 2, "no command xyz; there are train, sample, summary, ablate, fetch"),
        (["sample"], 2, "required: RUN"),
        (["sample", "nowhere"], 1, "There is no model nowhere: no such folder or file exists; by name there are minilm and smollm2."),
        (["sample", "smolm2"], 1, "There is no model smolm2, did you mean smollm2?"),
        (["sample", "nowhere", "Once upon"], 2, "'Once upon' stands where no value is expected; a text is given with --prompt, in quot"),
        (["sample", "nowhere", "--temp", "0"], 2, "no option --temp, did you mean --temperature?"),
        (["sample", "nowhere", "--top", "3"], 2, "no option --top, did you mean --top-k or --top-p?"),
        (["sample", "nowhere", "--stream"], 2, "no option --stream; text is written as it comes, always."),
        (["generate", "nowhere", "--max_tokens=3"], 2, "no option --max-tokens; how many tokens are written is --tokens."),
        (["sample", "nowhere", "--top-p", "0"], 2, "--top-p: 0.0 is not above 0"),
        (["sample", "nowhere", "--temperature", "-1"], 2, "--temperature: -1.0 is not at least 0"),
        (["sample", "nowhere", "--tokens", "0"], 2, "--tokens: 0 is not at least 1"),
        (["sample", "nowhere", "--top-k", "0"], 2, "--top-k: 0 is not at least 1"),
        (["sample", "nowhere", "--top-p", "1.5"], 2, "--top-p: 1.5 is not at most 1"),
        (["sample", "nowhere", "--min-p", "-0.1"], 2, "--min-p: -0.1 is not at least 0"),
        (["sample", "nowhere", "--repetition-penalty", "0"], 2, "--repetition-penalty: 0.0 is not above 0"),
        (["sample", "nowhere", "--temperature", "0", "--top-p", "0.5"], 2, "--top-p changes nothing with --temperature 0."),
        (["sample", "nowhere", "--temprature", "1"], 2, "did you mean --temperature?"),
        (["train", "--resume", "nowhere"], 1, "There is no run at nowhere"),
        (["train", "--text", "nowhere.txt"], 1, "There is no text at nowhere.txt"),
    ],
)
def test_other_mistakes(words, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == code
    shown = capsys.readouterr().err
    assert message in shown and shown.count("\n") == 1


def test_a_config_is_checked_from_python_too():
    with pytest.raises(UserError, match="--temperature: -2 is not at least 0"):
        SampleConfig(run="r", temperature=-2)


def test_without_a_command_it_says_what_there_is(capsys):
    assert main([]) == 2 and main(["--help"]) == 0
    assert "transformer train" in capsys.readouterr().out


def test_training_says_what_it_does(tmp_path, capsys):
    (tmp_path / "rose.txt").write_text(TEXT)
    assert main(["train", "--text", str(tmp_path / "rose.txt"), "--out", str(tmp_path / "run"), *SMALL]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "LanguageModel" and lines[1].startswith("layer (type)")  # the table is first
    shown = "\n".join(lines)
    for word in ("1,740 characters", "step 3/6", "step 6/6", "validation", "tokens/s", "  │ ", "3-gram", "lzma"):
        assert word in shown
    assert "\x1b" not in shown  # no colours and no bars where nobody looks
    table = [line.split() for line in lines if line.split()[:2] == ["this", "model"]]
    assert float(table[0][-1]) == pytest.approx(
        runs.read_json(tmp_path / "run" / runs.RESULT)["validation_bits_per_character"], abs=5e-4
    )
    assert f"sample {tmp_path / 'run'}" in lines[-1]


def test_the_run_folder_is_complete(run):
    assert {path.name for path in run.iterdir()} == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "training.json", "history.csv", "data.json",
        "baselines.json", "result.json", "loss.png", "checkpoint-4", "checkpoint-6",
    }  # fmt: skip
    assert (run / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert len(runs.read_json(run / "data.json")["sha256"]) == 64
    result = runs.read_json(run / "result.json")
    assert result["non_learnable_parameters"] == 0 and result["learnable_parameters"] > 100
    assert len(result["baselines"]) == 9


def sample(run, capsys, *words):
    assert main(["sample", str(run), *words]) == 0
    return capsys.readouterr().out


def test_sampling_is_seeded_and_goes_on_from_the_prompt(run, capsys):
    one = sample(run, capsys, "--prompt", "A rose", "--tokens", "30", "--seed", "7")
    assert one.startswith("A rose") and len(one) == len("A rose") + 30 + 1
    assert one == sample(run, capsys, "--prompt", "A rose", "--tokens", "30", "--seed", "7")
    assert one != sample(run, capsys, "--prompt", "A rose", "--tokens", "30", "--seed", "8")
    assert len(sample(run, capsys, "--tokens", "5")) == 5 + 1


def test_which_characters_may_be_drawn(run, capsys):
    likeliest = sample(run, capsys, "--temperature", "0", "--tokens", "20")
    for words in (("--top-k", "1"), ("--top-p", "0.0001"), ("--min-p", "1")):
        assert sample(run, capsys, *words, "--temperature", "2", "--tokens", "20") == likeliest
    varied = sample(run, capsys, "--temperature", "0", "--repetition-penalty", "50", "--tokens", "20")
    assert len(set(varied)) > len(set(likeliest))


def test_temperature_zero_needs_no_seed(run, capsys):
    texts = {sample(run, capsys, "--temperature", "0", "--tokens", "20", "--seed", seed) for seed in "123"}
    assert len(texts) == 1


def test_an_unknown_character_in_the_prompt(run, capsys):
    assert main(["sample", str(run), "--prompt", "A röse"]) == 1
    assert "'ö' (U+00F6) at position 3" in capsys.readouterr().err


def test_default_folders_are_numbered(tmp_path, monkeypatch):
    (tmp_path / "rose.txt").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["train", "--preset", "tiny", "--text", "rose.txt", *SMALL]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["tiny", "tiny-2"]


@pytest.mark.parametrize("text", ["a rose is a rose.\n" * 40, "- 你好吗" * 60, "--- -- -.. " * 40, "z" * 300])
def test_the_command_that_is_said_at_the_end_works(text, tmp_path, capsys):
    (tmp_path / "own.txt").write_text(text, encoding="utf-8")
    assert main(["train", "--text", str(tmp_path / "own.txt"), "--out", str(tmp_path / "run"), *SMALL]) == 0
    said = capsys.readouterr().out
    assert "-0.000" not in said
    words = shlex.split("\n".join(said.split("Write text with it:")[1:]))
    assert main(words[words.index("sample") :]) == 0


def python(*words, **more):
    return [sys.executable, "-m", "transformer", *words], {
        "env": {**os.environ, "PYTHONPATH": str(ROOT)}, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more
    }  # fmt: skip


def test_the_module_is_the_program_and_text_streams(run):
    words, more = python("sample", str(run), "--tokens", "5000", "--prompt", "A ", text=True)
    with subprocess.Popen(words, **more) as process:
        assert process.stdout.read(5).startswith("A ")
        assert process.poll() is None  # five characters are out, and it is still at work
        process.stdout.close()  # whoever read has had enough
        assert process.wait(60) == 0
        assert process.stderr.read() == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
@pytest.mark.parametrize("words", [("sample", "{run}", "--tokens", "5"), ("--help",)], ids=["sample", "help"])
def test_a_full_disk_is_one_sentence(words, run):
    with open("/dev/full", "w") as full:
        words, more = python(*(word.format(run=run) for word in words), text=True, stdout=full)
        done = subprocess.run(words, **more)
    assert (done.returncode, done.stderr) == (1, "transformer: No space is left where this is written.\n")


def test_a_checkpoint_says_that_it_is_one(run, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    assert main(["sample", str(folder), "--tokens", "5"]) == 0
    whole = capsys.readouterr()
    (folder / runs.MODEL).unlink()
    assert main(["sample", str(folder), "--tokens", "5"]) == 0
    said = capsys.readouterr()
    assert said.out == whole.out and whole.err == ""
    assert said.err == f"transformer: the training of {folder} is not complete: this is its checkpoint of step 6.\n"


def test_a_real_ctrl_c(tmp_path):
    (tmp_path / "rose.txt").write_text(TEXT)
    where = ["--text", str(tmp_path / "rose.txt"), "--out", str(tmp_path / "run")]
    words, more = python("train", *where, *SMALL, "--steps", "1000000", text=True)
    with subprocess.Popen(words, **more) as process:
        while not process.stdout.readline().startswith("step"):
            assert process.poll() is None, process.stderr.read()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors and "train --resume" in errors
    assert (tmp_path / "run").is_dir() and list((tmp_path / "run").glob("checkpoint-*"))

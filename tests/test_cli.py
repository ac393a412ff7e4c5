"""`python -m minigrad`: what it prints and the exit code it ends with."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import checks
from minigrad.__main__ import main
from minigrad.core import REGISTRY, op
from minigrad.ops.samples import Sample
from tests.helpers import OPS

ROOT = Path(__file__).parent.parent


@pytest.fixture
def own_ops():
    """Undeclares what a test declares."""
    known = set(REGISTRY)
    yield
    for name in set(REGISTRY) - known:
        del REGISTRY[name]


def declared(name, rule, forward=lambda x, /: abs(x) * x * x, points=(1.0, 2.0)):
    forward.__name__ = name
    function = op(samples=lambda rng: [Sample((np.array(points),), note="two points")])(forward)
    function.vjp(rule)


def test_right_ops_pass(capsys):
    assert main(["gradcheck", "exp", "softmax"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["op", "samples", "first", "order", "second", "order", "forward", "mode"]
    assert [line.split()[0] for line in lines[1:3]] == ["exp", "softmax"] and lines[1].endswith("ok")
    assert all(float(number) < 1e-7 for line in lines[1:3] for number in line.split()[2:5])
    count = sum(len(list(REGISTRY[name].samples(np.random.default_rng(1)))) for name in ("exp", "softmax"))
    assert lines[-1] == f"2 ops, {count} samples: passed"


def test_a_wrong_rule_ends_with_1_and_is_explained(own_ops, capsys):
    declared("cube_of_size", lambda g, _, x: (mg.multiply(g, mg.multiply(mg.square(x), 3.001)),))
    assert main(["gradcheck", "exp", "cube_of_size"]) == 1
    out = capsys.readouterr().out
    assert "WRONG" in out and "2 ops" in out and out.rstrip().endswith("wrong")
    assert "cube_of_size, sample 0 (two points): gradcheck: cube_of_size: the gradient of x is wrong at 2 of 2 places" in out


def test_a_rule_that_raises_is_wrong_too(own_ops, capsys):
    declared("cube_of_size", lambda g, _, x: (mg.sum(g),))
    assert main(["gradcheck", "cube_of_size"]) == 1
    assert "returned a gradient of shape ()" in capsys.readouterr().out
    declared("cube_of_size", lambda g, _, x: 1 / 0)
    assert main(["gradcheck", "cube_of_size"]) == 1
    assert "cube_of_size, sample 0 (two points): raises ZeroDivisionError: division by zero" in capsys.readouterr().out


def test_nothing_to_be_said_ends_with_2(own_ops, capsys):
    declared("size", lambda g, _, x: (mg.multiply(g, mg.sign(x)),), forward=lambda x, /: abs(x), points=(0.0, 1.0))
    assert main(["gradcheck", "size"]) == 2
    out = capsys.readouterr().out
    assert "inconclusive" in out and "near a kink of x at index (0,)" in out
    declared("size", lambda g, _, x: (g,), forward=lambda x, /: x + 0.0, points=(0, 1))
    assert main(["gradcheck", "size"]) == 2
    assert "no sample has a floating array" in capsys.readouterr().out


@pytest.mark.parametrize("words, message", [
    (["gradcheck", "sofmax"], "there is no op 'sofmax'; did you mean softmax"),
    (["gradcheck", "qqqq"], "there is no op 'qqqq'; python -m minigrad ops lists them."),
    (["gradcheck", "argmax"], "argmax: there is nothing to check, it has no gradient"),
    (["gradcheck", "nowhere.at_all:f"], "there is no module 'nowhere.at_all' to import"),
    (["gradcheck", "math:no_such"], "the module math has no function no_such"),
    (["gradcheck", "math:sin"], "sin: no samples to check it on"),
    (["gradcheck", "../here:f"], "a module is named from the top"),
    (["gradcheck", "--import", "nowhere", "exp"], "there is no module 'nowhere'"),
    (["ops", "sofmax"], "did you mean softmax"),
])  # fmt: skip
def test_mistakes_end_with_2_and_one_line(words, message, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["gradchek"], ["gradcheck", "--no-such-option"]])
def test_unknown_words_end_with_2(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2 and "usage: python -m minigrad" in capsys.readouterr().err


def test_help_tells_the_exit_codes(capsys):
    with pytest.raises(SystemExit):
        main(["gradcheck", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "0 if everything agrees, 1 if a derivative is wrong, 2 if nothing could be said" in text


@pytest.fixture
def module(tmp_path, monkeypatch, own_ops):
    """A module of a user: an op of its own, and a plain function with samples."""
    (tmp_path / "my_own_ops.py").write_text(textwrap.dedent("""
        import numpy as np
        import minigrad as mg
        from minigrad.ops.samples import Sample

        @mg.op(samples=lambda rng: [Sample((rng.standard_normal(3),))])
        def tripled(x, /):
            return x * 3

        @tripled.vjp
        def _(g, _, x):
            return (mg.multiply(g, 3.0),)

        def loss(x, w, power=2):
            return ((x @ w) ** power).sum()

        loss.samples = lambda rng: [Sample((rng.standard_normal((2, 3)), rng.standard_normal(3)), {"power": 3})]
    """))
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("my_own_ops", None)


def test_long_names_leave_the_columns_where_they_are(capsys):
    assert main(["ops"]) == 0
    lines = capsys.readouterr().out.splitlines()
    short = next(line for line in lines if line.startswith("isnan("))
    long = next(number for number, line in enumerate(lines) if line.startswith("isclose("))
    assert lines[long].endswith(")") and lines[long + 1].strip()
    assert [lines[long + 1].index(word) for word in ("(...)", "Whether")] == [short.index(word) for word in ("(...)", "Whether")]



def test_ops_and_functions_of_a_user_are_checked(module, capsys):
    assert main(["gradcheck", "--import", "my_own_ops", "tripled", "my_own_ops:tripled", "my_own_ops:loss"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["tripled", "tripled", "loss"]
    assert main(["ops", "--import", "my_own_ops", "tripled"]) == 0


def test_every_op_is_listed_with_signature_shapes_and_formula(capsys):
    assert main(["ops"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("(")[0] for line in lines if not line.startswith(" ")] == list(REGISTRY)
    sigmoid = next(line for line in lines if line.startswith("sigmoid("))
    assert "(...) -> (...)" in sigmoid and "1 / (1 + exp(-x))" in sigmoid


def test_the_database_of_the_command_is_that_of_the_tests():
    assert {o.name for o in checks.checkable()} >= {o.name for o in OPS if o.has_gradient and o.samples}


def test_it_is_a_command_of_the_shell():
    run = lambda *words: subprocess.run([sys.executable, "-m", "minigrad", *words], cwd=ROOT, capture_output=True, text=True)
    done = run("gradcheck", "tanh")
    assert done.returncode == 0 and done.stdout.rstrip().endswith("samples: passed") and done.stderr == ""
    assert run("gradcheck", "no_such_op").returncode == 2

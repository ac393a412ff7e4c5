"""The example in the README prints what the README says it prints."""

import doctest
import re
from pathlib import Path

import pytest

from minigrad.core import REGISTRY

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


EXAMPLES = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", README, re.DOTALL)


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
    assert len(EXAMPLES) == README.count("```python") == 3


def test_every_file_it_names_is_there():
    named = set(re.findall(r"[`(]((?:[\w.-]+/)+[\w.-]*|\w+\.md)[`)]", README))
    assert named >= {"ARCHITECTURE.md", "minigrad/core.py", "minigrad/ops/"}
    assert not [name for name in named if not (ROOT / name).exists()]

"""What is installed is what setup.cfg promises: names, extras, the command, the marker of typed packages."""

import configparser
import importlib.metadata
import re
from pathlib import Path

import pytest

import minigrad
import transformer

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def distribution():
    return importlib.metadata.distribution("minigrad")


def config():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def test_core_needs_numpy_and_numba_only(distribution):
    core = {re.match(r"[\w-]+", line)[0] for line in distribution.requires if "extra ==" not in line}
    assert core == {"numpy", "numba"}


def test_extras(distribution):
    assert set(distribution.metadata.get_all("Provides-Extra")) == {
        "train", "examples", "gguf", "test", "oracle", "bench", "docs", "dev"}


@pytest.mark.parametrize("extra, names", [
    ("train", {"safetensors", "rich", "matplotlib", "tokenizers"}),
    ("oracle", {"torch==2.13.0", "jax", "keras", "transformers", "sacrebleu"}),
])
def test_what_an_extra_brings(extra, names):
    lines = config()["options.extras_require"][extra].split("\n")
    assert {line if "==" in line else re.match(r"[\w-]+", line)[0] for line in lines if line} == names


def test_command(distribution):
    (command,) = [entry for entry in distribution.entry_points if entry.group == "console_scripts"]
    assert (command.name, command.value) == ("transformer", "transformer.__main__:main")
    assert callable(command.load())


def test_version(distribution):
    assert distribution.version == minigrad.__version__


@pytest.mark.parametrize("package", [minigrad, transformer])
def test_typed_marker_stands_beside_the_package(package):
    assert (Path(package.__file__).parent / "py.typed").exists()
    assert "py.typed" in config()["options.package_data"][package.__name__]


def test_every_folder_with_code_is_a_package():
    """A folder without ``__init__.py`` works from the source tree and is missing from the wheel."""
    folders = {path.parent for name in ("minigrad", "transformer") for path in (ROOT / name).rglob("*.py")}
    assert not [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()]


def test_back_end_is_all_that_pyproject_says():
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3 and lines[2] == 'build-backend = "setuptools.build_meta"'


def test_readme_has_the_two_commands():
    """.ci/run takes the second from the README, so it must stand there once, alone on its line."""
    lines = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if "-m venv" in line]
    assert [line.rpartition("/")[2] for line in lines] == ["transformer train", "pytest -n 2"]
    assert all(line.startswith("python3 -m venv ") for line in lines)
    assert "grep -E '^python3 -m venv .*/pytest -n 2$' README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")

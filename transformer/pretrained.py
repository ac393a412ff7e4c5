"""Models in folders, in the layout of Hugging Face: `config.json`, `model.safetensors`, `tokenizer.json`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.layer import Layer
from transformer import runs
from transformer.errors import UserError
from transformer.models import MODELS


def save_pretrained(model: Layer, folder: str | Path, tokenizer: Any = None) -> None:
    """Write a model into a folder: its weights, its config where it has one, and the tokenizer it was trained with.

    A model of this package can be built again from that, by `from_pretrained`. Of one of your own only the weights are kept: build it
    as before, and `minigrad.load(folder + "/model.safetensors", into=model)`. An encoder-decoder has one tokenizer for both sides;
    its ``pad`` is the model's ``pad_id``, and the ``ignore_index`` of the loss that it learns by.
    """
    folder = Path(folder)
    with runs.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if type(model) in {model_class for model_class, _ in MODELS.values()}:
        save_config(model, folder)
    if tokenizer is not None:
        runs.write(folder / runs.TOKENIZER, tokenizer.to_json().encode())
    runs.save(folder / runs.MODEL, model.state_dict())


def save_config(model: Any, folder: Path) -> None:
    """Write what a model can be built from again; `UserError` where that is a function."""
    config = dataclasses.asdict(model.config)
    for name, value in config.items():
        if callable(value):
            raise UserError(f"{folder / runs.CONFIG} holds no functions, and this model has one for {name}: give its name, as a word.")
    runs.write_json(folder / runs.CONFIG, {"architectures": [type(model).__name__], "model_type": "minigrad", **config})


def from_pretrained(folder: str | Path) -> Layer:
    """The model of a folder that `save_pretrained` wrote, or of a run.

    Raises `UserError`, one sentence with the file, where one is missing, damaged, of an unknown architecture, or where the weights
    are those of another config.

    >>> import tempfile
    >>> from transformer import Encoder, EncoderConfig
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_pretrained(Encoder(EncoderConfig(vocab_size=9, width=8, heads=2, layers=1)), folder)
    ...     from_pretrained(folder).config.vocab_size
    9
    """
    folder = Path(folder)
    check_config(folder)
    model = build(folder / runs.CONFIG)
    load_weights(model, folder / runs.MODEL)
    return model


def check_config(folder: Path) -> None:
    """Say what to do where weights lie without the config of their model."""
    weights = folder / runs.MODEL
    if (folder / runs.CONFIG).is_file() or not weights.is_file():
        return
    if (folder.parent / runs.CONFIG).is_file():
        raise UserError(f"{folder} is a checkpoint of {folder.parent}: name that folder.")
    raise UserError(
        f"{folder / runs.CONFIG} is missing. Of a model of your own only the weights are kept: build it as before, then "
        f'minigrad.load("{weights}", into=model).'
    )


def build(path: Path) -> Any:
    """The model that a `config.json` describes, with new weights."""
    config = runs.read_json(path)
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names else names
    if not isinstance(name, str) or name not in MODELS:
        raise UserError(f"{path} describes a model of the architecture {name!r}; there are {', '.join(MODELS)}.")
    model_class, config_class = MODELS[name]
    fields = {key: value for key, value in config.items() if key not in ("architectures", "model_type")}
    try:
        return model_class(config_class(**fields))
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged, or of another version: {error}") from error


def load_weights(model: Any, path: Path) -> None:
    """Take a new model's weights from a file; `UserError` where they are none of this model, or no finite floating point numbers.

    What is not finite in the new model either, as a mean that is not known yet, may stay so.
    """
    arrays, new = runs.load(path), model.state_dict()
    for name, array in arrays.items():
        finite = array.dtype.kind == "f" and (np.isfinite(array).all() or np.array_equal(array, new.get(name, ()), equal_nan=True))
        if not finite:
            what = f"numbers that are not finite in {name}" if array.dtype.kind == "f" else f"{array.dtype} in {name}"
            raise UserError(f"{path} holds no weights, which are finite floating point numbers, but {what}.")
    try:
        model.load_state_dict(arrays)
    except (KeyError, TypeError, ValueError) as error:  # names and shapes that do not fit
        raise UserError(f"{path} does not belong to the {runs.CONFIG} beside it: {error}") from error

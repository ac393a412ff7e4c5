"""Models in folders, in the layout of Hugging Face: `config.json`, `model.safetensors`, `tokenizer.json`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.initializers import undrawn
from minigrad.layer import Layer
from transformer import runs
from transformer.errors import UserError
from transformer.models import MODELS
from transformer.pretrained import files, translation
from transformer.pretrained.families import FAMILIES
from transformer.tokenizers import load_tokenizer, tokenizer_files

MODULES, POOLING = "modules.json", "1_Pooling"  # how sentence-transformers says what one vector per text is made of


def save_pretrained(model: Layer, folder: str | Path, tokenizer: Any = None, family: str | None = None) -> None:
    """Write a model into a folder: its weights, its config where it has one, and the tokenizer it was trained with.

    A model of this package can be built again from that, by `from_pretrained`. Of one of your own only the weights are kept: build it
    as before, and `minigrad.load(folder + "/model.safetensors", into=model)`. An encoder-decoder has one tokenizer for both sides;
    its ``pad`` is the model's ``pad_id``, and the ``ignore_index`` of the loss that it learns by. Without one, that of the folder stays.

    A model that lies in the folder is replaced as a whole: cut off at any moment, there is the old one, the new one, or no config, without
    which nothing is read; never the config of the one with the weights of the other.

    A tokenizer of more ids than the model knows is refused, that of the folder too where it would stay.

    With a ``family`` ("gpt2", "bert", "t5", "bart", "marian", "llama", "mistral" or "qwen2") config and weights are written as that family
    has them, and Hugging Face's transformers reads the folder too. Raises `UserError` where the family has no words for something in the
    model; nothing is written then.
    """
    if not isinstance(model, Layer) or not (tokenizer is None or hasattr(tokenizer, "to_json")):
        raise TypeError(
            'save_pretrained: takes a model, its folder and its tokenizer: save_pretrained(model, "folder", tokenizer, family="gpt2"). '
            f"Received: {model!r:.60}, {folder!r:.60}, {tokenizer!r:.60}."
        )
    folder = runs.named(folder, "save_pretrained")
    if family is not None and family not in FAMILIES:
        raise UserError(f"save_pretrained: family is one of {', '.join(FAMILIES)}. Received: {family!r}.")
    there = _tokenizer_there(model, folder, tokenizer)
    content: Files = {} if tokenizer is None else tokenizer_files(tokenizer)
    content |= {files.INDEX: None}  # of a model in parts that lay there
    if family is not None:
        start = getattr(there, "start", None)
        words, weights = translation.written(FAMILIES[family], model, folder, start if isinstance(start, int) else None)
        content |= {**_pooling_files(model), runs.MODEL: weights, runs.CONFIG: runs.json_bytes(words)}
    else:
        built = type(model) in {model_class for model_class, _ in MODELS.values()}
        config = runs.json_bytes(_words(model, folder)) if built else None
        content |= {runs.MODEL: runs.filling(folder / runs.MODEL, model.state_dict()), runs.CONFIG: config}
    runs.write_together(folder, content)


def _tokenizer_there(model: Any, folder: Path, tokenizer: Any) -> Any:
    """The tokenizer that the folder will hold, the one given or else the one there; `UserError` where the model knows fewer ids."""
    known, whose = known_ids(model), "the tokenizer that is given"
    if known is None:
        return tokenizer
    if tokenizer is None:
        whose = f"the tokenizer of {folder}, which stays unless another one is given,"
        with contextlib.suppress(UserError):  # there is none, or none that can be read
            tokenizer = load_tokenizer(folder)
    if tokenizer is not None and tokenizer.vocab_size > known:
        raise UserError(
            f"save_pretrained: {whose} has {tokenizer.vocab_size} ids, and the model knows {known}. Give the one that the model learned "
            "by, or name another folder."
        )
    return tokenizer


def known_ids(model: Any) -> int | None:
    """The number of ids that a model knows, the larger one of two vocabularies; None where no config says it."""
    config = getattr(model, "config", None)
    names = [field.name for field in dataclasses.fields(config) if "vocab" in field.name] if dataclasses.is_dataclass(config) else []
    return max((getattr(config, name) for name in names), default=None)


Files = dict[str, Any]  # their contents by name; without the last one, the config, nothing is read


def save_config(model: Any, folder: Path) -> None:
    """Write what a model can be built from again; `UserError` where that is a function."""
    runs.write_json(folder / runs.CONFIG, _words(model, folder))


def _words(model: Any, folder: Path) -> dict[str, Any]:
    """What `config.json` holds of a model of this package."""
    config = dataclasses.asdict(model.config)
    for name, value in config.items():
        if callable(value):
            raise UserError(f"{folder / runs.CONFIG} holds no functions, and this model has one for {name}: give its name, as a word.")
    return {"architectures": [type(model).__name__], "model_type": "minigrad", **config}


def from_pretrained(folder: str | Path) -> Layer:
    """The model of a folder that `save_pretrained` wrote, or of a run, or that others trained; or of a GGUF file of the LLaMA type.

    Models of others are those that lie as Hugging Face lays them out: GPT-2, BERT, T5, BART, Marian, LLaMA, Mistral and Qwen2, each an
    `Encoder`, a `LanguageModel` or an `EncoderDecoder` with a config that says the same. Of a BERT the encoder is read, and a
    warning names what stands behind it, pooler and heads; where ``modules.json`` says what one vector per text is made of, that is its
    pooling, and nothing is missed.

    Raises `UserError`, one sentence with the file, where one is missing, damaged, of an unknown architecture, or where the weights
    are those of another config, or where the config asks for something that models here cannot do. No pickle is ever read.

    >>> import tempfile
    >>> from transformer import Encoder, EncoderConfig
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_pretrained(Encoder(EncoderConfig(vocab_size=9, width=8, heads=2, layers=1)), folder)
    ...     from_pretrained(folder).config.vocab_size
    9
    """
    folder = runs.named(folder, "from_pretrained")
    if not folder.exists():
        raise UserError(
            f"There is no {folder}. from_pretrained reads a folder or a GGUF file and downloads nothing; a model that transformer fetch "
            'brought comes, with its tokenizer, from transformer.fetch.load("minilm").'
        )
    if folder.suffix.lower() == ".gguf":
        from transformer import gguf

        file = gguf.read(folder)
        return _read(file.config, file.tensors, folder, folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; name its folder, {folder.parent}.")
    check_config(folder)
    if not (folder / runs.CONFIG).exists():
        raise files.missing(folder / runs.CONFIG)
    words = runs.read_json(folder / runs.CONFIG)
    if is_others(words):
        return _read(words, files.find(folder), folder / runs.CONFIG, folder / runs.MODEL, **_pooling(folder))
    return build(folder / runs.CONFIG, folder / runs.MODEL)


def is_others(words: dict[str, Any]) -> bool:
    """Whether a `config.json` is that of a model of others, by its ``model_type``."""
    return "model_type" in words and words["model_type"] != "minigrad"


def _read(words: dict[str, Any], weights: files.Weights, config_path: Path, weights_path: Path, **beside: Any) -> Any:
    """The model of a family from its config and weights."""
    family = FAMILIES.get(words["model_type"]) if isinstance(words["model_type"], str) else None
    if family is None:
        raise UserError(
            f"{config_path} describes a model of the type {words['model_type']!r:.60} (architectures {words.get('architectures')!r:.80}); "
            f"there are {', '.join(FAMILIES)}; {translation.ELSEWHERE}."
        )
    return translation.read(family, words, weights, config_path, weights_path, **{k: v for k, v in beside.items() if k in family.beside})


MODES = {"mean_tokens": "mean", "cls_token": "first"}  # of sentence-transformers, and what they are called here


def _pooling(folder: Path) -> dict[str, Any]:
    """What one vector per text is made of, where sentence-transformers wrote that down."""
    if not (folder / MODULES).is_file():
        return {}
    with runs.reading(folder / MODULES):
        found = json.loads((folder / MODULES).read_bytes())
        if not isinstance(found, list) or not all(isinstance(module, dict) for module in found):
            raise ValueError
        modules = {str(module["type"]).split(".")[-1]: str(module["path"]) for module in found}
    others = [name for name in modules if name not in ("Transformer", "Pooling", "Normalize")]
    place = Path(modules.get("Pooling", ""))
    if others or modules.get("Transformer") != "" or "Pooling" not in modules or len(place.parts) != 1 or ".." in place.parts:
        raise UserError(
            f"{folder / MODULES} describes more than models here do, which is the mean of the tokens or the first one: "
            f"{modules!r:.200}. Remove it to read one vector for each token."
        )
    words = runs.read_json(folder / place / runs.CONFIG)
    modes = [name.removeprefix("pooling_mode_") for name, value in words.items() if name.startswith("pooling_mode_") and value is True]
    if len(modes) != 1 or modes[0] not in MODES:
        raise UserError(f"{folder / place / runs.CONFIG} asks for {modes}; pooling here is one of {', '.join(MODES)}.")
    return {"pooling": MODES[modes[0]], "normalize": "Normalize" in modules}


def _pooling_files(model: Any) -> Files:
    """What says, as sentence-transformers reads it, what one vector per text is made of; for other models none."""
    config = model.config
    if getattr(config, "pooling", None) is None:
        return {MODULES: None}
    kinds = {"Transformer": "", "Pooling": POOLING, **({"Normalize": "2_Normalize"} if config.normalize else {})}
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(kinds.items())
    ]
    modes = {"word_embedding_dimension": config.width, **{f"pooling_mode_{name}": ours == config.pooling for name, ours in MODES.items()}}
    return {f"{POOLING}/{runs.CONFIG}": runs.json_bytes(modes), MODULES: runs.json_bytes(modules)}


def check_config(folder: Path) -> None:
    """Say what to do where weights lie without the config of their model."""
    weights = folder / runs.MODEL
    if (folder / runs.CONFIG).is_file() or not weights.is_file():
        return
    if (folder.parent / runs.CONFIG).is_file():
        raise UserError(f"{folder} is a checkpoint of {folder.parent}: name that folder.")
    raise UserError(
        f"{files.missing(folder / runs.CONFIG)} Of a model of your own only the weights are kept: build it as before, then "
        f'minigrad.load("{weights}", into=model).'
    )


def build(path: Path, weights: Path) -> Any:
    """The model that a `config.json` describes, with the weights of the other file; `UserError` where they do not belong together."""
    config = runs.read_json(path)
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names else names
    if not isinstance(name, str) or name not in MODELS:
        lacks = "" if "model_type" in config else f" It has no model_type, which tells the family of others: {', '.join(FAMILIES)}."
        raise UserError(f"{path} describes a model of the architecture {name!r}; there are {', '.join(MODELS)}.{lacks}")
    model_class, config_class = MODELS[name]
    fields = {key: value for key, value in config.items() if key not in ("architectures", "model_type")}
    try:
        made = config_class(**fields)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged, or of another version: {error}") from error
    translation.check_size(made, files.Safetensors(weights), path)
    try:
        with undrawn():  # weights are read into it
            model = model_class(made)
    except (TypeError, ValueError) as error:  # as of an activation that nobody knows
        raise UserError(f"{path} is damaged, or of another version: {error}") from error
    _load_weights(model, weights)
    return model


def _load_weights(model: Any, path: Path) -> None:
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

"""Models in folders: what is written of each kind, what comes back, and a sentence for each thing that does not fit."""

import json

import numpy as np
import pytest

import minigrad
from transformer import (
    Classifier,
    ClassifierConfig,
    EncoderConfig,
    EncoderDecoderConfig,
    LanguageModel,
    LanguageModelConfig,
    RecurrentEncoderDecoderConfig,
    from_pretrained,
    save_pretrained,
)
from transformer.__main__ import main
from transformer.errors import UserError


class Own(minigrad.Layer):
    """A model of somebody's own."""

    def __init__(self):
        super().__init__()
        self.head = minigrad.Dense(3)

    def call(self, x):
        return self.head(x)


def saved(folder, **config):
    """A small model in a folder, with other values in its `config.json`."""
    save_pretrained(LanguageModel(LanguageModelConfig(9, 6, width=8, heads=2, layers=1)), folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))


def test_of_a_model_of_ones_own_the_weights_come_back_as_the_error_says(tmp_path):
    model, x = Own(), np.ones((2, 4), np.float32)
    out = model(x).numpy()
    save_pretrained(model, tmp_path)
    with pytest.raises(UserError, match="a model of your own") as caught:
        from_pretrained(tmp_path)
    assert f'minigrad.load("{tmp_path / "model.safetensors"}", into=model)' in str(caught.value)
    twin = Own()
    twin(x)
    minigrad.load(f"{tmp_path}/model.safetensors", into=twin)
    np.testing.assert_array_equal(twin(x).numpy(), out)


def test_a_model_of_ones_own_may_have_the_name_of_one_of_ours(tmp_path):
    model = type("Encoder", (Own,), {})()
    model(np.ones((2, 4), np.float32))
    save_pretrained(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_folder_without_anything(tmp_path):
    with pytest.raises(UserError, match="config.json is missing"):
        from_pretrained(tmp_path)


def test_a_checkpoint_names_its_run(tmp_path, capsys):
    saved(tmp_path)
    inside = tmp_path / "checkpoint-6"
    inside.mkdir()
    (inside / "model.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes())
    for command in ("summary", "sample"):
        assert main([command, str(inside)]) == 1
        assert f"{inside} is a checkpoint of {tmp_path}: name that folder." in capsys.readouterr().err


def test_the_table_of_a_saved_model_needs_no_tokenizer(tmp_path, capsys):
    saved(tmp_path)
    assert main(["summary", str(tmp_path)]) == 0
    assert "LanguageModel" in capsys.readouterr().out


@pytest.mark.parametrize("config, words", [
    ({"architectures": 5}, "of the architecture 5"), ({"architectures": []}, r"of the architecture \[\]"),
    ({"architectures": [["LanguageModel"]]}, "of the architecture"), ({"tied": "no"}, "tied is true or false. Received: 'no'"),
    ({"dropout": "0.1"}, "dropout is a number. Received: '0.1'"), ({"width": True}, "width is a whole number from 1"),
    ({"norm": 3}, "norm is a word"), ({"ablate": "mask"}, "ablate is a list"),
])  # fmt: skip
def test_a_config_file_of_other_types(tmp_path, config, words):
    saved(tmp_path, **config)
    with pytest.raises(UserError, match=words):
        from_pretrained(tmp_path)


@pytest.mark.parametrize("make, words", [
    (lambda: EncoderConfig(9, pad_id="0"), "pad_id is a whole number from 0 or nothing. Received: '0'"),
    (lambda: EncoderConfig(9, pad_id=-1), "pad_id"), (lambda: EncoderConfig(9, pad_id=False), "pad_id"),
    (lambda: EncoderConfig(9, normalize="no", pooling="mean"), "normalize is true or false"),
    (lambda: EncoderConfig(9, epsilon=float("nan")), "epsilon is a number. Received: nan"),
    (lambda: EncoderDecoderConfig(9, 9, use_bias="false"), "use_bias is true or false"),
    (lambda: RecurrentEncoderDecoderConfig(9, 9, attention=1), "attention is true or false"),
    (lambda: RecurrentEncoderDecoderConfig(9, 9, dropout=None), "dropout is a number"),
    (lambda: ClassifierConfig(9.0, 3), "features is a whole number from 1"),
])  # fmt: skip
def test_a_config_of_other_types(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_what_json_writes_otherwise_is_taken():
    config = EncoderConfig(9, dropout=0, pad_id=None, ablate=["mask"], labels=["a"], classes=1)
    assert (config.dropout, config.pad_id, config.ablate, config.labels) == (0, None, ("mask",), ("a",))


@pytest.mark.parametrize("spoil, words", [
    (lambda array: array.astype(np.int32), "int32 in hidden.kernel"), (lambda array: array > 0, "bool in hidden.kernel"),
    (lambda array: np.where(array > 0, np.nan, array), "not finite in hidden.kernel"),
])  # fmt: skip
def test_weights_that_are_none(tmp_path, spoil, words):
    model = Classifier(ClassifierConfig(4, 3, normalization="batch"))
    save_pretrained(model, tmp_path)
    assert from_pretrained(tmp_path).count_params() == model.count_params()
    arrays = model.state_dict()
    minigrad.save(tmp_path / "model.safetensors", arrays | {"hidden.kernel": spoil(arrays["hidden.kernel"])})
    with pytest.raises(UserError, match=words):
        from_pretrained(tmp_path)

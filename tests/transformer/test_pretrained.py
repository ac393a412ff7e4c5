"""Models in folders: what is written of each kind, what comes back, and a sentence for each thing that does not fit."""

import dataclasses
import json

import numpy as np
import pytest

import minigrad
from transformer import (
    Classifier,
    ClassifierConfig,
    Encoder,
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
from transformer.models.config import Checked


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


@pytest.mark.parametrize("family", [None, "gpt2"])
def test_nothing_is_drawn_for_a_model_whose_weights_are_read(tmp_path, monkeypatch, family):
    save_pretrained(LanguageModel(LanguageModelConfig(9, 6, width=8, heads=2, layers=1)), tmp_path, family=family)
    for name in ("normal", "uniform"):
        monkeypatch.setattr(minigrad.Generator, name, lambda *given, **named: pytest.fail("drawn to be written over"))
    from_pretrained(tmp_path)
    with pytest.raises(pytest.fail.Exception, match="written over"):
        LanguageModel(LanguageModelConfig(9, 6, width=8, heads=2, layers=1))


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


def test_numbers_of_numpy_and_sets_are_taken_and_saved(tmp_path):
    config = EncoderConfig(
        np.int64(9), width=np.uint8(8), heads=2, layers=1, pad_id=np.int64(0), dropout=np.float32(0.5), pooling="mean",
        normalize=np.False_, ablate={"skip", "mask"}, classes=2, labels=np.array(["a", "b"]),
    )  # fmt: skip
    save_pretrained(Encoder(config), tmp_path)
    again = from_pretrained(tmp_path).config
    assert again == config and again.ablate == ("mask", "skip") and again.labels == ("a", "b")
    assert [type(x) for x in (config.vocab_size, config.dropout, config.normalize)] == [int, float, bool]
    with pytest.raises(ValueError, match="vocab_size is a whole number"):
        EncoderConfig(np.float64(9))
    with pytest.raises(ValueError, match="labels is a list"):
        EncoderConfig(9, classes=2, labels={"a", "b"})  # which class is which?


@dataclasses.dataclass(kw_only=True)
class OwnConfig(EncoderConfig):
    """As a class in a module with ``from __future__ import annotations``, whose annotations are strings."""

    extra: "int" = 3
    offset: "int" = -1
    maybe: "str | None" = None
    sizes: "list[int]" = dataclasses.field(default_factory=list)
    pair: tuple[int, int] | None = None
    shape: "np.ndarray | None" = None


def test_a_config_of_ones_own_is_checked_as_far_as_its_kinds_are_known():
    config = OwnConfig(vocab_size=9, sizes=[1, 2], maybe="x", pair=(1, 2), shape=np.ones(2))
    assert (config.extra, config.offset, config.sizes, config.pair) == (3, -1, [1, 2], (1, 2)) and config.shape.shape == (2,)
    refused = ({"extra": "3"}, "extra is a whole number from 1"), ({"offset": -2}, "from -1"), ({"maybe": 3}, "a word or nothing")
    for wrong, words in refused:
        with pytest.raises(ValueError, match=words):
            OwnConfig(vocab_size=9, **wrong)


def test_a_config_of_names_that_nobody_knows_yet():
    """As a name that is imported under TYPE_CHECKING; fields with annotations that are no strings are checked as ever."""

    @dataclasses.dataclass(frozen=True)
    class Own(Checked):
        later: "Later"  # noqa: F821
        extra: int = 3

    assert type(Own([], np.int64(4)).extra) is int
    with pytest.raises(ValueError, match="extra is a whole number"):
        Own([], "3")


def test_an_activation_may_be_a_function_which_cannot_be_saved(tmp_path):
    sizes = {"vocab_size": 9, "width": 8, "heads": 2, "layers": 1}
    model, named = (Encoder(EncoderConfig(**sizes, activation=activation)) for activation in (minigrad.relu, "relu"))
    ids = np.array([[4, 5]])
    assert (model(ids).numpy() == named(ids).numpy()).all()
    with pytest.raises(UserError, match="holds no functions, and this model has one for activation"):
        save_pretrained(model, tmp_path)
    with pytest.raises(ValueError, match="activation is a word or a function"):
        EncoderConfig(**sizes, activation=3)


def test_a_mean_that_is_not_known_yet_comes_back_so(tmp_path):
    model = Classifier(ClassifierConfig(4, 3, normalization="normalization"))
    save_pretrained(model, tmp_path)
    again = from_pretrained(tmp_path)
    assert not again.normalization.adapted
    again.adapt(np.random.default_rng(0).normal(size=(9, 4)))
    arrays = again.state_dict()
    for spoiled in (np.full(4, np.inf), np.array([0, 0, 0, np.nan])):
        minigrad.save(tmp_path / "model.safetensors", arrays | {"normalization.mean": spoiled})
        with pytest.raises(UserError, match=r"not finite in normalization\.mean"):
            from_pretrained(tmp_path)


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

"""Folders of models that others trained: what is known and left out, what is refused, and damaged or hostile files."""

import dataclasses
import json
import struct
import tracemalloc
import warnings

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from minigrad import random
from transformer import (
    Encoder,
    EncoderConfig,
    EncoderDecoder,
    EncoderDecoderConfig,
    LanguageModel,
    LanguageModelConfig,
    from_pretrained,
    save_pretrained,
)
from transformer.__main__ import main
from transformer.errors import UserError
from transformer.layers import SinusoidalPositions
from transformer.tokenizers import CharTokenizer, Vocabulary

SIZES = {"layers": 2, "heads": 3, "width": 12, "feed_forward": 17}
BOTH = {**SIZES, "norm": "post", "head_bias": True, "shared_embedding": True, "start_id": 2, "end_ids": (3,), "activation": "gelu"}
LLAMA = {
    **SIZES, "vocab_size": 23, "block_size": 9, "positions": "rotary", "normalization": "rms", "activation": "swiglu", "use_bias": False,
    "tied": True, "end_ids": (3,),
}  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 30}
MADE = {
    "gpt2": lambda **more: LanguageModel(LanguageModelConfig(**{**SIZES, "vocab_size": 23, "block_size": 9, "end_ids": (3,), **more})),
    "bert": lambda **more: Encoder(
        EncoderConfig(23, 9, **{**SIZES, "norm": "post", "embedding_norm": True, "segments": 2, "activation": "gelu", **more})
    ),
    "t5": lambda **more: EncoderDecoder(EncoderDecoderConfig(23, 23, 9, 9, **{
        **SIZES, "head_width": 5, "positions": "relative", "normalization": "rms", "use_bias": False, "scaled": False,
        "shared_embedding": True, "activation": "relu", "head_scale": 12**-0.5, "start_id": 0, "end_ids": (1,), **more,
    })),
    "bart": lambda **more: EncoderDecoder(EncoderDecoderConfig(23, 23, 9, 9, **{**BOTH, "embedding_norm": True, **more})),
    "marian": lambda **more: EncoderDecoder(EncoderDecoderConfig(23, 23, 9, 9, **{**BOTH, "positions": "sinusoidal_halves", **more})),
    "llama": lambda **more: LanguageModel(LanguageModelConfig(**{**LLAMA, **more})),
    "mistral": lambda **more: LanguageModel(LanguageModelConfig(**{**LLAMA, **more})),
    "qwen2": lambda **more: LanguageModel(
        LanguageModelConfig(**{**LLAMA, "attention_bias": True, "attention_output_bias": False, "rotary_stretch": (2.0,), **more})
    ),
}  # fmt: skip
SOURCE, TARGET = np.array([[4, 9, 3, 5, 22], [8, 20, 3, 0, 0]]), np.array([[2, 7, 18], [2, 5, 11]])


def saved(folder, family, words=None, **more):
    """A model in the layout of a family, with other words in its config; the model."""
    model = MADE[family](**more)
    rng = np.random.default_rng(0)
    for tensor in model.parameters():
        tensor.assign(rng.normal(size=tensor.shape))
    save_pretrained(model, folder, family=family)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | (words or {})))
    return model


def run(model):
    return (model(SOURCE, TARGET) if isinstance(model, EncoderDecoder) else model(SOURCE)).numpy()


def same(model, other):
    """The same numbers; how a matrix lies in memory says in which order they are added up."""
    one, two = run(model), run(other)
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5 * abs(two).max())


def changed(folder, change):
    """Change the dict of arrays in a folder's file."""
    arrays = load_file(folder / "model.safetensors")
    change(arrays)
    save_file(arrays, folder / "model.safetensors")


@pytest.mark.parametrize("family", MADE)
def test_what_a_family_was_written_from_comes_back(family, tmp_path):
    model = saved(tmp_path, family)
    twin = from_pretrained(tmp_path)
    same(twin, model)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == family
    save_pretrained(twin, tmp_path / "ours")  # in the layout of this package
    assert from_pretrained(tmp_path / "ours").config == twin.config
    same(from_pretrained(tmp_path / "ours"), model)


def test_commands_read_the_models_of_others(tmp_path, capsys):
    saved(tmp_path, "gpt2")
    assert main(["summary", str(tmp_path)]) == 0
    assert "LanguageModel" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------------------------- configs


@pytest.mark.parametrize("family, words, said", [
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True, which changes the numbers"),
    ("gpt2", {"add_cross_attention": True}, "add_cross_attention"),
    ("gpt2", {"activation_function": "quick_gelu"}, "activation_function: 'quick_gelu' is none of those"),
    ("gpt2", {"activation_function": ["relu"]}, "activation_function"),
    ("gpt2", {"n_embd": None}, "n_embd is missing"), ("gpt2", {"n_embd": "12"}, "width is a whole number"),
    ("gpt2", {"n_head": 5}, "multiple of the heads"), ("gpt2", {"n_head": 0}, "heads is a whole number from 1"),
    ("gpt2", {"tie_word_embeddings": "yes"}, "tie_word_embeddings: 'yes'"), ("gpt2", {"eos_token_id": {"a": 1}}, "is no id"),
    ("gpt2", {"architectures": ["GPT2ForSequenceClassification"]}, "of the architecture .*of the family gpt2 there are GPT2LMHeadModel"),
    ("gpt2", {"model_type": "gpt_neox"}, "of the type 'gpt_neox'.*; the library transformers may run this model"),
    ("gpt2", {"model_type": ["gpt2"]}, "of the type"),
    ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type"), ("bert", {"is_decoder": True}, "is_decoder"),
    ("bert", {"hidden_act": "gelu_fast"}, "hidden_act"),
    ("t5", {"feed_forward_proj": "gated-relu"}, "feed_forward_proj"), ("t5", {"is_encoder_decoder": False}, "is_encoder_decoder"),
    ("bart", {"normalize_before": True}, "normalize_before"), ("bart", {"add_final_layer_norm": True}, "add_final_layer_norm"),
    ("bart", {"normalize_embedding": False}, "normalize_embedding"), ("bart", {"static_position_embeddings": True}, "static_position"),
    ("bart", {"decoder_attention_heads": 4}, "decoder_attention_heads is 4 as heads, and encoder_attention_heads has 3"),
    ("bart", {"decoder_ffn_dim": 18}, "decoder_ffn_dim is 18"), ("bart", {"d_model": "12", "scale_embedding": True}, "cannot be built"),
    ("marian", {"normalize_embedding": True}, "normalize_embedding"), ("marian", {"normalize_before": True}, "normalize_before"),
    ("llama", {"rope_scaling": {"type": "yarn", "factor": 2.0}},
     "rope_scaling: rope_type is 'yarn', .*: default, linear, llama3; the library transformers may run"),
    ("llama", {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5.0}}, "rope_scaling: factor is missing"),
    ("llama", {"rope_scaling": {"rope_type": "linear", "factor": "2"}}, r"positive numbers .* Received: \('2',\)"),
    ("llama", {"rope_scaling": {"rope_type": "linear", "factor": -2.0}}, "positive numbers"),
    ("llama", {"rope_scaling": LLAMA3 | {"low_freq_factor": 4.0}}, "low below high"),
    ("llama", {"rope_scaling": LLAMA3 | {"factor": None}}, "positive numbers"),
    ("llama", {"rope_parameters": {"full_attention": LLAMA3}}, "differ between layers"),
    ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor is 0.5"),
    ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"), ("llama", {"sliding_window": 4}, "sliding_window is 4"),
    ("llama", {"rope_scaling": "linear"}, "rope_scaling is 'linear', and it is an object"),
    ("llama", {"rope_parameters": 5}, "rope_parameters is 5, and it is an object"),
    ("llama", {"max_position_embeddings": None}, 'missing: add it, as "max_position_embeddings": 2048'),
    ("mistral", {"max_position_embeddings": None}, "max_position_embeddings, the number of tokens"),
    ("llama", {"model_type": "minigrad", "architectures": ["GPT"]}, "of the architecture 'GPT'"),
    ("llama", {"attention_bias": "yes"}, "attention_bias: 'yes' is none"), ("qwen2", {"use_sliding_window": True, "sliding_window": 8},
     "sliding_window is 8"),
    ("llama", {"rms_norm_eps": -1.0}, "epsilon is 0 or more"),
    ("llama", {"rope_parameters": {"rope_theta": 0}}, "rotary_base more than 0"),
    ("llama", {"hidden_act": "relu"}, "hidden_act"), ("llama", {"num_key_value_heads": 2}, "multiple of key_value_heads"),
    ("mistral", {"sliding_window": 8}, "sliding_window is 8"), ("mistral", {"layer_types": ["sliding_attention"]}, "layer_types"),
])  # fmt: skip
def test_a_config_that_cannot_be_followed(family, words, said, tmp_path):
    saved(tmp_path, family, words)
    with pytest.raises(UserError, match=said) as caught:
        from_pretrained(tmp_path)
    assert str(tmp_path / "config.json") in str(caught.value)


def test_what_only_a_layer_finds_wrong_names_the_config(tmp_path, monkeypatch):
    saved(tmp_path, "llama")
    monkeypatch.setattr(LanguageModel, "__init__", lambda *_, **__: raised(ValueError("RMSNormalization: epsilon")))
    with pytest.raises(UserError, match=r"config\.json describes a model that cannot be built here: RMSNormalization: epsilon"):
        from_pretrained(tmp_path)


def raised(error):
    raise error


def test_a_config_without_its_type_is_told_what_it_lacks(tmp_path):
    saved(tmp_path, "gpt2")
    words = json.loads((tmp_path / "config.json").read_text())
    del words["model_type"]
    (tmp_path / "config.json").write_text(json.dumps(words))
    with pytest.raises(UserError, match=r"'GPT2LMHeadModel'.* It has no model_type, which tells the family of others: gpt2, bert"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize("family", MADE)
def test_what_begins_a_text_is_written_or_null(family, tmp_path):
    """A word that is not there would be one of the library's own, an id that a small model does not have."""
    model = MADE[family]()
    for tokenizer, start in ((None, None), (CharTokenizer("abc"), None), (Vocabulary("abc"), 1), (None, 1)):  # at last the one that stays
        save_pretrained(model, tmp_path, tokenizer, family=family)
        words = json.loads((tmp_path / "config.json").read_text())
        assert "bos_token_id" in words and words["bos_token_id"] == start
        assert words.get("forced_eos_token_id") is None


@pytest.mark.parametrize("family, words, field, value", [
    ("gpt2", {"eos_token_id": [4, 5]}, "end_ids", (4, 5)), ("gpt2", {"eos_token_id": None}, "end_ids", ()),
    ("gpt2", {"resid_pdrop": 0.25}, "dropout", 0.25), ("gpt2", {"layer_norm_epsilon": 1e-3}, "epsilon", 1e-3),
    ("gpt2", {"scale_attn_weights": False}, "scaled", False), ("bert", {"pad_token_id": None}, "pad_id", None),
    ("bert", {"hidden_act": "gelu_new"}, "activation", "gelu_tanh"), ("t5", {"decoder_start_token_id": 4}, "start_id", 4),
    ("t5", {"scale_decoder_outputs": False}, "head_scale", 1.0), ("bart", {"scale_embedding": True}, "embedding_scale", 12**0.5),
    ("marian", {"scale_embedding": False}, "embedding_scale", 1.0), ("llama", {"rope_scaling": None}, "rotary_base", 10_000.0),
    ("llama", {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}, "rope_scaling": None}, "rotary_base", 5e5),
    ("llama", {"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 2}}, "rotary_stretch", (2,)),
    ("llama", {"rope_parameters": None, "rope_scaling": LLAMA3}, "rotary_stretch", (8.0, 1.0, 4.0, 30)),
    ("llama", {"rope_parameters": None, "rope_scaling": {**LLAMA3, "original_max_position_embeddings": 4}}, "rotary_stretch",
     (8.0, 1.0, 4.0, 4)),
    ("llama", {"rope_parameters": LLAMA3, "rope_scaling": {"type": "linear", "factor": 2.0}}, "rotary_stretch", (2.0,)),
    ("llama", {"attention_bias": None}, "attention_bias", None), ("qwen2", {"sliding_window": 4}, "attention_output_bias", False),
    ("llama", {"rope_parameters": None, "rope_theta": 250.0}, "rotary_base", 250.0), ("mistral", {"sliding_window": 9}, "block_size", 9),
])  # fmt: skip
def test_what_words_of_a_config_become(family, words, field, value, tmp_path):
    saved(tmp_path, family, words)
    assert getattr(from_pretrained(tmp_path).config, field) == value


@pytest.mark.parametrize("family, words", [
    ("gpt2", {"vocab_size": 10**13}), ("gpt2", {"n_positions": 10**13}), ("llama", {"num_hidden_layers": 10**9}),
    ("t5", {"num_decoder_layers": 10**9}), ("bert", {"intermediate_size": 10**13}),
])  # fmt: skip
def test_a_config_of_more_than_there_is(family, words, tmp_path):
    saved(tmp_path, family, words)
    with pytest.raises(UserError, match="config.json asks for a model of more numbers than the"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize("family", MADE)
@pytest.mark.parametrize("word", ["layers", "vocab_size", "width", "heads", "feed_forward", "head_width", "block_size", "relative_buckets"])
def test_a_config_of_ours_of_more_than_there_is(family, word, tmp_path):
    """Found before memory is taken for it, also where the first weights would be drawn."""
    save_pretrained(MADE[family](), tmp_path)
    words, path = json.loads((tmp_path / "config.json").read_text()), tmp_path / "config.json"
    for size in (10**13, 2**70):
        names = {"vocab_size": ["source_vocab", "target_vocab"], "block_size": ["source_length", "target_length"]}.get(word, [])
        path.write_text(json.dumps(words | {name: size for name in [word, *names] if name in words}))
        tracemalloc.start()
        try:
            model = from_pretrained(tmp_path)
            assert word in ("block_size", "relative_buckets") and max(p.size for p in model.parameters()) < 10**4
        except UserError as error:
            assert "asks for a model of more numbers than" in str(error) or "multiple of the heads" in str(error)
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < 10**7


WRONG = [None, True, "x", -1, 0, 2**31, 2**200, -0.5, float("nan"), float("-inf"), [], [[2]], {"a": 1}]


@pytest.mark.parametrize("family", [*MADE, "ours"])
def test_words_of_wrong_kinds_make_a_model_or_a_sentence(family, tmp_path):
    saved(tmp_path, family) if family != "ours" else save_pretrained(MADE["llama"](rotary_stretch=(2.0,)), tmp_path)
    path = tmp_path / "config.json"
    words, refused = json.loads(path.read_text()), 0
    for word in [*words, "rope_scaling", "sliding_window", "layer_types"]:
        for value in WRONG:
            path.write_text(json.dumps(words | {word: value}))
            try:
                from_pretrained(tmp_path)
            except UserError as error:
                assert str(tmp_path) in str(error) and "\n" not in str(error)
                refused += 1
    assert refused > 80


def test_a_first_token_that_is_forced_is_told(tmp_path):
    saved(tmp_path, "bart", {"forced_bos_token_id": 4})
    with pytest.warns(UserWarning, match=r"start_id=\[2, 4\]") as caught:
        from_pretrained(tmp_path)
    assert caught[0].filename == __file__


def test_a_mistral_that_does_not_say_it_has_a_window(tmp_path):
    saved(tmp_path, "mistral")
    words = json.loads((tmp_path / "config.json").read_text())
    del words["sliding_window"]
    (tmp_path / "config.json").write_text(json.dumps(words))
    assert from_pretrained(tmp_path).config.block_size == 9
    (tmp_path / "config.json").write_text(json.dumps(words | {"max_position_embeddings": 4097}))
    with pytest.raises(UserError, match="sliding_window is 4096"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize("family, more, said", [
    ("gpt2", {"positions": "rotary"}, "gpt2 has no positions 'rotary'"), ("gpt2", {"norm": "post"}, "no norm 'post'"),
    ("gpt2", {"activation": "mish"}, "'mish' is none of"), ("gpt2", {"ablate": ("skip",)}, "no ablate"),
    ("gpt2", {"head_scale": 0.5}, "no head_scale 0.5"), ("gpt2", {"key_value_heads": 1}, "no key_value_heads 1"),
    ("gpt2", {"embedding_scale": 2.0}, "no embedding_scale"), ("bert", {"classes": 3}, "no classes 3"),
    ("t5", {"head_scale": 0.5}, "no head_scale 0.5"), ("t5", {"source_length": 8}, r"no target_length 9 \(it has 8\)"),
    ("bart", {"epsilon": 1e-3}, "no epsilon 0.001"), ("bart", {"embedding_scale": 2.0}, "no embedding_scale 2.0"),
    ("llama", {"head_bias": True}, "no head_bias True"), ("llama", {"attention_output_bias": True}, "no attention_output_bias True"),
    ("gpt2", {"attention_bias": False}, "no attention_bias False"), ("mistral", {"attention_bias": True}, "no attention_bias True"),
    ("qwen2", {"attention_bias": False}, "no attention_bias False"), ("llama", {"positions": "learned"}, "no positions 'learned'"),
])  # fmt: skip
def test_a_family_that_has_no_words_for_a_model(family, more, said, tmp_path):
    model = MADE[family]()
    model = type(model)(dataclasses.replace(model.config, **more))
    with pytest.raises(UserError, match=f"{said}.* Leave out family= to save it"):
        save_pretrained(model, tmp_path, family=family)
    assert not (tmp_path / "config.json").exists() and not (tmp_path / "model.safetensors").exists()


def test_a_family_for_a_model_of_another_kind(tmp_path):
    with pytest.raises(UserError, match="the model of the family bert is Encoder. Received: LanguageModel. Leave out"):
        save_pretrained(MADE["gpt2"](), tmp_path, family="bert")
    with pytest.raises(UserError, match="family is one of gpt2, bert"):
        save_pretrained(MADE["gpt2"](), tmp_path, family="gpt3")


# ------------------------------------------------------------------------------------------------------------------- tensors


def test_a_tensor_that_is_missing_or_nobody_knows_or_of_another_shape(tmp_path):
    saved(tmp_path, "gpt2")
    arrays = load_file(tmp_path / "model.safetensors")
    name = "transformer.h.1.mlp.c_fc.bias"
    for change, said in (
        ({k: arrays[k] for k in arrays if k != name}, f"model.safetensors lacks 1 tensors .*: {name}"),
        (arrays | {"transformer.h.2.ln_1.bias": np.zeros(12, np.float32)}, "holds 1 tensors that no gpt2 .* has: transformer.h.2"),
        (arrays | {name: np.zeros(18, np.float32)}, rf"model.safetensors holds {name} of the shape \(18,\), .*asks for \(17,\)"),
        (arrays | {name: np.zeros(17, np.int32)}, f"holds I32 in {name}"),
        (arrays | {name: np.full(17, np.nan, np.float32)}, f"not finite in {name}"),
        (arrays | {"h.1.mlp.c_fc.bias": arrays[name]}, f"under two names: .*{name}"),
    ):
        save_file(change, tmp_path / "model.safetensors")
        with pytest.raises(UserError, match=said):
            from_pretrained(tmp_path)


@pytest.mark.parametrize("family, copy, of", [
    ("gpt2", "lm_head.weight", "transformer.wte.weight"), ("llama", "lm_head.weight", "model.embed_tokens.weight"),
    ("t5", "lm_head.weight", "shared.weight"), ("t5", "decoder.embed_tokens.weight", "shared.weight"),
    ("bart", "model.encoder.embed_tokens.weight", "model.shared.weight"), ("marian", "lm_head.weight", "model.shared.weight"),
])  # fmt: skip
def test_one_matrix_that_is_stored_several_times(family, copy, of, tmp_path):
    model = saved(tmp_path, family)
    changed(tmp_path, lambda arrays: arrays.update({copy: arrays[of].copy()}))
    same(from_pretrained(tmp_path), model)
    changed(tmp_path, lambda arrays: arrays.update({copy: arrays[of] + 1}))
    with pytest.raises(UserError, match="the same matrix as another one, and it differs"):
        from_pretrained(tmp_path)
    changed(tmp_path, lambda arrays: arrays.update({copy: arrays.pop(of) - 1 + 1}))  # under the other name only
    assert run(from_pretrained(tmp_path)).shape == run(model).shape


@pytest.mark.parametrize("family, prefix", [("gpt2", "transformer."), ("llama", "model."), ("bart", "model.")])
def test_names_without_their_prefix(family, prefix, tmp_path):
    model = saved(tmp_path, family)
    save_file({name.removeprefix(prefix): array for name, array in load_file(tmp_path / "model.safetensors").items()},
              tmp_path / "model.safetensors")  # fmt: skip
    same(from_pretrained(tmp_path), model)


def test_names_of_old_files_and_what_is_left_out(tmp_path):
    model = saved(tmp_path, "bert")

    def age(arrays):
        for name in [*arrays]:
            old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            arrays["bert." + old] = arrays.pop(name)
        arrays["bert.embeddings.position_ids"] = np.arange(9)[None]

    changed(tmp_path, age)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing of that is worth a word
        same(from_pretrained(tmp_path), model)


@pytest.mark.parametrize("name", ["bert.pooler.dense.bias", "cls.predictions.bias", "classifier.weight", "qa_outputs.bias"])
def test_what_stands_behind_an_encoder_is_left_out_with_a_word(name, tmp_path):
    model = saved(tmp_path, "bert")
    changed(tmp_path, lambda arrays: arrays.update({name: np.ones(12, np.float32), "cls.x": np.ones(2, np.float32)}))
    with pytest.warns(UserWarning, match=f"left out ({name}, cls.x|cls.x, {name}), for .* no pooler_output, no logits") as caught:
        same(from_pretrained(tmp_path), model)
    assert len(caught) == 1 and caught[0].filename == __file__
    save_pretrained(MADE["bert"](pooling="mean"), tmp_path, family="bert")
    changed(tmp_path, lambda arrays: arrays.update({name: np.ones(12, np.float32)}))
    from_pretrained(tmp_path)  # says what comes out itself


def test_buffers_of_theirs_that_hold_nothing_to_learn(tmp_path):
    model = saved(tmp_path, "gpt2")
    changed(tmp_path, lambda arrays: arrays.update({"transformer.h.0.attn.bias": np.tri(9)[None, None] > 0, "h.1.attn.masked_bias":
            np.array(-1e4, np.float32)}))  # fmt: skip
    same(from_pretrained(tmp_path), model)


def test_waves_that_are_stored_are_looked_at(tmp_path):
    model = saved(tmp_path, "marian")
    waves = SinusoidalPositions(halves=True)(np.zeros((9, 12), np.float32))
    changed(tmp_path, lambda arrays: arrays.update({"model.encoder.embed_positions.weight": waves.astype(np.float16)}))
    same(from_pretrained(tmp_path), model)
    for wrong in (waves[::-1], waves[:8]):
        changed(tmp_path, lambda arrays, wrong=wrong: arrays.update({"model.decoder.embed_positions.weight": np.ascontiguousarray(wrong)}))
        with pytest.raises(UserError, match="other numbers in model.decoder.embed_positions.weight"):
            from_pretrained(tmp_path)


def test_a_matrix_that_is_missing_under_all_of_its_names_is_missing_once(tmp_path):
    saved(tmp_path, "t5")
    changed(tmp_path, lambda arrays: arrays.pop("shared.weight"))
    with pytest.raises(UserError, match=r"lacks 1 tensors .*: shared\.weight\. Do"):
        from_pretrained(tmp_path)


def test_a_bias_of_the_logits_may_be_left_out(tmp_path):
    saved(tmp_path, "bart")
    changed(tmp_path, lambda arrays: arrays.pop("final_logits_bias"))
    assert not from_pretrained(tmp_path).decoder.head_bias.numpy().any()


# --------------------------------------------------------------------------------------------------------------------- files


def header(entries, numbers=b"\0" * 8):
    text = json.dumps(entries).encode() if not isinstance(entries, bytes) else entries
    return struct.pack("<Q", len(text)) + text + numbers


def entry(dtype="F32", shape=(2,), data_offsets=(0, 8)):
    return {"dtype": dtype, "shape": shape, "data_offsets": data_offsets}


@pytest.mark.parametrize("content, said", [
    (b"", r"model\.safetensors is empty"), (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull fetches it"),
    (b"\1\2\3", "cut short or damaged"), (struct.pack("<Q", 2**62) + b"{}", "header should have"),
    (struct.pack("<Q", 3) + b"{}", "header should have 3 bytes"), (header(b"{"), "its header cannot be read"),
    (header(b"\xff\xfe"), "its header cannot be read"), (header([1]), "its header cannot be read"), (header({"x": 1}), "cannot be read"),
    (header(b"[" * 100_000), "its header cannot be read"), (header({"x": {"dtype": "F32"}}), "cannot be read"),
    (header({"x": entry(data_offsets=(0, 8, 9))}), "cannot be read"), (header({"x": entry(shape=3)}), "cannot be read"),
    (header({"x": entry("F4")}), "holds x as 'F4'"), (header({"x": entry(["F32"])}), "cannot be read"),
    (header({"x": entry(shape=(10**15, 10**15))}), r"x has the shape \(1000000000000000, 1000000000000000\) in F32, and 8 bytes"),
    (header({"x": entry(shape=(-2, -1))}), "x has the shape"), (header({"x": entry(shape=(2.0,))}), "x has the shape"),
    (header({"x": entry(shape=(True, 2))}), "x has the shape"), (header({"x": entry(data_offsets=(8, 0))}), "damaged"),
    (header({"x": entry(data_offsets=(-8, 0))}), "x has the shape"),
    (header({"x": entry(), "y": entry()}), "y begins at byte .*, and what lies before it ends"),
    (header({"x": entry(), "y": entry(data_offsets=(4, 12))}, b"\0" * 12), "y begins at byte"),
    (header({"x": entry(data_offsets=(4, 12))}, b"\0" * 12), "x begins at byte"),
    (header({"x": entry()}, b"\0" * 7), "cut short"), (header({"x": entry()}, b"\0" * 9), "damaged"),
])  # fmt: skip
def test_a_file_that_is_damaged_or_made_to_mislead(content, said, tmp_path):
    saved(tmp_path, "gpt2")
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        from_pretrained(tmp_path)
    assert str(tmp_path / "model.safetensors") in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_cut_anywhere(tmp_path):
    saved(tmp_path, "llama")
    whole = (tmp_path / "model.safetensors").read_bytes()
    for end in np.random.default_rng(0).integers(0, len(whole), 40):
        (tmp_path / "model.safetensors").write_bytes(whole[:end])
        with pytest.raises(UserError, match="model.safetensors"):
            from_pretrained(tmp_path)


@pytest.mark.parametrize("family", ["gpt2", "t5", "ours"])
def test_a_header_of_changed_bytes_gives_a_model_or_a_sentence(family, tmp_path):
    saved(tmp_path, family) if family != "ours" else save_pretrained(MADE["bert"](), tmp_path)
    path, rng, refused = tmp_path / "model.safetensors", np.random.default_rng(0), 0
    whole = path.read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    for _ in range(150):
        content = bytearray(whole)
        for place in rng.integers(0, 8 + length, rng.integers(1, 4)):
            content[place] = rng.choice(np.frombuffer(b'0123456789"[]{},:-. eEnulFI\0\xff', np.uint8))
        path.write_bytes(content)
        try:
            from_pretrained(tmp_path)
        except UserError as error:
            assert str(tmp_path) in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > 130


def parts(folder):
    """Weights in two files and an index instead of one."""
    arrays = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    where = {name: names[place % 2] for place, name in enumerate(arrays)}
    for part in names:
        save_file({name: arrays[name] for name in arrays if where[name] == part}, folder / part)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
    return where, names


def test_weights_in_several_files(tmp_path):
    model = saved(tmp_path, "llama")
    where, names = parts(tmp_path)
    same(from_pretrained(tmp_path), model)
    index, first = tmp_path / "model.safetensors.index.json", next(iter(where))
    for change, said in (
        ({first: f"../{names[0]}"}, "names the file '../model"), ({first: str(tmp_path / names[0])}, "names the file"),
        ({first: f"..\\{names[0]}"}, "names the file"), ({first: "pytorch_model.bin"}, "names the file 'pytorch_model.bin'"),
        ({first: ""}, "names the file ''"), ({first: 3}, "weight_map does not say"), ({first: names[1]}, f"says that {first} lies in"),
        ({"x": names[0]}, "says that x lies in"), ({first: "model-3.safetensors"}, "model-3.safetensors is missing"),
    ):
        index.write_text(json.dumps({"weight_map": where | change}))
        with pytest.raises(UserError, match=said):
            from_pretrained(tmp_path)
    for text in ("{}", '{"weight_map": []}', "[", "[]"):
        index.write_text(text)
        with pytest.raises(UserError, match="index.json is damaged"):
            from_pretrained(tmp_path)
    index.write_text(json.dumps({"weight_map": where}))
    save_file(load_file(tmp_path / names[0]) | load_file(tmp_path / names[1]), tmp_path / names[1])
    with pytest.raises(UserError, match=f"{names[1]} holds .*, and {names[0]} beside it does too"):
        from_pretrained(tmp_path)


def test_a_pickle_is_never_read(tmp_path):
    saved(tmp_path, "bert")
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="pytorch_model.bin, a pickle, which is never read.* writes safetensors"):
        from_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(UserError, match="model.safetensors is missing"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize("kind", ["F16", "BF16", "F64"])
def test_other_floats_become_float32(kind, tmp_path):
    saved(tmp_path, "llama")
    arrays = load_file(tmp_path / "model.safetensors")
    if kind == "BF16":  # the upper halves of float32
        upper = {name: (array.view(np.uint32) >> 16).astype(np.uint16) for name, array in arrays.items()}
        place, entries = 0, {}
        for name, array in upper.items():
            entries[name] = entry("BF16", array.shape, (place, place + array.nbytes))
            place += array.nbytes
        (tmp_path / "model.safetensors").write_bytes(header(entries, b"".join(array.tobytes() for array in upper.values())))
        wanted = {name: (array.view(np.uint32) & 0xFFFF0000).view(np.float32) for name, array in arrays.items()}
    else:
        save_file({name: array.astype(f"f{int(kind[1:]) // 8}") for name, array in arrays.items()}, tmp_path / "model.safetensors")
        wanted = {name: array.astype(f"f{int(kind[1:]) // 8}").astype(np.float32) for name, array in arrays.items()}
    ours = from_pretrained(tmp_path)
    assert {tensor.dtype for tensor in ours.parameters()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(ours.embedding.embeddings.numpy(), wanted["model.embed_tokens.weight"])
    np.testing.assert_array_equal(ours.blocks[1].feed_forward.down.kernel.numpy(), wanted["model.layers.1.mlp.down_proj.weight"].T)
    save_file({name: np.ascontiguousarray(array) for name, array in wanted.items()}, tmp_path / "model.safetensors")
    written_as_float32 = from_pretrained(tmp_path)
    for name, parameter in ours.named_parameters().items():
        np.testing.assert_array_equal(parameter.numpy(), written_as_float32.named_parameters()[name].numpy())
    np.testing.assert_array_equal(run(ours), run(written_as_float32))


def test_nothing_is_drawn_and_little_memory_is_needed(tmp_path, monkeypatch):
    saved(tmp_path, "llama", width=96, feed_forward=384, layers=6, vocab_size=300)
    monkeypatch.setattr(random.Generator, "normal", lambda *_: pytest.fail("numbers were drawn"))
    size = (tmp_path / "model.safetensors").stat().st_size
    from_pretrained(tmp_path)  # what is made once
    tracemalloc.start()
    try:
        model = from_pretrained(tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.3 * size
    kernel = model.blocks[0].feed_forward.up.kernel.numpy()  # (E, F), a view of (F, E)
    assert kernel.flags.f_contiguous and not kernel.flags.c_contiguous


@pytest.mark.parametrize("modules, pooling, said", [
    (["Transformer", "Pooling", "Dense"], {"pooling_mode_mean_tokens": True}, "describes more than models here do"),
    (["Transformer"], {}, "describes more"), (["Transformer", "Pooling"], {"pooling_mode_max_tokens": True}, "asks for .'max_tokens'"),
    (["Transformer", "Pooling"], {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "asks for"),
    (["Transformer", "Pooling"], {}, r"asks for \[\]"), ("x", {}, "is damaged"),
])  # fmt: skip
def test_sentence_vectors_of_another_kind(modules, pooling, said, tmp_path):
    saved(tmp_path, "bert", pooling="mean")
    kinds = [{"type": f"a.{kind}", "path": "" if kind == "Transformer" else "1_Pooling"} for kind in modules] if modules != "x" else 5
    (tmp_path / "modules.json").write_text(json.dumps(kinds))
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    with pytest.raises(UserError, match=said):
        from_pretrained(tmp_path)


def test_sentence_vectors_stay_in_their_folder(tmp_path):
    saved(tmp_path, "bert", pooling="first", normalize=True)
    assert from_pretrained(tmp_path).config.pooling == "first" and from_pretrained(tmp_path).config.normalize
    for path in ("../elsewhere", "..", "", str(tmp_path / "1_Pooling")):
        modules = [{"type": "a.Transformer", "path": ""}, {"type": "a.Pooling", "path": path}]
        (tmp_path / "modules.json").write_text(json.dumps(modules))
        with pytest.raises(UserError, match="modules.json"):
            from_pretrained(tmp_path)


def test_a_config_of_too_many_brackets_is_damaged(tmp_path):
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="config.json is damaged"):
        from_pretrained(tmp_path)

"""Models that Hugging Face's transformers wrote are read here, and the other way round: the same config, the same logits."""

import json
import warnings

import numpy as np
import pytest

import minigrad as mg
from transformer import from_pretrained, save_pretrained
from transformer.generation import beam_search, generate
from transformer.pretrained.families import FAMILIES
from transformer.pretrained.translation import NEEDED

pytestmark = pytest.mark.oracle

PAD = 1


def words(**config):
    """Words of a config."""
    return config


BOTH = words(  # BART and Marian; every axis has a size of its own
    vocab_size=23, d_model=12, encoder_layers=2, decoder_layers=3, encoder_attention_heads=3, decoder_attention_heads=3, encoder_ffn_dim=17,
    decoder_ffn_dim=17, max_position_embeddings=14, pad_token_id=PAD, decoder_start_token_id=2, eos_token_id=3, bos_token_id=0,
    forced_eos_token_id=None,
)  # fmt: skip
T5 = words(
    vocab_size=23, d_model=12, d_kv=5, d_ff=17, num_layers=2, num_decoder_layers=3, num_heads=3, pad_token_id=PAD, eos_token_id=3,
    relative_attention_num_buckets=8, relative_attention_max_distance=6, decoder_start_token_id=PAD,
)  # fmt: skip
GPT2 = words(vocab_size=23, n_embd=12, n_head=3, n_layer=2, n_positions=14, bos_token_id=0, eos_token_id=3)
BERT = words(
    vocab_size=23, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=17, max_position_embeddings=14,
    pad_token_id=PAD,
)  # fmt: skip
LLAMA = words(
    vocab_size=23, hidden_size=12, intermediate_size=17, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
    max_position_embeddings=14, bos_token_id=0, eos_token_id=3, head_dim=4,
)  # fmt: skip

LINEAR = {"rope_type": "linear", "factor": 2.5, "rope_theta": 100.0}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 30,
}  # fmt: skip

CASES = {
    "gpt2": ("GPT2LMHeadModel", GPT2),
    "gpt2 with a head of its own": ("GPT2LMHeadModel", GPT2 | words(tie_word_embeddings=False, n_inner=17)),
    "gpt2 of other parts": ("GPT2LMHeadModel", GPT2 | words(activation_function="relu", scale_attn_weights=False, layer_norm_epsilon=1e-3)),
    "bert": ("BertModel", BERT),
    "bert of other parts": ("BertModel", BERT | words(type_vocab_size=3, hidden_act="gelu_new", layer_norm_eps=1e-3)),
    "bert with a head": ("BertForMaskedLM", BERT | words(hidden_act="relu")),
    "t5": ("T5ForConditionalGeneration", T5),
    "t5 1.1": ("T5ForConditionalGeneration", T5 | words(feed_forward_proj="gated-gelu", tie_word_embeddings=False)),
    "t5 of other parts": ("T5ForConditionalGeneration", T5 | words(feed_forward_proj="gated-silu", d_kv=4, layer_norm_epsilon=1e-3)),
    "bart": ("BartForConditionalGeneration", BOTH),
    "bart scaled": ("BartForConditionalGeneration", BOTH | words(scale_embedding=True, activation_function="relu", decoder_layers=2)),
    "bart apart": ("BartForConditionalGeneration", BOTH | words(tie_word_embeddings=False)),
    "marian": ("MarianMTModel", BOTH | words(scale_embedding=True, activation_function="swish")),
    "marian of two languages": ("MarianMTModel", BOTH | words(decoder_vocab_size=19, share_encoder_decoder_embeddings=False)),
    "marian apart": (
        "MarianMTModel", BOTH | words(decoder_vocab_size=19, share_encoder_decoder_embeddings=False, tie_word_embeddings=False),
    ),
    "llama": ("LlamaForCausalLM", LLAMA),
    "llama tied": ("LlamaForCausalLM", LLAMA | words(tie_word_embeddings=True, head_dim=2, num_key_value_heads=6, rms_norm_eps=1e-3)),
    "llama with biases": ("LlamaForCausalLM", LLAMA | words(attention_bias=True, mlp_bias=True, num_key_value_heads=3)),
    "llama of another base": (
        "LlamaForCausalLM", LLAMA | words(rope_parameters={"rope_theta": 500.0, "rope_type": "default"}, hidden_act="gelu_pytorch_tanh"),
    ),
    "llama of longer texts": ("LlamaForCausalLM", LLAMA | words(rope_parameters=LINEAR)),
    "llama 3.1": ("LlamaForCausalLM", LLAMA | words(rope_parameters=LLAMA3, head_dim=8)),  # pairs that stay, slow down, and between
    "llama with biases in attention": ("LlamaForCausalLM", LLAMA | words(attention_bias=True)),
    "llama with biases elsewhere": ("LlamaForCausalLM", LLAMA | words(mlp_bias=True, num_key_value_heads=6)),
    "mistral": ("MistralForCausalLM", LLAMA | words(sliding_window=None)),
    "qwen2": ("Qwen2ForCausalLM", LLAMA),
    "qwen2 tied": ("Qwen2ForCausalLM", LLAMA | words(tie_word_embeddings=True, rope_parameters=LLAMA3, num_key_value_heads=6)),
}  # fmt: skip
CLOSE = {np.float32: 1e-5, np.float64: 1e-10}


@pytest.fixture(scope="module")
def transformers():
    library = pytest.importorskip("transformers")
    library.logging.set_verbosity_error()
    library.logging.disable_progress_bar()
    return library


def made(transformers, case, dtype=np.float32, seed=0):
    """A model of theirs, of one of the cases."""
    return drawn(transformers, *CASES[case], dtype, seed)


def drawn(transformers, name, config, dtype=np.float32, seed=0):
    """A model of theirs whose every number is drawn, norms and biases too."""
    torch = pytest.importorskip("torch")
    model_class = getattr(transformers, name)
    torch.manual_seed(seed)
    model = model_class(model_class.config_class(**config))
    with torch.no_grad():
        for path, tensor in [*model.named_parameters(), *((p, b) for p, b in model.named_buffers() if "final_logits" in p)]:
            if "embed_positions" not in path or "Marian" not in name:
                tensor.copy_(torch.randn(tensor.shape) * 0.4 + ("norm" in path.lower() or ".ln_" in path) * ("bias" not in path))
    return model.to(getattr(torch, np.dtype(dtype).name)).eval()


SOURCE = np.array([[4, 9, 3, 5, 22], [8, 20, 3, PAD, PAD]])  # (B, S)
TARGET = np.array([[2, 7, 18], [2, 5, 11]])  # (B, T)
KINDS = np.array([[0, 0, 1, 1, 1], [0, 1, 1, 0, 0]])


def of_theirs(model, source=SOURCE, target=TARGET):
    """What their model gives."""
    import torch

    source, target, kinds = (torch.tensor(ids) for ids in (source, target, KINDS))
    with torch.no_grad():
        if "Bert" in type(model).__name__:
            body = getattr(model, "bert", model)
            return body(source, attention_mask=source != PAD, token_type_ids=kinds).last_hidden_state.numpy()
        if not model.config.is_encoder_decoder:
            return model(source).logits.numpy()
        return model(input_ids=source, attention_mask=(source != PAD).long(), decoder_input_ids=target).logits.numpy()


def of_ours(model, source=SOURCE, target=TARGET):
    """What ours gives for the same."""
    kind = type(model).__name__
    out = model(source, KINDS) if kind == "Encoder" else model(source) if kind == "LanguageModel" else model(source, target)
    return out.numpy()


def compare(ours, theirs, close):
    """Equal behind every real token; an encoder's numbers for padding mean nothing."""
    if ours.shape[1] == SOURCE.shape[1] and ours.shape[-1] == 12:
        ours, theirs = (x[SOURCE != PAD] for x in (ours, theirs))
    np.testing.assert_allclose(ours, theirs, rtol=close, atol=close * max(1, abs(theirs).max()))


def reading(folder):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*left out (bert.)?(pooler|cls)")
        return from_pretrained(folder)


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("case", CASES)
def test_theirs_is_read_by_ours(case, dtype, transformers, tmp_path):
    theirs = made(transformers, case, dtype)
    theirs.save_pretrained(tmp_path)
    with mg.use_default_dtype(dtype):
        ours = reading(tmp_path)
        # in a model of float64 too, their waves, angles and means of squares are float32
        close = 1e-5 if case.split()[0] in ("marian", "llama", "mistral", "qwen2", "t5") else CLOSE[dtype]
        compare(of_ours(ours), of_theirs(theirs), close)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("family", ["gpt2", "bert", "t5", "bart", "marian", "llama"])
def test_configs_that_are_drawn(family, seed, transformers, tmp_path):
    rng = np.random.default_rng([seed, *family.encode()])
    heads, shared, dq, layers, more = (int(n) for n in rng.integers([1, 1, 1, 1, 1], [4, 3, 5, 4, 4]))
    sizes = {"width": 2 * heads * dq, "wide": int(rng.integers(5, 40)), "longest": int(rng.integers(5, 20))}
    plain, some = ["gelu", "gelu_new", "relu", "silu"][rng.integers(4)], bool(rng.integers(2))
    epsilon = float(10.0 ** -rng.integers(3, 8))
    both = {
        "d_model": sizes["width"], "encoder_ffn_dim": sizes["wide"], "decoder_ffn_dim": sizes["wide"], "encoder_layers": layers,
        "decoder_layers": more, "encoder_attention_heads": heads, "decoder_attention_heads": heads, "activation_function": plain,
        "max_position_embeddings": sizes["longest"], "scale_embedding": some,
    }  # fmt: skip
    config = {
        "gpt2": {
            "n_embd": sizes["width"], "n_inner": sizes["wide"], "n_head": heads, "n_layer": layers, "n_positions": sizes["longest"],
            "activation_function": plain, "layer_norm_epsilon": epsilon, "tie_word_embeddings": some,
        },
        "bert": {
            "hidden_size": sizes["width"], "intermediate_size": sizes["wide"], "num_attention_heads": heads, "num_hidden_layers": layers,
            "max_position_embeddings": sizes["longest"], "hidden_act": plain, "layer_norm_eps": epsilon, "type_vocab_size": 1 + shared,
        },
        "t5": {
            "d_model": sizes["width"], "d_kv": 1 + dq, "d_ff": sizes["wide"], "num_heads": heads, "num_layers": layers,
            "num_decoder_layers": more, "feed_forward_proj": ["relu", "gated-gelu", "gated-silu"][rng.integers(3)],
            "layer_norm_epsilon": epsilon, "relative_attention_num_buckets": 4 * int(rng.integers(1, 9)),
            "relative_attention_max_distance": int(rng.integers(20, 40)), "tie_word_embeddings": some,
        },
        "bart": both,
        "marian": both | {"share_encoder_decoder_embeddings": some, **({} if some else {"decoder_vocab_size": 20})},
        "llama": {
            "hidden_size": sizes["width"], "head_dim": 2 * int(rng.integers(1, 5)), "intermediate_size": sizes["wide"],
            "num_attention_heads": heads * shared, "num_key_value_heads": heads, "num_hidden_layers": layers, "rms_norm_eps": epsilon,
            "max_position_embeddings": sizes["longest"], "attention_bias": some, "mlp_bias": some, "tie_word_embeddings": bool(dq % 2),
            "rope_parameters": {"rope_type": "default", "rope_theta": float(rng.integers(10, 10_000))},
        },
    }[family]  # fmt: skip
    theirs = drawn(transformers, CASES[family][0], CASES[family][1] | config, seed=seed)
    theirs.save_pretrained(tmp_path)
    found, wanted = of_ours(reading(tmp_path)), of_theirs(theirs)
    if family == "bert":
        found, wanted = found[SOURCE != PAD], wanted[SOURCE != PAD]
    np.testing.assert_allclose(found, wanted, atol=1e-5 * max(1, abs(wanted).max()))


@pytest.mark.parametrize("case", [case for case in CASES if case != "bart apart"])
def test_ours_is_read_by_theirs(case, transformers, tmp_path):
    theirs = made(transformers, case)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = reading(tmp_path / "theirs")
    save_pretrained(ours, tmp_path / "ours", family=theirs.config.model_type)
    model_class = transformers.BertModel if "Bert" in type(theirs).__name__ else type(theirs)
    options = {"add_pooling_layer": False} if model_class is transformers.BertModel else {}
    again, report = model_class.from_pretrained(tmp_path / "ours", output_loading_info=True, **options)
    assert not any(report[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    np.testing.assert_allclose(of_theirs(again.eval()), of_theirs(theirs), rtol=1e-6, atol=1e-6)
    twin = reading(tmp_path / "ours")
    assert twin.config == ours.config
    np.testing.assert_array_equal(of_ours(twin), of_ours(ours))


@pytest.mark.parametrize("case", CASES)
def test_every_tensor_of_a_file_changes_what_comes_out(case, transformers, tmp_path):
    from safetensors.numpy import load_file, save_file

    theirs = made(transformers, case)
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    arrays, rng = load_file(path), np.random.default_rng(0)
    before = of_ours(reading(tmp_path))
    for name, array in arrays.items():
        changes = abs(of_ours_changed(name, array, arrays, path, rng, save_file, tmp_path) - before).max() > 1e-4
        unused = "pooler" in name or name.startswith("cls.") or (case == "bart apart" and name == "model.shared.weight")
        turned = case.split()[0] in ("llama", "qwen2")  # by angles, before
        constant = not turned and any(part in name for part in ("k_proj.bias", "key.bias"))  # adds the same to all scores of a question
        assert changes != (unused or constant), name


def of_ours_changed(name, array, arrays, path, rng, save_file, folder):
    save_file({**arrays, name: array + rng.normal(size=array.shape).astype(array.dtype)}, path)
    return of_ours(reading(folder))


def test_t5_with_a_head_of_its_own(transformers, tmp_path):
    """As the files of T5 1.1 are: the config says that nothing is tied, and there are two matrices."""
    from safetensors.numpy import load_file, save_file

    theirs = made(transformers, "t5 1.1")
    theirs.save_pretrained(tmp_path)
    head = np.random.default_rng(0).normal(size=(23, 12)).astype(np.float32)
    save_file(load_file(tmp_path / "model.safetensors") | {"lm_head.weight": head}, tmp_path / "model.safetensors", {"format": "pt"})
    memory = of_hidden(theirs)
    for tied, scaled in ((False, None), (True, False)):  # older files, and newer ones
        said = {"tie_word_embeddings": tied, "scale_decoder_outputs": scaled}
        config = json.loads((tmp_path / "config.json").read_text()) | said
        (tmp_path / "config.json").write_text(json.dumps({name: value for name, value in config.items() if value is not None}))
        ours = reading(tmp_path)
        assert not ours.config.tied and ours.config.head_scale == 1
        np.testing.assert_allclose(of_ours(ours), memory @ head.T, rtol=1e-5, atol=1e-5 * abs(memory @ head.T).max())


def test_t5_goes_on_where_its_config_ends(transformers, tmp_path):
    """As the library does, which never looks at n_positions; here it is raised by hand."""
    theirs = drawn(transformers, CASES["t5"][0], CASES["t5"][1] | {"n_positions": 3})
    theirs.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="T at most 3"):
        of_ours(reading(tmp_path))
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"n_positions": 3', '"n_positions": 99'))
    np.testing.assert_allclose(of_ours(reading(tmp_path)), of_theirs(theirs), atol=1e-5 * abs(of_theirs(theirs)).max())


def of_hidden(model):
    """What stands before their head."""
    import torch

    source, target = torch.tensor(SOURCE), torch.tensor(TARGET)
    with torch.no_grad():
        found = model(input_ids=source, attention_mask=(source != PAD).long(), decoder_input_ids=target, output_hidden_states=True)
    return found.decoder_hidden_states[-1].numpy()


@pytest.mark.parametrize("case", ["gpt2", "bert", "t5 1.1", "bart"])  # in the others they round waves and angles too
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_halves_are_read_as_what_they_are(case, kind, transformers, tmp_path):
    import torch

    theirs = made(transformers, case).to(getattr(torch, kind))
    theirs.save_pretrained(tmp_path, max_shard_size="2KB")
    assert len([*tmp_path.glob("model-*.safetensors")]) > 1
    ours = reading(tmp_path)
    assert {tensor.dtype for tensor in ours.parameters()} == {np.dtype(np.float32)}
    compare(of_ours(ours), of_theirs(theirs.to(torch.float32)), 1e-5)


@pytest.mark.parametrize("case", ["gpt2", "llama", "t5", "bart"])
def test_learning_goes_on_from_transposed_weights(case, transformers, tmp_path):
    """One step of AdamW changes views of transposed arrays and arrays in C order alike."""
    made(transformers, case).save_pretrained(tmp_path)
    views, copies = reading(tmp_path), reading(tmp_path)
    copies.load_state_dict(copies.state_dict())
    layouts = [{p: tensor.numpy().flags.c_contiguous for p, tensor in model.named_parameters().items()} for model in (views, copies)]
    assert all(layouts[1].values()) and (case == "gpt2" or not all(layouts[0].values()))
    losses = []
    for model in (views, copies):
        optimiser = mg.optim.AdamW(model.parameters(), lr=1e-2)
        for _ in range(2):
            optimiser.zero_grad()
            logits = model(SOURCE[:1, :-1]) if case in ("gpt2", "llama") else model(SOURCE, TARGET)
            loss = mg.cross_entropy(logits, SOURCE[:1, 1:] if case in ("gpt2", "llama") else TARGET)
            loss.backward()
            optimiser.step()
            losses.append(float(loss))
    np.testing.assert_allclose(losses[:2], losses[2:], rtol=1e-5)
    assert losses[1] < losses[0]
    for (path, one), other in zip(views.state_dict().items(), copies.state_dict().values()):
        # AdamW divides by the size of a gradient: where that is 0 but for rounding (biases of keys), its sign is chance
        if "key_bias" not in path:
            np.testing.assert_allclose(one, other, atol=2e-4, err_msg=path)


def test_a_folder_of_sentence_vectors(transformers, tmp_path):
    import torch

    theirs = made(transformers, "bert")
    theirs.save_pretrained(tmp_path)
    kinds = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"} for i, (kind, path) in
               enumerate(kinds.items())]  # fmt: skip
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "1_Pooling").mkdir()
    for mode, pooling in (("mean_tokens", "mean"), ("cls_token", "first")):
        modes = {"pooling_mode_mean_tokens": mode == "mean_tokens", "pooling_mode_cls_token": mode == "cls_token"}
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(modes))
        ours = from_pretrained(tmp_path)
        assert (ours.config.pooling, ours.config.normalize) == (pooling, True)
        hidden, real = torch.tensor(of_theirs(theirs)), torch.tensor(SOURCE != PAD).float()[..., None]
        vector = (hidden * real).sum(1) / real.sum(1) if pooling == "mean" else hidden[:, 0]
        np.testing.assert_allclose(of_ours(ours), torch.nn.functional.normalize(vector, dim=-1).numpy(), atol=1e-5)
        save_pretrained(ours, tmp_path / mode, family="bert")
        assert from_pretrained(tmp_path / mode).config == ours.config


@pytest.mark.parametrize("case", [case for case in CASES if "bert" not in case])
def test_greedy_and_beams_write_what_theirs_write(case, transformers, tmp_path):
    import torch

    theirs = made(transformers, case)
    theirs.save_pretrained(tmp_path)
    ours = reading(tmp_path)
    decoder_only = not theirs.config.is_encoder_decoder
    prompts = np.array([[4, 9, 20, 5], [8, 20, 3, 21]]) if decoder_only else SOURCE
    ids, real = torch.tensor(prompts), torch.tensor(prompts != PAD).long()
    # where a model writes padding itself, or what may not be its first token, is up to whoever asks
    options = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": PAD, "forced_eos_token_id": None, "forced_bos_token_id": None}
    options["use_cache"] = not case.startswith("t5")  # theirs fails where a T5's decoder has more blocks than its encoder
    first = prompts.shape[1] if decoder_only else 1
    written = theirs.generate(ids, attention_mask=real, **options)[:, first:]
    sources = list(prompts) if decoder_only else [row[row != PAD] for row in prompts]
    check_rows(generate(ours, sources, 8), written)
    written = theirs.generate(ids, attention_mask=real, num_beams=3, length_penalty=0.7, **options)[:, first:]
    check_rows([beams[0].ids for beams in beam_search(ours, sources, 8, beams=3, length_penalty=0.7)], written)


def check_rows(ours, theirs):
    """The same ids, each row up to the end that it has; behind it stands padding."""
    for one, other in zip(ours, theirs.tolist()):
        assert one.tolist() == other[: len(one)] and all(token == PAD for token in other[len(one) :])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_word_that_a_file_does_not_have_means_what_it_means_to_theirs(name, transformers):
    family = FAMILIES[name]
    theirs = getattr(transformers, family.architectures[0]).config_class().to_dict()
    given = {word: key.default for word, key in family.config.items() if key.default is not NEEDED and not callable(key.default)}
    known = {word: default for word, default in given.items() if theirs.get(word) is not None}
    assert known == {word: theirs[word] for word in known} and len(known) > 3
    other = ("sliding_window", "layer_types")  # of which the family makes something first
    assert all(theirs[word] in values for word, values in family.accepted.items() if word in theirs and word not in other)

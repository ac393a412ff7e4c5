"""GGUF files: numbers, order of rows, config and tokenizer as Hugging Face's library reads them, and sentences for what cannot be read."""

import struct
import tracemalloc

import numpy as np
import pytest

gguf = pytest.importorskip("gguf")

from transformer import from_pretrained, load_tokenizer  # noqa: E402
from transformer.errors import UserError  # noqa: E402
from transformer.gguf import TOGETHER, read  # noqa: E402

F32, F16, BF16 = gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.BF16
HEADS, SHARED, WIDTH, HIDDEN, LAYERS = 4, 2, 32, 64, 2  # dq = 8

GPT2_BYTES = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that stand for themselves; the others come after 255
LETTERS = [chr(byte if byte in GPT2_BYTES else 256 + sum(b not in GPT2_BYTES for b in range(byte))) for byte in range(256)]
MERGES = ["h e", "l l", "he ll", "hell o", "Ġ w", "Ġw o", "1 2", "Ġ Ù", "Ġ 3"]
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *LETTERS, *(merge.replace(" ", "") for merge in MERGES), "<own>"]
VOCAB = len(TOKENS)
TYPES = [3, 3, 3, *[1] * (VOCAB - 4), 4]


def arrays(rng, vocab=VOCAB, untied=False, layers=LAYERS):
    """The arrays of a small model by their names in the file, (out, in), as llama.cpp orders their rows."""
    keys = WIDTH * SHARED // HEADS
    block = {
        "attn_norm": (WIDTH,), "attn_q": (WIDTH, WIDTH), "attn_k": (keys, WIDTH), "attn_v": (keys, WIDTH), "attn_output": (WIDTH, WIDTH),
        "ffn_norm": (WIDTH,), "ffn_gate": (HIDDEN, WIDTH), "ffn_up": (HIDDEN, WIDTH), "ffn_down": (WIDTH, HIDDEN),
    }  # fmt: skip
    shapes = {"token_embd.weight": (vocab, WIDTH), "output_norm.weight": (WIDTH,)}
    shapes |= {f"blk.{number}.{name}.weight": shape for number in range(layers) for name, shape in block.items()}
    shapes |= {"output.weight": (vocab, WIDTH)} if untied else {}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def write(path, tensors, kind=F32, fields=None, words=None, architecture="llama"):
    """A file with matrices of a kind; ``fields`` of the model and ``words`` of the tokenizer go over the usual ones, None leaves out."""
    writer = gguf.GGUFWriter(path, architecture)
    usual = {
        "embedding_length": WIDTH, "feed_forward_length": HIDDEN, "block_count": LAYERS, "context_length": 48,
        "attention.head_count": HEADS, "attention.head_count_kv": SHARED, "attention.layer_norm_rms_epsilon": 2.0**-17,
        "rope.freq_base": 5000.0, "rope.dimension_count": WIDTH // HEADS, "vocab_size": VOCAB,
    }  # fmt: skip
    for name, value in {**usual, **(fields or {})}.items():
        if value is not None:
            add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}[type(value)]
            add(f"{architecture}.{name}", value)
    spoken = {
        "model": "gpt2", "pre": "smollm", "tokens": TOKENS, "token_type": TYPES, "merges": MERGES, "bos_token_id": 1, "eos_token_id": 2,
        "unknown_token_id": 0, "padding_token_id": 2, "add_bos_token": False,
    }  # fmt: skip
    for name, value in {**spoken, **(words or {})}.items():
        if value is not None:
            kinds = {int: writer.add_uint32, bool: writer.add_bool, str: writer.add_string, list: writer.add_array}
            kinds[type(value)](f"tokenizer.ggml.{name}", value)
    writer.add_chat_template("{{ messages }}")
    for name, array in tensors.items():
        if array.dtype == np.uint8:
            writer.add_tensor(name, array, raw_dtype=kind)
        else:
            of = kind if array.ndim > 1 else F32
            writer.add_tensor(name, gguf.quants.quantize(array, of), raw_dtype=of)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_every_array_comes_back_as_the_library_unpacks_it(kind, tmp_path, rng):
    kind, given = gguf.GGMLQuantizationType[kind], arrays(rng)
    tensors = read(write(tmp_path / "m.gguf", given, kind)).tensors
    assert len(tensors) == len(given) == 2 + 9 * LAYERS
    for theirs, name in (("blk.1.ffn_down", "layers.1.mlp.down_proj"), ("token_embd", "embed_tokens"), ("output_norm", "norm")):
        of, array = kind if given[f"{theirs}.weight"].ndim > 1 else F32, given[f"{theirs}.weight"]
        expected = gguf.quants.dequantize(gguf.quants.quantize(array, of), of)
        found = tensors[f"model.{name}.weight"]
        assert found.dtype == np.float32 and found.flags.writeable
        np.testing.assert_array_equal(found, expected)
        assert np.abs(found - array).max() < 0.5


def test_matrices_of_many_rows_are_unpacked_in_parts_and_into_any_strides(tmp_path, rng):
    given = arrays(rng, vocab=TOGETHER // WIDTH + 3)
    tensors = read(write(tmp_path / "m.gguf", given)).tensors
    name = "model.embed_tokens.weight"
    np.testing.assert_array_equal(tensors[name], given["token_embd.weight"])
    turned = np.zeros(tensors.shape(name)[::-1], np.float32)
    tensors.unpack(name, turned.T)
    np.testing.assert_array_equal(turned, given["token_embd.weight"].T)


def test_unpacking_needs_little_besides_the_array(tmp_path, rng):
    tensors = read(write(tmp_path / "m.gguf", arrays(rng, vocab=16 * TOGETHER // WIDTH), F16)).tensors
    name = "model.embed_tokens.weight"
    out = np.empty(tensors.shape(name), np.float32)
    tracemalloc.start()
    tensors.unpack(name, out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 4 * TOGETHER < out.nbytes / 2


@pytest.mark.parametrize("kind", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL"])
def test_blocks_that_the_library_can_only_read(kind, tmp_path, rng):
    kind = gguf.GGMLQuantizationType[kind]
    numbers, size = gguf.GGML_QUANT_SIZES[kind]
    packed = rng.integers(0, 60, (VOCAB, size), dtype=np.uint8)  # small bytes, so that no factor is infinite
    found = read(write(tmp_path / "m.gguf", {**only_vectors(arrays(rng)), "token_embd.weight": packed}, kind)).tensors
    np.testing.assert_array_equal(found["model.embed_tokens.weight"], gguf.quants.dequantize(packed, kind))
    assert found["model.embed_tokens.weight"].shape == (VOCAB, numbers)


def only_vectors(given):
    """Everything but matrices, which would have to be made of blocks."""
    return {name: array for name, array in given.items() if array.ndim == 1}


def test_rows_of_questions_and_keys_are_paired_by_halves(tmp_path, rng):
    given = arrays(rng)
    tensors = read(write(tmp_path / "m.gguf", given, F32)).tensors
    for name, heads in (("q", HEADS), ("k", SHARED)):
        file, found = given[f"blk.0.attn_{name}.weight"], tensors[f"model.layers.0.self_attn.{name}_proj.weight"]
        dq = WIDTH // HEADS
        for head in range(heads):
            for pair in range(dq // 2):
                np.testing.assert_array_equal(found[head * dq + pair], file[head * dq + 2 * pair])
                np.testing.assert_array_equal(found[head * dq + dq // 2 + pair], file[head * dq + 2 * pair + 1])
    np.testing.assert_array_equal(tensors["model.layers.0.self_attn.v_proj.weight"], given["blk.0.attn_v.weight"])


def test_the_config_speaks_hugging_faces_words(tmp_path, rng):
    config = read(write(tmp_path / "m.gguf", arrays(rng))).config
    assert config == {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": WIDTH,
        "intermediate_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": SHARED,
        "head_dim": WIDTH // HEADS, "rms_norm_eps": 2.0**-17, "rope_theta": 5000.0, "rope_scaling": None, "max_position_embeddings": 48,
        "vocab_size": VOCAB, "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2, "unk_token_id": 0, "pad_token_id": 2,
    }  # fmt: skip
    fields = {"attention.head_count_kv": None, "rope.freq_base": None}
    untied = read(write(tmp_path / "u.gguf", arrays(rng, untied=True) | alone(rng), fields=fields))
    assert not untied.config["tie_word_embeddings"] and untied.tensors["lm_head.weight"].shape == (VOCAB, WIDTH)
    assert (untied.config["num_key_value_heads"], untied.config["rope_theta"]) == (HEADS, 10_000.0)


@pytest.mark.parametrize("fields, factor", [
    ({"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}, 4.0), ({"rope.scaling.factor": 4.0}, 4.0),
    ({"rope.scale_linear": 2.0}, 2.0), ({"rope.scaling.type": "linear"}, None), ({}, None),
    ({"rope.scaling.type": "none", "rope.scaling.factor": 4.0}, None),
    ({"rope.scaling.factor": 0.0}, None), ({"rope.scaling.factor": 1.0}, None),
])  # fmt: skip
def test_rotary_positions_that_are_stretched(fields, factor, tmp_path, rng):
    """As llama.cpp reads these fields: a factor alone is linear, 0 and 1 are none."""
    path = write(tmp_path / "m.gguf", arrays(rng), fields=fields)
    assert read(path).config["rope_scaling"] == (factor and {"rope_type": "linear", "factor": factor})
    assert from_pretrained(path).config.rotary_stretch == ((factor,) if factor else ())


def alone(rng):
    """Keys of as many heads as questions."""
    return {f"blk.{number}.attn_k.weight": rng.normal(size=(WIDTH, WIDTH)).astype(np.float32) for number in range(LAYERS)}


# -------------------------------------------------------------------------------------------------------------- what cannot be read


def test_a_file_that_is_cut_off_anywhere_is_told_in_a_sentence(tmp_path, rng):
    whole = write(tmp_path / "m.gguf", arrays(rng, layers=1), words={"merges": MERGES[:2]}).read_bytes()
    short = tmp_path / "short.gguf"
    for length in [*range(1, 400, 7), *range(400, len(whole) - 1, 997), len(whole) - 1]:
        short.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"short\.gguf is damaged, or of a kind that is not read here: ") as caught:
            read(short)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_bytes_that_were_changed_are_read_or_told(tmp_path, rng):
    whole = bytearray(write(tmp_path / "m.gguf", arrays(rng, layers=1), words={"merges": MERGES[:2]}).read_bytes())
    header = whole.index(b"blk.0.ffn_down.weight") + 200
    changed = tmp_path / "changed.gguf"
    for _ in range(300):
        content = whole.copy()
        for place in rng.integers(0, header, 3):
            content[place] = rng.integers(0, 256)
        changed.write_bytes(content)
        try:
            found = read(changed)
            assert all(array.dtype == np.float32 for array in found.tensors.values())
            found.tokenizer.encode("hello")
        except UserError as error:
            assert str(error).startswith(str(changed))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"GGML" + bytes(60), "does not begin with the letters GGUF"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(60), "its version is 1, not 2 or 3"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(60), "its bytes are big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0) + bytes(60), "should hold 1,152,921,504,606,846,976 things where it has"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60) + bytes(60), "should hold 1,152,921,504,606,846,976 things where it has"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**62) + bytes(60), "a word of 4,611,686,018,427,387,904 bytes would end behind its 92"),
        (b"GGUF" + struct.pack("<IQQQ4sIIQ", 3, 0, 1, 4, b"list", 9, 4, 2**62) + bytes(60), "should hold 4,611,686,018,427,387,904 things"),
        (b"GGUF" + struct.pack("<IQQQ4sIIQ", 3, 0, 1, 4, b"list", 9, 9, 1) + bytes(60), "a value of the kind 9, or a list of such"),
        (b"GGUF" + struct.pack("<IQQQ4sI", 3, 0, 1, 4, b"what", 77) + bytes(60), "a value of the kind 77"),
    ],
)
def test_headers_that_are_none(content, message, tmp_path):
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("options", "tensors", "message"),
    [
        ({"architecture": "gemma"}, {}, "the architecture 'gemma'; the one that is read from GGUF is 'llama'"),
        ({"fields": {"rope.scaling.type": "yarn"}}, {}, "rope scaling.* in the way 'yarn', and what is read is linear"),
        ({"fields": {"rope.scaling.factor": "two"}}, {}, "llama.rope.scaling.factor is 'two'"),
        ({}, {"rope_freqs.weight": np.ones(4, np.float32)}, r"a number of its own \(rope_freqs.weight\)"),
        ({"fields": {"rope.dimension_count": 4}}, {}, "a part of each head only"),
        ({"fields": {"context_length": None}}, {}, "llama.context_length is None"),
        ({"fields": {"block_count": "two"}}, {}, "llama.block_count is 'two'"),
        ({}, {"blk.0.ffn_gate_inp.weight": np.ones((2, 32), np.float32)}, "no place for a tensor 'blk.0.ffn_gate_inp.weight'"),
        ({}, {"blk.0.attn_q.weight": np.ones((6, 32), np.float32)}, "cannot reshape"),
        ({}, {"token_embd.weight": np.ones((5, 32, 2), np.float32)}, "'token_embd.weight' has 3 axes"),
    ],
)
def test_models_that_are_not_read(options, tensors, message, tmp_path, rng):
    path = write(tmp_path / "m.gguf", arrays(rng) | tensors, **options)
    with pytest.raises(UserError, match=message):
        read(path)


def test_tensors_that_share_their_numbers(tmp_path, rng):
    """A small file cannot claim many large tensors, all of the same bytes."""
    path = write(tmp_path / "m.gguf", arrays(rng))
    content = path.read_bytes()
    one, other = (content.index(name) + len(name) + 4 + 16 + 4 for name in (b"blk.0.ffn_up.weight", b"blk.1.ffn_up.weight"))  # offsets
    path.write_bytes(content[:other] + content[one : one + 8] + content[other + 8 :])
    with pytest.raises(UserError, match="the numbers of blk.[01].ffn_up.weight begin before those of another tensor end"):
        read(path)


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_numbers_that_are_not_finite_are_told_in_a_sentence(kind, tmp_path, rng):
    given, kind = arrays(rng), gguf.GGMLQuantizationType[kind]
    matrix = given["blk.0.ffn_up.weight"]
    if kind == F32:
        matrix[0, :2] = np.inf, -np.inf  # their sum is none
    else:
        matrix[0, 0] = 0
        given["blk.0.ffn_up.weight"] = packed = gguf.quants.quantize(matrix, kind)
        packed[0, :2] = np.float16(np.inf).reshape(1).view(np.uint8)  # by which 0 is multiplied
    path = write(tmp_path / "m.gguf", given, kind)
    with pytest.raises(UserError, match="not finite in model.layers.0.mlp.up_proj.weight"):
        from_pretrained(path)


@pytest.mark.parametrize("alignment", [0, "a"])
def test_an_alignment_that_is_none(alignment, tmp_path, rng):
    path = write(tmp_path / "m.gguf", arrays(rng), fields={"x": 5})
    content = path.read_bytes().replace(b"\x07\0\0\0\0\0\0\0llama.x", b"\x11\0\0\0\0\0\0\0general.alignment")
    if alignment == "a":
        content = content.replace(b"alignment\x04\0\0\0\x05\0\0\0", b"alignment\x08\0\0\0\x01\0\0\0\0\0\0\0a")
    else:
        content = content.replace(b"alignment\x04\0\0\0\x05\0\0\0", b"alignment\x04\0\0\0\0\0\0\0")
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"general.alignment is {alignment!r}"):
        read(path)


NUMBERS_THAT_MISLEAD = [0, 1, 3, 7, 9, 255, 2**20, 2**31, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_a_file_that_is_made_to_mislead_gives_a_model_or_a_sentence_and_takes_little_memory(kind, seed, tmp_path, rng):
    given = arrays(rng, layers=1)
    fields, words = {"block_count": 1, "rope.scaling.factor": 2.0}, {"merges": MERGES[:2]}
    whole = write(tmp_path / "m.gguf", given, gguf.GGMLQuantizationType[kind], fields, words).read_bytes()
    from_pretrained(tmp_path / "m.gguf")  # what is made once
    header, draw, path = whole.index(b"output_norm.weight") + 800, np.random.default_rng(seed), tmp_path / "x.gguf"
    read_well = 0
    for _ in range(60):
        content, place = bytearray(whole), int(draw.integers(4, header))
        size = int(draw.choice([1, 4, 8]))
        number = int(draw.choice(np.array(NUMBERS_THAT_MISLEAD, object))) if draw.random() < 0.7 else int(draw.integers(0, 256))
        content[place : place + size] = (number % 256**size).to_bytes(size, "little")
        path.write_bytes(content[: int(draw.integers(4, len(content)))] if draw.random() < 0.1 else content)
        tracemalloc.start()
        try:
            from_pretrained(path)
            read(path).tokenizer.encode("hello")
            read_well += 1
        except UserError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error) and "unpack" not in str(error)
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < 60 * len(whole)
    assert 5 < read_well < 55


def test_kinds_of_numbers_that_are_none(tmp_path, rng):
    path = write(tmp_path / "m.gguf", {**only_vectors(arrays(rng)), "token_embd.weight": np.zeros((3, 256), np.uint8)}, F32)
    content = path.read_bytes()
    place = content.index(b"token_embd.weight") + len(b"token_embd.weight") + 4 + 16
    for kind, message in ((77, "77 is not a valid"), (26, "I32"), (4, "4 is not a valid")):
        path.write_bytes(content[:place] + struct.pack("<I", kind) + content[place + 4 :])
        with pytest.raises(UserError, match=message):
            read(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.gguf is missing"):
        read(tmp_path / "nowhere.gguf")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read(tmp_path)
    for content, said in (("", "is empty"), ("version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer"), ("GGU", "is damaged")):
        (tmp_path / "x.gguf").write_text(content)
        with pytest.raises(UserError, match=rf"x\.gguf {said}"):
            read(tmp_path / "x.gguf")


# --------------------------------------------------------------------------------------------------------------------- tokenizers

TEXTS = (
    "hello world", " hello  two  spaces\n\t", "e\u0301 caf\u00e9", "👩‍👩‍👧 🏳️‍🌈 👍🏽", "你好，世界", "שלום مرحبا",
    "112 12 3 333", "don't I'll", "", "<|im_start|>user\nhello<|im_end|>",
    "a\x00b\u200d\ufeff\u2028", "an <own> word, <own>hello", "<|im_start", "𝕳 \U0010ffff",
)  # fmt: skip


def test_the_tokenizer_in_a_file(tmp_path, rng):
    tokenizer = load_tokenizer(write(tmp_path / "m.gguf", arrays(rng)))
    assert (tokenizer.start, tokenizer.end, tokenizer.pad, tokenizer.unknown, tokenizer.vocab_size) == (1, 2, 2, 0, VOCAB)
    assert tokenizer.chat_template == "{{ messages }}"
    assert [TOKENS[number] for number in tokenizer.encode("hello wo1212")] == ["hello", "Ġwo", "1", "2", "1", "2"]
    assert [TOKENS[number] for number in tokenizer.encode("a 3\u0663 \u0663")] == ["a", "Ġ", "3", "Ù", "£", "Ġ", "Ù", "£"]  # any digit
    assert tokenizer.encode("<|im_end|>") == [2] and tokenizer.encode("x<own>")[1:] == [VOCAB - 1]
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text), special=True) == text
    assert tokenizer.decode(tokenizer.encode("<|im_start|>user\nhello<|im_end|>")) == "user\nhello"
    with pytest.raises(UserError, match=r"U\+DC80 at position 1 is half a character"):
        tokenizer.encode("a\udc80")


def test_signs_around_a_text_as_the_file_says(tmp_path, rng):
    words = {"add_bos_token": True, "add_eos_token": True, "pre": "gpt-2"}
    tokenizer = load_tokenizer(write(tmp_path / "m.gguf", arrays(rng), words=words))
    assert tokenizer.encode("hello")[::2] == [1, 2] and len(tokenizer.encode("hello", special=False)) == 1
    assert TOKENS[tokenizer.encode("12")[1]] == "12" and TOKENS[tokenizer.encode(" 3")[1]] == "Ġ3"  # digits stay together


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"model": "llama"}, "a tokenizer of the kind 'llama' that cuts text as 'smollm' does"),
        ({"pre": "qwen2"}, "what is read here is 'gpt2' with 'smollm' or 'gpt-2'"),
        ({"model": None}, "a tokenizer of the kind None"),
        ({"merges": None}, "it has no 'merges'"),
        ({"merges": ["nothing known"]}, "out of vocabulary"), ({"merges": ["h"]}, "a merge of its tokenizer is no pair of pieces"),
        ({"token_type": [1, 1]}, "tokens, and the types of 2"),
        ({"tokens": [1, 2, 3], "token_type": [1, 1, 1]}, "damaged"),
    ],
)
def test_tokenizers_that_are_not_read(words, message, tmp_path, rng):
    model = read(write(tmp_path / "m.gguf", arrays(rng), words=words))
    assert model.tensors["model.norm.weight"].shape == (WIDTH,)  # the weights are not concerned
    with pytest.raises(UserError, match=message):
        _ = model.tokenizer


# ------------------------------------------------------------------------------------------------------------------------ the oracle


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["F32", "Q4_1", "Q8_0"])
def test_transformers_reads_the_same_weights_and_config(kind, tmp_path, rng):
    library = pytest.importorskip("transformers")
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    ours = read(write(tmp_path / "m.gguf", arrays(rng, untied=True), gguf.GGMLQuantizationType[kind]))
    model = library.LlamaForCausalLM(library.LlamaConfig(**ours.config))
    theirs = load_gguf_checkpoint(str(ours.path), return_tensors=True, model_to_load=model)
    assert set(ours.tensors) == set(theirs["tensors"]) == set(model.state_dict())
    for name, array in ours.tensors.items():
        assert array.shape == tuple(model.state_dict()[name].shape), name
        np.testing.assert_array_equal(array, theirs["tensors"][name], err_msg=name)
    for word, value in theirs["config"].items():
        if word in ours.config and word != "architectures":
            assert ours.config[word] == value, word


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_transformers_gives_the_same_ids(tmp_path, rng):
    transformers = pytest.importorskip("transformers")
    path = write(tmp_path / "m.gguf", arrays(rng), words={"pre": "gpt-2", "token_type": [*TYPES[:-1], 1]})
    ours, theirs = load_tokenizer(path), transformers.AutoTokenizer.from_pretrained(tmp_path, gguf_file=path.name)
    for text in TEXTS:
        assert ours.encode(text) == theirs(text)["input_ids"]

"""The cache: a token after what was read before gives what the whole text gives, for every kind of position, norm and head."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import LayerError, ShapeError
from tests.helpers import assert_close
from transformer.cache import Cache
from transformer.decoding import Decoding
from transformer.models import EncoderDecoder, EncoderDecoderConfig, LanguageModel, LanguageModelConfig

B, T, S, E, F, h, dq, N, V, W, L = 2, 5, 4, 12, 7, 4, 6, 2, 11, 13, 9
SIZES = {"layers": N, "heads": h, "width": E, "feed_forward": F}
KINDS = {
    "GPT-2": {},
    "post-norm": {"norm": "post", "embedding_norm": True, "activation": "gelu", "head_bias": True},
    "waves": {"positions": "sinusoidal", "tied": False, "head_bias": True},
    "Marian": {"positions": "sinusoidal_halves", "norm": "post", "activation": "silu", "embedding_scale": 1.5},
    "LLaMA": {
        "positions": "rotary", "normalization": "rms", "activation": "swiglu", "use_bias": False, "key_value_heads": 2, "head_width": dq,
        "rotary_base": 50.0,
    },
    "LLaMA 3.1": {
        "positions": "rotary", "normalization": "rms", "activation": "swiglu", "rotary_base": 9.0, "rotary_stretch": (8.0, 1.0, 4.0, 20),
        "attention_output_bias": False, "head_width": dq,
    },
    "T5": {
        "positions": "relative", "normalization": "rms", "activation": "geglu_tanh", "use_bias": False, "scaled": False, "head_width": dq,
        "head_scale": 0.7, "relative_buckets": 6, "relative_distance": 5,
    },
    "no positions": {"ablate": ("positions", "scale")},
}  # fmt: skip
every = pytest.mark.parametrize("kind", KINDS)
both = pytest.mark.parametrize("family", ["LanguageModel", "EncoderDecoder"])
IDS = np.array([[3, 10, 1, 7, 7], [7, 2, 2, 5, 9]])
SOURCE = np.array([[3, 10, 12, 0], [7, 12, 4, 2]])  # one with padding


def made(family, kind, dtype="float64"):
    """A model whose every part matters, and the memory of a source or None."""
    with mg.use_default_dtype(dtype):
        if family == "LanguageModel":
            model = LanguageModel(LanguageModelConfig(V, L, **SIZES, **KINDS[kind]))
        else:
            model = EncoderDecoder(EncoderDecoderConfig(W, V, L, L, decoder_layers=N + 1, **SIZES, **KINDS[kind]))
    rng = np.random.default_rng(5)
    for p in model.parameters():
        p.assign(p.numpy() + 0.4 * rng.standard_normal(p.shape))
    with mg.no_grad():
        return model, None if family == "LanguageModel" else model.encode(SOURCE)


def whole(model, memory, ids):
    with mg.no_grad():
        return (model(ids) if memory is None else model.decode(ids, memory)).numpy()  # (B, T, V)


def in_parts(model, memory, ids, parts, padding=None):
    """The logits of every token, read in parts of so many."""
    cache, found = model.new_cache(len(ids), sum(parts), padding), []
    with mg.no_grad():
        for part in np.split(ids, np.cumsum(parts)[:-1], axis=1):
            options = {"cache": cache}
            found.append((model(part, **options) if memory is None else model.decode(part, memory, **options)).numpy())
    assert cache.length == sum(parts)
    return np.concatenate(found, axis=1)


@both
@every
@pytest.mark.parametrize("parts", [(1,) * T, (3, 1, 1), (2, 3)])
@pytest.mark.parametrize("kernels", ["numba", "reference"])
def test_parts_give_what_the_whole_gives(family, kind, parts, kernels):
    model, memory = made(family, kind)
    with mg.use_kernels(kernels):
        assert_close(in_parts(model, memory, IDS, parts), whole(model, memory, IDS), 1e-12)


@both
@every
def test_the_last_logits_alone(family, kind):
    model, memory = made(family, kind)
    with mg.no_grad():
        last = (model(IDS, last=True) if memory is None else model.decode(IDS, memory, last=True)).numpy()
    assert last.shape == (B, 1, V)
    assert_close(last, whole(model, memory, IDS)[:, -1:], 1e-12)


@both
@every
def test_in_float32_too(family, kind):
    model, memory = made(family, kind, "float32")
    assert_close(in_parts(model, memory, IDS, (2, 1, 1, 1)), whole(model, memory, IDS), 2e-5)


@both
@every
def test_texts_of_different_lengths_are_each_as_if_alone(family, kind):
    """The first has two tokens of padding at its left."""
    model, memory = made(family, kind)
    padding = [2, 0]
    found = in_parts(model, memory, IDS, (3, 1, 1), padding)
    for row, none in enumerate(padding):
        alone = None if memory is None else tuple(part[row : row + 1] for part in memory)
        assert_close(found[row, none:], whole(model, alone, IDS[row : row + 1, none:])[0], 1e-12)


@both
@every
def test_what_padding_says_is_nobody_s_matter(family, kind):
    model, memory = made(family, kind)
    other = np.array([[9, 4, *IDS[0, 2:]], IDS[1]])
    first, second = (in_parts(model, memory, ids, (3, 2), [2, 0]) for ids in (IDS, other))
    assert first[0, 2:].tobytes() == second[0, 2:].tobytes() and first[1].tobytes() == second[1].tobytes()


@both
@every
def test_rows_change_places(family, kind):
    model, memory = made(family, kind)
    if memory is not None:  # beams of one source
        memory = tuple(np.repeat(np.asarray(part)[:1], B, axis=0) for part in memory)
    cache = model.new_cache(B, T)
    run = (lambda ids: model(ids, cache=cache)) if memory is None else (lambda ids: model.decode(ids, memory, cache=cache))
    with mg.no_grad():
        run(IDS[:, :3])
        cache.reorder([1, 1])
        after = run(IDS[:, 3:]).numpy()
    texts = np.concatenate([IDS[[1, 1], :3], IDS[:, 3:]], axis=1)
    assert_close(after, whole(model, memory, texts)[:, 3:], 1e-12)


@both
@every
@pytest.mark.parametrize("cached", [True, False])
def test_rows_become_several(family, kind, cached):
    model, memory = made(family, kind)
    decoding, alone = (Decoding(model, B, T, memory, [2, 0], cached) for _ in range(2))
    for part in np.split(IDS, [3], axis=1)[0], IDS[:, 3:4]:
        decoding.read(part), alone.read(part)
    decoding.repeat(3)
    found = decoding.read(np.repeat(IDS[:, 4:], 3, axis=0))
    assert_close(found, np.repeat(alone.read(IDS[:, 4:]), 3, axis=0), 1e-12)


def test_rows_with_padding_change_places():
    model, _ = made("LanguageModel", "LLaMA")
    cache = model.new_cache(B, T, [2, 0])
    with mg.no_grad():
        model(IDS[:, :3], cache=cache)
        cache.reorder([1, 0])
        after = model(IDS[[1, 0], 3:], cache=cache).numpy()
    assert_close(after[::-1], in_parts(model, None, IDS, (3, 2), [2, 0])[:, 3:], 1e-12)


@both
@every
@pytest.mark.parametrize("cached", [True, False])
def test_decoding_gives_the_logits_of_the_next_token(family, kind, cached):
    model, memory = made(family, kind)
    decoding = Decoding(model, B, T, memory, [2, 0], cached)
    found = [decoding.read(part) for part in np.split(IDS, [3, 4], axis=1)]
    expected = in_parts(model, memory, IDS, (3, 1, 1), [2, 0])
    for place, logits in zip((2, 3, 4), found):
        assert_close(logits, expected[:, place], 1e-12)
    decoding.reorder([1, 0])
    if memory is None:
        after = decoding.read(IDS[[1, 0], :1])
        texts = [np.append(IDS[1], IDS[1, 0]), np.append(IDS[0, 2:], IDS[0, 0])]
        for row, text in zip(after, texts):
            assert_close(row, whole(model, memory, text[None])[0, -1], 1e-12)


@every
def test_a_text_that_is_longer_than_the_block_slides_through_its_window(kind):
    model, _ = made("LanguageModel", kind)
    text = np.random.default_rng(3).integers(0, V, (B, L + 4))
    decoding = Decoding(model, B, L + 4, padding=[3, 0])
    for t in range(5, L + 5):
        logits = decoding.read(text[:, :5] if t == 5 else text[:, t - 1 : t])
        for row, none in enumerate([3, 0]):
            assert_close(logits[row], whole(model, None, text[row : row + 1, max(none, t - L) : t])[0, -1], 1e-12)


def test_any_function_can_be_decoded():
    seen = []

    def model(ids):
        seen.append(ids.tolist())
        return np.eye(V)[(ids + 1) % V]  # (B, T, V): after a token comes the next one

    decoding = Decoding(model, 1, 4)
    assert decoding.read(np.array([[3, 5]])).argmax() == 6 and decoding.read(np.array([[6]])).argmax() == 7
    assert seen == [[[3, 5]], [[3, 5, 6]]]


def test_a_model_that_sees_later_words_is_computed_anew():
    model = LanguageModel(LanguageModelConfig(V, L, **SIZES, ablate=("mask",)))
    decoding = Decoding(model, B, T)
    assert decoding.cache is None
    decoding.read(IDS[:, :3])
    assert_close(decoding.read(IDS[:, 3:]), whole(model, None, IDS)[:, -1], 1e-6)
    with pytest.raises(ValueError, match="LanguageModel: what sees later words"):
        model.new_cache(B, T)


def test_mistakes_are_explained():
    model, _ = made("LanguageModel", "GPT-2")
    with pytest.raises(LayerError, match="numbers, through which no gradient flows.*no_grad"):
        model(IDS, cache=model.new_cache(B, T))
    cache = model.new_cache(B, 4)
    with mg.no_grad():
        with pytest.raises(ShapeError, match="room for 4 tokens of 2 texts, and holds 0. Received: 5 more of 2"):
            model(IDS, cache=cache)
        model(IDS[:, :3], cache=cache)
        with pytest.raises(ShapeError, match="holds 3. Received: 1 more of 1"):
            model(IDS[:1, :1], cache=cache)
        with pytest.raises(ShapeError, match="at most 9, the block size together with the 3 before"):
            model(np.ones((B, 7), int), cache=cache)
        with pytest.raises(LayerError, match="cache.*not causal"):
            model.blocks[0](np.ones((B, 1, E)), cache=cache.blocks[0])
        with pytest.raises(LayerError, match="cache.*another mask"):
            model.blocks[0](np.ones((B, 1, E)), np.ones((B, 1), bool), use_causal_mask=True, cache=cache.blocks[0])
        assert cache.length == 3
    for padding in ([1], [[1, 2]], [-1, 0]):
        with pytest.raises(ShapeError, match="padding says for each of 2 rows"):
            Cache(N, B, L, padding)
    for cached in (True, False):
        for padding in ([1], [-1, 0]):
            with pytest.raises(ShapeError, match="Decoding: padding says for each of 2 rows"):
                Decoding(model, B, T, padding=padding, cached=cached)
        with pytest.raises(ShapeError, match="nothing but padding has no last token"):
            Decoding(model, B, T, padding=[3, 0], cached=cached).read(IDS[:, :3])
        decoding = Decoding(model, B, T, cached=cached)
        decoding.read(IDS[:, :2])
        for rows in ([0], [0, 1, 1], [True, False]):
            with pytest.raises(ShapeError, match="reorder: rows says of each of 2 rows"):
                decoding.reorder(rows)
    with pytest.raises(ShapeError, match="reorder: rows says of each of 2 rows"):
        cache.reorder([0])
    for ids in (IDS[0], IDS[:1], IDS[:, :0]):
        with pytest.raises(ShapeError, match=r"Decoding: reads ids \(B, T\) of 2 texts"):
            Decoding(model, B, T).read(ids)

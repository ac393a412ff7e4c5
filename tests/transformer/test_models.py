"""Whole models: their counts, who sees whom, padding, what an encoder-decoder does with its two halves, and what can be left out."""

import dataclasses
import json

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import MinigradError, ShapeError
from tests.helpers import assert_close
from transformer.generation import generate
from transformer.models import (
    ABLATIONS,
    MODELS,
    Classifier,
    ClassifierConfig,
    Decoder,
    DecoderConfig,
    Encoder,
    EncoderConfig,
    EncoderDecoder,
    EncoderDecoderConfig,
    LanguageModel,
    LanguageModelConfig,
)

B, T, S, E, F, h, N, V, W, L, C = 2, 3, 4, 12, 7, 3, 2, 11, 13, 6, 5
SIZES = {"layers": N, "heads": h, "width": E, "feed_forward": F}
BLOCK = (4 * E * E + 4 * E) + (2 * E * F + F + E) + 4 * E
DECODER_BLOCK = BLOCK + (4 * E * E + 4 * E) + 2 * E
IDS = np.array([[3, 10, 1], [7, 7, 2]])
SOURCE = np.array([[3, 10, 1, 5], [7, 12, 4, 2]])

kernels = pytest.mark.parametrize("kernels", ["numba", "reference"])


def memory(seed=3):
    return np.random.default_rng(seed).standard_normal((B, S, E))


MAKE = {
    "LanguageModel": lambda **more: (LanguageModel(LanguageModelConfig(V, L, **SIZES, **more)), (IDS,)),
    "Encoder": lambda **more: (Encoder(EncoderConfig(V, L, **SIZES, **more)), (IDS,)),
    "Encoder, one vector": lambda **more: (Encoder(EncoderConfig(V, L, pooling="mean", normalize=True, **SIZES, **more)), (IDS,)),
    "Encoder, classes": lambda **more: (Encoder(EncoderConfig(V, L, C, pooling="first", **SIZES, **more)), (IDS,)),
    "Decoder": lambda **more: (Decoder(DecoderConfig(V, L, **SIZES, **more)), (IDS, memory())),
    "EncoderDecoder": lambda **more: (EncoderDecoder(EncoderDecoderConfig(W, V, L, L, **SIZES, **more)), (SOURCE, IDS)),
}
COUNTS = {
    "LanguageModel": V * E + L * E + N * BLOCK + 2 * E,
    "Encoder": V * E + L * E + N * BLOCK + 2 * E,
    "Encoder, one vector": V * E + L * E + N * BLOCK + 2 * E,
    "Encoder, classes": V * E + L * E + N * BLOCK + 2 * E + E * C + C,
    "Decoder": V * E + L * E + N * DECODER_BLOCK + 2 * E,
    "EncoderDecoder": W * E + L * E + N * BLOCK + 2 * E + V * E + L * E + N * DECODER_BLOCK + 2 * E,
}
SHAPES = {
    "LanguageModel": (B, T, V), "Encoder": (B, T, E), "Encoder, one vector": (B, E), "Encoder, classes": (B, C), "Decoder": (B, T, V),
    "EncoderDecoder": (B, T, V),
}  # fmt: skip
every = pytest.mark.parametrize("name", MAKE)


def made(name, spread=0.3, dtype="float64", **more):
    """A model whose weights are so large that every part of it matters, and inputs for it."""
    with mg.use_default_dtype(dtype):
        model, inputs = MAKE[name](**more)
    rng = np.random.default_rng(5)
    for p in model.parameters():
        p.assign(p.numpy() + spread * rng.standard_normal(p.shape))
    return model, inputs


@every
def test_shape_and_counts(name):
    model, inputs = made(name)
    assert model(*inputs).shape == SHAPES[name]
    assert sum(p.size for p in model.parameters()) == COUNTS[name] and model.buffers() == []
    untied, _ = made(name, tied=False) if "tied" in {f.name for f in dataclasses.fields(model.config)} else (None, None)
    if untied is not None:
        assert untied.count_params() == COUNTS[name] + V * E
    waves, _ = made(name, positions="sinusoidal")
    assert waves.count_params() == COUNTS[name] - (2 if name == "EncoderDecoder" else 1) * L * E
    post, _ = made(name, norm="post")  # no last normalization
    assert post.count_params() == COUNTS[name] - (2 if name == "EncoderDecoder" else 1) * 2 * E


@every
def test_the_gradient_of_every_parameter(name):
    """Along random directions, against differences at two steps, in float64."""
    model, inputs = made(name)

    def value():
        out = model(*inputs)
        return (out * np.random.default_rng(1).uniform(0.5, 1.5, out.shape) * (-1) ** np.indices(out.shape).sum(0)).sum()

    value().backward()
    rng = np.random.default_rng(2)
    for path, p in model.named_parameters().items():
        middle, direction, quotients = p.numpy(), rng.standard_normal(p.shape), []
        for step in (3e-4, 1.5e-4):
            with mg.no_grad():
                ends = [(p.assign(middle + sign * step * direction), value().item())[1] for sign in (1, -1)]
            quotients.append((ends[0] - ends[1]) / (2 * step))
        p.assign(middle)
        assert_close((p.grad.numpy() * direction).sum(), (4 * quotients[1] - quotients[0]) / 3, 1e-8, path)


@every
def test_it_says_what_it_is_made_of_and_is_made_again(name):
    model, inputs = made(name)
    model_class, config_class = MODELS[type(model).__name__]
    config = config_class(**json.loads(json.dumps(dataclasses.asdict(model.config))))
    assert config == model.config
    with mg.use_default_dtype("float64"):
        twin = model_class(config)
    twin.load_state_dict(model.state_dict())
    assert twin(*inputs).numpy().tobytes() == model(*inputs).numpy().tobytes()
    twin(*twin.example())


@every
def test_the_seed_decides_the_weights_and_the_dropout(name):
    models = [made(name, spread=0.0, dropout=0.4)[0] for _ in range(2)]
    _, inputs = made(name)
    first, second = [model(*inputs, training=True).numpy() for model in models]
    assert first.tobytes() == second.tobytes() and first.tobytes() != models[0](*inputs, training=True).numpy().tobytes()


# ------------------------------------------------------------------------------------------------------- who sees whom


def seen_by(model, inputs, which, **options):
    """For every token t of an input: the places of the output that change with it.   -> booleans (T, T_out)"""
    before = model(*inputs, **options).numpy()
    seen = []
    for t in range(inputs[which].shape[1]):
        other = [x.copy() for x in inputs]
        other[which][:, t] = (other[which][:, t] + 1) % 9 + 1
        after = model(*other, **options).numpy()
        seen.append([after[:, place].tobytes() != before[:, place].tobytes() for place in range(before.shape[1])])
    return np.array(seen)


@kernels
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["LanguageModel", "Decoder", "EncoderDecoder"])
def test_a_later_word_is_never_seen(name, kernels, training):
    model, inputs = made(name, dropout=0.2)
    generators = model.generators()
    states = [g.state() for g in generators]

    def run(*inputs):
        for g, state in zip(generators, states):
            g.set_state(state)
        return model(*inputs, training=training)

    target = 1 if name == "EncoderDecoder" else 0
    with mg.use_kernels(kernels):
        assert np.array_equal(seen_by(run, inputs, target), np.tri(T, dtype=bool).T)


@kernels
def test_returning_the_weights_lets_nobody_see_more(kernels):
    model, inputs = made("EncoderDecoder")
    with mg.use_kernels(kernels):
        seen = seen_by(lambda *inputs: model(*inputs, return_attention_scores=True)[0], inputs, 1)
    assert np.array_equal(seen, np.tri(T, dtype=bool).T)


@pytest.mark.parametrize("name, which", [("Encoder", 0), ("EncoderDecoder", 0)])
def test_an_encoder_sees_everything(name, which):
    model, inputs = made(name)
    assert seen_by(model, inputs, which).all()


@kernels
@pytest.mark.parametrize("name", ["Encoder", "Encoder, one vector", "EncoderDecoder"])
def test_padding_changes_nothing_of_the_real_tokens(name, kernels):
    """A text alone, and the same text beside a longer one."""
    model, inputs = made(name)
    with mg.use_kernels(kernels):
        alone = model(*[x[:1] for x in inputs]).numpy()
        padded = [np.concatenate([x, np.ones((B, 1), int)], axis=1) for x in inputs]  # the second text is longer by one
        for x in padded:
            x[0, -1] = 0
        beside = model(*padded).numpy()[:1]
    beside = beside[:, : alone.shape[1]] if alone.ndim == 3 else beside
    assert_close(beside, alone, 1e-14)


def test_padding_is_seen_where_there_is_none():
    """Without a padding id, id 0 is a word as any other."""
    ids = np.array([[3, 0, 1], [7, 7, 0]])
    for pad_id, same in ((0, True), (None, False)):
        model, _ = made("Encoder, one vector", pad_id=pad_id)
        before = model(ids).numpy()
        model.embedding.embeddings.assign(np.where(np.arange(V)[:, None] == 0, 9.0, model.embedding.embeddings.numpy()))
        assert np.array_equal(model(ids).numpy(), before) == same


def test_a_text_of_padding_alone_is_zeros():
    model, _ = made("Encoder", pooling="mean")
    assert model(np.array([[3, 1], [0, 0]])).numpy()[1].tolist() == [0.0] * E


def test_one_vector_is_the_mean_of_the_real_tokens_or_the_first():
    ids = np.array([[3, 10, 0], [7, 7, 2]])
    tokens = made("Encoder")[0](ids).numpy()
    assert_close(made("Encoder", pooling="mean")[0](ids).numpy(), np.stack([tokens[0, :2].mean(0), tokens[1].mean(0)]), 1e-14)
    assert_close(made("Encoder", pooling="first")[0](ids).numpy(), tokens[:, 0], 1e-14)
    unit = made("Encoder", pooling="mean", normalize=True)[0](ids).numpy()
    assert_close((unit**2).sum(axis=1), np.ones(B), 1e-14)


# ------------------------------------------------------------------------------------------------------ encoder-decoder


def test_the_query_is_the_decoders_key_and_value_are_the_encoders():
    """With one source token there is one place to look at: what is taken does not depend on the query."""
    model, _ = made("Decoder")
    _, weights = model(IDS, memory=memory()[:, :1], return_attention_scores=True)
    assert all((w.numpy() == 1).all() and w.shape == (B, h, T, 1) for w in weights)
    block = model.blocks[0]
    taken = block.cross_attention(query=np.zeros((B, T, E)), value=memory()[:, :1]).numpy()
    assert_close(taken, block.cross_attention(query=memory()[:, :T], value=memory()[:, :1]).numpy(), 1e-14)


def test_both_halves_are_the_whole():
    model, (source, target) = made("EncoderDecoder")
    whole = model(source, target).numpy()
    halves = model.decode(target, model.encode(source)).numpy()
    assert halves.tobytes() == whole.tobytes()
    with_weights, weights = model(source, target, return_attention_scores=True)
    assert_close(with_weights.numpy(), whole, 1e-13)
    assert len(weights) == N and all(w.shape == (B, h, T, S) for w in weights)
    assert_close(weights[-1].numpy().sum(-1), np.ones((B, h, T)), 1e-14)


def test_the_decoder_never_looks_at_padding_of_the_source():
    model, (source, target) = made("EncoderDecoder")
    source = np.where(np.arange(S) < [[2], [4]], source, 0)
    _, weights = model(source, target, return_attention_scores=True)
    assert all((w.numpy()[0, :, :, 2:] == 0).all() and (w.numpy()[1] > 0).all() for w in weights)


def test_an_answer_is_the_likeliest_token_until_the_end():
    model, (source, _) = made("EncoderDecoder", spread=1.0)
    written = generate(model, source, 5, start_id=1, end_ids=2)
    assert len(written) == B and max(map(len, written)) <= 5
    for row, alone in zip(written, source):
        so_far = [1]
        for token in row:
            logits = model(alone[None], np.array([so_far])).numpy()[0, -1]
            assert token == logits.argmax() and so_far[-1] != 2
            so_far.append(int(token))
        assert len(row) == 5 or row[-1] == 2


# ------------------------------------------------------------------------------------------------------------ left out


@pytest.mark.parametrize("part", ABLATIONS)
def test_what_is_left_out_is_not_there(part):
    model, inputs = made("LanguageModel", ablate=[part])
    whole, _ = made("LanguageModel")
    blocks = model.blocks
    found = {
        "mask": not np.array_equal(seen_by(model, inputs, 0), np.tri(T, dtype=bool).T),
        "scale": blocks[0].attention.scale == 1.0,
        "positions": model.positions is None,
        "skip": not blocks[0].after_attention.skip and not blocks[1].after_feed_forward.skip,
        "norm": model.normalization is None and blocks[0].after_attention.normalization is None,
    }
    assert [name for name, there in found.items() if there] == [part]
    assert whole.count_params() - model.count_params() == {"positions": L * E, "norm": (4 * N + 2) * E}.get(part, 0)


def test_without_positions_the_order_of_what_was_read_does_not_matter():
    for ablate, same in (((), False), (("positions",), True)):
        model, (source, target) = made("EncoderDecoder", ablate=ablate)
        assert np.allclose(model(source, target).numpy(), model(source[:, ::-1], target).numpy(), atol=1e-12) == same


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_without_its_mask_padding_is_read(part):
    """The embedding of padding changes what is said at the first place, in an encoder, and from either half of both."""
    ids = np.array([[3, 10, 0], [7, 7, 2]])
    for name, inputs in ("Encoder", (ids,)), ("Decoder", (ids, memory())), ("EncoderDecoder", (ids, ids)):
        model, _ = made(name, ablate=("mask",), **({} if name == "Encoder" else {"tied": False}))
        before = model(*inputs).numpy()
        table = getattr(model, part, model).embedding.embeddings
        table.assign(np.where(np.arange(len(table))[:, None] == 0, 9.0, table.numpy()))
        after = model(*inputs).numpy()
        assert not np.allclose(after[0, 0], before[0, 0]) and np.array_equal(after[1, 0], before[1, 0])


def test_without_scale_the_weights_are_sharper():
    """Scores of the same sign, larger by sqrt(dq): the largest weight of every row grows."""
    largest = []
    for ablate in ((), ("scale",)):
        model, inputs = made("LanguageModel", ablate=ablate)
        largest.append(model(*inputs, return_attention_scores=True)[1][0].numpy().max(-1))
    assert (largest[1] >= largest[0] - 1e-12).all() and (largest[1] > largest[0] + 0.01).any()


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize("name, inputs, words", [
    ("Encoder", (np.zeros(3, int),), r"Encoder: ids need the axes \(B, T\).*\(3,\)"),
    ("Encoder", (np.ones((1, L + 1), int),), r"T at most 6"),
    ("Encoder", (np.array([[1, V]]),), r"ids\[0, 1\] is 11, outside 0 to 10.*In embedding"),
    ("EncoderDecoder", (SOURCE, np.array([[V, 1]] * B)), r"ids\[0, 0\] is 11.*In decoder\.embedding, a Embedding of EncoderDecoder"),
    ("EncoderDecoder", (SOURCE[:1], IDS), r"must agree in the batch B"),
    ("EncoderDecoder", (SOURCE, np.ones((B, L + 1), int)), "Decoder: ids.*at most 6"),
    ("Decoder", (IDS, memory()[:, :, :-1]), r"MultiHeadAttention: key needs the axes.*E = 12.*In blocks\.0\.cross_attention"),
    ("Decoder", (IDS, memory()[:1]), r"agree in the batch B.*In blocks\.0\.cross_attention"),
    ("LanguageModel", (np.array([[1.5]]),), "ids must be integers"),
])  # fmt: skip
def test_bad_input_names_the_layer_by_its_path(name, inputs, words):
    with pytest.raises((MinigradError, IndexError), match=words):
        made(name)[0](*inputs)


def test_a_wrong_mask_for_the_memory_is_named():
    model, (ids, encoded) = made("Decoder")
    with pytest.raises(ShapeError, match=r"key_mask needs the axes \(B, S\) = \(2, 4\).*In blocks\.0\.cross_attention"):
        model(ids, memory=encoded, memory_mask=np.ones((B, S + 1), bool))


@pytest.mark.parametrize("make, words", [
    (lambda: EncoderConfig(0), "EncoderConfig: vocab_size is a whole number from 1"),
    (lambda: EncoderConfig(9, classes=-1), "classes.*from 0"),
    (lambda: EncoderConfig(9, pooling="max"), "pooling is one of mean, first, None"),
    (lambda: EncoderConfig(9, normalize=True), "choose a pooling"),
    (lambda: EncoderConfig(9, classes=3, labels=["a"]), "a label for each class"),
    (lambda: EncoderConfig(9, ablate=["heads"]), "ablate.*mask.*'heads'"),
    (lambda: DecoderConfig(9, norm="both"), "norm is one of pre, post"),
    (lambda: DecoderConfig(9, positions="absolute"), "learned, sinusoidal"),
    (lambda: EncoderDecoderConfig(9, 9, decoder_layers=-1), "decoder_layers"),
    (lambda: EncoderDecoderConfig(9, 9, width=10, heads=3), "multiple of the heads"),
    (lambda: ClassifierConfig(0, 3), "features"),
    (lambda: ClassifierConfig(3, 3, normalization="layer"), "normalization, batch"),
])  # fmt: skip
def test_a_config_that_cannot_be_built_says_why(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("model_class", [Encoder, Decoder, EncoderDecoder, LanguageModel, Classifier])
def test_a_model_takes_its_own_config(model_class):
    other = EncoderConfig(9) if model_class is not Encoder else DecoderConfig(9)
    with pytest.raises(TypeError, match=f"{model_class.__name__}: takes a"):
        model_class(other)

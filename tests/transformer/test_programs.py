"""The program of one more token: what the layers compute, for every kind of model, and where it refuses."""

import contextlib
import gc
import threading
import weakref
from unittest import mock

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DtypeError, ShapeError
from tests.helpers import assert_close
from tests.transformer.test_cache import IDS, SOURCE, L, V, both, every, made
from transformer import programs
from transformer.decoding import Decoding
from transformer.models import Encoder, EncoderConfig, LanguageModel, LanguageModelConfig


def read(model, memory, text, padding=None, by_program=True, prompt=2):
    """The logits of every token behind a prompt, one at a time, and whether a program computed them."""
    refuse = mock.patch.object(programs, "step", side_effect=programs.step if by_program else lambda *_: None)
    with refuse:
        decoding = Decoding(model, len(text), text.shape[1], memory, padding)
        found = [decoding.read(text[:, :prompt])] + [decoding.read(text[:, t : t + 1]) for t in range(prompt, text.shape[1])]
    return np.stack(found, axis=1), decoding.step is not None


@both
@every
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize("padding", [None, [1, 0]])
def test_a_program_gives_what_the_layers_give(family, kind, dtype, tolerance, padding):
    model, memory = made(family, kind, dtype)
    found, by_program = read(model, memory, IDS, padding)
    expected, by_layers = read(model, memory, IDS, padding, by_program=False)
    assert by_program and not by_layers
    assert found.dtype == dtype
    assert_close(found, expected, tolerance)


@both
def test_one_text(family):
    model, memory = made(family, "LLaMA")
    memory = None if memory is None else tuple(np.asarray(part)[1:] for part in memory)
    found, by_program = read(model, memory, IDS[1:])
    assert by_program
    assert_close(found, read(model, memory, IDS[1:], by_program=False)[0], 1e-12)


@both
@every
def test_the_bits_do_not_depend_on_the_threads(family, kind):
    model, memory = made(family, kind, "float32")
    found = []
    for threads in (1, 2):
        with mg.use_threads(threads):
            found.append(read(model, memory, IDS)[0].tobytes())
    assert found[0] == found[1]


def test_after_the_weights_have_changed_it_is_another_program():
    model, _ = made("LanguageModel", "T5")
    decoding = Decoding(model, 2, L)
    decoding.read(IDS[:, :2])
    before = decoding.read(IDS[:, 2:3])
    with mg.no_grad():
        for p in model.parameters():
            p.assign(p.numpy() * 1.5)
    changed = decoding.read(IDS[:, 3:4])
    other = Decoding(model, 2, L)
    other.cache.length, other.cache.padding = 3, None
    for mine, theirs in zip(other.cache.blocks, decoding.cache.blocks):
        mine.arrays = tuple(array.copy() for array in theirs.arrays)
    with mock.patch.object(programs, "step", return_value=None):
        other.ids = IDS[:, :3]
        assert_close(changed, other.read(IDS[:, 3:4]), 1e-12)
    assert abs(changed - before).max() > 0.1


def test_rows_that_change_places():
    model, memory = made("EncoderDecoder", "T5")
    memory = tuple(np.repeat(np.asarray(part)[:1], 2, axis=0) for part in memory)
    found = []
    for by_program in (True, False):
        with mock.patch.object(programs, "step", side_effect=programs.step if by_program else lambda *_: None):
            decoding = Decoding(model, 2, L, memory)
            decoding.read(IDS[:, :2])
            decoding.read(IDS[:, 2:3])
            decoding.reorder([1, 1])
            found.append(decoding.read(IDS[:, 3:4]))
    assert_close(*found, 1e-12)


def test_a_long_text():
    """Many columns, several vectors a head."""
    config = LanguageModelConfig(V, 300, layers=2, heads=4, width=96, positions="rotary", key_value_heads=2, head_width=40)
    model = LanguageModel(config)
    text = np.random.default_rng(0).integers(0, V, (3, 280))
    found, by_program = read(model, None, text, [7, 0, 30], prompt=40)
    assert by_program
    assert_close(found, read(model, None, text, [7, 0, 30], by_program=False, prompt=40)[0], 2e-5)


class Louder(mg.Layer):
    keeps_shape = True

    def call(self, x, training=False, residual=None):
        return 2 * x


def test_what_it_does_not_know_the_layers_compute():
    changes = {
        "a layer of one's own": lambda model: setattr(model.blocks[1], "feed_forward", Louder()),
        "a call of one's own": lambda model: setattr(model.blocks[0].attention, "call", model.blocks[0].attention.call),
        "an activation of one's own": lambda model: setattr(model.blocks[0].feed_forward.wide, "activation", lambda x: mg.tanh(x)),
    }
    for change in changes.values():
        model, _ = made("LanguageModel", "GPT-2")
        change(model)
        found, by_program = read(model, None, IDS)
        assert not by_program
        with mg.no_grad():
            assert_close(found, model(IDS).numpy()[:, 1:], 1e-12)
    for ablate in ("skip", "norm"):
        model = LanguageModel(LanguageModelConfig(V, L, layers=2, heads=4, width=12, ablate=(ablate,)))
        assert not read(model, None, IDS)[1]


def test_other_kernels_other_products_and_many_texts_go_through_the_layers():
    model, memory = made("EncoderDecoder", "LLaMA", "float32")
    for context in (mg.use_kernels("reference"), mg.matmul_precision("bfloat16")):
        with context:
            assert not read(model, memory, IDS)[1]
    many = np.repeat(IDS, programs.MOST, axis=0)
    assert not read(model, model.encode(np.repeat(SOURCE, programs.MOST, axis=0)), many)[1]


def test_a_part_that_was_replaced_between_two_tokens_is_noticed():
    other, _ = made("LanguageModel", "GPT-2")
    for p in other.parameters():
        p.assign(p.numpy() + 0.3)
    changes = {
        "a block": lambda model: model.blocks.__setitem__(1, other.blocks[0]),
        "the last normalization": lambda model: setattr(model, "normalization", other.normalization),
        "a number": lambda model: setattr(model.normalization, "epsilon", 0.5),
        "the head": lambda model: setattr(model, "head", mg.Dense(V, use_bias=False)),
    }
    for what, change in changes.items():
        found = []
        for by_program in (True, False):
            model, _ = made("LanguageModel", "GPT-2")
            with mock.patch.object(programs, "step", side_effect=programs.step if by_program else lambda *_: None):
                decoding = Decoding(model, 2, L)
                decoding.read(IDS[:, :2])
                before = decoding.read(IDS[:, 2:3])
                change(model)
                if model.head is not None:
                    model.head.ensure_built((None, None, 12))
                    model.head.kernel.assign(np.random.default_rng(2).standard_normal((12, V)))
                found.append(decoding.read(IDS[:, 3:4]))
        assert_close(*found, 1e-5, what)
        assert abs(found[0] - before).max() > 1e-3, what


def test_ids_without_a_row_are_named():
    model, _ = made("LanguageModel", "GPT-2")
    decoding = Decoding(model, 2, L)
    decoding.read(IDS[:, :2])
    decoding.read(IDS[:, 2:3])
    for wrong, error in (([[1], [V]], IndexError), ([[-1], [1]], IndexError), ([[1.5], [1]], DtypeError)):
        with pytest.raises(error, match="ids"):
            decoding.read(wrong)
    for wrong, error in (([[1, V]], IndexError), ([[1, 2.5]], DtypeError), ([[1] * (L + 1)], ShapeError)):
        with pytest.raises(error, match="ids"):
            programs.encoded(encoder("waves, shared keys"), np.array(wrong))


def test_arrays_that_lie_as_no_kernel_reads_them_are_for_the_layers():
    def strided(p):
        wide = np.zeros((*p.shape[:-1], 2 * p.shape[-1]), p.dtype)
        wide[..., ::2] = p.numpy()
        p.assign(wide[..., ::2], copy=False)

    for parameter in ("blocks.0.feed_forward.wide.kernel", "embedding.embeddings", "normalization.gamma"):
        model, _ = made("LanguageModel", "GPT-2")
        strided(model.named_parameters()[parameter])
        found, by_program = read(model, None, IDS)
        assert not by_program
        with mg.no_grad():
            assert_close(found, model(IDS).numpy()[:, 1:], 1e-12)


# ---- what an encoder reads

ENCODERS = {
    "GPT-2": {},
    "BERT": {"norm": "post", "embedding_norm": True, "activation": "gelu", "segments": 3, "pooling": "mean", "normalize": True},
    "waves, shared keys": {
        "positions": "sinusoidal", "key_value_heads": 2, "normalization": "rms", "activation": "swiglu", "pooling": "first",
    },
    "no positions, classes": {"ablate": ("positions",), "classes": 3, "activation": "relu"},
}  # fmt: skip


def encoder(kind="BERT", dtype="float64", turned=False, **more):
    """An encoder whose every part matters, with matrices as they are made or as others store them."""
    with mg.use_default_dtype(dtype):
        model = Encoder(EncoderConfig(V, L, layers=2, heads=4, width=12, feed_forward=7, **ENCODERS.get(kind, {}), **more))
    rng = np.random.default_rng(5)
    for name, p in model.named_parameters().items():
        array = p.numpy() + 0.4 * rng.standard_normal(p.shape).astype(dtype)
        if turned and name.endswith("kernel"):
            rows = len(array) if "output" not in name else -1
            array = np.ascontiguousarray(array.reshape(rows, array.shape[-1] if rows == -1 else -1).T).T.reshape(array.shape)
        p.assign(array, copy=False)
    return model


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize("T", [1, 5])
@pytest.mark.parametrize("turned", [False, True])
def test_a_text_read_by_a_program_is_what_the_layers_make_of_it(kind, dtype, tolerance, T, turned):
    model, ids = encoder(kind, dtype, turned), np.array([[3, 10, 1, 7, 7]])[:, :T]
    with mock.patch.object(Encoder, "climb", side_effect=AssertionError("through the layers")):
        found = programs.encoded(model, ids)
    assert found.dtype == dtype
    assert_close(found, model(ids).numpy(), tolerance)
    other = programs.encoded(model, (ids + 1) % V + (ids == V - 1))
    assert abs(other - found).max() > 1e-3 and found is not other


def test_other_lengths_and_changed_weights_are_other_programs():
    model, ids = encoder(), np.array([[3, 10, 1, 7, 7]])
    for T in (5, 2, 5):
        assert_close(programs.encoded(model, ids[:, :T]), model(ids[:, :T]).numpy(), 1e-12)
    for p in model.parameters():
        p.assign(p.numpy() * 1.5)
    assert_close(programs.encoded(model, ids), model(ids).numpy(), 1e-12)


def test_every_thread_writes_its_own():
    model, ids = encoder(dtype="float32"), np.array([[3, 10, 1, 7, 7]])
    right, wrong = model(ids).numpy(), []

    def work():
        wrong.extend(abs(programs.encoded(model, ids) - right).max() for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 150 and max(wrong) < 1e-5


def test_what_a_program_does_not_read_the_layers_do():
    def climbs(model, ids, context=None):
        with mock.patch.object(Encoder, "climb", autospec=True, side_effect=Encoder.climb) as climb, context or contextlib.nullcontext():
            assert_close(programs.encoded(model, ids), model(ids).numpy(), 1e-5)
        return climb.call_count - 1  # of which one is ours

    text = np.array([[3, 10, 1, 7, 7]])
    assert climbs(encoder(), text) == 0
    assert climbs(encoder(), np.array([[3, 10, 0]])) == 1  # padding
    assert climbs(encoder(), np.concatenate([text, text])) == 1
    assert climbs(encoder(), text, mg.use_kernels("reference")) == 1
    for positions in ("rotary", "relative"):
        assert climbs(encoder("", positions=positions, head_width=6), text) == 1
    with mock.patch.object(programs, "LONGEST", 4):
        assert climbs(encoder(), text) == 1


def test_a_model_that_is_gone_takes_its_programs_along():
    model = encoder()
    programs.encoded(model, np.array([[3, 10]]))
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None

"""What disturbs a text that is being written: interrupts, other threads, other settings, a model that changes under its hands."""

import contextlib
import copy
import dataclasses
import gc
import sys
import threading
import weakref
from unittest import mock

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import AnomalyError, DtypeError, LayerError
from tests.helpers import assert_close
from tests.transformer.test_cache import IDS, L, V, both, every, made, whole
from transformer import programs
from transformer.cache import Cache
from transformer.decoding import Decoding
from transformer.models import LanguageModel, LanguageModelConfig

ways = pytest.mark.parametrize("by_program", [True, False])


def begun(model, memory=None, by_program=True):
    """A decoding that has read all but the last two tokens."""
    decoding = Decoding(model, 2, L, memory)
    decoding.steps = by_program
    decoding.read(IDS[:, :2])
    decoding.read(IDS[:, 2:3])
    assert (decoding.step is not None) == by_program
    return decoding


def goes_on(decoding, model, memory=None):
    """Whether it reads on as if nothing had been."""
    for t in (3, 4):
        assert_close(decoding.read(IDS[:, t : t + 1]), whole(model, memory, IDS[:, : t + 1])[:, -1], 1e-12)


# ---- interrupts


@both
@ways
def test_what_is_refused_was_not_read(family, by_program):
    model, memory = made(family, "LLaMA")
    decoding = begun(model, memory, by_program)
    for wrong in ([[1], [V]], [[-1], [2]], [[1, V], [1, 2]]):
        with pytest.raises(IndexError, match="ids"):
            decoding.read(wrong)
    assert decoding.ids.shape == (2, 3)
    goes_on(decoding, model, memory)


@both
@ways
@pytest.mark.parametrize("late", [False, True])
def test_what_is_interrupted_was_not_read(family, by_program, late):
    """Also where the cache has counted the token already."""
    model, memory = made(family, "T5")
    decoding = begun(model, memory, by_program)
    where = (programs.Step, "read") if by_program else (LanguageModel, "logits") if memory is None else (type(model.decoder), "logits")
    done = getattr(*where)

    def interrupted(*given):
        if late:
            done(*given)
        raise KeyboardInterrupt

    with mock.patch.object(*where, interrupted), pytest.raises(KeyboardInterrupt):
        decoding.read([[9], [9]])
    goes_on(decoding, model, memory)


class Interrupts:
    """Raises KeyboardInterrupt when a line of Python begins, but before that lets so many begin."""

    def __init__(self, lines):
        self.left, self.came = lines, False

    def __call__(self, frame, event, _):
        if not self.came and event in ("call", "line"):
            self.left -= 1
            if self.left < 0:
                self.came = True
                raise KeyboardInterrupt
        return self

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self)

    def __exit__(self, *exception):
        sys.settrace(self.before)


@ways
def test_an_interrupt_may_come_anywhere(by_program):
    """And leaves no setting behind."""
    model, _ = made("LanguageModel", "GPT-2")
    decoding = begun(model, by_program=by_program)
    expected, lines = whole(model, None, IDS[:, :4])[:, -1], 0
    while True:
        interrupts = Interrupts(lines)
        with contextlib.suppress(KeyboardInterrupt), interrupts:
            decoding.read(IDS[:, 3:4])
        assert mg.is_grad_enabled()
        if not interrupts.came:
            break
        if decoding.ids.shape[1] == 3:
            assert_close(decoding.read(IDS[:, 3:4]), expected, 1e-12)
        decoding = begun(model, by_program=by_program)
        lines += 1 if by_program else 29
    assert lines > 20


@pytest.mark.parametrize("change", ["reorder", "repeat"])
def test_rows_that_changed_by_half_are_computed_anew(change):
    model, _ = made("LanguageModel", "GPT-2")
    decoding, given = begun(model), [1, 0] if change == "reorder" else 2
    done = getattr(Cache, change)

    def interrupted(cache, given):
        done(cache, given)
        raise KeyboardInterrupt

    with mock.patch.object(Cache, change, interrupted), pytest.raises(KeyboardInterrupt):
        getattr(decoding, change)(given)
    goes_on(decoding, model)


# ---- threads


@both
@ways
def test_one_thread_reads_at_a_time(family, by_program):
    """The second comes while the first is within a token, as it lets go of the interpreter there."""
    model, memory = made(family, "GPT-2")
    decoding, found = begun(model, memory, by_program), []

    def other():
        for disturb in (lambda: decoding.read([[9], [9]]), lambda: decoding.reorder([1, 0]), lambda: decoding.repeat(2)):
            try:
                disturb()
            except RuntimeError as error:
                found.append(str(error))

    def within(*given):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return done(*given)

    done = Decoding._stepped
    with mock.patch.object(Decoding, "_stepped", within):
        decoding.read(IDS[:, 3:4])
    assert found == ["Decoding: another thread reads it; every thread needs one of its own."] * 3
    assert_close(decoding.read(IDS[:, 4:5]), whole(model, memory, IDS)[:, -1], 1e-12)


def test_threads_may_take_turns():
    model, _ = made("LanguageModel", "GPT-2")
    decoding = begun(model)
    thread = threading.Thread(target=decoding.read, args=(IDS[:, 3:4],))
    thread.start()
    thread.join()
    assert_close(decoding.read(IDS[:, 4:5]), whole(model, None, IDS)[:, -1], 1e-12)


# ---- what changes between two tokens


def test_other_settings_are_for_the_layers_as_long_as_they_last():
    model, _ = made("LanguageModel", "LLaMA", "float32")
    decoding, layers = begun(model), begun(model, by_program=False)
    with mg.matmul_precision("bfloat16"):
        assert decoding.read(IDS[:, 3:4]).tobytes() == layers.read(IDS[:, 3:4]).tobytes()
    with mock.patch.object(programs.Step, "read", side_effect=AssertionError("by a program")):
        with mg.use_kernels("reference"):
            decoding.read(IDS[:, 4:5])
        with pytest.raises(AssertionError, match="by a program"):
            decoding.read(IDS[:, 4:5])


def test_anomaly_mode_sees_every_layer():
    model, _ = made("LanguageModel", "GPT-2")
    decoding = begun(model)
    model.blocks[1].feed_forward.wide.kernel.assign(np.full((12, 7), np.nan))
    assert np.isnan(decoding.read(IDS[:, 3:4])).all()
    with mg.detect_anomaly(), pytest.raises(AnomalyError, match="feed_forward"):
        decoding.read(IDS[:, 4:5])


@both
def test_a_word_of_the_config_that_changes_is_noticed(family):
    for word, value in {"head_scale": 1.7, "embedding_scale": 2.5}.items():
        model, memory = made(family, "LLaMA")
        stack = model if memory is None else model.decoder
        stack.config = dataclasses.replace(stack.config)
        decoding, layers = begun(model, memory), begun(model, memory, by_program=False)
        setattr(stack.config, word, value)
        assert_close(decoding.read(IDS[:, 3:4]), layers.read(IDS[:, 3:4]), 1e-12, word)


def test_a_model_of_other_numbers_needs_another_cache():
    model, _ = made("LanguageModel", "GPT-2", "float32")
    decoding = begun(model)
    for layer in model.named_layers().values():
        for name, part in list(vars(layer).items()):
            if isinstance(part, mg.Parameter):
                setattr(layer, name, mg.Parameter(part.numpy().astype(np.float64)))
    with pytest.raises(DtypeError, match="the cache holds float32.*float64"):
        decoding.read(IDS[:, 3:4])


@every
def test_the_first_token_may_be_the_only_one_that_was_asked(kind):
    """Of a language model it needs nothing that a layer made before; an encoder-decoder's layers keep what the encoder made."""
    for family in ("LanguageModel", "EncoderDecoder"):
        model, memory = made(family, kind)
        decoding = Decoding(model, 2, L, memory)
        for t in range(5):
            assert_close(decoding.read(IDS[:, t : t + 1]), whole(model, memory, IDS[:, : t + 1])[:, -1], 1e-12)
            assert (decoding.step is not None) == (t > 0 or memory is None)


def test_a_cache_that_is_empty_takes_numbers_of_any_kind():
    """As one in which a step was about to begin that no program can compute."""
    model, _ = made("LanguageModel", "GPT-2", "float64")
    cache = model.new_cache(2, L)
    for part in cache.blocks:
        part.room(2, 4, 4, np.dtype(np.float32))
    with mg.no_grad():
        read = model(IDS[:, :3], cache=cache)
    assert_close(read, whole(model, None, IDS[:, :3]), 1e-12)
    assert {array.dtype for part in cache.blocks for array in part.arrays} == {np.dtype(np.float64)}


# ---- copies


@both
@ways
def test_a_copy_goes_on_by_itself(family, by_program):
    model, memory = made(family, "LLaMA")
    decoding = begun(model, memory, by_program)
    other = copy.deepcopy(decoding)
    other.read([[9], [9]])
    goes_on(decoding, model, memory)
    assert other.cache.length == 4 and decoding.cache.length == 5
    text = np.concatenate([IDS[:, :3], [[9], [9]], IDS[:, :1]], axis=1)
    assert_close(other.read(IDS[:, :1]), whole(model, memory, text)[:, -1], 1e-12)
    assert (other.step is not None) == by_program
    if by_program:
        with pytest.raises(TypeError, match="program: a copy would compute with the arrays of this one"):
            copy.deepcopy(decoding.step)


# ---- memory


@both
@ways
def test_what_is_written_is_forgotten_at_once(family, by_program):
    """A cache is large: it must not wait for the collector of garbage."""
    model, memory = made(family, "LLaMA")
    gc.collect()
    gc.disable()
    try:
        decoding = begun(model, memory, by_program)
        gone = weakref.ref(decoding.cache)
        del decoding
        assert gone() is None
    finally:
        gc.enable()


# ---- windows


@every
@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize("padding", [None, [2, 0]])
def test_attention_that_looks_back_so_far_only(kind, window, padding):
    model, _ = made("LanguageModel", kind)
    for block in model.blocks:
        block.attention.sliding_window = window
    text = np.random.default_rng(3).integers(0, V, (2, L))
    decoding = Decoding(model, 2, L, padding=padding)
    for first, last in ((0, 3), (3, 4), (4, 7), (7, 8), (8, 9)):
        logits = decoding.read(text[:, first:last])
        for row, none in enumerate(padding or [0, 0]):
            assert_close(logits[row], whole(model, None, text[row : row + 1, none:last])[0, -1], 1e-12)
    assert decoding.cache is not None


def test_a_window_has_no_place_in_another_text():
    model, memory = made("EncoderDecoder", "GPT-2")
    model.decoder.blocks[0].cross_attention.sliding_window = 2
    decoding = Decoding(model, 2, L, memory)
    with pytest.raises(LayerError, match="sliding window is for a text that looks back at itself"):
        decoding.read(IDS[:, :2])


def test_more_texts_than_a_program_takes():
    config = LanguageModelConfig(V, L, layers=2, heads=4, width=12, positions="rotary", head_width=4)
    model, text = LanguageModel(config), np.random.default_rng(0).integers(0, V, (programs.MOST + 1, 5))
    decoding = Decoding(model, len(text), L)
    for first, last in ((0, 3), (3, 4), (4, 5)):
        assert_close(decoding.read(text[:, first:last]), whole(model, None, text[:, :last])[:, -1], 1e-5)
    assert decoding.step is None

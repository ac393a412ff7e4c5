"""Padding left out: the real tokens of several texts side by side give what each gives in its own row."""

from unittest import mock

import numpy as np
import pytest

import minigrad as mg
from tests.helpers import assert_close
from transformer.models import Encoder, EncoderConfig, stacks

V, L, E, F, h, N = 13, 9, 12, 7, 3, 2
LENGTHS = (3, 9, 1, 0, 5, 2)  # one text is empty
MORE = {
    "GPT-2": {},
    "BERT": {"norm": "post", "embedding_norm": True, "activation": "gelu", "segments": 3, "pooling": "mean", "normalize": True},
    "waves, shared keys": {
        "positions": "sinusoidal", "key_value_heads": 1, "normalization": "rms", "activation": "swiglu", "pooling": "first",
    },
    "no positions": {"ablate": ("positions",)},
}  # fmt: skip
every = pytest.mark.parametrize("kind", MORE)


def made(kind, dtype="float64", **more):
    with mg.use_default_dtype(dtype):
        model = Encoder(EncoderConfig(V, L, layers=N, heads=h, width=E, feed_forward=F, **MORE.get(kind, {}), **more))
    rng = np.random.default_rng(5)
    for p in model.parameters():
        p.assign(p.numpy() + 0.4 * rng.standard_normal(p.shape))
    return model


def texts():
    rng, ids = np.random.default_rng(1), np.zeros((len(LENGTHS), L), np.int64)
    for row, n in zip(ids, LENGTHS):
        row[:n] = rng.integers(1, V, n)
    ids[1, 4] = 0  # padding in the middle of a text
    return ids


def run(model, ids, packed, **options):
    """The result, and how often blocks were walked through."""
    climbs = mock.Mock(side_effect=model.climb)
    with mock.patch.object(stacks, "FULL", 15 / 16 if packed else 0), mock.patch.object(model, "climb", climbs, create=True):
        return model(ids, **options), climbs.call_count


@every
@pytest.mark.parametrize("together, climbs", [(1024, 1), (9, 3), (1, 5)])  # the empty text has its neighbour for company
def test_packed_or_padded_is_the_same(kind, together, climbs):
    model, ids = made(kind), texts()
    if MORE[kind].get("pooling") == "first":
        ids = ids[np.array(LENGTHS) > 0]  # texts that have a first token
        climbs = min(climbs, 5)
    options = {"segments": ids % 3} if "segments" in MORE[kind] else {}
    padded, once = run(model, ids, False, **options)
    with mock.patch.object(stacks, "TOGETHER", together):
        packed, times = run(model, ids, True, **options)
    assert once == 1 and times == climbs
    real = ids != 0 if packed.ndim == 3 else (ids != 0).any(axis=1)
    assert_close(packed.numpy()[real], padded.numpy()[real], 1e-12)


def test_a_text_without_a_first_token_does_not_depend_on_its_neighbours():
    """Its vector is that of padding, which packing would leave out."""
    model = made("waves, shared keys")
    ids = np.array([[5, 7, 2, 1], [0, 0, 3, 4], [0, 0, 0, 0]])
    together = model(ids).numpy()
    for row, vector in zip(ids, together):
        assert_close(vector, model(np.stack([row, row])).numpy()[0], 1e-12)


@every
def test_gradients_are_the_same(kind):
    model, ids = made(kind), texts()[:3]  # texts that have a first token
    found = []
    for packed in (False, True):
        model.zero_grad()
        out, _ = run(model, ids, packed)
        real = (ids != 0)[..., None] if out.ndim == 3 else np.ones((3, 1))
        (out * out * real * np.arange(1, E + 1)).sum().backward()
        found.append([p.grad.numpy() for p in model.parameters()])
    for a, b in zip(*found):
        assert_close(a, b, 1e-10)


def test_where_places_are_told_inside_of_the_blocks_rows_stay_rows():
    for positions in ("rotary", "relative"):
        model = made("", positions=positions)
        assert_close(run(model, texts(), True)[0].numpy(), run(model, texts(), False)[0].numpy(), 0)


def test_weights_and_training_have_rows():
    model, ids = made("GPT-2", dropout=0.5), texts()
    x, weights = model(ids, return_attention_scores=True)
    assert [w.shape for w in weights] == [(len(ids), h, L, L)] * N
    climbs = mock.Mock(side_effect=model.climb)
    with mock.patch.object(model, "climb", climbs, create=True):
        model(ids, training=True)
    assert climbs.call_args.kwargs["mask"].shape == ids.shape


def test_texts_without_padding_need_no_mask():
    model, ids = made("BERT"), np.array([[3, 4, 5], [6, 7, 8]])
    assert model.padding(ids) is None and model.padding(np.array([[3, 0]])).tolist() == [[True, False]]
    alone = model(ids)
    beside = model(np.pad(ids, ((0, 1), (0, 2))))[:2]  # with padding behind them, and an empty text
    assert_close(alone.detach(), beside.detach(), 1e-12)

"""Scaled dot-product attention: a kernel that never holds the scores, and the formula in other ops, for what is differentiated twice."""

import math

import numpy as np

from .. import kernels, random
from ..core import op, values
from ..errors import DtypeError, ShapeError, received
from .broadcasting import broadcast_to, promote
from .elementwise import add, multiply
from .linalg import matrix_product
from .neural import check_rate, counted_dropout
from .probability import softmax
from .samples import ErrorSample, Sample, normal
from .shape import expand_dims, reshape, swapaxes

__all__ = ["attention_weights", "scaled_dot_product_attention"]

NAME = "scaled_dot_product_attention"


def _samples(rng):
    q, k, v = normal(rng, 2, 3, 4, 5), normal(rng, 2, 3, 6, 5), normal(rng, 2, 3, 6, 7)
    square_k, square_v = normal(rng, 2, 3, 4, 5), normal(rng, 2, 3, 4, 7)
    yield Sample((q, k, v))
    yield Sample((q, square_k, square_v), {"is_causal": True}, note="causal")
    yield Sample((q, k, v), {"scale": 0.3})
    yield Sample((q, k, v, rng.random((4, 6)) < 0.6), note="mask")
    yield Sample((q, square_k, square_v, rng.random((2, 1, 4, 4)) < 0.6, normal(rng, 3, 1, 4)), {"is_causal": True},
                 note="mask, bias and causal")  # fmt: skip
    heads_inside = [a.transpose(0, 2, 1, 3).copy().transpose(0, 2, 1, 3) for a in (q, k, v)]
    yield Sample(tuple(heads_inside), note="strided")
    yield Sample((normal(rng, 0, 3, 4, 5), normal(rng, 0, 3, 6, 5), normal(rng, 0, 3, 6, 7)), note="0-size")


def _weights_reference(q, k, mask=None, bias=None, is_causal=False, scale=None, enable_gqa=False):
    if enable_gqa:
        k = np.repeat(k, q.shape[-3] // k.shape[-3], axis=-3)
    scores = np.einsum("...td,...sd->...ts", q, k) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    scores = scores if bias is None else scores + bias
    allowed = np.ones(scores.shape, bool) if mask is None else np.broadcast_to(mask, scores.shape)
    if is_causal:
        allowed = allowed & np.tri(*scores.shape[-2:], dtype=bool)
    e = np.where(allowed, np.exp(scores), 0)
    return e / np.maximum(e.sum(-1, keepdims=True), 1e-300)


def _reference(q, k, v, mask=None, bias=None, is_causal=False, scale=None, dropout=0.0, enable_gqa=False, seed=None, offset=0):
    weights = _weights_reference(q, k, mask, bias, is_causal, scale, enable_gqa)
    if dropout:
        weights = kernels.reference.dropout(weights, dropout, seed, offset)
    if enable_gqa:
        v = np.repeat(v, q.shape[-3] // v.shape[-3], axis=-3)
    return np.einsum("...ts,...sd->...td", weights, v)


# ------------------------------------------------------------------------------------------- the weights by themselves


@op(composed=True, reference=_weights_reference, samples=lambda rng: [
    *[Sample((*sample.args[:2], *sample.args[3:]), sample.kwargs, sample.note) for sample in _samples(rng)],
    Sample((normal(rng, 2, 6, 4, 5), normal(rng, 2, 3, 7, 5)), {"enable_gqa": True}, note="shared keys"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3, 4, 5)), np.ones((2, 3, 6, 4))), {}, ShapeError, r"attention_weights.*dq.*5.*4"),
    ErrorSample((np.ones((4, 5)), np.ones((6, 5)), np.ones((4, 6))), {}, DtypeError, "attention_weights: a mask must be boolean"),
    ErrorSample((np.ones((4, 5)), np.ones((6, 5)), np.ones((3, 6), bool)), {}, ShapeError, r"attention_weights: the mask.*\(4, 6\)"),
], method=False, kinks="a question that may attend to nothing gets 0, and so do its gradients")  # fmt: skip
def attention_weights(q, k, mask=None, bias=None, /, is_causal=False, scale=None, enable_gqa=False):
    """softmax(q kT scale + bias): what every question takes of every key.   (..., h, T, dq), (..., h, S, dq) -> (..., h, T, S)

    The weights of `scaled_dot_product_attention`, which never holds them, with the same arguments: every row adds up to 1, what is
    forbidden is exactly 0, and a row with nothing to attend to is zeros. Raises ShapeError and DtypeError as that function does.

    >>> import numpy as np
    >>> attention_weights(np.zeros((2, 3)), np.zeros((2, 3)), is_causal=True)
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    _check("attention_weights", q, k, k, mask, bias, enable_gqa)
    k = _repeated(q, k)
    products = matrix_product(q, swapaxes(k, -1, -2), "float32")  # as in the fused kernel, whatever `matmul_precision` says
    scores = multiply(products, 1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if mask is None and bias is None and not is_causal:
        return softmax(scores)
    scores = scores if bias is None else add(scores, bias)
    return softmax(scores, where=_allowed(mask, is_causal, scores.shape))  # also with a bias alone: it may forbid, by -infinity


# ------------------------------------------------------------------------------------------- four axes


def _headed_reference(q, k, v, mask=None, bias=None, **options):
    return _reference(q, k, v, mask, bias, enable_gqa=True, **options)


@op(saves=True, reference=_headed_reference, samples=lambda rng: [
    *_samples(rng),
    Sample((normal(rng, 2, 3, 4, 5), normal(rng, 2, 3, 6, 5), normal(rng, 2, 3, 6, 7)), {"dropout": 0.4, "seed": 3, "offset": 9},
           note="dropout"),
    Sample((normal(rng, 2, 6, 4, 5), normal(rng, 2, 3, 7, 5), normal(rng, 2, 3, 7, 4), rng.random((2, 1, 1, 7)) < 0.7,
            normal(rng, 6, 1, 7)), {"dropout": 0.4, "seed": 3}, note="shared keys, all at once"),
], errors=lambda: [
    ErrorSample((np.ones((4, 5)), np.ones((6, 5)), np.ones((6, 7))), {}, ShapeError, f"{NAME}.*four axes"),
], method=False, kinks="a question that may attend to nothing gets 0, and so do its gradients")  # fmt: skip
def headed_attention(q, k, v, mask=None, bias=None, /, is_causal=False, scale=None, dropout=0.0, seed=None, offset=0):
    """Attention of h heads, h a multiple of r.   (B, h, T, dq), (B, r, S, dq), (B, r, S, dv) -> (B, h, T, dv)

    What `scaled_dot_product_attention` says, for four axes, heads that may share keys, and a dropout whose seed is known.

    >>> import numpy as np
    >>> q = k = np.zeros((1, 1, 2, 3))
    >>> v = np.array([[[[2.0], [4.0]]]])
    >>> headed_attention(q, k, v, is_causal=True)[0, 0, :, 0]
    array([2., 3.])
    """
    if q.ndim != 4:
        raise ShapeError(f"{NAME}: q, k and v need the four axes (B, h, T or S, width). " + received(q=q, k=k, v=v))
    out, lse = kernels.attention(*_asked(q, k, v, mask, bias, is_causal, scale, dropout, seed, offset))
    return out, (out, lse)


@headed_attention.vjp
def _(g, _, q, k, v, mask, bias, is_causal, scale, dropout, seed, offset, saved, wanted):
    q, k, v, *rest = _asked(q, k, v, mask, bias, is_causal, scale, dropout, seed, offset)
    dq, dk, dv, dbias = kernels.attention_grad(g, q, k, v, *saved, *rest, bias_wanted=wanted[4])
    return tuple([d if want else None for d, want in zip((dq, dk, dv, None, dbias), wanted)])


def _asked(q, k, v, mask, bias, is_causal, scale, dropout, seed, offset):
    """What the kernels are asked: arrays of one dtype, a scale, a seed."""
    q, k, v, *rest = promote((q, k, v) if bias is None else (q, k, v, bias), floating=True)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    return q, k, v, is_causal, scale, mask, rest[0] if rest else None, dropout, seed or 0, offset


@headed_attention.composite
def _(q, k, v, mask, bias, is_causal, scale, dropout, seed, offset):
    weights = attention_weights(q, k, mask, bias, is_causal, scale, enable_gqa=True)
    return matrix_product(counted_dropout(weights, dropout, seed, offset) if dropout else weights, _repeated(q, v), "float32")


def _allowed(mask, is_causal, shape):
    """What may be attended to.   -> booleans (.., T, S)"""
    allowed = np.ones((), bool) if mask is None else values(mask)
    if is_causal:
        allowed = allowed & np.tri(*shape[-2:], dtype=bool)  # (T, S): key s <= question t
    return np.broadcast_to(allowed, shape)


# ------------------------------------------------------------------------------------------------ what people call


@op(composed=True, reference=_reference, samples=lambda rng: [
    *_samples(rng),
    Sample((normal(rng, 2, 6, 4, 5), normal(rng, 2, 3, 7, 5), normal(rng, 2, 3, 7, 4)), {"enable_gqa": True}, note="shared keys"),
    Sample((normal(rng, 4, 5), normal(rng, 6, 5), normal(rng, 6, 7), rng.random((4, 6)) < 0.6), note="two axes"),
    Sample((normal(rng, 2, 1, 3, 4, 5), normal(rng, 2, 1, 3, 6, 5), normal(rng, 2, 1, 3, 6, 7), None, normal(rng, 2, 1, 1, 4, 6)),
           {"dropout": 0.3, "seed": 7}, note="five axes, dropout"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3, 4, 5)), np.ones((2, 3, 6, 4)), np.ones((2, 3, 6, 7))), {}, ShapeError, rf"{NAME}.*dq.*5.*4"),
    ErrorSample((np.ones((2, 3, 4, 5)), np.ones((2, 3, 6, 5)), np.ones((2, 3, 5, 7))), {}, ShapeError, rf"{NAME}.*S.*6.*5"),
    ErrorSample((np.ones((2, 6, 4, 5)), np.ones((2, 3, 6, 5)), np.ones((2, 3, 6, 7))), {}, ShapeError, rf"{NAME}.*heads.*enable_gqa=True"),
    ErrorSample((np.ones((2, 4, 4, 5)), np.ones((2, 3, 6, 5)), np.ones((2, 3, 6, 7))), {"enable_gqa": True}, ShapeError,
                rf"{NAME}: 4 heads of q cannot share 3"),
    ErrorSample((np.ones((2, 3, 4, 5)), np.ones((2, 3, 6, 5)), np.ones((2, 3, 6, 7)), np.ones((4, 6))), {}, DtypeError,
                rf"{NAME}.*boolean.*bias="),
    ErrorSample((np.ones((2, 3, 4, 5)), np.ones((2, 3, 6, 5)), np.ones((2, 3, 6, 7)), None, True), {}, DtypeError,
                rf"{NAME}: a bias is made of numbers.*mask="),
    ErrorSample((np.ones((2, 3, 4, 5)), np.ones((2, 3, 6, 5)), np.ones((2, 3, 6, 7)), None, 0.1), {}, ShapeError,
                rf"{NAME}: one number.*dropout="),
    ErrorSample((np.ones(4), np.ones((2, 4)), np.ones((2, 4))), {}, ShapeError, rf"{NAME}.*as many axes.*\(4,\)"),
    ErrorSample((np.ones((4, 5)), np.ones((6, 5)), np.ones((6, 7)), np.ones((2, 4, 6), bool)), {}, ShapeError,
                rf"{NAME}: the mask must broadcast to .*\(4, 6\)"),
    ErrorSample((np.ones((4, 5)), np.ones((6, 5)), np.ones((6, 7))), {"dropout": 1.0}, ValueError, rf"{NAME}: rate .*1\.0"),
], method=False, kinks="a question that may attend to nothing gets 0, and so do its gradients")  # fmt: skip
def scaled_dot_product_attention(
    q, k, v, mask=None, bias=None, /, is_causal=False, scale=None, dropout=0.0, enable_gqa=False, seed=None, offset=0, generator=None
):
    """softmax(q kT scale + bias) v.   (..., h, T, dq), (..., h, S, dq), (..., h, S, dv) -> (..., h, T, dv)

    Every question takes the mean of the values, weighted by how well the keys answer it (Vaswani et al. 2017): the questions are
    in the rows of the scores, the keys in the columns, and every row of weights adds up to 1. ``scale`` defaults to 1 / sqrt(dq).
    ``mask``, boolean and broadcastable to (..., h, T, S), is True where a question may attend to a key; ``is_causal`` forbids
    keys s > t, also where T and S differ. Forbidden scores are -infinity before the softmax, so their weight is exactly 0; a
    question that may attend to nothing gets zeros. ``bias``, broadcastable as the mask, is added to the scores and receives a
    gradient. ``dropout`` leaves out weights as the function of that name does, by ``seed`` and ``offset``, or else by numbers of
    the ``generator``. With ``enable_gqa`` q has r times the heads of k and v, and head i of q uses head i // r of theirs. There
    may be any number of axes before T. Raises ShapeError and DtypeError for what does not fit together.

    >>> import numpy as np
    >>> q = k = np.zeros((1, 1, 2, 3))
    >>> v = np.array([[[[2.0], [4.0]]]])
    >>> scaled_dot_product_attention(q, k, v, is_causal=True)[0, 0, :, 0]
    array([2., 3.])
    """
    check_rate(NAME, dropout)
    if not 2 <= q.ndim == k.ndim == v.ndim:
        raise ShapeError(f"{NAME}: q, k and v need as many axes, (..., T or S, width). " + received(q=q, k=k, v=v))
    _check(NAME, q, k, v, mask, bias, enable_gqa)
    lead = q.shape[:-2]
    if len(lead) != 2:
        mask, bias = [None if x is None else _folded_mask(x, lead) for x in (mask, bias)]
        q, k, v = _folded(q), _folded(k), _folded(v)
    if dropout and seed is None:
        seed, offset = (generator or random.current()).counters(math.prod(q.shape[:-1]) * k.shape[-2])
    out = headed_attention(q, k, v, mask, bias, is_causal, scale, dropout, seed, offset)
    return out if len(lead) == 2 else reshape(out, (*lead, *out.shape[-2:]))  # (B, h, T, dv) -> (..., T, dv)


def _repeated(q, x):
    """Every head of x as often as heads of q share it.   (..., h, S, width), (..., r, S, width) -> (..., h, S, width)"""
    if x.ndim == 2 or x.shape[-3] == q.shape[-3]:
        return x
    *lead, own, S, width = x.shape
    repeated = broadcast_to(expand_dims(x, -3), (*lead, own, q.shape[-3] // own, S, width))  # (.. r S w) -> (.. r h/r S w)
    return reshape(repeated, (*lead, q.shape[-3], S, width))


def _folded(x):
    """The axes before the last two as the two (B, h).   (..., T, width) -> (B, h, T, width)"""
    lead = (1, 1, *x.shape[:-2])
    return reshape(x, (math.prod(lead[:-1]), lead[-1], *x.shape[-2:]))


def _folded_mask(x, lead):
    """A mask or bias for folded scores: only the batch is broadcast, and only if x has one.   -> (B or 1, h or 1, T or 1, S or 1)"""
    x = reshape(x, (1,) * (len(lead) + 2 - x.ndim) + x.shape)
    if any([n != 1 for n in x.shape[: len(lead) - 1]]):
        x = broadcast_to(x, (*lead[:-1], *x.shape[max(len(lead) - 1, 0) :]))
    return _folded(x)


def _check(name, q, k, v, mask, bias, enable_gqa):
    """Raises where shapes or dtypes do not belong together."""
    scores, error = (*q.shape[:-1], k.shape[-2]), ShapeError
    equal, shared = q.shape[:-2] == k.shape[:-2], q.ndim > 2 and k.shape[-3] and q.shape[-3] % k.shape[-3] == 0
    if q.shape[:-3] != k.shape[:-3] or k.shape[:-2] != v.shape[:-2] or not (equal or enable_gqa):
        advice = " With enable_gqa=True several heads of q share one of k and v." if shared and not enable_gqa else ""
        problem = f"q, k and v must agree in the batch B and the heads h.{advice}"
    elif not (equal or shared):
        problem = f"{q.shape[-3]} heads of q cannot share {k.shape[-3]} of k and v equally."
    elif q.shape[-1] != k.shape[-1]:
        problem = f"questions and keys must have the same width dq, not {q.shape[-1]} and {k.shape[-1]}."
    elif k.shape[-2] != v.shape[-2]:
        problem = f"every key needs its value, but S is {k.shape[-2]} for k and {v.shape[-2]} for v."
    elif mask is not None and np.asarray(values(mask)).dtype.kind != "b":
        error, problem = DtypeError, "a mask must be boolean, True where a question may attend; numbers to add to the scores are bias=."
    elif bias is not None and np.asarray(values(bias)).dtype.kind != "f":
        error, problem = DtypeError, "a bias is made of numbers that are added to the scores; booleans are mask=."
    elif bias is not None and np.ndim(values(bias)) == 0:
        problem = "one number added to all scores changes nothing; PyTorch's fifth argument has a name here, dropout=."
    elif not _broadcasts(mask, scores):
        problem = f"the mask must broadcast to {_axes(scores)} = {scores}."
    elif not _broadcasts(bias, scores):
        problem = f"the bias must broadcast to {_axes(scores)} = {scores}."
    else:
        return
    given = {what: x for what, x in (("mask", mask), ("bias", bias)) if x is not None}
    raise error(f"{name}: {problem} " + received(q=q, k=k, v=v, **given))


def _axes(scores):
    return "(B, h, T, S)" if len(scores) == 4 else "(..., T, S)"


def _broadcasts(x, shape):
    """Whether x, if there is one, broadcasts to ``shape``."""
    if x is None:
        return True
    own = np.shape(values(x))
    return len(own) <= len(shape) and all([m in (1, n) for m, n in zip(own[::-1], shape[::-1])])

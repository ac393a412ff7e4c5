"""Fused ops: one kernel forward, one backward, and a composite, the same mathematics in terms of other ops.

The composite is what the engine differentiates when a graph of the gradient is wanted, what the tests hold the kernel
against, and what a reader should read first.
"""

import math

import numpy as np

from .. import kernels
from ..core import Tensor, op
from ..errors import DtypeError, ShapeError, received
from .broadcasting import promote
from .elementwise import add, divide, erf, exp, log, multiply, negative, sqrt, square, subtract, tanh, where
from .indexing import check_ids, check_rank, getitem
from .linalg import matrix_product
from .reduce import mean, sum
from .samples import ErrorSample, Sample, normal, strided
from .shape import swapaxes

__all__ = [
    "cross_entropy", "dropout", "embedding", "gelu", "layer_norm", "log_softmax", "scaled_dot_product_attention",
    "softmax",
]  # fmt: skip


def _values(x):
    """The plain array of a Tensor: a constant in a composite, for what the result does not depend on."""
    return x._data if isinstance(x, Tensor) else x


def _check_axis(name, x, axis):
    """Raises ShapeError where x has no such axis."""
    check_rank(name, x, 1)
    if not -x.ndim <= axis < x.ndim:
        raise ShapeError(f"{name}: axis {axis} is out of range for {x.ndim} axes. " + received(x=x, axis=axis))


def _rows_last(x, axis):
    """x with ``axis`` moved to the end, where the row kernels work."""
    return x if axis in (-1, x.ndim - 1) else np.moveaxis(x, axis, -1)


# ------------------------------------------------------------------------------------------------------- softmax


def _softmax_reference(x, mask=None, axis=-1):
    if mask is None:
        e = np.exp(x - x.max(axis, keepdims=True, initial=-np.inf))
        return e / e.sum(axis, keepdims=True)
    e = np.where(mask, np.exp(np.where(mask, x, 0)), 0)
    total = e.sum(axis, keepdims=True)
    return e / np.where(total == 0, 1, total)


def _softmax_samples(rng):
    yield Sample((normal(rng, 3, 4),))
    yield Sample((normal(rng, 2, 3, 4), None, 1), note="inner axis")
    yield Sample((strided(rng, 3, 5),), note="strided")
    yield Sample((normal(rng, 0, 3),), note="0-size")
    yield Sample((normal(rng, 2, 3, 4), np.tri(3, 4, dtype=bool)), note="causal mask")
    yield Sample((normal(rng, 3, 4), np.array([[True], [False], [True]])), note="a row with nothing to choose from")


@op(reference=_softmax_reference, samples=_softmax_samples, errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones((2, 3))), {}, DtypeError, "softmax.*boolean"),
    ErrorSample((np.float64(1.0),), {}, ShapeError, "softmax.*at least 1"),
    ErrorSample((np.ones((2, 3)), np.ones((2, 4), bool)), {}, ShapeError, r"softmax.*mask.*\(2, 3\).*\(2, 4\)"),
    ErrorSample((np.ones((2, 3)), None, 2), {}, ShapeError, r"softmax: axis 2 is out of range.*\(2, 3\)"),
], kinks="a row in which everything is masked is 0, and so is its gradient")  # fmt: skip
def softmax(x, where=None, /, axis=-1):
    """exp(x) / sum(exp(x)) along an axis; what ``where`` forbids counts as -infinity and gets exactly 0.   (..., n) -> (..., n)

    Every row adds up to 1. A row in which nothing is allowed is all zeros; a row of -infinity without ``where`` is NaN.

    >>> import numpy as np
    >>> softmax(np.log(np.array([1.0, 3.0])))
    array([0.25, 0.75])
    """
    x = np.asarray(x)
    _check_axis("softmax", x, axis)
    (x,) = promote((x,), floating=True)
    if where is not None:
        where = _boolean("softmax", where)
        try:
            where = _rows_last(np.broadcast_to(where, x.shape), axis)
        except ValueError:
            raise ShapeError("softmax: the mask must broadcast to the shape of x. " + received(x=x, mask=where)) from None
    y = kernels.softmax(_rows_last(x, axis), where)
    return y if axis in (-1, x.ndim - 1) else np.moveaxis(y, -1, axis)


@softmax.vjp
def _(g, out, x, where, axis):
    d = kernels.softmax_grad(_rows_last(g, axis), _rows_last(out, axis))
    return (d if axis in (-1, x.ndim - 1) else np.moveaxis(d, -1, axis)), None


@softmax.composite
def _(x, mask, axis):
    if mask is None:
        top = np.max(_values(x), axis=axis, keepdims=True, initial=-np.inf)
        e = exp(subtract(x, top))
        return divide(e, sum(e, axis, True))
    x = where(mask, x, 0.0)
    top = np.max(_values(x), axis=axis, keepdims=True, initial=-np.inf, where=np.broadcast_to(mask, x.shape))
    e = where(mask, exp(subtract(x, np.where(np.isfinite(top), top, 0))), 0.0)
    total = sum(e, axis, True)
    return divide(e, add(total, (_values(total) == 0).astype(x.dtype)))


@op(reference=lambda x, axis=-1: x - np.log(np.exp(x).sum(axis, keepdims=True)), samples=lambda rng: [
    Sample((normal(rng, 3, 4),)), Sample((normal(rng, 2, 3, 4), 1), note="inner axis"), Sample((strided(rng, 3, 5),)),
    Sample((normal(rng, 0, 3),), note="0-size"),
], errors=lambda: [ErrorSample((np.float64(1.0),), {}, ShapeError, "log_softmax.*at least 1")])  # fmt: skip
def log_softmax(x, /, axis=-1):
    """x - log(sum(exp(x))) along an axis: the logarithm of softmax, without overflow.   (..., n) -> (..., n)

    >>> import numpy as np
    >>> np.exp(log_softmax(np.log(np.array([1.0, 3.0])))).round(4)
    array([0.25, 0.75])
    """
    _check_axis("log_softmax", x, axis)
    (x,) = promote((x,), floating=True)
    y = kernels.log_softmax(_rows_last(x, axis))
    return y if axis in (-1, x.ndim - 1) else np.moveaxis(y, -1, axis)


@log_softmax.vjp
def _(g, out, x, axis):
    d = kernels.log_softmax_grad(_rows_last(g, axis), _rows_last(out, axis))
    return (d if axis in (-1, x.ndim - 1) else np.moveaxis(d, -1, axis),)


@log_softmax.composite
def _(x, axis):
    centred = subtract(x, np.max(_values(x), axis=axis, keepdims=True, initial=-np.inf))
    return subtract(centred, log(sum(exp(centred), axis, True)))


def _boolean(name, mask):
    mask = np.asarray(_values(mask))
    if mask.dtype != bool:
        raise DtypeError(f"{name}: a mask must be boolean, True where a value may be used. " + received(mask=mask))
    return mask


# ----------------------------------------------------------------------------------------------------------- loss


def _cross_entropy_reference(logits, targets, reduction="mean"):
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    losses = -np.log(np.take_along_axis(p, np.asarray(targets)[..., None], -1)[..., 0])
    return {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction](losses)


@op(saves=True, reference=_cross_entropy_reference, samples=lambda rng: [
    Sample((normal(rng, 3, 4), np.array([0, 3, 1]))), Sample((normal(rng, 2, 3, 5), np.array([[0, 4, 4], [1, 2, 3]]))),
    Sample((normal(rng, 3, 4), np.array([0, 3, 1]), "sum")), Sample((strided(rng, 2, 3), np.array([2, 0]), "none")),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.array([0, 3])), {}, IndexError, r"cross_entropy: targets\[1\] is 3, outside 0 to 2"),
    ErrorSample((np.ones((2, 3)), np.array([0.0, 1.0])), {}, DtypeError, "cross_entropy.*integers"),
    ErrorSample((np.ones((2, 3)), np.array([0, 1, 2])), {}, ShapeError, r"cross_entropy.*\(2, 3\).*\(3,\)"),
], method=False)  # fmt: skip
def cross_entropy(logits, targets, /, reduction="mean"):
    """Minus the logarithm of the probability that softmax(logits) gives the target.   (..., V), (...) -> ()

    loss = logsumexp(logits) - logits[target], in nats; ``reduction`` "mean", "sum" or "none" (one loss per target).
    Raises IndexError for a target outside 0 .. V - 1, ShapeError where the shapes do not fit.

    >>> import numpy as np
    >>> float(cross_entropy(np.log(np.array([[1.0, 3.0]])), np.array([1])).round(4))
    0.2877
    """
    check_rank("cross_entropy", logits, 1, "logits")
    targets = np.asarray(targets)
    if targets.shape != logits.shape[:-1]:
        raise ShapeError(
            "cross_entropy: targets must have the shape of the logits without the last axis. " + received(logits=logits, targets=targets)
        )
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'cross_entropy: reduction is "mean", "sum" or "none". Received: {reduction!r}.')
    targets = check_ids("cross_entropy", targets, logits.shape[-1], "targets")
    losses, lse = kernels.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))  # (N, V), (N,)
    if reduction == "none":
        return losses.reshape(targets.shape), lse
    total = losses.sum(dtype=np.float64)  # over a whole batch: float64
    return np.asarray(total if reduction == "sum" else total / losses.size, losses.dtype), lse


@cross_entropy.vjp
def _(g, _, logits, targets, reduction, saved):
    V = logits.shape[-1]
    targets = np.asarray(targets).astype(np.int64, copy=False).reshape(-1)
    if reduction == "none":
        each = g.reshape(-1)
    else:
        each = np.full(targets.size, g if reduction == "sum" else g / targets.size, logits.dtype)
    return kernels.cross_entropy_grad(each, logits.reshape(-1, V), targets, saved).reshape(logits.shape), None


@cross_entropy.composite
def _(logits, targets, reduction):
    targets = np.asarray(targets)
    losses = negative(getitem(log_softmax(logits), (*np.indices(targets.shape), targets)))
    return {"mean": mean, "sum": sum, "none": lambda x: x}[reduction](losses)


# -------------------------------------------------------------------------------------------------- normalization


@op(saves=True, samples=lambda rng: [
    Sample((normal(rng, 3, 4), normal(rng, 4), normal(rng, 4))), Sample((normal(rng, 2, 3, 5),)),
    Sample((strided(rng, 3, 4), normal(rng, 4), None)), Sample((normal(rng, 2, 3), None, normal(rng, 3), 0.1)),
    Sample((normal(rng, 0, 3), normal(rng, 3), normal(rng, 3)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones(2)), {}, ShapeError, r"layer_norm.*gamma.*3 features.*\(2,\)"),
], method=False)  # fmt: skip
def layer_norm(x, gamma=None, beta=None, /, eps=1e-5):
    """Every row shifted to mean 0, scaled to variance 1, then gamma * row + beta.   (..., E), (E), (E) -> (..., E)

    gamma * (x - mean) / sqrt(var + eps) + beta, mean and variance over the features of one row (Ba et al. 2016).
    Raises ShapeError where gamma or beta is not of length E.

    >>> import numpy as np
    >>> layer_norm(np.array([[1.0, 3.0]]), eps=0.0)
    array([[-1.,  1.]])
    """
    check_rank("layer_norm", x, 1)
    for name, parameter in (("gamma", gamma), ("beta", beta)):
        if parameter is not None and parameter.shape != x.shape[-1:]:
            raise ShapeError(
                f"layer_norm: {name} needs one number for each of the {x.shape[-1]} features. " + received(x=x, **{name: parameter})
            )
    given = [a for a in (x, gamma, beta) if a is not None]
    promoted = iter(promote(given, floating=True))
    x, gamma, beta = [None if a is None else next(promoted) for a in (x, gamma, beta)]
    y, centre, rstd = kernels.layer_norm(x, gamma, beta, eps)
    return y, (centre, rstd)


@layer_norm.vjp
def _(g, _, x, gamma, beta, eps, saved, wanted):
    gradients = kernels.layer_norm_grad(g, x, gamma, *saved)
    return [d if want else None for d, want in zip(gradients, wanted)]


@layer_norm.composite
def _(x, gamma, beta, eps):
    centred = subtract(x, mean(x, -1, True))
    y = divide(centred, sqrt(add(mean(square(centred), -1, True), eps)))
    y = y if gamma is None else multiply(y, gamma)
    return y if beta is None else add(y, beta)


# ----------------------------------------------------------------------------------------------------- activation


def _gelu_reference(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))


@op(saves=True, reference=_gelu_reference, samples=lambda rng: [
    Sample((normal(rng, 3, 4),)), Sample((normal(rng, 3, 4), "tanh")), Sample((strided(rng, 3, 5), "tanh"), note="strided"),
    Sample((normal(rng),), note="0-d"), Sample((normal(rng, 0, 3), "tanh"), note="0-size"),
], errors=lambda: [ErrorSample((np.ones(2), "sigmoid"), {}, ValueError, "gelu.*none.*tanh.*sigmoid")])  # fmt: skip
def gelu(x, /, approximate="none"):
    """Gaussian error linear unit, x times the probability that a standard normal is below x.   (...) -> (...)

    "none": x/2 (1 + erf(x / sqrt(2))); "tanh": x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) (Hendrycks and Gimpel 2016).

    >>> import numpy as np
    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f'gelu: approximate is "none" or "tanh". Received: {approximate!r}.')
    (x,) = promote((x,), floating=True)
    return kernels.gelu(x, approximate)


@gelu.vjp
def _(g, _, x, approximate, saved):
    return (multiply(g, saved),)


@gelu.composite
def _(x, approximate):
    if approximate == "tanh":
        inner = multiply(add(x, multiply(multiply(square(x), x), 0.044715)), math.sqrt(2 / math.pi))
        return multiply(multiply(x, 0.5), add(tanh(inner), 1.0))
    return multiply(multiply(x, 0.5), add(erf(multiply(x, math.sqrt(0.5))), 1.0))


# ------------------------------------------------------------------------------------------ embedding and dropout


@op(reference=lambda table, ids: table[ids], samples=lambda rng: [
    Sample((normal(rng, 5, 3), np.array([[0, 4, 4], [1, 0, 2]]))), Sample((normal(rng, 5, 3), np.array(2)), note="0-d"),
    Sample((strided(rng, 4, 3), np.array([3, 3])), note="strided"), Sample((normal(rng, 4, 3), np.zeros((0, 2), int)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((3, 2)), np.array([[0, 1], [5, 1]])), {}, IndexError, r"embedding: ids\[1, 0\] is 5, outside 0 to 2"),
    ErrorSample((np.ones((3, 2)), np.array([0.5])), {}, DtypeError, "embedding.*integers"),
], method=False)  # fmt: skip
def embedding(table, ids, /):
    """The rows of a table, one per id: one-hot(ids) times the table.   (V, E), integers (...) -> (..., E)

    Raises IndexError for an id outside 0 .. V - 1, naming it and its place.

    >>> import numpy as np
    >>> embedding(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 1, 0]))
    array([[3., 4.],
           [3., 4.],
           [1., 2.]])
    """
    return table[check_ids("embedding", np.asarray(ids), len(table), "ids")]  # (V, E)[...] -> (..., E)


@embedding.vjp
def _(g, _, table, ids):
    return kernels.embedding_grad(g, np.asarray(ids).astype(np.int64, copy=False), len(table)), None


@embedding.composite
def _(table, ids):
    return getitem(table, np.asarray(ids))


@op(linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 3, 4), 0.5, 1, 0)), Sample((strided(rng, 2, 3), 0.25, 7, 100), note="strided"), Sample((normal(rng, 5), 0.0, 1, 0)),
], errors=lambda: [ErrorSample((np.ones(2), 1.5, 0, 0), {}, ValueError, "dropout.*1.5")])  # fmt: skip
def dropout(x, /, rate, seed, offset=0):
    """Each element kept with probability 1 - rate and divided by it, or else 0.   (...) -> (...)

    The choice for element i is a hash of (seed, offset + i): the same in forward, backward and recomputation (Srivastava
    et al. 2014). Raises ValueError for a rate outside 0 <= rate < 1.

    >>> import numpy as np
    >>> float(dropout(np.ones(8), rate=0.5, seed=0).max())
    2.0
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout: rate must be at least 0 and below 1. Received: {rate}.")
    (x,) = promote((x,), floating=True)
    return kernels.dropout(x, rate, seed, offset)


@dropout.vjp
def _(g, _, x, rate, seed, offset):
    return (dropout(g, rate, seed, offset),)


# ------------------------------------------------------------------------------------------------------ attention


def _attention_samples(rng):
    q, k, v = normal(rng, 2, 3, 4, 5), normal(rng, 2, 3, 6, 5), normal(rng, 2, 3, 6, 7)
    square_k, square_v = normal(rng, 2, 3, 4, 5), normal(rng, 2, 3, 4, 7)
    yield Sample((q, k, v))
    yield Sample((q, square_k, square_v), {"is_causal": True}, note="causal")
    yield Sample((q, k, v), {"scale": 0.3})
    yield Sample((q, k, v, rng.random((4, 6)) < 0.6), note="mask")
    yield Sample((q, square_k, square_v, rng.random((2, 1, 4, 4)) < 0.6), {"is_causal": True}, note="mask and causal")
    heads_inside = [a.transpose(0, 2, 1, 3).copy().transpose(0, 2, 1, 3) for a in (q, k, v)]
    yield Sample(tuple(heads_inside), note="strided")


def _attention_reference(q, k, v, mask=None, is_causal=False, scale=None):
    scores = np.einsum("bhtd,bhsd->bhts", q, k) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    allowed = np.ones(scores.shape, bool) if mask is None else np.broadcast_to(mask, scores.shape)
    if is_causal:
        allowed = allowed & np.tri(*scores.shape[-2:], dtype=bool)
    return np.einsum("bhts,bhsd->bhtd", _softmax_reference(scores, allowed), v)


@op(saves=True, reference=_attention_reference, samples=_attention_samples, errors=lambda: [
    ErrorSample((np.ones((2, 3, 4, 5)), np.ones((2, 3, 6, 4)), np.ones((2, 3, 6, 7))), {}, ShapeError,
                r"scaled_dot_product_attention.*dq.*5.*4"),
    ErrorSample((np.ones((2, 3, 4, 5)), np.ones((2, 3, 6, 5)), np.ones((2, 3, 5, 7))), {}, ShapeError,
                r"scaled_dot_product_attention.*S.*6.*5"),
    ErrorSample((np.ones((2, 3, 4, 5)), np.ones((2, 3, 6, 5)), np.ones((2, 3, 6, 7)), np.ones((4, 6))), {}, DtypeError,
                "scaled_dot_product_attention.*boolean"),
], method=False, kinks="a question that may attend to nothing gets 0, and so do its gradients")  # fmt: skip
def scaled_dot_product_attention(q, k, v, mask=None, /, is_causal=False, scale=None):
    """softmax(q kT * scale) v: every question takes the mean of the values, weighted by how well the keys answer it.

    (B, h, T, dq), (B, h, S, dq), (B, h, S, dv) -> (B, h, T, dv); the questions are in the rows of the scores, the keys in the columns,
    and every row of weights adds up to 1. ``mask``, boolean and broadcastable to (B, h, T, S), is True where a question may
    attend to a key; ``is_causal`` forbids keys s > t. Forbidden scores are -infinity before the softmax, so their weight is
    exactly 0; a question that may attend to nothing gets zeros. ``scale`` defaults to 1 / sqrt(dq) (Vaswani et al. 2017).

    >>> import numpy as np
    >>> q = k = np.zeros((1, 1, 2, 3))
    >>> v = np.array([[[[2.0], [4.0]]]])
    >>> scaled_dot_product_attention(q, k, v, is_causal=True)[0, 0, :, 0]
    array([2., 3.])
    """
    _check_attention(q, k, v, mask)
    q, k, v = promote((q, k, v), floating=True)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    if mask is None:
        out, lse = kernels.attention(q, k, v, is_causal, scale)
        return out, (out, lse)
    scores = kernels.matmul(q, swapaxes(k, -1, -2)) * scale  # (B h T dq)(B h dq S) -> (B h T S)
    weights = kernels.softmax(scores, np.broadcast_to(_allowed(mask, is_causal, scores.shape), scores.shape))
    return kernels.matmul(weights, v), weights  # (B h T S)(B h S dv) -> (B h T dv)


@scaled_dot_product_attention.vjp
def _(g, _, q, k, v, mask, is_causal, scale, saved):
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    if mask is None:
        return *kernels.attention_grad(g, q, k, v, *saved, is_causal, scale), None
    weights = saved
    dv = kernels.matmul(swapaxes(weights, -1, -2), g)  # (B h S T)(B h T dv) -> (B h S dv)
    scores = kernels.softmax_grad(kernels.matmul(g, swapaxes(v, -1, -2)), weights) * scale  # (B h T S)
    dq = kernels.matmul(scores, k)  # (B h T S)(B h S dq) -> (B h T dq)
    dk = kernels.matmul(swapaxes(scores, -1, -2), q)  # (B h S T)(B h T dq) -> (B h S dq)
    return dq, dk, dv, None


@scaled_dot_product_attention.composite
def _(q, k, v, mask, is_causal, scale):
    scores = multiply(matrix_product(q, swapaxes(k, -1, -2)), 1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    return matrix_product(softmax(scores, _allowed(mask, is_causal, scores.shape)), v)


def _allowed(mask, is_causal, shape):
    """The boolean (.., T, S) of what may be attended to, None for everything."""
    if not is_causal:
        return mask
    causal = np.tri(*shape[-2:], dtype=bool)  # (T, S): key s <= question t
    return causal if mask is None else causal & mask


def _check_attention(q, k, v, mask):
    name = "scaled_dot_product_attention"
    shapes = received(q=q, k=k, v=v, **({} if mask is None else {"mask": mask}))
    if not q.ndim == k.ndim == v.ndim == 4:
        raise ShapeError(f"{name}: q, k and v need the four axes (B, h, T or S, width). {shapes}")
    if not q.shape[:2] == k.shape[:2] == v.shape[:2]:
        raise ShapeError(f"{name}: q, k and v must agree in the batch B and the heads h. {shapes}")
    if q.shape[-1] != k.shape[-1]:
        raise ShapeError(f"{name}: questions and keys must have the same width dq, not {q.shape[-1]} and {k.shape[-1]}. {shapes}")
    if k.shape[2] != v.shape[2]:
        raise ShapeError(f"{name}: every key needs its value, but S is {k.shape[2]} for k and {v.shape[2]} for v. {shapes}")
    if mask is not None:
        _boolean(name, mask)
        wanted = (*q.shape[:3], k.shape[2])
        if mask.ndim > 4 or any(m not in (1, n) for m, n in zip(mask.shape[::-1], wanted[::-1])):
            raise ShapeError(f"{name}: the mask must broadcast to (B, h, T, S) = {wanted}. {shapes}")

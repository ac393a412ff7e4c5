"""Losses: one number for how far a prediction is from its target.

``reduction`` is "mean", "sum" or "none" (one loss per element or row). The mean of nothing, an empty batch or one in which
everything is ignored, is NaN as in PyTorch; its gradient is 0, so nothing is learned from it.
"""

import numpy as np

from .. import kernels, settings
from ..core import Tensor, op, values
from ..errors import DtypeError, ShapeError, received
from .activation import logsigmoid
from .axes import one_axis
from .broadcasting import promote
from .elementwise import abs, add, divide, exp, floating, log, multiply, negative, square, subtract, where
from .indexing import check_ids, check_rank, getitem
from .probability import log_softmax
from .reduce import mean, sum
from .samples import ErrorSample, Sample, normal, strided
from .shape import moveaxis

__all__ = [
    "binary_cross_entropy_with_logits", "cross_entropy", "huber_loss", "kl_div", "l1_loss", "mse_loss", "nll_loss",
    "smooth_l1_loss",
]  # fmt: skip


def _check_reduction(name, reduction, allowed=("mean", "sum", "none")):
    if reduction not in allowed:
        raise ValueError(f"{name}: reduction is one of {', '.join(allowed)}. Received: {reduction!r}.")


def _reduced(losses, reduction, weights=None):
    """The losses, their sum, or their mean: the sum divided by that of the weights, by default 1 each."""
    if reduction == "none":
        return losses
    total = sum(losses)
    if reduction == "sum":
        return total
    count = float(losses.size) if weights is None else sum(weights)
    return divide(total, count) if values(count) else multiply(total, np.nan)


# ------------------------------------------------------------------------------------------- classes: from their numbers


def _kept_ids(name, scores, targets, ignore_index):
    """Classes as int64, 0 where ignored, and which are kept, None for all of them; raises for what is no class."""
    targets = np.asarray(values(targets))
    check_rank(name, scores, 1, "logits" if name == "cross_entropy" else "log_probs")
    if targets.shape != scores.shape[:-1]:
        advice = ""
        if targets.dtype.kind in "iu" and targets.shape == scores.shape:
            advice = "If the targets are probabilities, give them as floating numbers. "
        elif scores.ndim > 2 and targets.shape == scores.shape[:1] + scores.shape[2:]:
            advice = "The classes are the last axis here; in PyTorch's layout they are axis 1, which axis=1 asks for. "
        raise ShapeError(
            f"{name}: targets must have the shape of the scores without the axis of the classes. {advice}"
            + received(scores=scores, targets=targets)
        )
    if targets.dtype.kind not in "iu":
        raise DtypeError(f"{name}: targets must be integers, or probabilities in the shape of the scores. " + received(targets=targets))
    V = scores.shape[-1]
    if targets.dtype == np.int64 and targets.size and not 0 <= ignore_index < V and targets.view(np.uint64).max() < V:
        return targets, None  # the usual case, known from one look: without a sign, what is below 0 is very large
    kept = targets != ignore_index
    if np.count_nonzero(kept) == targets.size:
        return check_ids(name, targets, V, "targets"), None
    return check_ids(name, np.where(kept, targets, 0), V, "targets"), kept


def _picked(log_probs, ids, kept, weight, label_smoothing, reduction):
    """The weighted negative log-likelihood of classes, from log-probabilities (..., V)."""
    weights = 1.0 if weight is None else getitem(weight, ids)  # (V)[...] -> (...)
    losses = negative(multiply(getitem(log_probs, (*np.indices(ids.shape), ids)), weights))  # (..., V)[...] -> (...)
    if label_smoothing:
        spread = negative(mean(log_probs if weight is None else multiply(log_probs, weight), -1))  # (..., V) -> (...)
        losses = add(multiply(losses, 1 - label_smoothing), multiply(spread, label_smoothing))
    if kept is not None:
        losses, weights = where(kept, losses, 0.0), where(kept, weights, np.zeros(ids.shape, log_probs.dtype))
    return _reduced(losses, reduction, None if kept is None and weight is None else weights)


def _moved(x, axis):
    """The axis of the classes moved to the end.   (.. V ..) -> (.. .. V)"""
    return x if axis in (-1, x.ndim - 1) else moveaxis(x, axis, -1)


def _check_weight(name, weight, scores):
    if weight is not None and np.shape(weight) != scores.shape[-1:]:
        raise ShapeError(
            f"{name}: weight needs one number for each of the {scores.shape[-1]} classes; reduction is given by name. "
            + received(scores=scores, weight=weight)
        )


def _check_smoothing(name, label_smoothing):
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{name}: label_smoothing is between 0 and 1. Received: {label_smoothing}.")


def _nll_reference(log_probs, targets, weight=None, reduction="mean", ignore_index=-100, axis=-1, label_smoothing=0.0):
    log_probs, total, losses, count = np.moveaxis(log_probs, axis, -1), 0.0, np.zeros(targets.shape), 0.0
    weight = np.ones(log_probs.shape[-1]) if weight is None else weight
    for place in np.ndindex(targets.shape):
        if targets[place] != ignore_index:
            own = -weight[targets[place]] * log_probs[place][targets[place]]
            spread = -(weight * log_probs[place]).mean()
            losses[place] = (1 - label_smoothing) * own + label_smoothing * spread
            total, count = total + losses[place], count + weight[targets[place]]
    return {"mean": total / count if count else np.nan, "sum": total, "none": losses}[reduction]


def _cross_entropy_reference(logits, targets, weight=None, reduction="mean", ignore_index=-100, label_smoothing=0.0, axis=-1):
    log_probs = logits - np.log(np.exp(logits).sum(axis, keepdims=True))
    if targets.dtype.kind != "f":
        return _nll_reference(log_probs, targets, weight, reduction, ignore_index, axis, label_smoothing)
    log_probs, targets = np.moveaxis(log_probs, axis, -1), np.moveaxis(targets, axis, -1)
    targets = (1 - label_smoothing) * targets + label_smoothing / targets.shape[-1]
    losses = -(targets * log_probs * (1 if weight is None else weight)).sum(-1)
    return {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction](losses)


def _class_errors(name):
    return [
        ErrorSample((np.ones((2, 3)), np.array([0, 3])), {}, IndexError, rf"{name}: targets\[1\] is 3, outside 0 to 2"),
        ErrorSample((np.ones((2, 3)), np.array([0.0, 1.0])), {}, DtypeError, f"{name}.*integers"),
        ErrorSample((np.ones((2, 3)), np.array([0, 1, 2])), {}, ShapeError, rf"{name}.*\(2, 3\).*\(3,\)"),
        ErrorSample((np.ones((2, 3)), np.array([0, 1])), {"reduction": "max"}, ValueError, f"{name}: reduction.*mean, sum, none.*max"),
    ]


def _layout_errors(name):
    return lambda: [
        *_class_errors(name),
        ErrorSample((np.ones((2, 3, 4)), np.zeros((2, 4), int)), {}, ShapeError, f"{name}.*last axis here.*axis=1"),
        ErrorSample((np.ones((2, 3)), np.array([0, 1]), np.ones(2)), {}, ShapeError, rf"{name}: weight.*3 classes.*\(2,\)"),
        ErrorSample((np.ones((2, 3)), np.array([0, 1]), "sum"), {}, ShapeError, f"{name}: weight.*reduction is given by name"),
    ]


@op(saves=True, reference=lambda *args, ahead=False: _cross_entropy_reference(*args), samples=lambda rng: [
    Sample((normal(rng, 3, 4), np.array([0, 3, 1]))), Sample((normal(rng, 2, 3, 5), np.array([[0, 4, 4], [1, 2, 3]]))),
    Sample((normal(rng, 3, 4), np.array([0, -100, 1]), None, "sum", -100, 0.1), note="smoothing"),
    Sample((strided(rng, 2, 3), np.array([2, 0]), rng.uniform(0.5, 2, 3), "none"), note="weight"),
    Sample((normal(rng, 4, 3), np.array([2, 1, 1, 0]), None, "mean", 1, 0.2), note="ignored"),
    Sample((normal(rng, 4, 3), np.array([2, 1, 2, 0]), rng.uniform(0.5, 2, 3), "mean", 1, 0.2), note="weight, ignored, smoothing"),
    Sample((normal(rng, 4, 3), np.array([2, 1, 2, 0]), rng.uniform(0.5, 2, 3), "mean", 1, 0.2), {"ahead": True}, note="ahead"),
    Sample((normal(rng, 0, 3), np.zeros(0, int), None, "sum", -100, 0.1), note="0-size"),
], errors=lambda: _class_errors("cross_entropy"), method=False)  # fmt: skip
def class_cross_entropy(logits, targets, weight=None, /, reduction="mean", ignore_index=-100, label_smoothing=0.0, ahead=False):
    """`cross_entropy` of classes, straight from the logits.   (..., V), integers (...), (V) -> ()

    With s for the smoothing and lse = logsumexp(logits): (1 - s) (lse - logits[target]) + s (lse - mean(logits)), each
    lse - logits[j] times weight[j]. With ``ahead`` the gradient for the logits is made in the same pass over them, for a backward
    that is sure to come.

    >>> import numpy as np
    >>> float(class_cross_entropy(np.log(np.array([[1.0, 3.0]])), np.array([1])).round(4))
    0.2877
    """
    _check_reduction("cross_entropy", reduction)
    ids, kept = _kept_ids("cross_entropy", logits, targets, ignore_index)
    ids = (ids if kept is None else np.where(kept, ids, -1)).reshape(-1)  # below 0 is what counts as nothing
    logits, weight = promote((logits, weight), floating=True)
    rows = logits.reshape(ids.size, logits.shape[-1])  # (..., V) -> (N, V)
    if weight is not None:
        count = float(np.where(ids < 0, 0, weight[ids]).sum(dtype=np.float64))
    else:
        count = ids.size if kept is None else np.count_nonzero(kept)
    each = None
    if reduction != "none":
        each = np.array([1 if reduction == "sum" else 1 / (count or 1)], np.float64 if _is_small(logits) else logits.dtype)
    losses, lse, d = kernels.cross_entropy(rows, ids, weight, label_smoothing, each if ahead and not _is_small(logits) else None)
    saved = ids, lse, each, [] if d is None else [d]
    if reduction == "none":
        return losses.reshape(logits.shape[:-1]), saved
    total = np.add.reduce(losses, dtype=np.float64)  # over a whole batch: float64
    return np.array(total if reduction == "sum" else total / count if count else np.nan, losses.dtype), saved


@class_cross_entropy.vjp
def _(g, out, logits, targets, weight, reduction, ignore_index, label_smoothing, ahead, saved, wanted):
    ids, lse, each, made = saved
    promoted, weight = promote((logits, weight), floating=True)
    rows, later = promoted.reshape(ids.size, logits.shape[-1]), 1  # (..., V) -> (N, V)
    if each is None:
        each = g.reshape(-1)
    elif _is_small(promoted):
        each = (each * g).astype(promoted.dtype)
    else:
        later = g  # in the order in which it is made ahead, so that every walk gives the same bits
    d = dweight = None
    if wanted[0]:  # what was made is given away, so that there is never a second one: who walks here again has it made again
        d = made.pop() if made else kernels.cross_entropy(rows, ids, weight, label_smoothing, each)[2]
        d = d.reshape(logits.shape)
        if later != 1:
            d *= later
    if wanted[2]:
        dweight = _weight_gradient(each * later, rows, ids, lse, label_smoothing, out if reduction == "mean" else 0.0)
    return d, None, dweight


def _is_small(x):
    """Whether x is of a type in which a gradient that is not scaled yet may vanish."""
    return x.dtype.itemsize < 4


def _weight_gradient(each, rows, ids, lse, smoothing, mean):
    """The gradient for the weights, of which a mean has some below its line too.   each (N) or (1), rows (N, V) -> (V)"""
    kept = np.flatnonzero(ids >= 0)
    each, rows, ids, lse = np.broadcast_to(each, ids.shape)[kept], rows[kept], ids[kept], lse[kept]
    own = (1 - smoothing) * (lse - rows[np.arange(ids.size), ids]) - mean
    d = np.bincount(ids, each * own, rows.shape[1])
    return d + smoothing / rows.shape[1] * (each[:, None] * (lse[:, None] - rows)).sum(0) if smoothing else d


@class_cross_entropy.composite
def _(logits, targets, weight, reduction, ignore_index, label_smoothing, ahead):
    ids, kept = _kept_ids("cross_entropy", logits, targets, ignore_index)
    return _picked(log_softmax(logits), ids, kept, weight, label_smoothing, reduction)


@op(composed=True, reference=_cross_entropy_reference, samples=lambda rng: [
    Sample((normal(rng, 3, 4), np.array([0, 3, 1]))),
    Sample((normal(rng, 2, 4, 3), np.array([[0, 3, -100], [1, -100, 2]]), rng.uniform(0.5, 2, 4)), {"axis": 1, "label_smoothing": 0.1},
           note="PyTorch's layout, weight, ignored"),
    Sample((strided(rng, 2, 3), np.array([2, 0]), rng.uniform(0.5, 2, 3), "none")),
    Sample((normal(rng, 2, 3, 5), rng.dirichlet(np.ones(5), (2, 3))), note="probabilities"),
    Sample((normal(rng, 3, 4), rng.dirichlet(np.ones(4), 3), rng.uniform(0.5, 2, 4), "sum"), {"label_smoothing": 0.2},
           note="probabilities, smoothing"),
    Sample((normal(rng, 0, 3), np.zeros(0, int), None, "sum"), note="0-size"),
], errors=lambda: [
    *_layout_errors("cross_entropy")(),
    ErrorSample((np.ones((2, 3)), np.array([0, 1])), {"label_smoothing": 1.5}, ValueError, "cross_entropy: label_smoothing.*1.5"),
    ErrorSample((np.ones((2, 3)), np.zeros((2, 3), int)), {}, ShapeError, "cross_entropy.*probabilities.*floating"),
], method=False)  # fmt: skip
def cross_entropy(logits, targets, weight=None, /, reduction="mean", ignore_index=-100, label_smoothing=0.0, axis=-1):
    """Minus the logarithm of the probability that softmax(logits) gives the target.   (..., V), (...) -> ()

    For classes, integers (...): loss = logsumexp(logits) - logits[target], in nats, times weight[target]; a target equal to
    ``ignore_index`` counts as nothing, and "mean" divides by the sum of the weights of those that count (1 each by default).
    For probabilities, floating (..., V): loss = -sum(weight * target * log_softmax(logits)), and "mean" divides by the rows.
    ``label_smoothing`` s moves the target to (1 - s) target + s / V. The classes are the last ``axis``; in PyTorch axis 1.
    The mean over no targets is NaN with the gradient 0.
    Raises IndexError for a target outside 0 .. V - 1, ShapeError where the shapes do not fit.

    >>> import numpy as np
    >>> float(cross_entropy(np.log(np.array([[1.0, 3.0]])), np.array([1])).round(4))
    0.2877
    """
    _check_smoothing("cross_entropy", label_smoothing)
    check_rank("cross_entropy", logits, 1, "logits")
    logits = _moved(logits, axis if axis == -1 else one_axis("cross_entropy", logits, axis))
    _check_weight("cross_entropy", weight, logits)
    soft = getattr(targets, "ndim", 0) == logits.ndim and targets.dtype.kind == "f"
    if not soft:
        ahead = isinstance(logits, Tensor) and logits.requires_grad and settings.is_grad_enabled()
        return class_cross_entropy(logits, targets, weight, reduction, ignore_index, label_smoothing, ahead)
    _check_reduction("cross_entropy", reduction)
    targets = _moved(targets, axis)
    if np.shape(targets) != logits.shape:
        raise ShapeError("cross_entropy: probabilities must have the shape of the logits. " + received(logits=logits, targets=targets))
    if label_smoothing:
        targets = add(multiply(targets, 1 - label_smoothing), label_smoothing / logits.shape[-1])
    losses = multiply(targets, log_softmax(logits))
    return _reduced(negative(sum(losses if weight is None else multiply(losses, weight), -1)), reduction)  # (..., V) -> (...)


@op(composed=True, reference=_nll_reference, samples=lambda rng: [
    Sample((normal(rng, 3, 4), np.array([0, 3, 1]))),
    Sample((normal(rng, 2, 4, 3), np.array([[0, 3, -1], [1, -1, 2]]), rng.uniform(0.5, 2, 4)), {"axis": 1, "ignore_index": -1},
           note="PyTorch's layout, weight, ignored"),
    Sample((strided(rng, 2, 3), np.array([2, 0]), None, "none")), Sample((normal(rng, 0, 3), np.zeros(0, int), None, "sum"), note="0-size"),
], errors=_layout_errors("nll_loss"), method=False)  # fmt: skip
def nll_loss(log_probs, targets, weight=None, /, reduction="mean", ignore_index=-100, axis=-1):
    """Minus the log-probability of the target: what is left of `cross_entropy` after log_softmax.   (..., V), (...) -> ()

    loss = -weight[target] log_probs[target]; "mean" divides by the sum of the weights. Targets equal to ``ignore_index`` count
    as nothing. The classes are the last ``axis``; in PyTorch axis 1. Raises as `cross_entropy` does.

    >>> import numpy as np
    >>> float(nll_loss(np.log(np.array([[0.25, 0.75]])), np.array([1])).round(4))
    0.2877
    """
    check_rank("nll_loss", log_probs, 1, "log_probs")
    log_probs = _moved(log_probs, axis if axis == -1 else one_axis("nll_loss", log_probs, axis))
    _check_weight("nll_loss", weight, log_probs)
    _check_reduction("nll_loss", reduction)
    return _picked(log_probs, *_kept_ids("nll_loss", log_probs, targets, ignore_index), weight, 0.0, reduction)


# ------------------------------------------------------------------------------------------- element by element


def _pairs(rng):
    yield Sample((normal(rng, 3, 4), normal(rng, 3, 4)))
    yield Sample((strided(rng, 2, 3), normal(rng, 2, 3), "sum"), note="strided")
    yield Sample((normal(rng, 2, 3, 4), normal(rng, 2, 3, 4), "none"))
    yield Sample((normal(rng), normal(rng)), note="0-d")
    yield Sample((normal(rng, 0, 3), normal(rng, 0, 3), "sum"), note="0-size")


def _pair_errors(name):
    """Error samples: shapes that would merely broadcast, and a reduction that is none."""
    return [
        ErrorSample((np.ones((3, 1)), np.ones(3)), {}, ShapeError, rf"{name}: .*same shape.*broadcast.*\(3, 3\).*\(3, 1\).*\(3,\)"),
        ErrorSample((np.ones((3, 2)), np.ones((2, 3))), {}, ShapeError, rf"{name}: .*same shape.*\(3, 2\).*\(2, 3\)"),
        ErrorSample((np.ones(2), np.ones(2)), {"reduction": "max"}, ValueError, f"{name}: reduction.*max"),
    ]


def _check_pair(name, x, target, reduction, allowed=("mean", "sum", "none")):
    """Raises unless prediction and target have one shape: what merely broadcasts is the wrong loss, silently."""
    _check_reduction(name, reduction, allowed)
    if np.shape(x) != np.shape(target):
        try:
            shape = np.broadcast_shapes(np.shape(x), np.shape(target))
            advice = f"They would broadcast to {shape}, every prediction against targets that are not its own; reshape one of them. "
        except ValueError:
            advice = ""
        raise ShapeError(f"{name}: prediction and target must have the same shape. {advice}" + received(x=x, target=target))


def _numpy_reduced(losses, reduction):
    return {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction](losses)


@op(composed=True, reference=lambda x, t, reduction="mean": _numpy_reduced((x - t) ** 2, reduction), samples=_pairs,
    errors=lambda: _pair_errors("mse_loss"), method=False)  # fmt: skip
def mse_loss(x, target, /, reduction="mean"):
    """Squared difference.   (...), (...) -> ()

    Raises ShapeError where the shapes differ, also where they would broadcast.

    >>> import numpy as np
    >>> mse_loss(np.array([1.0, 4.0]), np.array([1.0, 2.0]))
    array(2.)
    """
    _check_pair("mse_loss", x, target, reduction)
    return _reduced(square(subtract(floating(x, target), target)), reduction)


@op(composed=True, reference=lambda x, t, reduction="mean": _numpy_reduced(np.abs(x - t), reduction), samples=_pairs,
    errors=lambda: _pair_errors("l1_loss"), kinks="0 where prediction and target are equal", method=False)  # fmt: skip
def l1_loss(x, target, /, reduction="mean"):
    """Absolute difference.   (...), (...) -> ()

    Raises ShapeError where the shapes differ, also where they would broadcast.

    >>> import numpy as np
    >>> l1_loss(np.array([1.0, 4.0]), np.array([1.0, 2.0]))
    array(1.)
    """
    _check_pair("l1_loss", x, target, reduction)
    return _reduced(abs(subtract(floating(x, target), target)), reduction)


def _pairs_apart(rng, corner):
    """`_pairs` whose differences are at least 0.1 away from ``corner``, where the second derivative jumps."""
    for sample in _pairs(rng):
        x, target, *reduction = sample.args
        size = np.abs(x - target)
        moved = x - np.sign(x - target) * np.where(np.abs(size - corner) < 0.1, size + 0.2, size)
        yield sample._replace(args=(x, moved, *reduction))


def _bent(difference, width):
    """d^2 / 2 up to |d| = width, from there on the tangent width (|d| - width / 2).   (...) -> (...)"""
    size = abs(difference)
    near = values(size) <= width
    small = where(near, difference, 0.0)  # so that the branch that is not taken stays finite
    return where(near, multiply(square(small), 0.5), multiply(subtract(size, width / 2), width))


def _huber_reference(x, target, reduction="mean", delta=1.0):
    d = np.abs(x - target)
    return _numpy_reduced(np.where(d <= delta, d * d / 2, delta * (d - delta / 2)), reduction)


@op(composed=True, reference=_huber_reference, samples=lambda rng: [
    *_pairs_apart(rng, 1.0), next(_pairs_apart(rng, 0.4))._replace(kwargs={"delta": 0.4}, note="delta"),
], errors=lambda: [
    *_pair_errors("huber_loss"), ErrorSample((np.ones(2), np.ones(2)), {"delta": 0}, ValueError, "huber_loss: delta.*0"),
], method=False)  # fmt: skip
def huber_loss(x, target, /, reduction="mean", delta=1.0):
    """d^2 / 2 for differences up to delta, beyond it delta (|d| - delta / 2) (Huber 1964).   (...), (...) -> ()

    Raises ShapeError where the shapes differ, also where they would broadcast.

    >>> import numpy as np
    >>> huber_loss(np.array([1.0, 4.0]), np.array([2.0, 1.0]), reduction="none")
    array([0.5, 2.5])
    """
    _check_pair("huber_loss", x, target, reduction)
    if not delta > 0:
        raise ValueError(f"huber_loss: delta is greater than 0. Received: {delta!r}.")
    return _reduced(_bent(subtract(floating(x, target), target), delta), reduction)


@op(composed=True, reference=lambda x, t, reduction="mean", beta=1.0: _huber_reference(x, t, reduction, beta) / beta, samples=lambda rng: [
    *_pairs_apart(rng, 1.0), next(_pairs_apart(rng, 0.4))._replace(kwargs={"beta": 0.4}, note="beta"),
], errors=lambda: [
    *_pair_errors("smooth_l1_loss"), ErrorSample((np.ones(2), np.ones(2)), {"beta": -1}, ValueError, "smooth_l1_loss: beta.*-1"),
], kinks="with beta = 0, 0 where prediction and target are equal", method=False)  # fmt: skip
def smooth_l1_loss(x, target, /, reduction="mean", beta=1.0):
    """|d| - beta / 2, but d^2 / (2 beta) for differences up to beta; 0 for beta is `l1_loss`.   (...), (...) -> ()

    `huber_loss` divided by its delta (Girshick 2015). Raises ShapeError where the shapes differ, also where they would broadcast.

    >>> import numpy as np
    >>> smooth_l1_loss(np.array([1.0, 4.0]), np.array([2.0, 1.0]), reduction="none", beta=2.0)
    array([0.25, 2.  ])
    """
    _check_pair("smooth_l1_loss", x, target, reduction)
    if not beta >= 0:
        raise ValueError(f"smooth_l1_loss: beta is at least 0. Received: {beta!r}.")
    difference = subtract(floating(x, target), target)
    return _reduced(multiply(_bent(difference, beta), 1 / beta) if beta else abs(difference), reduction)


# ------------------------------------------------------------------------------------------------------ distributions


def _binary_reference(logits, target, weight=None, pos_weight=None, reduction="mean"):
    p = 1 / (1 + np.exp(-logits))
    losses = -((1 if pos_weight is None else pos_weight) * target * np.log(p) + (1 - target) * np.log(1 - p))
    return _numpy_reduced(losses * (1 if weight is None else weight), reduction)


@op(composed=True, reference=_binary_reference, samples=lambda rng: [
    Sample((normal(rng, 3, 4), rng.random((3, 4)))),
    Sample((strided(rng, 2, 3), rng.random((2, 3)), rng.random((2, 1)), rng.uniform(0.5, 2, 3), "sum"), note="weights"),
    Sample((normal(rng, 2, 3), rng.integers(0, 2, (2, 3)).astype(float)), {"reduction": "none"}),
    Sample((normal(rng), np.float64(1.0)), note="0-d"), Sample((normal(rng, 0, 3), rng.random((0, 3)), None, None, "sum"), note="0-size"),
], errors=lambda: [
    *_pair_errors("binary_cross_entropy_with_logits"),
    ErrorSample((np.ones((2, 3)), np.ones((2, 3)), np.ones(4)), {}, ShapeError, r"binary_cross_entropy_with_logits: weight .*\(4,\)"),
    ErrorSample((np.ones((2, 3)), np.ones((2, 3)), None, np.ones((2, 2, 3))), {}, ShapeError,
                r"binary_cross_entropy_with_logits: pos_weight .*\(2, 2, 3\)"),
], method=False)  # fmt: skip
def binary_cross_entropy_with_logits(logits, target, weight=None, pos_weight=None, /, reduction="mean"):
    """Minus the log-likelihood of yes-or-no targets, from logits.   (...), (...) -> ()

    -weight (pos_weight target log(sigmoid(x)) + (1 - target) log(sigmoid(-x))), without overflow and without a logarithm
    of 0; ``weight`` and ``pos_weight`` broadcast to the shape of the logits.
    Raises ShapeError where the shapes differ, also where they would broadcast.

    >>> import numpy as np
    >>> binary_cross_entropy_with_logits(np.array([0.0, 1000.0]), np.array([1.0, 0.0]), reduction="none").round(4)
    array([6.931e-01, 1.000e+03])
    """
    name = "binary_cross_entropy_with_logits"
    _check_pair(name, logits, target, reduction)
    for which, x in (("weight", weight), ("pos_weight", pos_weight)):
        if x is not None and not _broadcasts_to(x, logits):
            raise ShapeError(f"{name}: {which} must broadcast to the shape of the logits; reduction is given by name. "
                             + received(logits=logits, **{which: x}))  # fmt: skip
    yes = multiply(target, logsigmoid(logits))
    yes = yes if pos_weight is None else multiply(yes, pos_weight)
    losses = negative(add(yes, multiply(subtract(1.0, target), logsigmoid(negative(logits)))))
    return _reduced(losses if weight is None else multiply(losses, weight), reduction)


def _broadcasts_to(x, like):
    try:
        return np.broadcast_shapes(np.shape(x), np.shape(like)) == np.shape(like)
    except ValueError:
        return False


def _kl_reference(log_probs, target, reduction="mean", log_target=False):
    if log_target:
        losses = np.exp(target) * (target - log_probs)
    else:
        losses = target * (np.log(np.where(target == 0, 1, target)) - log_probs)
    return losses.sum() / len(losses) if reduction == "batchmean" else _numpy_reduced(losses, reduction)


def _kl_samples(rng):
    yield Sample((normal(rng, 3, 4), rng.uniform(0.2, 1, (3, 4))))
    yield Sample((normal(rng, 3, 4), rng.uniform(0.2, 1, (3, 4)), "batchmean"))
    yield Sample((normal(rng, 3, 4), normal(rng, 3, 4), "sum"), {"log_target": True}, note="logarithms")
    yield Sample((strided(rng, 2, 3), rng.uniform(0.2, 1, (2, 3)), "none"), note="strided")
    yield Sample((normal(rng, 0, 3), rng.random((0, 3)), "sum"), note="0-size")


@op(composed=True, reference=_kl_reference, samples=_kl_samples, errors=lambda: [
    *_pair_errors("kl_div"), ErrorSample((np.float64(0.0), np.float64(1.0), "batchmean"), {}, ShapeError, "kl_div: batchmean.*first axis"),
], kinks="the slope of t log(t) at t = 0, and of exp(t) t at -infinity, is 0", method=False)  # fmt: skip
def kl_div(log_probs, target, /, reduction="mean", log_target=False):
    """Kullback-Leibler divergence of a prediction from the target, sum(t (log(t) - log_probs)), with 0 log(0) = 0.   (...), (...) -> ()

    The first argument holds logarithms of probabilities, the second probabilities, or with ``log_target`` logarithms too.
    "mean" divides by the number of elements, as PyTorch's; "batchmean" by the length of the first axis, which is the divergence.
    Raises ShapeError where the shapes differ, also where they would broadcast.

    >>> import numpy as np
    >>> float(kl_div(np.log(np.array([0.5, 0.5])), np.array([1.0, 0.0]), reduction="sum").round(4))
    0.6931
    """
    _check_pair("kl_div", log_probs, target, reduction, ("mean", "batchmean", "sum", "none"))
    if reduction == "batchmean" and np.ndim(log_probs) == 0:
        raise ShapeError("kl_div: batchmean divides by the length of the first axis, and there is none. " + received(log_probs=log_probs))
    nothing = values(target) == (-np.inf if log_target else 0)
    logs = where(nothing, 0.0, target) if log_target else log(where(nothing, 1.0, target))
    share = where(nothing, 0.0, exp(logs)) if log_target else target
    losses = multiply(share, subtract(logs, log_probs))
    if reduction == "batchmean":
        return divide(sum(losses), float(len(losses))) if len(losses) else multiply(sum(losses), np.nan)
    return _reduced(losses, reduction)

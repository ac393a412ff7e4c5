"""Normalizations: numbers shifted to mean 0 and scaled to variance 1, each over axes of its own.

All are pure functions: statistics are arguments, and nothing is remembered. ``weight`` and ``bias`` are the gamma and beta of
the papers and of Keras, whose names are understood too.
"""

import math

import numpy as np

from .. import kernels
from ..core import op, values
from ..errors import ShapeError, received
from .axes import axes_of, one_axis
from .broadcasting import promote
from .elementwise import add, astype, divide, multiply, sqrt, square, subtract
from .indexing import check_rank
from .reduce import mean, sum
from .samples import ErrorSample, Sample, normal, strided
from .shape import moveaxis, permute, reshape

__all__ = ["batch_norm", "group_norm", "layer_norm", "rms_norm"]


def _check_parameters(name, x, shape, what, **parameters):
    """Raises unless every parameter that is given has the shape ``shape``, one number for each of ``what``."""
    for which, parameter in parameters.items():
        if parameter is not None and getattr(parameter, "shape", ()) != shape:
            needed = " x ".join(str(n) for n in shape)
            raise ShapeError(f"{name}: {which} needs one number for each of the {needed} {what}. " + received(x=x, **{which: parameter}))


def _affine(y, weight, bias):
    """weight y + bias, what is None left out."""
    y = y if weight is None else multiply(y, weight)
    return y if bias is None else add(y, bias)


def _in_result_dtype(x, *parameters):
    """x in the dtype that the result has with these parameters: squares of half precision overflow where the result does not."""
    given = [values(a) for a in (x, *parameters) if a is not None]
    dtype = promote(given, floating=True)[0].dtype
    return x if x.dtype == dtype else astype(x, dtype)


def _standard(x, axes, eps):
    """(x - mean) / sqrt(var + eps) over ``axes``."""
    first = tuple([slice(1) if i in axes else slice(None) for i in range(x.ndim)])
    x = subtract(x, values(x)[first])  # a shift changes nothing, but keeps the digits of what is far from 0
    centred = subtract(x, mean(x, axes, True))
    return divide(centred, sqrt(add(mean(square(centred), axes, True), eps)))


def _standard_reference(x, axes, eps):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


# ---------------------------------------------------------------------------------------------------- one row by itself


@op(saves=True, samples=lambda rng: [
    Sample((normal(rng, 3, 4), normal(rng, 4), normal(rng, 4))), Sample((normal(rng, 2, 3, 5),)),
    Sample((strided(rng, 3, 4), normal(rng, 4), None)), Sample((normal(rng, 2, 3), None, normal(rng, 3), 0.1)),
    Sample((normal(rng, 3, 4), normal(rng, 4), normal(rng, 4)), {"centred": False}, note="RMS"),
    Sample((normal(rng, 0, 3), normal(rng, 3), normal(rng, 3)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones(2)), {}, ShapeError, r"layer_norm.*weight.*3 features.*\(2,\)"),
], method=False)  # fmt: skip
def row_norm(x, weight=None, bias=None, /, eps=1e-5, centred=True):
    """`layer_norm` over the last axis, or without ``centred`` `rms_norm`.   (..., E), (E), (E) -> (..., E)

    >>> import numpy as np
    >>> row_norm(np.array([[1.0, 3.0]]), eps=0.0)
    array([[-1.,  1.]])
    """
    name = "layer_norm" if centred else "rms_norm"
    check_rank(name, x, 1)
    _check_parameters(name, x, x.shape[-1:], "features", weight=weight, bias=bias)
    x, weight, bias = _promoted(x, weight, bias)
    y, centre, rstd = kernels.layer_norm(x, weight, bias, eps, centred)
    return y, (centre, rstd)


def _promoted(*arrays):
    """The arrays in one floating dtype; None stays."""
    given = iter(promote([a for a in arrays if a is not None], floating=True))
    return [None if a is None else next(given) for a in arrays]


@row_norm.vjp
def _(g, _, x, weight, bias, eps, centred, saved, wanted, into):
    gradients = kernels.layer_norm_grad(g, x, weight, *saved, centred, into[0])  # behind x + f(norm(x)) something has come to x
    return [d if want else None for d, want in zip(gradients, wanted)]


@row_norm.composite
def _(x, weight, bias, eps, centred):
    x = _in_result_dtype(x, weight, bias)
    if not centred:
        return _affine(divide(x, sqrt(add(mean(square(x), -1, True), eps))), weight, bias)
    return _affine(_standard(x, (x.ndim - 1,), eps), weight, bias)


def _layer_reference(x, weight=None, bias=None, eps=1e-5, axis=-1):
    axes = tuple(a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,)))
    shape = [n if i in axes else 1 for i, n in enumerate(x.shape)]
    y = _standard_reference(x, axes, eps)
    y = y if weight is None else y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


@op(composed=True, reference=_layer_reference, samples=lambda rng: [
    Sample((normal(rng, 3, 4), normal(rng, 4), normal(rng, 4))), Sample((strided(rng, 3, 4), normal(rng, 4), None, 0.1), note="strided"),
    Sample((normal(rng, 2, 3, 4), normal(rng, 3), normal(rng, 3)), {"axis": 1}, note="inner axis"),
    Sample((normal(rng, 2, 3, 4), normal(rng, 3, 4), None), {"axis": (-2, -1)}, note="two axes"),
    Sample((normal(rng, 0, 3), normal(rng, 3), normal(rng, 3)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones(2)), {}, ShapeError, r"layer_norm.*weight.*3 features.*\(2,\)"),
    ErrorSample((np.ones((2, 3)), (3,)), {}, ShapeError, r"layer_norm: weight.*3 features"),
    ErrorSample((np.ones((2, 3, 4)), None, np.ones((4, 3))), {"axis": (1, 2)}, ShapeError, r"layer_norm.*bias.*3 x 4 features.*\(4, 3\)"),
    ErrorSample((np.ones((2, 3)),), {"axis": 2}, ShapeError, r"layer_norm: axis 2 is out of range.*\(2, 3\)"),
    ErrorSample((np.float64(1.0),), {}, ShapeError, "layer_norm.*at least 1"),
], method=False)  # fmt: skip
def layer_norm(x, weight=None, bias=None, /, eps=1e-5, axis=-1):
    """Every row shifted to mean 0, scaled to variance 1, then weight * row + bias.   (..., E), (E), (E) -> (..., E)

    weight * (x - mean) / sqrt(var + eps) + bias, mean and variance over the features of one row (Ba et al. 2016). A row is
    one ``axis`` or several; weight and bias have their lengths. PyTorch's normalized_shape are the lengths of the last axes.
    Raises ShapeError where weight or bias has another shape.

    >>> import numpy as np
    >>> layer_norm(np.array([[1.0, 3.0]]), eps=0.0)
    array([[-1.,  1.]])
    """
    if axis == -1:
        return row_norm(x, weight, bias, eps)
    return _over_rows("layer_norm", x, axis, lambda rows, *parameters: row_norm(rows, *parameters, eps), weight=weight, bias=bias)


def _over_rows(name, x, axis, norm, **parameters):
    """``norm(rows, *parameters)`` where a row is what lies along ``axis``, one or several: they are put at the end and made one."""
    check_rank(name, x, 1)
    axes = axes_of(name, x, axis)
    lengths = tuple([x.shape[a] for a in axes])
    _check_parameters(name, x, lengths, "features", **parameters)
    if axes == (x.ndim - 1,):
        return norm(x, *parameters.values())
    order = (*[i for i in range(x.ndim) if i not in axes], *axes)
    moved = permute(x, order)  # (rest.., features..)
    rest, E = moved.shape[: x.ndim - len(axes)], math.prod(lengths)
    y = norm(reshape(moved, (*rest, E)), *[None if p is None else reshape(p, (E,)) for p in parameters.values()])  # (rest.., E)
    return permute(reshape(y, moved.shape), tuple([int(i) for i in np.argsort(order)]))


def _rms_reference(x, weight=None, eps=1e-5, axis=-1):
    axes = tuple(a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,)))
    y = x / np.sqrt((x * x).mean(axes, keepdims=True) + eps)
    return y if weight is None else y * weight.reshape([n if i in axes else 1 for i, n in enumerate(x.shape)])


@op(composed=True, reference=_rms_reference, samples=lambda rng: [
    Sample((normal(rng, 3, 4), normal(rng, 4))), Sample((normal(rng, 2, 3, 5), None, 0.1)), Sample((strided(rng, 3, 4), normal(rng, 4))),
    Sample((normal(rng, 2, 3, 4), normal(rng, 2, 4)), {"axis": (0, 2)}, note="two axes"),
    Sample((normal(rng, 0, 3), normal(rng, 3)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones(2)), {}, ShapeError, r"rms_norm.*weight.*3 features.*\(2,\)"),
    ErrorSample((np.ones((2, 3)),), {"axis": 2}, ShapeError, r"rms_norm: axis 2 is out of range.*\(2, 3\)"),
    ErrorSample((np.float64(1.0),), {}, ShapeError, "rms_norm.*at least 1"),
], method=False)  # fmt: skip
def rms_norm(x, weight=None, /, eps=1e-5, axis=-1):
    """Every row divided by the root of its mean square, then times weight.   (..., E), (E) -> (..., E)

    weight * x / sqrt(mean(x^2) + eps): `layer_norm` without the shift (Zhang and Sennrich 2019). A row is one ``axis`` or
    several; weight has their lengths. PyTorch's default epsilon is the smallest step of the dtype.
    Raises ShapeError where weight has another shape.

    >>> import numpy as np
    >>> rms_norm(np.array([[3.0, -3.0]]), eps=0.0)
    array([[ 1., -1.]])
    """
    if axis == -1:
        return row_norm(x, weight, None, eps, False)
    return _over_rows("rms_norm", x, axis, lambda rows, weight: row_norm(rows, weight, None, eps, False), weight=weight)


# ------------------------------------------------------------------------------------------- rows of the batch together


def _along(parameter, ndim, axis):
    """A row of numbers as it broadcasts along ``axis``.   (F) -> (1.., F, 1..)"""
    return None if parameter is None else reshape(parameter, (-1, *(1,) * (ndim - 1 - axis)))


@op(saves=True, samples=lambda rng: [
    Sample((normal(rng, 5, 3), normal(rng, 3), normal(rng, 3))), Sample((normal(rng, 2, 3, 5),)),
    Sample((strided(rng, 5, 4), normal(rng, 4), None, 0.1), note="strided"),
    Sample((normal(rng, 0, 3), normal(rng, 3), normal(rng, 3)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones(2)), {}, ShapeError, r"batch_norm.*weight.*3 features.*\(2,\)"),
], method=False)  # fmt: skip
def column_norm(x, weight=None, bias=None, /, eps=1e-5):
    """`batch_norm` of the last axis with mean and variance of this batch, and these.   (..., F), (F), (F) -> (..., F), (F), (F)

    >>> import numpy as np
    >>> [out.tolist() for out in column_norm(np.array([[1.0], [3.0]]), eps=0.0)]
    [[[-1.0], [1.0]], [2.0], [1.0]]
    """
    check_rank("batch_norm", x, 2)
    _check_parameters("batch_norm", x, x.shape[-1:], "features", weight=weight, bias=bias)
    x, weight, bias = _promoted(x, weight, bias)
    y, centre, rstd, var = kernels.batch_norm(x, weight, bias, eps)
    mean = centre + x[(0,) * (x.ndim - 1)] if x.size else centre
    return (y, mean, var), (mean, centre, rstd)


@column_norm.vjp
def _(g, _, x, weight, bias, eps, saved, wanted):
    (g, g_mean, g_var), (mean, *saved), R = g, saved, max(math.prod(x.shape[:-1]), 1)
    dx, *others = kernels.batch_norm_grad(np.zeros_like(x) if g is None else g, x, weight, *saved)
    if g_mean is not None:
        dx = add(dx, divide(g_mean, R))
    if g_var is not None:
        dx = add(dx, multiply(subtract(x, mean), divide(g_var, R / 2)))
    return [d if want else None for d, want in zip((dx, *others), wanted)]


@column_norm.composite
def _(x, weight, bias, eps):
    x = _in_result_dtype(x, weight, bias)
    axes, R = tuple(range(x.ndim - 1)), max(math.prod(x.shape[:-1]), 1)
    mean = divide(sum(x, axes), R)
    var = divide(sum(square(subtract(x, mean)), axes), R)
    return _affine(_standard(x, axes, eps) if x.size else x, weight, bias), mean, var


def batch_moments(x, weight, bias, eps, place):
    """`batch_norm` of the axis ``place`` with mean and variance of this batch, and these.   (.., F, ..) -> (.., F, ..), (F), (F)"""
    if x.shape[place] and x.size == 0:
        raise ShapeError("batch_norm: no rows to take mean and variance of. " + received(x=x))
    if place == x.ndim - 1:
        return column_norm(x, weight, bias, eps)
    y, mean, var = column_norm(moveaxis(x, place, -1), weight, bias, eps)  # (.., F, ..) -> (..., F)
    return moveaxis(y, -1, place), mean, var


@op(reference=lambda x, mean, scale, bias=None: (x - mean) * scale + (0 if bias is None else bias), samples=lambda rng: [
    Sample((normal(rng, 5, 3), *(normal(rng, 3) for _ in range(3)))), Sample((normal(rng, 2, 3, 5), normal(rng, 5), normal(rng, 5))),
    Sample((strided(rng, 5, 4), normal(rng, 4), normal(rng, 4), None), note="strided"),
    Sample((normal(rng, 0, 3), normal(rng, 3), normal(rng, 3), normal(rng, 3)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones(3), np.ones(2)), {}, ShapeError, r"batch_norm.*scale.*3 features.*\(2,\)"),
], method=False)  # fmt: skip
def column_scale(x, mean, scale, bias=None, /):
    """`batch_norm` of the last axis with statistics that are known: (x - mean) scale + bias.   (..., F), (F) x 3 -> (..., F)

    >>> import numpy as np
    >>> column_scale(np.array([[1.0], [3.0]]), np.array([1.0]), np.array([0.5])).tolist()
    [[0.0], [1.0]]
    """
    check_rank("batch_norm", x, 2)
    _check_parameters("batch_norm", x, x.shape[-1:], "features", mean=mean, scale=scale, bias=bias)
    return kernels.scale_columns(*_promoted(x, mean, scale, bias))


@column_scale.vjp
def _(g, _, x, mean, scale, bias, wanted):
    g, x, mean, scale = _promoted(g, x, mean, scale)
    dx = kernels.scale_columns(g, np.zeros_like(mean), scale, None) if wanted[0] else None
    dscale, total = kernels.scaled_columns_sums(g, x, mean) if any(wanted[1:]) else (None, None)
    return dx, -scale * total if wanted[1] else None, dscale if wanted[2] else None, total if wanted[3] else None


@column_scale.composite
def _(x, mean, scale, bias):
    return _affine(subtract(x, mean), scale, bias)


def _batch_reference(x, mean=None, var=None, weight=None, bias=None, eps=1e-5, axis=-1):
    x = np.moveaxis(x, axis, -1)
    others = tuple(range(x.ndim - 1))
    y = (x - (x.mean(others) if mean is None else mean)) / np.sqrt((x.var(others) if var is None else var) + eps)
    y = y if weight is None else y * weight
    return np.moveaxis(y if bias is None else y + bias, -1, axis)


@op(composed=True, reference=_batch_reference, samples=lambda rng: [
    Sample((normal(rng, 5, 3), None, None, normal(rng, 3), normal(rng, 3))),
    Sample((normal(rng, 2, 3, 4), normal(rng, 3), rng.uniform(0.5, 2, 3), normal(rng, 3)), {"axis": 1}, note="given statistics"),
    Sample((normal(rng, 4, 3, 2), None, None, None, normal(rng, 3)), {"axis": 1, "eps": 0.1}, note="PyTorch's layout"),
    Sample((strided(rng, 4, 3),), note="strided"), Sample((normal(rng, 0, 3), normal(rng, 3), rng.uniform(0.5, 2, 3)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), None, None, np.ones(2)), {}, ShapeError, r"batch_norm: weight.*3 features of axis -1.*\(2,\)"),
    ErrorSample((np.ones((2, 3)), np.ones(3)), {}, ValueError, "batch_norm: mean and var go together.*mean.*var"),
    ErrorSample((np.ones((0, 3)),), {}, ShapeError, r"batch_norm: no rows.*\(0, 3\)"),
    ErrorSample((np.ones(3),), {}, ShapeError, "batch_norm.*at least 2"),
    ErrorSample((np.ones((2, 3)),), {"axis": 2}, ShapeError, "batch_norm: axis 2 is out of range"),
], method=False)  # fmt: skip
def batch_norm(x, mean=None, var=None, weight=None, bias=None, /, eps=1e-5, axis=-1):
    """Every feature shifted to mean 0, scaled to variance 1 over the batch, then weight * x + bias.   (..., F), (F) x 4 -> (..., F)

    weight * (x - mean) / sqrt(var + eps) + bias (Ioffe and Szegedy 2015): without ``mean`` and ``var`` those of this batch, over
    all axes but the features' ``axis``; with them, those. Nothing is remembered: unlike PyTorch's, whose ``running_mean`` and
    ``running_var`` change in place while training, running averages are the caller's, from ``var_mean(x, axes)``, which can
    be handed in. The features are the last axis, in PyTorch axis 1.
    Raises ShapeError where a row of numbers has another length, ValueError for one statistic without the other.

    >>> import numpy as np
    >>> batch_norm(np.array([[1.0], [3.0]]), eps=0.0).tolist()
    [[-1.0], [1.0]]
    >>> batch_norm(np.array([[1.0], [3.0]]), np.array([1.0]), np.array([4.0]), eps=0.0).tolist()
    [[0.0], [1.0]]
    """
    check_rank("batch_norm", x, 2)
    place = one_axis("batch_norm", x, axis)
    F = x.shape[place]
    _check_parameters("batch_norm", x, (F,), f"features of axis {axis}", mean=mean, var=var, weight=weight, bias=bias)
    if (mean is None) != (var is None):
        raise ValueError("batch_norm: mean and var go together, both or neither. " + received(mean=mean, var=var))
    if mean is None:
        return batch_moments(x, weight, bias, eps, place)[0]
    scale = divide(1.0 if weight is None else weight, sqrt(add(var, eps)))
    if place == x.ndim - 1:
        return column_scale(x, mean, scale, bias)
    return moveaxis(column_scale(moveaxis(x, place, -1), mean, scale, bias), -1, place)  # (.., F, ..) -> (..., F) and back


def _group_reference(x, groups, weight=None, bias=None, eps=1e-5, axis=-1):
    moved = np.moveaxis(x, axis, 1)
    y = _standard_reference(moved.reshape(len(x), groups, math.prod(moved.shape[1:]) // groups), -1, eps).reshape(moved.shape)
    y = np.moveaxis(y, 1, -1)
    y = y if weight is None else y * weight
    return np.moveaxis(y if bias is None else y + bias, -1, axis)


@op(composed=True, reference=_group_reference, samples=lambda rng: [
    Sample((normal(rng, 2, 6), 3, normal(rng, 6), normal(rng, 6))), Sample((normal(rng, 2, 3, 4), 2)),
    Sample((normal(rng, 2, 6, 3, 4), 2, normal(rng, 6)), {"axis": 1, "eps": 0.1}, note="PyTorch's layout"),
    Sample((strided(rng, 3, 4), 1, None, normal(rng, 4)), note="strided"),
    Sample((normal(rng, 2, 6, 3), 6), {"axis": 1}, note="a group for each"), Sample((normal(rng, 0, 4), 2), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 6)), 4), {}, ShapeError, r"group_norm: 6 features of axis -1 .* 4 groups.*\(2, 6\)"),
    ErrorSample((np.ones((2, 6)), 3, np.ones(3)), {}, ShapeError, r"group_norm: weight.*6 features of axis -1.*\(3,\)"),
    ErrorSample((np.ones(3), 3), {}, ShapeError, "group_norm.*at least 2"),
    ErrorSample((np.ones((2, 3)), 3), {"axis": 0}, ShapeError, "group_norm: axis 0 is that of the batch"),
], method=False)  # fmt: skip
def group_norm(x, groups, weight=None, bias=None, /, eps=1e-5, axis=-1):
    """Each group of features of each row to mean 0 and variance 1, then weight * x + bias.   (B, ..., F), G, (F), (F) -> (B, ..., F)

    The features, neighbours along ``axis``, make G equal groups; mean and variance are over a group and all axes between, apart
    for each row of the batch, the first axis (Wu and He 2018). With G = F it is instance normalization. The features
    are the last axis, in PyTorch axis 1. Raises ShapeError where they cannot be divided into G groups.

    >>> import numpy as np
    >>> group_norm(np.array([[1.0, 3.0, 10.0, 30.0]]), 2, eps=0.0)
    array([[-1.,  1., -1.,  1.]])
    """
    check_rank("group_norm", x, 2)
    place = one_axis("group_norm", x, axis)
    if place == 0:
        raise ShapeError("group_norm: axis 0 is that of the batch, whose rows are normalized apart. " + received(x=x, axis=axis))
    F = x.shape[place]
    if not isinstance(groups, int | np.integer) or groups < 1 or F % groups:
        raise ShapeError(f"group_norm: {F} features of axis {axis} cannot be divided into {groups} groups. " + received(x=x))
    _check_parameters("group_norm", x, (F,), f"features of axis {axis}", weight=weight, bias=bias)
    moved = moveaxis(_in_result_dtype(x, weight, bias), place, 1)  # (B, .., F, ..) -> (B, F, ...)
    rows = reshape(moved, (len(x), groups, math.prod(moved.shape[1:]) // groups))  # (B, F, ...) -> (B, G, F/G * ...)
    y = moveaxis(reshape(row_norm(rows, None, None, eps), moved.shape), 1, place)
    return _affine(y, _along(weight, x.ndim, place), _along(bias, x.ndim, place))

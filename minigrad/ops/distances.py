"""Vectors compared: their direction alone, the angle and the distance between them."""

import numpy as np

from ..core import op
from ..errors import ShapeError, received
from .axes import one_axis
from .elementwise import add, divide, floating, maximum, multiply, subtract
from .norms import norm
from .reduce import sum
from .samples import ErrorSample, Sample, normal, strided

__all__ = ["cosine_similarity", "normalize", "pairwise_distance"]


def _length_errors(name):
    return [
        ErrorSample((np.ones((2, 3)),), {"p": 0}, ValueError, f"{name}: p is .*greater than 0.*0"),
        ErrorSample((np.ones((2, 3)),), {"axis": 2}, ShapeError, rf"{name}: axis 2 is out of range.*\(2, 3\)"),
    ]


def _check_order(name, p):
    if isinstance(p, str) or not p > 0:
        raise ValueError(f"{name}: p is a number greater than 0, or infinity. Received: {p!r}.")


@op(composed=True, reference=lambda x, p=2, axis=-1: x / np.maximum(np.linalg.norm(x, p, axis, True), 1e-12), samples=lambda rng: [
    Sample((normal(rng, 3, 4),)), Sample((normal(rng, 2, 3, 4), 1, 1), note="sum, inner axis"),
    Sample((strided(rng, 3, 5), 3), note="strided"), Sample((normal(rng, 3, 4), np.inf), note="largest"),
    Sample((normal(rng, 0, 3),), note="0-size"),
], errors=lambda: _length_errors("normalize"), kinks="a vector of zeros stays 0, with the slope 1 / eps")  # fmt: skip
def normalize(x, /, p=2, axis=-1, eps=1e-12):
    """Vectors along an axis divided by their length, x / max(norm(x, p), eps).   (..., n) -> (..., n)

    PyTorch's default axis is 1, ours the last. Raises ShapeError for an axis that is not there.

    >>> import numpy as np
    >>> normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    _check_order("normalize", p)
    return divide(x, maximum(norm(x, p, one_axis("normalize", x, axis), keepdims=True), eps))


def _cosine_reference(x, y, axis=-1):
    return (x * y).sum(axis) / (np.linalg.norm(x, axis=axis) * np.linalg.norm(y, axis=axis))


def _together(name, x, y, axis):
    """The shape to which both broadcast, after making sure that it has the axis."""
    try:
        shape = np.broadcast_shapes(np.shape(x), np.shape(y))
    except ValueError:
        raise ShapeError(f"{name}: the shapes do not broadcast. " + received(x=x, y=y)) from None
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(f"{name}: axis {axis} is out of range for {len(shape)} axes. " + received(x=x, y=y, axis=axis))
    return shape


def _both(rng):
    yield Sample((normal(rng, 3, 4), normal(rng, 3, 4)))
    yield Sample((normal(rng, 3, 1, 4), normal(rng, 2, 4)), note="broadcast")
    yield Sample((strided(rng, 2, 5), normal(rng, 2, 5)), note="strided")
    yield Sample((normal(rng, 0, 3), normal(rng, 0, 3)), note="0-size")


def _both_errors(name):
    return [
        ErrorSample((np.ones((2, 3)), np.ones((2, 4))), {}, ShapeError, rf"{name}: the shapes do not broadcast.*\(2, 3\).*\(2, 4\)"),
        ErrorSample((np.float64(1.0), np.float64(2.0)), {}, ShapeError, f"{name}: axis -1 is out of range for 0 axes"),
    ]


@op(composed=True, reference=_cosine_reference, samples=lambda rng: [
    *_both(rng), Sample((normal(rng, 2, 3, 4), normal(rng, 2, 3, 4), 1), note="inner axis"),
], errors=lambda: _both_errors("cosine_similarity"), kinks="0 for a vector of zeros", method=False)  # fmt: skip
def cosine_similarity(x, y, /, axis=-1, eps=1e-8):
    """Cosine of the angle between vectors, x y / (max(|x|, eps) max(|y|, eps)).   (..., n), (..., n) -> (...)

    1 for one direction, 0 at a right angle and for a vector of zeros. PyTorch's default axis is 1, ours the last.
    Raises ShapeError where the shapes do not broadcast.

    >>> import numpy as np
    >>> cosine_similarity(np.array([[2.0, 0.0], [2.0, 0.0]]), np.array([3.0, 4.0]))
    array([0.6, 0.6])
    """
    ndim = len(_together("cosine_similarity", x, y, axis))
    last = axis % ndim - ndim  # from the right, where the axes of both are aligned
    x, y = [divide(a, maximum(norm(a, 2, last, keepdims=True), eps)) for a in (x, y)]
    return sum(multiply(x, y), last)


def _distance_reference(x, y, p=2, eps=1e-6, keepdims=False):
    return np.linalg.norm(x - y + eps, p, -1, keepdims)


@op(composed=True, reference=_distance_reference, samples=lambda rng: [
    *_both(rng), Sample((normal(rng, 3, 4), normal(rng, 3, 4), 1), {"keepdims": True}, note="sum"),
    Sample((normal(rng, 3, 4), normal(rng, 3, 4), 3), note="cubes"),
], errors=lambda: [
    *_both_errors("pairwise_distance"),
    ErrorSample((np.ones((2, 3)), np.ones((2, 3))), {"p": -1}, ValueError, "pairwise_distance: p is .*greater than 0.*-1"),
], kinks="0 where the distance is 0", method=False)  # fmt: skip
def pairwise_distance(x, y, /, p=2, eps=1e-6, keepdims=False):
    """Distance between vectors along the last axis, norm(x - y + eps, p).   (..., n), (..., n) -> (...)

    ``eps`` is PyTorch's, which keeps equal vectors apart; with eps=0 equal vectors have the distance 0 and the gradient 0.
    Raises ShapeError where the shapes do not broadcast.

    >>> import numpy as np
    >>> pairwise_distance(np.array([[3.0, 4.0], [0.0, 0.0]]), np.zeros(2), eps=0)
    array([5., 0.])
    """
    _check_order("pairwise_distance", p)
    _together("pairwise_distance", x, y, -1)
    return norm(add(subtract(floating(x, y), y), eps), p, -1, keepdims)

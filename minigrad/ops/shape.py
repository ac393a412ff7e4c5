"""Ops that only move elements. Their gradients move them back: adjoint pairs."""

import numpy as np

from ..core import op
from ..errors import ShapeError, received
from .samples import ErrorSample, Sample, normal, strided

__all__ = [
    "concatenate", "expand_dims", "permute", "reshape", "squeeze", "stack", "swapaxes",
]  # fmt: skip


def _in_range(name, x, count, *axes):
    """The axes as they are; raises ShapeError for one that ``count`` axes do not have."""
    for a in axes:
        if not -count <= a < count:
            raise ShapeError(f"{name}: axis {a} is out of range for {count} axes. " + received(x=x))
    return axes


@op(numpy=np.reshape, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 2, 6), (3, 4))), Sample((normal(rng, 2, 3, 4), (6, -1))), Sample((normal(rng), (1, 1)), note="0-d"),
    Sample((strided(rng, 3, 4), (2, 6)), note="strided"), Sample((normal(rng, 0, 3), (3, 0)), note="0-size"),
], errors=lambda: [ErrorSample((np.ones((2, 3)), (4,)), {}, ShapeError, r"reshape.*6 elements.*\(2, 3\)")])  # fmt: skip
def reshape(x, /, shape):
    """The same elements, row after row, in another shape; one length may be -1.   (...) -> shape

    >>> import numpy as np
    >>> reshape(np.arange(4.0), (2, 2))
    array([[0., 1.],
           [2., 3.]])
    """
    try:
        return np.reshape(x, shape)
    except ValueError:
        raise ShapeError(f"reshape: {x.size} elements do not fill the shape. " + received(x=x, shape=shape)) from None


@reshape.vjp
def _(g, _, x, shape):
    return (reshape(g, x.shape),)


@op(numpy=np.transpose, reference=np.transpose, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 2, 3),)), Sample((normal(rng, 2, 3, 4), (2, 0, 1))), Sample((normal(rng, 2, 3, 4), (0, -1, 1))),
    Sample((normal(rng),), note="0-d"), Sample((strided(rng, 2, 3),), note="strided"),
], method=False, errors=lambda: [
    ErrorSample((np.ones((2, 3)), (0, 2)), {}, ShapeError, r"permute.*2 axes once.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), (1,)), {}, ShapeError, r"permute.*2 axes once"),
])  # fmt: skip
def permute(x, /, axes=None):
    """The axes in another order; None reverses them.   (d0, d1, ...) -> (d[axes[0]], d[axes[1]], ...)

    >>> import numpy as np
    >>> permute(np.ones((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    if axes is not None and sorted(a + x.ndim if a < 0 else a for a in axes) != list(range(x.ndim)):
        raise ShapeError(f"permute: axes must name each of the {x.ndim} axes once. " + received(x=x, axes=axes))
    return np.transpose(x, axes)


@permute.vjp
def _(g, _, x, axes):
    return (permute(g, None if axes is None else tuple(int(i) for i in np.argsort([a % x.ndim for a in axes]))),)


@op(numpy=np.swapaxes, reference=np.swapaxes, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 2, 3, 4), 0, -1)), Sample((normal(rng, 2, 3), 0, 1)), Sample((strided(rng, 2, 3, 4), 1, 2)),
], errors=lambda: [ErrorSample((np.ones((2, 3)), 0, 2), {}, ShapeError, r"swapaxes: axis 2 is out of range.*\(2, 3\)")])  # fmt: skip
def swapaxes(x, /, axis1, axis2):
    """Two axes exchanged.   (.. m .. n ..) -> (.. n .. m ..)

    >>> import numpy as np
    >>> swapaxes(np.ones((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    return np.swapaxes(x, *_in_range("swapaxes", x, x.ndim, axis1, axis2))


@swapaxes.vjp
def _(g, _, x, axis1, axis2):
    return (swapaxes(g, axis1, axis2),)


@op(numpy=np.expand_dims, reference=np.expand_dims, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 2, 3), 1)), Sample((normal(rng, 2, 3), -1)), Sample((normal(rng), 0), note="0-d"),
], errors=lambda: [ErrorSample((np.ones((2, 3)), 3), {}, ShapeError, r"expand_dims: axis 3 is out of range.*\(2, 3\)")])  # fmt: skip
def expand_dims(x, /, axis):
    """A new axis of length 1 at ``axis``.   (m, n) -> (m, 1, n)

    >>> import numpy as np
    >>> expand_dims(np.ones((2, 3)), 1).shape
    (2, 1, 3)
    """
    return np.expand_dims(x, _in_range("expand_dims", x, x.ndim + 1, *(axis if isinstance(axis, tuple) else (axis,))))


@expand_dims.vjp
def _(g, _, x, axis):
    return (reshape(g, x.shape),)


@op(numpy=np.squeeze, reference=np.squeeze, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 2, 1, 3, 1),)), Sample((normal(rng, 2, 1, 3), 1)), Sample((normal(rng, 1),)),
    Sample((normal(rng),), note="0-d"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), 0), {}, ShapeError, r"squeeze: axis 0 has length 2, not 1.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), 2), {}, ShapeError, r"squeeze: axis 2 is out of range.*\(2, 3\)"),
])  # fmt: skip
def squeeze(x, /, axis=None):
    """Axes of length 1 removed.   (m, 1, n) -> (m, n)

    >>> import numpy as np
    >>> squeeze(np.ones((2, 1, 3)), 1).shape
    (2, 3)
    """
    if axis is not None:
        axis = _in_range("squeeze", x, x.ndim, *(axis if isinstance(axis, tuple) else (axis,)))
        for a in axis:
            if x.shape[a] != 1:
                raise ShapeError(f"squeeze: axis {a} has length {x.shape[a]}, not 1. " + received(x=x, axis=axis))
    return np.squeeze(x, axis)


@squeeze.vjp
def _(g, _, x, axis):
    return (reshape(g, x.shape),)


@op(numpy=np.concatenate, samples=lambda rng: [
    Sample(([normal(rng, 2, 3), normal(rng, 4, 3)],)), Sample(([normal(rng, 2, 3), strided(rng, 2, 1)], 1)),
    Sample(([normal(rng, 2, 0), normal(rng, 2, 3), normal(rng, 2, 5)], -1), note="0-size"),
], method=False, errors=lambda: [
    ErrorSample(([np.ones((2, 3)), np.ones((4, 5))],), {}, ShapeError, r"concatenate.*all axes but axis 0.*x0 \(2, 3\).*x1 \(4, 5\)"),
    ErrorSample(([np.ones((2, 3))], 2), {}, ShapeError, r"concatenate: axis 2 is out of range.*\(2, 3\)"),
])  # fmt: skip
def concatenate(*xs, axis=0):
    """Tensors one after the other along an axis.   [(a, n), (b, n)] -> (a + b, n)

    >>> import numpy as np
    >>> concatenate([np.zeros(2), np.ones(3)])
    array([0., 0., 1., 1., 1.])
    """
    (axis,) = _in_range("concatenate", xs[0], xs[0].ndim, axis)
    try:
        return np.concatenate(xs, axis=axis)
    except ValueError:
        shapes = {f"x{i}": x for i, x in enumerate(xs)}
        raise ShapeError(
            f"concatenate: all axes but axis {axis} must agree. " + received(**shapes)
        ) from None


@concatenate.vjp
def _(g, _, *xs, axis):
    from .indexing import getitem

    axis = axis % g.ndim
    ends = np.cumsum([0] + [x.shape[axis] for x in xs])
    before = (slice(None),) * axis
    return [getitem(g, (*before, slice(int(a), int(b)))) for a, b in zip(ends, ends[1:])]


def stack(xs, axis=0):
    """Tensors of one shape side by side along a new axis.   [(n), (n), (n)] -> (3, n)

    Raises ShapeError where the shapes differ.

    >>> import numpy as np
    >>> stack([np.zeros(2), np.ones(2)])
    array([[0., 0.],
           [1., 1.]])
    """
    shapes = [np.shape(x) for x in xs]
    if len(set(shapes)) > 1:
        raise ShapeError(f"stack: all tensors must have the same shape. Received: {', '.join(map(str, shapes))}.")
    return concatenate([expand_dims(x, axis) for x in xs], axis)  # (n) -> (1, n), then side by side

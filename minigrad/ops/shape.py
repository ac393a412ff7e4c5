"""Ops that only move elements. Their gradients move them back: adjoint pairs."""

import math

import numpy as np

from ..core import op, values
from ..errors import ShapeError, received
from .axes import axes_of, one_axis
from .broadcasting import broadcast_to, cannot_broadcast
from .indexing import check_kind, check_rank, getitem, putitem
from .samples import ErrorSample, Sample, normal, strided

__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "diag", "diag_embed", "diagonal", "expand", "expand_dims", "flatten",
    "flip", "fliplr", "flipud", "meshgrid", "moveaxis", "movedim", "pad", "permute", "ravel", "repeat", "repeat_interleave", "reshape",
    "roll", "rot90", "squeeze", "swapaxes", "tile", "transpose", "tril", "triu", "unflatten", "unfold", "unsqueeze",
]  # fmt: skip


def before(axis):
    """The part of an index that leaves the axes before ``axis`` as they are."""
    return (slice(None),) * axis


# ----------------------------------------------------------------------------------------- the same elements in a row


@op(numpy=np.reshape, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 2, 6), (3, 4))), Sample((normal(rng, 2, 3, 4), (6, -1))), Sample((normal(rng), (1, 1)), note="0-d"),
    Sample((strided(rng, 3, 4), (2, 6)), note="strided"), Sample((normal(rng, 0, 3), (3, 0)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), (4,)), {}, ShapeError, r"reshape.*6 elements.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), (2.0, 3)), {}, ShapeError, r"reshape.*whole numbers.*\(2, 3\)"),
])  # fmt: skip
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
    except TypeError:
        raise ShapeError("reshape: a shape is made of whole numbers. " + received(x=x, shape=shape)) from None


@reshape.vjp
def _(g, _, _x, shape):
    return (reshape(g, _x.shape),)


@op(composed=True, numpy=np.ravel, reference=np.ravel, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 2, 3),)), Sample((normal(rng),), note="0-d"), Sample((strided(rng, 2, 3, 4),), note="strided"),
])  # fmt: skip
def ravel(x, /):
    """All elements in one row.   (...) -> (size)

    >>> import numpy as np
    >>> ravel(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([1., 2., 3., 4.])
    """
    return reshape(x, (-1,))


@op(composed=True, linear=(0,), reference=lambda x, start_axis=0, end_axis=-1: np.reshape(
    x, (*x.shape[:start_axis], -1, *x.shape[x.ndim + end_axis + 1:]) if x.ndim else -1), samples=lambda rng: [
    Sample((normal(rng, 2, 3, 4),)), Sample((normal(rng, 2, 3, 4), 1)), Sample((strided(rng, 2, 3, 4, 5), 1, -2), note="strided"),
    Sample((normal(rng),), note="0-d"), Sample((normal(rng, 2, 3), 1, -1)),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), 2), {}, ShapeError, r"flatten: axis 2 is out of range.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), 1, 0), {}, ShapeError, r"flatten: start_axis 1 comes after end_axis 0.*\(2, 3\)"),
])  # fmt: skip
def flatten(x, /, start_axis=0, end_axis=-1):
    """The axes from ``start_axis`` to ``end_axis`` as one.   (k, m, n) -> (k m n)

    >>> import numpy as np
    >>> flatten(np.ones((2, 3, 4)), 1).shape
    (2, 12)
    """
    if not x.ndim:
        return reshape(x, (1,))
    start, end = one_axis("flatten", x, start_axis), one_axis("flatten", x, end_axis)
    if start > end:
        raise ShapeError(f"flatten: start_axis {start_axis} comes after end_axis {end_axis}. " + received(x=x))
    return reshape(
        x, (*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :])
    )  # (.. m, n ..) -> (.. m n ..)


@op(composed=True, linear=(0,), reference=lambda x, axis, shape: np.reshape(x, (*x.shape[:axis], *shape, *x.shape[axis:][1:])),
    samples=lambda rng: [
    Sample((normal(rng, 5, 12), 1, (3, 4))), Sample((strided(rng, 6, 5), 0, (-1, 2)), note="strided"),
    Sample((normal(rng, 2, 0), 1, (0, 3)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 6)), 1, (4, -1)), {}, ShapeError, r"unflatten: axis 1 has length 6, which does not fill \(4, -1\).*\(2, 6\)"),
    ErrorSample((np.ones((2, 6)), 2, (2, 3)), {}, ShapeError, r"unflatten: axis 2 is out of range.*\(2, 6\)"),
])  # fmt: skip
def unflatten(x, /, axis, shape):
    """One axis as several, whose lengths multiply to its own; one length may be -1.   (k, m n) -> (k, m, n)

    >>> import numpy as np
    >>> unflatten(np.ones((2, 6)), 1, (3, -1)).shape
    (2, 3, 2)
    """
    axis = one_axis("unflatten", x, axis)
    n = x.shape[axis]
    try:
        lengths = np.reshape(np.broadcast_to(0, n), shape).shape
    except (ValueError, TypeError):
        raise ShapeError(
            f"unflatten: axis {axis} has length {n}, which does not fill {shape}. " + received(x=x)
        ) from None
    return reshape(x, (*x.shape[:axis], *lengths, *x.shape[axis + 1 :]))  # (.. m n ..) -> (.. m, n ..)


@op(numpy=np.expand_dims, reference=np.expand_dims, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 2, 3), 1)), Sample((normal(rng, 2, 3), -1)), Sample((normal(rng), 0), note="0-d"),
    Sample((normal(rng, 2, 3), (0, -1))),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), 3), {}, ShapeError, r"expand_dims: axis 3 is out of range.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), (0, -4)), {}, ShapeError, r"expand_dims: an axis is named twice.*\(2, 3\)"),
])  # fmt: skip
def expand_dims(x, /, axis):
    """A new axis of length 1 at ``axis``, or several at a tuple of places in the result.   (m, n) -> (m, 1, n)

    >>> import numpy as np
    >>> expand_dims(np.ones((2, 3)), 1).shape
    (2, 1, 3)
    """
    return np.expand_dims(
        x, axes_of("expand_dims", x, axis, x.ndim + (len(axis) if isinstance(axis, tuple | list) else 1))
    )


@expand_dims.vjp
def _(g, _, _x, axis):
    return (reshape(g, _x.shape),)


@op(numpy=np.squeeze, reference=np.squeeze, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 2, 1, 3, 1),)), Sample((normal(rng, 2, 1, 3), 1)), Sample((normal(rng, 1),)),
    Sample((normal(rng),), note="0-d"), Sample((normal(rng, 1, 2, 1), (0, -1))),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), 0), {}, ShapeError, r"squeeze: axis 0 has length 2, not 1.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), 2), {}, ShapeError, r"squeeze: axis 2 is out of range.*\(2, 3\)"),
])  # fmt: skip
def squeeze(x, /, axis=None):
    """Axes of length 1 removed: all of them, or those named.   (m, 1, n) -> (m, n)

    >>> import numpy as np
    >>> squeeze(np.ones((2, 1, 3)), 1).shape
    (2, 3)
    """
    if axis is None:
        return np.squeeze(x)
    axes = axes_of("squeeze", x, axis)
    for a in axes:
        if x.shape[a] != 1:
            raise ShapeError(f"squeeze: axis {a} has length {x.shape[a]}, not 1. " + received(x=x, axis=axis))
    return np.squeeze(x, axes)


@squeeze.vjp
def _(g, _, _x, axis):
    return (reshape(g, _x.shape),)


def _at_least(rank, shapes, shape_of):
    name = f"atleast_{rank}d"

    def at_least(*xs):
        xs = [x if np.ndim(values(x)) >= rank else reshape(x, shape_of(np.shape(values(x)))) for x in xs]
        return xs[0] if len(xs) == 1 else tuple(xs)

    at_least.__name__ = at_least.__qualname__ = name
    at_least.__doc__ = f"""Axes of length 1 added where there are fewer than {rank}; several tensors give a tuple.   {shapes}

    >>> import numpy as np
    >>> {name}(np.ones(())).shape
    {(1,) * rank}
    """
    numpy = getattr(np, name)
    return op(
        composed=True, separate=True, method=False, numpy=numpy, reference=numpy,
        samples=lambda rng: [Sample((normal(rng),), note="0-d"), Sample((normal(rng, 4),)), Sample((strided(rng, 2, 3),)),
                             Sample((normal(rng, 2, 3, 4, 5),)), Sample((normal(rng), normal(rng, 3), normal(rng, 0, 2)))],
        errors=lambda: [ErrorSample((), {}, ShapeError, f"{name}: the list of tensors is empty. Received")],
    )(at_least)  # fmt: skip


atleast_1d = _at_least(1, "() -> (1)", lambda shape: (1,))
atleast_2d = _at_least(2, "(n) -> (1, n)", lambda shape: (1,) * (2 - len(shape)) + shape)
atleast_3d = _at_least(
    3,
    "(n) -> (1, n, 1), (m, n) -> (m, n, 1)",
    lambda shape: (*shape, 1) if len(shape) == 2 else (1, *(shape or (1,)), 1),
)


# ------------------------------------------------------------------------------------------------ axes in another order


@op(reference=np.transpose, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 2, 3),)), Sample((normal(rng, 2, 3, 4), (2, 0, 1))), Sample((normal(rng, 2, 3, 4), (0, -1, 1))),
    Sample((normal(rng),), note="0-d"), Sample((strided(rng, 2, 3),), note="strided"),
], method=False, errors=lambda: [
    ErrorSample((np.ones((2, 3)), (0, 2)), {}, ShapeError, r"permute: axis 2 is out of range for 2 axes.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), (1,)), {}, ShapeError, r"permute.*2 axes once.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), (1, -1)), {}, ShapeError, r"permute: an axis is named twice.*\(2, 3\)"),
])  # fmt: skip
def permute(x, /, axes=None):
    """The axes in another order; None reverses them.   (d0, d1, ...) -> (d[axes[0]], d[axes[1]], ...)

    >>> import numpy as np
    >>> permute(np.ones((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    if axes is None:
        return np.transpose(x)
    order = axes_of("permute", x, axes)
    if len(order) != x.ndim:
        raise ShapeError(f"permute: axes must name each of the {x.ndim} axes once. " + received(x=x, axes=axes))
    return np.transpose(x, order)


@permute.vjp
def _(g, _, _x, axes):
    return (permute(g, None if axes is None else tuple(np.argsort(axes_of("permute", _x, axes)).tolist())),)


def _transpose_by_numpy(x, axes=None, other=None):
    return np.transpose(x, axes) if other is None else np.swapaxes(x, axes, other)


@op(composed=True, numpy=np.transpose, reference=_transpose_by_numpy, linear=(0,), method=False, samples=lambda rng: [
    Sample((normal(rng, 2, 3, 4),)), Sample((normal(rng, 2, 3, 4), (2, 0, 1))), Sample((strided(rng, 2, 3, 4), 0, -1), note="strided"),
    Sample((normal(rng),), note="0-d"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), 0, 2), {}, ShapeError, r"transpose: axis 2 is out of range.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), 1), {}, ShapeError, r"transpose: one number is not enough: two swap, a tuple reorders all.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), (1,)), {}, ShapeError, r"transpose: axes must name each of the 2 axes once.*\(2, 3\)"),
])  # fmt: skip
def transpose(x, /, axes=None, other=None):
    """Two numbers swap two axes, a tuple reorders all, nothing reverses them.   (m, n) -> (n, m)

    >>> import numpy as np
    >>> transpose(np.ones((2, 3, 4)), 0, 1).shape, transpose(np.ones((2, 3, 4)), (2, 0, 1)).shape
    ((3, 2, 4), (4, 2, 3))
    """
    if other is not None:
        return swapaxes(x, *axes_of("transpose", x, (axes,)), *axes_of("transpose", x, (other,)))
    if axes is not None:
        if not isinstance(axes, tuple | list):
            raise ShapeError(
                "transpose: one number is not enough: two swap, a tuple reorders all. " + received(x=x, axes=axes)
            )
        if len(axes_of("transpose", x, axes)) != x.ndim:
            raise ShapeError(f"transpose: axes must name each of the {x.ndim} axes once. " + received(x=x, axes=axes))
    return permute(x, axes)


@op(numpy=np.swapaxes, reference=np.swapaxes, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 2, 3, 4), 0, -1)), Sample((normal(rng, 2, 3), 0, 1)), Sample((strided(rng, 2, 3, 4), 1, 2)),
], errors=lambda: [ErrorSample((np.ones((2, 3)), 0, 2), {}, ShapeError, r"swapaxes: axis 2 is out of range.*\(2, 3\)")])  # fmt: skip
def swapaxes(x, /, axis1, axis2):
    """Two axes exchanged.   (.. m .. n ..) -> (.. n .. m ..)

    >>> import numpy as np
    >>> swapaxes(np.ones((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    if not (-x.ndim <= axis1 < x.ndim and -x.ndim <= axis2 < x.ndim):
        axes_of("swapaxes", x, (axis1, axis2))  # raises
    return x.swapaxes(axis1, axis2)


@swapaxes.vjp
def _(g, _, _x, axis1, axis2):
    return (swapaxes(g, axis1, axis2),)


@op(composed=True, numpy=np.moveaxis, reference=np.moveaxis, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 2, 3, 4), 0, -1)), Sample((strided(rng, 2, 3, 4, 5), (0, -1), (2, 0)), note="strided"),
    Sample((normal(rng, 2, 0, 3), 2, 0), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), 2, 0), {}, ShapeError, r"moveaxis: axis 2 is out of range.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), (0, 1), 0), {}, ShapeError, r"moveaxis: takes as many destinations as sources.*\(2, 3\)"),
])  # fmt: skip
def moveaxis(x, /, source, destination):
    """Axes moved to other places; the rest keep their order.   (k, m, n) -> (m, n, k) for 0 to -1

    >>> import numpy as np
    >>> moveaxis(np.ones((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    sources, destinations = axes_of("moveaxis", x, source), axes_of("moveaxis", x, destination)
    if len(sources) != len(destinations):
        raise ShapeError(
            "moveaxis: takes as many destinations as sources. " + received(x=x, source=source, destination=destination)
        )
    order = [a for a in range(x.ndim) if a not in sources]
    for place, a in sorted(zip(destinations, sources)):
        order.insert(place, a)
    return permute(x, tuple(order))


# -------------------------------------------------------------------------------------------------- elements repeated


@op(composed=True, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 3, 1), (2, -1, 4))), Sample((strided(rng, 2, 3), (-1, -1)), note="strided"),
    Sample((normal(rng), (2,)), note="0-d"), Sample((normal(rng, 1, 3), (0, -1)), note="0-size"),
], reference=lambda x, shape: np.broadcast_to(x, (*shape[: len(shape) - x.ndim], *(
    k if n == -1 else n for k, n in zip(x.shape, shape[len(shape) - x.ndim :])))), errors=lambda: [
    ErrorSample((np.ones((2, 3)), (4, 3)), {}, ShapeError, r"expand: axis -2 has length 2, which only 2 or -1 fits, not 4.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), (3,)), {}, ShapeError, r"expand: the shape needs at least 2 axes.*\(2, 3\)"),
    ErrorSample((np.ones(3), (-1, 3)), {}, ShapeError, r"expand: -1 keeps the length of an axis, and axis -2 is new.*\(3,\)"),
])  # fmt: skip
def expand(x, /, shape):
    """Axes of length 1, and new ones in front, repeated; -1 keeps a length.   (m, 1) -> (k, m, n)

    >>> import numpy as np
    >>> expand(np.array([[1.0], [2.0]]), (-1, 3))
    array([[1., 1., 1.],
           [2., 2., 2.]])
    """
    shape = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    if len(shape) < x.ndim:
        raise ShapeError(f"expand: the shape needs at least {x.ndim} axes. " + received(x=x, shape=shape))
    new = len(shape) - x.ndim
    if -1 in shape[:new]:
        raise ShapeError(
            f"expand: -1 keeps the length of an axis, and axis {shape.index(-1) - len(shape)} is new. "
            + received(x=x, shape=shape)
        )
    wanted = tuple([k if n == -1 else n for k, n in zip((1,) * new + x.shape, shape)])
    for a, (k, n) in enumerate(zip(x.shape, wanted[new:])):
        if k not in (1, n):
            raise ShapeError(
                f"expand: axis {a - x.ndim} has length {k}, which only {k} or -1 fits, not {n}. "
                + received(x=x, shape=shape)
            )
    return broadcast_to(x, wanted)


@op(composed=True, separate=True, method=False, numpy=np.broadcast_arrays, reference=np.broadcast_arrays, samples=lambda rng: [
    Sample((normal(rng, 3, 1), normal(rng, 4))), Sample((strided(rng, 2, 3), normal(rng), normal(rng, 4, 1, 1))),
    Sample((normal(rng, 0, 3), normal(rng, 3)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones(4)), {}, ShapeError, r"broadcast_arrays: axis -1 .*lengths 3 and 4.*\(2, 3\).*\(4,\)"),
])  # fmt: skip
def broadcast_arrays(*xs):
    """Several tensors repeated to one shape, as a tuple.   (m, 1), (n) -> (m, n), (m, n)

    >>> import numpy as np
    >>> x, y = broadcast_arrays(np.ones((2, 1)), np.ones(3))
    >>> x.shape, y.shape
    ((2, 3), (2, 3))
    """
    if error := cannot_broadcast("broadcast_arrays", [values(x) for x in xs]):
        raise error
    shape = np.broadcast_shapes(*[np.shape(values(x)) for x in xs])
    return tuple([broadcast_to(x, shape) for x in xs])


@op(composed=True, separate=True, method=False, numpy=np.meshgrid, reference=np.meshgrid, samples=lambda rng: [
    Sample((normal(rng, 3), normal(rng, 4))), Sample((normal(rng, 2), strided(rng, 3), normal(rng, 4)), {"indexing": "ij"}),
    Sample((normal(rng, 3), normal(rng)), note="0-d"), Sample((strided(rng, 3), normal(rng, 0))),
], errors=lambda: [
    ErrorSample((np.ones(2), np.ones((3, 1))), {}, ShapeError, r"meshgrid: each tensor is a row.*x1 \(3, 1\)"),
    ErrorSample((np.ones(2), np.ones(3)), {"indexing": "yx"}, ValueError, "meshgrid: indexing is 'xy' or 'ij'. Received: yx"),
])  # fmt: skip
def meshgrid(*xs, indexing="xy"):
    """A grid of coordinates from one row of them per axis: 'xy' has columns by the first row, 'ij' rows.   (m), (n) -> (n, m), (n, m)

    >>> import numpy as np
    >>> x, y = meshgrid(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0]))
    >>> x
    array([[1., 2., 3.],
           [1., 2., 3.]])
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing is 'xy' or 'ij'. Received: {indexing}.")
    shapes = [np.shape(values(x)) for x in xs]
    if max(map(len, shapes)) > 1:
        raise ShapeError(
            "meshgrid: each tensor is a row of coordinates. " + received(**{f"x{i}": x for i, x in enumerate(xs)})
        )
    lengths = [math.prod(shape) for shape in shapes]
    axes = list(range(len(xs)))
    if indexing == "xy" and len(xs) > 1:
        axes[:2] = 1, 0
    grid = tuple([lengths[axes[a]] for a in range(len(xs))])
    rows = [reshape(x, tuple([n if a == axis else 1 for a in range(len(xs))])) for x, n, axis in zip(xs, lengths, axes)]
    return tuple([broadcast_to(row, grid) for row in rows])  # (1.., n, ..1) -> (.., n, ..)


@op(composed=True, numpy=np.tile, reference=np.tile, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 2, 3), (2, 1, 3))), Sample((strided(rng, 2, 3, 4), 2), note="strided"), Sample((normal(rng), 3), note="0-d"),
    Sample((normal(rng, 3), (2, 0)), note="0 times"), Sample((normal(rng, 0, 3), (2, 2)), note="0-size"),
], errors=lambda: [ErrorSample((np.ones((2, 3)), (2, -1)), {}, ShapeError, r"tile: .*numbers from 0.*\(2, 3\).*\(2, -1\)")])  # fmt: skip
def tile(x, /, reps):
    """The whole tensor repeated along its axes, from the last one backwards.   (m, n) -> (r m, s n) for (r, s)

    PyTorch's ``x.repeat(r, s)``.

    >>> import numpy as np
    >>> tile(np.array([1.0, 2.0]), (2, 2))
    array([[1., 2., 1., 2.],
           [1., 2., 1., 2.]])
    """
    times = tuple(reps) if isinstance(reps, tuple | list) else (reps,)
    if not all(isinstance(r, int | np.integer) and r >= 0 for r in times):
        raise ShapeError("tile: how often is said in whole numbers from 0. " + received(x=x, reps=reps))
    rank = max(len(times), x.ndim)
    shape, times = (1,) * (rank - x.ndim) + x.shape, (1,) * (rank - len(times)) + times
    apart = reshape(x, tuple([n for k in shape for n in (1, k)]))  # (m, n) -> (1, m, 1, n)
    spread = broadcast_to(apart, tuple([n for pair in zip(times, shape) for n in pair]))  # -> (r, m, s, n)
    return reshape(spread, tuple([r * k for r, k in zip(times, shape)]))  # -> (r m, s n)


@op(composed=True, numpy=np.repeat, reference=np.repeat, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 2, 3), 2)), Sample((normal(rng, 2, 3, 4), 3, 1)), Sample((strided(rng, 2, 3), [2, 0, 1], -1), note="strided"),
    Sample((normal(rng), 3), note="0-d"), Sample((normal(rng, 3, 2), 0, 0), note="0 times"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), [1, 2], 1), {}, ShapeError, r"repeat: axis 1 has length 3, but there are 2 repeats.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), [1, -2], 0), {}, ShapeError, r"repeat: repeats must be whole numbers from 0.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), 2, 2), {}, ShapeError, r"repeat: axis 2 is out of range.*\(2, 3\)"),
])  # fmt: skip
def repeat(x, /, repeats, axis=None):
    """Each element several times along an axis, or in the row of all elements.   (m, n) -> (m, r n) for axis 1

    One number for all elements, or one for each place of the axis. `repeat_interleave` is PyTorch's name for it.

    >>> import numpy as np
    >>> repeat(np.array([1.0, 2.0]), 2), repeat(np.array([1.0, 2.0]), [1, 3])
    (array([1., 1., 2., 2.]), array([1., 2., 2., 2.]))
    """
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    axis, times = one_axis("repeat", x, axis), np.asarray(values(repeats))
    if times.dtype.kind not in "iu" or times.min(initial=0) < 0:
        raise ShapeError("repeat: repeats must be whole numbers from 0. " + received(x=x, repeats=repeats))
    n = x.shape[axis]
    if times.size == 1:
        spread = broadcast_to(
            expand_dims(x, axis + 1), (*x.shape[: axis + 1], times.item(), *x.shape[axis + 1 :])
        )  # (.. n, r ..)
        return reshape(spread, (*x.shape[:axis], n * times.item(), *x.shape[axis + 1 :]))  # (.. n r ..)
    if times.shape != (n,):
        raise ShapeError(
            f"repeat: axis {axis} has length {n}, but there are {times.size} repeats. " + received(x=x, repeats=repeats)
        )
    return getitem(x, (*before(axis), np.repeat(np.arange(n), times)))


# ------------------------------------------------------------------------------------------ turned, shifted, put in a frame


@op(composed=True, numpy=np.flip, reference=np.flip, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 2, 3),)), Sample((normal(rng, 2, 3, 4), (0, -1))), Sample((strided(rng, 2, 3), 1), note="strided"),
    Sample((normal(rng),), note="0-d"),
], errors=lambda: [ErrorSample((np.ones((2, 3)), 2), {}, ShapeError, r"flip: axis 2 is out of range.*\(2, 3\)")])  # fmt: skip
def flip(x, /, axis=None):
    """Axes backwards: all of them, one or several.   (...) -> (...)

    >>> import numpy as np
    >>> flip(np.array([[1.0, 2.0], [3.0, 4.0]]), 1)
    array([[2., 1.],
           [4., 3.]])
    """
    axes = axes_of("flip", x, axis)
    return getitem(x, tuple([slice(None, None, -1 if a in axes else 1) for a in range(x.ndim)]))


@op(composed=True, numpy=np.fliplr, reference=np.fliplr, linear=(0,), method=False, samples=lambda rng: [
    Sample((normal(rng, 2, 3),)), Sample((strided(rng, 2, 3, 4),), note="strided"), Sample((normal(rng, 2, 0),), note="0-size"),
], errors=lambda: [ErrorSample((np.ones(2),), {}, ShapeError, r"fliplr: x needs at least 2 axes.*\(2,\)")])  # fmt: skip
def fliplr(x, /):
    """The second axis backwards: left and right exchanged.   (m, n, ...) -> (m, n, ...)

    >>> import numpy as np
    >>> fliplr(np.array([[1.0, 2.0]]))
    array([[2., 1.]])
    """
    check_rank("fliplr", x, 2)
    return flip(x, 1)


@op(composed=True, numpy=np.flipud, reference=np.flipud, linear=(0,), method=False, samples=lambda rng: [
    Sample((normal(rng, 2, 3),)), Sample((strided(rng, 2, 3, 4),), note="strided"), Sample((normal(rng, 0),), note="0-size"),
], errors=lambda: [ErrorSample((np.ones(()),), {}, ShapeError, r"flipud: x needs at least 1 axes.*\(\)")])  # fmt: skip
def flipud(x, /):
    """The first axis backwards: up and down exchanged.   (m, ...) -> (m, ...)

    >>> import numpy as np
    >>> flipud(np.array([[1.0], [2.0]]))
    array([[2.],
           [1.]])
    """
    check_rank("flipud", x, 1)
    return flip(x, 0)


def _turns(name, x, shift, axis):
    """Shifts and axes as tuples of one length."""
    shifts = tuple(shift) if isinstance(shift, tuple | list) else (shift,)
    axes = [one_axis(name, x, a) for a in (axis if isinstance(axis, tuple | list) else (axis,))]
    if len(shifts) == 1:
        shifts = shifts * len(axes)
    if len(shifts) != len(axes):
        raise ShapeError(f"{name}: one shift per axis, or one for all. " + received(x=x, shift=shift, axis=axis))
    return shifts, axes


@op(numpy=np.roll, reference=np.roll, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 2, 3), 1)), Sample((normal(rng, 2, 3, 4), (1, -2), (0, 2))), Sample((strided(rng, 3, 5), 7, -1), note="strided"),
    Sample((normal(rng),  2), note="0-d"), Sample((normal(rng, 0, 3), 1, 0), note="0-size"), Sample((normal(rng, 3, 4), 1, (0, 1))),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), 1, 2), {}, ShapeError, r"roll: axis 2 is out of range.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), (1, 2), 0), {}, ShapeError, r"roll: one shift per axis.*\(2, 3\)"),
])  # fmt: skip
def roll(x, /, shift, axis=None):
    """Elements moved by ``shift`` places, those pushed out at the end coming in at the beginning.   (...) -> (...)

    Without an axis in the row of all elements; of several axes each has its shift.

    >>> import numpy as np
    >>> roll(np.array([1.0, 2.0, 3.0, 4.0]), 1)
    array([4., 1., 2., 3.])
    """
    return np.roll(x, shift) if axis is None else np.roll(x, *_turns("roll", x, shift, axis))


@roll.vjp
def _(g, _, _x, shift, axis):
    return (roll(g, tuple([-s for s in shift]) if isinstance(shift, tuple | list) else -shift, axis),)


@op(composed=True, numpy=np.rot90, reference=np.rot90, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 2, 3),)), Sample((normal(rng, 2, 3, 4), 2, (1, 2))), Sample((strided(rng, 2, 3, 4), -1, (2, 0)), note="strided"),
    Sample((normal(rng, 0, 3), 4), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones(3),), {}, ShapeError, r"rot90: axis 1 is out of range.*\(3,\)"),
    ErrorSample((np.ones((2, 3)), 1, (0,)), {}, ShapeError, r"rot90: takes two axes.*\(2, 3\)"),
])  # fmt: skip
def rot90(x, /, k=1, axes=(0, 1)):
    """A plane turned k times by 90 degrees, from the first axis towards the second.   (m, n) -> (n, m)

    >>> import numpy as np
    >>> rot90(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[2., 4.],
           [1., 3.]])
    """
    plane = axes_of("rot90", x, axes)
    if len(plane) != 2:
        raise ShapeError("rot90: takes two axes. " + received(x=x, axes=axes))
    if k % 2 == 0:
        return flip(x, plane) if k % 4 == 2 else x
    turned = swapaxes(x, *plane)  # (m, n) -> (n, m)
    return flip(turned, plane[0] if k % 4 == 1 else plane[1])


_FRAMES = ("constant", "edge", "reflect", "symmetric", "wrap")


def _widths(x, pad_width):
    """One pair (before, after) per axis."""
    given = values(pad_width)
    try:
        widths = np.broadcast_to(np.asarray(given), (x.ndim, 2))
        if widths.dtype.kind in "iu" and widths.min(initial=0) >= 0:
            return widths.tolist()
    except ValueError:
        pass
    hint = "."
    if (
        isinstance(given, tuple | list)
        and len(given) % 2 == 0
        and len(given) <= 2 * x.ndim
        and all(isinstance(n, int) for n in given)
    ):
        pairs = list(zip(given[::2], given[1::2]))[::-1]  # PyTorch's flat form begins with the last axis
        hint = f"; PyTorch's flat form is {(*((0, 0),) * (x.ndim - len(pairs)), *pairs)} here."
    raise ShapeError(
        "pad: pad_width is one number for all sides, one pair (before, after) for all axes, or a pair for each axis, whole numbers from 0"
        f"{hint} " + received(x=x, pad_width=pad_width)
    )


@op(numpy=np.pad, samples=lambda rng: [
    Sample((normal(rng, 2, 3), ((1, 0), (2, 3)))), Sample((normal(rng, 2, 3), 2, "constant", 1.5)),
    Sample((normal(rng, 4, 3), ((2, 3), (1, 2)), "reflect")), Sample((strided(rng, 2, 3), (1, 2), "edge"), note="strided"),
    Sample((normal(rng, 2, 3), ((0, 5), (4, 0)), "wrap"), note="longer than the axis"), Sample((normal(rng, 4, 3), 2, "symmetric")),
    Sample((normal(rng), 2), note="0-d"), Sample((normal(rng, 0, 3), 1), note="0-size"),
], reference=lambda x, pad_width, mode="constant", value=0: np.pad(
    x, pad_width, mode, **({"constant_values": value} if mode == "constant" else {})), errors=lambda: [
    ErrorSample((np.ones((2, 3)), (1, 2, 3, 4)), {}, ShapeError, r"pad: .*PyTorch's flat form is \(\(3, 4\), \(1, 2\)\) here.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), -1), {}, ShapeError, r"pad: .*whole numbers from 0.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), 1, "replicate"), {}, ValueError, "pad: mode is constant, edge, reflect, symmetric or wrap. Received"),
    ErrorSample((np.ones((0, 3)), 1, "edge"), {}, ShapeError, r"pad: axis 0 has no elements to continue.*\(0, 3\)"),
    ErrorSample((np.ones(3, int), 1, "constant", 0.5), {}, TypeError, "pad: floating values .*int64"),
])  # fmt: skip
def pad(x, /, pad_width, mode="constant", value=0):
    """A frame around the elements.   (m, n) -> (before + m + after, before + n + after)

    ``pad_width`` is one number for all sides, one pair (before, after) for all axes, or a pair for each axis. The frame is
    ``value``, or continues the elements: the last one ('edge'), mirrored at it ('reflect') or behind it ('symmetric'),
    or from the other end ('wrap'). Raises ShapeError for other widths, among them PyTorch's flat form.

    >>> import numpy as np
    >>> pad(np.array([1.0, 2.0, 3.0]), (1, 2)), pad(np.array([1.0, 2.0, 3.0]), 2, "reflect")
    (array([0., 1., 2., 3., 0., 0.]), array([3., 2., 1., 2., 3., 2., 1.]))
    """
    if mode not in _FRAMES:
        raise ValueError(f"pad: mode is {', '.join(_FRAMES[:-1])} or {_FRAMES[-1]}. Received: {mode!r}.")
    widths = _widths(x, pad_width)
    if mode == "constant":
        check_kind("pad", x, value)
        return np.pad(x, widths, constant_values=value) if x.ndim else x
    for a, (n, width) in enumerate(zip(x.shape, widths)):
        if n == 0 and any(width):
            raise ShapeError(f"pad: axis {a} has no elements to continue. " + received(x=x, pad_width=pad_width))
    return np.pad(x, widths, mode)


@pad.vjp
def _(g, _, x, pad_width, mode, value):
    widths = _widths(x, pad_width)
    if mode == "constant":
        return (getitem(g, tuple([slice(first, first + n) for n, (first, _) in zip(x.shape, widths)])),)
    sources = [np.pad(np.arange(n), width, mode) for n, width in zip(x.shape, widths)]  # where each element came from
    return (putitem(g, np.ix_(*sources), x.shape),)


# -------------------------------------------------------------------------------------------------- triangles and diagonals


def _triangle(cut, words, shown):
    name = cut.__name__

    def triangle(x, /, k=0):
        check_rank(name, x, 2)
        return cut(x, k)

    triangle.__name__ = triangle.__qualname__ = name
    triangle.__doc__ = f"""Zeros {words} diagonal k of each matrix.   (..., m, n) -> (..., m, n)

    >>> import numpy as np
    >>> {name}(np.array([[1.0, 2.0], [3.0, 4.0]]))
    {shown}
    """
    function = op(numpy=cut, reference=cut, linear=(0,), samples=lambda rng: [
        Sample((normal(rng, 3, 4),)), Sample((normal(rng, 2, 3, 4), 1)), Sample((strided(rng, 4, 3), -2), note="strided"),
        Sample((normal(rng, 0, 3),), note="0-size"),
    ], errors=lambda: [ErrorSample((np.ones(3),), {}, ShapeError, rf"{name}: x needs at least 2 axes.*\(3,\)")])(triangle)  # fmt: skip

    @function.vjp
    def _(g, _, x, k):
        return (function(g, k),)

    return function


tril = _triangle(np.tril, "above", "array([[1., 0.],\n           [3., 4.]])")
triu = _triangle(np.triu, "below", "array([[1., 2.],\n           [0., 4.]])")


def _diagonal_of_row(m, n, offset):
    """Where the diagonal of an (m, n) matrix lies in the row of its elements: every n + 1 places."""
    first = offset if offset >= 0 else -offset * n
    count = max(0, min(m, n - offset) if offset >= 0 else min(m + offset, n))
    return slice(first, first + count * (n + 1), n + 1)


@op(composed=True, numpy=np.diagonal, reference=np.diagonal, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 3, 4),)), Sample((normal(rng, 2, 3, 4), 1, -1, 1)), Sample((strided(rng, 4, 5, 3), -2, 0, 2), note="strided"),
    Sample((normal(rng, 2, 3), 7), note="0-size"), Sample((normal(rng, 2, 0, 3), 0, 1, 2)),
], errors=lambda: [
    ErrorSample((np.ones(3),), {}, ShapeError, r"diagonal: axis 1 is out of range.*\(3,\)"),
    ErrorSample((np.ones((2, 3)), 0, 1, -1), {}, ShapeError, r"diagonal: an axis is named twice.*\(2, 3\)"),
])  # fmt: skip
def diagonal(x, /, offset=0, axis1=0, axis2=1):
    """The diagonal over two axes, as the last axis.   (m, ..., n) -> (..., min(m, n)) for axes 0 and -1

    >>> import numpy as np
    >>> diagonal(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), 1)
    array([2., 6.])
    """
    plane = axes_of("diagonal", x, (axis1, axis2))
    moved = permute(x, (*[a for a in range(x.ndim) if a not in plane], *plane))  # -> (..., m, n)
    *rest, m, n = moved.shape
    return getitem(reshape(moved, (*rest, m * n)), (Ellipsis, _diagonal_of_row(m, n, offset)))  # (..., m n) -> (..., k)


def _diag_embed_reference(x, offset=0, axis1=-2, axis2=-1):
    n = x.shape[-1] + abs(offset)
    out = np.zeros((*x.shape[:-1], n, n))
    for i in range(x.shape[-1]):
        out[..., i + max(0, -offset), i + max(0, offset)] = x[..., i]
    return np.moveaxis(out, (-2, -1), (axis1, axis2))


@op(composed=True, reference=_diag_embed_reference, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 3),)), Sample((normal(rng, 2, 3), -1, 0, 2)), Sample((strided(rng, 2, 3), 2, 1, 0), note="strided"),
    Sample((normal(rng, 2, 0), 1), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones(()),), {}, ShapeError, r"diag_embed: x needs at least 1 axes.*\(\)"),
    ErrorSample((np.ones((2, 3)), 0, 3, 0), {}, ShapeError, r"diag_embed: axis 3 is out of range for 3 axes.*\(2, 3\)"),
])  # fmt: skip
def diag_embed(x, /, offset=0, axis1=-2, axis2=-1):
    """Square matrices with the last axis as their diagonal, zeros elsewhere.   (..., n) -> (..., n + |offset|, n + |offset|)

    ``axis1`` and ``axis2`` say where rows and columns go in the result.

    >>> import numpy as np
    >>> diag_embed(np.array([1.0, 2.0]), 1)
    array([[0., 1., 0.],
           [0., 0., 2.],
           [0., 0., 0.]])
    """
    check_rank("diag_embed", x, 1)
    plane = axes_of("diag_embed", x, (axis1, axis2), x.ndim + 1)
    *rest, n = x.shape
    side = n + abs(offset)
    rows = putitem(
        x, (Ellipsis, _diagonal_of_row(side, side, offset)), (*rest, side * side)
    )  # (..., n) -> (..., side side)
    return moveaxis(reshape(rows, (*rest, side, side)), (-2, -1), plane)


@op(composed=True, numpy=np.diag, reference=np.diag, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 3),)), Sample((normal(rng, 3, 4), -1)), Sample((normal(rng, 3), 2)), Sample((strided(rng, 3, 4),), note="strided"),
    Sample((normal(rng, 0),), note="0-size"),
], errors=lambda: [ErrorSample((np.ones((2, 3, 4)),), {}, ShapeError, r"diag: takes one axis, or two.*diagonal.*\(2, 3, 4\)")])  # fmt: skip
def diag(x, /, k=0):
    """A matrix with x on its diagonal k; of a matrix, its diagonal k.   (n) -> (n + |k|, n + |k|), (m, n) -> (min(m, n))

    >>> import numpy as np
    >>> diag(np.array([[1.0, 2.0], [3.0, 4.0]])), diag(np.array([1.0, 2.0]))
    (array([1., 4.]), array([[1., 0.],
           [0., 2.]]))
    """
    if x.ndim not in (1, 2):
        raise ShapeError("diag: takes one axis, or two; for more there are diagonal and diag_embed. " + received(x=x))
    return diag_embed(x, k) if x.ndim == 1 else diagonal(x, k)


# -------------------------------------------------------------------------------------------------------------- windows


def _unfold_by_loops(x, axis, size, step):
    starts = range(0, x.shape[axis] - size + 1, step)
    return np.moveaxis(
        np.stack([np.take(x, range(s, s + size), axis) for s in starts], axis % x.ndim), axis % x.ndim + 1, -1
    )


@op(reference=_unfold_by_loops, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 7), 0, 3, 2)), Sample((normal(rng, 2, 5, 3), 1, 3, 1), note="windows overlap"),
    Sample((strided(rng, 3, 7), -1, 2, 3), note="strided, with gaps"), Sample((normal(rng, 0, 4), 1, 4, 1), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), 1, 4, 1), {}, ShapeError, r"unfold: axis 1 has length 3, too short for a window of 4.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), 1, 2, 0), {}, ShapeError, r"unfold: size and step are whole numbers from 1.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), 2, 2, 1), {}, ShapeError, r"unfold: axis 2 is out of range.*\(2, 3\)"),
])  # fmt: skip
def unfold(x, /, axis, size, step):
    """All windows of ``size`` places along an axis, each ``step`` after the one before.   (.. n ..) -> (.. (n - size) // step + 1 .., size)

    A view: nothing is copied. Where windows overlap, gradients add up.

    >>> import numpy as np
    >>> unfold(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 0, 3, 2)
    array([[1., 2., 3.],
           [3., 4., 5.]])
    """
    axis = one_axis("unfold", x, axis)
    if not all(isinstance(n, int | np.integer) and n > 0 for n in (size, step)):
        raise ShapeError("unfold: size and step are whole numbers from 1. " + received(x=x, size=size, step=step))
    if size > x.shape[axis]:
        raise ShapeError(
            f"unfold: axis {axis} has length {x.shape[axis]}, too short for a window of {size}. " + received(x=x)
        )
    return np.lib.stride_tricks.sliding_window_view(x, size, axis)[(*before(axis), slice(None, None, step))]


@unfold.vjp
def _(g, _, _x, axis, size, step):
    return (overlap_add(g, axis % _x.ndim, step, _x.shape[axis]),)


def _overlap_add_by_loops(x, axis, step, length):
    out = np.zeros((*x.shape[:axis], length, *x.shape[axis + 1 : -1]))
    for place in np.ndindex(x.shape):
        target = list(place[:-1])
        target[axis] = place[axis] * step + place[-1]
        out[tuple(target)] += x[place]
    return out


@op(reference=_overlap_add_by_loops, linear=(0,), method=False, samples=lambda rng: [
    Sample((normal(rng, 4, 3), 0, 2, 10)), Sample((strided(rng, 2, 4, 5, 3), 1, 1, 6), note="strided"),
    Sample((normal(rng, 3, 2), 0, 4, 10), note="with gaps"), Sample((normal(rng, 0, 2, 3), 1, 1, 4), note="0-size"),
])  # fmt: skip
def overlap_add(x, /, axis, step, length):
    """Windows put back to where they were taken, and added up: the adjoint of unfold.   (.. k .., size) -> (.. length ..)

    >>> import numpy as np
    >>> overlap_add(np.ones((2, 3)), 0, 2, 5)
    array([1., 1., 2., 1., 1.])
    """
    out = np.zeros((*x.shape[:axis], length, *x.shape[axis + 1 : -1]), x.dtype)
    span = step * (x.shape[axis] - 1) + 1
    for i in range(x.shape[-1]):
        out[(*before(axis), slice(i, i + span, step))] += x[..., i]
    return out


@overlap_add.vjp
def _(g, _, _x, axis, step, length):
    return (unfold(g, axis, _x.shape[-1], step),)


unsqueeze, movedim, repeat_interleave = expand_dims, moveaxis, repeat  # PyTorch's names

"""Ops that make one tensor of several, and several of one: each other's adjoints."""

import numpy as np

from ..core import op
from ..errors import ShapeError, received
from .axes import axes_of, one_axis
from .broadcasting import promote
from .indexing import getitem
from .samples import ErrorSample, Sample, normal, strided
from .shape import atleast_1d, atleast_2d, atleast_3d, before, expand_dims, reshape, squeeze

__all__ = [
    "array_split", "cat", "chunk", "column_stack", "concatenate", "dstack", "hstack", "split", "stack", "unbind", "vstack",
]  # fmt: skip


# ---------------------------------------------------------------------------------------------------- several to one


def _named(xs):
    return received(**{f"x{i}": x for i, x in enumerate(xs)})


def _check_ends(name, xs, axis):
    """Raises ShapeError where the shapes differ elsewhere than along ``axis``."""
    if len({(*x.shape[:axis], *x.shape[axis + 1 :]) for x in xs}) > 1:
        raise ShapeError(f"{name}: all axes but axis {axis} must agree. " + _named(xs))


def _one_dtype(xs):
    """All as arrays of one dtype; numbers take that of the arrays."""
    xs = promote(xs, floating=False)
    dtype = next(x.dtype for x in xs if isinstance(x, np.ndarray))
    return [np.asarray(x, dtype) for x in xs]


@op(numpy=np.concatenate, samples=lambda rng: [
    Sample(([normal(rng, 2, 3), normal(rng, 4, 3)],)), Sample(([normal(rng, 2, 3), strided(rng, 2, 1)], 1)),
    Sample(([normal(rng, 2, 0), normal(rng, 2, 3), normal(rng, 2, 5)], -1), note="0-size"),
    Sample(([normal(rng, 2, 3), normal(rng), normal(rng, 4)], None), note="all in a row"),
], method=False, errors=lambda: [
    ErrorSample(([np.ones((2, 3)), np.ones((4, 5))],), {}, ShapeError, r"concatenate.*all axes but axis 0.*x0 \(2, 3\).*x1 \(4, 5\)"),
    ErrorSample(([np.ones((2, 3)), np.ones(3)],), {}, ShapeError, r"concatenate.*all axes but axis 0.*x0 \(2, 3\).*x1 \(3,\)"),
    ErrorSample(([np.ones((2, 3))], 2), {}, ShapeError, r"concatenate: axis 2 is out of range.*\(2, 3\)"),
])  # fmt: skip
def concatenate(*xs, axis=0):
    """Tensors one after the other along an axis; None puts all elements in one row.   [(a, n), (b, n)] -> (a + b, n)

    Raises ShapeError where the other axes differ.

    >>> import numpy as np
    >>> concatenate([np.zeros(2), np.ones(3)])
    array([0., 0., 1., 1., 1.])
    """
    xs = _one_dtype(xs)
    if axis is not None:
        axis = one_axis("concatenate", xs[0], axis)
        _check_ends("concatenate", xs, axis)
    return np.concatenate(xs, axis=axis)


@concatenate.vjp
def _(g, _, *_xs, axis):
    axis, rows = (0, True) if axis is None else (axis % g.ndim, False)
    ends = np.cumsum([0] + [np.size(x) if rows else x.shape[axis] for x in _xs]).tolist()
    parts = [getitem(g, (*before(axis), slice(a, b))) for a, b in zip(ends, ends[1:])]
    return [reshape(part, np.shape(x)) for part, x in zip(parts, _xs)] if rows else parts


@op(numpy=np.stack, method=False, samples=lambda rng: [
    Sample(([normal(rng, 2, 3), strided(rng, 2, 3)],)), Sample(([normal(rng, 2, 3)] * 4, -1)),
    Sample(([normal(rng), normal(rng)],), note="0-d"), Sample(([normal(rng, 2, 0)] * 3, 1), note="0-size"),
], errors=lambda: [
    ErrorSample(([np.ones((2, 3)), np.ones((3, 2))],), {}, ShapeError, r"stack: all tensors must.*x0 \(2, 3\).*x1 \(3, 2\)"),
    ErrorSample(([np.ones((2, 3))], 3), {}, ShapeError, r"stack: axis 3 is out of range for 3 axes.*\(2, 3\)"),
])  # fmt: skip
def stack(*xs, axis=0):
    """Tensors of one shape side by side along a new axis.   [(n), (n), (n)] -> (3, n)

    Raises ShapeError where the shapes differ.

    >>> import numpy as np
    >>> stack([np.zeros(2), np.ones(2)])
    array([[0., 0.],
           [1., 1.]])
    """
    xs = _one_dtype(xs)
    if len({x.shape for x in xs}) > 1:
        raise ShapeError("stack: all tensors must have the same shape. " + _named(xs))
    axes_of("stack", xs[0], (axis,), xs[0].ndim + 1)
    return np.stack(xs, axis)


@stack.vjp
def _(g, _, *_xs, axis):
    return [getitem(g, (*before(axis % g.ndim), i)) for i in range(len(_xs))]


def _side_by_side(name, prepare, axis_of, words, example):
    def join(*xs):
        xs = [prepare(x) for x in xs]
        axis = axis_of(xs[0])
        _check_ends(name, xs, axis)
        return concatenate(xs, axis)

    join.__name__ = join.__qualname__ = name
    join.__doc__ = f"""{words}

    >>> import numpy as np
    >>> {name}([np.ones(2), np.zeros(2)])
    {example}
    """
    numpy = getattr(np, name)
    return op(composed=True, numpy=numpy, reference=numpy, method=False, samples=lambda rng: [
        Sample(([normal(rng, 3), normal(rng, 3)],)), Sample(([normal(rng, 2, 3), strided(rng, 2, 3)],)),
        Sample(([normal(rng, 2, 3, 4), normal(rng, 2, 3, 4)],)), Sample(([normal(rng, 0)] * 2,), note="0-size"),
    ], errors=lambda: [
        ErrorSample(([np.ones((2, 3)), np.ones((4, 5))],), {}, ShapeError, rf"{name}: all axes but axis .*x0 \(2, 3.*x1 \(4, 5"),
    ])(join)  # fmt: skip


hstack = _side_by_side("hstack", atleast_1d, lambda x: 0 if x.ndim == 1 else 1,
    "Tensors one after the other along the second axis, rows of elements along their only one.   [(m, a), (m, b)] -> (m, a + b)",
    "array([1., 1., 0., 0.])")  # fmt: skip
vstack = _side_by_side("vstack", atleast_2d, lambda x: 0,
    "Tensors one below the other along the first axis; (n) counts as one row (1, n).   [(a, n), (b, n)] -> (a + b, n)",
    "array([[1., 1.],\n           [0., 0.]])")  # fmt: skip
dstack = _side_by_side("dstack", atleast_3d, lambda x: 2,
    "Tensors one behind the other along the third axis.   [(m, n), (m, n)] -> (m, n, 2)",
    "array([[[1., 0.],\n            [1., 0.]]])")  # fmt: skip
column_stack = _side_by_side("column_stack", lambda x: expand_dims(x, 1) if np.ndim(x) == 1 else atleast_2d(x), lambda x: 1,
    "Columns side by side; (n) counts as one column (n, 1).   [(n), (n, b)] -> (n, 1 + b)",
    "array([[1., 0.],\n           [1., 0.]])")  # fmt: skip


# ---------------------------------------------------------------------------------------------------- one to several


def _bounds(x, n, axis, chunks_of):
    """The axis from 0, and where its parts begin and end: [0, .., length]."""
    axis = one_axis("split", x, axis)
    length = x.shape[axis]
    facts = lambda: received(x=x, axis=axis) if chunks_of is None else received(x=x, axis=axis, chunks_of=chunks_of)
    if (n is None) == (chunks_of is None):
        raise ShapeError(
            "split: takes either n, the number of equal parts or cut points, or chunks_of, the length of a part. "
            + facts()
        )
    if chunks_of is not None:
        if isinstance(chunks_of, tuple | list):
            bounds = [0, *np.cumsum(chunks_of).tolist()]
            if bounds[-1] != length or min(chunks_of, default=0) < 0:
                raise ShapeError(
                    f"split: the lengths of the parts add up to {bounds[-1]}, but axis {axis} has length {length}. "
                    + facts()
                )
            return axis, bounds
        if chunks_of < 1:
            raise ShapeError("split: a part has a length of at least 1. " + facts())
        return axis, [*range(0, max(length, 1), chunks_of), length]
    if not isinstance(n, int | np.integer):
        bounds = [0, *[slice(int(cut)).indices(length)[1] for cut in n], length]
        if bounds != sorted(bounds):
            raise ShapeError("split: cut points must not go back. " + received(x=x, n=n, axis=axis))
        return axis, bounds
    if n < 1 or length % n:
        raise ShapeError(
            f"split: axis {axis} has length {length}, which is not {n} equal parts; array_split makes nearly equal ones, "
            "chunks_of= parts of one length. " + facts()
        )
    return axis, list(range(0, length + 1, length // n)) if length else [0] * (n + 1)


def _split_by_numpy(x, n=None, axis=0, chunks_of=None):
    if isinstance(chunks_of, int):
        n = range(chunks_of, x.shape[axis], chunks_of)
    elif chunks_of:
        n = np.cumsum(chunks_of)[:-1]
    return np.split(x, n, axis)


@op(numpy=np.split, reference=_split_by_numpy, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 6, 4), 3)), Sample((strided(rng, 3, 7), [2, 3, -1], 1), note="strided"),
    Sample((normal(rng, 2, 5),), {"axis": -1, "chunks_of": 2}, note="length of a part"),
    Sample((normal(rng, 5, 2),), {"chunks_of": [1, 4]}, note="lengths of the parts"), Sample((normal(rng, 0, 3), 2), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((5, 2)), 2), {}, ShapeError, r"split: axis 0 has length 5, which is not 2 equal parts; array_split.*\(5, 2\)"),
    ErrorSample((np.ones((5, 2)),), {}, ShapeError, r"split: takes either n, .* or chunks_of.*\(5, 2\)"),
    ErrorSample((np.ones((5, 2)),), {"chunks_of": [2, 2]}, ShapeError, r"split: the lengths of the parts add up to 4, but axis 0 .* 5"),
    ErrorSample((np.ones((5, 2)),), {"chunks_of": 0}, ShapeError, r"split: a part has a length of at least 1.*\(5, 2\)"),
    ErrorSample((np.ones((5, 2)), [3, 1]), {}, ShapeError, r"split: cut points must not go back.*\(5, 2\)"),
    ErrorSample((np.ones((5, 2)), 2, 2), {}, ShapeError, r"split: axis 2 is out of range.*\(5, 2\)"),
])  # fmt: skip
def split(x, /, n=None, axis=0, chunks_of=None):
    """Parts of an axis, as a tuple: n equal ones, or between cut points.   (2 m, k) -> (m, k), (m, k) for n = 2

    ``chunks_of`` says the length of a part instead, the last one may be shorter, or lists all lengths: PyTorch's split.

    >>> import numpy as np
    >>> split(np.arange(4.0), 2)
    (array([0., 1.]), array([2., 3.]))
    >>> split(np.arange(4.0), chunks_of=3)
    (array([0., 1., 2.]), array([3.]))
    """
    axis, bounds = _bounds(x, n, axis, chunks_of)
    return tuple([x[(*before(axis), slice(a, b))] for a, b in zip(bounds, bounds[1:])])


@split.vjp
def _(g, _, x, n, axis, chunks_of):
    axis, bounds = _bounds(x, n, axis, chunks_of)
    shapes = [(*x.shape[:axis], b - a, *x.shape[axis + 1 :]) for a, b in zip(bounds, bounds[1:])]
    return (concatenate([np.zeros(shape, x.dtype) if d is None else d for d, shape in zip(g, shapes)], axis),)


@op(composed=True, numpy=np.array_split, reference=np.array_split, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 5, 4), 3)), Sample((strided(rng, 3, 7), [2, 3], 1), note="strided"), Sample((normal(rng, 2, 3), 4, -1)),
    Sample((normal(rng, 0, 3), 2), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((5, 2)), 0), {}, ShapeError, r"array_split: there must be at least 1 part.*\(5, 2\)"),
    ErrorSample((np.ones((5, 2)), 2, 2), {}, ShapeError, r"array_split: axis 2 is out of range.*\(5, 2\)"),
])  # fmt: skip
def array_split(x, /, n, axis=0):
    """n parts of an axis as equal as can be, longer ones first, or parts between cut points.   (5, k) -> (3, k), (2, k) for n = 2

    >>> import numpy as np
    >>> array_split(np.arange(3.0), 2)
    (array([0., 1.]), array([2.]))
    """
    axis = one_axis("array_split", x, axis)
    if not isinstance(n, int | np.integer):
        return split(x, n, axis)
    if n < 1:
        raise ShapeError("array_split: there must be at least 1 part. " + received(x=x, n=n))
    length, longer = divmod(x.shape[axis], n)
    return split(x, axis=axis, chunks_of=[length + 1] * longer + [length] * (n - longer))


def _chunk_by_slices(x, n, axis=0):
    size = -(-x.shape[axis] // n)
    return [np.take(x, range(i, min(i + size, x.shape[axis])), axis) for i in range(0, x.shape[axis], size)]


@op(composed=True, reference=_chunk_by_slices, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 5, 3), 3)), Sample((strided(rng, 2, 7), 4, -1), note="strided"), Sample((normal(rng, 3, 0), 2), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((5, 2)), 0), {}, ShapeError, r"chunk: there must be at least 1 part.*\(5, 2\)"),
    ErrorSample((np.ones((5, 2)), 2, 2), {}, ShapeError, r"chunk: axis 2 is out of range.*\(5, 2\)"),
])  # fmt: skip
def chunk(x, /, n, axis=0):
    """At most n parts of an axis, all but the last of one length.   (5, k) -> (2, k), (2, k), (1, k) for n = 3

    >>> import numpy as np
    >>> chunk(np.arange(3.0), 2)
    (array([0., 1.]), array([2.]))
    """
    axis = one_axis("chunk", x, axis)
    if n < 1:
        raise ShapeError("chunk: there must be at least 1 part. " + received(x=x, n=n))
    length = x.shape[axis]
    return split(x, axis=axis, chunks_of=-(-length // n) if length else [0] * n)


@op(composed=True, numpy=getattr(np, "unstack", None), reference=lambda x, axis=0: tuple(np.moveaxis(x, axis, 0)), linear=(0,),
    samples=lambda rng: [
    Sample((normal(rng, 3, 4),)), Sample((strided(rng, 2, 4, 3), -1), note="strided"), Sample((normal(rng, 3, 0),), note="0-size"),
    Sample((normal(rng, 4),), note="one axis"),
], errors=lambda: [ErrorSample((np.ones((5, 2)), 2), {}, ShapeError, r"unbind: axis 2 is out of range.*\(5, 2\)")])  # fmt: skip
def unbind(x, /, axis=0):
    """The slices at every place of an axis, as a tuple.   (3, n) -> (n), (n), (n)

    >>> import numpy as np
    >>> unbind(np.array([[1.0, 2.0], [3.0, 4.0]]))
    (array([1., 2.]), array([3., 4.]))
    """
    axis = one_axis("unbind", x, axis)
    return tuple([squeeze(part, axis) for part in split(x, x.shape[axis], axis)]) if x.shape[axis] else ()


cat = concatenate  # PyTorch's name

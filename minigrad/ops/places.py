"""Ops that pick or change elements by arrays of places: NumPy's take, PyTorch's gather and scatter, masks, and x.at[index]."""

import numpy as np

from ..core import as_array, op
from ..core import values as values_of
from ..errors import DtypeError, ShapeError, received
from .axes import one_axis
from .broadcasting import broadcast_to, sum_to
from .elementwise import astype, multiply, where
from .indexing import check_ids, check_kind, getitem, numbered, pick, plain_index, repeats
from .samples import ErrorSample, Sample, normal, strided
from .shape import before, reshape

__all__ = [
    "gather", "index_add", "index_select", "masked_fill", "masked_select", "scatter", "scatter_add", "take", "take_along_axis",
]  # fmt: skip


def _ids(name, index, count, what, negative=False):
    """An index that a user gave, as an array of integers within the ``count`` places there are."""
    return check_ids(name, as_array(index), count, what, negative)


# --------------------------------------------------------------------------------------------------- x.at[index]


class At:
    """The places x[index], for building a new tensor that differs from x there: ``x.at[index].set(values)``.   (...) -> (...)

    ``set``, ``add`` and ``multiply`` take values that broadcast to ``x[index]`` and give a tensor of x's shape and dtype;
    gradients flow to x and to the values. Of places that are named twice the last one is set; ``add`` and ``multiply``
    count each of them.

    >>> from minigrad import tensor
    >>> x = tensor([1.0, 2.0, 3.0])
    >>> x.at[1:].set(0)
    tensor([1., 0., 0.])
    >>> x.at[[0, 0, 2]].add(10)
    tensor([21.,  2., 13.])
    """

    __slots__ = ("_x", "_index")

    def __init__(self, x, index=()):
        self._x, self._index = x, index

    def __getitem__(self, index):
        return At(self._x, plain_index(index))

    def set(self, values):
        """x with ``values`` at the index."""
        return set_at(self._x, values, self._index)

    def add(self, values):
        """x with ``values`` added at the index."""
        return add_at(self._x, values, self._index)

    def multiply(self, values):
        """x multiplied by ``values`` at the index."""
        return multiply_at(self._x, values, self._index)

    def __repr__(self):
        return f"<places {self._index!r:.60} of a tensor of shape {self._x.shape}>"


def _fitting(name, values, shape):
    """The values repeated to the shape of x[index]."""
    try:
        return broadcast_to(values, shape)
    except ShapeError:
        raise ShapeError(
            f"{name}: values must broadcast to the shape of x[index], which is {shape}. " + received(values=values)
        ) from None


def _prepared(name, x, values, index):
    """A copy of x in C order, the values one for each place, and the places in the row of all elements, where some may repeat."""
    check_kind(name, x, values)
    row = numbered(name, index, x.shape) if repeats(index) else None
    shape = (pick(name, x, index) if row is None else row).shape
    return np.array(x, order="C"), _fitting(name, np.asarray(values, x.dtype), shape), row


def _at_samples(rng):
    yield Sample((normal(rng, 3, 4), normal(rng, 4), 1))
    yield Sample((normal(rng, 3, 4), normal(rng, 3, 1), (slice(None), slice(None, None, -2))), note="values broadcast")
    yield Sample((strided(rng, 5, 2), normal(rng, 4, 2), np.array([0, 3, 3, -5])), note="repeated places")
    yield Sample(
        (normal(rng, 2, 3), strided(rng, 4), np.array([[True, False, True], [False, True, True]])), note="boolean"
    )
    yield Sample(
        (normal(rng, 2, 3, 4), normal(rng, 2, 1, 1), (np.array([[1], [1]]), slice(None), np.array([3, 0, 3]))),
        note="mixed",
    )
    yield Sample((normal(rng, 3), normal(rng), -1), note="0-d")


def _at_errors(name):
    return lambda: [
        ErrorSample(
            (np.ones((2, 3)), np.ones(2), 1),
            {},
            ShapeError,
            rf"{name}: values must broadcast .*x\[index\], .*\(3,\).*\(2,\)",
        ),
        ErrorSample(
            (np.ones((2, 3)), 0.0, np.array([0, 2])),
            {},
            IndexError,
            rf"{name}: element \[1\] .* axis 0 is 2, outside -2 to 1",
        ),
        ErrorSample((np.ones((2, 3), int), np.ones(3), 1), {}, DtypeError, rf"{name}: floating values .*int64"),
    ]


def _set_by_loops(x, values, index):
    out, row = x.copy(), np.arange(x.size).reshape(x.shape)[index]
    for place, value in zip(row.flat, np.broadcast_to(values, row.shape).flat):
        out.flat[place] = value
    return out


@op(method=False, reference=_set_by_loops, samples=_at_samples, errors=_at_errors("set_at"))
def set_at(x, values, /, index):
    """x with values at an index; of places named twice the last one counts.   (...), (x[index]) -> (...)

    The gradient goes to the values that stayed. `At` spells it ``x.at[index].set(values)``.

    >>> import numpy as np
    >>> set_at(np.zeros(4), np.array([1.0, 2.0, 3.0]), np.array([0, 2, 2]))
    array([1., 0., 3., 0.])
    """
    out, values, row = _prepared("set_at", x, values, index)
    if row is None:
        out[index] = values
    else:
        out.reshape(-1)[row.reshape(-1)] = values.reshape(-1)
    return out


@set_at.vjp
def _(g, _, _x, _values, index, wanted):
    dx = set_at(g, 0, index) if wanted[0] else None
    if not wanted[1]:
        return dx, None
    dvalues = getitem(g, index)
    if repeats(index):
        dvalues = where(_stays(numbered("set_at", index, _x.shape), _x.size), dvalues, 0)
    return dx, sum_to(dvalues, _values.shape)


def _stays(row, size):
    """Which of the places no later one names again."""
    numbers, last = np.arange(row.size), np.empty(size, np.int64)
    last[row.reshape(-1)] = numbers
    return last[row] == numbers.reshape(row.shape)


def _accumulated(ufunc):
    def reference(x, values, index):
        out = x.copy()
        ufunc.at(out, index, values)
        return out

    return reference


@op(method=False, reference=_accumulated(np.add), samples=_at_samples, errors=_at_errors("add_at"))
def add_at(x, values, /, index):
    """x with values added at an index, each time a place is named.   (...), (x[index]) -> (...)

    `At` spells it ``x.at[index].add(values)``.

    >>> import numpy as np
    >>> add_at(np.zeros(4), np.array([1.0, 2.0, 3.0]), np.array([0, 2, 2]))
    array([1., 0., 5., 0.])
    """
    out, values, row = _prepared("add_at", x, values, index)
    if row is None:
        out[index] += values
    else:
        np.add.at(out.reshape(-1), row.reshape(-1), values.reshape(-1))
    return out


@add_at.vjp
def _(g, _, _x, _values, index, wanted):
    return g, sum_to(getitem(g, index), _values.shape) if wanted[1] else None


@op(
    composed=True,
    method=False,
    reference=_accumulated(np.multiply),
    samples=_at_samples,
    errors=_at_errors("multiply_at"),
)
def multiply_at(x, values, /, index):
    """x multiplied by values at an index, each time a place is named.   (...), (x[index]) -> (...)

    `At` spells it ``x.at[index].multiply(values)``.

    >>> import numpy as np
    >>> multiply_at(np.ones(4), np.array([4.0, 2.0, 3.0]), np.array([0, 2, 2]))
    array([4., 1., 6., 1.])
    """
    check_kind("multiply_at", x, values)
    row = numbered("multiply_at", index, x.shape)
    values = _fitting("multiply_at", values if hasattr(values, "dtype") else np.asarray(values, x.dtype), row.shape)
    if not repeats(index):
        return set_at(x, multiply(getitem(x, index), values), index)
    row, values, out = row.reshape(-1), reshape(values, (-1,)), reshape(x, (-1,))
    for turn in _turns(row):
        out = set_at(out, multiply(getitem(out, row[turn]), getitem(values, turn)), row[turn])
    return reshape(out, x.shape)


def _turns(row):
    """The numbers 0 .. n - 1 in groups: the first group is where a place comes first, the second where it comes again, and so on."""
    order = np.argsort(row, kind="stable")
    first = np.searchsorted(row, row[order], sorter=order)  # where the run of equal places begins
    turn = np.empty_like(row)
    turn[order] = np.arange(len(row)) - first
    return [np.flatnonzero(turn == t) for t in range(turn.max(initial=0) + 1)]


# ------------------------------------------------------------------------------------------ by places along an axis


@op(composed=True, numpy=np.take, reference=np.take, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 3, 4), np.array([[1, -1], [0, 1]]), 0)), Sample((normal(rng, 3, 4), [5, 5, 0])),
    Sample((strided(rng, 3, 4), 1, -1), note="strided"), Sample((normal(rng, 3, 2), np.zeros(0, int), 1), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.array([[0, 1], [-4, 5]]), 1), {}, IndexError, r"take: indices\[1, 0\] is -4, outside -3 to 2"),
    ErrorSample((np.ones((2, 3)), 6), {}, IndexError, "take: indices is 6, outside -6 to 5"),
    ErrorSample((np.ones((2, 3)), [0.5], 0), {}, DtypeError, "take: indices must be integers"),
    ErrorSample((np.ones((2, 3)), 0, 2), {}, ShapeError, r"take: axis 2 is out of range.*\(2, 3\)"),
])  # fmt: skip
def take(x, /, indices, axis=None):
    """The elements at some places along an axis, without one of the row of all elements.   (m, n), integers (k) -> (m, k)

    Raises IndexError for an index outside -n .. n - 1, naming it and its place.

    >>> import numpy as np
    >>> take(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), [2, 0], axis=1)
    array([[3., 1.],
           [6., 4.]])
    """
    if axis is None:
        return getitem(reshape(x, (-1,)), _ids("take", indices, x.size, "indices", negative=True))
    axis = one_axis("take", x, axis)
    return getitem(
        x, (*before(axis), _ids("take", indices, x.shape[axis], "indices", negative=True))
    )  # (.. n ..) -> (.. k ..)


def _grid(lengths, axis, index):
    """The index that names the place ``index`` along ``axis``, and every place along the others."""
    grid = list(np.ogrid[tuple([slice(n) for n in lengths])])
    grid[axis] = index
    return tuple(grid)


@op(composed=True, numpy=np.take_along_axis, reference=np.take_along_axis, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 3, 4), np.array([[3, 0], [1, 1], [-1, 2]]), 1)), Sample((normal(rng, 3, 4), np.array([[2], [0]]), 0)),
    Sample((strided(rng, 2, 3, 4), np.array([[[0, 2, 3, 1, 3]]]), -1), note="strided"), Sample((normal(rng, 3, 2), np.array([4, 0]), None)),
    Sample((normal(rng, 3, 0), np.zeros((2, 0), int), 0), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.array([[0], [3]]), 1), {}, IndexError, r"take_along_axis: indices\[1, 0\] is 3, outside -3 to 2"),
    ErrorSample((np.ones((2, 3)), np.array([0, 1]), 1), {}, ShapeError, r"take_along_axis: indices need as many axes.*\(2, 3\).*\(2,\)"),
    ErrorSample((np.ones((2, 3)), np.zeros((4, 1), int), 1), {}, ShapeError, r"take_along_axis: axis 0 has lengths 4 and 2.*\(4, 1\)"),
])  # fmt: skip
def take_along_axis(x, /, indices, axis=-1):
    """Along an axis, the element at each place that is named; the other axes broadcast.   (m, n), integers (m, k) -> (m, k)

    Without an axis both are rows of elements. Raises IndexError for an index outside -n .. n - 1.

    >>> import numpy as np
    >>> x = np.array([[3.0, 1.0, 2.0], [4.0, 6.0, 5.0]])
    >>> take_along_axis(x, np.argsort(x, axis=1), axis=1)
    array([[1., 2., 3.],
           [4., 5., 6.]])
    """
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    axis, indices = one_axis("take_along_axis", x, axis), as_array(indices)
    if indices.ndim != x.ndim:
        raise ShapeError("take_along_axis: indices need as many axes as x. " + received(x=x, indices=indices))
    for a, (n, k) in enumerate(zip(x.shape, indices.shape)):
        if a != axis and k != n and 1 not in (k, n):
            raise ShapeError(
                f"take_along_axis: axis {a} has lengths {k} and {n}, not the same or 1. "
                + received(x=x, indices=indices)
            )
    indices = _ids("take_along_axis", indices, x.shape[axis], "indices", negative=True)
    return getitem(x, _grid(x.shape, axis, indices))  # (.. n ..) -> (.. k ..)


def _along(name, x, axis, index, values=None):
    """PyTorch's kind of index: for every place of ``index``, the same place of x but for ``axis``, where the index says which."""
    axis, index = one_axis(name, x, axis), as_array(index)
    arguments = {"x": x, "index": index} | ({} if values is None else {"values": values})
    if index.ndim != x.ndim:
        raise ShapeError(f"{name}: index needs as many axes as x. " + received(**arguments))
    for a, (n, k) in enumerate(zip(x.shape, index.shape)):
        if a != axis and k > n:
            raise ShapeError(
                f"{name}: axis {a} of index has length {k}, more than the {n} of x. " + received(**arguments)
            )
    return _grid(index.shape, axis, _ids(name, index, x.shape[axis], "index"))


def _gather_by_loops(x, axis, index):
    out = np.zeros(index.shape)
    for place in np.ndindex(index.shape):
        source = list(place)
        source[axis] = index[place]
        out[place] = x[tuple(source)]
    return out


@op(composed=True, reference=_gather_by_loops, linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 3, 4), 1, np.array([[3, 0], [1, 1], [0, 2]]))), Sample((normal(rng, 3, 4), 0, np.array([[2, 2, 0]]))),
    Sample((strided(rng, 2, 3, 4), -2, np.array([[[2, 0, 1]], [[0, 0, 2]]])), note="strided"),
    Sample((normal(rng, 3, 2), 1, np.zeros((2, 0), int)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), 1, np.array([[0], [-1]])), {}, IndexError, r"gather: index\[1, 0\] is -1, outside 0 to 2"),
    ErrorSample((np.ones((2, 3)), 1, np.zeros((4, 1), int)), {}, ShapeError, r"gather: axis 0 of index has length 4, more than the 2 of x"),
    ErrorSample((np.ones((2, 3)), 1, np.array([0, 1])), {}, ShapeError, r"gather: index needs as many axes as x.*\(2, 3\).*\(2,\)"),
])  # fmt: skip
def gather(x, /, axis, index):
    """out[i, j] = x[i, index[i, j]] for axis 1, and so for every other.   (m, n), integers (m, k) -> (m, k)

    Along the other axes the index may be shorter than x. Raises IndexError for an index outside 0 .. n - 1.

    >>> import numpy as np
    >>> gather(np.array([[1.0, 2.0], [3.0, 4.0]]), 1, np.array([[1, 1], [0, 1]]))
    array([[2., 2.],
           [3., 4.]])
    """
    return getitem(x, _along("gather", x, axis, index))


def _values_of_scatter(name, x, index, values):
    """The part of the values that the index speaks of."""
    check_kind(name, x, values)
    if not np.ndim(values_of(values)):
        return values
    if values.ndim != x.ndim or any(k > n for k, n in zip(index.shape, values.shape)):
        raise ShapeError(
            f"{name}: values must be at least as long as index along every axis. "
            + received(index=index, values=values)
        )
    return getitem(values, tuple([slice(k) for k in index.shape]))


def _scatter_by_loops(add):
    def scatter(x, axis, index, values):
        out = x.copy()
        for place in np.ndindex(index.shape):
            target = list(place)
            target[axis] = index[place]
            out[tuple(target)] = np.broadcast_to(values, np.shape(values) or index.shape)[place] + (
                add and out[tuple(target)]
            )
        return out

    return scatter


def _scatters(rng):
    yield Sample((normal(rng, 3, 4), 1, np.array([[3, 0], [1, 2], [2, 0]]), normal(rng, 3, 2)))
    yield Sample((normal(rng, 3, 4), 0, np.array([[2, 2, 0], [2, 1, 0]]), normal(rng, 2, 3)), note="repeated places")
    yield Sample((strided(rng, 3, 4), -1, np.array([[1], [3]]), strided(rng, 5, 2)), note="strided")
    yield Sample((normal(rng, 3, 4), 1, np.array([[3], [0]]), normal(rng)), note="one value")
    yield Sample((normal(rng, 3, 2), 1, np.zeros((2, 0), int), normal(rng, 2, 0)), note="0-size")


def _scatter_errors(name):
    return lambda: [
        ErrorSample(
            (np.ones((2, 3)), 1, np.array([[0], [3]]), 1.0),
            {},
            IndexError,
            rf"{name}: index\[1, 0\] is 3, outside 0 to 2",
        ),
        ErrorSample(
            (np.ones((2, 3)), 1, np.array([[0, 1]]), np.ones((2, 1))),
            {},
            ShapeError,
            rf"{name}: values must be at least as long",
        ),
        ErrorSample(
            (np.ones((2, 3)), 0, np.zeros((1, 4), int), 1.0),
            {},
            ShapeError,
            rf"{name}: axis 1 of index has length 4, more",
        ),
        ErrorSample(
            (np.ones((2, 3), int), 1, np.array([[0]]), 0.5), {}, DtypeError, rf"{name}: floating values .*int64"
        ),
    ]


@op(composed=True, reference=_scatter_by_loops(False), samples=_scatters, errors=_scatter_errors("scatter"))
def scatter(x, axis, index, values, /):
    """x with out[i, index[i, j]] = values[i, j] for axis 1, and so for every other.   (m, n), integers (m, k), (m, k) -> (m, n)

    Of places named twice the last one counts, and the gradient goes to it. The values may be longer than the index, or
    one number. Raises IndexError for an index outside 0 .. n - 1.

    >>> import numpy as np
    >>> scatter(np.zeros((2, 3)), 1, np.array([[2], [0]]), np.array([[5.0], [7.0]]))
    array([[0., 0., 5.],
           [7., 0., 0.]])
    """
    there = _along("scatter", x, axis, index, values)
    return set_at(x, _values_of_scatter("scatter", x, as_array(index), values), there)


@op(composed=True, reference=_scatter_by_loops(True), samples=_scatters, errors=_scatter_errors("scatter_add"))
def scatter_add(x, axis, index, values, /):
    """x with out[i, index[i, j]] += values[i, j] for axis 1, and so for every other.   (m, n), integers (m, k), (m, k) -> (m, n)

    The values may be longer than the index, or one number. Raises IndexError for an index outside 0 .. n - 1.

    >>> import numpy as np
    >>> scatter_add(np.ones((2, 3)), 1, np.array([[2, 2], [0, 1]]), np.array([[5.0, 6.0], [7.0, 8.0]]))
    array([[ 1.,  1., 12.],
           [ 8.,  9.,  1.]])
    """
    there = _along("scatter_add", x, axis, index, values)
    return add_at(x, _values_of_scatter("scatter_add", x, as_array(index), values), there)


def _index_row(name, x, axis, index):
    """The axis, and the index along it, which must be one row of integers."""
    axis, index = one_axis(name, x, axis), as_array(index)
    if index.ndim != 1:
        raise ShapeError(f"{name}: index must have one axis. " + received(x=x, index=index))
    return axis, _ids(name, index, x.shape[axis], "index")


@op(composed=True, reference=lambda x, axis, index: np.take(x, index, axis), linear=(0,), samples=lambda rng: [
    Sample((normal(rng, 3, 4), 0, np.array([2, 0, 2]))), Sample((strided(rng, 2, 3, 4), -1, np.array([3, 1])), note="strided"),
    Sample((normal(rng, 3, 4), 1, np.zeros(0, int)), note="0-size"), Sample((normal(rng, 0, 4), 1, [1, 0])),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), 1, np.array([0, 3])), {}, IndexError, r"index_select: index\[1\] is 3, outside 0 to 2"),
    ErrorSample((np.ones((2, 3)), 1, np.array([[0]])), {}, ShapeError, r"index_select: index must have one axis.*\(1, 1\)"),
])  # fmt: skip
def index_select(x, /, axis, index):
    """The slices at some places of an axis.   (m, n), integers (k) -> (m, k) for axis 1

    Raises IndexError for an index outside 0 .. n - 1, naming it and its place.

    >>> import numpy as np
    >>> index_select(np.array([[1.0, 2.0], [3.0, 4.0]]), 0, np.array([1, 0, 1]))
    array([[3., 4.],
           [1., 2.],
           [3., 4.]])
    """
    axis, index = _index_row("index_select", x, axis, index)
    return getitem(x, (*before(axis), index))


def _index_add_by_loops(x, axis, index, values, alpha=1):
    out = np.moveaxis(x.copy(), axis, 0)
    for place, value in zip(index, np.moveaxis(values, axis, 0)):
        out[place] += alpha * value
    return np.moveaxis(out, 0, axis)


@op(composed=True, reference=_index_add_by_loops, samples=lambda rng: [
    Sample((normal(rng, 3, 4), 0, np.array([2, 0, 2, 2, 1]), normal(rng, 5, 4)), {"alpha": 0.5}),
    Sample((strided(rng, 2, 3, 4), -1, np.array([3, 1, 3, 3, 0]), strided(rng, 2, 3, 5)), note="strided"),
    Sample((normal(rng, 3, 4), 1, np.zeros(0, int), normal(rng, 3, 0)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), 1, np.array([0, 3]), np.ones((2, 2))), {}, IndexError, r"index_add: index\[1\] is 3, outside 0 to 2"),
    ErrorSample((np.ones((2, 3)), 1, np.array([0, 2]), np.ones((2, 3))), {}, ShapeError, r"index_add: source must have shape \(2, 2\)"),
    ErrorSample((np.ones((2, 3), int), 1, np.array([0]), np.ones((2, 1))), {}, DtypeError, "index_add: floating values .*int64"),
])  # fmt: skip
def index_add(x, axis, index, source, /, alpha=1):
    """x with out[:, index[j]] += alpha source[:, j] for axis 1, and so for every other.   (m, n), integers (k), (m, k) -> (m, n)

    Raises IndexError for an index outside 0 .. n - 1, ShapeError where the source has not one slice per index.

    >>> import numpy as np
    >>> index_add(np.zeros(3), 0, np.array([2, 0, 2]), np.array([1.0, 2.0, 3.0]))
    array([2., 0., 4.])
    """
    axis, index = _index_row("index_add", x, axis, index)
    check_kind("index_add", x, source)
    shape = (*x.shape[:axis], len(index), *x.shape[axis + 1 :])
    if source.shape != shape:
        raise ShapeError(
            f"index_add: source must have shape {shape}, one slice per index. "
            + received(x=x, index=index, source=source)
        )
    return add_at(x, source if alpha == 1 else multiply(source, alpha), (*before(axis), index))


# ------------------------------------------------------------------------------------------------------- by masks


def _mask(name, x, mask):
    """A mask as a boolean array."""
    mask = as_array(mask)
    if mask.dtype != bool:
        raise DtypeError(
            f"{name}: a mask is made of booleans; compare first, for example mask != 0. " + received(x=x, mask=mask)
        )
    return mask


def _masks(rng):
    yield normal(rng, 3, 4), rng.random((3, 4)) < 0.5
    yield strided(rng, 2, 3, 4), np.array([[True], [False], [True]])
    yield normal(rng, 3, 1), rng.random((2, 1, 4)) < 0.5
    yield normal(rng, 0, 3), np.array([True, False, True])


@op(composed=True, reference=lambda x, mask, value: np.where(mask, value, x), samples=lambda rng: [
    Sample((x, mask, value)) for (x, mask), value in zip(_masks(rng), (-1.5, normal(rng, 4), normal(rng), 0))
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones((2, 3)), 0.0), {}, DtypeError, r"masked_fill: a mask is made of booleans.*mask != 0"),
    ErrorSample((np.ones((2, 3)), np.ones(2, bool), 0.0), {}, ShapeError, r"masked_fill: .*do not broadcast.*\(2, 3\).*\(2,\)"),
    ErrorSample((np.ones((2, 3), int), np.ones(3, bool), 0.5), {}, DtypeError, "masked_fill: floating values .*int64"),
])  # fmt: skip
def masked_fill(x, mask, value, /):
    """``value`` where the mask is true, else x, in the dtype of x.   (...), booleans (...), (...) -> (...)

    The value may be a number or a tensor; all three broadcast.

    >>> import numpy as np
    >>> masked_fill(np.array([1.0, 2.0]), np.array([True, False]), -np.inf)
    array([-inf,   2.])
    """
    mask = _mask("masked_fill", x, mask)
    check_kind("masked_fill", x, value)
    try:
        np.broadcast_shapes(x.shape, mask.shape, np.shape(values_of(value)))
    except ValueError:
        raise ShapeError("masked_fill: the shapes do not broadcast. " + received(x=x, mask=mask, value=value)) from None
    if getattr(value, "dtype", x.dtype) != x.dtype:
        value = astype(value, x.dtype)
    return where(mask, value, x)


@op(composed=True, reference=lambda x, mask: x[mask] if x.shape == mask.shape else np.broadcast_to(x, np.broadcast(x, mask).shape)[
    np.broadcast_to(mask, np.broadcast(x, mask).shape)], linear=(0,), samples=lambda rng: [Sample(s) for s in _masks(rng)],
    errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.array([0, 1, 0])), {}, DtypeError, r"masked_select: a mask is made of booleans.*mask != 0"),
    ErrorSample((np.ones((2, 3)), np.ones(2, bool)), {}, ShapeError, r"masked_select: .*do not broadcast.*\(2, 3\).*\(2,\)"),
])  # fmt: skip
def masked_select(x, mask, /):
    """The elements where the mask is true, in a row; both broadcast.   (...), booleans (...) -> (k)

    >>> import numpy as np
    >>> masked_select(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([True, False]))
    array([1., 3.])
    """
    mask = _mask("masked_select", x, mask)
    try:
        shape = np.broadcast_shapes(x.shape, mask.shape)
    except ValueError:
        raise ShapeError("masked_select: the shapes do not broadcast. " + received(x=x, mask=mask)) from None
    return getitem(broadcast_to(x, shape), np.broadcast_to(mask, shape))

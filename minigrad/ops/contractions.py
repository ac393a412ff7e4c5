"""Products that sum over named axes: einsum and, as cases of it, tensordot, inner and dot.

Every product of two tensors is made of what is there already: axes are put in order, then one matrix product (`_product`).
"""

import itertools
import math
import string

import numpy as np

from ..core import op
from ..errors import ShapeError, received
from .axes import axes_of
from .elementwise import multiply
from .linalg import matrix_product
from .reduce import sum
from .samples import ErrorSample, Sample, normal, strided
from .shape import diagonal, permute, reshape

__all__ = [
    "dot", "einsum", "inner", "tensordot",
]  # fmt: skip

# ------------------------------------------------------------- tensors whose axes have names; a name is a letter or a number


def _ordered(x, names, order):
    """The axes of x in the order of ``order``."""
    return x if names == order else permute(x, tuple([names.index(name) for name in order]))


def _summed(x, names, kept):
    """x without the axes that are not in ``kept``: summed over."""
    gone = tuple([i for i, name in enumerate(names) if name not in kept])
    return (sum(x, gone), [name for name in names if name in kept]) if gone else (x, names)


def _shaped(x, *shape):
    return x if x.shape == shape else reshape(x, shape)


def _product(x, x_names, y, y_names, kept):
    """The product of two tensors, summed over all axes that are not in ``kept``, and the names of its axes."""
    x, x_names = _summed(x, x_names, {*y_names, *kept})
    y, y_names = _summed(y, y_names, {*x_names, *kept})
    left = [name for name in x_names if name not in y_names]
    right = [name for name in y_names if name not in x_names]
    batch = [name for name in x_names if name in y_names and name in kept]
    inner = [name for name in x_names if name in y_names and name not in kept]
    length = {**dict(zip(x_names, x.shape)), **dict(zip(y_names, y.shape))}
    if not inner or not (left or right):  # nothing to sum, or matrices of 1 x k and k x 1: element by element
        y = _ordered(y, y_names, [name for name in x_names if name in y_names] + right)
        x = _shaped(x, *x.shape, *[1] * len(right))  # (x's axes, 1..)
        y = _shaped(y, *[length[name] if name in y_names else 1 for name in x_names], *[length[name] for name in right])
        return _summed(multiply(x, y), x_names + right, kept)
    b, m, k, n = [[length[name] for name in group] for group in (batch, left, inner, right)]
    x = _shaped(_ordered(x, x_names, batch + left + inner), *b, math.prod(m), math.prod(k))  # (b.. m.. k..) -> (b.., m, k)
    y = _shaped(_ordered(y, y_names, batch + inner + right), *b, math.prod(k), math.prod(n))  # (b.. k.. n..) -> (b.., k, n)
    return _shaped(matrix_product(x, y), *b, *m, *n), batch + left + right  # (b.., m, n) -> (b.. m.. n..)


def _product_of_all(xs, names, output, optimize=True):
    """The product of tensors, summed over all axes that are not in ``output``, with its axes in that order.

    Two at a time: of all pairs the one whose product takes the fewest multiplications, or always the first two.
    """
    operands = list(zip(xs, names))
    while len(operands) > 1:
        pairs = itertools.combinations(range(len(operands)), 2)
        i, j = min(pairs, key=lambda pair: _multiplications(*[operands[i] for i in pair])) if optimize else (0, 1)
        others = [operand for place, operand in enumerate(operands) if place not in (i, j)]
        kept = {*output, *itertools.chain(*[names for _, names in others])}
        operands = [_product(*operands[i], *operands[j], kept), *others]
    return _ordered(*_summed(*operands[0], output), output)


def _multiplications(first, second):
    lengths = {name: n for x, names in (first, second) for name, n in zip(names, x.shape)}
    return math.prod(lengths.values())


# ----------------------------------------------------------------------------------------------------------- einsum


def _parsed(subscripts, xs):
    """The names of every tensor's axes, and of the output's. Axes under an ellipsis are called -1, -2, ... from the right."""
    call = {"subscripts": subscripts, **{f"operand {i}": x for i, x in enumerate(xs)}}
    text = subscripts.replace(" ", "")
    if strange := set(text.replace("...", "").replace("->", "", 1)) - {*string.ascii_letters, ","}:
        raise ShapeError(f"einsum: {min(strange)!r} has no meaning here; letters, commas, one -> and ... have. " + received(**call))
    text, arrow, result = text.partition("->")
    terms = text.split(",")
    if len(terms) != len(xs):
        raise ShapeError(f"einsum: the subscripts name {len(terms)} tensors, {len(xs)} were given. " + received(**call))
    names = [_named(term, np.ndim(x), f"operand {i}", call) for i, (term, x) in enumerate(zip(terms, xs))]
    found = [*itertools.chain(*names)]
    hidden = -min([name for name in found if isinstance(name, int)], default=0)
    if not arrow:
        return names, [*range(-hidden, 0), *sorted(name for name in found if isinstance(name, str) and found.count(name) == 1)]
    output = _named(result, len(result.replace("...", "")) + (hidden if "..." in result else 0), "the output", call)
    if hidden and "..." not in result:
        raise ShapeError("einsum: the axes under ... are missing in the output; write ... after the arrow too. " + received(**call))
    for name in output:
        if output.count(name) > 1 or name not in found:
            fault = "appears twice" if output.count(name) > 1 else "stands for no axis of a tensor"
            raise ShapeError(f"einsum: the letter {name!r} of the output {fault}. " + received(**call))
    return names, output


def _named(term, ndim, what, call):
    """One name per axis: the letters of a term, and numbers where its ellipsis stands."""
    before, dots, after = term.partition("...")
    hidden = ndim - len(before) - len(after)
    if "." in after or hidden < 0 or (hidden and not dots):
        fault = "more than one ellipsis" if "." in after else f"{len(before) + len(after)} letters for {ndim} axes"
        raise ShapeError(f"einsum: {what} has {fault} in {term!r}. " + received(**call))
    return [*before, *range(-hidden, 0), *after]


def _single(x, names, lengths):
    """x with every name once: of a repeated one the diagonal; and without axes that broadcast, for they have length 1."""
    for name in [each for each in dict.fromkeys(names) for _ in range(names.count(each) - 1)]:
        first = names.index(name)
        second = names.index(name, first + 1)
        x = diagonal(x, 0, first, second)  # (.. n .. n ..) -> (..., n)
        names = [*[other for i, other in enumerate(names) if i not in (first, second)], name]
    kept = [i for i, name in enumerate(names) if x.shape[i] == lengths[name]]
    return _shaped(x, *[x.shape[i] for i in kept]), [names[i] for i in kept]


def _lengths(subscripts, xs, names):
    """The length of every named axis; raises ShapeError where tensors disagree about it."""
    found = {}  # name -> (length, operand)
    for i, (x, axes) in enumerate(zip(xs, names)):
        own = {}
        for name, n in zip(axes, x.shape):
            n_before, before = (own[name], i) if name in own else found.get(name, (n, i))
            if n != n_before and (name in own or 1 not in (n, n_before)):
                what = f"the letter {name!r}" if isinstance(name, str) else f"axis {name} under the ellipsis"
                raise ShapeError(
                    f"einsum: {what} has length {n_before} in operand {before} and {n} in operand {i}. "
                    + received(subscripts=subscripts, **{f"operand {place}": x for place, x in enumerate(xs)})
                )
            own[name] = n
        for name, n in own.items():
            if name not in found or found[name][0] == 1:
                found[name] = n, i
    return {name: n for name, (n, _) in found.items()}


def _contraction_samples(rng):
    yield Sample(([normal(rng, 2, 3), normal(rng, 3, 4)], "ij,jk->ik"))
    yield Sample(([normal(rng, 5, 2, 3), strided(rng, 5, 4, 3)], "bij,bkj"), note="strided batch")
    yield Sample(([normal(rng, 2, 3), normal(rng, 3), normal(rng, 4, 2)], "ij,j,ki->k"), note="three tensors")
    yield Sample(([normal(rng, 3, 2, 3)], "iji->j"), note="square: a diagonal")
    yield Sample(([normal(rng, 2, 1, 3), normal(rng, 4, 3)], "a...c,...c->...a"), note="ellipsis broadcast")
    yield Sample(([normal(rng, 2, 3), normal(rng, 3, 0)], "ij,jk->ki"), note="0-size")


@op(composed=True, reference=lambda xs, subscripts: np.einsum(subscripts, *xs), samples=_contraction_samples, method=False, errors=lambda: [
    ErrorSample(([np.ones((2, 3)), np.ones((4, 5))], "ij,jk->ik"), {}, ShapeError,
                r"einsum: the letter 'j' has length 3 in operand 0 and 4 in operand 1.*'ij,jk->ik', operand 0 \(2, 3\)"),
    ErrorSample(([np.ones((2, 3))], "ii"), {}, ShapeError, r"einsum: the letter 'i' has length 2 in operand 0 and 3 in operand 0"),
    ErrorSample(([np.ones((2, 3)), np.ones((4, 3))], "...a,...a"), {}, ShapeError, r"axis -1 under the ellipsis has length 2 .*and 4"),
    ErrorSample(([np.ones((2, 3))], "ij,jk"), {}, ShapeError, r"einsum: the subscripts name 2 tensors, 1 were given"),
    ErrorSample(([np.ones((2, 3))], "ijk"), {}, ShapeError, r"einsum: operand 0 has 3 letters for 2 axes in 'ijk'"),
    ErrorSample(([np.ones((2, 3))], "i"), {}, ShapeError, r"einsum: operand 0 has 1 letters for 2 axes in 'i'"),
    ErrorSample(([np.ones((2, 3))], "ij->ik"), {}, ShapeError, r"einsum: the letter 'k' of the output stands for no axis"),
    ErrorSample(([np.ones((2, 3))], "ij->ii"), {}, ShapeError, r"einsum: the letter 'i' of the output appears twice"),
    ErrorSample(([np.ones((2, 3))], "...j->j"), {}, ShapeError, r"einsum: the axes under \.\.\. are missing in the output"),
    ErrorSample(([np.ones((2, 3))], "...i..."), {}, ShapeError, r"einsum: operand 0 has more than one ellipsis"),
    ErrorSample(([np.ones((2, 3))], "ij->i->j"), {}, ShapeError, r"einsum: '-' has no meaning here"),
    ErrorSample(([np.ones((2, 3))], "i;"), {}, ShapeError, r"einsum: ';' has no meaning here"),
])  # fmt: skip
def contraction(*xs, subscripts, optimize=True):
    """`einsum` as an op: the tensors first, in a list.   [(i, j), (j, k)] -> (i, k)

    >>> import numpy as np
    >>> contraction([np.ones((2, 3)), np.ones(3)], "ij,j->i")
    array([3., 3.])
    """
    names, output = _parsed(subscripts, xs)
    lengths = _lengths(subscripts, xs, names)
    single = [_single(x, axes, lengths) for x, axes in zip(xs, names)]
    return _product_of_all([x for x, _ in single], [axes for _, axes in single], output, optimize)


def einsum(subscripts, *operands, optimize=True):
    """Products of tensors, summed over the letters that the output does not name (Einstein's notation).   (i, j), (j, k) -> (i, k)

    The subscripts give every axis of every tensor a letter, tensors are separated by commas. One letter twice in a tensor
    is its diagonal; one letter in several tensors is the same axis, where length 1 broadcasts. After ``->`` stand the
    letters of the output; without it, in the order of the alphabet, those that appear once. ``...`` stands for any axes
    in front, in between or behind; they broadcast.
    Several tensors are multiplied two at a time, the cheapest pair first; from left to right with ``optimize=False``.
    Raises ShapeError where a letter would have two lengths, or the subscripts do not fit the tensors.

    >>> import numpy as np
    >>> x, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 10.0])
    >>> einsum("ij,j->i", x, y), einsum("ii", x), einsum("...i->...", x)
    (array([21., 43.]), array(5.), array([3., 7.]))
    """
    if not isinstance(subscripts, str) or not operands:
        call = {f"argument {i}": value for i, value in enumerate((subscripts, *operands))}
        raise TypeError("einsum: takes the subscripts first, then tensors, as in einsum('ij,jk->ik', x, y). " + received(**call))
    return contraction(list(operands), subscripts, optimize)


# ----------------------------------------------------------------------------------------------------- cases of it


def _contracted_axes(x, y, axes):
    """For tensordot: the axes of x and those of y that are summed over together, counted from 0."""
    if isinstance(axes, int | np.integer):
        if not 0 <= axes <= min(np.ndim(x), np.ndim(y)):
            raise ShapeError(f"tensordot: {axes} axes of each tensor cannot be summed over. " + received(x=x, y=y, axes=axes))
        return tuple(range(x.ndim - axes, x.ndim)), tuple(range(axes))
    try:
        first, second = axes
    except (TypeError, ValueError):
        raise ShapeError("tensordot: axes is a number, or a pair: axes of x and axes of y. " + received(x=x, y=y, axes=axes)) from None
    first, second = axes_of("tensordot", x, first), axes_of("tensordot", y, second)
    if len(first) != len(second):
        raise ShapeError(f"tensordot: {len(first)} axes of x and {len(second)} of y do not pair. " + received(x=x, y=y, axes=axes))
    return first, second


def _sum_over_pairs(name, x, y, first, second):
    """The product of x and y, summed over pairs of axes; first x's other axes, then y's."""
    for i, j in zip(first, second):
        if x.shape[i] != y.shape[j]:
            raise ShapeError(
                f"{name}: axis {i} of x has length {x.shape[i]}, axis {j} of y, which goes with it, {y.shape[j]}. " + received(x=x, y=y)
            )
    x_names = list(range(x.ndim))
    y_names = [first[second.index(j)] if j in second else x.ndim + j for j in range(y.ndim)]
    output = [name for name in x_names + y_names if not (name in x_names and name in y_names)]
    return _product_of_all([x, y], [x_names, y_names], output)


def _pairs(rng):
    yield Sample((normal(rng, 3), normal(rng, 3)))
    yield Sample((normal(rng, 2, 3), strided(rng, 3)), note="strided")
    yield Sample((normal(rng, 0, 3), normal(rng, 3)), note="0-size")


@op(composed=True, numpy=np.tensordot, reference=np.tensordot, linear=(0, 1), samples=lambda rng: [
    Sample((normal(rng, 2, 3, 4), normal(rng, 3, 4, 5))), Sample((normal(rng, 2, 3), normal(rng, 4)), {"axes": 0}, note="no axis"),
    Sample((normal(rng, 2, 3, 4), strided(rng, 4, 5, 2), ([0, -1], [2, 0])), note="strided pairs"),
    Sample((normal(rng, 2, 3), normal(rng, 4, 3), (1, 1)), note="one pair"),
    Sample((normal(rng, 2, 0), normal(rng, 0, 3), 1), note="inner axis of length 0"),
], method=False, errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones((4, 5)), 1), {}, ShapeError, r"tensordot: axis 1 of x has length 3, axis 0 of y.* 4.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), np.ones(3), 2), {}, ShapeError, r"tensordot: 2 axes of each tensor.*\(3,\)"),
    ErrorSample((np.ones((2, 3)), np.ones(3), ([0, 1], [0])), {}, ShapeError, r"tensordot: 2 axes of x and 1 of y do not pair"),
    ErrorSample((np.ones((2, 3)), np.ones(3), ([2], [0])), {}, ShapeError, r"tensordot: axis 2 is out of range.*\(2, 3\)"),
    ErrorSample((np.ones((2, 3)), np.ones(3), (0, 1, 2)), {}, ShapeError, r"tensordot: axes is a number, or a pair"),
])  # fmt: skip
def tensordot(x, y, /, axes=2):
    """The product summed over the last ``axes`` axes of x with the first of y, or over a pair of lists of axes.   (m, k), (k, n) -> (m, n)

    >>> import numpy as np
    >>> tensordot(np.ones((2, 3)), np.ones((4, 3)), axes=(1, 1)).shape
    (2, 4)
    """
    return _sum_over_pairs("tensordot", x, y, *_contracted_axes(x, y, axes))


@op(composed=True, numpy=np.inner, reference=np.inner, linear=(0, 1), samples=lambda rng: [
    *_pairs(rng), Sample((normal(rng, 2, 4, 3), normal(rng, 5, 3)), note="rows by rows"), Sample((normal(rng), normal(rng, 3)), note="0-d"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones((3, 2))), {}, ShapeError, r"inner: axis 1 of x has length 3, axis 1 of y.* 2.*\(2, 3\)"),
])  # fmt: skip
def inner(x, y, /):
    """Every row of x with every row of y: the product summed over both last axes.   (..., k), (..., k) -> (..., ...)

    >>> import numpy as np
    >>> inner(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 10.0]))
    array([21., 43.])
    """
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return multiply(x, y)
    return _sum_over_pairs("inner", x, y, (x.ndim - 1,), (y.ndim - 1,))


@op(composed=True, numpy=np.dot, reference=np.dot, linear=(0, 1), samples=lambda rng: [
    *_pairs(rng), Sample((normal(rng, 2, 3), normal(rng, 3, 4))), Sample((normal(rng, 2, 3), normal(rng, 4, 3, 5)), note="more axes"),
    Sample((normal(rng), normal(rng, 3)), note="0-d"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones((2, 3))), {}, ShapeError, r"dot: axis 1 of x has length 3, axis 0 of y.* 2.*\(2, 3\)"),
])  # fmt: skip
def dot(x, y, /):
    """NumPy's dot: the product summed over the last axis of x and the last but one of y.   (m, k), (k, n) -> (m, n)

    Of two vectors the sum of products, with a number the plain product. With more axes nothing broadcasts, every
    matrix meets every other; `matmul` is the one that broadcasts.

    >>> import numpy as np
    >>> dot(np.array([1.0, 2.0]), np.array([3.0, 4.0])), dot(np.ones((2, 3, 4)), np.ones((5, 4, 6))).shape
    (array(11.), (2, 3, 5, 6))
    """
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return multiply(x, y)
    return _sum_over_pairs("dot", x, y, (x.ndim - 1,), (max(0, y.ndim - 2),))

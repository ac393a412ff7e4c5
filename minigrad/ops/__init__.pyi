"""All ops as functions. Written by python -m minigrad stubs; changes belong into the ops."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..tensor import Tensor
from . import axes as axes, broadcasting as broadcasting, elementwise as elementwise, fused as fused, indexing as indexing, linalg as linalg, reduce as reduce, samples as samples, scan as scan, shape as shape, sorting as sorting

__all__ = [
    "broadcast_to", "abs", "add", "astype", "cos", "divide", "equal", "erf", "exp", "greater", "greater_equal", "less",
    "less_equal", "log", "maximum", "minimum", "multiply", "negative", "not_equal", "power", "relu", "sigmoid", "sign",
    "sin", "sqrt", "square", "subtract", "tanh", "where", "cross_entropy", "dropout", "embedding", "gelu", "layer_norm",
    "log_softmax", "scaled_dot_product_attention", "softmax", "addmm", "bmm", "cross", "kron", "linear", "matmul", "mv",
    "outer", "trace", "vdot", "vecdot", "all", "any", "argmax", "argmin", "count_nonzero", "logsumexp", "max", "mean",
    "median", "min", "nanmean", "nansum", "prod", "std", "sum", "var", "var_mean", "cumprod", "cumsum", "logcumsumexp",
    "concatenate", "expand_dims", "permute", "reshape", "squeeze", "stack", "swapaxes", "argsort", "nonzero",
    "searchsorted", "sort", "topk", "unique",
]

TensorLike = Tensor | npt.NDArray[Any] | np.generic | float | Sequence[Any]
Axes = int | Sequence[int] | None
Shape = int | Sequence[int]

def broadcast_to(x: TensorLike, shape: Shape = ..., *, sizes: Shape = ...) -> Tensor:
    """Repeat axes of length 1, and new ones in front, until the shape is ``shape``.   (...) -> shape

    Raises ShapeError where an axis of another length than 1 would have to be repeated.
    """

def sum_to(x: TensorLike, shape: Shape = ..., *, sizes: Shape = ...) -> Tensor:
    """Add up the axes along which ``shape`` was broadcast: the adjoint of broadcast_to.   (...) -> shape"""

def abs(x: TensorLike) -> Tensor:
    """Absolute value.   (...) -> (...)"""

def add(x: TensorLike, y: TensorLike) -> Tensor:
    """x + y.   (...), (...) -> (...)"""

def astype(x: TensorLike, dtype: npt.DTypeLike) -> Tensor:
    """The same values in another dtype.   (...) -> (...)

    Raises DtypeError for what is not the name of a dtype.
    """

def cos(x: TensorLike) -> Tensor:
    """Cosine; x in radians.   (...) -> (...)"""

def divide(x: TensorLike, y: TensorLike) -> Tensor:
    """x / y, floating also for integers.   (...), (...) -> (...)"""

def equal(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x == y, element by element.   (...), (...) -> (...) boolean"""

def erf(x: TensorLike) -> Tensor:
    """Error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.   (...) -> (...)"""

def exp(x: TensorLike) -> Tensor:
    """e to the power x.   (...) -> (...)"""

def greater(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x > y, element by element.   (...), (...) -> (...) boolean"""

def greater_equal(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x >= y, element by element.   (...), (...) -> (...) boolean"""

def less(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x < y, element by element.   (...), (...) -> (...) boolean"""

def less_equal(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x <= y, element by element.   (...), (...) -> (...) boolean"""

def log(x: TensorLike) -> Tensor:
    """Natural logarithm.   (...) -> (...)"""

def maximum(x: TensorLike, y: TensorLike) -> Tensor:
    """The greater of two, element by element.   (...), (...) -> (...)"""

def minimum(x: TensorLike, y: TensorLike) -> Tensor:
    """The smaller of two, element by element.   (...), (...) -> (...)"""

def multiply(x: TensorLike, y: TensorLike) -> Tensor:
    """x * y.   (...), (...) -> (...)"""

def negative(x: TensorLike) -> Tensor:
    """-x.   (...) -> (...)"""

def not_equal(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x != y, element by element.   (...), (...) -> (...) boolean"""

def power(x: TensorLike, y: TensorLike) -> Tensor:
    """x to the power y.   (...), (...) -> (...)"""

def relu(x: TensorLike) -> Tensor:
    """max(x, 0).   (...) -> (...)"""

def sigmoid(x: TensorLike) -> Tensor:
    """1 / (1 + exp(-x)), without overflow.   (...) -> (...)"""

def sign(x: TensorLike) -> Tensor:
    """-1, 0 or 1.   (...) -> (...)"""

def sin(x: TensorLike) -> Tensor:
    """Sine; x in radians.   (...) -> (...)"""

def sqrt(x: TensorLike) -> Tensor:
    """Square root.   (...) -> (...)"""

def square(x: TensorLike) -> Tensor:
    """x * x.   (...) -> (...)"""

def subtract(x: TensorLike, y: TensorLike) -> Tensor:
    """x - y.   (...), (...) -> (...)"""

def tanh(x: TensorLike) -> Tensor:
    """Hyperbolic tangent.   (...) -> (...)"""

def where(condition: TensorLike, x: TensorLike, y: TensorLike) -> Tensor:
    """x where the condition holds, else y.   (...), (...), (...) -> (...)"""

def cross_entropy(logits: TensorLike, targets: TensorLike, reduction: str = 'mean') -> Tensor:
    """Minus the logarithm of the probability that softmax(logits) gives the target.   (..., V), (...) -> ()

    loss = logsumexp(logits) - logits[target], in nats; ``reduction`` "mean", "sum" or "none" (one loss per target).
    Raises IndexError for a target outside 0 .. V - 1, ShapeError where the shapes do not fit.
    """

def dropout(x: TensorLike, rate: Any, seed: Any, offset: int = 0) -> Tensor:
    """Each element kept with probability 1 - rate and divided by it, or else 0.   (...) -> (...)

    The choice for element i is a hash of (seed, offset + i): the same in forward, backward and recomputation (Srivastava
    et al. 2014). Raises ValueError for a rate outside 0 <= rate < 1.
    """

def embedding(table: TensorLike, ids: TensorLike) -> Tensor:
    """The rows of a table, one per id: one-hot(ids) times the table.   (V, E), integers (...) -> (..., E)

    Raises IndexError for an id outside 0 .. V - 1, naming it and its place.
    """

def gelu(x: TensorLike, approximate: str = 'none') -> Tensor:
    """Gaussian error linear unit, x times the probability that a standard normal is below x.   (...) -> (...)

    "none": x/2 (1 + erf(x / sqrt(2))); "tanh": x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) (Hendrycks and Gimpel 2016).
    """

def layer_norm(x: TensorLike, gamma: TensorLike | None = None, beta: TensorLike | None = None, eps: float = 1e-05) -> Tensor:
    """Every row shifted to mean 0, scaled to variance 1, then gamma * row + beta.   (..., E), (E), (E) -> (..., E)

    gamma * (x - mean) / sqrt(var + eps) + beta, mean and variance over the features of one row (Ba et al. 2016).
    Raises ShapeError where gamma or beta is not of length E.
    """

def log_softmax(x: TensorLike, axis: int = -1, *, dim: int = ..., dimension: int = ...) -> Tensor:
    """x - log(sum(exp(x))) along an axis: the logarithm of softmax, without overflow.   (..., n) -> (..., n)"""

def scaled_dot_product_attention(q: TensorLike, k: TensorLike, v: TensorLike, mask: TensorLike | None = None, is_causal: bool = False, scale: Any = None) -> Tensor:
    """softmax(q kT * scale) v: every question takes the mean of the values, weighted by how well the keys answer it.

    (B, h, T, dq), (B, h, S, dq), (B, h, S, dv) -> (B, h, T, dv); the questions are in the rows of the scores, the keys in the columns,
    and every row of weights adds up to 1. ``mask``, boolean and broadcastable to (B, h, T, S), is True where a question may
    attend to a key; ``is_causal`` forbids keys s > t. Forbidden scores are -infinity before the softmax, so their weight is
    exactly 0; a question that may attend to nothing gets zeros. ``scale`` defaults to 1 / sqrt(dq) (Vaswani et al. 2017).
    """

def softmax(x: TensorLike, where: TensorLike | None = None, axis: int = -1, *, dim: int = ..., dimension: int = ...) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis; what ``where`` forbids counts as -infinity and gets exactly 0.   (..., n) -> (..., n)

    Every row adds up to 1. A row in which nothing is allowed is all zeros; a row of -infinity without ``where`` is NaN.
    """

def check_ids(name: Any, ids: Any, count: Any, what: Any, negative: bool = False) -> Tensor:
    """Ids as int64; raises naming the first one outside 0 .. count - 1, or with ``negative`` -count .. count - 1, and its place."""

def getitem(x: TensorLike, index: Any) -> Tensor:
    """x[index], in all of NumPy's forms.   (...) -> (...)

    Raises IndexError where x has no such place; of an array of integers the first one is named, and where it stands.
    """

def plain_index(index: Any) -> Tensor:
    """An index with the Tensors in it replaced by their arrays."""

def putitem(g: TensorLike, index: Any, shape: Shape = ..., *, sizes: Shape = ...) -> Tensor:
    """Zeros of ``shape`` with ``g`` added at ``index``: the adjoint of getitem.   (...) -> shape"""

def addmm(b: TensorLike, x: TensorLike, y: TensorLike, beta: int = 1, alpha: int = 1) -> Tensor:
    """beta b + alpha (x y), where b broadcasts to the product; with beta 0 it is not looked at.   (m, n), (m, k), (k, n) -> (m, n)"""

def bmm(x: TensorLike, y: TensorLike) -> Tensor:
    """Product of two batches of matrices, pair by pair; nothing broadcasts.   (b, m, k), (b, k, n) -> (b, m, n)"""

def cross(x: TensorLike, y: TensorLike, axis: int = -1, *, dim: int = ..., dimension: int = ...) -> Tensor:
    """Vector product of vectors with three elements along an axis; the other axes broadcast.   (..., 3), (..., 3) -> (..., 3)"""

def kron(x: TensorLike, y: TensorLike) -> Tensor:
    """Kronecker product: a copy of y, multiplied, for every element of x.   (m, n), (p, q) -> (m p, n q)"""

def linear(x: TensorLike, w: TensorLike, b: TensorLike | None = None) -> Tensor:
    """x w + b for every row of x.   (..., k), (k, n), (n) -> (..., n)

    The matrix is stored as Keras stores it, input features in the rows; PyTorch's ``weight`` is its transpose.
    Raises ShapeError where the features do not fit the matrix or the bias.
    """

def matmul(x: TensorLike, y: TensorLike) -> Tensor:
    """Matrix product as NumPy's: vectors are rows on the left, columns on the right.   (..., m, k), (..., k, n) -> (..., m, n)

    Raises ShapeError where the inner axes differ.
    """

def mv(x: TensorLike, y: TensorLike) -> Tensor:
    """A matrix times a vector.   (m, k), (k) -> (m)"""

def outer(x: TensorLike, y: TensorLike) -> Tensor:
    """Every element of x times every element of y, both in a row.   (m), (n) -> (m, n)"""

def trace(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1, *, dim1: int = ..., dim2: int = ...) -> Tensor:
    """Sum of the diagonal of two axes; ``offset`` counts diagonals to the right of the main one.   (.. n .. n ..) -> (...)"""

def vdot(x: TensorLike, y: TensorLike) -> Tensor:
    """Sum of the products of all elements, each tensor in a row.   (n), (n) -> ()"""

def vecdot(x: TensorLike, y: TensorLike, axis: int = -1, *, dim: int = ..., dimension: int = ...) -> Tensor:
    """Sum of the products of the elements along an axis; the other axes broadcast.   (..., n), (..., n) -> (...)"""

def matrix_product(x: TensorLike, y: TensorLike) -> Tensor:
    """Matrix product over the last two axes; the axes before broadcast.   (..., m, k), (..., k, n) -> (..., m, n)"""

def all(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Whether every element is true, that is not 0, over axes.   (...) -> (... without axis)"""

def any(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Whether at least one element is true, that is not 0, over axes.   (...) -> (... without axis)"""

def argmax(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Place of the largest value, the first one of several.   (...) -> (... without axis) int64

    Without an axis the place in the row of all elements.
    Raises ShapeError where there are no elements.
    """

def argmin(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Place of the smallest value, the first one of several.   (...) -> (... without axis) int64

    Without an axis the place in the row of all elements.
    Raises ShapeError where there are no elements.
    """

def count_nonzero(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """How many elements are not 0 over axes.   (...) -> (... without axis)"""

def logsumexp(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """log(sum(exp(x))) over axes, without overflow; -infinity over nothing.   (...) -> (... without axis)"""

def max(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """The largest value over axes.   (...) -> (... without axis)

    Raises ShapeError where there are no elements.
    """

def mean(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Mean over axes, floating also for integers.   (...) -> (... without axis)

    Raises ShapeError for the mean of no elements.
    """

def median(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """The value in the middle over axes, the mean of the two in the middle of an even number.   (...) -> (... without axis)

    Raises ShapeError where there are no elements.
    """

def min(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """The smallest value over axes.   (...) -> (... without axis)

    Raises ShapeError where there are no elements.
    """

def nanmean(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Mean over axes of what is not NaN; NaN, with the gradient 0, where all are.   (...) -> (... without axis)

    Raises ShapeError for the mean of no elements.
    """

def nansum(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Sum over axes with NaN as 0; a NaN gets the gradient 0.   (...) -> (... without axis)"""

def prod(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Product over axes, 1 over nothing; zeros have the right gradient too.   (...) -> (... without axis)"""

def std(x: TensorLike, axis: Axes = None, keepdims: bool = False, correction: int = 0, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ..., ddof: int = ...) -> Tensor:
    """Standard deviation over axes: the square root of the variance.   (...) -> (... without axis)

    ``ddof`` is NumPy's name for ``correction``. Raises ShapeError where n is not more than the correction.
    """

def sum(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Sum over axes; 0 over nothing.   (...) -> (... without axis)"""

def var(x: TensorLike, axis: Axes = None, keepdims: bool = False, correction: int = 0, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ..., ddof: int = ...) -> Tensor:
    """Variance over axes: mean of (x - mean(x))^2, with n - ``correction`` as the divisor.   (...) -> (... without axis)

    ``ddof`` is NumPy's name for ``correction``. Raises ShapeError where n is not more than the correction.
    """

def var_mean(x: TensorLike, axis: Axes = None, keepdims: bool = False, correction: int = 0, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ..., ddof: int = ...) -> tuple[Tensor, Tensor]:
    """Variance and mean over axes at once, a tuple.   (...) -> (... without axis), (... without axis)"""

def cumprod(x: TensorLike, axis: Axes = None, *, dim: Axes = ..., dimension: Axes = ...) -> Tensor:
    """Product of all elements up to each one; zeros have the right gradient too.   (...) -> (...), without an axis (...) -> (size)"""

def cumsum(x: TensorLike, axis: Axes = None, *, dim: Axes = ..., dimension: Axes = ...) -> Tensor:
    """Sum of all elements up to each one.   (...) -> (...), without an axis (...) -> (size)"""

def logcumsumexp(x: TensorLike, axis: Axes = None, *, dim: Axes = ..., dimension: Axes = ...) -> Tensor:
    """log(sum(exp(x))) of all elements up to each one, without overflow.   (...) -> (...), without an axis (...) -> (size)"""

def concatenate(xs: Sequence[TensorLike], axis: int = 0, *, dim: int = ..., dimension: int = ...) -> Tensor:
    """Tensors one after the other along an axis.   [(a, n), (b, n)] -> (a + b, n)"""

def expand_dims(x: TensorLike, axis: Axes = ..., *, dim: Axes = ..., dimension: Axes = ...) -> Tensor:
    """A new axis of length 1 at ``axis``.   (m, n) -> (m, 1, n)"""

def permute(x: TensorLike, axes: Axes = None, *, dims: Axes = ...) -> Tensor:
    """The axes in another order; None reverses them.   (d0, d1, ...) -> (d[axes[0]], d[axes[1]], ...)"""

def reshape(x: TensorLike, shape: Shape = ..., *, sizes: Shape = ...) -> Tensor:
    """The same elements, row after row, in another shape; one length may be -1.   (...) -> shape"""

def squeeze(x: TensorLike, axis: Axes = None, *, dim: Axes = ..., dimension: Axes = ...) -> Tensor:
    """Axes of length 1 removed.   (m, 1, n) -> (m, n)"""

def stack(xs: Any, axis: int = 0) -> Tensor:
    """Tensors of one shape side by side along a new axis.   [(n), (n), (n)] -> (3, n)

    Raises ShapeError where the shapes differ.
    """

def swapaxes(x: TensorLike, axis1: Any = ..., axis2: Any = ..., *, dim1: Any = ..., dim2: Any = ...) -> Tensor:
    """Two axes exchanged.   (.. m .. n ..) -> (.. n .. m ..)"""

def argsort(x: TensorLike, axis: int = -1, descending: bool = False, *, dim: int = ..., dimension: int = ...) -> Tensor:
    """Places of the elements in order; equal ones keep theirs. None takes all in a row.   (.. n ..) -> (.. n ..) int64"""

def nonzero(x: TensorLike) -> tuple[Tensor, ...]:
    """Places of the elements that are not 0: one array of numbers for each axis.   (...) -> (count) int64, ..."""

def searchsorted(x: TensorLike, y: TensorLike, side: str = 'left') -> Tensor:
    """Where each of y would have to be put into x, which is in rising order, to keep the order.   (n), (...) -> (...) int64

    Before equal elements with the side "left", after them with "right". That x is in order is not checked.
    """

def sort(x: TensorLike, axis: int = -1, descending: bool = False, *, dim: int = ..., dimension: int = ...) -> tuple[Tensor, Tensor]:
    """The elements in order, and their places: a tuple, as PyTorch gives it.   (.. n ..) -> (.. n ..), (.. n ..) int64

    Equal elements keep their order. None takes all in a row. ``np.sort`` of a tensor gives the values alone.
    """

def topk(x: TensorLike, k: Any = ..., axis: int = -1, largest: bool = True, *, diagonal: Any = ..., dim: int = ..., dimension: int = ...) -> tuple[Tensor, Tensor]:
    """The k largest elements in falling order and their places, or the k smallest rising.   (.. n ..) -> (.. k ..), (.. k ..) int64

    Of equal elements the first ones are taken. Raises ShapeError where there are not k elements.
    """

def unique(x: TensorLike, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False, axis: Axes = None, *, dim: Axes = ..., dimension: Axes = ...) -> Any:
    """The different values in rising order.   (...) -> (count), or a tuple that begins with it

    On demand followed by where each comes first, which of them each element is, and how often each occurs. With an axis
    the different slices along it.
    """

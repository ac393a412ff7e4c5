"""The Tensor people use, with all its methods. Written by python -m minigrad stubs; changes belong into the ops."""

import builtins
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Tensor"]

TensorLike = Tensor | npt.NDArray[Any] | np.generic | float | Sequence[Any]
Axes = int | Sequence[int] | None
Shape = int | Sequence[int]

class Tensor:
    """An array whose operations are recorded, so that gradients can flow back through them.   (...) -> (...)

    ``Tensor(data, requires_grad=False, dtype=None)`` copies ``data``. Python floats become the default dtype
    (float32), arrays keep theirs. Tensors are immutable; `assign` changes a leaf.
    """
    grad: Tensor | None

    def __init__(self, data: Any, requires_grad: bool = False, dtype: npt.DTypeLike | None = None) -> None:
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""

    @property
    def ndim(self) -> int:
        """Number of axes."""

    @property
    def size(self) -> int:
        """Number of elements."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type, a NumPy dtype."""

    @property
    def is_leaf(self) -> bool:
        """True where no recorded op made this tensor."""

    @property
    def grad_fn(self) -> Any:
        """The node that made this tensor, None for a leaf."""

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor. Only a floating leaf can be switched."""
    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None: ...

    def requires_grad_(self, flag: bool = True) -> Tensor:
        """Switch `requires_grad` of a leaf, and return the tensor itself."""

    def numpy(self) -> npt.NDArray[Any]:
        """The values as a read-only array that shares memory; it never changes afterwards."""

    def item(self) -> Any:
        """The one value of a tensor of size 1, as a Python number."""

    def detach(self) -> Tensor:
        """The same values as a constant: no gradient flows through it."""

    def assign(self, value: Any) -> Tensor:
        """Give a leaf new values of the same shape; the one way to change one. Its dtype stays.

        Raises GradientError on the result of an op, ShapeError on another shape.
        """

    def retain_grad(self) -> None:
        """Keep the gradient of this inner tensor in ``.grad`` at the next backward, as its hooks leave it."""

    def register_hook(self, hook: Callable[[Tensor], Any]) -> Any:
        """Call ``hook(gradient)`` in every walk when the whole gradient of this tensor has arrived; a Tensor it returns replaces it.

        Hooks run in the order of registration, each on what the one before it left; `retain_grad`, ``.grad`` and `grad()` see
        the last. With ``create_graph`` the replacement is recorded, so that higher derivatives are those of what the hook
        did. Returns a handle with ``remove()``; as a context manager it removes at the end. A hook that holds its own tensor
        keeps it alive in a cycle until it is removed, or until the graph is freed.
        Raises GradientError where no gradient flows; at the walk, GradientError for a replacement that is no Tensor,
        ShapeError and DtypeError for another shape or dtype.
        """

    def backward(self, gradient: TensorLike | None = None, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Add the gradient of this tensor with respect to every leaf to the leaf's ``.grad``.

        ``gradient`` weighs the elements; a tensor of size 1 needs none. The graph is freed unless ``retain_graph``.
        With ``create_graph`` the gradients have a graph of their own, held by ``.grad``: a reference cycle until
        ``.grad`` is cleared; `grad()` returns them instead and makes none.
        Raises GradientError where no gradient can flow, ShapeError where ``gradient`` has another shape.
        """

    def __add__(self, y: TensorLike) -> Tensor:
        """x + y.   (...), (...) -> (...)"""

    def __radd__(self, x: TensorLike) -> Tensor:
        ...

    def __sub__(self, y: TensorLike) -> Tensor:
        """x - y.   (...), (...) -> (...)"""

    def __rsub__(self, x: TensorLike) -> Tensor:
        ...

    def __mul__(self, y: TensorLike) -> Tensor:
        """x * y.   (...), (...) -> (...)"""

    def __rmul__(self, x: TensorLike) -> Tensor:
        ...

    def __truediv__(self, y: TensorLike) -> Tensor:
        """x / y, floating also for integers.   (...), (...) -> (...)"""

    def __rtruediv__(self, x: TensorLike) -> Tensor:
        ...

    def __pow__(self, y: TensorLike) -> Tensor:
        """x to the power y.   (...), (...) -> (...)"""

    def __rpow__(self, x: TensorLike) -> Tensor:
        ...

    def __matmul__(self, y: TensorLike) -> Tensor:
        """Matrix product as NumPy's: vectors are rows on the left, columns on the right.   (..., m, k), (..., k, n) -> (..., m, n)

        Raises ShapeError where the inner axes differ.
        """

    def __rmatmul__(self, x: TensorLike) -> Tensor:
        ...

    def __iadd__(self, y: TensorLike) -> Tensor:
        ...

    def __isub__(self, y: TensorLike) -> Tensor:
        ...

    def __imul__(self, y: TensorLike) -> Tensor:
        ...

    def __itruediv__(self, y: TensorLike) -> Tensor:
        ...

    def __neg__(self) -> Tensor:
        """-x.   (...) -> (...)"""

    def __pos__(self) -> Tensor:
        ...

    def __abs__(self) -> Tensor:
        """Absolute value.   (...) -> (...)"""

    def __lt__(self, y: TensorLike) -> Tensor:
        """Whether x < y, element by element.   (...), (...) -> (...) boolean"""

    def __le__(self, y: TensorLike) -> Tensor:
        """Whether x <= y, element by element.   (...), (...) -> (...) boolean"""

    def __gt__(self, y: TensorLike) -> Tensor:
        """Whether x > y, element by element.   (...), (...) -> (...) boolean"""

    def __ge__(self, y: TensorLike) -> Tensor:
        """Whether x >= y, element by element.   (...), (...) -> (...) boolean"""

    def __eq__(self, y: TensorLike) -> Tensor:  # type: ignore[override]
        """Whether x == y, element by element.   (...), (...) -> (...) boolean"""

    def __ne__(self, y: TensorLike) -> Tensor:  # type: ignore[override]
        """Whether x != y, element by element.   (...), (...) -> (...) boolean"""

    def __getitem__(self, index: Any) -> Tensor:
        ...

    def __setitem__(self, index: Any, value: Any) -> None:
        ...

    def __iter__(self) -> Iterator[Tensor]:
        ...

    def __len__(self) -> int:
        ...

    def __bool__(self) -> bool:
        ...

    def __repr__(self) -> str:
        ...

    def __float__(self) -> builtins.float:
        ...

    def __round__(self, digits: Any = None) -> builtins.float:
        ...

    def __format__(self, spec: Any) -> str:
        ...

    def __int__(self) -> int:
        ...

    def __index__(self) -> int:
        ...

    def __reduce__(self) -> Any:
        ...

    def __deepcopy__(self, memo: Any) -> Tensor:
        ...

    def broadcast_to(self, shape: Shape = ..., *, sizes: Shape = ...) -> Tensor:
        """Repeat axes of length 1, and new ones in front, until the shape is ``shape``.   (...) -> shape

        Raises ShapeError where an axis of another length than 1 would have to be repeated.
        """

    def add(self, y: TensorLike) -> Tensor:
        """x + y.   (...), (...) -> (...)"""

    def subtract(self, y: TensorLike) -> Tensor:
        """x - y.   (...), (...) -> (...)"""

    def multiply(self, y: TensorLike) -> Tensor:
        """x * y.   (...), (...) -> (...)"""

    def divide(self, y: TensorLike) -> Tensor:
        """x / y, floating also for integers.   (...), (...) -> (...)"""

    def power(self, y: TensorLike) -> Tensor:
        """x to the power y.   (...), (...) -> (...)"""

    def negative(self) -> Tensor:
        """-x.   (...) -> (...)"""

    def square(self) -> Tensor:
        """x * x.   (...) -> (...)"""

    def sqrt(self) -> Tensor:
        """Square root.   (...) -> (...)"""

    def abs(self) -> Tensor:
        """Absolute value.   (...) -> (...)"""

    def sign(self) -> Tensor:
        """-1, 0 or 1.   (...) -> (...)"""

    def exp(self) -> Tensor:
        """e to the power x.   (...) -> (...)"""

    def log(self) -> Tensor:
        """Natural logarithm.   (...) -> (...)"""

    def sin(self) -> Tensor:
        """Sine; x in radians.   (...) -> (...)"""

    def cos(self) -> Tensor:
        """Cosine; x in radians.   (...) -> (...)"""

    def tanh(self) -> Tensor:
        """Hyperbolic tangent.   (...) -> (...)"""

    def sigmoid(self) -> Tensor:
        """1 / (1 + exp(-x)), without overflow.   (...) -> (...)"""

    def erf(self) -> Tensor:
        """Error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.   (...) -> (...)"""

    def relu(self) -> Tensor:
        """max(x, 0).   (...) -> (...)"""

    def maximum(self, y: TensorLike) -> Tensor:
        """The greater of two, element by element.   (...), (...) -> (...)"""

    def minimum(self, y: TensorLike) -> Tensor:
        """The smaller of two, element by element.   (...), (...) -> (...)"""

    def greater(self, y: TensorLike) -> Tensor:
        """Whether x > y, element by element.   (...), (...) -> (...) boolean"""

    def greater_equal(self, y: TensorLike) -> Tensor:
        """Whether x >= y, element by element.   (...), (...) -> (...) boolean"""

    def less(self, y: TensorLike) -> Tensor:
        """Whether x < y, element by element.   (...), (...) -> (...) boolean"""

    def less_equal(self, y: TensorLike) -> Tensor:
        """Whether x <= y, element by element.   (...), (...) -> (...) boolean"""

    def equal(self, y: TensorLike) -> Tensor:
        """Whether x == y, element by element.   (...), (...) -> (...) boolean"""

    def not_equal(self, y: TensorLike) -> Tensor:
        """Whether x != y, element by element.   (...), (...) -> (...) boolean"""

    def astype(self, dtype: npt.DTypeLike) -> Tensor:
        ...

    def reshape(self, *shape: Shape) -> Tensor:
        ...

    def swapaxes(self, axis1: Any = ..., axis2: Any = ..., *, dim1: Any = ..., dim2: Any = ...) -> Tensor:
        """Two axes exchanged.   (.. m .. n ..) -> (.. n .. m ..)"""

    def expand_dims(self, axis: Axes = ..., *, dim: Axes = ..., dimension: Axes = ...) -> Tensor:
        """A new axis of length 1 at ``axis``.   (m, n) -> (m, 1, n)"""

    def squeeze(self, axis: Axes = None, *, dim: Axes = ..., dimension: Axes = ...) -> Tensor:
        """Axes of length 1 removed.   (m, 1, n) -> (m, n)"""

    def cumsum(self, axis: Axes = None, *, dim: Axes = ..., dimension: Axes = ...) -> Tensor:
        """Sum of all elements up to each one.   (...) -> (...), without an axis (...) -> (size)"""

    def cumprod(self, axis: Axes = None, *, dim: Axes = ..., dimension: Axes = ...) -> Tensor:
        """Product of all elements up to each one; zeros have the right gradient too.   (...) -> (...), without an axis (...) -> (size)"""

    def logcumsumexp(self, axis: Axes = None, *, dim: Axes = ..., dimension: Axes = ...) -> Tensor:
        """log(sum(exp(x))) of all elements up to each one, without overflow.   (...) -> (...), without an axis (...) -> (size)"""

    def sum(self, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
        """Sum over axes; 0 over nothing.   (...) -> (... without axis)"""

    def mean(self, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
        """Mean over axes, floating also for integers.   (...) -> (... without axis)

        Raises ShapeError for the mean of no elements.
        """

    def nansum(self, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
        """Sum over axes with NaN as 0; a NaN gets the gradient 0.   (...) -> (... without axis)"""

    def nanmean(self, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
        """Mean over axes of what is not NaN; NaN, with the gradient 0, where all are.   (...) -> (... without axis)

        Raises ShapeError for the mean of no elements.
        """

    def prod(self, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
        """Product over axes, 1 over nothing; zeros have the right gradient too.   (...) -> (... without axis)"""

    def max(self, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
        """The largest value over axes.   (...) -> (... without axis)

        Raises ShapeError where there are no elements.
        """

    def min(self, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
        """The smallest value over axes.   (...) -> (... without axis)

        Raises ShapeError where there are no elements.
        """

    def argmax(self, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
        """Place of the largest value, the first one of several.   (...) -> (... without axis) int64

        Without an axis the place in the row of all elements.
        Raises ShapeError where there are no elements.
        """

    def argmin(self, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
        """Place of the smallest value, the first one of several.   (...) -> (... without axis) int64

        Without an axis the place in the row of all elements.
        Raises ShapeError where there are no elements.
        """

    def median(self, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
        """The value in the middle over axes, the mean of the two in the middle of an even number.   (...) -> (... without axis)

        Raises ShapeError where there are no elements.
        """

    def var(self, axis: Axes = None, keepdims: bool = False, correction: int = 0, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ..., ddof: int = ...) -> Tensor:
        """Variance over axes: mean of (x - mean(x))^2, with n - ``correction`` as the divisor.   (...) -> (... without axis)

        ``ddof`` is NumPy's name for ``correction``. Raises ShapeError where n is not more than the correction.
        """

    def std(self, axis: Axes = None, keepdims: bool = False, correction: int = 0, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ..., ddof: int = ...) -> Tensor:
        """Standard deviation over axes: the square root of the variance.   (...) -> (... without axis)

        ``ddof`` is NumPy's name for ``correction``. Raises ShapeError where n is not more than the correction.
        """

    def var_mean(self, axis: Axes = None, keepdims: bool = False, correction: int = 0, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ..., ddof: int = ...) -> tuple[Tensor, Tensor]:
        """Variance and mean over axes at once, a tuple.   (...) -> (... without axis), (... without axis)"""

    def logsumexp(self, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
        """log(sum(exp(x))) over axes, without overflow; -infinity over nothing.   (...) -> (... without axis)"""

    def all(self, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
        """Whether every element is true, that is not 0, over axes.   (...) -> (... without axis)"""

    def any(self, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
        """Whether at least one element is true, that is not 0, over axes.   (...) -> (... without axis)"""

    def count_nonzero(self, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
        """How many elements are not 0 over axes.   (...) -> (... without axis)"""

    def matmul(self, y: TensorLike) -> Tensor:
        """Matrix product as NumPy's: vectors are rows on the left, columns on the right.   (..., m, k), (..., k, n) -> (..., m, n)

        Raises ShapeError where the inner axes differ.
        """

    def bmm(self, y: TensorLike) -> Tensor:
        """Product of two batches of matrices, pair by pair; nothing broadcasts.   (b, m, k), (b, k, n) -> (b, m, n)"""

    def mv(self, y: TensorLike) -> Tensor:
        """A matrix times a vector.   (m, k), (k) -> (m)"""

    def addmm(self, x: TensorLike, y: TensorLike, beta: int = 1, alpha: int = 1) -> Tensor:
        """beta b + alpha (x y), where b broadcasts to the product; with beta 0 it is not looked at.   (m, n), (m, k), (k, n) -> (m, n)"""

    def vecdot(self, y: TensorLike, axis: int = -1, *, dim: int = ..., dimension: int = ...) -> Tensor:
        """Sum of the products of the elements along an axis; the other axes broadcast.   (..., n), (..., n) -> (...)"""

    def vdot(self, y: TensorLike) -> Tensor:
        """Sum of the products of all elements, each tensor in a row.   (n), (n) -> ()"""

    def cross(self, y: TensorLike, axis: int = -1, *, dim: int = ..., dimension: int = ...) -> Tensor:
        """Vector product of vectors with three elements along an axis; the other axes broadcast.   (..., 3), (..., 3) -> (..., 3)"""

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1, *, dim1: int = ..., dim2: int = ...) -> Tensor:
        """Sum of the diagonal of two axes; ``offset`` counts diagonals to the right of the main one.   (.. n .. n ..) -> (...)"""

    def softmax(self, where: TensorLike | None = None, axis: int = -1, *, dim: int = ..., dimension: int = ...) -> Tensor:
        """exp(x) / sum(exp(x)) along an axis; what ``where`` forbids counts as -infinity and gets exactly 0.   (..., n) -> (..., n)

        Every row adds up to 1. A row in which nothing is allowed is all zeros; a row of -infinity without ``where`` is NaN.
        """

    def log_softmax(self, axis: int = -1, *, dim: int = ..., dimension: int = ...) -> Tensor:
        """x - log(sum(exp(x))) along an axis: the logarithm of softmax, without overflow.   (..., n) -> (..., n)"""

    def gelu(self, approximate: str = 'none') -> Tensor:
        """Gaussian error linear unit, x times the probability that a standard normal is below x.   (...) -> (...)

        "none": x/2 (1 + erf(x / sqrt(2))); "tanh": x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) (Hendrycks and Gimpel 2016).
        """

    def dropout(self, rate: Any, seed: Any, offset: int = 0) -> Tensor:
        """Each element kept with probability 1 - rate and divided by it, or else 0.   (...) -> (...)

        The choice for element i is a hash of (seed, offset + i): the same in forward, backward and recomputation (Srivastava
        et al. 2014). Raises ValueError for a rate outside 0 <= rate < 1.
        """

    def argsort(self, axis: int = -1, descending: bool = False, *, dim: int = ..., dimension: int = ...) -> Tensor:
        """Places of the elements in order; equal ones keep theirs. None takes all in a row.   (.. n ..) -> (.. n ..) int64"""

    def sort(self, axis: int = -1, descending: bool = False, *, dim: int = ..., dimension: int = ...) -> tuple[Tensor, Tensor]:
        """The elements in order, and their places: a tuple, as PyTorch gives it.   (.. n ..) -> (.. n ..), (.. n ..) int64

        Equal elements keep their order. None takes all in a row. ``np.sort`` of a tensor gives the values alone.
        """

    def topk(self, k: Any = ..., axis: int = -1, largest: bool = True, *, diagonal: Any = ..., dim: int = ..., dimension: int = ...) -> tuple[Tensor, Tensor]:
        """The k largest elements in falling order and their places, or the k smallest rising.   (.. n ..) -> (.. k ..), (.. k ..) int64

        Of equal elements the first ones are taken. Raises ShapeError where there are not k elements.
        """

    def searchsorted(self, y: TensorLike, side: str = 'left') -> Tensor:
        """Where each of y would have to be put into x, which is in rising order, to keep the order.   (n), (...) -> (...) int64

        Before equal elements with the side "left", after them with "right". That x is in order is not checked.
        """

    def unique(self, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False, axis: Axes = None, *, dim: Axes = ..., dimension: Axes = ...) -> Any:
        """The different values in rising order.   (...) -> (count), or a tuple that begins with it

        On demand followed by where each comes first, which of them each element is, and how often each occurs. With an axis
        the different slices along it.
        """

    def nonzero(self) -> tuple[Tensor, ...]:
        """Places of the elements that are not 0: one array of numbers for each axis.   (...) -> (count) int64, ..."""

    def to(self, dtype: npt.DTypeLike) -> Tensor:
        ...

    def float(self) -> Tensor:
        ...

    def double(self) -> Tensor:
        ...

    def view(self, *shape: Shape) -> Tensor:
        ...

    def permute(self, *axes: Axes) -> Tensor:
        ...

    def transpose(self, *axes: Axes) -> Tensor:
        """Two numbers swap two axes; one tuple, or none, reorders them all."""

    def unsqueeze(self, axis: Axes = ..., *, dim: Axes = ..., dimension: Axes = ...) -> Tensor:
        """A new axis of length 1 at ``axis``.   (m, n) -> (m, 1, n)"""

    @property
    def T(self) -> Tensor:
        """All axes reversed."""

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged."""

    def tolist(self) -> Any:
        ...

    def clone(self) -> Tensor:
        ...

    def zero_grad(self) -> None:
        ...

    @property
    def device(self) -> str:
        """Where the elements are: always the CPU."""

    def __array_ufunc__(self, ufunc: Any, method: Any, *inputs: Any, **kwargs: Any) -> Any:
        ...

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        ...

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: Any = None) -> npt.NDArray[Any]:
        ...

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

    def __init__(self, data: Any, requires_grad: builtins.bool = False, dtype: npt.DTypeLike | None = None) -> None:
        ...

    @property
    def shape(self) -> tuple[builtins.int, ...]:
        """Lengths of the axes."""

    @property
    def ndim(self) -> builtins.int:
        """Number of axes."""

    @property
    def size(self) -> builtins.int:
        """Number of elements."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type, a NumPy dtype."""

    @property
    def is_leaf(self) -> builtins.bool:
        """True where no recorded op made this tensor."""

    @property
    def grad_fn(self) -> Any:
        """The node that made this tensor, None for a leaf."""

    @property
    def requires_grad(self) -> builtins.bool:
        """Whether gradients flow to this tensor. Only a floating leaf can be switched."""
    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None: ...

    def requires_grad_(self, flag: builtins.bool = True) -> Tensor:
        """Switch `requires_grad` of a leaf, and return the tensor itself."""

    def numpy(self) -> npt.NDArray[Any]:
        """The values as a read-only array that shares memory; it never changes afterwards."""

    def item(self) -> Any:
        """The one value of a tensor of size 1, as a Python number."""

    def detach(self) -> Tensor:
        """The same values as a constant: no gradient flows through it."""

    def assign(self, value: Any, copy: builtins.bool = True) -> Tensor:
        """Give a leaf new values of the same shape; the one way to change one. Its dtype stays.

        With ``copy=False`` it takes the array itself where the dtype is right, as it lies in memory; nobody may change that afterwards.
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

    def backward(self, gradient: TensorLike | None = None, retain_graph: builtins.bool = False, create_graph: builtins.bool = False) -> None:
        """Add the gradient of this tensor with respect to every leaf to the leaf's ``.grad``.

        ``gradient`` weighs the elements; a tensor of size 1 needs none. The graph is freed unless ``retain_graph``.
        A plain array that an op was given is kept as it is, not copied: who changes it before backward changes the gradient
        (`detect_anomaly` finds out); a leaf that was changed raises.
        With ``create_graph`` the gradients have a graph of their own, held by ``.grad``: a reference cycle until
        ``.grad`` is cleared; `grad()` returns them instead and makes none.
        Raises GradientError where no gradient can flow, ShapeError where ``gradient`` has another shape.
        """

    def __add__(self, y: TensorLike) -> Tensor:
        """x + y.   (...), (...) -> (...)"""

    def __radd__(self, x: TensorLike) -> Tensor:
        ...

    def __iadd__(self, y: TensorLike) -> Tensor:
        ...

    def __sub__(self, y: TensorLike) -> Tensor:
        """x - y.   (...), (...) -> (...)"""

    def __rsub__(self, x: TensorLike) -> Tensor:
        ...

    def __isub__(self, y: TensorLike) -> Tensor:
        ...

    def __mul__(self, y: TensorLike) -> Tensor:
        """x * y.   (...), (...) -> (...)"""

    def __rmul__(self, x: TensorLike) -> Tensor:
        ...

    def __imul__(self, y: TensorLike) -> Tensor:
        ...

    def __truediv__(self, y: TensorLike) -> Tensor:
        """x / y, floating also for integers.   (...), (...) -> (...)"""

    def __rtruediv__(self, x: TensorLike) -> Tensor:
        ...

    def __itruediv__(self, y: TensorLike) -> Tensor:
        ...

    def __floordiv__(self, y: TensorLike) -> Tensor:
        """x / y rounded down.   (...), (...) -> (...)"""

    def __rfloordiv__(self, x: TensorLike) -> Tensor:
        ...

    def __ifloordiv__(self, y: TensorLike) -> Tensor:
        ...

    def __mod__(self, y: TensorLike) -> Tensor:
        """x - y floor(x / y): what is left over, with the sign of y, as ``%`` in Python.   (...), (...) -> (...)"""

    def __rmod__(self, x: TensorLike) -> Tensor:
        ...

    def __imod__(self, y: TensorLike) -> Tensor:
        ...

    def __pow__(self, y: TensorLike) -> Tensor:
        """x to the power y.   (...), (...) -> (...)

        Raises DtypeError for integers to negative powers, which are no integers.
        """

    def __rpow__(self, x: TensorLike) -> Tensor:
        ...

    def __ipow__(self, y: TensorLike) -> Tensor:
        ...

    def __matmul__(self, y: TensorLike) -> Tensor:
        """Matrix product as NumPy's: vectors are rows on the left, columns on the right.   (..., m, k), (..., k, n) -> (..., m, n)

        Raises ShapeError where the inner axes differ.
        """

    def __rmatmul__(self, x: TensorLike) -> Tensor:
        ...

    def __imatmul__(self, y: TensorLike) -> Tensor:
        ...

    def __and__(self, y: TensorLike) -> Tensor:
        """The bits that are 1 in both.   (...), (...) -> (...)"""

    def __rand__(self, x: TensorLike) -> Tensor:
        ...

    def __iand__(self, y: TensorLike) -> Tensor:
        ...

    def __or__(self, y: TensorLike) -> Tensor:
        """The bits that are 1 in one of them, or in both.   (...), (...) -> (...)"""

    def __ror__(self, x: TensorLike) -> Tensor:
        ...

    def __ior__(self, y: TensorLike) -> Tensor:
        ...

    def __xor__(self, y: TensorLike) -> Tensor:
        """The bits that differ.   (...), (...) -> (...)"""

    def __rxor__(self, x: TensorLike) -> Tensor:
        ...

    def __ixor__(self, y: TensorLike) -> Tensor:
        ...

    def __neg__(self) -> Tensor:
        """-x.   (...) -> (...)"""

    def __abs__(self) -> Tensor:
        """Absolute value.   (...) -> (...)"""

    def __invert__(self) -> Tensor:
        """Every bit the other way: -x - 1 of an integer, the opposite of a boolean.   (...) -> (...)"""

    def __pos__(self) -> Tensor:
        ...

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

    def __len__(self) -> builtins.int:
        ...

    def __bool__(self) -> builtins.bool:
        ...

    def __repr__(self) -> str:
        ...

    def __index__(self) -> builtins.int:
        ...

    def __contains__(self, value: Any) -> builtins.bool:
        ...

    def __float__(self) -> builtins.float:
        ...

    def __int__(self) -> builtins.int:
        ...

    def __round__(self, digits: Any = None) -> builtins.float:
        ...

    def __format__(self, spec: Any) -> str:
        ...

    def __reduce__(self) -> Any:
        ...

    def __copy__(self) -> Tensor:
        ...

    def __deepcopy__(self, memo: Any) -> Tensor:
        ...

    def broadcast_to(self, shape: Shape = ..., *, sizes: Shape = ..., size: Shape = ...) -> Tensor:
        """Repeat axes of length 1, and new ones in front, until the shape is ``shape``.   (...) -> shape

        Raises ShapeError where an axis of another length than 1 would have to be repeated.
        """

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

    def isclose(self, y: TensorLike, rtol: builtins.float = 1e-05, atol: builtins.float = 1e-08, equal_nan: builtins.bool = False) -> Tensor:
        """Whether |x - y| <= atol + rtol |y|; equal infinities are close.   (...), (...) -> (...) boolean"""

    def isnan(self) -> Tensor:
        """Whether x is not a number.   (...) -> (...) boolean"""

    def isinf(self) -> Tensor:
        """Whether x is infinity or -infinity.   (...) -> (...) boolean"""

    def isfinite(self) -> Tensor:
        """Whether x is neither infinite nor NaN.   (...) -> (...) boolean"""

    def logical_and(self, y: TensorLike) -> Tensor:
        """Whether both are true.   (...), (...) -> (...) boolean"""

    def logical_or(self, y: TensorLike) -> Tensor:
        """Whether one of them is true, or both are.   (...), (...) -> (...) boolean"""

    def logical_xor(self, y: TensorLike) -> Tensor:
        """Whether exactly one of them is true.   (...), (...) -> (...) boolean"""

    def logical_not(self) -> Tensor:
        """Whether x is false.   (...) -> (...) boolean"""

    def bitwise_and(self, y: TensorLike) -> Tensor:
        """The bits that are 1 in both.   (...), (...) -> (...)"""

    def bitwise_or(self, y: TensorLike) -> Tensor:
        """The bits that are 1 in one of them, or in both.   (...), (...) -> (...)"""

    def bitwise_xor(self, y: TensorLike) -> Tensor:
        """The bits that differ.   (...), (...) -> (...)"""

    def bitwise_not(self) -> Tensor:
        """Every bit the other way: -x - 1 of an integer, the opposite of a boolean.   (...) -> (...)"""

    def left_shift(self, y: TensorLike) -> Tensor:
        """x times 2 to the power y, by moving bits.   (...), (...) -> (...)"""

    def right_shift(self, y: TensorLike) -> Tensor:
        """x divided by 2 to the power y and rounded down, by moving bits.   (...), (...) -> (...)"""

    def add(self, y: TensorLike) -> Tensor:
        """x + y.   (...), (...) -> (...)"""

    def subtract(self, y: TensorLike) -> Tensor:
        """x - y.   (...), (...) -> (...)"""

    def multiply(self, y: TensorLike) -> Tensor:
        """x * y.   (...), (...) -> (...)"""

    def divide(self, y: TensorLike) -> Tensor:
        """x / y, floating also for integers.   (...), (...) -> (...)"""

    def power(self, y: TensorLike) -> Tensor:
        """x to the power y.   (...), (...) -> (...)

        Raises DtypeError for integers to negative powers, which are no integers.
        """

    def negative(self) -> Tensor:
        """-x.   (...) -> (...)"""

    def square(self) -> Tensor:
        """x * x.   (...) -> (...)"""

    def sqrt(self) -> Tensor:
        """Square root.   (...) -> (...)"""

    def rsqrt(self) -> Tensor:
        """1 / sqrt(x).   (...) -> (...)"""

    def reciprocal(self) -> Tensor:
        """1 / x, floating also for integers.   (...) -> (...)"""

    def hypot(self, y: TensorLike) -> Tensor:
        """sqrt(x^2 + y^2), without overflow: the long side of a right-angled triangle.   (...), (...) -> (...)"""

    def abs(self) -> Tensor:
        """Absolute value.   (...) -> (...)"""

    def sign(self) -> Tensor:
        """-1, 0 or 1.   (...) -> (...)"""

    def exp(self) -> Tensor:
        """e to the power x.   (...) -> (...)"""

    def expm1(self) -> Tensor:
        """exp(x) - 1, accurate also where x is near 0.   (...) -> (...)"""

    def exp2(self) -> Tensor:
        """2 to the power x.   (...) -> (...)"""

    def log(self) -> Tensor:
        """Natural logarithm.   (...) -> (...)"""

    def log1p(self) -> Tensor:
        """log(1 + x), accurate also where x is near 0.   (...) -> (...)"""

    def log2(self) -> Tensor:
        """Logarithm to base 2.   (...) -> (...)"""

    def log10(self) -> Tensor:
        """Logarithm to base 10.   (...) -> (...)"""

    def logaddexp(self, y: TensorLike) -> Tensor:
        """log(exp(x) + exp(y)), without overflow.   (...), (...) -> (...)"""

    def sigmoid(self) -> Tensor:
        """1 / (1 + exp(-x)), without overflow, and accurate where it is small.   (...) -> (...)"""

    def logit(self, eps: Any = None) -> Tensor:
        """log(x / (1 - x)), the inverse of sigmoid; with ``eps`` x is first held between eps and 1 - eps.   (...) -> (...)"""

    def sin(self) -> Tensor:
        """Sine; x in radians.   (...) -> (...)"""

    def cos(self) -> Tensor:
        """Cosine; x in radians.   (...) -> (...)"""

    def tan(self) -> Tensor:
        """Tangent; x in radians.   (...) -> (...)"""

    def arcsin(self) -> Tensor:
        """The angle from -pi/2 to pi/2 whose sine is x.   (...) -> (...)"""

    def arccos(self) -> Tensor:
        """The angle from 0 to pi whose cosine is x.   (...) -> (...)"""

    def arctan(self) -> Tensor:
        """The angle from -pi/2 to pi/2 whose tangent is x.   (...) -> (...)"""

    def arctan2(self, x: TensorLike) -> Tensor:
        """The angle from -pi to pi of the point (x, y), seen from the origin; y comes first.   (...), (...) -> (...)"""

    def sinh(self) -> Tensor:
        """Hyperbolic sine, (exp(x) - exp(-x)) / 2.   (...) -> (...)"""

    def cosh(self) -> Tensor:
        """Hyperbolic cosine, (exp(x) + exp(-x)) / 2.   (...) -> (...)"""

    def tanh(self) -> Tensor:
        """Hyperbolic tangent.   (...) -> (...)"""

    def arcsinh(self) -> Tensor:
        """The number whose hyperbolic sine is x.   (...) -> (...)"""

    def arccosh(self) -> Tensor:
        """The number from 0 up whose hyperbolic cosine is x; x is at least 1.   (...) -> (...)"""

    def arctanh(self) -> Tensor:
        """The number whose hyperbolic tangent is x; |x| is at most 1.   (...) -> (...)"""

    def maximum(self, y: TensorLike) -> Tensor:
        """The greater of two, element by element.   (...), (...) -> (...)"""

    def minimum(self, y: TensorLike) -> Tensor:
        """The smaller of two, element by element.   (...), (...) -> (...)"""

    def fmax(self, y: TensorLike) -> Tensor:
        """The greater of two; where one is NaN the other.   (...), (...) -> (...)"""

    def fmin(self, y: TensorLike) -> Tensor:
        """The smaller of two; where one is NaN the other.   (...), (...) -> (...)"""

    def clip(self, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
        """x, but not below min and not above max; None is no bound.   (...), (...), (...) -> (...)

        That is minimum(maximum(x, min), max): where min > max the result is max.
        """

    def lerp(self, y: TensorLike, weight: TensorLike) -> Tensor:
        """x + weight (y - x): x at weight 0, y at weight 1, a straight line through both.   (...), (...), (...) -> (...)"""

    def nan_to_num(self, nan: builtins.float = 0.0, posinf: Any = None, neginf: Any = None) -> Tensor:
        """x with numbers for NaN and the infinities; None is the greatest or smallest number of the dtype.   (...) -> (...)

        NumPy's function without its second argument, copy.
        """

    def astype(self, dtype: npt.DTypeLike) -> Tensor:
        """The tensor in another dtype, itself where it has it; ``"cpu"``, the one device there is, changes nothing."""

    def reshape(self, shape: Shape = ..., *, sizes: Shape = ..., size: Shape = ...) -> Tensor:
        """The same elements, row after row, in another shape; one length may be -1.   (...) -> shape"""

    def ravel(self) -> Tensor:
        """All elements in one row.   (...) -> (size)"""

    def flatten(self, start_axis: builtins.int = 0, end_axis: builtins.int = -1, *, start_dim: builtins.int = ..., end_dim: builtins.int = ...) -> Tensor:
        """The axes from ``start_axis`` to ``end_axis`` as one.   (k, m, n) -> (k m n)"""

    def unflatten(self, axis: Axes = ..., shape: Shape = ..., *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., sizes: Shape = ..., size: Shape = ...) -> Tensor:
        """One axis as several, whose lengths multiply to its own; one length may be -1.   (k, m n) -> (k, m, n)"""

    def expand_dims(self, axis: Axes = ..., *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
        """A new axis of length 1 at ``axis``, or several at a tuple of places in the result.   (m, n) -> (m, 1, n)"""

    def squeeze(self, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
        """Axes of length 1 removed: all of them, or those named.   (m, 1, n) -> (m, n)"""

    def swapaxes(self, axis1: Any = ..., axis2: Any = ..., *, dim1: Any = ..., dim0: Any = ..., dim2: Any = ...) -> Tensor:
        """Two axes exchanged.   (.. m .. n ..) -> (.. n .. m ..)"""

    def moveaxis(self, source: Any, destination: Any) -> Tensor:
        """Axes moved to other places; the rest keep their order.   (k, m, n) -> (m, n, k) for 0 to -1"""

    def expand(self, shape: Shape = ..., *, sizes: Shape = ..., size: Shape = ...) -> Tensor:
        """Axes of length 1, and new ones in front, repeated; -1 keeps a length.   (m, 1) -> (k, m, n)"""

    def tile(self, reps: Any = ..., *, dims: Any = ...) -> Tensor:
        """The whole tensor repeated along its axes, from the last one backwards.   (m, n) -> (r m, s n) for (r, s)

        PyTorch's ``x.repeat(r, s)``.
        """

    def repeat(self, repeats: Any, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
        """Each element several times along an axis, or in the row of all elements.   (m, n) -> (m, r n) for axis 1

        One number for all elements, or one for each place of the axis. `repeat_interleave` is PyTorch's name for it.
        """

    def flip(self, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
        """Axes backwards: all of them, one or several.   (...) -> (...)"""

    def roll(self, shift: Any = ..., axis: Axes = None, *, shifts: Any = ..., dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
        """Elements moved by ``shift`` places, those pushed out at the end coming in at the beginning.   (...) -> (...)

        Without an axis in the row of all elements; of several axes each has its shift.
        """

    def rot90(self, k: builtins.int = 1, axes: Axes = ..., *, diagonal: builtins.int = ..., key: builtins.int = ..., dims: Axes = ...) -> Tensor:
        """A plane turned k times by 90 degrees, from the first axis towards the second.   (m, n) -> (n, m)"""

    def pad(self, pad_width: Any, mode: str = 'constant', value: builtins.int = 0, *, constant_values: builtins.int = ...) -> Tensor:
        """A frame around the elements.   (m, n) -> (before + m + after, before + n + after)

        ``pad_width`` is one number for all sides, one pair (before, after) for all axes, or a pair for each axis. The frame is
        ``value``, or continues the elements: the last one ('edge'), mirrored at it ('reflect') or behind it ('symmetric'),
        or from the other end ('wrap'). Raises ShapeError for other widths, among them PyTorch's flat form.
        """

    def tril(self, k: builtins.int = 0, *, diagonal: builtins.int = ..., key: builtins.int = ...) -> Tensor:
        """Zeros above diagonal k of each matrix.   (..., m, n) -> (..., m, n)"""

    def triu(self, k: builtins.int = 0, *, diagonal: builtins.int = ..., key: builtins.int = ...) -> Tensor:
        """Zeros below diagonal k of each matrix.   (..., m, n) -> (..., m, n)"""

    def diagonal(self, offset: builtins.int = 0, axis1: builtins.int = 0, axis2: builtins.int = 1, *, dim1: builtins.int = ..., dim0: builtins.int = ..., dim2: builtins.int = ...) -> Tensor:
        """The diagonal over two axes, as the last axis.   (m, ..., n) -> (..., min(m, n)) for axes 0 and -1"""

    def diag_embed(self, offset: builtins.int = 0, axis1: builtins.int = -2, axis2: builtins.int = -1, *, dim1: builtins.int = ..., dim0: builtins.int = ..., dim2: builtins.int = ...) -> Tensor:
        """Square matrices with the last axis as their diagonal, zeros elsewhere.   (..., n) -> (..., n + |offset|, n + |offset|)

        ``axis1`` and ``axis2`` say where rows and columns go in the result.
        """

    def diag(self, k: builtins.int = 0, *, diagonal: builtins.int = ..., key: builtins.int = ...) -> Tensor:
        """A matrix with x on its diagonal k; of a matrix, its diagonal k.   (n) -> (n + |k|, n + |k|), (m, n) -> (min(m, n))"""

    def unfold(self, axis: Axes = ..., size: Any = ..., step: Any = ..., *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
        """All windows of ``size`` places along an axis, each ``step`` after the one before.   (.. n ..) -> (.. (n - size) // step + 1 .., size)

        A view: nothing is copied. Where windows overlap, gradients add up.
        """

    def split(self, n: Any = None, axis: builtins.int = 0, chunks_of: Any = None, *, chunks: Any = ..., indices_or_sections: Any = ..., dim: builtins.int = ..., dims: builtins.int = ..., dimension: builtins.int = ...) -> tuple[Tensor, ...]:
        """Parts of an axis, as a tuple: n equal ones, or between cut points.   (2 m, k) -> (m, k), (m, k) for n = 2

        ``chunks_of`` says the length of a part instead, the last one may be shorter, or lists all lengths: PyTorch's split.
        """

    def array_split(self, n: Any = ..., axis: builtins.int = 0, *, chunks: Any = ..., indices_or_sections: Any = ..., dim: builtins.int = ..., dims: builtins.int = ..., dimension: builtins.int = ...) -> tuple[Tensor, ...]:
        """n parts of an axis as equal as can be, longer ones first, or parts between cut points.   (5, k) -> (3, k), (2, k) for n = 2"""

    def chunk(self, n: Any = ..., axis: builtins.int = 0, *, chunks: Any = ..., indices_or_sections: Any = ..., dim: builtins.int = ..., dims: builtins.int = ..., dimension: builtins.int = ...) -> tuple[Tensor, ...]:
        """At most n parts of an axis, all but the last of one length.   (5, k) -> (2, k), (2, k), (1, k) for n = 3"""

    def unbind(self, axis: builtins.int = 0, *, dim: builtins.int = ..., dims: builtins.int = ..., dimension: builtins.int = ...) -> tuple[Tensor, ...]:
        """The slices at every place of an axis, as a tuple.   (3, n) -> (n), (n), (n)"""

    def erf(self) -> Tensor:
        """Error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.   (...) -> (...)"""

    def erfc(self) -> Tensor:
        """1 - erf(x), accurate also where erf(x) is 1 to the last digit.   (...) -> (...)"""

    def lgamma(self) -> Tensor:
        """Logarithm of |gamma(x)|, where gamma(n) = (n-1)!; infinite at 0, -1, -2 ...   (...) -> (...)

        In float64 the error is about 1e-15 of the result; between two poles, near its zeros, 1e-15 itself.
        """

    def digamma(self) -> Tensor:
        """The derivative of lgamma; infinite at 0, NaN at the other poles -1, -2 ..., whose sides differ.   (...) -> (...)

        In float64 the error is below 5e-15 of the result; between two poles, near its roots, 5e-15 itself.
        """

    def xlogy(self, y: TensorLike) -> Tensor:
        """x log(y), and 0 where x is 0, whatever y is.   (...), (...) -> (...)"""

    def gelu(self, approximate: str = 'none') -> Tensor:
        """Gaussian error linear unit, x times the probability that a standard normal is below x.   (...) -> (...)

        "none": x/2 (1 + erf(x / sqrt(2))); "tanh": x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) (Hendrycks and Gimpel 2016).
        """

    def glu(self, axis: builtins.int = -1, *, dim: builtins.int = ..., dims: builtins.int = ..., dimension: builtins.int = ...) -> Tensor:
        """Gated linear unit: the first half along an axis times the sigmoid of the second.   (..., 2 n) -> (..., n)

        value * sigmoid(gate) (Dauphin et al. 2017). Raises ShapeError where the axis has no two halves.
        """

    def dropout(self, rate: builtins.float = 0.5, seed: Any = None, offset: builtins.int = 0, training: builtins.bool = True, generator: Any = None, *, p: builtins.float = ...) -> Tensor:
        """Each element kept with probability 1 - rate and divided by it, or else 0.   (...) -> (...)

        The choice for element i is a hash of (seed, offset + i): the same in forward, backward and recomputation (Srivastava
        et al. 2014). Without a seed, both numbers come from ``generator``, by default the current one (`random.using`), which
        never gives the same numbers again. While not ``training`` x comes back as it is.
        Raises ValueError for a rate outside 0 <= rate < 1.
        """

    def relu(self) -> Tensor:
        """max(x, 0).   (...) -> (...)"""

    def leaky_relu(self, negative_slope: builtins.float = 0.01) -> Tensor:
        """x where x > 0, else negative_slope x.   (...) -> (...)"""

    def elu(self, alpha: builtins.float = 1.0) -> Tensor:
        """x where x > 0, else alpha (exp(x) - 1).   (...) -> (...)   (Clevert, Unterthiner and Hochreiter 2016)"""

    def selu(self) -> Tensor:
        """1.0507 elu(x, alpha=1.6733), which normalizes itself.   (...) -> (...)   (Klambauer et al. 2017)"""

    def celu(self, alpha: builtins.float = 1.0) -> Tensor:
        """x where x > 0, else alpha (exp(x / alpha) - 1): an elu without a corner.   (...) -> (...)   (Barron 2017)"""

    def threshold(self, threshold: Any, value: Any = ..., *, constant_values: Any = ...) -> Tensor:
        """x where x > threshold, else value.   (...) -> (...)"""

    def softplus(self, beta: builtins.float = 1.0, threshold: builtins.float = ...) -> Tensor:
        """log(1 + exp(beta x)) / beta, without overflow, and x itself where beta x > threshold.   (...) -> (...)

        PyTorch needs the threshold, 20 there, against overflow; here it is only for those who want the same digits.
        """

    def logsigmoid(self) -> Tensor:
        """log(sigmoid(x)), without overflow.   (...) -> (...)"""

    def silu(self) -> Tensor:
        """x sigmoid(x), also called swish.   (...) -> (...)   (Elfwing, Uchibe and Doya 2018)"""

    def swiglu(self, gate: TensorLike) -> Tensor:
        """value silu(gate): a gated linear unit with the gate of `silu`, in one pass.   (...), (...) -> (...)   (Shazeer 2020)"""

    def geglu(self, gate: TensorLike, approximate: str = 'none') -> Tensor:
        """value gelu(gate): a gated linear unit with the gate of `gelu`, in one pass.   (...), (...) -> (...)   (Shazeer 2020)

        ``approximate`` is that of `gelu`.
        """

    def mish(self) -> Tensor:
        """x tanh(softplus(x)).   (...) -> (...)   (Misra 2019)"""

    def softsign(self) -> Tensor:
        """x / (1 + |x|).   (...) -> (...)"""

    def tanhshrink(self) -> Tensor:
        """x - tanh(x).   (...) -> (...)"""

    def hardtanh(self, min_val: builtins.float = -1.0, max_val: builtins.float = 1.0) -> Tensor:
        """x, but not below min_val and not above max_val.   (...) -> (...)"""

    def relu6(self) -> Tensor:
        """x, but not below 0 and not above 6.   (...) -> (...)"""

    def hardsigmoid(self) -> Tensor:
        """relu6(x + 3) / 6: a sigmoid of three straight pieces.   (...) -> (...)"""

    def hardswish(self) -> Tensor:
        """x hardsigmoid(x).   (...) -> (...)   (Howard et al. 2019)"""

    def softshrink(self, lambd: builtins.float = 0.5) -> Tensor:
        """x moved by lambd towards 0, and 0 where |x| <= lambd.   (...) -> (...)"""

    def hardshrink(self, lambd: builtins.float = 0.5) -> Tensor:
        """x, but 0 where |x| <= lambd.   (...) -> (...)"""

    def cumsum(self, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
        """Sum of all elements up to each one.   (...) -> (...), without an axis (...) -> (size)"""

    def cumprod(self, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
        """Product of all elements up to each one; zeros have the right gradient too.   (...) -> (...), without an axis (...) -> (size)"""

    def logcumsumexp(self, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
        """log(sum(exp(x))) of all elements up to each one, without overflow.   (...) -> (...), without an axis (...) -> (size)"""

    def sum(self, axis: Axes = None, keepdims: builtins.bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ...) -> Tensor:
        """Sum over axes; 0 over nothing.   (...) -> (... without axis)"""

    def mean(self, axis: Axes = None, keepdims: builtins.bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ...) -> Tensor:
        """Mean over axes, floating also for integers.   (...) -> (... without axis)

        Raises ShapeError for the mean of no elements.
        """

    def nansum(self, axis: Axes = None, keepdims: builtins.bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ...) -> Tensor:
        """Sum over axes with NaN as 0; a NaN gets the gradient 0.   (...) -> (... without axis)"""

    def nanmean(self, axis: Axes = None, keepdims: builtins.bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ...) -> Tensor:
        """Mean over axes of what is not NaN; NaN, with the gradient 0, where all are.   (...) -> (... without axis)

        Raises ShapeError for the mean of no elements.
        """

    def prod(self, axis: Axes = None, keepdims: builtins.bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ...) -> Tensor:
        """Product over axes, 1 over nothing; zeros have the right gradient too.   (...) -> (... without axis)"""

    def max(self, axis: Axes = None, keepdims: builtins.bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ...) -> Tensor:
        """The largest value over axes.   (...) -> (... without axis)

        Raises ShapeError where there are no elements.
        """

    def min(self, axis: Axes = None, keepdims: builtins.bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ...) -> Tensor:
        """The smallest value over axes.   (...) -> (... without axis)

        Raises ShapeError where there are no elements.
        """

    def argmax(self, axis: Axes = None, keepdims: builtins.bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ...) -> Tensor:
        """Place of the largest value, the first one of several.   (...) -> (... without axis) int64

        Without an axis the place in the row of all elements.
        Raises ShapeError where there are no elements.
        """

    def argmin(self, axis: Axes = None, keepdims: builtins.bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ...) -> Tensor:
        """Place of the smallest value, the first one of several.   (...) -> (... without axis) int64

        Without an axis the place in the row of all elements.
        Raises ShapeError where there are no elements.
        """

    def median(self, axis: Axes = None, keepdims: builtins.bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ...) -> Tensor:
        """The value in the middle over axes, the mean of the two in the middle of an even number.   (...) -> (... without axis)

        Raises ShapeError where there are no elements.
        """

    def var(self, axis: Axes = None, keepdims: builtins.bool = False, correction: builtins.int = 0, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ..., ddof: builtins.int = ...) -> Tensor:
        """Variance over axes: mean of (x - mean(x))^2, with n - ``correction`` as the divisor.   (...) -> (... without axis)

        ``ddof`` is NumPy's name for ``correction``. Raises ShapeError where n is not more than the correction.
        """

    def std(self, axis: Axes = None, keepdims: builtins.bool = False, correction: builtins.int = 0, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ..., ddof: builtins.int = ...) -> Tensor:
        """Standard deviation over axes: the square root of the variance.   (...) -> (... without axis)

        ``ddof`` is NumPy's name for ``correction``. Raises ShapeError where n is not more than the correction.
        """

    def var_mean(self, axis: Axes = None, keepdims: builtins.bool = False, correction: builtins.int = 0, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ..., ddof: builtins.int = ...) -> tuple[Tensor, Tensor]:
        """Variance and mean over axes at once, a tuple.   (...) -> (... without axis), (... without axis)"""

    def logsumexp(self, axis: Axes = None, keepdims: builtins.bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ...) -> Tensor:
        """log(sum(exp(x))) over axes, without overflow; -infinity over nothing.   (...) -> (... without axis)"""

    def all(self, axis: Axes = None, keepdims: builtins.bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ...) -> Tensor:
        """Whether every element is true, that is not 0, over axes.   (...) -> (... without axis)"""

    def any(self, axis: Axes = None, keepdims: builtins.bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ...) -> Tensor:
        """Whether at least one element is true, that is not 0, over axes.   (...) -> (... without axis)"""

    def count_nonzero(self, axis: Axes = None, keepdims: builtins.bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ...) -> Tensor:
        """How many elements are not 0 over axes.   (...) -> (... without axis)"""

    def matmul(self, y: TensorLike) -> Tensor:
        """Matrix product as NumPy's: vectors are rows on the left, columns on the right.   (..., m, k), (..., k, n) -> (..., m, n)

        Raises ShapeError where the inner axes differ.
        """

    def bmm(self, y: TensorLike) -> Tensor:
        """Product of two batches of matrices, pair by pair; nothing broadcasts.   (b, m, k), (b, k, n) -> (b, m, n)"""

    def mv(self, y: TensorLike) -> Tensor:
        """A matrix times a vector.   (m, k), (k) -> (m)"""

    def addmm(self, x: TensorLike, y: TensorLike, beta: builtins.int = 1, alpha: builtins.int = 1) -> Tensor:
        """beta b + alpha (x y), where b broadcasts to the product; with beta 0 it is not looked at.   (m, n), (m, k), (k, n) -> (m, n)"""

    def outer(self, y: TensorLike) -> Tensor:
        """Every element of x times every element of y, both in a row.   (m), (n) -> (m, n)"""

    def vecdot(self, y: TensorLike, axis: builtins.int = -1, *, dim: builtins.int = ..., dims: builtins.int = ..., dimension: builtins.int = ...) -> Tensor:
        """Sum of the products of the elements along an axis; the other axes broadcast.   (..., n), (..., n) -> (...)"""

    def vdot(self, y: TensorLike) -> Tensor:
        """Sum of the products of all elements, each tensor in a row.   (n), (n) -> ()"""

    def cross(self, y: TensorLike, axis: builtins.int = -1, *, dim: builtins.int = ..., dims: builtins.int = ..., dimension: builtins.int = ...) -> Tensor:
        """Vector product of vectors with three elements along an axis; the other axes broadcast.   (..., 3), (..., 3) -> (..., 3)"""

    def kron(self, y: TensorLike) -> Tensor:
        """Kronecker product: a copy of y, multiplied, for every element of x.   (m, n), (p, q) -> (m p, n q)"""

    def trace(self, offset: builtins.int = 0, axis1: builtins.int = 0, axis2: builtins.int = 1, *, dim1: builtins.int = ..., dim0: builtins.int = ..., dim2: builtins.int = ...) -> Tensor:
        """Sum of the diagonal of two axes; ``offset`` counts diagonals to the right of the main one.   (.. n .. n ..) -> (...)"""

    def softmax(self, axis: builtins.int = -1, where: Any = None, *, dim: builtins.int = ..., dims: builtins.int = ..., dimension: builtins.int = ...) -> Tensor:
        """exp(x) / sum(exp(x)) along an axis; what ``where`` forbids counts as -infinity and gets exactly 0.   (..., n) -> (..., n)

        Every row adds up to 1. A row in which nothing is allowed is all zeros; a row of -infinity without ``where`` is NaN.
        Raises DtypeError for a mask that is not boolean, ShapeError for one that does not broadcast to the shape of x.
        """

    def softmin(self, axis: builtins.int = -1, where: Any = None, *, dim: builtins.int = ..., dims: builtins.int = ..., dimension: builtins.int = ...) -> Tensor:
        """softmax(-x): the smallest gets most.   (..., n) -> (..., n)"""

    def log_softmax(self, axis: builtins.int = -1, where: Any = None, *, dim: builtins.int = ..., dims: builtins.int = ..., dimension: builtins.int = ...) -> Tensor:
        """x - log(sum(exp(x))) along an axis: the logarithm of softmax, without overflow.   (..., n) -> (..., n)

        What ``where`` forbids is -infinity, the logarithm of its probability 0, and takes no part in the gradient.
        Raises DtypeError for a mask that is not boolean, ShapeError for one that does not broadcast to the shape of x.
        """

    def inner(self, y: TensorLike) -> Tensor:
        """Every row of x with every row of y: the product summed over both last axes.   (..., k), (..., k) -> (..., ...)"""

    def dot(self, y: TensorLike) -> Tensor:
        """NumPy's dot: the product summed over the last axis of x and the last but one of y.   (m, k), (k, n) -> (m, n)

        Of two vectors the sum of products, with a number the plain product. With more axes nothing broadcasts, every
        matrix meets every other; `matmul` is the one that broadcasts.
        """

    def norm(self, ord: Any = None, axis: Axes = None, keepdims: builtins.bool = False, *, p: Any = ..., dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ...) -> Tensor:
        """Length of a vector, (sum |x|^ord)^(1 / ord), or norm of a matrix, as NumPy's.   (...) -> (... without axis)

        Without ``ord`` the square root of the sum of squares, over all axes or those given. Over one axis ``ord`` is a number,
        or infinity for the largest element, 0 for how many are not 0. Over two it is "fro", "nuc" (the sum of the
        singular values), 2 or -2 (the largest, the smallest), 1 or infinity (the largest sum of a column, of a row).
        Where the norm is 0 its gradient is 0.
        Raises ShapeError for another number of axes, ValueError for another ``ord``.
        """

    def normalize(self, p: builtins.int = 2, axis: builtins.int = -1, eps: builtins.float = 1e-12, *, dim: builtins.int = ..., dims: builtins.int = ..., dimension: builtins.int = ...) -> Tensor:
        """Vectors along an axis divided by their length, x / max(norm(x, p), eps).   (..., n) -> (..., n)

        PyTorch's default axis is 1, ours the last. Raises ShapeError for an axis that is not there.
        """

    def take(self, indices: Any, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
        """The elements at some places along an axis, without one of the row of all elements.   (m, n), integers (k) -> (m, k)

        Raises IndexError for an index outside -n .. n - 1, naming it and its place.
        """

    def take_along_axis(self, indices: Any, axis: builtins.int = -1, *, dim: builtins.int = ..., dims: builtins.int = ..., dimension: builtins.int = ...) -> Tensor:
        """Along an axis, the element at each place that is named; the other axes broadcast.   (m, n), integers (m, k) -> (m, k)

        Without an axis both are rows of elements. Raises IndexError for an index outside -n .. n - 1.
        """

    def gather(self, axis: Axes = ..., index: Any = ..., *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
        """out[i, j] = x[i, index[i, j]] for axis 1, and so for every other.   (m, n), integers (m, k) -> (m, k)

        Along the other axes the index may be shorter than x. Raises IndexError for an index outside 0 .. n - 1.
        """

    def scatter(self, axis: TensorLike, index: TensorLike, values: TensorLike) -> Tensor:
        """x with out[i, index[i, j]] = values[i, j] for axis 1, and so for every other.   (m, n), integers (m, k), (m, k) -> (m, n)

        Of places named twice the last one counts, and the gradient goes to it. The values may be longer than the index, or
        one number. Raises IndexError for an index outside 0 .. n - 1.
        """

    def scatter_add(self, axis: TensorLike, index: TensorLike, values: TensorLike) -> Tensor:
        """x with out[i, index[i, j]] += values[i, j] for axis 1, and so for every other.   (m, n), integers (m, k), (m, k) -> (m, n)

        The values may be longer than the index, or one number. Raises IndexError for an index outside 0 .. n - 1.
        """

    def index_select(self, axis: Axes = ..., index: Any = ..., *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
        """The slices at some places of an axis.   (m, n), integers (k) -> (m, k) for axis 1

        Raises IndexError for an index outside 0 .. n - 1, naming it and its place.
        """

    def index_add(self, axis: TensorLike, index: TensorLike, source: TensorLike, alpha: builtins.int = 1) -> Tensor:
        """x with out[:, index[j]] += alpha source[:, j] for axis 1, and so for every other.   (m, n), integers (k), (m, k) -> (m, n)

        Raises IndexError for an index outside 0 .. n - 1, ShapeError where the source has not one slice per index.
        """

    def masked_fill(self, mask: TensorLike, value: TensorLike) -> Tensor:
        """``value`` where the mask is true, else x, in the dtype of x.   (...), booleans (...), (...) -> (...)

        The value may be a number or a tensor; all three broadcast.
        """

    def masked_select(self, mask: TensorLike) -> Tensor:
        """The elements where the mask is true, in a row; both broadcast.   (...), booleans (...) -> (k)"""

    def floor(self) -> Tensor:
        """The greatest whole number that is not above x.   (...) -> (...)"""

    def ceil(self) -> Tensor:
        """The smallest whole number that is not below x.   (...) -> (...)"""

    def trunc(self) -> Tensor:
        """x without its fraction: rounded towards 0.   (...) -> (...)"""

    def round(self, decimals: builtins.int = 0) -> Tensor:
        """The nearest number with so many decimals; a half goes to the even neighbour.   (...) -> (...)"""

    def floor_divide(self, y: TensorLike) -> Tensor:
        """x / y rounded down.   (...), (...) -> (...)"""

    def remainder(self, y: TensorLike) -> Tensor:
        """x - y floor(x / y): what is left over, with the sign of y, as ``%`` in Python.   (...), (...) -> (...)"""

    def fmod(self, y: TensorLike) -> Tensor:
        """x - y trunc(x / y): what is left over, with the sign of x, as ``%`` in C.   (...), (...) -> (...)"""

    def argsort(self, axis: builtins.int = -1, descending: builtins.bool = False, *, dim: builtins.int = ..., dims: builtins.int = ..., dimension: builtins.int = ...) -> Tensor:
        """Places of the elements in order; equal ones keep theirs. None takes all in a row.   (.. n ..) -> (.. n ..) int64"""

    def sort(self, axis: builtins.int = -1, descending: builtins.bool = False, *, dim: builtins.int = ..., dims: builtins.int = ..., dimension: builtins.int = ...) -> tuple[Tensor, Tensor]:
        """The elements in order, and their places: a tuple, as PyTorch gives it.   (.. n ..) -> (.. n ..), (.. n ..) int64

        Equal elements keep their order. None takes all in a row. ``np.sort`` of a tensor gives the values alone.
        """

    def topk(self, k: Any = ..., axis: builtins.int = -1, largest: builtins.bool = True, *, diagonal: Any = ..., key: Any = ..., dim: builtins.int = ..., dims: builtins.int = ..., dimension: builtins.int = ...) -> tuple[Tensor, Tensor]:
        """The k largest elements in falling order and their places, or the k smallest rising.   (.. n ..) -> (.. k ..), (.. k ..) int64

        Of equal elements the first ones are taken. Raises ShapeError where there are not k elements.
        """

    def searchsorted(self, y: TensorLike, side: str = 'left') -> Tensor:
        """Where each of y would have to be put into x, which is in rising order, to keep the order.   (n), (...) -> (...) int64

        Before equal elements with the side "left", after them with "right". That x is in order is not checked.
        """

    def unique(self, return_index: builtins.bool = False, return_inverse: builtins.bool = False, return_counts: builtins.bool = False, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Any:
        """The different values in rising order.   (...) -> (count), or a tuple that begins with it

        On demand followed by where each comes first, which of them each element is, and how often each occurs. With an axis
        the different slices along it.
        """

    def nonzero(self) -> tuple[Tensor, ...]:
        """Places of the elements that are not 0: one array of numbers for each axis.   (...) -> (count) int64, ..."""

    def invert(self) -> Tensor:
        """Every bit the other way: -x - 1 of an integer, the opposite of a boolean.   (...) -> (...)"""

    def movedim(self, source: Any, destination: Any) -> Tensor:
        """Axes moved to other places; the rest keep their order.   (k, m, n) -> (m, n, k) for 0 to -1"""

    def repeat_interleave(self, repeats: Any, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
        """Each element several times along an axis, or in the row of all elements.   (m, n) -> (m, r n) for axis 1

        One number for all elements, or one for each place of the axis. `repeat_interleave` is PyTorch's name for it.
        """

    def unsqueeze(self, axis: Axes = ..., *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
        """A new axis of length 1 at ``axis``, or several at a tuple of places in the result.   (m, n) -> (m, 1, n)"""

    def absolute(self) -> Tensor:
        """Absolute value.   (...) -> (...)"""

    def acos(self) -> Tensor:
        """The angle from 0 to pi whose cosine is x.   (...) -> (...)"""

    def acosh(self) -> Tensor:
        """The number from 0 up whose hyperbolic cosine is x; x is at least 1.   (...) -> (...)"""

    def amax(self, axis: Axes = None, keepdims: builtins.bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ...) -> Tensor:
        """The largest value over axes.   (...) -> (... without axis)

        Raises ShapeError where there are no elements.
        """

    def amin(self, axis: Axes = None, keepdims: builtins.bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: builtins.bool = ...) -> Tensor:
        """The smallest value over axes.   (...) -> (... without axis)

        Raises ShapeError where there are no elements.
        """

    def asin(self) -> Tensor:
        """The angle from -pi/2 to pi/2 whose sine is x.   (...) -> (...)"""

    def asinh(self) -> Tensor:
        """The number whose hyperbolic sine is x.   (...) -> (...)"""

    def atan(self) -> Tensor:
        """The angle from -pi/2 to pi/2 whose tangent is x.   (...) -> (...)"""

    def atan2(self, x: TensorLike) -> Tensor:
        """The angle from -pi to pi of the point (x, y), seen from the origin; y comes first.   (...), (...) -> (...)"""

    def atanh(self) -> Tensor:
        """The number whose hyperbolic tangent is x; |x| is at most 1.   (...) -> (...)"""

    def bitwise_invert(self) -> Tensor:
        """Every bit the other way: -x - 1 of an integer, the opposite of a boolean.   (...) -> (...)"""

    def bitwise_left_shift(self, y: TensorLike) -> Tensor:
        """x times 2 to the power y, by moving bits.   (...), (...) -> (...)"""

    def bitwise_right_shift(self, y: TensorLike) -> Tensor:
        """x divided by 2 to the power y and rounded down, by moving bits.   (...), (...) -> (...)"""

    def clamp(self, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
        """x, but not below min and not above max; None is no bound.   (...), (...), (...) -> (...)

        That is minimum(maximum(x, min), max): where min > max the result is max.
        """

    def cumulative_prod(self, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
        """Product of all elements up to each one; zeros have the right gradient too.   (...) -> (...), without an axis (...) -> (size)"""

    def cumulative_sum(self, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
        """Sum of all elements up to each one.   (...) -> (...), without an axis (...) -> (size)"""

    def div(self, y: TensorLike) -> Tensor:
        """x / y, floating also for integers.   (...), (...) -> (...)"""

    def eq(self, y: TensorLike) -> Tensor:
        """Whether x == y, element by element.   (...), (...) -> (...) boolean"""

    def fix(self) -> Tensor:
        """x without its fraction: rounded towards 0.   (...) -> (...)"""

    def ge(self, y: TensorLike) -> Tensor:
        """Whether x >= y, element by element.   (...), (...) -> (...) boolean"""

    def gt(self, y: TensorLike) -> Tensor:
        """Whether x > y, element by element.   (...), (...) -> (...) boolean"""

    def le(self, y: TensorLike) -> Tensor:
        """Whether x <= y, element by element.   (...), (...) -> (...) boolean"""

    def lt(self, y: TensorLike) -> Tensor:
        """Whether x < y, element by element.   (...), (...) -> (...) boolean"""

    def mm(self, y: TensorLike) -> Tensor:
        """Matrix product as NumPy's: vectors are rows on the left, columns on the right.   (..., m, k), (..., k, n) -> (..., m, n)

        Raises ShapeError where the inner axes differ.
        """

    def mod(self, y: TensorLike) -> Tensor:
        """x - y floor(x / y): what is left over, with the sign of y, as ``%`` in Python.   (...), (...) -> (...)"""

    def mul(self, y: TensorLike) -> Tensor:
        """x * y.   (...), (...) -> (...)"""

    def ne(self, y: TensorLike) -> Tensor:
        """Whether x != y, element by element.   (...), (...) -> (...) boolean"""

    def neg(self) -> Tensor:
        """-x.   (...) -> (...)"""

    def pow(self, y: TensorLike) -> Tensor:
        """x to the power y.   (...), (...) -> (...)

        Raises DtypeError for integers to negative powers, which are no integers.
        """

    def rint(self, decimals: builtins.int = 0) -> Tensor:
        """The nearest number with so many decimals; a half goes to the even neighbour.   (...) -> (...)"""

    def sub(self, y: TensorLike) -> Tensor:
        """x - y.   (...), (...) -> (...)"""

    def swapdims(self, axis1: Any = ..., axis2: Any = ..., *, dim1: Any = ..., dim0: Any = ..., dim2: Any = ...) -> Tensor:
        """Two axes exchanged.   (.. m .. n ..) -> (.. n .. m ..)"""

    def swish(self) -> Tensor:
        """x sigmoid(x), also called swish.   (...) -> (...)   (Elfwing, Uchibe and Doya 2018)"""

    def true_divide(self, y: TensorLike) -> Tensor:
        """x / y, floating also for integers.   (...), (...) -> (...)"""

    def view(self, shape: Shape = ..., *, sizes: Shape = ..., size: Shape = ...) -> Tensor:
        """The same elements, row after row, in another shape; one length may be -1.   (...) -> shape"""

    def permute(self, axes: Axes = None, *, dims: Axes = ...) -> Tensor:
        """The axes in another order; None reverses them.   (d0, d1, ...) -> (d[axes[0]], d[axes[1]], ...)"""

    @property
    def at(self) -> Any:
        """Places of a tensor, for building a new one that differs there: x.at[index].set(values)."""

    def transpose(self, *axes: Axes, **named: Any) -> Tensor:
        """Two numbers swap two axes; one tuple, or none, reorders them all."""

    def to(self, dtype: npt.DTypeLike) -> Tensor:
        """The tensor in another dtype, itself where it has it; ``"cpu"``, the one device there is, changes nothing."""

    def allclose(self, y: Any, rtol: builtins.float = 1e-05, atol: builtins.float = 1e-08, equal_nan: builtins.bool = False) -> Tensor:
        """Whether `isclose` holds for every element, as a Python bool.   (...), (...) -> bool"""

    @property
    def T(self) -> Tensor:
        """All axes reversed."""

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged."""

    @property
    def device(self) -> str:
        """Where the elements are: always the CPU."""

    @property
    def nbytes(self) -> builtins.int:
        """Bytes that the elements take."""

    @property
    def itemsize(self) -> builtins.int:
        """Bytes that one element takes."""

    def float(self) -> Tensor:
        """The tensor in float32, itself where it is."""

    def double(self) -> Tensor:
        """The tensor in float64, itself where it is."""

    def long(self) -> Tensor:
        """The tensor in int64, itself where it is."""

    def half(self) -> Tensor:
        """The tensor in float16, itself where it is."""

    def int(self) -> Tensor:
        """The tensor in int32, itself where it is."""

    def bool(self) -> Tensor:
        """Whether each element is not 0."""

    def type_as(self, other: Any) -> Tensor:
        """The tensor in the dtype of another one."""

    def view_as(self, other: Any) -> Tensor:
        """The same elements in the shape of another tensor."""

    def expand_as(self, other: Any) -> Tensor:
        """Repeated to the shape of another tensor."""

    def is_floating_point(self) -> builtins.bool:
        """Whether the elements are floating numbers."""

    def cpu(self) -> Tensor:
        """The tensor itself: all are on the CPU."""

    def contiguous(self) -> Tensor:
        """The tensor itself: memory order never matters to a result."""

    def t(self) -> Tensor:
        """Rows and columns of a matrix exchanged.   (m, n) -> (n, m)"""

    def clone(self) -> Tensor:
        """The same values in a tensor of their own, through which gradients flow."""

    def copy(self) -> Tensor:
        """NumPy's name for clone."""

    def polygamma(self, n: Any) -> Tensor:
        """Derivative of order n + 1 of log gamma; n = 0 is digamma."""

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""

    def dim(self) -> builtins.int:
        """Number of axes; PyTorch's name for ndim."""

    def numel(self) -> builtins.int:
        """Number of elements; PyTorch's name for size."""

    def zero_grad(self) -> None:
        """Forget the gradient that backward added up."""

    def __array_ufunc__(self, ufunc: Any, method: Any, *inputs: Any, **kwargs: Any) -> Any:
        ...

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        ...

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: Any = None) -> npt.NDArray[Any]:
        ...

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None) -> Any:
        """The elements for another library: a copy, unless ``copy=False`` asks for the memory itself, to be read only."""

    def __dlpack_device__(self) -> Any:
        ...

    def __array_namespace__(self, api_version: Any = None) -> Any:
        """The functions for this tensor, in the names of the array API standard: minigrad itself."""

"""All ops, one file per kind. Importing this fills the registry; every file begins with what it offers to users. Written by python -m minigrad stubs; changes belong into the ops."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..tensor import Tensor
from . import activation as activation
from . import attention as attention
from . import axes as axes
from . import broadcasting as broadcasting
from . import contractions as contractions
from . import decompositions as decompositions
from . import distances as distances
from . import elementwise as elementwise
from . import fused as fused
from . import indexing as indexing
from . import joining as joining
from . import linalg as linalg
from . import logic as logic
from . import losses as losses
from . import neural as neural
from . import normalization as normalization
from . import norms as norms
from . import places as places
from . import probability as probability
from . import reduce as reduce
from . import rounding as rounding
from . import samples as samples
from . import scan as scan
from . import shape as shape
from . import sorting as sorting
from . import special as special

__all__ = [
    "celu", "elu", "geglu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish",
    "relu", "relu6", "selu", "silu", "softplus", "softshrink", "softsign", "swiglu", "tanhshrink", "threshold",
    "attention_weights", "scaled_dot_product_attention", "broadcast_to", "dot", "einsum", "inner", "tensordot",
    "cosine_similarity", "normalize", "pairwise_distance", "abs", "add", "arccos", "arccosh", "arcsin", "arcsinh",
    "arctan", "arctan2", "arctanh", "astype", "clip", "cos", "cosh", "divide", "exp", "exp2", "expm1", "fmax", "fmin",
    "hypot", "lerp", "log", "log10", "log1p", "log2", "logaddexp", "logit", "maximum", "minimum", "multiply",
    "nan_to_num", "negative", "power", "reciprocal", "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt", "square",
    "subtract", "tan", "tanh", "where", "array_split", "cat", "chunk", "column_stack", "concatenate", "dstack",
    "hstack", "split", "stack", "unbind", "vstack", "addmm", "bmm", "cross", "kron", "linear", "matmul", "mv", "outer",
    "trace", "vdot", "vecdot", "allclose", "array_equal", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor",
    "equal", "greater", "greater_equal", "invert", "isclose", "isfinite", "isinf", "isnan", "left_shift", "less",
    "less_equal", "logical_and", "logical_not", "logical_or", "logical_xor", "not_equal", "right_shift",
    "binary_cross_entropy_with_logits", "cross_entropy", "huber_loss", "kl_div", "l1_loss", "mse_loss", "nll_loss",
    "smooth_l1_loss", "dropout", "embedding", "gelu", "glu", "rotary", "batch_norm", "group_norm", "layer_norm",
    "rms_norm", "norm", "gather", "index_add", "index_select", "masked_fill", "masked_select", "scatter", "scatter_add",
    "take", "take_along_axis", "log_softmax", "softmax", "softmin", "all", "any", "argmax", "argmin", "count_nonzero",
    "logsumexp", "max", "mean", "median", "min", "nanmean", "nansum", "prod", "std", "sum", "var", "var_mean", "ceil",
    "floor", "floor_divide", "fmod", "remainder", "round", "trunc", "cumprod", "cumsum", "logcumsumexp", "atleast_1d",
    "atleast_2d", "atleast_3d", "broadcast_arrays", "diag", "diag_embed", "diagonal", "expand", "expand_dims",
    "flatten", "flip", "fliplr", "flipud", "meshgrid", "moveaxis", "movedim", "pad", "permute", "ravel", "repeat",
    "repeat_interleave", "reshape", "roll", "rot90", "squeeze", "swapaxes", "tile", "transpose", "tril", "triu",
    "unflatten", "unfold", "unsqueeze", "argsort", "nonzero", "searchsorted", "sort", "topk", "unique", "digamma",
    "erf", "erfc", "lgamma", "polygamma", "xlogy", "absolute", "acos", "acosh", "amax", "amin", "asin", "asinh", "atan",
    "atan2", "atanh", "bitwise_invert", "bitwise_left_shift", "bitwise_right_shift", "clamp", "concat",
    "cumulative_prod", "cumulative_sum", "div", "eq", "fix", "ge", "gt", "le", "lt", "mm", "mod", "mul", "ne", "neg",
    "permute_dims", "pow", "rint", "sub", "swapdims", "swish", "true_divide",
]

TensorLike = Tensor | npt.NDArray[Any] | np.generic | float | Sequence[Any]
Axes = int | Sequence[int] | None
Shape = int | Sequence[int]

def celu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha (exp(x / alpha) - 1): an elu without a corner.   (...) -> (...)   (Barron 2017)"""

def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha (exp(x) - 1).   (...) -> (...)   (Clevert, Unterthiner and Hochreiter 2016)"""

def geglu(value: TensorLike, gate: TensorLike, approximate: str = 'none') -> Tensor:
    """value gelu(gate): a gated linear unit with the gate of `gelu`, in one pass.   (...), (...) -> (...)   (Shazeer 2020)

    ``approximate`` is that of `gelu`.
    """

def hardshrink(x: TensorLike, lambd: float = 0.5) -> Tensor:
    """x, but 0 where |x| <= lambd.   (...) -> (...)"""

def hardsigmoid(x: TensorLike) -> Tensor:
    """relu6(x + 3) / 6: a sigmoid of three straight pieces.   (...) -> (...)"""

def hardswish(x: TensorLike) -> Tensor:
    """x hardsigmoid(x).   (...) -> (...)   (Howard et al. 2019)"""

def hardtanh(x: TensorLike, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x, but not below min_val and not above max_val.   (...) -> (...)"""

def leaky_relu(x: TensorLike, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope x.   (...) -> (...)"""

def logsigmoid(x: TensorLike) -> Tensor:
    """log(sigmoid(x)), without overflow.   (...) -> (...)"""

def mish(x: TensorLike) -> Tensor:
    """x tanh(softplus(x)).   (...) -> (...)   (Misra 2019)"""

def relu(x: TensorLike) -> Tensor:
    """max(x, 0).   (...) -> (...)"""

def relu6(x: TensorLike) -> Tensor:
    """x, but not below 0 and not above 6.   (...) -> (...)"""

def selu(x: TensorLike) -> Tensor:
    """1.0507 elu(x, alpha=1.6733), which normalizes itself.   (...) -> (...)   (Klambauer et al. 2017)"""

def silu(x: TensorLike) -> Tensor:
    """x sigmoid(x), also called swish.   (...) -> (...)   (Elfwing, Uchibe and Doya 2018)"""

def softplus(x: TensorLike, beta: float = 1.0, threshold: float = ...) -> Tensor:
    """log(1 + exp(beta x)) / beta, without overflow, and x itself where beta x > threshold.   (...) -> (...)

    PyTorch needs the threshold, 20 there, against overflow; here it is only for those who want the same digits.
    """

def softshrink(x: TensorLike, lambd: float = 0.5) -> Tensor:
    """x moved by lambd towards 0, and 0 where |x| <= lambd.   (...) -> (...)"""

def softsign(x: TensorLike) -> Tensor:
    """x / (1 + |x|).   (...) -> (...)"""

def swiglu(value: TensorLike, gate: TensorLike) -> Tensor:
    """value silu(gate): a gated linear unit with the gate of `silu`, in one pass.   (...), (...) -> (...)   (Shazeer 2020)"""

def tanhshrink(x: TensorLike) -> Tensor:
    """x - tanh(x).   (...) -> (...)"""

def threshold(x: TensorLike, threshold: Any, value: Any = ..., *, constant_values: Any = ...) -> Tensor:
    """x where x > threshold, else value.   (...) -> (...)"""

def attention_weights(q: TensorLike, k: TensorLike, mask: TensorLike | None = None, bias: TensorLike | None = None, is_causal: bool = False, scale: Any = None, enable_gqa: bool = False) -> Tensor:
    """softmax(q kT scale + bias): what every question takes of every key.   (..., h, T, dq), (..., h, S, dq) -> (..., h, T, S)

    The weights of `scaled_dot_product_attention`, which never holds them, with the same arguments: every row adds up to 1, what is
    forbidden is exactly 0, and a row with nothing to attend to is zeros. Raises ShapeError and DtypeError as that function does.
    """

def scaled_dot_product_attention(q: TensorLike, k: TensorLike, v: TensorLike, mask: TensorLike | None = None, bias: TensorLike | None = None, is_causal: bool = False, scale: Any = None, dropout: float = 0.0, enable_gqa: bool = False, seed: Any = None, offset: int = 0, generator: Any = None, *, dropout_p: float = ...) -> Tensor:
    """softmax(q kT scale + bias) v.   (..., h, T, dq), (..., h, S, dq), (..., h, S, dv) -> (..., h, T, dv)

    Every question takes the mean of the values, weighted by how well the keys answer it (Vaswani et al. 2017): the questions are
    in the rows of the scores, the keys in the columns, and every row of weights adds up to 1. ``scale`` defaults to 1 / sqrt(dq).
    ``mask``, boolean and broadcastable to (..., h, T, S), is True where a question may attend to a key; ``is_causal`` forbids
    keys s > t, also where T and S differ. Forbidden scores are -infinity before the softmax, so their weight is exactly 0; a
    question that may attend to nothing gets zeros. ``bias``, broadcastable as the mask, is added to the scores and receives a
    gradient. ``dropout`` leaves out weights as the function of that name does, by ``seed`` and ``offset``, or else by numbers of
    the ``generator``. With ``enable_gqa`` q has r times the heads of k and v, and head i of q uses head i // r of theirs. There
    may be any number of axes before T. Raises ShapeError and DtypeError for what does not fit together.
    """

def broadcast_to(x: TensorLike, shape: Shape = ..., *, sizes: Shape = ..., size: Shape = ...) -> Tensor:
    """Repeat axes of length 1, and new ones in front, until the shape is ``shape``.   (...) -> shape

    Raises ShapeError where an axis of another length than 1 would have to be repeated.
    """

def sum_to(x: TensorLike, shape: Shape = ..., *, sizes: Shape = ..., size: Shape = ...) -> Tensor:
    """Add up the axes along which ``shape`` was broadcast: the adjoint of broadcast_to.   (...) -> shape"""

def dot(x: TensorLike, y: TensorLike) -> Tensor:
    """NumPy's dot: the product summed over the last axis of x and the last but one of y.   (m, k), (k, n) -> (m, n)

    Of two vectors the sum of products, with a number the plain product. With more axes nothing broadcasts, every
    matrix meets every other; `matmul` is the one that broadcasts.
    """

def einsum(subscripts: Any, *operands: Any, optimize: bool = True) -> Tensor:
    """Products of tensors, summed over the letters that the output does not name (Einstein's notation).   (i, j), (j, k) -> (i, k)

    The subscripts give every axis of every tensor a letter, tensors are separated by commas. One letter twice in a tensor
    is its diagonal; one letter in several tensors is the same axis, where length 1 broadcasts. After ``->`` stand the
    letters of the output; without it, in the order of the alphabet, those that appear once. ``...`` stands for any axes
    in front, in between or behind; they broadcast.
    Several tensors are multiplied two at a time, the cheapest pair first; from left to right with ``optimize=False``.
    Raises ShapeError where a letter would have two lengths, or the subscripts do not fit the tensors.
    """

def inner(x: TensorLike, y: TensorLike) -> Tensor:
    """Every row of x with every row of y: the product summed over both last axes.   (..., k), (..., k) -> (..., ...)"""

def tensordot(x: TensorLike, y: TensorLike, axes: int = 2, *, dims: int = ...) -> Tensor:
    """The product summed over the last ``axes`` axes of x with the first of y, or over a pair of lists of axes.   (m, k), (k, n) -> (m, n)"""

def cosine_similarity(x: TensorLike, y: TensorLike, axis: int = -1, eps: float = 1e-08, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """Cosine of the angle between vectors, x y / (max(|x|, eps) max(|y|, eps)).   (..., n), (..., n) -> (...)

    1 for one direction, 0 at a right angle and for a vector of zeros. PyTorch's default axis is 1, ours the last.
    Raises ShapeError where the shapes do not broadcast.
    """

def normalize(x: TensorLike, p: int = 2, axis: int = -1, eps: float = 1e-12, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """Vectors along an axis divided by their length, x / max(norm(x, p), eps).   (..., n) -> (..., n)

    PyTorch's default axis is 1, ours the last. Raises ShapeError for an axis that is not there.
    """

def pairwise_distance(x: TensorLike, y: TensorLike, p: int = 2, eps: float = 1e-06, keepdims: bool = False, *, keepdim: bool = ...) -> Tensor:
    """Distance between vectors along the last axis, norm(x - y + eps, p).   (..., n), (..., n) -> (...)

    ``eps`` is PyTorch's, which keeps equal vectors apart; with eps=0 equal vectors have the distance 0 and the gradient 0.
    Raises ShapeError where the shapes do not broadcast.
    """

def abs(x: TensorLike) -> Tensor:
    """Absolute value.   (...) -> (...)"""

def add(x: TensorLike, y: TensorLike) -> Tensor:
    """x + y.   (...), (...) -> (...)"""

def arccos(x: TensorLike) -> Tensor:
    """The angle from 0 to pi whose cosine is x.   (...) -> (...)"""

def arccosh(x: TensorLike) -> Tensor:
    """The number from 0 up whose hyperbolic cosine is x; x is at least 1.   (...) -> (...)"""

def arcsin(x: TensorLike) -> Tensor:
    """The angle from -pi/2 to pi/2 whose sine is x.   (...) -> (...)"""

def arcsinh(x: TensorLike) -> Tensor:
    """The number whose hyperbolic sine is x.   (...) -> (...)"""

def arctan(x: TensorLike) -> Tensor:
    """The angle from -pi/2 to pi/2 whose tangent is x.   (...) -> (...)"""

def arctan2(y: TensorLike, x: TensorLike) -> Tensor:
    """The angle from -pi to pi of the point (x, y), seen from the origin; y comes first.   (...), (...) -> (...)"""

def arctanh(x: TensorLike) -> Tensor:
    """The number whose hyperbolic tangent is x; |x| is at most 1.   (...) -> (...)"""

def astype(x: TensorLike, dtype: npt.DTypeLike) -> Tensor:
    """The same values in another dtype.   (...) -> (...)

    Raises DtypeError for what is not the name of a dtype.
    """

def clip(x: TensorLike, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
    """x, but not below min and not above max; None is no bound.   (...), (...), (...) -> (...)

    That is minimum(maximum(x, min), max): where min > max the result is max.
    """

def cos(x: TensorLike) -> Tensor:
    """Cosine; x in radians.   (...) -> (...)"""

def cosh(x: TensorLike) -> Tensor:
    """Hyperbolic cosine, (exp(x) + exp(-x)) / 2.   (...) -> (...)"""

def divide(x: TensorLike, y: TensorLike) -> Tensor:
    """x / y, floating also for integers.   (...), (...) -> (...)"""

def exp(x: TensorLike) -> Tensor:
    """e to the power x.   (...) -> (...)"""

def exp2(x: TensorLike) -> Tensor:
    """2 to the power x.   (...) -> (...)"""

def expm1(x: TensorLike) -> Tensor:
    """exp(x) - 1, accurate also where x is near 0.   (...) -> (...)"""

def fmax(x: TensorLike, y: TensorLike) -> Tensor:
    """The greater of two; where one is NaN the other.   (...), (...) -> (...)"""

def fmin(x: TensorLike, y: TensorLike) -> Tensor:
    """The smaller of two; where one is NaN the other.   (...), (...) -> (...)"""

def hypot(x: TensorLike, y: TensorLike) -> Tensor:
    """sqrt(x^2 + y^2), without overflow: the long side of a right-angled triangle.   (...), (...) -> (...)"""

def lerp(x: TensorLike, y: TensorLike, weight: TensorLike) -> Tensor:
    """x + weight (y - x): x at weight 0, y at weight 1, a straight line through both.   (...), (...), (...) -> (...)"""

def log(x: TensorLike) -> Tensor:
    """Natural logarithm.   (...) -> (...)"""

def log10(x: TensorLike) -> Tensor:
    """Logarithm to base 10.   (...) -> (...)"""

def log1p(x: TensorLike) -> Tensor:
    """log(1 + x), accurate also where x is near 0.   (...) -> (...)"""

def log2(x: TensorLike) -> Tensor:
    """Logarithm to base 2.   (...) -> (...)"""

def logaddexp(x: TensorLike, y: TensorLike) -> Tensor:
    """log(exp(x) + exp(y)), without overflow.   (...), (...) -> (...)"""

def logit(x: TensorLike, eps: Any = None) -> Tensor:
    """log(x / (1 - x)), the inverse of sigmoid; with ``eps`` x is first held between eps and 1 - eps.   (...) -> (...)"""

def maximum(x: TensorLike, y: TensorLike) -> Tensor:
    """The greater of two, element by element.   (...), (...) -> (...)"""

def minimum(x: TensorLike, y: TensorLike) -> Tensor:
    """The smaller of two, element by element.   (...), (...) -> (...)"""

def multiply(x: TensorLike, y: TensorLike) -> Tensor:
    """x * y.   (...), (...) -> (...)"""

def nan_to_num(x: TensorLike, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Tensor:
    """x with numbers for NaN and the infinities; None is the greatest or smallest number of the dtype.   (...) -> (...)

    NumPy's function without its second argument, copy.
    """

def negative(x: TensorLike) -> Tensor:
    """-x.   (...) -> (...)"""

def power(x: TensorLike, y: TensorLike) -> Tensor:
    """x to the power y.   (...), (...) -> (...)

    Raises DtypeError for integers to negative powers, which are no integers.
    """

def reciprocal(x: TensorLike) -> Tensor:
    """1 / x, floating also for integers.   (...) -> (...)"""

def rsqrt(x: TensorLike) -> Tensor:
    """1 / sqrt(x).   (...) -> (...)"""

def sigmoid(x: TensorLike) -> Tensor:
    """1 / (1 + exp(-x)), without overflow, and accurate where it is small.   (...) -> (...)"""

def sign(x: TensorLike) -> Tensor:
    """-1, 0 or 1.   (...) -> (...)"""

def sin(x: TensorLike) -> Tensor:
    """Sine; x in radians.   (...) -> (...)"""

def sinh(x: TensorLike) -> Tensor:
    """Hyperbolic sine, (exp(x) - exp(-x)) / 2.   (...) -> (...)"""

def sqrt(x: TensorLike) -> Tensor:
    """Square root.   (...) -> (...)"""

def square(x: TensorLike) -> Tensor:
    """x * x.   (...) -> (...)"""

def subtract(x: TensorLike, y: TensorLike) -> Tensor:
    """x - y.   (...), (...) -> (...)"""

def tan(x: TensorLike) -> Tensor:
    """Tangent; x in radians.   (...) -> (...)"""

def tanh(x: TensorLike) -> Tensor:
    """Hyperbolic tangent.   (...) -> (...)"""

def where(condition: TensorLike, x: TensorLike, y: TensorLike) -> Tensor:
    """x where the condition holds, else y.   (...), (...), (...) -> (...)"""

def check_ids(name: Any, ids: Any, count: Any, what: Any, negative: bool = False) -> Tensor:
    """Ids as int64; raises naming the first one outside 0 .. count - 1, or with ``negative`` -count .. count - 1, and its place."""

def getitem(x: TensorLike, index: Any) -> Tensor:
    """x[index], in all of NumPy's forms.   (...) -> (...)

    Raises IndexError where x has no such place; of an array of integers the first one is named, and where it stands.
    """

def plain_index(index: Any) -> Tensor:
    """An index with the Tensors in it replaced by their arrays."""

def putitem(g: TensorLike, index: Any, shape: Shape = ..., *, sizes: Shape = ..., size: Shape = ...) -> Tensor:
    """Zeros of ``shape`` with ``g`` added at ``index``: the adjoint of getitem.   (...) -> shape"""

def array_split(x: TensorLike, n: Any = ..., axis: int = 0, *, chunks: Any = ..., indices_or_sections: Any = ..., dim: int = ..., dims: int = ..., dimension: int = ...) -> tuple[Tensor, ...]:
    """n parts of an axis as equal as can be, longer ones first, or parts between cut points.   (5, k) -> (3, k), (2, k) for n = 2"""

def cat(xs: Sequence[TensorLike], axis: int = 0, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """Tensors one after the other along an axis; None puts all elements in one row.   [(a, n), (b, n)] -> (a + b, n)

    Raises ShapeError where the other axes differ.
    """

def chunk(x: TensorLike, n: Any = ..., axis: int = 0, *, chunks: Any = ..., indices_or_sections: Any = ..., dim: int = ..., dims: int = ..., dimension: int = ...) -> tuple[Tensor, ...]:
    """At most n parts of an axis, all but the last of one length.   (5, k) -> (2, k), (2, k), (1, k) for n = 3"""

def column_stack(xs: Sequence[TensorLike]) -> Tensor:
    """Columns side by side; (n) counts as one column (n, 1).   [(n), (n, b)] -> (n, 1 + b)"""

def concatenate(xs: Sequence[TensorLike], axis: int = 0, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """Tensors one after the other along an axis; None puts all elements in one row.   [(a, n), (b, n)] -> (a + b, n)

    Raises ShapeError where the other axes differ.
    """

def dstack(xs: Sequence[TensorLike]) -> Tensor:
    """Tensors one behind the other along the third axis.   [(m, n), (m, n)] -> (m, n, 2)"""

def hstack(xs: Sequence[TensorLike]) -> Tensor:
    """Tensors one after the other along the second axis, rows of elements along their only one.   [(m, a), (m, b)] -> (m, a + b)"""

def split(x: TensorLike, n: Any = None, axis: int = 0, chunks_of: Any = None, *, chunks: Any = ..., indices_or_sections: Any = ..., dim: int = ..., dims: int = ..., dimension: int = ...) -> tuple[Tensor, ...]:
    """Parts of an axis, as a tuple: n equal ones, or between cut points.   (2 m, k) -> (m, k), (m, k) for n = 2

    ``chunks_of`` says the length of a part instead, the last one may be shorter, or lists all lengths: PyTorch's split.
    """

def stack(xs: Sequence[TensorLike], axis: int = 0, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """Tensors of one shape side by side along a new axis.   [(n), (n), (n)] -> (3, n)

    Raises ShapeError where the shapes differ.
    """

def unbind(x: TensorLike, axis: int = 0, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> tuple[Tensor, ...]:
    """The slices at every place of an axis, as a tuple.   (3, n) -> (n), (n), (n)"""

def vstack(xs: Sequence[TensorLike]) -> Tensor:
    """Tensors one below the other along the first axis; (n) counts as one row (1, n).   [(a, n), (b, n)] -> (a + b, n)"""

def addmm(b: TensorLike, x: TensorLike, y: TensorLike, beta: int = 1, alpha: int = 1) -> Tensor:
    """beta b + alpha (x y), where b broadcasts to the product; with beta 0 it is not looked at.   (m, n), (m, k), (k, n) -> (m, n)"""

def bmm(x: TensorLike, y: TensorLike) -> Tensor:
    """Product of two batches of matrices, pair by pair; nothing broadcasts.   (b, m, k), (b, k, n) -> (b, m, n)"""

def cross(x: TensorLike, y: TensorLike, axis: int = -1, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
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

def trace(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1, *, dim1: int = ..., dim0: int = ..., dim2: int = ...) -> Tensor:
    """Sum of the diagonal of two axes; ``offset`` counts diagonals to the right of the main one.   (.. n .. n ..) -> (...)"""

def vdot(x: TensorLike, y: TensorLike) -> Tensor:
    """Sum of the products of all elements, each tensor in a row.   (n), (n) -> ()"""

def vecdot(x: TensorLike, y: TensorLike, axis: int = -1, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """Sum of the products of the elements along an axis; the other axes broadcast.   (..., n), (..., n) -> (...)"""

def matrix_product(x: TensorLike, y: TensorLike, precision: Any = None) -> Tensor:
    """Matrix product over the last two axes; the axes before broadcast.   (..., m, k), (..., k, n) -> (..., m, n)

    The products in its gradients have the same ``precision``; without one, each has that of `settings.matmul_precision` at its time.
    """

def allclose(x: Any, y: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Whether `isclose` holds for every element, as a Python bool.   (...), (...) -> bool"""

def array_equal(x: Any, y: Any, equal_nan: bool = False) -> Tensor:
    """Whether shapes and all elements are equal, as a Python bool.   (...), (...) -> bool"""

def bitwise_and(x: TensorLike, y: TensorLike) -> Tensor:
    """The bits that are 1 in both.   (...), (...) -> (...)"""

def bitwise_not(x: TensorLike) -> Tensor:
    """Every bit the other way: -x - 1 of an integer, the opposite of a boolean.   (...) -> (...)"""

def bitwise_or(x: TensorLike, y: TensorLike) -> Tensor:
    """The bits that are 1 in one of them, or in both.   (...), (...) -> (...)"""

def bitwise_xor(x: TensorLike, y: TensorLike) -> Tensor:
    """The bits that differ.   (...), (...) -> (...)"""

def equal(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x == y, element by element.   (...), (...) -> (...) boolean"""

def greater(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x > y, element by element.   (...), (...) -> (...) boolean"""

def greater_equal(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x >= y, element by element.   (...), (...) -> (...) boolean"""

def invert(x: TensorLike) -> Tensor:
    """Every bit the other way: -x - 1 of an integer, the opposite of a boolean.   (...) -> (...)"""

def isclose(x: TensorLike, y: TensorLike, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Whether |x - y| <= atol + rtol |y|; equal infinities are close.   (...), (...) -> (...) boolean"""

def isfinite(x: TensorLike) -> Tensor:
    """Whether x is neither infinite nor NaN.   (...) -> (...) boolean"""

def isinf(x: TensorLike) -> Tensor:
    """Whether x is infinity or -infinity.   (...) -> (...) boolean"""

def isnan(x: TensorLike) -> Tensor:
    """Whether x is not a number.   (...) -> (...) boolean"""

def left_shift(x: TensorLike, y: TensorLike) -> Tensor:
    """x times 2 to the power y, by moving bits.   (...), (...) -> (...)"""

def less(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x < y, element by element.   (...), (...) -> (...) boolean"""

def less_equal(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x <= y, element by element.   (...), (...) -> (...) boolean"""

def logical_and(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether both are true.   (...), (...) -> (...) boolean"""

def logical_not(x: TensorLike) -> Tensor:
    """Whether x is false.   (...) -> (...) boolean"""

def logical_or(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether one of them is true, or both are.   (...), (...) -> (...) boolean"""

def logical_xor(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether exactly one of them is true.   (...), (...) -> (...) boolean"""

def not_equal(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x != y, element by element.   (...), (...) -> (...) boolean"""

def right_shift(x: TensorLike, y: TensorLike) -> Tensor:
    """x divided by 2 to the power y and rounded down, by moving bits.   (...), (...) -> (...)"""

def binary_cross_entropy_with_logits(logits: TensorLike, target: TensorLike, weight: TensorLike | None = None, pos_weight: TensorLike | None = None, reduction: str = 'mean') -> Tensor:
    """Minus the log-likelihood of yes-or-no targets, from logits.   (...), (...) -> ()

    -weight (pos_weight target log(sigmoid(x)) + (1 - target) log(sigmoid(-x))), without overflow and without a logarithm
    of 0; ``weight`` and ``pos_weight`` broadcast to the shape of the logits.
    Raises ShapeError where the shapes differ, also where they would broadcast.
    """

def cross_entropy(logits: TensorLike, targets: TensorLike, weight: TensorLike | None = None, reduction: str = 'mean', ignore_index: int = -100, label_smoothing: float = 0.0, axis: int = -1, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """Minus the logarithm of the probability that softmax(logits) gives the target.   (..., V), (...) -> ()

    For classes, integers (...): loss = logsumexp(logits) - logits[target], in nats, times weight[target]; a target equal to
    ``ignore_index`` counts as nothing, and "mean" divides by the sum of the weights of those that count (1 each by default).
    For probabilities, floating (..., V): loss = -sum(weight * target * log_softmax(logits)), and "mean" divides by the rows.
    ``label_smoothing`` s moves the target to (1 - s) target + s / V. The classes are the last ``axis``; in PyTorch axis 1.
    The mean over no targets is NaN with the gradient 0.
    Raises IndexError for a target outside 0 .. V - 1, ShapeError where the shapes do not fit.
    """

def huber_loss(x: TensorLike, target: TensorLike, reduction: str = 'mean', delta: float = 1.0) -> Tensor:
    """d^2 / 2 for differences up to delta, beyond it delta (|d| - delta / 2) (Huber 1964).   (...), (...) -> ()

    Raises ShapeError where the shapes differ, also where they would broadcast.
    """

def kl_div(log_probs: TensorLike, target: TensorLike, reduction: str = 'mean', log_target: bool = False) -> Tensor:
    """Kullback-Leibler divergence of a prediction from the target, sum(t (log(t) - log_probs)), with 0 log(0) = 0.   (...), (...) -> ()

    The first argument holds logarithms of probabilities, the second probabilities, or with ``log_target`` logarithms too.
    "mean" divides by the number of elements, as PyTorch's; "batchmean" by the length of the first axis, which is the divergence.
    Raises ShapeError where the shapes differ, also where they would broadcast.
    """

def l1_loss(x: TensorLike, target: TensorLike, reduction: str = 'mean') -> Tensor:
    """Absolute difference.   (...), (...) -> ()

    Raises ShapeError where the shapes differ, also where they would broadcast.
    """

def mse_loss(x: TensorLike, target: TensorLike, reduction: str = 'mean') -> Tensor:
    """Squared difference.   (...), (...) -> ()

    Raises ShapeError where the shapes differ, also where they would broadcast.
    """

def nll_loss(log_probs: TensorLike, targets: TensorLike, weight: TensorLike | None = None, reduction: str = 'mean', ignore_index: int = -100, axis: int = -1, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """Minus the log-probability of the target: what is left of `cross_entropy` after log_softmax.   (..., V), (...) -> ()

    loss = -weight[target] log_probs[target]; "mean" divides by the sum of the weights. Targets equal to ``ignore_index`` count
    as nothing. The classes are the last ``axis``; in PyTorch axis 1. Raises as `cross_entropy` does.
    """

def smooth_l1_loss(x: TensorLike, target: TensorLike, reduction: str = 'mean', beta: float = 1.0) -> Tensor:
    """|d| - beta / 2, but d^2 / (2 beta) for differences up to beta; 0 for beta is `l1_loss`.   (...), (...) -> ()

    `huber_loss` divided by its delta (Girshick 2015). Raises ShapeError where the shapes differ, also where they would broadcast.
    """

def dropout(x: TensorLike, rate: float = 0.5, seed: Any = None, offset: int = 0, training: bool = True, generator: Any = None, *, p: float = ...) -> Tensor:
    """Each element kept with probability 1 - rate and divided by it, or else 0.   (...) -> (...)

    The choice for element i is a hash of (seed, offset + i): the same in forward, backward and recomputation (Srivastava
    et al. 2014). Without a seed, both numbers come from ``generator``, by default the current one (`random.using`), which
    never gives the same numbers again. While not ``training`` x comes back as it is.
    Raises ValueError for a rate outside 0 <= rate < 1.
    """

def embedding(ids: TensorLike, weight: TensorLike, padding_idx: Any = None) -> Tensor:
    """The rows of a table, one per id: one-hot(ids) times the table.   integers (...), (V, E) -> (..., E)

    The row ``padding_idx`` is looked up as every other, but gets no gradient.
    Raises IndexError for an id outside 0 .. V - 1, naming it and its place; DtypeError where ids are not integers.
    """

def gelu(x: TensorLike, approximate: str = 'none') -> Tensor:
    """Gaussian error linear unit, x times the probability that a standard normal is below x.   (...) -> (...)

    "none": x/2 (1 + erf(x / sqrt(2))); "tanh": x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) (Hendrycks and Gimpel 2016).
    """

def glu(x: TensorLike, axis: int = -1, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """Gated linear unit: the first half along an axis times the sigmoid of the second.   (..., 2 n) -> (..., n)

    value * sigmoid(gate) (Dauphin et al. 2017). Raises ShapeError where the axis has no two halves.
    """

def rotary(x: TensorLike, cos: TensorLike, sin: TensorLike) -> Tensor:
    """Rotary positions: the two halves of every row turned by the angles of its position.   (..., T, d), (..., T, d/2) twice -> (..., T, d)

    [x1 cos - x2 sin, x2 cos + x1 sin] for x = [x1, x2] (Su et al. 2021): the product of two rows, one turned by the angles n w and
    one by m w, depends on n - m only. cos and sin broadcast to the halves of x.
    Raises ShapeError where d is odd, or the angles do not fit.
    """

def batch_norm(x: TensorLike, mean: TensorLike | None = None, var: TensorLike | None = None, weight: TensorLike | None = None, bias: TensorLike | None = None, eps: float = 1e-05, axis: int = -1, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """Every feature shifted to mean 0, scaled to variance 1 over the batch, then weight * x + bias.   (..., F), (F) x 4 -> (..., F)

    weight * (x - mean) / sqrt(var + eps) + bias (Ioffe and Szegedy 2015): without ``mean`` and ``var`` those of this batch, over
    all axes but the features' ``axis``; with them, those. Nothing is remembered: unlike PyTorch's, whose ``running_mean`` and
    ``running_var`` change in place while training, running averages are the caller's, from ``var_mean(x, axes)``, which can
    be handed in. The features are the last axis, in PyTorch axis 1.
    Raises ShapeError where a row of numbers has another length, ValueError for one statistic without the other.
    """

def group_norm(x: TensorLike, groups: TensorLike, weight: TensorLike | None = None, bias: TensorLike | None = None, eps: float = 1e-05, axis: int = -1, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """Each group of features of each row to mean 0 and variance 1, then weight * x + bias.   (B, ..., F), G, (F), (F) -> (B, ..., F)

    The features, neighbours along ``axis``, make G equal groups; mean and variance are over a group and all axes between, apart
    for each row of the batch, the first axis (Wu and He 2018). With G = F it is instance normalization. The features
    are the last axis, in PyTorch axis 1. Raises ShapeError where they cannot be divided into G groups.
    """

def layer_norm(x: TensorLike, weight: TensorLike | None = None, bias: TensorLike | None = None, eps: float = 1e-05, axis: int = -1, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """Every row shifted to mean 0, scaled to variance 1, then weight * row + bias.   (..., E), (E), (E) -> (..., E)

    weight * (x - mean) / sqrt(var + eps) + bias, mean and variance over the features of one row (Ba et al. 2016). A row is
    one ``axis`` or several; weight and bias have their lengths. PyTorch's normalized_shape are the lengths of the last axes.
    Raises ShapeError where weight or bias has another shape.
    """

def rms_norm(x: TensorLike, weight: TensorLike | None = None, eps: float = 1e-05, axis: int = -1, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """Every row divided by the root of its mean square, then times weight.   (..., E), (E) -> (..., E)

    weight * x / sqrt(mean(x^2) + eps): `layer_norm` without the shift (Zhang and Sennrich 2019). A row is one ``axis`` or
    several; weight has their lengths. PyTorch's default epsilon is the smallest step of the dtype.
    Raises ShapeError where weight has another shape.
    """

def norm(x: TensorLike, ord: Any = None, axis: Axes = None, keepdims: bool = False, *, p: Any = ..., dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Length of a vector, (sum |x|^ord)^(1 / ord), or norm of a matrix, as NumPy's.   (...) -> (... without axis)

    Without ``ord`` the square root of the sum of squares, over all axes or those given. Over one axis ``ord`` is a number,
    or infinity for the largest element, 0 for how many are not 0. Over two it is "fro", "nuc" (the sum of the
    singular values), 2 or -2 (the largest, the smallest), 1 or infinity (the largest sum of a column, of a row).
    Where the norm is 0 its gradient is 0.
    Raises ShapeError for another number of axes, ValueError for another ``ord``.
    """

def gather(x: TensorLike, axis: Axes = ..., index: Any = ..., *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
    """out[i, j] = x[i, index[i, j]] for axis 1, and so for every other.   (m, n), integers (m, k) -> (m, k)

    Along the other axes the index may be shorter than x. Raises IndexError for an index outside 0 .. n - 1.
    """

def index_add(x: TensorLike, axis: TensorLike, index: TensorLike, source: TensorLike, alpha: int = 1) -> Tensor:
    """x with out[:, index[j]] += alpha source[:, j] for axis 1, and so for every other.   (m, n), integers (k), (m, k) -> (m, n)

    Raises IndexError for an index outside 0 .. n - 1, ShapeError where the source has not one slice per index.
    """

def index_select(x: TensorLike, axis: Axes = ..., index: Any = ..., *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
    """The slices at some places of an axis.   (m, n), integers (k) -> (m, k) for axis 1

    Raises IndexError for an index outside 0 .. n - 1, naming it and its place.
    """

def masked_fill(x: TensorLike, mask: TensorLike, value: TensorLike) -> Tensor:
    """``value`` where the mask is true, else x, in the dtype of x.   (...), booleans (...), (...) -> (...)

    The value may be a number or a tensor; all three broadcast.
    """

def masked_select(x: TensorLike, mask: TensorLike) -> Tensor:
    """The elements where the mask is true, in a row; both broadcast.   (...), booleans (...) -> (k)"""

def scatter(x: TensorLike, axis: TensorLike, index: TensorLike, values: TensorLike) -> Tensor:
    """x with out[i, index[i, j]] = values[i, j] for axis 1, and so for every other.   (m, n), integers (m, k), (m, k) -> (m, n)

    Of places named twice the last one counts, and the gradient goes to it. The values may be longer than the index, or
    one number. Raises IndexError for an index outside 0 .. n - 1.
    """

def scatter_add(x: TensorLike, axis: TensorLike, index: TensorLike, values: TensorLike) -> Tensor:
    """x with out[i, index[i, j]] += values[i, j] for axis 1, and so for every other.   (m, n), integers (m, k), (m, k) -> (m, n)

    The values may be longer than the index, or one number. Raises IndexError for an index outside 0 .. n - 1.
    """

def take(x: TensorLike, indices: Any, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
    """The elements at some places along an axis, without one of the row of all elements.   (m, n), integers (k) -> (m, k)

    Raises IndexError for an index outside -n .. n - 1, naming it and its place.
    """

def take_along_axis(x: TensorLike, indices: Any, axis: int = -1, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """Along an axis, the element at each place that is named; the other axes broadcast.   (m, n), integers (m, k) -> (m, k)

    Without an axis both are rows of elements. Raises IndexError for an index outside -n .. n - 1.
    """

def log_softmax(x: TensorLike, axis: int = -1, where: Any = None, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """x - log(sum(exp(x))) along an axis: the logarithm of softmax, without overflow.   (..., n) -> (..., n)

    What ``where`` forbids is -infinity, the logarithm of its probability 0, and takes no part in the gradient.
    Raises DtypeError for a mask that is not boolean, ShapeError for one that does not broadcast to the shape of x.
    """

def softmax(x: TensorLike, axis: int = -1, where: Any = None, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis; what ``where`` forbids counts as -infinity and gets exactly 0.   (..., n) -> (..., n)

    Every row adds up to 1. A row in which nothing is allowed is all zeros; a row of -infinity without ``where`` is NaN.
    Raises DtypeError for a mask that is not boolean, ShapeError for one that does not broadcast to the shape of x.
    """

def softmin(x: TensorLike, axis: int = -1, where: Any = None, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """softmax(-x): the smallest gets most.   (..., n) -> (..., n)"""

def all(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Whether every element is true, that is not 0, over axes.   (...) -> (... without axis)"""

def any(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Whether at least one element is true, that is not 0, over axes.   (...) -> (... without axis)"""

def argmax(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Place of the largest value, the first one of several.   (...) -> (... without axis) int64

    Without an axis the place in the row of all elements.
    Raises ShapeError where there are no elements.
    """

def argmin(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Place of the smallest value, the first one of several.   (...) -> (... without axis) int64

    Without an axis the place in the row of all elements.
    Raises ShapeError where there are no elements.
    """

def count_nonzero(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """How many elements are not 0 over axes.   (...) -> (... without axis)"""

def logsumexp(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """log(sum(exp(x))) over axes, without overflow; -infinity over nothing.   (...) -> (... without axis)"""

def max(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """The largest value over axes.   (...) -> (... without axis)

    Raises ShapeError where there are no elements.
    """

def mean(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Mean over axes, floating also for integers.   (...) -> (... without axis)

    Raises ShapeError for the mean of no elements.
    """

def median(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """The value in the middle over axes, the mean of the two in the middle of an even number.   (...) -> (... without axis)

    Raises ShapeError where there are no elements.
    """

def min(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """The smallest value over axes.   (...) -> (... without axis)

    Raises ShapeError where there are no elements.
    """

def nanmean(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Mean over axes of what is not NaN; NaN, with the gradient 0, where all are.   (...) -> (... without axis)

    Raises ShapeError for the mean of no elements.
    """

def nansum(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Sum over axes with NaN as 0; a NaN gets the gradient 0.   (...) -> (... without axis)"""

def prod(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Product over axes, 1 over nothing; zeros have the right gradient too.   (...) -> (... without axis)"""

def std(x: TensorLike, axis: Axes = None, keepdims: bool = False, correction: int = 0, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ..., ddof: int = ...) -> Tensor:
    """Standard deviation over axes: the square root of the variance.   (...) -> (... without axis)

    ``ddof`` is NumPy's name for ``correction``. Raises ShapeError where n is not more than the correction.
    """

def sum(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """Sum over axes; 0 over nothing.   (...) -> (... without axis)"""

def var(x: TensorLike, axis: Axes = None, keepdims: bool = False, correction: int = 0, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ..., ddof: int = ...) -> Tensor:
    """Variance over axes: mean of (x - mean(x))^2, with n - ``correction`` as the divisor.   (...) -> (... without axis)

    ``ddof`` is NumPy's name for ``correction``. Raises ShapeError where n is not more than the correction.
    """

def var_mean(x: TensorLike, axis: Axes = None, keepdims: bool = False, correction: int = 0, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ..., ddof: int = ...) -> tuple[Tensor, Tensor]:
    """Variance and mean over axes at once, a tuple.   (...) -> (... without axis), (... without axis)"""

def ceil(x: TensorLike) -> Tensor:
    """The smallest whole number that is not below x.   (...) -> (...)"""

def floor(x: TensorLike) -> Tensor:
    """The greatest whole number that is not above x.   (...) -> (...)"""

def floor_divide(x: TensorLike, y: TensorLike) -> Tensor:
    """x / y rounded down.   (...), (...) -> (...)"""

def fmod(x: TensorLike, y: TensorLike) -> Tensor:
    """x - y trunc(x / y): what is left over, with the sign of x, as ``%`` in C.   (...), (...) -> (...)"""

def remainder(x: TensorLike, y: TensorLike) -> Tensor:
    """x - y floor(x / y): what is left over, with the sign of y, as ``%`` in Python.   (...), (...) -> (...)"""

def round(x: TensorLike, decimals: int = 0) -> Tensor:
    """The nearest number with so many decimals; a half goes to the even neighbour.   (...) -> (...)"""

def trunc(x: TensorLike) -> Tensor:
    """x without its fraction: rounded towards 0.   (...) -> (...)"""

def cumprod(x: TensorLike, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
    """Product of all elements up to each one; zeros have the right gradient too.   (...) -> (...), without an axis (...) -> (size)"""

def cumsum(x: TensorLike, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
    """Sum of all elements up to each one.   (...) -> (...), without an axis (...) -> (size)"""

def logcumsumexp(x: TensorLike, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
    """log(sum(exp(x))) of all elements up to each one, without overflow.   (...) -> (...), without an axis (...) -> (size)"""

def atleast_1d(*xs: TensorLike) -> Any:
    """Axes of length 1 added where there are fewer than 1; several tensors give a tuple.   () -> (1)"""

def atleast_2d(*xs: TensorLike) -> Any:
    """Axes of length 1 added where there are fewer than 2; several tensors give a tuple.   (n) -> (1, n)"""

def atleast_3d(*xs: TensorLike) -> Any:
    """Axes of length 1 added where there are fewer than 3; several tensors give a tuple.   (n) -> (1, n, 1), (m, n) -> (m, n, 1)"""

def broadcast_arrays(*xs: TensorLike) -> tuple[Tensor, ...]:
    """Several tensors repeated to one shape, as a tuple.   (m, 1), (n) -> (m, n), (m, n)"""

def diag(x: TensorLike, k: int = 0, *, diagonal: int = ..., key: int = ...) -> Tensor:
    """A matrix with x on its diagonal k; of a matrix, its diagonal k.   (n) -> (n + |k|, n + |k|), (m, n) -> (min(m, n))"""

def diag_embed(x: TensorLike, offset: int = 0, axis1: int = -2, axis2: int = -1, *, dim1: int = ..., dim0: int = ..., dim2: int = ...) -> Tensor:
    """Square matrices with the last axis as their diagonal, zeros elsewhere.   (..., n) -> (..., n + |offset|, n + |offset|)

    ``axis1`` and ``axis2`` say where rows and columns go in the result.
    """

def diagonal(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1, *, dim1: int = ..., dim0: int = ..., dim2: int = ...) -> Tensor:
    """The diagonal over two axes, as the last axis.   (m, ..., n) -> (..., min(m, n)) for axes 0 and -1"""

def expand(x: TensorLike, shape: Shape = ..., *, sizes: Shape = ..., size: Shape = ...) -> Tensor:
    """Axes of length 1, and new ones in front, repeated; -1 keeps a length.   (m, 1) -> (k, m, n)"""

def expand_dims(x: TensorLike, axis: Axes = ..., *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
    """A new axis of length 1 at ``axis``, or several at a tuple of places in the result.   (m, n) -> (m, 1, n)"""

def flatten(x: TensorLike, start_axis: int = 0, end_axis: int = -1, *, start_dim: int = ..., end_dim: int = ...) -> Tensor:
    """The axes from ``start_axis`` to ``end_axis`` as one.   (k, m, n) -> (k m n)"""

def flip(x: TensorLike, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
    """Axes backwards: all of them, one or several.   (...) -> (...)"""

def fliplr(x: TensorLike) -> Tensor:
    """The second axis backwards: left and right exchanged.   (m, n, ...) -> (m, n, ...)"""

def flipud(x: TensorLike) -> Tensor:
    """The first axis backwards: up and down exchanged.   (m, ...) -> (m, ...)"""

def meshgrid(*xs: TensorLike, indexing: str = 'xy') -> tuple[Tensor, ...]:
    """A grid of coordinates from one row of them per axis: 'xy' has columns by the first row, 'ij' rows.   (m), (n) -> (n, m), (n, m)"""

def moveaxis(x: TensorLike, source: Any, destination: Any) -> Tensor:
    """Axes moved to other places; the rest keep their order.   (k, m, n) -> (m, n, k) for 0 to -1"""

def movedim(x: TensorLike, source: Any, destination: Any) -> Tensor:
    """Axes moved to other places; the rest keep their order.   (k, m, n) -> (m, n, k) for 0 to -1"""

def pad(x: TensorLike, pad_width: Any, mode: str = 'constant', value: int = 0, *, constant_values: int = ...) -> Tensor:
    """A frame around the elements.   (m, n) -> (before + m + after, before + n + after)

    ``pad_width`` is one number for all sides, one pair (before, after) for all axes, or a pair for each axis. The frame is
    ``value``, or continues the elements: the last one ('edge'), mirrored at it ('reflect') or behind it ('symmetric'),
    or from the other end ('wrap'). Raises ShapeError for other widths, among them PyTorch's flat form.
    """

def permute(x: TensorLike, axes: Axes = None, *, dims: Axes = ...) -> Tensor:
    """The axes in another order; None reverses them.   (d0, d1, ...) -> (d[axes[0]], d[axes[1]], ...)"""

def ravel(x: TensorLike) -> Tensor:
    """All elements in one row.   (...) -> (size)"""

def repeat(x: TensorLike, repeats: Any, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
    """Each element several times along an axis, or in the row of all elements.   (m, n) -> (m, r n) for axis 1

    One number for all elements, or one for each place of the axis. `repeat_interleave` is PyTorch's name for it.
    """

def repeat_interleave(x: TensorLike, repeats: Any, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
    """Each element several times along an axis, or in the row of all elements.   (m, n) -> (m, r n) for axis 1

    One number for all elements, or one for each place of the axis. `repeat_interleave` is PyTorch's name for it.
    """

def reshape(x: TensorLike, shape: Shape = ..., *, sizes: Shape = ..., size: Shape = ...) -> Tensor:
    """The same elements, row after row, in another shape; one length may be -1.   (...) -> shape"""

def roll(x: TensorLike, shift: Any = ..., axis: Axes = None, *, shifts: Any = ..., dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
    """Elements moved by ``shift`` places, those pushed out at the end coming in at the beginning.   (...) -> (...)

    Without an axis in the row of all elements; of several axes each has its shift.
    """

def rot90(x: TensorLike, k: int = 1, axes: Axes = ..., *, diagonal: int = ..., key: int = ..., dims: Axes = ...) -> Tensor:
    """A plane turned k times by 90 degrees, from the first axis towards the second.   (m, n) -> (n, m)"""

def squeeze(x: TensorLike, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
    """Axes of length 1 removed: all of them, or those named.   (m, 1, n) -> (m, n)"""

def swapaxes(x: TensorLike, axis1: Any = ..., axis2: Any = ..., *, dim1: Any = ..., dim0: Any = ..., dim2: Any = ...) -> Tensor:
    """Two axes exchanged.   (.. m .. n ..) -> (.. n .. m ..)"""

def tile(x: TensorLike, reps: Any = ..., *, dims: Any = ...) -> Tensor:
    """The whole tensor repeated along its axes, from the last one backwards.   (m, n) -> (r m, s n) for (r, s)

    PyTorch's ``x.repeat(r, s)``.
    """

def transpose(x: TensorLike, axes: Axes = None, other: Any = None, *, dims: Axes = ...) -> Tensor:
    """Two numbers swap two axes, a tuple reorders all, nothing reverses them.   (m, n) -> (n, m)"""

def tril(x: TensorLike, k: int = 0, *, diagonal: int = ..., key: int = ...) -> Tensor:
    """Zeros above diagonal k of each matrix.   (..., m, n) -> (..., m, n)"""

def triu(x: TensorLike, k: int = 0, *, diagonal: int = ..., key: int = ...) -> Tensor:
    """Zeros below diagonal k of each matrix.   (..., m, n) -> (..., m, n)"""

def unflatten(x: TensorLike, axis: Axes = ..., shape: Shape = ..., *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., sizes: Shape = ..., size: Shape = ...) -> Tensor:
    """One axis as several, whose lengths multiply to its own; one length may be -1.   (k, m n) -> (k, m, n)"""

def unfold(x: TensorLike, axis: Axes = ..., size: Any = ..., step: Any = ..., *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
    """All windows of ``size`` places along an axis, each ``step`` after the one before.   (.. n ..) -> (.. (n - size) // step + 1 .., size)

    A view: nothing is copied. Where windows overlap, gradients add up.
    """

def unsqueeze(x: TensorLike, axis: Axes = ..., *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
    """A new axis of length 1 at ``axis``, or several at a tuple of places in the result.   (m, n) -> (m, 1, n)"""

def argsort(x: TensorLike, axis: int = -1, descending: bool = False, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """Places of the elements in order; equal ones keep theirs. None takes all in a row.   (.. n ..) -> (.. n ..) int64"""

def nonzero(x: TensorLike) -> tuple[Tensor, ...]:
    """Places of the elements that are not 0: one array of numbers for each axis.   (...) -> (count) int64, ..."""

def searchsorted(x: TensorLike, y: TensorLike, side: str = 'left') -> Tensor:
    """Where each of y would have to be put into x, which is in rising order, to keep the order.   (n), (...) -> (...) int64

    Before equal elements with the side "left", after them with "right". That x is in order is not checked.
    """

def sort(x: TensorLike, axis: int = -1, descending: bool = False, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> tuple[Tensor, Tensor]:
    """The elements in order, and their places: a tuple, as PyTorch gives it.   (.. n ..) -> (.. n ..), (.. n ..) int64

    Equal elements keep their order. None takes all in a row. ``np.sort`` of a tensor gives the values alone.
    """

def topk(x: TensorLike, k: Any = ..., axis: int = -1, largest: bool = True, *, diagonal: Any = ..., key: Any = ..., dim: int = ..., dims: int = ..., dimension: int = ...) -> tuple[Tensor, Tensor]:
    """The k largest elements in falling order and their places, or the k smallest rising.   (.. n ..) -> (.. k ..), (.. k ..) int64

    Of equal elements the first ones are taken. Raises ShapeError where there are not k elements.
    """

def unique(x: TensorLike, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Any:
    """The different values in rising order.   (...) -> (count), or a tuple that begins with it

    On demand followed by where each comes first, which of them each element is, and how often each occurs. With an axis
    the different slices along it.
    """

def digamma(x: TensorLike) -> Tensor:
    """The derivative of lgamma; infinite at 0, NaN at the other poles -1, -2 ..., whose sides differ.   (...) -> (...)

    In float64 the error is below 5e-15 of the result; between two poles, near its roots, 5e-15 itself.
    """

def erf(x: TensorLike) -> Tensor:
    """Error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.   (...) -> (...)"""

def erfc(x: TensorLike) -> Tensor:
    """1 - erf(x), accurate also where erf(x) is 1 to the last digit.   (...) -> (...)"""

def lgamma(x: TensorLike) -> Tensor:
    """Logarithm of |gamma(x)|, where gamma(n) = (n-1)!; infinite at 0, -1, -2 ...   (...) -> (...)

    In float64 the error is about 1e-15 of the result; between two poles, near its zeros, 1e-15 itself.
    """

def polygamma(n: TensorLike, x: TensorLike) -> Tensor:
    """The derivative of order n of digamma; polygamma(0, x) is digamma itself.   number, (...) -> (...)

    (-1)^(n+1) n! times the sum of (x + k)^-(n+1) over k >= 0. Infinite at 0, and at -1, -2 ... for odd n, else NaN there.
    In float64 the error is below 5e-15 of the result. Raises ValueError unless n is a whole number from 0 to 170.
    """

def xlogy(x: TensorLike, y: TensorLike) -> Tensor:
    """x log(y), and 0 where x is 0, whatever y is.   (...), (...) -> (...)"""

def absolute(x: TensorLike) -> Tensor:
    """Absolute value.   (...) -> (...)"""

def neg(x: TensorLike) -> Tensor:
    """-x.   (...) -> (...)"""

def sub(x: TensorLike, y: TensorLike) -> Tensor:
    """x - y.   (...), (...) -> (...)"""

def mul(x: TensorLike, y: TensorLike) -> Tensor:
    """x * y.   (...), (...) -> (...)"""

def div(x: TensorLike, y: TensorLike) -> Tensor:
    """x / y, floating also for integers.   (...), (...) -> (...)"""

def true_divide(x: TensorLike, y: TensorLike) -> Tensor:
    """x / y, floating also for integers.   (...), (...) -> (...)"""

def pow(x: TensorLike, y: TensorLike) -> Tensor:
    """x to the power y.   (...), (...) -> (...)

    Raises DtypeError for integers to negative powers, which are no integers.
    """

def mod(x: TensorLike, y: TensorLike) -> Tensor:
    """x - y floor(x / y): what is left over, with the sign of y, as ``%`` in Python.   (...), (...) -> (...)"""

def eq(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x == y, element by element.   (...), (...) -> (...) boolean"""

def ne(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x != y, element by element.   (...), (...) -> (...) boolean"""

def lt(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x < y, element by element.   (...), (...) -> (...) boolean"""

def le(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x <= y, element by element.   (...), (...) -> (...) boolean"""

def gt(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x > y, element by element.   (...), (...) -> (...) boolean"""

def ge(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x >= y, element by element.   (...), (...) -> (...) boolean"""

def asin(x: TensorLike) -> Tensor:
    """The angle from -pi/2 to pi/2 whose sine is x.   (...) -> (...)"""

def acos(x: TensorLike) -> Tensor:
    """The angle from 0 to pi whose cosine is x.   (...) -> (...)"""

def atan(x: TensorLike) -> Tensor:
    """The angle from -pi/2 to pi/2 whose tangent is x.   (...) -> (...)"""

def atan2(y: TensorLike, x: TensorLike) -> Tensor:
    """The angle from -pi to pi of the point (x, y), seen from the origin; y comes first.   (...), (...) -> (...)"""

def asinh(x: TensorLike) -> Tensor:
    """The number whose hyperbolic sine is x.   (...) -> (...)"""

def acosh(x: TensorLike) -> Tensor:
    """The number from 0 up whose hyperbolic cosine is x; x is at least 1.   (...) -> (...)"""

def atanh(x: TensorLike) -> Tensor:
    """The number whose hyperbolic tangent is x; |x| is at most 1.   (...) -> (...)"""

def bitwise_invert(x: TensorLike) -> Tensor:
    """Every bit the other way: -x - 1 of an integer, the opposite of a boolean.   (...) -> (...)"""

def bitwise_left_shift(x: TensorLike, y: TensorLike) -> Tensor:
    """x times 2 to the power y, by moving bits.   (...), (...) -> (...)"""

def bitwise_right_shift(x: TensorLike, y: TensorLike) -> Tensor:
    """x divided by 2 to the power y and rounded down, by moving bits.   (...), (...) -> (...)"""

def amax(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """The largest value over axes.   (...) -> (... without axis)

    Raises ShapeError where there are no elements.
    """

def amin(x: TensorLike, axis: Axes = None, keepdims: bool = False, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ..., keepdim: bool = ...) -> Tensor:
    """The smallest value over axes.   (...) -> (... without axis)

    Raises ShapeError where there are no elements.
    """

def clamp(x: TensorLike, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
    """x, but not below min and not above max; None is no bound.   (...), (...), (...) -> (...)

    That is minimum(maximum(x, min), max): where min > max the result is max.
    """

def fix(x: TensorLike) -> Tensor:
    """x without its fraction: rounded towards 0.   (...) -> (...)"""

def rint(x: TensorLike, decimals: int = 0) -> Tensor:
    """The nearest number with so many decimals; a half goes to the even neighbour.   (...) -> (...)"""

def swish(x: TensorLike) -> Tensor:
    """x sigmoid(x), also called swish.   (...) -> (...)   (Elfwing, Uchibe and Doya 2018)"""

def concat(xs: Sequence[TensorLike], axis: int = 0, *, dim: int = ..., dims: int = ..., dimension: int = ...) -> Tensor:
    """Tensors one after the other along an axis; None puts all elements in one row.   [(a, n), (b, n)] -> (a + b, n)

    Raises ShapeError where the other axes differ.
    """

def permute_dims(x: TensorLike, axes: Axes = None, *, dims: Axes = ...) -> Tensor:
    """The axes in another order; None reverses them.   (d0, d1, ...) -> (d[axes[0]], d[axes[1]], ...)"""

def swapdims(x: TensorLike, axis1: Any = ..., axis2: Any = ..., *, dim1: Any = ..., dim0: Any = ..., dim2: Any = ...) -> Tensor:
    """Two axes exchanged.   (.. m .. n ..) -> (.. n .. m ..)"""

def cumulative_sum(x: TensorLike, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
    """Sum of all elements up to each one.   (...) -> (...), without an axis (...) -> (size)"""

def cumulative_prod(x: TensorLike, axis: Axes = None, *, dim: Axes = ..., dims: Axes = ..., dimension: Axes = ...) -> Tensor:
    """Product of all elements up to each one; zeros have the right gradient too.   (...) -> (...), without an axis (...) -> (size)"""

def mm(x: TensorLike, y: TensorLike) -> Tensor:
    """Matrix product as NumPy's: vectors are rows on the left, columns on the right.   (..., m, k), (..., k, n) -> (..., m, n)

    Raises ShapeError where the inner axes differ.
    """

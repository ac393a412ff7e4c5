"""Small parts of networks: the activations gelu and glu, the rows of a table, rotary positions, and dropout."""

import functools
import math

import numpy as np

from .. import kernels, random
from ..core import op, values
from ..errors import DtypeError, ShapeError, received
from .axes import one_axis
from .broadcasting import promote, sum_to
from .elementwise import add, multiply, negative, sigmoid, square, subtract, tanh, where
from .indexing import check_ids, getitem
from .joining import concatenate
from .samples import ErrorSample, Sample, normal, strided
from .special import erf

__all__ = ["dropout", "embedding", "gelu", "glu", "rotary"]

# ----------------------------------------------------------------------------------------------------- activations


def _gelu_reference(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))


@op(saves=True, reference=_gelu_reference, samples=lambda rng: [
    Sample((normal(rng, 3, 4),)), Sample((normal(rng, 3, 4), "tanh")), Sample((strided(rng, 3, 5), "tanh"), note="strided"),
    Sample((normal(rng),), note="0-d"), Sample((normal(rng, 0, 3), "tanh"), note="0-size"),
], errors=lambda: [ErrorSample((np.ones(2), "sigmoid"), {}, ValueError, "gelu.*none.*tanh.*sigmoid")])  # fmt: skip
def gelu(x, /, approximate="none"):
    """Gaussian error linear unit, x times the probability that a standard normal is below x.   (...) -> (...)

    "none": x/2 (1 + erf(x / sqrt(2))); "tanh": x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) (Hendrycks and Gimpel 2016).

    >>> import numpy as np
    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    check_approximate("gelu", approximate)
    (x,) = promote((x,), floating=True)
    return kernels.gelu(x, approximate)


def check_approximate(name, approximate):
    if approximate not in ("none", "tanh"):
        raise ValueError(f'{name}: approximate is "none" or "tanh". Received: {approximate!r}.')


@gelu.vjp
def _(g, _, x, approximate, saved):
    return (multiply(g, saved),)


@gelu.composite
def _(x, approximate):
    if approximate == "tanh":
        inner = multiply(add(x, multiply(multiply(square(x), x), 0.044715)), math.sqrt(2 / math.pi))
        return multiply(multiply(x, 0.5), add(tanh(inner), 1.0))
    return multiply(multiply(x, 0.5), add(erf(multiply(x, math.sqrt(0.5))), 1.0))


def _glu_reference(x, axis=-1):
    value, gate = np.split(x, 2, axis)
    return value / (1 + np.exp(-gate))


@op(composed=True, reference=_glu_reference, samples=lambda rng: [
    Sample((normal(rng, 3, 4),)), Sample((normal(rng, 3, 4, 5), 1), note="inner axis"), Sample((strided(rng, 2, 6),), note="strided"),
    Sample((normal(rng, 0, 4),), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)),), {}, ShapeError, r"glu: axis -1 has 3 .*two halves.*\(2, 3\)"),
    ErrorSample((np.ones((2, 4)), 2), {}, ShapeError, r"glu: axis 2 is out of range.*\(2, 4\)"),
])  # fmt: skip
def glu(x, /, axis=-1):
    """Gated linear unit: the first half along an axis times the sigmoid of the second.   (..., 2 n) -> (..., n)

    value * sigmoid(gate) (Dauphin et al. 2017). Raises ShapeError where the axis has no two halves.

    >>> import numpy as np
    >>> glu(np.array([4.0, 0.0]))
    array([2.])
    """
    place = one_axis("glu", x, axis)
    n = x.shape[place]
    if n % 2:
        raise ShapeError(f"glu: axis {axis} has {n} elements, which are not two halves of equal length. " + received(x=x))
    before = (slice(None),) * place
    value, gate = getitem(x, (*before, slice(n // 2))), getitem(x, (*before, slice(n // 2, n)))  # (.. 2n ..) -> 2 (.. n ..)
    return multiply(value, sigmoid(gate))


# -------------------------------------------------------------------------------------------------- rows of a table


@op(reference=lambda weight, ids: weight[ids], samples=lambda rng: [
    Sample((normal(rng, 5, 3), np.array([[0, 4, 4], [1, 0, 2]]))), Sample((normal(rng, 5, 3), np.array(2)), note="0-d"),
    Sample((strided(rng, 4, 3), np.array([3, 3])), note="strided"), Sample((normal(rng, 4, 3), np.zeros((0, 2), int)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((3, 2)), np.array([[0, 1], [5, 1]])), {}, IndexError, r"embedding: ids\[1, 0\] is 5, outside 0 to 2"),
], method=False)  # fmt: skip
def table_rows(weight, ids, /):
    """The rows of a table, one per id.   (V, E), integers (...) -> (..., E)

    >>> import numpy as np
    >>> table_rows(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1]))
    array([[3., 4.]])
    """
    return weight[check_ids("embedding", np.asarray(ids), len(weight), "ids")]  # (V, E)[...] -> (..., E)


@table_rows.vjp
def _(g, _, weight, ids, into):
    return kernels.embedding_grad(g, np.asarray(ids).astype(np.int64, copy=False), len(weight), into[0]), None


@table_rows.composite
def _(weight, ids):
    return getitem(weight, np.asarray(ids))


@op(composed=True, reference=lambda ids, weight: weight[ids], samples=lambda rng: [
    Sample((np.array([[0, 4, 4], [1, 0, 2]]), normal(rng, 5, 3))), Sample((np.array(2), normal(rng, 5, 3)), note="0-d"),
    Sample((np.array([3, 3]), strided(rng, 4, 3)), note="strided"), Sample((np.zeros((0, 2), int), normal(rng, 4, 3)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.array([[0, 1], [5, 1]]), np.ones((3, 2))), {}, IndexError, r"embedding: ids\[1, 0\] is 5, outside 0 to 2"),
    ErrorSample((np.array([0.5]), np.ones((3, 2))), {}, DtypeError, r"embedding: ids must be integers.*\(ids, weight\)"),
    ErrorSample((np.array([0]), np.ones(3)), {}, ShapeError, r"embedding.*\(V, E\).*\(3,\)"),
    ErrorSample((np.array([0]), np.ones((3, 2)), 3), {}, IndexError, "embedding: padding_idx is 3, outside -3 to 2"),
], method=False)  # fmt: skip
def embedding(ids, weight, /, padding_idx=None):
    """The rows of a table, one per id: one-hot(ids) times the table.   integers (...), (V, E) -> (..., E)

    The row ``padding_idx`` is looked up as every other, but gets no gradient.
    Raises IndexError for an id outside 0 .. V - 1, naming it and its place; DtypeError where ids are not integers.

    >>> import numpy as np
    >>> embedding(np.array([1, 1, 0]), np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[3., 4.],
           [3., 4.],
           [1., 2.]])
    """
    ids = np.asarray(values(ids))
    if ids.dtype.kind not in "iu":
        raise DtypeError("embedding: ids must be integers; the order is (ids, weight), as in PyTorch. " + received(ids=ids, weight=weight))
    if getattr(weight, "ndim", 0) != 2:
        raise ShapeError("embedding: the table has the axes (V, E), one row for each id. " + received(ids=ids, weight=weight))
    rows = table_rows(weight, ids)
    if padding_idx is None:
        return rows
    V = len(weight)
    if not -V <= padding_idx < V:
        raise IndexError(f"embedding: padding_idx is {padding_idx}, outside {-V} to {V - 1}. " + received(weight=weight))
    padding = np.expand_dims(ids == padding_idx % V, -1)  # (...) -> (..., 1)
    return where(padding, values(rows), rows)


# ------------------------------------------------------------------------------------------------- rotary positions


def _rotary_reference(x, cos, sin):
    turned = (x[..., : x.shape[-1] // 2] + 1j * x[..., x.shape[-1] // 2 :]) * (cos + 1j * sin)
    return np.concatenate([turned.real, turned.imag], -1)


@op(linear=(0,), reference=_rotary_reference, samples=lambda rng: [
    Sample((normal(rng, 2, 3, 4, 6), normal(rng, 4, 3), normal(rng, 4, 3))), Sample((normal(rng, 4, 6), normal(rng, 4, 3), normal(rng, 3))),
    Sample((normal(rng, 2, 3, 4, 6), normal(rng, 2, 1, 4, 3), normal(rng, 2, 1, 4, 3)), note="positions of each row"),
    Sample((normal(rng, 2, 4, 3, 6).transpose(0, 2, 1, 3), normal(rng, 4, 3), normal(rng, 4, 3)), note="heads side by side"),
    Sample((strided(rng, 3, 4, 6), strided(rng, 4, 3), strided(rng, 4, 3)), note="strided"),
    Sample((normal(rng, 0, 3, 4, 6), normal(rng, 4, 3), normal(rng, 4, 3)), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones((4, 5)), np.ones((4, 2)), np.ones((4, 2))), {}, ShapeError, r"rotary: .*two halves.*\(4, 5\)"),
    ErrorSample((np.ones(6), np.ones(3), np.ones(3)), {}, ShapeError, r"rotary: x needs.*\(\.\.\., T, d\).*\(6,\)"),
    ErrorSample((np.ones((4, 6)), np.ones((4, 6)), np.ones((4, 6))), {}, ShapeError, r"rotary: cos.*\(4, 3\).*\(4, 6\)"),
    ErrorSample((np.ones((4, 6)), np.ones((4, 3)), np.ones((2, 4, 3))), {}, ShapeError, r"rotary: sin.*\(4, 3\).*\(2, 4, 3\)"),
], method=False)  # fmt: skip
def rotary(x, cos, sin, /):
    """Rotary positions: the two halves of every row turned by the angles of its position.   (..., T, d), (..., T, d/2) twice -> (..., T, d)

    [x1 cos - x2 sin, x2 cos + x1 sin] for x = [x1, x2] (Su et al. 2021): the product of two rows, one turned by the angles n w and
    one by m w, depends on n - m only. cos and sin broadcast to the halves of x.
    Raises ShapeError where d is odd, or the angles do not fit.

    >>> import numpy as np
    >>> rotary(np.array([[1.0, 2.0]]), np.array([[0.0]]), np.array([[1.0]]))
    array([[-2.,  1.]])
    """
    if x.ndim < 2 or x.shape[-1] % 2:
        raise ShapeError("rotary: x needs the axes (..., T, d), with d in two halves of equal length. " + received(x=x, cos=cos, sin=sin))
    halves = (*x.shape[:-1], x.shape[-1] // 2)
    for name, angles in (("cos", cos), ("sin", sin)):
        fits = angles.ndim <= x.ndim and all(n in (1, m) for n, m in zip(reversed(angles.shape), reversed(halves)))
        if not fits:
            raise ShapeError(f"rotary: {name} must broadcast to the halves {halves} of x. " + received(x=x, cos=cos, sin=sin))
    return kernels.rotary(x, cos, sin)


rotary.op.prepare = functools.partial(promote, floating=True)


def _halves(x):
    half = x.shape[-1] // 2
    return getitem(x, (..., slice(half))), getitem(x, (..., slice(half, None)))  # (..., d) -> 2 (..., d/2)


@rotary.vjp
def _(g, _, x, cos, sin, wanted):
    dx = rotary(g, cos, negative(sin)) if wanted[0] else None
    (g1, g2), (x1, x2) = _halves(g), _halves(x)
    dcos = sum_to(add(multiply(g1, x1), multiply(g2, x2)), cos.shape) if wanted[1] else None
    dsin = sum_to(subtract(multiply(g2, x1), multiply(g1, x2)), sin.shape) if wanted[2] else None
    return dx, dcos, dsin


@rotary.composite
def _(x, cos, sin):
    x1, x2 = _halves(x)
    turned = subtract(multiply(x1, cos), multiply(x2, sin)), add(multiply(x2, cos), multiply(x1, sin))
    return concatenate(turned, -1)  # 2 (..., d/2) -> (..., d)


# ---------------------------------------------------------------------------------------------------------- dropout


def _dropout_samples(rng):
    yield Sample((normal(rng, 3, 4), 0.5, 1, 0))
    yield Sample((strided(rng, 2, 3), 0.25, 7, 100), note="strided")
    yield Sample((normal(rng, 5), 0.0, 1, 0))
    yield Sample((normal(rng), 0.5, 2, 0), note="0-d")
    yield Sample((normal(rng, 0, 3), 0.5, 1, 0), note="0-size")


def _dropout_reference(x, rate=0.5, seed=None, offset=0, training=True):
    return kernels.reference.dropout(x, rate, seed, offset) if training else x


@op(linear=(0,), reference=_dropout_reference, samples=_dropout_samples, errors=lambda: [
    ErrorSample((np.ones(2), 1.5, 0, 0), {}, ValueError, "dropout.*1.5"),
], method=False)  # fmt: skip
def counted_dropout(x, /, rate, seed, offset):
    """Element i kept if a hash of (seed, offset + i) says so, and divided by 1 - rate, or else 0.   (...) -> (...)

    >>> import numpy as np
    >>> counted_dropout(np.ones(6), 0.5, seed=1, offset=0)
    array([2., 2., 2., 0., 2., 0.])
    """
    check_rate("dropout", rate)
    (x,) = promote((x,), floating=True)
    return kernels.dropout(x, rate, seed, offset)


@counted_dropout.vjp
def _(g, _, _x, rate, seed, offset):
    return (counted_dropout(g, rate, seed, offset),)


def check_rate(name, rate):
    if not 0 <= rate < 1:
        raise ValueError(f"{name}: rate must be at least 0 and below 1. Received: {rate}.")


@op(composed=True, linear=(0,), reference=_dropout_reference, samples=lambda rng: [
    *_dropout_samples(rng), Sample((normal(rng, 3, 4),), {"training": False}, note="not training"),
], errors=lambda: [
    ErrorSample((np.ones(2), 1.5, 0, 0), {}, ValueError, "dropout.*1.5"),
    ErrorSample((np.ones(2), 0.5, True), {}, TypeError, "dropout: seed is a whole number.*training=True"),
])  # fmt: skip
def dropout(x, /, rate=0.5, seed=None, offset=0, training=True, generator=None):
    """Each element kept with probability 1 - rate and divided by it, or else 0.   (...) -> (...)

    The choice for element i is a hash of (seed, offset + i): the same in forward, backward and recomputation (Srivastava
    et al. 2014). Without a seed, both numbers come from ``generator``, by default the current one (`random.using`), which
    never gives the same numbers again. While not ``training`` x comes back as it is.
    Raises ValueError for a rate outside 0 <= rate < 1.

    >>> import numpy as np
    >>> dropout(np.ones(6), rate=0.5, seed=1)
    array([2., 2., 2., 0., 2., 0.])
    """
    check_rate("dropout", rate)
    if isinstance(seed, bool):
        raise TypeError(f"dropout: seed is a whole number; PyTorch's third argument has a name here, training={seed}. Received: {seed}.")
    if not training:
        return x
    if seed is None:
        seed, offset = (generator or random.current()).counters(x.size)
    return counted_dropout(x, rate, seed, offset)

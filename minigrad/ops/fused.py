"""Ops recorded as one, because as several they would cost more: what surrounds the matrix products of a transformer.

Each has its parts as composite, and is what a layer calls where it would call the parts.
"""

import functools
import math

import numpy as np

from .. import kernels
from ..core import op
from ..errors import ShapeError, received
from .broadcasting import promote
from .elementwise import add
from .linalg import check_linear, linear
from .neural import check_approximate, gelu
from .samples import ErrorSample, Sample, normal, strided
from .shape import permute, reshape

__all__: list[str] = []  # parts for layers

# ------------------------------------------------------------------------------------------ a product and an activation


@op(saves=True, samples=lambda rng: [
    Sample((normal(rng, 2, 3, 4), normal(rng, 4, 5), normal(rng, 5))), Sample((normal(rng, 3, 4), normal(rng, 4, 5))),
    Sample((normal(rng, 3, 4), normal(rng, 4, 5), normal(rng, 5), "tanh")),
    Sample((strided(rng, 3, 4), normal(rng, 5, 4).T), note="strided"), Sample((normal(rng, 4), normal(rng, 4, 5)), note="one row"),
    Sample((normal(rng, 0, 4), normal(rng, 4, 5), normal(rng, 5)), note="0-size"),
], reference=lambda x, w, b=None, approximate="none": gelu.op.reference(np.matmul(x, w) + (0 if b is None else b), approximate),
   method=False, errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones((4, 5))), {}, ShapeError, r"linear_gelu.*3 features.*4 rows.*\(2, 3\).*\(4, 5\)"),
    ErrorSample((np.ones((2, 4)), np.ones((4, 5)), np.ones(4)), {}, ShapeError, r"linear_gelu.*5 columns.*\(4,\)"),
    ErrorSample((np.ones((2, 3)), np.ones((3, 5)), None, "sigmoid"), {}, ValueError, "linear_gelu.*none.*tanh.*sigmoid"),
])  # fmt: skip
def linear_gelu(x, w, b=None, /, approximate="none"):
    """gelu(x w + b) for every row of x.   (..., k), (k, n), (n) -> (..., n)

    >>> import numpy as np
    >>> linear_gelu(np.array([[1.0, 2.0]]), np.eye(2), np.array([10.0, 20.0]))
    array([[11., 22.]])
    """
    check_linear("linear_gelu", x, w, b)
    check_approximate("linear_gelu", approximate)
    return kernels.linear_gelu(x, w, b, approximate)


linear_gelu.op.prepare = functools.partial(promote, floating=True)


@linear_gelu.vjp
def _(g, _, x, w, b, approximate, saved, wanted):
    dh, db = kernels.multiply_sum_rows(g, saved)  # (..., n) -> (..., n), (n)
    dx, dw, _ = kernels.linear_grad([dh], x, [w], (*wanted[:2], False))
    return dx, dw, db if wanted[2] else None


@linear_gelu.composite
def _(x, w, b, approximate):
    return gelu(linear(x, w, b), approximate)


def _rows(x, last):
    """The axes before the last ones as one.   (..., n.. ) -> (rows, n)"""
    return x.reshape(math.prod(x.shape[: x.ndim - last]), math.prod(x.shape[x.ndim - last :]))


# --------------------------------------------------------------------------------------------------- a skip connection


def _check_plus(name, plus, shape):
    """Raises ShapeError unless plus is None or has the shape of the result."""
    if plus is not None and plus.shape != shape:
        raise ShapeError(f"{name}: plus is added number by number, so it needs the shape {shape} of the product. " + received(plus=plus))


@op(samples=lambda rng: [
    Sample((normal(rng, 2, 3, 4), normal(rng, 4, 5), normal(rng, 2, 3, 5), normal(rng, 5))),
    Sample((normal(rng, 3, 4), normal(rng, 4, 5), normal(rng, 3, 5))),
    Sample((strided(rng, 3, 4), normal(rng, 5, 4).T, strided(rng, 3, 5), normal(rng, 5)), note="strided"),
    Sample((normal(rng, 4), normal(rng, 4, 5), normal(rng, 5)), note="one row"),
    Sample((normal(rng, 0, 4), normal(rng, 4, 5), normal(rng, 0, 5), normal(rng, 5)), note="0-size"),
], reference=lambda x, w, plus, b=0: np.matmul(x, w) + plus + b, method=False, errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones((4, 5)), np.ones((2, 5))), {}, ShapeError, r"linear_plus.*3 features.*4 rows"),
    ErrorSample((np.ones((2, 4)), np.ones((4, 5)), np.ones((2, 4))), {}, ShapeError, r"linear_plus: plus.*\(2, 5\).*\(2, 4\)"),
])  # fmt: skip
def linear_plus(x, w, plus, b=None, /):
    """x w + plus + b: a product that is added to what is there.   (..., k), (k, n), (..., n), (n) -> (..., n)

    >>> import numpy as np
    >>> linear_plus(np.array([[1.0, 2.0]]), np.eye(2), np.array([[10.0, 20.0]]))
    array([[11., 22.]])
    """
    check_linear("linear_plus", x, w, b)
    _check_plus("linear_plus", plus, (*x.shape[:-1], w.shape[1]))
    return kernels.linear(x, w, b, plus)


linear_plus.op.prepare = functools.partial(promote, floating=True)


@linear_plus.vjp
def _(g, _, x, w, plus, b, wanted):
    dx, dw, db = kernels.linear_grad([g], x, [w], (wanted[0], wanted[1], wanted[3]))
    return dx, dw, g, db


@linear_plus.composite
def _(x, w, plus, b):
    return add(linear(x, w, b), plus)


def _feed_forward_reference(x, w1, w2, b1=None, b2=None, plus=None, approximate="none"):
    wide = gelu.op.reference(np.matmul(x, w1) + (0 if b1 is None else b1), approximate)
    return np.matmul(wide, w2) + (0 if b2 is None else b2) + (0 if plus is None else plus)


@op(saves=True, samples=lambda rng: [
    Sample((normal(rng, 2, 3, 4), normal(rng, 4, 7), normal(rng, 7, 5), normal(rng, 7), normal(rng, 5), normal(rng, 2, 3, 5))),
    Sample((normal(rng, 3, 4), normal(rng, 4, 7), normal(rng, 7, 5), None, None, None, "tanh")),
    Sample((strided(rng, 3, 4), normal(rng, 7, 4).T, normal(rng, 5, 7).T, normal(rng, 7)), note="strided"),
    Sample((normal(rng, 0, 4), normal(rng, 4, 7), normal(rng, 7, 5), None, normal(rng, 5)), note="0-size"),
], reference=_feed_forward_reference, method=False, errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones((4, 5)), np.ones((5, 3))), {}, ShapeError, r"feed_forward.*3 features.*4 rows"),
    ErrorSample((np.ones((2, 4)), np.ones((4, 5)), np.ones((6, 3))), {}, ShapeError, r"feed_forward.*5 features.*6 rows"),
    ErrorSample((np.ones((2, 4)), np.ones((4, 5)), np.ones((5, 3)), None, None, np.ones((2, 4))), {}, ShapeError,
                r"feed_forward: plus.*\(2, 3\)"),
    ErrorSample((np.ones((2, 4)), np.ones((4, 5)), np.ones((5, 3)), None, None, None, "relu"), {}, ValueError, "feed_forward.*none.*tanh"),
])  # fmt: skip
def feed_forward(x, w1, w2, b1=None, b2=None, plus=None, /, approximate="none"):
    """gelu(x w1 + b1) w2 + b2 + plus for every row of x.   (..., k), (k, n), (n, m), (n), (m), (..., m) -> (..., m)

    >>> import numpy as np
    >>> feed_forward(np.array([[10.0, 20.0]]), np.eye(2), np.ones((2, 1)))
    array([[30.]])
    """
    check_linear("feed_forward", x, w1, b1)
    check_approximate("feed_forward", approximate)
    wide, derivative = kernels.linear_gelu(x, w1, b1, approximate)
    check_linear("feed_forward", wide, w2, b2)
    _check_plus("feed_forward", plus, (*x.shape[:-1], w2.shape[1]))
    return kernels.linear(wide, w2, b2, plus), (wide, derivative)


feed_forward.op.prepare = functools.partial(promote, floating=True)


@feed_forward.vjp
def _(g, _, x, w1, w2, b1, b2, plus, approximate, saved, wanted):
    wide, derivative = saved
    inside = wanted[0] or wanted[1] or wanted[3]
    dwide, dw2, db2 = kernels.linear_grad([g], wide, [w2], (inside, wanted[2], wanted[4]), derivative)
    dx, dw1, db1 = kernels.linear_grad([dwide], x, [w1], (wanted[0], wanted[1], wanted[3]))
    return dx, dw1, dw2, db1, db2, g


@feed_forward.composite
def _(x, w1, w2, b1, b2, plus, approximate):
    y = linear(gelu(linear(x, w1, b1), approximate), w2, b2)
    return y if plus is None else add(y, plus)


# --------------------------------------------------------------------------------------------------- heads of attention


def _project_reference(x, *weights):
    out = []
    for w, b in zip(weights[::2], (*weights[1::2], None)):
        if w is not None:
            out.append(np.einsum("bte,ehd->bhtd", x, w) + (0 if b is None else b[:, None]))
    return tuple(out) if len(out) > 1 else out[0]


@op(samples=lambda rng: [
    Sample((normal(rng, 2, 3, 4), normal(rng, 4, 5, 6), normal(rng, 5, 6))), Sample((normal(rng, 2, 3, 4), normal(rng, 4, 5, 6))),
    Sample((normal(rng, 2, 3, 4), normal(rng, 4, 5, 6), normal(rng, 5, 6), normal(rng, 4, 1, 7), normal(rng, 1, 7))),
    Sample((normal(rng, 2, 3, 4), normal(rng, 4, 5, 6), None, normal(rng, 4, 5, 6), None, normal(rng, 4, 2, 7), None)),
    Sample((strided(rng, 2, 3, 4), normal(rng, 6, 5, 4).T), note="strided"),
    Sample((normal(rng, 0, 3, 4), normal(rng, 4, 5, 6), normal(rng, 5, 6)), note="0-size"),
], reference=_project_reference, method=False, errors=lambda: [
    ErrorSample((np.ones((2, 3, 4)), np.ones((5, 2, 3))), {}, ShapeError, r"project_heads.*4 features.*\(2, 3, 4\).*\(5, 2, 3\)"),
    ErrorSample((np.ones((2, 3, 4)), np.ones((4, 2, 3)), np.ones((3, 2))), {}, ShapeError, r"project_heads.*bias.*\(2, 3\).*\(3, 2\)"),
    ErrorSample((np.ones((3, 4)), np.ones((4, 2, 3))), {}, ShapeError, r"project_heads.*\(B, T, E\).*\(3, 4\)"),
])  # fmt: skip
def project_heads(x, w1, b1=None, w2=None, b2=None, w3=None, b3=None, /):
    """x w + b, split into heads, for each of up to three kernels.   (B, T, E), (E, h, d), (h, d) -> (B, h, T, d)

    >>> import numpy as np
    >>> project_heads(np.ones((1, 2, 3)), np.ones((3, 4, 5))).shape
    (1, 4, 2, 5)
    """
    if x.ndim != 3:
        raise ShapeError("project_heads: x needs the axes (B, T, E). " + received(x=x))
    pairs = [(w, b) for w, b in ((w1, b1), (w2, b2), (w3, b3)) if w is not None]
    for w, b in pairs:
        if w.ndim != 3 or w.shape[0] != x.shape[2]:
            raise ShapeError(f"project_heads: x has {x.shape[2]} features, so a kernel has the axes (E, h, d). " + received(x=x, w=w))
        if b is not None and b.shape != w.shape[1:]:
            raise ShapeError(f"project_heads: a bias has the axes (h, d) of its kernel, {w.shape[1:]}. " + received(w=w, b=b))
    wide = kernels.linears(x, [_rows(w, 2) for w, _ in pairs], [None if b is None else b.reshape(-1) for _, b in pairs])
    # (B, T, h d) -> (B, T, h, d) -> (B, h, T, d)
    heads = [y.reshape(*x.shape[:2], *w.shape[1:]).transpose(0, 2, 1, 3) for y, (w, _) in zip(wide, pairs)]
    return tuple(heads) if len(heads) > 1 else heads[0]


project_heads.op.prepare = functools.partial(promote, floating=True)


@project_heads.vjp
def _(g, _, x, w1, b1, w2, b2, w3, b3, wanted):
    given, ws = iter(g if type(g) is tuple else (g,)), (w1, w2, w3)
    gs = [None if w is None else next(given) for w in ws]
    gs = [None if d is None else _joined(d) for d in gs]  # (B, h, T, d) -> (B T, h d)
    dx, *found = kernels.linear_grad(gs, x, [None if w is None else _rows(w, 2) for w in ws], wanted)
    gradients = [dx]
    for w, dw, db in zip(ws, found[::2], found[1::2]):
        gradients.append(None if dw is None else dw.reshape(w.shape))  # (E, h d) -> (E, h, d)
        gradients.append(None if db is None else db.reshape(w.shape[1:]))  # (h d) -> (h, d)
    return gradients


@project_heads.composite
def _(x, w1, b1, w2, b2, w3, b3):
    heads = []
    for w, b in ((w1, b1), (w2, b2), (w3, b3)):
        if w is not None:
            (E, h, d), (B, T) = w.shape, x.shape[:2]
            wide = linear(x, reshape(w, (E, h * d)), None if b is None else reshape(b, (h * d,)))
            heads.append(permute(reshape(wide, (B, T, h, d)), (0, 2, 1, 3)))  # (B, T, h d) -> (B, T, h, d) -> (B, h, T, d)
    return tuple(heads) if len(heads) > 1 else heads[0]


@op(samples=lambda rng: [
    Sample((normal(rng, 2, 3, 4, 5), normal(rng, 3, 5, 6), normal(rng, 6))), Sample((normal(rng, 2, 3, 4, 5), normal(rng, 3, 5, 6))),
    Sample((normal(rng, 2, 3, 4, 5), normal(rng, 3, 5, 6), normal(rng, 6), strided(rng, 2, 4, 6)), note="plus"),
    Sample((normal(rng, 2, 4, 3, 5).transpose(0, 2, 1, 3), normal(rng, 6, 5, 3).T), note="strided"),
    Sample((normal(rng, 0, 3, 4, 5), normal(rng, 3, 5, 6), normal(rng, 6)), note="0-size"),
], reference=lambda x, w, b=0, plus=0: np.einsum("bhtd,hde->bte", x, w) + b + plus, method=False, errors=lambda: [
    ErrorSample((np.ones((2, 3, 4, 5)), np.ones((3, 4, 6))), {}, ShapeError, r"combine_heads.*\(B, h, T, d\).*\(h, d, E\).*\(3, 4, 6\)"),
    ErrorSample((np.ones((2, 3, 4, 5)), np.ones((3, 5, 6)), np.ones(5)), {}, ShapeError, r"combine_heads.*6 features.*\(5,\)"),
    ErrorSample((np.ones((2, 3, 4, 5)), np.ones((3, 5, 6)), None, np.ones(6)), {}, ShapeError, r"combine_heads: plus.*\(2, 4, 6\).*\(6,\)"),
])  # fmt: skip
def combine_heads(heads, w, b=None, plus=None, /):
    """The heads side by side, times one kernel, and plus.   (B, h, T, d), (h, d, E), (E), (B, T, E) -> (B, T, E)

    It is the sum of all heads' products.

    >>> import numpy as np
    >>> combine_heads(np.ones((1, 4, 2, 5)), np.ones((4, 5, 3)))[0, 0]
    array([20., 20., 20.])
    """
    if heads.ndim != 4 or w.ndim != 3 or w.shape[:2] != (heads.shape[1], heads.shape[3]):
        raise ShapeError("combine_heads: heads (B, h, T, d) and kernel (h, d, E) agree in h and d. " + received(heads=heads, w=w))
    if b is not None and b.shape != w.shape[2:]:
        raise ShapeError(f"combine_heads: the bias needs one number for each of the {w.shape[2]} features. " + received(w=w, b=b))
    (B, _, T, _), E = heads.shape, w.shape[2]
    _check_plus("combine_heads", plus, (B, T, E))
    return kernels.linear(_joined(heads), _rows(w, 1), b, None if plus is None else _rows(plus, 1)).reshape(B, T, E)


combine_heads.op.prepare = functools.partial(promote, floating=True)


def _joined(heads):
    """(B, h, T, d) -> (B, T, h, d) -> (B T, h d)"""
    return _rows(heads.transpose(0, 2, 1, 3), 2)


@combine_heads.vjp
def _(dplus, _, heads, w, b, plus, wanted):
    (B, h, T, d), g = heads.shape, _rows(dplus, 1)  # (B, T, E) -> (B T, E)
    dheads, dw, db = kernels.linear_grad([g], _joined(heads), [_rows(w, 1)], wanted)
    if dheads is not None:
        dheads = dheads.reshape(B, T, h, d).transpose(0, 2, 1, 3)  # (B T, h d) -> (B, T, h, d) -> (B, h, T, d)
    return dheads, None if dw is None else dw.reshape(w.shape), db, dplus  # (h d, E) -> (h, d, E)


@combine_heads.composite
def _(heads, w, b, plus):
    (B, h, T, d), E = heads.shape, w.shape[2]
    joined = reshape(permute(heads, (0, 2, 1, 3)), (B, T, h * d))  # (B, h, T, d) -> (B, T, h, d) -> (B, T, h d)
    y = linear(joined, reshape(w, (h * d, E)), b)
    return y if plus is None else add(y, plus)

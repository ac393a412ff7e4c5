"""Inverses, determinants and decompositions of matrices, each with a rule that carries every order.

LAPACK does the work of the forward, through NumPy. The axes before the last two are a batch.
"""

import numpy as np

from ..core import op, values
from ..errors import DtypeError, GradientError, LinAlgError, ShapeError, received
from .broadcasting import promote, sum_to
from .elementwise import add, divide, multiply, negative, subtract, where
from .indexing import check_rank, getitem
from .joining import concatenate
from .linalg import matrix_product, mT, trace
from .samples import ErrorSample, Sample, normal, strided
from .shape import diag_embed, expand_dims, squeeze

__all__ = []  # what users call is in minigrad.linalg


def _floats(name, *xs):
    """The arrays in one floating type that LAPACK knows."""
    xs = promote(xs, floating=True)
    if xs[0].dtype not in (np.float32, np.float64):
        raise DtypeError(f"{name}: works in float32 and float64; convert with astype. " + received(x=xs[0]))
    return xs


def _square(name, x):
    check_rank(name, x, 2)
    if x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{name}: needs square matrices, these have {x.shape[-2]} rows and {x.shape[-1]} columns. " + received(x=x))


def _lapack(name, function, x, fault):
    """``function(x)``; where LAPACK refuses, an error that names the first matrix of the batch that it refuses."""
    try:
        return function(x)
    except np.linalg.LinAlgError:
        raise LinAlgError(f"{name}: {_refused(function, x)} {fault} " + received(x=x)) from None


def _refused(function, x):
    for place in np.ndindex(x.shape[:-2]):
        try:
            function(x[place])
        except np.linalg.LinAlgError:
            return f"matrix {list(place)}" if place else "the matrix"


def _symmetric(x):
    return multiply(add(x, mT(x)), 0.5)


def _sum(*terms):
    """The sum of those that are not None; None of nothing."""
    total = None
    for term in terms:
        total = total if term is None else term if total is None else add(total, term)
    return total


def _regular(rng, *shape):
    """Square matrices far from singular, and not symmetric."""
    return normal(rng, *shape) * 0.4 + np.diag(np.arange(1.5, shape[-1] + 1.5))


def _squares(rng):
    yield Sample((_regular(rng, 3, 3),), note="square")
    yield Sample((_regular(rng, 2, 3, 3),), note="square batch")
    yield Sample((strided(rng, 3, 3) * 0.3 + np.diag([1.0, 2.0, 3.0]),), note="square 3x3")
    yield Sample((np.asfortranarray(_regular(rng, 2, 2)),), note="square strided")
    yield Sample((normal(rng, 0, 3, 3),), note="square 0-size")


def _square_errors(name):
    return [
        ErrorSample((np.ones((2, 3)),), {}, ShapeError, rf"{name}: needs square matrices.* 2 rows and 3 columns.*\(2, 3\)"),
        ErrorSample((np.ones(3),), {}, ShapeError, rf"{name}: x needs at least 2 axes.*\(3,\)"),
        ErrorSample((np.ones((2, 2), np.float16),), {}, DtypeError, rf"{name}: works in float32 and float64.*float16"),
    ]


SINGULAR = np.array([[[2.0, 1.0], [1.0, 2.0]], [[1.0, 2.0], [2.0, 4.0]]])  # the first matrix is regular, the second is not
INDEFINITE = np.array([[[2.0, 1.0], [1.0, 2.0]], [[1.0, 2.0], [2.0, 1.0]]])  # the first is positive definite, the second is not
NO_NUMBER = np.array([[[2.0, 1.0], [1.0, 2.0]], [[1.0, np.nan], [np.nan, 1.0]]])

# --------------------------------------------------------------------------------------- inverse, systems of equations


@op(numpy=np.linalg.inv, reference=np.linalg.inv, method=False, samples=_squares, errors=lambda: [
    *_square_errors("inv"), ErrorSample((SINGULAR,), {}, LinAlgError, r"inv: matrix \[1\] is singular.*\(2, 2, 2\)"),
    ErrorSample((SINGULAR[1],), {}, LinAlgError, r"inv: the matrix is singular.*pinv"),
])  # fmt: skip
def inv(x, /):
    """The inverse of square matrices.   (..., n, n) -> (..., n, n)

    Raises LinAlgError for a singular matrix, ShapeError where the matrices are not square.

    >>> import numpy as np
    >>> inv(np.array([[2.0, 0.0], [0.0, 4.0]]))
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    _square("inv", x)
    (x,) = _floats("inv", x)
    return _lapack("inv", np.linalg.inv, x, "is singular and has no inverse; linalg.pinv gives the pseudo-inverse.")


@inv.vjp
def _(g, out, x):
    return (negative(matrix_product(matrix_product(mT(out), g), mT(out))),)  # d inv(x) = -inv(x) dx inv(x)


@op(numpy=np.linalg.solve, reference=np.linalg.solve, linear=(1,), method=False, samples=lambda rng: [
    Sample((_regular(rng, 3, 3), normal(rng, 3, 2)), note="square"),
    Sample((_regular(rng, 2, 3, 3), normal(rng, 3)), note="square, vector"),
    Sample((_regular(rng, 2, 1, 3, 3), normal(rng, 4, 3, 2)), note="square, broadcast"),
    Sample((np.asfortranarray(_regular(rng, 3, 3)), strided(rng, 3)), note="square, strided vector"),
    Sample((_regular(rng, 3, 3), normal(rng, 3, 0)), note="square, 0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), np.ones(2)), {}, ShapeError, r"solve: needs square matrices.*\(2, 3\)"),
    ErrorSample((np.ones((2, 2)), np.ones(())), {}, ShapeError, r"solve: b needs at least 1 axes"),
    ErrorSample((np.ones((2, 2)), np.ones((3, 2))), {}, ShapeError, r"solve: 2 equations.* 3 rows.*a \(2, 2\).*b \(3, 2\)"),
    ErrorSample((np.ones((4, 2, 2)), np.ones((3, 2, 1))), {}, ShapeError, r"solve: .* do not broadcast.*a \(4, 2, 2\).*b \(3, 2, 1\)"),
    ErrorSample((SINGULAR, np.ones(2)), {}, LinAlgError, r"solve: matrix \[1\] is singular.*\(2, 2, 2\)"),
])  # fmt: skip
def solve(a, b, /):
    """The x for which a x = b, where b is one vector or matrices of columns.   (..., n, n), (..., n, k) -> (..., n, k)

    b with one axis is a vector: (..., n, n), (n) -> (..., n).
    Raises LinAlgError for a singular matrix, ShapeError where a is not square or b has not as many rows.

    >>> import numpy as np
    >>> solve(np.array([[2.0, 0.0], [1.0, 1.0]]), np.array([4.0, 5.0]))
    array([2., 3.])
    """
    _square("solve", a)
    check_rank("solve", b, 1, "b")
    if b.shape[-min(2, b.ndim)] != a.shape[-1]:
        rows = f"{a.shape[-1]} equations in a, {b.shape[-min(2, b.ndim)]} rows in b"
        raise ShapeError(f"solve: {rows}; several right sides are the columns of b. " + received(a=a, b=b))
    try:
        np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ShapeError("solve: the axes before the last two do not broadcast. " + received(a=a, b=b)) from None
    a, b = _floats("solve", a, b)
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        raise LinAlgError(f"solve: {_refused(np.linalg.inv, a)} is singular: no x, or more than one. " + received(a=a, b=b)) from None


@solve.vjp
def _(g, out, a, b, wanted):
    if b.ndim == 1:
        g, out = expand_dims(g, -1), expand_dims(out, -1)  # (..., n) -> (..., n, 1)
    db = solve(mT(a), g)  # (..., n, n), (..., n, k) -> (..., n, k)
    da = sum_to(negative(matrix_product(db, mT(out))), a.shape) if wanted[0] else None  # (n, k), (k, n) -> (n, n)
    if b.ndim == 1:
        db = squeeze(db, -1)  # (..., n, 1) -> (..., n)
    return da, sum_to(db, b.shape) if wanted[1] else None


# ------------------------------------------------------------------------------------------------------ determinants


@op(numpy=np.linalg.det, reference=np.linalg.det, method=False, errors=lambda: _square_errors("det"), samples=lambda rng: [
    *_squares(rng), Sample((np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]),), note="square of rank 2"),
    Sample((np.stack([np.outer([1.0, -2.0, 0.5], [1.0, 3.0, 2.0]), np.zeros((3, 3)), np.eye(3)]),), note="square of rank 1, 0 and 3"),
])  # fmt: skip
def det(x, /):
    """Determinant; the gradient is right for singular matrices too.   (..., n, n) -> (...)

    >>> import numpy as np
    >>> det(np.array([[0.0, 1.0], [1.0, 7.0]]))
    array(-1.)
    """
    _square("det", x)
    return np.asarray(np.linalg.det(*_floats("det", x)))


@det.vjp
def _(g, out, x):
    return (multiply(expand_dims(g, (-2, -1)), _cofactors(x, out)),)  # (...) -> (..., 1, 1)


def _cofactors(x, determinant):
    """The gradient of det(x): det(x) inv(x)^T where x is regular.   (..., n, n) -> (..., n, n)

    Where it is not, m = x + u v^T is, with u and v from the directions in which x is nothing. They are constants, so
    det(x) = det(m) det(s) with s = 1 - v^T inv(m) u is true for every x, and its derivative
    det(m) (inv(m) det(s) + inv(m) u adj(s) v^T inv(m))^T needs no inverse of s, which is small: k lost dimensions, k x k.
    """
    if (lost := _lost_directions(values(x))) is None:
        return multiply(expand_dims(determinant, (-2, -1)), mT(inv(x)))
    u, vt = lost  # (..., n, k), (..., k, n)
    m = add(x, matrix_product(u, vt))
    inverse = inv(m)
    s = subtract(np.eye(u.shape[-1], dtype=x.dtype), matrix_product(matrix_product(vt, inverse), u))  # (..., k, k)
    adjugate, determinant = _adjugate(s)
    around = matrix_product(matrix_product(matrix_product(inverse, u), adjugate), matrix_product(vt, inverse))  # (..., n, n)
    total = add(multiply(inverse, expand_dims(determinant, (-2, -1))), around)
    return multiply(expand_dims(det(m), (-2, -1)), mT(total))


def _lost_directions(x):
    """u (..., n, k) and v^T (..., k, n) such that x + u v^T is regular, of the size of x; None where x itself is. Constants."""
    n, eps = x.shape[-1], np.finfo(x.dtype).eps
    with np.errstate(divide="ignore"):
        bound = np.log(np.sqrt(np.sum(x * x, -1))).sum(-1)  # Hadamard: log|det x| is at most this, and far less if x is nearly singular
    if n == 0 or np.all(np.linalg.slogdet(x)[1] > np.log(n * eps) + bound):
        return None
    u, s, vt = np.linalg.svd(x)
    k = int(np.max(np.sum(s <= n * eps * s[..., :1], -1)))  # of the matrix that lost most; the others lose nothing by it
    size = np.where(s[..., :1] == 0, 1, s[..., :1])[..., None]  # (..., 1, 1)
    return (u[..., n - k :] * size, vt[..., n - k :, :]) if k else None


def _adjugate(x):
    """adj(x), the matrix with adj(x) x = det(x), and det(x), by products and traces alone (Faddeev and LeVerrier)."""
    k = x.shape[-1]
    identity = np.eye(k, dtype=x.dtype)
    adjugate = identity if x.ndim == 2 else np.broadcast_to(identity, x.shape)
    for i in range(1, k + 1):
        product = matrix_product(x, adjugate)
        coefficient = divide(trace(product, 0, -2, -1), float(-i))  # of the characteristic polynomial
        if i < k:
            adjugate = add(product, multiply(expand_dims(coefficient, (-2, -1)), identity))
    odd = -1.0 if k % 2 else 1.0
    return multiply(adjugate, -odd), multiply(coefficient, odd)


@op(numpy=np.linalg.slogdet, reference=np.linalg.slogdet, method=False, samples=_squares, errors=lambda: _square_errors("slogdet"))
def slogdet(x, /):
    """The sign of the determinant and the logarithm of its absolute value, without overflow.   (..., n, n) -> (...), (...)

    A singular matrix has the sign 0 and the logarithm -infinity, without a gradient: asking for it raises GradientError.

    >>> import numpy as np
    >>> slogdet(np.diag([-1.0, 1.0, 1.0]))
    (array(-1.), array(0.))
    """
    _square("slogdet", x)
    return tuple([np.asarray(part) for part in np.linalg.slogdet(*_floats("slogdet", x))])


@slogdet.vjp
def _(g, out, x):
    g, sign = g[1], values(out[0])
    if g is None:  # the sign alone is constant
        return (None,)
    if not np.all(sign):
        place = np.argwhere(sign == 0)[0].tolist()
        raise GradientError(
            f"slogdet: matrix {place} is singular, where log|det| has no gradient; det has one. ".replace("matrix []", "the matrix")
            + received(x=x)
        )
    return (multiply(expand_dims(g, (-2, -1)), mT(inv(x))),)


# ----------------------------------------------------------------------------------------------------- decompositions


def _positive(rng, *shape):
    """Symmetric positive definite matrices with eigenvalues far apart."""
    noise = normal(rng, *shape) * 0.3
    return noise + np.swapaxes(noise, -1, -2) + np.diag(np.arange(2.0, 2 * shape[-1] + 1, 2))


def _symmetric_samples(rng):
    yield Sample((np.diag([2.0, 1.0, 3.0]),), note="square, diagonal")
    yield Sample((_positive(rng, 3, 3),), note="square")
    yield Sample((_positive(rng, 2, 3, 3),), note="square batch")
    yield Sample((_positive(rng, 2, 6, 6)[0, ::2, ::2],), note="square strided")
    yield Sample((normal(rng, 0, 3, 3),), note="square 0-size")


@op(numpy=np.linalg.cholesky, reference=np.linalg.cholesky, method=False, samples=_symmetric_samples, errors=lambda: [
    *_square_errors("cholesky"),
    ErrorSample((INDEFINITE,), {}, LinAlgError, r"cholesky: matrix \[1\] is not positive definite.*\(2, 2, 2\)"),
])  # fmt: skip
def cholesky(x, /):
    """The lower triangular l with l l^T = x, for symmetric positive definite x.   (..., n, n) -> (..., n, n)

    Both triangles count: (x + x^T) / 2 is decomposed, so the gradient is symmetric.
    Raises LinAlgError where a matrix is not positive definite.

    >>> import numpy as np
    >>> cholesky(np.array([[4.0, 2.0], [2.0, 10.0]]))
    array([[2., 0.],
           [1., 3.]])
    """
    _square("cholesky", x)
    (x,) = _floats("cholesky", x)
    return _lapack("cholesky", np.linalg.cholesky, _symmetric(x), "is not positive definite: has an eigenvalue that is not above 0.")


@cholesky.vjp
def _(g, out, x):
    # dx = l^-T P(l^T g) l^-1, where P takes the lower triangle and half of the diagonal (Murray 2016, arXiv 1602.07527)
    n = x.shape[-1]
    half = np.tri(n, dtype=values(out).dtype) - np.eye(n, dtype=values(out).dtype) / 2
    inner = multiply(matrix_product(mT(out), g), half)
    return (_symmetric(solve(mT(out), mT(solve(mT(out), mT(inner))))),)


@op(numpy=np.linalg.qr, reference=np.linalg.qr, method=False, samples=lambda rng: [
    Sample((_regular(rng, 3, 3),), note="square"), Sample((normal(rng, 4, 2),), note="tall"),
    Sample((normal(rng, 5, 2, 4),), note="wide batch"),
    Sample((strided(rng, 4, 3),), note="strided"), Sample((normal(rng, 0, 4, 3),), note="0-size"),
], errors=lambda: [ErrorSample((np.ones(3),), {}, ShapeError, r"qr: x needs at least 2 axes.*\(3,\)")])  # fmt: skip
def qr(x, /):
    """q with orthonormal columns and upper triangular r, with q r = x.   (..., m, n) -> (..., m, k), (..., k, n) for k = min(m, n)

    The gradient needs linearly independent columns, the first m of them where there are more columns than rows; else
    it raises GradientError.

    >>> import numpy as np
    >>> q, r = qr(np.array([[0.0, 2.0], [3.0, 4.0]]))
    >>> np.abs(r)
    array([[3., 4.],
           [0., 2.]])
    """
    check_rank("qr", x, 2)
    return tuple(np.linalg.qr(*_floats("qr", x)))


@qr.vjp
def _(g, out, x):
    (gq, gr), (q, r) = g, out
    m, n = x.shape[-2:]
    if m >= n:
        return (_qr_gradient(gq, gr, q, r),)
    # x = [a b], r = [r_a r_b]: a = q r_a is the square case, and r_b = q^T b
    r_a, b = getitem(r, (..., slice(m))), getitem(x, (..., slice(m, None)))
    if gr is None:
        gr_a, gr_b = None, np.zeros(b.shape, b.dtype)
    else:
        gr_a, gr_b = getitem(gr, (..., slice(m))), getitem(gr, (..., slice(m, None)))
    gq = _sum(gq, matrix_product(b, mT(gr_b)))
    return (concatenate([_qr_gradient(gq, gr_a, q, r_a), matrix_product(q, gr_b)], -1),)


def _qr_gradient(gq, gr, q, r):
    """(gq + q c) r^-T, where c is symmetric with the lower triangle of r gr^T - gq^T q.

    Source: Walter and Lehmann, arXiv 1009.6112.
    """
    n, dtype = r.shape[-1], r.dtype
    size = np.abs(np.diagonal(values(r), axis1=-2, axis2=-1))  # (..., n)
    if np.any(size <= n * np.finfo(dtype).eps * np.max(size, -1, keepdims=True, initial=0)):
        raise GradientError(
            "qr: the columns are linearly dependent (r has a 0 on its diagonal), where q and r have no gradient. " + received(q=q, r=r)
        )
    inner = _sum(
        None if gr is None else matrix_product(r, mT(gr)),
        None if gq is None else negative(matrix_product(mT(gq), q)),
    )
    lower = multiply(inner, np.tri(n, dtype=dtype))
    c = add(lower, mT(multiply(inner, np.tri(n, k=-1, dtype=dtype))))
    return mT(solve(r, mT(_sum(gq, matrix_product(q, c)))))


def _signs(v):
    """1 or -1 for every column, such that the first of its largest elements becomes positive.   (..., m, k) -> (..., 1, k)"""
    if v.shape[-2] == 0:
        return np.ones((*v.shape[:-2], 1, v.shape[-1]), v.dtype)
    size = np.abs(v)
    largest = size >= (1 - np.sqrt(np.finfo(v.dtype).eps)) * size.max(-2, keepdims=True)  # but for rounding
    chosen = np.take_along_axis(v, np.argmax(largest, -2, keepdims=True), -2)
    return np.where(chosen < 0, -1, 1).astype(v.dtype)


def _over_gaps(name, what, numbers, numerator, gaps):
    """numerator / gaps off the diagonal, 0 on it.   (..., k), (..., k, k), (..., k, k) -> (..., k, k)

    Raises GradientError where two of the numbers are equal but for rounding, unless nothing depends on their vectors.
    """
    numbers = values(numbers)
    near = 10 * np.finfo(numbers.dtype).eps * np.max(np.abs(numbers), -1, initial=0)[..., None, None]
    equal = np.abs(numbers[..., :, None] - numbers[..., None, :]) <= near  # (..., k, k)
    if np.any(equal & ~np.eye(numbers.shape[-1], dtype=bool) & (values(numerator) != 0)):
        raise GradientError(
            f"{name}: two {what} are equal, so their vectors can turn into each other and have no gradient. The {what} alone have one, "
            "and so have inv, solve, cholesky, det and pinv. " + received(**{what.replace(" ", "_"): numbers})
        )
    return divide(where(equal, 0.0, numerator), where(equal, 1.0, gaps))


def _eigh_by_numpy(x):
    w, v = np.linalg.eigh(x)
    return w, v * _signs(v)


@op(numpy=np.linalg.eigh, reference=_eigh_by_numpy, method=False, samples=_symmetric_samples, errors=lambda: [
    *_square_errors("eigh"),
])  # fmt: skip
def eigh(x, /):
    """Eigenvalues of symmetric matrices, rising, and the eigenvectors as columns: x v = v w.   (..., n, n) -> (..., n), (..., n, n)

    Both triangles count: (x + x^T) / 2 is decomposed, so the gradient is symmetric. The first of the largest elements of
    every eigenvector is positive. Vectors of equal eigenvalues have no gradient: asking for it raises GradientError.

    >>> import numpy as np
    >>> eigh(np.array([[2.0, 0.0], [0.0, 1.0]]))
    (array([1., 2.]), array([[0., 1.],
           [1., 0.]]))
    """
    _square("eigh", x)
    (x,) = _floats("eigh", x)
    return _lapack("eigh", _eigh_by_numpy, _symmetric(x), "has no eigenvalues: NaN or infinity is in it.")


@eigh.vjp
def _(g, out, x):
    (gw, gv), (w, v) = g, out
    inner = None
    if gv is not None:
        gaps = subtract(expand_dims(w, -2), expand_dims(w, -1))  # w[j] - w[i]: (..., n, n)
        inner = _over_gaps("eigh", "eigenvalues", w, matrix_product(mT(v), gv), gaps)
    if gw is not None:
        inner = _sum(inner, diag_embed(gw))
    return (_symmetric(matrix_product(matrix_product(v, inner), mT(v))),)


def _svd_by_numpy(x, full_matrices=False):
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    signs = _signs(u)
    return u * signs, s, vt * np.swapaxes(signs, -1, -2)


@op(numpy=np.linalg.svd, reference=_svd_by_numpy, method=False, samples=lambda rng: [
    Sample((np.diag([3.0, 2.0, 1.0]), False), note="square"), Sample((normal(rng, 4, 2),), note="tall"),
    Sample((normal(rng, 2, 4),), note="wide"), Sample((normal(rng, 5, 3, 2),), note="batch"), Sample((strided(rng, 2, 3),), note="strided"),
    Sample((normal(rng, 0, 2, 3),), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones(3),), {}, ShapeError, r"svd: x needs at least 2 axes.*\(3,\)"),
    ErrorSample((np.ones((2, 3)), True), {}, ShapeError, r"svd: .*full_matrices=False.*\(2, 3\)"),
    ErrorSample((NO_NUMBER,), {}, LinAlgError, r"svd: matrix \[1\] .*NaN.*\(2, 2, 2\)"),
])  # fmt: skip
def svd(x, /, full_matrices=False):
    """Singular values: u diag(s) vt = x, with s falling.   (..., m, n) -> (..., m, k), (..., k), (..., k, n) for k = min(m, n)

    u has orthonormal columns, vt orthonormal rows; the first of the largest elements of every column of u is positive. Only
    this reduced form is offered (NumPy's default is the full one), for the rest of a full u is not determined by x.
    Vectors of equal singular values, and of 0 where x is not square, have none either: asking for it raises GradientError.

    >>> import numpy as np
    >>> svd(np.array([[3.0, 4.0]]))
    (array([[1.]]), array([5.]), array([[0.6, 0.8]]))
    """
    check_rank("svd", x, 2)
    if full_matrices and x.shape[-1] != x.shape[-2]:
        raise ShapeError("svd: only the reduced form is offered; call it with full_matrices=False. " + received(x=x))
    (x,) = _floats("svd", x)
    return _lapack("svd", _svd_by_numpy, x, "has no singular values: NaN or infinity is in it.")


@svd.vjp
def _(g, out, x, full_matrices):
    # Townsend, "Differentiating the singular value decomposition" (2016)
    (gu, gs, gvt), (u, s, vt) = g, out
    (m, n), k = x.shape[-2:], s.shape[-1]
    column, row = expand_dims(s, -1), expand_dims(s, -2)  # s[i]: (..., k, 1); s[j]: (..., 1, k)
    gaps = multiply(subtract(row, column), add(row, column))  # s[j]^2 - s[i]^2
    if (gu is not None and m > k) or (gvt is not None and n > k):
        _check_full_rank(values(s), x)
    inner, beside = None if gs is None else diag_embed(gs), None
    if gu is not None:
        along = matrix_product(mT(u), gu)  # (..., k, m), (..., m, k) -> (..., k, k)
        turn = _over_gaps("svd", "singular values", s, along, gaps)
        inner = _sum(inner, multiply(add(turn, mT(turn)), row))
        if m > k:  # what of gu is not in the space of u
            beside = matrix_product(divide(subtract(gu, matrix_product(u, along)), row), vt)
    if gvt is not None:
        along = matrix_product(vt, mT(gvt))  # (..., k, n), (..., n, k) -> (..., k, k)
        turn = _over_gaps("svd", "singular values", s, along, gaps)
        inner = _sum(inner, multiply(add(turn, mT(turn)), column))
        if n > k:
            beside = _sum(beside, matrix_product(u, divide(subtract(gvt, matrix_product(mT(along), vt)), column)))
    return (_sum(beside, matrix_product(matrix_product(u, inner), vt)),)


def _check_full_rank(s, x):
    if np.any(s <= 10 * np.finfo(s.dtype).eps * np.max(s, -1, keepdims=True, initial=0)):
        raise GradientError("svd: a singular value of a matrix that is not square is 0; its vectors have no gradient. " + received(x=x))


# ------------------------------------------------------------------------------------------------ powers, pseudo-inverse


@op(composed=True, numpy=np.linalg.matrix_power, reference=np.linalg.matrix_power, method=False, samples=lambda rng: [
    Sample((_regular(rng, 3, 3), 3), note="square"), Sample((_regular(rng, 2, 2, 2), -2), note="square batch"),
    Sample((_regular(rng, 3, 3), 0), note="square, power 0"), Sample((np.asfortranarray(_regular(rng, 2, 2)), 5), note="square, strided"),
    Sample((normal(rng, 0, 2, 2), 2), note="square, 0-size"),
], errors=lambda: [
    ErrorSample((np.ones((2, 3)), 2), {}, ShapeError, r"matrix_power: needs square matrices.*\(2, 3\)"),
    ErrorSample((np.ones((2, 2)), 0.5), {}, DtypeError, r"matrix_power: n is a whole number.*n 0\.5"),
    ErrorSample((SINGULAR, -1), {}, LinAlgError, r"matrix_power: matrix \[1\] is singular.*\(2, 2, 2\)"),
])  # fmt: skip
def matrix_power(x, /, n):
    """The product of n copies of square matrices; of the inverse for negative n, the identity for 0.   (..., m, m) -> (..., m, m)

    Raises LinAlgError for a negative power of a singular matrix.

    >>> import numpy as np
    >>> matrix_power(np.array([[1.0, 1.0], [0.0, 1.0]]), 5)
    array([[1., 5.],
           [0., 1.]])
    """
    _square("matrix_power", x)
    if not isinstance(n, int | np.integer):
        raise DtypeError("matrix_power: n is a whole number. " + received(x=x, n=n))
    if n == 0:
        return where(False, x, np.eye(x.shape[-1], dtype=x.dtype))
    if n < 0:
        try:
            x, n = inv(x), -n
        except LinAlgError as error:
            raise LinAlgError(str(error).replace("inv:", "matrix_power:", 1)) from None
    result = None
    while n:  # x to the power of every bit of n, from the lowest
        if n % 2:
            result = x if result is None else matrix_product(result, x)
        n //= 2
        x = matrix_product(x, x) if n else x
    return result


def _pinv_by_numpy(x, rcond=None):
    return np.linalg.pinv(x, max(x.shape[-2:]) * np.finfo(x.dtype).eps if rcond is None else rcond)


@op(numpy=np.linalg.pinv, reference=_pinv_by_numpy, method=False, samples=lambda rng: [
    Sample((_regular(rng, 3, 3),), note="square"), Sample((normal(rng, 4, 2),), note="tall"),
    Sample((normal(rng, 5, 2, 3),), note="wide batch"),
    Sample((strided(rng, 2, 4),), note="strided"), Sample((normal(rng, 0, 3, 2),), note="0-size"),
], errors=lambda: [
    ErrorSample((np.ones(3),), {}, ShapeError, r"pinv: x needs at least 2 axes.*\(3,\)"),
    ErrorSample((NO_NUMBER,), {}, LinAlgError, r"pinv: matrix \[1\] .*NaN.*\(2, 2, 2\)"),
])  # fmt: skip
def pinv(x, /, rcond=None):
    """Pseudo-inverse (Moore and Penrose): of matrices of any shape and rank.   (..., m, n) -> (..., n, m)

    Singular values up to ``rcond`` times the largest count as 0; by default max(m, n) times the precision of the dtype.
    The gradient is that along matrices of the same rank: where the rank is not full there is no other.

    >>> import numpy as np
    >>> pinv(np.array([[2.0], [0.0]]))
    array([[0.5, 0. ]])
    """
    check_rank("pinv", x, 2)
    (x,) = _floats("pinv", x)
    return _lapack("pinv", lambda x: _pinv_by_numpy(x, rcond), x, "has no pseudo-inverse: NaN or infinity is in it.")


@pinv.vjp
def _(g, out, x, rcond):
    # Golub and Pereyra (1973); p is the pseudo-inverse, 1 - x p and 1 - p x project on what it does not see
    p, pt, gt = out, mT(out), mT(g)
    inside = negative(matrix_product(matrix_product(pt, g), pt))
    a = matrix_product(matrix_product(gt, p), pt)  # (..., m, n)
    left = subtract(a, matrix_product(x, matrix_product(p, a)))  # (1 - x p) g^T p p^T
    b = matrix_product(matrix_product(pt, p), gt)  # (..., m, n)
    right = subtract(b, matrix_product(matrix_product(b, p), x))  # p^T p g^T (1 - p x)
    return (_sum(inside, left, right),)

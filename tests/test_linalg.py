"""Linear algebra: einsum and its cases, inverses and decompositions, beside PyTorch and JAX and at the points where they break."""

import itertools
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import linalg
from minigrad.core import Tensor
from minigrad.errors import GradientError, MinigradError
from minigrad.ops.contractions import _multiplications, _product_of_all
from tests.helpers import assert_close, outputs

LENGTH = dict(zip("abcdefghij", [2, 3, 4, 5, 3, 2, 4, 3, 2, 5]))

EINSUMS = """
    ab,bc->ac      ab,bc          ab,cb->ac      ba,bc->ca      ab,b->a        a,ab->b        a,a->          a,b->ab       a,b->ba
    ab,ab->ab      ab,ab->a       ab,ab->        ab->ba         ab->a          ab->           ab->b          aa->a          aa->
    aab->ba        abab->ab       aba,bc->ca     aaa->a         abcd->dbca     abc,abd->abcd  abc,cd->abd    abcd,ade->abce
    abc,acd->abd   bac,cad->bda   ab,bc,cd->ad   ab,bc,cd,de    ab,cd->abcd    ab,cd->        ab,bc,ca->     a,b,c->cab
    abc,c->b       ab,ac,ad->bcd  ab,ab,ab->ba   abc,bd,cd->a   da,abc,de->ceb ca,b->a        cba,adb        ,ab->ba        a,->a
""".split()

ELLIPSES = [
    ("...ab,...bc->...ac", [(5, 2, 3), (5, 3, 4)]), ("...ab,...bc", [(6, 5, 2, 3), (5, 3, 4)]), ("a...,...b->b...a", [(2, 5), (5, 3)]),
    ("...a,...a->...", [(5, 1, 3), (6, 3)]), ("...->...", [(2, 3)]), ("...a->a...", [(2, 3, 4)]), ("a...a->a...", [(3, 2, 3)]),
    ("...,ab->...ab", [(5,), (2, 3)]), ("...ab,b->...a", [(2, 3), (3,)]), ("... a b -> ... b a", [(5, 2, 3)]), ("...", [(2, 3)]),
    ("...a,...->a...", [(2, 3), ()]),
]  # fmt: skip
ONES = [("ab,bc->ac", [(2, 1), (3, 4)]), ("a,a->a", [(1,), (3,)]), ("ab,ab,ab->b", [(2, 1), (1, 3), (2, 3)]), ("ab->b", [(1, 1)])]
EMPTY = [("ab,bc->ac", [(2, 0), (0, 4)]), ("ab->a", [(2, 0)]), ("ab,b->a", [(0, 3), (3,)]), ("aa->a", [(0, 0)])]


def shapes_of(subscripts):
    return [tuple(LENGTH[letter] for letter in term) for term in subscripts.split("->")[0].split(",")]


CALLS = [(subscripts, shapes_of(subscripts)) for subscripts in EINSUMS] + ELLIPSES + ONES + EMPTY
einsums = pytest.mark.parametrize("subscripts, shapes", CALLS, ids=[subscripts for subscripts, _ in CALLS])


def leaves(arrays):
    return [Tensor(a, requires_grad=True) for a in arrays]


def torch_gradients(f, arrays, weights):
    """Outputs and gradients of sum(weight * output), by PyTorch."""
    torch = pytest.importorskip("torch")
    inputs = [torch.tensor(a, requires_grad=True) for a in arrays]
    found = f(torch, *inputs)
    found = found if isinstance(found, tuple) else (found,)
    total = sum((o * torch.tensor(np.array(w))).sum() for o, w in zip(found, weights) if o.requires_grad)
    total.backward()
    return [o.detach().numpy() for o in found], [np.zeros(a.shape) if x.grad is None else x.grad.numpy() for a, x in zip(arrays, inputs)]


def our_gradients(f, arrays, weights):
    inputs = leaves(arrays)
    found = outputs(f(*inputs))
    sum((o * w).sum() for o, w in zip(found, weights)).backward()
    return [o.numpy() for o in found], [x.grad.numpy() for x in inputs]


def compare_with_torch(ours, theirs, arrays, rng, tolerance=1e-11):
    weights = [rng.standard_normal(o.shape) for o in outputs(ours(*arrays))]
    (values, gradients), (their_values, their_gradients) = our_gradients(ours, arrays, weights), torch_gradients(theirs, arrays, weights)
    for a, b in zip(values + gradients, their_values + their_gradients, strict=True):
        assert_close(a, b, tolerance)


# ----------------------------------------------------------------------------------------------------------- einsum


@einsums
def test_einsum_equals_numpy(subscripts, shapes, rng):
    arrays = [rng.standard_normal(shape) for shape in shapes]
    expected = np.einsum(subscripts, *arrays)
    assert_close(mg.einsum(subscripts, *arrays), expected, 1e-13)
    assert_close(mg.einsum(subscripts, *arrays, optimize=False), expected, 1e-13)
    single = mg.einsum(subscripts, *[a.astype(np.float32) for a in arrays])
    assert single.dtype == np.float32
    assert_close(single, expected, 1e-5)


@pytest.mark.oracle
@einsums
def test_einsum_and_its_gradients_equal_torch(subscripts, shapes, rng):
    arrays = [rng.standard_normal(shape) for shape in shapes]
    compare_with_torch(lambda *xs: mg.einsum(subscripts, *xs), lambda torch, *xs: torch.einsum(subscripts, *xs), arrays, rng, 1e-13)


@einsums
def test_einsum_is_linear_in_every_tensor(subscripts, shapes, rng):
    """<x, its gradient> = <output, weights>: the adjoint identity, for every operand."""
    arrays = [rng.standard_normal(shape) for shape in shapes]
    weights = rng.standard_normal(np.einsum(subscripts, *arrays).shape)
    (value,), gradients = our_gradients(lambda *xs: mg.einsum(subscripts, *xs), arrays, [weights])
    for x, dx in zip(arrays, gradients):
        assert_close((x * dx).sum(), (value * weights).sum(), 1e-13)


@pytest.mark.skipif(mg.settings.kernels() != "numba", reason="the reference kernels are NumPy's")
def test_products_do_not_reach_those_of_numpy(monkeypatch, rng):
    x, y, v = leaves([rng.standard_normal(shape).astype(np.float32) for shape in ((5, 2, 3), (5, 3, 4), (3,))])
    for name in ("matmul", "dot", "vdot", "inner", "einsum", "tensordot"):
        monkeypatch.setattr(np, name, lambda *args, **kwargs: pytest.fail("a product of NumPy's was called"))
    parts = [
        mg.einsum("bij,bjk,j->bik", x, y, v), mg.einsum("bij,bjk->ik", x, y), mg.tensordot(x, y, ([0, 2], [0, 1])),
        mg.dot(x, v), mg.inner(x, v), mg.matmul(x, y), mg.bmm(x, y), mg.mv(x[0], v), mg.addmm(y[0, 0], x[0], y[0]), mg.outer(v, v),
        linalg.matrix_power(mg.outer(v, v), 3),
    ]  # fmt: skip
    sum(part.sum() for part in parts).backward()
    assert all(np.isfinite(t.grad.numpy()).all() for t in (x, y, v))


def test_einsum_multiplies_the_cheapest_pair_first(monkeypatch, rng):
    """(1000, 2)(2, 1000)(1000,): from left to right a matrix with a million elements, from the right none."""
    arrays = [rng.standard_normal(shape) for shape in ((1000, 2), (2, 1000), (1000,))]
    biggest = []
    monkeypatch.setattr("minigrad.ops.contractions.matrix_product", lambda x, y: biggest.append(max(x.size, y.size)) or np.matmul(x, y))
    found = _product_of_all(arrays, [list("ab"), list("bc"), list("c")], ["a"])
    assert max(biggest) == 2000
    assert_close(found, arrays[0] @ (arrays[1] @ arrays[2]), 1e-13)
    assert _multiplications((arrays[0], list("ab")), (arrays[1], list("bc"))) == 2_000_000


def test_einsum_of_numpy_is_ours():
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    out = np.einsum("ij,ij->i", x, x)
    assert isinstance(out, Tensor) and out.requires_grad
    assert np.array_equal(out.numpy(), [5, 50])


@pytest.mark.parametrize("call", [
    lambda x: mg.einsum(x, "ij->ji"), lambda x: mg.einsum([x], "ij"), lambda x: mg.einsum("ij"), lambda x: mg.einsum(x, [0, 1]),
])  # fmt: skip
def test_einsum_says_in_which_order_it_takes_its_arguments(call):
    with pytest.raises(TypeError, match=r"einsum: takes the subscripts first.*Received: argument 0"):
        call(np.ones((2, 3)))


def test_a_letter_that_broadcasts_takes_its_length_from_the_others():
    with pytest.raises(mg.errors.ShapeError, match=r"'i' has length 3 in operand 1 and 4 in operand 2"):
        mg.einsum("i,i,i->i", np.ones(1), np.ones(3), np.ones(4))


# ------------------------------------------------------------------------------------------------ products beside PyTorch


@pytest.mark.oracle
@pytest.mark.parametrize("ours, theirs, shapes", [
    (mg.dot, lambda t, x, y: t.dot(x, y), [(3,), (3,)]), (mg.dot, lambda t, x, y: x @ y, [(2, 3), (3, 4)]),
    (mg.dot, lambda t, x, y: t.tensordot(x, y, dims=([2], [1])), [(2, 3, 4), (5, 4, 6)]),
    (mg.inner, lambda t, x, y: t.inner(x, y), [(2, 4, 3), (5, 3)]), (mg.outer, lambda t, x, y: t.outer(x, y), [(3,), (4,)]),
    (mg.bmm, lambda t, x, y: t.bmm(x, y), [(5, 2, 3), (5, 3, 4)]), (mg.mv, lambda t, x, y: t.mv(x, y), [(2, 3), (3,)]),
    (lambda b, x, y: mg.addmm(b, x, y, beta=0.5, alpha=3), lambda t, b, x, y: t.addmm(b, x, y, beta=0.5, alpha=3), [(4,), (2, 3), (3, 4)]),
    (lambda b, x, y: mg.addmm(b * 0, x, y), lambda t, b, x, y: t.addmm(b, x, y, beta=0), [(4,), (2, 3), (3, 4)]),
    (lambda x, y: mg.tensordot(x, y, ([0, -1], [2, 0])), lambda t, x, y: t.tensordot(x, y, dims=([0, 2], [2, 0])), [(2, 3, 4), (4, 5, 2)]),
    (mg.kron, lambda t, x, y: t.kron(x, y), [(2, 3), (4, 5)]), (mg.kron, lambda t, x, y: t.kron(x, y), [(3,), (2, 4)]),
    (mg.cross, lambda t, x, y: t.linalg.cross(x, y), [(4, 1, 3), (1, 2, 3)]),
    (lambda x, y: mg.cross(x, y, axis=-2), lambda t, x, y: t.linalg.cross(x, y, dim=-2), [(5, 3, 2), (5, 3, 1)]),
    (mg.trace, lambda t, x: t.trace(x), [(3, 4)]), (mg.vecdot, lambda t, x, y: t.linalg.vecdot(x, y), [(4, 1, 3), (2, 3)]),
    (mg.matmul, lambda t, x, y: x @ y, [(6, 1, 2, 3), (5, 3, 4)]), (mg.matmul, lambda t, x, y: x @ y, [(3,), (5, 3, 4)]),
])  # fmt: skip
def test_products_equal_torch(ours, theirs, shapes, rng):
    compare_with_torch(ours, theirs, [rng.standard_normal(shape) for shape in shapes], rng, 1e-13)


def test_addmm_does_not_look_at_what_counts_for_nothing():
    out = mg.addmm(np.full(2, np.nan), np.eye(2), np.eye(2), beta=0)
    assert np.array_equal(out, np.eye(2))


# -------------------------------------------------------------------------------------------- decompositions beside PyTorch


def matrices(rng, *shape):
    """Square matrices far from singular."""
    return rng.standard_normal(shape) + 3 * np.eye(shape[-1])


def definite(rng, *shape):
    """Symmetric positive definite matrices with different eigenvalues."""
    x = rng.standard_normal(shape)
    return np.matmul(x, np.swapaxes(x, -1, -2)) + np.diag(np.arange(1.0, shape[-1] + 1))


def symmetric(torch, x):
    return (x + x.mT) / 2


def with_signs(number):
    """Outputs of PyTorch whose vectors (output ``number``, in columns) have our signs; what goes with them turns too."""

    def signed(torch, *outs):
        vectors = outs[number].detach()
        places = vectors.abs().argmax(-2, keepdim=True)
        signs = torch.sign(torch.gather(vectors, -2, places))
        return tuple(o * signs if i == number else o * signs.mT if o.ndim == vectors.ndim else o for i, o in enumerate(outs))

    return signed


@pytest.mark.oracle
@pytest.mark.parametrize("ours, theirs, make", [
    (linalg.inv, lambda t, x: t.linalg.inv(x), lambda rng: [matrices(rng, 5, 4, 4)]),
    (linalg.det, lambda t, x: t.linalg.det(x), lambda rng: [matrices(rng, 5, 4, 4)]),
    (linalg.slogdet, lambda t, x: tuple(t.linalg.slogdet(x)), lambda rng: [matrices(rng, 5, 4, 4) * [1, -1, 1, 1]]),
    (linalg.solve, lambda t, a, b: t.linalg.solve(a, b), lambda rng: [matrices(rng, 4, 4), rng.standard_normal(4)]),
    (linalg.solve, lambda t, a, b: t.linalg.solve(a, b), lambda rng: [matrices(rng, 4, 4), rng.standard_normal((4, 2))]),
    (linalg.solve, lambda t, a, b: t.linalg.solve(a, b), lambda rng: [matrices(rng, 5, 1, 4, 4), rng.standard_normal((3, 4, 2))]),
    (linalg.solve, lambda t, a, b: t.linalg.solve(a, b[:, None])[..., 0], lambda rng: [matrices(rng, 5, 4, 4), rng.standard_normal(4)]),
    (linalg.cholesky, lambda t, x: t.linalg.cholesky(symmetric(t, x)), lambda rng: [definite(rng, 5, 4, 4)]),
    (linalg.qr, lambda t, x: tuple(t.linalg.qr(x)), lambda rng: [matrices(rng, 5, 4, 4)]),
    (linalg.qr, lambda t, x: tuple(t.linalg.qr(x)), lambda rng: [rng.standard_normal((5, 4, 2))]),
    (linalg.qr, lambda t, x: tuple(t.linalg.qr(x)), lambda rng: [rng.standard_normal((5, 2, 4))]),
    (linalg.eigh, lambda t, x: with_signs(1)(t, *t.linalg.eigh(symmetric(t, x))), lambda rng: [definite(rng, 5, 4, 4)]),
    (linalg.svd, lambda t, x: with_signs(0)(t, *t.linalg.svd(x, full_matrices=False)), lambda rng: [rng.standard_normal((5, 4, 4))]),
    (linalg.svd, lambda t, x: with_signs(0)(t, *t.linalg.svd(x, full_matrices=False)), lambda rng: [rng.standard_normal((5, 4, 2))]),
    (linalg.svd, lambda t, x: with_signs(0)(t, *t.linalg.svd(x, full_matrices=False)), lambda rng: [rng.standard_normal((5, 2, 4))]),
    (lambda x: linalg.matrix_power(x, 5), lambda t, x: t.linalg.matrix_power(x, 5), lambda rng: [matrices(rng, 2, 4, 4) / 4]),
    (lambda x: linalg.matrix_power(x, -3), lambda t, x: t.linalg.matrix_power(x, -3), lambda rng: [matrices(rng, 2, 4, 4)]),
    (linalg.pinv, lambda t, x: t.linalg.pinv(x), lambda rng: [rng.standard_normal((5, 4, 2))]),
    (linalg.pinv, lambda t, x: t.linalg.pinv(x), lambda rng: [rng.standard_normal((5, 2, 4))]),
], ids=lambda value: getattr(value, "__name__", ""))  # fmt: skip
def test_decompositions_equal_torch(ours, theirs, make, rng):
    compare_with_torch(ours, theirs, make(rng), rng)


@pytest.mark.oracle
@pytest.mark.parametrize("ord, axis", [
    *itertools.product([None, 1, 2, 3, 0.5, -1, -2.5, math.inf, -math.inf], [1, -1]), (0, 1), (None, None), (None, (0, 2)),
    *itertools.product(["fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf], [(0, 1), (2, 0), (-1, -2)]),
])  # fmt: skip
@pytest.mark.parametrize("keepdims", [False, True])
def test_norms_equal_torch_and_numpy(ord, axis, keepdims, rng):
    x = rng.standard_normal((2, 3, 4))
    assert_close(mg.norm(x, ord, axis, keepdims), np.linalg.norm(x, ord, axis, keepdims), 1e-14)

    def theirs(torch, x):
        if axis is None or isinstance(axis, int) or ord is None:
            return torch.linalg.vector_norm(x, 2 if ord is None else ord, axis, keepdim=keepdims)
        return torch.linalg.matrix_norm(x, ord, axis, keepdim=keepdims)

    compare_with_torch(lambda x: mg.norm(x, ord, axis, keepdims), theirs, [x], rng)


@pytest.mark.oracle
@pytest.mark.parametrize("ours, theirs, make", [
    (linalg.inv, lambda np_, x: np_.linalg.inv(x), lambda rng: matrices(rng, 3, 3)),
    (linalg.det, lambda np_, x: np_.linalg.det(x), lambda rng: matrices(rng, 3, 3)),
    (lambda x: linalg.slogdet(x)[1], lambda np_, x: np_.linalg.slogdet(x)[1], lambda rng: matrices(rng, 3, 3)),
    (linalg.cholesky, lambda np_, x: np_.linalg.cholesky((x + x.T) / 2), lambda rng: definite(rng, 3, 3)),
    (lambda x: linalg.eigh(x)[1] ** 2, lambda np_, x: np_.linalg.eigh((x + x.T) / 2)[1] ** 2, lambda rng: definite(rng, 3, 3)),
    (lambda x: linalg.svd(x)[2] ** 2, lambda np_, x: np_.linalg.svd(x, False)[2] ** 2, lambda rng: rng.standard_normal((4, 3))),
    (lambda x: linalg.qr(x)[1], lambda np_, x: np_.linalg.qr(x)[1], lambda rng: rng.standard_normal((4, 3))),
    (linalg.pinv, lambda np_, x: np_.linalg.pinv(x), lambda rng: rng.standard_normal((4, 3))),
    (mg.norm, lambda np_, x: np_.linalg.norm(x), lambda rng: rng.standard_normal((4, 3))),
    (lambda x: mg.norm(x, "nuc"), lambda np_, x: np_.linalg.norm(x, "nuc"), lambda rng: rng.standard_normal((4, 3))),
], ids=lambda value: getattr(value, "__name__", ""))  # fmt: skip
def test_second_derivatives_equal_jax(ours, theirs, make, rng):
    jax = pytest.importorskip("jax")
    x = make(rng)
    weights = rng.standard_normal(np.shape(ours(x)))
    with jax.enable_x64(True):
        expected = jax.hessian(lambda x: (theirs(jax.numpy, x) * weights).sum())(jax.numpy.asarray(x))
        assert_close(mg.hessian(lambda x: (ours(x) * weights).sum())(Tensor(x)).numpy(), np.asarray(expected), 1e-9)


# ------------------------------------------------------------------------------------------- where inverses do not exist


def det_of_permutations(x):
    """The determinant as its sum over all permutations: a polynomial, with every derivative everywhere."""
    n = x.shape[-1]
    total = 0.0
    for order in itertools.permutations(range(n)):
        sign = np.linalg.det(np.eye(n)[list(order)]).round()
        total = total + math.prod([x[i, j] for i, j in enumerate(order)], start=sign)
    return total


SINGULAR = {
    "regular": [[2.0, 1.0, 0.5], [0.0, 3.0, 1.0], [1.0, -1.0, 2.0]],
    "rank 2": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]],
    "rank 2, equal singular values": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]],
    "rank 1": [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [-1.0, -2.0, -3.0]],
    "zero": [[0.0] * 3] * 3,
}


@pytest.mark.parametrize("name", SINGULAR)
def test_every_derivative_of_det_is_right_whatever_the_rank(name, rng):
    x = Tensor(np.array(SINGULAR[name]))
    u, v = (Tensor(rng.standard_normal((3, 3))) for _ in range(2))
    first = lambda f: lambda x: (mg.grad(f)(x) * u).sum()  # noqa: E731
    second = lambda f: lambda x: (mg.grad(first(f))(x) * v).sum()  # noqa: E731
    for derivative in (mg.grad, lambda f: mg.grad(first(f)), lambda f: mg.grad(second(f))):
        ours, polynomial = (derivative(f)(x).numpy() for f in (linalg.det, det_of_permutations))
        assert_close(ours, polynomial, 1e-12)


def test_gradient_of_a_large_singular_determinant(rng):
    """Against the cofactors from the singular values: det(u) det(v) u diag(products of the others) v^T."""
    u, vt = (np.linalg.qr(rng.standard_normal((40, 40)))[0] for _ in range(2))
    s = np.append(np.linspace(0.5, 2.0, 39), 0.0)
    x = Tensor(np.matmul(u * s, vt), requires_grad=True)
    linalg.det(x).backward()
    others = np.array([np.prod(np.delete(s, i)) for i in range(40)])
    expected = np.linalg.det(u) * np.linalg.det(vt) * np.matmul(u * others, vt)
    assert_close(x.grad.numpy() / np.abs(expected).max(), expected / np.abs(expected).max(), 1e-12)


def test_an_ill_conditioned_matrix_is_not_taken_for_a_singular_one():
    n = 8
    hilbert = 1 / (1.0 + np.arange(n)[:, None] + np.arange(n))
    x = Tensor(hilbert, requires_grad=True)
    linalg.det(x).backward()
    expected = np.linalg.det(hilbert) * np.linalg.inv(hilbert).T
    assert_close(x.grad.numpy() / np.abs(expected).max(), expected / np.abs(expected).max(), 1e-5)


def test_slogdet_of_a_singular_matrix_has_no_gradient_and_says_so():
    x = Tensor(np.stack([np.eye(2), np.ones((2, 2))]), requires_grad=True)
    sign, logarithm = linalg.slogdet(x)
    assert sign.numpy().tolist() == [1, 0] and logarithm.numpy().tolist() == [0, -np.inf]
    with pytest.raises(GradientError, match=r"slogdet: matrix \[1\] is singular.*det has one"):
        logarithm.sum().backward()
    x = Tensor(np.ones((2, 2)), requires_grad=True)
    with pytest.raises(GradientError, match=r"slogdet: the matrix is singular"):
        linalg.slogdet(x)[1].backward()


def test_slogdet_does_not_overflow():
    assert linalg.slogdet(np.eye(400) * 1e9)[1] == pytest.approx(400 * math.log(1e9), rel=1e-14)


@pytest.mark.parametrize("call, words", [
    (lambda: linalg.inv(np.ones((2, 2))), "inv: the matrix is singular"),
    (lambda: linalg.solve(np.ones((2, 2)), np.ones(2)), "solve: the matrix is singular"),
    (lambda: linalg.cholesky(-np.eye(2)), "cholesky: the matrix is not positive definite"),
    (lambda: linalg.inv(Tensor(np.stack([np.eye(2)] * 5 + [np.ones((2, 2))]).reshape(2, 3, 2, 2))), r"inv: matrix \[1, 2\] is singular"),
])  # fmt: skip
def test_the_error_is_ours_and_numpys(call, words):
    with pytest.raises(linalg.LinAlgError, match=words) as raised:
        call()
    assert isinstance(raised.value, np.linalg.LinAlgError) and isinstance(raised.value, MinigradError)


# ------------------------------------------------------------------------------------- vectors that are not determined


def test_equal_eigenvalues_have_gradients_but_their_vectors_have_none():
    x = Tensor(np.diag([1.0, 2.0, 2.0]), requires_grad=True)
    values, vectors = linalg.eigh(x)
    (values * np.array([1.0, 2.0, 2.0])).sum().backward(retain_graph=True)
    assert_close(x.grad.numpy(), np.diag([1.0, 2.0, 2.0]), 1e-15)
    x.zero_grad()
    (vectors[:, 0] ** 2 * np.array([3.0, 1.0, 1.0])).sum().backward(retain_graph=True)  # the vector of the one that stands alone
    assert np.isfinite(x.grad.numpy()).all()
    with pytest.raises(GradientError, match=r"eigh: two eigenvalues are equal.*no gradient"):
        (vectors[:, 1] * np.array([1.0, 2.0, 3.0])).sum().backward()


def test_the_vector_of_a_lone_eigenvalue_has_its_gradient_beside_equal_ones(rng):
    x, weights = np.diag([1.0, 2.0, 2.0]), rng.standard_normal(3)
    f = lambda x: (linalg.eigh(x)[1][:, 0] * weights).sum()  # noqa: E731
    (expected,) = mg.finite_difference(f, x)
    assert_close(mg.grad(f)(Tensor(x)).numpy(), expected, 1e-8)


def test_equal_singular_values_and_zeros_raise_where_vectors_have_no_gradient(rng):
    u, s, vt = linalg.svd(Tensor(np.eye(3), requires_grad=True))
    s.sum().backward(retain_graph=True)
    with pytest.raises(GradientError, match=r"svd: two singular values are equal"):
        (u * rng.standard_normal((3, 3))).sum().backward()
    u, s, vt = linalg.svd(Tensor(np.outer([1.0, 2.0, 3.0], [1.0, 1.0]), requires_grad=True))
    with pytest.raises(GradientError, match=r"svd: a singular value .* is 0"):
        u[:, 0].sum().backward()


def test_dependent_columns_have_no_gradient_in_qr():
    with pytest.raises(GradientError, match=r"qr: the columns are linearly dependent"):
        linalg.qr(Tensor(np.ones((3, 2)), requires_grad=True))[1].sum().backward()


@pytest.mark.parametrize("function, vectors", [(linalg.eigh, 1), (linalg.svd, 0)])
def test_signs_of_vectors_do_not_depend_on_how_lapack_came_to_them(function, vectors, rng):
    for x in (definite(rng, 6, 6), np.ones((3, 3)) + np.diag([0.0, 1.0, 3.0])):
        v = function(x)[vectors]
        largest = np.take_along_axis(v, np.argmax(np.abs(v), 0)[None], 0)
        assert (largest > 0).all()
    _, v = linalg.eigh(np.array([[0.0, 1.0], [1.0, 0.0]]))  # both elements are as large: the first one counts
    assert_close(v, np.array([[1.0, 1.0], [-1.0, 1.0]]) / math.sqrt(2), 1e-15)


def test_cholesky_and_eigh_look_at_both_triangles(rng):
    x = definite(rng, 3, 3) + np.triu(rng.standard_normal((3, 3)) * 0.1, 1)
    even = (x + x.T) / 2
    assert_close(linalg.cholesky(x), np.linalg.cholesky(even), 1e-15)
    assert_close(linalg.eigh(x)[0], np.linalg.eigh(even)[0], 1e-14)
    t = Tensor(x, requires_grad=True)
    (linalg.cholesky(t).sum() + linalg.eigh(t)[1].sum()).backward()
    assert np.array_equal(t.grad.numpy(), t.grad.numpy().T) and t.grad.numpy().any()


def test_pinv_of_lost_rank_is_that_of_numpy_and_its_gradient_that_along_the_rank(rng):
    u, v = rng.standard_normal((4, 2)), rng.standard_normal((2, 3))
    weights = rng.standard_normal((3, 4))
    f = lambda u: (linalg.pinv(mg.matmul(u, v)) * weights).sum()  # noqa: E731  (rank 2 whatever u is)
    assert_close(linalg.pinv(u @ v), np.linalg.pinv(u @ v, 1e-12), 1e-12)
    (numeric,) = mg.finite_difference(f, u)
    assert_close(mg.grad(f)(Tensor(u)).numpy(), numeric, 1e-7)
    almost = (u @ v).astype(np.float32)  # rounded: rank 2 only to the precision of float32
    assert_close(linalg.pinv(almost), linalg.pinv(u @ v), 1e-4)


# ------------------------------------------------------------------------------------------------------------- norms


@pytest.mark.parametrize("ord", [None, 1, 2, 3, 0.5, -1, math.inf, -math.inf, 0])
def test_norm_of_nothing_but_zeros_has_the_gradient_zero_to_second_order(ord):
    x = Tensor(np.zeros((2, 3)), requires_grad=True)
    total = mg.norm(x, ord, 1).sum()
    (first,) = mg.autograd.grad(total, [x], create_graph=True)
    assert not first.numpy().any()
    (second,) = mg.autograd.grad((first * np.arange(6.0).reshape(2, 3)).sum(), [x])
    assert not second.numpy().any()


def test_elements_that_are_zero_beside_others_do_no_harm():
    for ord in (None, 1, 3, 0.5, -2):
        x = Tensor([0.0, 3.0, -4.0], requires_grad=True, dtype="float64")
        mg.norm(x, ord).backward()
        assert np.isfinite(x.grad.numpy()).all() and x.grad.numpy()[0] == 0


def test_normalizing_a_row_of_zeros_gives_finite_gradients():
    x = Tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    (x / (mg.norm(x, axis=1, keepdims=True) + 1e-6)).sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


# --------------------------------------------------------------------------------------------------------- small print


@pytest.mark.parametrize("name", ["inv", "det", "slogdet", "cholesky", "qr", "eigh", "svd", "pinv", "norm"])
def test_integers_become_the_default_dtype(name):
    x = np.array([[4, 1], [1, 3]])
    for default in ("float32", "float64"):
        with mg.use_default_dtype(default):
            assert {o.dtype for o in outputs(getattr(linalg, name)(x))} == {np.dtype(default)}


def test_whole_numbers_stay_whole_where_only_products_are_taken():
    x = np.array([[1, 2], [3, 4]])
    for out in (mg.einsum("ij,jk->ik", x, x), mg.dot(x, x), mg.tensordot(x, x, 1), linalg.matrix_power(x, 2)):
        assert out.dtype == np.int64 and out.tolist() == [[7, 10], [15, 22]]


def test_power_zero_is_the_identity_with_the_gradient_zero():
    x = Tensor(np.full((2, 2), np.inf), requires_grad=True)
    out = linalg.matrix_power(x, 0)
    out.sum().backward()
    assert np.array_equal(out.numpy(), np.eye(2)) and not x.grad.numpy().any()


def test_a_system_of_equations_takes_one_vector_for_a_whole_batch(rng):
    """NumPy 2: b is a vector only if it has one axis; (2, 2) beside a batch of two matrices is a matrix."""
    a, b = matrices(rng, 2, 2, 2), rng.standard_normal((2, 2))
    assert linalg.solve(a, b).shape == (2, 2, 2)
    assert linalg.solve(a, b[0]).shape == (2, 2)


@pytest.mark.parametrize("function", [linalg.inv, linalg.det, linalg.cholesky, linalg.eigh, linalg.svd, linalg.qr, linalg.slogdet])
def test_matrices_without_rows(function):
    t = Tensor(np.zeros((0, 0)), requires_grad=True)
    total = sum(o.sum() for o in outputs(function(t)))
    total.backward()
    assert t.grad.shape == (0, 0)

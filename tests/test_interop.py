"""Other libraries meet a Tensor: einops in both of its ways, DLPack in both directions, the array API's namespace."""

import copy
import pickle

import einops
import einops.array_api
import numpy as np
import pytest

import minigrad as mg
import minigrad.einops  # noqa: F401
from minigrad.errors import DtypeError, GradientError
from tests.helpers import assert_close

X = np.random.default_rng(7).standard_normal((2, 3, 4))
WAYS = pytest.mark.parametrize("library", [einops, einops.array_api], ids=["einops", "einops.array_api"])


@WAYS
@pytest.mark.parametrize("call", [
    lambda e, x: e.rearrange(x, "b t e -> t (e b)"), lambda e, x: e.rearrange(x, "b t (h d) -> b h t d", h=2),
    lambda e, x: e.rearrange([x, x], "n b t e -> b (n t) e"), lambda e, x: e.reduce(x, "b t e -> b e", "sum"),
    lambda e, x: e.reduce(x, "b t (h d) -> h t", "mean", d=2), lambda e, x: e.reduce(x, "b t e -> t", "max"),
    lambda e, x: e.reduce(x, "b t e -> b 1 e", "min"), lambda e, x: e.repeat(x, "b t e -> b (t 2) n e", n=3),
    lambda e, x: e.rearrange(x, "b ... -> ... b"),
])  # fmt: skip
def test_einops_gives_what_it_gives_for_arrays_and_records(library, call):
    x = mg.tensor(X, requires_grad=True)
    out, expected = call(library, x), call(einops, X)
    assert type(out) is mg.Tensor
    assert_close(out.numpy(), expected, 1e-14)
    weights = np.random.default_rng(1).standard_normal(out.shape)
    out.backward(weights)
    (slope,) = mg.finite_difference(lambda x: (call(library, x) * weights).sum(), X)
    assert_close(x.grad.numpy(), slope, 1e-8)


@WAYS
def test_einops_packs_and_unpacks(library):
    a, b = mg.tensor(X, requires_grad=True), mg.tensor(X[:, 0], requires_grad=True)
    packed, shapes = library.pack([a, b], "b * e")
    assert packed.shape == (2, 4, 4)
    first, second = library.unpack(packed, shapes, "b * e")
    assert np.array_equal(first.numpy(), X) and np.array_equal(second.numpy(), X[:, 0])
    (first.sum() + 2 * second.sum()).backward()
    assert (a.grad.numpy() == 1).all() and (b.grad.numpy() == 2).all()


def test_einops_einsum():
    x = mg.tensor(X, requires_grad=True)
    out = einops.einsum(x, x, "b t e, b s e -> b t s")
    assert out.requires_grad
    assert_close(out.numpy(), np.einsum("bte,bse->bts", X, X), 1e-13)


def test_einops_works_on_parameters():
    layer = mg.Dense(4)
    layer(np.ones((2, 3), np.float32))
    assert einops.rearrange(layer.kernel, "i o -> o i").shape == (4, 3)


# ------------------------------------------------------------------------------------------------------------- DLPack


def test_dlpack_from_numpy_and_back_shares_or_copies():
    array = np.arange(3.0)
    t = mg.from_dlpack(array)
    array[0] = 7.0
    assert t.tolist() == [7.0, 1.0, 2.0]  # shared, as from_numpy
    out = np.from_dlpack(t)
    assert out.dtype == np.float64 and out.tolist() == t.tolist() and not np.shares_memory(out, t.numpy())
    seen = np.from_dlpack(t, copy=False)
    assert np.shares_memory(seen, t.numpy()) and not seen.flags.writeable


def test_what_dlpack_gave_away_never_changes():
    p = mg.Parameter(np.ones(5, np.float32))
    kept, seen = np.from_dlpack(p.detach()), np.from_dlpack(p.detach(), copy=False)
    optimizer = mg.optim.SGD([p], lr=1.0)
    p.sum().backward()
    optimizer.step()
    p.assign(np.zeros(5))
    assert kept.tolist() == seen.tolist() == [1.0] * 5
    kept = np.from_dlpack(p.detach())
    assert kept.tolist() == [0.0] * 5


def test_dlpack_does_not_detach_in_silence():
    t = mg.tensor(X, requires_grad=True)
    for x in (t, t * 2):
        with pytest.raises(GradientError, match=r"dlpack.*detach"):
            np.from_dlpack(x)
    with mg.no_grad():
        assert np.array_equal(np.from_dlpack(t), X)


def test_dlpack_of_other_things_says_so():
    with pytest.raises(TypeError, match=r"from_dlpack.*list"):
        mg.from_dlpack([1.0])
    assert mg.tensor(X).__dlpack_device__() == (1, 0)


@pytest.mark.oracle
def test_dlpack_with_torch_and_jax():
    torch = pytest.importorskip("torch")
    t = mg.tensor(X)
    there = torch.from_dlpack(t)
    assert np.array_equal(there.numpy(), X)
    there[0, 0, 0] = 99.0  # torch does not know read-only memory: it got a copy
    assert np.array_equal(t.numpy(), X)
    theirs = torch.arange(6.0).reshape(2, 3)
    back = mg.from_dlpack(theirs)
    theirs[0, 0] = 5.0
    assert back.numpy()[0, 0] == 5.0
    with pytest.raises(DtypeError, match="from_dlpack"):
        mg.from_dlpack(torch.ones(2, dtype=torch.bfloat16))
    jax = pytest.importorskip("jax")
    assert np.array_equal(np.asarray(jax.numpy.from_dlpack(mg.tensor(X.astype(np.float32)))), X.astype(np.float32))
    assert mg.from_dlpack(jax.numpy.ones(3)).tolist() == [1.0] * 3


# ----------------------------------------------------------------------------------------------- the array API's namespace


def test_the_namespace_of_a_tensor_is_minigrad():
    assert mg.tensor(X).__array_namespace__() is mg
    for name in ("permute_dims", "concat", "acos", "atan2", "bitwise_invert", "pow", "expand_dims", "asarray"):
        assert callable(getattr(mg, name)), name


def test_copies():
    leaf = mg.tensor(X, requires_grad=True)
    for twin in (copy.copy(leaf), copy.deepcopy(leaf), pickle.loads(pickle.dumps(leaf))):
        assert twin is not leaf and twin.requires_grad and twin.is_leaf and np.array_equal(twin.numpy(), X)
        assert not np.shares_memory(twin.numpy(), leaf.numpy())
    result = leaf * 2
    assert copy.copy(result) is result
    for make in (copy.deepcopy, pickle.dumps):
        with pytest.raises(GradientError, match="multiply.*detach"):
            make(result)

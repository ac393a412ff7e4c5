"""What the generic suites cannot see of the ops that move elements: conventions, views, dtypes, and PyTorch beside them."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from minigrad.errors import ShapeError
from tests.helpers import assert_close, outputs

X = np.random.default_rng(3).standard_normal((2, 3, 4))


# --------------------------------------------------------------------------------------------------- whose meaning counts


def test_transpose_means_one_thing_as_function_method_and_numpy_function():
    t = Tensor(X)
    for axes in [(0, 2), (-1, 1), ((2, 0, 1),), ()]:
        expected = np.swapaxes(X, *axes) if len(axes) == 2 else np.transpose(X, *axes)
        for out in (mg.transpose(X, *axes), mg.transpose(t, *axes).numpy(), t.transpose(*axes).numpy()):
            assert np.array_equal(out, expected)
    assert np.array_equal(t.transpose(2, 0, 1).numpy(), X.transpose(2, 0, 1))  # an array's method takes them one by one
    assert np.array_equal(t.permute(2, 0, 1).numpy(), mg.permute(X, (2, 0, 1)))
    assert np.array_equal(np.transpose(t, axes=(2, 0, 1)).numpy(), X.transpose(2, 0, 1))


def test_split_counts_parts_and_chunks_of_their_length():
    x = np.arange(6.0)
    lengths = lambda parts: [len(part) for part in parts]  # noqa: E731
    assert lengths(mg.split(x, 2)) == lengths(mg.split(x, chunks_of=3)) == [3, 3]
    assert lengths(mg.split(x, [1, 3])) == [1, 2, 3]
    assert lengths(mg.split(x, chunks_of=4)) == [4, 2]
    assert lengths(mg.split(x, chunks_of=[1, 5])) == [1, 5]
    assert lengths(mg.split(x, (4, 100))) == [4, 2, 0]
    assert lengths(mg.array_split(x, 4)) == [2, 2, 1, 1]
    assert lengths(mg.chunk(x, 4)) == [2, 2, 2]  # at most four
    assert lengths(mg.unbind(np.ones((2, 0, 3)), 1)) == []


def test_repeat_repeats_elements_and_tile_the_whole():
    x = np.array([1.0, 2.0])
    assert mg.repeat(x, 2).tolist() == mg.repeat_interleave(x, 2).tolist() == [1, 1, 2, 2]
    assert mg.tile(x, 2).tolist() == Tensor(x).tile(2).tolist() == [1, 2, 1, 2]
    assert Tensor(x).tile(2, 1).shape == Tensor(x).tile((2, 1)).shape == (2, 2)
    assert mg.repeat(x, Tensor([0, 3])).tolist() == [2, 2, 2]


def test_numbers_of_a_method_may_stand_alone_or_in_a_tuple():
    t = Tensor(X)
    assert t.expand(5, -1, 3, -1).shape == t.expand((5, -1, 3, -1)).shape == (5, 2, 3, 4)
    assert t.reshape(6, -1).shape == t.reshape(shape=(6, -1)).shape == (6, 4)
    for out in (t.flip(0, 2), t.flip((0, 2)), t.flip(axis=(0, 2)), np.flip(t, (0, 2))):
        assert np.array_equal(out.numpy(), np.flip(X, (0, 2)))
    assert np.array_equal(t.flip().numpy(), t.flip(None).numpy())


def test_words_of_pytorch_and_numpy_for_arguments():
    t = Tensor(X)
    for out, expected in [
        (mg.flatten(t, start_dim=1), X.reshape(2, 12)), (mg.unflatten(t, dim=-1, sizes=(2, 2)), X.reshape(2, 3, 2, 2)),
        (mg.tril(t, diagonal=-1), np.tril(X, -1)), (mg.diagonal(t, dim1=1, dim2=2), np.diagonal(X, 0, 1, 2)),
        (mg.roll(t, shifts=1, dim=0), np.roll(X, 1, 0)), (np.roll(t, shift=1, axis=2), np.roll(X, 1, 2)),
        (mg.cat([t, t], dim=1), np.concatenate([X, X], 1)), (np.pad(t, 1, constant_values=2.0), np.pad(X, 1, constant_values=2.0)),
        (np.pad(t, 1, mode="wrap"), np.pad(X, 1, mode="wrap")), (np.take(t, indices=[0, 2], axis=1), np.take(X, [0, 2], axis=1)),
        (np.tile(t, reps=(2, 1)), np.tile(X, (2, 1))), (np.moveaxis(t, source=0, destination=2), np.moveaxis(X, 0, 2)),
        (mg.movedim(t, 0, 2), np.moveaxis(X, 0, 2)), (t.movedim(0, 2), np.moveaxis(X, 0, 2)),
        (mg.unsqueeze(t, 1), X[:, None]), (np.rot90(t, k=-1, axes=(1, 2)), np.rot90(X, -1, (1, 2))),
        (np.repeat(t, repeats=2, axis=0), np.repeat(X, 2, 0)), (t.repeat_interleave(2, dim=0), np.repeat(X, 2, 0)),
    ]:  # fmt: skip
        assert type(out) is Tensor and np.array_equal(out.numpy(), expected)
    assert [part.shape for part in np.split(t, indices_or_sections=2, axis=2)] == [(2, 3, 2)] * 2
    assert [part.shape for part in t.chunk(chunks=2, dim=2)] == [(2, 3, 2)] * 2
    x, y = np.meshgrid(Tensor([1.0, 2.0]), Tensor([3.0, 4.0, 5.0]), indexing="ij")
    assert x.shape == y.shape == (2, 3) and x.tolist() == [[1, 1, 1], [2, 2, 2]]


def test_numbers_and_lists_are_taken_where_tensors_are():
    assert mg.atleast_2d(3.0).tolist() == [[3]] and mg.stack([1.0, 2.0]).dtype == np.float32
    first, second = mg.atleast_1d(1.0, [2.0, 3.0])
    assert first.shape == (1,) and second.shape == (2,)
    assert mg.hstack([1.0, np.ones(2)]).tolist() == [1, 1, 1]
    assert mg.broadcast_arrays(2.0, np.ones(3))[0].tolist() == [2, 2, 2]
    assert mg.flatten(5.0).tolist() == [5]


# ------------------------------------------------------------------------------------------------------ dtypes and views


@pytest.mark.parametrize("join", [mg.concatenate, mg.stack, mg.hstack, mg.vstack, mg.dstack, mg.column_stack])
def test_joining_promotes_floats_among_themselves_and_by_nothing_else(join):
    single, double, whole = np.ones(3, np.float32), np.ones(3), np.arange(3)
    assert join([single, whole]).dtype == join([Tensor(single), Tensor(whole), single]).dtype == np.float32
    assert join([single, double]).dtype == np.float64
    assert join([whole, whole]).dtype == np.int64
    x = Tensor(single, requires_grad=True)
    join([x, Tensor(double)]).sum().backward()
    assert x.grad.dtype == np.float32 and x.grad.tolist() == [1, 1, 1]


def test_numbers_among_arrays_take_their_dtype_and_all_their_digits():
    assert mg.stack([np.ones(()), 0.1]).tolist() == [1, 0.1]
    assert mg.stack([np.ones((), np.float32), 0.1]).dtype == np.float32


@pytest.mark.parametrize("move", [
    lambda x: mg.reshape(x, (4, 6)), lambda x: mg.permute(x, (2, 0, 1)), lambda x: mg.moveaxis(x, 0, 2), lambda x: mg.flip(x, 1),
    lambda x: mg.diagonal(x, 1, 1, 2), lambda x: mg.unfold(x, 2, 3, 1), lambda x: mg.split(x, 3, 1)[2], lambda x: mg.unbind(x, 1)[0],
    lambda x: mg.expand(x, (5, -1, -1, -1)), lambda x: mg.rot90(x, 3), lambda x: mg.unflatten(x, 2, (2, 2)), lambda x: mg.flatten(x, 1),
    lambda x: mg.squeeze(mg.expand_dims(x, 0)),
])  # fmt: skip
def test_what_numpy_only_looks_at_is_not_copied_and_not_writable_through_a_tensor(move):
    x = X.copy()
    assert np.shares_memory(move(x), x)
    t = Tensor(x)
    out = move(t)
    with pytest.raises(ValueError, match="read-only"):
        out.numpy()[...] = 7.0
    assert np.array_equal(t.numpy(), x)


# ---------------------------------------------------------------------------------------------------- gradients by hand


def test_a_part_that_is_not_used_has_the_gradient_zero():
    x = Tensor(np.arange(6.0), requires_grad=True)
    first, _, third = mg.split(x, 3)
    (first.sum() + (third * 10).sum()).backward()
    assert x.grad.tolist() == [1, 1, 0, 0, 10, 10]


def test_going_through_the_rows_costs_one_joining_and_not_one_array_per_row(monkeypatch):
    x = Tensor(np.ones((50, 2)), requires_grad=True)
    total = sum((row * i).sum() for i, row in enumerate(x))
    monkeypatch.setattr(mg.core.REGISTRY["putitem"], "forward", lambda *_: pytest.fail("a whole array for one row"))
    total.backward()
    assert x.grad.numpy()[:, 1].tolist() == list(range(50))


def test_windows_that_overlap_add_up():
    x = Tensor(np.arange(5.0), requires_grad=True)
    mg.unfold(x, 0, 3, 1).sum().backward()
    assert x.grad.tolist() == [1, 2, 3, 2, 1]


@pytest.mark.parametrize("mode, expected", [
    ("constant", [1, 1, 1, 1]), ("edge", [2, 1, 1, 3]), ("reflect", [1, 3, 2, 1]), ("symmetric", [2, 1, 2, 2]), ("wrap", [2, 2, 1, 2]),
])  # fmt: skip
def test_a_frame_gives_its_gradient_to_the_elements_it_continues(mode, expected):
    x = Tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    mg.pad(x, (1, 2), mode).sum().backward()
    assert x.grad.tolist() == expected


def test_one_number_and_one_pair_pad_every_axis():
    x = np.ones((2, 3))
    assert mg.pad(x, 1).shape == mg.pad(x, (1, 1)).shape == mg.pad(x, ((1, 1),)).shape == (4, 5)
    assert mg.pad(x, ((0, 0), (1, 1))).shape == (2, 5)
    with pytest.raises(ShapeError, match=r"flat form is \(\(0, 0\), \(3, 4\), \(1, 2\)\) here"):
        mg.pad(X, (1, 2, 3, 4))
    with pytest.raises(ValueError, match="replicate"):
        mg.pad(x, 1, "replicate")


# --------------------------------------------------------------------------------------------------------- beside PyTorch

TABLE = {
    "reshape": (lambda m, x: m.reshape(x, (4, 6)), lambda t, x: t.reshape(x, (4, 6))),
    "unflatten": (lambda m, x: m.unflatten(x, 2, (2, -1)), lambda t, x: t.unflatten(x, 2, (2, -1))),
    "flatten": (lambda m, x: m.flatten(x, 1, 2), lambda t, x: t.flatten(x, 1, 2)),
    "transpose": (lambda m, x: m.transpose(x, 0, -1), lambda t, x: t.transpose(x, 0, -1)),
    "permute": (lambda m, x: m.permute(x, (1, 2, 0)), lambda t, x: t.permute(x, (1, 2, 0))),
    "movedim": (lambda m, x: m.movedim(x, (0, 1), (2, 0)), lambda t, x: t.movedim(x, (0, 1), (2, 0))),
    "expand": (lambda m, x: m.expand(x[:, :1], (5, -1, 7, -1)), lambda t, x: x[:, :1].expand(5, -1, 7, -1)),
    "tile": (lambda m, x: m.tile(x, (2, 1, 3)), lambda t, x: x.repeat(2, 1, 3)),
    "repeat_interleave": (lambda m, x: m.repeat_interleave(x, 3, 1), lambda t, x: t.repeat_interleave(x, 3, 1)),
    "repeat_interleave each": (
        lambda m, x: m.repeat_interleave(x, [2, 0, 3], 1), lambda t, x: t.repeat_interleave(x, t.tensor([2, 0, 3]), 1)),
    "flip": (lambda m, x: m.flip(x, (0, 2)), lambda t, x: t.flip(x, (0, 2))),
    "roll": (lambda m, x: m.roll(x, (1, -2), (0, 2)), lambda t, x: t.roll(x, (1, -2), (0, 2))),
    "roll all": (lambda m, x: m.roll(x, 5), lambda t, x: t.roll(x, 5)),
    "rot90": (lambda m, x: m.rot90(x, 1, (1, 2)), lambda t, x: t.rot90(x, 1, (1, 2))),
    "rot90 back": (lambda m, x: m.rot90(x, 3, (2, 0)), lambda t, x: t.rot90(x, 3, (2, 0))),
    "tril": (lambda m, x: m.tril(x, 1), lambda t, x: t.tril(x, 1)),
    "triu": (lambda m, x: m.triu(x, -1), lambda t, x: t.triu(x, -1)),
    "diagonal": (lambda m, x: m.diagonal(x, 1, 1, 2), lambda t, x: t.diagonal(x, 1, 1, 2)),
    "diag_embed": (lambda m, x: m.diag_embed(x, -2, 1, 3), lambda t, x: t.diag_embed(x, -2, 1, 3)),
    "diag": (lambda m, x: m.diag(x[0], 1), lambda t, x: t.diag(x[0], 1)),
    "diag of a row": (lambda m, x: m.diag(x[0, 0], -1), lambda t, x: t.diag(x[0, 0], -1)),
    "unfold": (lambda m, x: m.unfold(x, 2, 3, 1), lambda t, x: x.unfold(2, 3, 1)),
    "unfold with gaps": (lambda m, x: m.unfold(x, 1, 1, 2), lambda t, x: x.unfold(1, 1, 2)),
    "split": (lambda m, x: m.split(x, axis=2, chunks_of=3), lambda t, x: t.split(x, 3, 2)),
    "split by lengths": (lambda m, x: m.split(x, axis=2, chunks_of=[1, 3]), lambda t, x: t.split(x, [1, 3], 2)),
    "array_split": (lambda m, x: m.array_split(x, 2, 1), lambda t, x: t.tensor_split(x, 2, 1)),
    "chunk": (lambda m, x: m.chunk(x, 3, 2), lambda t, x: t.chunk(x, 3, 2)),
    "unbind": (lambda m, x: m.unbind(x, 1), lambda t, x: t.unbind(x, 1)),
    "cat": (lambda m, x: m.cat([x, x * 2, x[:, :, :1]], 2), lambda t, x: t.cat([x, x * 2, x[:, :, :1]], 2)),
    "stack": (lambda m, x: m.stack([x, x * x], -2), lambda t, x: t.stack([x, x * x], -2)),
    "hstack": (lambda m, x: m.hstack([x, x * x]), lambda t, x: t.hstack([x, x * x])),
    "vstack": (lambda m, x: m.vstack([x[0, 0], x[1]]), lambda t, x: t.vstack([x[0, 0], x[1]])),
    "dstack": (lambda m, x: m.dstack([x[0], x[1]]), lambda t, x: t.dstack([x[0], x[1]])),
    "column_stack": (lambda m, x: m.column_stack([x[0, :, 0], x[1]]), lambda t, x: t.column_stack([x[0, :, 0], x[1]])),
    "meshgrid": (lambda m, x: m.meshgrid(x[0, 0], x[0, :, 0]), lambda t, x: t.meshgrid(x[0, 0], x[0, :, 0], indexing="xy")),
    "meshgrid ij": (lambda m, x: m.meshgrid(x[0, 0], x[0, :, 0], indexing="ij"),
                    lambda t, x: t.meshgrid(x[0, 0], x[0, :, 0], indexing="ij")),
    "atleast_3d": (lambda m, x: m.atleast_3d(x[0], x[0, 0], x[0, 0, 0]), lambda t, x: t.atleast_3d(x[0], x[0, 0], x[0, 0, 0])),
    "broadcast_arrays": (lambda m, x: m.broadcast_arrays(x[:, :1], x[0]), lambda t, x: t.broadcast_tensors(x[:, :1], x[0])),
    "pad": (lambda m, x: m.pad(x, ((0, 0), (1, 2), (3, 0)), value=2.0),
            lambda t, x: t.nn.functional.pad(x, (3, 0, 1, 2), value=2.0)),
    "pad reflect": (lambda m, x: m.pad(x, ((0, 0), (2, 1), (1, 3)), "reflect"),
                    lambda t, x: t.nn.functional.pad(x, (1, 3, 2, 1), "reflect")),
    "pad edge": (lambda m, x: m.pad(x, ((0, 0), (2, 1), (1, 3)), "edge"),
                 lambda t, x: t.nn.functional.pad(x, (1, 3, 2, 1), "replicate")),
    "pad wrap": (lambda m, x: m.pad(x, ((0, 0), (2, 1), (1, 3)), "wrap"),
                 lambda t, x: t.nn.functional.pad(x[None], (1, 3, 2, 1), "circular")[0]),
}  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize("name", TABLE)
def test_values_gradients_and_second_order_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    ours, theirs = TABLE[name]
    x, t = Tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    loss, expected_loss = 0, 0
    for a, b in zip(outputs(ours(mg, x)), outputs(theirs(torch, t)), strict=True):
        assert_close(a.numpy(), b.detach().numpy(), 1e-15, name)
        weights = np.random.default_rng(a.size).standard_normal(a.shape)
        loss, expected_loss = (
            loss + mg.sum(a * a * a * weights),
            expected_loss + torch.sum(b**3 * torch.tensor(weights)),
        )
    (first,) = mg.autograd.grad(loss, [x], create_graph=True)
    (expected,) = torch.autograd.grad(expected_loss, [t], create_graph=True)
    assert_close(first.numpy(), expected.detach().numpy(), 1e-14, name)
    (second,) = mg.autograd.grad(mg.sum(first * first), [x])
    (expected,) = torch.autograd.grad(torch.sum(expected**2), [t])
    assert_close(second.numpy(), expected.numpy(), 1e-13, name)

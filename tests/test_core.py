"""The engine's promises: the walk, its errors, its memory, and what may never change behind somebody's back."""

import copy
import gc
import pickle
import queue
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import REGISTRY, Tensor, arrays_to_change, op
from minigrad.errors import GradientError
from tests.helpers import assert_close


@pytest.fixture
def declare():
    """Declare an op for one test: ``declare(forward, rule, composite=None, **attachments)``."""
    names = []

    def make(forward, rule, composite=None, **attachments):
        function = op(**attachments)(forward)
        function.vjp(rule)
        if composite is not None:
            function.composite(composite)
        names.append(forward.__name__)
        return function

    yield make
    for name in names:
        del REGISTRY[name]


def leaf(*values):
    return Tensor(np.array(values), requires_grad=True)


# ------------------------------------------------------------------------------------------------------------ the walk


def test_a_chain_of_a_hundred_thousand_ops():
    x = y = leaf(1.0, -2.0)
    for _ in range(100_000):
        y = y + 0.5
    y.backward([1.0, 3.0])
    assert x.grad.tolist() == [1.0, 3.0]
    del y  # 100,000 nodes go one after the other, not one inside the other


def test_a_long_chain_that_is_never_walked_can_be_thrown_away():
    code = (
        "import minigrad as mg\nx = y = mg.tensor([1.0], requires_grad=True)\nfor _ in range(100_000): y = y * 1.0\ndel y\nprint('alive')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "alive\n", done.stderr


def test_x_times_x_has_two_parents():
    x = leaf(3.0)
    (x * x).backward()
    assert x.grad.tolist() == [6.0]


def test_an_inner_node_used_twice_waits_for_both():
    a = leaf(3.0)
    b = a + a
    c = b + b
    c.backward()
    assert a.grad.tolist() == [4.0]


def test_diamonds_upon_diamonds():
    """2^40 paths, 40 nodes: a walk that visits a node once per path never ends."""
    x = y = leaf(1.0)
    for _ in range(40):
        y = y * 0.5 + y * 0.5
    y.backward()
    assert x.grad.tolist() == [1.0]


def test_a_short_and_a_long_way_to_the_same_node():
    x = leaf(2.0)
    y = x * 3
    z = y
    for _ in range(5):
        z = z * 1.0
    (z * y).backward()  # 9 x^2
    assert x.grad.tolist() == [36.0]


def test_many_uses_add_up_without_touching_what_was_handed_out():
    """From the third contribution on the walk adds in place: only to arrays that are its own."""
    x, seed = leaf(1.0, 2.0), np.array([5.0, 7.0])
    y = x + 0.0
    y.retain_grad()
    (y + y + y + y + y).backward(seed)
    assert x.grad.tolist() == [25.0, 35.0] and y.grad.tolist() == [25.0, 35.0]
    assert seed.tolist() == [5.0, 7.0]


def test_leaves_accumulate_and_inner_tensors_keep_nothing():
    x = leaf(2.0)
    for times in (1, 2, 3):
        y = x * x
        y.backward()
        assert x.grad.tolist() == [4.0 * times]
        assert y.grad is None


def test_retain_grad_keeps_the_gradient_of_an_inner_tensor():
    x = leaf(2.0)
    y = x * 3
    z = y * y
    y.retain_grad()
    z.retain_grad()
    z.backward()
    assert (z.grad.tolist(), y.grad.tolist(), x.grad.tolist()) == ([1.0], [12.0], [36.0])
    x.retain_grad()  # a leaf keeps it anyway
    with pytest.raises(GradientError, match="retain_grad"):
        Tensor([1.0]).retain_grad()


def test_backward_from_a_leaf():
    x = leaf(2.0, 3.0)
    x.backward([1.0, 10.0])
    assert x.grad.tolist() == [1.0, 10.0]


def test_frozen_and_plain_inputs_get_no_gradient():
    x, constant = leaf(2.0), Tensor([3.0])
    (x * constant).backward()
    assert constant.grad is None and x.grad.tolist() == [3.0]


# ----------------------------------------------------------------------------------------------- targets of the walk


def test_a_target_may_be_an_inner_node():
    x = leaf(2.0)
    y = x * x
    z = y * y * y
    assert mg.autograd.grad(z, y)[0].tolist() == [48.0]
    assert x.grad is None and y.grad is None


def test_targets_of_which_one_is_upstream_of_the_other():
    x = leaf(2.0)
    y = x * x
    z = y * y
    for order in ([x, y], [y, x]):
        found = dict(zip(map(id, order), mg.autograd.grad(z, order, retain_graph=True)))
        assert found[id(x)].tolist() == [32.0] and found[id(y)].tolist() == [8.0]


def test_the_output_itself_is_a_target():
    x = leaf(2.0)
    y = x * x
    assert [g.tolist() for g in mg.autograd.grad(y, [y, x])] == [[1.0], [4.0]]
    assert mg.autograd.grad(x, x)[0].tolist() == [1.0]


def test_the_same_target_twice():
    x = leaf(2.0)
    assert [g.tolist() for g in mg.autograd.grad(x * x, [x, x])] == [[4.0], [4.0]]


def test_an_output_that_feeds_another_output():
    x = leaf(2.0)
    y = x * x
    z = y * 3
    assert mg.autograd.grad([y, z], x)[0].tolist() == [16.0]


def test_nothing_beyond_the_targets_is_computed(declare):
    def loud(x, /):
        return x * 1

    f = declare(loud, lambda g, _, x: pytest.fail("a rule that leads to no target was called"))
    x, other = leaf(2.0), leaf(5.0)
    below = f(x) * 2
    z = below * f(other)
    assert mg.autograd.grad(z, below)[0].tolist() == [5.0]


def test_an_input_on_which_nothing_depends():
    x, y = leaf(2.0), leaf(3.0)
    with pytest.raises(GradientError, match=r"input 1 of shape \(1,\).*allow_unused"):
        mg.autograd.grad(x * x, [x, y])
    assert mg.autograd.grad(x * x, [x, y], allow_unused=True)[1] is None


def test_an_output_older_than_every_target_adds_nothing():
    x = leaf(2.0, 1.0)
    older, values = x * 2.0, mg.sort(x)[0]
    asked = x * 3.0
    seen = []
    x.register_hook(seen.append)
    found = mg.autograd.grad([older, values, x, asked * asked], [asked], [np.ones(2)] * 4)
    assert found[0].tolist() == [12.0, 6.0] and not seen


# -------------------------------------------------------------------------------------------------- freed and changed


def test_a_freed_graph_raises_and_says_how_to_keep_it():
    x = leaf(2.0)
    y = x * x
    y.backward()
    with pytest.raises(GradientError, match="multiply was freed.*retain_graph=True"):
        y.backward()
    assert x.grad.tolist() == [4.0]


def test_a_freed_part_of_a_graph_raises_too():
    x = leaf(2.0)
    shared = x * x
    (shared * 3).backward()
    with pytest.raises(GradientError, match="multiply was freed"):
        (shared * 5).backward()


def test_retain_graph_keeps_it():
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [8.0]


def test_the_graph_is_freed_while_the_output_lives():
    x = leaf(1.0, 2.0)
    inner = x * 3
    out = (inner * inner).sum()
    watch = weakref.ref(inner)
    del inner
    assert watch() is not None, "the graph needs it"
    out.backward()
    assert watch() is None, "the output still holds the graph"


def test_a_leaf_changed_after_use_is_caught_and_the_op_named():
    x, w = leaf(2.0), leaf(3.0)
    y = mg.tanh(x * w)
    w.assign([4.0])
    with pytest.raises(GradientError, match=r"shape \(1,\) was changed after multiply used it"):
        y.backward()


def test_a_leaf_changed_by_an_optimiser_is_caught():
    w = leaf(3.0)
    y = w * w
    w.grad = Tensor([1.0], dtype="float64")
    mg.optim.SGD([w], lr=0.1).step()
    with pytest.raises(GradientError, match="changed after multiply"):
        y.backward()


def test_a_leaf_changed_before_use_is_fine():
    w = leaf(3.0)
    w.assign([5.0])
    (w * w).backward()
    assert w.grad.tolist() == [10.0]


def test_a_constant_may_change_because_its_values_were_kept():
    x, c = leaf(2.0), Tensor([3.0], dtype="float64")
    y = x * c
    c.assign([100.0])
    y.backward()
    assert x.grad.tolist() == [3.0]


def test_only_leaves_can_be_assigned_or_switched():
    y = leaf(2.0) * 2
    with pytest.raises(GradientError, match="assign.*multiply"):
        y.assign([1.0])
    with pytest.raises(GradientError, match="requires_grad.*multiply.*detach"):
        y.requires_grad = False


# ------------------------------------------------------------------------------------------- nothing changes in secret


def test_kept_views_never_change():
    p = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    (p * p).sum().backward()
    values, gradient, detached = p.numpy(), p.grad.numpy(), p.detach()
    view = detached.reshape(2, 1)
    for optimiser in (mg.optim.SGD([p], lr=0.1, momentum=0.9), mg.optim.AdamW([p], lr=0.1)):
        optimiser.step()
        (p * p).sum().backward()
    p.assign([9.0, 9.0])
    assert values.tolist() == [1, 2] and gradient.tolist() == [2, 4]
    assert detached.tolist() == [1, 2] and view.tolist() == [[1], [2]]
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 7.0


def test_gradients_that_share_memory_stay_apart():
    """add hands one array to both inputs; accumulating into one must not move the other."""
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    seed = np.array([1.0, 1.0])
    (a + b).backward(seed)
    kept = b.grad.numpy()
    seed[:] = 100
    (a * 10).sum().backward()
    mg.optim.clip_grad_norm_([a], 1e-3)
    a.grad.assign([-1.0, -1.0])
    assert kept.tolist() == [1, 1] and b.grad.tolist() == [1, 1]


KEEPERS = {
    "tensor": lambda t: t.detach() if t.is_leaf else t,
    "numpy": lambda t: t.numpy(),
    "slice": lambda t: t.numpy()[3:5, ::7],
    "one row": lambda t: t.detach()[2],
    "transposed and reshaped": lambda t: t.mT.reshape(-1, 1),
    "memoryview": lambda t: memoryview(t.numpy()),
    "broadcast": lambda t: np.broadcast_to(t.numpy()[0, :1], (4, 3)),
    "iterator": lambda t: t.numpy().flat,
    "gradient": lambda t: t.grad if t.grad is not None else t.detach(),
}


@pytest.mark.parametrize("kernels", ["reference", "numba"])
def test_whatever_is_kept_of_large_results_never_changes(kernels):
    """Memory that is used again must not be taken from under anybody, however little of it somebody still looks at."""
    rng = np.random.default_rng(0)
    w = Tensor(rng.standard_normal((300, 300)).astype(np.float32), requires_grad=True)
    kept = []

    def keep(tensor):
        for name in rng.choice(list(KEEPERS), 2, replace=False):
            thing = KEEPERS[name](tensor)
            kept.append((name, thing, bytes_of(thing)))

    with mg.use_kernels(kernels):
        for step in range(12):
            x = Tensor(rng.standard_normal((300, 300)).astype(np.float32), requires_grad=True)
            y = mg.softmax(x @ w) + mg.gelu(x) * mg.dropout(x, 0.5, step)
            z = mg.layer_norm(mg.linear(y, w)) - mg.log_softmax(y)
            for tensor in (y, z):
                keep(tensor)
            y.retain_grad()
            (z * z).mean().backward()
            for tensor in (x, y, w):
                keep(tensor)
            del x, y, z
            mg.optim.AdamW([w], lr=1e-3).step()
            del kept[: rng.integers(0, 5)]  # some of it becomes free, the rest must stay
            for name, thing, expected in kept:
                assert bytes_of(thing) == expected, f"step {step}: a kept {name} changed"


def bytes_of(thing):
    if isinstance(thing, Tensor):
        thing = thing.numpy()
    return np.array(thing).tobytes()


def test_large_results_that_cross_threads_never_change():
    """Made in one thread, kept in another, dropped in a third; each thread goes on working meanwhile."""
    made, wrong = queue.Queue(4), []

    def produce(seed):
        x = Tensor(np.random.default_rng(seed).standard_normal((200, 200)))
        for i in range(40):
            y = mg.softmax(x * float(i)) + x
            made.put((y.numpy()[1:], y.numpy()[1:].tobytes()))
        made.put(None)

    def consume():
        while (item := made.get()) is not None:
            scratch = mg.softmax(Tensor(np.ones((200, 200)))) + 1.0
            if item[0].tobytes() != item[1]:
                wrong.append(item)
            del scratch

    threads = [threading.Thread(target=produce, args=(s,)) for s in (1, 2)] + [threading.Thread(target=consume) for _ in range(2)]
    with mg.use_kernels("reference"):
        [t.start() for t in threads]
        [t.join() for t in threads]
    assert not wrong


def test_tensor_copies_and_from_numpy_shares():
    array = np.array([1.0, 2.0])
    copied, shared = mg.tensor(array), mg.from_numpy(array)
    array[0] = 9.0
    assert copied.tolist() == [1, 2] and shared.tolist() == [9, 2]
    memory = memoryview(np.array([1.0, 2.0], np.float32))
    assert not np.shares_memory(mg.tensor(memory).numpy(), np.asarray(memory))


def test_an_optimiser_step_does_not_write_into_the_users_array():
    array = np.array([1.0, 2.0])
    for p in (mg.from_numpy(array), mg.from_numpy(array[:])):  # of the second nobody else holds the view, only what it views
        p.requires_grad = True
        (p * p).sum().backward()
        mg.optim.SGD([p], lr=0.5).step()
        assert array.tolist() == [1, 2] and p.tolist() == [0, 0]


def test_leaves_are_contiguous_whatever_they_were_made_of():
    """Kernels that change parameters in place walk through them row by row."""
    values = np.arange(6.0).reshape(2, 3).T
    p = Tensor(values, requires_grad=True)
    assert p.numpy().flags.c_contiguous
    p.assign(values[::-1])
    assert p.numpy().flags.c_contiguous and np.array_equal(p.numpy(), values[::-1])
    q = mg.from_numpy(np.asfortranarray(values))
    assert arrays_to_change([q])[0].flags.c_contiguous and np.array_equal(q.numpy(), values)


def test_in_place_operators_rebind_and_refuse_leaves():
    x = leaf(2.0)
    y = old = x * 1
    y += 3
    assert (y.tolist(), old.tolist()) == ([5.0], [2.0])
    for statement in ("x += 1", "x -= 1", "x *= 2", "x /= 2"):
        with pytest.raises(GradientError, match="assign"):
            exec(statement, {"x": x})
    constant = Tensor([1.0])
    constant += 1
    assert constant.tolist() == [2.0]


# --------------------------------------------------------------------------------------------------- memory and cycles


@pytest.fixture
def without_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def one_of_everything(x):
    """A computation through many kinds of ops, among them fused ones and several outputs of one input."""
    y = mg.softmax(mg.layer_norm(mg.gelu(x @ x.mT)), axis=0)
    return (mg.concatenate([y, x[:, :2]], axis=1) * mg.dropout(y.max(), 0.0, 1)).mean()


@pytest.mark.parametrize("use", ["backward", "retain_grad", "grad", "create_graph", "never walked", "error"])
def test_no_reference_cycles(use, without_collector):
    x = Tensor(np.random.default_rng(0).standard_normal((3, 3)), requires_grad=True)
    inner = x * 2
    out = one_of_everything(inner)
    watched = [weakref.ref(t) for t in (x, inner, out)]
    if use == "backward":
        out.backward()
    elif use == "retain_grad":
        inner.retain_grad()
        out.backward()
    elif use == "grad":
        mg.autograd.grad(out, x)
    elif use == "create_graph":
        (first,) = mg.autograd.grad(out, x, create_graph=True)
        mg.autograd.grad((first * first).sum(), x)
        watched.append(weakref.ref(first))
        del first
    elif use == "error":
        x.assign(np.ones((3, 3)))
        try:
            out.backward()
        except GradientError as error:
            error.__traceback__ = None
    del x, inner, out
    assert [w() for w in watched] == [None] * len(watched)


def test_a_cycle_of_backward_with_create_graph_goes_when_grad_is_cleared(without_collector):
    """The one cycle there is, as the docstring says."""
    x = leaf(2.0)
    (x * x * x).backward(create_graph=True)
    watch = weakref.ref(x)
    x.grad = None
    del x
    assert watch() is None


def test_memory_of_gradients_is_given_back_during_the_walk(declare):
    """At most a few gradients are alive at any time, however long the chain."""
    alive = []

    class Counted(np.ndarray):
        pass

    def step(x, /):
        return x * 1.0

    def rule(g, _, x):
        fresh = np.array(g).view(Counted)
        alive.append(weakref.ref(fresh))
        assert sum(r() is not None for r in alive) <= 3
        return (fresh,)

    f = declare(step, rule)
    y = leaf(1.0, 2.0)
    for _ in range(50):
        y = f(y)
    y.backward([1.0, 1.0])
    assert len(alive) == 50


# ---------------------------------------------------------------------------------------- grad mode, detach, dtypes


def test_no_grad_enable_grad_and_decorators():
    x = leaf(2.0)
    with mg.no_grad():
        assert not (x * x).requires_grad
        with mg.enable_grad():
            assert (x * x).requires_grad
        assert not (x * x).requires_grad
    assert (x * x).requires_grad

    @mg.no_grad()
    def silent(n):
        return (x * x).requires_grad or (n > 0 and silent(n - 1))

    assert silent(3) is False and mg.is_grad_enabled()
    with pytest.raises(ZeroDivisionError), mg.no_grad():
        1 / 0
    assert mg.is_grad_enabled()


def test_what_was_made_under_no_grad_says_so():
    x = leaf(2.0)
    with mg.no_grad():
        y = x * x
    with pytest.raises(GradientError, match="no_grad.*detached"):
        y.backward()


def test_detach_stops_the_gradient_and_shares_the_values():
    x = leaf(2.0)
    y = x * x
    (y.detach() * x).backward()
    assert x.grad.tolist() == [4.0]
    assert np.shares_memory(y.detach().numpy(), y.numpy())


def test_integers_carry_no_gradient():
    x = leaf(2.0, 5.0)
    for made in (x.astype("int64"), x > 3, mg.argmax(x), x == x):
        assert not made.requires_grad and made.dtype.kind in "ib"
    y = x * Tensor([2, 3])
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 3.0] and y.dtype == np.float64


def test_only_one_number_has_a_gradient_of_its_own():
    y = leaf(1.0, 2.0) * 2
    with pytest.raises(GradientError, match=r"size 1.*\(2,\)"):
        y.backward()
    with pytest.raises(mg.errors.ShapeError, match=r"output \(2,\).*gradient \(3,\)"):
        y.backward(np.ones(3))
    x = Tensor(np.ones((1, 1)), requires_grad=True)
    (x * 3).backward()  # size 1, whatever the axes
    assert x.grad.tolist() == [[3.0]]


@pytest.mark.parametrize("seed", [np.ones(2), np.ones(2, np.float32), [1, 1], Tensor([1.0, 1.0]), Tensor(np.ones(2)), np.ones(2, int)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_have_the_dtype_of_their_leaf(seed, dtype):
    for f in (lambda x: x, lambda x: x * 2, lambda x: x + mg.ones(2), lambda x: mg.sigmoid(x).astype("float64")):
        x = Tensor(np.array([1.0, 2.0], dtype), requires_grad=True)
        y = f(x)
        y.retain_grad()
        y.backward(seed)
        assert x.grad.dtype == dtype and y.grad.dtype == y.dtype


def test_mixed_float_types_meet_in_one_node():
    x = Tensor(np.array([1.0], np.float32), requires_grad=True)
    (x * Tensor(np.array([3.0])) + x).backward()
    assert x.grad.dtype == np.float32 and x.grad.tolist() == [4.0]


def test_python_floats_are_float32_and_arrays_keep_their_dtype():
    assert Tensor([1.5]).dtype == Tensor(1.5).dtype == Tensor([[1.5, 2]]).dtype == np.float32
    assert Tensor(np.array([1.5])).dtype == Tensor(np.float64(1.5)).dtype == Tensor([np.float64(1.5)]).dtype == np.float64
    assert Tensor([1, 2]).dtype == np.int64 and Tensor([True]).dtype == bool
    with mg.use_default_dtype("float64"):
        assert Tensor([1.5]).dtype == np.float64 and mg.zeros(2).dtype == np.float64


# ---------------------------------------------------------------------------------------------- what a rule may not do


def test_a_fused_op_of_one_tensor_twice_to_second_order(declare):
    """f(x, x): the composite must keep the two places apart, or each would get the sum."""

    def fused(x, y, /):
        return x * x * y

    f = declare(
        fused,
        lambda g, _, x, y: (g * 2 * x * y, g * x * x),
        composite=lambda x, y: mg.multiply(mg.multiply(x, x), y),
    )
    x = leaf(2.0)
    (first,) = mg.autograd.grad(f(x, x), x, create_graph=True)
    (second,) = mg.autograd.grad(first, x, create_graph=True)
    (third,) = mg.autograd.grad(second, x)
    assert (first.tolist(), second.tolist(), third.tolist()) == ([12.0], [12.0], [6.0])


def test_attention_of_one_tensor_three_times_to_second_order(rng):
    value = rng.standard_normal((1, 1, 3, 4))
    attend = lambda t: mg.scaled_dot_product_attention(t, t, t, is_causal=True).sum()  # noqa: E731
    slope = mg.grad(attend)
    direction = rng.standard_normal(value.shape)
    x = Tensor(value, requires_grad=True)
    (first,) = mg.autograd.grad(attend(x), x, create_graph=True)
    (second,) = mg.autograd.grad((first * direction).sum(), x)
    numeric = mg.finite_difference(lambda v: (slope(v) * direction).sum(), value)[0]
    assert_close(second.numpy(), numeric, 1e-8)


def test_a_rule_that_leaves_the_graph_raises_where_it_would_be_silently_wrong(declare):
    def cube(x, /):
        return x**3

    f = declare(cube, lambda g, _, x: (np.asarray(g.detach().numpy() if isinstance(g, Tensor) else g) * 12.0,))
    x = leaf(2.0)
    f(x).backward()  # first order: arrays are right
    assert x.grad.tolist() == [12.0]
    with pytest.raises(GradientError, match="cube: its rule left the graph.*composite"):
        mg.autograd.grad(f(x), x, create_graph=True)


def test_a_rule_with_a_gradient_of_another_shape_raises(declare):
    def widen(x, /):
        return np.broadcast_to(x, (3, *x.shape))

    f = declare(widen, lambda g, _, x: (g,))
    with pytest.raises(GradientError, match=r"widen.*\(3, 2\).*\(2,\)"):
        f(leaf(1.0, 2.0)).sum().backward()


def test_a_rule_with_the_wrong_number_of_gradients_raises(declare):
    def pair(x, y, /):
        return x + y

    f = declare(pair, lambda g, _, x, y: (g,))
    with pytest.raises(GradientError, match="pair: its rule returned 1 gradients for 2 inputs"):
        f(leaf(1.0), leaf(2.0)).backward()


@pytest.mark.parametrize("factor", [1j, None, "a"])
def test_a_rule_with_a_gradient_of_no_real_numbers_raises(factor, declare):
    def same(x, /):
        return x + 0.0

    f = declare(same, lambda g, _, x: (np.array([factor]),))
    with pytest.raises(GradientError, match="same: its rule returned a gradient of dtype .* no real numbers"):
        f(leaf(1.0)).backward()


@pytest.mark.parametrize("grad", [np.ones(2), 0, mg.tensor([1.0, 2.0, 3.0]), mg.tensor(1.0), mg.zeros(3, 2)], ids=str)
def test_a_gradient_that_was_put_there_must_fit_its_leaf(grad):
    x = leaf(1.0, 2.0)
    x.grad = grad
    with pytest.raises(GradientError, match=r"\.grad of a leaf is a Tensor of its shape.*leaf \(2,\)"):
        (x * x).sum().backward()


def test_an_op_with_several_outputs(declare):
    """Gradients come as a tuple, None where an output was not used; each output is a place of its own."""
    seen = []

    def both(x, /):
        return x * x, x * 3, np.argsort(x)

    def rule(g, _, x):
        seen.append([d is None for d in g])
        first = mg.multiply(g[0], mg.multiply(x, 2.0)) if g[0] is not None else None
        second = mg.multiply(g[1], 3.0) if g[1] is not None else None
        return (first if second is None else second if first is None else mg.add(first, second),)

    f = declare(both, rule)
    x = leaf(2.0, 5.0)
    square, triple, order = f(x)
    assert not order.requires_grad and order.dtype.kind == "i"
    (square * triple).sum().backward(retain_graph=True)  # 3 x^3
    assert x.grad.tolist() == [36.0, 225.0]
    assert mg.autograd.grad(triple.sum(), x, retain_graph=True)[0].tolist() == [3.0, 3.0]
    assert mg.autograd.grad((square * triple).sum(), square)[0].tolist() == [6.0, 15.0]
    assert seen == [[False, False, True], [True, False, True]]


def test_outputs_are_kept_only_for_rules_that_use_them():
    x = leaf(2.0)
    assert mg.exp(x).grad_fn.out is not None
    assert mg.log(x).grad_fn.out is None


# ------------------------------------------------------------------------------------------- threads, copies, pickles


def test_two_threads_with_graphs_of_their_own():
    def work(seed, results):
        rng = np.random.default_rng(seed)
        for _ in range(30):
            x = Tensor(rng.standard_normal((4, 4)), requires_grad=True)
            y = x
            for _ in range(30):
                y = y * 0.5 + y * 0.5
            if seed % 2:
                with mg.no_grad():
                    assert not (x * 2).requires_grad
            optimiser = mg.optim.SGD([x], lr=0.1)
            (y * y).sum().backward()
            expected = 2 * x.numpy()
            results.append(np.allclose(x.grad.numpy(), expected))
            optimiser.step()

    results = []
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(seed, results)) for seed in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
    finally:
        sys.setswitchinterval(old)
    assert results == [True] * 120


def test_a_new_thread_records_even_if_its_maker_does_not():
    x, seen = leaf(2.0), []
    with mg.no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_and_pickles_of_leaves(duplicate):
    x = Tensor(np.array([1.0, 2.0], np.float32), requires_grad=True)
    y = duplicate(x)
    assert y is not x and y.tolist() == [1, 2] and y.dtype == np.float32 and y.requires_grad
    y.assign([5.0, 6.0])
    assert x.tolist() == [1, 2]
    result = x * 2
    if duplicate is copy.copy:
        assert duplicate(result) is result  # immutable, so one is as good as two
    else:
        with pytest.raises(GradientError, match="multiply.*detach"):
            duplicate(result)


def test_deepcopy_keeps_one_tensor_one():
    x = leaf(1.0)
    a, b = copy.deepcopy([x, x])
    assert a is b


def test_repr_shows_values_dtype_and_origin():
    x = leaf(1.0, 2.5)
    assert repr(x) == "tensor([1. , 2.5], dtype=float64, requires_grad=True)"
    assert repr((x * 2).sum()) == "tensor(7., dtype=float64, from sum)"
    assert repr(Tensor([1, 2])) == "tensor([1, 2])"


def test_an_op_without_a_rule_lets_no_gradient_vanish():
    try:

        @mg.op
        def cube_without_rule(x, /):
            """x x x.   (...) -> (...)"""
            return x**3

        x = mg.tensor([2.0], requires_grad=True)
        with pytest.raises(GradientError, match=r"cube_without_rule: has no rule.*@cube_without_rule.vjp"):
            cube_without_rule(x)
        with mg.no_grad():
            assert cube_without_rule(x).tolist() == [8.0]
        assert not mg.greater(x, 1.0).requires_grad  # declared to be a constant
    finally:
        del REGISTRY["cube_without_rule"]


def test_declarations_that_cannot_be_meant_are_refused():
    with pytest.raises(TypeError, match=r"before a slash, as in def no_slash\(x, /\)"):

        @mg.op
        def no_slash(x):
            return x

    with pytest.raises(ValueError, match="minigrad has an op called exp"):

        @mg.op
        def exp(x, /):
            return x

    assert REGISTRY["exp"].function is mg.exp
    with pytest.raises(TypeError, match=r"exp: a rule takes \(g, out, x, \.\.\.\)"):
        mg.exp.vjp(lambda g: g)


def test_a_rule_that_forgets_the_comma_is_told_so():
    try:

        @mg.op
        def twice(x, /):
            """2 x.   (...) -> (...)"""
            return x * 2

        @twice.vjp
        def _(g, _, x):
            return g * 2

        with pytest.raises(GradientError, match=r"twice: its rule must return a tuple.*\(gradient,\)"):
            twice(mg.tensor([1.0], requires_grad=True)).backward()
    finally:
        del REGISTRY["twice"]


def test_a_list_of_recorded_tensors_is_not_detached_silently():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(GradientError, match="stack"):
        mg.tensor([x.sum(), x.mean()])
    mg.stack([x, x * 3]).sum().backward()
    assert x.grad.tolist() == [4.0, 4.0]
    with mg.no_grad():
        assert mg.tensor([x.sum(), x.mean()]).tolist() == [3.0, 1.5]


def test_a_number_in_a_tensor_formats_and_rounds_like_a_number():
    loss = mg.tensor(1.2345)
    assert f"{loss:.2f} {round(loss, 1)} {loss}" == "1.23 1.2 tensor(1.2345)"


def test_arrays_of_another_byte_order_become_native():
    x = Tensor(np.array([[2.0, 1.0], [0.0, 4.0]], ">f8"), requires_grad=True)
    assert x.dtype.isnative and mg.linalg.inv(x).dtype == np.float64
    x.sum().backward()
    assert x.grad.dtype.isnative and (x[np.array([1], ">i8")]).tolist() == [[0.0, 4.0]]


def test_what_can_be_an_array_is_an_operand():
    x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    assert mg.add(x, range(3)).tolist() == [1.0, 3.0, 5.0]
    assert mg.multiply(range(3), x).requires_grad


def test_a_copy_of_a_tracked_tensor_is_not_a_silent_detach():
    x = leaf(1.0)
    for make in (Tensor, mg.tensor):
        with pytest.raises(GradientError, match=r"tensor: .*clone\(\).*detach\(\)"):
            make(x)
        assert make(x.detach()).item() == 1.0
    with mg.no_grad():
        assert mg.tensor(x).tolist() == x.tolist()


def test_numbers_among_tensors_do_not_promote_a_list():
    assert Tensor([Tensor(1.0), 2.0]).dtype == np.float32
    assert Tensor([Tensor(np.float64(1.0)), 2.0]).dtype == np.float64
    assert Tensor([Tensor(1), 2]).dtype == np.int64


@pytest.mark.parametrize("call, words", [
    (lambda x: mg.flip(x, dims=(0,)), lambda x: mg.flip(x, (0,))), (lambda x: mg.roll(x, 1, dims=1), lambda x: mg.roll(x, 1, 1)),
    (lambda x: mg.permute(x, dims=(1, 0)), lambda x: mg.permute(x, (1, 0))), (lambda x: mg.norm(x, p=1), lambda x: mg.norm(x, 1)),
    (lambda x: mg.tile(x, dims=(2, 1)), lambda x: mg.tile(x, (2, 1))),
    (lambda x: mg.dropout(x, p=0.25, seed=1), lambda x: mg.dropout(x, 0.25, 1)),
])  # fmt: skip
def test_one_word_of_a_user_may_mean_several_of_ours(call, words):
    x = np.arange(6.0).reshape(2, 3)
    assert np.array_equal(call(x), words(x))
    with pytest.raises(TypeError, match="flip: no argument called 'p'"):
        mg.flip(x, p=1)


def test_a_large_chain_keeps_only_what_its_rules_read():
    """Of x w + b, exp, a sum: x for w, and the result of exp; not the product, not the sum that exp took, not what was added up."""
    n = 1 << 20
    x = np.ones(n, np.float32)
    w, b = Tensor(x, requires_grad=True), Tensor(x, requires_grad=True)
    with mg.use_kernels("reference"):
        (x * w + b).exp().sum().backward()  # the memory for results is there
        w.grad = b.grad = None
        product = x * w
        inner = product + b
        out = inner.exp()
        loss = (out - 1.0).sum()
        watched = [weakref.ref(t._data) for t in (product, inner, out)]
        del product, inner, out
        assert [watch() is None for watch in watched] == [True, True, False]
        loss.backward()
    assert w.grad.numpy()[0] == b.grad.numpy()[0] == np.exp(np.float32(2))
    assert watched[2]() is None


# ------------------------------------------------------------------------------------------ gradients added up in place

LONG = 20_000  # numbers, so that results are in memory that is used again


def long(seed):
    return np.random.default_rng(seed).standard_normal(LONG).astype(np.float32)


def test_what_hooks_and_retain_grad_have_seen_is_never_added_to():
    """x is used three times, so two gradients are added to the first; who looked at that one keeps its numbers."""
    x = Tensor(long(0), requires_grad=True)
    parts = [x * 2.0, x * 3.0, x * 5.0]
    seen = []
    for part in parts:
        part.retain_grad()
        part.register_hook(lambda g: seen.append(g.numpy()))
    (parts[0] + parts[1] + parts[2]).sum().backward()
    assert all((g == 1).all() for g in seen) and all((part.grad.numpy() == 1).all() for part in parts)
    assert (x.grad.numpy() == 10).all()


def test_a_seed_and_gradients_that_share_memory_are_never_added_to(declare):
    """A rule may give its own g, a view of it, or the same array twice: none is the walk's to change."""
    seed, x = long(1), Tensor(long(2), requires_grad=True)
    kept = seed.copy()

    def added(x, y, /):
        return x + y

    def reversed_numbers(x, /):
        return x[::-1]

    twice = declare(added, lambda g, _, x, y: (g, g))
    turned = declare(reversed_numbers, lambda g, _, x: (g[::-1],))
    out = twice(x, x) + turned(x) + twice(turned(x), x)
    out.backward(seed)
    assert (seed == kept).all()
    np.testing.assert_allclose(x.grad.numpy(), 3 * kept + 2 * kept[::-1], rtol=1e-5, atol=1e-5)
    other = mg.tensor(kept)
    x.grad = None
    (twice(x, x) + x).backward(other)
    assert (other.numpy() == kept).all() and np.allclose(x.grad.numpy(), 3 * kept, rtol=1e-6)


def test_a_rule_that_keeps_what_it_returned_keeps_its_numbers(declare):
    returned = []

    def rule(g, _, x):
        returned.append(g * 2)
        return (returned[-1],)

    double = declare(lambda x, /: x * 2, rule)
    x = Tensor(long(3), requires_grad=True)
    (double(x) + double(x) + double(x)).sum().backward()
    assert (x.grad.numpy() == 6).all() and all((g == 2).all() for g in returned)


def test_gradients_of_a_second_backward_leave_the_first_alone():
    x = Tensor(long(4), requires_grad=True)
    (x * 2.0).sum().backward()
    first = x.grad.numpy()
    (x * 3.0).sum().backward()
    assert (first == 2).all() and (x.grad.numpy() == 5).all()


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("rows_first", [False, True])
def test_a_table_that_is_looked_up_and_multiplied(rows_first, create_graph):
    """Both uses add to one gradient, in place where the walk may: the same numbers as those of its parts."""
    table, ids = long(5)[:6400].reshape(100, 64), np.array([[3, 99, 3], [0, 3, 7]])
    g = long(6)

    def loss(looked_up, multiplied):
        def head():
            return (mg.linear(mg.tensor(g[:128].reshape(2, 64)), multiplied.mT) * g[:200].reshape(2, 100)).sum()

        def rows():
            return (mg.embedding(ids, looked_up) * g[: 6 * 64].reshape(2, 3, 64)).sum()

        return rows() + head() if rows_first else head() + rows()

    one = Tensor(table, requires_grad=True)
    loss(one, one).backward(create_graph=create_graph)
    first, second = Tensor(table, requires_grad=True), Tensor(table, requires_grad=True)
    loss(first, second).backward()
    np.testing.assert_allclose(one.grad.numpy(), first.grad.numpy() + second.grad.numpy(), rtol=1e-5, atol=1e-5)
    assert one.grad.numpy().flags.c_contiguous
    one.grad = None


def test_a_rule_that_adds_to_what_has_arrived(declare):
    """``into`` is an array of the walk's own or None, never what somebody else can see."""
    given = []

    def rule(g, _, x, into):
        given.append(into[0] is not None)
        if into[0] is None:
            return (g * 7,)
        into[0][...] += g * 7
        return (into[0],)

    f = declare(lambda x, /: x * 7, rule)
    x = Tensor(long(7), requires_grad=True)
    y = f(x)
    z = x * 2.0  # younger, so its gradient arrives first
    (y + z * 3.0).sum().backward()
    assert given == [True] and (x.grad.numpy() == 13).all()
    x.grad, seen = None, []
    y = f(x)
    x.register_hook(lambda g: seen.append(g.numpy()))
    (y + x).sum().backward(retain_graph=False)  # the gradient of the sum goes to y and x alike: shared
    assert given == [True, False] and (x.grad.numpy() == 8).all() and (seen[0] == 8).all()

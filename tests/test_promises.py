"""Promises of the engine that a user leans on without thinking: hooks, switches, anomaly mode, memory, and the same bits always."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import tracemalloc
import weakref

import numpy as np
import pytest

import minigrad as mg
import transformer as tf
from minigrad import core
from minigrad.core import REGISTRY, Tensor, op
from minigrad.errors import AnomalyError, DtypeError, GradcheckError, GradientError, ShapeError
from minigrad.testing import ErrorSample, Sample, check_op
from tests.helpers import OPS, Call, assert_close, mapped, samples


def leaf(*values):
    return Tensor(np.array(values), requires_grad=True)


@pytest.fixture
def without_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def declared():
    """What a test declares in the registry goes when it ends."""
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


# ---------------------------------------------------------------------------------------------------------------- hooks


def test_a_hook_replaces_the_gradient_of_a_leaf_once_all_of_it_has_arrived():
    x, seen = leaf(2.0), []
    x.register_hook(lambda g: seen.append(g.item()) or g * 10)
    (x * x + x * 3).backward()  # three uses, one gradient: 2 x + 3
    assert seen == [7.0] and x.grad.tolist() == [70.0]
    (x * x).backward()  # what was there already does not pass through the hook again
    assert seen == [7.0, 4.0] and x.grad.tolist() == [110.0]


def test_a_hook_on_an_inner_tensor_replaces_what_flows_on():
    x = leaf(2.0)
    y = x * 3
    y.register_hook(lambda g: g + 1)
    (y * y).backward()  # 2 y + 1 = 13
    assert x.grad.tolist() == [39.0]


def test_hooks_run_in_order_each_on_what_the_last_one_left_and_retain_grad_sees_the_end():
    x = leaf(1.0)
    y = x * 1
    y.register_hook(lambda g: g + 1)
    y.retain_grad()
    y.register_hook(lambda g: None)  # only looks
    y.register_hook(lambda g: g * 10)
    y.backward()
    assert y.grad.tolist() == x.grad.tolist() == [20.0]


def test_a_removed_hook_does_not_run():
    x = leaf(1.0)
    first, second = x.register_hook(lambda g: g * 2), x.register_hook(lambda g: g * 3)
    first.remove()
    first.remove()  # twice is once
    (x * 1).backward()
    assert x.grad.tolist() == [3.0]
    with x.register_hook(lambda g: g * 100):
        second.remove()
    x.grad = None
    (x * 1).backward()
    assert x.grad.tolist() == [1.0]


def test_grad_with_targets_sees_the_hooks_too():
    x = leaf(2.0)
    y = x * x
    y.register_hook(lambda g: g * 5)
    x.register_hook(lambda g: g * 7)
    assert [g.tolist() for g in mg.autograd.grad(y * 1, [y, x])] == [[5.0], [140.0]]


def test_each_output_of_an_op_has_hooks_of_its_own(declared):
    @op
    def halves(x, /):
        return x[:1] * 1, x[1:] * 1

    @halves.vjp
    def _(g, _, x):
        return (mg.concatenate([mg.zeros(1, dtype=x.dtype) if d is None else d for d in g]),)

    x = leaf(1.0, 2.0)
    one, two = halves(x)
    two.register_hook(lambda g: g * 10)
    two.retain_grad()
    (one * 3 + two * 4).backward()
    assert x.grad.tolist() == [3.0, 40.0] and two.grad.tolist() == [40.0] and one.grad is None


def test_a_hook_is_part_of_higher_derivatives():
    """y = x x, and whatever arrives at y is replaced by y: the first derivative is y 2x, not 2x."""
    x = leaf(3.0)
    y = x * x
    y.register_hook(lambda g: g * 0 + y)
    (first,) = mg.autograd.grad(y, x, create_graph=True)
    (second,) = mg.autograd.grad(first, x)
    assert first.tolist() == [9 * 2 * 3.0]
    # the product rule for y 2x: y 2 from the factor 2x; from the factor y the gradient 2x, in whose place the hook puts y
    assert second.tolist() == [9 * 2 + 9 * 2 * 3.0]


def test_a_hook_on_a_leaf_scales_every_order():
    x = leaf(2.0)
    x.register_hook(lambda g: g * 10)
    (first,) = mg.autograd.grad(x * x * x, x, create_graph=True)
    (second,) = mg.autograd.grad(first, x)
    assert first.tolist() == [120.0] and second.tolist() == [1200.0]  # d(10 3 x x) = 120, and the hook once more


def test_hooks_record_only_where_a_graph_of_the_gradient_is_wanted():
    x, seen = leaf(2.0), []
    x.register_hook(lambda g: seen.append((g * x).requires_grad))
    (x * x).backward()
    mg.autograd.grad(x * x, x, create_graph=True)
    assert seen == [False, True]


@pytest.mark.parametrize("wrong, error, words", [
    (lambda g: g.numpy(), GradientError, "hook: must return a Tensor.*ndarray"),
    (lambda g: g[:1], ShapeError, r"hook: the replacement.*gradient \(2,\).*replacement \(1,\)"),
    (lambda g: g.float(), DtypeError, "hook: the replacement.*float64.*float32"),
])  # fmt: skip
@pytest.mark.parametrize("inner", [False, True])
def test_replacements_that_do_not_fit(wrong, error, words, inner):
    x = leaf(1.0, 2.0)
    y = x * 2
    (y if inner else x).register_hook(wrong)
    with pytest.raises(error, match=words):
        y.sum().backward()
    assert x.grad is None


def test_hooks_where_none_can_be():
    with pytest.raises(GradientError, match="register_hook: no gradient flows"):
        Tensor([1.0]).register_hook(print)
    with pytest.raises(TypeError, match="register_hook: a hook is a function"):
        leaf(1.0).register_hook(3)


@pytest.mark.parametrize("end", ["backward", "removed", "never walked"])
def test_hooks_make_no_cycles(end, without_collector):
    x = leaf(2.0)
    y = x * 3
    z = y * y
    handle = y.register_hook(lambda g: g * 2)
    if end == "backward":
        y.register_hook(lambda g, y=y: g * y)  # holds its own tensor: a cycle, until the graph is freed
        z.backward()
    elif end == "removed":
        y.register_hook(lambda g, y=y: g * y).remove()
    watched = [weakref.ref(t) for t in (x, y, z)]
    del x, y, z
    assert [w() for w in watched] == [None] * 3
    handle.remove()  # outlives what it was for


def test_a_hook_runs_once_for_a_parameter_inside_a_checkpoint():
    w, seen = leaf(3.0), []
    w.register_hook(lambda g: seen.append(g.item()))
    (mg.checkpoint(lambda x: x * w)(leaf(2.0)) + w).backward()
    assert seen == [3.0]


def test_requires_grad_switches_a_leaf_and_returns_it():
    x = Tensor([1.0])
    assert x.requires_grad_() is x and x.requires_grad
    assert not x.requires_grad_(False).requires_grad
    with pytest.raises(DtypeError, match="floating"):
        Tensor([1]).requires_grad_()


@pytest.mark.oracle
def test_hooks_as_in_pytorch():
    torch = pytest.importorskip("torch")

    def run(x):
        y = x * 3
        y.register_hook(lambda g: g + 1)
        y.retain_grad()
        y.register_hook(lambda g: g * 10)
        x.register_hook(lambda g: g * 2)
        (y * y * x).backward()
        return y.grad.item(), x.grad.item()

    assert run(leaf(2.0)) == run(torch.tensor([2.0], dtype=torch.float64, requires_grad=True))


# ------------------------------------------------------------------------------------------------------------- switches


def test_switches_decorate_with_and_without_parentheses():
    for made in (mg.no_grad(mg.is_grad_enabled), mg.no_grad()(mg.is_grad_enabled)):
        assert made() is False
    with mg.no_grad():
        assert mg.enable_grad(mg.is_grad_enabled)() and mg.enable_grad()(mg.is_grad_enabled)()
    for made in (mg.detect_anomaly(mg.settings.anomaly), mg.detect_anomaly()(mg.settings.anomaly)):
        assert made() is True
    assert mg.is_grad_enabled() and not mg.settings.anomaly()
    for wrong in (True, int, "f"):
        with pytest.raises(TypeError, match="decorates functions"):
            mg.no_grad(wrong)


@pytest.mark.parametrize("switch", [mg.no_grad, mg.no_grad()])
def test_a_decorated_generator_keeps_its_mode_to_itself(switch):
    seen = []

    @switch
    def numbers(n):
        """Doc."""
        try:
            for i in range(n):
                seen.append(mg.is_grad_enabled())
                try:
                    seen.append((yield i))
                except KeyError:
                    seen.append("thrown")
            return "end"
        finally:
            seen.append(mg.is_grad_enabled())

    def outer():
        result = yield from numbers(3)
        assert mg.is_grad_enabled() and result == "end"

    for _ in outer():
        assert mg.is_grad_enabled()
    assert seen == [False, None, False, None, False, None, False] and numbers.__doc__ == "Doc."
    seen.clear()
    running = numbers(5)
    assert next(running) == 0 and running.send("sent") == 1 and running.throw(KeyError()) == 2 and mg.is_grad_enabled()
    running.close()
    assert seen == [False, "sent", False, "thrown", False, False] and mg.is_grad_enabled()
    with pytest.raises(ZeroDivisionError):
        next(failing := numbers(1)), failing.throw(ZeroDivisionError())
    assert mg.is_grad_enabled()


def test_a_decorated_coroutine_keeps_its_mode_to_itself():
    @mg.no_grad()
    async def silent():
        await asyncio.sleep(0)
        return mg.is_grad_enabled()

    async def main():
        return await asyncio.gather(silent(), asyncio.sleep(0, mg.is_grad_enabled())), mg.is_grad_enabled()

    assert asyncio.run(main()) == ([False, True], True)


def test_set_grad_enabled_takes_effect_at_once():
    def work(seen):
        mg.set_grad_enabled(False)
        seen.append((leaf(1.0) * 2).requires_grad)
        with mg.set_grad_enabled(True):
            seen.append((leaf(1.0) * 2).requires_grad)
        seen.append(mg.is_grad_enabled())

        @mg.set_grad_enabled(True)
        def records():
            return mg.is_grad_enabled()

        seen.append(mg.is_grad_enabled())
        seen.append(records())
        mg.set_grad_enabled(True)

    seen = []
    work(seen)
    assert seen == [False, True, False, False, True]
    mg.set_grad_enabled(False)
    try:
        thread = threading.Thread(target=lambda: seen.append(mg.is_grad_enabled()))
        thread.start()
        thread.join()
    finally:
        mg.set_grad_enabled(True)
    assert seen[-1] is True, "the mode is each thread's own"


# --------------------------------------------------------------------------------------------------------- anomaly mode


def line_of(text):
    """Number of the one line of this file that ends with ``text``."""
    with open(__file__, encoding="utf-8") as file:
        (number,) = [i for i, line in enumerate(file, 1) if line.rstrip().endswith(text)]
    return number


def test_the_first_bad_number_forward_with_the_line_that_made_it():
    x = Tensor(np.array([[1.0, 2.0, 3.0], [4.0, 0.0, -1.0]]), requires_grad=True)
    with mg.detect_anomaly(), pytest.raises(AnomalyError) as caught:
        y = x * 2
        z = mg.log(y)  # first: forward
        mg.sqrt(z)
    text = str(caught.value)
    assert text.startswith("log, forward: -inf at index (1, 1) (2 of 6 elements are not finite) of its output; the op made it")
    assert f'File "{__file__}", line {line_of("# first: forward")}, in test_the_first_bad_number_forward' in text
    assert "z = mg.log(y)" in text and "there x = 0.0" in text and text.endswith("Received: x (2, 3) float64.")


def test_the_first_bad_number_backward_with_the_line_of_its_forward():
    x = leaf(1.0, 0.0)

    def forward():
        return mg.sqrt(x) * 2  # first: backward

    with mg.detect_anomaly(), pytest.raises(AnomalyError) as caught:
        forward().sum().backward()
    text = str(caught.value)
    assert text.startswith("sqrt, backward: inf at index (1,) (1 of 2 elements are not finite) of the gradient for x; its rule made it")
    assert f"line {line_of('# first: backward')}, in forward" in text and "g = 2.0, x = 0.0" in text
    assert x.grad is None


def test_a_line_of_a_layer_is_shown_below_the_users():
    layer, own, huge = mg.Dense(2), tf.AddNorm(), np.full((1, 2, 3), 3e38, np.float32)
    with mg.detect_anomaly():
        for call, op_name, file, function, text in (
            (lambda: layer(huge), "linear", "dense.py", "call", "ops.linear(x, self.kernel, self.bias)"),
            (lambda: own(huge, lambda x: Tensor(huge)), "add", "blocks.py", "_plus", "x + f(given)"),
        ):
            with pytest.raises(AnomalyError) as caught:
                call()
            first, user, _, below, source, *_ = str(caught.value).splitlines()
            assert first.startswith(f"{op_name}, forward") and f'"{__file__}"' in user
            assert file in below and f"in {function}" in below and text in source


def test_the_line_is_the_users_own_however_the_op_was_reached():
    bad = leaf(-1.0)
    for call in (lambda: np.log(bad), lambda: bad**0.5, lambda: (1 - bad - 2).log(), lambda: mg.grad(lambda x: mg.log(x).sum())(bad)):
        with mg.detect_anomaly(), pytest.raises(AnomalyError) as caught:
            call()
        assert f'"{__file__}"' in str(caught.value).splitlines()[1]


def test_nan_that_came_in_is_not_the_ops_fault():
    x = leaf(1.0, np.nan)
    with mg.detect_anomaly():
        assert mg.where(x != x, 0.0, x).tolist() == [1.0, 0.0]  # looking for NaN is no anomaly
        with pytest.raises(AnomalyError, match=r"multiply, forward: nan at index \(1,\).*NaN came in with x, from data"):
            x * 2
        with pytest.raises(AnomalyError, match="NaN came in with x"):
            2 * np.array([1.0, np.nan]) + leaf(1.0, 1.0)


def test_infinities_that_come_in_are_let_through_until_they_are_nan():
    x = leaf(1.0, 2.0)
    with mg.detect_anomaly():
        scores = mg.where(np.array([True, False]), x, -np.inf)
        mg.softmax(scores + np.array([0.0, -np.inf])).sum().backward()
        assert np.isfinite(x.grad.numpy()).all()
        with pytest.raises(AnomalyError, match="subtract, forward: nan.*the op made it: no input is NaN"):
            scores - scores
        with pytest.raises(AnomalyError, match="softmax, forward: nan"):
            mg.softmax(mg.where(np.array([False, False]), x, -np.inf))


def test_every_output_of_an_op_is_looked_at(declared):
    @op
    def pair(x, /):
        return x * 1, x - np.inf, np.argsort(x)

    @pair.vjp
    def _(g, _, x):
        return (g[0],)

    with mg.detect_anomaly(), pytest.raises(AnomalyError, match="pair, forward: -inf at index.*of output 1"):
        pair(leaf(1.0, 2.0))


def test_seeds_sums_and_hooks_that_are_not_finite():
    x = Tensor(np.array([1.0], np.float32), requires_grad=True)
    with mg.detect_anomaly(), np.errstate(all="ignore"):
        with pytest.raises(AnomalyError, match="backward: nan.*gradient that was given"):
            (x * 2).backward([np.nan])
        with pytest.raises(AnomalyError, match=r"arrives at a leaf of shape \(1,\).*sum overflowed"):
            mg.autograd.grad([x * 3e38, x * 3e38], x)
        y = x * 1
        y.register_hook(lambda g: g * np.float32(np.inf))
        with pytest.raises(AnomalyError, match="arrives at the output of multiply.*hook"):
            (y * 2).backward()


def test_anomaly_to_second_order_names_the_rule_and_the_line():
    x, tiny = leaf(0.0), leaf(1e-200)
    with mg.detect_anomaly():
        y, z = mg.sqrt(x), mg.log(tiny)  # first: of second order
        (first,) = mg.autograd.grad(z, tiny, create_graph=True)
        for again in (lambda: mg.autograd.grad(y, x, create_graph=True), lambda: mg.autograd.grad(first, tiny)):
            with pytest.raises(AnomalyError, match="divide, in the backward of sqrt: inf|divide, backward: -inf") as caught:
                again()
            assert f"line {line_of('# first: of second order')}," in str(caught.value)


def test_what_was_recorded_outside_of_anomaly_mode_can_be_walked_inside():
    x = leaf(0.0)
    y = mg.sqrt(x)
    with mg.detect_anomaly(), pytest.raises(AnomalyError, match=r"sqrt, backward: inf(.|\n)*recorded outside of anomaly mode"):
        y.backward()


def test_anomaly_mode_changes_no_number_and_keeps_nothing(without_collector):
    def run():
        x = Tensor(np.random.default_rng(0).standard_normal((3, 4)), requires_grad=True)
        y = mg.layer_norm(mg.gelu(x @ x.mT))
        (first,) = mg.autograd.grad((y * y * y).sum(), x, create_graph=True)
        (first * first).sum().backward()
        grad, watched = x.grad.numpy().tobytes(), [weakref.ref(t) for t in (x, y, first)]
        x.grad = None
        return grad, watched

    plain, _ = run()
    with mg.detect_anomaly():
        watched, marks = run()
    assert plain == watched and [m() for m in marks] == [None] * 3
    assert (leaf(1.0) * 2).grad_fn.site is None  # no cost where it is off


def test_an_anomaly_leaves_no_cycle(without_collector):
    x = leaf(0.0)
    y = mg.sqrt(x)
    watched = [weakref.ref(t) for t in (x, y)]
    with mg.detect_anomaly():
        try:
            y.backward()
        except AnomalyError as error:
            error.__traceback__ = None
    del x, y
    assert [w() for w in watched] == [None, None]


def test_arrays_changed_between_forward_and_backward_are_caught():
    x, weights = leaf(1.0, 2.0), np.array([3.0, 4.0])
    with mg.detect_anomaly():
        y = x * weights  # kept as it is, not copied
        weights[0] = 100
        with pytest.raises(GradientError, match=r"multiply: its input y was changed in place between(.|\n)*kept as it is"):
            y.sum().backward()


def test_a_forward_that_writes_to_its_input_is_caught(declared):
    @op
    def greedy(x, /):
        x *= 2
        return x

    @greedy.vjp
    def _(g, _, x):
        return (g * 2,)

    x, array = leaf(1.0), np.array([1.0])
    for given in (x, array):
        with pytest.raises(GradientError, match="greedy: its forward writes to an array that it was given"):
            greedy(given)
    assert x.item() == array.item() == 1.0


@pytest.mark.parametrize("wrong", [None, "text", 1j, np.array([object()])])
def test_a_forward_that_gives_no_numbers_is_named(wrong, declared):
    @op
    def odd(x, /):
        return wrong

    @op
    def pair(x, /):
        return x, wrong

    for function in (odd, pair):
        with pytest.raises(DtypeError, match=f"{function.op.name}: its forward must return an array of numbers"):
            function(leaf(1.0).detach())


def test_a_forward_may_give_python_numbers(declared):
    @op(differentiable=False)
    def measured(x, /):
        return x, 2.0

    twice, number = measured(Tensor([1.0]))
    assert twice.tolist() == [1.0] and number.item() == 2.0


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_no_forward_and_no_rule_writes_to_what_it_is_given(op):
    """All of it is read-only here, so that writing raises; in a small array nobody would notice otherwise."""

    def frozen(a):
        a = np.array(a)
        a.flags.writeable = False
        return a

    for sample in samples(op):
        call = Call(op, sample)
        call.inputs = mapped(call.inputs, frozen)
        out = call(*[core.wrap(frozen(v)).requires_grad_() for v in call.values])
        if isinstance(out, Tensor) and out.requires_grad:
            out.backward(core.wrap(frozen(call.cotangent())))


# --------------------------------------------------------------------------------------------------- shapes of graphs


def test_a_wide_fan_out():
    x = leaf(1.0, 2.0)
    mg.concatenate([x * float(i) for i in range(3000)]).sum().backward()
    assert x.grad.tolist() == [sum(range(3000))] * 2
    x.grad = None
    total = x * 0.0
    for _ in range(3000):
        total = total + x
    total.backward([1.0, 2.0])
    assert x.grad.tolist() == [3000.0, 6000.0]


def rules_called(f, order, monkeypatch):
    """How many rules run for the derivative of that order."""
    calls, right = [], core._gradients
    monkeypatch.setattr(core, "_gradients", lambda *args: calls.append(1) or right(*args))
    for _ in range(order):
        f = (lambda g: lambda x: g(x).sum())(mg.grad(f))
    f(Tensor([0.5, 0.3]))
    return len(calls)


@pytest.mark.parametrize("step", [mg.sin, mg.tanh, lambda x: x * x * 0.9], ids=["sin", "tanh", "multiply"])
def test_third_order_of_a_chain_costs_in_proportion_to_its_length(step, monkeypatch):
    def chain(n):
        def f(x):
            for _ in range(n):
                x = step(x)
            return x.sum()

        return f

    costs = [rules_called(chain(n), 3, monkeypatch) for n in (8, 16, 32)]
    assert costs[2] - costs[1] == 2 * (costs[1] - costs[0]), costs  # a straight line
    assert costs[0] < 8 * 30


# -------------------------------------------------------------------------------------------------- memory and the bits


def two_moons(n, seed):
    rng = np.random.default_rng(seed)
    angle, side = rng.uniform(0, np.pi, n), np.arange(n) % 2
    x = np.stack([np.cos(angle) * (1 - 2 * side) + side, np.sin(angle) * (1 - 2 * side) + side / 2], 1)
    return (x + 0.05 * rng.standard_normal((n, 2))).astype(np.float32), (2.0 * side - 1).astype(np.float32)


def trainer(seed=0):
    """A function that does one training step of a small network, and the parameters it trains."""
    x, y = two_moons(8, seed)
    rng = np.random.default_rng(seed)
    w1, w2 = [mg.Parameter(rng.standard_normal(shape).astype(np.float32)) for shape in ((2, 4), (4, 1))]
    optimiser = mg.optim.AdamW([w1, w2], lr=0.01)

    def step():
        out = mg.tanh(mg.matmul(x, w1)) @ w2
        loss = mg.relu(1.0 - out[:, 0] * y).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step, (w1, w2)


def test_memory_is_flat_over_ten_thousand_steps(without_collector):
    """Neither objects nor bytes: with the collector off, what a step makes is gone when the next one begins."""
    step, _ = trainer()
    with mg.use_kernels("reference"):
        for _ in range(200):
            step()
        objects = len(gc.get_objects())
        for _ in range(9_600):
            step()
        assert len(gc.get_objects()) - objects < 20
        tracemalloc.start()
        try:
            for _ in range(20):
                step()
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(200):
                step()
            assert tracemalloc.get_traced_memory()[0] - before < 4000
        finally:
            tracemalloc.stop()


def test_two_threads_give_the_bits_of_one_alone():
    def trained(seed):
        with mg.use_kernels("reference"):
            step, parameters = trainer(seed)
            for _ in range(100):
                step()
        return [p.numpy().tobytes() for p in parameters]

    alone, together = [trained(seed) for seed in (1, 2)], [None, None]

    def work(i):
        if i:
            mg.set_grad_enabled(False)  # of this thread alone; training records because it says so
        with mg.enable_grad():
            together[i] = trained(i + 1)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(i,)) for i in (0, 1)]
        [t.start() for t in threads]
        [t.join() for t in threads]
    finally:
        sys.setswitchinterval(interval)
    assert together == alone


RUN = """
import hashlib, numpy as np, minigrad as mg
from tests.test_promises import trainer
mg.manual_seed(3)
with mg.use_kernels("reference"):
    step, parameters = trainer()
    for _ in range(20): step()
    x = mg.tensor(np.random.default_rng(0).standard_normal((40, 30)), requires_grad=True)
    mg.layer_norm(mg.dropout(mg.gelu(x @ x.mT), 0.5, 1)).square().mean().backward()
print(hashlib.sha256(b"".join(t.tobytes() for t in (x.grad.numpy(), *(p.numpy() for p in parameters)))).hexdigest())
"""


def test_a_fresh_process_gives_the_same_bits():
    runs = [
        subprocess.run(
            [sys.executable, "-c", RUN], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] and len(runs[0]) == 65


def test_what_was_kept_never_changes():
    """Values, gradients and arrays of them, through steps, further walks, zero_grad, assign and memory that is used again."""
    rng = np.random.default_rng(0)
    p = mg.Parameter(rng.standard_normal((200, 200)).astype(np.float32))
    kept = []
    for step in range(6):
        y = (p * float(step + 1)).tanh() * p
        y.retain_grad()
        y.sum().backward()
        with mg.no_grad():
            exported = [np.from_dlpack(p), np.from_dlpack(y)]
        for thing in (p.numpy(), p.grad, p.grad.numpy(), y.numpy(), y.grad.numpy(), p.detach(), p.numpy()[3:5], *exported):
            kept.append((thing, np.array(thing.numpy() if isinstance(thing, Tensor) else thing)))
        if step % 3 == 0:
            (p * p).sum().backward()  # adds to .grad: a new one
        optimiser = [mg.optim.SGD([p], lr=0.1, momentum=0.9), mg.optim.AdamW([p], lr=0.1)][step % 2]
        mg.optim.clip_grad_norm_([p], 1e-3)
        optimiser.step()
        if step == 2:
            p.assign(rng.standard_normal((200, 200)))
        p.zero_grad()
        for thing, then in kept:
            assert np.array_equal(thing.numpy() if isinstance(thing, Tensor) else thing, then)
    with pytest.raises(ValueError, match="read-only"):
        kept[2][0][0, 0] = 1.0


def test_the_array_of_a_constant_is_kept_as_it_is():
    """No copy, so that nothing is paid for; `detect_anomaly` finds who changes one between forward and backward."""
    x, weights = leaf(1.0), np.array([3.0])
    assert (x * weights).grad_fn.inputs[1] is weights


# ------------------------------------------------------------------------------------------------- ops of one's own


def test_an_op_in_five_lines(declared):
    @op
    def softclip(x, /, limit=1.0):
        return limit * np.tanh(x / limit)

    @softclip.vjp
    def _(g, out, x, limit):
        return (g * (1.0 - (out / limit) ** 2),)

    x = leaf(0.5, -2.0)
    y = softclip(x, limit=2.0)
    y.sum().backward()
    assert_close(y.numpy(), 2 * np.tanh(x.numpy() / 2), 1e-15)
    assert_close(x.grad.numpy(), 1 - np.tanh(x.numpy() / 2) ** 2, 1e-15)
    assert isinstance(softclip(np.ones(2)), np.ndarray) and repr(softclip.op) == "<op softclip(x, limit=1.0)>"
    second = mg.hessian(lambda x: softclip(x).sum())(leaf(0.3)).item()
    assert_close(second, -2 * np.tanh(0.3) * (1 - np.tanh(0.3) ** 2), 1e-14)
    for wrong, words in ((lambda: softclip(), "softclip: missing x"), (lambda: softclip(x, high=1), "softclip: no argument called 'high'"),
                         (lambda: softclip(x, 1.0, 2.0), r"too many arguments. Signature: softclip\(x, limit=1.0\)")):  # fmt: skip
        with pytest.raises(TypeError, match=words):
            wrong()


def test_an_op_with_one_output_in_a_tuple_gets_its_gradient_in_a_tuple(declared):
    @op
    def parts(x, /):
        return (x * 2,)

    @parts.vjp
    def _(g, _, x):
        return (g[0] * 2,)

    x = leaf(1.0, 2.0)
    (y,) = parts(x)
    y.backward([1.0, 10.0])
    assert x.grad.tolist() == [2.0, 20.0]


@pytest.mark.parametrize("returned, words", [
    (lambda g: 3.0, r"must return a tuple.*\(gradient,\)"), (lambda g: (g, g), "returned 2 gradients for 1 inputs"),
    (lambda g: (g[:1],), r"returned a gradient of shape \(1,\) for an input of shape \(2,\)"), (lambda g: (2.0,), "returned a float"),
    (lambda g: ([1.0, 2.0],), "returned a list"), (lambda g: None, "must return a tuple"),
])  # fmt: skip
def test_rules_that_return_something_else(returned, words, declared):
    @op
    def mine(x, /):
        return x * 1

    mine.vjp(lambda g, _, x: returned(g))
    with pytest.raises(GradientError, match=f"mine: its rule {words}"):
        mine(leaf(1.0, 2.0)).sum().backward()
    with pytest.raises(GradientError, match="mine: its rule"):
        x = leaf(1.0, 2.0)
        mg.autograd.grad(mine(x).sum(), x, create_graph=True)


# --------------------------------------------------------------------------------------- the checks for ops of one's own


def planted(fault):
    """The op x y + x with one fault, and its samples."""

    def forward(x, y):
        if np.shape(x) == (7,):
            raise ShapeError("mixed: seven is too many. Received: x (7,).")
        if fault == "value":
            return x * y + x * 1.001
        if fault == "dtype":
            return x * y + x * np.ones(np.shape(x))
        if fault == "strides":
            return x.ravel(order="K").reshape(x.shape) * y + x
        if fault == "writes":
            x *= 1
        return x * y + x

    @op(
        samples=lambda rng: [Sample((rng.random((2, 3)), rng.random((2, 3)))), Sample((rng.random(4), rng.random(4)))],
        reference=lambda x, y: x * y + x,
        errors=lambda: [ErrorSample((np.ones(7), np.ones(7)), {}, ShapeError, "nine" if fault == "message" else "seven")],
    )
    def mixed(x, y, /):
        return forward(x, y)

    @mixed.vjp
    def _(g, _, x, y):
        dx, dy = mg.add(mg.multiply(g, y), g), mg.multiply(g, x)
        if fault == "sign":
            dx = mg.negative(dx)
        if fault == "factor":
            dy = mg.multiply(dy, 1.001)
        if fault == "second order":
            dy = mg.multiply(g, x.detach() if isinstance(x, Tensor) else x)
        return dx, dy

    return mixed


def test_a_right_op_passes_and_says_how_well(declared):
    row = check_op(planted(None))
    assert row.samples == 2 and max(row.worst) < 1e-7 and row.verdict == "ok"


@pytest.mark.parametrize("fault, words", [
    ("value", "differs from the reference by"), ("dtype", "float32 comes out as float64"), ("strides", "in memory otherwise"),
    ("writes", "forward writes to an array"), ("message", "does not match 'nine'"), ("sign", "mixed, sample 0: grad"),
    ("factor", "mixed, sample 0: grad"), ("second order", "mixed, sample 0: gradgrad"),
])  # fmt: skip
def test_a_wrong_op_fails(fault, words, declared):
    with pytest.raises(GradcheckError, match=words):
        check_op(planted(fault))


def test_what_cannot_be_checked_says_so(declared):
    @op
    def bare(x, /):
        return x * 1

    with pytest.raises(GradcheckError, match="bare has no samples"):
        check_op(bare)
    with pytest.raises(TypeError, match="takes an op"):
        check_op(len)


@pytest.mark.parametrize("name", ["exp", "multiply", "sum", "matrix_product", "layer_norm", "sort"])
def test_the_librarys_own_ops_pass_the_same_check(name):
    check_op(REGISTRY[name])

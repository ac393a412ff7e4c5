"""Optimisers change learnable parameters that are not frozen and have a gradient, by their formula, and nothing else."""

import copy
import functools
import math
import re

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from minigrad.errors import DtypeError, GradientError, LayerError, ShapeError

SHAPES = [(3, 4), (4,), (), (2, 1, 5)]


def parameters(dtype=np.float64):
    rng = np.random.default_rng(9)
    return [mg.Parameter(rng.standard_normal(s), dtype) for s in SHAPES]


def gradients(step, dtype=np.float64):
    """Gradients of very different sizes, the same for every library."""
    rng = np.random.default_rng(100 + step)
    return [(rng.standard_normal(s) * 10.0**k).astype(dtype) for s, k in zip(SHAPES, (-3, 0, 1, -8))]


def run(optimiser, ps, steps=20):
    for step in range(steps):
        for p, g in zip(ps, gradients(step, ps[0].dtype)):
            p.grad = Tensor(g)
        optimiser.step()
    return [p.numpy() for p in ps]


OPTIONS = {
    "SGD": [
        {}, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.3}, {"momentum": 0.8, "nesterov": True}, {"weight_decay": 0.1},
        {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1, "maximize": True},
    ],
    "Adam": [
        {}, {"betas": (0.8, 0.95), "eps": 1e-4}, {"weight_decay": 0.1}, {"amsgrad": True}, {"maximize": True},
        {"amsgrad": True, "weight_decay": 0.1, "maximize": True},
    ],
    "AdamW": [
        {}, {"betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.0}, {"weight_decay": 0.1, "maximize": True},
        {"amsgrad": True, "weight_decay": 0.1},
    ],
    "RMSprop": [
        {}, {"alpha": 0.8, "eps": 1e-4}, {"momentum": 0.9}, {"centered": True},
        {"centered": True, "momentum": 0.9, "weight_decay": 0.1, "maximize": True},
    ],
    "Adagrad": [
        {}, {"lr_decay": 0.1}, {"initial_accumulator_value": 0.5, "eps": 1e-4}, {"lr_decay": 0.1, "weight_decay": 0.1, "maximize": True},
    ],
    "Lion": [{}, {"betas": (0.8, 0.9)}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "maximize": True}],
}  # fmt: skip
CONFIGS = {" ".join([name, *options]): (name, {"lr": 0.03, **options}) for name, all_ in OPTIONS.items() for options in all_}
OPTIMISERS = {key: functools.partial(getattr(mg.optim, name), **options) for key, (name, options) in CONFIGS.items()}
every = pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)


def absent(step, number):
    """No gradient comes to the first parameter now and then, from its first step on; the second is frozen for a while."""
    return (number == 0 and step in (0, 3, 4, 11)) or (number == 1 and 5 <= step < 9)


def sgd(p, g, s, t, lr, weight_decay=0.0, momentum=0.0, dampening=0.0, nesterov=False):
    g = g + weight_decay * p
    s["b"] = g if t == 1 else momentum * s["b"] + (1 - dampening) * g
    return p - lr * (g + momentum * s["b"] if nesterov else s["b"] if momentum else g)


def adam(p, g, s, t, lr, weight_decay=0.0, betas=(0.9, 0.999), eps=1e-8, amsgrad=False):
    g = g + weight_decay * p
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    s["top"] = max(s.get("top", 0), s["v"])
    second = (s["top"] if amsgrad else s["v"]) / (1 - betas[1] ** t)
    return p - lr * (s["m"] / (1 - betas[0] ** t)) / (math.sqrt(second) + eps)


def adamw(p, g, s, t, lr, weight_decay=0.01, **options):
    return adam(p - lr * weight_decay * p, g, s, t, lr, **options)


def rmsprop(p, g, s, t, lr, weight_decay=0.0, alpha=0.99, eps=1e-8, momentum=0.0, centered=False):
    g = g + weight_decay * p
    s["v"] = alpha * s.get("v", 0) + (1 - alpha) * g**2
    s["a"] = alpha * s.get("a", 0) + (1 - alpha) * g
    s["b"] = momentum * s.get("b", 0) + g / (math.sqrt(s["v"] - (s["a"] ** 2 if centered else 0)) + eps)
    return p - lr * s["b"]


def adagrad(p, g, s, t, lr, weight_decay=0.0, lr_decay=0.0, initial_accumulator_value=0.0, eps=1e-10):
    g = g + weight_decay * p
    s["sum"] = s.get("sum", initial_accumulator_value) + g**2
    return p - lr / (1 + (t - 1) * lr_decay) * g / (math.sqrt(s["sum"]) + eps)


def lion(p, g, s, t, lr, weight_decay=0.0, betas=(0.9, 0.99)):
    """Algorithm 2 of Chen et al. 2023."""
    m = s.get("m", 0.0)
    c = betas[0] * m + (1 - betas[0]) * g
    s["m"] = betas[1] * m + (1 - betas[1]) * g
    return p - lr * (math.copysign(1, c) + weight_decay * p)


FORMULAS = {"SGD": sgd, "Adam": adam, "AdamW": adamw, "RMSprop": rmsprop, "Adagrad": adagrad, "Lion": lion}


def by_hand(key):
    """The textbook formulas, in float64 and one number after the other."""
    name, options = CONFIGS[key]
    options = dict(options)
    sign = -1 if options.pop("maximize", False) else 1
    results = []
    for number, start in enumerate(parameters()):
        path = np.array(start.numpy())
        for place in np.ndindex(path.shape):
            p, state, t = float(path[place]), {}, 0
            for step in range(20):
                if not absent(step, number):
                    t += 1
                    p = FORMULAS[name](p, sign * float(gradients(step)[number][place]), state, t, **options)
            path[place] = p
        results.append(path)
    return results


def run_with_gaps(optimiser, ps):
    """Twenty steps, in which gradients are missing and parameters frozen; those do not move by one bit."""
    for step in range(20):
        for number, (p, g) in enumerate(zip(ps, gradients(step, ps[0].dtype))):
            p.frozen = number == 1 and absent(step, number)
            p.grad = None if number == 0 and absent(step, number) else Tensor(g)
        before = [p.numpy() for p in ps]
        state = {key: np.array(value) for key, value in optimiser.state_dict().items()}
        optimiser.step()
        for number, (p, b) in enumerate(zip(ps, before)):
            if absent(step, number):
                assert p.numpy().tobytes() == b.tobytes()
                mine = [key for key in state if key.endswith(f".{number}")]
                assert all(np.array_equal(state[key], optimiser.state_dict()[key]) for key in mine)
    return [p.numpy() for p in ps]


@pytest.mark.parametrize("key", CONFIGS)
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 3e-6)], ids=["float64", "float32"])
def test_twenty_steps_are_the_formula(key, dtype, tolerance):
    ps = parameters(dtype)
    for got, want in zip(run_with_gaps(OPTIMISERS[key](ps), ps), by_hand(key)):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * 3)


@pytest.mark.oracle
@pytest.mark.parametrize("key", [key for key in CONFIGS if not key.startswith("Lion")])
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 3e-6)])
def test_twenty_steps_are_pytorchs(key, dtype, tolerance):
    torch = pytest.importorskip("torch")
    name, options = CONFIGS[key]
    theirs = [torch.nn.Parameter(torch.tensor(p.numpy())) for p in parameters(dtype)]
    optimiser = getattr(torch.optim, name)(theirs, **options)
    for step in range(20):
        for number, (p, g) in enumerate(zip(theirs, gradients(step, dtype))):
            p.grad = None if absent(step, number) else torch.tensor(g)
        optimiser.step()
    ours = parameters(dtype)
    for got, want in zip(run_with_gaps(OPTIMISERS[key](ours), ours), theirs):
        np.testing.assert_allclose(got, want.detach().numpy(), rtol=tolerance, atol=tolerance * 3)


@pytest.mark.oracle
@pytest.mark.parametrize("name, one, other", [
    ("SGD", {"lr": 0.1}, {"momentum": 0.5, "weight_decay": 0.2}), ("Adam", {"amsgrad": True}, {"betas": (0.5, 0.6), "lr": 0.1}),
    ("AdamW", {"weight_decay": 0.0}, {"weight_decay": 0.5, "lr": 0.1}), ("RMSprop", {"centered": True}, {"momentum": 0.5}),
    ("Adagrad", {"lr_decay": 0.5}, {"maximize": True}),
])  # fmt: skip
def test_groups_are_pytorchs(name, one, other):
    torch = pytest.importorskip("torch")
    theirs, ours = [torch.nn.Parameter(torch.tensor(p.numpy())) for p in parameters()], parameters()
    make = lambda module, ps: getattr(module, name)([{"params": ps[:1], **one}, {"params": ps[1:], **other}], lr=0.03)  # noqa: E731
    optimiser = make(torch.optim, theirs)
    for step in range(20):
        for p, g in zip(theirs, gradients(step)):
            p.grad = torch.tensor(g)
        optimiser.step()
    for got, want in zip(run(make(mg.optim, ours), ours), theirs):
        np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-12, atol=1e-12)


@every
def test_what_has_no_gradient_or_is_frozen_stays(make):
    ps = parameters()
    before = [p.numpy() for p in ps]
    optimiser = make(ps)
    for p, g in zip(ps, gradients(0)):
        p.grad = Tensor(g)
    ps[0].grad = None
    ps[1].frozen = True
    optimiser.step()
    assert [np.array_equal(p.numpy(), b) for p, b in zip(ps, before)] == [True, True, False, False]


@every
def test_a_step_leaves_the_gradient_as_it_is(make):
    ps = parameters()
    run(make(ps), ps, 1)
    assert all(np.array_equal(p.grad.numpy(), g) for p, g in zip(ps, gradients(0)))


@every
def test_two_runs_give_the_same_bits(make):
    runs = []
    for _ in range(2):
        ps = parameters(np.float32)
        runs.append(b"".join(a.tobytes() for a in run(make(ps), ps)))
    assert runs[0] == runs[1]


@every
def test_a_restored_optimiser_goes_on_bit_for_bit(make):
    ps = parameters(np.float32)
    expected = run(make(ps), ps, 8)
    ps = parameters(np.float32)
    optimiser = make(ps)
    for part in (range(4), range(4, 8)):
        for step in part:
            for p, g in zip(ps, gradients(step, np.float32)):
                p.grad = Tensor(g)
            optimiser.step()
        state = {key: np.array(value) for key, value in optimiser.state_dict().items()}
        ps = [mg.Parameter(p.numpy()) for p in ps]
        optimiser = make(ps)
        optimiser.load_state_dict(state)
    assert optimiser.steps == 8
    assert b"".join(p.numpy().tobytes() for p in ps) == b"".join(a.tobytes() for a in expected)


def test_a_state_taken_before_a_step_does_not_change_with_it():
    ps = parameters()
    optimiser = OPTIMISERS["SGD momentum"](ps)
    run(optimiser, ps, 2)
    taken = {key: np.array(value) for key, value in optimiser.state_dict().items()}
    fresh = OPTIMISERS["SGD momentum"](parameters())
    fresh.load_state_dict(taken)
    run(fresh, fresh.parameters(), 3)
    assert all(np.array_equal(taken[key], value) for key, value in optimiser.state_dict().items())


def test_a_state_that_does_not_fit_raises():
    ps = parameters()
    optimiser = OPTIMISERS["AdamW"](ps)
    run(optimiser, ps, 1)
    state = optimiser.state_dict()
    for key in ("m.9", "m.0", "nonsense", "step.0", "step.9", "m.x", "velocity.0"):
        with pytest.raises(LayerError, match=f"{key} does not fit"):
            optimiser.load_state_dict({**state, key: np.ones(3)})
    for key, value in (("steps", -1), ("steps", "7"), ("step.0", 1.5), ("steps", np.ones(3))):
        with pytest.raises(LayerError, match="load_state_dict"):
            optimiser.load_state_dict({**state, key: value})
    with pytest.raises(LayerError, match=r"step\.1 is missing"):
        optimiser.load_state_dict({key: value for key, value in state.items() if key != "step.1"})
    with pytest.raises(LayerError, match="counts its steps"):
        optimiser.load_state_dict({})
    with pytest.raises(LayerError, match=r"m\.0 does not fit the parameters of this SGD"):
        mg.optim.SGD(ps).load_state_dict(state)
    lion = OPTIMISERS["Lion"](parameters())
    run(lion, lion.parameters(), 1)
    with pytest.raises(LayerError, match=r"v\.0 is missing"):  # Adam has an m too
        optimiser.load_state_dict(lion.state_dict())
    assert all(np.array_equal(value, optimiser.state_dict()[key]) for key, value in state.items())


def test_a_copy_of_model_and_optimiser_goes_on_alike():
    ps = parameters(np.float32)
    optimiser = OPTIMISERS["AdamW"](ps)
    run(optimiser, ps, 3)
    twin = copy.deepcopy(optimiser)
    one, other = run(optimiser, ps, 3), run(twin, twin.parameters(), 3)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one, other))


CHANGES = {
    "rate": lambda o: o.groups[0].update(lr=0.5),
    "betas of one group": lambda o: o.groups[1].update(betas=(0.5, 0.6)),
    "decay": lambda o: o.groups[0].update(weight_decay=0.9),
    "direction": lambda o: o.groups[1].update(maximize=True),
    "more arrays": lambda o: o.groups[0].update(amsgrad=True),
    "another group": lambda o: o.groups.__setitem__(1, {**o.groups[1], "lr": 0.7}),
    "moved to another group": lambda o: o.groups[0]["params"].append(o.groups[1]["params"].pop(0)),
    "taken out": lambda o: o.groups[1]["params"].pop(),
    "frozen": lambda o: setattr(o.parameters()[1], "frozen", True),
    "assigned": lambda o: o.parameters()[0].assign(np.ones((3, 4))),
    "an array of a state": lambda o: o.state[1].update(m=np.ones(4, np.float32)),
    "the count of a state": lambda o: o.state[1].update(step=0),
    "a state": lambda o: o.state.__setitem__(1, {**o.state[1], "m": np.ones(4, np.float32)}),
    "all states": lambda o: o.load_state_dict({"steps": 1}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_between_two_steps_is_seen(change):
    """A step goes on from what the last one found out; a copy of the optimiser has to find it out anew."""
    ps = parameters(np.float32)
    optimiser = mg.optim.AdamW([{"params": ps[:2], "weight_decay": 0.1}, {"params": ps[2:]}], lr=0.01)
    run(optimiser, ps, 2)
    unchanged = copy.deepcopy(optimiser)
    change(optimiser)
    copied = copy.deepcopy(optimiser)
    after = [[a.tobytes() for a in run(o, o.parameters(), 3)] for o in (optimiser, copied, unchanged)]
    assert after[0] == after[1] != after[2]


def test_groups_have_options_of_their_own():
    ps = parameters()
    before = [p.numpy() for p in ps]
    optimiser = mg.optim.AdamW([{"params": ps[:2], "weight_decay": 0.5}, {"params": ps[2:], "lr": 0.0}], lr=0.1, weight_decay=0.0)
    for p in ps:
        p.grad = Tensor(np.zeros(p.shape))
    optimiser.step()
    assert [np.allclose(p.numpy(), b * (0.95 if i < 2 else 1)) for i, (p, b) in enumerate(zip(ps, before))] == [True] * 4
    optimiser.lr = 0.2
    assert [group["lr"] for group in optimiser.groups] == [0.2, 0.2]
    with pytest.raises(ValueError, match="unknown option 'decay'"):
        mg.optim.AdamW([{"params": ps, "decay": 1.0}])


def test_a_parameter_twice_is_moved_once():
    p, q = (mg.Parameter([1.0]) for _ in range(2))
    p.grad = q.grad = Tensor([1.0])
    mg.optim.SGD([p, p, q], lr=0.5).step()
    assert (p.tolist(), q.tolist()) == ([0.5], [0.5])
    with pytest.raises((GradientError, LayerError, ValueError), match="two groups"):
        mg.optim.SGD([{"params": [p]}, {"params": [q, p]}], lr=0.5)


@pytest.mark.parametrize("wrong", [[], [{"params": []}]])
def test_nothing_to_learn_is_an_error(wrong):
    with pytest.raises(LayerError, match="no parameters"):
        mg.optim.SGD(wrong)


@pytest.mark.parametrize("lr", [-0.1, float("nan"), "fast", None])
def test_a_rate_that_cannot_be_is_refused(lr):
    for make in (lambda p: mg.optim.SGD([p], lr=lr), lambda p: mg.optim.AdamW([{"params": [p], "lr": lr}])):
        with pytest.raises(ValueError, match="lr is a number from 0"):
            make(mg.Parameter([1.0]))


@pytest.mark.parametrize("make, words", [
    (lambda p: mg.optim.SGD([p], momentum=-1), "momentum is a number from 0"),
    (lambda p: mg.optim.SGD([p], nesterov=True), "nesterov needs momentum"),
    (lambda p: mg.optim.SGD([{"params": [p], "dampening": 0.5}], momentum=0.9, nesterov=True), "nesterov needs momentum"),
    (lambda p: mg.optim.Adam([p], betas=(0.9, 1.0)), "each of betas is a number from 0 to below 1"),
    (lambda p: mg.optim.Adam([p], betas=0.9), "betas are two numbers"),
    (lambda p: mg.optim.AdamW([p], weight_decay=float("inf")), "weight_decay is a number from 0"),
    (lambda p: mg.optim.RMSprop([p], alpha=1.5), "alpha is a number from 0 to below 1"),
    (lambda p: mg.optim.Adagrad([p], eps=-1e-3), "eps is a number from 0"),
    (lambda p: setattr(mg.optim.Lion([p]), "lr", -1.0), "lr is a number from 0"),
])  # fmt: skip
def test_options_that_cannot_be_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make(mg.Parameter([1.0]))


@pytest.mark.parametrize("wrong", [lambda p: [{"params": [p]}, p], lambda p: [{"lr": 0.1}]])
def test_groups_that_are_none_are_refused(wrong):
    with pytest.raises(TypeError, match='every group is a dict with "params"'):
        mg.optim.SGD(wrong(mg.Parameter([1.0])))


def test_what_would_never_move_is_refused():
    with pytest.raises(GradientError, match="does not require a gradient, so it would never move"):
        mg.optim.SGD([mg.tensor([1.0])])
    with pytest.raises(DtypeError, match=r"floating.*int64"):
        mg.optim.SGD([mg.tensor([1])])
    frozen = mg.Parameter([1.0])
    frozen.frozen = True
    mg.optim.SGD([frozen])  # it can be unfrozen later


def test_a_gradient_of_another_shape_is_refused():
    p = mg.Parameter(np.ones((2, 3)))
    p.grad = mg.tensor([1.0, 2.0, 3.0])
    for make in (mg.optim.SGD, mg.optim.AdamW, mg.optim.Lion):
        with pytest.raises(ShapeError, match=r"gradient has the shape of its parameter.*\(2, 3\).*\(3,\)"):
            make([p]).step()
    assert (p.numpy() == 1).all()


@every
def test_numbers_of_numpy_as_options_promote_nothing(make):
    ps = parameters(np.float32)
    optimiser = make(ps)
    optimiser.lr = np.float64(0.01)
    run(optimiser, ps, 2)
    assert {p.dtype for p in ps} | {a.dtype for a in optimiser.state_dict().values() if isinstance(a, np.ndarray)} == {np.dtype("float32")}


def test_centred_rmsprop_survives_a_constant_gradient():
    """Its variance is 0, which rounding takes below 0 now and then."""
    p = mg.Parameter(np.ones(50), dtype="float32")
    optimiser = mg.optim.RMSprop([p], alpha=0.5, centered=True, lr=1e-9)
    g = np.random.default_rng(0).uniform(1, 100, 50).astype(np.float32)
    for _ in range(40):
        p.grad = mg.tensor(g)
        optimiser.step()
    assert np.isfinite(p.numpy()).all()


def test_only_leaves_can_be_learned():
    p = mg.Parameter([1.0])
    for wrong in (p * 2, np.ones(2), 3.0):
        with pytest.raises(GradientError, match="leaf"):
            mg.optim.SGD([wrong])


def test_clipping_scales_all_gradients_together():
    ps = parameters()
    for p, g in zip(ps, gradients(0)):
        p.grad = Tensor(g)
    kept = ps[0].grad.numpy()
    norm = math.sqrt(sum(float((g**2).sum()) for g in gradients(0)))
    assert abs(mg.optim.clip_grad_norm_(ps, 0.5) / norm - 1) < 1e-12
    for p, g in zip(ps, gradients(0)):
        np.testing.assert_allclose(p.grad.numpy(), g * 0.5 / (norm + 1e-6), rtol=1e-12)
    assert np.array_equal(kept, gradients(0)[0]), "a gradient that somebody kept was changed"
    assert mg.optim.clip_grad_norm_(ps, 7.0) < 0.51
    np.testing.assert_allclose(ps[0].grad.numpy(), gradients(0)[0] * 0.5 / (norm + 1e-6), rtol=1e-12)


def test_clipping_inside_the_step_equals_clipping_before_it():
    one, other = parameters(), parameters()
    inside = mg.optim.AdamW(one, lr=0.1, global_clipnorm=0.5)
    outside = mg.optim.AdamW(other, lr=0.1)
    for step in range(5):
        for p, q, g in zip(one, other, gradients(step)):
            p.grad, q.grad = Tensor(g), Tensor(g)
        norm = mg.optim.clip_grad_norm_(other, 0.5)
        inside.step()
        outside.step()
        assert abs(inside.grad_norm / norm - 1) < 1e-12
    for p, q in zip(one, other):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-12)


def test_a_norm_that_is_known_is_not_measured_again(monkeypatch):
    one, other = parameters(), parameters()
    measures, told = mg.optim.AdamW(one, lr=0.1, global_clipnorm=0.5), mg.optim.AdamW(other, lr=0.1, global_clipnorm=0.5)
    for p, q, g in zip(one, other, gradients(0)):
        p.grad, q.grad = Tensor(g), Tensor(g)
    measures.step()
    norm = mg.optim.clip_grad_norm_(other, math.inf)
    monkeypatch.setattr(mg.kernels, "grad_norm", None)
    told.step(grad_norm=norm)
    assert told.grad_norm == measures.grad_norm
    for p, q in zip(one, other):
        assert np.array_equal(p.numpy(), q.numpy())


def test_clipping_counts_only_what_moves():
    p, frozen = mg.Parameter([3.0]), mg.Parameter([4.0])
    p.grad, frozen.grad = Tensor([3.0]), Tensor([400.0])
    frozen.frozen = True
    optimiser = mg.optim.AdamW([p, frozen], global_clipnorm=1.0)
    optimiser.step()
    assert optimiser.grad_norm == 3.0


def test_a_schedule_rises_and_falls():
    rates = [mg.optim.warmup_cosine(s, 10, 100, 1.0, 0.1) for s in range(120)]
    assert rates[0] == 0.1 and rates[9] == 1.0
    assert all(a < b for a, b in zip(rates[:9], rates[1:10])) and all(a >= b for a, b in zip(rates[9:], rates[10:]))
    assert abs(rates[55] - 0.55) < 1e-12 and rates[100:] == [0.1] * 20  # half-way down in the middle; the floor after the end
    assert mg.optim.warmup_cosine(0, 0, 10, 1.0) == 1.0


@pytest.mark.oracle
@pytest.mark.parametrize("ours, theirs", [
    (lambda s: mg.optim.linear(s, 10, 0.4, 0.1), lambda t, o: t.LinearLR(o, 1.0, 0.25, 10)),
    (lambda s: mg.optim.cosine(s, 30, 0.4, 0.1), lambda t, o: t.CosineAnnealingLR(o, 30, 0.1)),
    (lambda s: mg.optim.exponential(s, 0.4, 0.9), lambda t, o: t.ExponentialLR(o, 0.9)),
    (lambda s: mg.optim.steps_down(s, 0.4, 7, 0.5), lambda t, o: t.StepLR(o, 7, 0.5)),
], ids=["linear", "cosine", "exponential", "steps_down"])  # fmt: skip
def test_schedules_are_pytorchs(ours, theirs):
    torch = pytest.importorskip("torch")
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    schedule = theirs(torch.optim.lr_scheduler, optimiser)
    for step in range(31):
        assert abs(optimiser.param_groups[0]["lr"] - ours(step)) < 1e-12
        optimiser.step()
        schedule.step()


def test_a_gradient_that_is_not_finite_can_be_an_error_before_anything_is_lost():
    p, q = mg.Parameter([1.0]), mg.Parameter([[2.0, 3.0]])
    p.grad = mg.tensor([1.0])
    for bad, words in ((np.nan, "norm of the gradients is nan: one of shape"), (np.inf, r"is inf: one of shape \(1, 2\) holds NaN")):
        q.grad = mg.tensor([[0.5, bad]])
        with pytest.raises(GradientError, match=words):
            mg.optim.clip_grad_norm_([p, q], 0.1, error_if_nonfinite=True)
        assert p.grad.tolist() == [1.0] and q.grad.tolist()[0][0] == 0.5


@pytest.mark.parametrize("gradient, clipped", [([np.inf, 1.0], [np.nan, 0.0]), ([np.nan, 1.0], [np.nan] * 2)])
def test_what_is_not_finite_shows_in_the_values_and_not_as_a_warning(gradient, clipped):
    p, q = mg.Parameter([1.0, 2.0]), mg.Parameter([1.0, 2.0])
    p.grad = mg.tensor(gradient)
    mg.optim.clip_grad_norm_([p], 1.0)
    assert np.array_equal(p.grad.numpy(), clipped, equal_nan=True)
    for kind in (mg.optim.RMSprop, mg.optim.Adagrad, functools.partial(mg.optim.Adam, amsgrad=True, global_clipnorm=1.0)):
        q.grad = mg.tensor(gradient)
        kind([q]).step()
        assert np.isnan(q.numpy()[0])


def test_an_optimiser_shows_its_options_group_by_group():
    p, q, r = (mg.Parameter([1.0, 2.0]) for _ in range(3))
    assert repr(mg.optim.Lion([p, q])) == "<Lion: 2 parameters, lr=0.0001, betas=(0.9, 0.99), weight_decay=0.0, maximize=False>"
    optimiser = mg.optim.SGD([{"params": [p], "lr": 0.5}, {"params": [q, r]}])
    assert re.fullmatch("<SGD: 1 parameter, lr=0.5, mom.*; 2 parameters, lr=0.01, mom.*, maximize=False>", repr(optimiser))
    assert optimiser.param_groups is optimiser.groups


def test_clipping_by_value():
    p, kept = mg.Parameter([1.0, 2.0, 3.0]), mg.Parameter([1.0])
    p.grad = gradient = mg.tensor([-5.0, 0.5, 5.0])
    mg.optim.clip_grad_value_([p, kept], 2)
    assert p.grad.tolist() == [-2.0, 0.5, 2.0] and gradient.tolist() == [-5.0, 0.5, 5.0] and kept.grad is None


@pytest.mark.parametrize("make", [
    lambda p: mg.optim.SGD([p], lr=0.1), lambda p: mg.optim.SGD([p], lr=0.02, momentum=0.9, nesterov=True),
    lambda p: mg.optim.Adam([p], lr=0.1), lambda p: mg.optim.AdamW([p], lr=0.1, weight_decay=0.0),
    lambda p: mg.optim.RMSprop([p], lr=0.02, centered=True), lambda p: mg.optim.Adagrad([p], lr=1.0),
    lambda p: mg.optim.Lion([p], lr=0.02, betas=(0.8, 0.9)),
])  # fmt: skip
def test_a_quadratic_is_minimised(make):
    target = np.array([3.0, -2.0])
    p = mg.Parameter(np.zeros(2), dtype="float64")
    optimiser = make(p)
    rate = optimiser.lr
    for step in range(300):
        optimiser.lr = mg.optim.cosine(step, 300, rate)
        optimiser.zero_grad()
        ((p - target) ** 2).sum().backward()
        optimiser.step()
    assert np.abs(p.numpy() - target).max() < 0.03


def test_a_state_that_was_kept_is_not_changed_by_later_steps():
    p = mg.Parameter([1.0, 2.0])
    optimiser = mg.optim.AdamW([p], lr=0.1)
    p.grad = mg.tensor([1.0, 1.0])
    optimiser.step()
    kept = optimiser.state_dict()
    before = {name: np.array(value) for name, value in kept.items()}
    optimiser.step()
    assert all(np.array_equal(kept[name], before[name]) for name in kept)


@pytest.mark.parametrize("limit", [-1.0, float("nan"), "1", None])
def test_limits_that_would_turn_gradients_round_are_refused(limit):
    p = mg.Parameter([1.0, 2.0])
    p.grad = gradient = mg.tensor([3.0, 4.0])
    with pytest.raises(ValueError, match="max_norm is a number from 0"):
        mg.optim.clip_grad_norm_([p], limit)
    with pytest.raises(ValueError, match="clip_value is a number from 0"):
        mg.optim.clip_grad_value_([p], limit)
    if limit is not None:
        with pytest.raises(ValueError, match="global_clipnorm is a number from 0"):
            mg.optim.AdamW([p], global_clipnorm=limit)
    assert p.grad is gradient


def test_no_gradient_passes_unclipped_beside_nan():
    p = mg.Parameter([1.0, 2.0])
    p.grad = mg.tensor([np.nan, 1e6])
    mg.optim.AdamW([p], lr=0.1, global_clipnorm=1.0).step()
    assert np.isnan(p.numpy()).all()


def test_a_formula_that_would_never_be_called_raises():
    with pytest.raises(TypeError, match="Slow: its update would never be called.*Adam is a kernel.*Optimizer"):

        class Slow(mg.optim.Adam):
            def update(self, p, g, state, **options):
                p -= g


def test_a_rate_may_be_an_array_of_one_number():
    p = mg.Parameter([1.0, 2.0])
    optimiser = mg.optim.SGD([p], lr=0.1)
    optimiser.groups[0]["lr"] = np.array(0.5)
    p.grad = mg.tensor([1.0, 1.0])
    optimiser.step()
    assert p.tolist() == [0.5, 1.5]

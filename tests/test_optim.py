"""Optimisers change learnable parameters that are not frozen and have a gradient, by their formula, and nothing else."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from minigrad.errors import GradientError, LayerError

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


OPTIMISERS = {
    "SGD": lambda ps: mg.optim.SGD(ps, lr=0.03),
    "SGD momentum": lambda ps: mg.optim.SGD(ps, lr=0.03, momentum=0.9),
    "AdamW": lambda ps: mg.optim.AdamW(ps, lr=0.03, weight_decay=0.1),
    "AdamW odd": lambda ps: mg.optim.AdamW(ps, lr=0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.0),
}
every = pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)


def by_hand(name, ps):
    """The textbook formulas, in float64 and one number after the other."""
    values = [p.numpy().astype(np.float64) for p in ps]
    m, v = [np.zeros_like(a) for a in values], [np.zeros_like(a) for a in values]
    for t in range(1, 21):
        for i, g in enumerate(gradients(t - 1)):
            if name.startswith("SGD"):
                m[i] = (0.9 if "momentum" in name else 0.0) * m[i] + g
                values[i] = values[i] - 0.03 * m[i]
            else:
                lr, b1, b2, eps, decay = (0.03, 0.9, 0.999, 1e-8, 0.1) if name == "AdamW" else (0.01, 0.8, 0.95, 1e-4, 0.0)
                m[i], v[i] = b1 * m[i] + (1 - b1) * g, b2 * v[i] + (1 - b2) * g**2
                values[i] = values[i] * (1 - lr * decay) - lr * (m[i] / (1 - b1**t)) / (np.sqrt(v[i] / (1 - b2**t)) + eps)
    return values


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-13), (np.float32, 2e-6)])
def test_twenty_steps_are_the_formula(name, dtype, tolerance):
    ps = parameters(dtype)
    expected = by_hand(name, parameters())
    for got, want in zip(run(OPTIMISERS[name](ps), ps), expected):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * 3)


@pytest.mark.oracle
@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-13), ("float32", 2e-6)])
def test_twenty_steps_are_pytorchs(name, dtype, tolerance):
    import torch

    theirs = [torch.nn.Parameter(torch.tensor(p.numpy())) for p in parameters(dtype)]
    optimiser = {
        "SGD": lambda: torch.optim.SGD(theirs, lr=0.03),
        "SGD momentum": lambda: torch.optim.SGD(theirs, lr=0.03, momentum=0.9),
        "AdamW": lambda: torch.optim.AdamW(theirs, lr=0.03, weight_decay=0.1),
        "AdamW odd": lambda: torch.optim.AdamW(theirs, lr=0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.0),
    }[name]()
    for step in range(20):
        for p, g in zip(theirs, gradients(step, dtype)):
            p.grad = torch.tensor(g)
        optimiser.step()
    ours = parameters(dtype)
    for got, want in zip(run(OPTIMISERS[name](ours), ours), theirs):
        np.testing.assert_allclose(got, want.detach().numpy(), rtol=tolerance, atol=tolerance * 3)


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
    for wrong in ({**state, "m.9": np.ones(3)}, {**state, "m.0": np.ones(3)}, {**state, "nonsense": np.ones(3)}):
        with pytest.raises(LayerError, match="does not fit"):
            optimiser.load_state_dict(wrong)


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


@every
def test_a_quadratic_is_minimised(make):
    target = np.array([3.0, -2.0])
    p = mg.Parameter(np.zeros(2), dtype="float64")
    optimiser = mg.optim.AdamW([p], lr=0.1, weight_decay=0.0) if "AdamW" in type(make([p])).__name__ else make([p])
    for _ in range(300):
        optimiser.zero_grad()
        ((p - target) ** 2).sum().backward()
        optimiser.step()
    assert np.abs(p.numpy() - target).max() < 0.01


def test_a_state_that_was_kept_is_not_changed_by_later_steps():
    p = mg.Parameter([1.0, 2.0])
    optimiser = mg.optim.AdamW([p], lr=0.1)
    p.grad = mg.tensor([1.0, 1.0])
    optimiser.step()
    kept = optimiser.state_dict()
    before = {name: np.array(value) for name, value in kept.items()}
    optimiser.step()
    assert all(np.array_equal(kept[name], before[name]) for name in kept)


def test_no_gradient_passes_unclipped_beside_nan():
    p = mg.Parameter([1.0, 2.0])
    p.grad = mg.tensor([np.nan, 1e6])
    mg.optim.AdamW([p], lr=0.1, global_clipnorm=1.0).step()
    assert np.isnan(p.numpy()).all()

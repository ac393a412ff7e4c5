"""Neural functions: every option beside PyTorch's, the conventions where they differ, and what happens at the edges."""

import itertools
import tracemalloc

import numpy as np
import pytest

import minigrad as mg
from minigrad import derivatives
from minigrad.core import REGISTRY, Tensor
from minigrad.errors import ShapeError
from tests.helpers import assert_close

REDUCTIONS = ("mean", "sum", "none")
B, C, L, h, T, S = 2, 4, 3, 6, 5, 7


def gradients(f, arrays, g=None, order=1):
    """Output and gradients of f, as arrays; of second order those of the sum of the squared first ones."""
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    out = f(*leaves)
    seed = np.ones(out.shape, out.dtype) if g is None else g
    found = derivatives.gradients(out, leaves, [seed], create_graph=order == 2, allow_unused=True)
    if order == 2:
        total = sum([(d * d).sum() for d in found if d is not None])
        found = derivatives.gradients(total, leaves, allow_unused=True)
    return [out.numpy(), *(np.zeros_like(a) if d is None else d.numpy() for a, d in zip(arrays, found))]


def torch_gradients(f, arrays, g):
    torch = pytest.importorskip("torch")
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    out = f(*leaves)
    found = torch.autograd.grad(out, leaves, torch.tensor(g), allow_unused=True)
    return [out.detach().numpy(), *(np.zeros_like(a) if d is None else d.numpy() for a, d in zip(arrays, found))]


def equals_torch(ours, theirs, *arrays, tolerance=1e-10):
    """The same values, and the same gradients of a random weighing of the outputs."""
    g = np.random.default_rng(7).standard_normal(np.shape(ours(*arrays)))
    for mine, other in zip(gradients(ours, arrays, g), torch_gradients(theirs, arrays, g), strict=True):
        assert_close(mine, other, tolerance)


def same(f, g, *arrays, order=1):
    """Two ways to one result: equal values and gradients."""
    for a, b in zip(gradients(f, arrays, order=order), gradients(g, arrays, order=order), strict=True):
        assert_close(a, b, 1e-12)


# ------------------------------------------------------------------------------------------------- cross-entropy

OPTIONS = list(itertools.product(REDUCTIONS, (0.0, 0.1), (False, True), (-100, 1)))
each_option = pytest.mark.parametrize("reduction, smoothing, weighed, ignored", OPTIONS)


@pytest.mark.oracle
@each_option
def test_cross_entropy_of_classes_equals_torch(rng, reduction, smoothing, weighed, ignored):
    torch = pytest.importorskip("torch")
    logits, targets = rng.standard_normal((B, C, L)), rng.integers(0, C, (B, L))
    targets[0, 1] = ignored
    weight = rng.uniform(0.5, 2, C) if weighed else None
    equals_torch(
        lambda x: mg.cross_entropy(x, targets, weight, reduction, ignored, smoothing, axis=1),
        lambda x: torch.nn.functional.cross_entropy(
            x, torch.tensor(targets), None if weight is None else torch.tensor(weight),
            ignore_index=ignored, reduction=reduction, label_smoothing=smoothing,
        ),
        logits,
    )  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize("reduction, smoothing, weighed", list(itertools.product(REDUCTIONS, (0.0, 0.1), (False, True))))
def test_cross_entropy_of_probabilities_equals_torch(rng, reduction, smoothing, weighed):
    torch = pytest.importorskip("torch")
    weight = rng.uniform(0.5, 2, C) if weighed else None
    equals_torch(
        lambda x, p: mg.cross_entropy(x, p, weight, reduction, label_smoothing=smoothing, dim=1),
        lambda x, p: torch.nn.functional.cross_entropy(
            x, p, None if weight is None else torch.tensor(weight), reduction=reduction, label_smoothing=smoothing
        ),
        rng.standard_normal((B, C, L)), np.moveaxis(rng.dirichlet(np.ones(C), (B, L)), -1, 1),
    )  # fmt: skip


@pytest.mark.oracle
@each_option
def test_nll_loss_equals_torch(rng, reduction, smoothing, weighed, ignored):
    torch = pytest.importorskip("torch")
    targets = rng.integers(0, C, (B, L))
    targets[1, 0] = ignored
    weight = rng.uniform(0.5, 2, C) if weighed else None
    equals_torch(
        lambda x: mg.nll_loss(x, targets, weight, reduction, ignored, axis=1),
        lambda x: torch.nn.functional.nll_loss(
            x, torch.tensor(targets), None if weight is None else torch.tensor(weight), ignore_index=ignored, reduction=reduction
        ),
        rng.standard_normal((B, C, L)),
    )  # fmt: skip


@each_option
def test_the_ways_to_cross_entropy_agree(rng, reduction, smoothing, weighed, ignored):
    """The kernel against log_softmax with nll_loss, and against probabilities that are sure; to second order."""
    logits, targets = rng.standard_normal((B, L, C)), rng.integers(0, C, (B, L))
    weight = rng.uniform(0.5, 2, C) if weighed else None
    kernel = lambda x: mg.cross_entropy(x, targets, weight, reduction, ignored, smoothing)  # noqa: E731
    for order in (1, 2):
        if not smoothing:
            same(kernel, lambda x: mg.nll_loss(mg.log_softmax(x), targets, weight, reduction, ignored), logits, order=order)
        if ignored < 0 and not weighed:
            same(kernel, lambda x: mg.cross_entropy(x, np.eye(C)[targets], None, reduction, -100, smoothing), logits, order=order)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_gradient_that_is_made_ahead_is_given_away_once(rng, reduction):
    """Nobody's array is changed by the next walk, which finds the same; and there is one of them, whatever the weight is."""
    data, targets = rng.standard_normal((B, L, C)), rng.integers(0, C, (B, L))
    logits = Tensor(data, requires_grad=True)
    loss = mg.cross_entropy(logits, targets, reduction=reduction)
    [first] = derivatives.gradients(loss, [logits], [np.array(3.0)], retain_graph=True)
    kept = first.numpy().copy()
    [second] = derivatives.gradients(loss, [logits], [np.array(1.0)], retain_graph=True)
    assert_close(first.numpy(), kept, 0)
    assert_close(3 * second.numpy(), kept, 1e-14)
    loss.backward()
    loss_again = mg.cross_entropy(logits, targets, reduction=reduction)
    (2 * loss_again).backward()
    assert_close(logits.grad.numpy(), kept, 1e-14)


def test_a_weighed_loss_makes_no_second_gradient(rng):
    logits, targets = Tensor(rng.standard_normal((64, 2053)), requires_grad=True), rng.integers(0, 2053, 64)
    (mg.cross_entropy(logits, targets) / 4).backward()
    logits.grad = None
    tracemalloc.start()
    try:
        (mg.cross_entropy(logits, targets) / 4).backward()
        assert tracemalloc.get_traced_memory()[1] < 1.2 * logits.numpy().nbytes
    finally:
        tracemalloc.stop()


def test_the_kernel_is_used_unless_probabilities_are_given(rng):
    logits, targets = Tensor(rng.standard_normal((3, C)), requires_grad=True), np.array([1, 0, 3])
    assert mg.cross_entropy(logits, targets).grad_fn.op.name == "class_cross_entropy"
    assert mg.cross_entropy(logits, targets, np.ones(C), "sum", 1, 0.1).grad_fn.op.name == "class_cross_entropy"
    assert mg.cross_entropy(logits, np.eye(C)[targets]).grad_fn.op.name != "class_cross_entropy"


def test_the_gradient_for_the_weights_is_that_of_the_formula(rng):
    logits, targets, weight = rng.standard_normal((3, C)), np.array([1, 0, 1]), rng.uniform(0.5, 2, C)
    _, found = gradients(lambda w: mg.cross_entropy(logits, targets, w), [weight])
    losses = mg.cross_entropy(logits, targets, reduction="none")
    mean, count = (weight[targets] * losses).sum() / weight[targets].sum(), weight[targets].sum()
    expected = np.zeros(C)
    np.add.at(expected, targets, (losses - mean) / count)
    assert_close(found, expected, 1e-12)


@pytest.mark.parametrize("weight", [None, np.ones(C)], ids=["plain", "weighed"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [0, 3])
@pytest.mark.parametrize("order", [1, 2])
def test_a_mean_over_no_targets_is_nan_and_teaches_nothing(weight, smoothing, rows, order):
    targets = np.full(rows, -100)
    loss = lambda reduction: lambda x: mg.cross_entropy(x, targets, weight, reduction, -100, smoothing)  # noqa: E731
    value, slope = gradients(loss("mean"), [np.ones((rows, C))], order=order)
    assert np.isnan(value) and not slope.any()
    value, slope = gradients(loss("sum"), [np.ones((rows, C))], order=order)
    assert value == 0 and not slope.any()
    value, slope = gradients(loss("none"), [np.ones((rows, C))], order=order)
    assert value.shape == (rows,) and not value.any() and not slope.any()


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "kl_div", "binary_cross_entropy_with_logits"])
def test_a_mean_over_no_elements_is_nan(name):
    value, *slopes = gradients(getattr(mg, name), [np.ones((0, 3)), np.ones((0, 3))])
    assert np.isnan(value) and [d.shape for d in slopes] == [(0, 3)] * 2


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_what_is_ignored_does_not_matter(rng, smoothing):
    logits, targets = rng.standard_normal((5, C)), np.array([1, -100, 0, -100, 3])
    kept = targets >= 0
    value, slope = gradients(lambda x: mg.cross_entropy(x, targets, label_smoothing=smoothing), [logits])
    small, own = gradients(lambda x: mg.cross_entropy(x, targets[kept], label_smoothing=smoothing), [logits[kept]])
    assert_close(value, small, 1e-15)
    assert_close(slope[kept], own, 1e-15)
    assert not slope[~kept].any()
    with pytest.raises(IndexError, match=r"targets\[1\] is -100, outside 0 to 3"):
        mg.cross_entropy(logits, targets, ignore_index=-1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_smoothing_keeps_the_digits_of_logits_far_from_zero(dtype):
    small = np.array([[0.0, 0.5, 1.0, -0.25]])
    far = (small + 2.0**14).astype(dtype)
    exact = mg.cross_entropy(small, np.array([1]), label_smoothing=0.1)
    assert_close(mg.cross_entropy(far, np.array([1]), label_smoothing=0.1), exact, 2e-7)
    assert_close(mg.cross_entropy(far, np.array([1]), np.ones(4, dtype), label_smoothing=0.1), exact, 2e-7)


def test_a_class_that_cannot_be_costs_nothing_unless_it_is_the_target():
    logits = np.array([[0.0, -np.inf, 0.0]])
    value, slope = gradients(lambda x: mg.cross_entropy(x, np.array([0])), [logits])
    assert_close(value, np.log(2), 1e-15)
    assert_close(slope, [[-0.5, 0, 0.5]], 1e-15)
    assert mg.cross_entropy(logits, np.array([1])) == np.inf


# ------------------------------------------------------------------------------------------- losses of two arrays


@pytest.mark.oracle
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name, options", [
    ("mse_loss", {}), ("l1_loss", {}), ("huber_loss", {}), ("huber_loss", {"delta": 0.3}), ("smooth_l1_loss", {}),
    ("smooth_l1_loss", {"beta": 0.3}), ("smooth_l1_loss", {"beta": 0.0}),
])  # fmt: skip
def test_losses_of_two_arrays_equal_torch(rng, name, options, reduction):
    functional = pytest.importorskip("torch").nn.functional
    equals_torch(
        lambda x, t: getattr(mg, name)(x, t, reduction=reduction, **options),
        lambda x, t: getattr(functional, name)(x, t, reduction=reduction, **options),
        rng.standard_normal((B, C)), rng.standard_normal((B, C)),
    )  # fmt: skip


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
@pytest.mark.parametrize("log_target", [False, True])
def test_kl_div_equals_torch(rng, reduction, log_target):
    functional = pytest.importorskip("torch").nn.functional
    target = rng.dirichlet(np.ones(C), B)
    equals_torch(
        lambda x, t: mg.kl_div(x, t, reduction, log_target),
        lambda x, t: functional.kl_div(x, t, reduction=reduction, log_target=log_target),
        rng.standard_normal((B, C)), np.log(target) if log_target else target,
    )  # fmt: skip


def test_kl_div_equals_scipy(rng):
    scipy_special = pytest.importorskip("scipy.special")
    p, q = rng.dirichlet(np.ones(5), 3), rng.dirichlet(np.ones(5), 3)
    p[0, :2] = 0
    assert_close(mg.kl_div(np.log(q), p, "sum"), scipy_special.rel_entr(p, q).sum(), 1e-13)
    with np.errstate(divide="ignore"):
        assert_close(mg.kl_div(np.log(q), np.log(p), "sum", log_target=True), scipy_special.rel_entr(p, q).sum(), 1e-13)
    for order in (1, 2):
        assert all(np.isfinite(d).all() for d in gradients(lambda x, t: mg.kl_div(x, t, "sum"), [np.log(q), p], order=order))


@pytest.mark.oracle
@pytest.mark.parametrize("reduction, weighed, positive", list(itertools.product(REDUCTIONS, (False, True), (False, True))))
def test_binary_cross_entropy_equals_torch(rng, reduction, weighed, positive):
    torch = pytest.importorskip("torch")
    weight, pos_weight = rng.random((B, 1)) if weighed else None, rng.uniform(0.5, 3, C) if positive else None
    equals_torch(
        lambda x, t: mg.binary_cross_entropy_with_logits(x, t, weight, pos_weight, reduction),
        lambda x, t: torch.nn.functional.binary_cross_entropy_with_logits(
            x, t, None if weight is None else torch.tensor(weight), pos_weight=None if pos_weight is None else torch.tensor(pos_weight),
            reduction=reduction,
        ),
        rng.standard_normal((B, C)), rng.random((B, C)),
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_cross_entropy_keeps_the_digits_of_sure_and_wrong_answers(dtype):
    logits, target = np.array([-1000.0, -30.0, 30.0, 1000.0, -30.0, 1000.0], dtype), np.array([0, 0, 1, 1, 1, 0], dtype)
    with np.errstate(all="raise", under="ignore"):
        losses, slope, _ = gradients(lambda x, t: mg.binary_cross_entropy_with_logits(x, t, reduction="none"), [logits, target])
    tail = np.exp(np.array(-30.0))
    np.testing.assert_allclose(losses, [0, tail, tail, 0, 30, 1000], rtol=1e-6)
    np.testing.assert_allclose(slope, [0, tail, -tail, 0, -1, 1], rtol=1e-6, atol=3e-8 if dtype == np.float32 else 1e-16)


def test_huber_is_finite_far_away_and_bends_once(rng):
    value, slope, _ = gradients(lambda x, t: mg.huber_loss(x, t, "none", delta=2.0), [np.array([1e200, -np.inf, 1.0]), np.zeros(3)])
    assert value.tolist() == [2e200, np.inf, 0.5] and slope.tolist() == [2, -2, 1]
    same(lambda x: mg.huber_loss(x, np.zeros(9), delta=0.3) / 0.3, lambda x: mg.smooth_l1_loss(x, np.zeros(9), beta=0.3),
         rng.standard_normal(9), order=2)  # fmt: skip


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "kl_div", "binary_cross_entropy_with_logits"])
@pytest.mark.parametrize("shapes", [((3, 1), (3,)), ((3,), (3, 1)), ((3,), ()), ((2, 3), (3,))])
def test_shapes_that_merely_broadcast_are_an_error(name, shapes):
    x, target = Tensor(np.ones(shapes[0]), requires_grad=True), np.ones(shapes[1])
    with pytest.raises(ShapeError, match=f"{name}: prediction and target must have the same shape. They would broadcast to"):
        getattr(mg, name)(x, target)


def test_differences_of_small_integers_do_not_wrap_around():
    x, target = np.array([3, 200], np.uint8), np.array([5, 100], np.uint8)
    assert mg.mse_loss(x, target, "none").tolist() == [4, 1e4] and mg.l1_loss(x, target, "none").tolist() == [2, 100]
    assert mg.huber_loss(x, target, "none").tolist() == mg.smooth_l1_loss(x, target, "none").tolist() == [1.5, 99.5]
    assert_close(mg.pairwise_distance(x, target, 1, eps=0), 102, 0)
    assert mg.mse_loss(x, target).dtype == np.float32 and mg.mse_loss(x, target.astype(float)).dtype == np.float64
    assert_close(mg.batch_norm(x[:, None], eps=0)[:, 0], [-1, 1], 1e-6)
    assert_close(mg.softmin(np.array([1, 0], np.uint8)), mg.softmax(np.array([0.0, 1.0])), 1e-6)


# ------------------------------------------------------------------------------------------------- normalizations


@pytest.mark.oracle
@pytest.mark.parametrize("axes", [(-1,), (-2, -1), (0, 1, 2)])
def test_layer_norm_equals_torch(rng, axes):
    functional = pytest.importorskip("torch").nn.functional
    x = rng.standard_normal((B, T, C))
    shape = x.shape[-len(axes) :]
    equals_torch(
        lambda x, w, b: mg.layer_norm(x, w, b, 1e-3, axis=axes if len(axes) > 1 else axes[0]),
        lambda x, w, b: functional.layer_norm(x, shape, w, b, 1e-3),
        x, rng.standard_normal(shape), rng.standard_normal(shape),
    )  # fmt: skip


def test_layer_norm_of_one_axis_is_the_same_by_any_name_of_it(rng):
    x, w, b = rng.standard_normal((2, 3, 4)), rng.standard_normal(4), rng.standard_normal(4)
    for order in (1, 2):
        same(mg.layer_norm, lambda x, w, b: mg.layer_norm(x, gamma=w, beta=b, dim=(2,)), x, w, b, order=order)
        same(lambda x: mg.layer_norm(x, axis=1), lambda x: mg.layer_norm(x.swapaxes(1, 2)).swapaxes(1, 2), x, order=order)


@pytest.mark.parametrize("function", [
    mg.layer_norm, mg.rms_norm, lambda x, w: mg.batch_norm(x, None, None, w), lambda x, w: mg.group_norm(x, 1, w),
], ids=["layer", "rms", "batch", "group"])  # fmt: skip
@pytest.mark.parametrize("order", [1, 2])
def test_normalizations_square_in_the_dtype_of_their_result(rng, function, order):
    """With a weight in float32 the result is, and 300 squared is more than half precision holds."""
    x, w, g = (300 * rng.standard_normal((5, 4))).astype(np.float16), rng.standard_normal(4).astype(np.float32), rng.standard_normal((5, 4))
    half = gradients(function, [x, w], g.astype(np.float32), order)
    for a, b in zip(half, gradients(function, [x.astype(float), w], g, order), strict=True):
        assert_close(a, b, 2e-3)


@pytest.mark.parametrize("function", [
    mg.layer_norm, lambda x: mg.batch_norm(x.mT).mT, lambda x: mg.group_norm(x, 1), lambda x: mg.layer_norm(x, axis=(0, 1)),
], ids=["layer", "batch", "group", "several axes"])  # fmt: skip
@pytest.mark.parametrize("order", [1, 2])
def test_normalizations_keep_the_digits_of_what_is_far_from_zero(rng, function, order):
    x = rng.integers(-4, 5, (1, 40)) / 8
    g = rng.standard_normal(x.shape)
    far = gradients(function, [(x + 2.0**12).astype(np.float32)], g.astype(np.float32), order)
    for a, b in zip(far, gradients(function, [x], g, order), strict=True):
        assert_close(a, b, 2e-4 if order == 2 else 3e-6)


@pytest.mark.oracle
def test_rms_norm_equals_torch(rng):
    functional = pytest.importorskip("torch").nn.functional
    equals_torch(
        lambda x, w: mg.rms_norm(x, w, 1e-3), lambda x, w: functional.rms_norm(x, (C,), w, 1e-3),
        rng.standard_normal((B, T, C)), rng.standard_normal(C),
    )  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize("shape", [(5, C), (B, C, L), (B, C, L, T)])
def test_batch_norm_equals_torch(rng, shape):
    torch = pytest.importorskip("torch")
    functional, arrays = torch.nn.functional, [rng.standard_normal(shape), rng.standard_normal(C), rng.standard_normal(C)]
    mean, var = rng.standard_normal(C), rng.uniform(0.5, 2, C)
    equals_torch(
        lambda x, w, b: mg.batch_norm(x, None, None, w, b, 1e-3, axis=1),
        lambda x, w, b: functional.batch_norm(x, None, None, w, b, training=True, eps=1e-3), *arrays,
    )  # fmt: skip
    equals_torch(
        lambda x, w, b: mg.batch_norm(x, mean, var, w, b, axis=1),
        lambda x, w, b: functional.batch_norm(x, torch.tensor(mean), torch.tensor(var), w, b), *arrays,
    )  # fmt: skip


def test_batch_norm_of_its_own_statistics_handed_in(rng):
    """What a layer does that keeps running averages: the same gradient, for the statistics are part of the graph."""

    def by_hand(x):
        var, mean = mg.var_mean(x, axis=(0, 1))
        return mg.batch_norm(x, mean, var)

    g = rng.standard_normal((2, 3, 4))
    for order in (1, 2):
        same(lambda x: mg.batch_norm(x) * g, lambda x: by_hand(x) * g, rng.standard_normal((2, 3, 4)), order=order)


@pytest.mark.oracle
@pytest.mark.parametrize("shape", [(5, 6), (B, 6, L), (B, 6, L, T)])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_norm_equals_torch(rng, shape, groups):
    functional = pytest.importorskip("torch").nn.functional
    equals_torch(
        lambda x, w, b: mg.group_norm(x, groups, w, b, 1e-3, axis=1), lambda x, w, b: functional.group_norm(x, groups, w, b, 1e-3),
        rng.standard_normal(shape), rng.standard_normal(6), rng.standard_normal(6),
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------- vectors compared


# ---------------------------------------------------------------------------------------------- gates


@pytest.mark.oracle
@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((4,), (3, 1)), ((2, 1, 4), (3, 4))])
def test_gated_units_equal_torch_to_second_order(rng, shapes):
    functional = pytest.importorskip("torch").nn.functional
    pairs = [(mg.swiglu, functional.silu)]
    for form in "none", "tanh":
        pairs.append((lambda v, g, form=form: mg.geglu(v, g, form), lambda g, form=form: functional.gelu(g, approximate=form)))
    arrays = [rng.standard_normal(shape) for shape in shapes]
    for ours, opened in pairs:
        equals_torch(ours, lambda v, g, opened=opened: v * opened(g), *arrays)
        np.testing.assert_allclose(second(Tensor, ours, arrays), second(torch_leaf, lambda v, g, o=opened: v * o(g), arrays), rtol=1e-10)


def torch_leaf(array, requires_grad):
    torch = pytest.importorskip("torch")
    return torch.tensor(array, requires_grad=requires_grad)


def second(leaf, f, arrays):
    """All gradients of the sum of the squared first gradients, in a row."""
    leaves = [leaf(a, requires_grad=True) for a in arrays]
    grad = mg.autograd.grad if leaf is Tensor else pytest.importorskip("torch").autograd.grad
    found = grad((f(*leaves) ** 2).sum(), leaves, create_graph=True)
    return np.concatenate([np.asarray(d.detach()).ravel() for d in grad(sum((d * d).sum() for d in found), leaves)])


@pytest.mark.oracle
@pytest.mark.parametrize("p", [1, 2, 3, 1.5, np.inf])
@pytest.mark.parametrize("kept", [False, True])
def test_normalize_and_pairwise_distance_equal_torch(rng, p, kept):
    functional = pytest.importorskip("torch").nn.functional
    x, y = rng.standard_normal((B, C, L)), rng.standard_normal((B, C, L))
    equals_torch(lambda x: mg.normalize(x, p, axis=1), lambda x: functional.normalize(x, p, dim=1), x)
    equals_torch(
        lambda x, y: mg.pairwise_distance(x, y, p, keepdim=kept), lambda x, y: functional.pairwise_distance(x, y, p, keepdim=kept), x, y
    )


@pytest.mark.oracle
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_cosine_similarity_equals_torch(rng, axis):
    functional = pytest.importorskip("torch").nn.functional
    equals_torch(
        lambda x, y: mg.cosine_similarity(x, y, axis), lambda x, y: functional.cosine_similarity(x, y, axis),
        rng.standard_normal((B, C, L)), rng.standard_normal((B, C, L)),
    )  # fmt: skip


def test_vectors_of_zeros_have_finite_gradients_of_both_orders():
    x, y = np.zeros((2, 3)), np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    for order in (1, 2):
        for f in (mg.cosine_similarity, lambda x, y: mg.pairwise_distance(x, y, eps=0), lambda x, y: mg.normalize(x) * y):
            assert all(np.isfinite(a).all() for a in gradients(f, [x, y], order=order))
    assert not mg.normalize(x).any() and not mg.cosine_similarity(x, y).any()
    assert mg.cosine_similarity(y[0], 3 * y[0]) == pytest.approx(1.0, abs=1e-15)


# --------------------------------------------------------------------------------------------- softmax, gates, tables


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["softmax", "softmin", "log_softmax"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_family_equals_torch(rng, name, axis):
    functional = pytest.importorskip("torch").nn.functional
    equals_torch(lambda x: getattr(mg, name)(x, axis), lambda x: getattr(functional, name)(x, axis), rng.standard_normal((B, C, L)))


def test_masked_log_softmax_is_the_logarithm_of_masked_softmax(rng):
    x, mask = rng.standard_normal((4, 5)), rng.random((4, 5)) < 0.6
    mask[2], mask[0] = False, [True, False, True, False, True]
    found = mg.log_softmax(x, where=mask)
    with np.errstate(divide="ignore"):
        assert_close(found, np.log(mg.softmax(x, where=mask)), 1e-14)
    read = lambda f: lambda x: mg.where(mask, f(x), 0.0)  # noqa: E731
    chosen = mg.where(mask, x, -np.inf)[:2]
    assert_close(found[:2], mg.log_softmax(chosen), 1e-15)
    for order in (1, 2):
        _, slope = gradients(read(lambda x: mg.log_softmax(x, where=mask)), [x], order=order)
        assert np.isfinite(slope).all() and not slope[~mask].any() and slope[0, 0] != 0
    assert_close(
        gradients(lambda x: mg.log_softmax(x, where=mask), [x], np.ones((4, 5)))[1],
        gradients(read(lambda x: mg.log_softmax(x, where=mask)), [x], np.ones((4, 5)))[1], 1e-15,
    )  # fmt: skip


@pytest.mark.parametrize("f", [mg.softmax, mg.log_softmax, mg.softmin], ids=lambda f: f.__name__)
@pytest.mark.parametrize("order", [1, 2])
def test_masks_work_along_any_axis(rng, f, order):
    x, mask = rng.standard_normal((2, 3, 4)), rng.random((3, 1)) < 0.7
    finite = lambda y: mg.where(mask, y, 0.0)  # noqa: E731
    same(lambda x: finite(f(x, 1, where=mask)), lambda x: finite(f(x.swapaxes(1, 2), where=mask.T).swapaxes(1, 2)), x, order=order)


@pytest.mark.oracle
@pytest.mark.parametrize("axis", [1, -1])
def test_glu_equals_torch(rng, axis):
    functional = pytest.importorskip("torch").nn.functional
    equals_torch(lambda x: mg.glu(x, axis), lambda x: functional.glu(x, axis), rng.standard_normal((B, C, 6)))


@pytest.mark.oracle
@pytest.mark.parametrize("padding", [None, 2, -1])
def test_embedding_equals_torch(rng, padding):
    torch = pytest.importorskip("torch")
    ids = rng.integers(0, 5, (B, T))
    ids[0, :3] = 2, 4, 2
    equals_torch(
        lambda table: mg.embedding(ids, table, padding_idx=padding),
        lambda table: torch.nn.functional.embedding(torch.tensor(ids), table, padding_idx=padding), rng.standard_normal((5, L)),
    )  # fmt: skip


def test_padding_gets_no_gradient_of_any_order(rng):
    ids, table = np.array([0, 1, 1, 2]), rng.standard_normal((4, 3))
    for order in (1, 2):
        _, slope = gradients(lambda w: mg.embedding(ids, w, padding_idx=1) ** 3, [table], order=order)
        assert not slope[1].any() and not slope[3].any() and slope[0].all()


# ----------------------------------------------------------------------------------------------------------- dropout


def test_dropout_without_a_seed_draws_from_the_current_generator():
    x = np.ones(1000)
    with mg.random.using(mg.Generator(5)) as generator:
        first, second = mg.dropout(x), mg.dropout(x)
    assert generator.drawn == 2000
    assert not np.array_equal(first, second)
    assert np.array_equal(first, mg.dropout(x, 0.5, 5, 0)) and np.array_equal(second, mg.dropout(x, 0.5, 5, 1000))
    assert np.array_equal(first, mg.dropout(x, p=0.5, generator=mg.Generator(5)))
    mg.manual_seed(3)
    again = mg.dropout(x)
    mg.manual_seed(3)
    assert np.array_equal(mg.dropout(x), again)


def test_dropout_while_not_training_gives_back_what_it_got():
    x = Tensor(np.ones(4), requires_grad=True)
    with mg.random.using(mg.Generator(5)) as generator:
        assert mg.dropout(x, 0.5, training=False) is x
    assert generator.drawn == 0


def test_the_gradient_of_dropout_is_its_mask():
    out, slope = gradients(lambda x: mg.dropout(x, 0.3, 4), [np.ones(50)])
    assert np.array_equal(out, slope) and 0 < np.count_nonzero(out) < 50


def test_a_forward_computed_again_leaves_out_the_same(rng):
    q = Tensor(rng.standard_normal((2, 3, 4)), requires_grad=True)

    def f(q):
        return mg.scaled_dot_product_attention(mg.dropout(q), q, q, dropout=0.4).sum()

    runs = []
    for forward in (f, mg.checkpoint(f)):
        mg.manual_seed(8)
        q.grad = None
        forward(q).backward()
        runs.append((q.grad.numpy().tobytes(), mg.dropout(np.ones(40)).tobytes()))
    assert runs[0] == runs[1]


# --------------------------------------------------------------------------------------------------------- attention


def heads(rng, *, T=T, S=S, own=h, batch=(B,)):
    return [rng.standard_normal((*batch, *shape)) for shape in ((h, T, 4), (own, S, 4), (own, S, 3))]


def attend(**options):
    return lambda q, k, v: mg.scaled_dot_product_attention(q, k, v, **options)


@pytest.mark.oracle
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("batch", [(B,), (), (2, 1, 3)])
def test_attention_equals_torch(rng, masked, biased, shared, scale, batch):
    torch = pytest.importorskip("torch")
    q, k, v = heads(rng, own=2 if shared else h, batch=batch)
    mask = rng.random((T, S)) < 0.7 if masked else None
    if masked:
        mask[:, 0] = True  # PyTorch's rows with nothing to attend to are another convention
    bias = rng.standard_normal((h, T, S)) if biased else np.zeros((1, 1))
    floating = np.where(np.ones((T, S), bool) if mask is None else mask, 0.0, -np.inf)
    equals_torch(
        lambda q, k, v, b: mg.scaled_dot_product_attention(q, k, v, mask, b if biased else None, scale=scale, enable_gqa=shared),
        lambda q, k, v, b: torch.nn.functional.scaled_dot_product_attention(
            q, k, v, torch.tensor(floating) + b, scale=scale, enable_gqa=shared),
        q, k, v, bias,
    )  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize("lengths", [(5, 7), (7, 5), (5, 5)])
@pytest.mark.parametrize("shared", [False, True])
def test_causal_attention_equals_torch(rng, lengths, shared):
    torch = pytest.importorskip("torch")
    q, k, v = heads(rng, T=lengths[0], S=lengths[1], own=3 if shared else h)
    equals_torch(
        attend(is_causal=True, enable_gqa=shared),
        lambda q, k, v: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=shared), q, k, v,
    )  # fmt: skip


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("order", [1, 2])
def test_the_kernel_of_attention_equals_the_formula_where_both_apply(rng, causal, order):
    arrays = heads(rng)
    kernel = attend(is_causal=causal)
    same(kernel, attend(is_causal=causal, mask=np.ones((T, S), bool)), *arrays, order=order)
    same(kernel, attend(is_causal=causal, bias=np.zeros((1, 1))), *arrays, order=order)
    same(kernel, attend(mask=np.tri(T, S, dtype=bool) if causal else None), *arrays, order=order)
    same(kernel, attend(is_causal=causal, bias=np.where(np.tri(T, S), 0, -np.inf) if causal else None), *arrays, order=order)


@pytest.mark.parametrize("order", [1, 2])
def test_shared_heads_are_heads_repeated(rng, order):
    q, k, v = heads(rng, own=2)
    repeated = lambda q, k, v: attend(is_causal=True)(q, mg.repeat(k, 3, axis=1), mg.repeat(v, 3, axis=1))  # noqa: E731
    same(attend(is_causal=True, enable_gqa=True), repeated, q, k, v, order=order)
    same(attend(enable_gqa=True), attend(), *heads(rng), order=order)  # as many heads: nothing to share


@pytest.mark.parametrize("order", [1, 2])
def test_leading_axes_are_batches(rng, order):
    q, k, v = heads(rng, batch=(2, 3))
    mask, bias = rng.random((2, 1, 1, T, S)) < 0.8, rng.standard_normal((h, T, S))
    apart = lambda q, k, v: mg.stack([attend(mask=mask[i], bias=bias)(q[i], k[i], v[i]) for i in range(2)])  # noqa: E731
    same(attend(mask=mask, bias=bias), apart, q, k, v, order=order)
    one = lambda q, k, v: attend()(q[0, 0, 0], k[0, 0, 0], v[0, 0, 0])  # noqa: E731
    same(one, lambda q, k, v: attend()(q[0], k[0], v[0])[0, 0], q, k, v, order=order)


@pytest.mark.parametrize("order", [1, 2])
def test_dropout_of_attention_leaves_out_weights(rng, order):
    """By hand with the weights in the open: softmax, then `dropout` of the same seed and offset, then the values."""
    mask = rng.random((T, S)) < 0.8

    def by_hand(q, k, v):
        weights = mg.softmax(mg.matmul(q, k.mT) / 2.0, where=mask)
        return mg.matmul(mg.dropout(weights, 0.4, 9, 77), v)

    same(attend(mask=mask, dropout=0.4, seed=9, offset=77), by_hand, *heads(rng), order=order)


def test_dropout_of_attention_is_drawn_from_the_current_generator(rng):
    q, k, v = heads(rng)
    with mg.random.using(mg.Generator(5)) as generator:
        first, second = attend(dropout=0.3)(q, k, v), attend(dropout=0.3)(q, k, v)
    assert generator.drawn == 2 * B * h * T * S and not np.array_equal(first, second)
    assert np.array_equal(first, attend(dropout=0.3, seed=5)(q, k, v))
    assert np.array_equal(attend(dropout=0.0)(q, k, v), attend()(q, k, v))
    with mg.use_kernels("reference"):
        assert_close(attend(dropout=0.3, seed=5)(q, k, v), first, 1e-13)


def test_dropout_of_attention_keeps_the_causal_mask(rng):
    q, k, v = heads(rng)
    later = v.copy()
    later[:, :, 1:] += 5
    for options in ({}, {"dropout": 0.3, "seed": 1}, {"bias": rng.standard_normal((T, S))}, {"mask": np.ones((T, S), bool)}):
        one, two = (attend(is_causal=True, **options)(q, k, x)[:, :, 0] for x in (v, later))
        assert np.array_equal(one, two)


NOTHING = np.ones((T, S), bool)
NOTHING[2] = False


@pytest.mark.parametrize("options", [
    {"mask": NOTHING}, {"mask": NOTHING, "is_causal": True}, {"bias": np.where(NOTHING, 0.0, -np.inf)},
    {"mask": NOTHING, "bias": np.ones((1, S))}, {"mask": NOTHING, "dropout": 0.3, "seed": 2},
], ids=["mask", "causal", "bias", "mask and bias", "dropout"])  # fmt: skip
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("kernels", ["numba", "reference"])
@pytest.mark.parametrize("own, batch", [(h, (B,)), (2, (B,)), (h, ())])
def test_questions_with_nothing_to_attend_to_are_zero_on_every_path(rng, options, order, kernels, own, batch):
    with mg.use_kernels(kernels):
        out, dq, dk, dv = gradients(attend(enable_gqa=own < h, **options), heads(rng, own=own, batch=batch), order=order)
    assert not out[..., 2, :].any() and not dq[..., 2, :].any() and dq[..., 3, :].any()
    assert np.isfinite(dk).all() and np.isfinite(dv).all() and dk.any()


def test_attention_over_leading_axes_that_differ_is_an_error(rng):
    q, k, v = heads(rng, batch=(2, 3))
    with pytest.raises(ShapeError, match="agree in the batch"):
        attend()(q, k.reshape(3, 2, *k.shape[2:]), v)


def test_every_form_of_attention_is_computed_by_the_kernel_in_both_directions(rng, monkeypatch):
    calls = []
    for name in ("attention", "attention_grad"):
        real = getattr(mg.kernels, name)
        monkeypatch.setattr(mg.kernels, name, lambda *a, name=name, real=real, **kw: calls.append(name) or real(*a, **kw))
    for options in (
        {}, {"is_causal": True, "scale": 0.1}, {"mask": np.tri(T, S, dtype=bool)}, {"bias": np.ones((h, 1, S))},
        {"dropout": 0.3}, {"mask": np.tri(T, S, dtype=bool), "bias": np.ones((T, S)), "is_causal": True, "dropout": 0.3},
    ):  # fmt: skip
        for own, batch in ((h, (B,)), (2, (B,)), (h, ()), (h, (2, 1, 3))):
            gradients(attend(enable_gqa=own < h, **options), heads(rng, own=own, batch=batch))
            assert calls == ["attention", "attention_grad"]
            calls.clear()


def test_pytorchs_words_are_understood(rng):
    q, k, v = heads(rng)
    mask = rng.random((T, S)) < 0.9
    assert np.array_equal(attend(attn_mask=mask, dropout_p=0.0)(q, k, v), attend(mask=mask)(q, k, v))
    x = rng.standard_normal((3, 4))
    assert np.array_equal(mg.group_norm(x, num_groups=2), mg.group_norm(x, 2))
    mean, var = rng.standard_normal(4), rng.random(4)
    assert np.array_equal(mg.batch_norm(x, running_mean=mean, running_var=var), mg.batch_norm(x, mean, var))
    assert np.array_equal(mg.cosine_similarity(x1=x, x2=x + 1), mg.cosine_similarity(x, x + 1))
    assert np.array_equal(mg.cross_entropy(x, target=np.array([0, 1, 2])), mg.cross_entropy(x, np.array([0, 1, 2])))


def test_no_option_is_lost_between_the_call_and_the_formula(rng):
    """Each option of the public attention changes the result."""
    q, k, v = heads(rng)
    plain = attend()(q, k, v)
    for options in (
        {"mask": np.tri(T, S, dtype=bool)}, {"bias": np.tri(T, S)}, {"is_causal": True}, {"scale": 0.1}, {"dropout": 0.5, "seed": 1},
    ):  # fmt: skip
        assert not np.allclose(attend(**options)(q, k, v), plain)
    assert set(REGISTRY["scaled_dot_product_attention"].defaults) >= {"is_causal", "scale", "dropout", "enable_gqa", "seed", "offset"}


# ------------------------------------------------------------------------------- the gradient that is made with the loss


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("row", [[-np.inf, -200.0, -201.0], [-np.inf, -87.5, -88.0], [-np.inf, 3.0, 900.0]])
def test_a_target_without_a_chance_costs_infinity_and_the_others_share_the_gradient(row, dtype):
    x = mg.tensor(np.array([row], dtype), requires_grad=True)
    loss = mg.cross_entropy(x, np.array([0]))
    loss.backward()
    others = np.exp(np.array(row[1:]) - max(row))
    assert loss.item() == np.inf
    np.testing.assert_allclose(x.grad.numpy(), [[-1.0, *others / others.sum()]], rtol=1e-6, atol=1e-38)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("factor", [3.0, 1 / 7])
def test_every_walk_through_a_loss_gives_the_same_bits(rng, factor, dtype):
    x = mg.tensor(rng.normal(size=(5, 7)).astype(dtype), requires_grad=True)
    loss = mg.cross_entropy(x, np.arange(5)) * factor
    walks = set()
    for _ in range(3):
        x.grad = None
        loss.backward(retain_graph=True)
        walks.add(x.grad.numpy().tobytes())
    assert len(walks) == 1


def test_a_scaled_loss_saves_gradients_of_float16(rng):
    """Shares of 1 / N would be 0 in float16 before the scale comes."""
    x = rng.normal(size=(512, 300)).astype("float16")
    found, exact = [mg.tensor(x.astype(dtype), requires_grad=True) for dtype in ("float16", "float64")]
    for leaf in (found, exact):
        (mg.cross_entropy(leaf, np.arange(512) % 300) * 4096.0).backward()
    assert (found.grad.numpy() != 0).mean() > 0.999
    # the logarithm of a probability, about 7, is rounded to 2^-8 twice, so the probability by 0.8 %; the logits' exponentials add to that
    np.testing.assert_allclose(found.grad.numpy(), exact.grad.numpy(), rtol=0.02, atol=1e-6)


@pytest.mark.parametrize("given", [np.array(0.3), np.float32(0.3), np.float64(0.3)])
def test_parameters_may_be_arrays_of_one_number(rng, given):
    x = rng.normal(size=(3, 4)).astype("float32")
    calls = [
        lambda s: mg.leaky_relu(np.repeat(x, 9000, axis=0), s), lambda s: mg.cross_entropy(x, np.array([0, 3, 1]), label_smoothing=s),
        lambda s: mg.layer_norm(x, eps=s), lambda s: mg.scaled_dot_product_attention(x, x, x, scale=s),
    ]  # fmt: skip
    for call in calls:
        np.testing.assert_allclose(call(given), call(0.3), rtol=1e-6)

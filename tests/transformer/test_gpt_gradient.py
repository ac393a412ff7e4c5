"""The gradient of the whole language model: every parameter, against finite differences and against PyTorch."""

import numpy as np
import pytest

import minigrad as mg
from tests.helpers import assert_close
from transformer.models import LanguageModel, LanguageModelConfig

B, T, V, L, E, h, F = 2, 5, 9, 7, 6, 3, 10
RNG = np.random.default_rng(21)
IDS, TARGETS = RNG.integers(0, V, (B, T)), RNG.integers(0, V, (B, T))

kernels = pytest.mark.parametrize("kernels", ["numba", "reference"])
variants = pytest.mark.parametrize("tied, activation, dropout", [
    (True, "gelu_tanh", 0.0), (False, "gelu", 0.0), (True, "gelu_tanh", 0.3), (False, "tanh", 0.0),
])  # fmt: skip


def gpt(tied=True, activation="gelu_tanh", dropout=0.0, dtype="float64"):
    """A model whose weights are so large that every part of it matters."""
    with mg.use_default_dtype(dtype):
        config = LanguageModelConfig(V, L, tied, layers=2, heads=h, width=E, feed_forward=F, dropout=dropout, activation=activation)
        model = LanguageModel(config)
    rng = np.random.default_rng(22)
    for p in model.parameters():
        p.assign(p.numpy() + 0.4 * rng.standard_normal(p.shape))
    return model


def loss_of(model, state):
    """The loss in training mode; the generator starts from ``state``, so that dropout is the same in every evaluation."""
    model.generator.set_state(state)
    return mg.cross_entropy(model(IDS, training=True), TARGETS)


def gradients(model):
    model.zero_grad()
    loss_of(model, model.generator.state()).backward()
    return {path: p.grad.numpy() for path, p in model.named_parameters().items()}


def slope(model, p, direction, state):
    """The derivative of the loss along a direction of one parameter: central differences at two steps, extrapolated."""
    middle, quotients = p.numpy(), []
    with mg.no_grad():
        for step in (1e-3, 5e-4):
            ends = [(p.assign(middle + sign * step * direction), loss_of(model, state).item())[1] for sign in (1, -1)]
            quotients.append((ends[0] - ends[1]) / (2 * step))
    p.assign(middle)
    return (4 * quotients[1] - quotients[0]) / 3


@kernels
@variants
def test_every_parameter_against_finite_differences(kernels, tied, activation, dropout):
    """Along random directions through all numbers of a parameter at once: any wrong number in it shows."""
    with mg.use_kernels(kernels):
        model = gpt(tied, activation, dropout)
        state = model.generator.state()
        rng = np.random.default_rng(23)
        for path, g in gradients(model).items():
            p = model.named_parameters()[path]
            for _ in range(2):
                direction = rng.standard_normal(p.shape)
                assert_close((g * direction).sum(), slope(model, p, direction, state), 1e-8, path)


@pytest.mark.slow
@kernels
def test_every_single_number_against_finite_differences(kernels):
    with mg.use_kernels(kernels):
        model = gpt()
        state = model.generator.state()
        for path, g in gradients(model).items():
            p = model.named_parameters()[path]
            numeric = np.zeros(p.shape)
            for place in np.ndindex(p.shape):
                direction = np.zeros(p.shape)
                direction[place] = 1
                numeric[place] = slope(model, p, direction, state)
            assert_close(g, numeric, 1e-8, path)


@variants
def test_every_parameter_has_a_gradient_that_is_not_zero(tied, activation, dropout):
    """But for the bias of the keys: it moves all scores of a question alike, and softmax does not see that."""
    for path, g in gradients(gpt(tied, activation, dropout)).items():
        if path.endswith("key_bias"):
            assert np.abs(g).max() < 1e-15
        elif path == "positions.position_embeddings":
            assert g[:T].any(axis=1).all() and not g[T:].any()
        elif path == "embedding.embeddings" and not tied:
            assert set(np.flatnonzero(g.any(axis=1))) == set(IDS.ravel())
        else:
            assert np.abs(g).min() > 0 or dropout, path


@kernels
@variants
def test_float32_is_float64_but_for_rounding(kernels, tied, activation, dropout):
    with mg.use_kernels(kernels):
        single, double = gradients(gpt(tied, activation, dropout, "float32")), gradients(gpt(tied, activation, dropout))
    for path, g in single.items():
        assert g.dtype == np.float32
        assert_close(g, double[path], 1e-5, path)


@variants
def test_numba_and_reference_agree(tied, activation, dropout):
    found = []
    for name in ("numba", "reference"):
        with mg.use_kernels(name):
            found.append(gradients(gpt(tied, activation, dropout)))
    for path in found[0]:
        assert_close(found[0][path], found[1][path], 1e-13, path)


def test_the_gradient_with_a_graph_is_the_same():
    """Through the composites of every fused op at once."""
    model = gpt()
    parameters = model.parameters()
    loss = loss_of(model, model.generator.state())
    for a, b in zip(mg.autograd.grad(loss, parameters, create_graph=True), gradients(model).values()):
        assert_close(a.numpy(), b, 1e-13)


def test_hessian_vector_product_against_differences_of_gradients():
    model = gpt()
    parameters = model.parameters()
    rng = np.random.default_rng(24)
    directions = [rng.standard_normal(p.shape) for p in parameters]
    first = mg.autograd.grad(loss_of(model, model.generator.state()), parameters, create_graph=True)
    along = sum((g * d).sum() for g, d in zip(first, directions))
    second = [g.numpy() for g in mg.autograd.grad(along, parameters)]
    middle, ends = [p.numpy() for p in parameters], []
    for step in (1e-4, -1e-4):
        for p, m, d in zip(parameters, middle, directions):
            p.assign(m + step * d)
        ends.append(list(gradients(model).values()))
    for path, product, above, below in zip(model.named_parameters(), second, *ends):
        assert_close(product, (above - below) / 2e-4, 1e-5, path)


# ------------------------------------------------------------------------------------------------------------ PyTorch


def torch_loss(model, weights):
    """The same model in PyTorch's functions, from the same weights by name; written from the paper, not from our code."""
    import torch
    from torch.nn import functional

    config = model.config
    get = lambda path: weights[path]  # noqa: E731
    ids, targets = torch.tensor(IDS), torch.tensor(TARGETS)
    x = functional.embedding(ids, get("embedding.embeddings")) + get("positions.position_embeddings")[:T]
    activation = {
        "gelu_tanh": lambda a: functional.gelu(a, approximate="tanh"), "gelu": functional.gelu, "tanh": torch.tanh
    }[config.activation]  # fmt: skip
    for n in range(config.layers):
        block = f"blocks.{n}"

        def norm(x, which, block=block):
            path = f"{block}.{which}.normalization"
            return functional.layer_norm(x, (E,), get(f"{path}.gamma"), get(f"{path}.beta"), config.epsilon)

        y = norm(x, "after_attention")
        q, k, v = (
            torch.einsum("bte,ehd->bhtd", y, get(f"{block}.attention.{name}_kernel"))
            + get(f"{block}.attention.{name}_bias")[:, None, :]
            for name in ("query", "key", "value")
        )
        heads = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + torch.einsum("bhtd,hde->bte", heads, get(f"{block}.attention.output_kernel")) + get(f"{block}.attention.output_bias")
        y = norm(x, "after_feed_forward")
        y = activation(y @ get(f"{block}.feed_forward.wide.kernel") + get(f"{block}.feed_forward.wide.bias"))
        x = x + y @ get(f"{block}.feed_forward.narrow.kernel") + get(f"{block}.feed_forward.narrow.bias")
    x = functional.layer_norm(x, (E,), get("normalization.gamma"), get("normalization.beta"), config.epsilon)
    logits = x @ (get("embedding.embeddings").T if config.tied else get("head.kernel"))
    return functional.cross_entropy(logits.reshape(-1, V), targets.reshape(-1))


@pytest.mark.oracle
@kernels
@pytest.mark.parametrize("tied, activation", [(True, "gelu_tanh"), (False, "gelu"), (False, "tanh")])
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-13), ("float32", 5e-6)])
def test_every_parameter_against_pytorch(kernels, tied, activation, dtype, tolerance):
    import torch

    with mg.use_kernels(kernels):
        model = gpt(tied, activation, dtype=dtype)
        loss = loss_of(model, model.generator.state()).item()
        ours = gradients(model)
    weights = {path: torch.tensor(p.numpy(), requires_grad=True) for path, p in model.named_parameters().items()}
    theirs = torch_loss(model, weights)
    theirs.backward()
    assert abs(loss - theirs.item()) < tolerance
    for path, g in ours.items():
        assert_close(g, weights[path].grad.numpy(), tolerance, path)

"""The whole language model beside PyTorch: the same weights and batch, the loss and the gradient of every parameter."""

import numpy as np
import pytest

import minigrad as mg
from bench import gpt, gpt_minigrad

pytestmark = pytest.mark.oracle


def gradients_of_torch(size, ids, targets):
    torch = pytest.importorskip("torch")
    from bench import gpt_torch
    model = gpt_torch.build(size).double()
    logits = model(torch.from_numpy(ids))
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets).flatten())
    loss.backward()
    return loss.item(), {name: (p.grad.T if name.endswith("kernel") else p.grad).numpy()
                         for name, p in model.named().items()}


@pytest.mark.parametrize("kernels", ["numba", "reference"])
def test_loss_and_every_gradient_equal_pytorch(kernels):
    size = {"layers": 2, "heads": 3, "width": 12, "block": 7, "batch": 5, "vocabulary": 11}
    ids, targets = gpt.batches(size)[0]
    expected_loss, expected = gradients_of_torch(size, ids, targets)
    model, named = gpt_minigrad.build(size)
    with mg.use_kernels(kernels):
        loss = mg.cross_entropy(model(ids, training=True), targets)
        loss.backward()
    assert loss.item() == pytest.approx(expected_loss, rel=1e-6)
    assert set(named) == set(expected)
    for name, parameter in named.items():
        theirs = expected[name].reshape(parameter.shape)  # (E, h dq) -> (E, h, dq): heads are an axis of their own here
        difference = np.abs(parameter.grad.numpy() - theirs).max()
        assert difference <= 2e-6 * max(1e-2, np.abs(theirs).max()), (name, difference, np.abs(theirs).max())

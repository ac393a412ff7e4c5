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


@pytest.mark.filterwarnings("ignore:matmul_precision:RuntimeWarning")  # of CPUs without the instruction: the numbers are the same
def test_the_gradient_error_of_bfloat16_is_no_larger_than_that_of_autocast():
    """Over all gradients of a step of size S together, relative in the 2-norm, each beside float32 in its own library."""
    torch = pytest.importorskip("torch")
    from bench import gpt_torch
    ids, targets = gpt.batches(gpt.SIZES["S"])[0]

    def ours(precision):
        model, named = gpt_minigrad.build(gpt.SIZES["S"])
        with mg.matmul_precision(precision):
            mg.cross_entropy(model(ids, training=True), targets).backward()
        return [p.grad.numpy() for p in named.values()]

    def theirs(reduced):
        model = gpt_torch.build(gpt.SIZES["S"])
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            loss = torch.nn.functional.cross_entropy(model(torch.from_numpy(ids)).flatten(0, 1), torch.from_numpy(targets).flatten())
        loss.backward()
        return [p.grad.numpy() for p in model.named().values()]

    def error(found, exact):
        joined = [np.concatenate([g.ravel() for g in gradients]) for gradients in (found, exact)]
        return np.linalg.norm(joined[0] - joined[1]) / np.linalg.norm(joined[1])

    bfloat16, autocast = error(ours("bfloat16"), ours("float32")), error(theirs(True), theirs(False))
    assert 1e-4 < bfloat16 <= autocast < 2e-2, (bfloat16, autocast)

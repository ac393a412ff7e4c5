"""One thread pool in the process: nothing in a training step calls NumPy's matrix products, which would wake BLAS's."""

import ast
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from transformer.models import LanguageModel, LanguageModelConfig

ROOT = Path(mg.__file__).parent


@pytest.mark.skipif(mg.settings.kernels() != "numba", reason="the reference kernels are NumPy's")
def test_a_training_step_reaches_no_product_of_numpy(monkeypatch):
    model = LanguageModel(LanguageModelConfig(vocab_size=11, block_size=8, layers=2, heads=2, width=8, dropout=0.1))
    optimiser = mg.optim.AdamW(model.parameters(), global_clipnorm=1.0)
    ids = np.arange(18).reshape(2, 9) % 11

    def forbidden(*args, **kwargs):
        raise AssertionError("a product of NumPy's was called")

    for name in ("matmul", "dot", "vdot", "inner", "einsum", "tensordot"):
        monkeypatch.setattr(np, name, forbidden)
    before = model.state_dict()
    mg.cross_entropy(model(ids[:, :-1], training=True), ids[:, 1:]).backward()
    optimiser.step()
    assert all(not np.array_equal(before[name], after) for name, after in model.state_dict().items())
    with pytest.raises(AssertionError, match="NumPy's was called"), mg.use_kernels("reference"):
        model(ids[:, :-1])


SOURCES = sorted([*ROOT.glob("*.py"), *ROOT.glob("ops/*.py"), *ROOT.glob("kernels/*.py")])


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(ROOT)) for path in SOURCES])
def test_no_at_sign_multiplies(path):
    """On plain arrays ``@`` is NumPy's product: rules and kernels call op functions instead."""
    assert not [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(getattr(node, "op", None), ast.MatMult)]

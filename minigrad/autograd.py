"""PyTorch's spelling: ``minigrad.autograd.grad(outputs, inputs, create_graph=...)``."""

from .derivatives import gradients as grad

__all__ = ["grad"]

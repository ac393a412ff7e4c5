"""einops on Tensors: its functions to import from here, and once this is imported `import einops` knows Tensors too.

>>> from minigrad import tensor
>>> from minigrad.einops import rearrange, reduce
>>> x = tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
>>> rearrange(x, "row column -> (column row)").tolist()
[1.0, 3.0, 2.0, 4.0]
>>> reduce(x, "row column -> row", "mean").backward([1.0, 10.0])
>>> x.grad.tolist()
[[0.5, 0.5], [5.0, 5.0]]
"""

try:
    from einops import einsum, pack, parse_shape, rearrange, reduce, repeat, unpack
    from einops._backends import AbstractBackend
except ImportError as error:
    raise ImportError("minigrad.einops: needs the package einops (pip install einops).") from error

from . import ops
from .core import wrap
from .creation import arange, asarray
from .tensor import Tensor

__all__ = ["einsum", "pack", "parse_shape", "rearrange", "reduce", "repeat", "unpack"]


class TensorBackend(AbstractBackend):
    """What einops asks of a kind of array, in minigrad's ops; einops finds this class by itself."""

    framework_name = "minigrad"

    def is_appropriate_type(self, tensor):
        return isinstance(tensor, Tensor)

    def from_numpy(self, x):
        return wrap(x)

    def to_numpy(self, x):
        return x.numpy()

    def arange(self, start, stop):
        return arange(start, stop)

    def stack_on_zeroth_dimension(self, tensors):
        return ops.stack([asarray(t) for t in tensors])  # [(...), (...)] -> (2, ...)

    def add_axis(self, x, new_position):
        return ops.expand_dims(x, new_position)

    def tile(self, x, repeats):
        return ops.broadcast_to(x, tuple(n * r for n, r in zip(x.shape, repeats)))  # einops repeats axes of length 1 only

    def concat(self, tensors, axis):
        return ops.concatenate(tensors, axis)

    def is_float_type(self, x):
        return x.dtype.kind == "f"

    def einsum(self, pattern, *x):
        return ops.einsum(pattern, *x)

"""What a product does to a block of its result before the block leaves the cache.

Each of these kernels takes the block ``c`` (m, n) and a second one, ``other``, in an array of the same layout: ``apart``
numbers from row to row.
"""

from minigrad.kernels.activation import normal_gelu, tanh_gelu
from minigrad.kernels.compile import floats, kernel
from minigrad.kernels.simd import row


@kernel
def multiply_block(c: floats, other: floats, apart: int, m: int, n: int):
    """c = c * other."""
    for i in range(m):
        ci, oi = row(c, i * apart, n), row(other, i * apart, n)
        for j in range(n):
            ci[j] *= oi[j]


@kernel
def gelu_block(c: floats, other: floats, apart: int, m: int, n: int):
    """c = gelu(c), other = gelu'(c)."""
    for i in range(m):
        ci, oi = row(c, i * apart, n), row(other, i * apart, n)
        for j in range(n):
            ci[j], oi[j] = normal_gelu(ci[j])


@kernel
def gelu_tanh_block(c: floats, other: floats, apart: int, m: int, n: int):
    """c = gelu(c), other = gelu'(c), in the tanh form."""
    for i in range(m):
        ci, oi = row(c, i * apart, n), row(other, i * apart, n)
        for j in range(n):
            ci[j], oi[j] = tanh_gelu(ci[j])

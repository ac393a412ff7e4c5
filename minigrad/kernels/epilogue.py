"""What a product does to a block of its result before the block leaves the cache.

Each of these kernels takes the block ``c`` (m, n) and a second one, ``other``, in an array of the same layout: ``apart``
numbers from row to row.
"""

import functools

from minigrad.kernels.activation import with_derivative
from minigrad.kernels.compile import floats, kernel
from minigrad.kernels.simd import row


@kernel
def multiply_block(c: floats, other: floats, apart: int, m: int, n: int):
    """c = c * other."""
    for i in range(m):
        ci, oi = row(c, i * apart, n), row(other, i * apart, n)
        for j in range(n):
            ci[j] *= oi[j]


@functools.cache
def function_block(f):
    """c = f(c), other = f'(c), for function number f of `activation`."""

    @kernel
    def block(c: floats, other: floats, apart: int, m: int, n: int):
        for i in range(m):
            ci, oi = row(c, i * apart, n), row(other, i * apart, n)
            for j in range(n):
                ci[j], oi[j] = with_derivative(f, ci[j])

    return block

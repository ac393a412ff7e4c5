"""Dense layers: x W + b along the last axis, or along any axes, and the softmax that often follows."""

import math

import numpy as np

import minigrad as mg
from minigrad.core import values
from minigrad.dense import get_activation
from minigrad.errors import ShapeError, received
from minigrad.initializers import get_initializer


class EinsumDense(mg.Layer):
    """activation(einsum(equation, x, kernel) + bias): a dense layer along any axes.   (..., in) -> (..., out)

    In the equation, as in ``"btd,dhk->bthk"``, letters of the input and of the result that the kernel has too are what is summed
    over and what is new. ``output_shape`` are the lengths of the result's axes without the first, None where the input tells;
    ``bias_axes`` are the letters of the result along which there is a bias, in the order of the result.
    Learnable: the product of the lengths of the kernel's letters, and of those of ``bias_axes``. Non-learnable: 0.
    Raises ValueError for an equation that is no such product, ShapeError for an input that it does not fit.

    >>> EinsumDense("bte,ehd->bthd", output_shape=(None, 2, 3), bias_axes="hd")(np.zeros((1, 4, 6), np.float32)).shape
    (1, 4, 2, 3)
    """

    def __init__(self, equation, output_shape, activation=None, bias_axes=None, kernel_initializer="glorot_uniform",
                 bias_initializer="zeros", **keras):  # fmt: skip
        super().__init__(**keras)
        self.equation, self.bias_axes = equation.replace(" ", ""), bias_axes
        self.output_shape = tuple(output_shape) if isinstance(output_shape, list | tuple) else (output_shape,)
        self.activation = get_activation(activation, "EinsumDense")
        self.kernel_initializer = get_initializer(kernel_initializer, "EinsumDense", "kernel_initializer")
        self.bias_initializer = get_initializer(bias_initializer, "EinsumDense", "bias_initializer")
        left, arrow, self._out = self.equation.partition("->")
        self._in, comma, self._kernel = left.partition(",")
        named = self._out.replace("...", "")
        good = arrow and comma and self._kernel.isalpha() and "," not in self._kernel and set(self._kernel) <= set(self._in + self._out)
        if not good or ("..." in self._in) != ("..." in self._out) or not set(bias_axes or "") <= set(named):
            raise ValueError(
                'EinsumDense: the equation is that of an input and a kernel, as in "btd,de->bte", with letters of the result as '
                f"bias_axes. Received: {equation!r}, bias_axes {bias_axes!r}."
            )

    def build(self, input_shape):
        lengths = self._lengths(input_shape)
        axes = [lengths.get(letter) for letter in self._kernel]
        if None in axes:
            raise ShapeError(
                f"EinsumDense: the length of {self._kernel[axes.index(None)]!r} in {self.equation!r} is not known; "
                "say it in output_shape. " + received(input_shape=tuple(input_shape), output_shape=self.output_shape)
            )
        # drawn as the matrix that it stands for: what goes in by what comes out
        fan_in = math.prod(n for n, letter in zip(axes, self._kernel) if letter in self._in)
        fan_out = math.prod(axes) // max(1, fan_in)
        order = sorted(range(len(axes)), key=lambda i: self._kernel[i] not in self._in)  # in.. out..
        drawn = self.kernel_initializer((fan_in, fan_out)).reshape([axes[i] for i in order])
        self.kernel = mg.Parameter(np.transpose(drawn, np.argsort(order)))
        self.bias = None
        if self.bias_axes:
            first = min(map(self._out.index, self.bias_axes))
            # along the letters of bias_axes, 1 for those between and after them
            shape = [lengths[letter] if letter in self.bias_axes else 1 for letter in self._out[first:].replace(".", "")]
            self.bias = mg.Parameter(self.bias_initializer(tuple(shape)))

    def _lengths(self, input_shape):
        """The length behind every letter, as far as input and ``output_shape`` tell."""
        lengths = {}
        named = len(self._in.replace("...", ""))
        if len(input_shape) < named or ("..." not in self._in and len(input_shape) > named):
            raise ShapeError(
                f"EinsumDense: x needs the axes {self._in!r} of {self.equation!r}. " + received(input_shape=tuple(input_shape))
            )
        before, _, after = self._in.partition("...")
        lengths.update(zip(before, input_shape))
        lengths.update(zip(after[::-1], tuple(input_shape)[::-1]))
        out = self._out.partition("...")
        new = zip(out[2][::-1] or out[0][::-1], self.output_shape[::-1])  # from the end: the first axes are the input's
        lengths.update({letter: n for letter, n in new if n is not None})
        return lengths

    def call(self, x):
        y = mg.einsum(self.equation, x, self.kernel)
        return self.activation(y if self.bias is None else y + self.bias)


class Softmax(mg.Layer):
    """exp(x) / sum(exp(x)) along an axis, or over several together: what adds up to 1.   (..., n) -> (..., n)

    Learnable: 0. Non-learnable: 0. ``mask``, boolean and broadcastable to x, is True where a value may be used; the others get exactly
    0, a row of others only is zeros. Raises DtypeError and ShapeError for another mask.

    >>> Softmax()(np.log(np.array([1.0, 3.0]))).tolist()
    [0.25, 0.75]
    """

    masks_steps = False  # ``mask`` has the axes of x

    def __init__(self, axis=-1, **keras):
        super().__init__(**keras)
        self.axis = axis

    def call(self, x, mask=None):
        if not isinstance(self.axis, list | tuple):
            return mg.softmax(x, self.axis, where=mask)
        axes = tuple(a % x.ndim for a in self.axis)
        rest = tuple(i for i in range(x.ndim) if i not in axes)
        order = (*rest, *axes)
        rows = (*[x.shape[i] for i in rest], math.prod(x.shape[i] for i in axes))
        if mask is not None:
            mask = np.broadcast_to(values(mask), x.shape).transpose(order).reshape(rows)
        moved = mg.permute(x, order)  # (rest.., axes..)
        y = mg.softmax(mg.reshape(moved, rows), where=mask)  # (rest.., all of the axes)
        return mg.permute(mg.reshape(y, moved.shape), tuple(int(i) for i in np.argsort(order)))

"""Dense layers: x W + b along the last axis, or along any axes, and the softmax that often follows."""

import math

import numpy as np

import minigrad as mg
from minigrad.core import values
from minigrad.dense import get_activation
from minigrad.errors import ShapeError, received
from minigrad.initializers import get_initializer
from minigrad.layer import as_input, check_axis, check_size
from minigrad.ops.axes import axes_of


class EinsumDense(mg.Layer):
    """activation(einsum(equation, x, kernel) + bias): a dense layer along any axes.   (..., in) -> (..., out)

    In the equation, as in ``"btd,dhk->bthk"``, letters of the input and of the result that the kernel has too are what is summed
    over and what is new. ``output_shape`` are the lengths of the result's axes without the first, and without those of ``...``, None
    where the input tells; ``bias_axes`` are the letters of the result along which there is a bias, in the order of the result.
    Learnable: the product of the lengths of the kernel's letters, and of those of ``bias_axes``. Non-learnable: 0.
    Raises ValueError for an equation that is no such product, ShapeError for an input that it does not fit.

    >>> EinsumDense("bte,ehd->bthd", output_shape=(None, 2, 3), bias_axes="hd")(np.zeros((1, 4, 6), np.float32)).shape
    (1, 4, 2, 3)
    """

    def __init__(self, equation, output_shape, activation=None, bias_axes=None, kernel_initializer="glorot_uniform",
                 bias_initializer="zeros", **keras):  # fmt: skip
        super().__init__(**keras)
        self.equation, self.bias_axes = str(equation).replace(" ", ""), bias_axes
        sizes = output_shape if isinstance(output_shape, list | tuple) else (output_shape,)
        self.output_shape = tuple(None if n is None else check_size("EinsumDense", output_shape=n) for n in sizes)
        self.activation = get_activation(activation, "EinsumDense")
        self.kernel_initializer = get_initializer(kernel_initializer, "EinsumDense", "kernel_initializer")
        self.bias_initializer = get_initializer(bias_initializer, "EinsumDense", "bias_initializer")
        left, arrow, self._out = self.equation.partition("->")
        self._in, comma, self._kernel = left.partition(",")
        named = self._out.replace("...", "")
        good = arrow and comma and self._kernel.isalpha() and set(self._kernel) <= set(self._in + self._out)
        good = good and set(named) <= set(self._in + self._kernel) and set(bias_axes or "") <= set(named)
        if not good or ("..." in self._in) != ("..." in self._out):
            raise ValueError(
                'EinsumDense: the equation is that of an input and a kernel, as in "btd,de->bte", with letters of the result as '
                f"bias_axes. Received: {equation!r}, bias_axes {bias_axes!r}."
            )
        self._new = named if self._out.startswith("...") else named[1:]  # the letters that output_shape is about
        if len(self.output_shape) != len(self._new):
            raise ValueError(
                f"EinsumDense: output_shape has a length or None for each of the axes {self._new!r} of {self.equation!r}. "
                f"Received: {self.output_shape}."
            )

    def build(self, input_shape):
        lengths = self._lengths(input_shape)
        self._ndim = len(input_shape)
        # what the weights were made for: einsum and + would take an axis of 1 for any length
        self._built_for = {letter: lengths[letter] for letter in self._kernel + "".join(self.bias_axes or "")}
        unknown = [letter for letter, n in self._built_for.items() if n is None]
        if unknown:
            raise ShapeError(
                f"EinsumDense: the length of {unknown[0]!r} in {self.equation!r} is not known; say it in output_shape. "
                + received(input_shape=tuple(input_shape), output_shape=self.output_shape)
            )
        axes = [lengths[letter] for letter in self._kernel]
        # drawn as the matrix that it stands for: what is summed over by what the result has
        fan_in = math.prod(n for n, letter in zip(axes, self._kernel) if letter not in self._out)
        order = sorted(range(len(axes)), key=lambda i: self._kernel[i] in self._out)  # in.. out..
        drawn = self.kernel_initializer((fan_in, math.prod(axes) // max(1, fan_in))).reshape([axes[i] for i in order])
        self.kernel = mg.Parameter(np.transpose(drawn, np.argsort(order)))
        self.bias = None
        if self.bias_axes:
            first = min(map(self._out.index, self.bias_axes))
            others = "." * (len(input_shape) - len(self._in.replace("...", "")))  # what ... stands for, a dot for each
            # along the letters of bias_axes, 1 for the axes between and after them
            shape = [lengths[a] if a in self.bias_axes else 1 for a in self._out[first:].replace("...", others)]
            self.bias = mg.Parameter(self.bias_initializer(tuple(shape)))

    def _lengths(self, input_shape):
        """The length behind every letter, None where neither input nor ``output_shape`` tells it."""
        named = len(self._in.replace("...", ""))
        if len(input_shape) < named or ("..." not in self._in and len(input_shape) > named):
            raise ShapeError(
                f"EinsumDense: x needs the axes {self._in!r} of {self.equation!r}. " + received(input_shape=tuple(input_shape))
            )
        before, _, after = self._in.partition("...")
        lengths = dict.fromkeys(self._kernel + self._out)
        lengths.update(zip(before, input_shape))
        lengths.update(zip(after[::-1], tuple(input_shape)[::-1]))
        for letter, n in zip(self._new, self.output_shape):
            if n is not None and lengths[letter] not in (None, n):
                raise ShapeError(
                    f"EinsumDense: the length of {letter!r} in {self.equation!r} is {lengths[letter]} in the input and {n} in the result. "
                    + received(input_shape=tuple(input_shape), output_shape=self.output_shape)
                )
            lengths[letter] = n if lengths[letter] is None else lengths[letter]
        return lengths

    def compute_output_shape(self, input_shape):
        """The lengths of the letters behind the arrow."""
        lengths, before = self._lengths(input_shape), self._in.partition("...")[0]
        others = tuple(input_shape)[len(before) : len(before) + len(input_shape) - len(self._in.replace("...", ""))]
        first, dots, last = self._out.partition("...")
        return (*[lengths[a] for a in first], *(others if dots else ()), *[lengths[a] for a in last])

    def call(self, x):
        x = as_input(x)
        if x.ndim != self._ndim:
            raise ShapeError(f"EinsumDense: x needs {self._ndim} axes, with as many the layer was built. " + received(x=x))
        lengths = self._lengths(x.shape)
        for letter, n in self._built_for.items():
            if lengths[letter] != n:
                raise ShapeError(
                    f"EinsumDense: the layer was built for the length {n} of {letter!r} in {self.equation!r}, not {lengths[letter]}. "
                    + received(x=x)
                )
        y = mg.einsum(self.equation, x, self.kernel)
        return self.activation(y if self.bias is None else y + self.bias)


class Softmax(mg.Layer):
    """exp(x) / sum(exp(x)) along an axis, or over several together: what adds up to 1.   (..., n) -> (..., n)

    Learnable: 0. Non-learnable: 0. ``mask``, boolean and broadcastable to x, is True where a value may be used; the others get exactly
    0, a row of others only is zeros. Raises DtypeError and ShapeError for another mask.

    >>> Softmax()(np.log(np.array([1.0, 3.0]))).tolist()
    [0.25, 0.75]
    """

    keeps_shape = True
    masks_steps = False  # ``mask`` has the axes of x

    def __init__(self, axis=-1, **keras):
        super().__init__(**keras)
        self.axis = check_axis("Softmax", axis)

    def call(self, x, mask=None):
        x = as_input(x)
        if not isinstance(self.axis, list | tuple):
            return mg.softmax(x, self.axis, where=mask)
        axes = axes_of("Softmax", x, self.axis)
        rest = tuple(i for i in range(x.ndim) if i not in axes)
        order = (*rest, *axes)
        rows = (*[x.shape[i] for i in rest], math.prod(x.shape[i] for i in axes))
        if mask is not None:
            mask = mg.broadcast_to(np.asarray(values(mask)), x.shape).transpose(order).reshape(rows)  # (rest.., all of the axes)
        moved = mg.permute(x, order)  # (rest.., axes..)
        y = mg.softmax(mg.reshape(moved, rows), where=mask)  # (rest.., all of the axes)
        return mg.permute(mg.reshape(y, moved.shape), tuple(int(i) for i in np.argsort(order)))

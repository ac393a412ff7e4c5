"""Layers enough for toy models: Dense, and Sequential, which puts layers one after the other."""

import functools

import numpy as np

from . import ops
from .initializers import get_initializer
from .layer import Layer, Parameter, check_size, width_of
from .ops.fused import feed_forward, linear_gelu, linear_plus


def linear(x):
    """x itself, the activation that is none.   (...) -> (...)

    >>> linear(3.0)
    3.0
    """
    return x


# functions with a name, so that a layer can be pickled
ACTIVATIONS = {
    None: linear, "linear": linear, "relu": ops.relu, "tanh": ops.tanh, "sigmoid": ops.sigmoid,
    "gelu": ops.gelu, "gelu_tanh": functools.partial(ops.gelu, approximate="tanh"), "silu": ops.silu, "swish": ops.silu,
    "softmax": ops.softmax, "log_softmax": ops.log_softmax, "softplus": ops.softplus, "softsign": ops.softsign, "elu": ops.elu,
    "selu": ops.selu, "celu": ops.celu, "mish": ops.mish, "relu6": ops.relu6, "exponential": ops.exp,
    "leaky_relu": functools.partial(ops.leaky_relu, negative_slope=0.2),  # Keras's slope; that of the function is PyTorch's
    "hard_sigmoid": ops.hardsigmoid, "hard_tanh": ops.hardtanh, "hard_silu": ops.hardswish, "hard_swish": ops.hardswish,
    "hard_shrink": ops.hardshrink, "soft_shrink": ops.softshrink, "log_sigmoid": ops.logsigmoid, "tanh_shrink": ops.tanhshrink,
}  # fmt: skip


def get_activation(name, who, what="activation"):
    """The function called ``name``, or ``name`` itself if it is a function; ValueError with the list otherwise.

    >>> float(get_activation("relu", "Dense")(-2.0))
    0.0
    """
    if callable(name):
        return name
    if not isinstance(name, str | None) or name not in ACTIVATIONS:
        raise ValueError(f"{who}: {what} is a function or one of {', '.join(map(str, ACTIVATIONS))}. Received: {name!r}.")
    return ACTIVATIONS[name]


def _form_of_gelu(activation):
    """The argument ``approximate`` of a GELU, which can be computed together with a product; None for other activations."""
    if activation is ops.gelu:
        return "none"
    if type(activation) is functools.partial and activation.func is ops.gelu and not activation.args:
        return activation.keywords.get("approximate", "none")
    return None


class Dense(Layer):
    """activation(x kernel + bias) for every row of x.   (..., E) -> (..., units)

    Learnable: E units + units (without bias: E units). Non-learnable: 0. Weights as in Keras: kernel (E, units), bias (units).
    A ``residual`` (..., units) is added to the result; without an activation that is a part of the product.

    >>> import numpy as np
    >>> Dense(3)(np.ones((2, 5), np.float32)).shape
    (2, 3)
    """

    def __init__(self, units, activation=None, use_bias=True, kernel_initializer="glorot_uniform", bias_initializer="zeros", **keras):
        super().__init__(**keras)
        self.units, self.use_bias = check_size("Dense", units=units), use_bias
        self.activation = get_activation(activation, "Dense")
        self.kernel_initializer = get_initializer(kernel_initializer, "Dense", "kernel_initializer")
        self.bias_initializer = get_initializer(bias_initializer, "Dense", "bias_initializer")

    def build(self, input_shape):
        self.kernel = Parameter(self.kernel_initializer((width_of("Dense", input_shape), self.units)))  # (E, units)
        self.bias = Parameter(self.bias_initializer((self.units,))) if self.use_bias else None

    def compute_output_shape(self, input_shape):
        """(..., E) -> (..., units)"""
        return (*input_shape[:-1], self.units)

    def call(self, x, residual=None):
        if residual is not None:
            return self._added(x, residual)
        form = _form_of_gelu(self.activation)
        if form is not None:
            return linear_gelu(x, self.kernel, self.bias, form)
        return self.activation(ops.linear(x, self.kernel, self.bias))  # (..., E)(E, units) -> (..., units)

    def _added(self, x, residual):
        """residual + the result.   (..., E), (..., units) -> (..., units)"""
        if self.activation is linear and np.shape(residual) == self.compute_output_shape(np.shape(x)):
            return linear_plus(x, self.kernel, residual, self.bias)
        return residual + self.call(x)


def two_in_one(wide, narrow, x, residual=None):
    """narrow(wide(x)) + residual as one recorded op; None unless they are a Dense with GELU and one without activation.

    (..., E) -> (..., F) -> (..., E)
    """
    plain = all([type(layer) is Dense and layer.built and "call" not in vars(layer) for layer in (wide, narrow)])
    form = _form_of_gelu(wide.activation) if plain and narrow.activation is linear else None
    lead = np.shape(x)[:-1]
    if form is None or not (residual is None or np.shape(residual) == (*lead, narrow.units)):
        return None
    for layer in (wide, narrow):
        layer.note_shape((*lead, layer.units))
    return feed_forward(x, wide.kernel, narrow.kernel, wide.bias, narrow.bias, residual, form)


class Sequential(Layer):
    """Layers one after the other.   (...) -> (...)

    Learnable and non-learnable: the sums over the layers. The mask that a layer computes, as `Embedding` does with
    ``mask_zero``, goes to the layers after it that take one.

    >>> import numpy as np
    >>> Sequential([Dense(4, "relu"), Dense(1)])(np.ones((2, 3), np.float32)).shape
    (2, 1)
    """

    _builds_once = False  # every layer does, and there may be more of them the next time

    def __init__(self, *layers, name=None):
        super().__init__(name=name)
        one_list = len(layers) == 1 and isinstance(layers[0], list | tuple)
        self.layers = []
        for layer in layers[0] if one_list else layers:
            self.add(layer)

    def add(self, layer):
        """Put one more layer at the end."""
        if not isinstance(layer, Layer):
            raise TypeError(f"Sequential: takes layers, in a list or one by one. Received: {layer!r:.60}.")
        self.layers.append(layer)

    def build(self, input_shape):
        """Build every layer that is not built yet, each for the shape of what the one before it gives.

        Raises LayerError, from the layer, where only a call tells that shape.

        >>> Sequential([Dense(4), Dense(1)]).ensure_built((None, 3)).count_params()
        21
        """
        for number, layer in enumerate(self.layers):
            input_shape = self.layers[number - 1].compute_output_shape(input_shape) if number else input_shape
            layer.ensure_built(input_shape)

    def compute_output_shape(self, input_shape):
        """That of the last layer."""
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return tuple(input_shape)

    def call(self, x, mask=None, training=False):
        for layer in self._flat():
            masked = {"mask": mask} if mask is not None and layer.masks_steps and "mask" in layer._takes else {}
            x, mask = layer(x, training=training, **masked), layer.compute_mask(x, mask)
        return x

    def _flat(self):
        """The layers in order, those of a Sequential inside in its place: their masks depend on what they are given, not on its input."""
        for layer in self.layers:
            yield from layer._flat() if type(layer) is Sequential else [layer]

    def compute_mask(self, inputs, mask=None):
        """The mask behind the last layer, for layers whose mask depends on the first one's input alone."""
        for layer in self.layers:
            mask = layer.compute_mask(inputs, mask)
        return mask

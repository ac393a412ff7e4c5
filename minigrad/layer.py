"""Parameter, Buffer and Layer: which numbers gradient descent may change.

Three facts, kept apart. *Learnable*: a `Parameter`, a number that gradient descent changes. *Non-learnable*: a `Buffer`,
part of the layer's state that only its own layer changes. Both are types, nothing turns one into the other. *Frozen*: a
learnable number that is currently not being learned; a switch.
"""

import inspect
import math

import numpy as np

from . import ops, random, settings
from .core import as_array
from .errors import GradientError, LayerError, ShapeError, received
from .tensor import Tensor


class Parameter(Tensor):
    """A learnable number array: gradient descent changes it, unless it is frozen.   (...) -> (...)

    >>> p = Parameter([1.0, 2.0])
    >>> p.frozen = True
    >>> p.requires_grad
    False
    """

    __slots__ = ()

    def __init__(self, data, dtype=None):
        super().__init__(data, requires_grad=True, dtype=dtype)

    @property
    def frozen(self):
        """Whether this learnable parameter is currently not being learned."""
        return not self._requires_grad

    @frozen.setter
    def frozen(self, flag):
        self._requires_grad = not flag


class Buffer(Tensor):
    """A non-learnable number array: state that only its own layer changes, through `assign`.   (...) -> (...)

    Raises GradientError when asked to require a gradient: nothing makes a Buffer learnable.

    >>> Buffer([0.0]).assign([5.0]).tolist()
    [5.0]
    """

    __slots__ = ()

    def __init__(self, data, dtype=None):
        super().__init__(data, dtype=dtype)

    @property
    def requires_grad(self):
        """Always False."""
        return False

    @requires_grad.setter
    def requires_grad(self, flag):
        if flag:
            raise GradientError(
                "requires_grad: a Buffer is not learnable, and nothing makes it so; a number that gradient descent may change is a "
                "Parameter. " + received(buffer=self)
            )

    def assign(self, value):
        """New values, as a plain array: a recorded tensor would keep its graph alive."""
        if isinstance(value, Tensor):
            if value._node is not None:
                raise GradientError(
                    f"assign: a Buffer takes plain values, not the result of {value._node.op.name}; statistics never hold a graph. "
                    "Use .detach()."
                )
        return super().assign(value)


class Layer:
    """A part of a model: parameters and buffers as attributes, ``call`` as its formula.

    Write ``__init__`` and ``call(self, x, training=False)``; ``build(self, input_shape)`` runs once, before the first call,
    and makes what depends on the input's shape. What is found in attributes, lists, tuples and dicts, in the order of
    definition, belongs to the layer; something found twice counts once.

    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.gamma = Parameter(np.ones(input_shape[-1]), dtype="float32")
    ...     def call(self, x):
    ...         return x * self.gamma
    >>> layer = Scale()
    >>> layer(np.ones((2, 3), np.float32)).shape, list(layer.named_parameters())
    ((2, 3), ['gamma'])
    """

    _takes_training = True

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._takes_training = "training" in inspect.signature(cls.call).parameters

    def __setattr__(self, name, value):
        if isinstance(value, Tensor) and not isinstance(value, Parameter | Buffer):
            if isinstance(self.__dict__.get(name), Parameter | Buffer):
                raise LayerError(
                    f"{type(self).__name__}.{name}: is a {type(getattr(self, name)).__name__}, and would leave the layer if a plain tensor "
                    f"took its place; change its values with {name}.assign(...)."
                )
            if value.is_leaf and value._requires_grad:
                raise LayerError(
                    f"{type(self).__name__}.{name}: a plain tensor that requires a gradient does not belong to the layer; make it a "
                    "Parameter. " + received(**{name: value})
                )
        super().__setattr__(name, value)

    def __repr__(self):
        if not self.built:
            return f"<{type(self).__name__}, not built>"
        try:
            learnable, fixed = (sum(t.size for t in ts) for ts in (self.parameters(), self.buffers()))
        except LayerError:
            return f"<{type(self).__name__}, not built>"
        return f"<{type(self).__name__}: {learnable:,} learnable, {fixed:,} non-learnable>"

    @property
    def built(self):
        """Whether `build` has run; a layer without one is always built."""
        return type(self).build is Layer.build or self.__dict__.get("_built", False)

    def build(self, input_shape):
        """Make what depends on the shape of the input. Runs once."""

    def call(self, *inputs, training=False):
        """The layer's formula."""
        raise NotImplementedError(f"{type(self).__name__}: write call(self, x, training=False).")

    def __call__(self, *inputs, training=False, **named):
        if not self.built:
            if not inputs or not np.shape(inputs[0]):
                raise ShapeError(f"{type(self).__name__}: the first call needs an input with axes. " + received(inputs=inputs))
            self.ensure_built(np.shape(inputs[0]))
        if self._takes_training:
            named["training"] = training
        return self.call(*inputs, **named)

    def ensure_built(self, input_shape):
        """Run `build` if it has not run yet; returns the layer."""
        if not self.built:
            self.build(tuple(input_shape))
            self._built = True
        return self

    # -------------------------------------------------------------------------------------------- what belongs to it

    def named_tensors(self):
        """Every Parameter and Buffer by its path, in the order of definition; tied ones once, under their first path.

        Raises LayerError where a layer inside is not built yet, and where two arrays have one path.
        """
        found, seen = {}, set()
        for path, tensor in _walk(self, ""):
            if id(tensor) not in seen:
                if path in found:
                    raise LayerError(f"{type(self).__name__}: two arrays have the path {path}; give one of them another name in its dict.")
                seen.add(id(tensor))
                found[path] = tensor
        return found

    def named_parameters(self):
        """The learnable arrays by path; freezing does not change this."""
        return {path: t for path, t in self.named_tensors().items() if isinstance(t, Parameter)}

    def named_buffers(self):
        """The non-learnable arrays by path."""
        return {path: t for path, t in self.named_tensors().items() if isinstance(t, Buffer)}

    def parameters(self):
        """The learnable arrays."""
        return list(self.named_parameters().values())

    def buffers(self):
        """The non-learnable arrays."""
        return list(self.named_buffers().values())

    @property
    def weights(self):
        """Everything, as Keras orders it: what is trainable, then what is not."""
        return self.trainable_weights + self.non_trainable_weights

    @property
    def trainable_weights(self):
        """Keras's word for parameters that are not frozen."""
        return [p for p in self.parameters() if not p.frozen]

    @property
    def non_trainable_weights(self):
        """Keras's word for frozen parameters and buffers."""
        return [t for t in self.named_tensors().values() if isinstance(t, Buffer) or t.frozen]

    def count_params(self):
        """How many numbers, learnable and not."""
        return sum(t.size for t in self.named_tensors().values())

    def tied(self):
        """For every array that has more than one path: first path -> the other paths."""
        paths = {}
        for path, tensor in _walk(self, ""):
            paths.setdefault(id(tensor), []).append(path)
        return {first: rest for first, *rest in paths.values() if rest}

    # ------------------------------------------------------------------------------------------------------ changes

    def freeze(self):
        """Stop learning every parameter; types, buffers and mode stay as they are."""
        for p in self.parameters():
            p.frozen = True

    def unfreeze(self):
        """Go on learning every parameter."""
        for p in self.parameters():
            p.frozen = False

    @property
    def trainable(self):
        """False where every parameter is frozen; setting it is `freeze` or `unfreeze`."""
        return not all(p.frozen for p in self.parameters())

    @trainable.setter
    def trainable(self, flag):
        (self.unfreeze if flag else self.freeze)()

    def zero_grad(self):
        """Forget the gradients."""
        for p in self.parameters():
            p.grad = None

    def state_dict(self):
        """Every array by path, as read-only views."""
        return {path: tensor.numpy() for path, tensor in self.named_tensors().items()}

    def load_state_dict(self, state):
        """Take every array from ``state``; raises LayerError naming what is missing, unknown or of another shape."""
        tensors = self.named_tensors()
        missing, unknown = [p for p in tensors if p not in state], [p for p in state if p not in tensors]
        if missing or unknown:
            raise LayerError(
                f"load_state_dict: {type(self).__name__} and the state do not match. Missing: {missing or 'nothing'}. "
                f"Unknown: {unknown or 'nothing'}."
            )
        wrong = [f"{p} needs {t.shape}, got {np.shape(state[p])}" for p, t in tensors.items() if t.shape != np.shape(state[p])]
        if wrong:
            raise LayerError(f"load_state_dict: shapes differ: {'; '.join(wrong)}.")
        arrays = [as_array(state[path]) for path in tensors]  # what is no array raises before anything has changed
        for tensor, array in zip(tensors.values(), arrays):
            tensor.assign(array)

    def get_weights(self):
        """Copies of all arrays in Keras's order."""
        return [np.array(t.numpy()) for t in self.weights]

    def set_weights(self, arrays):
        """Take all arrays in Keras's order; raises LayerError on another number or shape."""
        weights = self.weights
        if len(arrays) != len(weights):
            raise LayerError(f"set_weights: {type(self).__name__} has {len(weights)} arrays. Received: {len(arrays)}.")
        for number, (tensor, array) in enumerate(zip(weights, arrays)):
            if tensor.shape != np.shape(array):
                raise ShapeError(f"set_weights: array {number} must have shape {tensor.shape}. Received: {np.shape(array)}.")
        for tensor, array in zip(weights, arrays):
            tensor.assign(array)


def _walk(item, path, above=()):
    """Every (path, Parameter or Buffer) in an attribute, depth first, in the order of definition; ``above`` are the layers around it."""
    if isinstance(item, Parameter | Buffer):
        yield path, item
    elif isinstance(item, Layer) and not any(item is layer for layer in above):  # a layer may know the one it is part of
        if not item.built:
            raise LayerError(
                f"{path or 'this layer'}: {type(item).__name__} has no parameters yet, they depend on the shape of its input. Call it "
                "once, or build it: layer.ensure_built(input_shape)."
            )
        for name, value in vars(item).items():
            yield from _walk(value, f"{path}.{name}" if path else name, (*above, item))
    elif isinstance(item, list | tuple):
        for number, value in enumerate(item):
            yield from _walk(value, f"{path}.{number}", above)
    elif isinstance(item, dict):
        for name, value in item.items():
            yield from _walk(value, f"{path}.{name}", above)


# ------------------------------------------------------------------------------------------------------ initializers


def glorot_uniform(shape, fan_in=None, fan_out=None):
    """Uniform in +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010); fans default to the first and last axis.   -> shape

    >>> glorot_uniform((2, 3)).shape
    (2, 3)
    """
    limit = math.sqrt(6 / ((fan_in or shape[0]) + (fan_out or shape[-1])))
    return random.current().uniform(shape, -limit, limit).astype(settings.default_dtype())


def normal(shape, std=0.02):
    """Normal with mean 0.   -> shape

    >>> normal((2, 3)).dtype
    dtype('float32')
    """
    return random.current().normal(shape, 0.0, std).astype(settings.default_dtype())


def zeros(shape):
    """Zeros.   -> shape

    >>> zeros((2,)).tolist()
    [0.0, 0.0]
    """
    return np.zeros(shape, settings.default_dtype())


def ones(shape):
    """Ones.   -> shape

    >>> ones((2,)).tolist()
    [1.0, 1.0]
    """
    return np.ones(shape, settings.default_dtype())


# ------------------------------------------------------------------------------------------------------ small layers


def _linear(x):
    return x


def _gelu_tanh(x):
    return ops.gelu(x, "tanh")


# functions with a name, so that a layer can be pickled
ACTIVATIONS = {
    None: _linear,
    "linear": _linear,
    "relu": ops.relu,
    "tanh": ops.tanh,
    "sigmoid": ops.sigmoid,
    "gelu": ops.gelu,
    "gelu_tanh": _gelu_tanh,
    "softmax": ops.softmax,
}


def get_activation(name, who):
    """The function called ``name``, or ``name`` itself if it is a function; ValueError with the list otherwise."""
    if callable(name):
        return name
    if name not in ACTIVATIONS:
        raise ValueError(f"{who}: activation is a function or one of {', '.join(map(str, ACTIVATIONS))}. Received: {name!r}.")
    return ACTIVATIONS[name]


class Dense(Layer):
    """activation(x kernel + bias) for every row of x.   (..., E) -> (..., units)

    Learnable: E units + units (without bias: E units). Non-learnable: 0. Weights as in Keras: kernel (E, units), bias (units).

    >>> Dense(3)(np.ones((2, 5), np.float32)).shape
    (2, 3)
    """

    def __init__(self, units, activation=None, use_bias=True, kernel_initializer=glorot_uniform):
        if not isinstance(units, int) or units < 1:
            raise ValueError(f"Dense: units is a whole number from 1. Received: {units!r}.")
        self.units, self.use_bias, self.kernel_initializer = units, use_bias, kernel_initializer
        self.activation = get_activation(activation, "Dense")

    def build(self, input_shape):
        self.kernel = Parameter(self.kernel_initializer((input_shape[-1], self.units)))  # (E, units)
        self.bias = Parameter(zeros((self.units,))) if self.use_bias else None

    def call(self, x):
        return self.activation(ops.linear(x, self.kernel, self.bias))  # (..., E)(E, units) -> (..., units)


class Sequential(Layer):
    """Layers one after the other.   (...) -> (...)

    Learnable and non-learnable: the sums over the layers.

    >>> Sequential([Dense(4, "relu"), Dense(1)])(np.ones((2, 3), np.float32)).shape
    (2, 1)
    """

    def __init__(self, *layers):
        one_list = len(layers) == 1 and isinstance(layers[0], list | tuple)
        self.layers = list(layers[0] if one_list else layers)
        for layer in self.layers:
            if not isinstance(layer, Layer):
                raise TypeError(f"Sequential: takes layers, in a list or one by one. Received: {layer!r:.60}.")

    def call(self, x, training=False):
        for layer in self.layers:
            x = layer(x, training=training)
        return x


def constant(x):
    """``x`` as a plain array, for statistics, which never hold a graph."""
    return x._data if isinstance(x, Tensor) else as_array(x)

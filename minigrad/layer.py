"""Parameter, Buffer and Layer: which numbers gradient descent may change.

Three facts, kept apart. *Learnable*: a `Parameter`, a number that gradient descent changes. *Non-learnable*: a `Buffer`,
part of the layer's state that only its own layer changes. Both are types, nothing turns one into the other. *Frozen*: a
learnable number that is currently not being learned; a switch.
"""

import functools
import inspect

import numpy as np

from . import random
from .core import as_array
from .errors import GradientError, LayerError, MinigradError, ShapeError, received
from .initializers import get_initializer
from .summary import show, summary
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

    def assign(self, value, copy=True):
        """New values, as a plain array: a recorded tensor would keep its graph alive."""
        if isinstance(value, Tensor):
            if value._node is not None:
                raise GradientError(
                    f"assign: a Buffer takes plain values, not the result of {value._node.op.name}; statistics never hold a graph. "
                    "Use .detach()."
                )
        return super().assign(value, copy)


# What Keras's constructors take and these do not, with what to do instead.
_NOT_OFFERED = {
    "regularizer": "weight decay is the optimiser's: AdamW(weight_decay=...)",
    "constraint": "bring the values back with assign() after a step",
    "dtype": "the layer takes the default dtype at its building: minigrad.use_default_dtype",
    "trainable": "build the layer, then freeze() it",
    "flash_attention": "attention without a matrix of scores is the rule here, not an option",
    "use_gate": "multiply the result by mg.sigmoid(Dense(E)(query))",
    "attention_axes": "attention goes along the axis before the last; reshape the input so that it is there",
    "renorm": "the layer has the formulas of the notes only",
    "synchronized": "there is one process",
    "stateful": "take return_state=True and hand the state in as initial_state",
    "lora": "freeze() the layer and add two Dense layers of your own",
    "quantization": "weights are float32 or float64",
    "gptq": "weights are float32 or float64",
    "autocast": "nothing is cast; floats promote as in NumPy, minigrad.use_default_dtype says what weights are",
    "input_": "the shape is known at the first call, or from ensure_built(input_shape)",
}


_count = [0]  # of attributes that were set


def settings_of_attributes():
    """A number that is another one after an attribute of any layer has been set."""
    return _count[0]


class Layer:
    """A part of a model: parameters and buffers as attributes, ``call`` as its formula.

    Write ``__init__`` and ``call(self, x, training=False)``; ``build(self, input_shape)`` runs once, before the first call,
    and makes what depends on the input's shape. A build that takes several shapes gets those of the arguments it names, as Keras's
    do: ``build(self, query_shape, value_shape)``. What is found in attributes, lists, tuples and dicts, in the order of
    definition, belongs to the layer; something found twice counts once.
    Raises LayerError for an option of Keras that is not offered. An error from inside a model names the layer by its path.

    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.gamma = self.add_weight(input_shape[-1:], "ones")
    ...     def call(self, x):
    ...         return x * self.gamma
    >>> layer = Scale()
    >>> layer(np.ones((2, 3), np.float32)).shape, list(layer.named_parameters())
    ((2, 3), ['gamma'])
    """

    name = None  # a word of the user's for the summary
    buffers_updated_by = "nothing"  # what changes the layer's buffers, for the summary
    keeps_shape = False  # whether the result always has the shape of the first input
    masks_steps = True  # whether the ``mask`` of `call` says which steps are real, (B, T), as what `Sequential` hands on
    _takes: frozenset[str] = frozenset()  # which of training, mask and residual, which is added to the result, `call` takes
    _build_takes = ("input_shape",)  # the names of the shapes that `build` takes
    _waits = False  # whether there is something to build, by `_once`

    def __init__(self, *, name=None, **options):
        self.name = name
        for option, value in options.items():
            what = next((what for what in _NOT_OFFERED if what in option), None)
            if what is None:
                raise TypeError(f"{type(self).__name__}: no argument called {option!r}. It takes {inspect.signature(type(self))}.")
            if value not in (None, option in ("trainable", "autocast")):  # what is the rule in Keras too
                raise LayerError(f"{type(self).__name__}: {option} is not offered; {_NOT_OFFERED[what]}. " + received(**{option: value}))

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._takes = frozenset(inspect.signature(cls.call).parameters) & {"training", "mask", "residual"}
        if "build" in cls.__dict__:
            cls._build_takes = tuple(inspect.signature(cls.build).parameters)[1:]
            cls._waits = cls.__dict__.get("_builds_once", True)
            cls.build = _once(cls.build) if cls._waits else cls.build

    def __setattr__(self, name, value):
        for kind in (Parameter, Buffer):
            if isinstance(self.__dict__.get(name), kind) and not isinstance(value, kind | None):
                raise LayerError(
                    f"{type(self).__name__}.{name}: is a {kind.__name__}, and would leave the layer if something else took its place; "
                    f"change its values with {name}.assign(...), or take it out first: del layer.{name}. " + received(**{name: value})
                )
        if _is_loose(value):
            raise LayerError(f"{type(self).__name__}.{name}: {_LOOSE} " + received(**{name: value}))
        super().__setattr__(name, value)
        _count[0] += 1

    def __repr__(self):
        try:
            learnable, fixed = (sum(t.size for t in ts) for ts in (self.parameters(), self.buffers()))
        except LayerError:
            return f"<{type(self).__name__}, not built>"
        return f"<{type(self).__name__}: {learnable:,} learnable, {fixed:,} non-learnable>"

    @property
    def built(self):
        """Whether `build` has run; a layer without one, or with one that may run at any time, is always built."""
        return not self._waits or self.__dict__.get("_built", False)

    def build(self, input_shape):
        """Make what depends on the shape of the input. Runs once."""

    def call(self, *inputs, training=False):
        """The layer's formula."""
        raise NotImplementedError(f"{type(self).__name__}: write call(self, x, training=False).")

    def compute_mask(self, inputs, mask=None):
        """Which steps of the result are real, where ``mask`` (B, T) says it of the input: the same ones. `Sequential` hands it on."""
        return mask

    def compute_output_shape(self, *input_shapes):
        """The shape of the result for inputs of these shapes, whose lengths may be None: not known yet.

        Raises LayerError for a layer of which only a call tells it.

        >>> class Doubled(Layer):
        ...     keeps_shape = True
        ...     def call(self, x):
        ...         return 2 * x
        >>> Doubled().compute_output_shape((None, 3))
        (None, 3)
        """
        if not self.keeps_shape:
            raise LayerError(
                f"compute_output_shape: of {type(self).__name__} only a call tells the shape of the result; call the model once on an "
                "example batch, or give the layer a compute_output_shape(self, input_shape)."
            )
        return tuple(input_shapes[0])

    def __call__(self, *inputs, training=False, **named):
        try:
            if not self.built:
                self.build(*self._shapes_to_build(inputs, named))
            if "training" in self._takes:
                named["training"] = training
            out = self.call(*inputs, **named)
        except (MinigradError, ValueError, TypeError, IndexError) as error:
            _locate(error, self)
            raise
        self.note_shape(out._data.shape if type(out) is Tensor else _output_shape(out))
        return out

    def note_shape(self, shape):
        """Remember the shape of what the layer gave, for the summary."""
        self.__dict__["_output_shape"] = shape

    def _shapes_to_build(self, inputs, named):
        """The shapes that `build` takes: of the arguments it names, or of the first one that `call` names."""
        given = inspect.signature(self.call).bind_partial(*inputs, **named).arguments
        if len(self._build_takes) > 1:
            return [_shape_of(given.get(name.removesuffix("_shape"))) for name in self._build_takes]
        shape = _shape_of(next(iter((*inputs, *given.values())), None))
        if not shape:
            raise ShapeError(f"{type(self).__name__}: the first call needs an input with axes. " + received(inputs=inputs))
        return [shape]

    def ensure_built(self, *input_shapes):
        """Run `build` if it has not run yet; returns the layer. Raises LayerError where that leaves a layer inside without its shape."""
        self.build(*map(tuple, input_shapes))
        for path, layer in self.named_layers().items():
            if not layer.built:
                raise LayerError(
                    f"ensure_built: {type(self).__name__} does not build {path}, whose input only a call tells; call the model once on an "
                    "example batch, or give it a build(self, input_shape). " + received(input_shape=input_shapes)
                )
        return self

    def add_weight(self, shape=(), initializer="glorot_uniform", trainable=True, name=None):
        """A new Parameter, or a Buffer where it is not ``trainable``, to be kept as an attribute, whose name is its name.   -> shape

        >>> Layer().add_weight((2,), "zeros", trainable=False).tolist()
        [0.0, 0.0]
        """
        start = get_initializer(initializer, type(self).__name__, "initializer")
        return (Parameter if trainable else Buffer)(start(tuple(shape)))

    # -------------------------------------------------------------------------------------------- what belongs to it

    def _parts(self):
        """Every layer, array and generator inside with its path, from the layer itself on; several times where it has several paths."""
        return _walk(self, "")

    def named_tensors(self):
        """Every Parameter and Buffer by its path, in the order of definition; tied ones once, under their first path.

        Raises LayerError where a layer inside is not built yet, and where two arrays have one path.
        """
        found, seen = {}, set()
        for path, tensor in self._paths():
            if id(tensor) not in seen:
                if path in found:
                    raise LayerError(f"{type(self).__name__}: two arrays have the path {path}; give one of them another name in its dict.")
                seen.add(id(tensor))
                found[path] = tensor
        return found

    def _paths(self):
        """Every path to a Parameter or Buffer, also several to one."""
        for path, part in self._parts():
            if _is_loose(part):  # in a list, where nobody sees it come
                raise LayerError(f"{path}: {_LOOSE} " + received(tensor=part))
            if isinstance(part, Tensor):
                yield path, part
            elif isinstance(part, Layer) and not part.built:
                raise LayerError(
                    f"{path or 'this layer'}: {type(part).__name__} has no parameters yet, they depend on the shape of its input. Call "
                    "the model once on an example batch, or build that layer, or a Sequential around it: ensure_built(input_shape)."
                )

    def named_layers(self):
        """Every layer inside by its path, in the order of definition, from the layer itself, whose path is empty; each once.

        >>> class Two(Layer):
        ...     def __init__(self):
        ...         self.parts = [Layer(), Layer()]
        >>> list(Two().named_layers())
        ['', 'parts.0', 'parts.1']
        """
        paths = {}
        for path, part in self._parts():
            if isinstance(part, Layer):
                paths.setdefault(id(part), (path, part))
        return dict(paths.values())

    def generators(self):
        """The random generators that layers inside draw from, each once: with the arrays, all that a training step depends on."""
        return list({id(part): part for _, part in self._parts() if isinstance(part, random.Generator)}.values())

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
        """Everything, as Keras orders it: layer by layer, in each the parameters, then the buffers; freezing changes nothing."""
        layers = list(self.named_layers())  # a layer stands before those inside it

        def place(path):
            return max(number for number, layer in enumerate(layers) if not layer or path.startswith(layer + "."))

        tensors = self.named_tensors()
        return [tensors[path] for path in sorted(tensors, key=lambda path: (place(path), isinstance(tensors[path], Buffer)))]

    @property
    def trainable_weights(self):
        """Keras's word for parameters that are not frozen."""
        return [t for t in self.weights if isinstance(t, Parameter) and not t.frozen]

    @property
    def non_trainable_weights(self):
        """Keras's word for frozen parameters and buffers."""
        return [t for t in self.weights if isinstance(t, Buffer) or t.frozen]

    def count_params(self):
        """How many numbers, learnable and not."""
        return sum(t.size for t in self.named_tensors().values())

    def summary(self, arrays=False, inputs=None):
        """Print the parameter table that `minigrad.summary` makes; in colours on a terminal where rich is installed."""
        show(summary(self, arrays, inputs))

    def tied(self):
        """For every array that has more than one path: first path -> the other paths."""
        paths = {}
        for path, tensor in self._paths():
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
        """False where there are parameters and every one is frozen; setting it is `freeze` or `unfreeze`."""
        parameters = self.parameters()
        return not parameters or not all(p.frozen for p in parameters)

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
        weights, given, who = self.weights, len(arrays), type(self).__name__
        arrays = [as_array(array) for array in arrays]  # what is no array raises before anything has changed
        if given != len(weights):  # Keras's Normalization has one integer more, a count that it does not use
            arrays = [a for a in arrays if a.ndim or a.dtype.kind != "i"]
        if len(arrays) != len(weights):
            raise LayerError(f"set_weights: {who} has {len(weights)} arrays. Received: {given}.")
        for number, (tensor, array) in enumerate(zip(weights, arrays)):
            if tensor.shape != array.shape:
                raise ShapeError(f"set_weights: array {number} of {who} must have shape {tensor.shape}. Received: {array.shape}.")
        for tensor, array in zip(weights, arrays):
            tensor.assign(array)


_LOOSE = "a plain tensor that requires a gradient does not belong to the layer; make it a Parameter."


def _is_loose(value):
    """Whether it looks like a parameter, but is none: no optimiser would find it."""
    return isinstance(value, Tensor) and not isinstance(value, Parameter | Buffer) and value.is_leaf and value._requires_grad


def _walk(item, path, above=()):
    """Every (path, Layer, Parameter, Buffer or Generator) in an attribute, depth first, in the order of definition; also loose tensors.

    ``above`` are the layers around it: a layer may know the one it is part of.
    """
    if isinstance(item, Parameter | Buffer | random.Generator) or _is_loose(item):
        yield path, item
    elif isinstance(item, Layer):
        if not any([item is layer for layer in above]):
            yield path, item
            for name, value in vars(item).items():
                yield from _walk(value, f"{path}.{name}" if path else name, (*above, item))
    elif isinstance(item, list | tuple):
        for number, value in enumerate(item):
            yield from _walk(value, f"{path}.{number}", above)
    elif isinstance(item, dict):
        for name, value in item.items():
            yield from _walk(value, f"{path}.{name}", above)


def _once(build):
    """``build`` that runs once, however often it is called, and from whomever."""

    @functools.wraps(build)
    def once(self, *shapes, **named):
        if not self.__dict__.get("_built", False):
            build(self, *shapes, **named)
            self._built = True

    return once


def _shape_of(value):
    """The shape of an array, or of a nested list; of a list of arrays the list of theirs; None of nothing."""
    shape = getattr(value, "shape", None)
    if shape is not None or value is None:
        return shape
    if isinstance(value, list | tuple) and any(hasattr(item, "shape") for item in value):
        return [_shape_of(item) for item in value]
    try:
        return np.shape(value)
    except ValueError:  # several inputs as nested lists, each of a shape of its own
        return [_shape_of(item) for item in value]


def _output_shape(out):
    """The shape of what a layer gave; of several arrays the list of theirs, None of what is none."""
    if isinstance(out, list | tuple | dict):
        return [_output_shape(part) for part in (out.values() if isinstance(out, dict) else out)]
    return getattr(out, "shape", None)


def _locate(error, layer):
    """Add to an error's message where it arose: in which layer, or where in a model, as each on its way out knows a longer path."""
    if len(error.args) != 1 or not isinstance(error.args[0], str):
        return
    inner, message = error.__dict__.setdefault("arose", (layer, error.args[0]))
    if inner is layer:
        if isinstance(error, MinigradError) and type(layer).__name__ not in message:
            error.args = (f"{message} In {type(layer).__name__}.",)
    else:
        path = next((path for path, part in layer.named_layers().items() if part is inner), "")
        where = f"{path}, a {type(inner).__name__} of" if path else f"a {type(inner).__name__} that is called by"
        error.args = (f"{message} In {where} {type(layer).__name__}.",)


def check_size(who, **size):
    """The one number given, or ValueError where it is not a whole number from 1.

    >>> check_size("Dense", units=3)
    3
    """
    ((name, number),) = size.items()
    if not isinstance(number, int | np.integer) or isinstance(number, bool) or number < 1:
        raise ValueError(f"{who}: {name} is a whole number from 1. Received: {number!r}.")
    return int(number)


def check_axis(who, axis, several=True):
    """``axis`` where it is a whole number or, if ``several`` are possible, a list of them; else ValueError.

    >>> check_axis("Softmax", (-2, -1))
    (-2, -1)
    """
    axes = axis if several and isinstance(axis, list | tuple) else [axis]
    if not axes or not all(isinstance(a, int | np.integer) and not isinstance(a, bool) for a in axes):
        raise ValueError(f"{who}: axis is a whole number{', or a list of them' if several else ''}. Received: {axis!r}.")
    return axis


def width_of(who, shape):
    """The length of the last axis, which parameters have; ShapeError where there is none, or it is not known.

    >>> width_of("Dense", (None, 3))
    3
    """
    if not shape or not isinstance(shape[-1], int | np.integer):  # None, or several shapes
        raise ShapeError(f"{who}: the last axis of the input needs a length. " + received(input_shape=shape))
    return shape[-1]


def as_input(x):
    """``x`` as it is, nested lists as an array.

    >>> as_input([[1, 2]]).shape
    (1, 2)
    """
    return x if hasattr(x, "shape") else as_array(x)


def constant(x):
    """``x`` as a plain array, for statistics, which never hold a graph."""
    return x._data if isinstance(x, Tensor) else as_array(x)

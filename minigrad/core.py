"""The engine: what a Tensor stores, what an Op declares, how calls are recorded, and the walk back.

Read this file first. Four ideas carry it:

* **One rule, two executions.** An op called with plain arrays returns a plain array; called with Tensors it returns
  Tensors and, where a gradient is wanted, records a `Node`. Rules are written with ops, so the walk hands them arrays
  for an ordinary backward and Tensors when the gradient itself must have a graph.
* **Creation order is a topological order.** A node is always younger than its inputs, so visiting the reachable
  nodes from the youngest to the oldest needs no recursion.
* **Gradients live in the walk.** Only leaves (and tensors that asked by `retain_grad`) keep one.
* **Nothing points back.** A tensor holds its node, a node its inputs; no cycle, so memory goes when the last name goes.
"""

import functools
import inspect
import itertools
import sys
import weakref

import numpy as np
from numpy import ndarray

from . import anomaly, journal, settings
from .errors import DtypeError, GradientError, MinigradError, ShapeError, received
from .kernels import memory

# ------------------------------------------------------------------------------------------------------- tensors

_clock = itertools.count(1)  # ticks when a node is made and when a leaf changes: which of two was first is known


class Tensor:
    """An array whose operations are recorded, so that gradients can flow back through them.   (...) -> (...)

    ``Tensor(data, requires_grad=False, dtype=None)`` copies ``data``. Python floats become the default dtype
    (float32), arrays keep theirs. Tensors are immutable; `assign` changes a leaf.

    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """

    __slots__ = ("_data", "_requires_grad", "_node", "_place", "_changed", "_hooks", "grad", "__weakref__")

    def __init__(self, data, requires_grad=False, dtype=None):
        if isinstance(data, Tensor) and data._requires_grad and settings.is_grad_enabled():
            raise GradientError(
                "tensor: a copy of a tensor that requires a gradient would be detached silently; x.clone() keeps the graph, "
                "x.detach() says that a constant is meant. " + received(data=data)
            )
        self._data = as_array(data, dtype, copy=True)
        self._requires_grad = False
        self._node = self._place = self._hooks = self.grad = None
        self._changed = 0
        if requires_grad:
            self.requires_grad = True

    shape = property(lambda self: self._data.shape, doc="Lengths of the axes.")
    ndim = property(lambda self: self._data.ndim, doc="Number of axes.")
    size = property(lambda self: self._data.size, doc="Number of elements.")
    dtype = property(lambda self: self._data.dtype, doc="Element type, a NumPy dtype.")
    is_leaf = property(lambda self: self._node is None, doc="True where no recorded op made this tensor.")
    grad_fn = property(lambda self: self._node, doc="The node that made this tensor, None for a leaf.")
    _index = property(lambda self: self._place[1] if isinstance(self._place, tuple) else 0, doc="Which output of its node it is.")

    @property
    def requires_grad(self):
        """Whether gradients flow to this tensor. Only a floating leaf can be switched."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, flag):
        if self._node is not None:
            raise GradientError(
                "requires_grad: only a leaf can be switched; this tensor is the result of "
                f"{self._node.op.name}. Use .detach() for a constant copy."
            )
        if flag and self._data.dtype.kind != "f":
            raise DtypeError(
                "requires_grad: gradients need floating numbers; convert first, for example with "
                ".astype('float32'). " + received(tensor=self)
            )
        self._requires_grad = bool(flag)

    def requires_grad_(self, flag=True):
        """Switch `requires_grad` of a leaf, and return the tensor itself.

        >>> Tensor([1.0]).requires_grad_()
        tensor([1.], requires_grad=True)
        """
        self.requires_grad = flag
        return self

    def numpy(self):
        """The values as a read-only array that shares memory; it never changes afterwards.

        >>> Tensor([1.0, 2.0]).numpy()
        array([1., 2.], dtype=float32)
        """
        view = self._data.view()
        view.flags.writeable = False
        return view

    def item(self):
        """The one value of a tensor of size 1, as a Python number.

        >>> Tensor([[3.0]]).item()
        3.0
        """
        if self._data.size != 1:
            raise ShapeError("item: only a tensor with one element is a number. " + received(tensor=self))
        return self._data.item()

    def detach(self):
        """The same values as a constant: no gradient flows through it.

        >>> Tensor([1.0], requires_grad=True).detach().requires_grad
        False
        """
        return wrap(self._data)

    def assign(self, value, copy=True):
        """Give a leaf new values of the same shape; the one way to change one. Its dtype stays.

        With ``copy=False`` it takes the array itself where the dtype is right, as it lies in memory; nobody may change that afterwards.
        Raises GradientError on the result of an op, ShapeError on another shape.

        >>> p = Tensor([1.0, 2.0], requires_grad=True)
        >>> p.assign([3.0, 4.0])
        tensor([3., 4.], requires_grad=True)
        """
        if self._node is not None:
            raise GradientError(f"assign: only a leaf can be changed; this tensor is the result of {self._node.op.name}.")
        value = as_array(value)
        if value.shape != self._data.shape:
            raise ShapeError("assign: the new value must have the tensor's shape. " + received(tensor=self, value=value))
        journal.note(self)
        self._data = memory.copied(value, self._data.dtype) if copy else value.astype(self._data.dtype, copy=False)
        self._changed = next(_clock)
        return self

    def _state(self):
        return self._data, self._changed

    def _set_state(self, state):
        self._data, self._changed = state

    def retain_grad(self):
        """Keep the gradient of this inner tensor in ``.grad`` at the next backward, as its hooks leave it.

        >>> x = Tensor([1.0, 2.0], requires_grad=True)
        >>> y = x * 3
        >>> y.retain_grad()
        >>> (y * y).sum().backward()
        >>> y.grad
        tensor([ 6., 12.])
        """
        if self._node is None and self._requires_grad:
            return
        reference = weakref.ref(self)

        def keep(gradient):
            tensor = reference()
            if tensor is not None:
                tensor.grad = gradient

        self._own_hooks("retain_grad")[_RETAIN] = keep

    def register_hook(self, hook):
        """Call ``hook(gradient)`` in every walk when the whole gradient of this tensor has arrived; a Tensor it returns replaces it.

        Hooks run in the order of registration, each on what the one before it left; `retain_grad`, ``.grad`` and `grad()` see
        the last. With ``create_graph`` the replacement is recorded, so that higher derivatives are those of what the hook
        did. Returns a handle with ``remove()``; as a context manager it removes at the end. A hook that holds its own tensor
        keeps it alive in a cycle until it is removed, or until the graph is freed.
        Raises GradientError where no gradient flows; at the walk, GradientError for a replacement that is no Tensor,
        ShapeError and DtypeError for another shape or dtype.

        >>> x = Tensor([1.0, 2.0], requires_grad=True)
        >>> handle = x.register_hook(lambda gradient: gradient * 10)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([20., 40.])
        >>> handle.remove()
        """
        if not callable(hook):
            raise TypeError(f"register_hook: a hook is a function of the gradient. Received: {hook!r:.60}.")
        hooks, key = self._own_hooks("register_hook"), object()
        hooks[key] = hook
        return HookHandle(hooks, key)

    def _own_hooks(self, who):
        """The hooks on this tensor's gradient, a dict: kept by the leaf, and by the node for what it made."""
        if not self._requires_grad:
            raise GradientError(f"{who}: no gradient flows to this tensor. " + received(tensor=self))
        if self._node is None:
            self._hooks = self._hooks or {}
            return self._hooks
        self._node.hooks = self._node.hooks or {}
        return self._node.hooks.setdefault(self._index, {})

    def backward(self, gradient=None, retain_graph=False, create_graph=False):
        """Add the gradient of this tensor with respect to every leaf to the leaf's ``.grad``.

        ``gradient`` weighs the elements; a tensor of size 1 needs none. The graph is freed unless ``retain_graph``.
        A plain array that an op was given is kept as it is, not copied: who changes it before backward changes the gradient
        (`detect_anomaly` finds out); a leaf that was changed raises.
        With ``create_graph`` the gradients have a graph of their own, held by ``.grad``: a reference cycle until
        ``.grad`` is cleared; `grad()` returns them instead and makes none.
        Raises GradientError where no gradient can flow, ShapeError where ``gradient`` has another shape.

        >>> x = Tensor([1.0, 2.0], requires_grad=True)
        >>> (x * x).backward(gradient=[1.0, 10.0])
        >>> x.grad
        tensor([ 2., 40.])
        """
        seed = seed_of(self, gradient, "backward")
        leaves = walk([self], [seed], None, retain_graph or create_graph, create_graph)
        for leaf, g in leaves:
            if leaf.grad is not None:
                if not isinstance(leaf.grad, Tensor) or leaf.grad.shape != leaf.shape:
                    raise GradientError(
                        "backward: .grad of a leaf is a Tensor of its shape, to which the gradient is added, or None. "
                        + received(leaf=leaf, grad=leaf.grad)
                    )
                if create_graph or not memory.is_sole(g, 2):  # in the list and here
                    g = REGISTRY["add"].function(leaf.grad if create_graph else leaf.grad._data, g)
                else:
                    g += leaf.grad._data
            leaf.grad = g if isinstance(g, Tensor) else wrap(g)


_RETAIN = "retain_grad"  # the key of the hook that keeps the gradient: it comes last


class HookHandle:
    """What `Tensor.register_hook` returns: ``remove()`` takes the hook away, as leaving a ``with`` block does."""

    __slots__ = ("_hooks", "_key")

    def __init__(self, hooks, key):
        self._hooks, self._key = hooks, key

    def remove(self):
        self._hooks.pop(self._key, None)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.remove()


_new = object.__new__


def wrap(data, node=None, place=None):
    """A Tensor around ``data`` without a copy: a constant, or what ``node`` made; its gradient is collected at ``place``."""
    tensor = _new(Tensor)
    tensor._data = data if data.__class__ is ndarray else np.asarray(data)
    tensor._requires_grad = node is not None
    tensor._node, tensor._place, tensor._changed = node, place or node, 0
    tensor._hooks = tensor.grad = None
    return tensor


def arrays_to_change(leaves):
    """The arrays of different leaves, in C order, for a change in place by their owner; copies where anybody else looks at them."""
    now, arrays = next(_clock), [leaf._data for leaf in leaves]
    for i, (references, array) in enumerate(zip(map(sys.getrefcount, arrays), arrays)):
        # the leaf looks at it, the list, and the call that counts
        if references > 3 or array.base is not None or not array.flags.c_contiguous:
            arrays[i] = leaves[i]._data = array.copy()
    for leaf in leaves:
        leaf._changed = now
    return arrays


def as_array(value, dtype=None, copy=False):
    """``value`` as a NumPy array: Python floats in the default dtype, everything else in its own.

    >>> as_array([1.5, 2]).dtype, as_array(np.arange(2.0)).dtype
    (dtype('float32'), dtype('float64'))
    """
    if isinstance(value, Tensor):
        value = value._data
    if dtype is None and not isinstance(value, np.ndarray | np.generic):
        if isinstance(value, list | tuple) and any(isinstance(item, Tensor) for item in value):
            if any(isinstance(item, Tensor) and item._requires_grad for item in value) and settings.is_grad_enabled():
                raise GradientError(
                    "tensor: a list of tensors that require a gradient would be detached silently; join them with stack or concatenate."
                )
            floats = [item.dtype for item in value if isinstance(item, Tensor) and item.dtype.kind == "f"]
            value = [values(item) for item in value]
            dtype = np.result_type(*floats) if floats else None  # numbers among tensors never promote
        try:
            array = np.array(value, dtype) if copy else np.asarray(value, dtype)
        except ValueError:
            raise ShapeError(f"tensor: the rows of a nested list must have equal lengths. Received: {value!r:.60}.") from None
        if array.dtype == np.float64 and dtype is None and not _holds_arrays(value):
            array = array.astype(settings.default_dtype())
    else:
        try:
            array = np.array(value, dtype=dtype, order="C") if copy else np.asarray(value, dtype=dtype)
        except (TypeError, ValueError, OverflowError) as error:
            raise DtypeError(f"tensor: {error}. Received: {value!r:.60}, dtype {dtype}.") from None
    if array.dtype.kind not in "fiub":
        raise DtypeError(f"tensor: elements must be numbers or booleans. Received: {value!r:.60} of dtype {array.dtype}.")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _holds_arrays(value):
    """Whether nested lists end in arrays or NumPy scalars, whose dtype is to be kept."""
    while isinstance(value, list | tuple) and value:
        value = value[0]
    return hasattr(value, "__array__")


# ----------------------------------------------------------------------------------------------------------- ops

REGISTRY: dict[str, "Op"] = {}  # name -> Op, in the order of declaration

SYNONYMS = {  # a word that users bring -> ours, or several of which an op has one
    "dim": "axis", "keepdim": "keepdims", "ddof": "correction", "dims": "axes axis reps", "input": "x logits log_probs", "other": "y",
    "start_dim": "start_axis", "end_dim": "end_axis", "dim1": "axis1", "dim2": "axis2", "dimension": "axis",
    "diagonal": "k", "shifts": "shift", "sizes": "shape", "chunks": "n", "indices_or_sections": "n",
    "constant_values": "value", "src": "values", "x1": "x", "x2": "y", "target": "targets", "gamma": "weight",
    "beta": "bias", "p": "rate ord", "dropout_p": "dropout", "attn_mask": "mask", "num_groups": "groups",
    "running_mean": "mean", "running_var": "var", "a_min": "min", "a_max": "max", "query": "q", "key": "k",
    "value": "v", "dim0": "axis1", "size": "shape",
}  # fmt: skip


class Op:
    """One operation: its forward on arrays, its rule, and what tests and documentation need to know of it.

    Made by the `op` decorator. In the forward's signature the arrays stand before the slash, the parameters after it.
    A forward that takes ``*xs`` gets a sequence of arrays as its one argument, or one by one where declared ``separate``.
    """

    __slots__ = (
        "name", "forward", "function", "arrays", "variadic", "required", "defaults", "parameters",
        "rule", "rule_takes", "uses_out", "unread", "composite", "saves", "reference", "numpy", "samples", "errors", "kinks",
        "linear", "method", "differentiable", "composed", "separate", "broadcasts", "prepare", "explain",
    )  # fmt: skip

    def __init__(self, forward, *, saves=False, reference=None, numpy=None, samples=None, errors=None, kinks="",
                 linear=(), method=True, differentiable=True, composed=False, separate=False):  # fmt: skip
        self.name, self.forward = forward.__name__, forward
        self.differentiable, self.composed, self.separate, self.broadcasts = differentiable, composed, separate, False
        self.saves, self.reference, self.numpy = saves, reference, numpy
        self.samples, self.errors, self.kinks, self.linear, self.method = samples, errors, kinks, linear, method
        self.rule = self.composite = self.prepare = self.explain = None  # the last two are for `elementwise`
        self.rule_takes, self.uses_out, self.unread = frozenset(), False, ()
        signature = inspect.signature(forward)
        named = signature.parameters.values()
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in named)
        inputs = [p for p in named if p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL)]
        rest = [p for p in named if p not in inputs]
        self.arrays = tuple(p.name for p in inputs)
        if not inputs:
            raise TypeError(f"{self.name}: an op's arrays stand before a slash, as in def {self.name}(x, /). Received: {signature}.")
        self.required = sum(p.default is p.empty for p in inputs)
        self.parameters = tuple(p.name for p in rest)
        self.defaults = {p.name: p.default for p in rest if p.default is not p.empty}

    @property
    def has_gradient(self):
        """Whether gradients flow through: by a rule of its own, or by those of the ops it is composed of."""
        return self.rule is not None or (self.composed and self.differentiable)

    def vjp(self, rule):
        """Attach the rule ``(g, out, *inputs, **parameters) -> one gradient per input, None where there is none``.

        A rule that takes ``wanted`` gets a tuple of booleans, one per input; one that takes ``saved`` gets what the
        forward saved; one that takes ``into`` gets, one per input, an array to which it may add its gradient and then return that array,
        or None. A rule that calls its second argument ``_`` does not need the output, which is then not kept. Of an input
        that it calls ``_x``, ``_y``, ... it may read shape and dtype only: large values are not kept, the rule sees NaN there.
        """
        names = list(inspect.signature(rule).parameters)
        if len(names) < 2:
            raise TypeError(f"{self.name}: a rule takes (g, out, {', '.join(self.arrays)}, ...); out is called _ where it is not needed.")
        self.rule = rule
        self.rule_takes = frozenset(names) & {"wanted", "saved", "into"}
        self.uses_out = names[1] != "_"
        self.unread = tuple(i for i, name in enumerate(names[2 : 2 + len(self.arrays)]) if name.startswith("_"))
        return rule

    def own_word(self, name):
        """What this op calls an argument that a user calls ``name``."""
        known = (*self.arrays, *self.parameters)
        return name if name in known else next((ours for ours in SYNONYMS.get(name, "").split() if ours in known), name)

    def bind(self, args, kwargs):
        """Sort a call's arguments into arrays and parameters, with synonyms; explains what does not fit."""
        kwargs = {self.own_word(name): value for name, value in kwargs.items()}
        if self.variadic:
            if self.separate:
                args = (args,)
            if not args or not isinstance(args[0], list | tuple):
                raise TypeError(f"{self.name}: takes a list of tensors first. Received: {len(args)} arguments.")
            inputs, args = tuple(args[0]), args[1:]
            if not inputs:
                raise ShapeError(f"{self.name}: the list of tensors is empty. Received: [].")
        else:
            inputs, args = list(args[: len(self.arrays)]), args[len(self.arrays) :]
            for name in self.arrays[len(inputs) :]:
                inputs.append(kwargs.pop(name, None))
            missing = [name for name, x in zip(self.arrays[: self.required], inputs) if x is None]
            if missing:
                raise TypeError(f"{self.name}: missing {' and '.join(missing)}. Signature: {self.signature()}.")
        params = dict(self.defaults)
        if len(args) > len(self.parameters):
            raise TypeError(f"{self.name}: too many arguments. Signature: {self.signature()}.")
        params.update(zip(self.parameters, args))
        for name, value in kwargs.items():
            if name not in self.parameters:
                raise TypeError(f"{self.name}: no argument called {name!r}. Signature: {self.signature()}.")
            params[name] = value
        missing = [name for name in self.parameters if name not in params]
        if missing:
            raise TypeError(f"{self.name}: missing {' and '.join(missing)}. Signature: {self.signature()}.")
        return inputs, params

    def names_of(self, inputs):
        """A name for each input of a call."""
        return [f"{self.arrays[0]}[{i}]" for i in range(len(inputs))] if self.variadic else self.arrays

    def called_as(self):
        """The signature as users write it: every argument by place or by name, several arrays as a list."""
        signature = inspect.signature(self.forward)
        if self.separate:
            return signature
        return signature.replace(parameters=[p.replace(kind=p.POSITIONAL_OR_KEYWORD) for p in signature.parameters.values()])

    def signature(self):
        return f"{self.name}{self.called_as()}"

    def __repr__(self):
        return f"<op {self.signature()}>"


def op(forward=None, /, **attachments):
    """Declare an op: decorate its forward, which sees arrays only; then attach its rule by ``@name.vjp``.

    ``saves``: the forward returns ``(out, saved)``; only an op with a composite may save.
    ``reference``: the same function in NumPy; ``numpy``: the NumPy functions this op stands for;
    ``samples(rng)``, ``errors()``: inputs for the tests; ``kinks``: points without derivative and what we choose there;
    ``linear``: the inputs in which the op is linear; ``method``: whether Tensor gets it as a method;
    ``differentiable=False``: it never has a rule, its result is a constant; ``composed``: the forward is written in other ops,
    sees Tensors as they are and needs no rule; ``separate``: the arrays of ``*xs`` are given one by one, not in a list.
    Raises ValueError for a name of minigrad's own.
    `minigrad.testing.check_op` puts an op with samples to the tests that the library's own ops go through.

    >>> @op
    ... def double(x, /):
    ...     '''Twice x.   (...) -> (...)'''
    ...     return x * 2
    >>> @double.vjp
    ... def _(g, _, x):
    ...     return (g * 2,)
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> double(x).backward(gradient=[1.0, 1.0])
    >>> x.grad
    tensor([2., 2.])
    >>> del REGISTRY["double"]
    """

    def declare(forward):
        this = Op(forward if _is_ours(forward) else _reading(forward, attachments.get("saves")), **attachments)
        arrays, parameters, defaults = len(this.arrays), this.parameters, this.defaults
        least, most = arrays + len(parameters) - len(defaults), -1 if this.variadic else arrays + len(parameters)
        fewest, absent = 0 if this.variadic else this.required, (None,) * arrays
        names, needed = frozenset(parameters), frozenset(parameters) - defaults.keys()

        @functools.wraps(forward)
        def function(*args, **kwargs):
            if not kwargs and least <= len(args) <= most:  # the usual call needs no sorting
                if len(args) <= arrays:
                    return apply(this, args, defaults)
                return apply(this, args[:arrays], {**defaults, **dict(zip(parameters, args[arrays:]))})
            if 0 < fewest <= len(args) <= arrays and needed <= kwargs.keys() <= names and not any([x is None for x in args[:fewest]]):
                return apply(this, args + absent[len(args) :], {**defaults, **kwargs})  # arrays by place, parameters by name
            return apply(this, *this.bind(args, kwargs))

        def composite(f):
            this.composite = f
            return f

        taken = REGISTRY.get(this.name)
        if taken and taken.forward.__module__ != forward.__module__ and _is_ours(taken.forward):
            raise ValueError(f"op: minigrad has an op called {this.name}; give yours another name.")
        this.function = function
        function.op, function.vjp, function.composite = this, this.vjp, composite
        function.__signature__ = this.called_as()  # what help() and editors show
        REGISTRY[this.name] = this
        return function

    return declare if forward is None else declare(forward)


def _is_ours(function):
    return (function.__module__ or "").startswith("minigrad.")  # exec leaves a function without a module


def _reading(forward, saves):
    """A user's forward with arrays that cannot be written to, for values of tensors never change; it gives arrays of numbers back."""

    @functools.wraps(forward)
    def guarded(*arrays, **params):
        views = [x.view() if isinstance(x, ndarray) else x for x in arrays]
        for view in views:
            if isinstance(view, ndarray):
                view.flags.writeable = False
        try:
            out = forward(*views, **params)
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise GradientError(
                f"{forward.__name__}: its forward writes to an array that it was given; values of tensors never change. "
                "Make a new array, as in x = x * 2. " + received(**{f"input {i}": x for i, x in enumerate(arrays)})
            ) from error
        return out if saves else tuple([array_of(x) for x in out]) if type(out) is tuple else array_of(out)

    def array_of(x):
        x = np.asarray(x)
        if x.dtype.kind not in "fiub":
            raise DtypeError(f"{forward.__name__}: its forward must return an array of numbers, or a tuple of them. " + received(result=x))
        return x

    return guarded


class Node:
    """One recorded call: the op, the tensors through which a gradient is wanted (None for other inputs), and what its rule needs."""

    __slots__ = ("op", "tensors", "arrays", "params", "out", "saved", "several", "age", "hooks", "site")

    def __init__(self, op, tensors, arrays, params, out, saved):
        self.op, self.tensors, self.arrays, self.params = op, tensors, arrays, params
        self.out, self.saved = out if op.uses_out else None, saved
        self.several = len(out) if out.__class__ is tuple else 0
        self.age = next(_clock)
        self.hooks = self.site = None

    outputs = property(lambda self: self.several or 1, doc="How many results the op gave.")

    @property
    def inputs(self):
        """What the op was called with: a Tensor where a gradient is wanted, else the plain array; None when the graph is freed."""
        return self.tensors and [a if x is None else x for x, a in zip(self.tensors, self.arrays)]

    def places(self):
        """Where the gradients of the outputs are collected: at the node itself, or for one output of several at a pair."""
        return [(self, i) for i in range(self.several)] or [self]

    def wrap(self, out):
        """The results as Tensors; only floating ones carry a gradient."""
        if out.__class__ is tuple:
            return tuple([wrap(o, self, (self, i)) if o.dtype.kind == "f" else wrap(o) for i, o in enumerate(out)])
        return wrap(out, self if out.dtype.kind == "f" else None)

    def release(self):
        """Forget the values, and the hooks; a later walk through here raises."""
        self.tensors = self.arrays = self.out = self.saved = None
        if self.hooks:  # handles know the same dicts
            for hooks in self.hooks.values():
                hooks.clear()

    def __repr__(self):
        return f"<{self.op.name} node>"


_LARGE = 1 << 16  # bytes that are not kept for nothing


def _let_go(array, tensor):
    """For inputs whose values no rule will read: NaN without memory, in the array's shape and dtype, and a tensor around it."""
    nothing = np.full((), np.nan if array.dtype.kind == "f" else 0, array.dtype)
    empty = np.ndarray(array.shape, array.dtype, nothing, 0, (0,) * array.ndim)
    if tensor is None or tensor._node is None:  # a leaf is where its gradient is collected, so it stays
        return empty, tensor
    return empty, wrap(empty, tensor._node, tensor._place)


def apply(op, inputs, params, keep=False):
    """Call ``op``: plain arrays in, plain array out; with Tensors the result is a Tensor, recorded where wanted.

    The node keeps what the rule reads, or with ``keep`` all.
    """
    if op.composed:
        try:
            return op.forward(*_as_arrays(inputs), **params)
        except _UNFORESEEN as error:
            raise _explained(op, inputs, params, error) from None
    if settings.anomaly():
        return _watched(op, inputs, params)
    arrays, tracked = [], []  # what the forward sees; the tensors through which a gradient is wanted
    wrapped, recorded, dtype, dtypes = False, False, None, 0
    for x in inputs:
        source = None
        if type(x) is not ndarray:
            if isinstance(x, Tensor):
                wrapped = True
                if x._requires_grad:
                    source, recorded = x, True
                x = x._data
            else:
                x = _plain(op, x, inputs)
        if type(x) is ndarray and x.dtype is not dtype:
            dtype = x.dtype
            dtypes += 1
        arrays.append(x)
        tracked.append(source)
    if recorded:
        recorded = op.differentiable and settings.is_grad_enabled()
        if recorded and op.rule is None:
            raise GradientError(
                f"{op.name}: has no rule, so no gradient can flow through it. Attach one with @{op.name}.vjp, or declare the op with "
                "differentiable=False if its result is a constant."
            )
    try:
        ready = arrays if op.prepare is None or (dtypes == 1 and dtype.kind == "f") else op.prepare(arrays)
        out, saved = op.forward(*ready, **params), None
    except _UNFORESEEN as error:
        raise (op.explain and op.explain(error, arrays, params)) or _explained(op, inputs, params, error) from None
    if op.saves:
        out, saved = out
    if out.__class__ is not ndarray and out.__class__ is not tuple:
        out = np.asarray(out)
    if recorded:
        for i in range(len(arrays)) if op.unread and op.variadic else op.unread:
            if type(arrays[i]) is ndarray and arrays[i].nbytes >= _LARGE and op.composite is None and not keep:
                arrays[i], tracked[i] = _let_go(arrays[i], tracked[i])
        return Node(op, tracked, arrays, params, out, saved).wrap(out)
    if not wrapped:
        return out
    return tuple([wrap(o) for o in out]) if out.__class__ is tuple else wrap(out)


def _watched(op, inputs, params):
    """`apply` in anomaly mode: it looks at what goes in and what comes out; the node remembers the line of user code."""
    site = settings.anomaly()
    site = anomaly.here() if site is True else site  # in a rule it is the site of the op whose rule runs
    arrays = [values(x) for x in inputs]
    names = op.names_of(inputs)
    sums = anomaly.checksums(arrays)
    with settings.use_anomaly(False), np.errstate(all="ignore"):
        result = apply(op, inputs, params, keep=True)
    outputs = result if isinstance(result, tuple) else (result,)
    anomaly.check_forward(op.name, names, arrays, params, [values(out) for out in outputs], site)
    for out in outputs:
        if isinstance(out, Tensor) and out._node is not None:
            out._node.site = (site, sums)
    return result


def values(x):
    """The array behind a Tensor, anything else as it is: a constant, where the result does not depend on the graph."""
    return x._data if isinstance(x, Tensor) else x


_UNFORESEEN = (TypeError, ValueError, IndexError, AttributeError, OverflowError, ZeroDivisionError)


def _explained(op, inputs, params, error):
    """What is raised for an error from inside a forward: where it does not say already what was received, one that does."""
    if isinstance(error, MinigradError) or "Received: " in str(error) or not _is_ours(op.forward):
        return error
    kind = IndexError if isinstance(error, IndexError) else ValueError if isinstance(error, ValueError | ArithmeticError) else TypeError
    call = received(**dict(zip(op.names_of(inputs), inputs)), **params)
    return kind(f"{op.name}: {str(error).rstrip('. ')}. {call}").with_traceback(error.__traceback__)


def _plain(op, x, inputs):
    """An input that is neither Tensor nor array, as forwards want to see it: numbers as numbers, the rest as arrays."""
    if x is None or (len(inputs) > 1 and type(x) in (float, int)):
        return x
    if isinstance(x, np.generic):
        # next to an array a NumPy scalar is a number, which never promotes; alone it keeps its dtype
        x = x.item() if any(isinstance(other, np.ndarray | Tensor) for other in inputs) else np.asarray(x)
    if isinstance(x, int | float) and len(inputs) > 1:
        return x
    try:
        return as_array(x)
    except DtypeError:
        raise DtypeError(f"{op.name}: works on numbers and booleans. " + received(**dict(zip(op.names_of(inputs), inputs)))) from None


_ARRAYS = (Tensor, ndarray)


def _as_arrays(inputs):
    """Lists as arrays; numbers too where they stand alone, while next to an array they stay numbers, which never promote."""
    if all([x is None or isinstance(x, _ARRAYS) for x in inputs]):
        return inputs
    alone = not any(isinstance(x, (*_ARRAYS, list, tuple)) for x in inputs)
    return [as_array(x) if isinstance(x, list | tuple) or (alone and x is not None) else x for x in inputs]


@op(method=False)
def alias(x, /):
    """The same values as another node of the graph.   (...) -> (...)"""
    return x


@alias.vjp
def _(g, _, x):
    return (g,)


# ---------------------------------------------------------------------------------------------------------- walk


def walk(outputs, seeds, targets=None, retain_graph=False, create_graph=False, oldest=None):
    """Carry ``seeds`` back from ``outputs``.

    Without targets: a list of (leaf, gradient) for every leaf that is reached. With targets: the list of their
    gradients, None where nothing arrives; nothing beyond what leads to a target is computed. Nodes older than ``oldest``
    are left alone: what they made counts as a leaf.
    Gradients are Tensors with ``create_graph``, else plain arrays.
    """
    whole = oldest is None
    if whole:  # what is older than every target cannot lead to one
        oldest = -1 if targets is None else min([_age(x) for x in targets], default=-1)
    order = _reachable(outputs, oldest)
    places = () if targets is None else set(map(_place, targets))
    leading = None if targets is None else _leading_to(order, places)
    watched = settings.anomaly()
    add = settings.use_anomaly(False)(REGISTRY["add"].function) if watched else REGISTRY["add"].function
    gradients = _watched_gradients if watched else _gradients
    arrived, own, found = {}, set(), {}  # gradients by place; places the walk may add to in place; what targets inside got

    def ours(x):
        """What has arrived for x so far, if it may be added to in place: nobody else can look at its memory."""
        place = None if x is None else x._place or x
        if place in own or (place in arrived and not create_graph and memory.is_sole(arrived[place], 1)):
            return arrived[place]
        return None

    def arrive(tensors, gradients):
        for x, g in zip(tensors, gradients):
            if g is None:
                continue
            place = x._place or x
            if place not in arrived:
                arrived[place] = g
            elif ours(x) is not None:
                arrived[place] += g
            else:
                arrived[place] = add(arrived[place], g)
                if not create_graph:
                    own.add(place)

    if watched:
        for seed in seeds:
            anomaly.check_seed(values(seed))
    # what is older than every target starts nothing
    arrive(outputs, [_seed(seed, create_graph) if x._requires_grad and _age(x) >= oldest else None for x, seed in zip(outputs, seeds)])
    for node in order:
        if not node.several:
            g = arrived.pop(node, None)
            nothing = g is None
        else:
            g = tuple([arrived.pop(place, None) for place in node.places()])
            nothing = all([d is None for d in g])
        if node.hooks:
            g = _hooked_outputs(node, g, create_graph)
        if places:
            found.update({place: d for place, d in zip(node.places(), g if node.several else (g,)) if place in places})
        if leading is not None and node not in leading:
            continue
        if not nothing:
            tensors = node.tensors
            if leading is not None:
                tensors = [x if x is not None and (_place(x) in places or x._node in leading) else None for x in tensors]
            into = [ours(x) for x in tensors] if "into" in node.op.rule_takes and not create_graph else None
            arrive(tensors, gradients(node, g, tensors, create_graph, into))
        if not retain_graph:
            node.release()
    if whole:  # a part of a walk leaves the hooks of leaves to the whole
        for leaf in arrived:  # nodes have given theirs on, so what is left is at leaves
            if leaf._hooks:
                arrived[leaf] = _hooked(leaf._hooks, arrived[leaf], create_graph)
            if watched:
                anomaly.check_arrived(f"a leaf of shape {leaf.shape}", values(arrived[leaf]))
    if targets is None:
        return list(arrived.items())
    return [found.get(place, arrived.get(place)) for place in map(_place, targets)]


def _seed(seed, create_graph):
    if create_graph:
        return seed if isinstance(seed, Tensor) else wrap(seed)
    return values(seed)


def _place(x):
    """Where the gradient of ``x`` is collected: an output of a node, or the leaf itself."""
    return x._place or x


def _age(x):
    return -1 if x._node is None else x._node.age


def _hooked(hooks, gradient, create_graph):
    """What the hooks on a place make of the gradient that has arrived there."""
    with settings.use_grad(create_graph):
        for _, hook in sorted(hooks.items(), key=lambda item: item[0] is _RETAIN):  # in their order, but that one last
            given = gradient if isinstance(gradient, Tensor) else wrap(gradient)
            result = hook(given)
            if result is None or result is given:
                continue
            if not isinstance(result, Tensor):
                raise GradientError(f"hook: must return a Tensor to replace the gradient, or None. Received: {type(result).__name__}.")
            if result.shape != given.shape:
                raise ShapeError("hook: the replacement must have the gradient's shape. " + received(gradient=given, replacement=result))
            if result.dtype != given.dtype:
                raise DtypeError("hook: the replacement must have the gradient's dtype. " + received(gradient=given, replacement=result))
            gradient = result if create_graph else result._data
    return gradient


def _hooked_outputs(node, g, create_graph):
    """`_hooked` for every output of a node that has hooks and to which a gradient has come."""
    given = [
        d if d is None or i not in node.hooks else _hooked(node.hooks[i], d, create_graph)
        for i, d in enumerate(g if node.several else (g,))
    ]
    return tuple(given) if node.several else given[0]


def _reachable(outputs, oldest):
    """The nodes behind ``outputs``, youngest first; raises where a value that is needed is gone or has changed.

    Nodes older than ``oldest`` are left out.
    """
    seen, stack = {}, [x._node for x in outputs if x._node is not None]
    while stack:
        node = stack.pop()
        if node.age in seen or node.age < oldest:
            continue
        seen[node.age] = node
        if node.tensors is None:
            raise GradientError(
                f"backward: the graph through {node.op.name} was freed by an earlier backward. To walk it again, call the "
                "first one with retain_graph=True, or compute the forward again."
            )
        for x in node.tensors:
            if x is not None:
                if x._node is not None:
                    stack.append(x._node)
                elif x._changed > node.age:
                    raise GradientError(
                        f"backward: a leaf of shape {x.shape} was changed after {node.op.name} used it, so its gradient would be "
                        "wrong. Call backward() before assign() or an optimiser step, or compute the forward again."
                    )
    return [seen[age] for age in sorted(seen, reverse=True)]


def tick():
    """The time now: nodes made before are older, nodes made later younger."""
    return next(_clock)


def is_older(x, time):
    """Whether ``x`` was there at ``time``: the result of an older node, or a leaf, whose age nobody knows."""
    return _age(x) < time


def sources(outputs, time=0):
    """The tensors from which ``outputs`` were computed since ``time``: leaves and results of older nodes, each once."""
    found = {}
    for node in _reachable(outputs, time):
        found.update({_place(x): x for x in node.tensors if x is not None and is_older(x, time)})
    return list(found.values())


def _leading_to(order, places):
    """The nodes from which one of ``places`` can be reached."""
    leading = set()
    for node in reversed(order):
        if any([x is not None and (_place(x) in places or x._node in leading) for x in node.tensors]):
            leading.add(node)
    return leading


def _gradients(node, g, tensors, create_graph, into=None):
    """Call the node's rule; check and convert what it returns: one gradient per input in the input's shape and dtype.

    ``tensors`` are those inputs whose gradients are asked for, None at the place of any other. What the rule has added to one of
    ``into`` needs no further care: None.
    """
    op, params = node.op, node.params
    if op.rule_takes:
        params = dict(params)
        if "wanted" in op.rule_takes:
            params["wanted"] = [x is not None for x in tensors]
        if "saved" in op.rule_takes:
            params["saved"] = node.saved
        if "into" in op.rule_takes:
            params["into"] = into or [None] * len(tensors)
    if not create_graph:
        results = op.rule(g, node.out, *node.arrays, **params)
    elif op.composite is not None:
        results = _composite_gradients(node, g, tensors)
    else:
        out = node.out if node.out is None else node.wrap(node.out)
        with settings.enable_grad():
            results = op.rule(g, out, *node.inputs, **params)
    if type(results) is not tuple and not isinstance(results, list):
        raise GradientError(f"{op.name}: its rule must return a tuple, one gradient per input; one alone as (gradient,).")
    if len(results) != len(tensors):
        raise GradientError(f"{op.name}: its rule returned {len(results)} gradients for {len(tensors)} inputs.")
    if into:
        results = [None if d is not None and d is given else d for d, given in zip(results, into)]
    fitted = []
    for x, d in zip(tensors, results):
        if x is None:
            d = None
        elif d is not None:
            like = x._data
            if create_graph or type(d) is not ndarray or d.shape != like.shape or d.dtype is not like.dtype:
                d = _fit(op, like, d, create_graph)  # the usual gradient fits as it is
        fitted.append(d)
    return fitted


def _watched_gradients(node, g, tensors, create_graph, into=None):
    """`_gradients` in anomaly mode: it looks at what arrives and at what the rule makes of it, so nothing is added in place."""
    op, inputs = node.op, node.arrays
    names = op.names_of(inputs)
    site, sums = node.site or ("  (recorded outside of anomaly mode)", None)
    if sums is not None:
        anomaly.check_unchanged(op.name, names, inputs, sums, site)
    arrived = [values(d) for d in (g if node.several else (g,)) if d is not None]
    for d in arrived:
        anomaly.check_arrived(f"the output of {op.name}", d, site)
    rule = site._replace(during=f"in the backward of {op.name}") if create_graph and sums is not None else False
    with settings.use_anomaly(rule), np.errstate(all="ignore"):
        gradients = _gradients(node, g, tensors, create_graph)
    anomaly.check_backward(op.name, names, inputs, arrived[0], [None if d is None else values(d) for d in gradients], site)
    return gradients


def _fit(op, like, gradient, create_graph):
    """The gradient in the shape and dtype of ``like``, after checking that it can be one."""
    if create_graph and not isinstance(gradient, Tensor):
        raise GradientError(
            f"{op.name}: its rule left the graph (it returned a plain array for Tensors), so a higher derivative would be "
            "silently wrong. Write the rule with minigrad's functions, or give the op a composite."
        )
    if gradient.__class__ is not ndarray and not isinstance(gradient, (Tensor, ndarray, np.generic)):
        raise GradientError(f"{op.name}: its rule returned a {type(gradient).__name__} where a gradient, an array, is due.")
    if gradient.shape != like.shape:
        if not op.broadcasts:
            raise GradientError(
                f"{op.name}: its rule returned a gradient of shape {gradient.shape} for an input of shape {like.shape}."
            )
        gradient = REGISTRY["sum_to"].function(gradient, like.shape)  # its rule is written as if nothing had been broadcast
    if gradient.dtype.kind not in "fiub":
        raise GradientError(f"{op.name}: its rule returned a gradient of dtype {gradient.dtype}, which holds no real numbers.")
    return gradient if gradient.dtype == like.dtype else gradient.astype(like.dtype)


def _composite_gradients(node, g, tensors):
    """Gradients of a fused op with a graph: differentiate the same mathematics in terms of other ops.

    Every input stands behind an alias of its own, so that ``f(x, x)`` has two places for two gradients.
    """
    with settings.enable_grad():
        inputs = [x if asked is None else alias(x) for x, asked in zip(node.inputs, tensors)]
        outputs = node.op.composite(*inputs, **node.params)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    given = g if node.several else (g,)
    pairs = [(o, d) for o, d in zip(outputs, given) if d is not None and isinstance(o, Tensor) and o._requires_grad]
    targets = [x for x, asked in zip(inputs, tensors) if asked is not None]
    found = iter(walk([o for o, _ in pairs], [d for _, d in pairs], targets, True, True))
    return [None if asked is None else next(found) for asked in tensors]


def seed_of(output, gradient, who):
    """The gradient to start from: ``gradient`` in the output's shape, or 1 for an output of size 1."""
    if not output._requires_grad:
        raise GradientError(
            f"{who}: nothing to differentiate: this tensor was made without any input that requires a gradient, or under "
            "no_grad, or was detached, or from frozen parameters only. " + received(tensor=output)
        )
    if gradient is None:
        if output.size != 1:
            raise GradientError(
                f"{who}: only a tensor of size 1 has a gradient of its own; reduce it first, for example with .sum()"
                + (", or pass gradient= with its shape. " if who == "backward" else ". ")
                + received(tensor=output)
            )
        one = np.empty(output.shape, output.dtype)
        one.fill(1)
        return one
    seed = gradient if isinstance(gradient, Tensor) else as_array(gradient, output.dtype, copy=True)
    if seed.shape != output.shape:
        raise ShapeError(f"{who}: gradient must have the shape of the output. " + received(output=output, gradient=seed))
    return seed if seed.dtype == output.dtype else seed.astype(output.dtype)

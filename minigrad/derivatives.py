"""Derivatives as functions of functions. All of them come from one set of rules: the walk of the engine.

An argument of a function here is an array, or a dict, list or tuple of arrays, nested as you like; a list of plain numbers
is an array, as everywhere in minigrad. Derivatives come back in the same arrangement.
"""

import contextvars
import functools
import weakref
import zlib
from collections.abc import Iterable

import numpy as np

from . import journal, ops, random, settings
from .core import Node, Op, Tensor, alias, as_array, is_older, seed_of, sources, tick, walk, wrap
from .errors import DtypeError, GradientError, ShapeError, received

__all__ = ["checkpoint", "elementwise_grad", "grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]


def gradients(outputs, inputs, grad_outputs=None, retain_graph=False, create_graph=False, allow_unused=False):
    """Gradients of ``outputs`` with respect to ``inputs``, as a list of Tensors; PyTorch's ``autograd.grad``.

    ``outputs`` and ``inputs`` are a Tensor or a list of Tensors, leaves or inner ones; ``grad_outputs`` weighs the outputs.
    With ``create_graph`` the results can be differentiated again. Nothing is stored in ``.grad``.
    Raises GradientError where an output does not depend on an input, unless ``allow_unused`` (then None).

    >>> x = Tensor([2.0], requires_grad=True)
    >>> (first,) = gradients(x * x * x, x, create_graph=True)
    >>> (second,) = gradients(first, x)
    >>> first.item(), second.item()
    (12.0, 12.0)
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    weights = [None] * len(outputs) if grad_outputs is None else (
        list(grad_outputs) if isinstance(grad_outputs, list | tuple) else [grad_outputs]
    )  # fmt: skip
    if len(weights) != len(outputs):
        raise ValueError(f"grad: grad_outputs takes one weight per output. Received: {len(weights)} for {len(outputs)}.")
    for x in (*outputs, *inputs):
        if not isinstance(x, Tensor):
            raise TypeError("grad: outputs and inputs are Tensors, recorded between them. " + received(item=x))
    seeds = [seed_of(output, weight, "grad") for output, weight in zip(outputs, weights)]
    found = walk(outputs, seeds, inputs, retain_graph or create_graph, create_graph)
    for number, (x, g) in enumerate(zip(inputs, found)):
        if g is None and not allow_unused:
            raise GradientError(
                f"grad: the output does not depend on input {number} of shape {x.shape}. Pass allow_unused=True to get None for it."
            )
    return [g if g is None or isinstance(g, Tensor) else wrap(g) for g in found]


def _is_tree(x):
    return isinstance(x, dict) or (
        isinstance(x, list | tuple) and any(isinstance(item, Tensor | np.ndarray) or _is_tree(item) for item in x)
    )


def _map(change, tree):
    """``tree`` with ``change`` applied to everything in its dicts, lists and tuples."""
    if not _is_tree(tree):
        return change(tree)
    if isinstance(tree, dict):
        return {name: _map(change, item) for name, item in tree.items()}
    items = [_map(change, item) for item in tree]
    return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)


def _check(who, form, f, argnums=0):
    """Raise TypeError for what is no function, and for places of arguments that are none, before anything is called."""
    if not callable(f):
        raise TypeError(
            f"{who}: takes a function, as in {form}; of a Tensor that is computed already the gradient is autograd.grad(output, x). "
            + received(f=f)
        )
    listed = argnums if isinstance(argnums, tuple | list | range) else (argnums,)
    if not all(isinstance(i, int | np.integer) for i in listed):
        raise TypeError(f"{who}: argnums is a position or a tuple of positions; call {form}. " + received(argnums=argnums))


def _tracked(who, args, argnums):
    """The arguments with tracked Tensors at ``argnums``, joined to the caller's graph where there is one; a list of those
    Tensors; and the function that arranges one result for each of them as they were."""
    args, fresh = list(args), []

    def track(x):
        if x is None:
            return None
        if hasattr(x, "named_parameters"):
            raise TypeError(
                f"{who}: argument {i} is a layer, not an array; the graph knows its Parameters: autograd.grad(loss(model), "
                "model.parameters()), with create_graph=True to differentiate again. " + received(argument=x)
            )
        if as_array(x).dtype.kind != "f":
            raise DtypeError(f"{who}: argument {i} must be floating, to move it by a little; write 3.0 for 3. " + received(argument=x))
        fresh.append(alias(x) if isinstance(x, Tensor) and x.requires_grad else Tensor(x, requires_grad=True))
        return fresh[-1]

    positions = _positions(who, argnums, args)
    with settings.enable_grad():
        for i in positions:
            args[i] = _map(track, args[i])

    def arranged(results):
        results = iter(results)
        trees = tuple([_map(lambda x: None if x is None else next(results), args[i]) for i in positions])
        return trees if isinstance(argnums, Iterable) else trees[0]

    return args, fresh, arranged


def _positions(who, argnums, args):
    """``argnums`` as a tuple of places among the arguments."""
    positions = tuple(argnums) if isinstance(argnums, Iterable) else (argnums,)
    if not all(-len(args) <= i < len(args) for i in positions):
        raise IndexError(
            f"{who}: argnums is the place of an argument that is given by place, or a tuple of places. "
            f"Received: argnums {argnums!r}, {len(args)} argument{'s' * (len(args) != 1)} by place."
        )
    return positions


def _called(f, who, *args, **kwargs):
    """What ``f`` returns, recorded."""
    with settings.enable_grad():
        return f(*args, **kwargs)


def _a_tensor(out, who):
    """``out``; raises for anything but a floating Tensor, through which no gradient can flow."""
    if not isinstance(out, Tensor):
        raise TypeError(f"{who}: the function must return a Tensor, computed from its arguments. Received: {type(out).__name__}.")
    if out.dtype.kind != "f":
        raise DtypeError(f"{who}: the function must return floating numbers; integers and booleans have no gradient. " + received(out=out))
    return out


def _pulled(out, args, weight, retain_graph, create_graph):
    """The gradient for every argument; zeros where ``out`` does not depend on one, as for the second derivative of a line."""
    found = [None] * len(args)
    if out.requires_grad:
        found = gradients(out, args, [weight], retain_graph, create_graph, allow_unused=True)
    return [wrap(np.zeros_like(x._data)) if g is None else g for x, g in zip(args, found)]


def _nested(outer_grad, value, args):
    """Whether ``value`` depends on anything that is tracked outside too, so that its derivatives need a graph."""
    inside = {id(x) for x in args}
    return outer_grad and any(x.requires_grad and id(x) not in inside for x in sources([value]) or [value])


def _let_go(args):
    """Nobody differentiates by these any more: a derivative around this one takes what depends on them alone for a constant."""
    for x in args:
        if x.is_leaf:
            x.requires_grad = False


def value_and_grad(f, argnums=0, has_aux=False):
    """The function that returns ``(f(...), gradient)``; ``argnums`` is one position or a tuple of positions.

    ``f`` must return one number; with ``has_aux`` it returns a pair of that number and anything else, and the result is
    ``((number, anything), gradient)``.
    Where ``f`` also depends on tensors that require a gradient outside, through its arguments or by
    their names, value and gradient are part of that graph and can be differentiated again; under `no_grad` they are constants.

    >>> value, slope = value_and_grad(lambda x: (x * x).sum())(Tensor([1.0, 3.0]))
    >>> value.item(), slope.tolist()
    (10.0, [2.0, 6.0])
    >>> loss = lambda model: ((model["w"] * 3.0 + model["b"]) ** 2.0).sum()
    >>> grad(loss)({"w": Tensor(1.0), "b": Tensor(0.5)})
    {'w': tensor(21.), 'b': tensor(7.)}
    """

    _check("value_and_grad", "value_and_grad(f)(x)", f, argnums)

    @functools.wraps(f, assigned=("__doc__", "__module__"))
    def function(*args, **kwargs):
        outer_grad = settings.is_grad_enabled()
        args, fresh, arranged = _tracked("grad", args, argnums)
        out = _called(f, "grad", *args, **kwargs)
        if has_aux and not (isinstance(out, tuple) and len(out) == 2):
            raise TypeError(f"grad: with has_aux the function returns a pair (value, anything). Received: {type(out).__name__}.")
        value = _a_tensor(out[0] if has_aux else out, "grad")
        nested = _nested(outer_grad, value, fresh)
        found = arranged(_pulled(value, fresh, None, nested, nested))
        _let_go(fresh)
        result = (value, out[1]) if has_aux else value
        return result if nested else _map(lambda x: x.detach() if isinstance(x, Tensor) else x, result), found

    return function


def grad(f, argnums=0, has_aux=False):
    """The function that returns the gradient of ``f``, which must return one number; with ``has_aux``, (gradient, anything).

    Zeros where the number does not depend on the argument, as that of a constant, and behind ``detach()``.
    Raises DtypeError where the number is not floating, such as the result of argmax.

    >>> cube = lambda x: x * x * x
    >>> grad(cube)(Tensor(2.0)).item(), grad(grad(cube))(Tensor(2.0)).item(), grad(grad(grad(cube)))(Tensor(2.0)).item()
    (12.0, 12.0, 6.0)
    """
    _check("grad", "grad(f)(x)", f, argnums)
    both = value_and_grad(f, argnums, has_aux)

    def function(*args, **kwargs):
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return function


def elementwise_grad(f, argnums=0):
    """The function that returns the derivative of every element of ``f(...)`` for the same element of its argument.

    For functions that work on each element by itself: it is the gradient of the sum. Where elements do depend on each other,
    as in softmax, that is the sum over each column of the Jacobian, and `jacobian` is what to ask for. Raises ShapeError where the
    result has another shape than the argument.

    >>> elementwise_grad(lambda x: x * x * x)(Tensor([1.0, 2.0]))
    tensor([ 3., 12.])
    """
    _check("elementwise_grad", "elementwise_grad(f)(x)", f, argnums)

    def total(*args, **kwargs):
        out = _a_tensor(f(*args, **kwargs), "elementwise_grad")
        for i in _positions("elementwise_grad", argnums, args):
            if isinstance(args[i], Tensor) and args[i].shape != out.shape:
                raise ShapeError(
                    "elementwise_grad: the result must have the shape of the argument, element for element; jacobian(f) gives all "
                    "derivatives, grad(f) those of one number. " + received(argument=args[i], result=out)
                )
        return ops.sum(out)

    return grad(total, argnums)


def vjp(f, *inputs):
    """``f(*inputs)`` and the function that carries a gradient of the output back to the inputs, as often as wanted.

    The carried gradients have a graph where `value_and_grad`'s would, or with ``create_graph=True``.

    >>> out, pull = vjp(lambda x: x * x, Tensor([1.0, 2.0]))
    >>> pull([1.0, 10.0])[0].tolist()
    [2.0, 40.0]
    """
    _check("vjp", "vjp(f, x)", f)
    outer_grad = settings.is_grad_enabled()
    args, fresh, arranged = _tracked("vjp", inputs, range(len(inputs)))
    out = _a_tensor(_called(f, "vjp", *args), "vjp")
    nested = _nested(outer_grad, out, fresh)

    def pull(g, create_graph=False):
        create_graph = create_graph or nested or (outer_grad and isinstance(g, Tensor) and g.requires_grad)
        return arranged(_pulled(out, fresh, g if isinstance(g, Tensor) else as_array(g), True, create_graph))

    weakref.finalize(pull, _let_go, fresh).atexit = False  # as long as pull lives, it may be asked again
    return out, pull


def _along(who, inputs, vectors):
    """What `_tracked` makes of all inputs, and for every tracked Tensor the vector that goes with it, in its shape and dtype."""
    if any(isinstance(given, Tensor | np.ndarray | dict) for given in (inputs, vectors)):
        raise TypeError(f"{who}: takes a list of inputs and a list of directions, one per input: {who}(f, [x], [v]).")
    args, fresh, arranged = _tracked(who, inputs, range(len(inputs)))
    found = []
    for vector in vectors:
        _map(lambda v: None if v is None else found.append(v if isinstance(v, Tensor) else as_array(v)), vector)
    if [v.shape for v in found] != [x.shape for x in fresh]:
        shapes = [", ".join(str(x.shape) for x in side) or "none" for side in (fresh, found)]
        raise ShapeError(f"{who}: every input needs one direction of its shape. Received: inputs {shapes[0]}, directions {shapes[1]}.")
    return args, fresh, arranged, found


def _moved(nested, outs, x, vectors):
    """Sum of <out, vector> over all ``outs``, differentiated for the tensors ``x``; zeros where nothing depends on one."""
    joined = [(out, v) for out, v in zip(outs, vectors) if out.requires_grad]
    found = [None] * len(x)
    if joined:
        found = gradients([out for out, _ in joined], x, [v for _, v in joined], create_graph=nested, allow_unused=True)
    return [wrap(np.zeros_like(x._data)) if g is None else g for x, g in zip(x, found)]


def _any_tracked(tensors):
    return settings.is_grad_enabled() and any(isinstance(t, Tensor) and t.requires_grad for t in tensors)


def jvp(f, inputs, tangents):
    """``f(*inputs)`` and its directional derivative: how the output moves when the inputs move along ``tangents``.

    Forward mode as the vjp of the vjp, which is linear in its cotangent. Raises ShapeError where a tangent does not have the
    shape of its input.

    >>> out, moved = jvp(lambda x: x * x, [Tensor([1.0, 2.0])], [Tensor([1.0, 0.5])])
    >>> moved.tolist()
    [2.0, 2.0]
    """
    _check("jvp", "jvp(f, [x], [v])", f)
    outer_grad = settings.is_grad_enabled()
    args, fresh, _, tangents = _along("jvp", inputs, tangents)
    out = _a_tensor(_called(f, "jvp", *args), "jvp")
    nested = _nested(outer_grad, out, fresh) or _any_tracked(tangents)
    weight = Tensor(np.zeros_like(out._data), requires_grad=True)
    back = _pulled(out, fresh, weight, True, True)
    (moved,) = _moved(nested, back, [weight], tangents)
    _let_go([*fresh, weight])
    return out if nested else out.detach(), moved


def hvp(f, inputs, vectors):
    """``f(*inputs)``, which must be one number, and its Hessian times ``vectors``, one product per input.

    The gradient of <gradient, vectors>: the cost of a few gradients, never of the Hessian. Raises ShapeError where a vector
    does not have the shape of its input.

    >>> value, (product,) = hvp(lambda x: (x * x * x).sum(), [Tensor([1.0, 2.0])], [Tensor([1.0, 10.0])])
    >>> value.item(), product.tolist()
    (9.0, [6.0, 120.0])
    """
    _check("hvp", "hvp(f, [x], [v])", f)
    outer_grad = settings.is_grad_enabled()
    args, fresh, arranged, vectors = _along("hvp", inputs, vectors)
    value = _a_tensor(_called(f, "hvp", *args), "hvp")
    nested = _nested(outer_grad, value, fresh) or _any_tracked(vectors)
    slopes = _pulled(value, fresh, None, True, True)
    products = arranged(_moved(nested, slopes, fresh, vectors))
    _let_go(fresh)
    return value if nested else value.detach(), products


def jacobian(f, argnums=0):
    """The function that returns every derivative of every element: a Tensor of shape ``out.shape + argument.shape``.

    For several ``argnums`` a tuple; where ``f`` returns several Tensors, their Jacobians arranged as they are. One walk back
    per element of the output.

    >>> jacobian(lambda x: x * x)(Tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    _check("jacobian", "jacobian(f)(x)", f, argnums)

    @functools.wraps(f, assigned=("__doc__", "__module__"))
    def function(*args, **kwargs):
        outer_grad = settings.is_grad_enabled()
        args, fresh, arranged = _tracked("jacobian", args, argnums)

        def all_rows(out):
            nested = _nested(outer_grad, _a_tensor(out, "jacobian"), fresh)
            one_hot = np.eye(out.size, dtype=out.dtype).reshape(out.size, *out.shape)
            rows = zip(*[_pulled(out, fresh, weight, True, nested) for weight in one_hot])  # for each argument, out.size gradients
            if out.size == 0:
                return arranged([wrap(np.zeros((*out.shape, *x.shape), x.dtype)) for x in fresh])
            return arranged([ops.reshape(ops.stack(list(r)), (*out.shape, *x.shape)) for x, r in zip(fresh, rows)])

        table = _map(all_rows, _called(f, "jacobian", *args, **kwargs))
        _let_go(fresh)
        return table

    return function


def hessian(f, argnums=0):
    """The function that returns all second derivatives of ``f``, which must return one number: ``jacobian(grad(f))``.

    Of shape ``argument.shape + argument.shape``; for several ``argnums`` a tuple of tuples, [i][j] for arguments i and j.

    >>> hessian(lambda x: (x[0] * x[0] * x[1]))(Tensor([3.0, 5.0]))
    tensor([[10.,  6.],
            [ 6.,  0.]])
    """
    _check("hessian", "hessian(f)(x)", f, argnums)
    return jacobian(grad(f, argnums), argnums)


# ---------------------------------------------------------------------------------------------------- recomputation


def checkpoint(f, *args, **kwargs):
    """``f``, but its backward computes the forward again instead of keeping what lies in between: less memory, more time.

    ``checkpoint(f)(*args, **kwargs)``, or ``@checkpoint`` above a function. ``f`` may be a layer, use parameters by their names, return
    several Tensors in tuples, lists and dicts, contain other checkpoints, and be differentiated as often as one wants; with
    ``create_graph`` what lies in between is kept after all. The second run sees generators, Buffers and settings as the first
    one did and leaves them as it found them: dropout leaves out the same numbers, statistics are updated once.
    Raises GradientError where the second run gives something else than the first, because ``f`` depends on what changes
    outside of minigrad, such as numbers of ``np.random``.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> checkpoint(lambda x: (x * x * x).sum())(x).backward()
    >>> x.grad
    tensor([ 3., 12.])
    """
    _check("checkpoint", "checkpoint(f)(x)", f)
    if args or kwargs:
        raise TypeError("checkpoint: takes the function alone and returns one: checkpoint(f)(x). " + received(args=args, kwargs=kwargs))

    @functools.wraps(f, updated=())
    def function(*args, **kwargs):
        if not settings.is_grad_enabled():
            return f(*args, **kwargs)
        run = _Run(f, args, kwargs)
        result, outputs, inputs = run.first()
        if not outputs:
            return result
        arrays = tuple([out._data for out in outputs])
        node = Node(_CHECKPOINT, inputs, [x._data for x in inputs], {}, arrays, run)  # joins them to the inputs, whatever f recorded
        joined = node.wrap(arrays)
        made = {id(out): tensor for out, tensor in zip(outputs, joined)}
        return _map(lambda x: made.get(id(x), x), result)

    return function


class _Run:
    """A call that can be made again as it was the first time."""

    def __init__(self, f, args, kwargs):
        self.f, self.args, self.kwargs = f, args, kwargs
        self.watched = bool(settings.anomaly())
        self.context, self.generator = contextvars.copy_context(), random.current()  # each thread has a default generator of its own

    def first(self):
        """What f returns, the tensors therein that it made, and the tensors from which it made them."""
        with journal.kept() as self.before:
            result, outputs, self.inputs, _ = self._recorded()
        self.seen = self._described(outputs)
        return result, outputs, self.inputs

    def again(self):
        """Another run that sees the same and leaves no trace: its outputs, its tensor for each one in ``inputs``, when it began."""

        def run():
            with journal.undone(), random.using(self.generator):
                journal.put_back(self.before)
                return self._recorded()

        _, outputs, inputs, time = self.context.copy().run(run)
        name, seen = getattr(self.f, "__name__", type(self.f).__name__), self._described(outputs)
        if seen != self.seen:
            raise GradientError(
                f"checkpoint: computed again, {name} gives something else than the first time. It may depend on its arguments, on "
                "parameters, Buffers and minigrad's generators; np.random, the clock or a counter of its own change between the two "
                f"runs, and a layer is to be built before. Received: first {self._shown(self.seen)}, again {self._shown(seen)}."
            )
        first = [x for x in self.inputs if x.requires_grad]  # what was frozen since gets no gradient
        same = [a._place == b._place and (not a.is_leaf or a.shape == b.shape) for a, b in zip(first, inputs)]  # f may make leaves
        if len(first) != len(inputs) or not all(same):
            raise GradientError(
                f"checkpoint: computed again, {name} uses other tensors than the first time, so their gradients would be lost. "
                "It must not keep tensors from one run for the next."
            )
        inputs = iter(inputs)
        return outputs, [next(inputs) if x.requires_grad else None for x in self.inputs], time

    def _recorded(self):
        time, outputs = tick(), {}
        result = self.f(*self.args, **self.kwargs)
        _map(lambda x: outputs.update({id(x): x}) if isinstance(x, Tensor) and not is_older(x, time) else None, result)
        outputs = list(outputs.values())
        return result, outputs, [x for x in sources(outputs, time) if x.requires_grad], time

    @staticmethod
    def _described(outputs):
        return [(out.shape, out.dtype.name, zlib.crc32(np.ascontiguousarray(out._data))) for out in outputs]

    @staticmethod
    def _shown(described):
        return ", ".join(f"{shape} {dtype} with checksum {bits:08x}" for shape, dtype, bits in described) or "no recorded tensor"


_CHECKPOINT = Op(lambda *xs: xs)
_CHECKPOINT.name = "checkpoint"


@_CHECKPOINT.vjp
def _(g, _, *inputs, saved, wanted):
    """Record the call again, and walk back through it, to where it began and no further."""
    create_graph = any(isinstance(x, Tensor) for x in inputs)
    outputs, inputs, time = saved.again()
    wanted = [want and x is not None for x, want in zip(inputs, wanted)]
    pairs = [(out, weight) for out, weight in zip(outputs, g) if weight is not None]
    targets = [x for x, want in zip(inputs, wanted) if want]
    with settings.use_anomaly(saved.watched):  # in a rule it is off
        found = iter(walk([out for out, _ in pairs], [w for _, w in pairs], targets, create_graph, create_graph, time))
    return [next(found) if want else None for want in wanted]

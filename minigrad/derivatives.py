"""Derivatives as functions of functions. All of them come from one set of rules: the walk of the engine."""

import functools

import numpy as np

from . import settings
from .core import Tensor, alias, as_array, leaves_of, seed_of, walk, wrap
from .errors import DtypeError, GradientError, received


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
        [grad_outputs] if isinstance(grad_outputs, Tensor | np.ndarray) else list(grad_outputs)
    )  # fmt: skip
    seeds = [seed_of(output, weight, "grad") for output, weight in zip(outputs, weights, strict=True)]
    found = walk(outputs, seeds, inputs, retain_graph or create_graph, create_graph)
    for number, (x, g) in enumerate(zip(inputs, found)):
        if g is None and not allow_unused:
            raise GradientError(
                f"grad: the output does not depend on input {number} of shape {x.shape}. Pass allow_unused=True to get None for it."
            )
    return [g if g is None or isinstance(g, Tensor) else wrap(g) for g in found]


def _leaves(who, args, argnums):
    """The arguments with fresh tracked Tensors at ``argnums``, joined to the caller's graph where there is one."""
    args = list(args)
    for i in argnums:
        x = args[i]
        if as_array(x).dtype.kind != "f":
            raise DtypeError(f"{who}: argument {i} must be floating, to move it by a little; write 3.0 for 3. " + received(argument=x))
        args[i] = alias(x) if isinstance(x, Tensor) and x.requires_grad else Tensor(x, requires_grad=True)
    return args


def _called(f, who, *args, **kwargs):
    """What ``f`` returns, recorded; raises for anything but a Tensor, through which no gradient can flow."""
    with settings.enable_grad():
        out = f(*args, **kwargs)
    if not isinstance(out, Tensor):
        raise TypeError(f"{who}: the function must return a Tensor, computed from its arguments. Received: {type(out).__name__}.")
    return out


def _pulled(out, args, weight, retain_graph, create_graph):
    """The gradient for every argument; zeros where ``out`` does not depend on one, as for the second derivative of a line."""
    found = [None] * len(args)
    if out.requires_grad:
        found = gradients(out, args, [weight], retain_graph, create_graph, allow_unused=True)
    return [wrap(np.zeros_like(x._data)) if g is None else g for x, g in zip(args, found)]


def _nested(outer_grad, value, args):
    """Whether ``value`` depends on anything that is tracked outside too, so that its derivatives need a graph."""
    return outer_grad and not leaves_of(value) <= {id(x) for x in args if isinstance(x, Tensor) and x.is_leaf}


def value_and_grad(f, argnums=0):
    """The function that returns ``(f(...), gradient)``; ``argnums`` is one position or a tuple of positions.

    ``f`` must return one number. Where it also depends on tensors that require a gradient outside, through its arguments or by
    their names, value and gradient are part of that graph and can be differentiated again; under `no_grad` they are constants.

    >>> value, slope = value_and_grad(lambda x: (x * x).sum())(Tensor([1.0, 3.0]))
    >>> value.item(), slope.tolist()
    (10.0, [2.0, 6.0])
    """
    positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(f, assigned=("__doc__", "__module__"))
    def function(*args, **kwargs):
        outer_grad = settings.is_grad_enabled()
        with settings.enable_grad():
            args = _leaves("grad", args, positions)
        value = _called(f, "grad", *args, **kwargs)
        fresh = [args[i] for i in positions]
        nested = _nested(outer_grad, value, fresh)
        found = _pulled(value, fresh, None, nested, nested)
        return value if nested else value.detach(), found[0] if isinstance(argnums, int) else tuple(found)

    return function


def grad(f, argnums=0):
    """The function that returns the gradient of ``f``, which must return one number.

    >>> cube = lambda x: x * x * x
    >>> grad(cube)(Tensor(2.0)).item(), grad(grad(cube))(Tensor(2.0)).item(), grad(grad(grad(cube)))(Tensor(2.0)).item()
    (12.0, 12.0, 6.0)
    """
    both = value_and_grad(f, argnums)
    return lambda *args, **kwargs: both(*args, **kwargs)[1]


def vjp(f, *inputs):
    """``f(*inputs)`` and the function that carries a gradient of the output back to the inputs, as often as wanted.

    The carried gradients have a graph where `value_and_grad`'s would, or with ``create_graph=True``.

    >>> out, pull = vjp(lambda x: x * x, Tensor([1.0, 2.0]))
    >>> pull([1.0, 10.0])[0].tolist()
    [2.0, 40.0]
    """
    outer_grad = settings.is_grad_enabled()
    with settings.enable_grad():
        args = _leaves("vjp", inputs, range(len(inputs)))
    out = _called(f, "vjp", *args)
    nested = _nested(outer_grad, out, args)

    def pull(g, create_graph=False):
        create_graph = create_graph or nested or (outer_grad and isinstance(g, Tensor) and g.requires_grad)
        return tuple(_pulled(out, args, g if isinstance(g, Tensor) else as_array(g), True, create_graph))

    pull.nested = nested
    return out, pull


def jvp(f, inputs, tangents):
    """``f(*inputs)`` and its directional derivative: how the output moves when the inputs move along ``tangents``.

    Forward mode as the vjp of the vjp, which is linear in its cotangent.

    >>> out, moved = jvp(lambda x: x * x, [Tensor([1.0, 2.0])], [Tensor([1.0, 0.5])])
    >>> moved.tolist()
    [2.0, 2.0]
    """
    if isinstance(inputs, Tensor) or isinstance(tangents, Tensor):
        raise TypeError("jvp: takes a list of inputs and a list of tangents, one per input: jvp(f, [x], [t]).")
    out, pull = vjp(f, *inputs)
    nested = settings.is_grad_enabled() and (
        pull.nested or any(isinstance(t, Tensor) and t.requires_grad for t in tangents)
    )
    weight = Tensor(np.zeros_like(out._data), requires_grad=True)
    back = pull(weight, create_graph=True)
    joined = [(g, t) for g, t in zip(back, tangents, strict=True) if g.requires_grad]
    moved = None
    if joined:
        (moved,) = gradients([g for g, _ in joined], weight, [t for _, t in joined], create_graph=nested, allow_unused=True)
    return out if nested else out.detach(), wrap(np.zeros_like(out._data)) if moved is None else moved

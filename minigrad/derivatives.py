"""Derivatives as functions of functions. All of them come from one set of rules: the walk of the engine."""

import functools

import numpy as np

from . import settings
from .core import Tensor, as_array, seed_of, walk, wrap
from .errors import GradientError


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


def _leaves(args, argnums):
    """The arguments with fresh tracked Tensors at ``argnums``, joined to the caller's graph where there is one."""
    args = list(args)
    for i in argnums:
        x = args[i]
        if not (isinstance(x, Tensor) and x.requires_grad):
            args[i] = Tensor(x, requires_grad=True)
        else:
            from .core import alias

            args[i] = alias(x)
    return args


def value_and_grad(f, argnums=0):
    """The function that returns ``(f(...), gradient)``; ``argnums`` is one position or a tuple of positions.

    ``f`` must return one number. The gradient can be differentiated again.

    >>> value, slope = value_and_grad(lambda x: (x * x).sum())(Tensor([1.0, 3.0]))
    >>> value.item(), slope.tolist()
    (10.0, [2.0, 6.0])
    """
    positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(f, assigned=("__doc__", "__module__"))
    def function(*args, **kwargs):
        # the gradient gets a graph only where the caller's own arguments have one: inside another derivative
        nested = any(isinstance(args[i], Tensor) and args[i].requires_grad for i in positions)
        with settings.enable_grad():
            args = _leaves(args, positions)
            value = f(*args, **kwargs)
        found = gradients(value, [args[i] for i in positions], create_graph=nested, allow_unused=True)
        found = [wrap(np.zeros_like(args[i]._data)) if g is None else g for i, g in zip(positions, found)]
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
    """``f(*inputs)`` and the function that carries a gradient of the output back to the inputs.

    >>> out, pull = vjp(lambda x: x * x, Tensor([1.0, 2.0]))
    >>> pull([1.0, 10.0])[0].tolist()
    [2.0, 40.0]
    """
    with settings.enable_grad():
        args = _leaves(inputs, range(len(inputs)))
        out = f(*args)

    def pull(g, create_graph=False):
        found = gradients(out, args, [g if isinstance(g, Tensor) else as_array(g)], True, create_graph, allow_unused=True)
        return tuple(wrap(np.zeros_like(a._data)) if x is None else x for a, x in zip(args, found))

    return out, pull


def jvp(f, inputs, tangents):
    """``f(*inputs)`` and its directional derivative: how the output moves when the inputs move along ``tangents``.

    Forward mode as the vjp of the vjp, which is linear in its cotangent.

    >>> out, moved = jvp(lambda x: x * x, [Tensor([1.0, 2.0])], [Tensor([1.0, 0.5])])
    >>> moved.tolist()
    [2.0, 2.0]
    """
    out, pull = vjp(f, *inputs)
    weight = Tensor(np.zeros_like(out._data), requires_grad=True)
    back = pull(weight, create_graph=True)
    joined = [(g, as_array(t)) for g, t in zip(back, tangents, strict=True) if g.requires_grad]
    if not joined:
        return out.detach(), wrap(np.zeros_like(out._data))
    (moved,) = gradients([g for g, _ in joined], weight, [t for _, t in joined], allow_unused=True)
    return out.detach(), wrap(np.zeros_like(out._data)) if moved is None else moved

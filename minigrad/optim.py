"""Optimisers: they change learnable parameters that are not frozen and have a gradient, and nothing else.

    optimiser = AdamW(model.parameters(), lr=1e-3)
    for step in range(steps):
        optimiser.lr = warmup_cosine(step, 100, steps, 1e-3)    # a schedule is a function of the step
        optimiser.zero_grad()
        loss(model).backward()
        optimiser.step()

The formula of an optimiser here is a kernel, over all parameters at once. One of your own is `update`, which gets an array ``p``, to
be changed in place, its gradient ``g``, and a dict ``state`` that lasts from step to step and holds ``step``, the number of this
parameter's steps: 1 at the first. A parameter without a gradient, or a frozen one, is passed over: neither it nor its state changes
by one bit, and it goes on from there later.
What all optimisers take: ``weight_decay``, a pull towards zero; ``maximize``, to climb instead of to descend; and groups, a list of
dicts such as ``{"params": [...], "lr": 0.1}``, with options of their own.

NaN and infinite gradients are neither hidden nor repaired: what they touch becomes NaN sooner or later. To stop before,
``clip_grad_norm_(parameters, max_norm, error_if_nonfinite=True)`` raises while nothing is lost yet.
"""

import math
import numbers
import operator
from collections.abc import Iterable

import numpy as np

from . import kernels
from .core import Tensor, arrays_to_change, as_array, wrap
from .errors import DtypeError, GradientError, LayerError, ShapeError, received
from .layer import Buffer, Parameter

__all__ = [
    "SGD", "Adagrad", "Adam", "AdamW", "Lion", "Optimizer", "RMSprop", "clip_grad_norm_", "clip_grad_value_",
    "cosine", "exponential", "linear", "steps_down", "warmup_cosine",
]  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- what is learned


def _tensors(parameters):
    """A list of distinct learnable leaves; raises for anything that gradient descent must not change."""
    if not isinstance(parameters, Iterable):
        raise TypeError(f"optimiser: takes a list of parameters, such as model.parameters(). Received: {parameters!r:.60}.")
    found = {}
    for p in [parameters] if isinstance(parameters, Tensor) else parameters:
        if isinstance(p, Buffer):
            raise GradientError("optimiser: a Buffer is not learnable; only its own layer changes it. " + received(buffer=p))
        if not isinstance(p, Tensor) or not p.is_leaf:
            raise GradientError("optimiser: takes leaf tensors, such as layer.parameters(). " + received(parameter=p))
        if p.dtype.kind != "f":
            raise DtypeError("optimiser: only floating numbers can be moved by a little. " + received(parameter=p))
        if not isinstance(p, Parameter) and not p.requires_grad:
            raise GradientError(
                "optimiser: this tensor does not require a gradient, so it would never move; make it a Parameter, or with "
                "requires_grad=True. " + received(parameter=p)
            )
        found[id(p)] = p
    return list(found.values())


_FLAGS = ("amsgrad", "centered", "maximize", "nesterov")
_SHARES = ("alpha", "betas")  # of the old value in a running average


def _checked(name, value):
    """An option as a Python number, which never promotes an array; raises ValueError for one that cannot be."""
    if name in _FLAGS:
        return bool(value)
    if name == "betas":
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise ValueError(f"optimiser: betas are two numbers from 0 to below 1. Received: {value!r}.")
        return tuple(_checked("each of betas", beta) for beta in value)
    share = name in ("alpha", "each of betas")
    if not isinstance(value, numbers.Real) or not 0 <= value < (1 if share else math.inf):
        raise ValueError(f"optimiser: {name} is a number from 0{' to below 1' if share else ''}. Received: {value!r}.")
    return float(value)


def _count(key, value):
    """A number of steps from a `state_dict` as a Python int."""
    if np.shape(value) != () or np.asarray(value).dtype.kind not in "iu" or value < 0:
        raise LayerError(f"load_state_dict: {key} is a whole number from 0, it counts steps. " + received(value=value))
    return int(value)


def _limit(who, value):
    """The largest size that is let through; raises ValueError for one that would turn gradients round or make them NaN."""
    if not isinstance(value, numbers.Real) or not value >= 0:
        raise ValueError(f"{who} is a number from 0. Received: {value!r}.")
    return float(value)


# Decorates steps: as in the kernel, gradients that are not finite show in the values.
quiet = np.errstate(over="ignore", invalid="ignore")


class Optimizer:
    """What optimisers share: groups of parameters with their options, the state of every parameter, and the step.

    An optimiser of your own: name its options in ``__init__`` and write ``update``.

    >>> class SignDescent(Optimizer):
    ...     def __init__(self, parameters, lr):
    ...         super().__init__(parameters, lr=lr)
    ...     def update(self, p, g, state, lr):
    ...         p -= lr * np.sign(g)
    >>> p = Parameter([1.0, 2.0])
    >>> (p * p).sum().backward()
    >>> SignDescent([p], lr=0.5).step()
    >>> p.tolist()
    [0.5, 1.5]
    """

    arrays: tuple[str, ...] = ()  # what a state may hold besides "step"
    always: tuple[str, ...] = ()  # what it holds from the first step on, whatever the options
    decoupled = False  # whether weight decay shrinks the parameter itself, or is part of the gradient (L2)

    def __init__(self, parameters, weight_decay=0.0, maximize=False, **options):
        options.update(weight_decay=weight_decay, maximize=maximize)
        if isinstance(parameters, Iterable) and not isinstance(parameters, Tensor):
            parameters = list(parameters)
        in_groups = isinstance(parameters, list) and any(isinstance(item, dict) for item in parameters)
        self.groups = []
        for group in parameters if in_groups else [{"params": parameters}]:
            if not isinstance(group, dict) or "params" not in group:
                raise TypeError('optimiser: every group is a dict with "params", a list of parameters. ' + received(group=group))
            unknown = [name for name in group if name != "params" and name not in options]
            if unknown:
                raise ValueError(f"optimiser: unknown option {unknown[0]!r}; known: {', '.join(options)}.")
            given = {name: _checked(name, group.get(name, default)) for name, default in options.items()}
            self.groups.append({"params": _tensors(group["params"]), **given})
        count = len(self.parameters())
        if count == 0:
            raise LayerError("optimiser: no parameters to learn. Received: [].")
        if len(_tensors(self.parameters())) < count:
            raise LayerError("optimiser: a parameter is in two groups, and would be moved twice a step. Name it in one of them.")
        self.steps = 0
        self.state = {}  # number of a parameter -> its state

    def __repr__(self):
        count = lambda number: f"{number} parameter{'s' * (number != 1)}"
        shown = lambda group: [count(len(value)) if name == "params" else f"{name}={value}" for name, value in group.items()]
        return f"<{type(self).__name__}: {'; '.join(', '.join(shown(group)) for group in self.groups)}>"

    @property
    def param_groups(self):
        """PyTorch's name of ``groups``."""
        return self.groups

    @property
    def lr(self):
        """The learning rate of the first group; setting it sets every group's."""
        return self.groups[0]["lr"]

    @lr.setter
    def lr(self, value):
        for group in self.groups:
            group["lr"] = _checked("lr", value)

    def parameters(self):
        """All parameters, group after group."""
        return [p for group in self.groups for p in group["params"]]

    def zero_grad(self):
        """Forget the gradients."""
        for p in self.parameters():
            p.grad = None

    @quiet
    def step(self):
        """Change every parameter once that is not frozen and has a gradient."""
        self.steps += 1
        ps, gs = self._moving()
        for (number, group, p), g in zip(self._numbered(ps), gs):
            state = self.state.setdefault(number, {"step": 0})
            self._move(p, g, state, **{name: value for name, value in group.items() if name != "params"})

    def update(self, p, g, state, **options):
        """The formula: change ``p`` in place."""
        raise NotImplementedError(f"{type(self).__name__}: write update(self, p, g, state, lr, ...).")

    def _moving(self):
        """The parameters that this step changes, and their gradients, in their dtypes."""
        ps = [p for group in self.groups for p in group["params"] if p.grad is not None and p._requires_grad]
        gs = [p.grad._data if p.grad.__class__ is Tensor else as_array(p.grad, p.dtype) for p in ps]
        if [g.dtype for g in gs] != [p._data.dtype for p in ps]:
            gs = [as_array(g, p.dtype) for p, g in zip(ps, gs)]
        if [g.shape for g in gs] != [p._data.shape for p in ps]:
            p, g = next((p, g) for p, g in zip(ps, gs) if p.shape != g.shape)
            raise ShapeError("optimiser: a gradient has the shape of its parameter. " + received(parameter=p, gradient=g))
        return ps, gs

    def _numbered(self, ps):
        """The number, the group and the parameter itself of these parameters, which stand in the order of the groups."""
        chosen, every = set(map(id, ps)), [(group, p) for group in self.groups for p in group["params"]]
        return [(number, group, p) for number, (group, p) in enumerate(every) if id(p) in chosen]

    def _move(self, p, g, state, weight_decay, maximize, **options):
        [data] = arrays_to_change([p])
        state["step"] += 1
        g = -g if maximize else g
        if weight_decay and self.decoupled:
            data *= 1 - options["lr"] * weight_decay
        elif weight_decay:
            g = g + weight_decay * data
        self.update(data, g, state, **options)

    def state_dict(self):
        """Counts and arrays by name, ``<name>.<number of the parameter>``: with the options, all that is needed to go on."""
        state = {"steps": self.steps}
        for number, own in sorted(self.state.items()):
            state.update({f"{name}.{number}": value if name == "step" else np.array(value) for name, value in own.items()})
        return state

    def load_state_dict(self, state):
        """Go on from a `state_dict`, bit for bit; raises LayerError where it does not fit the parameters, and changes nothing then."""
        parameters, restored = self.parameters(), {}
        if "steps" not in state:
            raise LayerError(f"load_state_dict: an optimiser's state counts its steps. Received: {', '.join(state) or 'nothing'}.")
        for key, value in state.items():
            if key == "steps":
                continue
            name, _, number = key.rpartition(".")
            p = parameters[int(number)] if number.isdecimal() and int(number) < len(parameters) else None
            shape = () if name == "step" or p is None else p.shape
            if p is None or name not in ("step", *self.arrays) or np.shape(value) != shape:
                raise LayerError(
                    f"load_state_dict: {key} does not fit the parameters of this {type(self).__name__}. " + received(value=value)
                )
            restored.setdefault(int(number), {})[name] = _count(key, value) if name == "step" else np.array(value, p.dtype, order="C")
        lost = [f"{name}.{number}" for number, own in restored.items() for name in ("step", *self.always) if name not in own]
        if lost:
            raise LayerError(f"load_state_dict: {lost[0]} is missing beside the other numbers of that parameter.")
        self.steps, self.state = _count("steps", state["steps"]), restored


# --------------------------------------------------------------------------------------------------------------- formulas


class _OfAKernel(Optimizer):
    """An optimiser whose formula is a kernel: parameters with the same options that have taken as many steps move in one launch."""

    _plan = None  # what the last step was made of

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "update" in cls.__dict__:
            raise TypeError(
                f"{cls.__name__}: its update would never be called, for the formula of {cls.__base__.__name__} is a kernel. Derive from "
                "Optimizer to write a formula of your own."
            )

    def needs(self, **options):
        """The names of the arrays that a state has under these options."""
        return self.arrays

    def move(self, ps, gs, decay, scale, step, fresh, states, **options):
        """The formula, for lists of arrays; ``fresh`` where an array of their states has just been made, of zeros."""
        raise NotImplementedError(f"{type(self).__name__}: write move(self, ps, gs, decay, scale, step, fresh, states, lr, ...).")

    def step(self):
        """Change every parameter once that is not frozen and has a gradient."""
        self._step(*self._moving())

    @quiet
    def _step(self, ps, gs, scale=1.0):
        self.steps += 1
        if self._plan is None or not self._plan.holds(self, ps):  # making it takes longer than many a step
            self._plan = _Plan(self, ps)
        launches = self._plan.launches
        for launch in launches:
            options, decay = _common(launch.groups[0]), [group["weight_decay"] for group in launch.groups]
            sign = -scale if options.pop("maximize") else scale
            for state in launch.states:
                state["step"] += 1
            step, fresh, launch.fresh = launch.states[0]["step"], launch.fresh, False
            own = gs if len(launches) == 1 else [gs[place] for place in launch.places]
            self.move(arrays_to_change(launch.ps), own, decay, sign, step, fresh, launch.arrays, **options)

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "_plan"}


class _Plan:
    """The launches of a step: of parameters with the same options but for weight decay, the same number of steps, and one dtype."""

    def __init__(self, optimiser, ps):
        self.ps, self.outline, launches = ps, _outline(optimiser), {}
        for place, (number, group, p) in enumerate(optimiser._numbered(ps)):
            state, options = optimiser.state.setdefault(number, {"step": 0}), _common(group)
            names = optimiser.needs(**options)
            missing = [name for name in names if name not in state]
            state.update(zip(missing, _zeros(p, len(missing))))
            kind = names, bool(missing), state["step"], p.dtype, repr(options)  # a rate may be an array of one number
            launches.setdefault(kind, []).append((place, number, group, p, state))
        self.launches = [_Launch(names, fresh, rows) for (names, fresh, *_), rows in launches.items()]

    def holds(self, optimiser, ps):
        """Whether nothing has changed that it depends on."""
        return (
            _same(self.ps, ps) and self.outline == _outline(optimiser)
            and all([launch.holds(optimiser) for launch in self.launches])
        )  # fmt: skip


class _Launch:
    """Parameters that move together: where each stands among all that move, its number, group and state; the states' arrays by name."""

    def __init__(self, names, fresh, rows):
        self.names, self.fresh = names, fresh
        self.places, self.numbers, self.groups, self.ps, self.states = zip(*rows)
        self.kinds = list({id(group): group for group in self.groups}.values())
        self.arrays = {name: kernels.Lasting(column) for name, column in self.columns().items()}

    def columns(self):
        """The arrays of the states by name, as they are now."""
        return {name: [state.get(name) for state in self.states] for name in self.names}

    def holds(self, optimiser):
        """Whether these parameters still move together, and their states and the arrays in them are the same ones."""
        first, *others = [_common(group) for group in self.kinds]
        return (
            all([options == first for options in others])
            and optimiser.needs(**first) == self.names
            and _same(self.states, list(map(optimiser.state.get, self.numbers)))
            and len({state["step"] for state in self.states}) == 1
            and all([_same(column, self.arrays[name]) for name, column in self.columns().items()])
        )


def _common(group):
    """The options in which parameters of one launch agree."""
    return {name: value for name, value in group.items() if name not in ("params", "weight_decay")}


def _outline(optimiser):
    """Which groups there are, and of how many parameters."""
    return [(id(group), len(group["params"])) for group in optimiser.groups]


def _same(some, others):
    """Whether these are the very same objects."""
    return len(some) == len(others) and all(map(operator.is_, some, others))


def _zeros(p, count):
    """Arrays like ``p``, which begin at other places of a memory page than it does: a CPU takes equal places for equal addresses."""
    apart = 1024 // p.dtype.itemsize
    room = np.zeros(count * (p.size + apart), p.dtype)
    return [room[end - p.size : end].reshape(p.shape) for end in range(p.size + apart, room.size + 1, p.size + apart)]


class SGD(_OfAKernel):
    """Gradient descent: p -= lr g, or with momentum p -= lr velocity, velocity = momentum velocity + (1 - dampening) g.

    The first velocity is g. ``nesterov`` looks ahead: p -= lr (g + momentum velocity) (Sutskever et al. 2013).

    >>> p = Parameter([1.0])
    >>> (p * p).sum().backward()
    >>> SGD([p], lr=0.25).step()
    >>> p.item()
    0.5
    """

    arrays = ("velocity",)

    def __init__(self, parameters, lr=1e-2, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False):
        super().__init__(parameters, weight_decay, maximize, lr=lr, momentum=momentum, dampening=dampening, nesterov=nesterov)
        if any(group["nesterov"] and (group["dampening"] or not group["momentum"]) for group in self.groups):
            raise ValueError(f"SGD: nesterov needs momentum, and no dampening. Received: momentum {momentum}, dampening {dampening}.")

    def needs(self, momentum, **options):
        """See `_OfAKernel`."""
        return ("velocity",) if momentum else ()

    def move(self, ps, gs, decay, scale, step, fresh, states, lr, momentum, dampening, nesterov):
        """See the class."""
        rest = 1.0 if fresh else 1 - dampening
        kernels.sgd(ps, gs, states.get("velocity"), lr, momentum, rest, nesterov, decay, scale)


class Adam(_OfAKernel):
    """Steps in units of each number's own gradient size (Kingma and Ba 2015).

    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p -= lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps).
    ``weight_decay`` is part of the gradient here; `AdamW` is what one wants. ``amsgrad`` divides by the largest v so far (Reddi et
    al. 2018). ``global_clipnorm`` scales all gradients together to at most that norm; the norm is in ``grad_norm``.

    >>> p = Parameter([1.0])
    >>> (p * p).sum().backward()
    >>> Adam([p], lr=0.1).step()
    >>> round(p.item(), 4)
    0.9
    """

    arrays, always = ("m", "v", "top"), ("m", "v")

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False, maximize=False,
                 global_clipnorm=None):  # fmt: skip
        super().__init__(parameters, weight_decay, maximize, lr=lr, betas=betas, eps=eps, amsgrad=amsgrad)
        self.global_clipnorm = None if global_clipnorm is None else _limit("optimiser: global_clipnorm", global_clipnorm)
        self.grad_norm = None

    def __repr__(self):
        clipped = "" if self.global_clipnorm is None else f"; global_clipnorm={self.global_clipnorm}"
        return f"{super().__repr__()[:-1]}{clipped}>"

    def step(self, grad_norm=None):
        """Change every parameter once that is not frozen and has a gradient.

        ``grad_norm``: the norm of all these gradients, where `clip_grad_norm_` has measured it already.
        """
        (ps, gs), scale = self._moving(), 1.0
        if self.global_clipnorm is not None:
            self.grad_norm = kernels.grad_norm(gs) if grad_norm is None else grad_norm
            scale = clip_scale(self.grad_norm, self.global_clipnorm)
        self._step(ps, gs, scale)

    def needs(self, amsgrad, **options):
        """See `_OfAKernel`."""
        return ("m", "v", "top") if amsgrad else ("m", "v")

    def move(self, ps, gs, decay, scale, step, fresh, states, lr, betas, eps, amsgrad):
        """See the class."""
        kernels.adam(
            ps, gs, states["m"], states["v"], states.get("top"), lr, *betas, eps, step, decay, self.decoupled, scale
        )  # fmt: skip


class AdamW(Adam):
    """Adam with weight decay of its own (Loshchilov and Hutter 2019): p -= lr weight_decay p, and then Adam's step.

    >>> p = Parameter([1.0])
    >>> (p * p).sum().backward()
    >>> AdamW([p], lr=0.1, weight_decay=0.0).step()
    >>> round(p.item(), 4)
    0.9
    """

    decoupled = True

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False, maximize=False,
                 global_clipnorm=None):  # fmt: skip
        super().__init__(parameters, lr, betas, eps, weight_decay, amsgrad, maximize, global_clipnorm)


class RMSprop(_OfAKernel):
    """Steps divided by the root of the running mean of g^2 (Tieleman and Hinton 2012, lecture 6.5).

    v = alpha v + (1 - alpha) g^2;  p -= lr g / (sqrt(v) + eps). ``centered`` takes the variance, v - mean^2, in place of v (Graves
    2013); with ``momentum``: velocity = momentum velocity + g / (sqrt(v) + eps), p -= lr velocity.

    >>> p = Parameter([1.0])
    >>> (p * p).sum().backward()
    >>> RMSprop([p], lr=0.01).step()
    >>> round(p.item(), 4)
    0.9
    """

    arrays, always = ("v", "mean", "velocity"), ("v",)

    def __init__(self, parameters, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False, maximize=False):
        super().__init__(parameters, weight_decay, maximize, lr=lr, alpha=alpha, eps=eps, momentum=momentum, centered=centered)

    def needs(self, centered, momentum, **options):
        """See `_OfAKernel`."""
        return "v", *["mean"] * centered, *["velocity"] * bool(momentum)

    def move(self, ps, gs, decay, scale, step, fresh, states, lr, alpha, eps, momentum, centered):
        """See the class."""
        kernels.rmsprop(ps, gs, states["v"], states.get("mean"), states.get("velocity"), lr, alpha, eps, momentum, decay, scale)


class Adagrad(_OfAKernel):
    """Steps divided by the root of the sum of all g^2 so far (Duchi et al. 2011): what seldom moves, moves far.

    total += g^2;  p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(total) + eps).

    >>> p = Parameter([1.0])
    >>> (p * p).sum().backward()
    >>> Adagrad([p], lr=0.5).step()
    >>> p.item()
    0.5
    """

    arrays = always = ("total",)

    def __init__(self, parameters, lr=1e-2, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10, maximize=False):
        super().__init__(
            parameters, weight_decay, maximize, lr=lr, lr_decay=lr_decay, initial_accumulator_value=initial_accumulator_value, eps=eps
        )

    def move(self, ps, gs, decay, scale, step, fresh, states, lr, lr_decay, initial_accumulator_value, eps):
        """See the class."""
        for total in states["total"] if fresh else ():
            total.fill(initial_accumulator_value)
        kernels.adagrad(ps, gs, states["total"], lr / (1 + (step - 1) * lr_decay), eps, decay, scale)


class Lion(_OfAKernel):
    """Steps of one size, in the direction of a sign (Chen et al. 2023); one array of state instead of Adam's two.

    p -= lr sign(b1 m + (1 - b1) g);  m = b2 m + (1 - b2) g; weight decay as in `AdamW`. Takes a rate 3 to 10 times smaller than
    AdamW's, and a weight decay as many times larger.

    >>> p = Parameter([1.0])
    >>> (p * p).sum().backward()
    >>> Lion([p], lr=0.25).step()
    >>> p.item()
    0.75
    """

    arrays = always = ("m",)

    def __init__(self, parameters, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0, maximize=False):
        super().__init__(parameters, weight_decay, maximize, lr=lr, betas=betas)

    def move(self, ps, gs, decay, scale, step, fresh, states, lr, betas):
        """See the class."""
        kernels.lion(ps, gs, states["m"], lr, *betas, decay, scale)


# --------------------------------------------------------------------------------------------------------------- clipping


def clip_scale(norm, max_norm):
    """The factor that brings gradients of this norm to at most ``max_norm``.

    >>> clip_scale(4.0, 1.0) < 0.25, clip_scale(0.5, 1.0)
    (True, 1.0)
    """
    return min(max_norm / (norm + 1e-6), 1.0)  # in this order NaN stays NaN, and no gradient passes unclipped


def clip_grad_norm_(parameters, max_norm, error_if_nonfinite=False):
    """Scale all gradients together so that their norm is at most ``max_norm``; returns the norm before.

    Infinite gradients become NaN, and the finite ones beside them 0, or NaN where one was NaN. With ``error_if_nonfinite`` raises
    GradientError where a gradient is NaN or infinite, and changes nothing.

    >>> p = Parameter([3.0, 4.0])
    >>> (p * p).sum().backward()
    >>> clip_grad_norm_([p], 1.0), round(float((p.grad * p.grad).sum()), 3)
    (10.0, 1.0)
    """
    max_norm = _limit("clip_grad_norm_: max_norm", max_norm)
    with_gradient = [p for p in _tensors(parameters) if p.grad is not None and p.requires_grad]  # a frozen one takes no part in the step
    norm = kernels.grad_norm([p.grad._data for p in with_gradient])
    if error_if_nonfinite and not math.isfinite(norm):
        bad = next((p for p in with_gradient if not np.isfinite(p.grad._data).all()), None)
        where = "their squares are too large to be added up" if bad is None else f"one of shape {bad.shape} holds NaN or infinity"
        raise GradientError(f"clip_grad_norm_: the norm of the gradients is {norm}: {where}. Received: {len(with_gradient)} gradients.")
    scale = clip_scale(norm, max_norm)
    if not scale >= 1.0:  # NaN too
        for p, g in zip(with_gradient, kernels.scaled([p.grad._data for p in with_gradient], scale)):
            p.grad = wrap(g)
    return norm


def clip_grad_value_(parameters, clip_value):
    """Bring every number of every gradient into -clip_value .. clip_value.

    >>> p = Parameter([3.0, 4.0])
    >>> (p * p).sum().backward()
    >>> clip_grad_value_([p], 7.0)
    >>> p.grad.tolist()
    [6.0, 7.0]
    """
    limit = _limit("clip_grad_value_: clip_value", clip_value)
    for p in _tensors(parameters):
        if p.grad is not None:
            p.grad = wrap(np.clip(p.grad._data, -limit, limit))


# -------------------------------------------------------------------------------------------------------------- schedules
#
# A schedule is a function of the step, which counts from 0, and gives a learning rate: ``optimiser.lr = cosine(step, 1000, 0.1)``.


def linear(step, steps, peak, floor=0.0):
    """From ``peak`` straight down to ``floor`` over ``steps`` steps, and there it stays.

    >>> [linear(s, 4, 1.0) for s in range(6)]
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """
    return floor + (peak - floor) * (1 - _progress(step, steps))


def cosine(step, steps, peak, floor=0.0):
    """From ``peak`` down to ``floor`` over ``steps`` steps along half a cosine, and there it stays (Loshchilov and Hutter 2017).

    >>> [round(cosine(s, 4, 1.0), 3) for s in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * _progress(step, steps)))


def warmup_cosine(step, warmup, steps, peak, floor=0.0):
    """Linear up to ``peak`` over ``warmup`` steps, then half a cosine down to ``floor``, which step ``steps`` reaches.

    >>> [round(warmup_cosine(s, 2, 6, 1.0, 0.1), 3) for s in range(6)]
    [0.5, 1.0, 1.0, 0.868, 0.55, 0.232]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return cosine(step - warmup, steps - warmup, peak, floor)


def exponential(step, peak, factor):
    """``peak``, times ``factor`` after every step.

    >>> [exponential(s, 1.0, 0.5) for s in range(4)]
    [1.0, 0.5, 0.25, 0.125]
    """
    return peak * factor**step


def steps_down(step, peak, every, factor=0.1):
    """``peak``, times ``factor`` after every ``every`` steps.

    >>> [steps_down(s, 1.0, 2, 0.5) for s in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """
    return peak * factor ** (step // every)


def _progress(step, steps):
    return min(1.0, step / max(1, steps))

"""Optimisers: they change learnable parameters that are not frozen and have a gradient, and nothing else."""

import math
from collections.abc import Iterable

import numpy as np

from . import kernels
from .core import Tensor, wrap
from .errors import GradientError, LayerError, received
from .layer import Buffer


def _tensors(parameters):
    """A list of distinct learnable leaves; raises for anything that gradient descent must not change."""
    found = {}
    for p in parameters:
        if isinstance(p, Buffer):
            raise GradientError("optimiser: a Buffer is not learnable; only its own layer changes it. " + received(buffer=p))
        if not isinstance(p, Tensor) or not p.is_leaf:
            raise GradientError("optimiser: takes leaf tensors, such as layer.parameters(). " + received(parameter=p))
        found[id(p)] = p
    return list(found.values())


class Optimizer:
    """What optimisers share: parameter groups, each with its own options, and a step count."""

    def __init__(self, parameters, **options):
        if not isinstance(parameters, Iterable):
            raise TypeError(f"optimiser: takes a list of parameters, such as model.parameters(). Received: {parameters!r:.60}.")
        groups = list(parameters)
        if not groups or not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        unknown = [name for group in groups for name in group if name != "params" and name not in options]
        if unknown:
            raise ValueError(f"optimiser: unknown option {unknown[0]!r}; known: {', '.join(options)}.")
        for group in [options, *groups]:
            if not isinstance(group.get("lr", 0), int | float) or not group.get("lr", 0) >= 0:
                raise ValueError(f"optimiser: lr is a number from 0. Received: {group['lr']!r}.")
        self.groups = [{**options, **group, "params": _tensors(group["params"])} for group in groups]
        count = len(self.parameters())
        if count == 0:
            raise LayerError("optimiser: no parameters to learn. Received: [].")
        if len(_tensors(self.parameters())) < count:
            raise LayerError("optimiser: a parameter is in two groups, and would be moved twice a step. Name it in one of them.")
        self.steps = 0
        self.state = {}  # id of a parameter -> its arrays

    @property
    def lr(self):
        """The learning rate of the first group; setting it sets every group's."""
        return self.groups[0]["lr"]

    @lr.setter
    def lr(self, value):
        for group in self.groups:
            group["lr"] = value

    def parameters(self):
        """All parameters, group after group."""
        return [p for group in self.groups for p in group["params"]]

    def zero_grad(self):
        """Forget the gradients."""
        for p in self.parameters():
            p.grad = None

    def _moving(self, group):
        """The parameters of a group that this step changes: not frozen, with a gradient."""
        return [p for p in group["params"] if p._requires_grad and p.grad is not None]

    def state_dict(self):
        """Step count and arrays by name, ``<array>.<number of the parameter>``: all that is needed to go on."""
        state = {"steps": self.steps}
        for number, p in enumerate(self.parameters()):
            state.update({f"{name}.{number}": array.copy() for name, array in self.state.get(id(p), {}).items()})
        return state

    def load_state_dict(self, state):
        """Go on from a `state_dict`; raises LayerError where it does not fit the parameters."""
        parameters = self.parameters()
        restored = {}
        for key, array in state.items():
            if key == "steps":
                continue
            name, _, number = key.rpartition(".")
            if not number.isdecimal() or int(number) >= len(parameters) or parameters[int(number)].shape != array.shape:
                raise LayerError(f"load_state_dict: {key} does not fit the optimiser's parameters. " + received(array=array))
            p = parameters[int(number)]
            restored.setdefault(id(p), {})[name] = np.array(array, p.dtype, order="C")
        self.steps, self.state = int(state["steps"]), restored


class SGD(Optimizer):
    """Gradient descent: p -= lr * (velocity or gradient); velocity = momentum * velocity + gradient.

    >>> p = Tensor([1.0], requires_grad=True)
    >>> (p * p).sum().backward()
    >>> SGD([p], lr=0.25).step()
    >>> p.item()
    0.5
    """

    def __init__(self, parameters, lr=1e-2, momentum=0.0):
        super().__init__(parameters, lr=lr, momentum=momentum)

    def step(self):
        """Change every parameter once."""
        self.steps += 1
        for group in self.groups:
            for p in self._moving(group):
                move = p.grad._data
                if group["momentum"]:
                    state = self.state.setdefault(id(p), {"velocity": np.zeros(p.shape, p.dtype)})
                    state["velocity"] = move = group["momentum"] * state["velocity"] + move
                data = p._writable()
                data -= group["lr"] * move
                p._mark_changed()


class AdamW(Optimizer):
    """Adam with decoupled weight decay, all parameters in one kernel (Loshchilov and Hutter 2019).

    p -= lr decay p;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p -= lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps).
    ``global_clipnorm`` scales all gradients together to at most that norm, inside the kernel; the norm is in ``grad_norm``.

    >>> p = Tensor([1.0], requires_grad=True)
    >>> (p * p).sum().backward()
    >>> AdamW([p], lr=0.1, weight_decay=0.0).step()
    >>> round(p.item(), 4)
    0.9
    """

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, global_clipnorm=None):
        super().__init__(parameters, lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay)
        self.global_clipnorm, self.grad_norm = global_clipnorm, None

    def step(self):
        """Change every parameter once."""
        self.steps += 1
        scale = 1.0
        if self.global_clipnorm is not None:
            self.grad_norm = kernels.grad_norm([p.grad._data for group in self.groups for p in self._moving(group)])
            scale = clip_scale(self.grad_norm, self.global_clipnorm)
        together = {}  # groups with the same rates go into one launch
        for group in self.groups:
            together.setdefault((group["lr"], group["betas"], group["eps"]), []).append(group)
        for (lr, betas, eps), groups in together.items():
            moving = [(p, group["weight_decay"]) for group in groups for p in self._moving(group)]
            if not moving:
                continue
            states = [self._moments(p) for p, _ in moving]
            kernels.adamw(
                [p._writable() for p, _ in moving], [p.grad._data for p, _ in moving], [s["m"] for s in states], [s["v"] for s in states],
                lr, *betas, eps, [decay for _, decay in moving], self.steps, scale,
            )  # fmt: skip
            for p, _ in moving:
                p._mark_changed()

    def _moments(self, p):
        if id(p) not in self.state:
            self.state[id(p)] = {"m": np.zeros(p.shape, p.dtype), "v": np.zeros(p.shape, p.dtype)}
        return self.state[id(p)]


def clip_scale(norm, max_norm):
    """The factor that brings gradients of this norm to at most ``max_norm``.

    >>> clip_scale(4.0, 1.0) < 0.25, clip_scale(0.5, 1.0)
    (True, 1.0)
    """
    return min(max_norm / (norm + 1e-6), 1.0)  # in this order NaN stays NaN, and no gradient passes unclipped


def clip_grad_norm_(parameters, max_norm):
    """Scale all gradients together so that their norm is at most ``max_norm``; returns the norm before.

    >>> p = Tensor([3.0, 4.0], requires_grad=True)
    >>> (p * p).sum().backward()
    >>> clip_grad_norm_([p], 1.0), round(float((p.grad * p.grad).sum()), 3)
    (10.0, 1.0)
    """
    with_gradient = [p for p in _tensors(parameters) if p.grad is not None]
    norm = kernels.grad_norm([p.grad._data for p in with_gradient])
    scale = clip_scale(norm, max_norm)
    if not scale >= 1.0:  # NaN too
        for p in with_gradient:
            p.grad = wrap(p.grad._data * p.grad._data.dtype.type(scale))
    return norm


def warmup_cosine(step, warmup, steps, peak, floor=0.0):
    """Learning rate of step 0, 1, ...: linear up to ``peak`` over ``warmup`` steps, then half a cosine down to ``floor``.

    >>> [round(warmup_cosine(s, 2, 6, 1.0, 0.1), 3) for s in range(6)]
    [0.5, 1.0, 1.0, 0.868, 0.55, 0.232]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * progress))

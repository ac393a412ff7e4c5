"""Gradients against finite differences: is the derivative that the engine computes the derivative of the function?

Every check has the same course. The function becomes one of float64 arrays alone (`_Function`), a way of differentiating it gives
the analytic side (`_Reverse`, `_SecondOrder`, `_Forward`), `differences` gives the numeric side with its estimated error, and
an entry is wrong where the two are further apart than that error explains. What cannot be measured well enough is
*inconclusive*, which is no pass.
"""

import contextlib
import functools
import heapq
import inspect
import itertools
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from . import journal, ops, settings
from .anomaly import checksums
from .core import REGISTRY, Tensor, alias, apply, wrap
from .derivatives import gradients, jvp
from .differences import INCONCLUSIVE, STEP, Quotient, along, relative_scale
from .errors import DtypeError, GradcheckError, GradientError, Inconclusive, LayerError, received
from .layer import Layer, Parameter

__all__ = ["finite_difference", "gradcheck", "gradgradcheck", "jvpcheck"]

FULL = 600  # entries of the Jacobian up to which each one is checked
MARGIN = 4  # an entry is wrong where it is off by more than this many estimated errors of the quotient
FAR = (2.0**22, 2.0**28)  # by how much the step is smaller at which a disagreement is looked at from close by
ROUNDING = 1e-12  # what an analytic 0 may be, where the value is 0 and stays 0, so that the quotient has no error at all
SHOWN = 5  # entries in the table of a failure


# -------------------------------------------------------------------------------------------------- what users call


def finite_difference(f, *inputs):
    """The numerical gradient of ``f`` for every input: a list of float64 arrays.   inputs (...) -> [(...)]

    (f(x + h) - f(x - h)) / 2h for each element, at several steps h, extrapolated (Richardson). ``f`` gets a Tensor where you pass
    a Tensor, else an array. Where it returns one number, its gradient has the shape of the input; where it returns an array, the
    axes of that array come first (the Jacobian). An input of integers is a constant, and None stands in its place.
    Raises DtypeError where no input is floating.

    >>> finite_difference(lambda x: (x * x).sum(), np.array([1.0, 3.0]))[0].round(6)
    array([2., 6.])
    """
    function = _Function(f, inputs)
    with function.at_rest(), settings.no_grad():

        def value(arrays):
            given = [wrap(a) if tensor else a.copy() for a, tensor in zip(arrays, function.were_tensors)]
            out = function.call(given)
            return np.asarray(out._data if isinstance(out, Tensor) else out, np.float64)

        here, found = value(function.arrays), []
        for number, x in enumerate(function.arrays[: function.inputs]):
            columns = [
                along(_line(lambda arrays: value(arrays).reshape(-1), function.arrays, number, d), here.reshape(-1), abs(here.reshape(-1)),
                      reach=_reach(x, d)).slope for d in np.eye(x.size)
            ]  # fmt: skip
            jacobian = np.array(columns).reshape(x.size, here.size).T  # (outputs, elements of x)
            found.append(jacobian.reshape(x.shape if here.size == 1 else (*here.shape, *x.shape)))
    return list(function.arranged(found))


def gradcheck(f, *inputs, kwargs=None, layer=None, names=None, full=None, projections=8, step=STEP, seed=0,
              raise_exception=True, **others) -> "Report":  # fmt: skip
    """Check the gradient of ``f`` for every floating input against finite differences, in float64.

    ``f`` returns a Tensor, or several in tuples, lists and dicts. Inputs are arrays, Tensors, numbers and lists of them; integers and
    all else are passed on as they are, and so are the plain numbers in ``kwargs``. ``f`` may be a `Layer`, whose Parameters are
    then checked by their paths, frozen ones too; a function that uses one says so by ``layer``. Every call finds Buffers
    and minigrad's generators as the first one did, and at the end everything is as it was. Matrix products are not rounded, whatever
    `matmul_precision` says: the check is one of the formulas.

    A Jacobian of up to 600 entries is checked entry by entry; a larger one by ``projections`` random directions of each input and
    as many random weightings of the outputs (``full`` forces one or the other). The tolerance is what the difference quotient
    may be off by its own estimate. Returns a `Report`, whose repr is a table.
    Raises GradcheckError where an entry is wrong; Inconclusive, a kind of GradcheckError, where an estimated error is above
    1e-6 (relative), as near a kink; with ``raise_exception=False`` the report says so by ``passed`` and ``conclusive``.

    >>> gradcheck(lambda x: x * x * x, np.array([1.0, -2.0])).passed
    True
    """
    return _check(_Reverse, (f, inputs, kwargs, layer, names), full, projections, step, seed, raise_exception, others)


def gradgradcheck(f, *inputs, kwargs=None, layer=None, names=None, full=None, projections=8, step=STEP, seed=0,
                  raise_exception=True, **others) -> "Report":  # fmt: skip
    """Check the gradient of the gradient of ``f``, for every floating input and for the weights of the outputs.

    The function that is differentiated is (inputs, weights) -> gradient of sum(weights * f(inputs)), by differences of the ordinary
    backward, and by the engine with a graph of the gradient. Arguments, result and errors as in `gradcheck`.

    >>> gradgradcheck(lambda x: x * x * x, np.array([1.0, -2.0])).passed
    True
    """
    return _check(_SecondOrder, (f, inputs, kwargs, layer, names), full, projections, step, seed, raise_exception, others)


def jvpcheck(f, *inputs, kwargs=None, layer=None, names=None, full=None, projections=8, step=STEP, seed=0,
             raise_exception=True, **others) -> "Report":  # fmt: skip
    """Check forward mode, `jvp`, against the difference along each direction. Arguments, result and errors as in `gradcheck`.

    >>> jvpcheck(lambda x: x * x * x, np.array([1.0, -2.0])).passed
    True
    """
    return _check(_Forward, (f, inputs, kwargs, layer, names), full, projections, step, seed, raise_exception, others)


# ------------------------------------------------------------------------------------------------------- the report


class Entry(NamedTuple):
    """One compared number: where it stands, what the engine says, what the quotient says and how far it may be off."""

    output: str
    place: str
    analytic: float
    numeric: float
    error: float
    step: float


@dataclass
class Argument:
    """What was found for one argument: the worst relative difference, and the worst relative error of the quotient itself."""

    name: str
    shape: tuple
    mode: str  # "entries" of the Jacobian, or "projections" of it
    entries: int  # how many of them were compared
    worst: float = 0.0
    uncertain: float = 0.0
    wrong: str = ""  # where it is wrong, in words
    unclear: str = ""  # why nothing can be said
    table: list = field(default_factory=list)  # of `Entry`, the worst first

    @property
    def verdict(self):
        return "WRONG" if self.wrong else "inconclusive" if self.unclear else "ok"


@dataclass(repr=False)
class Report:
    """The result of a check: one `Argument` per checked argument, and notes; true where it passed."""

    check: str
    title: str
    arguments: list
    notes: list
    culprits: str = ""

    @property
    def conclusive(self):
        """Whether every quotient was precise enough to say something."""
        return not any(a.unclear for a in self.arguments)

    @property
    def passed(self):
        """Whether everything was compared and agrees."""
        return self.conclusive and not any(a.wrong for a in self.arguments)

    @property
    def worst(self):
        """The largest relative difference."""
        return max((a.worst for a in self.arguments), default=0.0)

    def __bool__(self):
        return self.passed

    def __iter__(self):
        return iter(self.arguments)

    def __len__(self):
        return len(self.arguments)

    def __getitem__(self, number):
        return self.arguments[number]

    def __repr__(self):
        verdict = "passed" if self.passed else "inconclusive" if not any(a.wrong for a in self.arguments) else "WRONG"
        head = ("argument", "shape", "compared", "relative difference", "quotient's own error", "")
        rows = [(a.name, str(a.shape), f"{a.entries} {a.mode}", f"{a.worst:.1e}", f"{a.uncertain:.1e}", a.verdict) for a in self]
        return "\n".join([f"{self.check} of {self.title}: {verdict}", *aligned([head, *rows]), *(f"  note: {n}" for n in self.notes)])

    def explanation(self):
        """The message of the exception: what is wrong where, with the worst entries as a table."""
        parts = []
        for a in self.arguments:
            if not (a.wrong or a.unclear):
                continue
            parts.append(f"{self.check}: {self.title}: " + (f"the gradient of {a.name} is wrong {a.wrong}. The worst:" if a.wrong else
                         f"nothing can be said about the gradient of {a.name}: {a.unclear}"))  # fmt: skip
            if a.table:
                head = ("output", f"index of {a.name}", "analytic", "numeric", "difference", "its error", "step")
                parts += aligned([head, *(
                    (e.output, e.place, f"{e.analytic:.9g}", f"{e.numeric:.9g}", f"{abs(e.analytic - e.numeric):.1e}", f"{e.error:.1e}",
                     f"{e.step:.1e}") for e in a.table
                )])  # fmt: skip
        return "\n".join([*parts, *([self.culprits] if self.culprits else []), *(f"note: {n}" for n in self.notes)])


def aligned(rows):
    """Rows of texts as lines in columns; numbers, like all but the first two columns, stand on the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ("  ".join(f"{c:<{w}}" if i < 2 else f"{c:>{w}}" for i, (c, w) in enumerate(zip(row, widths))) for row in rows)
    return ["  " + line.rstrip() for line in lines]


# --------------------------------------------------------------------------------- f as a function of float64 arrays

_STATE = [slot for slot in Tensor.__slots__ if slot != "__weakref__"]


class _Place:
    """Stands for a floating argument among the others."""

    def __init__(self, number):
        self.number = number


class _Function:
    """``f`` as a function of its floating arrays alone: first its inputs, then the Parameters of its layers; all in float64."""

    def __init__(self, f, inputs, kwargs=None, layer=None, names=None):
        if not callable(f):
            raise TypeError("gradcheck: takes a function, and then its inputs one by one: gradcheck(f, a, b). " + received(f=f))
        self.f, self.title, kwargs = f, _title(f), kwargs or {}
        self._as_tuple = len(inputs) == 1 and isinstance(inputs[0], tuple)
        self.arrays, self.names, self.were_tensors = [], [], []
        self._attributes, self._containers, self._streams, self._seen = [], [], [], set()
        self._promoted, self._constants, self._frozen = [], [], []
        self._precision = settings.matmul_precision()
        roots = [one for one in (_layer_of(f), layer, *inputs, *kwargs.values()) if isinstance(one, Layer)]
        _ensure_built(f, inputs, kwargs)
        self._look_into([*roots, *inputs, *kwargs.values()])
        names = list(names or _argument_names(f))
        names += [f"input {i}" for i in range(len(names), len(inputs))]
        self._received = {**dict(zip(names, inputs)), **kwargs}
        self._args = [self._take(x, name) for x, name in zip(inputs, names)]
        self._kwargs = {name: self._take(x, name, keyword=True) for name, x in kwargs.items()}
        self.inputs, self._tensors, self._parameters = len(self.arrays), {}, []
        for path, tensor in [pair for root in roots for pair in root.named_tensors().items()]:
            if id(tensor) not in self._tensors:
                self._tensors[id(tensor)] = tensor
                if isinstance(tensor, Parameter):
                    self._parameters.append(tensor)
                    self._add(tensor, path)
                    self._frozen += [path] if tensor.frozen else []

    @property
    def notes(self):
        """What a reader of the result should know."""
        facts = [("made float64 for the check", self._promoted), ("not differentiated", self._constants),
                 ("checked although frozen", self._frozen)]  # fmt: skip
        listed = lambda names: ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        rounded = f'checked without matmul_precision("{self._precision}"): what rounds goes in steps, and has no derivative to check'
        return [f"{fact}: {listed(names)}" for fact, names in facts if names] + [rounded] * (self._precision != "float32")

    def _look_into(self, item):
        """Notice layers and their attributes, and NumPy's generators, of which minigrad's journal does not know."""
        if isinstance(item, np.ndarray | Tensor) or id(item) in self._seen:
            return
        self._seen.add(id(item))
        if isinstance(item, np.random.Generator):
            self._streams.append((item, item.bit_generator.state))
        elif isinstance(item, Layer):
            self._attributes.append((item, dict(vars(item))))
            self._look_into(list(vars(item).values()))
        elif isinstance(item, list | tuple | dict):
            if not isinstance(item, tuple):
                self._containers.append((item, item.copy()))
            for value in item.values() if isinstance(item, dict) else item:
                self._look_into(value)

    def _take(self, x, name, keyword=False):
        """An argument with a `_Place` for everything floating in it; plain numbers by keyword are settings and stay."""
        if isinstance(x, Tensor | np.ndarray | np.generic) or (isinstance(x, float) and not keyword):
            return self._add(x, name)
        if isinstance(x, dict):
            return {key: self._take(item, f"{name}[{key!r}]", keyword) for key, item in x.items()}
        if isinstance(x, list | tuple):
            if _are_numbers(x):
                return x if keyword or np.asarray(x).dtype.kind != "f" else self._add(np.asarray(x), name)
            items = [self._take(item, f"{name}[{i}]", keyword) for i, item in enumerate(x)]
            return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
        return x

    def _add(self, x, name):
        data = x._data if isinstance(x, Tensor) else np.asarray(x)
        if data.dtype.kind != "f":
            self._constants.append(f"{name} ({data.dtype})")
            return x
        if data.dtype != np.float64:
            self._promoted.append(name)
        self.arrays.append(data.astype(np.float64))
        self.names.append(name)
        self.were_tensors.append(isinstance(x, Tensor))
        return _Place(len(self.arrays) - 1)

    @contextlib.contextmanager
    def at_rest(self):
        """Inside, layers are in float64, Python's floats become it, and nothing is rounded; afterwards every bit is as it was."""
        if not self.arrays:
            raise DtypeError(
                f"{self.title}: no input is floating, so there is nothing to move by a little; write 3.0 for 3, or convert with "
                ".astype('float64'). " + received(**self._received)
            )
        states = [(t, slot, getattr(t, slot)) for t in self._tensors.values() for slot in _STATE]
        try:
            for t in self._tensors.values():
                t._data = t._data.astype(np.float64) if t.dtype.kind == "f" else t._data
            unrounded = settings.matmul_precision("float32")
            with settings.use_default_dtype(np.float64), unrounded, settings.enable_grad(), np.errstate(all="ignore"):
                yield self
        finally:
            self._rewind()
            for t, slot, value in states:
                setattr(t, slot, value)

    def _rewind(self):
        for layer, attributes in self._attributes:
            vars(layer).clear()
            vars(layer).update(attributes)
        for container, items in self._containers:
            container.clear()
            (container.update if isinstance(container, dict) else container.extend)(items)
        for generator, state in self._streams:
            generator.bit_generator.state = state

    def call(self, values):
        """What f returns for these inputs; Buffers, generators and attributes of layers stay as they are."""
        self._rewind()
        try:
            with journal.undone():
                out = self.f(*_filled(self._args, values), **_filled(self._kwargs, values))
                for name, value in zip(self.names, values):
                    if isinstance(value, Tensor) and value._changed:
                        raise GradientError(f"{self.title}: assigns to its input {name}; what it is the gradient of would be unclear.")
                return out
        except (TypeError, GradientError) as error:
            if not self._as_tuple:
                raise
            raise TypeError(f"{self.title}: got one tuple. Give inputs one by one: gradcheck(f, a, b). It raised: {error}") from error

    def arranged(self, values):
        """``values`` in the arrangement of the inputs, None where nothing is floating."""
        return _filled(self._args, values, constants=False)

    def __call__(self, leaves):
        """The floating outputs, recorded, for tensors in the place of inputs and Parameters."""
        for parameter, leaf in zip(self._parameters, leaves[self.inputs :]):
            stand_in = alias(leaf)  # until the next call the Parameter is a result, computed from the leaf
            for slot in _STATE:
                setattr(parameter, slot, getattr(stand_in, slot))
        outputs = _floating(self.title, self.call(leaves))
        if not outputs:
            raise DtypeError(f"{self.title}: returned nothing floating, so there is nothing to differentiate.")
        return outputs


def _title(f):
    if isinstance(f, functools.partial):
        return _title(f.func)
    name = type(f).__name__ if isinstance(f, Layer) else getattr(f, "__name__", type(f).__name__)
    return "f" if name == "<lambda>" else name


def _layer_of(f):
    """The layer that is called: f itself, or what a method or a partial belongs to."""
    if isinstance(f, functools.partial):
        return _layer_of(f.func)
    owner = f if isinstance(f, Layer) else getattr(f, "__self__", None)
    return owner if isinstance(owner, Layer) else None


def _ensure_built(f, inputs, kwargs):
    """Call a layer once whose parameters depend on its input, so that they are made; statistics do not change by it."""
    layer = _layer_of(f)
    try:
        if layer is not None:
            layer.named_tensors()
    except LayerError:
        with settings.no_grad():
            f(*inputs, **{**kwargs, "training": False})


def _argument_names(f):
    """Names of the arguments by place, as far as they have any."""
    op = getattr(f, "op", None)
    if op is not None:
        return [*op.arrays, *op.parameters]
    try:
        parameters = inspect.signature(f.call if isinstance(f, Layer) else f).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in itertools.takewhile(lambda p: p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD), parameters)]


def _are_numbers(x):
    """Whether nested lists hold plain numbers and nothing else."""
    return all(_are_numbers(item) if isinstance(item, list | tuple) else isinstance(item, int | float) for item in x)


def _filled(tree, values, constants=True):
    """``tree`` with values in its places."""
    if isinstance(tree, _Place):
        return values[tree.number]
    if isinstance(tree, dict):
        return {key: _filled(item, values, constants) for key, item in tree.items()}
    if isinstance(tree, list | tuple):
        items = [_filled(item, values, constants) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return tree if constants else None


def _floating(title, out):
    """The floating Tensors in what a function returned, in tuples, lists and dicts."""
    if isinstance(out, dict | list | tuple):
        return [t for item in (out.values() if isinstance(out, dict) else out) for t in _floating(title, item)]
    if isinstance(out, Tensor):
        return [out] if out.dtype.kind == "f" else []
    if isinstance(out, float | np.floating) or (isinstance(out, np.ndarray) and out.dtype.kind == "f"):
        raise GradientError(
            f"{title}: returned plain numbers, {type(out).__name__}, through which no gradient can flow; return the Tensor itself, "
            "without .numpy(), .item() or float()."
        )
    return []


# ------------------------------------------------------------------------------------------------ the analytic side


def _leaf(array):
    leaf = wrap(array)
    leaf.requires_grad = True
    return leaf


def _flat(tensors):
    return np.concatenate([np.asarray(t._data, np.float64).reshape(-1) for t in tensors])


def _weighed(rows, weights):
    """Sums of each row by each weighting, to which what has weight 0 adds nothing, be it infinite.   (n, k), (m, k) -> (m, n)"""
    return np.array([ops.matmul(rows[:, w != 0], w[w != 0]) for w in weights]).reshape(len(weights), len(rows))


class _Reverse:
    """The function itself, and its derivative by the walk back."""

    name, subject = "gradcheck", "function"

    def __init__(self, function):
        self.function, self.arrays, self.names = function, function.arrays, function.names
        self._asked, self._rows = None, None

    def outputs(self, arrays):
        """What is differentiated, as Tensors."""
        return self.function([_leaf(a) for a in arrays])

    def recorded(self, leaves):
        """The same, with the graph through which the engine differentiates it."""
        return self.function(leaves)

    def analytic(self, weights, number, directions):
        """weights (L, outputs), directions (d, elements of one argument) -> (L, d): their derivatives by the engine."""
        if self._asked is not weights:
            self._asked, self._rows = weights, self._gradients(weights)
        return _weighed(self._rows[number], directions).T  # (d, L) -> (L, d)

    def _gradients(self, weights):
        """For every argument the gradients of the weighted sums of the outputs.   (L, outputs) -> [(L, elements)]"""
        leaves = [_leaf(a) for a in self.arrays]
        outputs = self.recorded(leaves)
        kept = [(node.op, node.arrays, checksums(node.arrays)) for node in _nodes(outputs)]
        rows = [self._pulled(outputs, leaves, w) for w in weights]
        for op, arrays, sums in kept:
            for name, before, after in zip(op.names_of(arrays), sums, checksums(arrays)):
                if before != after:
                    raise GradientError(f"{op.name}: its input {name} was changed by the walk back: a rule must not write to its arrays.")
        if len(weights) and [g.tobytes() for g in self._pulled(outputs, leaves, weights[0])] != [g.tobytes() for g in rows[0]]:
            raise GradcheckError(f"{self.name}: {self.function.title}: two walks back through one graph give different gradients.")
        return [np.array([row[i] for row in rows]).reshape(len(weights), leaf.size) for i, leaf in enumerate(leaves)]

    def _pulled(self, outputs, leaves, weights):
        pieces = np.split(weights, np.cumsum([o.size for o in outputs])[:-1])
        pairs = [(o, w.reshape(o.shape)) for o, w in zip(outputs, pieces) if o.requires_grad]
        found = [None] * len(leaves)
        if pairs:
            found = gradients([o for o, _ in pairs], leaves, [w for _, w in pairs], retain_graph=True, allow_unused=True)
        return [np.zeros(x.shape) if g is None else g._data for x, g in zip(leaves, found)]


class _SecondOrder(_Reverse):
    """The gradient of the weighted outputs, a function of inputs and weights, and its derivative by a graph of the gradient."""

    name, subject = "gradgradcheck", "gradient"

    def __init__(self, function):
        super().__init__(function)
        generator = np.random.default_rng(0)
        shapes = [o.shape for o in super().outputs(self.arrays)]
        self.arrays = [*self.arrays, *(generator.uniform(0.5, 1.5, s) * generator.choice([-1, 1], s) for s in shapes)]
        self.names = [*self.names, *("weights of the output" + (f" {i}" if len(shapes) > 1 else "") for i in range(len(shapes)))]

    def outputs(self, arrays):
        return self._first(arrays, [_leaf(a) for a in arrays], create_graph=False)

    def recorded(self, leaves):
        return self._first(self.arrays, leaves, create_graph=True)

    def _first(self, arrays, leaves, create_graph):
        inputs = leaves[: len(self.function.arrays)]
        pairs = [(o, w) for o, w in zip(self.function(inputs), leaves[len(inputs) :]) if o.requires_grad]
        found = [None] * len(inputs)
        if pairs:
            found = gradients([o for o, _ in pairs], inputs, [w for _, w in pairs], create_graph=create_graph, allow_unused=True)
        return [wrap(np.zeros(x.shape)) if g is None else g for x, g in zip(inputs, found)]


class _Forward(_Reverse):
    """The function itself, and its derivative along one direction after the other, by `jvp`."""

    name = "jvpcheck"

    def analytic(self, weights, number, directions):
        leaves = [_leaf(a) for a in self.arrays]
        columns = []
        for direction in directions:
            tangents = [np.zeros(a.shape) for a in self.arrays]
            tangents[number] = direction.reshape(self.arrays[number].shape)
            columns.append(jvp(self._joined, leaves, tangents)[1]._data)
        return _weighed(np.array(columns).reshape(len(directions), weights.shape[1]), weights)

    def _joined(self, *leaves):
        return ops.concatenate([ops.reshape(o, (-1,)) for o in self.function(leaves)])


# ------------------------------------------------------------------------------------------------ both sides compared


def _check(kind, call, full, projections, step, seed, raise_exception, others):
    if others:
        raise TypeError(
            f"{kind.name}: takes no {', '.join(others)}. Steps and tolerances are chosen by the check: a gradient may be off by what the "
            "difference quotient may be off by its own estimate. Arguments of the function by their names go into kwargs={...}."
        )
    if not (isinstance(projections, int) and projections >= 1):
        raise ValueError(f"{kind.name}: projections are a whole number from 1. Received: {projections!r}.")
    if not 0 < step < np.inf:
        raise ValueError(f"{kind.name}: step is a number above 0. Received: {step!r}.")
    function = _Function(*call)
    with function.at_rest():
        report = _Comparison(kind, function, full, projections, step, seed).report()
    if raise_exception and not report.passed:
        raise (Inconclusive if not any(a.wrong for a in report) else GradcheckError)(report.explanation())
    return report


class _Comparison:
    """One function at one point: values, weights of the outputs, and then argument by argument."""

    def __init__(self, kind, function, full, projections, step, seed, blame=True):
        self.function, self.step, self.blame = function, step, blame
        self.check = kind(function)
        self.arguments = (full, projections, step, seed)
        outputs = self.check.outputs(self.check.arrays)
        self.shapes, self.dtypes = [o.shape for o in outputs], {o.dtype.name for o in outputs}
        here = _flat(outputs)
        noise = abs(_flat(self.check.outputs(self.check.arrays)) - here)
        self.noisy = bool(noise.any())
        entries = here.size * sum(a.size for a in self.check.arrays)
        self.full = entries <= FULL if full is None else full
        self.random, self.projections = np.random.default_rng(seed), projections
        self.weighted = not self.full and here.size > projections
        self.weights = self._random(projections, here.size) if self.weighted else np.eye(here.size)
        self.values, self.here = here, self._project(here)
        if self.weighted:
            self.size, self.noise = (np.sqrt(ops.matmul(self.weights**2, v**2)) for v in (here, noise))
        else:
            self.size, self.noise = abs(here), noise

    def report(self):
        arguments = [self._argument(i) for i in range(len(self.check.arrays))]
        notes = list(self.function.notes)
        if self.dtypes - {"float64"}:
            notes.append(f"the outputs are {' and '.join(sorted(self.dtypes))}: something inside leaves float64")
        report = Report(self.check.name, self.function.title, arguments, notes)
        if self.blame and any(a.wrong for a in arguments):
            report.culprits = self._culprits()
        return report

    def _random(self, count, size):
        return self.random.uniform(0.5, 1.5, (count, size)) * self.random.choice([-1.0, 1.0], (count, size))

    def _project(self, vector):
        return ops.matmul(self.weights, vector) if self.weighted else vector

    def _quotient(self, number, direction, divisor=1, **steps):
        """The difference quotient of the (weighted) outputs along one direction of one argument."""
        line = _line(lambda arrays: self._project(_flat(self.check.outputs(arrays))), self.check.arrays, number, direction)
        reach = _reach(self.check.arrays[number], direction)
        return along(line, self.here, self.size, self.noise, reach, self.step / divisor, **steps)

    def _argument(self, number):
        x = self.check.arrays[number]
        every = self.full or x.size <= self.projections
        directions = np.eye(x.size) if every else self._random(self.projections, x.size) / np.sqrt(x.size)
        found = [self._quotient(number, d) for d in directions]
        stacked = Quotient(*(np.array(part).reshape(len(directions), self.here.size).T for part in zip(*found))) if found else None
        result = Argument(self.check.names[number], x.shape, "projections" if self.weighted or not every else "entries",
                          self.here.size * len(directions))  # fmt: skip
        if not result.entries:
            return result
        analytic = self.check.analytic(self.weights, number, directions)  # (outputs, directions)
        known = np.isfinite(stacked.error)
        # at the edge of a domain the chain rule meets 0 times infinity, and what it makes of other places is nobody's fault
        lost = ~np.isfinite(analytic) & known & ~(known.all(axis=0) & known.all(axis=1, keepdims=True))
        known &= ~lost

        def compared():  # an analytic NaN is wrong
            off = abs(analytic - stacked.slope)
            off = np.where((stacked.error == 0) & (off <= ROUNDING), 0.0, off)
            return off, ~(off <= MARGIN * stacked.error) & known, relative_scale(analytic, stacked.slope, self.size)

        off, wrong, scale = compared()
        for column in np.flatnonzero(wrong.any(axis=0)):
            again = self._asked_again(number, directions[column], analytic[:, column], found[column], scale[:, column])
            for part, new in zip(stacked, again):
                part[:, column] = np.where(wrong[:, column], new, part[:, column])
        off, wrong, scale = compared()
        precise = known & ((stacked.error <= INCONCLUSIVE * scale) | ((scale == 0) & (stacked.error <= ROUNDING)))
        unclear = ~wrong & ~precise
        with np.errstate(invalid="ignore", divide="ignore"):
            difference = np.where(scale > 0, off / scale, 0.0)
            uncertain = np.where(precise & (scale == 0), 0.0, stacked.error / scale)
        result.worst = float(np.max(np.where(unclear, 0.0, difference)))  # NaN stays NaN
        result.uncertain = float(np.max(uncertain))
        if wrong.any():
            places = np.flatnonzero(wrong.any(axis=0))
            result.wrong = f"{'at' if every else 'along'} {len(places)} of {len(directions)} {'places' if every else 'random directions'}"
            ranked = np.argsort(np.where(wrong, np.where(np.isnan(difference), np.inf, difference), -1), axis=None)[::-1]
            worst = [np.unravel_index(i, wrong.shape) for i in ranked[:SHOWN] if wrong.flat[i]]
            if every:
                result.table = [self._entry(row, x.shape, c, analytic[row, c], found[c]) for row, c in worst]
            else:
                result.table = self._located(number, worst[0][0])
        elif unclear.any():
            row, column = np.unravel_index(np.argmax(np.where(unclear & ~lost, uncertain, -1)), unclear.shape)
            result.unclear = self._why(number, row, column if every else None, found[column], uncertain[row, column])
        return result

    def _asked_again(self, number, direction, analytic, first, scale):
        """The quotient where the engine disagrees with the first one: that may be off by what other steps make of it, and where a
        far smaller step gives a precise one with which the engine agrees, the function was too steep for the first."""
        others = [self._quotient(number, direction, divisor).slope for divisor in (2.7, 11.0)]
        best = first._replace(error=np.fmax.reduce([first.error, *(abs(other - first.slope) for other in others)]))
        for divisor in FAR:
            closer = self._quotient(number, direction, divisor, smaller=())
            fits = (closer.error <= INCONCLUSIVE * scale) & (abs(analytic - closer.slope) <= MARGIN * closer.error)
            best = Quotient(*[np.where(fits, new, old) for new, old in zip(closer, best)])
        return best

    def _entry(self, row, shape, place, analytic, quotient):
        return Entry(self._output_name(row), _index(place, shape), float(analytic), float(quotient.slope[row]),
                     float(quotient.error[row]), float(quotient.step[row]))  # fmt: skip

    def _output_name(self, row):
        return f"weighting {row}" if self.weighted else self._index(row)

    def _index(self, row):
        """(2, 1) for a place among the outputs, or 0: (2, 1) for one in the first of several."""
        ends = np.cumsum([int(np.prod(s)) for s in self.shapes])
        which = int(np.searchsorted(ends, row, side="right"))
        place = _index(row - (ends[which] - int(np.prod(self.shapes[which]))), self.shapes[which])
        return place if len(self.shapes) == 1 else f"{which}: {place}"

    def _places(self, number, badness):
        """The places of an argument that are worst by ``badness(direction)``, by halving: the worst part is split first."""
        size = self.check.arrays[number].size
        parts, found = [(-np.inf, 0, size)], []
        while parts and len(found) < SHOWN:
            bad, low, high = heapq.heappop(parts)
            if high - low == 1:
                found.append(low)
                continue
            middle = (low + high) // 2
            for a, b in ((low, middle), (middle, high)):
                direction = np.zeros(size)
                direction[a:b] = self._random(1, b - a)[0] / np.sqrt(b - a)
                bad = badness(direction)
                if bad > 0:
                    heapq.heappush(parts, (-bad, a, b))
        return found

    def _located(self, number, row):
        """Table rows for the worst places of an argument that is wrong along random directions."""
        weights = self.weights[row : row + 1]

        def compared(direction):
            quotient = self._quotient(number, direction)
            return self.check.analytic(weights, number, direction[None])[0, 0], quotient

        def badness(direction):
            analytic, q = compared(direction)
            off = abs(analytic - q.slope[row])
            return 0 if off <= MARGIN * q.error[row] else np.nan_to_num(off, nan=np.inf)

        shape, rows = self.check.arrays[number].shape, []
        for place in self._places(number, badness):
            analytic, quotient = compared(np.eye(1, int(np.prod(shape)), place)[0])
            rows.append(self._entry(row, shape, place, analytic, quotient))
        return rows

    def _at(self, number, place, bad):
        """" at index (2, 1)" for a place, or for the worst one with a bad quotient; nothing where none alone is bad."""
        places = self._places(number, lambda d: float(bad(self._quotient(number, d)))) if place is None else [place]
        return f" at index {_index(places[0], self.check.arrays[number].shape)}" if places else ""

    def _why(self, number, row, place, quotient, uncertain):
        """Why nothing can be said, and what to do."""
        name = self.check.names[number]
        if not np.isfinite(self.here[row]):
            bad = np.flatnonzero(~np.isfinite(self.values))[0]
            found = f"it is {self.values[bad]} at index {self._index(bad)}"
            return f"the {self.check.subject} is not finite at this point: {found}. Move the point."
        if not np.isfinite(quotient.error[row]):
            where = self._at(number, place, lambda quotient: np.isinf(quotient.error[row]))
            step = f"{quotient.step[row]:.1e}"
            return (
                f"the {self.check.subject} is not finite near this point, even at the step {step} of {name}{where}. "
                "Move the point inwards."
            )
        if self.noisy:
            return (
                "called twice with the same inputs, the function gave different values. Take random numbers from minigrad.random, "
                "or from a generator that is an argument or an attribute of a layer, so that every call sees the same ones."
            )
        if quotient.kinked[row]:
            where = self._at(number, place, lambda quotient: quotient.kinked[row])
            return (
                f"the point is near a kink of {name}{where}: left and right slope differ within the step {quotient.step[row]:.1e}. "
                "Move the point, or give a smaller step=."
            )
        reason = "the function is too steep or too rough here. Move the point, scale the inputs, or give another step=."
        if self.dtypes - {"float64"}:
            reason = "something inside leaves float64."
        step = f"{quotient.step[row]:.1e}"
        return f"the difference quotient is uncertain by {uncertain:.1e} (relative), even at the step {step}: {reason}"

    def _culprits(self):
        """Which ops in the graph of the function are wrong by themselves, in one sentence."""
        outputs = self.function([_leaf(a) for a in self.function.arrays])
        guilty, passed = {}, set()
        for node in _nodes(outputs):
            op, kind = node.op, (node.op.name, *(np.shape(x) for x in node.inputs))
            if kind in passed or op.name in guilty or REGISTRY.get(op.name) is not op or op is alias.op:
                continue
            passed.add(kind)
            arrays = [x._data if isinstance(x, Tensor) else x for x in node.inputs]
            if any(isinstance(x, np.ndarray) and x.size and np.isnan(x).all() for x in arrays):
                continue  # large values that no rule reads are not kept
            f, wanted, names = of_op(op, arrays, node.params, [isinstance(x, Tensor) for x in node.inputs])
            alone = _Function(f, wanted, names=names)
            with alone.at_rest():
                report = _Comparison(type(self.check), alone, *self.arguments, blame=False).report()
            wrong = [a for a in report if a.wrong]
            if wrong:
                numbers = [f" at {e.place} {e.analytic:.6g}, should be {e.numeric:.6g}" for e in wrong[0].table[:1]]
                guilty[op.name] = f"{op.name}, gradient of {wrong[0].name}{''.join(numbers)}"
        if guilty:
            return f"The rule that is wrong by itself: {'; '.join(guilty.values())}."
        if not passed:
            return "No op of this function is recorded: it leaves the graph, for example by .numpy() or .detach()."
        ops = ", ".join(sorted({name for name, *_ in passed}))
        return f"Every op in it passes by itself ({ops}): look for what leaves the graph, such as .detach()."


def of_op(op, inputs, params, wanted=None):
    """One call of an op as what a check takes: the function of its floating inputs alone, these inputs, and their names."""
    if wanted is None:
        wanted = [isinstance(x, np.ndarray | np.generic) and x.dtype.kind == "f" for x in inputs]
    places = [i for i, want in enumerate(wanted) if want]

    def f(*values):
        given = dict(zip(places, values))
        return apply(op, [given.get(i, x) for i, x in enumerate(inputs)], params)

    f.__name__ = op.name
    names = op.names_of(inputs)
    return f, [np.asarray(inputs[i]) for i in places], [names[i] for i in places]


def _nodes(outputs):
    """The nodes behind some tensors, each once."""
    stack, seen = [o._node for o in outputs], set()
    while stack:
        node = stack.pop()
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            stack += [x._node for x in node.inputs if isinstance(x, Tensor)]
            yield node


def _index(place, shape):
    """(2, 1) for a place in flat order."""
    return str(tuple(int(i) for i in np.unravel_index(int(place), shape))) if shape else "()"


def _line(value, arrays, number, direction):
    """``value`` of the arrays as a function of t, when one of them is moved by t times a direction."""
    x = arrays[number]
    return lambda t: value([*arrays[:number], x + t * direction.reshape(x.shape), *arrays[number + 1 :]])


def _reach(x, direction):
    """How large the elements of x are along a direction of length 1."""
    return np.sqrt(np.sum((direction * x.reshape(-1)) ** 2))

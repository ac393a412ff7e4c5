"""The parameter table of a model: which numbers gradient descent changes, and what changes the others."""

import contextlib
import dataclasses
import html
import warnings

from . import journal, random, settings
from .errors import received
from .tensor import Tensor

_SIDES = ("left", "left", "right", "left")  # where the text of a column stands
_COLOURS = {"gradient descent": "green", "frozen": "blue", "nothing": "dim"}  # on a terminal; a layer's own way: yellow


@dataclasses.dataclass(frozen=True, repr=False)
class Summary:
    """The parameter table of a model: text for `print`, HTML for a notebook, and colours where rich prints it."""

    title: str
    head: tuple[str, ...]  # a title for each column
    rows: tuple[tuple[str, str, int, str], ...]  # a layer or an array, its shape, how many numbers, what changes them
    totals: tuple[str, ...]

    def __str__(self):
        cells = [self.head, *self._cells()]
        a, b, c, d = (max(map(len, column)) for column in zip(*cells))
        lines = [f"{name:<{a}}  {shape:<{b}}  {size:>{c}}  {updated_by}" for name, shape, size, updated_by in cells]
        rule = "-" * (a + b + c + d + 6)
        return "\n".join([self.title, lines[0], rule, *lines[1:], rule, *self.totals])

    __repr__ = __str__

    def _repr_html_(self):
        def row(tag, cells):
            texts = (f'<{tag} style="text-align: {side}">{html.escape(cell)}</{tag}>' for cell, side in zip(cells, _SIDES))
            return f"<tr>{''.join(texts)}</tr>"

        rows = "".join(row("td", cells) for cells in self._cells())
        caption, totals = html.escape(self.title), "<br>".join(map(html.escape, self.totals))
        return f"<table><caption>{caption}</caption><thead>{row('th', self.head)}</thead><tbody>{rows}</tbody></table><p>{totals}</p>"

    def __rich__(self):
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text  # plain text: a name in brackets is no mark-up

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=Text(self.title, "bold"), title_justify="left")
        for head, side in zip(self.head, _SIDES):
            table.add_column(head, justify=side, overflow="fold")
        for *cells, updated_by in self._cells():
            table.add_row(*map(Text, cells), Text(updated_by, _COLOURS.get(updated_by, "yellow")))
        return Group(table, *map(Text, self.totals))

    def _cells(self):
        return [(name, shape, f"{size:,}", updated_by) for name, shape, size, updated_by in self.rows]


def summary(model, arrays=False, inputs=None):
    """The table of a model's layers: what each gives, how many numbers it has, and what changes them.

    *Updated by* is a fact about arrays: gradient descent; adapt or running average, where the layer itself does it; frozen;
    nothing. A layer whose arrays differ in it has several rows. Equal layers in numbered blocks share one, `blocks.* x4`. With
    ``arrays`` there is a row for each array and its shape. A tied array counts once, under all its names.
    Output shapes are those of the last call, with None for the batch, "?" where there was none. With ``inputs``, an array or a tuple
    of what the model takes, it is called on them first, in inference, which builds it and changes nothing else. A model that was
    never called is called on what its method `example()` gives, if it has one.
    Under the table stand Keras's totals, in which frozen parameters are non-trainable, and the three facts apart.
    Raises LayerError for a model that is not built.

    >>> from minigrad import Dense, Sequential
    >>> model = Sequential([Dense(3).ensure_built((2,)), Dense(1).ensure_built((3,))])
    >>> model.layers[0].freeze()
    >>> summary(model)
    Sequential
    layer (type)      output shape  parameters  updated by
    ------------------------------------------------------------
    layers.0 (Dense)  ?                      9  frozen
    layers.1 (Dense)  ?                      4  gradient descent
    ------------------------------------------------------------
    Total params: 13 (52.00 B)
    Trainable params: 4 (16.00 B)
    Non-trainable params: 9 (36.00 B)
    learnable 13 (of which frozen 9), non-learnable 0
    """
    if isinstance(model, type) or not hasattr(model, "_parts"):
        raise TypeError("summary: takes a Layer. " + received(model=model))
    if inputs is not None:
        _call(model, inputs if isinstance(inputs, tuple) else (inputs,))
    elif hasattr(type(model), "example") and "_output_shape" not in vars(model):
        _call(model, model.example())
    tensors = list(model.named_tensors().values())
    frozen = [t for t in tensors if _learnable(t) and t.frozen]
    learnable, fixed = count(model.parameters()), count(model.buffers())
    totals = (
        _total("Total", tensors),
        _total("Trainable", model.trainable_weights),
        _total("Non-trainable", model.non_trainable_weights),
        f"learnable {learnable:,} (of which frozen {count(frozen):,}), non-learnable {fixed:,}",
    )
    head = ("array", "shape") if arrays else ("layer (type)", "output shape")
    return Summary(_kind(model), (*head, "parameters", "updated by"), _merged(*_entries(model, arrays)), totals)


def show(table):
    """Print a table: on a terminal through rich, where that is installed, else as plain text."""
    with contextlib.suppress(ModuleNotFoundError):
        from rich.console import Console

        if (console := Console()).is_terminal:
            return console.print(table)
    print(table)


def count(tensors):
    """How many numbers tensors hold together.

    >>> import numpy as np
    >>> count([np.ones((2, 3)), np.ones(4)])
    10
    """
    return sum(tensor.size for tensor in tensors)


def _call(model, inputs):
    """Let every layer inside give something. The first call builds the model; one that is built stays as it is."""
    if inputs and all(item is None or isinstance(item, int) for item in inputs):
        raise TypeError("summary: inputs are arrays for the model, not their shape; try np.ones(shape). " + received(inputs=inputs))
    built = all(layer.built for layer in model.named_layers().values())
    with settings.no_grad(), journal.undone() if built else contextlib.nullcontext(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # here, statistics that no batch has updated yet are no mistake
        model(*inputs)


# ---------------------------------------------------------------------------------------------------------------- rows


def _entries(model, arrays):
    """A row for every layer, or array, in the order of definition, and the paths of the layers with layers inside.

    A row is (paths, kind, shape, size, updated by): the paths are several where arrays are tied or a layer is shared.
    """
    found = {}  # every layer and array once, with all its paths
    for path, part in model._parts():
        if not isinstance(part, random.Generator):
            found.setdefault(id(part), (part, []))[1].append(path)
    layers = {path: part for part, paths in found.values() if not isinstance(part, Tensor) for path in paths}

    def owner(path):
        """The path of the layer around something."""
        while path:
            path = path.rpartition(".")[0]
            if path in layers:
                break
        return path

    full = {owner(path) for _, paths in found.values() for path in paths if path}
    sizes = {}
    for part, paths in found.values():
        if isinstance(part, Tensor):
            owners = tuple(dict.fromkeys(map(owner, paths)))
            updated_by = _updated_by(part, layers[owners[0]])
            key = (tuple(paths), "", str(part.shape), updated_by) if arrays else (owners, *_described(owners, layers), updated_by)
            sizes[key] = sizes.get(key, 0) + part.size
        elif not arrays and paths[0] not in full:
            sizes[(tuple(paths), *_described(paths, layers), "nothing")] = 0
    rows = [(*key[:3], size, key[3]) for key, size in sizes.items()]
    return rows, {owner(path) for path in layers if path}


def _learnable(tensor):
    """Whether an array of a layer is a Parameter: only those can be frozen."""
    return hasattr(tensor, "frozen")


def _updated_by(tensor, owner):
    if not _learnable(tensor):
        return owner.buffers_updated_by
    return "frozen" if tensor.frozen else "gradient descent"


def _described(paths, layers):
    """What layers are, and what they gave; once where they agree."""
    kinds = dict.fromkeys(_kind(layers[path]) for path in paths)
    shapes = dict.fromkeys(_shown(vars(layers[path]).get("_output_shape")) for path in paths)
    return f" ({' = '.join(kinds)})", " = ".join(shapes)


def _kind(layer):
    """The type of a layer, after the user's word for it."""
    return f"{layer.name}: {type(layer).__name__}" if layer.name else type(layer).__name__


def _shown(shape):
    """An output shape with None for the batch, which is no property of the layer; several one after the other."""
    if isinstance(shape, list):
        return ", ".join(text for text in map(_shown, shape) if text != "?") or "?"
    return "?" if shape is None else str((None, *shape[1:]) if shape else ())


def _merged(rows, containers):
    """The rows of the table: what is equal but for the number of a block stands in one."""

    def pattern(path):
        parts = path.split(".")
        return ".".join("*" if n.isdecimal() and ".".join(parts[: i + 1]) in containers else n for i, n in enumerate(parts))

    equal, everywhere = {}, {}
    for paths, *cells in rows:
        patterns = tuple(map(pattern, paths))
        equal.setdefault((patterns, *cells), []).append(paths)
        everywhere.setdefault(patterns, set()).add(paths)
    merged = []
    for (patterns, kind, shape, size, updated_by), members in equal.items():
        all_of_them = len(members) == len(everywhere[patterns])
        name = " = ".join(_common(paths, all_of_them) or "itself" for paths in zip(*members))
        times = f" x{len(members)}" if len(members) > 1 else ""
        merged.append((f"{name}{times}{kind}", shape, size * len(members), updated_by))
    return tuple(merged)


def _common(paths, all_of_them):
    """Paths that differ in numbers, as one; with the numbers where they are not all there are.

    >>> _common(["blocks.0.norm", "blocks.1.norm"], True), _common(["blocks.0.norm", "blocks.1.norm"], False)
    ('blocks.*.norm', 'blocks.0-1.norm')
    """
    columns = [list(dict.fromkeys(column)) for column in zip(*(path.split(".") for path in paths))]
    return ".".join(n[0] if len(n) == 1 else "*" if all_of_them else _spans(map(int, n)) for n in columns)


def _spans(numbers):
    """Whole numbers in few words.

    >>> _spans([2, 0, 5, 1])
    '0-2,5'
    """
    spans = []
    for n in sorted(numbers):
        if spans and n == spans[-1][1] + 1:
            spans[-1][1] = n
        else:
            spans.append([n, n])
    return ",".join(f"{first}-{last}" if first < last else f"{first}" for first, last in spans)


# -------------------------------------------------------------------------------------------------------------- totals


def _total(name, tensors):
    return f"{name} params: {count(tensors):,} ({_memory(sum(t.size * t.dtype.itemsize for t in tensors))})"


def _memory(size):
    """Bytes as Keras writes them.

    >>> _memory(3277)
    '3.20 KB'
    """
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} TB"

"""Pictures of a graph: as text, SVG, DOT or Mermaid. Text and SVG need nothing but this file."""

import collections
import html
import itertools

import numpy as np

from .core import Tensor
from .errors import GradientError

SMALL = 6  # elements up to which values are shown
FORMATS = {"text": "txt", "svg": "svg", "dot": "dot", "mermaid": "mmd"}


class Drawing(str):
    """The source of a picture: a string that shows itself at the prompt and in a notebook."""

    def __repr__(self):
        return str(self)

    def _repr_html_(self):
        return str(self) if self.startswith("<svg") else f"<pre>{html.escape(self)}</pre>"


def draw(output, format="text", names=None, limit=200):
    """The graph behind ``output`` as a picture: ops with their shapes, leaves, and values and gradients where small.

    ``format``: ``"text"`` (a tree, the output on top), ``"svg"``, ``"dot"`` (Graphviz) or ``"mermaid"``. ``names`` maps names
    to leaves, or is a Layer. Only the ``limit`` youngest ops are drawn; the picture says how many are left out. A gradient is
    shown where it is kept: on leaves after ``backward(retain_graph=True)``, on results after `retain_grad`.
    Raises TypeError for anything but a Tensor, ValueError for another format or limit, GradientError for a graph that was freed.

    >>> w = Tensor([1.0, 2.0], requires_grad=True)
    >>> y = (w * w + 1.0).sum()
    >>> y.backward(retain_graph=True)
    >>> draw(y, names={"w": w})
    sum ()  = 7
    └─ add (2,)  = [2 5]
       ├─ multiply (2,)  = [1 4]
       │  ├─ w (2,)  = [1 2]  gradient [2 4]
       │  └─ w, as above
       └─ constant ()  = 1
    """
    if not isinstance(output, Tensor):
        raise TypeError(f"draw: takes the Tensor that a computation gave. Received: {type(output).__name__}.")
    if format not in FORMATS:
        raise ValueError(f"draw: format is one of {', '.join(FORMATS)}. Received: {format!r}.")
    if not isinstance(limit, int) or limit < 1:
        raise ValueError(f"draw: limit is a whole number from 1. Received: {limit!r}.")
    picture = {"text": _text, "svg": _svg, "dot": _dot, "mermaid": _mermaid}[format]
    return Drawing(picture(_graph(output, names or {}, limit)))


# ---------------------------------------------------------------------------------------------------------- the graph


class _Vertex:
    """One box: an op, a leaf, a constant, or what was left out; ``inputs`` are the boxes that arrows come from."""

    def __init__(self, kind, title, shape=None, value=None, gradient=None):
        self.kind, self.title, self.shape, self.inputs = kind, title, shape, []
        self.notes = [f"= {_short(value)}"] if value is not None and value.size <= SMALL else []
        if gradient is not None and gradient.size <= SMALL:
            self.notes.append(f"gradient {_short(gradient)}")

    @property
    def head(self):
        return self.title if self.shape is None else f"{self.title} {self.shape}"


def _short(array):
    return " ".join(np.array2string(np.asarray(array), precision=4, suppress_small=True, formatter={"float": "{:.4g}".format}).split())


def _titled(node):
    """The op's name, with the parameters that differ from their defaults."""
    given = [f"{name}={value!r}" for name, value in node.params.items() if node.op.defaults.get(name, ...) is not value]
    return node.op.name + (f"({', '.join(text for text in given)})" if given and len(str(given)) <= 40 else "")


def _graph(output, names, limit):
    """The boxes behind ``output``, inputs before what uses them; the last one is the output's."""
    nodes, held = _nodes(output)
    drawn = {node.age for node in nodes[:limit]}
    names = names.named_parameters() if hasattr(names, "named_parameters") else names
    called = {id(x): name for name, x in dict(names).items()}
    if any(isinstance(x, str) for x in dict(names).values()):
        raise TypeError('draw: names maps names to tensors, as in names={"w": w}.')
    vertices, boxes = [], {}

    def box(x, vertex):
        if id(x) not in boxes:
            boxes[id(x)] = vertex()
            vertices.append(boxes[id(x)])
        return boxes[id(x)]

    def leaf(x):
        kind = "leaf" if x._requires_grad else "constant"
        grad = None if x.grad is None else x.grad._data
        return _Vertex(kind, called.get(id(x), type(x).__name__.lower() if kind == "leaf" else kind), x.shape, x._data, grad)

    def constant(x):
        array = np.asarray(x)
        return _Vertex("constant", called.get(id(x), "constant"), array.shape, array)

    left_out = len(nodes) - len(drawn)
    for node in reversed(nodes[:limit]):
        outputs = [held.get((node.age, i)) for i in range(node.outputs)]
        first = next((x for x in outputs if x is not None), None)
        vertex = _Vertex(
            "op", _titled(node), None if first is None else first.shape, None if first is None or node.outputs > 1 else first._data,
            None if first is None or first.grad is None else first.grad._data,
        )  # fmt: skip
        for x in node.inputs:
            if x is None:
                continue
            if not isinstance(x, Tensor):
                vertex.inputs.append(box(x, lambda x=x: constant(x)))
            elif x._node is None:
                vertex.inputs.append(box(x, lambda x=x: leaf(x)))
            elif x._node.age in drawn:
                vertex.inputs.append(boxes[id(x._node)])
            else:
                vertex.inputs.append(box(nodes, lambda: _Vertex("left out", f"{left_out} older ops are left out; limit={limit}")))
        boxes[id(node)] = vertex
        vertices.append(vertex)
    return vertices or [leaf(output)]


def _nodes(output):
    """The nodes behind ``output``, the youngest first, and the Tensors that are still held, by (age, index)."""
    held, seen, stack = {}, {}, [output]
    while stack:
        x = stack.pop()
        node = x._node
        if node is None:
            continue
        held.setdefault((node.age, x._index), x)
        if node.age in seen:
            continue
        if node.inputs is None:
            raise GradientError(
                f"draw: the graph through {node.op.name} was freed by a backward. Draw before it, or call backward(retain_graph=True)."
            )
        seen[node.age] = node
        stack += [x for x in node.inputs if isinstance(x, Tensor)]
    return [seen[age] for age in sorted(seen, reverse=True)], held


# ----------------------------------------------------------------------------------------------------------------- text


def _text(vertices):
    """A tree from the output down; what is used twice is written once, with a number where it has no name of its own."""
    uses = collections.Counter(source for vertex in vertices for source in vertex.inputs)
    titles = collections.Counter(vertex.title for vertex in vertices)
    lines, marks = [], {}
    stack = [(vertices[-1], "", "")]
    while stack:
        vertex, first, rest = stack.pop()
        if vertex in marks and vertex.kind != "constant":
            lines.append(f"{first}{vertex.title}{marks[vertex]}, as above")
            continue
        several = uses[vertex] > 1 and titles[vertex.title] > 1 and vertex.kind != "constant"
        marks[vertex] = f" #{sum(map(bool, marks.values())) + 1}" if several else ""
        head = f"{vertex.title}{marks[vertex]}" + ("" if vertex.shape is None else f" {vertex.shape}")
        lines.append(f"{first}{'  '.join([head, *vertex.notes])}")
        for number, below in reversed(list(enumerate(vertex.inputs))):
            last = number == len(vertex.inputs) - 1
            stack.append((below, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  ")))
    return "\n".join(lines)


# -------------------------------------------------------------------------------------------------------- DOT and Mermaid


def _edges(vertices):
    number = {vertex: i for i, vertex in enumerate(vertices)}
    return [(number[source], i) for i, vertex in enumerate(vertices) for source in vertex.inputs]


def _quoted(vertex, newline):
    return newline.join(text.replace("\\", "\\\\").replace('"', "'") for text in (vertex.head, *vertex.notes))


def _dot(vertices):
    shapes = {"op": "box", "leaf": "ellipse", "constant": "plaintext", "left out": "plaintext"}
    boxes = [f'  n{i} [shape={shapes[v.kind]}, label="{_quoted(v, chr(92) + "n")}"];' for i, v in enumerate(vertices)]
    return "\n".join(["digraph {", *boxes, *[f"  n{a} -> n{b};" for a, b in _edges(vertices)], "}"])


def _mermaid(vertices):
    ends = {"op": "[]", "leaf": "()", "constant": "[]", "left out": "[]"}
    boxes = [f'  n{i}{ends[v.kind][0]}"{_quoted(v, "<br>")}"{ends[v.kind][1]}' for i, v in enumerate(vertices)]
    return "\n".join(["flowchart TD", *boxes, *[f"  n{a} --> n{b}" for a, b in _edges(vertices)]])


# ------------------------------------------------------------------------------------------------------------------ SVG

_LINE, _CHARACTER, _PAD, _GAP, _BETWEEN = 16, 7.2, 10, 24, 44  # pixels
_COLOURS = {"op": "#ffffff", "leaf": "#d7e8fa", "constant": "#f0f0f0", "left out": "#fbe9c6"}


def _svg(vertices):
    """Boxes in rows, inputs above what uses them, arrows as curves; an arrow over several rows keeps a lane of its own."""
    rows, edges = _rows(vertices)
    width = {v: _width(v) for row in rows for v in row}
    height = [max([_height(v) for v in row if v is not None], default=0) for row in rows]
    total = max(sum(width[v] for v in row) + _GAP * (len(row) - 1) for row in rows) + 2 * _GAP
    top = list(itertools.accumulate(height, lambda y, h: y + h + _BETWEEN, initial=_GAP))
    place = {}
    for y, row in zip(top, rows):
        x = (total - sum(width[v] for v in row) - _GAP * (len(row) - 1)) / 2
        for v in row:
            place[v] = (x + width[v] / 2, y)
            x += width[v] + _GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total:.0f} {top[-1] - _BETWEEN + _GAP:.0f}" width="{total:.0f}" '
        f'height="{top[-1] - _BETWEEN + _GAP:.0f}" font-family="monospace" font-size="12">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>',
    ]
    for a, b in edges:
        (x, y), (u, v) = place[a], place[b]
        below = y + (_height(a) if isinstance(a, _Vertex) else height[a[3]])  # a lane is as long as its row is high
        middle = (below + v) / 2
        tip = ' marker-end="url(#tip)"' if isinstance(b, _Vertex) else ""
        curve = f"M{x:.0f} {y:.0f}V{below:.0f}C{x:.0f} {middle:.0f} {u:.0f} {middle:.0f} {u:.0f} {v:.0f}"
        parts.append(f'<path d="{curve}" fill="none" stroke="#555"{tip}/>')
    for vertex in vertices:
        x, y = place[vertex]
        w, h, corner = width[vertex], _height(vertex), 12 if vertex.kind == "leaf" else 3
        box = f'x="{x - w / 2:.0f}" y="{y:.0f}" width="{w:.0f}" height="{h}" rx="{corner}"'
        parts.append(f'<rect {box} fill="{_COLOURS[vertex.kind]}" stroke="#555"/>')
        for line, text in enumerate((vertex.head, *vertex.notes)):
            weight = ' font-weight="bold"' if line == 0 and vertex.kind == "op" else ""
            parts.append(
                f'<text x="{x:.0f}" y="{y + _PAD / 2 + _LINE * (line + 0.75):.0f}" text-anchor="middle"{weight}>{html.escape(text)}</text>'
            )
    return "\n".join([*parts, "</svg>"])


def _width(vertex):
    return _CHARACTER * max(map(len, (vertex.head, *vertex.notes))) + 2 * _PAD if isinstance(vertex, _Vertex) else 4


def _height(vertex):
    return _LINE * (1 + len(vertex.notes)) + _PAD if isinstance(vertex, _Vertex) else 0


def _rows(vertices):
    """The vertices in rows from top to bottom, sorted to cross few arrows, and the arrows from row to row.

    An op stands one row below its lowest input, a leaf one row above its highest user. Where an arrow passes a row, a lane
    (a tuple) stands in it.
    """
    users = {v: [] for v in vertices}
    depth = {}
    for v in vertices:
        for source in v.inputs:
            users[source].append(v)
        depth[v] = 1 + max((depth[s] for s in v.inputs), default=-1)
    for v in vertices:
        if not v.inputs and users[v]:
            depth[v] = min(depth[u] for u in users[v]) - 1
    rows, edges = [[] for _ in range(max(depth.values()) + 1)], []
    for v in vertices:
        rows[depth[v]].append(v)
        for number, source in enumerate(v.inputs):
            lanes = [(source, v, number, row) for row in range(depth[source] + 1, depth[v])]
            for lane in lanes:
                rows[lane[3]].append(lane)
            edges += zip([source, *lanes], [*lanes, v])
    above, below = {}, {}
    for a, b in edges:
        below.setdefault(a, []).append(b)
        above.setdefault(b, []).append(a)
    for _ in range(4):
        for order, near in ((rows[1:], above), (rows[-2::-1], below)):
            for row in order:
                at = {v: i / len(other) for other in rows for i, v in enumerate(other)}
                row.sort(key=lambda v, at=at, near=near: np.mean([at[u] for u in near.get(v, [v])]))
    return rows, edges

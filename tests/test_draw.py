"""Pictures of graphs: what is in them, that they are well formed, and that nothing is left out in silence."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import GradientError


@pytest.fixture
def loss():
    """Seven ops, two leaves of which one is used twice, and four constants."""
    w = mg.tensor([[1.0, -2.0], [0.5, 3.0], [2.0, 1.0]], requires_grad=True)
    b = mg.tensor([0.25, -1.0], requires_grad=True)
    scores = mg.linear(np.ones((4, 3), np.float32), w, b)
    return w, b, mg.relu(scores).mean() + 0.5 * (w**2).sum()


def test_text_is_a_tree_from_the_output_down(loss):
    w, b, y = loss
    y.backward(retain_graph=True)
    assert mg.draw(y, names={"w": w, "b": b}) == "\n".join([
        f"add ()  = {y.item():.4g}",
        "├─ mean ()  = 2.375",
        "│  └─ relu (4, 2)",
        "│     └─ linear (4, 2)",
        "│        ├─ constant (4, 3)",
        "│        ├─ w (3, 2)  = [[1 -2] [0.5 3] [2 1]]  gradient [[1.5 -1.5] [1 3.5] [2.5 1.5]]",
        "│        └─ b (2,)  = [0.25 -1]  gradient [0.5 0.5]",
        "└─ multiply ()  = 9.625",
        "   ├─ constant ()  = 0.5",
        "   └─ sum ()  = 19.25",
        "      └─ power (3, 2)  = [[1 4] [0.25 9] [4 1]]",
        "         ├─ w, as above",
        "         └─ constant ()  = 2",
    ])  # fmt: skip


def test_what_is_used_twice_gets_a_number_where_it_has_no_name():
    x = mg.tensor(np.ones((2, 3)), requires_grad=True)
    once, twice = x * 2, x * 3
    text = mg.draw((once + twice * twice).sum())
    assert "multiply #1 (2, 3)" in text and "multiply #1, as above" in text
    assert text.count("tensor, as above") == 1


def test_a_gradient_kept_inside_is_shown():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    y.retain_grad()
    z = (y * y).sum()
    z.backward(retain_graph=True)
    assert "multiply #1 (2,)  = [3 6]  gradient [6 12]" in mg.draw(z)


@pytest.mark.parametrize("format, edge", [("dot", r"n(\d+) -> n(\d+);"), ("mermaid", r"n(\d+) --> n(\d+)")])
def test_dot_and_mermaid_have_every_box_and_every_arrow(loss, format, edge):
    source = mg.draw(loss[2], format)
    boxes = set(re.findall(r"^  n(\d+)[ \[(]", source, re.MULTILINE)) & set(map(str, range(99)))
    edges = re.findall(edge, source)
    assert len(boxes) == 7 + 2 + 3
    assert len(edges) == 1 + 1 + 3 + 2 + 1 + 2 + 2
    assert all(int(a) < int(b) for a, b in edges), "inputs come first"
    for op in ("linear", "relu", "mean", "power", "sum", "multiply", "add"):
        assert len(re.findall(rf'"{op} ', source)) == 1


def test_svg_is_well_formed_and_its_boxes_do_not_overlap(loss):
    root = ElementTree.fromstring(mg.draw(loss[2], "svg"))
    space = "{http://www.w3.org/2000/svg}"
    boxes = [[float(r.get(name)) for name in ("x", "y", "width", "height")] for r in root.iter(f"{space}rect")]
    assert len(boxes) == 12
    for i, (x, y, w, h) in enumerate(boxes):
        assert x >= 0 and y >= 0 and x + w <= float(root.get("width")) and y + h <= float(root.get("height"))
        for u, v, a, b in boxes[i + 1 :]:
            assert x + w <= u or u + a <= x or y + h <= v or v + b <= y
    texts = [t.text for t in root.iter(f"{space}text")]
    assert "linear (4, 2)" in texts and "= 9.625" in texts


def test_names_are_escaped():
    x = mg.tensor([1.0], requires_grad=True)
    svg = mg.draw(x * 2, "svg", names={'a < "b"': x})
    assert any('a < "b" (1,)' == t.text for t in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"))
    assert "label=\"a < 'b' (1,)" in mg.draw(x * 2, "dot", names={'a < "b"': x})


def test_a_layer_names_its_parameters():
    model = mg.Sequential(mg.Dense(3, activation="tanh"), mg.Dense(2))
    text = mg.draw(model(np.ones((4, 5), np.float32)), names=model)
    for name, parameter in dict(model.named_parameters()).items():
        assert f"{name} {parameter.shape}" in text


def test_a_long_chain_is_cut_and_says_so():
    x = mg.tensor(1.0, requires_grad=True)
    for _ in range(5000):
        x = x * 1.0
    for format in ("text", "svg", "dot", "mermaid"):
        assert "4990 older ops are left out; limit=10" in mg.draw(x, format, limit=10)
    assert mg.draw(x, limit=5000).count("multiply") == 5000


def test_several_outputs_have_no_value_of_their_own():
    x = mg.tensor([[2.0, 0.0], [1.0, 3.0]], requires_grad=True)
    values, vectors = mg.linalg.eigh(x)
    assert mg.draw(values.sum()).splitlines()[1].startswith("└─ eigh (2,)\n".strip())


def test_a_leaf_alone_and_a_constant():
    assert mg.draw(mg.tensor([1.0], requires_grad=True)) == "tensor (1,)  = [1]"
    assert mg.draw(mg.tensor([1, 2]) * 2) == "constant (2,)  = [2 4]"


def test_shows_itself_at_the_prompt_and_in_a_notebook():
    y = mg.tensor([1.0], requires_grad=True) * 2
    assert repr(mg.draw(y)) == str(mg.draw(y))
    assert mg.draw(y)._repr_html_().startswith("<pre>multiply") and mg.draw(y, "svg")._repr_html_().startswith("<svg")


def test_what_cannot_be_drawn_says_so():
    x = mg.tensor([1.0], requires_grad=True)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(GradientError, match=r"draw: the graph through \w+ was freed.*retain_graph=True"):
        mg.draw(y)
    with pytest.raises(TypeError, match='names maps names to tensors'):
        mg.draw(x * 2, names={x: "w"})
    with pytest.raises(ValueError, match="text, svg, dot, mermaid.*png"):
        mg.draw(x, "png")
    for limit in (0, -1, "all"):
        with pytest.raises(ValueError, match="limit is a whole number from 1"):
            mg.draw(x * 2.0, limit=limit)
    with pytest.raises(TypeError, match="draw: takes the Tensor.*float"):
        mg.draw(1.0)

"""The page of the notes: its code is that of the source, its examples print what it says, and its tables are true."""

import ast
import doctest
import importlib.util
import re
from pathlib import Path

import pytest

import minigrad as mg
from transformer import blocks, layers

ROOT = Path(__file__).parent.parent
NOTES = ROOT / "docs" / "notes.md"
PAGE = NOTES.read_text(encoding="utf-8")
HEAD, *SECTIONS = re.split(r"^## ", PAGE, flags=re.MULTILINE)
LETTERS = {"V": 11, "L": 13, "E": 6, "h": 4, "r": 2, "dq": 3, "dv": 5, "F": 7, "u": 8}
V, L, E, h, r, dq, dv, F, u = LETTERS.values()

_spec = importlib.util.spec_from_file_location("include", ROOT / "docs" / "include.py")
include = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(include)


# ------------------------------------------------------------------------------------------------------------ included code


def test_the_code_of_every_page_is_that_of_the_source(capsys):
    assert include.main(["--check"]) == 0, f"{capsys.readouterr().out}Write it anew: python docs/include.py"
    assert PAGE.count(include.MARKER) > 15


def test_a_stale_page_is_found_and_written(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("np.tri(T, T if S is None else S, dtype=bool)", "np.triu(T)"), encoding="utf-8")
    stale = page.read_text(encoding="utf-8")
    assert stale != PAGE
    assert include.main(["--check", str(page)]) == 1 and page.read_text(encoding="utf-8") == stale
    assert include.main([str(page)]) == 0 and page.read_text(encoding="utf-8") == PAGE
    assert include.main(["--check", str(page)]) == 0
    assert capsys.readouterr().out == "stale: page.md\nwritten: page.md\n"


def test_a_marker_without_its_fence_gets_one():
    page = "before\n<!-- source: transformer/layers/masks.py causal_mask padding_mask without docstring -->\n\nafter\n"
    assert include.included(page) == (
        "before\n<!-- source: transformer/layers/masks.py causal_mask padding_mask without docstring -->\n```python\n"
        "# transformer/layers/masks.py: causal_mask\n"
        "def causal_mask(T, S=None):\n    return np.tri(T, T if S is None else S, dtype=bool)\n\n"
        "# transformer/layers/masks.py: padding_mask\n"
        "def padding_mask(ids, pad_id=0):\n    return np.asarray(values(ids)) != pad_id\n```\n\nafter\n"
    )


@pytest.mark.parametrize("name, docstring, start, end", [
    ("AddNorm", True, "class AddNorm(mg.Layer):\n    \"\"\"The skip", "self.norm == \"post\" else y"),
    ("AddNorm", False, "class AddNorm(mg.Layer):\n\n    keeps_shape", "self.norm == \"post\" else y"),
    ("AddNorm.call", True, "def call(self, x, f, training=False):\n    given", "self.norm == \"post\" else y"),
])  # fmt: skip
def test_classes_and_methods_are_found_and_stand_at_the_margin(name, docstring, start, end):
    code = include.piece(ROOT / "transformer" / "blocks.py", name, docstring)
    assert code.startswith(start) and code.endswith(end)
    ast.parse(code)


def test_remarks_to_programs_are_left_out():
    assert "fmt: skip" not in include.piece(ROOT / "transformer" / "blocks.py", "EncoderBlock.__init__")


@pytest.mark.parametrize("marker, error", [
    ("transformer/layers/masks.py no_such_mask", LookupError), ("transformer/blocks.py AddNorm.no_such", LookupError),
    ("transformer/blocks.py", ValueError), ("no/such/file.py name", FileNotFoundError),
])  # fmt: skip
def test_what_cannot_be_included_raises(marker, error):
    with pytest.raises(error):
        include.included(f"<!-- source: {marker} -->\n")


# ----------------------------------------------------------------------------------------------------------------- examples


def sessions(section):
    return "\n".join(re.findall(r"^```pycon\n(.*?\n)```$", section, flags=re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("section", SECTIONS, ids=[section.partition(" (")[0].partition("\n")[0] for section in SECTIONS])
def test_a_section_prints_what_the_page_says_after_the_first_lines(section):
    report: list[str] = []
    test = doctest.DocTestParser().get_doctest(sessions(HEAD) + sessions(section), {}, "notes.md", None, None)
    result = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    assert result.failed == 0, "".join(report)


def test_every_section_has_what_it_promises():
    numbered = [section for section in SECTIONS if section[0].isdigit()]
    assert len(numbered) == 19 and len(SECTIONS) == 21
    for place, section in enumerate(numbered, 1):
        title, _, text = section.partition("\n")
        assert re.fullmatch(rf"{place}\. .+ \(\*.+\*\)", title), f"the Dutch words in brackets: {title}"
        for part in ("**Shapes.**", "Learnable", "Non-learnable", include.MARKER, "\n>>> "):
            assert part in text, (title, part)


# ------------------------------------------------------------------------------------------------------------------- tables


def table(title):
    """The rows of the table of a section, without its head."""
    (section,) = [section for section in SECTIONS if section.startswith(title)]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", section, re.M)[2:]]


MADE = {
    "Embedding": lambda: layers.Embedding(V, E),
    "PositionalEmbedding": lambda: layers.PositionalEmbedding(L).ensure_built((None, None, E)),
    "SinusoidalPositions": lambda: layers.SinusoidalPositions(),
    "RotaryPositions": lambda: layers.RotaryPositions(),
    "RelativePositions": lambda: layers.RelativePositions(h),
    "Dense": lambda: layers.Dense(F).ensure_built((None, E)),
    "EinsumDense": lambda: layers.EinsumDense("bte,ehd->bthd", (None, h, dq), bias_axes="hd").ensure_built((None, None, E)),
    "Dropout": lambda: layers.Dropout(0.5),
    "Softmax": lambda: layers.Softmax(),
    "Attention": lambda: layers.Attention().ensure_built((None, None, dq)),
    "AdditiveAttention": lambda: layers.AdditiveAttention().ensure_built((None, None, dq)),
    "MultiHeadAttention": lambda: layers.MultiHeadAttention(h, dq, dv).ensure_built((None, None, E)),
    "GroupQueryAttention": lambda: layers.GroupQueryAttention(dq, h, r).ensure_built((None, None, E)),
    "Normalization": lambda: layers.Normalization().ensure_built((None, F)),
    "BatchNormalization": lambda: layers.BatchNormalization().ensure_built((None, F)),
    "LayerNormalization": lambda: layers.LayerNormalization().ensure_built((None, E)),
    "RMSNormalization": lambda: layers.RMSNormalization().ensure_built((None, E)),
    "SimpleRNN": lambda: layers.SimpleRNN(u).ensure_built((None, None, E)),
    "LSTM": lambda: layers.LSTM(u).ensure_built((None, None, E)),
    "GRU": lambda: layers.GRU(u).ensure_built((None, None, E)),
    "Bidirectional": lambda: layers.Bidirectional(layers.SimpleRNN(u)).ensure_built((None, None, E)),
    "AddNorm": lambda: blocks.AddNorm().ensure_built((None, None, E)),
    "FeedForward": lambda: blocks.FeedForward(F).ensure_built((None, None, E)),
    "GatedFeedForward": lambda: blocks.GatedFeedForward(F).ensure_built((None, None, E)),
    "EncoderBlock": lambda: blocks.EncoderBlock(h, dq, F).ensure_built((None, None, E)),
    "DecoderBlock": lambda: blocks.DecoderBlock(h, dq, F).ensure_built((None, None, E)),
}
COUNTS = table("Which numbers")


def number(formula):
    """The value of a formula in the shape letters, in which factors stand beside each other: "2 E (h + r^2)"."""
    return eval(re.sub(r"(?<=[\w)]) (?=[\w(])", "*", formula).replace("^", "**"), {}, LETTERS)


@pytest.mark.parametrize("name, learnable, fixed, changed_by", COUNTS, ids=[row[0] for row in COUNTS])
def test_the_counts_of_a_layer_are_those_of_the_table(name, learnable, fixed, changed_by):
    layer = MADE[name]()
    assert sum(p.size for p in layer.parameters()) == number(learnable)
    assert sum(b.size for b in layer.buffers()) == number(fixed)
    assert bool(changed_by) == bool(layer.buffers())
    assert not changed_by or changed_by.startswith(layer.buffers_updated_by)


def test_the_table_has_one_row_for_each_layer():
    there = {name for module in (layers, blocks) for name, found in vars(module).items()
             if isinstance(found, type) and issubclass(found, mg.Layer)}  # fmt: skip
    assert sorted(row[0] for row in COUNTS) == sorted(there)


LINKS = re.findall(r"\[(test_\w+)\]\((.+?)\)", PAGE)


def test_every_identity_names_a_test_that_is_there():
    assert all(len(re.findall(r"\[test_", proof)) == 1 for *_, proof in table("Identities")) and len(LINKS) == len(table("Identities"))
    for name, path in LINKS:
        tree = ast.parse((NOTES.parent / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{path} has no {name}"


def test_every_identity_that_is_proven_has_a_row():
    tree = ast.parse((ROOT / "tests" / "transformer" / "test_identities.py").read_text(encoding="utf-8"))
    proven = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
    assert proven <= {name for name, _ in LINKS}


def test_every_other_link_leads_somewhere():
    anchors = {"#" + re.sub(r"[^\w -]", "", section.partition("\n")[0]).strip().lower().replace(" ", "-") for section in SECTIONS}
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert target in anchors if target.startswith("#") else (NOTES.parent / target).is_file(), target

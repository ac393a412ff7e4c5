"""Code in a page is that of the source.   python docs/include.py [--check] [PAGE ...]

A marker in a page names a file, and the functions, methods and classes to show from it:

    <!-- source: transformer/layers/attention.py MultiHeadAttention.call MultiHeadAttention._combined -->

What follows it, a fence of Python, is written by this script: the code without decorators, one piece after the other, each
under the name of its file; with the words ``without docstring`` at the end of the marker, without that too. ``--check`` writes
nothing, and fails where a page is stale.
"""

import argparse
import ast
import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARKER = "<!-- source:"
FENCE = re.compile(MARKER + r" (\S+\.py)((?: [\w.]+)+?)( without docstring)? -->\n(?:```python\n.*?\n```\n)?", re.DOTALL)
REMARK = re.compile(r"  # (?:fmt|noqa|type): .*$", re.MULTILINE)  # what is said to programs, not to readers


def piece(path, name, docstring=True):
    """The source of what is called ``name`` in a file, at the left margin; LookupError where there is no such thing."""
    source = path.read_text(encoding="utf-8")
    node = ast.parse(source)
    for part in name.split("."):
        found = [child for child in node.body if getattr(child, "name", None) == part]
        if not found:
            raise LookupError(f"{path.name} has no {name}.")
        node = found[-1]
    lines = source.splitlines()
    first, rest = node.body[0], node.body[0].end_lineno
    if docstring or ast.get_docstring(node) is None:
        rest = first.lineno - 1
    shown = lines[node.lineno - 1 : first.lineno - 1] + lines[rest : node.end_lineno]
    return REMARK.sub("", textwrap.dedent("\n".join(shown)))


def included(page):
    """The text of a page with every fence behind a marker as it should be; ValueError for a marker that cannot be read."""

    def fence(match):
        file, names, without = match.groups()
        pieces = [f"# {file}: {name}\n{piece(ROOT / file, name, not without)}" for name in names.split()]
        marker = match[0].partition("\n")[0]
        return "\n".join([marker, "```python", "\n\n".join(pieces), "```\n"])

    text, read = FENCE.subn(fence, page)
    if read != page.count(MARKER):
        raise ValueError(f"{page.count(MARKER)} markers, of which {read} can be read: {MARKER} FILE.py NAME ... -->")
    return text


def main(arguments=None):
    """Write or check pages; returns 1 where the check finds a stale one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pages", nargs="*", type=Path, default=sorted((ROOT / "docs").glob("*.md")), metavar="PAGE")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is stale")
    options = parser.parse_args(arguments)
    stale = []
    for page in options.pages:
        old = page.read_text(encoding="utf-8")
        new = included(old)
        if new != old:
            stale.append(page.name)
            if not options.check:
                page.write_text(new, encoding="utf-8")
    if stale:
        print(f"{'stale' if options.check else 'written'}: {', '.join(stale)}")
    return int(options.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())

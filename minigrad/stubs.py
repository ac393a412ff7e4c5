"""Type stubs from the op registry: what editors complete and mypy checks.

Methods are attached to Tensor and functions are made by a decorator, both of which a program that only reads cannot follow.
So the stubs are written from the live objects: names, signatures, docstrings; what an op returns is seen by calling it on a sample.
"""

import inspect
import math
import re
import sys
import textwrap
from pathlib import Path

import numpy as np

from . import creation
from .core import SYNONYMS, Tensor

HEAD = '"""{about} Written by python -m minigrad stubs; changes belong into the ops."""\n\n'
IMPORTS = """\
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

"""
TYPES = """\
TensorLike = Tensor | npt.NDArray[Any] | np.generic | float | Sequence[Any]
Axes = int | Sequence[int] | None
Shape = int | Sequence[int]
"""

# What parameters take, where the default does not tell.
PARAMETERS = {
    "axis": "Axes", "axes": "Axes", "dtype": "npt.DTypeLike", "shape": "Shape", "requires_grad": "bool", "keepdims": "bool", "self": "",
    "gradient": "TensorLike | None", "flag": "bool", "hook": "Callable[[Tensor], Any]",
}  # fmt: skip
# What comes back, where it is not a Tensor.
RETURNS = {
    "shape": "tuple[int, ...]", "numel": "int", "dim": "int", "dtype": "np.dtype[Any]", "grad_fn": "Any",
    "requires_grad": "bool", "grad": "Tensor | None", "numpy": "npt.NDArray[Any]", "item": "Any", "tolist": "Any",
    "is_floating_point": "bool",
    "backward": "None", "retain_grad": "None", "zero_grad": "None", "register_hook": "Any", "at": "Any", "__init__": "None",
    "__iter__": "Iterator[Tensor]", "__len__": "int", "__bool__": "bool", "__repr__": "str", "__str__": "str",
    "__float__": "float", "__int__": "int", "__index__": "int", "__hash__": "int", "__format__": "str", "__round__": "float",
    "__setitem__": "None", "__array__": "npt.NDArray[Any]", "__array_ufunc__": "Any", "__array_function__": "Any",
    "__array_namespace__": "Any", "__dlpack__": "Any", "__dlpack_device__": "Any", "__complex__": "complex",
    "__contains__": "bool", "__reduce__": "Any", "__deepcopy__": "Tensor", "__copy__": "Tensor",
}  # fmt: skip
IGNORED = {"__eq__", "__ne__"}  # object has them with another type


def files():
    """Every stub, of the Tensor and of each module that offers ops: path -> text."""
    stubs = {Path(__file__).with_name("tensor.pyi"): _tensor()}
    for module in (creation, *_modules_with_ops()):
        stubs[Path(module.__file__).with_suffix(".pyi")] = _module(module)
    return stubs


def stale():
    """The stubs that are missing or differ from what would be written: path -> text."""
    return {path: text for path, text in files().items() if not path.exists() or path.read_text(encoding="utf-8") != text}


# ------------------------------------------------------------------------------------------------------- one per file


def _tensor():
    parts = [HEAD.format(about="The Tensor people use, with all its methods."), "import builtins\n", IMPORTS]
    parts += ['__all__ = ["Tensor"]\n\n', TYPES, "\nclass Tensor:\n"]
    parts.append(_indented(_docstring(Tensor)) + "    grad: Tensor | None\n")
    for name, value in vars(Tensor).items():
        public = not name.startswith("_") or (name.startswith("__") and name in RETURNS) or name in _OPERATORS
        if public and isinstance(value, property):
            parts.append(_indented(_shadowed(_property(name, value))))
        elif public and inspect.isfunction(value):
            parts.append(_indented(_shadowed(_function(name, value, method=True))))
    return "".join(parts)


def _shadowed(entry):
    """An entry of the class Tensor, in which ``float`` is a method: the type of that name is meant in its signature."""
    signature, quotes, rest = entry.partition('"""')
    names = "|".join(name for name in ("bool", "float", "int", "str") if hasattr(Tensor, name))
    return re.sub(rf"(?<=[:>|\[,]) ?({names})\b", r" builtins.\1", signature).replace("[ ", "[") + quotes + rest if names else entry


def _modules_with_ops():
    """The modules right below minigrad that offer ops by ``__all__``: ops itself, linalg."""
    package = __package__ + "."
    loaded = [m for name, m in sorted(sys.modules.items()) if name.startswith(package) and "." not in name.removeprefix(package)]
    return [m for m in loaded if any(hasattr(getattr(m, name), "op") for name in getattr(m, "__all__", ()))]


def _module(module):
    about = inspect.getdoc(module).partition("\n")[0]
    parts = [HEAD.format(about=about), IMPORTS, f"from {'..' if hasattr(module, '__path__') else '.'}tensor import Tensor\n"]
    public = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    inner = sorted(name for name, value in public.items() if inspect.ismodule(value) and value.__name__ == f"{module.__name__}.{name}")
    parts += [f"from . import {name} as {name}\n" for name in inner]
    offered = [name for name, value in public.items() if inspect.isclass(value) and name in module.__all__]
    parts += [f"from {public[name].__module__} import {name} as {name}\n" for name in offered]
    parts.append(f"\n__all__ = {_list(module.__all__)}\n\n{TYPES}")
    functions = {name: value for name, value in public.items() if inspect.isfunction(value)}
    own = {name for name, value in functions.items() if name in module.__all__ or value.__module__.startswith(module.__name__)}
    parts += [_function(name, value) for name, value in functions.items() if name in own]
    return "".join(parts)


_OPERATORS = {
    f"__{prefix}{name}__" for name in ("add", "sub", "mul", "truediv", "pow", "matmul", "floordiv", "mod", "and", "or", "xor")
    for prefix in ("", "r", "i")
} | {"__neg__", "__pos__", "__abs__", "__invert__", "__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__", "__getitem__"}  # fmt: skip


def _list(names):
    return "[\n" + textwrap.fill(", ".join(f'"{name}"' for name in names), 120, initial_indent="    ", subsequent_indent="    ") + ",\n]"


# ---------------------------------------------------------------------------------------------------------- one entry


def _property(name, value):
    kind = RETURNS.get(name) or type(getattr(Tensor([[1.0]]), name)).__name__
    text = f"@property\ndef {name}(self) -> {kind}:\n{_indented(_docstring(value) or '...')}"
    if value.fset is not None:
        text += f"@{name}.setter\ndef {name}(self, flag: {kind}) -> None: ...\n"
    return "\n" + text


def _function(name, function, method=False):
    op = getattr(function, "op", None)
    parameters = list(inspect.signature(function).parameters.values())
    words, after = [], []
    for number, p in enumerate(parameters):
        if number == 0 and method:
            words.append("self")
            if p.kind is p.POSITIONAL_ONLY:
                words.append("/")
            continue
        synonyms = _synonyms(op, p, parameters)
        after += synonyms
        words.append(_parameter(op, name, p, optional=bool(after)))  # what comes by another name may be missing, and all after it
    variadic = next((i for i, p in enumerate(parameters) if p.kind is p.VAR_POSITIONAL), None)
    keyword_only = [i for i, p in enumerate(parameters) if p.kind is p.KEYWORD_ONLY]
    if after and variadic is None and not keyword_only:
        words.append("*")
    elif keyword_only and variadic is None:
        words.insert(keyword_only[0], "*")
    line = f"def {name}({', '.join([*words, *after])}) -> {_returned(op, name, function)}:"
    if name in IGNORED:
        line += "  # type: ignore[override]"
    return f"\n{line}\n{_indented(_docstring(function) or '...')}"


def _parameter(op, function, p, optional):
    star = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
    kind = _type(op, function, p)
    if star:
        return f"{star}{p.name}: {kind}"
    if p.default is p.empty:
        return f"{p.name}: {kind}" + (" = ..." if optional else "")
    plain = p.default is None or isinstance(p.default, int | str) or (isinstance(p.default, float) and math.isfinite(p.default))
    shown = repr(p.default) if plain else "..."
    return f"{p.name}: {kind} = {shown}"


def _type(op, function, p):
    if p.annotation is not p.empty:
        return p.annotation if isinstance(p.annotation, str) else inspect.formatannotation(p.annotation)
    if op is not None and p.name in op.arrays:
        kind = "TensorLike"
        if op.variadic and not op.separate:
            kind = "Sequence[TensorLike]"
        return kind + (" | None" if p.default is None else "")
    if function in _OPERATORS and function != "__getitem__":
        return "Any" if function in IGNORED else "TensorLike"
    if p.name in PARAMETERS:
        kind = PARAMETERS[p.name]
        if kind == "Axes" and isinstance(p.default, int):
            return "int"
        return kind + (" | None" if p.default is None and "None" not in kind and kind != "Axes" else "")
    return type(p.default).__name__ if isinstance(p.default, bool | int | float | str) else "Any"


def _synonyms(op, p, parameters):
    """The other words for a parameter of an op, as further ones."""
    taken = {q.name for q in parameters}
    if op is None or p.name in op.arrays:
        return []
    return [f"{word}: {_type(op, '', p)} = ..." for word in SYNONYMS if op.own_word(word) == p.name and word not in taken]


def _returned(op, name, function):
    annotation = inspect.signature(function).return_annotation
    if annotation is not inspect.Signature.empty:
        return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    if op is None or not op.samples:
        return RETURNS.get(name, "Tensor")
    lengths = set()
    for sample in op.samples(np.random.default_rng(1)):
        out = op.function(*sample.args, **sample.kwargs)
        lengths.add((type(out), len(out)) if isinstance(out, tuple | list) else None)
    if lengths == {None}:
        return "Tensor"
    kinds = {length and length[0] for length in lengths}
    if kinds == {list}:
        return "list[Tensor]"
    if kinds == {tuple}:
        return f"tuple[{', '.join(['Tensor'] * lengths.pop()[1])}]" if len(lengths) == 1 else "tuple[Tensor, ...]"
    return "Any"


def _docstring(thing):
    """The docstring up to its examples, as it stands in a stub."""
    text = inspect.cleandoc(thing.__doc__ or "").partition(">>>")[0].strip()
    if not text:
        return ""
    text = text.replace("\\", "\\\\").replace('"""', "'''")
    return f'"""{text}"""\n' if "\n" not in text else f'"""{text}\n"""\n'


def _indented(text):
    return textwrap.indent(text if text.endswith("\n") else text + "\n", "    ")

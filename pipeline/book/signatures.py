"""What options a part takes, read from its source without importing it.

``check`` must end in a second or two, and importing torch alone takes three; so the constructor
(or the dataclass fields) of a part is parsed, not imported, and becomes a pydantic model.
"""

from __future__ import annotations

import ast
import typing
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Strict, create_model

from pipeline.compute.source import module_path

_NAMES: dict[str, Any] = {
    **{kind.__name__: kind for kind in (str, list, tuple, dict)},
    **{kind.__name__: Annotated[kind, Strict()] for kind in (bool, int, float)},  # a part is given '1' as it is: text
    **{"Any": Any, "None": None, "Sequence": Sequence, "Mapping": dict, "Path": str},
    **{"Literal": typing.Literal, "Optional": typing.Optional},
}
_SUPPLIED = frozenset(
    "self num_classes base root samples localizer ranker segmenter pairs triples device crf class_names".split()  # noqa: SIM905
)
"""Arguments that the composition root gives, never params.yaml."""


@cache
def _definition(target: str) -> tuple[ast.ClassDef | ast.FunctionDef, dict[str, ast.expr]]:
    module, _, name = target.partition(":")
    tree = ast.parse(module_path(module).read_text(encoding="utf-8"))
    constants = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node, constants
    raise LookupError(f"{module} defines no class or function '{name}'")


def has_method(target: str, method: str) -> bool:
    """Whether the class behind ``"module:Class"`` defines ``method`` itself."""
    node, _ = _definition(target)
    return any(isinstance(item, ast.FunctionDef) and item.name == method for item in node.body)


@cache
def options_model(target: str) -> type[BaseModel]:
    """A pydantic model of the options of ``"module:attribute"`` (a function, class or dataclass)."""
    node, constants = _definition(target)
    fields: dict[str, Any] = {}
    for name, annotation, default in _parameters(node):
        if name in _SUPPLIED:
            continue
        required = default is None
        value = ... if default is None else _value(default, constants)
        fields[name] = (_type(annotation), ... if required else value)
    return create_model(node.name, __config__=ConfigDict(extra="forbid", strict=False), **fields)


def _parameters(node: ast.ClassDef | ast.FunctionDef) -> list[tuple[str, ast.expr | None, ast.expr | None]]:
    """(name, annotation, default) of a function, a class's constructor, or a dataclass's fields."""
    function: ast.FunctionDef | None = node if isinstance(node, ast.FunctionDef) else None
    if isinstance(node, ast.ClassDef):
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                function = item
        if function is None:
            return [
                (item.target.id, item.annotation, item.value)
                for item in node.body
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
            ]
    assert function is not None
    arguments = function.args
    positional = arguments.posonlyargs + arguments.args
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = list(zip(positional, defaults, strict=True)) + list(
        zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    )
    return [(argument.arg, argument.annotation, default) for argument, default in pairs]


def _value(node: ast.expr, constants: dict[str, ast.expr]) -> Any:
    if isinstance(node, ast.Name) and node.id in constants:
        return _value(constants[node.id], constants)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _type(annotation: ast.expr | None) -> Any:
    """The annotation as a type where it is built of plain types; anything else is accepted unchecked."""
    if annotation is None:
        return Any
    try:
        return eval(compile(ast.Expression(annotation), "<annotation>", "eval"), {"__builtins__": {}}, dict(_NAMES))
    except (NameError, AttributeError, TypeError):
        return Any

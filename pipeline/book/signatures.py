"""What a component declares, read from its source without importing it: its options, its functions, its traits.

``check`` must end in a second or two, and importing torch alone takes three; so the constructor
(or the dataclass fields) of a component is parsed, not imported, and becomes a pydantic model. Base classes count, as
they do in Python: a constructor that passes keywords on (``**more``) has the options of the base's constructor too.
"""

from __future__ import annotations

import ast
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, create_model

from models import options
from pipeline.compute.source import module_path

_NAMES: dict[str, Any] = {
    **{kind.__name__: kind for kind in (str, list, tuple, dict)},
    **{"bool": options.Flag, "int": options.Whole, "float": options.Number},  # a component is given '1' as it is: text
    **{"Any": Any, "None": None, "Sequence": Sequence, "Mapping": dict, "Path": str},
    **{"Literal": typing.Literal, "Optional": typing.Optional, "Annotated": Annotated, "Field": Field},
}
_SUPPLIED = frozenset(
    (  # noqa: SIM905
        "self num_classes base root samples localizer ranker segmenter pairs triples device crf elsewhere class_names"
    ).split()
)
"""Arguments that the composition root gives, never params.yaml."""

_ROOMS = ("models", "stages", "pipeline")

Parsed: TypeAlias = ast.ClassDef | ast.FunctionDef
Parameter: TypeAlias = tuple[ast.expr | None, ast.expr | None, "_Module"]
"""Annotation, default, and the module in which these are written."""


@dataclass(frozen=True, eq=False)
class _Module:
    """A parsed module: what it defines, and where its other names come from."""

    name: str
    definitions: dict[str, Parsed]
    values: dict[str, ast.expr]
    imported: dict[str, tuple[str, str]]

    def meaning(self, name: str) -> Any:
        """The type that ``name`` stands for in an annotation; KeyError where that is no plain type."""
        if name in self.values:
            return _evaluated(self.values[name], self)
        module, original = self.imported.get(name, ("", ""))
        if module == options.__name__:
            return getattr(options, original)
        if module.partition(".")[0] in _ROOMS:
            return _parse(module).meaning(original)
        return _NAMES[name]


@cache
def _parse(name: str) -> _Module:
    body = ast.parse(module_path(name).read_text(encoding="utf-8")).body
    return _Module(
        name,
        {node.name: node for node in body if isinstance(node, Parsed)},
        {
            node.targets[0].id: node.value
            for node in body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        },
        {
            alias.asname or alias.name: (node.module, alias.name)
            for node in body
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        },
    )


def _definition(target: str) -> tuple[_Module, Parsed]:
    module, _, name = target.partition(":")
    parsed = _parse(module)
    if name not in parsed.definitions:
        raise LookupError(f"{module} defines no class or function '{name}'")
    return parsed, parsed.definitions[name]


@cache
def _lineage(target: str) -> tuple[tuple[_Module, Parsed], ...]:
    """A component, then its base classes as far as they are of this project, or of its package, nearest first."""
    module, node = _definition(target)
    classes = [(module, node)]
    for base in node.bases if isinstance(node, ast.ClassDef) else ():
        classes += [one for one in _lineage_of_base(base, module) if one not in classes]
    return tuple(classes)


def _lineage_of_base(base: ast.expr, module: _Module) -> tuple[tuple[_Module, Parsed], ...]:
    owner, _, name = ast.unparse(base).rpartition(".")
    if not owner and name in module.definitions:
        return _lineage(f"{module.name}:{name}")
    source, original = module.imported.get(owner or name, ("", ""))
    if source.partition(".")[0] not in {*_ROOMS, module.name.partition(".")[0]}:
        return ()
    return _lineage(f"{source}.{original}:{name}" if owner else f"{source}:{original}")


def has_method(target: str, method: str) -> bool:
    """Whether the class behind ``"module:Class"`` defines ``method``, or a base class of the project does."""
    return any(
        isinstance(item, ast.FunctionDef) and item.name == method for _, node in _lineage(target) for item in node.body
    )


def trait(target: str | None, name: str, default: Any = None) -> Any:
    """What the class behind ``"module:Class"``, or the nearest base class that does, sets its attribute ``name`` to.

    ``default`` where none does, or for a name that is in no door (None).
    """
    found = _trait(target, name) if target else ()
    return found[0] if found else default


@cache
def _trait(target: str, name: str) -> tuple[Any, ...]:
    """The value as the only item; nothing where no class sets the attribute."""
    for module, node in _lineage(target):
        for item in node.body if isinstance(node, ast.ClassDef) else ():
            targets = item.targets if isinstance(item, ast.Assign) else [getattr(item, "target", None)]
            value = getattr(item, "value", None)
            if value is not None and any(isinstance(one, ast.Name) and one.id == name for one in targets):
                return (_value(value, module),)
    return ()


def constant_beside(target: str, name: str) -> Any:
    """The constant ``name`` of the module in which ``"module:attribute"`` is defined; None where there is none.

    It is what a function has for a trait.
    """
    module = _parse(target.partition(":")[0])
    return _value(module.values[name], module) if name in module.values else None


@cache
def options_model(target: str) -> type[BaseModel]:
    """A pydantic model of the options of ``"module:attribute"`` (a function, class or dataclass)."""
    fields: dict[str, Any] = {
        name: (_type(annotation, module), ... if default is None else _value(default, module))
        for name, (annotation, default, module) in _parameters(target).items()
        if name not in _SUPPLIED
    }
    name = target.partition(":")[2]
    return create_model(name, __config__=ConfigDict(extra="forbid", strict=False), **fields)


def options_of_type(target: str, declared: Any) -> list[str]:
    """Options that ``"module:attribute"`` declares as a type of ``models.options``."""
    return [
        name for name, (annotation, _, module) in _parameters(target).items() if _type(annotation, module) is declared
    ]


@cache
def _parameters(target: str) -> dict[str, Parameter]:
    """Those of a function, a class's constructor, or a dataclass's fields; a base's stand before its subclass's own."""
    levels: list[dict[str, Parameter]] = []
    for module, node in _lineage(target):
        function = node if isinstance(node, ast.FunctionDef) else _constructor(node)
        if function is not None:
            levels.append(
                {name: (annotation, default, module) for name, annotation, default in _arguments(function.args)}
            )
            if function.args.kwarg is None:
                break
        elif isinstance(node, ast.ClassDef) and _is_dataclass(node):
            levels.append({name: (annotation, default, module) for name, annotation, default in _fields(node)})
    return {name: parameter for level in reversed(levels) for name, parameter in level.items()}


def _constructor(node: ast.ClassDef) -> ast.FunctionDef | None:
    return next((item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None)


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any(ast.unparse(one).startswith("dataclass") for one in node.decorator_list)


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr | None, ast.expr | None]]:
    declared = [item for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)]
    for item in declared:
        if not ast.unparse(item.annotation).startswith("ClassVar"):
            yield ast.unparse(item.target), item.annotation, item.value


def _arguments(arguments: ast.arguments) -> Iterator[tuple[str, ast.expr | None, ast.expr | None]]:
    """(name, annotation, default) of each."""
    positional = arguments.posonlyargs + arguments.args
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = list(zip(positional, defaults, strict=True)) + list(
        zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    )
    yield from ((argument.arg, argument.annotation, default) for argument, default in pairs)


def _value(node: ast.expr, module: _Module) -> Any:
    if isinstance(node, ast.Name) and node.id in module.values:
        return _value(module.values[node.id], module)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _type(annotation: ast.expr | None, module: _Module) -> Any:
    """The annotation as a type where it is built of plain types; anything else is accepted unchecked."""
    if annotation is None:
        return Any
    try:
        return _evaluated(annotation, module)
    except (KeyError, AttributeError, TypeError):
        return Any


def _evaluated(annotation: ast.expr, module: _Module) -> Any:
    names = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
    meanings = {name: module.meaning(name) for name in names}
    return eval(compile(ast.Expression(annotation), "<annotation>", "eval"), {"__builtins__": {}}, meanings)

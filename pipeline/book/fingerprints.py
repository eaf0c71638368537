"""Code is a dependency: a fingerprint of the source that stands behind each stage of a book.

DVC's ``code`` stage writes one small file per recipe entry; the entry's stage depends on it. A file changes only when
the code that the entry runs does: the binder of its verb (``pipeline/binders/VERB.py``), the components that the entry
names, and every definition that these reach through names, in any module of the project.

Code counts by its content, never by where it stands: a definition or a module that moves changes no fingerprint, nor
do comments, docstrings and layout.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeAlias

from pipeline.book.options import components
from pipeline.book.params import Book
from pipeline.compute.source import module_path

ROOMS = ("models", "stages", "pipeline")
_BOOKKEEPING = (
    "models.options",
    "pipeline.book",
    "pipeline.tracking",
    "pipeline.results",
    "pipeline.compute.bars",
    "pipeline.compute.engines",
    "pipeline.compute.project",
    "pipeline.compute.scratch",
    "pipeline.compute.servers",
)
"""Modules and packages that decide where and when, never what: they cannot change an artefact's bytes.

``models.options`` says what a value may be: nothing is computed with it.

An engine runs chunks; what a chunk computes, and with how many threads, is said by ``pipeline.compute.chunks`` and what
it calls.
"""

_ADDRESS = re.compile(rf"(?:{'|'.join(ROOMS)})(?:\.\w+)+(?=:\w+$|$)")
"""A module's name in a string, as doors have it ("models.methods.seam:Seam"): what it leads to is another component."""

Definition: TypeAlias = tuple[str, str]
"""(module, name) of a function, a class or a variable; the name is empty for what a module does when it is imported."""


def write_fingerprints(book: Book, folder: Path) -> None:
    """Write ``folder/VERB/NAME`` for every entry of the book."""
    for verb, name in book.entries():
        target = folder / verb / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(fingerprint(verb, components(book, verb, name)) + "\n", encoding="utf-8")


@cache
def fingerprint(verb: str, named: tuple[str, ...]) -> str:
    """sha256 over all code that the binder of ``verb`` and the modules ``named`` reach."""
    contents = {_module(module).content(name) for module, name in reached((f"pipeline.binders.{verb}", *named))}
    return hashlib.sha256("\n".join(sorted(contents)).encode()).hexdigest()


def reached(roots: Iterable[str]) -> set[Definition]:
    """All definitions of the modules ``roots``, and all that they use, directly or not.

    Packages' ``__init__`` files are left out: they are empty, or doors of which only the named component counts.
    """
    definitions: set[Definition] = set()
    queue = [definition for root in roots if _counts(root) for definition in _module(root).definitions]
    while queue:
        definition = queue.pop()
        if definition in definitions:
            continue
        definitions.add(definition)
        module, name = definition
        queue += [used for used in _module(module).uses(name).values() if used is not None]
        queue += [(module, "")] if name and "" in _module(module).statements else []
    return definitions


def closure(roots: Iterable[str]) -> set[str]:
    """The modules of :func:`reached`."""
    return {module for module, _ in reached(roots)}


@dataclass(frozen=True)
class _Module:
    """A parsed module: its statements by what they define, and where its names come from."""

    name: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(module_path(self.name).read_text(encoding="utf-8"))

    @cached_property
    def statements(self) -> dict[str, list[ast.stmt]]:
        """Name -> the statements that define it; the empty name has those that define none (effects of importing)."""
        statements: dict[str, list[ast.stmt]] = {}
        for statement in self.tree.body:
            if _is_docstring(statement) or _is_for_types_alone(statement) or _imports_project(statement):
                continue
            for name, defining in _defined(statement):
                statements.setdefault(name, []).append(defining)
        return statements

    @property
    def definitions(self) -> list[Definition]:
        """All of the module."""
        return [(self.name, name) for name in self.statements]

    @cached_property
    def imported(self) -> dict[str, tuple[str, str]]:
        """Name -> (module, name there) of what is imported from the project at the top."""
        return {name: source for statement in self.tree.body for name, source in _bound(statement)}

    @cache  # noqa: B019 (one module a process)
    def content(self, name: str) -> str:
        """The source of a definition, with the hash of the source of each definition that it uses by name."""
        used = {
            word: _source(definition)
            for word, definition in self.uses(name).items()
            if definition not in (None, (self.name, name))
        }
        return "\n".join([_source((self.name, name)), *(f"{word} {source}" for word, source in sorted(used.items()))])

    @cache  # noqa: B019
    def uses(self, name: str) -> dict[str, Definition | None]:
        """Name in the definition -> the definition that it means; None for what is not counted."""
        definitions: dict[str, Definition | None] = {}
        for statement in self.statements.get(name, ()):
            local = {word: source for node in ast.walk(statement) for word, source in _bound(node)}
            words = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
            for word in words | set(local):
                source = local.get(word) or self.imported.get(word)
                if source is not None:
                    definitions.update(_resolved(word, *source))
                elif word in self.statements and word != name:
                    definitions[word] = (self.name, word)
        return definitions


@cache
def _module(name: str) -> _Module:
    return _Module(name)


@cache
def _source(definition: Definition) -> str:
    """Hash of the source of a definition: its own alone, and without the names of modules."""
    module, name = definition
    text = "\n".join(_plain(statement) for statement in _module(module).statements.get(name, ()))
    return hashlib.sha256(text.encode()).hexdigest()


def _resolved(word: str, module: str, name: str) -> dict[str, Definition | None]:
    """What an imported name means; a module means all of its definitions."""
    inner = f"{module}.{name}" if name else module
    if _is_module(inner):
        whole = _module(inner).definitions if _counts(inner) else []
        return {f"{word}.{inner_name}": (inner, inner_name) for inner, inner_name in whole} or {word: None}
    if not _counts(module):
        return {word: None}
    there = _module(module)
    if name not in there.statements and name in there.imported:
        return _resolved(word, *there.imported[name])
    return {word: (module, name) if name in there.statements else None}


def _counts(module: str) -> bool:
    """Whether a module's code can change what a stage makes."""
    if module.partition(".")[0] not in ROOMS or f"{module}.".startswith(tuple(f"{name}." for name in _BOOKKEEPING)):
        return False
    return module_path(module).name != "__init__.py"


@cache
def _is_module(name: str) -> bool:
    """Whether ``name`` is a file of the project (``a.b.c`` may also be an attribute of ``a.b``)."""
    path = module_path(ROOMS[0]).parent.parent / Path(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _bound(node: ast.AST) -> Iterator[tuple[str, tuple[str, str]]]:
    """Name -> (module, name there) that an import from the project gives; nothing for other nodes."""
    if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in ROOMS:
        yield from ((alias.asname or alias.name, (node.module, alias.name)) for alias in node.names)
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.partition(".")[0] in ROOMS:
                yield alias.asname or alias.name.partition(".")[0], (alias.name, "")


def _imports_project(statement: ast.stmt) -> bool:
    return any(True for _ in _bound(statement))


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_for_types_alone(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"


def _defined(statement: ast.stmt) -> list[tuple[str, ast.stmt]]:
    """The names that a statement at the top of a module defines, each with what defines it."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [(statement.name, statement)]
    if isinstance(statement, ast.Import):
        return [(alias.asname or alias.name.partition(".")[0], ast.Import([alias])) for alias in statement.names]
    if isinstance(statement, ast.ImportFrom):
        module, level = statement.module, statement.level
        return [(alias.asname or alias.name, ast.ImportFrom(module, [alias], level)) for alias in statement.names]
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
        if names and all(isinstance(target, ast.Name | ast.Tuple) for target in targets):
            return [(name, statement) for name in names]
    return [("", statement)]


def _plain(tree: ast.AST) -> str:
    """Source of a tree without comments, docstrings, layout, and where in the project names come from."""
    return ast.unparse(_Plain().visit(ast.parse(ast.unparse(tree))))


class _Plain(ast.NodeTransformer):
    """Imports from the project go: what they give is said by :meth:`_Module.uses`."""

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.stmt) and (_is_docstring(node) or _imports_project(node)):
            return None
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return ast.Constant(_ADDRESS.sub("", node.value))
        node = self.generic_visit(node)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node

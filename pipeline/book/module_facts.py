"""What a module defines and which names each definition uses, kept by the content of its source.

To parse the modules behind a book takes seconds and gives the same as long as they are the same; so the facts lie in
``.scratch/module_facts.json``, each with the hash of the text that they were read from.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.compute.project import is_root
from pipeline.compute.scratch import SCRATCH
from pipeline.compute.source import module_path
from pipeline.storage.whole import whole_file

ROOMS = ("models", "stages", "pipeline")
KEPT = SCRATCH / "module_facts.json"

_ADDRESS = re.compile(rf"(?:{'|'.join(ROOMS)})(?:\.\w+)+(?=:\w+$|$)")
"""A module's name in a string, as doors have it ("models.methods.seam:Seam"): what it leads to is another component."""


@dataclass(frozen=True)
class DefinitionFacts:
    """A function, a class or a variable at the top of a module.

    Attributes:
        source: sha256 of its source, without comments, docstrings, layout, and where in the project names come from.
        uses: for each statement that defines it the names in it, and name -> (module, name there) of its own imports
            from the project.
    """

    source: str
    uses: tuple[tuple[frozenset[str], dict[str, tuple[str, str]]], ...]


@dataclass(frozen=True)
class Facts:
    """A parsed module.

    Attributes:
        definitions: by name; the empty name has the statements that define none (effects of importing).
        imported: name -> (module, name there) of what is imported from the project at the top.
    """

    definitions: dict[str, DefinitionFacts]
    imported: dict[str, tuple[str, str]]


@cache
def module_facts(module: str) -> Facts:
    """The facts of a module of this project, parsed where they are not kept."""
    text = module_path(module).read_bytes()
    digest = hashlib.sha256(_rules() + text).hexdigest()
    known = _kept().get(module)
    if not isinstance(known, dict) or known.get("digest") != digest:
        known = {"digest": digest, **_parsed(ast.parse(text))}
        _kept()[module] = known
        _new.add(module)
    return _facts(known)


def keep_facts() -> None:
    """Write the facts that this process had to parse, for the next one; nothing where they cannot be written."""
    if not _new or not is_root(Path()):
        return
    with suppress(OSError):
        SCRATCH.mkdir(exist_ok=True)
        with whole_file(KEPT, shared=True, durable=False) as scratch:
            scratch.write_text(json.dumps(_kept(), separators=(",", ":")), encoding="utf-8")
        _new.clear()


_new: set[str] = set()
"""Modules whose facts are not written yet."""


@cache
def _rules() -> bytes:
    """Stands for how facts are read from a text: this file, and the Python that parses."""
    return hashlib.sha256(Path(__file__).read_bytes() + sys.version.encode()).digest()


@cache
def _kept() -> dict[str, Any]:
    """Module -> its facts and the hash of its text; damaged or missing: none."""
    try:
        content = json.loads(KEPT.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _facts(plain: dict[str, Any]) -> Facts:
    definitions = {
        name: DefinitionFacts(source, tuple((frozenset(words), _addresses(local)) for words, local in uses))
        for name, (source, uses) in plain["definitions"].items()
    }
    return Facts(definitions, _addresses(plain["imported"]))


def _addresses(plain: dict[str, list[str]]) -> dict[str, tuple[str, str]]:
    return {name: (module, there) for name, (module, there) in plain.items()}


def _parsed(tree: ast.Module) -> dict[str, Any]:
    """The facts as JSON has them."""
    definitions = {name: [_source(several), [*map(_used, several)]] for name, several in _statements(tree).items()}
    return {"definitions": definitions, "imported": dict(pair for one in tree.body for pair in bound(one))}


def _source(statements: list[ast.stmt]) -> str:
    return hashlib.sha256("\n".join(map(plain_source, statements)).encode()).hexdigest()


def _used(statement: ast.stmt) -> tuple[list[str], dict[str, tuple[str, str]]]:
    nodes = list(ast.walk(statement))
    words = {node.id for node in nodes if isinstance(node, ast.Name)}
    return sorted(words), {word: source for node in nodes for word, source in bound(node)}


def _statements(tree: ast.Module) -> dict[str, list[ast.stmt]]:
    """Name -> the statements that define it."""
    statements: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        if _is_docstring(statement) or _is_for_types_alone(statement) or _imports_project(statement):
            continue
        for name, defining in _defined(statement):
            statements.setdefault(name, []).append(defining)
    return statements


def bound(node: ast.AST) -> Iterator[tuple[str, tuple[str, str]]]:
    """Name -> (module, name there) that an import from the project gives; nothing for other nodes."""
    if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in ROOMS:
        yield from ((alias.asname or alias.name, (node.module, alias.name)) for alias in node.names)
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.partition(".")[0] in ROOMS:
                yield alias.asname or alias.name.partition(".")[0], (alias.name, "")


def _imports_project(statement: ast.stmt) -> bool:
    return any(True for _ in bound(statement))


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


def plain_source(tree: ast.AST) -> str:
    """Source of a tree without comments, docstrings, layout, and where in the project names come from."""
    return ast.unparse(_Plain().visit(ast.parse(ast.unparse(tree))))


class _Plain(ast.NodeTransformer):
    """Imports from the project go: what they give is said by the uses of a definition."""

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.stmt) and (_is_docstring(node) or _imports_project(node)):
            return None
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return ast.Constant(_ADDRESS.sub("", node.value))
        node = self.generic_visit(node)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node

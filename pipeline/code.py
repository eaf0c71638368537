"""Code is a dependency: a fingerprint of the source that stands behind each stage of a book.

DVC's ``code`` stage writes one small file per recipe entry; the entry's stage depends on it. A file
changes only when the code that the entry runs does: the binder of its verb (``pipeline/binders/VERB.py``),
everything that the binder imports, and the parts of the doors that the entry names. Comments,
docstrings and layout do not count.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pipeline.check import parts
from pipeline.params import Book
from pipeline.signatures import module_path

ROOMS = ("models", "stages", "pipeline")
_BOOKKEEPING = {
    f"pipeline.{name}"
    for name in (
        "tracking",
        "recording",
        "recorder",
        "runs",
        "params",
        "check",
        "check_graph",
        "lineage",
        "tables",
        "ranges",
        "signatures",
        "code",
        "artifacts",
        "project",
        "bars",
        "engines",
        "servers",
    )
}
"""Modules and packages that decide where and when, never what: they cannot change an artefact's bytes.

An engine runs parts; what a part computes, and with how many threads, is said by ``pipeline.parts`` and what it calls.
"""


def write_fingerprints(book: Book, folder: Path) -> None:
    """Write ``folder/VERB/NAME`` for every entry of the book."""
    for verb, name in book.entries():
        target = folder / verb / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(fingerprint(verb, parts(book, verb, name)) + "\n", encoding="utf-8")


def fingerprint(verb: str, named: tuple[str, ...]) -> str:
    """sha256 over the binder of ``verb`` and the import closure of it and of ``named`` (modules)."""
    digest = hashlib.sha256()
    for module in sorted(closure((f"pipeline.binders.{verb}", *named))):
        digest.update(f"\n# {module}\n{_source(module)}".encode())
    return digest.hexdigest()


def closure(roots: tuple[str, ...]) -> set[str]:
    """Every module of this project that the roots import, directly or not.

    Packages' ``__init__`` files are left out: they are empty, or doors of which only the named part counts.
    """
    found: set[str] = set()
    queue = [root for root in roots if root.partition(".")[0] in ROOMS]
    while queue:
        module = queue.pop()
        if module in found or _is_bookkeeping(module):
            continue
        found.add(module)
        queue.extend(_module_imports(module))
    return {module for module in found if module_path(module).name != "__init__.py"}


def _is_bookkeeping(module: str) -> bool:
    return module in _BOOKKEEPING or module.rpartition(".")[0] in _BOOKKEEPING


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(module_path(module).read_text(encoding="utf-8"))


@cache
def _source(module: str) -> str:
    return _plain(_tree(module))


@cache
def _module_imports(module: str) -> tuple[str, ...]:
    return tuple(_imports(_tree(module)))


def _imports(tree: ast.AST) -> Iterator[str]:
    """Names of the project's modules that the tree imports; ``from package import module`` counts as both."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (name for name in names if name.partition(".")[0] in ROOMS and _is_module(name))


@cache
def _is_module(name: str) -> bool:
    """Whether ``name`` is a file of the project (``a.b.c`` may also be an attribute of ``a.b``)."""
    path = Path(__file__).parent.parent / Path(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _plain(tree: ast.AST) -> str:
    """Source of the tree without comments, docstrings and layout."""
    tree = ast.parse(ast.unparse(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [
                statement
                for statement in node.body
                if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
            ] or [ast.Pass()]
    return ast.unparse(tree)

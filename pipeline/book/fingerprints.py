"""Code is a dependency: a fingerprint of the source that stands behind each stage of a book.

DVC's ``code`` stage writes one small file per recipe entry; the entry's stage depends on it. A file changes only when
the code that the entry runs does: the binder of its verb (``pipeline/binders/VERB.py``), the components that the entry
names, and every definition that these reach through names, in any module of the project.

Code counts by its content, never by where it stands: a definition or a module that moves changes no fingerprint, nor
do comments, docstrings and layout.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

from pipeline.book.module_facts import ROOMS, Facts, keep_facts, module_facts
from pipeline.book.options import components
from pipeline.book.outside_files import outside_lines
from pipeline.book.params import Book
from pipeline.compute.source import module_path
from pipeline.storage.whole import whole_file

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

Definition: TypeAlias = tuple[str, str]
"""(module, name) of a function, a class or a variable; the name is empty for what a module does when it is imported."""


def write_fingerprints(book: Book, folder: Path) -> None:
    """Write ``folder/VERB/NAME`` for every entry of the book."""
    for verb, name in book.entries():
        target = folder / verb / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target, durable=False) as scratch:  # in place it would change DVC's cache, whose link it may be
            scratch.write_text(fingerprint_text(book, verb, name), encoding="utf-8")


def fingerprint_text(book: Book, verb: str, name: str) -> str:
    """What stands in the file of an entry: its fingerprint, and the hash of each file that DVC does not watch."""
    lines = [fingerprint(verb, components(book, verb, name)), *outside_lines(book, verb, name)]
    return "\n".join(lines) + "\n"


@cache
def fingerprint(verb: str, named: tuple[str, ...]) -> str:
    """sha256 over all code that the binder of ``verb`` and the modules ``named`` reach."""
    return code_of((f"pipeline.binders.{verb}", *named))


def code_of(modules: Iterable[str]) -> str:
    """sha256 over all code that ``modules`` reach."""
    contents = {_module(module).content(name) for module, name in reached(modules)}
    keep_facts()
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
        queue += [(module, "")] if name and "" in _module(module).facts.definitions else []
    return definitions


def closure(roots: Iterable[str]) -> set[str]:
    """The modules of :func:`reached`."""
    return {module for module, _ in reached(roots)}


@dataclass(frozen=True)
class _Module:
    """A module: its definitions, and what they mean by the names that they use."""

    name: str

    @property
    def facts(self) -> Facts:
        return module_facts(self.name)

    @property
    def definitions(self) -> list[Definition]:
        """All of the module."""
        return [(self.name, name) for name in self.facts.definitions]

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
        meant: dict[str, Definition | None] = {}
        known = self.facts.definitions
        for words, local in known[name].uses if name in known else ():
            for word in words | set(local):
                source = local.get(word) or self.facts.imported.get(word)
                if source is not None:
                    meant.update(_resolved(word, *source))
                elif word in known and word != name:
                    meant[word] = (self.name, word)
        return meant


@cache
def _module(name: str) -> _Module:
    return _Module(name)


def _source(definition: Definition) -> str:
    module, name = definition
    return _module(module).facts.definitions[name].source


def _resolved(word: str, module: str, name: str) -> dict[str, Definition | None]:
    """What an imported name means; a module means all of its definitions."""
    inner = f"{module}.{name}" if name else module
    if _is_module(inner):
        whole = _module(inner).definitions if _counts(inner) else []
        return {f"{word}.{inner_name}": (inner, inner_name) for inner, inner_name in whole} or {word: None}
    if not _counts(module):
        return {word: None}
    there = _module(module).facts
    if name not in there.definitions and name in there.imported:
        return _resolved(word, *there.imported[name])
    return {word: (module, name) if name in there.definitions else None}


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

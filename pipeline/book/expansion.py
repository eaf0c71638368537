"""book.yaml -> the content of params.yaml: blocks taken apart, ``each:`` multiplied, ``judge:`` made evaluations."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from models.errors import closest
from pipeline.book.artifacts import OPTIONAL, SECTIONS, VERBS
from pipeline.book.each import EACH, Scope, variables_of
from pipeline.book.judge import JUDGE, judgements
from pipeline.book.rows import Rows
from pipeline.book.written import Path, Written

BOOK, TABLE, EVALUATE = "book", "table", "evaluate"
_BLOCK = re.compile(r"[a-z0-9][a-z0-9_]*")


@dataclass(frozen=True)
class Expansion:
    """What a book.yaml says.

    Attributes:
        content: as params.yaml says it: ``book``, ``table`` (if it says anything) and every verb, in that order.
        sources: where in book.yaml a key of it was written: ``("train", "cam_1")`` -> ``("seam", "train",
            "cam_<seed>")``; for rows and columns of the table ``("table", "recipes", KEY, COLUMN)``.
        written: the text.
        values: ``("train", "cam_1")`` -> ``{"seed": 1}``, the values of `each:` that an entry was made with.
    """

    content: dict[str, Any]
    sources: Mapping[Path, Path]
    written: Written
    values: Mapping[Path, Mapping[str, Any]]

    def line(self, key: Path) -> int | None:
        """The line of book.yaml that a key of the content comes from, or the nearest one above it.

        Args:
            key: such as ``("train", "cam_1", "settings", "lr")``.
        """
        for length in range(len(key), 0, -1):
            if key[:length] in self.sources:
                return self.written.line((*self.sources[key[:length]], *key[length:]))
        return self.written.line(key)


@lru_cache(maxsize=2)
def expand(text: str, name: str = "book.yaml") -> Expansion:
    """Expand the text of a book.yaml; what it says is validated by ``pipeline.book.params``.

    Equal texts of one process share an expansion: it is to be read, not changed.

    Args:
        name: what messages call the file.

    Raises:
        ConfigurationError: no YAML, an unknown block, an unknown placeholder, a variable that is not used, an entry or
            a place in a table that is given twice; the message names the line.
    """
    return _Walk(Written(text, name)).expansion()


class _Walk:
    """The blocks of a book from top to bottom, and what has been made of them."""

    def __init__(self, written: Written) -> None:
        self.written = written
        self.scope = Scope(written, frozenset(variables_of(written.content)))
        self.sections: dict[str, dict[Any, Any]] = {verb: {} for verb in SECTIONS}
        self.sources: dict[Path, Path] = {}
        self.values: dict[Path, Mapping[str, Any]] = {}
        self.rows = Rows(self.scope, written.content.get(TABLE))

    def expansion(self) -> Expansion:
        content: dict[str, Any] = {}
        given = self.written.content
        if EACH in given:
            raise self.written.error((EACH,), f"`{EACH}:` belongs in a block, or in a section of one verb.")
        if BOOK in given:
            content[BOOK] = given[BOOK]
        self._block({key: value for key, value in given.items() if key not in (BOOK, TABLE)}, (), self.scope)
        table = self.rows.table()
        if table is not None or TABLE in given:
            content[TABLE] = table
        sections = {verb: section for verb, section in self.sections.items() if section or verb not in OPTIONAL}
        return Expansion(content | sections, {**self.sources, **self.rows.sources}, self.written, self.values)

    def _block(self, block: Mapping[Any, Any], path: Path, scope: Scope) -> None:
        for key in block:
            if key not in (EACH, *VERBS):
                self._require_block(key, block[key], (*path, str(key)))
        for inner in scope.each(block, path):
            for key, value in block.items():
                if key in VERBS:
                    self._section(key, value, (*path, key), inner)
                elif key != EACH:
                    self._block(value, (*path, key), inner)

    def _require_block(self, key: Any, value: Any, path: Path) -> None:
        """A key that is no verb has to be a block, whose name is for the reader."""
        known = [*VERBS, EACH] if len(path) > 1 else [BOOK, TABLE, *VERBS]
        if key in (BOOK, TABLE):
            raise self.written.error(path, f"`{key}:` belongs at the top of the book, not in a block.")
        if _looks_like_a_block(value):
            if not isinstance(key, str) or not _BLOCK.fullmatch(key):
                raise self.written.error(
                    path, f"expected the name of a block in lower case, digits and underscores, found '{key}'."
                )
        elif not isinstance(value, dict) or not value or difflib.get_close_matches(str(key), known, cutoff=0.75):
            raise self.written.error(
                path,
                f"'{key}' is neither a section nor a block (sections of verbs, such as train:, or blocks)."
                f"{closest(str(key), known)}",
            )

    def _section(self, verb: str, section: Any, path: Path, scope: Scope) -> None:
        entries = self.written.require_mapping(section, path, "entries below it ({} for none)")
        for inner in scope.each(entries, path):
            for key, entry in entries.items():
                if key != EACH:
                    self._entry(verb, key, entry, (*path, str(key)), inner)

    def _entry(self, verb: str, key: Any, entry: Any, path: Path, scope: Scope) -> None:
        scope.require_all_in(str(key), path)
        name = scope.text(key, path) if isinstance(key, str) else key
        made = scope.filled(entry, path)
        if not isinstance(made, dict) or JUDGE not in made:
            self._add(verb, name, made, path, scope)
            return
        self._add(verb, name, {key: value for key, value in made.items() if key != JUDGE}, path, scope)
        for judgement in judgements(self.written, verb, name, made, path):
            self._add(EVALUATE, judgement.name, dict(judgement.entry), judgement.place, scope)
            self.rows.add(judgement)

    def _add(self, verb: str, name: Any, entry: Any, path: Path, scope: Scope) -> None:
        known = self.sources.get((verb, str(name)))
        if known is not None:
            hint = "Write a placeholder in its name" if known == path else "Rename or remove one of them"
            raise self.written.error(path, f"{verb}.{name} is there already, from {self.written.at(known)}. {hint}.")
        self.sources[verb, str(name)] = path
        self.values[verb, str(name)] = scope.values
        self.sections[verb][name] = entry


def _looks_like_a_block(value: Any) -> bool:
    """A mapping of sections and blocks, each of which looks like one."""
    return (
        isinstance(value, dict)
        and set(value) != {EACH}
        and bool(value)
        and all(
            key == EACH or (isinstance(below, dict) if key in VERBS else _looks_like_a_block(below))
            for key, below in value.items()
        )
    )

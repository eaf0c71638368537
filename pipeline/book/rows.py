"""``table:`` of a book.yaml: the rows that stand there, and those to which ``judge:`` adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.book.artifacts import TABLE_ROWS
from pipeline.book.each import EACH, Scope
from pipeline.book.head import RecipeRow, RepeatsRow
from pipeline.book.judge import Judgement
from pipeline.book.written import Path

TABLE, RECIPES, REPEATS = "table", "recipes", "repeats"


class Rows:
    """The table of a book while it is put together.

    Attributes:
        sources: where a row (``("table", "recipes", KEY)``), or a key of it, was written.
    """

    def __init__(self, scope: Scope, given: Any) -> None:
        """Read the rows that are written plainly.

        Args:
            scope: that of the whole book.
            given: what ``table:`` says; None where there is none.

        Raises:
            ConfigurationError: an ``each:`` in it does not hold.
        """
        self.sources: dict[Path, Path] = {}
        self._written, self._given = scope.written, given
        self._judged: set[tuple[str, str]] = set()
        self._rows: dict[str, dict[Any, Any]] = {kind: {} for kind in TABLE_ROWS}
        for kind in TABLE_ROWS:
            rows = given.get(kind) if isinstance(given, dict) else None
            if rows is not None:
                self._plain(scope, kind, self._written.require_mapping(rows, (TABLE, kind), "rows below it"))

    def add(self, judgement: Judgement) -> None:
        """Give an evaluation its places.

        Raises:
            ConfigurationError: another entry has the place, or says something else about the row.
        """
        if self._given is not None and not isinstance(self._given, dict):
            self._written.require_mapping(self._given, (TABLE,), "keys below it")
        if judgement.row:
            self._claim(RECIPES, judgement.row, judgement.column, judgement.name, judgement.place)
            for key, value in judgement.facts.items():
                self._claim(RECIPES, judgement.row, key, value, judgement.place)
        if judgement.mean:
            row = self._row(REPEATS, judgement.mean, judgement.place)
            if judgement.mean_label:
                self._claim(REPEATS, judgement.mean, "label", judgement.mean_label, judgement.place)
            if not isinstance(row.setdefault("of", []), list):
                raise self._written.error(judgement.place, f"table.repeats.{judgement.mean}.of: expected a list.")
            row["of"].append(judgement.name)

    def table(self) -> Any:
        """What params.yaml says under ``table:``; None where it says nothing."""
        if self._given is not None and not isinstance(self._given, dict):
            return self._given
        made = dict(self._given or {})
        for kind, rows in self._rows.items():
            if rows:
                made[kind] = {key: self._in_order(kind, key) for key in rows}
        return made or self._given

    def _plain(self, scope: Scope, kind: str, rows: Mapping[Any, Any]) -> None:
        for inner in scope.each(rows, (TABLE, kind)):
            for key, row in rows.items():
                if key != EACH:
                    self._plain_row(inner, kind, key, row)

    def _plain_row(self, scope: Scope, kind: str, key: Any, row: Any) -> None:
        path = (TABLE, kind, str(key))
        scope.require_all_in(str(key), path)
        name = scope.text(key, path) if isinstance(key, str) else key
        where = (TABLE, kind, str(name))
        if where in self.sources:
            known = self._written.at(self.sources[where])
            raise self._written.error(path, f"table.{kind}.{name} is there already, from {known}. Rename one of them.")
        self._rows[kind][name], self.sources[where] = scope.filled(row, path), path
        for one in row if isinstance(row, dict) else ():
            self.sources[(*where, str(one))] = (*path, str(one))

    def _row(self, kind: str, key: str, place: Path) -> dict[Any, Any]:
        """The row that a judgement adds to; it is made where it is not there."""
        row: dict[Any, Any] = self._rows[kind].setdefault(key, {})
        self.sources.setdefault((TABLE, kind, key), place)
        self._judged.add((kind, key))
        if not isinstance(row, dict):
            self._written.require_mapping(row, self.sources[TABLE, kind, key], "keys below it")
        return row

    def _in_order(self, kind: str, key: Any) -> Any:
        """A row with its keys as in the models of a row; one that nothing was added to as it was written."""
        row = self._rows[kind][key]
        if (kind, key) not in self._judged:
            return row
        known = list((RecipeRow if kind == RECIPES else RepeatsRow).model_fields)
        return {one: row[one] for one in sorted(row, key=lambda one: known.index(one) if one in known else len(known))}

    def _claim(self, kind: str, row: str, key: str, value: str, place: Path) -> None:
        """Write a key of a row. Of one entry that stands for several the first counts: the row shows the first seed."""
        made, where = self._row(kind, row, place), (TABLE, kind, row, key)
        known = self.sources.get(where)
        if known is None:
            made[key], self.sources[where] = value, place
        elif known != place and (key not in ("label", "published") or made.get(key) != value):
            raise self._written.error(
                place,
                f"table.{kind}.{row}.{key} would be '{value}', and is '{made.get(key)}' already, from "
                f"{self._written.at(known)}. Remove one of them.",
            )

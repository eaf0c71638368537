"""The same recipe under other seeds: entries for its trainings and for all that stands on them, and a row of means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from models.errors import ConfigurationError
from pipeline.book.agreement import FLAT, SOURCE, check_agreement, expansion_of
from pipeline.book.expansion import Expansion
from pipeline.book.params import load_book
from pipeline.new_book.chains import Chain, new_rows, seeded
from pipeline.new_book.seed_block import add_block
from pipeline.new_book.seed_lists import SeedLists
from pipeline.new_book.text import BookText, entry_line
from pipeline.storage.whole import whole_file


@dataclass(frozen=True)
class Repeated:
    """What was written.

    Attributes:
        file: what was edited: the book's book.yaml, or else its params.yaml.
        entries: ``VERB@NAME`` of each new entry.
        targets: the targets under the new seeds.
        rows: keys of the new rows of ``table.repeats``.
        existing_rows: keys of rows that were there and do not list the new evaluations.
        without_row: evaluations among the targets that no row of means lists with the new ones.
    """

    file: str
    entries: tuple[str, ...]
    targets: tuple[str, ...]
    rows: tuple[str, ...]
    existing_rows: tuple[str, ...]
    without_row: tuple[str, ...] = ()


def repeat(book: str, targets: Sequence[str], seeds: Sequence[int], first: Sequence[str] = ()) -> Repeated:
    """Add a recipe under other seeds to the file of a book that one edits, whose text is otherwise kept.

    In a book.yaml whose recipe takes its seeds from a list they are added to that list; otherwise a block is added at
    its end. Then params.yaml is expanded anew.

    Args:
        book: its folder.
        targets: ``VERB@NAME``, the ends of the recipe.
        seeds: of the new trainings.
        first: ``train@NAME`` from which on trainings get another seed; none for all that the targets stand on.

    Raises:
        ConfigurationError: unknown targets, no training above them, a training that has one of the seeds, two trainings
            that differ by their seeds alone, another entry with a new name, or sections of the file that cannot be
            added to line by line. Nothing is written then.
    """
    check_agreement(book)
    chain = Chain.of(load_book(book), Path(book) / FLAT, targets, first)
    chain.require_other_seeds(seeds)
    chain.require_several_networks()
    expansion = expansion_of(book)
    if expansion is None:
        return _add_entries(chain, seeds)
    return _in_source(chain, seeds, expansion)


def _in_source(chain: Chain, seeds: Sequence[int], expansion: Expansion) -> Repeated:
    """Edit the book.yaml."""
    file = chain.file.with_name(SOURCE)
    text = BookText(file.read_bytes().decode())
    lists = SeedLists.of(chain, expansion, text)
    if lists is not None:
        new, names = lists.add(seeds)
        ends = [(target[0], names[target, seed]) for target in chain.targets for seed in seeds]
        return Repeated(
            file=file.as_posix(),
            entries=_added(expansion.content, new.content),
            targets=tuple(map("@".join, ends)),
            rows=(),
            existing_rows=(),
            without_row=tuple(
                name
                for verb, name in chain.targets
                if verb == "evaluate" and not _has_row(new.content, [name, *(names[(verb, name), s] for s in seeds)])
            ),
        )
    rows, existing_rows = new_rows(expansion.content, chain.targets, seeds)
    new = add_block(chain, seeds, expansion, text, rows)
    entries = _added(expansion.content, new.content)
    return Repeated(file.as_posix(), entries, _targets(chain, seeds), tuple(rows), existing_rows)


def _add_entries(chain: Chain, seeds: Sequence[int]) -> Repeated:
    """Add entries to a params.yaml that is no expansion."""
    text = BookText(chain.file.read_text(encoding="utf-8"))
    given: dict[str, Any] = text.content()
    added: dict[str, dict[str, Any]] = {}
    for (verb, name), missing in chain.missing(given, seeds).items():
        if missing:
            added[verb] = added.get(verb, {}) | missing
            anchor, original = text.anchor((verb, name)), given[verb][name]
            text.insert((verb,), [entry_line(k, e, like=original, anchor=anchor) for k, e in missing.items()])
    rows, existing_rows = new_rows(given, chain.targets, seeds)
    _write(chain.file, text, given, added, rows)
    entries = tuple(f"{verb}@{name}" for verb, new in added.items() for name in new)
    return Repeated(chain.file.as_posix(), entries, _targets(chain, seeds), tuple(rows), existing_rows)


def _targets(chain: Chain, seeds: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"{verb}@{seeded(name, seed)}" for verb, name in chain.targets for seed in seeds)


def _added(old: dict[str, Any], new: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        f"{verb}@{name}"
        for verb, entries in new.items()
        if verb not in ("book", "table")
        for name in entries
        if name not in old[verb]
    )


def _has_row(content: dict[str, Any], evaluations: Sequence[str]) -> bool:
    rows = (content.get("table") or {}).get("repeats") or {}
    return any(set(evaluations) <= set(row["of"]) for row in rows.values())


def _write(
    file: Path, text: BookText, given: dict[str, Any], added: dict[str, dict[str, Any]], rows: dict[str, dict[str, Any]]
) -> None:
    """Write the text with the rows if it then says what it said, and the new entries."""
    expected = {**given, **{verb: {**given[verb], **entries} for verb, entries in added.items()}}
    if rows:
        table = dict(given.get("table") or {})
        expected["table"] = {**table, "repeats": {**(table.get("repeats") or {}), **rows}}
        text.insert_rows({key: entry_line(key, row) for key, row in rows.items()}.values(), bool(table.get("repeats")))
    if text.content() != expected:
        raise ConfigurationError(
            f"{file}: expected sections with a line or block for each entry, found another form. "
            "Remedy: add these entries by hand:\n"
            + yaml.safe_dump({**added, "table": {"repeats": rows}}, sort_keys=False, default_flow_style=None)
        )
    with whole_file(file) as scratch:
        scratch.write_text(str(text), encoding="utf-8")

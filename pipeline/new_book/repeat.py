"""The same recipe under other seeds: entries for its trainings and for all that stands on them, and a row of means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from models.errors import ConfigurationError
from pipeline.book.agreement import SOURCE, book_option, check_agreement
from pipeline.book.check_inputs import check_targets
from pipeline.book.lineage import REFERENCES, Node, ancestors, entry_inputs
from pipeline.book.lines import with_line
from pipeline.book.params import Book, load_book
from pipeline.new_book.text import BookText, entry_line
from pipeline.storage.whole import whole_file

_SEED_ZERO = re.compile(r"_0(?=_|$)")
"""Names that carry their seed: ``points_0_head``."""


@dataclass(frozen=True)
class Repeated:
    """What was written.

    Attributes:
        entries: ``VERB@NAME`` of each new entry.
        targets: the targets under the new seeds.
        rows: keys of the new rows of ``table.repeats``.
        existing_rows: keys of rows that were there and do not list the new evaluations.
    """

    entries: tuple[str, ...]
    targets: tuple[str, ...]
    rows: tuple[str, ...]
    existing_rows: tuple[str, ...]


def repeat(book: str, targets: Sequence[str], seeds: Sequence[int], first: Sequence[str] = ()) -> Repeated:
    """Add entries to a book's params.yaml, whose text is otherwise kept.

    Args:
        book: its folder.
        targets: ``VERB@NAME``, the ends of the recipe.
        seeds: of the new trainings.
        first: ``train@NAME`` from which on trainings get another seed; none for all that the targets stand on.

    Raises:
        ConfigurationError: unknown targets, no training above them, a training that has one of the seeds, another entry
            with a new name, or sections of the file that cannot be added to line by line. Nothing is written then.
    """
    check_agreement(book)
    loaded, file = load_book(book), Path(book) / "params.yaml"
    check_targets(loaded, [*targets, *first])
    chain = _chain(loaded, [_node(target) for target in targets], [_node(name) for name in first])
    _require_plain(file, chain)
    for verb, name in chain:
        if verb == "train" and loaded.train[name].seed in seeds:
            raise ConfigurationError(
                f"{with_line(file, f'train.{name}.seed')}: train.{name} has the seed {loaded.train[name].seed} itself: "
                "expected other ones with --seeds."
            )
    text = BookText(file.read_text(encoding="utf-8"))
    given: dict[str, Any] = text.content()
    added: dict[str, dict[str, Any]] = {}
    for verb, name in chain:
        original, there = given[verb][name], given[verb]
        new = {seeded(name, s): _entry(loaded, original, (verb, name), chain, s) for s in seeds}
        for key in new.keys() & there.keys():
            if there[key] != new[key]:
                raise ConfigurationError(
                    f"{with_line(file, f'{verb}.{key}')}: {verb}.{key} is another entry than {verb}.{name} under that "
                    "seed."
                )
        if missing := {key: entry for key, entry in new.items() if key not in there}:
            added[verb] = added.get(verb, {}) | missing
            anchor = text.anchor((verb, name))
            text.insert((verb,), [entry_line(k, e, like=original, anchor=anchor) for k, e in missing.items()])
    rows, existing_rows = _rows(given, [_node(target) for target in targets], seeds)
    _write(file, text, given, added, rows)
    return Repeated(
        entries=tuple(f"{verb}@{name}" for verb, entries in added.items() for name in entries),
        targets=tuple(f"{verb}@{seeded(name, seed)}" for verb, name in map(_node, targets) for seed in seeds),
        rows=tuple(rows),
        existing_rows=existing_rows,
    )


def _require_plain(file: Path, chain: Sequence[Node]) -> None:
    """What is added to the expansion of a book.yaml would be gone with the next one."""
    source = file.with_name(SOURCE)
    if source.is_file():
        trainings = [f"train.{name} ({with_line(file, f'train.{name}')})" for verb, name in chain if verb == "train"]
        raise ConfigurationError(
            f"{file.parent.as_posix()}: params.yaml is written from {SOURCE}, where seeds are a list. Remedy: let "
            f"{', '.join(trainings)} and what stands on it vary with `each: {{seed: [0, 1, 2]}}`, or add to the list "
            f"that is there; then python -m pipeline expand{book_option(file.parent)}."
        )


def seeded(name: str, seed: int) -> str:
    """The name of an entry under another seed: ``points_0_head`` -> ``points_1_head``, ``cam`` -> ``cam_1``."""
    return _SEED_ZERO.sub(f"_{seed}", name, count=1) if _SEED_ZERO.search(name) else f"{name}_{seed}"


def _node(target: str) -> Node:
    verb, _, name = target.partition("@")
    return verb, name


def _chain(book: Book, targets: Sequence[Node], first: Sequence[Node]) -> tuple[Node, ...]:
    """The trainings that vary and what of the targets' recipes stands on them, inputs first."""
    for verb, name in first:
        if verb != "train":
            raise ConfigurationError(f"--from: expected a training such as train@{name}, found {verb}@{name}.")
    above = dict.fromkeys(node for target in targets for node in ancestors(book, *target))
    chain: dict[Node, None] = {}
    for node in above:
        begins = node in first if first else node[0] == "train"
        if begins or any(below in chain for below in entry_inputs(book, *node).values()):
            chain[node] = None
    for target in targets:
        if target not in chain:
            named = " or ".join("@".join(node) for node in first) or "a training"
            raise ConfigurationError(f"{'@'.join(target)}: expected a stage that stands on {named}.")
    return tuple(chain)


def _entry(book: Book, given: dict[str, Any], node: Node, chain: Sequence[Node], seed: int) -> dict[str, Any]:
    below = entry_inputs(book, *node)
    names = {key: seeded(value[1], seed) for key, value in below.items() if value in chain}
    entry = {**given, **{key: name for key, name in names.items() if key in REFERENCES}}
    if "of" in names:
        entry["of"] = f"{given['of'].partition('/')[0]}/{names['of']}"
    return {**entry, "seed": seed} if node[0] == "train" else entry


def _rows(
    given: dict[str, Any], targets: Sequence[Node], seeds: Sequence[int]
) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """Rows of ``table.repeats`` to add, and those that are there without the new evaluations."""
    known = (given.get("table") or {}).get("repeats") or {}
    rows: dict[str, dict[str, Any]] = {}
    there = []
    for name in [name for verb, name in targets if verb == "evaluate"]:
        key, of = _SEED_ZERO.sub("", name, count=1), [name, *(seeded(name, seed) for seed in seeds)]
        if key not in known:
            rows[key] = {"of": of}
        elif not set(of) <= set(known[key]["of"]):
            there.append(key)
    return rows, tuple(there)


def _write(
    file: Path, text: BookText, given: dict[str, Any], added: dict[str, dict[str, Any]], rows: dict[str, dict[str, Any]]
) -> None:
    """Write the text with the rows if it then says what it said, and the new entries."""
    expected = {**given, **{verb: {**given[verb], **entries} for verb, entries in added.items()}}
    if rows:
        table = dict(given.get("table") or {})
        expected["table"] = {**table, "repeats": {**(table.get("repeats") or {}), **rows}}
        lines = [entry_line(key, row) for key, row in rows.items()]
        if table.get("repeats"):
            text.insert(("table", "repeats"), lines)
        else:
            text.insert(("table",), ["repeats:", *(f"  {line}" for line in lines)])
    if text.content() != expected:
        raise ConfigurationError(
            f"{file}: expected sections with a line or block for each entry, found another form. "
            "Remedy: add these entries by hand:\n"
            + yaml.safe_dump({**added, "table": {"repeats": rows}}, sort_keys=False, default_flow_style=None)
        )
    with whole_file(file) as scratch:
        scratch.write_text(str(text), encoding="utf-8")

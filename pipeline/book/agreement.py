"""Whether params.yaml is what the book.yaml beside it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from models.errors import ConfigurationError
from pipeline.book.artifacts import TABLE_ROWS, VERBS
from pipeline.book.expansion import Expansion, expand
from pipeline.book.yaml_text import parse_once
from pipeline.problems.notices import first_of

SOURCE, FLAT = "book.yaml", "params.yaml"
MOST = 6
"""Differing entries that a message names."""


def expansion_of(folder: str | Path) -> Expansion | None:
    """The expansion of the book.yaml in a folder; None where none lies there.

    Raises:
        ConfigurationError: it is not UTF-8, or does not hold (``expand``).
    """
    file = Path(folder) / SOURCE
    if not file.is_file():
        return None
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{file}: expected UTF-8 text, found other bytes ({error}). Save it as UTF-8."
        ) from None
    return _expanded(text, file.as_posix())


@lru_cache(maxsize=2)
def _expanded(text: str, name: str) -> Expansion:
    """Expanded once a command: it is to be read, not changed."""
    return expand(text, name)


def check_agreement(folder: str | Path) -> None:
    """Where a book.yaml lies in the folder, params.yaml has to say what it says.

    Raises:
        ConfigurationError: it does not; names the entries that differ and the command that writes it anew.
    """
    expansion = expansion_of(folder)
    if expansion is None:
        return
    flat = Path(folder) / FLAT
    differing = list(differences(flat_content(flat), expansion.content))
    if differing:
        found = f"it differs in: {first_of(differing, MOST)}" if flat.is_file() else "found no such file"
        raise ConfigurationError(
            f"{flat.as_posix()}: expected what {expansion.written.name} says, {found}. "
            f"Remedy: python -m pipeline expand{book_option(folder)}."
        )


def agreeing(flat: Path) -> Expansion | None:
    """The expansion behind a params.yaml, where one lies beside it that says the same; None where not."""
    try:
        expansion = expansion_of(flat.parent) if flat.name == FLAT else None
    except (ConfigurationError, OSError):
        return None
    if expansion is None or any(differences(flat_content(flat), expansion.content)):
        return None
    return expansion


def flat_content(file: Path) -> Any:
    """What a params.yaml says; None where it is missing or no YAML."""
    try:
        return parse_once(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None


def differences(old: Any, new: Mapping[str, Any]) -> Iterator[str]:
    """Where two contents of a params.yaml differ, also in the type of a number or in their order.

    Yields:
        ``train@cam_1 (new)``, ``train@cam_2 (removed)`` or ``(changed)``; ``book`` and ``table`` by their keys.
    """
    if not isinstance(old, dict):
        yield "everything (new)" if old is None else "everything (changed)"
        return
    for section in dict.fromkeys([*old, *new]):
        yield from _in_section(section, old.get(section, {}), new.get(section, {}))
    if list(map(str, old)) != list(new) and {*old} == {*new}:
        yield "the order of sections"


def _in_section(section: Any, old: Any, new: Any) -> Iterator[str]:
    if repr(old) == repr(new):
        return
    if not isinstance(old, dict) or not isinstance(new, dict):
        yield f"{section} (changed)"
        return
    joint = "@" if section in VERBS else "."
    changed = [name for name in dict.fromkeys([*old, *new]) if repr(old.get(name)) != repr(new.get(name))]
    for name in changed:
        if section == "table" and name in TABLE_ROWS:
            yield from _in_section(f"{section}.{name}", old.get(name, {}), new.get(name, {}))
            continue
        state = "changed" if name in old and name in new else "new" if name in new else "removed"
        yield f"{section}{joint}{name} ({state})"
    if not changed:
        yield f"{section} (its order)"


def book_option(folder: str | Path) -> str:
    """`` --book FOLDER`` as a command wants it; nothing for the project's root."""
    place = Path(folder).as_posix()
    return "" if place == "." else f" --book {place}"

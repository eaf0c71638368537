"""The text of a params.yaml, to which entries are added while comments and layout stay."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml


class BookText:
    """Lines of a book whose sections have a line or block for each entry, two spaces in.

    In a book of another form nothing is inserted: compare what the text says with what it should.
    """

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"

    def content(self) -> Any:
        """What the text says; None where it is no YAML."""
        try:
            return yaml.safe_load(str(self))
        except yaml.YAMLError:
            return None

    def insert(self, heading: str, lines: list[str]) -> None:
        """Add lines at the end of the block below the line ``heading``, whose indentation counts."""
        start, end = self._block(heading)
        if start:
            self._lines[start - 1] = self._lines[start - 1].replace(" {}", "", 1)
            self._lines[end:end] = lines

    def anchor(self, section: str, name: str) -> str:
        """The YAML anchor of an entry, which gets one if it has none; "" where it cannot."""
        start, end = self._block(f"{section}:")
        for number in range(start, end):
            found = re.match(rf"  {name}:(?: +&(\S+))?(?=[\s{{]|$)", self._lines[number])
            if found is None:
                continue
            if found[1]:
                return found[1]
            new = next((new for new in (name, f"{section}_{name}") if not self._has_anchor(new)), "")
            if new:
                self._lines[number] = f"  {name}: &{new}{self._lines[number][found.end() :]}"
            return new
        return ""

    def _has_anchor(self, name: str) -> bool:
        return any(re.search(rf"&{name}\b", line) for line in self._lines)

    def _block(self, heading: str) -> tuple[int, int]:
        """First and last + 1 of the lines below a heading; blank ones at the end, and what follows, left out."""
        heads = re.compile(rf"{re.escape(heading)}(?: +\{{\}})? *(?:#.*)?$")
        start = next((number for number, line in enumerate(self._lines, 1) if heads.match(line)), 0)
        indent = len(heading) - len(heading.lstrip())
        end = start
        for number, line in enumerate(self._lines[start:], start + 1):
            if line.strip() and len(line) - len(line.lstrip()) <= indent:
                break
            end = number if line.strip() else end
        return start, end


def entry_line(
    name: str, entry: Mapping[str, Any], *, indent: int = 2, like: Mapping[str, Any] | None = None, anchor: str = ""
) -> str:
    """An entry in one line; what it shares with ``like`` comes from the anchor there, if there is one."""
    given = {key: value for key, value in entry.items() if like is None or like.get(key) != value}
    said = yaml.safe_dump(
        given if anchor else dict(entry), default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True
    ).strip()
    return f"{' ' * indent}{name}: {said.replace('{', f'{{<<: *{anchor}, ', 1) if anchor else said}"

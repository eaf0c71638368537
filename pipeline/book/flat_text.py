"""The text of the params.yaml that a book.yaml stands for: every entry in a line, nothing to look up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from pipeline.book.artifacts import TABLE_ROWS
from pipeline.book.yaml_text import FLOAT

HEAD = "# Written by `python -m pipeline expand` from book.yaml: edit that one.\n"
_NUMBER_LIKE = re.compile(r"^[-+.0-9_][-+.0-9_:a-fA-FxXoO]*$")
"""Texts that a reader of YAML 1.1 or 1.2 may take for a number or a date: 0o17, 1_000, 1:30, -_."""


class _Flat(yaml.SafeDumper):
    """Scalars that PyYAML, which reads YAML 1.1, and DVC's ruamel.yaml, which reads 1.2, take for the same."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def check_simple_key(self) -> bool:
        """``key: value`` for long and empty keys too, not ``? key : value``, which takes a line for each."""
        simple = super().check_simple_key()
        return simple or isinstance(self.event, yaml.ScalarEvent)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """In quotes where it could be read as a number, or holds a line break."""
    quoted = _NUMBER_LIKE.match(text) or not text.isprintable()
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if quoted else None)


_Flat.add_representer(str, _text)
_Flat.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789"))


def flat_text(content: Mapping[str, Any]) -> str:
    """The sections of a book as a params.yaml, in the order in which they are given.

    Args:
        content: as ``Expansion.content`` has it.
    """
    return HEAD + "".join(line for key, value in content.items() for line in _section(key, value))


def _section(key: str, value: Any) -> Iterator[str]:
    """A section of a verb has a line for each entry; so have ``book:`` and ``table:``, and the rows of the table."""
    blank = "\n" if key != "book" else ""
    if not isinstance(value, dict) or not value:
        yield f"{blank}{flat_line(key, value)}\n"
        return
    yield f"{blank}{key}:\n"
    for name, entry in value.items():
        if key == "table" and name in TABLE_ROWS and isinstance(entry, dict) and entry:
            yield f"  {name}:\n"
            yield from (f"    {flat_line(row, below)}\n" for row, below in entry.items())
        else:
            yield f"  {flat_line(name, entry)}\n"


def flat_line(key: Any, value: Any) -> str:
    """``key: value`` in one line, whatever they are, such as ``cam: {data: six, checkpoint: cam}``."""
    text = yaml.dump(
        {key: value}, Dumper=_Flat, default_flow_style=True, sort_keys=False, width=2**30, allow_unicode=True
    )
    return text.strip()[1:-1]

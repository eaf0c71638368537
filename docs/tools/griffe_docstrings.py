"""Docstrings as mkdocstrings is to read them: an entry for each argument, roles as code."""

from __future__ import annotations

import re
from typing import Any

import griffe

SEVERAL = re.compile(r"^(?P<indent> +)(?P<names>\w+(?:, \w+)+): (?P<text>.*(?:\n(?P=indent) +\S.*)*)$", re.M)
"""``alpha, beta: what both are``, with the lines that go on."""
ROLE = re.compile(r":(?:class|func|meth|data|attr|mod|exc):`~?(?:[\w.]+\.)?(\w+)`")


class Docstrings(griffe.Extension):
    """Changes docstrings in place when an object is loaded."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Split entries of several names, and take roles away."""
        if obj.docstring:
            obj.docstring.value = ROLE.sub(r"`\1`", SEVERAL.sub(_split, obj.docstring.value))


def _split(match: re.Match[str]) -> str:
    return "\n".join(f"{match['indent']}{name}: {match['text']}" for name in match["names"].split(", "))

"""Entries of shipped books, as they are written there."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.commands.stages import EXAMPLES

ROOT = Path(__file__).parents[2]


def entry_text(verb: str) -> str:
    """The entry of a shipped book that the verb's help names, below its section."""
    name, _, book = EXAMPLES[verb].partition(" --book ")
    lines = (ROOT / book / "params.yaml").read_text(encoding="utf-8").splitlines()
    section = _block(lines, re.compile(rf"{verb}:"))
    entry = _block(section[1:], re.compile(rf"  {name}:"))
    return "\n".join([section[0], *entry])


def _block(lines: list[str], head: re.Pattern[str]) -> list[str]:
    """The line that begins so and those that are indented more."""
    start = next(number for number, line in enumerate(lines) if head.match(line))
    depth = len(lines[start]) - len(lines[start].lstrip())
    inside = []
    for line in lines[start + 1 :]:
        if line.strip() and len(line) - len(line.lstrip()) <= depth:
            break
        inside.append(line)
    while inside and not inside[-1].strip():
        inside.pop()
    return [lines[start], *inside]

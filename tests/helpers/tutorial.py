"""The steps of a tutorial, read from its Markdown: what the reader types, writes, and sees.

A block of ``sh`` is typed. A comment before it says what a test runs in its place, which the reader does not see:
``<!-- test: COMMANDS -->``, or ``<!-- test: skip because ... -->``. A block of ``text`` after it is what it prints:
each line must be among what was printed, ``…`` standing for anything (``skip`` again, where a test's numbers differ).

A block with a title is written: ``title="FILE"`` is a new file, ``title="FILE, under WORDS"`` goes below the line that
begins with these words, and a ``diff`` with ``title="FILE"`` replaces lines. Blocks of other kinds without a title are
only read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(
    r"(?:^<!-- test:\s*(?P<instead>.*?)\s*-->\s*)?"
    r"^```(?P<kind>\w+)(?: title=\"(?P<title>[^\"]*)\")?\n(?P<text>.*?)^```$",
    re.M | re.S,
)
SKIP = "skip because "


@dataclass(frozen=True)
class Typed:
    """Commands, as the reader has them (``shown``) and as a test runs them, and the lines that they must print."""

    shown: str
    commands: str
    printed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Written:
    """A file that the reader makes, or lines for below the one that begins with ``under`` or in place of ``old``."""

    file: str
    text: str
    under: str = ""
    old: str = ""

    def write(self, project: Path) -> None:
        """Do as the tutorial says; AssertionError where the project is not as it says."""
        path = project / self.file
        if not self.under and not self.old:
            assert not path.exists(), f"{self.file} is there already"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.text, encoding="utf-8")
            return
        text = path.read_text(encoding="utf-8")
        place = re.escape(self.old) if self.old else rf"^ *{re.escape(self.under)}.*\n"
        found = list(re.finditer(place, text, re.M))
        assert len(found) == 1, f"{self.file}: expected once, found {len(found)} times: {self.old or self.under}"
        start, end = found[0].span()
        path.write_text(text[: start if self.old else end] + self.text + text[end:], encoding="utf-8")


def steps(markdown: str) -> Iterator[Typed | Written]:
    """What there is to do, in order; skipped blocks are left out.

    Raises:
        ValueError: a comment that no block follows, output without a command, or a diff with lines between.
    """
    blocks = list(FENCE.finditer(markdown))
    heard = sum(block["instead"] is not None for block in blocks)
    if heard != markdown.count("<!-- test:"):
        raise ValueError("Expected a block right after every comment `<!-- test: ... -->`.")
    typed: Typed | None = None
    for block in blocks:
        kind, title, text, instead = block["kind"], block["title"], block["text"], block["instead"] or ""
        if kind == "text" and not title:
            if typed is not None and not instead:
                typed = Typed(typed.shown, typed.commands, tuple(filter(str.strip, text.splitlines())))
            continue
        if typed is not None:
            yield typed
        typed = None
        if title:
            yield _written(kind, title, text)
        elif kind == "sh" and not instead.startswith(SKIP):
            typed = Typed(text, instead or text)
    if typed is not None:
        yield typed


def _written(kind: str, title: str, text: str) -> Written:
    file, _, under = title.partition(", under ")
    if kind != "diff":
        return Written(file, text, under)
    lines = text.splitlines(keepends=True)
    if any(line[0] not in "-+" for line in lines):
        raise ValueError(f"A diff of {file}: expected lines that begin with - or +.")
    old, new = ("".join(line[1:] for line in lines if line[0] == sign) for sign in "-+")
    return Written(file, new, old=old)


def missing(expected: tuple[str, ...], output: str) -> list[str]:
    """The lines that were not printed, in whatever order; blanks count as one."""
    printed = [" ".join(line.split()) for line in output.splitlines()]
    return [line for line in expected if not any(_like(line).search(other) for other in printed)]


def _like(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in " ".join(line.split()).split("…")))

"""The file that marks a project of an installed package, and says which source its books run with.

A checkout has the source itself, on which the stage ``code`` of each book depends. Elsewhere it depends on this file,
so that another version of the package makes DVC look at the code's fingerprints again, as an edit in a checkout does.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

from pipeline.compute.project import MARK

PURPOSE = "Root of a weak2mask project: run commands here. Written by weak2mask; what runs depends on it."


def write_mark(root: Path) -> bool:
    """Write what is installed into ``root``; returns whether anything had to be written."""
    from pipeline.compute.engines.identity import IDENTITY, SOURCE

    content = {"purpose": PURPOSE, "version": version("weak2mask"), "source": IDENTITY[SOURCE]}
    text = json.dumps(content, indent=2) + "\n"
    path = root / MARK
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8")
    return True


def refresh_mark() -> None:
    """Where the current folder is the root of such a project: the mark as of this package."""
    if MARK.is_file():
        write_mark(Path())

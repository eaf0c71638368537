"""Open what a stage reads once a process, however many chunks the process works on."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

Opened = TypeVar("Opened")
KEPT = 8
"""Stores and files of a stage; of an earlier one they make room."""


def open_once(kind: Callable[[Path], Opened], path: Path, mark: str) -> Opened:
    """``kind(path)``, the same object again as long as the file that marks what lies at ``path`` is the same.

    Args:
        kind: opens it, such as a class of stores; the same function each time.
        path: relative paths count from the working folder of the moment.
        mark: a file in ``path`` that is written last; where it is missing ``kind`` says what is wrong.
    """
    file = path / mark
    try:
        written = file.stat().st_mtime_ns
    except OSError:
        return kind(path)
    opened: Opened = _opened(kind, path, Path.cwd(), written)
    return opened


@lru_cache(maxsize=KEPT)
def _opened(kind: Callable[[Path], Any], path: Path, cwd: Path, written: int) -> Any:
    return kind(path)

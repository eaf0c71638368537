"""Write the generated pages, or say which are stale: ``python -m docs.tools.generate [--check]``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from docs.tools import benchmarks, book_keys, commands, reliability, scale

FOLDER = Path(__file__).parents[1]
NOTE = "<!-- Written by `python -m docs.tools.generate` from the code: edit the code, not this page. -->\n\n"
PAGES: dict[str, Callable[[], str]] = {
    "reference/commands.md": commands.page,
    "reference/book_keys.md": book_keys.page,
    "benchmarks.md": benchmarks.page,
    "reference/reliability.md": reliability.page,
    "scale.md": scale.page,
}


def stale() -> list[str]:
    """Names of the pages that are not what the code says."""
    return [name for name, page in PAGES.items() if _read(FOLDER / name) != NOTE + page()]


def write() -> list[str]:
    """Write the pages that are stale; returns their names."""
    names = stale()
    for name in names:
        (FOLDER / name).write_text(NOTE + PAGES[name](), encoding="utf-8")
    return names


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def main(arguments: list[str]) -> int:
    """Exit code 1 when ``--check`` finds a stale page."""
    if arguments not in ([], ["--check"]):
        print("Usage: python -m docs.tools.generate [--check]", file=sys.stderr)
        return 2
    if arguments:
        names = stale()
        if names:
            print(f"Stale: {', '.join(names)}. Remedy: python -m docs.tools.generate", file=sys.stderr)
        return 1 if names else 0
    print(f"Written: {', '.join(write()) or 'nothing, all pages are as the code says'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

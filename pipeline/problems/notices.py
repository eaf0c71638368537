"""Warnings about data: counted, said once, and kept beside the artefact that was made of it.

What surely is wrong is refused (:class:`models.errors.DataError`); what may be wrong is a notice. A stage writes its
notices into its output folder, so that they come back with it from DVC's cache, and ``check``, the table and the report
show them again.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from models.errors import DataError

FILE = "warnings.json"


@dataclass(frozen=True)
class Notice:
    """Something of the data that may be wrong.

    Attributes:
        topic: a short name for machines, lower case with underscores: ``masks_without_image``.
        count: how many images, rows, files or classes it is about.
        text: for people, one or two sentences: what was found, how often of how many, where (the first few), and the
            remedy.
    """

    topic: str
    count: int
    text: str


def save_notices(folder: Path, notices: Iterable[Notice]) -> None:
    """Write ``folder/warnings.json``; nothing where there is no notice, so that faultless data keep their bytes."""
    plain = [asdict(notice) for notice in notices]
    if plain:
        text = json.dumps(plain, indent=1, ensure_ascii=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read_notices(folder: Path) -> tuple[Notice, ...]:
    """The notices that lie beside an artefact; none where there are none.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / FILE
    try:
        return tuple(Notice(**plain) for plain in json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: expected a list of warnings, found {error}. Remedy: make the stage again.") from None


def warn_of(notices: Iterable[Notice]) -> None:
    """Say each notice as a warning."""
    for notice in notices:
        warnings.warn(notice.text, stacklevel=2)


def first_of(names: Sequence[str], limit: int = 3, *, between: str = ", ", of: int | None = None) -> str:
    """The first names of a list that may be long, for a message: ``a, b, c and 9 more``.

    Args:
        names: all of them, or the first ones.
        limit: at most so many are named.
        between: what stands between two.
        of: how many there are, where ``names`` are not all.
    """
    more = (len(names) if of is None else of) - limit
    return between.join(names[:limit]) + (f" and {more} more" if more > 0 else "")


def first_lines(
    lines: Sequence[str], limit: int, more: str = "  ... and {} more", *, of: int | None = None
) -> list[str]:
    """The same for a message with a line each: the first lines, then ``more`` with the number of the others."""
    others = (len(lines) if of is None else of) - limit
    return [*lines[:limit], *([more.format(others)] if others > 0 else [])]

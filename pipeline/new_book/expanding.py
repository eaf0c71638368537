"""Write the params.yaml that a book.yaml stands for."""

from __future__ import annotations

from pathlib import Path

from models.errors import ConfigurationError
from pipeline.book.agreement import FLAT, SOURCE, differences, expansion_of, flat_content
from pipeline.book.check import check
from pipeline.book.expansion import Expansion
from pipeline.book.flat_text import flat_text
from pipeline.book.params import load_book, validated
from pipeline.storage.whole import whole_file

SAME_ENTRIES = "its text alone"
"""How params.yaml differs where it says the same in other words, or has comments."""


def expand_book(folder: str, *, write: bool = True) -> list[str]:
    """Expand the book.yaml in ``folder``, validate what it says, and write params.yaml if that is not what it was.

    Args:
        write: False leaves params.yaml as it is.

    Returns:
        What was not up to date: ``train@cam_1 (new)``, ... ; none where params.yaml is up to date.

    Raises:
        ConfigurationError: no book.yaml, or one that does not hold. Nothing is written then.
    """
    expansion = expansion_of(folder)
    if expansion is None:
        load_book(folder)  # no book at all is another complaint
        raise ConfigurationError(
            f"{Path(folder).as_posix()} has no {SOURCE}, so nothing has to be expanded. Remedy: edit its {FLAT}."
        )
    file, text = Path(folder) / FLAT, flat_text(expansion.content)
    validated(expansion.content, file, expansion)
    if file.is_file() and file.read_bytes() == text.encode():
        return []
    differing = list(differences(flat_content(file), expansion.content)) or [SAME_ENTRIES]
    if write:
        with whole_file(file) as scratch:
            scratch.write_bytes(text.encode())
    return differing


def write_source(file: Path, text: str, expansion: Expansion) -> None:
    """Write a book.yaml that was edited, and its params.yaml.

    Args:
        expansion: of that text.

    Raises:
        ConfigurationError: what it says does not hold. Nothing is written then.
    """
    check(validated(expansion.content, file.with_name(FLAT), expansion))
    with whole_file(file) as scratch:
        scratch.write_bytes(text.encode())
    expand_book(file.parent.as_posix())

"""A book of one's own that begins as another one: same entries, a place and a work folder of its own."""

from __future__ import annotations

import re
from pathlib import Path

from models.errors import ConfigurationError
from pipeline.book.agreement import FLAT, SOURCE, book_option, check_agreement
from pipeline.book.params import load_book
from pipeline.new_book.expanding import expand_book
from pipeline.new_book.place import free_place, write_book
from pipeline.new_book.text import BookText
from pipeline.storage.whole import remove


def copy_book(source: str, book: str) -> Path:
    """Write the folder ``book`` with a book.yaml that says what the book ``source`` does, and its params.yaml.

    The text is that of the source's book.yaml, or else of its params.yaml, comments and all; commands in comments name
    the copy.

    Raises:
        ConfigurationError: no such book, one whose ``book:`` is not a line for each key, or a place that is taken.
            Nothing is left behind then.
    """
    check_agreement(source)
    load_book(source)
    folder = Path(book)
    name = free_place(folder, "as the second argument")
    place = folder.as_posix()
    places = {
        "root": "/".join([".."] * len(folder.parts)),
        "path": place,
        "params": f"{place}/{FLAT}",
        "work": f"work/{name}",
    }
    file = Path(source) / (SOURCE if (Path(source) / SOURCE).is_file() else FLAT)
    text = BookText(file.read_text(encoding="utf-8"))
    for key, value in places.items():
        if not text.replace(("book", key), value):
            raise ConfigurationError(f"{file}: expected `book:` and below it a line `  {key}: ...`, found none.")
    head = "" if file.name == SOURCE else _head(file, place)
    try:
        write_book(folder, head + _for_copy(str(text), Path(source).as_posix(), place), SOURCE)
        expand_book(place)
    except BaseException:
        remove(folder)
        raise
    return folder


def _head(file: Path, place: str) -> str:
    """What a params.yaml does not say, since one edits that itself."""
    return (
        f"# This is the file to edit, a copy of {file.as_posix()}. After an edit,\n"
        f"# `python -m pipeline expand{book_option(place)}` writes params.yaml from it, which is what runs.\n#\n"
    )


def _for_copy(text: str, source: str, place: str) -> str:
    """Commands in comments that name the source's folder name the copy's."""
    if source == ".":
        return text
    named = re.compile(rf"(--book[ =]){re.escape(source)}(?![\w/-])")
    return "".join(
        named.sub(rf"\g<1>{place}", line) if line.lstrip().startswith("#") else line
        for line in text.splitlines(keepends=True)
    )

"""A book of one's own that begins as another one: same entries, a place and a work folder of its own."""

from __future__ import annotations

from pathlib import Path

from models.errors import ConfigurationError
from pipeline.book.agreement import FLAT, SOURCE, check_agreement
from pipeline.book.params import load_book
from pipeline.new_book.expanding import expand_book
from pipeline.new_book.place import free_place, write_book
from pipeline.new_book.text import BookText


def copy_book(source: str, book: str) -> Path:
    """Write the folder ``book`` with the file that one edits of the book ``source``, comments and all.

    That is its book.yaml, which is expanded then, or else its params.yaml.

    Raises:
        ConfigurationError: no such book, one whose ``book:`` is not a line for each key, or a place that is taken.
    """
    check_agreement(source)
    load_book(source)
    folder = Path(book)
    name = free_place(folder, "as the second argument")
    place = folder.as_posix()
    places = {
        "root": "/".join([".."] * len(folder.parts)),
        "path": place,
        "params": f"{place}/params.yaml",
        "work": f"work/{name}",
    }
    edited = SOURCE if (Path(source) / SOURCE).is_file() else FLAT
    file = Path(source) / edited
    text = BookText(file.read_text(encoding="utf-8"))
    for key, value in places.items():
        if not text.replace(("book", key), value):
            raise ConfigurationError(f"{file}: expected `book:` and below it a line `  {key}: ...`, found none.")
    write_book(folder, str(text), edited)
    if edited == SOURCE:
        expand_book(place)
    return folder

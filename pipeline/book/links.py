"""Links from where a book reads to where the files lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import ConfigurationError
from pipeline.book.params import Book


def link_sources(book: Book) -> None:
    """Link each source of the book whose environment variable is set.

    Raises:
        ConfigurationError: the variable names a path that does not exist.
    """
    for source, variable in book.book.sources.items():
        if target := os.environ.get(variable):
            if not Path(target).exists():
                raise ConfigurationError(f"{variable}={target}: no such file or folder. Set it to where {source} lies.")
            make_link(Path(source), Path(target))


@contextmanager
def sources_for_now(book: Book) -> Iterator[None]:
    """:func:`link_sources`, and afterwards what was there before."""
    before = {path: path.readlink() if path.is_symlink() else None for path in map(Path, book.book.sources)}
    try:
        link_sources(book)
        yield
    finally:
        for path, target in before.items():
            if path.is_symlink() and path.readlink() != target:
                path.unlink()
                if target is not None:
                    path.symlink_to(target)


def make_link(source: Path, target: Path) -> None:
    """Make ``source`` a symbolic link to ``target``; an older link is replaced, real files never.

    Raises:
        ConfigurationError: the target does not exist, real files lie at ``source``, or it is outside the project.
    """
    if not target.exists():
        raise ConfigurationError(f"{target}: no such file or folder, so {source} cannot be linked to it.")
    parent = next(folder for folder in source.parents if folder.exists())
    if source.is_absolute() or not parent.is_dir() or not parent.resolve().is_relative_to(Path.cwd().resolve()):
        raise ConfigurationError(
            f"{source}: expected a path in the project, as a book names it (data/voc_mini), found one outside it."
        )
    if source.is_symlink():
        if source.resolve() == target.resolve():
            return
        source.unlink()
    elif source.exists():
        if source.resolve() == target.resolve():
            return
        raise ConfigurationError(f"{source} is there already and is no link. Move it away, or use it as it is.")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.symlink_to(target.resolve(), target_is_directory=target.is_dir())

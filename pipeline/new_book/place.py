"""Where a new book may lie, and how it is written."""

from __future__ import annotations

from pathlib import Path

import yaml

from models.errors import ConfigurationError
from pipeline.book.agreement import SOURCE
from pipeline.book.graph_file import write_graph
from pipeline.compute.project import ROOT_EXPECTED, is_root, project_root
from pipeline.datasets.file_names import numbered
from pipeline.new_book.names import slug

RECIPES = Path("recipes")


def usual_folder(data: Path) -> Path:
    """``recipes/NAME`` for a folder of data; NAME_2, ... where ``init`` wrote that one for another folder."""
    taken: list[str] = []
    while _is_of_others(RECIPES / (name := numbered(slug(data.name), taken)), data):
        taken.append(name)
    return RECIPES / name


def _is_of_others(book: Path, data: Path) -> bool:
    """Whether a book of ``init`` reads other data; not where the book is none of ``init``."""
    try:
        root = yaml.safe_load((book / SOURCE).read_text(encoding="utf-8"))["prepare"]["mine"]["root"]
        return not Path(root).samefile(data)
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError):
        return False


def free_place(folder: Path, named: str) -> str:
    """The short name of a book that may be written to ``folder``.

    Args:
        named: where the user says another folder, such as "with --book".

    Raises:
        ConfigurationError: no project here, no fitting name, or a folder or work folder that is there.
    """
    if not is_root(Path()):
        above = project_root()
        where = f"there: cd {above}" if above != Path.cwd() else "in a clone, or where `weak2mask init` made a project"
        raise ConfigurationError(f"{Path.cwd()}: {ROOT_EXPECTED}. Run this {where}.")
    name = folder.name
    inside = not folder.is_absolute() and ".." not in folder.parts and folder != Path()
    if not inside or name != slug(name):
        raise ConfigurationError(
            f"Expected a folder in the project whose name is lower case, digits and underscores "
            f"(recipes/{slug(name)}), found '{folder}'. Name one {named}."
        )
    if folder.exists():
        raise ConfigurationError(f"{folder} is there already: edit its book, or name another {named}.")
    work = Path("work") / name
    if work.exists():
        raise ConfigurationError(f"{work} is in use by another book. Name another folder {named}.")
    return name


def write_book(folder: Path, text: str, name: str = "params.yaml") -> None:
    """The book, in a file of that name, and its copy of the one dvc.yaml."""
    folder.mkdir(parents=True)
    (folder / name).write_text(text, encoding="utf-8")
    write_graph(folder)

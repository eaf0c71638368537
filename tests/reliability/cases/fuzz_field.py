"""Situations that people met (``CASES``, default ../shared/cases): each gets a result, or an error that says why."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from models.errors import Weak2MaskError
from pipeline.annotations.build import check_annotations
from pipeline.datasets.build import make_catalogue
from pipeline.datasets.catalogue import Catalogue
from tests.reliability.frame import Case, Counts

FOLDER = Path(os.environ.get("CASES", Path(__file__).resolve().parents[3] / "../shared/cases")).resolve()
FOLDERS = sorted(path.parent for path in FOLDER.glob("*/input"))
LONGEST = 20_000
"""Characters of a message."""


def _at_input(value: Any, folder: Path) -> Any:
    """Options with each path below data/x_NN, where try.sh links the input, as it is here."""
    if isinstance(value, dict):
        return {key: _at_input(one, folder) for key, one in value.items()}
    if isinstance(value, list):
        return [_at_input(one, folder) for one in value]
    if isinstance(value, str) and value.startswith("data/x"):
        return str(folder.joinpath("input", *Path(value).parts[2:]))
    return value


def _sections(folder: Path) -> dict[str, Any]:
    """Sections of the case's book; for a case without one its input as a folder of images."""
    file = folder / "params.yaml"
    if file.is_file():
        book: dict[str, Any] = _at_input(yaml.safe_load(file.read_text(encoding="utf-8")), folder)
        return book
    return {"prepare": {"mine": {"reader": "folder", "root": str(folder / "input")}}}


def _trial(number: int) -> Counts:
    folder, seen = FOLDERS[number], Counter[str]()
    book, made = _sections(folder), dict[str, Catalogue]()
    for name, entry in (book.get("prepare") or {}).items():
        options = {**entry.get("options", {}), "root": entry["root"]}
        bad = entry.get("on_bad_image", "stop")
        places = Path("c", name), Path("g", name)
        try:
            made[name] = make_catalogue(entry["reader"], *places, options, on_bad_image=bad)
        except Weak2MaskError as error:
            _refused(error, seen)
        else:
            seen["taken"] += 1
    for entry in (book.get("import_annotations") or {}).values():
        if entry["data"] not in made:
            continue
        catalogue, options = made[entry["data"]], {**entry.get("options", {}), "file": entry["file"]}
        try:
            check_annotations(entry["kind"], catalogue, catalogue.ids(entry["split"]), options)
        except Weak2MaskError as error:
            _refused(error, seen)
        else:
            seen["taken"] += 1
    return seen


def _refused(error: Weak2MaskError, seen: Counter[str]) -> None:
    seen["refused"] += 1
    if len(str(error).encode()) > LONGEST:
        raise AssertionError(f"a message of {len(str(error))} characters") from None


CASES = (
    {"cases": Case("Situations that people met: a result, or an error of ours", _trial, quick=0, long=len(FOLDERS))}
    if FOLDERS
    else {}
)

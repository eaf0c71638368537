"""Image tags for a prediction: which classes may win in which image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.errors import DataError, closest
from pipeline.datasets.file_names import nfc
from pipeline.datasets.image_names import common_tail
from pipeline.datasets.tag_table import TagTable
from pipeline.inference.inputs import Input
from pipeline.problems.notices import first_of, warn_of
from stages.prepare import Problem, report


def read_tags(path: Path, class_names: Sequence[str], inputs: Sequence[Input]) -> dict[str, list[bool]]:
    """The C classes that may win, by input name, from a CSV as ``prepare`` reads it (docs/howto/data.md).

    A row names an image with or without its suffix. Of images or rows of one name, the folders before it decide.

    Raises:
        DataError: no such table, unknown classes, an image without a row or with several, or a row for several images.
    """
    table = TagTable.read(path, class_names)
    warn_of(table.notices)
    rows = [_parts(row.cells["image"]) for row in table.rows]
    problems, allowed = list(table.problems), {}
    rows_of = _rows_of(rows, inputs)
    named: dict[int, list[str]] = {}
    for item in inputs:
        for k in rows_of[item.name]:
            named.setdefault(k, []).append(str(item.path))
    for item in inputs:
        found = rows_of[item.name]
        tags = table.tags[found[0]] if len(found) == 1 else None
        if tags is None:
            expected, said = f"a row with tags in {path.name} ('background' for none)", "none"
            if len(found) > 1:
                expected, said = "one row", f"{len(found)} ({first_of([table.rows[k].where for k in found])})"
            elif found:
                said = "an empty cell"
            problems.append(Problem(item.name, str(item.path), expected, said))
            continue
        where = table.rows[found[0]].where
        unknown = next((tag for tag in tags if tag not in class_names), None)
        if unknown is not None:
            hint = f"'{unknown}'.{closest(unknown, class_names)}"
            problems.append(Problem(item.name, where, "classes of the checkpoint", hint))
        elif len(named[found[0]]) > 1:
            several = f"'{'/'.join(rows[found[0]])}' for {first_of(named[found[0]])}"
            problems.append(Problem(item.name, where, "the folder too, where two images have one name", several))
        allowed[item.name] = [name in tags for name in class_names]
    if problems:
        raise DataError(report(problems))
    return allowed


def _rows_of(rows: Sequence[tuple[str, ...]], inputs: Sequence[Input]) -> dict[str, list[int]]:
    """For each input the rows that fit it best: one, unless two name it alike."""
    by_name: dict[str, list[int]] = {}
    for k, parts in enumerate(rows):
        by_name.setdefault(parts[-1] if parts else "", []).append(k)
    found = {}
    for item in inputs:
        folders = _parts(item.path.absolute().as_posix())[:-1]
        fit = by_name.get(nfc(item.path.name)) or by_name.get(nfc(item.path.stem)) or []
        common = {k: common_tail(rows[k][:-1], folders) for k in fit}
        found[item.name] = [k for k in fit if common[k] == max(common.values())]
    return found


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in nfc(name).strip().replace("\\", "/").split("/") if part not in ("", "."))

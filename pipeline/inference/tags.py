"""Image tags for a prediction: which classes may win in which image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.errors import DataError, closest
from pipeline.datasets.file_names import nfc
from pipeline.datasets.tag_table import TagTable
from pipeline.inference.inputs import Input
from pipeline.problems.notices import warn_of
from stages.prepare import Problem, report


def read_tags(path: Path, class_names: Sequence[str], inputs: Sequence[Input]) -> dict[str, list[bool]]:
    """The C classes that may win, by input name, from a CSV as ``prepare`` reads it (docs/howto/data.md).

    Raises:
        DataError: no such table, unknown classes, or an image without a row.
    """
    table = TagTable.read(path, class_names)
    warn_of(table.notices)
    rows = {nfc(row.cells["image"]): (row, tags) for row, tags in zip(table.rows, table.tags, strict=True)}
    problems, allowed = list(table.problems), {}
    for item in inputs:
        row, tags = rows.get(nfc(item.path.name)) or rows.get(nfc(item.path.stem)) or (None, None)
        if row is None or tags is None:
            expected = f"a row with tags in {path.name} ('background' for none)"
            problems.append(Problem(item.name, str(item.path), expected, "none" if row is None else "an empty cell"))
            continue
        unknown = next((tag for tag in tags if tag not in class_names), None)
        if unknown is not None:
            found = f"'{unknown}'.{closest(unknown, class_names)}"
            problems.append(Problem(item.name, row.where, "classes of the checkpoint", found))
        allowed[item.name] = [name in tags for name in class_names]
    if problems:
        raise DataError(report(problems))
    return allowed

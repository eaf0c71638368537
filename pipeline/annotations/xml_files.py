"""Boxes as VOC XML: a file for each image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.errors import DataError
from pipeline.annotations.class_names import ClassNames
from pipeline.annotations.geometry import check_sizes
from pipeline.annotations.items import Mark, Marks
from pipeline.annotations.label_folder import LabelFolder
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.exports import EXPORTS, foreign_text
from pipeline.datasets.image_names import ImageNames
from pipeline.datasets.voc_xml import read_voc_xml, two_counts
from pipeline.problems.notices import Notice, first_of


def holds_voc_xml(folder: Path) -> bool:
    """Whether the first XML of a folder, or below it, may be VOC's: it is no other tool's by its first 4 kB."""
    first = next(iter(sorted(folder.glob("*.xml"))), None) or next(iter(sorted(folder.rglob("*.xml"))), None)
    return first is not None and foreign_text(first) == str(EXPORTS["pascal"])


def marks_of_xml(folder: Path, catalogue: Catalogue, ids: Sequence[str], whole: bool = True) -> Marks:
    """Boxes of these images; objects that are "difficult" or of classes not kept have class None.

    Files that are not there are left to the caller.
    Unless these are the images of the ``whole`` split, nothing is concluded from the names of the classes.
    """
    marks, classes = Marks(str(folder)), ClassNames(catalogue)
    files = LabelFolder(folder, catalogue, (".xml",)).find(ids, all_files=whole)
    names, stated, others = ImageNames(catalogue), [], []
    from_zero: list[bool] = []
    for id, path in files.paths.items():
        try:
            content = read_voc_xml(path)
        except DataError as error:
            marks.problems.append(str(error))
            continue
        marks.images.setdefault(id)
        if content.image and names.find(content.image) not in (None, id):
            others.append(f"{path} is of '{content.image[:60]}'")
        if any(item.whole for item in content.objects):
            from_zero.append(content.from_zero)
        if content.size is not None:
            stated.append((id, str(path), content.size))
        for item in content.objects:
            number = classes.number(item.name, str(path))
            marks.add(Mark(str(path), id, None if item.difficult else number, item.box), number)
    if others:
        text = f"{folder}: {len(others)} files say that they are of another image of the catalogue: {first_of(others)}."
        marks.notices.append(Notice("annotations_of_another_image", len(others), text))
    if text := two_counts(from_zero):
        marks.notices.append(Notice("boxes_from_zero", sum(from_zero), f"{folder}: {text}"))
    marks.problems += files.problems
    marks.strangers = dict.fromkeys(files.strangers, str(folder))
    check_sizes(marks, catalogue, stated)
    marks.problems += classes.misspelt() if whole else ()
    marks.notices += classes.notices()
    return marks

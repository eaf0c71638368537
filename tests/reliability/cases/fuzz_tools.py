"""Exports of labelling tools, with any value in any place or damaged: labels, or an error that says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import strategies as st

from models.errors import Weak2MaskError
from tests.helpers.dataset_files import FORMS
from tests.helpers.drawn_labels import drawn
from tests.reliability.cases.fuzz_files import LONGEST, changed, damaged, fuzzed
from tests.reliability.frame import Case

MADE = (
    "cvat", "cvat_masks", "labelme", "labelme_masks", "label_studio", "label_studio_brush", "label_studio_min",
    "label_studio_csv", "via", "via_csv", "via3", "via3_csv", "yolo", "coco", "coco_rle", "datumaro", "datumaro_masks",
    "supervisely", "supervisely_bitmaps",
)  # fmt: skip
ONE_IMAGE = ("labelme", "yolo", "supervisely")
"""Tools that write a file for each image."""
KINDS: dict[str, dict[str, Any]] = {
    "shapes": {"unannotated": "background"}, "boxes": {}, "points": {}, "masks": {}, "tags": {}
}  # fmt: skip


@cache
def written(form: str) -> tuple[str, bytes, tuple[str, ...]]:
    """The largest file of labels that a tool writes of the drawn scene: its place, its content, the images in it."""
    writer, how, ids = FORMS[form]
    with TemporaryDirectory() as folder:
        writer(Path(folder), ids, how)
        one = form.partition("_")[0] in ONE_IMAGE
        there = (file for file in sorted(Path(folder).rglob("*")) if file.is_file() and file.suffix != ".png")
        file = max((f for f in there if not one or f.name[:2] in ids), key=lambda file: file.stat().st_size)
        return file.relative_to(folder).as_posix(), file.read_bytes(), (file.name[:2],) if one else tuple(ids)


def contents(form: str) -> st.SearchStrategy[bytes]:
    """What becomes of it."""
    name, whole, _ = written(form)
    return changed(json.loads(whole)) if name.endswith(".json") else damaged(whole)


def read(form: str) -> Callable[[Path], Any]:
    """As every kind of supervision; refused where none takes it."""

    def work(file: Path) -> None:
        errors = []
        for kind, options in KINDS.items():
            try:
                drawn(file, written(form)[2], kind, **options)
            except Weak2MaskError as error:
                errors.append(error)
        if len(errors) == len(KINDS):
            raise errors[0]

    return work


CASES = {
    form: Case(
        f"A file of {form.replace('_', ', ')}, changed or damaged: labels, or an error of at most {LONGEST} characters",
        fuzzed(written(form)[0], contents(form), read(form)), quick=1, long=20, seconds=600,
    )
    for form in MADE
}  # fmt: skip

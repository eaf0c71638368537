"""Exports of labelling tools, with any value in any place or damaged: labels, or an error that says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import strategies as st

from tests.helpers.dataset_files import FORMS
from tests.helpers.drawn_labels import drawn
from tests.reliability.cases.fuzz_files import LONGEST, changed, damaged, fuzzed
from tests.reliability.frame import Case

NAMES = {
    "cvat": "annotations.xml", "cvat_masks": "annotations.xml", "labelme": "q0.json", "labelme_masks": "q1.json",
    "label_studio": "f.json", "label_studio_brush": "f.json", "label_studio_min": "f.json", "label_studio_csv": "f.csv",
    "via": "f.json", "via_csv": "f.csv", "via3": "f.json", "via3_csv": "f.csv", "yolo": "labels/q0.txt",
    "coco": "f.json", "coco_rle": "f.json", "datumaro": "f.json", "datumaro_masks": "f.json",
    "supervisely": "ann/q0.png.json", "supervisely_bitmaps": "ann/q1.png.json",
}  # fmt: skip
"""Form -> a name under which its tool would write the file."""
KINDS = ("shapes", "boxes", "points", "masks", "tags")


@cache
def content(form: str) -> bytes:
    """The first file of labels that a tool writes of the drawn scene."""
    writer, how, ids = FORMS[form]
    with TemporaryDirectory() as folder:
        written = writer(Path(folder), ids, how)
        suffix = Path(NAMES[form]).suffix
        files = [written] if written.is_file() else sorted(Path(folder).rglob(f"*{suffix}"))
        return max(files, key=lambda file: file.stat().st_size).read_bytes()


def contents(form: str) -> st.SearchStrategy[bytes]:
    """What becomes of it."""
    return changed(json.loads(content(form))) if NAMES[form].endswith(".json") else damaged(content(form))


def read(form: str) -> Callable[[Path], Any]:
    """As every kind of supervision; the first that is refused ends it."""

    def work(file: Path) -> None:
        for kind in KINDS:
            drawn(file, tuple(FORMS[form][2]), kind)

    return work


CASES = {
    form: Case(
        f"A file of {form.replace('_', ', ')}, changed or damaged: labels, or an error of at most {LONGEST} characters",
        fuzzed(name, st.deferred(lambda form=form: contents(form)), read(form)), quick=1, long=20, seconds=600,
    )
    for form, name in NAMES.items()
}  # fmt: skip

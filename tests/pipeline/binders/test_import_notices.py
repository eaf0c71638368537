"""Importing annotations from a file: notices lie beside the supervision, and bad files make none."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import DataError
from pipeline.binders import supervising
from pipeline.binders.supervising import fitting
from pipeline.book.params import VERBS, Book
from pipeline.compute.engines import processes
from pipeline.problems.notices import read_notices
from pipeline.storage.stores import SupervisionStore
from pipeline.tracking.log import Log

WORK = Path("work/mine")


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three tagged images, and scribbles on 0."""
    monkeypatch.chdir(tmp_path)
    for folder in ("data/images", "data/scribbles", "maps"):
        Path(folder).mkdir(parents=True)
    strokes = np.zeros((40, 60), np.uint8)
    strokes[5, 4:20] = 1
    for k in range(3):
        Image.linear_gradient("L").resize((60, 40)).rotate(180 * k).convert("RGB").save(f"data/images/q{k}.png")
        Image.fromarray(strokes).save(f"data/scribbles/q{k}.png")
    Path("data/tags.csv").write_text("image,tags\n" + "".join(f"q{k}.png,cat\n" for k in range(3)))


def run(kind: str, file: str, **more: Any) -> Path:
    sections: dict[str, Any] = {verb: {} for verb in VERBS} | {
        "book": {"root": ".", "path": ".", "params": "params.yaml", "work": str(WORK)},
        "prepare": {"mine": {"reader": "folder", "root": "data", "options": {"val_fraction": 0}}},
        "import_annotations": {"it": {"data": "mine", "split": "train", "kind": kind, "file": file, **more}},
    }
    book = Book.model_validate(sections)
    import_module("pipeline.binders.prepare").run(book, "mine", Log())
    import_module("pipeline.binders.import_annotations").run(book, "it", Log())
    return WORK / "supervision" / "it"


def test_notices_are_said_and_kept_beside_the_supervision() -> None:
    with pytest.warns(UserWarning, match="no pixel of 3 files is 255"):
        folder = run("scribbles", "data/scribbles")
    assert [(notice.topic, notice.count) for notice in read_notices(folder)] == [("scribbles_without_unlabelled", 3)]


def test_scribbles_without_background_are_a_notice_too() -> None:
    with pytest.warns(UserWarning, match="no pixel of 3 images is background"):
        folder = run("scribbles", "data/scribbles", options={"unlabelled": 0})
    assert [notice.topic for notice in read_notices(folder)] == ["without_background"]


def test_boxes_of_whole_images_leave_no_background() -> None:
    rows = "".join(f"q{k},cat,0,0,60,40\n" for k in range(3))
    Path("data/boxes.csv").write_text("image,class,x1,y1,x2,y2\n" + rows)
    with pytest.warns(UserWarning, match="the boxes of 3 images leave no pixel of background"):
        run("boxes", "data/boxes.csv")


def test_good_files_leave_no_notice() -> None:
    rows = "".join(f"q{k},cat,4,5,30,30\n" for k in range(3))
    Path("data/boxes.csv").write_text("image,class,x1,y1,x2,y2\n" + rows)
    folder = run("boxes", "data/boxes.csv")
    assert not (folder / "warnings.json").exists()


def test_bad_files_are_refused_before_anything_is_made() -> None:
    Path("data/boxes.csv").write_text("image,class,x1,y1,x2,y2\nq0,cat,0.1,0.1,0.5,0.9\n")
    with pytest.raises(DataError, match="like shares of the image"):
        run("boxes", "data/boxes.csv")
    assert not (WORK / "supervision" / "it").exists()
    with pytest.raises(DataError, match="expected maps of regions for 3 images, found none for 3"):
        run("scribbles", "data/scribbles", regions={"method": "files", "folder": "maps"})


@pytest.mark.parametrize(
    ("size", "free", "processes"),
    [
        (500, 10_000, None),  # a small file: as many as there are cores
        (500_000_000, None, None),
        (500_000_000, 64_000_000_000, 16),
        (500_000_000, 8_000_000_000, 3),
        (500_000_000, 4_000_000_000, 0),  # no second one would fit beside this one, which has read it
        (500_000_000, 0, 0),
    ],
)
def test_as_many_processes_as_can_hold_the_file(
    size: int, free: int | None, processes: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEAK2MASK_WORKERS", "16")
    assert fitting(size, free) == processes


def test_a_large_file_is_read_once_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"q{k}.png,cat,5,5,20,20\n" for k in range(3))
    Path("data/boxes.csv").write_text("image,class,x1,y1,x2,y2\n" + rows)
    monkeypatch.setattr(supervising, "SMALL", 1)
    monkeypatch.setattr(supervising, "free_memory", lambda: 100)
    monkeypatch.setattr(processes, "context", lambda modules: pytest.fail("a process was started"))
    assert len(SupervisionStore(run("boxes", "data/boxes.csv"))) == 3

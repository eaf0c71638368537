"""What the binders share."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from models.errors import DataError
from pipeline.binders import evaluate, prepare
from pipeline.binders.common import Workspace, split_of
from pipeline.binders.prepare import left_out_notice
from pipeline.book.artifacts import VERBS
from pipeline.book.params import load_book
from pipeline.tracking.log import Log
from tests.helpers import made_book

ROOT = Path(__file__).parents[3]


def test_an_input_that_has_not_been_made_is_named(tmp_path: Path) -> None:
    here = Workspace(load_book(ROOT), "export_cams", "cam")
    with pytest.raises(DataError, match=r"export_cams\.cam needs .*classifier, found nothing there"):
        here.fingerprint(tmp_path / "classifier")


def test_a_warning_says_what_was_left_out() -> None:
    left_out = {f"i{k}": f"i{k}.jpg: expected an image, found 0 bytes" for k in range(5)}
    lines = left_out_notice(left_out, 35).splitlines()
    assert lines[0].startswith("5 of 40 images are left out")
    assert lines[1] == "  i0: i0.jpg: expected an image, found 0 bytes"
    assert lines[-1] == "  ... and 2 more"
    assert "more" not in left_out_notice({"a": "why"}, 1)


def test_prepare_warns_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEAK2MASK_WORKERS", "1")
    (tmp_path / "photos/images").mkdir(parents=True)
    for name in "ab":
        Image.new("RGB", (40, 40)).save(tmp_path / f"photos/images/{name}.png")
    (tmp_path / "photos/images/c.png").touch()
    (tmp_path / "photos/tags.csv").write_text("image,tags\na.png,cat\nb.png,cat\nc.png,cat\n")
    (tmp_path / "params.yaml").write_text(
        "book: {root: ., path: ., params: params.yaml, work: work}\n"
        "prepare:\n  mine: {reader: folder, root: photos, on_bad_image: skip, options: {val_fraction: 0}}\n"
        + "".join(f"{verb}: {{}}\n" for verb in VERBS if verb != "prepare")
    )
    numbers: dict[str, float] = {}
    with pytest.warns(UserWarning, match=r"1 of 3 images are left out .*\n  c: .*c\.png"):
        prepare.run(load_book("."), "mine", SimpleNamespace(metrics=numbers.update))  # type: ignore[arg-type]
    assert numbers["left_out"] == 1


def test_some_of_the_images_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEAK2MASK_WORKERS", "1")
    judged = {"few": {"data": "made", "of": "cams/cam", "split": "few"}, "all": {"data": "made", "of": "cams/cam"}}
    ids = made_book.IDS | {"few": ("t2", "t0")}
    made_book.make(made_book.book(evaluate=judged, table={}), ids=ids, stages=("cams/cam", "evaluate"))
    found = {name: json.loads(Path(f"work/made/evaluations/{name}/metrics.json").read_text()) for name in judged}
    assert (found["few"]["split"], found["few"]["images"]) == ("few", 2)
    assert (found["all"]["split"], found["all"]["images"]) == ("train", 4)
    judged["few"]["split"] = "val"
    with pytest.raises(DataError, match=r"not 3 that evaluate\.few needs: v0"):
        evaluate.run(made_book.book(evaluate=judged, table={}), "few", Log())


def test_a_part_of_a_split_is_named_with_its_number() -> None:
    splits = {"train": ("a", "b", "c"), "val": ("d",)}
    assert split_of(splits, ("d",)) == "val"
    assert split_of(splits, ("a", "c")) == "train (2 of 3)"
    with pytest.raises(DataError, match="no split of the catalogue"):
        split_of(splits, ("a", "d"))

"""The entries of the books that ``init`` writes are those of a file that is changed on purpose alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pipeline.book.agreement import differences, flat_content
from pipeline.compute import runtime
from pipeline.new_book.write import init

pytestmark = pytest.mark.usefixtures("project")

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "init_books.json").read_text())
"""What ``init`` writes as params.yaml for the folders below, on a processor without bfloat16."""


def images(folder: Path, tags: list[str], masks: bool = False) -> None:
    for name in ("images", "masks") if masks else ("images",):
        (folder / name).mkdir(parents=True)
    for number, _ in enumerate(tags):
        Image.new("RGB", (60, 40), (20 * number, 90, 90)).save(folder / "images" / f"{number}.jpg")
        if masks:
            Image.new("L", (60, 40), 1).save(folder / "masks" / f"{number}.png")
    rows = [f"{number}.jpg,{tag}" for number, tag in enumerate(tags)]
    (folder / "tags.csv").write_text("\n".join(["image,tags", *rows]) + "\n")


def tagged(folder: Path) -> None:
    images(folder, ["cat", "cow"] * 6)


def measured(folder: Path) -> None:
    images(folder, ["cat", "cow", "cat;cow"] * 4, masks=True)


def clicked(folder: Path) -> None:
    images(folder, ["cat", "cow"] * 6)
    rows = [f"{number}.jpg,{('cat', 'cow')[number % 2]},1,1" for number in range(12)]
    (folder / "points.csv").write_text("\n".join(["image,class,x,y", *rows]))


def boxed(folder: Path) -> None:
    images(folder, ["cat", "cow"] * 2, masks=True)
    (folder / "tags.csv").unlink()
    rows = [f"{number}.jpg,{('cat', 'cow')[number % 2]},1,1,9,9" for number in range(4)]
    (folder / "boxes.csv").write_text("\n".join(["image,class,x1,y1,x2,y2", *rows]))


def many_classes(folder: Path) -> None:
    images(folder, [";".join(f"c{25 * number + n:03}" for n in range(25)) for number in range(12)])


FOLDERS = (tagged, measured, clicked, boxed, many_classes)


@pytest.mark.parametrize("make", FOLDERS)
@pytest.mark.parametrize("style", ["fast", "small"])
def test_the_entries_are_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], style: str
) -> None:
    monkeypatch.setattr(runtime, "is_fast_in_bfloat16", lambda kind: False)
    make(tmp_path / "farm")
    done = init(tmp_path / "farm", style=style, weights="random")  # type: ignore[arg-type]
    flat = flat_content(Path(done.path) / "params.yaml")
    assert list(differences(GOLDEN[f"{make.__name__}_{style}"], flat)) == []

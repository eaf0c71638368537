"""Scribbles and region maps that people drew: values, names and sizes of their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import ConfigurationError, DataError
from models.structures import UNLABELLED, Supervision
from pipeline.annotations.build import annotate_catalogue, check_annotations
from pipeline.annotations.regions import RegionSource
from pipeline.annotations.scribble_files import read_scribble
from tests.helpers.made_annotations import SIZE, catalogue_of, notices_of, refused

IDS = ("q0", "q1", "q2")
CATALOGUE = catalogue_of(IDS)


def drawn(ground: int, background: int | None = None, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Strokes of both classes on ``ground``, and one of ``background``."""
    strokes = np.full(size, ground, np.uint8)
    strokes[5, 4:20], strokes[15, 4:20] = 1, 2
    if background is not None:
        strokes[25, 4:20] = background
    return strokes


def folder_of(path: Path, strokes: np.ndarray, name: str = "{}.png", ids: tuple[str, ...] = IDS) -> Path:
    path.mkdir(exist_ok=True)
    for id in ids:
        Image.fromarray(strokes).save(path / name.format(id))
    return path


def supervision(file: Path, **options: Any) -> Supervision:
    ((_, found),) = annotate_catalogue("scribbles", CATALOGUE, None, ["q1"], {"file": str(file), **options})
    return found


def test_good_files_are_silent(tmp_path: Path) -> None:
    assert notices_of("scribbles", folder_of(tmp_path / "s", drawn(255, 0)), CATALOGUE) == []


def test_files_without_an_unlabelled_pixel_are_told(tmp_path: Path) -> None:
    (notice,) = notices_of("scribbles", folder_of(tmp_path / "s", drawn(0)), CATALOGUE)
    assert (notice.topic, notice.count) == ("scribbles_without_unlabelled", 3)
    assert "no pixel of 3 files is 255 (unlabelled), 99% are 0 = background" in notice.text
    assert "`options: {unlabelled: 0}`" in notice.text
    assert notices_of("scribbles", tmp_path / "s", CATALOGUE, unlabelled=0) == []
    found = supervision(tmp_path / "s", unlabelled=0)
    assert np.unique(found.seeds).tolist() == [1, 2, UNLABELLED]


def test_another_value_may_mean_unlabelled_and_another_the_background(tmp_path: Path) -> None:
    several = notices_of("scribbles", folder_of(tmp_path / "s", drawn(4, 0)), CATALOGUE)
    assert [notice.topic for notice in several] == ["scribbles_without_unlabelled", "scribbles_of_no_class"]
    assert "are 4. If 4 means unlabelled in your files, write `options: {unlabelled: 4}`." in several[0].text
    assert notices_of("scribbles", tmp_path / "s", CATALOGUE, unlabelled=4) == []
    folder_of(tmp_path / "s", drawn(0, 3))
    assert notices_of("scribbles", tmp_path / "s", CATALOGUE, unlabelled=0, background_value=3) == []
    found = supervision(tmp_path / "s", unlabelled=0, background_value=3)
    assert [int((found.seeds == value).sum()) for value in (0, 1, 2)] == [16, 16, 16]


@pytest.mark.parametrize("options", [{"unlabelled": 1}, {"unlabelled": 300}, {"background_value": 255}])
def test_values_that_cannot_be(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=r"scribbles(\.unlabelled)?: "):
        notices_of("scribbles", folder_of(tmp_path / "s", drawn(255)), CATALOGUE, **options)


def test_full_masks_are_told(tmp_path: Path) -> None:
    mask = np.zeros(SIZE, np.uint8)
    mask[10:50, 10:80] = 1
    first, second = notices_of(
        "scribbles", folder_of(tmp_path / "s", mask), catalogue_of(IDS, tags=dict.fromkeys(IDS, (1, 2)))
    )
    assert "If they are full masks, name their folder as the data set's `masks`" in first.text
    assert second.topic == "tagged_without_annotation"
    assert "No image has scribbles of dog." in second.text


@pytest.mark.parametrize("name", ["{}.PNG", "{}_mask.png", "{}_scribbles.png", "{}.tif", "{}.jpg.png"])
def test_names_that_mean_one_image_are_taken(tmp_path: Path, name: str) -> None:
    assert notices_of("scribbles", folder_of(tmp_path / "s", drawn(255, 0), name), CATALOGUE) == []
    assert (supervision(tmp_path / "s").seeds == 1).sum() == 16


@pytest.mark.parametrize("name", ["{}.tif", "{}_scribble.png", "{}.PNG", "old/{}.png"])
@pytest.mark.parametrize("plain", ["{}.png", "{}_mask.png"])
def test_two_files_for_an_image_are_refused(tmp_path: Path, plain: str, name: str) -> None:
    """Whatever they are called: which one counts, nobody can know; also where images without any are left out."""
    folder = folder_of(tmp_path / "s", drawn(255, 0), plain)
    (folder / name).parent.mkdir(exist_ok=True)
    folder_of(folder, drawn(255, 0), name, ("q0",))
    options: tuple[dict[str, Any], ...] = ({}, {"unannotated": "left_out"})
    for more in options:
        message = refused("scribbles", folder, CATALOGUE, **more)
        assert "Bad annotations (1)" in message
        assert "expected one file for image 'q0', found 2: " in message
        assert all(str(folder / one.format("q0")) in message for one in (plain, name))
    with pytest.raises(DataError, match="expected one file for image 'q0', found 2"):
        check_annotations("mixture", CATALOGUE, IDS, {"file": str(mixture_of(tmp_path, folder))})
    (folder / name.format("q0")).unlink()
    assert notices_of("scribbles", folder, CATALOGUE) == []


def mixture_of(place: Path, folder: Path) -> Path:
    """A folder of drawn labels with these scribbles."""
    (place / "drawn").mkdir()
    (place / "drawn" / "scribbles").symlink_to(folder)
    return place / "drawn"


def test_what_systems_and_editors_leave_behind_is_no_second_file(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "s", drawn(255, 0))
    folder_of(folder / ".thumbnails", drawn(255, 0), ids=("q0",))
    folder_of(folder, drawn(255, 0), ".q0_mask.png", ("q0",))
    assert notices_of("scribbles", folder, CATALOGUE) == []


def test_images_without_scribbles_may_come_together_where_a_table_lies_beside(tmp_path: Path) -> None:
    """A part of the images has no scribble; the folder holds those of others."""
    folder, options = folder_of(tmp_path / "s", drawn(255, 0), ids=("q0",)), {"unannotated": "unlabelled"}
    (folder / "notes.csv").write_text("who,when\n")
    (notice,) = notices_of("scribbles", folder, CATALOGUE, **options)
    assert (notice.topic, notice.count) == ("images_unlabelled", 2)
    given = {"file": str(folder), **options}
    part = dict(annotate_catalogue("scribbles", CATALOGUE, None, ["q1", "q2"], given))
    assert all((found.seeds == UNLABELLED).all() for found in part.values())
    (folder / "q0.png").rename(folder / "r0.png")
    assert "found notes.csv and its like: a table" in refused("scribbles", folder, CATALOGUE)


def test_files_of_no_image_and_images_without_file_are_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "s", drawn(255, 0))
    folder_of(folder, drawn(255, 0), "Q1x.png", ("",))
    (notice,) = notices_of("scribbles", folder, CATALOGUE)
    assert (notice.topic, notice.count) == ("scribbles_without_image", 1)
    assert "1 files belong to no image of catalogue 'mine' and are left out: Q1x.png." in notice.text
    (folder / "q1.png").rename(folder / "q_1.png")
    message = refused("scribbles", folder, CATALOGUE)
    assert "expected scribble PNGs for 3 images, found none for 1 of them: q1." in message
    assert "'q_1.png' (the nearest is 'q1')" in message


def test_all_wrong_files_are_said_at_once(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "s", drawn(255, 0))
    Image.fromarray(drawn(255, size=SIZE[::-1])).save(folder / "q0.png")
    Image.new("RGB", SIZE[::-1], (128, 0, 0)).save(folder / "q1.png")
    (folder / "q2.png").write_bytes(b"")
    message = refused("scribbles", folder, CATALOGUE)
    assert "Bad annotations (3)" in message
    assert "Width and height are exchanged: EXIF orientation?" in message
    assert "q2.png: expected a PNG of indices, found an empty file" in message


def test_what_is_no_folder_of_pngs(tmp_path: Path) -> None:
    assert "expected a folder of scribble PNGs, found nothing there" in refused("scribbles", tmp_path / "no", CATALOGUE)
    (tmp_path / "f").write_text("x")
    assert "expected a folder of scribble PNGs, found a file" in refused("scribbles", tmp_path / "f", CATALOGUE)
    lossy = folder_of(tmp_path / "j", drawn(255, 0), "{}.jpg")
    assert "JPEG changes the values of pixels" in refused("scribbles", lossy, CATALOGUE)
    (tmp_path / "labelme").mkdir()
    (tmp_path / "labelme" / "q0.json").write_text('{"shapes": [], "imagePath": "q0.png"}')
    message = refused("scribbles", tmp_path / "labelme", CATALOGUE)
    assert "expected scribbles, found LabelMe's JSON (no shapes)" in message


def test_a_mixture_checks_its_parts(tmp_path: Path) -> None:
    ids = [f"i{k}" for k in range(20)]
    catalogue = catalogue_of(ids)
    folder = folder_of(tmp_path / "s", drawn(0), ids=tuple(ids))
    options = {"parts": {"scribbles": 0.5, "tags": 0.5}, "options": {"scribbles": {"file": str(folder)}}}
    (notice,) = check_annotations("mixture", catalogue, ids, options)
    assert notice.topic == "scribbles_without_unlabelled"
    assert 3 < notice.count < 17


def test_maps_of_regions_are_checked_before_they_are_used(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "r", drawn(0))
    source = RegionSource.of({"method": "files", "folder": str(folder)}, CATALOGUE)
    assert source is not None
    assert source.check(IDS) == []
    folder_of(folder, drawn(0), "other.png", ("",))
    assert [notice.count for notice in source.check(IDS)] == [1]
    (folder / "q2.png").unlink()
    with pytest.raises(DataError, match="expected maps of regions for 3 images, found none for 1 of them: q2"):
        source.check(IDS)
    Image.fromarray(drawn(0, size=SIZE[::-1])).save(folder / "q1.png")
    with pytest.raises(DataError, match="Width and height are exchanged"):
        source("q1")


def test_files_of_another_size_or_of_colours_name_what_helps(tmp_path: Path) -> None:
    path = tmp_path / "q0.png"
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(path)
    with pytest.raises(DataError, match=r"of size \(6, 8\) \(H x W\), found size \(3, 4\).*Remedy: draw on the image"):
        read_scribble(path, (6, 8))
    Image.fromarray(np.full((6, 8, 3), (255, 0, 9), np.uint8)).save(path)
    with pytest.raises(DataError, match=r"Write the number of each class in place of its colour") as error:
        read_scribble(path, (6, 8))
    assert "labelmap" not in str(error.value)

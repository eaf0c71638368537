"""Images of which a file of annotations says nothing: refused, left out, unlabelled or background."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import ConfigurationError, DataError
from models.structures import UNLABELLED, Supervision
from pipeline.annotations.build import annotate_catalogue, annotated_ids, check_annotations
from pipeline.datasets.catalogue import Catalogue
from pipeline.problems.notices import Notice
from tests.helpers import tool_files
from tests.helpers.made_annotations import catalogue_of, csv_of, xml_of

IDS = ("q0", "q1", "q2", "q3")


def points(place: Path) -> Path:
    return csv_of(place / "points.csv", [("q1", "cat", 20, 20)], "image,class,x,y")


def boxes(place: Path) -> Path:
    return csv_of(place / "boxes.csv", [("q1", "cat", 10, 10, 30, 30)])


def voc(place: Path) -> Path:
    return xml_of(place / "xml", "q1", [("cat", (10, 10, 30, 30))], None).parent


def scribbles(place: Path) -> Path:
    strokes = np.full((64, 96), 255, np.uint8)
    strokes[20, 15:25] = 1
    (place / "scribbles").mkdir()
    Image.fromarray(strokes).save(place / "scribbles" / "q1.png")
    return place / "scribbles"


def mixture(place: Path) -> Path:
    points(place)
    return scribbles(place).parent


def shapes(place: Path) -> Path:
    return tool_files.cvat(place, ("q1",))


def strokes_of_a_tool(place: Path) -> Path:
    return tool_files.labelme(place, ("q3",))


FORMS = [
    ("points", points), ("boxes", boxes), ("boxes", voc), ("scribbles", scribbles), ("scribbles", strokes_of_a_tool),
    ("mixture", mixture), ("shapes", shapes),
]  # fmt: skip


def made(kind: str, file: Path, catalogue: Catalogue, **more: Any) -> tuple[dict[str, Supervision], list[Notice]]:
    """What import_annotations writes, and what it warns of."""
    options = {"file": str(file), **more}
    ids = catalogue.ids("train")
    notices = check_annotations(kind, catalogue, ids, options)
    kept = annotated_ids(kind, catalogue, ids, options)
    return dict(annotate_catalogue(kind, catalogue, None, kept, options)), notices


@pytest.mark.parametrize(("kind", "write"), FORMS)
def test_every_kind_asks_and_takes_the_answer(tmp_path: Path, kind: str, write: Any) -> None:
    catalogue, file = catalogue_of(IDS, tags={"q0": (2,)}), write(tmp_path)
    with pytest.raises(
        DataError, match=r"for 4 images, found none for 3 of them: q0.*\n.*unannotated: left_out"
    ) as asked:
        made(kind, file, catalogue)
    drawn = "q3" if "q3" not in str(asked.value).splitlines()[0] else "q1"
    alone, notices = made(kind, file, catalogue, unannotated="left_out")
    assert list(alone) == [drawn]
    assert [(one.topic, one.count) for one in notices if one.topic == "images_left_out"] == [("images_left_out", 3)]
    for answer, label, notice in (
        ("unlabelled", UNLABELLED, ("images_unlabelled", 3)),
        ("background", 0, ("tagged_as_background", 1)),
    ):
        found, notices = made(kind, file, catalogue, unannotated=answer)
        assert list(found) == list(IDS)
        assert (found["q0"].seeds == label).all()
        assert found["q0"].tags.tolist() == [False, True]
        np.testing.assert_array_equal(found[drawn].seeds, alone[drawn].seeds)
        assert notice in [(one.topic, one.count) for one in notices]


def test_an_answer_is_not_wanted_where_all_images_have_labels(tmp_path: Path) -> None:
    found, notices = made("points", points(tmp_path), catalogue_of(("q1",)), unannotated="left_out")
    assert (list(found), notices) == (["q1"], [])


def test_labels_of_no_image_are_refused(tmp_path: Path) -> None:
    catalogue = Catalogue("mine", ("cat", "dog"), {"train": ("q0", "q3")}, catalogue_of(IDS).entries)
    with pytest.raises(DataError, match="labels for one of 2 images at least, found none"):
        made("points", points(tmp_path), catalogue, unannotated="left_out")


def test_derived_labels_are_there_for_all() -> None:
    with pytest.raises(ConfigurationError, match="beside `file:`"):
        check_annotations("points", catalogue_of(IDS), IDS, {"unannotated": "left_out"})


def test_a_part_of_a_mixture_may_have_images_without_labels(tmp_path: Path) -> None:
    part = {"file": str(points(tmp_path)), "unannotated": "unlabelled"}
    options: dict[str, Any] = {"parts": {"points": 1.0}, "options": {"points": part}}
    check_annotations("mixture", catalogue_of(IDS), IDS, options)
    found = dict(annotate_catalogue("mixture", catalogue_of(IDS), None, IDS, options))
    assert [int((found[id].seeds != UNLABELLED).sum()) for id in IDS] == [0, 1, 0, 0]
    part["unannotated"] = "left_out"
    with pytest.raises(ConfigurationError, match="leaves images out by its own"):
        check_annotations("mixture", catalogue_of(IDS), IDS, options)

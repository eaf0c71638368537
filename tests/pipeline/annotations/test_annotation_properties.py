"""Whatever a file holds, its reader gives a result or an error that its user can act on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some

from models.errors import Weak2MaskError
from pipeline.annotations.build import annotate_catalogue, check_annotations
from pipeline.datasets.lines import read_lines
from pipeline.datasets.tables import read_table
from pipeline.datasets.voc_xml import read_voc_xml
from tests.helpers.made_annotations import catalogue_of, coco_of

CATALOGUE = catalogue_of(("q0", "q1"), tags={"q0": (1,)})
LONGEST = 8000
SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)

texts = some.text(max_size=200)
cells = some.one_of(
    some.sampled_from(
        ["q0", "q1.png", "images\\q0.png", "cat", "dog", "background", "nan", "inf", "-1", "5", "60.5", ""]
    ),
    some.text(max_size=10),
)
tables = some.builds(
    lambda header, rows, mark: "\n".join(mark.join(row) for row in [header, *rows]),
    some.sampled_from(
        [["image", "class", "x1", "y1", "x2", "y2"], ["image", "class", "x", "y"], ["filename", "label", "xmin"], []]
    ),
    some.lists(some.lists(cells, min_size=4, max_size=6), max_size=6),
    some.sampled_from([",", ";", "\t"]),
)
values = some.recursive(
    some.one_of(some.none(), some.booleans(), some.integers(), some.floats(), some.text(max_size=10)),
    lambda inner: some.one_of(
        some.lists(inner, max_size=4), some.dictionaries(some.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)
numbers = some.one_of(some.integers(-200, 200), some.floats(), some.just(10**400), values)
cocos = some.fixed_dictionaries(
    {
        "images": some.lists(
            some.fixed_dictionaries(
                {"id": some.integers(0, 2), "file_name": some.sampled_from(["q0.png", "q1.png", "z", ""])},
                optional={"width": values, "height": values},
            ),
            max_size=3,
        )
        | values,
        "annotations": some.lists(
            some.fixed_dictionaries(
                {},
                optional={
                    "id": values,
                    "image_id": some.integers(0, 2) | values,
                    "category_id": some.integers(1, 2) | values,
                    "bbox": some.lists(numbers, min_size=4, max_size=4) | values,
                    "iscrowd": values,
                    "dp_I": values,
                },
            )
            | values,
            max_size=4,
        ),
    },
    optional={"categories": some.just([{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]) | values},
)
points = some.dictionaries(
    some.sampled_from(["q0", "q1", "z"]),
    some.fixed_dictionaries(
        {
            "main": some.lists(
                some.fixed_dictionaries({"x": numbers, "y": numbers, "cls": values, "rank": values}) | values
            )
        }
    )
    | values,
)
xmls = some.builds(
    lambda tag, size, name, corners: (
        f"<{tag}><size><width>{size}</width><height>{size}</height></size><object><name>{name}</name><bndbox>"
        + "".join(
            f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
        )
        + f"</bndbox></object></{tag}>"
    ),
    some.sampled_from(["annotation", "annotations", "x"]),
    some.sampled_from(["0", "96", "nan", "inf", "1e400", ""]),
    some.sampled_from(["cat", "Cat", "cow", "", "&amp;"]),
    some.lists(some.sampled_from(["1", "60", "-5", "1e9", "nan", "x", ""]), min_size=4, max_size=4),
)


def settles(work: Callable[[], Any]) -> None:
    """A result, or one of our errors in at most a screen."""
    message = ""
    try:
        work()
    except Weak2MaskError as error:
        message = str(error)
    assert len(message) < LONGEST, message[:500]


def imported(kind: str, file: Path) -> None:
    """As the verb does it: checked as a whole, then each image."""
    options = {"file": str(file)}
    for notice in check_annotations(kind, CATALOGUE, ("q0", "q1"), options):
        assert len(notice.text) < LONGEST
    list(annotate_catalogue(kind, CATALOGUE, None, ("q0", "q1"), options))


@pytest.mark.parametrize("kind", ["boxes", "points"])
@SETTINGS
@given(content=some.binary(max_size=300) | texts.map(str.encode) | tables.map(str.encode))
def test_any_bytes_and_any_table(tmp_path: Path, kind: str, content: bytes) -> None:
    (tmp_path / "f.csv").write_bytes(content)
    settles(lambda: imported(kind, tmp_path / "f.csv"))
    settles(lambda: read_table(tmp_path / "f.csv", ["image"]))
    settles(lambda: read_lines(tmp_path / "f.csv"))


@pytest.mark.parametrize("kind", ["boxes", "points"])
@SETTINGS
@given(content=values | cocos | points)
@example(content={"images": [{}], "annotations": [{}], "categories": [{"id": 1, "name": "cat"}]})
def test_any_json(tmp_path: Path, kind: str, content: Any) -> None:
    (tmp_path / "f.json").write_text(json.dumps(content))
    settles(lambda: imported(kind, tmp_path / "f.json"))


@SETTINGS
@given(content=some.binary(max_size=300) | texts.map(str.encode) | xmls.map(str.encode))
def test_any_xml(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "xml").mkdir(exist_ok=True)
    for id in ("q0", "q1"):
        (tmp_path / "xml" / f"{id}.xml").write_bytes(content)
    settles(lambda: read_voc_xml(tmp_path / "xml" / "q0.xml"))
    settles(lambda: imported("boxes", tmp_path / "xml"))


@pytest.mark.parametrize("kind", ["boxes", "points", "scribbles"])
@SETTINGS
@given(content=some.binary(max_size=200) | xmls.map(str.encode) | values.map(lambda value: json.dumps(value).encode()))
def test_any_folder(tmp_path: Path, kind: str, content: bytes) -> None:
    (tmp_path / "any").mkdir(exist_ok=True)
    for suffix in (".png", ".json", ".xml", ".txt", ".csv"):
        (tmp_path / "any" / f"q0{suffix}").write_bytes(content)
    settles(lambda: imported(kind, tmp_path / "any"))


def test_large_files_of_another_kind_take_no_long(tmp_path: Path) -> None:
    """Not timed: what takes squares of the size does not end here."""
    boxes = {"q0": [("cat", (1, 2, 30, 40))] * 20_000, "q1": []}
    file = coco_of(tmp_path / "f.json", boxes)
    imported("boxes", file)
    settles(lambda: imported("points", file))
    settles(lambda: read_table(file, ["image"]))
    (tmp_path / "wide.csv").write_text("a," * 40_000 + "\n")
    settles(lambda: imported("boxes", tmp_path / "wide.csv"))
    (tmp_path / "names.csv").write_text(
        "image,class,x1,y1,x2,y2\n" + "".join(f"no{k},dog{k},9,1,2,2\n" for k in range(20_000))
    )
    settles(lambda: imported("boxes", tmp_path / "names.csv"))

"""Files that are no COCO instances, and any bytes at all."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st

from models.errors import ConfigurationError, DataError
from pipeline.datasets.coco_json import read_instances
from tests.helpers.any_value import JSON, VALUE, places_in, replaced
from tests.helpers.coco_field import CATEGORIES, REGIONS, TWO, boxed, entry, make, put, refused, region, write
from tests.helpers.coco_folder import HEIGHT, WIDTH, runs, square

# Files of another kind


DETECTION = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9}


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        ([DETECTION], "a list of results, 1 detections without images and categories"),
        ([], "a JSON list of 0 entries"),
        ([{"id": 1, "file_upload": "a.png", "annotations": []}], "a JSON list of 1 entries"),
        ("text", "JSON of text"),
        (3, "JSON of 3"),
        (None, "JSON of None"),
        ({"images": TWO, "categories": CATEGORIES}, "a list of 2 images without annotations (an image_info file)"),
        ({"images": [], "annotations": [], "categories": CATEGORIES}, "an empty list `images`"),
        ({"images": TWO, "annotations": REGIONS, "categories": []}, "an empty list `categories`"),
        ({"images": TWO, "annotations": {}, "categories": []}, "no list `annotations` but dict"),
        ({"images": TWO, "annotations": [{"image_id": 1, "segments_info": []}], "categories": []}, "COCO panoptic"),
        ({"images": TWO, "annotations": [{"image_id": 1, "caption": "a leaf"}]}, "a file of captions"),
        ({"images": TWO, "annotations": [{"image_id": 1, "category_id": 1, "keypoints": []}], "categories": CATEGORIES},
         "a file of keypoints without regions"),
        ({"version": "5.0", "flags": {}, "shapes": []}, "no list `images`, `annotations`, `categories` (keys: version"),
        ({"images": TWO, "annotations": [region(7, 1, []), region(8, 1, [])], "categories": CATEGORIES},
         "2 annotations and not one with the id of an image: image_id are such as 7, ids of images such as 1"),
    ],
)  # fmt: skip
def test_other_json_is_one_sentence(tmp_path: Path, content: Any, fragment: str) -> None:
    write(tmp_path)
    put(tmp_path, json.dumps(content))
    message = refused(tmp_path)
    assert fragment in message
    assert message.count("\n") == 0


@pytest.mark.parametrize(
    ("data", "fragment"),
    [
        (b"", "an empty file (0 bytes)"),
        (b"\xef\xbb\xbf \n", "an empty file (5 bytes)"),
        (gzip.compress(b"{}", mtime=0), "a gzip archive. Remedy: unpack it"),
        (b"PK\x03\x04rest", "a zip archive. Remedy: unpack it"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "a pointer of Git LFS"),
        (b"<!DOCTYPE html><html></html>", "XML or a web page"),
        (b"[" * 100_000, "JSON that is nested too deeply"),
        (b'{"a":' * 100_000, "JSON that is nested too deeply"),
        (b'{"images": [' + b"7" * 5000, "damaged JSON"),
        (b'{"name": "\xe9"}', "damaged JSON"),
        (b'{"images": []}\n{"images": []}', "damaged JSON (Extra data"),
    ],
)
def test_other_bytes_are_one_sentence(tmp_path: Path, data: bytes, fragment: str) -> None:
    put(tmp_path, data)
    message = refused(tmp_path)
    assert fragment in message
    assert message.count("\n") == 0


def test_marks_of_the_encoding_are_read_over(tmp_path: Path) -> None:
    path = write(tmp_path)
    text = path.read_text()
    for encoding in ("utf-8-sig", "utf-16"):
        path.write_bytes(text.encode(encoding))
        assert make(tmp_path)[0].ids("train") == ("a", "b")


def test_images_without_annotations_are_counted(tmp_path: Path) -> None:
    write(tmp_path, annotations=[REGIONS[0]])
    notices = make(tmp_path)[2]
    assert "1 of 2 images have no annotation (images/b.png)" in notices["images_without_annotation"]
    assert "`without_objects: skip`" in notices["images_without_annotation"]
    assert "images_without_annotation" not in make(tmp_path, without_objects="skip")[2]
    write(tmp_path, annotations=[])
    assert "expected annotations in the JSON of `splits`" in refused(tmp_path)


def test_an_input_is_not_printed_whole(tmp_path: Path) -> None:
    long = "x" * 50_000
    images = [*TWO, {"id": 3, "file_name": long}, {"id": long}]
    wrong = [
        region(1, long, []), region(long, 1, []), region(1, 1, long), region(1, 1, {"counts": long}),
        boxed(1, 1, [long] * 4),
    ]  # fmt: skip
    write(tmp_path, images, [*REGIONS, *wrong])
    refused(tmp_path)
    write(tmp_path, categories=[{"id": 1, "name": long}])
    refused(tmp_path)
    write(tmp_path)
    with pytest.raises(ConfigurationError, match="unknown class 'lead'"):
        make(tmp_path, classes=["lead"])


def settings(examples: int) -> Any:
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return hypothesis.settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=checks)


RICH: dict[str, Any] = {
    "images": [*TWO, entry(3, "images\\c.png")],
    "annotations": [
        *REGIONS,
        boxed(1, 2, [1, 1, 4, 8]),
        region(2, 1, runs(2, 2, 8, 8), bbox=[2, 2, 6, 6], iscrowd=1),
        region(1, 1, {"size": [HEIGHT, WIDTH], "counts": "f064000000000f3"}),
    ],
    "categories": CATEGORIES,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with two images."""
    root = tmp_path_factory.mktemp("any")
    write(root, files=("images/a.png", "images/b.png", "images/c.png"))
    return root


def taken_or_refused(root: Path, data: str | bytes) -> None:
    """In words that fit a screen; 100 kB that took more than linear time would run into the tests' limit."""
    path = put(root, data)
    for work in (
        lambda: read_instances(path),
        lambda: make(root),
        lambda: make(root, bad="skip", crowd="paint", upright=True),
    ):
        message = ""
        try:
            work()
        except (DataError, ConfigurationError) as error:
            message = str(error)
        assert len(message.encode()) < 8000


@pytest.mark.slow
@settings(200)
@hypothesis.given(way=st.sampled_from(places_in(RICH)[1:]), value=VALUE)
def test_any_value_in_any_place_is_taken_or_refused(place: Path, way: tuple[Any, ...], value: Any) -> None:
    taken_or_refused(place, json.dumps(replaced(RICH, way, value)))


@settings(50)
@hypothesis.given(content=JSON)
def test_any_json_is_taken_or_refused(place: Path, content: Any) -> None:
    taken_or_refused(place, json.dumps(content))


@settings(100)
@hypothesis.given(data=st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused(place: Path, data: bytes) -> None:
    taken_or_refused(place, data)


@settings(100)
@hypothesis.given(start=st.integers(0, 500), data=st.binary(min_size=1, max_size=3))
def test_a_damaged_file_is_taken_or_refused(place: Path, start: int, data: bytes) -> None:
    whole = write(place).read_bytes()
    taken_or_refused(place, whole[: start % len(whole)] + data + whole[start % len(whole) + len(data) :])


def big(count: int, **more: Any) -> list[Any]:
    return [region(1, 1, square(2, 2, 8, 8), **more) for _ in range(count)]


@pytest.mark.parametrize(
    "content",
    [
        {"images": TWO, "annotations": big(700), "categories": CATEGORIES},
        {"images": TWO, "annotations": [1] * 30_000, "categories": CATEGORIES},
        {"images": [entry(k, f"x{k}.png") for k in range(1500)], "annotations": [], "categories": CATEGORIES},
        {"images": [*TWO, *([{"id": 1}] * 10_000)], "annotations": REGIONS, "categories": CATEGORIES},
        {"images": [entry(k, f"{k}/a.png") for k in range(1500)], "annotations": REGIONS, "categories": CATEGORIES},
        {"images": TWO, "annotations": REGIONS, "categories": [{"id": k, "name": f"c{k}"} for k in range(3000)]},
        {"images": TWO, "annotations": [region(1, 1, [[1.5, 2.5] * 12_000])], "categories": CATEGORIES},
        {"images": TWO, "annotations": [region(1, 1, {"counts": "1" * 100_000})], "categories": CATEGORIES},
        {"images": [entry(1, "/".join(["a"] * 2000))] * 25, "annotations": REGIONS, "categories": CATEGORIES},
        {"images": [entry(k, "a.png", height=16384, width=16384) for k in range(1300)], "annotations": REGIONS,
         "categories": CATEGORIES},
    ],
)  # fmt: skip
def test_100_kilobytes_are_taken_or_refused(tmp_path: Path, content: Any) -> None:
    write(tmp_path)
    taken_or_refused(tmp_path, json.dumps(content))

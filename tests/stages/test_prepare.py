from __future__ import annotations

import pytest

from models.errors import DataError
from stages.prepare import Problem, duplicate_problems, id_problem, prepare, report


def bad(id: str) -> Problem:
    return Problem(id, f"images/{id}.jpg", "an image file", "an empty file (0 bytes)")


def test_good_images_pass_in_order() -> None:
    kept, left_out = prepare({"train": ["b", "a"], "val": ["c"]}, [])
    assert kept == {"train": ("b", "a"), "val": ("c",)}
    assert left_out == {}


def test_stop_reports_every_bad_image_with_path_expected_found() -> None:
    with pytest.raises(DataError) as error:
        prepare({"train": ["a", "b", "c"]}, [bad("a"), bad("c")])
    message = str(error.value)
    assert "2 problems with 2 images" in message
    assert "images/a.jpg: expected an image file, found an empty file (0 bytes)" in message
    assert "images/c.jpg" in message
    assert "on_bad_image: skip" in message


def test_skip_leaves_out_and_keeps_the_reason() -> None:
    kept, left_out = prepare({"train": ["a", "b"], "val": ["c"]}, [bad("a")], "skip")
    assert kept == {"train": ("b",), "val": ("c",)}
    assert left_out == {"a": str(bad("a"))}


def test_skip_with_nothing_left_is_an_error() -> None:
    with pytest.raises(DataError, match="No good image is left in split val"):
        prepare({"train": ["a"], "val": ["c"]}, [bad("c")], "skip")


def test_report_fits_one_screen() -> None:
    lines = report([bad(str(k)) for k in range(100)]).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "  ... and 80 more"


@pytest.mark.parametrize("id", ["a/b", "..", ".", "", "a\\b", "a..b", "../x"])
def test_ids_that_could_leave_the_folder_are_refused(id: str) -> None:
    assert id_problem(id, "list.txt line 3") is not None


@pytest.mark.parametrize("id", ["2007_000032", "IMG 1 (2)", "a.b", ".hidden", "ä"])
def test_plain_ids_are_accepted(id: str) -> None:
    assert id_problem(id, "list.txt line 3") is None


def test_duplicates_are_named_where_they_repeat() -> None:
    problems = duplicate_problems("train", [("a", "line 1"), ("b", "line 2"), ("a", "line 3")])
    assert [(p.id, p.path) for p in problems] == [("a", "line 3")]


def test_long_lines_fill_one_screen_too() -> None:
    problems = [Problem(f"s{k}", f"masks/s{k}.png", "a palette PNG", "colours " + 400 * "x") for k in range(30)]
    message = report(problems)
    assert message.count("masks/s") == 6
    assert message.endswith("... and 24 more")
    assert len(report([Problem("s", "s.png", "x", 3000 * "y")] * 5).splitlines()) == 5

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from docs.tables import all_books, differences, repeats
from models.errors import ConfigurationError, DataError
from models.metrics.image_counts import COLUMNS, PIXELS
from pipeline.book.artifacts import artifact
from pipeline.book.check import check
from pipeline.book.params import Book
from pipeline.results.tables.files import long_csv, markdown, to_json
from pipeline.results.tables.image_counts import KEYS, read_images
from pipeline.results.tables.paper import paper_table
from pipeline.results.tables.results import book_table, print_table, seed_tables
from pipeline.results.tables.rows import PaperTable
from pipeline.results.tables.text import TextTable
from tests.helpers.toy_results import toy_content, write_book, write_lock, write_results

SEEDS = {"cam": [50, 60, 70], "cam1": [50, 60, 70], "cam2": [50, 60, 70]}
BETTER = {"new": [60, 70, 80], "new1": [62, 72, 82], "new2": [61, 71, 81]}
"""Pixels right of 100 in each of three images: 10, 12 and 11 points better."""
T = 4.303
"""Student's t, 97.5 %, two degrees of freedom."""


def content(**repeats: Any) -> dict[str, Any]:
    """The toy book with three seeds of two recipes, of which one is compared with the other."""
    found = toy_content()
    found["evaluate"] |= dict.fromkeys(("cam1", "cam2", "new", "new1", "new2"), found["evaluate"]["cam"])
    plain, new = {"label": "Plain", "of": list(SEEDS)}, {"label": "New", "of": list(BETTER), "against": "plain"}
    found["table"]["repeats"] = {"plain": plain, "new": new | repeats}
    return found


def write_images(name: str, right: list[int], ids: str = "abc") -> None:
    """images.csv of an evaluation of ``work/toy``: one class, in the truth 100 pixels and 100 of its boundary an image.

    The prediction has as many; a gain of one right pixel is one of two matched ones of the boundary.
    """
    matched = [2 * k - 100 for k in right]
    rows = ((id, "cat", 100, k, k, 100, 100, m, m) for id, k, m in zip(ids, right, matched, strict=True))
    lines = [",".join(map(str, row)) for row in ((*KEYS, *COLUMNS), *rows)]
    (artifact("work/toy", "evaluations", name) / "images.csv").write_text("\n".join(lines) + "\n")


def difference_table(book: Book) -> TextTable:
    return seed_tables(book)[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEAK2MASK_TRACKING", "off")
    return tmp_path


def made(folder: Path, given: dict[str, Any] | None = None) -> PaperTable:
    """The table of a book whose six evaluations have been made."""
    book = write_book(folder, given or content())
    write_results(book, {name: sum(right) / 3 for name, right in (SEEDS | BETTER).items()})
    write_lock(book, given or content())
    for name, right in (SEEDS | BETTER).items():
        write_images(name, right)
    return paper_table(book, {})


def test_seeds_are_paired_and_shown_with_an_interval(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two of the differences 10, 11 and 12 are drawn: the deviation of their mean is sqrt(1 / 3)."""
    table = made(folder)
    found, contours = json.loads(to_json(table))["comparisons"]
    for each, score, gain in ((found, "miou", 11), (contours, "boundary_f", 22)):
        assert (each["row"], each["against"], each["verdict"], each["images"]) == ("new", "plain", "better", 3)
        assert each["evaluations"] == [["new", "cam"], ["new1", "cam1"], ["new2", "cam2"]]
        assert (each["metric"], each["difference"]) == (score, pytest.approx(gain))
        half = gain / 11 * T * (1 / 3) ** 0.5
        assert (each["low"], each["high"]) == pytest.approx((gain - half, gain + half), abs=0.3)
    shown, of_contours = (f"{each['low']:+.1f} to {each['high']:+.1f}" for each in (found, contours))
    assert f"| New | Plain | mean of seeds | mIoU | 3 | +11.0 | {shown} | better |" in markdown(table)
    assert f"| New | Plain | mean of seeds | boundary F | 3 | +22.0 | {of_contours} | better |" in markdown(table)
    assert "compares two trained networks" not in markdown(table)
    lines = {
        row["column"]: row for row in csv.DictReader(io.StringIO(long_csv(table))) if row["label"] == "New - Plain"
    }
    assert {key: float(row["value"]) for key, row in lines.items()} == {
        f"{each['metric']}_difference{end}": each[key]
        for each in (found, contours)
        for end, key in (("", "difference"), ("_low", "low"), ("_high", "high"))
    }
    page = differences(json.loads(to_json(table)))
    assert f"| New | Plain | mean of seeds | mIoU | better | 3 | +11.0 | {shown} |" in page
    assert f"| New | Plain | mean of seeds | boundary F | better | 3 | +22.0 | {of_contours} |" in page
    print_table(table)
    assert "better" in capsys.readouterr().out
    assert to_json(made(folder)) == to_json(table)


def test_recipes_are_compared_in_the_columns_that_both_have(folder: Path) -> None:
    given = content()
    given["table"]["recipes"] = {"one": {"label": "One", "cam": "cam"}, "two": {"cam": "new", "against": "one"}}
    table = made(folder, given)
    first, contours, *_ = json.loads(to_json(table))["comparisons"]
    assert (first["of"], first["column"], first["evaluations"]) == ("CAM", "cam", [["new", "cam"]])
    assert first["difference"] == pytest.approx(10)
    assert (first["verdict"], first["seeds"]) == ("one seed", "1")
    assert "compares two trained networks, not two methods" in markdown(table)
    assert (contours["of"], contours["metric"], contours["difference"]) == ("CAM", "boundary_f", pytest.approx(20))
    assert "cam_difference_low" in long_csv(table)
    assert "cam_boundary_f_difference_low" in long_csv(table)


def test_evaluations_without_counts_say_what_to_run(folder: Path) -> None:
    made(folder)
    (artifact("work/toy", "evaluations", "new1") / "images.csv").unlink()
    table = difference_table(write_book(folder, content()))
    reason = "no counts of single images for {}; run evaluate@new1 again"
    assert table.cells == tuple(
        ("New", "Plain", "mean of seeds", score, "3", "-", "-", reason.format(score))
        for score in ("mIoU", "boundary F")
    )


def test_evaluations_from_before_boundaries_were_counted_have_an_interval_of_miou_alone(folder: Path) -> None:
    made(folder)
    path = artifact("work/toy", "evaluations", "new1") / "images.csv"
    path.write_text("".join(f"{','.join(line.split(',')[:5])}\n" for line in path.read_text().splitlines()))
    regions, contours = difference_table(write_book(folder, content())).cells
    assert regions[-1] == "better"
    assert contours[-1] == "no counts of single images for boundary F; run evaluate@new1 again"


def test_boundaries_that_match_at_another_distance_are_not_compared(folder: Path) -> None:
    made(folder)
    given = content()
    for name in BETTER:
        given["evaluate"][name] = given["evaluate"][name] | {"options": {"bound_th": 0.02}}
    regions, contours = difference_table(write_book(folder, given)).cells
    assert regions[-1] == "better"
    assert contours[-1] == "evaluated with another bound_th"
    for name in SEEDS:  # the default, written out
        given["evaluate"][name] = given["evaluate"][name] | {"options": {"bound_th": 0.008}}
    for name in BETTER:
        given["evaluate"][name] = given["evaluate"][name] | {"options": {}}
    assert difference_table(write_book(folder, given)).cells[1][-1] == "better"


@pytest.mark.parametrize(
    ("right", "ids", "reason"),
    [
        ([60, 70, 80], "abd", "evaluated on other images"),
        ([60, 70, 80], "acb", "evaluated on other images"),
    ],
)
def test_other_images_are_not_compared(folder: Path, right: list[int], ids: str, reason: str) -> None:
    made(folder)
    write_images("new", right, ids)
    assert difference_table(write_book(folder, content())).cells[0][-1] == reason


def test_another_truth_is_not_compared(folder: Path) -> None:
    made(folder)
    path = artifact("work/toy", "evaluations", "new") / "images.csv"
    path.write_text(path.read_text().replace("a,cat,100", "a,cat,90"))
    assert "same ground truth" in difference_table(write_book(folder, content())).cells[0][-1]


def test_pairs_that_are_not_made_are_left_out_and_old_numbers_marked(folder: Path) -> None:
    made(folder)
    (artifact("work/toy", "evaluations", "new2") / "metrics.json").unlink()
    changed = content()
    changed["export_cams"]["cam"]["options"] = {"scales": [1.0]}
    row = difference_table(write_book(folder, changed)).cells[0]
    assert (row[0], row[4]) == ("New†", "2 of 3")
    assert not made(folder, content(against=None)).comparisons


def test_a_book_of_which_a_part_is_measured_says_what_is_missing(folder: Path) -> None:
    """One seed of one row, none of the other: no spread, no comparison, and the missing rows by name."""
    book = write_book(folder, content())
    write_results(book, {"new": 70.0})
    write_lock(book, content())
    table = paper_table(book, {})
    found = json.loads(to_json(table))
    (row,) = found["repeats"]
    assert (row["seeds"], row["miou"]["std"], found["comparisons"]) == ("1 of 3", None, [])
    assert "| New | train | 1 of 3 | 70.0 | 30.0 |" in markdown(table)
    assert "| New | 1 of 3 | 70.0 | 30.0 |" in repeats(found)
    missing = "1 of 2 rows over seeds (Plain)"
    assert missing in found["missing"]
    assert found["missing"] in markdown(table)
    assert found["missing"] in all_books({"toy": found})
    write_results(book, {"cam": 60.0})
    write_images("new", [70, 75], "ab")
    write_images("cam", [60, 70], "ab")
    regions, _ = difference_table(book).cells
    assert regions[4] == "1 of 3"
    assert missing not in paper_table(book, {}).missing


def test_the_table_of_a_stage_takes_no_time_for_intervals(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(folder)
    monkeypatch.setattr("pipeline.results.tables.comparisons.paired_difference", lambda *_, **__: pytest.fail("drawn"))
    assert len(book_table(write_book(folder, content())).cells) == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found 'nothing'"),
        ("id,x\n", "expected the columns image, label"),
        (",".join((*KEYS, *COLUMNS[:5])) + "\n", "expected the columns image, label"),
        (",".join((*KEYS, *PIXELS)) + "\na,cat,1,2,x\n", "3 counts in line 2"),
        (",".join((*KEYS, *COLUMNS)) + "\na,cat,1,2,3\n", "7 counts in line 2"),
    ],
)
def test_broken_counts(folder: Path, text: str, message: str) -> None:
    path = folder / "images.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_images(path)


@pytest.mark.parametrize(
    ("repeats", "message"),
    [
        ({"against": "plane"}, r"table.repeats.new.against: no row 'plane' there. Did you mean 'plain'\?"),
        ({"against": "new"}, "table.repeats.new.against: expected another row, found the row itself."),
        ({"of": ["segmenter_val"]}, "table.repeats.new.against: expected a row of one kind on the same images"),
    ],
)
def test_the_check_knows_the_other_row(folder: Path, repeats: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check(write_book(folder, content(**repeats)))

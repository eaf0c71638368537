from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from models.errors import DataError, Weak2MaskError
from pipeline.__main__ import app
from pipeline.book.head import RecipeRow
from pipeline.book.params import Book
from pipeline.results.tables import paper as paper_module
from pipeline.results.tables.evaluations import read_metrics
from pipeline.results.tables.files import long_csv, markdown, recipe_table, to_json, write_table
from pipeline.results.tables.latex import escaped, latex
from pipeline.results.tables.notes import todo_lines
from pipeline.results.tables.paper import paper_table
from pipeline.results.tables.results import book_table, print_runs, print_table
from pipeline.results.tables.rows import PaperTable
from pipeline.results.tables.text import TextTable
from pipeline.tracking import runs as runs_module
from pipeline.tracking.runs import RecordedStage
from tests.helpers.toy_results import MIOU, metrics, toy_content, write_book, write_lock, write_results

IRN = ("IRN, ResNet-50", "48.3", "66.5", "63.5")
RUN = RecordedStage("evaluate@cam", "work/toy/evaluations/cam/metrics.json", "0123", "f" * 32, "http://host/#/runs/f")


def content() -> dict[str, Any]:
    """The toy book with predictions under a CRF too, and a character that every format has to escape."""
    found = toy_content()
    found["table"]["title"] = "CAM_1 & 50 % | #2"
    found["predict_masks"]["tested"] = found["predict_masks"]["segmenter"] | {
        "crf": {"preset": "irn"},
        "options": {"scales": [0.5, 1.0], "flip": True},
    }
    found["evaluate"]["val_crf"] = {"data": "toy", "of": "masks/tested"}
    return found


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEAK2MASK_TRACKING", "off")
    book = write_book(tmp_path, content())
    write_results(book, MIOU | {"val_crf": 76.2})
    write_lock(book, content())
    return book


@pytest.fixture
def table(book: Book) -> PaperTable:
    return paper_table(book, {RUN.stage: RUN})


def test_a_row_has_a_number_for_each_column_and_the_published_ones_apart(table: PaperTable) -> None:
    shown = recipe_table(table)
    assert shown.columns == (
        "recipe", "CAM (train)", "pseudo-masks (train)", "prediction, no CRF (val)", "prediction, CRF (val)",
        "boundary F (val)", "% of full", "published method", "published CAM (VOC 2012 train)",
        "published pseudo-masks (VOC 2012 train)", "published prediction, CRF (VOC 2012 val)",
    )  # fmt: skip
    assert shown.cells == (
        ("Plain CAM + dense CRF", *("60.7", "79.2", "75.5", "76.2", "30.0", "-"), *IRN),
        ("Full supervision", "-", "-", "84.9", "-", "30.0", "100.0", "-", "-", "-", "-"),
    )
    assert any("VOC 2012" in note and "toy (toy)" in note and "do not compare" in note for note in shown.notes)


def test_full_supervision_is_compared_under_the_same_test_settings_only(table: PaperTable) -> None:
    assert table.shares["segmenter_val"] == pytest.approx(100 * 75.489 / 84.922)
    assert table.shares["val_crf"] is None
    assert table.shares["cam"] is None


def test_a_background_of_the_methods_own_is_no_other_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = content()
    options = {"average": "probabilities", "background": 0.3}
    found["predict_masks"]["own"] = found["predict_masks"]["segmenter"] | {"options": options}
    found["evaluate"]["val_own"] = {"data": "toy", "of": "masks/own"}
    book = write_book(tmp_path, found)
    write_results(book, MIOU | {"val_crf": 76.2, "val_own": 70.0})
    write_lock(book, found)
    assert paper_table(book, {}).shares["val_own"] == pytest.approx(100 * 70 / 84.922)


def test_where_a_number_comes_from(table: PaperTable) -> None:
    cam, pseudo, raw = (table.numbers[name].provenance for name in ("cam", "pseudo_masks", "segmenter_val"))
    tested = table.numbers["val_crf"].provenance
    assert [source["labels_at_inference"] for source in (cam, pseudo, raw)] == ["image tags", "image tags", "none"]
    assert (cam["scales"], raw["scales"], tested["scales"]) == ([0.75, 1.0, 1.5], [1.0], [0.5, 1.0])
    assert cam["crf"] is raw["crf"] is None
    assert (pseudo["crf"]["bilateral_sxy"], tested["crf"]["preset"]) == (40, "irn")
    assert cam["thresholds"] == {"best_threshold": 0.53, "fixed_threshold": 0.25}
    assert pseudo["thresholds"] == {"rule": "complement", "peak": 0.0, "confidence": 0.0}
    assert cam["init"] == ["random: random"]
    assert [(each["name"], each["labels"]) for each in raw["trained"]] == [
        ("classifier", "image tags"),
        ("segmenter", "pseudo-masks"),
    ]
    assert table.numbers["full_val"].provenance["trained"][-1]["labels"] == "ground-truth masks"
    assert cam["dvc"]["cams/cam"] == "cams/cam.dir"
    assert cam["mlflow"] == {"evaluate@cam": {"run": "f" * 32, "url": "http://host/#/runs/f"}, "export_cams@cam": None}
    assert [each["stage"] for each in cam["stages"]][-2:] == ["export_cams@cam", "evaluate@cam"]


def test_markdown_has_a_footnote_for_each_number(table: PaperTable) -> None:
    text = markdown(table)
    cited, noted = set(re.findall(r"\[\^(\w+)\](?!:)", text)), set(re.findall(r"^\[\^(\w+)\]:", text, re.MULTILINE))
    assert cited == noted >= {"cam", "val_crf", "published_plain_cam"}
    assert "[ffffffff](http://host/#/runs/f)" in text
    assert "`export_cams@cam` no run" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows[:4]} == {12}


def test_csv_has_a_line_for_each_number(table: PaperTable) -> None:
    lines = list(csv.DictReader(io.StringIO(long_csv(table))))
    found = {(line["recipe"], line["origin"], line["column"]): line for line in lines}
    assert len(found) == len(lines) == 11
    cam = found["plain", "ours", "cam"]
    assert (float(cam["value"]), cam["data"], cam["split"], cam["mlflow_run"]) == (
        60.677,
        "toy (toy)",
        "train",
        "f" * 32,
    )
    assert json.loads(found["plain", "ours", "val_crf"]["crf"])["preset"] == "irn"
    published = found["plain", "published", "cam"]
    assert (published["value"], published["data"], published["split"]) == ("48.3", "VOC 2012", "train")
    assert published["source"]


def test_latex_holds_together(table: PaperTable) -> None:
    text = latex(table)
    body = [line for line in text.splitlines() if not line.startswith("%")]
    plain = re.sub(r"\\[\\&%$#_{}]", "", "\n".join(body))
    assert plain.count("{") == plain.count("}")
    assert re.findall(r"\\(begin|end)\{(\w+)\}", text) == [
        ("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table")
    ]  # fmt: skip
    (columns,) = re.findall(r"\\begin\{tabular\}\{(\w+)\}", text)
    rows = [line for line in body if line.endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns)}
    spans = [int(width) for width in re.findall(r"\\multicolumn\{(\d+)\}", text)]
    assert 1 + sum(spans) == len(columns)
    assert r"CAM\_1 \& 50 \% | \#2" in text
    assert "VOC 2012 train" in text


def test_latex_escapes_everything() -> None:
    assert escaped("a_b%c&d#e{f}$g") == r"a\_b\%c\&d\#e\{f\}\$g"


def test_json_holds_everything(table: PaperTable) -> None:
    found = json.loads(to_json(table))
    plain, full = found["recipes"]
    assert plain["miou"]["val"] == 75.489
    assert plain["published"]["numbers"]["cam"]["source"]
    assert full["published"] is None
    assert found["evaluations"]["cam"]["provenance"]["split"] == "train"
    assert plain["up_to_date"] is True


def test_files_are_written_and_stay_the_same(table: PaperTable, tmp_path: Path) -> None:
    first = {path: path.read_bytes() for path in write_table(table).values()}
    assert sorted(path.name for path in first) == ["table.csv", "table.json", "table.md", "table.tex"]
    assert {path: path.read_bytes() for path in write_table(table).values()} == first


def test_out_of_date_is_marked_everywhere(book: Book, tmp_path: Path) -> None:
    changed = content()
    changed["export_cams"]["cam"]["options"]["flip"] = False
    table = paper_table(write_book(tmp_path, changed), {})
    assert recipe_table(table).cells[0][1:4] == ("60.7†", "79.2†", "75.5†")
    assert recipe_table(table).cells[1][3] == "84.9"
    assert "60.7†[^cam]" in markdown(table)
    assert "Out of date: export\\_cams@cam ran with other settings: options.flip" in markdown(table)
    assert r"60.7$^\dagger$" in latex(table)
    assert json.loads(to_json(table))["recipes"][0]["up_to_date"] is False
    assert table.numbers["cam"].provenance["flip"] is True, "as it was made, not as the book says now"
    (todo,) = table.todo
    assert "evaluate@cam" in todo
    assert "full_val" not in todo


def test_what_is_missing_is_named_with_what_to_run(book: Book) -> None:
    for name in ("val_crf", "cam"):
        (Path(book.book.work) / "evaluations" / name / "metrics.json").unlink()
    table = paper_table(book, {})
    assert recipe_table(table).cells[0][:5] == ("Plain CAM + dense CRF", "-", "79.2", "75.5", "-")
    assert table.todo == ("Not evaluated yet: cam, val_crf. Run: python -m pipeline run evaluate@cam evaluate@val_crf",)


def test_what_no_target_wants_is_summed_up(book: Book) -> None:
    for name in ("val_crf", "cam", "full_val"):
        (Path(book.book.work) / "evaluations" / name / "metrics.json").unlink()
    settings = book.book.model_copy(update={"targets": ["evaluate@cam", "evaluate@pseudo_masks"]})
    assert paper_table(book.model_copy(update={"book": settings}), {}).todo == (
        "Not evaluated yet: cam. Run: python -m pipeline run evaluate@cam",
        "2 more can be made: python -m pipeline run evaluate@NAME (full_val, val_crf).",
    )
    more = {f"more_{k}": book.evaluate["cam"] for k in range(9)}
    settings = settings.model_copy(update={"path": "recipes/x"})
    book = book.model_copy(update={"book": settings, "evaluate": book.evaluate | more})
    done = {name: SimpleNamespace(stale=()) for name in ("cam", "pseudo_masks")}
    (line,) = todo_lines(book, done)  # type: ignore[arg-type]
    assert line.startswith("12 more can be made: python -m pipeline run evaluate@NAME --book recipes/x (")
    assert line.endswith(", ...).")
    assert line.count(",") == 5


def test_nothing_evaluated(book: Book, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "work").rename(tmp_path / "elsewhere")
    table = paper_table(book)
    print_table(table)
    printed = capsys.readouterr().out
    assert "Run: python -m pipeline run\n" in printed
    assert "48.3" in printed, "what was published stands beside empty cells"
    for text in (markdown(table), long_csv(table), latex(table), to_json(table)):
        assert "60.7" not in text


def test_after_a_run_only_rows_with_a_number_are_shown(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    empty = {"label": "Not yet", "published": "irn"}
    more = book.table.model_copy(update={"recipes": book.table.recipes | {"other": RecipeRow.model_validate(empty)}})
    table = paper_table(book.model_copy(update={"table": more}), {})
    print_table(table)
    assert "Not yet" in capsys.readouterr().out
    print_table(table, filled=True)
    printed = capsys.readouterr().out
    assert "Not yet" not in printed
    assert "Recipes without a number are left out (1)" in printed


def test_square_brackets_are_text(tmp_path: Path, book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    named = content()
    named["table"]["recipes"]["plain"]["label"] = "CAM [ours] [/w CRF]"
    named["table"]["title"] = "[bold]Title"
    table = paper_table(write_book(tmp_path, named), {})
    print_table(replace(table, warnings=("Warning (prepare@toy): `classes: [cat, dog]` leaves it out.",)))
    printed = capsys.readouterr().out
    assert "CAM [ours] [/w" in printed
    assert "[bold]Title" in printed
    assert "`classes: [cat, dog]` leaves it out." in printed


def test_a_table_is_printed_where_nothing_may_be_written(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    Path("report").write_text("a file where the folder should be")
    found = CliRunner().invoke(app, ["table"])
    assert (found.exit_code, "Plain CAM + dense CRF" in found.stdout) == (0, True)
    assert "warning: no files are written under report/" in found.stderr


def test_a_book_that_evaluates_nothing(book: Book, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = content() | {"evaluate": {}, "table": {}}
    print_table(paper_table(write_book(tmp_path, nothing), {}))
    assert "evaluates nothing" in capsys.readouterr().out


def test_mlflow_that_does_not_answer_breaks_nothing(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_: Path) -> Any:
        raise Weak2MaskError("MLflow at http://host does not answer: refused\nRemedy: start it")

    monkeypatch.setattr(paper_module, "known_runs", silent)
    table = paper_table(book)
    assert table.todo == ("Without MLflow runs: MLflow at http://host does not answer: refused",)
    assert table.numbers["cam"].provenance["mlflow"]["evaluate@cam"] is None


@pytest.mark.parametrize("tracking", ["off", "on"])
def test_no_store_of_runs_is_made_to_look_into_it(
    book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracking: str
) -> None:
    monkeypatch.setenv("WEAK2MASK_TRACKING", tracking)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = set(tmp_path.rglob("*"))
    assert "no run" in markdown(paper_table(book))
    assert set(tmp_path.rglob("*")) == before


def test_the_evaluations_of_a_book(book: Book) -> None:
    found = book_table(book)
    assert found.columns == (
        "evaluation", "of", "split", "mIoU", "at", "boundary F", "pixel acc.", "at fixed", "% of full", "md5",
    )  # fmt: skip
    assert [row[:9] for row in found.cells][:3] == [
        ("cam", "cams/cam", "train", "60.7", "0.53", "30.0", "88.0", "44.1 (0.25)", "-"),
        ("pseudo_masks", "supervision/cam_crf", "train", "79.2", "-", "30.0", "88.0", "-", "-"),
        ("segmenter_val", "masks/segmenter", "val", "75.5", "-", "30.0", "88.0", "-", "88.9"),
    ]


def test_a_bound_of_zero_divides_nothing(book: Book) -> None:
    write_results(book, {"full_val": 0.0})
    assert paper_table(book, {}).shares["segmenter_val"] is None


def test_numbers_are_whole_on_120_columns(table: PaperTable, capsys: pytest.CaptureFixture[str]) -> None:
    print_table(table)
    printed = capsys.readouterr().out
    assert max(len(line) for line in printed.splitlines()) <= 120
    (line,) = [line for line in printed.splitlines() if line.startswith("pseudo_masks ")]
    assert line.split()[:4] == ["pseudo_masks", "supervision/cam_crf", "train", "79.2"]
    assert re.search(r"^Plain CAM \+ dense CRF +60.7 +79.2 +75.5 +76.2 +30.0 +-$", printed, re.MULTILINE)


def test_results_as_markdown() -> None:
    found = TextTable("", ("what", "of", "split", "mIoU"), (("a", "b", "c", "1.0"),))
    assert found.markdown() == "| what | of | split | mIoU |\n| --- | --- | --- | ---: |\n| a | b | c | 1.0 |\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected JSON"),
        ("[]", "a JSON object"),
        (json.dumps({"of": "cams/x", "split": "val"}), "not there.*miou"),
    ],
)
def test_broken_metrics(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_metrics(path)
    assert str(path) in str(caught.value)
    assert "evaluate" in str(caught.value)
    assert read_metrics(tmp_path / "none.json") is None
    assert metrics("masks/x", 1.0)["miou"] == 1.0


def test_runs(book: Book, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        RecordedStage("train@cam", "work/toy/checkpoints/cam", "0123456789.dir", "f" * 32),
        RecordedStage("code", "work/toy/code", "abcdefabcdef", None),
    ]
    monkeypatch.setattr(runs_module, "find_runs", {Path("dvc.lock"): found}.__getitem__)
    print_runs(book)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["train@cam", "work/toy/checkpoints/cam", "01234567", "f" * 32] in lines
    assert ["code", "work/toy/code", "abcdefab", "-"] in lines


def test_seeds_are_shown_as_mean_and_spread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEAK2MASK_TRACKING", "off")
    found = content()
    found["evaluate"] |= dict.fromkeys(("again", "more", "unmade"), found["evaluate"]["cam"])
    found["table"]["repeats"] = {
        "cams": {"label": "Plain CAM", "of": ["cam", "again", "more"]},
        "part": {"of": ["again", "unmade"]},
        "nothing": {"of": ["unmade"]},
    }
    book = write_book(tmp_path, found)
    write_results(book, {"cam": 40.0, "again": 42.0, "more": 44.0})
    made = paper_table(book, {})
    assert "| Plain CAM† | train | 3 | 42.0 ± 2.0 | 30.0 ± 0.0 |" in markdown(made)  # † as nothing is in dvc.lock
    assert "| part† | train | 1 of 2 | 42.0 |" in markdown(made)
    assert [row["key"] for row in json.loads(to_json(made))["repeats"]] == ["cams", "part"]
    assert json.loads(to_json(made))["repeats"][0]["miou"] == {"mean": 42.0, "std": 2.0, "values": [40.0, 42.0, 44.0]}
    lines = {(row["recipe"], row["column"]): row["value"] for row in csv.DictReader(io.StringIO(long_csv(made)))}
    assert lines["cams", "miou_std"] == "2.0"


def test_lists_of_the_benchmarks_size_compare(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, images in {**dict.fromkeys(MIOU, 1449), "val_crf": 1449}.items():
        path = Path(book.book.work) / "evaluations" / name / "metrics.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "images": images}))
    assert not any("do not compare" in note for note in recipe_table(paper_table(book, {})).notes)

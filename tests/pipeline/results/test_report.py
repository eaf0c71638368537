"""The folder of a report: what is in it, what it says, and when it is not written."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from models.errors import ConfigurationError, DataError
from models.structures import Supervision
from pipeline.__main__ import app
from pipeline.binders.common import header
from pipeline.pictures.gallery import gallery_sheet
from pipeline.results.report import rows as rows_module
from pipeline.results.report.choosing import Choice, choose
from pipeline.results.report.images import save_fill, save_heat, save_outline, save_photo
from pipeline.results.report.page import write_report
from pipeline.results.report.plots import class_figure, loss_lines, sweep_lines
from pipeline.results.report.scores import image_iou, mean_iou
from pipeline.results.report.state import book_state
from pipeline.storage.stores import SupervisionStore
from pipeline.storage.sums import FILE
from tests.helpers import made_book, toy_results


class Page(HTMLParser):
    """The links and words of a page, and its data."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.words: list[str] = []
        self._script = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        self._script = dict(attrs).get("type") or "" if tag == "script" else ""

    def handle_endtag(self, tag: str) -> None:
        self._script = ""

    def handle_data(self, data: str) -> None:
        if self._script == "application/json":
            self.data: dict[str, Any] = json.loads(data)
        elif data.strip():
            self.words.append(data.strip())

    @property
    def pictures(self) -> set[str]:
        layers = [layer for row in self.data["rows"] for cell in row["cells"].values() for layer in cell]
        files = [file for layer in layers for file in (layer["fill"], layer["line"]) if file]
        return {*files, *(row["photo"] for row in self.data["rows"])}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEAK2MASK_WORKERS", "0")
    return tmp_path


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_report_is_whole_and_needs_nothing_from_outside(folder: Path) -> None:
    book = made_book.book()
    made_book.make(book)
    index = write_report(book)
    page = Page(index)
    assert index == Path("report/made/index.html")
    loaded = {link for link in page.links if not link.startswith(("#", "data:"))}
    assert loaded | page.pictures == set(bytes_of(index.parent)) - {"index.html"}
    assert [column["key"] for column in page.data["columns"]] == [
        *("cams/cam", "cams/crf", "supervision/pseudo", "masks/net", "masks/full", "truth")
    ]
    assert [row["id"] for row in page.data["rows"]] == [*made_book.IDS["train"], *made_book.IDS["val"]]
    assert set(page.data["rows"][0]["cells"]) == {"cams/cam", "cams/crf", "supervision/pseudo", "truth"}
    assert [layer["classes"] for layer in page.data["rows"][0]["cells"]["cams/cam"]] == [[1], [2]]
    assert "Not made yet" in page.words  # what the book says and nobody made: the annotations, say


def test_every_image_is_judged_by_every_evaluation_of_it(folder: Path) -> None:
    book = made_book.book()
    made_book.make(book)
    rows = {row["id"]: row for row in Page(write_report(book)).data["rows"]}
    assert set(rows["t0"]["scores"]) == {"cam", "pseudo"}
    assert set(rows["v0"]["scores"]) == {"net", "full"}
    assert rows["v2"]["scores"]["full"] == {"mean": 100.0, "0": 100.0, "1": 100.0, "2": 100.0}
    net = rows["v2"]["scores"]["net"]
    assert net["mean"] == pytest.approx((net["0"] + net["1"] + net["2"]) / 3, abs=0.06)
    assert net["mean"] < 90
    assert [split["by"] for split in Page(Path("report/made/index.html")).data["splits"]] == ["pseudo", "net"]


def test_a_store_of_a_part_of_a_split_is_shown(folder: Path) -> None:
    book = made_book.book()
    catalogue = made_book.make(book, stages=("cams/cam",))
    part = catalogue.ids("train")[1:3]
    writer = SupervisionStore.create(folder / "work/made/supervision/pseudo", header(catalogue, part))
    writer.write(0, [Supervision(np.array([True, False]), made_book.mask_of(catalogue, id)) for id in part])
    writer.finish()
    page = Page(write_report(book))
    assert not any("no split" in words for words in page.words)
    cells = {row["id"]: set(row["cells"]) for row in page.data["rows"]}
    assert cells["t0"] == {"cams/cam", "truth"}
    assert cells[part[0]] == {"cams/cam", "supervision/pseudo", "truth"}
    shutil.rmtree(folder / "work/made/cams/cam")
    rows = Page(write_report(book)).data["rows"]
    assert [(row["id"], set(row["cells"])) for row in rows] == [(id, {"supervision/pseudo", "truth"}) for id in part]


def test_iou_of_an_image_is_over_the_labels_that_are_there() -> None:
    truth = np.array([[0, 0, 2, 2], [0, 0, 2, 255]], np.uint8)
    prediction = np.array([[0, 0, 0, 2], [0, 3, 2, 1]], np.uint8)
    assert image_iou(prediction, truth, 5) == {0: 3 / 5, 2: 2 / 3, 3: 0.0}
    assert mean_iou(image_iou(prediction, truth, 5)) == pytest.approx((3 / 5 + 2 / 3) / 3)
    assert mean_iou(image_iou(prediction, np.full_like(truth, 255), 5)) is None


def test_names_are_text_and_never_markup(folder: Path) -> None:
    book = made_book.book()
    made_book.make(book)
    index = write_report(book)
    html = index.read_text()
    for markup in ("<b>dog", "<b>bold", "<boundary>", "'<i>"):
        assert markup not in html
    page = Page(index)
    assert "Made & <b>bold</b>" in page.words
    assert page.data["classes"][1]["name"] == made_book.CLASSES[1]
    assert page.data["plots"]["bars"]["data"][0]["x"] == ["background", "cat", "&lt;b&gt;dog&lt;/b&gt; &amp; co"]


def test_the_same_artefacts_give_the_same_bytes(folder: Path) -> None:
    book = made_book.book()
    made_book.make(book)
    first = bytes_of(write_report(book).parent)
    assert bytes_of(write_report(book, folder=Path("elsewhere")).parent) == first


def test_processes_write_the_same_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = made_book.book()
    made_book.make(book)
    first = bytes_of(write_report(book).parent)
    monkeypatch.setattr(rows_module, "FEW", 0)
    monkeypatch.setenv("WEAK2MASK_WORKERS", "1")
    assert bytes_of(write_report(book).parent) == first


def test_a_new_report_replaces_the_old_one_when_it_is_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = made_book.book()
    made_book.make(book)
    index = write_report(book)
    (index.parent / "pictures" / "old.png").touch()
    before = bytes_of(index.parent)

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.results.report.page.plotly_js", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_report(book)
    assert bytes_of(index.parent) == before
    write_report(book, Choice(1))
    assert "pictures/old.png" not in bytes_of(index.parent)
    assert [path.name for path in Path("report").iterdir()] == ["made"]


@pytest.mark.parametrize("found", ["file", "folder"])
def test_what_is_no_report_is_left_alone(folder: Path, found: str) -> None:
    book = made_book.book()
    made_book.make(book)
    there = Path("report/made")
    there.parent.mkdir()
    if found == "file":
        there.write_text("mine")
    else:
        there.mkdir()
        (there / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="is no report"):
        write_report(book)
    assert b"mine" in bytes_of(folder / "report").values()


def test_the_files_of_the_table_are_kept(folder: Path) -> None:
    book = made_book.book()
    made_book.make(book)
    table = Path("report/made/table.md")
    table.parent.mkdir(parents=True)
    table.write_text("| a |")
    for _ in range(2):
        assert write_report(book, Choice(1)).is_file()
        assert table.read_text() == "| a |"


@pytest.mark.parametrize("stages", [(), ("data",)])
def test_nothing_made_says_what_to_run(folder: Path, stages: tuple[str, ...]) -> None:
    book = made_book.book()
    if stages:
        made_book.make(book, stages=())
    with pytest.raises(DataError, match="Run the book first: python -m pipeline run"):
        write_report(book)
    assert not Path("report").exists()


def test_cams_alone_without_ground_truth(folder: Path) -> None:
    book = made_book.book()
    made_book.make(book, truth=False, stages=["cams/cam"])
    page = Page(write_report(book))
    assert [column["key"] for column in page.data["columns"]] == ["cams/cam"]
    assert all(row["scores"] == {} and list(row["cells"]) == ["cams/cam"] for row in page.data["rows"])
    assert page.data["rows"][0]["present"] == [1, 2]
    none = dict.fromkeys(("bars", "labels", "sweep", "boxes"))
    assert page.data["plots"] == none | {"training": [], "confusion": []}
    assert {"evaluate@net", "cams@crf"} & set(page.words) == {"evaluate@net"}
    assert "refine_cams@crf" in page.words


def test_trainings_alone(folder: Path) -> None:
    book = made_book.book()
    made_book.make(book, truth=False, stages=["train"])
    page = Page(write_report(book))
    assert page.data["rows"] == []
    (panel,) = page.data["plots"]["training"]
    assert [trace["name"] for trace in panel["figure"]["data"]] == ["total", "segmentation", "&lt;boundary&gt;"]


def test_one_image_without_a_mask_among_others(folder: Path) -> None:
    book = made_book.book()
    made_book.make(book, ids={"train": ["a", "b"], "val": ["c"]}, stages=["masks/net"])
    path = Path("work/made/ground_truth/made/ground_truth.json")
    content = json.loads(path.read_text())
    del content["entries"]["c"]
    path.write_text(json.dumps(content))
    path.with_name(FILE).unlink()
    page = Page(write_report(book, Choice(1, "even")))
    assert [list(row["cells"]) for row in page.data["rows"]] == [["masks/net"]]


def test_what_is_damaged_or_of_other_images_is_named(folder: Path) -> None:
    book = made_book.book()
    made_book.make(book)
    shutil.rmtree("work/made/cams/cam/part_00000")
    Path("work/made/histories/net.csv").write_text("step,epoch,lr,total\n1,2,3,many\n")
    catalogue = Path("work/made/catalogues/made/catalogue.json")
    page = Page(write_report(book))
    assert "cams/cam" not in [column["key"] for column in page.data["columns"]]
    message = " ".join(page.words)
    for words in ("cams/cam: expected a whole store", "net.csv: expected a table of numbers", "2 unusable"):
        assert words in message
    catalogue.write_text(catalogue.read_text().replace('"cat"', '"lynx"'))
    with pytest.raises(DataError, match="nothing yet"):  # the plots of evaluations would still be there
        write_report(made_book.book(evaluate={}, train={}))


def test_what_changed_since_it_ran_is_out_of_date(folder: Path) -> None:
    book = toy_results.write_book(folder, toy_results.toy_content())
    toy_results.write_results(book)
    for name in ("cam", "cam_crf"):
        Path(f"work/toy/cams/{name}").mkdir(parents=True)
    toy_results.write_lock(book, toy_results.toy_content())
    assert book_state(book).stale == book_state(book).reasons == ()
    assert "train@full" in book_state(book).missing
    content = toy_results.toy_content()
    content["refine_cams"]["cam_crf"]["options"]["alpha"] = 2.0
    state = book_state(toy_results.write_book(folder, content))
    assert state.stale == ("refine_cams@cam_crf", "evaluate@pseudo_masks", "evaluate@segmenter_val")
    assert state.reasons == ("refine_cams@cam_crf ran with other settings: options.alpha",)


def test_which_images_are_chosen() -> None:
    ids = [f"{k}" for k in range(10)]
    scores = {id: (0.5 if id == "3" else int(id) / 10) for id in ids if id != "9"}
    assert choose(ids, Choice(3), {}) == ["0", "3", "6"]
    assert choose(ids, Choice(99), {}) == ids
    assert choose(ids, Choice(3, "worst"), scores) == ["0", "1", "2"]
    assert choose(ids, Choice(2, "best"), scores) == ["7", "8"]
    assert choose(ids, Choice(3, "both"), scores) == ["0", "1", "8"]
    assert choose(ids, Choice(99, "both"), scores) == ids[:9]
    assert choose(ids, Choice(2, "worst"), {}) == ["0", "5"]


def test_the_worst_images_of_a_book(folder: Path) -> None:
    book = made_book.book()
    made_book.make(book)
    page = Page(write_report(book, Choice(1, "worst")))
    assert [row["id"] for row in page.data["rows"]] == ["t3", "v2"]
    page = Page(write_report(book, Choice(1, "best", by="net")))
    assert [row["id"] for row in page.data["rows"]] == ["t0", "v0"]


def test_a_choice_that_cannot_be_made(folder: Path) -> None:
    unknown = CliRunner().invoke(app, ["report", "--pick", "wurst"])
    assert unknown.exit_code == 2
    assert all(name in unknown.output for name in ("'wurst' is not one of", "'worst'"))
    with pytest.raises(ConfigurationError, match="1 or more, found 0"):
        Choice(0)
    book = made_book.book()
    made_book.make(book, stages=["cams/cam", "masks/net"])
    with pytest.raises(ConfigurationError, match="Did you mean 'full'"):
        write_report(book, Choice(by="ful"))
    with pytest.raises(DataError, match="run evaluate@net"):
        write_report(book, Choice(by="net"))
    with pytest.raises(DataError, match="--pick worst needs an evaluation"):
        write_report(book, Choice(pick="worst"))
    assert not Path("report/made").exists()


def test_many_classes_lie_down(folder: Path) -> None:
    names = [f"class {k}" for k in range(80)]
    book = made_book.book()
    made_book.make(book, classes=names, stages=["masks/net", "evaluate"])
    lines = ["class,iou", "background,9", *(f"{name},{k}" for k, name in enumerate(names))]
    Path("work/made/evaluations/net/classes.csv").write_text("\n".join(lines) + "\n")
    page = Page(write_report(book, Choice(1)))
    bars, confusion = page.data["plots"]["bars"], page.data["plots"]["confusion"][0]["figure"]
    assert bars["data"][0]["orientation"] == "h"
    assert len(confusion["data"][0]["z"]) == 81
    assert "texttemplate" not in confusion["data"][0]
    assert len({one["colour"] for one in page.data["classes"]}) == 80


def test_classes_of_many_evaluations_are_a_matrix() -> None:
    lines = [{"class": name, "iou": value} for name, value in (("background", "90"), ("<b>", "12.345"), ("dog", "0"))]
    few = {f"{k} (val)": lines for k in range(8)}
    assert [trace["type"] for trace in class_figure(few)["data"]] == 8 * ["bar"]
    (trace,) = class_figure(few | {"other classes (val)": lines[:2]})["data"]
    assert trace["type"] == "heatmap"
    assert trace["x"] == ["background", "&lt;b&gt;", "dog"]
    assert trace["y"][0] == "0 (val)"
    assert trace["z"][0] == [90.0, 12.35, 0.0]
    assert trace["z"][8] == [90.0, 12.35, None]


def test_a_part_of_the_loss_that_begins_later_has_no_points_before() -> None:
    history = [
        {"step": "1", "total": "2.0", "tags": "2.0", "masks": ""},
        {"step": "2", "total": "1.5", "tags": "1.0", "masks": "0.5"},
    ]
    total, tags, masks = loss_lines(history)["data"]
    assert (masks["x"], masks["y"]) == ([2], [0.5])
    assert (total["x"], tags["y"]) == ([1, 2], [2.0, 1.0])


def test_a_sweep_names_its_best_threshold() -> None:
    sweep = [{"threshold": f"{k / 10}", "miou": f"{value}"} for k, value in enumerate((20, 41.26, 30))]
    (trace,) = sweep_lines({"cam": sweep})["data"]
    assert trace["name"] == "cam, best 41.3 at 0.10"


def test_layers_of_a_mask(tmp_path: Path) -> None:
    mask = np.repeat(np.array([0, 1, 254, 255], np.uint8), 15)[None].repeat(40, 0)
    palette = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)
    save_fill(tmp_path / "fill.png", mask, palette)
    fill = np.asarray(Image.open(tmp_path / "fill.png").convert("RGBA"))
    assert fill.shape == (40, 60, 4)
    assert (fill[:, :15, 3] == 0).all()
    assert (fill[:, 15:30] == (1, 1, 1, 255)).all()
    assert (fill[:, 30:45] == (254, 254, 254, 170)).all()
    assert 0.15 < (fill[:, 45:, 3] > 0).mean() < 0.35
    assert save_outline(tmp_path / "line.png", mask, palette)
    line = np.asarray(Image.open(tmp_path / "line.png").convert("RGBA"))
    assert line.shape == (40 * 8, 60 * 8, 4)  # finer than the mask
    assert [line[100, x, 3] for x in (15 * 8 - 2, 15 * 8 - 1, 15 * 8, 15 * 8 + 1, 15 * 8 + 2)] == [0, 160, 255, 255, 0]
    assert not save_outline(tmp_path / "none.png", np.zeros((9, 9), np.uint8), palette)
    assert not (tmp_path / "none.png").exists()


def test_large_images_are_shown_smaller(tmp_path: Path) -> None:
    image = np.zeros((1280, 960, 3), np.uint8)
    save_photo(tmp_path / "photo.jpg", image)
    save_fill(tmp_path / "fill.png", image[..., 0], image[:256, 0].copy())
    save_heat(tmp_path / "heat.webp", np.array([[0, 1]], np.float32), (1280, 960))
    assert {Image.open(path).size for path in tmp_path.iterdir()} == {(480, 640)}
    heat = np.asarray(Image.open(tmp_path / "heat.webp").convert("RGBA")).astype(int)
    assert heat[320, 2, 3] < 10
    assert heat[320, -3, 3] > 245
    assert heat[320, -3, 0] > heat[320, -3, 2]


@pytest.mark.parametrize(
    ("verb", "name"), [("export_cams", "cam"), ("make_pseudo_masks", "pseudo"), ("evaluate", "net")]
)
def test_a_sheet_for_a_stage(folder: Path, verb: str, name: str) -> None:
    book = made_book.book()
    made_book.make(book)
    sheet = gallery_sheet(book, verb, name)
    if verb == "evaluate":
        assert sheet is None
    else:
        assert sheet is not None
        assert sheet.dtype == np.uint8
        assert sheet.shape[0] > 4 * 100  # a row for each of four images

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pictures

from models.structures import Cam
from pipeline.pictures import FONT_SIZE, cam_heat, class_labels, colours, contact_sheet, overlay
from pipeline.report import Row, RowBuilder, write_gallery
from pipeline.table import Results

NAMES = ("cat", "dog")
IMAGE = np.full((40, 60, 3), (90, 120, 60), np.uint8)


@pytest.fixture
def mask() -> np.ndarray:
    """Background left, cat, dog, unlabelled, void right: 12 columns each."""
    return np.repeat(np.array([0, 1, 2, 254, 255], np.uint8), 12)[None].repeat(40, 0)


class Page(HTMLParser):
    """The links and words of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words += [data.strip()] if data.strip() else []


def test_overlay_tints_classes_and_nothing_else(mask: np.ndarray) -> None:
    picture = overlay(IMAGE, mask, alpha=0.5)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[:, :11], IMAGE[:, :11])
    for label, column in ((1, 18), (2, 30)):
        expected = np.rint(0.5 * IMAGE[0, 0] + 0.5 * colours()[label])
        np.testing.assert_array_equal(picture[20, column], expected)
    unlabelled = picture[20, 42]
    assert len(set(unlabelled.tolist())) == 1


def test_overlay_stripes_void_and_draws_contours(mask: np.ndarray) -> None:
    picture = overlay(IMAGE, mask)
    void = (picture[:, 50:] == 255).all(2)
    assert 0.15 < void.mean() < 0.35
    assert (picture[:, 11] == 255).all()
    np.testing.assert_array_equal(picture[:, 12], np.broadcast_to(colours()[1], (40, 3)))
    np.testing.assert_array_equal(picture[:, 23], np.broadcast_to(colours()[1], (40, 3)))
    np.testing.assert_array_equal(picture[:, 24], np.broadcast_to(colours()[2], (40, 3)))


def test_overlay_of_another_size(mask: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"\(40, 60\), found \(40, 59\)"):
        overlay(IMAGE, mask[:, 1:])


def test_colours_are_apart_and_bright() -> None:
    palette = colours().astype(int)
    assert len(np.unique(palette[:22], axis=0)) == 22
    assert palette[1:22].max(1).min() >= 200


def test_heat_goes_from_blue_to_red() -> None:
    scores = np.array([[0.0, 0.5, 1.0]], np.float32)
    heat = cam_heat(np.zeros((30, 90, 3), np.uint8), scores, alpha=1.0).astype(int)
    assert heat.shape == (30, 90, 3)
    low, middle, high = heat[15, 2], heat[15, 45], heat[15, 87]
    assert low[2] > low[0]
    assert middle[1] > max(middle[0], middle[2])
    assert high[0] > max(high[1], high[2])


def test_class_labels(mask: np.ndarray) -> None:
    assert class_labels(mask, NAMES) == [1, 2]


def test_contact_sheet_keeps_order_and_proportions() -> None:
    red, blue = (np.full((20, 40, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    tall = np.full((80, 40, 3), (0, 255, 0), np.uint8)
    sheet = contact_sheet([[("red", red), ("blue", blue)], [("a caption that is far too long", tall)]], width=80, gap=4)
    bar = FONT_SIZE + 8
    assert sheet.shape == (4 + (bar + 40) + 4 + (bar + 160) + 4, 4 + 2 * 84, 3)
    assert sheet[4 + bar + 20, 40].tolist() == [255, 0, 0]
    assert sheet[4 + bar + 20, 84 + 40].tolist() == [0, 0, 255]
    assert sheet[-20, 40].tolist() == [0, 255, 0]
    assert (sheet[-20, 100] == 255).all()
    caption = sheet[4 : 4 + bar, 4:84]
    assert (caption.max(2) < 100).sum() > 20
    long_caption = sheet[4 + bar + 40 + 4 :][:bar, 4:]
    assert (long_caption[:, 80:] == 255).all()


def test_an_empty_contact_sheet() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([[]])


def build(name: str, mask: np.ndarray) -> Row:
    builder = RowBuilder(name, IMAGE, NAMES)
    builder.mask("ground truth", mask)
    builder.cam("CAM", Cam(np.array([1, 2]), np.random.default_rng(0).random((2, 5, 6), np.float32), (40, 60)))
    builder.mask("extra", np.zeros((40, 60), np.uint8))
    return builder.row()


def test_gallery_is_whole_and_self_contained(tmp_path: Path, mask: np.ndarray) -> None:
    results = Results("t", ("evaluation", "mIoU"), (("cam", "45.6"),), ("a note",))
    rows = [build("a", mask), Row("b", {"image": [("b", IMAGE)]})]
    page = Page(write_gallery(tmp_path, rows, NAMES, "The title", results, [("a plot", IMAGE)]))
    linked = {tmp_path / link for link in page.links}
    assert linked == set((tmp_path / "pictures").iterdir())
    assert not [link for link in page.links if ":" in link or link.startswith("/")]
    columns = [word for word in page.words if word in ("image", "CAM", "refined CAM", "ground truth", "extra")]
    assert columns == ["image", "CAM", "ground truth", "extra"]
    for word in ("The title", "45.6", "a note", "a plot", "cat", "cat, dog", "no class", "none"):
        assert word in page.words
    with Pictures.open(tmp_path / "pictures" / "0_0000_2_0.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), overlay(IMAGE, mask))


def test_legend_shows_the_colours_of_the_overlay(tmp_path: Path, mask: np.ndarray) -> None:
    html = write_gallery(tmp_path, [build("a", mask)], NAMES).read_text()
    red, green, blue = colours()[2]
    assert f"background: #{red:02x}{green:02x}{blue:02x}" in html


def test_names_are_text_and_never_markup(tmp_path: Path, mask: np.ndarray) -> None:
    builder = RowBuilder("<script>x</script>", IMAGE, ("<b>cat</b>", "dog"))
    builder.mask("prediction", mask)
    index = write_gallery(tmp_path, [builder.row()], builder.class_names, "<i>t</i>")
    html = index.read_text()
    for markup in ("<script>", "<b>", "<i>t"):
        assert markup not in html
    assert "<script>x</script>" in Page(index).words


def test_a_second_gallery_leaves_no_old_pictures(tmp_path: Path, mask: np.ndarray) -> None:
    write_gallery(tmp_path, [build("a", mask), build("b", mask)], NAMES)
    page = Page(write_gallery(tmp_path, [build("a", mask)], NAMES))
    assert {tmp_path / link for link in page.links} == set((tmp_path / "pictures").iterdir())

from __future__ import annotations

import numpy as np
import pytest

from pipeline.pictures.overlays import FONT_SIZE, cam_heat, class_labels, colours, contact_sheet, overlay
from pipeline.pictures.palette import oklab

NAMES = ("cat", "dog")
IMAGE = np.full((40, 60, 3), (90, 120, 60), np.uint8)


@pytest.fixture
def mask() -> np.ndarray:
    """Background left, cat, dog, unlabelled, void right: 12 columns each."""
    return np.repeat(np.array([0, 1, 2, 254, 255], np.uint8), 12)[None].repeat(40, 0)


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
    known = oklab(colours()[1:254])
    distance = np.linalg.norm(known[:, None] - known, axis=2) + np.eye(len(known))
    assert distance[:22, :22].min() > 0.1
    assert distance[:80, :80].min() > 0.05
    assert len(np.unique(colours(), axis=0)) == 256
    assert known[:, 0].min() > 0.5


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

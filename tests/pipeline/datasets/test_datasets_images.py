from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.datasets.images import BadFileError, read_image, read_indices

RED = (200, 10, 20)


def save(path: Path, mode: str, colour: object, **options: object) -> Path:
    Image.new(mode, (4, 3), colour).save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("name", "mode", "colour", "expected"),
    [
        ("rgb.png", "RGB", RED, RED),
        ("grey.png", "L", 77, (77, 77, 77)),
        ("bits.png", "1", 1, (255, 255, 255)),
        ("grey16.png", "I;16", 77 * 256 + 5, (77, 77, 77)),
        ("opaque.png", "RGBA", (*RED, 255), RED),
        ("clear.png", "RGBA", (*RED, 0), (255, 255, 255)),
        ("cmyk.tif", "CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("plain.bmp", "RGB", RED, RED),
        ("plain.gif", "RGB", RED, RED),
    ],
)
def test_every_kind_of_pixel_becomes_rgb(
    tmp_path: Path, name: str, mode: str, colour: object, expected: tuple[int, int, int]
) -> None:
    image = read_image(save(tmp_path / name, mode, colour))
    assert image.dtype == np.uint8
    assert image.shape == (3, 4, 3)
    assert (image == expected).all()


def test_palette_image_gets_its_colours(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3), RED).quantize(4).save(tmp_path / "p.png")
    assert (read_image(tmp_path / "p.png") == RED).all()


def test_orientation_is_applied_only_when_asked(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    path = save(tmp_path / "photo.jpg", "RGB", RED, exif=exif)
    assert read_image(path).shape == (3, 4, 3)
    assert read_image(path, upright=True).shape == (4, 3, 3)


def damaged(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / f"{kind}.png"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("no image at all, but long enough to look at")
    elif kind == "truncated":
        pixels = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        path.write_bytes(path.read_bytes()[:3000])
    elif kind == "float":
        path = save(tmp_path / "float.tif", "F", 0.5)
    return path


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("empty", r"0 bytes"),
        ("text", "no image"),
        ("truncated", "damaged or unreadable"),
        ("float", "floating-point"),
        ("missing", "no such file"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path: Path, kind: str, found: str) -> None:
    with pytest.raises(BadFileError, match=found):
        read_image(damaged(tmp_path, kind))


def test_indices_are_stored_values_and_colours_are_refused(tmp_path: Path) -> None:
    indices = np.array([[0, 1, 255]], dtype=np.uint8)
    picture = Image.fromarray(indices).convert("L")
    picture.putpalette(list(range(256)) * 3)
    picture.save(tmp_path / "mask.png")
    assert Image.open(tmp_path / "mask.png").mode == "P"
    np.testing.assert_array_equal(read_indices(tmp_path / "mask.png"), indices)
    with pytest.raises(BadFileError, match="mode RGB"):
        read_indices(save(tmp_path / "colours.png", "RGB", RED))

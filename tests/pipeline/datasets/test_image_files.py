"""What image files can be: any bytes, other formats, few bits, more bands, turned, too large."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from models.structures import Image as Pixels
from pipeline.datasets import images
from pipeline.datasets.images import BadFileError, image_size, read_image, read_indices
from pipeline.datasets.masks import read_mask
from pipeline.datasets.photos import SENTENCES, read_photo
from pipeline.datasets.voc_colours import voc_palette

FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP", "AVIF", "JPEG2000")
ANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
STARTS = [b"", b"II*\x00", b"MM\x00+", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF", b"\xff\xd8\xff", b"P5\n"]
ORIENTATION = 0x0112


def gradient(height: int = 12, width: int = 16) -> Pixels:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 250 // height, columns * 250 // width, (rows + columns) * 4], -1).astype(np.uint8)


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    extra = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP", "AVIF") else {}
    Image.fromarray(gradient()).save(buffer, kind, **extra)
    return buffer.getvalue()


def read_all(path: Path) -> None:
    """A result or a BadFileError, and no warning, from every way to read a file."""
    readers: list[Callable[[Path], Any]] = [read_photo, read_indices, image_size, lambda p: read_image(p, upright=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for read in readers:
            with suppress(BadFileError):
                read(path)


@ANY
@given(
    content=st.binary(max_size=300), start=st.sampled_from([b"", b"II*\x00", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM"])
)
def test_any_bytes_are_an_image_or_one_error(tmp_path: Path, content: bytes, start: bytes) -> None:
    path = tmp_path / "any"
    path.write_bytes(start + content)
    read_all(path)


@ANY
@given(kind=st.sampled_from(FORMATS), data=st.data())
def test_damaged_files_are_an_image_or_one_error(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    content = bytearray(encoded(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    read_all(path)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_was_cut_off_is_one_error(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    path = tmp_path / "cut"
    Image.fromarray(noise).save(path, kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadFileError, match="damaged"):
        read_photo(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.heic", b"\x00\x00\x00\x18ftypheic" + bytes(40), r"HEIC photo.*JPEG"),
        ("a.jpg", b"\x00\x00\x00\x18ftypmp42" + bytes(40), r"a video\. .*ffmpeg"),
        ("a.jpg", b"\x00\x00\x00\x18ftypcrx " + bytes(40), "camera's raw file"),
        ("a.cr2", b"II*\x00\x10\x00\x00\x00CR\x02\x00" + bytes(40), "camera's raw file"),
        ("a.pdf", b"%PDF-1.7 ...", "PDF, a document"),
        ("a.svg", b'<?xml version="1.0"?>\n<svg width="3">', "SVG, a document"),
        ("a.dcm", bytes(127) + b"\x01DICM", "DICOM"),
        ("a.npy", b"\x93NUMPY\x01\x00", "array of NumPy"),
        ("a.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
        ("a.jpg", b"<!DOCTYPE html><html><body>404", "a web page"),
        ("._a.jpg", b"\x00\x05\x16\x07" + bytes(40), "side file of macOS"),
        ("a.jpg", bytes(500), "zero bytes alone"),
        ("a.psd", b"8BPS\x00\x01", "Photoshop"),
        ("a.jpg", b"no image at all, but words", "a file that is no image"),
    ],
)
def test_other_files_are_named_with_a_remedy(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadFileError, match=message):
        read_image(tmp_path / name)


def test_heic_photos_are_read_with_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(gradient(64, 96))).save(tmp_path / "a.heic", quality=95)
    found = read_image(tmp_path / "a.heic", upright=True)
    assert np.abs(found.astype(int) - gradient(64, 96)).mean() < 5
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(BadFileError, match=r"weak2mask\[heic\].*export it as JPEG"):
        read_image(tmp_path / "a.heic")


def test_a_camera_raw_is_not_its_preview(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.dng", gradient(), extratags=[(50706, "B", 4, (1, 4, 0, 0), True)])
    with pytest.raises(BadFileError, match="raw file"):
        read_image(tmp_path / "a.dng")


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says that it is large."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ]
    packed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize("size", [(10_000, 10_000), (14_000, 14_000), (60_000, 60_000)])
def test_large_images_are_refused_by_their_header(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "a.png").write_bytes(png_header(*size))
    millions = size[0] * size[1] // 10**6
    for read in (read_photo, read_indices, image_size):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(BadFileError) as error:
                read(tmp_path / "a.png")
        assert error.value.expected == "at most 50 million pixels"
        assert f"an image of {size[0]} x {size[1]} ({millions} million pixels). Remedy: cut it" in error.value.found


def test_the_limit_is_smaller_at_a_larger_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 200)
    Image.fromarray(gradient()).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", scale=0.5).shape == (12, 16, 3)
    with pytest.raises(BadFileError, match=r"\(at scale 2\), found an image of 16 x 12"):
        read_image(tmp_path / "a.png", scale=2)


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_in_every_format(tmp_path: Path, kind: str, orientation: int) -> None:
    """``upright`` false gives the stored pixels, of TIFF too, which Pillow turns by itself."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored, path = Image.fromarray(gradient(16, 24)), tmp_path / f"a.{kind}"
    options: dict[str, Any] = {"tiffinfo": {ORIENTATION: orientation}} if kind == "tif" else {"exif": exif}
    stored.save(path, **options, **({"quality": 95} if kind == "jpg" else {"lossless": True} if kind == "webp" else {}))
    turned = {  # by what EXIF says of the stored rows and columns
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: a[::-1].swapaxes(0, 1), 7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: a[:, ::-1].swapaxes(0, 1),
    }[orientation]  # fmt: skip
    for upright, expected in ((False, gradient(16, 24)), (True, turned(gradient(16, 24)))):
        photo = read_photo(path, upright=upright)
        assert photo.pixels.shape == expected.shape
        assert np.abs(photo.pixels.astype(int) - expected).mean() < 4
        assert image_size(path, upright=upright) == expected.shape[:2]
        remark = ("exif_orientation", "applied" if upright else "not applied")
        assert photo.remarks == (() if orientation == 1 else (remark,))


def topics(path: Path) -> dict[str, str]:
    return dict(read_photo(path).remarks)


@pytest.mark.parametrize("kind", ["png", "tif"])
@pytest.mark.parametrize(
    ("top", "message"),
    [(255, "8 bits: "), (4095, "12 bits"), (10_000, "14 bits"), (38_000, ""), (65_535, "")],
)
def test_few_of_sixteen_bits_are_told(tmp_path: Path, kind: str, top: int, message: str) -> None:
    grey = (gradient()[..., 2].astype(np.float64) / gradient()[..., 2].max() * top).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / f"a.{kind}")
    found = topics(tmp_path / f"a.{kind}")
    assert set(found) == ({"low_depth"} if message else set())
    if message:
        text = SENTENCES["low_depth"]([("a", found["low_depth"])], 3)
        assert message in text
        assert f"brightest value is {top // 256} of 255" in text
        assert f"-scale 0 {2 ** int(text.partition('fit into ')[2].split()[0]) - 1} 0 255" in text


def test_sixteen_bits_of_three_bands(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", gradient().astype(np.uint16) * 16, photometric="rgb")
    tifffile.imwrite(tmp_path / "b.tif", gradient().astype(np.uint16) * 257, photometric="rgb")
    assert set(topics(tmp_path / "a.tif")) == {"low_depth"}
    assert topics(tmp_path / "b.tif") == {}


def test_black_and_dark_images_are_told(tmp_path: Path) -> None:
    Image.new("RGB", (6, 4)).save(tmp_path / "black.png")
    Image.fromarray(gradient() // 64).save(tmp_path / "dark.png")
    Image.fromarray(gradient()).save(tmp_path / "good.png")
    found = [set(topics(tmp_path / f"{name}.png")) for name in ("black", "dark", "good")]
    assert found == [{"constant"}, {"dark"}, set()]


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
def test_near_infrared_is_no_transparency(tmp_path: Path, kind: str) -> None:
    infrared = np.linspace(1, 250, 12 * 16).reshape(12, 16, 1).astype(np.uint8)
    bands = np.concatenate([gradient(), infrared], -1)
    tifffile.imwrite(tmp_path / "a.tif", bands, photometric="rgb", extrasamples=[kind])
    photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(photo.pixels, gradient())
    assert [topic for topic, _ in photo.remarks] == ["bands"]


def test_transparency_that_is_one_stays(tmp_path: Path) -> None:
    """A yes and no in a TIFF, and any alpha in a PNG."""
    for name, alpha in (("a.tif", np.arange(192).reshape(12, 16, 1) % 2 * 255), ("a.png", np.full((12, 16, 1), 128))):
        Image.fromarray(np.concatenate([gradient(), alpha.astype(np.uint8)], -1)).save(tmp_path / name)
        photo = read_photo(tmp_path / name)
        white = gradient() * (alpha / 255) + 255 * (1 - alpha / 255)
        assert np.abs(photo.pixels - white).max() <= 1
        assert photo.remarks == ()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 12, 16), np.uint8), r"a TIFF with 5 bands of uint8.*gdal_translate -b 1 -b 2 -b 3"),
        (np.zeros((4, 12, 16), np.uint16), r"a TIFF with 4 bands of uint16"),
        (
            np.linspace(0, 0.5, 192, dtype=np.float32).reshape(12, 16),
            r"floating-point.*0 to 0\.5\. Scale all",
        ),
        (np.zeros((12, 16, 3), np.float32), "3 bands of float32.*scale to 8 bits"),
        (np.arange(192, dtype=np.uint32).reshape(12, 16), r"32-bit integer pixels \(mode I\), 0 to 191"),
    ],
)
def test_tiffs_that_are_no_photos_say_what_they_are(tmp_path: Path, array: Any, message: str) -> None:
    planar = {"planarconfig": "separate", "photometric": "minisblack"} if array.ndim == 3 and len(array) < 6 else {}
    tifffile.imwrite(tmp_path / "a.tif", array, **planar)
    with pytest.raises(BadFileError, match=message):
        read_image(tmp_path / "a.tif")


def test_white_is_zero_in_16_bits_too(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 4), 65_535, np.uint16), photometric="miniswhite")
    assert not read_image(tmp_path / "a.tif").any()


def test_the_first_frame_counts_and_is_told(tmp_path: Path) -> None:
    first, second = Image.fromarray(gradient()), Image.fromarray(gradient()[::-1])
    for name in ("a.gif", "a.tif", "a.webp"):
        first.save(tmp_path / name, save_all=True, append_images=[second])
        assert topics(tmp_path / name) == {"frames": name[2:].upper().replace("TIF", "TIFF")}
    with tifffile.TiffWriter(tmp_path / "b.tif") as writer:  # an overview is no page of its own
        writer.write(gradient(), photometric="rgb")
        writer.write(gradient()[::2, ::2], photometric="rgb", subfiletype=1)
    assert topics(tmp_path / "b.tif") == {}


def test_masks_of_colours_name_the_label_map(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    Image.new("RGB", (4, 4), (64, 0, 0)).save(tmp_path / "masks" / "a.png")
    with pytest.raises(BadFileError, match=r"mode RGB with 1 colours \(\(64, 0, 0\)\)\. Set `labelmap`.*NAME:R,G,B"):
        read_indices(tmp_path / "masks" / "a.png")
    (tmp_path / "labelmap.txt").touch()
    with pytest.raises(BadFileError, match=r"here .*labelmap\.txt"):
        read_indices(tmp_path / "masks" / "a.png")
    Image.fromarray(np.full((4, 4, 3), 7, np.uint8)).save(tmp_path / "masks" / "grey.png")
    assert (read_indices(tmp_path / "masks" / "grey.png") == 7).all()
    Image.fromarray(np.full((4, 4), 7, np.uint8)).save(tmp_path / "masks" / "a.jpg")
    with pytest.raises(BadFileError, match="JPEG, which changes values"):
        read_indices(tmp_path / "masks" / "a.jpg")


def test_a_palette_in_another_order_is_told(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1, 255]], np.uint8))
    for name, order in (("usual", [0, 1, 2]), ("moved", [0, 15, 2])):
        colours = voc_palette().copy()
        colours[:3] = voc_palette()[order]
        picture.putpalette(colours.tobytes())
        picture.save(tmp_path / f"{name}.png", optimize=False)
    assert read_mask(tmp_path / "usual.png").remarks == ()
    moved = read_mask(tmp_path / "moved.png")
    assert (moved.size, moved.counts) == ((1, 3), {0: 1, 1: 1, 255: 1})
    assert moved.remarks == (("palette_order", "value 1 has the colour of 15"),)

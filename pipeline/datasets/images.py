"""Decode image and mask files; every way in which a file can be bad becomes one ``BadFileError``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import (
    AvifImagePlugin,  # noqa: F401
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Jpeg2KImagePlugin,  # noqa: F401
    JpegImagePlugin,  # noqa: F401
    PcxImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    PpmImagePlugin,  # noqa: F401
    SgiImagePlugin,  # noqa: F401
    TgaImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)
from PIL import Image as PILImage

from models.structures import Image, Mask
from pipeline.datasets import tiff
from pipeline.datasets.image_formats import AS_JPEG, HEADER, HEIC_REMEDY, RAW, is_heic, is_raw, what_is
from pipeline.datasets.regular import open_regular
from pipeline.datasets.voc_colours import voc_palette

MAX_PIXELS = 50_000_000
"""Of an image file, the only limit: what follows wants a few hundred bytes for each pixel, in a network, a CRF, the
scores of every class. It is read from the file's header, before anything is decoded."""
TILES = "cut it into tiles, as with ImageMagick: magick IN -crop 1024x1024 +repage TILE_%04d.png, and its mask alike"
FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "JPEG2000", "AVIF", "PPM", "PCX", "SGI", "TGA")
"""Of Pillow's: none that runs a program (EPS) or holds several sizes (icons). Importing a plugin registers it."""
LOSSY = ("JPEG", "MPO")
TO_8_BITS = (
    "Scale all images alike to 8 bits: gdal_translate -ot Byte -scale LOW HIGH 0 255 IN OUT.png, or with NumPy "
    "((a - LOW) / (HIGH - LOW) * 255).clip(0, 255).astype('uint8')"
)
LABELMAP, MOST_COLOURS = "labelmap.txt", 256
REFUSED = {"I": "32-bit integer pixels", "F": "floating-point pixels", "La": "premultiplied", "RGBa": "premultiplied"}
MOST_INSTANCES = 65535
"""The largest number of an instance that a PNG of 16 bits can hold."""
ORIENTATION = 0x0112
"""EXIF's tag."""
TURN = {
    2: PILImage.Transpose.FLIP_LEFT_RIGHT,
    3: PILImage.Transpose.ROTATE_180,
    4: PILImage.Transpose.FLIP_TOP_BOTTOM,
    5: PILImage.Transpose.TRANSPOSE,
    6: PILImage.Transpose.ROTATE_270,
    7: PILImage.Transpose.TRANSVERSE,
    8: PILImage.Transpose.ROTATE_90,
}
"""What brings the stored pixels upright."""
BACK = {**TURN, 6: PILImage.Transpose.ROTATE_90, 8: PILImage.Transpose.ROTATE_270}
SIDEWAYS = (5, 6, 7, 8)
"""Orientations that exchange height and width."""
PILImage.MAX_IMAGE_PIXELS = None  # ours is checked from the same header, and has a remedy


class BadFileError(Exception):
    """A file is not what it should be. ``expected`` and ``found`` are phrases for the user."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected, self.found = expected, found


def read_image(path: Path, *, upright: bool = False, scale: float = 1) -> Image:
    """Read an image file as RGB.

    Grey, palette and CMYK files are converted; 16 bits keep their upper eight; transparency is laid on white, but a
    TIFF's fourth band is left out unless it is a yes and no, since near infrared is often called alpha; of an animation
    or several pages the first counts. Colour profiles are not applied.

    Args:
        path: of :data:`FORMATS`.
        upright: turn the image as its EXIF orientation says. VOC and COCO masks are drawn on the stored pixels.
        scale: at which the image will be used; above 1 fewer pixels are allowed.

    Returns:
        uint8 [H,W,3].

    Raises:
        BadFileError: missing, empty, truncated, no image, too large, or pixels that have no agreed way to RGB.
    """
    with opened(path, "an image file", scale) as picture:
        return to_rgb(picture, upright)


def image_size(path: Path, *, upright: bool = False) -> tuple[int, int]:
    """(H, W) from the header alone.

    Raises:
        BadFileError: as :func:`read_image`, but for what decoding would find.
    """
    with opened(path, "an image file") as picture:
        width, height = picture.size
        turned = orientation(picture) in SIDEWAYS and upright != tiff.is_tiff(picture)  # Pillow's are of turned TIFFs
        return (width, height) if turned else (height, width)


@contextmanager
def opened(path: Path, expected: str, scale: float = 1) -> Iterator[PILImage.Image]:
    """The file as Pillow opens it, its pixels not loaded yet. What Pillow raises meanwhile becomes a BadFileError.

    Pillow's own warnings are about damage that it can overlook, such as EXIF data that are cut off.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_regular(path) as file, _open(path, file, expected) as picture:
                _check_pixels(picture, scale)
                yield picture
    except BadFileError:
        raise
    except FileNotFoundError:
        raise BadFileError(expected, "no such file") from None
    except Exception as error:  # Pillow raises almost any for damaged files
        odd = tiff.describe(path) if path.is_file() and _is_tiff(path.read_bytes()[:4]) else None
        reason = (str(error) or type(error).__name__)[:200]
        raise BadFileError(expected, odd or f"a damaged or unreadable file ({reason})") from None


def orientation(picture: PILImage.Image) -> int:
    """EXIF orientation 1..8; 1 where there is none. Ask before the pixels are loaded: Pillow turns TIFFs by itself."""
    try:
        value = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF data, and a picture that may be good
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def to_rgb(picture: PILImage.Image, upright: bool) -> Image:
    """uint8 [H,W,3] of an opened file; see :func:`read_image`."""
    turns = BACK if tiff.is_tiff(picture) else TURN
    turn = turns.get(orientation(picture)) if upright != tiff.is_tiff(picture) else None
    picture, negative = _loaded(picture), tiff.tag(picture, tiff.PHOTOMETRIC) == tiff.WHITE_IS_ZERO
    false_alpha = tiff.has_false_alpha(picture)
    if turn is not None:
        picture = picture.transpose(turn)
    if picture.mode in REFUSED:
        found = f"{REFUSED[picture.mode]} (mode {picture.mode}){_range(picture)}. {TO_8_BITS}"
        raise BadFileError("pixels that convert to 8-bit RGB", found)
    if picture.mode.startswith("I;16"):
        grey = (np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8)
        return np.ascontiguousarray(np.repeat((255 - grey if negative else grey)[..., None], 3, axis=2))
    if picture.has_transparency_data and not false_alpha:
        picture = _on_white(picture)
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def read_indices(path: Path) -> npt.NDArray[np.int32]:
    """Read a palette or grey file of indices (classes or instances) as it is stored, int32 [H,W].

    RGB whose three channels are equal is grey.

    Raises:
        BadFileError: as :func:`read_image`, or the file has colours and not indices, or lossy compression.
    """
    with opened(path, "a PNG of indices") as picture:
        return to_indices(picture, path)


def to_indices(picture: PILImage.Image, path: Path) -> npt.NDArray[np.int32]:
    """int32 [H,W] of an opened file; see :func:`read_indices`."""
    expected = "a palette or grey PNG whose pixel values are indices"
    if picture.format in LOSSY:
        raise BadFileError(expected, "JPEG, which changes values. Write the masks as PNG where they were drawn")
    picture.load()
    if picture.mode == "RGB":
        values = np.asarray(picture)
        if (values[..., :1] == values).all():
            return values[..., 0].astype(np.int32)
    if picture.mode not in ("P", "L", "1", "I", "I;16", "I;16B"):
        raise BadFileError(expected, _of_colours(picture, path))
    return np.asarray(picture).astype(np.int32)


def write_indices(path: Path, indices: Mask | npt.NDArray[np.uint16]) -> None:
    """Write uint8 or uint16 [H,W] as a grey PNG of 8 or 16 bits."""
    PILImage.fromarray(indices).save(path)


def _open(path: Path, file: BinaryIO, expected: str) -> PILImage.Image:
    start = file.read(HEADER)
    file.seek(0)
    if not start:
        raise BadFileError(expected, "an empty file (0 bytes)")
    if is_heic(start):
        return _open_heic(file, expected)
    try:
        picture = PILImage.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        if _is_tiff(start) and not is_raw(path):
            raise BadFileError(expected, tiff.describe(path) or "a damaged TIFF") from None
        raise BadFileError(expected, what_is(path, start)) from None
    if tiff.is_tiff(picture) and (is_raw(path) or tiff.tag(picture, tiff.DNG_VERSION) is not None):
        raise BadFileError(expected, RAW)
    return picture


def _is_tiff(start: bytes) -> bool:
    return start[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def _open_heic(file: BinaryIO, expected: str) -> PILImage.Image:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise BadFileError(expected, f"a HEIC photo. {HEIC_REMEDY}") from None
    register_heif_opener()
    try:
        return PILImage.open(file, formats=("HEIF",))
    except UnidentifiedImageError:
        raise BadFileError(expected, f"a HEIC photo that is damaged or of an unknown kind. {AS_JPEG}") from None


def _check_pixels(picture: PILImage.Image, scale: float) -> None:
    (width, height), most = picture.size, MAX_PIXELS / max(scale, 1) ** 2
    if width * height > most:
        at = f" (at scale {scale:g})" if scale > 1 else ""
        found = f"an image of {width} x {height} ({width * height / 1e6:.0f} million pixels). Remedy: {TILES}"
        raise BadFileError(f"at most {most / 1e6:.0f} million pixels{at}", found)


def _loaded(picture: PILImage.Image) -> PILImage.Image:
    """With its pixels; 12 bits that say so fill 16."""
    tiff.keep_bands(picture)
    twelve = raw_mode(picture) == "I;12"
    picture.load()
    return PILImage.fromarray(np.asarray(picture) << 4) if twelve else picture


def raw_mode(picture: PILImage.Image) -> str:
    """How the pixels are stored, as Pillow calls it ("RGB;16B"); "" where it does not say or has loaded them."""
    args = picture.tile[0].args if getattr(picture, "tile", None) else ""  # type: ignore[attr-defined]
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _range(picture: PILImage.Image) -> str:
    if picture.mode not in ("I", "F"):
        return ""
    values = np.asarray(picture)
    return f", {np.nanmin(values):g} to {np.nanmax(values):g}" if np.isfinite(values).any() else ", none finite"


def _of_colours(picture: PILImage.Image, path: Path) -> str:
    """What a mask of no indices holds, and what can be done."""
    if picture.mode in REFUSED:
        return f"{REFUSED[picture.mode]} (mode {picture.mode}). Write whole numbers of 8 bits"
    kind, colours = f"a file of mode {picture.mode}", picture.convert("RGB").getcolors(MOST_COLOURS)
    if colours is None:
        return f"{kind} with more than {MOST_COLOURS} colours: a photo, or a mask that was smoothed"
    shown = ", ".join(str(colour) for _, colour in sorted(colours, reverse=True)[:3])  # type: ignore[arg-type]
    beside = next(
        (str(labelmap) for folder in path.parents for labelmap in [folder / LABELMAP] if labelmap.is_file()), ""
    )
    where = f"here {beside}" if beside else "a file with a line NAME:R,G,B for each class"
    if not beside and len(colours) > 1 and {colour for _, colour in colours} <= _voc_set():
        where += ", or `voc` where the classes are VOC's"
    return (
        f"{kind} with {len(colours)} colours ({shown}). Set `labelmap` in the reader's options to what each colour "
        f"means ({where})"
    )


@cache
def _voc_set() -> set[tuple[int, ...]]:
    return {tuple(colour) for colour in voc_palette().tolist()}


def _on_white(picture: PILImage.Image) -> PILImage.Image:
    layer = picture.convert("RGBA")
    return PILImage.alpha_composite(PILImage.new("RGBA", layer.size, (255, 255, 255, 255)), layer)

"""Decode image and mask files; every way in which a file can be bad becomes one ``BadFileError``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage
from PIL import ImageOps, UnidentifiedImageError

from models.structures import Image, Mask

REFUSED = {"I": "32-bit integer pixels", "F": "floating-point pixels", "La": "premultiplied", "RGBa": "premultiplied"}
MOST_INSTANCES = 65535
"""The largest number of an instance that a PNG of 16 bits can hold."""


class BadFileError(Exception):
    """A file is not what it should be. ``expected`` and ``found`` are phrases for the user."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected, self.found = expected, found


def read_image(path: Path, *, upright: bool = False) -> Image:
    """Read an image file as RGB.

    Grey, palette and CMYK files are converted; 16-bit grey keeps its upper eight bits; transparency is laid on
    white; of an animation the first frame counts.

    Args:
        path: any format that Pillow reads.
        upright: turn the image as its EXIF orientation says. VOC and COCO masks are drawn on the stored pixels.

    Returns:
        uint8 [H,W,3].

    Raises:
        BadFileError: missing, empty, truncated, no image, or pixels that have no agreed way to RGB.
    """
    picture = _open(path, "an image file")
    if upright:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode in REFUSED:
        raise BadFileError("pixels that convert to 8-bit RGB", f"{REFUSED[picture.mode]} (mode {picture.mode})")
    if picture.mode.startswith("I;16"):
        grey = (np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8)
        return np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2))
    if picture.has_transparency_data:
        picture = _on_white(picture)
    return np.array(picture.convert("RGB"))


def read_indices(path: Path) -> npt.NDArray[np.int32]:
    """Read a palette or grey PNG of indices (classes or instances) as it is stored, int32 [H,W].

    Raises:
        BadFileError: as :func:`read_image`, or the file has colours and not indices.
    """
    picture = _open(path, "a PNG of indices")
    if picture.mode not in ("P", "L", "1", "I", "I;16"):
        raise BadFileError("a palette or grey PNG whose pixel values are indices", f"a file of mode {picture.mode}")
    return np.asarray(picture).astype(np.int32)


def write_indices(path: Path, indices: Mask | npt.NDArray[np.uint16]) -> None:
    """Write uint8 or uint16 [H,W] as a grey PNG of 8 or 16 bits."""
    PILImage.fromarray(indices).save(path)


def _open(path: Path, expected: str) -> PILImage.Image:
    try:
        if path.stat().st_size == 0:
            raise BadFileError(expected, "an empty file (0 bytes)")
        picture = PILImage.open(path)
        picture.load()
        return picture
    except FileNotFoundError:
        raise BadFileError(expected, "no such file") from None
    except UnidentifiedImageError:
        raise BadFileError(expected, "a file that is no image") from None
    except (OSError, SyntaxError, ValueError, EOFError, PILImage.DecompressionBombError) as error:
        raise BadFileError(expected, f"a damaged or unreadable file ({error})") from None


def _on_white(picture: PILImage.Image) -> PILImage.Image:
    layer = picture.convert("RGBA")
    return PILImage.alpha_composite(PILImage.new("RGBA", layer.size, (255, 255, 255, 255)), layer)

"""What a TIFF file holds beyond what Pillow says: more bands than colours, bands that are taken for transparency."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage

PHOTOMETRIC, SAMPLES, SUBFILE, DNG_VERSION = 262, 277, 254, 50706
WHITE_IS_ZERO, RGB = 0, 2
REDUCED_OR_MASK = 1 | 4
"""Bits of a page that is a smaller copy of another one, or its mask."""
TAKE_THREE = "gdal_translate -b 1 -b 2 -b 3 IN.tif OUT.tif"


def is_tiff(picture: PILImage.Image) -> bool:
    """Whether Pillow reads the file as TIFF (a camera's .jpg of several pictures is none)."""
    return picture.format == "TIFF"


def tag(picture: PILImage.Image, number: int, default: Any = None) -> Any:
    """Value of a tag of the present page."""
    tags: Any = getattr(picture, "tag_v2", {})
    return tags.get(number, default)


def keep_bands(picture: PILImage.Image) -> None:
    """Before the pixels are loaded: do not divide the colours by a band that is called "associated alpha"."""
    if is_tiff(picture) and picture.mode == "RGBA":
        picture.tile = [tile._replace(args=_plain(tile.args)) for tile in picture.tile]  # type: ignore[attr-defined]


def _plain(args: Any) -> Any:
    if isinstance(args, str):
        return args.replace("RGBa", "RGBA")
    return tuple(arg.replace("RGBa", "RGBA") if isinstance(arg, str) else arg for arg in args)


def has_false_alpha(picture: PILImage.Image) -> bool:
    """Whether the last band, called alpha, is more than a yes and no: near infrared often bears that name."""
    if not is_tiff(picture) or picture.mode not in ("RGBA", "LA"):
        return False
    alpha = np.asarray(picture.getchannel("A"))
    return bool(((alpha != 0) & (alpha != 255)).any())


def surplus(picture: PILImage.Image) -> int:
    """Bands beyond red, green and blue that are not called alpha."""
    samples = tag(picture, SAMPLES, 1)
    more = isinstance(samples, int) and picture.mode == "RGB" and tag(picture, PHOTOMETRIC) == RGB
    return max(int(samples) - 3, 0) if more else 0


def describe(path: Path) -> str | None:
    """What a TIFF that Pillow does not read is, with a remedy; a phrase for "found ...". None where it is damaged."""
    import tifffile

    log = logging.getLogger("tifffile")
    log.disabled = True  # it would tell of damaged files on its own
    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            bands, kind = int(page.samplesperpixel), page.dtype
            compression = getattr(page.compression, "name", str(page.compression))
        data_end = max((o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)), default=0)
        if bands < 1 or data_end > path.stat().st_size:
            return None
    except Exception:  # it raises many kinds for damaged files
        return None
    finally:
        log.disabled = False
    name = f"a TIFF with {bands} band{'s' * (bands > 1)} of {kind or 'unknown numbers'} (compression {compression})"
    eight = kind is not None and kind.str[1:] in ("u1", "u2")
    steps = [f"take three bands ({TAKE_THREE})"] if bands not in (1, 3) else []
    steps += [] if eight else ["scale to 8 bits (gdal_translate -ot Byte -scale LOW HIGH 0 255 IN.tif OUT.tif)"]
    steps = steps or ["write it anew without compression (gdal_translate -co COMPRESS=NONE IN.tif OUT.tif)"]
    return f"{name}. Remedy: {', and '.join(steps)}"

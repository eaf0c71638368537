"""Numbers, texts and pixels out of the values of an export. What is none of them is a ValueError: what was found."""

from __future__ import annotations

import base64
import binascii
import io
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from PIL import Image as PILImage

from pipeline.annotations.tools.drawn import Bitmap, Floats, Region
from pipeline.datasets.images import MAX_PIXELS
from pipeline.datasets.tables import clipped

CURVE = 180
"""Vertices of a circle or an ellipse: a circle of 1000 pixels is exact within 0.2 of a pixel."""
MOST_BYTES = 2**24
"""That a packed picture may have unpacked."""


def number(value: Any) -> float:
    """A finite number, also one that is written as text."""
    if value is None:
        raise ValueError("nothing in place of a number")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{clipped(repr(value))} in place of a number")
    try:
        plain = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{clipped(repr(value))} in place of a number") from None
    if not math.isfinite(plain):
        raise ValueError(f"{clipped(repr(value))} in place of a finite number")
    return plain


def text(value: Any) -> str:
    """A name, without blanks around; numbers are names too."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{clipped(repr(value))} in place of a name")
    return str(value).strip()


def address_path(address: Any) -> str:
    """The file that an address means: its path, or the ``d`` of Label Studio's local files. A plain name stays."""
    given = str(address)
    if "://" not in given and not given.startswith("/data/"):
        return given
    parts = urlsplit(given)
    local = parse_qs(parts.query).get("d")
    return local[0] if local else unquote(parts.path or given)  # parse_qs has decoded it: a name may hold %25


def size_of(height: Any, width: Any) -> tuple[int, int] | None:
    """(H, W), or None where one of them is missing, nought or no number."""
    try:
        high, wide = int(number(height)), int(number(width))
    except ValueError:
        return None
    return (high, wide) if high > 0 and wide > 0 else None


def pairs(values: Any, least: int = 1) -> Floats:
    """float64 [N,2] of a list of pairs, of mappings with x and y, or of one flat list (or array) x0, y0, x1, ..."""
    if isinstance(values, np.ndarray) and len(values) >= 2 * least:  # as the hook ``packed`` leaves polygons
        return values.reshape(-1, 2)
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ValueError(f"{clipped(repr(values))} in place of points")
    flat: list[float] = []
    for value in values:
        if isinstance(value, Mapping):
            flat += [number(value.get("x")), number(value.get("y"))]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            if len(value) != 2:
                raise ValueError(f"a point of {len(value)} numbers")
            flat += [number(value[0]), number(value[1])]
        else:
            flat.append(number(value))
    if len(flat) % 2 or len(flat) < 2 * least:
        raise ValueError(f"{len(flat)} numbers in place of x and y of {least} points or more")
    return np.array(flat, np.float64).reshape(-1, 2)


def corners(x1: Any, y1: Any, x2: Any, y2: Any) -> Floats:
    """float64 [2,2] of left, top, right and bottom, in this order."""
    box = np.array([[number(x1), number(y1)], [number(x2), number(y2)]])
    if not (box[0] < box[1]).all():
        raise ValueError(f"a right or bottom that is not behind left or top: {box.reshape(-1).tolist()}")
    return box


def sides(x: Any, y: Any, width: Any, height: Any) -> Floats:
    """float64 [2,2] of left, top, width and height."""
    left, top = number(x), number(y)
    return corners(left, top, left + number(width), top + number(height))


def rectangle(box: Floats) -> Floats:
    """The four corners [4,2] of two opposite ones."""
    (x1, y1), (x2, y2) = box
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])


def bbox(value: Any) -> Floats:
    """float64 [2,2] of a list of left, top, width and height."""
    if not isinstance(value, list) or len(value) != 4:
        raise ValueError(f"bbox {clipped(repr(value), 60)}")
    return sides(*value)


def turned_box(box: Floats, degrees: float, about: Floats | None = None) -> Floats:
    """The four corners [4,2] of a box that is turned about its middle, or another point; itself where it is not."""
    return turned(rectangle(box), degrees, box.mean(axis=0) if about is None else about) if degrees else box


def turned(points: Floats, degrees: float, about: Sequence[float] | Floats) -> Floats:
    """Points turned about one, clockwise as the eye sees the image (whose y goes down)."""
    angle, centre = math.radians(degrees), np.asarray(about, np.float64)
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.asarray((points - centre) @ np.array([[cosine, sine], [-sine, cosine]]) + centre)


def ellipse(x: float, y: float, radius_x: float, radius_y: float) -> Floats:
    """Vertices of an ellipse around (x, y)."""
    if radius_x <= 0 or radius_y <= 0:
        raise ValueError(f"radii {radius_x:g} and {radius_y:g}")
    angles = np.arange(CURVE) * (2 * math.pi / CURVE)
    return np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], axis=1)


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping; an empty one in place of something else."""
    return value if isinstance(value, Mapping) else {}


def mappings(values: Any) -> Iterator[Mapping[str, Any]]:
    """The mappings of a list, or of the values of a mapping."""
    items = values.values() if isinstance(values, Mapping) else values if isinstance(values, list) else ()
    yield from (item for item in items if isinstance(item, Mapping))


def unpacked(encoded: Any, packed: bool = False) -> bytes:
    """Bytes of base64, in which they may be packed with zlib.

    Raises:
        ValueError: they are neither, or more than :data:`MOST_BYTES`.
    """
    if not isinstance(encoded, str):
        raise ValueError(f"{clipped(repr(encoded))} in place of base64")
    try:
        content = base64.b64decode(encoded, validate=False)
        if not packed:
            return content
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(content, MOST_BYTES)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"damaged base64 or zlib data ({error})") from None
    if unpacker.unconsumed_tail:
        raise ValueError(f"packed data of more than {MOST_BYTES // 2**20} MiB")
    return content


def picture(content: Callable[[], bytes], left: int, top: int, size: tuple[int, int] | None = None) -> Bitmap:
    """A PNG as the window of a bitmap; its pixels are those that are neither 0 nor transparent.

    It stays where it is until it is read: what is packed may be a thousand times larger, and there may be many of them.

    Args:
        content: gives the bytes of the file, each time that it is called.
        left: of the window.
        top: of the window.
        size: (H, W) that it must have; None takes its own.

    Raises:
        ValueError: it is no PNG, of another size, or too large.
    """
    try:
        with PILImage.open(io.BytesIO(content()), formats=("PNG",)) as opened:
            found = (opened.height, opened.width)
    except ValueError:
        raise
    except Exception as error:  # Pillow raises almost any for damaged files
        raise ValueError(f"a damaged PNG ({clipped(str(error))})") from None
    if size is not None and found != size:
        raise ValueError(f"a PNG of {found[1]} x {found[0]}, where its corners say {size[1]} x {size[0]}")
    if found[0] * found[1] > MAX_PIXELS:
        raise ValueError(f"a PNG of {found[0] * found[1]:,} pixels")
    return Bitmap(left, top, found, lambda: _pixels(content()))


def _pixels(content: bytes) -> Region:
    try:
        with PILImage.open(io.BytesIO(content), formats=("PNG",)) as opened:
            if opened.mode in ("RGBA", "LA") or "transparency" in opened.info:
                return np.asarray(opened.convert("RGBA"))[..., 3] > 0
            return np.asarray(opened if opened.mode in ("1", "P") else opened.convert("L")) > 0
    except Exception as error:
        raise ValueError(f"a damaged PNG ({clipped(str(error))})") from None

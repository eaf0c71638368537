"""One drawn scene and its true masks: of each pixel's middle it is asked whether it is inside, as no reader does."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

SIZE = (64, 96)
"""(H, W) of every image."""
CLASSES = ("cat", "dog")
Xy = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Mark:
    """kind "box" (two corners), "area" (vertices), "point", "stroke" or "tag"."""

    kind: str
    name: str
    points: Xy = ()


@dataclass(frozen=True)
class Disc:
    """An area that is a circle."""

    name: str
    middle: tuple[float, float]
    radius: float


SCENE: Mapping[str, Sequence[Mark | Disc]] = {
    "q0": [Mark("box", "cat", [(10, 8), (40, 30)]), Mark("box", "dog", [(50, 20), (90, 60)])],
    "q1": [
        Mark("area", "cat", [(10.5, 10.5), (70.5, 14.5), (60.5, 50.5), (20.5, 44.5)]),
        Mark("area", "dog", [(40.5, 30.5), (90.5, 30.5), (70.5, 60.5)]),
    ],
    "q2": [Mark("point", "cat", [(20.5, 30.5)]), Mark("point", "dog", [(70.2, 40.7)])],
    "q3": [
        Mark("stroke", "cat", [(5.5, 5.5), (30.5, 20.5), (60.5, 20.5)]),
        Mark("stroke", "dog", [(70.5, 50.5), (90.5, 40.5)]),
    ],
    "q4": [Disc("dog", (48.0, 32.0), 20.0)],
    "q5": [Mark("tag", "cat")],
}
"""Image -> what was drawn in it."""


def inside(points: Xy) -> npt.NDArray[np.bool_]:
    """Pixels whose middle is inside of a polygon: a ray to the right crosses its sides an odd number of times."""
    y, x = (np.indices(SIZE) + 0.5).astype(float)
    crossed = np.zeros(SIZE, int)
    for (x1, y1), (x2, y2) in zip(points, [*points[1:], points[0]], strict=True):
        if y1 != y2:
            crossed += ((y1 <= y) != (y2 <= y)) & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return crossed % 2 == 1


def disc_pixels(disc: Disc) -> npt.NDArray[np.bool_]:
    """Pixels whose middle is in a circle."""
    y, x = np.indices(SIZE) + 0.5
    return np.hypot(x - disc.middle[0], y - disc.middle[1]) <= disc.radius


def area_pixels(mark: Mark | Disc) -> npt.NDArray[np.bool_]:
    """Pixels of an area."""
    return disc_pixels(mark) if isinstance(mark, Disc) else inside(mark.points)


def true_mask(id: str) -> npt.NDArray[np.uint8]:
    """The areas of an image, later ones on top: 0 background, 1 cat, 2 dog."""
    mask = np.zeros(SIZE, np.uint8)
    for mark in SCENE[id]:
        if isinstance(mark, Disc) or mark.kind == "area":
            mask[area_pixels(mark)] = CLASSES.index(mark.name) + 1
    return mask


def vertices(mark: Mark | Disc, count: int = 90) -> Xy:
    """An area's outline, also for tools without circles."""
    if isinstance(mark, Mark):
        return mark.points
    angles = np.arange(count) * 2 * np.pi / count
    return [
        (float(mark.middle[0] + mark.radius * np.cos(a)), float(mark.middle[1] + mark.radius * np.sin(a)))
        for a in angles
    ]


def runs(values: npt.NDArray[np.bool_]) -> list[int]:
    """Lengths of 0 and 1 in turn, beginning with 0."""
    flat = values.reshape(-1)
    ends = np.flatnonzero(np.diff(flat.astype(int))) + 1
    lengths = np.diff([0, *ends.tolist(), flat.size]).tolist()
    return [0, *lengths] if flat[0] else lengths


def brush_bytes(region: npt.NDArray[np.bool_]) -> list[int]:
    """Label Studio's packing of an RGBA picture: groups of one repeated byte, and once a group of different ones."""
    flat = np.repeat(np.where(region, 255, 0).reshape(-1, 1), 4, axis=1).reshape(-1)
    bits = f"{flat.size:032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    bits += "0" + "00" + f"{2:03b}" + "".join(f"{int(value):08b}" for value in flat[:3])
    place = 3
    while place < flat.size:
        different = np.flatnonzero(flat[place : place + 65536] != flat[place])
        count = int(different[0]) if different.size else min(65536, flat.size - place)
        bits += "1" + "11" + f"{count - 1:016b}" + f"{int(flat[place]):08b}"
        place += count
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


def png(region: npt.NDArray[np.bool_]) -> bytes:
    """A region as a PNG of one bit."""
    out = io.BytesIO()
    Image.fromarray(region).save(out, "PNG")
    return out.getvalue()

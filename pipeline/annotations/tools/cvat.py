"""CVAT for images 1.1: one XML of all images. Shapes are in pixels, masks in runs along the rows of a window."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element

from pipeline.annotations.tools.brush import row_runs
from pipeline.annotations.tools.drawn import Bitmap, DrawnImage, Export, Shape
from pipeline.annotations.tools.values import corners, ellipse, number, pairs, size_of, turned, turned_box
from pipeline.datasets.images import MAX_PIXELS

VIDEO = "tracks of CVAT for video. Remedy: export the task as 'CVAT for images 1.1'"


def add(export: Export, path: Path, root: Element) -> None:
    """Add the images of ``annotations.xml``. ``occluded`` leaves points out alone; attributes are not read."""
    for label in root.iterfind("meta//labels/label/name"):
        export.declare((label.text or "").strip())
    if root.find("track") is not None:
        export.problems.append(f"{path}: expected images with their shapes, found {VIDEO}.")
    for item in root.iterfind("image"):
        name, subset = ((item.get(key) or "").strip() for key in ("name", "subset"))
        size = size_of(item.get("height"), item.get("width"))
        within = f"{subset}/{name}" if subset else name  # as the archive of a project has its files
        image = DrawnImage(within, f"{path} image '{within[:60]}'", size, also=name)
        export.images.append(image)
        for place, child in enumerate(item, start=1):
            _add_shape(export, image, child, f"{image.where} {child.tag[:20]} {place}")


def _add_shape(export: Export, image: DrawnImage, item: Element, where: str) -> None:
    if item.tag == "skeleton":  # its points have labels of their own; the class is the skeleton's
        for point in item.iterfind("points"):
            if point.get("outside") not in ("1", "true"):
                _read(export, image, point, where, item.get("label"))
        return
    if item.tag not in _SHAPES:
        export.skip(item.tag[:20])
        return
    _read(export, image, item, where, item.get("label"))


def _read(export: Export, image: DrawnImage, item: Element, where: str, label: str | None) -> None:
    try:
        if not label:
            raise ValueError("no label")
        for shape in _SHAPES[item.tag](item, label.strip(), where):
            image.shapes.append(shape)
    except ValueError as error:
        export.problems.append(f"{where}: expected a {item.tag} of CVAT for images 1.1, found {error}")


def _order(item: Element) -> int:
    return int(number(item.get("z_order", "0")))


def _points_of(item: Element, least: int) -> list[list[float]]:
    text = (item.get("points") or "").strip().strip(";")
    return pairs([part.split(",") for part in text.split(";")], least).tolist()  # type: ignore[no-any-return]


def _tag(item: Element, label: str, where: str) -> list[Shape]:
    return [Shape("tag", label, where)]


def _box(item: Element, label: str, where: str) -> list[Shape]:
    box = corners(item.get("xtl"), item.get("ytl"), item.get("xbr"), item.get("ybr"))
    outline = turned_box(box, number(item.get("rotation", "0")))
    return [Shape("box", label, where, outline, order=_order(item))]


def _polygon(item: Element, label: str, where: str) -> list[Shape]:
    return [Shape("area", label, where, pairs(_points_of(item, 3), 3), order=_order(item))]


def _polyline(item: Element, label: str, where: str) -> list[Shape]:
    return [Shape("stroke", label, where, pairs(_points_of(item, 2), 2), order=_order(item))]


def _points(item: Element, label: str, where: str) -> list[Shape]:
    hidden = item.get("occluded") in ("1", "true")
    return [Shape("point", label, where, pairs([point]), hidden=hidden) for point in _points_of(item, 1)]


def _ellipse(item: Element, label: str, where: str) -> list[Shape]:
    x, y, across, down = (number(item.get(key)) for key in ("cx", "cy", "rx", "ry"))
    outline = turned(ellipse(x, y, across, down), number(item.get("rotation", "0")), (x, y))
    return [Shape("area", label, where, outline, order=_order(item))]


def _mask(item: Element, label: str, where: str) -> list[Shape]:
    left, top, width, height = (int(number(item.get(key))) for key in ("left", "top", "width", "height"))
    if min(width, height) < 1 or width * height > MAX_PIXELS:
        raise ValueError(f"a window of {width} x {height} pixels")
    bitmap = Bitmap(left, top, (height, width), partial(row_runs, item.get("rle") or "", (height, width)))
    return [Shape("area", label, where, bitmap=bitmap, order=_order(item))]


_SHAPES: dict[str, Callable[[Element, str, str], list[Shape]]] = {
    "tag": _tag,
    "box": _box,
    "polygon": _polygon,
    "polyline": _polyline,
    "points": _points,
    "ellipse": _ellipse,
    "mask": _mask,
}

"""Annotation files of PASCAL VOC: one XML an image, with a box around each object."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from xml.etree import ElementTree

from models.errors import DataError
from pipeline.datasets.exports import foreign_xml
from pipeline.datasets.xml_files import read_xml

Corners = tuple[float, float, float, float]
KEYS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """One object.

    Attributes:
        name: its class, as the file has it.
        difficult: it is there, but not asked for.
        corners: as they stand there.
        counted: the corners are whole numbers, which VOC counts from 1, both ends inclusive; tools that write decimals
            (CVAT, Datumaro) measure from the image's left top corner, and so do those that write a 0 at left or top.
        whole: the corners are whole numbers, however they are counted.
        rotation: degrees clockwise about the middle, which these tools write as an attribute.
        outline: x, y of the vertices of a polygon in pixels from the left top corner; none without one.
    """

    name: str
    difficult: bool
    corners: Corners
    counted: bool = True
    whole: bool = True
    rotation: float = 0.0
    outline: tuple[tuple[float, float], ...] = ()

    @property
    def box(self) -> Corners:
        """XYXY in pixels from the image's left top corner; of a turned box the upright one around it."""
        x1, y1, x2, y2 = self.corners
        if self.counted:
            x1, y1 = x1 - 1, y1 - 1
        if not self.rotation:
            return x1, y1, x2, y2
        across, down = abs(math.cos(math.radians(self.rotation))), abs(math.sin(math.radians(self.rotation)))
        half_x = (across * (x2 - x1) + down * (y2 - y1)) / 2
        half_y = (down * (x2 - x1) + across * (y2 - y1)) / 2
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        return x - half_x, y - half_y, x + half_x, y + half_y


@dataclass(frozen=True)
class VocXml:
    """What an annotation file says.

    Attributes:
        size: (H, W) of the image that was annotated; None where the file does not say it (or says 0).
        objects: in the order of the file.
        image: file name of the image that was annotated; empty where the file does not say it.
    """

    size: tuple[int, int] | None
    objects: tuple[VocObject, ...]
    image: str = ""

    @property
    def from_zero(self) -> bool:
        """Whether a box begins at a whole 0, which nobody writes who counts from 1."""
        return any(0 in item.corners[:2] and item.whole for item in self.objects)


def read_voc_xml(path: Path) -> VocXml:
    """Read an annotation file.

    Raises:
        DataError: no such file, no XML, XML of another tool (which is named), or an object without a box.
    """
    root = read_xml(path, "a VOC annotation XML")
    if root.tag != "annotation":
        raise DataError(f"{path}: expected a VOC annotation XML, found {foreign_xml(root)}")
    return VocXml(_size(root), tuple(_objects(path, root)), (root.findtext("filename") or "").strip())


def object_boxes(path: Path, first: int = 1) -> list[tuple[str, bool, Corners]]:
    """(class name, difficult, XYXY with 0-based left/top and exclusive right/bottom) of a VOC annotation XML.

    VOC's files count pixels from 1 and their right and bottom are inclusive; with ``first`` 0 corners are left as they
    stand.

    Raises:
        DataError: not a VOC XML.
    """
    boxes = []
    for item in read_voc_xml(path).objects:
        x1, y1, x2, y2 = item.corners
        boxes.append((item.name, item.difficult, (x1 - first, y1 - first, x2, y2)))
    return boxes


def _objects(path: Path, root: ElementTree.Element) -> Iterator[VocObject]:
    zero = any(
        (item.findtext(f"bndbox/{key}") or "").strip() == "0" for item in root.iter("object") for key in KEYS[:2]
    )
    for number, item in enumerate(root.iter("object"), start=1):
        name = (item.findtext("name") or "").strip()
        texts = [(item.findtext(f"bndbox/{key}") or "").strip() for key in KEYS]
        try:
            x1, y1, x2, y2 = (float(text) for text in texts)
        except ValueError:
            found = ", ".join(f"{key} '{text[:20]}'" for key, text in zip(KEYS, texts, strict=True))
            raise DataError(
                f"{path}: expected a VOC annotation XML with bndbox (xmin, ymin, xmax, ymax) of each object, "
                f"found object {number} ('{name[:40]}') with {found if any(texts) else 'no bndbox'}."
            ) from None
        difficult = (item.findtext("difficult") or "").strip().lower() in ("1", "true")
        whole = not any("." in text for text in texts)
        outline = tuple(_outline(item, whole and not zero))
        yield VocObject(name, difficult, (x1, y1, x2, y2), whole and not zero, whole, _rotation(item), outline)


def _outline(item: ElementTree.Element, counted: bool) -> Iterator[tuple[float, float]]:
    """Vertices from the image's left top corner, of a polygon as Roboflow writes it: x1, y1, x2, y2, ..."""
    first = 1 if counted else 0
    for number in count(1):
        x, y = (item.findtext(f"polygon/{axis}{number}") for axis in "xy")
        if x is None or y is None:
            return
        try:
            yield float(x) - first, float(y) - first
        except ValueError:
            return


def _rotation(item: ElementTree.Element) -> float:
    """Of the attribute that CVAT and Datumaro write; 0 where there is none."""
    for attribute in item.iterfind("attributes/attribute"):
        if (attribute.findtext("name") or "").strip() == "rotation":
            try:
                degrees = float(attribute.findtext("value") or "0")
            except ValueError:
                return 0.0
            return degrees % 360 if math.isfinite(degrees) else 0.0
    return 0.0


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Some tools leave the size out, or write 0."""
    try:
        height, width = (int(float(root.findtext(f"size/{key}") or "0")) for key in ("height", "width"))
    except (ValueError, OverflowError):
        return None
    return (height, width) if height > 0 and width > 0 else None


def two_counts(from_zero: Sequence[bool]) -> str:
    """A sentence for a warning where some files with whole numbers begin at 0 and others may; else empty."""
    if not 0 < sum(from_zero) < len(from_zero):
        return ""
    return (
        f"{sum(from_zero)} of {len(from_zero)} files with whole numbers have a 0 at left or top and are read as "
        "counted from 0, the others as VOC counts, from 1. If one tool wrote them all, boxes of the others lie a pixel "
        "too far left and up. Remedy: let it write decimals, or export as COCO."
    )

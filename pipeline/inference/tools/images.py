"""What a labelling tool gets: images with the regions of their classes, and how these are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from models.errors import ConfigurationError
from models.ops.run_lengths import Region
from models.options import NonNegative, require
from pipeline.datasets.rle import decoded
from pipeline.inference.coco_ids import CocoIds

Shapes = Literal["masks", "polygons"]

USUAL: Mapping[str, Shapes] = {
    "cvat": "masks",
    "labelme": "polygons",
    "labelstudio": "masks",
    "coco": "masks",
    "yolo": "polygons",
}
"""The shapes of each tool where none are asked for: masks, which are exact, where people can correct them there."""


@dataclass(frozen=True)
class LabelledImage:
    """One image and its mask.

    Attributes:
        id: a name of its own among the images, fit for a file's name.
        name: of its file, as the tool knows it.
        path: of its file on this machine.
        size: (H, W) in pixels.
        segments: one for each class, as :func:`pipeline.inference.coco.coco_segments` makes them.
        score: how sure the network is of the whole mask, in [0,1]; None where nobody asked it.
    """

    id: str
    name: str
    path: Path
    size: tuple[int, int]
    segments: Sequence[Mapping[str, Any]]
    score: float | None = None

    def regions(self) -> Iterator[tuple[int, Region, float | None]]:
        """(class 1..C, bool [H,W], score or None) of each class in the image."""
        for segment in self.segments:
            yield segment["category_id"], decoded(segment["segmentation"]["counts"], self.size), segment.get("score")


class Images(Protocol):
    """The images of an export, read as they are written."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[LabelledImage]: ...


@dataclass(frozen=True)
class How:
    """How masks are written for a tool.

    Attributes:
        class_names: of the classes 1..C.
        shapes: masks (exact), or polygons.
        tolerance: pixels that a polygon may stray from the border of its region; less where more than a hundredth of
            the region would change. 0 keeps every corner.
        source: what made the masks, e.g. masks/segmenter.
        split: YOLO: name of the split.
        url: Label Studio: what stands before the name of an image.
        ids: COCO: ids of the user's own file.
    """

    class_names: tuple[str, ...]
    shapes: Shapes = "masks"
    tolerance: NonNegative = 1.0
    source: str = "weak2mask"
    split: str = "train"
    url: str = "/data/local-files/?d="
    ids: CocoIds | None = None

    def __post_init__(self) -> None:
        """Refuse a tolerance below 0 (ConfigurationError)."""
        require("export", How, {"tolerance": self.tolerance})


def shapes_for(tool: str, asked: Shapes | None) -> Shapes:
    """The shapes that were asked for, else the tool's usual ones.

    Raises:
        ConfigurationError: YOLO's files hold polygons alone.
    """
    if tool == "yolo" and asked == "masks":
        raise ConfigurationError("--shapes masks: files of YOLO hold polygons alone. Leave --shapes out.")
    return asked or USUAL[tool]

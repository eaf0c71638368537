"""COCO: the file that ``predict`` writes, of masks that are there already, also with polygons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.inference.coco import coco_dataset
from pipeline.inference.tools.images import How, Images, LabelledImage
from pipeline.inference.tools.polygons import outlines
from pipeline.inference.worker import write_json

FILE, RESULTS = "instances.json", "results.json"


def write(images: Images, folder: Path, how: How) -> None:
    """Write ``folder/instances.json``, a segment for each class; with ids of the user's own, also results.json."""
    listed = [(_name(image, how), image.size, _segments(image, how)) for image in images]
    content = coco_dataset(listed, how.class_names, how.ids)
    write_json(folder / FILE, content, indent=None)
    if how.ids is not None:
        write_json(folder / RESULTS, content["annotations"], indent=None)


def _name(image: LabelledImage, how: How) -> str:
    """The path below the folder of the images, by which programs that read COCO look for the file."""
    path, below = image.path.as_posix(), f"{image.id}{image.path.suffix}"
    return path if how.ids else below if f"/{path}".endswith(f"/{below}") else image.name


def _segments(image: LabelledImage, how: How) -> list[dict[str, Any]]:
    if how.shapes == "masks":
        return [dict(segment) for segment in image.segments]
    regions = [region for _, region, _ in image.regions()]
    return [
        {**segment, "segmentation": _polygons(region, how)}
        for segment, region in zip(image.segments, regions, strict=True)
    ]


def _polygons(region: Any, how: How) -> list[list[float]]:
    outlined = outlines(region, how.tolerance)
    return [polygon.round(2).ravel().tolist() for polygons in outlined for polygon in polygons]

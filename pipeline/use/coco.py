"""Masks in COCO's run-length form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from models.structures import Mask
from pipeline.rle import encoded

Segment = dict[str, Any]


def segments(mask: Mask, scores: Sequence[float]) -> list[Segment]:
    """One annotation for each class that a mask shows, as COCO writes it, without ids.

    Args:
        mask: uint8 [H,W] of 0..C.
        scores: 1+C numbers, the mean probability of each label.

    Returns:
        ``category_id`` 1..C, ``segmentation`` (compressed RLE), ``area`` in pixels, ``bbox`` XYWH, ``score``.
    """
    found = []
    for label in range(1, len(scores)):
        region = mask == label
        if region.any():
            counts, box = encoded(region)
            found.append(
                {
                    "category_id": label,
                    "segmentation": {"size": list(mask.shape), "counts": counts},
                    "area": int(region.sum()),
                    "bbox": box,
                    "score": round(float(scores[label]), 4),
                    "iscrowd": 0,
                }
            )
    return found


def dataset(
    images: Iterable[tuple[str, tuple[int, int], Sequence[Segment]]], class_names: Sequence[str]
) -> dict[str, Any]:
    """A file that ``pycocotools.coco.COCO`` loads; its ``annotations`` are also COCO results (``loadRes``).

    Args:
        images: (file name, (H, W), its :func:`segments`), in order; they are numbered from 1.
        class_names: of the categories 1..C.
    """
    listed, annotations = [], []
    for number, (name, (height, width), found) in enumerate(images, start=1):
        listed.append({"id": number, "file_name": name, "height": height, "width": width})
        annotations += [{"image_id": number, **segment} for segment in found]
    return {
        "info": {"description": "One segment for each class of an image, predicted by weak2mask."},
        "images": listed,
        "categories": [{"id": label, "name": name} for label, name in enumerate(class_names, start=1)],
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations, start=1)],
    }

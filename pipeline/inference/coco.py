"""Masks in COCO's run-length form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from models.structures import UNLABELLED, Mask
from pipeline.datasets.rle import encoded
from pipeline.inference.coco_ids import CocoIds

Segment = dict[str, Any]


def coco_segments(mask: Mask, scores: Sequence[float] | None = None) -> list[Segment]:
    """One annotation for each class that a mask shows, as COCO writes it, without ids.

    Args:
        mask: uint8 [H,W] of 0..C; 254 and 255, where a pseudo-mask says nothing, are in no segment.
        scores: 1+C numbers, the mean probability of each label; None where nobody asked a network.

    Returns:
        ``category_id`` 1..C, ``segmentation`` (compressed RLE), ``area`` in pixels, ``bbox`` XYWH, ``score``.
    """
    annotations = []
    for label in np.flatnonzero(np.bincount(mask.ravel(), minlength=256)[1:UNLABELLED]).tolist():
        region = mask == label + 1
        counts, box = encoded(region)
        annotations.append(
            {
                "category_id": label + 1,
                "segmentation": {"size": list(mask.shape), "counts": counts},
                "area": int(region.sum()),
                "bbox": box,
                **({} if scores is None else {"score": round(float(scores[label + 1]), 4)}),
                "iscrowd": 0,
            }
        )
    return annotations


def coco_dataset(
    images: Iterable[tuple[str, tuple[int, int], Sequence[Segment]]],
    class_names: Sequence[str],
    ids: CocoIds | None = None,
) -> dict[str, Any]:
    """A file that ``pycocotools.coco.COCO`` loads; its ``annotations`` are also COCO results (``loadRes``).

    Args:
        images: (file name, (H, W), its :func:`coco_segments`), in order; they are numbered from 1.
        class_names: of the categories 1..C.
        ids: of images and categories, in place of these numbers.
    """
    listed, annotations = [], []
    categories: Sequence[Mapping[str, Any]] = [
        {"id": label, "name": name} for label, name in enumerate(class_names, start=1)
    ]
    of_label: list[Any] = list(range(1, len(class_names) + 1))
    if ids is not None:
        categories, of_label = ids.categories, [ids.by_class[name] for name in class_names]
    for number, (name, (height, width), of_image) in enumerate(images, start=1):
        image = {"id": number, "file_name": name}
        if ids is not None:
            image = {key: ids.images[name][key] for key in image}
        listed.append({**image, "height": height, "width": width})
        annotations += [
            {"image_id": image["id"], **segment, "category_id": of_label[segment["category_id"] - 1]}
            for segment in of_image
        ]
    return {
        "info": {"description": "One segment for each class of an image, predicted by weak2mask."},
        "images": listed,
        "categories": list(categories),
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations, start=1)],
    }

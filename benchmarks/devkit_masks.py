"""Made class-agnostic masks beside made images, in the files of SAM and of segmenters that write COCO results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.ops.run_lengths import runs_of

CELLS = 3
"""Rows and columns of the rectangles that stand for what is no object."""


def write_sam(folder: Path, name: str, size: tuple[int, int], corners: Sequence[npt.NDArray[np.float64]]) -> None:
    """One JSON for an image of ``size`` (H, W), as SAM's automatic masks are written; ``corners`` as in `masks`."""
    content = [
        {"segmentation": mask, "predicted_iou": score, "stability_score": score} for mask, score in masks(size, corners)
    ]
    (folder / f"{name}.json").write_text(json.dumps(content))


def coco_results(name: str, size: tuple[int, int], corners: Sequence[npt.NDArray[np.float64]]) -> list[dict[str, Any]]:
    """The masks of one image as items of COCO results."""
    return [{"image_id": name, "segmentation": mask, "score": score} for mask, score in masks(size, corners)]


def masks(size: tuple[int, int], corners: Sequence[npt.NDArray[np.float64]]) -> Iterator[tuple[dict[str, Any], float]]:
    """Run lengths and score of each shape, of corners x, y float64 [n,2], and of rectangles that cover the image."""
    from skimage.draw import polygon2mask

    for number, shape in enumerate(corners):
        region = polygon2mask(size, shape[:, ::-1])
        if region.any():
            yield _run_lengths(region), round(0.95 - 0.02 * number, 2)
    rows, columns = (np.arange(length) * CELLS // length for length in size)
    cells = rows[:, None] * CELLS + columns
    for cell in np.unique(cells):
        yield _run_lengths(cells == cell), 0.7


def _run_lengths(region: npt.NDArray[np.bool_]) -> dict[str, Any]:
    return {"size": list(region.shape), "counts": runs_of(region).tolist()}

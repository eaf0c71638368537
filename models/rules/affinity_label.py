"""PSA's labels for learning affinities: confident pixels of two dense CRFs, on cells of a few pixels."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from models.ops.background import Scores, check_band, class_map, tagged
from models.ops.resize import resize_bilinear
from models.options import Positive, PositiveCount, Unsure, require
from models.refiners.crf_unary import unary_from_scores
from models.refiners.dense_crf import MeanField, crf_settings
from models.structures import Cam, Image, Mask

EMPTY = 1e-5
"""Cells whose every score is below it lie outside the image."""


def merge_scores(low: Scores, high: Scores, block: int) -> tuple[Mask, Scores]:
    """Label of each cell from the scores under a low and a high background exponent.

    A cell has the best class of the ``low`` run, background where the ``high`` run says so, and is unsure (255) where
    only the low one does, or where it lies outside the image.

    Args:
        low, high: [1+K,H,W], channel 0 background, H and W multiples of ``block``.
        block: side of a cell in pixels (PSA 8).

    Returns:
        (uint8 [h,w] of channel numbers 0..K and 255, cell means [h,w,2(1+K)] of both runs).

    Source: jiwoon-ahn/psa@9493e59:voc12/data.py (VOC12AffDataset).
    """
    means = [_cell_means(scores, block) for scores in (low, high)]
    confident, cautious = (mean.argmax(0) for mean in means)
    labels = np.where(confident == 0, 255, confident)
    labels = np.where(cautious == 0, 0, labels)
    pooled = np.concatenate(means)
    labels[(pooled < EMPTY).all(0)] = 255
    return labels.astype(np.uint8), np.moveaxis(pooled, 0, -1)


def _cell_means(scores: Scores, block: int) -> Scores:
    channels, height, width = scores.shape
    cells = scores.reshape(channels, height // block, block, width // block, block)
    means: Scores = cells.mean((2, 4), dtype=scores.dtype)
    return means


class AffinityLabel:
    """Pixels of which PSA's two dense CRFs are sure: the rule of :func:`merge_scores`."""

    needs_image: ClassVar[bool] = True
    built_by_check: ClassVar[bool] = True

    def __init__(
        self,
        low: Positive = 4.0,
        high: Positive = 24.0,
        block: PositiveCount = 8,
        unsure: Unsure = 255,
        preset: str = "psa",
    ) -> None:
        """Set the two runs.

        Args:
            low: background exponent of the run that decides foreground (PSA and SEAM 4, HFPL 1).
            high: of the run that decides background; at least ``low`` (PSA 32, SEAM and HFPL 24).
            block: side in pixels of the cells over which scores are averaged; 1 decides pixel by pixel.
            unsure: value of the pixels of which they are not sure, 255 void or 254 unlabelled.
            preset: numbers of the CRF.
        """
        given = {"low": low, "high": high, "block": block, "unsure": unsure}
        require("affinity_label", AffinityLabel.__init__, given)
        check_band("affinity_label", high, low)
        self.low, self.high, self.block, self.unsure = low, high, block, unsure
        self.settings = crf_settings(preset)

    def __call__(self, cam: Cam, image: Image | None, tags: npt.NDArray[np.bool_]) -> Mask:
        if image is None:
            raise ValueError("affinity_label needs the image")
        classes, scores = tagged(cam, tags)
        if not len(classes):
            return np.zeros(cam.size, np.uint8)
        scores = resize_bilinear(scores, cam.size)
        field = MeanField(image, 1 + len(scores), self.settings)
        low, high = (self._whole_cells(field(unary_from_scores(scores, alpha))) for alpha in (self.low, self.high))
        labels, _ = merge_scores(low, high, self.block)
        named = class_map(np.where(labels == 255, 0, labels).astype(np.intp), classes)
        named[labels == 255] = self.unsure
        pixels = named.repeat(self.block, 0).repeat(self.block, 1)
        return np.ascontiguousarray(pixels[: cam.size[0], : cam.size[1]])

    def _whole_cells(self, run: Scores) -> Scores:
        """The scores, the last row and column repeated until the cells are whole."""
        return np.pad(run, [(0, 0), *((0, -length % self.block) for length in run.shape[1:])], mode="edge")

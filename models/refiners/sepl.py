"""SEPL (Chen et al. 2023): the labels that a CAM stands for take the shape of class-agnostic masks."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from models.ops.background import complement_background, winner
from models.ops.proposal_merge import merge_order_free, merge_proposals
from models.ops.resize import resize_bilinear
from models.options import Share, ShareBelowOne, require
from models.structures import Cam, Proposals


class Sepl:
    """Aligner: labels are merged with proposals, and come back as scores of 0 and 1. Picklable."""

    built_by_check: ClassVar[bool] = True

    def __init__(
        self,
        threshold: ShareBelowOne = 0.0,
        inside: ShareBelowOne = 0.5,
        covered: Share = 0.85,
        keep_uncovered: bool = True,
        order_free: bool = False,
    ) -> None:
        """Choose the labels and the form of the merge.

        Args:
            threshold: constant background that makes labels of the CAM; 0 takes what its scores leave of 1, which suits
                posteriors (after a dense CRF).
            inside: a mask that lies in a class by more than this share belongs to it.
            covered: so does one that holds at least this share of the class; 0 leaves this way out.
            keep_uncovered: pixels of a class that no mask covers keep it.
            order_free: each mask goes to the class that fills most of it, and masks are painted from large to small;
                false is the published form, class by class (``covered`` and ``keep_uncovered`` are of that form).

        Raises:
            ConfigurationError: numbers out of range.
        """
        given = {"threshold": threshold, "inside": inside, "covered": covered}
        require("sepl", Sepl.__init__, given)
        self.threshold, self.inside, self.covered = threshold, inside, covered
        self.keep_uncovered, self.order_free = keep_uncovered, order_free

    def __call__(self, cam: Cam, proposals: Proposals) -> Cam:
        """Align one CAM.

        Args:
            cam: scores at any grid; upsampled bilinearly.
            proposals: of the same image, at least one.

        Returns:
            A Cam at image size of the scores 0 and 1, one at most for a pixel (rule "complement").
        """
        scores = resize_bilinear(cam.scores, cam.size)
        background = self.threshold or complement_background(scores)
        labels = winner(scores, background).astype(np.uint8)  # 1..K, in the order of the classes
        if self.order_free:
            merged = merge_order_free(labels, proposals.masks, self.inside)
        else:
            covered, keep = self.covered or None, self.keep_uncovered
            merged, _ = merge_proposals(labels, proposals.masks, self.inside, covered, keep)
        shaped = (merged == np.arange(1, 1 + len(scores))[:, None, None]).astype(np.float32)
        return Cam(cam.classes, shaped, cam.size, cam.instances)

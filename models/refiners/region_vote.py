"""Region vote: every proposal has one score for each class, from the CAM inside it, and gives it to its pixels."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from models.ops.resize import resize_bilinear
from models.options import require
from models.structures import Cam, Proposals

SMALLEST = np.float32(1e-6)
"""Weight of a proposal whose score is 0: where it is alone its vote counts."""


class RegionVote:
    """Aligner: each pixel takes the mean vote of the proposals that cover it, weighted by their scores. Picklable."""

    built_by_check: ClassVar[bool] = True

    def __init__(self, vote: Literal["mean", "sum"] = "mean") -> None:
        """Choose the vote.

        Args:
            vote: "mean" of the CAM inside a proposal; "sum", as a share of the largest sum of the image: a class then
                lives in the proposals that hold most of it.

        Raises:
            ConfigurationError: another vote.
        """
        require("region_vote", RegionVote.__init__, {"vote": vote})
        self.vote = vote

    def __call__(self, cam: Cam, proposals: Proposals) -> Cam:
        """Align one CAM.

        Args:
            cam: scores at any grid; upsampled bilinearly.
            proposals: of the same image, at least one.

        Returns:
            A Cam at image size; pixels that no proposal covers keep their scores.
        """
        scores = resize_bilinear(cam.scores, cam.size)
        votes = np.stack([scores[:, mask].mean(1) for mask in proposals.masks])  # [M,K]
        if self.vote == "sum":
            votes *= proposals.masks.sum((1, 2))[:, None]
            votes /= max(votes.max(), SMALLEST)
        total = np.zeros_like(scores)
        weight = np.zeros(cam.size, np.float32)
        for mask, vote, sure in zip(proposals.masks, votes, np.maximum(proposals.scores, SMALLEST), strict=True):
            total[:, mask] += (sure * vote)[:, None]
            weight[mask] += sure
        voted = np.where(weight > 0, total / np.maximum(weight, SMALLEST), scores).astype(np.float32)
        return Cam(cam.classes, voted.clip(0, 1), cam.size, cam.instances)

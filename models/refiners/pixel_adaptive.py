"""PAMR, PAR and VARM over a store: every class of a CAM, and its background, averaged over pixels that look alike."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from models.ops.adaptive_settings import DILATIONS, AdaptiveSettings, Kind
from models.ops.background import Scores, power_background
from models.ops.resize import resize_bilinear
from models.options import Distances, Positive, PositiveCount, ShareBelowOne, require
from models.structures import Cam, Image


class PixelAdaptiveRefiner:
    """Refiner: pixel-adaptive averages at image size. Picklable."""

    built_by_check: ClassVar[bool] = True

    def __init__(
        self,
        kind: Kind = "pamr",
        iterations: PositiveCount = 10,
        dilations: Distances = DILATIONS,
        alpha: Positive = 4.0,
        threshold: ShareBelowOne = 0.0,
    ) -> None:
        """Choose the refinement and the background that competes.

        Args:
            kind: "pamr" (1-stage-wseg), "par" (AFA) or "varm" (RTC).
            iterations: times the scores are averaged.
            dilations: distances of the eight neighbours in pixels.
            alpha: exponent of the background ``(1 - max)^alpha``; not read where ``threshold`` is given.
            threshold: constant background score instead (RTC .55 and .20, AFA .45); 0 takes ``alpha``.

        Raises:
            ConfigurationError: an unknown kind, or numbers out of range.
        """
        given = {"alpha": alpha, "threshold": threshold}
        require("pixel_adaptive", PixelAdaptiveRefiner.__init__, given)
        self.settings = AdaptiveSettings(kind, iterations, dilations)
        self.alpha, self.threshold = alpha, threshold

    def __call__(self, image: Image, cam: Cam) -> Cam:
        """Refine one CAM.

        Args:
            image: uint8 RGB [H,W,3], the size of ``cam.size``.
            cam: scores at any grid; upsampled bilinearly.

        Returns:
            A Cam at image size whose scores are shares of the total, the background's included (rule "complement").
            A CAM without classes comes back as it is; one that is zero everywhere as zeros at image size.
        """
        if not len(cam.classes):
            return cam
        scores = resize_bilinear(cam.scores, cam.size)
        if scores.any():
            background = power_background(scores, self.alpha)
            if self.threshold:
                background = np.full_like(background, self.threshold)
            scores = self._refine(image, np.concatenate([background[None], scores]))[1:]
        return Cam(cam.classes, scores, cam.size, cam.instances)

    def _refine(self, image: Image, scores: Scores) -> Scores:
        """Shares of the total, float32 [1+K,H,W], after refinement."""
        import torch

        from models.ops.pixel_adaptive import PixelAdaptive

        refine = PixelAdaptive(self.settings.kind, self.settings.iterations, self.settings.dilations)
        picture = torch.from_numpy(image).permute(2, 0, 1).float() / 255
        with torch.no_grad():
            shares = torch.from_numpy(scores / scores.sum(0))
            refined: Scores = refine(picture[None], shares[None])[0].clamp(min=0).numpy()
        total: Scores = np.maximum(refined.sum(0), 1e-12)
        normalised: Scores = refined / total
        return normalised

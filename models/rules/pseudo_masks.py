"""Rules that turn a CAM into a pseudo-mask: the background is decided here, never stored.

A rule is built from keyword options and called as ``rule(cam, image, tags) -> seeds uint8 [H,W]`` at image size.
Only tagged classes appear in the result. An image whose tags are all off is background everywhere: tags are
taken as complete, so nothing else can be there.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from models.ops.background import check_band, class_map, complement_background, power_background, tagged, winner
from models.ops.presets import preset_of
from models.options import Positive, Share, ShareBelowOne, Unsure, require
from models.structures import IGNORE, UNLABELLED, Cam, Image, Mask

CONSTANTS: dict[str, float] = {
    "irn": 0.25,
    "advcam": 0.25,
    "rib": 0.27,
    "rib_coco": 0.22,
    "recam": 0.28,
    "amn": 0.25,
    "ppc": 0.27,
}
"""Published backgrounds after the random walk of the same name (docs/methods/pseudo_masks.md, section 1)."""

POWERS: dict[str, float] = {"psa": 16.0, "seam": 6.0, "hfpl": 6.0, "spml": 6.0}
"""Published exponents of the background of the scores (docs/methods/pseudo_masks.md, section 2)."""


class Rule(Protocol):
    """What make_pseudo_masks calls. ``image`` is None unless the rule says that it needs one."""

    needs_image: ClassVar[bool]

    def __call__(self, cam: Cam, image: Image | None, tags: npt.NDArray[np.bool_]) -> Mask: ...


class Constant:
    """The best class where its score is above a constant (IRN's walk; the CAM evaluation of HFPL, SEAM and IRN)."""

    needs_image: ClassVar[bool] = False
    built_by_check: ClassVar[bool] = True

    def __init__(self, threshold: Share | None = None, preset: str = "irn") -> None:
        """Set the background.

        Args:
            threshold: its score, in [0,1]; None takes the preset's.
            preset: key of :data:`CONSTANTS`.
        """
        published = preset_of(CONSTANTS, preset, "constant")
        threshold = published if threshold is None else threshold
        require("constant", Constant.__init__, {"threshold": threshold})
        self.threshold = threshold

    def __call__(self, cam: Cam, image: Image | None, tags: npt.NDArray[np.bool_]) -> Mask:
        classes, scores = tagged(cam, tags)
        return class_map(winner(scores, self.threshold), classes)


class Power:
    """The best class where its score is above ``(1 - max)^alpha`` (PSA; HFPL's walk prior has alpha 6).

    SPML's seeds for image tags leave pixels unlabelled whose best probability is below 0.2. With few classes in an
    image no pixel is: the best of background and K classes has a share of at least 1/(1+K).
    """

    needs_image: ClassVar[bool] = False
    built_by_check: ClassVar[bool] = True

    def __init__(self, alpha: Positive | None = None, preset: str = "seam", least: ShareBelowOne = 0.0) -> None:
        """Set the background.

        Args:
            alpha: exponent; pixels are foreground from a score of .50 (1), .28 (4), .22 (6), .12 (16) on; None takes
                the preset's.
            preset: key of :data:`POWERS`.
            least: share that the best of background and classes must have of their sum, or the pixel is unlabelled
                (254); 0 labels all (SPML 0.2).
        """
        published = preset_of(POWERS, preset, "power")
        alpha = published if alpha is None else alpha
        require("power", Power.__init__, {"alpha": alpha, "least": least})
        self.alpha, self.least = alpha, least

    def __call__(self, cam: Cam, image: Image | None, tags: npt.NDArray[np.bool_]) -> Mask:
        classes, scores = tagged(cam, tags)
        if not len(scores):
            return class_map(winner(scores, 0), classes)
        background = power_background(scores, self.alpha)
        labels = class_map(winner(scores, background), classes)
        if self.least:
            best = np.maximum(background, scores.max(0))
            labels[best < self.least * (background + scores.sum(0))] = UNLABELLED
        return labels


class Complement:
    """The best class where its score is above ``1 - sum``: for posteriors, such as a refined CAM's (ICAM)."""

    needs_image: ClassVar[bool] = False
    built_by_check: ClassVar[bool] = True

    def __init__(self, peak: Share = 0.0, confidence: Share = 0.0) -> None:
        """Set the weight of weak classes, and how sure a label must be.

        Args:
            peak: divide background and classes by their own largest value in the image, or by this, if that is
                smaller; 0 compares them as they are (SPML 0.15, for shares of labels among neighbours).
            confidence: pixels whose best posterior is below it are void (255); 0 labels all (CLIP-ES 0.95).
        """
        require("complement", Complement.__init__, {"peak": peak, "confidence": confidence})
        self.peak, self.confidence = peak, confidence

    def __call__(self, cam: Cam, image: Image | None, tags: npt.NDArray[np.bool_]) -> Mask:
        classes, scores = tagged(cam, tags)
        background = complement_background(scores)
        unsure = np.maximum(background, scores.max(0, initial=0)) < self.confidence
        if self.peak:
            scores = scores / np.maximum(scores.max((1, 2), keepdims=True, initial=0), self.peak)
            background = background / max(float(background.max(initial=0)), self.peak)
        return np.where(unsure, np.uint8(IGNORE), class_map(winner(scores, background), classes))


class TwoThreshold:
    """Foreground above ``high``, background up to ``low``, unsure between (RTC, AFA)."""

    needs_image: ClassVar[bool] = False
    built_by_check: ClassVar[bool] = True

    def __init__(self, high: ShareBelowOne = 0.5, low: ShareBelowOne = 0.35, unsure: Unsure = 255) -> None:
        """Set the band.

        Args:
            high: above it a pixel has its best class.
            low: up to it a pixel is background; at most ``high``.
            unsure: value of the pixels between, 255 void or 254 unlabelled.
        """
        require("two_threshold", TwoThreshold.__init__, {"high": high, "low": low, "unsure": unsure})
        check_band("two_threshold", high, low)
        self.high, self.low, self.unsure = high, low, unsure

    def __call__(self, cam: Cam, image: Image | None, tags: npt.NDArray[np.bool_]) -> Mask:
        classes, scores = tagged(cam, tags)
        sure = winner(scores, self.high)
        band = (sure == 0) & (winner(scores, self.low) != 0)
        return np.where(band, np.uint8(self.unsure), class_map(sure, classes))

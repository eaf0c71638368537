"""IRN's labels of confident pixels, from two dense CRFs started at a high and at a low background."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from models.ops.background import check_band, tagged, winner
from models.ops.presets import preset_of
from models.ops.resize import resize_bilinear
from models.options import InnerShare, ShareBelowOne, Unsure, require
from models.refiners.crf_unary import unary_from_labels
from models.refiners.dense_crf import PRESETS, CrfSettings, MeanField, crf_settings
from models.structures import Cam, Image, Mask

BACKGROUNDS: dict[str, tuple[float, float]] = {
    "irn": (0.30, 0.05),
    "advcam": (0.35, 0.15),
    "rib": (0.35, 0.17),
    "recam": (0.35, 0.10),
    "amn": (0.45, 0.15),
    "amn_seed": (0.30, 0.05),  # of the classifier's CAMs, for the page "amn"
}
"""Published backgrounds of the runs for foreground and for background (docs/methods/pseudo_masks.md, section 6)."""


def ir_label(
    image: Image,
    cam: Cam,
    fg_threshold: ShareBelowOne = 0.3,
    bg_threshold: ShareBelowOne = 0.05,
    *,
    unsure: Unsure = 255,
    certainty: InnerShare = 0.7,
    settings: CrfSettings = PRESETS["irn"],
) -> Mask:
    """IRN's label of confident pixels: two label-CRFs, started at a high and at a low constant background.

    A pixel has the class of the first run where that is foreground, background where both runs say so, else ``unsure``.

    Args:
        image: uint8 RGB [H,W,3], the size of ``cam.size``.
        cam: scores at any grid; without classes the whole image is background.
        fg_threshold: background score of the first run (IRN .30).
        bg_threshold: background score of the second run (IRN .05).
        unsure: value of the pixels on which the runs disagree, 255 or 254.
        certainty: probability of the starting labels.
        settings: numbers of the CRF.

    Returns:
        uint8 [H,W].

    Raises:
        ConfigurationError: numbers out of range.

    Source: jiwoon-ahn/irn@a2ece00:step/cam_to_ir_label.py.
    """
    given = {"fg_threshold": fg_threshold, "bg_threshold": bg_threshold, "unsure": unsure, "certainty": certainty}
    require("ir_label", ir_label, given)
    if not len(cam.classes):
        return np.zeros(cam.size, np.uint8)
    scores = resize_bilinear(cam.scores, cam.size)
    field = MeanField(image, 1 + len(scores), settings)
    keys = np.array([0, *cam.classes], np.uint8)
    foreground, background = (
        keys[field(unary_from_labels(winner(scores, threshold), len(keys), certainty)).argmax(0)]
        for threshold in (fg_threshold, bg_threshold)
    )
    return np.where((foreground == 0) & (background != 0), np.uint8(unsure), foreground)


class IrLabel:
    """Pixels on which two label-CRFs agree (IRN): the rule of :func:`ir_label`."""

    needs_image: ClassVar[bool] = True
    built_by_check: ClassVar[bool] = True

    def __init__(
        self,
        high: ShareBelowOne | None = None,
        low: ShareBelowOne | None = None,
        unsure: Unsure = 255,
        preset: str = "irn",
        certainty: InnerShare = 0.7,
        crf_preset: str = "irn",
    ) -> None:
        """Set the two starts.

        Args:
            high: constant background of the run that decides foreground; None takes the preset's.
            low: constant background of the run that decides background, at most ``high``; None takes the preset's.
            unsure: value of the pixels on which the runs disagree, 255 void or 254 unlabelled.
            preset: key of :data:`BACKGROUNDS`.
            certainty: probability of the starting labels, in (0,1).
            crf_preset: numbers of the CRF (all of the family: "irn").

        Raises:
            ConfigurationError: an unknown preset, or numbers out of range.
        """
        published = preset_of(BACKGROUNDS, preset, "ir_label")
        high, low = (
            option if option is not None else other for option, other in zip((high, low), published, strict=True)
        )
        given = {"high": high, "low": low, "unsure": unsure, "certainty": certainty}
        require("ir_label", IrLabel.__init__, given)
        check_band("ir_label", high, low)
        self.high, self.low, self.unsure = high, low, unsure
        self.certainty, self.settings = certainty, crf_settings(crf_preset)

    def __call__(self, cam: Cam, image: Image | None, tags: npt.NDArray[np.bool_]) -> Mask:
        if image is None:
            raise ValueError("ir_label needs the image")
        classes, scores = tagged(cam, tags)
        return ir_label(
            image,
            Cam(classes, scores, cam.size),
            self.high,
            self.low,
            unsure=self.unsure,
            certainty=self.certainty,
            settings=self.settings,
        )

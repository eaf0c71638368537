"""Random-walk refinement: the scores of a CAM spread along the links of a pixel graph (PSA, IRN, SPML)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from models.errors import ConfigurationError
from models.ops.background import Scores, complement_background, power_background
from models.ops.boxes import box_mask
from models.ops.presets import preset_of
from models.ops.resize import resize_bilinear
from models.options import NonNegative, Positive, ShareBelowOne, Whole, require
from models.structures import Cam, Links

LogSteps = Annotated[Whole, Field(ge=0, le=12, description="a whole number from 0 to 12")]


@dataclass(frozen=True, slots=True)
class WalkSettings:
    """How scores enter the walk, how far they go, and how they come back.

    Attributes:
        beta: exponent of the affinities; larger keeps the walk within stronger links.
        log_t: the walk takes ``2^log_t`` steps.
        alpha: exponent of a background ``(1 - max)^alpha`` that walks along and competes at the end; 0 for none.
        cam_power: exponent of the scores before they enter.
        pooled: scores enter as means over their cell; else by bilinear resizing.
        scaled: without a background in the walk, divide at the end by the image's largest score.
        peaked: the scores are posteriors; their rest, the background, walks along, and each enters divided by its
            largest value in the image (``alpha`` must be 0).
        boxes: above 0, a class starts only in the boxes of what is above this share of its largest score.
        stretched: at the end each class goes from 0 to 1, whatever its largest score, and the cells cover the image.
    """

    beta: Positive = 8
    log_t: LogSteps = 8
    alpha: NonNegative = 16
    cam_power: Positive = 1
    pooled: bool = True
    scaled: bool = True
    peaked: bool = False
    boxes: ShareBelowOne = 0
    stretched: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that make no walk (ConfigurationError)."""
        require("random walk", WalkSettings, asdict(self))
        if self.peaked and self.alpha:
            raise ConfigurationError(f"random walk: with peaked expected alpha 0, found {self.alpha}.")
        if (self.boxes or self.stretched) and self.with_background:
            raise ConfigurationError(
                "random walk: boxes and stretched are for classes without a background in the walk. "
                "Remedy: alpha: 0, peaked: false."
            )

    @property
    def with_background(self) -> bool:
        """Whether a background walks along."""
        return self.peaked or bool(self.alpha)


PRESETS: dict[str, WalkSettings] = {
    "psa": WalkSettings(8, 8, 16),
    "seam": WalkSettings(8, 6, 6),
    "hfpl": WalkSettings(8, 6, 6),
    "ppc": WalkSettings(8, 6, 0, scaled=False),  # its background is constant: a walk does not change it
    "irn": WalkSettings(10, 8, 0, pooled=False),
    "recam": WalkSettings(10, 8, 0, pooled=False),
    "advcam": WalkSettings(10, 8, 0, 1.5, pooled=False),
    "sipe": WalkSettings(10, 8, 0, 1.5, pooled=False),
    "rib": WalkSettings(10, 8, 0, 1.3, pooled=False),
    "amn": WalkSettings(10, 8, 0, 1.3, pooled=False),
    "spml": WalkSettings(20, 6, 6, pooled=False),
    "spml_softmax": WalkSettings(20, 6, 0, pooled=False, peaked=True),
    "clip_es": WalkSettings(1, 1, 0, pooled=False, boxes=0.4, stretched=True),
    "clip_es_coco": WalkSettings(1, 1, 0, pooled=False, boxes=0.7, stretched=True),
    "excel": WalkSettings(1, 1, 0, pooled=False, boxes=0.79, stretched=True),
    "excel_coco": WalkSettings(1, 1, 0, pooled=False, boxes=0.88, stretched=True),
}
"""Published numbers by method (docs/methods/random_walk.md, section 4).

The rule that follows is "complement" where a background walks along, else "constant" with the preset of the same name;
SIPE has none, as its background is a channel of its own.
"""


EPS = np.float32(1e-12)


class RandomWalk:
    """Walks a CAM over the links of its image. Picklable."""

    built_by_check: ClassVar[bool] = True
    reads: ClassVar[str] = "links"

    def __init__(
        self,
        preset: str = "psa",
        beta: Positive | None = None,
        log_t: LogSteps | None = None,
        alpha: NonNegative | None = None,
        cam_power: Positive | None = None,
        pooled: bool | None = None,
        scaled: bool | None = None,
        peaked: bool | None = None,
        boxes: ShareBelowOne | None = None,
        stretched: bool | None = None,
    ) -> None:
        """Choose the numbers.

        Args:
            preset: key of :data:`PRESETS`; the options below that are None take its numbers.
            beta, log_t, alpha, cam_power, pooled, scaled, peaked, boxes, stretched: as in :class:`WalkSettings`.

        Raises:
            ConfigurationError: unknown preset, or numbers out of range.
        """
        published = preset_of(PRESETS, preset, "random walk")
        overrides: dict[str, Any] = {
            "beta": beta,
            "log_t": log_t,
            "alpha": alpha,
            "cam_power": cam_power,
            "pooled": pooled,
            "scaled": scaled,
            "peaked": peaked,
            "boxes": boxes,
            "stretched": stretched,
        }
        chosen = {name: value for name, value in overrides.items() if value is not None}
        self.settings = replace(published, **chosen)

    def __call__(self, links: Links, cam: Cam) -> Cam:
        """Refine one CAM.

        Args:
            links: of the CAM's image.
            cam: scores at any grid.

        Returns:
            A Cam at image size. With a background in the walk its scores are posteriors, whose rule is "complement";
            without one they are divided by the image's largest score, if ``scaled``, and the rule is "constant". A CAM
            without classes comes back as it is, one that is zero everywhere as zeros at image size.
        """
        if not len(cam.classes):
            return cam
        if not cam.scores.any():
            return Cam(cam.classes, np.zeros((len(cam.classes), *cam.size), np.float32), cam.size, cam.instances)
        walked = links.walk(self.entering(cam, links), self.settings.beta, 2**self.settings.log_t)
        return Cam(cam.classes, self._leaving(walked.astype(np.float32), cam.size, links), cam.size, cam.instances)

    def entering(self, cam: Cam, links: Links) -> Scores:
        """What walks: [background, if any, and K classes; h, w] on the grid of the links."""
        scores = np.power(cam.scores, np.float32(self.settings.cam_power))
        if self.settings.alpha:
            scores = resize_bilinear(scores, cam.size)
            scores = np.concatenate([power_background(scores, self.settings.alpha)[None], scores])
        if self.settings.peaked:
            scores = np.concatenate([complement_background(scores)[None], scores])
        if self.settings.pooled:
            entered = _cell_means(resize_bilinear(scores, cam.size), links.grid, links.stride)
        else:
            entered = resize_bilinear(scores, links.grid)
        if self.settings.boxes:
            entered = entered * np.stack([box_mask(map, self.settings.boxes) for map in entered])
        return entered / np.maximum(entered.max((1, 2), keepdims=True), EPS) if self.settings.peaked else entered

    def _leaving(self, walked: Scores, size: tuple[int, int], links: Links) -> Scores:
        if self.settings.stretched:
            return _unit(resize_bilinear(_stretch(walked), size))
        scores = _enlarge(walked, size, links)
        if self.settings.with_background:
            return _unit(scores[1:] / scores.sum(0))
        return _unit(scores / max(float(scores.max()), 1e-12) if self.settings.scaled else scores)


def _unit(scores: Scores) -> Scores:
    clipped: Scores = np.clip(scores, 0, 1)
    return clipped


def _stretch(maps: Scores) -> Scores:
    """Each map from 0 to (almost) 1: ``models.ops.cam.min_max`` without torch."""
    shifted = maps - maps.min((1, 2), keepdims=True)
    stretched: Scores = shifted / (np.float32(1e-7) + shifted.max((1, 2), keepdims=True))
    return stretched


def _cell_means(scores: Scores, grid: tuple[int, int], stride: int) -> Scores:
    """Mean of each cell's block of pixels; beyond the image there is zero."""
    padding = [(0, cells * stride - length) for cells, length in zip(grid, scores.shape[1:], strict=True)]
    padded = np.pad(scores, [(0, 0), *padding])
    means: Scores = padded.reshape(len(scores), grid[0], stride, grid[1], stride).mean((2, 4), dtype=np.float32)
    return means


def _enlarge(walked: Scores, size: tuple[int, int], links: Links) -> Scores:
    """Scores of the cells at the image's size: a grid that reaches beyond the image is cropped, else stretched."""
    covered = (links.grid[0] * links.stride, links.grid[1] * links.stride)
    if covered[0] < size[0] or covered[1] < size[1]:
        return resize_bilinear(walked, size)
    return resize_bilinear(walked, covered)[:, : size[0], : size[1]]

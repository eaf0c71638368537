"""Numbers for a book: how large, how long, from which weights, and about how many minutes it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from models.errors import DataError
from pipeline.new_book.survey import Survey

Style = Literal["fast", "small", "default"]


@dataclass(frozen=True)
class _Base:
    """Backbone, crop, optimiser steps and least epochs of the two trainings, whether results are worth a longer way:
    CAMs of SEAM with HFPL, which take twice the time of plain ones, and predictions over scales with a CRF."""

    backbone: str
    crop: int
    steps: tuple[int, int]
    least_epochs: tuple[int, int]
    thorough: bool


STYLES: dict[Style, _Base] = {
    "fast": _Base("mobilenet_v2", 192, (60, 90), (1, 1), False),
    "small": _Base("mobilenet_v2", 256, (200, 350), (6, 10), True),
    "default": _Base("resnet50", 321, (1500, 3000), (6, 12), True),
}
"""fast: does it run at all; small: a CPU; default: a GPU."""

TRAINED_LONG_SIDE = 448
"""Objects are learnt in images of about this length; larger images are looked at at a smaller scale."""


@dataclass(frozen=True)
class BookPlan:
    """The numbers of one book; ``cam_scales`` and ``scales`` are factors of the user's images' size.

    ``seam``: CAMs of SEAM with HFPL; random weights and more classes than a mask can hold get plain ones.
    ``pretrained`` weights let layers stay as they are (``freeze_bn``, ``frozen_stages``). ``half``: this processor
    computes in bfloat16, which halves the time.
    """

    style: Style
    backbone: str
    crop: int
    batch_size: int
    epochs: tuple[int, int]
    cam_scales: tuple[float, ...]
    grid: int
    scales: tuple[float, ...]
    thorough: bool
    seam: bool
    pretrained: bool
    half: bool
    long_sides: tuple[tuple[int, int], tuple[int, int]]
    warmup: tuple[int, int]

    @property
    def adamw(self) -> bool:
        """The segmenter's optimiser; measured for MobileNetV2 alone (docs/lab/2026-11-30_adamw.md)."""
        return self.backbone == "mobilenet_v2" and self.pretrained


def plan_book(
    survey: Survey, style: Style, backbone: str | None = None, *, pretrained: bool = True, half: bool = False
) -> BookPlan:
    """Numbers for a folder of this many images of this size.

    Args:
        survey: the folder.
        style: key of :data:`STYLES`.
        backbone: instead of the style's.
        pretrained: the weights to start from are not random.
        half: train in bfloat16.
    """
    base = STYLES[style]
    taught = survey.train if survey.taught is None else survey.taught
    batch = min(16, taught)
    each = taught // batch
    first, second = (
        max(least, math.ceil(steps / each)) for steps, least in zip(base.steps, base.least_epochs, strict=True)
    )
    long_side = max(survey.size)
    if long_side < 32:
        raise DataError(f"Expected images of 32 pixels or more, found {survey.size[1]} x {survey.size[0]}.")
    unit = min(1.0, TRAINED_LONG_SIDE / long_side) if long_side > 1.5 * TRAINED_LONG_SIDE else 1.0
    near = round(long_side * unit)
    return BookPlan(
        style=style,
        backbone=backbone or base.backbone,
        crop=min(base.crop, max(64, 32 * math.ceil(near / 32))),
        batch_size=batch,
        epochs=(first, second),
        cam_scales=_times(unit, (1.0,) if style == "fast" else (0.5, 1.0, 1.5)),
        grid=max(4, round(4 / unit)),
        scales=_times(unit, (0.75, 1.0, 1.25) if base.thorough else (1.0,)),
        thorough=base.thorough,
        seam=base.thorough and pretrained and survey.makes_masks,
        pretrained=pretrained,
        half=half,
        long_sides=((round(0.5 * near), round(0.9 * near)), (round(0.55 * near), round(1.1 * near))),
        warmup=(min(30, first * each // 6), min(30, second * each // 10)),
    )


def _times(unit: float, factors: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(unit * factor, 3) for factor in factors)


def minutes(survey: Survey, chosen: BookPlan, cores: int, gpu: bool) -> int:
    """About how long the book runs, from what the stages took on a quiet machine; within a factor of two or so."""
    pixels = survey.size[0] * survey.size[1] / 1e6
    heavy = 4 if chosen.backbone.startswith("resnet") else 1
    network = heavy / (40 if gpu else cores)
    crop = (chosen.crop / 256) ** 2
    seen = survey.train * ((0.22 if chosen.seam else 0.12) * chosen.epochs[0] + 0.2 * chosen.epochs[1]) * crop
    seen *= 0.5 if chosen.half else 1.0
    views = sum(scale**2 for scale in chosen.cam_scales) * 2 * pixels * survey.train
    views += sum(scale**2 for scale in chosen.scales) * (2 if chosen.thorough else 1) * pixels * survey.total
    refined = 2.2 * pixels * (survey.train + (survey.total if chosen.thorough else 0)) / cores
    return max(1, round((60 + network * (seen + 0.3 * views) + refined) / 60))

"""How images become training batches: the options that ``check`` validates without importing torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf
from typing import Annotated, ClassVar

from pydantic import Field

from models.errors import ConfigurationError
from models.options import Count, NonNegative, Number, PositiveCount, Share, Side, Whole, require


@dataclass(frozen=True, slots=True)
class LoaderOptions:
    """How images become batches.

    Attributes:
        batch_size: images of one optimiser step, over all its parts and processes.
        crop: side of the square crop in pixels; smaller images are padded with the mean colour, their seeds with 255.
        scale: (lowest, highest) factor of the image's size, uniform.
        long_side: (lowest, highest) length of the long side in pixels, uniform; (0, 0) uses ``scale``.
        square: side in pixels of the square that every image is stretched to before the crop, instead of ``scale``
            and ``long_side`` (object localisation: 256); 0 keeps the shape.
        flip: mirror half of the images.
        mirrored_classes: pairs of classes that change places in a mirrored image, such as left and right hand.
        brightness, contrast, saturation, hue: strengths of the colour jitter, 0 for none.
        jittered: share of the images that it changes.
        hsv: largest whole step by which hue (of 180), saturation and value (of 255) move, each uniform; 0 for none.
        grey, blurred: share of the images that lose their colour, and that are smoothed (5x5 Gaussian of a sigma in
            [0.1,5] pixels).
        views: random views of an image that a training has, the same for every seed: epoch e shows view
            e mod ``views``; 0 draws a new one in every epoch.
        cache: decode every image once and keep it in memory.
        num_workers: processes that load; -1 takes :func:`pipeline.compute.runtime.workers`, at most 8. Changes no
            batch.
    """

    built_by_check: ClassVar[bool] = True

    batch_size: PositiveCount = 16
    crop: PositiveCount = 256
    scale: tuple[float, float] = (1.0, 1.0)
    long_side: tuple[int, int] = (0, 0)
    square: Side = 0
    flip: bool = True
    mirrored_classes: tuple[tuple[int, int], ...] = ()
    brightness: NonNegative = 0.0
    contrast: NonNegative = 0.0
    saturation: NonNegative = 0.0
    hue: Annotated[Number, Field(ge=0, le=0.5, description="a number from 0 to 0.5")] = 0.0
    jittered: Share = 1.0
    hsv: Annotated[Whole, Field(ge=0, le=90, description="a whole number from 0 to 90")] = 0
    grey: Share = 0.0
    blurred: Share = 0.0
    views: Count = 0
    cache: bool = False
    num_workers: Annotated[Whole, Field(ge=-1, description="-1 or more")] = -1

    def __post_init__(self) -> None:
        require("loader", LoaderOptions, asdict(self))
        if self.square and (self.long_side[1] or tuple(self.scale) != (1.0, 1.0)):
            raise ConfigurationError(
                f"loader.square: expected a side without scale and long_side, found {self.square} with "
                f"scale {tuple(self.scale)} and long_side {tuple(self.long_side)}."
            )
        paired = [number for pair in self.mirrored_classes for number in pair]
        single = len({*paired}) == len(paired) and min(paired, default=1) >= 1
        if not single or any(len(pair) != 2 for pair in self.mirrored_classes):
            raise ConfigurationError(
                "loader.mirrored_classes: expected pairs of classes 1..C, each class in one pair at most, "
                f"found {[list(pair) for pair in self.mirrored_classes]}."
            )
        off = tuple(self.long_side) == (0, 0)
        for name, pair, more in (("scale", self.scale, ""), ("long_side", self.long_side, ", or [0, 0] for scale")):
            ordered = len(pair) == 2 and 0 < pair[0] <= pair[1] < inf
            if not ordered and not (off and name == "long_side"):
                raise ConfigurationError(
                    f"loader.{name}: expected [lowest, highest], both positive and finite{more}, found {list(pair)}."
                )


def fitting(batch_size: int, accumulate: int, images: int) -> tuple[int, int]:
    """The largest batch that so many images fill, and its accumulated parts, which keep their size where they can."""
    part = max(1, min(batch_size // accumulate, images))
    parts = max(1, min(accumulate, images // part))
    return part * parts, parts

"""Numbers of the pixel-adaptive refiners, checked without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from models.errors import ConfigurationError, closest
from models.options import Distances, PositiveCount, require

Kind = Literal["pamr", "par", "varm"]
KINDS: tuple[Kind, ...] = ("pamr", "par", "varm")
DILATIONS = (1, 2, 4, 8, 12, 24)


@dataclass(frozen=True)
class AdaptiveSettings:
    """Which refiner, how often, and how far its eight neighbours lie (a ring for each dilation, in pixels)."""

    kind: Kind = "pamr"
    iterations: PositiveCount = 10
    dilations: Distances = DILATIONS

    def __post_init__(self) -> None:
        """Refuse what is no refiner (ConfigurationError)."""
        if self.kind not in KINDS:
            raise ConfigurationError(f"pixel_adaptive: unknown kind '{self.kind}'.{closest(self.kind, KINDS)}")
        require("pixel_adaptive", AdaptiveSettings, asdict(self))

"""Numbers of the pixel-adaptive refiners, checked without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from models.errors import ConfigurationError, closest

Kind = Literal["pamr", "par", "varm"]
KINDS: tuple[Kind, ...] = ("pamr", "par", "varm")
DILATIONS = (1, 2, 4, 8, 12, 24)


@dataclass(frozen=True)
class AdaptiveSettings:
    """Which refiner, how often, and how far its eight neighbours lie (a ring for each dilation, in pixels)."""

    kind: Kind = "pamr"
    iterations: int = 10
    dilations: Sequence[int] = DILATIONS

    def __post_init__(self) -> None:
        """Refuse what is no refiner (ConfigurationError)."""
        if self.kind not in KINDS:
            raise ConfigurationError(f"pixel_adaptive: unknown kind '{self.kind}'.{closest(self.kind, KINDS)}")
        if self.iterations < 1 or not self.dilations or min(self.dilations) < 1:
            raise ConfigurationError(
                "pixel_adaptive: expected at least one iteration and dilations of 1 or more, "
                f"found iterations {self.iterations}, dilations {list(self.dilations)}."
            )

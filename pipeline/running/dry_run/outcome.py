"""How a stage of a dry run ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DryRunOutcome:
    """How a stage of a dry run ended.

    Attributes:
        stage: ``VERB@NAME``.
        seconds: on the clock, from the start of its process to its end.
        peak_gib: memory of the largest of its processes; that of a GPU is not counted.
        reason: why it was skipped, or what it said in the end.
        log: what it wrote, a file; "" of a stage that did not start.
    """

    stage: str
    state: Literal["ran", "failed", "skipped"]
    seconds: float = 0.0
    peak_gib: float = 0.0
    reason: str = ""
    log: str = ""

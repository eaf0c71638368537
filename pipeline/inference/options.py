"""What the options of the ``predict`` command mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.errors import ConfigurationError, closest
from models.refiners.dense_crf import PRESETS, SegmentationCrf
from pipeline.inference.predict import FORMATS
from pipeline.inference.trained import Place
from pipeline.inference.worker import PredictOptions

VIEWS = ("scales", "flip", "average", "gate", "background")
"""Options of ``predict_masks`` that decide what a pixel gets; the others are of the machine."""


def parse_formats(text: str) -> tuple[str, ...]:
    """Some of :data:`FORMATS` (ConfigurationError for another name)."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = next((name for name in names if name not in FORMATS), None)
    if unknown is not None or not names:
        raise ConfigurationError(f"--format: unknown '{unknown or text}'.{closest(unknown or text, FORMATS)}")
    return names


def parse_scales(text: str | None) -> tuple[float, ...] | None:
    """ "0.75,1,1.25" as numbers (ConfigurationError unless each is above 0 and at most 8)."""
    if text is None:
        return None
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(0 < scale <= 8 for scale in numbers):
        raise ConfigurationError(f"--scales: expected factors above 0 and up to 8, as 0.75,1,1.25, found '{text}'.")
    return numbers


def predict_options(place: Place, scales: Sequence[float] | None, flip: bool | None, crf: str | None) -> PredictOptions:
    """What was asked for; where nothing was, as the checkpoint's book predicts, or plainly.

    Raises:
        ConfigurationError: unknown CRF preset.
    """
    known: dict[str, Any] = {key: place.options[key] for key in VIEWS if key in place.options}
    known |= {"crf": None if place.crf is None else dict(place.crf)}
    if crf is not None:
        if crf not in (*PRESETS, "none"):
            raise ConfigurationError(f"--crf: unknown preset '{crf}'.{closest(crf, (*PRESETS, 'none'))}")
        known["crf"] = None if crf == "none" else {"preset": crf}
    known |= {key: value for key, value in (("scales", scales), ("flip", flip)) if value is not None}
    if known["crf"] is not None:
        SegmentationCrf(**known["crf"])
    return PredictOptions(**{**known, "scales": tuple(known.get("scales", (1.0,)))})

"""Ranges of options whose parts import torch: ``check`` must find them out of range before anything runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

RANGES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "output_stride": ("8, 16 or 32", lambda value: value in (8, 16, 32)),
    "width": ("a number above 0", lambda value: value > 0),
    "head_width": ("a whole number above 0", lambda value: value > 0),
    "scales": ("one or more factors above 0", lambda value: len(value) > 0 and all(scale > 0 for scale in value)),
    "grid": ("a whole number above 0, or 'full'", lambda value: value == "full" or value > 0),
    "batch_size": ("a whole number above 0", lambda value: value > 0),
    "sampling": ("a share in [0,1]", lambda value: 0 <= value <= 1),
    "draws": ("a whole number above 0", lambda value: value > 0),
    "similarity": ("a weight of 0 or more", lambda value: value >= 0),
    "sigma": ("0 (all pairs alike) or more", lambda value: value >= 0),
    "reach": ("0 (all pairs) or more", lambda value: value >= 0),
    "label_smoothing": ("a share in [0,1]", lambda value: 0 <= value <= 1),
    "feature_width": ("a whole number above 0", lambda value: value > 0),
    "rcm": ("a weight of 0 or more", lambda value: value >= 0),
    "mam": ("a weight of 0 or more", lambda value: value >= 0),
    "momentum": ("a share in [0,1)", lambda value: 0 <= value < 1),
    "temperature": ("a number above 0", lambda value: value > 0),
    "queue": ("a whole number of 0 or more", lambda value: value >= 0),
    "support_scales": ("one or more factors above 0", lambda value: len(value) > 0 and all(s > 0 for s in value)),
    "main_scales": ("one or more factors above 0", lambda value: len(value) > 0 and all(s > 0 for s in value)),
    "tau": ("a number above 0", lambda value: value > 0),
    "dropout": ("a share in [0,1)", lambda value: 0 <= value < 1),
    "weight": ("a weight of 0 or more", lambda value: value >= 0),
    "start": ("an epoch of 0 or later", lambda value: value >= 0),
    "second_scale": ("a factor above 0", lambda value: value > 0),
    "second_size": ("0 (the share counts) or pixels above 0", lambda value: value >= 0),
    "correlation_width": ("a whole number above 0", lambda value: value > 0),
    "hardest": ("a share in (0,1]", lambda value: 0 < value <= 1),
    # a count of points, or whether there is one, where it is no float
    "background": ("a score in (0,1)", lambda value: 0 < value < 1 if isinstance(value, float) else value >= 0),
    "mu": ("a number in [-20,20]", lambda value: -20 <= value <= 20),
    "region_threshold": ("a share in (0,1]", lambda value: 0 < value <= 1),
    "affinity_width": ("a whole number above 0", lambda value: value > 0),
    "contrast": ("a weight of 0 or more", lambda value: value >= 0),
    "compensator": ("a weight of 0 or more", lambda value: value >= 0),
    "votes_temperature": ("a number above 0", lambda value: value > 0),
    "compensated": ("a share in (0,1]", lambda value: 0 < value <= 1),
    "segmentation": ("a weight of 0 or more", lambda value: value >= 0),
    "transform_start": ("an epoch of 0 or later", lambda value: value >= 0),
    "segmentation_start": ("an epoch of 0 or later", lambda value: value >= 0),
    "psi": ("a probability in [0,1)", lambda value: 0 <= value < 1),
    "focal_power": ("a power of 0 or more", lambda value: value >= 0),
    "focal_floor": ("an area above 0", lambda value: value > 0),
    "pamr_iterations": ("a whole number above 0", lambda value: value > 0),
    "pamr_dilations": ("one or more distances above 0", lambda value: len(value) > 0 and all(d > 0 for d in value)),
    "cutoff": ("a share in (0,1)", lambda value: 0 < value < 1),
    "background_cutoff": ("a share in (0,1)", lambda value: 0 < value < 1),
    "least": ("a score in [0,1)", lambda value: 0 <= value < 1),
    "mask": ("a weight of 0 or more", lambda value: value >= 0),
    "pretrain": ("an epoch of 0 or later", lambda value: value >= 0),
    "frozen_stages": ("a whole number from 0 to 5", lambda value: 0 <= value <= 5),
    "side": ("0 (the image's own size) or pixels above 0", lambda value: value >= 0),
    "square": ("0 (the image's own size) or pixels above 0", lambda value: value >= 0),
    "embedding": ("a whole number above 0", lambda value: value > 0),
    "annotation": ("a weight of 0 or more", lambda value: value >= 0),
    "co_occurrence": ("a weight of 0 or more", lambda value: value >= 0),
    "affinity": ("a weight of 0 or more", lambda value: value >= 0),
    "clusters": ("a whole number above 0", lambda value: value > 0),
    "iterations": ("a whole number above 0", lambda value: value > 0),
    "anchors": ("0 (all pixels) or a whole number above", lambda value: value >= 0),
    "memory": ("a whole number of 0 or more", lambda value: value >= 0),
    "bank": ("a whole number of 0 or more", lambda value: value >= 0),
    "inference_clusters": ("a whole number above 0", lambda value: value > 0),
    "neighbours": ("a whole number above 0", lambda value: value > 0),
    "seed": ("a whole number of 0 or more", lambda value: value >= 0),
}
"""Option -> what it must be, and the test of a value that has the right type."""


def range_problems(where: str, options: Mapping[str, Any]) -> Iterator[str]:
    """One line for each option out of its range; ``options`` have the right types."""
    for key, value in options.items():
        if isinstance(value, float) and not math.isfinite(value):
            yield f"{where}.{key}: expected a finite number, found {value!r}."
        elif key in RANGES:
            expected, holds = RANGES[key]
            if value is not None and not holds(value):
                yield f"{where}.{key}: expected {expected}, found {value!r:.80}."


def order_problems(where: str, options: Mapping[str, Any]) -> Iterator[str]:
    """A line for a band upside down; ``options`` with the part's defaults."""
    high, low = options.get("high"), options.get("low")
    if high is not None and low is not None and low > high:
        yield f"{where}.low: expected at most high ({high!r:.20}), found {low!r:.20}."

"""Values of a JSON that people's programs write in several ways."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

DIGITS = re.compile(r"\s*(-?[0-9]{1,18})(?:\.0*)?\s*")
SHOWN = 60


def whole_number(value: Any) -> int | None:
    """A whole number, also written as 96.0 (pandas) or "96"; None for anything else."""
    if isinstance(value, int):
        return None if isinstance(value, bool) else value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str) and (digits := DIGITS.fullmatch(value)):
        return int(digits[1])
    return None


def key_of(value: Any) -> int | str | None:
    """An id: a whole number where it is one, else a text that is not empty; None for anything else."""
    number = whole_number(value)
    return value if number is None and isinstance(value, str) and value else number


def zero_or_one(annotation: Mapping[str, Any]) -> int | None:
    """``iscrowd`` as 0 or 1, also from false, null or "0"; None where it is something else."""
    value = annotation.get("iscrowd")
    if value is None or isinstance(value, bool):
        return int(bool(value))
    number = whole_number(value)
    return number if number in (0, 1) else None


def packed(entry: dict[str, Any]) -> dict[str, Any]:
    """An object of a JSON, its ``segmentation`` of polygons as float64 arrays, with a third of the memory of lists.

    A hook of ``json.loads``, which sees each object when it ends. What is no list of flat lists x0, y0, x1, ... of
    three points or more, or has numbers that are not finite, stays as it is.
    """
    regions = entry.get("segmentation")
    if isinstance(regions, list) and all(map(_is_polygon, regions)):
        try:
            arrays = [np.array(region, np.float64) for region in regions]
        except OverflowError:
            return entry
        if all(np.isfinite(array).all() for array in arrays):
            entry["segmentation"] = arrays
    return entry


def without_regions(entry: dict[str, Any]) -> dict[str, Any]:
    """The same for those who need no regions."""
    entry.pop("segmentation", None)
    return entry


def _is_polygon(region: Any) -> bool:
    return (
        isinstance(region, list)
        and len(region) >= 6
        and len(region) % 2 == 0
        and {int, float}.issuperset(map(type, region))
    )


def short(value: Any, most: int = SHOWN) -> str:
    """A value for a message, on one line and not longer than ``most`` characters."""
    if isinstance(value, dict | list):
        value = _head(value)
    text = " ".join(str(value).split()).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _head(value: Any) -> Any:
    """The first few entries: the text of a whole file would be made to be cut."""
    if isinstance(value, dict):
        return {key: _leaf(entry) for key, entry in list(value.items())[:5]}
    return [_leaf(entry) for entry in value[:8]]


def _leaf(value: Any) -> Any:
    if isinstance(value, list):
        return [entry if not isinstance(entry, dict | list | np.ndarray) else ... for entry in value[:8]]
    return value if not isinstance(value, dict) else ...

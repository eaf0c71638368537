"""What evaluate stages wrote: metrics.json, read and checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import DataError
from pipeline.book.artifacts import artifact

NUMBERS = ("miou", "boundary_f", "pixel_accuracy")


@dataclass(frozen=True)
class EvaluationRow:
    """One evaluation: its name and the content of its metrics.json (scores in percent)."""

    name: str
    metrics: dict[str, Any]


def read_evaluations(work: str | Path, names: Sequence[str]) -> list[EvaluationRow]:
    """The evaluations of a work folder that are there, in the order of ``names``. Raises as :func:`read_metrics`."""
    read = {name: read_metrics(artifact(work, "evaluations", name) / "metrics.json") for name in names}
    return [EvaluationRow(name, metrics) for name, metrics in read.items() if metrics is not None]


def read_metrics(path: Path) -> dict[str, Any] | None:
    """The metrics.json of an ``evaluate`` stage. Returns and raises as :func:`read_json`."""
    return read_json(path, ("of", "split", *NUMBERS))


def read_json(path: Path, keys: Sequence[str]) -> dict[str, Any] | None:
    """The content of a metrics.json (scores in percent); None where there is no such file.

    Raises:
        DataError: it is not JSON, or lacks one of ``keys``.
    """
    if not path.is_file():
        return None
    remedy = "Remedy: run its evaluate stage again."
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: expected JSON, found something else ({error}). {remedy}") from None
    if not isinstance(metrics, dict):
        raise DataError(f"{path}: expected a JSON object, found {metrics!r:.60}. {remedy}")
    missing = [key for key in keys if key not in metrics]
    if missing:
        raise DataError(f"{path}: expected the keys {', '.join(keys)}, not there: {missing}. {remedy}")
    return metrics

"""Weights that are nan or inf are refused where they are read."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from models.errors import DataError
from pipeline.problems.notices import first_of


def require_finite(state: Mapping[str, Tensor], where: str) -> None:
    """Raise DataError for weights that are nan or inf: whatever they touch becomes nan, and says so late or never."""
    bad = [name for name, value in state.items() if not value.isfinite().all()]
    if bad:
        raise DataError(
            f"{where}: expected finite weights, found nan or inf in {len(bad)} of {len(state)} entries: "
            f"{first_of(bad, 5)}. Remedy: copy the file again, or train again with a smaller lr."
        )

"""What a file of drawn shapes becomes, for the tests of exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.errors import DataError
from models.structures import Supervision
from pipeline.annotations.build import annotate_catalogue, check_annotations
from pipeline.problems.notices import Notice
from tests.helpers.made_annotations import catalogue_of


def drawn(file: Path, ids: tuple[str, ...], kind: str = "shapes", **options: Any) -> dict[str, Supervision]:
    """The supervision of each image, after the checks."""
    catalogue = catalogue_of(ids)
    given = {"file": str(file), **options}
    check_annotations(kind, catalogue, ids, given)
    return dict(annotate_catalogue(kind, catalogue, None, ids, given))


def notices(file: Path, ids: tuple[str, ...], kind: str = "shapes", **options: Any) -> list[Notice]:
    """What may be wrong."""
    return check_annotations(kind, catalogue_of(ids), ids, {"file": str(file), **options})


def refused(file: Path, ids: tuple[str, ...], kind: str = "shapes", **options: Any) -> str:
    """The message with which a file is refused."""
    with pytest.raises(DataError) as error:
        drawn(file, ids, kind, **options)
    return str(error.value)
